/* How much memory a run takes, known before it starts. The sums mirror the takes from the
 * arena in pass.c, vision.c, projector.c, lm.c and run.c. */
#include "model/perceiver.h"

#include <omp.h>

enum { ALIGN_BYTES = 64, N_TAKES = 64, LANE_BYTES = 768, LOGIT_ROWS = 32 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t group_rows(const tap_run_options *options, int64_t n_tok)
{
    const int64_t asked =
        options->group_rows > 0 ? options->group_rows : TAP_GROUP_ROWS;
    return (size_t)(asked > n_tok ? asked : n_tok);
}

/* States, scratch of a group and bookkeeping of one stack; n_extra floats beside them. */
static size_t stack_bytes(const tap_model *model, const tap_run_options *options,
                          const tap_run_size *size, tap_stack stack, size_t n_extra)
{
    const tap_stack_spec *s =
        stack == TAP_VISION ? &model->spec.vision.stack : &model->spec.lm.stack;
    const size_t d = (size_t)s->d_model, d_q = (size_t)s->n_heads * (size_t)s->d_head,
                 d_kv = (size_t)s->n_kv_heads * (size_t)s->d_head;
    const size_t n_mlp = stack == TAP_LM ? 2 : 1, n_tok = (size_t)size->n_tok[stack];
    const size_t row = 2 * d + 2 * d_q + 2 * d_kv + n_mlp * (size_t)s->d_mlp +
                       (size_t)s->d_head + (size->edits ? d : 0) +
                       sizeof(int64_t) / sizeof(float); /* of the frame's query_rows */
    size_t n = 2 * (size_t)size->state_rows[stack] * d +
               (size_t)size->whole_floats[stack] +
               group_rows(options, size->n_tok[stack]) * row + n_extra;
    if (size->maps[stack])
        n += 2 * TAP_MAP_ROWS * n_tok * (size_t)s->n_heads;
    const size_t lane = LANE_BYTES + (size_t)s->n_heads * sizeof(tap_head_receipt);
    return n * sizeof(float) + (size_t)size->n_lanes * lane + size->edit_bytes[stack] +
           N_TAKES * ALIGN_BYTES;
}

static tap_perceiver_size perceiver_size(const tap_spec *spec, const tap_run_size *size)
{
    const int64_t n_latents = spec->perceiver.n_latents;
    return (tap_perceiver_size){
        .n_features = size->n_tok[TAP_VISION],
        .n_groups = n_latents ? (size->n_slots + n_latents - 1) / n_latents : 0,
        .n_text = size->n_text};
}

size_t tap_run_scratch(const tap_model *model, const tap_kernels *kernels,
                       const tap_run_options *options, int n_threads,
                       const tap_run_size *size)
{
    const tap_spec *spec = &model->spec;
    const int64_t widths[] = {spec->vision.stack.d_mlp,
                              spec->vision.stack.d_model,
                              spec->lm.stack.d_mlp,
                              spec->lm.stack.d_model,
                              spec->d_projector_in,
                              spec->d_projector_out,
                              3 * (int64_t)spec->vision.patch_px *
                                  spec->vision.patch_px,
                              (int64_t)spec->lm.stack.n_heads * spec->lm.stack.d_head,
                              (int64_t)spec->perceiver.n_heads * spec->perceiver.d_head,
                              spec->perceiver.d_mlp};
    int64_t d_max = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        d_max = widths[i] > d_max ? widths[i] : d_max;
    const tap_perceiver_size perceiver = perceiver_size(spec, size);
    const int64_t lengths[] = {size->n_tok[TAP_VISION], size->n_tok[TAP_LM],
                               tap_perceiver_keys(spec, size->n_text),
                               tap_perceiver_rows(spec, &perceiver)};
    int64_t n_tok = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        n_tok = lengths[i] > n_tok ? lengths[i] : n_tok;
    const int64_t n_rows = n_tok > size->n_slots ? n_tok : size->n_slots;
    return kernels->scratch_bytes((int64_t)group_rows(options, n_rows), d_max, n_tok, 0,
                                  n_threads);
}

size_t tap_run_need(const tap_model *model, const tap_kernels *kernels,
                    const tap_run_options *options, int n_threads,
                    const tap_run_size *size)
{
    const tap_spec *spec = &model->spec;
    const size_t d_patch =
        3 * (size_t)spec->vision.patch_px * (size_t)spec->vision.patch_px;
    const size_t d_lm = (size_t)spec->lm.stack.d_model,
                 d_v = (size_t)spec->vision.stack.d_model;
    const size_t tok_v = (size_t)size->n_tok[TAP_VISION],
                 tok_l = (size_t)size->n_tok[TAP_LM];
    const size_t embed = tok_v * d_patch + d_v;
    /* rows of the projector: features, merged, gathered, hidden, mapped */
    const size_t n_slots = (size_t)size->n_slots, d_in = (size_t)spec->d_projector_in,
                 d_out = (size_t)spec->d_projector_out;
    const tap_perceiver_size perceiver = perceiver_size(spec, size);
    const size_t project = tok_v * d_v + (tok_v + n_slots) * (d_in + 2 * d_out) +
                           tap_perceiver_floats(spec, &perceiver);
    const size_t logits = tok_l * d_lm + LOGIT_ROWS * (size_t)spec->lm.d_vocab;
    return tap_run_scratch(model, kernels, options, n_threads, size) +
           (size_t)size->n_projected * d_out * sizeof(float) + N_TAKES * ALIGN_BYTES +
           larger(stack_bytes(model, options, size, TAP_VISION, larger(embed, project)),
                  stack_bytes(model, options, size, TAP_LM, logits));
}

size_t tap_run_bytes(const tap_model *model, int64_t n_vision_states,
                     int64_t n_lm_states, int64_t n_tiles, int64_t n_tok,
                     const tap_run_options *options)
{
    const int64_t n_vision = n_tiles * tap_vision_rows(&model->spec.vision);
    const int64_t n_slots = n_tok > n_vision ? n_tok : n_vision;
    const tap_run_size size = {
        .n_lanes = n_lm_states,
        .state_rows = {n_vision_states * n_vision, n_lm_states * n_tok},
        .n_tok = {n_vision, n_tok},
        .n_projected = n_vision_states * n_slots,
        .n_slots = n_slots,
        .n_text = model->spec.perceiver.n_text};
    const tap_kernels *kernels =
        options->kernels ? options->kernels : tap_kernels_cpu();
    return tap_run_need(
        model, kernels, options,
        options->n_threads > 0 ? options->n_threads : omp_get_num_procs(), &size);
}

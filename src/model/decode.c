#include "model/decode.h"

#include "model/decode_edits.h"
#include "model/pass.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum { ALIGN_BYTES = 64, N_TAKES = 32, LOGIT_ROWS = 32 };

struct tap_decoder {
    const tap_model *model;
    const tap_plan *plan;           /* of the whole sequence; NULL: clean */
    tap_row_plan own;               /* of generated rows */
    const tap_plan *row_plan;       /* own.plan, or NULL */
    int64_t n_tok, n_done;          /* places of the sequence; rows in the cache */
    float *keys, *values;           /* [n_blocks][n_tok][n_kv_heads d_head] */
    float *logits;                  /* [d_vocab] */
    float *x;                       /* [d_model] the row in hand */
    tap_head_receipt total, *heads; /* [n_heads] of the block in hand */
    /* a run of one row */
    int32_t id;
    tap_token token;
    tap_sequence sequence;
    tap_item item;
    tap_wanted wanted;
    tap_sink sink;
    tap_run_options options;
    tap_job job;
    tap_pass pass;
};

static int64_t kv_width(const tap_model *model)
{
    const tap_stack_spec *s = &model->spec.lm.stack;
    return (int64_t)s->n_kv_heads * s->d_head;
}

static int n_threads_of(const tap_run_options *options)
{
    return options->n_threads > 0 ? options->n_threads : omp_get_num_procs();
}

static size_t scratch_bytes(const tap_model *model, int64_t n_tok,
                            const tap_run_options *options)
{
    const tap_stack_spec *s = &model->spec.lm.stack;
    const tap_kernels *kernels =
        options->kernels ? options->kernels : tap_kernels_cpu();
    const int64_t widths[] = {s->d_model, s->d_mlp, (int64_t)s->n_heads * s->d_head};
    int64_t d_max = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        d_max = widths[i] > d_max ? widths[i] : d_max;
    return kernels->scratch_bytes(1, d_max, n_tok, 0, n_threads_of(options));
}

/* Mirrors tap_pass_init, tap_lm_logits and the takes below. */
static size_t arena_bytes(const tap_model *model, int64_t n_tok,
                          const tap_run_options *options)
{
    const tap_lm_spec *lm = &model->spec.lm;
    const tap_stack_spec *s = &lm->stack;
    const size_t d_q = (size_t)s->n_heads * (size_t)s->d_head;
    const size_t made =
        d_q + (size_t)s->d_model + (size_t)s->d_mlp; /* above the widest */
    const size_t floats = made + 4 * (size_t)s->d_model + 2 * d_q +
                          2 * (size_t)kv_width(model) + 2 * (size_t)s->d_mlp +
                          (size_t)s->d_head + LOGIT_ROWS * (size_t)lm->d_vocab;
    return floats * sizeof(float) + (size_t)s->n_heads * sizeof(tap_head_receipt) +
           scratch_bytes(model, n_tok, options) + N_TAKES * ALIGN_BYTES;
}

static size_t cache_floats(const tap_model *model, int64_t n_tok)
{
    return (size_t)model->spec.lm.stack.n_blocks * (size_t)n_tok *
           (size_t)kv_width(model);
}

size_t tap_decoder_bytes(const tap_model *model, int64_t n_tok,
                         const tap_run_options *options)
{
    return 2 * cache_floats(model, n_tok) * sizeof(float) +
           arena_bytes(model, n_tok, options) +
           (size_t)model->spec.lm.d_vocab * sizeof(float);
}

static float *cached(float *cache, const tap_decoder *d, int block)
{
    return cache + (int64_t)block * d->n_tok * kv_width(d->model);
}

/* Keys, values and logits of rows that belong to one decoder. */
static void keep_rows(tap_decoder *d, const tap_state *state)
{
    if (state->site == TAP_SITE_LOGITS)
        memcpy(d->logits, state->values + (state->n_rows - 1) * state->d,
               (size_t)state->d * sizeof *d->logits);
    else
        memcpy(cached(state->site == TAP_SITE_K ? d->keys : d->values, d, state->block),
               state->values, (size_t)(d->n_done * state->d) * sizeof *state->values);
}

/* Of a prompt's run: the owner is the list of decoders. */
static tap_status keep_prompt(void *owner, const tap_state *state, tap_error *err)
{
    tap_decoder *const *decoders = owner;
    const bool whole = state->first_row + state->n_rows == decoders[0]->n_done;
    for (int64_t c = 0; whole && c < state->n_conditions; c++)
        keep_rows(decoders[state->conditions[c]], state);
    return whole ? TAP_OK
                 : TAP_FAIL(err, TAP_EBUG, "a prompt of %lld rows ran to row %lld",
                            (long long)decoders[0]->n_done,
                            (long long)(state->first_row + state->n_rows));
}

static tap_status keep_row(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    keep_rows(owner, state);
    return TAP_OK;
}

static tap_status run_prompt(tap_decoder **decoders, const tap_item *item,
                             int64_t n_conditions, const tap_run_options *options,
                             tap_error *err)
{
    const tap_model *model = decoders[0]->model;
    const int64_t last = decoders[0]->n_done - 1;
    tap_item prompt = *item;
    prompt.read = &last;
    prompt.n_read = 1;
    tap_wanted wanted = {.once = {[TAP_SITE_LOGITS] = true}};
    for (int b = 0; b < model->spec.lm.stack.n_blocks; b++) {
        tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_K], b);
        tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_V], b);
    }
    const tap_sink sink = {.owner = decoders, .wanted = &wanted, .put = keep_prompt};
    tap_run_options with = *options;
    tap_later_rows *later = NULL;
    tap_status status = TAP_OK;
    for (int64_t c = 0; c < n_conditions; c++)
        with.n_later += (int64_t)decoders[c]->own.n_later;
    TAP_TRY_OUT(tap_alloc(&later, (size_t)with.n_later, sizeof *later, "edits", err));
    with.later = later;
    with.n_later = 0;
    for (int64_t c = 0; c < n_conditions; c++)
        for (size_t i = 0; i < decoders[c]->own.n_later; i++)
            later[with.n_later++] = decoders[c]->own.later[i];
    status = tap_run(NULL, model, &prompt, 1, n_conditions, &with, &sink, err);
out:
    tap_free(later);
    return status;
}

static tap_status check_plan(tap_decoder *d, const tap_run_options *options,
                             int32_t condition, tap_error *err)
{
    TAP_TRY(tap_kernels_check(options->kernels ? options->kernels : tap_kernels_cpu(),
                              d->plan, 0, err));
    if (d->plan)
        TAP_TRY(tap_row_plan_open(&d->own, d->plan, d->n_done, condition, err));
    d->row_plan = d->plan ? &d->own.plan : NULL;
    d->job.edits = d->own.edits;
    for (int b = 0; d->plan && b < d->plan->n_blocks[TAP_LM]; b++) {
        const tap_edges *e = d->plan->blocks[TAP_LM][b].edges;
        const int64_t n_words = tap_bits_words(d->n_tok);
        assert(!e || e->n_tok == d->n_tok);
        for (int c = 0; e && e->frozen && c < e->n_classes; c++)
            for (int64_t t = d->n_done; t < d->n_tok; t++)
                if (tap_bits_count(e->frozen + (c * d->n_tok + t) * n_words, n_words))
                    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                                    "generated tokens have no clean run whose weights "
                                    "'freeze' could take; add 'phase prefill'");
    }
    return TAP_OK;
}

static tap_status set_up(tap_decoder *d, const tap_run_options *options, tap_error *err)
{
    static const tap_plan *const clean = NULL;
    static const int64_t lane = 0;
    const size_t scratch = scratch_bytes(d->model, d->n_tok, options);
    const bool edits = d->job.edits;
    d->options = *options;
    d->options.group_rows = 1;
    d->token = (tap_token){.role = TAP_ROLE_GEN, .feature = -1};
    d->sequence = (tap_sequence){.n_tok = 1, .ids = &d->id, .tokens = &d->token};
    d->item =
        (tap_item){.sequence = &d->sequence, .plans = edits ? &d->row_plan : &clean};
    d->wanted.once[TAP_SITE_LOGITS] = true;
    d->sink = (tap_sink){.owner = d, .wanted = &d->wanted, .put = keep_row};
    d->job =
        (tap_job){.model = d->model,
                  .kernels = options->kernels ? options->kernels : tap_kernels_cpu(),
                  .items = &d->item,
                  .n_items = 1,
                  .n_conditions = 1,
                  .options = &d->options,
                  .sink = &d->sink,
                  .edits = edits};
    TAP_TRY(tap_arena_init(&d->job.arena, arena_bytes(d->model, d->n_tok, options),
                           "a row of the decoder", err));
    TAP_TRY(tap_arena_take(&d->job.work.scratch, &d->job.arena, scratch, 1, err));
    d->job.work.scratch_bytes = scratch;
    d->job.work.n_threads = n_threads_of(options);
    TAP_TRY(tap_arena_take(&d->x, &d->job.arena, 1,
                           (size_t)d->model->spec.lm.stack.d_model * sizeof *d->x,
                           err));
    TAP_TRY(tap_arena_take(&d->heads, &d->job.arena,
                           (size_t)d->model->spec.lm.stack.n_heads, sizeof *d->heads,
                           err));
    TAP_TRY(tap_alloc(&d->job.conditions, 1, sizeof *d->job.conditions, "a run", err));
    TAP_TRY(tap_pass_init(&d->pass, &d->job, TAP_LM, NULL, err));
    const tap_span span = {.lanes = &lane, .n_lanes = 1};
    tap_pass_single(&d->pass, &span, 1);
    return TAP_OK;
}

static tap_status make(tap_decoder **out, const tap_model *model, const tap_item *item,
                       int32_t condition, const tap_run_options *options,
                       tap_error *err)
{
    const tap_sequence *sequence = item->sequence;
    tap_decoder *d = NULL;
    TAP_TRY(tap_alloc(&d, 1, sizeof *d, "a decoder", err));
    *out = d;
    d->model = model;
    d->plan = item->plans[condition];
    d->n_tok = sequence->n_tok;
    while (d->n_done < d->n_tok && sequence->tokens[d->n_done].role != TAP_ROLE_GEN)
        d->n_done++;
    const size_t n = cache_floats(model, d->n_tok);
    TAP_TRY(check_plan(d, options, condition, err));
    TAP_TRY(tap_alloc(&d->keys, n, sizeof *d->keys, "keys and values", err));
    TAP_TRY(tap_alloc(&d->values, n, sizeof *d->values, "keys and values", err));
    TAP_TRY(tap_alloc(&d->logits, (size_t)model->spec.lm.d_vocab, sizeof *d->logits,
                      "logits", err));
    return set_up(d, options, err);
}

tap_status tap_decoder_open(tap_decoder **decoders, const tap_model *model,
                            const tap_item *item, int64_t n_conditions,
                            const tap_run_options *options, tap_error *err)
{
    tap_status status = TAP_OK;
    for (int64_t c = 0; c < n_conditions; c++)
        decoders[c] = NULL;
    for (int64_t c = 0; c < n_conditions; c++)
        TAP_TRY_OUT(make(&decoders[c], model, item, (int32_t)c, options, err));
    status = run_prompt(decoders, item, n_conditions, options, err);
out:
    for (int64_t c = 0; status != TAP_OK && c < n_conditions; c++) {
        tap_decoder_close(decoders[c]);
        decoders[c] = NULL;
    }
    return status;
}

void tap_decoder_close(tap_decoder *decoder)
{
    if (!decoder)
        return;
    tap_row_plan_clear(&decoder->own);
    tap_free(decoder->keys);
    tap_free(decoder->values);
    tap_free(decoder->logits);
    tap_free(decoder->job.conditions);
    tap_arena_clear(&decoder->job.arena);
    tap_free(decoder);
}

const float *tap_decoder_logits(const tap_decoder *decoder)
{
    return decoder->logits;
}

int64_t tap_decoder_room(const tap_decoder *decoder)
{
    return decoder->n_tok - decoder->n_done;
}

tap_head_receipt tap_decoder_receipt(const tap_decoder *decoder)
{
    return decoder->total;
}

/* The row in hand reads all rows of the cache and itself. */
static tap_status attend(tap_decoder *d, int block, tap_error *err)
{
    const tap_stack_spec *s = d->pass.spec;
    const int64_t d_q = (int64_t)s->n_heads * s->d_head, d_kv = kv_width(d->model);
    memset(d->heads, 0, (size_t)s->n_heads * sizeof *d->heads);
    const tap_attend_args args = {
        .n_q = 1,
        .first_q = d->n_done,
        .n_k = d->n_done + 1,
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .d_head = s->d_head,
        .causal = true,
        .scale = (float)(1.0 / sqrt((double)s->d_head)),
        .q = d->pass.q,
        .k = cached(d->keys, d, block),
        .v = cached(d->values, d, block),
        .stride_q = d_q,
        .stride_kv = d_kv,
        .edges = d->plan ? d->plan->blocks[TAP_LM][block].edges : NULL,
        .z = d->pass.z,
        .stride_z = d_q,
        .receipt = d->heads};
    d->job.kernels->attend(&args, 1, &d->job.work);
    for (int h = 0; h < s->n_heads; h++) {
        const tap_head_receipt *r = &d->heads[h];
        tap_head_receipt_add(&d->total, r);
        if (r->weight_on_cut > 0.0 || isnan(r->weight_on_cut) ||
            r->allowed != r->used + r->cut + r->zeroed)
            return TAP_FAIL(
                err, TAP_ENUMERIC,
                "the receipt of a generated row in lm block %d head %d does "
                "not hold: weight %g on cut edges",
                block, h, r->weight_on_cut);
    }
    return TAP_OK;
}

/* Edits of a block or of what stands before the blocks that name the row. */
static int64_t due(const tap_block_plan *plan, int64_t row)
{
    int64_t n = 0;
    for (int i = 0; i < plan->n_edits; i++)
        for (int64_t r = 0; r < plan->edits[i].n_rows; r++)
            n += plan->edits[i].rows[r] == row;
    return n;
}

/* Every edit that names the row in hand has written it. */
static tap_status check_edits(const tap_decoder *d, int64_t written, tap_error *err)
{
    if (!d->job.edits)
        return TAP_OK;
    int64_t wanted = due(&d->row_plan->once[TAP_STAGE_EMBED], d->n_done);
    for (int b = 0; b < d->row_plan->n_blocks[TAP_LM]; b++)
        wanted += due(&d->row_plan->blocks[TAP_LM][b], d->n_done);
    return written == wanted
               ? TAP_OK
               : TAP_FAIL(
                     err, TAP_ENUMERIC,
                     "the receipt of generated row %lld does not hold: %lld states "
                     "were to be edited, %lld were",
                     (long long)d->n_done, (long long)wanted, (long long)written);
}

tap_status tap_decoder_step(tap_decoder *decoder, int32_t id, tap_error *err)
{
    tap_decoder *d = decoder;
    tap_pass *pass = &d->pass;
    const int64_t d_kv = kv_width(d->model), d_model = d->model->spec.lm.stack.d_model;
    if (d->n_done == d->n_tok)
        return TAP_FAIL(err, TAP_EINVAL, "the sequence of %lld tokens is full",
                        (long long)d->n_tok);
    assert(id >= 0 && id < d->model->spec.lm.d_vocab);
    d->id = id;
    pass->single.first_position = d->n_done;
    const tap_span span = pass->single;
    const int64_t edited = pass->states_edited;
    TAP_TRY(tap_lm_embed(pass, d->x, NULL, &span, err));
    for (int b = 0; b < d->model->spec.lm.stack.n_blocks; b++) {
        pass->block = b;
        TAP_TRY(tap_pass_at(pass, TAP_SITE_RESID_PRE, d->x, d_model, err));
        TAP_TRY(tap_lm_halves.project(pass, d->x, err));
        memcpy(cached(d->keys, d, b) + d->n_done * d_kv, pass->k,
               (size_t)d_kv * sizeof *pass->k);
        memcpy(cached(d->values, d, b) + d->n_done * d_kv, pass->v,
               (size_t)d_kv * sizeof *pass->v);
        TAP_TRY(attend(d, b, err));
        TAP_TRY(tap_lm_halves.finish(pass, d->x, err));
        TAP_TRY(tap_pass_at(pass, TAP_SITE_RESID_POST, d->x, d_model, err));
    }
    TAP_TRY(tap_lm_logits(pass, d->x, &span, err));
    TAP_TRY(check_edits(d, pass->states_edited - edited, err));
    d->n_done++;
    return TAP_OK;
}

#include "read/source.h"

#include "base/memory.h"
#include "model/pass.h"

#include <assert.h>
#include <string.h>

struct tap_source {
    tap_source_spec spec;
    tap_workspace work;
    int64_t most_rows; /* of an item */
    float *gathered;   /* [most_rows][width of the site] */
    float *keys;       /* key: [most_rows][n_kv_heads d_head] */
    float *rows;       /* [most_rows][d_lm] */
    float *turned; /* key: W_K^T [d_lm][n_kv_heads d_head] of block `turned_block` */
    int turned_block;
    /* head: a run of its own that has only a projector */
    tap_job job;
    float *features; /* [slots of the largest item][d_lm] */
};

int tap_source_n_states(const tap_model *model, tap_readout readout)
{
    const int n = model->spec.lm.stack.n_blocks;
    if (readout == TAP_READOUT_HEAD)
        return model->spec.vision.n_blocks_read + 1;
    return readout == TAP_READOUT_RESID ? n + 1 : n;
}

static tap_site site_of(tap_readout readout)
{
    return readout == TAP_READOUT_VALUE ? TAP_SITE_V
           : readout == TAP_READOUT_KEY ? TAP_SITE_ATTN_IN
                                        : TAP_SITE_RESID_PRE;
}

/* Which state of the lens this is; -1: none of this source. */
static int state_index(const tap_source *source, const tap_state *state)
{
    const tap_readout readout = source->spec.readout;
    const tap_stack stack = readout == TAP_READOUT_HEAD ? TAP_VISION : TAP_LM;
    const int last = tap_source_n_states(source->spec.model, readout) - 1;
    if (state->block < 0 || state->stack != stack)
        return -1;
    if (state->site == site_of(readout))
        return state->block <= last ? state->block : -1;
    const bool depths = readout == TAP_READOUT_RESID || readout == TAP_READOUT_HEAD;
    return depths && state->site == TAP_SITE_RESID_POST && state->block == last - 1
               ? last
               : -1;
}

void tap_source_want(tap_wanted *wanted, const tap_source *source)
{
    const tap_readout readout = source->spec.readout;
    const tap_stack stack = readout == TAP_READOUT_HEAD ? TAP_VISION : TAP_LM;
    const int n = tap_source_n_states(source->spec.model, readout);
    const bool depths = readout == TAP_READOUT_RESID || readout == TAP_READOUT_HEAD;
    for (int i = 0; i < n; i++)
        if (depths && i == n - 1 && i > 0)
            tap_bits_set(wanted->blocks[stack][TAP_SITE_RESID_POST], i - 1);
        else
            tap_bits_set(wanted->blocks[stack][site_of(readout)], i);
}

static tap_status put_nothing(void *owner, const tap_state *state, tap_error *err)
{
    (void)owner;
    (void)state;
    (void)err;
    return TAP_OK;
}

/* A job whose arena holds the projector's scratch for the largest item. */
static tap_status open_projector(tap_source *source, tap_error *err)
{
    static const tap_run_options options = {0};
    static const tap_wanted nothing;
    static const tap_sink sink = {.wanted = &nothing, .put = put_nothing};
    tap_job *job = &source->job;
    const tap_model *m = source->spec.model;
    *job = (tap_job){.model = m,
                     .kernels = source->spec.kernels,
                     .n_items = 1,
                     .n_conditions = 1,
                     .options = &options,
                     .sink = &sink};
    tap_run_size size = {.n_lanes = 1, .n_tok = {1, 1}};
    for (int64_t i = 0; i < source->spec.n_items; i++) {
        job->items = &source->spec.items[i];
        const int64_t n = tap_job_rows(job, TAP_VISION, 0);
        size.n_tok[TAP_VISION] =
            n > size.n_tok[TAP_VISION] ? n : size.n_tok[TAP_VISION];
        const int64_t n_slots = job->items->sequence->layout.n_slots;
        size.n_slots = n_slots > size.n_slots ? n_slots : size.n_slots;
    }
    size.state_rows[TAP_VISION] = size.n_tok[TAP_VISION];
    size.n_projected = size.n_slots;
    const size_t scratch =
        tap_run_scratch(m, job->kernels, &options, source->spec.n_threads, &size);
    TAP_TRY(tap_arena_init(
        &job->arena,
        tap_run_need(m, job->kernels, &options, source->spec.n_threads, &size),
        "an early exit", err));
    job->work.n_threads = source->spec.n_threads;
    job->work.scratch_bytes = scratch;
    TAP_TRY(tap_arena_take(&job->work.scratch, &job->arena, scratch, 1, err));
    return tap_alloc(&source->features, (size_t)size.n_projected,
                     (size_t)m->spec.lm.stack.d_model * sizeof(float), "an early exit",
                     err);
}

tap_status tap_source_open(tap_source **out, const tap_source_spec *spec,
                           tap_error *err)
{
    tap_source *source = NULL;
    const tap_stack_spec *s = &spec->model->spec.lm.stack;
    const int64_t d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head;
    const int64_t width = d_q > s->d_model ? d_q : s->d_model;
    tap_status status = tap_alloc(&source, 1, sizeof *source, "a readout", err);
    if (status != TAP_OK)
        return status;
    source->spec = *spec;
    source->turned_block = -1;
    source->work.n_threads = spec->n_threads;
    for (int64_t i = 0; i < spec->n_items; i++)
        source->most_rows =
            spec->n_rows[i] > source->most_rows ? spec->n_rows[i] : source->most_rows;
    const size_t n = (size_t)source->most_rows;
    TAP_TRY_OUT(tap_alloc(&source->gathered, n, (size_t)width * sizeof(float),
                          "a readout", err));
    TAP_TRY_OUT(tap_alloc(&source->rows, n, (size_t)s->d_model * sizeof(float),
                          "a readout", err));
    if (spec->readout == TAP_READOUT_KEY) {
        TAP_TRY_OUT(tap_alloc(&source->keys, n, (size_t)d_kv * sizeof(float),
                              "a readout", err));
        TAP_TRY_OUT(tap_alloc(&source->turned, (size_t)s->d_model,
                              (size_t)d_kv * sizeof(float), "a readout", err));
    }
    source->work.scratch_bytes =
        spec->kernels->scratch_bytes(source->most_rows, width, 1, 0, spec->n_threads);
    TAP_TRY_OUT(tap_alloc(&source->work.scratch, source->work.scratch_bytes, 1,
                          "a readout", err));
    if (spec->readout == TAP_READOUT_HEAD)
        TAP_TRY_OUT(open_projector(source, err));
out:
    if (status == TAP_OK)
        *out = source;
    else
        tap_source_close(source);
    return status;
}

void tap_source_close(tap_source *source)
{
    if (!source)
        return;
    tap_free(source->gathered);
    tap_free(source->keys);
    tap_free(source->rows);
    tap_free(source->turned);
    tap_free(source->features);
    tap_free(source->work.scratch);
    tap_arena_clear(&source->job.arena);
    tap_free(source);
}

/* gathered [n_rows][d] = the rows that are read. */
static void gather(tap_source *source, const tap_state *state)
{
    const int64_t *rows = source->spec.rows[state->item];
    for (int64_t r = 0; r < source->spec.n_rows[state->item]; r++) {
        assert(rows[r] < state->n_rows);
        memcpy(source->gathered + r * state->d, state->values + rows[r] * state->d,
               (size_t)state->d * sizeof(float));
    }
}

/* rows = W_O v, each value standing once for every query head of its group. */
static void read_values(tap_source *source, const tap_state *state)
{
    const tap_model *m = source->spec.model;
    const tap_stack_spec *s = &m->spec.lm.stack;
    const int64_t n = source->spec.n_rows[state->item], d_head = s->d_head;
    const int64_t d_q = (int64_t)s->n_heads * d_head;
    const int per_group = s->n_heads / s->n_kv_heads;
    const int64_t *rows = source->spec.rows[state->item];
    for (int64_t r = 0; r < n; r++)
        for (int h = 0; h < s->n_heads; h++)
            memcpy(source->gathered + r * d_q + h * d_head,
                   state->values + rows[r] * state->d + h / per_group * d_head,
                   (size_t)d_head * sizeof(float));
    source->spec.kernels->linear(source->rows, s->d_model, source->gathered, d_q, n,
                                 &m->lm_blocks[state->block].o.weight, NULL,
                                 &source->work);
}

/* rows = W_K^T (W_K a + b), a the normed input of attention. */
static void read_keys(tap_source *source, const tap_state *state)
{
    const tap_model *m = source->spec.model;
    const tap_stack_spec *s = &m->spec.lm.stack;
    const tap_affine *k = &m->lm_blocks[state->block].k;
    const int64_t n = source->spec.n_rows[state->item], d = s->d_model,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head;
    if (source->turned_block != state->block) {
        for (int64_t o = 0; o < d_kv; o++) {
            tap_widen(source->rows, &k->weight, o * d, d);
            for (int64_t i = 0; i < d; i++)
                source->turned[i * d_kv + o] = source->rows[i];
        }
        source->turned_block = state->block;
    }
    const tap_tensor turned = {
        .bytes = source->turned, .dtype = TAP_F32, .n_dims = 2, .shape = {d, d_kv}};
    gather(source, state);
    source->spec.kernels->linear(source->keys, d_kv, source->gathered, d, n, &k->weight,
                                 k->bias.bytes ? &k->bias : NULL, &source->work);
    source->spec.kernels->linear(source->rows, d, source->keys, d_kv, n, &turned, NULL,
                                 &source->work);
}

/* rows = the projector's output for the encoder's state, at the patches that are read. */
static tap_status read_head(tap_source *source, const tap_state *state, tap_error *err)
{
    static const int64_t lane = 0;
    const tap_plan *clean = NULL;
    tap_item item = source->spec.items[state->item];
    item.plans = &clean;
    source->job.items = &item;
    const tap_span span = {.lanes = &lane, .n_lanes = 1, .n_rows = state->n_rows};
    tap_pass pass = {.job = &source->job,
                     .stack = TAP_VISION,
                     .spec = &source->spec.model->spec.vision.stack,
                     .block = -1};
    source->job.conditions = &(int32_t){0};
    const size_t mark = tap_arena_mark(&source->job.arena);
    TAP_TRY(tap_projector_run(&pass, source->features, state->values, &span, err));
    tap_arena_release(&source->job.arena, mark);
    const int64_t *rows = source->spec.rows[state->item];
    const int64_t d = source->spec.model->spec.lm.stack.d_model;
    for (int64_t r = 0; r < source->spec.n_rows[state->item]; r++) {
        const int64_t feature = item.sequence->tokens[rows[r]].feature;
        assert(feature >= 0 && feature < item.sequence->layout.n_slots);
        memcpy(source->rows + r * d, source->features + feature * d,
               (size_t)d * sizeof(float));
    }
    return TAP_OK;
}

tap_status tap_source_put(tap_source *source, tap_lens *lens, const tap_state *state,
                          tap_error *err)
{
    const int i = state_index(source, state);
    const float *rows = source->rows;
    if (i < 0)
        return TAP_OK;
    switch (source->spec.readout) {
    case TAP_READOUT_RESID:
        gather(source, state);
        rows = source->gathered;
        if (source->spec.translator) {
            tap_translator_run(source->rows, source->spec.translator, i,
                               source->gathered, source->spec.n_rows[state->item],
                               source->spec.kernels, &source->work);
            rows = source->rows;
        }
        break;
    case TAP_READOUT_HEAD:
        TAP_TRY(read_head(source, state, err));
        break;
    case TAP_READOUT_VALUE:
        read_values(source, state);
        break;
    case TAP_READOUT_KEY:
        read_keys(source, state);
        break;
    }
    return tap_lens_put_rows(lens, state->item, state->conditions, state->n_conditions,
                             i, rows, err);
}

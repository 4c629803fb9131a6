#include "read/source.h"

#include "base/memory.h"
#include "model/pass.h"

#include <assert.h>
#include <string.h>

struct tap_source {
    tap_source_spec spec;
    tap_workspace work;
    float *gathered; /* [rows of the largest item][width of the site] */
    float *keys;     /* key: [rows][n_kv_heads d_head] */
    float *rows;     /* [rows][d_lm] */
    float *turned;   /* key: W_K^T [d_lm][n_kv_heads d_head] of block `turned_block` */
    int turned_block;
    /* head: a run of its own that has only a projector */
    tap_job job;
    float *features; /* [slots of the largest item][d_lm] */
    double flop;
};

int tap_source_n_states(const tap_model *model, tap_readout readout)
{
    const int n = model->spec.lm.stack.n_blocks;
    if (readout == TAP_READOUT_HEAD)
        return model->spec.vision.n_blocks_read + 1;
    return readout == TAP_READOUT_RESID ? n + 1 : n;
}

static bool is_read(const tap_source_spec *spec, int i)
{
    return !spec->states || tap_bits_get(spec->states, i);
}

static tap_site site_of(tap_readout readout)
{
    return readout == TAP_READOUT_VALUE ? TAP_SITE_V
           : readout == TAP_READOUT_KEY ? TAP_SITE_ATTN_IN
                                        : TAP_SITE_RESID_PRE;
}

/* Which state of the source this is; -1: none. */
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

void tap_source_want(tap_wanted *wanted, const tap_source_spec *spec)
{
    const tap_readout readout = spec->readout;
    const tap_stack stack = readout == TAP_READOUT_HEAD ? TAP_VISION : TAP_LM;
    const int n = tap_source_n_states(spec->model, readout);
    const bool depths = readout == TAP_READOUT_RESID || readout == TAP_READOUT_HEAD;
    for (int i = 0; i < n; i++)
        if (!is_read(spec, i))
            continue;
        else if (depths && i == n - 1 && i > 0)
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

/* What the projector needs for the largest item: a run of its own without memory. */
typedef struct projector {
    tap_job job;
    size_t scratch_bytes, arena_bytes, n_slots;
} projector;

static projector describe_projector(const tap_source_spec *spec)
{
    static const tap_run_options options = {0};
    static const tap_wanted nothing;
    static const tap_sink sink = {.wanted = &nothing, .put = put_nothing};
    projector p = {.job = {.model = spec->model,
                           .kernels = spec->kernels,
                           .work = {.n_threads = spec->n_threads},
                           .n_items = 1,
                           .n_conditions = 1,
                           .options = &options,
                           .sink = &sink}};
    tap_run_size size = {.n_lanes = 1, .n_tok = {1, 1}};
    for (int64_t i = 0; i < spec->n_items; i++) {
        p.job.items = &spec->items[i];
        const int64_t n = tap_job_rows(&p.job, TAP_VISION, 0);
        size.n_tok[TAP_VISION] =
            n > size.n_tok[TAP_VISION] ? n : size.n_tok[TAP_VISION];
        const int64_t n_slots = p.job.items->sequence->layout.n_slots;
        size.n_slots = n_slots > size.n_slots ? n_slots : size.n_slots;
    }
    size.state_rows[TAP_VISION] = size.n_tok[TAP_VISION];
    size.n_projected = size.n_slots;
    p.n_slots = (size_t)size.n_slots;
    p.scratch_bytes =
        tap_run_scratch(spec->model, spec->kernels, &options, spec->n_threads, &size);
    p.arena_bytes =
        tap_run_need(spec->model, spec->kernels, &options, spec->n_threads, &size);
    return p;
}

static tap_status open_projector(tap_source *source, tap_error *err)
{
    const projector p = describe_projector(&source->spec);
    tap_job *job = &source->job;
    *job = p.job;
    TAP_TRY(tap_arena_init(&job->arena, p.arena_bytes, "an early exit", err));
    job->work.scratch_bytes = p.scratch_bytes;
    TAP_TRY(tap_arena_take(&job->work.scratch, &job->arena, p.scratch_bytes, 1, err));
    return tap_alloc(&source->features, p.n_slots,
                     (size_t)job->model->spec.lm.stack.d_model * sizeof(float),
                     "an early exit", err);
}

/* Widths of the decoder that a source's rows are made of. */
typedef struct widths {
    int64_t d, d_q, d_kv,
        most; /* of the residual stream, queries, keys; what is gathered */
} widths;

static widths widths_of(const tap_model *model)
{
    const tap_stack_spec *s = &model->spec.lm.stack;
    widths w = {.d = s->d_model,
                .d_q = (int64_t)s->n_heads * s->d_head,
                .d_kv = (int64_t)s->n_kv_heads * s->d_head};
    w.most = w.d_q > w.d ? w.d_q : w.d;
    return w;
}

static int64_t most_rows(const tap_source_spec *spec)
{
    int64_t most = 0;
    for (int64_t i = 0; i < spec->n_items; i++)
        most = spec->n_rows[i] > most ? spec->n_rows[i] : most;
    return most;
}

static size_t scratch_bytes(const tap_source_spec *spec)
{
    return spec->kernels->scratch_bytes(most_rows(spec), widths_of(spec->model).most, 1,
                                        0, spec->n_threads);
}

size_t tap_source_bytes(const tap_source_spec *spec)
{
    const widths w = widths_of(spec->model);
    const bool keys = spec->readout == TAP_READOUT_KEY;
    size_t n_floats = (size_t)(most_rows(spec) * (w.most + w.d + (keys ? w.d_kv : 0)));
    n_floats += keys ? (size_t)(w.d * w.d_kv) : 0;
    size_t n_bytes = sizeof(tap_source) + scratch_bytes(spec);
    if (spec->readout == TAP_READOUT_HEAD) {
        const projector p = describe_projector(spec);
        n_floats += p.n_slots * (size_t)w.d;
        n_bytes += p.arena_bytes;
    }
    return n_bytes + n_floats * sizeof(float);
}

double tap_source_flop_of(const tap_source_spec *spec, int64_t item)
{
    const widths w = widths_of(spec->model);
    const double n = (double)spec->n_rows[item], d = (double)w.d;
    switch (spec->readout) {
    case TAP_READOUT_RESID:
        return spec->translator ? 2.0 * n * d * d : 0.0;
    case TAP_READOUT_HEAD:
        return 2.0 * (double)spec->items[item].sequence->layout.n_slots * d *
               ((double)spec->model->spec.d_projector_in + d);
    case TAP_READOUT_VALUE:
        return 2.0 * n * (double)w.d_q * d;
    case TAP_READOUT_KEY:
        return 4.0 * n * (double)w.d_kv * d;
    }
    return 0.0;
}

tap_status tap_source_open(tap_source **out, const tap_source_spec *spec,
                           tap_error *err)
{
    tap_source *source = NULL;
    const widths w = widths_of(spec->model);
    const size_t n = (size_t)most_rows(spec);
    tap_status status = tap_alloc(&source, 1, sizeof *source, "a readout", err);
    if (status != TAP_OK)
        return status;
    source->spec = *spec;
    source->turned_block = -1;
    source->work.n_threads = spec->n_threads;
    TAP_TRY_OUT(tap_alloc(&source->gathered, n, (size_t)w.most * sizeof(float),
                          "a readout", err));
    TAP_TRY_OUT(
        tap_alloc(&source->rows, n, (size_t)w.d * sizeof(float), "a readout", err));
    if (spec->readout == TAP_READOUT_KEY) {
        TAP_TRY_OUT(tap_alloc(&source->keys, n, (size_t)w.d_kv * sizeof(float),
                              "a readout", err));
        TAP_TRY_OUT(tap_alloc(&source->turned, (size_t)w.d,
                              (size_t)w.d_kv * sizeof(float), "a readout", err));
    }
    source->work.scratch_bytes = scratch_bytes(spec);
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

tap_status tap_source_put(tap_source *source, tap_lens *const *lenses, int n_lenses,
                          const tap_state *state, tap_error *err)
{
    const int i = state_index(source, state);
    const float *rows = source->rows;
    if (i < 0 || !is_read(&source->spec, i))
        return TAP_OK;
    source->flop += tap_source_flop_of(&source->spec, state->item);
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
    for (int l = 0; l < n_lenses; l++)
        TAP_TRY(tap_lens_put_rows(lenses[l], state->item, state->conditions,
                                  state->n_conditions, i, rows,
                                  source->spec.rows[state->item], err));
    return TAP_OK;
}

double tap_source_flop(const tap_source *source)
{
    return source->flop;
}

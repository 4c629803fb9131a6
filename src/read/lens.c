#include "read/lens.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { GROUP_ROWS = 2048 };

/* Rows of one state waiting in the group. */
typedef struct waiting {
    int64_t item, first_row, n_rows;
    int64_t first_condition, n_conditions; /* in waiting_conditions */
    int depth_index;
} waiting;

/* Rows that are read together. */
typedef struct group {
    float *x; /* [GROUP_ROWS][d] */
    int64_t n_rows;
    waiting *queue;
    size_t n_queue, queue_capacity;
    int32_t *conditions; /* of all waiting states */
    size_t n_conditions, condition_capacity;
} group;

enum { RANKS, LOGITS, N_KINDS };

struct tap_lens {
    const tap_model *model;
    const tap_kernels *kernels;
    tap_workspace work;
    tap_lens_spec spec;
    int64_t n_items, n_conditions;
    int n_depths;
    int depths[TAP_MAX_BLOCKS + 1];
    float **values[N_KINDS]; /* [n_items * n_conditions] */
    tap_tensor label_words;  /* [n_labels][d], rows of the output matrix */
    float *label_rows;
    group groups[N_KINDS];
    float *result; /* [GROUP_ROWS][n_labels] */
    double flop;
};

/* Which positions of an item are read for a kind. */
static int64_t rows_of(const int64_t **rows, const tap_lens *lens, int kind,
                       int64_t item)
{
    const tap_lens_spec *s = &lens->spec;
    if (kind == LOGITS && !s->n_logit_rows)
        return 0;
    *rows = kind == LOGITS ? s->logit_rows[item] : s->rows[item];
    return kind == LOGITS ? s->n_logit_rows[item] : s->n_rows[item];
}

static tap_status alloc_results(tap_lens *lens, tap_error *err)
{
    const int64_t n_lanes = lens->n_items * lens->n_conditions;
    const size_t per_row =
        (size_t)lens->n_depths * (size_t)lens->spec.n_labels * sizeof(float);
    const size_t d = (size_t)lens->model->spec.lm.stack.d_model;
    for (int kind = 0; kind < N_KINDS; kind++) {
        TAP_TRY(tap_alloc(&lens->values[kind], (size_t)n_lanes, sizeof(float *),
                          "ranks", err));
        for (int64_t l = 0; l < n_lanes; l++) {
            const int64_t *rows = NULL;
            const int64_t n = rows_of(&rows, lens, kind, l / lens->n_conditions);
            TAP_TRY(
                tap_alloc(&lens->values[kind][l], (size_t)n, per_row, "ranks", err));
        }
        TAP_TRY(tap_alloc(&lens->groups[kind].x, GROUP_ROWS, d * sizeof(float),
                          "a lens", err));
    }
    return TAP_OK;
}

static tap_status take_label_rows(tap_lens *lens, tap_error *err)
{
    const int64_t d = lens->model->spec.lm.stack.d_model;
    const tap_lens_spec *s = &lens->spec;
    TAP_TRY(tap_alloc(&lens->label_rows, (size_t)s->n_labels, (size_t)d * sizeof(float),
                      "label rows", err));
    for (int64_t l = 0; l < s->n_labels; l++) {
        assert(s->labels[l] >= 0 && s->labels[l] < lens->model->spec.lm.d_vocab);
        tap_widen(lens->label_rows + l * d, &lens->model->head, s->labels[l] * d, d);
    }
    lens->label_words = (tap_tensor){.bytes = lens->label_rows,
                                     .dtype = TAP_F32,
                                     .n_dims = 2,
                                     .shape = {s->n_labels, d}};
    return TAP_OK;
}

tap_status tap_lens_open(tap_lens **out, const tap_model *model,
                         const tap_kernels *kernels, int n_threads,
                         const tap_lens_spec *spec, int64_t n_items,
                         int64_t n_conditions, tap_error *err)
{
    tap_lens *lens = NULL;
    const int64_t d = model->spec.lm.stack.d_model;
    tap_status status = tap_alloc(&lens, 1, sizeof *lens, "a lens", err);
    if (status != TAP_OK)
        return status;
    lens->model = model;
    lens->kernels = kernels;
    lens->work.n_threads = n_threads;
    lens->spec = *spec;
    lens->n_items = n_items;
    lens->n_conditions = n_conditions;
    for (int depth = 0; depth <= model->spec.lm.stack.n_blocks; depth++)
        if (tap_bits_get(spec->depths, depth))
            lens->depths[lens->n_depths++] = depth;
    TAP_TRY_OUT(alloc_results(lens, err));
    TAP_TRY_OUT(take_label_rows(lens, err));
    TAP_TRY_OUT(tap_alloc(&lens->result, GROUP_ROWS,
                          (size_t)spec->n_labels * sizeof(float), "a lens", err));
    lens->work.scratch_bytes =
        kernels->scratch_bytes(GROUP_ROWS, d, 1, spec->n_labels, n_threads);
    TAP_TRY_OUT(
        tap_alloc(&lens->work.scratch, lens->work.scratch_bytes, 1, "a lens", err));
out:
    if (status == TAP_OK)
        *out = lens;
    else
        tap_lens_close(lens);
    return status;
}

void tap_lens_close(tap_lens *lens)
{
    if (!lens)
        return;
    for (int kind = 0; kind < N_KINDS; kind++) {
        for (int64_t l = 0; l < lens->n_items * lens->n_conditions; l++)
            if (lens->values[kind])
                tap_free(lens->values[kind][l]);
        tap_free(lens->values[kind]);
        tap_free(lens->groups[kind].x);
        tap_free(lens->groups[kind].queue);
        tap_free(lens->groups[kind].conditions);
    }
    tap_free(lens->label_rows);
    tap_free(lens->result);
    tap_free(lens->work.scratch);
    tap_free(lens);
}

/* Depth n is what leaves the last block; every other depth is what enters a block. */
void tap_lens_want(tap_wanted *wanted, const tap_lens *lens)
{
    const int n = lens->model->spec.lm.stack.n_blocks;
    for (int i = 0; i < lens->n_depths; i++) {
        const int depth = lens->depths[i];
        const tap_site site = depth == n ? TAP_SITE_RESID_POST : TAP_SITE_RESID_PRE;
        tap_bits_set(wanted->blocks[TAP_LM][site], depth == n ? n - 1 : depth);
    }
}

/* Index of the depth of a state in the results; -1 if the lens does not read it. */
static int depth_index(const tap_lens *lens, const tap_state *state)
{
    const int n = lens->model->spec.lm.stack.n_blocks;
    int depth = -1;
    if (state->stack == TAP_LM && state->site == TAP_SITE_RESID_PRE)
        depth = state->block;
    else if (state->stack == TAP_LM && state->site == TAP_SITE_RESID_POST &&
             state->block == n - 1)
        depth = n;
    for (int i = 0; i < lens->n_depths; i++)
        if (lens->depths[i] == depth)
            return i;
    return -1;
}

static void hand_out(tap_lens *lens, int kind)
{
    const group *g = &lens->groups[kind];
    const int64_t n_labels = lens->spec.n_labels;
    const float *values = lens->result;
    for (size_t i = 0; i < g->n_queue; i++) {
        const waiting *w = &g->queue[i];
        const int64_t *rows = NULL;
        const int64_t n_rows = rows_of(&rows, lens, kind, w->item);
        const int64_t at = (w->depth_index * n_rows + w->first_row) * n_labels;
        for (int64_t c = 0; c < w->n_conditions; c++) {
            const int64_t lane =
                w->item * lens->n_conditions + g->conditions[w->first_condition + c];
            memcpy(lens->values[kind][lane] + at, values,
                   (size_t)(w->n_rows * n_labels) * sizeof *values);
        }
        values += w->n_rows * n_labels;
    }
}

/* Norm, product and count for all rows of a group. */
static void read_group(tap_lens *lens, int kind)
{
    const tap_model *m = lens->model;
    const int64_t d = m->spec.lm.stack.d_model, n_labels = lens->spec.n_labels;
    group *g = &lens->groups[kind];
    if (g->n_rows == 0)
        return;
    if (!lens->spec.no_norm)
        lens->kernels->rms_norm(g->x, g->x, g->n_rows, d, &m->final_norm.weight,
                                m->spec.lm.stack.norm_eps, &lens->work);
    if (kind == LOGITS) {
        lens->kernels->linear(lens->result, n_labels, g->x, d, g->n_rows,
                              &lens->label_words, NULL, &lens->work);
    } else {
        lens->kernels->rank(lens->result, NULL, g->x, g->n_rows, &m->head,
                            lens->spec.labels, n_labels, lens->spec.candidates,
                            &lens->work);
        lens->flop += 2.0 * (double)g->n_rows * (double)d * (double)m->spec.lm.d_vocab;
    }
    hand_out(lens, kind);
    g->n_rows = 0;
    g->n_queue = 0;
}

/* The rows of a state that are read join the group; a full group is read. */
static tap_status take_rows(tap_lens *lens, const tap_state *state, int kind, int depth,
                            tap_error *err)
{
    group *g = &lens->groups[kind];
    const int64_t *rows = NULL;
    const int64_t n = rows_of(&rows, lens, kind, state->item);
    if (g->n_queue == 0)
        g->n_conditions = 0;
    const size_t first = g->n_conditions;
    TAP_TRY(tap_grow(&g->conditions, &g->condition_capacity,
                     first + (size_t)state->n_conditions, sizeof *g->conditions,
                     "a lens", err));
    memcpy(g->conditions + first, state->conditions,
           (size_t)state->n_conditions * sizeof *g->conditions);
    g->n_conditions += (size_t)state->n_conditions;
    for (int64_t done = 0; done < n;) {
        if (g->n_rows == GROUP_ROWS)
            read_group(lens, kind);
        const int64_t room = GROUP_ROWS - g->n_rows;
        const int64_t m = n - done < room ? n - done : room;
        TAP_TRY(tap_grow(&g->queue, &g->queue_capacity, g->n_queue + 1,
                         sizeof *g->queue, "a lens", err));
        g->queue[g->n_queue++] = (waiting){.item = state->item,
                                           .first_row = done,
                                           .n_rows = m,
                                           .first_condition = (int64_t)first,
                                           .n_conditions = state->n_conditions,
                                           .depth_index = depth};
        for (int64_t r = 0; r < m; r++) {
            assert(rows[done + r] < state->n_rows);
            memcpy(g->x + (g->n_rows + r) * state->d,
                   state->values + rows[done + r] * state->d,
                   (size_t)state->d * sizeof *g->x);
        }
        g->n_rows += m;
        done += m;
    }
    return TAP_OK;
}

tap_status tap_lens_put(tap_lens *lens, const tap_state *state, tap_error *err)
{
    const int depth = depth_index(lens, state);
    if (depth < 0)
        return TAP_OK;
    for (int kind = 0; kind < N_KINDS; kind++)
        TAP_TRY(take_rows(lens, state, kind, depth, err));
    return TAP_OK;
}

void tap_lens_flush(tap_lens *lens)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        read_group(lens, kind);
}

int tap_lens_n_depths(const tap_lens *lens)
{
    return lens->n_depths;
}

int tap_lens_depth(const tap_lens *lens, int i)
{
    assert(i >= 0 && i < lens->n_depths);
    return lens->depths[i];
}

const float *tap_lens_ranks(const tap_lens *lens, int64_t item, int64_t condition)
{
    return lens->values[RANKS][item * lens->n_conditions + condition];
}

const float *tap_lens_logits(const tap_lens *lens, int64_t item, int64_t condition)
{
    return lens->values[LOGITS][item * lens->n_conditions + condition];
}

double tap_lens_flop(const tap_lens *lens)
{
    return lens->flop;
}

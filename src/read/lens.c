#include "read/lens.h"

#include "base/memory.h"
#include "base/planted.h"

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

/* Groups of rows: those that are ranked in the vocabulary, and those of which only the
 * labels' own logits are kept, with or without the softmax denominator. */
enum { RANKS, LOGITS, N_KINDS };

/* What is kept of a row: columns of 4 bytes. */
enum {
    OUT_RANKS,
    OUT_LOGITS,
    OUT_SCORES,
    OUT_TOP_IDS,
    OUT_TOP_LOGITS,
    OUT_SUMS,
    OUT_LOGIT_SUMS,
    N_OUTS
};

static const int kind_of[N_OUTS] = {
    [OUT_LOGITS] = LOGITS, [OUT_LOGIT_SUMS] = LOGITS}; /* all others: RANKS */

struct tap_lens {
    const tap_model *model;
    const tap_kernels *kernels;
    tap_workspace work;
    tap_lens_spec spec;
    int64_t n_items, n_conditions;
    int n_depths;
    int depths[TAP_MAX_BLOCKS + 1];
    int64_t width[N_OUTS]; /* columns; 0: not kept */
    void **values[N_OUTS]; /* [n_items * n_conditions]: [n_depths][n_rows][width] */
    void *result[N_OUTS];  /* [GROUP_ROWS][width] of the group in hand */
    tap_spelling *single;  /* [n_labels] labels as spellings */
    tap_vocab_ask ask;
    bool whole;             /* every logit of a row matters: read/vocab */
    void *vocab_scratch;    /* of tap_vocab_read */
    int64_t n_pieces;       /* ids of all labels or spellings, one after the other */
    tap_tensor label_words; /* [n_pieces][d], rows of the matrix of words */
    tap_tensor label_bias;  /* [n_pieces], if the output has one */
    float *label_rows;      /* of both */
    float *piece_logits;    /* [GROUP_ROWS][n_pieces] */
    group groups[N_KINDS];
    double flop;
};

/* Which positions of an item are read for a kind. */
static int64_t rows_of(const int64_t **rows, const tap_lens *lens, int kind,
                       int64_t item)
{
    const tap_lens_spec *s = &lens->spec;
    const int64_t *n = kind == LOGITS ? s->n_logit_rows : s->n_rows;
    if (!n)
        return 0;
    *rows = kind == LOGITS ? s->logit_rows[item] : s->rows[item];
    return n[item];
}

static bool is_read(const tap_lens_spec *s, int kind)
{
    return kind == LOGITS ? s->n_logit_rows != NULL : s->n_rows != NULL;
}

static tap_status alloc_results(tap_lens *lens, tap_error *err)
{
    const int64_t n_lanes = lens->n_items * lens->n_conditions;
    const size_t d = (size_t)lens->model->spec.lm.stack.d_model;
    for (int out = 0; out < N_OUTS; out++) {
        const size_t row = (size_t)lens->width[out] * sizeof(float);
        TAP_TRY(tap_alloc(&lens->values[out], (size_t)n_lanes, sizeof(void *), "ranks",
                          err));
        for (int64_t l = 0; l < n_lanes; l++) {
            const int64_t *rows = NULL;
            const int64_t n =
                rows_of(&rows, lens, kind_of[out], l / lens->n_conditions);
            TAP_TRY(tap_alloc(&lens->values[out][l], (size_t)n,
                              (size_t)lens->n_depths * row, "ranks", err));
        }
        TAP_TRY(tap_alloc(&lens->result[out], GROUP_ROWS, row, "a lens", err));
    }
    for (int kind = 0; kind < N_KINDS; kind++)
        if (is_read(&lens->spec, kind))
            TAP_TRY(tap_alloc(&lens->groups[kind].x, GROUP_ROWS, d * sizeof(float),
                              "a lens", err));
    return TAP_OK;
}

/* A lens without memory: what it keeps, and what it asks of the vocabulary. */
static tap_lens describe(const tap_model *model, const tap_kernels *kernels,
                         int n_threads, const tap_lens_spec *s, int64_t n_items,
                         int64_t n_conditions)
{
    const int64_t n = s->spellings ? s->n_spellings : s->n_labels;
    tap_lens lens = {
        .model = model,
        .kernels = kernels,
        .work = {.n_threads = n_threads},
        .spec = *s,
        .n_items = n_items,
        .n_conditions = n_conditions,
        .whole = s->spellings || s->n_top > 0 || s->words || s->word_scale ||
                 model->head_bias.bytes,
        .ask = {.words = s->words ? s->words : &model->head,
                .bias = s->words || !model->head_bias.bytes ? NULL : &model->head_bias,
                .word_scale = s->word_scale,
                .candidates = s->candidates,
                .spellings = s->spellings,
                .n_spellings = n,
                .n_top = s->n_top}};
    const int n_states = s->n_states ? s->n_states : model->spec.lm.stack.n_blocks + 1;
    assert(n_states <= TAP_MAX_BLOCKS + 1);
    for (int i = 0; i < n_states; i++)
        if (!s->depths || tap_bits_get(s->depths, i))
            lens.depths[lens.n_depths++] = i;
    if (is_read(s, LOGITS)) {
        lens.width[OUT_LOGITS] = n;
        lens.width[OUT_LOGIT_SUMS] = s->logit_sums;
    }
    lens.width[OUT_RANKS] = is_read(s, RANKS) ? n : 0;
    if (lens.whole && is_read(s, RANKS)) {
        lens.width[OUT_SCORES] = n;
        lens.width[OUT_TOP_IDS] = lens.width[OUT_TOP_LOGITS] = s->n_top;
        lens.width[OUT_SUMS] = 1;
    }
    lens.work.scratch_bytes = kernels->scratch_bytes(
        GROUP_ROWS, model->spec.lm.stack.d_model, 1, s->n_labels, n_threads);
    return lens;
}

/* Ids of all labels or spellings, one after the other. */
static int64_t count_ids(const tap_lens_spec *s)
{
    int64_t n = s->spellings ? 0 : s->n_labels;
    for (int64_t i = 0; s->spellings && i < s->n_spellings; i++)
        n += s->spellings[i].n_ids;
    return n;
}

/* Whether the LOGITS rows' product is not yet what is kept of them. */
static bool folds(const tap_lens_spec *s)
{
    return s->spellings || s->word_scale;
}

static tap_vocab_ask sums_ask(const tap_lens *lens)
{
    tap_vocab_ask ask = lens->ask;
    ask.n_spellings = ask.n_top = 0;
    return ask;
}

static size_t vocab_bytes(const tap_lens *lens)
{
    const tap_vocab_ask sums = sums_ask(lens);
    return lens->whole && is_read(&lens->spec, RANKS)
               ? tap_vocab_scratch_bytes(&lens->ask, GROUP_ROWS)
           : lens->spec.logit_sums ? tap_vocab_scratch_bytes(&sums, GROUP_ROWS)
                                   : 0;
}

size_t tap_lens_bytes(const tap_model *model, const tap_kernels *kernels, int n_threads,
                      const tap_lens_spec *spec, int64_t n_items, int64_t n_conditions)
{
    const tap_lens lens =
        describe(model, kernels, n_threads, spec, n_items, n_conditions);
    const size_t d = (size_t)model->spec.lm.stack.d_model;
    size_t n_floats = 0;
    for (int kind = 0; kind < N_KINDS; kind++)
        n_floats += is_read(spec, kind) ? GROUP_ROWS * d : 0;
    if (is_read(spec, LOGITS)) {
        const size_t n_ids = (size_t)count_ids(spec);
        n_floats += n_ids * (d + 1 + (folds(spec) ? GROUP_ROWS : 0));
    }
    for (int out = 0; out < N_OUTS; out++) {
        int64_t n_all = 0;
        for (int64_t i = 0; i < n_items; i++) {
            const int64_t *rows = NULL;
            n_all += rows_of(&rows, &lens, kind_of[out], i);
        }
        n_floats += (size_t)lens.width[out] *
                    (GROUP_ROWS + (size_t)(n_all * n_conditions * lens.n_depths));
    }
    return sizeof lens + n_floats * sizeof(float) + lens.work.scratch_bytes +
           vocab_bytes(&lens);
}

/* FLOPs of one row of a kind. */
static double row_flop(const tap_model *model, const tap_lens_spec *s, int kind)
{
    const bool vocabulary = kind == RANKS || s->logit_sums;
    const double n_words = (vocabulary ? (double)model->spec.lm.d_vocab : 0.0) +
                           (kind == LOGITS ? (double)count_ids(s) : 0.0);
    return 2.0 * (double)model->spec.lm.stack.d_model * n_words;
}

double tap_lens_flop_of(const tap_model *model, const tap_lens_spec *spec, int64_t item)
{
    double flop = 0.0;
    for (int kind = 0; kind < N_KINDS; kind++)
        if (is_read(spec, kind))
            flop += (double)(kind == LOGITS ? spec->n_logit_rows : spec->n_rows)[item] *
                    row_flop(model, spec, kind);
    return flop;
}

static tap_status set_up(tap_lens *lens, tap_error *err)
{
    const tap_lens_spec *s = &lens->spec;
    const int64_t n = lens->ask.n_spellings;
    const size_t n_bytes = vocab_bytes(lens);
    if (n_bytes == 0)
        return TAP_OK;
    if (lens->whole && !s->spellings) {
        TAP_TRY(
            tap_alloc(&lens->single, (size_t)n, sizeof *lens->single, "labels", err));
        for (int64_t l = 0; l < n; l++)
            lens->single[l] = (tap_spelling){&s->labels[l], 1};
        lens->ask.spellings = lens->single;
    }
    return tap_alloc(&lens->vocab_scratch, n_bytes, 1, "a lens", err);
}

static void take_word(tap_lens *lens, int64_t row, int32_t id)
{
    const int64_t d = lens->model->spec.lm.stack.d_model;
    assert(id >= 0 && id < lens->ask.words->shape[0]);
    tap_widen(lens->label_rows + row * d, lens->ask.words, id * d, d);
    if (lens->ask.bias)
        tap_widen(lens->label_rows + lens->n_pieces * d + row, lens->ask.bias, id, 1);
}

/* The rows of all words that LOGITS rows are multiplied with. */
static tap_status take_label_rows(tap_lens *lens, tap_error *err)
{
    const int64_t d = lens->model->spec.lm.stack.d_model;
    const tap_lens_spec *s = &lens->spec;
    if (!is_read(s, LOGITS))
        return TAP_OK;
    lens->n_pieces = count_ids(s);
    TAP_TRY(tap_alloc(&lens->label_rows, (size_t)lens->n_pieces,
                      (size_t)(d + 1) * sizeof(float), "label rows", err));
    for (int64_t l = 0; !s->spellings && l < s->n_labels; l++)
        take_word(lens, l, s->labels[l]);
    for (int64_t a = 0, at = 0; s->spellings && a < s->n_spellings; a++)
        for (int64_t i = 0; i < s->spellings[a].n_ids; i++)
            take_word(lens, at++, s->spellings[a].ids[i]);
    lens->label_bias = (tap_tensor){.bytes = lens->label_rows + lens->n_pieces * d,
                                    .dtype = TAP_F32,
                                    .n_dims = 1,
                                    .shape = {lens->n_pieces}};
    lens->label_words = (tap_tensor){.bytes = lens->label_rows,
                                     .dtype = TAP_F32,
                                     .n_dims = 2,
                                     .shape = {lens->n_pieces, d}};
    return folds(s) ? tap_alloc(&lens->piece_logits, GROUP_ROWS,
                                (size_t)lens->n_pieces * sizeof(float), "a lens", err)
                    : TAP_OK;
}

tap_status tap_lens_open(tap_lens **out, const tap_model *model,
                         const tap_kernels *kernels, int n_threads,
                         const tap_lens_spec *spec, int64_t n_items,
                         int64_t n_conditions, tap_error *err)
{
    tap_lens *lens = NULL;
    tap_status status = tap_alloc(&lens, 1, sizeof *lens, "a lens", err);
    if (status != TAP_OK)
        return status;
    *lens = describe(model, kernels, n_threads, spec, n_items, n_conditions);
    TAP_TRY_OUT(set_up(lens, err));
    TAP_TRY_OUT(alloc_results(lens, err));
    TAP_TRY_OUT(take_label_rows(lens, err));
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
        tap_free(lens->groups[kind].x);
        tap_free(lens->groups[kind].queue);
        tap_free(lens->groups[kind].conditions);
    }
    for (int out = 0; out < N_OUTS; out++) {
        for (int64_t l = 0; l < lens->n_items * lens->n_conditions; l++)
            if (lens->values[out])
                tap_free(lens->values[out][l]);
        tap_free(lens->values[out]);
        tap_free(lens->result[out]);
    }
    tap_free(lens->label_rows);
    tap_free(lens->piece_logits);
    tap_free(lens->single);
    tap_free(lens->vocab_scratch);
    tap_free(lens->work.scratch);
    tap_free(lens);
}

/* The state that is read for a depth: its own. */
static int state_of(int depth)
{
    return TAP_PLANTED(TAP_BUG_DEPTH_OFF_BY_ONE) && depth > 0 ? depth - 1 : depth;
}

void tap_lens_want_of(tap_wanted *wanted, const tap_model *model,
                      const tap_lens_spec *spec)
{
    const int n = model->spec.lm.stack.n_blocks;
    for (int depth = 0; depth <= n && !spec->n_states; depth++)
        if (!spec->depths || tap_bits_get(spec->depths, depth)) {
            const int state = state_of(depth);
            const bool last = state == n; /* what leaves the last block */
            tap_bits_set(
                wanted->blocks[TAP_LM][last ? TAP_SITE_RESID_POST : TAP_SITE_RESID_PRE],
                last ? n - 1 : state);
        }
}

void tap_lens_want(tap_wanted *wanted, const tap_lens *lens)
{
    tap_lens_want_of(wanted, lens->model, &lens->spec);
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
        if (state_of(lens->depths[i]) == depth)
            return i;
    return -1;
}

/* Copies what was found of the group's rows to all lanes that share them. */
static void hand_out(tap_lens *lens, int kind)
{
    const group *g = &lens->groups[kind];
    for (int out = 0; out < N_OUTS; out++) {
        if (kind_of[out] != kind || lens->width[out] == 0)
            continue;
        const size_t row_bytes = (size_t)lens->width[out] * sizeof(float);
        const unsigned char *values = lens->result[out];
        for (size_t i = 0; i < g->n_queue; i++) {
            const waiting *w = &g->queue[i];
            const int64_t *rows = NULL;
            const int64_t n_rows = rows_of(&rows, lens, kind, w->item);
            const size_t at =
                (size_t)(w->depth_index * n_rows + w->first_row) * row_bytes;
            const size_t n_bytes = (size_t)w->n_rows * row_bytes;
            for (int64_t c = 0; c < w->n_conditions; c++) {
                const int64_t lane = w->item * lens->n_conditions +
                                     g->conditions[w->first_condition + c];
                memcpy((unsigned char *)lens->values[out][lane] + at, values, n_bytes);
            }
            values += n_bytes;
        }
    }
}

/* The labels' logits of a group; a spelling's score is the mean of its pieces' logits, summed
 * as read/vocab sums it. */
static void read_logits(tap_lens *lens, const group *g)
{
    const tap_lens_spec *s = &lens->spec;
    const int64_t d = lens->model->spec.lm.stack.d_model, n = lens->width[OUT_LOGITS];
    float *out = lens->result[OUT_LOGITS];
    float *logits = folds(s) ? lens->piece_logits : out;
    if (lens->n_pieces > 0)
        lens->kernels->linear(logits, lens->n_pieces, g->x, d, g->n_rows,
                              &lens->label_words,
                              lens->ask.bias ? &lens->label_bias : NULL, &lens->work);
    for (int64_t r = 0; folds(s) && r < g->n_rows; r++)
        for (int64_t a = 0, at = 0; a < n; a++) {
            const int64_t n_ids = s->spellings ? s->spellings[a].n_ids : 1;
            double sum = 0.0;
            for (int64_t i = 0; i < n_ids; i++) {
                const int32_t id = s->spellings ? s->spellings[a].ids[i] : s->labels[a];
                const float scale = s->word_scale ? s->word_scale[id] : 1.0F;
                sum += (double)(logits[r * lens->n_pieces + at++] * scale);
            }
            out[r * n + a] = (float)(sum / (double)n_ids);
        }
    if (s->logit_sums) {
        const tap_vocab_ask ask = sums_ask(lens);
        const tap_vocab_answer answer = {.log_sums = lens->result[OUT_LOGIT_SUMS]};
        tap_vocab_read(&answer, &ask, g->x, g->n_rows, lens->kernels, &lens->work,
                       lens->vocab_scratch);
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
    for (int i = 0; i < (TAP_PLANTED(TAP_BUG_NORM_TWICE) ? 2 : !lens->spec.no_norm);
         i++)
        lens->kernels->rms_norm(g->x, g->x, g->n_rows, d, &m->final_norm.weight,
                                m->spec.lm.stack.norm_eps, &lens->work);
    if (kind == LOGITS) {
        read_logits(lens, g);
    } else {
        const tap_vocab_answer answer = {.ranks = lens->result[OUT_RANKS],
                                         .scores = lens->result[OUT_SCORES],
                                         .top_ids = lens->result[OUT_TOP_IDS],
                                         .top_logits = lens->result[OUT_TOP_LOGITS],
                                         .log_sums = lens->result[OUT_SUMS]};
        if (lens->whole)
            tap_vocab_read(&answer, &lens->ask, g->x, g->n_rows, lens->kernels,
                           &lens->work, lens->vocab_scratch);
        else
            lens->kernels->rank(answer.ranks, NULL, g->x, g->n_rows, &m->head,
                                lens->spec.labels, n_labels, lens->spec.candidates,
                                &lens->work);
    }
    lens->flop += (double)g->n_rows * row_flop(m, &lens->spec, kind);
    hand_out(lens, kind);
    g->n_rows = 0;
    g->n_queue = 0;
}

/* The rows of a state that the lens reads join the group; a full group is read. positions:
 * which position each row of values [..][d] is; NULL: its own number. */
static tap_status take_rows(tap_lens *lens, int kind, waiting state,
                            const int32_t *conditions, const float *values,
                            const int64_t *positions, tap_error *err)
{
    group *g = &lens->groups[kind];
    const int64_t *rows = NULL;
    const int64_t n = rows_of(&rows, lens, kind, state.item);
    int64_t at = 0;
    const int64_t d = lens->model->spec.lm.stack.d_model;
    if (g->n_queue == 0)
        g->n_conditions = 0;
    const size_t first = g->n_conditions;
    TAP_TRY(tap_grow(&g->conditions, &g->condition_capacity,
                     first + (size_t)state.n_conditions, sizeof *g->conditions,
                     "a lens", err));
    memcpy(g->conditions + first, conditions,
           (size_t)state.n_conditions * sizeof *g->conditions);
    g->n_conditions += (size_t)state.n_conditions;
    state.first_condition = (int64_t)first;
    for (int64_t done = 0; done < n;) {
        if (g->n_rows == GROUP_ROWS)
            read_group(lens, kind);
        const int64_t room = GROUP_ROWS - g->n_rows;
        const int64_t m = n - done < room ? n - done : room;
        TAP_TRY(tap_grow(&g->queue, &g->queue_capacity, g->n_queue + 1,
                         sizeof *g->queue, "a lens", err));
        state.first_row = done;
        state.n_rows = m;
        g->queue[g->n_queue++] = state;
        for (int64_t r = 0; r < m; r++) {
            while (positions && positions[at] < rows[done + r])
                at++;
            assert(!positions || positions[at] == rows[done + r]);
            memcpy(g->x + (g->n_rows + r) * d,
                   values + (positions ? at : rows[done + r]) * d,
                   (size_t)d * sizeof *g->x);
        }
        g->n_rows += m;
        done += m;
    }
    return TAP_OK;
}

tap_status tap_lens_put(tap_lens *lens, const tap_state *state, tap_error *err)
{
    const int depth = lens->spec.n_states ? -1 : depth_index(lens, state);
    if (depth < 0)
        return TAP_OK;
    for (int kind = 0; kind < N_KINDS; kind++) {
        const int64_t *rows = NULL;
        const int64_t n = rows_of(&rows, lens, kind, state->item);
        for (int64_t r = 0; r < n; r++)
            assert(rows[r] < state->n_rows);
        const waiting w = {.item = state->item,
                           .n_conditions = state->n_conditions,
                           .depth_index = depth};
        TAP_TRY(take_rows(lens, kind, w, state->conditions, state->values, NULL, err));
    }
    return TAP_OK;
}

tap_status tap_lens_put_rows(tap_lens *lens, int64_t item, const int32_t *conditions,
                             int64_t n_conditions, int i, const float *rows,
                             const int64_t *positions, tap_error *err)
{
    waiting w = {.item = item, .n_conditions = n_conditions, .depth_index = -1};
    assert(i >= 0 && i < lens->spec.n_states);
    for (int k = 0; k < lens->n_depths; k++)
        if (lens->depths[k] == i)
            w.depth_index = k;
    for (int kind = 0; kind < N_KINDS && w.depth_index >= 0; kind++)
        TAP_TRY(take_rows(lens, kind, w, conditions, rows, positions, err));
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

static const void *values_of(const tap_lens *lens, int out, int64_t item,
                             int64_t condition)
{
    return lens->values[out][item * lens->n_conditions + condition];
}

const float *tap_lens_ranks(const tap_lens *lens, int64_t item, int64_t condition)
{
    return values_of(lens, OUT_RANKS, item, condition);
}

const float *tap_lens_scores(const tap_lens *lens, int64_t item, int64_t condition)
{
    return values_of(lens, OUT_SCORES, item, condition);
}

const int32_t *tap_lens_top(const float **logits, const tap_lens *lens, int64_t item,
                            int64_t condition)
{
    *logits = values_of(lens, OUT_TOP_LOGITS, item, condition);
    return values_of(lens, OUT_TOP_IDS, item, condition);
}

const float *tap_lens_log_sums(const tap_lens *lens, int64_t item, int64_t condition)
{
    return values_of(lens, OUT_SUMS, item, condition);
}

const float *tap_lens_logits(const tap_lens *lens, int64_t item, int64_t condition)
{
    return values_of(lens, OUT_LOGITS, item, condition);
}

const float *tap_lens_logit_sums(const tap_lens *lens, int64_t item, int64_t condition)
{
    return values_of(lens, OUT_LOGIT_SUMS, item, condition);
}

double tap_lens_flop(const tap_lens *lens)
{
    return lens->flop;
}

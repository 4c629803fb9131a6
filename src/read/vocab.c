/* HOW IT WORKS. The scores of the spellings come first, from the same product as all other
 * logits. Then tile after tile of words: one product for all rows, and each row counts,
 * keeps its largest and adds to its sum. A row belongs to one thread, so nothing depends
 * on their number. */
#include "read/vocab.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { TILE_WORDS = 1024, PIECES = 64 };

/* Of one row, across tiles. */
typedef struct tally {
    double max, sum; /* sum of exp(z - max) */
    int64_t n_words; /* candidates met */
    int64_t n_top;   /* kept so far */
} tally;

/* Where everything lies in the scratch. */
typedef struct bench {
    tally *tallies;  /* [n_rows] */
    int64_t *counts; /* [n_rows][n_spellings][2]: above, equal */
    float *tile;     /* [n_rows][TILE_WORDS] */
    float *words;    /* [PIECES][d] pieces of spellings */
    float *offsets;  /* [PIECES] their biases */
} bench;

static size_t lay_out(bench *b, const tap_vocab_ask *ask, int64_t n_rows, void *scratch)
{
    unsigned char *at = scratch;
    const size_t n = (size_t)n_rows;
    const size_t bytes[] = {n * sizeof *b->tallies,
                            n * (size_t)ask->n_spellings * 2 * sizeof *b->counts,
                            n * TILE_WORDS * sizeof *b->tile,
                            PIECES * (size_t)ask->words->shape[1] * sizeof *b->words,
                            PIECES * sizeof *b->offsets};
    size_t offset[6] = {0};
    for (size_t i = 0; i < 5; i++)
        offset[i + 1] = offset[i] + (bytes[i] + 63) / 64 * 64;
    if (at) {
        b->tallies = (tally *)(void *)at;
        b->counts = (int64_t *)(void *)(at + offset[1]);
        b->tile = (float *)(void *)(at + offset[2]);
        b->words = (float *)(void *)(at + offset[3]);
        b->offsets = (float *)(void *)(at + offset[4]);
    }
    return offset[5];
}

size_t tap_vocab_scratch_bytes(const tap_vocab_ask *ask, int64_t n_rows)
{
    bench b;
    return lay_out(&b, ask, n_rows, NULL);
}

/* Pieces of spellings that go through one product. */
typedef struct pieces {
    int32_t ids[PIECES];
    int64_t of[PIECES]; /* which spelling each belongs to */
    int64_t n;
} pieces;

/* sums [n_rows][n_spellings] += logits of the pieces; none are left. */
static void add_pieces(double *sums, pieces *p, const tap_vocab_ask *ask,
                       const float *x, int64_t n_rows, const tap_kernels *kernels,
                       const tap_workspace *work, const bench *b)
{
    const int64_t d = ask->words->shape[1], n = ask->n_spellings;
    const tap_tensor words = {
        .bytes = b->words, .dtype = TAP_F32, .n_dims = 2, .shape = {p->n, d}};
    const tap_tensor bias = {
        .bytes = b->offsets, .dtype = TAP_F32, .n_dims = 1, .shape = {p->n}};
    for (int64_t k = 0; k < p->n; k++) {
        assert(p->ids[k] >= 0 && p->ids[k] < ask->words->shape[0]);
        tap_widen(b->words + k * d, ask->words, p->ids[k] * d, d);
        if (ask->bias)
            tap_widen(b->offsets + k, ask->bias, p->ids[k], 1);
    }
    kernels->linear(b->tile, TILE_WORDS, x, d, n_rows, &words, ask->bias ? &bias : NULL,
                    work);
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t k = 0; k < p->n; k++) {
            const float scale = ask->word_scale ? ask->word_scale[p->ids[k]] : 1.0F;
            sums[r * n + p->of[k]] += (double)(b->tile[r * TILE_WORDS + k] * scale);
        }
    p->n = 0;
}

/* scores [n_rows][n_spellings] */
static void score_spellings(float *scores, const tap_vocab_ask *ask, const float *x,
                            int64_t n_rows, const tap_kernels *kernels,
                            const tap_workspace *work, const bench *b)
{
    const int64_t n = ask->n_spellings;
    double *sums = (double *)(void *)b->counts; /* not in use yet, and larger */
    pieces p = {.n = 0};
    memset(sums, 0, (size_t)(n_rows * n) * sizeof *sums);
    for (int64_t s = 0; s < n; s++)
        for (int64_t i = 0; i < ask->spellings[s].n_ids; i++) {
            p.ids[p.n] = ask->spellings[s].ids[i];
            p.of[p.n++] = s;
            if (p.n == PIECES)
                add_pieces(sums, &p, ask, x, n_rows, kernels, work, b);
        }
    if (p.n > 0)
        add_pieces(sums, &p, ask, x, n_rows, kernels, work, b);
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t s = 0; s < n; s++)
            scores[r * n + s] =
                (float)(sums[r * n + s] / (double)ask->spellings[s].n_ids);
}

/* A word joins the largest of its row, kept sorted. Words come by rising id. */
static void keep_top(int32_t *ids, float *logits, int64_t n_top, tally *t, int32_t id,
                     float z)
{
    if (t->n_top == n_top && !(z > logits[n_top - 1]))
        return;
    int64_t at = t->n_top < n_top ? t->n_top++ : n_top - 1;
    for (; at > 0 && z > logits[at - 1]; at--) {
        ids[at] = ids[at - 1];
        logits[at] = logits[at - 1];
    }
    ids[at] = id;
    logits[at] = z;
}

static void add_to_sum(tally *t, float z)
{
    if ((double)z > t->max) {
        t->sum = t->sum * exp(t->max - (double)z) + 1.0;
        t->max = (double)z;
    } else {
        t->sum += exp((double)z - t->max);
    }
}

/* The words first .. first + n of row r, whose logits stand in z. */
static void read_row(const tap_vocab_answer *out, const tap_vocab_ask *ask, bench *b,
                     int64_t r, int64_t first, int64_t n)
{
    float *z = b->tile + r * TILE_WORDS;
    tally *t = &b->tallies[r];
    const int64_t n_top = ask->n_top;
    for (int64_t j = 0; j < n; j++) {
        if (ask->word_scale)
            z[j] *= ask->word_scale[first + j];
        const bool in = !ask->candidates || tap_bits_get(ask->candidates, first + j);
        t->n_words += in;
        if (!in || isnan(z[j])) {
            z[j] = -INFINITY;
            continue;
        }
        if (n_top > 0)
            keep_top(out->top_ids + r * n_top, out->top_logits + r * n_top, n_top, t,
                     (int32_t)(first + j), z[j]);
        if (out->log_sums)
            add_to_sum(t, z[j]);
    }
    for (int64_t s = 0; s < ask->n_spellings; s++) {
        const float score = out->scores[r * ask->n_spellings + s];
        int64_t above = 0, equal = 0;
        for (int64_t j = 0; j < n; j++) {
            above += z[j] > score;
            equal += z[j] == score;
        }
        const tap_spelling *spelling = &ask->spellings[s];
        for (int64_t i = 0; i < spelling->n_ids; i++) { /* its own words do not count */
            const int64_t j = spelling->ids[i] - first;
            bool again = j < 0 || j >= n;
            for (int64_t k = 0; k < i && !again; k++)
                again = spelling->ids[k] == spelling->ids[i];
            above -= !again && z[j] > score;
            equal -= !again && z[j] == score;
        }
        int64_t *counts = b->counts + (r * ask->n_spellings + s) * 2;
        counts[0] += above;
        counts[1] += equal;
    }
}

void tap_vocab_read(const tap_vocab_answer *out, const tap_vocab_ask *ask,
                    const float *x, int64_t n_rows, const tap_kernels *kernels,
                    const tap_workspace *work, void *scratch)
{
    bench b;
    (void)lay_out(&b, ask, n_rows, scratch);
    const int64_t n_vocab = ask->words->shape[0], d = ask->words->shape[1];
    const size_t row_bytes = (size_t)d * tap_dtype_bytes(ask->words->dtype);
    score_spellings(out->scores, ask, x, n_rows, kernels, work, &b);
    memset(b.counts, 0, (size_t)(n_rows * ask->n_spellings) * 2 * sizeof *b.counts);
    for (int64_t r = 0; r < n_rows; r++) {
        b.tallies[r] = (tally){.max = -INFINITY};
        for (int64_t i = 0; i < ask->n_top; i++) {
            out->top_ids[r * ask->n_top + i] = -1;
            out->top_logits[r * ask->n_top + i] = -INFINITY;
        }
    }
    for (int64_t first = 0; first < n_vocab; first += TILE_WORDS) {
        const int64_t left = n_vocab - first, n = left < TILE_WORDS ? left : TILE_WORDS;
        tap_tensor part = *ask->words, bias = {0};
        part.bytes = (const unsigned char *)part.bytes + (size_t)first * row_bytes;
        part.shape[0] = n;
        if (ask->bias) {
            bias = *ask->bias;
            bias.bytes = (const unsigned char *)bias.bytes +
                         (size_t)first * tap_dtype_bytes(bias.dtype);
            bias.shape[0] = n;
        }
        kernels->linear(b.tile, TILE_WORDS, x, d, n_rows, &part,
                        ask->bias ? &bias : NULL, work);
#pragma omp parallel for num_threads(work->n_threads) schedule(static)
        for (int64_t r = 0; r < n_rows; r++)
            read_row(out, ask, &b, r, first, n);
    }
    for (int64_t r = 0; r < n_rows; r++) {
        const tally *t = &b.tallies[r];
        if (out->log_sums)
            out->log_sums[r] = (float)(t->max + log(t->sum));
        for (int64_t s = 0; s < ask->n_spellings; s++) {
            const int64_t i = r * ask->n_spellings + s;
            const double rank =
                1.0 + (double)b.counts[2 * i] + 0.5 * (double)b.counts[2 * i + 1];
            out->ranks[i] = isnan(out->scores[i]) ? (float)t->n_words : (float)rank;
        }
    }
}

void tap_vocab_inverse_norms(float *out, const tap_tensor *words, float *row)
{
    const int64_t d = words->shape[1];
    for (int64_t v = 0; v < words->shape[0]; v++) {
        double sum = 0.0;
        tap_widen(row, words, v * d, d);
        for (int64_t i = 0; i < d; i++)
            sum += (double)row[i] * (double)row[i];
        out[v] = sum > 0.0 ? (float)(1.0 / sqrt(sum)) : 0.0F;
    }
}

float tap_rank_of(const float *scores, int64_t n, int64_t i)
{
    double rank = 1.0;
    for (int64_t j = 0; j < n; j++)
        rank += scores[j] > scores[i]              ? 1.0
                : j != i && scores[j] == scores[i] ? 0.5
                                                   : 0.0;
    return isnan(scores[i]) ? (float)n : (float)rank;
}

void tap_rank_among(float *ranks, const float *scores, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ranks[i] = tap_rank_of(scores, n, i);
}

/* How many words beat a label: counted tile by tile, no logits array.
 *
 * HOW IT WORKS. The logits of the labels come first, from the same product that makes all
 * others, so they have the same bits when their word streams past. Threads own tiles of
 * words; each keeps the logits of one tile and its own counters, which are integers, so
 * their sum does not depend on who counted what. */
#include "tensor/rank.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

enum { ALIGN_FLOATS = 16 };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static size_t aligned(size_t n_floats)
{
    return (n_floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

/* Where everything lies in the scratch; counts in floats. */
typedef struct layout {
    size_t packed, words, tile, counts, logits, end; /* offsets; words .. per thread */
    size_t per_thread;
} layout;

static layout lay_out(int64_t n_rows, int64_t d, int64_t n_labels, int n_threads)
{
    layout l = {0};
    const size_t panels = (size_t)(n_rows + TAP_GEMM_MAX_ROWS - 1) / TAP_GEMM_MAX_ROWS *
                          TAP_GEMM_MAX_ROWS;
    const size_t depth =
        (size_t)(d + TAP_GEMM_DEPTH - 1) / TAP_GEMM_DEPTH * TAP_GEMM_DEPTH;
    l.logits = aligned(panels * depth);
    l.words = l.logits + aligned((size_t)(n_rows * n_labels));
    l.tile = aligned((size_t)TAP_GEMM_TILE * TAP_GEMM_DEPTH);
    l.counts = l.tile + aligned((size_t)n_rows * TAP_GEMM_TILE);
    l.per_thread = l.counts + aligned(2 * (size_t)(n_rows * n_labels));
    l.end = l.words + (size_t)n_threads * l.per_thread;
    return l;
}

size_t tap_rank_bytes(int64_t n_rows, int64_t d, int64_t n_labels, int n_threads)
{
    return lay_out(n_rows, d, n_labels, n_threads).end * sizeof(float);
}

/* One call, shared by all threads. */
typedef struct job {
    const tap_loops *loops;
    const float *packed;
    int64_t n_rows, n_labels;
    const tap_tensor *w;
    const uint64_t *candidates;
    const float *label_logits; /* [n_rows][n_labels] */
} job;

static void pack_all(float *packed, const tap_gemm_isa *g, const float *x,
                     int64_t n_rows, int64_t d, int64_t panel)
{
    const int64_t n_panels = (n_rows + g->n_rows - 1) / g->n_rows;
    const int64_t block = n_panels * g->n_rows * TAP_GEMM_DEPTH;
    const int64_t row = panel * g->n_rows;
    for (int64_t k = 0; k < d; k += TAP_GEMM_DEPTH)
        g->pack_rows(packed + k / TAP_GEMM_DEPTH * block +
                         panel * TAP_GEMM_DEPTH * g->n_rows,
                     x + row * d + k, d, (int)smaller(g->n_rows, n_rows - row),
                     smaller(TAP_GEMM_DEPTH, d - k));
}

/* tile[r][j] = logit of word ids[j] (or first + j) for row r. */
static void product(float *tile, float *words, const job *b, int64_t first, int64_t n)
{
    const tap_gemm_isa *g = b->loops->gemm;
    const int64_t d = b->w->shape[1];
    const size_t element = tap_dtype_bytes(b->w->dtype);
    const unsigned char *w = b->w->bytes;
    const int64_t n_panels = (b->n_rows + g->n_rows - 1) / g->n_rows;
    const int64_t block = n_panels * g->n_rows * TAP_GEMM_DEPTH;
    for (int64_t k = 0; k < d; k += TAP_GEMM_DEPTH) {
        const int64_t depth = smaller(TAP_GEMM_DEPTH, d - k);
        for (int64_t j = 0; j < n; j += g->n_words)
            g->pack_words(words + j * TAP_GEMM_DEPTH,
                          w + (size_t)((first + j) * d + k) * element, b->w->dtype,
                          d * (int64_t)element, (int)smaller(g->n_words, n - j), depth);
        tap_gemm_macro(g, tile, TAP_GEMM_TILE, b->packed + k / TAP_GEMM_DEPTH * block,
                       (int64_t)TAP_GEMM_DEPTH * g->n_rows, b->n_rows, words,
                       (int64_t)TAP_GEMM_DEPTH * g->n_words, n, depth, k > 0);
    }
}

/* Words that are no candidates leave the tile. Returns how many stay. */
static int64_t keep_candidates(float *tile, const job *b, int64_t first, int64_t n)
{
    if (!b->candidates)
        return n;
    int64_t kept = 0;
    for (int64_t j = 0; j < n; j++) {
        if (!tap_bits_get(b->candidates, first + j))
            continue;
        for (int64_t r = 0; r < b->n_rows && kept < j; r++)
            tile[r * TAP_GEMM_TILE + kept] = tile[r * TAP_GEMM_TILE + j];
        kept++;
    }
    return kept;
}

static void count_tile(int32_t *counts, const job *b, const float *tile, int64_t n)
{
    for (int64_t r = 0; r < b->n_rows; r++)
        for (int64_t l = 0; l < b->n_labels; l++) {
            const int64_t at = r * b->n_labels + l;
            b->loops->count(&counts[2 * at], &counts[2 * at + 1],
                            tile + r * TAP_GEMM_TILE, n, b->label_logits[at]);
        }
}

void tap_rank_rows(const tap_loops *loops, float *ranks, float *label_logits,
                   const float *x, int64_t n_rows, const tap_tensor *w,
                   const int32_t *labels, int64_t n_labels, const uint64_t *candidates,
                   const tap_workspace *work)
{
    const int64_t d = w->shape[1], n_vocab = w->shape[0];
    const layout at = lay_out(n_rows, d, n_labels, work->n_threads);
    assert(at.end * sizeof(float) <= work->scratch_bytes);
    float *base = work->scratch, *logits = base + at.logits;
    const tap_gemm_isa *g = loops->gemm;
    const job b = {.loops = loops,
                   .packed = base,
                   .n_rows = n_rows,
                   .n_labels = n_labels,
                   .w = w,
                   .candidates = candidates,
                   .label_logits = logits};
#pragma omp parallel num_threads(work->n_threads)
    {
        float *own = base + at.words + (size_t)omp_get_thread_num() * at.per_thread;
        float *tile = own + at.tile;
        int32_t *counts = (int32_t *)(void *)(own + at.counts);
        memset(counts, 0, 2 * (size_t)(n_rows * n_labels) * sizeof *counts);
#pragma omp for schedule(static)
        for (int64_t p = 0; p < (n_rows + g->n_rows - 1) / g->n_rows; p++)
            pack_all(base, g, x, n_rows, d, p);
#pragma omp for schedule(static)
        for (int64_t l = 0; l < n_labels; l++) {
            product(tile, own, &b, labels[l], 1);
            for (int64_t r = 0; r < n_rows; r++)
                logits[r * n_labels + l] = tile[r * TAP_GEMM_TILE];
        }
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < n_vocab; first += TAP_GEMM_TILE) {
            const int64_t n = smaller(TAP_GEMM_TILE, n_vocab - first);
            product(tile, own, &b, first, n);
            count_tile(counts, &b, tile, keep_candidates(tile, &b, first, n));
        }
    }
    int64_t n_candidates = n_vocab;
    if (candidates) {
        n_candidates = 0;
        for (int64_t v = 0; v < n_vocab; v++)
            n_candidates += tap_bits_get(candidates, v);
    }
    for (int64_t i = 0; i < n_rows * n_labels; i++) {
        int64_t greater = 0, equal = 0;
        for (int t = 0; t < work->n_threads; t++) {
            const float *own = base + at.words + (size_t)t * at.per_thread;
            const int32_t *counts = (const int32_t *)(const void *)(own + at.counts);
            greater += counts[2 * i];
            equal += counts[2 * i + 1];
        }
        /* the label equals itself once; one that is not a number comes last */
        ranks[i] = logits[i] != logits[i]
                       ? (float)n_candidates
                       : (float)(1.0 + (double)greater + 0.5 * (double)(equal - 1));
        if (label_logits)
            label_logits[i] = logits[i];
    }
}

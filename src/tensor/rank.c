/* How many words beat a label: counted tile by tile, no logits array.
 *
 * HOW IT WORKS. The logits of the labels come first, from the same product that makes all
 * others, so they have the same bits when their word streams past. Threads own tiles of
 * words; each keeps the logits of one tile and its own counters, which are integers, so
 * their sum does not depend on who counted what. Words that stand apart (labels, members
 * of a closed vocabulary) are gathered; no other word is touched. */
#include "tensor/rank.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

enum {
    ALIGN_FLOATS = 16,
    TILE = 128 /* words whose logits a thread holds at a time */
};

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
    size_t logits, own, end;                    /* after the packed rows */
    size_t gathered, ids, tile, counts, stride; /* of one thread, after its words */
} layout;

static layout lay_out(int64_t n_rows, int64_t d, int64_t n_labels, int n_threads)
{
    layout l = {0};
    const size_t panels = (size_t)(n_rows + TAP_GEMM_MAX_ROWS - 1) / TAP_GEMM_MAX_ROWS *
                          TAP_GEMM_MAX_ROWS;
    l.logits = aligned(panels * (size_t)d);
    l.own = l.logits + aligned((size_t)(n_rows * n_labels));
    l.gathered = aligned((size_t)TILE * TAP_GEMM_CHUNK);
    l.ids = l.gathered + aligned(2 * (size_t)TAP_GEMM_MAX_WORDS * TAP_GEMM_CHUNK);
    l.tile = l.ids + aligned(TILE);
    l.counts = l.tile + aligned((size_t)n_rows * TILE);
    l.stride = l.counts + aligned(2 * (size_t)(n_rows * n_labels));
    l.end = l.own + (size_t)n_threads * l.stride;
    return l;
}

size_t tap_rank_bytes(int64_t n_rows, int64_t d, int64_t n_labels, int n_threads)
{
    return lay_out(n_rows, d, n_labels, n_threads).end * sizeof(float);
}

/* One call, shared by all threads. */
typedef struct job {
    const tap_gemm_isa *isa;
    const tap_loops *loops;
    float *packed; /* [row panels][slots][mr] */
    int64_t panel; /* floats of one of them */
    int64_t n_rows, d, n_vocab, n_labels;
    const tap_tensor *w;
    const float *label_logits; /* [n_rows][n_labels] */
} job;

/* Of one thread. */
typedef struct place {
    float *words;            /* [panels of a tile][slots of a chunk][nr] */
    unsigned char *gathered; /* [nr][terms of a chunk] elements of w */
    int32_t *ids;            /* [TILE] */
    float *tile;             /* [n_rows][TILE] logits */
    int32_t *counts;         /* [n_rows][n_labels][2] above, equal */
} place;

static place place_of(float *base, const layout *at, int thread)
{
    float *own = base + at->own + (size_t)thread * at->stride;
    return (place){.words = own,
                   .gathered = (unsigned char *)(own + at->gathered),
                   .ids = (int32_t *)(void *)(own + at->ids),
                   .tile = own + at->tile,
                   .counts = (int32_t *)(void *)(own + at->counts)};
}

/* Packs depth elements, from k on, of n words: those of ids, or first, first + 1 ... */
static void pack_words(const job *b, const place *own, const int32_t *ids,
                       int64_t first, int64_t n, int64_t k, int64_t depth)
{
    const tap_gemm_isa *g = b->isa;
    const int64_t element = (int64_t)tap_dtype_bytes(b->w->dtype);
    const int64_t row = b->d * element, part = depth * element;
    const int64_t panel = tap_gemm_slots(g, depth) * g->n_words;
    const unsigned char *from = b->w->bytes;
    from += k * element;
    if (!ids)
        tap_gemm_pack_words(g, own->words, panel, from + first * row, b->w->dtype, row,
                            n, depth);
    for (int64_t j = 0; ids && j < n; j += g->n_words) {
        const int64_t m = smaller(g->n_words, n - j);
        for (int64_t i = 0; i < m; i++)
            memcpy(own->gathered + i * part, from + ids[j + i] * row, (size_t)part);
        tap_gemm_pack_words(g, own->words + j / g->n_words * panel, panel,
                            own->gathered, b->w->dtype, part, m, depth);
    }
}

/* tile[r][j] = logit of the j-th of n words for row r. */
static void product(const job *b, const place *own, const int32_t *ids, int64_t first,
                    int64_t n)
{
    const tap_gemm_isa *g = b->isa;
    const int64_t step = (int64_t)TAP_GEMM_CHUNK * g->terms;
    for (int64_t k = 0; k < b->d; k += step) {
        const int64_t depth = smaller(step, b->d - k),
                      n_slots = tap_gemm_slots(g, depth);
        pack_words(b, own, ids, first, n, k, depth);
        tap_gemm_macro(g, own->tile, TILE, b->packed + k / g->terms * g->n_rows,
                       b->panel, b->n_rows, own->words, n_slots * g->n_words, n,
                       n_slots, k > 0, NULL);
    }
}

/* ids = candidates number first, first + 1 ... of the set; returns how many, at most
 * TILE. */
static int64_t pick(int32_t *ids, const uint64_t *set, int64_t n_vocab, int64_t first)
{
    int64_t seen = 0, n = 0;
    for (int64_t i = 0; i < tap_bits_words(n_vocab) && n < TILE; i++) {
        const int64_t here = __builtin_popcountll(set[i]);
        if (seen + here <= first) {
            seen += here;
            continue;
        }
        for (uint64_t left = set[i]; left && n < TILE; left &= left - 1)
            if (seen++ >= first)
                ids[n++] = (int32_t)(i * 64 + __builtin_ctzll(left));
    }
    return n;
}

static void count_tile(const job *b, const place *own, int64_t n)
{
    for (int64_t r = 0; r < b->n_rows; r++)
        for (int64_t l = 0; l < b->n_labels; l++) {
            const int64_t at = r * b->n_labels + l;
            b->loops->count(&own->counts[2 * at], &own->counts[2 * at + 1],
                            own->tile + r * TILE, n, b->label_logits[at]);
        }
}

/* The logits of labels first .. first + n_words of the product. */
static void score_labels(float *logits, const job *b, const place *own,
                         const int32_t *labels, int64_t first)
{
    const int64_t n = smaller(b->isa->n_words, b->n_labels - first);
    product(b, own, labels + first, 0, n);
    for (int64_t r = 0; r < b->n_rows; r++)
        memcpy(logits + r * b->n_labels + first, own->tile + r * TILE,
               (size_t)n * sizeof *logits);
}

/* ranks[i] from what all threads counted among n words. */
static void sum_up(float *ranks, const job *b, float *base, const layout *at,
                   int n_threads, int64_t n)
{
    for (int64_t i = 0; i < b->n_rows * b->n_labels; i++) {
        int64_t greater = 0, equal = 0;
        for (int t = 0; t < n_threads; t++) {
            const place own = place_of(base, at, t);
            greater += own.counts[2 * i];
            equal += own.counts[2 * i + 1];
        }
        /* the label equals itself once; one that is not a number comes last */
        ranks[i] = b->label_logits[i] != b->label_logits[i]
                       ? (float)n
                       : (float)(1.0 + (double)greater + 0.5 * (double)(equal - 1));
    }
}

void tap_rank_rows(const tap_gemm_isa *isa, const tap_loops *loops, float *ranks,
                   float *label_logits, const float *x, int64_t n_rows,
                   const tap_tensor *w, const int32_t *labels, int64_t n_labels,
                   const uint64_t *candidates, const tap_workspace *work)
{
    const int64_t d = w->shape[1], n_vocab = w->shape[0];
    const layout at = lay_out(n_rows, d, n_labels, work->n_threads);
    assert(at.end * sizeof(float) <= work->scratch_bytes);
    float *base = work->scratch, *logits = base + at.logits;
    const job b = {.isa = isa,
                   .loops = loops,
                   .packed = base,
                   .n_rows = n_rows,
                   .d = d,
                   .n_vocab = n_vocab,
                   .panel = tap_gemm_slots(isa, d) * isa->n_rows,
                   .n_labels = n_labels,
                   .w = w,
                   .label_logits = logits};
    const int64_t n =
        candidates ? tap_bits_count(candidates, tap_bits_words(n_vocab)) : n_vocab;
    for (int64_t l = 0; l < n_labels; l++)
        assert(!candidates || tap_bits_get(candidates, labels[l]));
#pragma omp parallel num_threads(work->n_threads)
    {
        const place own = place_of(base, &at, omp_get_thread_num());
        memset(own.counts, 0, 2 * (size_t)(n_rows * n_labels) * sizeof *own.counts);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < n_rows; r += isa->n_rows)
            tap_gemm_pack_rows(isa, b.packed + r / isa->n_rows * b.panel, b.panel,
                               x + r * d, d, smaller(isa->n_rows, n_rows - r), d);
#pragma omp for schedule(dynamic)
        for (int64_t l = 0; l < n_labels; l += isa->n_words)
            score_labels(logits, &b, &own, labels, l);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < n; first += TILE) {
            const int64_t m = smaller(TILE, n - first);
            if (candidates)
                (void)pick(own.ids, candidates, n_vocab, first);
            product(&b, &own, candidates ? own.ids : NULL, first, m);
            count_tile(&b, &own, m);
        }
    }
    sum_up(ranks, &b, base, &at, work->n_threads, n);
    if (label_logits)
        memcpy(label_logits, logits, (size_t)(n_rows * n_labels) * sizeof *logits);
}

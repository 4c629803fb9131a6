#include "tensor/gemm.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

static void copy_block(float *to, int64_t stride_to, const float *from,
                       int64_t stride_from, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        memcpy(to + i * stride_to, from + i * stride_from, (size_t)n * sizeof *to);
}

void tap_gemm_macro(const tap_gemm_isa *isa, float *y, int64_t stride_y,
                    const float *rows, int64_t stride_rows, int64_t n_rows,
                    const float *words, int64_t stride_words, int64_t n_words,
                    int64_t n_slots, bool add, const float *bias)
{
    float edge[TAP_GEMM_MAX_ROWS * TAP_GEMM_MAX_WORDS];
    const int mr = isa->n_rows, nr = isa->n_words;
    for (int64_t r = 0; r < n_rows; r += mr, rows += stride_rows) {
        const int64_t m = smaller(mr, n_rows - r);
        const float *panel = words;
        for (int64_t j = 0; j < n_words; j += nr, panel += stride_words) {
            const int64_t n = smaller(nr, n_words - j);
            const bool whole = n == nr || 2 * n == nr;
            float *at = y + r * stride_y + j, *c = whole ? at : edge;
            const int64_t stride_c = whole ? stride_y : nr;
            if (!whole && add)
                copy_block(edge, nr, at, stride_y, m, n);
            for (int64_t k = 0; k < n_slots; k += TAP_GEMM_DEPTH)
                isa->block(c, stride_c, rows + k * mr, panel + k * nr,
                           smaller(TAP_GEMM_DEPTH, n_slots - k), add || k > 0, (int)m,
                           (int)n);
            if (!whole)
                copy_block(at, stride_y, edge, nr, m, n);
        }
        for (int64_t i = r; bias && i < r + m; i++)
#pragma omp simd
            for (int64_t j = 0; j < n_words; j++)
                y[i * stride_y + j] += bias[j];
    }
}

void tap_gemm_pack_rows(const tap_gemm_isa *isa, float *packed, int64_t stride_packed,
                        const float *x, int64_t stride_x, int64_t n_rows, int64_t depth)
{
    for (int64_t r = 0; r < n_rows; r += isa->n_rows, packed += stride_packed)
        isa->pack_rows(packed, x + r * stride_x, stride_x,
                       (int)smaller(isa->n_rows, n_rows - r), depth);
}

void tap_gemm_pack_words(const tap_gemm_isa *isa, float *packed, int64_t stride_packed,
                         const void *w, tap_dtype dtype, int64_t stride_bytes,
                         int64_t n_words, int64_t depth)
{
    const unsigned char *bytes = w;
    const int64_t step = (int64_t)TAP_GEMM_DEPTH * isa->terms;
    for (int64_t j = 0; j < n_words; j += isa->n_words, packed += stride_packed)
        for (int64_t k = 0; k < depth; k += step)
            isa->pack_words(
                packed + k / isa->terms * isa->n_words,
                bytes + j * stride_bytes + k * (int64_t)tap_dtype_bytes(dtype), dtype,
                stride_bytes, (int)smaller(isa->n_words, n_words - j),
                smaller(step, depth - k));
}

void tap_gemm_pack_slot(float *b, int nr, const float *const *x, int n_valid)
{
    if (!x[0])
        n_valid = 0;
    if (n_valid > 0)
        memcpy(b, x[0], (size_t)n_valid * sizeof *b);
    for (int j = n_valid; j < nr; j++)
        b[j] = 0.0F;
}

void tap_gemm_pass(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] + 0.0F;
}

/* Rows of a call, packed for all threads. */
typedef struct rows {
    const float *packed; /* [row panels][slots of a chunk][mr] */
    int64_t panel;       /* floats of one row panel in it */
    int64_t n, chunk, depth;
} rows;

/* Words first .. first + TILE of a map, over the chunk of terms that is packed. */
static void run_tile(const tap_gemm_isa *isa, const tap_linear *map, const rows *x,
                     float *words, int64_t first)
{
    const tap_tensor *w = map->w;
    const int64_t n_in = w->shape[1], n = smaller(TAP_GEMM_TILE, w->shape[0] - first);
    const int64_t n_slots = tap_gemm_slots(isa, x->depth);
    const int64_t element = (int64_t)tap_dtype_bytes(w->dtype);
    const unsigned char *from = w->bytes;
    float bias[TAP_GEMM_TILE];
    if (map->bias)
        tap_widen(bias, map->bias, first, n);
    tap_gemm_pack_words(isa, words, n_slots * isa->n_words,
                        from + (first * n_in + x->chunk) * element, w->dtype,
                        n_in * element, n, x->depth);
    tap_gemm_macro(isa, map->y + first, map->stride_y, x->packed, x->panel, x->n, words,
                   n_slots * isa->n_words, n, n_slots, x->chunk > 0,
                   map->bias && x->chunk + x->depth == n_in ? bias : NULL);
}

static int64_t n_tiles(const tap_linear *map)
{
    return (map->w->shape[0] + TAP_GEMM_TILE - 1) / TAP_GEMM_TILE;
}

void tap_gemm_linears(const tap_gemm_isa *isa, const tap_linear *maps, int n_maps,
                      const float *x, int64_t stride_x, int64_t n_rows,
                      const tap_workspace *work)
{
    const int64_t step = (int64_t)TAP_GEMM_CHUNK * isa->terms;
    const int64_t n_in = maps[0].w->shape[1];
    int64_t n_all = 0;
    for (int i = 0; i < n_maps; i++) {
        assert(maps[i].w->n_dims == 2 && maps[i].w->shape[1] == n_in);
        n_all += n_tiles(&maps[i]);
    }
    assert(TAP_GEMM_TILE % isa->n_words == 0);
    assert(tap_gemm_floats(n_rows, n_in, work->n_threads) * sizeof(float) <=
           work->scratch_bytes);
    float *all_words = work->scratch;
    float *packed =
        all_words + (size_t)work->n_threads * TAP_GEMM_TILE * TAP_GEMM_CHUNK;
    const int64_t panel = isa->n_rows * tap_gemm_slots(isa, smaller(step, n_in));
#pragma omp parallel num_threads(work->n_threads)
    {
        float *words =
            all_words + (size_t)omp_get_thread_num() * TAP_GEMM_TILE * TAP_GEMM_CHUNK;
        for (int64_t chunk = 0; chunk < n_in; chunk += step) {
            const rows r = {packed, panel, n_rows, chunk, smaller(step, n_in - chunk)};
#pragma omp for schedule(static)
            for (int64_t row = 0; row < n_rows; row += isa->n_rows)
                tap_gemm_pack_rows(isa, packed + row / isa->n_rows * panel, panel,
                                   x + row * stride_x + chunk, stride_x,
                                   smaller(isa->n_rows, n_rows - row), r.depth);
#pragma omp for schedule(dynamic)
            for (int64_t tile = 0; tile < n_all; tile++) {
                const tap_linear *map = maps;
                int64_t t = tile;
                for (; t >= n_tiles(map); map++)
                    t -= n_tiles(map);
                run_tile(isa, map, &r, words, t * TAP_GEMM_TILE);
            }
        }
    }
}

size_t tap_gemm_floats(int64_t n_rows, int64_t d_max, int n_threads)
{
    /* panels of either height: 6 divides 12 */
    return (size_t)(round_up(n_rows, TAP_GEMM_MAX_ROWS) *
                    smaller(d_max, TAP_GEMM_CHUNK)) +
           (size_t)n_threads * TAP_GEMM_TILE * TAP_GEMM_CHUNK;
}

/* ---- any processor ---- */

enum { PORTABLE_ROWS = 4, PORTABLE_WORDS = 16 };

static void block_portable(float *c, int64_t stride_c, const float *a, const float *b,
                           int64_t depth, bool add, int m, int n)
{
    const int width = 2 * n <= PORTABLE_WORDS ? PORTABLE_WORDS / 2 : PORTABLE_WORDS;
    float sum[PORTABLE_ROWS][PORTABLE_WORDS] = {{0}};
    for (int64_t k = 0; k < depth; k++, a += PORTABLE_ROWS, b += PORTABLE_WORDS)
#pragma GCC unroll 4
        for (int r = 0; r < PORTABLE_ROWS; r++)
#pragma omp simd
            for (int j = 0; j < PORTABLE_WORDS; j++)
                sum[r][j] = __builtin_fmaf(a[r], b[j], sum[r][j]);
    for (int r = 0; r < m; r++)
        for (int j = 0; j < width; j++)
            c[r * stride_c + j] = add ? c[r * stride_c + j] + sum[r][j] : sum[r][j];
}

static void pack_words_portable(float *b, const void *w, tap_dtype dtype,
                                int64_t stride_bytes, int n_valid, int64_t depth)
{
    const unsigned char *bytes = w;
    for (int j = 0; j < PORTABLE_WORDS; j++) {
        float row[TAP_GEMM_DEPTH];
        memset(row, 0, sizeof row);
        const tap_tensor view = {.bytes = bytes + j * stride_bytes, .dtype = dtype};
        if (j < n_valid)
            tap_widen(row, &view, 0, depth);
        for (int64_t k = 0; k < depth; k++)
            b[k * PORTABLE_WORDS + j] = row[k];
    }
}

static void pack_rows_portable(float *a, const float *x, int64_t stride_x, int n_valid,
                               int64_t depth)
{
    for (int r = 0; r < PORTABLE_ROWS; r++)
        for (int64_t k = 0; k < depth; k++)
            a[k * PORTABLE_ROWS + r] = r < n_valid ? x[r * stride_x + k] : 0.0F;
}

const tap_gemm_isa tap_gemm_portable = {
    .n_rows = PORTABLE_ROWS,
    .n_words = PORTABLE_WORDS,
    .terms = 1,
    .block = block_portable,
    .pack_words = pack_words_portable,
    .pack_rows = pack_rows_portable,
    .pack_slot = tap_gemm_pack_slot,
    .pass = tap_gemm_pass,
};

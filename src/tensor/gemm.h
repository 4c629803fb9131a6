/* The matrix product of the forward pass: y = x w^T, weights widened while they are packed.
 *
 * HOW IT WORKS. As in BLIS (Van Zee, van de Geijn 2015): rows of x are packed into panels
 * of n_rows, words of w into panels of n_words in f32, and a micro-kernel keeps an
 * n_rows x n_words block of y in registers while it walks along the inner dimension.
 * Threads own tiles of output features.
 *
 * THE ORDER OF SUMS depends on the inner dimension alone: blocks of TAP_GEMM_DEPTH terms,
 * each summed from 0 with one fused multiply-add per term in ascending order, the blocks
 * added in ascending order. So a row has the same bits whatever rows stand beside it, for
 * any number of threads, and on every instruction set. kernels_ref.c spells it out. */
#ifndef TAP_TENSOR_GEMM_H
#define TAP_TENSOR_GEMM_H

#include "tensor/kernels.h"

enum {
    TAP_GEMM_DEPTH = 512,  /* slots summed in registers before they meet memory */
    TAP_GEMM_TILE = 64,    /* output features that a thread owns at a time */
    TAP_GEMM_CHUNK = 2048, /* slots packed at a time: blocks of DEPTH */
    TAP_GEMM_AHEAD = 384,  /* floats of packed rows that are asked for ahead */
    TAP_GEMM_MAX_ROWS = 12,
    TAP_GEMM_MAX_WORDS = 32,
    TAP_GEMM_MAX_TERMS = 2
};

/* One instruction set's inner loops. A packed panel holds slots of 4 bytes: one term in
 * f32, two neighbouring ones in bf16. */
typedef struct tap_gemm_isa {
    int n_rows, n_words; /* the block of y held in registers; n_words divides TILE */
    int terms;           /* in a slot */
    /* c[r,j] = or += sum over k of a[k][r] b[k][j], k ascending, n_slots of them.
     * a [n_slots][n_rows], b [n_slots][n_words] packed; rows of c stride_c floats apart.
     * Only the first m rows are written, and the first half of the words when n allows:
     * the ends of a matrix cost what they weigh. */
    void (*block)(float *c, int64_t stride_c, const float *a, const float *b,
                  int64_t n_slots, bool add, int m, int n);
    /* b[k][j] = element k of row j of w, widened; rows stride_bytes apart, unaligned;
     * rows j >= n_valid are 0. dtype is F32, F16 or BF16, depth counts terms. */
    void (*pack_words)(float *b, const void *w, tap_dtype dtype, int64_t stride_bytes,
                       int n_valid, int64_t depth);
    /* a[k][r] = x[r][k]; rows r >= n_valid are 0. */
    void (*pack_rows)(float *a, const float *x, int64_t stride_x, int n_valid,
                      int64_t depth);
    /* One slot of nr words whose terms are rows: b[j] = x[0][j] and, where a slot has two,
     * x[1][j]; terms that are NULL, and words j >= n_valid, are 0. */
    void (*pack_slot)(float *b, int nr, const float *const *x, int n_valid);
    /* y = 1 x as the product has it: rounded to a term, and no -0. */
    void (*pass)(float *y, const float *x, int64_t n);
} tap_gemm_isa;

/* The last two where terms are f32. */
void tap_gemm_pack_slot(float *b, int nr, const float *const *x, int n_valid);
void tap_gemm_pass(float *y, const float *x, int64_t n);

extern const tap_gemm_isa tap_gemm_portable, tap_gemm_avx2, tap_gemm_avx512;
/* bf16 x bf16 summed in f32; x is rounded to nearest. Needs avx512_bf16. */
extern const tap_gemm_isa tap_gemm_avx512bf16;

/* The table's linears(), on one instruction set. */
void tap_gemm_linears(const tap_gemm_isa *isa, const tap_linear *maps, int n_maps,
                      const float *x, int64_t stride_x, int64_t n_rows,
                      const tap_workspace *work);

/* y = or += the product of packed rows and packed words, panels stride_rows and
 * stride_words floats apart, for n_rows rows and n_words words; then, unless it is NULL,
 * += bias [n_words]. All blocks of slots of a piece of y follow each other, while it is in
 * the nearest cache. Edges go through a small block on the stack. */
void tap_gemm_macro(const tap_gemm_isa *isa, float *y, int64_t stride_y,
                    const float *rows, int64_t stride_rows, int64_t n_rows,
                    const float *words, int64_t stride_words, int64_t n_words,
                    int64_t n_slots, bool add, const float *bias);

/* Panels of any number of rows or words, stride_packed floats apart: depth terms of x
 * [n_rows][stride_x], or of w, rows stride_bytes apart. */
void tap_gemm_pack_rows(const tap_gemm_isa *isa, float *packed, int64_t stride_packed,
                        const float *x, int64_t stride_x, int64_t n_rows,
                        int64_t depth);
void tap_gemm_pack_words(const tap_gemm_isa *isa, float *packed, int64_t stride_packed,
                         const void *w, tap_dtype dtype, int64_t stride_bytes,
                         int64_t n_words, int64_t depth);

/* Slots for so many terms. */
static inline int64_t tap_gemm_slots(const tap_gemm_isa *isa, int64_t depth)
{
    return (depth + isa->terms - 1) / isa->terms;
}

/* Floats of scratch that tap_gemm_linears needs. */
size_t tap_gemm_floats(int64_t n_rows, int64_t d_max, int n_threads);

#endif

/* The fast loops of one instruction set, row by row and thread by thread. kernels_cpu.c
 * spreads them over threads; loops_body.h holds the code, compiled once per set. */
#ifndef TAP_TENSOR_LOOPS_H
#define TAP_TENSOR_LOOPS_H

#include "tensor/gemm.h"

typedef struct tap_loops {
    const char *name;
    const tap_gemm_isa *gemm;
    /* one row of d; gain and bias as f32 [d] */
    void (*layer_norm)(float *y, const float *x, int64_t d, const float *gain,
                       const float *bias, double eps);
    void (*rms_norm)(float *y, const float *x, int64_t d, const float *gain,
                     double eps);
    /* x = act(x), n values; GELU_ERF is not here: libm's erf, see kernels_cpu.c */
    void (*activate)(float *x, int64_t n, tap_act act);
    void (*multiply)(float *y, const float *x, int64_t n); /* y *= x */
    void (*add)(float *y, const float *x, int64_t n);      /* y += x */
    void (*rope)(float *x, int n_heads, int d_head, const float *cosine,
                 const float *sine);
    void (*scale)(float *x, float factor, int64_t n); /* x *= factor */
    /* w = softmax(w) over n scores, in place: f32 exp, f64 sum over 16 lanes by key. Not a
     * number when every score is -inf: callers know rows without a key beforehand. */
    void (*softmax)(float *w, int64_t n);
    /* greater and equal: how many of n values are above and equal to z */
    void (*count)(int32_t *greater, int32_t *equal, const float *values, int64_t n,
                  float z);
} tap_loops;

extern const tap_loops tap_loops_portable, tap_loops_avx2, tap_loops_avx512;

#endif

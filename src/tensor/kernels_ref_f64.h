/* The reference operations in double, for tests: what the result is when the same f32
 * inputs are computed with 29 more bits. If |fast - ref| is far above |ref - ref64|, it is a
 * bug and not rounding. Made from kernels_ref.c by building it a second time. */
#ifndef TAP_TENSOR_KERNELS_REF_F64_H
#define TAP_TENSOR_KERNELS_REF_F64_H

#include "tensor/kernels.h"

/* As in tap_kernels, with results [..] in f64 apart from the inputs. attend fills z
 * [n_q][n_heads d_head] and ignores the other outputs of args. */
typedef struct tap_kernels_f64 {
    void (*linear)(double *y, int64_t stride_y, const float *x, int64_t stride_x,
                   int64_t n_rows, const tap_tensor *w, const tap_tensor *bias);
    void (*layer_norm)(double *y, const float *x, int64_t n_rows, int64_t d,
                       const tap_tensor *gain, const tap_tensor *bias, double eps);
    void (*rms_norm)(double *y, const float *x, int64_t n_rows, int64_t d,
                     const tap_tensor *gain, double eps);
    void (*activate)(double *y, const float *x, int64_t n, tap_act act);
    void (*gate)(double *y, const float *gate, const float *up, int64_t n, tap_act act);
    void (*rope)(double *y, const float *x, int64_t stride, int64_t n_rows, int n_heads,
                 int d_head, const float *cos, const float *sin);
    void (*attend)(double *z, const tap_attend_args *args, const tap_workspace *work);
    size_t (*scratch_bytes)(int64_t n_tok);
} tap_kernels_f64;

extern const tap_kernels_f64 tap_kernels_ref_f64;

#endif

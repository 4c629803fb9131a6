/* Attention of one (problem, head) on one instruction set; kernels_cpu.c spreads heads over
 * threads. Meaning: kernels_ref.c. */
#ifndef TAP_TENSOR_ATTEND_H
#define TAP_TENSOR_ATTEND_H

#include "tensor/loops.h"

/* All query rows of one head, its two products by `gemm`. scratch: tap_attend_floats. */
void tap_attend_head(const tap_gemm_isa *gemm, const tap_loops *loops,
                     const tap_attend_args *args, int head, float *scratch);

/* Floats of scratch for sequences up to n_tok and heads up to d_head. */
size_t tap_attend_floats(int64_t n_tok, int64_t d_head);

#endif

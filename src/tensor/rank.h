/* Ranks while the vocabulary streams past; meaning in kernels.h. The product is isa's. */
#ifndef TAP_TENSOR_RANK_H
#define TAP_TENSOR_RANK_H

#include "tensor/loops.h"

void tap_rank_rows(const tap_gemm_isa *isa, const tap_loops *loops, float *ranks,
                   float *label_logits, const float *x, int64_t n_rows,
                   const tap_tensor *w, const int32_t *labels, int64_t n_labels,
                   const uint64_t *candidates, const tap_workspace *work);

/* Bytes of scratch. */
size_t tap_rank_bytes(int64_t n_rows, int64_t d, int64_t n_labels, int n_threads);

#endif

/* The fast tables by instruction set, for tests and benchmarks. */
#ifndef TAP_TENSOR_KERNELS_CPU_H
#define TAP_TENSOR_KERNELS_CPU_H

#include "tensor/kernels.h"

/* Tables that this processor can run, the fastest first; NULL past the last. */
const tap_kernels *tap_kernels_nth(int i);

#endif

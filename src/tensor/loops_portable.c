/* The fast loops for any processor. */
#define TAP_LOOPS      tap_loops_portable
#define TAP_LOOPS_NAME "portable"
#define TAP_LOOPS_GEMM tap_gemm_portable
#include "tensor/loops_body.h"

/* The fast loops for AVX2. */
#if defined(__x86_64__)
#    define TAP_LOOPS      tap_loops_avx2
#    define TAP_LOOPS_NAME "avx2"
#    define TAP_LOOPS_GEMM tap_gemm_avx2
#    include "tensor/loops_body.h"
#else
typedef int tap_no_loops_avx2; /* a file must declare something */
#endif

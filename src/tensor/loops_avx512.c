/* The fast loops for AVX-512. */
#if defined(__x86_64__)
#    define TAP_LOOPS      tap_loops_avx512
#    define TAP_LOOPS_NAME "avx512"
#    define TAP_LOOPS_GEMM tap_gemm_avx512
#    include "tensor/loops_body.h"
#else
typedef int tap_no_loops_avx512; /* a file must declare something */
#endif

/* The product's inner loop for processors with AVX2 and FMA: 6 rows x 16 words. */
#if defined(__x86_64__)

#    include "tensor/gemm_x86.h"

enum { MR = 6, NR = 16 };

/* M rows by N vectors of words, both known to the compiler. */
static inline __attribute__((always_inline)) void run(float *c, int64_t stride_c,
                                                      const float *a, const float *b,
                                                      int64_t depth, bool add, int m,
                                                      const int M, const int N)
{
    __m256 sum[MR][2];
#    pragma GCC unroll 6
    for (int r = 0; r < M; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    const float *line = c; /* of each row that will be written */
    for (int64_t k = 0; k < depth; k++, a += MR, b += NR) {
        _mm_prefetch((const char *)(a + TAP_GEMM_AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)line, _MM_HINT_T0);
        line += k + 1 < M ? stride_c : 0;
        const __m256 b0 = _mm256_loadu_ps(b);
        const __m256 b1 = N == 2 ? _mm256_loadu_ps(b + 8) : b0;
#    pragma GCC unroll 6
        for (int r = 0; r < M; r++) {
            const __m256 a_r = _mm256_broadcast_ss(a + r);
            sum[r][0] = _mm256_fmadd_ps(a_r, b0, sum[r][0]);
            if (N == 2)
                sum[r][1] = _mm256_fmadd_ps(a_r, b1, sum[r][1]);
        }
    }
#    pragma GCC unroll 6
    for (int r = 0; r < M; r++) {
        float *c_r = c + r * stride_c;
        if (r >= m)
            return;
#    pragma GCC unroll 2
        for (int j = 0; j < N; j++, c_r += 8)
            _mm256_storeu_ps(c_r, add ? _mm256_add_ps(_mm256_loadu_ps(c_r), sum[r][j])
                                      : sum[r][j]);
    }
}

static void block(float *c, int64_t stride_c, const float *a, const float *b,
                  int64_t depth, bool add, int m, int n)
{
    if (2 * n <= NR) {
        if (m <= 1)
            run(c, stride_c, a, b, depth, add, m, 1, 1);
        else
            run(c, stride_c, a, b, depth, add, m, MR, 1);
    } else if (m <= 1) {
        run(c, stride_c, a, b, depth, add, m, 1, 2);
    } else if (m <= 3) {
        run(c, stride_c, a, b, depth, add, m, 3, 2);
    } else {
        run(c, stride_c, a, b, depth, add, m, MR, 2);
    }
}

static void pack_words(float *b, const void *w, tap_dtype dtype, int64_t stride_bytes,
                       int n_valid, int64_t depth)
{
    pack_words_x86(b, NR, w, dtype, stride_bytes, n_valid, depth);
}

static void pack_rows(float *a, const float *x, int64_t stride_x, int n_valid,
                      int64_t depth)
{
    pack_rows_x86(a, MR, x, stride_x, n_valid, depth);
}

const tap_gemm_isa tap_gemm_avx2 = {.n_rows = MR,
                                    .n_words = NR,
                                    .terms = 1,
                                    .block = block,
                                    .pack_words = pack_words,
                                    .pack_rows = pack_rows,
                                    .pack_slot = tap_gemm_pack_slot,
                                    .pass = tap_gemm_pass};

#else
typedef int tap_no_avx2_here; /* a file must declare something */
#endif

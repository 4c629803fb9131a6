/* The product's inner loop for processors with AVX2 and FMA: 6 rows x 16 words. */
#if defined(__x86_64__)

#    include "tensor/gemm_x86.h"

enum { MR = 6, NR = 16 };

static void block(float *c, int64_t stride_c, const float *a, const float *b,
                  int64_t depth, bool add)
{
    __m256 sum[MR][2];
#    pragma GCC unroll 6
    for (int r = 0; r < MR; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < depth; k++, a += MR, b += NR) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
#    pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            const __m256 a_r = _mm256_broadcast_ss(a + r);
            sum[r][0] = _mm256_fmadd_ps(a_r, b0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(a_r, b1, sum[r][1]);
        }
    }
#    pragma GCC unroll 6
    for (int r = 0; r < MR; r++) {
        float *c_r = c + r * stride_c;
        if (add) {
            sum[r][0] = _mm256_add_ps(_mm256_loadu_ps(c_r), sum[r][0]);
            sum[r][1] = _mm256_add_ps(_mm256_loadu_ps(c_r + 8), sum[r][1]);
        }
        _mm256_storeu_ps(c_r, sum[r][0]);
        _mm256_storeu_ps(c_r + 8, sum[r][1]);
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
                                    .block = block,
                                    .pack_words = pack_words,
                                    .pack_rows = pack_rows};

#else
typedef int tap_no_avx2_here; /* a file must declare something */
#endif

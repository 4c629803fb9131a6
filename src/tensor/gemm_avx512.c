/* The product's inner loop for processors with AVX-512: 12 rows x 32 words. */
#if defined(__x86_64__)

#    include "tensor/gemm_x86.h"

enum { MR = 12, NR = 32 };

static void block(float *c, int64_t stride_c, const float *a, const float *b,
                  int64_t depth, bool add)
{
    __m512 sum[MR][2];
#    pragma GCC unroll 12
    for (int r = 0; r < MR; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k++, a += MR, b += NR) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#    pragma GCC unroll 12
        for (int r = 0; r < MR; r++) {
            const __m512 a_r = _mm512_set1_ps(a[r]);
            sum[r][0] = _mm512_fmadd_ps(a_r, b0, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(a_r, b1, sum[r][1]);
        }
    }
#    pragma GCC unroll 12
    for (int r = 0; r < MR; r++) {
        float *c_r = c + r * stride_c;
        if (add) {
            sum[r][0] = _mm512_add_ps(_mm512_loadu_ps(c_r), sum[r][0]);
            sum[r][1] = _mm512_add_ps(_mm512_loadu_ps(c_r + 16), sum[r][1]);
        }
        _mm512_storeu_ps(c_r, sum[r][0]);
        _mm512_storeu_ps(c_r + 16, sum[r][1]);
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

const tap_gemm_isa tap_gemm_avx512 = {.n_rows = MR,
                                      .n_words = NR,
                                      .block = block,
                                      .pack_words = pack_words,
                                      .pack_rows = pack_rows};

#else
typedef int tap_no_avx512_here; /* a file must declare something */
#endif

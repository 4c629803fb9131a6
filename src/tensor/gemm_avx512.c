/* The product's inner loop for processors with AVX-512: 12 rows x 32 words. */
#if defined(__x86_64__)

#    include "tensor/gemm_avx512.h"

enum { MR = 12, NR = 32 };

/* M rows by N vectors of words, both known to the compiler. */
static inline __attribute__((always_inline)) void run(float *c, int64_t stride_c,
                                                      const float *a, const float *b,
                                                      int64_t depth, bool add, int m,
                                                      const int M, const int N)
{
    __m512 sum[MR][2];
#    pragma GCC unroll 12
    for (int r = 0; r < M; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    const float *line = c; /* of each row that will be written */
    for (int64_t k = 0; k < depth; k++, a += MR, b += NR) {
        _mm_prefetch((const char *)(a + TAP_GEMM_AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)line, _MM_HINT_T0);
        if (N == 2)
            _mm_prefetch((const char *)(line + 16), _MM_HINT_T0);
        line += k + 1 < M ? stride_c : 0;
        const __m512 b0 = _mm512_loadu_ps(b);
        const __m512 b1 = N == 2 ? _mm512_loadu_ps(b + 16) : b0;
#    pragma GCC unroll 12
        for (int r = 0; r < M; r++) {
            const __m512 a_r = _mm512_set1_ps(a[r]);
            sum[r][0] = _mm512_fmadd_ps(a_r, b0, sum[r][0]);
            if (N == 2)
                sum[r][1] = _mm512_fmadd_ps(a_r, b1, sum[r][1]);
        }
    }
#    pragma GCC unroll 12
    for (int r = 0; r < M; r++) {
        float *c_r = c + r * stride_c;
        if (r >= m)
            return;
#    pragma GCC unroll 2
        for (int j = 0; j < N; j++, c_r += 16)
            _mm512_storeu_ps(c_r, add ? _mm512_add_ps(_mm512_loadu_ps(c_r), sum[r][j])
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
    } else if (m <= 4) {
        run(c, stride_c, a, b, depth, add, m, 4, 2);
    } else if (m <= 8) {
        run(c, stride_c, a, b, depth, add, m, 8, 2);
    } else {
        run(c, stride_c, a, b, depth, add, m, MR, 2);
    }
}

static void pack_words(float *b, const void *w, tap_dtype dtype, int64_t stride_bytes,
                       int n_valid, int64_t depth)
{
    const unsigned char *bytes = w;
    for (int j = 0; j < NR; j += 16, bytes += 16 * stride_bytes) {
        if (dtype == TAP_F32)
            pack_16(b + j, NR, bytes, stride_bytes, n_valid - j, depth);
        else
            pack_16_halves(b + j, NR, bytes, dtype, stride_bytes, n_valid - j, depth);
    }
}

static void pack_rows(float *a, const float *x, int64_t stride_x, int n_valid,
                      int64_t depth)
{
    for (int64_t k = 0; k < depth; k += 16) {
        const __mmask16 some = first_16(depth - k);
        __m512 r[16];
#    pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = _mm512_maskz_loadu_ps(i < n_valid ? some : 0, x + i * stride_x + k);
        put_12(a, r, k, depth);
    }
}

const tap_gemm_isa tap_gemm_avx512 = {.n_rows = MR,
                                      .n_words = NR,
                                      .terms = 1,
                                      .block = block,
                                      .pack_words = pack_words,
                                      .pack_rows = pack_rows,
                                      .pack_slot = tap_gemm_pack_slot,
                                      .pass = tap_gemm_pass};

#else
typedef int tap_no_avx512_here; /* a file must declare something */
#endif

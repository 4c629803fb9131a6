/* The product in bf16 for processors with avx512_bf16: 12 rows x 32 words, two terms at a
 * time, summed in f32.
 *
 * A slot of a panel is two neighbouring terms, so a row of stored bf16 is moved as if it
 * were f32. Subnormal numbers count as 0, as the instruction has it. The functions name
 * the instructions they need themselves; the file is otherwise one of AVX-512. */
#if defined(__x86_64__)

#    include "tensor/gemm_avx512.h"

#    include <assert.h>

#    define BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

enum { MR = 12, NR = 32, STEP = 2 * TAP_GEMM_DEPTH };

/* M rows by N vectors of words, both known to the compiler. */
BF16 static inline __attribute__((always_inline)) void
run(float *c, int64_t stride_c, const float *a, const float *b, int64_t n_slots,
    bool add, int m, const int M, const int N)
{
    __m512 sum[MR][2];
#    pragma GCC unroll 12
    for (int r = 0; r < M; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    const float *line = c; /* of each row that will be written */
    for (int64_t k = 0; k < n_slots; k++, a += MR, b += NR) {
        _mm_prefetch((const char *)(a + TAP_GEMM_AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)line, _MM_HINT_T0);
        if (N == 2)
            _mm_prefetch((const char *)(line + 16), _MM_HINT_T0);
        line += k + 1 < M ? stride_c : 0;
        const __m512bh b0 = (__m512bh)_mm512_loadu_ps(b);
        const __m512bh b1 = N == 2 ? (__m512bh)_mm512_loadu_ps(b + 16) : b0;
#    pragma GCC unroll 12
        for (int r = 0; r < M; r++) {
            const __m512bh a_r = (__m512bh)_mm512_set1_ps(a[r]);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], a_r, b0);
            if (N == 2)
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], a_r, b1);
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

BF16 static void block(float *c, int64_t stride_c, const float *a, const float *b,
                       int64_t n_slots, bool add, int m, int n)
{
    if (2 * n <= NR)
        run(c, stride_c, a, b, n_slots, add, m, MR, 1);
    else if (m <= 1)
        run(c, stride_c, a, b, n_slots, add, m, 1, 2);
    else if (m <= 4)
        run(c, stride_c, a, b, n_slots, add, m, 4, 2);
    else if (m <= 8)
        run(c, stride_c, a, b, n_slots, add, m, 8, 2);
    else
        run(c, stride_c, a, b, n_slots, add, m, MR, 2);
}

/* 16 slots of at most `left` numbers, rounded; what is missing counts as 0. */
BF16 static inline __m512 narrow(const float *from, int64_t left)
{
    const __m512 low = _mm512_maskz_loadu_ps(first_16(left), from);
    const __m512 high = _mm512_maskz_loadu_ps(first_16(left - 16), from + 16);
    return (__m512)_mm512_cvtne2ps_pbh(high, low);
}

BF16 static void pack_rows(float *a, const float *x, int64_t stride_x, int n_valid,
                           int64_t depth)
{
    for (int64_t k = 0; k < depth; k += 32) {
        __m512 r[16];
#    pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = i < n_valid ? narrow(x + i * stride_x + k, depth - k)
                               : _mm512_setzero_ps();
        put_12(a, r, k / 2, (depth + 1) / 2);
    }
}

/* Words that are not whole pairs of bf16 in memory are made so first, 16 at a time. */
BF16 static void pack_narrowed(float *b, const unsigned char *w, tap_dtype dtype,
                               int64_t stride_bytes, int n_valid, int64_t depth)
{
    float pairs[16][TAP_GEMM_DEPTH], wide[STEP];
    for (int j = 0; j < NR; j += 16) {
        for (int i = j; i < j + 16 && i < n_valid; i++) {
            const tap_tensor row = {.bytes = w + i * stride_bytes, .dtype = dtype};
            tap_widen(wide, &row, 0, depth);
            for (int64_t k = 0; k < depth; k += 32)
                _mm512_storeu_ps(pairs[i - j] + k / 2, narrow(wide + k, depth - k));
        }
        pack_16(b + j, NR, (const unsigned char *)pairs, sizeof pairs[0], n_valid - j,
                (depth + 1) / 2);
    }
}

static void pack_words(float *b, const void *w, tap_dtype dtype, int64_t stride_bytes,
                       int n_valid, int64_t depth)
{
    const unsigned char *bytes = w;
    assert(depth <= STEP);
    if (dtype != TAP_BF16 || depth % 2 != 0) {
        pack_narrowed(b, w, dtype, stride_bytes, n_valid, depth);
        return;
    }
    for (int j = 0; j < NR; j += 16, bytes += 16 * stride_bytes)
        pack_16(b + j, NR, bytes, stride_bytes, n_valid - j, depth / 2);
}

BF16 static void pack_slot(float *b, int nr, const float *const *x, int n_valid)
{
    for (int j = 0; j < nr; j += 16) {
        const __mmask16 some = first_16(n_valid - j);
        const __m512 none = _mm512_setzero_ps();
        const __m512 low = x[0] ? _mm512_maskz_loadu_ps(some, x[0] + j) : none;
        const __m512 high = x[1] ? _mm512_maskz_loadu_ps(some, x[1] + j) : none;
        const __m512i pairs = _mm512_or_si512(
            _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low)),
            _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high)),
                              16));
        _mm512_storeu_ps(b + j, _mm512_castsi512_ps(pairs));
    }
}

BF16 static void pass(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 some = first_16(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(some, x + i);
        const __m512 wide = _mm512_castsi512_ps(_mm512_slli_epi32(
            _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v)), 16));
        _mm512_mask_storeu_ps(y + i, some, _mm512_add_ps(wide, _mm512_setzero_ps()));
    }
}

const tap_gemm_isa tap_gemm_avx512bf16 = {.n_rows = MR,
                                          .n_words = NR,
                                          .terms = 2,
                                          .block = block,
                                          .pack_words = pack_words,
                                          .pack_rows = pack_rows,
                                          .pack_slot = pack_slot,
                                          .pass = pass};

#else
typedef int tap_no_avx512bf16_here; /* a file must declare something */
#endif

/* Packing for x86 with AVX2, included by the files that may use it: 8 x 8 transposes of
 * weights that are widened on the way, 4 x 4 transposes of rows. */
#ifndef TAP_TENSOR_GEMM_X86_H
#define TAP_TENSOR_GEMM_X86_H

#include "tensor/gemm.h"

#include <immintrin.h>
#include <string.h>

/* 8 numbers of a type, widened. */
static inline __m256 load_8(const unsigned char *from, tap_dtype dtype)
{
    if (dtype == TAP_F32)
        return _mm256_loadu_ps((const float *)(const void *)from);
    const __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)from);
    if (dtype == TAP_F16)
        return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

static inline void transpose_8(__m256 r[8])
{
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

/* Columns j .. j + 7 of a packed panel of nr words. */
static inline void pack_8_words(float *b, int nr, const unsigned char *w,
                                tap_dtype dtype, int64_t stride_bytes, int n_valid,
                                int64_t depth)
{
    const int64_t element = dtype == TAP_F32 ? 4 : 2;
    int64_t k = 0;
    for (; k + 8 <= depth; k += 8) {
        __m256 r[8];
        for (int i = 0; i < 8; i++) {
            const unsigned char *from = w + i * stride_bytes + k * element;
            r[i] = i < n_valid ? load_8(from, dtype) : _mm256_setzero_ps();
            /* the next 8 words: the processor does not foresee the step to another row */
            _mm_prefetch((const char *)from + 8 * stride_bytes, _MM_HINT_T0);
        }
        transpose_8(r);
        for (int i = 0; i < 8; i++)
            _mm256_storeu_ps(b + (k + i) * nr, r[i]);
    }
    for (int i = 0; i < 8 && k < depth; i++) {
        float rest[8] = {0};
        const tap_tensor view = {.bytes = w + i * stride_bytes, .dtype = dtype};
        if (i < n_valid)
            tap_widen(rest, &view, k, depth - k);
        for (int64_t l = k; l < depth; l++)
            b[l * nr + i] = rest[l - k];
    }
}

static inline void pack_words_x86(float *b, int nr, const void *w, tap_dtype dtype,
                                  int64_t stride_bytes, int n_valid, int64_t depth)
{
    const unsigned char *bytes = w;
    for (int j = 0; j < nr; j += 8)
        pack_8_words(b + j, nr, bytes + j * stride_bytes, dtype, stride_bytes,
                     n_valid - j, depth);
}

static inline void pack_rows_x86(float *a, int mr, const float *x, int64_t stride_x,
                                 int n_valid, int64_t depth)
{
    int r = 0;
    for (; r + 4 <= n_valid && r + 4 <= mr; r += 4) {
        const float *x_r = x + r * stride_x;
        int64_t k = 0;
        for (; k + 4 <= depth; k += 4) {
            __m128 v0 = _mm_loadu_ps(x_r + k);
            __m128 v1 = _mm_loadu_ps(x_r + stride_x + k);
            __m128 v2 = _mm_loadu_ps(x_r + 2 * stride_x + k);
            __m128 v3 = _mm_loadu_ps(x_r + 3 * stride_x + k);
            _MM_TRANSPOSE4_PS(v0, v1, v2, v3);
            _mm_storeu_ps(a + k * mr + r, v0);
            _mm_storeu_ps(a + (k + 1) * mr + r, v1);
            _mm_storeu_ps(a + (k + 2) * mr + r, v2);
            _mm_storeu_ps(a + (k + 3) * mr + r, v3);
        }
        for (; k < depth; k++)
            for (int i = 0; i < 4; i++)
                a[k * mr + r + i] = x_r[i * stride_x + k];
    }
    for (; r < mr; r++)
        for (int64_t k = 0; k < depth; k++)
            a[k * mr + r] = r < n_valid ? x[r * stride_x + k] : 0.0F;
}

#endif

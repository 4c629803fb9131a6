/* Packing with AVX-512, included by the files that may use it: 16 x 16 transposes in
 * registers, so that every line of memory is read once and written once, whole. */
#ifndef TAP_TENSOR_GEMM_AVX512_H
#define TAP_TENSOR_GEMM_AVX512_H

#include "tensor/gemm.h"

#include <immintrin.h>

static inline __attribute__((always_inline)) void transpose_16(__m512 r[16])
{
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    /* r[i + c]: in each quarter, column c of it, of rows i .. i + 3 */
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const __m512 even_low = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
        const __m512 even_high = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
        const __m512 odd_low = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
        const __m512 odd_high = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
        r[c] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
        r[4 + c] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
        r[8 + c] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
        r[12 + c] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
}

/* The first n of 16 numbers of 4 bytes. */
static inline __mmask16 first_16(int64_t n)
{
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1U << n) - 1U);
}

/* r[k] = slot k, of 4 bytes, of 16 rows of which n_bytes are left; rows j >= n_valid are 0,
 * and so is what lies behind their end. */
static inline __attribute__((always_inline)) void load_16(__m512 r[16],
                                                          const unsigned char *from,
                                                          int64_t stride_bytes,
                                                          int n_valid, int64_t n_bytes)
{
    const __mmask64 some = n_bytes >= 64 ? ~0ULL : (1ULL << n_bytes) - 1U;
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++) {
        const unsigned char *row = from + j * stride_bytes;
        r[j] =
            _mm512_castsi512_ps(_mm512_maskz_loadu_epi8(j < n_valid ? some : 0, row));
        /* the next 16: the processor does not foresee the step to another row */
        _mm_prefetch((const char *)row + 16 * stride_bytes, _MM_HINT_T0);
    }
    transpose_16(r);
}

/* to[k][j] = numbers of 4 bytes k of row j of `from`, n_slots of them, for j < 16; rows
 * j >= n_valid are 0. */
static inline void pack_16(float *to, int n_to, const unsigned char *from,
                           int64_t stride_bytes, int n_valid, int64_t n_slots)
{
    for (int64_t k = 0; k < n_slots; k += 16) {
        __m512 r[16];
        load_16(r, from + k * 4, stride_bytes, n_valid, (n_slots - k) * 4);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (k + i < n_slots)
                _mm512_storeu_ps(to + (k + i) * n_to, r[i]);
    }
}

/* The same of numbers of 2 bytes, widened: two to a slot of pack_16. */
static inline void pack_16_halves(float *to, int n_to, const unsigned char *from,
                                  tap_dtype dtype, int64_t stride_bytes, int n_valid,
                                  int64_t depth)
{
    for (int64_t k = 0; k < depth; k += 32) {
        const int64_t n = depth - k;
        __m512 r[16];
        load_16(r, from + k * 2, stride_bytes, n_valid, n * 2);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            const __m512i pair = _mm512_castps_si512(r[i]);
            __m512 even, odd;
            if (dtype == TAP_BF16) {
                even = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
                odd = _mm512_castsi512_ps(
                    _mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000U)));
            } else {
                even = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pair));
                odd =
                    _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pair, 16)));
            }
            if (2 * i < n)
                _mm512_storeu_ps(to + (k + 2 * i) * n_to, even);
            if (2 * i + 1 < n)
                _mm512_storeu_ps(to + (k + 2 * i + 1) * n_to, odd);
        }
    }
}

/* Slots k .. k + 15 of a panel of 12 rows from r [16], one row each, of which n_slots - k
 * are wanted. A store of 16 numbers ends 4 behind its slot, where the next one goes; the
 * last is cut short, since another thread may write what follows. */
static inline __attribute__((always_inline)) void put_12(float *a, __m512 r[16],
                                                         int64_t k, int64_t n_slots)
{
    transpose_16(r);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (k + i < n_slots)
            _mm512_mask_storeu_ps(a + (k + i) * 12,
                                  k + i + 1 < n_slots ? 0xffff : 0x0fff, r[i]);
}

#endif

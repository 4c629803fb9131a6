/* What kernel tests are fed: numbers by seed, weights at odd addresses, scratch of exactly
 * the size that was asked for. */
#ifndef TEST_KERNEL_INPUTS_H
#define TEST_KERNEL_INPUTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "tensor/kernels_cpu.h"
#include "tensor/kernels_ref_f64.h"

static inline void *take(size_t n, size_t bytes)
{
    tap_error err;
    void *memory = NULL;
    assert_int_equal(tap_alloc(&memory, n, bytes, "a test", &err), TAP_OK);
    return memory;
}

/* Uniform in [-1, 1). */
static inline float noise(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((double)(*seed >> 40) / 8388608.0 - 1.0);
}

static inline float *noise_floats(int64_t n, uint64_t seed)
{
    float *values = take((size_t)n, sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = noise(&seed);
    return values;
}

/* A weight [a][b], or [a] if b is 0, whose bytes stand at an odd address, as in a mapped
 * file. Release *owner. */
static inline tap_tensor weight(unsigned char **owner, tap_dtype dtype, int64_t a,
                                int64_t b, uint64_t seed)
{
    const size_t element = tap_dtype_bytes(dtype);
    const int64_t n = a * (b ? b : 1);
    *owner = take((size_t)n * element + 1, 1);
    for (int64_t i = 0; i < n; i++) {
        const float value = noise(&seed);
        const uint16_t half =
            dtype == TAP_BF16 ? tap_to_bf16(value) : tap_to_f16(value);
        memcpy(*owner + 1 + (size_t)i * element,
               dtype == TAP_F32 ? (const void *)&value : (const void *)&half, element);
    }
    return (tap_tensor){
        .bytes = *owner + 1, .dtype = dtype, .n_dims = b ? 2 : 1, .shape = {a, b}};
}

/* Release .scratch. */
static inline tap_workspace workspace(const tap_kernels *k, int n_threads,
                                      int64_t n_rows, int64_t d, int64_t n_tok,
                                      int64_t n_labels)
{
    tap_workspace work = {.n_threads = n_threads};
    work.scratch_bytes = k->scratch_bytes(n_rows, d, n_tok, n_labels, n_threads);
    work.scratch = take(work.scratch_bytes, 1);
    memset(work.scratch, 0xff, work.scratch_bytes); /* NaN, should anybody read it */
    return work;
}

/* Largest difference, relative to the rms of the exact values. */
static inline double largest_error(const float *values, const double *exact, int64_t n)
{
    double rms = 0.0, worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs((double)values[i] - exact[i]);
        assert_true(off == off);
        rms += exact[i] * exact[i];
        worst = off > worst ? off : worst;
    }
    return worst / (sqrt(rms / (double)n) + 1e-30);
}

/* The table of the same name in the reference's place tells drift from bugs: a fast result
 * may be a few times as far from f64 as the f32 loops are. */
static inline void assert_like_reference(const float *fast, const float *ref,
                                         const double *exact, int64_t n)
{
    const double allowed = 3.0 * largest_error(ref, exact, n) + 3e-7;
    assert_true(largest_error(fast, exact, n) <= allowed);
}

#endif

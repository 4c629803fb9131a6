/* The loops themselves. A file that includes this names its table TAP_LOOPS and its product
 * TAP_LOOPS_GEMM, and is compiled for one instruction set. Every operation is spelled out
 * (no contraction), so all sets give the same bits. */
#include "tensor/loops.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };

/* exp(x) within 2 ulp: x = n ln 2 + r, exp(r) by a polynomial (the coefficients of Cephes'
 * expf), times 2^n in two steps so that the result may be subnormal. exp(-inf) = 0. */
static inline float exp_f32(float x)
{
    const float low = x < -105.0F ? -105.0F : x; /* a NaN passes both */
    const float v = low > 89.0F ? 89.0F : low;
    const float magic = 12582912.0F; /* 1.5 * 2^23: adding it rounds to an integer */
    const float shifted = __builtin_fmaf(v, 1.44269504088896341F, magic);
    const float n = shifted - magic;
    const float r0 = __builtin_fmaf(n, -0.693359375F, v);
    const float r = __builtin_fmaf(n, 2.12194440e-4F, r0);
    float p = 1.9875691500e-4F;
    p = __builtin_fmaf(p, r, 1.3981999507e-3F);
    p = __builtin_fmaf(p, r, 8.3334519073e-3F);
    p = __builtin_fmaf(p, r, 4.1665795894e-2F);
    p = __builtin_fmaf(p, r, 1.6666665459e-1F);
    p = __builtin_fmaf(p, r, 5.0000001201e-1F);
    const float e = __builtin_fmaf(p, r * r, r) + 1.0F;
    int32_t bits, magic_bits;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&magic_bits, &magic, sizeof magic_bits);
    const int32_t exponent = (int32_t)((uint32_t)bits - (uint32_t)magic_bits);
    const int32_t half = exponent >> 1;
    const int32_t first = (int32_t)((uint32_t)(half + 127) << 23);
    const int32_t second = (int32_t)((uint32_t)(exponent - half + 127) << 23);
    float scale_1, scale_2;
    memcpy(&scale_1, &first, sizeof scale_1);
    memcpy(&scale_2, &second, sizeof scale_2);
    return e * scale_1 * scale_2;
}

/* Sum of lanes in a fixed order. */
static double sum_lanes(const double lanes[LANES])
{
    double sum = 0.0;
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* sum over i of (x[i] - shift)^power, power 1 or 2; element i belongs to lane i % 16. */
static double moment(const float *x, int64_t n, double shift, bool squared)
{
    double lanes[LANES] = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t m = n - i < LANES ? n - i : LANES;
        if (m == LANES && squared) {
#pragma omp simd
            for (int l = 0; l < LANES; l++) {
                const double v = (double)x[i + l] - shift;
                lanes[l] += v * v;
            }
        } else if (m == LANES) {
#pragma omp simd
            for (int l = 0; l < LANES; l++)
                lanes[l] += (double)x[i + l] - shift;
        } else {
            for (int64_t l = 0; l < m; l++) {
                const double v = (double)x[i + l] - shift;
                lanes[l] += squared ? v * v : v;
            }
        }
    }
    return sum_lanes(lanes);
}

static void layer_norm(float *y, const float *x, int64_t d, const float *gain,
                       const float *bias, double eps)
{
    const double mean = moment(x, d, 0.0, false) / (double)d;
    const double scale = 1.0 / sqrt(moment(x, d, mean, true) / (double)d + eps);
#pragma omp simd
    for (int64_t i = 0; i < d; i++)
        y[i] = (float)(((double)x[i] - mean) * scale) * gain[i] + bias[i];
}

static void rms_norm(float *y, const float *x, int64_t d, const float *gain, double eps)
{
    const double scale = 1.0 / sqrt(moment(x, d, 0.0, true) / (double)d + eps);
#pragma omp simd
    for (int64_t i = 0; i < d; i++)
        y[i] = (float)((double)x[i] * scale) * gain[i];
}

static void activate(float *x, int64_t n, tap_act act)
{
    if (act == TAP_ACT_GELU_TANH) { /* x/2 (1 + tanh u) = x / (1 + exp(-2u)) */
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float cube = x[i] * x[i] * x[i];
            const float u = 0.79788456080286535588F * (x[i] + 0.044715F * cube);
            x[i] = x[i] / (1.0F + exp_f32(-2.0F * u));
        }
        return;
    }
    const float slope = act == TAP_ACT_QUICK_GELU ? -1.702F : -1.0F;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] / (1.0F + exp_f32(slope * x[i]));
}

static void multiply(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] *= x[i];
}

static void add(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void rope(float *x, int n_heads, int d_head, const float *cosine,
                 const float *sine)
{
    const int half = d_head / 2;
    for (int h = 0; h < n_heads; h++) {
        float *low = x + (int64_t)h * d_head, *high = low + half;
#pragma omp simd
        for (int i = 0; i < half; i++) {
            const float a = low[i], b = high[i];
            low[i] = a * cosine[i] - b * sine[i];
            high[i] = b * cosine[i] + a * sine[i];
        }
    }
}

static void scale(float *x, float factor, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}

static void softmax(float *w, int64_t n)
{
    float most_of[LANES];
    for (int l = 0; l < LANES; l++)
        most_of[l] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            most_of[l] = w[i + l] > most_of[l] ? w[i + l] : most_of[l];
    }
    for (; i < n; i++)
        most_of[0] = w[i] > most_of[0] ? w[i] : most_of[0];
    float most = -INFINITY;
    for (int l = 0; l < LANES; l++)
        most = most_of[l] > most ? most_of[l] : most;
#pragma omp simd
    for (int64_t s = 0; s < n; s++)
        w[s] = exp_f32(w[s] - most);
    const double one_by_sum = 1.0 / moment(w, n, 0.0, false);
#pragma omp simd
    for (int64_t s = 0; s < n; s++)
        w[s] = (float)((double)w[s] * one_by_sum);
}

static void count(int32_t *greater, int32_t *equal, const float *values, int64_t n,
                  float z)
{
    int32_t above = 0, same = 0;
#pragma omp simd reduction(+ : above, same)
    for (int64_t i = 0; i < n; i++) {
        above += values[i] > z;
        same += values[i] == z;
    }
    *greater += above;
    *equal += same;
}

const tap_loops TAP_LOOPS = {.name = TAP_LOOPS_NAME,
                             .gemm = &TAP_LOOPS_GEMM,
                             .layer_norm = layer_norm,
                             .rms_norm = rms_norm,
                             .activate = activate,
                             .multiply = multiply,
                             .add = add,
                             .rope = rope,
                             .scale = scale,
                             .softmax = softmax,
                             .count = count};

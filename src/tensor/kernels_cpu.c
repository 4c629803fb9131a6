/* The fast table: which instruction set this processor has, and how rows, heads and tiles
 * are shared out among threads. Nothing here changes a bit of any result. */
#include "tensor/kernels_cpu.h"
#include "tensor/attend.h"
#include "tensor/rank.h"

#include <assert.h>
#include <math.h>
#include <omp.h>

enum {
    CHUNK = 4096,
    FEW = 1 << 14
}; /* values per task; below FEW one thread does it */

static int threads_for(const tap_workspace *work, int64_t n_values)
{
    return n_values < FEW ? 1 : work->n_threads;
}

/* Norms need gain and bias as f32: the start of the scratch holds them. */
static float *widen_pair(const tap_workspace *work, const tap_tensor *gain,
                         const tap_tensor *bias, int64_t d)
{
    float *wide = work->scratch;
    assert(2 * (size_t)d * sizeof *wide <= work->scratch_bytes);
    tap_widen(wide, gain, 0, d);
    if (bias)
        tap_widen(wide + d, bias, 0, d);
    return wide;
}

static void layer_norm(const tap_loops *loops, float *y, const float *x, int64_t n_rows,
                       int64_t d, const tap_tensor *gain, const tap_tensor *bias,
                       double eps, const tap_workspace *work)
{
    const float *wide = widen_pair(work, gain, bias, d);
#pragma omp parallel for schedule(static) num_threads(threads_for(work, n_rows *d))
    for (int64_t r = 0; r < n_rows; r++)
        loops->layer_norm(y + r * d, x + r * d, d, wide, wide + d, eps);
}

static void rms_norm(const tap_loops *loops, float *y, const float *x, int64_t n_rows,
                     int64_t d, const tap_tensor *gain, double eps,
                     const tap_workspace *work)
{
    const float *wide = widen_pair(work, gain, NULL, d);
#pragma omp parallel for schedule(static) num_threads(threads_for(work, n_rows *d))
    for (int64_t r = 0; r < n_rows; r++)
        loops->rms_norm(y + r * d, x + r * d, d, wide, eps);
}

static void gelu_erf(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.5F * x[i] * (1.0F + erff(x[i] * 0.70710678118654752440F));
}

static void activate(const tap_loops *loops, float *x, int64_t n, tap_act act,
                     const tap_workspace *work)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(work, n))
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t m = n - i < CHUNK ? n - i : CHUNK;
        if (act == TAP_ACT_GELU_ERF)
            gelu_erf(x + i, m);
        else
            loops->activate(x + i, m, act);
    }
}

static void gate(const tap_loops *loops, float *gates, const float *up, int64_t n,
                 tap_act act, const tap_workspace *work)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(work, n))
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t m = n - i < CHUNK ? n - i : CHUNK;
        if (act == TAP_ACT_GELU_ERF)
            gelu_erf(gates + i, m);
        else
            loops->activate(gates + i, m, act);
        loops->multiply(gates + i, up + i, m);
    }
}

static void add(const tap_loops *loops, float *y, const float *x, int64_t n,
                const tap_workspace *work)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(work, n))
    for (int64_t i = 0; i < n; i += CHUNK)
        loops->add(y + i, x + i, n - i < CHUNK ? n - i : CHUNK);
}

static void rope(const tap_loops *loops, float *x, int64_t stride_x, int64_t n_rows,
                 int n_heads, int d_head, const float *cosine, const float *sine,
                 const tap_workspace *work)
{
    const int64_t half = d_head / 2, n = n_rows * n_heads * d_head;
#pragma omp parallel for schedule(static) num_threads(threads_for(work, n))
    for (int64_t r = 0; r < n_rows; r++)
        loops->rope(x + r * stride_x, n_heads, d_head, cosine + r * half,
                    sine + r * half);
}

static void attend(const tap_gemm_isa *gemm, const tap_loops *loops,
                   const tap_attend_args *args, int64_t n, const tap_workspace *work)
{
    if (n == 0)
        return;
    int64_t n_tok = 0;
    for (int64_t i = 0; i < n; i++)
        n_tok = args[i].n_k > n_tok ? args[i].n_k : n_tok;
    const int n_heads = args[0].n_heads;
    const size_t floats = (tap_attend_floats(n_tok, args[0].d_head) + 15) / 16 * 16;
    assert(floats * sizeof(float) * (size_t)work->n_threads <= work->scratch_bytes);
#pragma omp parallel for schedule(dynamic) num_threads(work->n_threads)
    for (int64_t task = 0; task < n * n_heads; task++) {
        float *scratch = work->scratch;
        tap_attend_head(gemm, loops, &args[task / n_heads], (int)(task % n_heads),
                        scratch + (size_t)omp_get_thread_num() * floats);
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t scratch_bytes(int64_t n_rows, int64_t d_max, int64_t n_tok,
                            int64_t n_labels, int n_threads)
{
    const size_t n = (size_t)n_threads;
    const int64_t d_head = d_max < TAP_MAX_HEAD ? d_max : TAP_MAX_HEAD;
    size_t bytes = tap_gemm_floats(n_rows, d_max, n_threads) * sizeof(float);
    bytes = larger(bytes, 2 * (size_t)d_max * sizeof(float));
    bytes = larger(bytes, n * (tap_attend_floats(n_tok, d_head) + 16) * sizeof(float));
    if (n_labels > 0)
        bytes = larger(bytes, tap_rank_bytes(n_rows, d_max, n_labels, n_threads));
    return bytes;
}

/* The table of one instruction set. */
#define TABLE(isa, loops)                                                              \
    static void isa##_linear(float *y, int64_t stride_y, const float *x,               \
                             int64_t stride_x, int64_t n_rows, const tap_tensor *w,    \
                             const tap_tensor *bias, const tap_workspace *work)        \
    {                                                                                  \
        const tap_linear map = {y, stride_y, w, bias};                                 \
        tap_gemm_linears((loops).gemm, &map, 1, x, stride_x, n_rows, work);            \
    }                                                                                  \
    static void isa##_linears(const tap_linear *maps, int n, const float *x,           \
                              int64_t stride_x, int64_t n_rows,                        \
                              const tap_workspace *work)                               \
    {                                                                                  \
        tap_gemm_linears((loops).gemm, maps, n, x, stride_x, n_rows, work);            \
    }                                                                                  \
    static void isa##_layer_norm(float *y, const float *x, int64_t n_rows, int64_t d,  \
                                 const tap_tensor *gain, const tap_tensor *bias,       \
                                 double eps, const tap_workspace *work)                \
    {                                                                                  \
        layer_norm(&(loops), y, x, n_rows, d, gain, bias, eps, work);                  \
    }                                                                                  \
    static void isa##_rms_norm(float *y, const float *x, int64_t n_rows, int64_t d,    \
                               const tap_tensor *gain, double eps,                     \
                               const tap_workspace *work)                              \
    {                                                                                  \
        rms_norm(&(loops), y, x, n_rows, d, gain, eps, work);                          \
    }                                                                                  \
    static void isa##_activate(float *x, int64_t n, tap_act act,                       \
                               const tap_workspace *work)                              \
    {                                                                                  \
        activate(&(loops), x, n, act, work);                                           \
    }                                                                                  \
    static void isa##_gate(float *gates, const float *up, int64_t n, tap_act act,      \
                           const tap_workspace *work)                                  \
    {                                                                                  \
        gate(&(loops), gates, up, n, act, work);                                       \
    }                                                                                  \
    static void isa##_add(float *y, const float *x, int64_t n,                         \
                          const tap_workspace *work)                                   \
    {                                                                                  \
        add(&(loops), y, x, n, work);                                                  \
    }                                                                                  \
    static void isa##_rope(float *x, int64_t stride_x, int64_t n_rows, int n_heads,    \
                           int d_head, const float *cosine, const float *sine,         \
                           const tap_workspace *work)                                  \
    {                                                                                  \
        rope(&(loops), x, stride_x, n_rows, n_heads, d_head, cosine, sine, work);      \
    }                                                                                  \
    static void isa##_attend(const tap_attend_args *args, int64_t n,                   \
                             const tap_workspace *work)                                \
    {                                                                                  \
        attend((loops).gemm, &(loops), args, n, work);                                 \
    }                                                                                  \
    static void isa##_rank(float *ranks, float *label_logits, const float *x,          \
                           int64_t n_rows, const tap_tensor *w, const int32_t *labels, \
                           int64_t n_labels, const uint64_t *candidates,               \
                           const tap_workspace *work)                                  \
    {                                                                                  \
        tap_rank_rows((loops).gemm, &(loops), ranks, label_logits, x, n_rows, w,       \
                      labels, n_labels, candidates, work);                             \
    }                                                                                  \
    const tap_kernels tap_kernels_##isa = {.name = #isa,                               \
                                           .compute = "f32",                           \
                                           .attends = TAP_ATTEND_ALL,                  \
                                           .linear = isa##_linear,                     \
                                           .linears = isa##_linears,                   \
                                           .layer_norm = isa##_layer_norm,             \
                                           .rms_norm = isa##_rms_norm,                 \
                                           .activate = isa##_activate,                 \
                                           .gate = isa##_gate,                         \
                                           .add = isa##_add,                           \
                                           .rope = isa##_rope,                         \
                                           .attend = isa##_attend,                     \
                                           .rank = isa##_rank,                         \
                                           .scratch_bytes = scratch_bytes};

TABLE(portable, tap_loops_portable)
#if defined(__x86_64__)
TABLE(avx2, tap_loops_avx2)
TABLE(avx512, tap_loops_avx512)
#endif

#if defined(__x86_64__)

static void bf16_linear(float *y, int64_t stride_y, const float *x, int64_t stride_x,
                        int64_t n_rows, const tap_tensor *w, const tap_tensor *bias,
                        const tap_workspace *work)
{
    const tap_linear map = {y, stride_y, w, bias};
    tap_gemm_linears(&tap_gemm_avx512bf16, &map, 1, x, stride_x, n_rows, work);
}

static void bf16_linears(const tap_linear *maps, int n, const float *x,
                         int64_t stride_x, int64_t n_rows, const tap_workspace *work)
{
    tap_gemm_linears(&tap_gemm_avx512bf16, maps, n, x, stride_x, n_rows, work);
}

static void bf16_rank(float *ranks, float *label_logits, const float *x, int64_t n_rows,
                      const tap_tensor *w, const int32_t *labels, int64_t n_labels,
                      const uint64_t *candidates, const tap_workspace *work)
{
    tap_rank_rows(&tap_gemm_avx512bf16, &tap_loops_avx512, ranks, label_logits, x,
                  n_rows, w, labels, n_labels, candidates, work);
}

static void bf16_attend(const tap_attend_args *args, int64_t n,
                        const tap_workspace *work)
{
    attend(&tap_gemm_avx512bf16, &tap_loops_avx512, args, n, work);
}

static const tap_kernels bf16_table = {.name = "avx512bf16",
                                       .compute = "bf16",
                                       .attends = TAP_ATTEND_ALL,
                                       .linear = bf16_linear,
                                       .linears = bf16_linears,
                                       .layer_norm = avx512_layer_norm,
                                       .rms_norm = avx512_rms_norm,
                                       .activate = avx512_activate,
                                       .gate = avx512_gate,
                                       .add = avx512_add,
                                       .rope = avx512_rope,
                                       .attend = bf16_attend,
                                       .rank = bf16_rank,
                                       .scratch_bytes = scratch_bytes};

const tap_kernels *tap_kernels_bf16(void)
{
    return tap_kernels_cpu() == &tap_kernels_avx512 &&
                   __builtin_cpu_supports("avx512bf16")
               ? &bf16_table
               : NULL;
}

#else

const tap_kernels *tap_kernels_bf16(void)
{
    return NULL;
}

#endif

const tap_kernels *tap_kernels_nth(int i)
{
    const tap_kernels *tables[3] = {&tap_kernels_portable};
    int n = 1;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[n++] = &tap_kernels_avx2;
    if (n == 2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        tables[n++] = &tap_kernels_avx512;
#endif
    return i < 0 || i >= n ? NULL : tables[n - 1 - i];
}

const tap_kernels *tap_kernels_cpu(void)
{
    return tap_kernels_nth(0);
}

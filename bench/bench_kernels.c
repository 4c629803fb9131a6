/* Each kernel against what the machine can do, in one run.
 *
 * Products of bf16 weights are timed in turn with cblas_sgemm on the same shape in f32;
 * printed are medians over rounds in GFLOP/s and the median of the ratios of pairs. Ranks
 * and attention are compared with the first product. Linked to a BLAS only here.
 *
 *   make bench && build/release/bench/bench_kernels [rounds] [threads] [table] */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "tensor/kernels_cpu.h"

enum { MAX_ROUNDS = 64, MAX_ROWS = 608, MAX_OUT = 32064, MAX_IN = 11008, LABELS = 6 };

/* With one thread, processor time: what else runs on the machine disturbs it less. */
static double now_s(int n_threads)
{
    struct timespec t;
    (void)clock_gettime(n_threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC,
                        &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *take(size_t n, size_t bytes)
{
    tap_error err;
    void *memory = NULL;
    if (tap_alloc(&memory, n, bytes, "a benchmark", &err)) {
        (void)fprintf(stderr, "bench_kernels: %s\n", err.message);
        exit(1);
    }
    return memory;
}

static float *noise(int64_t n, float size)
{
    float *values = take((size_t)n, sizeof *values);
    uint64_t seed = (uint64_t)n;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        values[i] = ((float)(seed >> 40) * 0x1p-24F - 0.5F) * size;
    }
    return values;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(const double *values, int n)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[n / 2];
}

/* Everything that is measured, over memory shared by all shapes. */
typedef struct bench {
    const tap_kernels *kernels;
    tap_workspace work;
    int rounds;
    float *x, *y, *w;
    uint16_t *bits; /* w in bf16 */
    double first;   /* GFLOP/s of the first product */
} bench;

typedef void (*measured)(const bench *b, const int64_t *shape);

/* GFLOP/s of one call, repeated for a fifth of a second after one that is not timed. */
static double speed(measured call, const bench *b, const int64_t *shape, double flop)
{
    call(b, shape);
    int n = 0;
    const double start = now_s(b->work.n_threads);
    double passed = 0.0;
    for (; passed < 0.2; passed = now_s(b->work.n_threads) - start, n++)
        call(b, shape);
    return flop * n / passed * 1e-9;
}

static tap_tensor weights(const bench *b, int64_t n_out, int64_t n_in)
{
    return (tap_tensor){
        .bytes = b->bits, .dtype = TAP_BF16, .n_dims = 2, .shape = {n_out, n_in}};
}

static void our_product(const bench *b, const int64_t *s)
{
    const tap_tensor w = weights(b, s[1], s[2]);
    b->kernels->linear(b->y, s[1], b->x, s[2], s[0], &w, NULL, &b->work);
}

static void their_product(const bench *b, const int64_t *s)
{
    const int m = (int)s[0], n = (int)s[1], k = (int)s[2];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0F, b->x, k, b->w,
                k, 0.0F, b->y, n);
}

static void product(bench *b, int64_t n_rows, int64_t n_out, int64_t n_in)
{
    const int64_t shape[] = {n_rows, n_out, n_in};
    const double flop = 2.0 * (double)n_rows * (double)n_out * (double)n_in;
    double ours[MAX_ROUNDS], theirs[MAX_ROUNDS], ratios[MAX_ROUNDS];
    for (int r = 0; r < b->rounds; r++) {
        ours[r] = speed(our_product, b, shape, flop);
        theirs[r] = speed(their_product, b, shape, flop);
        ratios[r] = ours[r] / theirs[r];
    }
    if (b->first == 0.0)
        b->first = median(ours, b->rounds);
    (void)printf("linear  %4lld x %5lld x %5lld  %7.1f   sgemm %6.1f   ratio %.3f\n",
                 (long long)n_rows, (long long)n_out, (long long)n_in,
                 median(ours, b->rounds), median(theirs, b->rounds),
                 median(ratios, b->rounds));
}

static void our_ranks(const bench *b, const int64_t *s)
{
    static const int32_t labels[LABELS] = {5, 317, 4096, 9000, 20001, 32000};
    const tap_tensor w = weights(b, s[1], s[2]);
    b->kernels->rank(b->y, NULL, b->x, s[0], &w, labels, LABELS, NULL, &b->work);
}

/* Shape: tokens, heads, d_head, causal. */
static void our_attention(const bench *b, const int64_t *s)
{
    const int64_t d = s[1] * s[2];
    const tap_attend_args args = {.n_q = s[0],
                                  .n_k = s[0],
                                  .n_heads = (int)s[1],
                                  .n_kv_heads = (int)s[1],
                                  .d_head = (int)s[2],
                                  .causal = s[3] != 0,
                                  .scale = 1.0F / sqrtf((float)s[2]),
                                  .q = b->x,
                                  .k = b->w,
                                  .v = b->w + s[0] * d,
                                  .stride_q = d,
                                  .stride_kv = d,
                                  .z = b->y,
                                  .stride_z = d};
    b->kernels->attend(&args, 1, &b->work);
}

static void alone(bench *b, const char *name, measured call, const int64_t *shape,
                  double flop)
{
    double ours[MAX_ROUNDS];
    for (int r = 0; r < b->rounds; r++)
        ours[r] = speed(call, b, shape, flop);
    (void)printf("%-29s  %7.1f   %.2f ms   of the first product %.3f\n", name,
                 median(ours, b->rounds), flop / median(ours, b->rounds) * 1e-6,
                 median(ours, b->rounds) / b->first);
}

static void our_norm(const bench *b, const int64_t *s)
{
    const tap_tensor gain = {
        .bytes = b->bits, .dtype = TAP_BF16, .n_dims = 1, .shape = {s[1]}};
    b->kernels->rms_norm(b->y, b->x, s[0], s[1], &gain, 1e-5, &b->work);
}

static void our_gate(const bench *b, const int64_t *s)
{
    b->kernels->gate(b->y, b->x, s[0] * s[1], TAP_ACT_SILU, &b->work);
}

static void our_gelu(const bench *b, const int64_t *s)
{
    b->kernels->activate(b->y, s[0] * s[1], TAP_ACT_QUICK_GELU, &b->work);
}

static void our_erf(const bench *b, const int64_t *s)
{
    b->kernels->activate(b->y, s[0] * s[1], TAP_ACT_GELU_ERF, &b->work);
}

static void per_value(bench *b, const char *name, measured call, int64_t n_rows,
                      int64_t d)
{
    const int64_t shape[] = {n_rows, d};
    double ours[MAX_ROUNDS];
    for (int r = 0; r < b->rounds; r++)
        ours[r] = speed(call, b, shape, (double)(n_rows * d));
    const double g = median(ours, b->rounds);
    (void)printf("%-14s %4lld x %5lld    %7.2f G values/s   %.2f ms\n", name,
                 (long long)n_rows, (long long)d, g, (double)(n_rows * d) / g * 1e-6);
}

static const tap_kernels *table(const char *name)
{
    if (!name)
        return tap_kernels_cpu();
    const tap_kernels *k = tap_kernels_bf16();
    if (k && !strcmp(k->name, name))
        return k;
    for (int i = 0; (k = tap_kernels_nth(i)) && strcmp(k->name, name); i++)
        ;
    return k;
}

int main(int argc, char **argv)
{
    const int64_t n_w = (int64_t)MAX_OUT * 4096;
    bench b = {.rounds = argc > 1 ? (int)strtoul(argv[1], NULL, 10) : 5,
               .kernels = table(argc > 3 ? argv[3] : NULL)};
    b.work.n_threads = argc > 2 ? (int)strtoul(argv[2], NULL, 10) : omp_get_num_procs();
    if (b.rounds < 1 || b.rounds > MAX_ROUNDS || b.work.n_threads < 1 || !b.kernels) {
        (void)fprintf(stderr, "usage: bench_kernels [rounds 1-64] [threads] [table]\n");
        return 2;
    }
    b.work.scratch_bytes =
        b.kernels->scratch_bytes(MAX_ROWS, MAX_IN, MAX_ROWS, LABELS, b.work.n_threads);
    b.work.scratch = take(b.work.scratch_bytes, 1);
    b.x = noise((int64_t)MAX_ROWS * MAX_IN, 2.0F);
    b.y = take((size_t)MAX_ROWS * MAX_OUT, sizeof *b.y);
    b.w = noise(n_w, 0.1F);
    b.bits = take((size_t)n_w, sizeof *b.bits);
    for (int64_t i = 0; i < n_w; i++)
        b.bits[i] = tap_to_bf16(b.w[i]);
    (void)printf("table %s, %d threads, %d rounds; GFLOP/s, medians\n", b.kernels->name,
                 b.work.n_threads, b.rounds);
    product(&b, 608, 4096, 4096);
    product(&b, 576, 11008, 4096);
    product(&b, 576, 4096, 11008);
    product(&b, 577, 1024, 1024);
    product(&b, 577, 4096, 1024);
    product(&b, 577, 1024, 4096);
    product(&b, 100, 4096, 4096);
    const int64_t ranks[] = {576, 32064, 4096};
    alone(&b, "rank    576 x 32064 x 4096", our_ranks, ranks, 2.0 * 576 * 32064 * 4096);
    const int64_t lm[] = {608, 32, 128, 1}, vision[] = {577, 16, 64, 0};
    alone(&b, "attend  608, 32 x 128, causal", our_attention, lm,
          2.0 * 608 * 608 * 32 * 128);
    alone(&b, "attend  577, 16 x 64", our_attention, vision, 4.0 * 577 * 577 * 16 * 64);
    per_value(&b, "rms_norm", our_norm, 608, 4096);
    per_value(&b, "gate silu", our_gate, 576, 11008);
    per_value(&b, "quick_gelu", our_gelu, 577, 4096);
    per_value(&b, "gelu_erf", our_erf, 577, 4096);
    return 0;
}

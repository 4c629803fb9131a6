/* Would certified ranks pay? Approximate logits in bf16, then in f32 every word that lies
 * within the proven error bound of a label's logit, against all logits in f32.
 *
 * With x' = x rounded to bf16 and weights that are bf16 already, a logit is off by
 * |w (x - x')| <= |w| |x - x'| (Cauchy-Schwarz), plus rounding of the sums. Prints how many
 * words lie within that bound, for labels anywhere in the vocabulary and for labels that
 * the state speaks of, and the time of the second look beside the time it should save.
 *
 *   build/release/bench/bench_certify [threads] */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "tensor/kernels_cpu.h"

enum { ROWS = 96, D = 4096, WORDS = 32064, LABELS = 6 };

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *take(size_t n, size_t bytes)
{
    tap_error err;
    void *memory = NULL;
    if (tap_alloc(&memory, n, bytes, "a benchmark", &err)) {
        (void)fprintf(stderr, "bench_certify: %s\n", err.message);
        exit(1);
    }
    return memory;
}

static float normal(uint64_t *seed) /* sum of four uniforms: mean 0, deviation 1 */
{
    float sum = -2.0F;
    for (int i = 0; i < 4; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sum += (float)(*seed >> 40) * 0x1p-24F;
    }
    return sum * 1.7320508F;
}

static double norm(const float *x, int64_t stride)
{
    double sum = 0.0;
    for (int i = 0; i < D; i++)
        sum += (double)x[i * stride] * (double)x[i * stride];
    return sqrt(sum);
}

#ifdef __x86_64__ /* this program runs where avx512_bf16 is */
__attribute__((target("avx512f,avx512bw,prefer-vector-width=512")))
#endif
static float
dot(const float *x, const uint16_t *w)
{
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < D; i++) {
        const uint32_t bits = (uint32_t)w[i] << 16;
        float wide;
        memcpy(&wide, &bits, sizeof wide);
        sum += x[i] * wide;
    }
    return sum;
}

typedef struct problem {
    uint16_t *w;       /* [WORDS][D] */
    double *lengths;   /* [WORDS] */
    float *x, *approx; /* [ROWS][D], [ROWS][WORDS] */
    int32_t labels[LABELS];
    int n_threads;
} problem;

/* Words to look at again; *seconds of doing so. */
static int64_t look_again(double *seconds, double *sum, const problem *p)
{
    int64_t n = 0;
    double total = 0.0;
    const double start = now_s();
#pragma omp parallel for schedule(dynamic) num_threads(p->n_threads) \
    reduction(+ : n, total)
    for (int64_t r = 0; r < ROWS; r++) {
        const float *x = p->x + r * D, *z = p->approx + r * WORDS;
        float off[D];
        for (int i = 0; i < D; i++)
            off[i] = x[i] - tap_from_bf16(tap_to_bf16(x[i]));
        const double error = norm(off, 1) + 1e-6 * norm(x, 1);
        double exact[LABELS];
        for (int l = 0; l < LABELS; l++)
            exact[l] = (double)dot(x, p->w + (int64_t)p->labels[l] * D);
        for (int64_t v = 0; v < WORDS; v++) {
            bool near = false;
            for (int l = 0; l < LABELS; l++)
                near |= fabs((double)z[v] - exact[l]) <= error * p->lengths[v];
            if (near) {
                total += (double)dot(x, p->w + v * D);
                n++;
            }
        }
    }
    *seconds = now_s() - start;
    *sum += total;
    return n;
}

int main(int argc, char **argv)
{
    const tap_kernels *bf16 = tap_kernels_bf16(), *f32 = tap_kernels_cpu();
    problem p = {.n_threads =
                     argc > 1 ? (int)strtol(argv[1], NULL, 10) : omp_get_num_procs()};
    uint64_t seed = 1;
    double used = 0.0;
    if (!bf16 || p.n_threads < 1) {
        (void)fprintf(stderr, "bench_certify: no products in bf16 here\n");
        return 1;
    }
    tap_workspace work = {.n_threads = p.n_threads};
    work.scratch_bytes = bf16->scratch_bytes(ROWS, D, 1, LABELS, p.n_threads);
    work.scratch = take(work.scratch_bytes, 1);
    p.w = take((size_t)WORDS * D, sizeof *p.w);
    p.lengths = take(WORDS, sizeof *p.lengths);
    p.x = take((size_t)ROWS * D, sizeof *p.x);
    p.approx = take((size_t)ROWS * WORDS, sizeof *p.approx);
    for (int64_t v = 0; v < WORDS; v++) {
        float row[D];
        for (int i = 0; i < D; i++) {
            p.w[v * D + i] = tap_to_bf16(normal(&seed) / 64.0F);
            row[i] = tap_from_bf16(p.w[v * D + i]);
        }
        p.lengths[v] = norm(row, 1);
    }
    for (int l = 0; l < LABELS; l++)
        p.labels[l] = 5003 * (l + 1);
    const tap_tensor w = {
        .bytes = p.w, .dtype = TAP_BF16, .n_dims = 2, .shape = {WORDS, D}};
    (void)printf(
        "%d rows, %d words, %d labels, %d threads; ms\n"
        "label's logit, sigmas  words looked at again  bf16  second look  f32\n",
        ROWS, WORDS, LABELS, p.n_threads);
    for (int lift = 0; lift <= 4; lift += 2) {
        for (int64_t r = 0; r < ROWS; r++)
            for (int i = 0; i < D; i++) {
                float v = normal(&seed);
                for (int l = 0; l < LABELS;
                     l++) /* |w|^2 is 1: adds `lift` to the logit */
                    v += (float)lift * tap_from_bf16(p.w[(int64_t)p.labels[l] * D + i]);
                p.x[r * D + i] = v;
            }
        double seconds[3];
        for (int round = 0; round < 2; round++) { /* the first one warms up */
            double start = now_s();
            f32->linear(p.approx, WORDS, p.x, D, ROWS, &w, NULL, &work);
            seconds[2] = now_s() - start;
            start = now_s();
            bf16->linear(p.approx, WORDS, p.x, D, ROWS, &w, NULL, &work);
            seconds[0] = now_s() - start;
        }
        const int64_t n = look_again(&seconds[1], &used, &p);
        (void)printf("%21d  %20.2f%%  %4.0f  %11.0f  %3.0f\n", lift,
                     100.0 * (double)n / ROWS / WORDS, 1e3 * seconds[0],
                     1e3 * seconds[1], 1e3 * seconds[2]);
    }
    return used == 0.5; /* the result is used */
}

/* Norms, activations, RoPE, sums: against the reference in f32 and f64, and the same bits on
 * every instruction set; the exponential inside them, over its whole range. */
#include "inputs.h"

#define TAP_LOOPS      loops_of_this_test
#define TAP_LOOPS_NAME "test"
#define TAP_LOOPS_GEMM tap_gemm_portable
#include "tensor/loops_body.h"

/* Distance in units of the last place of the exact value. */
static double ulps(float value, double exact)
{
    const double step =
        fmax(ldexp(1.0, (int)floor(log2(fmax(exact, 1e-300))) - 23), ldexp(1.0, -149));
    return fabs((double)value - exact) / step;
}

static void the_exponential_is_within_two_ulp(void **state)
{
    (void)state;
    uint64_t seed = 1;
    double worst = 0.0;
    for (int i = 0; i < 400000; i++) {
        float x = noise(&seed) * (i % 4 == 0 ? 1.0F : 110.0F);
        if (x > 88.7F)
            x -= 150.0F;
        worst = fmax(worst, ulps(exp_f32(x), exp((double)x)));
    }
    assert_true(worst < 2.0);
    const float at[][2] = {{0.0F, 1.0F},      {-0.0F, 1.0F},       {-INFINITY, 0.0F},
                           {-104.0F, 0.0F},   {-1e30F, 0.0F},      {88.8F, INFINITY},
                           {1e30F, INFINITY}, {INFINITY, INFINITY}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const float e = exp_f32(at[i][0]);
        assert_memory_equal(&e, &at[i][1], sizeof e);
    }
    assert_true(isnan(exp_f32(NAN)) && isnan(exp_f32(-NAN)));
    assert_true(exp_f32(-103.9F) > 0.0F && exp_f32(88.72F) < INFINITY);
}

/* Runs one loop on every set and asks for the same bits. */
static const tap_loops *loops_nth(int i)
{
#if defined(__x86_64__)
    static const tap_loops *const all[] = {&tap_loops_portable, &tap_loops_avx2,
                                           &tap_loops_avx512};
    int n = 0;
    while (tap_kernels_nth(n))
        n++;
    return i < n ? all[i] : NULL;
#else
    return i == 0 ? &tap_loops_portable : NULL;
#endif
}

enum { MOST = 100 };

static const float special[] = {0.0F,   -0.0F, INFINITY, -INFINITY, NAN,
                                1e-40F, 1e30F, -1e30F,   87.0F,     -87.5F};

static void every_loop_has_the_same_bits_on_every_set(void **state)
{
    (void)state;
    float *x = noise_floats(MOST, 2), *gain = noise_floats(MOST, 3);
    for (int i = 0; i < MOST; i++)
        x[i] *= 30.0F;
    for (int n = 1; n <= MOST; n++) {
        float want[8][MOST];
        for (int isa = 0; loops_nth(isa); isa++) {
            const tap_loops *l = loops_nth(isa);
            float y[8][MOST];
            memset(y, 0, sizeof y);
            for (int i = 2; i < 8; i++)
                memcpy(y[i], x, (size_t)n * sizeof *x);
            l->layer_norm(y[0], x, n, gain, gain, 1e-5);
            l->rms_norm(y[1], x, n, gain, 1e-5);
            l->activate(y[2], n, TAP_ACT_QUICK_GELU);
            l->activate(y[3], n, TAP_ACT_GELU_TANH);
            l->activate(y[4], n, TAP_ACT_SILU);
            l->softmax(y[5], n);
            l->multiply(y[6], gain, n);
            l->add(y[7], gain, n);
            l->scale(y[7], 0.3F, n);
            l->rope(y[6], 1, n & ~1, gain, gain + MOST / 2);
            if (isa == 0)
                memcpy(want, y, sizeof want);
            assert_memory_equal(y, want, sizeof want);
        }
    }
    tap_free(x);
    tap_free(gain);
}

static void numbers_at_the_edge_of_f32_go_the_same_way_on_every_set(void **state)
{
    (void)state;

    enum { N = 3 * sizeof special / sizeof *special };

    float x[N], want[3][N];
    for (size_t i = 0; i < N; i++)
        x[i] = special[i % (N / 3)];
    for (int isa = 0; loops_nth(isa); isa++)
        for (int a = 0; a < 3; a++) {
            static const tap_act acts[] = {TAP_ACT_QUICK_GELU, TAP_ACT_GELU_TANH,
                                           TAP_ACT_SILU};
            float y[N];
            memcpy(y, x, sizeof y);
            loops_nth(isa)->activate(y, N, acts[a]);
            if (isa == 0)
                memcpy(want[a], y, sizeof y);
            for (size_t i = 0; i < N; i++)
                assert_true(isnan(y[i]) ? isnan(want[a][i])
                                        : memcmp(&y[i], &want[a][i], sizeof y[i]) == 0);
            assert_true(isnan(y[4]));
            assert_true(y[2] > 1e38F); /* act(inf) = inf */
        }
}

/* Keys of weight 0 at the end of a row change no bit; what is not a number stays so. */
static void softmax_sums_to_one_and_ignores_what_is_cut(void **state)
{
    (void)state;
    float *x = noise_floats(2 * MOST, 4);
    for (int isa = 0; loops_nth(isa); isa++)
        for (int n = 1; n <= MOST; n++) {
            float shorter[MOST], longer[2 * MOST];
            double sum = 0.0;
            memcpy(shorter, x, (size_t)n * sizeof *x);
            memcpy(longer, x, (size_t)n * sizeof *x);
            for (int i = n; i < n + 37; i++)
                longer[i] = -INFINITY;
            loops_nth(isa)->softmax(shorter, n);
            loops_nth(isa)->softmax(longer, n + 37);
            assert_memory_equal(shorter, longer, (size_t)n * sizeof *x);
            for (int i = 0; i < n + 37; i++) {
                sum += (double)longer[i];
                assert_true(i < n || memcmp(&longer[i], &(float){0.0F}, 4) == 0);
            }
            assert_true(fabs(sum - 1.0) < 1e-6);
            longer[n - 1] = NAN;
            loops_nth(isa)->softmax(longer, n + 37);
            for (int i = 0; i < n + 37; i++)
                assert_true(isnan(longer[i]));
        }
    tap_free(x);
}

static void counting_compares_every_value(void **state)
{
    (void)state;
    float values[MOST];
    for (int i = 0; i < MOST; i++)
        values[i] = (float)(i * 7 % 11) - 5.0F;
    values[3] = NAN;
    values[4] = -0.0F;
    for (int isa = 0; loops_nth(isa); isa++)
        for (int n = 0; n <= MOST; n++) {
            int32_t above = 100, same = 200, want_above = 100, want_same = 200;
            loops_nth(isa)->count(&above, &same, values, n, 0.0F);
            for (int i = 0; i < n; i++) {
                want_above += values[i] > 0.0F;
                want_same += values[i] >= 0.0F && values[i] <= 0.0F;
            }
            assert_int_equal(above, want_above);
            assert_int_equal(same, want_same);
        }
}

static void norms_agree_with_the_reference(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 7, 16, 33, 1000, 4096};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int64_t d = widths[i], n = 9;
        unsigned char *gain_owner, *bias_owner;
        const tap_tensor gain = weight(&gain_owner, TAP_BF16, d, 0, 5);
        const tap_tensor bias = weight(&bias_owner, TAP_F32, d, 0, 6);
        float *x = noise_floats(n * d, 7), *y = take((size_t)(n * d), sizeof *y);
        float *ref = take((size_t)(n * d), sizeof *ref);
        double *exact = take((size_t)(n * d), sizeof *exact);
        for (int64_t j = 0; j < n * d; j++)
            x[j] = x[j] * 0.01F + 3.0F; /* a mean far above the spread */
        const tap_kernels *k;
        for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
            for (int threads = 1; threads <= 3; threads += 2) {
                tap_workspace work = workspace(k, threads, n, d, 1, 0);
                tap_kernels_ref_f64.layer_norm(exact, x, n, d, &gain, &bias, 1e-5);
                tap_kernels_ref.layer_norm(ref, x, n, d, &gain, &bias, 1e-5, NULL);
                k->layer_norm(y, x, n, d, &gain, &bias, 1e-5, &work);
                assert_like_reference(y, ref, exact, n * d);
                tap_kernels_ref_f64.rms_norm(exact, x, n, d, &gain, 1e-5);
                tap_kernels_ref.rms_norm(ref, x, n, d, &gain, 1e-5, NULL);
                memcpy(y, x, (size_t)(n * d) * sizeof *y); /* in place */
                k->rms_norm(y, y, n, d, &gain, 1e-5, &work);
                assert_like_reference(y, ref, exact, n * d);
                tap_free(work.scratch);
            }
        tap_free(gain_owner);
        tap_free(bias_owner);
        tap_free(x);
        tap_free(y);
        tap_free(ref);
        tap_free(exact);
    }
}

static void activations_agree_over_their_whole_range(void **state)
{
    (void)state;

    enum { N = 40001 }; /* enough for several threads */

    static const tap_act acts[] = {TAP_ACT_QUICK_GELU, TAP_ACT_GELU_ERF,
                                   TAP_ACT_GELU_TANH, TAP_ACT_SILU};
    float *x = take(N, 4), *y = take(N, 4), *gated = take(N, 4), *first = take(N, 4);
    float *up = noise_floats(N, 8);
    double *want = take(N, sizeof *want);
    for (int i = 0; i < N; i++)
        x[i] = (float)(i - N / 2) * 0.005F;
    for (int a = 0; a < 4; a++) {
        const tap_kernels *k;
        for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
            for (int threads = 1; threads <= 3; threads++) {
                const tap_workspace work = {.n_threads = threads};
                tap_kernels_ref_f64.activate(want, x, N, acts[a]);
                memcpy(y, x, N * sizeof *y);
                k->activate(y, N, acts[a], &work);
                for (int i = 0; i < N; i++) /* a tail may be far below one ulp of x */
                    assert_true(fabs((double)y[i] - want[i]) <=
                                4e-7 * fabs(want[i]) +
                                    2e-7 * fmin(fabs((double)x[i]), 1.0));
                if (isa == 0 && threads == 1)
                    memcpy(first, y, N * sizeof *y);
                assert_memory_equal(y, first, N * sizeof *y);
                memcpy(gated, x, N * sizeof *y);
                k->gate(gated, up, N, acts[a], &work);
                for (int i = 0; i < N; i++)
                    y[i] *= up[i];
                assert_memory_equal(gated, y, N * sizeof *y);
            }
    }
    tap_free(x);
    tap_free(y);
    tap_free(first);
    tap_free(gated);
    tap_free(up);
    tap_free(want);
}

static void rope_and_add_equal_the_reference_in_every_bit(void **state)
{
    (void)state;

    enum { ROWS = 300, HEADS = 3, D = 22, STRIDE = 70 };

    float *x = noise_floats(ROWS * STRIDE, 9), *y = noise_floats(ROWS * STRIDE, 10);
    float *c = noise_floats(ROWS * D / 2, 11), *s = noise_floats(ROWS * D / 2, 12);
    float *want = take(ROWS * STRIDE, sizeof *want), *got = take(ROWS * STRIDE, 4);
    const tap_workspace work = {.n_threads = 3};
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        memcpy(want, x, ROWS * STRIDE * sizeof *x);
        memcpy(got, x, ROWS * STRIDE * sizeof *x);
        tap_kernels_ref.rope(want, STRIDE, ROWS, HEADS, D, c, s, &work);
        k->rope(got, STRIDE, ROWS, HEADS, D, c, s, &work);
        assert_memory_equal(got, want, ROWS * STRIDE * sizeof *x);
        tap_kernels_ref.add(want, y, ROWS * STRIDE, &work);
        k->add(got, y, ROWS * STRIDE, &work);
        assert_memory_equal(got, want, ROWS * STRIDE * sizeof *x);
    }
    tap_free(x);
    tap_free(y);
    tap_free(c);
    tap_free(s);
    tap_free(want);
    tap_free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exponential_is_within_two_ulp),
        cmocka_unit_test(every_loop_has_the_same_bits_on_every_set),
        cmocka_unit_test(numbers_at_the_edge_of_f32_go_the_same_way_on_every_set),
        cmocka_unit_test(softmax_sums_to_one_and_ignores_what_is_cut),
        cmocka_unit_test(counting_compares_every_value),
        cmocka_unit_test(norms_agree_with_the_reference),
        cmocka_unit_test(activations_agree_over_their_whole_range),
        cmocka_unit_test(rope_and_add_equal_the_reference_in_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

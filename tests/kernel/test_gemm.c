/* The matrix product: the reference in every bit, on every instruction set, for any shape,
 * number of threads, stride, neighbour and address. */
#include "inputs.h"

enum { STRIDE_MORE = 3 };

/* One product on every table, the fastest with 1, 2, 3 and 5 threads, against the reference; what lies
 * between the rows of y is not written. */
static void compare(int64_t m, int64_t n, int64_t d, tap_dtype dtype, bool with_bias)
{
    unsigned char *owner, *bias_owner;
    const tap_tensor w = weight(&owner, dtype, n, d, 1);
    const tap_tensor bias = weight(&bias_owner, dtype, n, 0, 2);
    const int64_t stride_x = d + STRIDE_MORE, stride_y = n + STRIDE_MORE;
    const size_t bytes = (size_t)(m * stride_y) * sizeof(float);
    float *x = noise_floats(m * stride_x, 3);
    float *want = take(bytes, 1), *y = take(bytes, 1);
    memset(want, 0x55, bytes);
    tap_kernels_ref.linear(want, stride_y, x, stride_x, m, &w, with_bias ? &bias : NULL,
                           NULL);
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
        for (int t = 0; t < (isa == 0 ? 4 : 1); t++) {
            static const int threads[] = {3, 1, 2, 5};
            tap_workspace work = workspace(k, threads[t], m, d, 1, 0);
            memset(y, 0x55, bytes);
            k->linear(y, stride_y, x, stride_x, m, &w, with_bias ? &bias : NULL, &work);
            assert_memory_equal(y, want, bytes);
            tap_free(work.scratch);
        }
    tap_free(owner);
    tap_free(bias_owner);
    tap_free(x);
    tap_free(y);
    tap_free(want);
}

static void products_equal_the_reference_in_every_bit(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {1, 1, 1},      {1, 33, 7},     {5, 16, 384},  {12, 32, 385},   {13, 129, 500},
        {50, 200, 40},  {2, 33, 3500},  {25, 1, 800},  {1, 300, 769},   {3, 17, 383},
        {26, 128, 768}, {2, 5, 6200},   {61, 257, 33}, {5, 16, 512},    {12, 32, 513},
        {2, 33, 2049},  {1, 300, 1025}, {3, 17, 511},  {26, 128, 1024},
    };
    static const tap_dtype dtypes[] = {TAP_F32, TAP_F16, TAP_BF16};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t t = 0; t < 3; t++)
            compare(shapes[i][0], shapes[i][1], shapes[i][2], dtypes[t], i % 2);
}

/* Every number of rows and of words around the sizes of the register blocks: the first
 * rows and words of one large product. */
static void ends_of_matrices_have_the_bits_of_their_middle(void **state)
{
    (void)state;

    enum { M = 14, N = 66, D = 23 };

    unsigned char *owner;
    tap_tensor w = weight(&owner, TAP_BF16, N, D, 4);
    float *x = noise_floats(M * D, 5);
    float want[M * N], y[M * N];
    tap_kernels_ref.linear(want, N, x, D, M, &w, NULL, NULL);
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        tap_workspace work = workspace(k, 1, M, D, 1, 0);
        for (int m = 1; m <= M; m++)
            for (int n = 1; n <= N; n++) {
                w.shape[0] = n;
                memset(y, 0x55, sizeof y);
                k->linear(y, N, x, D, m, &w, NULL, &work);
                for (int r = 0; r < M; r++) {
                    const size_t n_written = r < m ? (size_t)n : 0;
                    assert_memory_equal(y + r * N, want + r * N, n_written * sizeof *y);
                    for (size_t o = n_written; o < N; o++)
                        assert_memory_equal(&y[(size_t)r * N + o], "UUUU", sizeof *y);
                }
            }
        tap_free(work.scratch);
    }
    tap_free(owner);
    tap_free(x);
}

/* Maps that read the same rows, of several widths and types, together and one by one. */
static void maps_of_the_same_rows_equal_each_alone(void **state)
{
    (void)state;

    enum { M = 29, D = 2500, N_MAPS = 3 };

    static const int64_t widths[N_MAPS] = {200, 64, 33};
    static const tap_dtype dtypes[N_MAPS] = {TAP_BF16, TAP_F32, TAP_F16};
    unsigned char *owners[N_MAPS], *bias_owner;
    tap_tensor w[N_MAPS], bias = weight(&bias_owner, TAP_F32, widths[0], 0, 8);
    float *x = noise_floats(M * D, 9), *y[N_MAPS], *want[N_MAPS];
    tap_linear maps[N_MAPS];
    for (int i = 0; i < N_MAPS; i++) {
        w[i] = weight(&owners[i], dtypes[i], widths[i], D, (uint64_t)i + 10);
        y[i] = take(M * (size_t)widths[i], sizeof **y);
        want[i] = take(M * (size_t)widths[i], sizeof **want);
        maps[i] = (tap_linear){y[i], widths[i], &w[i], i == 0 ? &bias : NULL};
        tap_kernels_ref.linear(want[i], widths[i], x, D, M, &w[i], maps[i].bias, NULL);
    }
    for (int isa = -1; isa < 0 || tap_kernels_nth(isa); isa++) {
        const tap_kernels *k = isa < 0 ? &tap_kernels_ref : tap_kernels_nth(isa);
        for (int threads = 1; threads <= 3; threads++) {
            tap_workspace work = workspace(k, threads, M, D, 1, 0);
            for (int i = 0; i < N_MAPS; i++)
                memset(y[i], 0x55, M * (size_t)widths[i] * sizeof **y);
            k->linears(maps, N_MAPS, x, D, M, &work);
            for (int i = 0; i < N_MAPS; i++)
                assert_memory_equal(y[i], want[i], M * (size_t)widths[i] * sizeof **y);
            tap_free(work.scratch);
        }
    }
    for (int i = 0; i < N_MAPS; i++) {
        tap_free(owners[i]);
        tap_free(y[i]);
        tap_free(want[i]);
    }
    tap_free(bias_owner);
    tap_free(x);
}

/* A row keeps its bits alone, among others, and beside rows that are not numbers. */
static void a_row_does_not_know_its_neighbours(void **state)
{
    (void)state;

    enum { M = 40, N = 150, D = 900, ROW = 17 };

    unsigned char *owner;
    const tap_tensor w = weight(&owner, TAP_F16, N, D, 6);
    float *x = noise_floats(M * D, 7), *y = take(M * N, sizeof *y), alone[N];
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        tap_workspace work = workspace(k, 2, M, D, 1, 0);
        k->linear(alone, N, x + ROW * D, D, 1, &w, NULL, &work);
        k->linear(y, N, x, D, M, &w, NULL, &work);
        assert_memory_equal(y + ROW * N, alone, sizeof alone);
        float *bad = take(M * D, sizeof *bad);
        for (int i = 0; i < M * D; i++)
            bad[i] = i / D == ROW ? x[i] : i % 2 ? INFINITY : NAN;
        k->linear(y, N, bad, D, M, &w, NULL, &work);
        assert_memory_equal(y + ROW * N, alone, sizeof alone);
        assert_true(isnan(y[0]));
        tap_free(bad);
        tap_free(work.scratch);
    }
    tap_free(owner);
    tap_free(x);
    tap_free(y);
}

/* The order of sums loses no more than f32 must. */
static void products_agree_with_double_precision(void **state)
{
    (void)state;

    enum { M = 9, N = 40, D = 4096 };

    unsigned char *owner;
    const tap_tensor w = weight(&owner, TAP_BF16, N, D, 8);
    float *x = noise_floats(M * D, 9);
    float y[M * N];
    double exact[M * N];
    tap_workspace work = workspace(tap_kernels_cpu(), 2, M, D, 1, 0);
    tap_kernels_ref_f64.linear(exact, N, x, D, M, &w, NULL);
    tap_kernels_cpu()->linear(y, N, x, D, M, &w, NULL, &work);
    assert_true(largest_error(y, exact, M * N) < 1e-5);
    tap_free(work.scratch);
    tap_free(owner);
    tap_free(x);
}

static void no_rows_are_no_work(void **state)
{
    (void)state;
    unsigned char *owner;
    const tap_tensor w = weight(&owner, TAP_F32, 3, 4, 10);
    float y = 5.0F, x = 1.0F;
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        tap_workspace work = workspace(k, 2, 1, 4, 1, 0);
        k->linear(&y, 3, &x, 4, 0, &w, NULL, &work);
        assert_true(y >= 5.0F && y <= 5.0F);
        tap_free(work.scratch);
    }
    tap_free(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_the_reference_in_every_bit),
        cmocka_unit_test(ends_of_matrices_have_the_bits_of_their_middle),
        cmocka_unit_test(maps_of_the_same_rows_equal_each_alone),
        cmocka_unit_test(a_row_does_not_know_its_neighbours),
        cmocka_unit_test(products_agree_with_double_precision),
        cmocka_unit_test(no_rows_are_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

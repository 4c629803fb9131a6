/* The bf16 table: what it computes is the product of rounded numbers, summed as well as f32
 * can; within the table a row has the same bits for any neighbours and threads. */
#include "inputs.h"

static const tap_kernels *table(void)
{
    const tap_kernels *k = tap_kernels_bf16();
    if (!k) {
        print_message("this processor has no products in bf16\n");
        skip();
    }
    return k;
}

static void products_are_those_of_rounded_numbers(void **state)
{
    (void)state;
    const tap_kernels *k = table();
    static const int64_t shapes[][3] = {
        {1, 1, 1},     {3, 33, 2},    {12, 32, 768},  {13, 129, 33}, {5, 40, 769},
        {30, 7, 1537}, {2, 66, 6200}, {12, 32, 1024}, {5, 40, 1025}, {30, 7, 4097}};
    static const tap_dtype dtypes[] = {TAP_BF16, TAP_F32, TAP_F16};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 3; t++) {
            const int64_t m = shapes[i][0], n = shapes[i][1], d = shapes[i][2];
            unsigned char *owner, *bias_owner;
            const tap_tensor w = weight(&owner, dtypes[t], n, d, 1);
            const tap_tensor bias = weight(&bias_owner, TAP_F32, n, 0, 2);
            float *x = noise_floats(m * d, 3), *rounded_x = take((size_t)(m * d), 4);
            float *rounded_w = take((size_t)(n * d), 4);
            float *y = take((size_t)(m * n), 4), *first = take((size_t)(m * n), 4);
            double *exact = take((size_t)(m * n), sizeof *exact);
            for (int64_t j = 0; j < m * d; j++)
                rounded_x[j] = tap_from_bf16(tap_to_bf16(x[j]));
            tap_widen(rounded_w, &w, 0, n * d);
            for (int64_t j = 0; j < n * d; j++)
                rounded_w[j] = tap_from_bf16(tap_to_bf16(rounded_w[j]));
            const tap_tensor same = {
                .bytes = rounded_w, .dtype = TAP_F32, .n_dims = 2, .shape = {n, d}};
            tap_kernels_ref_f64.linear(exact, n, rounded_x, d, m, &same, &bias);
            for (int threads = 1; threads <= 3; threads++) {
                tap_workspace work = workspace(k, threads, m, d, 1, 0);
                k->linear(y, n, x, d, m, &w, &bias, &work);
                assert_true(largest_error(y, exact, m * n) < 2e-6 * sqrt((double)d));
                if (threads == 1)
                    memcpy(first, y, (size_t)(m * n) * sizeof *y);
                assert_memory_equal(y, first, (size_t)(m * n) * sizeof *y);
                for (int64_t r = 0; r < m; r++) { /* each row alone */
                    k->linear(y, n, x + r * d, d, 1, &w, &bias, &work);
                    assert_memory_equal(y, first + r * n, (size_t)n * sizeof *y);
                }
                tap_free(work.scratch);
            }
            void *all[] = {owner, bias_owner, x, rounded_x, rounded_w, y, first, exact};
            for (size_t j = 0; j < sizeof all / sizeof *all; j++)
                tap_free(all[j]);
        }
}

/* Every number of rows and words around the register block: the same bits. */
static void ends_of_matrices_have_the_bits_of_their_middle(void **state)
{
    (void)state;
    const tap_kernels *k = table();

    enum { M = 14, N = 66, D = 24 };

    unsigned char *owner;
    tap_tensor w = weight(&owner, TAP_BF16, N, D, 4);
    float *x = noise_floats(M * D, 5);
    float want[M * N], y[M * N];
    tap_workspace work = workspace(k, 1, M, D, 1, 0);
    k->linear(want, N, x, D, M, &w, NULL, &work);
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
    tap_free(owner);
    tap_free(x);
}

/* Ranks are counted from exactly the logits that linear() gives. */
static void ranks_count_the_logits_of_the_product(void **state)
{
    (void)state;
    const tap_kernels *k = table();

    enum { ROWS = 15, VOCAB = 300, D = 800, LABELS = 3 };

    unsigned char *owner;
    const tap_tensor w = weight(&owner, TAP_BF16, VOCAB, D, 6);
    float *x = noise_floats(ROWS * D, 7), *all = take(ROWS * VOCAB, sizeof *all);
    const int32_t labels[LABELS] = {0, 150, 299};
    float ranks[ROWS * LABELS], logits[ROWS * LABELS];
    for (int threads = 1; threads <= 3; threads++) {
        tap_workspace work = workspace(k, threads, ROWS, D, 1, LABELS);
        k->linear(all, VOCAB, x, D, ROWS, &w, NULL, &work);
        k->rank(ranks, logits, x, ROWS, &w, labels, LABELS, NULL, &work);
        for (int i = 0; i < ROWS * LABELS; i++) {
            const float *z = all + i / LABELS * VOCAB, z_y = z[labels[i % LABELS]];
            double rank = 1.0;
            for (int v = 0; v < VOCAB; v++)
                if (v != labels[i % LABELS])
                    rank += z[v] > z_y ? 1.0 : z[v] >= z_y ? 0.5 : 0.0;
            assert_memory_equal(&logits[i], &z_y, sizeof z_y);
            assert_true(fabs((double)ranks[i] - rank) < 0.1);
        }
        tap_free(work.scratch);
    }
    tap_free(owner);
    tap_free(x);
    tap_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_rounded_numbers),
        cmocka_unit_test(ends_of_matrices_have_the_bits_of_their_middle),
        cmocka_unit_test(ranks_count_the_logits_of_the_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

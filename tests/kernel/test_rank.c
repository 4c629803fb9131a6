/* Ranks in the vocabulary: equal to the reference, ties half, closed vocabularies, labels
 * that are not numbers, logits with the bits of linear(). */
#include "inputs.h"

enum { ROWS = 27, D = 34, VOCAB = 300, LABELS = 40 };

typedef struct fixture {
    unsigned char *owner;
    tap_tensor w;
    float *x;
    int32_t labels[LABELS];
    float want[ROWS * LABELS], want_logits[ROWS * LABELS];
    float got[ROWS * LABELS], logits[ROWS * LABELS];
} fixture;

/* Words 17 and 200 are equal, and so are their logits. */
static fixture *make_fixture(tap_dtype dtype)
{
    fixture *f = take(1, sizeof *f);
    f->w = weight(&f->owner, dtype, VOCAB, D, 1);
    f->x = noise_floats(ROWS * D, 2);
    const size_t row = D * tap_dtype_bytes(dtype);
    memcpy(f->owner + 1 + 17 * row, f->owner + 1 + 200 * row, row);
    for (int l = 0; l < LABELS; l++)
        f->labels[l] = l * 7 + 3 * (l % 2);
    f->labels[1] = 17;
    f->labels[2] = VOCAB - 1;
    f->labels[3] = f->labels[4] = 5; /* asked for twice */
    return f;
}

static void free_fixture(fixture *f)
{
    tap_free(f->owner);
    tap_free(f->x);
    tap_free(f);
}

static void compare(fixture *f, int64_t n_rows, int64_t n_labels, const uint64_t *set)
{
    const size_t bytes = (size_t)(n_rows * n_labels) * sizeof(float);
    tap_kernels_ref.rank(f->want, f->want_logits, f->x, n_rows, &f->w, f->labels,
                         n_labels, set, NULL);
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
        for (int t = 0; t < (isa == 0 ? 4 : 1); t++) {
            static const int threads[] = {3, 1, 2, 5};
            tap_workspace work = workspace(k, threads[t], n_rows, D, 1, n_labels);
            k->rank(f->got, f->logits, f->x, n_rows, &f->w, f->labels, n_labels, set,
                    &work);
            assert_memory_equal(f->got, f->want, bytes);
            assert_memory_equal(f->logits, f->want_logits, bytes);
            memset(f->got, 0, bytes);
            k->rank(f->got, NULL, f->x, n_rows, &f->w, f->labels, n_labels, set, &work);
            assert_memory_equal(f->got, f->want, bytes);
            tap_free(work.scratch);
        }
}

static void ranks_equal_the_reference_and_count_ties_half(void **state)
{
    (void)state;
    static const tap_dtype dtypes[] = {TAP_F32, TAP_F16, TAP_BF16};
    for (int t = 0; t < 3; t++) {
        fixture *f = make_fixture(dtypes[t]);
        compare(f, ROWS, 5, NULL);
        for (int r = 0; r < ROWS; r++) /* the tie shows as a half */
            assert_true(fmod((double)f->got[r * 5 + 1], 1.0) > 0.4);
        compare(f, 1, 1, NULL);
        compare(f, 13, LABELS, NULL);
        free_fixture(f);
    }
}

/* Members of a closed vocabulary alone are read: the others are not even numbers. */
static void closed_vocabularies_count_members_alone(void **state)
{
    (void)state;
    for (int step = 2; step <= 50; step *= 5) {
        fixture *f = make_fixture(TAP_F32);
        uint64_t set[(VOCAB + 63) / 64] = {0};
        for (int v = 3; v < VOCAB; v += step)
            tap_bits_set(set, v);
        for (int l = 0; l < LABELS; l++)
            tap_bits_set(set, f->labels[l]);
        compare(f, ROWS, LABELS, set);
        for (int v = 0; v < VOCAB; v++)
            if (!tap_bits_get(set, v))
                memset(f->owner + 1 + (size_t)v * D * sizeof(float), 0xff,
                       D * sizeof(float));
        memcpy(f->want, f->got, sizeof f->want);
        tap_workspace work = workspace(tap_kernels_cpu(), 2, ROWS, D, 1, LABELS);
        tap_kernels_cpu()->rank(f->got, NULL, f->x, ROWS, &f->w, f->labels, LABELS, set,
                                &work);
        assert_memory_equal(f->got, f->want, sizeof f->want);
        tap_free(work.scratch);
        free_fixture(f);
    }
}

static void logits_have_the_bits_of_the_product(void **state)
{
    (void)state;
    fixture *f = make_fixture(TAP_BF16);
    float *all = take(ROWS * VOCAB, sizeof *all);
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        tap_workspace work = workspace(k, 2, ROWS, D, 1, LABELS);
        k->linear(all, VOCAB, f->x, D, ROWS, &f->w, NULL, &work);
        k->rank(f->got, f->logits, f->x, ROWS, &f->w, f->labels, LABELS, NULL, &work);
        for (int r = 0; r < ROWS; r++)
            for (int l = 0; l < LABELS; l++)
                assert_memory_equal(&f->logits[r * LABELS + l],
                                    &all[r * VOCAB + f->labels[l]], sizeof *all);
        tap_free(work.scratch);
    }
    tap_free(all);
    free_fixture(f);
}

/* A row that is not a number: its labels rank last. A word that is not a number neither
 * beats nor ties. */
static void what_is_not_a_number_comes_last(void **state)
{
    (void)state;
    fixture *f = make_fixture(TAP_F32);
    f->x[3 * D] = NAN;
    memset(f->owner + 1 + 40 * D * sizeof(float), 0xff, D * sizeof(float));
    f->labels[0] = 40;
    compare(f, ROWS, 3, NULL);
    for (int l = 0; l < 3; l++)
        assert_true(f->got[3 * 3 + l] >= VOCAB && f->got[3 * 3 + l] <= VOCAB);
    for (int r = 0; r < ROWS; r++)
        assert_true(f->got[r * 3] >= VOCAB && f->got[r * 3] <= VOCAB);
    uint64_t set[(VOCAB + 63) / 64] = {0};
    for (int l = 0; l < 3; l++)
        tap_bits_set(set, f->labels[l]);
    compare(f, ROWS, 3, set); /* last of three */
    assert_true(f->got[0] >= 3.0F && f->got[0] <= 3.0F);
    free_fixture(f);
}

/* Zeros of both signs are equal. */
static void all_words_equal_means_the_middle_rank(void **state)
{
    (void)state;
    fixture *f = make_fixture(TAP_BF16);
    for (int i = 0; i < ROWS * D; i++)
        f->x[i] = i % 2 ? 0.0F : -0.0F;
    compare(f, ROWS, 2, NULL);
    for (int i = 0; i < ROWS * 2; i++)
        assert_true(fabsf(f->got[i] - (VOCAB + 1) / 2.0F) < 0.1F);
    free_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_equal_the_reference_and_count_ties_half),
        cmocka_unit_test(closed_vocabularies_count_members_alone),
        cmocka_unit_test(logits_have_the_bits_of_the_product),
        cmocka_unit_test(what_is_not_a_number_comes_last),
        cmocka_unit_test(all_words_equal_means_the_middle_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One pass over the vocabulary against logits that are written down in full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read/vocab.h"

enum { N_VOCAB = 2500, D = 24, N_ROWS = 37, N_TOP = 6, N_SPELLINGS = 4 };

static float words[N_VOCAB * D], x[N_ROWS * D], logits[N_ROWS * N_VOCAB];
static const int32_t ids[] = {3, 2499, 1024, 1023, 7, 7};
static const tap_spelling spellings[N_SPELLINGS] = {
    {ids, 1}, {ids + 1, 1}, {ids + 2, 2}, {ids + 3, 3}};
static const tap_tensor matrix = {
    .bytes = words, .dtype = TAP_F32, .n_dims = 2, .shape = {N_VOCAB, D}};

static float next(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(int32_t)(state >> 40) / 8388608.0F - 1.0F;
}

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_VOCAB * D; i++)
        words[i] = next();
    for (size_t i = 0; i < N_ROWS * D; i++)
        x[i] = next();
    memcpy(words + 40 * D, words + 3 * D, D * sizeof *words); /* a word that ties */
    return 0;
}

/* The pass with everything asked for, and its scratch. */
typedef struct found {
    float ranks[N_ROWS * N_SPELLINGS], scores[N_ROWS * N_SPELLINGS];
    int32_t top_ids[N_ROWS * N_TOP];
    float top_logits[N_ROWS * N_TOP], log_sums[N_ROWS];
} found;

static void read_vocab(found *f, const tap_vocab_ask *ask, int n_threads)
{
    const tap_kernels *k = tap_kernels_cpu();
    tap_workspace work = {.n_threads = n_threads,
                          .scratch_bytes =
                              k->scratch_bytes(N_ROWS, D, 1, N_SPELLINGS, n_threads)};
    work.scratch = malloc(work.scratch_bytes);
    void *scratch =
        aligned_alloc(64, (tap_vocab_scratch_bytes(ask, N_ROWS) + 63) & ~63UL);
    const tap_vocab_answer answer = {f->ranks, f->scores, f->top_ids, f->top_logits,
                                     f->log_sums};
    assert_non_null(work.scratch);
    assert_non_null(scratch);
    tap_vocab_read(&answer, ask, x, N_ROWS, k, &work, scratch);
    k->linear(logits, N_VOCAB, x, D, N_ROWS, &matrix, NULL, &work);
    free(work.scratch);
    free(scratch);
}

static bool among(int32_t v, const tap_spelling *s)
{
    for (int64_t i = 0; i < s->n_ids; i++)
        if (s->ids[i] == v)
            return true;
    return false;
}

/* Everything in f, from the logits times scale, over the words that `in` holds. */
static void compare(const found *f, const float *scale, const uint64_t *in)
{
    for (int64_t r = 0; r < N_ROWS; r++) {
        float z[N_VOCAB];
        double sum = 0.0;
        for (int64_t v = 0; v < N_VOCAB; v++) {
            z[v] = logits[r * N_VOCAB + v] * (scale ? scale[v] : 1.0F);
            if (!in || tap_bits_get(in, v))
                sum += exp((double)z[v]);
        }
        assert_true(fabs((double)f->log_sums[r] - log(sum)) < 1e-5);
        for (int s = 0; s < N_SPELLINGS; s++) {
            double score = 0.0, rank = 1.0;
            for (int64_t i = 0; i < spellings[s].n_ids; i++)
                score += (double)z[spellings[s].ids[i]];
            score /= (double)spellings[s].n_ids;
            const float exact = (float)score;
            assert_true(f->scores[r * N_SPELLINGS + s] == exact);
            for (int32_t v = 0; v < N_VOCAB; v++)
                if (!among(v, &spellings[s]) && (!in || tap_bits_get(in, v)))
                    rank += z[v] > exact ? 1.0 : z[v] == exact ? 0.5 : 0.0;
            assert_true((double)f->ranks[r * N_SPELLINGS + s] == rank);
        }
        for (int i = 0; i < N_TOP; i++) {
            int32_t best = -1;
            for (int32_t v = 0; v < N_VOCAB; v++)
                if ((!in || tap_bits_get(in, v)) &&
                    z[v] > (best < 0 ? -INFINITY : z[best]))
                    best = v;
            assert_int_equal(f->top_ids[r * N_TOP + i], best);
            if (best < 0) {
                assert_true(isinf(f->top_logits[r * N_TOP + i]));
                continue;
            }
            assert_true(f->top_logits[r * N_TOP + i] == z[best]);
            z[best] = -INFINITY;
        }
    }
}

static void all_of_the_vocabulary(void **state)
{
    (void)state;
    const tap_vocab_ask ask = {.words = &matrix,
                               .spellings = spellings,
                               .n_spellings = N_SPELLINGS,
                               .n_top = N_TOP};
    static found a, b;
    read_vocab(&a, &ask, 1);
    compare(&a, NULL, NULL);
    read_vocab(&b, &ask, 3);
    assert_memory_equal(&a, &b, sizeof a);
}

static void a_closed_set_and_scaled_words(void **state)
{
    (void)state;
    uint64_t in[(N_VOCAB + 63) / 64] = {0};
    static float scale[N_VOCAB];
    float row[D];
    static found f;
    for (int64_t v = 0; v < N_VOCAB; v += 7)
        tap_bits_set(in, v);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        tap_bits_set(in, ids[i]);
    tap_vocab_inverse_norms(scale, &matrix, row);
    for (int64_t v = 0; v < N_VOCAB; v++) {
        double sum = 0.0;
        for (int i = 0; i < D; i++)
            sum += (double)words[v * D + i] * (double)words[v * D + i];
        assert_true(fabs((double)scale[v] * sqrt(sum) - 1.0) < 1e-6);
    }
    const tap_vocab_ask ask = {.words = &matrix,
                               .word_scale = scale,
                               .candidates = in,
                               .spellings = spellings,
                               .n_spellings = N_SPELLINGS,
                               .n_top = N_TOP};
    read_vocab(&f, &ask, 2);
    compare(&f, scale, in);
    memset(in, 0, sizeof in); /* fewer words than are asked for */
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        tap_bits_set(in, ids[i]);
    read_vocab(&f, &ask, 2);
    compare(&f, scale, in);
    assert_int_equal(f.top_ids[N_TOP - 1], -1); /* five distinct ones */
}

static void a_number_that_is_none_ranks_last(void **state)
{
    (void)state;
    static found f;
    const float kept = words[3 * D];
    words[3 * D] = NAN;
    const tap_vocab_ask ask = {.words = &matrix,
                               .spellings = spellings,
                               .n_spellings = N_SPELLINGS,
                               .n_top = N_TOP};
    read_vocab(&f, &ask, 2);
    for (int64_t r = 0; r < N_ROWS; r++) {
        assert_true(f.ranks[r * N_SPELLINGS] == (float)N_VOCAB);
        assert_true(isfinite(f.log_sums[r]) && f.top_ids[r * N_TOP] != 3);
    }
    words[3 * D] = kept;
}

static void rank_among_a_few(void **state)
{
    (void)state;
    const float scores[] = {1.0F, 3.0F, 1.0F, NAN, 2.0F};
    const float want[] = {3.5F, 1.0F, 3.5F, 5.0F, 2.0F};
    float ranks[5];
    tap_rank_among(ranks, scores, 5);
    for (int i = 0; i < 5; i++)
        assert_true(ranks[i] == want[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_the_vocabulary),
        cmocka_unit_test(a_closed_set_and_scaled_words),
        cmocka_unit_test(a_number_that_is_none_ranks_last),
        cmocka_unit_test(rank_among_a_few),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}

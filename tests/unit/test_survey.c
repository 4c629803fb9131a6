/* Permuted labels: a permutation in every group, no item with its own label, as few as can be
 * without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "base/memory.h"
#include "base/philox.h"
#include "lab/survey.h"

enum { N_CLASSES = 4, N_WORDS = 7, N_KINDS = N_CLASSES * N_WORDS };

static char CLASSES[N_CLASSES][8] = {"cat", "dog", "bird", "bus"};
/* "saddle" is several tokens: it cannot be scored, so it is not given either */
static char WORDS[N_WORDS][8] = {"tail", "head",   "ear",  "leg",
                                 "wing", "saddle", "wheel"};

enum { SADDLE = 5 };

typedef struct made {
    tap_survey survey;
    tap_survey_kind kinds[N_KINDS];
    tap_survey_item items[400];
} made;

/* n items; the share `most` of those of a class has the label of its number, the rest any of
 * the first n_words. Every ninth is not scored. */
static void make(made *m, size_t n, double most, uint32_t n_words, uint64_t seed)
{
    tap_random random = {.key = seed};
    memset(m, 0, sizeof *m);
    for (int k = 0; k < N_KINDS; k++)
        m->kinds[k] =
            (tap_survey_kind){CLASSES[k / N_WORDS], WORDS[k % N_WORDS], k / N_WORDS};
    m->survey = (tap_survey){.kinds = m->kinds,
                             .n_kinds = N_KINDS,
                             .items = m->items,
                             .n_items = n,
                             .n_classes = N_CLASSES};
    for (size_t i = 0; i < n; i++) {
        const uint32_t class = tap_random_next(&random, N_CLASSES);
        const bool usual = tap_random_next(&random, 1000) < 1000 * most;
        const uint32_t word = usual ? class : tap_random_next(&random, n_words);
        m->items[i] = (tap_survey_item){.kind = (int32_t)(class * N_WORDS + word),
                                        .is_scored = i % 9 != 8,
                                        .given = {-1, -1}};
    }
}

static tap_labels labels;

static int word_of(int32_t label)
{
    for (int w = 0; w < N_WORDS && label >= 0; w++)
        if (strcmp(labels.labels[label].word, WORDS[w]) == 0)
            return w;
    return -1;
}

/* class N_CLASSES: all items. */
static void check_group(const made *m, int class, int which)
{
    int64_t own[N_WORDS] = {0}, had[N_WORDS] = {0}, given[N_WORDS] = {0}, n = 0;
    int64_t n_none = 0, most = 0;
    for (size_t i = 0; i < m->survey.n_items; i++) {
        const tap_survey_item *item = &m->items[i];
        const int word = item->kind % N_WORDS, other = word_of(item->given[which]);
        if (class < N_CLASSES && item->kind / N_WORDS != class)
            continue;
        if (!item->is_scored || word == SADDLE) {
            assert_int_equal(other, -1);
            continue;
        }
        n++;
        own[word]++;
        n_none += other < 0;
        if (other < 0)
            continue;
        assert_int_not_equal(other, word);
        had[word]++;
        given[other]++;
    }
    for (int w = 0; w < N_WORDS; w++) {
        most = own[w] > most ? own[w] : most;
        assert_int_equal(given[w], had[w]);
    }
    assert_int_equal(n_none, 2 * most > n ? 2 * most - n : 0);
}

static void labels_are_permuted(void **state)
{
    (void)state;
    static made m, again;
    static const double SHARES[] = {0.0, 0.3, 0.5, 0.7, 1.0};
    tap_error err;
    for (size_t k = 0; k < sizeof SHARES / sizeof *SHARES; k++)
        for (uint64_t seed = 0; seed < 40; seed++) {
            const size_t n = seed % 3 == 0 ? seed : 10 * (seed % 40);
            make(&m, n, SHARES[k], seed % 2 ? N_WORDS : 2, seed);
            again = m;
            again.survey.items = again.items;
            again.survey.kinds = again.kinds;
            assert_int_equal(tap_survey_permute(&m.survey, &labels, &err), TAP_OK);
            assert_int_equal(tap_survey_permute(&again.survey, &labels, &err), TAP_OK);
            assert_memory_equal(m.items, again.items, n * sizeof *m.items);
            for (int class = 0; class < N_CLASSES; class ++)
                check_group(&m, class, 0);
            check_group(&m, N_CLASSES, 1);
        }
}

/* Labels go where chance sends them: an item's new label depends on none of its neighbours,
 * and all other labels of the class come, about as often as items have them. */
static void labels_are_permuted_by_chance(void **state)
{
    (void)state;
    static made m;
    int64_t table[N_WORDS][N_WORDS] = {{0}}, n = 0;
    tap_error err;
    for (uint64_t seed = 100; seed < 300; seed++) {
        make(&m, 400, 0.0, 4, seed);
        assert_int_equal(tap_survey_permute(&m.survey, &labels, &err), TAP_OK);
        for (size_t i = 0; i < 400; i++)
            if (m.items[i].given[1] >= 0) {
                table[m.items[i].kind % N_WORDS][word_of(m.items[i].given[1])]++;
                n++;
            }
    }
    for (int a = 0; a < 4; a++) /* twelve cells of about 5900 each */
        for (int b = 0; b < 4; b++)
            if (a != b)
                assert_in_range(table[a][b], n / 12 - 400, n / 12 + 400);
}

static tap_tokenizer *tokenizer;
static char folder[SCRATCH_BYTES];

static int set_up(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_BYTES];
    int n_ids = 0;
    tap_error err;
    static const tap_label_spec spec = TAP_LABELS_AS_NAMED;
    scratch_open(folder);
    scratch_path(path, folder, "tokenizer.json");
    assert_int_equal(tiny_tokenizer_write(&n_ids, path, &err), TAP_OK);
    assert_int_equal(tap_tokenizer_open(&tokenizer, folder, &err), TAP_OK);
    assert_int_equal(tap_labels_open(&labels, tokenizer, &spec, &err), TAP_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tap_labels_clear(&labels);
    tap_tokenizer_close(tokenizer);
    scratch_close(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_permuted),
        cmocka_unit_test(labels_are_permuted_by_chance),
    };
    return cmocka_run_group_tests_name("survey", tests, set_up, tear_down);
}

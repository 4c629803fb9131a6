/* Every statistic against numpy and SciPy, on a small stored experiment that goes through
 * the database. tools/make_stats_golden.py made the expectations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/planted.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "lab/stats.h"
#include "lab/stats_null.h"
#include "lab/stats_test.h"

#include <stdlib.h>

enum {
    N_CONDITIONS = 4,
    N_DEPTHS = 3,
    MAX_ITEMS = 128,
    MAX_IMAGES = 32,
    MAX_FIELDS = 90
};

/* The stored experiment. */
typedef struct golden {
    int n_items, n_images;
    int image[MAX_ITEMS], ordinal[MAX_ITEMS], count[MAX_IMAGES];
    char object[MAX_ITEMS][16], label[MAX_ITEMS][16];
    double rank[MAX_ITEMS][N_CONDITIONS * N_DEPTHS];
    int at[MAX_IMAGES][16]; /* item of (image, ordinal) */
    char *expected;
    tap_stats *stats;
    char directory[SCRATCH_BYTES];
} golden;

/* Splits a line at tabs, in place; returns the number of fields and the next line. */
static int split(char *fields[MAX_FIELDS], char **line)
{
    int n = 0;
    char *at = *line;
    fields[n++] = at;
    for (; *at && *at != '\n'; at++)
        if (*at == '\t') {
            *at = '\0';
            assert_true(n < MAX_FIELDS);
            fields[n++] = at + 1;
        }
    if (*at)
        *at++ = '\0';
    *line = at;
    return n;
}

static double rank_of(void *owner, int image, int item, int condition, int depth)
{
    const golden *g = owner;
    return g->rank[g->at[image][item]][condition * N_DEPTHS + depth];
}

static const char *object_of(void *owner, int image, int item)
{
    const golden *g = owner;
    return g->object[g->at[image][item]];
}

static const char *label_of(void *owner, int image, int item)
{
    const golden *g = owner;
    return g->label[g->at[image][item]];
}

static double control_of(void *owner, int image, int item, int condition, int depth,
                         int seed)
{
    const double rank = rank_of(owner, image, item, condition, depth);
    return item % 5 == 4 ? 0.0 : fmin(2000.0, rank + 3 * seed + item % 4);
}

static int count_of(void *owner, int image)
{
    const golden *g = owner;
    return g->count[image];
}

static void read_ranks(golden *g)
{
    char *text = NULL, *fields[MAX_FIELDS];
    size_t n_bytes = 0;
    assert_int_equal(
        tap_file_read(&text, &n_bytes, "tests/golden/stats/ranks.tsv", 1 << 20, NULL),
        TAP_OK);
    for (char *line = text; *line;) {
        assert_int_equal(split(fields, &line), 3 + N_CONDITIONS * N_DEPTHS);
        const int i = g->n_items++, image = (int)strtod(fields[0], NULL);
        g->image[i] = image;
        g->n_images = image + 1;
        (void)snprintf(g->object[i], sizeof g->object[i], "%s", fields[1]);
        (void)snprintf(g->label[i], sizeof g->label[i], "%s", fields[2]);
        g->at[image][g->count[image]++] = i;
        for (int k = 0; k < N_CONDITIONS * N_DEPTHS; k++)
            g->rank[i][k] = strtod(fields[3 + k], NULL);
    }
    tap_free(text);
}

static const tap_fact FACTS[] = {
    {"stats.metrics", "log_rank,mrr,hit@1,hit@5,hit@10,hit@100,median", false},
    {"stats.seed", "7", false},
    {"stats.bootstrap", "600", false},
    {"doses.enc", "0:clean,0.4:encoder_off,1:both_off", false},
    {"doses.lm", "0:clean,0.5:decoder_off,1:both_off", false},
};

static int set_up(void **state)
{
    golden *g = calloc(1, sizeof *g);
    if (!g)
        return 1;
    *state = g;
    scratch_open(g->directory);
    read_ranks(g);
    char path[SCRATCH_PATH_BYTES];
    scratch_path(path, g->directory, "r.db");
    const planted p = {.n_images = g->n_images,
                       .n_depths = N_DEPTHS,
                       .n_candidates = 2000,
                       .more = FACTS,
                       .n_more = sizeof FACTS / sizeof FACTS[0],
                       .rank = rank_of,
                       .object = object_of,
                       .label = label_of,
                       .count = count_of,
                       .control = control_of,
                       .owner = g};
    tap_error err = {0};
    tap_store *store = NULL;
    const tap_stats_options options = {.n_threads = 2, .n_resamples = -1, .seed = -1};
    size_t n_bytes = 0;
    if (planted_write(path, &p, &err) != TAP_OK ||
        tap_store_open_read(&store, path, &err) != TAP_OK ||
        tap_stats_run(&g->stats, store, &options, &err) != TAP_OK ||
        tap_file_read(&g->expected, &n_bytes, "tests/golden/stats/expected.tsv",
                      1 << 20, &err) != TAP_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    tap_store_close(store);
    return 0;
}

static int tear_down(void **state)
{
    golden *g = *state;
    tap_stats_free(g->stats);
    tap_free(g->expected);
    scratch_close(g->directory);
    free(g);
    return 0;
}

static void near(const char *what, double expected, double found, double tolerance)
{
    if (isnan(expected) && isnan(found))
        return;
    if (!(fabs(expected - found) <= tolerance * (1.0 + fabs(expected))))
        fail_msg("%s: expected %.15g, found %.15g", what, expected, found);
}

static void near_estimate(const char *what, char *const *fields, const tap_estimate *e)
{
    static const char *const NAMES[] = {"value",   "low",      "high",
                                        "bca_low", "bca_high", "undefined"};
    const double found[6] = {e->value,   e->low,      e->high,
                             e->bca_low, e->bca_high, e->undefined};
    for (int i = 0; i < 6; i++) {
        char name[160];
        (void)snprintf(name, sizeof name, "%s %s", what, NAMES[i]);
        near(name, strtod(fields[i], NULL), found[i], 1e-10);
    }
    assert_true(isnan(e->value) == (e->na != NULL));
}

static int32_t find(const char *word, const char *(*name)(int), int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(word, name(i)) == 0)
            return i;
    fail_msg("unknown word %s", word);
    return -1;
}

static const char *metric_name(int i)
{
    return tap_metric_name((tap_metric)i);
}

static const char *cell_name(int i)
{
    return tap_cell_name((tap_cell)i);
}

static const char *quantity_name(int i)
{
    return tap_quantity_name((tap_quantity)i);
}

static const tap_test *find_test(const golden *g, const char *name, int32_t *at)
{
    for (int32_t i = 0; i < g->stats->tests.n_tests; i++) {
        char found[64];
        (void)snprintf(found, sizeof found, "%s|%s",
                       cell_name(g->stats->tests.tests[i].a),
                       cell_name(g->stats->tests.tests[i].b));
        *at = i;
        if (strcmp(found, name) == 0)
            return &g->stats->tests.tests[i];
    }
    fail_msg("no test %s", name);
    return NULL;
}

static bool check_design_line(golden *g, char *const *f, int n, const char *what)
{
    const tap_average average = strcmp(f[1], "micro") == 0 ? TAP_MICRO : TAP_MACRO;
    if (strcmp(f[0], "cell") == 0) {
        assert_int_equal(n, 11);
        near_estimate(what, f + 5,
                      tap_stats_cell(g->stats, average,
                                     find(f[2], metric_name, TAP_N_METRICS),
                                     f[3][0] - '0', find(f[4], cell_name, 4)));
        return true;
    }
    if (strcmp(f[0], "design") == 0) {
        assert_int_equal(n, 11);
        near_estimate(what, f + 5,
                      tap_stats_quantity(
                          g->stats, average, find(f[2], metric_name, TAP_N_METRICS),
                          f[3][0] - '0',
                          (tap_quantity)find(f[4], quantity_name, TAP_N_QUANTITIES)));
        return true;
    }
    if (strcmp(f[0], "dose") == 0) {
        const int i = strcmp(f[1], "doses.lm") == 0;
        assert_string_equal(g->stats->data.doses[i].name, f[1]);
        near_estimate(what, f + 3,
                      strcmp(f[2], "area") == 0   ? &g->stats->doses[i].area
                      : strcmp(f[2], "half") == 0 ? &g->stats->doses[i].half
                                                  : &g->stats->dose_gaps[1]);
        return true;
    }
    return false;
}

static bool check_test_line(golden *g, char *const *f, int n, const char *what)
{
    int32_t at = 0;
    if (strcmp(f[0], "test") == 0) {
        const tap_test *t = find_test(g, f[1], &at);
        const double found[] = {t->mean,        t->effect, t->effect_low,
                                t->effect_high, t->p_flip, t->p_wilcoxon};
        for (int i = 0; i < 6; i++)
            near(what, strtod(f[2 + i], NULL), found[i], 1e-9);
        assert_false(t->exact);
    } else if (strcmp(f[0], "mcnemar") == 0) {
        const tap_test *t = find_test(g, f[1], &at);
        const int hit = strcmp(f[2], "1") == 0    ? 0
                        : strcmp(f[2], "5") == 0  ? 1
                        : strcmp(f[2], "10") == 0 ? 2
                                                  : 3;
        near(what, strtod(f[3], NULL), t->chi2[hit], 1e-9);
        near(what, strtod(f[4], NULL), t->p_mcnemar[hit], 1e-9);
    } else if (strcmp(f[0], "holm") == 0) {
        near(what, strtod(f[2], NULL), find_test(g, f[1], &at)->p_holm, 1e-9);
    } else if (strcmp(f[0], "band") == 0) {
        (void)find_test(g, f[1], &at);
        const tap_test_point *point =
            &g->stats->tests.curve[at * N_DEPTHS + (f[2][0] - '0')];
        near(what, strtod(f[3], NULL), point->mean, 1e-9);
        near(what, strtod(f[4], NULL), point->null_band, 1e-9);
        near(what, strtod(f[5], NULL), point->p_max, 1e-9);
    } else if (strcmp(f[0], "wilcoxon") == 0) {
        double x[MAX_FIELDS], p = 0;
        for (int i = 3; i < n; i++)
            x[i - 3] = strtod(f[i], NULL);
        assert_int_equal(tap_wilcoxon(&p, x, n - 3, NULL), TAP_OK);
        near(what, strtod(f[2], NULL), p, 1e-9);
    } else {
        return false;
    }
    return true;
}

/* Controls, strata, areas and the uniform null: kind, two or three words, an estimate. */
static bool check_choice_line(golden *g, char *const *f, const char *what)
{
    const tap_stats *s = g->stats;
    if (strcmp(f[0], "control") == 0 || strcmp(f[0], "curve") == 0) {
        const tap_control_result *r = s->controls.results;
        assert_int_equal(s->controls.n, 4);
        while (strcmp(cell_name(r->condition), f[1]) != 0)
            r++;
        assert_int_equal(r->control, TAP_CONTROL_RANDOM_PATCHES);
        if (strcmp(f[0], "curve") == 0) {
            near(what, strtod(f[3], NULL), r->curve[f[2][0] - '0'], 1e-10);
            near(what, strtod(f[4], NULL), r->curve[N_DEPTHS + f[2][0] - '0'], 1e-10);
        } else if (strcmp(f[2], "percentile") == 0) {
            near_estimate(what, f + 4, &r->percentile);
        } else {
            const int32_t m = find(f[2], metric_name, TAP_N_METRICS);
            near_estimate(what, f + 4,
                          strcmp(f[3], "gap") == 0 ? &r->gap[m] : &r->score[m]);
        }
    } else if (strcmp(f[0], "stratum") == 0) {
        const tap_stratum *t = s->strata.strata;
        while (strcmp(t->name, f[1]) != 0)
            t++;
        near_estimate(what, f + 4,
                      strcmp(f[3], "score") == 0
                          ? &t->score[find(f[2], cell_name, TAP_N_CELLS)]
                          : &t->design[find(f[2], quantity_name, TAP_N_QUANTITIES)]);
    } else if (strcmp(f[0], "area") == 0) {
        near_estimate(what, f + 4, &s->areas[find(f[1], cell_name, TAP_N_CELLS)]);
    } else if (strcmp(f[0], "uniform") == 0) {
        near(what, strtod(f[2], NULL), s->uniform_s, 1e-11);
    } else {
        return false;
    }
    return true;
}

static bool check_number_line(char *const *f, const char *what)
{
    const double a = strtod(f[1], NULL), b = strtod(f[2], NULL);
    if (strcmp(f[0], "normal") == 0) {
        near(what, b, tap_normal_quantile(a), 1e-13);
    } else if (strcmp(f[0], "cdf") == 0) {
        near(what, 1.0, tap_normal_cdf(a) / b, 1e-13);
    } else if (strcmp(f[0], "null") == 0) {
        near(what, strtod(f[3], NULL), tap_null_log2(a, (int64_t)b), 1e-11);
        double mean = 0.0; /* E[min] = sum of P(min > r) */
        for (int r = 0; r < (int)a; r++)
            mean += 1.0 - tap_null_cdf(a, (int64_t)b, r);
        near(what, strtod(f[4], NULL), mean, 1e-9);
    } else {
        return false;
    }
    return true;
}

static void test_golden(void **state)
{
    golden *g = *state;
    int n_lines = 0;
    for (char *line = g->expected; *line; n_lines++) {
        char *f[MAX_FIELDS], what[128];
        const int n = split(f, &line);
        (void)snprintf(what, sizeof what, "%s %s %s %s %s", f[0], f[1], f[2],
                       n > 3 ? f[3] : "", n > 4 ? f[4] : "");
        if (!check_design_line(g, f, n, what) && !check_test_line(g, f, n, what) &&
            !check_choice_line(g, f, what) && !check_number_line(f, what))
            fail_msg("unknown expectation %s", f[0]);
    }
    assert_int_equal(n_lines, 641);
}

/* The same bits for any number of threads. */
static void test_threads(void **state)
{
    const golden *g = *state;
    char path[SCRATCH_PATH_BYTES];
    scratch_path(path, g->directory, "r.db");
    const tap_stats *a = g->stats; /* two threads */
    for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
        tap_store *store = NULL;
        tap_stats *b = NULL;
        const tap_stats_options options = {
            .n_threads = n_threads, .n_resamples = -1, .seed = -1};
        assert_int_equal(tap_store_open_read(&store, path, NULL), TAP_OK);
        assert_int_equal(tap_stats_run(&b, store, &options, NULL), TAP_OK);
        const size_t n = TAP_N_AVERAGES * (size_t)a->n_metrics * N_DEPTHS;
        assert_memory_equal(a->cells, b->cells, n * N_CONDITIONS * sizeof *a->cells);
        assert_memory_equal(a->design, b->design,
                            n * TAP_N_QUANTITIES * sizeof *a->design);
        assert_memory_equal(a->areas, b->areas, N_CONDITIONS * sizeof *a->areas);
        assert_int_equal(a->tests.n_tests, b->tests.n_tests);
        for (int32_t i = 0; i < a->tests.n_tests; i++) {
            assert_true(a->tests.tests[i].p_flip == b->tests.tests[i].p_flip);
            assert_true(a->tests.tests[i].effect_low == b->tests.tests[i].effect_low);
        }
        for (size_t i = 0; i < a->controls.n; i++)
            assert_memory_equal(a->controls.results[i].gap, b->controls.results[i].gap,
                                sizeof a->controls.results[i].gap);
        tap_stats_free(b);
        tap_store_close(store);
    }
}

static void test_strata(void **state)
{
    const golden *g = *state;
    const tap_stats_data *d = &g->stats->data;
    assert_int_equal(d->n_strata, 3);
    assert_int_equal(d->stratum_first[1], 13);
    assert_int_equal(d->stratum_first[2], 22);
    assert_int_equal(d->stratum_first[3], 26);
    assert_int_equal(d->n_categories, 9);
    assert_string_equal(d->categories[0], "bird:ear");
    assert_int_equal(d->n_all_items, g->n_items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_strata),
    };
    return cmocka_run_group_tests_name("stats", tests, set_up, tear_down);
}

/* Means of categories and of other values: against tap_stats_run and by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/planted.h"
#include "../support/scratch.h"
#include "lab/stats.h"
#include "lab/stats_group.h"

static char directory[SCRATCH_BYTES];
static tap_store *store;
static tap_stats *stats;

static int set_up(void **state)
{
    static const planted SOME = {.n_images = 30, .n_items = 4, .n_depths = 2};
    char path[SCRATCH_PATH_BYTES];
    const tap_stats_options options = {.n_threads = 1, .n_resamples = 400, .seed = 7};
    (void)state;
    scratch_open(directory);
    scratch_path(path, directory, "r.db");
    assert_int_equal(planted_write(path, &SOME, NULL), TAP_OK);
    assert_int_equal(tap_store_open_read(&store, path, NULL), TAP_OK);
    assert_int_equal(tap_stats_run(&stats, store, &options, NULL), TAP_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tap_stats_free(stats);
    tap_store_close(store);
    scratch_close(directory);
    return 0;
}

/* S of one condition at depth 1, item by item. */
static void fill(double *values, int condition)
{
    const tap_stats_data *d = &stats->data;
    for (int64_t i = 0; i < d->n_items; i++)
        values[i] = 1.0 - log2(d->best[(condition * 2 + 1) * d->n_items + i]) /
                              log2(d->n_candidates);
}

static void test_macro_is_that_of_stats(void **state)
{
    double values[2 * 120];
    tap_estimate e[2];
    int64_t n_images = 0, n_items = 0;
    (void)state;
    assert_int_equal(stats->data.n_items, 120);
    fill(values, 0);
    fill(values + 120, 3);
    const tap_group_options options = {.category = TAP_ALL_CATEGORIES,
                                       .n_resamples = 400,
                                       .seed = 7,
                                       .level = 0.95,
                                       .n_threads = 2};
    assert_int_equal(tap_group_means(e, &n_images, &n_items, values, 2, &stats->data,
                                     &options, NULL),
                     TAP_OK);
    assert_int_equal(n_images, 30);
    assert_int_equal(n_items, 120);
    const int32_t m = tap_stats_find_metric(stats, TAP_METRIC_LOG_RANK);
    for (int c = 0; c < 2; c++) {
        const tap_estimate *own = tap_stats_cell(stats, TAP_MACRO, m, 1, c ? 3 : 0);
        assert_true(fabs(e[c].value - own->value) < 1e-12);
        /* other resamples, the same spread */
        assert_true(fabs(e[c].low - own->low) < 0.2 * (own->high - own->low));
        assert_true(fabs(e[c].high - own->high) < 0.2 * (own->high - own->low));
    }
}

static void test_category_by_hand(void **state)
{
    double values[120], sum = 0.0;
    tap_estimate e;
    int64_t n_images = 0, n_items = 0, n = 0;
    (void)state;
    fill(values, 1);
    const tap_stats_data *d = &stats->data;
    const int32_t category = 1;
    for (int64_t i = 0; i < d->n_items; i++)
        if (d->category[i] == category) {
            if (n == 0)
                values[i] = (double)NAN; /* one without a value */
            else
                sum += values[i];
            n++;
        }
    const tap_group_options options = {
        .category = category, .n_resamples = 200, .level = 0.95, .n_threads = 1};
    assert_int_equal(
        tap_group_means(&e, &n_images, &n_items, values, 1, d, &options, NULL), TAP_OK);
    assert_int_equal(n_items, n - 1);
    assert_true(fabs(e.value - sum / (double)(n - 1)) < 1e-12);
    assert_true(e.low < e.value && e.value < e.high);
}

static void test_nothing_left(void **state)
{
    double values[120];
    tap_estimate e;
    (void)state;
    for (int i = 0; i < 120; i++)
        values[i] = (double)NAN;
    const tap_group_options options = {.category = TAP_ALL_CATEGORIES,
                                       .n_resamples = 200,
                                       .level = 0.95,
                                       .n_threads = 1};
    assert_int_equal(
        tap_group_means(&e, NULL, NULL, values, 1, &stats->data, &options, NULL),
        TAP_OK);
    assert_true(isnan(e.value) && isnan(e.low) && e.na);
}

static void test_threads(void **state)
{
    double values[120];
    tap_estimate e[2];
    (void)state;
    fill(values, 2);
    for (int k = 0; k < 2; k++) {
        const tap_group_options options = {.category = TAP_ALL_CATEGORIES,
                                           .n_resamples = 300,
                                           .level = 0.9,
                                           .n_threads = k ? 3 : 1};
        assert_int_equal(
            tap_group_means(&e[k], NULL, NULL, values, 1, &stats->data, &options, NULL),
            TAP_OK);
    }
    assert_memory_equal(&e[0], &e[1], sizeof e[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_macro_is_that_of_stats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_category_by_hand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

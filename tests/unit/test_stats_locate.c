/* Sets of candidates that differ from item to item, and what was measured over all patches: from
 * the database to the averages, by hand and against tap_group_means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "../support/planted.h"
#include "../support/scratch.h"
#include "lab/stats.h"
#include "lab/stats_group.h"
#include "lab/stats_null.h"

static char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];

static int set_up(void **state)
{
    (void)state;
    scratch_open(directory);
    scratch_path(path, directory, "r.db");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(directory);
    return 0;
}

/* Sets of 4, 9 and 16 names, by category. */
static int64_t set_size(void *owner, int image, int item)
{
    (void)owner;
    (void)image;
    static const int64_t sizes[] = {4, 9, 16};
    return sizes[item % 3];
}

static double rank_in_set(void *owner, int image, int item, int condition, int depth)
{
    (void)owner;
    return 1.0 +
           (double)((image + item + condition + depth) % (int)set_size(NULL, 0, item));
}

static double auc(void *owner, int image, int item, int condition, int depth)
{
    (void)owner;
    return 0.5 + 0.25 * sin(image + 3.0 * item) - 0.05 * condition + 0.02 * depth;
}

/* The item without patches outside has neither. */
static double gap(void *owner, int image, int item, int condition, int depth)
{
    (void)owner;
    return image == 2 && item == 1 ? (double)NAN
                                   : cos(image * item) - 0.3 * condition + depth;
}

static const tap_fact OWN[] = {{"readout.candidates", "own_parts", true},
                               {"readout.state", "head", true}};

static planted sets_planted(void)
{
    return (planted){.n_images = 9,
                     .n_items = 6,
                     .n_depths = 2,
                     .n_candidates = 16,
                     .rank = rank_in_set,
                     .candidates = set_size,
                     .auc = auc,
                     .gap = gap,
                     .more = OWN,
                     .n_more = 2};
}

static tap_stats *run_stats(const planted *p)
{
    tap_error err = {0};
    tap_store *store = NULL;
    tap_stats *s = NULL;
    const tap_stats_options options = {.n_threads = 1, .n_resamples = 300, .seed = 4};
    if (planted_write(path, p, &err) != TAP_OK ||
        tap_store_open_read(&store, path, &err) != TAP_OK ||
        tap_stats_run(&s, store, &options, &err) != TAP_OK)
        fail_msg("%s", err.message);
    tap_store_close(store);
    return s;
}

static void close_to(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("%.17g, expected %.17g", found, expected);
}

/* S of each item is 1 - log2 r / log2 of its own set; macro is the mean over categories. */
static void scores_are_normed_by_the_set_of_the_item(void **state)
{
    (void)state;
    const planted p = sets_planted();
    tap_stats *s = run_stats(&p);
    const int32_t m = tap_stats_find_metric(s, TAP_METRIC_LOG_RANK);
    for (int c = 0; c < TAP_N_CELLS; c++)
        for (int d = 0; d < 2; d++) {
            double sums[3] = {0}, all = 0.0;
            for (int image = 0; image < 9; image++)
                for (int item = 0; item < 6; item++) {
                    const double r = rank_in_set(NULL, image, item, c, d);
                    const double score =
                        1.0 - log2(r) / log2((double)set_size(NULL, image, item));
                    sums[item % 3] += score;
                    all += score;
                }
            close_to(tap_stats_cell(s, TAP_MACRO, m, d, c)->value,
                     (sums[0] + sums[1] + sums[2]) / 18.0 / 3.0);
            close_to(tap_stats_cell(s, TAP_MICRO, m, d, c)->value, all / 54.0);
        }
    double uniform = 0.0;
    for (int k = 0; k < 3; k++) {
        const double n = (double)set_size(NULL, 0, k);
        uniform += (1.0 - tap_null_log2(n, 2) / log2(n)) / 3.0;
    }
    close_to(s->uniform_s, uniform);
    tap_buffer among = {0};
    assert_int_equal(tap_stats_data_put_among(&among, &s->data, NULL), TAP_OK);
    assert_string_equal(among.text, "4 to 16 part names of the same object class");
    tap_buffer_clear(&among);
    assert_string_equal(tap_stats_data_depth_title(&s->data),
                        "depth of the encoder (0 enters the first block)");
    tap_stats_free(s);
}

/* Every estimate once more with tap_group_means, from the formulas that made the rows. */
static void what_was_located_is_averaged(void **state)
{
    (void)state;
    const planted p = sets_planted();
    tap_stats *s = run_stats(&p);
    const tap_stats_data *d = &s->data;
    const int64_t n = d->n_items;
    double *values = calloc((size_t)n * TAP_N_CELLS, sizeof *values);
    assert_non_null(values);
    assert_int_equal(s->located.n, 2);
    for (int l = 0; l < 2; l++) {
        const tap_located *r = &s->located.results[l];
        assert_int_equal(r->what, l == 0 ? TAP_LOCATE_AUC : TAP_LOCATE_GAP);
        assert_int_equal(r->n_items, l == 0 ? 54 : 53);
        assert_int_equal(r->n_images, 9);
        for (int depth = 0; depth < 2; depth++) {
            for (int c = 0; c < TAP_N_CELLS; c++)
                for (int64_t i = 0; i < n; i++)
                    values[c * n + i] =
                        (l ? gap : auc)(NULL, (int)(i / 6), (int)(i % 6), c, depth);
            tap_estimate means[TAP_N_CELLS];
            const tap_group_options options = {.category = TAP_ALL_CATEGORIES,
                                               .n_resamples = 300,
                                               .seed = 4,
                                               .level = 0.95,
                                               .n_threads = 1};
            assert_int_equal(tap_group_means(means, NULL, NULL, values, TAP_N_CELLS, d,
                                             &options, NULL),
                             TAP_OK);
            double cells[TAP_N_CELLS];
            for (int c = 0; c < TAP_N_CELLS; c++) {
                const tap_estimate *e = &r->score[depth * TAP_N_CELLS + c];
                close_to(e->value, means[c].value);
                assert_true(e->low < e->value && e->value < e->high);
                cells[c] = e->value;
            }
            for (int q = 0; q < TAP_N_QUANTITIES; q++) {
                const tap_estimate *e = &r->design[depth * TAP_N_QUANTITIES + q];
                if (!e->na)
                    close_to(e->value, tap_quantity_of((tap_quantity)q, cells));
            }
        }
    }
    free(values);
    tap_stats_free(s);
}

static void a_run_that_located_nothing_has_no_table(void **state)
{
    (void)state;
    const tap_fact no_set = {"readout.candidates", "vocabulary", true};
    planted p = sets_planted();
    tap_error err = {0};
    p.auc = p.gap = gap; /* only the item that has none */
    p.n_images = 3;
    p.n_items = 2;
    p.more = &no_set;
    p.n_more = 1;
    tap_stats *s = run_stats(&p);
    assert_int_equal(s->located.n, 2);
    assert_int_equal(s->located.results[0].n_items, 5);
    tap_stats_free(s);

    /* a rank beyond the item's own set, though below the largest */
    tap_store *store = NULL;
    const tap_stats_options options = {.n_threads = 1, .n_resamples = 10, .seed = 1};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE score SET best_rank = 5 WHERE item_id = 0",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(tap_store_open_read(&store, path, &err), TAP_OK);
    assert_int_equal(tap_stats_run(&s, store, &options, &err), TAP_EFORMAT);
    assert_non_null(strstr(err.message, "item 0 has rank 5 under 'clean'"));
    assert_non_null(strstr(err.message, "its ranks lie between 1 and 4"));
    tap_store_close(store);
    assert_int_equal(sqlite3_exec(db, "UPDATE item SET n_candidates = 17 WHERE id = 0",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(tap_store_open_read(&store, path, &err), TAP_OK);
    assert_int_equal(tap_stats_run(&s, store, &options, &err), TAP_EFORMAT);
    assert_non_null(strstr(err.message, "ranked among 17 words; expected 2 to "
                                        "readout.n_candidates = 16"));
    tap_store_close(store);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE item SET n_candidates = 4; UPDATE score SET "
                                  "best_rank = 1, auc_loc = NULL, gap = NULL",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE manifest SET value = 'all' WHERE key = "
                                  "'readout.candidates'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(tap_store_open_read(&store, path, &err), TAP_OK);
    assert_int_equal(tap_stats_run(&s, store, &options, &err), TAP_EFORMAT);
    assert_non_null(strstr(err.message, "has 'all' as readout.candidates"));
    assert_int_equal(sqlite3_exec(db,
                                  "DELETE FROM manifest WHERE key = "
                                  "'readout.candidates'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(tap_stats_run(&s, store, &options, &err), TAP_OK);
    assert_int_equal(s->located.n, 0);
    tap_stats_free(s);
    tap_store_close(store);
    (void)sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scores_are_normed_by_the_set_of_the_item,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_located_is_averaged, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_run_that_located_nothing_has_no_table, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

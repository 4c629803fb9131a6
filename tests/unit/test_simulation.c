/* Do intervals cover and do p-values mean what they say? Many made-up experiments with a
 * known answer. 150 run with the suite; tools/simulate_stats runs as many as its record
 * needs: SIMULATIONS, SEED, IMAGES (of an experiment) and ONLY (one test) in the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "lab/stats_null.h"

#include <stdlib.h>

static int64_t n_simulations, first_seed, n_images;
static bool is_full; /* a run for the record: bounds are those that are promised */
static int n_bad; /* rates outside their bounds in such a run: it goes on to the end */

/* Binomial bounds of a rate: the promised ones, or 4 standard deviations around them. */
static void assert_rate(const char *what, int64_t hits, int64_t n, double low,
                        double high)
{
    const double rate = (double)hits / (double)n;
    const double middle = 0.5 * (low + high);
    const double error = sqrt(middle * (1.0 - middle) / (double)n);
    const double slack = is_full ? 0.0 : 4.0 * error;
    if (is_full)
        print_message("%-44s %6.2f %%  +- %.2f\n", what, 100.0 * rate, 100.0 * error);
    if (is_full)
        n_bad += !(rate >= low && rate <= high);
    else if (!(rate >= low - slack && rate <= high + slack))
        fail_msg("%s: %.4f is outside [%.4f, %.4f]", what, rate, low - slack,
                 high + slack);
}

static int compare_reals(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Kolmogorov and Smirnov against the uniform distribution, at the level 1e-4. */
static void assert_uniform(const char *what, double *p, int64_t n)
{
    double far = 0.0;
    qsort(p, (size_t)n, sizeof *p, compare_reals);
    for (int64_t i = 0; i < n; i++) {
        far = fmax(far, fabs(p[i] - (double)i / (double)n));
        far = fmax(far, fabs(p[i] - (double)(i + 1) / (double)n));
    }
    const double scaled = far * sqrt((double)n);
    int64_t below = 0;
    while (below < n && p[below] <= 0.05)
        below++;
    if (is_full)
        print_message("%-44s %6.2f %%  at or below 0.05; distance %.4f, sqrt(n) times "
                      "that %.2f\n",
                      what, 100.0 * (double)below / (double)n, far, scaled);
    if (scaled > 2.23)
        fail_msg("%s is not uniform: distance %.4f over %lld", what, far, (long long)n);
}

/* ---- intervals ---- */

/* Mean log2 ranks of the four cells: with N = 2^16, S = 1 - l / 16, so R = 4/5, CI = 2/3,
 * R_V = 3/5 and I = 3/16 in truth, macro and micro. */
static const double MEANS[TAP_N_CELLS] = {3.0, 4.5, 6.0, 10.5};

/* Skewed noise of mean 0 for the image and for the part; an image's noise is partly shared by
 * the conditions, as it is in pictures that are easy or hard. */
static double noisy_log2(const synthetic *s, int64_t image, int64_t item, int condition,
                         int32_t depth)
{
    (void)depth;
    const double v = synthetic_random(s, SYNTHETIC_IMAGE, image, condition);
    const double shared = synthetic_random(s, SYNTHETIC_IMAGE, image, 99);
    const double e = synthetic_random(s, SYNTHETIC_ITEM, item, condition);
    return MEANS[condition] + 1.5 * (3.0 * v * v - 1.0) * 0.5 + (shared - 0.5) +
           2.0 * (e - 0.5);
}

enum { N_KINDS = 6 };

static const struct {
    const char *name;
    int quantity; /* -1: S of the clean cell */
    double truth;
} KINDS[N_KINDS] = {{"S clean", -1, 1.0 - 3.0 / 16.0},
                    {"deficit", TAP_Q_DEFICIT, 7.5 / 16.0},
                    {"I", TAP_Q_I, 3.0 / 16.0},
                    {"R", TAP_Q_R, 0.8},
                    {"R_V", TAP_Q_RV, 0.6},
                    {"CI", TAP_Q_CI, 2.0 / 3.0}};

/* Adds the intervals of one average that hold the truth: covered[kind][percentile, BCa]. */
static tap_status cover_average(int64_t covered[N_KINDS][2], const tap_stats_data *data,
                                tap_average average, tap_error *err)
{
    const tap_design_rule rule = {.level = 0.95, .delta = 0.02};
    const double log2_n = log2(data->n_candidates);
    const int64_t n = data->n_items;
    tap_stats_plan plan = {0};
    tap_estimate s11, design[TAP_N_QUANTITIES];
    double *values = NULL, *rows = NULL, *spare = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_stats_plan_init(&plan, data, average, NULL, data->bootstrap,
                                    data->seed, 1, err));
    const int64_t n_rows = tap_draws_rows(&plan.draws);
    TAP_TRY_OUT(tap_alloc(&values, TAP_N_CELLS * (size_t)n, sizeof *values, "", err));
    TAP_TRY_OUT(tap_alloc(&rows, TAP_N_CELLS * (size_t)n_rows, sizeof *rows, "", err));
    TAP_TRY_OUT(tap_alloc(&spare, 2 * (size_t)n_rows, sizeof *spare, "", err));
    for (int64_t i = 0; i < TAP_N_CELLS * n; i++)
        values[i] = tap_metric_value(TAP_METRIC_LOG_RANK, data->best[i], log2_n);
    TAP_TRY_OUT(tap_stats_plan_rows(rows, values, TAP_N_CELLS, &plan, err));
    const double *cells[TAP_N_CELLS];
    for (int c = 0; c < TAP_N_CELLS; c++)
        cells[c] = rows + c * n_rows;
    s11 = tap_interval_run(rows, &plan.draws, rule.level, spare);
    TAP_TRY_OUT(tap_design_run(design, cells, TAP_METRIC_LOG_RANK, &plan.draws, &rule,
                               spare, spare + n_rows, err));
    for (int k = 0; k < N_KINDS; k++) {
        const tap_estimate *e =
            KINDS[k].quantity < 0 ? &s11 : &design[KINDS[k].quantity];
        const double t = KINDS[k].truth;
        covered[k][0] += e->low <= t && t <= e->high;
        covered[k][1] += e->bca_low <= t && t <= e->bca_high;
    }
out:
    tap_free(values);
    tap_free(rows);
    tap_free(spare);
    tap_stats_plan_clear(&plan);
    return status;
}

/* Both averages of one experiment, by the functions that `stats` uses; false if it failed. */
static bool cover_one(int64_t covered[TAP_N_AVERAGES][N_KINDS][2], int64_t run)
{
    const synthetic s = {.n_images = n_images,
                         .n_objects = 3,
                         .n_labels = 2,
                         .n_depths = 1,
                         .least = 1,
                         .most = 4,
                         .n_candidates = 65536.0,
                         .seed = (uint64_t)(run + first_seed),
                         .n_resamples = is_full ? 1000 : 500,
                         .log2_rank = noisy_log2};
    tap_stats_data data = {0};
    tap_error err = {0};
    bool good = synthetic_make(&data, &s) == TAP_OK;
    for (int a = 0; a < TAP_N_AVERAGES; a++)
        good = good && cover_average(covered[a], &data, (tap_average)a, &err) == TAP_OK;
    tap_stats_data_clear(&data);
    return good;
}

static void test_coverage(void **state)
{
    (void)state;
    int64_t covered[TAP_N_AVERAGES][N_KINDS][2] = {{{0}}}, n_failed = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : covered, n_failed)
    for (int64_t run = 0; run < n_simulations; run++)
        n_failed += !cover_one(covered, run);
    assert_int_equal(n_failed, 0);
    for (int a = 0; a < TAP_N_AVERAGES; a++)
        for (int k = 0; k < N_KINDS; k++)
            for (int b = 0; b < 2; b++) {
                char what[80];
                (void)snprintf(what, sizeof what, "%s, %s, %s", KINDS[k].name,
                               tap_average_name((tap_average)a),
                               b ? "BCa" : "percentile");
                assert_rate(what, covered[a][k][b], n_simulations, 0.93, 0.97);
            }
    assert_int_equal(n_bad, 0);
}

/* ---- p-values ---- */

/* Two conditions whose noise is exchangeable: nothing differs but by chance. Depths share
 * most of an image's noise. */
static double equal_log2(const synthetic *s, int64_t image, int64_t item, int condition,
                         int32_t depth)
{
    const double u = synthetic_random(s, SYNTHETIC_IMAGE, image, condition);
    const double w =
        synthetic_random(s, SYNTHETIC_IMAGE, image, 100 + condition * 10 + depth);
    const double e = synthetic_random(s, SYNTHETIC_ITEM, item, condition * 10 + depth);
    return 1.0 + 6.0 * u * u + 2.0 * w + 3.0 * e;
}

enum { P_FLIP, P_WILCOXON, P_MCNEMAR, P_MAX, N_P };

static void test_p_values(void **state)
{
    (void)state;
    static const char *const NAMES[N_P] = {"p by sign flips", "p by Wilcoxon",
                                           "p by clustered McNemar, hit@10",
                                           "smallest p over depths, by the maximum"};
    double *p[N_P];
    for (int k = 0; k < N_P; k++) {
        p[k] = calloc((size_t)n_simulations, sizeof *p[k]);
        assert_non_null(p[k]);
    }
    int64_t outside = 0;
    for (int64_t run = 0; run < n_simulations; run++) {
        const synthetic s = {.n_images = 60,
                             .n_objects = 2,
                             .n_labels = 2,
                             .n_depths = 5,
                             .least = 1,
                             .most = 5,
                             .n_candidates = 65536.0,
                             .seed = (uint64_t)run + 1000001,
                             .log2_rank = equal_log2};
        tap_stats_data data;
        tap_tests tests;
        tap_error err = {0};
        assert_int_equal(synthetic_make(&data, &s), TAP_OK);
        if (tap_tests_run(&tests, &data, is_full ? 2000 : 500, (uint64_t)run, 0.95, 1,
                          &err) != TAP_OK)
            fail_msg("%s", err.message);
        p[P_FLIP][run] = tests.tests[0].p_flip;
        p[P_WILCOXON][run] = tests.tests[0].p_wilcoxon;
        p[P_MCNEMAR][run] = tests.tests[0].p_mcnemar[2];
        p[P_MAX][run] = 1.0;
        bool out = false;
        for (int32_t d = 0; d < tests.n_depths; d++) {
            p[P_MAX][run] = fmin(p[P_MAX][run], tests.curve[d].p_max);
            out |= fabs(tests.curve[d].mean) > tests.curve[d].null_band;
        }
        outside += out;
        tap_tests_clear(&tests);
        tap_stats_data_clear(&data);
    }
    for (int k = 0; k < N_P; k++) {
        assert_uniform(NAMES[k], p[k], n_simulations);
        free(p[k]);
    }
    assert_rate("a depth beyond the 95 % band by chance", outside, n_simulations, 0.035,
                0.065);
    assert_int_equal(n_bad, 0);
}

/* ---- the null ---- */

static void test_null(void **state)
{
    (void)state;
    static const int64_t SIZES[] = {1, 3, 9, 40};

    enum { N = 2000 };

    const int64_t n_draws = is_full ? 400000 : 40000;
    for (size_t k = 0; k < sizeof SIZES / sizeof SIZES[0]; k++) {
        double logs = 0.0, squares = 0.0;
        int64_t at_most = 0;
        const int64_t middle = 1 + (int64_t)(0.4 * N / (double)SIZES[k]);
        for (int64_t i = 0; i < n_draws; i++) {
            uint32_t best = N, words[4] = {0};
            for (int64_t j = 0; j < SIZES[k]; j++) {
                const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(j / 4),
                                             (uint32_t)k, 7};
                if (j % 4 == 0)
                    tap_philox(words, counter, 11);
                const uint32_t rank = 1 + tap_random_below(words[j % 4], N);
                best = rank < best ? rank : best;
            }
            const double l = log2((double)best);
            logs += l;
            squares += l * l;
            at_most += best <= middle;
        }
        const double mean = logs / (double)n_draws;
        const double error =
            sqrt((squares / (double)n_draws - mean * mean) / (double)n_draws);
        const double expected = tap_null_log2(N, SIZES[k]);
        const double share = tap_null_cdf(N, SIZES[k], (double)middle);
        const double found = (double)at_most / (double)n_draws;
        if (is_full)
            print_message("best of %2lld evenly drawn ranks of %d: mean log2 %.4f, by "
                          "formula %.4f; share up to %lld %.4f, by formula %.4f\n",
                          (long long)SIZES[k], N, mean, expected, (long long)middle,
                          found, share);
        assert_true(fabs(mean - expected) < 4.0 * error);
        assert_true(fabs(found - share) <
                    4.0 * sqrt(share * (1.0 - share) / (double)n_draws));
    }
}

int main(void)
{
    const char *asked = getenv("SIMULATIONS");
    is_full = asked != NULL;
    const char *seed = getenv("SEED");
    const char *images = getenv("IMAGES");
    first_seed = seed ? strtol(seed, NULL, 10) : 1;
    n_images = images ? strtol(images, NULL, 10) : is_full ? 300 : 90;
    if (getenv("ONLY"))
        cmocka_set_test_filter(getenv("ONLY"));
    n_simulations = is_full ? strtol(asked, NULL, 10) : 150;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_p_values),
        cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests_name("simulation", tests, NULL, NULL);
}

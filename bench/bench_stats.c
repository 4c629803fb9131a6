/* How long do 10 000 resamples take? 5 000 parts in 1 000 images, 4 conditions, 33 depths, 4
 * metrics: micro means with percentile intervals alone (the product), and everything that
 * stats gives: macro and micro, BCa, R, R_V, CI, I. Memory beside the ranks is printed too.
 *
 *   bench_stats [THREADS]      default 2 */
#include "../tests/support/synthetic.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double log2_rank(const synthetic *s, int64_t image, int64_t item, int condition,
                        int32_t depth)
{
    (void)image;
    const double e = synthetic_random(s, SYNTHETIC_ITEM, item, condition * 64 + depth);
    return 1.0 + 0.8 * condition + 10.0 * e * e;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_mib(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

/* Micro means of all columns, metric by metric. */
static tap_status run_micro(const tap_stats_data *d, int n_threads)
{
    static const tap_metric METRICS[] = {TAP_METRIC_LOG_RANK, TAP_METRIC_MRR,
                                         TAP_METRIC_HIT1, TAP_METRIC_HIT10};
    tap_stats_plan plan = {0};
    const int64_t n_columns = TAP_N_CELLS * d->n_depths;
    double *values = NULL;
    tap_estimate *out = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&values, (size_t)n_columns,
                          (size_t)d->n_items * sizeof *values, "", NULL));
    TAP_TRY_OUT(tap_alloc(&out, (size_t)n_columns, sizeof *out, "", NULL));
    TAP_TRY_OUT(
        tap_stats_plan_init(&plan, d, TAP_MICRO, NULL, 10000, 1, n_threads, NULL));
    for (size_t m = 0; m < sizeof METRICS / sizeof METRICS[0]; m++) {
        for (int64_t i = 0; i < n_columns * d->n_items; i++)
            values[i] = tap_metric_value(METRICS[m], d->best[i], 16.0);
        TAP_TRY_OUT(tap_stats_plan_means(out, values, n_columns, &plan, 0.95, NULL));
    }
out:
    tap_stats_plan_clear(&plan);
    tap_free(values);
    tap_free(out);
    return status;
}

int main(int argc, char **argv)
{
    const int n_threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
    const synthetic s = {.n_images = 1000,
                         .n_objects = 20,
                         .n_labels = 5,
                         .n_depths = 33,
                         .least = 5,
                         .most = 5,
                         .n_candidates = 65536.0,
                         .seed = 1,
                         .n_resamples = 10000,
                         .metrics = {[TAP_METRIC_LOG_RANK] = true,
                                     [TAP_METRIC_MRR] = true,
                                     [TAP_METRIC_HIT1] = true,
                                     [TAP_METRIC_HIT10] = true},
                         .log2_rank = log2_rank};
    tap_stats_data data;
    tap_error err = {0};
    if (synthetic_make(&data, &s) != TAP_OK)
        return 1;
    const double before = peak_mib();
    double start = seconds();
    if (run_micro(&data, n_threads) != TAP_OK)
        return 1;
    printf("%lld parts, %lld images, 4 conditions x 33 depths x 4 metrics, 10 000 "
           "resamples, %d threads\n"
           "micro means and their intervals      %6.2f s, peak %4.0f MiB beside the "
           "ranks\n",
           (long long)data.n_items, (long long)data.n_images, n_threads,
           seconds() - start, peak_mib() - before);
    start = seconds();
    tap_stats *stats = NULL;
    const tap_stats_options options = {
        .n_threads = n_threads, .n_resamples = -1, .seed = -1};
    if (tap_stats_compute(&stats, &data, &options, &err) != TAP_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("macro, micro, BCa, design, tests      %6.2f s, peak %4.0f MiB beside the "
           "ranks\n",
           seconds() - start, peak_mib() - before);
    tap_stats_free(stats);
    return 0;
}

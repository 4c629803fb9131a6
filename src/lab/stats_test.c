#include "lab/stats_test.h"

#include "base/philox.h"
#include "lab/stats_interval.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    EXACT_FLIP_LIMIT = 20,     /* images up to which all flips may be enumerated */
    EXACT_WILCOXON_LIMIT = 50, /* values up to which all signs are counted */
    STREAM_FLIPS = 2           /* streams 0 and 1 draw images */
};

/* Sums equal but for rounding count as equal. */
static bool reaches(double value, double bound)
{
    return value >= bound * (1.0 - 1e-12);
}

/* z of the flipped means, [n_depths]: |sum of signs x| / sqrt(sum x^2). */
static void flip_once(double *z, const double *x, const double *scale, int64_t n,
                      int32_t n_depths, int64_t flip, bool exact, uint64_t seed)
{
    uint32_t words[4] = {0};
    for (int32_t d = 0; d < n_depths; d++)
        z[d] = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!exact && i % 128 == 0) {
            const uint32_t counter[4] = {(uint32_t)(i / 128), (uint32_t)flip,
                                         STREAM_FLIPS, 0};
            tap_philox(words, counter, seed);
        }
        const bool minus = exact ? flip >> i & 1 : words[i % 128 / 32] >> (i % 32) & 1;
        const double sign = minus ? -1.0 : 1.0;
        const double *x_i = x + i * n_depths;
        for (int32_t d = 0; d < n_depths; d++)
            z[d] += sign * x_i[d];
    }
    for (int32_t d = 0; d < n_depths; d++)
        z[d] = fabs(z[d]) * scale[d];
}

tap_status tap_sign_flip(double *p, double *p_max, double *z_critical, bool *exact,
                         const double *x, int64_t n, int32_t n_depths, int64_t n_flips,
                         uint64_t seed, double level, int n_threads, tap_error *err)
{
    const bool all = n <= EXACT_FLIP_LIMIT && INT64_C(1) << n <= n_flips;
    const int64_t n_done = all ? INT64_C(1) << n : n_flips;
    const size_t n_d = (size_t)n_depths;
    double *largest = NULL, *scratch = NULL, *z = NULL;
    int64_t *counts = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_alloc(&largest, (size_t)n_done, sizeof *largest, "sign flips", err));
    TAP_TRY_OUT(tap_alloc(&z, 2 * n_d, sizeof *z, "sign flips", err));
    TAP_TRY_OUT(tap_alloc(&counts, 2 * n_d, sizeof *counts, "sign flips", err));
    TAP_TRY_OUT(tap_alloc(&scratch, (size_t)n_threads * n_d, sizeof *scratch,
                          "sign flips", err));
    double *scale = z + n_d;
    for (int32_t d = 0; d < n_depths; d++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t i = 0; i < n; i++) {
            sum += x[i * n_depths + d];
            squares += x[i * n_depths + d] * x[i * n_depths + d];
        }
        scale[d] = squares > 0.0 ? 1.0 / sqrt(squares) : 0.0;
        z[d] = fabs(sum) * scale[d];
    }
    int64_t *counts_max = counts + n_d;
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t flip = 0; flip < n_done; flip++) {
        double *z_b = scratch + (size_t)omp_get_thread_num() * n_d;
        flip_once(z_b, x, scale, n, n_depths, flip, all, seed);
        double most = 0.0;
        for (int32_t d = 0; d < n_depths; d++)
            most = z_b[d] > most ? z_b[d] : most;
        largest[flip] = most;
        for (int32_t d = 0; d < n_depths; d++) {
            if (reaches(z_b[d], z[d])) {
#pragma omp atomic
                counts[d]++;
            }
            if (reaches(most, z[d])) {
#pragma omp atomic
                counts_max[d]++;
            }
        }
    }
    const double add = all ? 0.0 : 1.0;
    for (int32_t d = 0; d < n_depths; d++) {
        p[d] = ((double)counts[d] + add) / ((double)n_done + add);
        p_max[d] = ((double)counts_max[d] + add) / ((double)n_done + add);
    }
    tap_sort_reals(largest, n_done);
    *z_critical = tap_quantile(largest, n_done, level);
    *exact = all;
out:
    tap_free(largest);
    tap_free(z);
    tap_free(counts);
    tap_free(scratch);
    return status;
}

/* P(W2 <= w2) where W2 is the sum of a random half of the n doubled ranks: by counting
 * subsets. Doubled, because tied values share a mean rank. */
static double signed_rank_cdf(const int64_t *ranks2, int64_t n, int64_t w2)
{
    double ways[EXACT_WILCOXON_LIMIT * (EXACT_WILCOXON_LIMIT + 1) + 1] = {1.0};
    const int64_t top = n * (n + 1);
    for (int64_t k = 0; k < n; k++)
        for (int64_t sum = top; sum >= ranks2[k]; sum--)
            ways[sum] += ways[sum - ranks2[k]];
    double below = 0.0;
    for (int64_t sum = 0; sum <= w2; sum++)
        below += ways[sum];
    return ldexp(below, -(int)n);
}

tap_status tap_wilcoxon(double *p, const double *x, int64_t n, tap_error *err)
{
    double *sizes = NULL;
    TAP_TRY(tap_alloc(&sizes, (size_t)n, sizeof *sizes, "a signed-rank test", err));
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        assert(!isnan(x[i]));
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0.0)
            sizes[m++] = fabs(x[i]);
    tap_sort_reals(sizes, m);
    double ties = 0.0;
    int64_t positive2 = 0; /* twice the sum of ranks of positive values */
    int64_t ranks2[EXACT_WILCOXON_LIMIT] = {0};
    for (int64_t begin = 0, end = 0; begin < m; begin = end) {
        for (end = begin; end < m && sizes[end] == sizes[begin]; end++)
            continue;
        const double t = (double)(end - begin);
        const int64_t rank2 = begin + 1 + end;
        ties += t * t * t - t;
        for (int64_t i = begin; i < end && i < EXACT_WILCOXON_LIMIT; i++)
            ranks2[i] = rank2;
        for (int64_t i = 0; i < n; i++)
            if (x[i] > 0.0 && x[i] == sizes[begin])
                positive2 += rank2;
    }
    tap_free(sizes);
    const int64_t all2 = m * (m + 1); /* twice the sum of all ranks */
    if (m == 0) {
        *p = (double)NAN;
    } else if (m <= EXACT_WILCOXON_LIMIT) {
        const int64_t smaller2 = 2 * positive2 < all2 ? positive2 : all2 - positive2;
        const double both = 2.0 * signed_rank_cdf(ranks2, m, smaller2);
        *p = both < 1.0 ? both : 1.0;
    } else {
        const double k = (double)m;
        const double variance = k * (k + 1.0) * (2.0 * k + 1.0) / 24.0 - ties / 48.0;
        const double off = 0.5 * (double)positive2 - 0.25 * (double)all2;
        *p = erfc(fabs(off) / sqrt(2.0 * variance));
    }
    return TAP_OK;
}

double tap_mcnemar(double *chi2, const double *gained, const double *lost,
                   const double *n_parts, int64_t n)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (gained[i] - lost[i]) / n_parts[i];
        sum += d;
        squares += d * d;
    }
    *chi2 = squares > 0.0 ? sum * sum / squares : (double)NAN;
    return squares > 0.0 ? erfc(sqrt(0.5 * *chi2)) : (double)NAN;
}

void tap_holm(double *adjusted, const double *p, int64_t n)
{
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        adjusted[i] = (double)NAN;
        left += !isnan(p[i]);
    }
    /* the smallest not yet adjusted, again and again: families are small */
    double floor = 0.0;
    for (; left > 0; left--) {
        int64_t next = -1;
        for (int64_t i = 0; i < n; i++)
            if (!isnan(p[i]) && isnan(adjusted[i]) && (next < 0 || p[i] < p[next]))
                next = i;
        assert(next >= 0);
        const double stepped = (double)left * p[next];
        floor = stepped > floor ? stepped : floor;
        adjusted[next] = floor < 1.0 ? floor : 1.0;
    }
}

/* What the tests of one pair of conditions read. */
typedef struct pair_data {
    double *x;                  /* [n_images][n_depths] */
    double *n_parts;            /* [n_images] */
    double *gained[TAP_N_HITS]; /* [n_images] hits of b that a missed */
    double *lost[TAP_N_HITS];   /* [n_images] */
    double *column, *p, *p_max; /* [n_images], [n_depths], [n_depths] */
    double *effects;            /* [n_resamples] */
    double *counts;             /* [n_images] */
    int32_t *every;             /* [n_images] 0, 1, 2 ... */
} pair_data;

static const double HITS[TAP_N_HITS] = {1.0, 5.0, 10.0, 100.0};

static void fill_pair(pair_data *t, const tap_stats_data *d, int32_t a, int32_t b)
{
    const size_t n = (size_t)d->n_images;
    memset(t->x, 0, n * (size_t)d->n_depths * sizeof *t->x);
    memset(t->n_parts, 0, n * sizeof *t->n_parts);
    for (int h = 0; h < TAP_N_HITS; h++) {
        memset(t->gained[h], 0, n * sizeof *t->gained[h]);
        memset(t->lost[h], 0, n * sizeof *t->lost[h]);
    }
    for (int64_t i = 0; i < d->n_items; i++)
        t->n_parts[d->image[i]] += 1.0;
    for (int32_t depth = 0; depth < d->n_depths; depth++) {
        const double *rank_a =
            d->best + ((int64_t)a * d->n_depths + depth) * d->n_items;
        const double *rank_b =
            d->best + ((int64_t)b * d->n_depths + depth) * d->n_items;
        for (int64_t i = 0; i < d->n_items; i++) {
            const int32_t image = d->image[i];
            t->x[(int64_t)image * d->n_depths + depth] +=
                (log2(rank_b[i]) - log2(rank_a[i])) / t->n_parts[image];
            for (int h = 0; depth == d->depth && h < TAP_N_HITS; h++) {
                const bool hit_a = rank_a[i] <= HITS[h], hit_b = rank_b[i] <= HITS[h];
                t->gained[h][image] += hit_b && !hit_a;
                t->lost[h][image] += hit_a && !hit_b;
            }
        }
    }
}

/* mean / sd of x weighted by counts; NaN when there is no spread. */
static double effect_of(const double *x, const double *counts, int64_t n)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += counts[i] * x[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += counts[i] * (x[i] - mean) * (x[i] - mean);
    return squares > 0.0 ? mean / sqrt(squares / (double)(n - 1)) : (double)NAN;
}

static tap_status run_test(tap_test *out, tap_test_point *curve, pair_data *t,
                           const tap_stats_data *d, int64_t n_resamples, uint64_t seed,
                           double level, int n_threads, tap_error *err)
{
    const int64_t n = d->n_images;
    fill_pair(t, d, out->a, out->b);
    double z_critical = 0.0;
    TAP_TRY(tap_sign_flip(t->p, t->p_max, &z_critical, &out->exact, t->x, n,
                          d->n_depths, n_resamples, seed, level, n_threads, err));
    for (int32_t depth = 0; depth < d->n_depths; depth++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t i = 0; i < n; i++) {
            const double x = t->x[i * d->n_depths + depth];
            sum += x;
            squares += x * x;
        }
        curve[depth] =
            (tap_test_point){.mean = sum / (double)n,
                             .null_band = z_critical * sqrt(squares) / (double)n,
                             .p_max = t->p_max[depth]};
    }
    for (int64_t i = 0; i < n; i++)
        t->column[i] = t->x[i * d->n_depths + d->depth];
    out->mean = curve[d->depth].mean;
    out->p_flip = t->p[d->depth];
    TAP_TRY(tap_wilcoxon(&out->p_wilcoxon, t->column, n, err));
    for (int h = 0; h < TAP_N_HITS; h++)
        out->p_mcnemar[h] =
            tap_mcnemar(&out->chi2[h], t->gained[h], t->lost[h], t->n_parts, n);

    const int32_t first[2] = {0, (int32_t)n};
    const tap_draws draws = {.n_images = n,
                             .order = t->every,
                             .first = first,
                             .n_strata = 1,
                             .n_resamples = n_resamples,
                             .seed = seed};
    tap_draws_counts(t->counts, &draws, 0);
    out->effect = effect_of(t->column, t->counts, n);
    int64_t n_effects = 0;
    for (int64_t b = 0; b < n_resamples; b++) {
        tap_draws_counts(t->counts, &draws, 1 + n + b);
        const double effect = effect_of(t->column, t->counts, n);
        if (isfinite(effect))
            t->effects[n_effects++] = effect;
    }
    tap_sort_reals(t->effects, n_effects);
    out->effect_low = tap_quantile(t->effects, n_effects, 0.5 * (1.0 - level));
    out->effect_high = tap_quantile(t->effects, n_effects, 0.5 * (1.0 + level));
    return TAP_OK;
}

static tap_status init_pair(pair_data *t, const tap_stats_data *d, int64_t n_resamples,
                            tap_error *err)
{
    const size_t n = (size_t)d->n_images, n_depths = (size_t)d->n_depths;
    TAP_TRY(tap_alloc(&t->x, n * n_depths, sizeof *t->x, "tests", err));
    TAP_TRY(tap_alloc(&t->n_parts, n, sizeof *t->n_parts, "tests", err));
    TAP_TRY(tap_alloc(&t->column, n, sizeof *t->column, "tests", err));
    TAP_TRY(tap_alloc(&t->counts, n, sizeof *t->counts, "tests", err));
    TAP_TRY(tap_alloc(&t->every, n, sizeof *t->every, "tests", err));
    TAP_TRY(tap_alloc(&t->p, n_depths, sizeof *t->p, "tests", err));
    TAP_TRY(tap_alloc(&t->p_max, n_depths, sizeof *t->p_max, "tests", err));
    TAP_TRY(
        tap_alloc(&t->effects, (size_t)n_resamples, sizeof *t->effects, "tests", err));
    for (int h = 0; h < TAP_N_HITS; h++) {
        TAP_TRY(tap_alloc(&t->gained[h], n, sizeof *t->gained[h], "tests", err));
        TAP_TRY(tap_alloc(&t->lost[h], n, sizeof *t->lost[h], "tests", err));
    }
    for (size_t i = 0; i < n; i++)
        t->every[i] = (int32_t)i;
    return TAP_OK;
}

static void clear_pair(pair_data *t)
{
    tap_free(t->x);
    tap_free(t->n_parts);
    tap_free(t->column);
    tap_free(t->counts);
    tap_free(t->every);
    tap_free(t->p);
    tap_free(t->p_max);
    tap_free(t->effects);
    for (int h = 0; h < TAP_N_HITS; h++) {
        tap_free(t->gained[h]);
        tap_free(t->lost[h]);
    }
}

/* The family of tests; returns how many. */
static int32_t list_tests(tap_test *tests, const tap_stats_data *d)
{
    int32_t n = 0;
    const int32_t reference = d->has_design ? d->design[TAP_S11] : 0;
    for (int32_t c = 0; c < d->n_conditions; c++)
        if (c != reference)
            tests[n++] = (tap_test){.a = reference, .b = c};
    if (d->has_design) {
        tests[n++] = (tap_test){.a = d->design[TAP_S10], .b = d->design[TAP_S00]};
        tests[n++] = (tap_test){.a = d->design[TAP_S01], .b = d->design[TAP_S00]};
    }
    return n;
}

tap_status tap_tests_run(tap_tests *out, const tap_stats_data *data,
                         int64_t n_resamples, uint64_t seed, double level,
                         int n_threads, tap_error *err)
{
    tap_tests t = {.n_depths = data->n_depths};
    pair_data pair = {0};
    double *p = NULL, *adjusted = NULL;
    const size_t most = (size_t)data->n_conditions + 2;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&t.tests, most, sizeof *t.tests, "tests", err));
    TAP_TRY_OUT(tap_alloc(&t.curve, most * (size_t)data->n_depths, sizeof *t.curve,
                          "tests", err));
    TAP_TRY_OUT(tap_alloc(&p, most, sizeof *p, "tests", err));
    TAP_TRY_OUT(tap_alloc(&adjusted, most, sizeof *adjusted, "tests", err));
    TAP_TRY_OUT(init_pair(&pair, data, n_resamples, err));
    t.n_tests = list_tests(t.tests, data);
    for (int32_t i = 0; i < t.n_tests; i++) {
        TAP_TRY_OUT(run_test(&t.tests[i], t.curve + (int64_t)i * data->n_depths, &pair,
                             data, n_resamples, seed, level, n_threads, err));
        p[i] = t.tests[i].p_flip;
    }
    tap_holm(adjusted, p, t.n_tests);
    for (int32_t i = 0; i < t.n_tests; i++)
        t.tests[i].p_holm = adjusted[i];
out:
    clear_pair(&pair);
    tap_free(p);
    tap_free(adjusted);
    if (status == TAP_OK)
        *out = t;
    else
        tap_tests_clear(&t);
    return status;
}

void tap_tests_clear(tap_tests *tests)
{
    tap_free(tests->tests);
    tap_free(tests->curve);
    *tests = (tap_tests){0};
}

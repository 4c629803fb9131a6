#include "lab/stats_interval.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double tap_normal_cdf(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

/* Starts from a rational guess good to 5e-4 (Abramowitz and Stegun 26.2.23) and improves it
 * by Halley steps, each of which triples the good digits. */
double tap_normal_quantile(double p)
{
    if (!(p > 0.0 && p < 1.0))
        return p == 0.0 ? (double)-INFINITY : p == 1.0 ? (double)INFINITY : (double)NAN;
    const bool upper = p > 0.5;
    const double tail = upper ? 1.0 - p : p;
    const double t = sqrt(-2.0 * log(tail));
    double z = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                         (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
    const double scale = sqrt(2.0 * 3.14159265358979323846);
    for (int i = 0; i < 4; i++) {
        const double off = (tap_normal_cdf(z) - tail) * scale * exp(0.5 * z * z);
        z -= off / (1.0 + 0.5 * z * off);
    }
    return upper ? -z : z;
}

double tap_quantile(const double *sorted, int64_t n, double p)
{
    if (n == 0 || isnan(p))
        return (double)NAN;
    const double place = p * (double)(n - 1);
    const int64_t below = (int64_t)place;
    if (below >= n - 1)
        return sorted[n - 1];
    const double part = place - (double)below;
    return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

static int compare_reals(const void *a, const void *b)
{
    double left = 0.0, right = 0.0;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return (left > right) - (left < right);
}

void tap_sort_reals(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare_reals);
}

/* Acceleration from the leave-one-out rows; 0 when nothing varies, NaN when a row has no
 * value. */
static double acceleration(const double *without, const tap_draws *draws)
{
    double cubes = 0.0, squares = 0.0;
    for (int32_t s = 0; s < draws->n_strata; s++) {
        const int32_t begin = draws->first[s], end = draws->first[s + 1];
        const double n = (double)(end - begin);
        double mean = 0.0, cube = 0.0, square = 0.0;
        for (int32_t i = begin; i < end; i++)
            mean += without[draws->order[i]];
        mean /= n;
        for (int32_t i = begin; i < end; i++) {
            const double u = (n - 1.0) * (mean - without[draws->order[i]]);
            square += u * u;
            cube += u * u * u;
        }
        squares += square / (n * n);
        cubes += cube / (n * n * n);
    }
    if (squares == 0.0)
        return 0.0;
    return cubes / (6.0 * squares * sqrt(squares));
}

tap_estimate tap_interval_run(const double *rows, const tap_draws *draws, double level,
                              double *scratch)
{
    tap_estimate out = {.value = rows[0],
                        .low = (double)NAN,
                        .high = (double)NAN,
                        .bca_low = (double)NAN,
                        .bca_high = (double)NAN};
    const double *resamples = rows + 1 + draws->n_images;
    int64_t n = 0;
    for (int64_t b = 0; b < draws->n_resamples; b++)
        if (isfinite(resamples[b]))
            scratch[n++] = resamples[b];
    if (draws->n_resamples > 0)
        out.undefined = 1.0 - (double)n / (double)draws->n_resamples;
    if (n == 0 || !isfinite(out.value))
        return out;
    tap_sort_reals(scratch, n);
    const double tail = 0.5 * (1.0 - level);
    out.low = tap_quantile(scratch, n, tail);
    out.high = tap_quantile(scratch, n, 1.0 - tail);
    /* binary searches for the numbers below and not above the estimate; a resample that
     * equals it but for rounding counts half */
    const double slack = 1e-12 * (1.0 + fabs(out.value));
    int64_t below = 0, not_above = 0;
    for (int64_t low = 0, high = n; low < high;) {
        const int64_t mid = low + (high - low) / 2;
        if (scratch[mid] < out.value - slack)
            below = low = mid + 1;
        else
            high = mid;
    }
    for (int64_t low = 0, high = n; low < high;) {
        const int64_t mid = low + (high - low) / 2;
        if (scratch[mid] <= out.value + slack)
            not_above = low = mid + 1;
        else
            high = mid;
    }
    const double z0 =
        tap_normal_quantile((double)(below + not_above) / (2.0 * (double)n));
    const double a = acceleration(rows + 1, draws);
    const double z = tap_normal_quantile(tail);
    if (!isfinite(z0) || !isfinite(a))
        return out;
    const double low = z0 + z, high = z0 - z;
    const double p_low = tap_normal_cdf(z0 + low / (1.0 - a * low));
    const double p_high = tap_normal_cdf(z0 + high / (1.0 - a * high));
    out.bca_low = tap_quantile(scratch, n, p_low);
    out.bca_high = tap_quantile(scratch, n, p_high);
    return out;
}

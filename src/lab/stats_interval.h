/* How sure is a number? Intervals from its resamples.
 *
 * Values come as rows (stats_resample.h): the estimate, the estimate without each image,
 * then the bootstrap. A row that has no value is NaN and counts as undefined. */
#ifndef TAP_LAB_STATS_INTERVAL_H
#define TAP_LAB_STATS_INTERVAL_H

#include "lab/stats_resample.h"

/* A number with its intervals. NaN is NA: there is no number, and `na` says why. */
typedef struct tap_estimate {
    double value;
    double low, high;         /* percentile interval */
    double bca_low, bca_high; /* bias-corrected and accelerated */
    double undefined;         /* share of resamples without a value */
    const char *na;           /* NULL, or a static text */
} tap_estimate;

/* Standard normal distribution and its inverse. */
double tap_normal_cdf(double z);
double tap_normal_quantile(double p);

/* Quantile p of n sorted values, linear between neighbours; NaN when n = 0. */
double tap_quantile(const double *sorted, int64_t n, double p);

/* Sorts n values, none of them NaN, rising. */
void tap_sort_reals(double *values, int64_t n);

/* The estimate of rows [tap_draws_rows()], with intervals that cover `level`.
 *
 *   BCa: quantiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))),  z0 = Phi^-1(share below value),
 *   a = 1/6 sum_h n_h^-3 sum U^3 / (sum_h n_h^-2 sum U^2)^(3/2),
 *   U = (n_h - 1)(mean of stratum's leave-one-out values - leave-one-out value)
 *
 * scratch [n_resamples]. Memory: allocates nothing.  Threads: safe.
 * Source:  Efron 1987; strata as in Davison and Hinkley 1997, section 5.3.2.
 * Checked: test_stats.c, against numpy and SciPy. */
tap_estimate tap_interval_run(const double *rows, const tap_draws *draws, double level,
                              double *scratch);

#endif

/* Could such a difference be chance? Paired tests between conditions, image by image.
 *
 * The unit is the image: x_i = mean over its parts of log2 rank under b minus under a, so a
 * positive mean says that b ranks worse. */
#ifndef TAP_LAB_STATS_TEST_H
#define TAP_LAB_STATS_TEST_H

#include "lab/stats_data.h"

/* How many of the sign flips of x give a mean at least as far from 0.
 *
 *   p = (1 + #{|m_b| >= |m|}) / (1 + n_flips), or exact over all 2^n flips when these are
 *   no more than n_flips (and n <= 20)
 *
 * max over depths: the same for z_d = m_d / sqrt(sum x_d^2) / n, largest over depths.
 *
 * x        [n][n_depths]
 * p, p_max [n_depths]; z_critical: quantile `level` of the largest |z|.
 *
 * Errors: TAP_ENOMEM.  Threads: the numbers do not depend on n_threads.
 * Checked: test_stats_test.c, against an own loop in Python and by simulation. */
TAP_NODISCARD tap_status tap_sign_flip(double *p, double *p_max, double *z_critical,
                                       bool *exact, const double *x, int64_t n,
                                       int32_t n_depths, int64_t n_flips, uint64_t seed,
                                       double level, int n_threads, tap_error *err);

/* Two-sided Wilcoxon signed-rank p of x [n], zeros left out: exact up to 50 values, also
 * with ties; else normal with ties corrected, no continuity correction; NaN when nothing is
 * left.
 * Checked: against SciPy. */
TAP_NODISCARD tap_status tap_wilcoxon(double *p, const double *x, int64_t n,
                                      tap_error *err);

/* McNemar's test for parts clustered in images: d_k = (gained_k - lost_k) / n_parts_k,
 * chi2 = (sum d_k)^2 / sum d_k^2 with one degree of freedom. p is NaN if nothing changed.
 * Source: Durkalski et al. 2003. */
double tap_mcnemar(double *chi2, const double *gained, const double *lost,
                   const double *n_parts, int64_t n);

/* Holm's adjusted p of a family; NaN stays NaN and does not count. */
void tap_holm(double *adjusted, const double *p, int64_t n);

enum { TAP_N_HITS = 4 }; /* hit@1, 5, 10, 100 */

typedef struct tap_test {
    int32_t a, b;                           /* conditions */
    double mean;                            /* of x at the depth of the words */
    double effect, effect_low, effect_high; /* mean / sd, bootstrap over images */
    double p_flip;
    bool exact;
    double p_holm; /* of p_flip over all tests of the database */
    double p_wilcoxon;
    double chi2[TAP_N_HITS], p_mcnemar[TAP_N_HITS];
} tap_test;

typedef struct tap_test_point {
    double mean;      /* of x at this depth */
    double null_band; /* |mean| beyond it is beyond chance at any of the depths */
    double p_max;     /* adjusted for all depths */
} tap_test_point;

typedef struct tap_tests {
    int32_t n_tests, n_depths;
    tap_test *tests;       /* [n_tests] */
    tap_test_point *curve; /* [n_tests][n_depths] */
} tap_tests;

/* The family: the first condition (of a design: clean) against each other one, and with a
 * design also decoder off against both off and encoder off against both off.
 *
 * Errors: TAP_ENOMEM.   tap_tests_clear it. */
TAP_NODISCARD tap_status tap_tests_run(tap_tests *out, const tap_stats_data *data,
                                       int64_t n_resamples, uint64_t seed, double level,
                                       int n_threads, tap_error *err);
void tap_tests_clear(tap_tests *tests);

#endif

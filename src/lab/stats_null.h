/* What would chance give? The smallest of n ranks drawn evenly from 1 .. N. */
#ifndef TAP_LAB_STATS_NULL_H
#define TAP_LAB_STATS_NULL_H

#include <stdint.h>

/* P(min <= r) = 1 - (1 - r/N)^n for whole r in 0 .. N. */
double tap_null_cdf(double n_candidates, int64_t n, double r);

/* E[log2 min] under it: sum over r of (log2(r+1) - log2 r) (1 - r/N)^n.
 * Checked: test_stats.c, against numpy and by simulation. */
double tap_null_log2(double n_candidates, int64_t n);

#endif

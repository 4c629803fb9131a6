/* What follows from the ranks: scores, compensation, and how sure they are.
 *
 * Reads the database alone; no model and no image is needed. For every average (macro over
 * categories of object class and label; micro over parts), metric and depth:
 *
 *   cells   s of every condition
 *   d0 = s10 - s00   damage of the encoder cut's absence ... see TAP_Q_ below
 *
 * All resamples are the same for every condition, depth and metric: micro draws images,
 * macro draws them within strata of object classes. */
#ifndef TAP_LAB_STATS_H
#define TAP_LAB_STATS_H

#include "lab/stats_data.h"
#include "lab/stats_interval.h"

typedef enum tap_average { TAP_MACRO, TAP_MICRO, TAP_N_AVERAGES } tap_average;

/* What a 2x2 design says, with s11 clean, s01 encoder off, s10 decoder off, s00 both off. */
typedef enum tap_quantity {
    TAP_Q_DEFICIT, /* s11 - s00: what both cuts cost */
    TAP_Q_D0,      /* s10 - s00: what the encoder cut costs without the decoder */
    TAP_Q_D1,      /* s11 - s01: what it costs with the decoder */
    TAP_Q_I,       /* s01 + s10 - s00 - s11: interaction; > 0: substitutes */
    TAP_Q_R,       /* (s01 - s00) / (s11 - s00): recovered by the decoder alone */
    TAP_Q_RV,      /* (s10 - s00) / (s11 - s00): the same of the encoder alone */
    TAP_Q_CI,      /* 1 - d1 / d0: damage that disappears with the decoder */
    TAP_N_QUANTITIES
} tap_quantity;

const char *tap_average_name(tap_average average);    /* "macro", "micro" */
const char *tap_quantity_name(tap_quantity quantity); /* "R", "CI", ... */

typedef struct tap_stats_options {
    int n_threads;       /* 0: all processors */
    double level;        /* of the intervals; 0: 0.95 */
    double delta;        /* smallest denominator of S for ratios; 0: 0.02 */
    int64_t n_resamples; /* < 0: as the database says */
    int64_t seed;        /* < 0: as the database says */
} tap_stats_options;

/* A curve of S over doses, at the depth of the words. */
typedef struct tap_dose_result {
    tap_estimate area; /* mean of S over the range of doses (trapezoids) */
    tap_estimate half; /* dose where S has lost half of first minus last */
} tap_dose_result;

typedef struct tap_stats {
    tap_stats_data data;
    double level, delta;
    int64_t n_resamples;
    int32_t n_metrics;
    tap_metric metrics[TAP_N_METRICS]; /* [n_metrics] that were computed */
    tap_estimate *cells; /* [averages][n_metrics][n_depths][n_conditions] */
    tap_estimate
        *design; /* [averages][n_metrics][n_depths][TAP_N_QUANTITIES], or NULL */
    tap_dose_result *doses;  /* [n_doses] macro */
    tap_estimate *dose_gaps; /* [n_doses][n_doses] area of one minus area of another */
} tap_stats;

/* Everything above. Ratios are NA when their denominator's interval includes 0 or (in S)
 * its size is below delta; a resample in which the denominator has the other sign counts
 * as undefined. The identities R + R_V - 1 = I / (s11 - s00) and CI = I / d0 are checked.
 *
 * Errors:  those of tap_stats_data_read; TAP_ENOMEM.
 * Memory:  about 100 MB beside the ranks.
 * Threads: the numbers do not depend on n_threads.
 * Source:  METHOD 5.6 as docs/method.md has it.   Checked: test_stats.c, against numpy. */
TAP_NODISCARD tap_status tap_stats_run(tap_stats **out, const tap_store *store,
                                       const tap_stats_options *options,
                                       tap_error *err);
void tap_stats_free(tap_stats *stats);

/* Borrowed; metric and depth are indices into metrics and data.depths. */
const tap_estimate *tap_stats_cell(const tap_stats *stats, tap_average average,
                                   int32_t metric, int32_t depth, int32_t condition);
/* NULL without a design. */
const tap_estimate *tap_stats_quantity(const tap_stats *stats, tap_average average,
                                       int32_t metric, int32_t depth,
                                       tap_quantity quantity);
/* Index of a metric among metrics; -1 if it was not computed. */
int32_t tap_stats_find_metric(const tap_stats *stats, tap_metric metric);

#endif

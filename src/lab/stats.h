/* What follows from the ranks: scores, compensation, and how sure they are.
 *
 * Reads the database alone; no model and no image is needed. For every average (macro over
 * categories of object class and label; micro over parts), metric and depth: the score of
 * every condition and the quantities of the design; then tests, dose curves, controls and
 * strata, and a reading of all that in words.
 *
 * All resamples are the same for every condition, depth, metric, control and stratum: micro
 * draws images, macro draws them within strata of object classes. */
#ifndef TAP_LAB_STATS_H
#define TAP_LAB_STATS_H

#include "lab/stats_control.h"
#include "lab/stats_design.h"
#include "lab/stats_locate.h"
#include "lab/stats_test.h"

const char *tap_average_name(tap_average average); /* "macro", "micro" */

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
    int64_t n_resamples, seed;
    int32_t n_metrics;
    tap_metric metrics[TAP_N_METRICS]; /* [n_metrics] that were computed */
    tap_estimate *cells; /* [averages][n_metrics][n_depths][n_conditions] */
    tap_estimate
        *design; /* [averages][n_metrics][n_depths][TAP_N_QUANTITIES], or NULL */
    tap_estimate *areas; /* [n_conditions] macro: mean of S over the range of depths */
    tap_dose_result *doses;  /* [n_doses] macro */
    tap_estimate *dose_gaps; /* [n_doses][n_doses] area of one minus area of another */
    double uniform_s;        /* macro S of the best of n evenly drawn ranks */
    tap_tests tests;
    tap_control_results controls;
    tap_located_results located;
    tap_strata strata;
} tap_stats;

/* Everything above.
 *
 * Errors:  those of tap_stats_data_read; TAP_ENOMEM.
 * Memory:  about 100 MB beside the ranks.
 * Threads: the numbers do not depend on n_threads.
 * Source:  METHOD 5.6 as docs/method.md has it.   Checked: test_stats.c, against numpy. */
TAP_NODISCARD tap_status tap_stats_run(tap_stats **out, const tap_store *store,
                                       const tap_stats_options *options,
                                       tap_error *err);
/* The same of data that was read or made before, without controls and without what was
 * located; *data is taken over, also on failure. */
TAP_NODISCARD tap_status tap_stats_compute(tap_stats **out, tap_stats_data *data,
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

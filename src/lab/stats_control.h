/* How do the parts stand against their controls, and does it depend on where they are?
 *
 * Both average a choice of items; they use the resamples of the whole data. All macro, at the
 * depth of the words unless said otherwise. */
#ifndef TAP_LAB_STATS_CONTROL_H
#define TAP_LAB_STATS_CONTROL_H

#include "lab/stats_design.h"

/* One control under one condition, over the items that have it. A control with several
 * draws per item counts with their mean. */
typedef struct tap_control_result {
    tap_control control;
    int32_t condition;
    int64_t n_items, n_images;
    tap_estimate score[TAP_N_METRICS]; /* of the control; medians are left out */
    tap_estimate gap[TAP_N_METRICS];   /* of the parts minus the control, same items */
    tap_estimate percentile; /* share of a part's draws that rank worse, ties half */
    double *curve;           /* [2][n_depths] S of the control, then of the parts */
} tap_control_result;

typedef struct tap_control_results {
    tap_control_result *results; /* [n], by control, then condition */
    size_t n, capacity;
} tap_control_results;

/* What intervals are made with. */
typedef struct tap_stats_settings {
    int64_t n_resamples, seed;
    double level, delta;
    int n_threads;
} tap_stats_settings;

/* Every control that the database holds.
 * Errors: TAP_EIO, TAP_EFORMAT, TAP_ENOMEM.   tap_control_results_clear it. */
TAP_NODISCARD tap_status tap_control_results_run(tap_control_results *out,
                                                 const tap_stats_data *data,
                                                 const tap_store *store,
                                                 const tap_stats_settings *settings,
                                                 tap_error *err);
void tap_control_results_clear(tap_control_results *results);

/* S of a choice of items. */
typedef struct tap_stratum {
    const char *by, *name; /* "place": "top", "middle", "bottom" third in reading order;
                              "size": "1", "2-3", "4-7", "8-15", "16+" patches */
    int64_t n_items, n_images;
    tap_estimate *score;                   /* [n_conditions] */
    tap_estimate design[TAP_N_QUANTITIES]; /* of S; without a design all NA */
} tap_stratum;

typedef struct tap_strata {
    tap_stratum *strata; /* [n] those that have items */
    size_t n, capacity;
} tap_strata;

TAP_NODISCARD tap_status tap_strata_run(tap_strata *out, const tap_stats_data *data,
                                        const tap_stats_settings *settings,
                                        tap_error *err);
void tap_strata_clear(tap_strata *strata);

#endif

/* Which items are averaged, and how images are drawn: what every mean and resample of one
 * average is made with. */
#ifndef TAP_LAB_STATS_PLAN_H
#define TAP_LAB_STATS_PLAN_H

#include "lab/stats_data.h"
#include "lab/stats_interval.h"

typedef enum tap_average { TAP_MACRO, TAP_MICRO, TAP_N_AVERAGES } tap_average;

typedef struct tap_stats_plan {
    const tap_stats_data *data; /* borrowed */
    int64_t n_used;             /* items that are averaged */
    int32_t n_used_images;      /* images they are in */
    tap_stat_cells cells;
    tap_draws draws;
    int32_t *cell_of_item; /* [n_items], -1: not used */
    int32_t *by_category;  /* [n_used] items by category, then image */
    int32_t *first;        /* [n_categories + 1] into by_category */
    int n_threads;
    int32_t *image, *category; /* [n_cells] of cells */
    double *n_parts;           /* [n_cells] */
    int32_t *every, whole[2];  /* the one stratum of micro */
} tap_stats_plan;

/* use [n_items]: 0 for items that are left out; NULL: all are averaged. Images are drawn
 * from all of the data, so that the same resamples serve every choice of items.
 * Errors: TAP_ENOMEM.   tap_stats_plan_clear it. */
TAP_NODISCARD tap_status tap_stats_plan_init(tap_stats_plan *out,
                                             const tap_stats_data *data,
                                             tap_average average, const uint8_t *use,
                                             int64_t n_resamples, int64_t seed,
                                             int n_threads, tap_error *err);
void tap_stats_plan_clear(tap_stats_plan *plan);

/* The value of a rank: higher is better but for TAP_METRIC_MEDIAN. */
double tap_metric_value(tap_metric metric, double rank, double log2_n);

/* rows [n_columns][n_rows] of the means of values [n_columns][n_items].
 * Threads: the numbers do not depend on how many. */
TAP_NODISCARD tap_status tap_stats_plan_rows(double *rows, const double *values,
                                             int64_t n_columns,
                                             const tap_stats_plan *plan,
                                             tap_error *err);

/* The same as estimates [n_columns] whose intervals cover `level`. */
TAP_NODISCARD tap_status tap_stats_plan_means(tap_estimate *out, const double *values,
                                              int64_t n_columns,
                                              const tap_stats_plan *plan, double level,
                                              tap_error *err);

#endif

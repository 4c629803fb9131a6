/* The same means for one category, or for other values than the best ranks: what the rows
 * of a forest plot and the bands of controls are made of. */
#ifndef TAP_LAB_STATS_GROUP_H
#define TAP_LAB_STATS_GROUP_H

#include "lab/stats_data.h"
#include "lab/stats_interval.h"

enum { TAP_ALL_CATEGORIES = -1 };

typedef struct tap_group_options {
    int32_t category; /* TAP_ALL_CATEGORIES: mean over categories (macro) */
    int64_t n_resamples;
    uint64_t seed;
    double level;
    int n_threads;
} tap_group_options;

/* out [n_columns] from values [n_columns][n_items]: the mean over the items of a category,
 * or over all categories of their means; bootstrap over the images that have such items. An
 * item whose value is NaN in any column is left out. Without an item left, NaN.
 *
 * *n_images, *n_items (may be NULL): what was left.
 * Errors:  TAP_ENOMEM.
 * Threads: the numbers do not depend on n_threads.
 * Checked: test_stats_group.c, against tap_stats_run and by hand. */
TAP_NODISCARD tap_status tap_group_means(tap_estimate *out, int64_t *n_images,
                                         int64_t *n_items, const double *values,
                                         int64_t n_columns, const tap_stats_data *data,
                                         const tap_group_options *options,
                                         tap_error *err);

#endif

/* What would the means be with other images? Resamples as one matrix product.
 *
 * A mean over parts is linear in how often each image is drawn, once it is known how many
 * parts were drawn in all. So the values of all parts are summed once per cell (an image,
 * or an image and a category), and every resample is a vector of weights over cells:
 *
 *   v[column][row] = sum over cells of w[row][cell] x[column][cell]
 *   w[row][cell]   = c[row][image] / (K[row] N[row][category])
 *
 * c: how often the row draws the image; N: parts drawn of the category; K: categories with
 * N > 0. With one category this is the mean over parts (micro), with several the mean over
 * categories of their means (macro). Row 0 is the data as it is, rows 1 .. n_images leave
 * one image out, the rest are bootstrap resamples. */
#ifndef TAP_LAB_STATS_RESAMPLE_H
#define TAP_LAB_STATS_RESAMPLE_H

#include "base/error.h"

/* Images are drawn within their stratum, as many as it has. */
typedef struct tap_draws {
    int64_t n_images;
    const int32_t *order; /* [n_images] images, stratum by stratum */
    const int32_t *first; /* [n_strata + 1] where each stratum begins in order */
    int32_t n_strata;
    int64_t n_resamples;
    uint64_t seed;
    uint32_t stream; /* resamples for another purpose draw from another stream */
} tap_draws;

/* How many rows there are: 1 + n_images + n_resamples. */
int64_t tap_draws_rows(const tap_draws *draws);

/* counts [n_images] of a row. Depends on seed, stream and row alone. */
void tap_draws_counts(double *counts, const tap_draws *draws, int64_t row);

/* Sums over the parts of a cell. Cells are sorted by category. */
typedef struct tap_stat_cells {
    int64_t n_cells;
    const int32_t *image;    /* [n_cells] */
    const int32_t *category; /* [n_cells] < n_categories, rising */
    const double *n_parts;   /* [n_cells] */
    int32_t n_categories;
} tap_stat_cells;

/* values [n_columns][n_rows] from sums [n_columns][n_cells].
 *
 * Errors:  TAP_ENOMEM.
 * Memory:  per thread, weights of 8 rows.
 * Threads: n_threads share the rows; the bits do not depend on how many.
 * Checked: test_stats_resample.c, against plain loops. */
TAP_NODISCARD tap_status tap_resample_run(double *values, const double *sums,
                                          int64_t n_columns,
                                          const tap_stat_cells *cells,
                                          const tap_draws *draws, int n_threads,
                                          tap_error *err);

/* The same for a weighted median, which is not linear: items are sorted by value within
 * their category, and each row walks them until half of what it drew is behind. Macro is
 * the mean of the categories' medians.
 *
 * order    [n_columns][n_items] items sorted by (category, value)
 * sorted   [n_columns][n_items] their values in that order
 * image    [n_items]   of each item
 * first    [n_categories + 1] where each category begins in that order */
TAP_NODISCARD tap_status tap_resample_medians(
    double *values, const int32_t *order, const double *sorted, int64_t n_columns,
    const int32_t *image, int64_t n_items, const int32_t *first, int32_t n_categories,
    const tap_draws *draws, int n_threads, tap_error *err);

#endif

#include "lab/stats_resample.h"

#include "base/memory.h"
#include "base/philox.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum { LANES = 8 }; /* rows that go through the product together */

int64_t tap_draws_rows(const tap_draws *draws)
{
    return 1 + draws->n_images + draws->n_resamples;
}

void tap_draws_counts(double *counts, const tap_draws *draws, int64_t row)
{
    const int64_t n = draws->n_images;
    assert(row >= 0 && row < tap_draws_rows(draws));
    if (row <= n) {
        for (int64_t i = 0; i < n; i++)
            counts[i] = 1.0;
        if (row > 0)
            counts[row - 1] = 0.0;
        return;
    }
    memset(counts, 0, (size_t)n * sizeof *counts);
    tap_random random = {.key = draws->seed,
                         .purpose = {(uint32_t)(row - n - 1), draws->stream}};
    for (int32_t s = 0; s < draws->n_strata; s++) {
        const int32_t begin = draws->first[s];
        const uint32_t size = (uint32_t)(draws->first[s + 1] - begin);
        for (uint32_t k = 0; k < size; k++)
            counts[draws->order[begin + (int32_t)tap_random_next(&random, size)]] +=
                1.0;
    }
    assert(random.n_drawn == n);
}

/* Doubles of a thread's piece, so that the next piece is aligned as well. */
static size_t round_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* Writes the weights of one row into its lane of w [n_cells][LANES]. */
static void put_weights(double *w, int lane, const double *counts,
                        const tap_stat_cells *cells)
{
    int64_t n_present = 0;
    for (int64_t begin = 0, end = 0; begin < cells->n_cells; begin = end) {
        double n_drawn = 0.0;
        for (end = begin;
             end < cells->n_cells && cells->category[end] == cells->category[begin];
             end++)
            n_drawn += counts[cells->image[end]] * cells->n_parts[end];
        n_present += n_drawn > 0.0;
        for (int64_t i = begin; i < end; i++)
            w[i * LANES + lane] =
                n_drawn > 0.0 ? counts[cells->image[i]] / n_drawn : 0.0;
    }
    for (int64_t i = 0; i < cells->n_cells; i++)
        w[i * LANES + lane] /= (double)n_present;
}

/* Two lanes; the compilers' own vector type, so that sums stay in registers. */
typedef double pair __attribute__((vector_size(16), may_alias));

/* out[c][lane] = sum over i of w[i][lane] x_c[i] for two columns. Each sum runs over i in
 * order, one product and one addition at a time. */
static void multiply(double out[2][LANES], const double *restrict w,
                     const double *restrict x0, const double *restrict x1, int64_t n)
{
    static_assert(LANES == 8, "four pairs");
    pair a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
    pair b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
    for (int64_t i = 0; i < n; i++) {
        const pair *w_i = (const pair *)(w + i * LANES);
        const pair a = {x0[i], x0[i]}, b = {x1[i], x1[i]};
        a0 += w_i[0] * a;
        a1 += w_i[1] * a;
        a2 += w_i[2] * a;
        a3 += w_i[3] * a;
        b0 += w_i[0] * b;
        b1 += w_i[1] * b;
        b2 += w_i[2] * b;
        b3 += w_i[3] * b;
    }
    const pair sums[2][4] = {{a0, a1, a2, a3}, {b0, b1, b2, b3}};
    memcpy(out, sums, sizeof sums);
}

/* Rows first .. first + LANES - 1 (as far as they exist) of all columns. */
static void run_group(double *values, const double *sums, int64_t n_columns,
                      const tap_stat_cells *cells, const tap_draws *draws,
                      int64_t first, double *w, double *counts)
{
    const int64_t n_rows = tap_draws_rows(draws), n_cells = cells->n_cells;
    const int n_lanes = n_rows - first < LANES ? (int)(n_rows - first) : LANES;
    memset(w, 0, (size_t)n_cells * LANES * sizeof *w);
    for (int lane = 0; lane < n_lanes; lane++) {
        tap_draws_counts(counts, draws, first + lane);
        put_weights(w, lane, counts, cells);
    }
    for (int64_t c = 0; c < n_columns; c += 2) {
        const int64_t second = c + 1 < n_columns ? c + 1 : c;
        double out[2][LANES];
        multiply(out, w, sums + c * n_cells, sums + second * n_cells, n_cells);
        for (int64_t k = c; k <= second; k++)
            memcpy(values + k * n_rows + first, out[k - c],
                   (size_t)n_lanes * sizeof *values);
    }
}

tap_status tap_resample_run(double *values, const double *sums, int64_t n_columns,
                            const tap_stat_cells *cells, const tap_draws *draws,
                            int n_threads, tap_error *err)
{
    assert(n_threads >= 1);
    const int64_t n_rows = tap_draws_rows(draws);
    const size_t stride =
        round_up((size_t)cells->n_cells * LANES + (size_t)draws->n_images);
    double *scratch = NULL;
    TAP_TRY(tap_alloc(&scratch, (size_t)n_threads * stride, sizeof *scratch,
                      "resampling weights", err));
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
    for (int64_t first = 0; first < n_rows; first += LANES) {
        double *w = scratch + (size_t)omp_get_thread_num() * stride;
        run_group(values, sums, n_columns, cells, draws, first, w,
                  w + cells->n_cells * LANES);
    }
    tap_free(scratch);
    return TAP_OK;
}

/* The median of items[begin .. end) in which item i stands counts[image[i]] times: the mean
 * of the two middle ones when their number is even. NaN when there are none. */
static double weighted_median(const int32_t *items, const double *sorted, int64_t begin,
                              int64_t end, const int32_t *image, const double *counts,
                              double n_drawn)
{
    double behind = 0.0, low = (double)NAN;
    for (int64_t i = begin; i < end; i++) {
        const double count = counts[image[items[i]]];
        if (count <= 0.0)
            continue;
        const double before = behind;
        behind += count;
        /* places (n-1)/2 and n/2, counted from 0, in whole numbers */
        if (2.0 * before <= n_drawn - 1.0 && 2.0 * behind > n_drawn - 1.0)
            low = sorted[i];
        if (2.0 * behind > n_drawn)
            return 0.5 * (low + sorted[i]);
    }
    return low;
}

tap_status tap_resample_medians(double *values, const int32_t *order,
                                const double *sorted, int64_t n_columns,
                                const int32_t *image, int64_t n_items,
                                const int32_t *first, int32_t n_categories,
                                const tap_draws *draws, int n_threads, tap_error *err)
{
    assert(n_threads >= 1);
    const int64_t n_rows = tap_draws_rows(draws);
    const size_t stride = (size_t)draws->n_images + (size_t)n_categories;
    double *scratch = NULL;
    TAP_TRY(tap_alloc(&scratch, (size_t)n_threads * stride, sizeof *scratch,
                      "resampling counts", err));
#pragma omp parallel for schedule(dynamic) num_threads(n_threads)
    for (int64_t row = 0; row < n_rows; row++) {
        double *counts = scratch + (size_t)omp_get_thread_num() * stride;
        double *n_drawn = counts + draws->n_images;
        tap_draws_counts(counts, draws, row);
        /* the items of a category are the same in every column */
        for (int32_t k = 0; k < n_categories; k++) {
            n_drawn[k] = 0.0;
            for (int32_t i = first[k]; i < first[k + 1]; i++)
                n_drawn[k] += counts[image[order[i]]];
        }
        for (int64_t c = 0; c < n_columns; c++) {
            double sum = 0.0;
            int64_t n_present = 0;
            for (int32_t k = 0; k < n_categories; k++) {
                if (n_drawn[k] <= 0.0)
                    continue;
                sum +=
                    weighted_median(order + c * n_items, sorted + c * n_items, first[k],
                                    first[k + 1], image, counts, n_drawn[k]);
                n_present++;
            }
            values[c * n_rows + row] = sum / (double)n_present;
        }
    }
    tap_free(scratch);
    return TAP_OK;
}

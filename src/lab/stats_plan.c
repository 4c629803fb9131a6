#include "lab/stats_plan.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void tap_stats_plan_clear(tap_stats_plan *plan)
{
    tap_free(plan->image);
    tap_free(plan->category);
    tap_free(plan->n_parts);
    tap_free(plan->cell_of_item);
    tap_free(plan->by_category);
    tap_free(plan->first);
    tap_free(plan->every);
    *plan = (tap_stats_plan){0};
}

/* Items by category (micro: all in one), images rising within it, and their cells. */
static void fill_cells(tap_stats_plan *p, const uint8_t *use, bool micro,
                       int32_t n_categories)
{
    const tap_stats_data *d = p->data;
    for (int64_t i = 0; i < d->n_items; i++)
        if (!use || use[i])
            p->first[(micro ? 0 : d->category[i]) + 1]++;
    for (int32_t k = 0; k < n_categories; k++)
        p->first[k + 1] += p->first[k];
    p->n_used = p->first[n_categories];
    /* items come with images rising, so a stable count sort keeps them so */
    for (int64_t i = d->n_items; i-- > 0;) {
        p->cell_of_item[i] = -1;
        if (!use || use[i])
            p->by_category[--p->first[(micro ? 0 : d->category[i]) + 1]] = (int32_t)i;
    }
    for (int32_t k = 0; k < n_categories; k++)
        p->first[k] = p->first[k + 1];
    p->first[n_categories] = (int32_t)p->n_used;
    int64_t n_cells = 0;
    for (int32_t k = 0; k < n_categories; k++)
        for (int32_t i = p->first[k]; i < p->first[k + 1]; i++) {
            const int32_t item = p->by_category[i];
            const bool same =
                i > p->first[k] && p->image[n_cells - 1] == d->image[item];
            if (!same) {
                p->image[n_cells] = d->image[item];
                p->category[n_cells++] = k;
            }
            p->n_parts[n_cells - 1] += 1.0;
            p->cell_of_item[item] = (int32_t)(n_cells - 1);
        }
    p->cells = (tap_stat_cells){.n_cells = n_cells,
                                .image = p->image,
                                .category = p->category,
                                .n_parts = p->n_parts,
                                .n_categories = n_categories};
    for (int64_t i = 0, last = -1; i < d->n_items; i++)
        if (p->cell_of_item[i] >= 0 && d->image[i] != last) {
            last = d->image[i];
            p->n_used_images++;
        }
}

tap_status tap_stats_plan_init(tap_stats_plan *out, const tap_stats_data *data,
                               tap_average average, const uint8_t *use,
                               int64_t n_resamples, int64_t seed, int n_threads,
                               tap_error *err)
{
    const bool micro = average == TAP_MICRO;
    const size_t n = (size_t)data->n_items;
    const int32_t n_categories = micro ? 1 : data->n_categories;
    tap_stats_plan p = {.data = data, .n_threads = n_threads};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&p.image, n, sizeof *p.image, "statistics", err));
    TAP_TRY_OUT(tap_alloc(&p.category, n, sizeof *p.category, "statistics", err));
    TAP_TRY_OUT(tap_alloc(&p.n_parts, n, sizeof *p.n_parts, "statistics", err));
    TAP_TRY_OUT(
        tap_alloc(&p.cell_of_item, n, sizeof *p.cell_of_item, "statistics", err));
    TAP_TRY_OUT(tap_alloc(&p.by_category, n, sizeof *p.by_category, "statistics", err));
    TAP_TRY_OUT(tap_alloc(&p.first, (size_t)n_categories + 1, sizeof *p.first,
                          "statistics", err));
    TAP_TRY_OUT(tap_alloc(&p.every, (size_t)data->n_images, sizeof *p.every,
                          "statistics", err));
    for (int64_t i = 0; i < data->n_images; i++)
        p.every[i] = (int32_t)i;
    fill_cells(&p, use, micro, n_categories);
out:
    if (status != TAP_OK) {
        tap_stats_plan_clear(&p);
        return status;
    }
    *out = p;
    out->whole[1] = (int32_t)data->n_images;
    out->draws = (tap_draws){.n_images = data->n_images,
                             .order = micro ? out->every : data->stratum_order,
                             .first = micro ? out->whole : data->stratum_first,
                             .n_strata = micro ? 1 : data->n_strata,
                             .n_resamples = n_resamples,
                             .seed = (uint64_t)seed,
                             .stream = micro ? 0 : 1};
    return TAP_OK;
}

double tap_metric_value(tap_metric metric, double rank, double log2_n)
{
    switch (metric) {
    case TAP_METRIC_LOG_RANK:
        return 1.0 - log2(rank) / log2_n;
    case TAP_METRIC_MRR:
        return 1.0 / rank;
    case TAP_METRIC_HIT1:
        return rank <= 1.0;
    case TAP_METRIC_HIT5:
        return rank <= 5.0;
    case TAP_METRIC_HIT10:
        return rank <= 10.0;
    case TAP_METRIC_HIT100:
        return rank <= 100.0;
    case TAP_METRIC_MEDIAN:
    case TAP_N_METRICS:
        break;
    }
    return rank;
}

tap_status tap_stats_plan_rows(double *rows, const double *values, int64_t n_columns,
                               const tap_stats_plan *plan, tap_error *err)
{
    const int64_t n_items = plan->data->n_items, n_cells = plan->cells.n_cells;
    double *sums = NULL;
    TAP_TRY(tap_alloc(&sums, (size_t)n_columns, (size_t)n_cells * sizeof *sums,
                      "statistics", err));
#pragma omp parallel for num_threads(plan->n_threads)
    for (int64_t column = 0; column < n_columns; column++)
        for (int64_t i = 0; i < n_items; i++)
            if (plan->cell_of_item[i] >= 0)
                sums[column * n_cells + plan->cell_of_item[i]] +=
                    values[column * n_items + i];
    const tap_status status = tap_resample_run(rows, sums, n_columns, &plan->cells,
                                               &plan->draws, plan->n_threads, err);
    tap_free(sums);
    return status;
}

tap_status tap_stats_plan_means(tap_estimate *out, const double *values,
                                int64_t n_columns, const tap_stats_plan *plan,
                                double level, tap_error *err)
{
    const int64_t n_rows = tap_draws_rows(&plan->draws);
    double *rows = NULL, *scratch = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&rows, (size_t)n_columns, (size_t)n_rows * sizeof *rows,
                          "resamples", err));
    TAP_TRY_OUT(tap_alloc(&scratch, (size_t)plan->draws.n_resamples, sizeof *scratch,
                          "resamples", err));
    TAP_TRY_OUT(tap_stats_plan_rows(rows, values, n_columns, plan, err));
    for (int64_t column = 0; column < n_columns; column++)
        out[column] =
            tap_interval_run(rows + column * n_rows, &plan->draws, level, scratch);
out:
    tap_free(rows);
    tap_free(scratch);
    return status;
}

#include "lab/stats_group.h"

#include <math.h>
#include <string.h>

/* The items in question, and their cells. */
typedef struct group {
    int32_t *items; /* [n_items] by category, then image */
    int64_t n_items;
    int32_t *dense;    /* [images] its place among those that have an item; -1 */
    int32_t *image;    /* [n_cells] */
    int32_t *category; /* [n_cells] */
    double *n_parts;   /* [n_cells] */
    int32_t *cell_of;  /* [n_items] */
    int32_t *order, *first;
    tap_stat_cells cells;
    tap_draws draws;
} group;

static void clear_group(group *g)
{
    tap_free(g->items);
    tap_free(g->dense);
    tap_free(g->image);
    tap_free(g->category);
    tap_free(g->n_parts);
    tap_free(g->cell_of);
    tap_free(g->order);
    tap_free(g->first);
}

/* Items with a value in every column; stable by category. */
static tap_status find_items(group *g, const double *values, int64_t n_columns,
                             const tap_stats_data *d, int32_t category, tap_error *err)
{
    TAP_TRY(tap_alloc(&g->items, (size_t)d->n_items, sizeof *g->items, "groups", err));
    const int32_t low = category == TAP_ALL_CATEGORIES ? 0 : category;
    const int32_t high =
        category == TAP_ALL_CATEGORIES ? d->n_categories : category + 1;
    int64_t *first = NULL; /* a count sort by category */
    TAP_TRY(
        tap_alloc(&first, (size_t)d->n_categories + 1, sizeof *first, "groups", err));
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < d->n_items; i++) {
            const int32_t k = d->category[i];
            bool whole = k >= low && k < high;
            for (int64_t c = 0; c < n_columns && whole; c++)
                whole = !isnan(values[c * d->n_items + i]);
            if (whole && pass == 0)
                first[k + 1]++;
            else if (whole)
                g->items[first[k]++] = (int32_t)i;
        }
        for (int32_t k = 0; k < d->n_categories && pass == 0; k++)
            first[k + 1] += first[k];
    }
    g->n_items = first[d->n_categories];
    tap_free(first);
    return TAP_OK;
}

static tap_status fill_cells(group *g, const tap_stats_data *d, tap_error *err)
{
    const size_t n = (size_t)g->n_items;
    TAP_TRY(tap_alloc(&g->image, n, sizeof *g->image, "groups", err));
    TAP_TRY(tap_alloc(&g->category, n, sizeof *g->category, "groups", err));
    TAP_TRY(tap_alloc(&g->n_parts, n, sizeof *g->n_parts, "groups", err));
    TAP_TRY(tap_alloc(&g->cell_of, n, sizeof *g->cell_of, "groups", err));
    int64_t n_cells = 0;
    int32_t n_categories = 0;
    for (int64_t i = 0; i < g->n_items; i++) {
        const int32_t item = g->items[i], before = i ? g->items[i - 1] : -1;
        const int32_t image = g->dense[d->image[item]];
        const bool same_category = i && d->category[item] == d->category[before];
        n_categories += !same_category;
        if (!same_category || g->image[n_cells - 1] != image) {
            g->image[n_cells] = image;
            g->category[n_cells++] = n_categories - 1;
        }
        g->n_parts[n_cells - 1] += 1.0;
        g->cell_of[i] = (int32_t)(n_cells - 1);
    }
    g->cells = (tap_stat_cells){.n_cells = n_cells,
                                .image = g->image,
                                .category = g->category,
                                .n_parts = g->n_parts,
                                .n_categories = n_categories};
    return TAP_OK;
}

/* Images that have an item, stratum by stratum as for macro means; one category: one
 * stratum. */
static tap_status fill_draws(group *g, const tap_stats_data *d,
                             const tap_group_options *options, tap_error *err)
{
    TAP_TRY(tap_alloc(&g->dense, (size_t)d->n_images, sizeof *g->dense, "groups", err));
    TAP_TRY(tap_alloc(&g->order, (size_t)d->n_images, sizeof *g->order, "groups", err));
    TAP_TRY(
        tap_alloc(&g->first, (size_t)d->n_strata + 1, sizeof *g->first, "groups", err));
    for (int64_t i = 0; i < g->n_items; i++)
        g->dense[d->image[g->items[i]]] = 1;
    int32_t n_images = 0, n_strata = 0;
    for (int64_t i = 0; i < d->n_images; i++)
        g->dense[i] = g->dense[i] ? n_images++ : -1;
    const bool all = options->category == TAP_ALL_CATEGORIES;
    int32_t at = 0;
    for (int32_t s = 0; s < d->n_strata; s++) {
        for (int32_t k = d->stratum_first[s]; k < d->stratum_first[s + 1]; k++)
            if (g->dense[d->stratum_order[k]] >= 0)
                g->order[at++] = g->dense[d->stratum_order[k]];
        if (at > g->first[n_strata] && (all || s == d->n_strata - 1))
            g->first[++n_strata] = at;
    }
    if (!all && n_images > 0) {
        n_strata = 1;
        g->first[1] = n_images;
    }
    g->draws = (tap_draws){.n_images = n_images,
                           .order = g->order,
                           .first = g->first,
                           .n_strata = n_strata,
                           .n_resamples = options->n_resamples,
                           .seed = options->seed,
                           .stream = 2};
    return TAP_OK;
}

tap_status tap_group_means(tap_estimate *out, int64_t *n_images, int64_t *n_items,
                           const double *values, int64_t n_columns,
                           const tap_stats_data *data, const tap_group_options *options,
                           tap_error *err)
{
    group g = {0};
    double *sums = NULL, *rows = NULL, *scratch = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(find_items(&g, values, n_columns, data, options->category, err));
    TAP_TRY_OUT(fill_draws(&g, data, options, err));
    if (n_images)
        *n_images = g.draws.n_images;
    if (n_items)
        *n_items = g.n_items;
    for (int64_t c = 0; c < n_columns; c++)
        out[c] = (tap_estimate){.value = (double)NAN,
                                .low = (double)NAN,
                                .high = (double)NAN,
                                .bca_low = (double)NAN,
                                .bca_high = (double)NAN,
                                .na = "no item has a value"};
    if (g.n_items == 0)
        goto out;
    TAP_TRY_OUT(fill_cells(&g, data, err));
    const int64_t n_rows = tap_draws_rows(&g.draws);
    TAP_TRY_OUT(tap_alloc(&sums, (size_t)(n_columns * g.cells.n_cells), sizeof *sums,
                          "groups", err));
    TAP_TRY_OUT(
        tap_alloc(&rows, (size_t)(n_columns * n_rows), sizeof *rows, "groups", err));
    TAP_TRY_OUT(tap_alloc(&scratch, (size_t)n_rows, sizeof *scratch, "groups", err));
    for (int64_t c = 0; c < n_columns; c++)
        for (int64_t i = 0; i < g.n_items; i++)
            sums[c * g.cells.n_cells + g.cell_of[i]] +=
                values[c * data->n_items + g.items[i]];
    TAP_TRY_OUT(tap_resample_run(rows, sums, n_columns, &g.cells, &g.draws,
                                 options->n_threads, err));
    for (int64_t c = 0; c < n_columns; c++)
        out[c] = tap_interval_run(rows + c * n_rows, &g.draws, options->level, scratch);
out:
    clear_group(&g);
    tap_free(sums);
    tap_free(rows);
    tap_free(scratch);
    return status;
}

#include "lab/stats_locate.h"

#include "lab/store_sql.h"

#include <math.h>

void tap_located_results_clear(tap_located_results *results)
{
    for (int i = 0; i < results->n; i++) {
        tap_free(results->results[i].score);
        tap_free(results->results[i].design);
    }
    *results = (tap_located_results){0};
}

/* values [n_depths][n_conditions][n_items] of both columns; NaN where there is none. */
static tap_status read_values(double *const values[TAP_N_LOCATES],
                              const tap_stats_data *d, const tap_store *store,
                              tap_error *err)
{
    static const char sql[] =
        "SELECT item_id, condition_id, depth, auc_loc, gap FROM score "
        "WHERE auc_loc IS NOT NULL OR gap IS NOT NULL";
    const size_t n = (size_t)d->n_items * (size_t)d->n_conditions * (size_t)d->n_depths;
    const char *path = tap_store_path(store);
    sqlite3_stmt *s = NULL;
    for (int l = 0; l < TAP_N_LOCATES; l++)
        for (size_t i = 0; i < n; i++)
            values[l][i] = (double)NAN;
    TAP_TRY(tap_sql_prepare(&s, tap_store_sqlite(store), path, sql, err));
    tap_status status = TAP_OK;
    for (bool more = true; status == TAP_OK;) {
        status = tap_sql_step(&more, s, path, err);
        if (status != TAP_OK || !more)
            break;
        const int64_t item = tap_stats_data_item(d, sqlite3_column_int64(s, 0));
        const int32_t c = tap_stats_data_condition(d, sqlite3_column_int64(s, 1));
        const int32_t k = tap_stats_data_depth(d, sqlite3_column_int64(s, 2));
        if (item < 0 || c < 0 || k < 0)
            continue;
        for (int l = 0; l < TAP_N_LOCATES; l++)
            if (sqlite3_column_type(s, 3 + l) != SQLITE_NULL)
                values[l][((int64_t)k * d->n_conditions + c) * d->n_items + item] =
                    sqlite3_column_double(s, 3 + l);
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* One depth: values [n_conditions][n_items]; rows [n_conditions + 1][n_rows]. */
static tap_status run_depth(tap_located *out, int32_t depth, const double *values,
                            const tap_stats_plan *plan, const tap_stats_settings *set,
                            double *rows, double *scratch, tap_error *err)
{
    const tap_stats_data *d = plan->data;
    const int64_t n_rows = tap_draws_rows(&plan->draws);
    TAP_TRY(tap_stats_plan_rows(rows, values, d->n_conditions, plan, err));
    for (int32_t c = 0; c < d->n_conditions; c++)
        out->score[(int64_t)depth * d->n_conditions + c] =
            tap_interval_run(rows + c * n_rows, &plan->draws, set->level, scratch);
    if (!out->design)
        return TAP_OK;
    const double *cells[TAP_N_CELLS];
    for (int c = 0; c < TAP_N_CELLS; c++)
        cells[c] = rows + d->design[c] * n_rows;
    const tap_design_rule rule = {set->level, set->delta};
    return tap_design_run(out->design + (int64_t)depth * TAP_N_QUANTITIES, cells,
                          TAP_N_METRICS, &plan->draws, &rule,
                          rows + d->n_conditions * n_rows, scratch, err);
}

static tap_status run_one(tap_located_results *results, tap_locate what, double *values,
                          const tap_stats_data *d, const tap_stats_settings *set,
                          tap_error *err)
{
    tap_stats_plan plan = {0};
    tap_located out = {.what = what};
    uint8_t *use = NULL;
    double *rows = NULL, *scratch = NULL;
    const int64_t n = d->n_items, n_columns = (int64_t)d->n_depths * d->n_conditions;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&use, (size_t)n, 1, "statistics", err));
    for (int64_t i = 0; i < n; i++) {
        use[i] = 1;
        for (int64_t k = 0; k < n_columns; k++)
            use[i] &= isfinite(values[k * n + i]) != 0;
        out.n_items += use[i];
    }
    if (out.n_items == 0)
        goto out;
    TAP_TRY_OUT(tap_stats_plan_init(&plan, d, TAP_MACRO, use, set->n_resamples,
                                    set->seed, set->n_threads, err));
    out.n_images = plan.n_used_images;
    TAP_TRY_OUT(
        tap_alloc(&out.score, (size_t)n_columns, sizeof *out.score, "statistics", err));
    if (d->has_design)
        TAP_TRY_OUT(tap_alloc(&out.design, (size_t)d->n_depths * TAP_N_QUANTITIES,
                              sizeof *out.design, "statistics", err));
    TAP_TRY_OUT(tap_alloc(&rows, (size_t)d->n_conditions + 1,
                          (size_t)tap_draws_rows(&plan.draws) * sizeof *rows,
                          "resamples", err));
    TAP_TRY_OUT(tap_alloc(&scratch, (size_t)plan.draws.n_resamples, sizeof *scratch,
                          "resamples", err));
    for (int32_t k = 0; k < d->n_depths; k++)
        TAP_TRY_OUT(run_depth(&out, k, values + (int64_t)k * d->n_conditions * n, &plan,
                              set, rows, scratch, err));
    results->results[results->n++] = out;
out:
    if (status != TAP_OK) {
        tap_free(out.score);
        tap_free(out.design);
    }
    tap_stats_plan_clear(&plan);
    tap_free(use);
    tap_free(rows);
    tap_free(scratch);
    return status;
}

tap_status tap_located_results_run(tap_located_results *out, const tap_stats_data *data,
                                   const tap_store *store,
                                   const tap_stats_settings *settings, tap_error *err)
{
    const size_t n_columns = (size_t)data->n_depths * (size_t)data->n_conditions;
    double *values[TAP_N_LOCATES] = {NULL, NULL};
    tap_located_results results = {0};
    tap_status status = TAP_OK;
    for (int l = 0; l < TAP_N_LOCATES; l++)
        TAP_TRY_OUT(tap_alloc(&values[l], n_columns,
                              (size_t)data->n_items * sizeof **values, "statistics",
                              err));
    TAP_TRY_OUT(read_values(values, data, store, err));
    for (int l = 0; l < TAP_N_LOCATES; l++)
        TAP_TRY_OUT(run_one(&results, (tap_locate)l, values[l], data, settings, err));
out:
    for (int l = 0; l < TAP_N_LOCATES; l++)
        tap_free(values[l]);
    if (status == TAP_OK)
        *out = results;
    else
        tap_located_results_clear(&results);
    return status;
}

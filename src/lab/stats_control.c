#include "lab/stats_control.h"

#include "lab/store_sql.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void tap_control_results_clear(tap_control_results *results)
{
    for (size_t i = 0; i < results->n; i++)
        tap_free(results->results[i].curve);
    tap_free(results->results);
    *results = (tap_control_results){0};
}

/* One control read from the database: sums over the draws of an item, NaN-free. */
typedef struct control_data {
    double *n_draws; /* [n_conditions][n_depths][n_items] */
    double *log2s;   /* the same: sum of log2 of the best rank */
    double
        *values; /* [n_conditions][TAP_N_METRICS][n_items] at the depth of the words */
    double *worse; /* [n_conditions][n_items] draws worse than the part, ties half */
} control_data;

static void clear_data(control_data *c)
{
    tap_free(c->n_draws);
    tap_free(c->log2s);
    tap_free(c->values);
    tap_free(c->worse);
}

static tap_status alloc_data(control_data *c, const tap_stats_data *d, tap_error *err)
{
    const size_t n = (size_t)d->n_items, n_conditions = (size_t)d->n_conditions;
    const size_t n_cells = n_conditions * (size_t)d->n_depths;
    TAP_TRY(tap_alloc(&c->n_draws, n_cells, n * sizeof *c->n_draws, "controls", err));
    TAP_TRY(tap_alloc(&c->log2s, n_cells, n * sizeof *c->log2s, "controls", err));
    TAP_TRY(tap_alloc(&c->values, n_conditions * TAP_N_METRICS, n * sizeof *c->values,
                      "controls", err));
    return tap_alloc(&c->worse, n_conditions, n * sizeof *c->worse, "controls", err);
}

/* Adds one row of the table. */
static void add_row(control_data *c, const tap_stats_data *d, int64_t item,
                    int32_t condition, int32_t depth, double rank)
{
    const int64_t at = ((int64_t)condition * d->n_depths + depth) * d->n_items + item;
    c->n_draws[at] += 1.0;
    c->log2s[at] += log2(rank);
    if (depth != d->depth)
        return;
    for (int m = 0; m < TAP_N_METRICS; m++)
        c->values[((int64_t)condition * TAP_N_METRICS + m) * d->n_items + item] +=
            tap_metric_value((tap_metric)m, rank, d->log2_n[item]);
    c->worse[(int64_t)condition * d->n_items + item] += rank > d->best[at]    ? 1.0
                                                        : rank == d->best[at] ? 0.5
                                                                              : 0.0;
}

/* Reads the rows of one control; *n_rows of them belong to scored items. */
static tap_status read_control(control_data *c, int64_t *n_rows,
                               const tap_stats_data *d, const tap_store *store,
                               tap_control control, tap_error *err)
{
    static const char sql[] =
        "SELECT item_id, condition_id, depth, best_rank FROM control_set JOIN control "
        "ON control.set_id = control_set.id WHERE control_set.control = ?";
    sqlite3_stmt *s = NULL;
    const char *path = tap_store_path(store);
    TAP_TRY(tap_sql_prepare(&s, tap_store_sqlite(store), path, sql, err));
    tap_status status = TAP_OK;
    if (sqlite3_bind_text(s, 1, tap_control_name(control), -1, SQLITE_STATIC) !=
        SQLITE_OK)
        status = tap_sql_fail(tap_store_sqlite(store), path, "read", err);
    for (bool more = true; status == TAP_OK;) {
        status = tap_sql_step(&more, s, path, err);
        if (status != TAP_OK || !more)
            break;
        const int64_t item = tap_stats_data_item(d, sqlite3_column_int64(s, 0));
        const int32_t condition =
            tap_stats_data_condition(d, sqlite3_column_int64(s, 1));
        const int32_t depth = tap_stats_data_depth(d, sqlite3_column_int64(s, 2));
        const double rank = sqlite3_column_double(s, 3);
        if (item < 0 || condition < 0 || depth < 0)
            continue;
        if (!tap_stats_data_is_rank(d, item, rank))
            status = TAP_FAIL(
                err, TAP_EFORMAT,
                "'%s': control '%s' of item %lld has rank %g; its ranks lie "
                "between 1 and %.0f",
                path, tap_control_name(control), (long long)sqlite3_column_int64(s, 0),
                rank, exp2(d->log2_n[item]));
        else
            add_row(c, d, item, condition, depth, rank);
        ++*n_rows;
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* Columns of item means for one condition: per metric the control, then part minus control;
 * last the percentile. Returns how many. values [2 TAP_N_METRICS + 1][n_items]. */
static int64_t fill_values(double *values, const control_data *c,
                           const tap_stats_data *d, int32_t condition)
{
    const int64_t n = d->n_items;
    const int64_t at = ((int64_t)condition * d->n_depths + d->depth) * n;
    for (int64_t i = 0; i < n; i++) {
        const double n_draws = c->n_draws[at + i];
        for (int m = 0; m < TAP_N_METRICS; m++) {
            const double control =
                c->values[((int64_t)condition * TAP_N_METRICS + m) * n + i] / n_draws;
            values[2 * m * n + i] = control;
            values[(2 * m + 1) * n + i] =
                tap_metric_value((tap_metric)m, d->best[at + i], d->log2_n[i]) -
                control;
        }
        values[2 * TAP_N_METRICS * n + i] =
            c->worse[(int64_t)condition * n + i] / n_draws;
    }
    return 2 * TAP_N_METRICS + 1;
}

/* S at every depth, of the control and of the parts, without intervals. values
 * [2 n_depths][n_items]. */
static void fill_curves(double *values, const control_data *c, const tap_stats_data *d,
                        int32_t condition)
{
    const int64_t n = d->n_items;
    for (int32_t depth = 0; depth < d->n_depths; depth++) {
        const int64_t at = ((int64_t)condition * d->n_depths + depth) * n;
        for (int64_t i = 0; i < n; i++) {
            values[depth * n + i] =
                1.0 - c->log2s[at + i] / c->n_draws[at + i] / d->log2_n[i];
            values[(d->n_depths + depth) * n + i] =
                tap_metric_value(TAP_METRIC_LOG_RANK, d->best[at + i], d->log2_n[i]);
        }
    }
}

static tap_status run_condition(tap_control_result *out, const control_data *c,
                                const tap_stats_data *d, double *values,
                                const uint8_t *use, const tap_stats_settings *set,
                                tap_error *err)
{
    tap_stats_plan plan = {0}, points = {0};
    tap_estimate estimates[2 * TAP_N_METRICS + 1];
    double *rows = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_stats_plan_init(&plan, d, TAP_MACRO, use, set->n_resamples,
                                    set->seed, set->n_threads, err));
    TAP_TRY_OUT(tap_stats_plan_init(&points, d, TAP_MACRO, use, 0, set->seed,
                                    set->n_threads, err));
    out->n_items = plan.n_used;
    out->n_images = plan.n_used_images;
    const int64_t n_columns = fill_values(values, c, d, out->condition);
    TAP_TRY_OUT(
        tap_stats_plan_means(estimates, values, n_columns, &plan, set->level, err));
    for (int m = 0; m < TAP_N_METRICS; m++) {
        out->score[m] = estimates[2 * m];
        out->gap[m] = estimates[2 * m + 1];
    }
    out->percentile = estimates[2 * TAP_N_METRICS];
    const size_t n_curve = 2 * (size_t)d->n_depths;
    const size_t n_rows = (size_t)tap_draws_rows(&points.draws);
    TAP_TRY_OUT(tap_alloc(&out->curve, n_curve, sizeof *out->curve, "controls", err));
    TAP_TRY_OUT(tap_alloc(&rows, n_curve, n_rows * sizeof *rows, "controls", err));
    fill_curves(values, c, d, out->condition);
    TAP_TRY_OUT(tap_stats_plan_rows(rows, values, (int64_t)n_curve, &points, err));
    for (size_t k = 0; k < n_curve; k++)
        out->curve[k] = rows[k * n_rows];
out:
    tap_free(rows);
    tap_stats_plan_clear(&plan);
    tap_stats_plan_clear(&points);
    return status;
}

static tap_status run_control(tap_control_results *out, const tap_stats_data *d,
                              const tap_store *store, tap_control control,
                              const tap_stats_settings *set, tap_error *err)
{
    control_data c = {0};
    double *values = NULL;
    uint8_t *use = NULL;
    int64_t n_rows = 0;
    const size_t n = (size_t)d->n_items;
    const size_t n_columns = 2 * (size_t)d->n_depths > 2 * TAP_N_METRICS + 1
                                 ? 2 * (size_t)d->n_depths
                                 : 2 * TAP_N_METRICS + 1;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(alloc_data(&c, d, err));
    TAP_TRY_OUT(read_control(&c, &n_rows, d, store, control, err));
    if (n_rows == 0)
        goto out;
    TAP_TRY_OUT(tap_alloc(&values, n_columns, n * sizeof *values, "controls", err));
    TAP_TRY_OUT(tap_alloc(&use, n, 1, "controls", err));
    for (int32_t condition = 0; condition < d->n_conditions; condition++) {
        bool any = false;
        for (size_t i = 0; i < n; i++) {
            /* an item counts when it was read at every depth */
            use[i] = 1;
            for (int32_t k = 0; k < d->n_depths; k++)
                use[i] &=
                    c.n_draws[((size_t)condition * (size_t)d->n_depths + (size_t)k) *
                                  n +
                              i] > 0.0;
            any |= use[i];
        }
        if (!any)
            continue;
        TAP_TRY_OUT(tap_grow(&out->results, &out->capacity, out->n + 1,
                             sizeof *out->results, "controls", err));
        tap_control_result *result = &out->results[out->n++];
        *result = (tap_control_result){.control = control, .condition = condition};
        TAP_TRY_OUT(run_condition(result, &c, d, values, use, set, err));
    }
out:
    clear_data(&c);
    tap_free(values);
    tap_free(use);
    return status;
}

tap_status tap_control_results_run(tap_control_results *out, const tap_stats_data *data,
                                   const tap_store *store,
                                   const tap_stats_settings *settings, tap_error *err)
{
    tap_control_results results = {0};
    tap_status status = TAP_OK;
    for (int c = 0; c < TAP_N_CONTROLS && status == TAP_OK; c++)
        status = run_control(&results, data, store, (tap_control)c, settings, err);
    if (status == TAP_OK)
        *out = results;
    else
        tap_control_results_clear(&results);
    return status;
}

/* ---- strata ---- */

/* Places are thirds of the reading order, sizes are counts of patches. */
static const struct {
    const char *by, *name;
    double low, high; /* low <= x < high */
} STRATA[] = {{"place", "top", -1.0, 1.0 / 3.0},
              {"place", "middle", 1.0 / 3.0, 2.0 / 3.0},
              {"place", "bottom", 2.0 / 3.0, 2.0},
              {"size", "1", 1, 2},
              {"size", "2-3", 2, 4},
              {"size", "4-7", 4, 8},
              {"size", "8-15", 8, 16},
              {"size", "16+", 16, 1e18}};

void tap_strata_clear(tap_strata *strata)
{
    for (size_t i = 0; i < strata->n; i++)
        tap_free(strata->strata[i].score);
    tap_free(strata->strata);
    *strata = (tap_strata){0};
}

/* values [n_conditions][n_items] of S; rows [n_conditions + 1][n_rows]. */
static tap_status run_stratum(tap_stratum *out, const tap_stats_data *d,
                              const tap_stats_plan *plan, const double *values,
                              const tap_stats_settings *set, tap_error *err)
{
    const size_t n_rows = (size_t)tap_draws_rows(&plan->draws);
    double *rows = NULL, *scratch = NULL;
    tap_status status = TAP_OK;
    out->n_items = plan->n_used;
    out->n_images = plan->n_used_images;
    TAP_TRY_OUT(tap_alloc(&out->score, (size_t)d->n_conditions, sizeof *out->score,
                          "strata", err));
    TAP_TRY_OUT(tap_alloc(&rows, (size_t)d->n_conditions + 1, n_rows * sizeof *rows,
                          "strata", err));
    TAP_TRY_OUT(tap_alloc(&scratch, (size_t)plan->draws.n_resamples, sizeof *scratch,
                          "strata", err));
    TAP_TRY_OUT(tap_stats_plan_rows(rows, values, d->n_conditions, plan, err));
    for (int32_t c = 0; c < d->n_conditions; c++)
        out->score[c] = tap_interval_run(rows + (size_t)c * n_rows, &plan->draws,
                                         set->level, scratch);
    if (d->has_design) {
        const double *cells[TAP_N_CELLS];
        for (int c = 0; c < TAP_N_CELLS; c++)
            cells[c] = rows + (size_t)d->design[c] * n_rows;
        const tap_design_rule rule = {set->level, set->delta};
        status =
            tap_design_run(out->design, cells, TAP_METRIC_LOG_RANK, &plan->draws, &rule,
                           rows + (size_t)d->n_conditions * n_rows, scratch, err);
    }
out:
    tap_free(rows);
    tap_free(scratch);
    return status;
}

tap_status tap_strata_run(tap_strata *out, const tap_stats_data *data,
                          const tap_stats_settings *settings, tap_error *err)
{
    const tap_stats_data *d = data;
    const int64_t n = d->n_items;
    tap_strata strata = {0};
    double *values = NULL;
    uint8_t *use = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&values, (size_t)d->n_conditions, (size_t)n * sizeof *values,
                          "strata", err));
    TAP_TRY_OUT(tap_alloc(&use, (size_t)n, 1, "strata", err));
    for (int32_t c = 0; c < d->n_conditions; c++)
        for (int64_t i = 0; i < n; i++)
            values[c * n + i] = tap_metric_value(
                TAP_METRIC_LOG_RANK,
                d->best[((int64_t)c * d->n_depths + d->depth) * n + i], d->log2_n[i]);
    for (size_t k = 0; k < sizeof STRATA / sizeof STRATA[0]; k++) {
        bool any = false;
        for (int64_t i = 0; i < n; i++) {
            const double x = strcmp(STRATA[k].by, "size") == 0 ? (double)d->n_patches[i]
                                                               : d->raster[i];
            use[i] = x >= STRATA[k].low && x < STRATA[k].high;
            any |= use[i];
        }
        if (!any)
            continue;
        tap_stats_plan plan = {0};
        TAP_TRY_OUT(tap_grow(&strata.strata, &strata.capacity, strata.n + 1,
                             sizeof *strata.strata, "strata", err));
        TAP_TRY_OUT(tap_stats_plan_init(&plan, d, TAP_MACRO, use, settings->n_resamples,
                                        settings->seed, settings->n_threads, err));
        tap_stratum *s = &strata.strata[strata.n++];
        *s = (tap_stratum){.by = STRATA[k].by, .name = STRATA[k].name};
        status = run_stratum(s, d, &plan, values, settings, err);
        tap_stats_plan_clear(&plan);
        if (status != TAP_OK)
            goto out;
    }
out:
    tap_free(values);
    tap_free(use);
    if (status == TAP_OK)
        *out = strata;
    else
        tap_strata_clear(&strata);
    return status;
}

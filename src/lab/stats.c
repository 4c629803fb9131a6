#include "lab/stats.h"

#include "lab/stats_dose.h"
#include "lab/stats_null.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum { CHUNK_BYTES = 48 << 20 }; /* of resampled values held at a time */

static const char *const AVERAGES[] = {"macro", "micro"};

const char *tap_average_name(tap_average average)
{
    return AVERAGES[average];
}

static const double *ranks_at(const tap_stats_data *d, int32_t condition, int32_t depth)
{
    return d->best + ((int64_t)condition * d->n_depths + depth) * d->n_items;
}

/* Work of one chunk: some depths of one metric, all conditions. */
typedef struct chunk {
    tap_metric metric;
    int32_t first_depth, n_depths;
    double *values;  /* [n_depths][n_conditions][n_rows] */
    double *sums;    /* [n_depths * n_conditions][n_cells] */
    int32_t *order;  /* median: [n_depths * n_conditions][n_items] */
    double *sorted;  /* the same of values */
    double *scratch; /* [n_threads][n_rows + n_resamples] */
} chunk;

static tap_status fill_sums(chunk *k, const tap_stats_plan *p, tap_error *err)
{
    const tap_stats_data *d = p->data;
    const int64_t n_columns = (int64_t)k->n_depths * d->n_conditions;
    memset(k->sums, 0, (size_t)(n_columns * p->cells.n_cells) * sizeof *k->sums);
#pragma omp parallel for num_threads(p->n_threads)
    for (int64_t column = 0; column < n_columns; column++) {
        const double *ranks =
            ranks_at(d, (int32_t)(column % d->n_conditions),
                     k->first_depth + (int32_t)(column / d->n_conditions));
        double *sums = k->sums + column * p->cells.n_cells;
        for (int64_t i = 0; i < d->n_items; i++)
            sums[p->cell_of_item[i]] +=
                tap_metric_value(k->metric, ranks[i], d->log2_n[i]);
    }
    return tap_resample_run(k->values, k->sums, n_columns, &p->cells, &p->draws,
                            p->n_threads, err);
}

/* Merge sort of items [begin, end) by value; stable. */
static void sort_items(int32_t *items, int32_t *spare, const double *values, int64_t n)
{
    if (n < 2)
        return;
    const int64_t half = n / 2;
    sort_items(items, spare, values, half);
    sort_items(items + half, spare, values, n - half);
    memcpy(spare, items, (size_t)half * sizeof *items);
    int64_t a = 0, b = half, to = 0;
    while (a < half)
        items[to++] =
            b < n && values[items[b]] < values[spare[a]] ? items[b++] : spare[a++];
}

static tap_status fill_medians(chunk *k, const tap_stats_plan *p, tap_error *err)
{
    const tap_stats_data *d = p->data;
    const int64_t n_columns = (int64_t)k->n_depths * d->n_conditions;
    int32_t *spare = NULL;
    TAP_TRY(tap_alloc(&spare, (size_t)d->n_items, sizeof *spare, "statistics", err));
    for (int64_t column = 0; column < n_columns; column++) {
        const double *ranks =
            ranks_at(d, (int32_t)(column % d->n_conditions),
                     k->first_depth + (int32_t)(column / d->n_conditions));
        int32_t *order = k->order + column * d->n_items;
        memcpy(order, p->by_category, (size_t)d->n_items * sizeof *order);
        for (int32_t c = 0; c < p->cells.n_categories; c++)
            sort_items(order + p->first[c], spare, ranks,
                       p->first[c + 1] - p->first[c]);
        for (int64_t i = 0; i < d->n_items; i++)
            k->sorted[column * d->n_items + i] = ranks[order[i]];
    }
    tap_free(spare);
    return tap_resample_medians(k->values, k->order, k->sorted, n_columns, d->image,
                                d->n_items, p->first, p->cells.n_categories, &p->draws,
                                p->n_threads, err);
}

/* Rows of a curve's area (or half-way dose) from the values of its conditions. */
static void dose_rows(double *rows, int64_t n_rows, const tap_dose_curve *curve,
                      const double *values, bool half)
{
    double dose[TAP_MAX_CONDITIONS], s[TAP_MAX_CONDITIONS];
    const size_t n =
        curve->n_points < TAP_MAX_CONDITIONS ? curve->n_points : TAP_MAX_CONDITIONS;
    for (size_t i = 0; i < n; i++)
        dose[i] = curve->points[i].dose;
    for (int64_t row = 0; row < n_rows; row++) {
        for (size_t i = 0; i < n; i++)
            s[i] = values[curve->points[i].condition * n_rows + row];
        rows[row] = half ? tap_dose_half(dose, s, n) : tap_dose_area(dose, s, n);
    }
}

/* values [n_conditions][n_rows] of S at the depth of the words. */
static tap_status run_doses(tap_stats *s, const tap_stats_plan *p, const double *values,
                            double *scratch, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    const int64_t n_rows = tap_draws_rows(&p->draws);
    double *rows = NULL, *others = NULL;
    TAP_TRY(tap_alloc(&rows, 2 * (size_t)n_rows, sizeof *rows, "dose curves", err));
    others = rows + n_rows;
    for (size_t i = 0; i < d->n_doses; i++) {
        dose_rows(rows, n_rows, &d->doses[i], values, true);
        s->doses[i].half = tap_interval_run(rows, &p->draws, s->level, scratch);
        dose_rows(rows, n_rows, &d->doses[i], values, false);
        s->doses[i].area = tap_interval_run(rows, &p->draws, s->level, scratch);
        for (size_t k = 0; k < d->n_doses; k++) {
            dose_rows(others, n_rows, &d->doses[k], values, false);
            for (int64_t row = 0; row < n_rows; row++)
                others[row] = rows[row] - others[row];
            s->dose_gaps[i * d->n_doses + k] =
                tap_interval_run(others, &p->draws, s->level, scratch);
        }
    }
    tap_free(rows);
    return TAP_OK;
}

/* Resamples one chunk and turns it into estimates. */
static tap_status run_chunk(tap_stats *s, chunk *k, const tap_stats_plan *p,
                            tap_average average, int32_t metric, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    const int64_t n_rows = tap_draws_rows(&p->draws);
    if (k->metric == TAP_METRIC_MEDIAN)
        TAP_TRY(fill_medians(k, p, err));
    else
        TAP_TRY(fill_sums(k, p, err));
    const int64_t per_depth = d->n_conditions + (s->design ? 1 : 0);
    const size_t stride = (size_t)(n_rows + p->draws.n_resamples);
    const tap_design_rule rule = {s->level, s->delta};
    tap_status failed = TAP_OK;
#pragma omp parallel for schedule(dynamic) num_threads(p->n_threads)
    for (int64_t job = 0; job < k->n_depths * per_depth; job++) {
        const int64_t depth = job / per_depth, which = job % per_depth;
        double *rows = k->scratch + (size_t)omp_get_thread_num() * stride;
        const double *values = k->values + depth * d->n_conditions * n_rows;
        const int64_t at = ((int64_t)average * s->n_metrics + metric) * d->n_depths +
                           k->first_depth + depth;
        if (which < d->n_conditions) {
            s->cells[at * d->n_conditions + which] = tap_interval_run(
                values + which * n_rows, &p->draws, s->level, rows + n_rows);
            continue;
        }
        const double *cells[TAP_N_CELLS];
        tap_error ours;
        for (int c = 0; c < TAP_N_CELLS; c++)
            cells[c] = values + d->design[c] * n_rows;
        const tap_status status =
            tap_design_run(s->design + at * TAP_N_QUANTITIES, cells, k->metric,
                           &p->draws, &rule, rows, rows + n_rows, &ours);
        if (status != TAP_OK) {
#pragma omp critical
            failed = TAP_FAIL(err, status, "%s", ours.message);
        }
    }
    TAP_TRY(failed);
    const int32_t words = d->depth - k->first_depth;
    if (average == TAP_MACRO && k->metric == TAP_METRIC_LOG_RANK && words >= 0 &&
        words < k->n_depths && d->n_doses)
        return run_doses(s, p, k->values + (int64_t)words * d->n_conditions * n_rows,
                         k->scratch, err);
    return TAP_OK;
}

static tap_status run_average(tap_stats *s, const tap_stats_plan *p,
                              tap_average average, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    const int64_t n_rows = tap_draws_rows(&p->draws);
    const size_t depth_bytes =
        (size_t)d->n_conditions * (size_t)n_rows * sizeof(double);
    int32_t n_depths = (int32_t)(CHUNK_BYTES / depth_bytes);
    n_depths = n_depths < 1 ? 1 : n_depths > d->n_depths ? d->n_depths : n_depths;
    const size_t n_columns = (size_t)n_depths * (size_t)d->n_conditions;
    const bool median = s->data.metrics[TAP_METRIC_MEDIAN];
    const size_t n_order = median ? n_columns * (size_t)d->n_items : 0;
    chunk k = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&k.values, n_columns * (size_t)n_rows, sizeof *k.values,
                          "resamples", err));
    TAP_TRY_OUT(tap_alloc(&k.sums, n_columns * (size_t)p->cells.n_cells, sizeof *k.sums,
                          "statistics", err));
    TAP_TRY_OUT(tap_alloc(&k.order, n_order, sizeof *k.order, "medians", err));
    TAP_TRY_OUT(tap_alloc(&k.sorted, n_order, sizeof *k.sorted, "medians", err));
    TAP_TRY_OUT(tap_alloc(&k.scratch,
                          (size_t)p->n_threads * (size_t)(n_rows + s->n_resamples),
                          sizeof *k.scratch, "statistics", err));
    for (int32_t m = 0; m < s->n_metrics; m++)
        for (int32_t first = 0; first < d->n_depths; first += n_depths) {
            k.metric = s->metrics[m];
            k.first_depth = first;
            k.n_depths =
                d->n_depths - first < n_depths ? d->n_depths - first : n_depths;
            TAP_TRY_OUT(run_chunk(s, &k, p, average, m, err));
        }
out:
    tap_free(k.values);
    tap_free(k.sums);
    tap_free(k.order);
    tap_free(k.sorted);
    tap_free(k.scratch);
    return status;
}

static tap_status alloc_results(tap_stats *s, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    for (int m = 0; m < TAP_N_METRICS; m++)
        if (d->metrics[m])
            s->metrics[s->n_metrics++] = (tap_metric)m;
    const size_t n =
        (size_t)TAP_N_AVERAGES * (size_t)s->n_metrics * (size_t)d->n_depths;
    TAP_TRY(tap_alloc(&s->cells, n * (size_t)d->n_conditions, sizeof *s->cells,
                      "statistics", err));
    if (d->has_design)
        TAP_TRY(tap_alloc(&s->design, n * TAP_N_QUANTITIES, sizeof *s->design,
                          "statistics", err));
    TAP_TRY(tap_alloc(&s->areas, (size_t)d->n_conditions, sizeof *s->areas,
                      "depth curves", err));
    TAP_TRY(tap_alloc(&s->doses, d->n_doses, sizeof *s->doses, "dose curves", err));
    return tap_alloc(&s->dose_gaps, d->n_doses * d->n_doses, sizeof *s->dose_gaps,
                     "dose curves", err);
}

/* Per condition the mean of S over the range of depths, by trapezoids; a single depth is
 * its own mean. Linear in the items' scores, so each item has its own area. */
static tap_status run_areas(tap_stats *s, const tap_stats_plan *p, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    const int32_t last = d->n_depths - 1;
    double *values = NULL;
    TAP_TRY(tap_alloc(&values, (size_t)d->n_conditions,
                      (size_t)d->n_items * sizeof *values, "depth curves", err));
    for (int32_t c = 0; c < d->n_conditions; c++)
        for (int32_t k = 0; k <= last; k++) {
            const double before = k > 0 ? d->depths[k] - d->depths[k - 1] : 0;
            const double after = k < last ? d->depths[k + 1] - d->depths[k] : 0;
            const double weight =
                last == 0 ? 1.0
                          : 0.5 * (before + after) / (d->depths[last] - d->depths[0]);
            const double *ranks = ranks_at(d, c, k);
            for (int64_t i = 0; i < d->n_items; i++)
                values[c * d->n_items + i] +=
                    weight *
                    tap_metric_value(TAP_METRIC_LOG_RANK, ranks[i], d->log2_n[i]);
        }
    const tap_status status =
        tap_stats_plan_means(s->areas, values, d->n_conditions, p, s->level, err);
    tap_free(values);
    return status;
}

/* S of the uniform null: every part's best of n evenly drawn ranks, macro. */
static tap_status run_uniform(tap_stats *s, const tap_stats_plan *p, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    double *values = NULL;
    TAP_TRY(tap_alloc(&values, (size_t)d->n_items, sizeof *values, "a null", err));
    for (int64_t i = 0; i < d->n_items; i++) {
        /* parts of equal size are many: look among those before */
        int64_t k = i > 4096 ? i - 4096 : 0;
        const double log2_n = d->log2_n[i];
        while (k < i && (d->n_patches[k] != d->n_patches[i] || d->log2_n[k] < log2_n ||
                         d->log2_n[k] > log2_n))
            k++;
        values[i] =
            k < i ? values[k]
                  : 1.0 - tap_null_log2(round(exp2(log2_n)), d->n_patches[i]) / log2_n;
    }
    tap_estimate mean = {0};
    const tap_status status = tap_stats_plan_means(&mean, values, 1, p, s->level, err);
    s->uniform_s = mean.value;
    tap_free(values);
    return status;
}

static tap_stats_settings settings_of(const tap_stats *s, int n_threads)
{
    return (tap_stats_settings){.n_resamples = s->n_resamples,
                                .seed = s->seed,
                                .level = s->level,
                                .delta = s->delta,
                                .n_threads = n_threads};
}

/* Data that were not read from a database may have one N for all. */
static tap_status put_log2_n(tap_stats_data *d, tap_error *err)
{
    if (d->log2_n)
        return TAP_OK;
    TAP_TRY(tap_alloc(&d->log2_n, (size_t)d->n_items, sizeof *d->log2_n, "items", err));
    for (int64_t i = 0; i < d->n_items; i++)
        d->log2_n[i] = log2(d->n_candidates);
    return TAP_OK;
}

static tap_status compute(tap_stats *s, int n_threads, tap_error *err)
{
    TAP_TRY(put_log2_n(&s->data, err));
    TAP_TRY(alloc_results(s, err));
    for (int a = 0; a < TAP_N_AVERAGES; a++) {
        tap_stats_plan p = {0};
        TAP_TRY(tap_stats_plan_init(&p, &s->data, (tap_average)a, NULL, s->n_resamples,
                                    s->seed, n_threads, err));
        tap_status status = run_average(s, &p, (tap_average)a, err);
        if (status == TAP_OK && a == TAP_MACRO)
            status = run_areas(s, &p, err);
        if (status == TAP_OK && a == TAP_MACRO)
            status = run_uniform(s, &p, err);
        tap_stats_plan_clear(&p);
        TAP_TRY(status);
    }
    const tap_stats_settings set = settings_of(s, n_threads);
    TAP_TRY(tap_strata_run(&s->strata, &s->data, &set, err));
    return tap_tests_run(&s->tests, &s->data, s->n_resamples, (uint64_t)s->seed,
                         s->level, n_threads, err);
}

static int threads_of(const tap_stats_options *options)
{
    return options->n_threads > 0 ? options->n_threads : omp_get_num_procs();
}

tap_status tap_stats_compute(tap_stats **out, tap_stats_data *data,
                             const tap_stats_options *options, tap_error *err)
{
    tap_stats *s = NULL;
    tap_status status = tap_alloc(&s, 1, sizeof *s, "statistics", err);
    if (status != TAP_OK) {
        tap_stats_data_clear(data);
        return status;
    }
    s->data = *data;
    *data = (tap_stats_data){0};
    /* S decides on words, tests and curves, so it is always there */
    s->data.metrics[TAP_METRIC_LOG_RANK] = true;
    s->level = options->level > 0.0 ? options->level : 0.95;
    s->delta = options->delta > 0.0 ? options->delta : 0.02;
    s->n_resamples =
        options->n_resamples < 0 ? s->data.bootstrap : options->n_resamples;
    s->seed = options->seed < 0 ? s->data.seed : options->seed;
    status = compute(s, threads_of(options), err);
    if (status == TAP_OK)
        *out = s;
    else
        tap_stats_free(s);
    return status;
}

tap_status tap_stats_run(tap_stats **out, const tap_store *store,
                         const tap_stats_options *options, tap_error *err)
{
    tap_stats_data data = {0};
    tap_stats *s = NULL;
    TAP_TRY(tap_stats_data_read(&data, store, err));
    TAP_TRY(tap_stats_compute(&s, &data, options, err));
    const tap_stats_settings set = settings_of(s, threads_of(options));
    tap_status status =
        tap_control_results_run(&s->controls, &s->data, store, &set, err);
    if (status == TAP_OK)
        status = tap_located_results_run(&s->located, &s->data, store, &set, err);
    if (status == TAP_OK)
        *out = s;
    else
        tap_stats_free(s);
    return status;
}

void tap_stats_free(tap_stats *stats)
{
    if (!stats)
        return;
    tap_stats_data_clear(&stats->data);
    tap_free(stats->cells);
    tap_free(stats->design);
    tap_free(stats->doses);
    tap_free(stats->dose_gaps);
    tap_free(stats->areas);
    tap_tests_clear(&stats->tests);
    tap_control_results_clear(&stats->controls);
    tap_located_results_clear(&stats->located);
    tap_strata_clear(&stats->strata);
    tap_free(stats);
}

static int64_t result_at(const tap_stats *s, tap_average average, int32_t metric,
                         int32_t depth)
{
    assert(metric >= 0 && metric < s->n_metrics && depth >= 0 &&
           depth < s->data.n_depths);
    return ((int64_t)average * s->n_metrics + metric) * s->data.n_depths + depth;
}

const tap_estimate *tap_stats_cell(const tap_stats *stats, tap_average average,
                                   int32_t metric, int32_t depth, int32_t condition)
{
    assert(condition >= 0 && condition < stats->data.n_conditions);
    return stats->cells +
           result_at(stats, average, metric, depth) * stats->data.n_conditions +
           condition;
}

const tap_estimate *tap_stats_quantity(const tap_stats *stats, tap_average average,
                                       int32_t metric, int32_t depth,
                                       tap_quantity quantity)
{
    if (!stats->design)
        return NULL;
    return stats->design + result_at(stats, average, metric, depth) * TAP_N_QUANTITIES +
           quantity;
}

int32_t tap_stats_find_metric(const tap_stats *stats, tap_metric metric)
{
    for (int32_t m = 0; m < stats->n_metrics; m++)
        if (stats->metrics[m] == metric)
            return m;
    return -1;
}

#include "lab/stats.h"

#include "lab/stats_dose.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum { CHUNK_BYTES = 48 << 20 }; /* of resampled values held at a time */

/* A difference of scores below it is 0 but for rounding. */
static const double ROUNDING = 1e-12;

static const char *const AVERAGES[] = {"macro", "micro"};
static const char *const QUANTITIES[] = {"deficit", "d0", "d1", "I", "R", "R_V", "CI"};
static_assert(sizeof QUANTITIES / sizeof QUANTITIES[0] == TAP_N_QUANTITIES,
              "a name each");

static const char *const NA_ZERO = "the interval of the denominator includes 0";
static const char *const NA_SMALL = "the denominator is smaller than the set delta";

const char *tap_average_name(tap_average average)
{
    return AVERAGES[average];
}

const char *tap_quantity_name(tap_quantity quantity)
{
    return QUANTITIES[quantity];
}

/* One average of one database: cells, draws, and the tables of items by category. */
typedef struct plan {
    const tap_stats_data *d;
    tap_stat_cells cells;
    int32_t *image, *category; /* [n_cells], owned */
    double *n_parts;           /* [n_cells], owned */
    int32_t *cell_of_item;     /* [n_items] */
    int32_t *by_category;      /* [n_items] items by category, then image */
    int32_t *first;            /* [n_categories + 1] into by_category */
    tap_draws draws;
    int32_t whole[2]; /* one stratum of all images: its bounds */
    int32_t *every;   /* [n_images] 0, 1, 2 ..., owned */
    int n_threads;
} plan;

static void clear_plan(plan *p)
{
    tap_free(p->image);
    tap_free(p->category);
    tap_free(p->n_parts);
    tap_free(p->cell_of_item);
    tap_free(p->by_category);
    tap_free(p->first);
    tap_free(p->every);
}

/* Items by category (micro: all in one), images rising within it, and their cells. */
static void fill_cells(plan *p, bool micro, int32_t n_categories)
{
    const tap_stats_data *d = p->d;
    for (int64_t i = 0; i < d->n_items; i++)
        p->first[(micro ? 0 : d->category[i]) + 1]++;
    for (int32_t k = 0; k < n_categories; k++)
        p->first[k + 1] += p->first[k];
    /* items come with images rising, so a stable count sort keeps them so */
    for (int64_t i = d->n_items; i-- > 0;)
        p->by_category[--p->first[(micro ? 0 : d->category[i]) + 1]] = (int32_t)i;
    for (int32_t k = 0; k < n_categories; k++)
        p->first[k] = p->first[k + 1];
    p->first[n_categories] = (int32_t)d->n_items;
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
}

static tap_status init_plan(plan *p, const tap_stats *s, tap_average average,
                            int64_t seed, int n_threads, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    const bool micro = average == TAP_MICRO;
    const size_t n = (size_t)d->n_items;
    const int32_t n_categories = micro ? 1 : d->n_categories;
    p->d = d;
    p->n_threads = n_threads;
    TAP_TRY(tap_alloc(&p->image, n, sizeof *p->image, "statistics", err));
    TAP_TRY(tap_alloc(&p->category, n, sizeof *p->category, "statistics", err));
    TAP_TRY(tap_alloc(&p->n_parts, n, sizeof *p->n_parts, "statistics", err));
    TAP_TRY(tap_alloc(&p->cell_of_item, n, sizeof *p->cell_of_item, "statistics", err));
    TAP_TRY(tap_alloc(&p->by_category, n, sizeof *p->by_category, "statistics", err));
    TAP_TRY(tap_alloc(&p->first, (size_t)n_categories + 1, sizeof *p->first,
                      "statistics", err));
    TAP_TRY(
        tap_alloc(&p->every, (size_t)d->n_images, sizeof *p->every, "statistics", err));
    for (int64_t i = 0; i < d->n_images; i++)
        p->every[i] = (int32_t)i;
    p->whole[1] = (int32_t)d->n_images;
    fill_cells(p, micro, n_categories);
    p->draws = (tap_draws){.n_images = d->n_images,
                           .order = micro ? p->every : d->stratum_order,
                           .first = micro ? p->whole : d->stratum_first,
                           .n_strata = micro ? 1 : d->n_strata,
                           .n_resamples = s->n_resamples,
                           .seed = (uint64_t)seed,
                           .stream = micro ? 0 : 1};
    return TAP_OK;
}

static double value_of(tap_metric metric, double rank, double log2_n)
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

static tap_status fill_sums(chunk *k, const plan *p, tap_error *err)
{
    const tap_stats_data *d = p->d;
    const double log2_n = log2(d->n_candidates);
    const int64_t n_columns = (int64_t)k->n_depths * d->n_conditions;
    memset(k->sums, 0, (size_t)(n_columns * p->cells.n_cells) * sizeof *k->sums);
#pragma omp parallel for num_threads(p->n_threads)
    for (int64_t column = 0; column < n_columns; column++) {
        const double *ranks =
            ranks_at(d, (int32_t)(column % d->n_conditions),
                     k->first_depth + (int32_t)(column / d->n_conditions));
        double *sums = k->sums + column * p->cells.n_cells;
        for (int64_t i = 0; i < d->n_items; i++)
            sums[p->cell_of_item[i]] += value_of(k->metric, ranks[i], log2_n);
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

static tap_status fill_medians(chunk *k, const plan *p, tap_error *err)
{
    const tap_stats_data *d = p->d;
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

/* One quantity of the design from one row of the four cells. */
static double quantity_of(tap_quantity quantity, const double s[TAP_N_CELLS])
{
    const double deficit = s[TAP_S11] - s[TAP_S00];
    const double d0 = s[TAP_S10] - s[TAP_S00], d1 = s[TAP_S11] - s[TAP_S01];
    switch (quantity) {
    case TAP_Q_DEFICIT:
        return deficit;
    case TAP_Q_D0:
        return d0;
    case TAP_Q_D1:
        return d1;
    case TAP_Q_I:
        return s[TAP_S01] + s[TAP_S10] - s[TAP_S00] - s[TAP_S11];
    case TAP_Q_R:
        return (s[TAP_S01] - s[TAP_S00]) / deficit;
    case TAP_Q_RV:
        return d0 / deficit;
    case TAP_Q_CI:
        return 1.0 - d1 / d0;
    case TAP_N_QUANTITIES:
        break;
    }
    return (double)NAN;
}

static bool is_ratio(tap_quantity quantity)
{
    return quantity >= TAP_Q_R;
}

static tap_quantity denominator_of(tap_quantity quantity)
{
    return quantity == TAP_Q_CI ? TAP_Q_D0 : TAP_Q_DEFICIT;
}

/* Writes the rows of a quantity; a ratio has no value in rows where its denominator has
 * not the sign that it has in the data. */
static void quantity_rows(double *rows, int64_t n_rows, tap_quantity quantity,
                          const double *const cells[TAP_N_CELLS])
{
    double sign = 0.0;
    for (int64_t row = 0; row < n_rows; row++) {
        double s[TAP_N_CELLS];
        for (int c = 0; c < TAP_N_CELLS; c++)
            s[c] = cells[c][row];
        rows[row] = quantity_of(quantity, s);
        if (!is_ratio(quantity))
            continue;
        const double below = quantity_of(denominator_of(quantity), s);
        if (row == 0)
            sign = below;
        if (!(below * sign > 0.0) || fabs(below) < ROUNDING)
            rows[row] = (double)NAN;
    }
}

static void check_identities(const tap_estimate *q)
{
    const double deficit = q[TAP_Q_DEFICIT].value, d0 = q[TAP_Q_D0].value;
    const double i = q[TAP_Q_I].value;
    if (isfinite(q[TAP_Q_R].value))
        assert(fabs(q[TAP_Q_R].value + q[TAP_Q_RV].value - 1.0 - i / deficit) <
               1e-9 * (1.0 + fabs(i / deficit)));
    if (isfinite(q[TAP_Q_CI].value))
        assert(fabs(q[TAP_Q_CI].value - i / d0) < 1e-9 * (1.0 + fabs(i / d0)));
    (void)deficit;
    (void)d0;
    (void)i;
}

/* All quantities of one (average, metric, depth). rows [n_rows], scratch [n_resamples]. */
static void run_design(tap_estimate *out, const tap_stats *s, const plan *p,
                       tap_metric metric, const double *values, double *rows,
                       double *scratch)
{
    const int64_t n_rows = tap_draws_rows(&p->draws);
    const double *cells[TAP_N_CELLS];
    for (int c = 0; c < TAP_N_CELLS; c++)
        cells[c] = values + s->data.design[c] * n_rows;
    for (int q = 0; q < TAP_N_QUANTITIES; q++) {
        quantity_rows(rows, n_rows, (tap_quantity)q, cells);
        out[q] = tap_interval_run(rows, &p->draws, s->level, scratch);
    }
    check_identities(out);
    for (int q = 0; q < TAP_N_QUANTITIES; q++) {
        if (!is_ratio((tap_quantity)q))
            continue;
        const tap_estimate *below = &out[denominator_of((tap_quantity)q)];
        const bool tiny =
            fabs(below->value) < s->delta && metric == TAP_METRIC_LOG_RANK;
        /* without resamples there is no interval that could include 0 */
        const bool spans = s->n_resamples > 0 ? !(below->low > 0.0 || below->high < 0.0)
                                              : below->value == 0.0;
        if (tiny || spans)
            out[q] = (tap_estimate){.value = (double)NAN,
                                    .low = (double)NAN,
                                    .high = (double)NAN,
                                    .bca_low = (double)NAN,
                                    .bca_high = (double)NAN,
                                    .undefined = out[q].undefined,
                                    .na = spans ? NA_ZERO : NA_SMALL};
    }
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
static tap_status run_doses(tap_stats *s, const plan *p, const double *values,
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
static tap_status run_chunk(tap_stats *s, chunk *k, const plan *p, tap_average average,
                            int32_t metric, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    const int64_t n_rows = tap_draws_rows(&p->draws);
    if (k->metric == TAP_METRIC_MEDIAN)
        TAP_TRY(fill_medians(k, p, err));
    else
        TAP_TRY(fill_sums(k, p, err));
    const int64_t per_depth = d->n_conditions + (s->design ? 1 : 0);
    const size_t stride = (size_t)(n_rows + p->draws.n_resamples);
#pragma omp parallel for schedule(dynamic) num_threads(p->n_threads)
    for (int64_t job = 0; job < k->n_depths * per_depth; job++) {
        const int64_t depth = job / per_depth, which = job % per_depth;
        double *rows = k->scratch + (size_t)omp_get_thread_num() * stride;
        const double *values = k->values + depth * d->n_conditions * n_rows;
        const int64_t at = ((int64_t)average * s->n_metrics + metric) * d->n_depths +
                           k->first_depth + depth;
        if (which < d->n_conditions)
            s->cells[at * d->n_conditions + which] = tap_interval_run(
                values + which * n_rows, &p->draws, s->level, rows + n_rows);
        else
            run_design(s->design + at * TAP_N_QUANTITIES, s, p, k->metric, values, rows,
                       rows + n_rows);
    }
    const int32_t words = d->depth - k->first_depth;
    if (average == TAP_MACRO && k->metric == TAP_METRIC_LOG_RANK && words >= 0 &&
        words < k->n_depths && d->n_doses)
        return run_doses(s, p, k->values + (int64_t)words * d->n_conditions * n_rows,
                         k->scratch, err);
    return TAP_OK;
}

static tap_status run_average(tap_stats *s, const plan *p, tap_average average,
                              tap_error *err)
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
    TAP_TRY(tap_alloc(&s->doses, d->n_doses, sizeof *s->doses, "dose curves", err));
    return tap_alloc(&s->dose_gaps, d->n_doses * d->n_doses, sizeof *s->dose_gaps,
                     "dose curves", err);
}

tap_status tap_stats_run(tap_stats **out, const tap_store *store,
                         const tap_stats_options *options, tap_error *err)
{
    tap_stats *s = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&s, 1, sizeof *s, "statistics", err));
    TAP_TRY_OUT(tap_stats_data_read(&s->data, store, err));
    /* S decides on words, tests and curves, so it is always there */
    s->data.metrics[TAP_METRIC_LOG_RANK] = true;
    s->level = options->level > 0.0 ? options->level : 0.95;
    s->delta = options->delta > 0.0 ? options->delta : 0.02;
    s->n_resamples =
        options->n_resamples < 0 ? s->data.bootstrap : options->n_resamples;
    const int64_t seed = options->seed < 0 ? s->data.seed : options->seed;
    const int n_threads =
        options->n_threads > 0 ? options->n_threads : omp_get_num_procs();
    TAP_TRY_OUT(alloc_results(s, err));
    for (int a = 0; a < TAP_N_AVERAGES; a++) {
        plan p = {0};
        status = init_plan(&p, s, (tap_average)a, seed, n_threads, err);
        if (status == TAP_OK)
            status = run_average(s, &p, (tap_average)a, err);
        clear_plan(&p);
        if (status != TAP_OK)
            goto out;
    }
out:
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

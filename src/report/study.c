#include "report/study.h"

#include "lab/store_sql.h"
#include "report/figure.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 4096 };

static double score_of(const tap_stats_data *d, int64_t item, double rank)
{
    return 1.0 - log2(rank) / d->log2_n[item];
}

static double own_score(const tap_stats_data *d, int32_t condition, int32_t depth,
                        int64_t item)
{
    return score_of(
        d, item,
        d->best[((int64_t)condition * d->n_depths + depth) * d->n_items + item]);
}

static tap_group_options options_of(const tap_study *s, int32_t category, int n_threads)
{
    return (tap_group_options){.category = category,
                               .n_resamples = s->group_resamples,
                               .seed = (uint64_t)s->data->seed,
                               .level = s->stats->level,
                               .n_threads = n_threads};
}

/* ---- categories ---- */

static int by_compensation(const void *a, const void *b)
{
    const tap_study_part *x = a, *y = b;
    if (x->compensation != y->compensation)
        return x->compensation > y->compensation ? -1 : 1;
    return x->category - y->category;
}

/* values [n_depths][TAP_N_PART_VALUES][n_items] */
static void part_values(double *values, const tap_stats_data *d)
{
    for (int32_t depth = 0; depth < d->n_depths; depth++)
        for (int64_t i = 0; i < d->n_items; i++) {
            double *at = values + (int64_t)depth * TAP_N_PART_VALUES * d->n_items + i;
            double cells[TAP_N_CELLS];
            for (int c = 0; c < TAP_N_CELLS; c++)
                at[c * d->n_items] = cells[c] = own_score(d, d->design[c], depth, i);
            at[TAP_PART_D0 * d->n_items] = cells[TAP_S10] - cells[TAP_S00];
            at[TAP_PART_D1 * d->n_items] = cells[TAP_S11] - cells[TAP_S01];
        }
}

static tap_status read_parts(tap_study *s, int n_threads, tap_error *err)
{
    const tap_stats_data *d = s->data;
    const int64_t n_columns = (int64_t)d->n_depths * TAP_N_PART_VALUES;
    double *values = NULL;
    if (!d->has_design)
        return TAP_OK;
    TAP_TRY(
        tap_alloc(&s->parts, (size_t)d->n_categories, sizeof *s->parts, "parts", err));
    TAP_TRY(tap_alloc(&values, (size_t)(n_columns * d->n_items), sizeof *values,
                      "parts", err));
    part_values(values, d);
    tap_status status = TAP_OK;
    for (int32_t k = 0; k < d->n_categories && k < MAX_PARTS; k++) {
        tap_study_part *part = &s->parts[s->n_parts];
        part->category = k;
        TAP_TRY_OUT(tap_alloc(&part->values, (size_t)n_columns, sizeof *part->values,
                              "parts", err));
        s->n_parts++;
        const tap_group_options options = options_of(s, k, n_threads);
        TAP_TRY_OUT(tap_group_means(part->values, &part->n_images, &part->n_items,
                                    values, n_columns, d, &options, err));
    }
    for (int32_t k = 0; k < s->n_parts; k++) {
        const tap_estimate *at =
            s->parts[k].values + (int64_t)d->depth * TAP_N_PART_VALUES;
        s->parts[k].compensation = at[TAP_PART_D0].value - at[TAP_PART_D1].value;
    }
    qsort(s->parts, (size_t)s->n_parts, sizeof *s->parts, by_compensation);
out:
    tap_free(values);
    return status;
}

/* ---- nulls and controls ---- */

static tap_status read_null(tap_study *s, int n_threads, tap_error *err)
{
    const tap_stats_data *d = s->data;
    double *values = NULL;
    if (!d->null_best)
        return TAP_OK;
    const int32_t clean = d->has_design ? d->design[TAP_S11] : 0;
    const int64_t n = (int64_t)d->n_depths * d->n_items;
    TAP_TRY(tap_alloc(&s->null, (size_t)d->n_depths, sizeof *s->null, "nulls", err));
    TAP_TRY(tap_alloc(&values, (size_t)n, sizeof *values, "nulls", err));
    for (int64_t i = 0; i < n; i++)
        values[i] = score_of(d, i % d->n_items, d->null_best[clean * n + i]);
    const tap_group_options options = options_of(s, TAP_ALL_CATEGORIES, n_threads);
    int64_t n_items = 0;
    const tap_status status =
        tap_group_means(s->null, NULL, &n_items, values, d->n_depths, d, &options, err);
    tap_free(values);
    if (n_items == 0) {
        tap_free(s->null);
        s->null = NULL;
    }
    return status;
}

/* ids [n_items] of the scored items, rising. */
static tap_status read_ids(int64_t *ids, const tap_study *s, tap_error *err)
{
    static const char sql[] =
        "SELECT item.id FROM item JOIN image ON image.id = item.image_id WHERE "
        "item.excluded IS NULL AND image.excluded IS NULL ORDER BY item.id";
    const char *path = tap_store_path(s->store);
    sqlite3_stmt *query = NULL;
    TAP_TRY(tap_sql_prepare(&query, tap_store_sqlite(s->store), path, sql, err));
    tap_status status = TAP_OK;
    bool row = true;
    for (int64_t i = 0; status == TAP_OK && row && i < s->data->n_items; i++) {
        status = tap_sql_step(&row, query, path, err);
        ids[i] = sqlite3_column_int64(query, 0);
    }
    (void)sqlite3_finalize(query);
    return status;
}

static int64_t find_id(const int64_t *ids, int64_t n, int64_t id)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && ids[low] == id ? low : -1;
}

/* Sums of log2 rank over the draws of one control under one condition. */
typedef struct draws_sum {
    double *sums, *counts; /* [n_depths][n_items] */
    const int64_t *ids;
} draws_sum;

static tap_status close_control(tap_study *s, const draws_sum *sum, int control,
                                int32_t condition, int n_threads, tap_error *err)
{
    const tap_stats_data *d = s->data;
    const int64_t n = (int64_t)d->n_depths * d->n_items;
    tap_study_control *out = &s->controls[s->n_controls];
    double *own = NULL;
    *out = (tap_study_control){.control = (tap_control)control, .condition = condition};
    TAP_TRY(tap_alloc(&out->values, 2 * (size_t)d->n_depths, sizeof *out->values,
                      "controls", err));
    s->n_controls++;
    out->own = out->values + d->n_depths;
    TAP_TRY(tap_alloc(&own, (size_t)n, sizeof *own, "controls", err));
    for (int64_t i = 0; i < n; i++) {
        const bool has = sum->counts[i] > 0.0;
        sum->sums[i] =
            has ? 1.0 - sum->sums[i] / sum->counts[i] / d->log2_n[i % d->n_items]
                : (double)NAN;
        own[i] =
            has ? own_score(d, condition, (int32_t)(i / d->n_items), i % d->n_items)
                : (double)NAN;
    }
    const tap_group_options options = options_of(s, TAP_ALL_CATEGORIES, n_threads);
    tap_status status = tap_group_means(out->values, NULL, &out->n_items, sum->sums,
                                        d->n_depths, d, &options, err);
    if (status == TAP_OK)
        status =
            tap_group_means(out->own, NULL, NULL, own, d->n_depths, d, &options, err);
    tap_free(own);
    memset(sum->sums, 0, (size_t)n * sizeof *sum->sums);
    memset(sum->counts, 0, (size_t)n * sizeof *sum->counts);
    return status;
}

static int find_control(const char *name)
{
    for (int c = 0; name && c < TAP_N_CONTROLS; c++)
        if (strcmp(tap_control_name((tap_control)c), name) == 0)
            return c;
    return -1;
}

static int32_t find_depth(const tap_stats_data *d, int depth)
{
    for (int32_t i = 0; i < d->n_depths; i++)
        if (d->depths[i] == depth)
            return i;
    return -1;
}

static tap_status sum_controls(tap_study *s, draws_sum *sum, sqlite3_stmt *query,
                               int n_threads, tap_error *err)
{
    const tap_stats_data *d = s->data;
    const char *path = tap_store_path(s->store);
    int control = -1;
    int32_t condition = -1;
    for (;;) {
        bool row = false;
        TAP_TRY(tap_sql_step(&row, query, path, err));
        const int next =
            row ? find_control((const char *)sqlite3_column_text(query, 0)) : -1;
        const int32_t under = row ? sqlite3_column_int(query, 1) : -1;
        if (control >= 0 && (next != control || under != condition))
            TAP_TRY(close_control(s, sum, control, condition, n_threads, err));
        control = under >= 0 && under < d->n_conditions ? next : -1;
        condition = under;
        if (!row)
            return TAP_OK;
        const int64_t item =
            find_id(sum->ids, d->n_items, sqlite3_column_int64(query, 2));
        const int32_t depth = find_depth(d, sqlite3_column_int(query, 3));
        const double rank = sqlite3_column_double(query, 4);
        if (control < 0 || item < 0 || depth < 0 || !(rank >= 1.0))
            continue;
        sum->sums[depth * d->n_items + item] += log2(rank);
        sum->counts[depth * d->n_items + item] += 1.0;
    }
}

static tap_status read_controls(tap_study *s, int n_threads, tap_error *err)
{
    static const char sql[] =
        "SELECT control, condition_id, item_id, depth, best_rank FROM control JOIN "
        "control_set ON control_set.id = set_id ORDER BY control, condition_id";
    const size_t n = (size_t)s->data->n_depths * (size_t)s->data->n_items;
    sqlite3_stmt *query = NULL;
    draws_sum sum = {0};
    int64_t *ids = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&s->controls,
                          (size_t)(TAP_N_CONTROLS * s->data->n_conditions),
                          sizeof *s->controls, "controls", err));
    TAP_TRY_OUT(tap_alloc(&ids, (size_t)s->data->n_items, sizeof *ids, "items", err));
    TAP_TRY_OUT(tap_alloc(&sum.sums, n, sizeof *sum.sums, "controls", err));
    TAP_TRY_OUT(tap_alloc(&sum.counts, n, sizeof *sum.counts, "controls", err));
    sum.ids = ids;
    TAP_TRY_OUT(read_ids(ids, s, err));
    TAP_TRY_OUT(tap_sql_prepare(&query, tap_store_sqlite(s->store),
                                tap_store_path(s->store), sql, err));
    status = sum_controls(s, &sum, query, n_threads, err);
out:
    (void)sqlite3_finalize(query);
    tap_free(sum.sums);
    tap_free(sum.counts);
    tap_free(ids);
    return status;
}

/* ---- the whole ---- */

tap_status tap_study_fact(char **out, const tap_study *study, const char *key,
                          tap_error *err)
{
    TAP_TRY(tap_store_query_fact(out, study->store, key, err));
    return *out ? TAP_OK : tap_text_copy(out, "", 0, err);
}

/* The file's name without folders and ".db". */
static tap_status read_title(tap_study *s, tap_error *err)
{
    const char *path = tap_store_path(s->store);
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const size_t n = strlen(name);
    const bool db = n > 3 && strcmp(name + n - 3, ".db") == 0;
    return tap_text_copy(&s->title, name, db ? n - 3 : n, err);
}

tap_status tap_study_open(tap_study **out, const tap_store *store, int n_threads,
                          tap_error *err)
{
    tap_study *s = NULL;
    TAP_TRY(tap_alloc(&s, 1, sizeof *s, "a study", err));
    const int threads = n_threads > 0 ? n_threads : omp_get_num_procs();
    const tap_stats_options options = {
        .n_threads = threads, .n_resamples = -1, .seed = -1};
    tap_status status = TAP_OK;
    s->store = store;
    TAP_TRY_OUT(tap_stats_run(&s->stats, store, &options, err));
    s->data = &s->stats->data;
    s->n_cells = s->data->has_design ? TAP_N_CELLS : 0;
    s->group_resamples = s->stats->n_resamples < TAP_GROUP_RESAMPLES
                             ? s->stats->n_resamples
                             : TAP_GROUP_RESAMPLES;
    TAP_TRY_OUT(read_title(s, err));
    TAP_TRY_OUT(read_parts(s, threads, err));
    TAP_TRY_OUT(read_null(s, threads, err));
    TAP_TRY_OUT(read_controls(s, threads, err));
out:
    if (status == TAP_OK)
        *out = s;
    else
        tap_study_free(s);
    return status;
}

void tap_study_free(tap_study *study)
{
    if (!study)
        return;
    for (int32_t k = 0; k < study->n_parts; k++)
        tap_free(study->parts[k].values);
    for (int32_t k = 0; k < study->n_controls; k++)
        tap_free(study->controls[k].values);
    tap_free(study->parts);
    tap_free(study->controls);
    tap_free(study->null);
    tap_free(study->title);
    tap_stats_free(study->stats);
    tap_free(study);
}

int tap_study_look(const tap_study *study, int32_t condition)
{
    int others = 0;
    for (int32_t c = 0; c <= condition; c++) {
        bool cell = false;
        for (int k = 0; k < study->n_cells; k++)
            if (study->data->design[k] == c) {
                if (c == condition)
                    return TAP_LOOK_S11 + k;
                cell = true;
            }
        others += !cell && c < condition;
    }
    return TAP_LOOK_OTHER_A + others % 4;
}

const char *tap_study_condition(const tap_study *study, int32_t condition)
{
    static const char *const cells[] = {"clean", "encoder cut", "decoder cut",
                                        "both cut"};
    for (int k = 0; k < study->n_cells; k++)
        if (study->data->design[k] == condition)
            return cells[k];
    return study->data->conditions[condition];
}

static bool is_cell(const tap_study *study, int32_t condition)
{
    for (int k = 0; k < study->n_cells; k++)
        if (study->data->design[k] == condition)
            return true;
    return false;
}

static bool is_dose(const tap_study *study, int32_t condition)
{
    for (size_t i = 0; i < study->data->n_doses; i++)
        for (size_t k = 0; k < study->data->doses[i].n_points; k++)
            if (study->data->doses[i].points[k].condition == condition)
                return true;
    return false;
}

void tap_study_curves(int32_t *out, int32_t *n, const tap_study *study)
{
    *n = 0;
    for (int32_t c = 0; c < study->data->n_conditions; c++)
        if (study->n_cells == 0 || is_cell(study, c) || !is_dose(study, c))
            out[(*n)++] = c;
}

const char *tap_study_dose(const tap_study *study, size_t curve)
{
    static const char key[] = "doses."; /* as the manifest spells it */
    const char *name = study->data->doses[curve].name;
    return strncmp(name, key, sizeof key - 1) == 0 ? name + sizeof key - 1 : name;
}

#include "lab/stats_data.h"

#include "lab/store_sql.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MIN_STRATUM_IMAGES = 8, MAX_CANDIDATES = 1 << 24 };

/* The database and what is being read from it. */
typedef struct reader {
    tap_stats_data *d;
    const tap_store *store;
    sqlite3 *db;
    const char *path;
} reader;

static tap_status query(sqlite3_stmt **out, const reader *r, const char *sql,
                        tap_error *err)
{
    return tap_sql_prepare(out, r->db, r->path, sql, err);
}

static tap_status query_int(int64_t *out, const reader *r, const char *sql,
                            tap_error *err)
{
    return tap_sql_int(out, r->db, r->path, sql, err);
}

#define SCORED                                                                         \
    " FROM item JOIN image ON image.id = item.image_id"                                \
    " WHERE item.excluded IS NULL AND image.excluded IS NULL "

static tap_status read_counts(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    int64_t n = 0;
    TAP_TRY(query_int(&d->n_all_images, r, "SELECT COUNT(*) FROM image", err));
    TAP_TRY(query_int(&d->n_all_items, r, "SELECT COUNT(*) FROM item", err));
    TAP_TRY(query_int(&d->n_items, r, "SELECT COUNT(*)" SCORED, err));
    TAP_TRY(query_int(&d->n_images, r, "SELECT COUNT(DISTINCT image_id)" SCORED, err));
    TAP_TRY(query_int(
        &n, r, "SELECT COUNT(*) FROM (SELECT DISTINCT object, label" SCORED ")", err));
    d->n_categories = (int32_t)n;
    TAP_TRY(query_int(&n, r, "SELECT COUNT(*) FROM condition", err));
    d->n_conditions = (int32_t)n;
    TAP_TRY(query_int(&n, r, "SELECT COUNT(*) FROM depth", err));
    d->n_depths = (int32_t)n;
    if (d->n_items == 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "'%s' has no scored item yet (%lld images, %lld items, all "
                        "excluded); see 'export' of the view exclusion",
                        r->path, (long long)d->n_all_images, (long long)d->n_all_items);
    if (d->n_items > INT32_MAX || d->n_conditions > TAP_MAX_CONDITIONS ||
        d->n_conditions < 1 || d->n_depths < 1 || d->n_depths > 4097)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "'%s' has %lld items, %d conditions and %d depths, which no run "
            "writes",
            r->path, (long long)d->n_items, d->n_conditions, d->n_depths);
    return TAP_OK;
}

static tap_status copy_column(char **out, sqlite3_stmt *s, int column, tap_error *err)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return tap_text_copy(out, text ? text : "", text ? strlen(text) : 0, err);
}

static tap_status read_exclusions(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    int64_t n = 0;
    sqlite3_stmt *s = NULL;
    TAP_TRY(query_int(&n, r, "SELECT COUNT(*) FROM exclusion", err));
    TAP_TRY(
        tap_alloc(&d->exclusions, (size_t)n, sizeof *d->exclusions, "exclusions", err));
    TAP_TRY(query(&s, r, "SELECT reason, n_items, n_images FROM exclusion", err));
    tap_status status = TAP_OK;
    for (bool more = true; status == TAP_OK && d->n_exclusions < (size_t)n;) {
        status = tap_sql_step(&more, s, r->path, err);
        if (status != TAP_OK || !more)
            break;
        tap_exclusion *e = &d->exclusions[d->n_exclusions++];
        e->n_items = sqlite3_column_int64(s, 1);
        e->n_images = sqlite3_column_int64(s, 2);
        status = copy_column(&e->reason, s, 0, err);
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* n rows of (text): [n] copies. */
static tap_status read_texts(char ***out, const reader *r, const char *sql, int32_t n,
                             tap_error *err)
{
    sqlite3_stmt *s = NULL;
    TAP_TRY(tap_alloc(out, (size_t)n, sizeof **out, "names", err));
    TAP_TRY(query(&s, r, sql, err));
    tap_status status = TAP_OK;
    bool more = true;
    for (int32_t i = 0; status == TAP_OK && i < n; i++) {
        status = tap_sql_step(&more, s, r->path, err);
        assert(more || status != TAP_OK);
        if (status == TAP_OK)
            status = copy_column(&(*out)[i], s, 0, err);
    }
    (void)sqlite3_finalize(s);
    return status;
}

static tap_status read_depths(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    sqlite3_stmt *s = NULL;
    TAP_TRY(
        tap_alloc(&d->depths, (size_t)d->n_depths, sizeof *d->depths, "depths", err));
    TAP_TRY(query(&s, r, "SELECT depth FROM depth ORDER BY depth", err));
    tap_status status = TAP_OK;
    bool more = true;
    for (int32_t i = 0; status == TAP_OK && i < d->n_depths; i++) {
        status = tap_sql_step(&more, s, r->path, err);
        d->depths[i] = status == TAP_OK ? sqlite3_column_int(s, 0) : 0;
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* Which item is which image and category. objects [n_items]: the object class, dense. */
static tap_status read_items(reader *r, int32_t *objects, tap_error *err)
{
    tap_stats_data *d = r->d;
    const size_t n = (size_t)d->n_items;
    TAP_TRY(tap_alloc(&d->image, n, sizeof *d->image, "items", err));
    TAP_TRY(tap_alloc(&d->category, n, sizeof *d->category, "items", err));
    TAP_TRY(tap_alloc(&d->n_patches, n, sizeof *d->n_patches, "items", err));
    TAP_TRY(tap_alloc(&d->raster, n, sizeof *d->raster, "items", err));
    TAP_TRY(tap_alloc(&d->ids, n, sizeof *d->ids, "items", err));
    TAP_TRY(tap_alloc(&d->log2_n, n, sizeof *d->log2_n, "items", err));
    sqlite3_stmt *s = NULL;
    TAP_TRY(query(&s, r,
                  "SELECT item.id, dense_rank() OVER (ORDER BY image_id) - 1,"
                  " dense_rank() OVER (ORDER BY object, label) - 1,"
                  " dense_rank() OVER (ORDER BY object) - 1, n_patches, raster_frac,"
                  " n_candidates" SCORED "ORDER BY image_id, item.id",
                  err));
    tap_status status = TAP_OK;
    bool more = true;
    for (size_t i = 0; status == TAP_OK && i < n; i++) {
        status = tap_sql_step(&more, s, r->path, err);
        if (status != TAP_OK)
            break;
        assert(more);
        d->ids[i] = sqlite3_column_int64(s, 0);
        d->image[i] = sqlite3_column_int(s, 1);
        d->category[i] = sqlite3_column_int(s, 2);
        objects[i] = sqlite3_column_int(s, 3);
        d->n_patches[i] = sqlite3_column_int(s, 4);
        d->raster[i] = sqlite3_column_type(s, 5) == SQLITE_NULL
                           ? (double)NAN
                           : sqlite3_column_double(s, 5);
        const double n_candidates = sqlite3_column_type(s, 6) == SQLITE_NULL
                                        ? d->n_candidates
                                        : sqlite3_column_double(s, 6);
        d->log2_n[i] = log2(n_candidates);
        if (!(n_candidates >= 2.0 && n_candidates <= d->n_candidates)) {
            status =
                TAP_FAIL(err, TAP_EFORMAT,
                         "'%s': item %lld is ranked among %g words; expected 2 to "
                         "readout.n_candidates = %g",
                         r->path, (long long)d->ids[i], n_candidates, d->n_candidates);
            break;
        }
        assert(d->image[i] < d->n_images && d->category[i] < d->n_categories);
    }
    (void)sqlite3_finalize(s);
    return status;
}

/* Place of a value among n rising ones; -1 if absent. */
static int64_t find_sorted(const int64_t *values, int64_t n, int64_t value)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        if (values[mid] < value)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && values[low] == value ? low : -1;
}

int64_t tap_stats_data_item(const tap_stats_data *data, int64_t id)
{
    return find_sorted(data->ids, data->n_items, id);
}

bool tap_stats_data_is_rank(const tap_stats_data *data, int64_t item, double rank)
{
    return rank >= 1.0 && rank <= round(exp2(data->log2_n[item]));
}

int32_t tap_stats_data_condition(const tap_stats_data *data, int64_t id)
{
    return (int32_t)find_sorted(data->condition_ids, data->n_conditions, id);
}

int32_t tap_stats_data_depth(const tap_stats_data *data, int64_t depth)
{
    for (int32_t k = 0; k < data->n_depths; k++)
        if (data->depths[k] == depth)
            return k;
    return -1;
}

static tap_status read_scores(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    const size_t n = (size_t)d->n_items;
    size_t n_cells = 0;
    TAP_TRY(
        tap_size_mul(&n_cells, n, (size_t)d->n_conditions * (size_t)d->n_depths, err));
    TAP_TRY(tap_alloc(&d->best, n_cells, sizeof *d->best, "ranks", err));
    TAP_TRY(tap_alloc(&d->null_best, n_cells, sizeof *d->null_best, "ranks", err));
    for (size_t i = 0; i < n_cells; i++)
        d->best[i] = d->null_best[i] = (double)NAN;
    sqlite3_stmt *s = NULL;
    tap_status status = query(&s, r,
                              "SELECT item_id, condition_id, depth, best_rank, "
                              "null_best_rank FROM score",
                              err);
    int64_t n_found = 0, n_nulls = 0;
    for (bool more = true; status == TAP_OK;) {
        status = tap_sql_step(&more, s, r->path, err);
        if (status != TAP_OK || !more)
            break;
        const int64_t item = tap_stats_data_item(d, sqlite3_column_int64(s, 0));
        const int32_t c = tap_stats_data_condition(d, sqlite3_column_int64(s, 1));
        const int32_t k = tap_stats_data_depth(d, sqlite3_column_int64(s, 2));
        if (item < 0 || c < 0 || k < 0)
            continue; /* of an excluded item */
        const double rank = sqlite3_column_double(s, 3);
        if (!tap_stats_data_is_rank(d, item, rank)) {
            status = TAP_FAIL(
                err, TAP_EFORMAT,
                "'%s': item %lld has rank %g under '%s' at depth %d; its ranks "
                "lie between 1 and %.0f",
                r->path, (long long)d->ids[item], rank, d->conditions[c], d->depths[k],
                exp2(d->log2_n[item]));
            break;
        }
        const size_t at =
            ((size_t)c * (size_t)d->n_depths + (size_t)k) * n + (size_t)item;
        n_found += isnan(d->best[at]); /* a row twice does not stand for another */
        d->best[at] = rank;
        if (sqlite3_column_type(s, 4) != SQLITE_NULL) {
            d->null_best[at] = sqlite3_column_double(s, 4);
            n_nulls++;
        }
    }
    (void)sqlite3_finalize(s);
    if (status == TAP_OK && n_found != (int64_t)n_cells)
        status =
            TAP_FAIL(err, TAP_EFORMAT,
                     "'%s' has %lld scores, and its %lld items under %d conditions "
                     "at %d depths need %lld; finish the run first",
                     r->path, (long long)n_found, (long long)d->n_items,
                     d->n_conditions, d->n_depths, (long long)n_cells);
    if (n_nulls == 0) {
        tap_free(d->null_best);
        d->null_best = NULL;
    }
    return status;
}

/* The class of most of an image's items; of equals the first in the alphabet. */
tap_status tap_stats_data_put_strata(tap_stats_data *data, const int32_t *objects,
                                     tap_error *err)
{
    tap_stats_data *d = data;
    int32_t n_objects = 0;
    for (int64_t i = 0; i < d->n_items; i++)
        n_objects = objects[i] >= n_objects ? objects[i] + 1 : n_objects;
    int32_t *counts = NULL, *of_image = NULL, *sizes = NULL;
    const size_t n = (size_t)d->n_images;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&counts, (size_t)n_objects, sizeof *counts, "strata", err));
    TAP_TRY_OUT(tap_alloc(&sizes, (size_t)n_objects, sizeof *sizes, "strata", err));
    TAP_TRY_OUT(tap_alloc(&of_image, n, sizeof *of_image, "strata", err));
    TAP_TRY_OUT(
        tap_alloc(&d->stratum_order, n, sizeof *d->stratum_order, "strata", err));
    TAP_TRY_OUT(tap_alloc(&d->stratum_first, (size_t)n_objects + 2,
                          sizeof *d->stratum_first, "strata", err));
    /* items are in the order of ids, so those of an image stand together */
    for (int64_t begin = 0, end = 0; begin < d->n_items; begin = end) {
        int32_t best = objects[begin];
        for (end = begin; end < d->n_items && d->image[end] == d->image[begin]; end++)
            counts[objects[end]]++;
        for (int64_t i = begin; i < end; i++) {
            const int32_t o = objects[i];
            if (counts[o] > counts[best] || (counts[o] == counts[best] && o < best))
                best = o;
        }
        for (int64_t i = begin; i < end; i++)
            counts[objects[i]] = 0;
        of_image[d->image[begin]] = best;
        sizes[best]++;
    }
    int32_t placed = 0;
    for (int32_t o = 0; o <= n_objects; o++) {
        const int32_t before = placed;
        for (int32_t i = 0; i < (int32_t)n; i++) {
            const bool small = sizes[of_image[i]] < MIN_STRATUM_IMAGES;
            if (o == n_objects ? small : !small && of_image[i] == o)
                d->stratum_order[placed++] = i;
        }
        if (placed > before)
            d->stratum_first[++d->n_strata] = placed;
    }
    assert(placed == d->n_images);
out:
    tap_free(counts);
    tap_free(sizes);
    tap_free(of_image);
    return status;
}

static tap_status bad_fact(const reader *r, const char *key, const char *value,
                           const char *expected, tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT,
                    "'%s': the manifest has '%.60s' as %s, expected %s", r->path, value,
                    key, expected);
}

/* A whole number in [0, high] of a fact; `absent` if the manifest has no such key. */
static tap_status fact_int(int64_t *out, const reader *r, const char *key,
                           int64_t absent, int64_t high, tap_error *err)
{
    char *text = NULL;
    TAP_TRY(tap_store_query_fact(&text, r->store, key, err));
    int64_t value = absent;
    bool good = true;
    if (text) {
        value = 0;
        good = text[0] != '\0' && strlen(text) <= 18;
        for (const char *at = text; good && *at; at++) {
            good = *at >= '0' && *at <= '9';
            value = value * 10 + (*at - '0');
        }
        good = good && value <= high;
    }
    tap_status status = TAP_OK;
    if (!good)
        status = bad_fact(r, key, text, "a whole number in its range", err);
    tap_free(text);
    if (status == TAP_OK)
        *out = value;
    return status;
}

/* *out = the place of a fact's value among words; 0 if the manifest has no such key. */
static tap_status fact_word(int *out, const reader *r, const char *key,
                            const char *(*name)(int), int n, tap_error *err)
{
    char *text = NULL;
    TAP_TRY(tap_store_query_fact(&text, r->store, key, err));
    int found = text ? -1 : 0;
    for (int i = 0; text && i < n; i++)
        if (strcmp(text, name(i)) == 0)
            found = i;
    tap_status status = TAP_OK;
    if (found < 0)
        status = bad_fact(r, key, text, "a word that this tapetum knows", err);
    tap_free(text);
    *out = found;
    return status;
}

static const char *candidates_name(int i)
{
    return tap_candidates_name((tap_candidates)i);
}

static const char *state_name(int i)
{
    return tap_state_name((tap_readout)i);
}

static int32_t find_condition(const tap_stats_data *d, const char *name, size_t n_bytes)
{
    for (int32_t c = 0; c < d->n_conditions; c++)
        if (strlen(d->conditions[c]) == n_bytes &&
            memcmp(d->conditions[c], name, n_bytes) == 0)
            return c;
    return -1;
}

static tap_status read_design(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    d->has_design = true;
    for (int c = 0; c < TAP_N_CELLS; c++) {
        char key[64];
        (void)snprintf(key, sizeof key, "design.%s", tap_cell_name((tap_cell)c));
        char *name = NULL;
        tap_status status = tap_store_query_fact(&name, r->store, key, err);
        d->design[c] = -1;
        if (status == TAP_OK && name) {
            d->design[c] = find_condition(d, name, strlen(name));
            if (d->design[c] < 0)
                status = bad_fact(r, key, name, "the name of a condition", err);
        }
        tap_free(name);
        TAP_TRY(status);
        d->has_design = d->has_design && d->design[c] >= 0;
    }
    return TAP_OK;
}

static tap_status read_metrics(reader *r, tap_error *err)
{
    char *text = NULL;
    TAP_TRY(tap_store_query_fact(&text, r->store, "stats.metrics", err));
    tap_status status = TAP_OK;
    const char *at = text ? text : "log_rank,mrr,hit@1,hit@10";
    while (status == TAP_OK && *at) {
        const size_t n = strcspn(at, ",");
        int found = -1;
        for (int m = 0; m < TAP_N_METRICS; m++)
            if (strlen(tap_metric_name((tap_metric)m)) == n &&
                memcmp(tap_metric_name((tap_metric)m), at, n) == 0)
                found = m;
        if (found < 0)
            status = bad_fact(r, "stats.metrics", text, "names of metrics", err);
        else
            r->d->metrics[found] = true;
        at += n + (at[n] == ',');
    }
    tap_free(text);
    return status;
}

/* "0:clean,0.5:half" */
static tap_status parse_curve(tap_dose_curve *curve, const reader *r, const char *key,
                              const char *value, tap_error *err)
{
    size_t n = 1;
    for (const char *at = value; *at; at++)
        n += *at == ',';
    TAP_TRY(tap_alloc(&curve->points, n, sizeof *curve->points, "doses", err));
    const char *at = value;
    for (size_t i = 0; i < n; i++) {
        const char *colon = strchr(at, ':');
        int used = 0;
        double dose = 0.0;
        if (!colon || sscanf(at, "%lf%n", &dose, &used) != 1 || at + used != colon ||
            !isfinite(dose) || (i && dose <= curve->points[i - 1].dose))
            return bad_fact(r, key, value, "rising doses with conditions", err);
        const size_t n_bytes = strcspn(colon + 1, ",");
        curve->points[i].dose = dose;
        curve->points[i].condition = find_condition(r->d, colon + 1, n_bytes);
        if (curve->points[i].condition < 0)
            return bad_fact(r, key, value, "names of conditions", err);
        at = colon + 1 + n_bytes;
        at += *at == ',';
    }
    curve->n_points = n;
    return TAP_OK;
}

static tap_status read_doses(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    int64_t n = 0;
    TAP_TRY(query_int(&n, r, "SELECT COUNT(*) FROM manifest WHERE key GLOB 'doses.*'",
                      err));
    TAP_TRY(tap_alloc(&d->doses, (size_t)n, sizeof *d->doses, "doses", err));
    sqlite3_stmt *s = NULL;
    TAP_TRY(query(
        &s, r, "SELECT key, value FROM manifest WHERE key GLOB 'doses.*' ORDER BY key",
        err));
    tap_status status = TAP_OK;
    for (int64_t i = 0; status == TAP_OK && i < n; i++) {
        bool more = false;
        tap_dose_curve *curve = &d->doses[d->n_doses];
        char *name = NULL;
        status = tap_sql_step(&more, s, r->path, err);
        if (status == TAP_OK)
            status = copy_column(&name, s, 0, err);
        if (status != TAP_OK)
            break;
        d->n_doses++;
        curve->name = name;
        const char *value = (const char *)sqlite3_column_text(s, 1);
        status = parse_curve(curve, r, name, value ? value : "", err);
    }
    (void)sqlite3_finalize(s);
    return status;
}

static tap_status read_settings(reader *r, tap_error *err)
{
    tap_stats_data *d = r->d;
    int64_t n_candidates = 0, depth = 0;
    TAP_TRY(fact_int(&n_candidates, r, "readout.n_candidates", 0, MAX_CANDIDATES, err));
    if (n_candidates < 2)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "'%s': the manifest has no readout.n_candidates of at least 2, "
                        "so ranks cannot be normalised",
                        r->path);
    d->n_candidates = (double)n_candidates;
    int word = 0;
    TAP_TRY(fact_word(&word, r, "readout.candidates", candidates_name,
                      TAP_CANDIDATES_OWN_PARTS + 1, err));
    d->candidates = (tap_candidates)word;
    TAP_TRY(fact_word(&word, r, "readout.state", state_name, TAP_READOUT_KEY + 1, err));
    d->state = (tap_readout)word;
    TAP_TRY(
        fact_int(&d->n_data_images, r, "run.images", 0, INT64_C(999999999999), err));
    TAP_TRY(fact_int(&d->bootstrap, r, "stats.bootstrap", 10000, 1000000, err));
    TAP_TRY(fact_int(&d->seed, r, "stats.seed", 1, INT64_C(999999999999), err));
    char *text = NULL;
    TAP_TRY(tap_store_query_fact(&text, r->store, "stats.depth", err));
    const bool last = !text || strcmp(text, "last") == 0;
    tap_free(text);
    d->depth = d->n_depths - 1;
    if (!last) {
        TAP_TRY(fact_int(&depth, r, "stats.depth", 0, INT32_MAX, err));
        for (d->depth = 0; d->depth < d->n_depths; d->depth++)
            if (d->depths[d->depth] == depth)
                break;
        if (d->depth == d->n_depths)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "'%s': stats.depth is %lld, and the run did not read that "
                            "depth; choose one of the depths %d to %d that it read",
                            r->path, (long long)depth, d->depths[0],
                            d->depths[d->n_depths - 1]);
    }
    return TAP_OK;
}

static tap_status read_all(reader *r, int32_t **objects, tap_error *err)
{
    tap_stats_data *d = r->d;
    TAP_TRY(read_counts(r, err));
    TAP_TRY(tap_alloc(objects, (size_t)d->n_items, sizeof **objects, "items", err));
    TAP_TRY(tap_alloc(&d->condition_ids, (size_t)d->n_conditions,
                      sizeof *d->condition_ids, "conditions", err));
    TAP_TRY(read_texts(&d->conditions, r, "SELECT name FROM condition ORDER BY id",
                       d->n_conditions, err));
    TAP_TRY(read_texts(&d->texts, r, "SELECT text FROM condition ORDER BY id",
                       d->n_conditions, err));
    TAP_TRY(read_texts(&d->categories, r,
                       "SELECT object || ':' || label FROM (SELECT DISTINCT object, "
                       "label" SCORED ") ORDER BY object, label",
                       d->n_categories, err));
    /* ids are 0, 1, ... but nothing here depends on it */
    sqlite3_stmt *s = NULL;
    TAP_TRY(query(&s, r, "SELECT id FROM condition ORDER BY id", err));
    tap_status status = TAP_OK;
    bool more = true;
    for (int32_t c = 0; status == TAP_OK && c < d->n_conditions; c++) {
        status = tap_sql_step(&more, s, r->path, err);
        d->condition_ids[c] = status == TAP_OK ? sqlite3_column_int64(s, 0) : 0;
    }
    (void)sqlite3_finalize(s);
    TAP_TRY(status);
    TAP_TRY(read_exclusions(r, err));
    TAP_TRY(read_depths(r, err));
    TAP_TRY(read_settings(r, err));
    TAP_TRY(read_metrics(r, err));
    TAP_TRY(read_design(r, err));
    TAP_TRY(read_doses(r, err));
    TAP_TRY(read_items(r, *objects, err));
    TAP_TRY(read_scores(r, err));
    return tap_stats_data_put_strata(d, *objects, err);
}

tap_status tap_stats_data_read(tap_stats_data *out, const tap_store *store,
                               tap_error *err)
{
    tap_stats_data d = {0};
    reader r = {.d = &d,
                .store = store,
                .db = tap_store_sqlite(store),
                .path = tap_store_path(store)};
    int32_t *objects = NULL;
    /* one snapshot, though a run may be writing */
    tap_status status = tap_sql_run(r.db, r.path, "BEGIN", err);
    if (status == TAP_OK) {
        status = read_all(&r, &objects, err);
        (void)sqlite3_exec(r.db, "COMMIT", NULL, NULL, NULL);
    }
    tap_free(objects);
    if (status == TAP_OK)
        *out = d;
    else
        tap_stats_data_clear(&d);
    return status;
}

tap_status tap_stats_data_put_among(tap_buffer *out, const tap_stats_data *data,
                                    tap_error *err)
{
    static const char *const what[] = {[TAP_CANDIDATES_VOCABULARY] = "words",
                                       [TAP_CANDIDATES_PARTS] = "part names",
                                       [TAP_CANDIDATES_OWN_PARTS] =
                                           "part names of the same object class"};
    double least = data->log2_n[0], most = least;
    for (int64_t i = 1; i < data->n_items; i++) {
        least = fmin(least, data->log2_n[i]);
        most = fmax(most, data->log2_n[i]);
    }
    if (least < most)
        TAP_TRY(tap_buffer_print(out, err, "%.0f to ", exp2(least)));
    return tap_buffer_print(out, err, "%.0f %s", exp2(most), what[data->candidates]);
}

const char *tap_stats_data_depth_title(const tap_stats_data *data)
{
    static const char *const titles[] = {
        [TAP_READOUT_RESID] = "depth of the decoder (0 enters the first block)",
        [TAP_READOUT_HEAD] = "depth of the encoder (0 enters the first block)",
        [TAP_READOUT_VALUE] = "block of the decoder whose values are read",
        [TAP_READOUT_KEY] = "block of the decoder whose keys are read"};
    return titles[data->state];
}

static void free_texts(char **texts, int32_t n)
{
    for (int32_t i = 0; texts && i < n; i++)
        tap_free(texts[i]);
    tap_free(texts);
}

void tap_stats_data_clear(tap_stats_data *data)
{
    tap_free(data->image);
    tap_free(data->category);
    tap_free(data->n_patches);
    tap_free(data->raster);
    tap_free(data->ids);
    tap_free(data->log2_n);
    tap_free(data->condition_ids);
    free_texts(data->categories, data->n_categories);
    free_texts(data->conditions, data->n_conditions);
    free_texts(data->texts, data->n_conditions);
    for (size_t i = 0; i < data->n_exclusions; i++)
        tap_free(data->exclusions[i].reason);
    tap_free(data->exclusions);
    tap_free(data->depths);
    tap_free(data->best);
    tap_free(data->null_best);
    tap_free(data->stratum_order);
    tap_free(data->stratum_first);
    for (size_t i = 0; i < data->n_doses; i++) {
        char *name = NULL;
        memcpy(&name, &data->doses[i].name, sizeof name); /* ours, and not const here */
        tap_free(name);
        tap_free(data->doses[i].points);
    }
    tap_free(data->doses);
    *data = (tap_stats_data){0};
}

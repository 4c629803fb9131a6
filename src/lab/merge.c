#include "lab/merge.h"

#include "base/file.h"
#include "lab/store_sql.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Parents before children, so that foreign keys hold at every row. condition_column: which
 * column is a condition's id, -1 if none. */
static const struct {
    const char *name;
    const char *insert;
    int condition_column;
} TABLES[] = {
    {"image", "INSERT INTO image VALUES (?,?,?,?,?,?,?,?,?)", -1},
    {"thumbnail", "INSERT INTO thumbnail VALUES (?,?,?,?)", -1},
    {"patch", "INSERT INTO patch VALUES (?,?,?,?,?,?,?,?,?)", -1},
    {"item", "INSERT INTO item VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", -1},
    {"outline", "INSERT INTO outline VALUES (?,?)", -1},
    {"label_form", "INSERT OR IGNORE INTO label_form VALUES (?,?,?,?)", -1},
    {"score", "INSERT INTO score VALUES (?,?,?,?,?,?,?,?,?,?,?)", 1},
    {"control_set", "INSERT INTO control_set VALUES (?,?,?,?,?,?,?,?,?)", -1},
    {"control", "INSERT INTO control VALUES (?,?,?,?)", 1},
    {"rank", "INSERT INTO rank VALUES (?,?,?)", 1},
    {"token", "INSERT OR IGNORE INTO token VALUES (?,?)", -1},
    {"top_word", "INSERT INTO top_word VALUES (?,?,?,?,?,?,?,?)", 1},
    {"receipt", "INSERT INTO receipt VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", 1},
};

enum { N_TABLES = sizeof TABLES / sizeof TABLES[0] };

/* What a shard is of, read back from it. */
typedef struct shard_spec {
    tap_fact *facts;
    tap_store_condition *conditions;
    int32_t *depths;
    tap_store_candidate *candidates;
    size_t n_facts, n_conditions, n_depths, n_candidates;
    char **texts; /* [n_texts] all text above */
    size_t n_texts, capacity_texts;
} shard_spec;

static void clear_spec(shard_spec *s)
{
    for (size_t i = 0; i < s->n_texts; i++)
        tap_free(s->texts[i]);
    tap_free(s->texts);
    tap_free(s->facts);
    tap_free(s->conditions);
    tap_free(s->depths);
    tap_free(s->candidates);
    *s = (shard_spec){0};
}

static tap_status take_text(const char **out, shard_spec *s, sqlite3_stmt *row,
                            int column, tap_error *err)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    char *copy = NULL;
    TAP_TRY(tap_grow(&s->texts, &s->capacity_texts, s->n_texts + 1, sizeof *s->texts,
                     "a shard", err));
    TAP_TRY(tap_text_copy(&copy, text ? text : "", text ? strlen(text) : 0, err));
    s->texts[s->n_texts++] = copy;
    *out = copy;
    return TAP_OK;
}

static tap_status read_fact(shard_spec *s, sqlite3_stmt *row, size_t i, tap_error *err)
{
    s->facts[i].identity = sqlite3_column_int(row, 2) != 0;
    TAP_TRY(take_text(&s->facts[i].key, s, row, 0, err));
    return take_text(&s->facts[i].value, s, row, 1, err);
}

static tap_status read_condition(shard_spec *s, sqlite3_stmt *row, size_t i,
                                 tap_error *err)
{
    unsigned long long hash = 0;
    const char *text = NULL;
    TAP_TRY(take_text(&text, s, row, 2, err));
    if (sscanf(text, "%16llx", &hash) != 1)
        hash = 0;
    s->conditions[i].hash = hash;
    TAP_TRY(take_text(&s->conditions[i].name, s, row, 0, err));
    return take_text(&s->conditions[i].text, s, row, 1, err);
}

static tap_status read_depth(shard_spec *s, sqlite3_stmt *row, size_t i, tap_error *err)
{
    (void)err;
    s->depths[i] = sqlite3_column_int(row, 0);
    return TAP_OK;
}

static tap_status read_candidate(shard_spec *s, sqlite3_stmt *row, size_t i,
                                 tap_error *err)
{
    TAP_TRY(take_text(&s->candidates[i].object, s, row, 0, err));
    return take_text(&s->candidates[i].label, s, row, 1, err);
}

/* Rows of a query, one after the other, into a list that is allocated here. */
static tap_status read_list(void *items, size_t *n, size_t item_bytes, shard_spec *s,
                            const tap_store *store, const char *table, const char *sql,
                            tap_status (*read)(shard_spec *, sqlite3_stmt *, size_t,
                                               tap_error *),
                            tap_error *err)
{
    sqlite3 *db = tap_store_sqlite(store);
    const char *path = tap_store_path(store);
    int64_t count = 0;
    char text[64];
    (void)snprintf(text, sizeof text, "SELECT COUNT(*) FROM %s", table);
    TAP_TRY(tap_sql_int(&count, db, path, text, err));
    TAP_TRY(tap_alloc(items, (size_t)count, item_bytes, "a shard", err));
    sqlite3_stmt *row = NULL;
    TAP_TRY(tap_sql_prepare(&row, db, path, sql, err));
    tap_status status = TAP_OK;
    bool more = true;
    for (size_t i = 0; status == TAP_OK && i < (size_t)count && more; i++) {
        status = tap_sql_step(&more, row, path, err);
        if (status == TAP_OK && more)
            status = read(s, row, i, err);
        *n = i + 1;
    }
    (void)sqlite3_finalize(row);
    return status;
}

static tap_status read_spec(shard_spec *s, const tap_store *store, tap_error *err)
{
    TAP_TRY(read_list(&s->facts, &s->n_facts, sizeof *s->facts, s, store, "manifest",
                      "SELECT key, value, identity FROM manifest ORDER BY key",
                      read_fact, err));
    TAP_TRY(read_list(&s->conditions, &s->n_conditions, sizeof *s->conditions, s, store,
                      "condition", "SELECT name, text, hash FROM condition ORDER BY id",
                      read_condition, err));
    TAP_TRY(read_list(&s->candidates, &s->n_candidates, sizeof *s->candidates, s, store,
                      "candidate",
                      "SELECT object, label FROM candidate ORDER BY object, label",
                      read_candidate, err));
    return read_list(&s->depths, &s->n_depths, sizeof *s->depths, s, store, "depth",
                     "SELECT depth FROM depth ORDER BY ordinal", read_depth, err);
}

/* Of the facts without identity keeps those that `other` has with the same value. */
static void keep_common(shard_spec *s, const shard_spec *other)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_facts; i++) {
        bool keep = s->facts[i].identity;
        for (size_t k = 0; k < other->n_facts; k++)
            keep = keep || (strcmp(s->facts[i].key, other->facts[k].key) == 0 &&
                            strcmp(s->facts[i].value, other->facts[k].value) == 0);
        keep = keep && strcmp(s->facts[i].key, "run.shard") != 0;
        if (keep)
            s->facts[n++] = s->facts[i];
    }
    s->n_facts = n;
}

static tap_store_spec spec_of(const shard_spec *s)
{
    return (tap_store_spec){.facts = s->facts,
                            .n_facts = s->n_facts,
                            .conditions = s->conditions,
                            .n_conditions = s->n_conditions,
                            .depths = s->depths,
                            .n_depths = s->n_depths,
                            .candidates = s->candidates,
                            .n_candidates = s->n_candidates};
}

/* ids[c]: id in the joined database of condition c of the shard, in the shard's order. */
static tap_status map_conditions(int64_t *ids, const shard_spec *first,
                                 const shard_spec *shard)
{
    for (size_t c = 0; c < shard->n_conditions; c++) {
        ids[c] = -1;
        for (size_t k = 0; k < first->n_conditions; k++)
            if (strcmp(first->conditions[k].name, shard->conditions[c].name) == 0)
                ids[c] = (int64_t)k;
        assert(ids[c] >=
               0); /* opening the output with the shard's spec has checked it */
    }
    return TAP_OK;
}

static tap_status copy_table(int table, const tap_store *from, const tap_store *to,
                             const int64_t *ids, size_t n_ids, tap_error *err)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "SELECT * FROM %s", TABLES[table].name);
    sqlite3_stmt *read = NULL, *write = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_sql_prepare(&read, tap_store_sqlite(from), tap_store_path(from), sql, err));
    TAP_TRY_OUT(tap_sql_prepare(&write, tap_store_sqlite(to), tap_store_path(to),
                                TABLES[table].insert, err));
    const int n_columns = sqlite3_column_count(read);
    for (bool more = true;;) {
        TAP_TRY_OUT(tap_sql_step(&more, read, tap_store_path(from), err));
        if (!more)
            break;
        for (int c = 0; c < n_columns; c++) {
            int code = SQLITE_OK;
            if (c == TABLES[table].condition_column) {
                const int64_t id = sqlite3_column_int64(read, c);
                const bool known = id >= 0 && (size_t)id < n_ids;
                code = sqlite3_bind_int64(write, c + 1, known ? ids[id] : -1);
            } else {
                code = sqlite3_bind_value(write, c + 1, sqlite3_column_value(read, c));
            }
            if (code != SQLITE_OK) {
                status = tap_sql_fail(tap_store_sqlite(to), tap_store_path(to), "write",
                                      err);
                goto out;
            }
        }
        status = tap_sql_step(&more, write, tap_store_path(to), err);
        if (status == TAP_EINVAL && table == 0)
            status = TAP_FAIL(err, TAP_EINVAL,
                              "image %lld ('%.120s') is in another shard as well; each "
                              "image belongs to one shard",
                              (long long)sqlite3_column_int64(read, 0),
                              (const char *)sqlite3_column_text(read, 1));
        if (status != TAP_OK)
            goto out;
        more = true;
    }
out:
    (void)sqlite3_finalize(read);
    (void)sqlite3_finalize(write);
    return status;
}

/* Adds one shard to the output, which was opened with the shard's own spec before. */
static tap_status copy_shard(const tap_store *from, const tap_store *to,
                             const shard_spec *first, const shard_spec *shard,
                             tap_error *err)
{
    int64_t *ids = NULL;
    TAP_TRY(tap_alloc(&ids, shard->n_conditions, sizeof *ids, "conditions", err));
    tap_status status = map_conditions(ids, first, shard);
    if (status == TAP_OK)
        status = tap_sql_run(tap_store_sqlite(to), tap_store_path(to), "BEGIN", err);
    for (int t = 0; status == TAP_OK && t < N_TABLES; t++)
        status = copy_table(t, from, to, ids, shard->n_conditions, err);
    if (status == TAP_OK)
        status = tap_sql_run(tap_store_sqlite(to), tap_store_path(to), "COMMIT", err);
    else
        (void)sqlite3_exec(tap_store_sqlite(to), "ROLLBACK", NULL, NULL, NULL);
    tap_free(ids);
    return status;
}

/* Opens the output as a database of this shard, so that the store itself decides whether
 * both are of one experiment, and copies. `common`: the first shard's
 * spec; first: its path. */
static tap_status add_shard(const char *output, const char *path, shard_spec *common,
                            const char *first, tap_error *err)
{
    tap_store *from = NULL, *to = NULL;
    shard_spec shard = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_store_open_read(&from, path, err));
    TAP_TRY_OUT(read_spec(&shard, from, err));
    if (path == first)
        TAP_TRY_OUT(read_spec(common, from, err));
    tap_store_spec spec = spec_of(&shard);
    spec.holder = first;
    TAP_TRY_OUT(tap_store_open(&to, output, &spec, err));
    keep_common(common, &shard);
    TAP_TRY_OUT(copy_shard(from, to, common, &shard, err));
    TAP_TRY_OUT(tap_store_finish(to, err));
out:
    tap_store_close(to);
    tap_store_close(from);
    clear_spec(&shard);
    return status;
}

/* Takes out facts that not all shards share, and counts. */
static tap_status end_output(tap_merged *out, const char *output,
                             const shard_spec *common, tap_error *err)
{
    tap_store *store = NULL;
    const tap_store_spec spec = spec_of(common);
    TAP_TRY(tap_store_open(&store, output, &spec, err));
    sqlite3 *db = tap_store_sqlite(store);
    tap_merged merged = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_sql_run(db, output, "DELETE FROM manifest WHERE identity = 0", err));
    tap_store_close(store);
    store = NULL;
    TAP_TRY_OUT(tap_store_open(&store, output, &spec, err)); /* puts the common ones */
    db = tap_store_sqlite(store);
    TAP_TRY_OUT(
        tap_sql_int(&merged.n_images, db, output, "SELECT COUNT(*) FROM image", err));
    TAP_TRY_OUT(
        tap_sql_int(&merged.n_items, db, output, "SELECT COUNT(*) FROM item", err));
    TAP_TRY_OUT(
        tap_sql_int(&merged.n_scores, db, output, "SELECT COUNT(*) FROM score", err));
    TAP_TRY_OUT(tap_store_finish(store, err));
    *out = merged;
out:
    tap_store_close(store);
    return status;
}

tap_status tap_merge(tap_merged *out, const char *path, const char *const *paths,
                     size_t n_paths, tap_error *err)
{
    assert(n_paths > 0);
    if (tap_file_exists(path))
        return TAP_FAIL(
            err, TAP_EINVAL,
            "cannot merge into '%s': it exists; remove it or choose another "
            "name",
            path);
    char *part = NULL;
    shard_spec common = {0};
    tap_status status = TAP_OK;
    TAP_TRY(tap_text_format(&part, err, "%s.part", path));
    (void)remove(part); /* of a merge that was killed */
    for (size_t i = 0; i < n_paths; i++) {
        status = add_shard(part, paths[i], &common, paths[0], err);
        if (status != TAP_OK) {
            status = tap_wrap(err, status, "cannot merge '%s'", paths[i]);
            goto out;
        }
    }
    TAP_TRY_OUT(end_output(out, part, &common, err));
    if (rename(part, path) != 0)
        status = TAP_FAIL(err, TAP_EIO, "cannot rename '%s' to '%s'", part, path);
out:
    if (status != TAP_OK)
        (void)remove(part);
    clear_spec(&common);
    tap_free(part);
    return status;
}

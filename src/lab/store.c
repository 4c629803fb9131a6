#include "lab/store.h"

#include "base/file.h"
#include "lab/store_row.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ORDER statements: the enum stands in store_row.h. */
static const char *const SQL[] = {
    "INSERT INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO thumbnail VALUES (?, ?, ?, ?)",
    "INSERT INTO patch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO outline VALUES (?, ?)",
    "INSERT OR IGNORE INTO label_form VALUES (?, ?, ?, ?)",
    "INSERT INTO score VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO control_set VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO control VALUES (?, ?, ?, ?)",
    "INSERT INTO rank VALUES (?, ?, ?)",
    "INSERT OR IGNORE INTO token VALUES (?, ?)",
    "INSERT INTO top_word VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "SELECT name FROM image WHERE id = ?",
    "SELECT value FROM manifest WHERE key = ?",
};
static_assert(sizeof SQL / sizeof SQL[0] == TAP_SQL_N, "a text per statement");

static tap_status open_file(tap_store **out, const char *path, int flags,
                            tap_error *err)
{
    tap_store *store = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&store, 1, sizeof *store, "a database", err));
    TAP_TRY_OUT(tap_text_copy(&store->path, path, strlen(path), err));
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        status = store->db ? tap_sql_fail(store->db, path, "open", err)
                           : TAP_FAIL(err, TAP_ENOMEM, "cannot get memory to open '%s'",
                                      path);
        goto out;
    }
    /* readers never wait for a writer, except while it opens or ends its log */
    (void)sqlite3_busy_timeout(store->db, flags & SQLITE_OPEN_READONLY ? 200 : 5000);
out:
    if (status == TAP_OK)
        *out = store;
    else
        tap_store_close(store);
    return status;
}

static tap_status prepare(tap_store *store, int first, tap_error *err)
{
    for (int i = first; i < TAP_SQL_N; i++)
        TAP_TRY(tap_sql_prepare(&store->statements[i], store->db, store->path, SQL[i],
                                err));
    return TAP_OK;
}

/* Inserts or replaces facts; after creation only those without identity. */
static tap_status put_facts(tap_store *store, const tap_store_spec *spec, bool all,
                            tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_sql_prepare(&statement, store->db, store->path,
                            "INSERT OR REPLACE INTO manifest VALUES (?, ?, ?)", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; status == TAP_OK && i < spec->n_facts; i++) {
        if (spec->facts[i].identity && !all)
            continue;
        tap_row r = {.store = store, .statement = statement};
        tap_row_text(&r, spec->facts[i].key);
        tap_row_text(&r, spec->facts[i].value);
        tap_row_int(&r, spec->facts[i].identity);
        status = tap_row_end(&r, err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tap_status put_conditions(tap_store *store, const tap_store_spec *spec,
                                 tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_sql_prepare(&statement, store->db, store->path,
                            "INSERT INTO condition VALUES (?, ?, ?, ?)", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; status == TAP_OK && i < spec->n_conditions; i++) {
        char hash[24];
        (void)snprintf(hash, sizeof hash, "%016llx",
                       (unsigned long long)spec->conditions[i].hash);
        tap_row r = {.store = store, .statement = statement};
        tap_row_int(&r, (int64_t)i);
        tap_row_text(&r, spec->conditions[i].name);
        tap_row_text(&r, spec->conditions[i].text);
        tap_row_text(&r, hash);
        status = tap_row_end(&r, err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tap_status put_depths(tap_store *store, const tap_store_spec *spec,
                             tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_sql_prepare(&statement, store->db, store->path,
                            "INSERT INTO depth VALUES (?, ?)", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; status == TAP_OK && i < spec->n_depths; i++) {
        tap_row r = {.store = store, .statement = statement};
        tap_row_int(&r, (int64_t)i);
        tap_row_int(&r, spec->depths[i]);
        status = tap_row_end(&r, err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tap_status put_candidates(tap_store *store, const tap_store_spec *spec,
                                 tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_sql_prepare(&statement, store->db, store->path,
                            "INSERT INTO candidate VALUES (?, ?)", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; status == TAP_OK && i < spec->n_candidates; i++) {
        tap_row r = {.store = store, .statement = statement};
        tap_row_text(&r, spec->candidates[i].object);
        tap_row_text(&r, spec->candidates[i].label);
        status = tap_row_end(&r, err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tap_status create(tap_store *store, const tap_store_spec *spec, tap_error *err)
{
    char pragmas[96];
    (void)snprintf(pragmas, sizeof pragmas,
                   "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   TAP_STORE_APPLICATION_ID, TAP_STORE_VERSION);
    TAP_TRY(tap_sql_run(store->db, store->path, pragmas, err));
    TAP_TRY(tap_sql_run(store->db, store->path, tap_store_schema, err));
    TAP_TRY(put_facts(store, spec, true, err));
    TAP_TRY(put_conditions(store, spec, err));
    TAP_TRY(put_depths(store, spec, err));
    return put_candidates(store, spec, err);
}

/* Up to three differences in words, and how many there are. */
typedef struct differences {
    tap_buffer text;
    int64_t n;
} differences;

static tap_status add_difference(differences *d, const char *key, const char *ours,
                                 const char *theirs, tap_error *err)
{
    if (d->n++ >= 3)
        return TAP_OK;
    return tap_buffer_print(&d->text, err, "%s%s: %s%.60s%s there, %s%.60s%s here",
                            d->text.n_bytes ? "; " : "", key, theirs ? "'" : "",
                            theirs ? theirs : "absent", theirs ? "'" : "",
                            ours ? "'" : "", ours ? ours : "absent", ours ? "'" : "");
}

static const tap_fact *find_fact(const tap_store_spec *spec, const char *key)
{
    for (size_t i = 0; i < spec->n_facts; i++)
        if (strcmp(spec->facts[i].key, key) == 0)
            return &spec->facts[i];
    return NULL;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static tap_status compare_facts(differences *d, tap_store *store,
                                const tap_store_spec *spec, tap_error *err)
{
    tap_status status = TAP_OK;
    for (size_t i = 0; i < spec->n_facts; i++) {
        const tap_fact *fact = &spec->facts[i];
        /* the hash of the others says nothing that they do not say better */
        if (!fact->identity || strcmp(fact->key, "experiment.identity") == 0)
            continue;
        char *theirs = NULL;
        TAP_TRY(tap_store_query_fact(&theirs, store, fact->key, err));
        if (!same(fact->value, theirs))
            status = add_difference(d, fact->key, fact->value, theirs, err);
        tap_free(theirs);
        TAP_TRY(status);
    }
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_sql_prepare(
        &statement, store->db, store->path,
        "SELECT key, value FROM manifest WHERE identity ORDER BY key", err));
    for (bool more = true; status == TAP_OK && more;) {
        status = tap_sql_step(&more, statement, store->path, err);
        if (status != TAP_OK || !more)
            break;
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        const char *value = (const char *)sqlite3_column_text(statement, 1);
        const tap_fact *fact = key ? find_fact(spec, key) : NULL;
        if (key && value && (!fact || !fact->identity))
            status = add_difference(d, key, NULL, value, err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* Depths follow from the facts and the model; a difference here is one of the model. */
static tap_status compare_depths(differences *d, tap_store *store,
                                 const tap_store_spec *spec, tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_sql_prepare(&statement, store->db, store->path,
                            "SELECT depth FROM depth ORDER BY ordinal", err));
    tap_status status = TAP_OK;
    size_t n = 0, equal = 0;
    for (bool more = true; status == TAP_OK && more;) {
        status = tap_sql_step(&more, statement, store->path, err);
        if (status != TAP_OK || !more)
            break;
        equal +=
            n < spec->n_depths && sqlite3_column_int(statement, 0) == spec->depths[n];
        n++;
    }
    (void)sqlite3_finalize(statement);
    if (status == TAP_OK && (n != spec->n_depths || equal != n)) {
        char theirs[24], ours[24];
        (void)snprintf(theirs, sizeof theirs, "%zu", n);
        (void)snprintf(ours, sizeof ours, "%zu", spec->n_depths);
        status = add_difference(d, "number of depths", ours, theirs, err);
    }
    return status;
}

/* what: how the experiments differ. */
static tap_status fail_other(const tap_store *store, const tap_store_spec *spec,
                             const char *what, tap_error *err)
{
    return TAP_FAIL(err, TAP_EINVAL, "'%s' holds another experiment (%s)%s",
                    spec->holder ? spec->holder : store->path, what,
                    spec->holder ? ""
                                 : "; write to another file, or take back the change");
}

static tap_status compare(tap_store *store, const tap_store_spec *spec, tap_error *err)
{
    differences d = {0};
    tap_status status = compare_facts(&d, store, spec, err);
    if (status == TAP_OK)
        status = compare_depths(&d, store, spec, err);
    char *what = NULL;
    if (status == TAP_OK && d.n > 0)
        status = tap_text_format(&what, err, "%lld %s: %s", (long long)d.n,
                                 d.n == 1 ? "difference" : "differences", d.text.text);
    if (what)
        status = fail_other(store, spec, what, err);
    tap_free(what);
    tap_buffer_clear(&d.text);
    return status;
}

/* The order of conditions may have changed since the database was made: names decide. */
static tap_status map_conditions(tap_store *store, const tap_store_spec *spec,
                                 tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    TAP_TRY(tap_alloc(&store->condition_ids, spec->n_conditions,
                      sizeof *store->condition_ids, "conditions", err));
    store->n_conditions = spec->n_conditions;
    store->n_depths = spec->n_depths;
    TAP_TRY(tap_sql_prepare(&statement, store->db, store->path,
                            "SELECT id, text FROM condition WHERE name = ?", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; status == TAP_OK && i < spec->n_conditions; i++) {
        bool found = false;
        tap_row r = {.store = store, .statement = statement};
        tap_row_text(&r, spec->conditions[i].name);
        status = tap_sql_step(&found, statement, store->path, err);
        const char *text =
            found ? (const char *)sqlite3_column_text(statement, 1) : NULL;
        if (status == TAP_OK && !same(text, spec->conditions[i].text)) {
            char what[512];
            (void)snprintf(what, sizeof what,
                           "condition '%.120s' is %s%.120s%s there, '%.120s' here",
                           spec->conditions[i].name, text ? "'" : "",
                           text ? text : "absent", text ? "'" : "",
                           spec->conditions[i].text);
            status = fail_other(store, spec, what, err);
        }
        if (status == TAP_OK)
            store->condition_ids[i] = sqlite3_column_int64(statement, 0);
        (void)sqlite3_reset(statement);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tap_status open_tables(tap_store *store, const tap_store_spec *spec,
                              tap_error *err)
{
    int64_t n_tables = 0;
    TAP_TRY(tap_sql_int(&n_tables, store->db, store->path,
                        "SELECT COUNT(*) FROM sqlite_master", err));
    if (n_tables > 0)
        TAP_TRY(tap_sql_check(store->db, store->path, err));
    TAP_TRY(tap_sql_run(store->db, store->path,
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                        "PRAGMA foreign_keys = ON; BEGIN IMMEDIATE",
                        err));
    TAP_TRY(tap_sql_int(&n_tables, store->db, store->path,
                        "SELECT COUNT(*) FROM sqlite_master", err));
    if (n_tables == 0)
        TAP_TRY(create(store, spec, err));
    TAP_TRY(prepare(store, 0, err));
    TAP_TRY(compare(store, spec, err));
    TAP_TRY(map_conditions(store, spec, err));
    TAP_TRY(put_facts(store, spec, false, err));
    return tap_sql_run(store->db, store->path, "COMMIT", err);
}

tap_status tap_store_open(tap_store **out, const char *path, const tap_store_spec *spec,
                          tap_error *err)
{
    tap_store *store = NULL;
    const bool existed = tap_file_exists(path);
    TAP_TRY(open_file(&store, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    const tap_status status = open_tables(store, spec, err);
    store->writable = status == TAP_OK;
    if (status != TAP_OK) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
        tap_store_close(store);
        if (!existed)
            (void)remove(path);
        return status;
    }
    *out = store;
    return TAP_OK;
}

tap_status tap_store_open_read(tap_store **out, const char *path, tap_error *err)
{
    tap_store *store = NULL;
    if (!tap_file_exists(path))
        return TAP_FAIL(err, TAP_EIO, "cannot open '%s': no such file", path);
    TAP_TRY(open_file(&store, path, SQLITE_OPEN_READONLY, err));
    tap_status status = tap_sql_check(store->db, path, err);
    if (status == TAP_OK)
        status = prepare(store, TAP_SQL_FIND_IMAGE, err);
    if (status == TAP_OK)
        *out = store;
    else
        tap_store_close(store);
    return status;
}

void tap_store_close(tap_store *store)
{
    if (!store)
        return;
    tap_store_rollback(store);
    for (int i = 0; i < TAP_SQL_N; i++)
        (void)sqlite3_finalize(store->statements[i]);
    if (store->writable)
        (void)sqlite3_exec(store->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    (void)sqlite3_close(store->db);
    tap_free(store->condition_ids);
    tap_free(store->path);
    tap_free(store);
}

tap_status tap_store_finish(tap_store *store, tap_error *err)
{
    assert(store->writable && !store->begun);
    return tap_sql_run(store->db, store->path,
                       "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE",
                       err);
}

sqlite3 *tap_store_sqlite(const tap_store *store)
{
    return store->db;
}

const char *tap_store_path(const tap_store *store)
{
    return store->path;
}

tap_status tap_store_query_fact(char **value, const tap_store *store, const char *key,
                                tap_error *err)
{
    bool found = false;
    tap_row r = tap_row_of(store, TAP_SQL_FIND_FACT);
    tap_row_text(&r, key);
    tap_status status = tap_sql_step(&found, r.statement, store->path, err);
    char *copy = NULL;
    if (status == TAP_OK && found) {
        const char *text = (const char *)sqlite3_column_text(r.statement, 0);
        status = tap_text_copy(&copy, text ? text : "", text ? strlen(text) : 0, err);
    }
    (void)sqlite3_reset(r.statement);
    if (status == TAP_OK)
        *value = copy;
    return status;
}

tap_status tap_store_find_image(bool *done, const tap_store *store, int64_t id,
                                const char *name, tap_error *err)
{
    bool found = false;
    tap_row r = tap_row_of(store, TAP_SQL_FIND_IMAGE);
    tap_row_int(&r, id);
    tap_status status = tap_sql_step(&found, r.statement, store->path, err);
    const char *text = status == TAP_OK && found
                           ? (const char *)sqlite3_column_text(r.statement, 0)
                           : NULL;
    if (text && strcmp(text, name) != 0)
        status = TAP_FAIL(err, TAP_EINVAL,
                          "'%s' has '%.120s' as image %lld, and the data now have "
                          "'%.120s' there: the data changed; write to another file",
                          store->path, text, (long long)id, name);
    (void)sqlite3_reset(r.statement);
    if (status == TAP_OK)
        *done = found;
    return status;
}

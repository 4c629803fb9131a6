/* How does SQLite's answer read in a sentence, and what does a results.db look like? */
#include "lab/store_sql.h"

#include "lab/store.h"

#include <assert.h>

const char *const tap_store_schema =
    "CREATE TABLE manifest ("
    "  key TEXT PRIMARY KEY,"
    "  value TEXT NOT NULL,"
    "  identity INTEGER NOT NULL CHECK (identity IN (0, 1))) WITHOUT ROWID;"
    "CREATE TABLE depth ("
    "  ordinal INTEGER PRIMARY KEY,"
    "  depth INTEGER NOT NULL UNIQUE CHECK (depth >= 0));"
    "CREATE TABLE condition ("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  text TEXT NOT NULL,"
    "  hash TEXT NOT NULL);"
    "CREATE TABLE candidate ("
    "  object TEXT NOT NULL,"
    "  label TEXT NOT NULL,"
    "  PRIMARY KEY (object, label)) WITHOUT ROWID;"
    "CREATE TABLE image ("
    "  id INTEGER PRIMARY KEY CHECK (id >= 0),"
    "  name TEXT NOT NULL UNIQUE,"
    "  width_px INTEGER NOT NULL,"
    "  height_px INTEGER NOT NULL,"
    "  sha256 TEXT,"
    "  n_tiles INTEGER NOT NULL,"
    "  n_rows INTEGER NOT NULL,"
    "  n_cols INTEGER NOT NULL,"
    "  excluded TEXT);"
    "CREATE TABLE thumbnail ("
    "  image_id INTEGER PRIMARY KEY REFERENCES image(id),"
    "  width_px INTEGER NOT NULL,"
    "  height_px INTEGER NOT NULL,"
    "  jpeg BLOB NOT NULL);"
    "CREATE TABLE patch ("
    "  image_id INTEGER NOT NULL REFERENCES image(id),"
    "  patch INTEGER NOT NULL,"
    "  tile INTEGER NOT NULL,"
    "  row INTEGER NOT NULL,"
    "  col INTEGER NOT NULL,"
    "  x0 REAL NOT NULL,"
    "  y0 REAL NOT NULL,"
    "  x1 REAL NOT NULL,"
    "  y1 REAL NOT NULL,"
    "  PRIMARY KEY (image_id, patch)) WITHOUT ROWID;"
    "CREATE TABLE item ("
    "  id INTEGER PRIMARY KEY,"
    "  image_id INTEGER NOT NULL REFERENCES image(id),"
    "  ordinal INTEGER NOT NULL,"
    "  object_id TEXT,"
    "  object TEXT NOT NULL,"
    "  part TEXT NOT NULL,"
    "  label TEXT NOT NULL,"
    "  area_px INTEGER NOT NULL,"
    "  n_patches INTEGER NOT NULL,"
    "  patches BLOB,"
    "  coverage BLOB,"
    "  raster_frac REAL,"
    "  n_candidates INTEGER,"
    "  excluded TEXT,"
    "  UNIQUE (image_id, ordinal));"
    "CREATE TABLE outline ("
    "  item_id INTEGER PRIMARY KEY REFERENCES item(id),"
    "  rings BLOB NOT NULL);"
    "CREATE TABLE label_form ("
    "  label TEXT NOT NULL,"
    "  form TEXT NOT NULL,"
    "  token_id INTEGER,"
    "  n_tokens INTEGER NOT NULL,"
    "  PRIMARY KEY (label, form)) WITHOUT ROWID;"
    "CREATE TABLE score ("
    "  item_id INTEGER NOT NULL REFERENCES item(id),"
    "  condition_id INTEGER NOT NULL REFERENCES condition(id),"
    "  depth INTEGER NOT NULL REFERENCES depth(depth),"
    "  best_rank REAL NOT NULL,"
    "  median_rank REAL,"
    "  mean_log2_rank REAL,"
    "  auc_loc REAL,"
    "  gap REAL,"
    "  null_best_rank REAL,"
    "  null_log2_rank REAL,"
    "  null_percentile REAL,"
    "  PRIMARY KEY (item_id, condition_id, depth)) WITHOUT ROWID;"
    "CREATE TABLE control_set ("
    "  id INTEGER PRIMARY KEY,"
    "  item_id INTEGER NOT NULL REFERENCES item(id),"
    "  control TEXT NOT NULL,"
    "  seed INTEGER NOT NULL,"
    "  n_patches INTEGER NOT NULL,"
    "  patches BLOB,"
    "  label TEXT,"
    "  other TEXT,"
    "  excluded TEXT);"
    "CREATE TABLE control ("
    "  set_id INTEGER NOT NULL REFERENCES control_set(id),"
    "  condition_id INTEGER NOT NULL REFERENCES condition(id),"
    "  depth INTEGER NOT NULL REFERENCES depth(depth),"
    "  best_rank REAL NOT NULL,"
    "  PRIMARY KEY (set_id, condition_id, depth)) WITHOUT ROWID;"
    "CREATE TABLE rank ("
    "  item_id INTEGER NOT NULL REFERENCES item(id),"
    "  condition_id INTEGER NOT NULL REFERENCES condition(id),"
    "  ranks BLOB NOT NULL,"
    "  PRIMARY KEY (item_id, condition_id)) WITHOUT ROWID;"
    "CREATE TABLE token ("
    "  id INTEGER PRIMARY KEY,"
    "  text TEXT NOT NULL);"
    "CREATE TABLE top_word ("
    "  item_id INTEGER NOT NULL REFERENCES item(id),"
    "  condition_id INTEGER NOT NULL REFERENCES condition(id),"
    "  depth INTEGER NOT NULL REFERENCES depth(depth),"
    "  patch INTEGER NOT NULL,"
    "  place INTEGER NOT NULL CHECK (place >= 1),"
    "  token_id INTEGER NOT NULL REFERENCES token(id),"
    "  logit REAL NOT NULL,"
    "  probability REAL NOT NULL,"
    "  PRIMARY KEY (item_id, condition_id, depth, patch, place)) WITHOUT ROWID;"
    "CREATE TABLE receipt ("
    "  image_id INTEGER NOT NULL REFERENCES image(id),"
    "  condition_id INTEGER NOT NULL REFERENCES condition(id),"
    "  stack TEXT NOT NULL CHECK (stack IN ('vision', 'lm')),"
    "  first_block INTEGER NOT NULL,"
    "  last_block INTEGER NOT NULL,"
    "  first_head INTEGER NOT NULL,"
    "  last_head INTEGER NOT NULL,"
    "  allowed INTEGER NOT NULL,"
    "  cut INTEGER NOT NULL,"
    "  zeroed INTEGER NOT NULL,"
    "  used INTEGER NOT NULL,"
    "  scaled INTEGER NOT NULL,"
    "  frozen INTEGER NOT NULL,"
    "  rows_emptied INTEGER NOT NULL,"
    "  empty_rule TEXT,"
    "  states_edited INTEGER NOT NULL,"
    "  weight_on_cut REAL NOT NULL,"
    "  PRIMARY KEY (image_id, condition_id, stack, first_block, first_head))"
    "  WITHOUT ROWID;"
    "CREATE VIEW result AS"
    "  SELECT image.name AS image, item.id AS item_id, item.object_id, item.object,"
    "    item.part, item.label, item.area_px, item.n_patches, item.n_candidates,"
    "    condition.name AS condition, score.depth, score.best_rank, score.median_rank,"
    "    score.mean_log2_rank, score.auc_loc, score.gap, score.null_best_rank,"
    "    score.null_log2_rank, score.null_percentile"
    "  FROM score JOIN item ON item.id = score.item_id"
    "    JOIN image ON image.id = item.image_id"
    "    JOIN condition ON condition.id = score.condition_id;"
    "CREATE VIEW result_long AS"
    "  SELECT image, item_id, object, part, label, condition, depth,"
    "    'best_rank' AS metric, best_rank AS value FROM result"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'median_rank', median_rank FROM result WHERE median_rank IS NOT NULL"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'mean_log2_rank', mean_log2_rank FROM result"
    "    WHERE mean_log2_rank IS NOT NULL"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'auc_loc', auc_loc FROM result WHERE auc_loc IS NOT NULL"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'gap', gap FROM result WHERE gap IS NOT NULL"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'null_best_rank', null_best_rank FROM result"
    "    WHERE null_best_rank IS NOT NULL"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'null_log2_rank', null_log2_rank FROM result"
    "    WHERE null_log2_rank IS NOT NULL"
    "  UNION ALL SELECT image, item_id, object, part, label, condition, depth,"
    "    'null_percentile', null_percentile FROM result"
    "    WHERE null_percentile IS NOT NULL;"
    "CREATE VIEW control_result AS"
    "  SELECT image.name AS image, item.id AS item_id, item.object, item.part,"
    "    control_set.control, control_set.seed, control_set.label,"
    "    control_set.n_patches, condition.name AS condition, control.depth,"
    "    control.best_rank, score.best_rank AS part_best_rank"
    "  FROM control JOIN control_set ON control_set.id = control.set_id"
    "    JOIN item ON item.id = control_set.item_id"
    "    JOIN image ON image.id = item.image_id"
    "    JOIN condition ON condition.id = control.condition_id"
    "    JOIN score ON score.item_id = item.id"
    "      AND score.condition_id = control.condition_id"
    "      AND score.depth = control.depth;"
    "CREATE VIEW word AS"
    "  SELECT image.name AS image, item.id AS item_id, item.object, item.part,"
    "    item.label, condition.name AS condition, top_word.depth, top_word.patch,"
    "    top_word.place, token.text AS word, top_word.token_id, top_word.logit,"
    "    top_word.probability"
    "  FROM top_word JOIN item ON item.id = top_word.item_id"
    "    JOIN image ON image.id = item.image_id"
    "    JOIN condition ON condition.id = top_word.condition_id"
    "    JOIN token ON token.id = top_word.token_id;"
    "CREATE VIEW exclusion AS"
    "  SELECT COALESCE(item.excluded, image.excluded) AS reason,"
    "    COUNT(item.id) AS n_items, COUNT(DISTINCT image.id) AS n_images"
    "  FROM image LEFT JOIN item ON item.image_id = image.id"
    "  WHERE item.excluded IS NOT NULL OR image.excluded IS NOT NULL"
    "  GROUP BY reason ORDER BY n_items DESC, reason;";

tap_status tap_sql_fail(sqlite3 *db, const char *path, const char *doing,
                        tap_error *err)
{
    const int code = sqlite3_errcode(db) & 0xff;
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return TAP_FAIL(err, TAP_EIO,
                        "cannot %s '%s': another process is using it; wait for it, or "
                        "write to another file and merge",
                        doing, path);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot %s '%s': it is not an intact SQLite database (%s)",
                        doing, path, sqlite3_errmsg(db));
    const tap_status status = code == SQLITE_NOMEM        ? TAP_ENOMEM
                              : code == SQLITE_CONSTRAINT ? TAP_EINVAL
                                                          : TAP_EIO;
    return TAP_FAIL(err, status, "cannot %s '%s': %s", doing, path, sqlite3_errmsg(db));
}

tap_status tap_sql_run(sqlite3 *db, const char *path, const char *sql, tap_error *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return tap_sql_fail(db, path, "write", err);
    return TAP_OK;
}

tap_status tap_sql_prepare(sqlite3_stmt **out, sqlite3 *db, const char *path,
                           const char *sql, tap_error *err)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) !=
        SQLITE_OK)
        return tap_sql_fail(db, path, "read", err);
    return TAP_OK;
}

tap_status tap_sql_step(bool *row, sqlite3_stmt *statement, const char *path,
                        tap_error *err)
{
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *row = true;
        return TAP_OK;
    }
    tap_status status = TAP_OK;
    if (code == SQLITE_DONE)
        *row = false;
    else
        status = tap_sql_fail(sqlite3_db_handle(statement), path,
                              sqlite3_stmt_readonly(statement) ? "read" : "write", err);
    (void)sqlite3_reset(statement);
    return status;
}

tap_status tap_sql_int(int64_t *out, sqlite3 *db, const char *path, const char *sql,
                       tap_error *err)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    TAP_TRY(tap_sql_prepare(&statement, db, path, sql, err));
    const tap_status status = tap_sql_step(&row, statement, path, err);
    if (status == TAP_OK) {
        assert(row);
        *out = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

tap_status tap_sql_check(sqlite3 *db, const char *path, tap_error *err)
{
    int64_t application = 0, version = 0;
    TAP_TRY(tap_sql_int(&application, db, path, "PRAGMA application_id", err));
    TAP_TRY(tap_sql_int(&version, db, path, "PRAGMA user_version", err));
    if (application != TAP_STORE_APPLICATION_ID)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "'%s' is a database, but not one that 'tapetum run' wrote",
                        path);
    if (version != TAP_STORE_VERSION)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "'%s' has schema version %lld, and this tapetum reads version "
                        "%d; use the tapetum that wrote it",
                        path, (long long)version, TAP_STORE_VERSION);
    return TAP_OK;
}

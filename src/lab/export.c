#include "lab/export.h"

#include "base/suggest.h"
#include "lab/store_sql.h"

#include <assert.h>
#include <string.h>

enum { MAX_COLUMNS = 32, FLUSH_BYTES = 1 << 20 };

/* Tables in the order of docs/schema.md, with the columns that order their rows. */
static const char *const TABLES[] = {
    "manifest",  "depth",       "condition", "candidate",   "image",
    "thumbnail", "patch",       "item",      "outline",     "label_form",
    "score",     "control_set", "control",   "rank",        "token",
    "top_word",  "receipt",     "result",    "result_long", "control_result",
    "word",      "exclusion"};
static const char *const ORDERS[] = {
    " ORDER BY key",
    " ORDER BY ordinal",
    " ORDER BY id",
    " ORDER BY object, label",
    " ORDER BY id",
    " ORDER BY image_id",
    " ORDER BY image_id, patch",
    " ORDER BY id",
    " ORDER BY item_id",
    " ORDER BY label, form",
    " ORDER BY item_id, condition_id, depth",
    " ORDER BY id",
    " ORDER BY set_id, condition_id, depth",
    " ORDER BY item_id, condition_id",
    " ORDER BY id",
    " ORDER BY item_id, condition_id, depth, patch, place",
    " ORDER BY image_id, condition_id, stack, first_block, first_head",
    " ORDER BY item_id, condition, depth",
    " ORDER BY item_id, condition, depth, metric",
    " ORDER BY item_id, control, seed, condition, depth",
    " ORDER BY item_id, condition, depth, patch, place",
    ""};

/* The one column that holds a picture and not a list of numbers. */
static const char PICTURE[] = "jpeg";

enum { N_TABLES = sizeof TABLES / sizeof TABLES[0] };

static_assert(sizeof ORDERS / sizeof ORDERS[0] == N_TABLES, "an order for each table");

void tap_export_tables(const char *const **names, size_t *n)
{
    *names = TABLES;
    *n = N_TABLES;
}

/* Bytes as base64. */
static tap_status put_base64(tap_buffer *out, const unsigned char *bytes,
                             size_t n_bytes, tap_error *err)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < n_bytes; at += 3) {
        const size_t left = n_bytes - at;
        const unsigned a = bytes[at], b = left > 1 ? bytes[at + 1] : 0,
                       c = left > 2 ? bytes[at + 2] : 0;
        const char four[4] = {digits[a >> 2], digits[(a & 3) << 4 | b >> 4],
                              left > 1 ? digits[(b & 15) << 2 | c >> 6] : '=',
                              left > 2 ? digits[c & 63] : '='};
        TAP_TRY(tap_buffer_put(out, four, 4, err));
    }
    return TAP_OK;
}

/* A picture as base64, numbers as a JSON list: i32 for patches and rings, f32 for the
 * others. */
static tap_status put_blob(tap_buffer *out, const char *column,
                           const unsigned char *bytes, size_t n_bytes, tap_error *err)
{
    if (strcmp(column, PICTURE) == 0)
        return put_base64(out, bytes, n_bytes, err);
    const bool whole = strcmp(column, "patches") == 0 || strcmp(column, "rings") == 0;
    TAP_TRY(tap_buffer_put(out, "[", 1, err));
    for (size_t at = 0; at + 4 <= n_bytes; at += 4) {
        int32_t i = 0;
        float f = 0.0F;
        memcpy(&i, bytes + at, sizeof i);
        memcpy(&f, bytes + at, sizeof f);
        const char *comma = at ? "," : "";
        if (whole)
            TAP_TRY(tap_buffer_print(out, err, "%s%d", comma, i));
        else
            TAP_TRY(tap_buffer_print(out, err, "%s%.9g", comma, (double)f));
    }
    return tap_buffer_put(out, "]", 1, err);
}

/* One value of the current row; text is borrowed from the statement or from `list`. */
static tap_status read_value(tap_value *value, tap_buffer *list, sqlite3_stmt *s,
                             int column, const char *name, tap_error *err)
{
    *value = (tap_value){0};
    switch (sqlite3_column_type(s, column)) {
    case SQLITE_INTEGER:
        *value =
            (tap_value){.kind = TAP_KIND_INT, .whole = sqlite3_column_int64(s, column)};
        break;
    case SQLITE_FLOAT:
        *value = (tap_value){.kind = TAP_KIND_REAL,
                             .real = sqlite3_column_double(s, column)};
        break;
    case SQLITE_TEXT: {
        const unsigned char *text = sqlite3_column_text(s, column);
        value->kind = TAP_KIND_TEXT;
        memcpy(&value->text, &text, sizeof text); /* only read from here on */
        break;
    }
    case SQLITE_BLOB: {
        const void *bytes = sqlite3_column_blob(s, column);
        list->n_bytes = 0;
        TAP_TRY(
            put_blob(list, name, bytes, (size_t)sqlite3_column_bytes(s, column), err));
        *value = (tap_value){.kind = TAP_KIND_TEXT, .text = list->text};
        break;
    }
    default:
        break;
    }
    return TAP_OK;
}

/* In JSON Lines a blob is a list and not a text: its row is put value by value. */
static tap_status put_row(tap_buffer *out, tap_buffer lists[MAX_COLUMNS],
                          sqlite3_stmt *s, const char *const *columns, size_t n_columns,
                          tap_table_format format, tap_error *err)
{
    tap_value values[MAX_COLUMNS];
    for (size_t c = 0; c < n_columns; c++)
        TAP_TRY(read_value(&values[c], &lists[c], s, (int)c, columns[c], err));
    if (format == TAP_CSV)
        return tap_csv_put_row(out, values, n_columns, err);
    TAP_TRY(tap_buffer_put(out, "{", 1, err));
    for (size_t c = 0; c < n_columns; c++) {
        const bool list = sqlite3_column_type(s, (int)c) == SQLITE_BLOB &&
                          strcmp(columns[c], PICTURE) != 0;
        if (list) {
            TAP_TRY(tap_json_put_text(out, columns[c], err));
            TAP_TRY(tap_buffer_print(out, err, ":%s", lists[c].text));
        } else {
            TAP_TRY(tap_jsonl_put_value(out, columns[c], &values[c], err));
        }
        TAP_TRY(tap_buffer_put(out, c + 1 < n_columns ? "," : "}\n",
                               c + 1 < n_columns ? 1 : 2, err));
    }
    return TAP_OK;
}

static tap_status flush(tap_buffer *text, tap_file_out *out, tap_error *err)
{
    const tap_status status = tap_file_put(out, text->text, text->n_bytes, err);
    text->n_bytes = 0;
    return status;
}

static tap_status run(const tap_store *store, sqlite3_stmt *s, tap_table_format format,
                      tap_file_out *out, tap_buffer *text, tap_buffer *lists,
                      tap_error *err)
{
    const size_t n_columns = (size_t)sqlite3_column_count(s);
    const char *columns[MAX_COLUMNS];
    assert(n_columns <= MAX_COLUMNS);
    for (size_t c = 0; c < n_columns; c++)
        columns[c] = sqlite3_column_name(s, (int)c);
    if (format == TAP_CSV)
        TAP_TRY(tap_csv_put_header(text, columns, n_columns, err));
    for (bool more = true;;) {
        TAP_TRY(tap_sql_step(&more, s, tap_store_path(store), err));
        if (!more)
            break;
        TAP_TRY(put_row(text, lists, s, columns, n_columns, format, err));
        if (text->n_bytes > FLUSH_BYTES)
            TAP_TRY(flush(text, out, err));
    }
    return text->n_bytes ? flush(text, out, err) : TAP_OK;
}

tap_status tap_export(const tap_store *store, const char *table,
                      tap_table_format format, tap_file_out *out, tap_error *err)
{
    size_t at = 0;
    while (at < N_TABLES && strcmp(TABLES[at], table) != 0)
        at++;
    if (at == N_TABLES) {
        const char *nearest = tap_suggest(table, TABLES, N_TABLES);
        if (nearest)
            return TAP_FAIL(err, TAP_EINVAL,
                            "'%s' has no table '%.60s'; did you mean '%s'?",
                            tap_store_path(store), table, nearest);
        tap_buffer known = {0};
        tap_status unknown = TAP_OK;
        for (size_t i = 0; unknown == TAP_OK && i < N_TABLES; i++)
            unknown = tap_buffer_print(&known, err, "%s%s", i ? ", " : "", TABLES[i]);
        if (unknown == TAP_OK)
            unknown =
                TAP_FAIL(err, TAP_EINVAL, "'%s' has no table '%.60s'; known are %s",
                         tap_store_path(store), table, known.text);
        tap_buffer_clear(&known);
        return unknown;
    }
    char *sql = NULL;
    TAP_TRY(
        tap_text_format(&sql, err, "SELECT * FROM \"%s\"%s", TABLES[at], ORDERS[at]));
    sqlite3_stmt *s = NULL;
    tap_buffer text = {0}, lists[MAX_COLUMNS] = {{0}};
    tap_status status =
        tap_sql_prepare(&s, tap_store_sqlite(store), tap_store_path(store), sql, err);
    if (status == TAP_OK)
        status = run(store, s, format, out, &text, lists, err);
    (void)sqlite3_finalize(s);
    tap_buffer_clear(&text);
    for (int c = 0; c < MAX_COLUMNS; c++)
        tap_buffer_clear(&lists[c]);
    tap_free(sql);
    return status;
}

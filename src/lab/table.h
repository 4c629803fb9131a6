/* Rows for people and programs: columns with names, values that may be absent, and two
 * spellings of a row. */
#ifndef TAP_LAB_TABLE_H
#define TAP_LAB_TABLE_H

#include "base/memory.h"

typedef enum tap_kind {
    TAP_KIND_NONE,
    TAP_KIND_TEXT,
    TAP_KIND_INT,
    TAP_KIND_REAL
} tap_kind;

typedef struct tap_value {
    tap_kind kind; /* TAP_KIND_NONE: absent */
    int64_t whole;
    double real;
    char *text; /* owned by the table */
} tap_value;

typedef struct tap_table {
    const char *name;           /* static */
    const char *const *columns; /* [n_columns] static */
    size_t n_columns;
    tap_value *values; /* [n_values] row by row */
    size_t n_values, capacity;
} tap_table;

/* An empty table; columns are kept. */
tap_table tap_table_new(const char *name, const char *const *columns, size_t n_columns);
void tap_table_clear(tap_table *table);
size_t tap_table_n_rows(const tap_table *table);
const tap_value *tap_table_row(const tap_table *table, size_t row); /* [n_columns] */
/* Index of a column; -1 if there is none of that name. */
int tap_table_find(const tap_table *table, const char *column);

/* Appends a value; rows fill from left to right. NULL and NaN are absent. */
TAP_NODISCARD tap_status tap_table_put_text(tap_table *table, const char *text,
                                            tap_error *err);
TAP_NODISCARD tap_status tap_table_put_int(tap_table *table, int64_t whole,
                                           tap_error *err);
TAP_NODISCARD tap_status tap_table_put_real(tap_table *table, double real,
                                            tap_error *err);

typedef enum tap_table_format { TAP_CSV, TAP_JSONL } tap_table_format;

/* The spellings, one row at a time, for rows that are in no table as well.
 *
 * CSV is RFC 4180: CRLF, quotes where needed, absent is empty, and an empty text is "".
 * JSON Lines has a key per column and null for absent; first[] goes before the first key.
 * Reals have the fewest digits that read back as the same number; infinite ones are absent. */
TAP_NODISCARD tap_status tap_csv_put_header(tap_buffer *out, const char *const *columns,
                                            size_t n_columns, tap_error *err);
TAP_NODISCARD tap_status tap_csv_put_row(tap_buffer *out, const tap_value *values,
                                         size_t n_columns, tap_error *err);
TAP_NODISCARD tap_status tap_jsonl_put_row(tap_buffer *out, const char *first,
                                           const char *const *columns,
                                           const tap_value *values, size_t n_columns,
                                           tap_error *err);

/* "column":value, the piece of such a row. */
TAP_NODISCARD tap_status tap_jsonl_put_value(tap_buffer *out, const char *column,
                                             const tap_value *value, tap_error *err);

/* The whole table. JSON Lines rows begin with "schema":1,"table":name. */
TAP_NODISCARD tap_status tap_table_print(tap_buffer *out, const tap_table *table,
                                         tap_table_format format, tap_error *err);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
TAP_NODISCARD tap_status tap_json_put_text(tap_buffer *out, const char *text,
                                           tap_error *err);

#endif

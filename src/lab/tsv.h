/* Tab-separated tables with a heading line, as people write them. */
#ifndef TAP_LAB_TSV_H
#define TAP_LAB_TSV_H

#include "base/memory.h"

typedef struct tap_tsv {
    char *path; /* for messages */
    char *text; /* what cells point into */
    const char *
        *cells; /* [n_rows][n_columns] of the columns asked for; NULL: no such column */
    int64_t *lines; /* [n_rows] line numbers, from 1 */
    size_t n_rows, n_columns;
    size_t row_capacity, line_capacity;
} tap_tsv;

/* Reads the columns asked for, whatever their order and whatever stands beside them. The
 * first n_required of them must be there. Empty lines are skipped, with `comments` also
 * those that begin with '#'; "\r\n" ends a line too.
 * Errors: TAP_EIO; TAP_EFORMAT with path and line.   Memory: tap_tsv_clear. */
TAP_NODISCARD tap_status tap_tsv_read(tap_tsv *out, const char *path,
                                      const char *const *columns, size_t n_columns,
                                      size_t n_required, bool comments, tap_error *err);
TAP_NODISCARD tap_status tap_tsv_parse(tap_tsv *out, const char *text, size_t n_bytes,
                                       const char *path, const char *const *columns,
                                       size_t n_columns, size_t n_required,
                                       bool comments, tap_error *err);
/* A table of share/tables by its file name without ".tsv"; all columns must be there. */
TAP_NODISCARD tap_status tap_shared_table_open(tap_tsv *out, const char *name,
                                               const char *const *columns,
                                               size_t n_columns, tap_error *err);
void tap_tsv_clear(tap_tsv *table);

const char *tap_tsv_cell(const tap_tsv *table, size_t row, size_t column);
/* TAP_EFORMAT: "cannot read PATH, line N: WHAT". */
tap_status tap_tsv_fail(const tap_tsv *table, size_t row, const char *what,
                        tap_error *err);

#endif

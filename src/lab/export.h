/* The database for other programs: any table or view, as CSV or JSON Lines. */
#ifndef TAP_LAB_EXPORT_H
#define TAP_LAB_EXPORT_H

#include "base/file.h"
#include "lab/store.h"
#include "lab/table.h"

/* Writes all rows of a table or view in the order of its key. Blobs of numbers become JSON
 * lists (in CSV, a list in quotes): `patches` i32 [n], `coverage` f32 [n], `ranks` f32
 * [n_depths * n_patches] row by row.
 *
 * Errors: TAP_EINVAL for an unknown table, with the nearest one; TAP_EIO.
 * Memory: one row at a time. */
TAP_NODISCARD tap_status tap_export(const tap_store *store, const char *table,
                                    tap_table_format format, tap_file_out *out,
                                    tap_error *err);

/* *names = [*n] tables and views that can be exported (static). */
void tap_export_tables(const char *const **names, size_t *n);

#endif

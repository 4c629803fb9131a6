/* Inside the store and its readers: SQLite's answers as statuses, and the schema. */
#ifndef TAP_LAB_STORE_SQL_H
#define TAP_LAB_STORE_SQL_H

#include "base/error.h"

#include <sqlite3.h>

enum { TAP_STORE_APPLICATION_ID = 0x74617065 }; /* "tape" */

/* The tables and views, as one SQL script. */
extern const char *const tap_store_schema;

/* Fails with what SQLite says about `doing` on the database `path`. */
tap_status tap_sql_fail(sqlite3 *db, const char *path, const char *doing,
                        tap_error *err);

TAP_NODISCARD tap_status tap_sql_run(sqlite3 *db, const char *path, const char *sql,
                                     tap_error *err);
TAP_NODISCARD tap_status tap_sql_prepare(sqlite3_stmt **out, sqlite3 *db,
                                         const char *path, const char *sql,
                                         tap_error *err);
/* *row = there is a row to read. A statement that is done is reset. */
TAP_NODISCARD tap_status tap_sql_step(bool *row, sqlite3_stmt *statement,
                                      const char *path, tap_error *err);

/* *out = the one number that sql asks for. */
TAP_NODISCARD tap_status tap_sql_int(int64_t *out, sqlite3 *db, const char *path,
                                     const char *sql, tap_error *err);

/* TAP_EFORMAT unless the open database is a results.db that this version reads. */
TAP_NODISCARD tap_status tap_sql_check(sqlite3 *db, const char *path, tap_error *err);

#endif

/* Inside the store: the open database and a statement being filled. */
#ifndef TAP_LAB_STORE_ROW_H
#define TAP_LAB_STORE_ROW_H

#include "lab/store.h"
#include "lab/store_sql.h"

/* ORDER statements: the texts in store.c follow this enum. */
enum {
    TAP_SQL_PUT_IMAGE,
    TAP_SQL_PUT_THUMBNAIL,
    TAP_SQL_PUT_PATCH,
    TAP_SQL_PUT_ITEM,
    TAP_SQL_PUT_OUTLINE,
    TAP_SQL_PUT_FORM,
    TAP_SQL_PUT_SCORE,
    TAP_SQL_PUT_CONTROL_SET,
    TAP_SQL_PUT_CONTROL,
    TAP_SQL_PUT_RANKS,
    TAP_SQL_PUT_TOKEN,
    TAP_SQL_PUT_WORD,
    TAP_SQL_PUT_RECEIPT,
    TAP_SQL_FIND_IMAGE,
    TAP_SQL_FIND_FACT,
    TAP_SQL_N
};

struct tap_store {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[TAP_SQL_N];
    int64_t *condition_ids; /* [n_conditions] id of the spec's condition */
    size_t n_conditions, n_depths;
    int64_t image_id; /* of the image begun */
    bool writable, begun;
};

/* A statement about to be filled, column after column: binding stops at the first error,
 * which tap_row_end reports. */
typedef struct tap_row {
    const tap_store *store;
    sqlite3_stmt *statement;
    int column;
    int code;
} tap_row;

tap_row tap_row_of(const tap_store *store, int which);
void tap_row_int(tap_row *r, int64_t value);
void tap_row_real(tap_row *r, double value);     /* NaN becomes NULL */
void tap_row_text(tap_row *r, const char *text); /* NULL stays NULL */
void tap_row_blob(tap_row *r, const void *bytes, size_t n_bytes);
TAP_NODISCARD tap_status tap_row_end(tap_row *r, tap_error *err);

#endif

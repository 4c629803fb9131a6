#include "lab/tsv.h"

#include "base/file.h"
#include "lab/shared_tables.h"

#include <string.h>

enum { LIMIT_BYTES = 1 << 28, MAX_CELLS = 64 };

static tap_status fail_at(const tap_tsv *t, int64_t line, const char *what,
                          tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s', line %lld: %s", t->path,
                    (long long)line, what);
}

tap_status tap_tsv_fail(const tap_tsv *table, size_t row, const char *what,
                        tap_error *err)
{
    return fail_at(table, table->lines[row], what, err);
}

const char *tap_tsv_cell(const tap_tsv *table, size_t row, size_t column)
{
    return table->cells[row * table->n_columns + column];
}

/* Cuts a line at its tabs; returns how many cells. */
static int cut(char *cells[MAX_CELLS], char *text)
{
    int n = 0;
    for (char *at = text; n < MAX_CELLS; n++) {
        cells[n] = at;
        at = strchr(at, '\t');
        if (!at)
            return n + 1;
        *at++ = '\0';
    }
    return n + 1; /* too many: no heading has as many */
}

/* place[c] = where column c stands among the n cells of the heading, or -1. */
static tap_status read_heading(int place[MAX_CELLS], char *const *cells, int n,
                               const tap_tsv *t, int64_t line,
                               const char *const *columns, size_t n_required,
                               tap_error *err)
{
    if (n > MAX_CELLS)
        return fail_at(t, line, "it has more than 64 cells", err);
    for (size_t c = 0; c < t->n_columns; c++) {
        place[c] = -1;
        for (int i = 0; i < n; i++)
            if (strcmp(cells[i], columns[c]) == 0)
                place[c] = i;
        if (c < n_required && place[c] < 0)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s', line %lld: expected a heading with the "
                            "column '%s', columns separated by tabs",
                            t->path, (long long)line, columns[c]);
    }
    return TAP_OK;
}

static tap_status put_row(tap_tsv *t, char *const *cells, const int *place,
                          int64_t line, tap_error *err)
{
    TAP_TRY(tap_grow(&t->cells, &t->row_capacity, (t->n_rows + 1) * t->n_columns,
                     sizeof *t->cells, "a table", err));
    TAP_TRY(tap_grow(&t->lines, &t->line_capacity, t->n_rows + 1, sizeof *t->lines,
                     "a table", err));
    for (size_t c = 0; c < t->n_columns; c++)
        t->cells[t->n_rows * t->n_columns + c] = place[c] < 0 ? NULL : cells[place[c]];
    t->lines[t->n_rows++] = line;
    return TAP_OK;
}

static tap_status read_rows(tap_tsv *t, const char *const *columns, size_t n_required,
                            bool comments, tap_error *err)
{
    int place[MAX_CELLS], n_heading = 0;
    int64_t line = 0;
    for (char *at = t->text, *next; *at; at = next) {
        char *end = at + strcspn(at, "\n");
        next = *end ? end + 1 : end;
        if (end > at && end[-1] == '\r')
            end[-1] = '\0';
        *end = '\0';
        line++;
        if (*at == '\0' || (comments && *at == '#'))
            continue;
        char *cells[MAX_CELLS];
        const int n = cut(cells, at);
        if (n_heading == 0) {
            TAP_TRY(read_heading(place, cells, n, t, line, columns, n_required, err));
            n_heading = n;
            continue;
        }
        if (n != n_heading)
            return fail_at(t, line, "it has not as many cells as the heading", err);
        TAP_TRY(put_row(t, cells, place, line, err));
    }
    return n_heading ? TAP_OK : fail_at(t, line + 1, "the table has no heading", err);
}

/* Takes text over, also on failure. */
static tap_status read_text(tap_tsv *out, char *text, size_t n_bytes, const char *path,
                            const char *const *columns, size_t n_columns,
                            size_t n_required, bool comments, tap_error *err)
{
    tap_tsv t = {.text = text, .n_columns = n_columns};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_text_copy(&t.path, path, strlen(path), err));
    if (strlen(text) != n_bytes)
        TAP_TRY_OUT(fail_at(&t, 1, "the file holds a NUL byte", err));
    TAP_TRY_OUT(read_rows(&t, columns, n_required, comments, err));
out:
    if (status == TAP_OK)
        *out = t;
    else
        tap_tsv_clear(&t);
    return status;
}

tap_status tap_tsv_read(tap_tsv *out, const char *path, const char *const *columns,
                        size_t n_columns, size_t n_required, bool comments,
                        tap_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    TAP_TRY(tap_file_read(&text, &n_bytes, path, LIMIT_BYTES, err));
    return read_text(out, text, n_bytes, path, columns, n_columns, n_required, comments,
                     err);
}

tap_status tap_tsv_parse(tap_tsv *out, const char *text, size_t n_bytes,
                         const char *path, const char *const *columns, size_t n_columns,
                         size_t n_required, bool comments, tap_error *err)
{
    char *copy = NULL;
    TAP_TRY(tap_text_copy(&copy, text, n_bytes, err));
    return read_text(out, copy, n_bytes, path, columns, n_columns, n_required, comments,
                     err);
}

tap_status tap_shared_table_open(tap_tsv *out, const char *name,
                                 const char *const *columns, size_t n_columns,
                                 tap_error *err)
{
    for (const tap_shared_table *t = tap_shared_tables; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return tap_tsv_parse(out, t->text, strlen(t->text), name, columns,
                                 n_columns, n_columns, true, err);
    return TAP_FAIL(err, TAP_EBUG, "the library lacks its table '%s'", name);
}

void tap_tsv_clear(tap_tsv *table)
{
    tap_free(table->path);
    tap_free(table->text);
    tap_free(table->cells);
    tap_free(table->lines);
    *table = (tap_tsv){0};
}

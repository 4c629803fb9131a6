#include "lab/part_table.h"

#include "base/file.h"
#include "base/suggest.h"
#include "lab/shared_tables.h"
#include "lab/tsv.h"

#include <stdio.h>
#include <string.h>

enum { PART, LABEL_OR_NAME, OBJECT, OTHER, N_COLUMNS };

struct tap_part_table {
    tap_tsv rows;
    bool is_merge;
};

size_t tap_part_tables(const char *names[TAP_MAX_PART_TABLES], const char *kind)
{
    const size_t n_kind = strlen(kind);
    size_t n = 0;
    for (const tap_shared_table *t = tap_shared_tables;
         t->name && n < TAP_MAX_PART_TABLES; t++)
        if (strncmp(t->name, kind, n_kind) == 0 && t->name[n_kind] == '-')
            names[n++] = t->name + n_kind + 1;
    return n;
}

static const char *shipped_text(const char *kind, const char *name)
{
    const size_t n_kind = strlen(kind);
    for (const tap_shared_table *t = tap_shared_tables; t->name; t++)
        if (strncmp(t->name, kind, n_kind) == 0 && t->name[n_kind] == '-' &&
            strcmp(t->name + n_kind + 1, name) == 0)
            return t->text;
    return NULL;
}

bool tap_part_table_is_shipped(const char *kind, const char *name)
{
    return shipped_text(kind, name) != NULL;
}

tap_status tap_part_table_parse(tap_part_table **out, const char *kind,
                                const char *text, size_t n_bytes, const char *path,
                                tap_error *err)
{
    static const char *const merge[N_COLUMNS] = {"part", "name", "object", "label"};
    static const char *const names[N_COLUMNS] = {"part", "label", "object", "name"};
    tap_part_table *t = NULL;
    TAP_TRY(tap_alloc(&t, 1, sizeof *t, "a table", err));
    t->is_merge = strcmp(kind, "merge") == 0;
    tap_status status =
        tap_tsv_parse(&t->rows, text, n_bytes, path, t->is_merge ? merge : names,
                      N_COLUMNS, OBJECT, true, err);
    for (size_t r = 0; status == TAP_OK && r < t->rows.n_rows; r++)
        if (*tap_tsv_cell(&t->rows, r, PART) == '\0' ||
            *tap_tsv_cell(&t->rows, r, LABEL_OR_NAME) == '\0')
            status =
                tap_tsv_fail(&t->rows, r, "an empty cell; '-' leaves a part out", err);
    if (status == TAP_OK)
        *out = t;
    else
        tap_part_table_close(t);
    return status;
}

tap_status tap_part_table_open(tap_part_table **out, const char *kind, const char *name,
                               tap_error *err)
{
    const char *shipped = shipped_text(kind, name);
    if (shipped)
        return tap_part_table_parse(out, kind, shipped, strlen(shipped), name, err);
    if (!tap_file_exists(name)) {
        const char *known[TAP_MAX_PART_TABLES];
        const size_t n = tap_part_tables(known, kind);
        const char *near = tap_suggest(name, known, n);
        tap_buffer list = {0};
        for (size_t i = 0; i < n && !near; i++)
            TAP_TRY(tap_buffer_print(&list, err, "%s%s", i ? ", " : "", known[i]));
        const tap_status status =
            TAP_FAIL(err, TAP_EINVAL, "unknown %s '%s'%s%s%s", kind, name,
                     near ? "; did you mean '" : "; it is no file, and known are ",
                     near ? near : list.text, near ? "'?" : "");
        tap_buffer_clear(&list);
        return status;
    }
    char *text = NULL;
    size_t n_bytes = 0;
    TAP_TRY(tap_file_read(&text, &n_bytes, name, 1 << 24, err));
    const tap_status status = tap_part_table_parse(out, kind, text, n_bytes, name, err);
    tap_free(text);
    return status;
}

void tap_part_table_close(tap_part_table *table)
{
    if (!table)
        return;
    tap_tsv_clear(&table->rows);
    tap_free(table);
}

/* A piece of text. */
typedef struct piece {
    const char *text;
    size_t n;
} piece;

static size_t count_digits_at_end(piece p)
{
    size_t n = 0;
    while (n < p.n && p.text[p.n - 1 - n] >= '0' && p.text[p.n - 1 - n] <= '9')
        n++;
    return n;
}

/* What * and # of the pattern stand for. */
static bool fits(const char *pattern, piece text, piece *star, piece *number)
{
    size_t n = strlen(pattern);
    *star = *number = (piece){"", 0};
    if (n > 1 && pattern[n - 1] == '#') {
        n--;
        number->n = count_digits_at_end(text);
        number->text = text.text + text.n - number->n;
        text.n -= number->n;
        if (number->n == 0)
            return false;
    }
    const char *mark = memchr(pattern, '*', n);
    if (!mark)
        return n == text.n && memcmp(pattern, text.text, n) == 0;
    const size_t before = (size_t)(mark - pattern), after = n - before - 1;
    if (text.n <= before + after || memcmp(pattern, text.text, before) != 0 ||
        memcmp(mark + 1, text.text + text.n - after, after) != 0)
        return false;
    *star = (piece){text.text + before, text.n - before - after};
    return true;
}

static bool is_listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    if (!list || strcmp(list, "*") == 0)
        return true;
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strcspn(at, ",") == n && memcmp(at, word, n) == 0)
            return true;
    return false;
}

/* *out = the cell with * and # replaced. */
static tap_status fill(char **out, const char *cell, piece star, piece number,
                       tap_error *err)
{
    tap_buffer text = {0};
    tap_status status = tap_buffer_put(&text, "", 0, err);
    for (; *cell && status == TAP_OK; cell++) {
        const piece p = *cell == '*' ? star : *cell == '#' ? number : (piece){cell, 1};
        status = tap_buffer_put(&text, p.text, p.n, err);
    }
    if (status == TAP_OK)
        *out = text.text;
    else
        tap_buffer_clear(&text);
    return status;
}

static tap_status readable(char **out, const char *cell, piece star, piece number,
                           tap_error *err)
{
    char *text = NULL;
    TAP_TRY(fill(&text, cell, star, number, err));
    const tap_status status = tap_readable_name(out, text, err);
    tap_free(text);
    return status;
}

static tap_status apply(tap_part_naming *out, const tap_part_table *t, size_t r,
                        piece star, piece number, tap_error *err)
{
    const char *first = tap_tsv_cell(&t->rows, r, LABEL_OR_NAME);
    const char *label = t->is_merge ? tap_tsv_cell(&t->rows, r, OTHER) : first;
    if (!label)
        label = first;
    out->found = true;
    out->left_out = strcmp(first, "-") == 0;
    if (out->left_out)
        return TAP_OK;
    if (t->is_merge)
        TAP_TRY(fill(&out->name, first, star, number, err));
    return *label == '\0' ? TAP_OK : readable(&out->label, label, star, number, err);
}

/* Length of a name without a counter "_12". */
static size_t without_counter(piece name)
{
    const size_t digits = count_digits_at_end(name);
    return digits > 0 && name.n > digits + 1 && name.text[name.n - digits - 1] == '_'
               ? name.n - digits - 1
               : name.n;
}

tap_status tap_part_table_find(tap_part_naming *out, const tap_part_table *table,
                               const char *object, const char *part, tap_error *err)
{
    piece name = {part, strlen(part)}, star, number;
    tap_part_naming naming = {0};
    for (bool again = true; again && !naming.found;) {
        for (size_t r = 0; r < table->rows.n_rows && !naming.found; r++)
            if (is_listed(tap_tsv_cell(&table->rows, r, OBJECT), object) &&
                fits(tap_tsv_cell(&table->rows, r, PART), name, &star, &number)) {
                const tap_status status = apply(&naming, table, r, star, number, err);
                if (status != TAP_OK) {
                    tap_free(naming.name);
                    return status;
                }
            }
        const size_t n = without_counter(name);
        again = !table->is_merge && n < name.n;
        name.n = n;
    }
    *out = naming;
    return TAP_OK;
}

tap_status tap_readable_name(char **out, const char *name, tap_error *err)
{
    size_t n = strcspn(name, ",(");
    while (n > 0 && strchr(" _", name[n - 1]))
        n--;
    if (n == 0)
        n = strlen(name);
    TAP_TRY(tap_text_copy(out, name, n, err));
    for (char *c = *out; *c; c++)
        *c = (char)(*c == '_' ? ' ' : *c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    return TAP_OK;
}

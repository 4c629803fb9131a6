#include "lab/table.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

tap_table tap_table_new(const char *name, const char *const *columns, size_t n_columns)
{
    assert(n_columns > 0);
    return (tap_table){.name = name, .columns = columns, .n_columns = n_columns};
}

void tap_table_clear(tap_table *table)
{
    for (size_t i = 0; i < table->n_values; i++)
        tap_free(table->values[i].text);
    tap_free(table->values);
    *table = (tap_table){0};
}

size_t tap_table_n_rows(const tap_table *table)
{
    assert(table->n_values % table->n_columns == 0);
    return table->n_values / table->n_columns;
}

const tap_value *tap_table_row(const tap_table *table, size_t row)
{
    assert(row < tap_table_n_rows(table));
    return table->values + row * table->n_columns;
}

int tap_table_find(const tap_table *table, const char *column)
{
    for (size_t i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i], column) == 0)
            return (int)i;
    return -1;
}

static tap_status put_value(tap_table *table, tap_value value, tap_error *err)
{
    TAP_TRY(tap_grow(&table->values, &table->capacity, table->n_values + 1,
                     sizeof *table->values, "a table", err));
    table->values[table->n_values++] = value;
    return TAP_OK;
}

tap_status tap_table_put_text(tap_table *table, const char *text, tap_error *err)
{
    tap_value value = {0};
    if (text) {
        value.kind = TAP_KIND_TEXT;
        TAP_TRY(tap_text_copy(&value.text, text, strlen(text), err));
    }
    const tap_status status = put_value(table, value, err);
    if (status != TAP_OK)
        tap_free(value.text);
    return status;
}

tap_status tap_table_put_int(tap_table *table, int64_t whole, tap_error *err)
{
    return put_value(table, (tap_value){.kind = TAP_KIND_INT, .whole = whole}, err);
}

tap_status tap_table_put_real(tap_table *table, double real, tap_error *err)
{
    const tap_value value = {.kind = isnan(real) ? TAP_KIND_NONE : TAP_KIND_REAL,
                             .real = real};
    return put_value(table, value, err);
}

/* The fewest of 15, 16 or 17 digits that read back as the same number. */
static tap_status put_real(tap_buffer *out, double real, tap_error *err)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        double back = 0.0;
        (void)snprintf(text, sizeof text, "%.*g", digits, real);
        if (sscanf(text, "%lf", &back) == 1 && back == real)
            break;
    }
    return tap_buffer_print(out, err, "%s", text);
}

static tap_status put_number(tap_buffer *out, const tap_value *value, tap_error *err)
{
    if (value->kind == TAP_KIND_INT)
        return tap_buffer_print(out, err, "%" PRId64, value->whole);
    return put_real(out, value->real, err);
}

static bool is_absent(const tap_value *value)
{
    return value->kind == TAP_KIND_NONE ||
           (value->kind == TAP_KIND_REAL && !isfinite(value->real));
}

static tap_status csv_put_text(tap_buffer *out, const char *text, tap_error *err)
{
    if (text[0] != '\0' && !strpbrk(text, ",\"\r\n"))
        return tap_buffer_print(out, err, "%s", text);
    TAP_TRY(tap_buffer_put(out, "\"", 1, err));
    while (*text) {
        const size_t n = strcspn(text, "\"");
        TAP_TRY(tap_buffer_put(out, text, n, err));
        text += n;
        if (*text) {
            TAP_TRY(tap_buffer_put(out, "\"\"", 2, err));
            text++;
        }
    }
    return tap_buffer_put(out, "\"", 1, err);
}

tap_status tap_csv_put_header(tap_buffer *out, const char *const *columns,
                              size_t n_columns, tap_error *err)
{
    for (size_t i = 0; i < n_columns; i++) {
        if (i)
            TAP_TRY(tap_buffer_put(out, ",", 1, err));
        TAP_TRY(csv_put_text(out, columns[i], err));
    }
    return tap_buffer_put(out, "\r\n", 2, err);
}

tap_status tap_csv_put_row(tap_buffer *out, const tap_value *values, size_t n_columns,
                           tap_error *err)
{
    for (size_t i = 0; i < n_columns; i++) {
        if (i)
            TAP_TRY(tap_buffer_put(out, ",", 1, err));
        if (is_absent(&values[i]))
            continue;
        if (values[i].kind == TAP_KIND_TEXT)
            TAP_TRY(csv_put_text(out, values[i].text, err));
        else
            TAP_TRY(put_number(out, &values[i], err));
    }
    return tap_buffer_put(out, "\r\n", 2, err);
}

/* Bytes of the UTF-8 character at text; 0 if it is none. */
static size_t utf8_bytes(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    const size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* overlong forms, surrogates, and beyond the last character */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

tap_status tap_json_put_text(tap_buffer *out, const char *text, tap_error *err)
{
    TAP_TRY(tap_buffer_put(out, "\"", 1, err));
    while (*text) {
        const unsigned char c = (unsigned char)*text;
        const size_t n = utf8_bytes(text);
        if (n == 0)
            TAP_TRY(tap_buffer_put(out, "\xef\xbf\xbd", 3, err));
        else if (c == '"' || c == '\\')
            TAP_TRY(tap_buffer_print(out, err, "\\%c", c));
        else if (c < ' ' || c == 0x7f)
            TAP_TRY(tap_buffer_print(out, err, "\\u%04x", c));
        else
            TAP_TRY(tap_buffer_put(out, text, n, err));
        text += n ? n : 1;
    }
    return tap_buffer_put(out, "\"", 1, err);
}

tap_status tap_jsonl_put_value(tap_buffer *out, const char *column,
                               const tap_value *value, tap_error *err)
{
    TAP_TRY(tap_json_put_text(out, column, err));
    TAP_TRY(tap_buffer_put(out, ":", 1, err));
    if (is_absent(value))
        return tap_buffer_put(out, "null", 4, err);
    if (value->kind == TAP_KIND_TEXT)
        return tap_json_put_text(out, value->text, err);
    return put_number(out, value, err);
}

tap_status tap_jsonl_put_row(tap_buffer *out, const char *first,
                             const char *const *columns, const tap_value *values,
                             size_t n_columns, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "{%s", first));
    for (size_t i = 0; i < n_columns; i++) {
        if (i || first[0])
            TAP_TRY(tap_buffer_put(out, ",", 1, err));
        TAP_TRY(tap_jsonl_put_value(out, columns[i], &values[i], err));
    }
    return tap_buffer_put(out, "}\n", 2, err);
}

tap_status tap_table_print(tap_buffer *out, const tap_table *table,
                           tap_table_format format, tap_error *err)
{
    char first[96];
    (void)snprintf(first, sizeof first, "\"schema\":1,\"table\":\"%s\"", table->name);
    if (format == TAP_CSV)
        TAP_TRY(tap_csv_put_header(out, table->columns, table->n_columns, err));
    for (size_t row = 0; row < tap_table_n_rows(table); row++) {
        const tap_value *values = tap_table_row(table, row);
        if (format == TAP_CSV)
            TAP_TRY(tap_csv_put_row(out, values, table->n_columns, err));
        else
            TAP_TRY(tap_jsonl_put_row(out, first, table->columns, values,
                                      table->n_columns, err));
    }
    return TAP_OK;
}

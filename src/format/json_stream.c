#include "format/json_stream.h"

#include <string.h>

enum { MAX_NESTING = 64 };

static tap_status fail(const tap_json_stream *s, const char *what, tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s' as JSON: %s at byte %zu",
                    s->path, what, s->at);
}

static void skip_space(tap_json_stream *s)
{
    while (s->at < s->n_bytes && memchr(" \t\r\n", s->text[s->at], 4))
        s->at++;
}

/* The next character that is no space; NUL at the end. */
static char peek(tap_json_stream *s)
{
    skip_space(s);
    return s->at < s->n_bytes ? s->text[s->at] : '\0';
}

static tap_status skip_string(tap_json_stream *s, tap_error *err)
{
    const char *end = s->text + s->n_bytes, *at = s->text + s->at + 1;
    for (;;) {
        const char *quote = at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
        if (!quote)
            return fail(s, "a string that does not end", err);
        size_t n_escapes = 0;
        while (quote - n_escapes > at && quote[-1 - (ptrdiff_t)n_escapes] == '\\')
            n_escapes++;
        at = quote + 1;
        if (n_escapes % 2 == 0)
            break;
    }
    s->at = (size_t)(at - s->text);
    return TAP_OK;
}

static tap_status skip_value(tap_json_stream *s, tap_error *err)
{
    char closing[MAX_NESTING];
    int depth = 0;
    do {
        const char c = peek(s);
        if (c == '"') {
            TAP_TRY(skip_string(s, err));
        } else if (c == '{' || c == '[') {
            if (depth == MAX_NESTING)
                return fail(s, "brackets nested too deeply", err);
            closing[depth++] = c == '{' ? '}' : ']';
            s->at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0 || closing[--depth] != c)
                return fail(s, "a bracket that was not opened", err);
            s->at++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            s->at++;
        } else {
            const size_t first = s->at;
            while (s->at < s->n_bytes && !memchr(" \t\r\n,:{}[]\"", s->text[s->at], 11))
                s->at++;
            if (s->at == first)
                return fail(s, "a missing value", err);
        }
    } while (depth > 0);
    return TAP_OK;
}

/* Behind the value whose key was read last. */
static tap_status finish_value(tap_json_stream *s, tap_error *err)
{
    if (s->state == TAP_JSON_VALUE)
        TAP_TRY(skip_value(s, err));
    for (bool more = s->state == TAP_JSON_ITEMS; more;) {
        tap_json_range rest;
        TAP_TRY(tap_json_stream_item(&more, &rest, s, err));
    }
    return TAP_OK;
}

tap_status tap_json_stream_key(bool *found, tap_json_range *key,
                               tap_json_stream *stream, tap_error *err)
{
    tap_json_stream *s = stream;
    const bool first = s->state == TAP_JSON_TOP;
    if (first && peek(s) != '{')
        return fail(s, "no object", err);
    s->at += first;
    TAP_TRY(finish_value(s, err));
    s->state = TAP_JSON_BETWEEN;
    *found = false;
    const char c = peek(s);
    if (c == '}') {
        s->at++;
        skip_space(s);
        return s->at < s->n_bytes ? fail(s, "text after the end", err) : TAP_OK;
    }
    if (!first && c != ',')
        return fail(s, "a missing comma or closing bracket", err);
    s->at += !first;
    if (peek(s) != '"')
        return fail(s, "a missing key", err);
    const size_t begin = s->at + 1;
    TAP_TRY(skip_string(s, err));
    *key = (tap_json_range){s->text + begin, s->at - 1 - begin};
    if (peek(s) != ':')
        return fail(s, "a missing colon", err);
    s->at++;
    s->state = TAP_JSON_VALUE;
    *found = true;
    return TAP_OK;
}

tap_status tap_json_stream_item(bool *found, tap_json_range *item,
                                tap_json_stream *stream, tap_error *err)
{
    tap_json_stream *s = stream;
    const bool first = s->state == TAP_JSON_VALUE;
    *found = false;
    if (!first && s->state != TAP_JSON_ITEMS)
        return TAP_OK;
    if (first && peek(s) != '[') {
        s->state = TAP_JSON_BETWEEN;
        return skip_value(s, err);
    }
    s->at += first;
    s->state = TAP_JSON_BETWEEN;
    const char c = peek(s);
    if (c == ']') {
        s->at++;
        return TAP_OK;
    }
    if (!first && c != ',')
        return fail(s, "a missing comma or closing bracket", err);
    s->at += !first;
    skip_space(s);
    const size_t begin = s->at;
    TAP_TRY(skip_value(s, err));
    *item = (tap_json_range){s->text + begin, s->at - begin};
    s->state = TAP_JSON_ITEMS;
    *found = true;
    return TAP_OK;
}

bool tap_json_range_is(const tap_json_range *range, const char *text)
{
    return strlen(text) == range->n_bytes &&
           memcmp(range->text, text, range->n_bytes) == 0;
}

#include "format/json.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>

tap_status tap_json_parse(json_t **out, const char *text, size_t n_bytes,
                          const char *path, tap_error *err)
{
    json_error_t found;
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &found);
    if (!root)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s' as JSON: %s, line %d, column %d", path,
                        found.text, found.line, found.column);
    if (!json_is_object(root)) {
        json_decref(root);
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': expected a JSON object at the top, found a "
                        "list",
                        path);
    }
    *out = root;
    return TAP_OK;
}

tap_status tap_json_read(json_t **out, const char *path, size_t limit_bytes,
                         tap_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    TAP_TRY(tap_file_read(&text, &n_bytes, path, limit_bytes, err));
    const tap_status status = tap_json_parse(out, text, n_bytes, path, err);
    tap_free(text);
    return status;
}

static int put_chunk(const char *bytes, size_t n, void *buffer)
{
    return tap_buffer_put(buffer, bytes, n, NULL) == TAP_OK ? 0 : -1;
}

tap_status tap_json_print(tap_buffer *out, const json_t *value, tap_error *err)
{
    const size_t before = out->n_bytes;
    TAP_TRY(tap_buffer_put(out, "", 0, err));
    if (json_dump_callback(value, put_chunk, out, JSON_COMPACT) == 0)
        return TAP_OK;
    out->n_bytes = before;
    out->text[before] = '\0';
    return TAP_FAIL(err, TAP_ENOMEM, "cannot get memory for JSON text");
}

void tap_json_describe(char text[TAP_JSON_VALUE_BYTES], const json_t *value)
{
    const size_t n = TAP_JSON_VALUE_BYTES;
    if (json_is_string(value))
        (void)snprintf(text, n, "\"%.60s\"", json_string_value(value));
    else if (json_is_integer(value))
        (void)snprintf(text, n, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(text, n, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        (void)snprintf(text, n, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_array(value))
        (void)snprintf(text, n, "a list of %zu", json_array_size(value));
    else
        (void)snprintf(text, n, "%s", json_is_object(value) ? "an object" : "nothing");
}

const json_t *tap_json_find(const tap_json_at *at, const char *key)
{
    const json_t *value = json_object_get(at->object, key);
    return json_is_null(value) ? NULL : value;
}

static tap_status fail_kind(const tap_json_at *at, const char *key, const json_t *value,
                            const char *expected, tap_error *err)
{
    if (!value)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%s%s' is missing, expected %s", at->path,
                        at->place, key, expected);
    char found[TAP_JSON_VALUE_BYTES];
    tap_json_describe(found, value);
    return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': '%s%s' is %s, expected %s",
                    at->path, at->place, key, found, expected);
}

tap_status tap_json_int(int64_t *out, const tap_json_at *at, const char *key,
                        int64_t absent, int64_t low, int64_t high, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    const int64_t number = value ? json_integer_value(value) : absent;
    if ((value && !json_is_integer(value)) || number < low || number > high) {
        char expected[TAP_JSON_VALUE_BYTES];
        (void)snprintf(expected, sizeof expected, "a whole number from %lld to %lld",
                       (long long)low, (long long)high);
        return fail_kind(at, key, value, expected, err);
    }
    *out = number;
    return TAP_OK;
}

tap_status tap_json_real(double *out, const tap_json_at *at, const char *key,
                         double absent, double low, double high, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    const double number = value ? json_number_value(value) : absent;
    if ((value && !json_is_number(value)) || !(number >= low && number <= high)) {
        char expected[TAP_JSON_VALUE_BYTES];
        (void)snprintf(expected, sizeof expected, "a number from %g to %g", low, high);
        return fail_kind(at, key, value, expected, err);
    }
    *out = number;
    return TAP_OK;
}

tap_status tap_json_bool(bool *out, const tap_json_at *at, const char *key, bool absent,
                         tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    if (value && !json_is_boolean(value))
        return fail_kind(at, key, value, "true or false", err);
    *out = value ? json_is_true(value) : absent;
    return TAP_OK;
}

tap_status tap_json_text(const char **out, const tap_json_at *at, const char *key,
                         const char *absent, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    if (value ? !json_is_string(value) : !absent)
        return fail_kind(at, key, value, "text", err);
    *out = value ? json_string_value(value) : absent;
    return TAP_OK;
}

tap_status tap_json_reals(double *out, const tap_json_at *at, const char *key, size_t n,
                          const double *absent, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    bool good = value ? json_is_array(value) && json_array_size(value) == n : !!absent;
    for (size_t i = 0; good && value && i < n; i++) {
        const json_t *item = json_array_get(value, i);
        good = json_is_number(item) && isfinite(json_number_value(item));
    }
    if (!good) {
        char expected[TAP_JSON_VALUE_BYTES];
        (void)snprintf(expected, sizeof expected, "a list of %zu numbers", n);
        return fail_kind(at, key, value, expected, err);
    }
    for (size_t i = 0; i < n; i++)
        out[i] = value ? json_number_value(json_array_get(value, i)) : absent[i];
    return TAP_OK;
}

tap_status tap_json_object(tap_json_at *out, const tap_json_at *at, const char *key,
                           const char *place, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    if (value && !json_is_object(value))
        return fail_kind(at, key, value, "an object", err);
    *out = (tap_json_at){.object = value, .path = at->path, .place = place};
    return TAP_OK;
}

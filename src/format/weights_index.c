#include "format/weights_index.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_INDEX_BYTES = 1 << 26 };

static int compare_places(const void *a, const void *b)
{
    const tap_weights_place *left = a, *right = b;
    const int order = strcmp(left->file, right->file);
    return order ? order : strcmp(left->raw, right->raw);
}

static bool is_plain_name(const char *file)
{
    return file && file[0] && !strchr(file, '/') && !strchr(file, '\\') &&
           strcmp(file, ".") != 0 && strcmp(file, "..") != 0;
}

static tap_status read_map(tap_weights_index *index, json_t *map, const char *path,
                           tap_error *err)
{
    const char *raw;
    json_t *value;
    json_object_foreach(map, raw, value)
    {
        const char *file = json_string_value(value);
        if (!is_plain_name(file)) {
            char found[TAP_JSON_VALUE_BYTES];
            tap_json_describe(found, value);
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': tensor '%.150s' stands in %s, expected "
                            "the plain name of a file beside the index",
                            path, raw, found);
        }
        index->places[index->n++] = (tap_weights_place){.raw = raw, .file = file};
    }
    qsort(index->places, index->n, sizeof *index->places, compare_places);
    return TAP_OK;
}

tap_status tap_weights_index_parse(tap_weights_index *out, const char *text,
                                   size_t n_bytes, const char *path, tap_error *err)
{
    tap_weights_index index = {0};
    tap_status status = TAP_OK;
    TAP_TRY(tap_json_parse(&index.root, text, n_bytes, path, err));
    json_t *map = json_object_get(index.root, "weight_map");
    const size_t n = json_object_size(map);
    if (n == 0) {
        status =
            TAP_FAIL(err, TAP_EFORMAT,
                     "cannot read '%s': it has no \"weight_map\" from tensor names "
                     "to files",
                     path);
        goto out;
    }
    TAP_TRY_OUT(tap_alloc(&index.places, n, sizeof *index.places, "an index", err));
    TAP_TRY_OUT(read_map(&index, map, path, err));
out:
    if (status == TAP_OK)
        *out = index;
    else
        tap_weights_index_clear(&index);
    return status;
}

tap_status tap_weights_index_read(tap_weights_index *out, const char *path,
                                  tap_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    TAP_TRY(tap_file_read(&text, &n_bytes, path, MAX_INDEX_BYTES, err));
    const tap_status status = tap_weights_index_parse(out, text, n_bytes, path, err);
    tap_free(text);
    return status;
}

void tap_weights_index_clear(tap_weights_index *index)
{
    tap_free(index->places);
    json_decref(index->root);
    *index = (tap_weights_index){0};
}

#include "format/safetensors.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "format/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_NAME_BYTES = 1024, MAX_TENSORS = 1000000 };

#define MAX_HEADER_BYTES UINT64_C(100000000)

typedef struct dtype_word {
    const char *word;
    tap_dtype dtype;
    int bits;
} dtype_word;

static const dtype_word dtype_words[] = {
    {"F32", TAP_F32, 32},      {"F16", TAP_F16, 16},
    {"BF16", TAP_BF16, 16},    {"F64", TAP_F64, 64},
    {"I64", TAP_I64, 64},      {"I32", TAP_I32, 32},
    {"U8", TAP_U8, 8},         {"BOOL", TAP_OTHER, 8},
    {"I8", TAP_OTHER, 8},      {"I16", TAP_OTHER, 16},
    {"U16", TAP_OTHER, 16},    {"U32", TAP_OTHER, 32},
    {"U64", TAP_OTHER, 64},    {"C64", TAP_OTHER, 64},
    {"F8_E5M2", TAP_OTHER, 8}, {"F8_E4M3", TAP_OTHER, 8},
    {"F8_E8M0", TAP_OTHER, 8}, {"F8_E4M3FNUZ", TAP_OTHER, 8},
    {"F6_E2M3", TAP_OTHER, 6}, {"F6_E3M2", TAP_OTHER, 6},
    {"F4", TAP_OTHER, 4},      {"F8_E5M2FNUZ", TAP_OTHER, 8},
};

enum { N_DTYPE_WORDS = sizeof dtype_words / sizeof dtype_words[0] };

typedef struct entry {
    const char *name; /* borrowed from the header */
    const dtype_word *word;
    uint64_t begin, end; /* in the data that follows the header */
    tap_tensor tensor;
} entry;

struct tap_safetensors {
    tap_mapping mapping; /* empty when the caller owns the bytes */
    json_t *header;
    const json_t *metadata; /* NULL if there is none */
    entry *entries;         /* [n], by place in the file */
    const entry **by_name;  /* [n], sorted */
    size_t n;
};

static tap_status fail_tensor(const char *path, const char *name, const char *what,
                              tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': tensor '%.200s' %s", path,
                    name, what);
}

static const dtype_word *find_dtype(const char *word)
{
    for (size_t i = 0; i < N_DTYPE_WORDS; i++)
        if (strcmp(word, dtype_words[i].word) == 0)
            return &dtype_words[i];
    return NULL;
}

static tap_status read_dtype(entry *out, const json_t *about, const char *path,
                             tap_error *err)
{
    const char *word = json_string_value(json_object_get(about, "dtype"));
    if (!word)
        return fail_tensor(path, out->name, "has no \"dtype\"", err);
    out->word = find_dtype(word);
    if (out->word) {
        out->tensor.dtype = out->word->dtype;
        return TAP_OK;
    }
    const char *known[N_DTYPE_WORDS];
    for (size_t i = 0; i < N_DTYPE_WORDS; i++)
        known[i] = dtype_words[i].word;
    const char *near = tap_suggest(word, known, N_DTYPE_WORDS);
    return TAP_FAIL(
        err, TAP_EFORMAT,
        "cannot read '%s': tensor '%.200s' has the unknown dtype '%.40s'%s%s%s", path,
        out->name, word, near ? "; did the writer mean '" : "", near ? near : "",
        near ? "'?" : "");
}

static tap_status read_shape(entry *out, const json_t *about, const char *path,
                             tap_error *err)
{
    const json_t *shape = json_object_get(about, "shape");
    if (!json_is_array(shape))
        return fail_tensor(path, out->name, "has no \"shape\" list", err);
    const size_t n = json_array_size(shape);
    if (n > TAP_MAX_DIMS)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': tensor '%.200s' has %zu dimensions, at most "
                        "%d are read",
                        path, out->name, n, TAP_MAX_DIMS);
    for (size_t i = 0; i < n; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return fail_tensor(path, out->name,
                               "has a shape that is not made of whole numbers from 0",
                               err);
        out->tensor.shape[i] = json_integer_value(size);
    }
    out->tensor.n_dims = (int)n;
    return TAP_OK;
}

static tap_status read_offsets(entry *out, const json_t *about, const char *path,
                               tap_error *err)
{
    const json_t *offsets = json_object_get(about, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0);
    const json_t *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) ||
        !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < 0)
        return fail_tensor(path, out->name,
                           "has no \"data_offsets\" of two whole numbers from 0", err);
    out->begin = (uint64_t)json_integer_value(begin);
    out->end = (uint64_t)json_integer_value(end);
    return TAP_OK;
}

static tap_status read_metadata(tap_safetensors *file, json_t *metadata,
                                const char *path, tap_error *err)
{
    bool good = json_is_object(metadata);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) good = good && json_is_string(value);
    if (!good)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': \"__metadata__\" is not an object of texts",
                        path);
    file->metadata = metadata;
    return TAP_OK;
}

static tap_status read_entries(tap_safetensors *file, const char *path, tap_error *err)
{
    const size_t n_keys = json_object_size(file->header);
    if (n_keys > MAX_TENSORS)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': it lists %zu tensors, at most %d are read",
                        path, n_keys, MAX_TENSORS);
    TAP_TRY(tap_alloc(&file->entries, n_keys, sizeof *file->entries,
                      "a list of tensors", err));
    const char *name;
    json_t *about;
    json_object_foreach(file->header, name, about)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (!json_is_null(about)) /* the reference reader takes null for none */
                TAP_TRY(read_metadata(file, about, path, err));
            continue;
        }
        entry *out = &file->entries[file->n++];
        out->name = name;
        if (strlen(name) > MAX_NAME_BYTES)
            return fail_tensor(path, name, "... has a name above 1024 bytes", err);
        if (!json_is_object(about))
            return fail_tensor(path, name, "is not described by an object", err);
        TAP_TRY(read_dtype(out, about, path, err));
        TAP_TRY(read_shape(out, about, path, err));
        TAP_TRY(read_offsets(out, about, path, err));
    }
    return TAP_OK;
}

static int compare_places(const void *a, const void *b)
{
    const entry *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return (left->end > right->end) - (left->end < right->end);
}

static int compare_entry_names(const void *a, const void *b)
{
    const entry *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

/* Bits of a tensor, with every product checked. A dimension of 0 does not excuse an
 * overflow before it: the reference reader multiplies in order. */
static bool count_bits(uint64_t *bits, const entry *e)
{
    uint64_t product = 1;
    for (int i = 0; i < e->tensor.n_dims; i++)
        if (__builtin_mul_overflow(product, (uint64_t)e->tensor.shape[i], &product))
            return false;
    return product <= INT64_MAX &&
           !__builtin_mul_overflow(product, (uint64_t)e->word->bits, bits);
}

/* Offsets first (in the order of the file: no gap, no overlap), then sizes. */
static tap_status check_entries(const tap_safetensors *file, uint64_t n_data,
                                const char *path, tap_error *err)
{
    uint64_t expected = 0;
    for (size_t i = 0; i < file->n; i++) {
        const entry *e = &file->entries[i];
        if (e->begin != expected || e->end < e->begin)
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot read '%s': tensor '%.200s' has the offsets %llu to %llu, expected "
                "to begin at %llu; tensors must follow each other without gap",
                path, e->name, (unsigned long long)e->begin, (unsigned long long)e->end,
                (unsigned long long)expected);
        expected = e->end;
    }
    for (size_t i = 0; i < file->n; i++) {
        const entry *e = &file->entries[i];
        char shape[96];
        tap_tensor_print_shape(shape, sizeof shape, &e->tensor);
        uint64_t bits = 0;
        if (!count_bits(&bits, e))
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot read '%s': tensor '%.200s' of shape %s is too large", path,
                e->name, shape);
        if (bits % 8 != 0)
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot read '%s': tensor '%.200s' of shape %s in %s does not fill "
                "whole bytes",
                path, e->name, shape, e->word->word);
        if (e->end - e->begin != bits / 8)
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot read '%s': tensor '%.200s' has %llu bytes, shape %s in %s needs "
                "%llu",
                path, e->name, (unsigned long long)(e->end - e->begin), shape,
                e->word->word, (unsigned long long)(bits / 8));
    }
    if (expected != n_data)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': its tensors take %llu bytes and %llu follow "
                        "the header; %s",
                        path, (unsigned long long)expected, (unsigned long long)n_data,
                        expected > n_data ? "the file is cut off"
                                          : "the file has bytes that belong to none");
    return TAP_OK;
}

/* *n_header = the length that the first 8 bytes claim, checked against the file. */
static tap_status read_length(size_t *n_header, const unsigned char *bytes,
                              size_t n_bytes, const char *path, tap_error *err)
{
    if (n_bytes < LENGTH_BYTES)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s' as safetensors: it has %zu bytes, a header "
                        "length alone needs %d; the file is cut off or of another kind",
                        path, n_bytes, LENGTH_BYTES);
    uint64_t claimed = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        claimed |= (uint64_t)bytes[i] << (8 * i);
    if (claimed > MAX_HEADER_BYTES)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s' as safetensors: its header claims %llu bytes, "
            "at most %llu are allowed; the file is damaged or of another kind",
            path, (unsigned long long)claimed, (unsigned long long)MAX_HEADER_BYTES);
    if (claimed > n_bytes - LENGTH_BYTES)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s' as safetensors: its header claims %llu bytes "
                        "and %zu follow; the file is cut off",
                        path, (unsigned long long)claimed, n_bytes - LENGTH_BYTES);
    *n_header = (size_t)claimed;
    return TAP_OK;
}

tap_status tap_safetensors_parse(tap_safetensors **out, const void *bytes,
                                 size_t n_bytes, const char *path, tap_error *err)
{
    size_t n_header = 0;
    TAP_TRY(read_length(&n_header, bytes, n_bytes, path, err));
    tap_safetensors *file = NULL;
    TAP_TRY(tap_alloc(&file, 1, sizeof *file, "a safetensors file", err));
    const unsigned char *header = (const unsigned char *)bytes + LENGTH_BYTES;
    tap_status status =
        tap_json_parse(&file->header, (const char *)header, n_header, path, err);
    if (status != TAP_OK) {
        status = tap_wrap(err, status, "bad safetensors header");
        goto out;
    }
    TAP_TRY_OUT(read_entries(file, path, err));
    qsort(file->entries, file->n, sizeof *file->entries, compare_places);
    TAP_TRY_OUT(check_entries(file, n_bytes - LENGTH_BYTES - n_header, path, err));
    TAP_TRY_OUT(tap_alloc(&file->by_name, file->n, sizeof *file->by_name,
                          "a list of tensors", err));
    for (size_t i = 0; i < file->n; i++) {
        entry *e = &file->entries[i];
        e->tensor.bytes = header + n_header + e->begin;
        file->by_name[i] = e;
    }
    qsort(file->by_name, file->n, sizeof(const entry *), compare_entry_names);
out:
    if (status == TAP_OK)
        *out = file;
    else
        tap_safetensors_close(file);
    return status;
}

tap_status tap_safetensors_open(tap_safetensors **out, const char *path, tap_error *err)
{
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    tap_safetensors *file = NULL;
    const tap_status status =
        tap_safetensors_parse(&file, mapping.bytes, mapping.n_bytes, path, err);
    if (status != TAP_OK) {
        tap_file_unmap(&mapping);
        return status;
    }
    file->mapping = mapping;
    *out = file;
    return TAP_OK;
}

void tap_safetensors_close(tap_safetensors *file)
{
    if (!file)
        return;
    json_decref(file->header);
    tap_free(file->entries);
    tap_free(file->by_name);
    tap_file_unmap(&file->mapping);
    tap_free(file);
}

int64_t tap_safetensors_count(const tap_safetensors *file)
{
    return (int64_t)file->n;
}

static const entry *at(const tap_safetensors *file, int64_t i)
{
    assert(i >= 0 && (size_t)i < file->n);
    return &file->entries[i];
}

const char *tap_safetensors_name(const tap_safetensors *file, int64_t i)
{
    return at(file, i)->name;
}

const tap_tensor *tap_safetensors_tensor(const tap_safetensors *file, int64_t i)
{
    return &at(file, i)->tensor;
}

const char *tap_safetensors_dtype(const tap_safetensors *file, int64_t i)
{
    return at(file, i)->word->word;
}

size_t tap_safetensors_bytes(const tap_safetensors *file, int64_t i)
{
    return (size_t)(at(file, i)->end - at(file, i)->begin);
}

int64_t tap_safetensors_find(const tap_safetensors *file, const char *name)
{
    const entry key = {.name = name};
    const entry *wanted = &key;
    const entry *const *found = bsearch(&wanted, file->by_name, file->n,
                                        sizeof(const entry *), compare_entry_names);
    return found ? *found - file->entries : -1;
}

const char *tap_safetensors_metadata(const tap_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

#include "format/weights.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "format/weights_file.h"
#include "format/weights_index.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CANONICAL_BYTES = 128 };

typedef struct weights_entry {
    char *canonical;
    const char *raw; /* borrowed from the file */
    int64_t file;
    const tap_tensor *tensor;
} weights_entry;

struct tap_weights {
    char *directory;
    tap_weights_file *files; /* [n_files], by name */
    size_t n_files, files_capacity;
    weights_entry *entries; /* [n], sorted by canonical name */
    size_t n, capacity;
    int64_t n_bytes;
    char hash[TAP_SHA256_TEXT_BYTES];
};

/* Canonical name of `raw` under one rule: false if it does not match. "*" takes decimal
 * digits without leading zeros. */
static bool apply_rule(char canonical[MAX_CANONICAL_BYTES], const tap_name_rule *rule,
                       const char *raw)
{
    const char *star = strchr(rule->raw, '*');
    if (!star) {
        if (strcmp(rule->raw, raw) != 0)
            return false;
        (void)snprintf(canonical, MAX_CANONICAL_BYTES, "%s", rule->canonical);
        return true;
    }
    const size_t n_front = (size_t)(star - rule->raw);
    if (strncmp(raw, rule->raw, n_front) != 0)
        return false;
    const char *digits = raw + n_front;
    const size_t n_digits = strspn(digits, "0123456789");
    if (n_digits == 0 || n_digits > 6 || (digits[0] == '0' && n_digits > 1) ||
        strcmp(digits + n_digits, star + 1) != 0)
        return false;
    const char *to = strchr(rule->canonical, '*');
    if (!to)
        (void)snprintf(canonical, MAX_CANONICAL_BYTES, "%s", rule->canonical);
    else
        (void)snprintf(canonical, MAX_CANONICAL_BYTES, "%.*s%.*s%s",
                       (int)(to - rule->canonical), rule->canonical, (int)n_digits,
                       digits, to + 1);
    return true;
}

static bool find_canonical(char canonical[MAX_CANONICAL_BYTES],
                           const tap_name_rule *rules, size_t n_rules, const char *raw)
{
    for (size_t i = 0; i < n_rules; i++)
        if (apply_rule(canonical, &rules[i], raw))
            return canonical[0] != '\0';
    return false;
}

static tap_status add_tensor(tap_weights *weights, size_t at, int64_t i,
                             const tap_name_rule *rules, size_t n_rules, tap_error *err)
{
    const tap_weights_file *file = &weights->files[at];
    const char *raw = tap_weights_file_name(file, i);
    char canonical[MAX_CANONICAL_BYTES];
    if (!find_canonical(canonical, rules, n_rules, raw))
        return TAP_OK;
    TAP_TRY(tap_grow(&weights->entries, &weights->capacity, weights->n + 1,
                     sizeof *weights->entries, "a list of tensors", err));
    weights_entry *e = &weights->entries[weights->n];
    TAP_TRY(tap_text_copy(&e->canonical, canonical, strlen(canonical), err));
    e->raw = raw;
    e->file = (int64_t)at;
    e->tensor = tap_weights_file_tensor(file, i);
    weights->n++;
    weights->n_bytes += (int64_t)tap_weights_file_bytes(file, i);
    return TAP_OK;
}

static tap_status add_file(tap_weights *weights, const char *name, tap_error *err)
{
    char *path = NULL;
    TAP_TRY(tap_grow(&weights->files, &weights->files_capacity, weights->n_files + 1,
                     sizeof *weights->files, "a list of files", err));
    TAP_TRY(tap_path_join(&path, weights->directory, name, err));
    const tap_status status =
        tap_weights_file_open(&weights->files[weights->n_files], path, err);
    tap_free(path);
    if (status == TAP_OK)
        weights->n_files++;
    return status;
}

static tap_status add_single(tap_weights *weights, const char *name,
                             const tap_name_rule *rules, size_t n_rules, tap_error *err)
{
    TAP_TRY(add_file(weights, name, err));
    const int64_t n = tap_weights_file_count(&weights->files[0]);
    for (int64_t i = 0; i < n; i++)
        TAP_TRY(add_tensor(weights, 0, i, rules, n_rules, err));
    return TAP_OK;
}

static tap_status add_shards(tap_weights *weights, const tap_weights_index *index,
                             const char *path, const tap_name_rule *rules,
                             size_t n_rules, tap_error *err)
{
    for (size_t i = 0; i < index->n; i++) {
        const tap_weights_place *place = &index->places[i];
        if (i == 0 || strcmp(place->file, place[-1].file) != 0) {
            const tap_status status = add_file(weights, place->file, err);
            if (status != TAP_OK)
                return tap_wrap(err, status, "bad shard of '%s'", path);
        }
        const size_t file = weights->n_files - 1;
        const int64_t found = tap_weights_file_find(&weights->files[file], place->raw);
        if (found < 0)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot open '%s': it places tensor '%.150s' in '%.80s', "
                            "which does not hold it; the files belong to different "
                            "checkpoints",
                            path, place->raw, place->file);
        TAP_TRY(add_tensor(weights, file, found, rules, n_rules, err));
    }
    return TAP_OK;
}

static tap_status add_index(tap_weights *weights, const char *name,
                            const tap_name_rule *rules, size_t n_rules, tap_error *err)
{
    char *path = NULL;
    tap_weights_index index = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_path_join(&path, weights->directory, name, err));
    TAP_TRY_OUT(tap_weights_index_read(&index, path, err));
    TAP_TRY_OUT(add_shards(weights, &index, path, rules, n_rules, err));
out:
    tap_weights_index_clear(&index);
    tap_free(path);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    const weights_entry *left = a, *right = b;
    const int order = strcmp(left->canonical, right->canonical);
    return order ? order : strcmp(left->raw, right->raw);
}

static tap_status sort_entries(tap_weights *weights, tap_error *err)
{
    if (weights->n)
        qsort(weights->entries, weights->n, sizeof *weights->entries, compare_entries);
    for (size_t i = 1; i < weights->n; i++) {
        const weights_entry *a = &weights->entries[i - 1], *b = &weights->entries[i];
        if (strcmp(a->canonical, b->canonical) == 0)
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot open model '%s': tensors '%.150s' and '%.150s' both "
                "claim to be '%s'",
                weights->directory, a->raw, b->raw, a->canonical);
    }
    return TAP_OK;
}

/* One line per tensor and file: what the hash is taken of. */
static tap_status hash_headers(tap_weights *weights, tap_error *err)
{
    tap_buffer text = {0};
    tap_status status = tap_buffer_put(&text, "", 0, err);
    for (size_t f = 0; f < weights->n_files; f++) {
        const tap_weights_file *file = &weights->files[f];
        const int64_t n = tap_weights_file_count(file);
        size_t offset = 0;
        for (int64_t i = 0; status == TAP_OK && i < n; i++) {
            char shape[256];
            tap_tensor_print_shape(shape, sizeof shape,
                                   tap_weights_file_tensor(file, i));
            status = tap_buffer_print(&text, err, "%s\t%s\t%s\t%zu\n",
                                      tap_weights_file_name(file, i),
                                      tap_weights_file_dtype(file, i), shape, offset);
            offset += tap_weights_file_bytes(file, i);
        }
        if (status == TAP_OK)
            status = tap_buffer_print(&text, err, "= %zu\n", offset);
    }
    if (status == TAP_OK)
        status = tap_sha256(weights->hash, text.text, text.n_bytes, err);
    tap_buffer_clear(&text);
    return status;
}

/* What a directory may hold, in transformers' order of preference. */
static const struct {
    const char *name;
    bool is_index;
} candidates[] = {
    {"model.safetensors", false},           {"model.safetensors.index.json", true},
    {"pytorch_model.bin", false},           {"pytorch_model.bin.index.json", true},
    {"open_clip_model.safetensors", false}, {"open_clip_pytorch_model.bin", false},
};

/* checkpoints/NAME.pt, as Prismatic trains them: the latest, or the only one. *name is NULL
 * if there is none. */
static tap_status find_checkpoint(char **name, const tap_weights *weights,
                                  tap_error *err)
{
    static const char latest[] = "latest-checkpoint.pt";
    char *folder = NULL, **files = NULL;
    size_t n = 0;
    TAP_TRY(tap_path_join(&folder, weights->directory, "checkpoints", err));
    tap_status status = TAP_OK;
    if (tap_file_is_directory(folder))
        TAP_TRY_OUT(tap_file_list(&files, &n, folder, ".pt", err));
    const char *chosen = n == 1 ? files[0] : NULL;
    for (size_t i = 0; i < n; i++)
        chosen = strcmp(files[i], latest) == 0 ? files[i] : chosen;
    if (chosen)
        status = tap_text_format(name, err, "checkpoints/%s", chosen);
    else if (n > 1)
        status = TAP_FAIL(err, TAP_EINVAL,
                          "cannot choose among the %zu checkpoints in '%s'; call one "
                          "of them %s",
                          n, folder, latest);
out:
    for (size_t i = 0; i < n; i++)
        tap_free(files[i]);
    tap_free(files);
    tap_free(folder);
    return status;
}

static tap_status open_files(tap_weights *weights, const tap_name_rule *rules,
                             size_t n_rules, tap_error *err)
{
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        char *path = NULL;
        TAP_TRY(tap_path_join(&path, weights->directory, candidates[i].name, err));
        const bool found = tap_file_exists(path);
        tap_free(path);
        if (found)
            return (candidates[i].is_index ? add_index : add_single)(
                weights, candidates[i].name, rules, n_rules, err);
    }
    char *name = NULL;
    TAP_TRY(find_checkpoint(&name, weights, err));
    if (name) {
        const tap_status status = add_single(weights, name, rules, n_rules, err);
        tap_free(name);
        return status;
    }
    return TAP_FAIL(err, TAP_EIO,
                    "cannot open model '%s': it holds no weights; expected "
                    "model.safetensors or pytorch_model.bin, or one of them in shards "
                    "with an index, or a checkpoint in checkpoints/*.pt. Is the "
                    "download complete?",
                    weights->directory);
}

tap_status tap_weights_open(tap_weights **out, const char *directory,
                            const tap_name_rule *rules, size_t n_rules, tap_error *err)
{
    tap_weights *weights = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&weights, 1, sizeof *weights, "a model's weights", err));
    TAP_TRY_OUT(tap_text_copy(&weights->directory, directory, strlen(directory), err));
    TAP_TRY_OUT(open_files(weights, rules, n_rules, err));
    TAP_TRY_OUT(sort_entries(weights, err));
    TAP_TRY_OUT(hash_headers(weights, err));
out:
    if (status == TAP_OK)
        *out = weights;
    else
        tap_weights_close(weights);
    return status;
}

void tap_weights_close(tap_weights *weights)
{
    if (!weights)
        return;
    for (size_t i = 0; i < weights->n; i++)
        tap_free(weights->entries[i].canonical);
    for (size_t i = 0; i < weights->n_files; i++)
        tap_weights_file_close(&weights->files[i]);
    tap_free(weights->entries);
    tap_free(weights->files);
    tap_free(weights->directory);
    tap_free(weights);
}

static int compare_to_name(const void *name, const void *e)
{
    const weights_entry *found = e;
    return strcmp(name, found->canonical);
}

static const weights_entry *find_entry(const tap_weights *weights,
                                       const char *canonical)
{
    if (weights->n == 0)
        return NULL;
    return bsearch(canonical, weights->entries, weights->n, sizeof *weights->entries,
                   compare_to_name);
}

const tap_tensor *tap_weights_find(const tap_weights *weights, const char *canonical)
{
    const weights_entry *found = find_entry(weights, canonical);
    return found ? found->tensor : NULL;
}

tap_status tap_weights_get(tap_tensor *out, const tap_weights *weights,
                           const char *canonical, int n_dims, const int64_t *shape,
                           tap_error *err)
{
    assert(n_dims >= 0 && n_dims <= TAP_MAX_DIMS);
    const weights_entry *e = find_entry(weights, canonical);
    if (!e)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot open model '%s': tensor '%s' is missing; none of its "
                        "%" PRId64 " tensors has a name that means it",
                        weights->directory, canonical, tap_weights_count(weights));
    const char *path = weights->files[e->file].path;
    tap_tensor expected = {.n_dims = n_dims};
    bool same = e->tensor->n_dims == n_dims;
    for (int d = 0; d < n_dims; d++) {
        expected.shape[d] = shape[d];
        same = same && e->tensor->shape[d] == shape[d];
    }
    if (!same) {
        char wanted[96], found[96];
        tap_tensor_print_shape(wanted, sizeof wanted, &expected);
        tap_tensor_print_shape(found, sizeof found, e->tensor);
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot use tensor '%.150s' of '%s' as '%s': it is %s, "
            "config.json implies %s; the config belongs to another checkpoint",
            e->raw, path, canonical, found, wanted);
    }
    const tap_dtype dtype = e->tensor->dtype;
    if (dtype != TAP_F32 && dtype != TAP_F16 && dtype != TAP_BF16)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use tensor '%.150s' of '%s' as '%s': its type is %s, "
                        "expected f32, f16 or bf16",
                        e->raw, path, canonical, tap_dtype_name(dtype));
    *out = *e->tensor;
    return TAP_OK;
}

const char *tap_weights_hash(const tap_weights *weights)
{
    return weights->hash;
}

int64_t tap_weights_bytes(const tap_weights *weights)
{
    return weights->n_bytes;
}

int64_t tap_weights_count(const tap_weights *weights)
{
    return (int64_t)weights->n;
}

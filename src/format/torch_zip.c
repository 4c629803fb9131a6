#include "format/torch_zip.h"

#include "base/file.h"
#include "base/memory.h"
#include "format/torch_pickle.h"
#include "format/zip_map.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

/* MAX_COPIES: a hostile file could have one storage copied by a million tensors. */
enum { MAX_PICKLE_BYTES = 1 << 24, MAX_RATIO = 128, MAX_COPIES = 4 };

/* The bytes of one entry: in the archive, or unpacked into memory. */
typedef struct unpacked {
    const unsigned char *bytes;
    size_t n_bytes;
    void *own; /* NULL for those in the archive */
} unpacked;

struct tap_torch_zip {
    tap_mapping mapping; /* empty when the caller owns the bytes */
    const unsigned char *bytes;
    size_t n_bytes;
    const char *path; /* while opening */
    zip_t *archive;   /* while opening */
    tap_zip_entry *entries;
    unpacked *contents; /* [n_entries], filled when first asked for */
    size_t n_entries;
    char *prefix; /* "NAME/" */
    tap_torch_dictionary dictionary;
    tap_tensor *tensors; /* [dictionary.n] */
    void **copies;       /* [dictionary.n], NULL for views */
    size_t n_copied;     /* bytes of them */
};

static tap_status open_archive(tap_torch_zip *file, tap_error *err)
{
    zip_error_t found;
    zip_error_init(&found);
    zip_source_t *source =
        zip_source_buffer_create(file->bytes, file->n_bytes, 0, &found);
    if (source)
        file->archive = zip_open_from_source(source, ZIP_RDONLY, &found);
    tap_status status = TAP_OK;
    if (!file->archive) {
        status =
            TAP_FAIL(err, TAP_EFORMAT,
                     "cannot read '%s' as a PyTorch checkpoint: %s. Files of torch "
                     "before 1.6 have to be saved again",
                     file->path, zip_error_strerror(&found));
        if (source)
            zip_source_free(source);
    }
    zip_error_fini(&found);
    TAP_TRY(status);
    TAP_TRY(tap_zip_list(&file->entries, &file->n_entries, file->bytes, file->n_bytes,
                         file->path, err));
    return tap_alloc(&file->contents, file->n_entries, sizeof *file->contents,
                     "an archive", err);
}

/* Entry i through libzip, which also checks its sum. */
static tap_status unpack(tap_torch_zip *file, size_t i, tap_error *err)
{
    const tap_zip_entry *e = &file->entries[i];
    const int n_name = (int)(e->n_name < 100 ? e->n_name : 100);
    const char *name = (const char *)e->name;
    const unsigned char *packed = NULL; /* inside the archive, so its length is true */
    TAP_TRY(tap_zip_find(&packed, e, file->bytes, file->n_bytes, file->path, err));
    zip_stat_t about;
    if (zip_stat_index(file->archive, i, 0, &about) != 0 ||
        (about.valid & ZIP_STAT_SIZE) == 0 || about.size / MAX_RATIO > e->n_bytes + 64)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': entry '%.*s' claims a size that its %llu "
                        "bytes cannot have",
                        file->path, n_name, name, (unsigned long long)e->n_bytes);
    unpacked *out = &file->contents[i];
    TAP_TRY(tap_alloc(&out->own, (size_t)about.size, 1, "an unpacked tensor", err));
    zip_file_t *entry = zip_fopen_index(file->archive, i, 0);
    const zip_int64_t n = entry ? zip_fread(entry, out->own, about.size) : -1;
    /* reading on to the end is what makes libzip compare the sum */
    char more = 0;
    const bool good = n == (zip_int64_t)about.size && zip_fread(entry, &more, 1) == 0;
    if (entry)
        (void)zip_fclose(entry);
    if (!good)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': entry '%.*s' cannot be unpacked; the file is "
            "damaged or encrypted",
            file->path, n_name, name);
    out->bytes = out->own;
    out->n_bytes = (size_t)about.size;
    return TAP_OK;
}

static tap_status get_contents(const unpacked **out, tap_torch_zip *file, size_t i,
                               tap_error *err)
{
    unpacked *content = &file->contents[i];
    if (!content->bytes && file->entries[i].is_stored) {
        TAP_TRY(tap_zip_find(&content->bytes, &file->entries[i], file->bytes,
                             file->n_bytes, file->path, err));
        content->n_bytes = (size_t)file->entries[i].n_bytes;
    } else if (!content->bytes) {
        TAP_TRY(unpack(file, i, err));
    }
    *out = content;
    return TAP_OK;
}

/* *found says whether there is NAME/end; *i is its place. */
static tap_status find_entry(size_t *i, bool *found, const tap_torch_zip *file,
                             const char *end, tap_error *err)
{
    char *name = NULL;
    TAP_TRY(tap_text_format(&name, err, "%s%s", file->prefix, end));
    const zip_int64_t place = zip_name_locate(file->archive, name, ZIP_FL_ENC_RAW);
    /* libzip and the own walk must mean the same entry */
    *found = place >= 0 && (size_t)place < file->n_entries &&
             file->entries[place].n_name == strlen(name) &&
             memcmp(file->entries[place].name, name, strlen(name)) == 0;
    *i = *found ? (size_t)place : 0;
    tap_free(name);
    return TAP_OK;
}

/* NAME/ is whatever stands before data.pkl. */
static tap_status find_prefix(size_t *pickle, tap_torch_zip *file, tap_error *err)
{
    static const char end[] = "/data.pkl";
    const size_t n_end = sizeof end - 1;
    for (size_t i = 0; i < file->n_entries; i++) {
        const tap_zip_entry *e = &file->entries[i];
        if (e->n_name <= n_end ||
            memcmp(e->name + e->n_name - n_end, end, n_end) != 0 ||
            memchr(e->name, '/', e->n_name - n_end) != NULL)
            continue;
        *pickle = i;
        return tap_text_copy(&file->prefix, (const char *)e->name,
                             e->n_name - n_end + 1, err);
    }
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot read '%s' as a PyTorch checkpoint: the archive has no "
                    "data.pkl",
                    file->path);
}

static tap_status check_byte_order(tap_torch_zip *file, tap_error *err)
{
    size_t i = 0;
    bool found = false;
    TAP_TRY(find_entry(&i, &found, file, "byteorder", err));
    if (!found)
        return TAP_OK; /* written before torch 2.1: little */
    const unpacked *order = NULL;
    TAP_TRY(get_contents(&order, file, i, err));
    if (order->n_bytes != 6 || memcmp(order->bytes, "little", 6) != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': its numbers are not little-endian; save it "
                        "on another machine, or as safetensors",
                        file->path);
    return TAP_OK;
}

/* Element by element into row-major order. count <= n_storage, so the copy is no larger
 * than what it is copied from. */
static tap_status copy_strided(void **out, const tap_torch_tensor *t,
                               const unsigned char *storage, tap_error *err)
{
    const int64_t count = tap_tensor_count(&t->shape);
    unsigned char *copy = NULL;
    TAP_TRY(tap_alloc(&copy, (size_t)count, t->element_bytes, "a tensor", err));
    int64_t place[TAP_MAX_DIMS] = {0}, at = t->first;
    for (int64_t i = 0; i < count; i++) {
        memcpy(copy + (size_t)i * t->element_bytes,
               storage + (size_t)at * t->element_bytes, t->element_bytes);
        for (int d = t->shape.n_dims - 1; d >= 0; d--) {
            at += t->strides[d];
            if (++place[d] < t->shape.shape[d])
                break;
            at -= place[d] * t->strides[d];
            place[d] = 0;
        }
    }
    *out = copy;
    return TAP_OK;
}

static tap_status place_tensor(tap_torch_zip *file, size_t k, tap_error *err)
{
    const tap_torch_tensor *t = &file->dictionary.tensors[k];
    char *end = NULL;
    size_t i = 0;
    bool found = false;
    TAP_TRY(tap_text_format(&end, err, "data/%s", t->key));
    const tap_status status = find_entry(&i, &found, file, end, err);
    tap_free(end);
    TAP_TRY(status);
    if (!found)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': the storage of tensor '%.150s', "
                        "'%.60sdata/%.60s', is missing",
                        file->path, t->name, file->prefix, t->key);
    const unpacked *storage = NULL;
    TAP_TRY(get_contents(&storage, file, i, err));
    if ((uint64_t)t->n_storage > storage->n_bytes / t->element_bytes)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': the storage of tensor '%.150s' has %zu bytes, "
            "its %lld elements in %s need more",
            file->path, t->name, storage->n_bytes, (long long)t->n_storage, t->dtype);
    file->tensors[k] = t->shape;
    file->tensors[k].bytes = storage->bytes + (size_t)t->first * t->element_bytes;
    if (!t->is_contiguous) {
        file->n_copied += (size_t)tap_tensor_count(&t->shape) * t->element_bytes;
        if (file->n_copied / MAX_COPIES > file->n_bytes)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': its tensors that do not stand row after "
                            "row have more than %d times the bytes of the file",
                            file->path, MAX_COPIES);
        TAP_TRY(copy_strided(&file->copies[k], t, storage->bytes, err));
        file->tensors[k].bytes = file->copies[k];
    }
    return TAP_OK;
}

tap_status tap_torch_zip_parse(tap_torch_zip **out, const void *bytes, size_t n_bytes,
                               const char *path, tap_error *err)
{
    tap_torch_zip *file = NULL;
    const unpacked *pickle = NULL;
    size_t i = 0;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&file, 1, sizeof *file, "a PyTorch checkpoint", err));
    file->bytes = bytes;
    file->n_bytes = n_bytes;
    file->path = path;
    TAP_TRY_OUT(open_archive(file, err));
    TAP_TRY_OUT(find_prefix(&i, file, err));
    TAP_TRY_OUT(check_byte_order(file, err));
    TAP_TRY_OUT(get_contents(&pickle, file, i, err));
    if (pickle->n_bytes > MAX_PICKLE_BYTES) {
        status =
            TAP_FAIL(err, TAP_EFORMAT,
                     "cannot read '%s': its data.pkl has %zu bytes, at most %d are "
                     "read",
                     path, pickle->n_bytes, MAX_PICKLE_BYTES);
        goto out;
    }
    TAP_TRY_OUT(tap_torch_pickle_parse(&file->dictionary, pickle->bytes,
                                       pickle->n_bytes, path, err));
    const size_t n = file->dictionary.n;
    TAP_TRY_OUT(tap_alloc(&file->tensors, n, sizeof *file->tensors, "tensors", err));
    TAP_TRY_OUT(tap_alloc(&file->copies, n, sizeof *file->copies, "tensors", err));
    for (size_t k = 0; k < n; k++)
        TAP_TRY_OUT(place_tensor(file, k, err));
out:
    if (file->archive)
        zip_discard(file->archive);
    file->archive = NULL;
    file->path = NULL;
    if (status == TAP_OK)
        *out = file;
    else
        tap_torch_zip_close(file);
    return status;
}

tap_status tap_torch_zip_open(tap_torch_zip **out, const char *path, tap_error *err)
{
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    tap_torch_zip *file = NULL;
    const tap_status status =
        tap_torch_zip_parse(&file, mapping.bytes, mapping.n_bytes, path, err);
    if (status != TAP_OK) {
        tap_file_unmap(&mapping);
        return status;
    }
    file->mapping = mapping;
    *out = file;
    return TAP_OK;
}

void tap_torch_zip_close(tap_torch_zip *file)
{
    if (!file)
        return;
    for (size_t k = 0; file->copies && k < file->dictionary.n; k++)
        tap_free(file->copies[k]);
    for (size_t i = 0; file->contents && i < file->n_entries; i++)
        tap_free(file->contents[i].own);
    tap_free(file->copies);
    tap_free(file->tensors);
    tap_free(file->contents);
    tap_free(file->entries);
    tap_free(file->prefix);
    tap_torch_dictionary_clear(&file->dictionary);
    tap_file_unmap(&file->mapping);
    tap_free(file);
}

int64_t tap_torch_zip_count(const tap_torch_zip *file)
{
    return (int64_t)file->dictionary.n;
}

static const tap_torch_tensor *at(const tap_torch_zip *file, int64_t i)
{
    assert(i >= 0 && (size_t)i < file->dictionary.n);
    return &file->dictionary.tensors[i];
}

const char *tap_torch_zip_name(const tap_torch_zip *file, int64_t i)
{
    return at(file, i)->name;
}

const tap_tensor *tap_torch_zip_tensor(const tap_torch_zip *file, int64_t i)
{
    return &file->tensors[at(file, i) - file->dictionary.tensors];
}

const char *tap_torch_zip_dtype(const tap_torch_zip *file, int64_t i)
{
    return at(file, i)->dtype;
}

size_t tap_torch_zip_bytes(const tap_torch_zip *file, int64_t i)
{
    const tap_torch_tensor *t = at(file, i);
    return (size_t)tap_tensor_count(&t->shape) * t->element_bytes;
}

static int compare_to_name(const void *name, const void *tensor)
{
    const tap_torch_tensor *t = tensor;
    return strcmp(name, t->name);
}

int64_t tap_torch_zip_find(const tap_torch_zip *file, const char *name)
{
    const tap_torch_tensor *found =
        bsearch(name, file->dictionary.tensors, file->dictionary.n,
                sizeof *file->dictionary.tensors, compare_to_name);
    return found ? found - file->dictionary.tensors : -1;
}

#include "format/safetensors.h"

#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"

#include <assert.h>
#include <string.h>

enum { ALIGN_BYTES = 8 };

typedef struct slot {
    char *name;
    size_t element_bytes;
    int64_t count, n_put; /* elements */
    size_t offset;        /* from the start of the file */
} slot;

struct tap_safetensors_out {
    tap_file_out *file;
    char *path;
    slot *slots; /* [n] */
    int64_t n;
    size_t end; /* bytes written so far */
};

static const char *dtype_word(tap_dtype dtype)
{
    switch (dtype) {
    case TAP_F32:
        return "F32";
    case TAP_F16:
        return "F16";
    case TAP_BF16:
        return "BF16";
    case TAP_F64:
        return "F64";
    case TAP_I64:
        return "I64";
    case TAP_I32:
        return "I32";
    case TAP_U8:
        return "U8";
    case TAP_OTHER:
        break;
    }
    return NULL;
}

/* Sizes and places; wide elements first so that every tensor is aligned. */
static tap_status lay_out(tap_safetensors_out *out, const char *const *names,
                          const tap_tensor *tensors, tap_error *err)
{
    size_t end = 0;
    for (size_t width = 8; width > 0; width /= 2)
        for (int64_t i = 0; i < out->n; i++) {
            if (tap_dtype_bytes(tensors[i].dtype) != width)
                continue;
            slot *s = &out->slots[i];
            size_t bytes = width;
            s->count = 1;
            for (int d = 0; d < tensors[i].n_dims; d++) {
                assert(tensors[i].shape[d] >= 0);
                TAP_TRY(tap_size_mul(&bytes, bytes, (size_t)tensors[i].shape[d], err));
                s->count *= tensors[i].shape[d];
            }
            s->element_bytes = width;
            s->offset = end;
            if (bytes > SIZE_MAX / 2 - end)
                return TAP_FAIL(err, TAP_EINVAL,
                                "cannot write '%s': tensor '%.200s' makes it too large",
                                out->path, names[i]);
            end += bytes;
        }
    return TAP_OK;
}

static tap_status describe(json_t *header, const tap_safetensors_out *out, int64_t i,
                           const char *name, const tap_tensor *tensor, tap_error *err)
{
    const char *word = dtype_word(tensor->dtype);
    if (!word)
        return TAP_FAIL(err, TAP_EINVAL,
                        "cannot write '%s': tensor '%.200s' has no type that can be "
                        "written",
                        out->path, name);
    if (json_object_get(header, name) || strcmp(name, "__metadata__") == 0)
        return TAP_FAIL(err, TAP_EINVAL,
                        "cannot write '%s': the tensor name '%.200s' is already taken",
                        out->path, name);
    json_t *shape = json_array();
    for (int d = 0; d < tensor->n_dims; d++)
        (void)json_array_append_new(shape, json_integer(tensor->shape[d]));
    const slot *s = &out->slots[i];
    const size_t end = s->offset + (size_t)s->count * s->element_bytes;
    json_t *about = json_pack("{s:s, s:o, s:[I, I]}", "dtype", word, "shape", shape,
                              "data_offsets", (json_int_t)s->offset, (json_int_t)end);
    if (!about || json_object_set_new(header, name, about) != 0)
        return TAP_FAIL(err, TAP_EINVAL,
                        "cannot write '%s': the name of tensor %lld is not UTF-8",
                        out->path, (long long)i);
    return TAP_OK;
}

static tap_status put_metadata(json_t *header, const char *path, int64_t n,
                               const char *const *keys, const char *const *values,
                               tap_error *err)
{
    if (n == 0)
        return TAP_OK;
    json_t *metadata = json_object();
    if (json_object_set_new(header, "__metadata__", metadata) != 0)
        return TAP_FAIL(err, TAP_ENOMEM, "cannot get memory for the header of '%s'",
                        path);
    for (int64_t i = 0; i < n; i++)
        if (json_object_set_new(metadata, keys[i], json_string(values[i])) != 0)
            return TAP_FAIL(err, TAP_EINVAL,
                            "cannot write '%s': its metadata number %lld is not UTF-8",
                            path, (long long)i);
    return TAP_OK;
}

/* Length, JSON and spaces so that the data start aligned. */
static tap_status write_header(tap_safetensors_out *out, const json_t *header,
                               tap_error *err)
{
    tap_buffer text = {0};
    TAP_TRY(tap_json_print(&text, header, err));
    const size_t n = text.n_bytes;
    const size_t padded = (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    tap_status status = tap_file_put(out->file, length, sizeof length, err);
    if (status == TAP_OK)
        status = tap_file_put(out->file, text.text, n, err);
    if (status == TAP_OK)
        status = tap_file_put(out->file, "        ", padded - n, err);
    tap_buffer_clear(&text);
    out->end = sizeof length + padded;
    for (int64_t i = 0; i < out->n; i++)
        out->slots[i].offset += out->end;
    return status;
}

tap_status tap_safetensors_create(tap_safetensors_out **result, const char *path,
                                  int64_t n, const char *const *names,
                                  const tap_tensor *tensors, int64_t n_metadata,
                                  const char *const *keys, const char *const *values,
                                  tap_error *err)
{
    tap_safetensors_out *out = NULL;
    tap_status status = TAP_OK;
    json_t *header = json_object();
    TAP_TRY_OUT(tap_alloc(&out, 1, sizeof *out, "an output file", err));
    TAP_TRY_OUT(tap_text_copy(&out->path, path, strlen(path), err));
    TAP_TRY_OUT(tap_alloc(&out->slots, (size_t)n, sizeof *out->slots,
                          "a list of tensors", err));
    out->n = n;
    TAP_TRY_OUT(lay_out(out, names, tensors, err));
    TAP_TRY_OUT(put_metadata(header, path, n_metadata, keys, values, err));
    for (int64_t i = 0; i < n; i++) {
        TAP_TRY_OUT(
            tap_text_copy(&out->slots[i].name, names[i], strlen(names[i]), err));
        TAP_TRY_OUT(describe(header, out, i, names[i], &tensors[i], err));
    }
    TAP_TRY_OUT(tap_file_create(&out->file, path, err));
    TAP_TRY_OUT(write_header(out, header, err));
out:
    json_decref(header);
    if (status == TAP_OK)
        *result = out;
    else
        tap_safetensors_out_close(out);
    return status;
}

/* Zeros from the end written so far up to `offset`. */
static tap_status fill(tap_safetensors_out *out, size_t offset, tap_error *err)
{
    static const unsigned char zeros[4096];
    while (out->end < offset) {
        const size_t left = offset - out->end;
        const size_t n = left < sizeof zeros ? left : sizeof zeros;
        TAP_TRY(tap_file_put(out->file, zeros, n, err));
        out->end += n;
    }
    return TAP_OK;
}

tap_status tap_safetensors_put(tap_safetensors_out *out, int64_t i, int64_t first,
                               const void *values, int64_t n, tap_error *err)
{
    assert(i >= 0 && i < out->n && first >= 0 && n >= 0);
    slot *s = &out->slots[i];
    if (first > s->count || n > s->count - first)
        return TAP_FAIL(
            err, TAP_EBUG,
            "cannot write '%s': elements %lld to %lld of tensor '%s', which "
            "has %lld",
            out->path, (long long)first, (long long)(first + n), s->name,
            (long long)s->count);
    const size_t offset = s->offset + (size_t)first * s->element_bytes;
    const size_t bytes = (size_t)n * s->element_bytes;
    TAP_TRY(fill(out, offset, err));
    /* The part that overwrites, then the part that appends. */
    const size_t over = out->end - offset < bytes ? out->end - offset : bytes;
    if (over)
        TAP_TRY(tap_file_put_at(out->file, offset, values, over, err));
    TAP_TRY(tap_file_put(out->file, (const unsigned char *)values + over, bytes - over,
                         err));
    out->end += bytes - over;
    s->n_put += n;
    return TAP_OK;
}

tap_status tap_safetensors_commit(tap_safetensors_out *out, tap_error *err)
{
    for (int64_t i = 0; i < out->n; i++)
        if (out->slots[i].n_put != out->slots[i].count)
            return TAP_FAIL(err, TAP_EBUG,
                            "cannot finish '%s': %lld of the %lld elements of tensor "
                            "'%s' were written",
                            out->path, (long long)out->slots[i].n_put,
                            (long long)out->slots[i].count, out->slots[i].name);
    return tap_file_commit(out->file, err);
}

void tap_safetensors_out_close(tap_safetensors_out *out)
{
    if (!out)
        return;
    tap_file_close(out->file);
    for (int64_t i = 0; out->slots && i < out->n; i++)
        tap_free(out->slots[i].name);
    tap_free(out->slots);
    tap_free(out->path);
    tap_free(out);
}

#include "format/npy.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>
#include <zip.h>

enum { ALIGN_BYTES = 64, HEADER_BYTES = 512 };

static const char *type_of(tap_dtype dtype)
{
    static const char *const types[TAP_OTHER + 1] = {
        [TAP_F32] = "<f4", [TAP_F64] = "<f8", [TAP_F16] = "<f2", [TAP_I32] = "<i4"};
    return types[dtype];
}

/* The magic word and the header; returns their length, a multiple of ALIGN_BYTES, or 0 for
 * a type that NumPy does not have. */
static size_t put_header(char out[HEADER_BYTES], const tap_tensor *t)
{
    const char *type = type_of(t->dtype);
    if (!type)
        return 0;
    char shape[HEADER_BYTES / 2] = "";
    size_t n = 0;
    for (int i = 0; i < t->n_dims; i++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%lld%s",
                              (long long)t->shape[i],
                              t->n_dims == 1      ? ","
                              : i + 1 < t->n_dims ? ", "
                                                  : "");
    static const char magic[] = "\x93NUMPY\x01"; /* and a 0: version 1.0 */
    memcpy(out, magic, sizeof magic);
    n = (size_t)snprintf(out + 10, HEADER_BYTES - 10,
                         "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                         type, shape);
    const size_t whole = (10 + n + 1 + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    memset(out + 10 + n, ' ', whole - 10 - n);
    out[whole - 1] = '\n';
    out[8] = (char)((whole - 10) & 0xff);
    out[9] = (char)((whole - 10) >> 8);
    return whole;
}

static tap_status refuse(const tap_safetensors *from, int64_t i, const char *path,
                         tap_error *err)
{
    return TAP_FAIL(err, TAP_EINVAL,
                    "cannot write '%s': NumPy has no type for '%s', which is %s", path,
                    tap_safetensors_name(from, i), tap_safetensors_dtype(from, i));
}

tap_status tap_npy_write(const char *path, const tap_safetensors *from, int64_t i,
                         tap_error *err)
{
    const tap_tensor *t = tap_safetensors_tensor(from, i);
    char header[HEADER_BYTES];
    tap_file_out *file = NULL;
    const size_t n = put_header(header, t);
    if (n == 0)
        return refuse(from, i, path, err);
    tap_status status = TAP_OK;
    TAP_TRY(tap_file_create(&file, path, err));
    TAP_TRY_OUT(tap_file_put(file, header, n, err));
    TAP_TRY_OUT(tap_file_put(file, t->bytes, tap_safetensors_bytes(from, i), err));
    TAP_TRY_OUT(tap_file_commit(file, err));
out:
    tap_file_close(file);
    return status;
}

/* Adds a member whose bytes are the given pieces, borrowed until the archive is closed. */
static bool add(zip_t *zip, const char *name, zip_buffer_fragment_t *pieces, size_t n)
{
    zip_source_t *source = zip_source_buffer_fragment(zip, pieces, n, 0);
    if (!source)
        return false;
    const zip_int64_t at = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    if (at < 0) {
        zip_source_free(source);
        return false;
    }
    /* the same bytes on every run: not packed, no time of day */
    return zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(zip, (zip_uint64_t)at, 0, 33, 0) == 0;
}

tap_status tap_npz_write(const char *path, const tap_safetensors *from,
                         const char *manifest, tap_error *err)
{
    const int64_t n = tap_safetensors_count(from);
    char(*headers)[HEADER_BYTES] = NULL;
    char *name = NULL;
    zip_t *zip = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&headers, (size_t)n, sizeof *headers, "an archive", err));
    int code = 0;
    zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    bool good = zip != NULL;
    for (int64_t i = 0; i < n && good; i++) {
        const tap_tensor *t = tap_safetensors_tensor(from, i);
        const size_t n_header = put_header(headers[i], t);
        if (n_header == 0)
            TAP_TRY_OUT(refuse(from, i, path, err));
        tap_free(name);
        name = NULL;
        TAP_TRY_OUT(
            tap_text_format(&name, err, "%s.npy", tap_safetensors_name(from, i)));
        zip_buffer_fragment_t pieces[2] = {
            {.data = (zip_uint8_t *)headers[i], .length = n_header},
            {.length = tap_safetensors_bytes(from, i)}};
        memcpy(&pieces[1].data, &t->bytes, sizeof pieces[1].data); /* read only */
        good = add(zip, name, pieces, 2);
    }
    if (good && manifest) {
        zip_buffer_fragment_t text = {.length = strlen(manifest)};
        memcpy(&text.data, &manifest, sizeof text.data);
        good = add(zip, "manifest.json", &text, 1);
    }
    if (good && zip_close(zip) == 0)
        zip = NULL;
    else
        status = TAP_FAIL(err, TAP_EIO, "cannot write '%s': %s", path,
                          zip ? zip_strerror(zip) : "the file cannot be made");
out:
    if (zip)
        zip_discard(zip);
    tap_free(name);
    tap_free(headers);
    return status;
}

/* Pascal-Part annotations: MATLAB files, one per image.
 *
 * anno is a struct with objects[]: class, mask, parts[] of part_name and mask; masks are
 * full-size logical arrays in column-major order. Every field's class, type and size is
 * checked before its bytes are read.
 * Source: the files themselves (Chen et al. 2014). */
#include "lab/dataset_pascal.h"

#include "base/memory.h"
#include "lab/mat_check.h"

#include <matio.h>
#include <string.h>

enum {
    MAX_OBJECTS = 10000,
    MAX_PARTS = 1000,
    MAX_NAME_BYTES = 64,
    MAX_SIDE_PX = 16384
};

static size_t count(const matvar_t *v)
{
    size_t n = 1;
    for (int d = 0; d < v->rank; d++) {
        if (v->dims[d] != 0 && n > SIZE_MAX / v->dims[d])
            return 0;
        n *= v->dims[d];
    }
    return n;
}

/* Field of element i of a struct; NULL if there is none. A damaged file leaves structs
 * without names or members, which the library would read all the same. */
static matvar_t *field(matvar_t *structure, const char *name, size_t i)
{
    if (!structure || structure->class_type != MAT_C_STRUCT || !structure->data)
        return NULL;
    const size_t n_fields = Mat_VarGetNumberOfFields(structure);
    char *const *names = Mat_VarGetStructFieldnames(structure);
    if (!names || i >= count(structure) || n_fields > 64 ||
        structure->nbytes / sizeof(matvar_t *) < count(structure) * n_fields)
        return NULL;
    for (size_t f = 0; f < n_fields; f++)
        if (names[f] && strcmp(names[f], name) == 0)
            return Mat_VarGetStructFieldByIndex(structure, f, i);
    return NULL;
}

/* A short text of one-byte or two-byte characters, ASCII only. */
static tap_status read_name(char out[MAX_NAME_BYTES], const matvar_t *v,
                            const char *what, tap_error *err)
{
    if (!v || v->class_type != MAT_C_CHAR || v->rank != 2 || !v->data)
        return TAP_FAIL(err, TAP_EFORMAT, "%s is not a text", what);
    const size_t n = count(v), width = (size_t)v->data_size;
    if (n == 0 || n >= MAX_NAME_BYTES || (width != 1 && width != 2) ||
        v->nbytes < n * width)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "%s is a text of %zu characters, expected 1 to %d", what, n,
                        MAX_NAME_BYTES - 1);
    const unsigned char *bytes = v->data;
    for (size_t i = 0; i < n; i++) {
        const unsigned c = bytes[i * width];
        if (c < 0x20U || c > 0x7eU || (width == 2 && bytes[2 * i + 1] != 0))
            return TAP_FAIL(err, TAP_EFORMAT, "%s holds characters beyond ASCII", what);
        out[i] = (char)c;
    }
    out[n] = '\0';
    return TAP_OK;
}

static tap_status read_mask(tap_mask *out, const matvar_t *v, const char *what,
                            tap_error *err)
{
    if (!v || v->class_type != MAT_C_UINT8 || v->rank != 2 || v->data_size != 1 ||
        v->isComplex)
        return TAP_FAIL(err, TAP_EFORMAT, "%s is not a matrix of bytes", what);
    const size_t height = v->dims[0], width = v->dims[1];
    if (height < 1 || width < 1 || height > MAX_SIDE_PX || width > MAX_SIDE_PX ||
        !v->data || v->nbytes < height * width)
        return TAP_FAIL(err, TAP_EFORMAT, "%s has the impossible size %zu x %zu", what,
                        width, height);
    tap_mask mask;
    TAP_TRY(tap_mask_new(&mask, (int64_t)width, (int64_t)height, err));
    const uint8_t *bytes = v->data; /* column by column */
    for (size_t x = 0; x < width; x++)
        for (size_t y = 0; y < height; y++)
            mask.inside[y * width + x] = bytes[x * height + y] != 0;
    *out = mask;
    return TAP_OK;
}

static tap_status read_part(tap_items *items, int64_t object, matvar_t *parts, size_t i,
                            tap_error *err)
{
    char name[MAX_NAME_BYTES], what[64];
    tap_mask mask = {0};
    (void)snprintf(what, sizeof what, "part_name of part %zu of object %lld", i,
                   (long long)object);
    TAP_TRY(read_name(name, field(parts, "part_name", i), what, err));
    (void)snprintf(what, sizeof what, "mask of part %zu of object %lld", i,
                   (long long)object);
    TAP_TRY(read_mask(&mask, field(parts, "mask", i), what, err));
    const tap_status status = tap_items_put_part(items, object, name, &mask, NULL, err);
    tap_mask_clear(&mask);
    return status;
}

static tap_status read_object(tap_items *items, matvar_t *objects, size_t i,
                              tap_error *err)
{
    char name[MAX_NAME_BYTES], what[64], id[24];
    tap_mask mask = {0};
    (void)snprintf(what, sizeof what, "class of object %zu", i);
    TAP_TRY(read_name(name, field(objects, "class", i), what, err));
    (void)snprintf(what, sizeof what, "mask of object %zu", i);
    TAP_TRY(read_mask(&mask, field(objects, "mask", i), what, err));
    (void)snprintf(id, sizeof id, "%zu", i);
    const tap_status status = tap_items_put_object(items, id, name, &mask, err);
    tap_mask_clear(&mask);
    if (status != TAP_OK)
        return status;
    matvar_t *parts = field(objects, "parts", i);
    if (!parts || parts->class_type != MAT_C_STRUCT)
        return TAP_OK; /* an object without parts */
    const size_t n = count(parts);
    if (n > MAX_PARTS)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "object %zu has %zu parts, at most %d are read", i, n,
                        MAX_PARTS);
    for (size_t p = 0; p < n; p++)
        TAP_TRY(read_part(items, (int64_t)i, parts, p, err));
    return TAP_OK;
}

tap_status tap_pascal_read(tap_items *items, const char *path, tap_error *err)
{
    tap_status status = TAP_OK;
    matvar_t *anno = NULL;
    TAP_TRY(tap_mat_check(path, err));
    mat_t *file = Mat_Open(path, MAT_ACC_RDONLY);
    if (!file)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read annotation '%s': it is missing or not a MATLAB 5 "
                        "file",
                        path);
    anno = Mat_VarRead(file, "anno");
    matvar_t *objects = field(anno, "objects", 0);
    if (!objects || objects->class_type != MAT_C_STRUCT) {
        status = TAP_FAIL(err, TAP_EFORMAT, "it holds no struct 'anno' with 'objects'");
        goto out;
    }
    const size_t n = count(objects);
    if (n > MAX_OBJECTS)
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EFORMAT,
                             "it has %zu objects, at most %d are read", n,
                             MAX_OBJECTS));
    for (size_t i = 0; i < n; i++)
        TAP_TRY_OUT(read_object(items, objects, i, err));
out:
    Mat_VarFree(anno);
    (void)Mat_Close(file);
    if (status == TAP_OK)
        return TAP_OK;
    return tap_wrap(err, status, "cannot read annotation '%s'", path);
}

/* ---- the reader ---- */

static tap_status open_folder(void **reader, tap_image_list *images,
                              const tap_data_spec *spec,
                              const tap_dataset_progress *progress, tap_error *err)
{
    char *folder = NULL;
    (void)progress;
    TAP_TRY(tap_image_list_folder(images, spec->annotations, ".mat", false, err));
    TAP_TRY(tap_text_copy(&folder, spec->annotations, strlen(spec->annotations), err));
    *reader = folder;
    return TAP_OK;
}

static tap_status read_image(tap_items *items, const void *reader, size_t i,
                             const char *name, tap_error *err)
{
    const char *folder = reader;
    char *path = NULL;
    (void)i;
    TAP_TRY(tap_text_format(&path, err, "%s/%s.mat", folder, name));
    const tap_status status = tap_pascal_read(items, path, err);
    tap_free(path);
    return status;
}

const tap_reader tap_reader_pascal = {.format = "pascal-part",
                                      .names = "pascal-part",
                                      .open = open_folder,
                                      .read = read_image,
                                      .close = tap_free};

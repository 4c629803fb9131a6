/* Data sets whose annotation of an image is one label map: CIHP (8-bit PNG, a value per
 * body part) and Pascal Panoptic Parts (32-bit TIFF, a value per class, instance and part).
 * What the values mean stands in share/tables/classes-*.tsv. */
#include "lab/dataset_reader.h"

#include "base/file.h"
#include "base/memory.h"
#include "image/image_formats.h"
#include "lab/tsv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64, MAX_SEGMENTS = 10000 };

/* A folder of label maps and the table of what they say. */
typedef struct label_reader {
    char *folder;
    const char *ending; /* of the maps' names */
    tap_tsv classes;
} label_reader;

static void close_reader(void *reader)
{
    label_reader *r = reader;
    if (!r)
        return;
    tap_free(r->folder);
    tap_tsv_clear(&r->classes);
    tap_free(r);
}

static tap_status open_reader(label_reader **reader, const tap_data_spec *spec,
                              const char *table, const char *const *columns,
                              size_t n_columns, tap_error *err)
{
    label_reader *r = NULL;
    TAP_TRY(tap_alloc(&r, 1, sizeof *r, "a data set", err));
    tap_status status =
        tap_shared_table_open(&r->classes, table, columns, n_columns, err);
    if (status == TAP_OK)
        status = tap_text_copy(&r->folder, spec->annotations, strlen(spec->annotations),
                               err);
    if (status == TAP_OK)
        *reader = r;
    else
        close_reader(r);
    return status;
}

static int64_t number(const tap_tsv *t, size_t row, size_t column)
{
    return strtoll(tap_tsv_cell(t, row, column), NULL, 10);
}

/* ---- CIHP ---- */

enum { VALUE, VALUE_PART, N_CIHP };

static tap_status open_cihp(void **reader, tap_image_list *images,
                            const tap_data_spec *spec,
                            const tap_dataset_progress *progress, tap_error *err)
{
    static const char *const columns[N_CIHP] = {"value", "part"};
    label_reader *r = NULL;
    (void)progress;
    TAP_TRY(tap_image_list_folder(images, spec->annotations, ".png", false, err));
    TAP_TRY(open_reader(&r, spec, "classes-cihp", columns, N_CIHP, err));
    *reader = r;
    return TAP_OK;
}

static tap_status put_value(tap_items *items, const label_reader *r,
                            const uint8_t *samples, int64_t width, int64_t height,
                            int value, tap_error *err)
{
    char name[NAME_BYTES];
    const char *known = NULL;
    for (size_t row = 0; row < r->classes.n_rows; row++)
        if (number(&r->classes, row, VALUE) == value)
            known = tap_tsv_cell(&r->classes, row, VALUE_PART);
    (void)snprintf(name, sizeof name, "label %d", value);
    tap_mask mask;
    TAP_TRY(tap_mask_new(&mask, width, height, err));
    for (int64_t i = 0; i < width * height; i++)
        mask.inside[i] = samples[i] == value;
    const tap_status status = tap_items_put_part(
        items, 0, known ? known : name, &mask,
        known ? NULL : "a label that the data set does not have", err);
    tap_mask_clear(&mask);
    return status;
}

static tap_status read_samples(uint8_t **samples, int64_t *width, int64_t *height,
                               const char *path, tap_error *err)
{
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    const tap_status status = tap_png_decode_samples(
        samples, width, height, mapping.bytes, mapping.n_bytes, path, err);
    tap_file_unmap(&mapping);
    return status;
}

/* All persons of a photo share the map, so they are one object without an id. */
static tap_status read_cihp(tap_items *items, const void *reader, size_t i,
                            const char *name, tap_error *err)
{
    const label_reader *r = reader;
    char *path = NULL;
    uint8_t *samples = NULL;
    int64_t width = 0, height = 0;
    bool met[256] = {false};
    tap_mask whole = {0};
    (void)i;
    TAP_TRY(tap_text_format(&path, err, "%s/%s.png", r->folder, name));
    tap_status status = read_samples(&samples, &width, &height, path, err);
    if (status != TAP_OK)
        goto out;
    TAP_TRY_OUT(tap_mask_new(&whole, width, height, err));
    for (int64_t p = 0; p < width * height; p++) {
        met[samples[p]] = true;
        whole.inside[p] = samples[p] != 0;
    }
    TAP_TRY_OUT(tap_items_put_object(items, NULL, "person", &whole, err));
    for (int value = 1; value < 256; value++)
        if (met[value])
            TAP_TRY_OUT(put_value(items, r, samples, width, height, value, err));
out:
    tap_mask_clear(&whole);
    tap_free(samples);
    tap_free(path);
    return status;
}

const tap_reader tap_reader_cihp = {.format = "cihp",
                                    .names = "cihp",
                                    .open = open_cihp,
                                    .read = read_cihp,
                                    .close = close_reader};

/* ---- Pascal Panoptic Parts ---- */

enum { CLASS_ID, CLASS, FIRST, LAST, PART, N_PANOPTIC };

static tap_status open_panoptic(void **reader, tap_image_list *images,
                                const tap_data_spec *spec,
                                const tap_dataset_progress *progress, tap_error *err)
{
    static const char *const columns[N_PANOPTIC] = {"class_id", "class", "first",
                                                    "last", "part"};
    label_reader *r = NULL;
    (void)progress;
    TAP_TRY(open_reader(&r, spec, "classes-panoptic-parts", columns, N_PANOPTIC, err));
    r->ending = ".tif";
    tap_status status =
        tap_image_list_folder(images, spec->annotations, r->ending, false, err);
    if (status == TAP_EINVAL) { /* none of that ending */
        r->ending = ".tiff";
        status =
            tap_image_list_folder(images, spec->annotations, r->ending, false, err);
    }
    if (status == TAP_OK)
        *reader = r;
    else
        close_reader(r);
    return status;
}

/* What a label says. Up to 99 it is a class alone; up to 99999 class and instance (3
 * digits); above also a part (2 digits), 0 for none. */
typedef struct meaning {
    int32_t class_id, instance, part; /* instance -1: none */
    bool valid;
} meaning;

static meaning mean(int32_t label)
{
    if (label >= 0 && label < 100)
        return (meaning){label, -1, 0, true};
    if (label >= 1000 && label < 100000)
        return (meaning){label / 1000, label % 1000, 0, true};
    if (label >= 100000 && label < 10000000)
        return (meaning){label / 100000, label / 100 % 1000, label % 100, true};
    return (meaning){0, -1, 0, false};
}

/* Class name, and the name of a part with its counter where it has several ids; "" if
 * unknown. */
static void name_segment(char class[NAME_BYTES], char part[NAME_BYTES],
                         const tap_tsv *classes, meaning m)
{
    class[0] = part[0] = '\0';
    for (size_t r = 0; r < classes->n_rows; r++) {
        const int64_t first = number(classes, r, FIRST),
                      last = number(classes, r, LAST);
        if (number(classes, r, CLASS_ID) != m.class_id)
            continue;
        (void)snprintf(class, NAME_BYTES, "%s", tap_tsv_cell(classes, r, CLASS));
        if (m.part < first || m.part > last || m.part == 0)
            continue;
        (void)snprintf(part, NAME_BYTES, "%s", tap_tsv_cell(classes, r, PART));
        if (last > first) {
            const size_t n = strlen(part);
            (void)snprintf(part + n, NAME_BYTES - n, "_%d", (int)(m.part - first + 1));
        }
    }
}

static tap_status put_segment(tap_items *items, const label_reader *r, int32_t label,
                              tap_mask *mask, tap_error *err)
{
    const meaning m = mean(label);
    char class[NAME_BYTES], part[NAME_BYTES], id[24], what[NAME_BYTES];
    const char *reason = NULL;
    int64_t object = 0;
    name_segment(class, part, &r->classes, m);
    if (m.valid && m.instance < 0)
        return TAP_OK; /* a scene class or nothing: no object, so no part */
    (void)snprintf(id, sizeof id, "%d", (int)(m.class_id * 1000 + m.instance));
    if (!m.valid) {
        (void)snprintf(part, sizeof part, "label %ld", (long)label);
        reason = "a label that the format does not have";
    } else if (m.part > 0 && part[0] == '\0') {
        (void)snprintf(part, sizeof part, "part %d", (int)m.part);
        reason = class[0] ? "a part id that its class does not have"
                          : "a class that has no parts";
    }
    (void)snprintf(what, sizeof what, "class %d", (int)m.class_id);
    TAP_TRY(tap_items_need_object(&object, items, m.valid ? id : NULL,
                                  !m.valid   ? "unknown"
                                  : class[0] ? class
                                             : what,
                                  err));
    tap_mask copy;
    TAP_TRY(tap_mask_new(&copy, mask->width, mask->height, err));
    memcpy(copy.inside, mask->inside, (size_t)(mask->width * mask->height));
    tap_status status = tap_items_put_object_mask(items, object, &copy, err);
    tap_mask_clear(&copy);
    if (status == TAP_OK && (m.part > 0 || !m.valid))
        status = tap_items_put_part(items, object, part, mask, reason, err);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* *n distinct values to the front of `sorted`. */
static size_t sort_unique(int32_t *sorted, size_t n)
{
    size_t kept = 0;
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || sorted[i] != sorted[kept - 1])
            sorted[kept++] = sorted[i];
    return kept;
}

static tap_status put_segments(tap_items *items, const label_reader *r,
                               const int32_t *labels, int64_t width, int64_t height,
                               tap_error *err)
{
    const size_t n_px = (size_t)(width * height);
    int32_t *distinct = NULL;
    tap_mask mask = {0};
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&distinct, n_px, sizeof *distinct, "labels", err));
    memcpy(distinct, labels, n_px * sizeof *distinct);
    const size_t n = sort_unique(distinct, n_px);
    if (n > MAX_SEGMENTS)
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EFORMAT,
                             "it has %zu different labels, at most %d are read", n,
                             MAX_SEGMENTS));
    for (size_t s = 0; s < n; s++) {
        TAP_TRY_OUT(tap_mask_new(&mask, width, height, err));
        for (size_t p = 0; p < n_px; p++)
            mask.inside[p] = labels[p] == distinct[s];
        TAP_TRY_OUT(put_segment(items, r, distinct[s], &mask, err));
        tap_mask_clear(&mask);
    }
out:
    tap_mask_clear(&mask);
    tap_free(distinct);
    return status;
}

static tap_status read_panoptic(tap_items *items, const void *reader, size_t i,
                                const char *name, tap_error *err)
{
    const label_reader *r = reader;
    char *path = NULL;
    tap_mapping mapping = {0};
    int32_t *labels = NULL;
    int64_t width = 0, height = 0;
    (void)i;
    TAP_TRY(tap_text_format(&path, err, "%s/%s%s", r->folder, name, r->ending));
    tap_status status = tap_file_map(&mapping, path, err);
    if (status == TAP_OK)
        status = tap_tiff_decode_labels(&labels, &width, &height, mapping.bytes,
                                        mapping.n_bytes, path, err);
    if (status == TAP_OK) {
        status = put_segments(items, r, labels, width, height, err);
        if (status == TAP_EFORMAT)
            status = tap_wrap(err, status, "cannot read labels '%s'", path);
    }
    tap_file_unmap(&mapping);
    tap_free(labels);
    tap_free(path);
    return status;
}

const tap_reader tap_reader_panoptic = {.format = "panoptic-parts",
                                        .names = "pascal-part",
                                        .open = open_panoptic,
                                        .read = read_panoptic,
                                        .close = close_reader};

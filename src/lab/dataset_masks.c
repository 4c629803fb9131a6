/* People's own data: a table of image, mask, object and part. */
#include "base/file.h"
#include "base/memory.h"
#include "image/image_formats.h"
#include "lab/dataset_reader.h"
#include "lab/tsv.h"

#include <stdlib.h>
#include <string.h>

/* A tab-separated table with a heading line. Columns, in any order:
 *   image      file name of the photo, in the folder of images
 *   mask       8-bit PNG (grey or palette), relative to the table's folder
 *   object     class name
 *   part       part name; empty: this mask is the object's own
 *   value      optional: sample value that is inside; else everything but 0
 *   object_id  optional: tells objects of a class apart
 *   label      optional: the word that is looked for; else the part's name
 * An object without a mask of its own is the union of its parts. */
enum { IMAGE, MASK, OBJECT, PART, VALUE, OBJECT_ID, LABEL, N_COLUMNS };

static const char *const columns[N_COLUMNS] = {"image", "mask",      "object", "part",
                                               "value", "object_id", "label"};

/* A row, and the image it is of. */
typedef struct mention {
    const char *image; /* borrowed from the table */
    size_t row;
} mention;

typedef struct mask_table {
    tap_tsv rows;
    char *folder;
    mention *mentions; /* [n_rows] by image, rows of an image in order */
    size_t *first;     /* [n_images + 1] mentions of image i begin at first[i] */
    size_t n_images;
} mask_table;

static const char *cell(const mask_table *t, size_t row, int column)
{
    return tap_tsv_cell(&t->rows, row, (size_t)column);
}

static int by_image(const void *a, const void *b)
{
    const mention *x = a, *y = b;
    const int order = strcmp(x->image, y->image);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static void close_table(void *reader)
{
    mask_table *t = reader;
    if (!t)
        return;
    tap_tsv_clear(&t->rows);
    tap_free(t->folder);
    tap_free(t->mentions);
    tap_free(t->first);
    tap_free(t);
}

static tap_status list_images(mask_table *t, tap_image_list *images, tap_error *err)
{
    const size_t n = t->rows.n_rows;
    if (n == 0)
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': the table lists no image",
                        t->rows.path);
    TAP_TRY(tap_alloc(&t->mentions, n, sizeof *t->mentions, "a table", err));
    TAP_TRY(tap_alloc(&t->first, n + 1, sizeof *t->first, "a table", err));
    for (size_t r = 0; r < n; r++) {
        if (!*cell(t, r, IMAGE) || !*cell(t, r, MASK) || !*cell(t, r, OBJECT))
            return tap_tsv_fail(&t->rows, r, "image, mask and object must not be empty",
                                err);
        t->mentions[r] = (mention){cell(t, r, IMAGE), r};
    }
    qsort(t->mentions, n, sizeof *t->mentions, by_image);
    for (size_t m = 0; m < n; m++) {
        const char *image = t->mentions[m].image;
        if (m > 0 && strcmp(image, t->mentions[m - 1].image) == 0)
            continue;
        TAP_TRY(tap_image_list_put(images, image, strlen(image), err));
        t->first[t->n_images++] = m;
    }
    t->first[t->n_images] = n;
    return TAP_OK;
}

static tap_status open_table(void **reader, tap_image_list *images,
                             const tap_data_spec *spec,
                             const tap_dataset_progress *progress, tap_error *err)
{
    mask_table *t = NULL;
    (void)progress;
    TAP_TRY(tap_alloc(&t, 1, sizeof *t, "a table", err));
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_path_parent(&t->folder, spec->annotations, err));
    TAP_TRY_OUT(tap_tsv_read(&t->rows, spec->annotations, columns, N_COLUMNS, VALUE,
                             false, err));
    TAP_TRY_OUT(list_images(t, images, err));
out:
    if (status == TAP_OK)
        *reader = t;
    else
        close_table(t);
    return status;
}

/* ---- masks ---- */

/* A label map that is in memory, so that its parts are cut from one decoding. */
typedef struct label_map {
    const char *name;
    uint8_t *samples;
    int64_t width, height;
} label_map;

static tap_status load(label_map *map, const mask_table *t, const char *name,
                       tap_error *err)
{
    char *path = NULL;
    tap_mapping mapping = {0};
    if (map->name && strcmp(map->name, name) == 0)
        return TAP_OK;
    tap_free(map->samples);
    *map = (label_map){0};
    TAP_TRY(tap_path_join(&path, t->folder, name, err));
    tap_status status = tap_file_map(&mapping, path, err);
    if (status == TAP_OK)
        status = tap_png_decode_samples(&map->samples, &map->width, &map->height,
                                        mapping.bytes, mapping.n_bytes, path, err);
    tap_file_unmap(&mapping);
    tap_free(path);
    if (status == TAP_OK)
        map->name = name;
    return status;
}

static tap_status cut_mask(tap_mask *out, label_map *map, const mask_table *t,
                           size_t row, tap_error *err)
{
    const char *text = cell(t, row, VALUE);
    long value = -1;
    if (text && *text) {
        char *end = NULL;
        value = strtol(text, &end, 10);
        if (*end || value < 0 || value > 255)
            return tap_tsv_fail(&t->rows, row,
                                "'value' is not a whole number from 0 to 255", err);
    }
    TAP_TRY(load(map, t, cell(t, row, MASK), err));
    tap_mask mask;
    TAP_TRY(tap_mask_new(&mask, map->width, map->height, err));
    for (int64_t i = 0; i < mask.width * mask.height; i++)
        mask.inside[i] = value < 0 ? map->samples[i] != 0 : map->samples[i] == value;
    *out = mask;
    return TAP_OK;
}

/* A mask that cannot be had excludes its part, not the image. */
static tap_status read_row(tap_items *items, label_map *map, const mask_table *t,
                           size_t row, tap_error *err)
{
    const char *part = cell(t, row, PART), *label = cell(t, row, LABEL);
    tap_mask mask = {0};
    int64_t object = 0;
    tap_error fault;
    const char *id = cell(t, row, OBJECT_ID);
    TAP_TRY(tap_items_need_object(&object, items, id && *id ? id : NULL,
                                  cell(t, row, OBJECT), err));
    tap_status status = cut_mask(&mask, map, t, row, &fault);
    if (status == TAP_ENOMEM)
        return TAP_FAIL(err, status, "%s", fault.message);
    const char *reason = status == TAP_OK ? NULL : fault.message;
    if (*part) {
        status = tap_items_put_part(items, object, part, &mask, reason, err);
        if (status == TAP_OK && label && *label)
            status = tap_text_set(&items->parts[items->n_parts - 1].label, label, err);
    } else if (reason) {
        status = tap_text_set(&items->objects[object].fault, reason, err);
    } else {
        status = tap_items_put_object_mask(items, object, &mask, err);
    }
    tap_mask_clear(&mask);
    return status;
}

static tap_status read_image(tap_items *items, const void *reader, size_t i,
                             const char *name, tap_error *err)
{
    const mask_table *t = reader;
    label_map map = {0};
    tap_status status = TAP_OK;
    (void)name;
    for (size_t m = t->first[i]; m < t->first[i + 1] && status == TAP_OK; m++)
        status = read_row(items, &map, t, t->mentions[m].row, err);
    tap_free(map.samples);
    return status;
}

const tap_reader tap_reader_masks = {.format = "masks",
                                     .file_names = true,
                                     .open = open_table,
                                     .read = read_image,
                                     .close = close_table};

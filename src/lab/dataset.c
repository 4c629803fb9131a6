/* Images in order, their items with merges and exclusions applied. */
#include "lab/dataset.h"

#include "base/file.h"
#include "base/suggest.h"
#include "lab/dataset_masks.h"
#include "lab/part_names.h"

#include <stdlib.h>
#include <string.h>

struct tap_dataset {
    const tap_data_spec *spec;
    char **names;  /* [n] */
    char **photos; /* [n], NULL entries: no photo */
    size_t n;
    tap_mask_table *table; /* format masks; NULL: pascal-part */
    bool merge_sides, merge_counters;
};

static const char *const formats[] = {"pascal-part", "masks"};
static const char *const merges[] = {"sides", "counters"};

const char *const *tap_dataset_formats(size_t *n)
{
    *n = sizeof formats / sizeof *formats;
    return formats;
}

const char *const *tap_dataset_merges(size_t *n)
{
    *n = sizeof merges / sizeof *merges;
    return merges;
}

/* ---- items ---- */

void tap_items_clear(tap_items *items)
{
    for (size_t i = 0; i < items->n_objects; i++) {
        tap_free(items->objects[i].id);
        tap_free(items->objects[i].name);
        tap_mask_clear(&items->objects[i].mask);
    }
    for (size_t i = 0; i < items->n_parts; i++) {
        tap_free(items->parts[i].name);
        tap_free(items->parts[i].label);
        tap_free(items->parts[i].excluded);
        tap_mask_clear(&items->parts[i].mask);
    }
    tap_free(items->objects);
    tap_free(items->parts);
    *items = (tap_items){0};
}

/* All masks of an image have one size. */
static tap_status check_size(tap_items *items, const tap_mask *mask, tap_error *err)
{
    if (items->width_px == 0) {
        items->width_px = mask->width;
        items->height_px = mask->height;
    }
    if (items->width_px != mask->width || items->height_px != mask->height)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "one mask is %lld x %lld pixels, another %lld x %lld",
                        (long long)items->width_px, (long long)items->height_px,
                        (long long)mask->width, (long long)mask->height);
    return TAP_OK;
}

tap_status tap_items_put_object(tap_items *items, const char *id, const char *name,
                                tap_mask *mask, tap_error *err)
{
    tap_object object = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(check_size(items, mask, err));
    TAP_TRY_OUT(tap_grow(&items->objects, &items->object_capacity, items->n_objects + 1,
                         sizeof object, "annotations", err));
    if (id)
        TAP_TRY_OUT(tap_text_copy(&object.id, id, strlen(id), err));
    TAP_TRY_OUT(tap_text_copy(&object.name, name, strlen(name), err));
    object.mask = *mask;
    *mask = (tap_mask){0};
    items->objects[items->n_objects++] = object;
out:
    if (status != TAP_OK) {
        tap_free(object.id);
        tap_free(object.name);
    }
    return status;
}

tap_status tap_items_put_part(tap_items *items, int64_t object, const char *name,
                              tap_mask *mask, tap_error *err)
{
    tap_part part = {.object = object, .area_px = tap_mask_area(mask)};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(check_size(items, mask, err));
    TAP_TRY_OUT(tap_grow(&items->parts, &items->part_capacity, items->n_parts + 1,
                         sizeof part, "annotations", err));
    TAP_TRY_OUT(tap_text_copy(&part.name, name, strlen(name), err));
    TAP_TRY_OUT(tap_text_copy(&part.label, name, strlen(name), err));
    part.mask = *mask;
    *mask = (tap_mask){0};
    items->parts[items->n_parts++] = part;
out:
    if (status != TAP_OK) {
        tap_free(part.name);
        tap_free(part.label);
    }
    return status;
}

static tap_status set_text(char **text, const char *value, tap_error *err)
{
    char *copy = NULL;
    TAP_TRY(tap_text_copy(&copy, value, strlen(value), err));
    tap_free(*text);
    *text = copy;
    return TAP_OK;
}

/* ---- names, merges, exclusions ---- */

static tap_status name_part(tap_part *part, const tap_dataset *dataset, tap_error *err)
{
    const tap_part_name *known = tap_pascal_part(part->name);
    if (!known) {
        if (!part->excluded)
            return tap_text_format(&part->excluded, err, "unknown part name '%s'",
                                   part->name);
        return TAP_OK;
    }
    TAP_TRY(set_text(&part->label, known->label, err));
    if (dataset->merge_sides) { /* the table drops the counter too: put it back */
        char *name = NULL;
        const char *counter = part->name + tap_name_without_counter(part->name);
        TAP_TRY(tap_text_format(&name, err, "%s%s", known->sides, counter));
        tap_free(part->name);
        part->name = name;
    }
    if (dataset->merge_counters)
        part->name[tap_name_without_counter(part->name)] = '\0';
    return TAP_OK;
}

/* Parts of one object that now have one name become one, at the place of the first. */
static void join_equal(tap_items *items)
{
    size_t kept = 0;
    for (size_t i = 0; i < items->n_parts; i++) {
        tap_part *part = &items->parts[i];
        tap_part *first = NULL;
        for (size_t j = 0; j < kept && !first; j++)
            if (items->parts[j].object == part->object &&
                strcmp(items->parts[j].name, part->name) == 0)
                first = &items->parts[j];
        if (!first) {
            items->parts[kept++] = *part;
            continue;
        }
        for (int64_t p = 0; p < first->mask.width * first->mask.height; p++)
            first->mask.inside[p] |= part->mask.inside[p];
        first->area_px = tap_mask_area(&first->mask);
        tap_free(part->name);
        tap_free(part->label);
        tap_free(part->excluded);
        tap_mask_clear(&part->mask);
    }
    items->n_parts = kept;
}

tap_status tap_dataset_read(tap_items *out, const tap_dataset *dataset, int64_t i,
                            tap_error *err)
{
    tap_items items = {0};
    char *path = NULL;
    tap_status status = TAP_OK;
    if (dataset->table) {
        TAP_TRY_OUT(
            tap_mask_table_read(&items, dataset->table, dataset->names[i], err));
    } else {
        TAP_TRY_OUT(tap_text_format(&path, err, "%s/%s.mat", dataset->spec->annotations,
                                    dataset->names[i]));
        TAP_TRY_OUT(tap_pascal_read(&items, path, err));
        for (size_t p = 0; p < items.n_parts; p++)
            TAP_TRY_OUT(name_part(&items.parts[p], dataset, err));
    }
    if (dataset->merge_sides || dataset->merge_counters)
        join_equal(&items);
    for (size_t p = 0; p < items.n_parts; p++) {
        tap_part *part = &items.parts[p];
        if (!part->excluded && part->area_px < dataset->spec->min_area_px)
            TAP_TRY_OUT(tap_text_format(
                &part->excluded, err, "area of %lld px is below %lld",
                (long long)part->area_px, (long long)dataset->spec->min_area_px));
        if (!part->excluded && !dataset->photos[i])
            TAP_TRY_OUT(tap_text_format(&part->excluded, err, "no photo"));
    }
out:
    tap_free(path);
    if (status == TAP_OK)
        *out = items;
    else
        tap_items_clear(&items);
    return status;
}

/* ---- images ---- */

static tap_status find_photo(char **out, const char *folder, const char *name,
                             tap_error *err)
{
    static const char *const endings[] = {"jpg", "jpeg", "png", "JPG", "JPEG", "PNG"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *path = NULL;
        TAP_TRY(tap_text_format(&path, err, "%s/%s.%s", folder, name, endings[i]));
        if (tap_file_exists(path)) {
            *out = path;
            return TAP_OK;
        }
        tap_free(path);
    }
    return TAP_OK;
}

/* A name with the number that decides whether it is drawn. */
typedef struct lot {
    uint64_t number;
    char *name;
} lot;

static int by_number(const void *a, const void *b)
{
    const lot *x = a, *y = b;
    return x->number != y->number ? (x->number > y->number) - (x->number < y->number)
                                  : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const lot *)a)->name, ((const lot *)b)->name);
}

/* Keeps `want` of the names, those with the smallest hash of seed and name: which names are
 * drawn does not depend on the order in which anything is read. */
static tap_status sample(tap_dataset *dataset, size_t want, uint64_t seed,
                         tap_error *err)
{
    lot *lots = NULL;
    if (dataset->n <= want)
        return TAP_OK;
    TAP_TRY(tap_alloc(&lots, dataset->n, sizeof *lots, "a sample", err));
    for (size_t i = 0; i < dataset->n; i++)
        lots[i] = (lot){tap_hash(seed, dataset->names[i], strlen(dataset->names[i])),
                        dataset->names[i]};
    qsort(lots, dataset->n, sizeof *lots, by_number);
    qsort(lots, want, sizeof *lots, by_name);
    for (size_t i = 0; i < dataset->n; i++) {
        if (i >= want)
            tap_free(lots[i].name);
        dataset->names[i] = i < want ? lots[i].name : NULL;
    }
    dataset->n = want;
    tap_free(lots);
    return TAP_OK;
}

static tap_status set_merges(tap_dataset *dataset, tap_error *err)
{
    for (size_t i = 0; i < dataset->spec->n_merge; i++) {
        const char *merge = dataset->spec->merge[i];
        if (strcmp(merge, "sides") == 0) {
            dataset->merge_sides = true;
        } else if (strcmp(merge, "counters") == 0) {
            dataset->merge_counters = true;
        } else {
            const char *near =
                tap_suggest(merge, merges, sizeof merges / sizeof *merges);
            return TAP_FAIL(err, TAP_EINVAL, "unknown merge '%s'%s%s%s", merge,
                            near ? "; did you mean '"
                                 : "; known are sides and counters",
                            near ? near : "", near ? "'?" : "");
        }
    }
    return TAP_OK;
}

/* Names from a table, sorted. */
static tap_status list_table(tap_dataset *dataset, tap_error *err)
{
    TAP_TRY(tap_mask_table_open(&dataset->table, dataset->spec->annotations, err));
    const size_t n = tap_mask_table_count(dataset->table);
    TAP_TRY(tap_alloc(&dataset->names, n, sizeof *dataset->names, "a data set", err));
    for (size_t i = 0; i < n; i++) {
        const char *name = tap_mask_table_image(dataset->table, i);
        TAP_TRY(tap_text_copy(&dataset->names[dataset->n++], name, strlen(name), err));
    }
    return TAP_OK;
}

static tap_status list_annotations(tap_dataset *dataset, tap_error *err)
{
    const char *folder = dataset->spec->annotations;
    TAP_TRY(tap_file_list(&dataset->names, &dataset->n, folder, ".mat", err));
    if (dataset->n == 0)
        return TAP_FAIL(err, TAP_EINVAL, "no annotation (*.mat) stands in '%s'",
                        folder);
    for (size_t i = 0; i < dataset->n; i++)
        dataset->names[i][strlen(dataset->names[i]) - 4] = '\0';
    return TAP_OK;
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static tap_status list_images(tap_dataset *dataset, tap_error *err)
{
    const tap_data_spec *spec = dataset->spec;
    const bool table = strcmp(spec->format, "masks") == 0;
    TAP_TRY(table ? list_table(dataset, err) : list_annotations(dataset, err));
    qsort(dataset->names, dataset->n, sizeof *dataset->names, by_text);
    if (spec->sample_images > 0)
        TAP_TRY(sample(dataset, (size_t)spec->sample_images,
                       (uint64_t)spec->sample_seed, err));
    TAP_TRY(tap_alloc(&dataset->photos, dataset->n, sizeof *dataset->photos,
                      "a data set", err));
    for (size_t i = 0; i < dataset->n; i++) {
        char *path = NULL;
        if (!table) {
            TAP_TRY(
                find_photo(&dataset->photos[i], spec->images, dataset->names[i], err));
            continue;
        }
        TAP_TRY(tap_path_join(&path, spec->images, dataset->names[i], err));
        if (tap_file_exists(path))
            dataset->photos[i] = path;
        else
            tap_free(path);
    }
    return TAP_OK;
}

tap_status tap_dataset_open(tap_dataset **out, const tap_data_spec *spec,
                            tap_error *err)
{
    const size_t n_formats = sizeof formats / sizeof *formats;
    size_t f = 0;
    while (f < n_formats && strcmp(spec->format, formats[f]) != 0)
        f++;
    if (f == n_formats) {
        const char *near = tap_suggest(spec->format, formats, n_formats);
        return TAP_FAIL(err, TAP_EINVAL, "unknown data format '%s'%s%s%s", spec->format,
                        near ? "; did you mean '" : "; known are pascal-part and masks",
                        near ? near : "", near ? "'?" : "");
    }
    tap_dataset *dataset = NULL;
    tap_status status = tap_alloc(&dataset, 1, sizeof *dataset, "a data set", err);
    if (status != TAP_OK)
        return status;
    dataset->spec = spec;
    TAP_TRY_OUT(set_merges(dataset, err));
    TAP_TRY_OUT(list_images(dataset, err));
out:
    if (status == TAP_OK)
        *out = dataset;
    else
        tap_dataset_close(dataset);
    return status;
}

void tap_dataset_close(tap_dataset *dataset)
{
    if (!dataset)
        return;
    for (size_t i = 0; i < dataset->n; i++) {
        tap_free(dataset->names[i]);
        if (dataset->photos)
            tap_free(dataset->photos[i]);
    }
    tap_free(dataset->names);
    tap_mask_table_close(dataset->table);
    tap_free(dataset->photos);
    tap_free(dataset);
}

int64_t tap_dataset_count(const tap_dataset *dataset)
{
    return (int64_t)dataset->n;
}

const char *tap_dataset_name(const tap_dataset *dataset, int64_t i)
{
    return dataset->names[i];
}

const char *tap_dataset_photo(const tap_dataset *dataset, int64_t i)
{
    return dataset->photos[i];
}

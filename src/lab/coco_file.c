#include "lab/coco_file.h"

#include "base/memory.h"
#include "format/json_stream.h"
#include "image/mask_shape.h"

#include <stdlib.h>
#include <string.h>

enum { PROGRESS_BYTES = 1 << 22 };

int64_t tap_coco_int(const json_t *object, const char *key, int64_t absent)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : absent;
}

static tap_status copy_text(char **out, const json_t *object, const char *key,
                            const char *absent, tap_error *err)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_is_string(value) ? json_string_value(value) : absent;
    if (!text)
        return TAP_FAIL(err, TAP_EFORMAT, "it has no text '%s'", key);
    return tap_text_copy(out, text, strlen(text), err);
}

static tap_status need_id(int64_t *out, const json_t *object, tap_error *err)
{
    const json_t *value = json_object_get(object, "id");
    if (!json_is_integer(value))
        return TAP_FAIL(err, TAP_EFORMAT, "it has no whole number 'id'");
    *out = json_integer_value(value);
    return TAP_OK;
}

/* ---- the walk over the file ---- */

/* file_name; LVIS files have only coco_url, whose last two names are folder and file. */
static tap_status copy_file_name(char **out, const json_t *item, tap_error *err)
{
    const json_t *url = json_object_get(item, "coco_url");
    const char *name = json_is_string(url) ? json_string_value(url) : NULL;
    int n_slashes = 0;
    for (const char *c = name ? name + strlen(name) : NULL; c && c > name;)
        if (*--c == '/' && ++n_slashes == 2) {
            name = c + 1;
            break;
        }
    return copy_text(out, item, "file_name", n_slashes == 2 ? name : NULL, err);
}

static tap_status put_image(tap_coco_file *f, const json_t *item, tap_error *err)
{
    TAP_TRY(tap_grow(&f->images, &f->image_capacity, f->n_images + 1, sizeof *f->images,
                     "images", err));
    tap_coco_image image = {.known = true,
                            .width = tap_coco_int(item, "width", 0),
                            .height = tap_coco_int(item, "height", 0)};
    TAP_TRY(need_id(&image.id, item, err));
    TAP_TRY(copy_file_name(&image.name, item, err));
    f->images[f->n_images++] = image;
    return TAP_OK;
}

static tap_status put_category(tap_coco_file *f, const json_t *item, tap_error *err)
{
    TAP_TRY(tap_grow(&f->categories, &f->category_capacity, f->n_categories + 1,
                     sizeof *f->categories, "categories", err));
    tap_coco_category *category = &f->categories[f->n_categories];
    TAP_TRY(need_id(&category->id, item, err));
    TAP_TRY(copy_text(&category->name, item, "name", NULL, err));
    f->n_categories++; /* from here on the file owns the name */
    return copy_text(&category->group, item, "supercategory", "", err);
}

static tap_status put_place(tap_coco_file *f, const json_t *item,
                            const tap_json_range *range, tap_error *err)
{
    if (range->n_bytes > UINT32_MAX)
        return TAP_FAIL(err, TAP_EFORMAT, "it is larger than 4 GB");
    TAP_TRY(tap_grow(&f->places, &f->place_capacity, f->n_places + 1, sizeof *f->places,
                     "annotations", err));
    f->places[f->n_places++] =
        (tap_coco_place){.image_id = tap_coco_int(item, "image_id", INT64_MIN),
                         .at = (size_t)(range->text - (const char *)f->mapping.bytes),
                         .n_bytes = (uint32_t)range->n_bytes};
    return TAP_OK;
}

static tap_status parse(json_t **out, const tap_coco_file *f, const char *text,
                        size_t n_bytes, tap_error *err)
{
    const tap_status status = tap_json_parse(out, text, n_bytes, f->path, err);
    if (status == TAP_OK)
        return TAP_OK;
    return tap_wrap(err, status, "item at byte %zu",
                    (size_t)(text - (const char *)f->mapping.bytes));
}

typedef enum list { IMAGES, CATEGORIES, ANNOTATIONS, N_LISTS } list;

static const char *const list_names[N_LISTS] = {"images", "categories", "annotations"};

static tap_status put_item(tap_coco_file *f, list which, const tap_json_range *range,
                           tap_error *err)
{
    json_t *item = NULL;
    TAP_TRY(parse(&item, f, range->text, range->n_bytes, err));
    const tap_status status = which == IMAGES       ? put_image(f, item, err)
                              : which == CATEGORIES ? put_category(f, item, err)
                                                    : put_place(f, item, range, err);
    json_decref(item);
    if (status == TAP_OK || status == TAP_ENOMEM)
        return status;
    return tap_wrap(err, status, "cannot read '%s', %s at byte %zu", f->path,
                    list_names[which],
                    (size_t)(range->text - (const char *)f->mapping.bytes));
}

static tap_status walk(tap_coco_file *f, const tap_dataset_progress *progress,
                       tap_error *err)
{
    tap_json_stream stream = {.text = (const char *)f->mapping.bytes,
                              .n_bytes = f->mapping.n_bytes,
                              .path = f->path};
    tap_json_range key, range;
    bool met[N_LISTS] = {false}, more = true;
    size_t told = 0;
    for (;;) {
        TAP_TRY(tap_json_stream_key(&more, &key, &stream, err));
        if (!more)
            break;
        list which = IMAGES;
        while (which < N_LISTS && !tap_json_range_is(&key, list_names[which]))
            which++;
        if (which == N_LISTS)
            continue;
        if (met[which])
            return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': '%s' stands twice",
                            f->path, list_names[which]);
        met[which] = true;
        for (;;) {
            TAP_TRY(tap_json_stream_item(&more, &range, &stream, err));
            if (!more)
                break;
            TAP_TRY(put_item(f, which, &range, err));
            if (progress && stream.at - told >= PROGRESS_BYTES) {
                progress->put(progress->owner, stream.at, stream.n_bytes);
                told = stream.at;
            }
        }
    }
    for (list which = IMAGES; which < N_LISTS; which++)
        if (!met[which])
            return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': it has no list '%s'",
                            f->path, list_names[which]);
    return TAP_OK;
}

/* ---- order ---- */

/* qsort takes no NULL, not even for nothing. */
static void sort(void *items, size_t n, size_t item_bytes,
                 int (*compare)(const void *, const void *))
{
    if (n > 1)
        qsort(items, n, item_bytes, compare);
}

static int compare_ids(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_image_id(const void *a, const void *b)
{
    return compare_ids(((const tap_coco_image *)a)->id,
                       ((const tap_coco_image *)b)->id);
}

static int by_category_id(const void *a, const void *b)
{
    return compare_ids(((const tap_coco_category *)a)->id,
                       ((const tap_coco_category *)b)->id);
}

static int by_image_then_place(const void *a, const void *b)
{
    const tap_coco_place *x = a, *y = b;
    const int order = compare_ids(x->image_id, y->image_id);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static tap_status check_unique(const tap_coco_file *f, tap_error *err)
{
    const char **names = NULL;
    tap_status status = TAP_OK;
    for (size_t i = 1; i < f->n_images; i++)
        if (f->images[i].id == f->images[i - 1].id)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': two images have the id "
                            "%lld",
                            f->path, (long long)f->images[i].id);
    for (size_t i = 1; i < f->n_categories; i++)
        if (f->categories[i].id == f->categories[i - 1].id)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': two categories have the id %lld",
                            f->path, (long long)f->categories[i].id);
    TAP_TRY(tap_alloc(&names, f->n_images, sizeof *names, "images", err));
    for (size_t i = 0; i < f->n_images; i++)
        names[i] = f->images[i].name;
    sort(names, f->n_images, sizeof *names, by_text);
    for (size_t i = 1; i < f->n_images && status == TAP_OK; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            status = TAP_FAIL(err, TAP_EFORMAT,
                              "cannot read '%s': two images have the file_name '%s'",
                              f->path, names[i]);
    tap_free(names);
    return status;
}

/* An image for annotations whose image_id is not in the list. */
static tap_status put_unknown(tap_coco_file *f, int64_t id, tap_error *err)
{
    tap_coco_image image = {.id = id};
    TAP_TRY(tap_grow(&f->images, &f->image_capacity, f->n_images + 1, sizeof *f->images,
                     "images", err));
    if (id == INT64_MIN)
        TAP_TRY(tap_text_format(&image.name, err, "(no image_id)"));
    else
        TAP_TRY(tap_text_format(&image.name, err, "(image_id %lld)", (long long)id));
    f->images[f->n_images++] = image;
    return TAP_OK;
}

/* Both lists rise by id: one walk pairs them. */
static tap_status pair(tap_coco_file *f, tap_error *err)
{
    const size_t n_known = f->n_images;
    size_t image = 0;
    for (size_t p = 0; p < f->n_places; p++) {
        tap_coco_place *place = &f->places[p];
        while (image < n_known && f->images[image].id < place->image_id)
            image++;
        const bool known = image < n_known && f->images[image].id == place->image_id;
        if (!known && (f->n_images == n_known ||
                       f->images[f->n_images - 1].id != place->image_id))
            TAP_TRY(put_unknown(f, place->image_id, err));
        place->image = (uint32_t)(known ? image : f->n_images - 1);
    }
    TAP_TRY(tap_alloc(&f->first, f->n_images + 1, sizeof *f->first, "images", err));
    size_t *count = f->first; /* first how many, then where */
    for (size_t p = 0; p < f->n_places; p++)
        count[f->places[p].image]++;
    for (size_t i = 0, at = 0; i <= f->n_images; i++) {
        const size_t n = count[i];
        count[i] = at;
        at += n;
    }
    return TAP_OK;
}

static int by_image(const void *a, const void *b)
{
    const tap_coco_place *x = a, *y = b;
    return x->image != y->image ? (x->image > y->image) - (x->image < y->image)
                                : (x->at > y->at) - (x->at < y->at);
}

tap_status tap_coco_open(tap_coco_file **out, const char *path,
                         const tap_dataset_progress *progress, tap_error *err)
{
    tap_coco_file *f = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&f, 1, sizeof *f, "annotations", err));
    TAP_TRY_OUT(tap_text_copy(&f->path, path, strlen(path), err));
    TAP_TRY_OUT(tap_file_map(&f->mapping, path, err));
    TAP_TRY_OUT(walk(f, progress, err));
    sort(f->images, f->n_images, sizeof *f->images, by_image_id);
    sort(f->categories, f->n_categories, sizeof *f->categories, by_category_id);
    sort(f->places, f->n_places, sizeof *f->places, by_image_then_place);
    TAP_TRY_OUT(check_unique(f, err));
    TAP_TRY_OUT(pair(f, err));
    sort(f->places, f->n_places, sizeof *f->places, by_image);
out:
    if (status == TAP_OK)
        *out = f;
    else
        tap_coco_close(f);
    return status;
}

void tap_coco_close(tap_coco_file *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->n_images; i++)
        tap_free(file->images[i].name);
    for (size_t i = 0; i < file->n_categories; i++) {
        tap_free(file->categories[i].name);
        tap_free(file->categories[i].group);
    }
    tap_free(file->images);
    tap_free(file->categories);
    tap_free(file->places);
    tap_free(file->first);
    tap_free(file->path);
    tap_file_unmap(&file->mapping);
    tap_free(file);
}

const tap_coco_category *tap_coco_find_category(const tap_coco_file *file, int64_t id)
{
    const tap_coco_category key = {.id = id};
    return file->n_categories ? bsearch(&key, file->categories, file->n_categories,
                                        sizeof key, by_category_id)
                              : NULL;
}

tap_status tap_coco_annotation(json_t **out, const tap_coco_file *file,
                               const tap_coco_place *place, tap_error *err)
{
    return parse(out, file, (const char *)file->mapping.bytes + place->at,
                 place->n_bytes, err);
}

/* ---- masks ---- */

static tap_status put_polygon(tap_mask *mask, const json_t *polygon, tap_error *err)
{
    const size_t n = json_array_size(polygon);
    double *xy = NULL;
    if (n % 2 != 0)
        return TAP_FAIL(err, TAP_EFORMAT, "a polygon is a list of %zu numbers", n);
    TAP_TRY(tap_alloc(&xy, n, sizeof *xy, "a polygon", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; i < n && status == TAP_OK; i++) {
        const json_t *value = json_array_get(polygon, i);
        xy[i] = json_number_value(value);
        if (!json_is_number(value))
            status = TAP_FAIL(err, TAP_EFORMAT, "a polygon holds more than numbers");
    }
    if (status == TAP_OK)
        status = tap_mask_put_polygon(mask, xy, n / 2, err);
    tap_free(xy);
    return status;
}

static tap_status put_polygons(tap_mask *mask, const json_t *polygons, tap_error *err)
{
    const size_t n = json_array_size(polygons);
    if (n == 0)
        return TAP_FAIL(err, TAP_EFORMAT, "it has no polygon");
    for (size_t i = 0; i < n; i++) {
        const json_t *polygon = json_array_get(polygons, i);
        if (!json_is_array(polygon))
            return TAP_FAIL(err, TAP_EFORMAT, "its polygons are not lists");
        TAP_TRY(put_polygon(mask, polygon, err));
    }
    return TAP_OK;
}

static tap_status put_counts(tap_mask *mask, const json_t *counts, tap_error *err)
{
    if (json_is_string(counts))
        return tap_mask_put_run_text(mask, json_string_value(counts),
                                     json_string_length(counts), err);
    if (!json_is_array(counts))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "its run lengths are neither text nor a list");
    const size_t n = json_array_size(counts);
    int64_t *runs = NULL;
    TAP_TRY(tap_alloc(&runs, n, sizeof *runs, "run lengths", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; i < n && status == TAP_OK; i++) {
        const json_t *run = json_array_get(counts, i);
        runs[i] = json_integer_value(run);
        if (!json_is_integer(run))
            status =
                TAP_FAIL(err, TAP_EFORMAT, "its run lengths are not whole numbers");
    }
    if (status == TAP_OK)
        status = tap_mask_put_runs(mask, runs, n, err);
    tap_free(runs);
    return status;
}

tap_status tap_coco_mask(tap_mask *out, const json_t *segmentation, int64_t width,
                         int64_t height, tap_error *err)
{
    const bool polygons = json_is_array(segmentation);
    if (!polygons && !json_is_object(segmentation))
        return TAP_FAIL(err, TAP_EFORMAT, "it has no segmentation");
    if (!polygons) {
        const json_t *size = json_object_get(segmentation, "size");
        const json_t *h = json_array_get(size, 0), *w = json_array_get(size, 1);
        if (!json_is_integer(h) || !json_is_integer(w))
            return TAP_FAIL(err, TAP_EFORMAT, "its run lengths do not tell their size");
        height = json_integer_value(h);
        width = json_integer_value(w);
    }
    tap_mask mask;
    TAP_TRY(tap_mask_new(&mask, width, height, err));
    const tap_status status =
        polygons ? put_polygons(&mask, segmentation, err)
                 : put_counts(&mask, json_object_get(segmentation, "counts"), err);
    if (status == TAP_OK)
        *out = mask;
    else
        tap_mask_clear(&mask);
    return status;
}

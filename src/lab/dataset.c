/* Images in order, their items with merges and exclusions applied. */
#include "lab/dataset.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/suggest.h"
#include "image/image.h"
#include "lab/dataset_reader.h"
#include "lab/part_table.h"
#include "lab/tsv.h"

#include <stdlib.h>
#include <string.h>

static const tap_reader *const readers[] = {
    &tap_reader_pascal, &tap_reader_masks, &tap_reader_coco, &tap_reader_partimagenet,
    &tap_reader_paco,   &tap_reader_ade,   &tap_reader_cihp, &tap_reader_panoptic};

enum { N_READERS = sizeof readers / sizeof *readers };

/* An image of the list. */
typedef struct entry {
    char *name, *photo; /* photo NULL: there is none */
    size_t place;       /* in the reader's list */
    uint64_t lot;       /* decides whether it is drawn */
} entry;

struct tap_dataset {
    const tap_data_spec *spec;
    const tap_reader *reader;
    void *annotations; /* what the reader opened */
    entry *images;     /* [n] */
    size_t n;
    tap_tsv objects;         /* shipped words for classes */
    tap_part_table *names;   /* NULL: readable as they stand */
    tap_part_table **merges; /* [spec->n_merge] */
};

/* ---- opening ---- */

tap_status tap_image_list_put(tap_image_list *list, const char *name, size_t n_bytes,
                              tap_error *err)
{
    TAP_TRY(tap_grow(&list->names, &list->capacity, list->n + 1, sizeof *list->names,
                     "a data set", err));
    TAP_TRY(tap_text_copy(&list->names[list->n], name, n_bytes, err));
    list->n++;
    return TAP_OK;
}

static void clear_list(tap_image_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        tap_free(list->names[i]);
    tap_free(list->names);
    *list = (tap_image_list){0};
}

enum { MAX_FOLDER_DEPTH = 8 };

static tap_status list_folder(tap_image_list *list, const char *folder,
                              const char *prefix, const char *ending, int depth,
                              tap_error *err)
{
    char **names = NULL, *path = NULL, *inner = NULL;
    size_t n = 0;
    tap_status status = tap_file_list(&names, &n, folder, depth ? NULL : ending, err);
    for (size_t i = 0; i < n && status == TAP_OK; i++) {
        const size_t bytes = strlen(names[i]), end = strlen(ending);
        TAP_TRY_OUT(tap_text_format(&inner, err, "%s%s", prefix, names[i]));
        if (bytes > end && strcmp(names[i] + bytes - end, ending) == 0) {
            TAP_TRY_OUT(tap_image_list_put(list, inner, strlen(inner) - end, err));
        } else if (depth > 0) {
            TAP_TRY_OUT(tap_path_join(&path, folder, names[i], err));
            tap_free(inner);
            inner = NULL;
            TAP_TRY_OUT(tap_text_format(&inner, err, "%s%s/", prefix, names[i]));
            if (tap_file_is_directory(path))
                TAP_TRY_OUT(list_folder(list, path, inner, ending, depth - 1, err));
            tap_free(path);
            path = NULL;
        }
        tap_free(inner);
        inner = NULL;
    }
out:
    for (size_t i = 0; i < n; i++)
        tap_free(names[i]);
    tap_free(names);
    tap_free(path);
    tap_free(inner);
    return status;
}

tap_status tap_image_list_folder(tap_image_list *list, const char *folder,
                                 const char *ending, bool deep, tap_error *err)
{
    TAP_TRY(list_folder(list, folder, "", ending, deep ? MAX_FOLDER_DEPTH : 0, err));
    if (list->n == 0)
        return TAP_FAIL(err, TAP_EINVAL, "no annotation (*%s) stands in '%s'", ending,
                        folder);
    return TAP_OK;
}

static int by_lot(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->lot != y->lot ? (x->lot > y->lot) - (x->lot < y->lot)
                            : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* Keeps `want` images, those with the smallest hash of seed and name: which are drawn does
 * not depend on the order in which anything is read. */
static void sample(tap_dataset *dataset, size_t want)
{
    if (dataset->n <= want)
        return;
    qsort(dataset->images, dataset->n, sizeof *dataset->images, by_lot);
    for (size_t i = want; i < dataset->n; i++)
        tap_free(dataset->images[i].name);
    dataset->n = want;
}

/* The photo of an image: its name with an ending of a picture, or where names are file
 * names, that file, also without the folders before it ("train2017/1.jpg" in train2017). */
static tap_status find_photo(char **out, const tap_dataset *dataset, const char *name,
                             tap_error *err)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png",
                                          ".JPG", ".JPEG", ".PNG"};
    const bool is_file = dataset->reader->file_names;
    const char *slash = strrchr(name, '/');
    const size_t n = is_file ? 1 + (slash != NULL) : sizeof endings / sizeof *endings;
    for (size_t i = 0; i < n; i++) {
        char *file = NULL, *path = NULL;
        TAP_TRY(tap_text_format(&file, err, "%s%s", is_file && i ? slash + 1 : name,
                                is_file ? "" : endings[i]));
        const tap_status status =
            tap_path_join(&path, dataset->spec->images, file, err);
        tap_free(file);
        TAP_TRY(status);
        if (tap_file_exists(path)) {
            *out = path;
            return TAP_OK;
        }
        tap_free(path);
    }
    return TAP_OK;
}

/* Takes the names over from the reader's list. */
static tap_status take_images(tap_dataset *dataset, tap_image_list *list,
                              tap_error *err)
{
    const tap_data_spec *spec = dataset->spec;
    TAP_TRY(tap_alloc(&dataset->images, list->n, sizeof *dataset->images, "a data set",
                      err));
    for (size_t i = 0; i < list->n; i++) {
        char *name = list->names[i];
        dataset->images[i] =
            (entry){.name = name,
                    .place = i,
                    .lot = tap_hash((uint64_t)spec->sample_seed, name, strlen(name))};
        list->names[i] = NULL;
    }
    dataset->n = list->n;
    if (spec->sample_images > 0)
        sample(dataset, (size_t)spec->sample_images);
    qsort(dataset->images, dataset->n, sizeof *dataset->images, by_name);
    for (size_t i = 0; i < dataset->n; i++)
        TAP_TRY(find_photo(&dataset->images[i].photo, dataset, dataset->images[i].name,
                           err));
    return TAP_OK;
}

static tap_status open_tables(tap_dataset *dataset, tap_error *err)
{
    const tap_data_spec *spec = dataset->spec;
    static const char *const columns[] = {"object", "label"};
    const char *names = dataset->reader->names;
    TAP_TRY(tap_shared_table_open(&dataset->objects, "objects", columns, 2, err));
    if (spec->names && strcmp(spec->names, "default") != 0)
        names = spec->names;
    if (names)
        TAP_TRY(tap_part_table_open(&dataset->names, "names", names, err));
    TAP_TRY(tap_alloc(&dataset->merges, spec->n_merge, sizeof *dataset->merges,
                      "a data set", err));
    for (size_t i = 0; i < spec->n_merge; i++)
        TAP_TRY(tap_part_table_open(&dataset->merges[i], "merge", spec->merge[i], err));
    return TAP_OK;
}

static tap_status find_reader(const tap_reader **out, const char *format,
                              tap_error *err)
{
    const char *formats[N_READERS];
    for (size_t i = 0; i < N_READERS; i++) {
        formats[i] = readers[i]->format;
        if (strcmp(format, formats[i]) == 0) {
            *out = readers[i];
            return TAP_OK;
        }
    }
    const char *near = tap_suggest(format, formats, N_READERS);
    return TAP_FAIL(err, TAP_EINVAL, "unknown data format '%s'%s%s%s", format,
                    near ? "; did you mean '" : "; docs/data.md lists those known",
                    near ? near : "", near ? "'?" : "");
}

tap_status tap_dataset_open(tap_dataset **out, const tap_data_spec *spec,
                            const tap_dataset_progress *progress, tap_error *err)
{
    tap_dataset *dataset = NULL;
    tap_image_list list = {0};
    tap_status status = tap_alloc(&dataset, 1, sizeof *dataset, "a data set", err);
    if (status != TAP_OK)
        return status;
    dataset->spec = spec;
    TAP_TRY_OUT(find_reader(&dataset->reader, spec->format, err));
    TAP_TRY_OUT(open_tables(dataset, err));
    TAP_TRY_OUT(
        dataset->reader->open(&dataset->annotations, &list, spec, progress, err));
    TAP_TRY_OUT(take_images(dataset, &list, err));
out:
    clear_list(&list);
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
        tap_free(dataset->images[i].name);
        tap_free(dataset->images[i].photo);
    }
    tap_free(dataset->images);
    tap_tsv_clear(&dataset->objects);
    tap_part_table_close(dataset->names);
    for (size_t i = 0; dataset->merges && i < dataset->spec->n_merge; i++)
        tap_part_table_close(dataset->merges[i]);
    tap_free(dataset->merges);
    if (dataset->annotations)
        dataset->reader->close(dataset->annotations);
    tap_free(dataset);
}

int64_t tap_dataset_count(const tap_dataset *dataset)
{
    return (int64_t)dataset->n;
}

const char *tap_dataset_name(const tap_dataset *dataset, int64_t i)
{
    return dataset->images[i].name;
}

const char *tap_dataset_photo(const tap_dataset *dataset, int64_t i)
{
    return dataset->images[i].photo;
}

/* ---- items ---- */

/* Writes down why, unless there is a reason already. */
static tap_status exclude(tap_part *part, tap_error *err, const char *why,
                          const char *name)
{
    if (part->excluded)
        return TAP_OK;
    return *name ? tap_text_format(&part->excluded, err, "%s '%s'", why, name)
                 : tap_text_format(&part->excluded, err, "%s", why);
}

/* The label of a part whose reader gave it none of its own. */
static tap_status name_part(tap_part *part, const tap_dataset *dataset,
                            const char *object, tap_error *err)
{
    char *label = NULL;
    if (strcmp(part->label, part->name) != 0)
        return TAP_OK; /* the annotation says what to look for */
    if (!dataset->names) {
        TAP_TRY(tap_readable_name(&label, part->name, err));
    } else {
        tap_part_naming naming;
        TAP_TRY(tap_part_table_find(&naming, dataset->names, object, part->name, err));
        if (!naming.found)
            return exclude(part, err, "unknown part name", part->name);
        if (naming.left_out)
            return exclude(part, err, "left out by the names of", dataset->spec->names);
        label = naming.label;
    }
    tap_free(part->label);
    part->label = label;
    return TAP_OK;
}

static tap_status merge_part(tap_part *part, const tap_dataset *dataset,
                             const char *object, tap_error *err)
{
    for (size_t m = 0; m < dataset->spec->n_merge; m++) {
        tap_part_naming naming;
        TAP_TRY(
            tap_part_table_find(&naming, dataset->merges[m], object, part->name, err));
        if (naming.left_out)
            return exclude(part, err, "left out by the merge", dataset->spec->merge[m]);
        if (!naming.found)
            continue;
        tap_free(part->name);
        part->name = naming.name;
        if (naming.label) {
            tap_free(part->label);
            part->label = naming.label;
        }
    }
    return TAP_OK;
}

/* The word for an object's class. */
static tap_status name_object(tap_object *object, const tap_dataset *dataset,
                              tap_error *err)
{
    for (size_t r = 0; r < dataset->objects.n_rows; r++)
        if (strcmp(tap_tsv_cell(&dataset->objects, r, 0), object->name) == 0)
            return tap_text_set(&object->label, tap_tsv_cell(&dataset->objects, r, 1),
                                err);
    return tap_readable_name(&object->label, object->name, err);
}

/* Rules that hold whatever the format. */
static tap_status check_part(tap_part *part, const tap_dataset *dataset,
                             const entry *image, const char *photo_fault,
                             tap_error *err)
{
    const int64_t least = dataset->spec->min_area_px;
    if (!part->excluded && part->area_px == 0)
        return tap_text_format(&part->excluded, err, "no pixel belongs to it");
    if (!part->excluded && part->area_px < least)
        return tap_text_format(&part->excluded, err, "smaller than %lld px",
                               (long long)least);
    if (!image->photo)
        return exclude(part, err, "no photo", "");
    if (photo_fault)
        return exclude(part, err, photo_fault, "");
    return TAP_OK;
}

tap_status tap_dataset_read(tap_items *out, const tap_dataset *dataset, int64_t i,
                            tap_error *err)
{
    const entry *image = &dataset->images[i];
    tap_items items = {0};
    tap_error fault;
    tap_status status = TAP_OK;
    const char *photo_fault = NULL;
    if (image->photo && tap_image_size(&items.width_px, &items.height_px, image->photo,
                                       &fault) != TAP_OK)
        photo_fault = fault.message;
    TAP_TRY_OUT(dataset->reader->read(&items, dataset->annotations, image->place,
                                      image->name, err));
    for (size_t o = 0; o < items.n_objects; o++)
        TAP_TRY_OUT(name_object(&items.objects[o], dataset, err));
    for (size_t p = 0; p < items.n_parts; p++) {
        tap_part *part = &items.parts[p];
        const char *object = items.objects[part->object].name;
        TAP_TRY_OUT(name_part(part, dataset, object, err));
        TAP_TRY_OUT(merge_part(part, dataset, object, err));
    }
    TAP_TRY_OUT(tap_items_finish(&items, dataset->spec->n_merge > 0, err));
    for (size_t p = 0; p < items.n_parts; p++)
        TAP_TRY_OUT(check_part(&items.parts[p], dataset, image, photo_fault, err));
out:
    if (status == TAP_OK)
        *out = items;
    else
        tap_items_clear(&items);
    return status;
}

/* Annotated photographs: which parts of which objects are where.
 *
 * One reader per format turns an image's annotation into objects and parts with masks; the
 * merges asked for are applied; each part becomes an item, excluded ones too, with the
 * reason. Formats: see tap_dataset_formats(). */
#ifndef TAP_LAB_DATASET_H
#define TAP_LAB_DATASET_H

#include "image/mask.h"
#include "lab/experiment.h"

/* One object of an image. */
typedef struct tap_object {
    char *id;   /* NULL where the format has no instances */
    char *name; /* class: "cat" */
    tap_mask mask;
} tap_object;

/* One item: a part of an object. */
typedef struct tap_part {
    int64_t object; /* index in objects */
    char *name;     /* as in the file, or as a merge named it: "lear", "ear" */
    char *label;    /* the word that is looked for: "ear" */
    int64_t area_px;
    char *excluded; /* NULL, or why it is not scored */
    tap_mask mask;
} tap_part;

/* Everything annotated in one image. */
typedef struct tap_items {
    tap_object *objects;
    size_t n_objects, object_capacity;
    tap_part *parts;
    size_t n_parts, part_capacity;
    int64_t width_px, height_px; /* of the masks; 0 without any */
} tap_items;

typedef struct tap_dataset tap_dataset;

/* Opens images and annotations as spec says and lists the images, sorted by name; with
 * spec->sample_images, that many of them drawn by sample_seed (in sorted order again).
 * Errors: TAP_EIO; TAP_EINVAL for an unknown format or merge, with the nearest known. */
TAP_NODISCARD tap_status tap_dataset_open(tap_dataset **out, const tap_data_spec *spec,
                                          tap_error *err);
void tap_dataset_close(tap_dataset *dataset);

int64_t tap_dataset_count(const tap_dataset *dataset);
/* "2008_000008"; the photo's path, NULL when there is none. */
const char *tap_dataset_name(const tap_dataset *dataset, int64_t i);
const char *tap_dataset_photo(const tap_dataset *dataset, int64_t i);

/* The items of image i. TAP_EFORMAT when its annotation cannot be read: the message says
 * why, and a sweep may exclude the image with it. */
TAP_NODISCARD tap_status tap_dataset_read(tap_items *out, const tap_dataset *dataset,
                                          int64_t i, tap_error *err);
void tap_items_clear(tap_items *items);

/* Names of formats and of merge tables, for messages and documentation. */
const char *const *tap_dataset_formats(size_t *n);
const char *const *tap_dataset_merges(size_t *n);

/* For readers: appends an object or part; takes nothing over on failure. */
TAP_NODISCARD tap_status tap_items_put_object(tap_items *items, const char *id,
                                              const char *name, tap_mask *mask,
                                              tap_error *err);
TAP_NODISCARD tap_status tap_items_put_part(tap_items *items, int64_t object,
                                            const char *name, tap_mask *mask,
                                            tap_error *err);

/* Pascal-Part: raw objects and parts of one .mat file. */
TAP_NODISCARD tap_status tap_pascal_read(tap_items *out, const char *path,
                                         tap_error *err);

#endif

/* Annotated photographs: which parts of which objects are where.
 *
 * One reader per format turns an image's annotation into objects and parts with masks; names
 * are spelled out, the merges asked for are applied; each part becomes an item, excluded
 * ones too, with the reason. docs/data.md describes the formats. */
#ifndef TAP_LAB_DATASET_H
#define TAP_LAB_DATASET_H

#include "image/mask.h"
#include "lab/experiment.h"

/* One object of an image. */
typedef struct tap_object {
    char *id;      /* NULL where the format has no instances */
    char *name;    /* class, as in the file: "pottedplant" */
    char *label;   /* the word for it: "plant" */
    tap_mask mask; /* inside is NULL when all its parts are excluded */
    char *fault;   /* NULL, or why none of its parts is scored */
} tap_object;

/* One item: a part of an object. */
typedef struct tap_part {
    int64_t object; /* index in objects */
    char *name;     /* as in the file, or as a merge named it: "lear", "ear" */
    char *label;    /* the word that is looked for: "ear" */
    int64_t area_px;
    char *excluded; /* NULL, or why it is not scored */
    tap_mask mask;  /* inside may be NULL when excluded */
} tap_part;

/* Everything annotated in one image. n_annotated = n_parts + n_joined: nothing is lost. */
typedef struct tap_items {
    tap_object *objects;
    size_t n_objects, object_capacity;
    tap_part *parts;
    size_t n_parts, part_capacity;
    size_t n_annotated, n_joined; /* parts in the file; of these, joined into another */
    int64_t width_px, height_px;  /* of all masks: the photo's if there is one */
} tap_items;

typedef struct tap_dataset tap_dataset;

/* Told now and then how far the reading of a large file is. */
typedef struct tap_dataset_progress {
    void (*put)(void *owner, size_t done_bytes, size_t n_bytes);
    void *owner;
} tap_dataset_progress;

/* Opens images and annotations as spec says (borrowed) and lists the images, sorted by
 * name; with spec->sample_images, that many of them drawn by sample_seed (in sorted order
 * again). progress may be NULL.
 * Errors: TAP_EIO; TAP_EFORMAT with file and place; TAP_EINVAL for an unknown format or
 *         merge, with the nearest known.
 * Memory: of a COCO file, its mapping and about 50 bytes per annotation. */
TAP_NODISCARD tap_status tap_dataset_open(tap_dataset **out, const tap_data_spec *spec,
                                          const tap_dataset_progress *progress,
                                          tap_error *err);
void tap_dataset_close(tap_dataset *dataset);

int64_t tap_dataset_count(const tap_dataset *dataset);
/* "2008_000008"; the photo's path, NULL when there is none. */
const char *tap_dataset_name(const tap_dataset *dataset, int64_t i);
const char *tap_dataset_photo(const tap_dataset *dataset, int64_t i);

/* The items of image i. What is wrong with one part excludes that part; a mask must have
 * the photo's size. TAP_EFORMAT when the annotation cannot be read at all: the message says
 * why, and a sweep may exclude the image with it.   Threads: one call per data set. */
TAP_NODISCARD tap_status tap_dataset_read(tap_items *out, const tap_dataset *dataset,
                                          int64_t i, tap_error *err);
void tap_items_clear(tap_items *items);

#endif

/* COCO annotation files of any size: images, categories, and where each annotation stands.
 *
 * A file is mapped and walked once; of an annotation only its place is kept (24 bytes), it
 * is parsed again when its image is read. So a file of hundreds of MB costs its mapping and
 * a few percent. */
#ifndef TAP_LAB_COCO_FILE_H
#define TAP_LAB_COCO_FILE_H

#include "base/file.h"
#include "format/json.h"
#include "lab/dataset_reader.h"

typedef struct tap_coco_image {
    int64_t id;
    char *name;            /* file_name */
    int64_t width, height; /* px; 0 if the file does not tell */
    bool known;            /* false: only annotations mention it */
} tap_coco_image;

typedef struct tap_coco_category {
    int64_t id;
    char *name, *group; /* group: supercategory, "" without one */
} tap_coco_category;

/* Where an annotation stands in the text. */
typedef struct tap_coco_place {
    int64_t image_id;
    size_t at;
    uint32_t n_bytes, image; /* image: index */
} tap_coco_place;

typedef struct tap_coco_file {
    char *path;
    tap_mapping mapping;
    tap_coco_image *images; /* [n_images] by id */
    size_t n_images, image_capacity;
    tap_coco_category *categories; /* [n_categories] by id */
    size_t n_categories, category_capacity;
    tap_coco_place *places; /* [n_places] by image, those of an image in file order */
    size_t n_places, place_capacity;
    size_t *first; /* [n_images + 1] places of image i begin at first[i] */
} tap_coco_file;

/* Images that only annotations mention are added at the end, so that nothing is lost.
 * Errors: TAP_EIO; TAP_EFORMAT with the byte, or the item and key. */
TAP_NODISCARD tap_status tap_coco_open(tap_coco_file **out, const char *path,
                                       const tap_dataset_progress *progress,
                                       tap_error *err);
void tap_coco_close(tap_coco_file *file);

/* NULL if unknown. */
const tap_coco_category *tap_coco_find_category(const tap_coco_file *file, int64_t id);
/* *out = the annotation as an object (json_decref). */
TAP_NODISCARD tap_status tap_coco_annotation(json_t **out, const tap_coco_file *file,
                                             const tap_coco_place *place,
                                             tap_error *err);

/* A member that is a whole number; `absent` otherwise. */
int64_t tap_coco_int(const json_t *object, const char *key, int64_t absent);

/* The mask of a "segmentation": polygons, whose union it is, or run lengths, compressed or
 * not, which tell their size themselves. width and height are those of the image, for
 * polygons. TAP_EFORMAT in words that can stand as the reason of an exclusion. */
TAP_NODISCARD tap_status tap_coco_mask(tap_mask *out, const json_t *segmentation,
                                       int64_t width, int64_t height, tap_error *err);

#endif

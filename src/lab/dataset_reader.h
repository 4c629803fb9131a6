/* Inside the dataset room: what a reader of a format is, and how it hands over what it
 * finds. A new format is one file with a tap_reader and a line in dataset.c. */
#ifndef TAP_LAB_DATASET_READER_H
#define TAP_LAB_DATASET_READER_H

#include "lab/dataset.h"

/* Names of images in the order in which a reader found them. */
typedef struct tap_image_list {
    char **names;
    size_t n, capacity;
} tap_image_list;

TAP_NODISCARD tap_status tap_image_list_put(tap_image_list *list, const char *name,
                                            size_t n_bytes, tap_error *err);
/* Every file of a folder that ends so, without the ending; with deep also those of folders
 * in it, as "folder/name". Finding none is TAP_EINVAL. */
TAP_NODISCARD tap_status tap_image_list_folder(tap_image_list *list, const char *folder,
                                               const char *ending, bool deep,
                                               tap_error *err);

typedef struct tap_reader {
    const char *format;
    const char *names; /* shipped names table; NULL: names are readable as they stand */
    bool file_names;   /* image names are file names of photos, endings included */
    /* Opens the annotations and lists the images. */
    tap_status (*open)(void **reader, tap_image_list *images, const tap_data_spec *spec,
                       const tap_dataset_progress *progress, tap_error *err);
    /* Objects and parts of image i of the list. items->width_px and height_px hold the
     * photo's size, or 0. */
    tap_status (*read)(tap_items *items, const void *reader, size_t i, const char *name,
                       tap_error *err);
    void (*close)(void *reader);
} tap_reader;

extern const tap_reader tap_reader_pascal, tap_reader_masks, tap_reader_coco,
    tap_reader_partimagenet, tap_reader_paco, tap_reader_ade, tap_reader_cihp,
    tap_reader_panoptic;

/* Appends an object; takes the mask over. mask may be NULL: it is then the union of its
 * parts. A mask of a wrong size becomes the object's fault. */
TAP_NODISCARD tap_status tap_items_put_object(tap_items *items, const char *id,
                                              const char *name, tap_mask *mask,
                                              tap_error *err);
/* Gives an object its mask, or adds to it. */
TAP_NODISCARD tap_status tap_items_put_object_mask(tap_items *items, int64_t object,
                                                   tap_mask *mask, tap_error *err);
/* Appends a part; takes the mask over. mask may be NULL with a reason in `excluded`, which
 * is NULL for a part that is good so far. */
TAP_NODISCARD tap_status tap_items_put_part(tap_items *items, int64_t object,
                                            const char *name, tap_mask *mask,
                                            const char *excluded, tap_error *err);
/* *object = the first object of that id (both may be NULL) and name, added without a mask
 * when there is none. */
TAP_NODISCARD tap_status tap_items_need_object(int64_t *object, tap_items *items,
                                               const char *id, const char *name,
                                               tap_error *err);

/* Replaces a text that was allocated. */
TAP_NODISCARD tap_status tap_text_set(char **text, const char *value, tap_error *err);

/* Excludes the parts of objects with a fault, joins the parts of an object that have one
 * name, and gives objects without a mask the union of their parts. */
TAP_NODISCARD tap_status tap_items_finish(tap_items *items, bool join, tap_error *err);

#endif

/* People's own data: a table of image, mask, object and part. */
#ifndef TAP_LAB_DATASET_MASKS_H
#define TAP_LAB_DATASET_MASKS_H

#include "lab/dataset.h"

/* A tab-separated table with a heading line. Columns, in any order:
 *   image      file name of the photo, in the folder of images
 *   mask       8-bit PNG (grey or palette), relative to the table's folder
 *   value      optional: sample value that is inside; else everything but 0
 *   object     class name          object_id  optional: tells objects of a class apart
 *   part       part name; empty: this mask is the object's own
 *   label      optional: the word that is looked for; else the part's name
 * An object without a mask of its own is the union of its parts. */
typedef struct tap_mask_table tap_mask_table;

TAP_NODISCARD tap_status tap_mask_table_open(tap_mask_table **out, const char *path,
                                             tap_error *err);
void tap_mask_table_close(tap_mask_table *table);

/* Distinct images in the order of the table. */
size_t tap_mask_table_count(const tap_mask_table *table);
const char *tap_mask_table_image(const tap_mask_table *table, size_t i);
/* Objects and parts of an image of that name. */
TAP_NODISCARD tap_status tap_mask_table_read(tap_items *out,
                                             const tap_mask_table *table,
                                             const char *image, tap_error *err);

#endif

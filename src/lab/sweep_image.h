/* One image of a sweep, from file to plans: everything that is known before compute. */
#ifndef TAP_LAB_SWEEP_IMAGE_H
#define TAP_LAB_SWEEP_IMAGE_H

#include "hook/plan.h"
#include "lab/dataset.h"
#include "lab/label.h"
#include "read/scene.h"

/* One item of the image, scored or not. */
typedef struct tap_sweep_item {
    const tap_part *part; /* borrowed from items */
    const char *object, *object_id;
    char *excluded;   /* NULL: scored */
    int32_t *patches; /* [n_patches] places among the image tokens, ascending */
    float *coverage;  /* [n_patches] */
    int64_t n_patches;
    double
        raster_frac;   /* mean place of the patches in reading order; NaN without any */
    int64_t label;     /* index of its label in the sweep's labels */
    int64_t *variants; /* [n_conditions] which plan of the image each condition is */
} tap_sweep_item;

typedef struct tap_sweep_image {
    int64_t id;     /* place in the experiment's order */
    char *excluded; /* NULL, or why nothing of it is scored */
    char sha256[TAP_SHA256_TEXT_BYTES];
    tap_scene scene;     /* open unless excluded */
    tap_image thumbnail; /* empty when none is wanted */
    tap_items annotation;
    tap_sweep_item *items; /* [n_items] */
    int64_t n_items, n_scored;
    tap_plan **plans; /* [n_plans], distinct in effect; plan 0 exists if n_scored > 0 */
    int64_t n_plans;
    int64_t *read_rows; /* [n_read] image tokens that some item reads, ascending */
    int64_t n_read;
    int64_t *row_of; /* [n_image] index in read_rows, -1: not read */
} tap_sweep_image;

/* What preparing needs; borrowed. */
typedef struct tap_sweep_setup {
    const tap_experiment *experiment;
    const tap_model *model;
    const tap_dataset *dataset;
    tap_labels *labels;               /* grows with new words */
    tap_condition *const *conditions; /* [n_conditions] parsed */
    int64_t n_conditions;
} tap_sweep_setup;

/* Image i of the data set. A photo or annotation that cannot be read excludes the image
 * with the reason; errors are those of memory and of conditions. */
TAP_NODISCARD tap_status tap_sweep_prepare(tap_sweep_image *out,
                                           const tap_sweep_setup *setup, int64_t i,
                                           tap_error *err);
void tap_sweep_image_clear(tap_sweep_image *image);

#endif

/* One image of a sweep, from file to plans: everything that is known before compute. */
#ifndef TAP_LAB_SWEEP_IMAGE_H
#define TAP_LAB_SWEEP_IMAGE_H

#include "hook/plan.h"
#include "image/outline.h"
#include "lab/candidate.h"
#include "lab/dataset.h"
#include "read/pictures.h"

/* What goes through the model for an image: its photo, and what controls put in its place.
 * All are read with the same sequence of tokens. */
typedef enum tap_sweep_source {
    TAP_SOURCE_PHOTO,
    TAP_SOURCE_BLANK, /* one colour */
    TAP_SOURCE_OTHER, /* another photo */
    TAP_SOURCE_WORDS, /* words for image tokens */
    TAP_N_SOURCES
} tap_sweep_source;

/* What a control of an item reads. */
typedef struct tap_sweep_set {
    tap_control control;
    int32_t seed;
    int32_t *patches; /* [n_patches] ascending; NULL: there is no such control */
    int64_t n_patches;
    int64_t label; /* index in the sweep's labels */
    tap_sweep_source source;
    char *other;    /* what it is taken from; NULL: nothing to name */
    char *excluded; /* NULL, or why the item has none */
} tap_sweep_set;

/* Another part of an item's object, and patches of it. */
typedef struct tap_sweep_other {
    int64_t part; /* index in the annotation; -1: none */
    int32_t
        *patches[TAP_N_STACKS]; /* ascending; of the encoder, among the image tokens */
    int64_t n_patches[TAP_N_STACKS];
} tap_sweep_other;

#define TAP_NO_OTHER_PART "the object has no other part with patches of its own"

/* One item of the image, scored or not. */
typedef struct tap_sweep_item {
    const tap_part *part; /* borrowed from items */
    const char *object, *object_id;
    char *excluded;   /* NULL: scored */
    int32_t *patches; /* [n_patches] places among the image tokens, ascending */
    float *coverage;  /* [n_patches] */
    int64_t n_patches;
    tap_outline outline;
    double
        raster_frac; /* mean place of the patches in reading order; NaN without any */
    int64_t label;   /* index of its label in the sweep's labels */
    const tap_candidate_set *candidates; /* NULL: the vocabulary */
    int64_t *variants; /* [n_conditions] which plan of the image each condition is */
    tap_sweep_other other; /* where a control or a condition names it */
    tap_sweep_set *sets;   /* [n_sets] its controls */
    size_t n_sets, set_capacity;
} tap_sweep_item;

/* Image tokens that are read. */
typedef struct tap_sweep_rows {
    int64_t *tokens; /* [n] places in the sequence, ascending */
    int64_t n;
    int64_t *row_of; /* [n_image] index in tokens of an image token, -1: not read */
} tap_sweep_rows;

typedef struct tap_sweep_image {
    int64_t id;     /* place in the experiment's order */
    char *excluded; /* NULL, or why nothing of it is scored */
    char sha256[TAP_SHA256_TEXT_BYTES];
    tap_scene scene;       /* open unless excluded */
    tap_image thumbnail;   /* empty when none is wanted */
    tap_items annotation;  /* its masks are released once they are no longer needed */
    tap_sweep_item *items; /* [n_items] */
    int64_t n_items, n_scored;
    tap_plan **plans; /* [n_plans], distinct in effect; plan 0 exists if n_scored > 0 */
    int64_t n_plans;
    tap_pictures *pictures; /* that plans take states from */

    struct {
        bool present;
        tap_pixels pixels;     /* unless of words; the photo's are the scene's */
        tap_sequence sequence; /* of words alone */
    } sources[TAP_N_SOURCES];

    /* The one list of rows of the photo that items and controls rank, and of those of other
     * sources: the items' own patches. */
    tap_sweep_rows rows, own_rows;
} tap_sweep_image;

/* What preparing needs; borrowed. */
typedef struct tap_sweep_setup {
    const tap_experiment *experiment;
    const tap_model *model;
    const tap_dataset *dataset;
    tap_labels *labels;               /* grows with new words */
    tap_condition *const *conditions; /* [n_conditions] parsed */
    int64_t n_conditions;
    const tap_kernels *kernels;
    int n_threads;
    bool plan_only;                 /* nothing is run that only states need */
    const tap_survey *survey;       /* of the data; NULL when nothing needs it */
    const tap_candidate_sets *sets; /* empty: labels are ranked in the vocabulary */
    bool items_only; /* which items are scored, from annotations alone: no pixels, no
                        plans, no controls */
} tap_sweep_setup;

/* Whether controls or candidates are drawn from the whole data. */
bool tap_sweep_needs_survey(const tap_experiment *experiment);

/* Whether a plan leaves the encoder as it is. */
bool tap_sweep_plan_is_lm_only(const tap_plan *plan);

/* Image i of the data set. A photo or annotation that cannot be read excludes the image
 * with the reason; errors are those of memory and of conditions. */
TAP_NODISCARD tap_status tap_sweep_prepare(tap_sweep_image *out,
                                           const tap_sweep_setup *setup, int64_t i,
                                           tap_error *err);
/* The rows that are read of a source. */
const tap_sweep_rows *tap_sweep_rows_of(const tap_sweep_image *image,
                                        tap_sweep_source source);
void tap_sweep_image_clear(tap_sweep_image *image);

#endif

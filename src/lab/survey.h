/* What is annotated in all images: which labels and object classes occur, and where. Controls
 * that draw from the whole data need it; it is the same for every shard of a run. */
#ifndef TAP_LAB_SURVEY_H
#define TAP_LAB_SURVEY_H

#include "lab/dataset.h"
#include "lab/label.h"

/* One kind of part: its object class and its label. */
typedef struct tap_survey_kind {
    char *object, *label;
    int32_t class; /* of the object: a number each */
} tap_survey_kind;

/* One item of the data. */
typedef struct tap_survey_item {
    int32_t kind;
    bool is_open;     /* its image has a photo and the data set does not exclude it */
    bool is_scored;   /* set by whoever knows */
    int32_t given[2]; /* label by permutation in its class, in all; -1: none */
} tap_survey_item;

typedef struct tap_survey {
    tap_survey_kind *kinds; /* [n_kinds] in the order in which they were met */
    size_t n_kinds, kind_capacity;
    tap_survey_item *items; /* [n_items] image by image, in their order */
    size_t n_items, item_capacity;
    int64_t *first; /* [n_images + 1] where the items of an image begin */
    int64_t n_images;
    int32_t n_classes;
} tap_survey;

/* Reads every annotation once; one that cannot be read has no items.
 * Errors: TAP_ENOMEM.   tap_survey_clear it. */
TAP_NODISCARD tap_status tap_survey_read(tap_survey *out, const tap_dataset *dataset,
                                         tap_error *err);
void tap_survey_clear(tap_survey *survey);

/* Permutes the labels of all scored items, once among the items of
 * each object class (given[0]) and once among all (given[1]): every label is handed out as
 * often as items have it. No item gets its own label. Where more than half of the items share
 * a label this cannot be: as few of these as possible, drawn by chance, get none, and the
 * rest is a permutation still.
 *
 * A shuffle of Fisher and Yates, in which each item left with its own label swaps with the
 * first after a random place where both then have another's. Depends on the data alone.
 *
 * Errors: TAP_ENOMEM; those of tap_labels_find. */
TAP_NODISCARD tap_status tap_survey_permute(tap_survey *survey, tap_labels *labels,
                                            tap_error *err);

/* The nearest image after i, the first following the last, that has a photo and none of the
 * object classes of image i; -1 if there is none. */
int64_t tap_survey_mismatch(const tap_survey *survey, const tap_dataset *dataset,
                            int64_t i);

#endif

/* What is annotated in all images: which labels and object classes occur, and where. Controls
 * that draw from the whole data need it; it is the same for every shard of a run. */
#ifndef TAP_LAB_SURVEY_H
#define TAP_LAB_SURVEY_H

#include "lab/dataset.h"

/* One kind of part: its object class, its label, how many items have it. */
typedef struct tap_survey_kind {
    char *object, *label;
    int64_t n_items; /* not excluded by the data set */
} tap_survey_kind;

typedef struct tap_survey {
    tap_survey_kind *kinds; /* [n_kinds] in the order in which they were met */
    size_t n_kinds, capacity;
    uint64_t **kinds_of; /* [n_images] bit set over kinds; bits beyond its end are 0 */
    size_t *n_words;     /* [n_images] words of each of these sets */
    int64_t n_images;
} tap_survey;

/* Reads every annotation once; one that cannot be read has no kinds.
 * Errors: TAP_ENOMEM.   tap_survey_clear it. */
TAP_NODISCARD tap_status tap_survey_read(tap_survey *out, const tap_dataset *dataset,
                                         tap_error *err);
void tap_survey_clear(tap_survey *survey);

/* The nearest image after i, the first following the last, that has a photo and none of the
 * object classes of image i; -1 if there is none. */
int64_t tap_survey_mismatch(const tap_survey *survey, const tap_dataset *dataset,
                            int64_t i);

#endif

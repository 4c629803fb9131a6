/* Which names is a part's name ranked among? Closed sets of candidates: the part names of all
 * data, or those of the item's own object class.
 *
 * A name is in a set when some part that is open to scoring has it (its image has a photo, the
 * data set does not exclude it) and the model can score it. */
#ifndef TAP_LAB_CANDIDATE_H
#define TAP_LAB_CANDIDATE_H

#include "lab/store.h"
#include "lab/survey.h"

/* One set of names. */
typedef struct tap_candidate_set {
    const char *object; /* the class whose parts have the names; NULL: any */
    int64_t *labels;    /* [n] indices in the sweep's labels, distinct */
    int64_t n;
} tap_candidate_set;

typedef struct tap_candidate_sets {
    tap_candidate_set *sets; /* [n] one for all, or one for each object class */
    size_t n, capacity;
    int64_t most;               /* names of the largest set */
    tap_store_candidate *names; /* [n_names] by object class, then label */
    size_t n_names;
    char sha256[TAP_SHA256_TEXT_BYTES]; /* of all names; empty for the vocabulary */
} tap_candidate_sets;

/* Sets of all names (parts) or by class (own_parts); none for the vocabulary. Finds every
 * name of the data among the labels. The survey is borrowed.
 * Errors: TAP_ENOMEM.   tap_candidate_sets_clear them. */
TAP_NODISCARD tap_status tap_candidate_sets_make(tap_candidate_sets *out,
                                                 tap_labels *labels,
                                                 const tap_survey *survey,
                                                 tap_candidates which, tap_error *err);
void tap_candidate_sets_clear(tap_candidate_sets *sets);

/* The set for parts of an object class; NULL if there is none. */
const tap_candidate_set *tap_candidate_sets_find(const tap_candidate_sets *sets,
                                                 const char *object);

#endif

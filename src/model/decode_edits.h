/* State edits of generated rows.
 *
 * An edit works on a row when the row is made. What it reads of the prompt is kept while the
 * prompt runs, and the edit becomes a patch with these rows; what it would read of generated
 * rows is not there yet, and such an edit is refused by name. */
#ifndef TAP_MODEL_DECODE_EDITS_H
#define TAP_MODEL_DECODE_EDITS_H

#include "model/run.h"

/* The plan of rows that are generated: the edges of the whole, edits of its own. */
typedef struct tap_row_plan {
    tap_plan plan;
    bool edits;            /* some edit names generated rows */
    tap_later_rows *later; /* [n_later] to be filled by the prompt's run */
    size_t n_later, later_capacity;
    void **owned;
    size_t n_owned, capacity;
} tap_row_plan;

/* plan: not NULL, borrowed until tap_row_plan_clear. n_prompt: rows before the first
 * generated one. condition: of the prompt's run.
 * Errors: TAP_EUNSUPPORTED naming the edit, the site and what to write instead. */
TAP_NODISCARD tap_status tap_row_plan_open(tap_row_plan *out, const tap_plan *plan,
                                           int64_t n_prompt, int32_t condition,
                                           tap_error *err);
void tap_row_plan_clear(tap_row_plan *plan);

#endif

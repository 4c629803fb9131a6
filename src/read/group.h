/* Which tokens are the part, the object, the text? Masks and roles become named sets on the
 * vision grid and on the decoder's sequence. */
#ifndef TAP_READ_GROUP_H
#define TAP_READ_GROUP_H

#include "read/scene.h"

/* Coverages are per patch of the vision grid, [n_patches]; NULL: no such mask. */
typedef struct tap_group_input {
    const tap_scene *scene;
    const float *part, *object, *other_part;
    double
        threshold; /* a patch belongs when covered by at least this share (above 0) */
} tap_group_input;

/* Sets of the vision stack: all image cls thumb; of the decoder: all image bos prefix question
 * last row_end pad thumb; of both with a part mask: part outside; with an object mask:
 * object background. A mask that reaches no patch by the threshold takes the one it covers
 * most. tap_groups_clear releases everything. */
TAP_NODISCARD tap_status tap_group_compile(tap_groups *out,
                                           const tap_group_input *input,
                                           tap_error *err);
void tap_groups_clear(tap_groups *groups);

/* The members of a group; NULL if the stack does not have it. */
const uint64_t *tap_groups_find(const tap_groups *groups, tap_stack stack,
                                const char *name);

#endif

/* Which tokens are the part, the object, the text? Masks and roles become named sets on the
 * vision grid and on the decoder's sequence. */
#ifndef TAP_READ_GROUP_H
#define TAP_READ_GROUP_H

#include "read/scene.h"

/* High-norm tokens of a clean run of one image: the patches whose norm lies above mean + 2
 * standard deviations of all patches. Vision: norms of the state that is read; decoder:
 * norms of what enters it. members [n_words] over the tokens of each stack. */
typedef struct tap_reg {
    uint64_t *members[TAP_N_STACKS];
} tap_reg;

/* Runs the encoder and the projector once, without any condition.
 * Threads: n_threads of its own; 0: all processors. */
TAP_NODISCARD tap_status tap_reg_find(tap_reg *out, const tap_scene *scene,
                                      int n_threads, tap_error *err);
void tap_reg_clear(tap_reg *reg);

/* Coverages are per patch of the vision grid, [n_patches]; NULL: no such mask. */
typedef struct tap_group_input {
    const tap_scene *scene;
    const float *part, *object, *other_part;
    /* in place of the mask other_part: [n_other_places] its patches of the encoder, its image
     * tokens, counted in order, ascending; none: the group is absent */
    const int32_t *other_places[TAP_N_STACKS];
    int64_t n_other_places[TAP_N_STACKS];
    double
        threshold; /* a patch belongs when covered by at least this share (above 0) */
    const tap_reg *reg;             /* NULL: no group `reg` */
    const tap_group_scorer *scorer; /* NULL: no group intgrad(...) */
} tap_group_input;

/* Sets of the vision stack: all image cls row_last thumb; of the decoder: all image bos
 * prefix question last gen row_last row_end pad thumb, and the text of its tokens; of both
 * with a part mask: part outside; with an object mask: object background; with reg: reg.
 * The key is a hash of the pixels. A mask that reaches no patch by the threshold takes the
 * one it covers most. tap_groups_clear releases everything. */
TAP_NODISCARD tap_status tap_group_compile(tap_groups *out,
                                           const tap_group_input *input,
                                           tap_error *err);
void tap_groups_clear(tap_groups *groups);

/* The members of a group; NULL if the stack does not have it. */
const uint64_t *tap_groups_find(const tap_groups *groups, tap_stack stack,
                                const char *name);

#endif

/* What the files that compile a plan share. */
#ifndef TAP_HOOK_PLAN_OWN_H
#define TAP_HOOK_PLAN_OWN_H

#include "hook/condition.h"

enum { TAP_PLAN_ATOMS = TAP_PLAN_EDITS, TAP_PLAN_BLOCKS = 1024, TAP_PLAN_HEADS = 256 };

/* Purposes of random numbers under one seed: the last word of the counter. */
enum {
    TAP_DRAW_GROUP = 1,
    TAP_DRAW_EDGE,
    TAP_DRAW_PERMUTE,
    TAP_DRAW_NOISE,
    TAP_DRAW_SCRAMBLE
};

/* The plan as handed out, and what it owns. */
typedef struct tap_owned_plan {
    tap_plan plan; /* first: the public pointer is this one */
    void **owned;
    size_t n_owned, capacity;
} tap_owned_plan;

/* One atom over one stack's tokens, ready. */
typedef struct tap_ready_atom {
    const tap_atom *atom;
    uint64_t *queries, *keys; /* [n_words]; keys NULL for an edit that reads no group */
    bool blocks[TAP_PLAN_BLOCKS], heads[TAP_PLAN_HEADS];
} tap_ready_atom;

typedef struct tap_compiler {
    const tap_condition *condition;
    const tap_groups *groups;
    const tap_plan_sizes *sizes;
    tap_owned_plan *out;
    tap_ready_atom *atoms; /* [n_atoms] */
    tap_error *err;
} tap_compiler;

/* Memory of the plan: zeroed, freed with it. */
TAP_NODISCARD tap_status tap_plan_own(tap_compiler *c, void *out, size_t n,
                                      size_t bytes);

/* The text an atom stands in, for "condition '%.200s', column %d: ...". */
const char *tap_atom_text(const tap_compiler *c, const tap_atom *atom);

/* "condition 'TEXT', column C: ..." */
tap_status tap_plan_refuse(const tap_compiler *c, const tap_atom *atom, int column,
                           const char *format, ...) TAP_FORMAT(4, 5);

/* The token set that an atom's groups are about: the projector's own sites stand on the
 * decoder's image tokens, its features on the vision grid. */
const tap_group_set *tap_atom_set(const tap_compiler *c, const tap_atom *atom);

/* plan_group.c: members of a group expression, out [n_words]. as_query: `last` holds the
 * generated tokens too, each of which is the last at its time. */
TAP_NODISCARD tap_status tap_plan_group(uint64_t *out, tap_compiler *c,
                                        const tap_atom *atom, int32_t node,
                                        bool as_query);

/* Chebyshev distance on the grid; -1 where one of them has no place there, or one is
 * of the thumbnail and the other is not. */
int64_t tap_token_distance(const tap_token *a, const tap_token *b);

/* plan_edges.c: the edges of one block, on which the atoms with acts[] set act. */
TAP_NODISCARD tap_status tap_plan_edges(tap_block_plan *out, tap_compiler *c,
                                        tap_stack stack, int block, const bool *acts);

/* plan_edit.c: all edits of the plan. */
TAP_NODISCARD tap_status tap_plan_edits(tap_compiler *c);

#endif

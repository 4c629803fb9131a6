/* Condition text becomes, per stack and block, the edges to cut and the states to edit.
 *
 * Text is parsed without knowing any model (tap_condition); compiled against the sizes of a
 * model and the groups of one image (tap_plan) before any arithmetic. The grammar stands in
 * docs/conditions.md. */
#ifndef TAP_HOOK_PLAN_H
#define TAP_HOOK_PLAN_H

#include "hook/groups.h"
#include "tensor/kernels.h"

typedef struct tap_condition tap_condition; /* parsed text */

/* Parses condition text ("" is the clean condition), named conditions expanded. The message
 * of an error names the word, its place (1-based column) and the nearest valid word. */
TAP_NODISCARD tap_status tap_condition_parse(tap_condition **out, const char *text,
                                             tap_error *err);
void tap_condition_free(tap_condition *condition);
/* *text = the canonical spelling (tap_free): parses to the same condition again. */
TAP_NODISCARD tap_status tap_condition_print(char **text,
                                             const tap_condition *condition,
                                             tap_error *err);

/* Sizes that a plan is compiled against. */
typedef struct tap_plan_sizes {
    int n_blocks[TAP_N_STACKS]; /* blocks that exist (vision: also those not read) */
    int n_heads[TAP_N_STACKS];
    bool causal[TAP_N_STACKS];
} tap_plan_sizes;

typedef struct tap_edit tap_edit; /* hook/edit.h */

typedef struct tap_block_plan {
    uint64_t hash; /* 0: nothing happens in this block; equal effect = equal hash */
    const tap_edges *edges; /* NULL: none */
    const tap_edit *edits;  /* [n_edits] */
    int n_edits;
} tap_block_plan;

typedef struct tap_plan {
    tap_block_plan *blocks[TAP_N_STACKS]; /* [n_blocks] each */
    int n_blocks[TAP_N_STACKS];
} tap_plan;

/* Compiles for one image. Checks every block, head and group name and that no query row is
 * left without a key unless the condition declares what then happens. */
TAP_NODISCARD tap_status tap_plan_compile(tap_plan **out,
                                          const tap_condition *condition,
                                          const tap_groups *groups,
                                          const tap_plan_sizes *sizes, tap_error *err);
void tap_plan_free(tap_plan *plan);

#endif

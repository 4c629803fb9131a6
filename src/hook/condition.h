/* What a condition's text says, before any model is known.
 *
 *   condition := atom { ";" atom }          a named condition may stand for atoms
 *   atom      := stack [ "[" blocks "]" ] [ ".h" "[" list "]" ] ":" group "<-" group
 *                [ mode ] { modifier }
 *
 * The public side (parse, print, free) stands in hook/plan.h; this is the tree that the
 * plan is compiled from. */
#ifndef TAP_HOOK_CONDITION_H
#define TAP_HOOK_CONDITION_H

#include "hook/plan.h"

/* A node of a group expression. */
typedef enum tap_group_op {
    TAP_GROUP_NAME,
    TAP_GROUP_NOT, /* left */
    TAP_GROUP_AND, /* left, right */
    TAP_GROUP_OR,
    TAP_GROUP_MINUS
} tap_group_op;

typedef struct tap_group_node {
    tap_group_op op;
    int32_t left, right; /* nodes of the same condition; -1: none */
    int32_t name;        /* index in tap_group_names */
} tap_group_node;

/* Blocks or heads: ranges with the ends as written; -1 stands for an open or last end. */
typedef enum tap_range_kind {
    TAP_RANGE_PLAIN,  /* first .. last; last -1: to the end */
    TAP_RANGE_LAST,   /* the last block */
    TAP_RANGE_WINDOW, /* first = l, last = W: max(0, l - W/2) .. min(n, l + ceil(W/2)) */
    TAP_RANGE_PREFIX, /* the first `first` blocks */
    TAP_RANGE_SUFFIX  /* the last `first` blocks */
} tap_range_kind;

typedef struct tap_range {
    tap_range_kind kind;
    int32_t first, last;
} tap_range;

typedef enum tap_mode {
    TAP_MODE_KNOCKOUT,
    TAP_MODE_SCALE,
    TAP_MODE_ZERO,
    TAP_MODE_UNIFORM
} tap_mode;

typedef enum tap_empty_rule {
    TAP_EMPTY_ERROR,
    TAP_EMPTY_SELF,
    TAP_EMPTY_ZERO
} tap_empty_rule;

enum { TAP_MAX_RANGES = 64 };

typedef struct tap_atom {
    tap_stack stack;
    tap_range blocks[TAP_MAX_RANGES], heads[TAP_MAX_RANGES];
    int n_blocks, n_heads; /* ranges; 0: all */
    int32_t queries, keys; /* nodes */
    tap_mode mode;
    double scale;
    bool drop_self;
    tap_empty_rule empty;
    int column; /* 1-based place in the text, for messages */
} tap_atom;

struct tap_condition {
    tap_atom *atoms; /* [n_atoms] */
    size_t n_atoms, atom_capacity;
    tap_group_node *nodes; /* [n_nodes] */
    size_t n_nodes, node_capacity;
};

/* All group names that a condition may use. */
extern const char *const tap_group_names[];
extern const size_t tap_n_group_names;

/* A condition that has a name. */
typedef struct tap_preset {
    const char *name, *text, *question, *source;
} tap_preset;

const tap_preset *tap_presets(size_t *n);

#endif

/* What a condition's text says, before any model is known.
 *
 *   condition := atom { ";" atom }          a named condition may stand for atoms
 *   atom      := stack [ "[" blocks "]" ] [ ".h" "[" list "]" ] ":" action
 *   action    := group "<-" group [ mode ] { modifier }  |  edit group [ "at" site ]
 *
 * The public side (parse, print, free) stands in hook/plan.h; this is the tree that the
 * plan is compiled from. docs/conditions.md has the whole grammar. */
#ifndef TAP_HOOK_CONDITION_H
#define TAP_HOOK_CONDITION_H

#include "base/memory.h"
#include "hook/edit.h"
#include "hook/plan.h"
#include "hook/preset.h"
#include "hook/site.h"

/* A node of a group expression. left -1 of RING and SHIFT stands for the part. */
typedef enum tap_group_op {
    TAP_GROUP_NAME,
    TAP_GROUP_NOT, /* left */
    TAP_GROUP_AND, /* left, right */
    TAP_GROUP_OR,
    TAP_GROUP_MINUS,
    TAP_GROUP_RING,   /* tokens at Chebyshev distance 1 .. a from left */
    TAP_GROUP_DILATE, /* left and its ring(a) */
    TAP_GROUP_ERODE,  /* left without what lies within a of the other patches */
    TAP_GROUP_SHIFT,  /* left moved a columns right and b rows down */
    TAP_GROUP_RANDOM, /* a image tokens, or as many outside left as left has; seed b */
    TAP_GROUP_TILE,   /* tokens of tile a */
    TAP_GROUP_SPAN,   /* tokens of the text at strings + text */
    TAP_GROUP_INTGRAD /* the a image tokens that the word at strings + text depends on */
} tap_group_op;

typedef struct tap_group_node {
    tap_group_op op;
    int32_t left, right; /* nodes of the same condition; -1: none */
    int32_t name;        /* index in tap_group_names */
    int64_t a, b;
    size_t text;
    int column; /* 1-based place in the text, for messages */
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
    int column;
} tap_range;

typedef enum tap_mode {
    TAP_MODE_KNOCKOUT,
    TAP_MODE_SCALE,
    TAP_MODE_ZERO,
    TAP_MODE_UNIFORM,
    TAP_MODE_FREEZE,
    TAP_N_MODES
} tap_mode;

typedef enum tap_empty_rule {
    TAP_EMPTY_ERROR,
    TAP_EMPTY_SELF,
    TAP_EMPTY_ZERO
} tap_empty_rule;

typedef enum tap_phase {
    TAP_PHASE_BOTH,
    TAP_PHASE_PREFILL,
    TAP_PHASE_DECODE
} tap_phase;

enum { TAP_MAX_RANGES = 64 };

typedef struct tap_atom {
    tap_stack stack; /* TAP_VISION for the projector too */
    bool projector;
    tap_range blocks[TAP_MAX_RANGES], heads[TAP_MAX_RANGES];
    int n_blocks, n_heads; /* ranges; 0: all */
    int32_t queries,
        keys; /* nodes; of an edit: its tokens, and the group it reads or -1 */
    /* cut edges */
    tap_mode mode;
    double scale;
    bool drop_self;
    double fraction; /* 1: all */
    int64_t seed;    /* of fraction, noise, permute, scramble */
    int64_t beyond;  /* -1: at any distance */
    tap_empty_rule empty;
    tap_phase phase;
    /* state edit */
    tap_edit_kind edit; /* TAP_EDIT_NONE: this atom is about edges */
    tap_site site;
    bool site_named; /* else the default: z with heads, resid_pre with blocks, ... */
    double weight;   /* sd of noise; w */
    bool positive;   /* project_out: only rows with a positive projection */
    bool instead;    /* noise: in place of the row, not added to it */
    bool from_file;  /* patch: text is a trace file, else a condition of the batch, */
    bool from_image; /* or a picture */
    size_t text;     /* file or run, at strings + text */
    int column, heads_column; /* 1-based place in the text, for messages */
    size_t source;            /* the text, at strings + source */
} tap_atom;

struct tap_condition {
    tap_atom *atoms; /* [n_atoms] */
    size_t n_atoms, atom_capacity;
    tap_group_node *nodes; /* [n_nodes] */
    size_t n_nodes, node_capacity;
    tap_buffer strings; /* texts, each ending in NUL */
};

/* All group names that a condition may use. */
extern const char *const tap_group_names[];
extern const size_t tap_n_group_names;

#endif

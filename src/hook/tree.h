/* What conditions share: which states of a batch are the same state.
 *
 * A lane is one (image, condition) pair. Lanes that enter a stack with the same root and
 * whose plans have agreed so far share one node per depth; a node is computed once. Lanes
 * part for good in the first block in which their plans differ. */
#ifndef TAP_HOOK_TREE_H
#define TAP_HOOK_TREE_H

#include "base/error.h"

/* One state at one depth. */
typedef struct tap_node {
    int64_t parent;              /* node one depth up; -1 at depth 0 */
    int64_t first_lane, n_lanes; /* its lanes, in lanes[] of its level */
} tap_node;

/* All states at one depth. Children of one node stand side by side. */
typedef struct tap_level {
    int64_t n_nodes;
    tap_node *nodes;  /* [n_nodes] */
    int64_t *lanes;   /* [n_lanes], grouped by node */
    int64_t *node_of; /* [n_lanes] */
} tap_level;

typedef struct tap_tree {
    int64_t n_lanes;
    int n_blocks;
    tap_level *levels; /* [n_blocks + 1] */
} tap_tree;

/* roots [n_lanes]: equal = the lanes enter block 0 with the same state. hashes
 * [n_lanes][n_blocks]: equal = the block does the same to both.
 * Memory: O(n_lanes * n_blocks).  Threads: safe.  Checked: test_tree.c. */
TAP_NODISCARD tap_status tap_tree_compile(tap_tree **out, int64_t n_lanes,
                                          const uint64_t *roots, int n_blocks,
                                          const uint64_t *hashes, tap_error *err);
void tap_tree_free(tap_tree *tree);

#endif

#include "hook/tree.h"

#include "base/memory.h"

#include <assert.h>

static tap_status alloc_level(tap_level *level, int64_t n_lanes, tap_error *err)
{
    const size_t n = (size_t)n_lanes;
    TAP_TRY(tap_alloc(&level->nodes, n, sizeof *level->nodes, "a tree", err));
    TAP_TRY(tap_alloc(&level->lanes, n, sizeof *level->lanes, "a tree", err));
    return tap_alloc(&level->node_of, n, sizeof *level->node_of, "a tree", err);
}

/* Splits lanes[0..n_lanes) into nodes of equal key, in order of first appearance, and
 * appends them to the level. key of lane l is keys[l * stride]. */
static void split(tap_level *level, int64_t parent, const int64_t *lanes,
                  int64_t n_lanes, const uint64_t *keys, int64_t stride,
                  int64_t *filled)
{
    const int64_t first_node = level->n_nodes;
    for (int64_t i = 0; i < n_lanes; i++)
        level->node_of[lanes[i]] = -1;
    for (int64_t i = 0; i < n_lanes; i++) {
        if (level->node_of[lanes[i]] >= first_node)
            continue; /* already in a node of this call */
        const int64_t node = level->n_nodes++;
        level->nodes[node] = (tap_node){.parent = parent, .first_lane = *filled};
        for (int64_t j = i; j < n_lanes; j++) {
            if (level->node_of[lanes[j]] >= first_node ||
                keys[lanes[j] * stride] != keys[lanes[i] * stride])
                continue;
            level->node_of[lanes[j]] = node;
            level->lanes[(*filled)++] = lanes[j];
            level->nodes[node].n_lanes++;
        }
    }
}

tap_status tap_tree_compile(tap_tree **out, int64_t n_lanes, const uint64_t *roots,
                            int n_blocks, const uint64_t *hashes, tap_error *err)
{
    assert(n_lanes >= 0 && n_blocks >= 0);
    tap_tree *tree = NULL;
    int64_t *all = NULL;
    tap_status status = tap_alloc(&tree, 1, sizeof *tree, "a tree", err);
    if (status != TAP_OK)
        return status;
    tree->n_lanes = n_lanes;
    tree->n_blocks = n_blocks;
    TAP_TRY_OUT(tap_alloc(&tree->levels, (size_t)n_blocks + 1, sizeof *tree->levels,
                          "a tree", err));
    TAP_TRY_OUT(tap_alloc(&all, (size_t)n_lanes, sizeof *all, "a tree", err));
    for (int d = 0; d <= n_blocks; d++)
        TAP_TRY_OUT(alloc_level(&tree->levels[d], n_lanes, err));
    for (int64_t l = 0; l < n_lanes; l++)
        all[l] = l;
    int64_t filled = 0;
    split(&tree->levels[0], -1, all, n_lanes, roots, 1, &filled);
    for (int b = 0; b < n_blocks; b++) {
        const tap_level *above = &tree->levels[b];
        filled = 0;
        for (int64_t p = 0; p < above->n_nodes; p++)
            split(&tree->levels[b + 1], p, above->lanes + above->nodes[p].first_lane,
                  above->nodes[p].n_lanes, hashes + b, n_blocks, &filled);
        assert(filled == n_lanes);
    }
out:
    tap_free(all);
    if (status == TAP_OK)
        *out = tree;
    else
        tap_tree_free(tree);
    return status;
}

void tap_tree_free(tap_tree *tree)
{
    if (!tree)
        return;
    for (int d = 0; tree->levels && d <= tree->n_blocks; d++) {
        tap_free(tree->levels[d].nodes);
        tap_free(tree->levels[d].lanes);
        tap_free(tree->levels[d].node_of);
    }
    tap_free(tree->levels);
    tap_free(tree);
}

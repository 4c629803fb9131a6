/* What conditions share: nodes per depth for lanes that agree and part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hook/tree.h"

static void lanes_with_equal_plans_share_every_state(void **state)
{
    (void)state;
    const uint64_t roots[3] = {7, 7, 7};
    const uint64_t hashes[3][2] = {{0, 1}, {0, 1}, {0, 1}};
    tap_tree *tree = NULL;
    tap_error err;
    assert_int_equal(tap_tree_compile(&tree, 3, roots, 2, &hashes[0][0], &err), TAP_OK);
    for (int d = 0; d <= 2; d++)
        assert_int_equal(tree->levels[d].n_nodes, 1);
    assert_int_equal(tree->levels[2].nodes[0].n_lanes, 3);
    tap_tree_free(tree);
}

static void lanes_part_in_the_first_block_that_differs_and_for_good(void **state)
{
    (void)state;
    const uint64_t roots[4] = {1, 1, 2, 1};
    const uint64_t hashes[4][3] = {{0, 0, 0}, {0, 5, 0}, {0, 0, 0}, {0, 0, 0}};
    tap_tree *tree = NULL;
    tap_error err;
    assert_int_equal(tap_tree_compile(&tree, 4, roots, 3, &hashes[0][0], &err), TAP_OK);
    assert_int_equal(tree->levels[0].n_nodes, 2);
    assert_int_equal(tree->levels[1].n_nodes, 2);
    assert_int_equal(tree->levels[2].n_nodes, 3);
    assert_int_equal(tree->levels[3].n_nodes,
                     3); /* equal again, but the past differs */
    const tap_level *last = &tree->levels[3];
    assert_int_equal(last->node_of[0], last->node_of[3]);
    assert_int_not_equal(last->node_of[0], last->node_of[1]);
    assert_int_not_equal(last->node_of[0], last->node_of[2]);
    tap_tree_free(tree);
}

static void children_of_a_node_stand_side_by_side(void **state)
{
    (void)state;
    /* lane 0 and 2 share a root, lane 1 does not; 0 and 2 part in block 0 */
    const uint64_t roots[3] = {1, 2, 1};
    const uint64_t hashes[3][1] = {{1}, {0}, {2}};
    tap_tree *tree = NULL;
    tap_error err;
    assert_int_equal(tap_tree_compile(&tree, 3, roots, 1, &hashes[0][0], &err), TAP_OK);
    const tap_level *level = &tree->levels[1];
    assert_int_equal(level->n_nodes, 3);
    for (int64_t i = 1; i < level->n_nodes; i++)
        assert_true(level->nodes[i].parent >= level->nodes[i - 1].parent);
    for (int64_t i = 0; i < level->n_nodes; i++) {
        assert_int_equal(level->nodes[i].n_lanes, 1);
        const int64_t lane = level->lanes[level->nodes[i].first_lane];
        assert_int_equal(level->node_of[lane], i);
        assert_int_equal(level->nodes[i].parent, tree->levels[0].node_of[lane]);
    }
    tap_tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_with_equal_plans_share_every_state),
        cmocka_unit_test(lanes_part_in_the_first_block_that_differs_and_for_good),
        cmocka_unit_test(children_of_a_node_stand_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

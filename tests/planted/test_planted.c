/* Eleven bugs, planted one at a time: each must be found by `check`, or by what is known of a
 * mask. Without one, everything holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../support/rig.h"
#include "base/planted.h"
#include "image/mask.h"
#include "read/check.h"

tap_bug tap_planted_bug;

static rig r;

static int open_rig(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    options.lm_n_blocks = 3;
    rig_open(&r, &options);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

/* Runs the check with a bug in place, from the picture on; returns the rows that fail, as
 * bits. */
static unsigned failures_with(tap_bug bug, tap_check_row *rows)
{
    tap_error err;
    tap_image picture;
    tap_scene scene;
    unsigned failed = 0;
    tap_planted_bug = bug;
    assert_int_equal(tap_check_image(&picture, 70, 50, &err), TAP_OK);
    assert_int_equal(tap_scene_make(&scene, r.model, &picture, NULL, &err), TAP_OK);
    const tap_check_spec spec = {.model = r.model,
                                 .scene = &scene,
                                 .kernels = tap_kernels_cpu(),
                                 .n_threads = 2};
    const tap_status status = tap_check_run(rows, &spec, &err);
    if (status != TAP_OK)
        print_error("%s\n", err.message);
    assert_int_equal(status, TAP_OK);
    for (int i = 0; i < TAP_N_INVARIANTS; i++)
        if (rows[i].verdict == TAP_FAILS)
            failed |= 1U << i;
    tap_planted_bug = TAP_BUG_NONE;
    tap_scene_clear(&scene);
    tap_image_clear(&picture);
    return failed;
}

static void without_a_bug_everything_holds(void **state)
{
    (void)state;
    tap_check_row rows[TAP_N_INVARIANTS];
    assert_int_equal(failures_with(TAP_BUG_NONE, rows), 0);
    for (int i = 0; i < TAP_N_INVARIANTS; i++) {
        if (rows[i].verdict != TAP_HOLDS)
            print_error("%s: %s\n", rows[i].name, rows[i].why);
        assert_int_equal(rows[i].verdict, TAP_HOLDS);
    }
}

/* The bug makes the named invariant fail, and says why. */
static void expect_found(tap_bug bug, const char *invariant)
{
    tap_check_row rows[TAP_N_INVARIANTS];
    const unsigned failed = failures_with(bug, rows);
    for (int i = 0; i < TAP_N_INVARIANTS; i++) {
        if (failed >> i & 1)
            print_message("%s fails: %s\n", rows[i].name, rows[i].why);
        if (strcmp(rows[i].name, invariant) == 0) {
            assert_true(failed >> i & 1);
            assert_true(rows[i].why[0] != '\0');
        }
    }
}

static void mask_ignored(void **state)
{
    (void)state;
    expect_found(TAP_BUG_MASK_IGNORED, "sums");
}

static void one_head_off(void **state)
{
    (void)state;
    expect_found(TAP_BUG_HEAD_OFF_BY_ONE, "second");
}

static void norm_applied_twice(void **state)
{
    (void)state;
    expect_found(TAP_BUG_NORM_TWICE, "lens");
}

static void depth_off_by_one(void **state)
{
    (void)state;
    expect_found(TAP_BUG_DEPTH_OFF_BY_ONE, "lens");
}

static void class_token_leaking(void **state)
{
    (void)state;
    expect_found(TAP_BUG_CLS_LEAKS, "alone");
}

static void self_dropped(void **state)
{
    (void)state;
    expect_found(TAP_BUG_SELF_DROPPED, "second");
}

static void receipt_not_measured(void **state)
{
    (void)state;
    expect_found(TAP_BUG_RECEIPT_UNMEASURED, "sums");
}

static void scale_applied_after_softmax(void **state)
{
    (void)state;
    expect_found(TAP_BUG_SCALE_AFTER, "second");
}

static void prefix_counted_as_image(void **state)
{
    (void)state;
    expect_found(TAP_BUG_PREFIX_IS_IMAGE, "depth 0");
}

static void kernels_not_asked(void **state)
{
    (void)state;
    expect_found(TAP_BUG_KERNEL_UNASKED, "second");
}

/* A mask of the left half of a picture whose patches are not whole source pixels: the
 * area of all patches together is the mask's own. */
static double area_off_with(tap_bug bug)
{
    tap_error err;
    tap_mask mask;
    tap_geometry geometry;
    float cover[64];
    const int64_t width = 61, height = 61;
    tap_planted_bug = bug;
    assert_int_equal(tap_mask_new(&mask, width, height, &err), TAP_OK);
    for (int64_t i = 0; i < width * height; i++)
        mask.inside[i] = i % width < 30;
    assert_int_equal(tap_preprocess_geometry(&geometry, width, height,
                                             &r.model->spec.preprocess, &err),
                     TAP_OK);
    const int64_t n = (int64_t)geometry.n_rows * geometry.n_cols;
    assert_true(n <= 64);
    assert_int_equal(tap_mask_cover(cover, &mask, &geometry, &err), TAP_OK);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)cover[i];
    tap_planted_bug = TAP_BUG_NONE;
    tap_mask_clear(&mask);
    return fabs(sum / (double)n - 30.0 / 61.0);
}

static void patch_size_floored(void **state)
{
    (void)state;
    assert_true(area_off_with(TAP_BUG_NONE) < 1e-6);
    assert_true(area_off_with(TAP_BUG_PATCH_FLOORED) > 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_bug_everything_holds),
        cmocka_unit_test(mask_ignored),
        cmocka_unit_test(one_head_off),
        cmocka_unit_test(norm_applied_twice),
        cmocka_unit_test(depth_off_by_one),
        cmocka_unit_test(class_token_leaking),
        cmocka_unit_test(self_dropped),
        cmocka_unit_test(receipt_not_measured),
        cmocka_unit_test(scale_applied_after_softmax),
        cmocka_unit_test(patch_size_floored),
        cmocka_unit_test(prefix_counted_as_image),
        cmocka_unit_test(kernels_not_asked),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

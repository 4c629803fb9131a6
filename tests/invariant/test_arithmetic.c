/* The comparison of two arithmetics: by hand on a few ranks, nothing between a table and
 * itself, something small between bf16 and f32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "../support/rig.h"
#include "read/arithmetic.h"

static rig r;

static int open_rig(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    options.dtype = TAP_BF16;
    rig_open(&r, &options);
    rig_add_scene(&r, 1, -1);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

static void shifts_by_hand(void **state)
{
    (void)state;
    /* |log2 b/a| is 0, 1, 2, 0.5: sorted 0 0.5 1 2 */
    const float a[] = {7.0F, 2.0F, 8.0F, 4.0F},
                b[] = {7.0F, 4.0F, 2.0F, 4.0F * 1.41421356F};
    double scratch[4];
    const tap_rank_shift s = tap_rank_shift_of(a, b, 4, scratch);
    assert_true(fabs(s.equal - 0.25) < 1e-12);
    assert_true(fabs(s.median - 0.75) < 1e-6);
    assert_true(fabs(s.centile95 - 2.0) < 1e-12);
}

static void a_table_agrees_with_itself(void **state)
{
    (void)state;
    tap_arithmetic x;
    tap_error err;
    assert_int_equal(tap_arithmetic_compare(&x, &r.scenes[0], tap_kernels_cpu(),
                                            tap_kernels_cpu(), 2, NULL, 0, &err),
                     TAP_OK);
    assert_int_equal(x.n_depths, 3);
    for (int d = 0; d < x.n_depths; d++) {
        const tap_effects *e = &x.effects[2 * d];
        assert_true(x.shifts[d].equal >= 1.0 && x.shifts[d].centile95 <= 0.0);
        assert_true(e->s11 > 0.0 && e->s11 < 1.0);
        assert_true(fabs(e[0].s00 - e[1].s00) <= 0.0);
        /* CI = I / d0 */
        const double d0 = e->s10 - e->s00;
        if (d0 != 0.0)
            assert_true(fabs(e->ci - (e->s01 + e->s10 - e->s00 - e->s11) / d0) < 1e-9);
    }
    /* a decoder cut does nothing at depth 0 */
    assert_true(fabs(x.effects[0].s11 - x.effects[0].s10) <= 0.0);
    assert_true(fabs(x.effects[0].s11 - x.effects[0].s01) > 0.0);
    tap_arithmetic_clear(&x);
}

static void bf16_shifts_ranks_a_little(void **state)
{
    (void)state;
    tap_arithmetic x;
    tap_error err;
    if (!tap_kernels_bf16()) {
        print_message("skip: this processor has no products in bf16\n");
        skip();
    }
    assert_int_equal(tap_arithmetic_compare(&x, &r.scenes[0], tap_kernels_cpu(),
                                            tap_kernels_bf16(), 2, NULL, 0, &err),
                     TAP_OK);
    for (int d = 0; d < x.n_depths; d++) {
        assert_true(x.shifts[d].equal < 1.0 && x.shifts[d].equal > 0.3);
        assert_true(x.shifts[d].centile95 > 0.0 && x.shifts[d].centile95 < 1.0);
        assert_true(x.shifts[d].median <= x.shifts[d].centile95);
        assert_true(fabs(x.effects[2 * d].s11 - x.effects[2 * d + 1].s11) < 0.01);
    }
    tap_arithmetic_clear(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shifts_by_hand),
                                       cmocka_unit_test(a_table_agrees_with_itself),
                                       cmocka_unit_test(bf16_shifts_ranks_a_little)};
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

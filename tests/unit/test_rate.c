/* The measured speed: a number that a run can be estimated with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/rate.h"

#include <math.h>

/* Counts what the measurement asks of the kernels. */
static int64_t n_calls;
static double flop_asked;

static void counted(float *y, int64_t stride_y, const float *x, int64_t stride_x,
                    int64_t n_rows, const tap_tensor *w, const tap_tensor *bias,
                    const tap_workspace *work)
{
    n_calls++;
    flop_asked += 2.0 * (double)n_rows * (double)w->shape[0] * (double)w->shape[1];
    assert_true(stride_x >= w->shape[1] && stride_y >= w->shape[0]);
    tap_kernels_cpu()->linear(y, stride_y, x, stride_x, n_rows, w, bias, work);
}

static void test_rate(void **state)
{
    tap_model *model = NULL;
    tap_kernels kernels = *tap_kernels_cpu();
    double rate = 0.0;
    (void)state;
    kernels.linear = counted;
    assert_int_equal(tap_model_open(&model, "share/organism/random", NULL), TAP_OK);
    assert_int_equal(tap_model_rate(&rate, model, &kernels, 1, NULL), TAP_OK);
    assert_true(isfinite(rate) && rate > 0.0);
    assert_true(n_calls >= 14); /* seven products, at least two rounds */
    /* a second of work: what was asked, less the first round, over about that time */
    assert_true(rate < flop_asked &&
                rate > 0.2 * flop_asked * (1 - 14.0 / (double)n_calls));
    tap_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void check(tap_status status, const tap_error *err)
{
    if (status != TAP_OK)
        print_error("%s\n", err->message);
    assert_int_equal(status, TAP_OK);
}

const tap_tensor *golden_find(const tap_safetensors *file, const char *name, ...)
{
    char full[128];
    va_list arguments;
    va_start(arguments, name);
    (void)vsnprintf(full, sizeof full, name, arguments);
    va_end(arguments);
    const int64_t i = tap_safetensors_find(file, full);
    return i < 0 ? NULL : tap_safetensors_tensor(file, i);
}

const char *golden_condition(const tap_safetensors *file, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "condition.%s", name);
    return tap_safetensors_metadata(file, key);
}

tap_plan *golden_plan(const tap_model *model, const tap_groups *groups,
                      const char *text)
{
    tap_plan_sizes sizes;
    tap_condition *condition = NULL;
    tap_plan *plan = NULL;
    tap_error err;
    assert_non_null(text);
    tap_spec_plan_sizes(&sizes, &model->spec);
    check(tap_condition_parse(&condition, text, &err), &err);
    check(tap_plan_compile(&plan, condition, groups, &sizes, &err), &err);
    tap_condition_free(condition);
    return plan;
}

double golden_error(const char *name, const tap_tensor *want, int64_t first, int64_t n,
                    const float *values)
{
    double squares = 0.0, worst = 0.0;
    assert_non_null(want);
    assert_true(n > 0 && first + n <= tap_tensor_count(want));
    for (int64_t i = 0; i < n; i++) {
        float exact;
        tap_widen(&exact, want, first + i, 1);
        squares += (double)exact * (double)exact;
        worst = fmax(worst, fabs((double)values[i] - (double)exact));
    }
    const double error = worst / sqrt(squares / (double)n);
    if (!(error <= 1e-4))
        fail_msg("%s: error %g of the rms", name, error);
    return error;
}

void golden_check_ids(const tap_tensor *want, const int32_t *ids, int64_t n)
{
    assert_non_null(want);
    assert_int_equal(tap_tensor_count(want), n);
    const size_t bytes = tap_dtype_bytes(want->dtype);
    for (int64_t t = 0; t < n; t++) {
        int32_t id; /* little-endian: the low half of an i64 */
        memcpy(&id, (const unsigned char *)want->bytes + (size_t)t * bytes, sizeof id);
        assert_int_equal(ids[t], id);
    }
}

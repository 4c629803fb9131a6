/* Element types, shapes as text, and 16-bit numbers in both directions, all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tensor/bits.h"
#include "tensor/tensor.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void types_have_sizes_and_names(void **state)
{
    (void)state;

    static const struct {
        tap_dtype dtype;
        size_t bytes;
        const char *name;
    } known[] = {{TAP_F32, 4, "f32"},   {TAP_F16, 2, "f16"},
                 {TAP_BF16, 2, "bf16"}, {TAP_F64, 8, "f64"},
                 {TAP_I64, 8, "i64"},   {TAP_I32, 4, "i32"},
                 {TAP_U8, 1, "u8"},     {TAP_OTHER, 0, "another type"}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(tap_dtype_bytes(known[i].dtype), known[i].bytes);
        assert_string_equal(tap_dtype_name(known[i].dtype), known[i].name);
    }
}

static void shapes_are_printed_and_cut_to_the_room_there_is(void **state)
{
    (void)state;
    const tap_tensor t = {.n_dims = 3, .shape = {2, 4096, 7}}, scalar = {.n_dims = 0};
    char text[64];
    tap_tensor_print_shape(text, sizeof text, &t);
    assert_string_equal(text, "[2][4096][7]");
    tap_tensor_print_shape(text, 6, &t);
    assert_string_equal(text, "[2][4");
    tap_tensor_print_shape(text, sizeof text, &scalar);
    assert_string_equal(text, "[]");
    text[0] = 'x';
    tap_tensor_print_shape(text, 0, &t);
    assert_int_equal(text[0], 'x');
    assert_int_equal(tap_tensor_count(&t), 2 * 4096 * 7);
    assert_int_equal(tap_tensor_count(&scalar), 1);
}

/* Sign, exponent and mantissa as IEEE 754 defines them. */
static double f16_by_definition(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    return sign *
           (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

static void every_f16_is_widened_exactly_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        const uint16_t bits = (uint16_t)i;
        const float value = tap_from_f16(bits);
        if ((bits & 0x7c00) == 0x7c00 && (bits & 0x3ff)) {
            assert_true(isnan(value));
            assert_true(isnan(tap_from_f16(tap_to_f16(value))));
            continue;
        }
        if ((bits & 0x7c00) == 0x7c00)
            assert_true(isinf(value) && !signbit(value) == !(bits & 0x8000));
        else
            assert_true(bits_of(value) == bits_of((float)f16_by_definition(bits)));
        assert_int_equal(tap_to_f16(value), bits);
    }
}

static void every_bf16_is_widened_exactly_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        const uint16_t bits = (uint16_t)i;
        const float value = tap_from_bf16(bits);
        assert_true(bits_of(value) == i << 16);
        if (isnan(value))
            assert_true(isnan(tap_from_bf16(tap_to_bf16(value))));
        else
            assert_int_equal(tap_to_bf16(value), bits);
    }
}

/* Between two neighbours the nearer one is taken, half way the even one. */
static void narrowing_rounds_to_nearest_ties_to_even(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x7c00; i++) {
        const double low = f16_by_definition((uint16_t)i);
        const double high =
            i == 0x7bff ? 65536.0 : f16_by_definition((uint16_t)(i + 1));
        const float middle = (float)((low + high) / 2.0);
        assert_int_equal(tap_to_f16(middle), i + (i & 1));
        assert_int_equal(tap_to_f16(nextafterf(middle, 0.0F)), i);
        assert_int_equal(tap_to_f16(nextafterf(middle, 1e9F)), i + 1);
        assert_int_equal(tap_to_f16(-middle), 0x8000 + i + (i & 1));
    }
    for (uint32_t i = 0; i < 0x7f80; i++) {
        float middle;
        const uint32_t bits = i << 16 | 0x8000;
        memcpy(&middle, &bits, sizeof middle);
        assert_int_equal(tap_to_bf16(middle), i + (i & 1));
        assert_int_equal(tap_to_bf16(nextafterf(middle, 0.0F)), i);
        assert_int_equal(tap_to_bf16(nextafterf(middle, INFINITY)), i + 1);
    }
    assert_int_equal(tap_to_f16(1e6F), 0x7c00);
    assert_int_equal(tap_to_f16(1e-9F), 0);
    assert_int_equal(tap_to_f16(-1e-9F), 0x8000);
}

static void widening_starts_anywhere_at_any_address(void **state)
{
    (void)state;
    static const double numbers[] = {0.0, -1.5, 3.25, 1.0 / 1024.0, -65504.0, 0.1};

    enum { N = 6 };

    for (int t = 0; t < 4; t++) {
        static const tap_dtype dtypes[] = {TAP_F32, TAP_F16, TAP_BF16, TAP_F64};
        unsigned char bytes[1 + N * 8];
        const size_t element = tap_dtype_bytes(dtypes[t]);
        float want[N], got[N] = {0};
        for (int i = 0; i < N; i++) {
            const float f = (float)numbers[i];
            const uint16_t half = tap_to_f16(f), brain = tap_to_bf16(f);
            const void *from[] = {&f, &half, &brain, &numbers[i]};
            const float back[] = {f, tap_from_f16(half), tap_from_bf16(brain), f};
            memcpy(bytes + 1 + (size_t)i * element, from[t], element);
            want[i] = back[t];
        }
        const tap_tensor tensor = {
            .bytes = bytes + 1, .dtype = dtypes[t], .n_dims = 1, .shape = {N}};
        tap_widen(got, &tensor, 2, N - 2);
        assert_memory_equal(got, want + 2, (N - 2) * sizeof *got);
        assert_true(bits_of(got[N - 2]) == 0 && bits_of(got[N - 1]) == 0);
    }
}

static void bits_are_set_dropped_and_counted(void **state)
{
    (void)state;
    uint64_t set[3] = {0};
    assert_int_equal(tap_bits_words(0), 0);
    assert_int_equal(tap_bits_words(64), 1);
    assert_int_equal(tap_bits_words(65), 2);
    tap_bits_set(set, 0);
    tap_bits_set(set, 63);
    tap_bits_set(set, 64);
    tap_bits_set(set, 130);
    assert_true(tap_bits_get(set, 64) && !tap_bits_get(set, 65));
    assert_int_equal(tap_bits_count(set, 3), 4);
    tap_bits_drop(set, 63);
    assert_int_equal(tap_bits_count(set, 3), 3);
    assert_false(tap_bits_get(set, 63));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_sizes_and_names),
        cmocka_unit_test(shapes_are_printed_and_cut_to_the_room_there_is),
        cmocka_unit_test(every_f16_is_widened_exactly_and_comes_back),
        cmocka_unit_test(every_bf16_is_widened_exactly_and_comes_back),
        cmocka_unit_test(narrowing_rounds_to_nearest_ties_to_even),
        cmocka_unit_test(widening_starts_anywhere_at_any_address),
        cmocka_unit_test(bits_are_set_dropped_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

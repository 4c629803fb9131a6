/* Outlines: filling the rings gives the mask back, pixel by pixel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "image/outline.h"

#include <string.h>

/* Whether the centre of pixel (x, y) lies inside the rings by the even-odd rule: edges that
 * a ray to the left crosses. */
static bool filled(const tap_outline *o, int64_t x, int64_t y)
{
    bool in = false;
    for (size_t at = 0; at < o->n_numbers; at += 1 + 2 * (size_t)o->numbers[at]) {
        const int32_t n = o->numbers[at];
        const int32_t *p = o->numbers + at + 1;
        for (int32_t i = 0; i < n; i++) {
            const int32_t *a = p + 2 * i, *b = p + 2 * ((i + 1) % n);
            const int32_t low = a[1] < b[1] ? a[1] : b[1];
            const int32_t high = a[1] < b[1] ? b[1] : a[1];
            in ^= a[0] == b[0] && a[0] <= x && low <= y && y < high;
        }
    }
    return in;
}

static void assert_round_trip(const tap_mask *mask)
{
    tap_outline o = {0};
    assert_int_equal(tap_outline_trace(&o, mask, NULL), TAP_OK);
    for (size_t at = 0; at < o.n_numbers; at += 1 + 2 * (size_t)o.numbers[at]) {
        const int32_t n = o.numbers[at];
        const int32_t *p = o.numbers + at + 1;
        assert_true(n >= 4 && n % 2 == 0);
        for (int32_t i = 0; i < n; i++) /* corners only: across, then along */
            assert_true((p[2 * i] == p[2 * ((i + 1) % n)]) == (i % 2 == 1));
    }
    for (int64_t y = 0; y < mask->height; y++)
        for (int64_t x = 0; x < mask->width; x++)
            assert_int_equal(filled(&o, x, y), mask->inside[y * mask->width + x]);
    tap_outline_clear(&o);
}

static void test_shapes(void **state)
{
    (void)state;
    uint8_t ring[] = "0111001010011100000"; /* not a picture: 6 x 3 of them are used */
    for (size_t i = 0; i < sizeof ring; i++)
        ring[i] -= '0';
    const tap_mask hole = {6, 3, ring};
    assert_round_trip(&hole);
    uint8_t full[12];
    memset(full, 1, sizeof full);
    const tap_mask all = {4, 3, full};
    tap_outline o = {0};
    assert_int_equal(tap_outline_trace(&o, &all, NULL), TAP_OK);
    const int32_t expected[] = {4, 0, 0, 4, 0, 4, 3, 0, 3};
    assert_int_equal(o.n_numbers, 9);
    assert_memory_equal(o.numbers, expected, sizeof expected);
    tap_outline_clear(&o);
    memset(full, 0, sizeof full);
    assert_int_equal(tap_outline_trace(&o, &all, NULL), TAP_OK);
    assert_int_equal(o.n_numbers, 0);
    tap_outline_clear(&o);
}

static void test_random_masks(void **state)
{
    (void)state;
    uint8_t pixels[40];
    for (uint32_t trial = 0; trial < 3000; trial++) {
        uint32_t words[4];
        const uint32_t counter[4] = {trial, 0, 0, 0};
        tap_philox(words, counter, 7);
        const tap_mask mask = {1 + words[2] % 8, 1 + words[3] % 5, pixels};
        for (int i = 0; i < 40; i++)
            pixels[i] = words[i / 32] >> (i % 32) & 1;
        assert_round_trip(&mask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_random_masks),
    };
    return cmocka_run_group_tests_name("outline", tests, NULL, NULL);
}

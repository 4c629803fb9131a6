/* Philox gives the known answers of its authors, and indices that are spread evenly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"

static void known_answers(void **state)
{
    (void)state;

    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t out[4];
    } CASES[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         UINT64_C(0xffffffffffffffff),
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         UINT64_C(0x299f31d0a4093822),
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        uint32_t out[4];
        tap_philox(out, CASES[i].counter, CASES[i].key);
        for (int w = 0; w < 4; w++)
            assert_int_equal(out[w], CASES[i].out[w]);
    }
}

static void even_indices(void **state)
{
    (void)state;
    int64_t counts[7] = {0};
    for (uint32_t i = 0; i < 7000; i++) {
        const uint32_t counter[4] = {i, 0, 0, 0};
        uint32_t out[4];
        tap_philox(out, counter, 42);
        for (int w = 0; w < 4; w++)
            counts[tap_random_below(out[w], 7)]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 7; i++)
        chi2 += (double)((counts[i] - 4000) * (counts[i] - 4000)) / 4000.0;
    assert_true(chi2 < 22.5); /* 0.999 of chi-square with 6 degrees of freedom */
    assert_int_equal(tap_random_below(UINT32_MAX, 7), 6);
    assert_int_equal(tap_random_below(0, 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(even_indices),
    };
    return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}

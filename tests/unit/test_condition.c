/* Condition text: canonical spelling, round trips of random text, messages word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "hook/condition.h"

static char *canonical(const char *text)
{
    tap_condition *condition = NULL;
    tap_error err;
    char *out = NULL;
    const tap_status status = tap_condition_parse(&condition, text, &err);
    if (status != TAP_OK)
        print_error("%s\n", err.message);
    assert_int_equal(status, TAP_OK);
    assert_int_equal(tap_condition_print(&out, condition, &err), TAP_OK);
    tap_condition_free(condition);
    return out;
}

static void spellings_of_one_condition_print_alike(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"  ;  ", NULL},
        {"vision:image<-image|cls", "vision: image <- image|cls"},
        {"lm [8 - 15] .h [0,2-3] : part <- (image - part) knockout",
         "lm[8-15].h[0,2-3]: part <- image-part"},
        {"lm: part <- image-(part-cls)", "lm: part <- image-(part-cls)"},
        {"lm: part <- (image-part)-cls", "lm: part <- image-part-cls"},
        {"lm: part <- (image|part)&~(cls|bos)", "lm: part <- (image|part)&~(cls|bos)"},
        {"lm[-3,last,7-]: all <- bos scale 0.25",
         "lm[0-3,last,7-]: all <- bos scale 0.25"},
        {"lm[window(20,9)]: last <- image drop self empty self",
         "lm[window(20,9)]: last <- image drop self empty self"},
        {"vision[prefix(3)]: image <- cls scale 0", "vision[prefix(3)]: image <- cls"},
        {"enc.all_self+cls_drop; lm: image <- image zero",
         "vision: image <- image|cls; lm: image <- image zero"},
        {"clean", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i][1])
            continue;
        char *text = canonical(cases[i][0]);
        assert_string_equal(text, cases[i][1]);
        char *again = canonical(text);
        assert_string_equal(again, text);
        tap_free(again);
        tap_free(text);
    }
}

static uint64_t seed = 3;

static int die(int n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((seed >> 33) % (uint64_t)n);
}

static tap_status put_group(tap_buffer *out, int depth, tap_error *err)
{
    static const char *const marks[] = {"|", "&", "-"};
    if (depth == 0 || die(3) == 0)
        return tap_buffer_print(out, err, "%s",
                                tap_group_names[die((int)tap_n_group_names)]);
    if (die(4) == 0) {
        TAP_TRY(tap_buffer_print(out, err, "~("));
    } else {
        TAP_TRY(tap_buffer_print(out, err, "("));
        TAP_TRY(put_group(out, depth - 1, err));
        TAP_TRY(tap_buffer_print(out, err, "%s", marks[die(3)]));
    }
    TAP_TRY(put_group(out, depth - 1, err));
    return tap_buffer_print(out, err, ")");
}

static void random_conditions_survive_printing_and_parsing(void **state)
{
    (void)state;
    static const char *const ranges[] = {
        "", "[3]", "[1-4,6]", "[last]", "[window(4,3)]", "[suffix(2)]", "[2-]"};
    static const char *const modes[] = {"", " scale 0.1", " zero", " uniform",
                                        " drop self empty zero"};
    tap_error err;
    for (int round = 0; round < 3000; round++) {
        tap_buffer text = {0};
        const int n = 1 + die(3);
        for (int a = 0; a < n; a++) {
            assert_int_equal(tap_buffer_print(&text, &err, "%s%s%s%s: ", a ? "; " : "",
                                              die(2) ? "vision" : "lm", ranges[die(7)],
                                              die(3) ? "" : ".h[0,2]"),
                             TAP_OK);
            assert_int_equal(put_group(&text, 4, &err), TAP_OK);
            assert_int_equal(tap_buffer_print(&text, &err, " <- "), TAP_OK);
            assert_int_equal(put_group(&text, 4, &err), TAP_OK);
            assert_int_equal(tap_buffer_print(&text, &err, "%s", modes[die(5)]),
                             TAP_OK);
        }
        char *once = canonical(text.text), *twice = canonical(once);
        assert_string_equal(once, twice);
        tap_free(once);
        tap_free(twice);
        tap_buffer_clear(&text);
    }
}

static void wrong_text_is_named_with_its_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"lm: image <- imge",
         "condition 'lm: image <- imge', column 14: unknown group 'imge'; did you mean "
         "'image'?"},
        {"lmm: image <- image",
         "condition 'lmm: image <- image', column 1: unknown condition 'lmm'"},
        {"enc.all_self+cls_dorp",
         "condition 'enc.all_self+cls_dorp', column 1: unknown condition "
         "'enc.all_self+cls_dorp'; did you mean 'enc.all_self+cls_drop'?"},
        {"lm image <- image",
         "condition 'lm image <- image', column 1: unknown condition 'lm'"},
        {"lm: image -> image",
         "condition 'lm: image -> image', column 12: expected a group, found '>'"},
        {"lm: image", "condition 'lm: image', column 10: expected '<-', found the end"},
        {"lm: (image <- image",
         "condition 'lm: (image <- image', column 12: expected ')', found '<'"},
        {"lm[]: image <- image",
         "condition 'lm[]: image <- image', column 4: expected a whole number, found ']'"},
        {"lm[5-3]: image <- image",
         "condition 'lm[5-3]: image <- image', column 7: expected a range that rises, "
         "found ']'"},
        {"lm: image <- image scale -1",
         "condition 'lm: image <- image scale -1', column 26: expected a factor of 0 or "
         "more, found '-'"},
        {"lm: image <- image dorp self",
         "condition 'lm: image <- image dorp self', column 20: unknown word 'dorp'; did "
         "you mean 'drop'?"},
        {"lm: image <- image drop all",
         "condition 'lm: image <- image drop all', column 25: expected 'self' after "
         "'drop', found 'all'"},
        {"lm: image <- image freeze",
         "condition 'lm: image <- image freeze', column 20: 'freeze' is not carried out by "
         "this version"},
        {"lm: edit mean part",
         "condition 'lm: edit mean part', column 5: state edits are not carried out by "
         "this version"},
        {"lm: image <- image lm: image <- image",
         "condition 'lm: image <- image lm: image <- image', column 20: unknown word "
         "'lm'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_condition *condition = NULL;
        tap_error err;
        assert_true(tap_condition_parse(&condition, cases[i][0], &err) != TAP_OK);
        assert_null(condition);
        assert_string_equal(err.message, cases[i][1]);
    }
}

static void every_named_condition_parses(void **state)
{
    (void)state;
    size_t n = 0;
    const tap_preset *presets = tap_presets(&n);
    assert_true(n >= 20);
    for (size_t i = 0; i < n; i++) {
        char *by_name = canonical(presets[i].name),
             *by_text = canonical(presets[i].text);
        assert_string_equal(by_name, by_text);
        tap_free(by_name);
        tap_free(by_text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_of_one_condition_print_alike),
        cmocka_unit_test(random_conditions_survive_printing_and_parsing),
        cmocka_unit_test(wrong_text_is_named_with_its_place),
        cmocka_unit_test(every_named_condition_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

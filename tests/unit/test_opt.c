/* Command lines against a table: what is taken, and what is refused in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/opt.h"

#include <string.h>

static const tap_command COMMAND = {
    .name = "try",
    .args = (const tap_arg[]){{"MODEL", false, false, "a model"},
                              {"IMAGE", true, true, "photos"},
                              {0}},
    .opts = (const tap_opt[]){
        {"output", 'o', TAP_OPT_TEXT, "FILE", NULL, 0, 0, "where"},
        {"label", 'l', TAP_OPT_LIST, "WORD", NULL, 0, 0, "what"},
        {"count", 'n', TAP_OPT_INT, "N", "3", -5, 100, "how many"},
        {"dose", 0, TAP_OPT_REAL, "X", "0.5", 0, 1, "how much"},
        {"memory", 0, TAP_OPT_BYTES, "BYTES", "2G", 1024, 0, "room"},
        {"kind", 0, TAP_OPT_CHOICE, "none|thumb|full", "thumb", 0, 0, "which"},
        {"parts", 0, TAP_OPT_WORDS, "ear|eye|tail", NULL, 0, 0, "some"},
        {0}}};

enum { MAX_WORDS = 8 };

static int count(const char *const *words)
{
    int n = 0;
    while (n < MAX_WORDS && words[n])
        n++;
    return n;
}

static tap_args *parse(const char *const *words)
{
    tap_args *args = NULL;
    tap_error err = {0};
    if (tap_args_parse(&args, &COMMAND, count(words), words, &err) != TAP_OK)
        fail_msg("%s", err.message);
    return args;
}

static void test_absent(void **state)
{
    (void)state;
    size_t n = 7;
    tap_args *a = parse((const char *[MAX_WORDS]){"m"});
    assert_null(tap_args_text(a, "output"));
    assert_null(tap_args_list(&n, a, "label"));
    assert_int_equal(n, 0);
    assert_int_equal(tap_args_int(a, "count"), 3);
    assert_true(tap_args_real(a, "dose") == 0.5);
    assert_true(tap_args_int(a, "memory") == INT64_C(2) << 30);
    assert_int_equal(tap_args_choice(a, "kind"), 1);
    assert_false(tap_args_given(a, "kind"));
    assert_int_equal(tap_args_flag(a, "verbose"), 0);
    assert_string_equal(tap_args_argument(a, 0), "m");
    assert_null(tap_args_argument(a, 1));
    tap_args_free(a);
}

static void test_forms(void **state)
{
    (void)state;
    size_t n = 0;
    tap_args *a = parse((const char *[MAX_WORDS]){"--output=a b", "m", "-l", "x", "-ly",
                                                  "-qvv", "--count", "-5"});
    assert_string_equal(tap_args_text(a, "output"), "a b");
    const char *const *list = tap_args_list(&n, a, "label");
    assert_int_equal(n, 2);
    assert_string_equal(list[0], "x");
    assert_string_equal(list[1], "y");
    assert_int_equal(tap_args_flag(a, "quiet"), 1);
    assert_int_equal(tap_args_flag(a, "verbose"), 2);
    assert_int_equal(tap_args_int(a, "count"), -5);
    tap_args_free(a);

    a = parse((const char *[MAX_WORDS]){"-", "--kind", "full", "--parts=tail,ear",
                                        "--memory=512K", "--", "--kind", "-x"});
    assert_string_equal(tap_args_argument(a, 0), "-");
    assert_string_equal(tap_args_argument(a, 1), "--kind");
    assert_string_equal(tap_args_argument(a, 2), "-x");
    assert_int_equal(tap_args_count(a), 3);
    assert_int_equal(tap_args_choice(a, "kind"), 2);
    assert_true(tap_args_has_word(a, "parts", "ear"));
    assert_false(tap_args_has_word(a, "parts", "eye"));
    assert_int_equal(tap_args_int(a, "memory"), 512 << 10);
    tap_args_free(a);
}

static void test_last_counts(void **state)
{
    (void)state;
    tap_args *a = parse(
        (const char *[MAX_WORDS]){"m", "-o", "a", "-ob", "--count=1", "--count=2"});
    assert_string_equal(tap_args_text(a, "output"), "b");
    assert_int_equal(tap_args_int(a, "count"), 2);
    tap_args_free(a);
}

static void test_help_stops(void **state)
{
    (void)state;
    tap_args *a = parse((const char *[MAX_WORDS]){"--help"}); /* no MODEL: fine */
    assert_int_equal(tap_args_flag(a, "help"), 1);
    tap_args_free(a);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *words[MAX_WORDS];
        const char *message;
    } CASES[] = {
        {{NULL}, "MODEL"},
        {{"m", "--ouput", "f"},
         "'tapetum try' has no option '--ouput'; did you mean '--output'?; see 'tapetum "
         "try --help'"},
        {{"m", "-x"}, "'tapetum try' has no option '-x'; see 'tapetum try --help'"},
        {{"m", "--output"}, "option '--output' needs a value: --output FILE"},
        {{"m", "-o"}, "option '--output' needs a value: --output FILE"},
        {{"m", "--quiet=1"}, "option '--quiet' takes no value, found '1'"},
        {{"m", "--count", "101"},
         "option '--count' expects a whole number from -5 to 100, found '101'"},
        {{"m", "--count", "3.5"},
         "option '--count' expects a whole number from -5 to 100, found '3.5'"},
        {{"m", "--count="},
         "option '--count' expects a whole number from -5 to 100, found ''"},
        {{"m", "--count", "99999999999999999999"},
         "option '--count' expects a whole number from -5 to 100, found "
         "'99999999999999999999'"},
        {{"m", "--dose", "nan"},
         "option '--dose' expects a number from 0 to 1, found 'nan'"},
        {{"m", "--dose", "1e3"},
         "option '--dose' expects a number from 0 to 1, found '1e3'"},
        {{"m", "--memory", "8X"},
         "option '--memory' expects bytes such as 512M or 8G, at least 1024, found '8X'"},
        {{"m", "--memory", "99999999T"},
         "option '--memory' expects bytes such as 512M or 8G, at least 1024, found "
         "'99999999T'"},
        {{"m", "--kind", "thum"},
         "option '--kind' expects 'none', 'thumb' or 'full', found 'thum'; did you mean "
         "'thumb'?"},
        {{"m", "--parts", "ear,eyes"},
         "option '--parts' expects 'ear', 'eye' or 'tail', found 'eyes'; did you mean "
         "'eye'?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        tap_args *args = NULL;
        tap_error err = {0};
        assert_int_equal(tap_args_parse(&args, &COMMAND, count(CASES[i].words),
                                        CASES[i].words, &err),
                         TAP_EINVAL);
        assert_null(args);
        if (i == 0)
            assert_non_null(strstr(err.message, CASES[i].message));
        else
            assert_string_equal(err.message, CASES[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent),      cmocka_unit_test(test_forms),
        cmocka_unit_test(test_last_counts), cmocka_unit_test(test_help_stops),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

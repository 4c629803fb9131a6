/* Every named condition: its text is a condition, a call of it is that text with the
 * arguments in place, and what it needs is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "hook/plan.h"
#include "hook/preset.h"

enum { TEXT_BYTES = 512 };

/* An argument for each parameter that a name of the table has. */
static const char *sample(const char *parameter, size_t n)
{
    static const char *const samples[][2] = {{"r", "2"},
                                             {"l", "3"},
                                             {"W", "5"},
                                             {"k", "1"},
                                             {"p", "0.5"},
                                             {"x", "0.25"},
                                             {"seed", "7"},
                                             {"n", "4"},
                                             {"sd", "0.5"},
                                             {"blocks", "0-1"},
                                             {"a", "0"},
                                             {"b", "2"},
                                             {"h", "1"},
                                             {"run", "clean"},
                                             {"w", "1.5"},
                                             {"file", "u.safetensors"},
                                             {"\"text\"", "\"cat\""},
                                             {"\"word\"", "\"yes\""}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        if (strlen(samples[i][0]) == n && memcmp(samples[i][0], parameter, n) == 0)
            return samples[i][1];
    print_error("no sample for the parameter '%.*s'\n", (int)n, parameter);
    fail();
    return "";
}

/* "enc.local(r)" -> "enc.local(2)"; arguments[i] = what stands for $i + 1. */
static int make_call(char call[TEXT_BYTES], const char *arguments[9], const char *name)
{
    int n = 0;
    const char *at = strchr(name, '(');
    size_t end = at ? (size_t)(at - name) : strlen(name);
    (void)snprintf(call, TEXT_BYTES, "%.*s", (int)end, name);
    while (at && *at != ')') {
        const char *parameter = at + 1;
        const size_t length = strcspn(parameter, ",)");
        arguments[n] = sample(parameter, length);
        end = strlen(call);
        (void)snprintf(call + end, TEXT_BYTES - end, "%s%s", n ? "," : "(",
                       arguments[n]);
        n++;
        at = parameter + length;
    }
    end = strlen(call);
    (void)snprintf(call + end, TEXT_BYTES - end, "%s", n ? ")" : "");
    return n;
}

static void fill(char out[TEXT_BYTES], const char *text, const char *const *arguments,
                 int n)
{
    size_t at = 0;
    bool used[9] = {false};
    for (; *text && at + 32 < TEXT_BYTES; text++) {
        const int which = *text == '$' ? text[1] - '1' : -1;
        if (which >= 0) {
            assert_true(which < n); /* a parameter that the name does not have */
            used[which] = true;
            at += (size_t)snprintf(out + at, TEXT_BYTES - at, "%s", arguments[which]);
            text++;
        } else {
            out[at++] = *text;
        }
    }
    out[at] = '\0';
    for (int i = 0; i < n; i++)
        assert_true(used[i]);
}

static char *print_condition(const char *text)
{
    tap_error err;
    char *printed = NULL;
    tap_condition *condition = NULL;
    const tap_status status = tap_condition_parse(&condition, text, &err);
    if (status != TAP_OK)
        print_error("%s: %s\n", text, err.message);
    assert_int_equal(status, TAP_OK);
    assert_int_equal(tap_condition_print(&printed, condition, &err), TAP_OK);
    tap_condition_free(condition);
    return printed;
}

static void every_call_is_its_text(void **state)
{
    (void)state;
    size_t n = 0;
    int with_text = 0, without = 0;
    const tap_preset *presets = tap_presets(&n);
    for (size_t i = 0; i < n; i++) {
        const tap_preset *p = &presets[i];
        char call[TEXT_BYTES], text[TEXT_BYTES];
        const char *arguments[9];
        const int n_arguments = make_call(call, arguments, p->name);
        if (!p->text) {
            tap_error err;
            tap_condition *condition = NULL;
            assert_non_null(p->how);
            assert_int_equal(tap_condition_parse(&condition, call, &err), TAP_EINVAL);
            assert_non_null(strstr(err.message, p->how));
            without++;
            continue;
        }
        fill(text, p->text, arguments, n_arguments);
        char *called = print_condition(call), *written = print_condition(text);
        assert_string_equal(called, written);
        assert_true((written[0] == '\0') == (strcmp(p->name, "clean") == 0));
        tap_free(called);
        tap_free(written);
        with_text++;
    }
    assert_true(with_text > 90 && without > 8);
}

static void names_are_distinct_and_complete(void **state)
{
    (void)state;
    size_t n = 0;
    const tap_preset *presets = tap_presets(&n);
    for (size_t i = 0; i < n; i++) {
        assert_true(presets[i].question[0] && presets[i].source[0]);
        for (size_t j = 0; j < i; j++) {
            const size_t a = strcspn(presets[i].name, "("),
                         b = strcspn(presets[j].name, "(");
            assert_false(a == b && memcmp(presets[i].name, presets[j].name, a) == 0);
        }
    }
}

static void needs_follow_from_the_text(void **state)
{
    (void)state;
    static const char *const want[][2] = {
        {"enc.all_self+cls_drop", ""},
        {"ctl.tail_layer_noop", ""},
        {"enc.part_cut+cls_keep", "a mask of the part"},
        {"kaduri.image_to_gen", "generated tokens (generate, answer)"},
        {"zhang.object_to_question(l)",
         "a mask of the object; text rows (answer, generate, trace)"},
        {"liu.read.key",
         "tapetum lens --readout key (as vectors: tapetum trace --sites 'lm.*.k')"}};
    size_t n = 0, found = 0;
    const tap_preset *presets = tap_presets(&n);
    char needs[TAP_PRESET_NEEDS_BYTES];
    for (size_t i = 0; i < n; i++)
        for (size_t w = 0; w < sizeof want / sizeof *want; w++)
            if (strcmp(presets[i].name, want[w][0]) == 0) {
                tap_preset_needs(needs, &presets[i]);
                assert_string_equal(needs, want[w][1]);
                found++;
            }
    assert_int_equal(found, sizeof want / sizeof *want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_its_text),
        cmocka_unit_test(names_are_distinct_and_complete),
        cmocka_unit_test(needs_follow_from_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Members of a JSON file come with a kind and a range, or with a sentence that names file,
 * key, expected and found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/scratch.h"
#include "format/json.h"

#include <stdio.h>
#include <string.h>

static const char sample[] =
    "{\"int\": 7, \"real\": 2.5, \"yes\": true, \"text\": \"word\", \"none\": null,"
    " \"list\": [1, 2.5], \"object\": {\"inner\": -1}, \"words\": [\"a\", \"b\"]}";

static json_t *parse(const char *text)
{
    json_t *root = NULL;
    tap_error err;
    assert_int_equal(tap_json_parse(&root, text, strlen(text), "f.json", &err), TAP_OK);
    return root;
}

static void members_of_the_right_kind_are_read(void **state)
{
    (void)state;
    json_t *root = parse(sample);
    const tap_json_at at = {.object = root, .path = "f.json", .place = "p."};
    tap_error err;
    int64_t whole = 0;
    double real = 0, list[2] = {0};
    bool yes = false;
    const char *text = NULL;
    tap_json_at object, absent;
    assert_int_equal(tap_json_int(&whole, &at, "int", 0, 0, 9, &err), TAP_OK);
    assert_int_equal(whole, 7);
    assert_int_equal(tap_json_int(&whole, &at, "none", 5, 0, 9, &err), TAP_OK);
    assert_int_equal(whole, 5);
    assert_int_equal(tap_json_real(&real, &at, "int", 0, 0, 9, &err), TAP_OK);
    assert_true(real == 7);
    assert_int_equal(tap_json_real(&real, &at, "real", 0, 0, 9, &err), TAP_OK);
    assert_true(real == 2.5);
    assert_int_equal(tap_json_bool(&yes, &at, "yes", false, &err), TAP_OK);
    assert_true(yes);
    assert_int_equal(tap_json_text(&text, &at, "text", NULL, &err), TAP_OK);
    assert_string_equal(text, "word");
    assert_int_equal(tap_json_text(&text, &at, "missing", "given", &err), TAP_OK);
    assert_string_equal(text, "given");
    assert_int_equal(tap_json_reals(list, &at, "list", 2, NULL, &err), TAP_OK);
    assert_true(list[0] == 1 && list[1] == 2.5);
    assert_int_equal(
        tap_json_reals(list, &at, "missing", 2, (const double[]){3, 4}, &err), TAP_OK);
    assert_true(list[0] == 3 && list[1] == 4);
    assert_int_equal(tap_json_object(&object, &at, "object", "object.", &err), TAP_OK);
    assert_int_equal(tap_json_int(&whole, &object, "inner", 0, -1, 0, &err), TAP_OK);
    assert_int_equal(whole, -1);
    assert_int_equal(tap_json_object(&absent, &at, "missing", "m.", &err), TAP_OK);
    assert_null(tap_json_find(&absent, "anything"));
    json_decref(root);
}

static void members_of_another_kind_are_refused(void **state)
{
    (void)state;
    json_t *root = parse(sample);
    const tap_json_at at = {.object = root, .path = "f.json", .place = "p."};
    tap_error err;
    int64_t whole = 3;
    double real = 3, list[2] = {3, 3};
    bool yes = true;
    const char *text = "kept";
    tap_json_at object = {0};
    assert_int_equal(tap_json_int(&whole, &at, "int", 0, 8, 9, &err), TAP_EFORMAT);
    assert_string_equal(err.message, "cannot read 'f.json': 'p.int' is 7, expected a "
                                     "whole number from 8 to 9");
    assert_int_equal(tap_json_int(&whole, &at, "real", 0, 0, 9, &err), TAP_EFORMAT);
    assert_string_equal(err.message,
                        "cannot read 'f.json': 'p.real' is 2.5, expected a "
                        "whole number from 0 to 9");
    assert_int_equal(tap_json_int(&whole, &at, "missing", -1, 0, 9, &err), TAP_EFORMAT);
    assert_string_equal(err.message, "cannot read 'f.json': 'p.missing' is missing, "
                                     "expected a whole number from 0 to 9");
    assert_int_equal(tap_json_real(&real, &at, "text", 0, 0, 9, &err), TAP_EFORMAT);
    assert_string_equal(err.message, "cannot read 'f.json': 'p.text' is \"word\", "
                                     "expected a number from 0 to 9");
    assert_int_equal(tap_json_bool(&yes, &at, "list", false, &err), TAP_EFORMAT);
    assert_string_equal(err.message, "cannot read 'f.json': 'p.list' is a list of 2, "
                                     "expected true or false");
    assert_int_equal(tap_json_text(&text, &at, "object", "x", &err), TAP_EFORMAT);
    assert_string_equal(err.message, "cannot read 'f.json': 'p.object' is an object, "
                                     "expected text");
    assert_int_equal(tap_json_text(&text, &at, "missing", NULL, &err), TAP_EFORMAT);
    assert_string_equal(err.message,
                        "cannot read 'f.json': 'p.missing' is missing, expected text");
    assert_int_equal(tap_json_reals(list, &at, "words", 2, NULL, &err), TAP_EFORMAT);
    assert_string_equal(err.message, "cannot read 'f.json': 'p.words' is a list of 2, "
                                     "expected a list of 2 numbers");
    assert_int_equal(tap_json_reals(list, &at, "missing", 2, NULL, &err), TAP_EFORMAT);
    assert_int_equal(tap_json_object(&object, &at, "yes", "y.", &err), TAP_EFORMAT);
    assert_string_equal(err.message,
                        "cannot read 'f.json': 'p.yes' is true, expected an object");
    assert_true(whole == 3 && real == 3 && list[0] == 3 && yes);
    assert_string_equal(text, "kept");
    json_decref(root);
}

static void texts_that_are_not_plain_objects_are_refused(void **state)
{
    (void)state;
    static const char nul_inside[] = "{\"a\":\0 1}", deep_front[] = "{\"a\":";

    static const struct {
        const char *text;
        size_t n;
        const char *front; /* of the message; the parser's own words follow */
    } cases[] = {
        {"", 0, "cannot read 'f.json' as JSON: "},
        {"3", 1, "cannot read 'f.json' as JSON: "},
        {"[1]", 3,
         "cannot read 'f.json': expected a JSON object at the top, found a list"},
        {"{\"a\":1,\n\"a\":2}", 15,
         "cannot read 'f.json' as JSON: duplicate object key"},
        {"{\"a\\u0000\":1}", 13,
         "cannot read 'f.json' as JSON: NUL byte in object key"},
        {"{\"a\":\"\\u0000\"}", 14, "cannot read 'f.json' as JSON: \\u0000 is not"},
        {nul_inside, sizeof nul_inside - 1, "cannot read 'f.json' as JSON: "},
        {"{\"a\":123456789012345678901234567890}", 36,
         "cannot read 'f.json' as JSON: too big integer"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *root = NULL;
        tap_error err;
        assert_int_equal(
            tap_json_parse(&root, cases[i].text, cases[i].n, "f.json", &err),
            TAP_EFORMAT);
        assert_memory_equal(err.message, cases[i].front, strlen(cases[i].front));
        assert_null(root);
    }
    tap_buffer deep = {0};
    tap_error err;
    json_t *root = NULL;
    for (int i = 0; i < 5000; i++)
        assert_int_equal(tap_buffer_put(&deep, deep_front, sizeof deep_front - 1, &err),
                         TAP_OK);
    assert_int_equal(tap_json_parse(&root, deep.text, deep.n_bytes, "f.json", &err),
                     TAP_EFORMAT);
    assert_non_null(strstr(err.message, "line 1, column "));
    tap_buffer_clear(&deep);
}

static void files_have_a_limit(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], message[512];
    scratch_open(directory);
    scratch_path(path, directory, "f.json");
    scratch_write_text(directory, "f.json", sample);
    json_t *root = NULL;
    tap_error err;
    assert_int_equal(tap_json_read(&root, path, 1000, &err), TAP_OK);
    json_decref(root);
    root = NULL;
    assert_int_equal(tap_json_read(&root, path, 10, &err), TAP_EFORMAT);
    (void)snprintf(message, sizeof message,
                   "cannot read '%s': it is larger than the 10 bytes that such a file "
                   "may have",
                   path);
    assert_string_equal(err.message, message);
    assert_null(root);
    scratch_close(directory);
}

static void values_print_as_they_were_set(void **state)
{
    (void)state;
    json_t *root = parse("{ \"b\": [1, \"\\u00e9\"], \"a\": {} }");
    tap_buffer text = {0};
    tap_error err;
    assert_int_equal(tap_json_print(&text, root, &err), TAP_OK);
    assert_string_equal(text.text, "{\"b\":[1,\"\xc3\xa9\"],\"a\":{}}");
    tap_buffer_clear(&text);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_the_right_kind_are_read),
        cmocka_unit_test(members_of_another_kind_are_refused),
        cmocka_unit_test(texts_that_are_not_plain_objects_are_refused),
        cmocka_unit_test(files_have_a_limit),
        cmocka_unit_test(values_print_as_they_were_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

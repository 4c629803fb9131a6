/* Small tokenizers of every kind against the reference: ids with and without special tokens,
 * and text from them. tools/make_tokenizer_golden.py made tokenizers and vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"
#include "format/tokenizer.h"

#define FOLDER "tests/golden/tokenizers/"

static bool same_ids(const tap_tokenizer *t, const json_t *line, const char *key,
                     bool special)
{
    const json_t *text = json_object_get(line, "text"),
                 *want = json_object_get(line, key);
    int32_t *ids = NULL;
    size_t n = 0;
    tap_error err;
    assert_int_equal(tap_tokenizer_encode(&ids, &n, t, json_string_value(text),
                                          json_string_length(text), special, &err),
                     TAP_OK);
    bool same = n == json_array_size(want);
    for (size_t i = 0; same && i < n; i++)
        same = ids[i] == json_integer_value(json_array_get(want, i));
    if (!same)
        print_error("'%s': %s differ\n", json_string_value(text), key);
    tap_free(ids);
    return same;
}

static bool same_text(const tap_tokenizer *t, const json_t *line, const char *from,
                      const char *key, bool skip)
{
    const json_t *want = json_object_get(line, key),
                 *list = json_object_get(line, from);
    int32_t ids[512];
    char *text = NULL;
    size_t n = 0;
    tap_error err;
    if (!want)
        return true;
    assert_true(json_array_size(list) <= 512);
    for (size_t i = 0; i < json_array_size(list); i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    assert_int_equal(
        tap_tokenizer_decode(&text, &n, t, ids, json_array_size(list), skip, &err), 0);
    const bool same =
        n == json_string_length(want) && memcmp(text, json_string_value(want), n) == 0;
    if (!same)
        print_error("'%s' is '%s' (%s)\n", text, json_string_value(want), key);
    tap_free(text);
    return same;
}

static void check_kind(const char *file)
{
    char path[128], *lines = NULL;
    size_t n_lines = 0;
    int n_texts = 0, n_wrong = 0;
    tap_tokenizer *t = NULL;
    tap_error err;
    (void)snprintf(path, sizeof path, FOLDER "%s", file);
    if (tap_tokenizer_open(&t, path, &err) != TAP_OK)
        fail_msg("%s", err.message);
    (void)snprintf(path, sizeof path, FOLDER "%.*s.jsonl",
                   (int)(strrchr(file, '.') - file), file);
    assert_int_equal(tap_file_read(&lines, &n_lines, path, 1 << 20, &err), TAP_OK);
    for (char *at = lines, *end; (end = strchr(at, '\n')); at = end + 1) {
        json_t *line = NULL;
        assert_int_equal(tap_json_parse(&line, at, (size_t)(end - at), path, &err), 0);
        n_wrong += !same_ids(t, line, "ids", true) +
                   !same_ids(t, line, "plain", false) +
                   !same_text(t, line, "ids", "back", false) +
                   !same_text(t, line, "ids", "back_plain", true);
        n_texts++;
        json_decref(line);
    }
    print_message("%s: %d texts, %d comparisons wrong\n", file, n_texts, n_wrong);
    assert_int_equal(n_texts, 60);
    assert_int_equal(n_wrong, 0);
    tap_free(lines);
    tap_tokenizer_close(t);
}

static void every_kind_gives_the_reference_ids_and_text(void **state)
{
    static const char *const files[] = {"byte_level.json", "split_level.json",
                                        "digits.json",     "clip.json",
                                        "prepend.json",    "metaspace_first.json",
                                        "metaspace.json",  "sentencepiece.model"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_kind(files[i]);
}

/* Every allocation of ours fails once: a status, and nothing lost (sanitizers see that). */
static void running_out_of_memory_is_a_status(void **state)
{
    static const char *const files[] = {"clip.json", "metaspace_first.json",
                                        "sentencepiece.model"};
    (void)state;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[128];
        tap_status status = TAP_ENOMEM;
        int64_t n = 1;
        (void)snprintf(path, sizeof path, FOLDER "%s", files[f]);
        for (; status == TAP_ENOMEM && n < 100000; n += n < 200 ? 1 : 37) {
            tap_tokenizer *t = NULL;
            int32_t *ids = NULL;
            char *text = NULL;
            size_t n_ids = 0, n_text = 0;
            tap_error err;
            (void)tap_memory_fail_at(n);
            status = tap_tokenizer_open(&t, path, &err);
            if (status == TAP_OK)
                status = tap_tokenizer_encode(&ids, &n_ids, t, " A tail\xc3\xa9", 9,
                                              true, &err);
            if (status == TAP_OK)
                status =
                    tap_tokenizer_decode(&text, &n_text, t, ids, n_ids, true, &err);
            (void)tap_memory_fail_at(0);
            tap_free(text);
            tap_free(ids);
            tap_tokenizer_close(t);
        }
        assert_int_equal(status, TAP_OK);
        assert_true(n > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_gives_the_reference_ids_and_text),
        cmocka_unit_test(running_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

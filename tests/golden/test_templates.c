/* Chat templates against what transformers renders (tools/make_template_golden.py); those
 * whose reference is no Jinja template, against the words of the reference code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "model/template.h"

static void assert_text(const char *name, const char *question, bool image,
                        const char *want)
{
    const tap_template *t = NULL;
    char *text = NULL;
    tap_error err;
    assert_int_equal(tap_template_get(&t, name, &err), TAP_OK);
    assert_int_equal(tap_template_put(&text, t, question, image, &err), TAP_OK);
    assert_string_equal(text, want);
    tap_free(text);
}

static void templates_give_the_reference_text(void **state)
{
    (void)state;
    char *lines = NULL;
    size_t n_lines = 0;
    int n = 0;
    tap_error err;
    assert_int_equal(
        tap_file_read(&lines, &n_lines, "tests/golden/templates.jsonl", 1 << 20, &err),
        TAP_OK);
    for (char *at = lines, *end; (end = strchr(at, '\n')); at = end + 1) {
        json_t *line = NULL;
        assert_int_equal(tap_json_parse(&line, at, (size_t)(end - at), "line", &err),
                         0);
        assert_text(json_string_value(json_object_get(line, "template")),
                    json_string_value(json_object_get(line, "question")),
                    json_is_true(json_object_get(line, "image")),
                    json_string_value(json_object_get(line, "text")));
        n++;
        json_decref(line);
    }
    tap_free(lines);
    print_message("%d texts equal\n", n);
    assert_int_equal(n, 36);
}

#define CURIOUS_USER                                                                   \
    "A chat between a curious user and an artificial intelligence assistant. The "     \
    "assistant gives helpful, detailed, and polite answers to the user's questions."

static void templates_of_reference_code(void **state)
{
    (void)state;
    assert_text("vicuna_v1", "Q?", true, CURIOUS_USER " USER: <image>\nQ? ASSISTANT:");
    assert_text("prismatic", "Q?", true, "<image>" CURIOUS_USER " USER: Q? ASSISTANT:");
    assert_text("prismatic", "Q?", false, CURIOUS_USER " USER: Q? ASSISTANT:");
    assert_text("prismatic-pure", "Q?", true, "<image>In: Q?\nOut:");
    assert_text(
        "prismatic-llama-2", "Q?", true,
        "<image>[INST] <<SYS>\nYou are a helpful language and vision assistant. "
        "You are able to understand the visual content that the user provides, "
        "and assist the user with a variety of tasks using natural language.\n"
        "<</SYS>>\n\nQ? [/INST]");
    assert_text("xgen", "Q?", true,
                "<|system|>\n" CURIOUS_USER
                "<|end|>\n<|user|>\n<image>\nQ?<|end|>\n<|assistant|>\n");
    assert_text("yi", "Q?", true,
                "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n"
                "<image>\nQ?<|im_end|><|im_start|>assistant\n");
    assert_text("llava_v1", "Q?", false,
                "A chat between a curious human and an artificial intelligence "
                "assistant. The assistant gives helpful, detailed, and polite answers "
                "to the human's questions. USER: Q? ASSISTANT:");
}

static void an_image_in_the_question_keeps_its_place(void **state)
{
    (void)state;
    assert_text("llava-1.5", "Is <image> a cat?", true,
                "USER: Is <image> a cat? ASSISTANT:");
    assert_text("plain", "Once %s upon", false, "Once %s upon");
}

static void an_unknown_name_gets_the_nearest(void **state)
{
    (void)state;
    const tap_template *t = NULL;
    tap_error err;
    assert_int_equal(tap_template_get(&t, "vicuna-v1", &err), TAP_EINVAL);
    assert_string_equal(err.message,
                        "no template is called 'vicuna-v1'; did you mean 'vicuna_v1'?");
    assert_int_equal(tap_template_get(&t, "zzzzzzzzzzzz", &err), TAP_EINVAL);
    assert_non_null(strstr(err.message, "there are plain, llava-1.5, vicuna_v1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_give_the_reference_text),
        cmocka_unit_test(templates_of_reference_code),
        cmocka_unit_test(an_image_in_the_question_keeps_its_place),
        cmocka_unit_test(an_unknown_name_gets_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

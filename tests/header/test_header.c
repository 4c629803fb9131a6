/* tapetum.h alone, as a user's program includes it. */
#include <tapetum.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

static void a_question_is_checked_and_messages_are_sentences(void **state)
{
    (void)state;
    tap_error err;
    tap_answer *answer = NULL;
    tap_model *model = NULL;
    const tap_question empty = TAP_QUESTION_INIT;
    assert_int_equal(tap_ask(&answer, model, &empty, &err), TAP_EINVAL);
    assert_string_equal(err.message,
                        "a question needs TAP_QUESTION_INIT, an image and a label");
    assert_int_equal(tap_model_open(&model, "no/such/folder", &err), TAP_EIO);
    assert_null(model);
    assert_int_equal(tap_experiment_run("no.yaml", "r.db", 1, 0, 0, &err), TAP_EIO);
    assert_int_equal(tap_ask(&answer, model, &empty, 0),
                     TAP_EINVAL); /* err may be NULL */
    assert_int_equal(tap_report("r.html", 0, 0, 1, &err), TAP_EINVAL);
    assert_string_equal(err.message, "a report needs a path and a database");
    tap_answer_free(0);
    tap_model_close(0);
}

/* Latents are no patches, so no answer about a part is made up for them. */
static void a_part_is_refused_where_image_tokens_are_no_patches(void **state)
{
    (void)state;
    static const char *const words[] = {"horse"};
    tap_error err;
    tap_answer *answer = NULL;
    tap_model *model = NULL;
    tap_question question = TAP_QUESTION_INIT;
    assert_int_equal(tap_model_open(&model, "tests/golden/families/xgen-mm", &err),
                     TAP_OK);
    question.image = "tests/golden/families/wide.png";
    question.labels = words;
    question.n_labels = 1;
    assert_int_equal(tap_ask(&answer, model, &question, &err), TAP_OK);
    assert_int_equal(tap_answer_n_patches(answer), 25);
    assert_false(tap_answer_in_part(answer, 0));
    tap_answer_free(answer);
    answer = NULL;
    question.part_mask = "tests/golden/families/mask.png";
    assert_int_equal(tap_ask(&answer, model, &question, &err), TAP_EUNSUPPORTED);
    assert_null(answer);
    assert_non_null(strstr(err.message, "an answer about a part"));
    tap_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_checked_and_messages_are_sentences),
        cmocka_unit_test(a_part_is_refused_where_image_tokens_are_no_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

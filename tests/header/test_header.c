/* tapetum.h alone, as a user's program includes it. */
#include <tapetum.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_checked_and_messages_are_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

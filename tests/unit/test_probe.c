/* Ranks of patches to scores of a part, and the forms of a label. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "lab/label.h"
#include "lab/probe.h"

static void scores_of_a_part_by_hand(void **state)
{
    (void)state;
    const float ranks[] = {4, 16, 2}, logits[] = {1, 5, 2, 2, 0}; /* 5 patches */
    const float log_ps[] = {-3, -1, -2, -4, -6};
    const int32_t patches[] = {1, 2, 4};
    tap_probe_input input = {.ranks = ranks,
                             .patches = patches,
                             .n_patches = 3,
                             .n_image = 5,
                             .logits = logits,
                             .log_ps = log_ps};
    tap_score score;
    tap_error err;
    assert_int_equal(tap_probe_run(&score, &input, &err), TAP_OK);
    assert_true(score.best_rank == 2.0 && score.median_rank == 4.0);
    assert_true(fabs(score.mean_log2_rank - (2.0 + 4.0 + 1.0) / 3.0) < 1e-12);
    /* inside 5 2 0, outside 1 2: wins 5>1 5>2 2>1 and half of 2=2 of six pairs */
    assert_true(fabs(score.auc_loc - 3.5 / 6.0) < 1e-12);
    /* inside -1 -2 -6, outside -3 -4 */
    assert_true(fabs(score.gap - (-3.0 - -3.5)) < 1e-12);
    input.logits = input.log_ps = NULL;
    input.n_patches = 2;
    assert_int_equal(tap_probe_run(&score, &input, &err), TAP_OK);
    assert_true(score.best_rank == 4.0 && score.median_rank == 10.0);
    assert_true(isnan(score.auc_loc) && isnan(score.gap));
    const int32_t all[] = {0, 1, 2};
    input = (tap_probe_input){.ranks = ranks,
                              .patches = all,
                              .n_patches = 3,
                              .n_image = 3,
                              .logits = logits,
                              .log_ps = log_ps};
    assert_int_equal(tap_probe_run(&score, &input, &err), TAP_OK);
    assert_true(isnan(score.auc_loc) && isnan(score.gap)); /* nothing outside */
}

static void forms_are_pieces_spelled_exactly(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES];
    tap_error err;
    int n_ids = 0;
    char path[SCRATCH_PATH_BYTES];
    tap_tokenizer *t = NULL;
    scratch_open(directory);
    scratch_path(path, directory, "tokenizer.json");
    assert_int_equal(tiny_tokenizer_write(&n_ids, path, &err), TAP_OK);
    assert_int_equal(tap_tokenizer_open(&t, directory, &err), TAP_OK);
    const tap_label_spec spec = TAP_LABELS_AS_NAMED;
    tap_labels labels;
    assert_int_equal(tap_labels_open(&labels, t, &spec, &err), TAP_OK);
    int64_t tail = -1, again = -1, none = -1;
    assert_int_equal(tap_labels_find(&tail, &labels, "tail", &err), TAP_OK);
    assert_int_equal(tap_labels_find(&again, &labels, "tail", &err), TAP_OK);
    assert_int_equal(tail, again);
    const tap_label *label = &labels.labels[tail];
    assert_int_equal(label->n_forms, 8);
    assert_true(label->n_columns >= 1);
    for (int64_t f = 0; f < label->n_forms; f++) {
        const tap_label_form *form = &label->forms[f];
        if (strcmp(form->name, "space") == 0)
            assert_int_equal(form->token_id,
                             tap_tokenizer_find(t, "\xe2\x96\x81tail", 7));
        if (strcmp(form->name, "bare") == 0)
            assert_int_equal(form->token_id, tap_tokenizer_find(t, "tail", 4));
        assert_true(form->token_id < 0 ? form->n_tokens > 1 : form->column >= 0);
    }
    assert_int_equal(tap_labels_find(&none, &labels, "chainwheel", &err), TAP_OK);
    assert_int_equal(labels.labels[none].n_columns, 0);
    assert_int_equal(tap_labels_find(&none, &labels, "", &err), TAP_EINVAL);
    assert_string_equal(err.message, "a label is empty");
    tap_labels_clear(&labels);
    tap_tokenizer_close(t);
    scratch_close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_of_a_part_by_hand),
        cmocka_unit_test(forms_are_pieces_spelled_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Labels: forms, synonyms, policies and lists that several models share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "base/file.h"
#include "lab/label.h"

#define LLAMA "../shared/data/tokenizers/llama2"

static void plurals_of_the_last_word(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"tail", "tails"},
        {"foot", "feet"},
        {"front foot", "front feet"},
        {"hoof", "hooves"},
        {"trousers", "trousers"},
        {"body", "bodies"},
        {"key", "keys"},
        {"brush", "brushes"},
        {"license plate", "license plates"},
        {"y", "ys"},
        {"hair", "hair"},
    };
    tap_word_forms forms;
    tap_error err;
    assert_int_equal(tap_word_forms_open(&forms, "none", &err), TAP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *plural = NULL;
        assert_int_equal(tap_word_plural(&plural, &forms, cases[i][0], &err), TAP_OK);
        assert_string_equal(plural, cases[i][1]);
        tap_free(plural);
    }
    assert_null(tap_word_synonym(&forms, "muzzle", 0));
    tap_word_forms_clear(&forms);
    assert_int_equal(tap_word_forms_open(&forms, "default", &err), TAP_OK);
    assert_string_equal(tap_word_synonym(&forms, "muzzle", 0), "snout");
    assert_string_equal(tap_word_synonym(&forms, "coach", 1), "wagon");
    assert_null(tap_word_synonym(&forms, "coach", 2));
    /* what is a synonym everywhere is no label of its own */
    for (size_t r = 0; r < forms.synonyms.n_rows; r++)
        assert_true(strcmp(tap_tsv_cell(&forms.synonyms, r, 0),
                           tap_tsv_cell(&forms.synonyms, r, 1)) != 0);
    tap_word_forms_clear(&forms);
}

/* The tokens that count for a label, as pieces: "a b", "-" if it is excluded. */
static void check_counts(tap_labels *labels, const char *word, const char *expected)
{
    char found[512] = "";
    int64_t index = 0;
    tap_error err;
    assert_int_equal(tap_labels_find(&index, labels, word, &err), TAP_OK);
    const tap_label *label = &labels->labels[index];
    for (int64_t c = 0; c < label->n_columns; c++) {
        size_t n = 0, used = strlen(found);
        const int32_t column = label->columns[c];
        const int32_t id = labels->policy == TAP_MULTI_SEQUENCE
                               ? labels->spellings[column].ids[0]
                               : labels->ids[column];
        const char *piece = tap_tokenizer_piece(labels->tokenizer, id, &n);
        (void)snprintf(found + used, sizeof found - used, "%s%.*s", c ? " " : "",
                       (int)n, piece);
    }
    if (label->excluded) {
        assert_int_equal(label->n_columns, 0);
        (void)snprintf(found, sizeof found, "-");
    }
    assert_string_equal(found, expected);
}

#define S "\xe2\x96\x81"

typedef struct fixture {
    char folder[SCRATCH_BYTES];
    tap_tokenizer *tokenizer;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    char path[SCRATCH_PATH_BYTES];
    int n_ids = 0;
    tap_error err;
    scratch_open(f.folder);
    scratch_path(path, f.folder, "tokenizer.json");
    assert_int_equal(tiny_tokenizer_write(&n_ids, path, &err), TAP_OK);
    assert_int_equal(tap_tokenizer_open(&f.tokenizer, f.folder, &err), TAP_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    tap_tokenizer_close(f->tokenizer);
    scratch_close(f->folder);
    return 0;
}

static void single_token_forms_count_and_synonyms_with_them(void **state)
{
    const fixture *f = *state;
    char path[SCRATCH_PATH_BYTES];
    tap_label_spec spec = TAP_LABELS_AS_NAMED;
    tap_labels labels;
    tap_error err;
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_OK);
    check_counts(&labels, "tail", "tail " S "tail " S "Tail " S "tails");
    check_counts(&labels, "saddle", "-");
    check_counts(&labels, "hair", "hair " S "hair " S "Hair"); /* no plural again */
    int64_t index = 0;
    assert_int_equal(tap_labels_find(&index, &labels, "hair", &err), TAP_OK);
    assert_int_equal(labels.labels[index].n_forms, 4);
    assert_int_equal(tap_labels_find(&index, &labels, "saddle", &err), TAP_OK);
    assert_string_equal(labels.labels[index].excluded,
                        "every form of the label 'saddle' needs several tokens");
    tap_labels_clear(&labels);

    scratch_write_text(f->folder, "words.tsv",
                       "# mine\nlabel\tsynonym\nsaddle\tmirror\nsaddle\tdoor\n");
    scratch_path(path, f->folder, "words.tsv");
    spec.synonyms = path;
    spec.forms = TAP_FORM_SPACE;
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_OK);
    check_counts(&labels, "saddle", "mirror " S "mirror door " S "door");
    assert_int_equal(tap_labels_find(&index, &labels, "saddle", &err), TAP_OK);
    assert_string_equal(labels.labels[index].forms[0].name, "bare");
    assert_string_equal(labels.labels[index].forms[3].name, "mirror/space");
    assert_string_equal(labels.labels[index].forms[3].text, "mirror");
    tap_labels_clear(&labels);

    scratch_write_text(f->folder, "words.tsv", "label\tsynonym\nsaddle\t\n");
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_EFORMAT);
    assert_non_null(strstr(err.message, "words.tsv', line 2: an empty cell"));
    spec.synonyms = "/nowhere.tsv";
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_EIO);
}

static void policies_say_how_pieces_count(void **state)
{
    const fixture *f = *state;
    tap_label_spec spec = {.forms = TAP_FORM_SPACE, .synonyms = "none"};
    for (tap_multi_token policy = TAP_MULTI_SKIP; policy <= TAP_MULTI_SEQUENCE;
         policy++) {
        tap_labels labels;
        tap_error err;
        int64_t index = 0;
        spec.multi_token = policy;
        assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_OK);
        check_counts(&labels, "tail", "tail " S "tail"); /* whatever the policy */
        assert_int_equal(tap_labels_find(&index, &labels, "saddle", &err), TAP_OK);
        const tap_label *label = &labels.labels[index];
        assert_int_equal(label->excluded != NULL, policy == TAP_MULTI_SKIP);
        assert_int_equal(label->n_forms, 2);
        assert_true(label->forms[0].n_ids > 1 && label->forms[1].n_ids > 1);
        if (policy == TAP_MULTI_FIRST_PIECE)
            assert_true(label->n_columns >= 1 && label->n_columns <= 2);
        if (policy == TAP_MULTI_BEST_PIECE)
            assert_true(label->n_columns > 2 &&
                        label->n_columns <=
                            label->forms[0].n_ids + label->forms[1].n_ids);
        if (policy == TAP_MULTI_SEQUENCE) { /* every form as a whole */
            assert_int_equal(label->n_columns, 2);
            for (int64_t k = 0; k < 2; k++) {
                const tap_spelling *s = &labels.spellings[label->columns[k]];
                assert_int_equal(label->forms[k].column, label->columns[k]);
                assert_int_equal(s->n_ids, label->forms[k].n_ids);
                assert_memory_equal(s->ids, label->forms[k].ids,
                                    (size_t)s->n_ids * sizeof *s->ids);
            }
            assert_int_equal(tap_labels_n_columns(&labels), labels.n_spellings);
            tap_labels_clear(&labels);
            continue;
        }
        for (int64_t c = 0; c < label->n_columns; c++) { /* no lone word mark */
            size_t n = 0;
            const char *piece =
                tap_tokenizer_piece(f->tokenizer, labels.ids[label->columns[c]], &n);
            assert_false(n == 3 && memcmp(piece, S, 3) == 0);
        }
        if (policy == TAP_MULTI_SKIP)
            assert_int_equal(label->n_columns, 0);
        tap_labels_clear(&labels);
    }
}

static void a_shared_list_holds_what_every_model_can_score(void **state)
{
    const fixture *f = *state;
    if (!tap_file_exists(LLAMA "/tokenizer.model"))
        skip();
    const char *common[] = {LLAMA};
    const tap_label_spec spec = {
        .forms = TAP_FORM_SPACE, .synonyms = "none", .common = common, .n_common = 1};
    tap_labels labels;
    tap_error err;
    int64_t index = 0;
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_OK);
    check_counts(&labels, "tail", "tail " S "tail");
    check_counts(&labels, "paw", "-"); /* one token here, several in Llama */
    assert_int_equal(tap_labels_find(&index, &labels, "paw", &err), TAP_OK);
    assert_string_equal(labels.labels[index].excluded,
                        "every form of the label 'paw' needs several tokens of '" LLAMA
                        "' (common_labels)");
    assert_true(labels.labels[index].forms[0].token_id >= 0);
    tap_labels_clear(&labels);
    common[0] = "/nowhere";
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_EIO);
}

static void words_that_no_tokenizer_takes_are_excluded(void **state)
{
    const fixture *f = *state;
    const tap_label_spec spec = TAP_LABELS_AS_NAMED;
    tap_labels labels;
    tap_error err;
    int64_t index = 0;
    char word[300];
    assert_int_equal(tap_labels_open(&labels, f->tokenizer, &spec, &err), TAP_OK);
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    check_counts(&labels, word, "-");
    check_counts(&labels, "\xff\xfe", "-"); /* not UTF-8 */
    assert_int_equal(tap_labels_find(&index, &labels, "", &err), TAP_EINVAL);
    assert_string_equal(err.message, "a label is empty");
    tap_labels_clear(&labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plurals_of_the_last_word),
        cmocka_unit_test(single_token_forms_count_and_synonyms_with_them),
        cmocka_unit_test(policies_say_how_pieces_count),
        cmocka_unit_test(a_shared_list_holds_what_every_model_can_score),
        cmocka_unit_test(words_that_no_tokenizer_takes_are_excluded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

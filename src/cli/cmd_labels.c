/* tapetum labels: which words of a data set can which model score? The list to publish
 * beside results, and the list that several models share. */
#include "cli/commands.h"
#include "cli/reading.h"
#include "lab/dataset.h"
#include "lab/label.h"

#include <string.h>

/* A label and how many items have it. */
typedef struct word {
    char *text;
    int64_t n_items; /* excluded ones too */
} word;

typedef struct word_list {
    word *words;
    size_t n, capacity;
} word_list;

typedef struct subject {
    char *path;
    tap_tokenizer *tokenizer;
    tap_labels labels;
} subject;

static void clear_words(word_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        tap_free(list->words[i].text);
    tap_free(list->words);
}

static tap_status count_word(word_list *list, const char *text, tap_error *err)
{
    size_t i = 0;
    while (i < list->n && strcmp(list->words[i].text, text) != 0)
        i++;
    if (i == list->n) {
        TAP_TRY(tap_grow(&list->words, &list->capacity, list->n + 1,
                         sizeof *list->words, "labels", err));
        TAP_TRY(tap_text_copy(&list->words[i].text, text, strlen(text), err));
        list->n++;
    }
    list->words[i].n_items++;
    return TAP_OK;
}

static tap_status count_items(void *owner, const char *image, const tap_items *items,
                              tap_error *err)
{
    (void)image;
    for (size_t p = 0; p < items->n_parts; p++)
        TAP_TRY(count_word(owner, items->parts[p].label, err));
    return TAP_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const word *)a)->text, ((const word *)b)->text);
}

/* ---- output ---- */

static json_t *form_json(const tap_labels *labels, const tap_label *label,
                         const tap_label_form *form)
{
    json_t *ids = json_array(), *pieces = json_array();
    bool counts = false;
    for (int64_t i = 0; i < form->n_ids; i++) {
        size_t n = 0;
        const char *piece = tap_tokenizer_piece(labels->tokenizer, form->ids[i], &n);
        char text[128];
        snprintf(text, sizeof text, "%.*s", (int)(n < 127 ? n : 127),
                 piece ? piece : "");
        json_array_append_new(ids, json_integer(form->ids[i]));
        json_array_append_new(pieces, tap_cli_json_text(text));
        const bool whole = labels->policy == TAP_MULTI_SEQUENCE;
        counts |= whole && form->column >= 0 && label->n_columns > 0;
        for (int64_t c = 0; c < label->n_columns && !whole; c++)
            counts |= labels->ids[label->columns[c]] == form->ids[i] &&
                      (form->n_ids == 1 || labels->policy != TAP_MULTI_SKIP);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "form", tap_cli_json_text(form->name),
                     "text", tap_cli_json_text(form->text), "token_ids", ids, "pieces",
                     pieces, "counts", (int)counts);
}

static tap_status put_line(const tap_cli *cli, const char *model, const word *w,
                           const tap_labels *labels, const tap_label *label,
                           const char *excluded, tap_error *err)
{
    if (tap_args_flag(cli->args, "excluded") && !excluded)
        return TAP_OK;
    if (cli->json) {
        json_t *forms = json_array();
        for (int64_t f = 0; label && f < label->n_forms; f++)
            json_array_append_new(forms, form_json(labels, label, &label->forms[f]));
        return tap_cli_put_json(
            json_pack("{s:o, s:o, s:I, s:o, s:o}", "label", tap_cli_json_text(w->text),
                      "model", tap_cli_json_text(model), "n_items",
                      (json_int_t)w->n_items, "excluded",
                      excluded ? tap_cli_json_text(excluded) : json_null(), "forms",
                      forms),
            err);
    }
    tap_cli_put_cell(w->text, '\t');
    printf("%lld\t%s\t", (long long)w->n_items, model);
    bool first = true;
    for (int64_t f = 0; label && f < label->n_forms; f++)
        if (label->forms[f].column >= 0) {
            printf("%s%s", first ? "" : " ", label->forms[f].name);
            first = false;
        }
    putchar('\t');
    tap_cli_put_cell(excluded, '\n');
    return TAP_OK;
}

/* The lines of one label: a model each, then 'all' when there are several. */
static tap_status put_word(const tap_cli *cli, const word *w, subject *subjects,
                           size_t n_subjects, int64_t *n_common, tap_error *err)
{
    char *all = NULL;
    tap_status status = TAP_OK;
    for (size_t s = 0; s < n_subjects; s++) {
        int64_t index = 0;
        TAP_TRY_OUT(tap_labels_find(&index, &subjects[s].labels, w->text, err));
        const tap_label *label = &subjects[s].labels.labels[index];
        TAP_TRY_OUT(put_line(cli, subjects[s].path, w, &subjects[s].labels, label,
                             label->excluded, err));
        if (label->excluded && !all)
            TAP_TRY_OUT(tap_text_format(&all, err, "%s of '%s'", label->excluded,
                                        subjects[s].path));
    }
    *n_common += !all;
    if (n_subjects > 1)
        status = put_line(cli, "all", w, NULL, NULL, all, err);
out:
    tap_free(all);
    return status;
}

/* ---- the command ---- */

static tap_status open_subjects(subject *subjects, size_t n, const char *const *names,
                                const tap_label_spec *spec, tap_error *err)
{
    for (size_t s = 0; s < n; s++) {
        TAP_TRY(tap_cli_find_model(&subjects[s].path, names[s], err));
        TAP_TRY(tap_tokenizer_open(&subjects[s].tokenizer, subjects[s].path, err));
        TAP_TRY(tap_labels_open(&subjects[s].labels, subjects[s].tokenizer, spec, err));
    }
    return TAP_OK;
}

tap_status tap_cmd_labels(tap_cli *cli, tap_error *err)
{
    tap_experiment e = {0};
    word_list list = {0};
    subject *subjects = NULL;
    size_t n = 0;
    tap_status status =
        tap_experiment_read_data(&e, tap_args_argument(cli->args, 0), err);
    if (status != TAP_OK)
        return status;
    const char *const *names = tap_args_list(&n, cli->args, "model");
    if (n == 0 && e.model) {
        names = &e.model;
        n = 1;
    }
    if (n == 0)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EINVAL,
                     "'%s' names no model; add --model MODEL, a model directory "
                     "or tokenizer file",
                     e.path));
    tap_label_spec spec = e.labels;
    if (tap_args_given(cli->args, "model"))
        spec.n_common = 0; /* each for itself; the line 'all' joins them */
    TAP_TRY_OUT(tap_alloc(&subjects, n, sizeof *subjects, "labels", err));
    TAP_TRY_OUT(open_subjects(subjects, n, names, &spec, err));
    TAP_TRY_OUT(tap_cli_read_items(cli, &e.data, count_items, &list, err));
    if (list.n > 1)
        qsort(list.words, list.n, sizeof *list.words, by_text);
    if (!cli->json)
        printf("label\tn_items\tmodel\tforms\texcluded\n");
    int64_t n_common = 0;
    for (size_t w = 0; w < list.n; w++)
        TAP_TRY_OUT(put_word(cli, &list.words[w], subjects, n, &n_common, err));
    tap_cli_note(cli, "%lld of %zu labels can be scored by %s", (long long)n_common,
                 list.n, n > 1 ? "all models" : subjects[0].path);
out:
    for (size_t s = 0; subjects && s < n; s++) {
        tap_labels_clear(&subjects[s].labels);
        tap_tokenizer_close(subjects[s].tokenizer);
        tap_free(subjects[s].path);
    }
    tap_free(subjects);
    clear_words(&list);
    tap_experiment_clear(&e);
    return status;
}

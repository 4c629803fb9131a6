/* A form is one token when the vocabulary holds a piece spelled exactly so: the word with a
 * word mark in front (U+2581, or the byte-level space U+0120) for "space", without for
 * "bare". So the answer does not depend on what a tokenizer puts before a lone word. */
#include "lab/label.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FORM_BYTES = 128 };

static const char *const plurals[][2] = {
    {"foot", "feet"},    {"tooth", "teeth"},   {"leaf", "leaves"}, {"hoof", "hooves"},
    {"knife", "knives"}, {"shelf", "shelves"}, {"wolf", "wolves"}, {"person", "people"},
    {"hair", "hair"},    {"sheep", "sheep"},   {"fish", "fish"}};

static bool ends_with(const char *word, const char *end)
{
    const size_t n = strlen(word), m = strlen(end);
    return n >= m && strcmp(word + n - m, end) == 0;
}

/* English plural: the table above, else -es after a hiss, -ies for a consonant and y, -s. */
static void make_plural(char out[FORM_BYTES], const char *word)
{
    static const char *const hisses[] = {"s", "x", "z", "ch", "sh"};
    const size_t n = strlen(word);
    for (size_t i = 0; i < sizeof plurals / sizeof *plurals; i++)
        if (strcmp(word, plurals[i][0]) == 0) {
            (void)snprintf(out, FORM_BYTES, "%s", plurals[i][1]);
            return;
        }
    for (size_t i = 0; i < sizeof hisses / sizeof *hisses; i++)
        if (ends_with(word, hisses[i])) {
            (void)snprintf(out, FORM_BYTES, "%ses", word);
            return;
        }
    if (n > 1 && word[n - 1] == 'y' && !strchr("aeiou", word[n - 2]))
        (void)snprintf(out, FORM_BYTES, "%.*sies", (int)n - 1, word);
    else
        (void)snprintf(out, FORM_BYTES, "%ss", word);
}

/* The column of a token among the words ranked, added when new. */
static tap_status column_of(int32_t *column, tap_labels *labels, int32_t id,
                            tap_error *err)
{
    for (size_t i = 0; i < labels->n_ids; i++)
        if (labels->ids[i] == id) {
            *column = (int32_t)i;
            return TAP_OK;
        }
    TAP_TRY(tap_grow(&labels->ids, &labels->id_capacity, labels->n_ids + 1,
                     sizeof *labels->ids, "labels", err));
    *column = (int32_t)labels->n_ids;
    labels->ids[labels->n_ids++] = id;
    return TAP_OK;
}

/* The pieces of a word that is not one token, as they stand behind "a" (with a space) or
 * behind a line break (without one): what a tokenizer puts before a lone word stays out. */
static tap_status find_pieces(tap_label_form *form, const tap_labels *labels,
                              const char *word, bool space, tap_error *err)
{
    const char *lead = space ? "a" : "\n";
    char text[FORM_BYTES + 4];
    int32_t *ids = NULL, *before = NULL;
    size_t n_ids = 0, n_before = 0;
    tap_status status = TAP_OK;
    (void)snprintf(text, sizeof text, "%s%s%s", lead, space ? " " : "", word);
    TAP_TRY_OUT(tap_tokenizer_encode(&ids, &n_ids, labels->tokenizer, text,
                                     strlen(text), false, err));
    TAP_TRY_OUT(tap_tokenizer_encode(&before, &n_before, labels->tokenizer, lead, 1,
                                     false, err));
    size_t skip = 0;
    while (skip < n_before && skip + 1 < n_ids && ids[skip] == before[skip])
        skip++;
    form->n_ids = (int64_t)(n_ids - skip);
    form->n_tokens = form->n_ids > 1 ? (int)form->n_ids : 2;
    TAP_TRY_OUT(tap_alloc(&form->ids, n_ids, sizeof *form->ids, "labels", err));
    memcpy(form->ids, ids + skip, (n_ids - skip) * sizeof *ids);
out:
    tap_free(ids);
    tap_free(before);
    return status;
}

static tap_status put_form(tap_label *label, tap_labels *labels, const char *word,
                           bool space, const char *name, tap_error *err)
{
    static const char *const marks[] = {"\xe2\x96\x81", "\xc4\xa0"};
    char piece[FORM_BYTES + 4];
    tap_label_form form = {.token_id = -1, .n_tokens = 1, .column = -1};
    for (size_t m = 0; m < (space ? 2 : 1) && form.token_id < 0; m++) {
        (void)snprintf(piece, sizeof piece, "%s%s", space ? marks[m] : "", word);
        form.token_id = tap_tokenizer_find(labels->tokenizer, piece, strlen(piece));
    }
    label->forms[label->n_forms] = form; /* cleared with the label from here on */
    tap_label_form *kept = &label->forms[label->n_forms++];
    if (form.token_id < 0) {
        TAP_TRY(find_pieces(kept, labels, word, space, err));
    } else {
        TAP_TRY(tap_alloc(&kept->ids, 1, sizeof *kept->ids, "labels", err));
        kept->ids[0] = form.token_id;
        kept->n_ids = 1;
        TAP_TRY(column_of(&kept->column, labels, form.token_id, err));
        bool known = false;
        for (int64_t i = 0; i < label->n_columns; i++)
            known |= label->columns[i] == kept->column;
        if (!known)
            label->columns[label->n_columns++] = kept->column;
    }
    return tap_text_copy(&kept->name, name, strlen(name), err);
}

static void clear_label(tap_label *label)
{
    for (int64_t f = 0; f < label->n_forms; f++) {
        tap_free(label->forms[f].name);
        tap_free(label->forms[f].ids);
    }
    tap_free(label->forms);
    tap_free(label->columns);
    tap_free(label->word);
}

static tap_status make_label(tap_label *out, tap_labels *labels, const char *word,
                             tap_error *err)
{
    enum { N_FORMS = 8 };

    tap_label label = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_text_copy(&label.word, word, strlen(word), err));
    TAP_TRY_OUT(tap_alloc(&label.forms, N_FORMS, sizeof *label.forms, "labels", err));
    TAP_TRY_OUT(
        tap_alloc(&label.columns, N_FORMS, sizeof *label.columns, "labels", err));
    for (int f = 0; f < N_FORMS; f++) {
        const bool space = f & 1, upper = f & 2, plural = f & 4;
        if ((space && !(labels->forms & TAP_FORM_SPACE)) ||
            (upper && !(labels->forms & TAP_FORM_CASE)) ||
            (plural && !(labels->forms & TAP_FORM_PLURAL)))
            continue;
        char text[FORM_BYTES], name[32];
        if (plural)
            make_plural(text, word);
        else
            (void)snprintf(text, sizeof text, "%s", word);
        if (upper)
            text[0] = (char)toupper((unsigned char)text[0]);
        (void)snprintf(name, sizeof name, "%s%s%s", space ? "space" : "bare",
                       upper ? "+case" : "", plural ? "+plural" : "");
        TAP_TRY_OUT(put_form(&label, labels, text, space, name, err));
    }
out:
    if (status == TAP_OK)
        *out = label;
    else
        clear_label(&label);
    return status;
}

tap_status tap_labels_find(int64_t *index, tap_labels *labels, const char *word,
                           tap_error *err)
{
    for (size_t i = 0; i < labels->n_labels; i++)
        if (strcmp(labels->labels[i].word, word) == 0) {
            *index = (int64_t)i;
            return TAP_OK;
        }
    if (word[0] == '\0' || strlen(word) >= FORM_BYTES - 4)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the label '%.40s' is empty or longer than %d bytes", word,
                        FORM_BYTES - 5);
    TAP_TRY(tap_grow(&labels->labels, &labels->label_capacity, labels->n_labels + 1,
                     sizeof *labels->labels, "labels", err));
    TAP_TRY(make_label(&labels->labels[labels->n_labels], labels, word, err));
    *index = (int64_t)labels->n_labels++;
    return TAP_OK;
}

void tap_labels_clear(tap_labels *labels)
{
    for (size_t i = 0; i < labels->n_labels; i++)
        clear_label(&labels->labels[i]);
    tap_free(labels->labels);
    tap_free(labels->ids);
    *labels = (tap_labels){0};
}

static tap_status put_spelling(tap_label_spellings *out, size_t *capacity, size_t label,
                               int64_t form, const int32_t *ids, int64_t n_ids,
                               tap_error *err)
{
    if ((size_t)out->n == *capacity) {
        size_t each[3] = {*capacity, *capacity, *capacity};
        const size_t need = (size_t)out->n + 1;
        TAP_TRY(tap_grow(&out->spellings, &each[0], need, sizeof *out->spellings,
                         "labels", err));
        TAP_TRY(
            tap_grow(&out->label, &each[1], need, sizeof *out->label, "labels", err));
        TAP_TRY(tap_grow(&out->form, &each[2], need, sizeof *out->form, "labels", err));
        *capacity = each[0];
    }
    out->spellings[out->n] = (tap_spelling){ids, n_ids};
    out->label[out->n] = (int32_t)label;
    out->form[out->n++] = (int32_t)form;
    return TAP_OK;
}

tap_status tap_labels_spell(tap_label_spellings *out, const tap_labels *labels,
                            tap_multi_token policy, tap_error *err)
{
    tap_label_spellings s = {0};
    size_t capacity = 0;
    tap_status status = TAP_OK;
    for (size_t l = 0; l < labels->n_labels; l++)
        for (int64_t f = 0; f < labels->labels[l].n_forms; f++) {
            const tap_label_form *form = &labels->labels[l].forms[f];
            if (form->n_ids == 0 || (policy == TAP_MULTI_SKIP && form->token_id < 0))
                continue;
            const int64_t step = policy == TAP_MULTI_SEQUENCE ? form->n_ids : 1;
            const int64_t end = policy == TAP_MULTI_BEST_PIECE ? form->n_ids : step;
            for (int64_t i = 0; i < end; i += step)
                TAP_TRY_OUT(
                    put_spelling(&s, &capacity, l, f, form->ids + i, step, err));
        }
out:
    if (status == TAP_OK)
        *out = s;
    else
        tap_label_spellings_clear(&s);
    return status;
}

void tap_label_spellings_clear(tap_label_spellings *spellings)
{
    tap_free(spellings->spellings);
    tap_free(spellings->label);
    tap_free(spellings->form);
    *spellings = (tap_label_spellings){0};
}

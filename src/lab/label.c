/* A form is one token when the vocabulary holds a piece spelled exactly so: the word with a
 * word mark in front (U+2581, or the byte-level space U+0120) for "space", without for
 * "bare". So the answer does not depend on what a tokenizer puts before a lone word. */
#include "lab/label.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FORM_BYTES = 128 };

/* Another model whose tokenizer must be able to score a label. */
typedef struct tap_labels_other {
    const char *path; /* borrowed from the spec */
    tap_tokenizer *tokenizer;
    tap_labels labels;
} tap_labels_other;

int64_t tap_labels_n_columns(const tap_labels *labels)
{
    return (int64_t)(labels->policy == TAP_MULTI_SEQUENCE ? labels->n_spellings
                                                          : labels->n_ids);
}

/* The column of a form as a whole, added when new. */
static tap_status column_of_form(int32_t *column, tap_labels *labels,
                                 const tap_label_form *form, tap_error *err)
{
    for (size_t i = 0; i < labels->n_spellings; i++) {
        const tap_spelling *s = &labels->spellings[i];
        if (s->n_ids == form->n_ids &&
            memcmp(s->ids, form->ids, (size_t)s->n_ids * sizeof *s->ids) == 0) {
            *column = (int32_t)i;
            return TAP_OK;
        }
    }
    TAP_TRY(tap_grow(&labels->spellings, &labels->spelling_capacity,
                     labels->n_spellings + 1, sizeof *labels->spellings, "labels",
                     err));
    *column = (int32_t)labels->n_spellings;
    labels->spellings[labels->n_spellings++] = (tap_spelling){form->ids, form->n_ids};
    return TAP_OK;
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

/* The column counts for the label. */
static tap_status put_column(tap_label *label, int32_t column, tap_error *err)
{
    for (int64_t i = 0; i < label->n_columns; i++)
        if (label->columns[i] == column)
            return TAP_OK;
    TAP_TRY(tap_grow(&label->columns, &label->column_capacity,
                     (size_t)label->n_columns + 1, sizeof *label->columns, "labels",
                     err));
    label->columns[label->n_columns++] = column;
    return TAP_OK;
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
    }
    if (labels->policy == TAP_MULTI_SEQUENCE && kept->n_ids > 0)
        TAP_TRY(column_of_form(&kept->column, labels, kept, err));
    else if (form.token_id >= 0)
        TAP_TRY(column_of(&kept->column, labels, form.token_id, err));
    if (kept->column >= 0)
        TAP_TRY(put_column(label, kept->column, err));
    TAP_TRY(tap_text_copy(&kept->text, word, strlen(word), err));
    return tap_text_copy(&kept->name, name, strlen(name), err);
}

static void clear_label(tap_label *label)
{
    for (int64_t f = 0; f < label->n_forms; f++) {
        tap_free(label->forms[f].name);
        tap_free(label->forms[f].text);
        tap_free(label->forms[f].ids);
    }
    tap_free(label->forms);
    tap_free(label->columns);
    tap_free(label->word);
    tap_free(label->excluded);
}

/* A form spelled like an earlier one ("hair" in the plural) is not listed again. */
static bool is_listed(const tap_label *label, const char *text, bool space)
{
    for (int64_t f = 0; f < label->n_forms; f++) {
        const char *name = strrchr(label->forms[f].name, '/');
        name = name ? name + 1 : label->forms[f].name;
        if (strcmp(label->forms[f].text, text) == 0 &&
            (strncmp(name, "space", 5) == 0) == space)
            return true;
    }
    return false;
}

enum { N_FORMS = 8 };

/* The forms of one word; synonym: it is not the label itself. */
static tap_status put_word(tap_label *label, tap_labels *labels, const char *word,
                           bool synonym, tap_error *err)
{
    char *plural = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_word_plural(&plural, &labels->words, word, err));
    for (int f = 0; f < N_FORMS; f++) {
        const bool space = f & 1, upper = f & 2, many = f & 4;
        char text[FORM_BYTES], name[FORM_BYTES + 32];
        if ((space && !(labels->forms & TAP_FORM_SPACE)) ||
            (upper && !(labels->forms & TAP_FORM_CASE)) ||
            (many && !(labels->forms & TAP_FORM_PLURAL)))
            continue;
        (void)snprintf(text, sizeof text, "%s", many ? plural : word);
        if (upper)
            text[0] = (char)toupper((unsigned char)text[0]);
        (void)snprintf(name, sizeof name, "%s%s%s%s%s", synonym ? word : "",
                       synonym ? "/" : "", space ? "space" : "bare",
                       upper ? "+case" : "", many ? "+plural" : "");
        if (!is_listed(label, text, space))
            TAP_TRY_OUT(put_form(label, labels, text, space, name, err));
    }
out:
    tap_free(plural);
    return status;
}

/* A piece that says nothing by itself: a lone word mark, or a special token. */
static bool is_empty_piece(const tap_labels *labels, int32_t id)
{
    size_t n = 0;
    const char *piece = tap_tokenizer_piece(labels->tokenizer, id, &n);
    return !piece || tap_tokenizer_is_special(labels->tokenizer, id) ||
           (n == 3 && memcmp(piece, "\xe2\x96\x81", 3) == 0) ||
           (n == 2 && memcmp(piece, "\xc4\xa0", 2) == 0);
}

/* What counts for a label none of whose forms is one token. */
static tap_status put_pieces(tap_label *label, tap_labels *labels, tap_error *err)
{
    if (labels->policy != TAP_MULTI_FIRST_PIECE &&
        labels->policy != TAP_MULTI_BEST_PIECE)
        return TAP_OK;
    for (int64_t f = 0; f < label->n_forms; f++) {
        const tap_label_form *form = &label->forms[f];
        bool found = false;
        for (int64_t i = 0; i < form->n_ids; i++) {
            if (is_empty_piece(labels, form->ids[i]) ||
                (found && labels->policy == TAP_MULTI_FIRST_PIECE))
                continue;
            int32_t column = 0;
            found = true;
            TAP_TRY(column_of(&column, labels, form->ids[i], err));
            TAP_TRY(put_column(label, column, err));
        }
    }
    return TAP_OK;
}

/* Writes down why the label cannot be scored, if so. */
static tap_status judge(tap_label *label, const tap_labels *labels, tap_error *err)
{
    if (label->n_columns > 0)
        return TAP_OK;
    return tap_text_format(&label->excluded, err,
                           labels->policy == TAP_MULTI_SKIP
                               ? "every form of the label '%s' needs several tokens"
                               : "the vocabulary has no piece of the label '%s'",
                           label->word);
}

static tap_status ask_others(tap_label *label, tap_labels *labels, tap_error *err)
{
    for (size_t o = 0; o < labels->n_others && !label->excluded; o++) {
        tap_labels_other *other = &labels->others[o];
        int64_t index = 0;
        TAP_TRY(tap_labels_find(&index, &other->labels, label->word, err));
        const char *reason = other->labels.labels[index].excluded;
        if (reason)
            TAP_TRY(tap_text_format(&label->excluded, err, "%s of '%s' (common_labels)",
                                    reason, other->path));
    }
    if (label->excluded)
        label->n_columns = 0;
    return TAP_OK;
}

static tap_status fill_label(tap_label *label, tap_labels *labels, tap_error *err)
{
    const char *word = label->word, *synonym = NULL;
    size_t n_synonyms = 0;
    while (tap_word_synonym(&labels->words, word, n_synonyms))
        n_synonyms++;
    TAP_TRY(tap_alloc(&label->forms, N_FORMS * (1 + n_synonyms), sizeof *label->forms,
                      "labels", err));
    TAP_TRY(put_word(label, labels, word, false, err));
    for (size_t k = 0; (synonym = tap_word_synonym(&labels->words, word, k)); k++)
        if (strlen(synonym) < FORM_BYTES - 4)
            TAP_TRY(put_word(label, labels, synonym, true, err));
    if (label->n_columns == 0)
        TAP_TRY(put_pieces(label, labels, err));
    TAP_TRY(judge(label, labels, err));
    return ask_others(label, labels, err);
}

static tap_status make_label(tap_label *out, tap_labels *labels, const char *word,
                             tap_error *err)
{
    tap_label label = {0};
    tap_error fault;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_text_copy(&label.word, word, strlen(word), err));
    if (strlen(word) >= FORM_BYTES - 4) {
        status = tap_text_format(&label.excluded, err,
                                 "the label '%.40s...' is longer than %d bytes", word,
                                 FORM_BYTES - 5);
        goto out;
    }
    status = fill_label(&label, labels, &fault);
    if (status == TAP_EINVAL) /* text that the tokenizer does not take */
        status =
            tap_text_copy(&label.excluded, fault.message, strlen(fault.message), err);
    else if (status != TAP_OK)
        status = TAP_FAIL(err, status, "%s", fault.message);
    if (label.excluded)
        label.n_columns = 0;
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
    if (word[0] == '\0')
        return TAP_FAIL(err, TAP_EINVAL, "a label is empty");
    TAP_TRY(tap_grow(&labels->labels, &labels->label_capacity, labels->n_labels + 1,
                     sizeof *labels->labels, "labels", err));
    TAP_TRY(make_label(&labels->labels[labels->n_labels], labels, word, err));
    *index = (int64_t)labels->n_labels++;
    return TAP_OK;
}

tap_status tap_labels_open(tap_labels *out, const tap_tokenizer *tokenizer,
                           const tap_label_spec *spec, tap_error *err)
{
    tap_labels labels = {
        .tokenizer = tokenizer, .forms = spec->forms, .policy = spec->multi_token};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_word_forms_open(&labels.words, spec->synonyms, err));
    TAP_TRY_OUT(tap_alloc(&labels.others, spec->n_common, sizeof *labels.others,
                          "labels", err));
    for (size_t i = 0; i < spec->n_common; i++) {
        tap_labels_other *other = &labels.others[labels.n_others++];
        tap_label_spec own = *spec;
        own.n_common = 0;
        other->path = spec->common[i];
        TAP_TRY_OUT(tap_tokenizer_open(&other->tokenizer, other->path, err));
        TAP_TRY_OUT(tap_labels_open(&other->labels, other->tokenizer, &own, err));
    }
out:
    if (status == TAP_OK)
        *out = labels;
    else
        tap_labels_clear(&labels);
    return status;
}

void tap_labels_clear(tap_labels *labels)
{
    for (size_t i = 0; i < labels->n_labels; i++)
        clear_label(&labels->labels[i]);
    for (size_t o = 0; o < labels->n_others; o++) {
        tap_labels_clear(&labels->others[o].labels);
        tap_tokenizer_close(labels->others[o].tokenizer);
    }
    tap_free(labels->others);
    tap_free(labels->labels);
    tap_free(labels->ids);
    tap_free(labels->spellings);
    tap_word_forms_clear(&labels->words);
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

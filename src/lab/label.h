/* The words that are looked for, as token ids: forms of each label, found once per word.
 *
 * A label is the word itself and its synonyms, each in up to eight forms: with and without a
 * space in front, as written and with a capital, singular and plural. Forms that are one
 * token of the vocabulary have a column among the words ranked, and the best one counts. A
 * label without such a form is excluded, unless a policy says how its pieces count:
 *   skip         it is excluded; the headline setting
 *   first_piece  the first piece of each form counts as the form
 *   best_piece   every piece of each form does
 *   sequence     every form counts, of one token or several: the mean logit of its pieces
 * Labels with a form of one token are scored by such forms alone under every policy but
 * sequence, so that a fragment of a plural does not outrank the word. */
#ifndef TAP_LAB_LABEL_H
#define TAP_LAB_LABEL_H

#include "format/tokenizer.h"
#include "lab/experiment.h"
#include "lab/word_forms.h"
#include "read/vocab.h"

/* One surface form of a label. */
typedef struct tap_label_form {
    char *name;       /* "bare", "space+case+plural" ...; "snout/space" of a synonym */
    char *text;       /* the word without a space in front */
    int32_t token_id; /* -1: it needs several tokens */
    int n_tokens;
    int32_t column; /* place among the words ranked; -1 */
    int32_t *ids;   /* [n_ids] its pieces as they stand in running text */
    int64_t n_ids;
} tap_label_form;

typedef struct tap_label {
    char *word;
    tap_label_form *forms; /* [n_forms] */
    int64_t n_forms;
    int32_t *columns; /* [n_columns] of what counts, distinct; none if excluded */
    int64_t n_columns;
    size_t column_capacity;
    char *excluded; /* NULL, or why this model or another cannot score the label */
} tap_label;

/* All labels met so far and the words that must be ranked for them. */
typedef struct tap_labels {
    const tap_tokenizer *tokenizer; /* borrowed */
    unsigned forms;                 /* TAP_FORM_ bits */
    tap_multi_token policy;
    tap_word_forms words;
    tap_label *labels;
    size_t n_labels, label_capacity;
    int32_t *ids; /* [n_ids] distinct token ids */
    size_t n_ids, id_capacity;
    /* sequence: distinct forms instead, ids borrowed from the labels */
    tap_spelling *spellings; /* [n_spellings] */
    size_t n_spellings, spelling_capacity;
    struct tap_labels_other *others; /* [n_others] models that must score a label too */
    size_t n_others;
} tap_labels;

/* Opens tables, and the tokenizers of spec->common; the tokenizer and the paths in spec are
 * borrowed. Errors: TAP_EIO, TAP_EFORMAT of a table or tokenizer. */
TAP_NODISCARD tap_status tap_labels_open(tap_labels *out,
                                         const tap_tokenizer *tokenizer,
                                         const tap_label_spec *spec, tap_error *err);
/* *index = the label of that word, added when it is new. TAP_EINVAL for an empty word;
 * what else is wrong with a word excludes it. */
TAP_NODISCARD tap_status tap_labels_find(int64_t *index, tap_labels *labels,
                                         const char *word, tap_error *err);
void tap_labels_clear(tap_labels *labels);
/* How many words are ranked for them: of ids, or of spellings. */
int64_t tap_labels_n_columns(const tap_labels *labels);

/* The spellings by which a policy ranks labels, and which form each belongs to.
 *   skip         the forms that are one token
 *   first_piece  the first piece of every form
 *   best_piece   every piece of every form: the best counts
 *   sequence     all pieces of a form at once (read/vocab.h) */
typedef struct tap_label_spellings {
    tap_spelling *spellings; /* [n], ids borrowed from the labels */
    int32_t *label, *form;   /* [n] indices */
    int64_t n;
} tap_label_spellings;

/* Only labels met before the call. tap_label_spellings_clear releases it. */
TAP_NODISCARD tap_status tap_labels_spell(tap_label_spellings *out,
                                          const tap_labels *labels,
                                          tap_multi_token policy, tap_error *err);
void tap_label_spellings_clear(tap_label_spellings *spellings);

#endif

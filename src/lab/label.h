/* The words that are looked for, as token ids: forms of each label, found once per word. */
#ifndef TAP_LAB_LABEL_H
#define TAP_LAB_LABEL_H

#include "format/tokenizer.h"
#include "lab/experiment.h"
#include "read/vocab.h"

/* One surface form of a label. */
typedef struct tap_label_form {
    char *name;       /* "bare", "space", "space+case" ... */
    int32_t token_id; /* -1: it needs several tokens */
    int n_tokens;
    int32_t column; /* place of token_id among the words ranked; -1 */
    int32_t *ids;   /* [n_ids] its pieces as they stand in running text */
    int64_t n_ids;
} tap_label_form;

typedef struct tap_label {
    char *word;
    tap_label_form *forms; /* [n_forms] */
    int64_t n_forms;
    int32_t *columns; /* [n_columns] of the forms that are one token, distinct */
    int64_t n_columns;
} tap_label;

/* All labels met so far and the words that must be ranked for them. */
typedef struct tap_labels {
    const tap_tokenizer *tokenizer;
    unsigned forms; /* TAP_FORM_ bits */
    tap_label *labels;
    size_t n_labels, label_capacity;
    int32_t *ids; /* [n_ids] distinct token ids */
    size_t n_ids, id_capacity;
} tap_labels;

/* *index = the label of that word, added when it is new. */
TAP_NODISCARD tap_status tap_labels_find(int64_t *index, tap_labels *labels,
                                         const char *word, tap_error *err);
void tap_labels_clear(tap_labels *labels);

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

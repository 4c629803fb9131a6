/* Words beside a word: its plural and its synonyms, from tables that users can replace. */
#ifndef TAP_LAB_WORD_FORMS_H
#define TAP_LAB_WORD_FORMS_H

#include "lab/tsv.h"

typedef struct tap_word_forms {
    tap_tsv plurals;  /* singular, plural: where the rule would be wrong */
    tap_tsv synonyms; /* label, synonym: one a line */
} tap_word_forms;

/* synonyms: "default" (the shipped table), "none" or the path of a table with the columns
 * label and synonym. TAP_EIO, TAP_EFORMAT. */
TAP_NODISCARD tap_status tap_word_forms_open(tap_word_forms *out, const char *synonyms,
                                             tap_error *err);
void tap_word_forms_clear(tap_word_forms *forms);

/* *out = the English plural of the last word of a name: from the table, else -es behind a
 * hiss, -ies for a consonant and y, -s. tap_free it. */
TAP_NODISCARD tap_status tap_word_plural(char **out, const tap_word_forms *forms,
                                         const char *word, tap_error *err);
/* The k-th synonym of a label; NULL behind the last. */
const char *tap_word_synonym(const tap_word_forms *forms, const char *label, size_t k);

#endif

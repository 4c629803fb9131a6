/* The parser of condition text, shared by the files that read its parts. */
#ifndef TAP_HOOK_CONDITION_PARSE_H
#define TAP_HOOK_CONDITION_PARSE_H

#include "hook/condition.h"

enum {
    TAP_WORD_BYTES = 64,
    TAP_MAX_NUMBER = 1000000,
    TAP_MAX_NODES = 4096,
    TAP_MAX_NESTING = 64
};

typedef struct tap_parser {
    tap_condition *out;
    const char *text, *at;
    size_t source;     /* text, in the strings of out */
    int depth;         /* of parentheses */
    bool inside_named; /* the text is that of a named condition */
    tap_error *err;
} tap_parser;

int tap_parse_column(const tap_parser *p);
void tap_parse_space(tap_parser *p);
/* The word at the cursor, "" if there is none; the cursor stays. */
void tap_parse_peek(char word[TAP_WORD_BYTES], tap_parser *p);
/* Takes a mark, or a whole word; false leaves the cursor. */
bool tap_parse_mark(tap_parser *p, const char *mark);
bool tap_parse_word(tap_parser *p, const char *wanted);
/* "expected X, found Y" at the cursor. */
tap_status tap_parse_fail(const tap_parser *p, const char *expected);
/* "unknown WHAT 'word'; did you mean ...?" at the cursor. */
tap_status tap_parse_unknown(const tap_parser *p, const char *what, const char *word,
                             const char *const *known, size_t n_known);
/* One of n words; refused with the nearest. `what` completes "expected". */
TAP_NODISCARD tap_status tap_parse_choice(tap_parser *p, int *index, const char *what,
                                          const char *const *words, size_t n);
TAP_NODISCARD tap_status tap_parse_expect(tap_parser *p, const char *mark);
/* Whole numbers of 0 or more, with a sign, and reals. */
TAP_NODISCARD tap_status tap_parse_int(tap_parser *p, int32_t *out);
TAP_NODISCARD tap_status tap_parse_signed(tap_parser *p, int64_t *out);
TAP_NODISCARD tap_status tap_parse_seed(tap_parser *p, int64_t *out);
TAP_NODISCARD tap_status tap_parse_real(tap_parser *p, double *out, double least,
                                        double most, const char *what);
/* "text" with \" and \\ inside; *offset into the condition's strings. */
TAP_NODISCARD tap_status tap_parse_string(tap_parser *p, size_t *offset);
TAP_NODISCARD tap_status tap_parse_keep(tap_parser *p, size_t *offset, const char *text,
                                        size_t n);

/* condition_group.c */
TAP_NODISCARD tap_status tap_parse_group(tap_parser *p, int32_t *node);
/* condition_edit.c: an edit, if the word at the cursor is one (*is_edit). */
TAP_NODISCARD tap_status tap_parse_edit(tap_parser *p, tap_atom *atom, bool *is_edit);

#endif

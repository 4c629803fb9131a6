/* Template and text around the image become a token sequence: the position map. */
#ifndef TAP_MODEL_PROMPT_H
#define TAP_MODEL_PROMPT_H

#include "format/tokenizer.h"
#include "hook/groups.h"
#include "model/layout.h"

/* ids and meaning of each position. tokens[t].feature is the slot of the layout that stands
 * at t, or -1. tap_sequence_clear frees it. */
typedef struct tap_sequence {
    int64_t n_tok;
    int32_t *ids;       /* [n_tok] */
    tap_token *tokens;  /* [n_tok], see hook/groups.h */
    int64_t n_image;    /* positions that stand for patches */
    int64_t last_image; /* the last of them */
    tap_layout layout;  /* the image's rows, also of a model without a decoder */
} tap_sequence;

/* prompt holds "<image>" once; NULL takes the family's default. A model without a decoder
 * has no tokens, only the layout. */
TAP_NODISCARD tap_status tap_prompt_compile(tap_sequence *out, const tap_spec *spec,
                                            const tap_tokenizer *tokenizer,
                                            const char *prompt,
                                            const tap_geometry *geometry,
                                            tap_error *err);
void tap_sequence_clear(tap_sequence *sequence);

/* Text alone: a begin token, if the tokenizer puts one, and question tokens. */
TAP_NODISCARD tap_status tap_sequence_text(tap_sequence *out, const tap_spec *spec,
                                           const tap_tokenizer *tokenizer,
                                           const char *text, tap_error *err);

/* Appends n_new places of role TAP_ROLE_GEN, id 0, for tokens to come. */
TAP_NODISCARD tap_status tap_sequence_extend(tap_sequence *sequence, int64_t n_new,
                                             tap_error *err);

#endif

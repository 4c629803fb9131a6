/* Text to token ids and back, as the model's own tokenizer does it. */
#ifndef TAP_FORMAT_TOKENIZER_H
#define TAP_FORMAT_TOKENIZER_H

#include "base/error.h"

typedef struct tap_tokenizer tap_tokenizer;

/* Opens tokenizer.json or tokenizer.model: a file, or a model directory (tokenizer.json
 * first). Immutable after opening, shared by threads. */
TAP_NODISCARD tap_status tap_tokenizer_open(tap_tokenizer **out, const char *path,
                                            tap_error *err);
void tap_tokenizer_close(tap_tokenizer *tokenizer);

/* Adds a special token that a text is cut at; before the tokenizer is shared. One that it
 * knows by that id already stays as it is. TAP_EFORMAT if the word or the id is taken. */
TAP_NODISCARD tap_status tap_tokenizer_add(tap_tokenizer *tokenizer, const char *word,
                                           int64_t id, tap_error *err);

/* *ids = ids of UTF-8 text, *n_ids of them (tap_free). add_special: the post-processor's
 * tokens (BOS) too. Invalid UTF-8 is TAP_EINVAL with the byte offset; NUL is a character. */
TAP_NODISCARD tap_status tap_tokenizer_encode(int32_t **ids, size_t *n_ids,
                                              const tap_tokenizer *tokenizer,
                                              const char *text, size_t n_bytes,
                                              bool add_special, tap_error *err);

/* *text = the decoded text of ids (tap_free); special tokens are skipped on request. */
TAP_NODISCARD tap_status tap_tokenizer_decode(char **text, size_t *n_bytes,
                                              const tap_tokenizer *tokenizer,
                                              const int32_t *ids, size_t n_ids,
                                              bool skip_special, tap_error *err);

int32_t tap_tokenizer_size(const tap_tokenizer *tokenizer); /* highest id + 1 */
/* The piece of an id as the vocabulary spells it; NULL if there is none. */
const char *tap_tokenizer_piece(const tap_tokenizer *tokenizer, int32_t id,
                                size_t *n_bytes);
/* The id of a piece or added token spelled exactly so; -1 if absent. */
int32_t tap_tokenizer_find(const tap_tokenizer *tokenizer, const char *piece,
                           size_t n_bytes);
bool tap_tokenizer_is_special(const tap_tokenizer *tokenizer, int32_t id);

#endif

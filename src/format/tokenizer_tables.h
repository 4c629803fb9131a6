/* What the tokenizer's rooms share: the tables that a file becomes. */
#ifndef TAP_FORMAT_TOKENIZER_TABLES_H
#define TAP_FORMAT_TOKENIZER_TABLES_H

#include "base/memory.h"
#include "format/tokenizer.h"

enum { TAP_TOKENIZER_MAX_IDS = 1000000, TAP_PIECE_MAX_BYTES = 4096 };

/* A piece of the vocabulary; text NULL: no piece has this id. */
typedef struct tap_piece {
    char *text;
    size_t n_bytes;
    float score;    /* tokenizer.model only */
    bool mergeable; /* control, byte and unused pieces do not come from merges */
} tap_piece;

/* A token that is found in the text before anything else happens. */
typedef struct tap_added_token {
    char *content;
    size_t n_bytes;
    int32_t id;
    bool special, left_strip, right_strip, single_word, normalized;
} tap_added_token;

/* Text normalization, step by step on each segment between added tokens. */
typedef enum tap_normal_kind { TAP_NORMAL_PREPEND, TAP_NORMAL_REPLACE } tap_normal_kind;

typedef struct tap_normal_step {
    tap_normal_kind kind;
    char *from, *to; /* prepend: to; replace: both */
} tap_normal_step;

/* When a segment gets the word mark in front: FIRST only at the start of the text, ALWAYS
 * unless one stands there already, EVERY in any case. */
typedef enum tap_mark_rule {
    TAP_MARK_NEVER,
    TAP_MARK_FIRST,
    TAP_MARK_ALWAYS,
    TAP_MARK_EVERY
} tap_mark_rule;

typedef struct tap_merge {
    int32_t left, right, result, rank; /* left < 0: an empty slot */
} tap_merge;

enum { TAP_MAX_NORMAL_STEPS = 16, TAP_MAX_SPECIALS = 8 };

struct tap_tokenizer {
    tap_piece *pieces; /* [n_pieces] by id */
    size_t n_pieces, piece_capacity;
    int32_t *slots; /* [n_slots] ids by hash of text, -1 empty; a power of two */
    size_t n_slots;
    tap_merge *merges; /* [n_merge_slots] by hash of the pair; NULL: merge by score */
    size_t n_merge_slots;
    tap_added_token *added; /* longer contents first */
    size_t n_added, added_capacity;
    tap_normal_step normal[TAP_MAX_NORMAL_STEPS];
    size_t n_normal;
    tap_mark_rule mark_rule;
    bool marks_spaces; /* spaces become word marks */
    bool byte_fallback, fuse_unknown, ignore_merges;
    int32_t unknown;    /* -1: none */
    int32_t bytes[256]; /* ids of <0x00> ...; -1 */
    int32_t before[TAP_MAX_SPECIALS], after[TAP_MAX_SPECIALS];
    size_t n_before, n_after;
    bool strip_first_space; /* decoding drops one leading space */
};

/* Readers: fill a zeroed tokenizer. `path` is for messages. */
TAP_NODISCARD tap_status tap_tokenizer_read_json(tap_tokenizer *out, const char *path,
                                                 tap_error *err);
TAP_NODISCARD tap_status tap_tokenizer_read_model(tap_tokenizer *out, const void *bytes,
                                                  size_t n_bytes, const char *path,
                                                  tap_error *err);

/* Building: a piece at an id, once; then the index over all pieces. */
TAP_NODISCARD tap_status tap_tokenizer_put_piece(tap_tokenizer *t, int32_t id,
                                                 const char *text, size_t n_bytes,
                                                 const char *path, tap_error *err);
TAP_NODISCARD tap_status tap_tokenizer_put_added(tap_tokenizer *t,
                                                 const tap_added_token *token,
                                                 const char *path, tap_error *err);
TAP_NODISCARD tap_status tap_tokenizer_index(tap_tokenizer *t, const char *path,
                                             tap_error *err);
void tap_tokenizer_clear(tap_tokenizer *t);

/* Merge of two neighbours: rank (lower first) and result; false if there is none. The text
 * of both stands in one piece from `text` on, n_bytes long. */
bool tap_tokenizer_merge(double *rank, int32_t *result, const tap_tokenizer *t,
                         int32_t left, int32_t right, const char *text, size_t n_bytes);

/* Appends the ids of normalised text to a list. */
TAP_NODISCARD tap_status tap_tokenizer_bpe(int32_t **ids, size_t *n_ids,
                                           size_t *capacity, const tap_tokenizer *t,
                                           const char *text, size_t n_bytes,
                                           tap_error *err);

/* Bytes of the UTF-8 character at text[at], 0 if it is not valid. */
size_t tap_utf8_bytes(const char *text, size_t n_bytes, size_t at);

#endif

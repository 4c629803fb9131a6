/* The parts of a tokenizer and who does what with them: for the files of this room only.
 *
 *   tokenizer.c         opening, the walk of a text through the parts
 *   tokenizer_json.c    tokenizer.json to tables        tokenizer_rules.c  its steps
 *   tokenizer_model.c   SentencePiece file to the same tables
 *   tokenizer_vocab.c   spellings and merges by hash    tokenizer_added.c  added tokens
 *   tokenizer_normal.c  normalizers                     tokenizer_split.c  pre-tokenizers
 *   tokenizer_regex.c   expressions                     tokenizer_chars.c  characters
 *   tokenizer_bpe.c     the merge loop                  tokenizer_decode.c ids to text
 */
#ifndef TAP_FORMAT_TOKENIZER_OWN_H
#define TAP_FORMAT_TOKENIZER_OWN_H

#include "base/memory.h"
#include "format/json.h"
#include "format/tokenizer.h"

/* What a file may ask for. */
enum {
    TAP_VOCAB_LIMIT = 1 << 20,
    TAP_PIECE_LIMIT_BYTES = 4096,
    TAP_PATTERN_LIMIT_BYTES = 4096,
    TAP_SUFFIX_LIMIT_BYTES = 64,
    TAP_STEP_LIMIT = 64,
    TAP_SPECIAL_LIMIT = 64, /* tokens before or after a text */
    TAP_TEXT_LIMIT_BYTES = 1 << 30
};

/* ---- characters ---- */

/* Bytes of the character that starts at text (1 to 4) and its code point; 0 if none does. */
size_t tap_char_read(int32_t *point, const char *text, size_t n_bytes);
/* Bytes written, 1 to 4. */
size_t tap_char_write(char text[4], int32_t point);
/* n_bytes if all is UTF-8, else where the first wrong byte stands. */
size_t tap_utf8_check(const char *text, size_t n_bytes);
bool tap_char_is_space(int32_t point); /* White_Space */
bool tap_char_is_word(int32_t point);  /* \w of Rust's expressions */
bool tap_char_is_number(int32_t point);
/* The printable character that stands for a byte in byte-level vocabularies, and back (-1).
 * Source: GPT-2's bytes_to_unicode. */
int32_t tap_byte_char(int byte);
int tap_char_byte(int32_t point);

/* ---- vocabulary ---- */

enum {
    TAP_PIECE_MODEL = 1, /* the merge loop may find it by its spelling */
    TAP_PIECE_ADDED = 2,
    TAP_PIECE_SPECIAL = 4,
    TAP_PIECE_NORMAL = 8 /* an added token that is searched for in normalised text */
};

typedef struct tap_piece {
    size_t at; /* in vocab.text */
    size_t n_bytes;
    int flags; /* 0: there is no such id */
} tap_piece;

typedef struct tap_vocab {
    tap_buffer text;
    tap_piece *pieces; /* [n_ids] */
    size_t capacity;
    int32_t n_ids;
    size_t n_pieces, longest_bytes;
    int32_t *slots; /* [n_slots] ids + 1 by hash, 0 empty */
    size_t n_slots;
} tap_vocab;

/* Gives the spelling this id, or adds flags to the pair that exists. TAP_EFORMAT, with path
 * in the message, when id or spelling belongs to another, or above the limits. */
TAP_NODISCARD tap_status tap_vocab_put(tap_vocab *vocab, int64_t id, const char *bytes,
                                       size_t n_bytes, int flags, const char *path,
                                       tap_error *err);
/* -1 if absent. */
int32_t tap_vocab_find(const tap_vocab *vocab, const char *bytes, size_t n_bytes);
/* The same, only among pieces of the model. */
int32_t tap_vocab_find_model(const tap_vocab *vocab, const char *bytes, size_t n_bytes);
void tap_vocab_clear(tap_vocab *vocab);

/* left followed by right becomes into; the lower rank goes first. */
typedef struct tap_merge {
    int32_t left, right, into;
    uint32_t rank;
} tap_merge;

typedef struct tap_merges {
    tap_merge *slots; /* [n_slots] by hash of left, right; into -1 empty */
    size_t n_slots;
} tap_merges;

/* Room for n merges. A pair put twice keeps the later rank. */
TAP_NODISCARD tap_status tap_merges_init(tap_merges *merges, size_t n, tap_error *err);
void tap_merges_put(tap_merges *merges, tap_merge merge);
const tap_merge *tap_merges_find(const tap_merges *merges, int32_t left, int32_t right);
void tap_merges_clear(tap_merges *merges);

/* ---- ranges of a text ---- */

/* id: a token that stands for the range; -1 for text still to be worked on. Rooms that only
 * tell matches from the rest use 0 and -1. */
typedef struct tap_span {
    size_t start, end;
    int32_t id;
} tap_span;

typedef struct tap_spans {
    tap_span *items;
    size_t n, capacity;
} tap_spans;

TAP_NODISCARD tap_status tap_spans_put(tap_spans *spans, size_t start, size_t end,
                                       int32_t id, tap_error *err);
void tap_spans_clear(tap_spans *spans);

/* ---- added tokens ---- */

typedef struct tap_added_token {
    char *text; /* as it is searched for: normalised if the token is */
    size_t n_bytes;
    int32_t id;
    bool single_word, lstrip, rstrip;
} tap_added_token;

typedef struct tap_added {
    tap_added_token *tokens; /* sorted by text after tap_added_sort */
    size_t n, capacity;
} tap_added;

/* Copies the text; empty text is left out. */
TAP_NODISCARD tap_status tap_added_put(tap_added *added, const tap_added_token *token,
                                       tap_error *err);
void tap_added_sort(tap_added *added);
/* The longest token that stands at the start of the text, or NULL. */
const tap_added_token *tap_added_longest(const tap_added *added, const char *text,
                                         size_t n_bytes);
/* Appends the whole text as spans: tokens found, leftmost and longest first, and what is
 * between. */
TAP_NODISCARD tap_status tap_added_split(tap_spans *out, const tap_added *added,
                                         const char *text, size_t n_bytes,
                                         tap_error *err);
void tap_added_clear(tap_added *added);

/* ---- expressions ---- */

typedef struct tap_regex tap_regex;

/* Expressions of tokenizer files are Oniguruma's; those that PCRE2 reads the same way, or
 * after a rewrite of \s \w \d and script names, are accepted, others refused by name.
 *
 * Errors:  TAP_EUNSUPPORTED naming the construct; TAP_EFORMAT from PCRE2, with its words. */
TAP_NODISCARD tap_status tap_regex_compile(tap_regex **out, const char *pattern,
                                           size_t n_bytes, const char *path,
                                           tap_error *err);
/* Appends the matches, without overlap, left to right, with id 0. */
TAP_NODISCARD tap_status tap_regex_find(tap_spans *out, const tap_regex *regex,
                                        const char *text, size_t n_bytes,
                                        tap_error *err);
void tap_regex_free(tap_regex *regex);

/* ---- steps: normalizers, pre-tokenizers, decoders ---- */

typedef enum tap_step_kind {
    TAP_STEP_PREPEND, /* content */
    TAP_STEP_REPLACE, /* pattern by content; also a decoder */
    TAP_STEP_NFC,
    TAP_STEP_NFD,
    TAP_STEP_NFKC,
    TAP_STEP_NFKD,
    TAP_STEP_LOWERCASE,
    TAP_STEP_STRIP,   /* white space at the ends, by strip_left and strip_right */
    TAP_STEP_SQUEEZE, /* SentencePiece remove_extra_whitespaces */

    TAP_STEP_SPLIT,      /* pattern, behavior, invert */
    TAP_STEP_DIGITS,     /* behavior */
    TAP_STEP_BYTE_LEVEL, /* prefix, use_regex (pattern); also a decoder */
    TAP_STEP_METASPACE,  /* content, prefix, split; also a decoder */

    TAP_STEP_BYTE_FALLBACK,
    TAP_STEP_FUSE,
    TAP_STEP_STRIP_CHAR, /* content, n_start, n_stop */
    TAP_STEP_SUFFIX      /* content becomes a space, nothing in the last token */
} tap_step_kind;

typedef enum tap_behavior {
    TAP_SPLIT_ISOLATED,
    TAP_SPLIT_REMOVED,
    TAP_SPLIT_CONTIGUOUS,
    TAP_SPLIT_MERGED_PREVIOUS,
    TAP_SPLIT_MERGED_NEXT
} tap_behavior;

typedef enum tap_prefix {
    TAP_PREFIX_NEVER,
    TAP_PREFIX_FIRST,
    TAP_PREFIX_ALWAYS
} tap_prefix;

typedef struct tap_step {
    tap_step_kind kind;
    tap_regex *regex; /* the pattern, or NULL: then it is the literal */
    char *literal;
    size_t n_literal;
    char *content;
    size_t n_content;
    tap_behavior behavior;
    tap_prefix prefix;
    bool invert, split, strip_left, strip_right;
    size_t n_start, n_stop;
} tap_step;

typedef struct tap_steps {
    tap_step *items;
    size_t n, capacity;
} tap_steps;

void tap_step_clear(tap_step *step);
/* Takes over what the step owns, also on failure. */
TAP_NODISCARD tap_status tap_steps_take(tap_steps *steps, tap_step *step,
                                        tap_error *err);
void tap_steps_clear(tap_steps *steps);

/* Where the pattern of a step (expression or literal) matches. */
TAP_NODISCARD tap_status tap_step_find(tap_spans *out, const tap_step *step,
                                       const char *text, size_t n_bytes,
                                       tap_error *err);

/* *text = its normal form. *origin is the place of its start in the source text; steps that
 * cut there move it. */
TAP_NODISCARD tap_status tap_steps_normalize(tap_buffer *text, size_t *origin,
                                             const tap_steps *steps, tap_error *err);
/* text with every match of the step's pattern replaced by its content, appended to out. */
TAP_NODISCARD tap_status tap_step_replace(tap_buffer *out, const tap_step *step,
                                          const char *text, size_t n_bytes,
                                          tap_error *err);

/* Splits text into words: spans of *text, which steps may rewrite. at_origin: the text
 * stands at the very start of what the user wrote. */
TAP_NODISCARD tap_status tap_steps_split(tap_spans *words, tap_buffer *text,
                                         bool at_origin, const tap_steps *steps,
                                         tap_error *err);

/* ---- the merge loop ---- */

typedef struct tap_ids {
    int32_t *ids;
    size_t n, capacity;
} tap_ids;

TAP_NODISCARD tap_status tap_ids_put(tap_ids *ids, int32_t id, tap_error *err);

/* Scratch of the merge loop, kept between words. */
typedef struct tap_bpe {
    struct tap_symbol *symbols;
    struct tap_pair *heap;
    size_t n_symbols, symbol_capacity, n_heap, heap_capacity;
} tap_bpe;

/* Appends the ids of one word. */
TAP_NODISCARD tap_status tap_bpe_run(tap_ids *out, tap_bpe *bpe,
                                     const tap_tokenizer *tokenizer, const char *word,
                                     size_t n_bytes, tap_error *err);
void tap_bpe_clear(tap_bpe *bpe);

/* ---- the whole ---- */

struct tap_tokenizer {
    tap_vocab vocab;
    tap_merges merges;
    uint32_t
        *ranks; /* [n_ids] SentencePiece: which spelling is merged first; else NULL */
    bool byte_fallback, fuse_unk, ignore_merges;
    int32_t unk_id;                      /* -1: unknown characters vanish */
    int32_t byte_ids[256];               /* of <0x00> ..., -1 absent */
    char suffix[TAP_SUFFIX_LIMIT_BYTES]; /* end_of_word_suffix */
    size_t n_suffix;
    tap_added raw, normal; /* searched for in the text as it is, and normalised */
    tap_added user;        /* SentencePiece user-defined pieces: never merged */
    tap_steps normalizers, pre_tokenizers, decoders;
    int32_t front[TAP_SPECIAL_LIMIT], back[TAP_SPECIAL_LIMIT];
    size_t n_front, n_back;
};

/* Fill an empty tokenizer; on failure the caller clears it. */
TAP_NODISCARD tap_status tap_tokenizer_parse_json(tap_tokenizer *t, const char *text,
                                                  size_t n_bytes, const char *path,
                                                  tap_error *err);
TAP_NODISCARD tap_status tap_tokenizer_parse_model(tap_tokenizer *t,
                                                   const unsigned char *bytes,
                                                   size_t n_bytes, const char *path,
                                                   tap_error *err);

/* Words beside a tokenizer.model, at which a text is cut: added_tokens_decoder of
 * tokenizer_config.json, or where it has none added_tokens.json, {word: id}. The former also
 * says whether texts begin with <s> (add_bos_token) and end in </s> (add_eos_token). */
TAP_NODISCARD tap_status tap_tokenizer_read_beside(tap_tokenizer *t,
                                                   const char *directory,
                                                   tap_error *err);

/* Steps of the three kinds from their objects (NULL: none). */
TAP_NODISCARD tap_status tap_rules_normalizer(tap_steps *out, const json_t *object,
                                              const char *path, tap_error *err);
TAP_NODISCARD tap_status tap_rules_pre_tokenizer(tap_steps *out, const json_t *object,
                                                 const char *path, tap_error *err);
TAP_NODISCARD tap_status tap_rules_decoder(tap_steps *out, const json_t *object,
                                           const char *path, tap_error *err);

/* byte_ids from the pieces "<0x00>" to "<0xFF>" of the model. */
void tap_tokenizer_find_bytes(tap_tokenizer *t);

#endif

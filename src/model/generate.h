/* An answer, token by token: the word with the largest logit, or one drawn. */
#ifndef TAP_MODEL_GENERATE_H
#define TAP_MODEL_GENERATE_H

#include "format/tokenizer.h"
#include "model/decode.h"
#include "model/template.h"

/* How the next token is chosen from logits z. temperature 0: the largest, the lowest id of
 * equals. Else softmax(z / temperature) over the top_k largest (0: all) and, of these, the
 * fewest that hold top_p of the weight (1: all); one is drawn with Philox(seed, step), so
 * an answer depends on the seed and nothing else. Order of the steps: transformers,
 * generation/logits_process.py. */
typedef struct tap_sampling {
    double temperature, top_p;
    int64_t top_k;
    uint64_t seed;
} tap_sampling;

typedef struct tap_choice {
    float logit;
    int32_t id;
} tap_choice;

/* *id = the token chosen as the step-th of an answer. scratch [n]. TAP_ENUMERIC when a logit
 * is not a number. */
TAP_NODISCARD tap_status tap_sample(int32_t *id, const tap_sampling *sampling,
                                    const float *logits, tap_choice *scratch, int64_t n,
                                    int64_t step, tap_error *err);

/* Tokens that end an answer, as generation_config.json names them, else config.json, else
 * the model's end token; and the token that ends an answer in the chat template, if the
 * tokenizer has it (both may be NULL). *ids [*n_ids] (tap_free). */
TAP_NODISCARD tap_status tap_stops_read(int32_t **ids, size_t *n_ids,
                                        const char *directory, const tap_spec *spec,
                                        const tap_template *chat,
                                        const tap_tokenizer *tokenizer, tap_error *err);

typedef struct tap_generate_options {
    tap_sampling sampling;
    int64_t max_tokens;   /* at least 1 */
    const int32_t *stops; /* [n_stops] */
    size_t n_stops;
    /* Called with text as it becomes certain, whole characters only; may be NULL. */
    tap_status (*put)(void *owner, const char *text, size_t n_bytes, tap_error *err);
    void *owner;
} tap_generate_options;

typedef struct tap_answer {
    int32_t *ids; /* [n_ids], the stop token included */
    size_t n_ids;
    char *text; /* of ids without special tokens */
    size_t n_bytes;
    bool stopped; /* by a stop token, not by the limit */
} tap_answer;

/* Goes on from the decoder's last row until a stop token or the limit. tap_answer_clear
 * releases the answer. */
TAP_NODISCARD tap_status tap_generate(tap_answer *out, tap_decoder *decoder,
                                      const tap_tokenizer *tokenizer, int64_t d_vocab,
                                      const tap_generate_options *options,
                                      tap_error *err);
void tap_answer_clear(tap_answer *answer);

#endif

/* One pass over the vocabulary: what depends on every logit of a row, without storing them.
 *
 * Words stream past in tiles. Of each row are kept: the ranks of chosen spellings, the
 * words with the largest logits, and the logarithm of the softmax denominator. */
#ifndef TAP_READ_VOCAB_H
#define TAP_READ_VOCAB_H

#include "tensor/kernels.h"

/* A label as the tokenizer spells it: one id or several. Its score is the mean of the
 * logits of its pieces, so that length alone neither helps nor hurts. */
typedef struct tap_spelling {
    const int32_t *ids; /* [n_ids], 1 or more */
    int64_t n_ids;
} tap_spelling;

typedef struct tap_vocab_ask {
    const tap_tensor *words; /* [n_vocab][d]: z_v = scale_v (<words_v, x> + bias_v) */
    const tap_tensor *bias;  /* [n_vocab], or NULL: 0 */
    const float *word_scale; /* [n_vocab], or NULL: 1 */
    const uint64_t *candidates; /* bit set over the vocabulary, or NULL: all of it */
    const tap_spelling *spellings;
    int64_t n_spellings, n_top;
} tap_vocab_ask;

/* What is filled. Words outside the candidates never count and never appear.
 *
 *   score = mean z over the spelling's ids
 *   rank  = 1 + #{v : z_v > score} + 0.5 #{v : z_v = score},  v not among the ids
 *   log_sum = log sum_v exp z_v                 so p(v) = exp(z_v - log_sum)
 *
 * A score that is not a number ranks last. Equal logits among the top: the lower id first.
 * With fewer candidates than n_top the rest is id -1, logit -inf. */
typedef struct tap_vocab_answer {
    float *ranks, *scores; /* [n_rows][n_spellings] */
    int32_t *top_ids;      /* [n_rows][n_top], largest first */
    float *top_logits;     /* [n_rows][n_top] */
    float *log_sums;       /* [n_rows] */
} tap_vocab_answer;

/* Bytes that tap_vocab_read needs beside the kernels' own scratch. */
size_t tap_vocab_scratch_bytes(const tap_vocab_ask *ask, int64_t n_rows);

/* x [n_rows][d], already normed. The logit of a word has the same bits as from linear().
 * Threads: work->n_threads; the result does not depend on their number. */
void tap_vocab_read(const tap_vocab_answer *out, const tap_vocab_ask *ask,
                    const float *x, int64_t n_rows, const tap_kernels *kernels,
                    const tap_workspace *work, void *scratch);

/* 1 / |w_v| for each row of a matrix: the word_scale that makes logits cosines (up to the
 * length of x). out [n_words]; a row of zeros gets 0. row [d] is scratch. */
void tap_vocab_inverse_norms(float *out, const tap_tensor *words, float *row);

/* Rank of score i of n among all of them: 1 + #{larger} + 0.5 #{others equal}. A score that
 * is not a number ranks last. */
float tap_rank_of(const float *scores, int64_t n, int64_t i);
/* The same of every score. */
void tap_rank_among(float *ranks, const float *scores, int64_t n);

#endif

/* The logit lens: states become ranks of words.
 *
 *   z = W nu(h),   rank(y) = 1 + #{v : z_v > z_y} + 0.5 #{v != y : z_v = z_y}
 *
 * nu is the model's final norm, applied exactly once; W its output matrix. The lens is an
 * observer: it is fed the residual states of a run and never stores a logits array. Rows
 * of several states are ranked together, so the vocabulary is streamed once per group.
 * Other readouts (read/source.h) make rows of their own and hand them to a lens. */
#ifndef TAP_READ_LENS_H
#define TAP_READ_LENS_H

#include "model/run.h"
#include "read/vocab.h"

/* What to read. All pointers are borrowed until tap_lens_close. */
typedef struct tap_lens_spec {
    const int32_t *labels; /* [n_labels] word ids, distinct */
    int64_t n_labels;
    /* Labels of one or several pieces instead (n_labels 0); they keep their scores too. */
    const tap_spelling *spellings;
    int64_t n_spellings;
    int64_t n_top; /* words with the largest logits, and log_sum, of every row */
    const tap_tensor *words; /* [d_vocab][d]; NULL: the output matrix */
    const float *word_scale; /* [d_vocab] factors of the logits, or NULL */
    int n_states; /* above 0: rows come by tap_lens_put_rows as states 0 .. n_states - 1,
                     not from the residual stream */
    const uint64_t *candidates; /* bit set over the vocabulary, or NULL for all of it */
    const uint64_t *depths; /* bit set over 0 .. n_blocks of the decoder, or over the
                               n_states; NULL: all of them */
    bool no_norm;           /* nu = identity */
    const int64_t *const
        *rows;             /* [n_items][n_rows[i]] sequence positions to rank, rising */
    const int64_t *n_rows; /* [n_items]; NULL: none, and the vocabulary is not read */
    const int64_t *const
        *logit_rows; /* as rows: positions whose label logits (or scores) are kept */
    const int64_t *n_logit_rows; /* [n_items]; NULL: none */
    bool logit_sums;             /* log_sum of these rows too: reads the vocabulary */
} tap_lens_spec;

typedef struct tap_lens tap_lens;

/* Memory: ranks n_items * n_conditions * n_depths * n_rows * n_labels floats, and the scratch
 * of one group of rows. */
TAP_NODISCARD tap_status tap_lens_open(tap_lens **out, const tap_model *model,
                                       const tap_kernels *kernels, int n_threads,
                                       const tap_lens_spec *spec, int64_t n_items,
                                       int64_t n_conditions, tap_error *err);
/* Bytes that tap_lens_open would take, and the FLOPs of reading one state of an item. */
size_t tap_lens_bytes(const tap_model *model, const tap_kernels *kernels, int n_threads,
                      const tap_lens_spec *spec, int64_t n_items, int64_t n_conditions);
double tap_lens_flop_of(const tap_model *model, const tap_lens_spec *spec,
                        int64_t item);
void tap_lens_close(tap_lens *lens);

/* Adds the sites the lens reads to a sink's wishes. */
void tap_lens_want(tap_wanted *wanted, const tap_lens *lens);
void tap_lens_want_of(tap_wanted *wanted, const tap_model *model,
                      const tap_lens_spec *spec);
/* For the sink: states that the lens does not read are ignored. */
TAP_NODISCARD tap_status tap_lens_put(tap_lens *lens, const tap_state *state,
                                      tap_error *err);
/* Rows that a readout made itself, as state i of n_states: row r of rows [..][d] stands for
 * position positions[r]; these rise and hold every position that the lens reads. A state
 * that it does not read is ignored. */
TAP_NODISCARD tap_status tap_lens_put_rows(tap_lens *lens, int64_t item,
                                           const int32_t *conditions,
                                           int64_t n_conditions, int i,
                                           const float *rows, const int64_t *positions,
                                           tap_error *err);
/* Reads what still waits; call it before the results are used. */
void tap_lens_flush(tap_lens *lens);

int tap_lens_n_depths(const tap_lens *lens);
/* The depth that index i of the results stands for. */
int tap_lens_depth(const tap_lens *lens, int i);
/* [n_depths][n_rows[item]][n_labels or n_spellings], 1 = best. */
const float *tap_lens_ranks(const tap_lens *lens, int64_t item, int64_t condition);
/* The scores beside the ranks: [n_depths][n_rows[item]][n_spellings]. */
const float *tap_lens_scores(const tap_lens *lens, int64_t item, int64_t condition);
/* Largest logits first: ids and logits [n_depths][n_rows[item]][n_top]; see vocab.h. */
const int32_t *tap_lens_top(const float **logits, const tap_lens *lens, int64_t item,
                            int64_t condition);
/* [n_depths][n_rows[item]]: p = exp(logit - log_sum). With n_top or spellings only. */
const float *tap_lens_log_sums(const tap_lens *lens, int64_t item, int64_t condition);
/* [n_depths][n_logit_rows[item]][n_labels or n_spellings] */
const float *tap_lens_logits(const tap_lens *lens, int64_t item, int64_t condition);
/* [n_depths][n_logit_rows[item]], as log_sums. With logit_sums only. */
const float *tap_lens_logit_sums(const tap_lens *lens, int64_t item, int64_t condition);
/* FLOPs of the products with words done so far. */
double tap_lens_flop(const tap_lens *lens);

#endif

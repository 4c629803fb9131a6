/* What else the lens can read beside the decoder's residual stream. A source watches a run,
 * turns the states of its site into rows as wide as the decoder and hands them to a lens.
 *
 *   resid  h of depth D, through a tuned-lens translator if there is one
 *   head   early exit: the encoder's state of depth b, through the projector, at the place
 *          where the decoder would read it. b = the depth that the model reads is depth 0
 *          of the decoder.
 *   value  W_O v of block b: what a token writes where every head looks at it alone; with
 *          grouped-query heads each value serves its group
 *   key    W_K^T k of block b, k before rotation: the direction of the residual stream that
 *          matches a token's keys (Dar et al. 2023)
 *
 * The norm of the lens follows, as for every state. */
#ifndef TAP_READ_SOURCE_H
#define TAP_READ_SOURCE_H

#include "read/lens.h"
#include "read/translator.h"

typedef enum tap_readout {
    TAP_READOUT_RESID,
    TAP_READOUT_HEAD,
    TAP_READOUT_VALUE,
    TAP_READOUT_KEY
} tap_readout;

/* Borrowed until tap_source_close. */
typedef struct tap_source_spec {
    tap_readout readout;
    const tap_model *model;
    const tap_kernels *kernels;
    int n_threads;
    const tap_translator *translator; /* resid only; may be NULL */
    const uint64_t *states; /* bit set over the states to read; NULL: all of them */
    const tap_item *items;  /* [n_items] of the run */
    int64_t n_items;
    const int64_t *const
        *rows; /* [n_items][n_rows[i]] positions of the sequence, rising;
                                   for head those that stand for patches */
    const int64_t *n_rows;
} tap_source_spec;

typedef struct tap_source tap_source;

/* Memory: the rows of one state; for key also one block's W_K in f32; for head what the
 * projector needs for one image. */
TAP_NODISCARD tap_status tap_source_open(tap_source **out, const tap_source_spec *spec,
                                         tap_error *err);
void tap_source_close(tap_source *source);
/* Bytes that tap_source_open would take, and the FLOPs of making one state of an item. */
size_t tap_source_bytes(const tap_source_spec *spec);
double tap_source_flop_of(const tap_source_spec *spec, int64_t item);

/* n_states for the lens: depths (resid, head) or blocks (value, key), all of them. */
int tap_source_n_states(const tap_model *model, tap_readout readout);
/* Adds the sites the source reads. */
void tap_source_want(tap_wanted *wanted, const tap_source_spec *spec);
/* For the sink: hands rows to each of the lenses; states that are not read are ignored. */
TAP_NODISCARD tap_status tap_source_put(tap_source *source, tap_lens *const *lenses,
                                        int n_lenses, const tap_state *state,
                                        tap_error *err);
/* FLOPs done so far. */
double tap_source_flop(const tap_source *source);

#endif

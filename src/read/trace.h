/* Chosen states of a run, streamed into a file under their site names. */
#ifndef TAP_READ_TRACE_H
#define TAP_READ_TRACE_H

#include "model/run.h"

enum { TAP_MAX_HEADS = 256 };

/* Which rows of a state are kept. In a stack of patches `last` is the last row; sites
 * without token rows (pixels) are always whole. */
typedef enum tap_positions {
    TAP_POSITIONS_IMAGE, /* patches only */
    TAP_POSITIONS_ALL,   /* every row, the class token first in the vision stack */
    TAP_POSITIONS_LAST
} tap_positions;

/* safetensors; one .npy array (one state only); an .npz archive of such. */
typedef enum tap_trace_format {
    TAP_TRACE_SAFETENSORS,
    TAP_TRACE_NPY,
    TAP_TRACE_NPZ
} tap_trace_format;

/* What to keep of one image. Pointers are borrowed until tap_trace_close. */
typedef struct tap_trace_spec {
    const tap_model *model;
    const tap_place *places; /* [n_places] */
    int64_t n_places;
    int64_t n_conditions; /* above 1: names are prefixed "C/" with C the index */
    tap_positions positions;
    const uint64_t
        *rows[TAP_N_STACKS]; /* bit sets of tokens, instead of positions; rows of
                                           the projector are those that stand in the
                                           decoder's set */
    const uint64_t *heads; /* bit set [TAP_MAX_HEADS]: of q, z, scores and pattern these
                              heads alone, of k and v those that serve them; NULL: all */
    tap_trace_format format;
    const tap_sequence *sequence;
    int n_tiles;
    const char *const *keys, *const *values; /* [n_metadata] manifest for the header */
    int64_t n_metadata;
} tap_trace_spec;

typedef struct tap_trace tap_trace;

/* Creates the file; all names and shapes are fixed here. Tensors are f32:
 *   most sites  [n_rows][d]                scores, pattern  [n_heads][n_rows][n_tok]
 *   q, k, v, z  [n_rows][heads kept * d_head]
 *   pixels      [n_tiles][3][side][side]   logits           [n_rows][d_vocab]
 * Errors: TAP_EINVAL, TAP_EIO.
 * Memory: one row list and the kept columns of one state; nothing grows with the blocks.
 *         The formats of NumPy pass through a file beside `path`. */
TAP_NODISCARD tap_status tap_trace_open(tap_trace **out, const char *path,
                                        const tap_trace_spec *spec, tap_error *err);
/* Adds the sites to a sink's wishes, and the rows they need to a run's options and item. */
void tap_trace_want(tap_wanted *wanted, tap_run_options *options, tap_item *item,
                    const tap_trace *trace);
/* For the sink; states that are not kept are ignored. */
TAP_NODISCARD tap_status tap_trace_put(tap_trace *trace, const tap_state *state,
                                       tap_error *err);
/* Puts the file in place. Without it nothing remains. */
TAP_NODISCARD tap_status tap_trace_commit(tap_trace *trace, tap_error *err);
void tap_trace_close(tap_trace *trace);

#endif

/* A run: images and conditions go through the model, states come out at named sites.
 *
 * All images and conditions of a call move block by block together, so each weight is read
 * and widened once per group of rows; conditions share every state until their plans first
 * differ (hook/tree). What a row becomes never depends on the rows beside it. */
#ifndef TAP_MODEL_RUN_H
#define TAP_MODEL_RUN_H

#include "hook/plan.h"
#include "hook/site.h"
#include "model/model.h"
#include "model/prompt.h"

enum { TAP_MAX_BLOCKS = 256, TAP_MAP_ROWS = 48 };

/* Which sites a sink wants: bit b of blocks[stack][site] for sites of blocks, once[site] for
 * the others. The run goes only as deep as the deepest wanted site needs. */
typedef struct tap_wanted {
    bool once[TAP_N_SITES];
    uint64_t blocks[TAP_N_STACKS][TAP_N_SITES][TAP_MAX_BLOCKS / 64];
} tap_wanted;

/* Rows of one state at one site, handed to the sink; valid during the call only. */
typedef struct tap_state {
    tap_site site;
    tap_stack stack;
    int block; /* -1 for sites outside blocks */
    int64_t item;
    const int32_t *conditions; /* [n_conditions] that share this state */
    int64_t n_conditions;
    int64_t first_row,
        n_rows; /* rows (tokens) of the sequence; logits come in pieces */
    int64_t d;
    const float *values; /* [n_rows][d]; scores, pattern: [n_heads][n_rows][n_k], with
                            d = n_heads n_k, in runs of at most TAP_MAP_ROWS rows */
} tap_state;

/* The one callback. put gets each state that is wanted; flush is called when all states of
 * one site and block have been put. An error ends the run. */
typedef struct tap_sink {
    void *owner;
    const tap_wanted *wanted;
    tap_status (*put)(void *owner, const tap_state *state, tap_error *err);
    tap_status (*flush)(void *owner, tap_site site, tap_stack stack, int block,
                        tap_error *err); /* may be NULL */
} tap_sink;

/* One image (or, with pixels NULL, text alone) under all conditions. Borrowed. */
typedef struct tap_item {
    const tap_pixels *pixels;
    const tap_sequence *sequence;
    const tap_plan *const *plans; /* [n_conditions]; NULL entries are the clean run */
    /* Decoder rows that the sink reads of the residual stream, ascending; NULL: all. Only
     * they and the rows they can reach are computed (rows.c): none after the last one, and
     * at lm.*.resid_pre and resid_post rows that are not needed are NaN. Where the sink
     * wants attn_in, k or v of a block, all rows up to the last enter it; where it wants a
     * site after them, all rows leave it. */
    const int64_t *read; /* [n_read] */
    int64_t n_read;
    const uint64_t *map_rows[TAP_N_STACKS]; /* bit sets of query rows whose scores and
                                               pattern are put; NULL: all */
} tap_item;

/* What an edit gives to tokens that are not run yet, kept for them: see tap_edit_later. */
typedef struct tap_later_rows {
    const tap_edit *edit;
    int32_t condition;
    int block;     /* -1: outside blocks */
    int64_t lo;    /* the first of edit->rows that is not run */
    float *values; /* [edit->n_rows - lo][edit->d] */
} tap_later_rows;

typedef struct tap_run_options {
    const tap_kernels *kernels; /* NULL: the fastest table */
    int n_threads;              /* 0: all processors */
    int64_t group_rows;         /* rows that go through a block at once; 0: 2048 */
    bool all_rows;              /* decoder: also tokens after the last image token */
    bool skip_nothing;          /* rows nobody reads are computed too, for comparison */
    bool all_logits;            /* lm.logits for every row, else the last row alone */
    const tap_later_rows *later; /* [n_later] filled on the way; NULL: none */
    int64_t n_later;
    struct tap_arena *arena; /* kept from one run to the next, with its pages; NULL: the
                                run has its own */
    bool share_nothing;      /* every condition computed on its own, for comparison */
} tap_run_options;

/* What attention did, per (item, condition): heads of all blocks run, vision first. */
typedef struct tap_receipts {
    int64_t n_items, n_conditions;
    int n_blocks[TAP_N_STACKS], n_heads[TAP_N_STACKS]; /* blocks run */
    tap_head_receipt *heads;   /* [n_items][n_conditions][sum of n_blocks n_heads] */
    tap_block_receipt *states; /* [n_items][n_conditions][sum of 1 + n_blocks] */
    double flop_done,
        flop_unshared; /* arithmetic done; what it would be without sharing */
} tap_receipts;

/* The heads of one block of one (item, condition): [n_heads]. */
const tap_head_receipt *tap_receipts_block(const tap_receipts *receipts, int64_t item,
                                           int64_t condition, tap_stack stack,
                                           int block);
/* What was done to the states of one block; block -1: at the stack's sites outside blocks,
 * the projector's counted with vision. */
const tap_block_receipt *tap_receipts_states(const tap_receipts *receipts, int64_t item,
                                             int64_t condition, tap_stack stack,
                                             int block);
void tap_receipts_clear(tap_receipts *receipts);

/* Runs everything the sink wants. receipts may be NULL. After attention of every block the
 * identity allowed = used + cut + zeroed and a weight of 0 on cut edges are checked; after
 * the run, that every state edit wrote the rows it was to write. A plan that reads another
 * run (`freeze`, patch) adds that run where the caller did not ask for it.
 *
 * Errors: TAP_ENOMEM with need and have; TAP_ENUMERIC naming stack, block and head;
 *         whatever the sink returns.
 * Memory: tap_run_bytes() beside the mapped weights, reserved once at the start.
 * Threads: one run per thread; the model is shared. */
TAP_NODISCARD tap_status tap_run(tap_receipts *receipts, const tap_model *model,
                                 const tap_item *items, int64_t n_items,
                                 int64_t n_conditions, const tap_run_options *options,
                                 const tap_sink *sink, tap_error *err);

/* What a run takes and does, known before it starts. */
typedef struct tap_run_cost {
    size_t bytes; /* reserved at the start, beside the mapped weights */
    double flop;  /* of all matrix products: 2 per weight and row, and attention's */
    double flop_unshared; /* the same if every condition were computed on its own */
} tap_run_cost;

/* The cost of tap_run with the same arguments; nothing is computed. n_states
 * [n_items][n_blocks + 1], may be NULL: how many different states of the residual stream
 * each item has at each depth, 0 below the deepest that the sink wants: the decoder's, or
 * the encoder's where nothing of the decoder is wanted.
 * Errors: TAP_ENOMEM. */
TAP_NODISCARD tap_status tap_run_cost_of(tap_run_cost *out, int64_t *n_states,
                                         const tap_model *model, const tap_item *items,
                                         int64_t n_items, int64_t n_conditions,
                                         const tap_run_options *options,
                                         const tap_sink *sink, tap_error *err);

/* Bytes that such a run reserves when each stack has at most n_states states at one depth,
 * of images of n_tiles tiles and sequences of n_tok tokens. */
size_t tap_run_bytes(const tap_model *model, int64_t n_vision_states,
                     int64_t n_lm_states, int64_t n_tiles, int64_t n_tok,
                     const tap_run_options *options);

#endif

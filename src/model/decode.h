/* The decoder, one row after another: keys and values of all rows before are kept.
 *
 * A row's keys and values do not depend on rows behind it, so a row that is added needs the
 * arithmetic of one row and reads the rest from the cache; what comes out has the same bits
 * as a run over the whole sequence. */
#ifndef TAP_MODEL_DECODE_H
#define TAP_MODEL_DECODE_H

#include "model/run.h"

typedef struct tap_decoder tap_decoder;

/* Runs the prompt under all conditions at once, sharing what they share, and keeps its keys
 * and values. The sequence of the item holds the prompt and then a place of role
 * TAP_ROLE_GEN for each token that may be added; its plans [n_conditions] (NULL: clean) are
 * compiled for all of it. Item and model are borrowed. decoders [n_conditions]: each goes
 * its own way from here and is closed by the caller.
 *
 * Errors:  those of tap_run; TAP_EUNSUPPORTED where a plan does more to generated rows than
 *          cut, scale, level or zero edges.
 * Memory:  tap_decoder_bytes each, and during this call that of tap_run. */
TAP_NODISCARD tap_status tap_decoder_open(tap_decoder **decoders,
                                          const tap_model *model, const tap_item *item,
                                          int64_t n_conditions,
                                          const tap_run_options *options,
                                          tap_error *err);
void tap_decoder_close(tap_decoder *decoder);

/* [d_vocab] logits behind the last row; valid until the next step. */
const float *tap_decoder_logits(const tap_decoder *decoder);
int64_t tap_decoder_room(const tap_decoder *decoder); /* tokens that still fit */

/* Adds a token and computes its row. */
TAP_NODISCARD tap_status tap_decoder_step(tap_decoder *decoder, int32_t id,
                                          tap_error *err);

/* What attention did in the rows added, over all blocks and heads. */
tap_head_receipt tap_decoder_receipt(const tap_decoder *decoder);

/* Bytes held for a sequence of n_tok places:
 * cache 8 n_blocks n_tok n_kv_heads d_head, and the scratch of one row. */
size_t tap_decoder_bytes(const tap_model *model, int64_t n_tok,
                         const tap_run_options *options);

#endif

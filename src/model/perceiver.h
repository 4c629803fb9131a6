/* Learned queries in the place of patches: the projector of xGen-MM (BLIP-3). */
#ifndef TAP_MODEL_PERCEIVER_H
#define TAP_MODEL_PERCEIVER_H

#include "model/pass.h"

/* Every group of the layout is read by its own copy of the latents, which see the group's
 * features and one another; a place of the group without a feature is no key of theirs.
 * Where the spec says so (n_text), the prompt's first tokens, by their rows of the decoder's
 * table, go through the blocks as further queries and are dropped in the end.
 *
 *   x of a group    = [latents; text.2 gelu(text.1 embed(prompt))]
 *   in each block   a = LN_latents(x), m = LN_media(features of the group)
 *                   x += o attend(q a, [k m; k a], [v m; v a]),  x += down gelu(up LN(x))
 *
 * out      [n_groups n_latents][d]  the latents of each group after the last block, normed
 * features [n][d]                   of all tiles
 *
 * Memory:  the job's arena, tap_perceiver_floats of it.
 * Source:  Jaegle et al. 2021; PerceiverResampler of the models' own modeling_xgenmm.py,
 *          InstructPerceiverResampler of vlm.py.
 * Checked: test_families (xgen-mm, xgen-mm-1). */
TAP_NODISCARD tap_status tap_perceiver_run(tap_pass *pass, float *out,
                                           const float *features, int64_t n,
                                           const tap_sequence *sequence,
                                           tap_error *err);

/* Tokens of a prompt that the latents see, 0 where they see none: not more than n_text,
 * nothing of an answer, all image tokens as one. */
int64_t tap_perceiver_text(const tap_spec *spec, const tap_sequence *sequence);

/* What decides the cost of a run: features, groups, tokens of the prompt. */
typedef struct tap_perceiver_size {
    int64_t n_features, n_groups, n_text;
} tap_perceiver_size;

/* Floats of scratch; products; rows that go through the blocks; 0 without a perceiver. */
size_t tap_perceiver_floats(const tap_spec *spec, const tap_perceiver_size *size);
double tap_perceiver_flop(const tap_spec *spec, const tap_perceiver_size *size);
int64_t tap_perceiver_rows(const tap_spec *spec, const tap_perceiver_size *size);
/* Of one group: places with features, and latents and tokens. */
int64_t tap_perceiver_keys(const tap_spec *spec, int64_t n_text);

#endif

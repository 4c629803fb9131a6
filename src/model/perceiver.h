/* Learned queries in the place of patches: the projector of xGen-MM (BLIP-3). */
#ifndef TAP_MODEL_PERCEIVER_H
#define TAP_MODEL_PERCEIVER_H

#include "model/pass.h"

/* Every group of the layout is read by its own copy of the latents, which see the group's
 * features and one another; what is padding is no key of theirs.
 *
 *   in each block   a = LN_latents(x), m = LN_media(features of the group)
 *                   x += o attend(q a, [k m; k a], [v m; v a]),  x += down gelu(up LN(x))
 *
 * out      [n_groups n_latents][d]  the latents of each group after the last block, normed
 * features [n][d]                   of all tiles
 *
 * Memory:  the job's arena, tap_perceiver_floats of it.
 * Source:  Jaegle et al. 2021; PerceiverResampler of the models' own modeling_xgenmm.py.
 * Checked: test_families (xgen-mm). */
TAP_NODISCARD tap_status tap_perceiver_run(tap_pass *pass, float *out,
                                           const float *features, int64_t n,
                                           const tap_layout *layout, tap_error *err);

/* Floats of scratch for n_features features and n_slots latents in all. */
size_t tap_perceiver_floats(const tap_spec *spec, int64_t n_features, int64_t n_slots);
/* Products for n_features features and n_slots latents; 0 without a perceiver. */
double tap_perceiver_flop(const tap_spec *spec, int64_t n_features, int64_t n_slots);
/* Of one group: places with features, and latents. */
int64_t tap_perceiver_keys(const tap_spec *spec);

#endif

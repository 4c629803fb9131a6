/* Tensors of a model directory by canonical name, whatever file holds them.
 *
 * Opens model.safetensors or pytorch_model.bin, or the shards that an index of either
 * names, and keeps them mapped in their stored types. Other files are ignored. Raw names
 * become canonical ones by a family's rules. The canonical names:
 *   vision.class_embed  vision.patch_embed.weight|bias  vision.pos_embed
 *   vision.pre_norm.weight|bias  vision.post_norm.weight|bias
 *   vision.B.attn_norm.weight|bias  vision.B.{q,k,v,o}.weight|bias
 *   vision.B.mlp_norm.weight|bias  vision.B.{up,down}.weight|bias
 *   vision.B.qkv.weight|bias (instead of the three)
 *   projector.1.weight|bias  projector.2.weight|bias  projector.1.transposed
 *   projector.newline  projector.separator
 *   perceiver.latents  perceiver.norm.weight|bias  perceiver.B.{q,kv,o,up,down}.weight
 *   perceiver.B.{norm_media,norm_latents,mlp_norm}.weight|bias
 *   perceiver.text.{1,2}.weight|bias
 *   lm.B.qkv.weight  lm.B.gate_up.weight (instead of their parts)
 *   lm.embed.weight  lm.B.attn_norm.weight  lm.B.{q,k,v,o}.weight (q,k,v bias optional)
 *   lm.B.mlp_norm.weight  lm.B.{gate,up,down}.weight  lm.final_norm.weight  lm.head.weight
 *   lm.head.bias  lm.more_embed.weight  lm.more_head.weight|bias (a second table of words)
 */
#ifndef TAP_FORMAT_WEIGHTS_H
#define TAP_FORMAT_WEIGHTS_H

#include "tensor/tensor.h"

/* One rule: a raw name pattern and the canonical pattern it becomes. One "*" in each
 * stands for a block number. The first matching rule wins; a raw name that matches none
 * is ignored. An empty canonical pattern means "known and not needed". */
typedef struct tap_name_rule {
    const char *raw;
    const char *canonical;
} tap_name_rule;

typedef struct tap_weights tap_weights;

TAP_NODISCARD tap_status tap_weights_open(tap_weights **out, const char *directory,
                                          const tap_name_rule *rules, size_t n_rules,
                                          tap_error *err);
void tap_weights_close(tap_weights *weights);

/* NULL if absent. The view lives as long as the weights. */
const tap_tensor *tap_weights_find(const tap_weights *weights, const char *canonical);

/* The tensor, with shape and floating type checked; the message names the raw tensor and
 * its file, the shape expected and found. n_dims shapes follow. */
TAP_NODISCARD tap_status tap_weights_get(tap_tensor *out, const tap_weights *weights,
                                         const char *canonical, int n_dims,
                                         const int64_t *shape, tap_error *err);

/* SHA-256 over the headers (names, types, shapes, offsets) and file sizes: cheap identity
 * of a checkpoint; and the total bytes of tensors. */
const char *tap_weights_hash(const tap_weights *weights);
int64_t tap_weights_bytes(const tap_weights *weights);
int64_t tap_weights_count(const tap_weights *weights);

#endif

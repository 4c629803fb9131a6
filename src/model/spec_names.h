/* Raw tensor names of the classes that families share, as rules for tap_weights_open.
 *
 * Each macro is a run of table entries, every one followed by a comma; `front` is what
 * stands before the names in a layout. */
#ifndef TAP_MODEL_SPEC_NAMES_H
#define TAP_MODEL_SPEC_NAMES_H

#include "format/weights.h"

/* clang-format off */

/* weight and bias of one linear map or norm */
#define TAP_NAMES_PAIR(raw, own)                                                       \
    {raw ".weight", own ".weight"},                                                    \
    {raw ".bias", own ".bias"},

/* CLIPVisionModel, and SiglipVisionModel, which has fewer tensors by the same names;
 * "pre_layrnorm" is spelled so in every checkpoint. */
#define TAP_NAMES_CLIP(front)                                                          \
    {front "embeddings.class_embedding", "vision.class_embed"},                        \
    TAP_NAMES_PAIR(front "embeddings.patch_embedding", "vision.patch_embed")           \
    {front "embeddings.position_embedding.weight", "vision.pos_embed"},                \
    {front "embeddings.position_ids", ""},                                             \
    TAP_NAMES_PAIR(front "pre_layrnorm", "vision.pre_norm")                            \
    TAP_NAMES_PAIR(front "encoder.layers.*.layer_norm1", "vision.*.attn_norm")         \
    TAP_NAMES_PAIR(front "encoder.layers.*.self_attn.q_proj", "vision.*.q")            \
    TAP_NAMES_PAIR(front "encoder.layers.*.self_attn.k_proj", "vision.*.k")            \
    TAP_NAMES_PAIR(front "encoder.layers.*.self_attn.v_proj", "vision.*.v")            \
    TAP_NAMES_PAIR(front "encoder.layers.*.self_attn.out_proj", "vision.*.o")          \
    TAP_NAMES_PAIR(front "encoder.layers.*.layer_norm2", "vision.*.mlp_norm")          \
    TAP_NAMES_PAIR(front "encoder.layers.*.mlp.fc1", "vision.*.up")                    \
    TAP_NAMES_PAIR(front "encoder.layers.*.mlp.fc2", "vision.*.down")                  \
    TAP_NAMES_PAIR(front "post_layernorm", "vision.post_norm")

/* OpenCLIP's VisionTransformer, without the map into the joint space. */
#define TAP_NAMES_OPEN_CLIP(front)                                                     \
    {front "class_embedding", "vision.class_embed"},                                   \
    {front "conv1.weight", "vision.patch_embed.weight"},                               \
    {front "positional_embedding", "vision.pos_embed"},                                \
    TAP_NAMES_PAIR(front "ln_pre", "vision.pre_norm")                                  \
    TAP_NAMES_PAIR(front "transformer.resblocks.*.ln_1", "vision.*.attn_norm")         \
    {front "transformer.resblocks.*.attn.in_proj_weight", "vision.*.qkv.weight"},      \
    {front "transformer.resblocks.*.attn.in_proj_bias", "vision.*.qkv.bias"},          \
    TAP_NAMES_PAIR(front "transformer.resblocks.*.attn.out_proj", "vision.*.o")        \
    TAP_NAMES_PAIR(front "transformer.resblocks.*.ln_2", "vision.*.mlp_norm")          \
    TAP_NAMES_PAIR(front "transformer.resblocks.*.mlp.c_fc", "vision.*.up")            \
    TAP_NAMES_PAIR(front "transformer.resblocks.*.mlp.c_proj", "vision.*.down")        \
    TAP_NAMES_PAIR(front "ln_post", "vision.post_norm")

/* Two linear maps. */
#define TAP_NAMES_PROJECTOR(first, second)                                             \
    TAP_NAMES_PAIR(first, "projector.1")                                               \
    TAP_NAMES_PAIR(second, "projector.2")

/* LlamaModel, MistralModel, Qwen2Model, Phi3Model, without the head. */
#define TAP_NAMES_LLAMA(front)                                                         \
    {front "embed_tokens.weight", "lm.embed.weight"},                                  \
    {front "layers.*.input_layernorm.weight", "lm.*.attn_norm.weight"},                \
    TAP_NAMES_PAIR(front "layers.*.self_attn.q_proj", "lm.*.q")                        \
    TAP_NAMES_PAIR(front "layers.*.self_attn.k_proj", "lm.*.k")                        \
    TAP_NAMES_PAIR(front "layers.*.self_attn.v_proj", "lm.*.v")                        \
    TAP_NAMES_PAIR(front "layers.*.self_attn.qkv_proj", "lm.*.qkv")                    \
    {front "layers.*.mlp.gate_up_proj.weight", "lm.*.gate_up.weight"},                 \
    {front "layers.*.self_attn.o_proj.weight", "lm.*.o.weight"},                       \
    {front "layers.*.self_attn.rotary_emb.inv_freq", ""},                              \
    {front "layers.*.post_attention_layernorm.weight", "lm.*.mlp_norm.weight"},        \
    {front "layers.*.mlp.gate_proj.weight", "lm.*.gate.weight"},                       \
    {front "layers.*.mlp.up_proj.weight", "lm.*.up.weight"},                           \
    {front "layers.*.mlp.down_proj.weight", "lm.*.down.weight"},                       \
    {front "norm.weight", "lm.final_norm.weight"},

/* LLaVA and its descendants, by the age of the file: what transformers saved up to 4.51 and
 * mostly still does; in memory since 4.52, and in some files; towers without "vision_model."
 * since 5.6; the original layout with the tower inside. Source: transformers'
 * conversion_mapping.py and modeling_llava.py; LLaVA's builder.py. */
#define TAP_NAMES_LLAVA                                                                \
    TAP_NAMES_CLIP("vision_tower.vision_model.")                                       \
    TAP_NAMES_CLIP("vision_tower.")                                                    \
    TAP_NAMES_CLIP("model.vision_tower.vision_model.")                                 \
    TAP_NAMES_CLIP("model.vision_tower.")                                              \
    TAP_NAMES_CLIP("model.vision_tower.vision_tower.vision_model.")                    \
    TAP_NAMES_PROJECTOR("multi_modal_projector.linear_1", "multi_modal_projector.linear_2") \
    TAP_NAMES_PROJECTOR("model.multi_modal_projector.linear_1",                        \
                        "model.multi_modal_projector.linear_2")                        \
    TAP_NAMES_PROJECTOR("model.mm_projector.0", "model.mm_projector.2")                \
    {"image_newline", "projector.newline"},                                            \
    {"model.image_newline", "projector.newline"},                                      \
    {"language_model.model.image_newline", "projector.newline"},                       \
    TAP_NAMES_LLAMA("language_model.model.")                                           \
    TAP_NAMES_LLAMA("language_model.")                                                 \
    TAP_NAMES_LLAMA("model.language_model.model.")                                     \
    TAP_NAMES_LLAMA("model.language_model.")                                           \
    TAP_NAMES_LLAMA("model.")                                                          \
    {"language_model.lm_head.weight", "lm.head.weight"},                               \
    {"model.language_model.lm_head.weight", "lm.head.weight"},                         \
    {"model.lm_head.weight", "lm.head.weight"},                                        \
    {"lm_head.weight", "lm.head.weight"},

/* clang-format on */

#endif

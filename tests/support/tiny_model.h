/* A random-weight LLaVA-1.5 directory in milliseconds: config.json, the processor's
 * settings, tokenizer.json and safetensors, in the layouts that checkpoints really have.
 *
 *   tiny_model options = tiny_model_default();
 *   options.lm_n_blocks = 3;
 *   TAP_TRY(tiny_model_write(directory, &options, err));
 *
 * Weights depend on the seed and the canonical name alone, so two layouts of one seed
 * compute the same numbers. */
#ifndef TAP_TESTS_TINY_MODEL_H
#define TAP_TESTS_TINY_MODEL_H

#include "tensor/tensor.h"

typedef enum tiny_names {
    TINY_NAMES_OLD, /* vision_tower.vision_model.*, language_model.model.* */
    TINY_NAMES_NEW, /* model.vision_tower.vision_model.*, model.language_model.* */
    TINY_NAMES_V5   /* vision_tower.* without vision_model., language_model.model.* */
} tiny_names;

typedef struct tiny_model {
    int vision_n_blocks, vision_d_model, vision_n_heads, vision_d_mlp;
    int side_px, patch_px;
    int lm_n_blocks, lm_d_model, lm_n_heads, lm_n_kv_heads, lm_d_head, lm_d_mlp;
    int d_vocab;     /* 0: as many rows as the tokenizer has ids, rounded up to 64 */
    tap_dtype dtype; /* TAP_F32, TAP_F16, TAP_BF16 */
    bool tied_head;  /* no lm_head.weight in the file */
    bool pad;        /* LlavaImageProcessor with do_pad, else CLIPImageProcessor */
    tiny_names names;
    bool v5_config; /* dtype, rope_parameters, nested processor_config.json */
    int n_shards;   /* 1: model.safetensors; more: shards and an index */
    uint64_t seed;
    double lm_norm_eps;
} tiny_model;

/* 3 vision blocks of 32 (4 heads) on a 4 x 4 grid of 8 px patches, 2 lm blocks of 32 (4
 * heads, 2 kv heads), f32, untied, old names, one file, seed 1. */
tiny_model tiny_model_default(void);

/* Writes everything into an existing directory. */
TAP_NODISCARD tap_status tiny_model_write(const char *directory,
                                          const tiny_model *options, tap_error *err);

/* Only config.json, the processor's settings and tokenizer.json. */
TAP_NODISCARD tap_status tiny_model_write_configs(const char *directory,
                                                  const tiny_model *options,
                                                  tap_error *err);

/* Ids of the tokenizer, <image> included; <image> is the last one. */
TAP_NODISCARD tap_status tiny_tokenizer_write(int *n_ids, const char *path,
                                              tap_error *err);

#endif

/* What a model is, as numbers: sizes and conventions read from its configuration files.
 *
 * A family fills one tap_spec; nothing to the right of this room asks which family it is.
 * Adding a family means adding one table entry (see spec.c). */
#ifndef TAP_MODEL_SPEC_H
#define TAP_MODEL_SPEC_H

#include "format/weights.h"
#include "image/preprocess.h"
#include "tensor/kernels.h"

typedef struct tap_stack_spec {
    int n_blocks; /* blocks stored in the checkpoint */
    int d_model, n_heads, n_kv_heads, d_head, d_mlp;
    double norm_eps;
    tap_act act;
} tap_stack_spec;

typedef struct tap_vision_spec {
    tap_stack_spec stack;
    int side_px, patch_px; /* grid = side / patch, square */
    bool has_cls;          /* row 0 of the stack is CLS */
    bool has_pre_norm;     /* CLIP: a norm after the position table */
    bool has_post_norm;    /* applied to the feature state */
    bool has_patch_bias;
    int n_blocks_read; /* the feature is depth n_blocks_read: LLaVA-1.5 stores 24, reads 23 */
    bool keeps_cls; /* feature select strategy "full": CLS is a feature row too */
} tap_vision_spec;

typedef struct tap_lm_spec {
    tap_stack_spec stack;
    int64_t d_vocab;
    double rope_theta;
    int64_t n_positions;
    bool tied_head;
    bool has_qkv_bias; /* Qwen2 */
    int32_t bos_id, eos_id;
} tap_lm_spec;

typedef struct tap_spec {
    char family[32]; /* "llava-1.5" */
    tap_vision_spec vision;
    tap_act projector_act;
    bool projector_bias;
    int d_projector_in; /* vision d_model times what is concatenated */
    tap_lm_spec lm;
    int32_t image_token_id;
    tap_preprocess_spec preprocess;
    char prompt[512];           /* the family's default; holds "<image>" once */
    const tap_name_rule *names; /* raw tensor names to canonical ones */
    size_t n_names;
} tap_spec;

/* Reads config.json and preprocessor_config.json (or processor_config.json) of a model
 * directory. Every number is checked against limits before use. TAP_EUNSUPPORTED names
 * what was found and which families exist. */
TAP_NODISCARD tap_status tap_spec_read(tap_spec *out, const char *directory,
                                       tap_error *err);

/* The same from the texts of the two files, for tests and fuzzing. */
TAP_NODISCARD tap_status tap_spec_parse(tap_spec *out, const char *config,
                                        size_t n_config, const char *processor,
                                        size_t n_processor, tap_error *err);

#endif

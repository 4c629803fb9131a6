/* LLaVA-1.5: a CLIP tower read before its last block, two linear maps, a Llama decoder. */
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <string.h>

/* Where the same tensors stand, by the age of the file: what transformers saved up to 4.51
 * and mostly still does; in memory since 4.52, and in some files; towers without
 * "vision_model." since 5.6; the original layout with the tower inside.
 * Source: transformers' conversion_mapping.py and modeling_llava.py; LLaVA's builder.py. */
/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_CLIP("vision_tower.vision_model.")
    TAP_NAMES_CLIP("vision_tower.")
    TAP_NAMES_CLIP("model.vision_tower.vision_model.")
    TAP_NAMES_CLIP("model.vision_tower.")
    TAP_NAMES_CLIP("model.vision_tower.vision_tower.vision_model.")
    TAP_NAMES_PROJECTOR("multi_modal_projector.linear_1", "multi_modal_projector.linear_2")
    TAP_NAMES_PROJECTOR("model.multi_modal_projector.linear_1",
                        "model.multi_modal_projector.linear_2")
    TAP_NAMES_PROJECTOR("model.mm_projector.0", "model.mm_projector.2")
    TAP_NAMES_LLAMA("language_model.model.")
    TAP_NAMES_LLAMA("language_model.")
    TAP_NAMES_LLAMA("model.language_model.model.")
    TAP_NAMES_LLAMA("model.language_model.")
    TAP_NAMES_LLAMA("model.")
    {"language_model.lm_head.weight", "lm.head.weight"},
    {"model.language_model.lm_head.weight", "lm.head.weight"},
    {"model.lm_head.weight", "lm.head.weight"},
    {"lm_head.weight", "lm.head.weight"},
};

/* clang-format on */

/* An entry k of the tower's states (0: what enters block 0; negative: from the end) as a
 * count of blocks. */
static tap_status read_feature_depth(int *out, const tap_json_at *config, int n_blocks,
                                     tap_error *err)
{
    const json_t *value = tap_json_find(config, "vision_feature_layer");
    int64_t layer = -2;
    if (json_is_array(value)) {
        if (json_array_size(value) != 1)
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "cannot use '%s': 'vision_feature_layer' joins %zu states "
                            "of the tower, expected one",
                            config->path, json_array_size(value));
        value = json_array_get(value, 0);
    }
    if (value)
        layer = json_integer_value(value);
    if ((value && !json_is_integer(value)) || layer < -n_blocks - 1 ||
        layer > n_blocks) {
        char found[TAP_JSON_VALUE_BYTES];
        tap_json_describe(found, value);
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'vision_feature_layer' is %s, expected a "
                        "whole number from %d to %d",
                        config->path, value ? found : "-2", -n_blocks - 1, n_blocks);
    }
    *out = (int)(layer < 0 ? n_blocks + 1 + layer : layer);
    return TAP_OK;
}

static tap_status read_select(bool *keeps_cls, const tap_json_at *config,
                              tap_error *err)
{
    const char *word = NULL;
    TAP_TRY(
        tap_json_text(&word, config, "vision_feature_select_strategy", "default", err));
    *keeps_cls = strcmp(word, "full") == 0;
    if (!*keeps_cls && strcmp(word, "default") != 0)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': 'vision_feature_select_strategy' is '%.40s', "
            "expected 'default' or 'full'",
            config->path, word);
    return TAP_OK;
}

/* The class of a part, where this family has only one. */
static tap_status demand_type(const tap_json_at *at, const char *expected,
                              tap_error *err)
{
    const char *type = NULL;
    TAP_TRY(tap_json_text(&type, at, "model_type", expected, err));
    if (strcmp(type, expected) != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': '%smodel_type' is '%.40s', expected '%s' for "
                        "the family llava-1.5",
                        at->path, at->place, type, expected);
    return TAP_OK;
}

static tap_status read_llava(tap_spec *out, const tap_spec_files *files, tap_error *err)
{
    const tap_json_at *config = &files->config;
    if (tap_json_find(config, "mm_vision_tower"))
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot use '%s': this is the original LLaVA layout "
            "('mm_vision_tower'); use the converted checkpoint, whose config "
            "has 'vision_config' and 'text_config'",
            config->path);
    tap_json_at vision, text;
    TAP_TRY(tap_json_object(&vision, config, "vision_config", "vision_config.", err));
    TAP_TRY(tap_json_object(&text, config, "text_config", "text_config.", err));
    TAP_TRY(demand_type(&vision, "clip_vision_model", err));
    TAP_TRY(demand_type(&text, "llama", err));
    TAP_TRY(tap_spec_read_clip(&out->vision, &vision, err));
    TAP_TRY(read_feature_depth(&out->vision.n_blocks_read, config,
                               out->vision.stack.n_blocks, err));
    TAP_TRY(read_select(&out->vision.keeps_cls, config, err));
    TAP_TRY(tap_spec_read_act(&out->projector_act, config, "projector_hidden_act",
                              "gelu", err));
    TAP_TRY(tap_json_bool(&out->projector_bias, config, "multimodal_projector_bias",
                          true, err));
    out->d_projector_in = out->vision.stack.d_model;
    TAP_TRY(tap_spec_read_llama(&out->lm, &text, err));
    bool tied = false;
    TAP_TRY(tap_json_bool(&tied, config, "tie_word_embeddings", false, err));
    out->lm.tied_head = out->lm.tied_head || tied;
    int64_t id = 0;
    const bool is_old = tap_json_find(config, "image_token_index") != NULL;
    TAP_TRY(tap_json_int(&id, config, is_old ? "image_token_index" : "image_token_id",
                         32000, 0, out->lm.d_vocab - 1, err));
    out->image_token_id = (int32_t)id;
    return tap_spec_read_image(&out->preprocess, &files->processor, &out->vision, err);
}

const tap_family tap_family_llava = {
    .name = "llava-1.5",
    .model_type = "llava",
    .prompt = "USER: <image>\nWhat is shown in this image? ASSISTANT:",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_llava,
};

/* LLaVA-1.5: a CLIP tower read before its last block, two linear maps, a Llama decoder; and
 * what its descendants share with it. */
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <string.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_LLAVA
};

/* clang-format on */

/* An entry k of the tower's states (0: what enters block 0; negative: from the end) as a
 * count of blocks. */
static tap_status read_feature_depth(int *out, const tap_json_at *config, int n_blocks,
                                     int absent, tap_error *err)
{
    const json_t *value = tap_json_find(config, "vision_feature_layer");
    int64_t layer = absent;
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
                        config->path, value ? found : "absent (-2)", -n_blocks - 1,
                        n_blocks);
    }
    *out = (int)(layer < 0 ? n_blocks + 1 + layer : layer);
    return TAP_OK;
}

static tap_status read_select(bool *keeps_cls, const tap_json_at *config, bool has_cls,
                              const char *absent, tap_error *err)
{
    const char *word = NULL;
    TAP_TRY(
        tap_json_text(&word, config, "vision_feature_select_strategy", absent, err));
    *keeps_cls = strcmp(word, "full") == 0;
    if (!*keeps_cls && strcmp(word, "default") != 0)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': 'vision_feature_select_strategy' is '%.40s', "
            "expected 'default' or 'full'",
            config->path, word);
    if (!*keeps_cls && !has_cls)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'vision_feature_select_strategy' is "
                        "'default', which drops the first patch of a tower without a "
                        "class token; expected 'full'",
                        config->path);
    return TAP_OK;
}

tap_status tap_spec_read_llava(tap_spec *out, const tap_spec_files *files,
                               const tap_llava_defaults *defaults, tap_error *err)
{
    const tap_json_at *config = &files->config;
    tap_json_at vision, text;
    tap_vision_spec *v = &out->vision;
    TAP_TRY(tap_json_object(&vision, config, "vision_config", "vision_config.", err));
    TAP_TRY(tap_json_object(&text, config, "text_config", "text_config.", err));
    TAP_TRY(tap_spec_read_tower(v, &vision, defaults->tower, err));
    TAP_TRY(read_feature_depth(&v->n_blocks_read, config, v->stack.n_blocks,
                               defaults->feature_layer, err));
    TAP_TRY(read_select(&v->keeps_cls, config, v->has_cls, defaults->select, err));
    TAP_TRY(tap_spec_read_act(&out->projector_act, config, "projector_hidden_act",
                              "gelu", err));
    TAP_TRY(tap_json_bool(&out->projector_bias, config, "multimodal_projector_bias",
                          true, err));
    TAP_TRY(tap_spec_read_text(&out->lm, &text, defaults->text, err));
    bool tied = false;
    TAP_TRY(tap_json_bool(&tied, config, "tie_word_embeddings", false, err));
    out->lm.tied_head = out->lm.tied_head || tied;
    out->n_projector_maps = 2;
    out->d_projector_in = v->stack.d_model;
    out->d_projector_out = out->lm.stack.d_model;
    int64_t id = 0;
    const bool is_old = tap_json_find(config, "image_token_index") != NULL;
    TAP_TRY(tap_json_int(&id, config, is_old ? "image_token_index" : "image_token_id",
                         defaults->image_token_id, 0, out->lm.d_vocab - 1, err));
    out->image_token_id = (int32_t)id;
    return TAP_OK;
}

static tap_status read_llava(tap_spec *out, const tap_spec_files *files, tap_error *err)
{
    static const tap_llava_defaults defaults = {-2, "default", 32000,
                                                "clip_vision_model", "llama"};
    TAP_TRY(tap_spec_read_llava(out, files, &defaults, err));
    out->lay_out = tap_layout_flat;
    TAP_TRY(tap_spec_read_image(&out->preprocess, &files->processor,
                                "CLIPImageProcessor", &out->vision, err));
    return tap_spec_demand_fit(&out->preprocess, TAP_FIT_CROP, TAP_FIT_SQUASH,
                               &files->processor, err);
}

const tap_family tap_family_llava = {
    .name = "llava-1.5",
    .model_types = {"llava"},
    .chat = "llava-1.5",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_llava,
};

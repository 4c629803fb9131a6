/* Prismatic VLMs with one CLIP tower: timm's names for the tower, image rows right after the
 * begin token.
 *
 * Source: TRI-ML/prismatic-vlms, models/backbones/vision (base_vision.py, clip_vit.py),
 * models/backbones/llm, models/vlms/prismatic.py, util/nn_utils.py. Their config.json names
 * the parts; their sizes stand in those parts' own repositories and here. A vision_config or
 * text_config beside "model" may name other sizes. */
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define NAMES_TIMM(front)                                                              \
    {front "cls_token", "vision.class_embed"},                                         \
    {front "patch_embed.proj.weight", "vision.patch_embed.weight"},                    \
    {front "pos_embed", "vision.pos_embed"},                                           \
    TAP_NAMES_PAIR(front "norm_pre", "vision.pre_norm")                                \
    TAP_NAMES_PAIR(front "blocks.*.norm1", "vision.*.attn_norm")                       \
    TAP_NAMES_PAIR(front "blocks.*.attn.qkv", "vision.*.qkv")                          \
    TAP_NAMES_PAIR(front "blocks.*.attn.proj", "vision.*.o")                           \
    TAP_NAMES_PAIR(front "blocks.*.norm2", "vision.*.mlp_norm")                        \
    TAP_NAMES_PAIR(front "blocks.*.mlp.fc1", "vision.*.up")                            \
    TAP_NAMES_PAIR(front "blocks.*.mlp.fc2", "vision.*.down")

#define NAMES_ALL(front)                                                               \
    NAMES_TIMM(front "vision_backbone.featurizer.")                                    \
    TAP_NAMES_PROJECTOR(front "projector.projector.0", front "projector.projector.2")  \
    TAP_NAMES_LLAMA(front "llm_backbone.llm.model.")                                   \
    {front "llm_backbone.llm.lm_head.weight", "lm.head.weight"},

static const tap_name_rule names[] = {
    NAMES_ALL("model.")
    NAMES_ALL("")
};

/* clang-format on */

static bool is_prismatic(const tap_json_at *config)
{
    const json_t *model = tap_json_find(config, "model");
    return json_is_string(json_object_get(model, "vision_backbone_id"));
}

/* Sides of the towers that OpenAI released, as CLIPVisionConfig would state them. */
static tap_status read_tower(tap_vision_spec *v, const tap_json_at *config,
                             const tap_json_at *model, tap_error *err)
{
    const char *id = NULL;
    tap_json_at vision;
    TAP_TRY(tap_json_text(&id, model, "vision_backbone_id", NULL, err));
    const bool small = strcmp(id, "clip-vit-l") == 0;
    if (!small && strcmp(id, "clip-vit-l-336px") != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': the vision backbone is '%.60s'; towers that "
                        "fuse two encoders, and encoders other than CLIP, are not "
                        "read; expected clip-vit-l-336px or clip-vit-l",
                        config->path, id);
    TAP_TRY(tap_json_object(&vision, config, "vision_config", "vision_config.", err));
    TAP_TRY(tap_spec_read_tower(v, &vision, "clip_vision_model", err));
    if (!vision.object && small)
        v->side_px = 224;
    v->n_blocks_read = v->stack.n_blocks - 1; /* the second to last block's output */
    return TAP_OK;
}

static tap_status read_decoder(tap_spec *out, const tap_json_at *config,
                               const tap_json_at *model, tap_error *err)
{
    static const struct {
        const char *id, *text, *chat;
    } known[] = {
        {"vicuna-v15-7b", "7", "prismatic"},
        {"llama2-7b-pure", "7", "prismatic-pure"},
        {"llama2-7b-chat", "7", "prismatic-llama-2"},
        {"vicuna-v15-13b", "13", "prismatic"},
        {"llama2-13b-pure", "13", "prismatic-pure"},
        {"llama2-13b-chat", "13", "prismatic-llama-2"},
    };

    static const char *const sizes[] = {
        "{\"vocab_size\": 32064, \"rms_norm_eps\": 1e-5, \"max_position_embeddings\": "
        "4096}",
        "{\"vocab_size\": 32064, \"rms_norm_eps\": 1e-5, \"max_position_embeddings\": "
        "4096, \"hidden_size\": 5120, \"intermediate_size\": 13824, "
        "\"num_hidden_layers\": 40, \"num_attention_heads\": 40}"};

    const char *id = NULL;
    tap_json_at text;
    int size = -1;
    TAP_TRY(tap_json_text(&id, model, "llm_backbone_id", NULL, err));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(id, known[i].id) == 0) {
            size = strcmp(known[i].text, "13") == 0;
            (void)snprintf(out->chat, sizeof out->chat, "%s", known[i].chat);
        }
    if (size < 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': the decoder is '%.60s', expected one of "
                        "vicuna-v15 or llama2 with 7b or 13b",
                        config->path, id);
    TAP_TRY(tap_json_object(&text, config, "text_config", "text_config.", err));
    if (text.object)
        return tap_spec_read_text(&out->lm, &text, "llama", err);
    json_t *own = json_loads(sizes[size], 0, NULL);
    if (!own)
        return TAP_FAIL(err, TAP_ENOMEM, "no memory left for the sizes of a decoder");
    text.object = own;
    const tap_status status = tap_spec_read_text(&out->lm, &text, "llama", err);
    json_decref(own);
    return status;
}

static tap_status read_image(tap_preprocess_spec *p, const tap_json_at *config,
                             const tap_json_at *model, const tap_vision_spec *v,
                             tap_error *err)
{
    static const struct {
        const char *name;
        tap_fit fit;
    } fits[] = {{"letterbox", TAP_FIT_LETTERBOX},
                {"resize-naive", TAP_FIT_SQUASH},
                {"resize-crop", TAP_FIT_CROP}};

    const char *name = NULL;
    TAP_TRY(tap_json_text(&name, model, "image_resize_strategy", "letterbox", err));
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++)
        if (strcmp(name, fits[i].name) == 0) {
            *p = (tap_preprocess_spec){.side_px = v->side_px,
                                       .patch_px = v->patch_px,
                                       .fit = fits[i].fit,
                                       .rounds_crop = true,
                                       .alpha = TAP_ALPHA_DROPPED,
                                       .filter = TAP_BICUBIC,
                                       .order = TAP_ORDER_PILLOW_13,
                                       .pad_rgb = {122, 116, 104},
                                       .rescale = 1.0 / 255.0,
                                       .mean = {0.48145466, 0.4578275, 0.40821073},
                                       .std = {0.26862954, 0.26130258, 0.27577711}};
            return TAP_OK;
        }
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot use '%s': 'model.image_resize_strategy' is '%.40s', "
                    "expected letterbox, resize-naive or resize-crop",
                    config->path, name);
}

static tap_status read_prismatic(tap_spec *out, const tap_spec_files *files,
                                 tap_error *err)
{
    const tap_json_at *config = &files->config;
    tap_json_at model;
    const char *arch = NULL;
    TAP_TRY(tap_json_object(&model, config, "model", "model.", err));
    TAP_TRY(tap_json_text(&arch, &model, "arch_specifier", "gelu-mlp", err));
    const size_t n = strlen(arch);
    if (strstr(arch, "fused") || n < 8 || strcmp(arch + n - 8, "gelu-mlp") != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'model.arch_specifier' is '%.40s', expected "
                        "gelu-mlp (fused towers are not read)",
                        config->path, arch);
    TAP_TRY(read_tower(&out->vision, config, &model, err));
    TAP_TRY(read_decoder(out, config, &model, err));
    out->n_projector_maps = 2;
    out->projector_act = TAP_ACT_GELU_ERF;
    out->projector_bias = true;
    out->d_projector_in = out->vision.stack.d_model;
    out->d_projector_out = out->lm.stack.d_model;
    out->prompt_kind = TAP_PROMPT_AFTER_BOS;
    out->lay_out = tap_layout_flat;
    return read_image(&out->preprocess, config, &model, &out->vision, err);
}

const tap_family tap_family_prismatic = {
    .name = "prismatic",
    .recognises = is_prismatic,
    .chat = "prismatic",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_prismatic,
};

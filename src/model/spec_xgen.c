/* xGen-MM (BLIP-3): an encoder over the tiles of a picture and the whole of it, a perceiver
 * that reads groups of features, a Phi-3 decoder with a second table for three words of its
 * own. Version 1.5 (model_type "xgenmm") has a SigLIP tower. Version 1 ("blip_3") has
 * OpenCLIP's ViT-H, and a perceiver whose latents read the prompt too and take padding for
 * part of the picture.
 *
 * Source: the models' own modeling_xgenmm.py, modeling_blip_3.py, vlm.py and
 * image_processing_blip_3.py, open_flamingo of salesforce/LAVIS. Their code hard-wires
 * SigLIP so400m/14 at 384 px or ViT-H/14 at 378 px, and a perceiver of 6 blocks of 16 heads
 * of 96; vision_encoder_config.vision_config (1: keys of OpenCLIP's vision_cfg) and
 * vision_tokenizer_config may name other sizes (tiny checkpoints). */
#include "base/memory.h"
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <string.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_CLIP("vlm.vision_encoder.")
    TAP_NAMES_OPEN_CLIP("vlm.vision_encoder.")
    {"vlm.vision_tokenizer.latents", "perceiver.latents"},
    TAP_NAMES_PAIR("vlm.vision_tokenizer.layers.*.0.norm_media", "perceiver.*.norm_media")
    TAP_NAMES_PAIR("vlm.vision_tokenizer.layers.*.0.norm_latents", "perceiver.*.norm_latents")
    {"vlm.vision_tokenizer.layers.*.0.to_q.weight", "perceiver.*.q.weight"},
    {"vlm.vision_tokenizer.layers.*.0.to_kv.weight", "perceiver.*.kv.weight"},
    {"vlm.vision_tokenizer.layers.*.0.to_out.weight", "perceiver.*.o.weight"},
    TAP_NAMES_PAIR("vlm.vision_tokenizer.layers.*.1.0", "perceiver.*.mlp_norm")
    {"vlm.vision_tokenizer.layers.*.1.1.weight", "perceiver.*.up.weight"},
    {"vlm.vision_tokenizer.layers.*.1.3.weight", "perceiver.*.down.weight"},
    TAP_NAMES_PAIR("vlm.vision_tokenizer.norm", "perceiver.norm")
    TAP_NAMES_PAIR("vlm.vision_tokenizer.text_projection.0", "perceiver.text.1")
    TAP_NAMES_PAIR("vlm.vision_tokenizer.text_projection.2", "perceiver.text.2")
    TAP_NAMES_PAIR("vlm.vision_tokenizer.projection", "projector.1")
    TAP_NAMES_LLAMA("vlm.lang_model.model.")
    {"vlm.lang_model.model.embed_tokens.additional_embedding.weight", "lm.more_embed.weight"},
    TAP_NAMES_PAIR("vlm.lang_model.lm_head", "lm.head")
    TAP_NAMES_PAIR("vlm.lang_model.lm_head.additional_fc", "lm.more_head")
};

/* clang-format on */

/* The part of the mosaic that shows the picture, in patches. Python's int() of a product in
 * double, without the rounding of LLaVA-NeXT. */
typedef struct window {
    int64_t top, left, bottom, right;
} window;

static window shown(const tap_geometry *g)
{
    const int64_t n_rows = (int64_t)g->tile_rows * g->n_rows,
                  n_cols = (int64_t)g->tile_cols * g->n_cols;
    const double width = (double)g->source_width, height = (double)g->source_height;
    int64_t down = 0, across = 0;
    if (width / height > (double)n_cols / (double)n_rows)
        down = (n_rows - (int64_t)(height * ((double)n_cols / width))) / 2;
    else
        across = (n_cols - (int64_t)(width * ((double)n_rows / height))) / 2;
    return (window){down, across, n_rows - down, n_cols - across};
}

/* Latents of the thumbnail's features, then of the mosaic's: its rows of patches one after
 * the other, cut into groups as long as a tile. With tiles side by side a group is no tile
 * but a run of rows. A picture of one tile has one group. */
static tap_status lay_out(tap_layout *out, const tap_spec *spec, const tap_geometry *g,
                          tap_error *err)
{
    const int64_t n = (int64_t)g->n_rows * g->n_cols,
                  n_latents = spec->perceiver.n_latents;
    const int64_t n_cols = (int64_t)g->tile_cols * g->n_cols;
    const window w = shown(g);
    out->n_groups = g->n_tiles;
    out->n_merged = g->n_tiles * n_latents;
    TAP_TRY(tap_layout_reserve(out, out->n_merged, err));
    TAP_TRY(tap_alloc(&out->media, (size_t)(out->n_groups * n), sizeof *out->media,
                      "a layout", err));
    const int64_t n_first = g->thumb >= 0 || g->n_tiles == 1 ? n : 0;
    for (int64_t i = 0; i < n_first;
         i++) /* the thumbnail, or the one tile, is tile 0 */
        out->media[i] = (int32_t)i;
    for (int64_t i = n_first; i < out->n_groups * n; i++) {
        const int64_t row = (i - n_first) / n_cols, col = (i - n_first) % n_cols;
        const bool inside =
            spec->perceiver.sees_padding ||
            (row >= w.top && row < w.bottom && col >= w.left && col < w.right);
        out->media[i] = inside ? (int32_t)tap_layout_patch(g, false, row, col) : -1;
    }
    tap_slot slot = {.role = TAP_ROLE_PATCH, .row = -1, .col = -1};
    slot.from[1] = slot.from[2] = slot.from[3] = TAP_FROM_NOTHING;
    for (int64_t i = 0; i < out->n_merged; i++) {
        slot.thumb = i < n_latents && g->thumb == 0;
        slot.tile = i < n_latents ? 0 : -1;
        slot.from[0] = (int32_t)i;
        tap_layout_put(out, &slot);
    }
    return TAP_OK;
}

static bool is_version_1(const tap_json_at *config)
{
    const char *type = json_string_value(tap_json_find(config, "model_type"));
    return type && strcmp(type, "blip_3") == 0;
}

static tap_status read_siglip(tap_vision_spec *v, const tap_json_at *sizes,
                              tap_error *err)
{
    if (sizes->object)
        return tap_spec_read_tower(v, sizes, "siglip_vision_model", err);
    v->stack = (tap_stack_spec){.n_blocks = 27,
                                .d_model = 1152,
                                .n_heads = 16,
                                .n_kv_heads = 16,
                                .d_head = 72,
                                .d_mlp = 4304,
                                .norm_eps = 1e-6,
                                .act = TAP_ACT_GELU_TANH};
    v->side_px = 384;
    v->patch_px = 14;
    v->has_patch_bias = true;
    return TAP_OK;
}

static tap_status read_vit_h(tap_vision_spec *v, const tap_json_at *encoder,
                             const tap_json_at *sizes, tap_error *err)
{
    if (sizes->object) {
        TAP_TRY(tap_spec_read_open_tower(v, sizes, true, err));
    } else {
        v->stack = (tap_stack_spec){.n_blocks = 32,
                                    .d_model = 1280,
                                    .n_heads = 16,
                                    .n_kv_heads = 16,
                                    .d_head = 80,
                                    .d_mlp = 5120,
                                    .norm_eps = 1e-5,
                                    .act = TAP_ACT_QUICK_GELU};
        v->side_px = 378;
        v->patch_px = 14;
        v->has_cls = v->has_pre_norm = true;
    }
    TAP_TRY(tap_spec_read_size(&v->side_px, encoder, "force_image_size", v->side_px,
                               v->patch_px, 16384, err));
    return tap_spec_check_grid(v, encoder, err);
}

/* *whole: the picture is one tile. Version 1 alone has that in its config. */
static tap_status read_tower(tap_vision_spec *v, bool *whole, const tap_json_at *config,
                             tap_error *err)
{
    const bool first = is_version_1(config);
    tap_json_at encoder, sizes;
    const char *ratio = NULL;
    bool samples = true;
    TAP_TRY(tap_json_object(&encoder, config, "vision_encoder_config",
                            "vision_encoder_config.", err));
    TAP_TRY(tap_json_object(&sizes, &encoder, "vision_config",
                            "vision_encoder_config.vision_config.", err));
    TAP_TRY(tap_spec_demand_word(
        &encoder, "model_name",
        first ? "ViT-H-14-378-quickgelu" : "google/siglip-so400m-patch14-384", err));
    TAP_TRY(tap_json_text(&ratio, &encoder, "image_aspect_ratio", "anyres", err));
    TAP_TRY(tap_json_bool(&samples, &encoder, "anyres_patch_sampling", true, err));
    *whole = first && strcmp(ratio, "pad") == 0 && !samples;
    if (!*whole && (strcmp(ratio, "anyres") != 0 || !samples))
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'vision_encoder_config' asks for '%.20s' %s "
                        "'anyres_patch_sampling', expected 'anyres' with it%s",
                        config->path, ratio, samples ? "with" : "without",
                        first ? " or 'pad' without" : "");
    TAP_TRY(first ? read_vit_h(v, &encoder, &sizes, err) : read_siglip(v, &sizes, err));
    v->n_blocks_read = v->stack.n_blocks;
    v->has_post_norm = true;
    return TAP_OK;
}

static tap_status read_perceiver(tap_spec *out, const tap_json_at *config,
                                 tap_error *err)
{
    tap_perceiver_spec *s = &out->perceiver;
    const int d = out->vision.stack.d_model;
    const bool first = is_version_1(config);
    tap_json_at at;
    int d_feature = 0, ratio = 0;
    bool repeats = false;
    TAP_TRY(tap_json_object(&at, config, "vision_tokenizer_config",
                            "vision_tokenizer_config.", err));
    TAP_TRY(tap_spec_read_size(&d_feature, &at, "vis_feature_dim", first ? 1280 : 1152,
                               1, 1000000, err));
    TAP_TRY(
        tap_spec_read_size(&s->n_latents, &at, "num_vis_tokens", 128, 1, 4096, err));
    TAP_TRY(tap_spec_read_size(&s->n_blocks, &at, "depth", 6, 1, 1000, err));
    TAP_TRY(tap_spec_read_size(&s->n_heads, &at, "heads", 16, 1, 1000, err));
    TAP_TRY(tap_spec_read_size(&s->d_head, &at, "dim_head", 96, 1, 256, err));
    TAP_TRY(tap_spec_read_size(&ratio, &at, "ff_mult", 4, 1, 100, err));
    TAP_TRY(tap_json_bool(&repeats, &at, "repeat_latents", false, err));
    if (repeats)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'vision_tokenizer_config.repeat_latents' is "
                        "true, expected false",
                        config->path);
    if (d_feature != d)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': 'vision_tokenizer_config.vis_feature_dim' is "
            "%d, and the tower's features are %d wide",
            config->path, d_feature, d);
    s->d_mlp = ratio * d;
    if (first) {
        s->n_text = 256;
        s->sees_padding = true;
    }
    return TAP_OK;
}

/* A Phi-3 decoder whose words from `initial_tokenizer_len` on have a table of their own,
 * and whose output map has a bias. */
static tap_status read_words(tap_spec *out, const tap_json_at *config, tap_error *err)
{
    static const char *const words[] = {"<image>", "<image placeholder>",
                                        "<|endofchunk|>"};
    tap_lm_spec *lm = &out->lm;
    tap_json_at text;
    int n_first = 0;
    TAP_TRY(tap_json_object(&text, config, "text_config", "text_config.", err));
    TAP_TRY(tap_spec_read_text(lm, &text, "phi3", err));
    lm->n_table_rows = lm->d_vocab;
    lm->n_more_words = sizeof words / sizeof *words;
    lm->has_head_bias = true;
    TAP_TRY(tap_spec_read_size(&n_first, &text, "initial_tokenizer_len", -1, 1,
                               (int)lm->n_table_rows, err));
    lm->d_vocab = n_first + lm->n_more_words;
    out->more_words = words;
    out->image_token_id = n_first; /* the first of the words */
    if (lm->tied_head)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'text_config.tie_word_embeddings' is true, "
                        "expected false for this family",
                        config->path);
    return TAP_OK;
}

/* Sizes to cut a picture to, as [width, height]: of the processor, of the encoder's object,
 * or five of up to three tiles (version 1: always). A processor whose "grids" is null shows
 * the picture in one tile (the base model). */
static tap_status read_grids(tap_spec *out, const tap_spec_files *files, bool whole,
                             tap_error *err)
{
    static const int tiles[][2] = {{1, 2}, {2, 1}, {2, 2}, {3, 1}, {1, 3}};
    tap_preprocess_spec *p = &out->preprocess;
    tap_json_at encoder;
    const bool first = is_version_1(&files->config);
    TAP_TRY(tap_spec_demand_word(&files->processor, "resize_mode", "squash", err));
    TAP_TRY(
        tap_spec_demand_word(&files->processor, "interpolation_mode", "bicubic", err));
    if (whole ||
        (!first && json_is_null(json_object_get(files->processor.object, "grids")))) {
        p->fit = TAP_FIT_SQUASH;
        return TAP_OK;
    }
    if (!first && tap_json_find(&files->processor, "grids"))
        return tap_spec_read_sizes(p, &files->processor, "grids", true, err);
    TAP_TRY(tap_json_object(&encoder, &files->config, "vision_encoder_config",
                            "vision_encoder_config.", err));
    if (!first && tap_json_find(&encoder, "anyres_grids"))
        return tap_spec_read_sizes(p, &encoder, "anyres_grids", true, err);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        p->pinpoints[i][0] = tiles[i][1] * p->side_px;
        p->pinpoints[i][1] = tiles[i][0] * p->side_px;
        p->n_pinpoints++;
    }
    return TAP_OK;
}

static tap_status read_xgen(tap_spec *out, const tap_spec_files *files, tap_error *err)
{
    bool whole = false;
    TAP_TRY(read_tower(&out->vision, &whole, &files->config, err));
    TAP_TRY(read_perceiver(out, &files->config, err));
    TAP_TRY(read_words(out, &files->config, err));
    out->n_projector_maps = 1;
    out->projector_bias = true;
    out->d_projector_in = out->vision.stack.d_model;
    out->d_projector_out = out->lm.stack.d_model;
    out->lay_out = lay_out;
    TAP_TRY(tap_spec_read_image(&out->preprocess, &files->processor,
                                is_version_1(&files->config) ? "Blip3ImageProcessor 1"
                                                             : "Blip3ImageProcessor",
                                &out->vision, err));
    out->preprocess.alpha = TAP_ALPHA_DROPPED;
    TAP_TRY(tap_spec_demand_fit(&out->preprocess, TAP_FIT_ANYRES, TAP_FIT_ANYRES,
                                &files->processor, err));
    return read_grids(out, files, whole, err);
}

const tap_family tap_family_xgen = {
    .name = "xgen-mm",
    .model_types = {"xgenmm", "blip_3"},
    .chat = "xgen",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_xgen,
};

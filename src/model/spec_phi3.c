/* Phi-3-vision and Phi-3.5-vision: a CLIP tower over the crops of a high-definition picture
 * and over the whole of it, squares of four patches merged, newlines and a separator that
 * are projected with them, a Phi-3 decoder with scaled rotation.
 *
 * Source: the models' own modeling_phi3_v.py and image_embedding_phi3_v.py. Their code
 * hard-wires ViT-L/14 at 336 px; a vision_config in config.json may name other sizes. */
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <string.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_CLIP("model.vision_embed_tokens.img_processor.vision_model.")
    TAP_NAMES_PROJECTOR("model.vision_embed_tokens.img_projection.0",
                        "model.vision_embed_tokens.img_projection.2")
    {"model.vision_embed_tokens.sub_GN", "projector.newline"},
    {"model.vision_embed_tokens.glb_GN", "projector.separator"},
    TAP_NAMES_LLAMA("model.")
    {"lm_head.weight", "lm.head.weight"},
};

/* clang-format on */

static void put_vector(tap_layout *out, tap_role role, bool thumb, int row, int from)
{
    const tap_slot slot = {
        .role = role,
        .thumb = thumb,
        .tile = -1,
        .row = row,
        .col = -1,
        .from = {from, TAP_FROM_NOTHING, TAP_FROM_NOTHING, TAP_FROM_NOTHING}};
    tap_layout_put(out, &slot);
}

/* One view: rows of merged patches, a newline after each. */
static void put_view(tap_layout *out, const tap_spec *spec, const tap_geometry *g,
                     bool thumb)
{
    const int m = spec->merge, n_rows = g->n_rows / m, n_cols = g->n_cols / m;
    const int rows = n_rows * (thumb ? 1 : g->tile_rows);
    const int cols = n_cols * (thumb ? 1 : g->tile_cols);
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < cols; c++) {
            const int tile =
                thumb ? g->thumb
                      : g->first_tile + r / n_rows * g->tile_cols + c / n_cols;
            const int from = (tile * n_rows + r % n_rows) * n_cols + c % n_cols;
            const tap_slot slot = {
                .role = TAP_ROLE_PATCH,
                .thumb = thumb,
                .tile = tile,
                .row = r,
                .col = c,
                .first_row = r * m,
                .first_col = c * m,
                .n_rows = m,
                .n_cols = m,
                .from = {from, TAP_FROM_NOTHING, TAP_FROM_NOTHING, TAP_FROM_NOTHING}};
            tap_layout_put(out, &slot);
        }
        put_vector(out, TAP_ROLE_ROW_END, thumb, r, TAP_FROM_NEWLINE);
    }
}

/* The crops, the separator, the whole picture ("sub_glb"). */
static tap_status lay_out(tap_layout *out, const tap_spec *spec, const tap_geometry *g,
                          tap_error *err)
{
    const int64_t n = g->n_rows / spec->merge;
    TAP_TRY(tap_layout_reserve(
        out, g->tile_rows * n * (g->tile_cols * n + 1) + 1 + n * (n + 1), err));
    put_view(out, spec, g, false);
    put_vector(out, TAP_ROLE_SEPARATOR, true, -1, TAP_FROM_SEPARATOR);
    put_view(out, spec, g, true);
    return TAP_OK;
}

/* The pieces of the image embedding that have more than one form in the model's code. */
static tap_status check_form(int *layer, const tap_json_at *config, tap_error *err)
{
    tap_json_at embed, tower;
    int64_t index = 0;
    bool hd = true;
    TAP_TRY(tap_json_object(&embed, config, "embd_layer", "embd_layer.", err));
    TAP_TRY(tap_json_object(&tower, config, "img_processor", "img_processor.", err));
    TAP_TRY(tap_spec_demand_word(&embed, "hd_transform_order", "sub_glb", err));
    TAP_TRY(tap_spec_demand_word(&embed, "projection_cls", "mlp", err));
    TAP_TRY(tap_spec_demand_word(&tower, "name", "clip_vision_model", err));
    TAP_TRY(tap_spec_demand_word(&tower, "type_feature", "patch", err));
    TAP_TRY(tap_json_bool(&hd, &embed, "use_hd_transform", true, err));
    if (!hd)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'embd_layer.use_hd_transform' is false, "
                        "expected true",
                        config->path);
    TAP_TRY(tap_json_int(&index, &tower, "layer_idx", -2, -64, -1, err));
    *layer = (int)index;
    return TAP_OK;
}

static tap_status read_phi3(tap_spec *out, const tap_spec_files *files, tap_error *err)
{
    const tap_json_at *config = &files->config;
    tap_vision_spec *v = &out->vision;
    tap_json_at vision;
    int layer = 0;
    TAP_TRY(check_form(&layer, config, err));
    TAP_TRY(tap_json_object(&vision, config, "vision_config", "vision_config.", err));
    TAP_TRY(tap_spec_read_tower(v, &vision, "clip_vision_model", err));
    out->merge = 2;
    v->n_blocks_read = v->stack.n_blocks + 1 + layer;
    if (v->n_blocks_read < 0 || tap_vision_side(v) % out->merge != 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': a tower of %d blocks and %lld patches a "
                        "side, expected an even side and at least %d blocks",
                        config->path, v->stack.n_blocks, (long long)tap_vision_side(v),
                        -layer - 1);
    TAP_TRY(tap_spec_read_text(&out->lm, config, "phi3_v", err));
    out->gathers_first = out->has_newline = out->has_separator = true;
    out->n_projector_maps = 2;
    out->projector_act = TAP_ACT_GELU_ERF;
    out->projector_bias = true;
    out->d_projector_in = v->stack.d_model * 4;
    out->d_projector_out = out->lm.stack.d_model;
    out->prompt_kind = TAP_PROMPT_CHUNKS;
    out->lay_out = lay_out;
    TAP_TRY(tap_spec_read_image(&out->preprocess, &files->processor,
                                "Phi3VImageProcessor", v, err));
    out->preprocess.alpha = TAP_ALPHA_DROPPED;
    return tap_spec_demand_fit(&out->preprocess, TAP_FIT_HD, TAP_FIT_HD,
                               &files->processor, err);
}

const tap_family tap_family_phi3 = {
    .name = "phi-3-vision",
    .model_types = {"phi3_v"},
    .chat = "phi-3",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_phi3,
};

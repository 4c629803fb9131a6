/* Idefics3 and SmolVLM: a SigLIP tower over tiles of one image, squares of patches merged by
 * one linear map, a Llama decoder. The text says which tile follows.
 *
 * Source: transformers' modeling_idefics3.py, processing_idefics3.py. */
#include "base/memory.h"
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <stdio.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_CLIP("model.vision_model.")
    TAP_NAMES_CLIP("vision_model.")
    TAP_NAMES_LLAMA("model.text_model.")
    TAP_NAMES_LLAMA("text_model.")
    {"model.connector.modality_projection.proj.weight", "projector.1.weight"},
    {"connector.modality_projection.proj.weight", "projector.1.weight"},
    {"lm_head.weight", "lm.head.weight"},
};

/* clang-format on */

static tap_status put_tile(tap_buffer *out, const tap_spec *spec, const char *tag,
                           int64_t n, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "%s%s", spec->edge_text, tag));
    for (int64_t i = 0; i < n; i++)
        TAP_TRY(tap_buffer_print(out, err, "%s", spec->image_text));
    return TAP_OK;
}

/* Each tile behind its row and column, the thumbnail (or the only tile) as the global image. */
static tap_status expand(char **out, const tap_spec *spec, const tap_layout *layout,
                         const tap_geometry *g, tap_error *err)
{
    enum { TAG_BYTES = 32 };

    const int64_t n = layout->n_slots / g->n_tiles;
    tap_buffer text = {0};
    tap_status status = TAP_OK;
    for (int r = 0; r < g->tile_rows && g->thumb >= 0; r++) {
        for (int c = 0; c < g->tile_cols; c++) {
            char tag[TAG_BYTES];
            (void)snprintf(tag, sizeof tag, "<row_%d_col_%d>", r + 1, c + 1);
            TAP_TRY_OUT(put_tile(&text, spec, tag, n, err));
        }
        TAP_TRY_OUT(tap_buffer_print(&text, err, "\n"));
    }
    if (g->thumb >= 0)
        TAP_TRY_OUT(tap_buffer_print(&text, err, "\n"));
    TAP_TRY_OUT(put_tile(&text, spec, "<global-img>", n, err));
    TAP_TRY_OUT(tap_buffer_print(&text, err, "%s", spec->edge_text));
    *out = text.text;
    return TAP_OK;
out:
    tap_buffer_clear(&text);
    return status;
}

/* The reference finds a patch's position by comparing fractions in f32; on these grids
 * rounding gives some patches their neighbour's (torch 2.13, every grid up to 64). */
static tap_status check_grid(const tap_vision_spec *v, const tap_json_at *at,
                             tap_error *err)
{
    static const int shifted[] = {19, 25, 29, 31, 38, 40, 41, 43, 47,
                                  49, 50, 54, 55, 58, 59, 61, 62};

    const int64_t side = tap_vision_side(v);
    bool known = side <= 64;
    for (size_t i = 0; i < sizeof shifted / sizeof *shifted; i++)
        known &= side != shifted[i];
    if (!known)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': a tower of %lld x %lld patches, where the "
                        "reference's positions are not one for each patch; expected "
                        "another grid, such as 26, 27 or 32",
                        at->path, (long long)side, (long long)side);
    return TAP_OK;
}

static tap_status read_idefics3(tap_spec *out, const tap_spec_files *files,
                                tap_error *err)
{
    const tap_json_at *config = &files->config;
    tap_json_at vision, text;
    tap_vision_spec *v = &out->vision;
    TAP_TRY(tap_json_object(&vision, config, "vision_config", "vision_config.", err));
    TAP_TRY(tap_json_object(&text, config, "text_config", "text_config.", err));
    TAP_TRY(tap_spec_read_tower(v, &vision, "idefics3_vision", err));
    TAP_TRY(check_grid(v, config, err));
    v->n_blocks_read = v->stack.n_blocks;
    v->has_post_norm = true;
    TAP_TRY(tap_spec_read_size(&out->merge, config, "scale_factor", 2, 1, 64, err));
    if (tap_vision_side(v) % out->merge != 0 || v->has_cls)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'scale_factor' %d does not divide the "
                        "tower's %lld patches a side",
                        config->path, out->merge, (long long)tap_vision_side(v));
    if ((int64_t)v->stack.d_model * out->merge * out->merge > 1 << 24)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'scale_factor' %d makes rows of %lld values "
                        "of the tower's %d, expected at most %d",
                        config->path, out->merge,
                        (long long)v->stack.d_model * out->merge * out->merge,
                        v->stack.d_model, 1 << 24);
    TAP_TRY(tap_spec_read_text(&out->lm, &text, "llama", err));
    bool tied = false;
    TAP_TRY(tap_json_bool(&tied, config, "tie_word_embeddings", false, err));
    out->lm.tied_head = out->lm.tied_head || tied;
    out->lm.head_may_be_tied = true;
    out->n_projector_maps = 1;
    out->d_projector_in = v->stack.d_model * out->merge * out->merge;
    out->d_projector_out = out->lm.stack.d_model;
    int64_t id = 0;
    TAP_TRY(tap_json_int(&id, config, "image_token_id", 128257, 0, out->lm.d_vocab - 1,
                         err));
    out->image_token_id = (int32_t)id;
    out->lay_out = tap_layout_flat;
    out->expand = expand;
    (void)snprintf(out->edge_text, sizeof out->edge_text, "<fake_token_around_image>");
    TAP_TRY(tap_spec_read_image(&out->preprocess, &files->processor,
                                "Idefics3ImageProcessor", v, err));
    return tap_spec_demand_fit(&out->preprocess, TAP_FIT_SPLIT, TAP_FIT_SPLIT,
                               &files->processor, err);
}

const tap_family tap_family_idefics3 = {
    .name = "idefics3",
    .model_types = {"idefics3", "smolvlm"},
    .chat = "smolvlm",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_idefics3,
};

/* Bare encoders, without a decoder: every row of the last state, normed and, of CLIP,
 * projected into the space that pictures share with texts. CLIP in two layouts: Hugging
 * Face's (config.json) and OpenCLIP's (open_clip_config.json); SigLIP in Hugging Face's.
 *
 * Source: transformers' modeling_clip.py; open_clip's transformer.py, factory.py and
 * transform.py. */
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <string.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_CLIP("vision_model.")
    TAP_NAMES_CLIP("")
    {"visual_projection.weight", "projector.1.weight"},
};

static const tap_name_rule open_names[] = {
    TAP_NAMES_OPEN_CLIP("visual.")
    {"visual.proj", "projector.1.transposed"},
};

/* clang-format on */

/* What both layouts share. */
static void finish(tap_spec *out, int d_joint)
{
    tap_vision_spec *v = &out->vision;
    v->n_blocks_read = v->stack.n_blocks;
    v->has_post_norm = v->keeps_cls = true;
    out->n_projector_maps = d_joint ? 1 : 0;
    out->d_projector_in = v->stack.d_model;
    out->d_projector_out = d_joint ? d_joint : v->stack.d_model;
    out->lay_out = tap_layout_flat;
}

/* A tower alone (model_type `tower`), or the half of a model of two (`both`, whose object
 * vision_config is). */
static tap_status read_tower(tap_spec *out, const tap_json_at *config, const char *both,
                             const char *tower, bool *is_half, tap_error *err)
{
    const char *type = NULL;
    tap_json_at vision = *config;
    TAP_TRY(tap_json_text(&type, config, "model_type", both, err));
    *is_half = strcmp(type, both) == 0;
    if (*is_half) {
        TAP_TRY(
            tap_json_object(&vision, config, "vision_config", "vision_config.", err));
        if (!vision.object)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': 'vision_config' is missing, expected "
                            "the sizes of the tower",
                            config->path);
    }
    return tap_spec_read_tower(&out->vision, &vision, tower, err);
}

/* One tile of a processor that crops or squashes. */
static tap_status read_image(tap_spec *out, const tap_json_at *at, const char *absent,
                             tap_error *err)
{
    TAP_TRY(tap_spec_read_image(&out->preprocess, at, absent, &out->vision, err));
    return tap_spec_demand_fit(&out->preprocess, TAP_FIT_CROP, TAP_FIT_SQUASH, at, err);
}

static tap_status read_clip(tap_spec *out, const tap_spec_files *files, tap_error *err)
{
    const tap_json_at *config = &files->config;
    bool is_half = false;
    int d_joint = 0;
    TAP_TRY(read_tower(out, config, "clip", "clip_vision_model", &is_half, err));
    if (is_half)
        TAP_TRY(tap_spec_read_size(&d_joint, config, "projection_dim", 512, 1, 1 << 20,
                                   err));
    finish(out, d_joint);
    return read_image(out, &files->processor, "CLIPImageProcessor", err);
}

const tap_family tap_family_clip = {
    .name = "clip",
    .model_types = {"clip", "clip_vision_model"},
    .chat = "plain",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_clip,
};

static tap_status read_siglip(tap_spec *out, const tap_spec_files *files,
                              tap_error *err)
{
    bool is_half = false;
    TAP_TRY(read_tower(out, &files->config, "siglip", "siglip_vision_model", &is_half,
                       err));
    finish(out, 0);
    return read_image(out, &files->processor, "SiglipImageProcessor", err);
}

const tap_family tap_family_siglip = {
    .name = "siglip",
    .model_types = {"siglip", "siglip_vision_model"},
    .chat = "plain",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_siglip,
};

static bool is_open_clip(const tap_json_at *config)
{
    return json_is_object(tap_json_find(config, "model_cfg"));
}

/* Towers of other shapes, by the keys that say so. */
static tap_status refuse_others(const tap_json_at *vision, tap_error *err)
{
    static const char *const keys[] = {"timm_model_name", "attentional_pool",
                                       "no_ln_pre", "ls_init_value",
                                       "final_ln_after_pool"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = tap_json_find(vision, keys[i]);
        if (value && !json_is_false(value))
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "cannot use '%s': '%s%s' asks for another kind of tower; "
                            "expected OpenCLIP's own vision transformer",
                            vision->path, vision->place, keys[i]);
    }
    return TAP_OK;
}

tap_status tap_spec_read_open_tower(tap_vision_spec *v, const tap_json_at *at,
                                    bool quick_gelu, tap_error *err)
{
    tap_stack_spec *s = &v->stack;
    double ratio = 0;
    TAP_TRY(refuse_others(at, err));
    TAP_TRY(tap_spec_read_size(&s->n_blocks, at, "layers", 12, 1, 1000, err));
    TAP_TRY(tap_spec_read_size(&s->d_model, at, "width", 768, 1, 1000000, err));
    TAP_TRY(tap_spec_read_size(&s->d_head, at, "head_width", 64, 1, 1000000, err));
    TAP_TRY(tap_spec_read_size(&v->side_px, at, "image_size", 224, 1, 16384, err));
    TAP_TRY(tap_spec_read_size(&v->patch_px, at, "patch_size", 16, 1, v->side_px, err));
    TAP_TRY(tap_json_real(&ratio, at, "mlp_ratio", 4, 0.01, 100, err));
    if (s->d_model % s->d_head != 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%swidth' is %d, which 'head_width' %d does "
                        "not divide",
                        at->path, at->place, s->d_model, s->d_head);
    s->n_heads = s->n_kv_heads = s->d_model / s->d_head;
    s->d_mlp = (int)(s->d_model * ratio);
    if (s->d_mlp < 1 || s->d_mlp > 1000000)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%smlp_ratio' %g times 'width' %d is not a "
                        "width from 1 to 1000000",
                        at->path, at->place, ratio, s->d_model);
    s->norm_eps = 1e-5;
    s->act = quick_gelu ? TAP_ACT_QUICK_GELU : TAP_ACT_GELU_ERF;
    v->has_cls = v->has_pre_norm = true;
    return tap_spec_check_grid(v, at, err);
}

static tap_status read_open_image(tap_preprocess_spec *p, const tap_json_at *at,
                                  const tap_vision_spec *v, tap_error *err)
{
    static const double mean[3] = {0.48145466, 0.4578275, 0.40821073};
    static const double std[3] = {0.26862954, 0.26130258, 0.27577711};
    const char *mode = NULL, *filter = NULL;
    TAP_TRY(tap_json_text(&mode, at, "resize_mode", "shortest", err));
    TAP_TRY(tap_json_text(&filter, at, "interpolation", "bicubic", err));
    const bool squashes = strcmp(mode, "squash") == 0;
    if ((!squashes && strcmp(mode, "shortest") != 0) ||
        (strcmp(filter, "bicubic") != 0 && strcmp(filter, "bilinear") != 0))
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': pictures are resized by '%.20s' with "
                        "'%.20s', expected 'shortest' or 'squash' with 'bicubic' or "
                        "'bilinear'",
                        at->path, mode, filter);
    *p = (tap_preprocess_spec){.side_px = v->side_px,
                               .patch_px = v->patch_px,
                               .fit = squashes ? TAP_FIT_SQUASH : TAP_FIT_CROP,
                               .rounds_crop = true,
                               .alpha = TAP_ALPHA_DROPPED,
                               .filter = strcmp(filter, "bicubic") == 0 ? TAP_BICUBIC
                                                                        : TAP_BILINEAR,
                               .order = TAP_ORDER_PILLOW_13,
                               .rescale = 1.0 / 255.0};
    TAP_TRY(tap_json_reals(p->mean, at, "mean", 3, mean, err));
    TAP_TRY(tap_json_reals(p->std, at, "std", 3, std, err));
    for (int c = 0; c < 3; c++)
        if (!(p->std[c] > 1e-6 && p->std[c] < 1e6 && p->mean[c] > -1e6 &&
              p->mean[c] < 1e6))
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': channel %d has the mean %g and the "
                            "deviation %g, expected a deviation above 0",
                            at->path, c, p->mean[c], p->std[c]);
    return TAP_OK;
}

static tap_status read_open_clip(tap_spec *out, const tap_spec_files *files,
                                 tap_error *err)
{
    tap_json_at model, vision, image;
    bool quick_gelu = false;
    int d_joint = 0;
    TAP_TRY(tap_json_object(&model, &files->config, "model_cfg", "model_cfg.", err));
    TAP_TRY(tap_json_object(&vision, &model, "vision_cfg", "vision_cfg.", err));
    TAP_TRY(tap_json_object(&image, &files->config, "preprocess_cfg", "preprocess_cfg.",
                            err));
    TAP_TRY(tap_json_bool(&quick_gelu, &model, "quick_gelu", false, err));
    TAP_TRY(tap_spec_read_size(&d_joint, &model, "embed_dim", -1, 1, 1 << 20, err));
    TAP_TRY(tap_spec_read_open_tower(&out->vision, &vision, quick_gelu, err));
    finish(out, d_joint);
    return read_open_image(&out->preprocess, &image, &out->vision, err);
}

const tap_family tap_family_open_clip = {
    .name = "open_clip",
    .recognises = is_open_clip,
    .chat = "plain",
    .names = open_names,
    .n_names = sizeof open_names / sizeof open_names[0],
    .read = read_open_clip,
};

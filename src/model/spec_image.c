/* How does a model's own processor bring an image to the tower's side? */
#include "model/spec_parts.h"

#include <string.h>

/* CLIP's, the defaults of both processors. */
static const double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double clip_std[3] = {0.26862954, 0.26130258, 0.27577711};

enum { MAX_PX = 16384 };

typedef struct image_size {
    int px;
    bool is_square; /* both sides given, else the shortest edge */
} image_size;

/* n, {"shortest_edge": n} or {"height": n, "width": n}. `edge` says whether the first two
 * are allowed to mean the shortest edge. */
static tap_status read_size(image_size *out, const tap_json_at *at, const char *key,
                            bool edge, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    out->is_square = !edge;
    if (!json_is_object(value))
        return tap_spec_read_size(&out->px, at, key, 224, 1, MAX_PX, err);
    tap_json_at sizes;
    TAP_TRY(tap_json_object(&sizes, at, key, edge ? "size." : "crop_size.", err));
    if (edge && tap_json_find(&sizes, "shortest_edge")) {
        if (tap_json_find(&sizes, "longest_edge"))
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "cannot use '%s': 'size' limits the longest edge too, "
                            "expected \"shortest_edge\" alone",
                            at->path);
        return tap_spec_read_size(&out->px, &sizes, "shortest_edge", -1, 1, MAX_PX,
                                  err);
    }
    int width = 0;
    TAP_TRY(tap_spec_read_size(&out->px, &sizes, "height", -1, 1, MAX_PX, err));
    TAP_TRY(tap_spec_read_size(&width, &sizes, "width", -1, 1, MAX_PX, err));
    if (width != out->px)
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot use '%s': '%s' is %d wide and %d high, expected a square", at->path,
            key, width, out->px);
    out->is_square = true;
    return TAP_OK;
}

static tap_status read_filter(tap_filter *out, const tap_json_at *at, tap_error *err)
{
    int number = 0;
    TAP_TRY(tap_spec_read_size(&number, at, "resample", 3, 0, 5, err));
    if (number < 1 || number > 3)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'resample' is %d, expected 1 (Lanczos), 2 "
                        "(bilinear) or 3 (bicubic)",
                        at->path, number);
    *out = number == 1 ? TAP_LANCZOS : number == 2 ? TAP_BILINEAR : TAP_BICUBIC;
    return TAP_OK;
}

/* Mean, deviation and factor; switched off they become 0, 1 and 1. */
static tap_status read_values(tap_preprocess_spec *p, const tap_json_at *at,
                              tap_error *err)
{
    bool rescales = true, normalizes = true;
    TAP_TRY(tap_json_bool(&rescales, at, "do_rescale", true, err));
    TAP_TRY(tap_json_bool(&normalizes, at, "do_normalize", true, err));
    TAP_TRY(tap_json_real(&p->rescale, at, "rescale_factor", 0.00392156862745098, 1e-9,
                          1e9, err));
    TAP_TRY(tap_json_reals(p->mean, at, "image_mean", 3, clip_mean, err));
    TAP_TRY(tap_json_reals(p->std, at, "image_std", 3, clip_std, err));
    for (int c = 0; c < 3; c++) {
        if (p->std[c] < 1e-6 || p->std[c] > 1e6 || p->mean[c] < -1e6 ||
            p->mean[c] > 1e6)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': channel %d has the mean %g and the "
                            "deviation %g, expected a deviation above 0",
                            at->path, c, p->mean[c], p->std[c]);
        const double level = p->mean[c] * 255; /* int(mean * 255), as LLaVA pads */
        p->pad_rgb[c] = level >= 0 && level < 256 ? (int)level : 0;
        if (!normalizes) {
            p->mean[c] = 0;
            p->std[c] = 1;
        }
    }
    if (!rescales)
        p->rescale = 1;
    return TAP_OK;
}

/* Whether this processor pads to a square first. */
static tap_status read_pad(bool *pads, const tap_json_at *at, tap_error *err)
{
    static const char *const known[] = {
        "LlavaImageProcessor",  "LlavaImageProcessorFast", "LlavaImageProcessorPil",
        "CLIPImageProcessor",   "CLIPImageProcessorFast",  "CLIPImageProcessorPil",
        "CLIPFeatureExtractor",
    };
    const char *older = NULL, *type = NULL;
    TAP_TRY(
        tap_json_text(&older, at, "feature_extractor_type", "CLIPImageProcessor", err));
    TAP_TRY(tap_json_text(&type, at, "image_processor_type", older, err));
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        found = found || strcmp(type, known[i]) == 0;
    if (!found)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': the image processor is '%.60s', expected "
                        "CLIPImageProcessor or LlavaImageProcessor",
                        at->path, type);
    TAP_TRY(tap_json_bool(pads, at, "do_pad", false, err));
    if (*pads && strncmp(type, "Llava", 5) != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'do_pad' is true for a %s; only "
                        "LlavaImageProcessor pads to a square",
                        at->path, type);
    return TAP_OK;
}

static tap_status read_fit(tap_preprocess_spec *p, const tap_json_at *at,
                           tap_error *err)
{
    bool pads = false, resizes = true, crops = true;
    TAP_TRY(read_pad(&pads, at, err));
    TAP_TRY(tap_json_bool(&resizes, at, "do_resize", true, err));
    TAP_TRY(tap_json_bool(&crops, at, "do_center_crop", true, err));
    if (!resizes)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'do_resize' is false, expected true",
                        at->path);
    image_size size = {0}, crop = {0};
    TAP_TRY(read_size(&size, at, "size", true, err));
    TAP_TRY(read_size(&crop, at, "crop_size", false, err));
    if (crops && crop.px != size.px)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': it resizes to %d pixels and crops to %d, "
                        "expected the same",
                        at->path, size.px, crop.px);
    if (!crops && !pads && !size.is_square)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': it neither crops nor pads, so images would "
                        "not be square",
                        at->path);
    p->side_px = size.px;
    p->fit = pads ? TAP_FIT_PAD : size.is_square ? TAP_FIT_SQUASH : TAP_FIT_CROP;
    return TAP_OK;
}

tap_status tap_spec_read_image(tap_preprocess_spec *out, const tap_json_at *at,
                               const tap_vision_spec *vision, tap_error *err)
{
    tap_preprocess_spec p = {.patch_px = vision->patch_px,
                             .order = TAP_ORDER_PILLOW_13};
    TAP_TRY(read_fit(&p, at, err));
    TAP_TRY(read_filter(&p.filter, at, err));
    TAP_TRY(read_values(&p, at, err));
    if (p.side_px != vision->side_px)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot use '%s': it makes images of %d pixels, config.json "
                        "expects an 'image_size' of %d; the files belong to different "
                        "models",
                        at->path, p.side_px, vision->side_px);
    *out = p;
    return TAP_OK;
}

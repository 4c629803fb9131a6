/* How does a model's own processor bring an image to the tower's side? */
#include "model/spec_parts.h"

#include <string.h>

static const double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double clip_std[3] = {0.26862954, 0.26130258, 0.27577711};

static const double half[3] = {0.5, 0.5, 0.5};

enum { MAX_PX = 16384 };

/* A processor, and what keys that are absent mean for it. "Fast" and "Pil" may follow the
 * name: the same settings, read by another class. A number behind the name here tells apart
 * two classes of one name, of which the family chooses by its `absent`. */
typedef struct processor_class {
    const char *name;
    tap_fit fit; /* CROP: the size decides between cropping and squashing */
    bool may_pad;
    int side_px;
    bool is_square, crops;
    int resample;
    const double *mean, *std;
} processor_class;

static const processor_class processors[] = {
    {"CLIPImageProcessor", TAP_FIT_CROP, false, 224, false, true, 3, clip_mean,
     clip_std},
    {"CLIPFeatureExtractor", TAP_FIT_CROP, false, 224, false, true, 3, clip_mean,
     clip_std},
    {"LlavaImageProcessor", TAP_FIT_CROP, true, 224, false, true, 3, clip_mean,
     clip_std},
    {"SiglipImageProcessor", TAP_FIT_CROP, false, 224, true, false, 3, half, half},
    {"LlavaNextImageProcessor", TAP_FIT_ANYRES, true, 224, false, true, 3, clip_mean,
     clip_std},
    {"LlavaOnevisionImageProcessor", TAP_FIT_ANYRES, true, 384, true, false, 3,
     clip_mean, clip_std},
    {"Idefics3ImageProcessor", TAP_FIT_SPLIT, true, 364, true, false, 1, half, half},
    {"SmolVLMImageProcessor", TAP_FIT_SPLIT, true, 364, true, false, 1, half, half},
    {"Phi3VImageProcessor", TAP_FIT_HD, true, 336, true, false, 2, clip_mean, clip_std},
    {"Blip3ImageProcessor", TAP_FIT_ANYRES, true, 384, true, false, 3, half, half},
    {"Blip3ImageProcessor 1", TAP_FIT_ANYRES, true, 378, true, false, 3, clip_mean,
     clip_std},
};

static bool is_class(const char *type, const processor_class *c)
{
    const size_t n = strcspn(c->name, " ");
    if (strncmp(type, c->name, n) != 0)
        return false;
    return type[n] == '\0' || strcmp(type, c->name) == 0 ||
           strcmp(type + n, "Fast") == 0 || strcmp(type + n, "Pil") == 0;
}

static tap_status find_class(const processor_class **out, const tap_json_at *at,
                             const char *absent, tap_error *err)
{
    const char *older = NULL, *type = NULL;
    TAP_TRY(tap_json_text(&older, at, "feature_extractor_type", absent, err));
    TAP_TRY(tap_json_text(&type, at, "image_processor_type", older, err));
    *out = NULL;
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++)
        if (is_class(type, &processors[i]) &&
            (!*out || strcmp(processors[i].name, absent) == 0))
            *out = &processors[i];
    if (*out)
        return TAP_OK;
    return TAP_FAIL(
        err, TAP_EUNSUPPORTED,
        "cannot use '%s': the image processor is '%.60s', expected that of "
        "CLIP, SigLIP, Llava, LlavaNext, LlavaOnevision, Idefics3, SmolVLM, "
        "Phi3V or Blip3",
        at->path, type);
}

typedef struct image_size {
    int px;
    bool is_square; /* both sides given, else the shortest edge */
} image_size;

/* n, {"shortest_edge": n}, {"height": n, "width": n} or [n, n]. `edge` says whether the
 * first two are allowed to mean the shortest edge. */
static tap_status read_size(image_size *out, const tap_json_at *at, const char *key,
                            bool edge, const processor_class *c, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    out->is_square = !edge || json_is_array(value) || (!value && c->is_square);
    if (json_is_array(value))
        return tap_spec_read_square(&out->px, at, key, c->side_px, err);
    if (!json_is_object(value))
        return tap_spec_read_size(&out->px, at, key, c->side_px, 1, MAX_PX, err);
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

static tap_status read_filter(tap_filter *out, const tap_json_at *at, int absent,
                              tap_error *err)
{
    int number = 0;
    TAP_TRY(tap_spec_read_size(&number, at, "resample", absent, 0, 5, err));
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
                              const processor_class *c, tap_error *err)
{
    bool rescales = true, normalizes = true;
    TAP_TRY(tap_json_bool(&rescales, at, "do_rescale", true, err));
    TAP_TRY(tap_json_bool(&normalizes, at, "do_normalize", true, err));
    TAP_TRY(tap_json_real(&p->rescale, at, "rescale_factor", 0.00392156862745098, 1e-9,
                          1e9, err));
    TAP_TRY(tap_json_reals(p->mean, at, "image_mean", 3, c->mean, err));
    TAP_TRY(tap_json_reals(p->std, at, "image_std", 3, c->std, err));
    for (int k = 0; k < 3; k++) {
        if (p->std[k] < 1e-6 || p->std[k] > 1e6 || p->mean[k] < -1e6 ||
            p->mean[k] > 1e6)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': channel %d has the mean %g and the "
                            "deviation %g, expected a deviation above 0",
                            at->path, k, p->mean[k], p->std[k]);
        const double level = p->mean[k] * 255; /* int(mean * 255), as LLaVA pads */
        p->pad_rgb[k] = level >= 0 && level < 256 ? (int)level : 0;
        if (!normalizes) {
            p->mean[k] = 0;
            p->std[k] = 1;
        }
    }
    if (!rescales)
        p->rescale = 1;
    return TAP_OK;
}

/* One tile: cropped, padded to a square or squashed. */
static tap_status read_single(tap_preprocess_spec *p, const tap_json_at *at,
                              const processor_class *c, tap_error *err)
{
    bool pads = false, crops = c->crops;
    TAP_TRY(tap_json_bool(&pads, at, "do_pad", false, err));
    if (pads && !c->may_pad)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'do_pad' is true for a %s; only "
                        "LlavaImageProcessor pads to a square",
                        at->path, c->name);
    TAP_TRY(tap_json_bool(&crops, at, "do_center_crop", c->crops, err));
    image_size size = {0}, crop = {0};
    TAP_TRY(read_size(&size, at, "size", true, c, err));
    TAP_TRY(read_size(&crop, at, "crop_size", false, c, err));
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

/* Tiles of the pinpoints; the family reads those itself. */
static tap_status read_anyres(tap_preprocess_spec *p, const tap_json_at *at,
                              const processor_class *c, tap_error *err)
{
    image_size size = {0}, crop = {0};
    TAP_TRY(read_size(&size, at, "size", true, c, err));
    crop = size;
    if (tap_json_find(at, "crop_size"))
        TAP_TRY(read_size(&crop, at, "crop_size", false, c, err));
    if (crop.px != size.px)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': it resizes to %d pixels and crops to %d, "
                        "expected the same",
                        at->path, size.px, crop.px);
    p->side_px = size.px;
    return TAP_OK;
}

/* Longest edge first, then tiles of max_image_size. */
static tap_status read_split(tap_preprocess_spec *p, const tap_json_at *at,
                             const processor_class *c, tap_error *err)
{
    tap_json_at size, most;
    TAP_TRY(tap_json_object(&size, at, "size", "size.", err));
    TAP_TRY(tap_json_object(&most, at, "max_image_size", "max_image_size.", err));
    TAP_TRY(tap_spec_read_size(&p->longest_px, &size, "longest_edge", 4 * c->side_px, 1,
                               MAX_PX, err));
    TAP_TRY(tap_spec_read_size(&p->side_px, &most, "longest_edge", c->side_px, 1,
                               MAX_PX, err));
    TAP_TRY(tap_json_bool(&p->splits, at, "do_image_splitting", true, err));
    bool resizes = true;
    TAP_TRY(tap_json_bool(&resizes, at, "do_resize", true, err));
    if (!resizes)
        p->longest_px = 0;
    return TAP_OK;
}

static tap_status read_hd(tap_preprocess_spec *p, const tap_json_at *at,
                          const processor_class *c, tap_error *err)
{
    p->side_px = c->side_px;
    return tap_spec_read_size(&p->n_crops, at, "num_crops", 1, 1, TAP_MAX_TILES - 2,
                              err);
}

static tap_status read_fit(tap_preprocess_spec *p, const tap_json_at *at,
                           const processor_class *c, tap_error *err)
{
    static tap_status (*const readers[TAP_N_FITS])(
        tap_preprocess_spec *, const tap_json_at *, const processor_class *,
        tap_error *) = {
        [TAP_FIT_CROP] = read_single,
        [TAP_FIT_ANYRES] = read_anyres,
        [TAP_FIT_SPLIT] = read_split,
        [TAP_FIT_HD] = read_hd,
    };

    bool resizes = true;
    TAP_TRY(tap_json_bool(&resizes, at, "do_resize", true, err));
    if (!resizes && c->fit != TAP_FIT_SPLIT)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'do_resize' is false, expected true",
                        at->path);
    p->fit = c->fit;
    return readers[c->fit](p, at, c, err);
}

tap_status tap_spec_read_image(tap_preprocess_spec *out, const tap_json_at *at,
                               const char *absent, const tap_vision_spec *vision,
                               tap_error *err)
{
    const processor_class *c = NULL;
    tap_preprocess_spec p = {.patch_px = vision->patch_px,
                             .order = TAP_ORDER_PILLOW_13};
    TAP_TRY(find_class(&c, at, absent, err));
    TAP_TRY(read_fit(&p, at, c, err));
    TAP_TRY(read_filter(&p.filter, at, c->resample, err));
    TAP_TRY(read_values(&p, at, c, err));
    if (p.fit == TAP_FIT_HD)
        p.side_px = vision->side_px; /* its settings do not say */
    if (p.side_px != vision->side_px)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot use '%s': it makes images of %d pixels, config.json "
                        "expects an 'image_size' of %d; the files belong to different "
                        "models",
                        at->path, p.side_px, vision->side_px);
    *out = p;
    return TAP_OK;
}

tap_status tap_spec_demand_fit(const tap_preprocess_spec *preprocess, tap_fit low,
                               tap_fit high, const tap_json_at *at, tap_error *err)
{
    if (preprocess->fit >= low && preprocess->fit <= high)
        return TAP_OK;
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot use '%s': its image processor belongs to another family "
                    "than config.json",
                    at->path);
}

static tap_status read_points(int points[TAP_MAX_PINPOINTS][2], int *n, int side,
                              const tap_json_at *at, const char *key, bool width_first,
                              tap_error *err)
{
    const json_t *list = tap_json_find(at, key);
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > TAP_MAX_PINPOINTS)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': '%s' holds %zu sizes, expected a list of 1 to "
            "%d pairs of %s",
            at->path, key, json_array_size(list), TAP_MAX_PINPOINTS,
            width_first ? "width and height" : "height and width");
    *n = (int)json_array_size(list);
    for (int i = 0; i < *n; i++) {
        const json_t *pair = json_array_get(list, (size_t)i);
        json_int_t sides[2] = {0};
        for (size_t k = 0; k < 2 && json_array_size(pair) == 2; k++)
            sides[k] =
                json_integer_value(json_array_get(pair, width_first ? 1 - k : k));
        for (int k = 0; k < 2; k++)
            if (sides[k] < side || sides[k] > MAX_PX || sides[k] % side != 0)
                return TAP_FAIL(err, TAP_EUNSUPPORTED,
                                "cannot use '%s': entry %d of '%s' is not a pair of "
                                "multiples of the tile's %d pixels",
                                at->path, i, key, side);
        if (sides[0] / side * (sides[1] / side) >= TAP_MAX_TILES)
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "cannot use '%s': entry %d of '%s' needs %lld tiles, "
                            "expected below %d",
                            at->path, i, key,
                            (long long)(sides[0] / side * (sides[1] / side)),
                            TAP_MAX_TILES);
        points[i][0] = (int)sides[0];
        points[i][1] = (int)sides[1];
    }
    return TAP_OK;
}

tap_status tap_spec_read_sizes(tap_preprocess_spec *out, const tap_json_at *at,
                               const char *key, bool width_first, tap_error *err)
{
    return read_points(out->pinpoints, &out->n_pinpoints, out->side_px, at, key,
                       width_first, err);
}

tap_status tap_spec_read_pinpoints(tap_preprocess_spec *out,
                                   const tap_spec_files *files, tap_error *err)
{
    static const char key[] = "image_grid_pinpoints";
    int own[TAP_MAX_PINPOINTS][2] = {{0}}, n_own = 0;
    TAP_TRY(tap_spec_demand_fit(out, TAP_FIT_ANYRES, TAP_FIT_ANYRES, &files->processor,
                                err));
    TAP_TRY(tap_spec_read_sizes(out, &files->config, key, false, err));
    if (!tap_json_find(&files->processor, key))
        return TAP_OK;
    TAP_TRY(read_points(own, &n_own, out->side_px, &files->processor, key, false, err));
    if (n_own != out->n_pinpoints ||
        memcmp(own, out->pinpoints, (size_t)n_own * sizeof own[0]) != 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot use '%s': 'image_grid_pinpoints' differs from that of "
                        "config.json; the files belong to different models",
                        files->processor.path);
    return TAP_OK;
}

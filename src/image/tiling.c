/* One image as a mosaic of tiles, and as a thumbnail.
 *
 * HOW IT WORKS. A family's rule says to which sizes the image is resized one after the
 * other, where it stands on the canvas that the tiles cut up, and what the thumbnail is made
 * of. Everything else follows from these numbers: pixels and the map back.
 *
 * Source: the image processors of Hugging Face transformers (PIL backend) for LLaVA-NeXT,
 * LLaVA-OneVision and Idefics3, the remote code of Phi-3-vision; their arithmetic on sizes
 * is in double, as Python's. */
#include "image/tiling.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

typedef enum thumb_kind {
    THUMB_NONE,
    THUMB_OF_SOURCE, /* the image as it came */
    THUMB_OF_CANVAS, /* what the tiles are cut from */
    THUMB_OF_VALUES  /* the same, after normalisation, without antialiasing */
} thumb_kind;

typedef struct mosaic {
    int n_resizes;
    int64_t width[2], height[2]; /* after each resize */
    bool turned;                 /* rows and columns change places for the resize */
    int64_t left, top;           /* of the image on the canvas */
    int64_t canvas_width, canvas_height;
    int pad_rgb;
    int rows, cols; /* tiles */
    thumb_kind thumb;
    bool thumb_first;
} mosaic;

static int64_t round_up(double px, int64_t side)
{
    return (int64_t)ceil(px / (double)side) * side;
}

/* The pinpoint that shows most of the image's own pixels, then wastes least; the first of
 * equals. */
static const int *best_pinpoint(double width, double height,
                                const tap_preprocess_spec *spec)
{
    const int *best = spec->pinpoints[0];
    double most = 0.0, least = INFINITY;
    for (int i = 0; i < spec->n_pinpoints; i++) {
        const int *p = spec->pinpoints[i];
        const double h = p[0], w = p[1];
        const double scale = fmin(w / width, h / height);
        const double shown =
            fmin(trunc(width * scale) * trunc(height * scale), width * height);
        const double waste = w * h - shown;
        if (shown > most || (shown >= most && waste < least)) {
            best = p;
            most = shown;
            least = waste;
        }
    }
    return best;
}

static tap_status plan_anyres(mosaic *out, int64_t width, int64_t height,
                              const tap_preprocess_spec *spec, tap_error *err)
{
    (void)err;
    const int *best = best_pinpoint((double)width, (double)height, spec);
    mosaic m = {.n_resizes = 1,
                .canvas_width = best[1],
                .canvas_height = best[0],
                .thumb = THUMB_OF_SOURCE,
                .thumb_first = true};
    const double w = best[1], h = best[0];
    const double scale_w = w / (double)width, scale_h = h / (double)height;
    if (scale_w < scale_h) {
        m.width[0] = best[1];
        m.height[0] = (int64_t)fmin(ceil((double)height * scale_w), h);
    } else {
        m.width[0] = (int64_t)fmin(ceil((double)width * scale_h), w);
        m.height[0] = best[0];
    }
    m.left = (m.canvas_width - m.width[0]) / 2;
    m.top = (m.canvas_height - m.height[0]) / 2;
    *out = m;
    return TAP_OK;
}

/* The longest edge brought to `longest`, the other rounded up to even; never above what
 * Idefics3 allows. */
static void fit_longest(int64_t *width, int64_t *height, int64_t longest)
{
    enum { MAX_PX = 4096 };

    const double ratio = (double)*width / (double)*height;
    int64_t *longer = *width >= *height ? width : height;
    int64_t *shorter = longer == width ? height : width;
    *longer = longest;
    *shorter =
        (int64_t)(longer == width ? (double)longest / ratio : (double)longest * ratio);
    *shorter += *shorter % 2;
    *shorter = *shorter > 1 ? *shorter : 1;
    if (*longer > MAX_PX) {
        const double again = (double)*width / (double)*height;
        *longer = MAX_PX;
        *shorter = (int64_t)(longer == width ? MAX_PX / again : (double)MAX_PX * again);
        *shorter = *shorter > 1 ? *shorter : 1;
    }
}

static tap_status plan_split(mosaic *out, int64_t width, int64_t height,
                             const tap_preprocess_spec *spec, tap_error *err)
{
    const int64_t side = spec->side_px;
    mosaic m = {.rows = 1, .cols = 1};
    if (spec->longest_px > 0) {
        fit_longest(&width, &height, spec->longest_px);
        m.width[m.n_resizes] = width;
        m.height[m.n_resizes++] = height;
    }
    if (!spec->splits) {
        width = height = side;
    } else {
        const double ratio = (double)width / (double)height;
        if (width >= height) {
            width = round_up((double)width, side);
            height = round_up(trunc((double)width / ratio), side);
        } else {
            height = round_up((double)height, side);
            width = round_up(trunc((double)height * ratio), side);
        }
    }
    if (width < 1 || height < 1)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the image is so narrow that its processor would resize it to "
                        "%lld x %lld pixels",
                        (long long)width, (long long)height);
    m.width[m.n_resizes] = m.canvas_width = width;
    m.height[m.n_resizes++] = m.canvas_height = height;
    if (width > side || height > side)
        m.thumb = THUMB_OF_CANVAS;
    *out = m;
    return TAP_OK;
}

static tap_status plan_hd(mosaic *out, int64_t width, int64_t height,
                          const tap_preprocess_spec *spec, tap_error *err)
{
    const bool turned = width < height;
    const double ratio =
        turned ? (double)height / (double)width : (double)width / (double)height;
    int64_t scale = 1;
    while ((double)scale * ceil((double)scale / ratio) <= spec->n_crops)
        scale++;
    scale--;
    const int64_t long_px = scale * spec->side_px;
    const int64_t short_px = (int64_t)((double)long_px / ratio);
    if (short_px < 1)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the image of %lld x %lld pixels is so narrow that its "
                        "processor would resize it to nothing",
                        (long long)width, (long long)height);
    const int64_t padded = round_up((double)short_px, spec->side_px);
    const int64_t before = (padded - short_px) / 2;
    mosaic m = {.n_resizes = 1,
                .turned = turned,
                .width = {turned ? short_px : long_px},
                .height = {turned ? long_px : short_px},
                .left = turned ? before : 0,
                .top = turned ? 0 : before,
                .canvas_width = turned ? padded : long_px,
                .canvas_height = turned ? long_px : padded,
                .pad_rgb = 255,
                .thumb = THUMB_OF_VALUES,
                .thumb_first = true};
    *out = m;
    return TAP_OK;
}

static tap_status plan_tiles(mosaic *out, int64_t width, int64_t height,
                             const tap_preprocess_spec *spec, tap_error *err)
{
    static tap_status (*const plans[TAP_N_FITS])(
        mosaic *, int64_t, int64_t, const tap_preprocess_spec *, tap_error *) = {
        [TAP_FIT_ANYRES] = plan_anyres,
        [TAP_FIT_SPLIT] = plan_split,
        [TAP_FIT_HD] = plan_hd,
    };

    TAP_TRY(plans[spec->fit](out, width, height, spec, err));
    const int64_t cols = out->canvas_width / spec->side_px;
    const int64_t rows = out->canvas_height / spec->side_px;
    if (rows * cols >= TAP_MAX_TILES)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "an image of %lld x %lld pixels would become %lld tiles, "
                        "expected below %d",
                        (long long)width, (long long)height, (long long)(rows * cols),
                        TAP_MAX_TILES);
    out->rows = (int)rows;
    out->cols = (int)cols;
    return TAP_OK;
}

/* In lowest terms, so that areas of patches stay within 64 bits. */
static tap_axis_map reduced(int64_t mul, int64_t add, int64_t den)
{
    int64_t a = mul, b = den;
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    if (add % a != 0) { /* add shares less */
        int64_t c = add < 0 ? -add : add;
        while (c != 0) {
            const int64_t rest = a % c;
            a = c;
            c = rest;
        }
    }
    return (tap_axis_map){.mul = mul / a, .add = add / a, .den = den / a};
}

static void map_tiles(tap_geometry *g, const mosaic *m)
{
    const int64_t w = m->width[m->n_resizes - 1], h = m->height[m->n_resizes - 1];
    const int64_t side = g->side_px;
    g->n_tiles = m->rows * m->cols + (m->thumb != THUMB_NONE);
    g->tile_rows = m->rows;
    g->tile_cols = m->cols;
    g->first_tile = m->thumb_first;
    g->thumb = m->thumb == THUMB_NONE ? -1 : m->thumb_first ? 0 : g->n_tiles - 1;
    for (int r = 0; r < m->rows; r++)
        for (int c = 0; c < m->cols; c++)
            g->tiles[g->first_tile + r * m->cols + c] =
                (tap_tile){.x = reduced(w, (m->left - c * side) * g->source_width,
                                        g->source_width),
                           .y = reduced(h, (m->top - r * side) * g->source_height,
                                        g->source_height)};
    if (m->thumb == THUMB_OF_SOURCE)
        g->tiles[g->thumb] = (tap_tile){.x = reduced(side, 0, g->source_width),
                                        .y = reduced(side, 0, g->source_height)};
    else if (m->thumb != THUMB_NONE)
        g->tiles[g->thumb] =
            (tap_tile){.x = reduced(w * side, m->left * g->source_width * side,
                                    g->source_width * m->canvas_width),
                       .y = reduced(h * side, m->top * g->source_height * side,
                                    g->source_height * m->canvas_height)};
}

tap_status tap_tiling_geometry(tap_geometry *geometry, int64_t width, int64_t height,
                               const tap_preprocess_spec *spec, tap_error *err)
{
    mosaic m;
    TAP_TRY(plan_tiles(&m, width, height, spec, err));
    const int n = spec->side_px / spec->patch_px;
    *geometry = (tap_geometry){.source_width = width,
                               .source_height = height,
                               .side_px = spec->side_px,
                               .patch_px = spec->patch_px,
                               .n_rows = n,
                               .n_cols = n};
    map_tiles(geometry, &m);
    for (int t = 0; t < geometry->n_tiles; t++) { /* areas stay within 64 bits */
        const tap_tile *tile = &geometry->tiles[t];
        const double across = (double)spec->patch_px * (double)tile->x.den;
        if (across * (double)spec->patch_px * (double)tile->y.den > 4e18)
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "an image of %lld x %lld pixels in tiles of %d is too "
                            "large to be covered exactly; make it smaller",
                            (long long)width, (long long)height, spec->side_px);
    }
    return TAP_OK;
}

/* Replaces *image by the result of a step. */
static void become(tap_image *image, const tap_image *next)
{
    tap_image_clear(image);
    *image = *next;
}

static tap_status turn(tap_image *image, tap_error *err)
{
    tap_image next = {.width = image->height, .height = image->width};
    TAP_TRY(
        tap_alloc(&next.rgb, (size_t)(next.width * next.height), 3, "an image", err));
    for (int64_t y = 0; y < image->height; y++)
        for (int64_t x = 0; x < image->width; x++)
            memcpy(next.rgb + (x * next.width + y) * 3,
                   image->rgb + (y * image->width + x) * 3, 3);
    become(image, &next);
    return TAP_OK;
}

static tap_status resize(tap_image *image, int64_t width, int64_t height,
                         const tap_preprocess_spec *spec, tap_error *err)
{
    tap_image next = {0};
    TAP_TRY(
        tap_image_resize(&next, image, width, height, spec->filter, spec->order, err));
    become(image, &next);
    return TAP_OK;
}

/* What the tiles are cut from. */
static tap_status make_canvas(tap_image *canvas, const mosaic *m,
                              const tap_preprocess_spec *spec, tap_error *err)
{
    if (m->turned)
        TAP_TRY(turn(canvas, err));
    for (int i = 0; i < m->n_resizes; i++)
        TAP_TRY(resize(canvas, m->turned ? m->height[i] : m->width[i],
                       m->turned ? m->width[i] : m->height[i], spec, err));
    if (m->turned)
        TAP_TRY(turn(canvas, err));
    if (canvas->width == m->canvas_width && canvas->height == m->canvas_height)
        return TAP_OK;
    const int rgb[3] = {m->pad_rgb, m->pad_rgb, m->pad_rgb};
    tap_image next = {0};
    TAP_TRY(tap_image_pad(&next, canvas, m->left, m->top, m->canvas_width,
                          m->canvas_height, rgb, err));
    become(canvas, &next);
    return TAP_OK;
}

/* The four taps of cubic interpolation (a = -0.75) around output i of n_out. */
static void cubic_taps(int64_t at[4], float weight[4], int64_t i, int64_t n_in,
                       int64_t n_out)
{
    const double a = -0.75;
    const double scale = (double)((float)n_in / (float)n_out);
    const double x = scale * ((double)i + 0.5) - 0.5, t = x - floor(x);
    const double d[4] = {1.0 + t, t, 1.0 - t, 2.0 - t};
    for (int k = 0; k < 4; k++) {
        const int64_t j = (int64_t)floor(x) - 1 + k;
        at[k] = j < 0 ? 0 : j >= n_in ? n_in - 1 : j;
        weight[k] =
            (float)(d[k] <= 1.0
                        ? ((a + 2.0) * d[k] - (a + 3.0)) * d[k] * d[k] + 1.0
                        : ((a * d[k] - 5.0 * a) * d[k] + 8.0 * a) * d[k] - 4.0 * a);
    }
}

/* A value of the normalised canvas, wherever its tile stands. */
static float canvas_value(const float *tiles, const mosaic *m, int64_t side,
                          int channel, int64_t x, int64_t y)
{
    const int64_t tile = y / side * m->cols + x / side;
    return tiles[((tile * 3 + channel) * side + y % side) * side + x % side];
}

/* thumb [3][side][side] from tiles [rows cols][3][side][side]. */
static void shrink_values(float *thumb, const float *tiles, const mosaic *m,
                          int64_t side)
{
    for (int c = 0; c < 3; c++)
        for (int64_t y = 0; y < side; y++)
            for (int64_t x = 0; x < side; x++) {
                int64_t at_x[4], at_y[4];
                float w_x[4], w_y[4], sum = 0.0F;
                cubic_taps(at_x, w_x, x, m->canvas_width, side);
                cubic_taps(at_y, w_y, y, m->canvas_height, side);
                for (int j = 0; j < 4; j++) {
                    float line = 0.0F;
                    for (int i = 0; i < 4; i++)
                        line +=
                            w_x[i] * canvas_value(tiles, m, side, c, at_x[i], at_y[j]);
                    sum += w_y[j] * line;
                }
                *thumb++ = sum;
            }
}

/* The thumbnail's values; *canvas may be used up. */
static tap_status make_thumb(float *values, const float *tiles, tap_image *canvas,
                             const tap_image *image, const mosaic *m,
                             const tap_preprocess_spec *spec, tap_error *err)
{
    const int64_t side = spec->side_px;
    if (m->thumb == THUMB_OF_VALUES) {
        shrink_values(values, tiles, m, side);
        return TAP_OK;
    }
    tap_image small = {0};
    TAP_TRY(tap_image_resize(&small, m->thumb == THUMB_OF_SOURCE ? image : canvas, side,
                             side, spec->filter, spec->order, err));
    tap_image_normalise(values, &small, 0, 0, spec);
    tap_image_clear(&small);
    return TAP_OK;
}

tap_status tap_tiling_run(tap_pixels *pixels, tap_geometry *geometry,
                          const tap_image *image, const tap_preprocess_spec *spec,
                          tap_error *err)
{
    mosaic m;
    tap_geometry map;
    tap_image canvas = {0};
    TAP_TRY(plan_tiles(&m, image->width, image->height, spec, err));
    TAP_TRY(tap_tiling_geometry(&map, image->width, image->height, spec, err));
    const int64_t side = spec->side_px, tile = 3 * side * side;
    tap_pixels made = {.n_tiles = map.n_tiles, .side_px = spec->side_px};
    tap_status status = TAP_OK;
    const int origin[3] = {0};
    TAP_TRY_OUT(tap_image_pad(&canvas, image, 0, 0, image->width, image->height, origin,
                              err)); /* a copy */
    TAP_TRY_OUT(make_canvas(&canvas, &m, spec, err));
    TAP_TRY_OUT(tap_alloc(&made.values, (size_t)made.n_tiles,
                          (size_t)tile * sizeof *made.values, "pixels", err));
    float *tiles = made.values + map.first_tile * tile;
    for (int r = 0; r < m.rows; r++)
        for (int c = 0; c < m.cols; c++)
            tap_image_normalise(tiles + (r * m.cols + c) * tile, &canvas, c * side,
                                r * side, spec);
    if (map.thumb >= 0)
        TAP_TRY_OUT(make_thumb(made.values + map.thumb * tile, tiles, &canvas, image,
                               &m, spec, err));
    *pixels = made;
    *geometry = map;
out:
    tap_image_clear(&canvas);
    if (status != TAP_OK)
        tap_pixels_clear(&made);
    return status;
}

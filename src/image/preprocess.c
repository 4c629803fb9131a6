/* The steps between a photograph and the numbers that a vision encoder reads, and the map
 * from source pixels to patches that they imply.
 *
 * Source: CLIPImageProcessor and LlavaImageProcessor of Hugging Face transformers (PIL
 * backend): resize, crop or pad on 8-bit RGB; times 1/255 in double, then f32; minus mean,
 * over standard deviation in f32. */
#include "image/preprocess.h"

#include "base/memory.h"
#include "image/tiling.h"

#include <assert.h>
#include <string.h>

/* What the resize makes of the (padded) image, and where the tile lies in it. */
typedef struct plan {
    int64_t canvas_width, canvas_height; /* px, image plus padding */
    int64_t pad_left, pad_top;
    int64_t width, height; /* after the resize */
    int64_t left, top;     /* of the crop */
} plan;

/* Half of the pixels that a crop takes away. */
static int64_t crop_at(int64_t extra, const tap_preprocess_spec *spec)
{
    const int64_t half = extra / 2;
    return spec->rounds_crop && extra % 2 ? half + half % 2 : half;
}

static plan plan_fit(int64_t width, int64_t height, const tap_preprocess_spec *spec)
{
    const int64_t side = spec->side_px;
    plan p = {
        .canvas_width = width, .canvas_height = height, .width = side, .height = side};
    if (spec->fit == TAP_FIT_PAD) {
        const int64_t longer = width > height ? width : height;
        p.canvas_width = p.canvas_height = longer;
        p.pad_left = (longer - width) / 2;
        p.pad_top = (longer - height) / 2;
    } else if (spec->fit == TAP_FIT_LETTERBOX) {
        const int64_t longer = width > height ? width : height;
        p.pad_left = (longer - width) / 2;
        p.pad_top = (longer - height) / 2;
        p.canvas_width = width + 2 * p.pad_left;
        p.canvas_height = height + 2 * p.pad_top;
    }
    if (spec->fit == TAP_FIT_CROP || spec->fit == TAP_FIT_LETTERBOX) {
        if (p.canvas_width <= p.canvas_height)
            p.height = side * p.canvas_height / p.canvas_width;
        else
            p.width = side * p.canvas_width / p.canvas_height;
        p.left = crop_at(p.width - side, spec);
        p.top = crop_at(p.height - side, spec);
    }
    return p;
}

tap_status tap_preprocess_geometry(tap_geometry *geometry, int64_t width,
                                   int64_t height, const tap_preprocess_spec *spec,
                                   tap_error *err)
{
    if (width < 1 || height < 1)
        return TAP_FAIL(err, TAP_EINVAL,
                        "an image of %lld x %lld pixels has no geometry",
                        (long long)width, (long long)height);
    assert(spec->patch_px > 0 && spec->side_px >= spec->patch_px);
    if (spec->fit >= TAP_FIT_ANYRES)
        return tap_tiling_geometry(geometry, width, height, spec, err);
    const plan p = plan_fit(width, height, spec);
    const int n = spec->side_px / spec->patch_px;
    *geometry = (tap_geometry){.source_width = width,
                               .source_height = height,
                               .side_px = spec->side_px,
                               .patch_px = spec->patch_px,
                               .n_tiles = 1,
                               .n_rows = n,
                               .n_cols = n,
                               .tile_rows = 1,
                               .tile_cols = 1,
                               .thumb = -1};
    geometry->tiles[0] =
        (tap_tile){.x = {.mul = p.width,
                         .add = p.pad_left * p.width - p.left * p.canvas_width,
                         .den = p.canvas_width},
                   .y = {.mul = p.height,
                         .add = p.pad_top * p.height - p.top * p.canvas_height,
                         .den = p.canvas_height}};
    return TAP_OK;
}

tap_status tap_image_pad(tap_image *out, const tap_image *image, int64_t left,
                         int64_t top, int64_t width, int64_t height, const int rgb[3],
                         tap_error *err)
{
    assert(left >= 0 && top >= 0 && left + image->width <= width &&
           top + image->height <= height);
    tap_image padded = {.width = width, .height = height};
    const int64_t n = padded.width * padded.height;
    TAP_TRY(tap_alloc(&padded.rgb, (size_t)n, 3, "an image", err));
    for (int64_t i = 0; i < 3 * n; i++)
        padded.rgb[i] = (uint8_t)rgb[i % 3];
    for (int64_t y = 0; y < image->height; y++)
        memcpy(padded.rgb + ((y + top) * padded.width + left) * 3,
               image->rgb + y * image->width * 3, (size_t)image->width * 3);
    *out = padded;
    return TAP_OK;
}

void tap_image_normalise(float *values, const tap_image *image, int64_t left,
                         int64_t top, const tap_preprocess_spec *spec)
{
    const int64_t side = spec->side_px;
    for (int c = 0; c < 3; c++) {
        const float mean = (float)spec->mean[c], std = (float)spec->std[c];
        float table[256];
        for (int v = 0; v < 256; v++)
            table[v] = ((float)((double)v * spec->rescale) - mean) / std;
        for (int64_t y = 0; y < side; y++)
            for (int64_t x = 0; x < side; x++)
                values[(c * side + y) * side + x] =
                    table[image->rgb[((y + top) * image->width + x + left) * 3 + c]];
    }
}

tap_status tap_preprocess_run(tap_pixels *pixels, tap_geometry *geometry,
                              const tap_image *image, const tap_preprocess_spec *spec,
                              tap_error *err)
{
    tap_geometry map;
    if (spec->fit >= TAP_FIT_ANYRES)
        return tap_tiling_run(pixels, geometry, image, spec, err);
    TAP_TRY(tap_preprocess_geometry(&map, image->width, image->height, spec, err));
    const plan p = plan_fit(image->width, image->height, spec);
    tap_image padded = {0}, resized = {0};
    tap_pixels made = {.n_tiles = 1, .side_px = spec->side_px};
    tap_status status = TAP_OK;
    const bool pads =
        p.canvas_width != image->width || p.canvas_height != image->height;
    if (pads)
        TAP_TRY_OUT(tap_image_pad(&padded, image, p.pad_left, p.pad_top, p.canvas_width,
                                  p.canvas_height, spec->pad_rgb, err));
    TAP_TRY_OUT(tap_image_resize(&resized, pads ? &padded : image, p.width, p.height,
                                 spec->filter, spec->order, err));
    TAP_TRY_OUT(tap_alloc(&made.values, 3 * (size_t)spec->side_px,
                          (size_t)spec->side_px * sizeof *made.values, "pixels", err));
    tap_image_normalise(made.values, &resized, p.left, p.top, spec);
    *pixels = made;
    *geometry = map;
out:
    tap_image_clear(&padded);
    tap_image_clear(&resized);
    return status;
}

void tap_pixels_clear(tap_pixels *pixels)
{
    tap_free(pixels->values);
    *pixels = (tap_pixels){0};
}

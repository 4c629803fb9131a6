#include "image/overlay.h"

#include "base/memory.h"

enum { ABOUT_PX = 700, GAP_PX = 8 };

/* Colour of the source where a point of the tile (continuous px) comes from; the pad colour
 * outside. */
static const uint8_t *source_at(const tap_image *image, const tap_tile *tile, double x,
                                double y)
{
    const double sx =
        (x * (double)tile->x.den - (double)tile->x.add) / (double)tile->x.mul;
    const double sy =
        (y * (double)tile->y.den - (double)tile->y.add) / (double)tile->y.mul;
    if (sx < 0.0 || sy < 0.0 || sx >= (double)image->width ||
        sy >= (double)image->height)
        return NULL;
    return image->rgb + ((int64_t)sy * image->width + (int64_t)sx) * 3;
}

static uint8_t mix(double a, double b, double share)
{
    return (uint8_t)(a * (1.0 - share) + b * share + 0.5);
}

static void paint_tile(tap_image *out, int64_t left, const tap_image *image,
                       const tap_geometry *g, int t, const float *cover, int zoom,
                       const tap_preprocess_spec *spec)
{
    static const double tint[3] = {255.0, 0.0, 200.0};
    const int64_t side = (int64_t)g->side_px * zoom,
                  patch = (int64_t)g->patch_px * zoom;
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            const uint8_t *from =
                source_at(image, &g->tiles[t], ((double)x + 0.5) / zoom,
                          ((double)y + 0.5) / zoom);
            const double share = (double)
                cover[((int64_t)t * g->n_rows + y / patch) * g->n_cols + x / patch];
            const bool line = x % patch == 0 || y % patch == 0;
            uint8_t *to = out->rgb + (y * out->width + left + x) * 3;
            for (int c = 0; c < 3; c++) {
                const double shown = from ? from[c] : spec->pad_rgb[c];
                to[c] = mix(shown, tint[c], 0.65 * share);
                if (line)
                    to[c] = mix(to[c], 255.0, 0.35);
            }
        }
}

tap_status tap_overlay_run(tap_image *out, const tap_image *image,
                           const tap_geometry *geometry, const float *cover,
                           const tap_preprocess_spec *spec, tap_error *err)
{
    const tap_geometry *g = geometry;
    const int zoom =
        g->side_px < ABOUT_PX ? (ABOUT_PX + g->side_px / 2) / g->side_px : 1;
    const int64_t side = (int64_t)g->side_px * zoom;
    tap_image picture = {.width = g->n_tiles * (side + GAP_PX) - GAP_PX,
                         .height = side};
    TAP_TRY(tap_alloc(&picture.rgb, (size_t)(picture.width * picture.height), 3,
                      "a picture", err));
    for (int t = 0; t < g->n_tiles; t++)
        paint_tile(&picture, t * (side + GAP_PX), image, g, t, cover, zoom, spec);
    *out = picture;
    return TAP_OK;
}

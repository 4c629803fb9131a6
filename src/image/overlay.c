#include "image/overlay.h"

#include "base/memory.h"

enum { ABOUT_PX = 700, GAP_PX = 8, PANEL_GAP_PX = 24 };

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

/* The patch (row, col) of a tile; pixels beyond the last patch belong to none. */
static int64_t patch_at(const tap_geometry *g, int tile, int64_t row, int64_t col)
{
    if (row < 0 || col < 0 || row >= g->n_rows || col >= g->n_cols)
        return -1;
    return ((int64_t)tile * g->n_rows + row) * g->n_cols + col;
}

static int64_t owner_of(const tap_overlay_layer *layer, int64_t patch)
{
    return patch < 0 ? -1 : layer->owner ? layer->owner[patch] : patch;
}

/* One tile with its upper left corner at (left, top) of the picture. */
static void paint_tile(tap_image *out, int64_t left, int64_t top,
                       const tap_image *image, const tap_geometry *g, int tile,
                       const tap_overlay_layer *layer, int zoom,
                       const tap_preprocess_spec *spec)
{
    static const double tint[3] = {255.0, 0.0, 200.0};
    const int64_t side = (int64_t)g->side_px * zoom, size = (int64_t)g->patch_px * zoom;
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            const uint8_t *from =
                source_at(image, &g->tiles[tile], ((double)x + 0.5) / zoom,
                          ((double)y + 0.5) / zoom);
            const int64_t row = y / size, col = x / size;
            const int64_t patch = patch_at(g, tile, row, col);
            const int64_t owner = owner_of(layer, patch);
            const double share = patch < 0 ? 0.0 : (double)layer->cover[patch];
            const bool line =
                (x % size == 0 &&
                 owner != owner_of(layer, patch_at(g, tile, row, col - 1))) ||
                (y % size == 0 &&
                 owner != owner_of(layer, patch_at(g, tile, row - 1, col)));
            uint8_t *to = out->rgb + ((top + y) * out->width + left + x) * 3;
            for (int c = 0; c < 3; c++) {
                const double shown = from ? from[c] : spec->pad_rgb[c];
                to[c] = mix(shown, tint[c], 0.65 * share);
                if (owner < 0)
                    to[c] = mix(to[c], 128.0, 0.6);
                if (line)
                    to[c] = mix(to[c], 255.0, 0.35);
            }
        }
}

tap_status tap_overlay_run(tap_image *out, const tap_image *image,
                           const tap_geometry *geometry,
                           const tap_overlay_layer *layers, int n_layers,
                           const tap_preprocess_spec *spec, tap_error *err)
{
    const tap_geometry *g = geometry;
    const int longer = g->tile_rows > g->tile_cols ? g->tile_rows : g->tile_cols;
    const int shown_px = g->side_px * longer;
    const int zoom = shown_px < ABOUT_PX ? (ABOUT_PX + shown_px / 2) / shown_px : 1;
    const int64_t side = (int64_t)g->side_px * zoom;
    const int64_t thumb = g->thumb >= 0 ? side + PANEL_GAP_PX : 0;
    const int64_t panel = thumb + g->tile_cols * (side + GAP_PX) - GAP_PX;
    tap_image picture = {.width = n_layers * (panel + PANEL_GAP_PX) - PANEL_GAP_PX,
                         .height = g->tile_rows * (side + GAP_PX) - GAP_PX};
    TAP_TRY(tap_alloc(&picture.rgb, (size_t)(picture.width * picture.height), 3,
                      "a picture", err));
    for (int l = 0; l < n_layers; l++) {
        const int64_t left = l * (panel + PANEL_GAP_PX);
        if (g->thumb >= 0)
            paint_tile(&picture, left, 0, image, g, g->thumb, &layers[l], zoom, spec);
        for (int t = 0; t < g->tile_rows * g->tile_cols; t++)
            paint_tile(&picture, left + thumb + t % g->tile_cols * (side + GAP_PX),
                       t / g->tile_cols * (side + GAP_PX), image, g, g->first_tile + t,
                       &layers[l], zoom, spec);
    }
    *out = picture;
    return TAP_OK;
}

#include "image/mask.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/planted.h"
#include "image/image_formats.h"

#include <string.h>

tap_status tap_mask_new(tap_mask *out, int64_t width, int64_t height, tap_error *err)
{
    if (width < 1 || height < 1 || width > TAP_IMAGE_MAX_SIDE_PX ||
        height > TAP_IMAGE_MAX_SIDE_PX)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a mask of %lld x %lld pixels cannot be made; 1 to %d a side",
                        (long long)width, (long long)height, TAP_IMAGE_MAX_SIDE_PX);
    tap_mask mask = {.width = width, .height = height};
    TAP_TRY(tap_alloc(&mask.inside, (size_t)(width * height), 1, "a mask", err));
    *out = mask;
    return TAP_OK;
}

tap_status tap_mask_read(tap_mask *out, const char *path, tap_error *err)
{
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    tap_mask mask = {0};
    const tap_status status =
        tap_png_decode_samples(&mask.inside, &mask.width, &mask.height, mapping.bytes,
                               mapping.n_bytes, path, err);
    tap_file_unmap(&mapping);
    if (status != TAP_OK)
        return status;
    for (int64_t i = 0; i < mask.width * mask.height; i++)
        mask.inside[i] = mask.inside[i] != 0;
    *out = mask;
    return TAP_OK;
}

void tap_mask_clear(tap_mask *mask)
{
    tap_free(mask->inside);
    *mask = (tap_mask){0};
}

int64_t tap_mask_area(const tap_mask *mask)
{
    int64_t area = 0;
    for (int64_t i = 0; i < mask->width * mask->height; i++)
        area += mask->inside[i];
    return area;
}

/* The cells of one axis that source pixel i reaches, and the length it has in each, in
 * units of 1 / den of a tile pixel. */
typedef struct reach {
    int64_t first, end;  /* cells */
    int64_t begin, stop; /* the pixel's own interval */
    int64_t cell;        /* a cell's length */
} reach;

static reach reach_of(const tap_axis_map *axis, int64_t i, int patch_px, int n_cells)
{
    reach r = {.begin = i * axis->mul + axis->add,
               .stop = (i + 1) * axis->mul + axis->add,
               .cell = patch_px * axis->den};
    if (TAP_PLANTED(TAP_BUG_PATCH_FLOORED)) /* a whole number of source pixels */
        r.cell = r.cell / axis->mul * axis->mul;
    const int64_t low = r.begin > 0 ? r.begin : 0;
    const int64_t high = r.stop < n_cells * r.cell ? r.stop : n_cells * r.cell;
    r.first = low / r.cell;
    r.end = low < high ? (high + r.cell - 1) / r.cell : r.first;
    return r;
}

static int64_t overlap(const reach *r, int64_t cell)
{
    const int64_t low = cell * r->cell, high = low + r->cell;
    const int64_t begin = r->begin > low ? r->begin : low;
    const int64_t stop = r->stop < high ? r->stop : high;
    return stop > begin ? stop - begin : 0;
}

/* area [n_rows][n_cols] of one tile; line [n_cols] is scratch. */
static void add_areas(int64_t *area, int64_t *line, const tap_mask *mask,
                      const tap_geometry *g, const tap_tile *tile)
{
    for (int64_t y = 0; y < mask->height; y++) {
        const reach down = reach_of(&tile->y, y, g->patch_px, g->n_rows);
        if (down.first >= down.end)
            continue;
        memset(line, 0, (size_t)g->n_cols * sizeof *line);
        for (int64_t x = 0; x < mask->width; x++) {
            if (!mask->inside[y * mask->width + x])
                continue;
            const reach along = reach_of(&tile->x, x, g->patch_px, g->n_cols);
            for (int64_t c = along.first; c < along.end; c++)
                line[c] += overlap(&along, c);
        }
        for (int64_t r = down.first; r < down.end; r++) {
            const int64_t height = overlap(&down, r);
            for (int64_t c = 0; c < g->n_cols; c++)
                area[r * g->n_cols + c] += height * line[c];
        }
    }
}

tap_status tap_mask_cover(float *cover, const tap_mask *mask,
                          const tap_geometry *geometry, tap_error *err)
{
    const tap_geometry *g = geometry;
    if (mask->width != g->source_width || mask->height != g->source_height)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the mask is %lld x %lld pixels, its image %lld x %lld; a mask "
                        "must have the size of its image",
                        (long long)mask->width, (long long)mask->height,
                        (long long)g->source_width, (long long)g->source_height);
    const int64_t n = (int64_t)g->n_rows * g->n_cols;
    int64_t *area = NULL;
    TAP_TRY(tap_alloc(&area, (size_t)(n + g->n_cols), sizeof *area, "coverage", err));
    for (int t = 0; t < g->n_tiles; t++) {
        const tap_tile *tile = &g->tiles[t];
        memset(area, 0, (size_t)n * sizeof *area);
        add_areas(area, area + n, mask, g, tile);
        const double whole =
            (double)(g->patch_px * tile->x.den) * (double)(g->patch_px * tile->y.den);
        for (int64_t i = 0; i < n; i++)
            cover[t * n + i] = (float)((double)area[i] / whole);
    }
    tap_free(area);
    return TAP_OK;
}

#include "model/layout.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>

tap_status tap_layout_reserve(tap_layout *layout, int64_t n_slots, tap_error *err)
{
    assert(!layout->slots);
    return tap_alloc(&layout->slots, (size_t)n_slots, sizeof *layout->slots, "a layout",
                     err);
}

void tap_layout_put(tap_layout *layout, const tap_slot *slot)
{
    layout->slots[layout->n_slots++] = *slot;
}

void tap_layout_clear(tap_layout *layout)
{
    tap_free(layout->slots);
    tap_free(layout->media);
    *layout = (tap_layout){0};
}

tap_status tap_layout_compile(tap_layout *out, const tap_spec *spec,
                              const tap_geometry *geometry, tap_error *err)
{
    const int64_t merge = spec->merge;
    tap_layout layout = {.n_merged = geometry->n_tiles *
                                     tap_vision_features(&spec->vision) /
                                     (merge * merge)};
    const tap_status status = spec->lay_out(&layout, spec, geometry, err);
    layout.is_plain = layout.n_slots == layout.n_merged;
    for (int64_t i = 0; i < layout.n_slots; i++) {
        const tap_slot *slot = &layout.slots[i];
        layout.is_plain &= slot->from[0] == i && slot->from[1] < 0 && slot->from[2] < 0;
        if (slot->role != TAP_ROLE_PATCH || slot->row < 0)
            continue;
        int *n_rows = &layout.n_rows[slot->thumb],
            *n_cols = &layout.n_cols[slot->thumb];
        *n_rows = slot->row >= *n_rows ? slot->row + 1 : *n_rows;
        *n_cols = slot->col >= *n_cols ? slot->col + 1 : *n_cols;
    }
    if (status == TAP_OK)
        *out = layout;
    else
        tap_layout_clear(&layout);
    return status;
}

int64_t tap_layout_patch(const tap_geometry *g, bool thumb, int64_t row, int64_t col)
{
    const int64_t tile =
        thumb ? g->thumb
              : g->first_tile + row / g->n_rows * g->tile_cols + col / g->n_cols;
    return (tile * g->n_rows + row % g->n_rows) * g->n_cols + col % g->n_cols;
}

/* The tile of the view that patch (row, col) lies in. */
static int tile_at(const tap_geometry *g, bool thumb, int64_t row, int64_t col)
{
    return (int)(tap_layout_patch(g, thumb, row, col) / (g->n_rows * g->n_cols));
}

float tap_slot_cover(const tap_slot *slot, const tap_geometry *g, const float *patches)
{
    double sum = 0.0;
    for (int r = 0; r < slot->n_rows; r++)
        for (int c = 0; c < slot->n_cols; c++)
            sum += (double)patches[tap_layout_patch(g, slot->thumb, slot->first_row + r,
                                                    slot->first_col + c)];
    const int n = slot->n_rows * slot->n_cols;
    return n ? (float)(sum / n) : 0.0F;
}

void tap_layout_cover(float *cover, const tap_layout *layout, const tap_geometry *g,
                      const float *patches)
{
    for (int64_t i = 0; i < layout->n_slots; i++)
        cover[i] = tap_slot_cover(&layout->slots[i], g, patches);
}

/* Tile pixel to source pixel along one axis. */
static double source_of(const tap_axis_map *axis, int64_t px)
{
    return (double)(px * axis->den - axis->add) / (double)axis->mul;
}

static bool clip(double *low, double *high, int64_t n)
{
    *low = *low > 0.0 ? *low : 0.0;
    *high = *high < (double)n ? *high : (double)n;
    return *low < *high;
}

bool tap_patch_box(tap_box *out, const tap_geometry *g, int tile, int row, int col)
{
    const tap_tile *t = &g->tiles[tile];
    tap_box box = {.x0 = source_of(&t->x, (int64_t)col * g->patch_px),
                   .y0 = source_of(&t->y, (int64_t)row * g->patch_px),
                   .x1 = source_of(&t->x, (int64_t)(col + 1) * g->patch_px),
                   .y1 = source_of(&t->y, (int64_t)(row + 1) * g->patch_px)};
    const bool along = clip(&box.x0, &box.x1, g->source_width);
    const bool shown = clip(&box.y0, &box.y1, g->source_height) && along;
    if (shown)
        *out = box;
    return shown;
}

bool tap_layout_box(tap_box *out, const tap_slot *slot, const tap_geometry *g)
{
    bool any = false;
    for (int r = 0; r < slot->n_rows; r++)
        for (int c = 0; c < slot->n_cols; c++) {
            const int row = slot->first_row + r, col = slot->first_col + c;
            tap_box box;
            if (!tap_patch_box(&box, g, tile_at(g, slot->thumb, row, col),
                               row % g->n_rows, col % g->n_cols))
                continue;
            if (!any)
                *out = box;
            out->x0 = fmin(out->x0, box.x0);
            out->y0 = fmin(out->y0, box.y0);
            out->x1 = fmax(out->x1, box.x1);
            out->y1 = fmax(out->y1, box.y1);
            any = true;
        }
    return any;
}

/* The patch of the view that a source point falls into; false outside the tiles. */
static bool patch_of(int64_t *row, int64_t *col, const tap_geometry *g, bool thumb,
                     double x, double y)
{
    const int first = thumb ? g->thumb : g->first_tile;
    const int n = thumb ? 1 : g->tile_rows * g->tile_cols;
    for (int t = first; first >= 0 && t < first + n; t++) {
        const tap_tile *tile = &g->tiles[t];
        const double px =
            (x * (double)tile->x.mul + (double)tile->x.add) / (double)tile->x.den;
        const double py =
            (y * (double)tile->y.mul + (double)tile->y.add) / (double)tile->y.den;
        const double c = floor(px / g->patch_px), r = floor(py / g->patch_px);
        if (px < 0.0 || py < 0.0 || c >= g->n_cols || r >= g->n_rows)
            continue;
        const int at = thumb ? 0 : t - first;
        *row = (int64_t)r + (thumb ? 0 : (int64_t)(at / g->tile_cols) * g->n_rows);
        *col = (int64_t)c + (thumb ? 0 : (int64_t)(at % g->tile_cols) * g->n_cols);
        return true;
    }
    return false;
}

int64_t tap_layout_find(const tap_layout *layout, const tap_geometry *geometry,
                        bool thumb, double x, double y)
{
    int64_t row = 0, col = 0;
    if (!patch_of(&row, &col, geometry, thumb, x, y))
        return -1;
    for (int64_t i = 0; i < layout->n_slots; i++) {
        const tap_slot *slot = &layout->slots[i];
        if (slot->thumb == thumb && row >= slot->first_row && col >= slot->first_col &&
            row < slot->first_row + slot->n_rows &&
            col < slot->first_col + slot->n_cols)
            return i;
    }
    return -1;
}

tap_status tap_layout_flat(tap_layout *out, const tap_spec *spec, const tap_geometry *g,
                           tap_error *err)
{
    const bool cls = spec->vision.has_cls && spec->vision.keeps_cls;
    const int m = spec->merge, n_rows = g->n_rows / m, n_cols = g->n_cols / m;
    TAP_TRY(tap_layout_reserve(
        out, (int64_t)g->n_tiles * (cls + (int64_t)n_rows * n_cols), err));
    int32_t from = 0;
    for (int tile = 0; tile < g->n_tiles; tile++) {
        const bool thumb = tile == g->thumb;
        const int at = tile - g->first_tile;
        tap_slot slot = {.thumb = thumb, .tile = tile, .row = -1, .col = -1};
        slot.from[1] = slot.from[2] = slot.from[3] = TAP_FROM_NOTHING;
        if (cls) {
            slot.role = TAP_ROLE_CLS;
            slot.from[0] = from++;
            tap_layout_put(out, &slot);
        }
        slot.role = TAP_ROLE_PATCH;
        slot.n_rows = slot.n_cols = m;
        const int top = thumb ? 0 : at / g->tile_cols * n_rows,
                  left = thumb ? 0 : at % g->tile_cols * n_cols;
        for (int r = 0; r < n_rows; r++)
            for (int c = 0; c < n_cols; c++) {
                slot.row = top + r;
                slot.col = left + c;
                slot.first_row = (thumb ? 0 : at / g->tile_cols * g->n_rows) + r * m;
                slot.first_col = (thumb ? 0 : at % g->tile_cols * g->n_cols) + c * m;
                slot.from[0] = from++;
                tap_layout_put(out, &slot);
            }
    }
    return TAP_OK;
}

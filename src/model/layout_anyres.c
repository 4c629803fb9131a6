/* The layout of LLaVA-NeXT and LLaVA-OneVision: the thumbnail's rows, then those of the
 * mosaic with its padding cut off, shrunk if it is too large, a newline after each row.
 *
 * Source: pack_image_features and unpad_image of transformers' modeling_llava_next.py and
 * modeling_llava_onevision.py; arithmetic on sizes in double as there. */
#include "model/layout.h"

#include <math.h>

/* The part of the mosaic that shows the image, in patches. */
typedef struct window {
    int64_t row, col, n_rows, n_cols;
} window;

/* Python's int(round(x, 7)). */
static int64_t whole(double x)
{
    return (int64_t)floor(x + 5e-8);
}

static window unpad(const tap_geometry *g)
{
    window w = {.n_rows = (int64_t)g->tile_rows * g->n_rows,
                .n_cols = (int64_t)g->tile_cols * g->n_cols};
    const double width = (double)g->source_width, height = (double)g->source_height;
    const double rows = (double)w.n_rows, cols = (double)w.n_cols;
    if (width / height > cols / rows) {
        w.row = (w.n_rows - whole(height * (cols / width))) / 2;
        w.n_rows -= 2 * w.row;
    } else {
        w.col = (w.n_cols - whole(width * (rows / height))) / 2;
        w.n_cols -= 2 * w.col;
    }
    return w;
}

/* Python's int(n // ratio). */
static int64_t floor_divide(int64_t n, double ratio)
{
    const double div = ((double)n - fmod((double)n, ratio)) / ratio;
    return (int64_t)floor(div) + (div - floor(div) > 0.5);
}

/* One axis of bilinear interpolation: the first tap and how far the point lies beyond it. */
static int64_t tap_of(float *lean, int64_t i, int64_t n_in, int64_t n_out)
{
    const float scale = (float)n_in / (float)n_out;
    const float at = scale * ((float)i + 0.5F) - 0.5F;
    const int64_t first = at > 0.0F ? (int64_t)at : 0;
    *lean = at > 0.0F && first + 1 < n_in ? at - (float)first : 0.0F;
    return first;
}

/* One row of the map: n_out columns over the window's. */
static void put_row(tap_layout *out, const tap_geometry *g, const window *w, int64_t r,
                    int64_t n_rows, int64_t n_cols)
{
    tap_slot slot = {.role = TAP_ROLE_PATCH, .row = (int)r};
    const int64_t top = w->row + tap_of(&slot.lean_y, r, w->n_rows, n_rows);
    for (int64_t c = 0; c < n_cols; c++) {
        const int64_t left = w->col + tap_of(&slot.lean_x, c, w->n_cols, n_cols);
        slot.col = (int)c;
        slot.first_row = (int)top;
        slot.first_col = (int)left;
        slot.n_rows = slot.lean_y > 0.0F ? 2 : 1;
        slot.n_cols = slot.lean_x > 0.0F ? 2 : 1;
        for (int k = 0; k < 4; k++)
            slot.from[k] =
                k / 2 < slot.n_rows && k % 2 < slot.n_cols
                    ? (int32_t)tap_layout_patch(g, false, top + k / 2, left + k % 2)
                    : TAP_FROM_NOTHING;
        const int nearest = (slot.lean_y > 0.5F ? 2 : 0) + (slot.lean_x > 0.5F);
        slot.tile = slot.from[nearest] / (g->n_rows * g->n_cols);
        tap_layout_put(out, &slot);
    }
    slot = (tap_slot){.role = TAP_ROLE_ROW_END, .tile = -1, .row = (int)r, .col = -1};
    slot.from[0] = TAP_FROM_NEWLINE;
    slot.from[1] = slot.from[2] = slot.from[3] = TAP_FROM_NOTHING;
    tap_layout_put(out, &slot);
}

tap_status tap_layout_anyres(tap_layout *out, const tap_spec *spec,
                             const tap_geometry *g, tap_error *err)
{
    const window w = unpad(g);
    const int64_t n_thumb = (int64_t)g->n_rows * g->n_cols;
    int64_t n_rows = w.n_rows, n_cols = w.n_cols;
    if (spec->most_tile_areas > 0) {
        const double most = (double)(spec->most_tile_areas * n_thumb);
        const double ratio = sqrt((double)(n_rows * n_cols) / most);
        if (ratio > 1.1) {
            n_rows = floor_divide(n_rows, ratio);
            n_cols = floor_divide(n_cols, ratio);
        }
    }
    if (n_rows < 1 || n_cols < 1)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the image of %lld x %lld pixels is so narrow that no patch of "
                        "its tiles is left after their padding is cut off",
                        (long long)g->source_width, (long long)g->source_height);
    TAP_TRY(tap_layout_reserve(out, n_thumb + n_rows * (n_cols + 1), err));
    tap_slot slot = {.role = TAP_ROLE_PATCH, .thumb = true, .n_rows = 1, .n_cols = 1};
    slot.tile = g->thumb;
    slot.from[1] = slot.from[2] = slot.from[3] = TAP_FROM_NOTHING;
    for (int64_t i = 0; i < n_thumb; i++) {
        slot.row = slot.first_row = (int)(i / g->n_cols);
        slot.col = slot.first_col = (int)(i % g->n_cols);
        slot.from[0] = (int32_t)tap_layout_patch(g, true, slot.row, slot.col);
        tap_layout_put(out, &slot);
    }
    for (int64_t r = 0; r < n_rows; r++)
        put_row(out, g, &w, r, n_rows, n_cols);
    return TAP_OK;
}

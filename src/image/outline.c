/* Walks along pixel edges with the inside on the right hand. Every ring has an edge that
 * runs right, above an inside pixel, so rings are found by looking for such edges. */
#include "image/outline.h"

#include "base/memory.h"

void tap_outline_clear(tap_outline *outline)
{
    tap_free(outline->numbers);
    *outline = (tap_outline){0};
}

static bool inside(const tap_mask *mask, int64_t x, int64_t y)
{
    return x >= 0 && y >= 0 && x < mask->width && y < mask->height &&
           mask->inside[y * mask->width + x];
}

static tap_status put_number(tap_outline *out, int64_t number, tap_error *err)
{
    TAP_TRY(tap_grow(&out->numbers, &out->capacity, out->n_numbers + 1,
                     sizeof *out->numbers, "an outline", err));
    out->numbers[out->n_numbers++] = (int32_t)number;
    return TAP_OK;
}

/* The ring that begins with the edge above pixel (x, y). seen [height][width]: pixels whose
 * upper edge is part of a ring. */
static tap_status trace_ring(tap_outline *out, uint8_t *seen, const tap_mask *mask,
                             int64_t first_x, int64_t first_y, tap_error *err)
{
    static const int dx[4] = {1, 0, -1, 0}, dy[4] = {0, 1, 0, -1};
    /* the pixels ahead of a corner, right and left of each direction */
    static const int right_x[4] = {0, -1, -1, 0}, right_y[4] = {0, 0, -1, -1};
    static const int left_x[4] = {0, 0, -1, -1}, left_y[4] = {-1, 0, 0, -1};
    const size_t count = out->n_numbers;
    int64_t x = first_x, y = first_y;
    int direction = 0;
    TAP_TRY(put_number(out, 0, err));
    do {
        TAP_TRY(put_number(out, x, err));
        TAP_TRY(put_number(out, y, err));
        int turn = 0;
        do { /* straight on, edge by edge */
            if (direction == 0)
                seen[y * mask->width + x] = 1;
            x += dx[direction];
            y += dy[direction];
            if (!inside(mask, x + right_x[direction], y + right_y[direction]))
                turn = 1;
            else if (inside(mask, x + left_x[direction], y + left_y[direction]))
                turn = 3;
        } while (turn == 0);
        direction = (direction + turn) % 4;
    } while (x != first_x || y != first_y || direction != 0);
    out->numbers[count] = (int32_t)((out->n_numbers - count - 1) / 2);
    return TAP_OK;
}

tap_status tap_outline_trace(tap_outline *out, const tap_mask *mask, tap_error *err)
{
    tap_outline outline = {0};
    uint8_t *seen = NULL;
    tap_status status =
        tap_alloc(&seen, (size_t)mask->height, (size_t)mask->width, "an outline", err);
    for (int64_t y = 0; status == TAP_OK && y < mask->height; y++)
        for (int64_t x = 0; status == TAP_OK && x < mask->width; x++)
            /* a ring begins where the edge does not go on to the left */
            if (inside(mask, x, y) && !inside(mask, x, y - 1) &&
                !seen[y * mask->width + x] &&
                !(inside(mask, x - 1, y) && !inside(mask, x - 1, y - 1)))
                status = trace_ring(&outline, seen, mask, x, y, err);
    tap_free(seen);
    if (status == TAP_OK)
        *out = outline;
    else
        tap_outline_clear(&outline);
    return status;
}

#include "image/mask_shape.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* ---- polygons ---- */

enum { SCALE = 5 };

typedef struct point {
    int x, y; /* in fifths of a pixel */
} point;

/* One polygon on its way into a mask: flips[x h + y] toggles what is inside from pixel
 * (x, y) on, in column-major order. */
typedef struct outline {
    uint8_t *flips; /* [w h + 1] */
    int64_t width, height;
    int64_t low, high; /* flips outside [low, high] are 0 */
    bool begun;
    point last; /* fine point before */
} outline;

/* The next point of the fine outline. Where it enters another column of the fine grid that
 * holds the centre of a pixel column, that column flips below the outline. */
static void step(outline *o, point p)
{
    const point q = o->last;
    const bool crosses = o->begun && p.x != q.x;
    o->last = p;
    o->begun = true;
    if (!crosses)
        return;
    const double x = ((p.x < q.x ? p.x : p.x - 1) + 0.5) / SCALE - 0.5;
    if (floor(x) != x || x < 0.0 || x > (double)(o->width - 1))
        return;
    double y = ((p.y < q.y ? p.y : q.y) + 0.5) / SCALE - 0.5;
    y = ceil(y < 0.0 ? 0.0 : y > (double)o->height ? (double)o->height : y);
    const int64_t at = (int64_t)x * o->height + (int64_t)y;
    o->flips[at] ^= 1;
    o->low = at < o->low ? at : o->low;
    o->high = at > o->high ? at : o->high;
}

/* The fine points of an edge, walked along its longer axis from either end, in the order
 * from a to b. */
static void walk(outline *o, point a, point b)
{
    const int dx = abs(b.x - a.x), dy = abs(b.y - a.y);
    const bool along_x = dx >= dy;
    const bool flip = along_x ? a.x > b.x : a.y > b.y;
    const point from = flip ? b : a, to = flip ? a : b;
    const int n = along_x ? dx : dy;
    const double slope = n == 0    ? 0.0
                         : along_x ? (double)(to.y - from.y) / dx
                                   : (double)(to.x - from.x) / dy;
    for (int d = 0; d <= n; d++) {
        const int t = flip ? n - d : d;
        step(o, along_x ? (point){from.x + t, (int)(from.y + slope * t + 0.5)}
                        : (point){(int)(from.x + slope * t + 0.5), from.y + t});
    }
}

static point fine_point(const double *xy)
{
    return (point){(int)(SCALE * xy[0] + 0.5), (int)(SCALE * xy[1] + 0.5)};
}

tap_status tap_mask_put_polygon(tap_mask *mask, const double *xy, size_t n_points,
                                tap_error *err)
{
    const int64_t n_px = mask->width * mask->height;
    if (n_points < 3)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "a polygon has %zu points, at least 3 are needed", n_points);
    for (size_t i = 0; i < 2 * n_points; i++)
        if (!(fabs(xy[i]) <= TAP_POLYGON_LIMIT_PX))
            return TAP_FAIL(err, TAP_EFORMAT,
                            "a polygon reaches to %.6g, at most %d px are read", xy[i],
                            TAP_POLYGON_LIMIT_PX);
    outline o = {.width = mask->width, .height = mask->height, .low = n_px};
    TAP_TRY(tap_alloc(&o.flips, (size_t)n_px + 1, 1, "a polygon", err));
    for (size_t i = 0; i < n_points; i++)
        walk(&o, fine_point(xy + 2 * i), fine_point(xy + 2 * ((i + 1) % n_points)));
    uint8_t inside = 0;
    for (int64_t at = o.low; at < n_px && (at <= o.high || inside); at++) {
        inside ^= o.flips[at];
        if (inside)
            mask->inside[at % mask->height * mask->width + at / mask->height] = 1;
    }
    tap_free(o.flips);
    return TAP_OK;
}

/* ---- run lengths ---- */

/* Where the next run begins. */
typedef struct cursor {
    int64_t at, n_px; /* column-major index, pixels of the mask */
    bool inside;
} cursor;

static tap_status put_run(tap_mask *mask, cursor *c, int64_t run, tap_error *err)
{
    if (run < 0 || run > c->n_px - c->at)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "a run of %lld pixels at pixel %lld does not fit a mask of "
                        "%lld x %lld",
                        (long long)run, (long long)c->at, (long long)mask->width,
                        (long long)mask->height);
    if (c->inside) {
        int64_t x = c->at / mask->height, y = c->at % mask->height;
        for (int64_t i = 0; i < run; i++) {
            mask->inside[y * mask->width + x] = 1;
            if (++y == mask->height) {
                y = 0;
                x++;
            }
        }
    }
    c->at += run;
    c->inside = !c->inside;
    return TAP_OK;
}

static tap_status end_runs(const tap_mask *mask, const cursor *c, tap_error *err)
{
    if (c->at != c->n_px)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "the runs cover %lld pixels of the %lld of a mask of %lld x "
                        "%lld",
                        (long long)c->at, (long long)c->n_px, (long long)mask->width,
                        (long long)mask->height);
    return TAP_OK;
}

tap_status tap_mask_put_runs(tap_mask *mask, const int64_t *runs, size_t n_runs,
                             tap_error *err)
{
    cursor c = {.n_px = mask->width * mask->height};
    for (size_t i = 0; i < n_runs; i++)
        TAP_TRY(put_run(mask, &c, runs[i], err));
    return end_runs(mask, &c, err);
}

tap_status tap_mask_put_run_text(tap_mask *mask, const char *text, size_t n_bytes,
                                 tap_error *err)
{
    enum { MAX_GROUPS = 7 }; /* 35 bits: more than any mask has pixels */

    cursor c = {.n_px = mask->width * mask->height};
    int64_t before[2] = {0, 0}; /* the run before the last, the last */
    for (size_t at = 0, m = 0; at < n_bytes; m++) {
        int64_t value = 0;
        bool more = true;
        for (int group = 0; more; group++) {
            const int bits = at < n_bytes ? (unsigned char)text[at] - 48 : -1;
            if (bits < 0 || bits > 63 || group == MAX_GROUPS)
                return TAP_FAIL(err, TAP_EFORMAT,
                                "the compressed runs break off or hold a foreign "
                                "character at byte %zu",
                                at);
            at++;
            value |= (int64_t)(bits & 0x1f) << (5 * group);
            more = bits & 0x20;
            if (!more && (bits & 0x10))
                value -= INT64_C(1) << (5 * (group + 1));
        }
        if (m > 2)
            value += before[0];
        TAP_TRY(put_run(mask, &c, value, err));
        before[0] = before[1];
        before[1] = value;
    }
    return end_runs(mask, &c, err);
}

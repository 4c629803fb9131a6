/* A figure as SVG inside a page. */
#include "report/escape.h"
#include "report/figure_shape.h"

#include <math.h>
#include <string.h>

int tap_dot_shape(double xy[2 * TAP_SHAPE_MAX], tap_look look, double radius_px)
{
    const double r = radius_px;
    const double square[] = {-.85 * r, -.85 * r, .85 * r,  -.85 * r,
                             .85 * r,  .85 * r,  -.85 * r, .85 * r};
    const double triangle[] = {0, -1.15 * r, 1.1 * r, .8 * r, -1.1 * r, .8 * r};
    const double diamond[] = {0, -1.25 * r, 1.25 * r, 0, 0, 1.25 * r, -1.25 * r, 0};
    switch ((int)look) {
    case TAP_LOOK_S01:
    case TAP_LOOK_OTHER_A:
    case TAP_LOOK_GAIN:
        memcpy(xy, square, sizeof square);
        return 4;
    case TAP_LOOK_S10:
    case TAP_LOOK_OTHER_B:
        memcpy(xy, triangle, sizeof triangle);
        return 3;
    case TAP_LOOK_S00:
    case TAP_LOOK_OTHER_C:
        memcpy(xy, diamond, sizeof diamond);
        return 4;
    default:
        return 0;
    }
}

void tap_arrow_shape(double xy[2 * TAP_SHAPE_MAX], const double ends[4],
                     double width_px)
{
    const double dx = ends[2] - ends[0], dy = ends[3] - ends[1];
    const double length = hypot(dx, dy) > 0 ? hypot(dx, dy) : 1.0;
    const double ux = dx / length, uy = dy / length;
    const double half = width_px / 2, wing = half + 5;
    const double head = fmin(wing * 1.6, length * 0.6);
    const double nx = ends[2] - ux * head, ny = ends[3] - uy * head;
    const double shape[] = {
        ends[0] - uy * half, ends[1] + ux * half, nx - uy * half, ny + ux * half,
        nx - uy * wing,      ny + ux * wing,      ends[2],        ends[3],
        nx + uy * wing,      ny - ux * wing,      nx + uy * half, ny - ux * half,
        ends[0] + uy * half, ends[1] - ux * half};
    memcpy(xy, shape, sizeof shape);
}

/* "M1,2L3,4" */
static tap_status put_path(tap_buffer *out, const double *xy, int n, bool closed,
                           tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, " d=\""));
    for (int i = 0; i < n; i++)
        TAP_TRY(tap_buffer_print(out, err, "%c%.5g,%.5g", i ? 'L' : 'M', xy[2 * i],
                                 xy[2 * i + 1]));
    return tap_buffer_print(out, err, "%s\"", closed ? "Z" : "");
}

static tap_status put_shape(tap_buffer *out, const tap_figure *f, const tap_mark *m,
                            tap_error *err)
{
    const double *p = tap_figure_points(f, m);
    double shape[2 * TAP_SHAPE_MAX];
    switch (m->kind) {
    case TAP_MARK_LINE:
        return put_path(out, p, m->n_points, false, err);
    case TAP_MARK_AREA:
        return put_path(out, p, m->n_points, true, err);
    case TAP_MARK_RECT:
        return tap_buffer_print(out, err,
                                " x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"%.5g\"",
                                p[0], p[1], p[2] - p[0], p[3] - p[1]);
    case TAP_MARK_ARROW:
        tap_arrow_shape(shape, p, m->size_px);
        TAP_TRY(tap_buffer_print(out, err, " data-ends=\"%.5g,%.5g,%.5g,%.5g\"", p[0],
                                 p[1], p[2], p[3]));
        return put_path(out, shape, 7, true, err);
    case TAP_MARK_DOT: {
        const int n = tap_dot_shape(shape, m->look, m->size_px);
        TAP_TRY(tap_buffer_print(out, err, " transform=\"translate(%.5g,%.5g)\"", p[0],
                                 p[1]));
        if (n > 0)
            return put_path(out, shape, n, true, err);
        return tap_buffer_print(out, err,
                                " d=\"M%.4g,0a%.4g,%.4g 0 1,0 %.4g,0a%.4g,%.4g "
                                "0 1,0 %.4g,0\"",
                                -m->size_px, m->size_px, m->size_px, 2 * m->size_px,
                                m->size_px, m->size_px, -2 * m->size_px);
    }
    case TAP_MARK_TEXT:
        return tap_buffer_print(out, err, " x=\"%.5g\" y=\"%.5g\" font-size=\"%.4g\"%s",
                                p[0], p[1], m->size_px,
                                m->anchor == 0  ? " text-anchor=\"middle\""
                                : m->anchor > 0 ? " text-anchor=\"end\""
                                                : "");
    case TAP_MARK_IMAGE:
        TAP_TRY(
            tap_buffer_print(out, err,
                             " x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"%.5g\" "
                             "preserveAspectRatio=\"none\" "
                             "href=\"data:image/jpeg;base64,",
                             p[0], p[1], p[2] - p[0], p[3] - p[1]));
        TAP_TRY(tap_buffer_put(out, tap_figure_text(f, m->text),
                               strlen(tap_figure_text(f, m->text)), err));
        return tap_buffer_put(out, "\"", 1, err);
    }
    return TAP_OK;
}

static tap_status put_mark(tap_buffer *out, const tap_figure *f, const tap_mark *m,
                           tap_error *err)
{
    static const char *const tags[] = {"path", "path", "rect", "path",
                                       "path", "text", "image"};
    static const char *const classes[] = {"line",  "area", "rect", "dot",
                                          "arrow", "text", "image"};
    const char *tag = tags[m->kind];
    TAP_TRY(tap_buffer_print(out, err, "<%s class=\"%s %s%s\"", tag, classes[m->kind],
                             tap_look_of(m->look)->name, m->bold ? " bold" : ""));
    TAP_TRY(put_shape(out, f, m, err));
    if (m->rgb != TAP_NO_RGB) /* a style, so that no class overrides it */
        TAP_TRY(tap_buffer_print(out, err, " style=\"fill:#%06x\"", (unsigned)m->rgb));
    if (m->alpha > 0.0)
        TAP_TRY(tap_buffer_print(out, err, " fill-opacity=\"%.3g\"", m->alpha));
    if (m->data != TAP_NO_TEXT)
        TAP_TRY(tap_buffer_print(out, err, " %s", tap_figure_text(f, m->data)));
    const bool text = m->kind == TAP_MARK_TEXT;
    if (!text && m->title == TAP_NO_TEXT)
        return tap_buffer_print(out, err, "/>");
    TAP_TRY(tap_buffer_print(out, err, ">"));
    if (m->title != TAP_NO_TEXT) {
        TAP_TRY(tap_buffer_print(out, err, "<title>"));
        TAP_TRY(tap_page_text(out, tap_figure_text(f, m->title), err));
        TAP_TRY(tap_buffer_print(out, err, "</title>"));
    }
    if (text)
        TAP_TRY(tap_page_text(out, tap_figure_text(f, m->text), err));
    return tap_buffer_print(out, err, "</%s>", tag);
}

tap_status tap_figure_svg(tap_buffer *out, const tap_figure *figure, const char *id,
                          const char *class, tap_error *err)
{
    const tap_figure *f = figure;
    TAP_TRY(tap_buffer_print(out, err,
                             "<svg class=\"%s\" viewBox=\"0 0 %.6g %.6g\" "
                             "width=\"%.6g\" height=\"%.6g\" role=\"img\" "
                             "aria-labelledby=\"%s-t %s-d\"",
                             class, f->width, f->height, f->width, f->height, id, id));
    for (int i = 0; i < f->n_plots; i++) {
        const tap_plot *p = &f->plots[i];
        TAP_TRY(tap_buffer_print(
            out, err, " data-plot%d=\"%.6g,%.6g,%.6g,%.6g,%.9g,%.9g,%.9g,%.9g\"", i,
            p->left, p->top, p->right, p->bottom, p->x_min, p->x_max, p->y_min,
            p->y_max));
    }
    TAP_TRY(tap_buffer_print(out, err, "><title id=\"%s-t\">", id));
    TAP_TRY(tap_page_text(out, tap_figure_text(f, f->title), err));
    TAP_TRY(tap_buffer_print(out, err, "</title><desc id=\"%s-d\">", id));
    TAP_TRY(tap_page_text(out, tap_figure_text(f, f->description), err));
    TAP_TRY(tap_buffer_print(out, err, "</desc>"));
    for (size_t i = 0; i < f->n_marks; i++)
        TAP_TRY(put_mark(out, f, &f->marks[i], err));
    return tap_buffer_print(out, err, "</svg>\n");
}

#include "report/figure.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Colours after Okabe and Ito, darkened until each has 3:1 against white. */
static const tap_look_style LOOKS[] = {
    {"s11", 0x1B1F24, 2.25, {0, 0}},    {"s01", 0x0072B2, 2.25, {0, 0}},
    {"s10", 0xC85200, 2.25, {7, 3}},    {"s00", 0xA0468A, 2.25, {2, 3}},
    {"oa", 0x00785A, 1.75, {9, 3}},     {"ob", 0x8A6D00, 1.75, {5, 2}},
    {"oc", 0x2F5D9B, 1.75, {3, 2}},     {"od", 0x7A3B2E, 1.75, {1, 2}},
    {"ink", 0x1B1F24, 1.0, {0, 0}},     {"muted", 0x5A636D, 1.0, {0, 0}},
    {"grid", 0xDDE1E6, 1.0, {0, 0}},    {"null", 0x6B747E, 1.25, {4, 4}},
    {"loss", 0xC85200, 2.0, {0, 0}},    {"gain", 0x0072B2, 2.0, {0, 0}},
    {"cursor", 0x5A636D, 1.25, {0, 0}}, {"panel", 0xF2F4F7, 1.0, {0, 0}},
    {"frame", 0xFF2D8A, 1.5, {0, 0}},
};
static_assert(sizeof LOOKS / sizeof LOOKS[0] == TAP_N_LOOKS, "one each");

const tap_look_style *tap_look_of(tap_look look)
{
    return &LOOKS[look];
}

void tap_figure_init(tap_figure *figure, const char *name, double width, double height)
{
    *figure = (tap_figure){.name = name,
                           .width = width,
                           .height = height,
                           .title = TAP_NO_TEXT,
                           .description = TAP_NO_TEXT};
}

tap_status tap_figure_end(tap_figure *figure, tap_error *err)
{
    if (figure->status != TAP_OK && err)
        *err = figure->error;
    assert(figure->status != TAP_OK || figure->n_columns == 0 ||
           figure->n_cells % (size_t)figure->n_columns == 0);
    return figure->status;
}

void tap_figure_clear(tap_figure *figure)
{
    tap_free(figure->marks);
    tap_free(figure->points);
    tap_free(figure->cells);
    tap_buffer_clear(&figure->texts);
    *figure = (tap_figure){0};
}

const char *tap_figure_text(const tap_figure *figure, int64_t offset)
{
    return offset == TAP_NO_TEXT || !figure->texts.text ? ""
                                                        : figure->texts.text + offset;
}

const double *tap_figure_points(const tap_figure *figure, const tap_mark *mark)
{
    return figure->points + 2 * mark->first_point;
}

/* ---- texts ---- */

static int64_t put_bytes(tap_figure *f, const char *text)
{
    const int64_t at = (int64_t)f->texts.n_bytes;
    if (f->status == TAP_OK)
        f->status = tap_buffer_put(&f->texts, text, strlen(text) + 1, &f->error);
    return f->status == TAP_OK ? at : TAP_NO_TEXT;
}

static int64_t put_text(tap_figure *f, const char *format, va_list values)
{
    char text[1024];
    const int n = vsnprintf(text, sizeof text, format, values);
    if (n < 0)
        text[0] = '\0';
    else if ((size_t)n >= sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    return put_bytes(f, text);
}

#define PUT_TEXT(place)                                                                \
    do {                                                                               \
        va_list values;                                                                \
        va_start(values, format);                                                      \
        (place) = put_text(figure, format, values);                                    \
        va_end(values);                                                                \
    } while (0)

void tap_figure_title(tap_figure *figure, const char *format, ...)
{
    PUT_TEXT(figure->title);
}

void tap_figure_describe(tap_figure *figure, const char *format, ...)
{
    PUT_TEXT(figure->description);
}

void tap_mark_title(tap_figure *figure, tap_mark *mark, const char *format, ...)
{
    PUT_TEXT(mark->title);
}

void tap_mark_data(tap_figure *figure, tap_mark *mark, const char *format, ...)
{
    PUT_TEXT(mark->data);
}

/* ---- marks ---- */

static tap_mark *put_mark(tap_figure *f, tap_mark_kind kind, tap_look look,
                          const double *xy, int n)
{
    static tap_mark spare; /* written and never read */
    if (f->status == TAP_OK)
        f->status = tap_grow(&f->marks, &f->capacity_marks, f->n_marks + 1,
                             sizeof *f->marks, "a figure", &f->error);
    if (f->status == TAP_OK)
        f->status =
            tap_grow(&f->points, &f->capacity_points, 2 * (f->n_points + (size_t)n),
                     sizeof *f->points, "a figure", &f->error);
    if (f->status != TAP_OK)
        return &spare;
    memcpy(f->points + 2 * f->n_points, xy, 2 * (size_t)n * sizeof *xy);
    f->marks[f->n_marks] = (tap_mark){.kind = kind,
                                      .look = look,
                                      .first_point = (int32_t)f->n_points,
                                      .n_points = n,
                                      .rgb = TAP_NO_RGB,
                                      .text = TAP_NO_TEXT,
                                      .title = TAP_NO_TEXT,
                                      .data = TAP_NO_TEXT};
    f->n_points += (size_t)n;
    return &f->marks[f->n_marks++];
}

tap_mark *tap_figure_line(tap_figure *figure, tap_look look, const double *xy, int n)
{
    return put_mark(figure, TAP_MARK_LINE, look, xy, n);
}

tap_mark *tap_figure_area(tap_figure *figure, tap_look look, const double *xy, int n)
{
    return put_mark(figure, TAP_MARK_AREA, look, xy, n);
}

tap_mark *tap_figure_segment(tap_figure *figure, tap_look look, double x0, double y0,
                             double x1, double y1)
{
    return put_mark(figure, TAP_MARK_LINE, look, (double[]){x0, y0, x1, y1}, 2);
}

tap_mark *tap_figure_rect(tap_figure *figure, tap_look look, double x0, double y0,
                          double x1, double y1)
{
    return put_mark(figure, TAP_MARK_RECT, look, (double[]){x0, y0, x1, y1}, 2);
}

tap_mark *tap_figure_dot(tap_figure *figure, tap_look look, double x, double y,
                         double radius_px)
{
    tap_mark *mark = put_mark(figure, TAP_MARK_DOT, look, (double[]){x, y}, 1);
    mark->size_px = radius_px;
    return mark;
}

tap_mark *tap_figure_arrow(tap_figure *figure, tap_look look, double x0, double y0,
                           double x1, double y1, double width_px)
{
    tap_mark *mark =
        put_mark(figure, TAP_MARK_ARROW, look, (double[]){x0, y0, x1, y1}, 2);
    mark->size_px = width_px;
    return mark;
}

tap_mark *tap_figure_label(tap_figure *figure, tap_look look, double x, double y,
                           double size_px, int anchor, const char *format, ...)
{
    int64_t text = TAP_NO_TEXT;
    PUT_TEXT(text);
    tap_mark *mark = put_mark(figure, TAP_MARK_TEXT, look, (double[]){x, y}, 1);
    mark->text = text;
    mark->size_px = size_px;
    mark->anchor = anchor;
    return mark;
}

tap_mark *tap_figure_image(tap_figure *figure, const char *jpeg, double x0, double y0,
                           double x1, double y1)
{
    const int64_t text = put_bytes(figure, jpeg);
    tap_mark *mark =
        put_mark(figure, TAP_MARK_IMAGE, TAP_LOOK_PANEL, (double[]){x0, y0, x1, y1}, 2);
    mark->text = text;
    return mark;
}

/* ---- plots ---- */

int tap_figure_plot(tap_figure *figure, const tap_plot *plot)
{
    assert(figure->n_plots < 2 && plot->x_max > plot->x_min &&
           plot->y_max > plot->y_min);
    figure->plots[figure->n_plots] = *plot;
    return figure->n_plots++;
}

double tap_plot_x(const tap_plot *plot, double x)
{
    return plot->left +
           (x - plot->x_min) / (plot->x_max - plot->x_min) * (plot->right - plot->left);
}

double tap_plot_y(const tap_plot *plot, double y)
{
    return plot->bottom +
           (y - plot->y_min) / (plot->y_max - plot->y_min) * (plot->top - plot->bottom);
}

double tap_ticks(double low, double high, int n, double *step)
{
    const double rough = (high - low) / n;
    const double unit = pow(10.0, floor(log10(rough)));
    const double times = rough / unit;
    *step = unit * (times <= 1.0   ? 1.0
                    : times <= 2.0 ? 2.0
                    : times <= 5.0 ? 5.0
                                   : 10.0);
    return ceil(low / *step - 1e-9) * *step;
}

void tap_figure_axes(tap_figure *figure, const tap_plot *plot, const char *x_title,
                     const char *y_title, int n_x_ticks)
{
    double step = 1.0;
    for (double y = tap_ticks(plot->y_min, plot->y_max, 5, &step);
         y <= plot->y_max + 1e-9; y += step) {
        const double at = tap_plot_y(plot, y);
        tap_mark *mark =
            tap_figure_segment(figure, TAP_LOOK_GRID, plot->left, at, plot->right, at);
        tap_mark_data(figure, mark, "data-axis=\"y\"");
        mark = tap_figure_label(figure, TAP_LOOK_MUTED, plot->left - 8, at + 4, 12, 1,
                                "%.6g", fabs(y) < 1e-12 ? 0.0 : y);
        tap_mark_data(figure, mark, "data-axis=\"y\"");
    }
    for (double x = tap_ticks(plot->x_min, plot->x_max, n_x_ticks, &step);
         n_x_ticks > 0 && x <= plot->x_max + 1e-9; x += step) {
        const double at = tap_plot_x(plot, x);
        (void)tap_figure_segment(figure, TAP_LOOK_MUTED, at, plot->bottom, at,
                                 plot->bottom + 4);
        (void)tap_figure_label(figure, TAP_LOOK_MUTED, at, plot->bottom + 18, 12, 0,
                               "%.6g", fabs(x) < 1e-12 ? 0.0 : x);
    }
    (void)tap_figure_segment(figure, TAP_LOOK_MUTED, plot->left, plot->bottom,
                             plot->right, plot->bottom);
    if (x_title)
        (void)tap_figure_label(figure, TAP_LOOK_MUTED, plot->right, plot->bottom + 36,
                               12, 1, "%s", x_title);
    if (y_title) {
        tap_mark *mark = tap_figure_label(figure, TAP_LOOK_MUTED, plot->left - 8,
                                          plot->top - 12, 12, -1, "%s", y_title);
        tap_mark_data(figure, mark, "data-axis=\"title\"");
    }
}

/* ---- numbers ---- */

static void put_cell(tap_figure *f, int64_t text)
{
    if (f->status == TAP_OK)
        f->status = tap_grow(&f->cells, &f->capacity_cells, f->n_cells + 1,
                             sizeof *f->cells, "a table", &f->error);
    if (f->status == TAP_OK)
        f->cells[f->n_cells++] = text;
}

void tap_figure_columns(tap_figure *figure, int n, const char *const *names)
{
    figure->n_columns = n;
    for (int i = 0; i < n; i++)
        put_cell(figure, put_bytes(figure, names[i]));
}

void tap_figure_cell(tap_figure *figure, const char *format, ...)
{
    int64_t text = TAP_NO_TEXT;
    PUT_TEXT(text);
    put_cell(figure, text);
}

void tap_figure_cell_real(tap_figure *figure, double value)
{
    if (isfinite(value))
        tap_figure_cell(figure, "%.6g", value);
    else
        tap_figure_cell(figure, "NA");
}

/* ---- heat ---- */

/* lightness rises evenly from ink over blue and teal to pale yellow */
static const uint8_t HEAT[TAP_HEAT_STOPS][3] = {{17, 18, 64},    {36, 61, 128},
                                                {33, 113, 142},  {74, 164, 135},
                                                {158, 209, 112}, {247, 243, 170}};

uint32_t tap_heat_stop(int i)
{
    return (uint32_t)(HEAT[i][0] << 16 | HEAT[i][1] << 8 | HEAT[i][2]);
}

uint32_t tap_heat_rgb(double share)
{
    const int last = TAP_HEAT_STOPS - 1;
    const double at = (share < 0.0 ? 0.0 : share > 1.0 ? 1.0 : share) * last;
    const int i = at >= last ? last - 1 : (int)at;
    uint32_t rgb = 0;
    for (int c = 0; c < 3; c++) {
        const double value = HEAT[i][c] + (at - i) * (HEAT[i + 1][c] - HEAT[i][c]);
        rgb = rgb << 8 | (uint32_t)(value + 0.5);
    }
    return rgb;
}

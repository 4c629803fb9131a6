/* What is in a picture? Marks in a plane, what they stand for, and the numbers behind them.
 *
 * A figure is built once and shown in two ways: as SVG in a page, coloured by the page's
 * style sheet (figure_svg.c), and by Cairo for papers (figure_cairo.c). This room knows no
 * results; figure_*.c of each subject fill it.
 *
 * Lengths are px of 1/96 inch, y grows downwards. Puts after a failure do nothing, and
 * tap_figure_end reports the first one. */
#ifndef TAP_REPORT_FIGURE_H
#define TAP_REPORT_FIGURE_H

#include "base/memory.h"

/* What a mark stands for: colour, width and dash follow from it. The first four are the
 * cells of the 2x2, in the order of tap_cell.
 * ORDER looks: the table in figure.c follows this enum. */
typedef enum tap_look {
    TAP_LOOK_S11,
    TAP_LOOK_S01,
    TAP_LOOK_S10,
    TAP_LOOK_S00,
    TAP_LOOK_OTHER_A, /* conditions outside the design */
    TAP_LOOK_OTHER_B,
    TAP_LOOK_OTHER_C,
    TAP_LOOK_OTHER_D,
    TAP_LOOK_INK,
    TAP_LOOK_MUTED,
    TAP_LOOK_GRID,
    TAP_LOOK_NULL,   /* what chance gives */
    TAP_LOOK_LOSS,   /* damage */
    TAP_LOOK_GAIN,   /* recovery */
    TAP_LOOK_CURSOR, /* the depth in view */
    TAP_LOOK_PANEL,
    TAP_LOOK_FRAME, /* around patches on a photograph */
    TAP_N_LOOKS
} tap_look;

typedef struct tap_look_style {
    const char *name;  /* class in the page: "s11", "muted", ... */
    uint32_t rgb;      /* on paper */
    double line_px;    /* width of lines */
    double dash_px[2]; /* 0: solid */
} tap_look_style;

const tap_look_style *tap_look_of(tap_look look);

typedef enum tap_mark_kind {
    TAP_MARK_LINE,  /* polyline */
    TAP_MARK_AREA,  /* closed, filled, a band of uncertainty */
    TAP_MARK_RECT,  /* 2 points: corners */
    TAP_MARK_DOT,   /* 1 point; its shape tells the look */
    TAP_MARK_ARROW, /* 2 points, head at the second */
    TAP_MARK_TEXT,  /* 1 point on the base line */
    TAP_MARK_IMAGE  /* 2 points: corners of a JPEG, `text` its bytes in base64 */
} tap_mark_kind;

enum { TAP_NO_TEXT = -1, TAP_NO_RGB = -1 };

typedef struct tap_mark {
    tap_mark_kind kind;
    tap_look look;
    int32_t first_point, n_points; /* in points */
    double size_px;                /* of text, radius of a dot, width of an arrow */
    int anchor;                    /* of text: -1 left, 0 middle, 1 right */
    bool bold;
    double alpha;  /* of a filled mark; 0: as its kind has it */
    int32_t rgb;   /* fill instead of the look's, TAP_NO_RGB: none */
    int64_t text;  /* offset in texts, TAP_NO_TEXT: none */
    int64_t title; /* what a reader is told about this mark */
    int64_t data;  /* attributes for the page: data-c="1" data-d="3" */
} tap_mark;

/* A rectangle with scales: px = left + (x - x_min) / (x_max - x_min) (right - left). */
typedef struct tap_plot {
    double left, top, right, bottom;
    double x_min, x_max, y_min, y_max;
} tap_plot;

typedef struct tap_figure {
    const char *name; /* "depth", "parts", ... static */
    double width, height;
    tap_mark *marks;
    size_t n_marks, capacity_marks;
    double *points; /* x, y */
    size_t n_points, capacity_points;
    tap_buffer texts; /* NUL after each */
    tap_plot plots[2];
    int n_plots;
    int64_t title, description;
    /* The numbers behind it: n_rows x n_columns texts, the first row the header. */
    int64_t *cells;
    size_t n_cells, capacity_cells;
    int n_columns;
    tap_status status;
    tap_error error;
} tap_figure;

void tap_figure_init(tap_figure *figure, const char *name, double width, double height);
/* The first failure of the puts. */
TAP_NODISCARD tap_status tap_figure_end(tap_figure *figure, tap_error *err);
void tap_figure_clear(tap_figure *figure);

const char *tap_figure_text(const tap_figure *figure, int64_t offset); /* "" for none */
const double *tap_figure_points(const tap_figure *figure, const tap_mark *mark);

void tap_figure_title(tap_figure *figure, const char *format, ...) TAP_FORMAT(2, 3);
/* In words, for those who do not see it. */
void tap_figure_describe(tap_figure *figure, const char *format, ...) TAP_FORMAT(2, 3);

/* Each returns the mark for what is rarely set, or a spare one after a failure. */
tap_mark *tap_figure_line(tap_figure *figure, tap_look look, const double *xy, int n);
tap_mark *tap_figure_area(tap_figure *figure, tap_look look, const double *xy, int n);
tap_mark *tap_figure_segment(tap_figure *figure, tap_look look, double x0, double y0,
                             double x1, double y1);
tap_mark *tap_figure_rect(tap_figure *figure, tap_look look, double x0, double y0,
                          double x1, double y1);
tap_mark *tap_figure_dot(tap_figure *figure, tap_look look, double x, double y,
                         double radius_px);
tap_mark *tap_figure_arrow(tap_figure *figure, tap_look look, double x0, double y0,
                           double x1, double y1, double width_px);
tap_mark *tap_figure_label(tap_figure *figure, tap_look look, double x, double y,
                           double size_px, int anchor, const char *format, ...)
    TAP_FORMAT(7, 8);
/* jpeg: base64, copied. */
tap_mark *tap_figure_image(tap_figure *figure, const char *jpeg, double x0, double y0,
                           double x1, double y1);
void tap_mark_title(tap_figure *figure, tap_mark *mark, const char *format, ...)
    TAP_FORMAT(3, 4);
void tap_mark_data(tap_figure *figure, tap_mark *mark, const char *format, ...)
    TAP_FORMAT(3, 4);

/* Adds a plot; returns its index. Axes with ticks and titles are drawn by
 * tap_figure_axes. */
int tap_figure_plot(tap_figure *figure, const tap_plot *plot);
double tap_plot_x(const tap_plot *plot, double x);
double tap_plot_y(const tap_plot *plot, double y);
void tap_figure_axes(tap_figure *figure, const tap_plot *plot, const char *x_title,
                     const char *y_title, int n_x_ticks);

/* About n round numbers from low to high: *step, and the first. */
double tap_ticks(double low, double high, int n, double *step);

void tap_figure_columns(tap_figure *figure, int n, const char *const *names);
/* The next cell of the table of numbers. */
void tap_figure_cell(tap_figure *figure, const char *format, ...) TAP_FORMAT(2, 3);
void tap_figure_cell_real(tap_figure *figure, double value); /* NaN: NA */

/* A colour of the scale that ranks are shown in: 0 (last) to 1 (rank 1), dark to light, so
 * that every kind of colour vision tells them apart. Between stops it is linear in RGB. */
enum { TAP_HEAT_STOPS = 6 };

uint32_t tap_heat_stop(int i);
uint32_t tap_heat_rgb(double share);

/* SVG for a page: classes, no colours but those of heat maps. `id` is the page's own. */
TAP_NODISCARD tap_status tap_figure_svg(tap_buffer *out, const tap_figure *figure,
                                        const char *id, const char *class,
                                        tap_error *err);

typedef enum tap_picture {
    TAP_PICTURE_SVG,
    TAP_PICTURE_PDF,
    TAP_PICTURE_PNG
} tap_picture;

/* The same as a file: letters are outlines (SVG) or embedded fonts (PDF); PNG at `dpi`.
 * Written whole or not at all; the bytes hold no time.
 * Errors: TAP_EIO, TAP_ENOMEM, naming the file. */
TAP_NODISCARD tap_status tap_figure_write(const tap_figure *figure, const char *path,
                                          tap_picture picture, double dpi,
                                          tap_error *err);

#endif

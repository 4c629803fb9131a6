/* A figure as a file for papers, drawn by Cairo. */
#include "base/file.h"
#include "image/image.h"
#include "report/figure_shape.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <string.h>

static const double PT_PER_PX = 72.0 / 96.0;

static void set_rgb(cairo_t *c, uint32_t rgb, double alpha)
{
    cairo_set_source_rgba(c, (rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0,
                          (rgb & 255) / 255.0, alpha);
}

static void trace(cairo_t *c, const double *xy, int n)
{
    for (int i = 0; i < n; i++)
        cairo_line_to(c, xy[2 * i], xy[2 * i + 1]);
}

static void draw_text(cairo_t *c, const tap_figure *f, const tap_mark *m,
                      const double *p)
{
    cairo_text_extents_t size;
    const char *text = tap_figure_text(f, m->text);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           m->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, m->size_px);
    cairo_text_extents(c, text, &size);
    cairo_move_to(c, p[0] - (m->anchor + 1) * size.x_advance / 2, p[1]);
    cairo_show_text(c, text);
}

/* Bytes of base64; n of them. */
static tap_status from_base64(uint8_t **out, size_t *n, const char *text)
{
    const size_t length = strlen(text);
    uint32_t held = 0;
    int bits = 0;
    *n = 0;
    TAP_TRY(tap_alloc(out, length, 1, "a picture", NULL));
    for (size_t i = 0; i < length && text[i] != '='; i++) {
        const char t = text[i];
        const int digit = t >= 'a'   ? t - 'a' + 26
                          : t >= 'A' ? t - 'A'
                          : t >= '0' ? t - '0' + 52
                          : t == '+' ? 62
                                     : 63;
        held = held << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8)
            (*out)[(*n)++] = (uint8_t)(held >> (bits -= 8));
    }
    return TAP_OK;
}

/* A JPEG into its rectangle; what cannot be decoded is left out. */
static void draw_image(cairo_t *c, const char *jpeg, const double *p)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    tap_image image = {0};
    if (from_base64(&bytes, &n, jpeg) != TAP_OK)
        return;
    const tap_status status = tap_image_decode(&image, bytes, n, "a picture", NULL);
    tap_free(bytes);
    if (status != TAP_OK)
        return;
    const int w = (int)image.width, h = (int)image.height;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);
    uint8_t *rows = cairo_image_surface_get_data(surface);
    const int stride = cairo_image_surface_get_stride(surface);
    cairo_surface_flush(surface);
    for (int y = 0; y < h && rows; y++)
        for (int x = 0; x < w; x++) {
            const uint8_t *from = image.rgb + 3 * ((int64_t)y * w + x);
            const uint32_t pixel =
                (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
            memcpy(rows + (int64_t)y * stride + 4 * x, &pixel, sizeof pixel);
        }
    cairo_surface_mark_dirty(surface);
    cairo_save(c);
    cairo_translate(c, p[0], p[1]);
    cairo_scale(c, (p[2] - p[0]) / w, (p[3] - p[1]) / h);
    cairo_set_source_surface(c, surface, 0, 0);
    cairo_paint(c);
    cairo_restore(c);
    cairo_surface_destroy(surface);
    tap_image_clear(&image);
}

static void draw_mark(cairo_t *c, const tap_figure *f, const tap_mark *m)
{
    const double *p = tap_figure_points(f, m);
    const tap_look_style *style = tap_look_of(m->look);
    const uint32_t rgb = m->rgb == TAP_NO_RGB ? style->rgb : (uint32_t)m->rgb;
    double shape[2 * TAP_SHAPE_MAX];
    cairo_new_path(c);
    cairo_set_line_width(c, style->line_px);
    cairo_set_dash(c, style->dash_px, style->dash_px[0] > 0.0 ? 2 : 0, 0.0);
    set_rgb(c, rgb, m->alpha > 0.0 ? m->alpha : 1.0);
    switch (m->kind) {
    case TAP_MARK_LINE:
        trace(c, p, m->n_points);
        cairo_stroke(c);
        break;
    case TAP_MARK_AREA:
        trace(c, p, m->n_points);
        set_rgb(c, rgb, 0.16);
        cairo_fill(c);
        break;
    case TAP_MARK_RECT:
        cairo_rectangle(c, p[0], p[1], p[2] - p[0], p[3] - p[1]);
        cairo_fill(c);
        break;
    case TAP_MARK_ARROW:
        tap_arrow_shape(shape, p, m->size_px);
        trace(c, shape, 7);
        cairo_fill(c);
        break;
    case TAP_MARK_DOT: {
        const int n = tap_dot_shape(shape, m->look, m->size_px);
        for (int i = 0; i < n; i++)
            cairo_line_to(c, p[0] + shape[2 * i], p[1] + shape[2 * i + 1]);
        if (n == 0)
            cairo_arc(c, p[0], p[1], m->size_px, 0.0, 2.0 * 3.14159265358979323846);
        cairo_fill(c);
        break;
    }
    case TAP_MARK_TEXT:
        draw_text(c, f, m, p);
        break;
    case TAP_MARK_IMAGE:
        draw_image(c, tap_figure_text(f, m->text), p);
        break;
    }
}

/* Cairo's bytes on their way to the file. */
typedef struct sink {
    tap_file_out *file;
    tap_status status;
    tap_error *err;
} sink;

static cairo_status_t put_bytes(void *owner, const unsigned char *bytes, unsigned int n)
{
    sink *s = owner;
    if (s->status == TAP_OK)
        s->status = tap_file_put(s->file, bytes, n, s->err);
    return s->status == TAP_OK ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static cairo_surface_t *open_surface(sink *s, const tap_figure *f, tap_picture picture,
                                     double zoom)
{
    const double width = f->width * PT_PER_PX, height = f->height * PT_PER_PX;
    cairo_surface_t *surface = NULL;
    switch (picture) {
    case TAP_PICTURE_SVG:
        surface = cairo_svg_surface_create_for_stream(put_bytes, s, width, height);
        break;
    case TAP_PICTURE_PDF:
        surface = cairo_pdf_surface_create_for_stream(put_bytes, s, width, height);
        /* the same figure, the same bytes */
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE,
                                       "2000-01-01T00:00:00Z");
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_TITLE,
                                       tap_figure_text(f, f->title));
        break;
    case TAP_PICTURE_PNG:
        surface =
            cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(f->width * zoom),
                                       (int)ceil(f->height * zoom));
        break;
    }
    return surface;
}

tap_status tap_figure_write(const tap_figure *figure, const char *path,
                            tap_picture picture, double dpi, tap_error *err)
{
    const double zoom = picture == TAP_PICTURE_PNG ? dpi / 96.0 : PT_PER_PX;
    sink s = {.err = err};
    TAP_TRY(tap_file_create(&s.file, path, err));
    cairo_surface_t *surface = open_surface(&s, figure, picture, zoom);
    cairo_t *c = cairo_create(surface);
    cairo_scale(c, zoom, zoom);
    if (picture != TAP_PICTURE_SVG) {
        set_rgb(c, 0xFFFFFF, 1.0);
        cairo_paint(c);
    }
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    for (size_t i = 0; i < figure->n_marks; i++)
        draw_mark(c, figure, &figure->marks[i]);
    cairo_status_t drawn = cairo_status(c);
    if (drawn == CAIRO_STATUS_SUCCESS && picture == TAP_PICTURE_PNG)
        drawn = cairo_surface_write_to_png_stream(surface, put_bytes, &s);
    cairo_destroy(c);
    cairo_surface_finish(surface); /* SVG and PDF are written here */
    if (drawn == CAIRO_STATUS_SUCCESS)
        drawn = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    tap_status status = s.status;
    if (status == TAP_OK && drawn != CAIRO_STATUS_SUCCESS)
        status = TAP_FAIL(err, drawn == CAIRO_STATUS_NO_MEMORY ? TAP_ENOMEM : TAP_EIO,
                          "cannot draw the figure for '%s': %s", path,
                          cairo_status_to_string(drawn));
    if (status == TAP_OK)
        status = tap_file_commit(s.file, err);
    tap_file_close(s.file);
    return status;
}

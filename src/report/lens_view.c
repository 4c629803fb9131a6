#include "report/lens_view.h"

#include "base/file.h"
#include "image/preprocess.h"
#include "report/assets.h"
#include "report/escape.h"
#include "report/page.h"

#include <math.h>
#include <string.h>

enum { PANEL_PX = 300, GAP_PX = 14, HEAD_PX = 40, PHOTO_PX = 480, JPEG_QUALITY = 85 };

/* 0: there is none */
static double rank_at(const tap_lens_view *v, int condition, int state, int label,
                      int64_t patch)
{
    return (double)
        v->ranks[(((int64_t)condition * v->n_states + state) * v->n_labels + label) *
                     v->n_patches +
                 patch];
}

static double best_rank(const tap_lens_view *v, int condition, int state, int label)
{
    double best = 0.0;
    for (int64_t i = 0; i < v->n_patches; i++) {
        const double rank = rank_at(v, condition, state, label, i);
        if ((!v->in_part || v->in_part[i]) && rank > 0.0 &&
            (best <= 0.0 || rank < best))
            best = rank;
    }
    return best;
}

static double share_of(const tap_lens_view *v, double rank)
{
    return 1.0 - log2(rank) / log2(fmax(2.0, v->n_candidates));
}

/* *out = the photo as JPEG in base64, at most PHOTO_PX a side. */
static tap_status photo_text(tap_buffer *out, const tap_image *image, tap_error *err)
{
    tap_image small = {0};
    tap_buffer jpeg = {0};
    const int64_t side = image->width > image->height ? image->width : image->height;
    const double scale = side > PHOTO_PX ? (double)PHOTO_PX / (double)side : 1.0;
    tap_status status = tap_image_resize(
        &small, image, (int64_t)fmax(1.0, (double)image->width * scale),
        (int64_t)fmax(1.0, (double)image->height * scale), TAP_BILINEAR,
        TAP_ORDER_PILLOW_13, err);
    if (status == TAP_OK)
        status = tap_image_encode(&jpeg, &small, JPEG_QUALITY, err);
    if (status == TAP_OK)
        status = tap_page_base64(out, jpeg.text, jpeg.n_bytes, err);
    tap_buffer_clear(&jpeg);
    tap_image_clear(&small);
    return status;
}

/* One panel: the photo, each patch tinted, the part's patches framed. */
static void put_panel(tap_figure *f, const tap_lens_view *v, const char *photo, int c,
                      int state, int l, double left, double top, double zoom)
{
    const double width = zoom * (double)v->image->width;
    const double height = zoom * (double)v->image->height;
    (void)tap_figure_image(f, photo, left, top, left + width, top + height);
    for (int64_t i = 0; i < v->n_patches; i++) {
        const double *b = v->boxes + 4 * i, rank = rank_at(v, c, state, l, i);
        if (!(b[2] > b[0] && b[3] > b[1]))
            continue;
        tap_mark *m =
            tap_figure_rect(f, TAP_LOOK_PANEL, left + zoom * b[0], top + zoom * b[1],
                            left + zoom * b[2], top + zoom * b[3]);
        m->alpha = v->in_part && !v->in_part[i] ? 0.45 : 0.8;
        m->rgb = rank > 0.0 ? (int32_t)tap_heat_rgb(share_of(v, rank)) : TAP_NO_RGB;
        tap_mark_title(f, m, "rank %.6g", rank);
        tap_mark_data(f, m,
                      "data-k=\"patch\" data-c=\"%d\" data-l=\"%d\" data-i=\"%d\"", c,
                      l, (int)i);
    }
    for (int64_t i = 0; v->in_part && i < v->n_patches; i++) {
        const double *b = v->boxes + 4 * i;
        if (!v->in_part[i])
            continue;
        const double x0 = left + zoom * b[0], y0 = top + zoom * b[1];
        const double x1 = left + zoom * b[2], y1 = top + zoom * b[3];
        const double frame[] = {x0, y0, x1, y0, x1, y1, x0, y1, x0, y0};
        (void)tap_figure_line(f, TAP_LOOK_FRAME, frame, 5);
    }
}

tap_status tap_lens_figure(tap_figure *out, const tap_lens_view *view, int state,
                           tap_error *err)
{
    const tap_lens_view *v = view;
    tap_buffer photo = {0};
    const int64_t side =
        v->image->width > v->image->height ? v->image->width : v->image->height;
    const double zoom = (double)PANEL_PX / (double)side;
    const double height = zoom * (double)v->image->height;
    static const char *const columns[] = {"condition", "label", "state", "best rank"};
    TAP_TRY(photo_text(&photo, v->image, err));
    tap_figure_init(out, "lens", v->n_conditions * (PANEL_PX + GAP_PX) - GAP_PX,
                    v->n_labels * (height + HEAD_PX) + 8);
    tap_figure_columns(out, 4, columns);
    for (int l = 0; l < v->n_labels; l++)
        for (int c = 0; c < v->n_conditions; c++) {
            const double left = c * (PANEL_PX + GAP_PX);
            const double top = l * (height + HEAD_PX) + HEAD_PX;
            const double best = best_rank(v, c, state, l);
            const char *name = v->conditions[c][0] ? v->conditions[c] : "clean";
            put_panel(out, v, photo.text, c, state, l, left, top, zoom);
            tap_mark *m = tap_figure_label(out, TAP_LOOK_INK, left, top - 22, 13, -1,
                                           "%s, %.40s", v->labels[l], name);
            m->bold = true;
            m = tap_figure_label(out, TAP_LOOK_MUTED, left, top - 7, 12, -1,
                                 "%s %d: best rank %.6g of %.0f", v->state_name,
                                 v->states[state], best, v->n_candidates);
            tap_mark_data(out, m, "data-k=\"best\" data-c=\"%d\" data-l=\"%d\"", c, l);
            tap_figure_cell(out, "%s", name);
            tap_figure_cell(out, "%s", v->labels[l]);
            tap_figure_cell(out, "%d", v->states[state]);
            tap_figure_cell_real(out, best > 0.0 ? best : (double)NAN);
        }
    tap_figure_title(out, "Ranks at every patch, %s %d", v->state_name,
                     v->states[state]);
    tap_figure_describe(
        out,
        "Heat maps of ranks on a logarithmic scale, bright is rank 1, for "
        "%d words under %d conditions.",
        v->n_labels, v->n_conditions);
    tap_buffer_clear(&photo);
    return tap_figure_end(out, err);
}

/* ---- the page ---- */

static tap_status put(tap_buffer *out, const char *text, tap_error *err)
{
    return tap_buffer_put(out, text, strlen(text), err);
}

/* Best ranks: a row for each state, a column for each label under each condition. */
static tap_status put_table(tap_buffer *out, const tap_lens_view *v, tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err,
                             "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
                             "aria-label=\"Best ranks\"><table><thead><tr><th "
                             "scope=\"col\">%s</th>",
                             v->state_name));
    for (int c = 0; c < v->n_conditions; c++)
        for (int l = 0; l < v->n_labels; l++) {
            TAP_TRY(put(out, "<th class=\"num\" scope=\"col\">", err));
            TAP_TRY(tap_page_text(out, v->labels[l], err));
            TAP_TRY(put(out, ", ", err));
            TAP_TRY(tap_page_text(out, v->conditions[c][0] ? v->conditions[c] : "clean",
                                  err));
            TAP_TRY(put(out, "</th>", err));
        }
    TAP_TRY(put(out, "</tr></thead><tbody>\n", err));
    for (int d = 0; d < v->n_states; d++) {
        TAP_TRY(
            tap_buffer_print(out, err, "<tr><th scope=\"row\">%d</th>", v->states[d]));
        for (int c = 0; c < v->n_conditions; c++)
            for (int l = 0; l < v->n_labels; l++)
                TAP_TRY(tap_buffer_print(out, err, "<td class=\"num\">%.6g</td>",
                                         best_rank(v, c, d, l)));
        TAP_TRY(put(out, "</tr>\n", err));
    }
    return put(out, "</tbody></table></div>\n", err);
}

/* {"states", "N", "heat", "r": ranks as u32 of half ranks, base64} */
static tap_status put_data(tap_buffer *out, const tap_lens_view *v, tap_error *err)
{
    const int64_t n =
        (int64_t)v->n_conditions * v->n_states * v->n_labels * v->n_patches;
    uint8_t *codes = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&codes, (size_t)n, 4, "ranks", err));
    for (int64_t i = 0; i < n; i++) {
        const uint32_t code = (uint32_t)(2.0 * (double)v->ranks[i] + 0.5);
        for (int k = 0; k < 4; k++)
            codes[4 * i + k] = (uint8_t)(code >> 8 * k);
    }
    TAP_TRY_OUT(tap_buffer_print(
        out, err,
        "<script type=\"application/json\" id=\"data\">{\"N\":%.9g,\"conditions\":%d,"
        "\"labels\":%d,\"patches\":%lld,\"name\":\"%s\",\"states\":[",
        v->n_candidates, v->n_conditions, v->n_labels, (long long)v->n_patches,
        v->state_name));
    for (int d = 0; d < v->n_states; d++)
        TAP_TRY_OUT(tap_buffer_print(out, err, "%s%d", d ? "," : "", v->states[d]));
    TAP_TRY_OUT(put(out, "],\"part\":", err));
    for (int64_t i = 0; v->in_part && i < v->n_patches; i++)
        TAP_TRY_OUT(tap_buffer_print(out, err, "%c%d", i ? ',' : '[', v->in_part[i]));
    TAP_TRY_OUT(put(out, v->in_part ? "],\"heat\":[" : "null,\"heat\":[", err));
    for (int i = 0; i < TAP_HEAT_STOPS; i++)
        TAP_TRY_OUT(tap_buffer_print(out, err, "%s%u", i ? "," : "",
                                     (unsigned)tap_heat_stop(i)));
    TAP_TRY_OUT(put(out, "],\"r\":\"", err));
    TAP_TRY_OUT(tap_page_base64(out, codes, 4 * (size_t)n, err));
    TAP_TRY_OUT(put(out, "\"}</script>\n", err));
out:
    tap_free(codes);
    return status;
}

static tap_status put_body(tap_buffer *out, const tap_lens_view *v,
                           const tap_figure *figure, tap_error *err)
{
    TAP_TRY(
        put(out,
            "<header class=\"top\"><p class=\"over\">tapetum lens</p>\n<h1>What does "
            "each patch say?</h1>\n<p class=\"sub\">",
            err));
    TAP_TRY(tap_page_text(out, v->photo, err));
    TAP_TRY(put(out, ", read through ", err));
    TAP_TRY(tap_page_text(out, v->model, err));
    TAP_TRY(tap_buffer_print(
        out, err,
        ": the rank of a word among %.0f at each patch, on a logarithmic scale; bright is "
        "rank 1.%s</p></header>\n<main id=\"main\"><article class=\"study\">\n<figure "
        "data-figure=\"lens\"><div class=\"canvas\">\n",
        v->n_candidates,
        v->in_part ? " The part's patches are framed, and best ranks are over them."
                   : ""));
    TAP_TRY(tap_figure_svg(out, figure, "lens", "fig", err));
    TAP_TRY(put(out, "</div></figure>\n<h3>Best ranks</h3>\n", err));
    TAP_TRY(put_table(out, v, err));
    TAP_TRY(put_data(out, v, err));
    return put(out, "</article></main>\n", err);
}

tap_status tap_lens_page(const char *path, const tap_lens_view *view, tap_error *err)
{
    tap_figure figure = {0};
    tap_buffer body = {0};
    tap_status status = tap_lens_figure(&figure, view, view->n_states - 1, err);
    if (status == TAP_OK)
        status = put_body(&body, view, &figure, err);
    if (status == TAP_OK)
        status = tap_page_write(path, body.text, view->photo, NULL,
                                (const char *)tap_asset_lens_js, err);
    tap_buffer_clear(&body);
    tap_figure_clear(&figure);
    return status;
}

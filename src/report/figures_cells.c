/* The 2x2, the forest of categories, the controls. */
#include "report/figures_own.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_PARTS = 40 };

/* ---- the 2x2 ---- */

typedef struct box {
    double left, top, right, bottom;
} box;

/* Where the four cells stand in a picture of a width. */
static void place_cells(box cells[TAP_N_CELLS], double width, double *height)
{
    const bool narrow = width < 500.0;
    const double w = narrow ? (width - 64.0) / 2 : (width - 190.0) / 2;
    const double h = narrow ? 108.0 : 112.0, gap = narrow ? 126.0 : 116.0;
    const double x[2] = {1.0, width - w - 1.0}, y[2] = {46.0, 46.0 + h + gap};
    for (int c = 0; c < TAP_N_CELLS; c++) {
        const int column = c == TAP_S10 || c == TAP_S00;
        const int row = c == TAP_S01 || c == TAP_S00;
        cells[c] = (box){x[column], y[row], x[column] + w, y[row] + h};
    }
    *height = y[1] + h + 6.0;
}

static void put_cell(tap_figure *f, int c, const box *b, const tap_estimate *e,
                     const char *name, double bar_max)
{
    static const char *const titles[] = {"clean", "encoder cut", "decoder cut",
                                         "both cut"};
    static const char *const symbols[] = {"s11", "s01", "s10", "s00"};
    const bool narrow = b->right - b->left < 200.0;
    const tap_look look = (tap_look)(TAP_LOOK_S11 + c);
    (void)tap_figure_rect(f, TAP_LOOK_PANEL, b->left, b->top, b->right, b->bottom);
    (void)tap_figure_rect(f, look, b->left, b->top, b->left + 5.0, b->bottom);
    tap_mark *m = tap_figure_label(f, TAP_LOOK_INK, b->left + 16, b->top + 24, 14, -1,
                                   "%s", titles[c]);
    m->bold = true;
    tap_mark_title(f, m, "condition '%s'", name);
    if (!narrow)
        (void)tap_figure_label(f, TAP_LOOK_MUTED, b->right - 10, b->top + 24, 12, 1,
                               "%s", symbols[c]);
    m = tap_figure_label(f, TAP_LOOK_INK, b->left + 16, b->top + 60, 30, -1, "%.3f",
                         e->value);
    tap_mark_data(f, m, "data-k=\"value\" data-c=\"%d\" data-v=\"%.6g\"", c, e->value);
    m = narrow ? tap_figure_label(f, TAP_LOOK_MUTED, b->left + 16, b->top + 80, 12, -1,
                                  "[%.3f, %.3f]", e->low, e->high)
               : tap_figure_label(f, TAP_LOOK_MUTED, b->left + 108, b->top + 59, 13, -1,
                                  "[%.3f, %.3f]", e->low, e->high);
    tap_mark_data(f, m, "data-k=\"interval\" data-c=\"%d\"", c);
    const double y = b->bottom - 16.0, x0 = b->left + 16.0, x1 = b->right - 12.0;
    (void)tap_figure_rect(f, TAP_LOOK_GRID, x0, y - 3, x1, y + 3);
    const double share = fmin(fmax(e->value / bar_max, 0.0), 1.0);
    m = tap_figure_rect(f, look, x0, y - 3, x0 + share * (x1 - x0), y + 3);
    tap_mark_data(f, m, "data-k=\"bar\" data-c=\"%d\" data-width=\"%.6g\"", c, x1 - x0);
}

/* An arrow with its name and value beside it; anchor as in labels. */
static void put_effect(tap_figure *f, const char *key, tap_look look, double x0,
                       double y0, double x1, double y1, double label_x, double label_y,
                       int anchor, const char *name, const tap_estimate *e)
{
    const double width = 3.0 + 30.0 * fmin(fabs(e->value), 0.6);
    tap_mark *m = tap_figure_arrow(f, look, x0, y0, x1, y1, width);
    tap_mark_data(f, m, "data-k=\"arrow\" data-q=\"%s\"", key);
    m = tap_figure_label(f, TAP_LOOK_MUTED, label_x, label_y, 12, anchor, "%s", name);
    m = tap_figure_label(f, TAP_LOOK_INK, label_x, label_y + 17, 15, anchor, "%.3f",
                         e->value);
    m->bold = true;
    tap_mark_data(f, m, "data-k=\"effect\" data-q=\"%s\"", key);
    m = tap_figure_label(f, TAP_LOOK_MUTED, label_x, label_y + 33, 11, anchor,
                         "[%.2f, %.2f]", e->low, e->high);
    tap_mark_data(f, m, "data-k=\"effect-interval\" data-q=\"%s\"", key);
}

static tap_estimate difference(const tap_estimate *a, const tap_estimate *b)
{
    return (tap_estimate){
        .value = a->value - b->value, .low = (double)NAN, .high = (double)NAN};
}

static void put_ratio(tap_figure *f, const char *key, double x, double y, bool narrow,
                      const char *name, const tap_estimate *e)
{
    tap_mark *m = tap_figure_label(f, TAP_LOOK_MUTED, x, y, 12, 0, "%s", name);
    m = isfinite(e->value)
            ? tap_figure_label(f, TAP_LOOK_INK, x, y + 21, 20, 0, "%.2f", e->value)
            : tap_figure_label(f, TAP_LOOK_INK, x, y + 21, 20, 0, "NA");
    m->bold = true;
    tap_mark_data(f, m, "data-k=\"ratio\" data-q=\"%s\"", key);
    m = isfinite(e->low)
            ? tap_figure_label(f, TAP_LOOK_MUTED, x, y + 37, narrow ? 9.5 : 11, 0,
                               "[%.2f, %.2f]", e->low, e->high)
            : tap_figure_label(f, TAP_LOOK_MUTED, x, y + 37, narrow ? 9.5 : 11, 0, " ");
    tap_mark_data(f, m, "data-k=\"ratio-interval\" data-q=\"%s\"", key);
}

TAP_BUILDER(tap_build_cells)
{
    const tap_stats *st = study->stats;
    const double width = view->width_px > 0.0 ? view->width_px : 720.0;
    const bool narrow = width < 500.0;
    static const char *const columns[] = {"quantity", "value", "low", "high"};
    static const char *const symbols[] = {"s11", "s01", "s10", "s00"};
    if (!st->design) {
        *missing =
            "The experiment states no 2x2 design (key 'design'), so there are no "
            "four cells to compare.";
        return TAP_OK;
    }
    const tap_estimate *cells[TAP_N_CELLS], *q[TAP_N_QUANTITIES];
    double high = 0.0;
    for (int c = 0; c < TAP_N_CELLS; c++) {
        cells[c] = tap_stats_cell(st, view->average, view->metric, view->depth,
                                  study->data->design[c]);
        high = fmax(high, cells[c]->value);
    }
    for (int i = 0; i < TAP_N_QUANTITIES; i++)
        q[i] = tap_stats_quantity(st, view->average, view->metric, view->depth,
                                  (tap_quantity)i);
    box b[TAP_N_CELLS];
    double height = 0.0;
    place_cells(b, width, &height);
    tap_figure_init(out, "cells", width, height);
    const double middle = width / 2;
    const double low_y = (b[TAP_S01].top + b[TAP_S01].bottom) / 2;
    const double high_y = (b[TAP_S11].top + b[TAP_S11].bottom) / 2;
    (void)tap_figure_label(out, TAP_LOOK_MUTED, b[TAP_S11].left, 18, 13, -1,
                           "decoder intact");
    (void)tap_figure_label(out, TAP_LOOK_MUTED, b[TAP_S10].left, 18, 13, -1,
                           "decoder cut");
    (void)tap_figure_label(out, TAP_LOOK_MUTED, b[TAP_S11].left, 38, 12, -1,
                           "encoder intact");
    (void)tap_figure_label(out, TAP_LOOK_MUTED, b[TAP_S01].left, b[TAP_S01].top - 8, 12,
                           -1, "encoder cut");
    const double bar_max = st->metrics[view->metric] == TAP_METRIC_MEDIAN ? high : 1.0;
    for (int c = 0; c < TAP_N_CELLS; c++)
        put_cell(out, c, &b[c], cells[c],
                 study->data->conditions[study->data->design[c]], bar_max);
    const double left_x = (narrow ? b[TAP_S11].left + 24 : b[TAP_S11].left + 110 + 16);
    const double right_x = narrow ? b[TAP_S10].right - 24 : b[TAP_S10].right - 110 - 16;
    const double y0 = b[TAP_S11].bottom + 6, y1 = b[TAP_S01].top - 6;
    const double label_y = (y0 + y1) / 2 - 14;
    put_effect(out, "d1", TAP_LOOK_LOSS, left_x, y0, left_x, y1 - (narrow ? 16 : 0),
               left_x + 16, label_y - (narrow ? 8 : 0), -1, "d1, damage", q[TAP_Q_D1]);
    put_effect(out, "d0", TAP_LOOK_LOSS, right_x, y0, right_x, y1 - (narrow ? 16 : 0),
               right_x - 16, label_y - (narrow ? 8 : 0), 1, "d0, damage", q[TAP_Q_D0]);
    put_ratio(out, "CI", middle, label_y - (narrow ? 36 : 4), narrow,
              narrow ? "CI" : "CI, compensated", q[TAP_Q_CI]);
    const tap_estimate cost = difference(cells[TAP_S11], cells[TAP_S10]);
    const tap_estimate back = difference(cells[TAP_S01], cells[TAP_S00]);
    const double gap0 = b[TAP_S11].right + 6, gap1 = b[TAP_S10].left - 6;
    tap_mark *m = tap_figure_arrow(out, TAP_LOOK_LOSS, gap0, high_y, gap1, high_y,
                                   3.0 + 30.0 * fmin(fabs(cost.value), 0.6));
    tap_mark_data(out, m, "data-k=\"arrow\" data-q=\"cost\"");
    m = tap_figure_label(out, TAP_LOOK_INK, middle, high_y - 16, 15, 0, "%.3f",
                         cost.value);
    m->bold = true;
    tap_mark_data(out, m, "data-k=\"effect\" data-q=\"cost\"");
    if (!narrow)
        (void)tap_figure_label(out, TAP_LOOK_MUTED, middle, high_y - 34, 12, 0,
                               "decoder cut costs");
    m = tap_figure_arrow(out, TAP_LOOK_GAIN, gap1, low_y, gap0, low_y,
                         3.0 + 30.0 * fmin(fabs(back.value), 0.6));
    tap_mark_data(out, m, "data-k=\"arrow\" data-q=\"back\"");
    m = tap_figure_label(out, TAP_LOOK_INK, middle, low_y - 16, 15, 0, "%.3f",
                         back.value);
    m->bold = true;
    tap_mark_data(out, m, "data-k=\"effect\" data-q=\"back\"");
    if (!narrow)
        (void)tap_figure_label(out, TAP_LOOK_MUTED, middle, low_y - 34, 12, 0,
                               "decoder restores");
    put_ratio(out, "R", middle, low_y + 22, narrow, narrow ? "R" : "R, share restored",
              q[TAP_Q_R]);
    tap_figure_columns(out, 4, columns);
    for (int i = 0; i < TAP_N_CELLS + TAP_N_QUANTITIES; i++) {
        const tap_estimate *e = i < TAP_N_CELLS ? cells[i] : q[i - TAP_N_CELLS];
        tap_figure_cell(out, "%s",
                        i < TAP_N_CELLS
                            ? symbols[i]
                            : tap_quantity_name((tap_quantity)(i - TAP_N_CELLS)));
        tap_figure_cell_real(out, e->value);
        tap_figure_cell_real(out, e->low);
        tap_figure_cell_real(out, e->high);
    }
    tap_figure_title(out, "The 2x2 at depth %d", study->data->depths[view->depth]);
    tap_figure_describe(
        out,
        "Score clean %.3f, encoder cut %.3f, decoder cut %.3f, both cut %.3f. The encoder "
        "cut costs %.3f with the decoder intact and %.3f without it.",
        cells[TAP_S11]->value, cells[TAP_S01]->value, cells[TAP_S10]->value,
        cells[TAP_S00]->value, q[TAP_Q_D1]->value, q[TAP_Q_D0]->value);
    return tap_figure_end(out, err);
}

/* ---- forests ---- */

static void put_scale(tap_figure *f, const tap_plot *plot, const char *title, int n)
{
    double step = 1.0;
    for (double x = tap_ticks(plot->x_min, plot->x_max, n, &step);
         x <= plot->x_max + 1e-9; x += step) {
        const bool zero = fabs(x) < 1e-9;
        (void)tap_figure_segment(f, zero ? TAP_LOOK_MUTED : TAP_LOOK_GRID,
                                 tap_plot_x(plot, x), plot->top, tap_plot_x(plot, x),
                                 plot->bottom);
        (void)tap_figure_label(f, TAP_LOOK_MUTED, tap_plot_x(plot, x),
                               plot->bottom + 16, 12, 0, "%.6g", zero ? 0.0 : x);
    }
    (void)tap_figure_label(f, TAP_LOOK_MUTED, plot->right, plot->bottom + 34, 12, 1,
                           "%s", title);
}

/* At most `n` bytes of a name, whole characters, "..." when it is longer. */
static void short_name(char out[64], const char *name, size_t n)
{
    size_t length = strlen(name);
    if (length <= n) {
        (void)snprintf(out, 64, "%s", name);
        return;
    }
    length = n - 1;
    while (length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80)
        length--;
    (void)snprintf(out, 64, "%.*s\u2026", (int)length, name);
}

/* Which parts are shown: those with most items. least: items of the smallest shown. */
static int64_t least_items(const tap_study *s)
{
    int64_t least = 0;
    for (int64_t cut = 1; cut < s->data->n_items; cut++) {
        int n = 0;
        for (int32_t k = 0; k < s->n_parts; k++)
            n += s->parts[k].n_items >= cut;
        if (n <= SHOWN_PARTS)
            return cut;
        least = cut;
    }
    return least;
}

TAP_BUILDER(tap_build_parts)
{
    const double width = view->width_px > 0.0 ? view->width_px : 720.0;
    const bool narrow = width < 500.0;
    static const char *const columns[] = {
        "object:part", "images",  "parts", "d0",  "d0 low", "d0 high", "d1",
        "d1 low",      "d1 high", "s11",   "s01", "s10",    "s00"};
    const tap_legend_entry entries[] = {
        {TAP_LOOK_S10, "d0, damage of the encoder cut, decoder cut too"},
        {TAP_LOOK_S01, "d1, the same with the decoder's help"}};
    if (study->n_parts == 0) {
        *missing =
            "The experiment states no 2x2 design (key 'design'), so damage by part "
            "is not defined.";
        return TAP_OK;
    }
    const int64_t least = study->n_parts > SHOWN_PARTS ? least_items(study) : 0;
    double low = 0.0, high = 0.0;
    int n_shown = 0;
    for (int32_t k = 0; k < study->n_parts; k++) {
        if (study->parts[k].n_items < least)
            continue;
        n_shown++;
        for (int32_t d = 0; d < study->data->n_depths; d++) {
            const tap_estimate *e =
                study->parts[k].values + (int64_t)d * TAP_N_PART_VALUES;
            tap_range_add(&low, &high, &e[TAP_PART_D0]);
            tap_range_add(&low, &high, &e[TAP_PART_D1]);
        }
    }
    tap_range_pad(&low, &high, -1.0, 1.0);
    tap_figure_init(out, "parts", width, 0.0);
    const double top =
        10.0 + tap_figure_legend(out, entries, 2, 8.0, 10.0, width - 16.0) + 22.0;
    const double row_px = 24.0;
    out->height = top + n_shown * row_px + 44.0;
    const tap_plot plot = {.left = narrow ? 112.0 : 168.0,
                           .top = top,
                           .right = width - (narrow ? 40.0 : 64.0),
                           .bottom = top + n_shown * row_px,
                           .x_min = low,
                           .x_max = high,
                           .y_min = 0.0,
                           .y_max = 1.0};
    (void)tap_figure_plot(out, &plot);
    put_scale(out, &plot, "damage in S (right: worse)", narrow ? 4 : 8);
    (void)tap_figure_label(out, TAP_LOOK_MUTED, width - 4, top - 8, 12, 1, "parts");
    tap_figure_columns(out, 13, columns);
    double y = top + row_px / 2;
    for (int32_t k = 0; k < study->n_parts; k++) {
        const tap_study_part *part = &study->parts[k];
        const tap_estimate *e = part->values + (int64_t)view->depth * TAP_N_PART_VALUES;
        const char *name = study->data->categories[part->category];
        tap_figure_cell(out, "%s", name);
        tap_figure_cell(out, "%lld", (long long)part->n_images);
        tap_figure_cell(out, "%lld", (long long)part->n_items);
        for (int v = TAP_PART_D0; v <= TAP_PART_D1; v++) {
            tap_figure_cell_real(out, e[v].value);
            tap_figure_cell_real(out, e[v].low);
            tap_figure_cell_real(out, e[v].high);
        }
        for (int c = 0; c < TAP_N_CELLS; c++)
            tap_figure_cell_real(out, e[c].value);
        if (part->n_items < least)
            continue;
        char shown[64], key[64];
        short_name(shown, name, narrow ? 15 : 24);
        tap_mark *label = tap_figure_label(out, TAP_LOOK_INK, plot.left - 10, y + 4, 12,
                                           1, "%s", shown);
        tap_mark_title(out, label, "%s: %lld parts in %lld images", name,
                       (long long)part->n_items, (long long)part->n_images);
        (void)snprintf(key, sizeof key, "data-k=\"d0\" data-p=\"%d\"", (int)k);
        tap_figure_interval(out, &plot, TAP_LOOK_S10, &e[TAP_PART_D0], y - 4.5, key,
                            name);
        (void)snprintf(key, sizeof key, "data-k=\"d1\" data-p=\"%d\"", (int)k);
        tap_figure_interval(out, &plot, TAP_LOOK_S01, &e[TAP_PART_D1], y + 4.5, key,
                            name);
        (void)tap_figure_label(out, TAP_LOOK_MUTED, width - 4, y + 4, 12, 1, "%lld",
                               (long long)part->n_items);
        y += row_px;
    }
    tap_figure_title(out, "Damage by part, depth %d", study->data->depths[view->depth]);
    tap_figure_describe(out,
                        "Damage of the encoder cut without and with the decoder for %d "
                        "categories with %g%% intervals, by compensation.",
                        n_shown, 100.0 * study->stats->level);
    return tap_figure_end(out, err);
}

TAP_BUILDER(tap_build_controls)
{
    const double width = view->width_px > 0.0 ? view->width_px : 720.0;
    const bool narrow = width < 500.0;
    static const char *const columns[] = {"control",     "condition", "parts",
                                          "S",           "low",       "high",
                                          "own patches", "own low",   "own high"};
    const tap_legend_entry entries[] = {{TAP_LOOK_S01, "the part itself"},
                                        {TAP_LOOK_NULL, "the control"}};
    double low = INFINITY, high = -INFINITY;
    if (study->n_controls == 0) {
        *missing =
            "This database holds no controls: the experiment lists none (key "
            "'controls'), or it was made by a version that did not compute them.";
        return TAP_OK;
    }
    for (int32_t k = 0; k < study->n_controls; k++)
        for (int32_t d = 0; d < study->data->n_depths; d++) {
            tap_range_add(&low, &high, &study->controls[k].values[d]);
            tap_range_add(&low, &high, &study->controls[k].own[d]);
        }
    tap_range_pad(&low, &high, 0.0, 1.0);
    tap_figure_init(out, "controls", width, 0.0);
    const double row_px = narrow ? 40.0 : 24.0;
    const double top =
        10.0 + tap_figure_legend(out, entries, 2, 8.0, 10.0, width - 16.0) + 14.0;
    out->height = top + study->n_controls * row_px + 44.0;
    const tap_plot plot = {.left = narrow ? 12.0 : 250.0,
                           .top = top,
                           .right = width - 16.0,
                           .bottom = top + study->n_controls * row_px,
                           .x_min = low,
                           .x_max = high,
                           .y_min = 0.0,
                           .y_max = 1.0};
    (void)tap_figure_plot(out, &plot);
    put_scale(out, &plot, "S, macro average (right: better)", narrow ? 4 : 8);
    tap_figure_columns(out, 9, columns);
    for (int32_t k = 0; k < study->n_controls; k++) {
        const tap_study_control *c = &study->controls[k];
        const tap_estimate *e = &c->values[view->depth], *own = &c->own[view->depth];
        const double y = top + k * row_px + (narrow ? 28.0 : 12.0);
        char name[160], key[64], words[64];
        (void)snprintf(words, sizeof words, "%s", tap_control_name(c->control));
        for (char *at = words; *at; at++)
            *at = *at == '_' ? ' ' : *at;
        (void)snprintf(name, sizeof name, "%s, %s", words,
                       tap_study_condition(study, c->condition));
        (void)tap_figure_label(out, TAP_LOOK_INK, narrow ? 12.0 : plot.left - 10,
                               narrow ? y - 12 : y + 4, 12, narrow ? -1 : 1, "%s",
                               name);
        (void)snprintf(key, sizeof key, "data-k=\"control\" data-p=\"%d\"", (int)k);
        tap_figure_interval(out, &plot, TAP_LOOK_NULL, e, y + 3, key, name);
        (void)snprintf(key, sizeof key, "data-k=\"own\" data-p=\"%d\"", (int)k);
        tap_figure_interval(out, &plot, TAP_LOOK_S01, own, y - 3, key, name);
        tap_figure_cell(out, "%s", tap_control_name(c->control));
        tap_figure_cell(out, "%s", study->data->conditions[c->condition]);
        tap_figure_cell(out, "%lld", (long long)c->n_items);
        const tap_estimate *both[] = {e, own};
        for (int i = 0; i < 2; i++) {
            tap_figure_cell_real(out, both[i]->value);
            tap_figure_cell_real(out, both[i]->low);
            tap_figure_cell_real(out, both[i]->high);
        }
    }
    tap_figure_title(out, "Controls, depth %d", study->data->depths[view->depth]);
    tap_figure_describe(out,
                        "Score of %d controls beside that of the parts themselves.",
                        study->n_controls);
    return tap_figure_end(out, err);
}

#include "report/figures_own.h"

#include "base/suggest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const tap_figure_kind tap_figures[] = {
    {"cells", "The four cells", "the 2x2 with damage and recovery as arrows",
     tap_build_cells, true},
    {"depth", "Depth by depth", "scores of all conditions by depth, with bands",
     tap_build_depth, false},
    {"recovery", "Recovery and compensation", "R, R_V and CI by depth",
     tap_build_recovery, false},
    {"effects", "Damage and interaction",
     "d0, d1 and I by depth, in units of the score", tap_build_effects, false},
    {"doses", "Graded cuts", "scores against the dose of graded conditions",
     tap_build_doses, true},
    {"parts", "Part by part", "damage with and without the decoder, by category",
     tap_build_parts, true},
    {"controls", "Controls and nulls", "the same parts read elsewhere",
     tap_build_controls, true},
    {NULL, NULL, NULL, NULL, false}};

tap_status tap_figure_find(const tap_figure_kind **out, const char *name,
                           tap_error *err)
{
    const char *known[sizeof tap_figures / sizeof *tap_figures];
    size_t n = 0;
    for (; tap_figures[n].name; n++) {
        known[n] = tap_figures[n].name;
        if (strcmp(known[n], name) == 0) {
            *out = &tap_figures[n];
            return TAP_OK;
        }
    }
    const char *near = tap_suggest(name, known, n);
    return TAP_FAIL(err, TAP_EINVAL,
                    "there is no figure '%s'%s%s%s; the figures are cells, depth, "
                    "recovery, effects, doses, parts and controls",
                    name, near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
}

tap_figure_view tap_figure_view_of(const tap_study *study)
{
    return (tap_figure_view){
        .average = TAP_MACRO,
        .metric = tap_stats_find_metric(study->stats, TAP_METRIC_LOG_RANK),
        .depth = study->data->depth};
}

const char *tap_metric_title(tap_metric metric)
{
    switch (metric) {
    case TAP_METRIC_LOG_RANK:
        return "S, 1 \u2212 log rank / log N";
    case TAP_METRIC_MRR:
        return "mean reciprocal rank";
    case TAP_METRIC_HIT1:
        return "share of parts with rank 1";
    case TAP_METRIC_HIT5:
        return "share of parts with rank 5 or better";
    case TAP_METRIC_HIT10:
        return "share of parts with rank 10 or better";
    case TAP_METRIC_HIT100:
        return "share of parts with rank 100 or better";
    case TAP_METRIC_MEDIAN:
    case TAP_N_METRICS:
        break;
    }
    return "median rank (lower is better)";
}

void tap_range_add(double *low, double *high, const tap_estimate *e)
{
    if (!isfinite(e->value))
        return;
    *low = fmin(*low, isfinite(e->low) ? fmin(e->low, e->value) : e->value);
    *high = fmax(*high, isfinite(e->high) ? fmax(e->high, e->value) : e->value);
}

void tap_range_pad(double *low, double *high, double floor, double ceiling)
{
    if (!(*high >= *low)) { /* nothing was added */
        *low = 0.0;
        *high = 1.0;
    }
    const double air = fmax(0.06 * (*high - *low), 0.01);
    *low = fmax(*low - air, floor);
    *high = fmin(*high + air, ceiling);
    if (!(*high > *low))
        *high = *low + 1.0;
}

void tap_estimate_text(char text[96], const tap_estimate *e)
{
    if (!isfinite(e->value))
        (void)snprintf(text, 96, "NA: %s", e->na ? e->na : "no value");
    else if (isfinite(e->low))
        (void)snprintf(text, 96, "%.3f [%.3f, %.3f]", e->value, e->low, e->high);
    else
        (void)snprintf(text, 96, "%.3f", e->value);
}

/* Characters, not bytes, of UTF-8. */
static int n_characters(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

double tap_figure_legend(tap_figure *figure, const tap_legend_entry *entries, int n,
                         double left, double top, double width)
{
    double x = left, y = top;
    for (int i = 0; i < n; i++) {
        const double wide = 40.0 + 7.0 * n_characters(entries[i].name);
        if (x > left && x + wide > left + width) {
            x = left;
            y += 20.0;
        }
        (void)tap_figure_segment(figure, entries[i].look, x, y, x + 24.0, y);
        (void)tap_figure_dot(figure, entries[i].look, x + 12.0, y, 4.0);
        (void)tap_figure_label(figure, TAP_LOOK_INK, x + 30.0, y + 4.0, 12.0, -1, "%s",
                               entries[i].name);
        x += wide;
    }
    return y - top + 20.0;
}

void tap_figure_interval(tap_figure *figure, const tap_plot *plot, tap_look look,
                         const tap_estimate *e, double y, const char *key,
                         const char *name)
{
    char text[96];
    if (!isfinite(e->value))
        return;
    tap_estimate_text(text, e);
    if (isfinite(e->low)) {
        tap_mark *line = tap_figure_segment(figure, look, tap_plot_x(plot, e->low), y,
                                            tap_plot_x(plot, e->high), y);
        tap_mark_data(figure, line, "%s", key);
    }
    tap_mark *dot = tap_figure_dot(figure, look, tap_plot_x(plot, e->value), y, 4.0);
    tap_mark_title(figure, dot, "%s: %s", name, text);
    tap_mark_data(figure, dot, "%s data-v=\"%.6g\"", key, e->value);
}

static double inside(const tap_plot *plot, double y)
{
    return fmin(fmax(tap_plot_y(plot, y), plot->top), plot->bottom);
}

/* One stretch of points that have values. */
static void put_run(tap_figure *figure, const tap_plot *plot, const tap_series *s,
                    int first, int last)
{
    double *xy = NULL;
    const int n = last - first;
    if (figure->status == TAP_OK)
        figure->status =
            tap_alloc(&xy, 4 * (size_t)n, sizeof *xy, "a curve", &figure->error);
    if (figure->status != TAP_OK)
        return;
    bool band = n > 1;
    for (int i = 0; i < n; i++) {
        const tap_estimate *e = s->at[first + i];
        const double x = tap_plot_x(plot, s->x[first + i]);
        band = band && isfinite(e->low);
        xy[2 * i] = xy[2 * (2 * n - 1 - i)] = x;
        xy[2 * i + 1] = inside(plot, e->high);
        xy[2 * (2 * n - 1 - i) + 1] = inside(plot, e->low);
    }
    if (band) {
        tap_mark *mark = tap_figure_area(figure, s->look, xy, 2 * n);
        tap_mark_data(figure, mark, "data-k=\"band\" data-c=\"%d\"", s->key);
    }
    for (int i = 0; i < n; i++)
        xy[2 * i + 1] = inside(plot, s->at[first + i]->value);
    if (n > 1) {
        tap_mark *mark = tap_figure_line(figure, s->look, xy, n);
        tap_mark_data(figure, mark, "data-k=\"line\" data-c=\"%d\"", s->key);
    }
    tap_free(xy);
}

void tap_figure_series(tap_figure *figure, const tap_plot *plot,
                       const tap_series *series, const char *x_name)
{
    const tap_series *s = series;
    for (int i = 0, first = 0; i <= s->n; i++)
        if (i == s->n || !isfinite(s->at[i]->value)) {
            if (i > first)
                put_run(figure, plot, s, first, i);
            first = i + 1;
        }
    for (int i = 0; i < s->n; i++) {
        const tap_estimate *e = s->at[i];
        char text[96];
        if (!isfinite(e->value))
            continue;
        tap_estimate_text(text, e);
        tap_mark *dot = tap_figure_dot(figure, s->look, tap_plot_x(plot, s->x[i]),
                                       inside(plot, e->value), s->n > 20 ? 3.0 : 4.0);
        tap_mark_title(figure, dot, "%s, %s %.6g: %s", s->name, x_name, s->x[i], text);
        tap_mark_data(figure, dot,
                      "data-k=\"dot\" data-c=\"%d\" data-x=\"%.6g\" data-v=\"%.6g\"",
                      s->key, s->x[i], e->value);
    }
}

/* Curves over depth or dose. */
#include "report/figures_own.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SERIES = 64 };

static double width_of(const tap_figure_view *view)
{
    return view->width_px > 0.0 ? view->width_px : 720.0;
}

/* What a curve figure shows: series over the same x. */
typedef struct curves {
    int n_series, n;
    tap_look looks[MAX_SERIES];
    int keys[MAX_SERIES]; /* data-c */
    const char *names[MAX_SERIES];
    const char *columns[MAX_SERIES]; /* in the table of numbers */
    double *x;                       /* [n] */
    const tap_estimate **at;         /* [n_series][n] */
} curves;

static void clear_curves(curves *c)
{
    tap_free(c->x);
    tap_free(c->at);
}

static tap_status init_depths(curves *c, const tap_study *s, int n_series,
                              tap_error *err)
{
    const tap_stats_data *d = s->data;
    *c = (curves){.n_series = n_series, .n = d->n_depths};
    TAP_TRY(tap_alloc(&c->x, (size_t)c->n, sizeof *c->x, "a figure", err));
    for (int32_t i = 0; i < d->n_depths; i++)
        c->x[i] = d->depths[i];
    return tap_alloc(&c->at, (size_t)(n_series * c->n), sizeof(tap_estimate *),
                     "a figure", err);
}

static void range_of(double *low, double *high, const curves *c)
{
    for (int i = 0; i < c->n_series * c->n; i++)
        tap_range_add(low, high, c->at[i]);
}

static void put_legend(tap_figure *f, const curves *c, double left, double width,
                       double *top)
{
    tap_legend_entry entries[MAX_SERIES];
    for (int i = 0; i < c->n_series; i++)
        entries[i] = (tap_legend_entry){c->looks[i], c->names[i]};
    *top = 10.0;
    *top += tap_figure_legend(f, entries, c->n_series, left, *top, width);
}

static void put_series(tap_figure *f, const tap_plot *plot, const curves *c,
                       const char *x_name)
{
    for (int i = c->n_series; i-- > 0;) {
        const tap_series series = {.look = c->looks[i],
                                   .name = c->names[i],
                                   .key = c->keys[i],
                                   .x = c->x,
                                   .at = c->at + (int64_t)i * c->n,
                                   .n = c->n};
        tap_figure_series(f, plot, &series, x_name);
    }
}

static void put_table(tap_figure *f, const curves *c, const char *x_name)
{
    char names[3 * MAX_SERIES][96];
    const char *columns[3 * MAX_SERIES + 1] = {x_name};
    static const char *const suffix[] = {"", " low", " high"};
    for (int i = 0; i < 3 * c->n_series; i++) {
        (void)snprintf(names[i], sizeof names[i], "%s%s", c->columns[i / 3],
                       suffix[i % 3]);
        columns[i + 1] = names[i];
    }
    tap_figure_columns(f, 3 * c->n_series + 1, columns);
    for (int k = 0; k < c->n; k++) {
        tap_figure_cell(f, "%.6g", c->x[k]);
        for (int i = 0; i < c->n_series; i++) {
            const tap_estimate *e = c->at[i * c->n + k];
            tap_figure_cell_real(f, e->value);
            tap_figure_cell_real(f, e->low);
            tap_figure_cell_real(f, e->high);
        }
    }
}

static void put_cursor(tap_figure *f, const tap_plot *plot, double x)
{
    tap_mark *mark =
        tap_figure_segment(f, TAP_LOOK_CURSOR, tap_plot_x(plot, x), plot->top - 4,
                           tap_plot_x(plot, x), plot->bottom);
    tap_mark_data(f, mark, "data-k=\"cursor\"");
}

/* Ranks beside S: S = 1 - log r / log N, so a scale of S is a logarithmic scale of r. */
static void put_rank_axis(tap_figure *f, const tap_plot *plot, double n)
{
    for (double rank = 1.0; rank <= n; rank *= 10.0) {
        const double s = 1.0 - log(rank) / log(n), at = tap_plot_y(plot, s);
        if (s < plot->y_min - 1e-9 || s > plot->y_max + 1e-9)
            continue;
        tap_mark *mark =
            tap_figure_segment(f, TAP_LOOK_MUTED, plot->right, at, plot->right + 4, at);
        tap_mark_data(f, mark, "data-axis=\"rank\"");
        mark = tap_figure_label(f, TAP_LOOK_MUTED, plot->right + 8, at + 4, 12, -1,
                                "%.6g", rank);
        tap_mark_data(f, mark, "data-axis=\"rank\"");
    }
    tap_mark *mark = tap_figure_label(f, TAP_LOOK_MUTED, plot->right + 44,
                                      plot->top - 12, 12, 1, "rank, log scale");
    tap_mark_data(f, mark, "data-axis=\"rank\"");
}

static tap_status put_null(tap_figure *f, const tap_plot *plot, const tap_study *s,
                           const curves *c, tap_error *err)
{
    double *xy = NULL;
    const int n = c->n;
    TAP_TRY(tap_alloc(&xy, 4 * (size_t)n, sizeof *xy, "a band", err));
    bool whole = true;
    for (int i = 0; i < n; i++) {
        whole = whole && isfinite(s->null[i].value);
        xy[2 * i] = xy[2 * (2 * n - 1 - i)] = tap_plot_x(plot, c->x[i]);
        xy[2 * i + 1] = tap_plot_y(plot, s->null[i].high);
        xy[2 * (2 * n - 1 - i) + 1] = tap_plot_y(plot, s->null[i].low);
    }
    if (whole && n > 1) {
        tap_mark *band = tap_figure_area(f, TAP_LOOK_NULL, xy, 2 * n);
        tap_mark_data(f, band, "data-k=\"null\"");
        for (int i = 0; i < n; i++)
            xy[2 * i + 1] = tap_plot_y(plot, s->null[i].value);
        tap_mark *line = tap_figure_line(f, TAP_LOOK_NULL, xy, n);
        tap_mark_data(f, line, "data-k=\"null\"");
        tap_mark_title(f, line, "random patches of the same number, clean");
    }
    tap_free(xy);
    return TAP_OK;
}

TAP_BUILDER(tap_build_depth)
{
    const tap_stats *st = study->stats;
    const tap_stats_data *d = study->data;
    const tap_metric metric = st->metrics[view->metric];
    const bool log_rank = metric == TAP_METRIC_LOG_RANK;
    const bool null = log_rank && view->average == TAP_MACRO && study->null;
    const double width = width_of(view), right = log_rank ? 52.0 : 16.0;
    curves c;
    double low = INFINITY, high = -INFINITY, top = 0.0;
    tap_status status = TAP_OK;
    (void)missing;
    int32_t shown[TAP_MAX_CONDITIONS], n_series = 0;
    tap_study_curves(shown, &n_series, study);
    n_series = n_series < MAX_SERIES ? n_series : MAX_SERIES;
    TAP_TRY_OUT(init_depths(&c, study, n_series, err));
    for (int i = 0; i < n_series; i++) {
        c.keys[i] = shown[i];
        c.looks[i] = (tap_look)tap_study_look(study, shown[i]);
        c.names[i] = tap_study_condition(study, shown[i]);
        c.columns[i] = d->conditions[shown[i]];
        for (int k = 0; k < c.n; k++)
            c.at[i * c.n + k] =
                tap_stats_cell(st, view->average, view->metric, k, shown[i]);
    }
    range_of(&low, &high, &c);
    for (int k = 0; null && k < c.n; k++)
        tap_range_add(&low, &high, &study->null[k]);
    const bool rank = metric == TAP_METRIC_MEDIAN;
    tap_range_pad(&low, &high, rank ? 1.0 : 0.0, rank ? d->n_candidates : 1.0);
    tap_figure_init(out, "depth", width, 400.0);
    put_legend(out, &c, 52.0, width - 68.0, &top);
    out->height = 400.0 + top - 30.0;
    const tap_plot plot = {.left = 52.0,
                           .top = top + 24.0,
                           .right = width - right,
                           .bottom = out->height - 44.0,
                           .x_min = c.x[0],
                           .x_max = c.n > 1 ? c.x[c.n - 1] : c.x[0] + 1.0,
                           .y_min = low,
                           .y_max = high};
    (void)tap_figure_plot(out, &plot);
    tap_figure_axes(out, &plot, tap_stats_data_depth_title(d), tap_metric_title(metric),
                    width > 500 ? 12 : 6);
    if (log_rank &&
        d->candidates != TAP_CANDIDATES_OWN_PARTS) /* else each has its own */
        put_rank_axis(out, &plot, d->n_candidates);
    if (null)
        TAP_TRY_OUT(put_null(out, &plot, study, &c, err));
    put_cursor(out, &plot, c.x[view->depth]);
    put_series(out, &plot, &c, "depth");
    put_table(out, &c, "depth");
    tap_figure_title(out, "Scores by depth");
    tap_figure_describe(out,
                        "%s, %s average, of %d conditions at %d depths with %g%% "
                        "intervals; the numbers are in the table below the figure.",
                        tap_metric_title(metric), tap_average_name(view->average),
                        n_series, c.n, 100.0 * st->level);
    status = tap_figure_end(out, err);
out:
    clear_curves(&c);
    return status;
}

/* R, R_V and CI, or d0, d1 and I. */
static tap_status build_quantities(tap_figure *out, const tap_study *study,
                                   const tap_figure_view *view, bool ratios,
                                   tap_error *err)
{
    static const tap_quantity which[2][3] = {{TAP_Q_D0, TAP_Q_D1, TAP_Q_I},
                                             {TAP_Q_R, TAP_Q_RV, TAP_Q_CI}};
    static const char *const names[2][3] = {
        {"d0, damage without the decoder", "d1, damage with it", "I, interaction"},
        {"R, decoder alone restores", "R_V, encoder alone", "CI, compensation"}};
    static const tap_look looks[2][3] = {
        {TAP_LOOK_S10, TAP_LOOK_S01, TAP_LOOK_OTHER_A},
        {TAP_LOOK_S01, TAP_LOOK_OTHER_B, TAP_LOOK_OTHER_A}};
    const double width = width_of(view);
    curves c;
    double low = 0.0, high = ratios ? 1.0 : 0.0, top = 0.0;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(init_depths(&c, study, 3, err));
    for (int i = 0; i < 3; i++) {
        c.keys[i] = i;
        c.looks[i] = looks[ratios][i];
        c.names[i] = names[ratios][i];
        c.columns[i] = tap_quantity_name(which[ratios][i]);
        for (int k = 0; k < c.n; k++)
            c.at[i * c.n + k] = tap_stats_quantity(study->stats, view->average,
                                                   view->metric, k, which[ratios][i]);
    }
    range_of(&low, &high, &c);
    if (ratios) /* wide intervals are cut at the frame, and the caption says so */
        tap_range_pad(&low, &high, -0.5, 1.5);
    else
        tap_range_pad(&low, &high, -INFINITY, INFINITY);
    tap_figure_init(out, ratios ? "recovery" : "effects", width, 340.0);
    put_legend(out, &c, 52.0, width - 68.0, &top);
    out->height = 340.0 + top - 30.0;
    const tap_plot plot = {.left = 52.0,
                           .top = top + 24.0,
                           .right = width - 16.0,
                           .bottom = out->height - 44.0,
                           .x_min = c.x[0],
                           .x_max = c.n > 1 ? c.x[c.n - 1] : c.x[0] + 1.0,
                           .y_min = low,
                           .y_max = high};
    (void)tap_figure_plot(out, &plot);
    tap_figure_axes(out, &plot, tap_stats_data_depth_title(study->data),
                    ratios ? "share of the loss" : "difference of scores",
                    width > 500 ? 12 : 6);
    (void)tap_figure_segment(out, TAP_LOOK_MUTED, plot.left, tap_plot_y(&plot, 0.0),
                             plot.right, tap_plot_y(&plot, 0.0));
    put_cursor(out, &plot, c.x[view->depth]);
    put_series(out, &plot, &c, "depth");
    put_table(out, &c, "depth");
    tap_figure_title(out, ratios ? "Recovery and compensation by depth"
                                 : "Damage and interaction by depth");
    tap_figure_describe(
        out,
        "%s at %d depths with %g%% intervals, %s of %s; the numbers are "
        "in the table below the figure.",
        ratios ? "R, R_V and CI" : "d0, d1 and I", c.n, 100.0 * study->stats->level,
        tap_average_name(view->average),
        tap_metric_name(study->stats->metrics[view->metric]));
    status = tap_figure_end(out, err);
out:
    clear_curves(&c);
    return status;
}

static const char NO_DESIGN[] =
    "The experiment states no 2x2 design (key 'design'), so this figure is not defined.";

TAP_BUILDER(tap_build_recovery)
{
    if (!study->stats->design) {
        *missing = NO_DESIGN;
        return TAP_OK;
    }
    return build_quantities(out, study, view, true, err);
}

TAP_BUILDER(tap_build_effects)
{
    if (!study->stats->design) {
        *missing = NO_DESIGN;
        return TAP_OK;
    }
    return build_quantities(out, study, view, false, err);
}

/* ---- doses ---- */

static void put_dose_axes(tap_figure *f, const tap_plot *plot, const tap_study *study,
                          const tap_figure_view *view)
{
    tap_figure_axes(f, plot, "dose, as the experiment states it",
                    tap_metric_title(study->stats->metrics[view->metric]), 8);
}

TAP_BUILDER(tap_build_doses)
{
    const tap_stats_data *d = study->data;
    const double width = width_of(view);
    static const char *const columns[] = {"curve", "dose", "condition",
                                          "score", "low",  "high"};
    double low = INFINITY, high = -INFINITY, x_low = INFINITY, x_high = -INFINITY;
    if (d->n_doses == 0) {
        *missing = "The experiment has no graded conditions (key 'doses').";
        return TAP_OK;
    }
    tap_legend_entry entries[MAX_SERIES];
    const int n = d->n_doses < MAX_SERIES ? (int)d->n_doses : MAX_SERIES;
    for (int i = 0; i < n; i++) {
        entries[i] = (tap_legend_entry){(tap_look)(TAP_LOOK_S01 + (i % 6)),
                                        tap_study_dose(study, (size_t)i)};
        for (size_t k = 0; k < d->doses[i].n_points; k++) {
            const tap_dose_point *point = &d->doses[i].points[k];
            x_low = fmin(x_low, point->dose);
            x_high = fmax(x_high, point->dose);
            for (int32_t depth = 0; depth < d->n_depths; depth++)
                tap_range_add(&low, &high,
                              tap_stats_cell(study->stats, view->average, view->metric,
                                             depth, point->condition));
        }
    }
    const bool rank = study->stats->metrics[view->metric] == TAP_METRIC_MEDIAN;
    tap_range_pad(&low, &high, rank ? 1.0 : 0.0, rank ? d->n_candidates : 1.0);
    tap_figure_init(out, "doses", width, 360.0);
    const double top =
        10.0 + tap_figure_legend(out, entries, n, 52.0, 10.0, width - 68);
    const tap_plot plot = {.left = 52.0,
                           .top = top + 24.0,
                           .right = width - 16.0,
                           .bottom = out->height - 44.0,
                           .x_min = x_low,
                           .x_max = x_high > x_low ? x_high : x_low + 1.0,
                           .y_min = low,
                           .y_max = high};
    (void)tap_figure_plot(out, &plot);
    put_dose_axes(out, &plot, study, view);
    tap_figure_columns(out, 6, columns);
    for (int i = 0; i < n; i++) {
        const tap_dose_curve *curve = &d->doses[i];
        const tap_estimate *at[TAP_MAX_CONDITIONS];
        double x[TAP_MAX_CONDITIONS];
        int n_points = 0;
        for (size_t k = 0; k < curve->n_points && k < TAP_MAX_CONDITIONS; k++) {
            const tap_estimate *e =
                tap_stats_cell(study->stats, view->average, view->metric, view->depth,
                               curve->points[k].condition);
            x[n_points] = curve->points[k].dose;
            at[n_points++] = e;
            tap_figure_cell(out, "%s", entries[i].name);
            tap_figure_cell(out, "%.6g", curve->points[k].dose);
            tap_figure_cell(out, "%s", d->conditions[curve->points[k].condition]);
            tap_figure_cell_real(out, e->value);
            tap_figure_cell_real(out, e->low);
            tap_figure_cell_real(out, e->high);
        }
        const tap_series series = {.look = entries[i].look,
                                   .name = entries[i].name,
                                   .key = i,
                                   .x = x,
                                   .at = at,
                                   .n = n_points};
        tap_figure_series(out, &plot, &series, "dose");
    }
    tap_figure_title(out, "Score against dose, depth %d", d->depths[view->depth]);
    tap_figure_describe(out, "%d curves of the score against the dose of a cut.", n);
    return tap_figure_end(out, err);
}

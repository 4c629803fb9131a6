#include "report/data.h"

#include "report/escape.h"
#include "report/figure.h"
#include "report/figures.h"

#include <math.h>

static tap_status put_string(tap_buffer *out, const char *text, tap_error *err)
{
    json_t *value = tap_page_string(text);
    const tap_status status = tap_page_json(out, value, err);
    json_decref(value);
    return status;
}

static tap_status put_real(tap_buffer *out, double value, tap_error *err)
{
    if (!isfinite(value))
        return tap_buffer_print(out, err, "null");
    return tap_buffer_print(out, err, "%.6g", value);
}

/* "v,low,high" */
static tap_status put_estimate(tap_buffer *out, const tap_estimate *e, tap_error *err)
{
    TAP_TRY(put_real(out, e->value, err));
    TAP_TRY(tap_buffer_put(out, ",", 1, err));
    TAP_TRY(put_real(out, e->low, err));
    TAP_TRY(tap_buffer_put(out, ",", 1, err));
    return put_real(out, e->high, err);
}

static tap_status put_comma(tap_buffer *out, bool *first, tap_error *err)
{
    const bool is_first = *first;
    *first = false;
    return is_first ? TAP_OK : tap_buffer_put(out, ",", 1, err);
}

static tap_status put_names(tap_buffer *out, const tap_study *s, tap_error *err)
{
    const tap_stats_data *d = s->data;
    TAP_TRY(tap_buffer_print(out, err, "\"title\":"));
    TAP_TRY(put_string(out, s->title, err));
    TAP_TRY(tap_buffer_print(
        out, err, ",\"N\":%.9g%s,\"depth\":%d,\"depths\":[", d->n_candidates,
        d->candidates == TAP_CANDIDATES_OWN_PARTS ? ",\"sets\":true" : "",
        (int)d->depth));
    for (int32_t k = 0; k < d->n_depths; k++)
        TAP_TRY(tap_buffer_print(out, err, "%s%d", k ? "," : "", d->depths[k]));
    TAP_TRY(tap_buffer_print(out, err,
                             "],\"averages\":[\"macro\",\"micro\"],"
                             "\"metrics\":["));
    for (int32_t m = 0; m < s->stats->n_metrics; m++) {
        TAP_TRY(tap_buffer_print(out, err, "%s{\"name\":\"%s\",\"title\":",
                                 m ? "," : "", tap_metric_name(s->stats->metrics[m])));
        TAP_TRY(put_string(out, tap_metric_title(s->stats->metrics[m]), err));
        TAP_TRY(tap_buffer_print(out, err, "}"));
    }
    TAP_TRY(tap_buffer_print(out, err, "],\"heat\":["));
    for (int i = 0; i < TAP_HEAT_STOPS; i++)
        TAP_TRY(tap_buffer_print(out, err, "%s\"#%06x\"", i ? "," : "",
                                 (unsigned)tap_heat_stop(i)));
    TAP_TRY(tap_buffer_print(out, err, "],\"conditions\":["));
    for (int32_t c = 0; c < d->n_conditions; c++) {
        TAP_TRY(tap_buffer_print(out, err, "%s{\"look\":\"%s\",\"name\":", c ? "," : "",
                                 tap_look_of((tap_look)tap_study_look(s, c))->name));
        TAP_TRY(put_string(out, d->conditions[c], err));
        TAP_TRY(tap_buffer_print(out, err, ",\"label\":"));
        TAP_TRY(put_string(out, tap_study_condition(s, c), err));
        TAP_TRY(tap_buffer_print(out, err, "}"));
    }
    int32_t curves[TAP_MAX_CONDITIONS], n_curves = 0;
    tap_study_curves(curves, &n_curves, s);
    TAP_TRY(tap_buffer_print(out, err, "],\"curves\":["));
    for (int32_t i = 0; i < n_curves; i++)
        TAP_TRY(tap_buffer_print(out, err, "%s%d", i ? "," : "", (int)curves[i]));
    TAP_TRY(tap_buffer_print(out, err, "],\"design\":"));
    if (!d->has_design)
        return tap_buffer_print(out, err, "null");
    return tap_buffer_print(out, err, "[%d,%d,%d,%d]", d->design[0], d->design[1],
                            d->design[2], d->design[3]);
}

/* cells[average][metric][depth][condition][3], flat; quantities the same. */
static tap_status put_scores(tap_buffer *out, const tap_study *s, tap_error *err)
{
    const tap_stats *st = s->stats;
    for (int quantities = 0; quantities < 2; quantities++) {
        bool first = true;
        TAP_TRY(tap_buffer_print(out, err,
                                 quantities ? ",\"quantities\":[" : ",\"cells\":["));
        for (int a = 0; a < TAP_N_AVERAGES; a++)
            for (int32_t m = 0; m < st->n_metrics; m++)
                for (int32_t d = 0; d < s->data->n_depths; d++)
                    for (int32_t k = 0;
                         k < (quantities ? (st->design ? TAP_N_QUANTITIES : 0)
                                         : s->data->n_conditions);
                         k++) {
                        TAP_TRY(put_comma(out, &first, err));
                        TAP_TRY(put_estimate(
                            out,
                            quantities ? tap_stats_quantity(st, (tap_average)a, m, d,
                                                            (tap_quantity)k)
                                       : tap_stats_cell(st, (tap_average)a, m, d, k),
                            err));
                    }
        TAP_TRY(tap_buffer_print(out, err, "]"));
    }
    TAP_TRY(tap_buffer_print(out, err, ",\"quantityNames\":["));
    for (int q = 0; q < TAP_N_QUANTITIES; q++)
        TAP_TRY(tap_buffer_print(out, err, "%s\"%s\"", q ? "," : "",
                                 tap_quantity_name((tap_quantity)q)));
    return tap_buffer_print(out, err, "]");
}

static tap_status put_rows(tap_buffer *out, const tap_study *s, tap_error *err)
{
    const int32_t n_depths = s->data->n_depths;
    bool first = true;
    TAP_TRY(tap_buffer_print(out, err, ",\"doses\":["));
    for (size_t i = 0; i < s->data->n_doses; i++) {
        const tap_dose_curve *curve = &s->data->doses[i];
        TAP_TRY(tap_buffer_print(out, err, "%s{\"name\":", i ? "," : ""));
        TAP_TRY(put_string(out, tap_study_dose(s, i), err));
        TAP_TRY(tap_buffer_print(out, err, ",\"points\":["));
        for (size_t k = 0; k < curve->n_points; k++)
            TAP_TRY(tap_buffer_print(out, err, "%s[%.9g,%d]", k ? "," : "",
                                     curve->points[k].dose,
                                     curve->points[k].condition));
        TAP_TRY(tap_buffer_print(out, err, "]}"));
    }
    /* parts[k] = [depth][6][3], in the order of the figure's data-p */
    TAP_TRY(tap_buffer_print(out, err, "],\"parts\":["));
    for (int32_t k = 0; k < s->n_parts; k++) {
        TAP_TRY(tap_buffer_print(out, err, "%s{\"name\":", k ? "," : ""));
        TAP_TRY(put_string(out, s->data->categories[s->parts[k].category], err));
        TAP_TRY(tap_buffer_print(out, err, ",\"v\":["));
        first = true;
        for (int32_t i = 0; i < n_depths * TAP_N_PART_VALUES; i++) {
            TAP_TRY(put_comma(out, &first, err));
            TAP_TRY(put_estimate(out, &s->parts[k].values[i], err));
        }
        TAP_TRY(tap_buffer_print(out, err, "]}"));
    }
    TAP_TRY(tap_buffer_print(out, err, "],\"controls\":["));
    for (int32_t k = 0; k < s->n_controls; k++) {
        TAP_TRY(tap_buffer_print(out, err, "%s{\"v\":[", k ? "," : ""));
        for (int32_t d = 0; d < n_depths; d++) {
            TAP_TRY(tap_buffer_print(out, err, "%s", d ? "," : ""));
            TAP_TRY(put_estimate(out, &s->controls[k].values[d], err));
            TAP_TRY(tap_buffer_print(out, err, ","));
            TAP_TRY(put_estimate(out, &s->controls[k].own[d], err));
        }
        TAP_TRY(tap_buffer_print(out, err, "]}"));
    }
    TAP_TRY(tap_buffer_print(out, err, "],\"null\":"));
    if (!s->null)
        return tap_buffer_print(out, err, "null");
    for (int32_t d = 0; d < n_depths; d++) {
        TAP_TRY(tap_buffer_print(out, err, "%s", d ? "," : "["));
        TAP_TRY(put_estimate(out, &s->null[d], err));
    }
    return tap_buffer_print(out, err, "]");
}

tap_status tap_page_data(tap_buffer *out, const tap_study *study, tap_images images,
                         tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "{\"schema\":1,"));
    TAP_TRY(put_names(out, study, err));
    TAP_TRY(put_scores(out, study, err));
    TAP_TRY(put_rows(out, study, err));
    TAP_TRY(tap_buffer_print(out, err, ","));
    TAP_TRY(tap_page_gallery(out, study, images, err));
    return tap_buffer_print(out, err, "}");
}

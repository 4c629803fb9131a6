#include "cli/cli.h"
#include "cli/cmd_stats.h"

#include <math.h>

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *estimate_json(const tap_estimate *e)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "value", real_or_null(e->value),
                  "low", real_or_null(e->low), "high", real_or_null(e->high), "bca_low",
                  real_or_null(e->bca_low), "bca_high", real_or_null(e->bca_high),
                  "undefined", real_or_null(e->undefined));
    if (object && e->na)
        (void)json_object_set_new(object, "na", json_string(e->na));
    return object;
}

static tap_status put_counts(const tap_stats *s, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    TAP_TRY(tap_cli_put_json(
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:f, "
                  "s:i, s:o}",
                  "table", "counts", "candidates", tap_candidates_name(d->candidates),
                  "state", tap_state_name(d->state), "n_images",
                  (json_int_t)d->n_images, "n_items", (json_int_t)d->n_items,
                  "n_all_images", (json_int_t)d->n_all_images, "n_all_items",
                  (json_int_t)d->n_all_items, "n_data_images",
                  (json_int_t)d->n_data_images, "n_candidates", d->n_candidates,
                  "n_resamples", (json_int_t)s->n_resamples, "seed",
                  (json_int_t)s->seed, "level", s->level, "delta", s->delta, "depth",
                  d->depths[d->depth], "uniform_S", real_or_null(s->uniform_s)),
        err));
    for (size_t i = 0; i < d->n_exclusions; i++)
        TAP_TRY(tap_cli_put_json(
            json_pack("{s:s, s:o, s:I, s:I}", "table", "exclusion", "reason",
                      tap_cli_json_text(d->exclusions[i].reason), "n_items",
                      (json_int_t)d->exclusions[i].n_items, "n_images",
                      (json_int_t)d->exclusions[i].n_images),
            err));
    return TAP_OK;
}

/* One object per average, metric and depth. */
static tap_status put_scores(const tap_stats *s, tap_error *err)
{
    for (int a = 0; a < TAP_N_AVERAGES; a++)
        for (int32_t m = 0; m < s->n_metrics; m++)
            for (int32_t d = 0; d < s->data.n_depths; d++) {
                json_t *object = json_pack(
                    "{s:s, s:s, s:s, s:i, s:i, s:i}", "table", "score", "average",
                    tap_average_name((tap_average)a), "metric",
                    tap_metric_name(s->metrics[m]), "depth", s->data.depths[d],
                    "n_images", (int)s->data.n_images, "n_items", (int)s->data.n_items);
                json_t *cells = json_object();
                for (int32_t c = 0; object && c < s->data.n_conditions; c++)
                    (void)json_object_set_new(
                        cells, s->data.conditions[c],
                        estimate_json(tap_stats_cell(s, (tap_average)a, m, d, c)));
                (void)json_object_set_new(object, "conditions", cells);
                for (int q = 0; q < TAP_N_QUANTITIES; q++) {
                    const tap_estimate *e =
                        tap_stats_quantity(s, (tap_average)a, m, d, (tap_quantity)q);
                    if (e && object)
                        (void)json_object_set_new(object,
                                                  tap_quantity_name((tap_quantity)q),
                                                  estimate_json(e));
                }
                TAP_TRY(tap_cli_put_json(object, err));
            }
    return TAP_OK;
}

static tap_status put_tests(const tap_stats *s, tap_error *err)
{
    static const char *const HITS[TAP_N_HITS] = {"hit@1", "hit@5", "hit@10", "hit@100"};
    const tap_stats_data *d = &s->data;
    for (int32_t i = 0; i < s->tests.n_tests; i++) {
        const tap_test *t = &s->tests.tests[i];
        json_t *object = json_pack(
            "{s:s, s:s, s:s, s:i, s:f, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "table",
            "test", "a", d->conditions[t->a], "b", d->conditions[t->b], "depth",
            d->depths[d->depth], "mean_log2_rank_b_minus_a", t->mean, "effect",
            real_or_null(t->effect), "effect_low", real_or_null(t->effect_low),
            "effect_high", real_or_null(t->effect_high), "p_sign_flip",
            real_or_null(t->p_flip), "exact", (int)t->exact, "p_holm",
            real_or_null(t->p_holm), "p_wilcoxon", real_or_null(t->p_wilcoxon));
        json_t *hits = json_object();
        for (int h = 0; h < TAP_N_HITS; h++)
            (void)json_object_set_new(hits, HITS[h],
                                      json_pack("{s:o, s:o}", "chi2",
                                                real_or_null(t->chi2[h]), "p",
                                                real_or_null(t->p_mcnemar[h])));
        if (object)
            (void)json_object_set_new(object, "mcnemar", hits);
        TAP_TRY(tap_cli_put_json(object, err));
        for (int32_t k = 0; k < d->n_depths; k++) {
            const tap_test_point *p = &s->tests.curve[i * d->n_depths + k];
            TAP_TRY(tap_cli_put_json(
                json_pack("{s:s, s:s, s:s, s:i, s:f, s:o, s:o}", "table", "test_curve",
                          "a", d->conditions[t->a], "b", d->conditions[t->b], "depth",
                          d->depths[k], "mean_log2_rank_b_minus_a", p->mean,
                          "null_band", real_or_null(p->null_band), "p_max",
                          real_or_null(p->p_max)),
                err));
        }
    }
    return TAP_OK;
}

static tap_status put_controls(const tap_stats *s, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    for (size_t i = 0; i < s->controls.n; i++) {
        const tap_control_result *r = &s->controls.results[i];
        json_t *object = json_pack(
            "{s:s, s:s, s:s, s:i, s:I, s:I, s:o}", "table", "control", "control",
            tap_control_name(r->control), "condition", d->conditions[r->condition],
            "depth", d->depths[d->depth], "n_items", (json_int_t)r->n_items, "n_images",
            (json_int_t)r->n_images, "percentile", estimate_json(&r->percentile));
        for (int32_t m = 0; object && m < s->n_metrics; m++) {
            const tap_metric metric = s->metrics[m];
            if (metric != TAP_METRIC_MEDIAN)
                (void)json_object_set_new(
                    object, tap_metric_name(metric),
                    json_pack("{s:o, s:o}", "control", estimate_json(&r->score[metric]),
                              "parts_minus_control", estimate_json(&r->gap[metric])));
        }
        json_t *curve = json_array();
        for (int32_t k = 0; k < d->n_depths; k++)
            (void)json_array_append_new(
                curve, json_pack("{s:i, s:o, s:o}", "depth", d->depths[k], "control_S",
                                 real_or_null(r->curve[k]), "parts_S",
                                 real_or_null(r->curve[d->n_depths + k])));
        if (object)
            (void)json_object_set_new(object, "curve", curve);
        TAP_TRY(tap_cli_put_json(object, err));
    }
    return TAP_OK;
}

/* One object per measure and depth. */
static tap_status put_located(const tap_stats *s, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    for (int i = 0; i < s->located.n; i++)
        for (int32_t k = 0; k < d->n_depths; k++) {
            const tap_located *r = &s->located.results[i];
            json_t *object =
                json_pack("{s:s, s:s, s:i, s:I, s:I}", "table", "located", "measure",
                          tap_locate_name(r->what), "depth", d->depths[k], "n_items",
                          (json_int_t)r->n_items, "n_images", (json_int_t)r->n_images);
            json_t *cells = json_object();
            for (int32_t c = 0; c < d->n_conditions; c++)
                (void)json_object_set_new(
                    cells, d->conditions[c],
                    estimate_json(&r->score[(int64_t)k * d->n_conditions + c]));
            if (object)
                (void)json_object_set_new(object, "conditions", cells);
            for (int q = 0; object && r->design && q < TAP_N_QUANTITIES; q++)
                (void)json_object_set_new(
                    object, tap_quantity_name((tap_quantity)q),
                    estimate_json(&r->design[(int64_t)k * TAP_N_QUANTITIES + q]));
            TAP_TRY(tap_cli_put_json(object, err));
        }
    return TAP_OK;
}

static tap_status put_strata(const tap_stats *s, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    for (size_t i = 0; i < s->strata.n; i++) {
        const tap_stratum *t = &s->strata.strata[i];
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:i, s:I, s:I}", "table", "stratum", "by", t->by,
                      "name", t->name, "depth", d->depths[d->depth], "n_items",
                      (json_int_t)t->n_items, "n_images", (json_int_t)t->n_images);
        json_t *cells = json_object();
        for (int32_t c = 0; c < d->n_conditions; c++)
            (void)json_object_set_new(cells, d->conditions[c],
                                      estimate_json(&t->score[c]));
        if (object)
            (void)json_object_set_new(object, "conditions", cells);
        for (int q = 0; object && d->has_design && q < TAP_N_QUANTITIES; q++)
            (void)json_object_set_new(object, tap_quantity_name((tap_quantity)q),
                                      estimate_json(&t->design[q]));
        TAP_TRY(tap_cli_put_json(object, err));
    }
    return TAP_OK;
}

static tap_status put_curves(const tap_stats *s, tap_error *err)
{
    const tap_stats_data *d = &s->data;
    for (size_t i = 0; i < d->n_doses; i++) {
        json_t *points = json_array(), *gaps = json_object();
        for (size_t k = 0; k < d->doses[i].n_points; k++)
            (void)json_array_append_new(
                points,
                json_pack("{s:f, s:s}", "dose", d->doses[i].points[k].dose, "condition",
                          d->conditions[d->doses[i].points[k].condition]));
        for (size_t k = 0; k < d->n_doses; k++)
            if (k != i)
                (void)json_object_set_new(
                    gaps, d->doses[k].name,
                    estimate_json(&s->dose_gaps[i * d->n_doses + k]));
        TAP_TRY(tap_cli_put_json(
            json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "table", "dose", "curve",
                      d->doses[i].name, "depth", d->depths[d->depth], "points", points,
                      "area", estimate_json(&s->doses[i].area), "half_damage",
                      estimate_json(&s->doses[i].half), "area_minus", gaps),
            err));
    }
    for (int32_t c = 0; c < d->n_conditions; c++)
        TAP_TRY(tap_cli_put_json(json_pack("{s:s, s:s, s:o}", "table", "area",
                                           "condition", d->conditions[c], "S",
                                           estimate_json(&s->areas[c])),
                                 err));
    return TAP_OK;
}

static tap_status put_conclusion(const tap_stats *s, tap_error *err)
{
    const tap_conclusion c = tap_conclude(s);
    tap_buffer text = {0};
    TAP_TRY(tap_stats_words(&text, s, err));
    const tap_status status = tap_cli_put_json(
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:s}", "table",
                  "conclusion", "reading", tap_reading_name(c.reading),
                  "decoder_largely_compensates", tap_verdict_name(c.compensates),
                  "smears", (int)c.smears, "leaks", (int)c.leaks, "null",
                  c.null ? json_string(c.null) : json_null(), "words_S_clean",
                  real_or_null(c.words_clean), "words_S_decoder_off",
                  real_or_null(c.words_cut), "text", text.text),
        err);
    tap_buffer_clear(&text);
    return status;
}

tap_status tap_stats_put_json(const tap_stats *stats, tap_error *err)
{
    TAP_TRY(put_counts(stats, err));
    TAP_TRY(put_scores(stats, err));
    TAP_TRY(put_tests(stats, err));
    TAP_TRY(put_controls(stats, err));
    TAP_TRY(put_located(stats, err));
    TAP_TRY(put_strata(stats, err));
    TAP_TRY(put_curves(stats, err));
    return put_conclusion(stats, err);
}

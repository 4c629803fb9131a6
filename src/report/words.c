#include "report/words.h"

#include <math.h>
#include <stdio.h>

static const tap_estimate *quantity(const tap_study *s, tap_quantity q)
{
    return tap_stats_quantity(s->stats, TAP_MACRO,
                              tap_stats_find_metric(s->stats, TAP_METRIC_LOG_RANK),
                              s->data->depth, q);
}

static const tap_estimate *cell(const tap_study *s, tap_cell c)
{
    return tap_stats_cell(s->stats, TAP_MACRO,
                          tap_stats_find_metric(s->stats, TAP_METRIC_LOG_RANK),
                          s->data->depth, s->data->design[c]);
}

tap_reading tap_study_reading(const tap_study *study)
{
    if (!study->stats->design)
        return TAP_READ_NO_DESIGN;
    const tap_estimate *r = quantity(study, TAP_Q_R), *rv = quantity(study, TAP_Q_RV);
    const tap_estimate *ci = quantity(study, TAP_Q_CI), *i = quantity(study, TAP_Q_I);
    if (!isfinite(r->value))
        return TAP_READ_NO_EFFECT;
    if (r->low > 0.5 && isfinite(ci->value) && ci->low > 0.0)
        return isfinite(rv->value) && rv->low > 0.5 ? TAP_READ_EITHER
                                                    : TAP_READ_DECODER;
    if (i->high < 0.0)
        return TAP_READ_COMPLEMENTS;
    if (r->high < 0.5 && isfinite(rv->value) && rv->low > 0.5)
        return TAP_READ_ENCODER;
    return TAP_READ_SHARED;
}

const char *tap_reading_headline(tap_reading reading)
{
    switch (reading) {
    case TAP_READ_NO_DESIGN:
        return "This experiment has no 2\u00D72 design, so it does not answer the "
               "question.";
    case TAP_READ_NO_EFFECT:
        return "No conclusion: what the two cuts cost together cannot be told from "
               "nothing.";
    case TAP_READ_EITHER:
        return "Either half can do it: each restores most of what both cuts cost.";
    case TAP_READ_DECODER:
        return "The decoder largely makes up for what the encoder loses.";
    case TAP_READ_ENCODER:
        return "The encoder does the seeing; the decoder does not replace it.";
    case TAP_READ_SHARED:
        return "Both halves take part; the decoder does not restore most of the loss.";
    case TAP_READ_COMPLEMENTS:
        break;
    }
    return "The two halves build on each other: the encoder cut costs more with the "
           "decoder than without it.";
}

static void interval(char text[64], const tap_estimate *e)
{
    if (isfinite(e->low))
        (void)snprintf(text, 64, "%.2f [%.2f, %.2f]", e->value, e->low, e->high);
    else
        (void)snprintf(text, 64, "%.2f", e->value);
}

static void percent(char text[64], const tap_estimate *e)
{
    if (!isfinite(e->value))
        (void)snprintf(text, 64, "an undefined share");
    else if (isfinite(e->low))
        (void)snprintf(text, 64, "%.0f %% [%.0f, %.0f]", 100 * e->value, 100 * e->low,
                       100 * e->high);
    else
        (void)snprintf(text, 64, "%.0f %%", 100 * e->value);
}

static tap_status put_evidence(tap_buffer *out, const tap_study *s, tap_error *err)
{
    char clean[64], enc[64], dec[64], both[64], d0[64], d1[64], r[64], ci[64], i[64];
    interval(clean, cell(s, TAP_S11));
    interval(enc, cell(s, TAP_S01));
    interval(dec, cell(s, TAP_S10));
    interval(both, cell(s, TAP_S00));
    interval(d0, quantity(s, TAP_Q_D0));
    interval(d1, quantity(s, TAP_Q_D1));
    interval(i, quantity(s, TAP_Q_I));
    percent(r, quantity(s, TAP_Q_R));
    percent(ci, quantity(s, TAP_Q_CI));
    TAP_TRY(tap_buffer_print(
        out, err,
        "At depth %d the part's name is read off its patches with S = %s. Cutting the "
        "encoder's attention leaves %s, cutting the decoder's %s, cutting both %s.\n",
        s->data->depths[s->data->depth], clean, enc, dec, both));
    if (!isfinite(quantity(s, TAP_Q_R)->value))
        return tap_buffer_print(
            out, err,
            "The whole loss is too small or too uncertain to divide by, so R is not "
            "defined (%s). The interaction is I = %s.\n",
            quantity(s, TAP_Q_R)->na ? quantity(s, TAP_Q_R)->na : "no value", i);
    return tap_buffer_print(
        out, err,
        "The encoder cut costs %s when the decoder is cut too, and %s when the decoder may "
        "look around: %s of that damage disappears (CI). With the encoder cut, the decoder "
        "alone restores %s of what both cuts cost (R). The interaction is I = %s; above 0 "
        "the halves can stand in for each other.\n",
        d0, d1, ci, r, i);
}

static tap_status put_null(tap_buffer *out, const tap_study *s, tap_error *err)
{
    if (!s->null || !isfinite(s->null[s->data->depth].value))
        return TAP_OK;
    char null[64];
    const tap_estimate *e = &s->null[s->data->depth], *own = cell(s, TAP_S11);
    interval(null, e);
    TAP_TRY(tap_buffer_print(
        out, err,
        "As many patches drawn at random read S = %s in the clean "
        "run%s\n",
        null,
        own->low > e->high ? ", less than the part's own patches."
                           : ": no less than the part's own patches, so the lens "
                             "does not see parts here and nothing follows from the "
                             "2\u00D72."));
    return TAP_OK;
}

tap_status tap_study_words(tap_buffer *out, const tap_study *study, tap_error *err)
{
    const tap_stats_data *d = study->data;
    if (study->stats->design) {
        TAP_TRY(put_evidence(out, study, err));
        TAP_TRY(put_null(out, study, err));
        if (quantity(study, TAP_Q_D1)->high < 0.0)
            TAP_TRY(tap_buffer_print(
                out, err,
                "With the decoder intact the encoder cut helps: encoder context smears "
                "the part into its object; compare the rank of the object's name.\n"));
    }
    return tap_buffer_print(
        out, err,
        "S is 1 for rank 1 and 0 for the last of %.0f words, on a logarithmic scale of "
        "ranks; means over %d categories of %lld parts in %lld images; intervals cover "
        "%g %% of %lld bootstrap resamples of images. A cut shows what the model can do "
        "without an edge, not what it normally does; a poor rank in the lens is weak "
        "evidence of missing content.\n",
        d->n_candidates, (int)d->n_categories, (long long)d->n_items,
        (long long)d->n_images, 100.0 * study->stats->level,
        (long long)study->stats->n_resamples);
}

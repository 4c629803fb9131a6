#include "report/words.h"

#include "lab/stats_words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

void tap_study_headline(const char **head, size_t *n_head, const char **rest,
                        const tap_study *study)
{
    const char *sentence =
        study->stats->design ? tap_reading_sentence(tap_conclude(study->stats).reading)
                             : "No answer: this experiment states no 2\u00D72 design.";
    const char *colon = strchr(sentence, ':');
    *head = sentence;
    *n_head = colon ? (size_t)(colon - sentence) : strlen(sentence);
    *rest = colon ? colon + 2 : "";
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
    const tap_estimate *share = quantity(s, TAP_Q_CI);
    TAP_TRY(
        tap_buffer_print(out, err,
                         "The encoder cut costs %s when the decoder is cut too, and %s "
                         "when the decoder may look around",
                         d0, d1));
    TAP_TRY(isfinite(share->value) && share->value >= 0.0
                ? tap_buffer_print(out, err, ": %s of that damage disappears (CI)", ci)
                : tap_buffer_print(out, err, " (CI = %s)", ci));
    return tap_buffer_print(
        out, err,
        ". With the encoder cut, the decoder alone restores %s of what both cuts cost (R). "
        "The interaction is I = %s; above 0 the halves can stand in for each other.\n",
        r, i);
}

/* What stats says, without the lines that stand elsewhere on the page. */
static tap_status put_rest(tap_buffer *out, const tap_study *s, const char *reading,
                           tap_error *err)
{
    tap_buffer said = {0};
    tap_status status = tap_stats_words(&said, s->stats, err);
    for (const char *at = said.text; status == TAP_OK && at && *at;) {
        const size_t n = strcspn(at, "\n") + 1;
        if (strncmp(at, "At depth", 8) != 0 && strncmp(at, "  ", 2) != 0 &&
            strncmp(at, "Decision:", 9) != 0 &&
            strncmp(at, reading, strlen(reading)) != 0)
            status = tap_buffer_put(out, at, n, err);
        at += at[n - 1] ? n : n - 1;
    }
    tap_buffer_clear(&said);
    return status;
}

tap_status tap_study_words(tap_buffer *out, const tap_study *study, tap_error *err)
{
    const tap_stats_data *d = study->data;
    if (d->n_all_images < d->n_data_images)
        TAP_TRY(tap_buffer_print(out, err,
                                 "Not all: %lld of the %lld images of the data are "
                                 "here. Go on with the run, or merge its shards.\n",
                                 (long long)d->n_all_images,
                                 (long long)d->n_data_images));
    if (study->stats->design) {
        const tap_conclusion c = tap_conclude(study->stats);
        TAP_TRY(
            tap_buffer_print(out, err, "%s\n", tap_verdict_sentence(c.compensates)));
        TAP_TRY(put_evidence(out, study, err));
        TAP_TRY(put_rest(out, study, tap_reading_sentence(c.reading), err));
    }
    TAP_TRY(tap_buffer_print(out, err, "S is 1 for rank 1 and 0 for the last of "));
    TAP_TRY(tap_stats_data_put_among(out, d, err));
    return tap_buffer_print(
        out, err,
        ", on a logarithmic scale of ranks. Means are over %d categories of %lld parts in %lld images; intervals "
        "cover %g %% of %lld bootstrap resamples of images.\n",
        (int)d->n_categories, (long long)d->n_items, (long long)d->n_images,
        100.0 * study->stats->level, (long long)study->stats->n_resamples);
}

#include "lab/stats_words.h"

#include <math.h>
#include <string.h>

const char *tap_reading_name(tap_reading reading)
{
    static const char *const NAMES[] = {"none", "redundancy", "encoder", "decoder",
                                        "both", "blind",      "unharmed"};
    return NAMES[reading];
}

const char *tap_verdict_name(tap_verdict verdict)
{
    static const char *const NAMES[] = {"NA", "no", "yes"};
    return NAMES[verdict];
}

static const tap_estimate *cell_at(const tap_stats *s, int32_t condition)
{
    return tap_stats_cell(s, TAP_MACRO, tap_stats_find_metric(s, TAP_METRIC_LOG_RANK),
                          s->data.depth, condition);
}

static const tap_estimate *quantity_at(const tap_stats *s, tap_quantity q)
{
    return tap_stats_quantity(
        s, TAP_MACRO, tap_stats_find_metric(s, TAP_METRIC_LOG_RANK), s->data.depth, q);
}

/* A bound of the interval; the value itself when nothing was resampled. */
static double low_of(const tap_stats *s, const tap_estimate *e)
{
    return s->n_resamples > 0 ? e->low : e->value;
}

static double high_of(const tap_stats *s, const tap_estimate *e)
{
    return s->n_resamples > 0 ? e->high : e->value;
}

static tap_side side_of(const tap_stats *s, const tap_estimate *ratio)
{
    if (isnan(ratio->value))
        return TAP_SIDE_OPEN;
    return low_of(s, ratio) > 0.5    ? TAP_SIDE_HIGH
           : high_of(s, ratio) < 0.5 ? TAP_SIDE_LOW
                                     : TAP_SIDE_OPEN;
}

static const tap_control_result *find_control(const tap_stats *s, tap_control control,
                                              int32_t condition)
{
    for (size_t i = 0; i < s->controls.n; i++)
        if (s->controls.results[i].control == control &&
            s->controls.results[i].condition == condition)
            return &s->controls.results[i];
    return NULL;
}

/* Whether no cell is above the null: the prior null if there is one, else random patches,
 * else the uniform null. */
static bool is_blind(const tap_stats *s, const char **null)
{
    static const struct {
        tap_control control;
        const char *name;
    } NULLS[] = {{TAP_CONTROL_BLANK_IMAGE, "the same words on a blank picture"},
                 {TAP_CONTROL_MISMATCHED_IMAGE, "the same words on another photo"},
                 {TAP_CONTROL_RANDOM_PATCHES, "random patches"}};

    for (size_t k = 0; k < sizeof NULLS / sizeof NULLS[0]; k++) {
        int n_found = 0;
        bool above = false;
        for (int c = 0; c < TAP_N_CELLS; c++) {
            const tap_control_result *r =
                find_control(s, NULLS[k].control, s->data.design[c]);
            if (!r)
                continue;
            n_found++;
            const tap_estimate *gap = &r->gap[TAP_METRIC_LOG_RANK];
            above = above || (low_of(s, gap) > 0.0 && gap->value >= s->delta);
        }
        if (n_found == TAP_N_CELLS) {
            *null = NULLS[k].name;
            return !above;
        }
    }
    bool above = false;
    *null = "evenly drawn ranks";
    for (int c = 0; c < TAP_N_CELLS; c++) {
        const tap_estimate *e = cell_at(s, s->data.design[c]);
        above = above ||
                (low_of(s, e) > s->uniform_s && e->value - s->uniform_s >= s->delta);
    }
    return !above;
}

/* A condition that cuts the part from its outside in the encoder and does nothing else. */
static int32_t find_part_cut(const tap_stats_data *d)
{
    static const char PART_CUT[] = "vision: part <- outside";
    for (int32_t c = 0; c < d->n_conditions; c++)
        if (strncmp(d->texts[c], PART_CUT, sizeof PART_CUT - 1) == 0 &&
            !strchr(d->texts[c], ';'))
            return c;
    return -1;
}

tap_conclusion tap_conclude(const tap_stats *stats)
{
    const tap_stats *s = stats;
    tap_conclusion c = {
        .leak_condition = -1, .words_clean = (double)NAN, .words_cut = (double)NAN};
    if (!s->data.has_design)
        return c;
    const tap_estimate *r = quantity_at(s, TAP_Q_R), *ci = quantity_at(s, TAP_Q_CI);
    c.decoder_alone = side_of(s, r);
    c.encoder_alone = side_of(s, quantity_at(s, TAP_Q_RV));
    const bool harmed = quantity_at(s, TAP_Q_DEFICIT)->value > 0.0;
    if (harmed && quantity_at(s, TAP_Q_D0)->value > 0.0 && !isnan(r->value) &&
        !isnan(ci->value))
        c.compensates = low_of(s, r) > 0.5 && low_of(s, ci) > 0.0 ? TAP_VERDICT_YES
                                                                  : TAP_VERDICT_NO;
    c.smears = high_of(s, quantity_at(s, TAP_Q_D1)) < 0.0;
    if (is_blind(s, &c.null))
        c.reading = TAP_READ_BLIND;
    else if (!harmed)
        c.reading = TAP_READ_UNHARMED;
    else if (c.decoder_alone == TAP_SIDE_OPEN || c.encoder_alone == TAP_SIDE_OPEN)
        c.reading = TAP_READ_NONE;
    else if (c.encoder_alone == TAP_SIDE_HIGH)
        c.reading =
            c.decoder_alone == TAP_SIDE_HIGH ? TAP_READ_REDUNDANCY : TAP_READ_ENCODER;
    else
        c.reading = c.decoder_alone == TAP_SIDE_HIGH ? TAP_READ_DECODER : TAP_READ_BOTH;

    const int32_t part_cut = find_part_cut(&s->data);
    if (part_cut >= 0 && c.decoder_alone == TAP_SIDE_LOW) {
        const double s11 = cell_at(s, s->data.design[TAP_S11])->value;
        const double s00 = cell_at(s, s->data.design[TAP_S00])->value;
        c.leaks = low_of(s, cell_at(s, part_cut)) > 0.5 * (s11 + s00);
        c.leak_condition = c.leaks ? part_cut : -1;
    }
    const tap_control_result *clean =
        find_control(s, TAP_CONTROL_WORDS, s->data.design[TAP_S11]);
    const tap_control_result *cut =
        find_control(s, TAP_CONTROL_WORDS, s->data.design[TAP_S10]);
    if (clean && cut) {
        c.words_clean = clean->score[TAP_METRIC_LOG_RANK].value;
        c.words_cut = cut->score[TAP_METRIC_LOG_RANK].value;
    }
    return c;
}

/* "0.76 [0.71, 0.80]", or "NA (why)". */
static tap_status put_estimate(tap_buffer *out, const tap_estimate *e, tap_error *err)
{
    if (isnan(e->value))
        return tap_buffer_print(out, err, "NA (%s)",
                                e->na ? e->na : "it has no value in the data");
    return tap_buffer_print(out, err, "%.3f [%.3f, %.3f]", e->value, e->low, e->high);
}

const char *tap_reading_sentence(tap_reading reading)
{
    switch (reading) {
    case TAP_READ_REDUNDANCY:
        return "Redundancy: either half alone keeps most of what both have, and without "
               "both it is lost.";
    case TAP_READ_ENCODER:
        return "The encoder does the work: its features can be read without the "
               "decoder's context, and the decoder does not replace what the encoder cut "
               "takes away.";
    case TAP_READ_DECODER:
        return "The decoder does the work: the encoder's features alone are not ready "
               "to be read, and the decoder makes up for the encoder cut.";
    case TAP_READ_BOTH:
        return "Both halves are needed: neither alone keeps most of what both have.";
    case TAP_READ_BLIND:
        return "No conclusion: in none of the four cells are parts read better than the "
               "null, so this lens does not see parts in this model. Try another "
               "readout.";
    case TAP_READ_UNHARMED:
        return "No reading: both cuts together do not make parts harder to read, so "
               "there is nothing to restore.";
    case TAP_READ_NONE:
        break;
    }
    return "No reading: a ratio is NA or its interval holds 1/2. More images narrow it.";
}

const char *tap_verdict_sentence(tap_verdict verdict)
{
    switch (verdict) {
    case TAP_VERDICT_YES:
        return "Decision: the decoder largely compensates (lower bound of R above 0.5 "
               "and of CI above 0), in this model.";
    case TAP_VERDICT_NO:
        return "Decision: it is not shown that the decoder largely compensates (that "
               "needs the lower bounds of R above 0.5 and of CI above 0).";
    case TAP_VERDICT_NA:
        break;
    }
    return "Decision: none, because R or CI is NA or the cuts do no damage.";
}

static tap_status put_ratios(tap_buffer *out, const tap_stats *s, tap_error *err)
{
    static const struct {
        tap_quantity q;
        const char *text;
    } LINES[] = {
        {TAP_Q_R, "R   (deficit that the decoder alone restores)     "},
        {TAP_Q_RV, "R_V (deficit that the encoder alone restores)     "},
        {TAP_Q_CI, "CI  (encoder damage that the decoder makes good)  "},
        {TAP_Q_D0, "d0  (encoder cut without the decoder's context)   "},
        {TAP_Q_D1, "d1  (encoder cut with the decoder's context)      "},
        {TAP_Q_I, "I   (interaction; above 0 the halves substitute)  "},
    };

    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        TAP_TRY(tap_buffer_print(out, err, "  %s", LINES[i].text));
        TAP_TRY(put_estimate(out, quantity_at(s, LINES[i].q), err));
        TAP_TRY(tap_buffer_put(out, "\n", 1, err));
    }
    return TAP_OK;
}

static tap_status put_object_names(tap_buffer *out, const tap_stats *s, tap_error *err)
{
    const tap_control_result *clean =
        find_control(s, TAP_CONTROL_OBJECT_NAME, s->data.design[TAP_S11]);
    const tap_control_result *off =
        find_control(s, TAP_CONTROL_OBJECT_NAME, s->data.design[TAP_S01]);
    if (!clean || !off)
        return tap_buffer_print(
            out, err,
            "To check, add the control object_name: the rank of the "
            "object's name on the same patches.\n");
    return tap_buffer_print(
        out, err,
        "On the same patches the object's name has S %.3f clean and %.3f with the "
        "encoder cut.\n",
        clean->score[TAP_METRIC_LOG_RANK].value, off->score[TAP_METRIC_LOG_RANK].value);
}

tap_status tap_stats_words(tap_buffer *out, const tap_stats *stats, tap_error *err)
{
    const tap_stats *s = stats;
    const tap_conclusion c = tap_conclude(s);
    if (!s->data.has_design)
        return tap_buffer_print(
            out, err,
            "The experiment states no 2x2 design, so R, CI and I are not defined.\n");
    TAP_TRY(tap_buffer_print(
        out, err, "At depth %d, S as macro average, %g%% percentile intervals:\n",
        s->data.depths[s->data.depth], 100.0 * s->level));
    TAP_TRY(put_ratios(out, s, err));
    TAP_TRY(tap_buffer_print(out, err, "%s\n", tap_verdict_sentence(c.compensates)));
    TAP_TRY(tap_buffer_print(out, err, "%s\n", tap_reading_sentence(c.reading)));
    TAP_TRY(tap_buffer_print(out, err, "The null compared with: %s.\n", c.null));
    if (c.smears) {
        TAP_TRY(tap_buffer_print(
            out, err,
            "Parts rank better with the encoder cut than without: the encoder's context "
            "smears the part's identity into the object's.\n"));
        TAP_TRY(put_object_names(out, s, err));
    }
    if (c.leaks)
        TAP_TRY(tap_buffer_print(
            out, err,
            "Under '%s', which leaves the neighbours their view of the part, the score "
            "stays high: the decoder copies what leaked to them rather than rebuilding "
            "it.\n",
            s->data.conditions[c.leak_condition]));
    if (!isnan(c.words_clean))
        TAP_TRY(tap_buffer_print(
            out, err,
            "The decoder cut costs something even where nothing needs context: with "
            "words for image tokens S is %.3f clean and %.3f under the cut. Read s10 "
            "and s00 beside it.\n",
            c.words_clean, c.words_cut));
    return tap_buffer_print(
        out, err,
        "Limits: a cut shows what the model can do without an edge, not what it "
        "normally does; a lens rank measures what can be read in one basis, not what "
        "is present or used.\n");
}

/* "'a', 'b'": the others whose interval of R lies below that of the best, or not. */
static tap_status put_others(tap_buffer *out, const char *const *names,
                             const tap_estimate *r, size_t n, size_t best, bool below,
                             tap_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (i != best && isfinite(r[i].value) && (r[i].high < r[best].low) == below)
            TAP_TRY(
                tap_buffer_print(out, err, "%s'%s'", out->text ? ", " : "", names[i]));
    return TAP_OK;
}

tap_status tap_stats_compare_words(tap_buffer *out, const char *const *names,
                                   const tap_estimate *r, size_t n, tap_error *err)
{
    size_t best = n, n_defined = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(r[i].value)) {
            n_defined++;
            if (best == n || r[i].value > r[best].value)
                best = i;
        }
    if (n_defined < 2)
        return TAP_OK;
    tap_buffer apart = {0}, alike = {0};
    tap_status status = put_others(&apart, names, r, n, best, true, err);
    if (status == TAP_OK)
        status = put_others(&alike, names, r, n, best, false, err);
    if (status == TAP_OK && apart.text)
        status = tap_buffer_print(
            out, err,
            "The decoder of '%s' makes up for more of the encoder than that of %s: the "
            "intervals of R do not overlap.\n",
            names[best], apart.text);
    if (status == TAP_OK && alike.text)
        status = tap_buffer_print(
            out, err,
            "The intervals of R of '%s' and of %s overlap: these decoders are not told "
            "apart.\n",
            names[best], alike.text);
    tap_buffer_clear(&apart);
    tap_buffer_clear(&alike);
    return status;
}

#include "cli/cli.h"
#include "cli/cmd_stats.h"

#include <math.h>

/* x, or 0 where n digits would print "-0". */
static double tidy(double x, int n_digits)
{
    return fabs(x) < 0.5 * pow(10.0, -n_digits) ? 0.0 : x;
}

/* 21 columns: "0.923 [ 0.91,  0.94]". */
static void put_estimate(const tap_estimate *e)
{
    if (!e || e->na || !isfinite(e->value))
        printf("  %-21s", "NA");
    else
        printf("  %6.3f [%5.2f, %5.2f]", tidy(e->value, 3), tidy(e->low, 2),
               tidy(e->high, 2));
}

static void put_p(double p)
{
    if (isnan(p))
        printf("  %9s", "NA");
    else
        printf("  %9.2g", p);
}

static void put_counts(const tap_stats *s, const char *among)
{
    const tap_stats_data *d = &s->data;
    printf(
        "%lld parts in %lld images scored, of %lld parts in %lld images; ranks among "
        "%s; %lld resamples\n",
        (long long)d->n_items, (long long)d->n_images, (long long)d->n_all_items,
        (long long)d->n_all_images, among, (long long)s->n_resamples);
    if (d->n_all_images < d->n_data_images)
        printf("  not all: the data have %lld images; go on with the run, or merge its "
               "shards\n",
               (long long)d->n_data_images);
    if (d->n_images == 1)
        printf("  one image: all its resamples are alike, the intervals say nothing\n");
    else if (d->n_images < 100)
        printf(
            "  few images: 95%% intervals of 60 hold the truth in about 93%%, of 24 in "
            "90%% (docs/method.md)\n");
    if (d->state != TAP_READOUT_RESID)
        printf("  read by %s\n", tap_stats_data_depth_title(d));
    for (size_t i = 0; i < d->n_exclusions; i++)
        printf("  excluded: %6lld parts in %5lld images: %s\n",
               (long long)d->exclusions[i].n_items,
               (long long)d->exclusions[i].n_images, d->exclusions[i].reason);
    printf("  the best of evenly drawn ranks, as many as each part has patches: S "
           "%.3f\n",
           s->uniform_s);
}

static void put_table(const tap_stats *s, tap_average average, int32_t m)
{
    static const tap_quantity quantities[] = {TAP_Q_R, TAP_Q_CI, TAP_Q_I};
    static const char *const cells[] = {"s11 clean", "s01 encoder off",
                                        "s10 decoder off", "s00 both off"};
    printf("\n%s, %s average, %g%% percentile bootstrap intervals over images\ndepth",
           tap_metric_name(s->metrics[m]), tap_average_name(average), 100.0 * s->level);
    if (s->data.has_design) {
        for (int c = 0; c < TAP_N_CELLS; c++)
            printf("  %-21s", cells[c]);
        printf("  %-21s  %-21s  %-21s\n", "R", "CI", "I");
    } else {
        for (int32_t c = 0; c < s->data.n_conditions; c++)
            printf("  %-21.21s", s->data.conditions[c]);
        putchar('\n');
    }
    for (int32_t d = 0; d < s->data.n_depths; d++) {
        printf("%5d", s->data.depths[d]);
        const int32_t n = s->data.has_design ? TAP_N_CELLS : s->data.n_conditions;
        for (int32_t c = 0; c < n; c++)
            put_estimate(tap_stats_cell(s, average, m, d,
                                        s->data.has_design ? s->data.design[c] : c));
        for (int q = 0; s->data.has_design && q < 3; q++)
            put_estimate(tap_stats_quantity(s, average, m, d, quantities[q]));
        putchar('\n');
    }
}

static void put_tests(const tap_stats *s)
{
    const tap_stats_data *d = &s->data;
    if (s->tests.n_tests == 0)
        return;
    printf("\nTests at depth %d: log2 rank of b minus a, mean over images; p by sign "
           "flips, with Holm over all rows, by Wilcoxon, by clustered McNemar for "
           "hit@10\n%-24s  %8s  %-21s  %9s  %9s  %9s  %9s  depths beyond chance\n",
           d->depths[d->depth], "a -> b", "mean", "effect (mean / sd)", "p flip",
           "p Holm", "p Wilcox.", "p hit@10");
    for (int32_t i = 0; i < s->tests.n_tests; i++) {
        const tap_test *t = &s->tests.tests[i];
        const tap_estimate effect = {
            .value = t->effect, .low = t->effect_low, .high = t->effect_high};
        char pair[80];
        (void)snprintf(pair, sizeof pair, "%.30s -> %.30s", d->conditions[t->a],
                       d->conditions[t->b]);
        printf("%-24s  %+8.3f", pair, t->mean);
        put_estimate(&effect);
        put_p(t->p_flip);
        put_p(t->p_holm);
        put_p(t->p_wilcoxon);
        put_p(t->p_mcnemar[2]);
        int32_t n_beyond = 0;
        for (int32_t k = 0; k < d->n_depths; k++) {
            const tap_test_point *p = &s->tests.curve[i * d->n_depths + k];
            n_beyond += fabs(p->mean) > p->null_band;
        }
        printf("  %d of %d\n", n_beyond, d->n_depths);
    }
}

static void put_controls(const tap_stats *s)
{
    const tap_stats_data *d = &s->data;
    if (s->controls.n == 0)
        return;
    printf("\nControls at depth %d, macro S over the items that have them\n%-22s  "
           "%-16s  %6s  %-21s  %-21s  percentile of parts\n",
           d->depths[d->depth], "control", "condition", "items", "S of the control",
           "S of parts minus it");
    for (size_t i = 0; i < s->controls.n; i++) {
        const tap_control_result *r = &s->controls.results[i];
        printf("%-22s  %-16.16s  %6lld", tap_control_name(r->control),
               d->conditions[r->condition], (long long)r->n_items);
        put_estimate(&r->score[TAP_METRIC_LOG_RANK]);
        put_estimate(&r->gap[TAP_METRIC_LOG_RANK]);
        put_estimate(&r->percentile);
        putchar('\n');
    }
}

static void put_located(const tap_stats *s)
{
    const tap_stats_data *d = &s->data;
    if (s->located.n == 0)
        return;
    printf("\nInside the part against outside at depth %d, macro: auc, how often the "
           "name's logit is larger inside; gap, its mean log-probability inside minus "
           "outside, in nats\n%-8s  %6s",
           d->depths[d->depth], "", "items");
    const int32_t n = d->has_design ? TAP_N_CELLS : d->n_conditions;
    for (int32_t c = 0; c < n; c++)
        printf("  %-21.21s", d->conditions[d->has_design ? d->design[c] : c]);
    printf("%s\n", d->has_design ? "  R" : "");
    for (int i = 0; i < s->located.n; i++) {
        const tap_located *r = &s->located.results[i];
        printf("%-8s  %6lld", tap_locate_name(r->what), (long long)r->n_items);
        for (int32_t c = 0; c < n; c++)
            put_estimate(&r->score[(int64_t)d->depth * d->n_conditions +
                                   (d->has_design ? d->design[c] : c)]);
        if (d->has_design)
            put_estimate(&r->design[(int64_t)d->depth * TAP_N_QUANTITIES + TAP_Q_R]);
        putchar('\n');
    }
}

static void put_strata(const tap_stats *s)
{
    const tap_stats_data *d = &s->data;
    printf(
        "\nStrata at depth %d, macro S: place of a part's patches in reading order (a "
        "causal decoder sees only what comes before), and their number\n%-14s  %6s",
        d->depths[d->depth], "", "items");
    const int32_t n = d->has_design ? TAP_N_CELLS : d->n_conditions;
    for (int32_t c = 0; c < n; c++)
        printf("  %-21.21s", d->conditions[d->has_design ? d->design[c] : c]);
    printf("%s\n", d->has_design ? "  R" : "");
    for (size_t i = 0; i < s->strata.n; i++) {
        const tap_stratum *t = &s->strata.strata[i];
        printf("%-5s  %-7s  %6lld", t->by, t->name, (long long)t->n_items);
        for (int32_t c = 0; c < n; c++)
            put_estimate(&t->score[d->has_design ? d->design[c] : c]);
        if (d->has_design)
            put_estimate(&t->design[TAP_Q_R]);
        putchar('\n');
    }
}

static void put_doses(const tap_stats *s)
{
    const tap_stats_data *d = &s->data;
    if (d->n_doses == 0)
        return;
    printf("\nDose curves of S at depth %d\n%-22s  %-21s  %-21s\n", d->depths[d->depth],
           "curve", "mean over doses", "dose at half damage");
    for (size_t i = 0; i < d->n_doses; i++) {
        printf("%-22.22s", d->doses[i].name);
        put_estimate(&s->doses[i].area);
        put_estimate(&s->doses[i].half);
        putchar('\n');
    }
}

tap_status tap_stats_put_text(const tap_stats *stats, tap_error *err)
{
    tap_buffer words = {0};
    TAP_TRY(tap_stats_data_put_among(&words, &stats->data, err));
    put_counts(stats, words.text);
    words.n_bytes = 0;
    for (int a = 0; a < TAP_N_AVERAGES; a++)
        for (int32_t m = 0; m < stats->n_metrics; m++)
            put_table(stats, (tap_average)a, m);
    put_tests(stats);
    put_controls(stats);
    put_located(stats);
    put_strata(stats);
    put_doses(stats);
    TAP_TRY(tap_stats_words(&words, stats, err));
    printf("\n%s", words.text);
    tap_buffer_clear(&words);
    return TAP_OK;
}

#include "report/report.h"

#include "lab/stats_words.h"
#include "report/assets.h"
#include "report/escape.h"
#include "report/figures.h"
#include "report/gallery_static.h"
#include "report/page.h"
#include "report/tables.h"
#include "report/words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDE_PX = 720, NARROW_PX = 340, STATIC_ITEMS = 6 };

/* A study and what its elements' ids begin with. */
typedef struct part {
    const tap_study *study;
    int index;
    const tap_report_options *options;
} part;

static tap_status put(tap_buffer *out, const char *text, tap_error *err)
{
    return tap_buffer_put(out, text, strlen(text), err);
}

/* ---- figures ---- */

static tap_status put_numbers(tap_buffer *out, const tap_figure *f, tap_error *err)
{
    TAP_TRY(
        put(out,
            "<details class=\"numbers\"><summary>Numbers</summary><div "
            "class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Numbers of "
            "the figure\"><table><thead><tr>",
            err));
    const size_t n = (size_t)f->n_columns;
    for (size_t i = 0; i < f->n_cells; i++) {
        const bool head = i < n;
        if (i > 0 && i % n == 0)
            TAP_TRY(
                put(out, i == n ? "</tr></thead><tbody>\n<tr>" : "</tr>\n<tr>", err));
        TAP_TRY(put(out, head ? "<th scope=\"col\">" : "<td>", err));
        TAP_TRY(tap_page_text(out, tap_figure_text(f, f->cells[i]), err));
        TAP_TRY(put(out, head ? "</th>" : "</td>", err));
    }
    return put(out, "</tr></tbody></table></div></details>\n", err);
}

static tap_status put_figure(tap_buffer *out, const part *p,
                             const tap_figure_kind *kind, tap_error *err)
{
    tap_figure_view view = tap_figure_view_of(p->study);
    const char *missing = NULL;
    tap_status status = TAP_OK;
    for (int narrow = 0; narrow < 2; narrow++) {
        tap_figure f = {0};
        char id[64];
        (void)snprintf(id, sizeof id, "f%d-%s-%c", p->index, kind->name,
                       narrow ? 'n' : 'w');
        view.width_px = narrow ? NARROW_PX : WIDE_PX;
        status = kind->build(&f, &missing, p->study, &view, err);
        if (status == TAP_OK && missing) {
            TAP_TRY(put(out, "<p class=\"missing\">", err));
            TAP_TRY(tap_page_text(out, missing, err));
            return put(out, "</p>\n", err);
        }
        if (status == TAP_OK && !narrow)
            status = tap_buffer_print(out, err,
                                      "<figure id=\"fig-%d-%s\" data-figure=\"%s\" "
                                      "aria-label=\"%s\"><div class=\"canvas\">",
                                      p->index, kind->name, kind->name, kind->heading);
        if (status == TAP_OK)
            status =
                tap_figure_svg(out, &f, id, narrow ? "fig narrow" : "fig wide", err);
        if (status == TAP_OK && narrow)
            status = put(out, "</div>\n<div class=\"tools\"></div>\n", err);
        if (status == TAP_OK && narrow)
            status = put_numbers(out, &f, err);
        tap_figure_clear(&f);
        TAP_TRY(status);
    }
    return put(out, "</figure>\n", err);
}

static tap_status put_named(tap_buffer *out, const part *p, const char *name,
                            tap_error *err)
{
    const tap_figure_kind *kind = NULL;
    TAP_TRY(tap_figure_find(&kind, name, err));
    return put_figure(out, p, kind, err);
}

/* ---- sections ---- */

static tap_status open_section(tap_buffer *out, const part *p, const char *id,
                               const char *heading, const char *text, tap_error *err)
{
    return tap_buffer_print(out, err,
                            "<section id=\"%s-%d\" class=\"block\">\n<h3>%s</h3>\n"
                            "<p class=\"lede\">%s</p>\n",
                            id, p->index, heading, text);
}

/* Lines of plain text as paragraphs. */
static tap_status put_paragraphs(tap_buffer *out, const char *text, tap_error *err)
{
    while (*text) {
        const size_t n = strcspn(text, "\n");
        char *line = NULL;
        TAP_TRY(tap_text_copy(&line, text, n, err));
        tap_status status = put(out, "<p>", err);
        if (status == TAP_OK)
            status = tap_page_text(out, line, err);
        tap_free(line);
        TAP_TRY(status);
        TAP_TRY(put(out, "</p>\n", err));
        text += n + (text[n] == '\n');
    }
    return TAP_OK;
}

static tap_status put_tile(tap_buffer *out, const char *name, const char *symbol,
                           const tap_estimate *e, bool percent, tap_error *err)
{
    char value[32] = "NA", range[64] = "";
    if (isfinite(e->value) && percent) {
        (void)snprintf(value, sizeof value, "%.0f\u202F%%", 100 * e->value);
        (void)snprintf(range, sizeof range, "%.0f to %.0f\u202F%%", 100 * e->low,
                       100 * e->high);
    } else if (isfinite(e->value)) {
        (void)snprintf(value, sizeof value, "%.3f", e->value);
        (void)snprintf(range, sizeof range, "%.3f to %.3f", e->low, e->high);
    }
    return tap_buffer_print(
        out, err,
        "<div class=\"tile\"><dt>%s <i>%s</i></dt><dd><b>%s</b><span>%s</span></dd></div>\n",
        name, symbol, value, range);
}

static tap_status put_tiles(tap_buffer *out, const tap_study *s, tap_error *err)
{
    const tap_figure_view v = tap_figure_view_of(s);
    if (!s->stats->design)
        return TAP_OK;
#define QUANTITY(q) tap_stats_quantity(s->stats, v.average, v.metric, v.depth, q)
    TAP_TRY(put(out, "<dl class=\"tiles\">", err));
    TAP_TRY(
        put_tile(out, "Restored by the decoder", "R", QUANTITY(TAP_Q_R), true, err));
    TAP_TRY(
        put_tile(out, "Damage that disappears", "CI", QUANTITY(TAP_Q_CI), true, err));
    TAP_TRY(put_tile(out, "Damage, decoder cut", "d0", QUANTITY(TAP_Q_D0), false, err));
    TAP_TRY(
        put_tile(out, "Damage, decoder intact", "d1", QUANTITY(TAP_Q_D1), false, err));
#undef QUANTITY
    return put(out, "</dl>\n", err);
}

/* The reading's first words, and what follows them in a quieter voice. */
static tap_status put_reading(tap_buffer *out, const tap_study *study, bool whole,
                              tap_error *err)
{
    const char *head = NULL, *rest = NULL;
    char *words = NULL;
    size_t n_head = 0;
    tap_study_headline(&head, &n_head, &rest, study);
    TAP_TRY(tap_text_copy(&words, head, n_head, err));
    tap_status status = tap_page_text(out, words, err);
    tap_free(words);
    if (status == TAP_OK && whole && *rest) {
        status = put(out, ": <span>", err);
        if (status == TAP_OK)
            status = tap_page_text(out, rest, err);
        if (status == TAP_OK)
            status = put(out, "</span>", err);
    }
    return status;
}

static tap_status put_answer(tap_buffer *out, const part *p, bool several,
                             tap_error *err)
{
    tap_buffer words = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_buffer_print(
        out, err, "<section id=\"answer-%d\" class=\"answer\">\n", p->index));
    if (several) {
        TAP_TRY_OUT(put(out, "<p class=\"over\">", err));
        TAP_TRY_OUT(tap_page_text(out, p->study->title, err));
        TAP_TRY_OUT(put(out, "</p>\n", err));
    }
    TAP_TRY_OUT(put(out, "<h2>", err));
    TAP_TRY_OUT(put_reading(out, p->study, true, err));
    TAP_TRY_OUT(put(out, "</h2>\n", err));
    TAP_TRY_OUT(put_tiles(out, p->study, err));
    TAP_TRY_OUT(put(out, "<div class=\"words\">\n", err));
    TAP_TRY_OUT(tap_study_words(&words, p->study, err));
    TAP_TRY_OUT(put_paragraphs(out, words.text, err));
    TAP_TRY_OUT(put(out, "</div>\n</section>\n", err));
out:
    tap_buffer_clear(&words);
    return status;
}

static tap_status put_gallery(tap_buffer *out, const part *p, tap_error *err)
{
    TAP_TRY(open_section(
        out, p, "gallery", "Part by part, patch by patch",
        "Each card is one part in one photograph: the part with the model's patches, the "
        "rank of its name at each patch (logarithmic: bright is rank 1), and what changes "
        "between two conditions. Open a card for every patch and its words.",
        err));
    TAP_TRY(tap_buffer_print(out, err, "<div class=\"gallery\">\n"));
    TAP_TRY(tap_gallery_static(out, p->study, p->options->images, STATIC_ITEMS, err));
    return put(out, "</div>\n</section>\n", err);
}

/* The commands that give this page again. */
static tap_status put_commands(tap_buffer *out, const part *p, tap_error *err)
{
    char *run = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_study_fact(&run, p->study, "run.command", err));
    TAP_TRY_OUT(put(out, "<pre class=\"commands\" tabindex=\"0\"><code>", err));
    if (*run) {
        TAP_TRY_OUT(tap_page_text(out, run, err));
        TAP_TRY_OUT(put(out, "\n", err));
    }
    TAP_TRY_OUT(tap_page_text(out,
                              p->options->command_line
                                  ? p->options->command_line
                                  : "tapetum report results.db -o report.html",
                              err));
    static const char *const more[] = {"stats %s --json", "stats %s --receipts",
                                       "export %s score -o score.csv",
                                       "figure %s depth -o depth.pdf"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        const char *path = tap_store_path(p->study->store);
        const size_t before = strcspn(more[i], "%");
        TAP_TRY_OUT(tap_buffer_print(out, err, "\ntapetum %.*s", (int)before, more[i]));
        TAP_TRY_OUT(tap_page_text(out, path, err));
        TAP_TRY_OUT(put(out, more[i] + before + 2, err));
    }
    TAP_TRY_OUT(put(out, "</code></pre>\n", err));
out:
    tap_free(run);
    return status;
}

static tap_status put_records(tap_buffer *out, const part *p, tap_error *err)
{
    TAP_TRY(
        open_section(out, p, "controls", "Controls and nulls",
                     "The same names read elsewhere: at other patches, in other "
                     "pictures, or another name at the same patches. A part is seen "
                     "only as far as it stands above them.",
                     err));
    TAP_TRY(put_named(out, p, "controls", err));
    TAP_TRY(
        put(out,
            "<h4>Paired tests</h4>\n<p>Image by image: the mean difference of log2 "
            "rank, positive when the second condition ranks worse; p of sign flips, "
            "adjusted after Holm over all rows.</p>\n",
            err));
    TAP_TRY(tap_page_tests(out, p->study, err));
    TAP_TRY(tap_page_located(out, p->study, err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(
        open_section(out, p, "receipts", "Receipts",
                     "What attention did, counted in the loop that used the weights, "
                     "summed over images, blocks and heads.",
                     err));
    TAP_TRY(tap_page_receipts(out, p->study, err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(open_section(out, p, "exclusions", "What is left out, and why",
                         "Parts that the annotations hold and that are not scored.",
                         err));
    TAP_TRY(tap_page_exclusions(out, p->study, err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(open_section(out, p, "manifest", "Manifest",
                         "How these numbers were made, and the commands that make this "
                         "page again.",
                         err));
    TAP_TRY(put_commands(out, p, err));
    TAP_TRY(put(out, "<h4>Conditions</h4>\n", err));
    TAP_TRY(tap_page_conditions(out, p->study, err));
    TAP_TRY(put(out, "<h4>Facts</h4>\n", err));
    TAP_TRY(tap_page_manifest(out, p->study, err));
    return put(out, "</section>\n", err);
}

static tap_status put_contents(tap_buffer *out, const part *p, tap_error *err)
{
    static const char *const ids[] = {"answer",   "cells",      "depth",   "recovery",
                                      "doses",    "parts",      "gallery", "controls",
                                      "receipts", "exclusions", "manifest"};
    static const char *const names[] = {"Answer",   "2\u00D72",   "Depth",   "Recovery",
                                        "Doses",    "Parts",      "Patches", "Controls",
                                        "Receipts", "Exclusions", "Manifest"};
    TAP_TRY(put(out, "<nav aria-label=\"Contents\"><ul>", err));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        TAP_TRY(tap_buffer_print(out, err, "<li><a href=\"#%s-%d\">%s</a></li>", ids[i],
                                 p->index, names[i]));
    return put(out, "</ul></nav>\n", err);
}

static tap_status put_study(tap_buffer *out, const part *p, bool several,
                            tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err,
                             "<article class=\"study\" data-study=\"%d\" "
                             "id=\"study-%d\" aria-label=\"",
                             p->index, p->index));
    TAP_TRY(tap_page_text(out, p->study->title, err));
    TAP_TRY(put(out, "\">\n", err));
    TAP_TRY(put_answer(out, p, several, err));
    TAP_TRY(put_contents(out, p, err));
    TAP_TRY(
        open_section(out, p, "cells", "The 2\u00D72",
                     "Attention among patches left alone or cut, in the encoder, in "
                     "the decoder, in both. Orange arrows lose, blue arrows win "
                     "back; their width is the amount.",
                     err));
    TAP_TRY(put_named(out, p, "cells", err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(
        open_section(out, p, "depth", "Depth by depth",
                     "Depth 0 is what the encoder hands over; each block of the "
                     "decoder adds one. S is linear in the logarithm of the rank, so "
                     "the scale of ranks at the right is logarithmic. Bands are "
                     "intervals; the grey band is what as many random patches give.",
                     err));
    TAP_TRY(put_named(out, p, "depth", err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(
        open_section(out, p, "recovery", "Recovery and compensation",
                     "R is the share of the whole loss that the decoder alone "
                     "restores, R_V the encoder's, CI the share of the encoder's "
                     "damage that disappears with the decoder. A ratio is left out "
                     "(NA) where its denominator cannot be told from 0; intervals "
                     "wider than the frame are cut at it. Below, the differences they "
                     "are made of.",
                     err));
    TAP_TRY(put_named(out, p, "recovery", err));
    TAP_TRY(put_named(out, p, "effects", err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(open_section(out, p, "doses", "Graded cuts", "The same cut in small steps.",
                         err));
    TAP_TRY(put_named(out, p, "doses", err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(
        open_section(out, p, "parts", "Which parts",
                     "For each category: what the encoder cut costs without the "
                     "decoder (triangles) and with it (squares), with intervals. The "
                     "wider the gap, the more the decoder makes up for. Of many "
                     "categories the 40 with most parts are drawn; the numbers hold "
                     "all.",
                     err));
    TAP_TRY(put_named(out, p, "parts", err));
    TAP_TRY(put(out, "</section>\n", err));
    TAP_TRY(put_gallery(out, p, err));
    TAP_TRY(put_records(out, p, err));
    TAP_TRY(tap_buffer_print(
        out, err, "<script type=\"application/json\" id=\"data-%d\">", p->index));
    TAP_TRY(tap_page_data(out, p->study, p->options->images, err));
    return put(out, "</script>\n</article>\n", err);
}

/* ---- the page ---- */

/* Which decoder makes up for most, by R. */
static tap_status put_comparison(tap_buffer *out, tap_study *const *studies, size_t n,
                                 tap_error *err)
{
    const char **names = NULL;
    tap_estimate *r = NULL;
    tap_buffer said = {0};
    tap_status status = tap_alloc(&names, n, sizeof *names, "a comparison", err);
    if (status == TAP_OK)
        status = tap_alloc(&r, n, sizeof *r, "a comparison", err);
    for (size_t i = 0; i < n && status == TAP_OK; i++) {
        const tap_figure_view v = tap_figure_view_of(studies[i]);
        const tap_estimate *e = tap_stats_quantity(studies[i]->stats, v.average,
                                                   v.metric, v.depth, TAP_Q_R);
        names[i] = studies[i]->title;
        r[i] = e ? *e : (tap_estimate){.value = (double)NAN};
    }
    if (status == TAP_OK)
        status = tap_stats_compare_words(&said, names, r, n, err);
    if (status == TAP_OK && said.text) {
        TAP_TRY_OUT(put(out, "<div class=\"words\"><p>", err));
        TAP_TRY_OUT(tap_page_text(out, said.text, err));
        TAP_TRY_OUT(put(out, "</p></div>\n", err));
    }
out:
    tap_buffer_clear(&said);
    tap_free(r);
    tap_free(names);
    return status;
}

/* Several subjects side by side, before each is shown alone. */
static tap_status put_summary(tap_buffer *out, tap_study *const *studies, size_t n,
                              tap_error *err)
{
    TAP_TRY(put(out,
                "<section class=\"block\" id=\"subjects\"><h2>Subjects</h2>\n<div "
                "class=\"scroll\" tabindex=\"0\" role=\"region\" "
                "aria-label=\"Subjects\"><table class=\"subjects\"><thead><tr><th "
                "scope=\"col\">subject</th><th scope=\"col\">reading</th><th "
                "class=\"num\" scope=\"col\">S clean</th><th class=\"num\" "
                "scope=\"col\">R</th><th class=\"num\" scope=\"col\">CI</th><th "
                "class=\"num\" scope=\"col\">I</th></tr></thead><tbody>\n",
                err));
    for (size_t i = 0; i < n; i++) {
        const tap_study *s = studies[i];
        const tap_figure_view v = tap_figure_view_of(s);
        TAP_TRY(tap_buffer_print(
            out, err, "<tr><th scope=\"row\"><a href=\"#study-%d\">", (int)i));
        TAP_TRY(tap_page_text(out, s->title, err));
        TAP_TRY(put(out, "</a></th><td>", err));
        TAP_TRY(put_reading(out, s, false, err));
        TAP_TRY(put(out, "</td>", err));
        static const tap_quantity shown[] = {TAP_Q_DEFICIT, TAP_Q_R, TAP_Q_CI, TAP_Q_I};
        for (int k = 0; k < 4; k++) {
            const tap_estimate *e =
                k == 0
                    ? tap_stats_cell(s->stats, v.average, v.metric, v.depth,
                                     s->data->has_design ? s->data->design[TAP_S11] : 0)
                    : tap_stats_quantity(s->stats, v.average, v.metric, v.depth,
                                         shown[k]);
            TAP_TRY(e && isfinite(e->value)
                        ? tap_buffer_print(out, err,
                                           "<td class=\"num\"><b>%.2f</b> [%.2f, "
                                           "%.2f]</td>",
                                           e->value, e->low, e->high)
                        : put(out, "<td class=\"num\">NA</td>", err));
        }
        TAP_TRY(put(out, "</tr>\n", err));
    }
    TAP_TRY(put(out, "</tbody></table></div>\n", err));
    TAP_TRY(put_comparison(out, studies, n, err));
    return put(out, "</section>\n", err);
}

static tap_status put_body(tap_buffer *out, tap_study *const *studies, size_t n,
                           const tap_report_options *options, tap_error *err)
{
    TAP_TRY(
        put(out,
            "<header class=\"top\"><p class=\"over\">tapetum report</p>\n<h1>Who does "
            "the seeing?</h1>\n<p class=\"sub\">A vision-language model is an encoder "
            "that looks and a decoder that talks. Attention is cut in each, and in "
            "both; what is left of the names of parts, read at their own patches, "
            "tells who saw them.</p></header>\n<main id=\"main\">\n",
            err));
    if (n > 1)
        TAP_TRY(put_summary(out, studies, n, err));
    for (size_t i = 0; i < n; i++) {
        const part p = {.study = studies[i], .index = (int)i, .options = options};
        TAP_TRY(put_study(out, &p, n > 1, err));
    }
    return put(out, "</main>\n", err);
}

tap_status tap_report_write(const char *path, const tap_store *const *stores, size_t n,
                            const tap_report_options *options, tap_error *err)
{
    tap_study **studies = NULL;
    tap_buffer body = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&studies, n, sizeof *studies, "a report", err));
    for (size_t i = 0; i < n; i++)
        TAP_TRY_OUT(tap_study_open(&studies[i], stores[i], options->n_threads, err));
    TAP_TRY_OUT(put_body(&body, studies, n, options, err));
    status = tap_page_write(
        path, body.text, n == 1 ? studies[0]->title : "tapetum report",
        (const char *)tap_asset_d3_js, (const char *)tap_asset_page_js, err);
out:
    tap_buffer_clear(&body);
    for (size_t i = 0; i < n && studies; i++)
        tap_study_free(studies[i]);
    tap_free(studies);
    return status;
}

tap_status tap_report(const char *page_path, const char *const *database_paths,
                      size_t n_databases, int n_threads, tap_error *err)
{
    tap_store **stores = NULL;
    const tap_report_options options = {.images = TAP_IMAGES_THUMB,
                                        .n_threads = n_threads};
    if (!page_path || !database_paths || n_databases == 0)
        return TAP_FAIL(err, TAP_EINVAL, "a report needs a path and a database");
    TAP_TRY(tap_alloc(&stores, n_databases, sizeof *stores, "a report", err));
    tap_status status = TAP_OK;
    for (size_t i = 0; i < n_databases; i++)
        TAP_TRY_OUT(tap_store_open_read(&stores[i], database_paths[i], err));
    status = tap_report_write(page_path, (const tap_store *const *)stores, n_databases,
                              &options, err);
out:
    for (size_t i = 0; i < n_databases; i++)
        tap_store_close(stores[i]);
    tap_free(stores);
    return status;
}

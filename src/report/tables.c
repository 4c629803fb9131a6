#include "report/tables.h"

#include "lab/store_sql.h"
#include "report/escape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* <table><thead>: names separated by '|'; a name that begins with '#' is of numbers. */
static tap_status put_head(tap_buffer *out, const char *caption, const char *names,
                           tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err,
                             "<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
                             "aria-label=\"%s\"><table><thead><tr>",
                             caption));
    for (const char *at = names; *at;) {
        const size_t n = strcspn(at, "|");
        const bool number = *at == '#';
        TAP_TRY(tap_buffer_print(out, err, "<th scope=\"col\"%s>%.*s</th>",
                                 number ? " class=\"num\"" : "", (int)(n - number),
                                 at + number));
        at += n + (at[n] == '|');
    }
    return tap_buffer_print(out, err, "</tr></thead><tbody>\n");
}

static tap_status put_text(tap_buffer *out, const char *class, const char *text,
                           tap_error *err)
{
    TAP_TRY(tap_buffer_print(out, err, "<td%s%s%s>", *class ? " class=\"" : "", class,
                             *class ? "\"" : ""));
    TAP_TRY(tap_page_text(out, text ? text : "", err));
    return tap_buffer_print(out, err, "</td>");
}

static tap_status put_real(tap_buffer *out, const char *format, double value,
                           tap_error *err)
{
    char text[64] = "NA";
    if (isfinite(value)) {
        /* one of two formats, chosen by its letter */
        if (strcmp(format, "p") == 0)
            (void)snprintf(text, sizeof text, value < 0.001 ? "%.1e" : "%.3f", value);
        else
            (void)snprintf(text, sizeof text, "%.3f", value);
    }
    return put_text(out, "num", text, err);
}

static tap_status put_foot(tap_buffer *out, tap_error *err)
{
    return tap_buffer_print(out, err, "</tbody></table></div>\n");
}

/* Rows of a query as they are; columns whose bit is set in `numbers` are numbers. */
static tap_status put_query(tap_buffer *out, int64_t *n_rows, const tap_study *study,
                            const char *sql, unsigned numbers, tap_error *err)
{
    const char *path = tap_store_path(study->store);
    sqlite3_stmt *query = NULL;
    TAP_TRY(tap_sql_prepare(&query, tap_store_sqlite(study->store), path, sql, err));
    tap_status status = TAP_OK;
    for (bool row = true; status == TAP_OK;) {
        TAP_TRY_OUT(tap_sql_step(&row, query, path, err));
        if (!row)
            break;
        ++*n_rows;
        TAP_TRY_OUT(tap_buffer_print(out, err, "<tr>"));
        for (int c = 0; c < sqlite3_column_count(query); c++)
            TAP_TRY_OUT(put_text(out, numbers >> c & 1 ? "num" : "",
                                 (const char *)sqlite3_column_text(query, c), err));
        TAP_TRY_OUT(tap_buffer_print(out, err, "</tr>\n"));
    }
out:
    (void)sqlite3_finalize(query);
    return status;
}

tap_status tap_page_tests(tap_buffer *out, const tap_study *study, tap_error *err)
{
    const tap_tests *t = &study->stats->tests;
    TAP_TRY(put_head(out, "Paired tests",
                     "against|condition|#shift of log2 rank|#effect|#low|#high|"
                     "#p, sign flips|#p, Holm|#p, Wilcoxon",
                     err));
    for (int32_t i = 0; i < t->n_tests; i++) {
        const tap_test *e = &t->tests[i];
        TAP_TRY(tap_buffer_print(out, err, "<tr>"));
        TAP_TRY(put_text(out, "", study->data->conditions[e->a], err));
        TAP_TRY(put_text(out, "", study->data->conditions[e->b], err));
        TAP_TRY(put_real(out, "", e->mean, err));
        TAP_TRY(put_real(out, "", e->effect, err));
        TAP_TRY(put_real(out, "", e->effect_low, err));
        TAP_TRY(put_real(out, "", e->effect_high, err));
        TAP_TRY(put_real(out, "p", e->p_flip, err));
        TAP_TRY(put_real(out, "p", e->p_holm, err));
        TAP_TRY(put_real(out, "p", e->p_wilcoxon, err));
        TAP_TRY(tap_buffer_print(out, err, "</tr>\n"));
    }
    return put_foot(out, err);
}

tap_status tap_page_located(tap_buffer *out, const tap_study *study, tap_error *err)
{
    const tap_stats *s = study->stats;
    const tap_stats_data *d = study->data;
    if (s->located.n == 0)
        return TAP_OK;
    TAP_TRY(tap_buffer_print(
        out, err,
        "<h4>Inside the part against outside</h4>\n<p>At depth %d, macro averages with "
        "%g %% intervals: auc, the share of pairs of a patch inside and one outside in "
        "which the name's logit is larger inside; gap, the name's mean log-probability "
        "inside minus outside, in nats.</p>\n",
        d->depths[d->depth], 100.0 * s->level));
    TAP_TRY(put_head(out, "Inside the part against outside",
                     "measure|condition|#parts|#mean|#low|#high", err));
    for (int i = 0; i < s->located.n; i++) {
        const tap_located *r = &s->located.results[i];
        for (int32_t c = 0; c < d->n_conditions; c++) {
            const tap_estimate *e = &r->score[(int64_t)d->depth * d->n_conditions + c];
            char n_items[24];
            (void)snprintf(n_items, sizeof n_items, "%lld", (long long)r->n_items);
            TAP_TRY(tap_buffer_print(out, err, "<tr>"));
            TAP_TRY(put_text(out, "", tap_locate_name(r->what), err));
            TAP_TRY(put_text(out, "", d->conditions[c], err));
            TAP_TRY(put_text(out, "num", n_items, err));
            TAP_TRY(put_real(out, "", e->value, err));
            TAP_TRY(put_real(out, "", e->low, err));
            TAP_TRY(put_real(out, "", e->high, err));
            TAP_TRY(tap_buffer_print(out, err, "</tr>\n"));
        }
    }
    return put_foot(out, err);
}

tap_status tap_page_receipts(tap_buffer *out, const tap_study *study, tap_error *err)
{
    /* a row stands for every block and head of its box */
    static const char sql[] =
        "WITH r AS (SELECT *, (last_block - first_block + 1) * (last_head - first_head + "
        "1) AS box FROM receipt) "
        "SELECT condition.name, stack, min(max(first_block, 0)) || '\u2013' || max(last_block), "
        "min(first_head) || '\u2013' || max(last_head), count(DISTINCT image_id), "
        "sum(box * allowed), sum(box * cut), sum(box * zeroed), sum(box * used), "
        "round(100.0 * sum(box * (cut + zeroed)) / max(1, sum(box * allowed)), 1) || "
        "' %', sum(box * weight_on_cut), "
        "CASE WHEN sum(box * (cut + zeroed + used - allowed)) = 0 AND "
        "sum(weight_on_cut) = 0 THEN 'holds' ELSE 'DOES NOT HOLD' END "
        "FROM r JOIN condition ON condition.id = r.condition_id "
        "GROUP BY condition_id, stack ORDER BY condition_id, stack DESC";
    int64_t n = 0;
    TAP_TRY(
        put_head(out, "Receipts",
                 "condition|stack|#blocks|#heads|#images|#allowed|#cut|#zeroed|#used|"
                 "#share cut|#weight on cut|allowed = cut + zeroed + used",
                 err));
    TAP_TRY(put_query(out, &n, study, sql, 0x7FC, err));
    TAP_TRY(put_foot(out, err));
    if (n == 0)
        return tap_buffer_print(out, err,
                                "<p>This database holds no receipts, so nothing here "
                                "proves what was cut.</p>\n");
    return TAP_OK;
}

tap_status tap_page_exclusions(tap_buffer *out, const tap_study *study, tap_error *err)
{
    int64_t n = 0;
    TAP_TRY(put_head(out, "Exclusions", "reason|#parts|#images", err));
    TAP_TRY(put_query(out, &n, study, "SELECT * FROM exclusion", 6, err));
    TAP_TRY(put_foot(out, err));
    if (n == 0)
        return tap_buffer_print(out, err, "<p>Nothing is excluded.</p>\n");
    return TAP_OK;
}

tap_status tap_page_conditions(tap_buffer *out, const tap_study *study, tap_error *err)
{
    int64_t n = 0;
    TAP_TRY(put_head(out, "Conditions", "condition|text", err));
    TAP_TRY(
        put_query(out, &n, study,
                  "SELECT name, CASE text WHEN '' THEN '(empty: nothing is cut)' ELSE "
                  "text END FROM condition ORDER BY id",
                  0, err));
    return put_foot(out, err);
}

tap_status tap_page_manifest(tap_buffer *out, const tap_study *study, tap_error *err)
{
    int64_t n = 0;
    TAP_TRY(put_head(out, "Manifest", "key|value|identity", err));
    TAP_TRY(put_query(out, &n, study,
                      "SELECT key, value, CASE identity WHEN 1 THEN 'yes' ELSE '' END "
                      "FROM manifest ORDER BY key",
                      0, err));
    return put_foot(out, err);
}

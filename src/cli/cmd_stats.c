/* tapetum stats: the 2x2 at every depth, with intervals. Reads the database alone. */
#include "cli/cmd_stats.h"

#include "cli/commands.h"

#include <math.h>
#include <sqlite3.h>
#include <string.h>

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

/* One object per average, metric and depth. */
static tap_status put_json(const tap_stats *s, tap_error *err)
{
    for (int a = 0; a < TAP_N_AVERAGES; a++)
        for (int32_t m = 0; m < s->n_metrics; m++)
            for (int32_t d = 0; d < s->data.n_depths; d++) {
                json_t *object = json_pack(
                    "{s:s, s:s, s:i, s:i, s:i}", "average",
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

static void put_estimate(const tap_estimate *e)
{
    if (!e || e->na || !isfinite(e->value))
        printf("  %-21s", "NA");
    else
        printf("  %6.3f [%5.2f, %5.2f]", e->value, e->low, e->high);
}

static void put_table(const tap_stats *s, tap_average average, int32_t m)
{
    static const tap_quantity quantities[] = {TAP_Q_R, TAP_Q_CI, TAP_Q_I};
    static const char *const cells[] = {"s11 clean", "s01 encoder off",
                                        "s10 decoder off", "s00 both off"};
    printf("\n%s, %s average, %g%% bootstrap intervals over images\ndepth",
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

tap_status tap_stats_put_text(const tap_stats *s, tap_error *err)
{
    (void)err;
    printf(
        "%lld parts in %lld images scored, of %lld parts in %lld images; ranks among "
        "%.0f words; %lld resamples\n",
        (long long)s->data.n_items, (long long)s->data.n_images,
        (long long)s->data.n_all_items, (long long)s->data.n_all_images,
        s->data.n_candidates, (long long)s->n_resamples);
    if (!s->data.has_design)
        printf(
            "The experiment states no 2x2 design, so R, CI and I are not defined.\n");
    for (int a = 0; a < TAP_N_AVERAGES; a++)
        for (int32_t m = 0; m < s->n_metrics; m++)
            put_table(s, (tap_average)a, m);
    return TAP_OK;
}

/* Receipts as stored: boxes of blocks and heads with equal counts, summed over images. */
static tap_status put_receipts(const tap_cli *cli, const tap_store *store,
                               tap_error *err)
{
    static const char sql[] =
        "SELECT condition.name, receipt.* FROM receipt JOIN condition ON condition.id = "
        "receipt.condition_id ORDER BY receipt.condition_id";
    sqlite3_stmt *query = NULL;
    if (sqlite3_prepare_v2(tap_store_sqlite(store), sql, -1, &query, NULL) != SQLITE_OK)
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read receipts of '%s': %s",
                        tap_store_path(store), sqlite3_errmsg(tap_store_sqlite(store)));
    tap_status status = TAP_OK;
    const int n = sqlite3_column_count(query);
    for (int c = 0; c < n && !cli->json; c++)
        printf("%s%s", sqlite3_column_name(query, c), c + 1 < n ? "\t" : "\n");
    while (status == TAP_OK && sqlite3_step(query) == SQLITE_ROW) {
        json_t *object = cli->json ? json_object() : NULL;
        for (int c = 0; c < n; c++) {
            const char *text = (const char *)sqlite3_column_text(query, c);
            if (!cli->json)
                printf("%s%s", text ? text : "", c + 1 < n ? "\t" : "\n");
            else
                (void)json_object_set_new(
                    object, sqlite3_column_name(query, c),
                    sqlite3_column_type(query, c) == SQLITE_INTEGER
                        ? json_integer(sqlite3_column_int64(query, c))
                    : sqlite3_column_type(query, c) == SQLITE_FLOAT
                        ? json_real(sqlite3_column_double(query, c))
                        : tap_cli_json_text(text ? text : ""));
        }
        if (cli->json)
            status = tap_cli_put_json(object, err);
    }
    (void)sqlite3_finalize(query);
    return status;
}

tap_status tap_cmd_stats(tap_cli *cli, tap_error *err)
{
    tap_store *store = NULL;
    tap_stats *stats = NULL;
    const tap_stats_options options = {.n_threads = cli->n_threads,
                                       .n_resamples =
                                           tap_args_given(cli->args, "resamples")
                                               ? tap_args_int(cli->args, "resamples")
                                               : -1,
                                       .seed = -1};
    tap_status status =
        tap_store_open_read(&store, tap_args_argument(cli->args, 0), err);
    if (status != TAP_OK)
        return status;
    if (tap_args_flag(cli->args, "receipts")) {
        status = put_receipts(cli, store, err);
        goto out;
    }
    TAP_TRY_OUT(tap_stats_run(&stats, store, &options, err));
    TAP_TRY_OUT(cli->json ? put_json(stats, err) : tap_stats_put_text(stats, err));
out:
    tap_stats_free(stats);
    tap_store_close(store);
    return status;
}

/* tapetum stats: the 2x2 at every depth, with intervals. Reads the database alone. */
#include "cli/cmd_stats.h"

#include "cli/commands.h"

#include <math.h>
#include <sqlite3.h>
#include <string.h>

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
    TAP_TRY_OUT(cli->json ? tap_stats_put_json(stats, err)
                          : tap_stats_put_text(stats, err));
out:
    tap_stats_free(stats);
    tap_store_close(store);
    return status;
}

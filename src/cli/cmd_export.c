/* tapetum export and merge: the database for other programs, and of several machines. */
#include "cli/commands.h"
#include "lab/export.h"
#include "lab/merge.h"

#include <string.h>

tap_status tap_cmd_export(tap_cli *cli, tap_error *err)
{
    tap_store *store = NULL;
    tap_file_out *out = NULL;
    const char *format = tap_args_text(cli->args, "format");
    const char *path = tap_args_text(cli->args, "output");
    tap_status status =
        tap_store_open_read(&store, tap_args_argument(cli->args, 0), err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_file_create(&out, path ? path : "-", err));
    TAP_TRY_OUT(tap_export(
        store, tap_args_argument(cli->args, 1),
        cli->json || strcmp(format, "jsonl") == 0 ? TAP_JSONL : TAP_CSV, out, err));
    TAP_TRY_OUT(tap_file_commit(out, err));
out:
    tap_file_close(out);
    tap_store_close(store);
    return status;
}

tap_status tap_cmd_merge(tap_cli *cli, tap_error *err)
{
    const char *path = tap_args_text(cli->args, "output");
    const char **shards = NULL;
    tap_merged merged;
    if (!path)
        return TAP_FAIL(err, TAP_EINVAL, "no database named; add -o all.db");
    const size_t n = tap_args_count(cli->args);
    TAP_TRY(tap_alloc(&shards, n, sizeof *shards, "a merge", err));
    for (size_t i = 0; i < n; i++)
        shards[i] = tap_args_argument(cli->args, i);
    const tap_status status = tap_merge(&merged, path, shards, n, err);
    tap_free(shards);
    TAP_TRY(status);
    if (cli->json)
        return tap_cli_put_json(json_pack("{s:s, s:I, s:I, s:I}", "database", path,
                                          "images", (json_int_t)merged.n_images,
                                          "items", (json_int_t)merged.n_items, "scores",
                                          (json_int_t)merged.n_scores),
                                err);
    tap_cli_note(cli, "%s: %lld images, %lld items, %lld scores of %zu %s", path,
                 (long long)merged.n_images, (long long)merged.n_items,
                 (long long)merged.n_scores, n, n == 1 ? "shard" : "shards");
    return TAP_OK;
}

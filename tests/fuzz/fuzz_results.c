/* Databases: read by statistics and exported, or refused with a message. */
#include "input.h"

#include "base/file.h"
#include "lab/export.h"
#include "lab/stats_words.h"

static void read_stats(const tap_store *store)
{
    tap_error err;
    tap_stats *stats = NULL;
    tap_buffer words = {0};
    const tap_stats_options options = {.n_threads = 1, .n_resamples = 20, .seed = 1};
    if (tap_stats_run(&stats, store, &options, &err) != TAP_OK)
        return;
    if (tap_stats_words(&words, stats, &err) != TAP_OK)
        abort();
    tap_buffer_clear(&words);
    tap_stats_free(stats);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[FUZZ_PATH_BYTES], beside[FUZZ_PATH_BYTES + 8];
    tap_error err;
    tap_store *store = NULL;
    tap_file_out *out = NULL;
    fuzz_file(path, ".db", bytes, n);
    (void)snprintf(beside, sizeof beside, "%s.out", path);
    if (tap_store_open_read(&store, path, &err) == TAP_OK) {
        read_stats(store);
        const char *const *tables = NULL;
        size_t n_tables = 0;
        tap_export_tables(&tables, &n_tables);
        for (size_t t = 0; t < n_tables; t++) {
            if (tap_file_create(&out, beside, &err) != TAP_OK)
                break;
            if (tap_export(store, tables[t], TAP_JSONL, out, &err) == TAP_EBUG)
                abort();
            tap_file_close(out); /* never committed */
        }
        tap_store_close(store);
    }
    (void)unlink(path);
    return 0;
}

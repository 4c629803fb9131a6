/* Databases: read by statistics and exported, or refused with a message. */
#define _DEFAULT_SOURCE 1 /* mkstemps */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "lab/export.h"
#include "lab/stats_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

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
    char path[] = "/tmp/tapetum-fuzz-XXXXXX.db", beside[64];
    tap_error err;
    tap_store *store = NULL;
    tap_file_out *out = NULL;
    const int fd = mkstemps(path, (int)strlen(".db"));
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    (void)close(fd);
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

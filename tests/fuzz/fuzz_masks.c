/* Tables of masks: read, or refused with a message. */
#define _DEFAULT_SOURCE 1 /* mkstemps */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "lab/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[] = "/tmp/tapetum-fuzz-XXXXXX.tsv";
    tap_error err;
    const int fd = mkstemps(path, (int)strlen(".tsv"));
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    (void)close(fd);
    const tap_data_spec spec = {
        .format = "masks", .images = "/tmp", .annotations = path};
    tap_dataset *dataset = NULL;
    tap_items items;
    if (tap_dataset_open(&dataset, &spec, NULL, &err) == TAP_OK) {
        if (tap_dataset_read(&items, dataset, 0, &err) == TAP_OK)
            tap_items_clear(&items);
        tap_dataset_close(dataset);
    }
    (void)unlink(path);
    return 0;
}

/* Tables of masks: read, or refused with a message. */
#include "input.h"

#include "base/memory.h"
#include "lab/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[FUZZ_PATH_BYTES];
    tap_error err;
    fuzz_file(path, ".tsv", bytes, n);
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

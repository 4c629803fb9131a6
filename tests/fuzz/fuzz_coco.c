/* COCO annotation files: read as coco-parts and as PACO, or refused with a message. */
#include "input.h"

#include "base/memory.h"
#include "lab/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[FUZZ_PATH_BYTES];
    tap_error err;
    fuzz_file(path, ".json", bytes, n);
    static const char *const formats[] = {"coco-parts", "paco"};
    for (int f = 0; f < 2; f++) {
        const tap_data_spec spec = {
            .format = formats[f], .images = "/nowhere", .annotations = path};
        tap_dataset *dataset = NULL;
        tap_items items;
        if (tap_dataset_open(&dataset, &spec, NULL, &err) != TAP_OK)
            continue;
        for (int64_t i = 0; i < tap_dataset_count(dataset) && i < 4; i++)
            if (tap_dataset_read(&items, dataset, i, &err) == TAP_OK)
                tap_items_clear(&items);
        tap_dataset_close(dataset);
    }
    (void)unlink(path);
    return 0;
}

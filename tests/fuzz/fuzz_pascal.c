/* Pascal-Part annotations: read, or refused with a message. */
#include "input.h"

#include "base/memory.h"
#include "lab/dataset_pascal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[FUZZ_PATH_BYTES];
    tap_error err;
    fuzz_file(path, ".mat", bytes, n);
    tap_items items = {0};
    (void)(tap_pascal_read(&items, path, &err) == TAP_OK);
    tap_items_clear(&items);
    (void)unlink(path);
    return 0;
}

/* Label maps as TIFF: read, or refused with a message. */
#include <stdint.h>

#include "base/memory.h"
#include "image/image_formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    int32_t *labels = NULL;
    int64_t width, height;
    tap_error err;
    if (tap_tiff_decode_labels(&labels, &width, &height, bytes, n, "fuzz", &err) ==
        TAP_OK)
        tap_free(labels);
    return 0;
}

/* Pictures and masks: whatever the bytes are, decoding ends in an image or a message. */
#include <stdint.h>

#include "base/memory.h"
#include "image/image_formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    tap_image image;
    tap_error err;
    uint8_t *samples = NULL;
    int64_t width = 0, height = 0;
    if (tap_image_decode(&image, bytes, n, "fuzz", &err) == TAP_OK)
        tap_image_clear(&image);
    if (tap_png_decode_samples(&samples, &width, &height, bytes, n, "fuzz", &err) ==
        TAP_OK)
        tap_free(samples);
    return 0;
}

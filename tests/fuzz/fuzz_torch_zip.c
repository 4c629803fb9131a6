/* Any bytes as a PyTorch checkpoint: a refusal, or tensors whose every byte can be read. */
#include "format/torch_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    tap_torch_zip *file = NULL;
    tap_error err;
    if (tap_torch_zip_parse(&file, bytes, n_bytes, "input", &err) != TAP_OK)
        return 0;
    volatile unsigned sum = 0; /* keeps the reads */
    const int64_t n = tap_torch_zip_count(file);
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *values = tap_torch_zip_tensor(file, i)->bytes;
        const size_t n_values = tap_torch_zip_bytes(file, i);
        for (size_t k = 0; k < n_values; k++)
            sum = sum + values[k];
    }
    tap_torch_zip_close(file);
    return 0;
}

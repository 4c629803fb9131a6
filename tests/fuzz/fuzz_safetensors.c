/* Any bytes as a safetensors file: a refusal, or views that lie inside the bytes. */
#include "format/safetensors.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    tap_safetensors *file = NULL;
    tap_error err;
    if (tap_safetensors_parse(&file, bytes, n_bytes, "input", &err) != TAP_OK)
        return 0;
    const int64_t n = tap_safetensors_count(file);
    for (int64_t i = 0; i < n; i++) {
        const tap_tensor *t = tap_safetensors_tensor(file, i);
        const uint8_t *first = t->bytes;
        assert(first >= bytes && first <= bytes + n_bytes);
        assert(tap_safetensors_bytes(file, i) <= (size_t)(bytes + n_bytes - first));
        assert(tap_safetensors_find(file, tap_safetensors_name(file, i)) == i);
        if (t->dtype != TAP_OTHER)
            assert((size_t)tap_tensor_count(t) * tap_dtype_bytes(t->dtype) ==
                   tap_safetensors_bytes(file, i));
    }
    (void)tap_safetensors_metadata(file, "format");
    tap_safetensors_close(file);
    return 0;
}

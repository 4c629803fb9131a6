/* Any text as an index: a refusal, or places beside it, sorted by file. */
#include "format/weights_index.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    tap_weights_index index;
    tap_error err;
    if (tap_weights_index_parse(&index, (const char *)bytes, n_bytes, "input", &err) !=
        TAP_OK)
        return 0;
    for (size_t i = 0; i < index.n; i++) {
        assert(index.places[i].file[0] && !strchr(index.places[i].file, '/'));
        assert(i == 0 || strcmp(index.places[i - 1].file, index.places[i].file) <= 0);
    }
    tap_weights_index_clear(&index);
    return 0;
}

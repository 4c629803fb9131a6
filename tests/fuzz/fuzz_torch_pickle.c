/* Any bytes as the pickle of a checkpoint: a refusal, or windows inside their storages. */
#include "format/torch_pickle.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    tap_torch_dictionary d;
    tap_error err;
    if (tap_torch_pickle_parse(&d, bytes, n_bytes, "input", &err) != TAP_OK)
        return 0;
    for (size_t i = 0; i < d.n; i++) {
        const tap_torch_tensor *t = &d.tensors[i];
        int64_t last = t->first;
        for (int k = 0; k < t->shape.n_dims; k++)
            last += (t->shape.shape[k] - 1) * t->strides[k];
        assert(t->name[0] || t->key);
        assert(tap_tensor_count(&t->shape) == 0 || last < t->n_storage);
        assert(tap_tensor_count(&t->shape) <= t->n_storage);
    }
    tap_torch_dictionary_clear(&d);
    return 0;
}

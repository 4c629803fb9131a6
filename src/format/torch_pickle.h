/* Which tensors does the pickle of a PyTorch checkpoint describe?
 *
 * A machine for the few instructions that dictionaries of tensors need. It knows two
 * functions of torch._utils, the storage classes and OrderedDict, all as words in a table;
 * any other name is refused, so nothing is ever executed or looked up.
 *
 * Source:  CPython's pickletools (the instructions), torch/_utils.py and
 *          torch/serialization.py (what torch.save writes). */
#ifndef TAP_FORMAT_TORCH_PICKLE_H
#define TAP_FORMAT_TORCH_PICKLE_H

#include "tensor/tensor.h"

/* A tensor as the pickle describes it: a window on a storage. Every element lies inside
 * [0, n_storage), and count <= n_storage. */
typedef struct tap_torch_tensor {
    char *name;        /* keys of nested dictionaries joined by "." */
    char *key;         /* of the storage: file data/KEY of the archive */
    const char *dtype; /* "F32" as in safetensors, static */
    tap_tensor shape;  /* no bytes */
    size_t element_bytes;
    int64_t first, n_storage; /* elements */
    int64_t strides[TAP_MAX_DIMS];
    bool is_contiguous;
} tap_torch_tensor;

typedef struct tap_torch_dictionary {
    tap_torch_tensor *tensors; /* [n], sorted by name, none twice */
    size_t n, capacity;
} tap_torch_dictionary;

/* `path` names the file in messages. Values that are no tensors are skipped.
 *
 * Errors:  TAP_EFORMAT for a damaged pickle (with the byte), TAP_EUNSUPPORTED for a name
 *          or instruction beyond tensors.
 * Checked: test_torch_zip.c, fuzz_torch_pickle.c. */
TAP_NODISCARD tap_status tap_torch_pickle_parse(tap_torch_dictionary *out,
                                                const void *bytes, size_t n_bytes,
                                                const char *path, tap_error *err);
void tap_torch_dictionary_clear(tap_torch_dictionary *dictionary);

#endif

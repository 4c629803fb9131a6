/* Which tensors does a PyTorch checkpoint (torch.save since 1.6) hold, and where are their
 * bytes?
 *
 * The file is a zip archive: NAME/data.pkl describes tensors as windows on storages, the
 * storages are NAME/data/0, NAME/data/1 ... and almost always stored as they are, so their
 * tensors are views of the mapping. Storages that somebody compressed, and tensors that do
 * not stand row after row, are copied into memory. Nothing is executed (torch_pickle.h).
 *
 * The same questions as safetensors.h answers, so that weights.c can ask either. */
#ifndef TAP_FORMAT_TORCH_ZIP_H
#define TAP_FORMAT_TORCH_ZIP_H

#include "tensor/tensor.h"

typedef struct tap_torch_zip tap_torch_zip;

/* Errors:  TAP_EFORMAT for a damaged archive or pickle, TAP_EUNSUPPORTED for names beyond
 *          tensors, TAP_EIO, TAP_ENOMEM.
 * Threads: immutable after opening.
 * Source:  torch/serialization.py.
 * Checked: test_torch_zip.c on files that torch 2.13 wrote; fuzz_torch_zip.c. */
TAP_NODISCARD tap_status tap_torch_zip_open(tap_torch_zip **out, const char *path,
                                            tap_error *err);
/* The same over bytes that the caller keeps alive; `path` is for messages. */
TAP_NODISCARD tap_status tap_torch_zip_parse(tap_torch_zip **out, const void *bytes,
                                             size_t n_bytes, const char *path,
                                             tap_error *err);
void tap_torch_zip_close(tap_torch_zip *file);

/* Tensors sorted by name, 0 <= i < count. Names of nested dictionaries are
 * joined by ".". */
int64_t tap_torch_zip_count(const tap_torch_zip *file);
const char *tap_torch_zip_name(const tap_torch_zip *file, int64_t i);
const tap_tensor *tap_torch_zip_tensor(const tap_torch_zip *file, int64_t i);
const char *tap_torch_zip_dtype(const tap_torch_zip *file, int64_t i);
size_t tap_torch_zip_bytes(const tap_torch_zip *file, int64_t i);
int64_t tap_torch_zip_find(const tap_torch_zip *file, const char *name);

#endif

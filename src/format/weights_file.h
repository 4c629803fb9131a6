/* One file of named tensors, whatever its format: the seam under weights.c. Adding a format
 * means adding a branch here. */
#ifndef TAP_FORMAT_WEIGHTS_FILE_H
#define TAP_FORMAT_WEIGHTS_FILE_H

#include "format/safetensors.h"
#include "format/torch_zip.h"

typedef struct tap_weights_file {
    char *path;
    tap_safetensors *safetensors; /* one of the two */
    tap_torch_zip *torch;
} tap_weights_file;

/* The format goes by the end of the name: .bin, .pt and .pth are PyTorch's, all others
 * safetensors. */
TAP_NODISCARD tap_status tap_weights_file_open(tap_weights_file *out, const char *path,
                                               tap_error *err);
void tap_weights_file_close(tap_weights_file *file);

/* As the functions of the same names of each format. */
int64_t tap_weights_file_count(const tap_weights_file *file);
const char *tap_weights_file_name(const tap_weights_file *file, int64_t i);
const tap_tensor *tap_weights_file_tensor(const tap_weights_file *file, int64_t i);
const char *tap_weights_file_dtype(const tap_weights_file *file, int64_t i);
size_t tap_weights_file_bytes(const tap_weights_file *file, int64_t i);
int64_t tap_weights_file_find(const tap_weights_file *file, const char *name);

#endif

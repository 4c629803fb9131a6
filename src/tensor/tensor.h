/* What a tensor is: an element type, a shape, and bytes that somebody else owns. */
#ifndef TAP_TENSOR_TENSOR_H
#define TAP_TENSOR_TENSOR_H

#include "base/error.h"

typedef enum tap_dtype {
    TAP_F32,
    TAP_F16,
    TAP_BF16,
    TAP_F64,
    TAP_I64,
    TAP_I32,
    TAP_U8,
    TAP_OTHER /* stored in a file but never computed with */
} tap_dtype;

enum { TAP_MAX_DIMS = 8 };

/* A view: row-major, little-endian, the last dimension runs fastest. The bytes may be
 * unaligned (they often stand in a mapped file). */
typedef struct tap_tensor {
    const void *bytes;
    tap_dtype dtype;
    int n_dims;
    int64_t shape[TAP_MAX_DIMS];
} tap_tensor;

/* Bytes of one element; 0 for TAP_OTHER. */
size_t tap_dtype_bytes(tap_dtype dtype);
/* "f32", "bf16" ... as users read it. */
const char *tap_dtype_name(tap_dtype dtype);
int64_t tap_tensor_count(const tap_tensor *tensor);
/* "[4096][11008]" into text. */
void tap_tensor_print_shape(char *text, size_t n_bytes, const tap_tensor *tensor);

/* out[i] = element first + i of the tensor as f32, n of them. F32, F16, BF16 exactly;
 * F64 rounded to nearest. Other types are a broken promise (assert). */
void tap_widen(float *out, const tap_tensor *tensor, int64_t first, int64_t n);

float tap_from_bf16(uint16_t bits);
float tap_from_f16(uint16_t bits);
/* Round to nearest, ties to even. */
uint16_t tap_to_bf16(float value);
uint16_t tap_to_f16(float value);

#endif

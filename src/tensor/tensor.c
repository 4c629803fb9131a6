#include "tensor/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

size_t tap_dtype_bytes(tap_dtype dtype)
{
    switch (dtype) {
    case TAP_F64:
    case TAP_I64:
        return 8;
    case TAP_F32:
    case TAP_I32:
        return 4;
    case TAP_F16:
    case TAP_BF16:
        return 2;
    case TAP_U8:
        return 1;
    case TAP_OTHER:
        return 0;
    }
    return 0;
}

const char *tap_dtype_name(tap_dtype dtype)
{
    static const char *const names[] = {"f32", "f16", "bf16", "f64",
                                        "i64", "i32", "u8",   "another type"};
    assert((size_t)dtype < sizeof names / sizeof *names); /* ORDER tap_dtype */
    return names[dtype];
}

int64_t tap_tensor_count(const tap_tensor *tensor)
{
    int64_t n = 1;
    for (int i = 0; i < tensor->n_dims; i++)
        n *= tensor->shape[i];
    return n;
}

void tap_tensor_print_shape(char *text, size_t n_bytes, const tap_tensor *tensor)
{
    if (n_bytes == 0)
        return;
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < tensor->n_dims && at < n_bytes; i++) {
        const int n =
            snprintf(text + at, n_bytes - at, "[%lld]", (long long)tensor->shape[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    if (tensor->n_dims == 0)
        (void)snprintf(text, n_bytes, "[]");
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float tap_from_bf16(uint16_t bits)
{
    return from_bits((uint32_t)bits << 16);
}

/* Sign, 5 bits of exponent (bias 15), 10 of mantissa; subnormals are mantissa * 2^-24. */
float tap_from_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000U) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fU, mantissa = bits & 0x3ffU;
    if (exponent == 0x1fU)
        return from_bits(sign | 0x7f800000U | mantissa << 13);
    if (exponent == 0)
        return from_bits(sign | to_bits((float)mantissa * 0x1p-24F));
    return from_bits(sign | (exponent + 112U) << 23 | mantissa << 13);
}

uint16_t tap_to_bf16(float value)
{
    const uint32_t bits = to_bits(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U) /* NaN stays a NaN */
        return (uint16_t)(bits >> 16 | 0x40U);
    return (uint16_t)((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

uint16_t tap_to_f16(float value)
{
    const uint32_t bits = to_bits(value), sign = bits >> 16 & 0x8000U;
    const uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U)
        return (uint16_t)(sign | 0x7e00U);
    if (magnitude >= 0x477ff000U) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00U);
    if (magnitude < 0x38800000U) { /* subnormal: the addition rounds to 2^-24 */
        const float shifted = from_bits(magnitude) + 0.5F;
        return (uint16_t)(sign | (to_bits(shifted) - to_bits(0.5F)));
    }
    const uint32_t odd = magnitude >> 13 & 1U;
    return (uint16_t)(sign | (magnitude - 0x38000000U + 0xfffU + odd) >> 13);
}

void tap_widen(float *out, const tap_tensor *tensor, int64_t first, int64_t n)
{
    const unsigned char *bytes = tensor->bytes;
    bytes += (size_t)first * tap_dtype_bytes(tensor->dtype);
    if (tensor->dtype == TAP_F32) {
        memcpy(out, bytes, (size_t)n * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        double wide;
        switch (tensor->dtype) {
        case TAP_BF16:
            memcpy(&bits, bytes + 2 * i, sizeof bits);
            out[i] = tap_from_bf16(bits);
            break;
        case TAP_F16:
            memcpy(&bits, bytes + 2 * i, sizeof bits);
            out[i] = tap_from_f16(bits);
            break;
        case TAP_F64:
            memcpy(&wide, bytes + 8 * i, sizeof wide);
            out[i] = (float)wide;
            break;
        case TAP_F32:
        case TAP_I64:
        case TAP_I32:
        case TAP_U8:
        case TAP_OTHER:
            assert(false && "a tensor of numbers");
        }
    }
}

/* The decoders behind tap_image_decode. */
#ifndef TAP_IMAGE_IMAGE_FORMATS_H
#define TAP_IMAGE_IMAGE_FORMATS_H

#include "image/image.h"

enum { TAP_IMAGE_MAX_SIDE_PX = 16384, TAP_IMAGE_MAX_PX = 1 << 28 };

/* A zeroed image of that size, within the limits; `name` stands in messages. */
TAP_NODISCARD tap_status tap_image_alloc(tap_image *out, int64_t width, int64_t height,
                                         const char *name, tap_error *err);
TAP_NODISCARD tap_status tap_jpeg_decode(tap_image *out, const void *bytes,
                                         size_t n_bytes, const char *name,
                                         tap_error *err);
TAP_NODISCARD tap_status tap_png_decode(tap_image *out, const void *bytes,
                                        size_t n_bytes, const char *name,
                                        tap_alpha alpha, tap_error *err);

/* The sample values of a one-channel PNG of at most 8 bits (grey, not scaled, or palette
 * indices): u8 [height][width], tap_free it. Anything else is TAP_EFORMAT. */
TAP_NODISCARD tap_status tap_png_decode_samples(uint8_t **samples, int64_t *width,
                                                int64_t *height, const void *bytes,
                                                size_t n_bytes, const char *name,
                                                tap_error *err);

/* The whole numbers of a one-channel TIFF of 32 bits a sample (signed or unsigned; no
 * compression, LZW or deflate; strips): i32 [height][width], tap_free it. TAP_EFORMAT for
 * anything else and for values above 2^31 - 1. */
TAP_NODISCARD tap_status tap_tiff_decode_labels(int32_t **labels, int64_t *width,
                                                int64_t *height, const void *bytes,
                                                size_t n_bytes, const char *name,
                                                tap_error *err);

#endif

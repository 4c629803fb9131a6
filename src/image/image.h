/* Images as 8-bit RGB, decoded to the bytes that Pillow's decoders give. */
#ifndef TAP_IMAGE_IMAGE_H
#define TAP_IMAGE_IMAGE_H

#include "base/memory.h"

/* u8 [height][width][3], row 0 on top. tap_image_clear frees it. */
typedef struct tap_image {
    int64_t width, height;
    uint8_t *rgb;
} tap_image;

/* What becomes of alpha and tRNS. */
typedef enum tap_alpha {
    TAP_ALPHA_ON_WHITE, /* composited, as transformers' processors do */
    TAP_ALPHA_DROPPED   /* colours as stored, as Pillow's convert("RGB") leaves them */
} tap_alpha;

/* JPEG (baseline, progressive, grey, CMYK, YCCK) and PNG (every colour type and depth).
 * Alpha is composited on white, EXIF rotation is not applied, 16-bit grey saturates at 255
 * and 16-bit RGB keeps the high byte: what the reference processor does with an image it is
 * handed. Limits: 16384 px a side, 2^28 px in all. */
TAP_NODISCARD tap_status tap_image_read(tap_image *out, const char *path,
                                        tap_error *err);
TAP_NODISCARD tap_status tap_image_read_as(tap_image *out, const char *path,
                                           tap_alpha alpha, tap_error *err);
/* The same from memory; `name` stands in messages. */
TAP_NODISCARD tap_status tap_image_decode(tap_image *out, const void *bytes,
                                          size_t n_bytes, const char *name,
                                          tap_error *err);
/* Width and height in px as the head of the file states them; nothing else is checked. */
TAP_NODISCARD tap_status tap_image_size(int64_t *width, int64_t *height,
                                        const char *path, tap_error *err);
/* An 8-bit RGB PNG, written whole or not at all. */
TAP_NODISCARD tap_status tap_image_write(const tap_image *image, const char *path,
                                         tap_error *err);
/* Appends a JPEG of quality 1 to 100 (4:2:0, accurate DCT): the same bytes for the same
 * image. For pictures that people look at, never for what a model sees. */
TAP_NODISCARD tap_status tap_image_encode(tap_buffer *out, const tap_image *image,
                                          int quality, tap_error *err);
void tap_image_clear(tap_image *image);

#endif

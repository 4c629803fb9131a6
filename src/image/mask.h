/* Segmentation masks and how much of each patch they cover. */
#ifndef TAP_IMAGE_MASK_H
#define TAP_IMAGE_MASK_H

#include "image/preprocess.h"

/* u8 [height][width], 0 or 1, row 0 on top. tap_mask_clear frees it. */
typedef struct tap_mask {
    int64_t width, height;
    uint8_t *inside;
} tap_mask;

TAP_NODISCARD tap_status tap_mask_new(tap_mask *out, int64_t width, int64_t height,
                                      tap_error *err);
/* An 8-bit grey or palette PNG, non-zero (sample value, not colour) is inside. */
TAP_NODISCARD tap_status tap_mask_read(tap_mask *out, const char *path, tap_error *err);
void tap_mask_clear(tap_mask *mask);
int64_t tap_mask_area(const tap_mask *mask); /* px */

/* cover [n_tiles][n_rows][n_cols]: the exact share of each patch that the mask covers:
 * each source pixel is a unit square mapped by the geometry; area of covered squares
 * inside the patch over the patch's area, padding included. Sums are of integers, so the
 * result is the correctly rounded quotient. TAP_EINVAL if the mask's size is not the
 * image's. */
TAP_NODISCARD tap_status tap_mask_cover(float *cover, const tap_mask *mask,
                                        const tap_geometry *geometry, tap_error *err);

#endif

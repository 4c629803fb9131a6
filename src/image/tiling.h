/* How is one image made into several tiles? The part of preprocessing that families with
 * high resolution share; preprocess.c calls it. */
#ifndef TAP_IMAGE_TILING_H
#define TAP_IMAGE_TILING_H

#include "image/preprocess.h"

TAP_NODISCARD tap_status tap_tiling_geometry(tap_geometry *geometry, int64_t width,
                                             int64_t height,
                                             const tap_preprocess_spec *spec,
                                             tap_error *err);
TAP_NODISCARD tap_status tap_tiling_run(tap_pixels *pixels, tap_geometry *geometry,
                                        const tap_image *image,
                                        const tap_preprocess_spec *spec,
                                        tap_error *err);

/* *out = the image on a canvas of width x height, `rgb` around it (preprocess.c). */
TAP_NODISCARD tap_status tap_image_pad(tap_image *out, const tap_image *image,
                                       int64_t left, int64_t top, int64_t width,
                                       int64_t height, const int rgb[3],
                                       tap_error *err);
/* values [3][side][side] of the square at (left, top) (preprocess.c). */
void tap_image_normalise(float *values, const tap_image *image, int64_t left,
                         int64_t top, const tap_preprocess_spec *spec);

#endif

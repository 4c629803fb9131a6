/* A picture of what a model sees: its tiles, their patches, and how much of each a mask
 * covers; and beside them the same for the decoder, whose tokens may stand for several. */
#ifndef TAP_IMAGE_OVERLAY_H
#define TAP_IMAGE_OVERLAY_H

#include "image/mask.h"

/* One way of seeing the patches: how strongly each is tinted, and which belong together.
 * Lines are drawn between patches of different owners; patches without one are greyed. */
typedef struct tap_overlay_layer {
    const float *cover;   /* [n_tiles][n_rows][n_cols], 0 to 1 */
    const int64_t *owner; /* the same shape, -1: none; NULL: each patch its own */
} tap_overlay_layer;

/* *out = a panel per layer, from left to right: the thumbnail, if there is one, and the tiles
 * of the mosaic in their places, enlarged to about 700 px where they are smaller. image is
 * the source; spec as in preprocessing. tap_image_clear releases it. */
TAP_NODISCARD tap_status tap_overlay_run(tap_image *out, const tap_image *image,
                                         const tap_geometry *geometry,
                                         const tap_overlay_layer *layers, int n_layers,
                                         const tap_preprocess_spec *spec,
                                         tap_error *err);

#endif

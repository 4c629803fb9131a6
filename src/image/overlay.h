/* A picture of what a model sees: the tile, its patch grid, and how much of each patch a
 * mask covers. */
#ifndef TAP_IMAGE_OVERLAY_H
#define TAP_IMAGE_OVERLAY_H

#include "image/mask.h"

/* *out = the tiles side by side, enlarged to about 700 px a side, grid lines between
 * patches, each patch tinted by its share in cover [n_tiles][n_rows][n_cols]. image is the
 * source; spec as in preprocessing. tap_image_clear releases it. */
TAP_NODISCARD tap_status tap_overlay_run(tap_image *out, const tap_image *image,
                                         const tap_geometry *geometry,
                                         const float *cover,
                                         const tap_preprocess_spec *spec,
                                         tap_error *err);

#endif

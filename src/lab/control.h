/* What would the same score be elsewhere? Other patches, other words, other pictures for
 * each item of an image, chosen before anything is computed. */
#ifndef TAP_LAB_CONTROL_H
#define TAP_LAB_CONTROL_H

#include "lab/sweep_image.h"

enum { TAP_N_RANDOM_SETS = 5 };

/* Fills the sets of every scored item and the sources that they need.
 *
 * covers [n_parts + n_objects][n_image]: coverage of image tokens by each part, then object. No
 * patch that a part of the item's name covers at all is in a set of other patches. Draws
 * depend on the image's place in the data, the item's place in the image, the control and
 * the seed alone.
 *
 * Errors: TAP_ENOMEM; a control that an item cannot have is a set with the reason. */
TAP_NODISCARD tap_status tap_controls_prepare(tap_sweep_image *image,
                                              const tap_sweep_setup *setup,
                                              const float *covers, int64_t n_image,
                                              tap_error *err);

/* The pictures and word sequences that sets read. Part of the above. */
TAP_NODISCARD tap_status tap_control_sources(tap_sweep_image *image,
                                             const tap_sweep_setup *setup,
                                             const float *covers, int64_t n_image,
                                             tap_error *err);

#endif

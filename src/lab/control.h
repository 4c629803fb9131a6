/* What would the same score be elsewhere? Other patches, other words, other pictures for
 * each item of an image, chosen before anything is computed. */
#ifndef TAP_LAB_CONTROL_H
#define TAP_LAB_CONTROL_H

#include "base/philox.h"
#include "lab/sweep_image.h"

enum { TAP_N_RANDOM_SETS = 5 };

/* Random numbers for one control of an item. */
tap_random tap_control_random(const tap_sweep_image *image, int64_t ordinal,
                              tap_control control, int32_t seed);

/* Keeps n of the n_from places, drawn at random, in rising order. */
void tap_control_choose(int32_t *places, int64_t n_from, int64_t n, tap_random *random);

/* is_free [n]: which patches no part labelled `label` covers at all. covers [n_parts][n]. */
void tap_control_free(uint8_t *is_free, const tap_items *annotation, const char *label,
                      const float *covers, int64_t n);

/* Fills item->other: one of the other parts of its object, each as likely, and of its patches
 * that no part of the item's name covers, by the experiment's rule, as many as the item has
 * or all when there are fewer; on both grids. Depends on what draws depend on.
 *
 * covers [stack][n_parts][n[stack]]: coverage of the encoder's patches, of image tokens.
 * Errors: TAP_ENOMEM; part -1 when the object has no other part with patches of its own. */
TAP_NODISCARD tap_status tap_control_other_part(tap_sweep_item *item,
                                                const tap_sweep_image *image,
                                                const tap_sweep_setup *setup,
                                                const float *const covers[TAP_N_STACKS],
                                                const int64_t n[TAP_N_STACKS],
                                                tap_error *err);

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

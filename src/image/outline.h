/* The edge of a mask as closed rings of corners, small enough to keep and exact. */
#ifndef TAP_IMAGE_OUTLINE_H
#define TAP_IMAGE_OUTLINE_H

#include "image/mask.h"

/* Rings one after the other, each as n, x_1, y_1 ... x_n, y_n: corners of source pixels,
 * (0,0) the outer corner of the top left one, inside on the right hand. Filling all rings
 * by the even-odd rule gives the mask back; pixels that touch at a corner alone are
 * separate. tap_outline_clear frees it. */
typedef struct tap_outline {
    int32_t *numbers; /* [n_numbers] */
    size_t n_numbers, capacity;
} tap_outline;

/* Errors: TAP_ENOMEM.  Memory: a byte per pixel.  Checked: test_outline.c. */
TAP_NODISCARD tap_status tap_outline_trace(tap_outline *out, const tap_mask *mask,
                                           tap_error *err);
void tap_outline_clear(tap_outline *outline);

#endif

/* A few parts as pictures that need no script. */
#ifndef TAP_REPORT_GALLERY_STATIC_H
#define TAP_REPORT_GALLERY_STATIC_H

#include "report/data.h"

/* Appends cards of at most n scored parts, one an image, at the depth of the words, under
 * the first condition and, with a design, with both cut. */
TAP_NODISCARD tap_status tap_gallery_static(tap_buffer *out, const tap_study *study,
                                            tap_images images, int n, tap_error *err);

#endif

/* The numbers that scripts of a page choose from, as JSON. Everything here is made by
 * lab/stats; a page computes nothing but differences of shown ranks. */
#ifndef TAP_REPORT_DATA_H
#define TAP_REPORT_DATA_H

#include "report/study.h"

typedef enum tap_images {
    TAP_IMAGES_NONE,
    TAP_IMAGES_THUMB,
    TAP_IMAGES_FULL
} tap_images;

enum {
    TAP_THUMB_PX = 192,          /* longest side with TAP_IMAGES_THUMB */
    TAP_GALLERY_BYTES = 9000000, /* of ranks in a page; depths are thinned beyond */
    TAP_GALLERY_ITEMS = 20000    /* parts in a gallery; the first ones */
};

/* Appends the value of <script type="application/json"> of one study. */
TAP_NODISCARD tap_status tap_page_data(tap_buffer *out, const tap_study *study,
                                       tap_images images, tap_error *err);

/* The gallery's part of it: "images":[...],"items":[...],... without braces. */
TAP_NODISCARD tap_status tap_page_gallery(tap_buffer *out, const tap_study *study,
                                          tap_images images, tap_error *err);

#endif

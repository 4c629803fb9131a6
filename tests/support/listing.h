/* The items of a data set as text, for comparing with what they should be. */
#ifndef TAP_TESTS_LISTING_H
#define TAP_TESTS_LISTING_H

#include "lab/dataset.h"

/* Opens the data set and writes a line per item: "image|object_id|object|part|label|area|
 * reason", and "image: MESSAGE" for an image that cannot be read. Checks on the way that
 * nothing is lost: n_annotated = n_parts + n_joined, and no good part lacks a mask, has
 * another size than its image or an object without a mask. tap_free it; aborts on lack of
 * memory. NULL when the data set cannot be opened, err says why. */
char *listing(const tap_data_spec *spec, tap_error *err);

/* A grey photo of that size in the folder, as NAME. */
void listing_photo(const char *folder, const char *name, int64_t width, int64_t height);
/* An 8-bit grey PNG of these samples. */
void listing_png(const char *path, const uint8_t *samples, int64_t width,
                 int64_t height);

#endif

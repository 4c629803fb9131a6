/* Polygons and run lengths to masks, pixel for pixel as the COCO tools fill them. */
#ifndef TAP_IMAGE_MASK_SHAPE_H
#define TAP_IMAGE_MASK_SHAPE_H

#include "image/mask.h"

enum { TAP_POLYGON_LIMIT_PX = 32768 };

/* Sets the pixels inside a closed polygon; those set before stay set, so several polygons
 * make their union.
 *
 * xy [n_points][2]: x and y in px, at most TAP_POLYGON_LIMIT_PX from 0; points outside the
 * mask are cut off at its border.
 *
 * How: points times 5, rounded; each edge walked along its longer axis; where the column
 * of the fine grid changes at the centre of a pixel column, the parity of the column flips
 * from that row on.
 * Errors:  TAP_EFORMAT for fewer than 3 points or a coordinate beyond the limit (NaN too).
 * Memory:  one byte per pixel while it runs.   Threads: safe on distinct masks.
 * Source:  rleFrPoly of the COCO tools (maskApi.c), of which this is another formulation.
 * Checked: test_mask_shape.c, against pycocotools. */
TAP_NODISCARD tap_status tap_mask_put_polygon(tap_mask *mask, const double *xy,
                                              size_t n_points, tap_error *err);

/* Sets pixels by run lengths over the mask in column-major order (index = y + height x),
 * zeros first. The runs must fill the mask exactly.
 * Errors:  TAP_EFORMAT; the mask is then partly set. */
TAP_NODISCARD tap_status tap_mask_put_runs(tap_mask *mask, const int64_t *runs,
                                           size_t n_runs, tap_error *err);

/* The same from the compressed text: 6 bits a character, c - 48; low 5 bits are data, low
 * group first, 0x20 says that more follow, 0x10 of the last group is the sign; from the
 * fourth on a value counts from the one two before. */
TAP_NODISCARD tap_status tap_mask_put_run_text(tap_mask *mask, const char *text,
                                               size_t n_bytes, tap_error *err);

#endif

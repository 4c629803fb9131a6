/* Label maps as TIFF files, for tests. */
#ifndef TAP_TESTS_TIFF_H
#define TAP_TESTS_TIFF_H

#include <stdint.h>

/* bits 8, 16 or 32 (whole numbers; is_float: 32-bit floats); compression: libtiff's number;
 * tile_px 0: strips. Aborts when that fails. */
typedef struct tiff_style {
    int bits, compression, tile_px, is_float, is_unsigned, samples;
} tiff_style;

void tiff_write(const char *path, const int32_t *labels, int width, int height,
                const tiff_style *style);

#endif

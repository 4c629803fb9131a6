#include "tiff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

static void need(int holds)
{
    if (holds)
        return;
    fprintf(stderr, "cannot write a TIFF file\n");
    abort();
}

void tiff_write(const char *path, const int32_t *labels, int width, int height,
                const tiff_style *style)
{
    const int bytes = style->bits / 8;
    const int format = style->is_float      ? SAMPLEFORMAT_IEEEFP
                       : style->is_unsigned ? SAMPLEFORMAT_UINT
                                            : SAMPLEFORMAT_INT;
    TIFF *tiff = TIFFOpen(path, "w");
    need(tiff != NULL);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, style->bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, style->samples);
    TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, format);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, style->compression);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    if (style->tile_px) {
        TIFFSetField(tiff, TIFFTAG_TILEWIDTH, style->tile_px);
        TIFFSetField(tiff, TIFFTAG_TILELENGTH, style->tile_px);
        void *tile = calloc((size_t)(style->tile_px * style->tile_px), 4);
        need(tile != NULL && TIFFWriteTile(tiff, tile, 0, 0, 0, 0) > 0);
        free(tile);
    } else {
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP,
                     3); /* several strips, the last short */
        unsigned char *row = calloc((size_t)(width * style->samples), 4);
        need(row != NULL);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width * style->samples; x++) {
                const int32_t value = labels[y * width + x / style->samples];
                memcpy(row + x * bytes, &value, (size_t)bytes); /* little-endian */
            }
            need(TIFFWriteScanline(tiff, row, (uint32_t)y, 0) == 1);
        }
        free(row);
    }
    TIFFClose(tiff);
}

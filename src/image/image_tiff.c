/* Label maps in TIFF files, through libtiff. */
#include "image/image_formats.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#include <tiffio.h>

enum { MAX_PX = 1 << 26 };

/* What libtiff calls back with: the bytes of the file, and what it complained about. */
typedef struct reader {
    const unsigned char *bytes;
    uint64_t n_bytes, at;
    char message[160];
} reader;

static tmsize_t read_some(thandle_t handle, void *to, tmsize_t want)
{
    reader *r = handle;
    uint64_t n = r->at < r->n_bytes ? r->n_bytes - r->at : 0;
    if (want < 0)
        return 0;
    if (n > (uint64_t)want)
        n = (uint64_t)want;
    if (n > 0)
        memcpy(to, r->bytes + r->at, n);
    r->at += n;
    return (tmsize_t)n;
}

static tmsize_t write_none(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle, (void)from, (void)n;
    return 0;
}

static toff_t seek(thandle_t handle, toff_t offset, int whence)
{
    reader *r = handle;
    r->at = offset + (whence == SEEK_CUR ? r->at : whence == SEEK_END ? r->n_bytes : 0);
    return r->at;
}

static int close_none(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t count_bytes(thandle_t handle)
{
    return ((reader *)handle)->n_bytes;
}

static int complain(TIFF *tiff, void *owner, const char *module, const char *format,
                    va_list list) TAP_FORMAT(4, 0);

static int complain(TIFF *tiff, void *owner, const char *module, const char *format,
                    va_list list)
{
    reader *r = owner;
    (void)tiff, (void)module;
    if (r->message[0] == '\0') /* the first complaint is the cause */
        (void)vsnprintf(r->message, sizeof r->message, format, list);
    return 1;
}

static int ignore(TIFF *tiff, void *owner, const char *module, const char *format,
                  va_list list)
{
    (void)tiff, (void)owner, (void)module, (void)format, (void)list;
    return 1;
}

static TIFF *open_tiff(reader *r, const char *name)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)MAX_PX * 4 + 4096);
    TIFFOpenOptionsSetErrorHandlerExtR(options, complain, r);
    TIFFOpenOptionsSetWarningHandlerExtR(options, ignore, NULL);
    TIFF *tiff =
        TIFFClientOpenExt(name, "rm", r, read_some, write_none, seek, close_none,
                          count_bytes, NULL, NULL, options); /* m: not mapped */
    TIFFOpenOptionsFree(options);
    return tiff;
}

static tap_status check(uint32_t *width, uint32_t *height, TIFF *tiff, const char *name,
                        tap_error *err)
{
    uint16_t bits = 1, samples = 1, format = SAMPLEFORMAT_UINT, packing = 0;
    *width = *height = 0;
    (void)TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, width);
    (void)TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, height);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    (void)TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &packing);
    if (bits != 32 || samples != 1 ||
        (format != SAMPLEFORMAT_INT && format != SAMPLEFORMAT_UINT))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read labels '%s': expected one channel of 32-bit whole "
                        "numbers, found %d of %d bits and sample format %d",
                        name, samples, bits, format);
    if (packing != COMPRESSION_NONE && packing != COMPRESSION_LZW &&
        packing != COMPRESSION_ADOBE_DEFLATE && packing != COMPRESSION_DEFLATE)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read labels '%s': compression %d is not none, LZW or "
                        "deflate",
                        name, packing);
    if (TIFFIsTiled(tiff))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read labels '%s': tiled files are not read, store it "
                        "in strips",
                        name);
    if (*width < 1 || *height < 1 || *width > TAP_IMAGE_MAX_SIDE_PX ||
        *height > TAP_IMAGE_MAX_SIDE_PX || (uint64_t)*width * *height > MAX_PX)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read labels '%s': it is %lu x %lu pixels, at most %d a "
                        "side and %d in all are read",
                        name, (unsigned long)*width, (unsigned long)*height,
                        TAP_IMAGE_MAX_SIDE_PX, MAX_PX);
    return TAP_OK;
}

tap_status tap_tiff_decode_labels(int32_t **labels, int64_t *width, int64_t *height,
                                  const void *bytes, size_t n_bytes, const char *name,
                                  tap_error *err)
{
    reader r = {.bytes = bytes, .n_bytes = n_bytes};
    uint32_t w = 0, h = 0;
    int32_t *values = NULL;
    tap_status status = TAP_OK;
    TIFF *tiff = open_tiff(&r, name);
    if (!tiff)
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read labels '%s': %s", name,
                        r.message[0] ? r.message : "it is not a TIFF file");
    TAP_TRY_OUT(check(&w, &h, tiff, name, err));
    TAP_TRY_OUT(tap_alloc(&values, (size_t)w * h, sizeof *values, "labels", err));
    for (uint32_t y = 0; y < h; y++)
        if (TIFFReadScanline(tiff, values + (size_t)y * w, y, 0) != 1)
            TAP_TRY_OUT(TAP_FAIL(
                err, TAP_EFORMAT, "cannot read labels '%s', row %lu: %s", name,
                (unsigned long)y, r.message[0] ? r.message : "the file is damaged"));
    *labels = values;
    *width = w;
    *height = h;
    values = NULL;
out:
    tap_free(values);
    TIFFClose(tiff);
    return status;
}

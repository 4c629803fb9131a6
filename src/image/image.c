/* Which bytes does a picture hold? Dispatch on the file's first bytes; the formats stand in
 * image_jpeg.c and image_png.c. */
#include "image/image.h"

#include "base/file.h"
#include "base/memory.h"
#include "image/image_formats.h"

#include <string.h>

tap_status tap_image_alloc(tap_image *out, int64_t width, int64_t height,
                           const char *name, tap_error *err)
{
    if (width < 1 || height < 1 || width > TAP_IMAGE_MAX_SIDE_PX ||
        height > TAP_IMAGE_MAX_SIDE_PX || width * height > TAP_IMAGE_MAX_PX)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read image '%s': it is %lld x %lld pixels, at most %d a "
            "side and %d in all are read",
            name, (long long)width, (long long)height, TAP_IMAGE_MAX_SIDE_PX,
            TAP_IMAGE_MAX_PX);
    tap_image image = {.width = width, .height = height};
    TAP_TRY(tap_alloc(&image.rgb, (size_t)(width * height), 3, "an image", err));
    *out = image;
    return TAP_OK;
}

static tap_status decode(tap_image *out, const void *bytes, size_t n_bytes,
                         const char *name, tap_alpha alpha, tap_error *err)
{
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const unsigned char jpeg[3] = {0xff, 0xd8, 0xff};
    if (n_bytes >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        return tap_png_decode(out, bytes, n_bytes, name, alpha, err);
    if (n_bytes >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        return tap_jpeg_decode(out, bytes, n_bytes, name, err);
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot read image '%s': it is neither a JPEG nor a PNG file",
                    name);
}

tap_status tap_image_decode(tap_image *out, const void *bytes, size_t n_bytes,
                            const char *name, tap_error *err)
{
    return decode(out, bytes, n_bytes, name, TAP_ALPHA_ON_WHITE, err);
}

tap_status tap_image_read(tap_image *out, const char *path, tap_error *err)
{
    return tap_image_read_as(out, path, TAP_ALPHA_ON_WHITE, err);
}

tap_status tap_image_read_as(tap_image *out, const char *path, tap_alpha alpha,
                             tap_error *err)
{
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    const tap_status status =
        decode(out, mapping.bytes, mapping.n_bytes, path, alpha, err);
    tap_file_unmap(&mapping);
    return status;
}

void tap_image_clear(tap_image *image)
{
    tap_free(image->rgb);
    *image = (tap_image){0};
}

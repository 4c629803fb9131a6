/* PNG through libpng, to the bytes that the reference processor gets from Pillow. */
#include "image/image_formats.h"

#include "base/file.h"
#include "base/memory.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

/* Everything that must survive a longjmp. */
typedef struct reader {
    const unsigned char *bytes;
    size_t n_bytes, at;
    const char *name;
    char message[128];
    png_structp png;
    png_infop info;
    uint8_t *rows; /* decoded, [height][row_bytes] */
    png_bytep *lines;
    size_t row_bytes;
    int64_t width, height;
    int depth, color;
    tap_alpha alpha;
} reader;

static void fail(png_structp png, png_const_charp message)
{
    reader *r = png_get_error_ptr(png);
    (void)snprintf(r->message, sizeof r->message, "%s", message);
    longjmp(png_jmpbuf(png), 1);
}

static void ignore(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void feed(png_structp png, png_bytep to, size_t n)
{
    reader *r = png_get_io_ptr(png);
    if (n > r->n_bytes - r->at)
        png_error(png, "the file ends too early");
    memcpy(to, r->bytes + r->at, n);
    r->at += n;
}

static void release(reader *r)
{
    png_destroy_read_struct(&r->png, &r->info, NULL);
    tap_free(r->rows);
    tap_free(r->lines);
}

/* Reads the header; `samples` keeps one-channel samples as stored. */
static tap_status start(reader *r, bool samples, tap_error *err)
{
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, fail, ignore);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    if (!r->info)
        return TAP_FAIL(err, TAP_ENOMEM, "cannot get memory to read '%s'", r->name);
    if (setjmp(png_jmpbuf(r->png)))
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read image '%s': %s", r->name,
                        r->message);
    png_set_user_limits(r->png, TAP_IMAGE_MAX_SIDE_PX, TAP_IMAGE_MAX_SIDE_PX);
    png_set_read_fn(r->png, r, feed);
    png_read_info(r->png, r->info);
    r->width = png_get_image_width(r->png, r->info);
    r->height = png_get_image_height(r->png, r->info);
    r->depth = png_get_bit_depth(r->png, r->info);
    r->color = png_get_color_type(r->png, r->info);
    if (r->width * r->height > TAP_IMAGE_MAX_PX)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read image '%s': it has more than %d pixels", r->name,
                        TAP_IMAGE_MAX_PX);
    const bool grey16 = r->color == PNG_COLOR_TYPE_GRAY && r->depth == 16;
    if (samples) {
        png_set_packing(r->png);
    } else {
        if (r->color == PNG_COLOR_TYPE_PALETTE)
            png_set_palette_to_rgb(r->png);
        if (r->color == PNG_COLOR_TYPE_GRAY && r->depth < 8)
            png_set_expand_gray_1_2_4_to_8(r->png);
        if (png_get_valid(r->png, r->info, PNG_INFO_tRNS) && r->depth < 16 &&
            r->alpha == TAP_ALPHA_ON_WHITE)
            png_set_tRNS_to_alpha(r->png);
        if (r->depth == 16 && !grey16)
            png_set_strip_16(r->png);
    }
    (void)png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->row_bytes = png_get_rowbytes(r->png, r->info);
    return TAP_OK;
}

static tap_status read_rows(reader *r, tap_error *err)
{
    TAP_TRY(tap_alloc(&r->rows, (size_t)r->height, r->row_bytes, "an image", err));
    TAP_TRY(tap_alloc(&r->lines, (size_t)r->height, sizeof *r->lines, "an image", err));
    for (int64_t y = 0; y < r->height; y++)
        r->lines[y] = r->rows + (size_t)y * r->row_bytes;
    if (setjmp(png_jmpbuf(r->png)))
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read image '%s': %s", r->name,
                        r->message);
    png_read_image(r->png, r->lines);
    png_read_end(r->png, NULL);
    return TAP_OK;
}

/* Pillow's alpha_composite over opaque white, one channel. */
static uint8_t over_white(unsigned value, unsigned alpha)
{
    if (alpha == 0)
        return 255;
    const unsigned near = alpha * 128U, far = 255U * 128U - near;
    const unsigned sum = value * near + 255U * far + (0x80U << 7);
    return (uint8_t)((((sum >> 8) + sum) >> 8) >> 7);
}

/* One pixel of 1, 2, 3 or 4 channels of 8 bits, or 16-bit grey (which saturates). */
static void put_pixel(uint8_t *rgb, const uint8_t *in, int channels, bool grey16,
                      tap_alpha alpha)
{
    if (grey16) {
        rgb[0] = rgb[1] = rgb[2] = in[0] ? 255 : in[1];
        return;
    }
    const int last = channels <= 2 ? 0 : 2;
    for (int c = 0; c < 3; c++) {
        const uint8_t value = in[last == 0 ? 0 : c];
        rgb[c] = channels % 2 == 1 || alpha == TAP_ALPHA_DROPPED
                     ? value
                     : over_white(value, in[channels - 1]);
    }
}

tap_status tap_png_decode(tap_image *out, const void *bytes, size_t n_bytes,
                          const char *name, tap_alpha alpha, tap_error *err)
{
    reader r = {.bytes = bytes, .n_bytes = n_bytes, .name = name, .alpha = alpha};
    tap_image image = {0};
    tap_status status = start(&r, false, err);
    if (status == TAP_OK)
        status = tap_image_alloc(&image, r.width, r.height, name, err);
    if (status == TAP_OK)
        status = read_rows(&r, err);
    if (status == TAP_OK) {
        const bool grey16 = r.color == PNG_COLOR_TYPE_GRAY && r.depth == 16;
        const int channels = png_get_channels(r.png, r.info);
        const int step = grey16 ? 2 : channels;
        for (int64_t y = 0; y < r.height; y++)
            for (int64_t x = 0; x < r.width; x++)
                put_pixel(image.rgb + (y * r.width + x) * 3, r.lines[y] + x * step,
                          channels, grey16, alpha);
        *out = image;
    } else {
        tap_image_clear(&image);
    }
    release(&r);
    return status;
}

tap_status tap_png_decode_samples(uint8_t **samples, int64_t *width, int64_t *height,
                                  const void *bytes, size_t n_bytes, const char *name,
                                  tap_error *err)
{
    reader r = {.bytes = bytes, .n_bytes = n_bytes, .name = name};
    tap_status status = TAP_OK;
    if (n_bytes < 8 || png_sig_cmp(bytes, 0, 8) != 0)
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read mask '%s': it is not a PNG file",
                        name);
    TAP_TRY_OUT(start(&r, true, err));
    if (r.depth > 8 ||
        (r.color != PNG_COLOR_TYPE_GRAY && r.color != PNG_COLOR_TYPE_PALETTE))
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EFORMAT,
                             "cannot read mask '%s': expected one channel of at most 8 "
                             "bits (grey or palette), found %d bits and colour type %d",
                             name, r.depth, r.color));
    TAP_TRY_OUT(read_rows(&r, err));
    *samples = r.rows; /* packed samples: row_bytes is the width */
    *width = r.width;
    *height = r.height;
    r.rows = NULL;
out:
    release(&r);
    return status;
}

static void write_some(png_structp png, png_bytep bytes, size_t n)
{
    tap_buffer *buffer = png_get_io_ptr(png);
    if (tap_buffer_put(buffer, bytes, n, NULL) != TAP_OK)
        png_error(png, "no memory left");
}

static void write_nothing(png_structp png)
{
    (void)png;
}

tap_status tap_image_write(const tap_image *image, const char *path, tap_error *err)
{
    tap_buffer buffer = {0};
    reader r = {.name = path};
    tap_file_out *file = NULL;
    tap_status status = TAP_OK;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &r, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, &info);
        return TAP_FAIL(err, TAP_ENOMEM, "cannot get memory to write '%s'", path);
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        tap_buffer_clear(&buffer);
        return TAP_FAIL(err, TAP_ENOMEM, "cannot write image '%s': %s", path,
                        r.message);
    }
    png_set_write_fn(png, &buffer, write_some, write_nothing);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < image->height; y++)
        png_write_row(png, image->rgb + y * image->width * 3);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    TAP_TRY_OUT(tap_file_create(&file, path, err));
    TAP_TRY_OUT(tap_file_put(file, buffer.text, buffer.n_bytes, err));
    TAP_TRY_OUT(tap_file_commit(file, err));
out:
    tap_file_close(file);
    tap_buffer_clear(&buffer);
    return status;
}

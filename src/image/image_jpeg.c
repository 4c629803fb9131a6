/* JPEG through libjpeg, to the bytes that Pillow gives: accurate integer DCT, fancy
 * upsampling, Adobe CMYK taken as inverted. A file that ends early is an error. */
#include "image/image_formats.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

/* libjpeg calls back with a pointer to its error manager; ours begins with it. */
typedef struct reader {
    struct jpeg_error_mgr manager;
    jmp_buf failed;
    char message[JMSG_LENGTH_MAX];
} reader;

static void fail(j_common_ptr info)
{
    reader *r = (reader *)(void *)info->err;
    r->manager.format_message(info, r->message);
    longjmp(r->failed, 1);
}

static void warn(j_common_ptr info, int level)
{
    if (level == -1 && info->err->msg_code == JWRN_JPEG_EOF)
        fail(info); /* other warnings are repaired, as Pillow does */
}

/* in: CMYK as stored (inverted); Pillow's CMYK to RGB. */
static void from_cmyk(uint8_t *rgb, const uint8_t *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++, rgb += 3, in += 4) {
        const unsigned black = in[3]; /* 255 - K */
        for (int c = 0; c < 3; c++) {
            const unsigned ink = (255U - in[c]) * black + 128U;
            const unsigned share = ((ink >> 8) + ink) >> 8;
            rgb[c] = (uint8_t)(black > share ? black - share : 0U);
        }
    }
}

static void from_grey(uint8_t *rgb, const uint8_t *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = in[i];
}

tap_status tap_jpeg_decode(tap_image *out, const void *bytes, size_t n_bytes,
                           const char *name, tap_error *err)
{
    struct jpeg_decompress_struct info;
    reader r;
    tap_image image = {0};
    uint8_t *volatile row = NULL;
    tap_image *volatile kept = &image;
    volatile tap_status status = TAP_OK;
    info.err = jpeg_std_error(&r.manager);
    r.manager.error_exit = fail;
    r.manager.emit_message = warn;
    if (setjmp(r.failed)) {
        status =
            TAP_FAIL(err, TAP_EFORMAT, "cannot read image '%s': %s", name, r.message);
        goto out;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, (unsigned long)n_bytes);
    (void)jpeg_read_header(&info, TRUE);
    if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK)
        info.out_color_space = JCS_CMYK;
    else if (info.jpeg_color_space != JCS_GRAYSCALE)
        info.out_color_space = JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    status = tap_image_alloc(kept, info.image_width, info.image_height, name, err);
    if (status != TAP_OK)
        goto out;
    (void)jpeg_start_decompress(&info);
    uint8_t *line = NULL;
    status = tap_alloc(&line, info.output_width, 4, "an image", err);
    row = line;
    while (status == TAP_OK && info.output_scanline < info.output_height) {
        uint8_t *rgb = kept->rgb + (int64_t)info.output_scanline * kept->width * 3;
        JSAMPROW target = info.out_color_space == JCS_RGB ? rgb : line;
        (void)jpeg_read_scanlines(&info, &target, 1);
        if (info.out_color_space == JCS_CMYK)
            from_cmyk(rgb, line, kept->width);
        else if (info.out_color_space == JCS_GRAYSCALE)
            from_grey(rgb, line, kept->width);
    }
    if (status == TAP_OK)
        (void)jpeg_finish_decompress(&info);
out:
    jpeg_destroy_decompress(&info);
    tap_free(row);
    if (status == TAP_OK)
        *out = *kept;
    else
        tap_image_clear(kept);
    return status;
}

/* A JPEG is smaller than its pixels unless they are few: then headers decide. */
enum { JPEG_HEADER_BYTES = 4096 };

static void start_nothing(j_compress_ptr info)
{
    (void)info; /* the buffer was set before */
}

static boolean no_more_space(j_compress_ptr info)
{
    info->err->msg_code = JERR_BUFFER_SIZE;
    info->err->error_exit((j_common_ptr)info);
    return FALSE;
}

tap_status tap_image_encode(tap_buffer *out, const tap_image *image, int quality,
                            tap_error *err)
{
    struct jpeg_compress_struct info;
    reader r;
    uint8_t *bytes = NULL;
    const size_t capacity =
        (size_t)image->width * (size_t)image->height * 3 + JPEG_HEADER_BYTES;
    TAP_TRY(tap_alloc(&bytes, capacity, 1, "an image", err));
    struct jpeg_destination_mgr target = {.next_output_byte = bytes,
                                          .free_in_buffer = capacity,
                                          .init_destination = start_nothing,
                                          .empty_output_buffer = no_more_space,
                                          .term_destination = start_nothing};
    uint8_t *volatile kept = bytes;
    info.err = jpeg_std_error(&r.manager);
    r.manager.error_exit = fail;
    r.manager.emit_message = warn;
    if (setjmp(r.failed)) {
        jpeg_destroy_compress(&info);
        tap_free(kept);
        return TAP_FAIL(err, TAP_EUNSUPPORTED, "cannot write a JPEG: %s", r.message);
    }
    jpeg_create_compress(&info);
    info.dest = &target;
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    info.dct_method = JDCT_ISLOW;
    info.optimize_coding = TRUE;
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = image->rgb + (int64_t)info.next_scanline * image->width * 3;
        (void)jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    const tap_status status =
        tap_buffer_put(out, kept, capacity - target.free_in_buffer, err);
    tap_free(kept);
    return status;
}

/* Resizing as Pillow does it: small pictures in full, large ones by checksum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "image/preprocess.h"

/* p(x, y, c) = (37x + 91y + 13xy + 57c) mod 256; grey: channel 0 in all three. */
static tap_image pattern(int64_t width, int64_t height, bool grey)
{
    tap_image image = {.width = width, .height = height};
    tap_error err;
    assert_int_equal(tap_alloc(&image.rgb, (size_t)(width * height), 3, "x", &err), 0);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            for (int64_t c = 0; c < 3; c++)
                image.rgb[(y * width + x) * 3 + c] =
                    (uint8_t)(37 * x + 91 * y + 13 * x * y + (grey ? 0 : 57 * c));
    return image;
}

static uint32_t crc32_of(const uint8_t *bytes, int64_t n)
{
    uint32_t crc = 0xffffffffU;
    for (int64_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1U ? 0xedb88320U : 0U);
    }
    return ~crc;
}

static void small_pictures_match_in_every_byte(void **state)
{
    (void)state;

    static const struct {
        int64_t from[2], to[2];
        tap_filter filter;
        uint8_t want[35];
    } cases[] = {
        {{7, 5},
         {4, 3},
         TAP_BICUBIC,
         {57, 131, 126, 162, 155, 148, 148, 139, 103, 127, 143, 130}},
        {{7, 5},
         {4, 3},
         TAP_BILINEAR,
         {61, 128, 127, 163, 151, 142, 148, 140, 106, 125, 142, 131}},
        {{7, 5},
         {4, 3},
         TAP_LANCZOS,
         {57, 132, 126, 158, 155, 156, 149, 136, 98, 129, 142, 130}},
        {{4, 3}, {7, 5}, TAP_BICUBIC, {0,   3,   26,  48,  68,  91,  104, 26,  38,
                                       65,  95,  125, 152, 166, 87,  104, 137, 166,
                                       195, 228, 245, 149, 176, 214, 160, 105, 143,
                                       170, 184, 216, 255, 148, 38,  79,  111}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_image in = pattern(cases[i].from[0], cases[i].from[1], true), out;
        tap_error err;
        assert_int_equal(tap_image_resize(&out, &in, cases[i].to[0], cases[i].to[1],
                                          cases[i].filter, TAP_ORDER_PILLOW_12, &err),
                         TAP_OK);
        for (int64_t p = 0; p < out.width * out.height; p++)
            assert_int_equal(out.rgb[3 * p], cases[i].want[p]);
        tap_image_clear(&in);
        tap_image_clear(&out);
    }
}

static void large_pictures_match_by_checksum(void **state)
{
    (void)state;

    static const struct {
        int64_t from[2], to[2];
        uint32_t crc[3]; /* bicubic, bilinear, Lanczos */
    } cases[] = {
        {{640, 480}, {448, 336}, {0xe7d55618, 0x318045fc, 0x205ce24b}},
        {{123, 77}, {536, 336}, {0xcc483b27, 0x2e0635f7, 0x7f1964b5}},
        {{899, 1024}, {336, 382}, {0x08c87f86, 0xd9327c2c, 0x61da704e}},
        {{1024, 768}, {672, 504}, {0xa3d61307, 0x29ec3706, 0x19fdbe07}},
    };

    static const tap_filter filters[3] = {TAP_BICUBIC, TAP_BILINEAR, TAP_LANCZOS};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int f = 0; f < 3; f++) {
            tap_image in = pattern(cases[i].from[0], cases[i].from[1], false), out;
            tap_error err;
            assert_int_equal(tap_image_resize(&out, &in, cases[i].to[0], cases[i].to[1],
                                              filters[f], TAP_ORDER_PILLOW_12, &err),
                             TAP_OK);
            assert_int_equal(crc32_of(out.rgb, out.width * out.height * 3),
                             cases[i].crc[f]);
            tap_image_clear(&in);
            tap_image_clear(&out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pictures_match_in_every_byte),
        cmocka_unit_test(large_pictures_match_by_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

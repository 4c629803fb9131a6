/* Pictures of every kind against the reference: decoded bytes, then pixels after crop and
 * after padding, by checksum. tools/make_image_golden.py made pictures and table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "image/preprocess.h"

#define FOLDER "tests/golden/image/"

static uint32_t crc32_of(const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint32_t crc = 0xffffffffU;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1U ? 0xedb88320U : 0U);
    }
    return ~crc;
}

static bool agrees(const char *name, const char *what, uint32_t want, uint32_t found)
{
    if (want != found)
        print_error("%s: %s differ\n", name, what);
    return want == found;
}

static int check_line(const char *line)
{
    char name[64], path[128];
    int width = 0, height = 0;
    unsigned rgb = 0, pixels[2] = {0};
    assert_int_equal(sscanf(line, "%63s %d %d %x %x %x", name, &width, &height, &rgb,
                            &pixels[0], &pixels[1]),
                     6);
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    tap_image image;
    tap_error err;
    assert_int_equal(tap_image_read(&image, path, &err), TAP_OK);
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    int bad = !agrees(name, "decoded bytes", rgb,
                      crc32_of(image.rgb, (size_t)(3 * width * height)));
    for (int fit = 0; fit < 2; fit++) {
        const tap_preprocess_spec spec = {.side_px = 56,
                                          .patch_px = 14,
                                          .fit = fit ? TAP_FIT_PAD : TAP_FIT_CROP,
                                          .filter = TAP_BICUBIC,
                                          .order = TAP_ORDER_PILLOW_13,
                                          .pad_rgb = {122, 116, 104},
                                          .rescale = 0.00392156862745098,
                                          .mean = {0.48145466, 0.4578275, 0.40821073},
                                          .std = {0.26862954, 0.26130258, 0.27577711}};
        tap_pixels p;
        tap_geometry g;
        assert_int_equal(tap_preprocess_run(&p, &g, &image, &spec, &err), TAP_OK);
        bad += !agrees(name, fit ? "padded pixels" : "cropped pixels", pixels[fit],
                       crc32_of(p.values, sizeof(float) * 3 * 56 * 56));
        tap_pixels_clear(&p);
    }
    tap_image_clear(&image);
    return bad;
}

static void every_kind_of_picture_matches_in_every_byte(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n_bytes = 0;
    tap_error err;
    int n = 0, bad = 0;
    assert_int_equal(
        tap_file_read(&text, &n_bytes, FOLDER "expected.tsv", 1 << 16, &err), TAP_OK);
    for (char *line = text; *line; n++) {
        char *end = strchr(line, '\n');
        *end = '\0';
        bad += check_line(line);
        line = end + 1;
    }
    tap_free(text);
    print_message("%d pictures, %d comparisons\n", n, 3 * n);
    assert_int_equal(n, 20);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_picture_matches_in_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What each family's processor makes of pictures of every kind and size, by checksum of all
 * pixels of all tiles: every byte is the reference's, and what it refuses is refused.
 * tools/make_tiling_golden.py made the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "image/preprocess.h"

#define FOLDER "tests/golden/image/"
#define CLIP                                                                           \
    .rescale = 0.00392156862745098, .mean = {0.48145466, 0.4578275, 0.40821073},       \
    .std = {0.26862954, 0.26130258, 0.27577711}, .pad_rgb = {122, 116, 104}
#define HALF                                                                           \
    .rescale = 0.00392156862745098, .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}

static const struct {
    const char *name;
    tap_preprocess_spec spec;
} processors[] = {
    {"next",
     {.fit = TAP_FIT_ANYRES,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_BICUBIC,
      .n_pinpoints = 5,
      .pinpoints = {{28, 56}, {56, 28}, {56, 56}, {84, 28}, {28, 84}},
      CLIP}},
    {"onevision",
     {.fit = TAP_FIT_ANYRES,
      .side_px = 27,
      .patch_px = 8,
      .filter = TAP_BICUBIC,
      .n_pinpoints = 16,
      .pinpoints = {{27, 27},
                    {27, 54},
                    {27, 81},
                    {27, 108},
                    {54, 27},
                    {54, 54},
                    {54, 81},
                    {54, 108},
                    {81, 27},
                    {81, 54},
                    {81, 81},
                    {81, 108},
                    {108, 27},
                    {108, 54},
                    {108, 81},
                    {108, 108}},
      HALF}},
    {"smolvlm",
     {.fit = TAP_FIT_SPLIT,
      .side_px = 32,
      .patch_px = 8,
      .filter = TAP_LANCZOS,
      .longest_px = 128,
      .splits = true,
      HALF}},
    {"idefics3",
     {.fit = TAP_FIT_SPLIT,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_LANCZOS,
      .longest_px = 56,
      HALF}},
    {"siglip",
     {.fit = TAP_FIT_SQUASH,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_BICUBIC,
      HALF}},
    {"hd",
     {.fit = TAP_FIT_HD,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_BILINEAR,
      .n_crops = 6,
      .alpha = TAP_ALPHA_DROPPED,
      CLIP}},
    {"letterbox",
     {.fit = TAP_FIT_LETTERBOX,
      .rounds_crop = true,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_BICUBIC,
      .alpha = TAP_ALPHA_DROPPED,
      CLIP}},
    {"open_clip",
     {.fit = TAP_FIT_CROP,
      .rounds_crop = true,
      .side_px = 21,
      .patch_px = 7,
      .filter = TAP_BICUBIC,
      .alpha = TAP_ALPHA_DROPPED,
      CLIP}},
    {"xgen",
     {.fit = TAP_FIT_ANYRES,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_BICUBIC,
      .n_pinpoints = 5, /* as height, width */
      .pinpoints = {{56, 28}, {28, 56}, {56, 56}, {28, 84}, {84, 28}},
      .alpha = TAP_ALPHA_DROPPED,
      HALF}},
    {"xgen-1",
     {.fit = TAP_FIT_ANYRES,
      .side_px = 28,
      .patch_px = 7,
      .filter = TAP_BICUBIC,
      .n_pinpoints = 5,
      .pinpoints = {{56, 28}, {28, 56}, {56, 56}, {28, 84}, {84, 28}},
      .alpha = TAP_ALPHA_DROPPED,
      CLIP}},
};

enum { N_PROCESSORS = sizeof processors / sizeof *processors };

static void open_picture(tap_image *image, const char *name, tap_alpha alpha)
{
    tap_error err;
    int w = 0, h = 0;
    if (sscanf(name, "%dx%d", &w, &h) == 2) {
        *image = (tap_image){.width = w, .height = h};
        assert_int_equal(tap_alloc(&image->rgb, (size_t)(w * h), 3, "a picture", &err),
                         TAP_OK);
        for (int i = 0; i < w * h * 3; i++) {
            const int x = i / 3 % w, y = i / 3 / w, c = i % 3;
            image->rgb[i] = (uint8_t)((37 * x + 91 * y + 13 * x * y + 57 * c) % 256);
        }
        return;
    }
    char path[128];
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    assert_int_equal(tap_image_read_as(image, path, alpha, &err), TAP_OK);
}

/* How many lines disagree; counts those that both refuse. */
static int check_line(const char *line, int *refused)
{
    char name[64], processor[32], crc[16];
    int n_tiles = 0, at = 0;
    assert_int_equal(sscanf(line, "%63s %31s %d %15s", name, processor, &n_tiles, crc),
                     4);
    while (at < N_PROCESSORS && strcmp(processors[at].name, processor) != 0)
        at++;
    assert_true(at < N_PROCESSORS);
    const tap_preprocess_spec *spec = &processors[at].spec;
    tap_image image = {0};
    tap_pixels p = {0};
    tap_geometry g;
    tap_error err;
    open_picture(&image, name, spec->alpha);
    const tap_status status = tap_preprocess_run(&p, &g, &image, spec, &err);
    tap_image_clear(&image);
    bool same = (status == TAP_OK) == (crc[0] != '-');
    if (status != TAP_OK) {
        *refused += 1;
    } else if (same) {
        const int skip = spec->fit == TAP_FIT_HD; /* the thumbnail is not of bytes */
        const size_t tile = (size_t)(3 * spec->side_px * spec->side_px);
        char found[16];
        (void)snprintf(
            found, sizeof found, "%08lx",
            crc32(0, (const Bytef *)(p.values + (size_t)skip * tile),
                  (uInt)((size_t)(p.n_tiles - skip) * tile * sizeof(float))));
        same = strcmp(found, crc) == 0 && p.n_tiles - skip == n_tiles;
    }
    if (!same)
        print_error("%s by %s differs\n", name, processor);
    tap_pixels_clear(&p);
    return !same;
}

static void every_family_sees_the_bytes_of_its_reference(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n_bytes = 0;
    tap_error err;
    int n = 0, bad = 0, refused = 0;
    assert_int_equal(tap_file_read(&text, &n_bytes, FOLDER "tiled.tsv", 1 << 16, &err),
                     TAP_OK);
    for (char *line = text; *line; n++) {
        char *end = strchr(line, '\n');
        *end = '\0';
        bad += check_line(line, &refused);
        line = end + 1;
    }
    tap_free(text);
    print_message("%d comparisons, %d of them pictures that the reference refuses\n", n,
                  refused);
    assert_int_equal(n, 50 * N_PROCESSORS);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_sees_the_bytes_of_its_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Coverage is exact area, through crop, pad and squash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "../support/scratch.h"
#include "image/mask.h"

static tap_preprocess_spec spec_of(tap_fit fit)
{
    return (tap_preprocess_spec){.side_px = 8, .patch_px = 4, .fit = fit};
}

static void cover_of(float cover[4], tap_fit fit, const tap_mask *mask)
{
    const tap_preprocess_spec spec = spec_of(fit);
    tap_geometry g;
    tap_error err;
    assert_int_equal(
        tap_preprocess_geometry(&g, mask->width, mask->height, &spec, &err), TAP_OK);
    assert_int_equal(tap_mask_cover(cover, mask, &g, &err), TAP_OK);
}

static tap_mask mask_of(int64_t width, int64_t height, const char *inside)
{
    tap_mask mask;
    tap_error err;
    assert_int_equal(tap_mask_new(&mask, width, height, &err), TAP_OK);
    for (int64_t i = 0; i < width * height; i++)
        mask.inside[i] = inside[i] == '#';
    return mask;
}

static void assert_cover(tap_fit fit, int64_t width, int64_t height, const char *inside,
                         const double want[4])
{
    tap_mask mask = mask_of(width, height, inside);
    float cover[4];
    cover_of(cover, fit, &mask);
    for (int i = 0; i < 4; i++)
        assert_true(cover[i] >= (float)want[i] && cover[i] <= (float)want[i]);
    tap_mask_clear(&mask);
}

static void each_pixel_is_a_square_that_the_geometry_maps(void **state)
{
    (void)state;
    /* 2 x 2 px to 8 x 8: a pixel is a patch */
    assert_cover(TAP_FIT_CROP, 2, 2, "#..#", (const double[]){1, 0, 0, 1});
    /* 3 x 2 px: resized to 12 x 8, the crop takes px 0.5 to 2.5 of the width */
    assert_cover(TAP_FIT_CROP, 3, 2, "#.....", (const double[]){0.5, 0, 0, 0});
    assert_cover(TAP_FIT_CROP, 3, 2, ".#....", (const double[]){0.5, 0.5, 0, 0});
    /* 2 x 1 px padded to 2 x 2: the offset is 0, a row of padding below */
    assert_cover(TAP_FIT_PAD, 2, 1, "##", (const double[]){1, 1, 0, 0});
    /* 3 x 1 px padded to 3 x 3 with one row above */
    assert_cover(TAP_FIT_PAD, 3, 1, "###",
                 (const double[]){1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3});
    /* squash: both axes on their own */
    assert_cover(TAP_FIT_SQUASH, 4, 1, "##..", (const double[]){1, 0, 1, 0});
    assert_cover(TAP_FIT_SQUASH, 3, 3, "....#....",
                 (const double[]){1.0 / 9, 1.0 / 9, 1.0 / 9, 1.0 / 9});
}

static void areas_add_up(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 200; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        const int64_t w = 1 + (int64_t)(seed >> 60),
                      h = 1 + (int64_t)((seed >> 50) & 15);
        tap_mask a, b, both;
        tap_error err;
        assert_int_equal(tap_mask_new(&a, w, h, &err), TAP_OK);
        assert_int_equal(tap_mask_new(&b, w, h, &err), TAP_OK);
        assert_int_equal(tap_mask_new(&both, w, h, &err), TAP_OK);
        for (int64_t i = 0; i < w * h; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1;
            const int die = (int)(seed >> 62);
            a.inside[i] = die == 1;
            b.inside[i] = die == 2;
            both.inside[i] = die == 1 || die == 2;
        }
        for (int fit = 0; fit < 3; fit++) {
            float x[4], y[4], z[4], all[4];
            cover_of(x, (tap_fit)fit, &a);
            cover_of(y, (tap_fit)fit, &b);
            cover_of(z, (tap_fit)fit, &both);
            for (int i = 0; i < 4; i++)
                assert_true(fabs((double)x[i] + (double)y[i] - (double)z[i]) < 1e-6);
            tap_mask full;
            assert_int_equal(tap_mask_new(&full, w, h, &err), TAP_OK);
            memset(full.inside, 1, (size_t)(w * h));
            cover_of(all, (tap_fit)fit, &full);
            const double longer = (double)(w > h ? w : h);
            const double share =
                fit == TAP_FIT_PAD ? (double)(w * h) / (longer * longer) : 1.0;
            assert_true(fabs(((double)all[0] + (double)all[1] + (double)all[2] +
                              (double)all[3]) /
                                 4.0 -
                             share) < 1e-6);
            tap_mask_clear(&full);
        }
        tap_mask_clear(&a);
        tap_mask_clear(&b);
        tap_mask_clear(&both);
    }
}

static void a_mask_of_another_size_is_refused(void **state)
{
    (void)state;
    tap_mask mask = mask_of(2, 2, "####");
    const tap_preprocess_spec spec = spec_of(TAP_FIT_CROP);
    tap_geometry g;
    float cover[4];
    tap_error err;
    assert_int_equal(tap_preprocess_geometry(&g, 3, 2, &spec, &err), TAP_OK);
    assert_int_equal(tap_mask_cover(cover, &mask, &g, &err), TAP_EINVAL);
    assert_string_equal(err.message,
                        "the mask is 2 x 2 pixels, its image 3 x 2; a mask "
                        "must have the size of its image");
    tap_mask_clear(&mask);
}

static void colour_pictures_are_no_masks(void **state)
{
    (void)state;
    tap_mask mask;
    tap_error err;
    assert_int_equal(tap_mask_read(&mask, "tests/golden/image/rgb.png", &err),
                     TAP_EFORMAT);
    assert_string_equal(err.message,
                        "cannot read mask 'tests/golden/image/rgb.png': expected one "
                        "channel of at most 8 bits (grey or palette), found 8 bits and "
                        "colour type 2");
    assert_int_equal(tap_mask_read(&mask, "tests/golden/image/base.jpg", &err),
                     TAP_EFORMAT);
    assert_string_equal(err.message,
                        "cannot read mask 'tests/golden/image/base.jpg': it "
                        "is not a PNG file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pixel_is_a_square_that_the_geometry_maps),
        cmocka_unit_test(areas_add_up),
        cmocka_unit_test(a_mask_of_another_size_is_refused),
        cmocka_unit_test(colour_pictures_are_no_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

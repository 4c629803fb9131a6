/* Polygons and run lengths: shapes filled by pycocotools, real run lengths where they lie
 * beside the tree, and inputs that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "image/mask_shape.h"
#include "lab/tsv.h"

enum { MAX_COORDINATES = 64 };

/* Numbers up to a ';' or the end; *text moves behind. */
static size_t take_numbers(double out[MAX_COORDINATES], const char **text)
{
    size_t n = 0;
    while (**text && **text != ';') {
        char *end = NULL;
        assert_true(n < MAX_COORDINATES);
        out[n++] = strtod(*text, &end);
        assert_true(end > *text);
        *text = *end == ',' ? end + 1 : end;
    }
    *text += **text == ';';
    return n;
}

static void polygons_are_filled_as_the_coco_tools_do(void **state)
{
    (void)state;
    static const char *const columns[] = {"height", "width", "polygons", "runs",
                                          "area"};
    tap_tsv t;
    tap_error err;
    assert_int_equal(
        tap_tsv_read(&t, "tests/golden/coco/shapes.tsv", columns, 5, 5, false, &err),
        TAP_OK);
    for (size_t r = 0; r < t.n_rows; r++) {
        const int64_t h = strtoll(tap_tsv_cell(&t, r, 0), NULL, 10);
        const int64_t w = strtoll(tap_tsv_cell(&t, r, 1), NULL, 10);
        const char *runs = tap_tsv_cell(&t, r, 3);
        tap_mask filled, expected;
        assert_int_equal(tap_mask_new(&filled, w, h, &err), TAP_OK);
        assert_int_equal(tap_mask_new(&expected, w, h, &err), TAP_OK);
        for (const char *at = tap_tsv_cell(&t, r, 2); *at;) {
            double xy[MAX_COORDINATES];
            const size_t n = take_numbers(xy, &at);
            assert_int_equal(tap_mask_put_polygon(&filled, xy, n / 2, &err), TAP_OK);
        }
        assert_int_equal(tap_mask_put_run_text(&expected, runs, strlen(runs), &err),
                         TAP_OK);
        assert_int_equal(tap_mask_area(&expected),
                         strtoll(tap_tsv_cell(&t, r, 4), NULL, 10));
        if (memcmp(filled.inside, expected.inside, (size_t)(w * h)) != 0)
            fail_msg("line %lld of shapes.tsv differs", (long long)t.lines[r]);
        tap_mask_clear(&filled);
        tap_mask_clear(&expected);
    }
    assert_int_equal(t.n_rows, 240);
    tap_tsv_clear(&t);
}

/* FNV-1a of the mask in column-major order, from the start value that the expected table
 * was made with (one digit short of the usual one). */
static uint64_t fingerprint(const tap_mask *mask)
{
    uint64_t hash = UINT64_C(1469598103934665603);
    for (int64_t x = 0; x < mask->width; x++)
        for (int64_t y = 0; y < mask->height; y++)
            hash = (hash ^ mask->inside[y * mask->width + x]) * UINT64_C(1099511628211);
    return hash;
}

#define FOLDER "../shared/data/rle-samples/"

static void real_run_lengths_match_in_every_pixel(void **state)
{
    (void)state;
    static const char *const columns[] = {"height", "width", "area",
                                          "fnv1a64_colmajor_bytes"};
    tap_tsv t;
    tap_error err;
    char *text = NULL;
    size_t n_bytes = 0;
    if (!tap_file_exists(FOLDER "expected.tsv"))
        skip();
    assert_int_equal(
        tap_tsv_read(&t, FOLDER "expected.tsv", columns, 4, 4, false, &err), TAP_OK);
    assert_int_equal(tap_file_read(&text, &n_bytes,
                                   FOLDER "instances_val2014_fakesegm100_results.json",
                                   1 << 20, &err),
                     TAP_OK);
    json_t *list = json_loadb(text, n_bytes, 0, NULL);
    assert_int_equal(json_array_size(list), t.n_rows);
    for (size_t r = 0; r < t.n_rows; r++) {
        json_t *segmentation = json_object_get(json_array_get(list, r), "segmentation");
        const char *runs = json_string_value(json_object_get(segmentation, "counts"));
        tap_mask mask;
        assert_int_equal(tap_mask_new(&mask, strtoll(tap_tsv_cell(&t, r, 1), NULL, 10),
                                      strtoll(tap_tsv_cell(&t, r, 0), NULL, 10), &err),
                         TAP_OK);
        assert_int_equal(tap_mask_put_run_text(&mask, runs, strlen(runs), &err),
                         TAP_OK);
        assert_int_equal(tap_mask_area(&mask),
                         strtoll(tap_tsv_cell(&t, r, 2), NULL, 10));
        assert_true(fingerprint(&mask) == strtoull(tap_tsv_cell(&t, r, 3), NULL, 16));
        tap_mask_clear(&mask);
    }
    print_message("%zu masks equal\n", t.n_rows);
    json_decref(list);
    tap_free(text);
    tap_tsv_clear(&t);
}

static void plain_runs_go_down_the_columns(void **state)
{
    (void)state;
    tap_mask mask;
    tap_error err;
    assert_int_equal(tap_mask_new(&mask, 3, 2, &err), TAP_OK);
    assert_int_equal(
        tap_mask_put_runs(&mask, (const int64_t[]){0, 1, 2, 2, 1}, 5, &err), TAP_OK);
    /* columns: 1 0 | 0 1 | 1 0 */
    assert_memory_equal(mask.inside, ((const uint8_t[]){1, 0, 1, 0, 1, 0}), 6);
    tap_mask_clear(&mask);
}

static void absurd_shapes_are_refused(void **state)
{
    (void)state;

    static const struct {
        int64_t runs[4];
        size_t n;
        const char *message;
    } lists[] = {
        {{7}, 1, "a run of 7 pixels at pixel 0 does not fit a mask of 3 x 2"},
        {{2, -1}, 2, "a run of -1 pixels at pixel 2 does not fit a mask of 3 x 2"},
        {{3, INT64_MAX},
         2,
         "a run of 9223372036854775807 pixels at pixel 3 does not fit a mask of 3 x 2"},
        {{2, 2}, 2, "the runs cover 4 pixels of the 6 of a mask of 3 x 2"},
        {{0}, 0, "the runs cover 0 pixels of the 6 of a mask of 3 x 2"},
    };

    static const struct {
        const char *text, *message;
    } texts[] = {
        {"T", "the compressed runs break off or hold a foreign character at byte 1"},
        {"1 ", "the compressed runs break off or hold a foreign character at byte 1"},
        {"oooooooooooo",
         "the compressed runs break off or hold a foreign character at byte 7"},
        {"7", "a run of 7 pixels at pixel 0 does not fit a mask of 3 x 2"},
        {"O", "a run of -1 pixels at pixel 0 does not fit a mask of 3 x 2"},
    };

    static const double far[] = {0, 0, 1e9, 0, 3, 3},
                        nan[] = {0, 0, 0.0 / 0.0, 1, 1, 1};
    tap_mask mask;
    tap_error err;
    assert_int_equal(tap_mask_new(&mask, 3, 2, &err), TAP_OK);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_int_equal(tap_mask_put_runs(&mask, lists[i].runs, lists[i].n, &err),
                         TAP_EFORMAT);
        assert_string_equal(err.message, lists[i].message);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(
            tap_mask_put_run_text(&mask, texts[i].text, strlen(texts[i].text), &err),
            TAP_EFORMAT);
        assert_string_equal(err.message, texts[i].message);
    }
    assert_int_equal(tap_mask_put_polygon(&mask, far, 3, &err), TAP_EFORMAT);
    assert_string_equal(err.message,
                        "a polygon reaches to 1e+09, at most 32768 px are read");
    assert_int_equal(tap_mask_put_polygon(&mask, nan, 3, &err), TAP_EFORMAT);
    assert_int_equal(tap_mask_put_polygon(&mask, far, 2, &err), TAP_EFORMAT);
    assert_string_equal(err.message, "a polygon has 2 points, at least 3 are needed");
    tap_mask_clear(&mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(polygons_are_filled_as_the_coco_tools_do),
        cmocka_unit_test(real_run_lengths_match_in_every_pixel),
        cmocka_unit_test(plain_runs_go_down_the_columns),
        cmocka_unit_test(absurd_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

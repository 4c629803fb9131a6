/* Every format when memory runs out at any place: a message, no crash, and with enough
 * memory the same items as before. Leaks show under the address sanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <tiffio.h>

#include "../support/listing.h"
#include "../support/scratch.h"
#include "../support/tiff.h"
#include "base/memory.h"
#include "image/image.h"

static void write_ade(const char *folder)
{
    static const char *const maps[] = {"x_seg.png", "x_parts_1.png"};
    uint8_t rgb[3 * 12] = {0, 7, 128, 0, 7, 128, 0, 7, 255, 10, 1, 9};
    const tap_image image = {.width = 4, .height = 3, .rgb = rgb};
    for (int i = 0; i < 2; i++) {
        char path[SCRATCH_PATH_BYTES];
        scratch_path(path, folder, maps[i]);
        assert_int_equal(tap_image_write(&image, path, NULL), TAP_OK);
    }
    scratch_write_text(
        folder, "x.json",
        "{\"annotation\": {\"object\": [{\"id\": 0, \"name\": \"c\xe4r\", \"name_ndx\": 7, "
        "\"parts\": {\"part_level\": 0}, \"polygon\": {\"x\": [0, 2, 2, 0], \"y\": [0, 0, "
        "1, 1]}}, {\"id\": 1, \"name\": \"wheel\", \"name_ndx\": 7, \"parts\": "
        "{\"part_level\": 1, \"ispartof\": 0}, \"polygon\": {\"x\": [0, 2, 2, 0], \"y\": "
        "[0, 0, 1, 1]}}, {\"id\": 2, \"name\": \"rim\", \"name_ndx\": 3, \"parts\": "
        "{\"part_level\": 2, \"ispartof\": 1}}]}}");
}

static const char COCO[] =
    "{\"images\": [{\"id\": 1, \"file_name\": \"x.png\", \"width\": 4, \"height\": 3}],"
    " \"categories\": [{\"id\": 1, \"name\": \"mug\", \"supercategory\": \"OBJECT\"},"
    " {\"id\": 2, \"name\": \"mug:left_ear\", \"supercategory\": \"PART\"}],"
    " \"annotations\": [{\"id\": 5, \"obj_ann_id\": 5, \"image_id\": 1, \"category_id\": 1,"
    " \"segmentation\": [[0, 0, 4, 0, 4, 3, 0, 3]]}, {\"id\": 6, \"obj_ann_id\": 5, "
    "\"image_id\": 1, \"category_id\": 2, \"segmentation\": {\"size\": [3, 4], \"counts\": "
    "[0, 2, 10]}}, {\"id\": 7, \"obj_ann_id\": 5, \"image_id\": 2, \"category_id\": 3, "
    "\"segmentation\": {\"size\": [3, 4], \"counts\": \"129\"}}]}";

/* Opens and reads everything; TAP_OK, or the first failure. */
static tap_status read_all(const tap_data_spec *spec, size_t *n_parts, tap_error *err)
{
    tap_dataset *dataset = NULL;
    tap_status status = tap_dataset_open(&dataset, spec, NULL, err);
    *n_parts = 0;
    for (int64_t i = 0; status == TAP_OK && i < tap_dataset_count(dataset); i++) {
        tap_items items;
        status = tap_dataset_read(&items, dataset, i, err);
        if (status != TAP_OK)
            break;
        *n_parts += items.n_parts;
        tap_items_clear(&items);
    }
    tap_dataset_close(dataset);
    return status;
}

static void lack_of_memory_anywhere_is_a_message(void **state)
{
    (void)state;
    static const int32_t labels[12] = {0, 800101, 8001, 100706, 100707, 500};
    static const uint8_t values[12] = {0, 1, 2, 14, 15, 77};

    static const struct {
        const char *format, *annotations;
        size_t n_parts;
    } cases[] = {
        {"paco", "x.json", 2}, {"coco-parts", "x.json", 3},
        {"cihp", "", 4},       {"panoptic-parts", "", 3},
        {"masks", "x.tsv", 2}, {"ade20k-parts", "ade", 4},
    };

    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], ade[SCRATCH_BYTES];
    scratch_open(folder);
    scratch_open(ade);
    listing_photo(folder, "x.png", 4, 3);
    listing_photo(ade, "x.jpg", 4, 3);
    write_ade(ade);
    scratch_path(path, folder, "x.png"); /* CIHP: photo and labels in one */
    listing_png(path, values, 4, 3);
    scratch_path(path, folder, "x.tif");
    tiff_write(path, labels, 4, 3,
               &(tiff_style){.bits = 32, .compression = COMPRESSION_LZW, .samples = 1});
    scratch_write_text(folder, "x.json", COCO);
    scratch_write_text(folder, "x.tsv",
                       "image\tmask\tvalue\tobject\tpart\tlabel\n"
                       "x.png\tx.png\t1\tcat\tear\t\nx.png\tx.png\t2\tcat\ttail\tend\n"
                       "x.png\tx.png\t\tcat\t\t\n");
    const char *merge[] = {"sides", "counters"};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const bool is_ade = strcmp(cases[c].annotations, "ade") == 0;
        scratch_path(path, folder, cases[c].annotations);
        const tap_data_spec spec = {.format = cases[c].format,
                                    .images = is_ade ? ade : folder,
                                    .annotations = is_ade ? ade : path,
                                    .merge = merge,
                                    .n_merge = 2};
        tap_error err;
        size_t n_parts = 0;
        int64_t n = 0;
        tap_status status = TAP_ENOMEM;
        while (status != TAP_OK) {
            (void)tap_memory_fail_at(++n);
            status = read_all(&spec, &n_parts, &err);
            (void)tap_memory_fail_at(0);
            if (status != TAP_OK && status != TAP_ENOMEM)
                fail_msg("%s, allocation %lld: %s", cases[c].format, (long long)n,
                         err.message);
            assert_true(n < 20000);
        }
        assert_true(n > 20);
        if (n_parts != cases[c].n_parts)
            fail_msg("%s: %zu parts", cases[c].format, n_parts);
    }
    scratch_close(ade);
    scratch_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lack_of_memory_anywhere_is_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

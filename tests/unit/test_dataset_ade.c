/* ADE20K with parts: real samples where they lie beside the tree, and one written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../support/listing.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "base/memory.h"
#include "image/image.h"

#define SAMPLES "../shared/data/parts-samples/ade20k"

/* Pixels of a label map that have a class. */
static int64_t count_labelled(const char *name, int level)
{
    char path[SCRATCH_PATH_BYTES];
    tap_image image;
    tap_error err;
    int64_t n = 0;
    (void)snprintf(path, sizeof path, SAMPLES "/%s_parts_%d.png", name, level);
    if (!tap_file_exists(path))
        return 0;
    assert_int_equal(tap_image_read(&image, path, &err), TAP_OK);
    for (int64_t i = 0; i < image.width * image.height; i++)
        n += image.rgb[3 * i] >= 10 || image.rgb[3 * i + 1] > 0;
    tap_image_clear(&image);
    return n;
}

static void real_samples_give_every_part_its_region(void **state)
{
    (void)state;
    static const size_t n_parts[] = {19, 3, 8};
    if (!tap_file_exists(SAMPLES "/ADE_train_00016869.json"))
        skip();
    const tap_data_spec spec = {
        .format = "ade20k-parts", .images = SAMPLES, .annotations = SAMPLES};
    tap_dataset *dataset = NULL;
    tap_error err;
    assert_int_equal(tap_dataset_open(&dataset, &spec, NULL, &err), TAP_OK);
    assert_int_equal(tap_dataset_count(dataset), 3);
    for (int64_t i = 0; i < 3; i++) {
        const char *name = tap_dataset_name(dataset, i);
        tap_items items;
        int64_t sum = 0;
        assert_int_equal(tap_dataset_read(&items, dataset, i, &err), TAP_OK);
        assert_int_equal(items.n_parts, n_parts[i]);
        for (size_t p = 0; p < items.n_parts; p++) {
            const tap_part *part = &items.parts[p];
            const tap_mask *object = &items.objects[part->object].mask;
            int64_t outside = 0;
            assert_null(part->excluded);
            sum += part->area_px;
            for (int64_t k = 0; k < object->width * object->height; k++)
                outside += part->mask.inside[k] && !object->inside[k];
            assert_true(outside * 20 <= part->area_px); /* a part lies in its object */
        }
        assert_int_equal(sum, count_labelled(name, 1) + count_labelled(name, 2));
        tap_items_clear(&items);
    }
    tap_dataset_close(dataset);
}

/* ---- one written here ---- */

/* Writes class (one letter a pixel: class = letter - 'a' + 1; '.' nothing) and instance. */
static void write_map(const char *folder, const char *name, const char *classes,
                      const char *instances, int width, int height)
{
    char path[SCRATCH_PATH_BYTES];
    uint8_t rgb[3 * 64] = {0};
    for (int i = 0; i < width * height; i++) {
        if (classes[i] == '.')
            continue;
        const int class = classes[i] - 'a' + 1 + 256 * (classes[i] == 'z');
        rgb[3 * i] = (uint8_t)(class / 256 * 10 + 3); /* a remainder of 10 is nothing */
        rgb[3 * i + 1] = (uint8_t)(class % 256);
        rgb[3 * i + 2] = (uint8_t)(instances[i] - '0');
    }
    const tap_image image = {.width = width, .height = height, .rgb = rgb};
    scratch_path(path, folder, name);
    assert_int_equal(tap_image_write(&image, path, NULL), TAP_OK);
}

/* An entry of the JSON file; x and y are the corners of its polygon. */
typedef struct note {
    int id;
    const char *name;
    int class_id, level;
    const char *parent, *x, *y;
} note;

static void write_notes(const char *folder, const char *name, const note *notes,
                        size_t n)
{
    tap_buffer text = {0};
    assert_int_equal(tap_buffer_print(&text, NULL, "{\"annotation\": {\"object\": ["),
                     TAP_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            tap_buffer_print(&text, NULL,
                             "%s{\"id\": %d, \"name\": \"%s\", \"name_ndx\": %d, "
                             "\"parts\": {\"part_level\": %d, \"ispartof\": %s}, "
                             "\"polygon\": {\"x\": %s, \"y\": %s}}",
                             i ? ", " : "", notes[i].id, notes[i].name,
                             notes[i].class_id, notes[i].level, notes[i].parent,
                             notes[i].x, notes[i].y),
            TAP_OK);
    assert_int_equal(tap_buffer_print(&text, NULL, "]}}"), TAP_OK);
    scratch_write_text(folder, name, text.text);
    tap_buffer_clear(&text);
}

static void entries_find_their_regions_by_polygon(void **state)
{
    (void)state;
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    scratch_open(folder);
    scratch_path(path, folder, "street");
    assert_int_equal(mkdir(path, 0777), 0);
    listing_photo(folder, "street/x.jpg", 8, 4);
    /* cars 1 (left) and 2 (right): the file's order is the other way round */
    write_map(folder, "street/x_seg.png",
              "aaa..aaa"
              "aaa..aaa"
              "aaa..aaa"
              "b.......",
              "11100222"
              "11100222"
              "11100222"
              "30000000",
              8, 4);
    /* wheels w (class 23): 5 left, 6 right; z (class 282): a door without polygon; an
     * unknown region of class 3 */
    write_map(folder, "street/x_parts_1.png",
              "w....w.."
              "zz......"
              "........"
              ".......c",
              "50000600"
              "77000000"
              "00000000"
              "00000008",
              8, 4);
    write_map(folder, "street/x_parts_2.png",
              "........"
              "e......."
              "........"
              "........",
              "00000000"
              "10000000"
              "00000000"
              "00000000",
              8, 4);
    static const note notes[] = {
        {10, "car, auto", 1, 0, "[]", "[5,8,8,5]", "[0,0,3,3]"},
        {11, "car, auto", 1, 0, "[]", "[0,3,3,0]", "[0,0,3,3]"},
        {12, "wheel", 23, 1, "10", "[5,6,6,5]", "[0,0,1,1]"},
        {13, "wheel", 23, 1, "[11]", "[0,1,1,0]", "[0,0,1,1]"},
        /* Latin-1: e with acute accent is one byte */
        {14, "d\xe9tail (left)", 282, 1, "11", "[]", "[]"},
        {15, "handle", 5, 2, "14", "[0,1,1,0]", "[1,1,2,2]"},
        /* lies where the door is, but is of another class */
        {16, "antenna", 9, 1, "11", "[0,2,2,0]", "[1,1,2,2]"},
        {17, "tyre", 23, 1, "99", "[0,1,1]", "[0,0,1]"},
        {18, "loop", 9, 2, "18", "[0,1,1]", "[0,0,1]"},
        {19, "deep", 9, 12, "11", "[0,1,1]", "[0,0,1]"},
        {20, "valve", 9, 3, "15", "[0,1,1]", "[0,0,1]"},
        {21, "ghost", 77, 0, "[]", "[0,1,1]", "[0,0,1]"},
        {22, "ghost part", 3, 2, "21", "[]", "[]"},
    };
    write_notes(folder, "street/x.json", notes, sizeof notes / sizeof *notes);
    const tap_data_spec spec = {
        .format = "ade20k-parts", .images = folder, .annotations = folder};
    tap_error err = {0};
    char *found = listing(&spec, &err);
    char expected[2048];
    (void)snprintf(
        expected, sizeof expected,
        "street/x|10|car, auto|wheel|wheel|1|\n"
        "street/x|11|car, auto|wheel|wheel|1|\n"
        "street/x|11|car, auto|d\xc3\xa9tail (left)|d\xc3\xa9tail|2|\n"
        "street/x|11|car, auto|antenna|antenna|0|the label map shows nothing of it\n"
        "street/x||unknown|tyre|tyre|0|it is part of no object of the file\n"
        "street/x||unknown|class 3|class 3|1|the JSON file has no entry for these "
        "pixels\n"
        "street/x|11|car, auto|handle|handle|1|\n"
        "street/x||unknown|loop|loop|0|it is part of no object of the file\n"
        "street/x|21|ghost|ghost part|ghost part|0|the label map shows nothing of it\n"
        "street/x|11|car, auto|valve|valve|0|cannot open '%s/street/x_parts_3.png': No "
        "such file or directory\n"
        "street/x|11|car, auto|deep|deep|0|its part_level is not 0 to 9\n",
        folder);
    assert_string_equal(found, expected);
    tap_free(found);

    /* without the map of objects no part can be told from its object */
    scratch_path(path, folder, "street/x_seg.png");
    assert_int_equal(remove(path), 0);
    found = listing(&spec, &err);
    assert_null(strstr(found, "|1|\n"));
    assert_non_null(strstr(found, "x_seg.png': No such file or directory\n"));
    tap_free(found);

    scratch_write_text(folder, "street/x.json", "{\"annotation\": {}}");
    found = listing(&spec, &err);
    assert_non_null(strstr(found, "x.json': expected a list annotation.object of at "
                                  "most 20000 entries\n"));
    tap_free(found);
    scratch_write_text(folder, "street/x.json", "{\"annotation\": ");
    found = listing(&spec, &err);
    assert_non_null(strstr(found, "as JSON: "));
    tap_free(found);
    scratch_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_samples_give_every_part_its_region),
        cmocka_unit_test(entries_find_their_regions_by_polygon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

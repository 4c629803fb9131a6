/* COCO files: coco-parts, PartImageNet and PACO from files written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../support/listing.h"
#include "../support/scratch.h"
#include "base/memory.h"

#define IMAGES                                                                         \
    "\"images\": [{\"id\": 7, \"file_name\": \"b.png\", \"width\": 4, \"height\": 3}," \
    " {\"id\": 3, \"file_name\": \"a.png\", \"width\": 4, \"height\": 3},"             \
    " {\"id\": 9, \"file_name\": \"gone.png\", \"width\": 4, \"height\": 3}]"

static char *list_file(const char *format, const char *text, tap_error *err)
{
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    scratch_open(folder);
    scratch_write_text(folder, "a.json", text);
    scratch_path(path, folder, "a.json");
    listing_photo(folder, "a.png", 4, 3);
    listing_photo(folder, "b.png", 4, 3);
    const tap_data_spec spec = {
        .format = format, .images = folder, .annotations = path};
    char *found = listing(&spec, err);
    scratch_close(folder);
    return found;
}

static void check_list(const char *format, const char *text, const char *expected)
{
    tap_error err = {0};
    char *found = list_file(format, text, &err);
    if (!found)
        fail_msg("%s", err.message);
    assert_string_equal(found, expected);
    tap_free(found);
}

static void groups_are_objects_and_categories_parts(void **state)
{
    (void)state;
    check_list(
        "coco-parts",
        "{\"annotations\": ["
        /* polygons, whose union counts; a hole in the numbering of ids is no fault */
        "{\"id\": 1, \"image_id\": 3, \"category_id\": 5, \"segmentation\":"
        " [[0,0,2,0,2,2,0,2],[1,1,3,1,3,3,1,3]]},"
        "{\"id\": 2, \"image_id\": 3, \"category_id\": 6, \"segmentation\":"
        " {\"size\": [3, 4], \"counts\": [0, 3, 9]}, \"iscrowd\": 0},"
        "{\"id\": 3, \"image_id\": 7, \"category_id\": 6, \"iscrowd\": 1, "
        "\"segmentation\": {\"size\": [3, 4], \"counts\": [1, 2, 9]}},"
        "{\"id\": 4, \"image_id\": 7, \"category_id\": 8, \"segmentation\":"
        " {\"size\": [3, 4], \"counts\": \"129\"}},"
        "{\"id\": 5, \"image_id\": 9, \"category_id\": 5, \"segmentation\":"
        " {\"size\": [3, 4], \"counts\": [0, 12]}}],"
        "\"categories\": [{\"id\": 5, \"name\": \"Outer_Ear\", \"supercategory\": "
        "\"cat\"}, {\"id\": 6, \"name\": \"tail\", \"supercategory\": \"cat\"},"
        " {\"id\": 8, \"name\": \"Quadruped Head\", \"supercategory\": "
        "\"Quadruped\"}],"
        "\"info\": {\"a\": [1, \"]}\\\"\"]}, " IMAGES "}",
        "a.png||cat|Outer_Ear|outer ear|7|\n"
        "a.png||cat|tail|tail|3|\n"
        "b.png||cat|tail|tail|2|a crowd region: one mask for many\n"
        "b.png||Quadruped|Head|head|2|\n"
        "gone.png||cat|Outer_Ear|outer ear|12|no photo\n");
}

static void photos_are_found_by_url_and_without_their_folder(void **state)
{
    (void)state;
    check_list(
        "coco-parts",
        "{\"images\": [{\"id\": 1, \"coco_url\": \"http://x.org/train/a.png\", \"width\": "
        "4, \"height\": 3}, {\"id\": 2, \"file_name\": \"val/b.png\", \"width\": 4, "
        "\"height\": 3}], \"categories\": [{\"id\": 1, \"name\": \"ear\", "
        "\"supercategory\": \"cat\"}], \"annotations\": ["
        "{\"image_id\": 1, \"category_id\": 1, \"segmentation\": [[0,0,4,0,4,3,0,3]]},"
        "{\"image_id\": 2, \"category_id\": 1, \"segmentation\": [[0,0,4,0,4,3,0,3]]}]}",
        "train/a.png||cat|ear|ear|12|\n"
        "val/b.png||cat|ear|ear|12|\n");
}

static void part_image_net_spells_tire_its_own_way(void **state)
{
    (void)state;
    check_list(
        "partimagenet",
        "{" IMAGES ", \"categories\": [{\"id\": 1, \"name\": \"Car Tier\", "
        "\"supercategory\": \"Car\"}, {\"id\": 2, \"name\": \"Car Side Mirror\", "
        "\"supercategory\": \"Car\"}, {\"id\": 3, \"name\": \"Fish Fin\", "
        "\"supercategory\": \"Fish\"}], \"annotations\": ["
        "{\"id\": 0, \"image_id\": 3, \"category_id\": 1, \"segmentation\": "
        "[[0,0,4,0,4,3,0,3]]},"
        "{\"id\": 1, \"image_id\": 3, \"category_id\": 2, \"segmentation\": "
        "[[0,0,1,0,1,1,0,1]]},"
        "{\"id\": 2, \"image_id\": 7, \"category_id\": 3, \"segmentation\": "
        "[[0,0,1,0,1,1,0,1]]}]}",
        "a.png||Car|Tier|tire|12|\n"
        "a.png||Car|Side Mirror|mirror|1|\n"
        "b.png||Fish|Fin|fin|1|\n");
}

#define PACO_CATEGORIES                                                                \
    "\"categories\": [{\"id\": 1, \"name\": \"mug\", \"supercategory\": \"OBJECT\"},"  \
    " {\"id\": 2, \"name\": \"dog\", \"supercategory\": \"OBJECT\"},"                  \
    " {\"id\": 11, \"name\": \"mug:handle\", \"supercategory\": \"PART\"},"            \
    " {\"id\": 12, \"name\": \"dog:eye\", \"supercategory\": \"PART\"},"               \
    " {\"id\": 13, \"name\": \"mug:inner_body\", \"supercategory\": \"PART\"}]"
#define NOTE(id, image, category, object, counts)                                      \
    "{\"id\": " id ", \"image_id\": " image ", \"category_id\": " category             \
    ", \"obj_ann_id\": " object ", \"segmentation\": {\"size\": [3, 4], \"counts\": "  \
    "[" counts "]}}"

static void paco_parts_belong_to_the_annotation_they_name(void **state)
{
    (void)state;
    check_list(
        "paco",
        "{" IMAGES ", " PACO_CATEGORIES ", \"annotations\": ["
        /* a part before its object; two objects of a class; an object without parts */
        NOTE("21", "3", "11", "20", "0,2,10") "," NOTE(
            "20", "3", "1", "20",
            "0,6,6") "," NOTE("30", "3", "1", "30",
                              "6,6") "," NOTE("31", "3", "13", "30",
                                              "8,1,3") "," NOTE("40", "3", "2", "40",
                                                                "0,12") ","
        /* what cannot be right */
        NOTE("50", "7", "12", "51", "0,1,11") "," NOTE("60", "7", "1", "60", "0,6,6") "," NOTE("61", "7", "12", "60", "0,1,11") "," NOTE(
            "62", "7", "99", "60",
            "0,1,11") "," NOTE("63", "7", "1", "60",
                               "0,1,11") "," NOTE("70", "7", "98", "70",
                                                  "0,12") "," NOTE("71", "7", "11",
                                                                   "70",
                                                                   "0,1,11") "," NOTE("80",
                                                                                      "7",
                                                                                      "2",
                                                                                      "80",
                                                                                      "0,99") "," NOTE("81",
                                                                                                       "7",
                                                                                                       "12",
                                                                                                       "80",
                                                                                                       "0,1,11") "]}",
        "a.png|20|mug|handle|handle|2|\n"
        "a.png|30|mug|inner_body|inner body|1|\n"
        "b.png|51|dog|eye|eye|1|its object is not annotated in this image\n"
        "b.png|60|mug|eye|eye|1|its category 'dog:eye' is not of its object 'mug'\n"
        "b.png|60|mug|unknown|unknown|1|unknown category_id 99\n"
        "b.png|60|mug|mug|mug|1|its category is not of the form object:part\n"
        "b.png|70|unknown|handle|handle|1|of its object: unknown category_id 98\n"
        "b.png|80|dog|eye|eye|1|of its object: a run of 99 pixels at pixel 0 does not "
        "fit a mask of 4 x 3\n");
}

static void a_faulty_annotation_excludes_itself_alone(void **state)
{
    (void)state;
    check_list(
        "coco-parts",
        "{\"images\": [{\"id\": 3, \"file_name\": \"a.png\", \"width\": 4, \"height\": 3},"
        " {\"id\": 7, \"file_name\": \"b.png\", \"width\": 8, \"height\": 6}],"
        "\"categories\": [{\"id\": 1, \"name\": \"ear\", \"supercategory\": \"cat\"},"
        " {\"id\": 2, \"name\": \"alone\"}], \"annotations\": ["
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": [[0,0,9,0,9,9]]},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": []},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": [[1,2,3]]},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": [[1,2,3,4]]},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": [[1,2,3,\"4\"]]},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": [3]},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": [[0,0,1e200,0,1,1]]},"
        "{\"image_id\": 3, \"category_id\": 1},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": {\"counts\": [12]}},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": {\"size\": [3, 4]}},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": {\"size\": [3, 4], "
        "\"counts\": [1.5]}},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": {\"size\": [4, 3], "
        "\"counts\": [0, 12]}},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": {\"size\": [99999999, "
        "4], \"counts\": [0, 12]}},"
        "{\"image_id\": 3, \"category_id\": 1, \"segmentation\": {\"size\": [3, 4], "
        "\"counts\": [12]}},"
        "{\"image_id\": 3, \"category_id\": 2, \"segmentation\": [[0,0,4,0,4,3]]},"
        "{\"image_id\": 3, \"segmentation\": [[0,0,4,0,4,3,0,3]]},"
        "{\"image_id\": 7, \"category_id\": 1, \"segmentation\": [[0,0,9,0,9,9]]},"
        "{\"image_id\": 55, \"category_id\": 1, \"segmentation\": {\"size\": [1, 1], "
        "\"counts\": [0, 1]}},"
        "{\"category_id\": 1, \"segmentation\": {\"size\": [1, 1], \"counts\": [0, 1]}}"
        "]}",
        "(image_id 55)||cat|ear|ear|1|its image_id is not in the list of images\n"
        "(no image_id)||cat|ear|ear|1|its image_id is not in the list of images\n"
        "a.png||cat|ear|ear|6|\n"
        "a.png||cat|ear|ear|0|it has no polygon\n"
        "a.png||cat|ear|ear|0|a polygon is a list of 3 numbers\n"
        "a.png||cat|ear|ear|0|a polygon has 2 points, at least 3 are needed\n"
        "a.png||cat|ear|ear|0|a polygon holds more than numbers\n"
        "a.png||cat|ear|ear|0|its polygons are not lists\n"
        "a.png||cat|ear|ear|0|a polygon reaches to 1e+200, at most 32768 px are read\n"
        "a.png||cat|ear|ear|0|it has no segmentation\n"
        "a.png||cat|ear|ear|0|its run lengths do not tell their size\n"
        "a.png||cat|ear|ear|0|its run lengths are neither text nor a list\n"
        "a.png||cat|ear|ear|0|its run lengths are not whole numbers\n"
        "a.png||cat|ear|ear|12|the part has a mask of 3 x 4 px in an image of 4 x 3 px\n"
        "a.png||cat|ear|ear|0|a mask of 4 x 99999999 pixels cannot be made; 1 to 16384 a "
        "side\n"
        "a.png||cat|ear|ear|0|no pixel belongs to it\n"
        "a.png||unknown|alone|alone|6|its category has no supercategory, which names the "
        "object\n"
        "a.png||unknown|unknown|unknown|12|it has no category_id\n"
        "b.png||cat|ear|ear|27|the part has a mask of 8 x 6 px in an image of 4 x 3 px\n");
}

static void a_damaged_file_is_named_with_the_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "no object at byte 0"},
        {"", "no object at byte 0"},
        {"{\"images\": [], \"images\": [], \"a\": 1}", "'images' stands twice"},
        {"{\"images\": [], \"annotations\": []}", "it has no list 'categories'"},
        {"{\"images\": [{\"id\": 1, \"file_name\": \"a\"",
         "a missing value at byte 38"},
        {"{\"images\": [{\"id\": 1, \"file_name\": \"a", "a string that does not end"},
        {"{\"images\": [{\"id\": 1]}", "a bracket that was not opened at byte 20"},
        {"{\"images\": [{\"id\": 1, \"id\": 2}]}", "duplicate object key"},
        {"{\"images\": [{\"id\": 1}]}", "it has no text 'file_name'"},
        {"{\"images\": [{\"file_name\": \"a\"}]}", "it has no whole number 'id'"},
        {"{\"images\": [3]}", "item at byte 12"},
        {"{\"images\": [], \"annotations\": [], \"categories\": []} x",
         "text after the end at byte 52"},
        {"{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": "
         "\"b\"}], \"annotations\": [], \"categories\": []}",
         "two images have the id 1"},
        {"{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 2, \"file_name\": "
         "\"a\"}], \"annotations\": [], \"categories\": []}",
         "two images have the file_name 'a'"},
        {"{\"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 1, \"name\": \"b\"}],"
         " \"annotations\": [], \"images\": []}",
         "two categories have the id 1"},
        {"{\"annotations\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
         "[[[[[[[[",
         "brackets nested too deeply"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_error err = {0};
        char *found = list_file("coco-parts", cases[i][0], &err);
        assert_null(found);
        assert_int_equal(err.status, TAP_EFORMAT);
        if (!strstr(err.message, cases[i][1]) || !strstr(err.message, "a.json"))
            fail_msg("expected '%s', found '%s'", cases[i][1], err.message);
    }
}

/* What the callback was told. */
typedef struct told {
    size_t n, last_bytes, n_bytes;
} told;

static void tell(void *owner, size_t done_bytes, size_t n_bytes)
{
    told *t = owner;
    assert_true(done_bytes > t->last_bytes && done_bytes <= n_bytes);
    t->n++;
    t->last_bytes = done_bytes;
    t->n_bytes = n_bytes;
}

static void a_large_file_tells_how_far_it_is(void **state)
{
    (void)state;

    enum { N_NOTES = 100000 }; /* of 115 bytes: 11 MB */

    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    tap_buffer text = {0};
    tap_dataset *dataset = NULL;
    tap_items items;
    tap_error err;
    told t = {0};
    const tap_dataset_progress progress = {.put = tell, .owner = &t};
    assert_int_equal(tap_buffer_print(&text, &err,
                                      "{" IMAGES ", " PACO_CATEGORIES
                                      ", \"annotations\": ["),
                     TAP_OK);
    for (int i = 0; i < N_NOTES; i++)
        assert_int_equal(
            tap_buffer_print(&text, &err,
                             "%s{\"id\": %d, \"image_id\": %d, \"category_id\": 12, "
                             "\"segmentation\": {\"size\": [3, 4], \"counts\": "
                             "[0, 1, 11]}}",
                             i ? ", " : "", i, i % 1000 == 0 ? 3 : 7),
            TAP_OK);
    assert_int_equal(tap_buffer_print(&text, &err, "]}"), TAP_OK);
    scratch_open(folder);
    scratch_write(folder, "a.json", text.text, text.n_bytes);
    scratch_path(path, folder, "a.json");
    const tap_data_spec spec = {
        .format = "coco-parts", .images = folder, .annotations = path};
    assert_int_equal(tap_dataset_open(&dataset, &spec, &progress, &err), TAP_OK);
    assert_int_equal(t.n, text.n_bytes / (1 << 22));
    assert_int_equal(t.n_bytes, text.n_bytes);
    assert_int_equal(tap_dataset_read(&items, dataset, 0, &err), TAP_OK);
    assert_string_equal(tap_dataset_name(dataset, 0), "a.png");
    assert_int_equal(items.n_parts, N_NOTES / 1000); /* spread over the file */
    tap_items_clear(&items);
    tap_dataset_close(dataset);
    scratch_close(folder);
    tap_buffer_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_objects_and_categories_parts),
        cmocka_unit_test(photos_are_found_by_url_and_without_their_folder),
        cmocka_unit_test(part_image_net_spells_tire_its_own_way),
        cmocka_unit_test(paco_parts_belong_to_the_annotation_they_name),
        cmocka_unit_test(a_faulty_annotation_excludes_itself_alone),
        cmocka_unit_test(a_large_file_tells_how_far_it_is),
        cmocka_unit_test(a_damaged_file_is_named_with_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* CIHP and Pascal Panoptic Parts: real samples where they lie beside the tree, label maps
 * written here, and files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#include "../support/listing.h"
#include "../support/scratch.h"
#include "../support/tiff.h"
#include "base/file.h"
#include "base/memory.h"
#include "image/image_formats.h"
#include "lab/tsv.h"

#define SAMPLES "../shared/data/parts-samples/"

static void check_list(const tap_data_spec *spec, const char *expected)
{
    tap_error err = {0};
    char *found = listing(spec, &err);
    if (!found)
        fail_msg("%s", err.message);
    assert_string_equal(found, expected);
    tap_free(found);
}

/* ---- CIHP ---- */

static void values_are_body_parts(void **state)
{
    (void)state;
    static const uint8_t values[12] = {0, 2, 2, 14, 15, 15, 0, 5, 19, 20, 255, 0};
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    scratch_open(folder);
    listing_photo(folder, "a.jpg", 4, 3); /* a PNG by its bytes, whatever its name */
    scratch_path(path, folder, "a.png");
    listing_png(path, values, 4, 3);
    scratch_path(path, folder, "b.png"); /* no photo but itself, of another size */
    listing_png(path, values, 6, 2);
    scratch_write_text(folder, "c.png", "no picture");
    tap_data_spec spec = {.format = "cihp", .images = folder, .annotations = folder};
    char expected[1024];
    (void)snprintf(
        expected, sizeof expected,
        "a||person|hair|hair|2|\n"
        "a||person|upper clothes|clothes|1|\n"
        "a||person|left arm|arm|1|\n"
        "a||person|right arm|arm|2|\n"
        "a||person|right shoe|shoe|1|\n"
        "a||person|label 20|label 20|1|a label that the data set does not have\n"
        "a||person|label 255|label 255|1|a label that the data set does not have\n"
        "b||person|hair|hair|2|\n"
        "b||person|upper clothes|clothes|1|\n"
        "b||person|left arm|arm|1|\n"
        "b||person|right arm|arm|2|\n"
        "b||person|right shoe|shoe|1|\n"
        "b||person|label 20|label 20|1|a label that the data set does not have\n"
        "b||person|label 255|label 255|1|a label that the data set does not have\n"
        "c: cannot read mask '%s/c.png': it is not a PNG file\n",
        folder);
    check_list(&spec, expected);
    /* sides joined: one arm */
    const char *merge[] = {"sides"};
    spec.merge = merge;
    spec.n_merge = 1;
    spec.min_area_px = 2;
    tap_error err;
    char *found = listing(&spec, &err);
    assert_non_null(strstr(found, "a||person|arm|arm|3|\n"));
    assert_non_null(strstr(found, "a||person|shoe|shoe|1|smaller than 2 px\n"));
    tap_free(found);
    scratch_close(folder);
}

static void real_label_maps_lose_no_pixel(void **state)
{
    (void)state;
    if (!tap_file_exists(SAMPLES "cihp/labels/0002190.png"))
        skip();
    const tap_data_spec spec = {.format = "cihp",
                                .images = SAMPLES "cihp/images",
                                .annotations = SAMPLES "cihp/labels"};
    tap_dataset *dataset = NULL;
    tap_error err;
    assert_int_equal(tap_dataset_open(&dataset, &spec, NULL, &err), TAP_OK);
    assert_int_equal(tap_dataset_count(dataset), 5);
    for (int64_t i = 0; i < 5; i++) {
        char path[SCRATCH_PATH_BYTES];
        tap_items items;
        tap_mask whole;
        int64_t sum = 0;
        (void)snprintf(path, sizeof path, SAMPLES "cihp/labels/%s.png",
                       tap_dataset_name(dataset, i));
        assert_int_equal(tap_mask_read(&whole, path, &err), TAP_OK);
        assert_int_equal(tap_dataset_read(&items, dataset, i, &err), TAP_OK);
        for (size_t p = 0; p < items.n_parts; p++) {
            assert_null(items.parts[p].excluded);
            sum += items.parts[p].area_px;
        }
        assert_true(items.n_parts >= 5);
        assert_int_equal(sum, tap_mask_area(&whole));
        assert_int_equal(tap_mask_area(&items.objects[0].mask), sum);
        tap_mask_clear(&whole);
        tap_items_clear(&items);
    }
    tap_dataset_close(dataset);
}

/* ---- Pascal Panoptic Parts ---- */

static const tiff_style plain = {
    .bits = 32, .compression = COMPRESSION_NONE, .samples = 1};

static void labels_hold_class_instance_and_part(void **state)
{
    (void)state;
    static const int32_t labels[5 * 4] = {
        0,      45,      1007,    100706,  100715,  /* aeroplane 7, two engines */
        800101, 800105,  800105,  8001,    800202,  /* cat 1: head, rear; cat 2: leye */
        800199, 4003,    4500101, 13099,   500,     /* no such part, boat, scene part */
        -7,     1312100, 1400305, 1400306, 20000000 /* horse 121, motorbike lights */
    };
    static const tiff_style styles[] = {
        {32, COMPRESSION_NONE, 0, 0, 0, 1},
        {32, COMPRESSION_LZW, 0, 0, 0, 1},
        {32, COMPRESSION_ADOBE_DEFLATE, 0, 0, 1, 1},
        {32, COMPRESSION_DEFLATE, 0, 0, 0, 1},
    };
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    scratch_open(folder);
    listing_photo(folder, "a.png", 5, 4);
    scratch_path(path, folder, "a.tif");
    tap_data_spec spec = {
        .format = "panoptic-parts", .images = folder, .annotations = folder};
    for (size_t s = 0; s < sizeof styles / sizeof *styles; s++) {
        tiff_write(path, labels, 5, 4, &styles[s]);
        check_list(&spec,
                   "a||unknown|label -7|label -7|1|a label that the format does "
                   "not have\n"
                   "a||unknown|label 500|label 500|1|a label that the format does "
                   "not have\n"
                   "a|1007|aeroplane|engine_1|engine|1|\n"
                   "a|1007|aeroplane|engine_10|engine|1|\n"
                   "a|8001|cat|head|head|1|\n"
                   "a|8001|cat|rear|ear|2|\n"
                   "a|8001|cat|part 99|part 99|1|a part id that its class does "
                   "not have\n"
                   "a|8002|cat|leye|eye|1|\n"
                   "a|14003|motorbike|headlight_1|headlight|1|\n"
                   "a|14003|motorbike|headlight_2|headlight|1|\n"
                   "a|45001|class 45|part 1|part 1|1|a class that has no parts\n"
                   "a||unknown|label 20000000|label 20000000|1|a label that the "
                   "format does not have\n");
    }
    char longer[SCRATCH_PATH_BYTES]; /* the other ending of such files */
    scratch_path(longer, folder, "a.tiff");
    assert_int_equal(rename(path, longer), 0);
    tap_dataset *dataset = NULL;
    tap_items items;
    tap_error err;
    assert_int_equal(tap_dataset_open(&dataset, &spec, NULL, &err), TAP_OK);
    assert_int_equal(tap_dataset_read(&items, dataset, 0, &err), TAP_OK);
    int64_t cat = -1;
    for (size_t o = 0; o < items.n_objects; o++)
        if (items.objects[o].id && strcmp(items.objects[o].id, "8001") == 0)
            cat = (int64_t)o;
    assert_true(cat >= 0); /* the object: its parts and what belongs to none */
    assert_int_equal(tap_mask_area(&items.objects[cat].mask), 5);
    tap_items_clear(&items);
    tap_dataset_close(dataset);
    scratch_close(folder);
}

/* Paints Pascal-Part's masks into a map, later over earlier, as the data set was made;
 * counts[n_labels] says how many pixels each label must have. */
static void paint(int32_t *map, const tap_items *items, const tap_tsv *classes)
{
    memset(map, 0, (size_t)(items->width_px * items->height_px) * sizeof *map);
    for (size_t o = 0; o < items->n_objects; o++) {
        const tap_object *object = &items->objects[o];
        int32_t class_id = 0;
        for (size_t r = 0; r < classes->n_rows; r++)
            if (strcmp(tap_tsv_cell(classes, r, 1), object->name) == 0)
                class_id = (int32_t)strtol(tap_tsv_cell(classes, r, 0), NULL, 10);
        assert_true(class_id > 0);
        for (int64_t i = 0; i < items->width_px * items->height_px; i++)
            if (object->mask.inside[i])
                map[i] = class_id * 1000 + (int32_t)o;
        for (size_t p = 0; p < items->n_parts; p++) {
            const tap_part *part = &items->parts[p];
            const size_t stem = strcspn(part->name, "_");
            if (part->object != (int64_t)o)
                continue;
            for (size_t r = 0; r < classes->n_rows; r++) {
                const char *name = tap_tsv_cell(classes, r, 4);
                if (strtol(tap_tsv_cell(classes, r, 0), NULL, 10) != class_id ||
                    strlen(name) != stem || strncmp(name, part->name, stem) != 0)
                    continue;
                const int32_t first =
                    (int32_t)strtol(tap_tsv_cell(classes, r, 2), NULL, 10);
                const int32_t counter =
                    part->name[stem] ? (int32_t)strtol(part->name + stem + 1, NULL, 10)
                                     : 1;
                for (int64_t i = 0; i < items->width_px * items->height_px; i++)
                    if (part->mask.inside[i])
                        map[i] =
                            class_id * 100000 + (int32_t)o * 100 + first + counter - 1;
            }
        }
    }
}

/* Every label of the map above 99999 must come back as an item of that many pixels. */
static void check_against_map(const int32_t *map, const tap_items *items)
{
    const int64_t n = items->width_px * items->height_px;
    int64_t n_in_parts = 0, n_items = 0;
    for (size_t p = 0; p < items->n_parts; p++) {
        const tap_part *part = &items->parts[p];
        int64_t first = 0;
        assert_null(part->excluded);
        while (!part->mask.inside[first])
            first++;
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(part->mask.inside[i], map[i] == map[first]);
        n_items += part->area_px;
    }
    for (int64_t i = 0; i < n; i++)
        n_in_parts += map[i] >= 100000;
    assert_int_equal(n_in_parts, n_items);
}

static void maps_made_of_the_real_masks_come_back(void **state)
{
    (void)state;
    static const char *const columns[] = {"class_id", "class", "first", "last", "part"};
    if (!tap_file_exists(SAMPLES "pascal-part/expected.tsv"))
        skip();
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], file[64];
    tap_tsv classes;
    tap_dataset *source = NULL, *made = NULL;
    tap_error err;
    scratch_open(folder);
    assert_int_equal(tap_tsv_read(&classes, "share/tables/classes-panoptic-parts.tsv",
                                  columns, 5, 5, true, &err),
                     TAP_OK);
    const tap_data_spec from = {.format = "pascal-part",
                                .images = SAMPLES "pascal-part/images",
                                .annotations = SAMPLES "pascal-part/annotations"};
    const tap_data_spec to = {.format = "panoptic-parts",
                              .images = SAMPLES "pascal-part/images",
                              .annotations = folder};
    assert_int_equal(tap_dataset_open(&source, &from, NULL, &err), TAP_OK);
    int32_t *maps[14];
    for (int64_t i = 0; i < tap_dataset_count(source); i++) {
        tap_items items;
        assert_int_equal(tap_dataset_read(&items, source, i, &err), TAP_OK);
        maps[i] = calloc((size_t)(items.width_px * items.height_px), sizeof **maps);
        paint(maps[i], &items, &classes);
        (void)snprintf(file, sizeof file, "%s.tif", tap_dataset_name(source, i));
        scratch_path(path, folder, file);
        tiff_write(path, maps[i], (int)items.width_px, (int)items.height_px, &plain);
        tap_items_clear(&items);
    }
    assert_int_equal(tap_dataset_open(&made, &to, NULL, &err), TAP_OK);
    assert_int_equal(tap_dataset_count(made), 14);
    int64_t n = 0;
    for (int64_t i = 0; i < 14; i++) {
        tap_items items;
        assert_int_equal(tap_dataset_read(&items, made, i, &err), TAP_OK);
        check_against_map(maps[i], &items);
        n += (int64_t)items.n_parts;
        tap_items_clear(&items);
        free(maps[i]);
    }
    assert_true(n > 250); /* of 325: some are painted over */
    print_message("%lld parts equal\n", (long long)n);
    tap_dataset_close(made);
    tap_dataset_close(source);
    tap_tsv_clear(&classes);
    scratch_close(folder);
}

static void other_tiff_files_are_refused(void **state)
{
    (void)state;
    static const int32_t labels[16 * 16] = {7};

    static const struct {
        tiff_style style;
        const char *message;
    } cases[] = {
        {{8, COMPRESSION_NONE, 0, 0, 1, 1},
         "expected one channel of 32-bit whole numbers, found 1 of 8 bits and sample "
         "format 1"},
        {{16, COMPRESSION_LZW, 0, 0, 0, 1}, "found 1 of 16 bits and sample format 2"},
        {{32, COMPRESSION_NONE, 0, 1, 0, 1}, "found 1 of 32 bits and sample format 3"},
        {{32, COMPRESSION_NONE, 0, 0, 0, 3}, "found 3 of 32 bits and sample format 2"},
        {{32, COMPRESSION_PACKBITS, 0, 0, 0, 1},
         "compression 32773 is not none, LZW or deflate"},
        {{32, COMPRESSION_NONE, 16, 0, 0, 1},
         "tiled files are not read, store it in strips"},
    };

    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    tap_mapping mapping;
    int32_t *found = NULL;
    int64_t width, height;
    tap_error err;
    scratch_open(folder);
    scratch_path(path, folder, "a.tif");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiff_write(path, labels, 16, 16, &cases[i].style);
        assert_int_equal(tap_file_map(&mapping, path, &err), TAP_OK);
        assert_int_equal(tap_tiff_decode_labels(&found, &width, &height, mapping.bytes,
                                                mapping.n_bytes, "a.tif", &err),
                         TAP_EFORMAT);
        if (!strstr(err.message, cases[i].message))
            fail_msg("expected '%s', found '%s'", cases[i].message, err.message);
        tap_file_unmap(&mapping);
    }
    /* cut off anywhere: refused, never read beyond the end */
    tiff_write(path, labels, 16, 16, &(tiff_style){32, COMPRESSION_LZW, 0, 0, 0, 1});
    assert_int_equal(tap_file_map(&mapping, path, &err), TAP_OK);
    for (size_t n = 0; n < mapping.n_bytes; n++) {
        unsigned char *copy = malloc(n + !n);
        memcpy(copy, mapping.bytes, n);
        if (tap_tiff_decode_labels(&found, &width, &height, copy, n, "a.tif", &err) ==
            TAP_OK) /* the directory stands before the end of the last strip */
            tap_free(found);
        else
            assert_int_equal(err.status, TAP_EFORMAT);
        free(copy);
    }
    tap_file_unmap(&mapping);
    scratch_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_body_parts),
        cmocka_unit_test(real_label_maps_lose_no_pixel),
        cmocka_unit_test(labels_hold_class_instance_and_part),
        cmocka_unit_test(maps_made_of_the_real_masks_come_back),
        cmocka_unit_test(other_tiff_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

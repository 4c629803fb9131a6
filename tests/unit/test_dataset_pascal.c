/* Pascal-Part: part names by table, and the real samples where they lie beside the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "lab/dataset.h"
#include "lab/part_table.h"

#define FOLDER "../shared/data/parts-samples/pascal-part/"

static void short_names_are_spelled_out_by_table(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"rear", "ear", "ear"},        {"lear", "ear", "ear"},
        {"llleg", "leg", "leg"},       {"lleg", "leg", "leg"},
        {"lblleg", "leg", "leg"},      {"lfpa", "paw", "paw"},
        {"rbho", "hoof", "hoof"},      {"wheel_12", "wheel", "wheel_12"},
        {"luarm", "arm", "upper arm"}, {"bliplate", "license plate", "bliplate"}};
    tap_part_table *names = NULL, *sides = NULL;
    tap_part_naming naming;
    tap_error err;
    assert_int_equal(tap_part_table_open(&names, "names", "pascal-part", &err), TAP_OK);
    assert_int_equal(tap_part_table_open(&sides, "merge", "sides", &err), TAP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(tap_part_table_find(&naming, names, "any", cases[i][0], &err),
                         TAP_OK);
        assert_true(naming.found);
        assert_string_equal(naming.label, cases[i][1]);
        tap_free(naming.label);
        assert_int_equal(tap_part_table_find(&naming, sides, "any", cases[i][0], &err),
                         TAP_OK);
        if (naming.found)
            assert_string_equal(naming.name, cases[i][2]);
        else /* no side: the name stays */
            assert_string_equal(cases[i][0], cases[i][2]);
        tap_free(naming.name);
        tap_free(naming.label);
    }
    static const char *const unknown[] = {"ear_left", "wheel_", ""};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tap_part_table_find(&naming, names, "any", unknown[i], &err),
                         TAP_OK);
        assert_false(naming.found);
    }
    tap_part_table_close(names);
    tap_part_table_close(sides);
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

/* Cell `column` of a line, cut out in place; the next call must ask for a later one. */
static char *next_cell(char **line)
{
    char *cell = *line;
    char *tab = strpbrk(cell, "\t\n");
    *line = tab ? tab + 1 : cell + strlen(cell);
    if (tab)
        *tab = '\0';
    return cell;
}

/* One line of expected.tsv: image height width object class class_ind part part_name area
 * x_min y_min x_max y_max hash. Part -1 is the object itself. */
static int check_line(char *line, bool last, const tap_dataset *dataset)
{
    char *cells[14];
    for (int c = 0; c < 14; c++)
        cells[c] = next_cell(&line);
    const char *name = cells[0], *class = cells[4], *part_name = cells[7];
    const int object = (int)strtol(cells[3], NULL, 10);
    const int part = (int)strtol(cells[6], NULL, 10);
    const int64_t area = strtol(cells[8], NULL, 10);
    static tap_items items; /* of the image in hand: lines come image by image */
    static char read[64];
    tap_error err;
    if (strcmp(read, name) != 0) {
        int64_t i = 0;
        while (strcmp(tap_dataset_name(dataset, i), name) != 0)
            assert_true(++i < tap_dataset_count(dataset));
        tap_items_clear(&items);
        assert_int_equal(tap_dataset_read(&items, dataset, i, &err), TAP_OK);
        (void)snprintf(read, sizeof read, "%s", name);
    }
    const tap_mask *mask = &items.objects[object].mask;
    assert_string_equal(items.objects[object].name, class);
    for (size_t p = 0, nth = 0; part >= 0 && p < items.n_parts; p++) {
        if (items.parts[p].object != object || nth++ != (size_t)part)
            continue;
        mask = &items.parts[p].mask;
        assert_string_equal(items.parts[p].name, part_name);
        assert_int_equal(items.parts[p].area_px, area);
    }
    assert_int_equal(tap_mask_area(mask), area);
    assert_true(fingerprint(mask) == strtoull(cells[13], NULL, 16));
    if (last)
        tap_items_clear(&items);
    return 1;
}

static void real_annotations_match_in_every_pixel(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "expected.tsv"))
        skip();
    tap_data_spec spec = {.format = "pascal-part",
                          .images = FOLDER "images",
                          .annotations = FOLDER "annotations"};
    tap_dataset *dataset = NULL;
    tap_error err;
    char *text = NULL;
    size_t n_bytes = 0;
    assert_int_equal(tap_dataset_open(&dataset, &spec, NULL, &err), TAP_OK);
    assert_int_equal(tap_dataset_count(dataset), 14);
    assert_int_equal(
        tap_file_read(&text, &n_bytes, FOLDER "expected.tsv", 1 << 20, &err), TAP_OK);
    int checked = 0;
    for (char *line = strchr(text, '\n') + 1; *line;) {
        char *end = line + strcspn(line, "\n");
        *end = '\0';
        checked += check_line(line, end[1] == '\0', dataset);
        line = end + 1;
    }
    tap_free(text);
    assert_true(checked > 250);
    print_message("%d masks equal\n", checked);
    tap_dataset_close(dataset);
}

static void wrong_formats_and_merges_name_the_nearest(void **state)
{
    (void)state;
    tap_data_spec spec = {.format = "pascal-parts", .images = ".", .annotations = "."};
    tap_dataset *dataset = NULL;
    tap_error err;
    assert_int_equal(tap_dataset_open(&dataset, &spec, NULL, &err), TAP_EINVAL);
    assert_string_equal(
        err.message, "unknown data format 'pascal-parts'; did you mean 'pascal-part'?");
    const char *merge[] = {"side"};
    spec.format = "pascal-part";
    spec.merge = merge;
    spec.n_merge = 1;
    assert_int_equal(tap_dataset_open(&dataset, &spec, NULL, &err), TAP_EINVAL);
    assert_string_equal(err.message, "unknown merge 'side'; did you mean 'sides'?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_names_are_spelled_out_by_table),
        cmocka_unit_test(real_annotations_match_in_every_pixel),
        cmocka_unit_test(wrong_formats_and_merges_name_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tables of part names and merges: patterns, the shipped tables, and a merge from end to
 * end on the real samples where they lie beside the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../support/listing.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "base/memory.h"
#include "lab/part_table.h"

/* What the table says: "name|label", "-" or "=" where no line fits. */
static void check_find(const tap_part_table *table, const char *object,
                       const char *part, const char *expected)
{
    tap_part_naming naming;
    tap_error err;
    char found[128];
    assert_int_equal(tap_part_table_find(&naming, table, object, part, &err), TAP_OK);
    (void)snprintf(found, sizeof found, "%s|%s", naming.name ? naming.name : "",
                   naming.label ? naming.label : "");
    assert_string_equal(!naming.found ? "=" : naming.left_out ? "-" : found, expected);
    tap_free(naming.name);
    tap_free(naming.label);
}

static tap_part_table *parse(const char *kind, const char *text)
{
    tap_part_table *table = NULL;
    tap_error err;
    if (tap_part_table_parse(&table, kind, text, strlen(text), "t.tsv", &err) != TAP_OK)
        fail_msg("%s", err.message);
    return table;
}

static void patterns_hold_one_star_and_a_number(void **state)
{
    (void)state;
    tap_part_table *t = parse("merge", "# a comment\n"
                                       "object\tpart\tname\tlabel\n"
                                       "cat,dog\tlear\tear\t\n"
                                       "*\twheel_#\twheel #\twheel\r\n"
                                       "*\tleft *\t*\t*\n"
                                       "\n"
                                       "cow\tx*y\t<*>\t*\n"
                                       "cow\t*\t-\t\n");
    check_find(t, "cat", "lear", "ear|"); /* an empty label stays */
    check_find(t, "dog", "lear", "ear|");
    check_find(t, "do", "lear", "=");
    check_find(t, "catdog", "lear", "=");
    check_find(t, "car", "wheel_12", "wheel 12|wheel");
    check_find(t, "car", "wheel_", "=");
    check_find(t, "car", "wheel", "=");
    check_find(t, "cow", "left Upper_Leg", "Upper_Leg|upper leg");
    check_find(t, "cow", "xAy", "<A>|a");
    check_find(t, "cow", "xy", "-"); /* a star stands for at least one character */
    check_find(t, "cow", "left ", "-");
    tap_part_table_close(t);
    t = parse("names", "part\tlabel\nwheel\ttyre\n*\t*\n");
    check_find(t, "car", "wheel_3", "|wheel 3"); /* the whole name fits first */
    tap_part_table_close(t);
    t = parse("names", "part\tlabel\nwheel\ttyre\nhorn\t-\n");
    check_find(t, "car", "wheel_3", "|tyre");
    check_find(t, "car", "horn", "-");
    check_find(t, "car", "door", "=");
    tap_part_table_close(t);
}

static void shipped_tables_follow_their_sources(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"counters", "car", "wheel_2", "wheel|"},
        {"counters", "car", "wheel", "="},
        {"sides", "train", "cleftside_2", "cside_2|side"},
        {"sides", "anything", "left shoe", "shoe|shoe"},
        {"sides", "dog", "rear", "ear|ear"},
        {"coarse-animals", "bird", "rfoot", "leg|leg"},
        {"coarse-animals", "horse", "lbho", "leg|leg"},
        {"coarse-animals", "cow", "rhorn", "head|head"},
        {"coarse-animals", "bus", "wheel_1", "="},
        {"pascal-part-58", "person", "neck", "head|head"},
        {"pascal-part-58", "dog", "neck", "torso|torso"},
        {"pascal-part-58", "cat", "rbpa", "lower leg|leg"},
        {"pascal-part-58", "sheep", "tail", "torso|torso"},
        {"pascal-part-58", "bus", "headlight_3", "body|body"},
        {"pascal-part-58", "car", "headlight_3", "light|light"},
        {"pascal-part-58", "bicycle", "chainwheel", "wheel|wheel"},
        {"pascal-part-58", "train", "coach_1", "-"},
        {"pascal-part-116", "train", "coach_1", "coach|coach"},
        {"pascal-part-116", "person", "luleg", "leg|leg"},
        {"pascal-part-116", "person", "luarm", "upper arm|arm"},
        {"pascal-part-116", "car", "bliplate", "license plate|license plate"},
        {"pascal-part-116", "tvmonitor", "frame", "-"},
        {"pascal-person-part", "person", "rhand", "lower arm|arm"},
        {"pascal-person-part", "cat", "head", "-"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_part_table *table = NULL;
        tap_error err;
        assert_int_equal(tap_part_table_open(&table, "merge", cases[i][0], &err),
                         TAP_OK);
        check_find(table, cases[i][1], cases[i][2], cases[i][3]);
        tap_part_table_close(table);
    }
    const char *names[TAP_MAX_PART_TABLES];
    assert_int_equal(tap_part_tables(names, "merge"), 6);
}

static void faulty_tables_are_refused_with_the_line(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "cannot read 't.tsv', line 1: the table has no heading"},
        {"object\tname\n", "cannot read 't.tsv', line 1: expected a heading with the "
                           "column 'part', columns separated by tabs"},
        {"part\tname\na\n",
         "cannot read 't.tsv', line 2: it has not as many cells as the heading"},
        {"part\tname\na\tb\tc\n",
         "cannot read 't.tsv', line 2: it has not as many cells as the heading"},
        {"part\tname\na\t\n",
         "cannot read 't.tsv', line 2: an empty cell; '-' leaves a part out"},
    };
    tap_part_table *table = NULL;
    tap_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(tap_part_table_parse(&table, "merge", cases[i][0],
                                              strlen(cases[i][0]), "t.tsv", &err),
                         TAP_EFORMAT);
        assert_string_equal(err.message, cases[i][1]);
    }
    assert_int_equal(
        tap_part_table_parse(&table, "merge", "part\tname\n\0", 11, "t.tsv", &err),
        TAP_EFORMAT);
    assert_string_equal(err.message,
                        "cannot read 't.tsv', line 1: the file holds a NUL byte");
    assert_int_equal(tap_part_table_open(&table, "merge", "siders", &err), TAP_EINVAL);
    assert_string_equal(err.message, "unknown merge 'siders'; did you mean 'sides'?");
    assert_int_equal(tap_part_table_open(&table, "names", "xyz", &err), TAP_EINVAL);
    assert_string_equal(err.message,
                        "unknown names 'xyz'; it is no file, and known are "
                        "cihp, partimagenet, pascal-part");
}

/* Merging loses no pixel: an object's parts after a merge cover what they covered before. */
static void merged_parts_are_the_union_of_the_real_ones(void **state)
{
    (void)state;
#define P "../shared/data/parts-samples/pascal-part/"
    if (!tap_file_exists(P "expected.tsv"))
        skip();
    const char *merge[] = {"pascal-part-58"};
    tap_data_spec spec = {
        .format = "pascal-part", .images = P "images", .annotations = P "annotations"};
    tap_dataset *raw = NULL, *merged = NULL;
    tap_error err;
    assert_int_equal(tap_dataset_open(&raw, &spec, NULL, &err), TAP_OK);
    tap_data_spec spec58 = spec;
    spec58.merge = merge;
    spec58.n_merge = 1;
    assert_int_equal(tap_dataset_open(&merged, &spec58, NULL, &err), TAP_OK);
    size_t n_raw = 0, n_merged = 0, n_joined = 0;
    for (int64_t i = 0; i < tap_dataset_count(raw); i++) {
        tap_items a, b;
        assert_int_equal(tap_dataset_read(&a, raw, i, &err), TAP_OK);
        assert_int_equal(tap_dataset_read(&b, merged, i, &err), TAP_OK);
        assert_int_equal(b.n_annotated, a.n_parts);
        assert_int_equal(b.n_parts + b.n_joined, a.n_parts);
        n_raw += a.n_parts;
        n_merged += b.n_parts;
        n_joined += b.n_joined;
        for (size_t o = 0; o < a.n_objects; o++)
            for (int64_t k = 0; k < a.width_px * a.height_px; k++) {
                bool before = false, after = false;
                for (size_t p = 0; p < a.n_parts; p++)
                    before |=
                        a.parts[p].object == (int64_t)o && a.parts[p].mask.inside[k];
                for (size_t p = 0; p < b.n_parts; p++)
                    after |=
                        b.parts[p].object == (int64_t)o && b.parts[p].mask.inside[k];
                if (before != after)
                    fail_msg("image %lld, object %zu: a pixel is lost", (long long)i,
                             o);
            }
        tap_items_clear(&a);
        tap_items_clear(&b);
    }
    assert_int_equal(n_raw, 325);
    assert_int_equal(n_merged + n_joined, 325);
    assert_true(n_joined > 150);
    tap_dataset_close(raw);
    tap_dataset_close(merged);
}

static void own_tables_replace_names_and_merge_on_top(void **state)
{
    (void)state;
    char folder[SCRATCH_BYTES], table[SCRATCH_PATH_BYTES], names[SCRATCH_PATH_BYTES],
        merge[SCRATCH_PATH_BYTES], mask[SCRATCH_PATH_BYTES];
    static const uint8_t values[6] = {1, 2, 3, 4, 0, 0};
    scratch_open(folder);
    scratch_path(table, folder, "items.tsv");
    scratch_path(names, folder, "names.tsv");
    scratch_path(merge, folder, "merge.tsv");
    scratch_path(mask, folder, "m.png");
    listing_png(mask, values, 3, 2);
    listing_photo(folder, "a.png", 3, 2);
    scratch_write_text(folder, "items.tsv",
                       "image\tmask\tvalue\tobject\tpart\n"
                       "a.png\tm.png\t1\tfrog\tL_eye\n"
                       "a.png\tm.png\t2\tfrog\tR_eye\n"
                       "a.png\tm.png\t3\tfrog\tflipper\n"
                       "a.png\tm.png\t4\tfrog\twart\n"
                       "a.png\tmissing.png\t5\tfrog\ttoe\n"
                       "a.png\tm.png\t\tfrog\t\n");
    scratch_write_text(folder, "names.tsv",
                       "part\tlabel\nL_eye\teye\nR_eye\teye\ntoe\ttoe\nwart\t-\n");
    scratch_write_text(folder, "merge.tsv", "part\tname\nL_*\tboth *s\nR_*\tboth *s\n");
    const char *merges[] = {merge};
    const tap_data_spec spec = {.format = "masks",
                                .images = folder,
                                .annotations = table,
                                .names = names,
                                .merge = merges,
                                .n_merge = 1};
    tap_error err = {0};
    char *found = listing(&spec, &err), expected[1024];
    (void)snprintf(
        expected, sizeof expected,
        "a.png||frog|both eyes|both eyes|2|\n"
        "a.png||frog|flipper|flipper|1|unknown part name 'flipper'\n"
        "a.png||frog|wart|wart|1|left out by the names of '%s'\n"
        "a.png||frog|toe|toe|0|cannot open '%s/missing.png': No such file or "
        "directory\n",
        names, folder);
    assert_string_equal(found, expected);
    tap_free(found);
    scratch_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_hold_one_star_and_a_number),
        cmocka_unit_test(shipped_tables_follow_their_sources),
        cmocka_unit_test(faulty_tables_are_refused_with_the_line),
        cmocka_unit_test(merged_parts_are_the_union_of_the_real_ones),
        cmocka_unit_test(own_tables_replace_names_and_merge_on_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Checkpoints that torch itself wrote (tests/golden/torch, made by
 * tools/make_torch_fixtures.py): values, views, compressed entries, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/scratch.h"
#include "base/file.h"
#include "base/memory.h"
#include "format/torch_zip.h"
#include "format/weights.h"

#include <stdio.h>
#include <string.h>
#include <zip.h>

#define GOLDEN "tests/golden/torch/"

static tap_torch_zip *open_golden(const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_path(path, "tests/golden/torch", name);
    tap_torch_zip *file = NULL;
    tap_error err = {0};
    const tap_status status = tap_torch_zip_open(&file, path, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, TAP_OK);
    return file;
}

static void expect_values(const tap_torch_zip *file, const char *name, int64_t n,
                          const float *values)
{
    const int64_t i = tap_torch_zip_find(file, name);
    assert_true(i >= 0);
    const tap_tensor *t = tap_torch_zip_tensor(file, i);
    assert_int_equal(tap_tensor_count(t), n);
    for (int64_t k = 0; k < n; k++) {
        float value = 0;
        tap_widen(&value, t, k, 1);
        assert_true(value == values[k]);
    }
}

static const float counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static void every_type_is_read_however_it_was_packed(void **state)
{
    (void)state;
    static const char *const names[] = {"plain.bin", "protocol4.bin", "deflated.bin"};
    for (size_t f = 0; f < 3; f++) {
        tap_torch_zip *file = open_golden(names[f]);
        assert_int_equal(tap_torch_zip_count(file), 7);
        expect_values(file, "f32", 6, counting);
        expect_values(file, "f16", 3, counting);
        expect_values(file, "bf16", 3, counting);
        expect_values(file, "f64", 2, counting);
        expect_values(file, "empty", 0, counting);
        const int64_t i = tap_torch_zip_find(file, "i64");
        const int64_t expected = -7;
        assert_int_equal(tap_torch_zip_tensor(file, i)->n_dims, 0);
        assert_memory_equal(tap_torch_zip_tensor(file, i)->bytes, &expected, 8);
        const int64_t b = tap_torch_zip_find(file, "bool");
        assert_string_equal(tap_torch_zip_name(file, b), "bool");
        assert_string_equal(tap_torch_zip_dtype(file, b), "BOOL");
        assert_int_equal(tap_torch_zip_tensor(file, b)->dtype, TAP_OTHER);
        assert_int_equal(tap_torch_zip_bytes(file, b), 2);
        assert_int_equal(tap_torch_zip_find(file, "F32"), -1);
        tap_torch_zip_close(file);
    }
}

static void modules_parameters_and_nested_dictionaries_are_read(void **state)
{
    (void)state;
    tap_torch_zip *file = open_golden("module.bin");
    assert_int_equal(tap_torch_zip_count(file), 2);
    expect_values(file, "weight", 6, counting);
    expect_values(file, "bias", 2, counting);
    tap_torch_zip_close(file);
    file = open_golden("parameter.bin");
    expect_values(file, "weight", 6, counting);
    tap_torch_zip_close(file);
    file = open_golden("nested.bin");
    assert_int_equal(tap_torch_zip_count(file), 2);
    expect_values(file, "model.projector.w", 2, counting);
    expect_values(file, "model.3", 1, counting);
    tap_torch_zip_close(file);
}

/* Contiguous views stay in the file; a transposed one is copied into order. */
static void views_of_one_storage_are_read(void **state)
{
    (void)state;
    tap_torch_zip *file = open_golden("views.bin");
    expect_values(file, "whole", 12, counting);
    expect_values(file, "middle", 8, counting + 4);
    expect_values(file, "side", 12,
                  (const float[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
    expect_values(file, "column", 3, (const float[]){1, 5, 9});
    const char *whole =
        tap_torch_zip_tensor(file, tap_torch_zip_find(file, "whole"))->bytes;
    const char *middle =
        tap_torch_zip_tensor(file, tap_torch_zip_find(file, "middle"))->bytes;
    assert_ptr_equal(middle, whole + 16);
    tap_torch_zip_close(file);
}

/* ---- refusals ---- */

static void expect_refusal(const char *path, tap_status expected, const char *message)
{
    tap_torch_zip *file = NULL;
    tap_error err = {0};
    const tap_status status = tap_torch_zip_open(&file, path, &err);
    assert_string_equal(err.message, message);
    assert_int_equal(status, expected);
    assert_null(file);
}

static void objects_and_old_files_are_refused(void **state)
{
    (void)state;
    expect_refusal(GOLDEN "object.bin", TAP_EUNSUPPORTED,
                   "cannot read '" GOLDEN "object.bin': its data.pkl asks for "
                   "'argparse.Namespace', which is no part of a dictionary of tensors; "
                   "nothing was executed. Save the state dictionary alone, or as "
                   "safetensors");
    expect_refusal(GOLDEN "old.bin", TAP_EFORMAT,
                   "cannot read '" GOLDEN "old.bin' as a PyTorch checkpoint: Not a zip "
                   "archive. Files of torch before 1.6 have to be saved again");
    expect_refusal(GOLDEN "none.bin", TAP_EIO,
                   "cannot open '" GOLDEN "none.bin': No such file or directory");
}

/* Copies an archive without the entry `skip`, with `text` in the place of `replace`. */
static void rewrite(char path[SCRATCH_PATH_BYTES], const char *directory,
                    const char *name, const char *skip, const char *replace,
                    const void *text, size_t n_text)
{
    char from_path[SCRATCH_PATH_BYTES];
    scratch_path(from_path, "tests/golden/torch", name);
    scratch_path(path, directory, "changed.bin");
    zip_t *from = zip_open(from_path, ZIP_RDONLY, NULL);
    zip_t *to = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(from);
    assert_non_null(to);
    const zip_int64_t n = zip_get_num_entries(from, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *entry = zip_get_name(from, (zip_uint64_t)i, 0);
        if (skip && strcmp(entry, skip) == 0)
            continue;
        zip_source_t *source =
            replace && strcmp(entry, replace) == 0
                ? zip_source_buffer(to, text, n_text, 0)
                : zip_source_zip(to, from, (zip_uint64_t)i, 0, 0, -1);
        assert_non_null(source);
        const zip_int64_t place = zip_file_add(to, entry, source, 0);
        assert_true(place >= 0);
        assert_int_equal(
            zip_set_file_compression(to, (zip_uint64_t)place, ZIP_CM_STORE, 0), 0);
    }
    assert_int_equal(zip_close(to), 0);
    zip_discard(from);
}

static void archives_without_their_parts_are_refused(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    char message[TAP_ERROR_MESSAGE_BYTES];
    scratch_open(directory);
    tap_torch_zip *file = NULL;
    tap_error err;

    rewrite(path, directory, "views.bin", NULL, NULL, NULL, 0);
    assert_int_equal(tap_torch_zip_open(&file, path, &err), TAP_OK);
    expect_values(file, "middle", 8, counting + 4);
    tap_torch_zip_close(file);

    rewrite(path, directory, "views.bin", "views/byteorder", NULL, NULL, 0);
    assert_int_equal(tap_torch_zip_open(&file, path, &err), TAP_OK);
    tap_torch_zip_close(file);

    rewrite(path, directory, "views.bin", "views/data.pkl", NULL, NULL, 0);
    (void)snprintf(message, sizeof message,
                   "cannot read '%s' as a PyTorch checkpoint: the archive has no "
                   "data.pkl",
                   path);
    expect_refusal(path, TAP_EFORMAT, message);

    rewrite(path, directory, "views.bin", "views/data/0", NULL, NULL, 0);
    (void)snprintf(message, sizeof message,
                   "cannot read '%s': the storage of tensor 'column', 'views/data/0', "
                   "is missing",
                   path);
    expect_refusal(path, TAP_EFORMAT, message);

    rewrite(path, directory, "views.bin", NULL, "views/data/0", counting, 47);
    (void)snprintf(message, sizeof message,
                   "cannot read '%s': the storage of tensor 'column' has 47 bytes, its "
                   "12 elements in F32 need more",
                   path);
    expect_refusal(path, TAP_EFORMAT, message);

    rewrite(path, directory, "views.bin", NULL, "views/byteorder", "big", 3);
    (void)snprintf(message, sizeof message,
                   "cannot read '%s': its numbers are not little-endian; save it on "
                   "another machine, or as safetensors",
                   path);
    expect_refusal(path, TAP_EUNSUPPORTED, message);

    char *large = NULL;
    assert_int_equal(tap_alloc(&large, (1 << 24) + 1, 1, "a test", &err), TAP_OK);
    rewrite(path, directory, "views.bin", NULL, "views/data.pkl", large, (1 << 24) + 1);
    tap_free(large);
    (void)snprintf(
        message, sizeof message,
        "cannot read '%s': its data.pkl has 16777217 bytes, at most 16777216 "
        "are read",
        path);
    expect_refusal(path, TAP_EFORMAT, message);
    scratch_close(directory);
}

/* One storage of 12 elements that hundreds of tensors read on its side. */
static void tensors_that_multiply_a_storage_are_refused(void **state)
{
    static const char tensor[] =
        "K\0ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
        "X\1\0\0\0"
        "0X\3\0\0\0cpuK\x0ctQK\0K\4K\3\x86K\1K\4\x86\x89}tRq\0";
    (void)state;
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    char message[TAP_ERROR_MESSAGE_BYTES];
    tap_buffer pickle = {0};
    tap_error err;
    scratch_open(directory);
    assert_int_equal(tap_buffer_put(&pickle, "}(", 2, &err), TAP_OK);
    assert_int_equal(tap_buffer_put(&pickle, tensor, sizeof tensor - 1, &err), TAP_OK);
    for (int key = 1; key < 2000; key++) {
        const char entry[5] = {'M', (char)(key & 255), (char)(key >> 8), 'h', 0};
        assert_int_equal(tap_buffer_put(&pickle, entry, 5, &err), TAP_OK);
    }
    assert_int_equal(tap_buffer_put(&pickle, "u.", 2, &err), TAP_OK);
    rewrite(path, directory, "views.bin", NULL, "views/data.pkl", pickle.text,
            pickle.n_bytes);
    (void)snprintf(message, sizeof message,
                   "cannot read '%s': its tensors that do not stand row after row have "
                   "more than 4 times the bytes of the file",
                   path);
    expect_refusal(path, TAP_EFORMAT, message);
    tap_buffer_clear(&pickle);
    scratch_close(directory);
}

/* One byte of deflated.bin changed: `at` bytes behind the first place of `mark`. */
static void expect_changed(const char *mark, size_t at, unsigned char value,
                           const char *message)
{
    tap_mapping golden;
    tap_error err = {0};
    unsigned char *copy = NULL;
    tap_torch_zip *file = NULL;
    assert_int_equal(tap_file_map(&golden, GOLDEN "deflated.bin", &err), TAP_OK);
    assert_int_equal(tap_alloc(&copy, golden.n_bytes, 1, "a test", &err), TAP_OK);
    memcpy(copy, golden.bytes, golden.n_bytes);
    size_t i = 0;
    while (memcmp(copy + i, mark, 4) != 0)
        i++;
    copy[i + at] = value;
    assert_int_equal(tap_torch_zip_parse(&file, copy, golden.n_bytes, "x", &err),
                     TAP_EFORMAT);
    assert_string_equal(err.message, message);
    tap_free(copy);
    tap_file_unmap(&golden);
}

static void compressed_entries_that_lie_are_refused(void **state)
{
    (void)state;
    /* the first entry, data.pkl: its size in the directory, then its packed bytes */
    expect_changed("PK\1\2", 26, 0xff,
                   "cannot read 'x': entry 'plain/data.pkl' claims a size that its 378 "
                   "bytes cannot have");
    expect_changed(
        "PK\3\4", 30 + 14 + 100, 0xff,
        "cannot read 'x': entry 'plain/data.pkl' cannot be unpacked; the file "
        "is damaged or encrypted");
}

/* Every prefix, and every byte changed: a refusal or a good file, never a read outside. */
static void damage_anywhere_is_survived(void **state)
{
    (void)state;
    static const char *const names[] = {GOLDEN "views.bin", GOLDEN "deflated.bin"};
    for (size_t f = 0; f < 2; f++) {
        tap_mapping golden;
        tap_error err;
        assert_int_equal(tap_file_map(&golden, names[f], &err), TAP_OK);
        for (size_t i = 0; i < golden.n_bytes; i++)
            for (int change = 0; change < 2; change++) {
                const size_t n = change == 0 ? i : golden.n_bytes;
                unsigned char *copy = NULL;
                tap_torch_zip *file = NULL;
                assert_int_equal(tap_alloc(&copy, n, 1, "a test", &err), TAP_OK);
                memcpy(copy, golden.bytes, n);
                if (change)
                    copy[i] ^= 0x41;
                if (tap_torch_zip_parse(&file, copy, n, "x", &err) == TAP_OK) {
                    assert_true(change == 1);
                    tap_torch_zip_close(file);
                }
                tap_free(copy);
            }
        tap_file_unmap(&golden);
    }
}

static void running_out_of_memory_is_a_status(void **state)
{
    (void)state;
    tap_status status = TAP_ENOMEM;
    int64_t n = 1;
    for (; status == TAP_ENOMEM && n < 1000; n++) {
        tap_torch_zip *file = NULL;
        tap_error err;
        (void)tap_memory_fail_at(n);
        status = tap_torch_zip_open(&file, GOLDEN "deflated.bin", &err);
        (void)tap_memory_fail_at(0);
        tap_torch_zip_close(status == TAP_OK ? file : NULL);
    }
    assert_int_equal(status, TAP_OK);
    assert_true(n > 30);
}

/* ---- as weights of a model ---- */

static void copy_golden(const char *directory, const char *name, const char *as)
{
    char path[SCRATCH_PATH_BYTES];
    tap_mapping golden;
    tap_error err;
    scratch_path(path, "tests/golden/torch", name);
    assert_int_equal(tap_file_map(&golden, path, &err), TAP_OK);
    scratch_write(directory, as, golden.bytes, golden.n_bytes);
    tap_file_unmap(&golden);
}

static void model_directories_may_hold_them(void **state)
{
    (void)state;
    static const tap_name_rule rules[] = {
        {"weight", "one"}, {"bias", "two"}, {"model.*", "three.*"}};
    char directory[SCRATCH_BYTES];
    scratch_open(directory);
    copy_golden(directory, "module.bin", "pytorch_model.bin");
    tap_weights *weights = NULL;
    tap_tensor t;
    tap_error err;
    assert_int_equal(tap_weights_open(&weights, directory, rules, 3, &err), TAP_OK);
    assert_int_equal(tap_weights_count(weights), 2);
    assert_int_equal(tap_weights_bytes(weights), 32);
    assert_int_equal(
        tap_weights_get(&t, weights, "one", 2, (const int64_t[]){2, 3}, &err), TAP_OK);
    tap_weights_close(weights);
    scratch_close(directory);

    scratch_open(directory);
    copy_golden(directory, "module.bin", "pytorch_model-00001-of-00002.bin");
    copy_golden(directory, "nested.bin", "pytorch_model-00002-of-00002.bin");
    scratch_write_text(directory, "pytorch_model.bin.index.json",
                       "{\"metadata\": {}, \"weight_map\": {"
                       "\"weight\": \"pytorch_model-00001-of-00002.bin\","
                       "\"bias\": \"pytorch_model-00001-of-00002.bin\","
                       "\"model.3\": \"pytorch_model-00002-of-00002.bin\"}}");
    assert_int_equal(tap_weights_open(&weights, directory, rules, 3, &err), TAP_OK);
    assert_int_equal(tap_weights_count(weights), 3);
    assert_non_null(tap_weights_find(weights, "three.3"));
    tap_weights_close(weights);
    scratch_close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read_however_it_was_packed),
        cmocka_unit_test(modules_parameters_and_nested_dictionaries_are_read),
        cmocka_unit_test(views_of_one_storage_are_read),
        cmocka_unit_test(objects_and_old_files_are_refused),
        cmocka_unit_test(tensors_that_multiply_a_storage_are_refused),
        cmocka_unit_test(archives_without_their_parts_are_refused),
        cmocka_unit_test(compressed_entries_that_lie_are_refused),
        cmocka_unit_test(damage_anywhere_is_survived),
        cmocka_unit_test(running_out_of_memory_is_a_status),
        cmocka_unit_test(model_directories_may_hold_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NumPy's formats, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <zip.h>

#include "../support/scratch.h"
#include "base/file.h"
#include "base/memory.h"
#include "format/npy.h"

static char folder[64], path[128];
static tap_safetensors *from;

static const float six[] = {1.0F, -2.0F, 3.5F, 0.0F, 5.0F, 6.25F};
static const int32_t two[] = {7, -8};
static const uint16_t half[] = {0x3f80};

static const char *in_folder(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make(void **state)
{
    (void)state;
    tap_error err;
    scratch_open(folder);
    const char *const names[] = {"lm.depth.0", "ids", "b"};
    const tap_tensor tensors[] = {{.dtype = TAP_F32, .n_dims = 2, .shape = {2, 3}},
                                  {.dtype = TAP_I32, .n_dims = 1, .shape = {2}},
                                  {.dtype = TAP_BF16, .n_dims = 1, .shape = {1}}};
    tap_safetensors_out *out = NULL;
    assert_int_equal(tap_safetensors_create(&out, in_folder("a"), 3, names, tensors, 0,
                                            NULL, NULL, &err),
                     TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 0, 0, six, 6, &err), TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 1, 0, two, 2, &err), TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 2, 0, half, 1, &err), TAP_OK);
    assert_int_equal(tap_safetensors_commit(out, &err), TAP_OK);
    tap_safetensors_out_close(out);
    assert_int_equal(tap_safetensors_open(&from, in_folder("a"), &err), TAP_OK);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    tap_safetensors_close(from);
    scratch_close(folder);
    return 0;
}

static int64_t find(const char *name)
{
    return tap_safetensors_find(from, name);
}

/* Magic, version 1.0, length of the rest, the header padded to 64 bytes, the elements. */
static void check_npy(const void *bytes, size_t n, const char *header,
                      const void *values, size_t n_values)
{
    const unsigned char *at = bytes;
    assert_int_equal(n, 128 + n_values);
    assert_memory_equal(at, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(at + 10, header, strlen(header));
    for (size_t i = 10 + strlen(header); i < 127; i++)
        assert_int_equal(at[i], ' ');
    assert_int_equal(at[127], '\n');
    assert_memory_equal(at + 128, values, n_values);
}

static const char header_six[] =
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
static const char header_two[] =
    "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }";

static void one_array(void **state)
{
    (void)state;
    tap_error err;
    tap_mapping file;
    assert_int_equal(tap_npy_write(in_folder("x.npy"), from, find("lm.depth.0"), &err),
                     TAP_OK);
    assert_int_equal(tap_file_map(&file, in_folder("x.npy"), &err), TAP_OK);
    check_npy(file.bytes, file.n_bytes, header_six, six, sizeof six);
    tap_file_unmap(&file);
    assert_int_equal(tap_npy_write(in_folder("y.npy"), from, find("b"), &err),
                     TAP_EINVAL);
    assert_non_null(strstr(err.message, "NumPy has no type for 'b', which is BF16"));
    assert_false(tap_file_exists(in_folder("y.npy")));
}

static void check_member(zip_t *zip, const char *name, char *bytes, size_t n_bytes,
                         size_t *n)
{
    zip_stat_t about;
    assert_int_equal(zip_stat(zip, name, 0, &about), 0);
    assert_int_equal(about.comp_method, ZIP_CM_STORE);
    assert_true(about.size <= n_bytes);
    zip_file_t *file = zip_fopen(zip, name, 0);
    assert_non_null(file);
    *n = (size_t)zip_fread(file, bytes, n_bytes);
    assert_int_equal(zip_fclose(file), 0);
}

static void an_archive(void **state)
{
    (void)state;
    tap_error err;
    assert_int_equal(tap_npz_write(in_folder("x.npz"), from, "{}", &err), TAP_EINVAL);
    assert_false(tap_file_exists(in_folder("x.npz")));

    tap_safetensors *all = from;
    const char *const names[] = {"lm.depth.0", "ids"};
    const tap_tensor tensors[] = {*tap_safetensors_tensor(from, find("lm.depth.0")),
                                  *tap_safetensors_tensor(from, find("ids"))};
    tap_safetensors_out *out = NULL;
    assert_int_equal(tap_safetensors_create(&out, in_folder("c"), 2, names, tensors, 0,
                                            NULL, NULL, &err),
                     TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 0, 0, six, 6, &err), TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 1, 0, two, 2, &err), TAP_OK);
    assert_int_equal(tap_safetensors_commit(out, &err), TAP_OK);
    tap_safetensors_out_close(out);
    assert_int_equal(tap_safetensors_open(&from, in_folder("c"), &err), TAP_OK);
    assert_int_equal(tap_npz_write(in_folder("x.npz"), from, "{\"a\": 1}", &err),
                     TAP_OK);
    tap_safetensors_close(from);
    from = all;

    int code = 0;
    char bytes[512];
    size_t n = 0;
    zip_t *zip = zip_open(in_folder("x.npz"), ZIP_RDONLY | ZIP_CHECKCONS, &code);
    assert_non_null(zip);
    assert_int_equal(zip_get_num_entries(zip, 0), 3);
    check_member(zip, "lm.depth.0.npy", bytes, sizeof bytes, &n);
    check_npy(bytes, n, header_six, six, sizeof six);
    check_member(zip, "ids.npy", bytes, sizeof bytes, &n);
    check_npy(bytes, n, header_two, two, sizeof two);
    check_member(zip, "manifest.json", bytes, sizeof bytes, &n);
    assert_int_equal(n, 8);
    zip_discard(zip);
    assert_int_equal(tap_npz_write(in_folder("none/x.npz"), all, NULL, &err),
                     TAP_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_array),
        cmocka_unit_test(an_archive),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}

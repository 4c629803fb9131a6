/* The safetensors reader refuses every way of lying that its format knows; the writer makes
 * files that the reader takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/scratch.h"
#include "base/file.h"
#include "base/memory.h"
#include "format/safetensors.h"

#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 8192 };

typedef struct blob {
    unsigned char bytes[MAX_BYTES];
    size_t n;
} blob;

/* Length, header and n_data bytes 0, 1, 2 ... */
static void make(blob *out, const char *header, size_t n_data)
{
    const size_t n = strlen(header);
    assert_true(8 + n + n_data <= MAX_BYTES);
    for (int i = 0; i < 8; i++)
        out->bytes[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(out->bytes + 8, header, n);
    for (size_t i = 0; i < n_data; i++)
        out->bytes[8 + n + i] = (unsigned char)i;
    out->n = 8 + n + n_data;
}

/* A message that ends in ": " is the front of one: the JSON parser's words follow. */
static void expect_refusal(const blob *in, const char *message)
{
    tap_safetensors *file = NULL;
    tap_error err = {0};
    assert_int_equal(tap_safetensors_parse(&file, in->bytes, in->n, "x", &err),
                     TAP_EFORMAT);
    const size_t n = strlen(message);
    if (strcmp(message + n - 2, ": ") == 0)
        err.message[n] = '\0';
    assert_string_equal(err.message, message);
    assert_null(file);
}

static void a_good_file_gives_views_in_the_order_of_its_bytes(void **state)
{
    (void)state;
    blob in;
    make(&in,
         "{\"__metadata__\":{\"format\":\"pt\"},"
         "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
         "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
         "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[20,20]},"
         "\"mask\":{\"dtype\":\"BOOL\",\"shape\":[4],\"data_offsets\":[20,24]}}   ",
         24);
    tap_safetensors *file = NULL;
    tap_error err;
    assert_int_equal(tap_safetensors_parse(&file, in.bytes, in.n, "x", &err), TAP_OK);
    assert_int_equal(tap_safetensors_count(file), 4);
    assert_string_equal(tap_safetensors_name(file, 0), "a");
    assert_string_equal(tap_safetensors_name(file, 1), "b");
    assert_string_equal(tap_safetensors_dtype(file, 3), "BOOL");
    assert_int_equal(tap_safetensors_bytes(file, 3), 4);
    assert_int_equal(tap_safetensors_find(file, "mask"), 3);
    assert_int_equal(tap_safetensors_find(file, "nothing"), -1);
    const tap_tensor *b = tap_safetensors_tensor(file, 1);
    assert_int_equal(b->dtype, TAP_F16);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[1], 3);
    assert_ptr_equal(b->bytes, in.bytes + in.n - 24 + 8);
    assert_int_equal(tap_safetensors_tensor(file, 0)->n_dims, 0);
    assert_int_equal(tap_safetensors_tensor(file, 3)->dtype, TAP_OTHER);
    assert_string_equal(tap_safetensors_metadata(file, "format"), "pt");
    assert_null(tap_safetensors_metadata(file, "author"));
    tap_safetensors_close(file);
}

static void a_file_without_tensors_is_a_file(void **state)
{
    (void)state;
    blob in;
    make(&in, "{\"__metadata__\":null}", 0);
    tap_safetensors *file = NULL;
    tap_error err;
    assert_int_equal(tap_safetensors_parse(&file, in.bytes, in.n, "x", &err), TAP_OK);
    assert_int_equal(tap_safetensors_count(file), 0);
    assert_int_equal(tap_safetensors_find(file, "a"), -1);
    assert_null(tap_safetensors_metadata(file, "format"));
    tap_safetensors_close(file);
}

static void lengths_that_lie_are_refused(void **state)
{
    (void)state;
    blob in = {.n = 7};
    expect_refusal(&in,
                   "cannot read 'x' as safetensors: it has 7 bytes, a header length "
                   "alone needs 8; the file is cut off or of another kind");
    make(&in, "{}", 0);
    in.bytes[4] = 1;
    expect_refusal(&in,
                   "cannot read 'x' as safetensors: its header claims 4294967298 "
                   "bytes, at most 100000000 are allowed; the file is damaged or of "
                   "another kind");
    make(&in, "{}", 0);
    in.bytes[0] = 3;
    expect_refusal(&in,
                   "cannot read 'x' as safetensors: its header claims 3 bytes and 2 "
                   "follow; the file is cut off");
    memset(in.bytes, 0xff, 8);
    expect_refusal(&in,
                   "cannot read 'x' as safetensors: its header claims "
                   "18446744073709551615 bytes, at most 100000000 are allowed; the "
                   "file is damaged or of another kind");
}

typedef struct bad_header {
    const char *header;
    size_t n_data;
    const char *message;
} bad_header;

#define TENSOR(name, dtype, shape, begin, end)                                         \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape                           \
    ",\"data_offsets\":[" #begin "," #end "]}"

static const bad_header bad_headers[] = {
    {"[]", 0,
     "bad safetensors header: cannot read 'x': expected a JSON object at the top, found "
     "a list"},
    {"{\"a\":", 0, "bad safetensors header: cannot read 'x' as JSON: "},
    {"{}x", 0, "bad safetensors header: cannot read 'x' as JSON: "},
    {"{\"\xff\":1}", 0, "bad safetensors header: cannot read 'x' as JSON: "},
    {"{" TENSOR("a", "U8", "[1]", 0, 1) "," TENSOR("a", "U8", "[1]", 0, 1) "}", 1,
     "bad safetensors header: cannot read 'x' as JSON: "},
    {"{\"__metadata__\":{\"n\":1}}", 0,
     "cannot read 'x': \"__metadata__\" is not an object of texts"},
    {"{\"__metadata__\":[]}", 0,
     "cannot read 'x': \"__metadata__\" is not an object of texts"},
    {"{\"a\":1}", 0, "cannot read 'x': tensor 'a' is not described by an object"},
    {"{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0,
     "cannot read 'x': tensor 'a' has no \"dtype\""},
    {"{" TENSOR("a", "BF61", "[1]", 0, 2) "}", 2,
     "cannot read 'x': tensor 'a' has the unknown dtype 'BF61'; did the writer mean "
     "'BF16'?"},
    {"{" TENSOR("a", "complicated", "[1]", 0, 2) "}", 2,
     "cannot read 'x': tensor 'a' has the unknown dtype 'complicated'"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0,
     "cannot read 'x': tensor 'a' has no \"shape\" list"},
    {"{" TENSOR("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1,
     "cannot read 'x': tensor 'a' has 9 dimensions, at most 8 are read"},
    {"{" TENSOR("a", "U8", "[-1]", 0, 1) "}", 1,
     "cannot read 'x': tensor 'a' has a shape that is not made of whole numbers from 0"},
    {"{" TENSOR("a", "U8", "[1.0]", 0, 1) "}", 1,
     "cannot read 'x': tensor 'a' has a shape that is not made of whole numbers from 0"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
     "cannot read 'x': tensor 'a' has no \"data_offsets\" of two whole numbers from 0"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1,
     "cannot read 'x': tensor 'a' has no \"data_offsets\" of two whole numbers from 0"},
    {"{" TENSOR("a", "U8", "[1]", -1, 1) "}", 1,
     "cannot read 'x': tensor 'a' has no \"data_offsets\" of two whole numbers from 0"},
    {"{" TENSOR("a", "U8", "[1]", 1, 2) "}", 2,
     "cannot read 'x': tensor 'a' has the offsets 1 to 2, expected to begin at 0; tensors "
     "must follow each other without gap"},
    {"{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("b", "U8", "[2]", 1, 3) "}", 3,
     "cannot read 'x': tensor 'b' has the offsets 1 to 3, expected to begin at 2; tensors "
     "must follow each other without gap"},
    {"{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("b", "U8", "[2]", 3, 5) "}", 5,
     "cannot read 'x': tensor 'b' has the offsets 3 to 5, expected to begin at 2; tensors "
     "must follow each other without gap"},
    {"{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("b", "U8", "[2]", 2, 1) "}", 2,
     "cannot read 'x': tensor 'b' has the offsets 2 to 1, expected to begin at 2; tensors "
     "must follow each other without gap"},
    {"{" TENSOR("a", "F64", "[4611686018427387904,8]", 0, 8) "}", 8,
     "cannot read 'x': tensor 'a' of shape [4611686018427387904][8] is too large"},
    {"{" TENSOR("a", "F64", "[2305843009213693952]", 0, 8) "}", 8,
     "cannot read 'x': tensor 'a' of shape [2305843009213693952] is too large"},
    {"{" TENSOR("a", "F4", "[3]", 0, 2) "}", 2,
     "cannot read 'x': tensor 'a' of shape [3] in F4 does not fill whole bytes"},
    {"{" TENSOR("a", "F32", "[2]", 0, 4) "}", 4,
     "cannot read 'x': tensor 'a' has 4 bytes, shape [2] in F32 needs 8"},
    {"{" TENSOR("a", "U8", "[4]", 0, 4) "}", 3,
     "cannot read 'x': its tensors take 4 bytes and 3 follow the header; the file is cut "
     "off"},
    {"{" TENSOR("a", "U8", "[4]", 0, 4) "}", 5,
     "cannot read 'x': its tensors take 4 bytes and 5 follow the header; the file has "
     "bytes that belong to none"},
};

static void headers_that_lie_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
        blob in;
        make(&in, bad_headers[i].header, bad_headers[i].n_data);
        expect_refusal(&in, bad_headers[i].message);
    }
}

static void a_name_that_never_ends_is_refused(void **state)
{
    (void)state;
    char header[2048] = "{\"";
    memset(header + 2, 'n', 1025);
    memcpy(header + 1027, "\":{}}", 6);
    blob in;
    make(&in, header, 0);
    char message[512];
    (void)snprintf(message, sizeof message,
                   "cannot read 'x': tensor '%.200s' ... has a name above 1024 bytes",
                   header + 2);
    expect_refusal(&in, message);
}

/* Every prefix of a good file is refused: nothing is read past its end. */
static void every_cut_of_a_file_is_refused(void **state)
{
    (void)state;
    blob in;
    make(&in, "{" TENSOR("a", "F32", "[2]", 0, 8) "}", 8);
    for (size_t n = 0; n < in.n; n++) {
        unsigned char *exact = NULL; /* so that a sanitizer sees one byte too many */
        tap_safetensors *file = NULL;
        tap_error err;
        assert_int_equal(tap_alloc(&exact, n, 1, "a test", &err), TAP_OK);
        memcpy(exact, in.bytes, n);
        assert_int_equal(tap_safetensors_parse(&file, exact, n, "x", &err),
                         TAP_EFORMAT);
        tap_free(exact);
    }
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    tap_safetensors *file = NULL;
    tap_error err;
    assert_int_equal(tap_safetensors_open(&file, "/nowhere/m.safetensors", &err),
                     TAP_EIO);
    assert_string_equal(err.message, "cannot open '/nowhere/m.safetensors': No such "
                                     "file or directory");
}

/* ---- writer ---- */

static const char *const names[] = {"half", "rows", "ids"};
static const tap_tensor shapes[] = {
    {.dtype = TAP_F16, .n_dims = 1, .shape = {3}},
    {.dtype = TAP_F32, .n_dims = 2, .shape = {4, 2}},
    {.dtype = TAP_I64, .n_dims = 0},
};

static tap_safetensors_out *start(const char *path, tap_error *err)
{
    tap_safetensors_out *out = NULL;
    assert_int_equal(tap_safetensors_create(&out, path, 3, names, shapes, 2,
                                            (const char *const[]){"site", "note"},
                                            (const char *const[]){"lm.embed", "\"q\""},
                                            err),
                     TAP_OK);
    return out;
}

static void put_all(tap_safetensors_out *out, const int *row_order, tap_error *err)
{
    const uint16_t half[3] = {1, 2, 3};
    const int64_t id = -7;
    for (int i = 0; i < 4; i++) {
        const int r = row_order[i];
        const float row[2] = {(float)r, (float)r + 0.5F};
        assert_int_equal(tap_safetensors_put(out, 1, 2 * r, row, 2, err), TAP_OK);
    }
    assert_int_equal(tap_safetensors_put(out, 0, 0, half, 3, err), TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 2, 0, &id, 1, err), TAP_OK);
}

/* Whatever the order of the rows, the same bytes, and the reader takes them. */
static void rows_may_be_written_in_any_order(void **state)
{
    (void)state;
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    scratch_open(directory);
    scratch_path(path, directory, "t.safetensors");
    unsigned char first[2048];
    size_t n_first = 0;
    tap_error err;
    for (size_t o = 0; o < 3; o++) {
        tap_safetensors_out *out = start(path, &err);
        put_all(out, orders[o], &err);
        assert_int_equal(tap_safetensors_commit(out, &err), TAP_OK);
        tap_safetensors_out_close(out);

        tap_mapping bytes;
        assert_int_equal(tap_file_map(&bytes, path, &err), TAP_OK);
        if (o == 0) {
            n_first = bytes.n_bytes;
            assert_true(n_first <= sizeof first);
            memcpy(first, bytes.bytes, n_first);
        }
        assert_int_equal(bytes.n_bytes, n_first);
        assert_memory_equal(bytes.bytes, first, n_first);
        tap_file_unmap(&bytes);
    }
    tap_safetensors *file = NULL;
    assert_int_equal(tap_safetensors_open(&file, path, &err), TAP_OK);
    assert_string_equal(tap_safetensors_name(file, 0), "ids");
    assert_string_equal(tap_safetensors_metadata(file, "note"), "\"q\"");
    const tap_tensor *rows = tap_safetensors_tensor(file, 1);
    const float expected[8] = {0, 0.5F, 1, 1.5F, 2, 2.5F, 3, 3.5F};
    assert_int_equal((uintptr_t)rows->bytes % 8, 0);
    assert_memory_equal(rows->bytes, expected, sizeof expected);
    const int64_t id = -7;
    assert_memory_equal(tap_safetensors_tensor(file, 0)->bytes, &id, sizeof id);
    tap_safetensors_close(file);
    scratch_close(directory);
}

static void a_forgotten_row_leaves_no_file(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], message[512];
    scratch_open(directory);
    scratch_path(path, directory, "t.safetensors");
    tap_error err;
    tap_safetensors_out *out = start(path, &err);
    const float row[3] = {0};
    assert_int_equal(tap_safetensors_put(out, 0, 0, row, 3, &err), TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 1, 6, row, 2, &err), TAP_OK);
    assert_int_equal(tap_safetensors_commit(out, &err), TAP_EBUG);
    (void)snprintf(message, sizeof message,
                   "cannot finish '%s': 2 of the 8 elements of tensor 'rows' were "
                   "written",
                   path);
    assert_string_equal(err.message, message);
    assert_int_equal(tap_safetensors_put(out, 1, 7, row, 2, &err), TAP_EBUG);
    (void)snprintf(message, sizeof message,
                   "cannot write '%s': elements 7 to 9 of tensor 'rows', which has 8",
                   path);
    assert_string_equal(err.message, message);
    tap_safetensors_out_close(out);
    assert_int_equal(scratch_count(directory), 0);
    scratch_close(directory);
}

static void expect_no_writer(const char *const *taken, const tap_tensor *tensors,
                             const char *value, const char *message)
{
    tap_safetensors_out *out = NULL;
    tap_error err;
    assert_int_equal(tap_safetensors_create(&out, "t", 2, taken, tensors, 1,
                                            (const char *const[]){"key"}, &value, &err),
                     TAP_EINVAL);
    assert_string_equal(err.message, message);
}

static void what_cannot_be_written_is_refused_before_a_file_exists(void **state)
{
    (void)state;
    const char *const same[] = {"a", "a"}, *const bad[] = {"a", "\xff"},
                      *const good[] = {"a", "b"}, *const own[] = {"a", "__metadata__"};
    const tap_tensor other[2] = {{.dtype = TAP_F32}, {.dtype = TAP_OTHER}};
    const tap_tensor huge[2] = {
        {.dtype = TAP_F32}, {.dtype = TAP_F32, .n_dims = 1, .shape = {INT64_MAX / 4}}};
    expect_no_writer(same, shapes, "v",
                     "cannot write 't': the tensor name 'a' is already taken");
    expect_no_writer(
        own, shapes, "v",
        "cannot write 't': the tensor name '__metadata__' is already taken");
    expect_no_writer(bad, shapes, "v",
                     "cannot write 't': the name of tensor 1 is not UTF-8");
    expect_no_writer(good, other, "v",
                     "cannot write 't': tensor 'b' has no type that can be written");
    expect_no_writer(good, huge, "v",
                     "cannot write 't': tensor 'b' makes it too large");
    expect_no_writer(good, shapes, "\xff",
                     "cannot write 't': its metadata number 0 is not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_gives_views_in_the_order_of_its_bytes),
        cmocka_unit_test(a_file_without_tensors_is_a_file),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(headers_that_lie_are_refused),
        cmocka_unit_test(a_name_that_never_ends_is_refused),
        cmocka_unit_test(every_cut_of_a_file_is_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(rows_may_be_written_in_any_order),
        cmocka_unit_test(a_forgotten_row_leaves_no_file),
        cmocka_unit_test(what_cannot_be_written_is_refused_before_a_file_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

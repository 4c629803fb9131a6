/* The pickle machine: what tensor dictionaries need and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "format/torch_pickle.h"

#include <stdio.h>
#include <string.h>

/* Pieces of pickles. Lengths are written into the texts by hand: X is a text of four bytes
 * length, K a number of one byte. */
#define PROTO "\x80\x02"
#define STORAGE(n)                                                                     \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                 \
    "0X\3\0\0\0cpuK" n "tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define HOOKS                                                                          \
    "\x89"                                                                             \
    "ccollections\nOrderedDict\n)R"
/* f32, two elements of a storage of `n`, from `first`, in steps of `stride` */
#define TENSOR(n, first, stride)                                                       \
    REBUILD "(" STORAGE(n) "K" first "K\2\x85"                                         \
                           "K" stride "\x85" HOOKS "tR"
#define GOOD TENSOR("\2", "\0", "\1")

typedef struct text {
    const char *bytes;
    size_t n;
} text;

#define TEXT(literal)                                                                  \
    {                                                                                  \
        literal, sizeof(literal) - 1                                                   \
    }

static tap_status parse(tap_torch_dictionary *out, const char *bytes, size_t n,
                        tap_error *err)
{
    unsigned char *exact = NULL; /* so that a sanitizer sees one byte too many */
    assert_int_equal(tap_alloc(&exact, n, 1, "a test", NULL), TAP_OK);
    memcpy(exact, bytes, n);
    const tap_status status = tap_torch_pickle_parse(out, exact, n, "x", err);
    tap_free(exact);
    return status;
}

static void dictionaries_are_read_in_every_spelling(void **state)
{
    (void)state;
    static const text pickles[] = {
        TEXT(PROTO "}X\1\0\0\0w" GOOD "s."),
        TEXT(PROTO "}(X\1\0\0\0w" GOOD "u."),
        TEXT("\x80\x04\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1w\x94" GOOD "u."),
        TEXT("}(\x8d\1\0\0\0\0\0\0\0w" GOOD "u."),
        TEXT("}q\0X\1\0\0\0wq\1" GOOD "q\2s."),
        TEXT("}X\1\0\0\0wctorch._utils\n_rebuild_parameter\n" GOOD "\x88)\x87Rs."),
        TEXT("ccollections\nOrderedDict\n)RX\1\0\0\0w" GOOD "s}X\1\0\0\0vK\1sb."),
    };
    for (size_t i = 0; i < sizeof pickles / sizeof pickles[0]; i++) {
        tap_torch_dictionary d = {0};
        tap_error err = {0};
        const tap_status status = parse(&d, pickles[i].bytes, pickles[i].n, &err);
        assert_string_equal(err.message, "");
        assert_int_equal(status, TAP_OK);
        assert_int_equal(d.n, 1);
        assert_string_equal(d.tensors[0].name, "w");
        assert_string_equal(d.tensors[0].key, "0");
        assert_string_equal(d.tensors[0].dtype, "F32");
        assert_int_equal(d.tensors[0].shape.n_dims, 1);
        assert_int_equal(d.tensors[0].shape.shape[0], 2);
        assert_true(d.tensors[0].is_contiguous);
        tap_torch_dictionary_clear(&d);
    }
}

static void other_values_are_carried_and_skipped(void **state)
{
    (void)state;
    static const char pickle[] =
        "}q\0(X\1\0\0\0aN"
        "X\1\0\0\0b]q\1(K\1M\1\2J\xff\xff\xff\xff\x8a\1\xffG\0\0\0\0\0\0\0\0e"
        "X\1\0\0\0c]q\2K\1a"
        "X\1\0\0\0dh\1"
        "X\1\0\0\0e)"
        "J\xfe\xff\xff\xff" GOOD "X\1\0\0\0fK\1K\2\x86X\1\0\0\0gK\1K\2K\3\x87"
        "X\1\0\0\0hj\2\0\0\0r\3\0\0\0"
        "X\1\0\0\0i\x88u.";
    tap_torch_dictionary d = {0};
    tap_error err = {0};
    assert_int_equal(parse(&d, pickle, sizeof pickle - 1, &err), TAP_OK);
    assert_int_equal(d.n, 1);
    assert_string_equal(d.tensors[0].name, "-2");
    tap_torch_dictionary_clear(&d);
}

typedef struct refusal {
    text pickle;
    const char *message;
} refusal;

#define DAMAGED(at, what)                                                              \
    "cannot read 'x': its data.pkl is damaged at byte " at ": " what

static const refusal refusals[] = {
    {TEXT(""), DAMAGED("0", "it ends inside an instruction")},
    {TEXT("}"), DAMAGED("1", "it ends inside an instruction")},
    {TEXT("\x80"), DAMAGED("0", "it ends inside an instruction")},
    {TEXT("}X\4\0\0\0abc"), DAMAGED("1", "it ends inside an instruction")},
    {TEXT("}\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
     DAMAGED("1", "it ends inside an instruction")},
    {TEXT("ctorch"), DAMAGED("0", "it ends inside an instruction")},
    {TEXT("."), DAMAGED("0", "a value is missing")},
    {TEXT("(."), DAMAGED("1", "a value is missing")},
    {TEXT("\x85"), DAMAGED("0", "a value is missing")},
    {TEXT("K\1(\x85"), DAMAGED("3", "a value is missing")},
    {TEXT("q\0"), DAMAGED("0", "a value is missing")},
    {TEXT("K\1t"), DAMAGED("2", "a mark is missing")},
    {TEXT("K\1u"), DAMAGED("2", "a mark is missing")},
    {TEXT("}(K\1u"), DAMAGED("4", "values have no place to go")},
    {TEXT("](K\1K\1u"), DAMAGED("6", "values have no place to go")},
    {TEXT("K\1K\1s"), DAMAGED("4", "values have no place to go")},
    {TEXT("K\1K\1K\1s"), DAMAGED("6", "values have no place to go")},
    {TEXT("}K\1a"), DAMAGED("3", "values have no place to go")},
    {TEXT("(K\1e"), DAMAGED("3", "values have no place to go")},
    {TEXT("}q\1"), DAMAGED("1", "a memo has an impossible number")},
    {TEXT("h\0"), DAMAGED("0", "a memo was never made")},
    {TEXT("K\1K\2\x93"), DAMAGED("4", "a name is not text")},
    {TEXT("K\1Q"), DAMAGED("2", "a storage is not described as torch does")},
    {TEXT("(X\7\0\0\0storagectorch._utils\n_rebuild_tensor_v2\nX\1\0\0\0"
          "0NK\1tQ"),
     DAMAGED("56", "a storage is not described as torch does")},
    {TEXT("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
          "0NJ\xff\xff\xff\xfftQ"),
     DAMAGED("46", "a storage is not described as torch does")},
    {TEXT(REBUILD ")R"), DAMAGED("34", "a tensor is not described as torch does")},
    {TEXT(REBUILD "(" STORAGE("\2") "K\0K\2\x85)tR"),
     DAMAGED("92", "a tensor has too many dimensions, or not one stride for each")},
    {TEXT(TENSOR("\2", "\1", "\1")),
     DAMAGED("122", "a tensor reaches beyond its storage")},
    {TEXT(TENSOR("\2", "\0", "\2")),
     DAMAGED("122", "a tensor reaches beyond its storage")},
    {TEXT(TENSOR("\1", "\0", "\0")), /* one element told twice */
     DAMAGED("122", "a tensor reaches beyond its storage")},
    {TEXT("K\1)R"), DAMAGED("3", "a call is not made of a name and its arguments")},
    {TEXT("ccollections\nOrderedDict\nK\1\x85R"),
     DAMAGED("28", "an OrderedDict is made from arguments")},
    {TEXT("ctorch._utils\n_rebuild_parameter\nK\1\x85R"),
     DAMAGED("36", "a parameter holds no tensor")},
    {TEXT("ctorch\nFloatStorage\n)R"), DAMAGED("21", "a storage class is called")},
    {TEXT("K\1}b"), DAMAGED("3", "attributes are given to something that is no "
                                 "dictionary")},
    {TEXT("\x8a\x09"
          "123456789"),
     DAMAGED("0", "a number has more than 64 bits")},
    {TEXT("}(]" GOOD "u."), DAMAGED("127", "the name of a tensor is too long or not "
                                           "text")},
    {TEXT("}(X\1\0\0\0\0" GOOD "u."),
     DAMAGED("132", "the name of a tensor is too long or not text")},
    {TEXT("}q\0(X\1\0\0\0ah\0u."), DAMAGED("13", "dictionaries are nested too deep")},
    {TEXT("cos\nsystem\n(X\4\0\0\0true"
          "tR."),
     "cannot read 'x': its data.pkl asks for 'os.system', which is no part of a "
     "dictionary of tensors; nothing was executed. Save the state dictionary alone, or as "
     "safetensors"},
    {TEXT("ca\x1b[2J\nb\r\n(X\4\0\0\0true"
          "tR."),
     "cannot read 'x': its data.pkl asks for 'a?[2J.b?', which is no part of a "
     "dictionary of tensors; nothing was executed. Save the state dictionary alone, or as "
     "safetensors"},
    {TEXT("X\5\0\0\0torchX\4\0\0\0load\x93."),
     "cannot read 'x': its data.pkl asks for 'torch.load', which is no part of a "
     "dictionary of tensors; nothing was executed. Save the state dictionary alone, or as "
     "safetensors"},
    {TEXT("}\x81"),
     "cannot read 'x': its data.pkl uses the instruction 0x81 at byte 1, "
     "which dictionaries of tensors do not need; nothing was executed. "
     "Save the state dictionary alone, or as safetensors"},
    {TEXT("}."), "cannot read 'x': its data.pkl holds no dictionary of tensors"},
    {TEXT("K\1."), "cannot read 'x': its data.pkl holds no dictionary of tensors"},
    {TEXT("}(X\1\0\0\0w" GOOD "X\1\0\0\0w" GOOD "u."),
     "cannot read 'x': its data.pkl names tensor 'w' twice"},
};

static void everything_else_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        tap_torch_dictionary d = {.n = 77};
        tap_error err = {0};
        const tap_status status =
            parse(&d, refusals[i].pickle.bytes, refusals[i].pickle.n, &err);
        assert_string_equal(err.message, refusals[i].message);
        assert_true(status == TAP_EFORMAT || status == TAP_EUNSUPPORTED);
        assert_int_equal(d.n, 77);
    }
}

/* Eight levels, each naming the one below many times: billions of paths in 3 kB. */
static void dictionaries_that_multiply_are_refused(void **state)
{
    (void)state;
    tap_buffer pickle = {0};
    tap_error err = {0};
    assert_int_equal(tap_buffer_put(&pickle, "}\x94", 2, &err), TAP_OK);
    for (int level = 1; level <= 8; level++) {
        assert_int_equal(tap_buffer_put(&pickle, "}\x94(", 3, &err), TAP_OK);
        for (int key = 0; key < 100; key++) {
            const char entry[4] = {'K', (char)key, 'h', (char)(level - 1)};
            assert_int_equal(tap_buffer_put(&pickle, entry, 4, &err), TAP_OK);
        }
        assert_int_equal(tap_buffer_put(&pickle, "u", 1, &err), TAP_OK);
    }
    assert_int_equal(tap_buffer_put(&pickle, ".", 1, &err), TAP_OK);
    tap_torch_dictionary d = {0};
    assert_int_equal(parse(&d, pickle.text, pickle.n_bytes, &err), TAP_EFORMAT);
    assert_string_equal(err.message, DAMAGED("3234", "it holds more than 1000000 "
                                                     "tensors"));
    tap_buffer_clear(&pickle);
}

static void running_out_of_memory_is_a_status(void **state)
{
    (void)state;
    static const char pickle[] =
        "}q\0(X\1\0\0\0a}X\1\0\0\0w" GOOD "sX\1\0\0\0w" GOOD "u.";
    tap_status status = TAP_ENOMEM;
    int64_t n = 1;
    for (; status == TAP_ENOMEM && n < 1000; n++) {
        tap_torch_dictionary d = {0};
        tap_error err;
        (void)tap_memory_fail_at(n);
        status = tap_torch_pickle_parse(&d, pickle, sizeof pickle - 1, "x", &err);
        (void)tap_memory_fail_at(0);
        if (status == TAP_OK)
            tap_torch_dictionary_clear(&d);
    }
    assert_int_equal(status, TAP_OK);
    assert_true(n > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dictionaries_are_read_in_every_spelling),
        cmocka_unit_test(other_values_are_carried_and_skipped),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(dictionaries_that_multiply_are_refused),
        cmocka_unit_test(running_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

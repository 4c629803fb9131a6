/* Tokenizers of the Llama-2 kind: reference vectors where they lie beside the tree, and a
 * small vocabulary of our own that always runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "base/file.h"
#include "base/memory.h"
#include "format/tokenizer.h"

#define FOLDER "../shared/data/tokenizers/"

static tap_tokenizer *open_at(const char *path)
{
    tap_tokenizer *t = NULL;
    tap_error err;
    const tap_status status = tap_tokenizer_open(&t, path, &err);
    if (status != TAP_OK)
        print_error("%s\n", err.message);
    assert_int_equal(status, TAP_OK);
    return t;
}

/* Compares with a line of space-separated ids. */
static void assert_ids(const tap_tokenizer *t, const char *text, size_t n_bytes,
                       bool special, const char *want)
{
    int32_t *ids = NULL;
    size_t n = 0;
    tap_error err;
    tap_buffer got = {0};
    assert_int_equal(tap_tokenizer_encode(&ids, &n, t, text, n_bytes, special, &err),
                     TAP_OK);
    assert_int_equal(tap_buffer_put(&got, "", 0, &err), TAP_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(tap_buffer_print(&got, &err, "%s%d", i ? " " : "", ids[i]), 0);
    assert_string_equal(got.text, want);
    tap_buffer_clear(&got);
    tap_free(ids);
}

/* All texts of an .inp file against the lines of an .out file. */
static int check_vectors(const tap_tokenizer *t, const char *inp, const char *out)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char *texts = NULL, *lines = NULL;
    size_t n_texts = 0, n_lines = 0;
    tap_error err;
    assert_int_equal(tap_file_read(&texts, &n_texts, inp, 1 << 20, &err), TAP_OK);
    assert_int_equal(tap_file_read(&lines, &n_lines, out, 1 << 20, &err), TAP_OK);
    int n = 0;
    char *line = lines;
    for (char *text = texts; text;) {
        char *end = strstr(text, mark);
        const size_t n_bytes = end ? (size_t)(end - text) : strlen(text);
        char *stop = strchr(line, '\n');
        if (!end && !stop)
            break;
        assert_non_null(stop);
        *stop = '\0';
        while (stop > line && stop[-1] == ' ') /* some lines end in a space */
            *--stop = '\0';
        while (*line == ' ')
            line++;
        assert_ids(t, text, n_bytes, false, line);
        line = line + strlen(line) + 1;
        while (*line == '\0' && line < lines + n_lines)
            line++;
        n++;
        text = end ? end + strlen(mark) : NULL;
    }
    tap_free(texts);
    tap_free(lines);
    return n;
}

static void phi_3_gives_the_reference_ids(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "phi-3-vision/tokenizer.json"))
        skip();
    tap_tokenizer *t = open_at(FOLDER "phi-3-vision");
    const int n = check_vectors(t, FOLDER "gguf-vocab/ggml-vocab-phi-3.gguf.inp",
                                FOLDER "gguf-vocab/ggml-vocab-phi-3.gguf.out");
    assert_true(n >= 44);
    static const char *const cases[][2] = {
        {"Hello world", "1 15043 3186"},
        {"<|user|>\nHi<|end|>\n<|assistant|>\n",
         "1 32010 29871 13 18567 32007 29871 13 32001"},
        {"  two spaces", "1 259 1023 8162"},
        {"a\xc3\xa9\xf0\x9f\x98\x80\xe4\xbd\xa0", "1 263 29948 243 162 155 131 30919"},
        {"", "1"},
        {"<|image|>  x", "1 32044 921"},
        {"</s>  y", "1 2 343"},
        {"<s>Hello", "1 1 15043"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_ids(t, cases[i][0], strlen(cases[i][0]), true, cases[i][1]);
    print_message("%d texts equal\n", n + (int)(sizeof cases / sizeof *cases));
    tap_tokenizer_close(t);
}

static void sentencepiece_llama_2_gives_the_reference_ids(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "llama2/tokenizer.model"))
        skip();
    tap_tokenizer *t = open_at(FOLDER "llama2");
    assert_int_equal(tap_tokenizer_size(t), 32000);
    const int n = check_vectors(t, FOLDER "gguf-vocab/ggml-vocab-llama-spm.gguf.inp",
                                FOLDER "gguf-vocab/ggml-vocab-llama-spm.gguf.out");
    assert_true(n >= 44);
    assert_ids(t, "Hello world", 11, true, "1 15043 3186");
    print_message("%d texts equal\n", n + 1);
    tap_tokenizer_close(t);
}

static char directory[SCRATCH_BYTES];

static int open_small(void **state)
{
    char path[SCRATCH_PATH_BYTES];
    tap_error err;
    int n_ids = 0;
    scratch_open(directory);
    scratch_path(path, directory, "tokenizer.json");
    assert_int_equal(tiny_tokenizer_write(&n_ids, path, &err), TAP_OK);
    *state = open_at(directory);
    return 0;
}

static int close_small(void **state)
{
    tap_tokenizer_close(*state);
    scratch_close(directory);
    return 0;
}

static void words_come_whole_and_bytes_fall_back(void **state)
{
    const tap_tokenizer *t = *state;
    const int32_t tail = tap_tokenizer_find(t, "\xe2\x96\x81tail", 7);
    const int32_t image = tap_tokenizer_find(t, "<image>", 7);
    assert_true(tail > 258 && image > tail);
    char want[96];
    (void)snprintf(want, sizeof want, "1 %d %d %d", tail, image, tail);
    assert_ids(t, "tail<image>tail", 15, true, want);
    int32_t *ids = NULL;
    size_t n = 0;
    tap_error err;
    assert_int_equal(tap_tokenizer_encode(&ids, &n, t, "\xe4\xbd\xa0", 3, false, &err),
                     0);
    assert_true(n >= 4); /* the word mark, then three bytes */
    for (size_t i = 0; i < 3; i++) {
        static const int32_t bytes[] = {0xe4, 0xbd, 0xa0};
        assert_int_equal(ids[n - 3 + i], 3 + bytes[i]);
    }
    char *text = NULL;
    size_t n_text = 0;
    assert_int_equal(tap_tokenizer_decode(&text, &n_text, t, ids, n, true, &err),
                     TAP_OK);
    assert_string_equal(text, "\xe4\xbd\xa0");
    tap_free(text);
    tap_free(ids);
}

static void wrong_text_and_files_are_named(void **state)
{
    const tap_tokenizer *t = *state;
    int32_t *ids = NULL;
    size_t n = 0;
    tap_error err;
    tap_tokenizer *other = NULL;
    assert_int_equal(tap_tokenizer_encode(&ids, &n, t, "ab\xff", 3, false, &err),
                     TAP_EINVAL);
    assert_string_equal(err.message,
                        "cannot tokenize the text: byte 2 is not valid UTF-8");
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], want[512];
    scratch_open(folder);
    assert_int_equal(tap_tokenizer_open(&other, folder, &err), TAP_EIO);
    (void)snprintf(
        want, sizeof want,
        "'%s' holds no tokenizer: neither tokenizer.json nor tokenizer.model is "
        "there",
        folder);
    assert_string_equal(err.message, want);

    static const struct {
        const char *name, *text, *message;
        tap_status status;
    } files[] = {
        {"a.json", "{\"model\":{\"type\":\"WordPiece\"}}",
         "its model is 'WordPiece', which this version does not know",
         TAP_EUNSUPPORTED},
        {"b.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
         "it has no vocabulary", TAP_EFORMAT},
        {"c.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}",
         "the piece 'a' has no id between 0 and 999999", TAP_EFORMAT},
        {"d.json",
         "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}",
         "merge 0 does not join two pieces of the vocabulary into a third",
         TAP_EFORMAT},
        {"e.json",
         "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}},\"normalizer\":{\"type\":"
         "\"Lowercase\"}}",
         "its normalizer is 'Lowercase', which this version does not know",
         TAP_EUNSUPPORTED},
        {"f.model", "not a protobuf", "it is not a SentencePiece model", TAP_EFORMAT}};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        scratch_write_text(folder, files[i].name, files[i].text);
        scratch_path(path, folder, files[i].name);
        assert_int_equal(tap_tokenizer_open(&other, path, &err), files[i].status);
        (void)snprintf(want, sizeof want, "cannot read tokenizer '%s': %s", path,
                       files[i].message);
        assert_string_equal(err.message, want);
    }
    scratch_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phi_3_gives_the_reference_ids),
        cmocka_unit_test(sentencepiece_llama_2_gives_the_reference_ids),
        cmocka_unit_test_setup_teardown(words_come_whole_and_bytes_fall_back,
                                        open_small, close_small),
        cmocka_unit_test_setup_teardown(wrong_text_and_files_are_named, open_small,
                                        close_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

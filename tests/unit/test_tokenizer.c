/* Reference vectors of well-known tokenizers where they lie beside the tree, and a small
 * vocabulary of our own that always runs. Other kinds: tests/golden/test_tokenizers.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"
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

/* All texts of an .inp file against the lines of an .out file: how many. */
static int check_vectors(const tap_tokenizer *t, const char *name)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char *texts = NULL, *lines = NULL, path[SCRATCH_PATH_BYTES];
    size_t n_texts = 0, n_lines = 0;
    tap_error err;
    (void)snprintf(path, sizeof path, FOLDER "gguf-vocab/ggml-vocab-%s.gguf.inp", name);
    assert_int_equal(tap_file_read(&texts, &n_texts, path, 1 << 20, &err), TAP_OK);
    (void)snprintf(path, sizeof path, FOLDER "gguf-vocab/ggml-vocab-%s.gguf.out", name);
    assert_int_equal(tap_file_read(&lines, &n_lines, path, 1 << 20, &err), TAP_OK);
    int n = 0;
    char *line = lines;
    for (char *text = texts, *end; (end = strstr(text, mark));
         text = end + strlen(mark)) {
        char *stop = strchr(line, '\n');
        assert_non_null(stop);
        char *last = stop;
        while (last > line && last[-1] == ' ')
            last--;
        *last = '\0';
        assert_ids(t, text, (size_t)(end - text), false, line + strspn(line, " "));
        line = stop + 1;
        n++;
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
    const int n = check_vectors(t, "phi-3");
    assert_int_equal(n, 46);
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
    const int n = check_vectors(t, "llama-spm");
    assert_int_equal(n, 46);
    assert_ids(t, "Hello world", 11, true, "1 15043 3186");
    print_message("%d texts equal\n", n + 1);
    tap_tokenizer_close(t);
}

/* This file's post-processor adds no begin token. */
static void llama_3_gives_the_reference_ids(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "llama3/tokenizer.json"))
        skip();
    tap_tokenizer *t = open_at(FOLDER "llama3");
    const int n = check_vectors(t, "llama-bpe");
    assert_int_equal(n, 46);
    static const char *const cases[][2] = {
        {"Hello world", "9906 1917"},
        {"  two spaces", "220 1403 12908"},
        {"a\xc3\xa9\xf0\x9f\x98\x80\xe4\xbd\xa0", "64 978 76460 222 57668"},
        {"What's this? I'LL go", "3923 596 420 30 358 6 4178 733"},
        {"12345 678", "4513 1774 220 17458"},
        {"a\n\n b\r\n", "64 271 293 319"},
        {"\t\tx  y   ", "197 10436 220 379 262"},
        {"<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
         "128006 882 128007 271 13347 128009"},
        {"3.14%", "18 13 975 4"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_ids(t, cases[i][0], strlen(cases[i][0]), true, cases[i][1]);
    print_message("%d texts equal\n", n + (int)(sizeof cases / sizeof *cases));
    tap_tokenizer_close(t);
}

/* Unpacked, because that is how the file is kept. */
static void qwen_2_gives_the_reference_ids(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "qwen3/tokenizer.json.gz"))
        skip();

    enum { ROOM_BYTES = 1 << 24 };

    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], *text = NULL;
    tap_error err;
    gzFile packed = gzopen(FOLDER "qwen3/tokenizer.json.gz", "rb");
    assert_non_null(packed);
    assert_int_equal(tap_alloc(&text, ROOM_BYTES, 1, "a file", &err), TAP_OK);
    const int n_bytes = gzread(packed, text, ROOM_BYTES - 1);
    assert_true(n_bytes > 0 && n_bytes < ROOM_BYTES - 1);
    gzclose(packed);
    scratch_open(folder);
    scratch_write_text(folder, "tokenizer.json", text);
    scratch_path(path, folder, "tokenizer.json");
    tap_tokenizer *t = open_at(path);
    const int n = check_vectors(t, "qwen2");
    assert_int_equal(n, 46);
    print_message("%d texts equal\n", n);
    tap_tokenizer_close(t);
    tap_free(text);
    scratch_close(folder);
}

/* Texts of the reference encoder, which puts nothing around them; it alone unescapes HTML
 * entities, so texts that hold one are left to it. */
static void clip_gives_the_reference_ids(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "clip/tokenizer.json"))
        skip();
    tap_tokenizer *t = open_at(FOLDER "clip");
    char *lines = NULL;
    size_t n_lines = 0;
    int n = 0, n_entities = 0;
    tap_error err;
    assert_int_equal(tap_file_read(&lines, &n_lines,
                                   FOLDER "clip/expected-openai-bpe.jsonl", 1 << 20,
                                   &err),
                     TAP_OK);
    for (char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *object = NULL;
        tap_buffer want = {0};
        assert_int_equal(
            tap_json_parse(&object, line, (size_t)(end - line), "vectors", &err), 0);
        const json_t *ids = json_object_get(object, "ids");
        assert_int_equal(tap_buffer_put(&want, "", 0, &err), 0);
        for (size_t i = 0; i < json_array_size(ids); i++)
            assert_int_equal(
                tap_buffer_print(&want, &err, "%s%lld", i ? " " : "",
                                 (long long)json_integer_value(json_array_get(ids, i))),
                0);
        const char *text = json_string_value(json_object_get(object, "text"));
        if (strstr(text, "&amp;")) {
            n_entities++;
        } else {
            assert_ids(t, text, strlen(text), false, want.text);
            n++;
        }
        tap_buffer_clear(&want);
        json_decref(object);
    }
    assert_int_equal(n, 152);
    assert_int_equal(n_entities, 1);
    assert_ids(t, "Hello World!", 12, true, "49406 3306 1002 256 49407");
    print_message("%d texts equal\n", n + 1);
    tap_free(lines);
    tap_tokenizer_close(t);
}

/* ---- GPT-2, whose vocabulary lies in a GGUF file ---- */

typedef struct gguf {
    const unsigned char *at, *end;
} gguf;

static uint64_t take(gguf *file, size_t n)
{
    uint64_t value = 0;
    assert_true(n <= 8 && (size_t)(file->end - file->at) >= n);
    memcpy(&value, file->at, n);
    file->at += n;
    return value;
}

static json_t *take_text(gguf *file)
{
    const size_t n = (size_t)take(file, 8);
    assert_true((size_t)(file->end - file->at) >= n);
    json_t *text = json_stringn((const char *)file->at, n);
    file->at += n;
    return text;
}

/* Strings and lists of them; other values are read over. Source: ggml, docs/gguf.md. */
static json_t *take_value(gguf *file, unsigned type)
{
    static const size_t n_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    assert_true(type < sizeof n_bytes / sizeof *n_bytes);
    if (type == 8)
        return take_text(file);
    if (type != 9) {
        (void)take(file, n_bytes[type]);
        return json_null();
    }
    const unsigned item_type = (unsigned)take(file, 4);
    json_t *list = json_array();
    for (uint64_t n = take(file, 8); n > 0; n--)
        assert_int_equal(json_array_append_new(list, take_value(file, item_type)), 0);
    return list;
}

/* The pieces and merges of a GGUF file as the tokenizer.json of GPT-2. */
static json_t *gpt_2_json(const tap_mapping *mapping)
{
    gguf file = {mapping->bytes, mapping->bytes + mapping->n_bytes};
    json_t *vocab = json_object(), *merges = NULL, *tokens = NULL;
    assert_int_equal(take(&file, 4), 0x46554747); /* "GGUF" */
    (void)take(&file, 4);                         /* version */
    (void)take(&file, 8);                         /* number of tensors */
    for (uint64_t n = take(&file, 8); n > 0; n--) {
        json_t *key = take_text(&file);
        json_t *value = take_value(&file, (unsigned)take(&file, 4));
        if (strcmp(json_string_value(key), "tokenizer.ggml.tokens") == 0)
            tokens = json_incref(value);
        if (strcmp(json_string_value(key), "tokenizer.ggml.merges") == 0)
            merges = json_incref(value);
        json_decref(key);
        json_decref(value);
    }
    assert_true(tokens && merges);
    for (size_t i = 0; i < json_array_size(tokens); i++)
        assert_int_equal(
            json_object_set_new(vocab, json_string_value(json_array_get(tokens, i)),
                                json_integer((json_int_t)i)),
            0);
    json_decref(tokens);
    return json_pack("{s:{s:s, s:b}, s:{s:s, s:o, s:o}}", "pre_tokenizer", "type",
                     "ByteLevel", "add_prefix_space", 0, "model", "type", "BPE",
                     "vocab", vocab, "merges", merges);
}

static void gpt_2_gives_the_reference_ids(void **state)
{
    (void)state;
    if (!tap_file_exists(FOLDER "gguf-vocab/ggml-vocab-gpt-2.gguf"))
        skip();
    char folder[SCRATCH_BYTES];
    tap_mapping mapping;
    tap_buffer text = {0};
    tap_error err;
    assert_int_equal(
        tap_file_map(&mapping, FOLDER "gguf-vocab/ggml-vocab-gpt-2.gguf", &err), 0);
    json_t *json = gpt_2_json(&mapping);
    assert_int_equal(tap_json_print(&text, json, &err), TAP_OK);
    scratch_open(folder);
    scratch_write_text(folder, "tokenizer.json", text.text);
    tap_tokenizer *t = open_at(folder);
    const int n = check_vectors(t, "gpt-2");
    assert_int_equal(n, 46);
    print_message("%d texts equal\n", n);
    tap_tokenizer_close(t);
    scratch_close(folder);
    tap_buffer_clear(&text);
    json_decref(json);
    tap_file_unmap(&mapping);
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
         "'model.type' is \"WordPiece\"; only \"BPE\" is supported", TAP_EUNSUPPORTED},
        {"b.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
         "expected 'model.vocab' to be an object and 'model.merges' a list of at most "
         "4194304",
         TAP_EFORMAT},
        {"c.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
         "token 'a' has the id -1, expected 0 to 1048575", TAP_EFORMAT},
        {"d.json",
         "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}",
         "merge 0 joins 'a' and 'b', but these or the result are not in the vocabulary",
         TAP_EFORMAT},
        {"e.json",
         "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},"
         "\"normalizer\":{\"type\":\"Lowercased\"}}",
         "'normalizer.type' is \"Lowercased\", which is not supported; did you mean "
         "\"Lowercase\"?",
         TAP_EUNSUPPORTED},
        {"g.json",
         "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":"
         "\"Split\",\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"a\\\\K\"}}}",
         "'\\K' in the expression 'a\\K' is not supported", TAP_EUNSUPPORTED},
        {"h.json",
         "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"post_processor\":{\"type\":"
         "\"BertProcessing\",\"sep\":[\"s\",7],\"cls\":[\"c\",0]}}",
         "'post_processor' adds a token that is not in the vocabulary", TAP_EFORMAT},
        {"f.model", "not a protobuf", "it is not a SentencePiece model", TAP_EFORMAT}};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        scratch_write_text(folder, files[i].name, files[i].text);
        scratch_path(path, folder, files[i].name);
        assert_int_equal(tap_tokenizer_open(&other, path, &err), files[i].status);
        (void)snprintf(want, sizeof want, "cannot read '%s': %s", path,
                       files[i].message);
        assert_string_equal(err.message, want);
    }
    scratch_close(folder);
}

/* added_tokens.json beside a lone tokenizer.model: its words cut a text as it is. */
static void words_beside_a_sentencepiece_model_are_read(void **state)
{
    (void)state;
    char folder[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES], want[512], *model = NULL;
    size_t n_model = 0, n = 0;
    tap_error err;
    tap_tokenizer *t = NULL;
    char *back = NULL;
    assert_int_equal(tap_file_read(&model, &n_model,
                                   "tests/golden/tokenizers/sentencepiece.model",
                                   1 << 20, &err),
                     TAP_OK);
    scratch_open(folder);
    scratch_write(folder, "tokenizer.model", model, n_model);
    tap_tokenizer *plain = open_at(folder);
    const int32_t size = tap_tokenizer_size(plain);
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"<image>\": %d, \"<pad>\": %d, \"<s>\": 1, \"two words\": %d}",
                   size, size + 1, size + 3);
    scratch_write_text(folder, "added_tokens.json", text);
    t = open_at(folder);
    assert_int_equal(tap_tokenizer_size(t), size + 4); /* a hole is allowed */
    assert_int_equal(tap_tokenizer_find(t, "<pad>", 5), size + 1);

    /* the parts of a text, and what stands between them */
    static const char whole[] = "the<image>cat two words<pad>";
    static const char *const parts[] = {"the", NULL, "cat ", NULL, NULL};
    const int32_t between[] = {0, size, 0, size + 3, size + 1};
    tap_buffer ids = {0};
    assert_int_equal(tap_buffer_print(&ids, &err, "1"), TAP_OK);
    for (int i = 0; i < 5; i++) {
        int32_t *part = NULL;
        size_t n_part = 0;
        if (!parts[i]) {
            assert_int_equal(tap_buffer_print(&ids, &err, " %d", between[i]), TAP_OK);
            continue;
        }
        assert_int_equal(tap_tokenizer_encode(&part, &n_part, plain, parts[i],
                                              strlen(parts[i]), false, &err),
                         TAP_OK);
        for (size_t k = 0; k < n_part; k++)
            assert_int_equal(tap_buffer_print(&ids, &err, " %d", part[k]), TAP_OK);
        tap_free(part);
    }
    assert_ids(t, whole, strlen(whole), true, ids.text);
    const int32_t image[] = {size, size + 3};
    assert_int_equal(tap_tokenizer_decode(&back, &n, t, image, 2, false, &err), TAP_OK);
    assert_string_equal(back, "<image>two words");
    tap_free(back);
    tap_buffer_clear(&ids);
    tap_tokenizer_close(t);

    /* tokenizer_config.json has a list of its own, which comes first */
    (void)snprintf(text, sizeof text,
                   "{\"add_bos_token\": false, \"add_eos_token\": true, "
                   "\"added_tokens_decoder\": {\"1\": {\"content\": \"<s>\"}, \"%d\": "
                   "{\"content\": \"<pic>\", \"rstrip\": true, \"special\": true}}}",
                   size);
    scratch_write_text(folder, "tokenizer_config.json", text);
    t = open_at(folder);
    assert_int_equal(tap_tokenizer_size(t), size + 1);
    (void)snprintf(text, sizeof text, "%d %d 2", size, size);
    assert_ids(t, "<pic>  <pic>", 12, true, text);
    assert_true(tap_tokenizer_is_special(t, size));
    tap_tokenizer_close(t);
    scratch_write_text(folder, "tokenizer_config.json",
                       "{\"added_tokens_decoder\": {\"-1\": {}}}");
    assert_int_equal(tap_tokenizer_open(&t, folder, &err), TAP_EFORMAT);
    scratch_path(path, folder, "tokenizer_config.json");
    (void)snprintf(
        want, sizeof want,
        "cannot read '%s': entry '-1' of 'added_tokens_decoder' is not a token "
        "under an id from 0 to 1048575",
        path);
    assert_string_equal(err.message, want);
    scratch_write_text(folder, "tokenizer_config.json", "{}");

    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"[1]", "expected a JSON object at the top, found a list"},
        {"{\"<a>\": 1}", "tokens '<s>' and '<a>' have the same id 1"},
        {"{\"<s>\": 7}", "token '<s>' has two ids, 1 and 7"},
        {"{\"<a>\": \"x\"}",
         "'<a>' is \"x\", expected a whole number from 0 to 1048575"},
        {"{\"<a>\": 1048576}",
         "'<a>' is 1048576, expected a whole number from 0 to 1048575"},
        {"{\"\": 900}", "the token of id 900 is empty"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        scratch_write_text(folder, "added_tokens.json", wrong[i].text);
        assert_true(tap_tokenizer_open(&t, folder, &err) != TAP_OK);
        scratch_path(path, folder, "added_tokens.json");
        (void)snprintf(want, sizeof want, "cannot read '%s': %s", path,
                       wrong[i].message);
        assert_string_equal(err.message, want);
    }

    /* words of a model's own code */
    assert_int_equal(tap_tokenizer_add(plain, "<image>", size, &err), TAP_OK);
    assert_int_equal(tap_tokenizer_add(plain, "<image>", size, &err), TAP_OK);
    assert_true(tap_tokenizer_is_special(plain, size));
    assert_int_equal(tap_tokenizer_add(plain, "<other>", size, &err), TAP_EFORMAT);
    tap_tokenizer_close(plain);
    tap_free(model);
    scratch_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phi_3_gives_the_reference_ids),
        cmocka_unit_test(sentencepiece_llama_2_gives_the_reference_ids),
        cmocka_unit_test(llama_3_gives_the_reference_ids),
        cmocka_unit_test(qwen_2_gives_the_reference_ids),
        cmocka_unit_test(gpt_2_gives_the_reference_ids),
        cmocka_unit_test(clip_gives_the_reference_ids),
        cmocka_unit_test_setup_teardown(words_come_whole_and_bytes_fall_back,
                                        open_small, close_small),
        cmocka_unit_test(words_beside_a_sentencepiece_model_are_read),
        cmocka_unit_test_setup_teardown(wrong_text_and_files_are_named, open_small,
                                        close_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

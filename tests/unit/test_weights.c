/* A checkpoint is found by canonical name in every layout, and a damaged one is refused with
 * the name of what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "format/safetensors.h"
#include "format/weights.h"
#include "model/spec.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_tiny(char directory[SCRATCH_BYTES], const tiny_model *options)
{
    tap_error err;
    scratch_open(directory);
    assert_int_equal(tiny_model_write(directory, options, &err), TAP_OK);
}

static tap_weights *open_tiny(const char *directory)
{
    tap_spec spec;
    tap_weights *weights = NULL;
    tap_error err = {0};
    assert_int_equal(tap_spec_read(&spec, directory, &err), TAP_OK);
    assert_int_equal(
        tap_weights_open(&weights, directory, spec.names, spec.n_names, &err), TAP_OK);
    return weights;
}

/* Three ages of names, one to four files: every tensor under one name, with the same
 * values. */
static void every_layout_gives_the_same_tensors(void **state)
{
    (void)state;
    static const char *const asked[] = {
        "vision.class_embed",   "vision.patch_embed.weight", "vision.pos_embed",
        "vision.pre_norm.bias", "vision.2.o.weight",         "vision.0.up.bias",
        "projector.1.weight",   "projector.2.bias",          "lm.embed.weight",
        "lm.1.k.weight",        "lm.0.gate.weight",          "lm.final_norm.weight",
        "lm.head.weight",
    };
    uint64_t expected[sizeof asked / sizeof asked[0]] = {0};
    for (int layout = 0; layout < 6; layout++) {
        tiny_model options = tiny_model_default();
        options.names = (tiny_names)(layout % 3);
        options.v5_config = layout % 2 == 1;
        options.n_shards = layout < 3 ? 1 : layout - 1;
        char directory[SCRATCH_BYTES];
        write_tiny(directory, &options);
        tap_weights *weights = open_tiny(directory);
        assert_int_equal(tap_weights_count(weights), 80);
        assert_int_equal(tap_weights_bytes(weights), 442112);
        for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
            const tap_tensor *t = tap_weights_find(weights, asked[i]);
            assert_non_null(t);
            const uint64_t hash =
                tap_hash(0, t->bytes, (size_t)tap_tensor_count(t) * sizeof(float));
            if (layout == 0)
                expected[i] = hash;
            assert_true(hash == expected[i]);
        }
        assert_null(tap_weights_find(weights, "lm.2.k.weight"));
        assert_null(tap_weights_find(weights, ""));
        tap_weights_close(weights);
        scratch_close(directory);
    }
}

static void files_that_do_not_belong_are_ignored(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES];
    tiny_model options = tiny_model_default();
    options.n_shards = 2;
    write_tiny(directory, &options);
    scratch_write_text(directory, "README.md", "# a model");
    scratch_write_text(directory, "optimizer.bin", "no tensors");
    scratch_write_text(directory, "model-00003-of-00003.safetensors", "left over");
    tap_weights *weights = open_tiny(directory);
    assert_int_equal(tap_weights_count(weights), 80);
    tap_weights_close(weights);
    scratch_close(directory);
}

static void the_hash_knows_layout_and_type_but_not_values(void **state)
{
    (void)state;
    char hashes[4][TAP_SHA256_TEXT_BYTES];
    for (int i = 0; i < 4; i++) {
        tiny_model options = tiny_model_default();
        options.seed = i == 1 ? 2 : 1;
        options.dtype = i == 2 ? TAP_BF16 : TAP_F32;
        options.lm_d_mlp = i == 3 ? 65 : 64;
        char directory[SCRATCH_BYTES];
        write_tiny(directory, &options);
        tap_weights *weights = open_tiny(directory);
        memcpy(hashes[i], tap_weights_hash(weights), TAP_SHA256_TEXT_BYTES);
        assert_int_equal(strlen(hashes[i]), 64);
        tap_weights_close(weights);
        scratch_close(directory);
    }
    assert_string_equal(hashes[0], hashes[1]);
    assert_string_not_equal(hashes[0], hashes[2]);
    assert_string_not_equal(hashes[0], hashes[3]);
}

static void a_tensor_is_given_with_its_shape_and_type_checked(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], message[TAP_ERROR_MESSAGE_BYTES];
    tiny_model options = tiny_model_default();
    write_tiny(directory, &options);
    tap_weights *weights = open_tiny(directory);
    tap_tensor t = {.n_dims = 9};
    tap_error err;
    assert_int_equal(tap_weights_get(&t, weights, "lm.1.k.weight", 2,
                                     (const int64_t[]){16, 32}, &err),
                     TAP_OK);
    assert_int_equal(t.n_dims, 2);
    t.n_dims = 9;
    assert_int_equal(tap_weights_get(&t, weights, "lm.1.k.weight", 2,
                                     (const int64_t[]){32, 32}, &err),
                     TAP_EFORMAT);
    (void)snprintf(message, sizeof message,
                   "cannot use tensor "
                   "'language_model.model.layers.1.self_attn.k_proj.weight' of "
                   "'%s/model.safetensors' as 'lm.1.k.weight': it is [16][32], "
                   "config.json implies [32][32]; the config belongs to another "
                   "checkpoint",
                   directory);
    assert_string_equal(err.message, message);
    assert_int_equal(
        tap_weights_get(&t, weights, "lm.1.k.weight", 1, (const int64_t[]){16}, &err),
        TAP_EFORMAT);
    assert_int_equal(
        tap_weights_get(&t, weights, "lm.7.k.weight", 1, (const int64_t[]){16}, &err),
        TAP_EFORMAT);
    (void)snprintf(message, sizeof message,
                   "cannot open model '%s': tensor 'lm.7.k.weight' is missing; none of "
                   "its 80 tensors has a name that means it",
                   directory);
    assert_string_equal(err.message, message);
    assert_int_equal(t.n_dims, 9);
    tap_weights_close(weights);
    scratch_close(directory);
}

/* A file of tensors of these names, each [2] of U8. */
static void write_named(const char *directory, const char *file, int64_t n,
                        const char *const *names, tap_dtype dtype)
{
    char path[SCRATCH_PATH_BYTES];
    scratch_path(path, directory, file);
    tap_tensor tensors[8];
    tap_safetensors_out *out = NULL;
    tap_error err;
    assert_true(n <= 8);
    for (int64_t i = 0; i < n; i++)
        tensors[i] = (tap_tensor){.dtype = dtype, .n_dims = 1, .shape = {2}};
    assert_int_equal(
        tap_safetensors_create(&out, path, n, names, tensors, 0, NULL, NULL, &err),
        TAP_OK);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(tap_safetensors_put(out, i, 0, (const double[2]){0}, 2, &err),
                         TAP_OK);
    assert_int_equal(tap_safetensors_commit(out, &err), TAP_OK);
    tap_safetensors_out_close(out);
}

static const tap_name_rule rules[] = {
    {"old.*.weight", "own.*.w"}, {"new.*.weight", "own.*.w"}, {"buffer", ""},
    {"single", "one"},           {"shared.*", "all"},         {"*", "number.*"},
};

enum { N_RULES = sizeof rules / sizeof rules[0] };

static void rules_match_whole_names_and_plain_numbers(void **state)
{
    (void)state;
    static const char *const raw[] = {
        "old.10.weight", "old.01.weight", "old..weight", "old.3.weights",
        "xold.3.weight", "buffer",        "single",      "77"};
    char directory[SCRATCH_BYTES];
    scratch_open(directory);
    write_named(directory, "model.safetensors", 8, raw, TAP_F32);
    tap_weights *weights = NULL;
    tap_error err;
    assert_int_equal(tap_weights_open(&weights, directory, rules, N_RULES, &err),
                     TAP_OK);
    assert_int_equal(tap_weights_count(weights), 3);
    assert_non_null(tap_weights_find(weights, "own.10.w"));
    assert_non_null(tap_weights_find(weights, "one"));
    assert_non_null(tap_weights_find(weights, "number.77"));
    tap_weights_close(weights);
    scratch_close(directory);
}

static void expect_refusal(const char *directory, tap_status status, const char *format)
{
    char message[TAP_ERROR_MESSAGE_BYTES];
    (void)snprintf(message, sizeof message, "%s", format);
    for (char *at; (at = strstr(message, "DIR"));) {
        char end[TAP_ERROR_MESSAGE_BYTES];
        (void)snprintf(end, sizeof end, "%s", at + 3);
        (void)snprintf(at, sizeof message - (size_t)(at - message), "%s%s", directory,
                       end);
    }
    tap_weights *weights = NULL;
    tap_error err;
    assert_int_equal(tap_weights_open(&weights, directory, rules, N_RULES, &err),
                     status);
    assert_string_equal(err.message, message);
    assert_null(weights);
}

static void two_tensors_of_one_meaning_are_refused(void **state)
{
    (void)state;
    static const char *const raw[] = {"old.1.weight", "new.1.weight"};
    static const char *const shared[] = {"shared.1", "shared.2"};
    char directory[SCRATCH_BYTES];
    scratch_open(directory);
    write_named(directory, "model.safetensors", 2, raw, TAP_F32);
    expect_refusal(directory, TAP_EFORMAT,
                   "cannot open model 'DIR': tensors 'new.1.weight' and 'old.1.weight' "
                   "both claim to be 'own.1.w'");
    write_named(directory, "model.safetensors", 2, shared, TAP_F32);
    expect_refusal(directory, TAP_EFORMAT,
                   "cannot open model 'DIR': tensors 'shared.1' and 'shared.2' both "
                   "claim to be 'all'");
    scratch_close(directory);
}

static void weights_that_cannot_be_computed_with_are_refused(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], message[TAP_ERROR_MESSAGE_BYTES];
    scratch_open(directory);
    write_named(directory, "model.safetensors", 1, (const char *const[]){"single"},
                TAP_F64);
    tap_weights *weights = NULL;
    tap_tensor t;
    tap_error err;
    assert_int_equal(tap_weights_open(&weights, directory, rules, N_RULES, &err),
                     TAP_OK);
    assert_int_equal(tap_weights_get(&t, weights, "one", 1, (const int64_t[]){2}, &err),
                     TAP_EUNSUPPORTED);
    (void)snprintf(message, sizeof message,
                   "cannot use tensor 'single' of '%s/model.safetensors' as 'one': its "
                   "type is f64, expected f32, f16 or bf16",
                   directory);
    assert_string_equal(err.message, message);
    tap_weights_close(weights);
    scratch_close(directory);
}

static void incomplete_checkpoints_are_refused_by_name(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES];
    scratch_open(directory);
    expect_refusal(directory, TAP_EIO,
                   "cannot open model 'DIR': it holds no weights; expected "
                   "model.safetensors or pytorch_model.bin, or one of them in shards "
                   "with an index, or a checkpoint in checkpoints/*.pt. Is the "
                   "download complete?");
    write_named(directory, "a.safetensors", 1, (const char *const[]){"single"},
                TAP_F32);
    const char *index = "model.safetensors.index.json";
    scratch_write_text(directory, index,
                       "{\"weight_map\": {\"single\": \"a.safetensors\", "
                       "\"old.0.weight\": \"b.safetensors\"}}");
    expect_refusal(directory, TAP_EIO,
                   "bad shard of 'DIR/model.safetensors.index.json': cannot open "
                   "'DIR/b.safetensors': No such file or directory");
    scratch_write_text(directory, index,
                       "{\"weight_map\": {\"single\": \"a.safetensors\", "
                       "\"old.0.weight\": \"a.safetensors\"}}");
    expect_refusal(
        directory, TAP_EFORMAT,
        "cannot open 'DIR/model.safetensors.index.json': it places tensor "
        "'old.0.weight' in 'a.safetensors', which does not hold it; the files "
        "belong to different checkpoints");
    scratch_write_text(directory, "a.safetensors",
                       "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    expect_refusal(
        directory, TAP_EFORMAT,
        "bad shard of 'DIR/model.safetensors.index.json': cannot read "
        "'DIR/a.safetensors': it is a pointer of Git LFS and not the weights; "
        "fetch them with 'git lfs pull'");
    scratch_write_text(directory, "a.safetensors", "cut");
    expect_refusal(
        directory, TAP_EFORMAT,
        "bad shard of 'DIR/model.safetensors.index.json': cannot read "
        "'DIR/a.safetensors' as safetensors: it has 3 bytes, a header length "
        "alone needs 8; the file is cut off or of another kind");
    scratch_close(directory);
}

/* Prismatic's layout: the latest of several, or the only one. */
static void a_checkpoint_in_its_folder_is_found(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], folder[SCRATCH_PATH_BYTES];
    static const tap_name_rule names[] = {{"model.projector.w", "projector.w"},
                                          {"weight", "weight"}};
    char *bytes = NULL;
    size_t n_bytes = 0;
    tap_weights *weights = NULL;
    tap_error err;
    scratch_open(directory);
    scratch_path(folder, directory, "checkpoints");
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(
        tap_file_read(&bytes, &n_bytes, "tests/golden/torch/nested.bin", 1 << 20, &err),
        TAP_OK);
    scratch_write(folder, "step-2.pt", bytes, n_bytes);
    assert_int_equal(tap_weights_open(&weights, directory, names, 2, &err), TAP_OK);
    assert_non_null(tap_weights_find(weights, "projector.w"));
    tap_weights_close(weights);
    scratch_write(folder, "step-1.pt", bytes, n_bytes);
    assert_int_equal(tap_weights_open(&weights, directory, names, 2, &err), TAP_EINVAL);
    assert_non_null(strstr(err.message, "cannot choose among the 2 checkpoints"));
    tap_free(bytes);
    assert_int_equal(
        tap_file_read(&bytes, &n_bytes, "tests/golden/torch/module.bin", 1 << 20, &err),
        TAP_OK);
    scratch_write(folder, "latest-checkpoint.pt", bytes, n_bytes);
    assert_int_equal(tap_weights_open(&weights, directory, names, 2, &err), TAP_OK);
    assert_non_null(tap_weights_find(weights, "weight"));
    tap_weights_close(weights);
    tap_free(bytes);
    scratch_close(folder);
    scratch_close(directory);
}

static void an_index_leads_nowhere_else(void **state)
{
    (void)state;
    static const char *const files[] = {"\"/etc/passwd\"",
                                        "\"../m.safetensors\"",
                                        "\"a\\\\\\\\b\"",
                                        "\"..\"",
                                        "\".\"",
                                        "\"\"",
                                        "7",
                                        "{}"};
    static const char *const found[] = {"\"/etc/passwd\"",
                                        "\"../m.safetensors\"",
                                        "\"a\\\\b\"",
                                        "\"..\"",
                                        "\".\"",
                                        "\"\"",
                                        "7",
                                        "an object"};
    char directory[SCRATCH_BYTES], text[256], message[TAP_ERROR_MESSAGE_BYTES];
    scratch_open(directory);
    const char *index = "model.safetensors.index.json";
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"weight_map\": {\"single\": %s}}",
                       files[i]);
        scratch_write_text(directory, index, text);
        (void)snprintf(message, sizeof message,
                       "cannot read 'DIR/%s': tensor 'single' stands in %s, expected "
                       "the plain name of a file beside the index",
                       index, found[i]);
        expect_refusal(directory, TAP_EFORMAT, message);
    }
    scratch_write_text(directory, index, "{\"weight_map\": {}}");
    expect_refusal(directory, TAP_EFORMAT,
                   "cannot read 'DIR/model.safetensors.index.json': it has no "
                   "\"weight_map\" from tensor names to files");
    scratch_write_text(directory, index, "{\"weight_map\": [1]}");
    expect_refusal(directory, TAP_EFORMAT,
                   "cannot read 'DIR/model.safetensors.index.json': it has no "
                   "\"weight_map\" from tensor names to files");
    scratch_close(directory);
}

/* The n-th allocation fails, for every n: a status, no leak (seen by the sanitizer). */
static void running_out_of_memory_is_a_status(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES];
    tiny_model options = tiny_model_default();
    options.n_shards = 3;
    write_tiny(directory, &options);
    tap_spec spec;
    tap_error err;
    assert_int_equal(tap_spec_read(&spec, directory, &err), TAP_OK);
    tap_weights *weights = NULL;
    tap_status status = TAP_ENOMEM;
    int64_t n = 1;
    for (; status == TAP_ENOMEM && n < 1000; n++) {
        (void)tap_memory_fail_at(n);
        status = tap_weights_open(&weights, directory, spec.names, spec.n_names, &err);
        (void)tap_memory_fail_at(0);
        assert_true(status == TAP_ENOMEM || status == TAP_OK);
    }
    assert_int_equal(status, TAP_OK);
    assert_true(n > 90);
    tap_weights_close(weights);
    scratch_close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_gives_the_same_tensors),
        cmocka_unit_test(files_that_do_not_belong_are_ignored),
        cmocka_unit_test(the_hash_knows_layout_and_type_but_not_values),
        cmocka_unit_test(a_tensor_is_given_with_its_shape_and_type_checked),
        cmocka_unit_test(rules_match_whole_names_and_plain_numbers),
        cmocka_unit_test(two_tensors_of_one_meaning_are_refused),
        cmocka_unit_test(weights_that_cannot_be_computed_with_are_refused),
        cmocka_unit_test(incomplete_checkpoints_are_refused_by_name),
        cmocka_unit_test(a_checkpoint_in_its_folder_is_found),
        cmocka_unit_test(an_index_leads_nowhere_else),
        cmocka_unit_test(running_out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

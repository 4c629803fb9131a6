/* The test support itself: deterministic, and its values have sensible sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "base/file.h"
#include "format/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void write_tiny(char directory[SCRATCH_BYTES], const tiny_model *options)
{
    tap_error err;
    scratch_open(directory);
    assert_int_equal(tiny_model_write(directory, options, &err), TAP_OK);
}

static void one_seed_gives_one_file(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    tap_mapping files[3];
    for (int i = 0; i < 3; i++) {
        char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
        options.seed = i == 2 ? 2 : 1;
        write_tiny(directory, &options);
        scratch_path(path, directory, "model.safetensors");
        tap_error err;
        assert_int_equal(tap_file_map(&files[i], path, &err), TAP_OK);
        scratch_close(directory);
    }
    assert_int_equal(files[0].n_bytes, files[1].n_bytes);
    assert_memory_equal(files[0].bytes, files[1].bytes, files[0].n_bytes);
    assert_int_equal(files[0].n_bytes, files[2].n_bytes);
    assert_memory_not_equal(files[0].bytes, files[2].bytes, files[0].n_bytes);
    for (int i = 0; i < 3; i++)
        tap_file_unmap(&files[i]);
}

static void values_have_the_deviation_they_should(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    write_tiny(directory, &options);
    scratch_path(path, directory, "model.safetensors");
    tap_safetensors *file = NULL;
    tap_error err;
    assert_int_equal(tap_safetensors_open(&file, path, &err), TAP_OK);
    const int64_t i =
        tap_safetensors_find(file, "language_model.model.embed_tokens.weight");
    assert_true(i >= 0);
    const tap_tensor *embed = tap_safetensors_tensor(file, i);
    const float *values = embed->bytes;
    const int64_t n = tap_tensor_count(embed);
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < n; k++) {
        sum += (double)values[k];
        squares += (double)values[k] * (double)values[k];
    }
    assert_true(fabs(sum / (double)n) < 0.03);
    assert_true(fabs(squares / (double)n - 1) < 0.03);
    tap_safetensors_close(file);
    scratch_close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_gives_one_file),
        cmocka_unit_test(values_have_the_deviation_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

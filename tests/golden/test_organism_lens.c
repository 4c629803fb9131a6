/* Is the shipped subject worth measuring? On embedded scenes the lens reads parts far
 * above the size-matched null in a trained subject, and not in an untrained copy of it: the
 * same files with weights drawn anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../support/golden.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "format/safetensors.h"
#include "lab/store.h"
#include "lab/sweep.h"

#define SHARE "share/organism/"

enum { N_SCENES = 12 };

/* About normal, deviation 1: the sum of 12 uniform numbers. */
static float draw(uint64_t tensor, uint32_t i)
{
    double sum = -6.0;
    for (uint32_t k = 0; k < 3; k++) {
        uint32_t words[4];
        tap_philox(words, (const uint32_t[4]){i, k, (uint32_t)tensor, 0}, 7);
        for (int w = 0; w < 4; w++)
            sum += (double)words[w] / 4294967296.0;
    }
    return (float)sum;
}

/* The same tensors as at the start of training: norms 1, biases 0, the rest small. */
static void untrain(const char *from_path, const char *to_path)
{
    enum { MAX_TENSORS = 512 };

    tap_error err;
    tap_safetensors *from = NULL;
    tap_safetensors_out *to = NULL;
    const char *names[MAX_TENSORS];
    static tap_tensor tensors[MAX_TENSORS];
    check(tap_safetensors_open(&from, from_path, &err), &err);
    const int64_t n = tap_safetensors_count(from);
    assert_true(n <= MAX_TENSORS);
    for (int64_t i = 0; i < n; i++) {
        names[i] = tap_safetensors_name(from, i);
        tensors[i] = *tap_safetensors_tensor(from, i);
        assert_int_equal(tensors[i].dtype, TAP_BF16);
    }
    check(tap_safetensors_create(&to, to_path, n, names, tensors, 0, NULL, NULL, &err),
          &err);
    for (int64_t i = 0; i < n; i++) {
        const int64_t count = tap_tensor_count(&tensors[i]);
        uint16_t *values = NULL;
        check(tap_alloc(&values, (size_t)count, sizeof *values, "a tensor", &err),
              &err);
        const bool one_dim = tensors[i].n_dims == 1;
        const bool bias = strstr(names[i], "bias") != NULL;
        const bool norm = one_dim && strstr(names[i], "norm") != NULL;
        for (int64_t k = 0; k < count; k++)
            values[k] = tap_to_bf16(bias   ? 0.0F
                                    : norm ? 1.0F
                                           : 0.05F * draw((uint64_t)i, (uint32_t)k));
        check(tap_safetensors_put(to, i, 0, values, count, &err), &err);
        tap_free(values);
    }
    check(tap_safetensors_commit(to, &err), &err);
    tap_safetensors_out_close(to);
    tap_safetensors_close(from);
}

/* An untrained copy of a subject: its small files, new weights. */
static void copy_subject(char model[SCRATCH_PATH_BYTES], const char *scratch)
{
    static const char *const small[] = {"config.json", "preprocessor_config.json",
                                        "processor_config.json", "tokenizer.json"};
    tap_error err;
    char path[SCRATCH_PATH_BYTES];
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        char *text = NULL;
        size_t n = 0;
        (void)snprintf(path, sizeof path, SHARE "compensating/%s", small[i]);
        if (!tap_file_exists(path))
            continue;
        check(tap_file_read(&text, &n, path, 1 << 24, &err), &err);
        scratch_write(scratch, small[i], text, n);
        tap_free(text);
    }
    scratch_path(path, scratch, "model.safetensors");
    untrain(SHARE "compensating/model.safetensors", path);
    (void)snprintf(model, SCRATCH_PATH_BYTES, "%s", scratch);
}

/* Mean of log2 rank at the last depth, clean, of parts and of their nulls. */
static void measure(double *own, double *null, const char *model, const char *scratch)
{
    char here[1024], yaml[4096], path[SCRATCH_PATH_BYTES], database[SCRATCH_PATH_BYTES];
    tap_error err;
    assert_non_null(getcwd(here, sizeof here));
    const bool absolute = model[0] == '/';
    const int n = snprintf(yaml, sizeof yaml,
                           "schema: 1\n"
                           "model: %s%s%s\n"
                           "data:\n"
                           "  format: masks\n"
                           "  images: %s/" SHARE "scenes\n"
                           "  annotations: %s/" SHARE "scenes/items.tsv\n"
                           "  parts: {min_area_px: 12}\n"
                           "  sample: {images: %d, seed: 1}\n"
                           "conditions: {clean: \"\"}\n"
                           "controls: [random_patches]\n"
                           "readout: {depths: last}\n",
                           absolute ? "" : here, absolute ? "" : "/", model, here, here,
                           N_SCENES);
    assert_in_range(n, 1, sizeof yaml - 1);
    scratch_write_text(scratch, "e.yaml", yaml);
    scratch_path(path, scratch, "e.yaml");
    scratch_path(database, scratch, "r.db");
    (void)unlink(database);

    tap_experiment experiment;
    tap_sweep *sweep = NULL;
    const tap_sweep_options options = {.n_threads = 2};
    check(tap_experiment_read(&experiment, path, &err), &err);
    check(tap_sweep_open(&sweep, &experiment, database, &options, &err), &err);
    for (bool more = true; more;)
        check(tap_sweep_step(&more, sweep, &err), &err);
    check(tap_sweep_finish(sweep, &err), &err);
    tap_sweep_close(sweep);
    tap_experiment_clear(&experiment);

    tap_store *store = NULL;
    sqlite3_stmt *query = NULL;
    check(tap_store_open_read(&store, database, &err), &err);
    assert_int_equal(sqlite3_prepare_v2(tap_store_sqlite(store),
                                        "SELECT best_rank, null_best_rank FROM score "
                                        "WHERE null_best_rank IS NOT NULL",
                                        -1, &query, NULL),
                     SQLITE_OK);
    int64_t count = 0;
    for (*own = *null = 0.0; sqlite3_step(query) == SQLITE_ROW; count++) {
        *own += log2(sqlite3_column_double(query, 0));
        *null += log2(sqlite3_column_double(query, 1));
    }
    assert_true(count > 40);
    *own /= (double)count;
    *null /= (double)count;
    print_message("%s: mean log2 rank %.2f, null %.2f, %lld parts\n", model, *own,
                  *null, (long long)count);
    (void)sqlite3_finalize(query);
    tap_store_close(store);
}

static void a_trained_subject_beats_the_null(void **state)
{
    (void)state;
    char scratch[SCRATCH_BYTES];
    scratch_open(scratch);
    double own, null;
    measure(&own, &null, SHARE "compensating", scratch);
    assert_true(own < null - 2.0); /* a quarter of the rank */
    scratch_close(scratch);
}

static void an_untrained_copy_does_not(void **state)
{
    (void)state;
    char scratch[SCRATCH_BYTES], model[SCRATCH_PATH_BYTES];
    scratch_open(scratch);
    double own, null;
    copy_subject(model, scratch);
    measure(&own, &null, model, scratch);
    assert_true(fabs(own - null) < 0.5);
    scratch_close(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trained_subject_beats_the_null),
        cmocka_unit_test(an_untrained_copy_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

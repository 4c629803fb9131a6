/* What a trace keeps: the rows and heads asked for are those of the whole, maps are those
 * that the run put, and memory does not grow with the blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../support/rig.h"
#include "base/file.h"
#include "base/memory.h"
#include "format/safetensors.h"
#include "read/trace.h"

static rig r;
static const char *program;
static const char sites[] = "lm.*.q,lm.*.k,lm.*.v,lm.*.z,lm.*.pattern,lm.*.mlp_act,"
                            "vision.*.pattern,vision.*.q,vision.features,projector.out,"
                            "lm.depth.*";

static int open_rig(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    rig_open(&r, &options);
    rig_add_scene(&r, 1, -1);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    return tap_trace_put(owner, state, err);
}

/* Traces scene 0 of a rig; *places says what is in the file (tap_free). */
static tap_status run_trace(tap_place **places, int64_t *n_places, const rig *of,
                            const char *list, tap_trace_spec spec, const char *name,
                            tap_error *err)
{
    char path[128];
    tap_trace *trace = NULL;
    tap_plan *plan = rig_plan(of, 0, "lm[1]: image <- image");
    const tap_plan *plans = plan;
    const tap_spec *m = &of->model->spec;
    const int n_blocks[] = {m->vision.n_blocks_read, m->lm.stack.n_blocks};
    check(tap_site_parse(places, n_places, list, n_blocks, err), err);
    spec.model = of->model;
    spec.places = *places;
    spec.n_places = *n_places;
    spec.n_conditions = 1;
    spec.sequence = &of->scenes[0].sequence;
    spec.n_tiles = 1;
    (void)snprintf(path, sizeof path, "%s/%s", of->directory, name);
    tap_status status = tap_trace_open(&trace, path, &spec, err);
    tap_item item = {.pixels = &of->scenes[0].pixels,
                     .sequence = &of->scenes[0].sequence,
                     .plans = &plans};
    tap_wanted wanted = {0};
    tap_run_options options = {.n_threads = 2};
    if (status == TAP_OK) {
        tap_trace_want(&wanted, &options, &item, trace);
        const tap_sink sink = {.owner = trace, .wanted = &wanted, .put = put};
        status = tap_run(NULL, of->model, &item, 1, 1, &options, &sink, err);
    }
    if (status == TAP_OK)
        status = tap_trace_commit(trace, err);
    tap_trace_close(trace);
    tap_plan_free(plan);
    return status;
}

static tap_safetensors *trace_file(tap_trace_spec spec, const char *name)
{
    tap_error err;
    char path[128];
    tap_place *places = NULL;
    int64_t n = 0;
    tap_safetensors *file = NULL;
    check(run_trace(&places, &n, &r, sites, spec, name, &err), &err);
    tap_free(places);
    (void)snprintf(path, sizeof path, "%s/%s", r.directory, name);
    check(tap_safetensors_open(&file, path, &err), &err);
    return file;
}

static const float *values_of(const tap_tensor *t)
{
    return t->bytes;
}

/* Row i of a part of a head-wise state equals row rows[i] of the whole, head for head. */
static void compare_heads(const tap_tensor *part, const tap_tensor *whole,
                          const int64_t *rows, const int *heads, int n_heads,
                          int d_head)
{
    assert_int_equal(part->shape[1], n_heads * d_head);
    for (int64_t i = 0; i < part->shape[0]; i++)
        for (int h = 0; h < n_heads; h++)
            assert_memory_equal(values_of(part) + (i * n_heads + h) * d_head,
                                values_of(whole) + rows[i] * whole->shape[1] +
                                    heads[h] * d_head,
                                (size_t)d_head * sizeof(float));
}

static void compare_map(const tap_tensor *part, const tap_tensor *whole,
                        const int64_t *rows, const int *heads, int n_heads)
{
    const int64_t n_k = whole->shape[2];
    assert_int_equal(part->shape[0], n_heads);
    assert_int_equal(part->shape[2], n_k);
    for (int h = 0; h < n_heads; h++)
        for (int64_t i = 0; i < part->shape[1]; i++)
            assert_memory_equal(values_of(part) + (h * part->shape[1] + i) * n_k,
                                values_of(whole) +
                                    (heads[h] * whole->shape[1] + rows[i]) * n_k,
                                (size_t)n_k * sizeof(float));
}

static void chosen_rows_and_heads_are_those_of_the_whole(void **state)
{
    (void)state;
    const int64_t lm_rows[] = {2, 3, 9, r.scenes[0].sequence.n_tok - 1},
                  vision_rows[] = {0, 6, 7};
    const int heads[] = {1, 2}, kv_heads[] = {0, 1};
    uint64_t lm[2] = {0}, vision[1] = {0}, chosen[TAP_MAX_HEADS / 64] = {6};
    for (int i = 0; i < 4; i++)
        tap_bits_set(lm, lm_rows[i]);
    for (int i = 0; i < 3; i++)
        tap_bits_set(vision, vision_rows[i]);
    tap_safetensors *whole =
        trace_file((tap_trace_spec){.positions = TAP_POSITIONS_ALL}, "whole");
    tap_safetensors *part =
        trace_file((tap_trace_spec){.rows = {vision, lm}, .heads = chosen}, "part");
    assert_int_equal(tap_safetensors_count(whole), tap_safetensors_count(part));
    int compared = 0;
    for (int64_t i = 0; i < tap_safetensors_count(part); i++) {
        const char *name = tap_safetensors_name(part, i);
        const char *site = strrchr(name, '.') + 1;
        const tap_tensor *p = tap_safetensors_tensor(part, i);
        const tap_tensor *w =
            tap_safetensors_tensor(whole, tap_safetensors_find(whole, name));
        const bool is_lm = strncmp(name, "lm.", 3) == 0;
        const int64_t *rows = is_lm ? lm_rows : vision_rows;
        if (strcmp(site, "features") == 0 || strcmp(site, "out") == 0)
            continue;
        assert_int_equal(p->shape[p->n_dims == 3], is_lm ? 4 : 3);
        if (strcmp(site, "pattern") == 0)
            compare_map(p, w, rows, heads, 2);
        else if (strcmp(site, "k") == 0 || strcmp(site, "v") == 0)
            compare_heads(p, w, rows, kv_heads, 2, 8);
        else if (strcmp(site, "q") == 0 || strcmp(site, "z") == 0)
            compare_heads(p, w, rows, heads, 2, 8);
        else
            compare_heads(p, w, rows, (const int[]){0}, 1, (int)w->shape[1]);
        compared++;
    }
    assert_true(compared > 15);
    /* projector rows of the tokens chosen in the decoder, features of the patches */
    const tap_token *tokens = r.scenes[0].sequence.tokens;
    const tap_tensor *out =
        tap_safetensors_tensor(part, tap_safetensors_find(part, "projector.out"));
    int64_t n_image = 0;
    for (int i = 0; i < 4; i++)
        n_image += tokens[lm_rows[i]].feature >= 0;
    assert_int_equal(out->shape[0], n_image);
    const tap_tensor *features =
        tap_safetensors_tensor(part, tap_safetensors_find(part, "vision.features"));
    const tap_tensor *all =
        tap_safetensors_tensor(whole, tap_safetensors_find(whole, "vision.features"));
    assert_int_equal(features->shape[0], 2);
    assert_memory_equal(values_of(features), values_of(all) + 5 * all->shape[1],
                        2 * (size_t)all->shape[1] * sizeof(float));
    tap_safetensors_close(part);
    tap_safetensors_close(whole);
}

static void maps_are_those_of_the_run(void **state)
{
    (void)state;
    const char *const texts[] = {"lm[1]: image <- image"};
    const tap_run_options plain = {.n_threads = 2, .all_rows = true};
    capture c = rig_run(&r, 0, 1, texts, 1, &plain);
    tap_safetensors *file =
        trace_file((tap_trace_spec){.positions = TAP_POSITIONS_ALL}, "maps");
    for (int b = 0; b < 2; b++) {
        char name[32];
        (void)snprintf(name, sizeof name, "lm.%d.pattern", b);
        const tap_tensor *t =
            tap_safetensors_tensor(file, tap_safetensors_find(file, name));
        const kept *k = capture_find(&c, TAP_SITE_PATTERN, TAP_LM, b, 0, 0);
        assert_int_equal(tap_tensor_count(t), k->n_rows * k->d);
        assert_memory_equal(t->bytes, k->values,
                            (size_t)(k->n_rows * k->d) * sizeof(float));
    }
    tap_safetensors_close(file);
    capture_clear(&c);
}

static void what_cannot_be_traced_is_said(void **state)
{
    (void)state;
    tap_error err;
    tap_place *places = NULL;
    int64_t n = 0;
    const uint64_t heads[TAP_MAX_HEADS / 64] = {1U << 4};
    assert_int_equal(run_trace(&places, &n, &r, "lm.0.z",
                               (tap_trace_spec){.heads = heads}, "x", &err),
                     TAP_EINVAL);
    assert_string_equal(err.message,
                        "there is no head 4 for 'lm.0.z'; the lm stack has 4, 0 to 3");
    tap_free(places);
    assert_int_equal(run_trace(&places, &n, &r, "lm.0.z,lm.1.z",
                               (tap_trace_spec){.format = TAP_TRACE_NPY}, "x", &err),
                     TAP_EINVAL);
    assert_string_equal(err.message,
                        "an .npy file holds one array, and this trace has 2; "
                        "ask for npz");
    tap_free(places);
}

/* Peak memory in KiB of this process after tracing a decoder of n blocks. */
static int print_peak(int n_blocks)
{
    rig own;
    tap_error err;
    tap_place *places = NULL;
    int64_t n = 0;
    struct rusage used;
    tiny_model options = tiny_model_default();
    options.side_px = 56;
    options.patch_px = 7;
    options.lm_n_blocks = n_blocks;
    options.lm_d_mlp = 4096;
    rig_open(&own, &options);
    rig_add_scene(&own, 1, -1);
    check(run_trace(&places, &n, &own, "lm.*.mlp_act",
                    (tap_trace_spec){.positions = TAP_POSITIONS_ALL}, "x", &err),
          &err);
    rig_close(&own);
    tap_free(places);
    if (getrusage(RUSAGE_SELF, &used) != 0)
        return 1;
    return printf("%ld\n", used.ru_maxrss) > 0 ? 0 : 1;
}

/* The same of a process of its own. */
static long peak_of(int n_blocks)
{
    char command[256], line[32] = "";
    (void)snprintf(command, sizeof command, "'%s' %d", program, n_blocks);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_int_equal(pclose(pipe), 0);
    return strtol(line, NULL, 10);
}

static void memory_does_not_grow_with_the_blocks(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* freed memory stays with the sanitizer */
#endif
    /* each block more has 1.5 MiB of weights in the mapping and 1.2 MiB that is traced */
    const long few = peak_of(2), many = peak_of(22);
    print_message("peak with 2 blocks %ld KiB, with 22 %ld KiB\n", few, many);
    assert_true(few > 0 && many - few < 20 * 1800);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return print_peak((int)strtol(argv[1], NULL, 10));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_rows_and_heads_are_those_of_the_whole),
        cmocka_unit_test(maps_are_those_of_the_run),
        cmocka_unit_test(what_cannot_be_traced_is_said),
        cmocka_unit_test(memory_does_not_grow_with_the_blocks),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

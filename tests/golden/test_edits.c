/* Every edge mode, group and state edit against a second implementation in PyTorch
 * (tools/make_edit_golden.py), in both stacks, with and without grouped-query heads: all
 * conditions in one batch, by the fast kernels and by the plain ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../support/golden.h"
#include "base/memory.h"
#include "model/run.h"
#include "read/group.h"

static const char *const names[] = {
    "zero",       "uniform",     "freeze",     "scales",  "empty",  "fraction",
    "beyond",     "together",    "rings",      "chance",  "text",   "mean",
    "zero_heads", "zero_keys",   "noise",      "permute", "copy",   "steer",
    "project",    "patch_clean", "patch_file", "sites",   "pixels", "scramble"};

enum { N_CONDITIONS = sizeof names / sizeof *names };

typedef struct golden {
    const char *name;
    tap_model *model;
    tap_safetensors *expected;
    tap_scene scene;
    tap_groups groups;
    tap_plan *plans[N_CONDITIONS];
    int compared;
    double worst;
    int worst_condition;
} golden;

static float *cover_of(const golden *g, const char *name, float *cover)
{
    const tap_tensor *t = golden_find(g->expected, "%s", name);
    assert_non_null(t);
    for (int64_t i = 0; i < t->shape[0]; i++) {
        int32_t patch = 0;
        memcpy(&patch, (const char *)t->bytes + i * 4, sizeof patch);
        cover[patch] = 1.0F;
    }
    return cover;
}

static void open_golden(golden *g, const char *name)
{
    char path[128];
    float part[64] = {0}, object[64] = {0}, other[64] = {0};
    tap_error err;
    *g = (golden){.name = name};
    (void)snprintf(path, sizeof path, "tests/golden/llava/%s", name);
    check(tap_model_open(&g->model, path, &err), &err);
    (void)snprintf(path, sizeof path, "tests/golden/edits/%s/expected.safetensors",
                   name);
    check(tap_safetensors_open(&g->expected, path, &err), &err);
    check(tap_scene_open(
              &g->scene, g->model, "tests/golden/llava/photo.png",
              "USER: <image>\nWhat is the part of this animal? ASSISTANT:", &err),
          &err);
    assert_true(tap_scene_n_patches(&g->scene) <= 64);
    const tap_group_input input = {.scene = &g->scene,
                                   .part = cover_of(g, "part", part),
                                   .object = cover_of(g, "object", object),
                                   .other_part = cover_of(g, "other_part", other),
                                   .threshold = 0.5};
    check(tap_group_compile(&g->groups, &input, &err), &err);
    assert_true(g->groups.key != 0);
    g->groups.key = 0; /* seeds alone, as the script has them */
    for (int c = 0; c < N_CONDITIONS; c++)
        g->plans[c] =
            golden_plan(g->model, &g->groups, golden_condition(g->expected, names[c]));
}

static void close_golden(golden *g)
{
    for (int c = 0; c < N_CONDITIONS; c++)
        tap_plan_free(g->plans[c]);
    tap_groups_clear(&g->groups);
    tap_scene_clear(&g->scene);
    tap_safetensors_close(g->expected);
    tap_model_close(g->model);
}

static void compare(golden *g, int condition, const char *stage, const tap_state *state)
{
    char name[96];
    const tap_tensor *want = golden_find(g->expected, "%s/%s", names[condition], stage);
    const int64_t n = state->n_rows * state->d;
    (void)snprintf(name, sizeof name, "%s %s/%s", g->name, names[condition], stage);
    const double error = golden_error(name, want, 0, n, state->values);
    assert_int_equal(tap_tensor_count(want), n);
    if (!(error <= g->worst)) {
        g->worst = error;
        g->worst_condition = condition;
    }
    g->compared++;
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    for (int64_t i = 0; i < state->n_conditions; i++)
        compare(owner, state->conditions[i],
                state->site == TAP_SITE_PROJECTOR_OUT ? "projector.out" : "lm.depth",
                state);
    return TAP_OK;
}

static void run(golden *g, const tap_kernels *kernels, bool share_nothing)
{
    static tap_wanted wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.once[TAP_SITE_PROJECTOR_OUT] = true;
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST],
                 g->model->spec.lm.stack.n_blocks - 1);
    const tap_item item = {.pixels = &g->scene.pixels,
                           .sequence = &g->scene.sequence,
                           .plans = (const tap_plan *const *)g->plans};
    const tap_run_options options = {.kernels = kernels,
                                     .n_threads = 2,
                                     .all_rows = true,
                                     .share_nothing = share_nothing};
    const tap_sink sink = {.owner = g, .wanted = &wanted, .put = put};
    tap_error err;
    g->compared = 0;
    g->worst = 0.0;
    check(tap_run(NULL, g->model, &item, 1, N_CONDITIONS, &options, &sink, &err), &err);
    assert_int_equal(g->compared, 2 * N_CONDITIONS);
    print_message("%s, %s: %d states, largest error %.2g of the rms (%s)\n", g->name,
                  kernels->name, g->compared, g->worst, names[g->worst_condition]);
}

static void every_mode_and_edit_is_what_the_reference_says(void **state)
{
    (void)state;
    static const char *const models[] = {"mha", "gqa"};
    for (int i = 0; i < 2; i++) {
        golden g;
        open_golden(&g, models[i]);
        run(&g, tap_kernels_cpu(), false);
        run(&g, tap_kernels_cpu(), true);
        run(&g, &tap_kernels_ref, false);
        close_golden(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_and_edit_is_what_the_reference_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

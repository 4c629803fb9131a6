/* Stage by stage against the reference implementation: two tiny LLaVA-1.5 checkpoints that
 * it wrote, clean and under cuts, from the image file to the ranks. Bounds: the largest
 * error of a stage is at most 1e-4 of its rms; ranks are equal wherever the logits that
 * decide them lie more than 1e-3 apart. tools/make_llava_golden.py made the vectors. */
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
#include "read/group.h"
#include "read/lens.h"

#define FOLDER "tests/golden/llava/"

static const char *const names[] = {"clean", "encoder", "decoder", "heads", "scale"};

enum { N_CONDITIONS = 5 };

typedef struct golden {
    tap_model *model;
    tap_safetensors *expected;
    tap_scene scene;
    tap_groups groups;
    tap_plan *plans[N_CONDITIONS];
    tap_lens *lens;
    int compared;
    double worst;
} golden;

/* The golden name of a state. */
static void name_of(char out[48], const golden *g, const tap_state *s)
{
    const bool vision = s->stack == TAP_VISION;
    const int n =
        vision ? g->model->spec.vision.n_blocks_read : g->model->spec.lm.stack.n_blocks;
    if (s->site == TAP_SITE_RESID_PRE)
        (void)snprintf(out, 48, "%s.depth.%d", vision ? "vision" : "lm", s->block);
    else if (s->site == TAP_SITE_RESID_POST)
        (void)snprintf(out, 48, "%s.depth.%d", vision ? "vision" : "lm", n);
    else
        (void)snprintf(out, 48, "%s", tap_site_about(s->site)->name);
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    golden *g = owner;
    char name[48];
    name_of(name, g, state);
    for (int64_t c = 0; c < state->n_conditions; c++) {
        const tap_tensor *want =
            golden_find(g->expected, "%s/%s", names[state->conditions[c]], name);
        if (!want)
            continue;
        assert_int_equal(tap_tensor_count(want), state->n_rows * state->d);
        g->worst = fmax(g->worst, golden_error(name, want, 0, state->n_rows * state->d,
                                               state->values));
        g->compared++;
    }
    return tap_lens_put(g->lens, state, err);
}

static void compile_all(golden *g)
{
    tap_error err;
    const tap_group_input input = {.scene = &g->scene, .threshold = 0.5};
    check(tap_group_compile(&g->groups, &input, &err), &err);
    for (int c = 0; c < N_CONDITIONS; c++)
        g->plans[c] =
            golden_plan(g->model, &g->groups, golden_condition(g->expected, names[c]));
}

static void want_all(tap_wanted *wanted, const golden *g)
{
    const tap_site once[] = {TAP_SITE_FEATURES, TAP_SITE_PROJECTOR_OUT,
                             TAP_SITE_LOGITS};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        wanted->once[once[i]] = true;
    const int n[] = {g->model->spec.vision.n_blocks_read,
                     g->model->spec.lm.stack.n_blocks};
    for (int s = 0; s < TAP_N_STACKS; s++) {
        for (int b = 0; b < n[s]; b++)
            tap_bits_set(wanted->blocks[s][TAP_SITE_RESID_PRE], b);
        tap_bits_set(wanted->blocks[s][TAP_SITE_RESID_POST], n[s] - 1);
    }
}

/* ids and pixels are the reference's own. */
static void check_input(const golden *g)
{
    golden_check_ids(golden_find(g->expected, "ids"), g->scene.sequence.ids,
                     g->scene.sequence.n_tok);
    const tap_tensor *pixels = golden_find(g->expected, "pixels");
    assert_memory_equal(g->scene.pixels.values, pixels->bytes,
                        (size_t)tap_tensor_count(pixels) * sizeof(float));
}

static int check_ranks(const golden *g, int64_t n_labels)
{
    int close = 0;
    for (int c = 0; c < N_CONDITIONS; c++) {
        const tap_tensor *want = golden_find(g->expected, "%s/ranks", names[c]);
        const tap_tensor *margin = golden_find(g->expected, "%s/margins", names[c]);
        const float *got = tap_lens_ranks(g->lens, 0, c);
        const int64_t n = tap_tensor_count(want);
        assert_int_equal(n, tap_lens_n_depths(g->lens) * g->scene.sequence.n_image *
                                n_labels);
        for (int64_t i = 0; i < n; i++) {
            float rank, gap;
            tap_widen(&rank, want, i, 1);
            tap_widen(&gap, margin, i, 1);
            if (gap > 1e-3F)
                assert_true(got[i] >= rank && got[i] <= rank);
            else
                close++;
        }
    }
    return close;
}

static void run_checkpoint(const char *folder, const tap_kernels *kernels)
{
    golden g = {0};
    tap_error err;
    char path[96];
    check(tap_model_open(&g.model, folder, &err), &err);
    (void)snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    check(tap_safetensors_open(&g.expected, path, &err), &err);
    const char *prompt = tap_safetensors_metadata(g.expected, "prompt");
    check(tap_scene_open(&g.scene, g.model, FOLDER "photo.png", prompt, &err), &err);
    check_input(&g);
    compile_all(&g);

    const tap_tensor *ids = golden_find(g.expected, "labels");
    int32_t labels[16];
    const int64_t n_labels = tap_tensor_count(ids);
    assert_true(n_labels <= 16);
    for (int64_t i = 0; i < n_labels; i++)
        memcpy(&labels[i],
               (const unsigned char *)ids->bytes +
                   (size_t)i * tap_dtype_bytes(ids->dtype),
               sizeof *labels);
    const uint64_t depths = UINT64_MAX;
    const int64_t *rows = g.scene.image_rows, n_rows = g.scene.sequence.n_image;
    const tap_lens_spec spec = {.labels = labels,
                                .n_labels = n_labels,
                                .depths = &depths,
                                .rows = &rows,
                                .n_rows = &n_rows};
    check(tap_lens_open(&g.lens, g.model, kernels, 2, &spec, 1, N_CONDITIONS, &err),
          &err);
    tap_wanted wanted = {0};
    want_all(&wanted, &g);
    const tap_plan *plans[N_CONDITIONS];
    memcpy(plans, g.plans, sizeof plans);
    const tap_item item = {
        .pixels = &g.scene.pixels, .sequence = &g.scene.sequence, .plans = plans};
    const tap_sink sink = {.owner = &g, .wanted = &wanted, .put = put};
    const tap_run_options options = {
        .kernels = kernels, .n_threads = 2, .all_rows = true};
    check(tap_run(NULL, g.model, &item, 1, N_CONDITIONS, &options, &sink, &err), &err);
    tap_lens_flush(g.lens);

    const int n_stages = g.model->spec.vision.n_blocks_read + 1 +
                         g.model->spec.lm.stack.n_blocks + 1 + 3;
    assert_int_equal(g.compared, n_stages * N_CONDITIONS);
    const int close = check_ranks(&g, n_labels);
    print_message(
        "%s, %s: %d stages, largest error %.2g of the rms, %d ranks too close to "
        "compare\n",
        folder, kernels->name, g.compared, g.worst, close);
    for (int c = 0; c < N_CONDITIONS; c++)
        tap_plan_free(g.plans[c]);
    tap_groups_clear(&g.groups);
    tap_scene_clear(&g.scene);
    tap_lens_close(g.lens);
    tap_safetensors_close(g.expected);
    tap_model_close(g.model);
}

static void multi_head_f32_new_names(void **state)
{
    (void)state;
    run_checkpoint(FOLDER "mha", tap_kernels_cpu());
    run_checkpoint(FOLDER "mha", &tap_kernels_ref);
}

static void grouped_query_bf16_old_names_shards_tied_head(void **state)
{
    (void)state;
    run_checkpoint(FOLDER "gqa", tap_kernels_cpu());
    run_checkpoint(FOLDER "gqa", &tap_kernels_ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multi_head_f32_new_names),
        cmocka_unit_test(grouped_query_bf16_old_names_shards_tied_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every family stage by stage against the reference implementation: tiny checkpoints in the
 * layout that users have, two pictures, clean and under cuts, and the answer to one. Bound:
 * the largest error of a stage is at most 1e-4 of its rms; ids and pixels are equal. Of a
 * state sixteen rows are compared, of pixels every seventh line. Lines that begin with "parity"
 * are the table of docs/parity.md (tools/parity_table). tools/make_family_golden.py made the
 * vectors. */
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
#include "model/generate.h"
#include "read/group.h"

#define FOLDER "tests/golden/families/"

static const char *const condition_names[] = {"clean", "encoder", "decoder"};

enum { N_CONDITIONS = 3, N_STAGES = 7, N_ROWS = 16, LINE_STEP = 7, N_NEW = 6 };

static const char *const stage_names[N_STAGES] = {
    "vision depths", "features", "projector", "decoder depths",
    "logits",        "pixels",   "answer"};

typedef struct golden {
    const char *family, *picture;
    tap_model *model;
    tap_safetensors *expected;
    tap_scene scene;
    int compared[N_STAGES];
    double worst[N_STAGES];
} golden;

static const tap_tensor *find(const golden *g, const char *condition, const char *name)
{
    return golden_find(g->expected, "%s/%s%s%s", g->picture, condition,
                       condition[0] ? "/" : "", name);
}

/* Row k of those that are kept of n. */
static int64_t kept_row(int64_t k, int64_t n)
{
    return n > N_ROWS ? k * (n - 1) / (N_ROWS - 1) : k;
}

/* values [n_rows][d] against the rows of them that are kept. */
static void compare(golden *g, int stage, const char *name, const tap_tensor *want,
                    const float *values, int64_t n_rows, int64_t d)
{
    const int64_t n_kept = n_rows < N_ROWS ? n_rows : N_ROWS;
    if (tap_tensor_count(want) != n_kept * d)
        print_error("%s: %lld rows of %lld, expected %lld values\n", name,
                    (long long)n_kept, (long long)d, (long long)tap_tensor_count(want));
    assert_int_equal(tap_tensor_count(want), n_kept * d);
    double rms = 0.0, worst = 0.0;
    for (int64_t i = 0; i < n_kept * d; i++) {
        const int64_t row = kept_row(i / d, n_rows);
        float exact;
        tap_widen(&exact, want, i, 1);
        rms += (double)exact * (double)exact;
        worst = fmax(worst, fabs((double)values[row * d + i % d] - (double)exact));
    }
    const double error = worst / sqrt(rms / (double)(n_kept * d));
    if (!(error <= 1e-4))
        print_error("%s %s %s: error %g of the rms\n", g->family, g->picture, name,
                    error);
    assert_true(error <= 1e-4);
    g->worst[stage] = fmax(g->worst[stage], error);
    g->compared[stage]++;
}

/* The golden name of a state, and the line of the table that it belongs to. */
static int name_of(char out[48], const golden *g, const tap_state *s)
{
    const bool vision = s->stack == TAP_VISION;
    const int n =
        vision ? g->model->spec.vision.n_blocks_read : g->model->spec.lm.stack.n_blocks;
    if (s->block >= 0) {
        (void)snprintf(out, 48, "%s.depth.%d", vision ? "vision" : "lm",
                       s->site == TAP_SITE_RESID_PRE ? s->block : n);
        return vision ? 0 : 3;
    }
    (void)snprintf(out, 48, "%s", tap_site_about(s->site)->name);
    return s->site == TAP_SITE_FEATURES ? 1 : s->site == TAP_SITE_LOGITS ? 4 : 2;
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    golden *g = owner;
    char name[48];
    const int stage = name_of(name, g, state);
    for (int64_t c = 0; c < state->n_conditions; c++) {
        const tap_tensor *want = find(g, condition_names[state->conditions[c]], name);
        if (want)
            compare(g, stage, name, want, state->values, state->n_rows, state->d);
    }
    return TAP_OK;
}

static void want_all(tap_wanted *wanted, const golden *g)
{
    const tap_spec *spec = &g->model->spec;
    const int n[] = {spec->vision.n_blocks_read, spec->lm.stack.n_blocks};
    wanted->once[TAP_SITE_FEATURES] = wanted->once[TAP_SITE_PROJECTOR_OUT] = true;
    wanted->once[TAP_SITE_LOGITS] = n[TAP_LM] > 0;
    for (int s = 0; s < TAP_N_STACKS; s++) {
        for (int b = 0; b < n[s]; b++)
            tap_bits_set(wanted->blocks[s][TAP_SITE_RESID_PRE], b);
        if (n[s] > 0)
            tap_bits_set(wanted->blocks[s][TAP_SITE_RESID_POST], n[s] - 1);
    }
}

/* Every seventh line is the reference's own, in every bit unless the family's thumbnail is
 * interpolated in floats. */
static void check_pixels(golden *g)
{
    const tap_pixels *p = &g->scene.pixels;
    const tap_tensor *want = find(g, "", "pixels");
    const int64_t side = p->side_px, n_lines = (side + LINE_STEP - 1) / LINE_STEP;
    const bool floats = g->model->spec.preprocess.fit == TAP_FIT_HD;
    const int64_t n = p->n_tiles * 3 * n_lines;
    assert_int_equal(tap_tensor_count(want), n * side);
    float *lines = NULL;
    tap_error err;
    check(tap_alloc(&lines, (size_t)n, (size_t)side * sizeof *lines, "a test", &err),
          &err);
    for (int64_t i = 0; i < n; i++)
        memcpy(lines + i * side,
               p->values + (i / n_lines * side + i % n_lines * LINE_STEP) * side,
               (size_t)side * sizeof *lines);
    const int64_t n_loose = floats ? 3 * n_lines : 0; /* the thumbnail is first */
    for (int64_t i = 0; i < n_loose; i++) {
        tap_tensor line = *want;
        line.bytes = (const float *)want->bytes + i * side;
        line.n_dims = 1;
        line.shape[0] = side;
        compare(g, 5, "pixels", &line, lines + i * side, 1, side);
    }
    assert_memory_equal(lines + n_loose * side,
                        (const float *)want->bytes + n_loose * side,
                        (size_t)((n - n_loose) * side) * sizeof *lines);
    tap_free(lines);
}

/* ids are the reference's own. */
static void check_input(golden *g)
{
    const tap_sequence *s = &g->scene.sequence;
    const tap_tensor *ids = find(g, "", "ids");
    assert_true(ids || s->n_tok == 0);
    if (ids)
        assert_int_equal(tap_tensor_count(ids), s->n_tok);
    for (int64_t t = 0; ids && t < s->n_tok; t++) {
        int32_t id;
        memcpy(&id, (const unsigned char *)ids->bytes + (size_t)t * sizeof id,
               sizeof id);
        if (s->tokens[t].feature >= 0 && id < 0)
            continue; /* image rows have no word there */
        assert_int_equal(s->ids[t], id);
    }
    check_pixels(g);
}

static void run_picture(golden *g, const tap_kernels *kernels)
{
    tap_error err;
    char path[128];
    const char *prompt = tap_safetensors_metadata(g->expected, "prompt");
    tap_groups groups = {0};
    tap_plan *plans[N_CONDITIONS] = {NULL};
    const tap_plan *borrowed[N_CONDITIONS];
    const bool whole = strcmp(g->picture, "whole") == 0;
    (void)snprintf(path, sizeof path, FOLDER "%s.png", whole ? "wide" : g->picture);
    check(tap_scene_open(&g->scene, g->model, path, prompt, &err), &err);
    check_input(g);
    const tap_group_input input = {.scene = &g->scene, .threshold = 0.5};
    check(tap_group_compile(&groups, &input, &err), &err);
    int64_t n_conditions = 0;
    for (int c = 0; c < N_CONDITIONS; c++) {
        const char *text = golden_condition(g->expected, condition_names[c]);
        if (!text)
            break;
        plans[c] = golden_plan(g->model, &groups, text);
        borrowed[n_conditions++] = plans[c];
    }
    tap_wanted wanted = {0};
    want_all(&wanted, g);
    const tap_item item = {
        .pixels = &g->scene.pixels, .sequence = &g->scene.sequence, .plans = borrowed};
    const tap_sink sink = {.owner = g, .wanted = &wanted, .put = put};
    const tap_run_options options = {
        .kernels = kernels, .n_threads = 2, .all_rows = true};
    check(tap_run(NULL, g->model, &item, 1, n_conditions, &options, &sink, &err), &err);
    for (int c = 0; c < N_CONDITIONS; c++)
        tap_plan_free(plans[c]);
    tap_groups_clear(&groups);
    tap_scene_clear(&g->scene);
}

/* The greedy answer, with keys and values kept. */
static void check_answer(golden *g, const char *prompt)
{
    const int64_t n = g->model->spec.lm.d_vocab;
    const int64_t at = tap_safetensors_find(g->expected, "answer/ids");
    const int64_t logits_at = tap_safetensors_find(g->expected, "answer/logits");
    assert_true(at >= 0 && logits_at >= 0);
    tap_scene scene;
    tap_decoder *decoder = NULL;
    tap_choice *scratch = NULL;
    tap_error err;
    check(tap_scene_open(&scene, g->model, FOLDER "wide.png", prompt, &err), &err);
    check(tap_sequence_extend(&scene.sequence, N_NEW, &err), &err);
    const tap_plan *plan = NULL;
    const tap_item item = {
        .pixels = &scene.pixels, .sequence = &scene.sequence, .plans = &plan};
    const tap_run_options options = {.n_threads = 2};
    check(tap_alloc(&scratch, (size_t)n, sizeof *scratch, "a test", &err), &err);
    check(tap_decoder_open(&decoder, g->model, &item, 1, &options, &err), &err);
    for (int64_t t = 0; t < N_NEW; t++) {
        const float *found = tap_decoder_logits(decoder);
        tap_tensor row = *tap_safetensors_tensor(g->expected, logits_at);
        int32_t id = 0, want = 0;
        row.bytes = (const float *)row.bytes + t * n;
        row.shape[0] = 1;
        compare(g, 6, "answer", &row, found, 1, n);
        check(tap_sample(&id, &(tap_sampling){0}, found, scratch, n, t, &err), &err);
        memcpy(&want,
               (const unsigned char *)tap_safetensors_tensor(g->expected, at)->bytes +
                   (size_t)t * sizeof want,
               sizeof want);
        assert_int_equal(id, want);
        if (t + 1 < N_NEW)
            check(tap_decoder_step(decoder, id, &err), &err);
    }
    tap_decoder_close(decoder);
    tap_free(scratch);
    tap_scene_clear(&scene);
}

static void run_family(const char *family)
{
    static const char *const pictures[] = {"wide", "tall"};
    const tap_kernels *tables[] = {tap_kernels_cpu(), &tap_kernels_ref};
    golden g = {.family = family};
    tap_error err;
    char path[128];
    (void)snprintf(path, sizeof path, FOLDER "%s", family);
    check(tap_model_open(&g.model, path, &err), &err);
    (void)snprintf(path, sizeof path, FOLDER "%s/expected.safetensors", family);
    check(tap_safetensors_open(&g.expected, path, &err), &err);
    for (int k = 0; k < 2; k++)
        for (int p = 0; p < 2; p++) {
            g.picture = pictures[p];
            run_picture(&g, tables[k]);
        }
    const tap_spec *spec = &g.model->spec;
    /* clean and each cut of one picture, clean of the other, on two tables */
    const bool decoder = spec->lm.stack.n_blocks > 0;
    const int n_cuts = decoder ? 2 : 1;
    assert_int_equal(g.compared[0], 2 * (spec->vision.n_blocks_read + 1 + n_cuts));
    assert_true(g.compared[2] > 0);
    if (decoder) {
        assert_int_equal(g.compared[3], 2 * (spec->lm.stack.n_blocks + 1 + 2 + 1));
        assert_int_equal(g.compared[4], 2 * (3 + 1));
        check_answer(&g, tap_safetensors_metadata(g.expected, "prompt"));
        assert_int_equal(g.compared[6], N_NEW);
    }
    for (int s = 0; s < N_STAGES; s++)
        if (g.compared[s] > 0)
            print_message("parity | %s | %s | %d | %.1e\n", family, stage_names[s],
                          g.compared[s], g.worst[s]);
    tap_safetensors_close(g.expected);
    tap_model_close(g.model);
}

static void llava_next(void **state)
{
    (void)state;
    run_family("llava-next");
}

static void llava_next_mistral_shards_and_other_files(void **state)
{
    (void)state;
    run_family("llava-next-mistral");
}

static void llava_next_llama_3_byte_level_and_scaled_angles(void **state)
{
    (void)state;
    run_family("llava-next-llama-3");
}

static void llava_next_yi(void **state)
{
    (void)state;
    run_family("llava-next-yi");
}

static void llava_onevision(void **state)
{
    (void)state;
    run_family("llava-onevision");
}

static void smolvlm(void **state)
{
    (void)state;
    run_family("smolvlm");
}

static void idefics3_one_tile(void **state)
{
    (void)state;
    run_family("idefics3");
}

static void phi_3_vision_short_and_long_factors(void **state)
{
    (void)state;
    run_family("phi-3-vision");
}

/* The picture in one tile, as "grids": null and (version 1) "pad" have it: one group. */
static void run_whole(const char *family)
{
    golden g = {.family = family, .picture = "whole"};
    tap_error err;
    char path[128];
    (void)snprintf(path, sizeof path, FOLDER "%s", family);
    check(tap_model_open(&g.model, path, &err), &err);
    g.model->spec.preprocess.fit = TAP_FIT_SQUASH;
    (void)snprintf(path, sizeof path, FOLDER "%s/expected.safetensors", family);
    check(tap_safetensors_open(&g.expected, path, &err), &err);
    run_picture(&g, tap_kernels_cpu());
    assert_int_equal(g.compared[3], 1);
    assert_int_equal(g.compared[4], 1);
    tap_safetensors_close(g.expected);
    tap_model_close(g.model);
}

static void xgen_mm_perceiver_and_two_vocabularies(void **state)
{
    (void)state;
    run_family("xgen-mm");
    run_whole("xgen-mm");
}

static void xgen_mm_1_latents_that_read_the_prompt(void **state)
{
    (void)state;
    run_family("xgen-mm-1");
    run_whole("xgen-mm-1");
}

static void prismatic_from_a_torch_file(void **state)
{
    (void)state;
    run_family("prismatic");
}

static void clip_alone(void **state)
{
    (void)state;
    run_family("clip");
}

static void open_clip_alone(void **state)
{
    (void)state;
    run_family("open_clip");
}

static void siglip_alone(void **state)
{
    (void)state;
    run_family("siglip");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llava_next),
        cmocka_unit_test(llava_next_mistral_shards_and_other_files),
        cmocka_unit_test(llava_next_llama_3_byte_level_and_scaled_angles),
        cmocka_unit_test(llava_next_yi),
        cmocka_unit_test(llava_onevision),
        cmocka_unit_test(smolvlm),
        cmocka_unit_test(idefics3_one_tile),
        cmocka_unit_test(phi_3_vision_short_and_long_factors),
        cmocka_unit_test(xgen_mm_perceiver_and_two_vocabularies),
        cmocka_unit_test(xgen_mm_1_latents_that_read_the_prompt),
        cmocka_unit_test(prismatic_from_a_torch_file),
        cmocka_unit_test(clip_alone),
        cmocka_unit_test(open_clip_alone),
        cmocka_unit_test(siglip_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

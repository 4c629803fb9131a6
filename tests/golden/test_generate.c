/* Answers against transformers' own generate: tokens equal, logits of each step within 1e-4
 * of their rms, clean and under cuts of the answer's and the question's rows. And the cached
 * way against a run over the whole sequence: the same bits.
 * tools/make_generate_golden.py made the vectors. */
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

#define FOLDER "tests/golden/llava/"

enum { N_NEW = 12, N_CONDITIONS = 4 };

typedef struct golden {
    tap_model *model;
    tap_safetensors *expected;
    tap_scene scene;
    tap_groups groups;
    double worst;
    int n_compared;
} golden;

static void compare(golden *g, const tap_tensor *want, int64_t row, const float *logits)
{
    const int64_t n = g->model->spec.lm.d_vocab;
    g->worst = fmax(g->worst, golden_error("logits", want, row * n, n, logits));
    g->n_compared++;
}

/* Logits behind row n_rows - 1 by a run over all rows. */
static tap_status keep(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    memcpy(owner, state->values + (state->n_rows - 1) * state->d,
           (size_t)state->d * sizeof(float));
    return TAP_OK;
}

static void run_whole(float *logits, const golden *g, const tap_plan *plan,
                      int64_t n_rows, int n_threads)
{
    const int64_t last = n_rows - 1;
    const tap_item item = {.pixels = &g->scene.pixels,
                           .sequence = &g->scene.sequence,
                           .plans = &plan,
                           .read = &last,
                           .n_read = 1};
    const tap_wanted wanted = {.once = {[TAP_SITE_LOGITS] = true}};
    const tap_sink sink = {.owner = logits, .wanted = &wanted, .put = keep};
    const tap_run_options options = {.n_threads = n_threads};
    tap_error err;
    check(tap_run(NULL, g->model, &item, 1, 1, &options, &sink, &err), &err);
}

static void follow(golden *g, const char *name, const tap_plan *plan,
                   tap_decoder *decoder, int n_threads)
{
    const tap_tensor *ids = golden_find(g->expected, "%s/ids", name);
    const tap_tensor *logits = golden_find(g->expected, "%s/logits", name);
    assert_non_null(ids);
    const int64_t d_vocab = g->model->spec.lm.d_vocab;
    const int64_t n_prompt = g->scene.sequence.n_tok - N_NEW;
    float *whole = NULL;
    tap_choice *scratch = NULL;
    tap_error err;
    check(tap_alloc(&whole, (size_t)d_vocab, sizeof *whole, "a test", &err), &err);
    check(tap_alloc(&scratch, (size_t)d_vocab, sizeof *scratch, "a test", &err), &err);
    for (int64_t t = 0; t < N_NEW; t++) {
        const float *found = tap_decoder_logits(decoder);
        int32_t id = 0, want = 0;
        compare(g, logits, t, found);
        run_whole(whole, g, plan, n_prompt + t, n_threads);
        assert_memory_equal(found, whole, (size_t)d_vocab * sizeof *whole);
        check(tap_sample(&id, &(tap_sampling){0}, found, scratch, d_vocab, t, &err),
              &err);
        memcpy(&want, (const unsigned char *)ids->bytes + (size_t)t * sizeof want,
               sizeof want);
        assert_int_equal(id, want);
        g->scene.sequence.ids[n_prompt + t] = id; /* for the whole run */
        if (t + 1 < N_NEW)
            check(tap_decoder_step(decoder, id, &err), &err);
    }
    const tap_head_receipt receipt = tap_decoder_receipt(decoder);
    assert_true(receipt.allowed > 0);
    if (strcmp(name, "gen") == 0) /* every edge from the answer to the image */
        assert_int_equal(receipt.cut, (N_NEW - 1) * g->scene.sequence.n_image *
                                          g->model->spec.lm.stack.n_heads *
                                          g->model->spec.lm.stack.n_blocks);
    if (strcmp(name, "clean") == 0)
        assert_int_equal(receipt.cut, 0);
    tap_free(whole);
    tap_free(scratch);
}

/* Edits of generated rows act one row at a time as they do on the whole sequence. */
static void edit_answer(golden *g, const char *text)
{
    const int64_t n_prompt = g->scene.sequence.n_tok - N_NEW,
                  n = g->model->spec.lm.d_vocab;
    tap_plan *plan = golden_plan(g->model, &g->groups, text);
    tap_decoder *decoder = NULL;
    float *whole = NULL;
    tap_error err;
    check(tap_alloc(&whole, (size_t)n, sizeof *whole, "a test", &err), &err);
    const tap_run_options options = {.n_threads = 1};
    tap_item item = {.pixels = &g->scene.pixels,
                     .sequence = &g->scene.sequence,
                     .plans = (const tap_plan *const *)&plan};
    check(tap_decoder_open(&decoder, g->model, &item, 1, &options, &err), &err);
    int differs = 0;
    for (int64_t t = 0; t < 6; t++) {
        const int32_t id = 30 + 7 * (int32_t)t;
        run_whole(whole, g, plan, n_prompt + t, 2);
        assert_memory_equal(tap_decoder_logits(decoder), whole,
                            (size_t)n * sizeof *whole);
        run_whole(whole, g, NULL, n_prompt + t, 1);
        differs +=
            memcmp(tap_decoder_logits(decoder), whole, (size_t)n * sizeof *whole) != 0;
        g->scene.sequence.ids[n_prompt + t] = id;
        check(tap_decoder_step(decoder, id, &err), &err);
    }
    assert_int_equal(differs, 6);
    tap_decoder_close(decoder);
    tap_plan_free(plan);
    tap_free(whole);
}

static void refuse_edit(golden *g, const char *text, const char *message)
{
    tap_plan *plan = golden_plan(g->model, &g->groups, text);
    tap_decoder *decoder = NULL;
    tap_error err;
    const tap_run_options options = {.n_threads = 1};
    const tap_item item = {.pixels = &g->scene.pixels,
                           .sequence = &g->scene.sequence,
                           .plans = (const tap_plan *const *)&plan};
    assert_int_equal(tap_decoder_open(&decoder, g->model, &item, 1, &options, &err),
                     TAP_EUNSUPPORTED);
    assert_null(decoder);
    assert_string_equal(err.message, message);
    tap_plan_free(plan);
}

static void edit_answers(golden *g)
{
    edit_answer(g, "lm[1]: zero gen at mlp_out; lm: noise(0.3,2) gen; lm[2].h[1]: "
                   "zero gen|question; lm[0]: gen <- image scale 0.5");
    /* what they read of the prompt stands as it did before the site was edited */
    edit_answer(g, "lm[0]: mean gen|question at attn_out; lm[1].h[2]: copy(image) gen; "
                   "lm[1]: mean(question) gen|image at mlp_in; lm: copy(question) gen; "
                   "lm[2]: scramble(3) gen; lm[1]: zero gen at resid_post");
    refuse_edit(
        g, "lm[1]: permute(4) all",
        "'permute' of generated tokens at lm.1.resid_pre: a permutation needs all "
        "its rows at once, and these come one after another; leave them out of "
        "the group with '-gen'");
    refuse_edit(
        g, "lm: copy(gen) gen",
        "'copy' of generated tokens at lm.embed: it reads generated tokens, which "
        "are not there yet when the first is edited; read the prompt, as in "
        "mean(image), or leave them out of the group with '-gen'");
    refuse_edit(
        g, "lm[0]: patch(clean) all",
        "'patch' of generated tokens at lm.0.resid_pre: another run writes other "
        "words, so its rows are not theirs; leave them out of the group with "
        "'-gen'");
}

static void run_checkpoint(const char *folder)
{
    static const char *const names[N_CONDITIONS] = {"clean", "gen", "both", "scale"};
    golden g = {0};
    tap_error err;
    char path[96];
    check(tap_model_open(&g.model, folder, &err), &err);
    (void)snprintf(path, sizeof path, "%s/generate.safetensors", folder);
    check(tap_safetensors_open(&g.expected, path, &err), &err);
    check(tap_scene_open(&g.scene, g.model, FOLDER "photo.png",
                         tap_safetensors_metadata(g.expected, "prompt"), &err),
          &err);
    check(tap_sequence_extend(&g.scene.sequence, N_NEW, &err), &err);
    const tap_group_input input = {.scene = &g.scene, .threshold = 0.5};
    check(tap_group_compile(&g.groups, &input, &err), &err);
    tap_plan *plans[N_CONDITIONS];
    tap_decoder *decoders[N_CONDITIONS];
    for (int c = 0; c < N_CONDITIONS; c++)
        plans[c] =
            golden_plan(g.model, &g.groups, golden_condition(g.expected, names[c]));
    const tap_item item = {.pixels = &g.scene.pixels,
                           .sequence = &g.scene.sequence,
                           .plans = (const tap_plan *const *)plans};
    const tap_run_options options = {.n_threads = 2};
    check(tap_decoder_open(decoders, g.model, &item, N_CONDITIONS, &options, &err),
          &err);
    for (int c = 0; c < N_CONDITIONS; c++) {
        follow(&g, names[c], plans[c], decoders[c], 1 + c % 2);
        tap_decoder_close(decoders[c]);
    }
    for (int c = 0; c < N_CONDITIONS; c++)
        tap_plan_free(plans[c]);
    edit_answers(&g);
    print_message("%s: %d tokens equal, largest error of logits %.2g of the rms; "
                  "cached and uncached bits equal\n",
                  folder, g.n_compared, g.worst);
    assert_int_equal(g.n_compared, N_CONDITIONS * N_NEW);
    tap_groups_clear(&g.groups);
    tap_scene_clear(&g.scene);
    tap_safetensors_close(g.expected);
    tap_model_close(g.model);
}

static void multi_head_answers_are_the_reference_ones(void **state)
{
    (void)state;
    run_checkpoint(FOLDER "mha");
}

static void grouped_query_answers_are_the_reference_ones(void **state)
{
    (void)state;
    run_checkpoint(FOLDER "gqa");
}

/* Tiles, scaled rotation, grouped queries: what differs between families is in the rows that
 * are cached, so an added row has the bits of a whole run in each of them. */
static void every_family_adds_rows_with_the_bits_of_a_whole_run(void **state)
{
    static const char *const families[] = {
        "llava-next",   "llava-next-mistral", "llava-onevision",
        "phi-3-vision", "idefics3",           "smolvlm",
        "xgen-mm",      "xgen-mm-1",          "prismatic"};
    static const char *const texts[] = {"", "lm: gen|question <- image"};

    enum { N_STEPS = 4 };

    (void)state;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        golden g = {0};
        tap_error err;
        char path[96];
        (void)snprintf(path, sizeof path, "tests/golden/families/%s", families[f]);
        check(tap_model_open(&g.model, path, &err), &err);
        check(tap_scene_open(&g.scene, g.model, "tests/golden/families/wide.png", NULL,
                             &err),
              &err);
        check(tap_sequence_extend(&g.scene.sequence, N_STEPS, &err), &err);
        const tap_group_input input = {.scene = &g.scene, .threshold = 0.5};
        check(tap_group_compile(&g.groups, &input, &err), &err);
        tap_plan *plans[] = {golden_plan(g.model, &g.groups, texts[0]),
                             golden_plan(g.model, &g.groups, texts[1])};
        tap_decoder *decoders[2];
        const tap_item item = {.pixels = &g.scene.pixels,
                               .sequence = &g.scene.sequence,
                               .plans = (const tap_plan *const *)plans};
        const tap_run_options options = {.n_threads = 2};
        check(tap_decoder_open(decoders, g.model, &item, 2, &options, &err), &err);
        const int64_t d_vocab = g.model->spec.lm.d_vocab;
        const int64_t n_prompt = g.scene.sequence.n_tok - N_STEPS;
        float *whole = NULL;
        check(tap_alloc(&whole, (size_t)d_vocab, sizeof *whole, "a test", &err), &err);
        for (int c = 0; c < 2; c++) {
            for (int64_t t = 0; t <= N_STEPS; t++) {
                const float *found = tap_decoder_logits(decoders[c]);
                run_whole(whole, &g, plans[c], n_prompt + t, 1);
                assert_memory_equal(found, whole, (size_t)d_vocab * sizeof *whole);
                if (t == N_STEPS)
                    break;
                const int32_t id = (int32_t)(7 + 31 * t + c);
                g.scene.sequence.ids[n_prompt + t] = id;
                check(tap_decoder_step(decoders[c], id, &err), &err);
            }
            tap_decoder_close(decoders[c]);
            tap_plan_free(plans[c]);
        }
        tap_free(whole);
        tap_groups_clear(&g.groups);
        tap_scene_clear(&g.scene);
        tap_model_close(g.model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multi_head_answers_are_the_reference_ones),
        cmocka_unit_test(grouped_query_answers_are_the_reference_ones),
        cmocka_unit_test(every_family_adds_rows_with_the_bits_of_a_whole_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

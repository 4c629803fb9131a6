/* Every readout beside the plain lens against the reference implementation, on two tiny
 * checkpoints: scores within 1e-4 of their rms, ranks equal wherever the logits that decide
 * them lie more than 1e-3 apart. tools/make_readout_golden.py made the vectors. */
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
#include "read/source.h"

#define FOLDER "tests/golden/llava/"

enum { MAX_WORDS = 16, N_TOP = 5 };

typedef struct golden {
    tap_model *model;
    tap_safetensors *expected;
    tap_translator *translator;
    tap_scene scene;
    tap_spelling labels[MAX_WORDS], words[MAX_WORDS];
    int64_t n_labels, n_words;
    int32_t label_ids[MAX_WORDS], piece_ids[MAX_WORDS];
    float *embed_scale;
    double worst;
    int close; /* ranks that the margin leaves out */
} golden;

static const tap_tensor *find(const golden *g, const char *name)
{
    const tap_tensor *t = golden_find(g->expected, "%s", name);
    if (!t)
        fail_msg("no %s", name);
    return t;
}

static int64_t ids_of(int32_t *out, const golden *g, const char *name)
{
    const tap_tensor *t = find(g, name);
    const int64_t n = tap_tensor_count(t);
    assert_true(n <= MAX_WORDS && tap_dtype_bytes(t->dtype) == sizeof *out);
    memcpy(out, t->bytes, (size_t)n * sizeof *out);
    return n;
}

static void compare(golden *g, const char *name, const float *values)
{
    const tap_tensor *want = find(g, name);
    g->worst =
        fmax(g->worst, golden_error(name, want, 0, tap_tensor_count(want), values));
}

/* R/scores and R/ranks against what the lens has. */
static void compare_ranks(golden *g, const char *readout, const tap_lens *lens)
{
    char name[48];
    (void)snprintf(name, sizeof name, "%s/scores", readout);
    compare(g, name, tap_lens_scores(lens, 0, 0));
    (void)snprintf(name, sizeof name, "%s/ranks", readout);
    const tap_tensor *want = find(g, name);
    (void)snprintf(name, sizeof name, "%s/margins", readout);
    const tap_tensor *margin = find(g, name);
    const float *ranks = tap_lens_ranks(lens, 0, 0);
    for (int64_t i = 0; i < tap_tensor_count(want); i++) {
        float rank, gap;
        tap_widen(&rank, want, i, 1);
        tap_widen(&gap, margin, i, 1);
        if (gap > 1e-3F && !(ranks[i] >= rank && ranks[i] <= rank))
            print_error("%s %lld: rank %g, expected %g\n", readout, (long long)i,
                        (double)ranks[i], (double)rank);
        assert_true(gap <= 1e-3F || (ranks[i] >= rank && ranks[i] <= rank));
        g->close += gap <= 1e-3F;
    }
}

/* The five words on top of every row, and the softmax sums. */
static void compare_top(golden *g, const tap_lens *lens)
{
    const float *logits = NULL;
    const int32_t *ids = tap_lens_top(&logits, lens, 0, 0);
    const tap_tensor *want = find(g, "top/ids"), *z = find(g, "top/logits");
    compare(g, "top/logits", logits);
    compare(g, "log_sums", tap_lens_log_sums(lens, 0, 0));
    int compared = 0;
    for (int64_t i = 0; i + 1 < tap_tensor_count(want); i++) {
        float own, next;
        int32_t id;
        tap_widen(&own, z, i, 1);
        tap_widen(&next, z, i + 1, 1);
        memcpy(&id, (const unsigned char *)want->bytes + (size_t)i * sizeof id,
               sizeof id);
        if (i % N_TOP == 0 && own - next > 1e-3F) {
            assert_int_equal(ids[i], id);
            compared++;
        }
    }
    assert_true(compared > 20);
}

typedef struct watch {
    tap_source *source;
    tap_lens *lens;
} watch;

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    const watch *w = owner;
    return w->source ? tap_source_put(w->source, &w->lens, 1, state, err)
                     : tap_lens_put(w->lens, state, err);
}

/* Runs one readout and compares it. */
static void run(golden *g, const char *name, tap_readout readout, tap_lens_spec spec)
{
    tap_error err;
    const tap_kernels *kernels = tap_kernels_cpu();
    const int64_t *rows = g->scene.image_rows, n_rows = g->scene.sequence.n_image;
    const uint64_t depths = UINT64_MAX;
    const tap_plan *clean = NULL;
    const tap_item item = {
        .pixels = &g->scene.pixels, .sequence = &g->scene.sequence, .plans = &clean};
    const bool translated = strcmp(name, "tuned") == 0;
    const bool watches = readout == TAP_READOUT_RESID && !translated;
    watch w = {0};
    tap_wanted wanted = {0};
    spec.depths = &depths;
    spec.rows = &rows;
    spec.n_rows = &n_rows;
    spec.n_states = watches ? 0 : tap_source_n_states(g->model, readout);
    check(tap_lens_open(&w.lens, g->model, kernels, 2, &spec, 1, 1, &err), &err);
    if (watches) {
        tap_lens_want(&wanted, w.lens);
    } else {
        const tap_source_spec source = {.readout = readout,
                                        .model = g->model,
                                        .kernels = kernels,
                                        .n_threads = 2,
                                        .translator = translated ? g->translator : NULL,
                                        .items = &item,
                                        .n_items = 1,
                                        .rows = &rows,
                                        .n_rows = &n_rows};
        check(tap_source_open(&w.source, &source, &err), &err);
        tap_source_want(&wanted, &source);
    }
    const tap_sink sink = {.owner = &w, .wanted = &wanted, .put = put};
    const tap_run_options options = {.kernels = kernels, .n_threads = 2};
    check(tap_run(NULL, g->model, &item, 1, 1, &options, &sink, &err), &err);
    tap_lens_flush(w.lens);
    compare_ranks(g, name, w.lens);
    if (spec.n_top)
        compare_top(g, w.lens);
    tap_source_close(w.source);
    tap_lens_close(w.lens);
}

static void open_golden(golden *g, const char *folder)
{
    tap_error err;
    char path[96];
    int32_t sizes[MAX_WORDS];
    memset(g, 0, sizeof *g);
    check(tap_model_open(&g->model, folder, &err), &err);
    (void)snprintf(path, sizeof path, "%s/readouts.safetensors", folder);
    check(tap_safetensors_open(&g->expected, path, &err), &err);
    const tap_spec *spec = &g->model->spec;
    (void)snprintf(path, sizeof path, "%s/translator.safetensors", folder);
    check(tap_translator_open(&g->translator, path, spec->lm.stack.d_model,
                              spec->lm.stack.n_blocks, &err),
          &err);
    const char *prompt = tap_safetensors_metadata(g->expected, "prompt");
    check(tap_scene_open(&g->scene, g->model, FOLDER "photo.png", prompt, &err), &err);
    tap_safetensors *first = NULL;
    (void)snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    check(tap_safetensors_open(&first, path, &err), &err);
    const tap_tensor *ids =
        tap_safetensors_tensor(first, tap_safetensors_find(first, "labels"));
    g->n_labels = tap_tensor_count(ids);
    memcpy(g->label_ids, ids->bytes, (size_t)g->n_labels * sizeof(int32_t));
    tap_safetensors_close(first);
    for (int64_t i = 0; i < g->n_labels; i++)
        g->labels[i] = (tap_spelling){&g->label_ids[i], 1};
    (void)ids_of(g->piece_ids, g, "words");
    g->n_words = ids_of(sizes, g, "sizes");
    for (int64_t i = 0, at = 0; i < g->n_words; at += sizes[i], i++)
        g->words[i] = (tap_spelling){&g->piece_ids[at], sizes[i]};
    float row[64];
    assert_true(spec->lm.stack.d_model <= 64);
    check(tap_alloc(&g->embed_scale, (size_t)spec->lm.d_vocab, sizeof(float), "a test",
                    &err),
          &err);
    tap_vocab_inverse_norms(g->embed_scale, &g->model->embed, row);
}

static void close_golden(golden *g)
{
    tap_free(g->embed_scale);
    tap_scene_clear(&g->scene);
    tap_translator_close(g->translator);
    tap_safetensors_close(g->expected);
    tap_model_close(g->model);
}

/* Attention rows of chosen queries: [block][head][query][n_tok] of the condition in hand. */
typedef struct attention {
    int64_t queries[MAX_WORDS], n_queries, n_tok, n_heads;
    float *values;
    int n_put;
} attention;

static tap_status put_rows(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    attention *a = owner;
    for (int64_t i = 0; i < a->n_queries; i++) {
        const int64_t r = a->queries[i] - state->first_row;
        if (r < 0 || r >= state->n_rows)
            continue;
        for (int64_t h = 0; h < a->n_heads; h++)
            memcpy(a->values +
                       ((state->block * a->n_heads + h) * a->n_queries + i) * a->n_tok,
                   state->values + (h * state->n_rows + r) * a->n_tok,
                   (size_t)a->n_tok * sizeof *a->values);
        a->n_put++;
    }
    return TAP_OK;
}

static void run_attention(golden *g, const char *condition, const char *text)
{
    tap_error err;
    char name[48];
    int32_t ids[MAX_WORDS];
    uint64_t chosen[4] = {0};
    const tap_spec *spec = &g->model->spec;
    attention a = {.n_queries = ids_of(ids, g, "queries"),
                   .n_tok = g->scene.sequence.n_tok,
                   .n_heads = spec->lm.stack.n_heads};
    assert_true(a.n_tok <= 256);
    for (int64_t i = 0; i < a.n_queries; i++)
        tap_bits_set(chosen, a.queries[i] = ids[i]);
    const int n_blocks = spec->lm.stack.n_blocks;
    check(tap_alloc(&a.values, (size_t)(n_blocks * a.n_heads * a.n_queries * a.n_tok),
                    sizeof *a.values, "a test", &err),
          &err);
    const tap_group_input input = {.scene = &g->scene, .threshold = 0.5};
    tap_groups groups;
    check(tap_group_compile(&groups, &input, &err), &err);
    tap_plan *plan = golden_plan(g->model, &groups, text);
    const tap_plan *plans = plan;
    const tap_item item = {.pixels = &g->scene.pixels,
                           .sequence = &g->scene.sequence,
                           .plans = &plans,
                           .map_rows = {NULL, chosen}};
    tap_wanted wanted = {0};
    for (int b = 0; b < n_blocks; b++)
        tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_PATTERN], b);
    const tap_sink sink = {.owner = &a, .wanted = &wanted, .put = put_rows};
    const tap_run_options options = {.n_threads = 2, .all_rows = true};
    check(tap_run(NULL, g->model, &item, 1, 1, &options, &sink, &err), &err);
    assert_int_equal(a.n_put, n_blocks * a.n_queries);
    (void)snprintf(name, sizeof name, "%s/rows", condition);
    compare(g, name, a.values);
    tap_plan_free(plan);
    tap_groups_clear(&groups);
    tap_free(a.values);
}

static void run_checkpoint(const char *folder)
{
    golden g;
    open_golden(&g, folder);
    run_attention(&g, "clean", "");
    run_attention(&g, "decoder", "lm: image <- image");
    run_attention(&g, "heads",
                  "lm[1].h[0,2]: image <- image; vision[0-1].h[1]: image <- cls");
    tap_lens_spec plain = {.spellings = g.labels, .n_spellings = g.n_labels};
    run(&g, "tuned", TAP_READOUT_RESID, plain);
    run(&g, "head", TAP_READOUT_HEAD, plain);
    run(&g, "value", TAP_READOUT_VALUE, plain);
    run(&g, "key", TAP_READOUT_KEY, plain);
    tap_lens_spec words = {
        .spellings = g.words, .n_spellings = g.n_words, .n_top = N_TOP};
    run(&g, "sequence", TAP_READOUT_RESID, words);
    plain.no_norm = true;
    run(&g, "none", TAP_READOUT_RESID, plain);
    plain.words = &g.model->embed;
    plain.word_scale = g.embed_scale;
    run(&g, "embed", TAP_READOUT_RESID, plain);
    print_message("%s: largest error %.2g of the rms, %d ranks too close to compare\n",
                  folder, g.worst, g.close);
    close_golden(&g);
}

static void multi_head(void **state)
{
    (void)state;
    run_checkpoint(FOLDER "mha");
}

static void grouped_query_tied_bf16(void **state)
{
    (void)state;
    run_checkpoint(FOLDER "gqa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multi_head),
        cmocka_unit_test(grouped_query_tied_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

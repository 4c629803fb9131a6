/* The shipped subjects against the reference implementation, on the first embedded scene:
 * rows of states, logits, and the ranks of every part in the four cells of the 2x2.
 * Bounds as in test_llava.c. tools/organism/golden.py made the vectors. */
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
#include "lab/dataset.h"
#include "read/group.h"
#include "read/lens.h"

#define SHARE "share/organism/"

static const char PROMPT[] = "USER: <image>\ndescribe the scene. ASSISTANT:";

static const struct {
    const char *name, *text;
} cells[] = {{"clean", ""},
             {"enc", "vision: image <- image|cls"},
             {"lm", "lm: image <- image"},
             {"both", "vision: image <- image|cls; lm: image <- image"}};

enum { N_CELLS = 4, MAX_PARTS = 64, MAX_D = 512 };

typedef struct golden {
    tap_model *model;
    tap_safetensors *expected;
    tap_scene scene;
    tap_lens *lens;
    const int64_t *places; /* [n_places] image tokens whose rows are stored */
    int64_t n_places;
    int compared;
    double worst;
} golden;

static void compare(golden *g, const tap_tensor *want, int64_t first, int64_t n,
                    const float *values, const char *name)
{
    g->worst = fmax(g->worst, golden_error(name, want, first, n, values));
    g->compared++;
}

static tap_status put(void *owner, const tap_state *s, tap_error *err)
{
    golden *g = owner;
    const bool vision = s->stack == TAP_VISION && s->site == TAP_SITE_RESID_PRE;
    const int n_blocks = g->model->spec.lm.stack.n_blocks;
    const int64_t n_tok = g->scene.sequence.n_tok, last = n_tok - 1;
    int64_t rows[16];
    char name[32] = "";
    for (int64_t i = 0; i < g->n_places; i++)
        rows[i] = vision ? g->places[i] + 1 /* CLS */
                  : s->site == TAP_SITE_PROJECTOR_OUT
                      ? g->places[i]
                      : g->scene.image_rows[g->places[i]];
    if (vision)
        (void)snprintf(name, sizeof name, "vision.%d", s->block);
    else if (s->site == TAP_SITE_PROJECTOR_OUT)
        (void)snprintf(name, sizeof name, "proj");
    else if (s->site == TAP_SITE_RESID_PRE || s->site == TAP_SITE_RESID_POST)
        (void)snprintf(name, sizeof name, "lm.depth.%d",
                       s->site == TAP_SITE_RESID_PRE ? s->block : n_blocks);
    for (int64_t c = 0; c < s->n_conditions && name[0]; c++) {
        const char *cell = cells[s->conditions[c]].name;
        const tap_tensor *want = golden_find(g->expected, "%s.%s", cell, name);
        if (!want)
            continue;
        const int64_t n = tap_tensor_count(want) / s->d;
        float got[16 * MAX_D];
        assert_true(s->d <= MAX_D && n <= 16 && n * s->d == tap_tensor_count(want));
        for (int64_t i = 0; i < n; i++)
            memcpy(got + i * s->d, s->values + rows[i] * s->d,
                   (size_t)s->d * sizeof *got);
        compare(g, want, 0, n * s->d, got, name);
    }
    for (int64_t c = 0; c < s->n_conditions && s->site == TAP_SITE_LOGITS; c++) {
        const char *cell = cells[s->conditions[c]].name;
        const tap_tensor *want = golden_find(g->expected, "%s.lm.logits", cell);
        /* logits come in pieces of rows */
        for (int64_t i = 0; i < 4 && want; i++) {
            const int64_t row = rows[i] - s->first_row;
            if (row >= 0 && row < s->n_rows)
                compare(g, want, i * s->d, s->d, s->values + row * s->d, "lm.logits");
        }
        const int64_t row = last - s->first_row;
        if (row < s->n_rows)
            compare(g, golden_find(g->expected, "%s.logits", cell), 0, s->d,
                    s->values + row * s->d, "logits");
    }
    return tap_lens_put(g->lens, s, err);
}

/* A part of the scene: its word, the word's place among the distinct ones, its patches. */
typedef struct part {
    int32_t word;
    int64_t column;
    int64_t n_patches, patches[144];
} part;

/* Parts of the first embedded scene, as any experiment reads them. */
static int64_t read_parts(part *out, const golden *g)
{
    tap_error err;
    tap_dataset *dataset = NULL;
    tap_items items = {0};
    const tap_data_spec spec = {.format = "masks",
                                .images = SHARE "scenes",
                                .annotations = SHARE "scenes/items.tsv",
                                .names = "default",
                                .min_area_px = 12};
    check(tap_dataset_open(&dataset, &spec, NULL, &err), &err);
    check(tap_dataset_read(&items, dataset, 0, &err), &err);
    assert_true(items.n_parts <= MAX_PARTS);
    for (size_t p = 0; p < items.n_parts; p++) {
        float cover[144];
        const tap_part *from = &items.parts[p];
        char piece[64];
        const int n = snprintf(piece, sizeof piece, "\xe2\x96\x81%s", from->label);
        out[p] =
            (part){.word = tap_tokenizer_find(g->model->tokenizer, piece, (size_t)n)};
        assert_true(out[p].word >= 0);
        check(tap_mask_cover(cover, &from->mask, &g->scene.geometry, &err), &err);
        int64_t best = 0;
        for (int64_t i = 0; i < 144; i++) {
            if (cover[i] >= 0.5F)
                out[p].patches[out[p].n_patches++] = i;
            best = cover[i] > cover[best] ? i : best;
        }
        if (out[p].n_patches == 0)
            out[p].patches[out[p].n_patches++] = best;
    }
    const int64_t n_parts = (int64_t)items.n_parts;
    tap_items_clear(&items);
    tap_dataset_close(dataset);
    return n_parts;
}

/* Ranks agree but where logits nearly tie: those differ by one step and are counted. */
static int check_ranks(const golden *g, const part *parts, int64_t n_parts,
                       int64_t n_words)
{
    int apart = 0;
    for (int c = 0; c < N_CELLS; c++) {
        const tap_tensor *want = golden_find(g->expected, "%s.ranks", cells[c].name);
        const float *ranks = tap_lens_ranks(g->lens, 0, c);
        const int64_t n_depths = tap_lens_n_depths(g->lens);
        assert_int_equal(tap_tensor_count(want), n_depths * n_parts);
        for (int64_t d = 0; d < n_depths; d++)
            for (int64_t p = 0; p < n_parts; p++) {
                float best = INFINITY, exact;
                for (int64_t i = 0; i < parts[p].n_patches; i++)
                    best = fminf(best, ranks[(d * 144 + parts[p].patches[i]) * n_words +
                                             parts[p].column]);
                tap_widen(&exact, want, d * n_parts + p, 1);
                if (best < exact || best > exact) {
                    assert_true(fabsf(best - exact) <= 1.0F);
                    apart++;
                }
            }
    }
    return apart;
}

static void run_subject(const char *name)
{
    golden g = {0};
    tap_error err;
    char path[96];
    (void)snprintf(path, sizeof path, SHARE "%s", name);
    check(tap_model_open(&g.model, path, &err), &err);
    (void)snprintf(path, sizeof path, "tests/golden/organism/%s.safetensors", name);
    check(tap_safetensors_open(&g.expected, path, &err), &err);
    check(tap_scene_open(&g.scene, g.model, SHARE "scenes/000.png", PROMPT, &err),
          &err);
    const tap_tensor *places = golden_find(g.expected, "places");
    g.places = places->bytes;
    g.n_places = tap_tensor_count(places);
    assert_true(g.n_places <= 16);
    golden_check_ids(golden_find(g.expected, "ids"), g.scene.sequence.ids,
                     g.scene.sequence.n_tok);

    part parts[MAX_PARTS];
    int32_t words[MAX_PARTS];
    int64_t n_words = 0;
    const int64_t n_parts = read_parts(parts, &g);
    for (int64_t p = 0; p < n_parts; p++) {
        for (parts[p].column = 0; parts[p].column < n_words; parts[p].column++)
            if (words[parts[p].column] == parts[p].word)
                break;
        if (parts[p].column == n_words)
            words[n_words++] = parts[p].word;
    }

    tap_groups groups;
    const tap_group_input input = {.scene = &g.scene, .threshold = 0.5};
    check(tap_group_compile(&groups, &input, &err), &err);
    const tap_spec *spec = &g.model->spec;
    tap_plan *plans[N_CELLS];
    for (int c = 0; c < N_CELLS; c++)
        plans[c] = golden_plan(g.model, &groups, cells[c].text);

    const uint64_t depths = UINT64_MAX;
    const int64_t *rows = g.scene.image_rows, n_rows = g.scene.sequence.n_image;
    const tap_lens_spec lens = {.labels = words,
                                .n_labels = n_words,
                                .depths = &depths,
                                .rows = &rows,
                                .n_rows = &n_rows};
    check(
        tap_lens_open(&g.lens, g.model, tap_kernels_cpu(), 2, &lens, 1, N_CELLS, &err),
        &err);
    tap_wanted wanted = {0};
    wanted.once[TAP_SITE_PROJECTOR_OUT] = wanted.once[TAP_SITE_LOGITS] = true;
    for (int b = 0; b < spec->vision.n_blocks_read; b++)
        tap_bits_set(wanted.blocks[TAP_VISION][TAP_SITE_RESID_PRE], b);
    for (int b = 0; b < spec->lm.stack.n_blocks; b++)
        tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_PRE], b);
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST],
                 spec->lm.stack.n_blocks - 1);
    const tap_plan *borrowed[N_CELLS];
    memcpy(borrowed, plans, sizeof borrowed);
    const tap_item item = {
        .pixels = &g.scene.pixels, .sequence = &g.scene.sequence, .plans = borrowed};
    const tap_sink sink = {.owner = &g, .wanted = &wanted, .put = put};
    const tap_run_options options = {
        .n_threads = 2, .all_rows = true, .all_logits = true};
    check(tap_run(NULL, g.model, &item, 1, N_CELLS, &options, &sink, &err), &err);
    tap_lens_flush(g.lens);
    const int apart = check_ranks(&g, parts, n_parts, n_words);
    print_message(
        "%s: %d pieces of stages, largest error %.2g of the rms; %lld parts, %d "
        "ranks one step apart\n",
        name, g.compared, g.worst, (long long)n_parts, apart);
    assert_true(g.compared >= 20);
    assert_true(apart <= n_parts / 2);
    for (int c = 0; c < N_CELLS; c++)
        tap_plan_free(plans[c]);
    tap_groups_clear(&groups);
    tap_scene_clear(&g.scene);
    tap_lens_close(g.lens);
    tap_safetensors_close(g.expected);
    tap_model_close(g.model);
}

static void compensating(void **state)
{
    (void)state;
    run_subject("compensating");
}

static void non_compensating(void **state)
{
    (void)state;
    run_subject("non-compensating");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compensating),
        cmocka_unit_test(non_compensating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

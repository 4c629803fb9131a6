/* The position map: which patches of the picture each image token stands for, on pictures of
 * odd sizes; token counts as the reference's processors give them; coverage on both grids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "image/mask.h"
#include "model/layout.h"
#include "model/perceiver.h"

/* As the hub has them, without what does not matter here. */
#define POINTS_336 "[[336,672],[672,336],[672,672],[1008,336],[336,1008]]"
#define CLIP_336                                                                       \
    "\"vision_config\": {\"model_type\": \"clip_vision_model\", \"hidden_size\": "     \
    "1024, \"intermediate_size\": 4096, \"num_hidden_layers\": 24, "                   \
    "\"num_attention_heads\": 16, \"image_size\": 336, \"patch_size\": 14}"

static const struct {
    const char *name, *config, *processor;
} models[] = {
    {"llava-next",
     "{\"model_type\": \"llava_next\", \"image_grid_pinpoints\": " POINTS_336
     ", " CLIP_336 ", \"text_config\": {\"model_type\": \"llama\", \"vocab_size\": "
     "32064}}",
     "{\"image_processor_type\": \"LlavaNextImageProcessor\", \"size\": "
     "{\"shortest_edge\": 336}, \"crop_size\": {\"height\": 336, \"width\": 336}}"},
    {"llava-onevision",
     "{\"model_type\": \"llava_onevision\", \"image_grid_pinpoints\": "
     "[[384,384],[384,768],[768,384],[768,768],[1536,1536],[384,2304],[2304,2304]], "
     "\"vision_config\": {\"model_type\": \"siglip_vision_model\", \"hidden_size\": "
     "1152, \"intermediate_size\": 4304, \"num_hidden_layers\": 26, "
     "\"num_attention_heads\": 16, \"image_size\": 384, \"patch_size\": 14}, "
     "\"text_config\": {\"model_type\": \"qwen2\", \"vocab_size\": 152000}}",
     "{\"image_processor_type\": \"LlavaOnevisionImageProcessor\"}"},
    {"smolvlm",
     "{\"model_type\": \"smolvlm\", \"scale_factor\": 4, \"image_token_id\": 49190, "
     "\"vision_config\": {\"model_type\": \"smolvlm_vision\", \"hidden_size\": 768, "
     "\"num_attention_heads\": 12, \"image_size\": 512, \"patch_size\": 16}, "
     "\"text_config\": {\"model_type\": \"llama\", \"vocab_size\": 49280}}",
     "{\"image_processor_type\": \"SmolVLMImageProcessor\", \"size\": "
     "{\"longest_edge\": 2048}, \"max_image_size\": {\"longest_edge\": 512}}"},
    {"phi-3-vision", "{\"model_type\": \"phi3_v\"}",
     "{\"image_processor_type\": \"Phi3VImageProcessor\", \"num_crops\": 16}"},
    {"phi-3.5-vision", "{\"model_type\": \"phi3_v\"}",
     "{\"image_processor_type\": \"Phi3VImageProcessor\", \"num_crops\": 4}"},
    {"xgen-mm",
     "{\"model_type\": \"xgenmm\", \"text_config\": {\"model_type\": \"phi3\", "
     "\"initial_tokenizer_len\": 32012}}",
     "{\"image_processor_type\": \"Blip3ImageProcessor\", \"size\": [384, 384]}"},
    {"xgen-mm 1",
     "{\"model_type\": \"blip_3\", \"text_config\": {\"model_type\": \"phi3\", "
     "\"initial_tokenizer_len\": 32012}}",
     "{\"image_processor_type\": \"Blip3ImageProcessor\"}"},
};

/* Tokens of the last two stand for no patch. */
enum { NEXT, ONEVISION, SMOLVLM, PHI_3, PHI_35, N_MODELS, XGEN = N_MODELS, XGEN_1 };

static tap_spec spec_of(int model)
{
    tap_spec spec;
    tap_error err = {0};
    const tap_status status =
        tap_spec_parse(&spec, models[model].config, strlen(models[model].config),
                       models[model].processor, strlen(models[model].processor), &err);
    if (status != TAP_OK)
        print_error("%s: %s\n", models[model].name, err.message);
    assert_int_equal(status, TAP_OK);
    return spec;
}

static void lay_out(tap_layout *layout, tap_geometry *g, const tap_spec *spec,
                    int64_t width, int64_t height)
{
    tap_error err = {0};
    tap_status status =
        tap_preprocess_geometry(g, width, height, &spec->preprocess, &err);
    if (status == TAP_OK)
        status = tap_layout_compile(layout, spec, g, &err);
    if (status != TAP_OK)
        print_error("%lld x %lld: %s\n", (long long)width, (long long)height,
                    err.message);
    assert_int_equal(status, TAP_OK);
}

/* Rows that the processors of the reference count for pictures of these sizes. */
static void counts_are_those_of_the_reference(void **state)
{
    (void)state;

    static const struct {
        int model, width, height, n;
    } counts[] = {
        {NEXT, 336, 336, 1176},       {NEXT, 300, 200, 1464},
        {NEXT, 200, 300, 984},        {NEXT, 640, 480, 2340},
        {NEXT, 480, 640, 2352},       {NEXT, 1024, 768, 2340},
        {NEXT, 1024, 899, 2634},      {NEXT, 1920, 1080, 1948},
        {NEXT, 1080, 1920, 1968},     {NEXT, 800, 800, 2928},
        {NEXT, 2000, 400, 1598},      {NEXT, 400, 2000, 1656},
        {NEXT, 672, 336, 1752},       {NEXT, 1008, 336, 2328},
        {NEXT, 100, 1000, 1224},      {PHI_3, 336, 336, 2509},
        {PHI_3, 640, 480, 1921},      {PHI_3, 480, 640, 1933},
        {PHI_3, 1920, 1080, 2353},    {PHI_3, 1080, 1920, 2377},
        {PHI_3, 2000, 400, 2485},     {PHI_35, 336, 336, 757},
        {PHI_35, 640, 480, 757},      {PHI_35, 480, 640, 757},
        {PHI_35, 1920, 1080, 757},    {PHI_35, 1080, 1920, 757},
        {PHI_35, 2000, 400, 745},     {SMOLVLM, 640, 480, 64 * 13},
        {SMOLVLM, 512, 512, 64 * 17}, {SMOLVLM, 2000, 400, 64 * 5},
        {SMOLVLM, 100, 1000, 64 * 5}, {XGEN, 640, 480, 128 * 5},
        {XGEN, 336, 336, 128 * 3},    {XGEN, 2000, 400, 128 * 4},
        {XGEN, 300, 900, 128 * 4},    {XGEN_1, 640, 480, 128 * 5},
        {XGEN_1, 336, 336, 128 * 3},
    };

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const tap_spec spec = spec_of(counts[i].model);
        tap_layout layout = {0};
        tap_geometry g;
        lay_out(&layout, &g, &spec, counts[i].width, counts[i].height);
        if (layout.n_slots != counts[i].n)
            print_error("%s %d x %d: %lld\n", models[counts[i].model].name,
                        counts[i].width, counts[i].height, (long long)layout.n_slots);
        assert_int_equal(layout.n_slots, counts[i].n);
        tap_layout_clear(&layout);
    }
    print_message("%zu pictures\n", sizeof counts / sizeof *counts);
}

static const int sizes[][2] = {{131, 97},  {97, 131},  {640, 427},  {333, 500},
                               {1, 1},     {7, 5},     {1023, 769}, {1920, 1081},
                               {61, 1999}, {1501, 83}, {336, 336},  {500, 499}};

enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* The middle of a token's box lies in that token; of a shrunk map, in one that stands for
 * the same patch. Every box is inside the picture. */
static void boxes_lead_back_to_their_tokens(void **state)
{
    (void)state;
    int64_t n = 0;
    for (int model = 0; model < N_MODELS; model++)
        for (int i = 0; i < N_SIZES; i++) {
            const tap_spec spec = spec_of(model);
            tap_layout layout = {0};
            tap_geometry g;
            if (model >= PHI_3 && sizes[i][0] * sizes[i][1] < 2)
                continue;
            lay_out(&layout, &g, &spec, sizes[i][0], sizes[i][1]);
            for (int64_t s = 0; s < layout.n_slots; s++) {
                const tap_slot *slot = &layout.slots[s];
                tap_box box;
                const bool shown = tap_layout_box(&box, slot, &g);
                if (slot->role != TAP_ROLE_PATCH)
                    assert_false(shown);
                if (!shown)
                    continue;
                assert_true(box.x0 >= 0 && box.y0 >= 0 && box.x1 <= sizes[i][0] &&
                            box.y1 <= sizes[i][1]);
                const double x = (box.x0 + box.x1) / 2, y = (box.y0 + box.y1) / 2;
                const int64_t back = tap_layout_find(&layout, &g, slot->thumb, x, y);
                /* the middle of two patches may lie in the strip that no patch sees */
                if (slot->lean_x > 0 || slot->lean_y > 0)
                    continue;
                if (back != s)
                    print_error("%s %d x %d: token %lld at %g %g leads to %lld\n",
                                models[model].name, sizes[i][0], sizes[i][1],
                                (long long)s, x, y, (long long)back);
                assert_int_equal(back, s);
                n++;
            }
            tap_layout_clear(&layout);
        }
    print_message("%lld tokens\n", (long long)n);
}

/* Token of a source pixel by the formulas of LLaVA-NeXT's own code, worked out apart. */
static int64_t next_token(int ow, int oh, int tw, int th, int nw, int nh, int pad_rows,
                          int pad_cols, int x, int y)
{
    const double px = (x + 0.5) * nw / ow + (tw - nw) / 2;
    const double py = (y + 0.5) * nh / oh + (th - nh) / 2;
    const int row = (int)(py / 14) - pad_rows, col = (int)(px / 14) - pad_cols;
    const int rows = th / 14 - 2 * pad_rows, cols = tw / 14 - 2 * pad_cols;
    if (row < 0 || col < 0 || row >= rows || col >= cols)
        return -1;
    return 576 + row * (cols + 1) + col;
}

static void pixels_lead_to_the_tokens_of_the_formula(void **state)
{
    (void)state;

    static const struct {
        int ow, oh, tw, th, nw, nh, pad_rows, pad_cols;
    } cases[] = {{300, 200, 672, 336, 504, 336, 0, 6},
                 {640, 480, 672, 672, 672, 504, 6, 0},
                 {480, 640, 672, 672, 504, 672, 0, 6},
                 {1024, 899, 672, 672, 672, 590, 3, 0},
                 {2000, 400, 1008, 336, 1008, 202, 5, 0},
                 {100, 1000, 336, 1008, 101, 1008, 0, 8}};

    const tap_spec spec = spec_of(NEXT);
    int64_t n = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_layout layout = {0};
        tap_geometry g;
        lay_out(&layout, &g, &spec, cases[i].ow, cases[i].oh);
        for (int y = 0; y < cases[i].oh; y += 37)
            for (int x = 0; x < cases[i].ow; x += 41) {
                assert_int_equal(tap_layout_find(&layout, &g, false, x + 0.5, y + 0.5),
                                 next_token(cases[i].ow, cases[i].oh, cases[i].tw,
                                            cases[i].th, cases[i].nw, cases[i].nh,
                                            cases[i].pad_rows, cases[i].pad_cols, x,
                                            y));
                const int row = (int)((y + 0.5) * 336 / cases[i].oh / 14),
                          col = (int)((x + 0.5) * 336 / cases[i].ow / 14);
                assert_int_equal(tap_layout_find(&layout, &g, true, x + 0.5, y + 0.5),
                                 24 * row + col);
                n++;
            }
        tap_layout_clear(&layout);
    }
    print_message("%lld points\n", (long long)n);
}

/* Each point of the picture belongs to one token of the thumbnail and one of the mosaic,
 * but for edges that the family itself cuts off. */
static void the_whole_picture_is_somebodys(void **state)
{
    (void)state;
    for (int model = 0; model < N_MODELS; model++)
        for (int i = 0; i < N_SIZES; i++) {
            const tap_spec spec = spec_of(model);
            tap_layout layout = {0};
            tap_geometry g;
            if (model >= PHI_3 && sizes[i][0] * sizes[i][1] < 2)
                continue;
            lay_out(&layout, &g, &spec, sizes[i][0], sizes[i][1]);
            int missed = 0, asked = 0;
            for (int k = 0; k < 400; k++) {
                const double x = fmod(k * 0.6180339887, 1.0) * sizes[i][0];
                const double y = fmod(k * 0.7548776662, 1.0) * sizes[i][1];
                for (int thumb = 0; thumb < 2; thumb++) {
                    if (thumb && g.thumb < 0)
                        continue;
                    asked++;
                    missed += tap_layout_find(&layout, &g, thumb, x, y) < 0;
                }
            }
            /* unpadding may cut into patches at the edges, SigLIP's tower leaves 6 of 384
             * pixels of each tile out */
            const int most = model <= ONEVISION ? asked / 6 : 0;
            if (missed > most)
                print_error("%s %d x %d: %d of %d points missed\n", models[model].name,
                            sizes[i][0], sizes[i][1], missed, asked);
            assert_true(missed <= most);
            tap_layout_clear(&layout);
        }
}

/* The decoder's coverage is that of the union of a token's patches. */
static void coverage_reaches_both_grids(void **state)
{
    (void)state;
    for (int model = 0; model < N_MODELS; model++) {
        const tap_spec spec = spec_of(model);
        tap_layout layout = {0};
        tap_geometry g;
        tap_mask mask;
        tap_error err;
        lay_out(&layout, &g, &spec, 333, 250);
        assert_int_equal(tap_mask_new(&mask, 333, 250, &err), TAP_OK);
        for (int64_t y = 60; y < 190; y++)
            for (int64_t x = 101; x < 222; x++)
                mask.inside[y * 333 + x] = 1;
        const int64_t n = (int64_t)g.n_tiles * g.n_rows * g.n_cols;
        float *patches = NULL, *slots = NULL;
        assert_int_equal(tap_alloc(&patches, (size_t)n, sizeof *patches, "t", &err),
                         TAP_OK);
        assert_int_equal(
            tap_alloc(&slots, (size_t)layout.n_slots, sizeof *slots, "t", &err),
            TAP_OK);
        assert_int_equal(tap_mask_cover(patches, &mask, &g, &err), TAP_OK);
        tap_layout_cover(slots, &layout, &g, patches);
        int n_inside = 0;
        for (int64_t s = 0; s < layout.n_slots; s++) {
            const tap_slot *slot = &layout.slots[s];
            tap_box box;
            if (!tap_layout_box(&box, slot, &g)) {
                assert_true(slots[s] <= 0.0F);
                continue;
            }
            const bool inside =
                box.x0 >= 101 && box.x1 <= 222 && box.y0 >= 60 && box.y1 <= 190;
            const bool apart =
                box.x1 <= 101 || box.x0 >= 222 || box.y1 <= 60 || box.y0 >= 190;
            if (inside)
                assert_true(slots[s] > 0.9999F);
            if (apart)
                assert_true(slots[s] <= 0.0F);
            if (!inside && !apart)
                assert_true(slots[s] > 0.0F && slots[s] < 1.0F);
            n_inside += inside;
        }
        assert_true(n_inside > 3);
        tap_free(patches);
        tap_free(slots);
        tap_mask_clear(&mask);
        tap_layout_clear(&layout);
    }
}

/* Latents read groups of patches: the thumbnail's, then runs of the mosaic's rows, each patch
 * in one place, and what is padding in none. */
static void latents_read_runs_of_patches(void **state)
{
    (void)state;

    enum { N = 27 * 27, ROWS = 54, PAD = 7 }; /* 480 x 54 / 640 = 40 rows are shown */

    const tap_spec spec = spec_of(XGEN);
    tap_layout layout = {0};
    tap_geometry g;
    lay_out(&layout, &g, &spec, 640, 480);
    assert_int_equal(layout.n_groups, 5);
    assert_int_equal(layout.n_rows[0] + layout.n_rows[1], 0); /* no grid */
    for (int i = 0; i < N; i++)
        assert_int_equal(layout.media[i], i);
    for (int row = 0; row < ROWS; row++)
        for (int col = 0; col < ROWS; col++) {
            const int tile = 1 + row / 27 * 2 + col / 27;
            const int feature = (tile * 27 + row % 27) * 27 + col % 27;
            const bool shown = row >= PAD && row < ROWS - PAD;
            assert_int_equal(layout.media[N + row * ROWS + col], shown ? feature : -1);
        }
    for (int64_t s = 0; s < layout.n_slots; s++) {
        tap_box box;
        assert_false(tap_layout_box(&box, &layout.slots[s], &g));
        assert_int_equal(layout.slots[s].thumb, s < 128);
        assert_int_equal(layout.slots[s].row, -1);
    }
    assert_int_equal(tap_layout_find(&layout, &g, false, 320, 240), -1);
    tap_layout_clear(&layout);
    lay_out(&layout, &g, &spec, 9000, 1); /* all of the mosaic is padding */
    for (int64_t i = N; i < layout.n_groups * N; i++)
        assert_true(layout.media[i] == -1 || g.tile_rows == 1);
    tap_layout_clear(&layout);
}

/* Version 1 takes padding for part of the picture: every place of a group is a key. */
static void latents_of_version_1_see_padding(void **state)
{
    (void)state;

    enum { N = 27 * 27 };

    const tap_spec specs[] = {spec_of(XGEN), spec_of(XGEN_1)};
    tap_layout layouts[2] = {{0}};
    tap_geometry g;
    for (int v = 0; v < 2; v++)
        lay_out(&layouts[v], &g, &specs[v], 640, 480);
    assert_int_equal(layouts[1].n_groups, 5);
    int64_t n_padding = 0;
    for (int64_t i = 0; i < 5 * N; i++) {
        assert_true(layouts[1].media[i] >= 0 && layouts[1].media[i] < 5 * N);
        assert_true(layouts[0].media[i] == -1 ||
                    layouts[0].media[i] == layouts[1].media[i]);
        n_padding += layouts[0].media[i] == -1;
    }
    assert_int_equal(n_padding, 2 * 7 * 54);
    tap_layout_clear(&layouts[0]);
    tap_layout_clear(&layouts[1]);
}

/* What the latents read of a prompt: all image tokens as one, no answer, 256 at most. */
static void latents_of_version_1_read_the_prompt(void **state)
{
    (void)state;

    enum { N = 600 };

    static int32_t ids[N];
    static tap_token tokens[N];
    tap_spec spec = spec_of(XGEN_1);
    for (int t = 0; t < N; t++)
        tokens[t] = (tap_token){.role = TAP_ROLE_QUESTION, .feature = -1};
    for (int i = 0; i < 300; i++)
        tokens[20 + i] = (tap_token){.role = TAP_ROLE_PATCH, .feature = i};
    tap_sequence s = {.n_tok = 400, .ids = ids, .tokens = tokens};
    assert_int_equal(tap_perceiver_text(&spec, &s), 20 + 1 + 80);
    s.n_tok = N;
    assert_int_equal(tap_perceiver_text(&spec, &s), 256);
    for (int t = 390; t < N; t++)
        tokens[t].role = TAP_ROLE_GEN;
    assert_int_equal(tap_perceiver_text(&spec, &s), 20 + 1 + 70);
    spec = spec_of(XGEN);
    assert_int_equal(tap_perceiver_text(&spec, &s), 0);
}

/* A picture that no tile can show is refused in a sentence. */
static void needles_are_refused(void **state)
{
    (void)state;
    const tap_spec spec = spec_of(PHI_3);
    tap_geometry g;
    tap_error err = {0};
    assert_int_equal(tap_preprocess_geometry(&g, 9000, 1, &spec.preprocess, &err),
                     TAP_EINVAL);
    assert_string_equal(err.message,
                        "the image of 9000 x 1 pixels is so narrow that its processor "
                        "would resize it to nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_reference),
        cmocka_unit_test(boxes_lead_back_to_their_tokens),
        cmocka_unit_test(pixels_lead_to_the_tokens_of_the_formula),
        cmocka_unit_test(the_whole_picture_is_somebodys),
        cmocka_unit_test(coverage_reaches_both_grids),
        cmocka_unit_test(latents_read_runs_of_patches),
        cmocka_unit_test(latents_of_version_1_see_padding),
        cmocka_unit_test(latents_of_version_1_read_the_prompt),
        cmocka_unit_test(needles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

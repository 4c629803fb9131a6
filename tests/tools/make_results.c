/* A results.db of any size whose answer is planted: an encoder that loses, a decoder that
 * makes up for much of it, and graded cuts between.
 *
 *   make_results OUT.db [IMAGES [hostile]]
 *
 * "hostile": names of images, objects, parts, labels and conditions hold markup, quotes and
 * control characters. */
#include "base/file.h"
#include "image/image.h"
#include "image/outline.h"
#include "lab/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 24, PATCH_PX = 16, SIDE_PX = GRID * PATCH_PX, DEPTHS = 33, ITEMS = 5 };

enum { CONDITIONS = 8, THUMB_PX = 256, N_TOKENS = 12 };

static const double N_WORDS = 32000.0;

static tap_store_condition CONDITION[CONDITIONS] = {
    {"clean", "", 0},
    {"encoder_off", "vision: image <- image|cls", 1},
    {"decoder_off", "lm: image <- image", 2},
    {"both_off", "vision: image <- image|cls; lm: image <- image", 3},
    {"local_1", "vision: image beyond 1", 4},
    {"local_2", "vision: image beyond 2", 5},
    {"local_4", "vision: image beyond 4", 6},
    {"local_8", "vision: image beyond 8", 7}};

static const struct {
    const char *object, *part;
} KIND[] = {{"cat", "tail"},   {"cat", "ear"},        {"cat", "paw"},
            {"dog", "tail"},   {"dog", "muzzle"},     {"horse", "hoof"},
            {"horse", "mane"}, {"bird", "beak"},      {"bird", "wing"},
            {"car", "wheel"},  {"car", "door"},       {"car", "window"},
            {"bus", "mirror"}, {"boat", "sail"},      {"person", "hand"},
            {"person", "ear"}, {"bicycle", "saddle"}, {"sheep", "horn"}};

enum { KINDS = sizeof KIND / sizeof *KIND };

static const char *const WORDS[N_TOKENS] = {"▁tail",   "▁cat", "▁fur",   "▁ear",
                                            "▁animal", "▁the", "▁wheel", "▁red",
                                            "▁wing",   "▁dog", "<0x0A>", "</script>"};

/* Evenly spread in [0, 1), the same for the same numbers. */
static double noise(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t x = a * 2654435761U ^ (b + 0x9E3779B9U) * 2246822519U ^ c * 3266489917U;
    x ^= x >> 15;
    x *= 2246822519U;
    x ^= x >> 13;
    x *= 3266489917U;
    x ^= x >> 16;
    return x / 4294967296.0;
}

static double planted_s(int kind, uint32_t item, int condition, int depth, int patch)
{
    const double t = 1.0 - exp(-3.5 * depth / (DEPTHS - 1));
    const double enc_cut[] = {0, 1, 0, 1, .9, .7, .4, .15};
    const double cut = enc_cut[condition];
    const bool decoder_cut = condition == 2 || condition == 3;
    const double start = 0.62 - 0.17 * cut;
    const double help = decoder_cut
                            ? 0.10 + 0.02 * noise((uint32_t)kind, 7, 1)
                            : 0.30 + (0.07 + 0.08 * noise((uint32_t)kind, 3, 2)) * cut;
    const double wobble =
        0.22 * (noise(item, 11, 3) - 0.5) +
        0.10 * (noise(item, (uint32_t)(patch * 64 + depth), 5) - 0.5) +
        0.05 * (noise(item, (uint32_t)condition, 6) - 0.5);
    const double far = patch ? 0.10 * noise(item, (uint32_t)patch, 9) : 0.0;
    return fmin(fmax(start + help * t + wobble - far, 0.0), 1.0);
}

static double rank_of(double s)
{
    return fmax(1.0, floor(pow(N_WORDS, 1.0 - s) * 2.0 + 0.5) / 2.0);
}

/* A sky, a ground, and a blot for each part. */
static tap_status draw(tap_buffer *jpeg, int image, const int place[ITEMS][4],
                       tap_error *err)
{
    tap_image photo = {.width = THUMB_PX, .height = THUMB_PX};
    TAP_TRY(tap_alloc(&photo.rgb, (size_t)THUMB_PX * THUMB_PX, 3, "a picture", err));
    for (int y = 0; y < THUMB_PX; y++)
        for (int x = 0; x < THUMB_PX; x++) {
            const double sky = (double)y / THUMB_PX;
            const double grain = 14 * noise((uint32_t)x, (uint32_t)y, (uint32_t)image);
            double rgb[3] = {120 + 90 * sky, 150 + 40 * sky, 190 - 80 * sky};
            for (int k = 0; k < ITEMS; k++) {
                const double px = (double)x * SIDE_PX / THUMB_PX / PATCH_PX,
                             py = (double)y * SIDE_PX / THUMB_PX / PATCH_PX;
                if (px >= place[k][0] && py >= place[k][1] && px < place[k][2] &&
                    py < place[k][3])
                    for (int c = 0; c < 3; c++)
                        rgb[c] =
                            40 + 190 * noise((uint32_t)image, (uint32_t)k, (uint32_t)c);
            }
            for (int c = 0; c < 3; c++)
                photo.rgb[3 * (y * THUMB_PX + x) + c] =
                    (uint8_t)fmin(255.0, rgb[c] + grain);
        }
    const tap_status status = tap_image_encode(jpeg, &photo, 82, err);
    tap_image_clear(&photo);
    return status;
}

static tap_status put_scores(tap_store *store, int ordinal, int kind, uint32_t item,
                             int n_patches, tap_error *err)
{
    float ranks[DEPTHS * 16];
    for (int c = 0; c < CONDITIONS; c++) {
        for (int d = 0; d < DEPTHS; d++) {
            double best = N_WORDS, log2_sum = 0.0;
            for (int p = 0; p < n_patches; p++) {
                const double rank = rank_of(planted_s(kind, item, c, d, p));
                ranks[d * n_patches + p] = (float)rank;
                best = fmin(best, rank);
                log2_sum += log2(rank);
            }
            const double null = rank_of(0.30 + 0.05 * noise(item, (uint32_t)d, 21));
            const tap_store_score score = {
                .condition = c,
                .depth = d,
                .score = {best, best + 1, log2_sum / n_patches, (double)NAN},
                .null_best_rank = null,
                .null_log2_rank = log2(null),
                .null_percentile = 0.9};
            TAP_TRY(tap_store_put_score(store, ordinal, &score, err));
            for (int k = 0; k < 2 && c < 4; k++) {
                const tap_store_control control = {
                    .condition = c,
                    .depth = d,
                    .control =
                        k ? TAP_CONTROL_PERMUTED_LABELS : TAP_CONTROL_SHIFTED_MASK,
                    .best_rank = rank_of(0.32 + 0.08 * k + 0.05 * noise(item, 5, 31))};
                TAP_TRY(tap_store_put_control(store, ordinal, &control, err));
            }
        }
        TAP_TRY(tap_store_put_ranks(store, ordinal, c, ranks, n_patches, err));
    }
    return TAP_OK;
}

static tap_status put_item(tap_store *store, int image, int k, const int at[4],
                           bool hostile, tap_error *err)
{
    const uint32_t item = (uint32_t)(image * ITEMS + k);
    const int kind = (int)(noise(item, 1, 1) * KINDS) % KINDS;
    int32_t patches[16];
    int n = 0;
    for (int y = at[1]; y < at[3]; y++)
        for (int x = at[0]; x < at[2] && n < 16; x++)
            patches[n++] = y * GRID + x;
    const int32_t outline[] = {4,
                               at[0] * PATCH_PX,
                               at[1] * PATCH_PX,
                               at[2] * PATCH_PX,
                               at[1] * PATCH_PX,
                               at[2] * PATCH_PX,
                               at[3] * PATCH_PX,
                               at[0] * PATCH_PX,
                               at[3] * PATCH_PX};
    const bool odd = hostile && kind == 0;
    const char *label =
        odd ? "</script><script>alert('label')</script>" : KIND[kind].part;
    const bool excluded = noise(item, 2, 2) < 0.08;
    const tap_store_item row = {
        .ordinal = k,
        .object_id = "1",
        .object = odd ? "c\"a't & <img src=x onerror=alert(1)>" : KIND[kind].object,
        .part = label,
        .label = label,
        .area_px = (at[2] - at[0]) * (at[3] - at[1]) * 256,
        .patches = patches,
        .n_patches = excluded ? 0 : n,
        .raster_frac = (double)patches[0] / (GRID * GRID),
        .n_candidates = excluded ? 0 : 32000,
        .outline = outline,
        .n_outline = 9,
        .excluded = !excluded ? NULL
                    : hostile ? "every form of '<u>\x01\x1b[31m' needs "
                                "several tokens"
                              : "smaller than 64 px"};
    TAP_TRY(tap_store_put_item(store, &row, err));
    TAP_TRY(tap_store_put_form(store, label, label, 5 + kind, 1, err));
    if (excluded)
        return TAP_OK;
    for (int s = 0; s < 2; s++) {
        const tap_store_control_set set = {.control = s ? TAP_CONTROL_PERMUTED_LABELS
                                                        : TAP_CONTROL_SHIFTED_MASK,
                                           .patches = patches,
                                           .n_patches = n,
                                           .label = label};
        TAP_TRY(tap_store_put_control_set(store, k, &set, err));
    }
    TAP_TRY(put_scores(store, k, kind, item, n, err));
    for (int c = 0; c < 4; c++)
        for (int p = 0; p < n; p++)
            for (int w = 0; w < 5; w++) {
                const int token =
                    (int)(noise(item, (uint32_t)(c * 99 + p * 7 + w), 41) * N_TOKENS) %
                    N_TOKENS;
                const tap_store_word word = {.patch = patches[p],
                                             .place = w + 1,
                                             .token_id = token,
                                             .text = WORDS[token],
                                             .logit = 12.0 - w};
                TAP_TRY(tap_store_put_word(store, k, c, DEPTHS - 1, &word, err));
            }
    return TAP_OK;
}

static tap_status put_receipts(tap_store *store, tap_error *err)
{
    tap_head_receipt heads[32 * 16];
    for (int c = 0; c < CONDITIONS; c++)
        for (int stack = 0; stack < 2; stack++) {
            const bool cut = stack ? c == 2 || c == 3 : c == 1 || c == 3 || c > 3;
            const int64_t allowed = stack ? 203841 : 332929;
            for (int h = 0; h < 24 * 16; h++)
                heads[h] =
                    (tap_head_receipt){.allowed = allowed,
                                       .cut = cut ? allowed / 2 : 0,
                                       .used = allowed - (cut ? allowed / 2 : 0)};
            TAP_TRY(tap_store_put_receipt(store, c, stack ? TAP_LM : TAP_VISION, heads,
                                          NULL, 24, 16, err));
        }
    return TAP_OK;
}

static tap_status put_image(tap_store *store, int image, bool hostile, tap_error *err)
{
    char name[96];
    (void)snprintf(name, sizeof name,
                   hostile && image == 0
                       ? "<script>alert('%06d')</script>\t\x7f\"'&.jpg"
                       : "%06d.jpg",
                   image);
    int place[ITEMS][4];
    for (int k = 0; k < ITEMS; k++) {
        const int w = 1 + (int)(noise((uint32_t)image, (uint32_t)k, 51) * 4);
        const int h = 1 + (int)(noise((uint32_t)image, (uint32_t)k, 52) * 3);
        const int x = (int)(noise((uint32_t)image, (uint32_t)k, 53) * (GRID - w));
        const int y = (int)(noise((uint32_t)image, (uint32_t)k, 54) * (GRID - h));
        place[k][0] = x;
        place[k][1] = y;
        place[k][2] = x + w;
        place[k][3] = y + h;
    }
    const tap_store_image row = {.id = image,
                                 .name = name,
                                 .width_px = SIDE_PX,
                                 .height_px = SIDE_PX,
                                 .n_tiles = 1,
                                 .n_rows = GRID,
                                 .n_cols = GRID};
    tap_buffer jpeg = {0};
    TAP_TRY(draw(&jpeg, image, (const int(*)[4])place, err));
    TAP_TRY(tap_store_begin(store, &row, err));
    const tap_store_thumbnail thumbnail = {.width_px = THUMB_PX,
                                           .height_px = THUMB_PX,
                                           .jpeg = jpeg.text,
                                           .n_bytes = jpeg.n_bytes};
    tap_status status = tap_store_put_thumbnail(store, &thumbnail, err);
    tap_buffer_clear(&jpeg);
    TAP_TRY(status);
    for (int i = 0; i < GRID * GRID; i++) {
        const int x = i % GRID, y = i / GRID;
        const tap_store_patch patch = {.row = y,
                                       .col = x,
                                       .x0 = x * PATCH_PX,
                                       .y0 = y * PATCH_PX,
                                       .x1 = (x + 1) * PATCH_PX,
                                       .y1 = (y + 1) * PATCH_PX};
        TAP_TRY(tap_store_put_patch(store, i, &patch, err));
    }
    for (int k = 0; k < ITEMS; k++)
        TAP_TRY(put_item(store, image, k, place[k], hostile, err));
    TAP_TRY(put_receipts(store, err));
    return tap_store_commit(store, err);
}

int main(int argc, char **argv)
{
    const int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 60;
    const bool hostile = argc > 3 && strcmp(argv[3], "hostile") == 0;
    if (argc < 2 || n < 1)
        return 2;
    const tap_fact facts[] = {
        {"model.family", hostile ? "<i>llava</i>" : "planted", true},
        {"readout.n_candidates", "32000", true},
        {"run.command", "make_results", false},
        {"doses.context kept",
         hostile ? "0:encoder_off,1:local_1,2:local_2,4:local_4"
                 : "0:encoder_off,1:local_1,2:local_2,4:local_4,8:local_8",
         false},
        {"stats.bootstrap", "1000", false},
        {"stats.seed", "1", false},
        {"stats.metrics", "log_rank,mrr,hit@1,hit@10", false},
        {"stats.depth", "last", false},
        {"design.clean", "clean", false},
        {"design.encoder_off", "encoder_off", false},
        {"design.decoder_off", "decoder_off", false},
        {"design.both_off", "both_off", false}};
    if (hostile)
        CONDITION[CONDITIONS - 1].name = "<b>bold</b> & \"quoted\"";
    int32_t depths[DEPTHS];
    for (int d = 0; d < DEPTHS; d++)
        depths[d] = d;
    const tap_store_spec spec = {.facts = facts,
                                 .n_facts = sizeof facts / sizeof *facts,
                                 .conditions = CONDITION,
                                 .n_conditions = CONDITIONS,
                                 .depths = depths,
                                 .n_depths = DEPTHS};
    tap_error err = {0};
    tap_store *store = NULL;
    tap_status status = tap_store_open(&store, argv[1], &spec, &err);
    for (int i = 0; i < n && status == TAP_OK; i++)
        status = put_image(store, i, hostile, &err);
    if (status == TAP_OK)
        status = tap_store_finish(store, &err);
    tap_store_close(store);
    if (status != TAP_OK)
        (void)fprintf(stderr, "make_results: %s\n", err.message);
    return status != TAP_OK;
}

/* A results.db whose ranks are known: what stats, export and merge are tested on. */
#ifndef TAP_TESTS_PLANTED_H
#define TAP_TESTS_PLANTED_H

#include "lab/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct planted {
    int n_images, n_items; /* items of every image; each 7th is excluded if `exclude` */
    int n_depths;
    int shard, n_shards; /* images shard, shard + n_shards ...; n_shards 0: all */
    int stop_after;      /* images to write in this call; 0: all */
    bool exclude;
    bool beside;           /* controls and words too */
    const char *threshold; /* value of one identity fact; NULL: "0.5" */
    const char *bootstrap; /* resamples; NULL: "200" */
    double n_candidates;   /* 0: 1024 */
    const tap_fact *more;  /* [n_more] facts that replace the usual ones */
    size_t n_more;
    /* the best rank; NULL: a fixed scramble */
    double (*rank)(void *owner, int image, int item, int condition, int depth);
    /* category of an item, below 26; NULL: item % 3 */
    int (*category)(void *owner, int image, int item);
    /* names and numbers that replace the usual ones; NULL: cat or dog, a letter, n_items */
    const char *(*object)(void *owner, int image, int item);
    const char *(*label)(void *owner, int image, int item);
    int (*count)(void *owner, int image);
    /* the best rank of random set `seed`, 0 .. 2; below 1: the item has none */
    double (*control)(void *owner, int image, int item, int condition, int depth,
                      int seed);
    /* what was measured over all patches, NaN where it was not; NULL: no auc, 0.25 */
    double (*auc)(void *owner, int image, int item, int condition, int depth);
    double (*gap)(void *owner, int image, int item, int condition, int depth);
    /* names that the item's label is ranked among; NULL: n_candidates */
    int64_t (*candidates)(void *owner, int image, int item);
    void *owner;
} planted;

static double planted_n(const planted *p)
{
    return p->n_candidates > 0 ? p->n_candidates : 1024.0;
}

static double planted_scramble(int image, int item, int condition, int depth)
{
    const uint32_t x = (uint32_t)(image * 7919 + item * 104729 + condition * 1299709 +
                                  depth * 15485863 + 12345) *
                       2654435761U;
    return 1.0 + (double)((x >> 8) % 1000) / 2.0;
}

static const tap_store_condition PLANTED_CONDITIONS[TAP_N_CELLS] = {
    {"clean", "", 0},
    {"encoder_off", "vision: image <- image|cls", 1},
    {"decoder_off", "lm: image <- image", 2},
    {"both_off", "vision: image <- image|cls; lm: image <- image", 3}};

static const int32_t PLANTED_SQUARE[] = {4, 0, 0, 8, 0, 8, 8, 0, 8};

/* One control and one word of an item under one condition. */
static tap_status planted_beside(tap_store *store, int item, int condition, int depth,
                                 double rank, tap_error *err)
{
    const tap_store_control control = {.condition = condition,
                                       .depth = depth,
                                       .control = TAP_CONTROL_SHIFTED_MASK,
                                       .best_rank = 2 * rank};
    const tap_store_word word = {.patch = item % 16,
                                 .place = 1,
                                 .token_id = 7 + condition,
                                 .text = "\xe2\x96\x81word",
                                 .logit = rank,
                                 .probability = 0.5};
    TAP_TRY(tap_store_put_control(store, item, &control, err));
    return tap_store_put_word(store, item, condition, depth, &word, err);
}

/* Random sets of an item: the sets, then their ranks under every condition. */
static tap_status planted_controls(tap_store *store, const planted *p, int image,
                                   int item, tap_error *err)
{
    for (int seed = 0; seed < 3; seed++) {
        const tap_store_control_set set = {.control = TAP_CONTROL_RANDOM_PATCHES,
                                           .seed = seed};
        TAP_TRY(tap_store_put_control_set(store, item, &set, err));
        for (int c = 0; c < TAP_N_CELLS; c++)
            for (int d = 0; d < p->n_depths; d++) {
                const tap_store_control row = {
                    .condition = c,
                    .depth = d,
                    .control = TAP_CONTROL_RANDOM_PATCHES,
                    .seed = seed,
                    .best_rank = p->control(p->owner, image, item, c, d, seed)};
                if (row.best_rank >= 1.0)
                    TAP_TRY(tap_store_put_control(store, item, &row, err));
            }
    }
    return TAP_OK;
}

static tap_status planted_item(tap_store *store, const planted *p, int image, int item,
                               tap_error *err)
{
    const int category = p->category ? p->category(p->owner, image, item) : item % 3;
    const char letter[2] = {(char)('a' + category), '\0'};
    const char *label = p->label ? p->label(p->owner, image, item) : letter;
    const int32_t patches[2] = {item % 16, (item + 1) % 16};
    const bool excluded = p->exclude && (image * p->n_items + item) % 7 == 6;
    const tap_store_item row = {
        .ordinal = item,
        .object_id = "0",
        .object = p->object      ? p->object(p->owner, image, item)
                  : category % 2 ? "dog"
                                 : "cat",
        .part = label,
        .label = label,
        .area_px = 100 + item,
        .patches = patches,
        .n_patches = excluded ? 0 : 2,
        .raster_frac =
            excluded ? (double)NAN : (image * 7 + item * 3) % 10 / 10.0 + 0.05,
        .n_candidates = excluded        ? 0
                        : p->candidates ? p->candidates(p->owner, image, item)
                                        : (int64_t)planted_n(p),
        .outline = PLANTED_SQUARE,
        .n_outline = 9,
        .excluded = excluded ? "smaller than 64 px" : NULL};
    TAP_TRY(tap_store_put_item(store, &row, err));
    TAP_TRY(tap_store_put_form(store, label, label, 5 + category, 1, err));
    const tap_store_control_set set = {.control = TAP_CONTROL_SHIFTED_MASK,
                                       .patches = patches,
                                       .n_patches = 2,
                                       .label = label};
    if (!excluded)
        TAP_TRY(tap_store_put_control_set(store, item, &set, err));
    for (int c = 0; !excluded && c < TAP_N_CELLS; c++) {
        float ranks[2 * 64];
        for (int d = 0; d < p->n_depths; d++) {
            const double rank = p->rank ? p->rank(p->owner, image, item, c, d)
                                        : planted_scramble(image, item, c, d);
            const tap_store_score score = {
                .condition = c,
                .depth = d,
                .score = {rank, rank + 1, log2(rank) + 0.5,
                          p->auc ? p->auc(p->owner, image, item, c, d) : (double)NAN,
                          p->gap ? p->gap(p->owner, image, item, c, d) : 0.25},
                .null_best_rank = 2 * rank,
                .null_log2_rank = (double)NAN,
                .null_percentile = (double)NAN};
            TAP_TRY(tap_store_put_score(store, item, &score, err));
            if (p->beside)
                TAP_TRY(planted_beside(store, item, c, d, rank, err));
            ranks[2 * d] = (float)rank;
            ranks[2 * d + 1] = (float)rank + 2.0F;
        }
        TAP_TRY(tap_store_put_ranks(store, item, c, ranks, 2, err));
    }
    return p->control && !excluded ? planted_controls(store, p, image, item, err)
                                   : TAP_OK;
}

static tap_status planted_image(tap_store *store, const planted *p, int image,
                                tap_error *err)
{
    char name[32];
    (void)snprintf(name, sizeof name, "2008_%06d", image);
    const tap_store_image row = {.id = image,
                                 .name = name,
                                 .width_px = 500,
                                 .height_px = 333,
                                 .n_tiles = 1,
                                 .n_rows = 4,
                                 .n_cols = 4};
    bool done = false;
    TAP_TRY(tap_store_find_image(&done, store, image, name, err));
    if (done)
        return TAP_OK;
    TAP_TRY(tap_store_begin(store, &row, err));
    const tap_store_thumbnail thumbnail = {5, 3, "jpeg", 4};
    TAP_TRY(tap_store_put_thumbnail(store, &thumbnail, err));
    for (int i = 0; i < 16; i++) {
        const double x = 125.0 * (i % 4), y = 83.25 * (double)(i / 4);
        const tap_store_patch patch = {0, i / 4, i % 4, x, y, x + 125.0, y + 83.25};
        TAP_TRY(tap_store_put_patch(store, i, &patch, err));
    }
    const int n_items = p->count ? p->count(p->owner, image) : p->n_items;
    for (int item = 0; item < n_items; item++)
        TAP_TRY(planted_item(store, p, image, item, err));
    tap_head_receipt heads[4];
    for (int h = 0; h < 4; h++)
        heads[h] =
            (tap_head_receipt){.allowed = 100, .cut = h == 3, .used = 100 - (h == 3)};
    for (int c = 0; c < TAP_N_CELLS; c++)
        TAP_TRY(tap_store_put_receipt(store, c, TAP_VISION, heads, NULL, 2, 2, err));
    return tap_store_commit(store, err);
}

/* Writes or goes on writing. */
static tap_status planted_write(const char *path, const planted *p, tap_error *err)
{
    char candidates[32], n_images[32];
    (void)snprintf(candidates, sizeof candidates, "%.15g", planted_n(p));
    (void)snprintf(n_images, sizeof n_images, "%d", p->n_images);
    tap_fact facts[64] = {
        {"patches.threshold", p->threshold ? p->threshold : "0.5", true},
        {"readout.n_candidates", candidates, true},
        {"data.n_images", n_images, true},
        {"stats.bootstrap", p->bootstrap ? p->bootstrap : "200", false},
        {"stats.seed", "1", false},
        {"stats.metrics", "log_rank,mrr,hit@1,hit@10", false},
        {"stats.depth", "last", false},
        {"design.clean", "clean", false},
        {"design.encoder_off", "encoder_off", false},
        {"design.decoder_off", "decoder_off", false},
        {"design.both_off", "both_off", false},
    };
    size_t n_facts = 11;
    char shard[32];
    (void)snprintf(shard, sizeof shard, "%d/%d", p->shard, p->n_shards);
    if (p->n_shards)
        facts[n_facts++] = (tap_fact){"run.shard", shard, false};
    for (size_t i = 0; i < p->n_more; i++)
        facts[n_facts++] = p->more[i];
    int32_t depths[64];
    for (int d = 0; d < p->n_depths; d++)
        depths[d] = d;
    const tap_store_spec spec = {.facts = facts,
                                 .n_facts = n_facts,
                                 .conditions = PLANTED_CONDITIONS,
                                 .n_conditions = TAP_N_CELLS,
                                 .depths = depths,
                                 .n_depths = (size_t)p->n_depths};
    tap_store *store = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_store_open(&store, path, &spec, err));
    int written = 0;
    for (int i = p->shard; i < p->n_images; i += p->n_shards ? p->n_shards : 1) {
        if (p->stop_after && written == p->stop_after)
            break;
        written++;
        TAP_TRY_OUT(planted_image(store, p, i, err));
    }
    TAP_TRY_OUT(tap_store_finish(store, err));
out:
    tap_store_close(store);
    return status;
}

#endif

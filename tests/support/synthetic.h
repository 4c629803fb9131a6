/* Made-up ranks in arrays, as if they had been read from a results.db. */
#ifndef TAP_TESTS_SYNTHETIC_H
#define TAP_TESTS_SYNTHETIC_H

#include "base/memory.h"
#include "base/philox.h"
#include "lab/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct synthetic {
    int64_t n_images;
    int32_t n_objects, n_labels; /* classes; labels of each */
    int32_t n_depths;
    int least, most; /* parts per image */
    double n_candidates;
    uint64_t seed;
    int64_t n_resamples;
    bool metrics[TAP_N_METRICS];
    /* log2 of the best rank; random(owner, k) draws */
    double (*log2_rank)(const struct synthetic *s, int64_t image, int64_t item,
                        int condition, int32_t depth);
} synthetic;

enum { SYNTHETIC_ITEM, SYNTHETIC_IMAGE, SYNTHETIC_SHAPE };

/* A number in [0, 1) that depends on the seed and the place alone. */
static double synthetic_random(const synthetic *s, int64_t what, int64_t at, int64_t k)
{
    uint32_t words[4];
    const uint32_t counter[4] = {(uint32_t)at, (uint32_t)k, (uint32_t)what, 1};
    tap_philox(words, counter, s->seed);
    return ((double)words[0] + (double)words[1] * 0x1p-32) * 0x1p-32;
}

static tap_status synthetic_text(char **out, const char *name, int64_t i)
{
    return tap_text_format(out, NULL, "%s%lld", name, (long long)i);
}

static int synthetic_count(const synthetic *s, int64_t image)
{
    const double u = synthetic_random(s, SYNTHETIC_SHAPE, image, 0);
    return s->least + (int)(u * (double)(s->most - s->least + 1));
}

#define SYNTHETIC_TRY(call)                                                            \
    do {                                                                               \
        if ((call) != TAP_OK)                                                          \
            return TAP_ENOMEM;                                                         \
    } while (0)

/* Items of each image, their categories, and all ranks under the four cells. */
static tap_status synthetic_make(tap_stats_data *d, const synthetic *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_images; i++)
        n += synthetic_count(s, i);
    const size_t n_items = (size_t)n;
    int32_t *objects = NULL;
    *d = (tap_stats_data){.n_images = s->n_images,
                          .n_all_images = s->n_images,
                          .n_items = n,
                          .n_all_items = n,
                          .n_candidates = s->n_candidates,
                          .n_categories = s->n_objects * s->n_labels,
                          .n_conditions = TAP_N_CELLS,
                          .n_depths = s->n_depths,
                          .has_design = true,
                          .design = {0, 1, 2, 3},
                          .bootstrap = s->n_resamples,
                          .seed = (int64_t)(s->seed & 0xffffffff),
                          .depth = s->n_depths - 1};
    memcpy(d->metrics, s->metrics, sizeof d->metrics);
    SYNTHETIC_TRY(tap_alloc(&d->image, n_items, sizeof *d->image, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->category, n_items, sizeof *d->category, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->n_patches, n_items, sizeof *d->n_patches, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->raster, n_items, sizeof *d->raster, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->ids, n_items, sizeof *d->ids, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&objects, n_items, sizeof *objects, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->categories, (size_t)d->n_categories,
                            sizeof *d->categories, "", NULL));
    SYNTHETIC_TRY(
        tap_alloc(&d->conditions, TAP_N_CELLS, sizeof *d->conditions, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->texts, TAP_N_CELLS, sizeof *d->texts, "", NULL));
    SYNTHETIC_TRY(
        tap_alloc(&d->condition_ids, TAP_N_CELLS, sizeof *d->condition_ids, "", NULL));
    SYNTHETIC_TRY(
        tap_alloc(&d->depths, (size_t)d->n_depths, sizeof *d->depths, "", NULL));
    SYNTHETIC_TRY(tap_alloc(&d->best, n_items * TAP_N_CELLS * (size_t)d->n_depths,
                            sizeof *d->best, "", NULL));
    for (int32_t k = 0; k < d->n_categories; k++)
        SYNTHETIC_TRY(synthetic_text(&d->categories[k], "category", k));
    for (int c = 0; c < TAP_N_CELLS; c++) {
        d->condition_ids[c] = c;
        SYNTHETIC_TRY(synthetic_text(&d->conditions[c], "condition", c));
        SYNTHETIC_TRY(synthetic_text(&d->texts[c], "text", c));
    }
    for (int32_t k = 0; k < d->n_depths; k++)
        d->depths[k] = k;
    int64_t at = 0;
    for (int64_t i = 0; i < s->n_images; i++)
        for (int k = synthetic_count(s, i); k > 0; k--, at++) {
            const double u = synthetic_random(s, SYNTHETIC_SHAPE, at, 1);
            d->image[at] = (int32_t)i;
            objects[at] = (int32_t)(i % s->n_objects);
            d->category[at] =
                objects[at] * s->n_labels + (int32_t)(u * (double)s->n_labels);
            d->n_patches[at] = 1 + (int32_t)(7.0 * u);
            d->raster[at] = u;
            d->ids[at] = at;
            for (int c = 0; c < TAP_N_CELLS; c++)
                for (int32_t depth = 0; depth < d->n_depths; depth++)
                    d->best[((int64_t)c * d->n_depths + depth) * n + at] =
                        exp2(s->log2_rank(s, i, at, c, depth));
        }
    const tap_status status = tap_stats_data_put_strata(d, objects, NULL);
    tap_free(objects);
    return status;
}

#endif

/* Another part of the same object: for the control of that name, and for conditions that name
 * the group. And what all choices of patches share. */
#include "lab/control.h"

#include <stdlib.h>
#include <string.h>

/* Controls draw from a stream of their own. */
static const uint64_t CONTROL_KEY = UINT64_C(0x636f6e74726f6c73); /* "controls" */

tap_random tap_control_random(const tap_sweep_image *image, int64_t ordinal,
                              tap_control control, int32_t seed)
{
    return (tap_random){.key = CONTROL_KEY,
                        .purpose = {(uint32_t)image->id, (uint32_t)ordinal,
                                    (uint32_t)control << 8 | (uint32_t)seed}};
}

static int compare_places(const void *a, const void *b)
{
    const int32_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

void tap_control_choose(int32_t *places, int64_t n_from, int64_t n, tap_random *random)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = i + tap_random_next(random, (uint32_t)(n_from - i));
        const int32_t swap = places[i];
        places[i] = places[k];
        places[k] = swap;
    }
    qsort(places, (size_t)n, sizeof *places, compare_places);
}

void tap_control_free(uint8_t *is_free, const tap_items *annotation, const char *label,
                      const float *covers, int64_t n)
{
    memset(is_free, 1, (size_t)n);
    for (size_t q = 0; q < annotation->n_parts; q++)
        for (int64_t i = 0; strcmp(annotation->parts[q].label, label) == 0 && i < n;
             i++)
            is_free[i] &= !(covers[(int64_t)q * n + i] > 0.0F);
}

/* Patches by the experiment's rule, among the free ones, all of them if NULL; the one covered
 * most if none reaches the threshold. */
static int64_t patches_of(int32_t *out, const float *cover, const uint8_t *is_free,
                          int64_t n_all, double threshold)
{
    int64_t n = 0, best = -1;
    for (int64_t i = 0; i < n_all; i++) {
        if ((is_free && !is_free[i]) || cover[i] <= 0.0F)
            continue;
        best = best < 0 || cover[i] > cover[best] ? i : best;
        if ((double)cover[i] >= threshold)
            out[n++] = (int32_t)i;
    }
    if (n == 0 && best >= 0)
        out[n++] = (int32_t)best;
    return n;
}

tap_status tap_control_other_part(tap_sweep_item *item, const tap_sweep_image *image,
                                  const tap_sweep_setup *setup,
                                  const float *const covers[TAP_N_STACKS],
                                  const int64_t n[TAP_N_STACKS], tap_error *err)
{
    const tap_items *a = &image->annotation;
    const int64_t ordinal = item->part - a->parts;
    const double tau = setup->experiment->patches.threshold;
    tap_random random = tap_control_random(image, ordinal, TAP_CONTROL_OTHER_PART, 0);
    tap_sweep_other *other = &item->other;
    uint8_t *is_free[TAP_N_STACKS] = {NULL};
    tap_status status = TAP_OK;
    for (int s = 0; s < TAP_N_STACKS; s++) {
        TAP_TRY_OUT(tap_alloc(&is_free[s], (size_t)n[s], 1, "another part", err));
        TAP_TRY_OUT(tap_alloc(&other->patches[s], (size_t)n[s],
                              sizeof *other->patches[s], "another part", err));
        tap_control_free(is_free[s], a, item->part->label, covers[s], n[s]);
    }
    uint32_t n_seen = 0;
    for (size_t q = 0; q < a->n_parts; q++)
        if (a->parts[q].object == item->part->object &&
            strcmp(a->parts[q].label, item->part->label) != 0 &&
            patches_of(other->patches[TAP_LM], covers[TAP_LM] + (int64_t)q * n[TAP_LM],
                       is_free[TAP_LM], n[TAP_LM], tau) > 0 &&
            tap_random_next(&random, ++n_seen) == 0)
            other->part = (int64_t)q;
    for (int s = 0; s < TAP_N_STACKS && other->part >= 0; s++) {
        const int64_t n_own =
            patches_of(other->patches[s], covers[s] + ordinal * n[s], NULL, n[s], tau);
        const int64_t n_other = patches_of(
            other->patches[s], covers[s] + other->part * n[s], is_free[s], n[s], tau);
        /* from here both grids draw alike, so that equal grids have equal patches */
        tap_random draws = random;
        other->n_patches[s] = n_other < n_own ? n_other : n_own;
        tap_control_choose(other->patches[s], n_other, other->n_patches[s], &draws);
        if (n_other == 0)
            other->part = -1;
    }
out:
    for (int s = 0; s < TAP_N_STACKS; s++)
        tap_free(is_free[s]);
    return status;
}

#include "lab/probe.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static int compare_floats(const void *a, const void *b)
{
    const float *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Best value over the forms: the smallest rank or the largest logit. */
static float best_form(const float *row, const int32_t *forms, int64_t n, bool largest)
{
    float best = row[forms[0]];
    for (int64_t f = 1; f < n; f++) {
        const float value = row[forms[f]];
        if (largest ? value > best : value < best)
            best = value;
    }
    return best;
}

/* P(inside > outside) + P(inside = outside) / 2 over all pairs. */
static double area_under_roc(float *inside, int64_t n_in, float *outside, int64_t n_out)
{
    if (n_in == 0 || n_out == 0)
        return (double)NAN;
    qsort(inside, (size_t)n_in, sizeof *inside, compare_floats);
    qsort(outside, (size_t)n_out, sizeof *outside, compare_floats);
    double wins = 0.0;
    for (int64_t i = 0, below = 0, upto = 0; i < n_in; i++) {
        while (below < n_out && outside[below] < inside[i])
            below++;
        while (upto < n_out && outside[upto] <= inside[i])
            upto++;
        wins += (double)below + 0.5 * (double)(upto - below);
    }
    return wins / ((double)n_in * (double)n_out);
}

static double locate(const tap_probe_input *in, float *scratch)
{
    float *inside = scratch, *outside = scratch + in->n_patches;
    int64_t n_in = 0, n_out = 0;
    for (int64_t i = 0; i < in->n_image; i++) {
        const float z =
            best_form(in->logits + i * in->n_labels, in->forms, in->n_forms, true);
        if (n_in < in->n_patches && in->images[n_in] == i)
            inside[n_in++] = z;
        else
            outside[n_out++] = z;
    }
    assert(n_in == in->n_patches);
    return area_under_roc(inside, n_in, outside, n_out);
}

tap_status tap_probe_run(tap_score *score, float *patch_ranks,
                         const tap_probe_input *input, tap_error *err)
{
    const tap_probe_input *in = input;
    assert(in->n_patches > 0 && in->n_forms > 0);
    float *scratch = NULL;
    TAP_TRY(tap_alloc(&scratch, (size_t)(in->n_patches + in->n_image), sizeof *scratch,
                      "a probe", err));
    double log_sum = 0.0;
    for (int64_t p = 0; p < in->n_patches; p++) {
        const float r = best_form(in->ranks + in->rows[p] * in->n_labels, in->forms,
                                  in->n_forms, false);
        scratch[p] = r;
        log_sum += log2((double)r);
        if (patch_ranks)
            patch_ranks[p] = r;
    }
    qsort(scratch, (size_t)in->n_patches, sizeof *scratch, compare_floats);
    const int64_t n = in->n_patches;
    *score = (tap_score){
        .best_rank = (double)scratch[0],
        .median_rank = ((double)scratch[(n - 1) / 2] + (double)scratch[n / 2]) / 2.0,
        .mean_log2_rank = log_sum / (double)n,
        .auc_loc = in->logits ? locate(in, scratch) : (double)NAN};
    tap_free(scratch);
    return TAP_OK;
}

double tap_probe_best(const float *ranks, int64_t n_labels, const int32_t *forms,
                      int64_t n_forms, const int32_t *patches, int64_t n_patches,
                      const int64_t *row_of)
{
    float best = INFINITY;
    for (int64_t p = 0; p < n_patches; p++) {
        assert(row_of[patches[p]] >= 0);
        const float r =
            best_form(ranks + row_of[patches[p]] * n_labels, forms, n_forms, false);
        best = r < best ? r : best;
    }
    return (double)best;
}

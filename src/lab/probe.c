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
        if (n_in < in->n_patches && in->patches[n_in] == i)
            inside[n_in++] = in->logits[i];
        else
            outside[n_out++] = in->logits[i];
    }
    assert(n_in == in->n_patches);
    return area_under_roc(inside, n_in, outside, n_out);
}

static double measure_gap(const tap_probe_input *in)
{
    double inside = 0.0, outside = 0.0;
    for (int64_t i = 0, n_in = 0; i < in->n_image; i++) {
        const bool is_in = n_in < in->n_patches && in->patches[n_in] == i;
        *(is_in ? &inside : &outside) += (double)in->log_ps[i];
        n_in += is_in;
    }
    const int64_t n_out = in->n_image - in->n_patches;
    return n_out > 0 ? inside / (double)in->n_patches - outside / (double)n_out
                     : (double)NAN;
}

tap_status tap_probe_run(tap_score *score, const tap_probe_input *input, tap_error *err)
{
    const tap_probe_input *in = input;
    const int64_t n = in->n_patches;
    assert(n > 0);
    float *scratch = NULL;
    TAP_TRY(tap_alloc(&scratch, (size_t)(n + in->n_image), sizeof *scratch, "a probe",
                      err));
    double log_sum = 0.0;
    for (int64_t p = 0; p < n; p++) {
        scratch[p] = in->ranks[p];
        log_sum += log2((double)in->ranks[p]);
    }
    qsort(scratch, (size_t)n, sizeof *scratch, compare_floats);
    *score = (tap_score){
        .best_rank = (double)scratch[0],
        .median_rank = ((double)scratch[(n - 1) / 2] + (double)scratch[n / 2]) / 2.0,
        .mean_log2_rank = log_sum / (double)n,
        .auc_loc = in->logits ? locate(in, scratch) : (double)NAN,
        .gap = in->log_ps ? measure_gap(in) : (double)NAN};
    tap_free(scratch);
    return TAP_OK;
}

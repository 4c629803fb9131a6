/* How well a part is found: ranks of its name over its patches become scores of the part. */
#ifndef TAP_LAB_PROBE_H
#define TAP_LAB_PROBE_H

#include "base/error.h"

/* One part under one condition at one depth (METHOD: per part). */
typedef struct tap_score {
    double best_rank;      /* min over patches of r_i, r_i = min over label forms */
    double median_rank;    /* median over patches (mean of the middle two) */
    double mean_log2_rank; /* mean over patches of log2 r_i */
    double auc_loc; /* area under ROC of z_y: patches of the part against all other
                              patches; NaN when one side is empty or logits are absent */
} tap_score;

/* What a probe reads of one image under one condition at one depth. */
typedef struct tap_probe_input {
    const float *ranks;  /* [n_rows][n_labels] */
    const float *logits; /* [n_image][n_labels] label logits of all patches, or NULL */
    int64_t n_labels, n_image;
    const int32_t *forms; /* [n_forms] columns of the part's label forms */
    int64_t n_forms;
    const int64_t *rows; /* [n_patches] rows of ranks that are the part's patches */
    const int64_t
        *images; /* [n_patches] the same patches among the n_image, ascending */
    int64_t n_patches;
} tap_probe_input;

/* score, and patch_ranks [n_patches] (may be NULL): best form's rank per patch.
 * Errors: TAP_ENOMEM.  Memory: O(n_image).  Threads: safe.  Checked: test_probe.c. */
TAP_NODISCARD tap_status tap_probe_run(tap_score *score, float *patch_ranks,
                                       const tap_probe_input *input, tap_error *err);

/* Best rank over patches and forms. ranks [n_rows][n_labels]; patches [n_patches] image
 * tokens; row_of: their rows. */
double tap_probe_best(const float *ranks, int64_t n_labels, const int32_t *forms,
                      int64_t n_forms, const int32_t *patches, int64_t n_patches,
                      const int64_t *row_of);

#endif

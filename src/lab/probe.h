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
                              patches; NaN when one side is empty or z_y is absent */
    double gap; /* mean log p_y of the part's patches minus that of all others, nats;
                              NaN when one side is empty or log p_y is absent */
} tap_score;

/* What a probe reads of one image under one condition at one depth: for the label y by its
 * best form. */
typedef struct tap_probe_input {
    const float *ranks;     /* [n_patches] r_i of the part's patches */
    const int32_t *patches; /* [n_patches] these among the n_image, ascending */
    int64_t n_patches, n_image;
    const float *logits; /* [n_image] z_y of all patches, or NULL */
    const float *log_ps; /* [n_image] log p_y of all patches, or NULL */
} tap_probe_input;

/* Errors: TAP_ENOMEM.  Memory: O(n_image).  Threads: safe.  Checked: test_probe.c. */
TAP_NODISCARD tap_status tap_probe_run(tap_score *score, const tap_probe_input *input,
                                       tap_error *err);

#endif

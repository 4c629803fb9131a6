/* Does the part's name stand out at the part, against the other patches of the photograph? What
 * `readout.locate` measured, averaged.
 *
 *   auc  area under the ROC of the label's logit, part's patches against all others
 *   gap  mean log-probability of the label inside the part minus outside, nats
 *
 * Neither is a rank, so neither has an N; ratios of the design use no delta. */
#ifndef TAP_LAB_STATS_LOCATE_H
#define TAP_LAB_STATS_LOCATE_H

#include "lab/stats_control.h"

/* Macro averages over the items that have a value everywhere. */
typedef struct tap_located {
    tap_locate what;
    int64_t n_items, n_images;
    tap_estimate *score;  /* [n_depths][n_conditions] */
    tap_estimate *design; /* [n_depths][TAP_N_QUANTITIES]; NULL without a design */
} tap_located;

typedef struct tap_located_results {
    tap_located results[TAP_N_LOCATES]; /* [n] those that the database holds */
    int n;
} tap_located_results;

/* Errors: TAP_EIO, TAP_EFORMAT, TAP_ENOMEM.   tap_located_results_clear it.
 * Threads: the numbers do not depend on how many.
 * Checked: test_stats_locate.c, by hand and against tap_group_means. */
TAP_NODISCARD tap_status tap_located_results_run(tap_located_results *out,
                                                 const tap_stats_data *data,
                                                 const tap_store *store,
                                                 const tap_stats_settings *settings,
                                                 tap_error *err);
void tap_located_results_clear(tap_located_results *results);

#endif

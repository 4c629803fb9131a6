/* What a 2x2 of scores says: damages, recovery, compensation, interaction. */
#ifndef TAP_LAB_STATS_DESIGN_H
#define TAP_LAB_STATS_DESIGN_H

#include "lab/stats_plan.h"

/* With s11 clean, s01 encoder off, s10 decoder off, s00 both off. */
typedef enum tap_quantity {
    TAP_Q_DEFICIT, /* s11 - s00: what both cuts cost */
    TAP_Q_D0,      /* s10 - s00: what the encoder cut costs without the decoder */
    TAP_Q_D1,      /* s11 - s01: what it costs with the decoder */
    TAP_Q_I,       /* s01 + s10 - s00 - s11: interaction; > 0: substitutes */
    TAP_Q_R,       /* (s01 - s00) / (s11 - s00): recovered by the decoder alone */
    TAP_Q_RV,      /* (s10 - s00) / (s11 - s00): the same of the encoder alone */
    TAP_Q_CI,      /* 1 - d1 / d0: damage that disappears with the decoder */
    TAP_N_QUANTITIES
} tap_quantity;

const char *tap_quantity_name(tap_quantity quantity); /* "R", "CI", ... */

/* One quantity of one 2x2, by its formula: NaN or infinite where it divides by 0. */
double tap_quantity_of(tap_quantity quantity, const double s[TAP_N_CELLS]);

/* How sure a design has to be. */
typedef struct tap_design_rule {
    double level; /* of the intervals */
    double delta; /* smallest denominator of S for ratios */
} tap_design_rule;

/* All quantities from rows [n_rows] of the four cells. A ratio is NA when the percentile
 * interval of its denominator includes 0 or (in S) its size is below delta; a resample in
 * which the denominator has the other sign counts as undefined. The identities
 * R + R_V - 1 = I / (s11 - s00) and CI = I / d0 are asserted, in every build.
 *
 * rows [n_rows], scratch [n_resamples].
 * Errors: TAP_EBUG when an identity does not hold.   Threads: safe. */
TAP_NODISCARD tap_status tap_design_run(tap_estimate out[TAP_N_QUANTITIES],
                                        const double *const cells[TAP_N_CELLS],
                                        tap_metric metric, const tap_draws *draws,
                                        const tap_design_rule *rule, double *rows,
                                        double *scratch, tap_error *err);

#endif

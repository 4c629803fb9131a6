#include "lab/stats_design.h"

#include <assert.h>
#include <math.h>

/* A difference of scores below it is 0 but for rounding. */
static const double ROUNDING = 1e-12;

static const char *const QUANTITIES[] = {"deficit", "d0", "d1", "I", "R", "R_V", "CI"};
static_assert(sizeof QUANTITIES / sizeof QUANTITIES[0] == TAP_N_QUANTITIES,
              "a name each");

static const char *const NA_ZERO = "the interval of the denominator includes 0";
static const char *const NA_SMALL = "the denominator is smaller than the set delta";

const char *tap_quantity_name(tap_quantity quantity)
{
    return QUANTITIES[quantity];
}

double tap_quantity_of(tap_quantity quantity, const double s[TAP_N_CELLS])
{
    const double deficit = s[TAP_S11] - s[TAP_S00];
    const double d0 = s[TAP_S10] - s[TAP_S00], d1 = s[TAP_S11] - s[TAP_S01];
    switch (quantity) {
    case TAP_Q_DEFICIT:
        return deficit;
    case TAP_Q_D0:
        return d0;
    case TAP_Q_D1:
        return d1;
    case TAP_Q_I:
        return s[TAP_S01] + s[TAP_S10] - s[TAP_S00] - s[TAP_S11];
    case TAP_Q_R:
        return (s[TAP_S01] - s[TAP_S00]) / deficit;
    case TAP_Q_RV:
        return d0 / deficit;
    case TAP_Q_CI:
        return 1.0 - d1 / d0;
    case TAP_N_QUANTITIES:
        break;
    }
    return (double)NAN;
}

static bool is_ratio(tap_quantity quantity)
{
    return quantity >= TAP_Q_R;
}

static tap_quantity denominator_of(tap_quantity quantity)
{
    return quantity == TAP_Q_CI ? TAP_Q_D0 : TAP_Q_DEFICIT;
}

/* Writes the rows of a quantity; a ratio has no value in rows where its denominator has
 * not the sign that it has in the data. */
static void quantity_rows(double *rows, int64_t n_rows, tap_quantity quantity,
                          const double *const cells[TAP_N_CELLS])
{
    double sign = 0.0;
    for (int64_t row = 0; row < n_rows; row++) {
        double s[TAP_N_CELLS];
        for (int c = 0; c < TAP_N_CELLS; c++)
            s[c] = cells[c][row];
        rows[row] = tap_quantity_of(quantity, s);
        if (!is_ratio(quantity))
            continue;
        const double below = tap_quantity_of(denominator_of(quantity), s);
        if (row == 0)
            sign = below;
        if (!(below * sign > 0.0) || fabs(below) < ROUNDING)
            rows[row] = (double)NAN;
    }
}

/* Both identities, up to what rounding makes of a small denominator. */
static tap_status check_identities(const tap_estimate *q, tap_error *err)
{
    const double i = q[TAP_Q_I].value;
    const double by_deficit = i / q[TAP_Q_DEFICIT].value, by_d0 = i / q[TAP_Q_D0].value;
    const double r = q[TAP_Q_R].value + q[TAP_Q_RV].value - 1.0, ci = q[TAP_Q_CI].value;
    const double slack_r = 1e-13 / fabs(q[TAP_Q_DEFICIT].value);
    const double slack_ci = 1e-13 / fabs(q[TAP_Q_D0].value);
    if ((isfinite(r) && fabs(r - by_deficit) > 1e-9 * (1.0 + fabs(r)) + slack_r) ||
        (isfinite(ci) && fabs(ci - by_d0) > 1e-9 * (1.0 + fabs(ci)) + slack_ci))
        return TAP_FAIL(err, TAP_EBUG,
                        "R + R_V - 1 = %.17g is not I / (s11 - s00) = %.17g, or CI = "
                        "%.17g is not I / d0 = %.17g",
                        r, by_deficit, ci, by_d0);
    return TAP_OK;
}

tap_status tap_design_run(tap_estimate out[TAP_N_QUANTITIES],
                          const double *const cells[TAP_N_CELLS], tap_metric metric,
                          const tap_draws *draws, const tap_design_rule *rule,
                          double *rows, double *scratch, tap_error *err)
{
    const int64_t n_rows = tap_draws_rows(draws);
    for (int q = 0; q < TAP_N_QUANTITIES; q++) {
        quantity_rows(rows, n_rows, (tap_quantity)q, cells);
        out[q] = tap_interval_run(rows, draws, rule->level, scratch);
    }
    TAP_TRY(check_identities(out, err));
    for (int q = 0; q < TAP_N_QUANTITIES; q++) {
        if (!is_ratio((tap_quantity)q))
            continue;
        const tap_estimate *below = &out[denominator_of((tap_quantity)q)];
        const bool tiny =
            fabs(below->value) < rule->delta && metric == TAP_METRIC_LOG_RANK;
        /* without resamples there is no interval that could include 0 */
        const bool spans = draws->n_resamples > 0
                               ? !(below->low > ROUNDING || below->high < -ROUNDING)
                               : !(fabs(below->value) >= ROUNDING);
        if (tiny || spans)
            out[q] = (tap_estimate){.value = (double)NAN,
                                    .low = (double)NAN,
                                    .high = (double)NAN,
                                    .bca_low = (double)NAN,
                                    .bca_high = (double)NAN,
                                    .undefined = out[q].undefined,
                                    .na = spans ? NA_ZERO : NA_SMALL};
    }
    return TAP_OK;
}

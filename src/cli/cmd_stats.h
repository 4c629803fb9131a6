/* What `stats` prints, for people (and `demo`) and for programs. */
#ifndef TAP_CLI_CMD_STATS_H
#define TAP_CLI_CMD_STATS_H

#include "lab/stats_words.h"

/* Counts, exclusions, the 2x2 at every depth, tests, controls, strata, doses, and what all
 * that says in words. */
TAP_NODISCARD tap_status tap_stats_put_text(const tap_stats *stats, tap_error *err);

/* One object a line, each with "table": counts, exclusion, score, test, test_curve, control,
 * stratum, dose, area, conclusion. */
TAP_NODISCARD tap_status tap_stats_put_json(const tap_stats *stats, tap_error *err);

#endif

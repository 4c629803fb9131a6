/* The text table of `stats`, which `demo` prints too. */
#ifndef TAP_CLI_CMD_STATS_H
#define TAP_CLI_CMD_STATS_H

#include "lab/stats.h"

TAP_NODISCARD tap_status tap_stats_put_text(const tap_stats *stats, tap_error *err);

#endif

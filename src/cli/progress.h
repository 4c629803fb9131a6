/* How far is it? One line on stderr, redrawn on a terminal; elsewhere a line per 30 s. */
#ifndef TAP_CLI_PROGRESS_H
#define TAP_CLI_PROGRESS_H

#include "cli/cli.h"

typedef struct tap_progress {
    const char *unit; /* "images" */
    int64_t total, first;
    double started_s, last_s; /* monotonic */
    /* done in this run so far, and spared by sharing; the caller keeps them true, 0: not
     * counted. What all units take is estimated from those done. */
    double flop, flop_saved;
    bool on, terminal, drawn;
} tap_progress;

/* done of total are there already (a resumed run); they do not count for the rate. */
void tap_progress_init(tap_progress *progress, const tap_cli *cli, const char *unit,
                       int64_t total, int64_t done);
/* Draws if it is time to: ten times a second at most. */
void tap_progress_put(tap_progress *progress, int64_t done);
/* Ends the line. Call it before anything else is printed. */
void tap_progress_clear(tap_progress *progress);

/* "831 MFLOP", "12.3 GFLOP", "4.07 TFLOP" */
void tap_progress_flop(char text[32], double flop);

/* "1 h 02 min", "3 min 20 s", "12 s" */
void tap_progress_time(char text[32], double s);

#endif

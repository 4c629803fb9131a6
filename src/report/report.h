/* One page that answers the question and lets a reader go from the headline to a patch. */
#ifndef TAP_REPORT_REPORT_H
#define TAP_REPORT_REPORT_H

#include "report/data.h"

typedef struct tap_report_options {
    tap_images images;
    int n_threads;            /* 0: all processors */
    const char *command_line; /* that makes the page again; may be NULL */
} tap_report_options;

/* Writes one self-contained HTML file of n databases, in that order ("-": stdout). It
 * loads nothing, works from disk, and shows its figures without scripts.
 *
 * Errors: those of the statistics, naming the database; TAP_EIO.
 * Memory: the page and the ranks of one database at a time.
 * Checked: test_report.c, tests/cli/t1200-report.sh in a browser. */
TAP_NODISCARD tap_status tap_report_write(const char *path,
                                          const tap_store *const *stores, size_t n,
                                          const tap_report_options *options,
                                          tap_error *err);

#endif

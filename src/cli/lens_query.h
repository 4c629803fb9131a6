/* One question of `tapetum lens`: what the options ask for, and what the lens found. */
#ifndef TAP_CLI_LENS_QUERY_H
#define TAP_CLI_LENS_QUERY_H

#include "cli/subject.h"
#include "lab/label.h"
#include "read/source.h"

typedef struct tap_lens_query {
    tap_subject subject;
    tap_labels labels;
    size_t n_asked; /* labels 0 .. n_asked - 1 are those of --label */
    tap_label_spellings spellings;
    int32_t *columns; /* [spellings.n] of each among what the lens ranked */
    bool closed;      /* --candidates: ranks among the words of labels */
    int64_t n_top;
    tap_readout readout;
    const char *readout_name, *state_name; /* "depth" or "block" */
    tap_lens *lens;
} tap_lens_query;

/* Prints everything found, as JSON Lines or for people. */
TAP_NODISCARD tap_status tap_lens_query_print(const tap_lens_query *query,
                                              const tap_cli *cli, tap_error *err);

#endif

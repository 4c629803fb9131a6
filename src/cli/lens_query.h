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

/* out [n_image] = rank of a label at each patch, by its best form, or among the candidates;
 * infinite where it has none. */
TAP_NODISCARD tap_status tap_lens_query_ranks(float *out, const tap_lens_query *query,
                                              int64_t condition, int state,
                                              int32_t label, tap_error *err);

/* Heat maps of every label under a condition, when somebody looks. */
TAP_NODISCARD tap_status tap_lens_query_maps(const tap_lens_query *query,
                                             const tap_cli *cli, int64_t condition,
                                             tap_error *err);
/* A bar for a rank, when somebody looks. */
void tap_lens_query_bar(char out[64], const tap_lens_query *query, const tap_cli *cli,
                        double rank);

/* TAP_EINVAL unless the path ends in .html, .png, .svg or .pdf and there is a label. */
TAP_NODISCARD tap_status tap_lens_output_check(const char *path, size_t n_labels,
                                               tap_error *err);
/* A page, or a picture of the last depth. */
TAP_NODISCARD tap_status tap_lens_query_write(const tap_lens_query *query,
                                              const tap_cli *cli, const char *path,
                                              tap_error *err);

/* Prints everything found, as JSON Lines or for people. */
TAP_NODISCARD tap_status tap_lens_query_print(const tap_lens_query *query,
                                              const tap_cli *cli, tap_error *err);

#endif

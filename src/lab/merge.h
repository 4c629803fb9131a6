/* Shards of one experiment become one database, with the rows of one run. */
#ifndef TAP_LAB_MERGE_H
#define TAP_LAB_MERGE_H

#include "lab/store.h"

typedef struct tap_merged {
    int64_t n_images, n_items, n_scores;
} tap_merged;

/* Joins the databases at paths [n_paths] into a new file at `path`, which appears complete
 * or not at all. Facts that are not the same in all shards (run.shard, times of a run) are
 * left out; ids are those of the shards, which are those of the experiment.
 *
 * Errors: TAP_EINVAL when `path` exists, when a shard is of another experiment (the message
 *         says which facts differ) or when two shards hold the same image; those of
 *         tap_store_open_read.
 * Checked: test_merge.c, rows of shards against rows of one run. */
TAP_NODISCARD tap_status tap_merge(tap_merged *out, const char *path,
                                   const char *const *paths, size_t n_paths,
                                   tap_error *err);

#endif

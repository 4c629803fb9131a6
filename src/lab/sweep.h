/* Images times conditions: the experiment itself, batch by batch, into results.db.
 *
 *   tap_sweep_open(&sweep, &experiment, "results.db", &options, err)
 *   for (bool more = true; more;) tap_sweep_step(&more, sweep, err)
 *   tap_sweep_finish(sweep, err); tap_sweep_close(sweep)
 *
 * Between steps the database is complete for every image done so far: a sweep may stop, be
 * killed and be opened again, and gives the same rows as one that ran through. */
#ifndef TAP_LAB_SWEEP_H
#define TAP_LAB_SWEEP_H

#include "lab/dataset.h"
#include "tensor/kernels.h"

typedef struct tap_sweep_options {
    const tap_kernels *kernels; /* NULL: the fastest table */
    int n_threads;              /* 0: all processors */
    size_t memory_bytes;        /* beside the mapped weights; 0: a quarter of the RAM */
    int64_t batch_images;       /* images at once; 0: as many as help and fit */
    int shard, n_shards;        /* this run takes images i with i % n_shards == shard */
    bool skip_nothing;          /* compute rows nobody reads, too, for comparison */
    bool share_nothing;         /* compute every condition on its own, for comparison */
    const char *command_line;   /* for the manifest; may be NULL */
    const tap_dataset_progress *reading; /* of the annotations; may be NULL */
} tap_sweep_options;

typedef struct tap_sweep_counts {
    int64_t n_images, n_done; /* of this shard; done in this run or before */
    int64_t n_items, n_scored, n_excluded; /* of the images of this run */
    double flop_done, flop_unshared;       /* products of this run; without sharing */
    double flop_lens;
    double seconds;                    /* of this run inside the model and the lens */
    size_t state_bytes;                /* the largest reservation so far */
    size_t memory_bytes, weight_bytes; /* allowed beside the weights; the weights */
    int64_t n_plans;                /* different runs of an image, summed over images */
    int64_t n_depths, n_candidates; /* read; words or names of the largest set */
} tap_sweep_counts;

typedef struct tap_sweep tap_sweep;

/* Opens model, data and database; checks every condition. The experiment is borrowed.
 * Errors: those of the rooms, each naming the file and what to change. */
TAP_NODISCARD tap_status tap_sweep_open(tap_sweep **out, tap_experiment *experiment,
                                        const char *database_path,
                                        const tap_sweep_options *options,
                                        tap_error *err);
/* What a sweep would do: every image, mask and condition is read and checked, nothing is
 * computed or written. FLOPs are those the sweep will do; an image that does not fit into
 * the memory is refused with need and have. */
TAP_NODISCARD tap_status tap_sweep_dry_run(tap_sweep_counts *out,
                                           tap_experiment *experiment,
                                           const tap_sweep_options *options,
                                           tap_error *err);
/* Runs the next images and writes them; *more: some are left. */
TAP_NODISCARD tap_status tap_sweep_step(bool *more, tap_sweep *sweep, tap_error *err);
/* Leaves one file behind. */
TAP_NODISCARD tap_status tap_sweep_finish(tap_sweep *sweep, tap_error *err);
const tap_sweep_counts *tap_sweep_progress(const tap_sweep *sweep);
/* What is written stays; an image that was begun is undone. */
void tap_sweep_close(tap_sweep *sweep);

#endif

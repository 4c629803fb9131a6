/* Inside the sweep: what it holds, one batch of images, and how that becomes rows. */
#ifndef TAP_LAB_SWEEP_OWN_H
#define TAP_LAB_SWEEP_OWN_H

#include "lab/store.h"
#include "lab/sweep.h"
#include "lab/sweep_image.h"
#include "read/lens.h"

enum { TAP_SWEEP_BATCH = 64 };

struct tap_sweep {
    tap_experiment *experiment;
    tap_sweep_options options;
    tap_model *model;
    tap_dataset *dataset;
    tap_store *store;
    tap_survey survey;
    tap_labels labels;
    tap_condition **conditions; /* [n_conditions] */
    char **texts;               /* canonical */
    int64_t n_conditions;
    uint64_t *depth_bits, *top_bits; /* depths that are scored; that keep top words */
    int32_t *depths;
    size_t n_depths;
    int64_t next; /* image to look at next */
    tap_sweep_counts counts;
};

/* One pass of a picture (or of words) through the model under an image's plans. */
typedef struct tap_sweep_run {
    int64_t image; /* index in the batch */
    tap_sweep_source source;
} tap_sweep_run;

/* Images that go through the model together, and their lens. */
typedef struct tap_sweep_batch {
    tap_sweep_image images[TAP_SWEEP_BATCH];
    int64_t n;
    tap_sweep_run runs[TAP_SWEEP_BATCH * TAP_N_SOURCES]; /* [n_runs] */
    int64_t n_runs, n_plans; /* plans of the image that has most */
    int64_t run_of[TAP_SWEEP_BATCH][TAP_N_SOURCES]; /* index in runs; -1: none */
    tap_lens *lens;
    tap_lens *words; /* top words; NULL when none are kept */
    tap_receipts receipts;
} tap_sweep_batch;

/* Lists what must go through the model for the images from `first` on. */
void tap_sweep_list_runs(tap_sweep_batch *b, int64_t first);

/* What running a batch takes and does. */
typedef struct tap_sweep_cost {
    size_t
        bytes; /* states, ranks, logits, pictures, scratch; beside the mapped weights */
    double flop, flop_unshared, flop_lens;
} tap_sweep_cost;

TAP_NODISCARD tap_status tap_sweep_batch_cost(tap_sweep_cost *out,
                                              const tap_sweep *sweep,
                                              const tap_sweep_batch *b, tap_error *err);
/* Whether one more image may join the batch: it fits into the memory and helps. */
TAP_NODISCARD tap_status tap_sweep_batch_fits(bool *fits, const tap_sweep *sweep,
                                              const tap_sweep_batch *b, tap_error *err);
TAP_NODISCARD tap_status tap_sweep_batch_run(tap_sweep_batch *b, tap_sweep *sweep,
                                             tap_error *err);
void tap_sweep_batch_free(tap_sweep_batch *b);

/* Writes image `index` of a batch that was run, as one transaction. */
TAP_NODISCARD tap_status tap_sweep_put_image(tap_sweep *sweep, const tap_sweep_batch *b,
                                             int64_t index, tap_error *err);

#endif

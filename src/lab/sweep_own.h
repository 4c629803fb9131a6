/* Inside the sweep: what it holds, one batch of images, and how that becomes rows. */
#ifndef TAP_LAB_SWEEP_OWN_H
#define TAP_LAB_SWEEP_OWN_H

#include "lab/store.h"
#include "lab/sweep.h"
#include "lab/sweep_image.h"

enum { TAP_SWEEP_BATCH = 64 };

struct tap_sweep {
    tap_experiment *experiment;
    tap_sweep_options options;
    tap_model *model;
    tap_dataset *dataset;
    tap_store *store;
    tap_survey survey;
    tap_labels labels;
    tap_candidate_sets sets;    /* empty: the vocabulary */
    tap_translator *translator; /* NULL: none */
    const tap_tensor *words;    /* [n_words][d] that states are compared with */
    float *word_scale;          /* [n_words], or NULL */
    int n_states;               /* of the readout's kind that the model has */
    tap_condition **conditions; /* [n_conditions] */
    char **texts;               /* canonical */
    int64_t n_conditions;
    uint64_t *depth_bits, *top_bits; /* depths that are scored; that keep top words */
    int32_t *depths;
    size_t n_depths;
    int64_t next;    /* image to look at next */
    tap_arena arena; /* of the runs, one after the other */
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
    tap_lens *words;    /* top words; NULL when none are kept */
    tap_source *source; /* NULL: the lenses watch the residual stream themselves */
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

/* Whether something is measured over all image tokens. */
bool tap_sweep_locates(const tap_sweep *sweep);
/* Words or names that an item's label is ranked among. */
int64_t tap_sweep_n_candidates(const tap_sweep *sweep, const tap_sweep_item *item);

/* One item of a batch that was run, in one picture, under one plan, at one depth. */
typedef struct tap_sweep_view {
    const tap_sweep *sweep;
    const tap_sweep_batch *batch;
    int64_t index; /* of the image in the batch */
    const tap_sweep_item *item;
    tap_sweep_source source;
    int64_t variant; /* plan of the image */
    size_t depth;    /* index in the sweep's depths */
} tap_sweep_view;

/* ranks [n_patches] of a label at patches that are read, by its best form: in the
 * vocabulary, or among the names of the item's set. A label that is not in the set takes the
 * place of the item's own. scratch [names of the largest set]. */
void tap_sweep_rank(float *ranks, const tap_sweep_view *view, int64_t label,
                    const int32_t *patches, int64_t n_patches, float *scratch);
/* logits, log_ps [n_image] of the item's label at all image tokens of the photo; either may
 * be NULL. p is the softmax over the words that the label is ranked among. */
void tap_sweep_locate(float *logits, float *log_ps, const tap_sweep_view *view,
                      float *scratch);

/* Writes image `index` of a batch that was run, as one transaction. */
TAP_NODISCARD tap_status tap_sweep_put_image(tap_sweep *sweep, const tap_sweep_batch *b,
                                             int64_t index, tap_error *err);

#endif

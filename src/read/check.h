/* Do the promises hold on this very model and image? The ten invariants of docs/method.md,
 * each computed and compared, not assumed.
 *
 * Conditions are computed side by side without sharing, so that equality is found and not
 * built in. What must be equal is compared in every bit; sums and a second implementation
 * of attention (additive masks, f64, from the run's own q, k and v) within a tolerance. */
#ifndef TAP_READ_CHECK_H
#define TAP_READ_CHECK_H

#include "read/group.h"

typedef enum tap_verdict { TAP_HOLDS, TAP_FAILS, TAP_NOT_HERE } tap_verdict;

enum { TAP_N_INVARIANTS = 10 };

typedef struct tap_check_row {
    const char *name, *invariant; /* "empty", one line */
    char compared[120];
    double largest; /* difference found, in the unit of what is compared */
    tap_verdict verdict;
    char why[240]; /* of a failure, or of what this model or prompt does not have */
} tap_check_row;

typedef struct tap_check_spec {
    const tap_model *model;
    const tap_scene *scene;
    const tap_kernels *kernels;
    int n_threads;
    uint32_t skip; /* bit i: leave out invariant i (0-based) */
    void (*progress)(void *owner, const char *what); /* may be NULL */
    void *owner;
} tap_check_spec;

/* rows [TAP_N_INVARIANTS]. A promise that does not hold is a row, not an error.
 * Memory: what a run of twelve conditions reserves, and copies of one state per site.
 * Threads: n_threads of its own. */
TAP_NODISCARD tap_status tap_check_run(tap_check_row *rows, const tap_check_spec *spec,
                                       tap_error *err);

/* A drawn picture of width x height with edges and colours, for models without one at hand;
 * tap_image_clear releases it. */
TAP_NODISCARD tap_status tap_check_image(tap_image *out, int64_t width, int64_t height,
                                         tap_error *err);

#endif

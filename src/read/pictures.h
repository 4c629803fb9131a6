/* The states of other pictures, for conditions that say patch(image "PATH").
 *
 * While conditions are compiled each picture is opened once, with the prompt in hand, and
 * the rows they take are noted; tap_pictures_fill then runs each picture once, without any
 * condition, as deep as somebody reads. Row i of a site is replaced by row i of the other
 * run, so both pictures' tokens must stand alike: as many, in the same places. */
#ifndef TAP_READ_PICTURES_H
#define TAP_READ_PICTURES_H

#include "hook/plan.h"
#include "read/scene.h"

typedef struct tap_pictures tap_pictures;

/* prompt: NULL for the model's own. Both borrowed until tap_pictures_close. */
TAP_NODISCARD tap_status tap_pictures_open(tap_pictures **out, const tap_model *model,
                                           const char *prompt, tap_error *err);
/* What plans are compiled with: tap_plan_sizes.pictures. */
const tap_plan_pictures *tap_pictures_plans(const tap_pictures *pictures);
/* Computes everything that was asked for since the last call, before the plans are run.
 * Memory: the rows asked for, and what a run of one picture reserves.
 * Threads: n_threads of its own; 0: all processors. */
TAP_NODISCARD tap_status tap_pictures_fill(tap_pictures *pictures,
                                           const tap_kernels *kernels, int n_threads,
                                           tap_error *err);
/* After the plans: they point to the states. */
void tap_pictures_close(tap_pictures *pictures);

#endif

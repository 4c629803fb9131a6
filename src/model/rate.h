/* How fast is this machine at this model? A short measurement for estimates of time. */
#ifndef TAP_MODEL_RATE_H
#define TAP_MODEL_RATE_H

#include "model/model.h"
#include "tensor/kernels.h"

/* *flop_per_s of the products of one decoder block, as they stand in a run: rows of
 * activations against each mapped weight, which is read once before the clock starts.
 * Takes about a second, or one round of products where that is longer. The time of a run
 * is its FLOPs over this rate, and what is no product on top.
 *
 * Errors:  TAP_ENOMEM; TAP_EUNSUPPORTED for a model without a decoder.
 * Checked: test_rate.c */
TAP_NODISCARD tap_status tap_model_rate(double *flop_per_s, const tap_model *model,
                                        const tap_kernels *kernels, int n_threads,
                                        tap_error *err);

#endif

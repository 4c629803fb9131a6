/* Which image tokens does the model's next word depend on? Integrated gradients.
 *
 * For the logit z of the first token of `word` behind the prompt, E the rows that enter the
 * decoder and B the same with every image row replaced by their mean,
 *
 *   score_i = sum_c | (E - B)_ic (1/m) sum_{k=0}^{m-1} dz/dE_ic (B + k/(m-1) (E - B)) |
 *
 * with m = 50 steps. The group intgrad(n,"word") holds the n image tokens of the highest
 * score, the first of equals.
 *
 * Source: Sundararajan et al. 2017; the sum of absolute values, the mean token as baseline
 * and the steps as in Neo et al. 2025, whose mean is that of a data set. */
#ifndef TAP_READ_INTGRAD_H
#define TAP_READ_INTGRAD_H

#include "read/group.h"

typedef struct tap_intgrad tap_intgrad;

/* Borrows what the scene holds, and the kernels. Nothing is computed before a word is asked for. */
TAP_NODISCARD tap_status tap_intgrad_open(tap_intgrad **out, const tap_scene *scene,
                                          const tap_kernels *kernels, int n_threads,
                                          tap_error *err);
/* What groups are compiled with. Each word is computed once.
 * Errors: TAP_EINVAL for a word that is no token; those of tap_gradient_open.
 * Time:   50 runs of the decoder, forward and backward. */
const tap_group_scorer *tap_intgrad_scorer(const tap_intgrad *intgrad);
void tap_intgrad_close(tap_intgrad *intgrad);

/* The tokens of a text as they stand behind the prompt: *ids [*n_ids], tap_free.
 * Errors: TAP_EINVAL if it is none. */
TAP_NODISCARD tap_status tap_reply_ids(int32_t **ids, int64_t *n_ids,
                                       const tap_scene *scene, const char *text,
                                       tap_error *err);

#endif

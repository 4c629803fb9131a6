/* How the model's next word depends on each token that enters the decoder.
 *
 * dz/dE for the logit z of one word behind the last token, E the rows of lm.embed: a forward
 * pass that keeps the residual stream of every block, and the same blocks backward. Written
 * out for Llama-type blocks; it is the only derivative in the program, and nothing is
 * trained with it. */
#ifndef TAP_MODEL_GRADIENT_H
#define TAP_MODEL_GRADIENT_H

#include "model/model.h"
#include "model/prompt.h"

typedef struct tap_gradient tap_gradient;

/* Room for sequences as long as this one, whose positions it keeps.
 * Errors: TAP_EUNSUPPORTED for a decoder whose activation is not SiLU; TAP_ENOMEM.
 * Memory: (n_blocks + 1) n_tok d_model numbers, one block's states and one widened matrix.
 * Threads: n_threads of its own; 0: all processors. */
TAP_NODISCARD tap_status tap_gradient_open(tap_gradient **out, const tap_model *model,
                                           const tap_sequence *sequence,
                                           const tap_kernels *kernels, int n_threads,
                                           tap_error *err);
/* out [n_tok][d_model] = d logit of `word` / d embed, embed [n_tok][d_model]; *logit may be
 * NULL. The same bits for any number of threads.
 * Checked: tests/golden/test_gradient.c against autograd of PyTorch. */
void tap_gradient_run(float *out, float *logit, tap_gradient *gradient,
                      const float *embed, int32_t word);
void tap_gradient_close(tap_gradient *gradient);

#endif

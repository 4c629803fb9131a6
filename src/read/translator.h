/* A tuned lens: a linear map per depth that brings a state nearer to the last depth's
 * basis before the logit lens reads it.
 *
 *   h' = h + A_D h + b_D
 *
 * The file is safetensors with D.weight [d][d] and, optionally, D.bias [d] for each depth D,
 * alone or behind "layer_translators."; a depth without a pair is read as it is.
 *
 * Source:  Belrose et al. 2023; keys as the authors' code saves them. */
#ifndef TAP_READ_TRANSLATOR_H
#define TAP_READ_TRANSLATOR_H

#include "tensor/kernels.h"

typedef struct tap_translator tap_translator;

/* For states of width d at depths 0 .. n_blocks.
 * Errors: TAP_EIO, TAP_EFORMAT naming tensor, expected and found; TAP_EINVAL when the file
 *         has no translator at all, or one of a depth that the model lacks.
 * Memory: the mapping. */
TAP_NODISCARD tap_status tap_translator_open(tap_translator **out, const char *path,
                                             int64_t d, int n_blocks, tap_error *err);
void tap_translator_close(tap_translator *translator);

/* out [n_rows][d] = h' of h [n_rows][d] at a depth; out must not be h. */
void tap_translator_run(float *out, const tap_translator *translator, int depth,
                        const float *h, int64_t n_rows, const tap_kernels *kernels,
                        const tap_workspace *work);

#endif

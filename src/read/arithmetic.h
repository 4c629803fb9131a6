/* What another arithmetic does to the result, measured on the model and image at hand: the
 * 2x2 of the experiment run twice, ranks and the effects made of them side by side. */
#ifndef TAP_READ_ARITHMETIC_H
#define TAP_READ_ARITHMETIC_H

#include "model/run.h"
#include "read/scene.h"

/* How far ranks b lie from ranks a. */
typedef struct tap_rank_shift {
    double equal;     /* share of cells with the same rank */
    double median;    /* of |log2 b/a| */
    double centile95; /* of the same */
} tap_rank_shift;

/* a, b [n] ranks, n > 0; scratch [n]. */
tap_rank_shift tap_rank_shift_of(const float *a, const float *b, int64_t n,
                                 double *scratch);

/* Scores of the four cells at one depth and what is made of them (docs/method.md):
 * S = 1 - mean log2 rank / log2 N over words and image tokens. */
typedef struct tap_effects {
    double s11, s01, s10, s00; /* clean, encoder off, decoder off, both off */
    double r, ci;              /* NaN where a denominator is 0 */
} tap_effects;

typedef struct tap_arithmetic {
    int n_depths;
    tap_rank_shift *shifts; /* [n_depths] over all four cells */
    tap_effects *effects;   /* [n_depths][2]: of a, of b */
    int64_t n_words, n_rows;
} tap_arithmetic;

/* Runs vision: image <- image|cls and lm: image <- image, alone and together, with both
 * tables. words [n_words] token ids; NULL: 16 spread over the vocabulary.
 *
 * Memory: two sets of ranks [4][n_depths][n_image][n_words] beside a run.
 * Errors: those of tap_run. Release with tap_arithmetic_clear. */
TAP_NODISCARD tap_status tap_arithmetic_compare(tap_arithmetic *out,
                                                const tap_scene *scene,
                                                const tap_kernels *a,
                                                const tap_kernels *b, int n_threads,
                                                const int32_t *words, int64_t n_words,
                                                tap_error *err);
void tap_arithmetic_clear(tap_arithmetic *arithmetic);

#endif

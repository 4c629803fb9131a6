/* One photograph through the lens, as a picture and as a page. */
#ifndef TAP_REPORT_LENS_VIEW_H
#define TAP_REPORT_LENS_VIEW_H

#include "image/image.h"
#include "report/figure.h"

/* What was read; everything is borrowed. */
typedef struct tap_lens_view {
    const char *model, *photo; /* names for people */
    const tap_image *image;
    const double
        *boxes; /* [n_patches][4] x0 y0 x1 y1 of each patch in px of the photo */
    const bool *in_part; /* [n_patches], or NULL without a mask */
    int64_t n_patches;
    int n_conditions, n_states, n_labels;
    const char *const *conditions, *const *labels;
    const int *states;      /* [n_states] depths or blocks */
    const char *state_name; /* "depth" */
    const float *ranks;     /* [n_conditions][n_states][n_labels][n_patches]; 0: none */
    double n_candidates;
} tap_lens_view;

/* Heat maps at one state, a column for each condition and a row for each label; bright is
 * rank 1, on a logarithmic scale. */
TAP_NODISCARD tap_status tap_lens_figure(tap_figure *out, const tap_lens_view *view,
                                         int state, tap_error *err);

/* One self-contained page: the same with a slider over states, and a table of best ranks.
 * Errors: TAP_EIO, TAP_ENOMEM. */
TAP_NODISCARD tap_status tap_lens_page(const char *path, const tap_lens_view *view,
                                       tap_error *err);

#endif

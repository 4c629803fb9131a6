/* State edits, ready to be applied: which rows of a site become what.
 *
 * With H the rows of one state at one site, h_i its row i before any edit at that site:
 *
 *   mean         h_i <- mean of h_j over the group read (the image, unless named)
 *   zero         h_i <- 0
 *   noise        h_i <- h_i + sd e, e standard normal, by seed, token and column
 *                (`instead`: h_i <- sd e)
 *   permute      h_i <- h_p(i), p a permutation of the edited rows, by seed
 *   copy         h_i <- h_s(i), s(i) a row of the group read
 *   scramble     h_ic <- s_c h_i,q(c), q a permutation of the columns and s_c = +1 or -1, by
 *                seed and site: the same for every row, image and condition
 *   steer        h_i <- h_i + w u
 *   project_out  h_i <- h_i - w <h_i, u> / <u, u> u   (`positive`: where <h_i, u> > 0)
 *   patch        h_i <- row i of another run at the same site
 *
 * All edits of a site read what stood there before any of them, so their order does not
 * matter. At sites with heads an edit may be limited to columns. */
#ifndef TAP_HOOK_EDIT_H
#define TAP_HOOK_EDIT_H

#include "hook/site.h"

typedef enum tap_edit_kind {
    TAP_EDIT_NONE,
    TAP_EDIT_MEAN,
    TAP_EDIT_ZERO,
    TAP_EDIT_NOISE,
    TAP_EDIT_PERMUTE,
    TAP_EDIT_COPY,
    TAP_EDIT_SCRAMBLE,
    TAP_EDIT_STEER,
    TAP_EDIT_PROJECT_OUT,
    TAP_EDIT_PATCH
} tap_edit_kind;

/* "", "mean", "zero" ...; ORDER tap_edit_kind. */
extern const char *const tap_edit_names[];

/* One edit at one site of one block. The plan owns what it points to. */
typedef struct tap_edit {
    tap_edit_kind kind;
    tap_site site;
    int64_t d;            /* columns of the site */
    const int32_t *rows;  /* [n_rows] rows that change, ascending */
    const int32_t *from;  /* rows read: permute, copy [n_rows]; mean [n_from] */
    const int32_t *spans; /* [n_spans][2] columns begin, end; NULL: all */
    int64_t n_rows, n_from, n_spans;
    double weight;          /* sd of noise; w */
    bool positive, instead; /* of project_out, of noise */
    uint64_t key; /* of noise: the seed in this image; of a patch: the other picture */
    uint32_t place;         /* of noise: the name of the site in this model, folded */
    const int32_t *columns; /* scramble: [d] q(c), or ~q(c) for the other sign */
    const float *vector;    /* steer, project_out: [d] */
    const float *values;    /* patch from a file or a picture: [n_rows][d] */
    const struct tap_plan *run; /* patch from a run: its plan; NULL is the clean run */
    bool from_run;
    uint64_t hash; /* equal effect = equal hash */
} tap_edit;

/* What was done to the states of a block (or outside blocks), measured. */
typedef struct tap_block_receipt {
    int64_t states_edited;  /* rows of sites that an edit wrote */
    int64_t values_changed; /* numbers among them that are other bits than before */
    double largest_change;  /* of one number */
    int64_t rows_kept_self; /* query rows that kept only themselves (`empty self`) */
} tap_block_receipt;

/* Applies the edits of `site` to values [..][d], rows first .. first + n_rows of one state in
 * the order of its tokens: all of them (place_of NULL), or those with place_of[row - first]
 * >= 0, each at that place; then edited rows must be among them. patches [n_edits]: for an edit from a run, rows [edit->n_rows][d] of that run;
 * may be NULL when no edit is. scratch: as values.
 * Other rows are not run and left alone; what is read must have been run.
 *
 * Errors:  TAP_ENUMERIC when an edit reads a row that was not run.
 * Memory:  none.   Threads: safe on distinct values and scratch.
 * Checked: test_edit.c; tests/golden/test_edits.c against PyTorch. */
TAP_NODISCARD tap_status tap_edit_apply(float *values, int64_t first, int64_t n_rows,
                                        const int32_t *place_of, int64_t d,
                                        const tap_edit *edits, int n_edits,
                                        tap_site site, const float *const *patches,
                                        float *scratch, tap_block_receipt *receipt,
                                        tap_error *err);

/* The rows that a `mean` or `copy` gives to its tokens from edit->rows[lo] on, which come after
 * those that are run: out [edit->n_rows - lo][d] from rows first .. of values [..][d] as
 * they stand before any edit of the site. */
void tap_edit_later(float *out, const float *values, int64_t first,
                    const int32_t *place_of, int64_t d, const tap_edit *edit,
                    int64_t lo);

/* Standard normal number of a column of a row: Box-Muller over Philox with the counter (row,
 * column / 2, place, purpose), cosine for even columns, sine for odd ones. */
float tap_edit_normal(uint64_t key, uint32_t place, int64_t row, int64_t column);

#endif

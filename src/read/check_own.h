/* What the files of the check share. */
#ifndef TAP_READ_CHECK_OWN_H
#define TAP_READ_CHECK_OWN_H

#include "model/run.h"
#include "read/check.h"

enum { TAP_CHECK_LANES = 16 };

/* Numbers that were compared with those they must equal. */
typedef struct tap_differ {
    int64_t n, n_other; /* compared; other bits */
    double largest;
} tap_differ;

/* One run in hand: conditions as plans over the scene's groups. */
typedef struct tap_check_bench {
    const tap_check_spec *spec;
    tap_groups groups; /* with a part in the middle of the image */
    tap_plan *plans[TAP_CHECK_LANES];
    int64_t n_plans;
} tap_check_bench;

/* Compiles texts [n] into the bench's plans; a NULL text is the clean run without a plan. */
TAP_NODISCARD tap_status tap_check_compile(tap_check_bench *bench,
                                           const char *const *texts, int64_t n,
                                           tap_error *err);
void tap_check_drop_plans(tap_check_bench *bench);

/* Adds n values and what they must be. */
void tap_differ_add(tap_differ *differ, const float *values, const float *wanted,
                    int64_t n);

/* Invariants 5 and 9: weights of attention, measured and computed a second time. */
TAP_NODISCARD tap_status tap_check_attention(tap_check_row *sums, tap_check_row *second,
                                             tap_check_bench *bench, tap_error *err);

/* Sets the verdict: holds when good, else fails with the text. */
void tap_check_judge(tap_check_row *row, bool good, const char *format, ...)
    TAP_FORMAT(3, 4);

#endif

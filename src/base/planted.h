/* Bugs that the test suite plants, one at a time, to see that they are found.
 *
 * Only tests/planted is built with TAP_PLANT; everywhere else TAP_PLANTED is the constant
 * false and nothing of this reaches the program. */
#ifndef TAP_BASE_PLANTED_H
#define TAP_BASE_PLANTED_H

typedef enum tap_bug {
    TAP_BUG_NONE,
    TAP_BUG_MASK_IGNORED,       /* attention is run without the cut */
    TAP_BUG_HEAD_OFF_BY_ONE,    /* a condition on head h acts on head h + 1 */
    TAP_BUG_NORM_TWICE,         /* the lens norms a state twice */
    TAP_BUG_DEPTH_OFF_BY_ONE,   /* the lens reads the depth before */
    TAP_BUG_CLS_LEAKS,          /* the group cls is empty */
    TAP_BUG_SELF_DROPPED,       /* a cut takes the edge of a token to itself, too */
    TAP_BUG_RECEIPT_UNMEASURED, /* the kernel is not asked what it did */
    TAP_BUG_SCALE_AFTER,        /* a scale acts on weights, not on scores */
    TAP_BUG_PATCH_FLOORED,      /* a patch is a whole number of source pixels */
    TAP_BUG_PREFIX_IS_IMAGE,    /* text before the image counts as patches */
    TAP_BUG_KERNEL_UNASKED,     /* nobody asks whether the kernels can cut edges */
    TAP_N_BUGS
} tap_bug;

#ifdef TAP_PLANT
extern tap_bug tap_planted_bug;
#    define TAP_PLANTED(bug) (tap_planted_bug == (bug))
#else
#    define TAP_PLANTED(bug) false
#endif

#endif

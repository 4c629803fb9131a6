/* What do the numbers say, in words? The decision and the readings that METHOD 5.6 and 5.9
 * fixed before anybody looked at results; no other room draws conclusions. */
#ifndef TAP_LAB_STATS_WORDS_H
#define TAP_LAB_STATS_WORDS_H

#include "lab/stats.h"

/* A bound of 1/2 of the deficit divides "keeps most" from "loses most". */
typedef enum tap_side {
    TAP_SIDE_OPEN, /* the interval holds 1/2, or the ratio is NA */
    TAP_SIDE_HIGH, /* its lower bound is above 1/2: near s11 */
    TAP_SIDE_LOW   /* its upper bound is below 1/2: near s00 */
} tap_side;

typedef enum tap_reading {
    TAP_READ_NONE,       /* no design, or intervals too wide */
    TAP_READ_REDUNDANCY, /* s10 ~ s11, s01 ~ s11, s00 low */
    TAP_READ_ENCODER,    /* s10 ~ s11, s01 ~ s00 */
    TAP_READ_DECODER,    /* s10 ~ s00, s01 ~ s11 */
    TAP_READ_BOTH,       /* s10 ~ s00, s01 ~ s00: each half is needed */
    TAP_READ_BLIND,      /* all four near the null: the lens sees no parts */
    TAP_READ_UNHARMED    /* both cuts together do no damage: nothing to restore */
} tap_reading;

typedef enum tap_verdict {
    TAP_VERDICT_NA,
    TAP_VERDICT_NO,
    TAP_VERDICT_YES
} tap_verdict;

/* Macro S at the depth of the words, percentile intervals. */
typedef struct tap_conclusion {
    tap_reading reading;
    tap_verdict
        compensates; /* R's lower bound > 0.5 and CI's > 0; NA: one of them is NA, or
                                no damage was done */
    tap_side decoder_alone, encoder_alone; /* R and R_V */
    bool smears; /* s01 > s11: the interval of d1 lies below 0 */
    bool leaks;  /* part <- outside alone recovers, the design's encoder cut not */
    int32_t leak_condition; /* the condition that shows it, -1 */
    const char *null;       /* what "near the null" was compared with; NULL: nothing */
    double words_clean,
        words_cut; /* S of the words control, clean and decoder off; NaN */
} tap_conclusion;

tap_conclusion tap_conclude(const tap_stats *stats);
const char *tap_reading_name(tap_reading reading); /* "redundancy", ... */
const char *tap_verdict_name(tap_verdict verdict); /* "yes", "no", "NA" */

/* The headlines: what the four cells look like, and the decision. */
const char *tap_reading_sentence(tap_reading reading);
const char *tap_verdict_sentence(tap_verdict verdict);

/* Appends sentences with the numbers they rest on, one a line.
 * Errors: TAP_ENOMEM.   Checked: test_planted.c. */
TAP_NODISCARD tap_status tap_stats_words(tap_buffer *out, const tap_stats *stats,
                                         tap_error *err);

/* Which of several subjects' decoders makes up for most: a sentence that compares the intervals
 * of R of the subject with the greatest R with all others. Nothing is appended for fewer than
 * two subjects whose R is defined. names [n], r [n]: R of each, an NA counts as absent. */
TAP_NODISCARD tap_status tap_stats_compare_words(tap_buffer *out,
                                                 const char *const *names,
                                                 const tap_estimate *r, size_t n,
                                                 tap_error *err);

#endif

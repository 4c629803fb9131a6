/* What do the numbers say? The reading that was fixed before looking (METHOD 5.9). */
#ifndef TAP_REPORT_WORDS_H
#define TAP_REPORT_WORDS_H

#include "report/study.h"

typedef enum tap_reading {
    TAP_READ_NO_DESIGN,  /* no 2x2: no answer */
    TAP_READ_NO_EFFECT,  /* what both cuts cost cannot be told from 0 */
    TAP_READ_EITHER,     /* redundancy: each half alone restores most */
    TAP_READ_DECODER,    /* the decoder largely compensates */
    TAP_READ_ENCODER,    /* the encoder does the work, the decoder cannot replace it */
    TAP_READ_SHARED,     /* part of it, or too uncertain to say more */
    TAP_READ_COMPLEMENTS /* with the decoder the cut costs more, not less */
} tap_reading;

/* By the intervals at the depth of the words, S, macro:
 *   R low > 0.5 and CI low > 0    the decoder largely compensates (and either half can, if
 *                                 R_V low > 0.5 too)
 *   R high < 0.5, R_V low > 0.5   the encoder does the work
 *   I high < 0                    complements
 * R or its denominator undefined: no effect.
 * Checked: test_report.c */
tap_reading tap_study_reading(const tap_study *study);

/* One sentence that answers the question. */
const char *tap_reading_headline(tap_reading reading);

/* Appends paragraphs of plain text, one a line: the evidence with intervals, then what
 * limits it. */
TAP_NODISCARD tap_status tap_study_words(tap_buffer *out, const tap_study *study,
                                         tap_error *err);

#endif

/* The answer in sentences. lab/stats_words.h draws the conclusions; here they get their
 * place on a page, and the numbers they rest on beside them. */
#ifndef TAP_REPORT_WORDS_H
#define TAP_REPORT_WORDS_H

#include "report/study.h"

/* *head: a few words, of `*n_head` bytes; *rest: the sentence that follows, may be empty.
 * Static texts. */
void tap_study_headline(const char **head, size_t *n_head, const char **rest,
                        const tap_study *study);

/* Appends paragraphs of plain text, one a line: the decision, the evidence with intervals,
 * then what limits it. */
TAP_NODISCARD tap_status tap_study_words(tap_buffer *out, const tap_study *study,
                                         tap_error *err);

#endif

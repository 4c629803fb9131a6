/* The tables of a page: tests, receipts, exclusions, manifest. */
#ifndef TAP_REPORT_TABLES_H
#define TAP_REPORT_TABLES_H

#include "report/study.h"

/* Each appends one HTML table, or a sentence when there is nothing to show. */
TAP_NODISCARD tap_status tap_page_tests(tap_buffer *out, const tap_study *study,
                                        tap_error *err);
/* What the label's logits say inside the part against outside; nothing where it was not
 * measured. */
TAP_NODISCARD tap_status tap_page_located(tap_buffer *out, const tap_study *study,
                                          tap_error *err);
TAP_NODISCARD tap_status tap_page_receipts(tap_buffer *out, const tap_study *study,
                                           tap_error *err);
TAP_NODISCARD tap_status tap_page_exclusions(tap_buffer *out, const tap_study *study,
                                             tap_error *err);
TAP_NODISCARD tap_status tap_page_conditions(tap_buffer *out, const tap_study *study,
                                             tap_error *err);
TAP_NODISCARD tap_status tap_page_manifest(tap_buffer *out, const tap_study *study,
                                           tap_error *err);

#endif

/* A page around its body: style, scripts, what browsers need. */
#ifndef TAP_REPORT_PAGE_H
#define TAP_REPORT_PAGE_H

#include "base/error.h"

/* Writes the file, whole or not at all ("-": stdout). body and scripts are taken as they
 * are, title as text; library: a script that comes first, may be NULL. */
TAP_NODISCARD tap_status tap_page_write(const char *path, const char *body,
                                        const char *title, const char *library,
                                        const char *script, tap_error *err);

#endif

/* How does foreign text enter a page? In one way: here.
 *
 * Labels, paths and names come from files and may hold anything. tap_page_text makes them
 * text in HTML, SVG, XML and inside quoted attributes; tap_page_json makes a JSON value
 * that a script element can hold. */
#ifndef TAP_REPORT_ESCAPE_H
#define TAP_REPORT_ESCAPE_H

#include "base/memory.h"

#include <jansson.h>

/* Appends text with & < > " ' as references, control characters as their visible signs
 * (U+2400 ...), bytes that are not UTF-8 as U+FFFD. A newline stays one. */
TAP_NODISCARD tap_status tap_page_text(tap_buffer *out, const char *text,
                                       tap_error *err);
/* Appends the value as ASCII JSON without '<', '>' and '&'. */
TAP_NODISCARD tap_status tap_page_json(tap_buffer *out, const json_t *value,
                                       tap_error *err);
/* A JSON string of any text, changed as tap_page_text changes it; NULL: no memory. */
json_t *tap_page_string(const char *text);
/* Appends n bytes in base64. */
TAP_NODISCARD tap_status tap_page_base64(tap_buffer *out, const void *bytes, size_t n,
                                         tap_error *err);

#endif

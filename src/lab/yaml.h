/* What does a YAML file say under this key, on which line, and is it of the expected kind?
 *
 * Text becomes a libyaml document: one document, a mapping at its top, no key twice. Members
 * are then asked for by kind and range. Every message names file, line and the path of the
 * key. libcyaml's schemas were tried first and left: they report through a log callback,
 * know no nearest key, and have no "text or list of texts". */
#ifndef TAP_LAB_YAML_H
#define TAP_LAB_YAML_H

#include "base/memory.h"

#include <yaml.h>

enum { TAP_YAML_LIMIT_BYTES = 1 << 20, TAP_YAML_LIST_LIMIT = 1024 };

typedef struct tap_yaml {
    yaml_document_t document;
    char *path; /* of the file, for messages */
    bool open;
} tap_yaml;

/* Reads n_bytes of text. Errors: TAP_EFORMAT naming path and line. tap_yaml_clear it. */
TAP_NODISCARD tap_status tap_yaml_parse(tap_yaml *out, const char *text, size_t n_bytes,
                                        const char *path, tap_error *err);
void tap_yaml_clear(tap_yaml *yaml);

/* A value inside a file. node NULL: absent (then every member is absent too). */
typedef struct tap_yaml_at {
    const tap_yaml *yaml; /* borrowed */
    yaml_node_t *node;
    const char *place; /* what names it in messages: "patches", "data.parts" */
} tap_yaml_at;

/* The mapping at the top; its place is "". */
tap_yaml_at tap_yaml_top(const tap_yaml *yaml);

/* Line of the value, 1-based; 0 if absent. */
size_t tap_yaml_line(const tap_yaml_at *at);

/* Refuses a value that is not a mapping, and keys other than the known ones, with the
 * nearest of them. TAP_EFORMAT. */
TAP_NODISCARD tap_status tap_yaml_check(const tap_yaml_at *at, const char *const *known,
                                        size_t n_known, tap_error *err);

/* The member under key, with node NULL if it is absent or null. `place` names the member
 * in messages and is kept. */
tap_yaml_at tap_yaml_find(const tap_yaml_at *at, const char *key, const char *place);

/* n of a list; 1 for any other value that is present, 0 if absent. */
size_t tap_yaml_count(const tap_yaml_at *at);
/* Item i of a list, or the value itself when it is no list (i = 0). The place stays. */
tap_yaml_at tap_yaml_item(const tap_yaml_at *at, size_t i);

/* Pair i of a mapping: its key as text (borrowed) and its value. */
size_t tap_yaml_pairs(const tap_yaml_at *at);
TAP_NODISCARD tap_status tap_yaml_pair(const char **key, tap_yaml_at *value,
                                       const tap_yaml_at *at, size_t i, tap_error *err);

/* Text, borrowed from the document, at most 4096 bytes, without control characters.
 * Absent: `absent`, or an error when that is NULL. An empty text must be quoted. */
TAP_NODISCARD tap_status tap_yaml_text(const char **out, const tap_yaml_at *at,
                                       const char *absent, tap_error *err);

/* A whole number in [low, high]; `absent` if there is none. */
TAP_NODISCARD tap_status tap_yaml_int(int64_t *out, const tap_yaml_at *at,
                                      int64_t absent, int64_t low, int64_t high,
                                      tap_error *err);

/* A decimal number in [low, high], without exponent; `absent` if there is none. */
TAP_NODISCARD tap_status tap_yaml_real(double *out, const tap_yaml_at *at,
                                       double absent, double low, double high,
                                       tap_error *err);

/* The index of a word in words[n_words]; `absent` if there is none. The message names the
 * nearest word. */
TAP_NODISCARD tap_status tap_yaml_word(int *out, const tap_yaml_at *at, int absent,
                                       const char *const *words, size_t n_words,
                                       tap_error *err);

/* Fails with "'file' line n: 'place' " before the formatted text. TAP_EFORMAT. */
tap_status tap_yaml_fail(const tap_yaml_at *at, tap_error *err, const char *format, ...)
    TAP_FORMAT(3, 4);

#endif

/* What does a JSON file say under this key, and is it of the expected kind?
 *
 * Text becomes a jansson tree: an object at the top, UTF-8, no key twice, no NUL, nothing
 * after the end. Members are then asked for with a kind, a range and what an absent key
 * means; null counts as absent, as in the configuration files of Python programs. */
#ifndef TAP_FORMAT_JSON_H
#define TAP_FORMAT_JSON_H

#include "base/memory.h"

#include <jansson.h>

/* *out = the object in n_bytes of text (json_decref it). `path` names the file in the
 * message, with line and column. TAP_EFORMAT. */
TAP_NODISCARD tap_status tap_json_parse(json_t **out, const char *text, size_t n_bytes,
                                        const char *path, tap_error *err);

/* The same from a file of at most limit_bytes. */
TAP_NODISCARD tap_status tap_json_read(json_t **out, const char *path,
                                       size_t limit_bytes, tap_error *err);

/* Appends the value as compact JSON, keys in the order in which they were set. */
TAP_NODISCARD tap_status tap_json_print(tap_buffer *out, const json_t *value,
                                        tap_error *err);

/* An object inside a file. object may be NULL: every key is absent. */
typedef struct tap_json_at {
    const json_t *object; /* borrowed */
    const char *path;     /* of the file, for messages */
    const char *place;    /* what stands before the key in messages: "text_config." */
} tap_json_at;

/* The member, NULL if absent or null. */
const json_t *tap_json_find(const tap_json_at *at, const char *key);

/* A whole number in [low, high]; `absent` if there is none. An absent key whose `absent`
 * lies outside the range is an error: the key is required. TAP_EFORMAT. */
TAP_NODISCARD tap_status tap_json_int(int64_t *out, const tap_json_at *at,
                                      const char *key, int64_t absent, int64_t low,
                                      int64_t high, tap_error *err);

/* A finite number in [low, high], written as integer or real. */
TAP_NODISCARD tap_status tap_json_real(double *out, const tap_json_at *at,
                                       const char *key, double absent, double low,
                                       double high, tap_error *err);

TAP_NODISCARD tap_status tap_json_bool(bool *out, const tap_json_at *at,
                                       const char *key, bool absent, tap_error *err);

/* Text, borrowed from the tree. absent NULL: the key is required. */
TAP_NODISCARD tap_status tap_json_text(const char **out, const tap_json_at *at,
                                       const char *key, const char *absent,
                                       tap_error *err);

/* n finite numbers of a list of exactly n; the same n numbers of `absent` if there is
 * none. */
TAP_NODISCARD tap_status tap_json_reals(double *out, const tap_json_at *at,
                                        const char *key, size_t n, const double *absent,
                                        tap_error *err);

/* out->object = the object under key, or NULL if absent; `place` names it in messages and
 * is kept. */
TAP_NODISCARD tap_status tap_json_object(tap_json_at *out, const tap_json_at *at,
                                         const char *key, const char *place,
                                         tap_error *err);

enum { TAP_JSON_VALUE_BYTES = 80 };

/* A value in few words for a message: 12, "text", "a list", "an object" ... */
void tap_json_describe(char text[TAP_JSON_VALUE_BYTES], const json_t *value);

#endif

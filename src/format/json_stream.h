/* What do the lists of a JSON file hold that is too large to become a tree?
 *
 * Walks over the object at the top of a text in memory, key by key, and over the items of
 * its lists, item by item; each item is a range of the text, for tap_json_parse or a second
 * look later. Nothing is copied. What is skipped is checked for strings that end and
 * brackets that match; items are checked by whoever parses them.
 *
 *   while (found key) { if (it is a list that matters) while (found item) ...; } */
#ifndef TAP_FORMAT_JSON_STREAM_H
#define TAP_FORMAT_JSON_STREAM_H

#include "base/error.h"

typedef struct tap_json_stream {
    const char *text;
    size_t n_bytes;
    const char *path; /* for messages; borrowed */
    size_t at;

    enum {
        TAP_JSON_TOP,    /* before the first key */
        TAP_JSON_VALUE,  /* behind a key's colon */
        TAP_JSON_ITEMS,  /* behind an item of a list */
        TAP_JSON_BETWEEN /* behind a value */
    } state;
} tap_json_stream;

/* A part of the text. */
typedef struct tap_json_range {
    const char *text;
    size_t n_bytes;
} tap_json_range;

/* *found = there is another key; *key = what stands between its quotes, escapes and all.
 * What is left of the value before is skipped. At the end nothing but space may follow.
 * TAP_EFORMAT with path and byte. */
TAP_NODISCARD tap_status tap_json_stream_key(bool *found, tap_json_range *key,
                                             tap_json_stream *stream, tap_error *err);
/* *found = the key's value is a list with another item, a range without space around. A
 * value that is no list has no items. */
TAP_NODISCARD tap_status tap_json_stream_item(bool *found, tap_json_range *item,
                                              tap_json_stream *stream, tap_error *err);

bool tap_json_range_is(const tap_json_range *range, const char *text);

#endif

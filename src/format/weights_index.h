/* Which file of a checkpoint holds which tensor? Reads *.index.json beside the shards. */
#ifndef TAP_FORMAT_WEIGHTS_INDEX_H
#define TAP_FORMAT_WEIGHTS_INDEX_H

#include "format/json.h"

typedef struct tap_weights_place {
    const char *raw;  /* name of the tensor */
    const char *file; /* plain name of a file beside the index */
} tap_weights_place;

typedef struct tap_weights_index {
    tap_weights_place *places; /* [n], sorted by file, then by name */
    size_t n;
    json_t *root; /* owns the texts */
} tap_weights_index;

/* From the text of an index; `path` is for messages. A file name that leads anywhere but
 * beside the index is TAP_EFORMAT. tap_weights_index_clear frees it. */
TAP_NODISCARD tap_status tap_weights_index_parse(tap_weights_index *out,
                                                 const char *text, size_t n_bytes,
                                                 const char *path, tap_error *err);
TAP_NODISCARD tap_status tap_weights_index_read(tap_weights_index *out,
                                                const char *path, tap_error *err);
void tap_weights_index_clear(tap_weights_index *index);

#endif

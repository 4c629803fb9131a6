/* Where results live: results.db, written image by image, resumed, and read by everything
 * that comes after. docs/schema.md describes each table and column.
 *
 * One image is one transaction: after a kill the file holds whole images. Ids follow from
 * the experiment's order and no row holds a time, so an interrupted and resumed run has the
 * rows of an uninterrupted one.
 *
 *   tap_store_open(&store, "results.db", &spec, err)
 *   for each image: tap_store_find_image(&done, ...); if (!done) {
 *       tap_store_begin(store, &image, err)
 *       tap_store_put_patch(store, i, &patch, err)      for each image token
 *       tap_store_put_item(store, &item, err)           for each item, excluded ones too
 *       tap_store_put_score(store, ordinal, &row, err)  per condition and depth
 *       tap_store_put_ranks(store, ordinal, condition, ranks, n_patches, err)
 *       tap_store_put_receipt(store, condition, stack, heads, states, n_blocks, n_heads,
 *                             err)
 *       tap_store_commit(store, err) }
 *   tap_store_finish(store, err); tap_store_close(store)  */
#ifndef TAP_LAB_STORE_H
#define TAP_LAB_STORE_H

#include "hook/edit.h"
#include "lab/experiment.h"
#include "lab/probe.h"
#include "tensor/kernels.h"

enum {
    TAP_STORE_VERSION = 3,
    TAP_STORE_ITEMS_PER_IMAGE = 100000, /* item id = image id * this + ordinal */
    TAP_STORE_SETS_PER_ITEM = 100,      /* control set id = item id * this + place */
    TAP_MAX_CONTROL_SEEDS = 8,          /* place = control * this + seed */
};

typedef struct tap_store tap_store;
struct sqlite3;

typedef struct tap_store_condition {
    const char *name;
    const char *text; /* canonical */
    uint64_t hash;    /* of the canonical text */
} tap_store_condition;

/* A name that labels are ranked among: a label that parts of an object class have. */
typedef struct tap_store_candidate {
    const char *object, *label;
} tap_store_candidate;

/* What a database is of. Facts with identity must be the same when it is opened again; the
 * others are replaced. "readout.n_candidates" (the largest N of the scores) must be among
 * them for stats; keys that begin with "run." tell how rows were made (threads, shard,
 * version). */
typedef struct tap_store_spec {
    const tap_fact *facts; /* [n_facts] */
    size_t n_facts;
    const tap_store_condition *conditions; /* [n_conditions], names distinct */
    size_t n_conditions;
    const int32_t *depths; /* [n_depths] rising: the first axis of ranks */
    size_t n_depths;
    const tap_store_candidate
        *candidates; /* [n_candidates] distinct; closed sets alone */
    size_t n_candidates;
    const char
        *holder; /* who holds an existing experiment, in messages; NULL: the file */
} tap_store_spec;

/* Opens or creates for writing. An existing database must be of the same experiment.
 *
 * Errors: TAP_EIO; TAP_EFORMAT (not a results database, newer schema); TAP_EINVAL when it
 *         is of another experiment: the message says which facts differ.
 * Threads: one store per thread. */
TAP_NODISCARD tap_status tap_store_open(tap_store **out, const char *path,
                                        const tap_store_spec *spec, tap_error *err);
/* Opens a finished or running database; nothing is ever written. */
TAP_NODISCARD tap_status tap_store_open_read(tap_store **out, const char *path,
                                             tap_error *err);
/* Undoes an image that was begun and not committed. NULL is allowed. */
void tap_store_close(tap_store *store);
/* Leaves one file behind: no write-ahead log beside it. */
TAP_NODISCARD tap_status tap_store_finish(tap_store *store, tap_error *err);

/* The connection, for queries of rooms that only read. Borrowed. */
struct sqlite3 *tap_store_sqlite(const tap_store *store);
const char *tap_store_path(const tap_store *store);

/* *value = the value of a fact (tap_free), NULL if the manifest has no such key. */
TAP_NODISCARD tap_status tap_store_query_fact(char **value, const tap_store *store,
                                              const char *key, tap_error *err);

/* *done = image `id` is complete. TAP_EINVAL if the database has another name for it. */
TAP_NODISCARD tap_status tap_store_find_image(bool *done, const tap_store *store,
                                              int64_t id, const char *name,
                                              tap_error *err);

typedef struct tap_store_image {
    int64_t id;                  /* 0-based place in the experiment's order of images */
    const char *name;            /* as the data set names it */
    int64_t width_px, height_px; /* 0 when it could not be read */
    const char *sha256;          /* of the file, NULL unknown */
    int n_tiles, n_rows, n_cols; /* patch grid of the decoder; 0 when there is none */
    const char *excluded;        /* NULL, or why no item of it is scored */
} tap_store_image;

/* A small picture of the photograph. */
typedef struct tap_store_thumbnail {
    int64_t width_px, height_px;
    const void *jpeg;
    size_t n_bytes;
} tap_store_thumbnail;

/* Where an image token stands: on its tile's grid, and in source pixels. */
typedef struct tap_store_patch {
    int32_t tile, row, col;
    double x0, y0, x1, y1;
} tap_store_patch;

typedef struct tap_store_item {
    int64_t ordinal;       /* 0-based in its image, excluded ones counted */
    const char *object_id; /* NULL: the format has no instances */
    const char *object, *part, *label;
    int64_t area_px;
    const int32_t *patches; /* [n_patches] places among the image tokens */
    const float *coverage;  /* [n_patches], may be NULL */
    int64_t n_patches;
    double raster_frac; /* mean place of its patches in reading order, 0 .. 1; NaN */
    int64_t
        n_candidates; /* words or names that its label is ranked among; 0: unknown */
    const int32_t
        *outline; /* [n_outline] rings as image/outline.h has them; may be NULL */
    size_t n_outline;
    const char *excluded; /* NULL, or the reason */
} tap_store_item;

typedef struct tap_store_score {
    int32_t condition, depth; /* index of the spec's conditions; the depth itself */
    tap_score score;
    double null_best_rank;  /* NaN: none */
    double null_log2_rank;  /* NaN: none */
    double null_percentile; /* NaN: none */
} tap_store_score;

/* What a control of an item reads: other patches, another word, another photograph. */
typedef struct tap_store_control_set {
    tap_control control;
    int32_t seed;           /* which draw; 0 for controls without one */
    const int32_t *patches; /* [n_patches]; NULL when there are none */
    int64_t n_patches;
    const char *label; /* the word that is ranked; NULL without a set */
    const char *other; /* the part, photograph or item it is taken from; may be NULL */
    const char *excluded; /* NULL, or why the item has no such control */
} tap_store_control_set;

/* One of the words that a patch of a part reads as. */
typedef struct tap_store_word {
    int32_t patch; /* place among the image tokens */
    int32_t place; /* 1: the top word */
    int32_t token_id;
    const char *text;          /* as the vocabulary spells it */
    double logit, probability; /* probability: softmax over the vocabulary */
} tap_store_word;

/* A score read with a control's set. */
typedef struct tap_store_control {
    int32_t condition, depth;
    tap_control control;
    int32_t seed;
    double best_rank;
} tap_store_control;

TAP_NODISCARD tap_status tap_store_begin(tap_store *store, const tap_store_image *image,
                                         tap_error *err);
TAP_NODISCARD tap_status tap_store_put_thumbnail(tap_store *store,
                                                 const tap_store_thumbnail *thumbnail,
                                                 tap_error *err);
/* Patch i of the image begun. */
TAP_NODISCARD tap_status tap_store_put_patch(tap_store *store, int64_t i,
                                             const tap_store_patch *patch,
                                             tap_error *err);
TAP_NODISCARD tap_status tap_store_put_item(tap_store *store,
                                            const tap_store_item *item, tap_error *err);
/* A form of a label as text. token_id -1: it needs n_tokens > 1 and is not scored. Putting
 * the same form again changes nothing. */
TAP_NODISCARD tap_status tap_store_put_form(tap_store *store, const char *label,
                                            const char *form, int32_t token_id,
                                            int n_tokens, tap_error *err);
TAP_NODISCARD tap_status tap_store_put_score(tap_store *store, int64_t ordinal,
                                             const tap_store_score *row,
                                             tap_error *err);
/* A set stands before the scores that are read with it. */
TAP_NODISCARD tap_status tap_store_put_control_set(tap_store *store, int64_t ordinal,
                                                   const tap_store_control_set *set,
                                                   tap_error *err);
TAP_NODISCARD tap_status tap_store_put_control(tap_store *store, int64_t ordinal,
                                               const tap_store_control *row,
                                               tap_error *err);
TAP_NODISCARD tap_status tap_store_put_word(tap_store *store, int64_t ordinal,
                                            int32_t condition, int32_t depth,
                                            const tap_store_word *word, tap_error *err);
/* ranks [n_depths][n_patches]: per patch the best of the label's forms. */
TAP_NODISCARD tap_status tap_store_put_ranks(tap_store *store, int64_t ordinal,
                                             int32_t condition, const float *ranks,
                                             int64_t n_patches, tap_error *err);
/* heads [n_blocks][n_heads]; states [1 + n_blocks], what edits did outside blocks and in
 * each block, or NULL. Neighbouring blocks and heads with equal counts become one
 * row, so that a row stands for each head of a box. */
TAP_NODISCARD tap_status tap_store_put_receipt(
    tap_store *store, int32_t condition, tap_stack stack, const tap_head_receipt *heads,
    const tap_block_receipt *states, int n_blocks, int n_heads, tap_error *err);
TAP_NODISCARD tap_status tap_store_commit(tap_store *store, tap_error *err);
/* Undoes the image begun; the store can begin another. */
void tap_store_rollback(tap_store *store);

#endif

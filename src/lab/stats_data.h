/* What does a results.db say, in arrays? The scored items, their categories and strata,
 * and their best ranks; nothing is computed here. */
#ifndef TAP_LAB_STATS_DATA_H
#define TAP_LAB_STATS_DATA_H

#include "lab/store.h"

/* Why items are not scored; of images without items, n_items is 0. */
typedef struct tap_exclusion {
    char *reason;
    int64_t n_items, n_images;
} tap_exclusion;

typedef struct tap_stats_data {
    int64_t n_images;                  /* that have a scored item */
    int64_t n_items;                   /* scored */
    int64_t n_all_images, n_all_items; /* rows of the tables */
    int64_t n_data_images;             /* that the run has to read; 0: not known */
    tap_exclusion *exclusions;         /* [n_exclusions] most items first */
    size_t n_exclusions;
    double n_candidates; /* N; the largest where items have sets of their own */
    double *log2_n; /* [n_items] log2 of the words that each label is ranked among */
    tap_candidates candidates; /* what these are */
    tap_readout state;         /* what is read: depths are its depths or blocks */
    int32_t *image;            /* [n_items] < n_images, in the order of ids */
    int32_t *category;         /* [n_items] < n_categories: object class and label */
    int32_t *n_patches;        /* [n_items] */
    double *raster; /* [n_items] mean place in reading order, 0 .. 1; NaN unknown */
    int64_t *ids;   /* [n_items] rising, of the table */
    int64_t *condition_ids; /* [n_conditions] rising, of the table */
    char **categories;      /* [n_categories] "cat:tail", sorted */
    int32_t n_categories;
    int32_t n_conditions;
    char **conditions; /* [n_conditions] names, by id */
    char **texts;      /* [n_conditions] their canonical texts */
    int32_t n_depths;
    int32_t *depths;   /* [n_depths] rising */
    double *best;      /* [n_conditions][n_depths][n_items] best rank */
    double *null_best; /* the same of random patches; NaN: none; NULL: none at all */
    /* For bootstraps of macro means: images by the object class that most of their items
     * have. Classes with fewer than 8 images are one stratum. */
    int32_t *stratum_order; /* [n_images] */
    int32_t *stratum_first; /* [n_strata + 1] */
    int32_t n_strata;

    /* From the manifest. */
    bool has_design;
    int32_t design[TAP_N_CELLS]; /* conditions; -1 without a design */
    bool metrics[TAP_N_METRICS];
    int64_t bootstrap, seed;
    int32_t depth;         /* index of the depth that words and tests speak about */
    tap_dose_curve *doses; /* [n_doses], conditions as indices */
    size_t n_doses;
} tap_stats_data;

/* Errors: TAP_EFORMAT when rows are missing or a fact is absent or not what it should be:
 *         the message says which; TAP_EIO, TAP_ENOMEM.   tap_stats_data_clear it. */
TAP_NODISCARD tap_status tap_stats_data_read(tap_stats_data *out,
                                             const tap_store *store, tap_error *err);
void tap_stats_data_clear(tap_stats_data *data);

/* Fills the strata from objects [n_items], each item's object class as a small whole number:
 * for data that were not read from a database. */
TAP_NODISCARD tap_status tap_stats_data_put_strata(tap_stats_data *data,
                                                   const int32_t *objects,
                                                   tap_error *err);

/* Appends what ranks are among: "896 words", "12 part names", "4 to 9 part names of the same
 * object class". */
TAP_NODISCARD tap_status tap_stats_data_put_among(tap_buffer *out,
                                                  const tap_stats_data *data,
                                                  tap_error *err);
/* What a depth is: "depth of the decoder (0 enters the first block)" ... */
const char *tap_stats_data_depth_title(const tap_stats_data *data);

/* Index of an item, condition or depth of the tables; -1 if it is not among the scored. */
int64_t tap_stats_data_item(const tap_stats_data *data, int64_t id);
/* Whether a rank of an item lies between 1 and its number of candidates. */
bool tap_stats_data_is_rank(const tap_stats_data *data, int64_t item, double rank);
int32_t tap_stats_data_condition(const tap_stats_data *data, int64_t id);
int32_t tap_stats_data_depth(const tap_stats_data *data, int64_t depth);

#endif

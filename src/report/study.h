/* What does a page need of one results.db? Statistics, tests, categories, controls: all
 * numbers come from lab/stats; this room gathers them and reads names. */
#ifndef TAP_REPORT_STUDY_H
#define TAP_REPORT_STUDY_H

#include "lab/stats.h"
#include "lab/stats_group.h"

/* Quantities of a category, in S; those of the design need all four cells. */
typedef enum tap_part_value {
    TAP_PART_S11,
    TAP_PART_S01,
    TAP_PART_S10,
    TAP_PART_S00,
    TAP_PART_D0,
    TAP_PART_D1,
    TAP_N_PART_VALUES
} tap_part_value;

typedef struct tap_study_part {
    int32_t category;
    int64_t n_images, n_items;
    double compensation;  /* d0 - d1 at the depth of the words */
    tap_estimate *values; /* [n_depths][TAP_N_PART_VALUES] */
} tap_study_part;

/* One control under one condition. */
typedef struct tap_study_control {
    tap_control control;
    int32_t condition;
    int64_t n_items;
    tap_estimate *values; /* [n_depths] S, macro */
    tap_estimate *own;    /* [n_depths] S of the same items' own patches */
} tap_study_control;

enum { TAP_GROUP_RESAMPLES = 1000 }; /* at most, for categories and controls */

typedef struct tap_study {
    const tap_store *store; /* borrowed */
    char *title; /* what tells it from others: the model's name, or the file's */
    tap_stats *stats;
    const tap_stats_data *data; /* of stats */
    int32_t n_cells;            /* 4 with a design, else 0 */
    tap_study_part *parts;      /* [n_parts] by compensation d0 - d1, largest first */
    int32_t n_parts;
    tap_estimate *null; /* [n_depths] S of random patches, clean; NULL: none stored */
    tap_study_control *controls; /* [n_controls] */
    int32_t n_controls;
    int64_t group_resamples;
} tap_study;

/* Reads and computes everything; seconds for a thousand images.
 * Errors: those of the rooms below, naming the database.  tap_study_free it. */
TAP_NODISCARD tap_status tap_study_open(tap_study **out, const tap_store *store,
                                        int n_threads, tap_error *err);
void tap_study_free(tap_study *study);

/* Colour and shape of a condition, and its short name for people. */
int tap_study_look(const tap_study *study, int32_t condition);
const char *tap_study_condition(const tap_study *study, int32_t condition);

/* *out [data->n_conditions] = the *n conditions that stand in curves over depth: with a
 * design its cells and what belongs to no curve of doses; else all. */
void tap_study_curves(int32_t *out, int32_t *n, const tap_study *study);
/* The name of a curve of doses as the experiment gives it. */
const char *tap_study_dose(const tap_study *study, size_t curve);

/* *out = a fact of the manifest, "" if it has none. tap_free it. */
TAP_NODISCARD tap_status tap_study_fact(char **out, const tap_study *study,
                                        const char *key, tap_error *err);

#endif

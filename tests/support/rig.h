/* A tiny model, pictures and a sink that keeps every state it is given: for tests that
 * compare runs. All helpers fail the test in hand when something goes wrong. */
#ifndef TAP_TESTS_RIG_H
#define TAP_TESTS_RIG_H

#include "golden.h"
#include "model/run.h"
#include "read/group.h"
#include "tiny_model.h"

enum { RIG_MAX_CONDITIONS = 16, RIG_MAX_SCENES = 8 };

typedef struct rig {
    char directory[64];
    tap_model *model;
    tap_scene scenes[RIG_MAX_SCENES];
    tap_groups groups[RIG_MAX_SCENES];
    int n_scenes;
} rig;

/* One state that was put, copied; maps whole: [n_heads][n_rows][n_rows]. */
typedef struct kept {
    tap_site site;
    tap_stack stack;
    int block, item, condition;
    int64_t n_rows, d;
    float *values;
} kept;

typedef struct capture {
    kept *states;
    size_t n, capacity;
    int n_heads[TAP_N_STACKS];
    tap_receipts receipts;
} capture;

void rig_open(rig *r, const tiny_model *options);
/* Adds a picture of the model's own size: pixel values from the seed; with `changed_patch`
 * >= 0, that patch alone gets other pixels. The part mask covers patches 5, 6 and 9. */
void rig_add_scene(rig *r, uint64_t seed, int changed_patch);
/* Adds n pictures with four parts each, and writes their masks and items.tsv beside them:
 * maps[i] holds a digit for each of 4 x 4 patches, the part (from 1) that covers it, 0 none. */
void rig_add_drawn(rig *r, const char *const *objects, const char *const (*parts)[4],
                   const char *const *maps, int n);
void rig_close(rig *r);

/* Compiles a condition for a scene; the caller frees it. */
tap_plan *rig_plan(const rig *r, int scene, const char *text);
/* The same, with conditions that patch(NAME) finds. */
tap_plan *rig_plan_among(const rig *r, int scene, const char *text,
                         const tap_plan_runs *runs);
/* The plan, or NULL with the message, of a condition that need not compile. */
tap_plan *rig_find_plan(const rig *r, int scene, const char *text, tap_error *err);
/* The status and message of compiling instead. */
tap_status rig_try_plan(const rig *r, int scene, const char *text, tap_error *err);

/* Runs scenes first .. first + n under texts [n_conditions] and keeps every state of the
 * residual stream, attention outputs and patterns, and logits. */
capture rig_run(const rig *r, int first, int n, const char *const *texts,
                int n_conditions, const tap_run_options *options);
/* The same of plans [n][n_conditions]. */
capture rig_run_plans(const rig *r, int first, int n, tap_plan *const *plans,
                      int n_conditions, const tap_run_options *options);
/* The same, keeping what is wanted alone. */
capture rig_run_wanted(const rig *r, int first, int n, tap_plan *const *plans,
                       int n_conditions, const tap_run_options *options,
                       const tap_wanted *wanted);
void capture_clear(capture *c);
/* NULL if there is none. */
const kept *capture_find(const capture *c, tap_site site, tap_stack stack, int block,
                         int item, int condition);
/* Whether two states have the same size and the same bits. */
bool kept_equal(const kept *a, const kept *b);

#endif

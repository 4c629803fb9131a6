/* Stored results of a reference implementation, and what is compared with them. All helpers
 * fail the test in hand when something goes wrong. */
#ifndef TAP_TESTS_GOLDEN_H
#define TAP_TESTS_GOLDEN_H

#include "format/safetensors.h"
#include "hook/plan.h"
#include "model/model.h"

/* Fails with the message unless the status is TAP_OK. */
void check(tap_status status, const tap_error *err);

/* The tensor of that name, as printf writes it; NULL if there is none. */
const tap_tensor *golden_find(const tap_safetensors *file, const char *name, ...)
    __attribute__((format(printf, 2, 3)));
/* The text of the file's condition NAME; NULL if there is none. */
const char *golden_condition(const tap_safetensors *file, const char *name);
/* Compiles a condition; the caller frees it. */
tap_plan *golden_plan(const tap_model *model, const tap_groups *groups,
                      const char *text);

/* Largest error of values [n] against elements first .. first + n of a tensor, as a share of
 * their root mean square; fails with the name above 1e-4. */
double golden_error(const char *name, const tap_tensor *want, int64_t first, int64_t n,
                    const float *values);
/* ids of a sequence equal those of a tensor, i32 or i64. */
void golden_check_ids(const tap_tensor *want, const int32_t *ids, int64_t n);

#endif

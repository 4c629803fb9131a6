/* Inside the experiment room: memory that an experiment keeps, and its larger sections. */
#ifndef TAP_LAB_EXPERIMENT_OWN_H
#define TAP_LAB_EXPERIMENT_OWN_H

#include "lab/experiment.h"
#include "lab/yaml.h"

/* *out = zeroed memory for n items that tap_experiment_clear releases. */
TAP_NODISCARD tap_status tap_experiment_own(void *out, tap_experiment *e, size_t n,
                                            size_t item_bytes, tap_error *err);
TAP_NODISCARD tap_status tap_experiment_own_text(const char **out, tap_experiment *e,
                                                 const char *text, size_t n_bytes,
                                                 tap_error *err);

/* conditions: and design: */
TAP_NODISCARD tap_status tap_experiment_read_conditions(tap_experiment *e,
                                                        const tap_yaml_at *top,
                                                        tap_error *err);
/* doses: */
TAP_NODISCARD tap_status tap_experiment_read_doses(tap_experiment *e,
                                                   const tap_yaml_at *top,
                                                   tap_error *err);

/* first <= last; last may be TAP_DEPTH_LAST for "the last depth", first then too. */
typedef struct tap_depth_range {
    int64_t first, last;
} tap_depth_range;

enum { TAP_MAX_DEPTH_RANGES = 64, TAP_MAX_DEPTH = 4096 };

/* "12", "4-11" or "last"; false if it is none of them. */
bool tap_depth_range_parse(tap_depth_range *out, const char *text);
/* Canonical: sorted, joined, "last" at the end. */
TAP_NODISCARD tap_status tap_depth_ranges_print(tap_buffer *out,
                                                tap_depth_range *ranges, size_t n,
                                                tap_error *err);

const char *tap_fallback_name(tap_fallback fallback);
const char *tap_form_name(size_t bit); /* NULL above the last */

#endif

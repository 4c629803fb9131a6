/* Which pictures are there? One builder each, from a study to marks. */
#ifndef TAP_REPORT_FIGURES_H
#define TAP_REPORT_FIGURES_H

#include "report/figure.h"
#include "report/study.h"

typedef struct tap_figure_view {
    tap_average average;
    int32_t metric, depth; /* indices, as in stats */
    double width_px;       /* 0: 720 */
} tap_figure_view;

typedef struct tap_figure_kind {
    const char *name;    /* "cells", "depth", ... */
    const char *heading; /* in the page */
    const char *says;    /* one line for the help */
    /* Builds it; *missing (static) says what the database lacks instead. */
    tap_status (*build)(tap_figure *out, const char **missing, const tap_study *study,
                        const tap_figure_view *view, tap_error *err);
    bool follows_depth; /* shows one depth */
} tap_figure_kind;

/* Ends with a name that is NULL; in the order of the page. */
extern const tap_figure_kind tap_figures[];

/* NULL with the nearest name in the message. */
TAP_NODISCARD tap_status tap_figure_find(const tap_figure_kind **out, const char *name,
                                         tap_error *err);

/* The depth that words speak about, S, macro. */
tap_figure_view tap_figure_view_of(const tap_study *study);

/* "S (1 - log2 rank / log2 N)", "mean reciprocal rank" ... */
const char *tap_metric_title(tap_metric metric);

#define TAP_BUILDER(name)                                                              \
    tap_status name(tap_figure *out, const char **missing, const tap_study *study,     \
                    const tap_figure_view *view, tap_error *err)
TAP_BUILDER(tap_build_cells);
TAP_BUILDER(tap_build_depth);
TAP_BUILDER(tap_build_recovery);
TAP_BUILDER(tap_build_effects);
TAP_BUILDER(tap_build_doses);
TAP_BUILDER(tap_build_parts);
TAP_BUILDER(tap_build_controls);

#endif

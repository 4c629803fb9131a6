/* Inside the figure builders: a series of estimates, legends, ranges. */
#ifndef TAP_REPORT_FIGURES_OWN_H
#define TAP_REPORT_FIGURES_OWN_H

#include "report/figures.h"

/* Grows [low, high] to hold an estimate's interval, if it has one. */
void tap_range_add(double *low, double *high, const tap_estimate *e);
/* A little air, then inside [floor, ceiling]. */
void tap_range_pad(double *low, double *high, double floor, double ceiling);

/* "0.812 [0.790, 0.834]" or "NA: why" */
void tap_estimate_text(char text[96], const tap_estimate *e);

typedef struct tap_legend_entry {
    tap_look look;
    const char *name;
} tap_legend_entry;

/* A row of signs and names, broken where it is too wide; returns the height it takes. */
double tap_figure_legend(tap_figure *figure, const tap_legend_entry *entries, int n,
                         double left, double top, double width);

/* An interval, a dot on it, and what it says; key is 'data-k="d0" data-p="3"'. */
void tap_figure_interval(tap_figure *figure, const tap_plot *plot, tap_look look,
                         const tap_estimate *e, double y, const char *key,
                         const char *name);

/* Points (x, estimate), with the band of their intervals; gaps where there is no value. */
typedef struct tap_series {
    tap_look look;
    const char *name;
    int key;                       /* data-c */
    const double *x;               /* [n] */
    const tap_estimate *const *at; /* [n] */
    int n;
} tap_series;

void tap_figure_series(tap_figure *figure, const tap_plot *plot,
                       const tap_series *series, const char *x_name);

#endif

/* How does a score fall with the dose of a cut? Areas and half-way doses of curves. */
#ifndef TAP_LAB_STATS_DOSE_H
#define TAP_LAB_STATS_DOSE_H

#include <stddef.h>

/* Mean height of the polyline through (dose, s) over its range; n >= 2, doses rising. */
double tap_dose_area(const double *dose, const double *s, size_t n);

/* The smallest dose at which the polyline reaches the middle between its first and last
 * height; NaN if these are equal. */
double tap_dose_half(const double *dose, const double *s, size_t n);

#endif

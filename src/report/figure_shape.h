/* Outlines that both renderers share. */
#ifndef TAP_REPORT_FIGURE_SHAPE_H
#define TAP_REPORT_FIGURE_SHAPE_H

#include "report/figure.h"

enum { TAP_SHAPE_MAX = 8 };

/* The shape of a look's dot around (0, 0), as a polygon xy [n]; n = 0: a circle. */
int tap_dot_shape(double xy[2 * TAP_SHAPE_MAX], tap_look look, double radius_px);

/* The outline of an arrow, always 7 points. */
void tap_arrow_shape(double xy[2 * TAP_SHAPE_MAX], const double ends[4],
                     double width_px);

#endif

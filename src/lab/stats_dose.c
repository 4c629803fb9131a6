#include "lab/stats_dose.h"

#include <assert.h>
#include <math.h>

double tap_dose_area(const double *dose, const double *s, size_t n)
{
    assert(n >= 2 && dose[n - 1] > dose[0]);
    double area = 0.0;
    for (size_t i = 1; i < n; i++)
        area += 0.5 * (s[i] + s[i - 1]) * (dose[i] - dose[i - 1]);
    return area / (dose[n - 1] - dose[0]);
}

double tap_dose_half(const double *dose, const double *s, size_t n)
{
    assert(n >= 2);
    const double middle = 0.5 * (s[0] + s[n - 1]);
    if (!(s[0] > s[n - 1] || s[0] < s[n - 1]))
        return (double)NAN;
    for (size_t i = 1; i < n; i++) {
        const double before = s[i - 1] - middle, after = s[i] - middle;
        /* the first point is off the middle, so the first change of side is a crossing */
        if ((before > 0.0) != (after > 0.0) || after == 0.0)
            return dose[i - 1] + (dose[i] - dose[i - 1]) * before / (before - after);
    }
    return (double)NAN;
}

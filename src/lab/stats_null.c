#include "lab/stats_null.h"

#include <math.h>

double tap_null_cdf(double n_candidates, int64_t n, double r)
{
    return 1.0 - pow(1.0 - r / n_candidates, (double)n);
}

double tap_null_log2(double n_candidates, int64_t n)
{
    double sum = 0.0;
    for (double r = 1.0; r < n_candidates; r += 1.0) {
        const double above = pow(1.0 - r / n_candidates, (double)n);
        sum += (log2(r + 1.0) - log2(r)) * above;
        if (above < 1e-18)
            break;
    }
    return sum;
}

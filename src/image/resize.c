/* Resize as Pillow's Image.resize does, in every byte.
 *
 * Source: the rules of libImaging/Resample.c: weights in double, 22 fractional bits, one
 * pass per axis with 8 bits between them. */
#include "base/memory.h"
#include "image/preprocess.h"

#include <math.h>
#include <string.h>

enum { FRACTION_BITS = 22 };

/* The weights of one axis: output i sums n[i] inputs from first[i] on. */
typedef struct weights {
    int64_t *first, *n; /* [n_out] */
    int32_t *k;         /* [n_out][width] */
    int64_t width;
} weights;

static double radius_of(tap_filter filter)
{
    return filter == TAP_BILINEAR ? 1.0 : filter == TAP_BICUBIC ? 2.0 : 3.0;
}

static double sinc(double x)
{
    const double pi_x = x * 3.14159265358979323846;
    return x == 0.0 ? 1.0 : sin(pi_x) / pi_x;
}

static double filter_at(tap_filter filter, double x)
{
    const double a = -0.5;
    if (filter == TAP_LANCZOS)
        return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
    x = fabs(x);
    if (filter == TAP_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static void clear_weights(weights *w)
{
    tap_free(w->first);
    tap_free(w->n);
    tap_free(w->k);
    *w = (weights){0};
}

static tap_status make_weights(weights *out, int64_t n_in, int64_t n_out,
                               tap_filter filter, tap_error *err)
{
    weights w = {0};
    double *real = NULL;
    tap_status status = TAP_OK;
    const double scale = (double)n_in / (double)n_out;
    const double filter_scale = scale < 1.0 ? 1.0 : scale;
    const double support = radius_of(filter) * filter_scale;
    w.width = (int64_t)ceil(support) * 2 + 1;
    TAP_TRY_OUT(tap_alloc(&w.first, (size_t)n_out, sizeof *w.first, "a resize", err));
    TAP_TRY_OUT(tap_alloc(&w.n, (size_t)n_out, sizeof *w.n, "a resize", err));
    TAP_TRY_OUT(
        tap_alloc(&w.k, (size_t)(n_out * w.width), sizeof *w.k, "a resize", err));
    TAP_TRY_OUT(tap_alloc(&real, (size_t)w.width, sizeof *real, "a resize", err));
    for (int64_t i = 0; i < n_out; i++) {
        const double center = ((double)i + 0.5) * scale;
        int64_t first = (int64_t)(center - support + 0.5);
        int64_t end = (int64_t)(center + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > n_in ? n_in : end;
        double sum = 0.0;
        for (int64_t j = 0; j < end - first; j++) {
            real[j] = filter_at(filter, ((double)(j + first) - center + 0.5) *
                                            (1.0 / filter_scale));
            sum += real[j];
        }
        for (int64_t j = 0; j < end - first; j++) {
            const double share = sum != 0.0 ? real[j] / sum : real[j];
            const double fixed = share * (double)(1 << FRACTION_BITS);
            w.k[i * w.width + j] = (int32_t)(share < 0.0 ? fixed - 0.5 : fixed + 0.5);
        }
        w.first[i] = first;
        w.n[i] = end - first;
    }
out:
    tap_free(real);
    if (status == TAP_OK)
        *out = w;
    else
        clear_weights(&w);
    return status;
}

/* out[i] = clamp(sum over j of in[(first + j) step] k[j]); three channels. */
static void resample(uint8_t *out, int64_t out_step, const uint8_t *in, int64_t in_step,
                     const weights *w, int64_t n_out)
{
    for (int64_t i = 0; i < n_out; i++) {
        const int32_t *k = w->k + i * w->width;
        const uint8_t *from = in + w->first[i] * in_step;
        int32_t sum[3] = {1 << (FRACTION_BITS - 1), 1 << (FRACTION_BITS - 1),
                          1 << (FRACTION_BITS - 1)};
        for (int64_t j = 0; j < w->n[i]; j++)
            for (int c = 0; c < 3; c++)
                sum[c] += from[j * in_step + c] * k[j];
        for (int c = 0; c < 3; c++) {
            const int32_t value = sum[c] >> FRACTION_BITS;
            out[i * out_step + c] = (uint8_t)(value < 0     ? 0
                                              : value > 255 ? 255
                                                            : value);
        }
    }
}

/* One pass along one axis. */
static tap_status run_pass(tap_image *out, const tap_image *in, bool vertical,
                           int64_t n, tap_filter filter, tap_error *err)
{
    weights w = {0};
    tap_image image = {.width = vertical ? in->width : n,
                       .height = vertical ? n : in->height};
    TAP_TRY(make_weights(&w, vertical ? in->height : in->width, n, filter, err));
    const tap_status status =
        tap_alloc(&image.rgb, (size_t)(image.width * image.height), 3, "an image", err);
    if (status == TAP_OK) {
        const int64_t in_row = in->width * 3, out_row = image.width * 3;
        for (int64_t i = 0; i < (vertical ? in->width : in->height); i++)
            if (vertical)
                resample(image.rgb + i * 3, out_row, in->rgb + i * 3, in_row, &w, n);
            else
                resample(image.rgb + i * out_row, 3, in->rgb + i * in_row, 3, &w, n);
        *out = image;
    }
    clear_weights(&w);
    return status;
}

static tap_status copy_image(tap_image *out, const tap_image *in, tap_error *err)
{
    tap_image image = {.width = in->width, .height = in->height};
    const size_t n = (size_t)(in->width * in->height);
    TAP_TRY(tap_alloc(&image.rgb, n, 3, "an image", err));
    memcpy(image.rgb, in->rgb, 3 * n);
    *out = image;
    return TAP_OK;
}

tap_status tap_image_resize(tap_image *out, const tap_image *image, int64_t width,
                            int64_t height, tap_filter filter, tap_resize_order order,
                            tap_error *err)
{
    const int64_t shrink_y = image->height - height, shrink_x = image->width - width;
    const bool vertical_first =
        order == TAP_ORDER_PILLOW_13 && shrink_y > 0 && shrink_y > 2 * shrink_x;
    const bool needed[2] = {width != image->width, height != image->height};
    tap_image last = {0};
    tap_status status = copy_image(&last, image, err);
    for (int pass = 0; pass < 2 && status == TAP_OK; pass++) {
        const bool vertical = (pass == 0) == vertical_first;
        if (!needed[vertical])
            continue;
        tap_image next = {0};
        status =
            run_pass(&next, &last, vertical, vertical ? height : width, filter, err);
        if (status == TAP_OK) {
            tap_image_clear(&last);
            last = next;
        }
    }
    if (status == TAP_OK)
        *out = last;
    else
        tap_image_clear(&last);
    return status;
}

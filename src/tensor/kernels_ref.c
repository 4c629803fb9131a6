/* What each operation means: plain loops in the order of the formula.
 *
 * Built twice: as f32, the table that everything faster is tested against, and as f64
 * (TAP_REF_F64), the same loops with results in double. `real` is the type of results. */
#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/kernels_ref_f64.h"

#include <assert.h>
#include <math.h>
#include <tgmath.h>

#ifdef TAP_REF_F64
typedef double real;
#else
typedef float real;
#endif

static real element(const tap_tensor *tensor, int64_t i)
{
    float value;
    tap_widen(&value, tensor, i, 1);
    return (real)value;
}

/* sum_i x[i] w[row, i]: blocks of TAP_GEMM_DEPTH, each from 0 by fused multiply-adds. */
static real dot(const float *x, const tap_tensor *w, int64_t row)
{
    const int64_t n = w->shape[1];
    real sum = 0;
    for (int64_t first = 0; first < n; first += TAP_GEMM_DEPTH) {
        const int64_t end = first + TAP_GEMM_DEPTH < n ? first + TAP_GEMM_DEPTH : n;
        real block = 0;
        for (int64_t i = first; i < end; i++)
            block = fma((real)x[i], element(w, row * n + i), block);
        sum = first == 0 ? block : sum + block;
    }
    return sum;
}

static void linear(real *y, int64_t stride_y, const float *x, int64_t stride_x,
                   int64_t n_rows, const tap_tensor *w, const tap_tensor *bias)
{
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t o = 0; o < w->shape[0]; o++) {
            const real sum = dot(x + r * stride_x, w, o);
            y[r * stride_y + o] = bias ? sum + element(bias, o) : sum;
        }
}

static void layer_norm(real *y, const float *x, int64_t n_rows, int64_t d,
                       const tap_tensor *gain, const tap_tensor *bias, double eps)
{
    for (int64_t r = 0; r < n_rows; r++) {
        const float *x_r = x + r * d;
        double mean = 0.0, variance = 0.0;
        for (int64_t i = 0; i < d; i++)
            mean += (double)x_r[i];
        mean /= (double)d;
        for (int64_t i = 0; i < d; i++)
            variance += ((double)x_r[i] - mean) * ((double)x_r[i] - mean);
        const double scale = 1.0 / sqrt(variance / (double)d + eps);
        for (int64_t i = 0; i < d; i++) {
            const real normed = (real)(((double)x_r[i] - mean) * scale);
            y[r * d + i] = normed * element(gain, i) + element(bias, i);
        }
    }
}

static void rms_norm(real *y, const float *x, int64_t n_rows, int64_t d,
                     const tap_tensor *gain, double eps)
{
    for (int64_t r = 0; r < n_rows; r++) {
        const float *x_r = x + r * d;
        double square = 0.0;
        for (int64_t i = 0; i < d; i++)
            square += (double)x_r[i] * (double)x_r[i];
        const double scale = 1.0 / sqrt(square / (double)d + eps);
        for (int64_t i = 0; i < d; i++)
            y[r * d + i] = (real)((double)x_r[i] * scale) * element(gain, i);
    }
}

static real act_of(real x, tap_act act)
{
    const real one = 1, half = (real)0.5;
    switch (act) {
    case TAP_ACT_QUICK_GELU:
        return x / (one + exp((real)-1.702 * x));
    case TAP_ACT_GELU_ERF:
        return half * x * (one + erf(x * (real)0.70710678118654752440));
    case TAP_ACT_GELU_TANH:
        return half * x *
               (one +
                tanh((real)0.79788456080286535588 * (x + (real)0.044715 * x * x * x)));
    case TAP_ACT_SILU:
        return x / (one + exp(-x));
    }
    return x;
}

static void activate(real *y, const float *x, int64_t n, tap_act act)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = act_of((real)x[i], act);
}

static void gate(real *y, const float *gates, const float *up, int64_t n, tap_act act)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = act_of((real)gates[i], act) * (real)up[i];
}

static void rope(real *y, const float *x, int64_t stride, int64_t n_rows, int n_heads,
                 int d_head, const float *cosine, const float *sine)
{
    const int half = d_head / 2;
    for (int64_t r = 0; r < n_rows; r++)
        for (int h = 0; h < n_heads; h++)
            for (int i = 0; i < half; i++) {
                const int64_t at = r * stride + (int64_t)h * d_head + i;
                const real a = (real)x[at], b = (real)x[at + half];
                const real c = (real)cosine[r * half + i], s = (real)sine[r * half + i];
                y[at] = a * c - b * s;
                y[at + half] = b * c + a * s;
            }
}

/* One query row: token t of head h, in an edge class. */
typedef struct row {
    const tap_attend_args *args;
    int64_t q, t; /* row of q, and its place in the sequence */
    int head, kv_head, edge_class;
} row;

static bool edge_in(const uint64_t *set, const row *r, int64_t key)
{
    const tap_edges *e = r->args->edges;
    if (!e || !set)
        return false;
    const int64_t n_words = tap_bits_words(e->n_tok);
    return tap_bits_get(set + (r->edge_class * e->n_tok + r->t) * n_words, key);
}

static bool base_allows(const row *r, int64_t key)
{
    const tap_attend_args *a = r->args;
    return (!a->causal || key <= r->t) && key >= tap_segment_begin(a->segment, r->t) &&
           key < tap_segment_end(a->segment, r->t, a->n_k);
}

/* scale <q, k>, -inf where the model itself allows no edge. */
static real score_of(const row *r, const float *q, const float *k, int64_t key)
{
    const tap_attend_args *a = r->args;
    if (!base_allows(r, key))
        return -(real)INFINITY;
    const float *q_th = q + r->q * a->stride_q + (int64_t)r->head * a->d_head;
    const int64_t at = tap_attend_key(a, key);
    const float *k_sh = k + at * a->stride_kv + (int64_t)r->kv_head * a->d_head;
    real sum = 0;
    if (at < 0)
        return 0;
    for (int i = 0; i < a->d_head; i++)
        sum = fma((real)q_th[i], (real)k_sh[i], sum);
    return sum * (real)a->scale;
}

/* w = softmax(w) over n scores, at least one of them above -inf. Sums in f64. */
static void softmax(real *w, int64_t n)
{
    real most = -(real)INFINITY;
    for (int64_t s = 0; s < n; s++)
        most = w[s] > most ? w[s] : most;
    double sum = 0.0;
    for (int64_t s = 0; s < n; s++) {
        w[s] = exp(w[s] - most);
        sum += (double)w[s];
    }
    for (int64_t s = 0; s < n; s++)
        w[s] = (real)((double)w[s] / sum);
}

/* Weights of a row as used: w [n_k]; clean [n_k] is scratch. Counts what happened. */
static void weights_of(real *w, real *clean, const row *r, tap_head_receipt *count)
{
    const tap_attend_args *a = r->args;
    const tap_edges *e = a->edges;
    const bool uniform =
        e && e->uniform &&
        tap_bits_get(e->uniform + r->edge_class * tap_bits_words(e->n_tok), r->t);
    int64_t n_used = 0;
    for (int64_t s = 0; s < a->n_k; s++) {
        w[s] = score_of(r, a->q, a->k, s);
        if (!base_allows(r, s))
            continue;
        count->allowed++;
        if (edge_in(e ? e->cut : NULL, r, s)) {
            w[s] = -(real)INFINITY;
            count->cut++;
            continue;
        }
        n_used++;
        if (uniform)
            w[s] = 0;
        else if (e && e->log_scale) {
            const float log_scale =
                e->log_scale[(r->edge_class * e->n_tok + r->t) * e->n_tok + s];
            w[s] += (real)log_scale;
            count->scaled += log_scale != 0.0F;
        }
    }
    count->rows_emptied += n_used == 0;
    if (n_used > 0)
        softmax(w, a->n_k);
    for (int64_t s = 0; n_used == 0 && s < a->n_k; s++)
        w[s] = 0;
    if (e && e->frozen) {
        for (int64_t s = 0; s < a->n_k; s++)
            clean[s] = score_of(r, a->q_clean, a->k_clean, s);
        softmax(clean, a->n_k);
    }
    for (int64_t s = 0; s < a->n_k; s++) {
        if (edge_in(e ? e->cut : NULL, r, s))
            continue;
        if (edge_in(e ? e->zeroed : NULL, r, s)) {
            w[s] = 0;
            count->zeroed++;
            n_used--;
        } else if (edge_in(e ? e->frozen : NULL, r, s)) {
            w[s] = clean[s];
            count->frozen++;
        }
    }
    count->used += n_used;
}

/* z_th = sum_s w[s] v[s]: blocks of TAP_GEMM_DEPTH keys, as in dot. */
static void mix(real *z_th, const real *w, const row *r)
{
    const tap_attend_args *a = r->args;
    for (int i = 0; i < a->d_head; i++) {
        const float *v = a->v + (int64_t)r->kv_head * a->d_head + i;
        real sum = 0;
        for (int64_t first = 0; first < a->n_k; first += TAP_GEMM_DEPTH) {
            real block = 0;
            for (int64_t s = first; s < a->n_k && s < first + TAP_GEMM_DEPTH; s++)
                if (tap_attend_key(a, s) >= 0)
                    block =
                        fma(w[s], (real)v[tap_attend_key(a, s) * a->stride_kv], block);
            sum = first == 0 ? block : sum + block;
        }
        z_th[i] = sum;
    }
}

/* z rows stride_z apart; scores and pattern, if given, as in tap_attend_args. */
static void attend_one(real *z, int64_t stride_z, real *scores, real *pattern,
                       const tap_attend_args *a, const tap_workspace *work)
{
    real *w = work->scratch, *clean = w + a->n_k;
    for (int h = 0; h < a->n_heads; h++) {
        tap_head_receipt count = {0};
        for (int64_t q = 0; q < a->n_q; q++) {
            const row r = {.args = a,
                           .q = q,
                           .t = tap_attend_row(a, q),
                           .head = h,
                           .kv_head = h / (a->n_heads / a->n_kv_heads),
                           .edge_class = a->edges ? a->edges->class_of_head[h] : 0};
            const int64_t at = ((int64_t)h * a->n_q + q) * a->n_k;
            for (int64_t s = 0; scores && s < a->n_k; s++)
                scores[at + s] = score_of(&r, a->q, a->k, s);
            weights_of(w, clean, &r, &count);
            for (int64_t s = 0; s < a->n_k; s++) {
                if (pattern)
                    pattern[at + s] = w[s];
                if (edge_in(a->edges ? a->edges->cut : NULL, &r, s) ||
                    edge_in(a->edges ? a->edges->zeroed : NULL, &r, s))
                    count.weight_on_cut += fabs((double)w[s]);
            }
            mix(z + q * stride_z + (int64_t)h * a->d_head, w, &r);
        }
        if (a->receipt)
            tap_head_receipt_add(&a->receipt[h], &count);
    }
}

#ifdef TAP_REF_F64

static void attend(double *z, const tap_attend_args *args, const tap_workspace *work)
{
    attend_one(z, (int64_t)args->n_heads * args->d_head, NULL, NULL, args, work);
}

static size_t scratch_bytes(int64_t n_tok)
{
    return 2 * (size_t)n_tok * sizeof(real);
}

const tap_kernels_f64 tap_kernels_ref_f64 = {
    linear, layer_norm, rms_norm, activate, gate, rope, attend, scratch_bytes};

#else

static void ref_linear(float *y, int64_t stride_y, const float *x, int64_t stride_x,
                       int64_t n_rows, const tap_tensor *w, const tap_tensor *bias,
                       const tap_workspace *work)
{
    (void)work;
    linear(y, stride_y, x, stride_x, n_rows, w, bias);
}

static void ref_linears(const tap_linear *maps, int n, const float *x, int64_t stride_x,
                        int64_t n_rows, const tap_workspace *work)
{
    (void)work;
    for (const tap_linear *m = maps; m < maps + n; m++)
        linear(m->y, m->stride_y, x, stride_x, n_rows, m->w, m->bias);
}

static void ref_layer_norm(float *y, const float *x, int64_t n_rows, int64_t d,
                           const tap_tensor *gain, const tap_tensor *bias, double eps,
                           const tap_workspace *work)
{
    (void)work;
    layer_norm(y, x, n_rows, d, gain, bias, eps);
}

static void ref_rms_norm(float *y, const float *x, int64_t n_rows, int64_t d,
                         const tap_tensor *gain, double eps, const tap_workspace *work)
{
    (void)work;
    rms_norm(y, x, n_rows, d, gain, eps);
}

static void ref_activate(float *x, int64_t n, tap_act act, const tap_workspace *work)
{
    (void)work;
    activate(x, x, n, act);
}

static void ref_gate(float *gates, const float *up, int64_t n, tap_act act,
                     const tap_workspace *work)
{
    (void)work;
    gate(gates, gates, up, n, act);
}

static void ref_add(float *y, const float *x, int64_t n, const tap_workspace *work)
{
    (void)work;
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void ref_rope(float *x, int64_t stride_x, int64_t n_rows, int n_heads,
                     int d_head, const float *cosine, const float *sine,
                     const tap_workspace *work)
{
    (void)work;
    rope(x, x, stride_x, n_rows, n_heads, d_head, cosine, sine);
}

static void ref_attend(const tap_attend_args *args, int64_t n,
                       const tap_workspace *work)
{
    for (int64_t i = 0; i < n; i++)
        attend_one(args[i].z, args[i].stride_z, args[i].scores, args[i].pattern,
                   &args[i], work);
}

static void ref_rank(float *ranks, float *label_logits, const float *x, int64_t n_rows,
                     const tap_tensor *w, const int32_t *labels, int64_t n_labels,
                     const uint64_t *candidates, const tap_workspace *work)
{
    (void)work;
    const int64_t d = w->shape[1];
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t l = 0; l < n_labels; l++) {
            const float z_y = dot(x + r * d, w, labels[l]);
            double rank = 1.0;
            for (int64_t v = 0; v < w->shape[0]; v++) {
                if (v == labels[l] || (candidates && !tap_bits_get(candidates, v)))
                    continue;
                const float z_v = dot(x + r * d, w, v);
                rank += z_v > z_y ? 1.0 : z_v == z_y ? 0.5 : 0.0;
                rank +=
                    z_y != z_y ? 1.0 : 0.0; /* a label that is not a number is last */
            }
            ranks[r * n_labels + l] = (float)rank;
            if (label_logits)
                label_logits[r * n_labels + l] = z_y;
        }
}

static size_t ref_scratch_bytes(int64_t n_rows, int64_t d_max, int64_t n_tok,
                                int64_t n_labels, int n_threads)
{
    (void)n_rows;
    (void)d_max;
    (void)n_labels;
    (void)n_threads;
    return 2 * (size_t)n_tok * sizeof(real);
}

const tap_kernels tap_kernels_ref = {.name = "reference",
                                     .compute = "f32",
                                     .attends = TAP_ATTEND_ALL,
                                     .linear = ref_linear,
                                     .linears = ref_linears,
                                     .layer_norm = ref_layer_norm,
                                     .rms_norm = ref_rms_norm,
                                     .activate = ref_activate,
                                     .gate = ref_gate,
                                     .add = ref_add,
                                     .rope = ref_rope,
                                     .attend = ref_attend,
                                     .rank = ref_rank,
                                     .scratch_bytes = ref_scratch_bytes};

#endif

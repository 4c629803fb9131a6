#include "model/gradient.h"

#include "base/memory.h"
#include "model/pass.h"

#include <math.h>
#include <omp.h>
#include <string.h>

struct tap_gradient {
    const tap_model *model;
    const tap_kernels *kernels;
    tap_workspace work;
    int64_t n; /* tokens */
    float
        *stream; /* [n_blocks + 1][n][d] what enters each block, and leaves the last */
    float *cos, *sin, *back; /* [n][d_head / 2]; back = -sin */
    float *wide;             /* the largest matrix, turned */
    /* of the block in hand, [n][...]; d_... is the derivative by ... */
    float *normed, *mid, *out, *d_in; /* d_model */
    float *q, *z, *d_q, *d_z;         /* n_heads d_head */
    float *k, *v, *d_k, *d_v;         /* n_kv_heads d_head */
    float *gate, *up, *act, *d_act;   /* d_mlp */
    float *weights;                   /* [n_kv_heads][2][n] of one query row */
    void *all;                        /* of all of these */
};

/* cos and sin by the decoder's own rule. */
static void turn(tap_gradient *g, const tap_sequence *sequence)
{
    const tap_item item = {.sequence = sequence};
    tap_job job = {.model = g->model, .items = &item, .n_items = 1};
    const tap_span span = {.n_rows = g->n};
    tap_pass pass = {.job = &job,
                     .spec = &g->model->spec.lm.stack,
                     .spans = &span,
                     .n_spans = 1,
                     .cos = g->cos,
                     .sin = g->sin};
    tap_lm_rope(&pass, &span);
    for (int64_t i = 0; i < g->n * g->model->spec.lm.stack.d_head / 2; i++)
        g->back[i] = -g->sin[i];
}

tap_status tap_gradient_open(tap_gradient **out, const tap_model *model,
                             const tap_sequence *sequence, const tap_kernels *kernels,
                             int n_threads, tap_error *err)
{
    const tap_stack_spec *s = &model->spec.lm.stack;
    const size_t n = (size_t)sequence->n_tok, d = (size_t)s->d_model,
                 d_q = (size_t)s->n_heads * (size_t)s->d_head,
                 d_kv = (size_t)s->n_kv_heads * (size_t)s->d_head,
                 d_mlp = (size_t)s->d_mlp, half = (size_t)s->d_head / 2;
    const size_t widest = d_q > d_mlp ? d_q : d_mlp;
    tap_gradient *g = NULL;
    char *memory = NULL;
    size_t total = 0;
    if (s->act != TAP_ACT_SILU)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "gradients are written out for decoders with SiLU, which '%s' "
                        "does not have",
                        model->spec.family);
    TAP_TRY(tap_alloc(&g, 1, sizeof *g, "a gradient", err));
    *g = (tap_gradient){.model = model, .n = sequence->n_tok};
    g->kernels = kernels ? kernels : tap_kernels_cpu();
    g->work.n_threads = n_threads > 0 ? n_threads : omp_get_num_procs();
    g->work.scratch_bytes = g->kernels->scratch_bytes(
        g->n, (int64_t)(widest > d ? widest : d), g->n, 0, g->work.n_threads);

    struct {
        float **place;
        size_t n;
    } takes[] = {{&g->stream, ((size_t)s->n_blocks + 1) * n * d},
                 {&g->cos, n * half},
                 {&g->sin, n * half},
                 {&g->back, n * half},
                 {&g->wide, d * widest},
                 {&g->normed, n * d},
                 {&g->mid, n * d},
                 {&g->out, n * d},
                 {&g->d_in, n * d},
                 {&g->q, n * d_q},
                 {&g->z, n * d_q},
                 {&g->d_q, n * d_q},
                 {&g->d_z, n * d_q},
                 {&g->k, n * d_kv},
                 {&g->v, n * d_kv},
                 {&g->d_k, n * d_kv},
                 {&g->d_v, n * d_kv},
                 {&g->gate, n * d_mlp},
                 {&g->up, n * d_mlp},
                 {&g->act, n * d_mlp},
                 {&g->d_act, n * d_mlp},
                 {&g->weights, (size_t)s->n_kv_heads * 2 * n},
                 {(float **)&g->work.scratch,
                  (g->work.scratch_bytes + sizeof(float) - 1) / sizeof(float)}};

    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++)
        total += (takes[i].n + 15) / 16 * 16;
    const tap_status status =
        tap_alloc(&memory, total + 16, sizeof(float), "a gradient", err);
    if (status != TAP_OK) {
        tap_free(g);
        return status;
    }
    g->all = memory;
    memory += (64 - (uintptr_t)memory % 64) % 64;
    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
        memcpy(takes[i].place, &memory, sizeof memory);
        memory += (takes[i].n + 15) / 16 * 16 * sizeof(float);
    }
    turn(g, sequence);
    *out = g;
    return TAP_OK;
}

void tap_gradient_close(tap_gradient *gradient)
{
    if (gradient)
        tap_free(gradient->all);
    tap_free(gradient);
}

/* ---- forward ---- */

/* Everything in a block up to its output: mid = x + attention, out = mid + MLP. */
static void forward(tap_gradient *g, const tap_block_weights *w, const float *x)
{
    const tap_kernels *k = g->kernels;
    const tap_workspace *work = &g->work;
    const tap_stack_spec *s = &g->model->spec.lm.stack;
    const int64_t n = g->n, d = s->d_model, d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head, d_mlp = s->d_mlp;
    k->rms_norm(g->normed, x, n, d, &w->attn_norm.weight, s->norm_eps, work);
    k->linear(g->q, d_q, g->normed, d, n, &w->q.weight, tap_affine_bias(&w->q), work);
    k->linear(g->k, d_kv, g->normed, d, n, &w->k.weight, tap_affine_bias(&w->k), work);
    k->linear(g->v, d_kv, g->normed, d, n, &w->v.weight, tap_affine_bias(&w->v), work);
    k->rope(g->q, d_q, n, s->n_heads, s->d_head, g->cos, g->sin, work);
    k->rope(g->k, d_kv, n, s->n_kv_heads, s->d_head, g->cos, g->sin, work);
    const tap_attend_args args = {.n_q = n,
                                  .n_k = n,
                                  .n_heads = s->n_heads,
                                  .n_kv_heads = s->n_kv_heads,
                                  .d_head = s->d_head,
                                  .causal = true,
                                  .scale = (float)(1.0 / sqrt((double)s->d_head)),
                                  .q = g->q,
                                  .k = g->k,
                                  .v = g->v,
                                  .stride_q = d_q,
                                  .stride_kv = d_kv,
                                  .z = g->z,
                                  .stride_z = d_q};
    k->attend(&args, 1, work);
    k->linear(g->mid, d, g->z, d_q, n, &w->o.weight, tap_affine_bias(&w->o), work);
    k->add(g->mid, x, n * d, work);
    k->rms_norm(g->normed, g->mid, n, d, &w->mlp_norm.weight, s->norm_eps, work);
    k->linear(g->gate, d_mlp, g->normed, d, n, &w->gate.weight, NULL, work);
    k->linear(g->up, d_mlp, g->normed, d, n, &w->up.weight, NULL, work);
    memcpy(g->act, g->gate, (size_t)(n * d_mlp) * sizeof *g->act);
    k->gate(g->act, g->up, n * d_mlp, s->act, work);
    k->linear(g->out, d, g->act, d_mlp, n, &w->down.weight, NULL, work);
    k->add(g->out, g->mid, n * d, work);
}

/* ---- backward ---- */

/* y [n][n_in] = x w, for w [n_out][n_in] as stored: the product with w turned. */
static void product(tap_gradient *g, float *y, const float *x, const tap_tensor *w)
{
    const int64_t n_out = w->shape[0], n_in = w->shape[1];
    float row[256];
    for (int64_t o = 0; o < n_out; o++)
        for (int64_t i = 0; i < n_in; i += 256) {
            const int64_t m = n_in - i < 256 ? n_in - i : 256;
            tap_widen(row, w, o * n_in + i, m);
            for (int64_t j = 0; j < m; j++)
                g->wide[(i + j) * n_out + o] = row[j];
        }
    const tap_tensor turned = {.dtype = TAP_F32,
                               .n_dims = 2,
                               .shape = {n_in, n_out},
                               .bytes = (const void *)g->wide};
    g->kernels->linear(y, n_in, x, n_out, g->n, &turned, NULL, &g->work);
}

/* d_x [n][d] += the derivative of a norm's input, from d_y of its output. */
static void norm_back(float *d_x, const float *d_y, const float *x, int64_t n,
                      int64_t d, const tap_tensor *gain, double eps, float *wide)
{
    tap_widen(wide, gain, 0, d);
    for (int64_t t = 0; t < n; t++, x += d, d_x += d, d_y += d) {
        double squares = 0.0, dot = 0.0;
        for (int64_t i = 0; i < d; i++) {
            squares += (double)x[i] * (double)x[i];
            dot += (double)d_y[i] * (double)wide[i] * (double)x[i];
        }
        const double r = 1.0 / sqrt(squares / (double)d + eps);
        for (int64_t i = 0; i < d; i++)
            d_x[i] += (float)(r * (double)d_y[i] * (double)wide[i] -
                              r * r * r / (double)d * dot * (double)x[i]);
    }
}

/* d_q, d_k, d_v of the query heads that share one head of keys, from d_z. */
static void attend_back(tap_gradient *g, int kv)
{
    const tap_stack_spec *s = &g->model->spec.lm.stack;
    const int per = s->n_heads / s->n_kv_heads;
    const int64_t d = s->d_head, d_q = (int64_t)s->n_heads * d,
                  d_kv = (int64_t)s->n_kv_heads * d;
    const double scale = 1.0 / sqrt((double)d);
    float *w = g->weights + (int64_t)kv * 2 * g->n, *d_w = w + g->n;
    const float *k = g->k + kv * d, *v = g->v + kv * d;
    float *d_k = g->d_k + kv * d, *d_v = g->d_v + kv * d;
    for (int64_t i = 0; i < g->n * d; i++)
        d_k[i / d * d_kv + i % d] = d_v[i / d * d_kv + i % d] = 0.0F;
    for (int h = kv * per; h < (kv + 1) * per; h++)
        for (int64_t t = 0; t < g->n; t++) {
            const float *q = g->q + t * d_q + h * d, *d_z = g->d_z + t * d_q + h * d;
            float *d_q_row = g->d_q + t * d_q + h * d;
            double most = -(double)INFINITY, sum = 0.0, mean = 0.0;
            for (int64_t r = 0; r <= t; r++) {
                double score = 0.0, slope = 0.0;
                for (int64_t i = 0; i < d; i++) {
                    score += (double)q[i] * (double)k[r * d_kv + i];
                    slope += (double)d_z[i] * (double)v[r * d_kv + i];
                }
                w[r] = (float)(score * scale);
                d_w[r] = (float)slope;
                most = fmax(most, (double)w[r]);
            }
            for (int64_t r = 0; r <= t; r++) {
                w[r] = (float)exp((double)w[r] - most);
                sum += (double)w[r];
            }
            for (int64_t r = 0; r <= t; r++) {
                w[r] = (float)((double)w[r] / sum);
                mean += (double)w[r] * (double)d_w[r];
            }
            memset(d_q_row, 0, (size_t)d * sizeof *d_q_row);
            for (int64_t r = 0; r <= t; r++) {
                const float d_score =
                    (float)((double)w[r] * ((double)d_w[r] - mean) * scale);
                for (int64_t i = 0; i < d; i++) {
                    d_q_row[i] += d_score * k[r * d_kv + i];
                    d_k[r * d_kv + i] += d_score * q[i];
                    d_v[r * d_kv + i] += w[r] * d_z[i];
                }
            }
        }
}

/* d [n][d_model]: from the derivative by a block's output to that by its input x. */
static void backward(tap_gradient *g, const tap_block_weights *w, const float *x,
                     float *d)
{
    const tap_kernels *k = g->kernels;
    const tap_workspace *work = &g->work;
    const tap_stack_spec *s = &g->model->spec.lm.stack;
    const int64_t n = g->n, d_model = s->d_model, d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head, n_mlp = n * s->d_mlp;
    forward(g, w, x);
    product(g, g->d_act, d, &w->down.weight);
    for (int64_t i = 0; i < n_mlp; i++) { /* act = silu(gate) up */
        const double a = (double)g->gate[i], sigma = 1.0 / (1.0 + exp(-a));
        const double slope = (double)g->d_act[i];
        g->gate[i] =
            (float)(slope * (double)g->up[i] * sigma * (1.0 + a * (1.0 - sigma)));
        g->up[i] = (float)(slope * a * sigma);
    }
    product(g, g->d_in, g->gate, &w->gate.weight);
    product(g, g->out, g->up, &w->up.weight);
    k->add(g->d_in, g->out, n * d_model, work);
    norm_back(d, g->d_in, g->mid, n, d_model, &w->mlp_norm.weight, s->norm_eps,
              g->normed);

    product(g, g->d_z, d, &w->o.weight);
#pragma omp parallel for num_threads(g->work.n_threads) schedule(static)
    for (int kv = 0; kv < s->n_kv_heads; kv++)
        attend_back(g, kv);
    k->rope(g->d_q, d_q, n, s->n_heads, s->d_head, g->cos, g->back, work);
    k->rope(g->d_k, d_kv, n, s->n_kv_heads, s->d_head, g->cos, g->back, work);
    product(g, g->d_in, g->d_q, &w->q.weight);
    product(g, g->out, g->d_k, &w->k.weight);
    k->add(g->d_in, g->out, n * d_model, work);
    product(g, g->out, g->d_v, &w->v.weight);
    k->add(g->d_in, g->out, n * d_model, work);
    norm_back(d, g->d_in, x, n, d_model, &w->attn_norm.weight, s->norm_eps, g->normed);
}

void tap_gradient_run(float *out, float *logit, tap_gradient *gradient,
                      const float *embed, int32_t word)
{
    tap_gradient *g = gradient;
    const tap_model *m = g->model;
    const tap_stack_spec *s = &m->spec.lm.stack;
    const int64_t d = s->d_model, size = g->n * d;
    memcpy(g->stream, embed, (size_t)size * sizeof *embed);
    for (int b = 0; b < s->n_blocks; b++) {
        forward(g, &m->lm_blocks[b], g->stream + b * size);
        memcpy(g->stream + (b + 1) * size, g->out, (size_t)size * sizeof *g->out);
    }
    const float *last = g->stream + (s->n_blocks + 1) * size - d;
    float *head = g->d_in; /* the word's row */
    tap_widen(head, &m->head, word * d, d);
    if (logit) {
        double sum = 0.0;
        g->kernels->rms_norm(g->normed, last, 1, d, &m->final_norm.weight, s->norm_eps,
                             &g->work);
        for (int64_t i = 0; i < d; i++)
            sum += (double)g->normed[i] * (double)head[i];
        *logit = (float)sum;
    }
    memset(out, 0, (size_t)size * sizeof *out);
    norm_back(out + size - d, head, last, 1, d, &m->final_norm.weight, s->norm_eps,
              g->normed);
    for (int b = s->n_blocks - 1; b >= 0; b--)
        backward(g, &m->lm_blocks[b], g->stream + b * size, out);
}

#include "model/rate.h"

#include <omp.h>
#include <time.h>

enum { ROWS = 576 }; /* patches of an image: a usual size of product */

static const double WANTED_S = 1.0;

static double now_s(void)
{
    struct timespec at = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* All products of a block once; returns their FLOPs. */
static double round_of(const tap_block_weights *block, float *y, const float *x,
                       int64_t width, const tap_kernels *kernels,
                       const tap_workspace *work)
{
    const tap_tensor *const weights[] = {
        &block->q.weight,    &block->k.weight,  &block->v.weight,   &block->o.weight,
        &block->gate.weight, &block->up.weight, &block->down.weight};
    double flop = 0.0;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        const tap_tensor *w = weights[i];
        if (!w->bytes)
            continue;
        kernels->linear(y, width, x, width, ROWS, w, NULL, work);
        flop += 2.0 * ROWS * (double)w->shape[0] * (double)w->shape[1];
    }
    return flop;
}

tap_status tap_model_rate(double *flop_per_s, const tap_model *model,
                          const tap_kernels *kernels, int n_threads, tap_error *err)
{
    const tap_stack_spec *s = &model->spec.lm.stack;
    if (s->n_blocks < 1 || !model->lm_blocks)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "there is no decoder whose speed could be measured");
    const tap_block_weights *block = &model->lm_blocks[s->n_blocks / 2];
    const int64_t attn = (int64_t)s->n_heads * s->d_head;
    int64_t width = s->d_model > s->d_mlp ? s->d_model : s->d_mlp;
    width = attn > width ? attn : width;
    float *x = NULL, *y = NULL;
    tap_workspace work = {.n_threads = n_threads > 0 ? n_threads : omp_get_num_procs()};
    tap_status status = TAP_OK;
    const size_t n = (size_t)ROWS * (size_t)width;
    work.scratch_bytes = kernels->scratch_bytes(ROWS, width, ROWS, 1, work.n_threads);
    TAP_TRY_OUT(tap_alloc(&x, n, sizeof *x, "a measurement", err));
    TAP_TRY_OUT(tap_alloc(&y, n, sizeof *y, "a measurement", err));
    TAP_TRY_OUT(tap_alloc(&work.scratch, work.scratch_bytes, 1, "a measurement", err));
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((int)(i * 2654435761U >> 8 & 1023) - 512) / 512.0F;
    (void)round_of(block, y, x, width, kernels, &work); /* reads the weights */
    double flop = 0.0;
    const double start = now_s();
    do
        flop += round_of(block, y, x, width, kernels, &work);
    while (now_s() - start < WANTED_S);
    *flop_per_s = flop / (now_s() - start);
out:
    tap_free(x);
    tap_free(y);
    tap_free(work.scratch);
    return status;
}

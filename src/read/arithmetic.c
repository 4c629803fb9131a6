#include "read/arithmetic.h"

#include "base/memory.h"
#include "read/group.h"
#include "read/lens.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_CELLS = 4, SPREAD_WORDS = 16 };

/* ORDER cells: clean, encoder off, decoder off, both off */
static const char *const cells[N_CELLS] = {
    "", "vision: image <- image|cls", "lm: image <- image",
    "vision: image <- image|cls; lm: image <- image"};

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

tap_rank_shift tap_rank_shift_of(const float *a, const float *b, int64_t n,
                                 double *scratch)
{
    int64_t n_equal = 0;
    assert(n > 0);
    for (int64_t i = 0; i < n; i++) {
        n_equal += !(a[i] > b[i]) && !(a[i] < b[i]);
        scratch[i] = fabs(log2((double)b[i] / (double)a[i]));
    }
    qsort(scratch, (size_t)n, sizeof *scratch, by_value);
    return (tap_rank_shift){.equal = (double)n_equal / (double)n,
                            .median = 0.5 * (scratch[n / 2] + scratch[(n - 1) / 2]),
                            .centile95 = scratch[(int64_t)ceil(0.95 * (double)n) - 1]};
}

/* One table's ranks: [N_CELLS][n_depths][n_rows][n_words]. */
typedef struct reading {
    const tap_scene *scene;
    tap_plan *plans[N_CELLS];
    const int32_t *words;
    int64_t n_words, n_cells_of_depth; /* n_rows n_words */
    uint64_t depths[TAP_MAX_BLOCKS / 64 + 1];
    int n_depths, n_threads;
} reading;

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

static tap_status read_ranks(float *out, const reading *r, const tap_kernels *kernels,
                             tap_error *err)
{
    const tap_model *model = r->scene->model;
    const int64_t *rows = r->scene->image_rows, n_rows = r->scene->sequence.n_image;
    tap_lens *lens = NULL;
    tap_status status = TAP_OK;
    const tap_lens_spec spec = {.labels = r->words,
                                .n_labels = r->n_words,
                                .depths = r->depths,
                                .rows = &rows,
                                .n_rows = &n_rows};
    TAP_TRY_OUT(
        tap_lens_open(&lens, model, kernels, r->n_threads, &spec, 1, N_CELLS, err));
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, lens);
    const tap_item item = {.pixels = &r->scene->pixels,
                           .sequence = &r->scene->sequence,
                           .plans = (const tap_plan *const *)r->plans,
                           .read = rows,
                           .n_read = n_rows};
    const tap_sink sink = {.owner = lens, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.kernels = kernels, .n_threads = r->n_threads};
    TAP_TRY_OUT(tap_run(NULL, model, &item, 1, N_CELLS, &options, &sink, err));
    tap_lens_flush(lens);
    for (int64_t c = 0; c < N_CELLS; c++) {
        const int64_t n = r->n_depths * r->n_cells_of_depth;
        memcpy(out + c * n, tap_lens_ranks(lens, 0, c), (size_t)n * sizeof *out);
    }
out:
    tap_lens_close(lens);
    return status;
}

static tap_status compile_cells(reading *r, tap_error *err)
{
    tap_groups groups = {0};
    tap_plan_sizes sizes;
    const tap_group_input input = {.scene = r->scene, .threshold = 0.5};
    tap_spec_plan_sizes(&sizes, &r->scene->model->spec);
    TAP_TRY(tap_group_compile(&groups, &input, err));
    tap_status status = TAP_OK;
    for (int c = 0; c < N_CELLS && status == TAP_OK; c++) {
        tap_condition *condition = NULL;
        status = tap_condition_parse(&condition, cells[c], err);
        if (status == TAP_OK)
            status = tap_plan_compile(&r->plans[c], condition, &groups, &sizes, err);
        tap_condition_free(condition);
    }
    tap_groups_clear(&groups);
    return status;
}

static tap_effects effects_of(const float *ranks, const reading *r, int depth)
{
    double s[N_CELLS];
    const int64_t n = r->n_cells_of_depth;
    for (int c = 0; c < N_CELLS; c++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++)
            sum += log2((double)ranks[(c * r->n_depths + depth) * n + i]);
        s[c] = 1.0 - sum / (double)n / log2((double)r->scene->model->spec.lm.d_vocab);
    }
    const double deficit = s[0] - s[3], d0 = s[2] - s[3], d1 = s[0] - s[1];
    return (tap_effects){.s11 = s[0],
                         .s01 = s[1],
                         .s10 = s[2],
                         .s00 = s[3],
                         .r = fabs(deficit) > 0.0 ? (s[1] - s[3]) / deficit
                                                  : (double)NAN,
                         .ci = fabs(d0) > 0.0 ? 1.0 - d1 / d0 : (double)NAN};
}

/* The cells of one depth side by side, then their shift. */
static tap_rank_shift shift_of_depth(const float *ranks[2], const reading *r, int depth,
                                     float *packed, double *scratch)
{
    const int64_t n = r->n_cells_of_depth;
    for (int c = 0; c < N_CELLS; c++)
        for (int which = 0; which < 2; which++)
            memcpy(packed + (which * N_CELLS + c) * n,
                   ranks[which] + (c * r->n_depths + depth) * n,
                   (size_t)n * sizeof *packed);
    return tap_rank_shift_of(packed, packed + N_CELLS * n, N_CELLS * n, scratch);
}

tap_status tap_arithmetic_compare(tap_arithmetic *out, const tap_scene *scene,
                                  const tap_kernels *a, const tap_kernels *b,
                                  int n_threads, const int32_t *words, int64_t n_words,
                                  tap_error *err)
{
    int32_t spread[SPREAD_WORDS];
    const int64_t d_vocab = scene->model->spec.lm.d_vocab;
    for (int i = 0; i < SPREAD_WORDS; i++)
        spread[i] = (int32_t)((2 * i + 1) * d_vocab / (2 * SPREAD_WORDS));
    reading r = {.scene = scene,
                 .words = words ? words : spread,
                 .n_words = words ? n_words : SPREAD_WORDS,
                 .n_depths = scene->model->spec.lm.stack.n_blocks + 1,
                 .n_threads = n_threads};
    r.n_cells_of_depth = scene->sequence.n_image * r.n_words;
    for (int d = 0; d < r.n_depths; d++)
        tap_bits_set(r.depths, d);
    const size_t n = (size_t)r.n_cells_of_depth,
                 n_all = N_CELLS * (size_t)r.n_depths * n;
    tap_arithmetic result = {.n_depths = r.n_depths,
                             .n_words = r.n_words,
                             .n_rows = scene->sequence.n_image};
    float *ranks[2] = {NULL, NULL}, *packed = NULL;
    double *scratch = NULL;
    tap_status status = TAP_OK;
    const char *what = "a comparison";
    TAP_TRY_OUT(tap_alloc(&ranks[0], n_all, sizeof(float), what, err));
    TAP_TRY_OUT(tap_alloc(&ranks[1], n_all, sizeof(float), what, err));
    TAP_TRY_OUT(tap_alloc(&packed, 2 * N_CELLS * n, sizeof *packed, what, err));
    TAP_TRY_OUT(tap_alloc(&scratch, N_CELLS * n, sizeof *scratch, what, err));
    TAP_TRY_OUT(tap_alloc(&result.shifts, (size_t)r.n_depths, sizeof *result.shifts,
                          what, err));
    TAP_TRY_OUT(tap_alloc(&result.effects, 2 * (size_t)r.n_depths,
                          sizeof *result.effects, what, err));
    TAP_TRY_OUT(compile_cells(&r, err));
    TAP_TRY_OUT(read_ranks(ranks[0], &r, a, err));
    TAP_TRY_OUT(read_ranks(ranks[1], &r, b, err));
    for (int d = 0; d < r.n_depths; d++) {
        const float *both[2] = {ranks[0], ranks[1]};
        result.shifts[d] = shift_of_depth(both, &r, d, packed, scratch);
        for (int which = 0; which < 2; which++)
            result.effects[2 * d + which] = effects_of(ranks[which], &r, d);
    }
out:
    for (int c = 0; c < N_CELLS; c++)
        tap_plan_free(r.plans[c]);
    tap_free(ranks[0]);
    tap_free(ranks[1]);
    tap_free(packed);
    tap_free(scratch);
    if (status == TAP_OK)
        *out = result;
    else
        tap_arithmetic_clear(&result);
    return status;
}

void tap_arithmetic_clear(tap_arithmetic *arithmetic)
{
    tap_free(arithmetic->shifts);
    tap_free(arithmetic->effects);
    *arithmetic = (tap_arithmetic){0};
}

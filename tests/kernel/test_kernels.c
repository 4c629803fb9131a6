/* Every entry of every fast table that this processor can run, against the reference in f32
 * and in f64, over odd shapes, thread counts, strides and neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "tensor/kernels_cpu.h"
#include "tensor/kernels_ref_f64.h"

static uint64_t seed = 1;

static float noise(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((double)(seed >> 40) / 8388608.0 - 1.0);
}

static void *take(size_t n, size_t bytes)
{
    tap_error err;
    void *memory = NULL;
    assert_int_equal(tap_alloc(&memory, n, bytes, "a test", &err), TAP_OK);
    return memory;
}

static float *noise_floats(int64_t n)
{
    float *values = take((size_t)n, sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = noise();
    return values;
}

/* A weight whose bytes stand at an odd address, as in a mapped file. */
static tap_tensor weight(unsigned char **owner, tap_dtype dtype, int64_t a, int64_t b)
{
    const size_t element = tap_dtype_bytes(dtype);
    const int64_t n = a * (b ? b : 1);
    *owner = take((size_t)n * element + 1, 1);
    for (int64_t i = 0; i < n; i++) {
        const float value = noise();
        const uint16_t half =
            dtype == TAP_BF16 ? tap_to_bf16(value) : tap_to_f16(value);
        memcpy(*owner + 1 + (size_t)i * element,
               dtype == TAP_F32 ? (const void *)&value : (const void *)&half, element);
    }
    return (tap_tensor){
        .bytes = *owner + 1, .dtype = dtype, .n_dims = b ? 2 : 1, .shape = {a, b}};
}

static tap_workspace workspace(const tap_kernels *k, int n_threads, int64_t n_rows,
                               int64_t d, int64_t n_tok, int64_t n_labels)
{
    tap_workspace work = {.n_threads = n_threads};
    work.scratch_bytes = k->scratch_bytes(n_rows, d, n_tok, n_labels, n_threads);
    work.scratch = take(work.scratch_bytes, 1);
    return work;
}

static void products_equal_the_reference_in_every_bit(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1},     {1, 33, 7},     {5, 16, 384},
                                        {12, 32, 385}, {13, 129, 500}, {50, 200, 96},
                                        {7, 48, 3500}, {25, 1, 800}};
    static const tap_dtype dtypes[] = {TAP_F32, TAP_F16, TAP_BF16};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t t = 0; t < 3; t++) {
            const int64_t m = shapes[i][0], n = shapes[i][1], d = shapes[i][2];
            unsigned char *owner, *bias_owner;
            const tap_tensor w = weight(&owner, dtypes[t], n, d);
            const tap_tensor bias = weight(&bias_owner, dtypes[t], n, 0);
            const int64_t stride_x = d + 3, stride_y = n + 5;
            float *x = noise_floats(m * stride_x);
            float *want = take((size_t)(m * stride_y), sizeof *want);
            float *y = take((size_t)(m * stride_y), sizeof *y);
            tap_kernels_ref.linear(want, stride_y, x, stride_x, m, &w,
                                   i % 2 ? &bias : NULL, NULL);
            const tap_kernels *k;
            for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
                for (int threads = 1; threads <= 5; threads += 2) {
                    tap_workspace work = workspace(k, threads, m, d, 1, 0);
                    memset(y, 0, (size_t)(m * stride_y) * sizeof *y);
                    k->linear(y, stride_y, x, stride_x, m, &w, i % 2 ? &bias : NULL,
                              &work);
                    assert_memory_equal(y, want, (size_t)(m * stride_y) * sizeof *y);
                    tap_free(work.scratch);
                }
            tap_free(owner);
            tap_free(bias_owner);
            tap_free(x);
            tap_free(y);
            tap_free(want);
        }
}

/* Largest difference, relative to the rms of the exact values. */
static double largest_error(const float *values, const double *exact, int64_t n)
{
    double rms = 0.0, worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs((double)values[i] - exact[i]);
        assert_true(off == off);
        rms += exact[i] * exact[i];
        worst = off > worst ? off : worst;
    }
    return worst / (sqrt(rms / (double)n) + 1e-30);
}

static void assert_close(const float *fast, const double *exact, int64_t n,
                         double bound)
{
    assert_true(largest_error(fast, exact, n) <= bound);
}

static void norms_agree_with_double_precision(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 7, 16, 33, 1000};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int64_t d = widths[i], n = 9;
        unsigned char *gain_owner, *bias_owner;
        const tap_tensor gain = weight(&gain_owner, TAP_BF16, d, 0);
        const tap_tensor bias = weight(&bias_owner, TAP_F32, d, 0);
        float *x = noise_floats(n * d), *y = take((size_t)(n * d), sizeof *y);
        double *want = take((size_t)(n * d), sizeof *want);
        const tap_kernels *k;
        for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
            tap_workspace work = workspace(k, 3, n, d, 1, 0);
            tap_kernels_ref_f64.layer_norm(want, x, n, d, &gain, &bias, 1e-5);
            k->layer_norm(y, x, n, d, &gain, &bias, 1e-5, &work);
            assert_close(y, want, n * d, 1e-6);
            tap_kernels_ref_f64.rms_norm(want, x, n, d, &gain, 1e-5);
            k->rms_norm(y, x, n, d, &gain, 1e-5, &work);
            assert_close(y, want, n * d, 1e-6);
            tap_free(work.scratch);
        }
        tap_free(gain_owner);
        tap_free(bias_owner);
        tap_free(x);
        tap_free(y);
        tap_free(want);
    }
}

static void activations_agree_over_their_whole_range(void **state)
{
    (void)state;

    enum { N = 4001 };

    static const tap_act acts[] = {TAP_ACT_QUICK_GELU, TAP_ACT_GELU_ERF,
                                   TAP_ACT_GELU_TANH, TAP_ACT_SILU};
    static float x[N], y[N], up[N];
    static double want[N];
    tap_workspace work = {.n_threads = 2};
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i - N / 2) * 0.05F;
        up[i] = noise();
    }
    for (int a = 0; a < 4; a++) {
        const tap_kernels *k;
        for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
            tap_kernels_ref_f64.activate(want, x, N, acts[a]);
            memcpy(y, x, sizeof y);
            k->activate(y, N, acts[a], &work);
            for (int i = 0; i < N; i++) /* a tail may be far below one ulp of x */
                assert_true(fabs((double)y[i] - want[i]) <=
                            4e-7 * fabs(want[i]) +
                                2e-7 * fmin(fabs((double)x[i]), 1.0));
            tap_kernels_ref_f64.gate(want, x, up, N, acts[a]);
            memcpy(y, x, sizeof y);
            k->gate(y, up, N, acts[a], &work);
            for (int i = 0; i < N; i++)
                assert_true(fabs((double)y[i] - want[i]) <=
                            5e-7 * fabs(want[i]) +
                                2e-7 * fmin(fabs((double)x[i]), 1.0));
        }
    }
}

static void rope_and_add_equal_the_reference_in_every_bit(void **state)
{
    (void)state;

    enum { ROWS = 300, HEADS = 3, D = 22, STRIDE = 70 };

    float *x = noise_floats(ROWS * STRIDE), *y = noise_floats(ROWS * STRIDE);
    float *c = noise_floats(ROWS * D / 2), *s = noise_floats(ROWS * D / 2);
    float *want = take(ROWS * STRIDE, sizeof *want), *got = take(ROWS * STRIDE, 4);
    tap_workspace work = {.n_threads = 3};
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        memcpy(want, x, ROWS * STRIDE * sizeof *x);
        memcpy(got, x, ROWS * STRIDE * sizeof *x);
        tap_kernels_ref.rope(want, STRIDE, ROWS, HEADS, D, c, s, &work);
        k->rope(got, STRIDE, ROWS, HEADS, D, c, s, &work);
        assert_memory_equal(got, want, ROWS * STRIDE * sizeof *x);
        tap_kernels_ref.add(want, y, ROWS * STRIDE, &work);
        k->add(got, y, ROWS * STRIDE, &work);
        assert_memory_equal(got, want, ROWS * STRIDE * sizeof *x);
    }
    tap_free(x);
    tap_free(y);
    tap_free(c);
    tap_free(s);
    tap_free(want);
    tap_free(got);
}

/* ---- attention ---- */

enum { TOK = 131, HEADS = 4, KV_HEADS = 2, D_HEAD = 10, WORDS = 3 };

typedef struct problem {
    float *q, *k, *v, *z, *scores, *pattern;
    tap_head_receipt receipts[HEADS];
    uint8_t class_of_head[HEADS];
    uint64_t cut[2 * TOK * WORDS], zeroed[2 * TOK * WORDS], frozen[2 * TOK * WORDS];
    uint64_t uniform[2 * WORDS];
    float *log_scale, *q_clean, *k_clean;
    tap_edges edges;
    tap_attend_args args;
} problem;

static problem *make_problem(bool causal, bool changed)
{
    problem *p = take(1, sizeof *p);
    p->q = noise_floats(TOK * HEADS * D_HEAD);
    p->k = noise_floats(TOK * KV_HEADS * D_HEAD);
    p->v = noise_floats(TOK * KV_HEADS * D_HEAD);
    p->q_clean = noise_floats(TOK * HEADS * D_HEAD);
    p->k_clean = noise_floats(TOK * KV_HEADS * D_HEAD);
    p->z = take(TOK * HEADS * D_HEAD, sizeof *p->z);
    p->scores = take(HEADS * TOK * TOK, sizeof *p->scores);
    p->pattern = take(HEADS * TOK * TOK, sizeof *p->pattern);
    p->log_scale = take(2 * TOK * TOK, sizeof *p->log_scale);
    for (int i = 0; i < TOK * HEADS * D_HEAD; i++)
        p->q[i] *= 8.0F; /* far from uniform attention */
    for (int h = 0; h < HEADS; h++)
        p->class_of_head[h] = h & 1;
    for (int c = 0; c < 2; c++)
        for (int t = 0; t < TOK; t++)
            for (int s = 0; s < (causal ? t + 1 : TOK); s++) {
                const int64_t row = (int64_t)c * TOK + t;
                const float dice = noise();
                if (dice < -0.6F && (s != t || t % 50 == 49))
                    tap_bits_set(p->cut + row * WORDS, s);
                else if (dice > 0.8F)
                    tap_bits_set(p->zeroed + row * WORDS, s);
                else if (dice > 0.6F)
                    tap_bits_set(p->frozen + row * WORDS, s);
                else if (dice > 0.4F)
                    p->log_scale[row * TOK + s] = -1.5F;
            }
    for (int s = 0; s < TOK; s++) /* a row without any key */
        if (!causal || s <= 70)
            tap_bits_set(p->cut + 70 * WORDS, s);
    for (int i = 0; i < WORDS; i++)
        p->zeroed[70 * WORDS + i] = p->frozen[70 * WORDS + i] = 0;
    tap_bits_set(p->uniform, 90);
    p->edges = (tap_edges){.n_tok = TOK,
                           .n_classes = 2,
                           .class_of_head = p->class_of_head,
                           .cut = p->cut,
                           .log_scale = p->log_scale,
                           .zeroed = p->zeroed,
                           .uniform = p->uniform,
                           .frozen = p->frozen};
    p->args = (tap_attend_args){.n_q = TOK,
                                .n_k = TOK,
                                .n_heads = HEADS,
                                .n_kv_heads = KV_HEADS,
                                .d_head = D_HEAD,
                                .causal = causal,
                                .scale = 0.31622777F,
                                .q = p->q,
                                .k = p->k,
                                .v = p->v,
                                .stride_q = HEADS * D_HEAD,
                                .stride_kv = KV_HEADS * D_HEAD,
                                .q_clean = p->q_clean,
                                .k_clean = p->k_clean,
                                .edges = changed ? &p->edges : NULL,
                                .z = p->z,
                                .stride_z = HEADS * D_HEAD,
                                .receipt = p->receipts,
                                .scores = p->scores,
                                .pattern = p->pattern};
    return p;
}

static void free_problem(problem *p)
{
    float *all[] = {p->q,       p->k,         p->v,       p->z,      p->scores,
                    p->pattern, p->log_scale, p->q_clean, p->k_clean};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tap_free(all[i]);
    tap_free(p);
}

static void attention_agrees_with_the_reference(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        problem *p = make_problem(variant & 1, variant & 2);
        tap_head_receipt want[HEADS] = {{0}};
        double *exact = take(TOK * HEADS * D_HEAD, sizeof *exact);
        double scratch[2 * TOK];
        tap_workspace small = {.n_threads = 1, .scratch = scratch};
        tap_kernels_ref_f64.attend(exact, &p->args, &small);
        memset(p->receipts, 0, sizeof p->receipts);
        tap_kernels_ref.attend(&p->args, 1, &small);
        const double drift = largest_error(p->z, exact, TOK * HEADS * D_HEAD);
        assert_true(drift < 2e-5); /* what f32 itself loses on these sharp rows */
        memcpy(want, p->receipts, sizeof want);
        float first[TOK * HEADS * D_HEAD];
        const tap_kernels *k;
        for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
            for (int threads = 1; threads <= 3; threads++) {
                tap_workspace work = workspace(k, threads, TOK, D_HEAD, TOK, 0);
                memset(p->receipts, 0, sizeof p->receipts);
                memset(p->z, 0x7f, TOK * HEADS * D_HEAD * sizeof *p->z);
                k->attend(&p->args, 1, &work);
                assert_close(p->z, exact, TOK * HEADS * D_HEAD, 2.0 * drift + 1e-6);
                for (int h = 0; h < HEADS; h++) {
                    assert_memory_equal(&p->receipts[h], &want[h], sizeof want[h]);
                    assert_true(want[h].allowed ==
                                want[h].used + want[h].cut + want[h].zeroed);
                    assert_true(want[h].weight_on_cut <= 0.0);
                }
                if (isa == 0 && threads == 1)
                    memcpy(first, p->z, sizeof first);
                assert_memory_equal(p->z, first,
                                    sizeof first); /* same bits everywhere */
                tap_free(work.scratch);
            }
        if (variant & 2)
            assert_int_equal(want[0].rows_emptied, 1);
        free_problem(p);
        tap_free(exact);
    }
}

/* Rows of weights sum to 1 under a cut, are 0 on cut edges, and a row has the same bits
 * whatever rows stand beside it or follow it. */
static void rows_of_attention_stand_alone(void **state)
{
    (void)state;
    problem *p = make_problem(true, true);
    p->edges.zeroed = p->edges.frozen = p->edges.uniform = NULL;
    const tap_kernels *k = tap_kernels_cpu();
    tap_workspace work = workspace(k, 2, TOK, D_HEAD, TOK, 0);
    k->attend(&p->args, 1, &work);
    for (int h = 0; h < HEADS; h++)
        for (int t = 0; t < TOK; t++) {
            double sum = 0.0;
            for (int s = 0; s < TOK; s++) {
                const double w = (double)p->pattern[((int64_t)h * TOK + t) * TOK + s];
                sum += w;
                if (s > t || tap_bits_get(p->cut + (h % 2 * TOK + t) * WORDS, s))
                    assert_true(w <= 0.0);
            }
            assert_true(fabs(sum - (h % 2 == 0 && t == 70 ? 0.0 : 1.0)) < 1e-5);
        }
    float whole[TOK * HEADS * D_HEAD];
    memcpy(whole, p->z, sizeof whole);
    p->args.scores = p->args.pattern = NULL;
    p->args.first_q = 61;
    p->args.n_q = 7;
    p->args.q = p->q + 61 * HEADS * D_HEAD;
    p->args.n_k = 68; /* the keys that follow are gone */
    k->attend(&p->args, 1, &work);
    assert_memory_equal(p->z, whole + 61 * HEADS * D_HEAD,
                        7 * HEADS * D_HEAD * sizeof *whole);
    tap_free(work.scratch);
    free_problem(p);
}

static void ranks_count_ties_half_and_need_no_logits_array(void **state)
{
    (void)state;

    enum { ROWS = 27, D = 50, VOCAB = 300, LABELS = 5 };

    static const tap_dtype dtypes[] = {TAP_F32, TAP_F16, TAP_BF16};
    for (int t = 0; t < 3; t++) {
        unsigned char *owner;
        const tap_tensor w = weight(&owner, dtypes[t], VOCAB, D);
        const size_t row = D * tap_dtype_bytes(dtypes[t]);
        memcpy(owner + 1 + 17 * row, owner + 1 + 200 * row,
               row); /* words 17, 200 tie */
        float *x = noise_floats(ROWS * D);
        const int32_t labels[LABELS] = {0, 17, 299, 128, 5};
        uint64_t candidates[5] = {0};
        for (int v = 0; v < VOCAB; v += 3)
            tap_bits_set(candidates, v);
        for (int l = 0; l < LABELS; l++)
            tap_bits_set(candidates, labels[l]);
        float want[ROWS * LABELS], got[ROWS * LABELS], logits[ROWS * LABELS];
        float want_logits[ROWS * LABELS];
        for (int closed = 0; closed < 2; closed++) {
            const uint64_t *set = closed ? candidates : NULL;
            tap_kernels_ref.rank(want, want_logits, x, ROWS, &w, labels, LABELS, set,
                                 NULL);
            const tap_kernels *k;
            for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
                for (int threads = 1; threads <= 5; threads += 2) {
                    tap_workspace work = workspace(k, threads, ROWS, D, 1, LABELS);
                    k->rank(got, logits, x, ROWS, &w, labels, LABELS, set, &work);
                    assert_memory_equal(got, want, sizeof want);
                    assert_memory_equal(logits, want_logits, sizeof want_logits);
                    tap_free(work.scratch);
                }
            if (!closed) /* the tie shows as a half */
                assert_true(fmod((double)got[1], 1.0) > 0.4);
        }
        tap_free(owner);
        tap_free(x);
    }
}

static void a_label_that_is_not_a_number_comes_last(void **state)
{
    (void)state;

    enum { VOCAB = 40, D = 4 };

    unsigned char *owner;
    const tap_tensor w = weight(&owner, TAP_F32, VOCAB, D);
    const float x[D] = {NAN, 1.0F, 2.0F, 3.0F};
    const int32_t label = 3;
    float rank = 0.0F;
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++) {
        tap_workspace work = workspace(k, 2, 1, D, 1, 1);
        k->rank(&rank, NULL, x, 1, &w, &label, 1, NULL, &work);
        assert_true(rank >= (float)VOCAB && rank <= (float)VOCAB);
        tap_free(work.scratch);
    }
    tap_free(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_the_reference_in_every_bit),
        cmocka_unit_test(norms_agree_with_double_precision),
        cmocka_unit_test(activations_agree_over_their_whole_range),
        cmocka_unit_test(rope_and_add_equal_the_reference_in_every_bit),
        cmocka_unit_test(attention_agrees_with_the_reference),
        cmocka_unit_test(rows_of_attention_stand_alone),
        cmocka_unit_test(ranks_count_ties_half_and_need_no_logits_array),
        cmocka_unit_test(a_label_that_is_not_a_number_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

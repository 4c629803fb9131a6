/* Decoder blocks at 7B widths against the machine's matrix product, in one run.
 *
 * Runs whole decoder blocks (4096 wide, MLP 11008, 32 heads, 608 tokens, bf16 weights)
 * through tap_run and, in turn with it, cblas_sgemm on 608x4096x4096 in f32. Prints the
 * medians in GFLOP/s and their ratio. Linked to a BLAS only here.
 *
 *   make bench && build/release/bench/bench_block [rounds] [threads] */
#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "model/run.h"

enum { D = 4096, D_MLP = 11008, HEADS = 32, TOKENS = 608, VOCAB = 512, BLOCKS = 2 };

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static tap_tensor weights(int64_t n_out, int64_t n_in, uint64_t seed)
{
    tap_error err;
    uint16_t *bits = NULL;
    if (tap_alloc(&bits, (size_t)n_out, (size_t)n_in * sizeof *bits, "weights", &err))
        exit(1);
    for (int64_t i = 0; i < n_out * n_in; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bits[i] = tap_to_bf16((float)((double)(seed >> 40) / 16777216.0 - 0.5) * 0.05F);
    }
    tap_tensor tensor = {
        .bytes = bits, .dtype = TAP_BF16, .n_dims = 2, .shape = {n_out, n_in}};
    if (n_in == 1) {
        for (int64_t i = 0; i < n_out; i++)
            bits[i] = tap_to_bf16(1.0F);
        tensor.n_dims = 1;
    }
    return tensor;
}

static tap_status ignore(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    *(float *)owner += state->values[0];
    return TAP_OK;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

static tap_model *make_model(void)
{
    static tap_model model;
    static tap_block_weights blocks[BLOCKS];
    model.spec.lm = (tap_lm_spec){.stack = {.n_blocks = BLOCKS,
                                            .d_model = D,
                                            .n_heads = HEADS,
                                            .n_kv_heads = HEADS,
                                            .d_head = D / HEADS,
                                            .d_mlp = D_MLP,
                                            .norm_eps = 1e-5,
                                            .act = TAP_ACT_SILU},
                                  .d_vocab = VOCAB,
                                  .rope_theta = 1e4};
    model.spec.vision = (tap_vision_spec){
        .stack = {.d_model = 1, .n_heads = 1}, .side_px = 1, .patch_px = 1};
    model.embed = weights(VOCAB, D, 1);
    for (int b = 0; b < BLOCKS; b++) {
        tap_block_weights *w = &blocks[b];
        const uint64_t seed = 100 * (uint64_t)b;
        w->attn_norm.weight = weights(D, 1, seed);
        w->mlp_norm.weight = weights(D, 1, seed);
        w->q.weight = weights(D, D, seed + 2);
        w->k.weight = weights(D, D, seed + 3);
        w->v.weight = weights(D, D, seed + 4);
        w->o.weight = weights(D, D, seed + 5);
        w->gate.weight = weights(D_MLP, D, seed + 6);
        w->up.weight = weights(D_MLP, D, seed + 7);
        w->down.weight = weights(D, D_MLP, seed + 8);
    }
    model.lm_blocks = blocks;
    return &model;
}

int main(int argc, char **argv)
{
    enum { MAX_ROUNDS = 64 };

    const int rounds = argc > 1 ? (int)strtoul(argv[1], NULL, 10) : 7;
    const int threads =
        argc > 2 ? (int)strtoul(argv[2], NULL, 10) : omp_get_num_procs();
    if (rounds < 1 || rounds > MAX_ROUNDS || threads < 1) {
        (void)fprintf(stderr, "usage: bench_block [rounds 1-64] [threads]\n");
        return 2;
    }
    const tap_model *model = make_model();
    static int32_t ids[TOKENS];
    static tap_token tokens[TOKENS];
    for (int t = 0; t < TOKENS; t++) {
        ids[t] = t % VOCAB;
        tokens[t] = (tap_token){.role = TAP_ROLE_PREFIX, .feature = -1};
    }
    const tap_sequence sequence = {.n_tok = TOKENS, .ids = ids, .tokens = tokens};
    const tap_plan *clean = NULL;
    const tap_item item = {.sequence = &sequence, .plans = &clean};
    static tap_wanted wanted;
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST], BLOCKS - 1);
    float sum = 0.0F;
    const tap_sink sink = {.owner = &sum, .wanted = &wanted, .put = ignore};
    const tap_run_options options = {.n_threads = threads};

    static float x[TOKENS * D], w[D * D], y[TOKENS * D];
    for (int i = 0; i < D * D; i++)
        w[i] = (float)(i % 17) * 0.01F;
    for (int i = 0; i < TOKENS * D; i++)
        x[i] = (float)(i % 13) * 0.01F;

    double ours[MAX_ROUNDS], theirs[MAX_ROUNDS], ratios[MAX_ROUNDS];
    tap_error err;
    for (int r = -1; r < rounds; r++) { /* round -1 warms up */
        tap_receipts receipts = {0};
        double start = now_s();
        if (tap_run(&receipts, model, &item, 1, 1, &options, &sink, &err)) {
            (void)fprintf(stderr, "bench_block: %s\n", err.message);
            return 1;
        }
        const double block_s = now_s() - start;

        enum { PRODUCTS = 20 }; /* about as much arithmetic */

        start = now_s();
        for (int i = 0; i < PRODUCTS; i++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TOKENS, D, D, 1.0F, x,
                        D, w, D, 0.0F, y, D);
        const double gemm_s = now_s() - start;
        if (r >= 0) {
            ours[r] = receipts.flop_done / block_s * 1e-9;
            theirs[r] = 2.0 * TOKENS * D * D * PRODUCTS / gemm_s * 1e-9;
            ratios[r] = ours[r] / theirs[r];
        }
        tap_receipts_clear(&receipts);
    }
    (void)printf(
        "decoder blocks, 608 tokens, bf16 weights, f32 arithmetic, %d threads: "
        "%.1f GFLOP/s\n",
        threads, median(ours, rounds));
    (void)printf("cblas_sgemm 608x4096x4096: %.1f GFLOP/s\n", median(theirs, rounds));
    (void)printf("ratio (median of %d pairs): %.3f\n", rounds, median(ratios, rounds));
    return sum == 0.5F; /* the result is used */
}

/* The jobs of a sweep, one line of input each: what bench/run times in turn with a peer.
 *
 *   bench_job MODEL [f32|bf16] [threads]
 *
 * Standard input, one job a line; standard output, one line of JSON each:
 *   setup DIR            writes what a peer must compute the same of: DIR/job.json,
 *                        pixels.f32, ids.i32, rows.i32
 *   forward              one clean forward to the last logits
 *   lens                 ranks of 6 words for every image row of one depth
 *   opi N all|parts [F]  N = 1, 4 or 16 conditions, all depths, 6 words, ranks of every
 *                        image row or of those that part masks cover, into the file F
 *   images N             N images, 4 conditions, all rows
 *   product              608 x 4096 x 4096 by this library and by the BLAS it is linked to
 * The conditions: encoder {whole, off} x decoder {whole, off}; with 16 also off in the
 * first and in the last half of the blocks. Off: every image token reads itself and what
 * is no image token, the class token excepted. */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "hook/plan.h"
#include "read/group.h"
#include "read/lens.h"

enum { MAX_CONDITIONS = 16, N_LABELS = 6, MAX_IMAGES = 64 };

static const int32_t labels[N_LABELS] = {5, 17, 23, 31, 44, 60};

typedef struct bench {
    tap_model *model;
    tap_scene scene;
    tap_groups groups;
    const tap_kernels *kernels;
    int n_threads;
    int64_t *part_rows, n_part_rows;
    tap_arena *arena; /* memory of the runs, kept as a sweep keeps it */
} bench;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- what is read ---- */

/* Image rows of a drawn animal: body, head, four legs, tail as ellipses over the grid, a
 * sixth of the patches, as part masks cover them. */
static bool in_a_part(double x, double y)
{
    static const double parts[][4] = {
        {0.50, 0.55, 0.230, 0.13}, {0.77, 0.38, 0.100, 0.10}, {0.34, 0.76, 0.035, 0.12},
        {0.43, 0.76, 0.035, 0.12}, {0.58, 0.76, 0.035, 0.12}, {0.67, 0.76, 0.035, 0.12},
        {0.23, 0.45, 0.080, 0.03}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const double dx = (x - parts[i][0]) / parts[i][2],
                     dy = (y - parts[i][1]) / parts[i][3];
        if (dx * dx + dy * dy < 1.0)
            return true;
    }
    return false;
}

static tap_status find_parts(bench *b, tap_error *err)
{
    const int64_t n = b->scene.sequence.n_image;
    const int64_t side = b->scene.geometry.n_cols;
    TAP_TRY(tap_alloc(&b->part_rows, (size_t)n, sizeof *b->part_rows, "rows", err));
    for (int64_t i = 0; i < n; i++)
        if (in_a_part(((double)(i % side) + 0.5) / (double)side,
                      ((double)(i / side) + 0.5) / (double)side))
            b->part_rows[b->n_part_rows++] = b->scene.image_rows[i];
    return TAP_OK;
}

/* Text of condition i of n: encoder i / k, decoder i % k, k = 2 or 4. */
static void condition_text(char *text, size_t n_bytes, const bench *b, int i, int n)
{
    const int k = n == 16 ? 4 : n == 4 ? 2 : 1;
    const int which[] = {i / k, i % k};
    const int blocks[] = {b->model->spec.vision.n_blocks_read,
                          b->model->spec.lm.stack.n_blocks};
    static const char *const atoms[] = {"vision[%d-%d]: image <- image|cls",
                                        "lm[%d-%d]: image <- image"};
    text[0] = '\0';
    for (int s = 0; s < 2; s++) {
        char atom[64];
        const int half = blocks[s] / 2;
        if (which[s] == 0)
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(atom, sizeof atom, atoms[s], which[s] == 3 ? half : 0,
                       which[s] == 2 ? half - 1 : blocks[s] - 1);
#pragma GCC diagnostic pop
        (void)snprintf(text + strlen(text), n_bytes - strlen(text), "%s%s",
                       text[0] ? "; " : "", atom);
    }
}

static tap_status compile(tap_plan **out, const bench *b, int i, int n, tap_error *err)
{
    char text[160];
    tap_plan_sizes sizes;
    tap_condition *condition = NULL;
    tap_spec_plan_sizes(&sizes, &b->model->spec);
    condition_text(text, sizeof text, b, i, n);
    TAP_TRY(tap_condition_parse(&condition, text, err));
    const tap_status status = tap_plan_compile(out, condition, &b->groups, &sizes, err);
    tap_condition_free(condition);
    return status;
}

/* ---- jobs ---- */

static tap_status put_lens(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

static tap_status put_logits(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    float *last = owner;
    if (state->site == TAP_SITE_LOGITS)
        *last = state->values[0];
    return TAP_OK;
}

static tap_status forward(double *flop, const bench *b, tap_error *err)
{
    static tap_wanted wanted;
    static const tap_plan *clean;
    wanted.once[TAP_SITE_LOGITS] = true;
    const int64_t last = b->scene.sequence.n_tok - 1;
    const tap_item item = {.pixels = &b->scene.pixels,
                           .sequence = &b->scene.sequence,
                           .plans = &clean,
                           .read = &last,
                           .n_read = 1};
    float logit = 0.0F;
    tap_receipts receipts = {0};
    const tap_sink sink = {.owner = &logit, .wanted = &wanted, .put = put_logits};
    const tap_run_options options = {
        .kernels = b->kernels, .n_threads = b->n_threads, .arena = b->arena};
    TAP_TRY(tap_run(&receipts, b->model, &item, 1, 1, &options, &sink, err));
    *flop = receipts.flop_done;
    tap_receipts_clear(&receipts);
    return TAP_OK;
}

/* A lens over the given rows of n_images images. */
static tap_status open_lens(tap_lens **out, const bench *b, const uint64_t *depths,
                            int64_t n_images, int64_t n_conditions,
                            const int64_t *const *rows, const int64_t *n_rows,
                            tap_error *err)
{
    const tap_lens_spec spec = {.labels = labels,
                                .n_labels = N_LABELS,
                                .depths = depths,
                                .rows = rows,
                                .n_rows = n_rows};
    return tap_lens_open(out, b->model, b->kernels, b->n_threads, &spec, n_images,
                         n_conditions, err);
}

static tap_status lens_alone(double *seconds, double *flop, const bench *b,
                             tap_error *err)
{
    const int64_t n = b->scene.sequence.last_image + 1,
                  d = b->model->spec.lm.stack.d_model;
    const int64_t *rows = b->scene.image_rows, n_rows = b->scene.sequence.n_image;
    const uint64_t depths = 1;
    tap_lens *lens = NULL;
    float *states = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&states, (size_t)n, (size_t)d * sizeof *states, "rows", err));
    for (int64_t i = 0; i < n * d; i++)
        states[i] = sinf((float)(i % 65521)) + 0.3F * sinf(0.7F * (float)(i % 8191));
    TAP_TRY_OUT(open_lens(&lens, b, &depths, 1, 1, &rows, &n_rows, err));
    const int32_t clean = 0;
    const tap_state state = {.site = TAP_SITE_RESID_PRE,
                             .stack = TAP_LM,
                             .block = 0,
                             .conditions = &clean,
                             .n_conditions = 1,
                             .n_rows = n,
                             .d = d,
                             .values = states};
    const double start = now_s();
    TAP_TRY_OUT(tap_lens_put(lens, &state, err));
    tap_lens_flush(lens);
    *seconds = now_s() - start;
    *flop = tap_lens_flop(lens);
out:
    tap_lens_close(lens);
    tap_free(states);
    return status;
}

typedef struct totals {
    double flop_model, flop_lens, flop_unshared;
} totals;

static tap_status write_ranks(const char *path, const bench *b, const tap_lens *lens,
                              int n_conditions, int64_t n_rows, tap_error *err)
{
    const size_t n = (size_t)(b->model->spec.lm.stack.n_blocks + 1) * (size_t)n_rows *
                     N_LABELS * sizeof(float);
    tap_file_out *file = NULL;
    tap_status status = tap_file_create(&file, path, err);
    for (int c = 0; c < n_conditions && status == TAP_OK; c++)
        status = tap_file_put(file, tap_lens_ranks(lens, 0, c), n, err);
    if (status == TAP_OK)
        status = tap_file_commit(file, err);
    tap_file_close(file);
    return status;
}

static tap_status opi(totals *out, const bench *b, int n_conditions, int n_images,
                      bool parts, const char *path, tap_error *err)
{
    tap_plan *plans[MAX_CONDITIONS] = {0};
    tap_item items[MAX_IMAGES];
    const int64_t *rows[MAX_IMAGES];
    int64_t n_rows[MAX_IMAGES];
    uint64_t depths[TAP_MAX_BLOCKS / 64 + 1] = {0};
    tap_lens *lens = NULL;
    tap_receipts receipts = {0};
    tap_status status = TAP_OK;
    for (int d = 0; d <= b->model->spec.lm.stack.n_blocks; d++)
        tap_bits_set(depths, d);
    for (int c = 0; c < n_conditions; c++)
        TAP_TRY_OUT(compile(&plans[c], b, c, n_conditions, err));
    for (int i = 0; i < n_images; i++) {
        rows[i] = parts ? b->part_rows : b->scene.image_rows;
        n_rows[i] = parts ? b->n_part_rows : b->scene.sequence.n_image;
        items[i] = (tap_item){.pixels = &b->scene.pixels,
                              .sequence = &b->scene.sequence,
                              .plans = (const tap_plan *const *)plans,
                              .read = rows[i],
                              .n_read = n_rows[i]};
    }
    TAP_TRY_OUT(open_lens(&lens, b, depths, n_images, n_conditions, rows, n_rows, err));
    static tap_wanted wanted;
    memset(&wanted, 0, sizeof wanted);
    tap_lens_want(&wanted, lens);
    const tap_sink sink = {.owner = lens, .wanted = &wanted, .put = put_lens};
    const tap_run_options options = {
        .kernels = b->kernels, .n_threads = b->n_threads, .arena = b->arena};
    TAP_TRY_OUT(tap_run(&receipts, b->model, items, n_images, n_conditions, &options,
                        &sink, err));
    tap_lens_flush(lens);
    *out = (totals){receipts.flop_done, tap_lens_flop(lens), receipts.flop_unshared};
    if (path)
        TAP_TRY_OUT(write_ranks(path, b, lens, n_conditions, n_rows[0], err));
out:
    tap_receipts_clear(&receipts);
    tap_lens_close(lens);
    for (int c = 0; c < n_conditions; c++)
        tap_plan_free(plans[c]);
    return status;
}

/* Median GFLOP/s of 608 x 4096 x 4096 by our product and by sgemm, in turn. */
static tap_status products(double *ours, double *theirs, const bench *b, tap_error *err)
{
    enum { M = 608, D = 4096, ROUNDS = 9 };

    float *x = NULL, *w = NULL, *y = NULL;
    uint16_t *bits = NULL;
    tap_workspace work = {.n_threads = b->n_threads};
    tap_status status = TAP_OK;
    double best[2] = {0};
    work.scratch_bytes = b->kernels->scratch_bytes(M, D, 1, 0, b->n_threads);
    TAP_TRY_OUT(tap_alloc(&work.scratch, work.scratch_bytes, 1, "a product", err));
    TAP_TRY_OUT(tap_alloc(&x, (size_t)M * D, sizeof *x, "a product", err));
    TAP_TRY_OUT(tap_alloc(&y, (size_t)M * D, sizeof *y, "a product", err));
    TAP_TRY_OUT(tap_alloc(&w, (size_t)D * D, sizeof *w, "a product", err));
    TAP_TRY_OUT(tap_alloc(&bits, (size_t)D * D, sizeof *bits, "a product", err));
    for (int i = 0; i < D * D; i++) {
        w[i] = (float)(i % 17) * 0.01F;
        bits[i] = tap_to_bf16(w[i]);
        if (i < M * D)
            x[i] = (float)(i % 13) * 0.01F;
    }
    const tap_tensor tensor = {
        .bytes = bits, .dtype = TAP_BF16, .n_dims = 2, .shape = {D, D}};
    double speed[2][ROUNDS];
    for (int r = 0; r < ROUNDS; r++)
        for (int who = 0; who < 2; who++) {
            const double start = now_s();
            for (int i = 0; i < 3; i++)
                if (who == 0)
                    b->kernels->linear(y, D, x, D, M, &tensor, NULL, &work);
                else
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, D, D, 1.0F,
                                x, D, w, D, 0.0F, y, D);
            speed[who][r] = 3 * 2.0 * M * D * D / (now_s() - start) * 1e-9;
        }
    for (int who = 0; who < 2; who++) /* the median by counting */
        for (int r = 0; r < ROUNDS; r++) {
            int above = 0;
            for (int q = 0; q < ROUNDS; q++)
                above += speed[who][q] > speed[who][r] ||
                         (q > r && speed[who][q] >= speed[who][r]);
            if (above == ROUNDS / 2)
                best[who] = speed[who][r];
        }
    *ours = best[0];
    *theirs = best[1];
out:
    tap_free(work.scratch);
    tap_free(x);
    tap_free(y);
    tap_free(w);
    tap_free(bits);
    return status;
}

/* ---- what a peer needs to know ---- */

static tap_status put_file(const char *directory, const char *name, const void *bytes,
                           size_t n, tap_error *err)
{
    char path[512];
    tap_file_out *file = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    tap_status status = tap_file_create(&file, path, err);
    if (status == TAP_OK)
        status = tap_file_put(file, bytes, n, err);
    if (status == TAP_OK)
        status = tap_file_commit(file, err);
    tap_file_close(file);
    return status;
}

static tap_status set_up(const bench *b, const char *directory, tap_error *err)
{
    const tap_sequence *s = &b->scene.sequence;
    const tap_pixels *p = &b->scene.pixels;
    tap_buffer text = {0}, rows = {0};
    tap_status status = TAP_OK;
    for (int64_t i = 0; i < b->n_part_rows; i++) {
        const int32_t row = (int32_t)b->part_rows[i];
        TAP_TRY_OUT(tap_buffer_put(&rows, &row, sizeof row, err));
    }
    TAP_TRY_OUT(put_file(directory, "rows.i32", rows.text, rows.n_bytes, err));
    TAP_TRY_OUT(
        put_file(directory, "ids.i32", s->ids, (size_t)s->n_tok * sizeof *s->ids, err));
    TAP_TRY_OUT(put_file(directory, "pixels.f32", p->values,
                         (size_t)p->n_tiles * 3 * (size_t)p->side_px *
                             (size_t)p->side_px * sizeof *p->values,
                         err));
    TAP_TRY_OUT(tap_buffer_print(
        &text, err,
        "{\"first_image\": %lld, \"last_image\": %lld, \"n_image\": %lld, \"labels\": "
        "[%d, %d, %d, %d, %d, %d]}\n",
        (long long)b->scene.image_rows[0], (long long)s->last_image,
        (long long)s->n_image, labels[0], labels[1], labels[2], labels[3], labels[4],
        labels[5]));
    TAP_TRY_OUT(put_file(directory, "job.json", text.text, text.n_bytes, err));
out:
    tap_buffer_clear(&text);
    tap_buffer_clear(&rows);
    return status;
}

/* ---- */

static tap_status open_bench(bench *b, const char *directory, tap_error *err)
{
    char photo[512];
    TAP_TRY(tap_model_open(&b->model, directory, err));
    (void)snprintf(photo, sizeof photo, "%s/photo.png", directory);
    TAP_TRY(tap_scene_open(&b->scene, b->model, photo, NULL, err));
    const tap_group_input input = {.scene = &b->scene, .threshold = 0.5};
    TAP_TRY(tap_group_compile(&b->groups, &input, err));
    return find_parts(b, err);
}

static tap_status run_line(const bench *b, char *line, tap_error *err)
{
    char word[16] = "", rest[2][400] = {"", ""};
    int n = 0;
    const int n_read = sscanf(line, "%15s %399s %399s", word, rest[0], rest[1]);
    char *file = strchr(line, '/');
    double flop = 0.0, theirs = 0.0;
    totals t = {0};
    if (file)
        file[strcspn(file, "\n")] = '\0';
    double start = now_s(), seconds = 0.0;
    if (strcmp(word, "setup") == 0) {
        TAP_TRY(set_up(b, rest[0], err));
    } else if (strcmp(word, "forward") == 0) {
        TAP_TRY(forward(&flop, b, err));
    } else if (strcmp(word, "lens") == 0) {
        TAP_TRY(lens_alone(&seconds, &flop, b, err));
    } else if (strcmp(word, "product") == 0) {
        TAP_TRY(products(&flop, &theirs, b, err));
        (void)printf("{\"ours\": %.1f, \"sgemm\": %.1f}\n", flop, theirs);
        return TAP_OK;
    } else if (strcmp(word, "opi") == 0 && n_read >= 3 &&
               (n = (int)strtol(rest[0], NULL, 10), n == 1 || n == 4 || n == 16)) {
        TAP_TRY(opi(&t, b, n, 1, strcmp(rest[1], "parts") == 0, file, err));
    } else if (strcmp(word, "images") == 0 &&
               (n = (int)strtol(rest[0], NULL, 10), n > 0 && n <= MAX_IMAGES)) {
        TAP_TRY(opi(&t, b, 4, n, false, NULL, err));
    } else {
        return TAP_FAIL(err, TAP_EINVAL, "no such job: %s", line);
    }
    if (seconds <= 0.0)
        seconds = now_s() - start;
    flop += t.flop_model + t.flop_lens;
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("{\"seconds\": %.4f, \"gflop\": %.2f, \"gflop_unshared\": %.2f, "
                 "\"peak_mib\": %ld}\n",
                 seconds, flop * 1e-9, (t.flop_unshared + t.flop_lens) * 1e-9,
                 usage.ru_maxrss / 1024);
    return TAP_OK;
}

int main(int argc, char **argv)
{
    tap_error err;
    tap_arena arena = {0};
    bench b = {.kernels = tap_kernels_cpu(),
               .n_threads = omp_get_num_procs(),
               .arena = &arena};
    if (argc < 2 || argc > 4) {
        (void)fprintf(stderr, "usage: bench_job MODEL [f32|bf16] [threads]\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[2], "bf16") == 0)
        b.kernels = tap_kernels_bf16();
    if (argc > 3)
        b.n_threads = (int)strtol(argv[3], NULL, 10);
    if (!b.kernels || b.n_threads < 1) {
        (void)fprintf(stderr, "bench_job: no products in bf16 here, or no threads\n");
        return 1;
    }
    tap_status status = open_bench(&b, argv[1], &err);
    char line[900];
    while (status == TAP_OK && fgets(line, sizeof line, stdin)) {
        status = run_line(&b, line, &err);
        (void)fflush(stdout);
    }
    if (status != TAP_OK)
        (void)fprintf(stderr, "bench_job: %s\n", err.message);
    tap_groups_clear(&b.groups);
    tap_scene_clear(&b.scene);
    tap_free(b.part_rows);
    tap_arena_clear(&arena);
    tap_model_close(b.model);
    return status != TAP_OK;
}

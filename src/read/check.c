/* HOW IT WORKS. One batch of conditions serves six invariants: each lane is compared with
 * the lane it must equal, state by state, as the states come. Two more batches compare two
 * pictures and the lens with the model's own logits; attention is in check_attend.c. */
#include "read/check.h"

#include "base/memory.h"
#include "read/check_own.h"
#include "read/lens.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ORDER invariants of docs/method.md */
enum { EMPTY, TEXT, TAIL, ALONE, SUMS, SETS, LENS, PATCH, SECOND, DEPTH_0 };

static const char *const about[TAP_N_INVARIANTS][2] = {
    {"empty", "the empty condition and scale 1 are the clean run"},
    {"text", "what acts on text after the image changes no image token"},
    {"tail", "a cut in an encoder block after the one that is read changes nothing"},
    {"alone", "an isolated patch sees no other patch's pixels"},
    {"sums",
     "weights of a row sum to 1 and are 0 on cut edges; receipts count all edges"},
    {"sets", "a window of 2N is all blocks, parts of a set are the set, ~~g is g"},
    {"lens", "the lens at the last depth is the model's own logits"},
    {"patch", "patching every token gives the source's run, patching none the base's"},
    {"second",
     "attention equals a second one with additive masks, in f64; kernels that "
     "cannot cut are refused"},
    {"depth 0", "decoder conditions share depth 0, which is the projector's output"}};

void tap_check_judge(tap_check_row *row, bool good, const char *format, ...)
{
    va_list values;
    row->verdict = good ? TAP_HOLDS : TAP_FAILS;
    row->why[0] = '\0';
    if (good)
        return;
    va_start(values, format);
    (void)vsnprintf(row->why, sizeof row->why, format, values);
    va_end(values);
}

void tap_differ_add(tap_differ *differ, const float *values, const float *wanted,
                    int64_t n)
{
    differ->n += n;
    if (memcmp(values, wanted, (size_t)n * sizeof *values) == 0)
        return;
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&values[i], &wanted[i], sizeof *values) == 0)
            continue;
        const double gap = fabs((double)values[i] - (double)wanted[i]);
        differ->n_other++;
        if (!(gap <= differ->largest)) /* also what is not a number */
            differ->largest = isnan(gap) ? (double)INFINITY : gap;
    }
}

static tap_status compile_one(tap_plan **out, const tap_check_bench *bench,
                              const char *text, tap_error *err)
{
    tap_condition *condition = NULL;
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, &bench->spec->model->spec);
    TAP_TRY(tap_condition_parse(&condition, text, err));
    const tap_status status =
        tap_plan_compile(out, condition, &bench->groups, &sizes, err);
    tap_condition_free(condition);
    return status;
}

tap_status tap_check_compile(tap_check_bench *bench, const char *const *texts,
                             int64_t n, tap_error *err)
{
    assert(n <= TAP_CHECK_LANES);
    tap_check_drop_plans(bench);
    for (int64_t i = 0; i < n; i++) {
        bench->n_plans = i + 1;
        if (texts[i])
            TAP_TRY(compile_one(&bench->plans[i], bench, texts[i], err));
    }
    return TAP_OK;
}

void tap_check_drop_plans(tap_check_bench *bench)
{
    for (int64_t i = 0; i < bench->n_plans; i++) {
        tap_plan_free(bench->plans[i]);
        bench->plans[i] = NULL;
    }
    bench->n_plans = 0;
}

/* ---- lanes against lanes ---- */

/* ORDER texts in run_lanes */
enum {
    L_CLEAN,
    L_EMPTY,
    L_SCALE,
    L_TEXT,
    L_TAIL,
    L_CUT,
    L_WINDOW,
    L_UNION,
    L_TWICE,
    L_BASE,
    L_PATCHED,
    L_UNPATCHED,
    N_LANES
};

/* The lane that each must equal; of L_CUT and L_BASE, the one they must not. */
static const int twin[N_LANES] = {[L_WINDOW] = L_CUT,
                                  [L_UNION] = L_CUT,
                                  [L_TWICE] = L_CUT,
                                  [L_PATCHED] = L_CLEAN,
                                  [L_UNPATCHED] = L_BASE};

/* Where a number stands. */
enum { ENCODER, IMAGE_ROWS, TEXT_ROWS, N_PLACES };

typedef struct kept {
    float *values;
    size_t n_bytes;
    int block;
} kept;

typedef struct comparison {
    const tap_check_spec *spec;
    tap_differ differs[N_LANES][N_PLACES];
    tap_differ depth_0[2]; /* lanes against the clean one; the projector */
    kept states[N_LANES][TAP_N_SITES][TAP_N_STACKS]; /* of lanes that are a twin */
} comparison;

static tap_status keep(kept *k, const tap_state *state, tap_error *err)
{
    const size_t n = (size_t)(state->n_rows * state->d) * sizeof(float);
    if (n > k->n_bytes) {
        tap_free(k->values);
        k->values = NULL;
        k->n_bytes = 0;
        TAP_TRY(tap_alloc(&k->values, n, 1, "a state to compare with", err));
        k->n_bytes = n;
    }
    memcpy(k->values, state->values, n);
    k->block = state->block;
    return TAP_OK;
}

/* Image rows of depth 0 against the rows of the projector's output that stand there. */
static void compare_projector(comparison *c, const tap_state *state)
{
    const kept *projected = &c->states[L_CLEAN][TAP_SITE_PROJECTOR_OUT][TAP_VISION];
    const tap_sequence *s = &c->spec->scene->sequence;
    for (int64_t t = 0; t < s->n_tok; t++) {
        const int64_t slot = s->tokens[t].feature;
        if (s->tokens[t].role != TAP_ROLE_PATCH)
            continue;
        const int32_t row =
            slot >= 0 && slot < s->layout.n_slots ? s->layout.slots[slot].from[0] : -1;
        if (row < 0) /* a patch that nothing was projected for */
            c->depth_0[1].n_other++;
        else if (s->layout.is_plain)
            tap_differ_add(&c->depth_0[1], state->values + t * state->d,
                           projected->values + row * state->d, state->d);
    }
}

static tap_status put_lane(comparison *c, const tap_state *state, int lane,
                           tap_error *err)
{
    const bool is_twin = lane == L_CLEAN || lane == L_CUT || lane == L_BASE;
    const bool entry = state->stack == TAP_LM && state->site == TAP_SITE_RESID_PRE;
    const kept *k = &c->states[twin[lane]][state->site][state->stack];
    tap_differ *d = c->differs[lane];
    if (is_twin)
        TAP_TRY(keep(&c->states[lane][state->site][state->stack], state, err));
    if (lane == L_CLEAN) {
        if (entry)
            compare_projector(c, state);
        return TAP_OK;
    }
    if (!k->values || k->block != state->block)
        return TAP_FAIL(err, TAP_EBUG,
                        "a state came before the one it is compared with");
    if (entry) {
        if (lane == L_CUT || lane == L_TEXT || lane == L_WINDOW)
            tap_differ_add(&c->depth_0[0], state->values,
                           c->states[L_CLEAN][TAP_SITE_RESID_PRE][TAP_LM].values,
                           state->n_rows * state->d);
        return TAP_OK;
    }
    if (state->stack == TAP_VISION) {
        tap_differ_add(&d[ENCODER], state->values, k->values, state->n_rows * state->d);
        return TAP_OK;
    }
    const int64_t n = c->spec->scene->sequence.last_image + 1;
    for (int64_t r = 0; r < state->n_rows; r++)
        tap_differ_add(
            &d[state->site != TAP_SITE_LOGITS && r < n ? IMAGE_ROWS : TEXT_ROWS],
            state->values + r * state->d, k->values + r * state->d, state->d);
    return TAP_OK;
}

static tap_status put_comparison(void *owner, const tap_state *state, tap_error *err)
{
    for (int64_t i = 0; i < state->n_conditions; i++)
        TAP_TRY(put_lane(owner, state, state->conditions[i], err));
    return TAP_OK;
}

static tap_differ sum_of(const comparison *c, int lane)
{
    tap_differ sum = {0};
    for (int p = 0; p < N_PLACES; p++) {
        sum.n += c->differs[lane][p].n;
        sum.n_other += c->differs[lane][p].n_other;
        sum.largest = fmax(sum.largest, c->differs[lane][p].largest);
    }
    return sum;
}

/* A row about lanes a .. b, each of which must equal its twin in every bit. */
static void judge_lanes(tap_check_row *row, const comparison *c, int a, int b,
                        const char *what)
{
    int64_t n = 0, n_other = 0;
    for (int lane = a; lane <= b; lane++) {
        const tap_differ d = sum_of(c, lane);
        n += d.n;
        n_other += d.n_other;
        row->largest = fmax(row->largest, d.largest);
    }
    (void)snprintf(row->compared, sizeof row->compared, "%lld numbers %s", (long long)n,
                   what);
    tap_check_judge(row, n > 0 && n_other == 0, "%lld numbers have other bits",
                    (long long)n_other);
}

static void judge_all_lanes(tap_check_row *rows, const comparison *c)
{
    const tap_vision_spec *v = &c->spec->model->spec.vision;
    const tap_differ *text = c->differs[L_TEXT];
    judge_lanes(&rows[EMPTY], c, L_EMPTY, L_SCALE, "of both stacks, in bits");
    judge_lanes(&rows[TAIL], c, L_TAIL, L_TAIL, "of both stacks, in bits");
    judge_lanes(&rows[SETS], c, L_WINDOW, L_TWICE, "of both stacks, in bits");
    judge_lanes(&rows[PATCH], c, L_UNPATCHED, L_UNPATCHED, "");
    if (v->n_blocks_read == v->stack.n_blocks) {
        rows[TAIL].verdict = TAP_NOT_HERE;
        (void)snprintf(rows[TAIL].why, sizeof rows[TAIL].why,
                       "this model reads the encoder's last block");
    }
    if (rows[SETS].verdict == TAP_HOLDS && sum_of(c, L_CUT).n_other == 0)
        tap_check_judge(&rows[SETS], false, "a cut of all edges changes nothing");

    const int64_t n_text =
        c->spec->scene->sequence.n_tok - 1 - c->spec->scene->sequence.last_image;
    (void)snprintf(rows[TEXT].compared, sizeof rows[TEXT].compared,
                   "%lld numbers of image tokens, in bits",
                   (long long)text[IMAGE_ROWS].n);
    rows[TEXT].largest = text[IMAGE_ROWS].largest;
    tap_check_judge(&rows[TEXT], text[IMAGE_ROWS].n_other == 0,
                    "%lld numbers of image tokens have other bits",
                    (long long)text[IMAGE_ROWS].n_other);
    if (n_text == 0) {
        rows[TEXT].verdict = TAP_NOT_HERE;
        (void)snprintf(rows[TEXT].why, sizeof rows[TEXT].why,
                       "the prompt has no text after the image");
    } else if (rows[TEXT].verdict == TAP_HOLDS && text[TEXT_ROWS].n_other == 0) {
        tap_check_judge(&rows[TEXT], false, "the cut changes no text token either");
    }

    /* patched: the decoder's states alone must be those of the source */
    tap_check_row *row = &rows[PATCH];
    const tap_differ *patched = c->differs[L_PATCHED];
    const int64_t n = patched[IMAGE_ROWS].n + patched[TEXT_ROWS].n;
    const int64_t other = patched[IMAGE_ROWS].n_other + patched[TEXT_ROWS].n_other;
    row->largest = fmax(row->largest,
                        fmax(patched[IMAGE_ROWS].largest, patched[TEXT_ROWS].largest));
    (void)snprintf(row->compared, sizeof row->compared,
                   "%lld numbers of two patched runs, in bits",
                   (long long)(n + sum_of(c, L_UNPATCHED).n));
    if (row->verdict == TAP_HOLDS)
        tap_check_judge(row, other == 0 && sum_of(c, L_BASE).n_other > 0,
                        "%lld numbers have other bits than the source's",
                        (long long)other);

    row = &rows[DEPTH_0];
    row->largest = fmax(c->depth_0[0].largest, c->depth_0[1].largest);
    (void)snprintf(row->compared, sizeof row->compared,
                   "%lld numbers at depth 0, %lld with the projector, in bits",
                   (long long)c->depth_0[0].n, (long long)c->depth_0[1].n);
    tap_check_judge(
        row, c->depth_0[0].n_other + c->depth_0[1].n_other == 0,
        "%lld numbers have other bits, or stand where nothing was projected",
        (long long)(c->depth_0[0].n_other + c->depth_0[1].n_other));
}

static tap_status run_lanes(tap_check_row *rows, tap_check_bench *bench, tap_error *err)
{
    const tap_check_spec *spec = bench->spec;
    const tap_spec *m = &spec->model->spec;
    char window[64], tail[64];
    const int n_read = m->vision.n_blocks_read, n_lm = m->lm.stack.n_blocks;
    (void)snprintf(window, sizeof window, "lm[window(%d,%d)]: image <- image", n_lm / 2,
                   2 * n_lm);
    (void)snprintf(tail, sizeof tail, "vision[%d-]: image <- image|cls", n_read);
    /* two sets that make up the image; latents have no place a part could cover */
    const char *halves = m->perceiver.n_latents > 0
                             ? "lm: image <- tile(0); lm: image <- image-tile(0)"
                             : "lm: image <- part; lm: image <- outside";
    const char *const texts[N_LANES] = {
        [L_EMPTY] = "",
        [L_SCALE] = "vision: image <- image scale 1; lm: image <- image scale 1",
        [L_TEXT] = "lm: question <- image",
        [L_TAIL] = n_read < m->vision.stack.n_blocks ? tail : "",
        [L_CUT] = "lm: image <- image",
        [L_WINDOW] = window,
        [L_UNION] = halves,
        [L_TWICE] = "lm: ~~image <- ~~image",
        [L_BASE] = "vision: image <- image",
        [L_PATCHED] = "vision: image <- image; lm: patch(clean) all",
        [L_UNPATCHED] = "vision: image <- image; lm: patch(clean) image-image"};
    comparison *c = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&c, 1, sizeof *c, "a check", err));
    c->spec = spec;
    TAP_TRY_OUT(tap_check_compile(bench, texts, N_LANES, err));
    tap_wanted wanted = {0};
    wanted.once[TAP_SITE_PROJECTOR_OUT] = wanted.once[TAP_SITE_LOGITS] = true;
    for (int b = 0; b < n_read; b++)
        tap_bits_set(wanted.blocks[TAP_VISION][TAP_SITE_RESID_POST], b);
    for (int b = 0; b < n_lm; b++)
        tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST], b);
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_PRE], 0);
    const tap_item item = {.pixels = &spec->scene->pixels,
                           .sequence = &spec->scene->sequence,
                           .plans = (const tap_plan *const *)bench->plans};
    const tap_run_options options = {.kernels = spec->kernels,
                                     .n_threads = spec->n_threads,
                                     .all_rows = true,
                                     .share_nothing = true};
    const tap_sink sink = {.owner = c, .wanted = &wanted, .put = put_comparison};
    TAP_TRY_OUT(tap_run(NULL, spec->model, &item, 1, N_LANES, &options, &sink, err));
    judge_all_lanes(rows, c);
out:
    for (int l = 0; c && l < N_LANES; l++)
        for (int s = 0; s < TAP_N_SITES; s++)
            for (int stack = 0; stack < TAP_N_STACKS; stack++)
                tap_free(c->states[l][s][stack].values);
    tap_free(c);
    return status;
}

/* ---- two pictures ---- */

/* States of item 0, and how those of item 1 differ beside one patch. */
typedef struct pictures {
    kept first[TAP_MAX_BLOCKS];
    int64_t n_tile, changed; /* rows of a tile; the patch's row */
    bool has_cls;
    tap_differ others, own;
} pictures;

static tap_status put_picture(void *owner, const tap_state *state, tap_error *err)
{
    pictures *p = owner;
    kept *k = &p->first[state->block];
    if (state->item == 0)
        return keep(k, state, err);
    if (!k->values)
        return TAP_FAIL(err, TAP_EBUG,
                        "a state came before the one it is compared with");
    for (int64_t r = 0; r < state->n_rows; r++)
        if (!p->has_cls || r % p->n_tile > 0)
            tap_differ_add(r == p->changed ? &p->own : &p->others,
                           state->values + r * state->d, k->values + r * state->d,
                           state->d);
    return TAP_OK;
}

static tap_status check_alone(tap_check_row *row, tap_check_bench *bench,
                              tap_error *err)
{
    const tap_check_spec *spec = bench->spec;
    const tap_vision_spec *v = &spec->model->spec.vision;
    const char *const texts[] = {"vision: image <- image|cls"};
    const tap_pixels *from = &spec->scene->pixels;
    tap_pixels other = *from;
    pictures *p = NULL;
    tap_status status = TAP_OK;
    const int64_t side = from->side_px, n = from->n_tiles * 3 * side * side;
    const int64_t n_cols = side / v->patch_px, row_0 = n_cols / 2, col_0 = n_cols / 3;
    other.values = NULL;
    TAP_TRY_OUT(tap_alloc(&p, 1, sizeof *p, "a check", err));
    TAP_TRY_OUT(
        tap_alloc(&other.values, (size_t)n, sizeof *other.values, "pixels", err));
    memcpy(other.values, from->values, (size_t)n * sizeof *other.values);
    for (int64_t channel = 0; channel < 3; channel++)
        for (int64_t y = 0; y < v->patch_px; y++)
            for (int64_t x = 0; x < v->patch_px; x++)
                other.values[(channel * side + row_0 * v->patch_px + y) * side +
                             col_0 * v->patch_px + x] += 0.5F;
    p->n_tile = tap_vision_rows(v);
    p->has_cls = v->has_cls;
    p->changed = v->has_cls + row_0 * n_cols + col_0;
    TAP_TRY_OUT(tap_check_compile(bench, texts, 1, err));
    const tap_plan *plan = bench->plans[0];
    const tap_item items[] = {
        {.pixels = from, .sequence = &spec->scene->sequence, .plans = &plan},
        {.pixels = &other, .sequence = &spec->scene->sequence, .plans = &plan}};
    tap_wanted wanted = {0};
    for (int b = 0; b < v->n_blocks_read; b++)
        tap_bits_set(wanted.blocks[TAP_VISION][TAP_SITE_RESID_POST], b);
    const tap_run_options options = {.kernels = spec->kernels,
                                     .n_threads = spec->n_threads};
    const tap_sink sink = {.owner = p, .wanted = &wanted, .put = put_picture};
    TAP_TRY_OUT(tap_run(NULL, spec->model, items, 2, 1, &options, &sink, err));
    row->largest = p->others.largest;
    (void)snprintf(row->compared, sizeof row->compared,
                   "%lld numbers of patches beside one with other pixels, in bits",
                   (long long)p->others.n);
    tap_check_judge(row, p->others.n_other == 0 && p->own.n_other > 0,
                    "%lld numbers of other patches changed, %lld of its own",
                    (long long)p->others.n_other, (long long)p->own.n_other);
out:
    for (int b = 0; p && b < TAP_MAX_BLOCKS; b++)
        tap_free(p->first[b].values);
    tap_free(p);
    tap_free(other.values);
    return status;
}

/* ---- lens and logits ---- */

enum { N_LABELS = 5 };

typedef struct last_row {
    tap_lens *lens;
    int32_t labels[N_LABELS];
    double ranks[N_LABELS];
    float logits[N_LABELS];
} last_row;

static tap_status put_last(void *owner, const tap_state *state, tap_error *err)
{
    last_row *l = owner;
    for (int i = 0; i < N_LABELS && state->site == TAP_SITE_LOGITS; i++) {
        const float *z = state->values, own = z[l->labels[i]];
        l->logits[i] = own;
        l->ranks[i] = 1.0;
        for (int64_t v = 0; v < state->d; v++)
            l->ranks[i] += z[v] > own                         ? 1.0
                           : v != l->labels[i] && z[v] == own ? 0.5
                                                              : 0.0;
    }
    return tap_lens_put(l->lens, state, err);
}

static tap_status check_lens(tap_check_row *row, tap_check_bench *bench, tap_error *err)
{
    const tap_check_spec *spec = bench->spec;
    const tap_model *m = spec->model;
    const int n = m->spec.lm.stack.n_blocks;
    const int64_t last = spec->scene->sequence.n_tok - 1, n_rows = 1, *rows = &last;
    uint64_t depths[TAP_MAX_BLOCKS / 64 + 1] = {0};
    tap_bits_set(depths, n);
    last_row l = {0};
    for (int i = 0; i < N_LABELS; i++) /* spread over the vocabulary */
        l.labels[i] = (int32_t)((2 * i + 1) * m->spec.lm.d_vocab / (2 * N_LABELS));
    const tap_lens_spec lens = {.labels = l.labels,
                                .n_labels = N_LABELS,
                                .depths = depths,
                                .rows = &rows,
                                .n_rows = &n_rows,
                                .logit_rows = &rows,
                                .n_logit_rows = &n_rows};
    tap_status status = TAP_OK;
    tap_check_drop_plans(bench);
    const tap_plan *clean = NULL;
    const tap_item item = {.pixels = &spec->scene->pixels,
                           .sequence = &spec->scene->sequence,
                           .plans = &clean};
    tap_wanted wanted = {0};
    const tap_run_options options = {
        .kernels = spec->kernels, .n_threads = spec->n_threads, .all_rows = true};
    const tap_sink sink = {.owner = &l, .wanted = &wanted, .put = put_last};
    TAP_TRY_OUT(
        tap_lens_open(&l.lens, m, spec->kernels, spec->n_threads, &lens, 1, 1, err));
    tap_lens_want(&wanted, l.lens);
    wanted.once[TAP_SITE_LOGITS] = true;
    TAP_TRY_OUT(tap_run(NULL, m, &item, 1, 1, &options, &sink, err));
    tap_lens_flush(l.lens);
    tap_differ d = {0};
    tap_differ_add(&d, tap_lens_logits(l.lens, 0, 0), l.logits, N_LABELS);
    int n_ranks = 0;
    for (int i = 0; i < N_LABELS; i++)
        n_ranks += fabs((double)tap_lens_ranks(l.lens, 0, 0)[i] - l.ranks[i]) > 0.0;
    row->largest = d.largest;
    (void)snprintf(row->compared, sizeof row->compared,
                   "%d logits of the last token in bits, and their ranks", N_LABELS);
    tap_check_judge(row, d.n_other == 0 && n_ranks == 0,
                    "%lld logits and %d ranks are not the model's",
                    (long long)d.n_other, n_ranks);
out:
    tap_lens_close(l.lens);
    return status;
}

/* ---- all ---- */

/* Groups of the scene with a part: the patches in the middle of each tile. */
static tap_status compile_groups(tap_check_bench *bench, tap_error *err)
{
    const tap_scene *scene = bench->spec->scene;
    const tap_geometry *g = &scene->geometry;
    float *part = NULL;
    TAP_TRY(tap_alloc(&part, (size_t)tap_scene_n_patches(scene), sizeof *part,
                      "coverage", err));
    for (int t = 0; t < g->n_tiles; t++)
        for (int r = g->n_rows / 3; r <= 2 * g->n_rows / 3 && r < g->n_rows; r++)
            for (int c = g->n_cols / 3; c <= 2 * g->n_cols / 3 && c < g->n_cols; c++)
                part[((int64_t)t * g->n_rows + r) * g->n_cols + c] = 1.0F;
    const tap_group_input input = {.scene = scene, .part = part, .threshold = 0.5};
    const tap_status status = tap_group_compile(&bench->groups, &input, err);
    tap_free(part);
    return status;
}

/* A promise that the run itself found broken is a row, too. */
static tap_status soften(tap_status status, tap_check_row *const *rows, int n,
                         const tap_error *failure, tap_error *err)
{
    if (status == TAP_OK)
        return TAP_OK;
    if (status != TAP_ENUMERIC && status != TAP_EINVAL && status != TAP_EBUG)
        return TAP_FAIL(err, status, "%s", failure->message);
    for (int i = 0; i < n; i++)
        tap_check_judge(rows[i], false, "%s", failure->message);
    return TAP_OK;
}

static bool wants(const tap_check_spec *spec, const int *invariants, int n)
{
    for (int i = 0; i < n; i++)
        if (!(spec->skip >> invariants[i] & 1))
            return true;
    return false;
}

static void say(const tap_check_spec *spec, const char *what)
{
    if (spec->progress)
        spec->progress(spec->owner, what);
}

tap_status tap_check_run(tap_check_row *rows, const tap_check_spec *spec,
                         tap_error *err)
{
    static const int lanes[] = {EMPTY, TEXT, TAIL, SETS, PATCH, DEPTH_0},
                     attention[] = {SUMS, SECOND}, alone[] = {ALONE}, last[] = {LENS};
    tap_check_bench bench = {.spec = spec};
    tap_error failure = {0};
    tap_status status = TAP_OK;
    memset(rows, 0, TAP_N_INVARIANTS * sizeof *rows);
    for (int i = 0; i < TAP_N_INVARIANTS; i++) {
        rows[i].name = about[i][0];
        rows[i].invariant = about[i][1];
        rows[i].verdict = TAP_NOT_HERE;
        (void)snprintf(rows[i].why, sizeof rows[i].why, "not asked for");
    }
    TAP_TRY_OUT(compile_groups(&bench, err));
    if (wants(spec, lanes, 6)) {
        tap_check_row *const those[] = {&rows[EMPTY], &rows[TEXT],  &rows[TAIL],
                                        &rows[SETS],  &rows[PATCH], &rows[DEPTH_0]};
        say(spec, "twelve conditions side by side");
        TAP_TRY_OUT(soften(run_lanes(rows, &bench, &failure), those, 6, &failure, err));
    }
    if (wants(spec, alone, 1)) {
        tap_check_row *const those[] = {&rows[ALONE]};
        say(spec, "two pictures that differ in one patch");
        TAP_TRY_OUT(soften(check_alone(&rows[ALONE], &bench, &failure), those, 1,
                           &failure, err));
    }
    if (wants(spec, attention, 2)) {
        tap_check_row *const those[] = {&rows[SUMS], &rows[SECOND]};
        say(spec, "attention a second time");
        TAP_TRY_OUT(
            soften(tap_check_attention(&rows[SUMS], &rows[SECOND], &bench, &failure),
                   those, 2, &failure, err));
    }
    if (wants(spec, last, 1)) {
        tap_check_row *const those[] = {&rows[LENS]};
        say(spec, "the lens and the model's logits");
        TAP_TRY_OUT(
            soften(check_lens(&rows[LENS], &bench, &failure), those, 1, &failure, err));
    }
    for (int i = 0; i < TAP_N_INVARIANTS; i++)
        if (spec->skip >> i & 1)
            rows[i].verdict = TAP_NOT_HERE;
out:
    tap_check_drop_plans(&bench);
    tap_groups_clear(&bench.groups);
    return status;
}

tap_status tap_check_image(tap_image *out, int64_t width, int64_t height,
                           tap_error *err)
{
    tap_image image = {.width = width, .height = height};
    TAP_TRY(tap_alloc(&image.rgb, (size_t)(width * height), 3, "a picture", err));
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            const double u = (double)x / (double)width, v = (double)y / (double)height;
            const double disc = hypot(u - 0.45, v - 0.55) < 0.25 ? 1.0 : 0.0;
            const double box = fabs(u - 0.75) < 0.1 && fabs(v - 0.3) < 0.2 ? 1.0 : 0.0;
            const double rgb[3] = {0.5 + 0.3 * sin(9.0 * u) + 0.2 * disc,
                                   0.4 + 0.3 * cos(7.0 * (u + v)) - 0.3 * box,
                                   0.6 - 0.4 * v + 0.3 * disc * cos(40.0 * u)};
            for (int c = 0; c < 3; c++)
                image.rgb[(y * width + x) * 3 + c] =
                    (uint8_t)(255.0 * fmin(1.0, fmax(0.0, rgb[c])));
        }
    *out = image;
    return TAP_OK;
}

/* Nothing that makes a sweep fast may change a bit of what is read: random conditions, all
 * together and one at a time, in any order, with and without sharing and skipping, on any
 * number of threads, in groups of any size, in both arithmetics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/rig.h"
#include "base/memory.h"

enum { N_SCENES = 3, N_TEXTS = 6, TEXT_BYTES = 256, N_LM = 4, MAX_READ = 16, D = 32 };

static rig r;
static uint64_t seed;

static int below(int n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((seed >> 33) % (uint64_t)n);
}

static int open_rig(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    options.lm_n_blocks = N_LM;
    options.dtype = TAP_BF16;
    rig_open(&r, &options);
    for (int i = 0; i < N_SCENES; i++)
        rig_add_scene(&r, (uint64_t)i + 1, -1);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

/* A condition of up to three atoms that every scene can compile. */
static void draw_condition(char *text)
{
    static const char *const groups[2][8] = {
        {"image", "part", "outside", "object", "background", "cls", "image|cls", "all"},
        {"image", "part", "outside", "object-part", "prefix", "question",
         "image|prefix", "bos"}};
    static const char *const modes[] = {"", " scale 0.5", " zero", " uniform", "", ""};
    static const char *const edits[] = {
        "zero",         "mean",        "mean(part)",   "noise(0.1,3)", "permute(5)",
        "copy(object)", "copy(image)", "patch(clean)", "mean(outside)"};
    static const char *const edited[] = {"part", "outside", "image", "object"};
    static const char *const sites[] = {"resid_pre", "attn_in", "q",       "k",
                                        "v",         "z",       "mlp_act", "resid_mid"};
    for (bool ok = false; !ok;) {
        const int n_atoms = below(4);
        text[0] = '\0';
        for (int i = 0; i < n_atoms; i++) {
            const int stack = below(2), n_blocks = stack ? N_LM : 3;
            const int first = below(n_blocks);
            char atom[96], heads[16] = "";
            const char *mode = below(12) ? modes[below(6)] : " freeze";
            if (below(12) == 0) {
                (void)snprintf(atom, sizeof atom, "%sprojector: %s %s at %s",
                               i ? "; " : "", edits[below(9)], edited[below(4)],
                               below(2) ? "in" : "out");
                strcat(text, atom);
                continue;
            }
            if (below(4) == 0) {
                (void)snprintf(atom, sizeof atom, "%s%s[%d-%d]: %s %s at %s",
                               i ? "; " : "", stack ? "lm" : "vision", first,
                               first + below(n_blocks - first), edits[below(9)],
                               edited[below(4)], sites[below(8)]);
                strcat(text, atom);
                continue;
            }
            if (below(3) == 0)
                (void)snprintf(heads, sizeof heads, ".h[%d]", below(4));
            (void)snprintf(atom, sizeof atom, "%s%s[%d-%d]%s: %s <- %s%s",
                           i ? "; " : "", stack ? "lm" : "vision", first,
                           first + below(n_blocks - first), heads,
                           groups[stack][below(8)], groups[stack][below(8)], mode);
            strcat(text, atom);
        }
        tap_error err;
        ok = true;
        for (int s = 0; s < N_SCENES && ok; s++)
            ok = rig_try_plan(&r, s, text, &err) == TAP_OK;
    }
}

/* What was read: [scene][condition][depth][row][D], rows of one list. */
typedef struct reading {
    float *values;
    int n_conditions;
    const int64_t *rows;
    int64_t n_rows;
    int64_t n_put;
} reading;

static float *place(const reading *to, int64_t item, int condition, int depth)
{
    return to->values + ((item * to->n_conditions + condition) * (N_LM + 1) + depth) *
                            to->n_rows * D;
}

static tap_status keep(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    reading *to = owner;
    const int depth =
        state->site == TAP_SITE_RESID_POST ? state->block + 1 : state->block;
    assert_int_equal(state->d, D);
    for (int64_t c = 0; c < state->n_conditions; c++)
        for (int64_t i = 0; i < to->n_rows; i++)
            memcpy(place(to, state->item, state->conditions[c], depth) + i * D,
                   state->values + to->rows[i] * D, D * sizeof(float));
    to->n_put += state->n_conditions;
    return TAP_OK;
}

/* Scenes first .. first + n under texts; receipts may be NULL. */
static reading run(int first, int n, char (*texts)[TEXT_BYTES], int n_texts,
                   const int64_t *rows, int64_t n_rows, const tap_run_options *options,
                   tap_receipts *receipts)
{
    reading out = {.n_conditions = n_texts, .rows = rows, .n_rows = n_rows};
    tap_error err;
    tap_plan *plans[N_SCENES * N_TEXTS];
    tap_item items[N_SCENES];
    assert_int_equal(tap_alloc(&out.values, (size_t)n * (size_t)n_texts * (N_LM + 1),
                               (size_t)n_rows * D * sizeof(float), "a test", &err),
                     TAP_OK);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < n_texts; c++)
            plans[i * n_texts + c] = rig_plan(&r, first + i, texts[c]);
        items[i] = (tap_item){.pixels = &r.scenes[first + i].pixels,
                              .sequence = &r.scenes[first + i].sequence,
                              .plans = (const tap_plan *const *)plans + i * n_texts,
                              .read = rows,
                              .n_read = n_rows};
    }
    static tap_wanted wanted;
    memset(&wanted, 0, sizeof wanted);
    for (int b = 0; b < N_LM; b++)
        tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_PRE], b);
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST], N_LM - 1);
    const tap_sink sink = {.owner = &out, .wanted = &wanted, .put = keep};
    const tap_status status =
        tap_run(receipts, r.model, items, n, n_texts, options, &sink, &err);
    if (status != TAP_OK)
        print_error("%s\n", err.message);
    assert_int_equal(status, TAP_OK);
    assert_int_equal(out.n_put, n * n_texts * (N_LM + 1));
    for (int i = 0; i < n * n_texts; i++)
        tap_plan_free(plans[i]);
    return out;
}

static void assert_same(const reading *a, int item_a, int c_a, const reading *b,
                        int item_b, int c_b)
{
    const size_t n = (size_t)((N_LM + 1) * a->n_rows * D);
    const float *x = place(a, item_a, c_a, 0), *y = place(b, item_b, c_b, 0);
    assert_memory_equal(x, y, n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        assert_true(x[i] == x[i]);
}

/* Ascending image rows, one in `each` of them; always at least one. */
static int64_t draw_rows(int64_t *rows, int each)
{
    const tap_scene *scene = &r.scenes[0];
    int64_t n = 0;
    for (int64_t i = 0; i < scene->sequence.n_image; i++)
        if (below(each) == 0)
            rows[n++] = scene->image_rows[i];
    if (n == 0)
        rows[n++] = scene->image_rows[below((int)scene->sequence.n_image)];
    assert_true(n <= MAX_READ);
    return n;
}

static void random_sweeps_equal_single_runs(void **state)
{
    const bool bf16 = *state != NULL;
    const tap_kernels *kernels = bf16 ? tap_kernels_bf16() : tap_kernels_cpu();
    if (!kernels) {
        print_message("skip: this processor has no products in bf16\n");
        skip();
    }
    int n_sparse = 0; /* rounds in which little is read */
    for (int round = 0; round < 25; round++) {
        char texts[N_TEXTS][TEXT_BYTES], turned[N_TEXTS][TEXT_BYTES];
        int64_t rows[MAX_READ];
        seed = 1000 * (uint64_t)round + 7;
        for (int c = 0; c < N_TEXTS; c++)
            draw_condition(texts[c]);
        strcpy(texts[4], texts[1]); /* two lanes alike */
        for (int c = 0; c < N_TEXTS; c++)
            strcpy(turned[c], texts[N_TEXTS - 1 - c]);
        const int64_t n = draw_rows(rows, round % 2 ? 3 : 8);
        const tap_run_options plain = {.kernels = kernels, .n_threads = 2};
        const int threads[] = {1, 2, 3, 5};
        const tap_run_options other = {.kernels = kernels,
                                       .n_threads = threads[below(4)],
                                       .group_rows = 1 + below(100),
                                       .all_rows = below(2) == 0,
                                       .skip_nothing = below(2) == 0,
                                       .share_nothing = below(2) == 0};
        const tap_run_options single = {
            .kernels = kernels, .n_threads = 1, .skip_nothing = true};
        tap_receipts shared = {0}, unshared = {0};
        reading a = run(0, N_SCENES, texts, N_TEXTS, rows, n, &plain, &shared);
        reading b = run(0, N_SCENES, turned, N_TEXTS, rows, n, &other, &unshared);
        for (int s = 0; s < N_SCENES; s++)
            for (int c = 0; c < N_TEXTS; c++) {
                reading one = run(s, 1, texts + c, 1, rows, n, &single, NULL);
                assert_same(&a, s, c, &one, 0, 0);
                assert_same(&b, s, N_TEXTS - 1 - c, &one, 0, 0);
                tap_free(one.values);
            }
        assert_true(shared.flop_done < shared.flop_unshared);
        if (n < 4)
            n_sparse++;
        if (other.share_nothing)
            assert_true(unshared.flop_done >= unshared.flop_unshared);
        tap_receipts_clear(&shared);
        tap_receipts_clear(&unshared);
        tap_free(a.values);
        tap_free(b.values);
    }
    assert_true(n_sparse > 5);
}

static tap_status check_nan(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    if (state->site == TAP_SITE_RESID_POST)
        for (int64_t t = 0; t < state->n_rows; t++)
            *(int *)owner += isnan(state->values[t * state->d]) != 0;
    return TAP_OK;
}

static void rows_nobody_reads_cost_nothing_and_cannot_be_read(void **state)
{
    (void)state;
    const tap_scene *scene = &r.scenes[0];
    const int64_t rows[] = {scene->image_rows[2], scene->image_rows[5]};
    char clean[1][TEXT_BYTES] = {""};
    double flop[2];
    for (int skip_nothing = 0; skip_nothing < 2; skip_nothing++) {
        tap_receipts receipts = {0};
        const tap_run_options options = {.n_threads = 1, .skip_nothing = skip_nothing};
        reading x = run(0, 1, clean, 1, rows, 2, &options, &receipts);
        flop[skip_nothing] = receipts.flop_done;
        const tap_head_receipt *last =
            tap_receipts_block(&receipts, 0, 0, TAP_LM, N_LM - 1);
        int64_t allowed = 0;
        for (int i = 0; i < 2; i++)
            allowed += rows[i] + 1;
        if (!skip_nothing)
            assert_int_equal(last->allowed, allowed);
        tap_receipts_clear(&receipts);
        tap_free(x.values);
    }
    assert_true(flop[0] < 0.8 * flop[1]);

    tap_error err;
    int n_nan = 0;
    tap_plan *plan = rig_plan(&r, 0, "");
    const tap_plan *plans = plan;
    const tap_item item = {.pixels = &scene->pixels,
                           .sequence = &scene->sequence,
                           .plans = &plans,
                           .read = rows,
                           .n_read = 2};
    static tap_wanted wanted;
    memset(&wanted, 0, sizeof wanted);
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST], N_LM - 1);
    const tap_sink sink = {.owner = &n_nan, .wanted = &wanted, .put = check_nan};
    const tap_run_options options = {.n_threads = 1};
    assert_int_equal(tap_run(NULL, r.model, &item, 1, 1, &options, &sink, &err),
                     TAP_OK);
    assert_int_equal(n_nan, rows[1] + 1 - 2);
    tap_plan_free(plan);
}

/* A cut that touches no row that is read in the last block costs nothing. */
static void atoms_that_reach_no_row_that_is_read_cost_nothing(void **state)
{
    (void)state;
    const int64_t rows[] = {r.scenes[0].image_rows[5]}; /* a patch of the part */
    char texts[2][TEXT_BYTES] = {"", "lm[3]: outside <- image; lm: question <- image"};
    const tap_run_options options = {.n_threads = 1};
    tap_receipts receipts = {0};
    reading x = run(0, 1, texts, 2, rows, 1, &options, &receipts);
    assert_true(receipts.flop_done <= 0.5 * receipts.flop_unshared);
    tap_receipts_clear(&receipts);
    tap_free(x.values);
}

/* FLOPs of scene 0 under conditions, one patch of the part read. */
static double flop_of(char (*texts)[TEXT_BYTES], int n)
{
    const int64_t rows[] = {r.scenes[0].image_rows[5]};
    const tap_run_options options = {.n_threads = 1};
    tap_receipts receipts = {0};
    reading x = run(0, 1, texts, n, rows, 1, &options, &receipts);
    const double flop = receipts.flop_done;
    tap_receipts_clear(&receipts);
    tap_free(x.values);
    return flop;
}

/* Rows that no row that is read can see, in this block or through later ones, are not
 * computed; a condition that shares a state keeps alive what another would leave out. */
static void rows_out_of_reach_cost_nothing(void **state)
{
    (void)state;
    char clean[1][TEXT_BYTES] = {""}, apart[1][TEXT_BYTES] = {"lm: image <- image"},
         late[1][TEXT_BYTES] = {"lm[2-]: image <- image"},
         early[1][TEXT_BYTES] = {"lm[0-1]: image <- image"},
         some[1][TEXT_BYTES] = {"lm.h[0]: image <- image"},
         edit[1][TEXT_BYTES] = {"lm: image <- image; lm[1]: zero outside at mlp_out"},
         both[2][TEXT_BYTES] = {"lm: image <- image", "lm[0-1]: image <- image"};
    const double all = flop_of(clean, 1), alone = flop_of(apart, 1);
    assert_true(alone < flop_of(late, 1) && flop_of(late, 1) < all);
    assert_true(flop_of(early, 1) == all); /* the last blocks see everything */
    assert_true(flop_of(some, 1) == all);  /* so do the other heads */
    assert_true(flop_of(edit, 1) > alone && flop_of(edit, 1) < all);
    assert_true(flop_of(both, 2) < all + alone);
}

/* A patch that attends to itself alone needs no queries and keys; the class token and the
 * patches behind those that the decoder embeds are not run where nothing that is read
 * attends to them up to the end. All of it with the bits of a whole run. */
static void rows_that_read_one_key_are_not_scored(void **state)
{
    (void)state;
    char texts[][1][TEXT_BYTES] = {
        {""},
        {"vision: image <- image"}, /* the class token is read */
        {"vision: image <- image|cls"},
        {"vision[1-]: image <- image|cls"},
        {"vision[0]: image <- image|cls"}, /* the class token is read later */
        {"vision.h[0]: image <- image|cls"},
        {"vision.h[1-]: image <- image|cls"}};

    enum { CLEAN, CLS, APART, LATE, EARLY, FIRST_HEAD, OTHER_HEADS, N };

    const int64_t rows[] = {r.scenes[0].image_rows[5]};
    const tap_run_options plain = {.n_threads = 2},
                          whole = {.n_threads = 1, .skip_nothing = true};
    double flop[N];
    assert_int_equal(sizeof texts / sizeof *texts, N);
    for (int i = 0; i < N; i++) {
        tap_receipts receipts = {0};
        reading a = run(0, 1, texts[i], 1, rows, 1, &plain, &receipts);
        reading b = run(0, 1, texts[i], 1, rows, 1, &whole, NULL);
        assert_same(&a, 0, 0, &b, 0, 0);
        flop[i] = receipts.flop_done;
        for (int block = 0; block < receipts.n_blocks[TAP_VISION]; block++)
            assert_int_equal(/* a row that is computed counts all its edges */
                             tap_receipts_block(&receipts, 0, 0, TAP_VISION, block)
                                     ->allowed %
                                 tap_vision_rows(&r.model->spec.vision),
                             0);
        tap_receipts_clear(&receipts);
        tap_free(a.values);
        tap_free(b.values);
    }
    assert_true(flop[APART] < flop[LATE]);
    assert_true(flop[LATE] < flop[CLS] && flop[CLS] < flop[CLEAN]);
    assert_true(flop[EARLY] == flop[CLEAN]);
    assert_true(flop[FIRST_HEAD] == flop[CLEAN] && flop[OTHER_HEADS] == flop[CLEAN]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sweeps_equal_single_runs),
        {"random_sweeps_equal_single_runs_bf16", random_sweeps_equal_single_runs, NULL,
         NULL, &r},
        cmocka_unit_test(rows_nobody_reads_cost_nothing_and_cannot_be_read),
        cmocka_unit_test(rows_out_of_reach_cost_nothing),
        cmocka_unit_test(rows_that_read_one_key_are_not_scored),
        cmocka_unit_test(atoms_that_reach_no_row_that_is_read_cost_nothing),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

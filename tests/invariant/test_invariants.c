/* The invariants of docs/method.md, exact where it says exact, on a tiny random model with
 * grouped-query heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../support/rig.h"
#include "base/memory.h"
#include "format/safetensors.h"
#include "read/lens.h"

static rig r;
static const tap_run_options plain = {.n_threads = 2, .all_rows = true};

static int open_rig(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    options.lm_n_blocks = 3;
    rig_open(&r, &options);
    rig_add_scene(&r, 1, -1);
    rig_add_scene(&r, 2, -1);
    rig_add_scene(&r, 1, 10); /* scene 0 with other pixels in patch 10 */
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

/* Every state of condition a in `left` equals that of condition b in `right`. */
static int equal_states(const capture *left, int item_l, int a, const capture *right,
                        int item_r, int b)
{
    int n = 0, equal = 0;
    for (size_t i = 0; i < left->n; i++) {
        const kept *k = &left->states[i];
        if (k->item != item_l || k->condition != a)
            continue;
        n++;
        equal +=
            kept_equal(k, capture_find(right, k->site, k->stack, k->block, item_r, b));
    }
    assert_true(n > 10);
    return n - equal;
}

static void the_empty_condition_is_the_clean_run(void **state)
{
    (void)state;
    const char *const texts[] = {"", "lm: image <- image scale 1",
                                 "vision: image <- all scale 1.0", "clean",
                                 "lm: image <- image"};
    capture c = rig_run(&r, 0, 1, texts, 5, &plain);
    for (int i = 1; i < 4; i++)
        assert_int_equal(equal_states(&c, 0, 0, &c, 0, i), 0);
    assert_true(equal_states(&c, 0, 0, &c, 0, 4) > 0); /* a cut does change states */
    capture_clear(&c);
}

static void text_rows_do_not_reach_image_rows(void **state)
{
    (void)state;
    const char *const texts[] = {"", "lm: question <- image|prefix|question"};
    capture c = rig_run(&r, 0, 1, texts, 2, &plain);
    const tap_sequence *s = &r.scenes[0].sequence;
    int changed = 0;
    for (int b = 0; b < 3; b++) {
        const kept *clean = capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, b, 0, 0);
        const kept *cut = capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, b, 0, 1);
        for (int64_t t = 0; t < s->n_tok; t++) {
            const bool same =
                memcmp(clean->values + t * clean->d, cut->values + t * cut->d,
                       (size_t)clean->d * sizeof(float)) == 0;
            if (t <= s->last_image)
                assert_true(same);
            changed += !same;
        }
    }
    assert_true(changed > 0);
    capture_clear(&c);
}

static void blocks_after_the_feature_change_nothing(void **state)
{
    (void)state;
    const int stored = r.model->spec.vision.stack.n_blocks;
    assert_int_equal(r.model->spec.vision.n_blocks_read, stored - 1);
    const char *const texts[] = {"", "vision[last]: image <- image|cls"};
    capture c = rig_run(&r, 0, 1, texts, 2, &plain);
    assert_int_equal(equal_states(&c, 0, 0, &c, 0, 1), 0);
    capture_clear(&c);
}

static void an_isolated_patch_sees_only_its_own_pixels(void **state)
{
    (void)state;
    const char *const texts[] = {"vision: image <- image|cls",
                                 "vision: image <- image"};
    capture a = rig_run(&r, 0, 1, texts, 2, &plain);
    capture b = rig_run(&r, 2, 1, texts, 2, &plain);
    for (int c = 0; c < 2; c++) {
        const kept *x = capture_find(&a, TAP_SITE_PROJECTOR_OUT, TAP_VISION, -1, 0, c);
        const kept *y = capture_find(&b, TAP_SITE_PROJECTOR_OUT, TAP_VISION, -1, 0, c);
        int others = 0;
        for (int64_t p = 0; p < x->n_rows; p++) {
            const bool same = memcmp(x->values + p * x->d, y->values + p * y->d,
                                     (size_t)x->d * sizeof(float)) == 0;
            assert_true(p != 10 || !same);
            others += p != 10 && !same;
        }
        if (c == 0)
            assert_int_equal(others, 0);
        else
            assert_true(others > 0); /* with the class token left, it is a relay */
    }
    capture_clear(&a);
    capture_clear(&b);
}

static void rows_sum_to_one_and_cut_edges_carry_nothing(void **state)
{
    (void)state;
    const char *const texts[] = {
        "vision: image <- image|cls; lm[1-]: part <- outside; lm.h[0]: image <- prefix"};
    capture c = rig_run(&r, 0, 1, texts, 1, &plain);
    const uint64_t *part = tap_groups_find(&r.groups[0], TAP_LM, "part");
    const uint64_t *outside = tap_groups_find(&r.groups[0], TAP_LM, "outside");
    for (int s = 0; s < TAP_N_STACKS; s++) {
        const int n_heads = c.receipts.n_heads[s];
        for (int b = 0; b < c.receipts.n_blocks[s]; b++) {
            const kept *k = capture_find(&c, TAP_SITE_PATTERN, (tap_stack)s, b, 0, 0);
            const int64_t n = k->n_rows;
            for (int64_t row = 0; row < n * n_heads; row++) {
                double sum = 0.0;
                for (int64_t key = 0; key < n; key++) {
                    const double w = (double)k->values[row * n + key];
                    sum += w;
                    const int64_t q = row % n;
                    if (s == TAP_VISION && q > 0 && key != q)
                        assert_true(w <= 0.0);
                    if (s == TAP_LM && b >= 1 && tap_bits_get(part, q) &&
                        tap_bits_get(outside, key))
                        assert_true(w <= 0.0);
                }
                assert_true(fabs(sum - 1.0) < 1e-5);
            }
            for (int h = 0; h < n_heads; h++) {
                const tap_head_receipt *x =
                    tap_receipts_block(&c.receipts, 0, 0, (tap_stack)s, b) + h;
                assert_true(x->allowed == x->used + x->cut && x->allowed > 0);
                assert_true(x->weight_on_cut <= 0.0);
                if (s == TAP_VISION)
                    assert_int_equal(x->cut, 16 * 16);
            }
        }
    }
    capture_clear(&c);
}

static void set_laws_hold_in_every_bit(void **state)
{
    (void)state;
    const char *const pairs[][2] = {
        {"lm[window(1,6)]: image <- image", "lm: image <- image"},
        {"lm[0]: image <- image; lm[1]: image <- image; lm[2]: image <- image",
         "lm[0-2]: image <- image"},
        {"vision: ~~part <- outside", "vision: part <- outside"},
        {"vision: part <- ~part", "vision: part <- image-part"},
        {"lm: image <- part; lm: image <- outside", "lm: image <- part|outside"},
        {"lm.h[0,1]: part <- image; lm.h[2-]: part <- image", "lm: part <- image"},
        {"lm: object&part <- image scale 0", "lm: part <- image"},
        {"lm: part <- image scale 0.5; lm: part <- image scale 0.5",
         "lm: part <- image scale 0.25"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        capture c = rig_run(&r, 0, 1, pairs[i], 2, &plain);
        assert_int_equal(equal_states(&c, 0, 0, &c, 0, 1), 0);
        /* equal in effect, so they were one state throughout */
        assert_true(c.receipts.flop_done < 0.51 * c.receipts.flop_unshared);
        capture_clear(&c);
    }
}

static tap_status put_lens(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

static void the_last_depth_is_what_the_model_says(void **state)
{
    (void)state;
    const char *const texts[] = {""};
    capture c = rig_run(&r, 0, 1, texts, 1, &plain);
    const kept *logits = capture_find(&c, TAP_SITE_LOGITS, TAP_LM, -1, 0, 0);
    const tap_scene *scene = &r.scenes[0];
    const int32_t labels[] = {3, 40, 77};
    const uint64_t depths = UINT64_C(1) << 3;
    const int64_t row = scene->sequence.n_tok - 1, n_rows = 1;
    const int64_t *rows = &row;
    const tap_lens_spec spec = {.labels = labels,
                                .n_labels = 3,
                                .depths = &depths,
                                .rows = &rows,
                                .n_rows = &n_rows,
                                .logit_rows = &rows,
                                .n_logit_rows = &n_rows};
    tap_lens *lens = NULL;
    tap_error err;
    assert_int_equal(
        tap_lens_open(&lens, r.model, tap_kernels_cpu(), 2, &spec, 1, 1, &err), TAP_OK);
    static tap_wanted wanted;
    memset(&wanted, 0, sizeof wanted);
    tap_lens_want(&wanted, lens); /* the lens alone must reach the last block */
    tap_plan *plan = rig_plan(&r, 0, "");
    const tap_plan *plans = plan;
    const tap_item item = {
        .pixels = &scene->pixels, .sequence = &scene->sequence, .plans = &plans};
    const tap_sink sink = {.owner = lens, .wanted = &wanted, .put = put_lens};
    assert_int_equal(tap_run(NULL, r.model, &item, 1, 1, &plain, &sink, &err), TAP_OK);
    tap_lens_flush(lens);
    for (int l = 0; l < 3; l++) {
        const float z = logits->values[labels[l]];
        double rank = 1.0;
        for (int64_t v = 0; v < logits->d; v++)
            rank += logits->values[v] > z                      ? 1.0
                    : v != labels[l] && logits->values[v] == z ? 0.5
                                                               : 0.0;
        assert_true(tap_lens_logits(lens, 0, 0)[l] == z);
        assert_true((double)tap_lens_ranks(lens, 0, 0)[l] == rank);
    }
    tap_plan_free(plan);
    tap_lens_close(lens);
    capture_clear(&c);
}

static void decoder_conditions_share_depth_zero(void **state)
{
    (void)state;
    const char *const texts[] = {"", "lm: image <- image", "lm[1]: part <- all"};
    capture c = rig_run(&r, 0, 1, texts, 3, &plain);
    const kept *clean = capture_find(&c, TAP_SITE_RESID_PRE, TAP_LM, 0, 0, 0);
    for (int i = 1; i < 3; i++)
        assert_true(
            kept_equal(clean, capture_find(&c, TAP_SITE_RESID_PRE, TAP_LM, 0, 0, i)));
    capture_clear(&c);
}

static void a_cut_leaves_all_depths_before_it_alone(void **state)
{
    (void)state;
    const char *const texts[] = {"", "lm[2]: image <- image"};
    capture c = rig_run(&r, 0, 1, texts, 2, &plain);
    for (int b = 0; b < 3; b++) {
        const kept *clean = capture_find(&c, TAP_SITE_RESID_PRE, TAP_LM, b, 0, 0);
        assert_true(
            kept_equal(clean, capture_find(&c, TAP_SITE_RESID_PRE, TAP_LM, b, 0, 1)));
    }
    const kept *last = capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, 2, 0, 0);
    assert_false(
        kept_equal(last, capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, 2, 0, 1)));
    capture_clear(&c);
}

static const char *const many[] = {"",
                                   "vision: image <- image|cls",
                                   "lm: image <- image",
                                   "vision: image <- image|cls; lm: image <- image",
                                   "lm[1]: part <- outside",
                                   "vision[1-]: part <- outside scale 0.3",
                                   "lm.h[1]: image <- prefix|bos"};

enum { N_MANY = sizeof many / sizeof *many };

static void assert_same_run(const capture *a, int item_a, const capture *b, int item_b)
{
    for (int c = 0; c < N_MANY; c++)
        assert_int_equal(equal_states(a, item_a, c, b, item_b, c), 0);
}

static void the_same_bits_for_any_threads_groups_and_sharing(void **state)
{
    (void)state;
    capture first = rig_run(&r, 0, 1, many, N_MANY, &plain);
    const tap_run_options others[] = {
        {.n_threads = 1, .all_rows = true},
        {.n_threads = 5, .all_rows = true},
        {.n_threads = 2, .all_rows = true, .group_rows = 1},
        {.n_threads = 3, .all_rows = true, .group_rows = 50},
        {.n_threads = 2, .all_rows = true, .share_nothing = true}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        capture other = rig_run(&r, 0, 1, many, N_MANY, &others[i]);
        assert_same_run(&first, 0, &other, 0);
        capture_clear(&other);
    }
    capture_clear(&first);
}

static void the_same_bits_alone_and_in_a_batch(void **state)
{
    (void)state;
    capture all = rig_run(&r, 0, 3, many, N_MANY, &plain);
    for (int i = 0; i < 3; i++) {
        capture one = rig_run(&r, i, 1, many, N_MANY, &plain);
        assert_same_run(&one, 0, &all, i);
        capture_clear(&one);
    }
    capture_clear(&all);
}

static void the_order_of_conditions_does_not_matter(void **state)
{
    (void)state;
    const char *turned[N_MANY];
    for (int i = 0; i < N_MANY; i++)
        turned[i] = many[N_MANY - 1 - i];
    capture a = rig_run(&r, 0, 1, many, N_MANY, &plain);
    capture b = rig_run(&r, 0, 1, turned, N_MANY, &plain);
    for (int c = 0; c < N_MANY; c++)
        assert_int_equal(equal_states(&a, 0, c, &b, 0, N_MANY - 1 - c), 0);
    capture_clear(&a);
    capture_clear(&b);
}

static void rows_without_keys_follow_the_declared_rule(void **state)
{
    (void)state;
    tap_error err;
    assert_int_equal(rig_try_plan(&r, 0, "vision: part <- all drop self", &err),
                     TAP_EINVAL);
    assert_string_equal(
        err.message,
        "condition 'vision: part <- all drop self', column 1: query row 6 of vision block "
        "0 would have no key left; leave out 'drop self', or add 'empty self' or 'empty "
        "zero'");
    const char *const texts[] = {"vision: part <- all drop self empty self",
                                 "vision: part <- all",
                                 "vision: part <- all drop self empty zero"};
    capture c = rig_run(&r, 0, 1, texts, 3, &plain);
    assert_int_equal(equal_states(&c, 0, 0, &c, 0, 1), 0);
    assert_true(equal_states(&c, 0, 0, &c, 0, 2) > 0);
    const tap_head_receipt *x = tap_receipts_block(&c.receipts, 0, 2, TAP_VISION, 0);
    assert_int_equal(x->rows_emptied, 3);
    capture_clear(&c);
}

static void heads_sum_to_the_whole(void **state)
{
    (void)state;
    static const char *const lm[] = {"",
                                     "lm[1]: zero all at z",
                                     "lm[1].h[1-]: zero all",
                                     "lm[1].h[0,2-]: zero all",
                                     "lm[1].h[0-1,3]: zero all",
                                     "lm[1].h[-2]: zero all"};
    static const char *const vision[] = {"",
                                         "vision[1]: zero all at z",
                                         "vision[1].h[1-]: zero all",
                                         "vision[1].h[0,2-]: zero all",
                                         "vision[1].h[0-1,3]: zero all",
                                         "vision[1].h[-2]: zero all"};
    for (int s = 0; s < TAP_N_STACKS; s++) {
        capture c = rig_run(&r, 0, 1, s == TAP_LM ? lm : vision, 6, &plain);
        const kept *out[6];
        for (int i = 0; i < 6; i++)
            out[i] = capture_find(&c, TAP_SITE_ATTN_OUT, (tap_stack)s, 1, 0, i);
        double rms = 0.0, worst = 0.0;
        const int64_t n = out[0]->n_rows * out[0]->d;
        for (int64_t i = 0; i < n; i++) {
            double sum = -3.0 * (double)out[1]->values[i]; /* each head adds the bias */
            for (int h = 2; h < 6; h++)
                sum += (double)out[h]->values[i];
            rms += (double)out[0]->values[i] * (double)out[0]->values[i];
            worst = fmax(worst, fabs(sum - (double)out[0]->values[i]));
        }
        assert_true(worst < 1e-5 * sqrt(rms / (double)n));
        assert_false(kept_equal(out[2], out[3]));
        capture_clear(&c);
    }
}

static void the_receipt_says_what_was_edited(void **state)
{
    (void)state;
    const char *const texts[] = {
        "", "vision: zero part; lm[1]: mean part; lm[1].h[0]: zero all at z",
        "projector: noise(0.5,1) object at out; lm: zero part; lm[2]: steer(u,0) part",
        "vision[0]: part <- all drop self empty self; lm[2]: permute(1) prefix"};
    char file[160], text[320];
    const float u[32] = {1.0F};
    const tap_tensor shape = {.dtype = TAP_F32, .n_dims = 1, .shape = {32}};
    const char *name = "u", *used[4];
    tap_safetensors_out *out = NULL;
    tap_error err;
    (void)snprintf(file, sizeof file, "%s/u.safetensors", r.directory);
    assert_int_equal(
        tap_safetensors_create(&out, file, 1, &name, &shape, 0, NULL, NULL, &err),
        TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 0, 0, u, 32, &err), TAP_OK);
    assert_int_equal(tap_safetensors_commit(out, &err), TAP_OK);
    tap_safetensors_out_close(out);
    (void)snprintf(text, sizeof text,
                   "projector: noise(0.5,1) object at out; lm: zero part; lm[2]: "
                   "steer(\"%s\",0) part",
                   file);
    for (int i = 0; i < 4; i++)
        used[i] = i == 2 ? text : texts[i];
    capture c = rig_run(&r, 0, 1, used, 4, &plain);
    const tap_receipts *x = &c.receipts;
    const int64_t n_lm = r.groups[0].stacks[TAP_LM].n_tok;
    for (int s = 0; s < TAP_N_STACKS; s++)
        for (int b = -1; b < x->n_blocks[s]; b++)
            assert_int_equal(
                tap_receipts_states(x, 0, 0, (tap_stack)s, b)->states_edited, 0);
    const tap_block_receipt *v = tap_receipts_states(x, 0, 1, TAP_VISION, -1);
    assert_int_equal(v->states_edited, 3);
    assert_int_equal(v->values_changed, 3 * 32);
    assert_true(v->largest_change > 0.1);
    assert_int_equal(tap_receipts_states(x, 0, 1, TAP_LM, 1)->states_edited, 3 + n_lm);
    assert_int_equal(tap_receipts_states(x, 0, 1, TAP_LM, 2)->states_edited, 0);
    assert_int_equal(tap_receipts_states(x, 0, 2, TAP_VISION, -1)->states_edited, 7);
    assert_int_equal(tap_receipts_states(x, 0, 2, TAP_LM, -1)->states_edited, 3);
    const tap_block_receipt *nothing = tap_receipts_states(x, 0, 2, TAP_LM, 2);
    assert_int_equal(nothing->states_edited, 3);
    assert_int_equal(nothing->values_changed, 0);
    assert_true(nothing->largest_change <= 0.0);
    assert_int_equal(tap_receipts_states(x, 0, 3, TAP_VISION, 0)->rows_kept_self, 3);
    assert_int_equal(tap_receipts_states(x, 0, 3, TAP_VISION, 1)->rows_kept_self, 0);
    capture_clear(&c);
}

/* A run that is read but was not asked for is computed and not handed on; patching all
 * rows of the first block restores it. */
static void patching_everything_gives_the_source(void **state)
{
    (void)state;
    const char *const texts[] = {
        "vision: image <- image|cls; lm: mean object; lm[0]: patch(clean) all",
        "lm[0-1]: part <- outside; lm[2]: patch(clean) all at resid_post",
        "lm[1]: patch(clean) part&outside"};
    const char *const alone[] = {"", "lm: part <- outside"};
    capture c = rig_run(&r, 0, 1, texts, 3, &plain);
    capture d = rig_run(&r, 0, 1, alone, 2, &plain);
    for (int b = 0; b < 3; b++) {
        const kept *clean = capture_find(&d, TAP_SITE_RESID_POST, TAP_LM, b, 0, 0);
        assert_true(
            kept_equal(clean, capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, b, 0, 0)));
        assert_true(
            kept_equal(clean, capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, b, 0, 2)));
        assert_int_equal(
            kept_equal(clean, capture_find(&c, TAP_SITE_RESID_POST, TAP_LM, b, 0, 1)),
            b == 2);
    }
    for (size_t i = 0; i < c.n; i++)
        assert_true(c.states[i].condition < 3);
    assert_int_equal(c.receipts.n_conditions, 3);
    capture_clear(&c);
    capture_clear(&d);
}

/* Conditions that read one another, in a chain and across sites, asked for in any order,
 * with or without their sources, alone or together: the same bits. */
static void conditions_may_read_one_another(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    static const char *const texts[] = {
        "vision[0]: image <- image; lm[0]: part <- outside",
        "lm[1]: patch(a) part at resid_post; vision[1]: patch(a) object at z",
        "lm: image <- prefix; projector: patch(b) image; lm[2]: patch(a) all at attn_out; "
        "lm: patch(a) prefix",
        "lm[1]: image <- image freeze; lm[2]: patch(c) outside at v; vision: patch(c) part"};
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
    tap_plan *plans[4];
    for (int i = 0; i < 4; i++) {
        const tap_plan_runs runs = {
            .names = names, .plans = (const tap_plan *const *)plans, .n = i};
        plans[i] = rig_plan_among(&r, 0, texts[i], &runs);
    }
    capture all = rig_run_plans(&r, 0, 1, plans, 4, &plain);
    for (int o = 1; o < 3; o++) {
        tap_plan *turned[4];
        for (int i = 0; i < 4; i++)
            turned[i] = plans[orders[o][i]];
        const tap_run_options options = {.n_threads = 1,
                                         .all_rows = true,
                                         .group_rows = o == 2,
                                         .share_nothing = o == 2};
        capture c = rig_run_plans(&r, 0, 1, turned, 4, &options);
        for (int i = 0; i < 4; i++)
            assert_int_equal(equal_states(&c, 0, i, &all, 0, orders[o][i]), 0);
        capture_clear(&c);
    }
    for (int i = 0; i < 4; i++) {
        capture c = rig_run_plans(&r, 0, 1, &plans[i], 1, &plain);
        assert_int_equal(equal_states(&c, 0, 0, &all, 0, i), 0);
        assert_int_equal(c.receipts.n_conditions, 1);
        capture_clear(&c);
    }
    /* what was patched is what the source has there */
    const uint64_t *part = tap_groups_find(&r.groups[0], TAP_LM, "part");
    const kept *a = capture_find(&all, TAP_SITE_RESID_POST, TAP_LM, 1, 0, 0);
    const kept *b = capture_find(&all, TAP_SITE_RESID_POST, TAP_LM, 1, 0, 1);
    const kept *out_a = capture_find(&all, TAP_SITE_ATTN_OUT, TAP_LM, 2, 0, 0);
    const kept *out_c = capture_find(&all, TAP_SITE_ATTN_OUT, TAP_LM, 2, 0, 2);
    assert_true(kept_equal(out_a, out_c));
    for (int64_t t = 0; t < a->n_rows; t++)
        assert_int_equal(memcmp(a->values + t * a->d, b->values + t * b->d,
                                (size_t)a->d * sizeof(float)) == 0,
                         tap_bits_get(part, t) || t < r.scenes[0].image_rows[0]);
    capture_clear(&all);
    for (int i = 0; i < 4; i++)
        tap_plan_free(plans[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_empty_condition_is_the_clean_run),
        cmocka_unit_test(text_rows_do_not_reach_image_rows),
        cmocka_unit_test(blocks_after_the_feature_change_nothing),
        cmocka_unit_test(an_isolated_patch_sees_only_its_own_pixels),
        cmocka_unit_test(rows_sum_to_one_and_cut_edges_carry_nothing),
        cmocka_unit_test(set_laws_hold_in_every_bit),
        cmocka_unit_test(the_last_depth_is_what_the_model_says),
        cmocka_unit_test(decoder_conditions_share_depth_zero),
        cmocka_unit_test(a_cut_leaves_all_depths_before_it_alone),
        cmocka_unit_test(the_same_bits_for_any_threads_groups_and_sharing),
        cmocka_unit_test(the_same_bits_alone_and_in_a_batch),
        cmocka_unit_test(the_order_of_conditions_does_not_matter),
        cmocka_unit_test(rows_without_keys_follow_the_declared_rule),
        cmocka_unit_test(heads_sum_to_the_whole),
        cmocka_unit_test(the_receipt_says_what_was_edited),
        cmocka_unit_test(patching_everything_gives_the_source),
        cmocka_unit_test(conditions_may_read_one_another),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

/* Laws that hold for every condition, on thousands of seeded random ones: fast kernels and
 * plain ones agree, union of cuts is the cut of unions, order does not matter, complement
 * twice is identity, a block does not reach the depths before it, sharing changes no bit. */
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

enum { TEXT_BYTES = 1024 };

static rig r;
static const tap_run_options plain = {.n_threads = 1, .all_rows = true};
static uint64_t seed;

static int open_rig(void **state)
{
    (void)state;
    /* small, so that thousands of conditions take seconds */
    tiny_model options = tiny_model_default();
    options.vision_d_model = options.lm_d_model = 16;
    options.vision_d_mlp = options.lm_d_mlp = 24;
    options.lm_d_head = 4;
    options.side_px = 16;
    options.patch_px = 4;
    options.lm_n_blocks = 3;
    rig_open(&r, &options);
    rig_add_scene(&r, 1, -1);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

static int die(int n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((seed >> 33) % (uint64_t)n);
}

/* Text that grows in a buffer of TEXT_BYTES. */
static void put(char *text, const char *format, ...) TAP_FORMAT(2, 3);

static void put(char *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const size_t n = strlen(text);
    const int more = vsnprintf(text + n, TEXT_BYTES - n, format, args);
    va_end(args);
    assert_true(more >= 0 && n + (size_t)more < TEXT_BYTES);
}

static void put_group(char *text, bool lm, int depth)
{
    static const char *const both[] = {"image",    "part",    "outside",     "object",
                                       "row_last", "ring(1)", "random(3,5)", "all"};
    static const char *const marks[] = {"|", "&", "-"};
    const int what = depth > 0 ? die(5) : 4;
    if (what == 0) {
        put(text, "~(");
        put_group(text, lm, depth - 1);
        put(text, ")");
    } else if (what == 1) {
        put(text, "dilate(");
        put_group(text, lm, depth - 1);
        put(text, ",1)");
    } else if (what == 2) {
        put(text, "(");
        put_group(text, lm, depth - 1);
        put(text, "%s", marks[die(3)]);
        put_group(text, lm, depth - 1);
        put(text, ")");
    } else if (die(6) == 0) {
        put(text, "%s", lm ? (die(2) ? "prefix" : "question") : "cls");
    } else {
        put(text, "%s", both[die(8)]);
    }
}

/* blocks "" draws some; the decoder has 3 blocks, 2 of the encoder are read. */
static void put_atom(char *text, const char *blocks)
{
    static const char *const ranges[] = {"",      "[0]",  "[1]",
                                         "[0-1]", "[1-]", "[suffix(2)]"};
    static const char *const heads[] = {"", "", "", ".h[0]", ".h[1,3]"};
    static const char *const modes[] = {"",
                                        " scale 0.3",
                                        " zero",
                                        " uniform",
                                        " freeze",
                                        " beyond 1",
                                        " fraction 0.4 seed 3",
                                        " scale 2 fraction 0.5 seed 1",
                                        " drop self empty zero",
                                        " drop self empty self"};
    static const char *const edits[] = {
        "mean",         "zero",        "noise(0.3,4)",
        "permute(6)",   "copy(part)",  "mean(object)",
        "patch(clean)", "scramble(5)", "noise(0.3,4,instead)"};
    static const char *const sites[] = {
        "",      " at resid_post", " at attn_in", " at mlp_out",
        " at z", " at q",          " at v",       " at mlp_act"};
    const bool lm = die(2), is_edit = die(3) == 0;
    put(text, "%s%s%s: ", lm ? "lm" : "vision", *blocks ? blocks : ranges[die(6)],
        is_edit ? "" : heads[die(5)]);
    if (is_edit) {
        put(text, "%s ", edits[die(9)]);
        put_group(text, lm, 1);
        put(text, "%s", sites[die(8)]);
        return;
    }
    put_group(text, lm, 2);
    put(text, " <- ");
    put_group(text, lm, 2);
    put(text, "%s", modes[die(10)]);
}

/* A condition that compiles: two edits may meet, or a row lose its last key. */
static tap_plan *draw(char *text, const char *blocks)
{
    tap_error err;
    tap_plan *plan = NULL;
    while (!plan) {
        text[0] = '\0';
        for (int a = 0, n = 1 + die(3); a < n; a++) {
            put(text, "%s", a ? "; " : "");
            put_atom(text, blocks);
        }
        plan = rig_find_plan(&r, 0, text, &err);
    }
    return plan;
}

/* One batch of random conditions, the clean one last. */
enum { N_DRAWN = RIG_MAX_CONDITIONS - 1 };

typedef struct batch {
    char texts[N_DRAWN][TEXT_BYTES];
    tap_plan *plans[RIG_MAX_CONDITIONS];
} batch;

static void batch_draw(batch *b, const char *blocks)
{
    for (int i = 0; i < N_DRAWN; i++)
        b->plans[i] = draw(b->texts[i], blocks);
    b->plans[N_DRAWN] = rig_plan(&r, 0, "");
}

static void batch_clear(batch *b)
{
    for (int i = 0; i < RIG_MAX_CONDITIONS; i++)
        tap_plan_free(b->plans[i]);
}

/* What leaves every block, or the last block of each stack alone. */
static capture run(const batch *b, const tap_run_options *options, bool last)
{
    static tap_wanted wanted;
    const int n_blocks[] = {r.model->spec.vision.n_blocks_read,
                            r.model->spec.lm.stack.n_blocks};
    memset(&wanted, 0, sizeof wanted);
    for (int s = 0; s < TAP_N_STACKS; s++)
        for (int k = last ? n_blocks[s] - 1 : 0; k < n_blocks[s]; k++)
            tap_bits_set(wanted.blocks[s][TAP_SITE_RESID_POST], k);
    return rig_run_wanted(&r, 0, 1, b->plans, RIG_MAX_CONDITIONS, options, &wanted);
}

/* Largest difference of two states, in the first one's rms. */
static double difference(const kept *a, const kept *b)
{
    double worst = 0.0, rms = 0.0;
    const int64_t n = a->n_rows * a->d;
    assert_true(b && b->n_rows == a->n_rows && b->d == a->d);
    for (int64_t i = 0; i < n; i++) {
        rms += (double)a->values[i] * (double)a->values[i];
        worst = fmax(worst, fabs((double)a->values[i] - (double)b->values[i]));
    }
    return worst / fmax(1e-6, sqrt(rms / (double)n));
}

/* What a condition leaves in the last state of a stack. */
static const kept *end_of(const capture *c, tap_stack stack, int condition)
{
    return capture_find(c, TAP_SITE_RESID_POST, stack, stack == TAP_LM ? 2 : 1, 0,
                        condition);
}

static void fast_kernels_do_what_the_plain_ones_mean(void **state)
{
    (void)state;
    static batch drawn;
    const tap_run_options slow = {
        .kernels = &tap_kernels_ref, .n_threads = 1, .all_rows = true};
    int n = 0, changed[TAP_N_STACKS] = {0};
    double worst = 0.0;
    seed = 11;
    for (int round = 0; round < 200; round++) {
        batch_draw(&drawn, "");
        capture a = run(&drawn, &plain, true), b = run(&drawn, &slow, true);
        for (int c = 0; c < N_DRAWN; c++, n++)
            for (int s = 0; s < TAP_N_STACKS; s++) {
                const kept *x = end_of(&a, (tap_stack)s, c);
                const double d = difference(x, end_of(&b, (tap_stack)s, c));
                if (!(d < 1e-3))
                    print_error("%g: %s\n", d, drawn.texts[c]);
                assert_true(d < 1e-3);
                worst = fmax(worst, d);
                changed[s] += !kept_equal(x, end_of(&a, (tap_stack)s, N_DRAWN));
            }
        capture_clear(&a);
        capture_clear(&b);
        batch_clear(&drawn);
    }
    print_message("%d conditions, %d of them change the encoder's last state, %d the "
                  "decoder's; largest difference %.2g of the rms\n",
                  n, changed[TAP_VISION], changed[TAP_LM], worst);
    assert_true(changed[TAP_VISION] > n / 3 && changed[TAP_LM] > n * 3 / 4);
}

/* Print and parse give the same plan, and the print is its own print. */
static void a_plan_is_its_print(void **state)
{
    (void)state;
    static char text[TEXT_BYTES];
    tap_error err;
    seed = 16;
    for (int round = 0; round < 2000; round++) {
        char *printed = NULL, *again = NULL;
        tap_condition *a = NULL, *b = NULL;
        tap_plan *plan = draw(text, "");
        assert_int_equal(tap_condition_parse(&a, text, &err), TAP_OK);
        assert_int_equal(tap_condition_print(&printed, a, &err), TAP_OK);
        assert_int_equal(tap_condition_parse(&b, printed, &err), TAP_OK);
        assert_int_equal(tap_condition_print(&again, b, &err), TAP_OK);
        tap_plan *other = rig_plan(&r, 0, printed);
        if (strcmp(printed, again) != 0 || !tap_plan_equal(plan, other))
            print_error("%s\n%s\n%s\n", text, printed, again);
        assert_string_equal(printed, again);
        assert_true(tap_plan_equal(plan, other));
        tap_plan_free(plan);
        tap_plan_free(other);
        tap_condition_free(a);
        tap_condition_free(b);
        tap_free(printed);
        tap_free(again);
    }
}

static void sharing_changes_no_bit(void **state)
{
    (void)state;
    static batch drawn;
    const tap_run_options others[] = {
        {.n_threads = 1, .all_rows = true, .share_nothing = true},
        {.n_threads = 1, .all_rows = true, .group_rows = 1}};
    seed = 12;
    for (int round = 0; round < 70; round++) {
        batch_draw(&drawn, "");
        capture a = run(&drawn, &plain, false),
                b = run(&drawn, &others[round % 2], false);
        assert_int_equal(a.n, b.n);
        for (size_t i = 0; i < a.n; i++) {
            const kept *k = &a.states[i];
            const bool same = kept_equal(
                k, capture_find(&b, k->site, k->stack, k->block, 0, k->condition));
            if (!same)
                print_error("%s, %s %d: %s\n", tap_site_about(k->site)->name,
                            tap_stack_name(k->stack), k->block,
                            k->condition < N_DRAWN ? drawn.texts[k->condition] : "");
            assert_true(same);
        }
        capture_clear(&a);
        capture_clear(&b);
        batch_clear(&drawn);
    }
}

static void a_block_does_not_reach_the_depths_before_it(void **state)
{
    (void)state;
    static batch drawn;
    seed = 13;
    int n = 0, changed = 0;
    for (int round = 0; round < 100; round++) {
        const int block = die(2);
        batch_draw(&drawn, block ? "[1]" : "[0]");
        capture c = run(&drawn, &plain, false);
        for (int i = 0; i < N_DRAWN; i++, n++) {
            const bool vision = strstr(drawn.texts[i], "vision") != NULL;
            const tap_stack stack = vision ? TAP_VISION : TAP_LM;
            /* what leaves the blocks before it; what enters it may be edited */
            for (int b = 0; b < block; b++)
                assert_true(kept_equal(
                    capture_find(&c, TAP_SITE_RESID_POST, stack, b, 0, N_DRAWN),
                    capture_find(&c, TAP_SITE_RESID_POST, stack, b, 0, i)));
            changed += !kept_equal(
                capture_find(&c, TAP_SITE_RESID_POST, stack, block, 0, N_DRAWN),
                capture_find(&c, TAP_SITE_RESID_POST, stack, block, 0, i));
        }
        capture_clear(&c);
        batch_clear(&drawn);
    }
    assert_true(changed > n / 2);
}

/* Whether two texts do the same in every block. */
static bool same_effect(const char *a, const char *b)
{
    tap_plan *x = rig_plan(&r, 0, a), *y = rig_plan(&r, 0, b);
    const bool same = tap_plan_equal(x, y);
    tap_plan_free(x);
    tap_plan_free(y);
    return same;
}

static void cuts_are_sets(void **state)
{
    (void)state;
    static char q[TEXT_BYTES], k[TEXT_BYTES], l[TEXT_BYTES];
    static char left[8 * TEXT_BYTES], right[8 * TEXT_BYTES];
    seed = 14;
    int different = 0;
    for (int round = 0; round < 2000; round++) {
        const bool lm = die(2);
        const char *stack = lm ? "lm" : "vision";
        q[0] = k[0] = l[0] = '\0';
        put_group(q, lm, 2);
        put_group(k, lm, 2);
        put_group(l, lm, 2);
        /* union of cuts = cut of unions, of keys and of queries */
        (void)snprintf(left, sizeof left, "%s: %s <- %s; %s: %s <- %s", stack, q, k,
                       stack, q, l);
        (void)snprintf(right, sizeof right, "%s: %s <- (%s)|(%s)", stack, q, k, l);
        assert_true(same_effect(left, right));
        (void)snprintf(left, sizeof left, "%s: %s <- %s; %s: %s <- %s", stack, k, q,
                       stack, l, q);
        (void)snprintf(right, sizeof right, "%s: (%s)|(%s) <- %s", stack, k, l, q);
        assert_true(same_effect(left, right));
        /* complement twice, de Morgan, within the image */
        (void)snprintf(left, sizeof left, "%s: %s <- ~~(%s)", stack, q, k);
        (void)snprintf(right, sizeof right, "%s: %s <- (%s)&image", stack, q, k);
        assert_true(same_effect(left, right));
        (void)snprintf(left, sizeof left, "%s: %s <- ~(%s|%s)", stack, q, k, l);
        (void)snprintf(right, sizeof right, "%s: %s <- ~(%s)&~(%s)", stack, q, k, l);
        assert_true(same_effect(left, right));
        (void)snprintf(left, sizeof left, "%s: %s <- %s", stack, q, k);
        (void)snprintf(right, sizeof right, "%s: %s <- %s", stack, q, l);
        different += !same_effect(left, right);
    }
    assert_true(different > 1000); /* equality means something */
}

static void the_order_of_atoms_does_not_matter(void **state)
{
    (void)state;
    static char atoms[4][TEXT_BYTES];
    static char left[8 * TEXT_BYTES], right[8 * TEXT_BYTES];
    tap_error err;
    seed = 15;
    for (int round = 0; round < 1000;) {
        int order[] = {0, 1, 2, 3};
        left[0] = right[0] = '\0';
        for (int a = 0; a < 4; a++) {
            atoms[a][0] = '\0';
            put_atom(atoms[a], "");
            const int other = die(a + 1), kept_one = order[a];
            order[a] = order[other];
            order[other] = kept_one;
        }
        for (int a = 0; a < 4; a++) {
            put(left, "%s%s", a ? "; " : "", atoms[a]);
            put(right, "%s%s", a ? "; " : "", atoms[order[a]]);
        }
        if (rig_try_plan(&r, 0, left, &err) != TAP_OK) {
            assert_int_equal(rig_try_plan(&r, 0, right, &err), TAP_EINVAL);
            continue;
        }
        if (!same_effect(left, right))
            print_error("%s\n%s\n", left, right);
        assert_true(same_effect(left, right));
        round++;
    }
}

/* A larger share of edges holds the smaller one; 1 is all, 0 is none. */
static void shares_are_nested(void **state)
{
    (void)state;
    assert_true(
        same_effect("lm: image <- image fraction 1 seed 4", "lm: image <- image"));
    assert_true(same_effect("lm: image <- image fraction 0 seed 4", ""));
    assert_true(
        same_effect("vision: all <- all fraction 0.2 seed 4; vision: all <- all "
                    "fraction 0.6 seed 4",
                    "vision: all <- all fraction 0.6 seed 4"));
    assert_false(
        same_effect("vision: all <- all fraction 0.2 seed 5; vision: all <- all "
                    "fraction 0.6 seed 4",
                    "vision: all <- all fraction 0.6 seed 4"));
    assert_true(same_effect("vision: image <- image beyond 4", ""));
    assert_true(
        same_effect("vision: image <- image beyond 0", "vision: image <- image"));
    /* METHOD of a scale: 1 is nothing */
    assert_true(same_effect("lm: image <- image scale 1", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_kernels_do_what_the_plain_ones_mean),
        cmocka_unit_test(a_plan_is_its_print),
        cmocka_unit_test(sharing_changes_no_bit),
        cmocka_unit_test(a_block_does_not_reach_the_depths_before_it),
        cmocka_unit_test(cuts_are_sets),
        cmocka_unit_test(the_order_of_atoms_does_not_matter),
        cmocka_unit_test(shares_are_nested),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

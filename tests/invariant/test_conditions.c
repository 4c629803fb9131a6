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
    tiny_model options = tiny_model_default();
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
    static const char *const edits[] = {"mean",        "zero",       "noise(0.3,4)",
                                        "permute(6)",  "copy(part)", "mean(object)",
                                        "patch(clean)"};
    static const char *const sites[] = {
        "",      " at resid_post", " at attn_in", " at mlp_out",
        " at z", " at q",          " at v",       " at mlp_act"};
    const bool lm = die(2), is_edit = die(3) == 0;
    put(text, "%s%s%s: ", lm ? "lm" : "vision", *blocks ? blocks : ranges[die(6)],
        is_edit ? "" : heads[die(5)]);
    if (is_edit) {
        put(text, "%s ", edits[die(7)]);
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
static void draw(char *text, const char *blocks)
{
    tap_error err;
    do {
        text[0] = '\0';
        for (int a = 0, n = 1 + die(3); a < n; a++) {
            put(text, "%s", a ? "; " : "");
            put_atom(text, blocks);
        }
    } while (rig_try_plan(&r, 0, text, &err) != TAP_OK);
}

static void drawn(char (*texts)[TEXT_BYTES], const char **pointers, int n,
                  const char *blocks)
{
    for (int i = 0; i < n; i++) {
        draw(texts[i], blocks);
        pointers[i] = texts[i];
    }
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

static void fast_kernels_do_what_the_plain_ones_mean(void **state)
{
    (void)state;
    static char texts[16][TEXT_BYTES];
    const char *pointers[16];
    const tap_run_options slow = {
        .kernels = &tap_kernels_ref, .n_threads = 1, .all_rows = true};
    int changed = 0;
    double worst = 0.0;
    seed = 11;
    for (int round = 0; round < 40; round++) {
        drawn(texts, pointers, 15, "");
        pointers[15] = "";
        capture a = rig_run(&r, 0, 1, pointers, 16, &plain);
        capture b = rig_run(&r, 0, 1, pointers, 16, &slow);
        for (int c = 0; c < 16; c++) {
            const kept *x = capture_find(&a, TAP_SITE_RESID_POST, TAP_LM, 2, 0, c);
            const double d =
                difference(x, capture_find(&b, TAP_SITE_RESID_POST, TAP_LM, 2, 0, c));
            if (!(d < 1e-3))
                print_error("%g: %s\n", d, pointers[c]);
            assert_true(d < 1e-3);
            worst = fmax(worst, d);
            changed +=
                !kept_equal(x, capture_find(&a, TAP_SITE_RESID_POST, TAP_LM, 2, 0, 15));
        }
        capture_clear(&a);
        capture_clear(&b);
    }
    print_message(
        "600 conditions, %d of them change the last state; largest difference "
        "%.2g of the rms\n",
        changed, worst);
    assert_true(changed > 450);
}

static void sharing_changes_no_bit(void **state)
{
    (void)state;
    static char texts[16][TEXT_BYTES];
    const char *pointers[16];
    const tap_run_options others[] = {
        {.n_threads = 1, .all_rows = true, .share_nothing = true},
        {.n_threads = 1, .all_rows = true, .group_rows = 1}};
    seed = 12;
    for (int round = 0; round < 12; round++) {
        drawn(texts, pointers, 16, "");
        capture a = rig_run(&r, 0, 1, pointers, 16, &plain);
        capture b = rig_run(&r, 0, 1, pointers, 16, &others[round % 2]);
        assert_int_equal(a.n, b.n);
        for (size_t i = 0; i < a.n; i++) {
            const kept *k = &a.states[i];
            const bool same = kept_equal(
                k, capture_find(&b, k->site, k->stack, k->block, 0, k->condition));
            if (!same)
                print_error("%s, %s %d: %s\n", tap_site_about(k->site)->name,
                            tap_stack_name(k->stack), k->block, pointers[k->condition]);
            assert_true(same);
        }
        capture_clear(&a);
        capture_clear(&b);
    }
}

static void a_block_does_not_reach_the_depths_before_it(void **state)
{
    (void)state;
    static char texts[15][TEXT_BYTES];
    const char *pointers[16];
    seed = 13;
    int changed = 0;
    for (int round = 0; round < 24; round++) {
        const int block = die(2);
        drawn(texts, pointers, 15, block ? "[1]" : "[0]");
        pointers[15] = "";
        capture c = rig_run(&r, 0, 1, pointers, 16, &plain);
        for (int i = 0; i < 15; i++) {
            const bool vision = strstr(texts[i], "vision") != NULL;
            const tap_stack stack = vision ? TAP_VISION : TAP_LM;
            /* what leaves the blocks before it; what enters it may be edited */
            for (int b = 0; b < block; b++)
                assert_true(
                    kept_equal(capture_find(&c, TAP_SITE_RESID_POST, stack, b, 0, 15),
                               capture_find(&c, TAP_SITE_RESID_POST, stack, b, 0, i)));
            changed +=
                !kept_equal(capture_find(&c, TAP_SITE_RESID_POST, stack, block, 0, 15),
                            capture_find(&c, TAP_SITE_RESID_POST, stack, block, 0, i));
        }
        capture_clear(&c);
    }
    assert_true(changed > 150);
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
    for (int round = 0; round < 500; round++) {
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
    assert_true(different > 250); /* equality means something */
}

static void the_order_of_atoms_does_not_matter(void **state)
{
    (void)state;
    static char atoms[4][TEXT_BYTES];
    static char left[8 * TEXT_BYTES], right[8 * TEXT_BYTES];
    tap_error err;
    seed = 15;
    for (int round = 0; round < 250;) {
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
        cmocka_unit_test(sharing_changes_no_bit),
        cmocka_unit_test(a_block_does_not_reach_the_depths_before_it),
        cmocka_unit_test(cuts_are_sets),
        cmocka_unit_test(the_order_of_atoms_does_not_matter),
        cmocka_unit_test(shares_are_nested),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

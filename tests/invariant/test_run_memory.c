/* The memory that is stated before a run is the memory it takes: resident memory grows by
 * what tap_run_cost_of says, not more and not much less; and so where runs share it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../support/rig.h"
#include "base/memory.h"

enum { N_ITEMS = 24, N_CONDITIONS = 4, SIDE = 224 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SANITIZED 1
#else
#    define SANITIZED 0
#endif

static size_t peak_bytes(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
#ifdef __APPLE__
    return (size_t)usage.ru_maxrss;
#else
    return (size_t)usage.ru_maxrss * 1024;
#endif
}

/* Bytes that are resident now; 0 where the system does not say. */
static size_t resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static tap_status ignore(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    *(double *)owner += (double)state->values[0];
    return TAP_OK;
}

/* Runs n items, in memory kept in `arena` unless it is NULL; returns the bytes stated
 * before. */
static size_t run(const rig *with, const tap_scene *photo, int64_t n, tap_arena *arena)
{
    static const tap_plan *plans[N_CONDITIONS];
    static tap_wanted wanted;
    tap_item items[N_ITEMS + 1];
    tap_run_cost cost;
    tap_receipts receipts = {0};
    tap_error err;
    double sum = 0.0;
    int64_t n_states[N_ITEMS + 1][3];
    for (int64_t i = 0; i < n; i++)
        items[i] = (tap_item){
            .pixels = &photo->pixels, .sequence = &photo->sequence, .plans = plans};
    tap_bits_set(wanted.blocks[TAP_LM][TAP_SITE_RESID_POST], 1);
    const tap_sink sink = {.owner = &sum, .wanted = &wanted, .put = ignore};
    const tap_run_options options = {
        .n_threads = 2, .group_rows = 512, .arena = arena, .share_nothing = true};
    assert_int_equal(tap_run_cost_of(&cost, &n_states[0][0], with->model, items, n,
                                     N_CONDITIONS, &options, &sink, &err),
                     TAP_OK);
    assert_int_equal(
        tap_run(&receipts, with->model, items, n, N_CONDITIONS, &options, &sink, &err),
        TAP_OK);
    assert_true(receipts.flop_done == cost.flop &&
                receipts.flop_unshared == cost.flop_unshared);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < 3; d++)
            assert_int_equal(n_states[i][d], N_CONDITIONS);
    tap_receipts_clear(&receipts);
    return cost.bytes;
}

static rig r;
static tap_scene scene;

static int open_scene(void **state)
{
    (void)state;
    tap_error err;
    tiny_model options = tiny_model_default();
    options.side_px = SIDE;
    options.patch_px = 14;
    options.vision_d_model = options.lm_d_model = 256;
    options.lm_d_head = 64;
    options.lm_n_heads = 4;
    rig_open(&r, &options);
    tap_image image = {.width = SIDE, .height = SIDE};
    assert_int_equal(tap_alloc(&image.rgb, (size_t)SIDE * SIDE, 3, "a test", &err),
                     TAP_OK);
    char path[160];
    (void)snprintf(path, sizeof path, "%s/scene.png", r.directory);
    assert_int_equal(tap_image_write(&image, path, &err), TAP_OK);
    tap_image_clear(&image);
    assert_int_equal(tap_scene_open(&scene, r.model, path, NULL, &err), TAP_OK);

    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    tap_scene_clear(&scene);
    rig_close(&r);
    return 0;
}

static void what_is_stated_is_what_is_taken(void **state)
{
    (void)state;
    const size_t small = run(&r, &scene, 1, NULL), before = peak_bytes();
    const size_t large = run(&r, &scene, N_ITEMS, NULL), grown = peak_bytes() - before;
    const size_t slack = (size_t)6 << 20; /* huge pages, stacks, tables of lanes */
    print_message("stated %.1f and %.1f MiB, grown by %.1f MiB\n",
                  (double)small / 0x1p20, (double)large / 0x1p20,
                  (double)grown / 0x1p20);
    assert_true(large > 3 * small);
    if (!SANITIZED) {
        assert_true(grown <= large - small + slack);
        assert_true((double)grown >= 0.7 * (double)(large - small));
    }
    const size_t again = peak_bytes();
    for (int i = 0; i < 2; i++)
        (void)run(&r, &scene, N_ITEMS, NULL);
    if (!SANITIZED) /* a sanitizer keeps what was freed */
        assert_true(peak_bytes() - again <= slack); /* flat */
}

/* Pages stay from run to run, those that the next run does not need are given back. */
static void memory_that_is_kept_is_no_more_than_the_run_at_hand_needs(void **state)
{
    (void)state;
    tap_arena arena = {0};
    const size_t large = run(&r, &scene, N_ITEMS, &arena), at_most = resident_bytes();
    const unsigned char *base = arena.base;
    const size_t small = run(&r, &scene, 1, &arena), after = resident_bytes();
    const size_t slack = (size_t)4 << 20;
    assert_ptr_equal(arena.base, base);
    assert_int_equal(arena.capacity_bytes, small);
    assert_int_equal(arena.reserved_bytes, large);
    if (!SANITIZED && at_most > 0)
        assert_true(at_most - after + slack >= large - small);
    assert_int_equal(run(&r, &scene, N_ITEMS, &arena), large);
    assert_ptr_equal(arena.base, base);
    const size_t larger = run(&r, &scene, N_ITEMS + 1, &arena);
    assert_true(larger > large);
    assert_int_equal(arena.capacity_bytes, larger);
    tap_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stated_is_what_is_taken),
        cmocka_unit_test(memory_that_is_kept_is_no_more_than_the_run_at_hand_needs)};
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}

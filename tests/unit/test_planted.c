/* An experiment whose answer is known exactly goes through the database to the printed
 * table. Every image holds the same ranks, so every resample gives the same numbers.
 *
 * log2 of the best rank is l_c - 1 for one item of a pair and l_c + 1 for the other, with
 * N = 1024:          l      S      MRR        hit@1  hit@10
 *   clean            1      0.9    5/8        1/2    1
 *   encoder off      2      0.8    5/16       0      1
 *   decoder off      3      0.7    5/32       0      1/2
 *   both off         6      0.4    5/256      0      0
 * S: R = 4/5, R_V = 3/5, d0 = 3/10, d1 = 1/10, CI = 2/3, I = 1/5. At depth 0 the decoder
 * has done nothing: its cells repeat, so R = CI = I = 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "../support/planted.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "cli/cli.h"
#include "lab/stats_words.h"

#include <unistd.h>

typedef struct fixture {
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    int logs[TAP_N_CELLS]; /* clean, encoder off, decoder off, both off */
} fixture;

static double rank_of(void *owner, int image, int item, int condition, int depth)
{
    const fixture *f = owner;
    (void)image;
    /* PLANTED_CONDITIONS has the cells in their order; bit 1 is the decoder cut */
    const int l = f->logs[depth == 0 ? condition & 1 : condition];
    return exp2(item % 2 ? l + 1 : l - 1);
}

static int category_of(void *owner, int image, int item)
{
    (void)owner;
    (void)image;
    return item / 2 % 3;
}

static int count_of(void *owner, int image)
{
    (void)owner;
    return 2 + image % 3 * 2; /* whole pairs */
}

static int set_up(void **state)
{
    static fixture f;
    *state = &f;
    scratch_open(f.directory);
    scratch_path(f.path, f.directory, "r.db");
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    scratch_close(f->directory);
    return 0;
}

static void write_logs(fixture *f, int clean, int encoder_off, int decoder_off,
                       int both_off)
{
    (void)remove(f->path);
    const int logs[TAP_N_CELLS] = {clean, encoder_off, decoder_off, both_off};
    memcpy(f->logs, logs, sizeof logs);
    const planted p = {.n_images = 40,
                       .n_depths = 2,
                       .beside = true,
                       .rank = rank_of,
                       .category = category_of,
                       .count = count_of,
                       .owner = f};
    tap_error err = {0};
    if (planted_write(f->path, &p, &err) != TAP_OK)
        fail_msg("%s", err.message);
}

/* What `tapetum stats` prints. */
static char *print_stats(fixture *f)
{
    char path[SCRATCH_PATH_BYTES], *text = NULL;
    size_t n = 0;
    scratch_path(path, f->directory, "out");
    (void)fflush(stdout);
    const int kept = dup(1);
    assert_non_null(freopen(path, "w", stdout));
    const char *const argv[] = {"tapetum", "stats", f->path, "--threads", "2"};
    const int code = tap_cli_main(5, argv);
    (void)fflush(stdout);
    (void)dup2(kept, 1);
    (void)close(kept);
    assert_int_equal(code, 0);
    assert_int_equal(tap_file_read(&text, &n, path, 1 << 20, NULL), TAP_OK);
    return text;
}

static void assert_line(const char *text, const char *section, const char *line)
{
    const char *at = strstr(text, section);
    if (!at)
        fail_msg("no section '%s' in\n%s", section, text);
    const char *end = strstr(at + 1, "\n\n"), *found = strstr(at, line);
    if (!found || (end && found > end))
        fail_msg("no line %s after %s in\n%.1500s", line, section, at);
}

static void test_printed_table(void **state)
{
    fixture *f = *state;
    write_logs(f, 1, 2, 3, 6);
    char *text = print_stats(f);
    static const char *const sections[] = {"log_rank, macro average",
                                           "log_rank, micro average"};
    for (int a = 0; a < 2; a++) {
        assert_line(
            text, sections[a],
            "\n    0   0.900 [ 0.90,  0.90]   0.800 [ 0.80,  0.80]   0.900 [ 0.90,  "
            "0.90]   0.800 [ 0.80,  0.80]   0.000 [ 0.00,  0.00]   0.000 [ 0.00,  "
            "0.00]   0.000 [ 0.00,  0.00]\n");
        assert_line(
            text, sections[a],
            "\n    1   0.900 [ 0.90,  0.90]   0.800 [ 0.80,  0.80]   0.700 [ 0.70,  "
            "0.70]   0.400 [ 0.40,  0.40]   0.800 [ 0.80,  0.80]   0.667 [ 0.67,  "
            "0.67]   0.200 [ 0.20,  0.20]\n");
    }
    /* 0.625 itself would be rounded up or down by its last bit */
    assert_line(
        text, "mrr, macro average",
        "   0.312 [ 0.31,  0.31]   0.156 [ 0.16,  0.16]   0.020 [ 0.02,  0.02]   "
        "0.484 [ 0.48,  0.48]  -1.286 [-1.29, -1.29]  -0.176 [-0.18, -0.18]\n");
    assert_line(
        text, "hit@10, micro average",
        "\n    1   1.000 [ 1.00,  1.00]   1.000 [ 1.00,  1.00]   0.500 [ 0.50,  "
        "0.50]   0.000 [ 0.00,  0.00]   1.000 [ 1.00,  1.00]   1.000 [ 1.00,  "
        "1.00]   0.500 [ 0.50,  0.50]\n");
    /* the control's rank is twice the part's: a tenth of S, and always worse */
    assert_line(text, "Controls at depth 1",
                "\nshifted_mask            decoder_off          158   0.600 [ 0.60,  "
                "0.60]   0.100 [ 0.10,  0.10]   1.000 [ 1.00,  1.00]\n");
    /* 40 images whose mean rises by 1, 2, 5, 3, 4 bits: no flip of signs reaches it */
    assert_line(text, "Tests at depth 1", "\nclean -> both_off           +5.000");
    assert_line(text, "Tests at depth 1", "\nencoder_off -> both_off     +4.000");
    assert_non_null(strstr(text, "Decision: the decoder largely compensates"));
    assert_non_null(strstr(text, "Redundancy: either half alone keeps most"));
    assert_non_null(strstr(text, "  R_V (deficit that the encoder alone restores)     "
                                 "0.600 [0.600, 0.600]\n"));
    tap_free(text);
}

static tap_conclusion conclude(fixture *f, int clean, int encoder_off, int decoder_off,
                               int both_off)
{
    tap_store *store = NULL;
    tap_stats *stats = NULL;
    tap_error err = {0};
    const tap_stats_options options = {.n_threads = 1, .n_resamples = -1, .seed = -1};
    write_logs(f, clean, encoder_off, decoder_off, both_off);
    assert_int_equal(tap_store_open_read(&store, f->path, &err), TAP_OK);
    if (tap_stats_run(&stats, store, &options, &err) != TAP_OK)
        fail_msg("%s", err.message);
    const tap_conclusion c = tap_conclude(stats);
    tap_stats_free(stats);
    tap_store_close(store);
    return c;
}

/* Each pattern of METHOD 5.9 from planted cells. */
static void test_readings(void **state)
{
    fixture *f = *state;

    static const struct {
        int logs[TAP_N_CELLS];
        tap_reading reading;
        tap_verdict compensates;
        bool smears;
    } CASES[] = {
        {{1, 2, 2, 6}, TAP_READ_REDUNDANCY, TAP_VERDICT_YES, false},
        {{1, 5, 2, 6}, TAP_READ_ENCODER, TAP_VERDICT_NO, false},
        {{1, 2, 5, 6}, TAP_READ_DECODER, TAP_VERDICT_NO, false}, /* d0 = d1: CI = 0 */
        {{1, 5, 5, 6}, TAP_READ_BOTH, TAP_VERDICT_NO, false},
        {{8, 8, 8, 8}, TAP_READ_BLIND, TAP_VERDICT_NA, false},
        {{3, 3, 3, 3}, TAP_READ_UNHARMED, TAP_VERDICT_NA, false},
        {{2, 1, 4, 6}, TAP_READ_NONE, TAP_VERDICT_YES, true}, /* R_V is exactly 1/2 */
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const int *l = CASES[i].logs;
        const tap_conclusion c = conclude(f, l[0], l[1], l[2], l[3]);
        if (c.reading != CASES[i].reading || c.compensates != CASES[i].compensates ||
            c.smears != CASES[i].smears)
            fail_msg("case %zu: %s, %s, %d", i, tap_reading_name(c.reading),
                     tap_verdict_name(c.compensates), c.smears);
    }
}

/* Subjects compared by their intervals of R: apart, alike, both, and too few to compare. */
static void test_comparison(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    const tap_estimate high = {.value = 0.8, .low = 0.7, .high = 0.9},
                       near = {.value = 0.6, .low = 0.4, .high = 0.75},
                       low = {.value = 0.1, .low = 0.0, .high = 0.2},
                       none = {.value = (double)NAN, .na = "few"};

    const struct {
        tap_estimate r[3];
        const char *said;
    } cases[] = {
        {{low, high, none},
         "The decoder of 'b' makes up for more of the encoder than that of 'a': the "
         "intervals of R do not overlap.\n"},
        {{high, near, low},
         "The decoder of 'a' makes up for more of the encoder than that of 'c': the "
         "intervals of R do not overlap.\n"
         "The intervals of R of 'a' and of 'b' overlap: these decoders are not told "
         "apart.\n"},
        {{none, high, none}, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_buffer said = {0};
        tap_error err;
        assert_int_equal(tap_stats_compare_words(&said, names, cases[i].r, 3, &err),
                         TAP_OK);
        assert_string_equal(said.text ? said.text : "", cases[i].said);
        tap_buffer_clear(&said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printed_table),
        cmocka_unit_test(test_readings),
        cmocka_unit_test(test_comparison),
    };
    return cmocka_run_group_tests_name("planted", tests, set_up, tear_down);
}

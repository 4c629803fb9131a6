/* The line that says how far a run is: work done, planned, spared, and its rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/progress.h"

/* What f writes to stderr. */
static void capture(char *text, size_t n, tap_progress *progress, int64_t done)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(stderr);
    const int before = dup(STDERR_FILENO);
    assert_true(before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    tap_progress_put(progress, done);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    (void)close(before);
    rewind(file);
    text[fread(text, 1, n - 1, file)] = '\0';
    (void)fclose(file);
}

static void work_is_told_in_words(void **state)
{
    (void)state;
    char text[32];

    const struct {
        double flop;
        const char *text;
    } cases[] = {{0.0, "0 MFLOP"},          {8.31e8, "831 MFLOP"},
                 {9.996e8, "1 GFLOP"},      {1.234e10, "12.3 GFLOP"},
                 {4.0712e12, "4.07 TFLOP"}, {2.5e16, "25 PFLOP"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_progress_flop(text, cases[i].flop);
        assert_string_equal(text, cases[i].text);
    }
}

/* A run that went on after 10 of 50 images and has done 4 since: a tenth of its own 40. */
static void the_line_says_done_planned_and_saved(void **state)
{
    (void)state;
    char text[512];
    tap_progress progress = {.unit = "images",
                             .total = 50,
                             .first = 10,
                             .flop = 2e12,
                             .flop_saved = 5e11,
                             .on = true,
                             .terminal = true};
    capture(text, sizeof text, &progress, 14);
    assert_non_null(strstr(text, "14 of 50 images"));
    assert_non_null(
        strstr(text, "2 TFLOP of about 20 TFLOP, 500 GFLOP saved by sharing"));
    assert_non_null(strstr(text, "GFLOP/s, "));
    assert_non_null(strstr(text, " left"));
    progress.flop = 0;
    progress.last_s = 0;
    capture(text, sizeof text, &progress, 14);
    assert_null(strstr(text, "FLOP"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_told_in_words),
        cmocka_unit_test(the_line_says_done_planned_and_saved)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

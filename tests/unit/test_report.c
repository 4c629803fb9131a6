/* Escaping, the reading of the numbers, figures and their files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/planted.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "lab/stats_words.h"
#include "report/escape.h"
#include "report/figure_shape.h"
#include "report/figures.h"
#include "report/report.h"
#include "report/words.h"

static char directory[SCRATCH_BYTES];

static int set_up(void **state)
{
    (void)state;
    scratch_open(directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(directory);
    return 0;
}

/* ---- escaping ---- */

static void assert_shown(const char *text, const char *expected)
{
    tap_buffer out = {0};
    assert_int_equal(tap_page_text(&out, text, NULL), TAP_OK);
    assert_string_equal(out.text ? out.text : "", expected);
    tap_buffer_clear(&out);
}

static void test_escape(void **state)
{
    (void)state;
    assert_shown("", "");
    assert_shown("tail", "tail");
    assert_shown("<script>alert('1')</script>",
                 "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;");
    assert_shown("a \"b\" & c", "a &quot;b&quot; &amp; c");
    assert_shown("tab\there\x01\x7f", "tab\u2409here\u2401\u2421");
    assert_shown("two\nlines", "two\nlines");
    assert_shown("\u00e9\u4e2d\U0001F408", "\u00e9\u4e2d\U0001F408");
    assert_shown("bad \xff\xc3 end\xe2\x82", "bad \uFFFD\uFFFD end\uFFFD\uFFFD");
    assert_shown("right\u202Eto left", "right\uFFFDto left"); /* reorders a line */
}

static void test_json(void **state)
{
    (void)state;
    tap_buffer out = {0};
    json_t *value = tap_page_string("</script><!-- & \x02 \"q\" \u2028");
    assert_int_equal(tap_page_json(&out, value, NULL), TAP_OK);
    assert_string_equal(out.text, "\"\\u003c/script\\u003e\\u003c!-- \\u0026 \\u2402 "
                                  "\\\"q\\\" \\u2028\"");
    json_decref(value);
    tap_buffer_clear(&out);
    assert_int_equal(tap_page_base64(&out, "abcd", 4, NULL), TAP_OK);
    assert_string_equal(out.text, "YWJjZA==");
    tap_buffer_clear(&out);
}

/* ---- readings ---- */

/* log2 rank of each cell at the last depth, out of 10. */
typedef struct cells {
    double log2_rank[4];
} cells;

static double rank_of(void *owner, int image, int item, int condition, int depth)
{
    const cells *c = owner;
    const double wobble = 0.4 * ((image * 7 + item * 3 + condition * 5) % 10) / 10.0;
    const double at = c->log2_rank[condition] + (depth == 0 ? 0.3 : 0.0);
    return exp2(fmin(10.0, at + wobble));
}

static tap_study *open_study(tap_store **store, const cells *c)
{
    char path[SCRATCH_PATH_BYTES];
    tap_study *study = NULL;
    cells mine = *c;
    const planted p = {
        .n_images = 24, .n_items = 4, .n_depths = 3, .rank = rank_of, .owner = &mine};
    scratch_path(path, directory, "r.db");
    (void)remove(path);
    assert_int_equal(planted_write(path, &p, NULL), TAP_OK);
    assert_int_equal(tap_store_open_read(store, path, NULL), TAP_OK);
    assert_int_equal(tap_study_open(&study, *store, 1, NULL), TAP_OK);
    return study;
}

static void test_readings(void **state)
{
    /* ranks of clean, encoder cut, decoder cut, both cut */
    static const struct {
        cells c;
        const char *head;
    } CASES[] = {
        {{{1, 2, 7, 9}}, "The decoder does the work"},
        {{{1, 2, 2, 9}}, "Redundancy"},
        {{{1, 8, 2, 9}}, "The encoder does the work"},
        {{{1, 8, 8, 9}}, "Both halves are needed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        tap_store *store = NULL;
        tap_buffer words = {0};
        const char *head = NULL, *rest = NULL;
        size_t n_head = 0;
        tap_study *study = open_study(&store, &CASES[i].c);
        tap_study_headline(&head, &n_head, &rest, study);
        assert_int_equal(n_head, strlen(CASES[i].head));
        assert_memory_equal(head, CASES[i].head, n_head);
        assert_int_equal(tap_study_words(&words, study, NULL), TAP_OK);
        assert_memory_equal(words.text, "Decision: ", 10);
        assert_non_null(strstr(words.text, "24 images"));
        assert_non_null(strstr(words.text, "Limits: "));
        assert_null(strstr(words.text, "\n  "));
        assert_null(strstr(words.text, rest)); /* said once, in the headline */
        tap_buffer_clear(&words);
        tap_study_free(study);
        tap_store_close(store);
    }
}

/* ---- figures ---- */

static const cells COMPENSATED = {{1, 2, 5, 9}};

static void test_figures(void **state)
{
    tap_store *store = NULL;
    (void)state;
    tap_study *study = open_study(&store, &COMPENSATED);
    const tap_figure_view view = tap_figure_view_of(study);
    for (const tap_figure_kind *kind = tap_figures; kind->name; kind++) {
        tap_figure figure = {0};
        tap_buffer svg = {0};
        const char *missing = NULL;
        assert_int_equal(kind->build(&figure, &missing, study, &view, NULL), TAP_OK);
        if (missing) { /* no doses and no controls were planted */
            assert_true(strcmp(kind->name, "doses") == 0 ||
                        strcmp(kind->name, "controls") == 0);
            continue;
        }
        assert_true(figure.n_marks > 10 && figure.n_columns > 1);
        assert_int_equal(figure.n_cells % (size_t)figure.n_columns, 0);
        for (size_t i = 0; i < figure.n_points; i++) { /* inside the picture */
            const double x = figure.points[2 * i], y = figure.points[2 * i + 1];
            assert_true(x >= -0.5 && x <= figure.width + 0.5);
            assert_true(y >= -0.5 && y <= figure.height + 0.5);
        }
        assert_int_equal(tap_figure_svg(&svg, &figure, "id", "fig", NULL), TAP_OK);
        assert_non_null(strstr(svg.text, "<title id=\"id-t\">"));
        assert_null(strstr(svg.text, "nan"));
        tap_buffer_clear(&svg);
        tap_figure_clear(&figure);
    }
    tap_study_free(study);
    tap_store_close(store);
}

/* ---- colours ---- */

static double linear(double v)
{
    v /= 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static void split(double out[3], uint32_t rgb)
{
    for (int c = 0; c < 3; c++)
        out[c] = linear((double)(rgb >> (16 - 8 * c) & 255));
}

static double luminance(uint32_t rgb)
{
    double c[3];
    split(c, rgb);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
}

/* How far apart two colours look, 0 .. 1, to eyes without one kind of cone: linear RGB
 * through the matrices of Machado, Oliveira and Fernandes 2009 (severity 1). */
static double distance(uint32_t a, uint32_t b, const double m[9])
{
    double x[3], y[3], sum = 0.0;
    split(x, a);
    split(y, b);
    for (int r = 0; r < 3; r++) {
        double u = 0.0, v = 0.0;
        for (int c = 0; c < 3; c++) {
            u += m[3 * r + c] * x[c];
            v += m[3 * r + c] * y[c];
        }
        /* nearer to how light looks than linear values */
        const double d = cbrt(fmax(u, 0.0)) - cbrt(fmax(v, 0.0));
        sum += d * d;
    }
    return sqrt(sum / 3.0);
}

static void test_colours(void **state)
{
    static const double EYES[4][9] = {
        {1, 0, 0, 0, 1, 0, 0, 0, 1},
        {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882,
         -0.048116, 1.051998},
        {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820,
         0.042940, 0.968881},
        {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733,
         0.691367, 0.303900}};
    (void)state;
    for (int a = TAP_LOOK_S11; a <= TAP_LOOK_OTHER_D; a++)
        if (1.05 / (luminance(tap_look_of((tap_look)a)->rgb) + 0.05) < 3.0)
            fail_msg("'%s' has less than 3:1 on paper", tap_look_of((tap_look)a)->name);
    for (int a = TAP_LOOK_S11; a <= TAP_LOOK_S00; a++)
        for (int b = a + 1; b <= TAP_LOOK_S00; b++) {
            const tap_look_style *x = tap_look_of((tap_look)a);
            const tap_look_style *y = tap_look_of((tap_look)b);
            double shape[2][16];
            for (int eye = 0; eye < 4; eye++)
                if (distance(x->rgb, y->rgb, EYES[eye]) < 0.08)
                    fail_msg("'%s' and '%s' look alike to eye %d: %g", x->name, y->name,
                             eye, distance(x->rgb, y->rgb, EYES[eye]));
            /* and no meaning rests on colour alone */
            const int n = tap_dot_shape(shape[0], (tap_look)a, 4);
            assert_true(n != tap_dot_shape(shape[1], (tap_look)b, 4) ||
                        memcmp(shape[0], shape[1], (size_t)n * 2 * sizeof(double)) !=
                            0);
        }
    for (int i = 1; i <= 100; i++) /* brighter means better, for every eye */
        assert_true(luminance(tap_heat_rgb(i / 100.0)) >
                    luminance(tap_heat_rgb((i - 1) / 100.0)));
}

static void test_values_are_those_of_stats(void **state)
{
    tap_store *store = NULL;
    tap_figure figure = {0};
    const char *missing = NULL;
    (void)state;
    tap_study *study = open_study(&store, &COMPENSATED);
    const tap_figure_view view = tap_figure_view_of(study);
    assert_int_equal(tap_build_depth(&figure, &missing, study, &view, NULL), TAP_OK);
    assert_int_equal(figure.n_columns, 13);
    for (int d = 0; d < 3; d++)
        for (int c = 0; c < 4; c++) {
            char expected[32];
            const tap_estimate *e =
                tap_stats_cell(study->stats, TAP_MACRO, view.metric, d, c);
            (void)snprintf(expected, sizeof expected, "%.6g", e->value);
            assert_string_equal(
                tap_figure_text(&figure, figure.cells[(d + 1) * 13 + 1 + 3 * c]),
                expected);
        }
    tap_figure_clear(&figure);
    tap_study_free(study);
    tap_store_close(store);
}

static void test_files(void **state)
{
    static const struct {
        tap_picture picture;
        const char *name, *magic;
    } FILES[] = {{TAP_PICTURE_SVG, "f.svg", "<?xml"},
                 {TAP_PICTURE_PDF, "f.pdf", "%PDF"},
                 {TAP_PICTURE_PNG, "f.png", "\x89PNG"}};

    tap_store *store = NULL;
    tap_figure figure = {0};
    const char *missing = NULL;
    (void)state;
    tap_study *study = open_study(&store, &COMPENSATED);
    const tap_figure_view view = tap_figure_view_of(study);
    assert_int_equal(tap_build_cells(&figure, &missing, study, &view, NULL), TAP_OK);
    for (int i = 0; i < 3; i++) {
        char path[SCRATCH_PATH_BYTES], again[SCRATCH_PATH_BYTES];
        char *bytes[2] = {NULL, NULL};
        size_t n[2] = {0, 0};
        scratch_path(path, directory, FILES[i].name);
        scratch_path(again, directory, "again");
        assert_int_equal(tap_figure_write(&figure, path, FILES[i].picture, 96, NULL),
                         TAP_OK);
        assert_int_equal(tap_figure_write(&figure, again, FILES[i].picture, 96, NULL),
                         TAP_OK);
        assert_int_equal(tap_file_read(&bytes[0], &n[0], path, 1 << 24, NULL), TAP_OK);
        assert_int_equal(tap_file_read(&bytes[1], &n[1], again, 1 << 24, NULL), TAP_OK);
        assert_memory_equal(bytes[0], FILES[i].magic, 4);
        if (FILES[i].picture != TAP_PICTURE_SVG) { /* whose ids count on in a process */
            assert_int_equal(n[0], n[1]);
            assert_memory_equal(bytes[0], bytes[1], n[0]);
        }
        tap_free(bytes[0]);
        tap_free(bytes[1]);
    }
    tap_error err = {0};
    assert_int_equal(
        tap_figure_write(&figure, "/nowhere/at/all/f.pdf", TAP_PICTURE_PDF, 96, &err),
        TAP_EIO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    tap_figure_clear(&figure);
    tap_study_free(study);
    tap_store_close(store);
}

static void test_page(void **state)
{
    char path[SCRATCH_PATH_BYTES];
    char *page = NULL;
    size_t n = 0;
    tap_store *store = NULL;
    (void)state;
    tap_study *study = open_study(&store, &COMPENSATED);
    const tap_report_options options = {.images = TAP_IMAGES_THUMB, .n_threads = 1};
    scratch_path(path, directory, "r.html");
    assert_int_equal(
        tap_report_write(path, (const tap_store *const *)&store, 1, &options, NULL),
        TAP_OK);
    assert_int_equal(tap_file_read(&page, &n, path, 1 << 26, NULL), TAP_OK);
    assert_non_null(strstr(page, "Who does the seeing?"));
    assert_non_null(strstr(page, "Decision: the decoder largely compensates"));
    /* in the order of the page */
    static const char *const ORDER[] = {
        "id=\"answer-0\"",     "id=\"cells-0\"",    "id=\"depth-0\"",
        "id=\"recovery-0\"",   "id=\"doses-0\"",    "id=\"parts-0\"",
        "id=\"gallery-0\"",    "id=\"controls-0\"", "id=\"receipts-0\"",
        "id=\"exclusions-0\"", "id=\"manifest-0\""};
    const char *at = page;
    for (size_t i = 0; i < sizeof ORDER / sizeof ORDER[0]; i++) {
        at = strstr(at, ORDER[i]);
        assert_non_null(at);
    }
    assert_non_null(strstr(page, "holds no controls")); /* said, not left out */
    tap_free(page);
    tap_study_free(study);
    tap_store_close(store);
}

/* Whichever allocation fails, the page is refused, nothing is left behind, and the next
 * try works. */
static void test_memory(void **state)
{
    char path[SCRATCH_PATH_BYTES], page[SCRATCH_PATH_BYTES];
    const planted p = {.n_images = 9, .n_items = 3, .n_depths = 2, .bootstrap = "10"};
    const tap_report_options options = {.images = TAP_IMAGES_THUMB, .n_threads = 1};
    tap_store *store = NULL;
    (void)state;
    scratch_path(path, directory, "r.db");
    scratch_path(page, directory, "r.html");
    assert_int_equal(planted_write(path, &p, NULL), TAP_OK);
    assert_int_equal(tap_store_open_read(&store, path, NULL), TAP_OK);
    const tap_store *stores[] = {store};
    int n_failed = 0;
    tap_status status = TAP_ENOMEM;
    for (int64_t n = 1; status != TAP_OK; n += 1 + n / 20) {
        tap_error err = {0};
        (void)tap_memory_fail_at(n);
        status = tap_report_write(page, stores, 1, &options, &err);
        (void)tap_memory_fail_at(0);
        if (status == TAP_OK)
            break;
        n_failed++;
        if (status != TAP_ENOMEM)
            fail_msg("allocation %lld: %s", (long long)n, err.message);
        assert_int_equal(scratch_count(directory), 1); /* the database alone */
    }
    assert_true(n_failed > 50);
    assert_int_equal(scratch_count(directory), 2);
    tap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_colours),
        cmocka_unit_test_setup_teardown(test_readings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_figures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_are_those_of_stats, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Controls against runs of one picture at a time: every rank that a sweep stores for a
 * control equals, in every bit, the one read from the picture (or the words) that the control
 * names, under the condition alone; and every set keeps its promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/rig.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "lab/label.h"
#include "lab/sweep.h"
#include "read/lens.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { N_SCENES = 5, N_PARTS = 4, SIDE = 4, N_PATCHES = SIDE * SIDE, N_CONDITIONS = 2 };

static const char *const TEXTS[N_CONDITIONS] = {"", "lm: image <- image"};
static const char *const NAMES[N_CONDITIONS] = {"clean", "decoder_off"};

/* Which part of scene i covers patch p wholly: 0 none; scene 3 shows a horse with other
 * parts, the rest are cats and one dog. The part "ear" occurs twice in a cat. */
static const char *const OBJECTS[N_SCENES] = {"cat", "cat", "dog", "horse", "cat"};
static const char *const PARTS[N_SCENES][N_PARTS] = {{"ear", "tail", "ear", "leg"},
                                                     {"ear", "tail", "head", "leg"},
                                                     {"nose", "tail", "paw", "leg"},
                                                     {"hoof", "muzzle", "neck", "eye"},
                                                     {"ear", "tail", "ear", "head"}};
static const char *const MAPS[N_SCENES] = {"1100033000200044", "1000220000330004",
                                           "0011220033004400", "1111220033040000",
                                           "1020304000000000"};

static rig r;
static char path[SCRATCH_PATH_BYTES];

static const char EXPERIMENT[] =
    "schema: 1\nmodel: .\ndata: {format: masks, images: ., annotations: items.tsv}\n"
    "labels: {forms: [space, case], synonyms: none}\n"
    "conditions: {clean: \"\", decoder_off: \"lm: image <- image\"}\n"
    "controls: [shifted_mask, other_part, random_patches, blank_image, "
    "mismatched_image, permuted_labels, permuted_labels_global, object_name, words]\n";

static void sweep_all(const char *text, const char *database)
{
    tap_error err = {0};
    tap_experiment experiment;
    tap_sweep *sweep = NULL;
    char yaml[SCRATCH_PATH_BYTES];
    scratch_path(yaml, r.directory, "e.yaml");
    check(tap_experiment_parse(&experiment, text, strlen(text), yaml, &err), &err);
    const tap_sweep_options options = {.n_threads = 2, .batch_images = 3};
    check(tap_sweep_open(&sweep, &experiment, database, &options, &err), &err);
    for (bool more = true; more;)
        check(tap_sweep_step(&more, sweep, &err), &err);
    check(tap_sweep_finish(sweep, &err), &err);
    tap_sweep_close(sweep);
    tap_experiment_clear(&experiment);
}

static int set_up(void **state)
{
    (void)state;
    const tiny_model options = tiny_model_default();
    rig_open(&r, &options);
    rig_add_drawn(&r, OBJECTS, PARTS, MAPS, N_SCENES);
    scratch_path(path, r.directory, "r.db");
    sweep_all(EXPERIMENT, path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

static int32_t find_token(const char *word)
{
    char piece[40];
    (void)snprintf(piece, sizeof piece, "\xe2\x96\x81%s", word);
    return tap_tokenizer_find(r.model->tokenizer, piece, strlen(piece));
}

/* The words that stand for the patches of a scene. */
static void write_words(tap_sequence *out, int scene)
{
    const tap_scene *s = &r.scenes[scene];
    int32_t *background = NULL;
    size_t n = 0;
    assert_int_equal(tap_tokenizer_encode(&background, &n, r.model->tokenizer,
                                          "background", 10, false, NULL),
                     TAP_OK);
    for (int p = 0; p < N_PATCHES; p++) {
        const int part = MAPS[scene][p] - '0';
        out->ids[s->image_rows[p]] =
            part ? find_token(PARTS[scene][part - 1]) : background[0];
    }
    for (int64_t t = 0; t < out->n_tok; t++)
        out->tokens[t].feature = -1;
    tap_free(background);
}

/* What a control reads, run alone. */
typedef struct alone {
    tap_pixels blank;
    tap_sequence sequence;
    tap_lens *lens;
    int32_t ids[2];
    int64_t n_ids;
} alone;

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

/* Ranks of a label at all patches: the lens of `pixels` (NULL: text) under a condition. */
static void run_alone(alone *a, int scene, const tap_pixels *pixels,
                      const tap_sequence *sequence, const char *text, const char *label)
{
    tap_error err = {0};
    char upper[32];
    (void)snprintf(upper, sizeof upper, "%c%s", label[0] - 'a' + 'A', label + 1);
    /* forms: bare, with a space, capitals; those that the vocabulary has */
    int32_t ids[4];
    a->n_ids = 0;
    const int32_t found[4] = {
        tap_tokenizer_find(r.model->tokenizer, label, strlen(label)), find_token(label),
        tap_tokenizer_find(r.model->tokenizer, upper, strlen(upper)),
        find_token(upper)};
    for (int i = 0; i < 4; i++)
        if (found[i] >= 0)
            ids[a->n_ids++] = found[i];
    assert_true(a->n_ids > 0);
    uint64_t depths = 0;
    const int n_blocks = r.model->spec.lm.stack.n_blocks;
    for (int d = 0; d <= n_blocks; d++)
        depths |= UINT64_C(1) << d;
    const int64_t *rows[1] = {r.scenes[scene].image_rows};
    const int64_t n_rows[1] = {N_PATCHES};
    const tap_lens_spec spec = {.labels = ids,
                                .n_labels = a->n_ids,
                                .depths = &depths,
                                .rows = rows,
                                .n_rows = n_rows};
    tap_plan *plan = rig_plan(&r, scene, text);
    const tap_plan *const plans[1] = {plan};
    const tap_item item = {.pixels = pixels, .sequence = sequence, .plans = plans};
    check(tap_lens_open(&a->lens, r.model, tap_kernels_cpu(), 1, &spec, 1, 1, &err),
          &err);
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, a->lens);
    const tap_sink sink = {.owner = a->lens, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.n_threads = 1};
    check(tap_run(NULL, r.model, &item, 1, 1, &options, &sink, &err), &err);
    tap_lens_flush(a->lens);
    tap_plan_free(plan);
}

static double best_of(const alone *a, int depth, const int32_t *patches, int n_patches)
{
    const float *ranks =
        tap_lens_ranks(a->lens, 0, 0) + (int64_t)depth * N_PATCHES * a->n_ids;
    float best = INFINITY;
    for (int p = 0; p < n_patches; p++)
        for (int64_t f = 0; f < a->n_ids; f++)
            best = fminf(best, ranks[patches[p] * a->n_ids + f]);
    return (double)best;
}

static double best_alone(int scene, const char *control, const char *other,
                         const char *label, const int32_t *patches, int n_patches,
                         int condition, int depth)
{
    alone a = {0};
    const tap_scene *own = &r.scenes[scene];
    const tap_sequence *sequence = &own->sequence;
    const tap_pixels *pixels = &own->pixels;
    int32_t ids[256];
    tap_token tokens[256];
    float zeros[3 * 64 * 64] = {0};
    if (strcmp(control, "blank_image") == 0) {
        a.blank = (tap_pixels){own->pixels.n_tiles, own->pixels.side_px, zeros};
        pixels = &a.blank;
    } else if (strcmp(control, "mismatched_image") == 0) {
        pixels = &r.scenes[other[5] - '0'].pixels;
    } else if (strcmp(control, "words") == 0) {
        assert_true(sequence->n_tok <= 256);
        a.sequence = *sequence;
        a.sequence.ids = ids;
        a.sequence.tokens = tokens;
        memcpy(ids, sequence->ids, (size_t)sequence->n_tok * sizeof *ids);
        memcpy(tokens, sequence->tokens, (size_t)sequence->n_tok * sizeof *tokens);
        write_words(&a.sequence, scene);
        sequence = &a.sequence;
        pixels = NULL;
    }
    run_alone(&a, scene, pixels, sequence, TEXTS[condition], label);
    const double best = best_of(&a, depth, patches, n_patches);
    tap_lens_close(a.lens);
    return best;
}

/* Every stored rank once more, and how many there are of each control. */
static void test_ranks(void **state)
{
    (void)state;
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int n[9] = {0}, n_rows = 0;
    static const char sql[] =
        "SELECT image.id, control_set.control, other, control_set.label, "
        "control_set.patches, control_set.n_patches, condition.name, depth, best_rank "
        "FROM control JOIN control_set ON control_set.id = set_id JOIN item ON item.id = "
        "item_id JOIN image ON image.id = image_id JOIN condition ON condition.id = "
        "condition_id";
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *control = (const char *)sqlite3_column_text(s, 1);
        const char *other = (const char *)sqlite3_column_text(s, 2);
        const char *name = (const char *)sqlite3_column_text(s, 6);
        const int condition = strcmp(name, NAMES[1]) == 0;
        assert_string_equal(name, NAMES[condition]);
        const double found = sqlite3_column_double(s, 8);
        const double expected = best_alone(
            sqlite3_column_int(s, 0), control, other ? other : "",
            (const char *)sqlite3_column_text(s, 3), sqlite3_column_blob(s, 4),
            sqlite3_column_int(s, 5), condition, sqlite3_column_int(s, 7));
        if (found != expected)
            fail_msg("%s of image %d under %s at depth %d: %g stored, %g alone",
                     control, sqlite3_column_int(s, 0), name, sqlite3_column_int(s, 7),
                     found, expected);
        for (int c = 0; c < TAP_N_CONTROLS; c++)
            n[c] += strcmp(control, tap_control_name((tap_control)c)) == 0;
        n_rows++;
    }
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    assert_int_equal(n[TAP_CONTROL_RANDOM_PATCHES], 20 * 5 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_BLANK_IMAGE], 20 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_WORDS], 20 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_MISMATCHED_IMAGE], 20 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_OTHER_PART], 20 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_OBJECT_NAME], 20 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_PERMUTED_LABELS], 20 * 2 * 3);
    assert_int_equal(n[TAP_CONTROL_PERMUTED_LABELS_GLOBAL], 20 * 2 * 3);
    assert_true(n[TAP_CONTROL_SHIFTED_MASK] > 15 * 2 * 3);
    assert_true(n_rows > 1400);
}

/* What a set must be, whatever was drawn. */
static void check_set(int scene, int part, const char *control, const int32_t *patches,
                      int n, const char *label, const char *other)
{
    const char *own = PARTS[scene][part];
    int n_own = 0;
    for (int p = 0; p < N_PATCHES; p++)
        n_own += MAPS[scene][p] == '1' + part;
    for (int k = 0; k < n; k++) {
        const int covers = MAPS[scene][patches[k]] - '1';
        assert_true(k == 0 || patches[k] > patches[k - 1]);
        /* no null patch is covered by a part of the same name, the other ear included */
        if (strcmp(control, "random_patches") == 0 ||
            strcmp(control, "shifted_mask") == 0 || strcmp(control, "other_part") == 0)
            assert_true(covers < 0 || strcmp(PARTS[scene][covers], own) != 0);
        else
            assert_int_equal(covers, part);
        if (strcmp(control, "other_part") == 0)
            assert_string_equal(PARTS[scene][covers], other);
    }
    if (strcmp(control, "other_part") == 0)
        assert_true(n >= 1 && n <= n_own);
    else
        assert_int_equal(n, n_own);
    if (strcmp(control, "shifted_mask") == 0) {
        int rows = 0, cols = 0, k = 0;
        assert_int_equal(sscanf(other, "%d rows %d cols", &rows, &cols), 2);
        for (int p = 0; p < N_PATCHES; p++)
            if (MAPS[scene][p] == '1' + part)
                assert_int_equal(patches[k++],
                                 (p / SIDE + rows) * SIDE + p % SIDE + cols);
    }
    if (strcmp(control, "object_name") == 0) {
        assert_string_equal(label, OBJECTS[scene]);
    } else if (strncmp(control, "permuted", 8) == 0) {
        bool in_class = false;
        assert_string_not_equal(label, own);
        for (int i = 0; i < N_SCENES; i++)
            for (int q = 0; q < N_PARTS; q++)
                in_class |= strcmp(OBJECTS[i], OBJECTS[scene]) == 0 &&
                            strcmp(PARTS[i][q], label) == 0;
        assert_true(in_class || strcmp(control, "permuted_labels_global") == 0);
    } else {
        assert_string_equal(label, own);
    }
    if (strcmp(control, "mismatched_image") == 0)
        assert_string_not_equal(OBJECTS[other[5] - '0'], OBJECTS[scene]);
}

static void test_sets(void **state)
{
    (void)state;
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int n = 0, n_none = 0;
    static const char sql[] =
        "SELECT image_id, ordinal, control, control_set.patches, "
        "control_set.n_patches, control_set.label, other, control_set.excluded FROM "
        "control_set JOIN item ON item.id = item_id";
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; n++) {
        const char *control = (const char *)sqlite3_column_text(s, 2);
        const char *excluded = (const char *)sqlite3_column_text(s, 7);
        if (excluded) { /* the one shape that has nowhere to go */
            assert_string_equal(control, "shifted_mask");
            assert_string_equal(excluded,
                                "no place of this shape is free of parts of this name");
            n_none++;
            continue;
        }
        check_set(sqlite3_column_int(s, 0), sqlite3_column_int(s, 1), control,
                  sqlite3_column_blob(s, 3), sqlite3_column_int(s, 4),
                  (const char *)sqlite3_column_text(s, 5),
                  (const char *)sqlite3_column_text(s, 6));
    }
    assert_int_equal(n, 20 * 13);
    assert_true(n_none < 5);
    (void)sqlite3_finalize(s);
    /* permuted: each label as often as items have it, in the class and in the data */
    static const char *const GROUPS[][2] = {{"permuted_labels", "object"},
                                            {"permuted_labels_global", "''"}};
    for (int k = 0; k < 2; k++) {
        char text[512];
        (void)snprintf(
            text, sizeof text,
            "SELECT COUNT(*) FROM (SELECT %s, label, COUNT(*) FROM item GROUP "
            "BY 1, 2 EXCEPT SELECT %s, control_set.label, COUNT(*) FROM "
            "control_set JOIN item ON item.id = item_id WHERE control = '%s' "
            "GROUP BY 1, 2)",
            GROUPS[k][1], GROUPS[k][1], GROUPS[k][0]);
        assert_int_equal(sqlite3_prepare_v2(db, text, -1, &s, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(s, 0), 0);
        (void)sqlite3_finalize(s);
    }
    (void)sqlite3_close(db);
}

/* ---- the group other_part in conditions ---- */

static const char CUT[] = "vision: part <- other_part; lm: part <- other_part";
static const char CUTS[] =
    "schema: 1\nmodel: .\ndata: {format: masks, images: ., annotations: items.tsv}\n"
    "labels: {forms: [space, case], synonyms: none}\n"
    "conditions: {clean: \"\", other: \"vision: part <- other_part; lm: part <- "
    "other_part\"}\ncontrols: [other_part]\n";

/* The best rank of an item where the parts are masks of these patches. */
static double best_between(int scene, const char *label, int depth,
                           const int32_t *patches, int n_patches, const int32_t *others,
                           int n_others)
{
    alone a = {0};
    tap_error err = {0};
    float part[N_PATCHES] = {0}, other[N_PATCHES] = {0};
    for (int p = 0; p < n_patches; p++)
        part[patches[p]] = 1.0F;
    for (int p = 0; p < n_others; p++)
        other[others[p]] = 1.0F;
    const tap_group_input input = {
        .scene = &r.scenes[scene], .part = part, .other_part = other, .threshold = 0.5};
    const tap_groups before = r.groups[scene];
    check(tap_group_compile(&r.groups[scene], &input, &err), &err);
    run_alone(&a, scene, &r.scenes[scene].pixels, &r.scenes[scene].sequence, CUT,
              label);
    const double best = best_of(&a, depth, patches, n_patches);
    tap_lens_close(a.lens);
    tap_groups_clear(&r.groups[scene]);
    r.groups[scene] = before;
    return best;
}

/* What a condition cuts is what the control of that name reads. */
static void test_condition(void **state)
{
    (void)state;
    char database[SCRATCH_PATH_BYTES];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int n = 0, n_moved = 0;
    static const char sql[] =
        "SELECT image_id, item.label, score.depth, score.best_rank, clean.best_rank, "
        "item.patches, item.n_patches, control_set.patches, control_set.n_patches FROM "
        "item JOIN control_set ON control_set.item_id = item.id JOIN score ON score.item_id = item.id "
        "AND score.condition_id = 1 JOIN score clean ON clean.item_id = item.id AND "
        "clean.condition_id = 0 AND clean.depth = score.depth";
    scratch_path(database, r.directory, "cuts.db");
    sweep_all(CUTS, database);
    assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; n++) {
        const double found = sqlite3_column_double(s, 3);
        const double expected = best_between(
            sqlite3_column_int(s, 0), (const char *)sqlite3_column_text(s, 1),
            sqlite3_column_int(s, 2), sqlite3_column_blob(s, 5),
            sqlite3_column_int(s, 6), sqlite3_column_blob(s, 7),
            sqlite3_column_int(s, 8));
        if (found != expected)
            fail_msg("image %d, depth %d: %g stored, %g alone",
                     sqlite3_column_int(s, 0), sqlite3_column_int(s, 2), found,
                     expected);
        n_moved += found != sqlite3_column_double(s, 4);
    }
    assert_int_equal(n, 20 * 3);
    assert_true(n_moved > 20);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_condition),
    };
    return cmocka_run_group_tests_name("control", tests, set_up, tear_down);
}

/* Every readout of a sweep against single runs: whatever the state, the matrix, the candidates and
 * the policy, each rank in the database equals in every bit the one that a lens alone reads of one
 * picture under one condition; log-probabilities are also computed by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/rig.h"
#include "../support/scratch.h"
#include "base/file.h"
#include "lab/label.h"
#include "lab/probe.h"
#include "lab/sweep.h"
#include "read/source.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum {
    N_SCENES = 3,
    N_PARTS = 4,
    SIDE = 4,
    N_PATCHES = SIDE * SIDE,
    D = 32,
    MAX_COLUMNS = 160,
    MAX_NAMES = 16
};

static const char *const OBJECTS[N_SCENES] = {"cat", "cat", "horse"};
/* "saddle" is a word of several tokens */
static const char *const PARTS[N_SCENES][N_PARTS] = {
    {"ear", "tail", "leg", "saddle"},
    {"ear", "head", "paw", "leg"},
    {"hoof", "muzzle", "saddle", "neck"}};
static const char *const MAPS[N_SCENES] = {"1100033000200044", "1000220000330004",
                                           "0011220033004400"};

/* What an experiment says, and the same for the lens that reads alone. */
typedef struct config {
    const char *readout, *multi_token;
    tap_multi_token policy;
    tap_readout state;
    tap_candidates candidates;
    bool encoder_only, embed, no_norm, translate;
    int n_excluded; /* items whose label has no rank */
} config;

static const config CONFIGS[] = {
    {"locate: [auc, gap], top_words: 2", "skip", .n_excluded = 2},
    {"locate: [auc, gap]", "sequence", .policy = TAP_MULTI_SEQUENCE},
    {"candidates: parts, locate: [auc, gap]", "skip",
     .candidates = TAP_CANDIDATES_PARTS, .n_excluded = 2},
    {"candidates: own_parts, locate: [gap], top_words: 0", "sequence",
     .policy = TAP_MULTI_SEQUENCE, .candidates = TAP_CANDIDATES_OWN_PARTS},
    {"candidates: own_parts, depths: [1, last]", "first_piece",
     .policy = TAP_MULTI_FIRST_PIECE, .candidates = TAP_CANDIDATES_OWN_PARTS},
    {"state: head, locate: [auc, gap]", "best_piece", .policy = TAP_MULTI_BEST_PIECE,
     .state = TAP_READOUT_HEAD, .encoder_only = true},
    {"state: head, candidates: parts, depths: [0, 2]", "sequence",
     .policy = TAP_MULTI_SEQUENCE, .state = TAP_READOUT_HEAD,
     .candidates = TAP_CANDIDATES_PARTS, .encoder_only = true},
    {"state: value, norm: none, depths: last, locate: [gap]", "skip",
     .state = TAP_READOUT_VALUE, .no_norm = true, .n_excluded = 2},
    {"state: key, matrix: embed, candidates: own_parts, locate: [auc, gap]", "sequence",
     .policy = TAP_MULTI_SEQUENCE, .state = TAP_READOUT_KEY, .embed = true,
     .no_norm = true, .candidates = TAP_CANDIDATES_OWN_PARTS},
    {"matrix: embed, norm: final, locate: [auc, gap]", "skip", .embed = true,
     .n_excluded = 2},
    {"translator: t.safetensors, locate: [gap], top_words: 3, top_depths: all", "skip",
     .translate = true, .n_excluded = 2},
};

static rig r;
static char path[SCRATCH_PATH_BYTES];
static float word_scale[4096];

/* A translator of depth 0 alone: the others are read as they are. */
static void write_translator(void)
{
    static const char head[] =
        "{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[32,32],\"data_offsets\":[0,4096]}}";
    unsigned char bytes[8 + sizeof head - 1 + 4096] = {sizeof head - 1};
    memcpy(bytes + 8, head, sizeof head - 1);
    for (int i = 0; i < D * D; i++) {
        const float w = (float)sin(i) / 4.0F;
        memcpy(bytes + 8 + sizeof head - 1 + 4 * i, &w, sizeof w);
    }
    scratch_write(r.directory, "t.safetensors", bytes, sizeof bytes);
}

static int set_up(void **state)
{
    (void)state;
    const tiny_model options = tiny_model_default();
    rig_open(&r, &options);
    rig_add_drawn(&r, OBJECTS, PARTS, MAPS, N_SCENES);
    write_translator();
    scratch_path(path, r.directory, "r.db");
    float row[D];
    assert_true(r.model->embed.shape[0] <= 4096);
    tap_vocab_inverse_norms(word_scale, &r.model->embed, row);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

static tap_status parse_experiment(tap_experiment *out, const config *c, tap_error *err)
{
    char yaml[SCRATCH_PATH_BYTES], text[2048];
    scratch_path(yaml, r.directory, "e.yaml");
    const int n = snprintf(
        text, sizeof text,
        "schema: 1\nmodel: .\n"
        "data: {format: masks, images: ., annotations: items.tsv}\n"
        "labels: {forms: [space, case], synonyms: none, multi_token: %s}\n"
        "conditions: {clean: \"\", encoder_off: \"vision: image <- image|cls\"%s}\n"
        "controls: [random_patches, object_name, permuted_labels_global]\n"
        "readout: {%s}\n",
        c->multi_token, c->encoder_only ? "" : ", decoder_cut: \"lm: part <- outside\"",
        c->readout);
    return tap_experiment_parse(out, text, (size_t)n, yaml, err);
}

static void sweep_all(const config *c, int batch_images)
{
    tap_error err = {0};
    tap_experiment experiment;
    tap_sweep *sweep = NULL;
    tap_sweep_counts dry;
    (void)remove(path);
    check(parse_experiment(&experiment, c, &err), &err);
    const tap_sweep_options options = {.n_threads = 2, .batch_images = batch_images};
    check(tap_sweep_dry_run(&dry, &experiment, &options, &err), &err);
    check(tap_sweep_open(&sweep, &experiment, path, &options, &err), &err);
    for (bool more = true; more;)
        check(tap_sweep_step(&more, sweep, &err), &err);
    const tap_sweep_counts *done = tap_sweep_progress(sweep);
    assert_int_equal(done->n_excluded, c->n_excluded);
    assert_int_equal(dry.n_scored, done->n_scored);
    /* what a dry run promises, but for labels that the run meets later */
    assert_true(fabs(dry.flop_done / done->flop_done - 1.0) < 1e-9);
    assert_true(fabs(dry.flop_lens / done->flop_lens - 1.0) < 0.05);
    check(tap_sweep_finish(sweep, &err), &err);
    tap_sweep_close(sweep);
    tap_experiment_clear(&experiment);
}

/* ---- a lens alone ---- */

typedef struct alone {
    const config *c;
    tap_labels labels;
    tap_spelling columns[MAX_COLUMNS];
    int64_t n_columns;
    tap_source *source;
    tap_lens *lens;
    tap_translator *translator;
} alone;

static void open_alone(alone *a, const config *c)
{
    tap_error err = {0};
    const tap_label_spec spec = {.forms = TAP_FORM_SPACE | TAP_FORM_CASE,
                                 .synonyms = "none",
                                 .multi_token = c->policy};
    *a = (alone){.c = c};
    check(tap_labels_open(&a->labels, r.model->tokenizer, &spec, &err), &err);
    int64_t index = 0;
    for (int s = 0; s < N_SCENES; s++) {
        check(tap_labels_find(&index, &a->labels, OBJECTS[s], &err), &err);
        for (int p = 0; p < N_PARTS; p++)
            check(tap_labels_find(&index, &a->labels, PARTS[s][p], &err), &err);
    }
    a->n_columns = tap_labels_n_columns(&a->labels);
    assert_true(a->n_columns <= MAX_COLUMNS);
    for (int64_t i = 0; i < a->n_columns; i++)
        a->columns[i] = c->policy == TAP_MULTI_SEQUENCE
                            ? a->labels.spellings[i]
                            : (tap_spelling){&a->labels.ids[i], 1};
    if (c->translate) {
        char file[SCRATCH_PATH_BYTES];
        scratch_path(file, r.directory, "t.safetensors");
        check(tap_translator_open(&a->translator, file, D, 2, &err), &err);
    }
}

static void close_alone(alone *a)
{
    tap_labels_clear(&a->labels);
    tap_translator_close(a->translator);
}

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    const alone *a = owner;
    return a->source ? tap_source_put(a->source, &a->lens, 1, state, err)
                     : tap_lens_put(a->lens, state, err);
}

/* Every state at every patch of a scene, for all words, under one plan. */
static void read_alone(alone *a, int scene, const tap_plan *plan)
{
    tap_error err = {0};
    const config *c = a->c;
    const int64_t *rows = r.scenes[scene].image_rows, n_rows = N_PATCHES;
    const tap_item item = {.pixels = &r.scenes[scene].pixels,
                           .sequence = &r.scenes[scene].sequence,
                           .plans = &plan};
    const bool watches = c->state == TAP_READOUT_RESID && !c->translate;
    const tap_lens_spec spec = {
        .spellings = a->columns,
        .n_spellings = a->n_columns,
        .n_top = 1,
        .words = c->embed ? &r.model->embed : NULL,
        .word_scale = c->embed ? word_scale : NULL,
        .n_states = watches ? 0 : tap_source_n_states(r.model, c->state),
        .no_norm = c->no_norm,
        .rows = &rows,
        .n_rows = &n_rows};
    check(tap_lens_open(&a->lens, r.model, tap_kernels_cpu(), 1, &spec, 1, 1, &err),
          &err);
    tap_wanted wanted = {0};
    const tap_source_spec source = {.readout = c->state,
                                    .model = r.model,
                                    .kernels = tap_kernels_cpu(),
                                    .n_threads = 1,
                                    .translator = a->translator,
                                    .items = &item,
                                    .n_items = 1,
                                    .rows = &rows,
                                    .n_rows = &n_rows};
    if (watches) {
        tap_lens_want(&wanted, a->lens);
    } else {
        check(tap_source_open(&a->source, &source, &err), &err);
        tap_source_want(&wanted, &source);
    }
    const tap_sink sink = {.owner = a, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.n_threads = 1, .all_rows = true};
    check(tap_run(NULL, r.model, &item, 1, 1, &options, &sink, &err), &err);
    tap_lens_flush(a->lens);
    tap_source_close(a->source);
    a->source = NULL;
}

static const tap_label *label_of(alone *a, const char *word)
{
    int64_t index = 0;
    assert_int_equal(tap_labels_find(&index, &a->labels, word, NULL), TAP_OK);
    return &a->labels.labels[index];
}

/* Of a label: the smallest (ranks) or largest (scores) value of its columns. */
static float best_of(const float *row, const tap_label *label, bool smallest)
{
    float best = row[label->columns[0]];
    for (int64_t f = 1; f < label->n_columns; f++) {
        const float x = row[label->columns[f]];
        best = (smallest ? x < best : x > best) ? x : best;
    }
    return best;
}

/* names [returned]: the set of a part of `object`; `word` in the place of `own` if it is not
 * among them; *at its place. */
static int64_t set_of(const char **names, int64_t *at, alone *a, const char *object,
                      const char *own, const char *word)
{
    int64_t n = 0;
    *at = -1;
    for (int s = 0; s < N_SCENES; s++)
        for (int p = 0; p < N_PARTS; p++) {
            bool known = label_of(a, PARTS[s][p])->excluded ||
                         (a->c->candidates == TAP_CANDIDATES_OWN_PARTS &&
                          strcmp(OBJECTS[s], object) != 0);
            for (int64_t i = 0; i < n; i++)
                known |= strcmp(names[i], PARTS[s][p]) == 0;
            if (!known)
                names[n++] = PARTS[s][p];
        }
    for (int64_t i = 0; i < n; i++)
        if (strcmp(names[i], word) == 0)
            *at = i;
    for (int64_t i = 0; i < n && *at < 0; i++)
        if (strcmp(names[i], own) == 0) {
            names[i] = word;
            *at = i;
        }
    assert_true(*at >= 0);
    return n;
}

/* Rank of a word at a patch; *z its score and *log_p its log-probability there. */
static float rank_alone(double *z, double *log_p, alone *a, int depth, int patch,
                        const char *object, const char *own, const char *word)
{
    const int64_t row = depth * N_PATCHES + patch;
    const float *ranks = tap_lens_ranks(a->lens, 0, 0) + row * a->n_columns;
    const float *scores = tap_lens_scores(a->lens, 0, 0) + row * a->n_columns;
    *z = (double)best_of(scores, label_of(a, word), false);
    if (a->c->candidates == TAP_CANDIDATES_VOCABULARY) {
        *log_p = *z - (double)tap_lens_log_sums(a->lens, 0, 0)[row];
        return best_of(ranks, label_of(a, word), true);
    }
    const char *names[MAX_NAMES];
    float of_names[MAX_NAMES], all[MAX_NAMES];
    int64_t at = 0;
    const int64_t n = set_of(names, &at, a, object, own, word);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        of_names[i] = best_of(scores, label_of(a, names[i]), false);
        sum += exp((double)of_names[i]);
    }
    *log_p = *z - log(sum);
    tap_rank_among(all, of_names, n);
    return all[at];
}

/* ---- the database ---- */

static sqlite3_stmt *query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    return s;
}

/* The groups of part p alone, as the sweep makes them of its mask. */
static tap_plan *plan_of(int scene, int part, const char *text)
{
    float cover[N_PATCHES], object[N_PATCHES];
    for (int i = 0; i < N_PATCHES; i++) {
        cover[i] = MAPS[scene][i] == '1' + part ? 1.0F : 0.0F;
        object[i] = MAPS[scene][i] != '0' ? 1.0F : 0.0F;
    }
    const tap_group_input input = {
        .scene = &r.scenes[scene], .part = cover, .object = object, .threshold = 0.5};
    tap_error err = {0};
    tap_groups groups = {0};
    tap_condition *condition = NULL;
    tap_plan *plan = NULL;
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, &r.model->spec);
    check(tap_group_compile(&groups, &input, &err), &err);
    check(tap_condition_parse(&condition, text, &err), &err);
    check(tap_plan_compile(&plan, condition, &groups, &sizes, &err), &err);
    tap_condition_free(condition);
    tap_groups_clear(&groups);
    return plan;
}

static double real_or_nan(sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL
               ? (double)NAN
               : sqlite3_column_double(s, column);
}

static bool is_in(const int32_t *patches, int n, int patch)
{
    for (int i = 0; i < n; i++)
        if (patches[i] == patch)
            return true;
    return false;
}

/* One row of `score` with its ranks. */
static void check_score(alone *a, sqlite3_stmt *s, const float *stored, int ordinal)
{
    const bool auc = strstr(a->c->readout, "auc") != NULL,
               gap = strstr(a->c->readout, "gap") != NULL;
    const char *object = (const char *)sqlite3_column_text(s, 2),
               *label = (const char *)sqlite3_column_text(s, 3);
    const int32_t *patches = sqlite3_column_blob(s, 4);
    const int n = sqlite3_column_int(s, 5), depth = sqlite3_column_int(s, 7);
    float logits[N_PATCHES];
    double inside = 0.0, outside = 0.0, best = INFINITY, wins = 0.0;
    for (int p = 0; p < N_PATCHES; p++) {
        double z = 0.0, log_p = 0.0;
        const float rank = rank_alone(&z, &log_p, a, depth, p, object, label, label);
        logits[p] = (float)z;
        *(is_in(patches, n, p) ? &inside : &outside) += log_p;
        for (int i = 0; i < n; i++)
            if (patches[i] == p) {
                if (!(stored[ordinal * n + i] >= rank &&
                      stored[ordinal * n + i] <= rank))
                    fail_msg(
                        "{%s}: '%s' at patch %d, depth %d: rank %g stored, %g alone",
                        a->c->readout, label, p, depth, (double)stored[ordinal * n + i],
                        (double)rank);
                best = fmin(best, (double)rank);
            }
    }
    assert_true(best >= sqlite3_column_double(s, 8) &&
                best <= sqlite3_column_double(s, 8));
    for (int i = 0; i < N_PATCHES; i++)
        for (int o = 0; o < N_PATCHES; o++)
            if (is_in(patches, n, i) && !is_in(patches, n, o))
                wins += logits[i] > logits[o]                              ? 1.0
                        : logits[i] >= logits[o] && logits[i] <= logits[o] ? 0.5
                                                                           : 0.0;
    const double found_auc = real_or_nan(s, 9), found_gap = real_or_nan(s, 10);
    const double expected_gap = inside / n - outside / (N_PATCHES - n);
    assert_int_equal(isnan(found_auc), !auc);
    assert_int_equal(isnan(found_gap), !gap);
    if (auc)
        assert_true(fabs(found_auc - wins / (n * (N_PATCHES - n))) < 1e-12);
    if (gap && !(fabs(found_gap - expected_gap) < 1e-5 * (1.0 + fabs(expected_gap))))
        fail_msg("{%s}: gap %g stored, %g expected", a->c->readout, found_gap,
                 expected_gap);
}

static void check_controls(alone *a, sqlite3 *db, int64_t item, int condition,
                           const char *object, const char *own)
{
    sqlite3_stmt *s = query(
        db, "SELECT control_set.label, patches, n_patches, depth, best_rank FROM "
            "control JOIN control_set ON control_set.id = set_id WHERE item_id = ? "
            "AND condition_id = ?");
    sqlite3_bind_int64(s, 1, item);
    sqlite3_bind_int(s, 2, condition);
    int n_rows = 0;
    while (sqlite3_step(s) == SQLITE_ROW) {
        const int32_t *patches = sqlite3_column_blob(s, 1);
        double best = INFINITY, z, log_p;
        for (int p = 0; p < sqlite3_column_int(s, 2); p++)
            best =
                fmin(best, (double)rank_alone(&z, &log_p, a, sqlite3_column_int(s, 3),
                                              patches[p], object, own,
                                              (const char *)sqlite3_column_text(s, 0)));
        if (!(best >= sqlite3_column_double(s, 4) &&
              best <= sqlite3_column_double(s, 4)))
            fail_msg("{%s}: control '%s' of '%s': %g stored, %g alone", a->c->readout,
                     sqlite3_column_text(s, 0), own, sqlite3_column_double(s, 4), best);
        n_rows++;
    }
    (void)sqlite3_finalize(s);
    assert_true(n_rows >= 7);
}

static void check_database(const config *c)
{
    alone a;
    sqlite3 *db = NULL;
    open_alone(&a, c);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_stmt *runs = query(
        db, "SELECT item.id, condition.id, text, ranks, item.image_id, ordinal, "
            "object, label, n_candidates FROM rank JOIN item ON item.id = item_id "
            "JOIN condition ON condition.id = condition_id");
    sqlite3_stmt *scores =
        query(db, "SELECT item_id, condition_id, object, label, patches, n_patches, "
                  "depth.ordinal, depth.depth, best_rank, auc_loc, gap FROM score JOIN "
                  "item ON item.id = item_id JOIN depth ON depth.depth = score.depth "
                  "WHERE item_id = ? AND condition_id = ?");
    int n = 0;
    while (sqlite3_step(runs) == SQLITE_ROW) {
        const int scene = sqlite3_column_int(runs, 4);
        const char *object = (const char *)sqlite3_column_text(runs, 6),
                   *label = (const char *)sqlite3_column_text(runs, 7);
        tap_plan *plan = plan_of(scene, sqlite3_column_int(runs, 5),
                                 (const char *)sqlite3_column_text(runs, 2));
        read_alone(&a, scene, plan);
        const char *names[MAX_NAMES];
        int64_t at = 0;
        assert_int_equal(sqlite3_column_int64(runs, 8),
                         c->candidates == TAP_CANDIDATES_VOCABULARY
                             ? r.model->head.shape[0]
                             : set_of(names, &at, &a, object, label, label));
        sqlite3_bind_int64(scores, 1, sqlite3_column_int64(runs, 0));
        sqlite3_bind_int64(scores, 2, sqlite3_column_int64(runs, 1));
        while (sqlite3_step(scores) == SQLITE_ROW) {
            check_score(&a, scores, sqlite3_column_blob(runs, 3),
                        sqlite3_column_int(scores, 6));
            n++;
        }
        (void)sqlite3_reset(scores);
        check_controls(&a, db, sqlite3_column_int64(runs, 0),
                       sqlite3_column_int(runs, 1), object, label);
        tap_plan_free(plan);
        tap_lens_close(a.lens);
    }
    assert_true(n >= (12 - c->n_excluded) * (c->encoder_only ? 2 : 3));
    (void)sqlite3_finalize(runs);
    (void)sqlite3_finalize(scores);
    (void)sqlite3_close(db);
    close_alone(&a);
}

static void every_readout_equals_a_lens_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CONFIGS / sizeof *CONFIGS; i++) {
        sweep_all(&CONFIGS[i], 1 + (int)i % 3);
        check_database(&CONFIGS[i]);
    }
}

/* ---- by hand ---- */

/* log p [N_PATCHES] of one token in f64, from a residual state that was kept. */
static void log_p_by_hand(double *out, const kept *k, const int64_t *rows,
                          int32_t token)
{
    static double x[D];
    const tap_model *m = r.model;
    for (int p = 0; p < N_PATCHES; p++) {
        double squares = 0.0, sum = 0.0, own = 0.0;
        for (int i = 0; i < D; i++) {
            x[i] = (double)k->values[rows[p] * D + i];
            squares += x[i] * x[i];
        }
        const double scale =
            1.0 / sqrt(squares / D + (double)m->spec.lm.stack.norm_eps);
        for (int i = 0; i < D; i++) {
            float w;
            tap_widen(&w, &m->final_norm.weight, i, 1);
            x[i] *= scale * (double)w;
        }
        for (int64_t v = 0; v < m->head.shape[0]; v++) {
            float row[D];
            double z = 0.0;
            tap_widen(row, &m->head, v * D, D);
            for (int i = 0; i < D; i++)
                z += x[i] * (double)row[i];
            sum += exp(z);
            own = v == token ? z : own;
        }
        out[p] = own - log(sum);
    }
}

static void the_gap_is_what_its_formula_says(void **state)
{
    (void)state;
    const config c = {"locate: [gap]", "skip", .n_excluded = 2};
    sweep_all(&c, 2);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_stmt *s = query(
        db,
        "SELECT image_id, ordinal, text, depth, patches, n_patches, gap, "
        "(SELECT token_id FROM label_form WHERE label_form.label = item.label AND "
        "form = 'space') FROM score JOIN item ON item.id = item_id JOIN condition ON "
        "condition.id = condition_id WHERE item.label = 'ear'");
    int n = 0;
    while (sqlite3_step(s) == SQLITE_ROW) {
        const int scene = sqlite3_column_int(s, 0), depth = sqlite3_column_int(s, 3);
        tap_plan *plan = plan_of(scene, sqlite3_column_int(s, 1),
                                 (const char *)sqlite3_column_text(s, 2));
        const tap_run_options options = {.n_threads = 1};
        capture kept_states = rig_run_plans(&r, scene, 1, &plan, 1, &options);
        const kept *k = capture_find(
            &kept_states, depth < 2 ? TAP_SITE_RESID_PRE : TAP_SITE_RESID_POST, TAP_LM,
            depth < 2 ? depth : 1, 0, 0);
        assert_non_null(k);
        double log_p[N_PATCHES], inside = 0.0, outside = 0.0;
        /* the label's best form of four: each alone, the largest at each patch */
        double best[N_PATCHES];
        static const char *const forms[] = {"ear",
                                            "\xe2\x96\x81"
                                            "ear",
                                            "Ear",
                                            "\xe2\x96\x81"
                                            "Ear"};
        for (int p = 0; p < N_PATCHES; p++)
            best[p] = -INFINITY;
        for (int f = 0; f < 4; f++) {
            const int32_t id =
                tap_tokenizer_find(r.model->tokenizer, forms[f], strlen(forms[f]));
            if (id < 0)
                continue;
            log_p_by_hand(log_p, k, r.scenes[scene].image_rows, id);
            for (int p = 0; p < N_PATCHES; p++)
                best[p] = fmax(best[p], log_p[p]);
        }
        const int32_t *patches = sqlite3_column_blob(s, 4);
        const int n_in = sqlite3_column_int(s, 5);
        for (int p = 0; p < N_PATCHES; p++)
            *(is_in(patches, n_in, p) ? &inside : &outside) += best[p];
        const double expected = inside / n_in - outside / (N_PATCHES - n_in);
        if (!(fabs(sqlite3_column_double(s, 6) - expected) < 1e-5))
            fail_msg("gap %.9g stored, %.9g by hand", sqlite3_column_double(s, 6),
                     expected);
        capture_clear(&kept_states);
        tap_plan_free(plan);
        n++;
    }
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    assert_int_equal(n, 2 * 3 * 3);
}

/* ---- what means nothing ---- */

static void what_means_nothing_is_refused(void **state)
{
    (void)state;

    const struct {
        config c;
        const char *words;
    } cases[] = {
        {{"state: head", "skip", .encoder_only = false},
         "acts behind the encoder, which is all that 'state: head' reads: it would "
         "change nothing; take it out, or read another state"},
        {{"state: head, depths: 9", "skip", .encoder_only = true},
         "'readout.depths' asks for depth 9, and the encoder, as far as this "
         "model reads it, has depths 0 to 2"},
        {{"state: value, depths: [0, 2]", "skip", .encoder_only = false},
         "'readout.depths' asks for block 2, and the decoder of this model has "
         "blocks 0 to 1"},
        {{"top_depths: 3", "skip", .encoder_only = false},
         "'readout.top_depths' asks for depth 3, and the decoder of this model "
         "has depths 0 to 2"}};

    (void)remove(path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_error err = {0};
        tap_experiment experiment;
        tap_sweep *sweep = NULL;
        const tap_sweep_options options = {.n_threads = 1};
        check(parse_experiment(&experiment, &cases[i].c, &err), &err);
        assert_int_equal(tap_sweep_open(&sweep, &experiment, path, &options, &err),
                         TAP_EINVAL);
        if (!strstr(err.message, "e.yaml'") || !strstr(err.message, cases[i].words))
            fail_msg("'%s' is not in: %s", cases[i].words, err.message);
        assert_false(tap_file_exists(path));
        tap_experiment_clear(&experiment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_readout_equals_a_lens_alone),
        cmocka_unit_test(the_gap_is_what_its_formula_says),
        cmocka_unit_test(what_means_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

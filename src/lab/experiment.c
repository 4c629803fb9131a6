#include "lab/experiment.h"

#include "base/file.h"
#include "base/suggest.h"
#include "lab/experiment_own.h"
#include "lab/part_table.h"
#include "lab/yaml.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define COUNT(words) (sizeof(words) / sizeof((words)[0]))

/* ORDER words: each list follows its enum in experiment.h */
static const char *const METRICS[] = {"log_rank", "mrr",     "hit@1", "hit@5",
                                      "hit@10",   "hit@100", "median"};
static const char *const CONTROLS[] = {"shifted_mask",
                                       "other_part",
                                       "random_patches",
                                       "blank_image",
                                       "mismatched_image",
                                       "permuted_labels",
                                       "permuted_labels_global",
                                       "object_name",
                                       "words"};
static const char *const CELLS[] = {"clean", "encoder_off", "decoder_off", "both_off"};
static const char *const MULTI[] = {"skip", "first_piece", "best_piece", "sequence"};
static const char *const FALLBACKS[] = {"argmax", "skip"};
static const char *const CANDIDATES[] = {"vocabulary", "parts", "own_parts"};
static const char *const FORMS[] = {"space", "case", "plural"};
static const char *const NORMS[] = {"final", "none"};
static const char *const STATES[] = {"resid", "head", "value", "key"};
static const char *const MATRICES[] = {"output", "embed"};
static const char *const LOCATES[] = {"auc", "gap"};
static const char *const FORMATS[] = {"pascal-part",  "panoptic-parts", "paco",
                                      "partimagenet", "coco-parts",     "ade20k-parts",
                                      "cihp",         "masks"};
static_assert(COUNT(METRICS) == TAP_N_METRICS, "a word for each metric");
static_assert(COUNT(CONTROLS) == TAP_N_CONTROLS, "a word for each control");
static_assert(COUNT(CELLS) == TAP_N_CELLS, "a word for each cell");
static_assert(COUNT(LOCATES) == TAP_N_LOCATES, "a word for each");

const char *tap_metric_name(tap_metric metric)
{
    assert(metric < TAP_N_METRICS);
    return METRICS[metric];
}

const char *tap_control_name(tap_control control)
{
    assert(control < TAP_N_CONTROLS);
    return CONTROLS[control];
}

const char *tap_cell_name(tap_cell cell)
{
    assert((int)cell < TAP_N_CELLS);
    return CELLS[cell];
}

const char *tap_multi_token_name(tap_multi_token policy)
{
    return MULTI[policy];
}

const char *tap_fallback_name(tap_fallback fallback)
{
    return FALLBACKS[fallback];
}

const char *tap_candidates_name(tap_candidates candidates)
{
    return CANDIDATES[candidates];
}

const char *tap_state_name(tap_readout state)
{
    return STATES[state];
}

const char *tap_locate_name(tap_locate locate)
{
    assert((int)locate < TAP_N_LOCATES);
    return LOCATES[locate];
}

const char *tap_form_name(size_t bit)
{
    return bit < COUNT(FORMS) ? FORMS[bit] : NULL;
}

/* What the reader carries through the sections. */
typedef struct reader {
    tap_experiment *e;
    tap_yaml_at top;
    char *directory; /* of the file */
} reader;

tap_status tap_experiment_own(void *out, tap_experiment *e, size_t n, size_t item_bytes,
                              tap_error *err)
{
    TAP_TRY(tap_grow(&e->owned, &e->capacity_owned, e->n_owned + 1, sizeof *e->owned,
                     "an experiment", err));
    void *memory = NULL;
    TAP_TRY(tap_alloc(&memory, n, item_bytes, "an experiment", err));
    e->owned[e->n_owned++] = memory;
    memcpy(out, &memory, sizeof memory);
    return TAP_OK;
}

tap_status tap_experiment_own_text(const char **out, tap_experiment *e,
                                   const char *text, size_t n_bytes, tap_error *err)
{
    char *copy = NULL;
    TAP_TRY(tap_experiment_own(&copy, e, n_bytes + 1, 1, err));
    if (n_bytes)
        memcpy(copy, text, n_bytes);
    *out = copy;
    return TAP_OK;
}

/* The member as text that the experiment keeps. */
static tap_status read_text(const char **out, reader *r, const tap_yaml_at *at,
                            const char *absent, tap_error *err)
{
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, at, absent, err));
    return tap_experiment_own_text(out, r->e, text, strlen(text), err);
}

static tap_status resolve(tap_buffer *out, const reader *r, const char *name,
                          size_t n_bytes, tap_error *err)
{
    if (name[0] != '/' && strcmp(r->directory, ".") != 0)
        TAP_TRY(tap_buffer_print(out, err, "%s/", r->directory));
    return tap_buffer_put(out, name, n_bytes, err);
}

/* A path, relative to the file. "A.gguf+B.gguf" is two of them. */
static tap_status read_path(const char **out, reader *r, const tap_yaml_at *at,
                            tap_error *err)
{
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, at, NULL, err));
    if (text[0] == '\0')
        return tap_yaml_fail(at, err, "is an empty path");
    tap_buffer path = {0};
    const char *plus = strstr(text, ".gguf+");
    const size_t first = plus ? (size_t)(plus - text) + 5 : strlen(text);
    tap_status status = resolve(&path, r, text, first, err);
    if (status == TAP_OK && plus) {
        status = tap_buffer_put(&path, "+", 1, err);
        if (status == TAP_OK)
            status = resolve(&path, r, text + first + 1, strlen(text) - first - 1, err);
    }
    if (status == TAP_OK)
        status = tap_experiment_own_text(out, r->e, path.text, path.n_bytes, err);
    tap_buffer_clear(&path);
    return status;
}

/* A word of the list, or else a path to an existing file. */
static tap_status read_word_or_file(const char **out, reader *r, const tap_yaml_at *at,
                                    const char *const *words, size_t n_words,
                                    tap_error *err)
{
    const char *text = words[0];
    TAP_TRY(tap_yaml_text(&text, at, words[0], err));
    for (size_t i = 0; i < n_words; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = words[i];
            return TAP_OK;
        }
    const char *path = NULL;
    TAP_TRY(read_path(&path, r, at, err));
    if (!tap_file_exists(path)) {
        const char *nearest = tap_suggest(text, words, n_words);
        if (nearest)
            return tap_yaml_fail(at, err,
                                 "is neither a file nor a known word: '%.60s'; did you "
                                 "mean '%s'?",
                                 text, nearest);
        return tap_yaml_fail(at, err, "names the file '%.200s', which does not exist",
                             path);
    }
    *out = path;
    return TAP_OK;
}

/* Texts of a list that the experiment keeps. */
static tap_status read_texts(const char ***out, size_t *n_out, reader *r,
                             const tap_yaml_at *at, bool paths, tap_error *err)
{
    const size_t n = tap_yaml_count(at);
    if (n > TAP_YAML_LIST_LIMIT)
        return tap_yaml_fail(at, err, "is a list of %zu, at most %d are read", n,
                             TAP_YAML_LIST_LIMIT);
    const char **texts = NULL;
    TAP_TRY(tap_experiment_own(&texts, r->e, n, sizeof *texts, err));
    for (size_t i = 0; i < n; i++) {
        const tap_yaml_at item = tap_yaml_item(at, i);
        if (paths)
            TAP_TRY(read_path(&texts[i], r, &item, err));
        else
            TAP_TRY(read_text(&texts[i], r, &item, NULL, err));
    }
    *out = texts;
    *n_out = n;
    return TAP_OK;
}

/* chosen[i] = the list at `at` names words[i]. */
static tap_status read_choice(bool *chosen, const tap_yaml_at *at,
                              const char *const *words, size_t n_words, tap_error *err)
{
    if (at->node)
        for (size_t i = 0; i < n_words; i++)
            chosen[i] = false;
    for (size_t i = 0; i < tap_yaml_count(at); i++) {
        const tap_yaml_at item = tap_yaml_item(at, i);
        int word = 0;
        TAP_TRY(tap_yaml_word(&word, &item, 0, words, n_words, err));
        chosen[word] = true;
    }
    return TAP_OK;
}

/* The keys of `data:`, found under data or, for `items`, at the top. */
static tap_status read_data(reader *r, const tap_yaml_at *at, bool at_top,
                            tap_error *err)
{
    static const char *const KEYS[] = {"format", "images", "annotations",
                                       "parts",  "sample", "schema"};
    static const char *const PARTS[] = {"names", "merge", "min_area_px"};
    static const char *const SAMPLE[] = {"images", "seed"};
    static const char *const NAMES[] = {"default"};
    tap_data_spec *data = &r->e->data;
    TAP_TRY(tap_yaml_check(at, KEYS, at_top ? COUNT(KEYS) : COUNT(KEYS) - 1, err));
    const tap_yaml_at format =
        tap_yaml_find(at, "format", at_top ? "format" : "data.format");
    if (!format.node)
        return tap_yaml_fail(&format, err,
                             "is missing; known formats are pascal-part, "
                             "panoptic-parts, paco, partimagenet, coco-parts, "
                             "ade20k-parts, cihp, masks");
    int word = 0;
    TAP_TRY(tap_yaml_word(&word, &format, 0, FORMATS, COUNT(FORMATS), err));
    data->format = FORMATS[word];
    data->line = (int64_t)tap_yaml_line(&format);
    const tap_yaml_at images =
        tap_yaml_find(at, "images", at_top ? "images" : "data.images");
    TAP_TRY(read_path(&data->images, r, &images, err));
    const tap_yaml_at annotations =
        tap_yaml_find(at, "annotations", at_top ? "annotations" : "data.annotations");
    TAP_TRY(read_path(&data->annotations, r, &annotations, err));

    const tap_yaml_at parts = tap_yaml_find(at, "parts", "parts");
    TAP_TRY(tap_yaml_check(&parts, PARTS, COUNT(PARTS), err));
    const tap_yaml_at names = tap_yaml_find(&parts, "names", "parts.names");
    TAP_TRY(read_word_or_file(&data->names, r, &names, NAMES, COUNT(NAMES), err));
    const tap_yaml_at merge = tap_yaml_find(&parts, "merge", "parts.merge");
    TAP_TRY(read_texts(&data->merge, &data->n_merge, r, &merge, false, err));
    const char *merges[TAP_MAX_PART_TABLES];
    const size_t n_merges = tap_part_tables(merges, "merge");
    for (size_t i = 0; i < data->n_merge; i++) {
        const tap_yaml_at item = tap_yaml_item(&merge, i);
        TAP_TRY(read_word_or_file(&data->merge[i], r, &item, merges, n_merges, err));
    }
    const tap_yaml_at area = tap_yaml_find(&parts, "min_area_px", "parts.min_area_px");
    TAP_TRY(tap_yaml_int(&data->min_area_px, &area, 0, 0, 1000000000, err));

    const tap_yaml_at sample = tap_yaml_find(at, "sample", "sample");
    TAP_TRY(tap_yaml_check(&sample, SAMPLE, COUNT(SAMPLE), err));
    const tap_yaml_at n = tap_yaml_find(&sample, "images", "sample.images");
    const char *all = NULL;
    if (n.node && tap_yaml_text(&all, &n, NULL, NULL) == TAP_OK &&
        strcmp(all, "all") == 0)
        data->sample_images = 0;
    else
        TAP_TRY(tap_yaml_int(&data->sample_images, &n, 0, 1, 1000000000, err));
    const tap_yaml_at seed = tap_yaml_find(&sample, "seed", "sample.seed");
    return tap_yaml_int(&data->sample_seed, &seed, 1, 0, INT64_C(999999999999), err);
}

static tap_status read_labels(reader *r, tap_error *err)
{
    static const char *const KEYS[] = {"forms", "synonyms", "multi_token",
                                       "common_labels"};
    static const char *const SYNONYMS[] = {"default", "none"};
    const tap_yaml_at at = tap_yaml_find(&r->top, "labels", "labels");
    TAP_TRY(tap_yaml_check(&at, KEYS, COUNT(KEYS), err));
    bool forms[COUNT(FORMS)] = {true, true, true};
    const tap_yaml_at form = tap_yaml_find(&at, "forms", "labels.forms");
    TAP_TRY(read_choice(forms, &form, FORMS, COUNT(FORMS), err));
    for (size_t i = 0; i < COUNT(FORMS); i++)
        r->e->labels.forms |= forms[i] ? 1U << i : 0;
    const tap_yaml_at synonyms = tap_yaml_find(&at, "synonyms", "labels.synonyms");
    TAP_TRY(read_word_or_file(&r->e->labels.synonyms, r, &synonyms, SYNONYMS,
                              COUNT(SYNONYMS), err));
    const tap_yaml_at multi = tap_yaml_find(&at, "multi_token", "labels.multi_token");
    int word = 0;
    TAP_TRY(tap_yaml_word(&word, &multi, TAP_MULTI_SKIP, MULTI, COUNT(MULTI), err));
    r->e->labels.multi_token = (tap_multi_token)word;
    const tap_yaml_at common =
        tap_yaml_find(&at, "common_labels", "labels.common_labels");
    return read_texts(&r->e->labels.common, &r->e->labels.n_common, r, &common, true,
                      err);
}

static tap_status read_patches(reader *r, tap_error *err)
{
    static const char *const KEYS[] = {"threshold", "fallback"};
    const tap_yaml_at at = tap_yaml_find(&r->top, "patches", "patches");
    TAP_TRY(tap_yaml_check(&at, KEYS, COUNT(KEYS), err));
    const tap_yaml_at threshold = tap_yaml_find(&at, "threshold", "patches.threshold");
    TAP_TRY(tap_yaml_real(&r->e->patches.threshold, &threshold, 0.5, 0.0, 1.0, err));
    const tap_yaml_at fallback = tap_yaml_find(&at, "fallback", "patches.fallback");
    int word = 0;
    TAP_TRY(tap_yaml_word(&word, &fallback, TAP_FALLBACK_ARGMAX, FALLBACKS,
                          COUNT(FALLBACKS), err));
    r->e->patches.fallback = (tap_fallback)word;
    return TAP_OK;
}

/* "all", "last", a depth, a range, or a list of them, in canonical text. */
static tap_status read_depths(const char **out, reader *r, const tap_yaml_at *at,
                              const char *absent, tap_error *err)
{
    tap_depth_range ranges[TAP_MAX_DEPTH_RANGES];
    size_t n_ranges = 0;
    const size_t n = tap_yaml_count(at);
    if (n > TAP_MAX_DEPTH_RANGES)
        return tap_yaml_fail(at, err, "is a list of %zu, at most %d are read", n,
                             TAP_MAX_DEPTH_RANGES);
    if (n == 0)
        return tap_experiment_own_text(out, r->e, absent, strlen(absent), err);
    bool all = false;
    for (size_t i = 0; i < n; i++) {
        const tap_yaml_at item = tap_yaml_item(at, i);
        const char *text = NULL;
        TAP_TRY(tap_yaml_text(&text, &item, NULL, err));
        if (strcmp(text, "all") == 0)
            all = true;
        else if (!tap_depth_range_parse(&ranges[n_ranges++], text))
            return tap_yaml_fail(&item, err,
                                 "must be 'all', 'last', a depth like 12, a range like "
                                 "4-11, or a list of them, found '%.40s'",
                                 text);
    }
    tap_buffer text = {0};
    tap_status status = all ? tap_buffer_put(&text, "all", 3, err)
                            : tap_depth_ranges_print(&text, ranges, n_ranges, err);
    if (status == TAP_OK)
        status = tap_experiment_own_text(out, r->e, text.text, text.n_bytes, err);
    tap_buffer_clear(&text);
    return status;
}

/* Which state is compared with which matrix, and how it is brought there. */
static tap_status read_state(reader *r, const tap_yaml_at *at, tap_error *err)
{
    tap_experiment *e = r->e;
    const tap_yaml_at state = tap_yaml_find(at, "state", "readout.state");
    int word = 0;
    TAP_TRY(
        tap_yaml_word(&word, &state, TAP_READOUT_RESID, STATES, COUNT(STATES), err));
    e->readout.state = (tap_readout)word;
    if (e->readout.state == TAP_READOUT_HEAD && e->controls[TAP_CONTROL_WORDS])
        return tap_yaml_fail(&state, err,
                             "is 'head', which reads the encoder, and the control "
                             "'words' puts words in its place; take the control out");
    const tap_yaml_at matrix = tap_yaml_find(at, "matrix", "readout.matrix");
    TAP_TRY(tap_yaml_word(&word, &matrix, TAP_MATRIX_OUTPUT, MATRICES, COUNT(MATRICES),
                          err));
    e->readout.matrix = (tap_word_matrix)word;
    const bool embed = e->readout.matrix == TAP_MATRIX_EMBED;
    const tap_yaml_at norm = tap_yaml_find(at, "norm", "readout.norm");
    TAP_TRY(tap_yaml_word(&word, &norm, embed, NORMS, COUNT(NORMS), err));
    e->readout.no_norm = word == 1;
    const tap_yaml_at translator =
        tap_yaml_find(at, "translator", "readout.translator");
    if (!translator.node)
        return TAP_OK;
    if (e->readout.state != TAP_READOUT_RESID)
        return tap_yaml_fail(&translator, err,
                             "maps states of the decoder's depths; it does not go with "
                             "'state: %s'",
                             STATES[e->readout.state]);
    if (embed)
        return tap_yaml_fail(&translator, err,
                             "leads to the basis of the output matrix; it does not go "
                             "with 'matrix: embed'");
    TAP_TRY(read_path(&e->readout.translator, r, &translator, err));
    if (!tap_file_exists(e->readout.translator))
        return tap_yaml_fail(&translator, err,
                             "names the file '%.200s', which does not exist",
                             e->readout.translator);
    return TAP_OK;
}

static tap_status read_readout(reader *r, tap_error *err)
{
    static const char *const KEYS[] = {
        "state",      "matrix", "translator", "norm",       "depths",
        "candidates", "locate", "top_words",  "top_depths", "thumbnail_px"};
    const tap_yaml_at at = tap_yaml_find(&r->top, "readout", "readout");
    int word = 0;
    TAP_TRY(tap_yaml_check(&at, KEYS, COUNT(KEYS), err));
    TAP_TRY(read_state(r, &at, err));
    const tap_yaml_at locate = tap_yaml_find(&at, "locate", "readout.locate");
    TAP_TRY(read_choice(r->e->readout.locate, &locate, LOCATES, COUNT(LOCATES), err));
    const tap_yaml_at candidates =
        tap_yaml_find(&at, "candidates", "readout.candidates");
    TAP_TRY(tap_yaml_word(&word, &candidates, TAP_CANDIDATES_VOCABULARY, CANDIDATES,
                          COUNT(CANDIDATES), err));
    r->e->readout.candidates = (tap_candidates)word;

    const tap_yaml_at depths = tap_yaml_find(&at, "depths", "readout.depths");
    TAP_TRY(read_depths(&r->e->readout.depths, r, &depths, "all", err));
    const tap_yaml_at words = tap_yaml_find(&at, "top_words", "readout.top_words");
    TAP_TRY(
        tap_yaml_int(&r->e->readout.top_words, &words, 5, 0, TAP_MAX_TOP_WORDS, err));
    const tap_yaml_at where = tap_yaml_find(&at, "top_depths", "readout.top_depths");
    TAP_TRY(read_depths(&r->e->readout.top_depths, r, &where, "last", err));
    const tap_yaml_at side = tap_yaml_find(&at, "thumbnail_px", "readout.thumbnail_px");
    return tap_yaml_int(&r->e->readout.thumbnail_px, &side, 256, 0, 4096, err);
}

static tap_status read_stats(reader *r, tap_error *err)
{
    static const char *const KEYS[] = {"metrics", "bootstrap", "seed", "depth"};
    const tap_yaml_at at = tap_yaml_find(&r->top, "stats", "stats");
    TAP_TRY(tap_yaml_check(&at, KEYS, COUNT(KEYS), err));
    bool *metrics = r->e->stats.metrics;
    metrics[TAP_METRIC_LOG_RANK] = metrics[TAP_METRIC_MRR] = true;
    metrics[TAP_METRIC_HIT1] = metrics[TAP_METRIC_HIT10] = true;
    const tap_yaml_at list = tap_yaml_find(&at, "metrics", "stats.metrics");
    TAP_TRY(read_choice(metrics, &list, METRICS, TAP_N_METRICS, err));
    const tap_yaml_at bootstrap = tap_yaml_find(&at, "bootstrap", "stats.bootstrap");
    TAP_TRY(tap_yaml_int(&r->e->stats.bootstrap, &bootstrap, 10000, 0, 1000000, err));
    const tap_yaml_at seed = tap_yaml_find(&at, "seed", "stats.seed");
    TAP_TRY(tap_yaml_int(&r->e->stats.seed, &seed, 1, 0, INT64_C(999999999999), err));
    const tap_yaml_at depth = tap_yaml_find(&at, "depth", "stats.depth");
    r->e->stats.depth = TAP_DEPTH_LAST;
    const char *text = NULL;
    if (depth.node && tap_yaml_text(&text, &depth, NULL, NULL) == TAP_OK &&
        strcmp(text, "last") == 0)
        return TAP_OK;
    return tap_yaml_int(&r->e->stats.depth, &depth, TAP_DEPTH_LAST, 0, 4096, err);
}

static tap_status read_all(reader *r, tap_error *err)
{
    static const char *const KEYS[] = {"schema", "model",    "prompt",     "data",
                                       "labels", "patches",  "conditions", "design",
                                       "doses",  "controls", "readout",    "stats"};
    TAP_TRY(tap_yaml_check(&r->top, KEYS, COUNT(KEYS), err));
    const tap_yaml_at schema = tap_yaml_find(&r->top, "schema", "schema");
    int64_t version = 0;
    TAP_TRY(tap_yaml_int(&version, &schema, 1, 0, INT64_C(999999), err));
    if (version != 1)
        return tap_yaml_fail(&schema, err,
                             "is %lld, and this tapetum reads schema 1; a newer one "
                             "may read it",
                             (long long)version);
    const tap_yaml_at model = tap_yaml_find(&r->top, "model", "model");
    if (model.node)
        TAP_TRY(read_path(&r->e->model, r, &model, err));
    const tap_yaml_at prompt = tap_yaml_find(&r->top, "prompt", "prompt");
    TAP_TRY(read_text(&r->e->prompt, r, &prompt, "default", err));
    const tap_yaml_at data = tap_yaml_find(&r->top, "data", "data");
    TAP_TRY(read_data(r, &data, false, err));
    TAP_TRY(read_labels(r, err));
    TAP_TRY(read_patches(r, err));
    TAP_TRY(tap_experiment_read_conditions(r->e, &r->top, err));
    TAP_TRY(tap_experiment_read_doses(r->e, &r->top, err));
    const tap_yaml_at controls = tap_yaml_find(&r->top, "controls", "controls");
    TAP_TRY(read_choice(r->e->controls, &controls, CONTROLS, TAP_N_CONTROLS, err));
    TAP_TRY(read_readout(r, err));
    return read_stats(r, err);
}

/* data_only: everything but the data stays as it is when the file holds nothing else. */
static tap_status parse(tap_experiment *out, const char *text, size_t n_bytes,
                        const char *path, bool data_only, tap_error *err)
{
    tap_experiment e = {0};
    tap_yaml yaml = {0};
    reader r = {.e = &e};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_yaml_parse(&yaml, text, n_bytes, path, err));
    TAP_TRY_OUT(tap_path_parent(&r.directory, path, err));
    TAP_TRY_OUT(tap_experiment_own_text(&e.path, &e, path, strlen(path), err));
    r.top = tap_yaml_top(&yaml);
    const tap_yaml_at data = tap_yaml_find(&r.top, "data", "data");
    if (data_only && !data.node) {
        TAP_TRY_OUT(read_data(&r, &r.top, true, err));
        e.labels =
            (tap_label_spec){.forms = (1U << COUNT(FORMS)) - 1, .synonyms = "default"};
    } else {
        TAP_TRY_OUT(read_all(&r, err));
        const tap_fact *facts = NULL;
        size_t n_facts = 0;
        TAP_TRY_OUT(tap_experiment_facts(&facts, &n_facts, &e, err));
    }
out:
    tap_yaml_clear(&yaml);
    tap_free(r.directory);
    if (status == TAP_OK)
        *out = e;
    else
        tap_experiment_clear(&e);
    return status;
}

tap_status tap_experiment_parse(tap_experiment *out, const char *text, size_t n_bytes,
                                const char *path, tap_error *err)
{
    return parse(out, text, n_bytes, path, false, err);
}

static tap_status read_file(tap_experiment *out, const char *path, bool data_only,
                            tap_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    TAP_TRY(tap_file_read(&text, &n_bytes, path, TAP_YAML_LIMIT_BYTES, err));
    const tap_status status = parse(out, text, n_bytes, path, data_only, err);
    tap_free(text);
    return status;
}

tap_status tap_experiment_read(tap_experiment *out, const char *path, tap_error *err)
{
    return read_file(out, path, false, err);
}

tap_status tap_experiment_read_data(tap_experiment *out, const char *path,
                                    tap_error *err)
{
    return read_file(out, path, true, err);
}

void tap_experiment_clear(tap_experiment *experiment)
{
    for (size_t i = 0; i < experiment->n_owned; i++)
        tap_free(experiment->owned[i]);
    tap_free(experiment->owned);
    *experiment = (tap_experiment){0};
}

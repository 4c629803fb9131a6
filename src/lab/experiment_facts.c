/* What makes two experiments the same? The meaning of every key that decides a row. */
#include "base/file.h"
#include "lab/experiment_own.h"
#include "lab/part_table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* At most nine digits from *text on; -1 if there are none. */
static int64_t take_number(const char **text)
{
    int64_t value = 0;
    const char *first = *text;
    for (; **text >= '0' && **text <= '9' && *text - first < 9; ++*text)
        value = value * 10 + (**text - '0');
    return *text == first ? -1 : value;
}

bool tap_depth_range_parse(tap_depth_range *out, const char *text)
{
    if (strcmp(text, "last") == 0) {
        *out = (tap_depth_range){TAP_DEPTH_LAST, TAP_DEPTH_LAST};
        return true;
    }
    tap_depth_range range = {.first = take_number(&text)};
    range.last = range.first;
    if (range.first >= 0 && *text == '-') {
        text++;
        range.last = take_number(&text);
    }
    if (*text != '\0' || range.first < 0 || range.last < range.first ||
        range.last > TAP_MAX_DEPTH)
        return false;
    *out = range;
    return true;
}

tap_status tap_depth_ranges_print(tap_buffer *out, tap_depth_range *ranges, size_t n,
                                  tap_error *err)
{
    bool last = false;
    for (size_t i = 1; i < n; i++) /* insertion sort by first */
        for (size_t k = i; k > 0 && ranges[k].first < ranges[k - 1].first; k--) {
            const tap_depth_range swap = ranges[k];
            ranges[k] = ranges[k - 1];
            ranges[k - 1] = swap;
        }
    for (size_t i = 0; i < n;) {
        tap_depth_range range = ranges[i++];
        if (range.first == TAP_DEPTH_LAST) {
            last = true;
            continue;
        }
        for (; i < n && ranges[i].first <= range.last + 1; i++)
            if (ranges[i].last > range.last)
                range.last = ranges[i].last;
        if (out->n_bytes)
            TAP_TRY(tap_buffer_put(out, ",", 1, err));
        TAP_TRY(tap_buffer_print(out, err, "%lld", (long long)range.first));
        if (range.last > range.first)
            TAP_TRY(tap_buffer_print(out, err, "-%lld", (long long)range.last));
    }
    if (last)
        TAP_TRY(tap_buffer_print(out, err, "%slast", out->n_bytes ? "," : ""));
    return TAP_OK;
}

static void set_bit(uint64_t *bits, int64_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static tap_status fail_depth(const char *key, const tap_experiment *e, int64_t depth,
                             int n_states, tap_error *err)
{
    static const char *const whose[] = {
        [TAP_READOUT_RESID] = "the decoder of this model has depths",
        [TAP_READOUT_HEAD] = "the encoder, as far as this model reads it, has depths",
        [TAP_READOUT_VALUE] = "the decoder of this model has blocks",
        [TAP_READOUT_KEY] = "the decoder of this model has blocks"};
    const bool block =
        e->readout.state == TAP_READOUT_VALUE || e->readout.state == TAP_READOUT_KEY;
    return TAP_FAIL(err, TAP_EINVAL, "'%s': '%s' asks for %s %lld, and %s 0 to %d",
                    e->path, key, block ? "block" : "depth", (long long)depth,
                    whose[e->readout.state], n_states - 1);
}

/* `key` stands in messages; text is canonical. */
static tap_status set_depths(uint64_t *bits, const char *text, const char *key,
                             const tap_experiment *experiment, int n_states,
                             tap_error *err)
{
    tap_depth_range ranges[TAP_MAX_DEPTH_RANGES + 1];
    size_t n = 0;
    if (strcmp(text, "all") == 0) {
        ranges[n++] = (tap_depth_range){0, n_states - 1};
        text = "";
    }
    while (*text) {
        char word[32];
        const size_t bytes = strcspn(text, ",");
        assert(bytes < sizeof word && n <= TAP_MAX_DEPTH_RANGES);
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        const bool good = tap_depth_range_parse(&ranges[n], word);
        assert(good);
        (void)good;
        if (ranges[n].first == TAP_DEPTH_LAST)
            ranges[n] = (tap_depth_range){n_states - 1, n_states - 1};
        if (ranges[n].last >= n_states)
            return fail_depth(key, experiment, ranges[n].last, n_states, err);
        n++;
        text += bytes;
        text += *text == ',';
    }
    memset(bits, 0, (size_t)(n_states + 63) / 64 * sizeof *bits);
    for (size_t i = 0; i < n; i++)
        for (int64_t depth = ranges[i].first; depth <= ranges[i].last; depth++)
            set_bit(bits, depth);
    return TAP_OK;
}

tap_status tap_experiment_depths(uint64_t *bits, const tap_experiment *experiment,
                                 int n_states, tap_error *err)
{
    return set_depths(bits, experiment->readout.depths, "readout.depths", experiment,
                      n_states, err);
}

tap_status tap_experiment_top_depths(uint64_t *bits, const tap_experiment *experiment,
                                     int n_states, tap_error *err)
{
    const char *text =
        experiment->readout.top_words > 0 ? experiment->readout.top_depths : "";
    return set_depths(bits, text, "readout.top_depths", experiment, n_states, err);
}

/* Facts in the making. */
typedef struct list {
    tap_experiment *e;
    tap_fact *facts;
    size_t n, capacity;
    tap_buffer value; /* of the fact being written */
} list;

/* Ends the fact whose value stands in l->value. */
static tap_status put_fact(list *l, const char *key, bool identity, tap_error *err)
{
    assert(l->n < l->capacity);
    tap_fact fact = {.identity = identity};
    TAP_TRY(tap_experiment_own_text(&fact.key, l->e, key, strlen(key), err));
    TAP_TRY(tap_experiment_own_text(
        &fact.value, l->e, l->value.text ? l->value.text : "", l->value.n_bytes, err));
    l->value.n_bytes = 0;
    l->facts[l->n++] = fact;
    return TAP_OK;
}

static tap_status put_text(list *l, const char *key, const char *text, bool identity,
                           tap_error *err)
{
    TAP_TRY(tap_buffer_print(&l->value, err, "%s", text));
    return put_fact(l, key, identity, err);
}

static tap_status put_number(list *l, const char *key, int64_t number, bool identity,
                             tap_error *err)
{
    TAP_TRY(tap_buffer_print(&l->value, err, "%lld", (long long)number));
    return put_fact(l, key, identity, err);
}

static tap_status put_item(list *l, const char *word, tap_error *err)
{
    return tap_buffer_print(&l->value, err, "%s%s", l->value.n_bytes ? "," : "", word);
}

/* A word of the file, or the content of the file it names. */
static tap_status put_source(list *l, const char *key, const char *word_or_path,
                             tap_error *err)
{
    if (strcmp(word_or_path, "default") == 0 || strcmp(word_or_path, "none") == 0)
        return put_text(l, key, word_or_path, true, err);
    char sha256[TAP_SHA256_TEXT_BYTES];
    TAP_TRY(tap_sha256_file(sha256, word_or_path, err));
    TAP_TRY(tap_buffer_print(&l->value, err, "sha256:%s", sha256));
    return put_fact(l, key, true, err);
}

static tap_status put_data(list *l, tap_error *err)
{
    const tap_data_spec *data = &l->e->data;
    TAP_TRY(put_text(l, "data.format", data->format, true, err));
    TAP_TRY(put_source(l, "data.parts.names", data->names, err));
    for (size_t i = 0; i < data->n_merge; i++) {
        char sha256[TAP_SHA256_TEXT_BYTES];
        const bool shipped = tap_part_table_is_shipped("merge", data->merge[i]);
        if (!shipped)
            TAP_TRY(tap_sha256_file(sha256, data->merge[i], err));
        TAP_TRY(put_item(l, shipped ? data->merge[i] : sha256, err));
    }
    TAP_TRY(put_fact(l, "data.parts.merge", true, err));
    TAP_TRY(put_number(l, "data.parts.min_area_px", data->min_area_px, true, err));
    TAP_TRY(put_number(l, "data.sample.images", data->sample_images, true, err));
    return put_number(l, "data.sample.seed",
                      data->sample_images ? data->sample_seed : 0, true, err);
}

/* A tokenizer, by the content of its file. */
static tap_status put_tokenizer(list *l, const char *model, tap_error *err)
{
    static const char *const files[] = {"/tokenizer.json", "/tokenizer.model", ""};
    char sha256[TAP_SHA256_TEXT_BYTES], *path = NULL;
    tap_status status = TAP_OK;
    for (size_t i = 0; i < 3 && !path; i++) {
        TAP_TRY(tap_text_format(&path, err, "%s%s", model, files[i]));
        if (i < 2 && !tap_file_exists(path)) {
            tap_free(path);
            path = NULL;
        }
    }
    status = tap_sha256_file(sha256, path, err);
    tap_free(path);
    return status == TAP_OK ? put_item(l, sha256, err)
                            : tap_wrap(err, status, "labels.common_labels");
}

static tap_status put_labels(list *l, tap_error *err)
{
    const tap_experiment *e = l->e;
    for (size_t bit = 0; tap_form_name(bit); bit++)
        if (e->labels.forms & 1U << bit)
            TAP_TRY(put_item(l, tap_form_name(bit), err));
    TAP_TRY(put_fact(l, "labels.forms", true, err));
    TAP_TRY(put_source(l, "labels.synonyms", e->labels.synonyms, err));
    for (size_t i = 0; i < e->labels.n_common; i++)
        TAP_TRY(put_tokenizer(l, e->labels.common[i], err));
    if (e->labels.n_common > 0)
        TAP_TRY(put_fact(l, "labels.common", true, err));
    return put_text(l, "labels.multi_token",
                    tap_multi_token_name(e->labels.multi_token), true, err);
}

static tap_status put_conditions(list *l, tap_error *err)
{
    const tap_experiment *e = l->e;
    /* Sorted by name: the order in the file is not part of what is asked. */
    const tap_condition_spec *previous = NULL;
    for (size_t done = 0; done < e->n_conditions; done++) {
        const tap_condition_spec *next = NULL;
        for (size_t i = 0; i < e->n_conditions; i++) {
            const tap_condition_spec *c = &e->conditions[i];
            if ((!previous || strcmp(c->name, previous->name) > 0) &&
                (!next || strcmp(c->name, next->name) < 0))
                next = c;
        }
        assert(next);
        char key[128];
        const int n = snprintf(key, sizeof key, "conditions.%s", next->name);
        assert(n > 0 && (size_t)n < sizeof key);
        (void)n;
        TAP_TRY(put_text(l, key, next->text, true, err));
        previous = next;
    }
    for (int c = 0; e->has_design && c < TAP_N_CELLS; c++) {
        char key[64];
        (void)snprintf(key, sizeof key, "design.%s", tap_cell_name((tap_cell)c));
        TAP_TRY(put_text(l, key, e->conditions[e->design[c]].name, false, err));
    }
    for (size_t i = 0; i < e->n_doses; i++) {
        const tap_dose_curve *curve = &e->doses[i];
        for (size_t k = 0; k < curve->n_points; k++)
            TAP_TRY(tap_buffer_print(&l->value, err, "%s%.15g:%s", k ? "," : "",
                                     curve->points[k].dose,
                                     e->conditions[curve->points[k].condition].name));
        char *key = NULL;
        TAP_TRY(tap_text_format(&key, err, "doses.%s", curve->name));
        const tap_status status = put_fact(l, key, false, err);
        tap_free(key);
        TAP_TRY(status);
    }
    return TAP_OK;
}

static tap_status put_rest(list *l, tap_error *err)
{
    const tap_experiment *e = l->e;
    for (int c = 0; c < TAP_N_CONTROLS; c++)
        if (e->controls[c])
            TAP_TRY(put_item(l, tap_control_name((tap_control)c), err));
    TAP_TRY(put_fact(l, "controls", true, err));
    TAP_TRY(put_text(l, "readout.state", tap_state_name(e->readout.state), true, err));
    TAP_TRY(put_text(l, "readout.matrix",
                     e->readout.matrix == TAP_MATRIX_EMBED ? "embed" : "output", true,
                     err));
    TAP_TRY(put_source(l, "readout.translator",
                       e->readout.translator ? e->readout.translator : "none", err));
    TAP_TRY(put_text(l, "readout.depths", e->readout.depths, true, err));
    TAP_TRY(
        put_text(l, "readout.norm", e->readout.no_norm ? "none" : "final", true, err));
    TAP_TRY(put_text(l, "readout.candidates",
                     tap_candidates_name(e->readout.candidates), true, err));
    for (int i = 0; i < TAP_N_LOCATES; i++)
        if (e->readout.locate[i])
            TAP_TRY(put_item(l, tap_locate_name((tap_locate)i), err));
    TAP_TRY(put_fact(l, "readout.locate", true, err));
    TAP_TRY(put_number(l, "readout.top_words", e->readout.top_words, true, err));
    TAP_TRY(put_text(l, "readout.top_depths",
                     e->readout.top_words > 0 ? e->readout.top_depths : "", true, err));
    TAP_TRY(put_number(l, "readout.thumbnail_px", e->readout.thumbnail_px, true, err));
    for (int m = 0; m < TAP_N_METRICS; m++)
        if (e->stats.metrics[m])
            TAP_TRY(put_item(l, tap_metric_name((tap_metric)m), err));
    TAP_TRY(put_fact(l, "stats.metrics", false, err));
    TAP_TRY(put_number(l, "stats.bootstrap", e->stats.bootstrap, false, err));
    TAP_TRY(put_number(l, "stats.seed", e->stats.seed, false, err));
    if (e->stats.depth == TAP_DEPTH_LAST)
        return put_text(l, "stats.depth", "last", false, err);
    return put_number(l, "stats.depth", e->stats.depth, false, err);
}

static tap_status put_all(list *l, tap_error *err)
{
    const tap_experiment *e = l->e;
    TAP_TRY(put_number(l, "experiment.schema", 1, true, err));
    TAP_TRY(put_text(l, "prompt", e->prompt, true, err));
    TAP_TRY(put_data(l, err));
    TAP_TRY(put_labels(l, err));
    TAP_TRY(tap_buffer_print(&l->value, err, "%.8g", e->patches.threshold));
    TAP_TRY(put_fact(l, "patches.threshold", true, err));
    TAP_TRY(put_text(l, "patches.fallback", tap_fallback_name(e->patches.fallback),
                     true, err));
    TAP_TRY(put_conditions(l, err));
    return put_rest(l, err);
}

/* SHA-256 over "key\tvalue\n" of the facts with identity. */
static tap_status put_identity(list *l, tap_error *err)
{
    tap_buffer text = {0};
    tap_status status = TAP_OK;
    for (size_t i = 0; status == TAP_OK && i < l->n; i++)
        if (l->facts[i].identity)
            status = tap_buffer_print(&text, err, "%s\t%s\n", l->facts[i].key,
                                      l->facts[i].value);
    if (status == TAP_OK)
        status = tap_sha256(l->e->identity, text.text, text.n_bytes, err);
    tap_buffer_clear(&text);
    if (status == TAP_OK)
        status = put_text(l, "experiment.identity", l->e->identity, true, err);
    return status;
}

tap_status tap_experiment_facts(const tap_fact **facts, size_t *n_facts,
                                tap_experiment *experiment, tap_error *err)
{
    list l = {.e = experiment};
    l.capacity = 40 + TAP_N_CELLS + experiment->n_conditions + experiment->n_doses;
    TAP_TRY(tap_experiment_own(&l.facts, experiment, l.capacity, sizeof *l.facts, err));
    tap_status status = put_all(&l, err);
    if (status == TAP_OK)
        status = put_identity(&l, err);
    tap_buffer_clear(&l.value);
    if (status == TAP_OK) {
        *facts = l.facts;
        *n_facts = l.n;
    }
    return status;
}

/* tokenizer.json of the Llama-2 kind: BPE with byte fallback, normalizers that prepend and
 * replace (or Metaspace), added tokens, a template that adds the begin token. What another
 * kind needs is refused by name. */
#include "base/hash.h"
#include "format/json.h"
#include "format/tokenizer_tables.h"

#include <string.h>

enum { LIMIT_BYTES = 1 << 28 };

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "";
}

static tap_status unsupported(const char *path, const char *what, const char *type,
                              tap_error *err)
{
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot read tokenizer '%s': its %s is '%.60s', which this version "
                    "does not know",
                    path, what, type);
}

static tap_status text_of(char **out, const json_t *object, const char *key,
                          const char *path, tap_error *err)
{
    const json_t *text = json_object_get(object, key);
    if (!json_is_string(text))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read tokenizer '%s': a step has no text '%s'", path,
                        key);
    return tap_text_copy(out, json_string_value(text), json_string_length(text), err);
}

static tap_status read_normalizer(tap_tokenizer *t, const json_t *step, int depth,
                                  const char *path, tap_error *err)
{
    const char *type = type_of(step);
    if (!step || json_is_null(step))
        return TAP_OK;
    if (strcmp(type, "Sequence") == 0 && depth < 4) {
        size_t i = 0;
        const json_t *inner = NULL;
        json_array_foreach(json_object_get(step, "normalizers"), i, inner)
            TAP_TRY(read_normalizer(t, inner, depth + 1, path, err));
        return TAP_OK;
    }
    if (t->n_normal == TAP_MAX_NORMAL_STEPS)
        return unsupported(path, "list of normalizers", "too long", err);
    tap_normal_step *out = &t->normal[t->n_normal];
    if (strcmp(type, "Prepend") == 0) {
        *out = (tap_normal_step){.kind = TAP_NORMAL_PREPEND};
        t->n_normal++;
        return text_of(&out->to, step, "prepend", path, err);
    }
    if (strcmp(type, "Replace") == 0) {
        *out = (tap_normal_step){.kind = TAP_NORMAL_REPLACE};
        t->n_normal++;
        TAP_TRY(
            text_of(&out->from, json_object_get(step, "pattern"), "String", path, err));
        return text_of(&out->to, step, "content", path, err);
    }
    return unsupported(path, "normalizer", type, err);
}

static tap_status read_pre_tokenizer(tap_tokenizer *t, const json_t *step,
                                     const char *path, tap_error *err)
{
    static const char *const schemes[] = {"never", "first", "always"}; /* ORDER rule */
    const char *type = type_of(step);
    if (!step || json_is_null(step))
        return TAP_OK;
    if (strcmp(type, "Metaspace") != 0 || json_is_true(json_object_get(step, "split")))
        return unsupported(path, "pre-tokenizer", type, err);
    const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
    if (!scheme)
        scheme = json_is_false(json_object_get(step, "add_prefix_space")) ? "never"
                                                                          : "always";
    int rule = 0;
    while (rule < 3 && strcmp(scheme, schemes[rule]) != 0)
        rule++;
    if (rule == 3)
        return unsupported(path, "prepend_scheme", scheme, err);
    t->mark_rule = (tap_mark_rule)rule;
    t->marks_spaces = true;
    return TAP_OK;
}

static tap_status read_vocabulary(tap_tokenizer *t, json_t *vocabulary,
                                  const char *path, tap_error *err)
{
    const char *piece = NULL;
    json_t *id = NULL;
    if (!json_is_object(vocabulary) || json_object_size(vocabulary) == 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read tokenizer '%s': it has no vocabulary", path);
    json_object_foreach(vocabulary, piece, id)
    {
        const json_int_t number = json_is_integer(id) ? json_integer_value(id) : -1;
        if (number < 0 || number >= TAP_TOKENIZER_MAX_IDS)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read tokenizer '%s': the piece '%.40s' has no id "
                            "between 0 and %d",
                            path, piece, TAP_TOKENIZER_MAX_IDS - 1);
        TAP_TRY(tap_tokenizer_put_piece(t, (int32_t)number, piece, strlen(piece), path,
                                        err));
    }
    return TAP_OK;
}

static tap_status read_added(tap_tokenizer *t, const json_t *list, const char *path,
                             tap_error *err)
{
    size_t i = 0;
    const json_t *entry = NULL;
    json_array_foreach(list, i, entry)
    {
        const json_t *content = json_object_get(entry, "content");
        const json_t *id = json_object_get(entry, "id");
        if (!json_is_string(content) || !json_is_integer(id) ||
            json_integer_value(id) < 0 ||
            json_integer_value(id) >= TAP_TOKENIZER_MAX_IDS)
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot read tokenizer '%s': added token %zu lacks content or "
                "id",
                path, i);
        char *text = NULL;
        TAP_TRY(tap_text_copy(&text, json_string_value(content),
                              json_string_length(content), err));
        const tap_added_token token = {
            .content = text,
            .n_bytes = json_string_length(content),
            .id = (int32_t)json_integer_value(id),
            .special = json_is_true(json_object_get(entry, "special")),
            .left_strip = json_is_true(json_object_get(entry, "lstrip")),
            .right_strip = json_is_true(json_object_get(entry, "rstrip")),
            .single_word = json_is_true(json_object_get(entry, "single_word")),
            .normalized = json_is_true(json_object_get(entry, "normalized"))};
        const tap_status status = tap_tokenizer_put_added(t, &token, path, err);
        tap_free(text);
        TAP_TRY(status);
    }
    return TAP_OK;
}

/* "a b" or ["a", "b"]. */
static bool split_merge(const char **a, size_t *n_a, const char **b, size_t *n_b,
                        const json_t *merge)
{
    if (json_is_string(merge)) {
        *a = json_string_value(merge);
        const char *space = **a ? strchr(*a + 1, ' ') : NULL;
        if (!space)
            return false;
        *n_a = (size_t)(space - *a);
        *b = space + 1;
        *n_b = strlen(*b);
        return *n_b > 0;
    }
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        return false;
    *a = json_string_value(left);
    *n_a = json_string_length(left);
    *b = json_string_value(right);
    *n_b = json_string_length(right);
    return true;
}

static tap_status read_merges(tap_tokenizer *t, const json_t *list, const char *path,
                              tap_error *err)
{
    const size_t n = json_array_size(list);
    t->n_merge_slots = 16;
    while (t->n_merge_slots < 2 * n)
        t->n_merge_slots *= 2;
    TAP_TRY(tap_alloc(&t->merges, t->n_merge_slots, sizeof *t->merges, "merges", err));
    for (size_t i = 0; i < t->n_merge_slots; i++)
        t->merges[i].left = -1;
    for (size_t i = 0; i < n; i++) {
        const char *a = NULL, *b = NULL;
        size_t n_a = 0, n_b = 0;
        char joined[2 * TAP_PIECE_MAX_BYTES];
        tap_merge merge = {.rank = (int32_t)i, .left = -1, .right = -1, .result = -1};
        if (split_merge(&a, &n_a, &b, &n_b, json_array_get(list, i)) &&
            n_a + n_b < sizeof joined) {
            memcpy(joined, a, n_a);
            memcpy(joined + n_a, b, n_b);
            merge.left = tap_tokenizer_find(t, a, n_a);
            merge.right = tap_tokenizer_find(t, b, n_b);
            merge.result = tap_tokenizer_find(t, joined, n_a + n_b);
        }
        if (merge.left < 0 || merge.right < 0 || merge.result < 0)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read tokenizer '%s': merge %zu does not join two "
                            "pieces of the vocabulary into a third",
                            path, i);
        const int32_t pair[2] = {merge.left, merge.right};
        size_t slot = (size_t)tap_hash(1, pair, sizeof pair) & (t->n_merge_slots - 1);
        while (t->merges[slot].left >= 0)
            slot = (slot + 1) & (t->n_merge_slots - 1);
        t->merges[slot] = merge;
    }
    return TAP_OK;
}

static tap_status read_template(tap_tokenizer *t, const json_t *step, const char *path,
                                tap_error *err)
{
    bool behind = false;
    size_t i = 0;
    const json_t *entry = NULL;
    if (!step || json_is_null(step))
        return TAP_OK;
    if (strcmp(type_of(step), "TemplateProcessing") != 0)
        return unsupported(path, "post-processor", type_of(step), err);
    json_array_foreach(json_object_get(step, "single"), i, entry)
    {
        const json_t *special = json_object_get(entry, "SpecialToken");
        const char *name = json_string_value(json_object_get(special, "id"));
        behind |= json_object_get(entry, "Sequence") != NULL;
        if (!special)
            continue;
        const int32_t id = name ? tap_tokenizer_find(t, name, strlen(name)) : -1;
        size_t *n = behind ? &t->n_after : &t->n_before;
        if (id < 0 || *n == TAP_MAX_SPECIALS)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read tokenizer '%s': its template names the token "
                            "'%.40s', which is not in the vocabulary",
                            path, name ? name : "");
        (behind ? t->after : t->before)[(*n)++] = id;
    }
    return TAP_OK;
}

static tap_status read_all(tap_tokenizer *t, const json_t *file, const char *path,
                           tap_error *err)
{
    const json_t *model = json_object_get(file, "model");
    const char *type = type_of(model);
    const json_t *pre = json_object_get(file, "pre_tokenizer");
    if (*type && strcmp(type, "BPE") != 0)
        return unsupported(path, "model", type, err);
    if (!json_is_object(model))
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read tokenizer '%s': it has no model",
                        path);
    const char *end = json_string_value(json_object_get(model, "end_of_word_suffix"));
    if (end && *end)
        return unsupported(path, "end_of_word_suffix", end, err);
    t->byte_fallback = json_is_true(json_object_get(model, "byte_fallback"));
    t->fuse_unknown = json_is_true(json_object_get(model, "fuse_unk"));
    t->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    t->strip_first_space = true;
    TAP_TRY(read_vocabulary(t, json_object_get(model, "vocab"), path, err));
    TAP_TRY(read_added(t, json_object_get(file, "added_tokens"), path, err));
    TAP_TRY(read_normalizer(t, json_object_get(file, "normalizer"), 0, path, err));
    TAP_TRY(read_pre_tokenizer(t, pre, path, err));
    TAP_TRY(tap_tokenizer_index(t, path, err));
    TAP_TRY(read_merges(t, json_object_get(model, "merges"), path, err));
    const char *unknown = json_string_value(json_object_get(model, "unk_token"));
    t->unknown = unknown ? tap_tokenizer_find(t, unknown, strlen(unknown)) : -1;
    return read_template(t, json_object_get(file, "post_processor"), path, err);
}

tap_status tap_tokenizer_read_json(tap_tokenizer *out, const char *path, tap_error *err)
{
    json_t *file = NULL;
    TAP_TRY(tap_json_read(&file, path, LIMIT_BYTES, err));
    const tap_status status = read_all(out, file, path, err);
    json_decref(file);
    return status;
}

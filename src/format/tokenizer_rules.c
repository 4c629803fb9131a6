/* Which normalizers, pre-tokenizers and decoders does a tokenizer.json ask for?
 *
 * A kind that is not in the tables below is refused by name: to leave a step out would give
 * other ids without a word. */
#include "base/suggest.h"
#include "format/tokenizer_own.h"

#include <string.h>

enum { DEPTH_LIMIT = 8 };

/* GPT-2's expression, which ByteLevel means by use_regex. */
static const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                                 " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

typedef tap_status reader(tap_step *step, const tap_json_at *at, tap_error *err);

typedef struct rule {
    const char *type;
    tap_step_kind kind;
    reader *read; /* NULL: there is nothing to read */
} rule;

typedef struct rules {
    const char *section;  /* "normalizer" */
    const char *sequence; /* key of the list in a Sequence */
    const rule *items;
    size_t n;
} rules;

static tap_status read_text(char **out, size_t *n, const tap_json_at *at,
                            const char *key, const char *absent, tap_error *err)
{
    const char *text = NULL;
    TAP_TRY(tap_json_text(&text, at, key, absent, err));
    const size_t n_bytes = strlen(text);
    if (n_bytes > TAP_PIECE_LIMIT_BYTES)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%s%s' has %zu bytes, expected at most %d",
                        at->path, at->place, key, n_bytes, TAP_PIECE_LIMIT_BYTES);
    TAP_TRY(tap_text_copy(out, text, n_bytes, err));
    *n = n_bytes;
    return TAP_OK;
}

/* {"String": "..."} or {"Regex": "..."} */
static tap_status read_pattern(tap_step *step, const tap_json_at *at, tap_error *err)
{
    tap_json_at pattern;
    const char *expression = NULL;
    TAP_TRY(tap_json_object(&pattern, at, "pattern", "pattern.", err));
    if (tap_json_find(&pattern, "String"))
        return read_text(&step->literal, &step->n_literal, &pattern, "String", NULL,
                         err);
    TAP_TRY(tap_json_text(&expression, &pattern, "Regex", NULL, err));
    return tap_regex_compile(&step->regex, expression, strlen(expression), at->path,
                             err);
}

static tap_status read_prepend(tap_step *step, const tap_json_at *at, tap_error *err)
{
    return read_text(&step->content, &step->n_content, at, "prepend", NULL, err);
}

static tap_status read_replace(tap_step *step, const tap_json_at *at, tap_error *err)
{
    TAP_TRY(read_pattern(step, at, err));
    return read_text(&step->content, &step->n_content, at, "content", NULL, err);
}

static tap_status read_strip(tap_step *step, const tap_json_at *at, tap_error *err)
{
    TAP_TRY(tap_json_bool(&step->strip_left, at, "strip_left", true, err));
    return tap_json_bool(&step->strip_right, at, "strip_right", true, err);
}

static tap_status unknown_word(const tap_json_at *at, const char *key,
                               const char *found, const char *const *known,
                               size_t n_known, tap_error *err)
{
    const char *near = tap_suggest(found, known, n_known);
    return TAP_FAIL(
        err, TAP_EUNSUPPORTED,
        "cannot read '%s': '%s%s' is \"%.100s\", which is not supported%s%s%s",
        at->path, at->place, key, found, near ? "; did you mean \"" : "",
        near ? near : "", near ? "\"?" : "");
}

/* *out = the index of the text under key in the list. */
static tap_status read_word(int *out, const tap_json_at *at, const char *key,
                            const char *absent, const char *const *known,
                            size_t n_known, tap_error *err)
{
    const char *found = NULL;
    TAP_TRY(tap_json_text(&found, at, key, absent, err));
    for (size_t i = 0; i < n_known; i++)
        if (strcmp(found, known[i]) == 0) {
            *out = (int)i;
            return TAP_OK;
        }
    return unknown_word(at, key, found, known, n_known, err);
}

static tap_status read_split(tap_step *step, const tap_json_at *at, tap_error *err)
{
    /* ORDER tap_behavior */
    static const char *const names[] = {"Isolated", "Removed", "Contiguous",
                                        "MergedWithPrevious", "MergedWithNext"};
    int behavior = 0;
    TAP_TRY(read_word(&behavior, at, "behavior", NULL, names, 5, err));
    step->behavior = (tap_behavior)behavior;
    TAP_TRY(tap_json_bool(&step->invert, at, "invert", false, err));
    return read_pattern(step, at, err);
}

static tap_status read_digits(tap_step *step, const tap_json_at *at, tap_error *err)
{
    bool individual = false;
    TAP_TRY(tap_json_bool(&individual, at, "individual_digits", false, err));
    step->behavior = individual ? TAP_SPLIT_ISOLATED : TAP_SPLIT_CONTIGUOUS;
    return TAP_OK;
}

static tap_status read_byte_level(tap_step *step, const tap_json_at *at, tap_error *err)
{
    bool add_prefix = false, use_regex = false;
    TAP_TRY(tap_json_bool(&add_prefix, at, "add_prefix_space", true, err));
    TAP_TRY(tap_json_bool(&use_regex, at, "use_regex", true, err));
    TAP_TRY(tap_text_copy(&step->content, " ", 1, err));
    step->n_content = 1;
    step->prefix = add_prefix ? TAP_PREFIX_ALWAYS : TAP_PREFIX_NEVER;
    if (!use_regex)
        return TAP_OK;
    return tap_regex_compile(&step->regex, gpt2_words, sizeof gpt2_words - 1, at->path,
                             err);
}

/* Older files say add_prefix_space instead of prepend_scheme. */
static tap_status read_metaspace(tap_step *step, const tap_json_at *at, tap_error *err)
{
    /* ORDER tap_prefix */
    static const char *const schemes[] = {"never", "first", "always"};
    bool add_prefix = true;
    int scheme = 0;
    TAP_TRY(tap_json_bool(&add_prefix, at, "add_prefix_space", true, err));
    TAP_TRY(read_word(&scheme, at, "prepend_scheme", add_prefix ? "always" : "never",
                      schemes, 3, err));
    step->prefix = (tap_prefix)scheme;
    TAP_TRY(tap_json_bool(&step->split, at, "split", true, err));
    TAP_TRY(read_text(&step->content, &step->n_content, at, "replacement", NULL, err));
    TAP_TRY(tap_text_copy(&step->literal, step->content, step->n_content, err));
    step->n_literal = step->n_content;
    step->behavior = TAP_SPLIT_MERGED_NEXT;
    return TAP_OK;
}

static tap_status read_strip_char(tap_step *step, const tap_json_at *at, tap_error *err)
{
    int64_t n_start = 0, n_stop = 0;
    TAP_TRY(read_text(&step->content, &step->n_content, at, "content", NULL, err));
    TAP_TRY(tap_json_int(&n_start, at, "start", 0, 0, INT32_MAX, err));
    TAP_TRY(tap_json_int(&n_stop, at, "stop", 0, 0, INT32_MAX, err));
    step->n_start = (size_t)n_start;
    step->n_stop = (size_t)n_stop;
    return TAP_OK;
}

static tap_status read_suffix(tap_step *step, const tap_json_at *at, tap_error *err)
{
    TAP_TRY(read_text(&step->literal, &step->n_literal, at, "suffix", "</w>", err));
    TAP_TRY(tap_text_copy(&step->content, " ", 1, err));
    step->n_content = 1;
    return TAP_OK;
}

static const rule normalizers[] = {
    {"Prepend", TAP_STEP_PREPEND, read_prepend},
    {"Replace", TAP_STEP_REPLACE, read_replace},
    {"NFC", TAP_STEP_NFC, NULL},
    {"NFD", TAP_STEP_NFD, NULL},
    {"NFKC", TAP_STEP_NFKC, NULL},
    {"NFKD", TAP_STEP_NFKD, NULL},
    {"Lowercase", TAP_STEP_LOWERCASE, NULL},
    {"Strip", TAP_STEP_STRIP, read_strip},
};

static const rule pre_tokenizers[] = {
    {"Split", TAP_STEP_SPLIT, read_split},
    {"Digits", TAP_STEP_DIGITS, read_digits},
    {"ByteLevel", TAP_STEP_BYTE_LEVEL, read_byte_level},
    {"Metaspace", TAP_STEP_METASPACE, read_metaspace},
};

static const rule decoders[] = {
    {"Replace", TAP_STEP_REPLACE, read_replace},
    {"ByteFallback", TAP_STEP_BYTE_FALLBACK, NULL},
    {"Fuse", TAP_STEP_FUSE, NULL},
    {"Strip", TAP_STEP_STRIP_CHAR, read_strip_char},
    {"ByteLevel", TAP_STEP_BYTE_LEVEL, NULL},
    {"Metaspace", TAP_STEP_METASPACE, read_metaspace},
    {"BPEDecoder", TAP_STEP_SUFFIX, read_suffix},
};

static tap_status put_step(tap_steps *out, const rules *known, const tap_json_at *at,
                           const char *type, tap_error *err)
{
    const char *names[16];
    for (size_t i = 0; i < known->n; i++) {
        names[i] = known->items[i].type;
        if (strcmp(type, names[i]) != 0)
            continue;
        tap_step step = {.kind = known->items[i].kind};
        const tap_status status =
            known->items[i].read ? known->items[i].read(&step, at, err) : TAP_OK;
        if (status == TAP_OK)
            return tap_steps_take(out, &step, err);
        tap_step_clear(&step);
        return status;
    }
    return unknown_word(at, "type", type, names, known->n, err);
}

/* Sequences may hold sequences: what counts is the order of the steps. */
static tap_status read_steps(tap_steps *out, const rules *known, const json_t *object,
                             const char *path, int depth, tap_error *err)
{
    char place[40] = "";
    const char *type = NULL;
    (void)strncat(place, known->section, sizeof place - 2);
    (void)strncat(place, ".", 2);
    const tap_json_at at = {.object = object, .path = path, .place = place};
    if (!object || json_is_null(object))
        return TAP_OK;
    if (!json_is_object(object) || depth > DEPTH_LIMIT)
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': '%s' %s", path,
                        known->section,
                        depth > DEPTH_LIMIT ? "is nested too deeply, at most 8 levels "
                                              "are read"
                                            : "is not an object");
    TAP_TRY(tap_json_text(&type, &at, "type", NULL, err));
    if (strcmp(type, "Sequence") != 0)
        return put_step(out, known, &at, type, err);
    const json_t *list = tap_json_find(&at, known->sequence);
    if (!json_is_array(list))
        return TAP_FAIL(err, TAP_EFORMAT, "cannot read '%s': '%s%s' is not a list",
                        path, place, known->sequence);
    for (size_t i = 0; i < json_array_size(list); i++)
        TAP_TRY(read_steps(out, known, json_array_get(list, i), path, depth + 1, err));
    return TAP_OK;
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

tap_status tap_rules_normalizer(tap_steps *out, const json_t *object, const char *path,
                                tap_error *err)
{
    const rules known = {"normalizer", "normalizers", normalizers, COUNT(normalizers)};
    return read_steps(out, &known, object, path, 0, err);
}

tap_status tap_rules_pre_tokenizer(tap_steps *out, const json_t *object,
                                   const char *path, tap_error *err)
{
    const rules known = {"pre_tokenizer", "pretokenizers", pre_tokenizers,
                         COUNT(pre_tokenizers)};
    return read_steps(out, &known, object, path, 0, err);
}

tap_status tap_rules_decoder(tap_steps *out, const json_t *object, const char *path,
                             tap_error *err)
{
    const rules known = {"decoder", "decoders", decoders, COUNT(decoders)};
    return read_steps(out, &known, object, path, 0, err);
}

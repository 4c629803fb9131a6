#include "lab/yaml.h"

#include "base/suggest.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_LIMIT_BYTES = 4096, LIST_TEXT_BYTES = 200 };

static const char *bytes_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* Null as YAML writes it without quotes: nothing, ~ or null. */
static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE ||
        node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = bytes_of(node);
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static yaml_node_t *node_at(const tap_yaml *yaml, int index)
{
    const yaml_document_t *document = &yaml->document;
    assert(index >= 1 && index <= document->nodes.top - document->nodes.start);
    return document->nodes.start + index - 1;
}

tap_status tap_yaml_fail(const tap_yaml_at *at, tap_error *err, const char *format, ...)
{
    char text[TAP_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(n >= 0);
    const size_t line = tap_yaml_line(at);
    const char *path = at->yaml->path;
    if (line == 0)
        return TAP_FAIL(err, TAP_EFORMAT, "'%s': '%s' %s", path, at->place, text);
    if (at->place[0] == '\0')
        return TAP_FAIL(err, TAP_EFORMAT, "'%s' line %zu: the file %s", path, line,
                        text);
    return TAP_FAIL(err, TAP_EFORMAT, "'%s' line %zu: '%s' %s", path, line, at->place,
                    text);
}

/* Every mapping once: keys are short texts and none comes twice. */
static tap_status check_mappings(const tap_yaml *yaml, tap_error *err)
{
    const yaml_document_t *document = &yaml->document;
    for (yaml_node_t *node = document->nodes.start; node < document->nodes.top;
         node++) {
        if (node->type != YAML_MAPPING_NODE)
            continue;
        const yaml_node_pair_t *pairs = node->data.mapping.pairs.start;
        const size_t n = (size_t)(node->data.mapping.pairs.top - pairs);
        if (n > TAP_YAML_LIST_LIMIT)
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "'%s' line %zu: a mapping has %zu keys, at most %d are read",
                yaml->path, node->start_mark.line + 1, n, TAP_YAML_LIST_LIMIT);
        for (size_t i = 0; i < n; i++) {
            const yaml_node_t *key = node_at(yaml, pairs[i].key);
            if (key->type != YAML_SCALAR_NODE)
                return TAP_FAIL(err, TAP_EFORMAT,
                                "'%s' line %zu: a key must be text, found a list or a "
                                "mapping",
                                yaml->path, key->start_mark.line + 1);
            for (size_t j = 0; j < i; j++)
                if (strcmp(bytes_of(node_at(yaml, pairs[j].key)), bytes_of(key)) == 0)
                    return TAP_FAIL(err, TAP_EFORMAT,
                                    "'%s' line %zu: the key '%.60s' stands here for "
                                    "the second time; leave one of the two out",
                                    yaml->path, key->start_mark.line + 1,
                                    bytes_of(key));
        }
    }
    return TAP_OK;
}

tap_status tap_yaml_parse(tap_yaml *out, const char *text, size_t n_bytes,
                          const char *path, tap_error *err)
{
    tap_yaml yaml = {0};
    yaml_parser_t parser;
    yaml_document_t second;
    tap_status status = TAP_OK;
    if (!yaml_parser_initialize(&parser))
        return TAP_FAIL(err, TAP_ENOMEM, "cannot get memory to read '%s'", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n_bytes);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    TAP_TRY_OUT(tap_text_copy(&yaml.path, path, strlen(path), err));
    if (!yaml_parser_load(&parser, &yaml.document)) {
        if (parser.error == YAML_MEMORY_ERROR)
            status = TAP_FAIL(err, TAP_ENOMEM, "cannot get memory to read '%s'", path);
        else
            status = TAP_FAIL(err, TAP_EFORMAT, "'%s' line %zu is not YAML: %s", path,
                              parser.problem_mark.line + 1,
                              parser.problem ? parser.problem : "it cannot be read");
        goto out;
    }
    yaml.open = true;
    const yaml_node_t *top = yaml_document_get_root_node(&yaml.document);
    if (!top || top->type != YAML_MAPPING_NODE) {
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "'%s' is not an experiment: expected keys and values at its "
                          "top, found %s",
                          path, top ? "something else" : "nothing");
        goto out;
    }
    if (!yaml_parser_load(&parser, &second)) {
        status = TAP_FAIL(err, TAP_EFORMAT, "'%s' line %zu is not YAML: %s", path,
                          parser.problem_mark.line + 1,
                          parser.problem ? parser.problem : "it cannot be read");
        goto out;
    }
    const bool is_last = yaml_document_get_root_node(&second) == NULL;
    yaml_document_delete(&second);
    if (!is_last) {
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "'%s' holds more than one document; one file is one "
                          "experiment, so leave the '---' out",
                          path);
        goto out;
    }
    status = check_mappings(&yaml, err);
out:
    yaml_parser_delete(&parser);
    if (status == TAP_OK)
        *out = yaml;
    else
        tap_yaml_clear(&yaml);
    return status;
}

void tap_yaml_clear(tap_yaml *yaml)
{
    if (yaml->open)
        yaml_document_delete(&yaml->document);
    tap_free(yaml->path);
    *yaml = (tap_yaml){0};
}

tap_yaml_at tap_yaml_top(const tap_yaml *yaml)
{
    return (tap_yaml_at){.yaml = yaml, .node = node_at(yaml, 1), .place = ""};
}

size_t tap_yaml_line(const tap_yaml_at *at)
{
    return at->node ? at->node->start_mark.line + 1 : 0;
}

static const char *kind_of(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "keys and values";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

/* "a, b, c" of the known words, cut where it grows too long for a message. */
static void list_words(char text[LIST_TEXT_BYTES], const char *const *words, size_t n)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n && used < LIST_TEXT_BYTES - 1; i++) {
        const int more = snprintf(text + used, LIST_TEXT_BYTES - used, "%s%s",
                                  i ? ", " : "", words[i]);
        assert(more >= 0);
        used += (size_t)more;
    }
}

tap_status tap_yaml_check(const tap_yaml_at *at, const char *const *known,
                          size_t n_known, tap_error *err)
{
    if (!at->node)
        return TAP_OK;
    if (at->node->type != YAML_MAPPING_NODE)
        return tap_yaml_fail(at, err, "must hold keys and values, found %s",
                             kind_of(at->node));
    for (size_t i = 0; i < tap_yaml_pairs(at); i++) {
        const yaml_node_t *node =
            node_at(at->yaml, at->node->data.mapping.pairs.start[i].key);
        const char *key = bytes_of(node);
        bool found = false;
        for (size_t k = 0; k < n_known; k++)
            found = found || strcmp(key, known[k]) == 0;
        if (found)
            continue;
        const char *nearest = tap_suggest(key, known, n_known);
        char words[LIST_TEXT_BYTES];
        list_words(words, known, n_known);
        const size_t line = node->start_mark.line + 1;
        const char *in = at->place[0] ? at->place : "the experiment";
        if (nearest)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "'%s' line %zu: unknown key '%.60s' in %s; did you mean "
                            "'%s'?",
                            at->yaml->path, line, key, in, nearest);
        return TAP_FAIL(err, TAP_EFORMAT,
                        "'%s' line %zu: unknown key '%.60s' in %s; known are %s",
                        at->yaml->path, line, key, in, words);
    }
    return TAP_OK;
}

tap_yaml_at tap_yaml_find(const tap_yaml_at *at, const char *key, const char *place)
{
    tap_yaml_at found = {.yaml = at->yaml, .place = place};
    if (!at->node || at->node->type != YAML_MAPPING_NODE)
        return found;
    for (size_t i = 0; i < tap_yaml_pairs(at); i++) {
        const yaml_node_pair_t pair = at->node->data.mapping.pairs.start[i];
        if (strcmp(bytes_of(node_at(at->yaml, pair.key)), key) != 0)
            continue;
        yaml_node_t *value = node_at(at->yaml, pair.value);
        found.node = is_null(value) ? NULL : value;
    }
    return found;
}

size_t tap_yaml_count(const tap_yaml_at *at)
{
    if (!at->node)
        return 0;
    if (at->node->type != YAML_SEQUENCE_NODE)
        return 1;
    return (size_t)(at->node->data.sequence.items.top -
                    at->node->data.sequence.items.start);
}

tap_yaml_at tap_yaml_item(const tap_yaml_at *at, size_t i)
{
    assert(i < tap_yaml_count(at));
    if (at->node->type != YAML_SEQUENCE_NODE)
        return *at;
    return (tap_yaml_at){.yaml = at->yaml,
                         .node =
                             node_at(at->yaml, at->node->data.sequence.items.start[i]),
                         .place = at->place};
}

size_t tap_yaml_pairs(const tap_yaml_at *at)
{
    if (!at->node || at->node->type != YAML_MAPPING_NODE)
        return 0;
    return (size_t)(at->node->data.mapping.pairs.top -
                    at->node->data.mapping.pairs.start);
}

tap_status tap_yaml_pair(const char **key, tap_yaml_at *value, const tap_yaml_at *at,
                         size_t i, tap_error *err)
{
    assert(i < tap_yaml_pairs(at));
    const yaml_node_pair_t pair = at->node->data.mapping.pairs.start[i];
    const tap_yaml_at name = {at->yaml, node_at(at->yaml, pair.key), at->place};
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, &name, NULL, err));
    *key = text;
    yaml_node_t *node = node_at(at->yaml, pair.value);
    *value = (tap_yaml_at){at->yaml, is_null(node) ? NULL : node, text};
    return TAP_OK;
}

tap_status tap_yaml_text(const char **out, const tap_yaml_at *at, const char *absent,
                         tap_error *err)
{
    if (!at->node || is_null(at->node)) {
        if (!absent)
            return tap_yaml_fail(at, err, "is missing");
        *out = absent;
        return TAP_OK;
    }
    if (at->node->type != YAML_SCALAR_NODE)
        return tap_yaml_fail(at, err, "must be a single text, found %s",
                             kind_of(at->node));
    const char *text = bytes_of(at->node);
    const size_t n_bytes = at->node->data.scalar.length;
    if (n_bytes > TEXT_LIMIT_BYTES)
        return tap_yaml_fail(at, err, "is a text of %zu bytes, at most %d are read",
                             n_bytes, TEXT_LIMIT_BYTES);
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t')
            return tap_yaml_fail(at, err, "holds the control character 0x%02x",
                                 (unsigned)text[i]);
    *out = text;
    return TAP_OK;
}

/* The digits of text from *i on as a number below 10^18; false if there are none. */
static bool take_digits(uint64_t *out, const char *text, size_t *i, size_t limit)
{
    const size_t first = *i;
    uint64_t value = 0;
    for (; text[*i] >= '0' && text[*i] <= '9' && *i - first < limit; ++*i)
        value = value * 10 + (uint64_t)(text[*i] - '0');
    *out = value;
    return *i > first;
}

tap_status tap_yaml_int(int64_t *out, const tap_yaml_at *at, int64_t absent,
                        int64_t low, int64_t high, tap_error *err)
{
    if (!at->node) {
        *out = absent;
        return TAP_OK;
    }
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, at, NULL, err));
    const bool negative = text[0] == '-';
    size_t i = negative;
    uint64_t digits = 0;
    const bool good = take_digits(&digits, text, &i, 18) && text[i] == '\0';
    const int64_t value = negative ? -(int64_t)digits : (int64_t)digits;
    if (!good || value < low || value > high)
        return tap_yaml_fail(at, err,
                             "must be a whole number from %lld to %lld, found '%.40s'",
                             (long long)low, (long long)high, text);
    *out = value;
    return TAP_OK;
}

tap_status tap_yaml_real(double *out, const tap_yaml_at *at, double absent, double low,
                         double high, tap_error *err)
{
    if (!at->node) {
        *out = absent;
        return TAP_OK;
    }
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, at, NULL, err));
    const bool negative = text[0] == '-';
    size_t i = negative;
    uint64_t whole = 0, part = 0;
    bool good = take_digits(&whole, text, &i, 7);
    double scale = 1.0;
    if (good && text[i] == '.') {
        const size_t first = ++i;
        good = take_digits(&part, text, &i, 8);
        for (size_t k = first; k < i; k++)
            scale *= 10.0;
    }
    /* both are below 2^53, so this is the nearest double to the decimal text */
    const double size = ((double)whole * scale + (double)part) / scale;
    const double value = negative ? -size : size;
    if (!good || text[i] != '\0' || value < low || value > high)
        return tap_yaml_fail(at, err, "must be a number from %g to %g, found '%.40s'",
                             low, high, text);
    *out = value;
    return TAP_OK;
}

tap_status tap_yaml_word(int *out, const tap_yaml_at *at, int absent,
                         const char *const *words, size_t n_words, tap_error *err)
{
    if (!at->node) {
        *out = absent;
        return TAP_OK;
    }
    const char *text = NULL;
    TAP_TRY(tap_yaml_text(&text, at, NULL, err));
    for (size_t i = 0; i < n_words; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = (int)i;
            return TAP_OK;
        }
    const char *nearest = tap_suggest(text, words, n_words);
    if (nearest)
        return tap_yaml_fail(at, err,
                             "has the unknown value '%.60s'; did you mean '%s'?", text,
                             nearest);
    char list[LIST_TEXT_BYTES];
    list_words(list, words, n_words);
    return tap_yaml_fail(at, err, "has the unknown value '%.60s'; known are %s", text,
                         list);
}

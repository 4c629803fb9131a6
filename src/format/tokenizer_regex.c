/* Where does a tokenizer's expression match? */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "format/tokenizer_own.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

struct tap_regex {
    pcre2_general_context *memory;
    pcre2_code *code;
};

enum {
    MATCH_LIMIT = 1000000,      /* steps of one search, and as many again ... */
    MATCH_LIMIT_PER_BYTE = 64,  /* ... for every byte of the text */
    HEAP_LIMIT_KIB = 256 * 1024 /* a run of white space costs about 100 bytes each */
};

/* Characters that \s, \w and \d mean. PCRE2 would count U+180E as a space and (10.42) no
 * mark or circled letter as a word character. */
#define SPACES "\\t-\\r \\x{85}\\p{Z}"
#define WORDS                                                                          \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"        \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

typedef struct reader {
    const char *pattern;
    size_t n_bytes, at;
    const char *path;
    tap_buffer *out;
    bool in_class;
} reader;

static tap_status refuse(const reader *r, size_t n, tap_error *err)
{
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot read '%s': '%.*s' in the expression '%.200s' is not "
                    "supported",
                    r->path, (int)n, r->pattern + r->at, r->pattern);
}

static int peek(const reader *r, size_t ahead)
{
    return r->at + ahead < r->n_bytes ? (unsigned char)r->pattern[r->at + ahead] : -1;
}

static tap_status copy(reader *r, size_t n, tap_error *err)
{
    TAP_TRY(tap_buffer_put(r->out, r->pattern + r->at, n, err));
    r->at += n;
    return TAP_OK;
}

static tap_status put(const reader *r, const char *text, tap_error *err)
{
    return tap_buffer_put(r->out, text, strlen(text), err);
}

/* \p{Lu} stays; names of scripts get "sc:", because PCRE2 would take the wider set of
 * script extensions. */
static tap_status read_property(reader *r, tap_error *err)
{
    const char *start = r->pattern + r->at;
    const char *end = memchr(start, '}', r->n_bytes - r->at);
    if (peek(r, 2) != '{' || !end)
        return refuse(r, 2, err);
    const size_t n = (size_t)(end - start) - 3;
    if (n <= 2)
        return copy(r, n + 4, err);
    for (size_t i = 0; i < n; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_",
                    start[3 + i]))
            return refuse(r, n + 4, err);
    TAP_TRY(copy(r, 3, err));
    TAP_TRY(put(r, "sc:", err));
    return copy(r, n + 1, err);
}

static tap_status read_shorthand(reader *r, const char *members, bool negated,
                                 tap_error *err)
{
    if (negated && r->in_class)
        return refuse(r, 2, err);
    if (!r->in_class)
        TAP_TRY(put(r, negated ? "[^" : "[", err));
    TAP_TRY(put(r, members, err));
    if (!r->in_class)
        TAP_TRY(put(r, "]", err));
    r->at += 2;
    return TAP_OK;
}

static bool is_any_of(int c, const char *set)
{
    return c > 0 && strchr(set, c);
}

/* \xHH or \x{H...} */
static tap_status read_hex(reader *r, tap_error *err)
{
    const bool braced = peek(r, 2) == '{';
    size_t n = braced ? 3 : 2;
    while (is_any_of(peek(r, n), "0123456789abcdefABCDEF") && (braced || n < 4))
        n++;
    if (n == (braced ? 3 : 2) || (braced && peek(r, n) != '}'))
        return refuse(r, n, err);
    return copy(r, n + (braced ? 1 : 0), err);
}

static tap_status read_escape(reader *r, tap_error *err)
{
    const int c = peek(r, 1);
    switch (c) {
    case 's':
    case 'S':
        return read_shorthand(r, SPACES, c == 'S', err);
    case 'w':
    case 'W':
        return read_shorthand(r, WORDS, c == 'W', err);
    case 'd':
    case 'D':
        return read_shorthand(r, "\\p{Nd}", c == 'D', err);
    case 'p':
    case 'P':
        return read_property(r, err);
    case 'x':
        return read_hex(r, err);
    default:
        if (is_any_of(c, "nrtfae") ||
            is_any_of(c, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "))
            return copy(r, 2, err);
        if (is_any_of(c, "AzZ") && !r->in_class)
            return copy(r, 2, err);
        return refuse(r, 2, err);
    }
}

/* (?:  (?=  (?!  (?<=  (?<!  (?>  (?i:  (?i)  and plain groups. */
static tap_status read_group(reader *r, tap_error *err)
{
    static const char *const openings[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)"};
    if (peek(r, 1) == '*') /* PCRE2's verbs */
        return refuse(r, 2, err);
    if (peek(r, 1) != '?')
        return copy(r, 1, err);
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        const size_t n = strlen(openings[i]);
        if (r->n_bytes - r->at >= n && memcmp(r->pattern + r->at, openings[i], n) == 0)
            return copy(r, n, err);
    }
    return refuse(r, r->n_bytes - r->at < 4 ? r->n_bytes - r->at : 4, err);
}

/* {n,m}+ repeats the repetition in Oniguruma's Ruby syntax, but is possessive in PCRE2. */
static tap_status read_counts(reader *r, tap_error *err)
{
    size_t n = 1;
    while (is_any_of(peek(r, n), "0123456789,"))
        n++;
    if (n == 1 || peek(r, n) != '}' || peek(r, n + 1) == '+' || peek(r, 1) == ',')
        return refuse(r, n + (peek(r, n) >= 0), err);
    return copy(r, n + 1, err);
}

static tap_status translate(reader *r, tap_error *err)
{
    while (r->at < r->n_bytes) {
        const int c = peek(r, 0);
        if (c == '\\') {
            TAP_TRY(read_escape(r, err));
        } else if (r->in_class) {
            /* nested classes and intersections are Ruby's alone */
            if (c == '[' || (c == '&' && peek(r, 1) == '&'))
                return refuse(r, 2, err);
            r->in_class = c != ']';
            TAP_TRY(copy(r, 1, err));
        } else if (c == '[') {
            const size_t n = peek(r, 1) == '^' ? 2 : 1;
            if (peek(r, n) == ']')
                return refuse(r, n + 1, err);
            r->in_class = true;
            TAP_TRY(copy(r, n, err));
        } else if (c == '(') {
            TAP_TRY(read_group(r, err));
        } else if (c == '{') {
            TAP_TRY(read_counts(r, err));
        } else {
            TAP_TRY(copy(r, 1, err));
        }
    }
    return TAP_OK;
}

static void *regex_alloc(size_t n_bytes, void *unused)
{
    (void)unused;
    void *memory = NULL;
    return tap_alloc(&memory, n_bytes, 1, "an expression", NULL) == TAP_OK ? memory
                                                                           : NULL;
}

static void regex_free(void *memory, void *unused)
{
    (void)unused;
    tap_free(memory);
}

static tap_status no_memory(tap_error *err)
{
    return TAP_FAIL(err, TAP_ENOMEM, "cannot get memory for an expression");
}

tap_status tap_regex_compile(tap_regex **out, const char *pattern, size_t n_bytes,
                             const char *path, tap_error *err)
{
    tap_buffer text = {0};
    reader r = {.pattern = pattern, .n_bytes = n_bytes, .path = path, .out = &text};
    tap_regex *regex = NULL;
    tap_status status = TAP_OK;
    if (n_bytes > TAP_PATTERN_LIMIT_BYTES)
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot read '%s': an expression has %zu bytes, expected at most "
            "%d",
            path, n_bytes, TAP_PATTERN_LIMIT_BYTES);
    TAP_TRY_OUT(tap_buffer_put(&text, "", 0, err));
    TAP_TRY_OUT(translate(&r, err));
    TAP_TRY_OUT(tap_alloc(&regex, 1, sizeof *regex, "an expression", err));
    regex->memory = pcre2_general_context_create(regex_alloc, regex_free, NULL);
    pcre2_compile_context *context =
        regex->memory ? pcre2_compile_context_create(regex->memory) : NULL;
    if (!context)
        TAP_TRY_OUT(no_memory(err));
    int code = 0;
    PCRE2_SIZE offset = 0;
    /* Ruby's ^ and $ stand at every line */
    regex->code =
        pcre2_compile((PCRE2_SPTR)text.text, text.n_bytes,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                      &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!regex->code && code == PCRE2_ERROR_HEAP_FAILED) {
        status = no_memory(err);
    } else if (!regex->code) {
        char words[120] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)words, sizeof words);
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "cannot read '%s': the expression '%.200s' is wrong: %s",
                          path, pattern, words);
    }
out:
    tap_buffer_clear(&text);
    if (status == TAP_OK)
        *out = regex;
    else
        tap_regex_free(regex);
    return status;
}

void tap_regex_free(tap_regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->memory);
    tap_free(regex);
}

static tap_status match_failed(int code, tap_error *err)
{
    if (code == PCRE2_ERROR_NOMEMORY)
        return no_memory(err);
    return TAP_FAIL(err, TAP_EINVAL,
                    "an expression of the tokenizer takes too many steps on this text; "
                    "shorten the text");
}

/* An empty match right behind a match is not one, as in the reference. */
tap_status tap_regex_find(tap_spans *out, const tap_regex *regex, const char *text,
                          size_t n_bytes, tap_error *err)
{
    tap_status status = TAP_OK;
    pcre2_match_data *found =
        pcre2_match_data_create_from_pattern(regex->code, regex->memory);
    pcre2_match_context *context = pcre2_match_context_create(regex->memory);
    if (!found || !context)
        TAP_TRY_OUT(no_memory(err));
    const uint64_t steps = MATCH_LIMIT + (uint64_t)MATCH_LIMIT_PER_BYTE * n_bytes;
    pcre2_set_match_limit(context, steps > UINT32_MAX ? UINT32_MAX : (uint32_t)steps);
    pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
    size_t last_end = SIZE_MAX;
    for (size_t at = 0; at <= n_bytes;) {
        const int code = pcre2_match(regex->code, (PCRE2_SPTR)text, n_bytes, at,
                                     PCRE2_NO_UTF_CHECK, found, context);
        if (code == PCRE2_ERROR_NOMATCH)
            break;
        if (code < 0)
            TAP_TRY_OUT(match_failed(code, err));
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(found);
        const size_t start = place[0], end = place[1];
        if (start > end || end < at)
            TAP_TRY_OUT(match_failed(0, err));
        if (start == end && end == last_end) {
            int32_t point;
            const size_t n = tap_char_read(&point, text + at, n_bytes - at);
            at += n ? n : 1;
            continue;
        }
        TAP_TRY_OUT(tap_spans_put(out, start, end, 0, err));
        at = last_end = end;
    }
out:
    pcre2_match_context_free(context);
    pcre2_match_data_free(found);
    return status;
}

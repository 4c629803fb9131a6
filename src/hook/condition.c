/* Condition text to tree. A message names the word, its place and what was meant. */
#include "hook/condition.h"

#include "base/suggest.h"
#include "hook/condition_parse.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 65536, MAX_SEED = 0x7fffffff, MAX_PARAMETERS = 4 };

/* ---- words ---- */

int tap_parse_column(const tap_parser *p)
{
    return (int)(p->at - p->text) + 1;
}

void tap_parse_space(tap_parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
        p->at++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void peek(char word[TAP_WORD_BYTES], const char *at)
{
    size_t n = 0;
    while (is_word(at[n]) && n + 1 < TAP_WORD_BYTES) {
        word[n] = at[n];
        n++;
    }
    word[n] = '\0';
}

void tap_parse_peek(char word[TAP_WORD_BYTES], tap_parser *p)
{
    peek(word, p->at);
}

tap_status tap_parse_fail(const tap_parser *p, const char *expected)
{
    char found[TAP_WORD_BYTES];
    peek(found, p->at);
    if (!found[0] && *p->at) {
        found[0] = *p->at;
        found[1] = '\0';
    }
    return TAP_FAIL(p->err, TAP_EINVAL,
                    "condition '%.200s', column %d: expected %s, found %s%s%s", p->text,
                    tap_parse_column(p), expected, found[0] ? "'" : "the end", found,
                    found[0] ? "'" : "");
}

tap_status tap_parse_unknown(const tap_parser *p, const char *what, const char *word,
                             const char *const *known, size_t n_known)
{
    const char *near = tap_suggest(word, known, n_known);
    return TAP_FAIL(p->err, TAP_EINVAL,
                    "condition '%.200s', column %d: unknown %s '%s'%s%s%s", p->text,
                    tap_parse_column(p), what, word, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

bool tap_parse_mark(tap_parser *p, const char *mark)
{
    tap_parse_space(p);
    const size_t n = strlen(mark);
    if (strncmp(p->at, mark, n) != 0)
        return false;
    p->at += n;
    return true;
}

bool tap_parse_word(tap_parser *p, const char *wanted)
{
    char word[TAP_WORD_BYTES];
    tap_parse_space(p);
    peek(word, p->at);
    if (strcmp(word, wanted) != 0)
        return false;
    p->at += strlen(wanted);
    return true;
}

tap_status tap_parse_choice(tap_parser *p, int *index, const char *what,
                            const char *const *words, size_t n)
{
    char word[TAP_WORD_BYTES];
    for (size_t i = 0; i < n; i++)
        if (tap_parse_word(p, words[i])) {
            *index = (int)i;
            return TAP_OK;
        }
    peek(word, p->at);
    const char *near = word[0] ? tap_suggest(word, words, n) : NULL;
    return near ? tap_parse_unknown(p, "word", word, words, n)
                : tap_parse_fail(p, what);
}

tap_status tap_parse_expect(tap_parser *p, const char *mark)
{
    char name[8];
    (void)snprintf(name, sizeof name, "'%.4s'", mark);
    return tap_parse_mark(p, mark) ? TAP_OK : tap_parse_fail(p, name);
}

static tap_status parse_digits(tap_parser *p, int64_t *out, int64_t most,
                               const char *what)
{
    tap_parse_space(p);
    if (!isdigit((unsigned char)*p->at))
        return tap_parse_fail(p, "a whole number");
    char *end = NULL;
    const unsigned long long value = strtoull(p->at, &end, 10);
    if (value > (unsigned long long)most)
        return tap_parse_fail(p, what);
    p->at = end;
    *out = (int64_t)value;
    return TAP_OK;
}

tap_status tap_parse_int(tap_parser *p, int32_t *out)
{
    int64_t value = 0;
    TAP_TRY(parse_digits(p, &value, TAP_MAX_NUMBER, "a number of at most 1000000"));
    *out = (int32_t)value;
    return TAP_OK;
}

tap_status tap_parse_signed(tap_parser *p, int64_t *out)
{
    const bool minus = tap_parse_mark(p, "-");
    if (!minus)
        (void)tap_parse_mark(p, "+");
    TAP_TRY(parse_digits(p, out, TAP_MAX_NUMBER, "a number of at most 1000000"));
    *out = minus ? -*out : *out;
    return TAP_OK;
}

tap_status tap_parse_seed(tap_parser *p, int64_t *out)
{
    return parse_digits(p, out, MAX_SEED, "a seed of at most 2147483647");
}

tap_status tap_parse_real(tap_parser *p, double *out, double least, double most,
                          const char *what)
{
    tap_parse_space(p);
    char *end = NULL;
    const double value = strtod(p->at, &end);
    if (end == p->at || !isfinite(value) || value < least || value > most)
        return tap_parse_fail(p, what);
    p->at = end;
    *out = value;
    return TAP_OK;
}

tap_status tap_parse_keep(tap_parser *p, size_t *offset, const char *text, size_t n)
{
    *offset = p->out->strings.n_bytes;
    TAP_TRY(tap_buffer_put(&p->out->strings, text, n, p->err));
    return tap_buffer_put(&p->out->strings, "", 1, p->err);
}

tap_status tap_parse_string(tap_parser *p, size_t *offset)
{
    TAP_TRY(tap_parse_expect(p, "\""));
    *offset = p->out->strings.n_bytes;
    for (; *p->at != '"'; p->at++) {
        if (*p->at == '\\' && (p->at[1] == '"' || p->at[1] == '\\'))
            p->at++;
        if (*p->at == '\0')
            return tap_parse_fail(p, "'\"'");
        TAP_TRY(tap_buffer_put(&p->out->strings, p->at, 1, p->err));
    }
    p->at++;
    return tap_buffer_put(&p->out->strings, "", 1, p->err);
}

/* ---- ranges ---- */

static tap_status parse_block_word(tap_parser *p, tap_range *r)
{
    static const char *const words[] = {"last", "window", "prefix", "suffix"};
    int kind = 0;
    TAP_TRY(
        tap_parse_choice(p, &kind, "a block: a number, a range or 'last'", words, 4));
    r->kind = (tap_range_kind)(kind + 1); /* ORDER tap_range_kind */
    if (r->kind == TAP_RANGE_LAST)
        return TAP_OK;
    TAP_TRY(tap_parse_expect(p, "("));
    TAP_TRY(tap_parse_int(p, &r->first));
    if (r->kind == TAP_RANGE_WINDOW) {
        TAP_TRY(tap_parse_expect(p, ","));
        TAP_TRY(tap_parse_int(p, &r->last));
    }
    return tap_parse_expect(p, ")");
}

static tap_status parse_range(tap_parser *p, tap_range *r, bool blocks)
{
    tap_parse_space(p);
    *r = (tap_range){.kind = TAP_RANGE_PLAIN, .column = tap_parse_column(p)};
    if (tap_parse_mark(p, "-")) /* -11 */
        return tap_parse_int(p, &r->last);
    if (blocks && isalpha((unsigned char)*p->at))
        return parse_block_word(p, r);
    TAP_TRY(tap_parse_int(p, &r->first));
    r->last = r->first;
    if (!tap_parse_mark(p, "-"))
        return TAP_OK;
    tap_parse_space(p);
    r->last = -1;
    if (isdigit((unsigned char)*p->at)) {
        TAP_TRY(tap_parse_int(p, &r->last));
        if (r->last < r->first)
            return tap_parse_fail(p, "a range that rises");
    }
    return TAP_OK;
}

static tap_status parse_ranges(tap_parser *p, tap_range *ranges, int *n, bool blocks)
{
    do {
        if (*n == TAP_MAX_RANGES)
            return tap_parse_fail(p, "at most 64 ranges");
        TAP_TRY(parse_range(p, &ranges[(*n)++], blocks));
    } while (tap_parse_mark(p, ","));
    return tap_parse_expect(p, "]");
}

/* ---- edges ---- */

static const char *const words_after[] = {"knockout", "scale", "zero",  "uniform",
                                          "freeze",   "drop",  "empty", "fraction",
                                          "beyond",   "phase"};

enum {
    N_WORDS = sizeof words_after / sizeof *words_after,
    W_DROP = TAP_N_MODES,
    W_EMPTY,
    W_FRACTION,
    W_BEYOND,
    W_PHASE
};

static tap_status parse_fraction(tap_parser *p, tap_atom *atom)
{
    static const char *const seed[] = {"seed"};
    int index = 0;
    TAP_TRY(tap_parse_real(p, &atom->fraction, 0.0, 1.0, "a share from 0 to 1"));
    TAP_TRY(tap_parse_choice(p, &index, "'seed' after the share", seed, 1));
    return tap_parse_seed(p, &atom->seed);
}

static tap_status parse_one_word(tap_parser *p, tap_atom *atom, int word)
{
    static const char *const self[] = {"self"};
    static const char *const rules[] = {"error", "self", "zero"}; /* ORDER */
    static const char *const phases[] = {"both", "prefill", "decode"};
    int index = 0;
    int32_t radius = 0;
    switch (word) {
    case TAP_MODE_SCALE:
        atom->mode = TAP_MODE_SCALE;
        return tap_parse_real(p, &atom->scale, 0.0, 1e6, "a factor of 0 or more");
    case W_DROP:
        TAP_TRY(tap_parse_choice(p, &index, "'self' after 'drop'", self, 1));
        atom->drop_self = true;
        return TAP_OK;
    case W_EMPTY:
        TAP_TRY(tap_parse_choice(p, &index, "'error', 'self' or 'zero' after 'empty'",
                                 rules, 3));
        atom->empty = (tap_empty_rule)index;
        return TAP_OK;
    case W_FRACTION:
        return parse_fraction(p, atom);
    case W_BEYOND:
        TAP_TRY(tap_parse_int(p, &radius));
        atom->beyond = radius;
        return TAP_OK;
    case W_PHASE:
        TAP_TRY(tap_parse_choice(
            p, &index, "'prefill', 'decode' or 'both' after 'phase'", phases, 3));
        atom->phase = (tap_phase)index;
        return TAP_OK;
    default:
        atom->mode = (tap_mode)word;
        return TAP_OK;
    }
}

static tap_status parse_words(tap_parser *p, tap_atom *atom)
{
    bool seen[N_WORDS] = {false};
    for (;;) {
        char word[TAP_WORD_BYTES];
        tap_parse_space(p);
        peek(word, p->at);
        if (!word[0])
            break;
        int w = 0;
        while (w < N_WORDS && strcmp(word, words_after[w]) != 0)
            w++;
        if (w == N_WORDS)
            return tap_parse_unknown(p, "word", word, words_after, N_WORDS);
        for (int m = 0; m < TAP_N_MODES; m++)
            if (seen[w] || (w < TAP_N_MODES && seen[m]))
                return tap_parse_fail(p,
                                      w < TAP_N_MODES ? "one mode" : "each word once");
        seen[w] = true;
        p->at += strlen(word);
        TAP_TRY(parse_one_word(p, atom, w));
    }
    if (seen[TAP_MODE_UNIFORM] && (seen[W_BEYOND] || seen[W_FRACTION]))
        return tap_parse_fail(p,
                              "neither 'beyond' nor 'fraction' with 'uniform', which "
                              "levels whole rows");
    return TAP_OK;
}

static tap_status parse_edges(tap_parser *p, tap_atom *atom)
{
    TAP_TRY(tap_parse_group(p, &atom->queries));
    TAP_TRY(tap_parse_expect(p, "<-"));
    TAP_TRY(tap_parse_group(p, &atom->keys));
    TAP_TRY(parse_words(p, atom));
    if (atom->mode == TAP_MODE_SCALE && atom->scale <= 0.0)
        atom->mode = TAP_MODE_KNOCKOUT; /* nothing is left of a score scaled by 0 */
    return TAP_OK;
}

/* ---- named conditions ---- */

/* The name of a condition may hold '.', '+' and '_'. */
static size_t name_length(const char *at)
{
    size_t n = 0;
    while (is_word(at[n]) || at[n] == '.' || at[n] == '+')
        n++;
    return n;
}

/* "enc.local(r)" is called "enc.local" and has one parameter. */
static int parameters_of(const char *name)
{
    const char *at = strchr(name, '(');
    int n = at != NULL;
    for (; at && *at; at++)
        n += *at == ',';
    return n;
}

typedef struct argument {
    const char *text;
    int n;
} argument;

/* The arguments of a named condition, as written between "(", "," and ")". */
static tap_status parse_arguments(tap_parser *p, argument *arguments, int n,
                                  const char *name)
{
    char usage[128];
    (void)snprintf(usage, sizeof usage, "the arguments of '%.80s'", name);
    for (int i = 0; i < n; i++) {
        if (!tap_parse_mark(p, i ? "," : "("))
            return tap_parse_fail(p, usage);
        tap_parse_space(p);
        arguments[i].text = p->at;
        bool quoted = false;
        for (int depth = 0; *p->at && (quoted || *p->at != ';'); p->at++) {
            if (quoted && *p->at == '\\' && p->at[1])
                p->at++;
            else if (*p->at == '"')
                quoted = !quoted;
            if (quoted)
                continue;
            if (depth == 0 && (*p->at == ',' || *p->at == ')'))
                break;
            depth += *p->at == '(' ? 1 : *p->at == ')' ? -1 : 0;
        }
        arguments[i].n = (int)(p->at - arguments[i].text);
        if (arguments[i].n == 0)
            return tap_parse_fail(p, "an argument");
    }
    return n > 0 ? tap_parse_expect(p, ")") : TAP_OK;
}

/* The text of a named condition, $1 ... replaced. */
static tap_status expand(tap_buffer *out, const char *text, const argument *arguments,
                         int n, tap_error *err)
{
    TAP_TRY(tap_buffer_put(out, "", 0, err));
    for (; *text; text++) {
        const int which = *text == '$' ? text[1] - '1' : -1;
        if (which < 0 || which >= n) {
            TAP_TRY(tap_buffer_put(out, text, 1, err));
        } else {
            TAP_TRY(tap_buffer_put(out, arguments[which].text,
                                   (size_t)arguments[which].n, err));
            text++;
        }
    }
    return TAP_OK;
}

static tap_status parse_all(tap_parser *p);

static tap_status parse_preset(tap_parser *p, const tap_preset *preset)
{
    argument arguments[MAX_PARAMETERS] = {{NULL, 0}};
    tap_buffer text = {0};
    tap_parser inner = {.out = p->out, .inside_named = true, .err = p->err};
    const int n = parameters_of(preset->name);
    tap_status status = TAP_OK;
    if (!preset->text)
        return TAP_FAIL(p->err, TAP_EINVAL,
                        "'%s' is not a condition by itself; it is done by %s",
                        preset->name, preset->how);
    TAP_TRY(parse_arguments(p, arguments, n, preset->name));
    TAP_TRY_OUT(expand(&text, preset->text, arguments, n, p->err));
    TAP_TRY_OUT(tap_parse_keep(p, &inner.source, text.text, text.n_bytes));
    inner.text = inner.at = text.text;
    TAP_TRY_OUT(parse_all(&inner));
out:
    tap_buffer_clear(&text);
    return status;
}

static tap_status parse_named(tap_parser *p)
{
    enum { MAX_KNOWN = 512 };

    size_t n = 0, n_known = 0;
    const tap_preset *presets = tap_presets(&n);
    const char *known[MAX_KNOWN];
    char name[128];
    const size_t length = name_length(p->at);
    if (length == 0 || length >= sizeof name)
        return tap_parse_fail(p,
                              "'vision', 'lm', 'projector' or the name of a condition");
    memcpy(name, p->at, length);
    name[length] = '\0';
    for (size_t i = 0; i < n; i++) {
        const size_t base = strcspn(presets[i].name, "(");
        if (n_known < MAX_KNOWN - 3)
            known[n_known++] = presets[i].name;
        if (base != length || memcmp(name, presets[i].name, base) != 0)
            continue;
        if (p->inside_named)
            return tap_parse_fail(p, "an atom");
        p->at += length;
        return parse_preset(p, &presets[i]);
    }
    static const char *const stacks[] = {"vision", "lm", "projector"};
    for (int i = 0; i < 3; i++) {
        known[n_known++] = stacks[i];
        if (strcmp(name, stacks[i]) == 0) {
            p->at += length;
            tap_parse_space(p);
            return tap_parse_fail(p, "':', '[' or '.h[' after the stack");
        }
    }
    return tap_parse_unknown(p, "condition", name, known, n_known);
}

/* ---- atoms ---- */

/* Takes "vision", "lm" or "projector" where an atom begins; a name may begin like one. */
static bool take_stack(tap_parser *p, tap_atom *atom)
{
    static const char *const stacks[] = {"vision", "lm", "projector"};
    const char *start = p->at;
    for (int i = 0; i < 3; i++) {
        p->at = start;
        if (!tap_parse_word(p, stacks[i]))
            continue;
        tap_parse_space(p);
        if (*p->at != '[' && *p->at != ':' && strncmp(p->at, ".h[", 3) != 0 &&
            strncmp(p->at, ".h [", 4) != 0)
            continue;
        atom->stack = i == 1 ? TAP_LM : TAP_VISION;
        atom->projector = i == 2;
        return true;
    }
    p->at = start;
    return false;
}

static tap_status parse_atom(tap_parser *p)
{
    bool is_edit = false;
    tap_parse_space(p);
    tap_atom atom = {.scale = 1.0,
                     .fraction = 1.0,
                     .beyond = -1,
                     .keys = -1,
                     .source = p->source,
                     .column = tap_parse_column(p)};
    if (!take_stack(p, &atom))
        return parse_named(p);
    if (atom.projector && *p->at != ':')
        return tap_parse_fail(p, "':', since the projector has no blocks and no heads");
    if (tap_parse_mark(p, "["))
        TAP_TRY(parse_ranges(p, atom.blocks, &atom.n_blocks, true));
    if (tap_parse_mark(p, ".h")) {
        atom.heads_column = tap_parse_column(p) - 2;
        TAP_TRY(tap_parse_expect(p, "["));
        TAP_TRY(parse_ranges(p, atom.heads, &atom.n_heads, false));
    }
    TAP_TRY(tap_parse_expect(p, ":"));
    TAP_TRY(tap_parse_edit(p, &atom, &is_edit));
    if (!is_edit && atom.projector)
        return tap_parse_fail(p, "an edit, since no tokens meet in the projector");
    if (!is_edit)
        TAP_TRY(parse_edges(p, &atom));
    TAP_TRY(tap_grow(&p->out->atoms, &p->out->atom_capacity, p->out->n_atoms + 1,
                     sizeof atom, "a condition", p->err));
    p->out->atoms[p->out->n_atoms++] = atom;
    return TAP_OK;
}

static tap_status parse_all(tap_parser *p)
{
    for (;;) {
        tap_parse_space(p);
        if (*p->at == '\0')
            return TAP_OK;
        TAP_TRY(parse_atom(p));
        tap_parse_space(p);
        if (*p->at == '\0')
            return TAP_OK;
        if (!tap_parse_mark(p, ";"))
            return tap_parse_fail(p, "';' or the end");
    }
}

tap_status tap_condition_parse(tap_condition **out, const char *text, tap_error *err)
{
    tap_condition *condition = NULL;
    if (strlen(text) > MAX_TEXT_BYTES)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a condition of more than %d bytes is not read",
                        MAX_TEXT_BYTES);
    TAP_TRY(tap_alloc(&condition, 1, sizeof *condition, "a condition", err));
    tap_parser p = {.out = condition, .text = text, .at = text, .err = err};
    tap_status status = tap_parse_keep(&p, &p.source, text, strlen(text));
    if (status == TAP_OK)
        status = parse_all(&p);
    if (status == TAP_OK)
        *out = condition;
    else
        tap_condition_free(condition);
    return status;
}

void tap_condition_free(tap_condition *condition)
{
    if (!condition)
        return;
    tap_buffer_clear(&condition->strings);
    tap_free(condition->atoms);
    tap_free(condition->nodes);
    tap_free(condition);
}

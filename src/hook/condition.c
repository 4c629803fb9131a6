/* Condition text to tree and back. A message names the word, its place and what was meant. */
#include "hook/condition.h"

#include "base/memory.h"
#include "base/suggest.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const tap_group_names[] = {
    "all",    "background", "bos",        "cls",     "gen",      "image",
    "last",   "object",     "other_part", "outside", "pad",      "part",
    "prefix", "question",   "reg",        "row_end", "row_last", "thumb"};
const size_t tap_n_group_names = sizeof tap_group_names / sizeof *tap_group_names;

enum { WORD_BYTES = 64, MAX_DEPTH = 64, MAX_NUMBER = 1000000, MAX_TEXT_BYTES = 65536 };

typedef struct parser {
    tap_condition *out;
    const char *text, *at;
    int depth;         /* of parentheses */
    bool inside_named; /* the text is that of a named condition */
    tap_error *err;
} parser;

/* ---- words ---- */

static int column(const parser *p)
{
    return (int)(p->at - p->text) + 1;
}

static void skip_space(parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
        p->at++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The word at the cursor, "" if there is none; the cursor stays. */
static void peek_word(char word[WORD_BYTES], const parser *p)
{
    size_t n = 0;
    while (is_word(p->at[n]) && n + 1 < WORD_BYTES) {
        word[n] = p->at[n];
        n++;
    }
    word[n] = '\0';
}

static tap_status fail(const parser *p, const char *expected)
{
    char found[WORD_BYTES];
    peek_word(found, p);
    if (!found[0] && *p->at) {
        found[0] = *p->at;
        found[1] = '\0';
    }
    return TAP_FAIL(p->err, TAP_EINVAL,
                    "condition '%.200s', column %d: expected %s, found %s%s%s", p->text,
                    column(p), expected, found[0] ? "'" : "the end", found,
                    found[0] ? "'" : "");
}

static tap_status unknown_word(const parser *p, const char *what, const char *word,
                               const char *const *known, size_t n_known)
{
    const char *near = tap_suggest(word, known, n_known);
    return TAP_FAIL(p->err, TAP_EINVAL,
                    "condition '%.200s', column %d: unknown %s '%s'%s%s%s", p->text,
                    column(p), what, word, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

static bool take(parser *p, const char *mark)
{
    skip_space(p);
    const size_t n = strlen(mark);
    if (strncmp(p->at, mark, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* Takes a whole word. */
static bool take_word(parser *p, const char *wanted)
{
    char word[WORD_BYTES];
    skip_space(p);
    peek_word(word, p);
    if (strcmp(word, wanted) != 0)
        return false;
    p->at += strlen(wanted);
    return true;
}

static tap_status take_int(parser *p, int32_t *out)
{
    skip_space(p);
    if (!isdigit((unsigned char)*p->at))
        return fail(p, "a whole number");
    char *end = NULL;
    const unsigned long value = strtoul(p->at, &end, 10);
    if (value > MAX_NUMBER)
        return fail(p, "a number of at most 1000000");
    p->at = end;
    *out = (int32_t)value;
    return TAP_OK;
}

static tap_status expect(parser *p, const char *mark, const char *name)
{
    return take(p, mark) ? TAP_OK : fail(p, name);
}

/* ---- groups ---- */

static tap_status parse_group(parser *p, int32_t *node);

static tap_status put_node(parser *p, int32_t *index, tap_group_node node)
{
    TAP_TRY(tap_grow(&p->out->nodes, &p->out->node_capacity, p->out->n_nodes + 1,
                     sizeof node, "a condition", p->err));
    *index = (int32_t)p->out->n_nodes;
    p->out->nodes[p->out->n_nodes++] = node;
    return TAP_OK;
}

static tap_status parse_factor(parser *p, int32_t *node)
{
    skip_space(p);
    if (++p->depth > MAX_DEPTH)
        return fail(p, "fewer nested groups");
    tap_status status = TAP_OK;
    char word[WORD_BYTES];
    if (take(p, "~")) {
        int32_t inner = -1;
        status = parse_factor(p, &inner);
        if (status == TAP_OK)
            status = put_node(p, node, (tap_group_node){TAP_GROUP_NOT, inner, -1, -1});
    } else if (take(p, "(")) {
        status = parse_group(p, node);
        if (status == TAP_OK)
            status = expect(p, ")", "')'");
    } else {
        peek_word(word, p);
        if (!word[0])
            return fail(p, "a group");
        int32_t name = -1;
        for (size_t i = 0; i < tap_n_group_names; i++)
            if (strcmp(tap_group_names[i], word) == 0)
                name = (int32_t)i;
        if (name < 0)
            return unknown_word(p, "group", word, tap_group_names, tap_n_group_names);
        p->at += strlen(word);
        status = put_node(p, node, (tap_group_node){TAP_GROUP_NAME, -1, -1, name});
    }
    p->depth--;
    return status;
}

static tap_status parse_term(parser *p, int32_t *node)
{
    TAP_TRY(parse_factor(p, node));
    while (take(p, "&")) {
        int32_t right = -1;
        TAP_TRY(parse_factor(p, &right));
        TAP_TRY(put_node(p, node, (tap_group_node){TAP_GROUP_AND, *node, right, -1}));
    }
    return TAP_OK;
}

/* "~" binds first, then "&", then "|" and "-" from left to right. */
static tap_status parse_group(parser *p, int32_t *node)
{
    TAP_TRY(parse_term(p, node));
    for (;;) {
        const bool minus = take(p, "-");
        if (!minus && !take(p, "|"))
            return TAP_OK;
        int32_t right = -1;
        TAP_TRY(parse_term(p, &right));
        TAP_TRY(put_node(p, node,
                         (tap_group_node){minus ? TAP_GROUP_MINUS : TAP_GROUP_OR, *node,
                                          right, -1}));
    }
}

/* ---- ranges ---- */

static tap_status parse_range(parser *p, tap_range *r, bool blocks)
{
    *r = (tap_range){.kind = TAP_RANGE_PLAIN};
    if (take(p, "-")) /* -11 */
        return take_int(p, &r->last);
    if (blocks && take_word(p, "last")) {
        r->kind = TAP_RANGE_LAST;
        return TAP_OK;
    }
    const bool window = blocks && take_word(p, "window");
    const bool prefix = blocks && !window && take_word(p, "prefix");
    if (window || prefix || (blocks && take_word(p, "suffix"))) {
        r->kind = window   ? TAP_RANGE_WINDOW
                  : prefix ? TAP_RANGE_PREFIX
                           : TAP_RANGE_SUFFIX;
        TAP_TRY(expect(p, "(", "'('"));
        TAP_TRY(take_int(p, &r->first));
        if (window) {
            TAP_TRY(expect(p, ",", "','"));
            TAP_TRY(take_int(p, &r->last));
        }
        return expect(p, ")", "')'");
    }
    TAP_TRY(take_int(p, &r->first));
    r->last = r->first;
    if (!take(p, "-"))
        return TAP_OK;
    skip_space(p);
    r->last = -1;
    if (isdigit((unsigned char)*p->at)) {
        TAP_TRY(take_int(p, &r->last));
        if (r->last < r->first)
            return fail(p, "a range that rises");
    }
    return TAP_OK;
}

static tap_status parse_ranges(parser *p, tap_range *ranges, int *n, bool blocks)
{
    do {
        if (*n == TAP_MAX_RANGES)
            return fail(p, "at most 64 ranges");
        TAP_TRY(parse_range(p, &ranges[(*n)++], blocks));
    } while (take(p, ","));
    return expect(p, "]", "']'");
}

/* ---- atoms ---- */

static const char *const later_words[] = {"freeze", "fraction", "beyond", "phase",
                                          "edit"};

static tap_status parse_scale(parser *p, double *scale)
{
    skip_space(p);
    char *end = NULL;
    const double value = strtod(p->at, &end);
    if (end == p->at || !isfinite(value) || value < 0.0 || value > 1e6)
        return fail(p, "a factor of 0 or more");
    p->at = end;
    *scale = value;
    return TAP_OK;
}

static tap_status parse_mode(parser *p, tap_atom *atom)
{
    if (take_word(p, "scale")) {
        atom->mode = TAP_MODE_SCALE;
        return parse_scale(p, &atom->scale);
    }
    if (take_word(p, "zero"))
        atom->mode = TAP_MODE_ZERO;
    else if (take_word(p, "uniform"))
        atom->mode = TAP_MODE_UNIFORM;
    else
        (void)take_word(p, "knockout");
    return TAP_OK;
}

static tap_status parse_modifiers(parser *p, tap_atom *atom)
{
    static const char *const known[] = {"knockout", "scale", "zero",
                                        "uniform",  "drop",  "empty"};
    static const char *const rules[] = {"error", "self",
                                        "zero"}; /* ORDER tap_empty_rule */
    for (;;) {
        char word[WORD_BYTES];
        if (take_word(p, "drop")) {
            if (!take_word(p, "self"))
                return fail(p, "'self' after 'drop'");
            atom->drop_self = true;
            continue;
        }
        if (take_word(p, "empty")) {
            int rule = 0;
            while (rule < 3 && !take_word(p, rules[rule]))
                rule++;
            if (rule == 3)
                return fail(p, "'error', 'self' or 'zero' after 'empty'");
            atom->empty = (tap_empty_rule)rule;
            continue;
        }
        skip_space(p);
        peek_word(word, p);
        if (!word[0])
            return TAP_OK;
        for (size_t i = 0; i < sizeof later_words / sizeof *later_words; i++)
            if (strcmp(word, later_words[i]) == 0)
                return TAP_FAIL(
                    p->err, TAP_EUNSUPPORTED,
                    "condition '%.200s', column %d: '%s' is not carried out "
                    "by this version",
                    p->text, column(p), word);
        return unknown_word(p, "word", word, known, sizeof known / sizeof *known);
    }
}

static tap_status parse_named(parser *p, const char *name);

/* The name of a condition may hold '.', '+' and '_'. */
static size_t name_length(const char *at)
{
    size_t n = 0;
    while (is_word(at[n]) || at[n] == '.' || at[n] == '+')
        n++;
    return n;
}

static tap_status parse_atom(parser *p)
{
    skip_space(p);
    tap_atom atom = {.scale = 1.0, .column = column(p)};
    const char *start = p->at;
    const bool vision = take_word(p, "vision");
    const bool lm = !vision && take_word(p, "lm");
    skip_space(p);
    const bool is_atom = (vision || lm) && (*p->at == '[' || *p->at == ':' ||
                                            strncmp(p->at, ".h[", 3) == 0 ||
                                            strncmp(p->at, ".h [", 4) == 0);
    if (!is_atom) {
        char name[128];
        p->at = start;
        const size_t n = name_length(start);
        if (n == 0 || n >= sizeof name)
            return fail(p, "'vision', 'lm' or the name of a condition");
        memcpy(name, start, n);
        name[n] = '\0';
        TAP_TRY(parse_named(p, name));
        p->at = start + n;
        return TAP_OK;
    }
    atom.stack = vision ? TAP_VISION : TAP_LM;
    if (take(p, "["))
        TAP_TRY(parse_ranges(p, atom.blocks, &atom.n_blocks, true));
    if (take(p, ".h")) {
        TAP_TRY(expect(p, "[", "'['"));
        TAP_TRY(parse_ranges(p, atom.heads, &atom.n_heads, false));
    }
    TAP_TRY(expect(p, ":", "':'"));
    if (take_word(p, "edit"))
        return TAP_FAIL(
            p->err, TAP_EUNSUPPORTED,
            "condition '%.200s', column %d: state edits are not carried out "
            "by this version",
            p->text, column(p) - 4);
    TAP_TRY(parse_group(p, &atom.queries));
    TAP_TRY(expect(p, "<-", "'<-'"));
    TAP_TRY(parse_group(p, &atom.keys));
    TAP_TRY(parse_mode(p, &atom));
    TAP_TRY(parse_modifiers(p, &atom));
    if (atom.mode == TAP_MODE_SCALE && atom.scale <= 0.0)
        atom.mode = TAP_MODE_KNOCKOUT; /* nothing is left of a score scaled by 0 */
    TAP_TRY(tap_grow(&p->out->atoms, &p->out->atom_capacity, p->out->n_atoms + 1,
                     sizeof atom, "a condition", p->err));
    p->out->atoms[p->out->n_atoms++] = atom;
    return TAP_OK;
}

static tap_status parse_all(parser *p)
{
    for (;;) {
        skip_space(p);
        if (*p->at == '\0')
            return TAP_OK;
        TAP_TRY(parse_atom(p));
        skip_space(p);
        if (*p->at == '\0')
            return TAP_OK;
        TAP_TRY(expect(p, ";", "';' or the end"));
    }
}

static tap_status parse_named(parser *p, const char *name)
{
    size_t n = 0;
    const tap_preset *presets = tap_presets(&n);
    const char *names[128];
    for (size_t i = 0; i < n && i < sizeof names / sizeof *names; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, presets[i].name) != 0)
            continue;
        parser inner = {.out = p->out,
                        .text = presets[i].text,
                        .at = presets[i].text,
                        .inside_named = true,
                        .err = p->err};
        return p->inside_named ? fail(p, "an atom") : parse_all(&inner);
    }
    return unknown_word(p, "condition", name, names, n);
}

tap_status tap_condition_parse(tap_condition **out, const char *text, tap_error *err)
{
    tap_condition *condition = NULL;
    if (strlen(text) > MAX_TEXT_BYTES)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a condition of more than %d bytes is not read",
                        MAX_TEXT_BYTES);
    TAP_TRY(tap_alloc(&condition, 1, sizeof *condition, "a condition", err));
    parser p = {.out = condition, .text = text, .at = text, .err = err};
    const tap_status status = parse_all(&p);
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
    tap_free(condition->atoms);
    tap_free(condition->nodes);
    tap_free(condition);
}

/* ---- printing ---- */

static tap_status print_node(tap_buffer *out, const tap_condition *c, int32_t node,
                             int level, tap_error *err)
{
    const tap_group_node *n = &c->nodes[node];
    static const char *const marks[] = {
        [TAP_GROUP_AND] = "&", [TAP_GROUP_OR] = "|", [TAP_GROUP_MINUS] = "-"};
    if (n->op == TAP_GROUP_NAME)
        return tap_buffer_print(out, err, "%s", tap_group_names[n->name]);
    if (n->op == TAP_GROUP_NOT) {
        TAP_TRY(tap_buffer_put(out, "~", 1, err));
        return print_node(out, c, n->left, 3, err);
    }
    const int own = n->op == TAP_GROUP_AND ? 2 : 1; /* the right side binds tighter */
    if (own < level)
        TAP_TRY(tap_buffer_put(out, "(", 1, err));
    TAP_TRY(print_node(out, c, n->left, own, err));
    TAP_TRY(tap_buffer_print(out, err, "%s", marks[n->op]));
    TAP_TRY(print_node(out, c, n->right, own + 1, err));
    return own < level ? tap_buffer_put(out, ")", 1, err) : TAP_OK;
}

static tap_status print_ranges(tap_buffer *out, const tap_range *ranges, int n,
                               tap_error *err)
{
    for (int i = 0; i < n; i++) {
        const tap_range *r = &ranges[i];
        const char *comma = i ? "," : "";
        switch (r->kind) {
        case TAP_RANGE_LAST:
            TAP_TRY(tap_buffer_print(out, err, "%slast", comma));
            break;
        case TAP_RANGE_WINDOW:
            TAP_TRY(tap_buffer_print(out, err, "%swindow(%d,%d)", comma, r->first,
                                     r->last));
            break;
        case TAP_RANGE_PREFIX:
            TAP_TRY(tap_buffer_print(out, err, "%sprefix(%d)", comma, r->first));
            break;
        case TAP_RANGE_SUFFIX:
            TAP_TRY(tap_buffer_print(out, err, "%ssuffix(%d)", comma, r->first));
            break;
        case TAP_RANGE_PLAIN:
            if (r->last == r->first)
                TAP_TRY(tap_buffer_print(out, err, "%s%d", comma, r->first));
            else if (r->last < 0)
                TAP_TRY(tap_buffer_print(out, err, "%s%d-", comma, r->first));
            else
                TAP_TRY(
                    tap_buffer_print(out, err, "%s%d-%d", comma, r->first, r->last));
        }
    }
    return TAP_OK;
}

static tap_status print_atom(tap_buffer *out, const tap_condition *c,
                             const tap_atom *atom, tap_error *err)
{
    static const char *const rules[] = {"", " empty self", " empty zero"};
    TAP_TRY(tap_buffer_print(out, err, "%s%s", out->n_bytes ? "; " : "",
                             atom->stack == TAP_VISION ? "vision" : "lm"));
    if (atom->n_blocks) {
        TAP_TRY(tap_buffer_put(out, "[", 1, err));
        TAP_TRY(print_ranges(out, atom->blocks, atom->n_blocks, err));
        TAP_TRY(tap_buffer_put(out, "]", 1, err));
    }
    if (atom->n_heads) {
        TAP_TRY(tap_buffer_put(out, ".h[", 3, err));
        TAP_TRY(print_ranges(out, atom->heads, atom->n_heads, err));
        TAP_TRY(tap_buffer_put(out, "]", 1, err));
    }
    TAP_TRY(tap_buffer_put(out, ": ", 2, err));
    TAP_TRY(print_node(out, c, atom->queries, 0, err));
    TAP_TRY(tap_buffer_put(out, " <- ", 4, err));
    TAP_TRY(print_node(out, c, atom->keys, 0, err));
    if (atom->mode == TAP_MODE_SCALE)
        TAP_TRY(tap_buffer_print(out, err, " scale %.17g", atom->scale));
    if (atom->mode == TAP_MODE_ZERO)
        TAP_TRY(tap_buffer_put(out, " zero", 5, err));
    if (atom->mode == TAP_MODE_UNIFORM)
        TAP_TRY(tap_buffer_put(out, " uniform", 8, err));
    if (atom->drop_self)
        TAP_TRY(tap_buffer_put(out, " drop self", 10, err));
    return tap_buffer_print(out, err, "%s", rules[atom->empty]);
}

tap_status tap_condition_print(char **text, const tap_condition *condition,
                               tap_error *err)
{
    tap_buffer out = {0};
    tap_status status = tap_buffer_put(&out, "", 0, err);
    for (size_t a = 0; a < condition->n_atoms && status == TAP_OK; a++)
        status = print_atom(&out, condition, &condition->atoms[a], err);
    if (status != TAP_OK) {
        tap_buffer_clear(&out);
        return status;
    }
    *text = out.text;
    return TAP_OK;
}

/* Group expressions become bit sets over the tokens of one image. Everything that needs a
 * neighbourhood works on (view, row, column); text and masks came as named sets. */
#include "base/philox.h"
#include "base/suggest.h"
#include "hook/plan_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What an expression is evaluated over. */
typedef struct scope {
    tap_compiler *c;
    const tap_atom *atom;
    const tap_group_set *set;
    int64_t n_words;
    bool as_query;
} scope;

int64_t tap_token_distance(const tap_token *a, const tap_token *b)
{
    if (a->row < 0 || b->row < 0 || a->thumb != b->thumb)
        return -1;
    const int64_t rows = llabs((long long)a->row - b->row),
                  cols = llabs((long long)a->col - b->col);
    return rows > cols ? rows : cols;
}

const tap_group_set *tap_atom_set(const tap_compiler *c, const tap_atom *atom)
{
    const bool lm = atom->stack == TAP_LM || atom->projector;
    return &c->groups->stacks[lm ? TAP_LM : TAP_VISION];
}

static bool is_patch(const scope *s, int64_t t)
{
    return s->set->tokens[t].role == TAP_ROLE_PATCH;
}

/* Image tokens that a model made of all its patches: they have no place. */
static bool is_placeless(const tap_group_set *set)
{
    for (int64_t t = 0; t < set->n_tok; t++)
        if (set->tokens[t].role == TAP_ROLE_PATCH)
            return set->tokens[t].row < 0;
    return false;
}

static tap_status refuse_place(const scope *s, const tap_group_node *n,
                               const char *what)
{
    return tap_plan_refuse(
        s->c, s->atom, n->column,
        "%s has no meaning on the %s stack: this model's image tokens "
        "are learned queries that stand for no patch; cut on the "
        "vision stack, or name 'image'",
        what, tap_stack_name(TAP_LM));
}

/* ---- names ---- */

static tap_status absent(const scope *s, const tap_group_node *n, const char *name)
{
    static const char *const masks[] = {"part", "object", "outside", "background",
                                        "other_part"};
    const char *stack =
        s->atom->projector ? "projector" : tap_stack_name(s->atom->stack);
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        if (strcmp(name, masks[i]) == 0 && is_placeless(s->set))
            return refuse_place(s, n, name);
        else if (strcmp(name, masks[i]) == 0)
            return tap_plan_refuse(s->c, s->atom, n->column,
                                   "the group '%s' needs a mask of the %s; add one",
                                   name,
                                   i == 4                ? "other part"
                                   : i % 2 == 1 && i < 4 ? "object"
                                                         : "part");
    const tap_group_set *other =
        &s->c->groups
             ->stacks[s->set == &s->c->groups->stacks[TAP_LM] ? TAP_VISION : TAP_LM];
    for (int i = 0; i < other->n_names; i++)
        if (strcmp(other->names[i], name) == 0)
            return tap_plan_refuse(
                s->c, s->atom, n->column,
                "the %s stack has no group '%s'; it belongs to %s", stack, name,
                other == &s->c->groups->stacks[TAP_LM] ? "lm" : "vision");
    const char *near = tap_suggest(name, s->set->names, (size_t)s->set->n_names);
    return tap_plan_refuse(
        s->c, s->atom, n->column, "the %s stack has no group '%s'%s%s%s", stack, name,
        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static tap_status find_name(uint64_t *out, const scope *s, const tap_group_node *n,
                            const char *name)
{
    const size_t bytes = (size_t)s->n_words * sizeof *out;
    if (strcmp(name, "row_last") == 0 && is_placeless(s->set))
        return refuse_place(s, n, name);
    for (int i = 0; i < s->set->n_names; i++) {
        if (strcmp(s->set->names[i], name) != 0)
            continue;
        memcpy(out, s->set->members[i], bytes);
        for (int64_t t = 0;
             s->as_query && strcmp(name, "last") == 0 && t < s->set->n_tok; t++)
            if (s->set->tokens[t].role == TAP_ROLE_GEN)
                tap_bits_set(out, t);
        return TAP_OK;
    }
    return absent(s, n, name);
}

/* ---- neighbourhoods ---- */

/* Patches of the set by place: at [view][row][col] the token, or -1. View 1 is the
 * thumbnail, 0 everything else, whose tiles make one picture. */
typedef struct grid {
    int64_t n_rows, n_cols;
    int32_t *tokens;
} grid;

static tap_status open_grid(grid *g, const scope *s)
{
    *g = (grid){0};
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        const tap_token *k = &s->set->tokens[t];
        if (!is_patch(s, t) || k->row < 0)
            continue;
        g->n_rows = k->row >= g->n_rows ? k->row + 1 : g->n_rows;
        g->n_cols = k->col >= g->n_cols ? k->col + 1 : g->n_cols;
    }
    const size_t n = (size_t)(2 * g->n_rows * g->n_cols);
    TAP_TRY(tap_alloc(&g->tokens, n, sizeof *g->tokens, "a grid", s->c->err));
    memset(g->tokens, 0xff, n * sizeof *g->tokens);
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        const tap_token *k = &s->set->tokens[t];
        if (is_patch(s, t) && k->row >= 0)
            g->tokens[(k->thumb * g->n_rows + k->row) * g->n_cols + k->col] =
                (int32_t)t;
    }
    return TAP_OK;
}

static int32_t token_at(const grid *g, int64_t view, int64_t row, int64_t col)
{
    const bool inside = row >= 0 && row < g->n_rows && col >= 0 && col < g->n_cols;
    return inside ? g->tokens[(view * g->n_rows + row) * g->n_cols + col] : -1;
}

static int64_t clip(int64_t x, int64_t most)
{
    return x < 0 ? 0 : x > most ? most : x;
}

/* out = patches within r of a patch of `of`. */
static void dilate(uint64_t *out, const grid *g, const scope *s, const uint64_t *of,
                   int64_t r)
{
    memset(out, 0, (size_t)s->n_words * sizeof *out);
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        const tap_token *k = &s->set->tokens[t];
        if (!tap_bits_get(of, t) || !is_patch(s, t) || k->row < 0)
            continue;
        for (int64_t row = clip(k->row - r, g->n_rows);
             row < clip(k->row + r + 1, g->n_rows); row++)
            for (int64_t col = clip(k->col - r, g->n_cols);
                 col < clip(k->col + r + 1, g->n_cols); col++) {
                const int32_t other = token_at(g, k->thumb, row, col);
                if (other >= 0)
                    tap_bits_set(out, other);
            }
    }
}

static void shift(uint64_t *out, const grid *g, const scope *s, const uint64_t *of,
                  int64_t dx, int64_t dy)
{
    memset(out, 0, (size_t)s->n_words * sizeof *out);
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        const tap_token *k = &s->set->tokens[t];
        if (!tap_bits_get(of, t) || !is_patch(s, t) || k->row < 0)
            continue;
        const int32_t other = token_at(g, k->thumb, k->row + dy, k->col + dx);
        if (other >= 0)
            tap_bits_set(out, other);
    }
}

/* `other` [n_words] holds the group on entry; both are scratch. */
static tap_status neighbourhood(uint64_t *out, uint64_t *of, const scope *s,
                                const tap_group_node *n)
{
    grid g;
    if (is_placeless(s->set))
        return refuse_place(s, n, "a neighbourhood");
    TAP_TRY(open_grid(&g, s));
    if (n->op == TAP_GROUP_SHIFT) {
        shift(out, &g, s, of, n->a, n->b);
    } else if (n->op == TAP_GROUP_ERODE) { /* the dual of dilate */
        uint64_t *rest = out;              /* patches outside the group */
        memset(rest, 0, (size_t)s->n_words * sizeof *rest);
        for (int64_t t = 0; t < s->set->n_tok; t++)
            if (is_patch(s, t) && !tap_bits_get(of, t))
                tap_bits_set(rest, t);
        uint64_t *near = NULL;
        const tap_status status =
            tap_alloc(&near, (size_t)s->n_words, sizeof *near, "a group", s->c->err);
        if (status != TAP_OK) {
            tap_free(g.tokens);
            return status;
        }
        dilate(near, &g, s, rest, n->a);
        for (int64_t i = 0; i < s->n_words; i++)
            out[i] = of[i] & ~near[i];
        tap_free(near);
    } else {
        dilate(out, &g, s, of, n->a);
        for (int64_t i = 0; i < s->n_words; i++)
            out[i] = n->op == TAP_GROUP_RING ? out[i] & ~of[i] : out[i] | of[i];
    }
    tap_free(g.tokens);
    return TAP_OK;
}

/* ---- chance, tiles, text ---- */

typedef struct drawn {
    uint64_t draw;
    int64_t token;
} drawn;

static int by_draw(const void *a, const void *b)
{
    const drawn *x = a, *y = b;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

/* The n patches outside `out_of` (NULL: of all) with the smallest numbers. A number belongs
 * to a patch of the photograph, so equal grids give equal sets. */
static tap_status draw_random(uint64_t *out, const scope *s, const tap_group_node *n,
                              const uint64_t *out_of)
{
    const uint64_t key = (uint64_t)n->b ^ s->c->groups->key;
    drawn *all = NULL;
    int64_t count = 0, wanted = n->a;
    TAP_TRY(tap_alloc(&all, (size_t)s->set->n_tok, sizeof *all, "a group", s->c->err));
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        if (!is_patch(s, t) || (out_of && tap_bits_get(out_of, t)))
            continue;
        const uint32_t counter[4] = {(uint32_t)s->set->tokens[t].feature, 0, 0,
                                     TAP_DRAW_GROUP};
        uint32_t words[4];
        tap_philox(words, counter, key);
        all[count++] = (drawn){(uint64_t)words[0] << 32 | words[1], t};
    }
    if (out_of) {
        wanted = 0;
        for (int64_t t = 0; t < s->set->n_tok; t++)
            wanted += is_patch(s, t) && tap_bits_get(out_of, t);
    }
    if (wanted > count) {
        tap_free(all);
        return tap_plan_refuse(s->c, s->atom, n->column,
                               "random needs %lld image tokens, but there are %lld%s",
                               (long long)wanted, (long long)count,
                               out_of ? " outside the group" : "");
    }
    qsort(all, (size_t)count, sizeof *all, by_draw);
    memset(out, 0, (size_t)s->n_words * sizeof *out);
    for (int64_t i = 0; i < wanted; i++)
        tap_bits_set(out, all[i].token);
    tap_free(all);
    return TAP_OK;
}

static tap_status find_tile(uint64_t *out, const scope *s, const tap_group_node *n)
{
    int64_t n_tiles = 0;
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        const int64_t tile = s->set->tokens[t].tile;
        n_tiles = tile >= n_tiles ? tile + 1 : n_tiles;
        if (tile == n->a && is_patch(s, t))
            tap_bits_set(out, t);
    }
    if (n->a >= n_tiles)
        return tap_plan_refuse(s->c, s->atom, n->column,
                               "there is no tile %lld; this image has %lld, from 0",
                               (long long)n->a, (long long)n_tiles);
    return TAP_OK;
}

/* Tokens that hold part of an occurrence of the text. */
static tap_status find_span(uint64_t *out, const scope *s, const tap_group_node *n)
{
    const char *wanted = s->c->condition->strings.text + n->text;
    tap_buffer all = {0};
    int64_t *begin = NULL; /* of each token's text; [n_tok + 1] */
    tap_status status = TAP_OK;
    bool found = false;
    if (!s->set->pieces)
        return tap_plan_refuse(s->c, s->atom, n->column,
                               "span(\"%.60s\"): the %s stack has no text", wanted,
                               tap_stack_name(s->atom->stack));
    TAP_TRY_OUT(tap_alloc(&begin, (size_t)s->set->n_tok + 1, sizeof *begin, "a group",
                          s->c->err));
    for (int64_t t = 0; t < s->set->n_tok; t++) {
        const char *piece = s->set->pieces[t] ? s->set->pieces[t] : "\x1f";
        begin[t] = (int64_t)all.n_bytes;
        TAP_TRY_OUT(tap_buffer_put(&all, piece, strlen(piece), s->c->err));
    }
    begin[s->set->n_tok] = (int64_t)all.n_bytes;
    for (const char *at = all.text; *wanted && at && (at = strstr(at, wanted)); at++) {
        const int64_t first = at - all.text, end = first + (int64_t)strlen(wanted);
        for (int64_t t = 0; t < s->set->n_tok; t++)
            if (begin[t] < end && begin[t + 1] > first)
                tap_bits_set(out, t);
        found = true;
    }
    if (!found)
        status = tap_plan_refuse(s->c, s->atom, n->column,
                                 "span(\"%.60s\"): the prompt does not hold this text",
                                 wanted);
out:
    tap_free(begin);
    tap_buffer_clear(&all);
    return status;
}

/* The image tokens that the next word depends on most. */
static tap_status find_intgrad(uint64_t *out, const scope *s, const tap_group_node *n)
{
    const char *word = s->c->condition->strings.text + n->text;
    const tap_group_scorer *scorer = s->c->groups->scorer;
    const double *scores = NULL;
    tap_error why = {0};
    int64_t count = 0;
    for (int64_t t = 0; t < s->set->n_tok; t++)
        count += is_patch(s, t);
    if (s->set != &s->c->groups->stacks[TAP_LM])
        return tap_plan_refuse(
            s->c, s->atom, n->column,
            "intgrad chooses among the decoder's image tokens; write "
            "it in an atom of lm");
    if (!scorer)
        return tap_plan_refuse(
            s->c, s->atom, n->column,
            "intgrad(%lld,\"%.60s\") needs a question that is "
            "answered: use answer, generate, attention, lens or trace",
            (long long)n->a, word);
    if (n->a > count)
        return tap_plan_refuse(s->c, s->atom, n->column,
                               "intgrad needs %lld image tokens, but there are %lld",
                               (long long)n->a, (long long)count);
    const tap_status status = scorer->score(scorer->owner, &scores, word, &why);
    if (status != TAP_OK)
        return tap_plan_refuse(s->c, s->atom, n->column, "intgrad: %s", why.message);
    for (int64_t i = 0; i < n->a; i++) {
        int64_t best = -1;
        for (int64_t t = 0; t < s->set->n_tok; t++)
            if (is_patch(s, t) && !tap_bits_get(out, t) &&
                (best < 0 || scores[t] > scores[best]))
                best = t;
        tap_bits_set(out, best);
    }
    return TAP_OK;
}

/* ---- expressions ---- */

static tap_status eval(uint64_t *out, const scope *s, int32_t node);

/* other = the group a function is about: its argument, or the part. */
static tap_status argument(uint64_t *other, const scope *s, const tap_group_node *n)
{
    return n->left >= 0 ? eval(other, s, n->left) : find_name(other, s, n, "part");
}

static tap_status combine(uint64_t *out, uint64_t *other, const scope *s,
                          const tap_group_node *n)
{
    switch (n->op) {
    case TAP_GROUP_NOT: /* the image without the group */
        TAP_TRY(eval(other, s, n->left));
        for (int64_t t = 0; t < s->set->n_tok; t++)
            if (is_patch(s, t) && !tap_bits_get(other, t))
                tap_bits_set(out, t);
        return TAP_OK;
    case TAP_GROUP_RING:
    case TAP_GROUP_DILATE:
    case TAP_GROUP_ERODE:
    case TAP_GROUP_SHIFT:
        TAP_TRY(argument(other, s, n));
        return neighbourhood(out, other, s, n);
    case TAP_GROUP_RANDOM:
        if (n->left >= 0)
            TAP_TRY(eval(other, s, n->left));
        return draw_random(out, s, n, n->left >= 0 ? other : NULL);
    case TAP_GROUP_AND:
    case TAP_GROUP_OR:
    case TAP_GROUP_MINUS:
        TAP_TRY(eval(out, s, n->left));
        TAP_TRY(eval(other, s, n->right));
        for (int64_t i = 0; i < s->n_words; i++)
            out[i] = n->op == TAP_GROUP_AND  ? out[i] & other[i]
                     : n->op == TAP_GROUP_OR ? out[i] | other[i]
                                             : out[i] & ~other[i];
        return TAP_OK;
    case TAP_GROUP_NAME:
    case TAP_GROUP_TILE:
    case TAP_GROUP_SPAN:
    case TAP_GROUP_INTGRAD:
        break;
    }
    return TAP_FAIL(s->c->err, TAP_EBUG, "a group without meaning");
}

/* out [n_words] is zero on entry. */
static tap_status eval(uint64_t *out, const scope *s, int32_t node)
{
    const tap_group_node *n = &s->c->condition->nodes[node];
    if (n->op == TAP_GROUP_NAME)
        return find_name(out, s, n, tap_group_names[n->name]);
    if (n->op == TAP_GROUP_TILE)
        return find_tile(out, s, n);
    if (n->op == TAP_GROUP_SPAN)
        return find_span(out, s, n);
    if (n->op == TAP_GROUP_INTGRAD)
        return find_intgrad(out, s, n);
    uint64_t *other = NULL;
    TAP_TRY(tap_alloc(&other, (size_t)s->n_words, sizeof *other, "a group", s->c->err));
    const tap_status status = combine(out, other, s, n);
    tap_free(other);
    return status;
}

tap_status tap_plan_group(uint64_t *out, tap_compiler *c, const tap_atom *atom,
                          int32_t node, bool as_query)
{
    scope s = {.c = c,
               .atom = atom,
               .set = tap_atom_set(c, atom),
               .as_query = as_query && atom->phase != TAP_PHASE_PREFILL};
    s.n_words = tap_bits_words(s.set->n_tok);
    assert(node >= 0 && (size_t)node < c->condition->n_nodes);
    return eval(out, &s, node);
}

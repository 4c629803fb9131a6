/* From condition to edges: names become bits before any arithmetic.
 *
 * HOW IT WORKS. Each atom's groups become bit sets over the tokens of its stack, its ranges
 * bit sets over blocks and heads. Blocks on which the same atoms act share one tap_edges;
 * inside it, heads on which the same atoms act share a class. What an edge set does is
 * hashed, so conditions written differently but equal in effect are equal. */
#include "hook/plan.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "hook/condition.h"
#include "hook/site.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_ATOMS = 256, MAX_BLOCKS = 1024, MAX_HEADS = 256 };

/* The plan as handed out, and what it owns. */
typedef struct owned_plan {
    tap_plan plan; /* first: the public pointer is this one */
    void **owned;
    size_t n_owned, capacity;
} owned_plan;

/* One atom over one stack's tokens, ready. */
typedef struct ready_atom {
    const tap_atom *atom;
    uint64_t *queries, *keys; /* [n_words] */
    bool blocks[MAX_BLOCKS], heads[MAX_HEADS];
} ready_atom;

typedef struct compiler {
    const tap_condition *condition;
    const tap_groups *groups;
    const tap_plan_sizes *sizes;
    owned_plan *out;
    ready_atom *atoms; /* [n_atoms] */
    tap_error *err;
} compiler;

static tap_status own(compiler *c, void *out, size_t n, size_t bytes)
{
    void *memory = NULL;
    TAP_TRY(tap_grow(&c->out->owned, &c->out->capacity, c->out->n_owned + 1,
                     sizeof(void *), "a plan", c->err));
    TAP_TRY(tap_alloc(&memory, n, bytes, "a plan", c->err));
    c->out->owned[c->out->n_owned++] = memory;
    memcpy(out, &memory, sizeof memory);
    return TAP_OK;
}

/* ---- groups ---- */

static tap_status named_group(uint64_t *out, const compiler *c, const tap_atom *atom,
                              int32_t name)
{
    const tap_group_set *set = &c->groups->stacks[atom->stack];
    const char *wanted = tap_group_names[name];
    for (int i = 0; i < set->n_names; i++)
        if (strcmp(set->names[i], wanted) == 0) {
            memcpy(out, set->members[i],
                   (size_t)tap_bits_words(set->n_tok) * sizeof *out);
            return TAP_OK;
        }
    const bool mask = strcmp(wanted, "part") == 0 || strcmp(wanted, "object") == 0 ||
                      strcmp(wanted, "outside") == 0 ||
                      strcmp(wanted, "background") == 0 ||
                      strcmp(wanted, "other_part") == 0;
    return TAP_FAIL(
        c->err, TAP_EINVAL,
        "the condition (column %d) names the group '%s', which the %s stack "
        "does not have here%s",
        atom->column, wanted, tap_stack_name(atom->stack),
        mask ? ": it needs a mask of the part (and object)" : "");
}

/* Complement is within the stack's tokens for sets that reach beyond patches, and within
 * the image otherwise (METHOD: complement in I). */
static void complement(uint64_t *set, const uint64_t *image, const tap_group_set *g)
{
    const int64_t n_words = tap_bits_words(g->n_tok);
    for (int64_t i = 0; i < n_words; i++)
        set[i] = image[i] & ~set[i];
}

static tap_status eval(uint64_t *out, compiler *c, const tap_atom *atom, int32_t node)
{
    const tap_group_node *n = &c->condition->nodes[node];
    const tap_group_set *g = &c->groups->stacks[atom->stack];
    const int64_t n_words = tap_bits_words(g->n_tok);
    uint64_t *other = NULL;
    if (n->op == TAP_GROUP_NAME)
        return named_group(out, c, atom, n->name);
    TAP_TRY(tap_alloc(&other, (size_t)n_words, sizeof *other, "a group", c->err));
    tap_status status = eval(out, c, atom, n->left);
    if (status == TAP_OK && n->op == TAP_GROUP_NOT) {
        for (int64_t t = 0; t < g->n_tok; t++)
            if (g->tokens[t].role == TAP_ROLE_PATCH)
                tap_bits_set(other, t);
        complement(out, other, g);
    } else if (status == TAP_OK) {
        status = eval(other, c, atom, n->right);
        for (int64_t i = 0; i < n_words && status == TAP_OK; i++)
            out[i] = n->op == TAP_GROUP_AND  ? out[i] & other[i]
                     : n->op == TAP_GROUP_OR ? out[i] | other[i]
                                             : out[i] & ~other[i];
    }
    tap_free(other);
    return status;
}

/* ---- ranges ---- */

static int32_t clamp(int64_t value, int n)
{
    return (int32_t)(value < 0 ? 0 : value > n ? n : value);
}

/* Begin and end of a range over n items. */
static void ends_of(int32_t *begin, int32_t *end, const tap_range *r, int n)
{
    switch (r->kind) {
    case TAP_RANGE_LAST:
        *begin = n - 1;
        *end = n;
        break;
    case TAP_RANGE_WINDOW: /* Geva et al. 2023, released code */
        *begin = clamp((int64_t)r->first - r->last / 2, n);
        *end = clamp((int64_t)r->first + (r->last + 1) / 2, n);
        break;
    case TAP_RANGE_PREFIX:
        *begin = 0;
        *end = clamp(r->first, n);
        break;
    case TAP_RANGE_SUFFIX:
        *begin = clamp((int64_t)n - r->first, n);
        *end = n;
        break;
    case TAP_RANGE_PLAIN:
        *begin = r->first;
        *end = r->last < 0 ? n : r->last + 1;
    }
}

static tap_status set_ranges(bool *set, const compiler *c, const tap_atom *atom,
                             const tap_range *ranges, int n_ranges, int n,
                             const char *what)
{
    for (int i = 0; i < n; i++)
        set[i] = n_ranges == 0;
    for (int i = 0; i < n_ranges; i++) {
        int32_t begin = 0, end = 0;
        ends_of(&begin, &end, &ranges[i], n);
        if (begin >= n || end > n)
            return TAP_FAIL(
                c->err, TAP_EINVAL,
                "the condition (column %d) names %s %d, but the %s stack has "
                "%d, 0 to %d",
                atom->column, what, begin >= n ? begin : end - 1,
                tap_stack_name(atom->stack), n, n - 1);
        for (int32_t k = begin; k < end; k++)
            set[k] = true;
    }
    return TAP_OK;
}

static tap_status ready(compiler *c, size_t a)
{
    const tap_atom *atom = &c->condition->atoms[a];
    ready_atom *r = &c->atoms[a];
    const size_t n_words = (size_t)tap_bits_words(c->groups->stacks[atom->stack].n_tok);
    r->atom = atom;
    TAP_TRY(own(c, &r->queries, n_words, sizeof *r->queries));
    TAP_TRY(own(c, &r->keys, n_words, sizeof *r->keys));
    TAP_TRY(eval(r->queries, c, atom, atom->queries));
    TAP_TRY(eval(r->keys, c, atom, atom->keys));
    TAP_TRY(set_ranges(r->blocks, c, atom, atom->blocks, atom->n_blocks,
                       c->sizes->n_blocks[atom->stack], "block"));
    return set_ranges(r->heads, c, atom, atom->heads, atom->n_heads,
                      c->sizes->n_heads[atom->stack], "head");
}

/* ---- edges ---- */

/* Edges in the making: the same layout as tap_edges, writable. */
typedef struct draft {
    int64_t n_tok, n_words, segment;
    bool causal;
    int n_classes;
    uint8_t class_of_head[MAX_HEADS];
    uint64_t *cut, *zeroed, *uniform;
    float *log_scale;
} draft;

/* Words of row q that atom a may touch: its keys, within the base mask, self kept. */
static void touched(uint64_t *out, const ready_atom *a, int64_t q, const draft *d)
{
    const int64_t begin = tap_segment_begin(d->segment, q);
    const int64_t end = d->causal ? q + 1 : tap_segment_end(d->segment, q, d->n_tok);
    memcpy(out, a->keys, (size_t)d->n_words * sizeof *out);
    for (int64_t i = 0; i < d->n_words; i++) {
        const int64_t low = begin - i * 64, high = end - i * 64;
        if (low >= 64 || high <= 0)
            out[i] = 0;
        else if (low > 0)
            out[i] &= ~UINT64_C(0) << low;
        if (high > 0 && high < 64)
            out[i] &= (UINT64_C(1) << high) - 1;
    }
    if (!a->atom->drop_self)
        tap_bits_drop(out, q);
}

static tap_status alloc_draft(draft *d, compiler *c, bool scaled, bool zeroed,
                              bool uniform)
{
    const size_t rows = (size_t)(d->n_classes * d->n_tok);
    TAP_TRY(own(c, &d->cut, rows, (size_t)d->n_words * sizeof *d->cut));
    if (zeroed)
        TAP_TRY(own(c, &d->zeroed, rows, (size_t)d->n_words * sizeof *d->zeroed));
    if (uniform)
        TAP_TRY(own(c, &d->uniform, (size_t)d->n_classes,
                    (size_t)d->n_words * sizeof *d->uniform));
    if (scaled)
        TAP_TRY(own(c, &d->log_scale, rows, (size_t)d->n_tok * sizeof *d->log_scale));
    return TAP_OK;
}

/* One atom into one class. row [n_words] is scratch. */
static void draw(draft *d, uint64_t *row, const ready_atom *a, int class)
{
    for (int64_t q = 0; q < d->n_tok; q++) {
        if (!tap_bits_get(a->queries, q))
            continue;
        const int64_t at = (int64_t) class * d->n_tok + q;
        touched(row, a, q, d);
        uint64_t *set = a->atom->mode == TAP_MODE_ZERO ? d->zeroed : d->cut;
        if (a->atom->mode == TAP_MODE_KNOCKOUT || a->atom->mode == TAP_MODE_ZERO) {
            for (int64_t i = 0; i < d->n_words; i++)
                set[at * d->n_words + i] |= row[i];
        } else if (a->atom->mode == TAP_MODE_UNIFORM) {
            tap_bits_set(d->uniform + class * d->n_words, q);
        } else {
            for (int64_t s = 0; s < d->n_tok; s++)
                if (tap_bits_get(row, s))
                    d->log_scale[at * d->n_tok + s] += (float)log(a->atom->scale);
        }
    }
}

/* Rows that lost every key follow the rule of the atoms that cut them. */
static tap_status settle_empty(draft *d, const compiler *c, tap_stack stack, int block,
                               const bool *acts)
{
    for (int class = 0; class < d->n_classes; class ++)
        for (int64_t q = 0; q < d->n_tok; q++) {
            uint64_t *cut = d->cut + ((int64_t) class * d->n_tok + q) * d->n_words;
            const int64_t begin = tap_segment_begin(d->segment, q);
            const int64_t end = tap_segment_end(d->segment, q, d->n_tok);
            const int64_t allowed = (d->causal ? q + 1 : end) - begin;
            if (tap_bits_count(cut, d->n_words) < allowed)
                continue;
            tap_empty_rule rule = TAP_EMPTY_ERROR;
            const tap_atom *culprit = NULL;
            for (size_t a = 0; a < c->condition->n_atoms; a++) {
                const tap_atom *atom = c->atoms[a].atom;
                if (!acts[a] || !tap_bits_get(c->atoms[a].queries, q))
                    continue;
                culprit = culprit ? culprit : atom;
                if (rule == TAP_EMPTY_ERROR || atom->empty == TAP_EMPTY_SELF)
                    rule = atom->empty != TAP_EMPTY_ERROR ? atom->empty : rule;
            }
            if (rule == TAP_EMPTY_SELF)
                tap_bits_drop(cut, q);
            if (rule == TAP_EMPTY_ERROR)
                return TAP_FAIL(
                    c->err, TAP_EINVAL,
                    "the condition (column %d) leaves query row %lld of %s "
                    "block %d without any key; leave out 'drop self', or add "
                    "'empty self' or 'empty zero'",
                    culprit ? culprit->column : 1, (long long)q, tap_stack_name(stack),
                    block);
        }
    return TAP_OK;
}

/* A zeroed edge that is also cut is cut; then nothing stays twice. */
static void separate(draft *d)
{
    const int64_t n = d->n_classes * d->n_tok * d->n_words;
    for (int64_t i = 0; d->zeroed && i < n; i++)
        d->zeroed[i] &= ~d->cut[i];
}

/* One class's part of an array; NULL stays NULL. */
static void *slice(void *array, size_t class_bytes, int class)
{
    return array ? (unsigned char *)array + (size_t) class * class_bytes : NULL;
}

/* Classes that came out alike become one, so that equal effects look equal. */
static void join_classes(draft *d, int n_heads)
{
    const size_t row_bits = (size_t)(d->n_tok * d->n_words) * sizeof(uint64_t);

    const struct {
        void *array;
        size_t bytes;
    } parts[] = {{d->cut, row_bits},
                 {d->zeroed, row_bits},
                 {d->uniform, (size_t)d->n_words * sizeof(uint64_t)},
                 {d->log_scale, (size_t)(d->n_tok * d->n_tok) * sizeof(float)}};

    int n = 0, now[MAX_HEADS] = {0};
    for (int class = 0; class < d->n_classes; class ++) {
        int like = 0;
        for (; like < n; like++) {
            bool same = true;
            for (size_t i = 0; i < 4; i++)
                same &= !parts[i].array ||
                        memcmp(slice(parts[i].array, parts[i].bytes, class),
                               slice(parts[i].array, parts[i].bytes, like),
                               parts[i].bytes) == 0;
            if (same)
                break;
        }
        now[class] = like;
        for (size_t i = 0; like == n && i < 4; i++)
            if (parts[i].array && class != n)
                memcpy(slice(parts[i].array, parts[i].bytes, n),
                       slice(parts[i].array, parts[i].bytes, class), parts[i].bytes);
        n += like == n;
    }
    for (int h = 0; h < n_heads; h++)
        d->class_of_head[h] = (uint8_t)now[d->class_of_head[h]];
    d->n_classes = n;
}

static bool any_bit(const uint64_t *words, int64_t n)
{
    for (int64_t i = 0; words && i < n; i++)
        if (words[i])
            return true;
    return false;
}

static bool any_scale(const float *values, int64_t n)
{
    for (int64_t i = 0; values && i < n; i++)
        if (values[i] != 0.0F)
            return true;
    return false;
}

static uint64_t hash_part(uint64_t seed, const void *bytes, size_t n, uint64_t tag)
{
    seed = tap_hash(seed, &tag, sizeof tag);
    return bytes ? tap_hash(seed, bytes, n) : seed;
}

/* What the draft does, as a block plan; a draft without effect is no entry. */
static tap_status finish(tap_block_plan *out, compiler *c, draft *d, int n_heads)
{
    separate(d);
    join_classes(d, n_heads);
    const int64_t rows = d->n_classes * d->n_tok, n_bits = rows * d->n_words;
    if (!any_bit(d->zeroed, n_bits))
        d->zeroed = NULL;
    if (!any_scale(d->log_scale, rows * d->n_tok))
        d->log_scale = NULL;
    if (!any_bit(d->uniform, d->n_classes * d->n_words))
        d->uniform = NULL;
    const bool cuts = any_bit(d->cut, n_bits);
    *out = (tap_block_plan){0};
    if (!cuts && !d->zeroed && !d->log_scale && !d->uniform)
        return TAP_OK;
    tap_edges *edges = NULL;
    uint8_t *classes = NULL;
    TAP_TRY(own(c, &edges, 1, sizeof *edges));
    TAP_TRY(own(c, &classes, (size_t)n_heads, 1));
    memcpy(classes, d->class_of_head, (size_t)n_heads);
    *edges = (tap_edges){.n_tok = d->n_tok,
                         .n_classes = d->n_classes,
                         .class_of_head = classes,
                         .cut = cuts ? d->cut : NULL,
                         .log_scale = d->log_scale,
                         .zeroed = d->zeroed,
                         .uniform = d->uniform};
    const size_t bits = (size_t)n_bits * sizeof(uint64_t);
    uint64_t hash = hash_part(1, classes, (size_t)n_heads, 1);
    hash = hash_part(hash, edges->cut, bits, 2);
    hash = hash_part(hash, edges->zeroed, bits, 3);
    hash = hash_part(hash, edges->uniform,
                     (size_t)(d->n_classes * d->n_words) * sizeof(uint64_t), 4);
    hash =
        hash_part(hash, edges->log_scale, (size_t)(rows * d->n_tok) * sizeof(float), 5);
    out->edges = edges;
    out->hash = hash ? hash : 1;
    return TAP_OK;
}

/* Heads on which the same of the acting atoms act share a class. */
static void classify(draft *d, const compiler *c, const bool *acts, int n_heads)
{
    for (int h = 0; h < n_heads; h++) {
        int like = 0;
        for (; like < h; like++) {
            bool same = true;
            for (size_t a = 0; a < c->condition->n_atoms; a++)
                same &= !acts[a] || c->atoms[a].heads[h] == c->atoms[a].heads[like];
            if (same)
                break;
        }
        d->class_of_head[h] =
            like < h ? d->class_of_head[like] : (uint8_t)d->n_classes++;
    }
}

static tap_status compile_block(tap_block_plan *out, compiler *c, tap_stack stack,
                                int block, const bool *acts)
{
    const int n_heads = c->sizes->n_heads[stack];
    draft d = {.n_tok = c->groups->stacks[stack].n_tok,
               .segment = c->groups->stacks[stack].segment,
               .causal = c->sizes->causal[stack]};
    d.n_words = tap_bits_words(d.n_tok);
    classify(&d, c, acts, n_heads);
    bool modes[4] = {false};
    for (size_t a = 0; a < c->condition->n_atoms; a++)
        modes[c->atoms[a].atom->mode] |= acts[a];
    TAP_TRY(alloc_draft(&d, c, modes[TAP_MODE_SCALE], modes[TAP_MODE_ZERO],
                        modes[TAP_MODE_UNIFORM]));
    uint64_t *row = NULL;
    TAP_TRY(own(c, &row, (size_t)d.n_words, sizeof *row));
    for (size_t a = 0; a < c->condition->n_atoms; a++) {
        if (!acts[a])
            continue;
        bool drawn[MAX_HEADS] = {false};
        for (int h = 0; h < n_heads; h++) {
            const int class = d.class_of_head[h];
            if (!c->atoms[a].heads[h] || drawn[class])
                continue;
            drawn[class] = true;
            draw(&d, row, &c->atoms[a], class);
        }
    }
    TAP_TRY(settle_empty(&d, c, stack, block, acts));
    return finish(out, c, &d, n_heads);
}

static tap_status compile_stack(compiler *c, tap_stack stack)
{
    tap_plan *plan = &c->out->plan;
    const int n_blocks = c->sizes->n_blocks[stack];
    const size_t n_atoms = c->condition->n_atoms;
    TAP_TRY(own(c, &plan->blocks[stack], (size_t)n_blocks, sizeof(tap_block_plan)));
    plan->n_blocks[stack] = n_blocks;
    bool acts[2][MAX_ATOMS];
    for (int b = 0; b < n_blocks; b++) {
        bool any = false;
        int twin = -1;
        for (size_t a = 0; a < n_atoms; a++) {
            acts[0][a] = c->atoms[a].atom->stack == stack && c->atoms[a].blocks[b];
            any |= acts[0][a];
        }
        for (int earlier = b - 1; any && earlier >= 0 && twin < 0; earlier--) {
            bool same = true;
            for (size_t a = 0; a < n_atoms; a++)
                same &= acts[0][a] == (c->atoms[a].atom->stack == stack &&
                                       c->atoms[a].blocks[earlier]);
            twin = same ? earlier : -1;
        }
        if (twin >= 0)
            plan->blocks[stack][b] = plan->blocks[stack][twin];
        else if (any)
            TAP_TRY(compile_block(&plan->blocks[stack][b], c, stack, b, acts[0]));
    }
    return TAP_OK;
}

tap_status tap_plan_compile(tap_plan **out, const tap_condition *condition,
                            const tap_groups *groups, const tap_plan_sizes *sizes,
                            tap_error *err)
{
    compiler c = {.condition = condition, .groups = groups, .sizes = sizes, .err = err};
    tap_status status = TAP_OK;
    if (condition->n_atoms > MAX_ATOMS)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a condition may have at most %d atoms, not %zu", MAX_ATOMS,
                        condition->n_atoms);
    for (int s = 0; s < TAP_N_STACKS; s++)
        assert(sizes->n_blocks[s] <= MAX_BLOCKS && sizes->n_heads[s] <= MAX_HEADS);
    TAP_TRY_OUT(tap_alloc(&c.out, 1, sizeof *c.out, "a plan", err));
    TAP_TRY_OUT(
        tap_alloc(&c.atoms, condition->n_atoms, sizeof *c.atoms, "a plan", err));
    for (size_t a = 0; a < condition->n_atoms; a++)
        TAP_TRY_OUT(ready(&c, a));
    for (int s = 0; s < TAP_N_STACKS; s++)
        TAP_TRY_OUT(compile_stack(&c, (tap_stack)s));
out:
    tap_free(c.atoms);
    if (status == TAP_OK)
        *out = &c.out->plan;
    else if (c.out)
        tap_plan_free(&c.out->plan);
    return status;
}

void tap_plan_free(tap_plan *plan)
{
    if (!plan)
        return;
    owned_plan *o = (owned_plan *)(void *)plan; /* plan is its first member */
    for (size_t i = 0; i < o->n_owned; i++)
        tap_free(o->owned[i]);
    tap_free(o->owned);
    tap_free(o);
}

/* The edges of one block: bits per class of heads, hashed by what they do. */
#include "base/hash.h"
#include "base/philox.h"
#include "base/planted.h"
#include "hook/plan_own.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Edges in the making: the same layout as tap_edges, writable. */
typedef struct draft {
    int64_t n_tok, n_words, segment;
    bool causal;
    int n_classes;
    uint8_t class_of_head[TAP_PLAN_HEADS];
    uint64_t *cut, *zeroed, *uniform, *frozen;
    float *log_scale;
    int64_t rows_kept_self;
} draft;

/* Drops keys within `beyond` of the query, and those that `fraction` spares. Which edges a
 * share holds depends on seed and image alone, and a smaller share is part of a larger. */
static void thin(uint64_t *row, const tap_compiler *c, const tap_ready_atom *a,
                 int64_t q, int64_t n_tok)
{
    const tap_atom *atom = a->atom;
    const tap_token *tokens = c->groups->stacks[atom->stack].tokens;
    for (int64_t s = 0; atom->beyond >= 0 && s < n_tok; s++) {
        if (!tap_bits_get(row, s))
            continue;
        const int64_t distance = tap_token_distance(&tokens[q], &tokens[s]);
        if (distance >= 0 && distance <= atom->beyond)
            tap_bits_drop(row, s);
    }
    const uint64_t key = (uint64_t)atom->seed ^ c->groups->key;
    for (int64_t s = 0; atom->fraction < 1.0 && s < n_tok; s += 4) {
        const uint32_t counter[4] = {(uint32_t)q, (uint32_t)(s / 4), 0, TAP_DRAW_EDGE};
        uint32_t words[4];
        tap_philox(words, counter, key);
        for (int64_t i = 0; i < 4 && s + i < n_tok; i++)
            if ((double)words[i] >= atom->fraction * 4294967296.0)
                tap_bits_drop(row, s + i);
    }
}

/* Words of row q that atom a may touch: its keys, within the base mask, self kept. */
static void touched(uint64_t *out, const tap_compiler *c, const tap_ready_atom *a,
                    int64_t q, const draft *d)
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
    if (!a->atom->drop_self && !TAP_PLANTED(TAP_BUG_SELF_DROPPED))
        tap_bits_drop(out, q);
    if (a->atom->beyond >= 0 || a->atom->fraction < 1.0)
        thin(out, c, a, q, d->n_tok);
}

static tap_status alloc_draft(draft *d, tap_compiler *c, const bool modes[TAP_N_MODES])
{
    const size_t rows = (size_t)(d->n_classes * d->n_tok);
    const size_t row_bytes = (size_t)d->n_words * sizeof *d->cut;
    TAP_TRY(tap_plan_own(c, &d->cut, rows, row_bytes));
    if (modes[TAP_MODE_ZERO])
        TAP_TRY(tap_plan_own(c, &d->zeroed, rows, row_bytes));
    if (modes[TAP_MODE_FREEZE])
        TAP_TRY(tap_plan_own(c, &d->frozen, rows, row_bytes));
    if (modes[TAP_MODE_UNIFORM])
        TAP_TRY(tap_plan_own(c, &d->uniform, (size_t)d->n_classes, row_bytes));
    if (modes[TAP_MODE_SCALE])
        TAP_TRY(tap_plan_own(c, &d->log_scale, rows,
                             (size_t)d->n_tok * sizeof *d->log_scale));
    return TAP_OK;
}

/* One atom into one class. row [n_words] is scratch. */
static void draw(draft *d, uint64_t *row, const tap_compiler *c,
                 const tap_ready_atom *a, int class)
{
    const tap_mode mode = a->atom->mode;
    uint64_t *set = mode == TAP_MODE_ZERO     ? d->zeroed
                    : mode == TAP_MODE_FREEZE ? d->frozen
                                              : d->cut;
    for (int64_t q = 0; q < d->n_tok; q++) {
        if (!tap_bits_get(a->queries, q))
            continue;
        const int64_t at = (int64_t) class * d->n_tok + q;
        touched(row, c, a, q, d);
        if (mode == TAP_MODE_UNIFORM) {
            tap_bits_set(d->uniform + class * d->n_words, q);
        } else if (mode == TAP_MODE_SCALE) {
            for (int64_t s = 0; s < d->n_tok; s++)
                if (tap_bits_get(row, s))
                    d->log_scale[at * d->n_tok + s] += (float)log(a->atom->scale);
        } else {
            for (int64_t i = 0; i < d->n_words; i++)
                set[at * d->n_words + i] |= row[i];
        }
    }
}

/* Rows that lost every key follow the rule of the atoms that cut them. */
static tap_status settle_empty(draft *d, const tap_compiler *c, tap_stack stack,
                               int block, const bool *acts)
{
    for (int class = 0; class < d->n_classes; class ++) {
        int64_t kept_self = 0;
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
            if (rule == TAP_EMPTY_SELF) {
                tap_bits_drop(cut, q);
                kept_self++;
            }
            assert(culprit); /* only atoms that act cut */
            if (rule == TAP_EMPTY_ERROR)
                return tap_plan_refuse(
                    c, culprit, culprit->column,
                    "query row %lld of %s block %d would have no key left; leave out "
                    "'drop self', or add 'empty self' or 'empty zero'",
                    (long long)q, tap_stack_name(stack), block);
        }
        d->rows_kept_self =
            kept_self > d->rows_kept_self ? kept_self : d->rows_kept_self;
    }
    return TAP_OK;
}

/* A zeroed edge that is also cut is cut, a frozen one that is either is that: then nothing
 * stays twice. */
static void separate(draft *d)
{
    const int64_t n = d->n_classes * d->n_tok * d->n_words;
    for (int64_t i = 0; d->zeroed && i < n; i++)
        d->zeroed[i] &= ~d->cut[i];
    for (int64_t i = 0; d->frozen && i < n; i++)
        d->frozen[i] &= ~d->cut[i] & ~(d->zeroed ? d->zeroed[i] : 0);
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
                 {d->frozen, row_bits},
                 {d->uniform, (size_t)d->n_words * sizeof(uint64_t)},
                 {d->log_scale, (size_t)(d->n_tok * d->n_tok) * sizeof(float)}};

    const size_t n_parts = sizeof parts / sizeof *parts;
    int n = 0, now[TAP_PLAN_HEADS] = {0};
    for (int class = 0; class < d->n_classes; class ++) {
        int like = 0;
        for (; like < n; like++) {
            bool same = true;
            for (size_t i = 0; i < n_parts; i++)
                same &= !parts[i].array ||
                        memcmp(slice(parts[i].array, parts[i].bytes, class),
                               slice(parts[i].array, parts[i].bytes, like),
                               parts[i].bytes) == 0;
            if (same)
                break;
        }
        now[class] = like;
        for (size_t i = 0; like == n && i < n_parts; i++)
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
static tap_status finish(tap_block_plan *out, tap_compiler *c, draft *d, int n_heads)
{
    separate(d);
    join_classes(d, n_heads);
    const int64_t rows = d->n_classes * d->n_tok, n_bits = rows * d->n_words;
    if (!any_bit(d->zeroed, n_bits))
        d->zeroed = NULL;
    if (!any_bit(d->frozen, n_bits))
        d->frozen = NULL;
    if (!any_scale(d->log_scale, rows * d->n_tok))
        d->log_scale = NULL;
    if (!any_bit(d->uniform, d->n_classes * d->n_words))
        d->uniform = NULL;
    const bool cuts = any_bit(d->cut, n_bits);
    *out = (tap_block_plan){0};
    if (!cuts && !d->zeroed && !d->log_scale && !d->uniform && !d->frozen)
        return TAP_OK;
    tap_edges *edges = NULL;
    uint8_t *classes = NULL;
    TAP_TRY(tap_plan_own(c, &edges, 1, sizeof *edges));
    TAP_TRY(tap_plan_own(c, &classes, (size_t)n_heads, 1));
    memcpy(classes, d->class_of_head, (size_t)n_heads);
    *edges = (tap_edges){.n_tok = d->n_tok,
                         .n_classes = d->n_classes,
                         .class_of_head = classes,
                         .cut = cuts ? d->cut : NULL,
                         .log_scale = d->log_scale,
                         .zeroed = d->zeroed,
                         .uniform = d->uniform,
                         .frozen = d->frozen};
    const size_t bits = (size_t)n_bits * sizeof(uint64_t);
    uint64_t hash = hash_part(1, classes, (size_t)n_heads, 1);
    hash = hash_part(hash, edges->cut, bits, 2);
    hash = hash_part(hash, edges->zeroed, bits, 3);
    hash = hash_part(hash, edges->uniform,
                     (size_t)(d->n_classes * d->n_words) * sizeof(uint64_t), 4);
    hash =
        hash_part(hash, edges->log_scale, (size_t)(rows * d->n_tok) * sizeof(float), 5);
    hash = hash_part(hash, edges->frozen, bits, 6);
    out->edges = edges;
    out->hash = hash ? hash : 1;
    out->rows_kept_self = d->rows_kept_self;
    return TAP_OK;
}

/* Heads on which the same of the acting atoms act share a class. */
static void classify(draft *d, const tap_compiler *c, const bool *acts, int n_heads)
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

/* Atoms in the order in which they are drawn: bits are joined in any order, scales are
 * summed from the smallest up, so that the order of the text does not reach the last bit. */
static int drawing_order(int *order, const tap_compiler *c, const bool *acts)
{
    int n = 0;
    for (size_t a = 0; a < c->condition->n_atoms; a++) {
        if (!acts[a])
            continue;
        int at = n++;
        for (; at > 0 && c->atoms[order[at - 1]].atom->scale > c->atoms[a].atom->scale;
             at--)
            order[at] = order[at - 1];
        order[at] = (int)a;
    }
    return n;
}

tap_status tap_plan_edges(tap_block_plan *out, tap_compiler *c, tap_stack stack,
                          int block, const bool *acts)
{
    const int n_heads = c->sizes->n_heads[stack];
    draft d = {.n_tok = c->groups->stacks[stack].n_tok,
               .segment = c->groups->stacks[stack].segment,
               .causal = c->sizes->causal[stack]};
    d.n_words = tap_bits_words(d.n_tok);
    classify(&d, c, acts, n_heads);
    bool modes[TAP_N_MODES] = {false};
    for (size_t a = 0; a < c->condition->n_atoms; a++)
        modes[c->atoms[a].atom->mode] |= acts[a];
    TAP_TRY(alloc_draft(&d, c, modes));
    uint64_t *row = NULL;
    int order[TAP_PLAN_ATOMS];
    TAP_TRY(tap_plan_own(c, &row, (size_t)d.n_words, sizeof *row));
    const int n = drawing_order(order, c, acts);
    for (int i = 0; i < n; i++) {
        const tap_ready_atom *a = &c->atoms[order[i]];
        bool drawn[TAP_PLAN_HEADS] = {false};
        for (int h = 0; h < n_heads; h++) {
            const int off = TAP_PLANTED(TAP_BUG_HEAD_OFF_BY_ONE);
            const int class = d.class_of_head[(h + off) % n_heads];
            if (!a->heads[h] || drawn[class])
                continue;
            drawn[class] = true;
            draw(&d, row, c, a, class);
        }
    }
    TAP_TRY(settle_empty(&d, c, stack, block, acts));
    return finish(out, c, &d, n_heads);
}

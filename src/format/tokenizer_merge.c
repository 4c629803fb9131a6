/* Which pieces does a stretch of normalised text become? Byte-pair merging with a heap.
 *
 * Symbols start as characters. The pair of neighbours with the lowest rank merges first, the
 * leftmost of equals. Pairs that no longer stand are skipped when they come up. */
#include "format/tokenizer_tables.h"

#include <string.h>

typedef struct symbol {
    int32_t id; /* -1: unknown so far */
    size_t at, n_bytes;
    int64_t previous, next; /* -1: none */
} symbol;

typedef struct candidate {
    double rank;
    int64_t left;
    size_t n_bytes; /* of both when it was found: a changed pair is stale */
    int32_t result;
} candidate;

typedef struct word {
    const tap_tokenizer *t;
    const char *text;
    symbol *symbols;
    size_t n_symbols, symbol_capacity;
    candidate *heap;
    size_t n_heap, heap_capacity;
} word;

size_t tap_utf8_bytes(const char *text, size_t n_bytes, size_t at)
{
    const unsigned char *s = (const unsigned char *)text + at;
    const size_t left = n_bytes - at;
    const size_t n = s[0] < 0x80U                     ? 1
                     : s[0] >= 0xc2U && s[0] < 0xe0U  ? 2
                     : s[0] >= 0xe0U && s[0] < 0xf0U  ? 3
                     : s[0] >= 0xf0U && s[0] <= 0xf4U ? 4
                                                      : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0U) != 0x80U)
            return 0;
    const bool overlong =
        (s[0] == 0xe0U && s[1] < 0xa0U) || (s[0] == 0xf0U && s[1] < 0x90U);
    const bool outside =
        (s[0] == 0xedU && s[1] >= 0xa0U) || (s[0] == 0xf4U && s[1] >= 0x90U);
    return n > 1 && (overlong || outside) ? 0 : n;
}

static bool comes_first(const candidate *a, const candidate *b)
{
    return a->rank < b->rank || (a->rank <= b->rank && a->left < b->left);
}

static tap_status push(word *w, candidate c, tap_error *err)
{
    TAP_TRY(tap_grow(&w->heap, &w->heap_capacity, w->n_heap + 1, sizeof *w->heap,
                     "a tokenizer", err));
    size_t i = w->n_heap++;
    for (; i > 0 && comes_first(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
    return TAP_OK;
}

static candidate pop(word *w)
{
    const candidate top = w->heap[0];
    const candidate last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && comes_first(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!comes_first(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
    }
    if (w->n_heap > 0)
        w->heap[i] = last;
    return top;
}

static tap_status propose(word *w, int64_t left, tap_error *err)
{
    if (left < 0 || w->symbols[left].next < 0)
        return TAP_OK;
    const symbol *a = &w->symbols[left], *b = &w->symbols[a->next];
    candidate c = {.left = left, .n_bytes = a->n_bytes + b->n_bytes};
    if (!tap_tokenizer_merge(&c.rank, &c.result, w->t, a->id, b->id, w->text + a->at,
                             c.n_bytes))
        return TAP_OK;
    return push(w, c, err);
}

static tap_status add_symbol(word *w, int32_t id, size_t at, size_t n_bytes,
                             tap_error *err)
{
    TAP_TRY(tap_grow(&w->symbols, &w->symbol_capacity, w->n_symbols + 1,
                     sizeof *w->symbols, "a tokenizer", err));
    const int64_t i = (int64_t)w->n_symbols++;
    w->symbols[i] =
        (symbol){.id = id, .at = at, .n_bytes = n_bytes, .previous = i - 1, .next = -1};
    if (i > 0)
        w->symbols[i - 1].next = i;
    return TAP_OK;
}

/* Characters, or with a merge table the bytes of characters that are no piece. */
static tap_status split(word *w, size_t n_bytes, tap_error *err)
{
    for (size_t at = 0; at < n_bytes;) {
        size_t n = tap_utf8_bytes(w->text, n_bytes, at);
        n = n ? n : 1;
        const int32_t id = tap_tokenizer_find(w->t, w->text + at, n);
        if (id < 0 && w->t->merges && w->t->byte_fallback) {
            for (size_t i = 0; i < n; i++)
                TAP_TRY(add_symbol(w, w->t->bytes[(unsigned char)w->text[at + i]],
                                   at + i, 1, err));
        } else {
            TAP_TRY(add_symbol(w, id, at, n, err));
        }
        at += n;
    }
    return TAP_OK;
}

static tap_status merge_all(word *w, tap_error *err)
{
    for (int64_t i = 0; i < (int64_t)w->n_symbols; i++)
        TAP_TRY(propose(w, i, err));
    while (w->n_heap > 0) {
        const candidate c = pop(w);
        symbol *a = &w->symbols[c.left];
        if (a->n_bytes == 0 || a->next < 0)
            continue;
        symbol *b = &w->symbols[a->next];
        if (a->n_bytes + b->n_bytes != c.n_bytes)
            continue;
        a->id = c.result;
        a->n_bytes = c.n_bytes;
        a->next = b->next;
        if (b->next >= 0)
            w->symbols[b->next].previous = c.left;
        b->n_bytes = 0;
        TAP_TRY(propose(w, a->previous, err));
        TAP_TRY(propose(w, c.left, err));
    }
    return TAP_OK;
}

static tap_status put_id(int32_t **ids, size_t *n, size_t *capacity, int32_t id,
                         tap_error *err)
{
    TAP_TRY(tap_grow(ids, capacity, *n + 1, sizeof **ids, "token ids", err));
    (*ids)[(*n)++] = id;
    return TAP_OK;
}

tap_status tap_tokenizer_bpe(int32_t **ids, size_t *n_ids, size_t *capacity,
                             const tap_tokenizer *t, const char *text, size_t n_bytes,
                             tap_error *err)
{
    word w = {.t = t, .text = text};
    tap_status status = TAP_OK;
    bool after_unknown = false;
    if (n_bytes == 0)
        return TAP_OK;
    TAP_TRY_OUT(split(&w, n_bytes, err));
    TAP_TRY_OUT(merge_all(&w, err));
    for (int64_t i = 0; i >= 0; i = w.symbols[i].next) {
        const symbol *s = &w.symbols[i];
        if (s->id >= 0) {
            TAP_TRY_OUT(put_id(ids, n_ids, capacity, s->id, err));
        } else if (t->byte_fallback) {
            for (size_t b = 0; b < s->n_bytes; b++)
                TAP_TRY_OUT(put_id(ids, n_ids, capacity,
                                   t->bytes[(unsigned char)text[s->at + b]], err));
        } else if (t->unknown >= 0 && !(after_unknown && t->fuse_unknown)) {
            TAP_TRY_OUT(put_id(ids, n_ids, capacity, t->unknown, err));
        }
        after_unknown = s->id < 0 && !t->byte_fallback;
    }
out:
    tap_free(w.symbols);
    tap_free(w.heap);
    return status;
}

/* Which pieces does a word become? Byte-pair merging with a heap.
 *
 * Symbols start as characters (or as bytes or unknown tokens where no piece has their
 * spelling). The pair of neighbours with the lowest rank merges first, the leftmost of
 * equals; a pair that no longer stands is skipped when it comes up.
 *
 * Source: huggingface/tokenizers, models/bpe/{model,word}.rs; google/sentencepiece,
 * bpe_model.cc. */
#include "format/tokenizer_own.h"

#include <string.h>

typedef struct tap_symbol {
    int32_t id; /* -1: no piece yet (SentencePiece) */
    bool frozen;
    size_t at, n_bytes;     /* in the word; n_bytes 0: merged into its left neighbour */
    int64_t previous, next; /* -1: none */
} symbol;

typedef struct tap_pair {
    uint32_t rank;
    int32_t into;
    int64_t left;
} pair;

tap_status tap_ids_put(tap_ids *ids, int32_t id, tap_error *err)
{
    TAP_TRY(tap_grow(&ids->ids, &ids->capacity, ids->n + 1, sizeof *ids->ids,
                     "token ids", err));
    ids->ids[ids->n++] = id;
    return TAP_OK;
}

static bool comes_first(const pair *a, const pair *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->left < b->left);
}

static tap_status push(tap_bpe *w, pair p, tap_error *err)
{
    TAP_TRY(tap_grow(&w->heap, &w->heap_capacity, w->n_heap + 1, sizeof *w->heap,
                     "a tokenizer", err));
    size_t i = w->n_heap++;
    for (; i > 0 && comes_first(&p, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = p;
    return TAP_OK;
}

static pair pop(tap_bpe *w)
{
    const pair top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && comes_first(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!comes_first(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

/* What the symbol and its right neighbour merge into; false if they do not. */
static bool find_pair(pair *out, const tap_bpe *w, const tap_tokenizer *t,
                      const char *word, int64_t left)
{
    const symbol *a = &w->symbols[left];
    if (a->next < 0)
        return false;
    const symbol *b = &w->symbols[a->next];
    out->left = left;
    if (!t->ranks) {
        const tap_merge *merge = tap_merges_find(&t->merges, a->id, b->id);
        if (merge) {
            out->rank = merge->rank;
            out->into = merge->into;
        }
        return merge != NULL;
    }
    if (a->frozen || b->frozen)
        return false;
    out->into = tap_vocab_find_model(&t->vocab, word + a->at, a->n_bytes + b->n_bytes);
    if (out->into >= 0)
        out->rank = t->ranks[out->into];
    return out->into >= 0;
}

static tap_status propose(tap_bpe *w, const tap_tokenizer *t, const char *word,
                          int64_t left, tap_error *err)
{
    pair p;
    return left >= 0 && find_pair(&p, w, t, word, left) ? push(w, p, err) : TAP_OK;
}

static tap_status put_symbol(tap_bpe *w, int32_t id, size_t at, size_t n_bytes,
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

static bool has_bytes(const tap_tokenizer *t, const char *text, size_t n)
{
    bool all = t->byte_fallback;
    for (size_t i = 0; i < n; i++)
        all &= t->byte_ids[(unsigned char)text[i]] >= 0;
    return all;
}

/* The last character carries the end-of-word mark in its spelling. */
static int32_t find_char(const tap_tokenizer *t, const char *text, size_t n, bool last)
{
    if (!last || t->n_suffix == 0)
        return tap_vocab_find_model(&t->vocab, text, n);
    char marked[4 + TAP_SUFFIX_LIMIT_BYTES];
    memcpy(marked, text, n);
    memcpy(marked + n, t->suffix, t->n_suffix);
    return tap_vocab_find_model(&t->vocab, marked, n + t->n_suffix);
}

/* With a table of merges, a character without a piece is bytes or unknown from the start. */
static tap_status split(tap_bpe *w, const tap_tokenizer *t, const char *word,
                        size_t n_bytes, tap_error *err)
{
    bool after_unknown = false;
    for (size_t at = 0, n = 0; at < n_bytes; at += n) {
        int32_t point;
        n = tap_char_read(&point, word + at, n_bytes - at);
        const int32_t id = find_char(t, word + at, n, at + n == n_bytes);
        const bool unknown = id < 0 && !has_bytes(t, word + at, n);
        if (id >= 0) {
            TAP_TRY(put_symbol(w, id, at, n, err));
        } else if (!unknown) {
            for (size_t i = 0; i < n; i++)
                TAP_TRY(put_symbol(w, t->byte_ids[(unsigned char)word[at + i]], at + i,
                                   1, err));
        } else if (after_unknown && t->fuse_unk && w->n_symbols > 0) {
            w->symbols[w->n_symbols - 1].n_bytes += n;
        } else if (t->unk_id >= 0) {
            TAP_TRY(put_symbol(w, t->unk_id, at, n, err));
        }
        after_unknown = unknown;
    }
    return TAP_OK;
}

/* With scores, only spellings count; pieces of the user's choice stand apart. */
static tap_status split_scored(tap_bpe *w, const tap_tokenizer *t, const char *word,
                               size_t n_bytes, tap_error *err)
{
    for (size_t at = 0, n = 0; at < n_bytes; at += n) {
        int32_t point;
        const tap_added_token *user =
            tap_added_longest(&t->user, word + at, n_bytes - at);
        n = user ? user->n_bytes : tap_char_read(&point, word + at, n_bytes - at);
        const int32_t id =
            user ? user->id : tap_vocab_find_model(&t->vocab, word + at, n);
        TAP_TRY(put_symbol(w, id, at, n, err));
        w->symbols[w->n_symbols - 1].frozen = user != NULL;
    }
    return TAP_OK;
}

static tap_status merge_all(tap_bpe *w, const tap_tokenizer *t, const char *word,
                            tap_error *err)
{
    for (int64_t i = 0; i < (int64_t)w->n_symbols; i++)
        TAP_TRY(propose(w, t, word, i, err));
    while (w->n_heap > 0) {
        const pair top = pop(w);
        symbol *a = &w->symbols[top.left];
        pair now;
        if (a->n_bytes == 0 || !find_pair(&now, w, t, word, top.left) ||
            now.into != top.into)
            continue;
        symbol *b = &w->symbols[a->next];
        a->id = top.into;
        a->n_bytes += b->n_bytes;
        a->next = b->next;
        if (b->next >= 0)
            w->symbols[b->next].previous = top.left;
        b->n_bytes = 0;
        TAP_TRY(propose(w, t, word, a->previous, err));
        TAP_TRY(propose(w, t, word, top.left, err));
    }
    return TAP_OK;
}

tap_status tap_bpe_run(tap_ids *out, tap_bpe *bpe, const tap_tokenizer *t,
                       const char *word, size_t n_bytes, tap_error *err)
{
    const int32_t whole =
        t->ignore_merges ? tap_vocab_find_model(&t->vocab, word, n_bytes) : -1;
    bool after_unknown = false;
    if (whole >= 0)
        return tap_ids_put(out, whole, err);
    bpe->n_symbols = bpe->n_heap = 0;
    TAP_TRY(t->ranks ? split_scored(bpe, t, word, n_bytes, err)
                     : split(bpe, t, word, n_bytes, err));
    TAP_TRY(merge_all(bpe, t, word, err));
    for (int64_t i = bpe->n_symbols > 0 ? 0 : -1; i >= 0; i = bpe->symbols[i].next) {
        const symbol *s = &bpe->symbols[i];
        const bool unknown = s->id < 0 && !has_bytes(t, word + s->at, s->n_bytes);
        if (s->id >= 0)
            TAP_TRY(tap_ids_put(out, s->id, err));
        else if (unknown && t->unk_id >= 0 && !(after_unknown && t->fuse_unk))
            TAP_TRY(tap_ids_put(out, t->unk_id, err));
        for (size_t b = 0; s->id < 0 && !unknown && b < s->n_bytes; b++)
            TAP_TRY(tap_ids_put(out, t->byte_ids[(unsigned char)word[s->at + b]], err));
        after_unknown = unknown;
    }
    return TAP_OK;
}

void tap_bpe_clear(tap_bpe *bpe)
{
    tap_free(bpe->symbols);
    tap_free(bpe->heap);
    *bpe = (tap_bpe){0};
}

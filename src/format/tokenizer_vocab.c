/* Which id has this spelling, and what do two pieces merge into? Open addressing, tables at
 * most half full, so that a search ends. */
#include "base/hash.h"
#include "format/tokenizer_own.h"

#include <assert.h>
#include <string.h>

/* The slot of the spelling, or the empty one where it belongs. */
static size_t find_slot(const tap_vocab *vocab, const char *bytes, size_t n_bytes)
{
    const size_t mask = vocab->n_slots - 1;
    for (size_t at = (size_t)tap_hash(0, bytes, n_bytes) & mask;;
         at = (at + 1) & mask) {
        if (vocab->slots[at] == 0)
            return at;
        const tap_piece *piece = &vocab->pieces[vocab->slots[at] - 1];
        if (piece->n_bytes == n_bytes &&
            memcmp(vocab->text.text + piece->at, bytes, n_bytes) == 0)
            return at;
    }
}

static tap_status grow_slots(tap_vocab *vocab, tap_error *err)
{
    if (2 * (vocab->n_pieces + 1) <= vocab->n_slots)
        return TAP_OK;
    const size_t n_slots = vocab->n_slots ? 2 * vocab->n_slots : 1024;
    int32_t *slots = NULL;
    TAP_TRY(tap_alloc(&slots, n_slots, sizeof *slots, "a vocabulary", err));
    tap_free(vocab->slots);
    vocab->slots = slots;
    vocab->n_slots = n_slots;
    for (int32_t id = 0; id < vocab->n_ids; id++) {
        const tap_piece *piece = &vocab->pieces[id];
        if (piece->flags)
            slots[find_slot(vocab, vocab->text.text + piece->at, piece->n_bytes)] =
                id + 1;
    }
    return TAP_OK;
}

tap_status tap_vocab_put(tap_vocab *vocab, int64_t id, const char *bytes,
                         size_t n_bytes, int flags, const char *path, tap_error *err)
{
    assert(flags != 0);
    if (id < 0 || id >= TAP_VOCAB_LIMIT)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': token '%.100s' has the id %lld, expected 0 to "
            "%d",
            path, bytes, (long long)id, TAP_VOCAB_LIMIT - 1);
    if (n_bytes > TAP_PIECE_LIMIT_BYTES)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': the token of id %lld has %zu bytes, expected "
            "at most %d",
            path, (long long)id, n_bytes, TAP_PIECE_LIMIT_BYTES);
    TAP_TRY(grow_slots(vocab, err));
    const size_t slot = find_slot(vocab, bytes, n_bytes);
    if (vocab->slots[slot] != 0 && vocab->slots[slot] - 1 != id)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': token '%.100s' has two ids, %d and %lld",
                        path, bytes, vocab->slots[slot] - 1, (long long)id);
    if (vocab->slots[slot] == 0 && id < vocab->n_ids && vocab->pieces[id].flags)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': tokens '%.100s' and '%.100s' have the same "
                        "id %lld",
                        path, vocab->text.text + vocab->pieces[id].at, bytes,
                        (long long)id);
    TAP_TRY(tap_grow(&vocab->pieces, &vocab->capacity, (size_t)id + 1,
                     sizeof *vocab->pieces, "a vocabulary", err));
    tap_piece *piece = &vocab->pieces[id];
    if (piece->flags == 0) {
        const size_t at = vocab->text.n_bytes;
        TAP_TRY(tap_buffer_put(&vocab->text, bytes, n_bytes, err));
        TAP_TRY(tap_buffer_put(&vocab->text, "", 1, err));
        *piece = (tap_piece){.at = at, .n_bytes = n_bytes};
        vocab->slots[slot] = (int32_t)id + 1;
        vocab->n_pieces++;
        if (id >= vocab->n_ids)
            vocab->n_ids = (int32_t)id + 1;
        if (n_bytes > vocab->longest_bytes)
            vocab->longest_bytes = n_bytes;
    }
    piece->flags |= flags;
    return TAP_OK;
}

int32_t tap_vocab_find(const tap_vocab *vocab, const char *bytes, size_t n_bytes)
{
    if (vocab->n_slots == 0 || n_bytes > vocab->longest_bytes)
        return -1;
    return vocab->slots[find_slot(vocab, bytes, n_bytes)] - 1;
}

int32_t tap_vocab_find_model(const tap_vocab *vocab, const char *bytes, size_t n_bytes)
{
    const int32_t id = tap_vocab_find(vocab, bytes, n_bytes);
    return id >= 0 && (vocab->pieces[id].flags & TAP_PIECE_MODEL) ? id : -1;
}

void tap_vocab_clear(tap_vocab *vocab)
{
    tap_buffer_clear(&vocab->text);
    tap_free(vocab->pieces);
    tap_free(vocab->slots);
    *vocab = (tap_vocab){0};
}

tap_status tap_merges_init(tap_merges *merges, size_t n, tap_error *err)
{
    size_t n_slots = 16;
    while (n_slots / 2 < n + 1)
        n_slots *= 2;
    tap_merge *slots = NULL;
    TAP_TRY(tap_alloc(&slots, n_slots, sizeof *slots, "the merges", err));
    for (size_t i = 0; i < n_slots; i++)
        slots[i].into = -1;
    *merges = (tap_merges){.slots = slots, .n_slots = n_slots};
    return TAP_OK;
}

static tap_merge *merge_slot(const tap_merges *merges, int32_t left, int32_t right)
{
    const size_t mask = merges->n_slots - 1;
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    /* Fibonacci hashing: the high bits of a product with 2^64 / golden ratio */
    size_t at = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;
    for (;; at = (at + 1) & mask) {
        tap_merge *merge = &merges->slots[at];
        if (merge->into < 0 || (merge->left == left && merge->right == right))
            return merge;
    }
}

void tap_merges_put(tap_merges *merges, tap_merge merge)
{
    *merge_slot(merges, merge.left, merge.right) = merge;
}

const tap_merge *tap_merges_find(const tap_merges *merges, int32_t left, int32_t right)
{
    if (merges->n_slots == 0)
        return NULL;
    const tap_merge *merge = merge_slot(merges, left, right);
    return merge->into < 0 ? NULL : merge;
}

void tap_merges_clear(tap_merges *merges)
{
    tap_free(merges->slots);
    *merges = (tap_merges){0};
}

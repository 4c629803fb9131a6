/* Which added tokens stand in a text, and what is between them? */
#include "format/tokenizer_own.h"

#include <stdlib.h>
#include <string.h>

tap_status tap_spans_put(tap_spans *spans, size_t start, size_t end, int32_t id,
                         tap_error *err)
{
    TAP_TRY(tap_grow(&spans->items, &spans->capacity, spans->n + 1,
                     sizeof *spans->items, "the parts of a text", err));
    spans->items[spans->n++] = (tap_span){.start = start, .end = end, .id = id};
    return TAP_OK;
}

void tap_spans_clear(tap_spans *spans)
{
    tap_free(spans->items);
    *spans = (tap_spans){0};
}

tap_status tap_added_put(tap_added *added, const tap_added_token *token, tap_error *err)
{
    if (token->n_bytes == 0)
        return TAP_OK;
    TAP_TRY(tap_grow(&added->tokens, &added->capacity, added->n + 1,
                     sizeof *added->tokens, "added tokens", err));
    tap_added_token copy = *token;
    TAP_TRY(tap_text_copy(&copy.text, token->text, token->n_bytes, err));
    added->tokens[added->n++] = copy;
    return TAP_OK;
}

static int compare_tokens(const void *a, const void *b)
{
    const tap_added_token *left = a, *right = b;
    const size_t n = left->n_bytes < right->n_bytes ? left->n_bytes : right->n_bytes;
    const int order = memcmp(left->text, right->text, n);
    if (order)
        return order;
    if (left->n_bytes != right->n_bytes)
        return left->n_bytes < right->n_bytes ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

void tap_added_sort(tap_added *added)
{
    if (added->n > 1)
        qsort(added->tokens, added->n, sizeof *added->tokens, compare_tokens);
}

/* The first of tokens [low, high), which share `depth` bytes, whose next byte is at least
 * `byte`; a token that ends there comes first. */
static size_t lower_bound(const tap_added *added, size_t low, size_t high, size_t depth,
                          int byte)
{
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const tap_added_token *token = &added->tokens[middle];
        const int found =
            token->n_bytes > depth ? (int)(unsigned char)token->text[depth] : -1;
        if (found < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const tap_added_token *tap_added_longest(const tap_added *added, const char *text,
                                         size_t n_bytes)
{
    const tap_added_token *best = NULL;
    size_t low = 0, high = added->n;
    for (size_t depth = 0; low < high && depth < n_bytes; depth++) {
        const int byte = (unsigned char)text[depth];
        low = lower_bound(added, low, high, depth, byte);
        high = lower_bound(added, low, high, depth, byte + 1);
        if (low < high && added->tokens[low].n_bytes == depth + 1)
            best = &added->tokens[low];
    }
    return best;
}

static bool word_before(const char *text, size_t at)
{
    size_t start = at;
    while (start > 0 && ((unsigned char)text[--start] & 0xc0) == 0x80)
        continue;
    int32_t point;
    return at > 0 && tap_char_read(&point, text + start, at - start) &&
           tap_char_is_word(point);
}

static bool word_after(const char *text, size_t at, size_t n_bytes)
{
    int32_t point;
    return tap_char_read(&point, text + at, n_bytes - at) && tap_char_is_word(point);
}

/* Where white space that ends at `at` starts. */
static size_t space_start(const char *text, size_t at)
{
    for (;;) {
        size_t start = at;
        while (start > 0 && ((unsigned char)text[--start] & 0xc0) == 0x80)
            continue;
        int32_t point;
        if (at == 0 || !tap_char_read(&point, text + start, at - start) ||
            !tap_char_is_space(point))
            return at;
        at = start;
    }
}

static size_t space_end(const char *text, size_t at, size_t n_bytes)
{
    int32_t point;
    for (;;) {
        const size_t n = tap_char_read(&point, text + at, n_bytes - at);
        if (n == 0 || !tap_char_is_space(point))
            return at;
        at += n;
    }
}

/* Strip flags widen what a token covers but not where the search goes on: a second token
 * inside the stripped space is still found, as in the reference. */
tap_status tap_added_split(tap_spans *out, const tap_added *added, const char *text,
                           size_t n_bytes, tap_error *err)
{
    size_t done = 0;
    for (size_t at = 0; at < n_bytes && added->n > 0;) {
        const tap_added_token *token =
            tap_added_longest(added, text + at, n_bytes - at);
        if (!token) {
            at++;
            continue;
        }
        size_t start = at, end = at + token->n_bytes;
        at = end;
        if (token->single_word &&
            (word_before(text, start) || word_after(text, end, n_bytes)))
            continue;
        if (token->lstrip) {
            start = space_start(text, start);
            start = start < done ? done : start;
        }
        if (token->rstrip)
            end = space_end(text, end, n_bytes);
        if (done < start)
            TAP_TRY(tap_spans_put(out, done, start, -1, err));
        TAP_TRY(tap_spans_put(out, start, end, token->id, err));
        done = end;
    }
    if (done != n_bytes)
        TAP_TRY(tap_spans_put(out, done, n_bytes, -1, err));
    return TAP_OK;
}

void tap_added_clear(tap_added *added)
{
    for (size_t i = 0; i < added->n; i++)
        tap_free(added->tokens[i].text);
    tap_free(added->tokens);
    *added = (tap_added){0};
}

/* ---- words beside a vocabulary ---- */

/* A word that is searched for in the text as it is; sort when all are there. */
static tap_status put_word(tap_tokenizer *t, const char *word, int64_t id, int flags,
                           const char *path, tap_error *err)
{
    char *text = NULL;
    const size_t n = strlen(word);
    const bool known = tap_vocab_find(&t->vocab, word, n) >= 0;
    if (n == 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': the token of id %lld is empty", path,
                        (long long)id);
    TAP_TRY(tap_vocab_put(&t->vocab, id, word, n, TAP_PIECE_ADDED | flags, path, err));
    if (known)
        return TAP_OK;
    TAP_TRY(tap_text_copy(&text, word, n, err));
    const tap_added_token token = {.text = text, .n_bytes = n, .id = (int32_t)id};
    const tap_status status = tap_added_put(&t->raw, &token, err);
    tap_free(text);
    return status;
}

tap_status tap_tokenizer_add(tap_tokenizer *tokenizer, const char *word, int64_t id,
                             tap_error *err)
{
    TAP_TRY(put_word(tokenizer, word, id, TAP_PIECE_SPECIAL, "the tokenizer", err));
    tap_added_sort(&tokenizer->raw);
    return TAP_OK;
}

tap_status tap_tokenizer_read_added(tap_tokenizer *t, const char *path, tap_error *err)
{
    enum { FILE_BYTES = 1 << 24 };

    json_t *root = NULL, *value = NULL;
    const char *word = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_json_read(&root, path, FILE_BYTES, err));
    const tap_json_at at = {.object = root, .path = path, .place = ""};
    json_object_foreach(root, word, value)
    {
        int64_t id = 0;
        TAP_TRY_OUT(tap_json_int(&id, &at, word, -1, 0, TAP_VOCAB_LIMIT - 1, err));
        TAP_TRY_OUT(put_word(t, word, id, 0, path, err));
    }
    tap_added_sort(&t->raw);
out:
    json_decref(root);
    return status;
}

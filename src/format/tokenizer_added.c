/* Which added tokens stand in a text, and what is between them? */
#include "base/file.h"
#include "format/tokenizer_own.h"

#include <stdint.h>
#include <stdio.h>
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

enum { FILE_BYTES = 1 << 24 };

/* A word that is searched for in the text as it is; sort when all are there. One that is an
 * added token already stays so. */
static tap_status put_word(tap_tokenizer *t, tap_added_token word, int64_t id,
                           int flags, const char *path, tap_error *err)
{
    const int32_t known = tap_vocab_find(&t->vocab, word.text, word.n_bytes);
    const bool is_added =
        known >= 0 && (t->vocab.pieces[known].flags & TAP_PIECE_ADDED);
    if (word.n_bytes == 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': the token of id %lld is empty", path,
                        (long long)id);
    TAP_TRY(tap_vocab_put(&t->vocab, id, word.text, word.n_bytes,
                          TAP_PIECE_ADDED | flags, path, err));
    word.id = (int32_t)id;
    return is_added ? TAP_OK : tap_added_put(&t->raw, &word, err);
}

tap_status tap_tokenizer_add(tap_tokenizer *tokenizer, const char *word, int64_t id,
                             tap_error *err)
{
    char *text = NULL;
    TAP_TRY(tap_text_copy(&text, word, strlen(word), err));
    const tap_status status =
        put_word(tokenizer, (tap_added_token){.text = text, .n_bytes = strlen(word)},
                 id, TAP_PIECE_SPECIAL, "the tokenizer", err);
    tap_free(text);
    tap_added_sort(&tokenizer->raw);
    return status;
}

/* {word: id} */
static tap_status read_words(tap_tokenizer *t, const char *path, tap_error *err)
{
    json_t *root = NULL, *value = NULL;
    const char *key = NULL;
    char *word = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_json_read(&root, path, FILE_BYTES, err));
    const tap_json_at at = {.object = root, .path = path, .place = ""};
    json_object_foreach(root, key, value)
    {
        int64_t id = 0;
        TAP_TRY_OUT(tap_json_int(&id, &at, key, -1, 0, TAP_VOCAB_LIMIT - 1, err));
        TAP_TRY_OUT(tap_text_copy(&word, key, strlen(key), err));
        TAP_TRY_OUT(put_word(t, (tap_added_token){.text = word, .n_bytes = strlen(key)},
                             id, 0, path, err));
        tap_free(word);
        word = NULL;
    }
out:
    tap_free(word);
    json_decref(root);
    return status;
}

/* One entry of added_tokens_decoder: the id is its key. */
static tap_status read_entry(tap_tokenizer *t, const char *key, const json_t *object,
                             const char *path, tap_error *err)
{
    char place[48], *word = NULL, *end = NULL;
    const char *content = NULL;
    bool special = false;
    tap_added_token token = {0};
    const long id = strtol(key, &end, 10);
    if (!json_is_object(object) || *end != '\0' || end == key || id < 0 ||
        id >= TAP_VOCAB_LIMIT)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': entry '%.20s' of 'added_tokens_decoder' is "
                        "not a token under an id from 0 to %d",
                        path, key, TAP_VOCAB_LIMIT - 1);
    (void)snprintf(place, sizeof place, "added_tokens_decoder.%ld.", id);
    const tap_json_at at = {.object = object, .path = path, .place = place};
    TAP_TRY(tap_json_text(&content, &at, "content", NULL, err));
    TAP_TRY(tap_json_bool(&token.single_word, &at, "single_word", false, err));
    TAP_TRY(tap_json_bool(&token.lstrip, &at, "lstrip", false, err));
    TAP_TRY(tap_json_bool(&token.rstrip, &at, "rstrip", false, err));
    TAP_TRY(tap_json_bool(&special, &at, "special", false, err));
    TAP_TRY(tap_text_copy(&word, content, strlen(content), err));
    token.text = word;
    token.n_bytes = strlen(content);
    const tap_status status =
        put_word(t, token, id, special ? TAP_PIECE_SPECIAL : 0, path, err);
    tap_free(word);
    return status;
}

/* tokenizer_config.json: *has_words if it lists its words. */
static tap_status read_config(bool *has_words, tap_tokenizer *t, const char *path,
                              tap_error *err)
{
    json_t *root = NULL, *value = NULL;
    const char *key = NULL;
    bool bos = true, eos = false;
    tap_json_at list;
    tap_status status = TAP_OK;
    TAP_TRY(tap_json_read(&root, path, FILE_BYTES, err));
    const tap_json_at at = {.object = root, .path = path, .place = ""};
    TAP_TRY_OUT(tap_json_bool(&bos, &at, "add_bos_token", true, err));
    TAP_TRY_OUT(tap_json_bool(&eos, &at, "add_eos_token", false, err));
    TAP_TRY_OUT(tap_json_object(&list, &at, "added_tokens_decoder", "", err));
    json_object_foreach((json_t *)(uintptr_t)list.object, key, value)
        TAP_TRY_OUT(read_entry(t, key, value, path, err));
    *has_words = list.object != NULL;
    const int32_t end = tap_vocab_find(&t->vocab, "</s>", 4);
    if (!bos)
        t->n_front = 0;
    if (eos && end >= 0)
        t->back[t->n_back++] = end;
out:
    json_decref(root);
    return status;
}

tap_status tap_tokenizer_read_beside(tap_tokenizer *t, const char *directory,
                                     tap_error *err)
{
    char *config = NULL, *added = NULL;
    bool has_words = false;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_path_join(&config, directory, "tokenizer_config.json", err));
    TAP_TRY_OUT(tap_path_join(&added, directory, "added_tokens.json", err));
    if (tap_file_exists(config))
        TAP_TRY_OUT(read_config(&has_words, t, config, err));
    if (!has_words && tap_file_exists(added))
        TAP_TRY_OUT(read_words(t, added, err));
    tap_added_sort(&t->raw);
out:
    tap_free(config);
    tap_free(added);
    return status;
}

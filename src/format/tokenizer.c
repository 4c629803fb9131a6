/* Text to ids and back: added tokens first, then each segment between them is normalised,
 * marked and merged on its own. */
#include "format/tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "format/tokenizer_tables.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MARK[] = "\xe2\x96\x81"; /* U+2581 */

/* ---- tables ---- */

tap_status tap_tokenizer_put_piece(tap_tokenizer *t, int32_t id, const char *text,
                                   size_t n_bytes, const char *path, tap_error *err)
{
    if (id < 0 || id >= TAP_TOKENIZER_MAX_IDS || n_bytes > TAP_PIECE_MAX_BYTES)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read tokenizer '%s': piece %d of %zu bytes is beyond the "
            "limits of %d ids and %d bytes",
            path, id, n_bytes, TAP_TOKENIZER_MAX_IDS, TAP_PIECE_MAX_BYTES);
    TAP_TRY(tap_grow(&t->pieces, &t->piece_capacity, (size_t)id + 1, sizeof *t->pieces,
                     "a vocabulary", err));
    if ((size_t)id + 1 > t->n_pieces)
        t->n_pieces = (size_t)id + 1;
    if (t->pieces[id].text)
        return t->pieces[id].n_bytes == n_bytes &&
                       memcmp(t->pieces[id].text, text, n_bytes) == 0
                   ? TAP_OK
                   : TAP_FAIL(err, TAP_EFORMAT,
                              "cannot read tokenizer '%s': id %d stands for two pieces",
                              path, id);
    TAP_TRY(tap_text_copy(&t->pieces[id].text, text, n_bytes, err));
    t->pieces[id].n_bytes = n_bytes;
    t->pieces[id].mergeable = true;
    return TAP_OK;
}

tap_status tap_tokenizer_put_added(tap_tokenizer *t, const tap_added_token *token,
                                   const char *path, tap_error *err)
{
    if (token->n_bytes == 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read tokenizer '%s': the added token %d is empty", path,
                        token->id);
    TAP_TRY(tap_grow(&t->added, &t->added_capacity, t->n_added + 1, sizeof *t->added,
                     "added tokens", err));
    tap_added_token copy = *token;
    copy.content = NULL;
    TAP_TRY(tap_text_copy(&copy.content, token->content, token->n_bytes, err));
    t->added[t->n_added++] = copy;
    return tap_tokenizer_put_piece(t, token->id, token->content, token->n_bytes, path,
                                   err);
}

static int by_length(const void *a, const void *b)
{
    const tap_added_token *x = a, *y = b;
    return (x->n_bytes < y->n_bytes) - (x->n_bytes > y->n_bytes);
}

static size_t slot_of(const tap_tokenizer *t, const char *text, size_t n_bytes)
{
    size_t i = (size_t)tap_hash(0, text, n_bytes) & (t->n_slots - 1);
    while (t->slots[i] >= 0) {
        const tap_piece *p = &t->pieces[t->slots[i]];
        if (p->n_bytes == n_bytes && memcmp(p->text, text, n_bytes) == 0)
            break;
        i = (i + 1) & (t->n_slots - 1);
    }
    return i;
}

tap_status tap_tokenizer_index(tap_tokenizer *t, const char *path, tap_error *err)
{
    t->n_slots = 16;
    while (t->n_slots < 2 * t->n_pieces)
        t->n_slots *= 2;
    TAP_TRY(tap_alloc(&t->slots, t->n_slots, sizeof *t->slots, "a vocabulary", err));
    for (size_t i = 0; i < t->n_slots; i++)
        t->slots[i] = -1;
    for (size_t id = 0; id < t->n_pieces; id++) {
        if (!t->pieces[id].text)
            continue;
        const size_t i = slot_of(t, t->pieces[id].text, t->pieces[id].n_bytes);
        if (t->slots[i] < 0)
            t->slots[i] = (int32_t)id;
    }
    bool all_bytes = true;
    for (int b = 0; b < 256; b++) {
        char text[7];
        (void)snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        t->bytes[b] = tap_tokenizer_find(t, text, 6);
        all_bytes &= t->bytes[b] >= 0;
    }
    if (t->byte_fallback && !all_bytes)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read tokenizer '%s': it falls back to bytes but lacks "
                        "some of the pieces <0x00> to <0xFF>",
                        path);
    if (t->n_added > 0)
        qsort(t->added, t->n_added, sizeof *t->added, by_length);
    return TAP_OK;
}

bool tap_tokenizer_merge(double *rank, int32_t *result, const tap_tokenizer *t,
                         int32_t left, int32_t right, const char *text, size_t n_bytes)
{
    if (!t->merges) { /* by score: any two neighbours that spell a piece */
        const int32_t id = tap_tokenizer_find(t, text, n_bytes);
        if (id < 0 || !t->pieces[id].mergeable)
            return false;
        *rank = -(double)t->pieces[id].score;
        *result = id;
        return true;
    }
    if (left < 0 || right < 0)
        return false;
    const int32_t pair[2] = {left, right};
    size_t i = (size_t)tap_hash(1, pair, sizeof pair) & (t->n_merge_slots - 1);
    for (; t->merges[i].left >= 0; i = (i + 1) & (t->n_merge_slots - 1))
        if (t->merges[i].left == left && t->merges[i].right == right) {
            *rank = (double)t->merges[i].rank;
            *result = t->merges[i].result;
            return true;
        }
    return false;
}

/* ---- opening ---- */

void tap_tokenizer_clear(tap_tokenizer *t)
{
    for (size_t i = 0; i < t->n_pieces; i++)
        tap_free(t->pieces[i].text);
    for (size_t i = 0; i < t->n_added; i++)
        tap_free(t->added[i].content);
    for (size_t i = 0; i < t->n_normal; i++) {
        tap_free(t->normal[i].from);
        tap_free(t->normal[i].to);
    }
    tap_free(t->pieces);
    tap_free(t->slots);
    tap_free(t->merges);
    tap_free(t->added);
    *t = (tap_tokenizer){0};
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static tap_status read_file(tap_tokenizer *t, const char *path, tap_error *err)
{
    if (!ends_with(path, ".model"))
        return tap_tokenizer_read_json(t, path, err);
    tap_mapping mapping;
    TAP_TRY(tap_file_map(&mapping, path, err));
    const tap_status status =
        tap_tokenizer_read_model(t, mapping.bytes, mapping.n_bytes, path, err);
    tap_file_unmap(&mapping);
    return status;
}

tap_status tap_tokenizer_open(tap_tokenizer **out, const char *path, tap_error *err)
{
    tap_tokenizer *t = NULL;
    char *json = NULL, *model = NULL;
    tap_status status = tap_alloc(&t, 1, sizeof *t, "a tokenizer", err);
    if (status != TAP_OK)
        return status;
    t->unknown = -1;
    if (!tap_file_is_directory(path)) {
        status = read_file(t, path, err);
        goto out;
    }
    TAP_TRY_OUT(tap_path_join(&json, path, "tokenizer.json", err));
    TAP_TRY_OUT(tap_path_join(&model, path, "tokenizer.model", err));
    if (tap_file_exists(json))
        status = read_file(t, json, err);
    else if (tap_file_exists(model))
        status = read_file(t, model, err);
    else
        status = TAP_FAIL(err, TAP_EIO,
                          "'%s' holds no tokenizer: neither tokenizer.json nor "
                          "tokenizer.model is there",
                          path);
out:
    tap_free(json);
    tap_free(model);
    if (status == TAP_OK) {
        *out = t;
        return TAP_OK;
    }
    tap_tokenizer_clear(t);
    tap_free(t);
    return status;
}

void tap_tokenizer_close(tap_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    tap_tokenizer_clear(tokenizer);
    tap_free(tokenizer);
}

/* ---- encoding ---- */

typedef struct id_list {
    int32_t *ids;
    size_t n, capacity;
} id_list;

static tap_status put_id(id_list *list, int32_t id, tap_error *err)
{
    TAP_TRY(tap_grow(&list->ids, &list->capacity, list->n + 1, sizeof *list->ids,
                     "token ids", err));
    list->ids[list->n++] = id;
    return TAP_OK;
}

static tap_status replace(tap_buffer *out, const char *text, size_t n_bytes,
                          const char *from, const char *to, tap_error *err)
{
    const size_t n_from = strlen(from), n_to = strlen(to);
    for (size_t at = 0; at < n_bytes;) {
        if (n_from > 0 && n_bytes - at >= n_from &&
            memcmp(text + at, from, n_from) == 0) {
            TAP_TRY(tap_buffer_put(out, to, n_to, err));
            at += n_from;
        } else {
            TAP_TRY(tap_buffer_put(out, text + at, 1, err));
            at++;
        }
    }
    return TAP_OK;
}

/* One step over a whole buffer. */
static tap_status normalise(tap_buffer *text, const tap_normal_step *step,
                            tap_error *err)
{
    tap_buffer next = {0};
    tap_status status = TAP_OK;
    if (text->n_bytes == 0)
        return TAP_OK;
    if (step->kind == TAP_NORMAL_PREPEND) {
        TAP_TRY_OUT(tap_buffer_put(&next, step->to, strlen(step->to), err));
        TAP_TRY_OUT(tap_buffer_put(&next, text->text, text->n_bytes, err));
    } else {
        TAP_TRY_OUT(
            replace(&next, text->text, text->n_bytes, step->from, step->to, err));
    }
out:
    if (status != TAP_OK) {
        tap_buffer_clear(&next);
        return status;
    }
    tap_buffer_clear(text);
    *text = next;
    return TAP_OK;
}

/* A segment between added tokens; `first`: it begins the text. */
static tap_status encode_segment(id_list *list, const tap_tokenizer *t,
                                 const char *text, size_t n_bytes, bool first,
                                 tap_error *err)
{
    tap_buffer work = {0};
    tap_status status = TAP_OK;
    if (n_bytes == 0)
        return TAP_OK;
    TAP_TRY_OUT(tap_buffer_put(&work, text, n_bytes, err));
    for (size_t i = 0; i < t->n_normal; i++)
        TAP_TRY_OUT(normalise(&work, &t->normal[i], err));
    if (t->marks_spaces) {
        const tap_normal_step spaces = {TAP_NORMAL_REPLACE, (char[]){' ', 0},
                                        (char[]){MARK[0], MARK[1], MARK[2], 0}};
        TAP_TRY_OUT(normalise(&work, &spaces, err));
        const bool marked = work.n_bytes >= 3 && memcmp(work.text, MARK, 3) == 0;
        const bool wanted = t->mark_rule == TAP_MARK_EVERY ||
                            (t->mark_rule == TAP_MARK_ALWAYS && !marked) ||
                            (t->mark_rule == TAP_MARK_FIRST && first && !marked);
        if (wanted) {
            const tap_normal_step front = {TAP_NORMAL_PREPEND, NULL, spaces.to};
            TAP_TRY_OUT(normalise(&work, &front, err));
        }
    }
    TAP_TRY_OUT(tap_tokenizer_bpe(&list->ids, &list->n, &list->capacity, t, work.text,
                                  work.n_bytes, err));
out:
    tap_buffer_clear(&work);
    return status;
}

/* Bytes of the Unicode white space (property White_Space) at text[at]; 0 if it is none. */
static size_t space_bytes(const char *text, size_t n_bytes, size_t at)
{
    static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
                                       "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
                                       "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (at >= n_bytes)
        return 0;
    if (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r'))
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        const size_t n = strlen(wide[i]);
        if (n_bytes - at >= n && memcmp(text + at, wide[i], n) == 0)
            return n;
    }
    const bool general = n_bytes - at >= 3 && memcmp(text + at, "\xe2\x80", 2) == 0;
    return general && (unsigned char)text[at + 2] <= 0x8aU ? 3
                                                           : 0; /* U+2000 - U+200A */
}

/* Bytes of the white space that ends at text[end]. */
static size_t space_before(const char *text, size_t end)
{
    for (size_t n = 1; n <= 3 && n <= end; n++)
        if (space_bytes(text, end, end - n) == n)
            return n;
    return 0;
}

static bool is_word(const char *text, size_t n_bytes, size_t at)
{
    if (at >= n_bytes)
        return false;
    const unsigned char c = (unsigned char)text[at];
    return c == '_' || c >= 0x80U || (c >= '0' && c <= '9') ||
           ((c | 0x20U) >= 'a' && (c | 0x20U) <= 'z');
}

/* The added token that begins at `at`, the longest first; NULL if there is none. */
static const tap_added_token *added_at(const tap_tokenizer *t, const char *text,
                                       size_t n_bytes, size_t at)
{
    for (size_t i = 0; i < t->n_added; i++) {
        const tap_added_token *a = &t->added[i];
        if (n_bytes - at < a->n_bytes || memcmp(text + at, a->content, a->n_bytes) != 0)
            continue;
        if (a->single_word && ((at > 0 && is_word(text, n_bytes, at - 1)) ||
                               is_word(text, n_bytes, at + a->n_bytes)))
            continue;
        return a;
    }
    return NULL;
}

tap_status tap_tokenizer_encode(int32_t **ids, size_t *n_ids,
                                const tap_tokenizer *tokenizer, const char *text,
                                size_t n_bytes, bool add_special, tap_error *err)
{
    const tap_tokenizer *t = tokenizer;
    id_list list = {0};
    tap_status status = TAP_OK;
    for (size_t at = 0, n; at < n_bytes; at += n) {
        n = tap_utf8_bytes(text, n_bytes, at);
        if (n == 0)
            return TAP_FAIL(err, TAP_EINVAL,
                            "cannot tokenize the text: byte %zu is not valid UTF-8",
                            at);
    }
    for (size_t i = 0; add_special && i < t->n_before; i++)
        TAP_TRY_OUT(put_id(&list, t->before[i], err));
    size_t begin = 0;
    for (size_t at = 0; at < n_bytes;) {
        const tap_added_token *a = added_at(t, text, n_bytes, at);
        if (!a) {
            at++;
            continue;
        }
        size_t end = at;
        for (size_t n;
             a->left_strip && end > begin && (n = space_before(text, end)) > 0;)
            end -= n;
        TAP_TRY_OUT(
            encode_segment(&list, t, text + begin, end - begin, begin == 0, err));
        TAP_TRY_OUT(put_id(&list, a->id, err));
        at += a->n_bytes;
        for (size_t n; a->right_strip && (n = space_bytes(text, n_bytes, at)) > 0;)
            at += n;
        begin = at;
    }
    TAP_TRY_OUT(
        encode_segment(&list, t, text + begin, n_bytes - begin, begin == 0, err));
    for (size_t i = 0; add_special && i < t->n_after; i++)
        TAP_TRY_OUT(put_id(&list, t->after[i], err));
    TAP_TRY_OUT(tap_grow(&list.ids, &list.capacity, 1, sizeof *list.ids, "token ids",
                         err)); /* never NULL, also for no ids */
out:
    if (status != TAP_OK) {
        tap_free(list.ids);
        return status;
    }
    *ids = list.ids;
    *n_ids = list.n;
    return TAP_OK;
}

/* ---- decoding and looking up ---- */

static int byte_of(const tap_tokenizer *t, int32_t id)
{
    for (int b = 0; t->byte_fallback && b < 256; b++)
        if (t->bytes[b] == id)
            return b;
    return -1;
}

/* Bytes that are not UTF-8 become U+FFFD, one each, as the reference decoder does. */
static tap_status put_bytes(tap_buffer *out, const tap_buffer *run, tap_error *err)
{
    bool valid = true;
    for (size_t at = 0, n; at < run->n_bytes && valid; at += n)
        valid = (n = tap_utf8_bytes(run->text, run->n_bytes, at)) > 0;
    if (valid)
        return tap_buffer_put(out, run->text, run->n_bytes, err);
    for (size_t i = 0; i < run->n_bytes; i++)
        TAP_TRY(tap_buffer_put(out, "\xef\xbf\xbd", 3, err));
    return TAP_OK;
}

tap_status tap_tokenizer_decode(char **text, size_t *n_bytes,
                                const tap_tokenizer *tokenizer, const int32_t *ids,
                                size_t n_ids, bool skip_special, tap_error *err)
{
    const tap_tokenizer *t = tokenizer;
    tap_buffer out = {0}, run = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_buffer_put(&out, "", 0, err));
    for (size_t i = 0; i <= n_ids; i++) {
        const int byte = i < n_ids ? byte_of(t, ids[i]) : -1;
        if (byte >= 0) {
            const char c = (char)byte;
            TAP_TRY_OUT(tap_buffer_put(&run, &c, 1, err));
            continue;
        }
        if (run.n_bytes > 0)
            TAP_TRY_OUT(put_bytes(&out, &run, err));
        tap_buffer_clear(&run);
        size_t n = 0;
        const char *piece = i < n_ids ? tap_tokenizer_piece(t, ids[i], &n) : NULL;
        if (piece && !(skip_special && tap_tokenizer_is_special(t, ids[i])))
            TAP_TRY_OUT(replace(&out, piece, n, MARK, " ", err));
    }
    if (t->strip_first_space && out.n_bytes > 0 && out.text[0] == ' ')
        memmove(out.text, out.text + 1, out.n_bytes--);
out:
    tap_buffer_clear(&run);
    if (status != TAP_OK) {
        tap_buffer_clear(&out);
        return status;
    }
    *text = out.text;
    *n_bytes = out.n_bytes;
    return TAP_OK;
}

int32_t tap_tokenizer_size(const tap_tokenizer *tokenizer)
{
    return (int32_t)tokenizer->n_pieces;
}

const char *tap_tokenizer_piece(const tap_tokenizer *tokenizer, int32_t id,
                                size_t *n_bytes)
{
    if (id < 0 || (size_t)id >= tokenizer->n_pieces)
        return NULL;
    *n_bytes = tokenizer->pieces[id].n_bytes;
    return tokenizer->pieces[id].text;
}

int32_t tap_tokenizer_find(const tap_tokenizer *tokenizer, const char *piece,
                           size_t n_bytes)
{
    return tokenizer->slots[slot_of(tokenizer, piece, n_bytes)];
}

bool tap_tokenizer_is_special(const tap_tokenizer *tokenizer, int32_t id)
{
    for (size_t i = 0; i < tokenizer->n_added; i++)
        if (tokenizer->added[i].id == id)
            return tokenizer->added[i].special;
    return false;
}

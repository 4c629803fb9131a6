/* Which text do ids stand for? The decoders, each from a list of texts to a list of texts.
 *
 * Source: huggingface/tokenizers, decoders and pre_tokenizers/{byte_level,metaspace}.rs. */
#include "format/tokenizer_own.h"

#include <stdlib.h>
#include <string.h>

/* Texts as ranges of one buffer, in order and without gaps. */
typedef struct texts {
    tap_buffer bytes;
    tap_spans items;
} texts;

static void texts_clear(texts *t)
{
    tap_buffer_clear(&t->bytes);
    tap_spans_clear(&t->items);
}

static const char *text_at(const texts *t, size_t i, size_t *n)
{
    *n = t->items.items[i].end - t->items.items[i].start;
    return t->bytes.text + t->items.items[i].start;
}

/* Ends the text that has been put behind the last. */
static tap_status end_text(texts *t, tap_error *err)
{
    const size_t start = t->items.n ? t->items.items[t->items.n - 1].end : 0;
    return tap_spans_put(&t->items, start, t->bytes.n_bytes, 0, err);
}

static const char unknown_char[] = "\xef\xbf\xbd"; /* U+FFFD */

/* How many bytes of text begin a character that then breaks off, at least 1: what one
 * U+FFFD replaces. Source: Unicode 15, tables 3-7 and 3-8. */
static size_t broken_bytes(const char *text, size_t n_bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t need = s[0] < 0xc2U || s[0] > 0xf4U ? 1
                        : s[0] < 0xe0U               ? 2
                        : s[0] < 0xf0U               ? 3
                                                     : 4;
    size_t n = 1;
    for (; n < need && n < n_bytes; n++) {
        const unsigned low = n > 1           ? 0x80U
                             : s[0] == 0xe0U ? 0xa0U
                             : s[0] == 0xf0U ? 0x90U
                                             : 0x80U;
        const unsigned high = n > 1           ? 0xbfU
                              : s[0] == 0xedU ? 0x9fU
                              : s[0] == 0xf4U ? 0x8fU
                                              : 0xbfU;
        if (s[n] < low || s[n] > high)
            break;
    }
    return n;
}

static tap_status put_lossy(tap_buffer *out, const char *text, size_t n_bytes,
                            tap_error *err)
{
    int32_t point;
    for (size_t at = 0; at < n_bytes;) {
        const size_t n = tap_char_read(&point, text + at, n_bytes - at);
        TAP_TRY(tap_buffer_put(out, n ? text + at : unknown_char,
                               n ? n : sizeof unknown_char - 1, err));
        at += n ? n : broken_bytes(text + at, n_bytes - at);
    }
    return TAP_OK;
}

/* "<0x0A>" to 10; -1 for other pieces. */
static int piece_byte(const char *piece, size_t n)
{
    if (n != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>' ||
        strspn(piece + 3, "0123456789abcdefABCDEF") != 2)
        return -1;
    return (int)strtoul((char[]){piece[3], piece[4], 0}, NULL, 16);
}

/* A run of byte pieces is its text, or one U+FFFD for each byte if it is not UTF-8. */
static tap_status join_bytes(texts *out, const texts *in, tap_error *err)
{
    tap_buffer run = {0};
    tap_status status = TAP_OK;
    for (size_t i = 0; i <= in->items.n; i++) {
        size_t n = 0;
        const char *piece = i < in->items.n ? text_at(in, i, &n) : "";
        const int byte = i < in->items.n ? piece_byte(piece, n) : -1;
        if (byte >= 0) {
            TAP_TRY_OUT(tap_buffer_put(&run, &(char){(char)byte}, 1, err));
            continue;
        }
        const bool valid = tap_utf8_check(run.text, run.n_bytes) == run.n_bytes;
        if (valid && run.n_bytes > 0)
            TAP_TRY_OUT(tap_buffer_put(&out->bytes, run.text, run.n_bytes, err));
        for (size_t b = 0; !valid && b < run.n_bytes; b++)
            TAP_TRY_OUT(tap_buffer_put(&out->bytes, unknown_char,
                                       sizeof unknown_char - 1, err));
        if (run.n_bytes > 0)
            TAP_TRY_OUT(end_text(out, err));
        run.n_bytes = 0;
        if (i < in->items.n) {
            TAP_TRY_OUT(tap_buffer_put(&out->bytes, piece, n, err));
            TAP_TRY_OUT(end_text(out, err));
        }
    }
out:
    tap_buffer_clear(&run);
    return status;
}

/* Characters to the bytes they stand for; a text with any other character is left alone. */
static tap_status join_byte_chars(texts *out, const texts *in, tap_error *err)
{
    tap_buffer raw = {0};
    tap_status status = TAP_OK;
    for (size_t i = 0; i < in->items.n; i++) {
        size_t n = 0, n_char = 0;
        const char *text = text_at(in, i, &n);
        const size_t before = raw.n_bytes;
        bool all = true;
        for (size_t at = 0; at < n && all; at += n_char) {
            int32_t point;
            n_char = tap_char_read(&point, text + at, n - at);
            const int byte = tap_char_byte(point);
            all = byte >= 0;
            if (all)
                TAP_TRY_OUT(tap_buffer_put(&raw, &(char){(char)byte}, 1, err));
        }
        if (!all) {
            raw.n_bytes = before;
            TAP_TRY_OUT(tap_buffer_put(&raw, text, n, err));
        }
    }
    TAP_TRY_OUT(put_lossy(&out->bytes, raw.text, raw.n_bytes, err));
    TAP_TRY_OUT(end_text(out, err));
out:
    tap_buffer_clear(&raw);
    return status;
}

/* At most n_start times content off the start, n_stop off the end. */
static tap_status strip_char(tap_buffer *out, const tap_step *step, const char *text,
                             size_t n, tap_error *err)
{
    const size_t n_cut = step->n_content;
    size_t start = 0, end = n;
    for (size_t i = 0; i < step->n_start && n_cut > 0 && n - start >= n_cut &&
                       memcmp(text + start, step->content, n_cut) == 0;
         i++)
        start += n_cut;
    for (size_t i = 0; i < step->n_stop && n_cut > 0 && end - start >= n_cut &&
                       memcmp(text + end - n_cut, step->content, n_cut) == 0;
         i++)
        end -= n_cut;
    return tap_buffer_put(out, text + start, end - start, err);
}

/* One text under a step that keeps their number. */
static tap_status decode_one(tap_buffer *out, const tap_step *step, const char *text,
                             size_t n, bool first, bool last, tap_error *err)
{
    char space[] = " ";
    tap_step changed = *step;
    switch ((int)step->kind) {
    case TAP_STEP_REPLACE:
        break;
    case TAP_STEP_STRIP_CHAR:
        return strip_char(out, step, text, n, err);
    case TAP_STEP_METASPACE: /* the mark that encoding put in front goes away */
        changed.content = space;
        changed.n_content = first && step->prefix != TAP_PREFIX_NEVER ? 0 : 1;
        break;
    case TAP_STEP_SUFFIX:
        changed.n_content = last ? 0 : step->n_content;
        break;
    default:
        return TAP_FAIL(err, TAP_EBUG, "step %d is not a decoder", (int)step->kind);
    }
    return tap_step_replace(out, &changed, text, n, err);
}

static tap_status decode_step(texts *out, const tap_step *step, const texts *in,
                              tap_error *err)
{
    if (step->kind == TAP_STEP_BYTE_FALLBACK)
        return join_bytes(out, in, err);
    if (step->kind == TAP_STEP_BYTE_LEVEL)
        return join_byte_chars(out, in, err);
    if (step->kind == TAP_STEP_FUSE) {
        if (in->bytes.n_bytes > 0)
            TAP_TRY(
                tap_buffer_put(&out->bytes, in->bytes.text, in->bytes.n_bytes, err));
        return end_text(out, err);
    }
    for (size_t i = 0; i < in->items.n; i++) {
        size_t n = 0;
        const char *text = text_at(in, i, &n);
        TAP_TRY(
            decode_one(&out->bytes, step, text, n, i == 0, i + 1 == in->items.n, err));
        TAP_TRY(end_text(out, err));
    }
    return TAP_OK;
}

/* A piece as the reference hands it to the decoders: added tokens of the normalised kind
 * in their normal form. */
static const char *piece_text(const tap_tokenizer *t, int32_t id, size_t *n)
{
    const char *piece = tap_tokenizer_piece(t, id, n);
    if (piece && (t->vocab.pieces[id].flags & TAP_PIECE_NORMAL))
        for (size_t i = 0; i < t->normal.n; i++)
            if (t->normal.tokens[i].id == id) {
                *n = t->normal.tokens[i].n_bytes;
                return t->normal.tokens[i].text;
            }
    return piece;
}

tap_status tap_tokenizer_decode(char **text, size_t *n_bytes,
                                const tap_tokenizer *tokenizer, const int32_t *ids,
                                size_t n_ids, bool skip_special, tap_error *err)
{
    texts now = {0}, next = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_buffer_put(&now.bytes, "", 0, err));
    for (size_t i = 0; i < n_ids; i++) {
        size_t n = 0;
        const char *piece = piece_text(tokenizer, ids[i], &n);
        if (!piece || (skip_special && tap_tokenizer_is_special(tokenizer, ids[i])))
            continue;
        if (tokenizer->decoders.n == 0 && now.items.n > 0) /* as the reference does */
            TAP_TRY_OUT(tap_buffer_put(&now.bytes, " ", 1, err));
        TAP_TRY_OUT(tap_buffer_put(&now.bytes, piece, n, err));
        TAP_TRY_OUT(end_text(&now, err));
    }
    for (size_t i = 0; i < tokenizer->decoders.n; i++) {
        TAP_TRY_OUT(tap_buffer_put(&next.bytes, "", 0, err));
        TAP_TRY_OUT(decode_step(&next, &tokenizer->decoders.items[i], &now, err));
        texts_clear(&now);
        now = next;
        next = (texts){0};
    }
    *text = now.bytes.text;
    *n_bytes = now.bytes.n_bytes;
    now.bytes = (tap_buffer){0};
out:
    texts_clear(&now);
    texts_clear(&next);
    return status;
}

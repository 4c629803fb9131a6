/* Into which words is a text cut before pieces are merged? The pre-tokenizers.
 *
 * The state is one text and the words as ranges of it; a step cuts every word and writes
 * the text anew. A word that starts where the user's text starts has id 0, others -1. */
#include "format/tokenizer_own.h"

#include <string.h>

typedef struct cutter {
    const tap_step *step;
    tap_buffer text; /* of the words made so far */
    tap_spans words;
    tap_spans found, parts; /* scratch */
} cutter;

static void cutter_clear(cutter *c)
{
    tap_buffer_clear(&c->text);
    tap_spans_clear(&c->words);
    tap_spans_clear(&c->found);
    tap_spans_clear(&c->parts);
}

/* A word made of these bytes; empty ones vanish. */
static tap_status put_word(cutter *c, const char *bytes, size_t n, bool at_origin,
                           tap_error *err)
{
    if (n == 0)
        return TAP_OK;
    const size_t start = c->text.n_bytes;
    if (n > TAP_TEXT_LIMIT_BYTES || start > TAP_TEXT_LIMIT_BYTES - n)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the split text has more than %d bytes; shorten the text",
                        TAP_TEXT_LIMIT_BYTES);
    TAP_TRY(tap_buffer_put(&c->text, bytes, n, err));
    return tap_spans_put(&c->words, start, start + n, at_origin ? 0 : -1, err);
}

/* Matches of the step in a word as parts that cover it: id 0 matches, id -1 between. */
static tap_status find_parts(cutter *c, const char *word, size_t n, tap_error *err)
{
    const tap_step *step = c->step;
    size_t done = 0;
    c->found.n = c->parts.n = 0;
    if (step->kind == TAP_STEP_DIGITS) {
        int32_t point;
        for (size_t at = 0, n_char = 0; at < n; at += n_char) {
            n_char = tap_char_read(&point, word + at, n - at);
            if (tap_char_is_number(point))
                TAP_TRY(tap_spans_put(&c->found, at, at + n_char, 0, err));
        }
    } else {
        TAP_TRY(tap_step_find(&c->found, step, word, n, err));
    }
    for (size_t i = 0; i < c->found.n; i++) {
        const tap_span *match = &c->found.items[i];
        if (done != match->start)
            TAP_TRY(tap_spans_put(&c->parts, done, match->start, -1, err));
        TAP_TRY(tap_spans_put(&c->parts, match->start, match->end, 0, err));
        done = match->end;
    }
    if (done != n)
        TAP_TRY(tap_spans_put(&c->parts, done, n, -1, err));
    for (size_t i = 0; step->invert && i < c->parts.n; i++)
        c->parts.items[i].id = c->parts.items[i].id == 0 ? -1 : 0;
    return TAP_OK;
}

/* Joins neighbours in place: contiguous joins runs of matches and of others, the other two
 * give the first match of a run to its left or right neighbour. */
static void join_parts(tap_spans *parts, tap_behavior behavior)
{
    const bool backwards = behavior == TAP_SPLIT_MERGED_NEXT;
    size_t kept = 0;
    bool after_match = false;
    if (behavior == TAP_SPLIT_ISOLATED || behavior == TAP_SPLIT_REMOVED)
        return;
    for (size_t i = 0; i < parts->n; i++) {
        const tap_span part = parts->items[backwards ? parts->n - 1 - i : i];
        const bool match = part.id == 0;
        const bool join = behavior == TAP_SPLIT_CONTIGUOUS ? match == after_match
                                                           : match && !after_match;
        tap_span *last =
            &parts->items[backwards ? parts->n - kept : kept - (kept > 0 ? 1 : 0)];
        if (join && kept > 0) {
            if (backwards)
                last->start = part.start;
            else
                last->end = part.end;
        } else {
            parts->items[backwards ? parts->n - 1 - kept : kept] = part;
            kept++;
        }
        after_match = match;
    }
    if (backwards)
        memmove(parts->items, parts->items + parts->n - kept,
                kept * sizeof *parts->items);
    parts->n = kept;
}

static tap_status cut(cutter *c, const char *word, size_t n, bool at_origin,
                      tap_error *err)
{
    TAP_TRY(find_parts(c, word, n, err));
    if (c->parts.n > 0)
        join_parts(&c->parts, c->step->behavior);
    for (size_t i = 0; i < c->parts.n; i++) {
        const tap_span *part = &c->parts.items[i];
        if (c->step->behavior != TAP_SPLIT_REMOVED || part->id != 0)
            TAP_TRY(put_word(c, word + part->start, part->end - part->start,
                             at_origin && part->start == 0, err));
    }
    return TAP_OK;
}

static bool starts_with(const char *text, size_t n, const char *start, size_t n_start)
{
    return n >= n_start && memcmp(text, start, n_start) == 0;
}

/* The word with content in front where the step asks for it, unless it stands there. */
static tap_status put_prefixed(tap_buffer *out, const tap_step *step, const char *word,
                               size_t n, bool at_origin, tap_error *err)
{
    const bool wanted = step->prefix == TAP_PREFIX_ALWAYS ||
                        (step->prefix == TAP_PREFIX_FIRST && at_origin);
    if (wanted && !starts_with(word, n, step->content, step->n_content))
        TAP_TRY(tap_buffer_put(out, step->content, step->n_content, err));
    return tap_buffer_put(out, word, n, err);
}

static tap_status cut_metaspace(cutter *c, const char *word, size_t n, bool at_origin,
                                tap_error *err)
{
    const tap_step space = {.literal = (char[]){' ', 0},
                            .n_literal = 1,
                            .content = c->step->content,
                            .n_content = c->step->n_content};
    tap_buffer marked = {0}, prefixed = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_step_replace(&marked, &space, word, n, err));
    TAP_TRY_OUT(
        put_prefixed(&prefixed, c->step, marked.text, marked.n_bytes, at_origin, err));
    status = c->step->split
                 ? cut(c, prefixed.text, prefixed.n_bytes, at_origin, err)
                 : put_word(c, prefixed.text, prefixed.n_bytes, at_origin, err);
out:
    tap_buffer_clear(&marked);
    tap_buffer_clear(&prefixed);
    return status;
}

/* Words of the cutter from `first` on, every byte as its character. */
static tap_status to_byte_chars(cutter *c, size_t first, tap_error *err)
{
    if (first >= c->words.n)
        return TAP_OK;
    const size_t from = c->words.items[first].start;
    tap_buffer plain = {0};
    tap_status status =
        tap_buffer_put(&plain, c->text.text + from, c->text.n_bytes - from, err);
    c->text.n_bytes = from;
    for (size_t i = first; status == TAP_OK && i < c->words.n; i++) {
        tap_span *word = &c->words.items[i];
        const size_t start = word->start - from, end = word->end - from;
        word->start = c->text.n_bytes;
        for (size_t k = start; status == TAP_OK && k < end; k++) {
            char bytes[4];
            const size_t n =
                tap_char_write(bytes, tap_byte_char((unsigned char)plain.text[k]));
            status = tap_buffer_put(&c->text, bytes, n, err);
        }
        word->end = c->text.n_bytes;
    }
    tap_buffer_clear(&plain);
    return status;
}

static tap_status cut_byte_level(cutter *c, const char *word, size_t n, bool at_origin,
                                 tap_error *err)
{
    const size_t first = c->words.n;
    tap_buffer prefixed = {0};
    tap_status status = put_prefixed(&prefixed, c->step, word, n, at_origin, err);
    if (status == TAP_OK)
        status = c->step->regex
                     ? cut(c, prefixed.text, prefixed.n_bytes, at_origin, err)
                     : put_word(c, prefixed.text, prefixed.n_bytes, at_origin, err);
    tap_buffer_clear(&prefixed);
    TAP_TRY(status);
    return to_byte_chars(c, first, err);
}

static tap_status cut_word(cutter *c, const char *word, size_t n, bool at_origin,
                           tap_error *err)
{
    switch ((int)c->step->kind) {
    case TAP_STEP_SPLIT:
    case TAP_STEP_DIGITS:
        return cut(c, word, n, at_origin, err);
    case TAP_STEP_METASPACE:
        return cut_metaspace(c, word, n, at_origin, err);
    case TAP_STEP_BYTE_LEVEL:
        return cut_byte_level(c, word, n, at_origin, err);
    default:
        return TAP_FAIL(err, TAP_EBUG, "step %d is not a pre-tokenizer",
                        (int)c->step->kind);
    }
}

tap_status tap_steps_split(tap_spans *words, tap_buffer *text, bool at_origin,
                           const tap_steps *steps, tap_error *err)
{
    words->n = 0;
    if (text->n_bytes > 0)
        TAP_TRY(tap_spans_put(words, 0, text->n_bytes, at_origin ? 0 : -1, err));
    for (size_t i = 0; i < steps->n; i++) {
        cutter c = {.step = &steps->items[i]};
        tap_status status = TAP_OK;
        for (size_t k = 0; status == TAP_OK && k < words->n; k++) {
            const tap_span *word = &words->items[k];
            status = cut_word(&c, text->text + word->start, word->end - word->start,
                              word->id == 0, err);
        }
        if (status != TAP_OK) {
            cutter_clear(&c);
            return status;
        }
        const tap_spans old_words = *words;
        const tap_buffer old_text = *text;
        *words = c.words;
        *text = c.text;
        c.words = old_words;
        c.text = old_text;
        cutter_clear(&c);
    }
    return TAP_OK;
}

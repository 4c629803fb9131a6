/* What does a text look like before it is split? The normalizers, each from text to text. */
#include "format/tokenizer_own.h"

#include <string.h>
#include <utf8proc.h>

void tap_step_clear(tap_step *step)
{
    tap_regex_free(step->regex);
    tap_free(step->literal);
    tap_free(step->content);
    *step = (tap_step){0};
}

tap_status tap_steps_take(tap_steps *steps, tap_step *step, tap_error *err)
{
    tap_status status = TAP_OK;
    if (steps->n >= TAP_STEP_LIMIT)
        status =
            TAP_FAIL(err, TAP_EUNSUPPORTED,
                     "a tokenizer may have at most %d steps of a kind", TAP_STEP_LIMIT);
    else
        status = tap_grow(&steps->items, &steps->capacity, steps->n + 1,
                          sizeof *steps->items, "the steps of a tokenizer", err);
    if (status == TAP_OK) {
        steps->items[steps->n++] = *step;
        *step = (tap_step){0};
    } else {
        tap_step_clear(step);
    }
    return status;
}

void tap_steps_clear(tap_steps *steps)
{
    for (size_t i = 0; i < steps->n; i++)
        tap_step_clear(&steps->items[i]);
    tap_free(steps->items);
    *steps = (tap_steps){0};
}

static tap_status find_literal(tap_spans *out, const tap_step *step, const char *text,
                               size_t n_bytes, tap_error *err)
{
    const size_t n = step->n_literal;
    for (size_t at = 0; n > 0 && n <= n_bytes && at <= n_bytes - n;) {
        const char *next = memchr(text + at, step->literal[0], n_bytes - n - at + 1);
        if (!next)
            break;
        at = (size_t)(next - text);
        if (memcmp(next, step->literal, n) == 0) {
            TAP_TRY(tap_spans_put(out, at, at + n, 0, err));
            at += n;
        } else {
            at++;
        }
    }
    return TAP_OK;
}

tap_status tap_step_find(tap_spans *out, const tap_step *step, const char *text,
                         size_t n_bytes, tap_error *err)
{
    if (step->regex)
        return tap_regex_find(out, step->regex, text, n_bytes, err);
    return find_literal(out, step, text, n_bytes, err);
}

static tap_status put_limited(tap_buffer *out, const char *text, size_t n,
                              tap_error *err)
{
    if (n > TAP_TEXT_LIMIT_BYTES || out->n_bytes > TAP_TEXT_LIMIT_BYTES - n)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the normalised text has more than %d bytes; shorten the text",
                        TAP_TEXT_LIMIT_BYTES);
    return tap_buffer_put(out, text, n, err);
}

tap_status tap_step_replace(tap_buffer *out, const tap_step *step, const char *text,
                            size_t n_bytes, tap_error *err)
{
    tap_spans found = {0};
    tap_status status = TAP_OK;
    size_t done = 0;
    if (n_bytes > 0)
        TAP_TRY_OUT(tap_step_find(&found, step, text, n_bytes, err));
    for (size_t i = 0; i < found.n; i++) {
        const tap_span *match = &found.items[i];
        TAP_TRY_OUT(put_limited(out, text + done, match->start - done, err));
        TAP_TRY_OUT(put_limited(out, step->content, step->n_content, err));
        done = match->end;
    }
    TAP_TRY_OUT(put_limited(out, text + done, n_bytes - done, err));
out:
    tap_spans_clear(&found);
    return status;
}

static int unicode_options(tap_step_kind kind)
{
    const int form = kind == TAP_STEP_NFC || kind == TAP_STEP_NFKC ? UTF8PROC_COMPOSE
                                                                   : UTF8PROC_DECOMPOSE;
    const int compat =
        kind == TAP_STEP_NFKC || kind == TAP_STEP_NFKD ? UTF8PROC_COMPAT : 0;
    return form | compat | UTF8PROC_STABLE;
}

static bool is_ascii(const tap_buffer *text)
{
    for (size_t i = 0; i < text->n_bytes; i++)
        if ((unsigned char)text->text[i] >= 0x80)
            return false;
    return true;
}

/* The four normal forms of Unicode Standard Annex 15. */
static tap_status compose(tap_buffer *out, tap_step_kind kind, const tap_buffer *text,
                          tap_error *err)
{
    if (is_ascii(text))
        return put_limited(out, text->text, text->n_bytes, err);
    const utf8proc_option_t options = (utf8proc_option_t)unicode_options(kind);
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text->text;
    const utf8proc_ssize_t n = (utf8proc_ssize_t)text->n_bytes;
    utf8proc_ssize_t need = utf8proc_decompose(bytes, n, NULL, 0, options);
    int32_t *points = NULL;
    tap_status status = TAP_OK;
    if (need < 0)
        return TAP_FAIL(err, TAP_EBUG, "cannot normalise a text: %s",
                        utf8proc_errmsg(need));
    /* one more, because reencode writes a NUL behind */
    TAP_TRY(tap_alloc(&points, (size_t)need + 1, sizeof *points, "a text", err));
    need = utf8proc_decompose(bytes, n, points, need, options);
    const utf8proc_ssize_t done = utf8proc_reencode(points, need, options);
    if (done < 0)
        status = TAP_FAIL(err, TAP_EBUG, "cannot normalise a text: %s",
                          utf8proc_errmsg(done));
    else
        status = put_limited(out, (const char *)points, (size_t)done, err);
    tap_free(points);
    return status;
}

/* Character by character, so no final sigma. U+0130 alone becomes two. */
static tap_status lowercase(tap_buffer *out, const tap_buffer *text, tap_error *err)
{
    for (size_t at = 0, n = 0; at < text->n_bytes; at += n) {
        char lower[8];
        int32_t point = 0;
        n = tap_char_read(&point, text->text + at, text->n_bytes - at);
        size_t n_lower;
        if (point == 0x130) {
            memcpy(lower, "i\xcc\x87", 3);
            n_lower = 3;
        } else {
            n_lower = tap_char_write(lower, utf8proc_tolower(point));
        }
        TAP_TRY(put_limited(out, lower, n_lower, err));
    }
    return TAP_OK;
}

static tap_status strip(tap_buffer *out, size_t *origin, const tap_step *step,
                        const tap_buffer *text, tap_error *err)
{
    size_t start = 0, end = text->n_bytes;
    int32_t point;
    while (step->strip_left && start < end) {
        const size_t n = tap_char_read(&point, text->text + start, end - start);
        if (!tap_char_is_space(point))
            break;
        start += n;
    }
    while (step->strip_right && end > start) {
        size_t last = end - 1;
        while (last > start && ((unsigned char)text->text[last] & 0xc0) == 0x80)
            last--;
        (void)tap_char_read(&point, text->text + last, end - last);
        if (!tap_char_is_space(point))
            break;
        end = last;
    }
    *origin += start;
    return put_limited(out, text->text + start, end - start, err);
}

/* No space at the ends, one between words. */
static tap_status squeeze(tap_buffer *out, const tap_buffer *text, tap_error *err)
{
    bool after_space = true;
    for (size_t i = 0; i < text->n_bytes; i++) {
        const bool space = text->text[i] == ' ';
        if (!(space && after_space))
            TAP_TRY(put_limited(out, text->text + i, 1, err));
        after_space = space;
    }
    while (out->n_bytes > 0 && out->text[out->n_bytes - 1] == ' ')
        out->text[--out->n_bytes] = '\0';
    return TAP_OK;
}

static tap_status normalize(tap_buffer *out, size_t *origin, const tap_step *step,
                            const tap_buffer *text, tap_error *err)
{
    switch ((int)step->kind) {
    case TAP_STEP_PREPEND: /* nothing in front of nothing */
        if (text->n_bytes > 0)
            TAP_TRY(put_limited(out, step->content, step->n_content, err));
        return put_limited(out, text->text, text->n_bytes, err);
    case TAP_STEP_REPLACE:
        return tap_step_replace(out, step, text->text, text->n_bytes, err);
    case TAP_STEP_NFC:
    case TAP_STEP_NFD:
    case TAP_STEP_NFKC:
    case TAP_STEP_NFKD:
        return compose(out, step->kind, text, err);
    case TAP_STEP_LOWERCASE:
        return lowercase(out, text, err);
    case TAP_STEP_STRIP:
        return strip(out, origin, step, text, err);
    case TAP_STEP_SQUEEZE:
        return squeeze(out, text, err);
    default:
        return TAP_FAIL(err, TAP_EBUG, "step %d is not a normalizer", (int)step->kind);
    }
}

tap_status tap_steps_normalize(tap_buffer *text, size_t *origin, const tap_steps *steps,
                               tap_error *err)
{
    for (size_t i = 0; i < steps->n; i++) {
        tap_buffer next = {0};
        const tap_status status = normalize(&next, origin, &steps->items[i], text, err);
        tap_buffer_clear(text);
        *text = next;
        TAP_TRY(status);
    }
    return TAP_OK;
}

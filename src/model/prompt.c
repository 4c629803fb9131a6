#include "model/prompt.h"

#include "base/memory.h"
#include "base/planted.h"

#include <string.h>

static const char MARK[] = "<image>";

/* Ids of the text, and which of them stand for image rows: one for all, or one for each. */
typedef struct draft {
    int32_t *ids;
    bool *is_image;
    size_t n, n_image;
} draft;

static void clear_draft(draft *d)
{
    tap_free(d->ids);
    tap_free(d->is_image);
}

/* Where the text mentions the image; it must do so once. */
static tap_status find_mark(const char **at, const char *text, tap_error *err)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, MARK)); p += sizeof MARK - 1) {
        *at = p;
        n++;
    }
    if (n != 1)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the prompt must hold '%s' once, it holds it %zu times", MARK,
                        n);
    return TAP_OK;
}

static tap_status put_text(draft *d, const tap_tokenizer *tokenizer, const char *text,
                           size_t n_bytes, tap_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0, capacity = d->n;
    TAP_TRY(tap_tokenizer_encode(&ids, &n, tokenizer, text, n_bytes, true, err));
    const tap_status status =
        tap_grow(&d->ids, &capacity, d->n + n + 1, sizeof *d->ids, "a prompt", err);
    if (status == TAP_OK) {
        if (n > 0)
            memcpy(d->ids + d->n, ids, n * sizeof *ids);
        d->n += n;
    }
    tap_free(ids);
    return status;
}

static tap_status flag_images(draft *d, tap_error *err)
{
    return tap_alloc(&d->is_image, d->n + 1, sizeof *d->is_image, "a prompt", err);
}

/* The image token is a word of the vocabulary; the text stands for itself, or the family
 * writes more around it. */
static tap_status draft_token(draft *d, const tap_spec *spec,
                              const tap_tokenizer *tokenizer, const char *text,
                              const char *mark, const tap_layout *layout,
                              const tap_geometry *geometry, tap_error *err)
{
    char *image = NULL;
    tap_buffer whole = {0};
    tap_status status = TAP_OK;
    if (spec->expand)
        TAP_TRY_OUT(spec->expand(&image, spec, layout, geometry, err));
    const char *word = image ? image : spec->image_text;
    TAP_TRY_OUT(tap_buffer_put(&whole, text, (size_t)(mark - text), err));
    TAP_TRY_OUT(tap_buffer_put(&whole, word, strlen(word), err));
    const char *rest = mark + sizeof MARK - 1;
    TAP_TRY_OUT(tap_buffer_put(&whole, rest, strlen(rest), err));
    TAP_TRY_OUT(put_text(d, tokenizer, whole.text, whole.n_bytes, err));
    TAP_TRY_OUT(flag_images(d, err));
    for (size_t i = 0; i < d->n; i++) {
        d->is_image[i] = d->ids[i] == spec->image_token_id;
        d->n_image += d->is_image[i];
    }
    const size_t expected = image ? (size_t)layout->n_slots : 1;
    if (d->n_image == 0)
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "the tokenizer does not read '%s' as the image token %d that "
                          "config.json names",
                          spec->image_text, spec->image_token_id);
    else if (d->n_image != expected)
        status = TAP_FAIL(err, TAP_EINVAL,
                          "the prompt holds the image token %zu times, expected %zu; "
                          "write '%s' once and '%s' nowhere else",
                          d->n_image, expected, MARK, spec->image_text);
out:
    tap_free(image);
    tap_buffer_clear(&whole);
    return status;
}

/* The rows stand between two texts that do not know one another. */
static tap_status draft_chunks(draft *d, const tap_spec *spec,
                               const tap_tokenizer *tokenizer, const char *text,
                               const char *mark, tap_error *err)
{
    TAP_TRY(put_text(d, tokenizer, text, (size_t)(mark - text), err));
    const size_t at = d->n++; /* put_text left room for it */
    d->ids[at] = spec->image_token_id;
    const char *rest = mark + sizeof MARK - 1;
    TAP_TRY(put_text(d, tokenizer, rest, strlen(rest), err));
    TAP_TRY(flag_images(d, err));
    d->is_image[at] = true;
    d->n_image = 1;
    return TAP_OK;
}

/* The rows follow the first token. */
static tap_status draft_after_bos(draft *d, const tap_spec *spec,
                                  const tap_tokenizer *tokenizer, const char *text,
                                  const char *mark, tap_error *err)
{
    if (mark != text)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the prompt holds '%s' after other text; this model's image "
                        "always stands first",
                        MARK);
    const char *rest = mark + sizeof MARK - 1;
    TAP_TRY(put_text(d, tokenizer, rest, strlen(rest), err));
    if (d->n == 0 || d->ids[0] != spec->lm.bos_id)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "the tokenizer does not begin a text with the token %d that "
                        "this model's image follows",
                        spec->lm.bos_id);
    memmove(d->ids + 2, d->ids + 1, (d->n - 1) * sizeof *d->ids);
    d->ids[1] = spec->image_token_id;
    d->n++;
    TAP_TRY(flag_images(d, err));
    d->is_image[1] = true;
    d->n_image = 1;
    return TAP_OK;
}

/* The first and last token of the image's block of text: the rows, and what the family
 * wrote around them. */
static void find_block(size_t *first, size_t *last, const draft *d,
                       const tap_spec *spec, const tap_tokenizer *tokenizer)
{
    const int32_t edge =
        spec->edge_text[0]
            ? tap_tokenizer_find(tokenizer, spec->edge_text, strlen(spec->edge_text))
            : -1;
    *first = d->n;
    *last = 0;
    for (size_t i = 0; i < d->n; i++)
        if (d->is_image[i] || (edge >= 0 && d->ids[i] == edge)) {
            *first = *first < i ? *first : i;
            *last = i;
        }
}

static tap_token text_token(const draft *d, size_t i, size_t first, size_t last,
                            const tap_spec *spec)
{
    const bool begins = d->ids[i] == spec->lm.bos_id && (i == 0 || i == last + 1);
    return (tap_token){.role = begins      ? TAP_ROLE_BOS
                               : i < first ? TAP_PLANTED(TAP_BUG_PREFIX_IS_IMAGE)
                                                 ? TAP_ROLE_PATCH
                                                 : TAP_ROLE_PREFIX
                               : i > last  ? TAP_ROLE_QUESTION
                                           : TAP_ROLE_SEPARATOR,
                       .tile = -1,
                       .row = -1,
                       .col = -1,
                       .feature = -1};
}

static void put_slot(tap_sequence *s, int64_t t, int64_t i)
{
    const tap_slot *slot = &s->layout.slots[i];
    s->tokens[t] = (tap_token){.role = slot->role,
                               .tile = slot->tile,
                               .row = slot->row,
                               .col = slot->col,
                               .thumb = slot->thumb,
                               .feature = (int32_t)i};
    if (slot->role == TAP_ROLE_PATCH) {
        s->n_image++;
        s->last_image = t;
    }
}

/* Tokens of the draft, image tokens as the rows they stand for. */
static tap_status fill(tap_sequence *s, const draft *d, const tap_spec *spec,
                       const tap_tokenizer *tokenizer, tap_error *err)
{
    const int64_t n_slots = s->layout.n_slots;
    const bool repeats = d->n_image == 1;
    s->n_tok = (int64_t)(d->n - d->n_image) + n_slots;
    const int64_t most =
        spec->lm.n_positions < spec->lm.window ? spec->lm.n_positions : spec->lm.window;
    if (s->n_tok > most)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the prompt and its image need %lld positions, the model has "
                        "%lld%s; shorten the prompt",
                        (long long)s->n_tok, (long long)most,
                        most < spec->lm.n_positions ? " in its attention window" : "");
    TAP_TRY(tap_alloc(&s->ids, (size_t)s->n_tok, sizeof *s->ids, "a prompt", err));
    TAP_TRY(
        tap_alloc(&s->tokens, (size_t)s->n_tok, sizeof *s->tokens, "a prompt", err));
    size_t first = 0, last = 0;
    find_block(&first, &last, d, spec, tokenizer);
    int64_t t = 0, slot = 0;
    for (size_t i = 0; i < d->n; i++) {
        const int64_t n = !d->is_image[i] ? 1 : repeats ? n_slots : 1;
        for (int64_t k = 0; k < n; k++, t++) {
            s->ids[t] = d->ids[i];
            if (d->is_image[i])
                put_slot(s, t, slot++);
            else
                s->tokens[t] = text_token(d, i, first, last, spec);
        }
    }
    return TAP_OK;
}

tap_status tap_prompt_compile(tap_sequence *out, const tap_spec *spec,
                              const tap_tokenizer *tokenizer, const char *prompt,
                              const tap_geometry *geometry, tap_error *err)
{
    const char *text = prompt ? prompt : spec->prompt, *mark = NULL;
    draft d = {0};
    tap_sequence s = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_layout_compile(&s.layout, spec, geometry, err));
    if (spec->lm.stack.n_blocks == 0)
        goto out;
    TAP_TRY_OUT(find_mark(&mark, text, err));
    switch (spec->prompt_kind) {
    case TAP_PROMPT_TOKEN:
        status = draft_token(&d, spec, tokenizer, text, mark, &s.layout, geometry, err);
        break;
    case TAP_PROMPT_CHUNKS:
        status = draft_chunks(&d, spec, tokenizer, text, mark, err);
        break;
    case TAP_PROMPT_AFTER_BOS:
        status = draft_after_bos(&d, spec, tokenizer, text, mark, err);
        break;
    }
    if (status == TAP_OK)
        status = fill(&s, &d, spec, tokenizer, err);
out:
    clear_draft(&d);
    if (status == TAP_OK)
        *out = s;
    else
        tap_sequence_clear(&s);
    return status;
}

void tap_sequence_clear(tap_sequence *sequence)
{
    tap_free(sequence->ids);
    tap_free(sequence->tokens);
    tap_layout_clear(&sequence->layout);
    *sequence = (tap_sequence){0};
}

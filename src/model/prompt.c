#include "model/prompt.h"

#include "base/memory.h"

#include <string.h>

static const char MARK[] = "<image>";

/* Rows of projector output for an image, and the token of each. */
static int64_t n_features(const tap_spec *spec, const tap_geometry *g)
{
    const int64_t cls = spec->vision.has_cls && spec->vision.keeps_cls;
    return (int64_t)g->n_tiles * (cls + (int64_t)g->n_rows * g->n_cols);
}

static tap_token feature_token(const tap_spec *spec, const tap_geometry *g, int64_t i)
{
    const int64_t cls = spec->vision.has_cls && spec->vision.keeps_cls;
    const int64_t per_tile = cls + (int64_t)g->n_rows * g->n_cols;
    const int64_t at = i % per_tile - cls;
    tap_token token = {.role = at < 0 ? TAP_ROLE_CLS : TAP_ROLE_PATCH,
                       .tile = (int)(i / per_tile),
                       .row = -1,
                       .col = -1,
                       .feature = (int32_t)i};
    if (at >= 0) {
        token.row = (int)(at / g->n_cols);
        token.col = (int)(at % g->n_cols);
    }
    return token;
}

/* The place of the image token; the prompt must hold it once. */
static tap_status find_image(size_t *at, const int32_t *ids, size_t n_ids,
                             const tap_spec *spec, const char *prompt, tap_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] == spec->image_token_id) {
            *at = i;
            n++;
        }
    if (n == 1)
        return TAP_OK;
    if (n == 0 && strstr(prompt, MARK))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "the tokenizer does not read '%s' as the image token %d that "
                        "config.json names",
                        MARK, spec->image_token_id);
    return TAP_FAIL(err, TAP_EINVAL,
                    "the prompt must hold '%s' once, it holds it %zu times", MARK, n);
}

tap_status tap_prompt_compile(tap_sequence *out, const tap_spec *spec,
                              const tap_tokenizer *tokenizer, const char *prompt,
                              const tap_geometry *geometry, tap_error *err)
{
    const char *text = prompt ? prompt : spec->prompt;
    int32_t *ids = NULL;
    size_t n_ids = 0, at = 0;
    tap_sequence s = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_tokenizer_encode(&ids, &n_ids, tokenizer, text, strlen(text), true, err));
    TAP_TRY_OUT(find_image(&at, ids, n_ids, spec, text, err));
    const int64_t n_image = n_features(spec, geometry);
    s.n_tok = (int64_t)n_ids - 1 + n_image;
    if (s.n_tok > spec->lm.n_positions)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EINVAL,
                     "the prompt and its image need %lld positions, the model has "
                     "%lld; shorten the prompt",
                     (long long)s.n_tok, (long long)spec->lm.n_positions));
    TAP_TRY_OUT(tap_alloc(&s.ids, (size_t)s.n_tok, sizeof *s.ids, "a prompt", err));
    TAP_TRY_OUT(
        tap_alloc(&s.tokens, (size_t)s.n_tok, sizeof *s.tokens, "a prompt", err));
    for (int64_t t = 0; t < s.n_tok; t++) {
        const int64_t i = t - (int64_t)at;
        if (i >= 0 && i < n_image) {
            s.ids[t] = spec->image_token_id;
            s.tokens[t] = feature_token(spec, geometry, i);
            if (s.tokens[t].role == TAP_ROLE_PATCH) {
                s.n_image++;
                s.last_image = t;
            }
            continue;
        }
        s.ids[t] = ids[i < 0 ? t : t - n_image + 1];
        const bool begins = t == 0 && s.ids[t] == spec->lm.bos_id;
        s.tokens[t] = (tap_token){.role = begins  ? TAP_ROLE_BOS
                                          : i < 0 ? TAP_ROLE_PREFIX
                                                  : TAP_ROLE_QUESTION,
                                  .tile = -1,
                                  .row = -1,
                                  .col = -1,
                                  .feature = -1};
    }
out:
    tap_free(ids);
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
    *sequence = (tap_sequence){0};
}

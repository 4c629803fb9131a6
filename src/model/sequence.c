/* Sequences without an image, and room for an answer behind a prompt. */
#include "base/memory.h"
#include "model/prompt.h"

#include <string.h>

static tap_token text_token(tap_role role)
{
    return (tap_token){.role = role, .tile = -1, .row = -1, .col = -1, .feature = -1};
}

tap_status tap_sequence_text(tap_sequence *out, const tap_spec *spec,
                             const tap_tokenizer *tokenizer, const char *text,
                             tap_error *err)
{
    tap_sequence s = {0};
    size_t n = 0;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_tokenizer_encode(&s.ids, &n, tokenizer, text, strlen(text), true, err));
    s.n_tok = (int64_t)n;
    if (n == 0 || s.n_tok > tap_lm_longest(&spec->lm))
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EINVAL,
                             "the prompt has %lld tokens, expected 1 to %lld",
                             (long long)s.n_tok, (long long)tap_lm_longest(&spec->lm)));
    TAP_TRY_OUT(tap_alloc(&s.tokens, n, sizeof *s.tokens, "a prompt", err));
    for (size_t t = 0; t < n; t++) {
        if (s.ids[t] >= spec->lm.d_vocab || s.ids[t] == spec->image_token_id)
            TAP_TRY_OUT(TAP_FAIL(err, TAP_EINVAL,
                                 "the prompt holds the token %d, which has no meaning "
                                 "without an image",
                                 s.ids[t]));
        s.tokens[t] = text_token(
            t == 0 && s.ids[t] == spec->lm.bos_id ? TAP_ROLE_BOS : TAP_ROLE_QUESTION);
    }
out:
    if (status == TAP_OK)
        *out = s;
    else
        tap_sequence_clear(&s);
    return status;
}

tap_status tap_sequence_extend(tap_sequence *sequence, int64_t n_new, tap_error *err)
{
    tap_sequence *s = sequence;
    const size_t n = (size_t)(s->n_tok + n_new);
    int32_t *ids = NULL;
    tap_token *tokens = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&ids, n, sizeof *ids, "a prompt", err));
    TAP_TRY_OUT(tap_alloc(&tokens, n, sizeof *tokens, "a prompt", err));
    memcpy(ids, s->ids, (size_t)s->n_tok * sizeof *ids);
    memcpy(tokens, s->tokens, (size_t)s->n_tok * sizeof *tokens);
    for (size_t t = (size_t)s->n_tok; t < n; t++)
        tokens[t] = text_token(TAP_ROLE_GEN);
    tap_free(s->ids);
    tap_free(s->tokens);
    s->ids = ids;
    s->tokens = tokens;
    s->n_tok = (int64_t)n;
    return TAP_OK;
out:
    tap_free(ids);
    tap_free(tokens);
    return status;
}

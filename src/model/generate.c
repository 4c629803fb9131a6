#include "model/generate.h"

#include "base/file.h"
#include "base/philox.h"
#include "format/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT_BYTES = 1 << 24, MAX_STOPS = 64 };

/* ---- choosing ---- */

static int by_logit(const void *a, const void *b)
{
    const tap_choice *x = a, *y = b;
    if (x->logit < y->logit || x->logit > y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* A number in [0, 1) with 53 bits. */
static double uniform(uint64_t seed, int64_t step)
{
    const uint32_t counter[4] = {(uint32_t)step, (uint32_t)(step >> 32), 0, 0};
    uint32_t words[4];
    tap_philox(words, counter, seed);
    return (double)(((uint64_t)words[0] << 32 | words[1]) >> 11) * 0x1p-53;
}

static int32_t draw(const tap_sampling *s, const tap_choice *sorted, int64_t n,
                    double u)
{
    const int64_t most = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    const double top = (double)sorted[0].logit;
    double all = 0.0, kept = 0.0, sum = 0.0;
    int64_t n_kept = 0, i = 0;
    for (int64_t k = 0; k < most; k++)
        all += exp(((double)sorted[k].logit - top) / s->temperature);
    while (n_kept < most && (n_kept == 0 || kept < s->top_p * all))
        kept += exp(((double)sorted[n_kept++].logit - top) / s->temperature);
    for (; i < n_kept - 1; i++) {
        sum += exp(((double)sorted[i].logit - top) / s->temperature);
        if (u * kept < sum)
            break;
    }
    return sorted[i].id;
}

tap_status tap_sample(int32_t *id, const tap_sampling *sampling, const float *logits,
                      tap_choice *scratch, int64_t n, int64_t step, tap_error *err)
{
    int32_t best = 0;
    for (int64_t v = 0; v < n; v++) {
        if (isnan(logits[v]))
            return TAP_FAIL(err, TAP_ENUMERIC,
                            "the logit of token %lld is not a number", (long long)v);
        best = logits[v] > logits[best] ? (int32_t)v : best;
        scratch[v] = (tap_choice){logits[v], (int32_t)v};
    }
    *id = best;
    if (sampling->temperature <= 0.0)
        return TAP_OK;
    qsort(scratch, (size_t)n, sizeof *scratch, by_logit);
    *id = draw(sampling, scratch, n, uniform(sampling->seed, step));
    return TAP_OK;
}

/* ---- stop tokens ---- */

/* A number or a list of numbers under eos_token_id; nothing if there is none. */
static tap_status read_stops(int32_t *ids, size_t *n, const json_t *object,
                             const char *path, int64_t d_vocab, tap_error *err)
{
    const json_t *value = json_object_get(object, "eos_token_id");
    const size_t n_items = json_is_array(value) ? json_array_size(value) : 1;
    if (!value || json_is_null(value))
        return TAP_OK;
    if (n_items > MAX_STOPS)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'eos_token_id' has %zu entries, expected at "
                        "most %d",
                        path, n_items, MAX_STOPS);
    for (size_t i = 0; i < n_items; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        const json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id >= d_vocab)
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': 'eos_token_id' is not a token of the "
                            "vocabulary or a list of them",
                            path);
        ids[i] = (int32_t)id;
    }
    *n = n_items;
    return TAP_OK;
}

static tap_status read_stop_file(int32_t *ids, size_t *n, const char *directory,
                                 const char *name, int64_t d_vocab, tap_error *err)
{
    char *path = NULL;
    json_t *root = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_path_join(&path, directory, name, err));
    if (tap_file_exists(path)) {
        TAP_TRY_OUT(tap_json_read(&root, path, CONFIG_LIMIT_BYTES, err));
        TAP_TRY_OUT(read_stops(ids, n, root, path, d_vocab, err));
        if (*n == 0)
            status = read_stops(ids, n, json_object_get(root, "text_config"), path,
                                d_vocab, err);
    }
out:
    json_decref(root);
    tap_free(path);
    return status;
}

tap_status tap_stops_read(int32_t **ids, size_t *n_ids, const char *directory,
                          const tap_spec *spec, const tap_template *chat,
                          const tap_tokenizer *tokenizer, tap_error *err)
{
    static const char *const files[] = {"generation_config.json", "config.json"};
    int32_t *found = NULL;
    size_t n = 0;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&found, MAX_STOPS + 1, sizeof *found, "stop tokens", err));
    for (size_t i = 0; i < 2 && n == 0; i++)
        TAP_TRY_OUT(
            read_stop_file(found, &n, directory, files[i], spec->lm.d_vocab, err));
    if (n == 0 && spec->lm.eos_id >= 0)
        found[n++] = spec->lm.eos_id;
    const int32_t end =
        chat && chat->end && tokenizer
            ? tap_tokenizer_find(tokenizer, chat->end, strlen(chat->end))
            : -1;
    bool known = end < 0;
    for (size_t i = 0; i < n; i++)
        known |= found[i] == end;
    if (!known)
        found[n++] = end;
out:
    if (status != TAP_OK) {
        tap_free(found);
        return status;
    }
    *ids = found;
    *n_ids = n;
    return TAP_OK;
}

/* ---- the loop ---- */

/* How many of the ids are text for good: a run of byte pieces at the end may still become
 * something else, because a run that is no UTF-8 is replaced as a whole. */
static size_t settled(const tap_tokenizer *tokenizer, const tap_answer *a)
{
    size_t n = a->n_ids, n_bytes = 0;
    for (; n > 0; n--) {
        const char *piece = tap_tokenizer_piece(tokenizer, a->ids[n - 1], &n_bytes);
        if (!piece || n_bytes != 6 || memcmp(piece, "<0x", 3) != 0)
            break;
    }
    return n;
}

/* Hands on what is certain beyond the first *n_put bytes: whole characters only. */
static tap_status put_text(size_t *n_put, const tap_answer *a,
                           const tap_tokenizer *tokenizer,
                           const tap_generate_options *options, tap_error *err)
{
    static const char part[] = "\xef\xbf\xbd";
    char *text = NULL;
    size_t n = 0;
    TAP_TRY(tap_tokenizer_decode(&text, &n, tokenizer, a->ids, settled(tokenizer, a),
                                 true, err));
    while (n >= 3 && memcmp(text + n - 3, part, 3) == 0)
        n -= 3;
    tap_status status = TAP_OK;
    if (n > *n_put)
        status = options->put(options->owner, text + *n_put, n - *n_put, err);
    *n_put = n > *n_put ? n : *n_put;
    tap_free(text);
    return status;
}

static bool is_stop(const tap_generate_options *options, int32_t id)
{
    for (size_t i = 0; i < options->n_stops; i++)
        if (options->stops[i] == id)
            return true;
    return false;
}

tap_status tap_generate(tap_answer *out, tap_decoder *decoder,
                        const tap_tokenizer *tokenizer, int64_t d_vocab,
                        const tap_generate_options *options, tap_error *err)
{
    tap_answer a = {0};
    tap_choice *scratch = NULL;
    size_t capacity = 0, n_put = 0;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_alloc(&scratch, (size_t)d_vocab, sizeof *scratch, "a vocabulary", err));
    for (bool last = false; !last;) {
        int32_t id = 0;
        TAP_TRY_OUT(tap_sample(&id, &options->sampling, tap_decoder_logits(decoder),
                               scratch, d_vocab, (int64_t)a.n_ids, err));
        TAP_TRY_OUT(
            tap_grow(&a.ids, &capacity, a.n_ids + 1, sizeof *a.ids, "an answer", err));
        a.ids[a.n_ids++] = id;
        a.stopped = is_stop(options, id);
        last = a.stopped || (int64_t)a.n_ids == options->max_tokens ||
               tap_decoder_room(decoder) == 0;
        if (options->put)
            TAP_TRY_OUT(put_text(&n_put, &a, tokenizer, options, err));
        if (!last)
            TAP_TRY_OUT(tap_decoder_step(decoder, id, err));
    }
    TAP_TRY_OUT(tap_tokenizer_decode(&a.text, &a.n_bytes, tokenizer, a.ids, a.n_ids,
                                     true, err));
    if (options->put && a.n_bytes > n_put)
        status = options->put(options->owner, a.text + n_put, a.n_bytes - n_put, err);
out:
    tap_free(scratch);
    if (status == TAP_OK)
        *out = a;
    else
        tap_answer_clear(&a);
    return status;
}

void tap_answer_clear(tap_answer *answer)
{
    tap_free(answer->ids);
    tap_free(answer->text);
    *answer = (tap_answer){0};
}

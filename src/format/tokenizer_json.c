/* What vocabulary, merges, added tokens and specials does a tokenizer.json hold?
 *
 * Followed as the tokenizers library follows the file, with three differences: truncation
 * and padding are not applied (transformers switches them off too), ids of added tokens are
 * the file's own, and what would be ignored or guessed there is refused here.
 *
 * Source: huggingface/tokenizers, tokenizer/serialization.rs, models/bpe/serialization.rs. */
#include "base/suggest.h"
#include "format/tokenizer_own.h"

#include <stdio.h>
#include <string.h>

enum { MERGE_LIMIT = 1 << 22 };

static tap_status put_vocab(tap_tokenizer *t, json_t *vocab, const char *path,
                            tap_error *err)
{
    const char *piece;
    json_t *id;
    json_object_foreach(vocab, piece, id)
    {
        if (!json_is_integer(id)) {
            char found[TAP_JSON_VALUE_BYTES];
            tap_json_describe(found, id);
            return TAP_FAIL(
                err, TAP_EFORMAT,
                "cannot read '%s': the id of token '%.100s' is %s, expected "
                "a whole number",
                path, piece, found);
        }
        TAP_TRY(tap_vocab_put(&t->vocab, json_integer_value(id), piece, strlen(piece),
                              TAP_PIECE_MODEL, path, err));
    }
    return TAP_OK;
}

/* "a b" or ["a", "b"] */
static bool read_pair(const char *pair[2], size_t n_bytes[2], const json_t *item)
{
    if (json_is_array(item) && json_array_size(item) == 2) {
        for (size_t i = 0; i < 2; i++) {
            pair[i] = json_string_value(json_array_get(item, i));
            if (!pair[i])
                return false;
            n_bytes[i] = strlen(pair[i]);
        }
        return true;
    }
    const char *text = json_string_value(item);
    const char *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return false;
    pair[0] = text;
    n_bytes[0] = (size_t)(space - text);
    pair[1] = space + 1;
    n_bytes[1] = strlen(space + 1);
    return true;
}

static tap_status put_merge(tap_tokenizer *t, const json_t *item, size_t rank,
                            const char *path, tap_error *err)
{
    const char *pair[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    char joined[2 * TAP_PIECE_LIMIT_BYTES];
    if (!read_pair(pair, n, item))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': merge %zu is not a pair of tokens", path,
                        rank);
    const int32_t left = tap_vocab_find_model(&t->vocab, pair[0], n[0]);
    const int32_t right = tap_vocab_find_model(&t->vocab, pair[1], n[1]);
    int32_t into = -1;
    if (left >= 0 && right >= 0) {
        memcpy(joined, pair[0], n[0]);
        memcpy(joined + n[0], pair[1], n[1]);
        into = tap_vocab_find_model(&t->vocab, joined, n[0] + n[1]);
    }
    if (into < 0)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': merge %zu joins '%.*s' and '%.*s', but these "
            "or the result are not in the vocabulary",
            path, rank, n[0] < 100 ? (int)n[0] : 100, pair[0],
            n[1] < 100 ? (int)n[1] : 100, pair[1]);
    tap_merges_put(&t->merges, (tap_merge){left, right, into, (uint32_t)rank});
    return TAP_OK;
}

/* Keys that would change what the merge loop does, and that no file of a known family
 * sets. */
static tap_status refuse_options(const tap_json_at *model, tap_error *err)
{
    const char *prefix = NULL;
    double dropout = 0;
    TAP_TRY(tap_json_text(&prefix, model, "continuing_subword_prefix", "", err));
    if (prefix[0])
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': 'model.continuing_subword_prefix' is "
                        "\"%.100s\"; only an empty one is supported",
                        model->path, prefix);
    TAP_TRY(tap_json_real(&dropout, model, "dropout", 0, 0, 1, err));
    if (dropout != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': 'model.dropout' is %g, which would make ids "
                        "random; set it to null",
                        model->path, dropout);
    return TAP_OK;
}

static tap_status read_options(tap_tokenizer *t, const tap_json_at *model,
                               tap_error *err)
{
    const char *suffix = NULL, *unk = NULL;
    TAP_TRY(tap_json_bool(&t->byte_fallback, model, "byte_fallback", false, err));
    TAP_TRY(tap_json_bool(&t->fuse_unk, model, "fuse_unk", false, err));
    TAP_TRY(tap_json_bool(&t->ignore_merges, model, "ignore_merges", false, err));
    TAP_TRY(tap_json_text(&suffix, model, "end_of_word_suffix", "", err));
    TAP_TRY(tap_json_text(&unk, model, "unk_token", "", err));
    t->n_suffix = strlen(suffix);
    if (t->n_suffix > sizeof t->suffix)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'model.end_of_word_suffix' has %zu bytes, "
                        "expected at most %zu",
                        model->path, t->n_suffix, sizeof t->suffix);
    memcpy(t->suffix, suffix, t->n_suffix);
    if (!unk[0])
        return TAP_OK;
    t->unk_id = tap_vocab_find_model(&t->vocab, unk, strlen(unk));
    if (t->unk_id < 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'model.unk_token' is '%.100s', which is not "
                        "in the vocabulary",
                        model->path, unk);
    return TAP_OK;
}

static tap_status read_model(tap_tokenizer *t, const tap_json_at *root, tap_error *err)
{
    tap_json_at model;
    const char *type = NULL;
    TAP_TRY(tap_json_object(&model, root, "model", "model.", err));
    /* the oldest files have no type; their merges tell */
    const char *absent = tap_json_find(&model, "merges") ? "BPE" : NULL;
    TAP_TRY(tap_json_text(&type, &model, "type", absent, err));
    if (strcmp(type, "BPE") != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': 'model.type' is \"%.100s\"; only \"BPE\" is "
                        "supported",
                        root->path, type);
    json_t *vocab = json_object_get(model.object, "vocab");
    const json_t *merges = json_object_get(model.object, "merges");
    if (!json_is_object(vocab) || !json_is_array(merges) ||
        json_array_size(merges) > MERGE_LIMIT)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': expected 'model.vocab' to be an object and "
                        "'model.merges' a list of at most %d",
                        root->path, MERGE_LIMIT);
    TAP_TRY(refuse_options(&model, err));
    TAP_TRY(put_vocab(t, vocab, root->path, err));
    TAP_TRY(read_options(t, &model, err));
    tap_tokenizer_find_bytes(t);
    TAP_TRY(tap_merges_init(&t->merges, json_array_size(merges), err));
    for (size_t i = 0; i < json_array_size(merges); i++)
        TAP_TRY(put_merge(t, json_array_get(merges, i), i, root->path, err));
    return TAP_OK;
}

/* Tokens of the normalised kind are searched for in their own normal form. */
static tap_status put_normalized(tap_tokenizer *t, const tap_added_token *token,
                                 tap_error *err)
{
    tap_buffer text = {0};
    size_t origin = 0;
    tap_status status = tap_buffer_put(&text, token->text, token->n_bytes, err);
    if (status == TAP_OK)
        status = tap_steps_normalize(&text, &origin, &t->normalizers, err);
    tap_added_token copy = *token;
    copy.text = text.text;
    copy.n_bytes = text.n_bytes;
    if (status == TAP_OK)
        status = tap_added_put(&t->normal, &copy, err);
    tap_buffer_clear(&text);
    return status;
}

static tap_status read_added(tap_tokenizer *t, const json_t *object, size_t index,
                             const char *path, tap_error *err)
{
    char place[40];
    (void)snprintf(place, sizeof place, "added_tokens[%zu].", index);
    const tap_json_at at = {.object = object, .path = path, .place = place};
    const char *content = NULL;
    int64_t id = 0;
    bool special = false, normalized = false;
    tap_added_token token = {0};
    TAP_TRY(tap_json_text(&content, &at, "content", NULL, err));
    TAP_TRY(tap_json_int(&id, &at, "id", -1, 0, TAP_VOCAB_LIMIT - 1, err));
    TAP_TRY(tap_json_bool(&token.single_word, &at, "single_word", false, err));
    TAP_TRY(tap_json_bool(&token.lstrip, &at, "lstrip", false, err));
    TAP_TRY(tap_json_bool(&token.rstrip, &at, "rstrip", false, err));
    TAP_TRY(tap_json_bool(&special, &at, "special", false, err));
    TAP_TRY(tap_json_bool(&normalized, &at, "normalized", !special, err));
    token.n_bytes = strlen(content);
    token.id = (int32_t)id;
    TAP_TRY(tap_vocab_put(&t->vocab, id, content, token.n_bytes,
                          TAP_PIECE_ADDED | (special ? TAP_PIECE_SPECIAL : 0) |
                              (normalized ? TAP_PIECE_NORMAL : 0),
                          path, err));
    TAP_TRY(tap_text_copy(&token.text, content, token.n_bytes, err));
    const tap_status status = normalized ? put_normalized(t, &token, err)
                                         : tap_added_put(&t->raw, &token, err);
    tap_free(token.text);
    return status;
}

static tap_status read_added_list(tap_tokenizer *t, const tap_json_at *root,
                                  tap_error *err)
{
    const json_t *list = tap_json_find(root, "added_tokens");
    if (!list)
        return TAP_OK;
    if (!json_is_array(list))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'added_tokens' is not a list", root->path);
    for (size_t i = 0; i < json_array_size(list); i++)
        TAP_TRY(read_added(t, json_array_get(list, i), i, root->path, err));
    tap_added_sort(&t->raw);
    tap_added_sort(&t->normal);
    return TAP_OK;
}

/* ids around a text */
typedef struct frame {
    int32_t front[TAP_SPECIAL_LIMIT], back[TAP_SPECIAL_LIMIT];
    size_t n_front, n_back;
} frame;

static tap_status put_special(int32_t *ids, size_t *n, const json_t *id,
                              const tap_tokenizer *t, const char *path, tap_error *err)
{
    const json_int_t value = json_integer_value(id);
    if (!json_is_integer(id) || value < 0 || value >= t->vocab.n_ids)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': 'post_processor' adds a token that is not in "
            "the vocabulary",
            path);
    if (*n == TAP_SPECIAL_LIMIT)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': 'post_processor' adds more than %d tokens",
                        path, TAP_SPECIAL_LIMIT);
    ids[(*n)++] = (int32_t)value;
    return TAP_OK;
}

/* TemplateProcessing: what stands before and after the sequence in "single". */
static tap_status read_template(frame *out, const tap_json_at *at,
                                const tap_tokenizer *t, tap_error *err)
{
    const json_t *single = tap_json_find(at, "single");
    const json_t *specials = tap_json_find(at, "special_tokens");
    bool after = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        if (json_object_get(item, "Sequence")) {
            if (after)
                return TAP_FAIL(err, TAP_EUNSUPPORTED,
                                "cannot read '%s': 'post_processor.single' repeats the "
                                "text",
                                at->path);
            after = true;
            continue;
        }
        const char *name = json_string_value(json_object_get(special, "id"));
        const json_t *ids =
            json_object_get(name ? json_object_get(specials, name) : NULL, "ids");
        if (!json_is_array(ids))
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': entry %zu of 'post_processor.single' "
                            "names no special token",
                            at->path, i);
        for (size_t k = 0; k < json_array_size(ids); k++)
            TAP_TRY(put_special(after ? out->back : out->front,
                                after ? &out->n_back : &out->n_front,
                                json_array_get(ids, k), t, at->path, err));
    }
    if (!after)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': 'post_processor.single' does not hold the "
                        "text",
                        at->path);
    return TAP_OK;
}

/* RobertaProcessing and BertProcessing: ["<s>", 0] in front, ["</s>", 2] behind. */
static tap_status read_ends(frame *out, const tap_json_at *at, const tap_tokenizer *t,
                            tap_error *err)
{
    const json_t *front = json_array_get(tap_json_find(at, "cls"), 1);
    const json_t *back = json_array_get(tap_json_find(at, "sep"), 1);
    TAP_TRY(put_special(out->front, &out->n_front, front, t, at->path, err));
    return put_special(out->back, &out->n_back, back, t, at->path, err);
}

static tap_status read_processor(tap_tokenizer *t, const json_t *object,
                                 const char *path, int depth, tap_error *err)
{
    static const char *const names[] = {"TemplateProcessing", "RobertaProcessing",
                                        "BertProcessing", "ByteLevel", "Sequence"};
    const tap_json_at at = {.object = object, .path = path, .place = "post_processor."};
    const char *type = NULL;
    frame added = {0};
    if (!object || json_is_null(object))
        return TAP_OK;
    TAP_TRY(tap_json_text(&type, &at, "type", NULL, err));
    if (strcmp(type, "ByteLevel") == 0) /* moves offsets only */
        return TAP_OK;
    if (strcmp(type, "Sequence") == 0 && depth < 8) {
        const json_t *list = tap_json_find(&at, "processors");
        for (size_t i = 0; i < json_array_size(list); i++)
            TAP_TRY(read_processor(t, json_array_get(list, i), path, depth + 1, err));
        return TAP_OK;
    }
    if (strcmp(type, "TemplateProcessing") == 0) {
        TAP_TRY(read_template(&added, &at, t, err));
    } else if (strcmp(type, "RobertaProcessing") == 0 ||
               strcmp(type, "BertProcessing") == 0) {
        TAP_TRY(read_ends(&added, &at, t, err));
    } else {
        const char *near = tap_suggest(type, names, sizeof names / sizeof names[0]);
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot read '%s': 'post_processor.type' is \"%.100s\", which is "
            "not supported%s%s%s",
            path, type, near ? "; did you mean \"" : "", near ? near : "",
            near ? "\"?" : "");
    }
    /* a later processor stands further out */
    if (t->n_front + added.n_front > TAP_SPECIAL_LIMIT ||
        t->n_back + added.n_back > TAP_SPECIAL_LIMIT)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': 'post_processor' adds more than %d tokens",
                        path, TAP_SPECIAL_LIMIT);
    memmove(t->front + added.n_front, t->front, t->n_front * sizeof *t->front);
    memcpy(t->front, added.front, added.n_front * sizeof *t->front);
    memcpy(t->back + t->n_back, added.back, added.n_back * sizeof *t->back);
    t->n_front += added.n_front;
    t->n_back += added.n_back;
    return TAP_OK;
}

tap_status tap_tokenizer_parse_json(tap_tokenizer *t, const char *text, size_t n_bytes,
                                    const char *path, tap_error *err)
{
    json_t *root = NULL;
    TAP_TRY(tap_json_parse(&root, text, n_bytes, path, err));
    const tap_json_at at = {.object = root, .path = path, .place = ""};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(read_model(t, &at, err));
    TAP_TRY_OUT(tap_rules_normalizer(&t->normalizers,
                                     json_object_get(root, "normalizer"), path, err));
    TAP_TRY_OUT(tap_rules_pre_tokenizer(
        &t->pre_tokenizers, json_object_get(root, "pre_tokenizer"), path, err));
    TAP_TRY_OUT(
        tap_rules_decoder(&t->decoders, json_object_get(root, "decoder"), path, err));
    TAP_TRY_OUT(read_added_list(t, &at, err));
    TAP_TRY_OUT(
        read_processor(t, json_object_get(root, "post_processor"), path, 0, err));
out:
    json_decref(root);
    return status;
}

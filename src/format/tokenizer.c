/* Text to ids: the walk of a text through the parts of a tokenizer.
 *
 * Added tokens that are searched for as written cut the text; what is between is normalised,
 * cut at added tokens of the normalised kind, split into words, and each word merged. */
#include "format/tokenizer.h"

#include "base/file.h"
#include "format/tokenizer_own.h"

#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT_BYTES = 1 << 28 };

static void clear(tap_tokenizer *t)
{
    tap_vocab_clear(&t->vocab);
    tap_merges_clear(&t->merges);
    tap_free(t->ranks);
    tap_added_clear(&t->raw);
    tap_added_clear(&t->normal);
    tap_added_clear(&t->user);
    tap_steps_clear(&t->normalizers);
    tap_steps_clear(&t->pre_tokenizers);
    tap_steps_clear(&t->decoders);
}

static tap_status read_file(tap_tokenizer *t, const char *path, tap_error *err)
{
    const size_t n = strlen(path);
    tap_mapping file;
    TAP_TRY(tap_file_map(&file, path, err));
    tap_status status = TAP_OK;
    if (file.n_bytes > FILE_LIMIT_BYTES)
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "cannot read '%s': it has %zu bytes, expected at most %d",
                          path, file.n_bytes, FILE_LIMIT_BYTES);
    else if (n > 6 && strcmp(path + n - 6, ".model") == 0)
        status = tap_tokenizer_parse_model(t, file.bytes, file.n_bytes, path, err);
    else
        status = tap_tokenizer_parse_json(t, file.bytes ? (const char *)file.bytes : "",
                                          file.n_bytes, path, err);
    tap_file_unmap(&file);
    return status;
}

tap_status tap_tokenizer_open(tap_tokenizer **out, const char *path, tap_error *err)
{
    tap_tokenizer *t = NULL;
    char *json = NULL, *model = NULL;
    tap_status status = tap_alloc(&t, 1, sizeof *t, "a tokenizer", err);
    if (status != TAP_OK)
        return status;
    t->unk_id = -1;
    if (!tap_file_is_directory(path)) {
        status = read_file(t, path, err);
        goto out;
    }
    TAP_TRY_OUT(tap_path_join(&json, path, "tokenizer.json", err));
    TAP_TRY_OUT(tap_path_join(&model, path, "tokenizer.model", err));
    if (tap_file_exists(json)) {
        status = read_file(t, json, err);
    } else if (tap_file_exists(model)) {
        TAP_TRY_OUT(read_file(t, model, err));
        status = tap_tokenizer_read_beside(t, path, err);
    } else {
        status = TAP_FAIL(err, TAP_EIO,
                          "'%s' holds no tokenizer: neither tokenizer.json nor "
                          "tokenizer.model is there",
                          path);
    }
out:
    tap_free(json);
    tap_free(model);
    if (status == TAP_OK)
        *out = t;
    else
        tap_tokenizer_close(t);
    return status;
}

void tap_tokenizer_close(tap_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    clear(tokenizer);
    tap_free(tokenizer);
}

void tap_tokenizer_find_bytes(tap_tokenizer *t)
{
    for (int b = 0; b < 256; b++) {
        char piece[7];
        (void)snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)b);
        t->byte_ids[b] = tap_vocab_find(&t->vocab, piece, 6);
    }
}

/* ---- encoding ---- */

/* What a text goes through, kept between its segments. */
typedef struct walk {
    const tap_tokenizer *t;
    tap_ids ids;
    tap_bpe bpe;
    tap_spans segments, parts, words;
    tap_buffer text, part;
} walk;

/* Appends text of a segment that holds no added token. */
static tap_status put_part(walk *w, const char *text, size_t n, bool at_origin,
                           tap_error *err)
{
    w->part.n_bytes = 0;
    TAP_TRY(tap_buffer_put(&w->part, text, n, err));
    TAP_TRY(
        tap_steps_split(&w->words, &w->part, at_origin, &w->t->pre_tokenizers, err));
    for (size_t i = 0; i < w->words.n; i++) {
        const tap_span *word = &w->words.items[i];
        TAP_TRY(tap_bpe_run(&w->ids, &w->bpe, w->t, w->part.text + word->start,
                            word->end - word->start, err));
    }
    return TAP_OK;
}

/* A segment between tokens that are searched for as written, `origin` bytes into the text. */
static tap_status put_segment(walk *w, const char *text, size_t n, size_t origin,
                              tap_error *err)
{
    w->text.n_bytes = 0;
    w->parts.n = 0;
    TAP_TRY(tap_buffer_put(&w->text, text, n, err));
    TAP_TRY(tap_steps_normalize(&w->text, &origin, &w->t->normalizers, err));
    TAP_TRY(
        tap_added_split(&w->parts, &w->t->normal, w->text.text, w->text.n_bytes, err));
    for (size_t i = 0; i < w->parts.n; i++) {
        const tap_span *part = &w->parts.items[i];
        if (part->id >= 0)
            TAP_TRY(tap_ids_put(&w->ids, part->id, err));
        else
            TAP_TRY(put_part(w, w->text.text + part->start, part->end - part->start,
                             origin == 0 && part->start == 0, err));
    }
    return TAP_OK;
}

tap_status tap_tokenizer_encode(int32_t **ids, size_t *n_ids,
                                const tap_tokenizer *tokenizer, const char *text,
                                size_t n_bytes, bool add_special, tap_error *err)
{
    const tap_tokenizer *t = tokenizer;
    walk w = {.t = t};
    tap_status status = TAP_OK;
    const size_t n_valid = tap_utf8_check(text, n_bytes);
    if (n_valid != n_bytes || n_bytes > TAP_TEXT_LIMIT_BYTES)
        return n_valid != n_bytes
                   ? TAP_FAIL(err, TAP_EINVAL,
                              "cannot tokenize the text: byte %zu is not valid UTF-8",
                              n_valid)
                   : TAP_FAIL(err, TAP_EINVAL,
                              "cannot tokenize the text: it has %zu bytes, at most %d "
                              "are read",
                              n_bytes, TAP_TEXT_LIMIT_BYTES);
    for (size_t i = 0; add_special && i < t->n_front; i++)
        TAP_TRY_OUT(tap_ids_put(&w.ids, t->front[i], err));
    TAP_TRY_OUT(tap_added_split(&w.segments, &t->raw, text, n_bytes, err));
    for (size_t i = 0; i < w.segments.n; i++) {
        const tap_span *s = &w.segments.items[i];
        if (s->id >= 0)
            TAP_TRY_OUT(tap_ids_put(&w.ids, s->id, err));
        else
            TAP_TRY_OUT(
                put_segment(&w, text + s->start, s->end - s->start, s->start, err));
    }
    for (size_t i = 0; add_special && i < t->n_back; i++)
        TAP_TRY_OUT(tap_ids_put(&w.ids, t->back[i], err));
    TAP_TRY_OUT(tap_grow(&w.ids.ids, &w.ids.capacity, 1, sizeof *w.ids.ids, "token ids",
                         err)); /* never NULL, also for no ids */
    *ids = w.ids.ids;
    *n_ids = w.ids.n;
    w.ids.ids = NULL;
out:
    tap_free(w.ids.ids);
    tap_bpe_clear(&w.bpe);
    tap_spans_clear(&w.segments);
    tap_spans_clear(&w.parts);
    tap_spans_clear(&w.words);
    tap_buffer_clear(&w.text);
    tap_buffer_clear(&w.part);
    return status;
}

/* ---- looking up ---- */

int32_t tap_tokenizer_size(const tap_tokenizer *tokenizer)
{
    return tokenizer->vocab.n_ids;
}

static const tap_piece *piece_of(const tap_tokenizer *t, int32_t id)
{
    const bool known = id >= 0 && id < t->vocab.n_ids && t->vocab.pieces[id].flags;
    return known ? &t->vocab.pieces[id] : NULL;
}

const char *tap_tokenizer_piece(const tap_tokenizer *tokenizer, int32_t id,
                                size_t *n_bytes)
{
    const tap_piece *piece = piece_of(tokenizer, id);
    if (!piece)
        return NULL;
    *n_bytes = piece->n_bytes;
    return tokenizer->vocab.text.text + piece->at;
}

int32_t tap_tokenizer_find(const tap_tokenizer *tokenizer, const char *piece,
                           size_t n_bytes)
{
    return tap_vocab_find(&tokenizer->vocab, piece, n_bytes);
}

bool tap_tokenizer_is_special(const tap_tokenizer *tokenizer, int32_t id)
{
    const tap_piece *piece = piece_of(tokenizer, id);
    return piece && (piece->flags & TAP_PIECE_SPECIAL);
}

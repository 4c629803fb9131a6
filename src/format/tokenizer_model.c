/* What vocabulary does a SentencePiece tokenizer.model of the BPE kind hold? Read with a
 * protobuf reader of four wire types and no more, into the steps that the conversion to
 * tokenizer.json would write: spaces become marks, with one more in front, and control
 * pieces are found in the text.
 *
 * ModelProto: 1 pieces {1 text, 2 score, 3 type}, 2 trainer {3 model_type}, 3 normalizer
 * {2 charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces}.
 * Source: sentencepiece_model.proto; transformers, convert_slow_tokenizer.py. */
#include "format/tokenizer_own.h"

#include <string.h>

enum { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

enum {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN,
    PIECE_CONTROL,
    PIECE_USER,
    PIECE_UNUSED,
    PIECE_BYTE
};

/* A stretch of a message and the field in hand. */
typedef struct message {
    const unsigned char *bytes;
    size_t n_bytes, at;
    uint64_t field, value; /* number; varint or fixed32 */
    const unsigned char *text;
    size_t n_text; /* of a WIRE_BYTES field */
    int wire;
} message;

static bool read_varint(uint64_t *out, message *m)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && m->at < m->n_bytes; shift += 7) {
        const unsigned char byte = m->bytes[m->at++];
        value |= (uint64_t)(byte & 0x7fU) << shift;
        if (!(byte & 0x80U)) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* The next field; false at the end or, with *broken, when the bytes are no message. */
static bool next_field(message *m, bool *broken)
{
    uint64_t key = 0, n = 0;
    if (m->at == m->n_bytes)
        return false;
    *broken = true;
    if (!read_varint(&key, m))
        return false;
    m->field = key >> 3;
    m->wire = (int)(key & 7U);
    const size_t fixed = m->wire == WIRE_FIXED64 ? 8 : m->wire == WIRE_FIXED32 ? 4 : 0;
    if (m->wire == WIRE_VARINT) {
        if (!read_varint(&m->value, m))
            return false;
    } else if (m->wire == WIRE_BYTES) {
        if (!read_varint(&n, m) || n > m->n_bytes - m->at)
            return false;
        m->text = m->bytes + m->at;
        m->n_text = (size_t)n;
        m->at += (size_t)n;
    } else if (fixed > 0 && fixed <= m->n_bytes - m->at) {
        m->value = 0;
        memcpy(&m->value, m->bytes + m->at, fixed); /* little-endian hosts */
        m->at += fixed;
    } else {
        return false;
    }
    *broken = false;
    return true;
}

static tap_status broken_file(const char *path, tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot read '%s': it is not a SentencePiece model", path);
}

/* Scores in reversed order as whole numbers: a higher score goes first. */
static uint32_t rank_of(uint32_t score_bits)
{
    const uint32_t sign = UINT32_C(1) << 31;
    score_bits = score_bits == sign ? 0 : score_bits; /* -0 is 0 */
    return score_bits & sign ? score_bits : ~score_bits & ~sign;
}

static tap_status put_piece(tap_tokenizer *t, size_t *capacity, const char *text,
                            size_t n_text, uint64_t type, uint32_t score_bits,
                            const char *path, tap_error *err)
{
    const int32_t id = t->vocab.n_ids;
    const bool model = type == PIECE_NORMAL || type == PIECE_USER;
    const bool found = type == PIECE_CONTROL || type == PIECE_UNKNOWN;
    tap_added_token token = {.n_bytes = n_text, .id = id};
    TAP_TRY(tap_vocab_put(&t->vocab, id, text, n_text,
                          model                ? TAP_PIECE_MODEL
                          : type == PIECE_BYTE ? TAP_PIECE_ADDED
                                               : TAP_PIECE_ADDED | TAP_PIECE_SPECIAL,
                          path, err));
    TAP_TRY(tap_grow(&t->ranks, capacity, (size_t)id + 1, sizeof *t->ranks,
                     "a vocabulary", err));
    t->ranks[id] = rank_of(score_bits);
    if (type == PIECE_UNKNOWN)
        t->unk_id = id;
    if (type == PIECE_BYTE)
        t->byte_fallback = true;
    if (!found && type != PIECE_USER)
        return TAP_OK;
    TAP_TRY(tap_text_copy(&token.text, text, n_text, err));
    const tap_status status = tap_added_put(found ? &t->raw : &t->user, &token, err);
    tap_free(token.text);
    return status;
}

static tap_status read_piece(tap_tokenizer *t, size_t *capacity, const message *field,
                             const char *path, tap_error *err)
{
    message m = {.bytes = field->text, .n_bytes = field->n_text};
    const char *text = "";
    size_t n_text = 0;
    uint64_t type = PIECE_NORMAL;
    uint32_t score_bits = 0;
    bool broken = false;
    while (next_field(&m, &broken)) {
        if (m.field == 1 && m.wire == WIRE_BYTES) {
            text = (const char *)m.text;
            n_text = m.n_text;
        } else if (m.field == 2 && m.wire == WIRE_FIXED32) {
            score_bits = (uint32_t)m.value;
        } else if (m.field == 3 && m.wire == WIRE_VARINT) {
            type = m.value;
        }
    }
    if (broken || n_text == 0 || tap_utf8_check(text, n_text) != n_text)
        return broken_file(path, err);
    if (type < PIECE_NORMAL || type > PIECE_BYTE || type == PIECE_UNUSED)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': piece %d is of type %llu, which is not "
                        "supported; use the model's tokenizer.json",
                        path, t->vocab.n_ids, (unsigned long long)type);
    char *copy = NULL; /* ends in NUL, for messages */
    TAP_TRY(tap_text_copy(&copy, text, n_text, err));
    const tap_status status =
        put_piece(t, capacity, copy, n_text, type, score_bits, path, err);
    tap_free(copy);
    return status;
}

static tap_status read_trainer(const message *field, const char *path, tap_error *err)
{
    message m = {.bytes = field->text, .n_bytes = field->n_text};
    bool broken = false;
    uint64_t model_type = 1;
    while (next_field(&m, &broken))
        if (m.field == 3 && m.wire == WIRE_VARINT)
            model_type = m.value;
    if (broken)
        return broken_file(path, err);
    if (model_type != 2)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': its model type is %llu, only BPE (2) is "
                        "supported",
                        path, (unsigned long long)model_type);
    return TAP_OK;
}

static tap_status put_step(tap_steps *steps, tap_step_kind kind, const char *literal,
                           const char *content, tap_error *err)
{
    tap_step step = {.kind = kind,
                     .n_literal = strlen(literal),
                     .n_content = strlen(content),
                     .n_start = 1};
    tap_status status = tap_text_copy(&step.literal, literal, step.n_literal, err);
    if (status == TAP_OK)
        status = tap_text_copy(&step.content, content, step.n_content, err);
    if (status == TAP_OK)
        return tap_steps_take(steps, &step, err);
    tap_step_clear(&step);
    return status;
}

static const char mark[] = "\xe2\x96\x81"; /* U+2581 */

static tap_status read_normalizer(tap_tokenizer *t, const message *field,
                                  const char *path, tap_error *err)
{
    message m = {.bytes = field->text, .n_bytes = field->n_text};
    bool broken = false, dummy = true, extra = true, escape = true;
    size_t n_map = 0;
    while (next_field(&m, &broken)) {
        if (m.field == 2 && m.wire == WIRE_BYTES)
            n_map = m.n_text;
        if (m.wire == WIRE_VARINT) {
            dummy = m.field == 3 ? m.value != 0 : dummy;
            extra = m.field == 4 ? m.value != 0 : extra;
            escape = m.field == 5 ? m.value != 0 : escape;
        }
    }
    if (broken)
        return broken_file(path, err);
    if (n_map > 0 || !escape)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot read '%s': its normalizer rewrites characters or keeps "
                        "spaces; use the model's tokenizer.json",
                        path);
    if (extra)
        TAP_TRY(put_step(&t->normalizers, TAP_STEP_SQUEEZE, "", "", err));
    if (dummy)
        TAP_TRY(put_step(&t->normalizers, TAP_STEP_PREPEND, "", mark, err));
    TAP_TRY(put_step(&t->normalizers, TAP_STEP_REPLACE, " ", mark, err));
    TAP_TRY(put_step(&t->decoders, TAP_STEP_REPLACE, mark, " ", err));
    TAP_TRY(put_step(&t->decoders, TAP_STEP_BYTE_FALLBACK, "", "", err));
    TAP_TRY(put_step(&t->decoders, TAP_STEP_FUSE, "", "", err));
    return dummy ? put_step(&t->decoders, TAP_STEP_STRIP_CHAR, "", " ", err) : TAP_OK;
}

tap_status tap_tokenizer_parse_model(tap_tokenizer *t, const unsigned char *bytes,
                                     size_t n_bytes, const char *path, tap_error *err)
{
    message m = {.bytes = bytes, .n_bytes = n_bytes};
    /* an absent message means its defaults, so both are read once, empty or not */
    message trainer = {0}, normalizer = {0};
    size_t capacity = 0;
    bool broken = false;
    while (next_field(&m, &broken)) {
        if (m.wire != WIRE_BYTES)
            continue;
        if (m.field == 1)
            TAP_TRY(read_piece(t, &capacity, &m, path, err));
        else if (m.field == 2)
            trainer = m;
        else if (m.field == 3)
            normalizer = m;
    }
    if (broken || t->vocab.n_ids == 0)
        return broken_file(path, err);
    TAP_TRY(read_trainer(&trainer, path, err));
    TAP_TRY(read_normalizer(t, &normalizer, path, err));
    t->fuse_unk = true;
    tap_tokenizer_find_bytes(t);
    tap_added_sort(&t->raw);
    tap_added_sort(&t->user);
    /* as the tokenizers of Llama models do, which alone use this file */
    const int32_t bos = tap_vocab_find(&t->vocab, "<s>", 3);
    if (bos >= 0)
        t->front[t->n_front++] = bos;
    return TAP_OK;
}

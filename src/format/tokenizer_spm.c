/* SentencePiece tokenizer.model of the BPE kind, read with a protobuf reader of four wire
 * types and no more.
 *
 * ModelProto: 1 pieces {1 text, 2 score, 3 type}, 2 trainer {3 model_type, 40 unk_id,
 * 41 bos_id}, 3 normalizer {2 charsmap, 3 add_dummy_prefix, 5 escape_whitespaces,
 * 4 remove_extra_whitespaces}. Source: sentencepiece_model.proto. */
#include "format/tokenizer_tables.h"

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
                    "cannot read tokenizer '%s': it is not a SentencePiece model",
                    path);
}

static tap_status read_piece(tap_tokenizer *t, const message *field, const char *path,
                             tap_error *err)
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
    if (broken || t->n_pieces >= TAP_TOKENIZER_MAX_IDS || n_text == 0)
        return broken_file(path, err);
    const int32_t id = (int32_t)t->n_pieces;
    TAP_TRY(tap_tokenizer_put_piece(t, id, text, n_text, path, err));
    memcpy(&t->pieces[id].score, &score_bits, sizeof score_bits);
    t->pieces[id].mergeable = type == PIECE_NORMAL || type == PIECE_USER;
    if (type == PIECE_UNKNOWN)
        t->unknown = id;
    if (type == PIECE_BYTE)
        t->byte_fallback = true;
    if (type == PIECE_NORMAL || type == PIECE_BYTE || type == PIECE_UNUSED)
        return TAP_OK;
    char *content =
        NULL; /* control and unknown pieces are found in text, as elsewhere */
    TAP_TRY(tap_text_copy(&content, text, n_text, err));
    const tap_added_token token = {
        .content = content, .n_bytes = n_text, .id = id, .special = type != PIECE_USER};
    const tap_status status = tap_tokenizer_put_added(t, &token, path, err);
    tap_free(content);
    return status;
}

static tap_status read_trainer(int32_t *bos, const message *field, const char *path,
                               tap_error *err)
{
    message m = {.bytes = field->text, .n_bytes = field->n_text};
    bool broken = false;
    uint64_t model_type = 1;
    while (next_field(&m, &broken)) {
        if (m.field == 3 && m.wire == WIRE_VARINT)
            model_type = m.value;
        if (m.field == 41 && m.wire == WIRE_VARINT)
            *bos = m.value < TAP_TOKENIZER_MAX_IDS ? (int32_t)m.value : -1;
    }
    if (broken)
        return broken_file(path, err);
    if (model_type != 2)
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot read tokenizer '%s': its model type is %llu, only BPE (2) "
            "is read",
            path, (unsigned long long)model_type);
    return TAP_OK;
}

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
    if (n_map > 0 || extra || !escape)
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot read tokenizer '%s': its normalizer rewrites characters "
            "or spaces; use the model's tokenizer.json",
            path);
    t->mark_rule = dummy ? TAP_MARK_EVERY : TAP_MARK_NEVER;
    t->marks_spaces = true;
    return TAP_OK;
}

tap_status tap_tokenizer_read_model(tap_tokenizer *out, const void *bytes,
                                    size_t n_bytes, const char *path, tap_error *err)
{
    message m = {.bytes = bytes, .n_bytes = n_bytes};
    bool broken = false;
    int32_t bos = 1;
    while (next_field(&m, &broken)) {
        if (m.wire != WIRE_BYTES)
            continue;
        if (m.field == 1)
            TAP_TRY(read_piece(out, &m, path, err));
        else if (m.field == 2)
            TAP_TRY(read_trainer(&bos, &m, path, err));
        else if (m.field == 3)
            TAP_TRY(read_normalizer(out, &m, path, err));
    }
    if (broken || out->n_pieces == 0)
        return broken_file(path, err);
    out->fuse_unknown = true;
    out->strip_first_space = true;
    if (bos >= 0 && (size_t)bos < out->n_pieces)
        out->before[out->n_before++] = bos;
    return tap_tokenizer_index(out, path, err);
}

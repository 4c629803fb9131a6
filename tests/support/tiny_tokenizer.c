#include "base/file.h"
#include "base/memory.h"
#include "format/json.h"
#include "tiny_model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Each becomes one token with U+2581 in front, one without, and one capitalised with it.
 * "saddle" is left out on purpose: a word of several tokens. */
static const char *const words[] = {
    "tail",   "head",   "ear",   "leg",     "wing",     "wheel",  "eye",    "nose",
    "body",   "person", "cat",   "dog",     "horse",    "bird",   "car",    "bus",
    "train",  "bottle", "plant", "sheep",   "cow",      "neck",   "torso",  "foot",
    "hand",   "arm",    "mouth", "beak",    "door",     "window", "mirror", "plate",
    "light",  "hair",   "paw",   "horn",    "muzzle",   "hoof",   "cap",    "pot",
    "screen", "engine", "what",  "is",      "shown",    "in",     "this",   "image",
    "the",    "of",     "a",     "content", "describe", "answer",
};

/* With U+2581 in front only. */
static const char *const plurals[] = {"tails",  "heads", "ears",  "legs", "wings",
                                      "wheels", "eyes",  "hands", "arms", "wings"};

/* As they stand, in both forms. */
static const char *const template_words[] = {"USER", "ASSISTANT", "A", "What"};

enum { MAX_PIECES = 4096, MAX_MERGES = 4096, PIECE_BYTES = 24, WORD_PIECES = 24 };

#define SPACE_MARK "\xe2\x96\x81"

typedef struct merge {
    int left, right, result, next; /* next merge with the same left piece, -1 ends */
} merge;

typedef struct vocabulary {
    char pieces[MAX_PIECES][PIECE_BYTES];
    int n_pieces;
    merge merges[MAX_MERGES]; /* rank = place */
    int n_merges;
    int first_merge[MAX_PIECES];
} vocabulary;

static int find_piece(const vocabulary *v, const char *piece)
{
    for (int i = 0; i < v->n_pieces; i++)
        if (strcmp(v->pieces[i], piece) == 0)
            return i;
    return -1;
}

static int add_piece(vocabulary *v, const char *piece)
{
    const int known = find_piece(v, piece);
    if (known >= 0)
        return known;
    assert(v->n_pieces < MAX_PIECES && strlen(piece) < PIECE_BYTES);
    memcpy(v->pieces[v->n_pieces], piece, strlen(piece) + 1);
    v->first_merge[v->n_pieces] = -1;
    return v->n_pieces++;
}

static int find_merge(const vocabulary *v, int left, int right)
{
    for (int m = v->first_merge[left]; m >= 0; m = v->merges[m].next)
        if (v->merges[m].right == right)
            return m;
    return -1;
}

/* Byte pair encoding with the merges so far. */
static int encode(int *pieces, const vocabulary *v, const char *word)
{
    int n = 0;
    for (const char *c = word; *c;) {
        char one[8] = {c[0]};
        const size_t bytes = strncmp(c, SPACE_MARK, 3) == 0 ? 3 : 1;
        memcpy(one, c, bytes);
        assert(n < WORD_PIECES);
        pieces[n] = find_piece(v, one);
        assert(pieces[n] >= 0);
        n++;
        c += bytes;
    }
    for (;;) {
        int best = -1, place = 0;
        for (int i = 0; i + 1 < n; i++) {
            const int m = find_merge(v, pieces[i], pieces[i + 1]);
            if (m >= 0 && (best < 0 || m < best)) {
                best = m;
                place = i;
            }
        }
        if (best < 0)
            return n;
        pieces[place] = v->merges[best].result;
        for (int i = place + 1; i + 1 < n; i++)
            pieces[i] = pieces[i + 1];
        n--;
    }
}

/* New merges go last, so words that are whole already stay whole. */
static void add_word(vocabulary *v, const char *front, const char *word)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s%s", front, word);
    int pieces[WORD_PIECES];
    while (encode(pieces, v, text) > 1) {
        char joined[2 * PIECE_BYTES];
        (void)snprintf(joined, sizeof joined, "%s%s", v->pieces[pieces[0]],
                       v->pieces[pieces[1]]);
        assert(v->n_merges < MAX_MERGES);
        const int m = v->n_merges++;
        v->merges[m] = (merge){.left = pieces[0],
                               .right = pieces[1],
                               .result = add_piece(v, joined),
                               .next = v->first_merge[pieces[0]]};
        v->first_merge[pieces[0]] = m;
    }
}

static void add_words(vocabulary *v)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *word = words[i];
        char capital[32];
        (void)snprintf(capital, sizeof capital, "%c%s", word[0] - 'a' + 'A', word + 1);
        add_word(v, SPACE_MARK, word);
        add_word(v, "", word);
        add_word(v, SPACE_MARK, capital);
    }
    for (size_t i = 0; i < sizeof plurals / sizeof plurals[0]; i++)
        add_word(v, SPACE_MARK, plurals[i]);
    for (size_t i = 0; i < sizeof template_words / sizeof template_words[0]; i++) {
        add_word(v, SPACE_MARK, template_words[i]);
        add_word(v, "", template_words[i]);
    }
}

static void build(vocabulary *v)
{
    (void)add_piece(v, "<unk>");
    (void)add_piece(v, "<s>");
    (void)add_piece(v, "</s>");
    for (unsigned byte = 0; byte < 256; byte++) {
        char piece[8];
        (void)snprintf(piece, sizeof piece, "<0x%02X>", byte);
        (void)add_piece(v, piece);
    }
    (void)add_piece(v, SPACE_MARK);
    for (int c = '!'; c <= '~'; c++)
        (void)add_piece(v, (char[2]){(char)c, '\0'});
    add_words(v);
}

static json_t *added_token(int id, const char *content)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content",
                     content, "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized",
                     0, "special", 1);
}

static json_t *model_json(const vocabulary *v)
{
    json_t *ids = json_object(), *merges = json_array();
    for (int i = 0; i < v->n_pieces; i++)
        (void)json_object_set_new(ids, v->pieces[i], json_integer(i));
    for (int m = 0; m < v->n_merges; m++)
        (void)json_array_append_new(merges,
                                    json_sprintf("%s %s", v->pieces[v->merges[m].left],
                                                 v->pieces[v->merges[m].right]));
    return json_pack("{s:s, s:n, s:s, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type",
                     "BPE", "dropout", "unk_token", "<unk>",
                     "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 1,
                     "byte_fallback", 1, "ignore_merges", 0, "vocab", ids, "merges",
                     merges);
}

static json_t *tokenizer_json(const vocabulary *v)
{
    json_t *normalizer =
        json_pack("{s:s, s:[{s:s, s:s}, {s:s, s:{s:s}, s:s}]}", "type", "Sequence",
                  "normalizers", "type", "Prepend", "prepend", SPACE_MARK, "type",
                  "Replace", "pattern", "String", " ", "content", SPACE_MARK);
    json_t *sequence = json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0);
    json_t *bos =
        json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", "<s>", "type_id", 0);
    json_t *post = json_pack(
        "{s:s, s:[o, o], s:[O, O, {s:{s:s, s:i}}, {s:{s:s, s:i}}],"
        " s:{s:{s:s, s:[i], s:[s]}}}",
        "type", "TemplateProcessing", "single", bos, sequence, "pair", bos, sequence,
        "SpecialToken", "id", "<s>", "type_id", 1, "Sequence", "id", "B", "type_id", 1,
        "special_tokens", "<s>", "id", "<s>", "ids", 1, "tokens", "<s>");
    json_t *decoder =
        json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}, {s:s, s:s, s:i, s:i}]}",
                  "type", "Sequence", "decoders", "type", "Replace", "pattern",
                  "String", SPACE_MARK, "content", " ", "type", "ByteFallback", "type",
                  "Fuse", "type", "Strip", "content", " ", "start", 1, "stop", 0);
    return json_pack("{s:s, s:n, s:n, s:[o, o, o, o], s:o, s:n, s:o, s:o, s:o}",
                     "version", "1.0", "truncation", "padding", "added_tokens",
                     added_token(0, "<unk>"), added_token(1, "<s>"),
                     added_token(2, "</s>"), added_token(v->n_pieces, "<image>"),
                     "normalizer", normalizer, "pre_tokenizer", "post_processor", post,
                     "decoder", decoder, "model", model_json(v));
}

tap_status tiny_tokenizer_write(int *n_ids, const char *path, tap_error *err)
{
    vocabulary *v = NULL;
    TAP_TRY(tap_alloc(&v, 1, sizeof *v, "a tiny vocabulary", err));
    build(v);
    json_t *root = tokenizer_json(v);
    assert(root);
    tap_buffer text = {0};
    tap_file_out *file = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_json_print(&text, root, err));
    TAP_TRY_OUT(tap_file_create(&file, path, err));
    TAP_TRY_OUT(tap_file_put(file, text.text, text.n_bytes, err));
    TAP_TRY_OUT(tap_file_commit(file, err));
    *n_ids = v->n_pieces + 1;
out:
    tap_file_close(file);
    tap_buffer_clear(&text);
    json_decref(root);
    tap_free(v);
    return status;
}

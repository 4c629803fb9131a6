/* Real trained weights: a 260 K parameter story model gives its documented logits and its
 * greedy text through our decoder. Reads ../shared/data/models/stories260K; skips without.
 *
 * The file holds sizes (7 int32), then f32 tensors, layer by layer within each kind. Its
 * rotation pairs neighbours (2i, 2i + 1); ours pairs halves, so rows of q and k are
 * reordered: row h d + 2i + r of the file is row h d + r d/2 + i here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/decode.h"
#include "model/run.h"

#define FOLDER "../shared/data/models/stories260K/"

enum { MAX_BLOCKS = 8, MAX_TOKENS = 256 };

typedef struct stories {
    tap_mapping file;
    const float *next;
    tap_model model;
    tap_block_weights blocks[MAX_BLOCKS];
    float *turned; /* q and k in our order */
    size_t n_turned;
} stories;

static tap_tensor take(stories *s, int64_t a, int64_t b)
{
    const int64_t n = a * (b ? b : 1);
    const tap_tensor t = {
        .bytes = s->next, .dtype = TAP_F32, .n_dims = b ? 2 : 1, .shape = {a, b}};
    s->next += n;
    assert_true((const unsigned char *)s->next <= s->file.bytes + s->file.n_bytes);
    return t;
}

/* The same weight with rows in half-rotation order. */
static tap_tensor turn(stories *s, tap_tensor t, int n_heads, int d_head)
{
    const int64_t d = t.shape[1];
    float *out = s->turned + s->n_turned;
    const float *in = t.bytes;
    for (int h = 0; h < n_heads; h++)
        for (int i = 0; i < d_head / 2; i++)
            for (int r = 0; r < 2; r++)
                memcpy(out + (h * d_head + r * d_head / 2 + i) * d,
                       in + (h * d_head + 2 * i + r) * d, (size_t)d * sizeof *out);
    s->n_turned += (size_t)(t.shape[0] * d);
    t.bytes = out;
    return t;
}

static void open_stories(stories *s)
{
    tap_error err;
    memset(s, 0, sizeof *s);
    assert_int_equal(tap_file_map(&s->file, FOLDER "stories260K.bin", &err), TAP_OK);
    int32_t size[7]; /* dim, hidden, layers, heads, kv heads, vocabulary, context */
    memcpy(size, s->file.bytes, sizeof size);
    s->next = (const float *)(const void *)(s->file.bytes + sizeof size);
    const int64_t d = size[0], d_mlp = size[1], n = size[2], d_head = d / size[3];
    const int64_t d_kv = d_head * size[4];
    assert_true(n <= MAX_BLOCKS);
    assert_int_equal(
        tap_alloc(&s->turned, (size_t)(n * (d + d_kv)), (size_t)d * 4, "a test", &err),
        TAP_OK);
    tap_model *m = &s->model;
    m->spec.lm = (tap_lm_spec){.stack = {.n_blocks = (int)n,
                                         .d_model = (int)d,
                                         .n_heads = size[3],
                                         .n_kv_heads = size[4],
                                         .d_head = (int)d_head,
                                         .d_mlp = (int)d_mlp,
                                         .norm_eps = 1e-5,
                                         .act = TAP_ACT_SILU},
                               .d_vocab = size[5],
                               .rope = {.theta = 1e4, .gain = 1}};
    m->spec.vision = (tap_vision_spec){
        .stack = {.d_model = 1, .n_heads = 1}, .side_px = 1, .patch_px = 1};
    m->lm_blocks = s->blocks;
    m->embed = m->head = take(s, size[5], d);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].attn_norm.weight = take(s, d, 0);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].q.weight = turn(s, take(s, d, d), size[3], (int)d_head);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].k.weight = turn(s, take(s, d_kv, d), size[4], (int)d_head);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].v.weight = take(s, d_kv, d);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].o.weight = take(s, d, d);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].mlp_norm.weight = take(s, d, 0);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].gate.weight = take(s, d_mlp, d);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].down.weight = take(s, d, d_mlp);
    for (int64_t b = 0; b < n; b++)
        s->blocks[b].up.weight = take(s, d_mlp, d);
    m->final_norm.weight = take(s, d, 0);
}

/* Logits of the rows of one text. */
typedef struct reader {
    float *logits; /* [MAX_TOKENS][d_vocab] */
    int64_t last;
} reader;

static tap_status keep(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    reader *r = owner;
    memcpy(r->logits + state->first_row * state->d, state->values,
           (size_t)(state->n_rows * state->d) * sizeof *r->logits);
    r->last = state->first_row + state->n_rows - 1;
    return TAP_OK;
}

static void run_text(reader *r, const stories *s, int32_t *ids, int64_t n, bool all)
{
    static tap_token tokens[MAX_TOKENS];
    for (int64_t t = 0; t < n; t++)
        tokens[t] = (tap_token){.role = TAP_ROLE_PREFIX, .feature = -1};
    const tap_sequence sequence = {.n_tok = n, .ids = ids, .tokens = tokens};
    const tap_plan *clean = NULL;
    const tap_item item = {.sequence = &sequence, .plans = &clean};
    tap_wanted wanted = {.once = {[TAP_SITE_LOGITS] = true}};
    const tap_sink sink = {.owner = r, .wanted = &wanted, .put = keep};
    const tap_run_options options = {
        .n_threads = 1, .group_rows = 1, .all_rows = true, .all_logits = all};
    tap_error err;
    assert_int_equal(tap_run(NULL, &s->model, &item, 1, 1, &options, &sink, &err),
                     TAP_OK);
}

static int64_t read_ids(int32_t *ids, const char *text)
{
    int64_t n = 0;
    char *end = NULL;
    for (const char *at = text; n < MAX_TOKENS; at = end) {
        const long id = strtol(at, &end, 10);
        if (end == at)
            break;
        ids[n++] = (int32_t)id;
    }
    return n;
}

static bool is_here(void)
{
    return tap_file_exists(FOLDER "stories260K.bin");
}

/* Line `index` (0-based, after the heading) of a table, from its column `column` on. */
static const char *cell(const char *text, int index, int column)
{
    for (int i = 0; i <= index; i++)
        text = strchr(text, '\n') + 1;
    for (int i = 0; i < column; i++)
        text = strchr(text, '\t') + 1;
    return text;
}

static void logits_are_the_documented_ones(void **state)
{
    (void)state;
    if (!is_here())
        skip();
    tap_error err;
    char *tokens = NULL, *logits = NULL;
    size_t n_bytes = 0;
    stories s;
    open_stories(&s);
    assert_int_equal(
        tap_file_read(&tokens, &n_bytes, FOLDER "expected-tokens.tsv", 1 << 20, &err),
        0);
    assert_int_equal(
        tap_file_read(&logits, &n_bytes, FOLDER "expected-logits.tsv", 1 << 22, &err),
        0);
    const int64_t d_vocab = s.model.spec.lm.d_vocab;
    reader r = {0};
    assert_int_equal(tap_alloc(&r.logits, MAX_TOKENS, (size_t)d_vocab * 4, "x", &err),
                     0);
    int line = 0, compared = 0;
    for (int prompt = 0; prompt < 2; prompt++) {
        int32_t ids[MAX_TOKENS];
        const int64_t n = read_ids(ids, cell(tokens, prompt, 1));
        assert_true(n >= 5);
        run_text(&r, &s, ids, n, true);
        for (int64_t t = 0; t < n; t++, line++) {
            const char *at = cell(logits, line, 3);
            double worst = 0.0, rms = 0.0;
            for (int64_t v = 0; v < d_vocab; v++) {
                char *end = NULL;
                const double want = strtod(at, &end);
                assert_true(end > at);
                at = end;
                worst = fmax(worst, fabs(want - (double)r.logits[t * d_vocab + v]));
                rms += want * want;
                compared++;
            }
            assert_true(worst <= 1e-5 * sqrt(rms / (double)d_vocab));
        }
    }
    assert_int_equal(compared, 26 * 512);
    tap_free(r.logits);
    tap_free(tokens);
    tap_free(logits);
    tap_free(s.turned);
    tap_file_unmap(&s.file);
}

static void greedy_text_is_the_documented_one(void **state)
{
    (void)state;
    if (!is_here())
        skip();
    tap_error err;
    char *tokens = NULL;
    size_t n_bytes = 0;
    stories s;
    open_stories(&s);
    assert_int_equal(
        tap_file_read(&tokens, &n_bytes, FOLDER "expected-tokens.tsv", 1 << 20, &err),
        0);
    const int64_t d_vocab = s.model.spec.lm.d_vocab;
    reader r = {0};
    assert_int_equal(tap_alloc(&r.logits, MAX_TOKENS, (size_t)d_vocab * 4, "x", &err),
                     0);
    int32_t want[MAX_TOKENS], ids[MAX_TOKENS];
    const int64_t n = read_ids(want, cell(tokens, 2, 1));
    assert_true(n >= 200);
    ids[0] = want[0];
    for (int64_t t = 1; t < n; t++) {
        run_text(&r, &s, ids, t, false);
        const float *z = r.logits + r.last * d_vocab;
        int32_t best = 0;
        for (int32_t v = 1; v < d_vocab; v++)
            best = z[v] > z[best] ? v : best;
        ids[t] = best;
        assert_int_equal(ids[t], want[t]);
    }
    tap_free(r.logits);
    tap_free(tokens);
    tap_free(s.turned);
    tap_file_unmap(&s.file);
}

/* The same text row by row, with keys and values kept. */
static void cached_text_is_the_documented_one(void **state)
{
    (void)state;
    if (!is_here())
        skip();
    tap_error err;
    char *tokens = NULL;
    size_t n_bytes = 0;
    stories s;
    open_stories(&s);
    assert_int_equal(
        tap_file_read(&tokens, &n_bytes, FOLDER "expected-tokens.tsv", 1 << 20, &err),
        0);
    int32_t want[MAX_TOKENS], ids[MAX_TOKENS] = {0};
    static tap_token places[MAX_TOKENS];
    const int64_t n = read_ids(want, cell(tokens, 2, 1));
    ids[0] = want[0];
    for (int64_t t = 0; t < n; t++)
        places[t] =
            (tap_token){.role = t ? TAP_ROLE_GEN : TAP_ROLE_PREFIX, .feature = -1};
    const tap_sequence sequence = {.n_tok = n, .ids = ids, .tokens = places};
    const tap_plan *clean = NULL;
    const tap_item item = {.sequence = &sequence, .plans = &clean};
    const tap_run_options options = {.n_threads = 1};
    tap_decoder *decoder = NULL;
    assert_int_equal(tap_decoder_open(&decoder, &s.model, &item, 1, &options, &err), 0);
    for (int64_t t = 1; t < n; t++) {
        const float *z = tap_decoder_logits(decoder);
        int32_t best = 0;
        for (int32_t v = 1; v < s.model.spec.lm.d_vocab; v++)
            best = z[v] > z[best] ? v : best;
        assert_int_equal(best, want[t]);
        assert_int_equal(tap_decoder_step(decoder, best, &err), TAP_OK);
    }
    assert_int_equal(tap_decoder_room(decoder), 0);
    assert_int_equal(tap_decoder_step(decoder, 0, &err), TAP_EINVAL);
    print_message("%lld tokens equal\n", (long long)n - 1);
    tap_decoder_close(decoder);
    tap_free(tokens);
    tap_free(s.turned);
    tap_file_unmap(&s.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_the_documented_ones),
        cmocka_unit_test(greedy_text_is_the_documented_one),
        cmocka_unit_test(cached_text_is_the_documented_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

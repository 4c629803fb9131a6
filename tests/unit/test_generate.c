/* Choosing tokens: greedy, drawn, among few; stop tokens of configurations; sequences that
 * grow; an answer that arrives in whole characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../support/rig.h"
#include "../support/scratch.h"
#include "base/memory.h"
#include "model/generate.h"

enum { N = 6 };

static const float logits[N] = {1.0F, 3.0F, 3.0F, -1.0F, 2.0F, 0.0F};

static int32_t sample(const tap_sampling *s, int64_t step)
{
    tap_choice scratch[N];
    int32_t id = -1;
    tap_error err;
    assert_int_equal(tap_sample(&id, s, logits, scratch, N, step, &err), TAP_OK);
    return id;
}

static void greedy_takes_the_first_of_the_largest(void **state)
{
    (void)state;
    assert_int_equal(sample(&(tap_sampling){.top_p = 1.0}, 0), 1);
    const tap_sampling one = {.temperature = 1.0, .top_k = 1, .top_p = 1.0, .seed = 5};
    const tap_sampling thin = {.temperature = 1.0, .top_p = 1e-9, .seed = 5};
    for (int64_t step = 0; step < 50; step++) {
        assert_int_equal(sample(&one, step), 1);
        assert_int_equal(sample(&thin, step), 1);
    }
}

/* How often each token comes in 20 000 draws, against its probability. */
static void check_frequencies(const tap_sampling *s, const double *want)
{
    enum { DRAWS = 20000 };

    int count[N] = {0};
    for (int64_t step = 0; step < DRAWS; step++)
        count[sample(s, step)]++;
    for (int i = 0; i < N; i++) {
        const double p = want[i], sd = sqrt(p * (1.0 - p) / DRAWS);
        assert_true(fabs((double)count[i] / DRAWS - p) <= 4.0 * sd + 1e-12);
    }
}

static void draws_follow_the_softmax(void **state)
{
    (void)state;
    double all = 0.0, want[N] = {0};
    for (int i = 0; i < N; i++)
        all += exp((double)logits[i] / 0.7);
    for (int i = 0; i < N; i++)
        want[i] = exp((double)logits[i] / 0.7) / all;
    check_frequencies(&(tap_sampling){.temperature = 0.7, .top_p = 1.0, .seed = 9},
                      want);
    /* the three largest alone */
    const double e = exp(-1.0), three[N] = {0.0, 1.0 / (2.0 + e), 1.0 / (2.0 + e),
                                            0.0, e / (2.0 + e),   0.0};
    check_frequencies(
        &(tap_sampling){.temperature = 1.0, .top_k = 3, .top_p = 1.0, .seed = 2},
        three);
    /* the nucleus of 0.6 holds the two largest, which have 0.75 of the weight */
    const double two[N] = {0.0, 0.5, 0.5, 0.0, 0.0, 0.0};
    check_frequencies(&(tap_sampling){.temperature = 1.0, .top_p = 0.6, .seed = 3},
                      two);
}

static void a_seed_gives_the_same_draws(void **state)
{
    (void)state;
    const tap_sampling a = {.temperature = 2.0, .top_p = 1.0, .seed = 1};
    const tap_sampling b = {.temperature = 2.0, .top_p = 1.0, .seed = 2};
    int differ = 0;
    for (int64_t step = 0; step < 64; step++) {
        assert_int_equal(sample(&a, step), sample(&a, step));
        differ += sample(&a, step) != sample(&b, step);
    }
    assert_true(differ > 10);
}

static void a_logit_that_is_no_number_is_an_error(void **state)
{
    (void)state;
    const float bad[2] = {0.0F, NAN};
    tap_choice scratch[2];
    int32_t id = 0;
    tap_error err;
    assert_int_equal(tap_sample(&id, &(tap_sampling){0}, bad, scratch, 2, 0, &err),
                     TAP_ENUMERIC);
    assert_string_equal(err.message, "the logit of token 1 is not a number");
}

static void stop_tokens_come_from_the_nearest_file(void **state)
{
    (void)state;
    char folder[SCRATCH_BYTES];
    const tap_spec spec = {.lm = {.d_vocab = 100, .eos_id = 2}};
    int32_t *ids = NULL;
    size_t n = 0;
    tap_error err;
    scratch_open(folder);
    assert_int_equal(tap_stops_read(&ids, &n, folder, &spec, NULL, NULL, &err), TAP_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 2);
    tap_free(ids);
    scratch_write_text(folder, "config.json", "{\"text_config\":{\"eos_token_id\":7}}");
    assert_int_equal(tap_stops_read(&ids, &n, folder, &spec, NULL, NULL, &err), TAP_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 7);
    tap_free(ids);
    scratch_write_text(folder, "generation_config.json", "{\"eos_token_id\":[9,11]}");
    assert_int_equal(tap_stops_read(&ids, &n, folder, &spec, NULL, NULL, &err), TAP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[1], 11);
    tap_free(ids);
    scratch_write_text(folder, "generation_config.json", "{\"eos_token_id\":[9,100]}");
    assert_int_equal(tap_stops_read(&ids, &n, folder, &spec, NULL, NULL, &err),
                     TAP_EFORMAT);
    assert_non_null(strstr(err.message, "'eos_token_id' is not a token"));
    scratch_close(folder);
}

/* Phi-3 says 2 in its configuration, but ends its turns with another token. */
static void the_end_of_a_turn_stops_too(void **state)
{
    (void)state;
    rig r;
    int32_t *ids = NULL;
    size_t n = 0;
    tap_error err;
    const tiny_model tiny = tiny_model_default();
    const tap_template chat = {.name = "x", .end = "<image>"},
                       other = {.name = "y", .end = "<|nowhere|>"};
    rig_open(&r, &tiny);
    const tap_spec *spec = &r.model->spec;
    assert_int_equal(
        tap_stops_read(&ids, &n, r.directory, spec, &chat, r.model->tokenizer, &err),
        TAP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[1], spec->image_token_id);
    tap_free(ids);
    assert_int_equal(
        tap_stops_read(&ids, &n, r.directory, spec, &other, r.model->tokenizer, &err),
        TAP_OK);
    assert_int_equal(n, 1);
    tap_free(ids);
    rig_close(&r);
}

/* ---- an answer of the tiny model ---- */

typedef struct parts {
    char text[1024];
    size_t n;
    int n_parts;
} parts;

static tap_status gather(void *owner, const char *text, size_t n_bytes, tap_error *err)
{
    parts *p = owner;
    (void)err;
    assert_true(p->n + n_bytes < sizeof p->text);
    /* never the first bytes of a character without the rest */
    assert_int_not_equal((unsigned char)text[0] & 0xc0, 0x80);
    memcpy(p->text + p->n, text, n_bytes);
    p->n += n_bytes;
    p->n_parts++;
    return TAP_OK;
}

static tap_answer ask(rig *r, const tap_generate_options *options)
{
    const tap_plan *const clean = NULL;
    const tap_scene *scene = &r->scenes[0];
    const tap_item item = {
        .pixels = &scene->pixels, .sequence = &scene->sequence, .plans = &clean};
    const tap_run_options run = {.n_threads = 1};
    tap_decoder *decoder = NULL;
    tap_answer a;
    tap_error err;
    assert_int_equal(tap_decoder_open(&decoder, r->model, &item, 1, &run, &err),
                     TAP_OK);
    assert_int_equal(tap_generate(&a, decoder, r->model->tokenizer,
                                  r->model->spec.lm.d_vocab, options, &err),
                     TAP_OK);
    tap_decoder_close(decoder);
    return a;
}

static void an_answer_arrives_in_whole_characters_and_stops(void **state)
{
    (void)state;
    rig r;
    tap_error err;
    const tiny_model tiny = tiny_model_default();
    rig_open(&r, &tiny);
    rig_add_scene(&r, 1, -1);
    assert_int_equal(tap_sequence_extend(&r.scenes[0].sequence, 40, &err), TAP_OK);
    parts p = {0};
    /* hot draws: many byte pieces, whole and broken characters */
    tap_generate_options options = {
        .sampling = {.temperature = 5.0, .top_p = 1.0, .seed = 4},
        .max_tokens = 40,
        .put = gather,
        .owner = &p};
    tap_answer a = ask(&r, &options);
    assert_int_equal(a.n_ids, 40);
    assert_false(a.stopped);
    assert_int_equal(p.n, a.n_bytes);
    assert_memory_equal(p.text, a.text, a.n_bytes);
    assert_true(p.n_parts > 10);

    const int32_t stop = a.ids[7];
    size_t first = 0;
    while (a.ids[first] != stop)
        first++;
    options.stops = &stop;
    options.n_stops = 1;
    options.put = NULL;
    tap_answer b = ask(&r, &options);
    assert_true(b.stopped);
    assert_int_equal(b.n_ids, first + 1);
    assert_memory_equal(b.ids, a.ids, (first + 1) * sizeof *b.ids);
    options.n_stops = 0;
    options.max_tokens = 1000; /* the sequence has room for 40 and the token behind */
    tap_answer c = ask(&r, &options);
    assert_int_equal(c.n_ids, 41);
    tap_answer_clear(&a);
    tap_answer_clear(&b);
    tap_answer_clear(&c);
    rig_close(&r);
}

static void text_alone_is_a_sequence_without_the_image_token(void **state)
{
    (void)state;
    rig r;
    tap_error err;
    tap_sequence s = {0};
    const tiny_model tiny = tiny_model_default();
    rig_open(&r, &tiny);
    const tap_spec *spec = &r.model->spec;
    assert_int_equal(tap_sequence_text(&s, spec, r.model->tokenizer, "the tail", &err),
                     TAP_OK);
    assert_int_equal(s.n_tok, 3);
    assert_int_equal(s.tokens[0].role, TAP_ROLE_BOS);
    assert_int_equal(s.tokens[2].role, TAP_ROLE_QUESTION);
    assert_int_equal(tap_sequence_extend(&s, 2, &err), TAP_OK);
    assert_int_equal(s.n_tok, 5);
    assert_int_equal(s.tokens[4].role, TAP_ROLE_GEN);
    tap_sequence_clear(&s);
    assert_int_equal(tap_sequence_text(&s, spec, r.model->tokenizer, "a <image>", &err),
                     TAP_EINVAL);
    assert_non_null(strstr(err.message, "has no meaning without an image"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_first_of_the_largest),
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(a_seed_gives_the_same_draws),
        cmocka_unit_test(a_logit_that_is_no_number_is_an_error),
        cmocka_unit_test(stop_tokens_come_from_the_nearest_file),
        cmocka_unit_test(the_end_of_a_turn_stops_too),
        cmocka_unit_test(an_answer_arrives_in_whole_characters_and_stops),
        cmocka_unit_test(text_alone_is_a_sequence_without_the_image_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

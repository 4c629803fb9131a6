/* One derivative and the integrated gradients made of it, against autograd of PyTorch
 * (tools/make_gradient_golden.py), with and without grouped-query heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "format/safetensors.h"
#include "model/gradient.h"
#include "read/intgrad.h"

typedef struct golden {
    tap_model *model;
    tap_safetensors *expected;
    tap_scene scene;
    int32_t word;
} golden;

static void check(tap_status status, const tap_error *err)
{
    if (status != TAP_OK)
        print_error("%s\n", err->message);
    assert_int_equal(status, TAP_OK);
}

static void open_golden(golden *g, const char *name)
{
    char path[128];
    tap_error err;
    *g = (golden){0};
    (void)snprintf(path, sizeof path, "tests/golden/llava/%s", name);
    check(tap_model_open(&g->model, path, &err), &err);
    check(tap_scene_open(
              &g->scene, g->model, "tests/golden/llava/photo.png",
              "USER: <image>\nWhat is the part of this animal? ASSISTANT:", &err),
          &err);
    (void)snprintf(path, sizeof path, "tests/golden/gradient/%s.safetensors", name);
    check(tap_safetensors_open(&g->expected, path, &err), &err);
    const char *word = tap_safetensors_metadata(g->expected, "word");
    assert_non_null(word);
    g->word = (int32_t)strtol(word, NULL, 10);
}

static void close_golden(golden *g)
{
    tap_safetensors_close(g->expected);
    tap_scene_clear(&g->scene);
    tap_model_close(g->model);
}

static float *read(const golden *g, const char *name, int64_t n)
{
    const int64_t at = tap_safetensors_find(g->expected, name);
    float *out = NULL;
    tap_error err;
    assert_true(at >= 0);
    const tap_tensor *t = tap_safetensors_tensor(g->expected, at);
    assert_int_equal(tap_tensor_count(t), n);
    check(tap_alloc(&out, (size_t)n, sizeof *out, "a test", &err), &err);
    tap_widen(out, t, 0, n);
    return out;
}

static double difference(const float *found, const float *want, int64_t n)
{
    double worst = 0.0, rms = 0.0;
    for (int64_t i = 0; i < n; i++) {
        rms += (double)want[i] * (double)want[i];
        worst = fmax(worst, fabs((double)found[i] - (double)want[i]));
    }
    assert_true(rms > 0.0);
    return worst / sqrt(rms / (double)n);
}

static void the_gradient_is_that_of_autograd(void **state)
{
    (void)state;
    static const char *const names[] = {"mha", "gqa"};
    for (int i = 0; i < 2; i++) {
        golden g;
        open_golden(&g, names[i]);
        const int64_t d = g.model->spec.lm.stack.d_model,
                      n = g.scene.sequence.n_tok * d;
        float *embed = read(&g, "embed", n), *want = read(&g, "gradient", n),
              *logit = read(&g, "logit", 1), *found = NULL, *again = NULL, z = 0.0F;
        tap_gradient *gradient = NULL;
        tap_error err;
        check(tap_alloc(&found, (size_t)n, sizeof *found, "a test", &err), &err);
        check(tap_alloc(&again, (size_t)n, sizeof *again, "a test", &err), &err);
        check(tap_gradient_open(&gradient, g.model, &g.scene.sequence, NULL, 1, &err),
              &err);
        tap_gradient_run(found, &z, gradient, embed, g.word);
        tap_gradient_close(gradient);
        const double error = difference(found, want, n);
        print_message("%s: gradient off by %.2g of its rms, logit by %.2g\n", names[i],
                      error, fabs((double)z - (double)*logit));
        assert_true(error <= 1e-4);
        assert_true(fabs((double)z - (double)*logit) <= 1e-4);
        /* another word is another gradient, other threads are not */
        check(tap_gradient_open(&gradient, g.model, &g.scene.sequence, &tap_kernels_ref,
                                2, &err),
              &err);
        tap_gradient_run(again, NULL, gradient, embed, g.word);
        assert_true(difference(again, want, n) <= 1e-4);
        tap_gradient_run(again, NULL, gradient, embed, g.word + 1);
        assert_true(difference(again, want, n) > 0.1);
        tap_gradient_close(gradient);
        tap_free(embed);
        tap_free(want);
        tap_free(logit);
        tap_free(found);
        tap_free(again);
        close_golden(&g);
    }
}

/* A text whose first token is the golden word, behind the prompt. */
static void find_text(char *out, size_t size, const golden *g)
{
    char *text = NULL;
    size_t n = 0;
    tap_error err;
    check(
        tap_tokenizer_decode(&text, &n, g->model->tokenizer, &g->word, 1, false, &err),
        &err);
    (void)snprintf(out, size, "%s", text + (text[0] == ' '));
    tap_free(text);
}

static void the_scores_are_those_of_the_path(void **state)
{
    (void)state;
    static const char *const names[] = {"mha", "gqa"};
    for (int i = 0; i < 2; i++) {
        golden g;
        char text[64];
        int32_t *ids = NULL;
        int64_t n_ids = 0;
        tap_error err;
        tap_intgrad *intgrad = NULL;
        const double *scores = NULL;
        open_golden(&g, names[i]);
        find_text(text, sizeof text, &g);
        check(tap_reply_ids(&ids, &n_ids, &g.scene, text, &err), &err);
        if (ids[0] != g.word)
            print_error("'%s' is token %d, not %d\n", text, ids[0], g.word);
        assert_int_equal(ids[0], g.word);
        tap_free(ids);
        check(tap_intgrad_open(&intgrad, &g.scene, NULL, 1, &err), &err);
        const tap_group_scorer *scorer = tap_intgrad_scorer(intgrad);
        check(scorer->score(scorer->owner, &scores, text, &err), &err);
        const int64_t n = g.scene.sequence.n_image;
        const int64_t at = tap_safetensors_find(g.expected, "scores");
        assert_true(at >= 0);
        const tap_tensor *want = tap_safetensors_tensor(g.expected, at);
        assert_int_equal(tap_tensor_count(want), n);
        double worst = 0.0, most = 0.0;
        for (int64_t r = 0; r < n; r++) {
            double exact = 0.0;
            memcpy(&exact, (const char *)want->bytes + (size_t)r * sizeof exact,
                   sizeof exact);
            most = fmax(most, exact);
            worst = fmax(worst, fabs(scores[g.scene.image_rows[r]] - exact));
        }
        print_message("%s: scores up to %.3g, off by %.2g\n", names[i], most, worst);
        assert_true(most > 0.0 && worst <= 1e-4 * most);

        /* the group: the highest first */
        uint64_t *members = NULL;
        tap_groups groups;
        const tap_group_input input = {
            .scene = &g.scene, .threshold = 0.5, .scorer = scorer};
        char group[96];
        check(tap_group_compile(&groups, &input, &err), &err);
        check(tap_alloc(&members, (size_t)tap_bits_words(g.scene.sequence.n_tok),
                        sizeof *members, "a test", &err),
              &err);
        (void)snprintf(group, sizeof group, "intgrad(3,\"%s\")", text);
        check(tap_group_bits(members, group, TAP_LM, &groups, &err), &err);
        int64_t n_members = 0;
        double least = (double)INFINITY, rest = 0.0;
        for (int64_t r = 0; r < n; r++) {
            const int64_t row = g.scene.image_rows[r];
            const bool in = tap_bits_get(members, row);
            n_members += in;
            if (in)
                least = fmin(least, scores[row]);
            else
                rest = fmax(rest, scores[row]);
        }
        assert_int_equal(n_members, 3);
        assert_true(least >= rest);
        (void)snprintf(group, sizeof group, "intgrad(1000,\"%s\")", text);
        assert_int_equal(tap_group_bits(members, group, TAP_LM, &groups, &err),
                         TAP_EINVAL);
        assert_non_null(strstr(err.message, "intgrad needs 1000 image tokens"));
        assert_int_equal(
            tap_group_bits(members, "intgrad(1,\"x\")", TAP_VISION, &groups, &err),
            TAP_EINVAL);
        tap_free(members);
        tap_groups_clear(&groups);
        tap_intgrad_close(intgrad);
        close_golden(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_that_of_autograd),
        cmocka_unit_test(the_scores_are_those_of_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

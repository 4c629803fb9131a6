#include "read/intgrad.h"

#include "base/memory.h"
#include "model/gradient.h"
#include "model/run.h"

#include <math.h>
#include <string.h>

enum { N_STEPS = 50 };

typedef struct scored {
    char *word;
    double *scores; /* [n_tok] */
} scored;

struct tap_intgrad {
    tap_scene scene; /* borrowed in all its parts */
    const tap_kernels *kernels;
    int n_threads;
    tap_group_scorer scorer;
    scored *list;
    size_t n, capacity;
};

/* Whether the prompt ends in a line break, behind which no space stands. */
static bool ends_a_line(const tap_scene *scene)
{
    size_t n = 0;
    const tap_sequence *s = &scene->sequence;
    int64_t last = s->n_tok - 1;
    while (last > 0 && s->tokens[last].role == TAP_ROLE_GEN)
        last--;
    const char *piece = tap_tokenizer_piece(scene->model->tokenizer, s->ids[last], &n);
    return piece && ((n == 6 && memcmp(piece, "<0x0A>", n) == 0) ||
                     (n >= 1 && piece[n - 1] == '\n') ||
                     (n >= 2 && memcmp(piece + n - 2, "\xc4\x8a", 2) == 0));
}

/* Encoded behind a letter or a line break, which is taken off again. */
tap_status tap_reply_ids(int32_t **ids, int64_t *n_ids, const tap_scene *scene,
                         const char *text, tap_error *err)
{
    const tap_tokenizer *t = scene->model->tokenizer;
    const bool bare = ends_a_line(scene);
    int32_t *before = NULL, *found = NULL;
    char *whole = NULL;
    size_t n_before = 0, n = 0, skip = 0;
    tap_status status = TAP_OK;
    if (text[0] == '\0')
        return TAP_FAIL(err, TAP_EINVAL, "'' is no token");
    TAP_TRY_OUT(tap_text_format(&whole, err, "%s%s", bare ? "\n" : "a ", text));
    TAP_TRY_OUT(tap_tokenizer_encode(&found, &n, t, whole, strlen(whole), false, err));
    TAP_TRY_OUT(
        tap_tokenizer_encode(&before, &n_before, t, bare ? "\n" : "a", 1, false, err));
    while (skip < n_before && skip < n && found[skip] == before[skip])
        skip++;
    if (skip == n)
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EINVAL, "'%s' is no token", text));
    memmove(found, found + skip, (n - skip) * sizeof *found);
    *ids = found;
    *n_ids = (int64_t)(n - skip);
    found = NULL;
out:
    tap_free(before);
    tap_free(found);
    tap_free(whole);
    return status;
}

static tap_status put_embed(void *owner, const tap_state *state, tap_error *err)
{
    (void)err;
    memcpy(owner, state->values, (size_t)(state->n_rows * state->d) * sizeof(float));
    return TAP_OK;
}

/* What enters the decoder, and the mean of its image rows. */
static tap_status find_ends(float *embed, float *mean, const tap_intgrad *g,
                            const tap_sequence *prompt, tap_error *err)
{
    const int64_t d = g->scene.model->spec.lm.stack.d_model;
    const tap_plan *clean = NULL;
    const tap_item item = {
        .pixels = &g->scene.pixels, .sequence = prompt, .plans = &clean};
    const tap_run_options options = {
        .kernels = g->kernels, .n_threads = g->n_threads, .all_rows = true};
    const tap_wanted wanted = {.once = {[TAP_SITE_EMBED] = true}};
    const tap_sink sink = {.owner = embed, .wanted = &wanted, .put = put_embed};
    TAP_TRY(tap_run(NULL, g->scene.model, &item, 1, 1, &options, &sink, err));
    for (int64_t i = 0; i < d; i++) {
        double sum = 0.0;
        for (int64_t r = 0; r < prompt->n_image; r++)
            sum += (double)embed[g->scene.image_rows[r] * d + i];
        mean[i] = (float)(sum / (double)prompt->n_image);
    }
    return TAP_OK;
}

/* sums [n_image][d] of the gradients along the path. */
static void add_up(double *sums, tap_gradient *gradient, float *at, float *slope,
                   const float *embed, const float *mean, const tap_intgrad *g,
                   const tap_sequence *prompt, int32_t word)
{
    const int64_t d = g->scene.model->spec.lm.stack.d_model;
    memcpy(at, embed, (size_t)(prompt->n_tok * d) * sizeof *at);
    for (int step = 0; step < N_STEPS; step++) {
        const double alpha = (double)step / (N_STEPS - 1);
        for (int64_t r = 0; r < prompt->n_image; r++)
            for (int64_t i = 0; i < d; i++) {
                const int64_t k = g->scene.image_rows[r] * d + i;
                at[k] = (float)((double)mean[i] +
                                alpha * ((double)embed[k] - (double)mean[i]));
            }
        tap_gradient_run(slope, NULL, gradient, at, word);
        for (int64_t r = 0; r < prompt->n_image; r++)
            for (int64_t i = 0; i < d; i++)
                sums[r * d + i] += (double)slope[g->scene.image_rows[r] * d + i];
    }
}

static tap_status compute(double *scores, const tap_intgrad *g, int32_t word,
                          tap_error *err)
{
    tap_sequence prompt = g->scene.sequence;
    while (prompt.n_tok > 0 && prompt.tokens[prompt.n_tok - 1].role == TAP_ROLE_GEN)
        prompt.n_tok--;
    const int64_t d = g->scene.model->spec.lm.stack.d_model;
    const size_t size = (size_t)(prompt.n_tok * d);
    float *embed = NULL, *at = NULL, *slope = NULL, *mean = NULL;
    double *sums = NULL;
    tap_gradient *gradient = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_gradient_open(&gradient, g->scene.model, &prompt, g->kernels,
                                  g->n_threads, err));
    TAP_TRY_OUT(tap_alloc(&embed, size, sizeof *embed, "a gradient", err));
    TAP_TRY_OUT(tap_alloc(&at, size, sizeof *at, "a gradient", err));
    TAP_TRY_OUT(tap_alloc(&slope, size, sizeof *slope, "a gradient", err));
    TAP_TRY_OUT(tap_alloc(&mean, (size_t)d, sizeof *mean, "a gradient", err));
    TAP_TRY_OUT(tap_alloc(&sums, (size_t)(prompt.n_image * d), sizeof *sums,
                          "a gradient", err));
    TAP_TRY_OUT(find_ends(embed, mean, g, &prompt, err));
    add_up(sums, gradient, at, slope, embed, mean, g, &prompt, word);
    for (int64_t r = 0; r < prompt.n_image; r++) {
        const int64_t row = g->scene.image_rows[r];
        for (int64_t i = 0; i < d; i++)
            scores[row] += fabs(((double)embed[row * d + i] - (double)mean[i]) *
                                sums[r * d + i] / N_STEPS);
    }
out:
    tap_gradient_close(gradient);
    tap_free(embed);
    tap_free(at);
    tap_free(slope);
    tap_free(mean);
    tap_free(sums);
    return status;
}

static tap_status score(void *owner, const double **scores, const char *word,
                        tap_error *err)
{
    tap_intgrad *g = owner;
    int32_t *ids = NULL;
    int64_t n_ids = 0;
    scored new = {0};
    tap_status status = TAP_OK;
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->list[i].word, word) == 0) {
            *scores = g->list[i].scores;
            return TAP_OK;
        }
    if (g->scene.sequence.n_image == 0)
        return TAP_FAIL(err, TAP_EINVAL, "there is no image here");
    TAP_TRY(tap_reply_ids(&ids, &n_ids, &g->scene, word, err));
    TAP_TRY_OUT(
        tap_grow(&g->list, &g->capacity, g->n + 1, sizeof *g->list, "a gradient", err));
    TAP_TRY_OUT(tap_text_copy(&new.word, word, strlen(word), err));
    TAP_TRY_OUT(tap_alloc(&new.scores, (size_t)g->scene.sequence.n_tok,
                          sizeof *new.scores, "a gradient", err));
    TAP_TRY_OUT(compute(new.scores, g, ids[0], err));
    *scores = new.scores;
    g->list[g->n++] = new;
    new = (scored){0};
out:
    tap_free(new.word);
    tap_free(new.scores);
    tap_free(ids);
    return status;
}

tap_status tap_intgrad_open(tap_intgrad **out, const tap_scene *scene,
                            const tap_kernels *kernels, int n_threads, tap_error *err)
{
    tap_intgrad *g = NULL;
    TAP_TRY(tap_alloc(&g, 1, sizeof *g, "a gradient", err));
    *g = (tap_intgrad){.scene = *scene,
                       .kernels = kernels,
                       .n_threads = n_threads,
                       .scorer = {.owner = g, .score = score}};
    *out = g;
    return TAP_OK;
}

const tap_group_scorer *tap_intgrad_scorer(const tap_intgrad *intgrad)
{
    return &intgrad->scorer;
}

void tap_intgrad_close(tap_intgrad *intgrad)
{
    for (size_t i = 0; intgrad && i < intgrad->n; i++) {
        tap_free(intgrad->list[i].word);
        tap_free(intgrad->list[i].scores);
    }
    if (intgrad)
        tap_free(intgrad->list);
    tap_free(intgrad);
}

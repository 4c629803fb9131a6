/* HOW IT WORKS. All groups share the products of a row with a matrix, so features are
 * normed and mapped where they stand; then, group by group, keys and values of what the
 * group shows are put one after the other, those of the latents (and of the prompt's tokens,
 * where the latents see them) behind them. */
#include "model/perceiver.h"

#include <math.h>
#include <string.h>

/* nn.LayerNorm's own, which the model's code does not change. */
static const double NORM_EPS = 1e-5;

/* Sizes in floats of a row, and the scratch. n features; n_own rows of a group, latents
 * and then tokens; n_x such rows of all groups. */
typedef struct bench {
    const tap_spec *spec;
    int64_t d, d_q, n, n_own, n_x;
    float *x;      /* [n_x][d] */
    float *media;  /* [n][d] normed features */
    float *kv;     /* [n][2 d_q] their keys and values */
    float *normed; /* [n_x][d] */
    float *q, *z;  /* [n_x][d_q] */
    float *own_kv; /* [n_x][2 d_q] keys and values of the latents */
    float *group;  /* [keys of a group][2 d_q] */
    float *up;     /* [n_x][d_mlp] */
    float *sum;    /* [n_x][d] */
} bench;

int64_t tap_perceiver_keys(const tap_spec *spec, int64_t n_text)
{
    const int64_t side = tap_vision_side(&spec->vision);
    return spec->perceiver.n_latents ? side * side + spec->perceiver.n_latents + n_text
                                     : 0;
}

int64_t tap_perceiver_rows(const tap_spec *spec, const tap_perceiver_size *size)
{
    return size->n_groups * (spec->perceiver.n_latents + size->n_text);
}

size_t tap_perceiver_floats(const tap_spec *spec, const tap_perceiver_size *size)
{
    const tap_perceiver_spec *s = &spec->perceiver;
    const size_t d = (size_t)spec->vision.stack.d_model,
                 d_q = (size_t)s->n_heads * (size_t)s->d_head,
                 n = (size_t)size->n_features, n_text = (size_t)size->n_text,
                 n_x = (size_t)tap_perceiver_rows(spec, size);
    return s->n_latents
               ? n * (d + 2 * d_q) + n_x * (3 * d + 4 * d_q + (size_t)s->d_mlp) +
                     (size_t)tap_perceiver_keys(spec, size->n_text) * 2 * d_q +
                     n_text * ((size_t)spec->lm.stack.d_model + d)
               : 0;
}

double tap_perceiver_flop(const tap_spec *spec, const tap_perceiver_size *size)
{
    const tap_perceiver_spec *s = &spec->perceiver;
    const double d = spec->vision.stack.d_model, d_q = (double)s->n_heads * s->d_head,
                 n_x = (double)tap_perceiver_rows(spec, size);
    const double rows = 2.0 * d * d_q * (2.0 * (double)size->n_features + 4.0 * n_x),
                 meet =
                     4.0 * n_x * d_q * (double)tap_perceiver_keys(spec, size->n_text),
                 mlp = 4.0 * n_x * d * s->d_mlp,
                 text = 2.0 * (double)size->n_text * d * (spec->lm.stack.d_model + d);
    return s->n_blocks * (rows + meet + mlp) + text;
}

/* The next token from *t on that the latents see; false at the end of the prompt. */
static bool next_token(int64_t *t, const tap_sequence *sequence)
{
    while (*t < sequence->n_tok && sequence->tokens[*t].feature > 0)
        ++*t; /* the image counts once: by its first row */
    return *t < sequence->n_tok && sequence->tokens[*t].role != TAP_ROLE_GEN;
}

int64_t tap_perceiver_text(const tap_spec *spec, const tap_sequence *sequence)
{
    int64_t n = 0;
    for (int64_t t = 0; n < spec->perceiver.n_text && next_token(&t, sequence); t++)
        n++;
    return n;
}

static tap_status take_bench(bench *b, tap_arena *arena, tap_error *err)
{
    const struct {
        float **place;
        int64_t n_rows, width;
    } takes[] = {{&b->x, b->n_x, b->d},
                 {&b->media, b->n, b->d},
                 {&b->kv, b->n, 2 * b->d_q},
                 {&b->normed, b->n_x, b->d},
                 {&b->q, b->n_x, b->d_q},
                 {&b->z, b->n_x, b->d_q},
                 {&b->own_kv, b->n_x, 2 * b->d_q},
                 {&b->group,
                  tap_perceiver_keys(b->spec, b->n_own - b->spec->perceiver.n_latents),
                  2 * b->d_q},
                 {&b->up, b->n_x, b->spec->perceiver.d_mlp},
                 {&b->sum, b->n_x, b->d}};

    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++)
        TAP_TRY(tap_arena_take(takes[i].place, arena, (size_t)takes[i].n_rows,
                               (size_t)takes[i].width * sizeof(float), err));
    return TAP_OK;
}

/* x before the first block, the same in all groups: latents, and the tokens' rows of the
 * decoder's table, mapped. */
static tap_status begin(const bench *b, tap_job *job, const tap_sequence *sequence,
                        tap_error *err)
{
    const tap_model *m = job->model;
    const tap_kernels *k = job->kernels;
    const int64_t n_latents = b->spec->perceiver.n_latents,
                  n_text = b->n_own - n_latents, d_lm = b->spec->lm.stack.d_model;
    float *embeds = NULL, *hidden = NULL, *text = b->x + n_latents * b->d;
    tap_widen(b->x, &m->latents, 0, n_latents * b->d);
    if (n_text > 0) {
        TAP_TRY(tap_arena_take(&embeds, &job->arena, (size_t)n_text,
                               (size_t)d_lm * sizeof *embeds, err));
        TAP_TRY(tap_arena_take(&hidden, &job->arena, (size_t)n_text,
                               (size_t)b->d * sizeof *hidden, err));
        int64_t t = 0;
        for (int64_t i = 0; i < n_text && next_token(&t, sequence); i++, t++)
            tap_widen(embeds + i * d_lm, &m->embed, sequence->ids[t] * d_lm, d_lm);
        k->linear(hidden, b->d, embeds, d_lm, n_text, &m->text_maps[0].weight,
                  &m->text_maps[0].bias, &job->work);
        k->activate(hidden, n_text * b->d, TAP_ACT_GELU_ERF, &job->work);
        k->linear(text, b->d, hidden, b->d, n_text, &m->text_maps[1].weight,
                  &m->text_maps[1].bias, &job->work);
    }
    for (int64_t row = b->n_own; row < b->n_x; row += b->n_own)
        memcpy(b->x + row * b->d, b->x, (size_t)(b->n_own * b->d) * sizeof *b->x);
    return TAP_OK;
}

/* z of the latents and tokens of group g. */
static void attend(const bench *b, const tap_job *job, const tap_layout *layout,
                   int64_t g)
{
    const tap_perceiver_spec *s = &b->spec->perceiver;
    const int64_t n_places = tap_perceiver_keys(b->spec, 0) - s->n_latents,
                  first = g * b->n_own, width = 2 * b->d_q;
    const size_t row = (size_t)width * sizeof(float);
    int64_t n = 0;
    for (int64_t i = 0; i < n_places; i++) {
        const int32_t from = layout->media[g * n_places + i];
        if (from >= 0)
            memcpy(b->group + n++ * width, b->kv + from * width, row);
    }
    memcpy(b->group + n * width, b->own_kv + first * width, (size_t)b->n_own * row);
    const tap_attend_args args = {.n_q = b->n_own,
                                  .n_k = n + b->n_own,
                                  .n_heads = s->n_heads,
                                  .n_kv_heads = s->n_heads,
                                  .d_head = s->d_head,
                                  .scale = 1.0F / sqrtf((float)s->d_head),
                                  .q = b->q + first * b->d_q,
                                  .k = b->group,
                                  .v = b->group + b->d_q,
                                  .stride_q = b->d_q,
                                  .stride_kv = width,
                                  .z = b->z + first * b->d_q,
                                  .stride_z = b->d_q};
    job->kernels->attend(&args, 1, &job->work);
}

static void run_block(const bench *b, const float *features, const tap_job *job,
                      const tap_layout *layout, const tap_perceiver_weights *w)
{
    float *x = b->x;
    const tap_kernels *k = job->kernels;
    const tap_workspace *work = &job->work;
    const int64_t d = b->d, d_q = b->d_q, d_mlp = b->spec->perceiver.d_mlp;
    k->layer_norm(b->media, features, b->n, d, &w->norm_media.weight,
                  &w->norm_media.bias, NORM_EPS, work);
    k->layer_norm(b->normed, x, b->n_x, d, &w->norm_latents.weight,
                  &w->norm_latents.bias, NORM_EPS, work);
    k->linear(b->kv, 2 * d_q, b->media, d, b->n, &w->kv.weight, NULL, work);
    k->linear(b->own_kv, 2 * d_q, b->normed, d, b->n_x, &w->kv.weight, NULL, work);
    k->linear(b->q, d_q, b->normed, d, b->n_x, &w->q.weight, NULL, work);
    for (int64_t g = 0; g < layout->n_groups; g++)
        attend(b, job, layout, g);
    k->linear(b->sum, d, b->z, d_q, b->n_x, &w->o.weight, NULL, work);
    k->add(x, b->sum, b->n_x * d, work);
    k->layer_norm(b->normed, x, b->n_x, d, &w->norm.weight, &w->norm.bias, NORM_EPS,
                  work);
    k->linear(b->up, d_mlp, b->normed, d, b->n_x, &w->up.weight, NULL, work);
    k->activate(b->up, b->n_x * d_mlp, TAP_ACT_GELU_ERF, work);
    k->linear(b->sum, d, b->up, d_mlp, b->n_x, &w->down.weight, NULL, work);
    k->add(x, b->sum, b->n_x * d, work);
}

tap_status tap_perceiver_run(tap_pass *pass, float *out, const float *features,
                             int64_t n, const tap_sequence *sequence, tap_error *err)
{
    tap_job *job = pass->job;
    const tap_model *m = job->model;
    const tap_perceiver_spec *s = &m->spec.perceiver;
    const tap_layout *layout = &sequence->layout;
    const int64_t d = m->spec.vision.stack.d_model,
                  n_own = s->n_latents + tap_perceiver_text(&m->spec, sequence);
    bench b = {.spec = &m->spec,
               .d = d,
               .d_q = (int64_t)s->n_heads * s->d_head,
               .n = n,
               .n_own = n_own,
               .n_x = layout->n_groups * n_own};
    const size_t mark = tap_arena_mark(&job->arena);
    TAP_TRY(take_bench(&b, &job->arena, err));
    TAP_TRY(begin(&b, job, sequence, err));
    for (int block = 0; block < s->n_blocks; block++)
        run_block(&b, features, job, layout, &m->perceiver[block]);
    for (int64_t g = 0; g < layout->n_groups; g++)
        job->kernels->layer_norm(out + g * s->n_latents * d, b.x + g * n_own * d,
                                 s->n_latents, d, &m->perceiver_norm.weight,
                                 &m->perceiver_norm.bias, NORM_EPS, &job->work);
    tap_arena_release(&job->arena, mark);
    return TAP_OK;
}

#include "read/pictures.h"

#include "base/memory.h"
#include "model/run.h"
#include "read/group.h"

#include <string.h>

/* A picture that some condition named. */
typedef struct picture {
    char *path;
    tap_scene scene;
    tap_groups groups;
} picture;

/* Rows of one of its sites. */
typedef struct request {
    size_t picture;
    tap_site site;
    tap_stack stack;
    int block;
    int32_t *rows; /* [n_rows] */
    int64_t n_rows, d;
    float *values; /* [n_rows][d] */
    bool is_filled;
} request;

struct tap_pictures {
    const tap_model *model;
    const char *prompt;
    tap_plan_pictures plans;
    picture *list;
    size_t n, capacity;
    request **requests; /* each of its own, since plans point to their values */
    size_t n_requests, request_capacity;
    size_t running; /* the picture in hand */
};

static tap_status find(size_t *out, tap_pictures *p, const char *path, tap_error *err)
{
    picture *at = NULL;
    for (*out = 0; *out < p->n; ++*out)
        if (strcmp(p->list[*out].path, path) == 0)
            return TAP_OK;
    TAP_TRY(
        tap_grow(&p->list, &p->capacity, p->n + 1, sizeof *p->list, "a picture", err));
    at = &p->list[p->n];
    *at = (picture){0};
    TAP_TRY(tap_text_copy(&at->path, path, strlen(path), err));
    p->n++;
    tap_status status = tap_scene_open(&at->scene, p->model, path, p->prompt, err);
    const tap_group_input input = {.scene = &at->scene, .threshold = 0.5};
    if (status == TAP_OK)
        status = tap_group_compile(&at->groups, &input, err);
    if (status == TAP_OK)
        return TAP_OK;
    tap_groups_clear(&at->groups);
    tap_scene_clear(&at->scene);
    tap_free(at->path);
    p->n--;
    return status;
}

/* Tokens before those that are generated. */
static int64_t n_prompt(const tap_group_set *set)
{
    int64_t n = set->n_tok;
    while (n > 0 && set->tokens[n - 1].role == TAP_ROLE_GEN)
        n--;
    return n;
}

static bool alike(const tap_group_set *a, const tap_group_set *b)
{
    const int64_t n = n_prompt(a);
    bool same = n == n_prompt(b);
    for (int64_t t = 0; same && t < n; t++) {
        const tap_token *x = &a->tokens[t], *y = &b->tokens[t];
        same = x->role == y->role && x->tile == y->tile && x->row == y->row &&
               x->col == y->col && x->thumb == y->thumb && x->feature == y->feature;
    }
    return same;
}

static tap_status check_layout(const picture *other, const tap_picture_rows *rows,
                               tap_error *err)
{
    const tap_group_set *here = rows->groups->stacks, *there = other->groups.stacks;
    for (int s = 0; s < TAP_N_STACKS; s++)
        if (!alike(&here[s], &there[s]))
            return TAP_FAIL(
                err, TAP_EINVAL,
                "'%s' becomes %lld tokens of the encoder and %lld of the decoder, this "
                "picture %lld and %lld%s; patch(image) needs pictures whose tokens stand "
                "in the same places",
                other->path, (long long)n_prompt(&there[TAP_VISION]),
                (long long)n_prompt(&there[TAP_LM]),
                (long long)n_prompt(&here[TAP_VISION]),
                (long long)n_prompt(&here[TAP_LM]),
                n_prompt(&here[s]) == n_prompt(&there[s]) ? ", in other places" : "");
    const int64_t n = n_prompt(&here[TAP_LM]);
    if (rows->stack == TAP_LM && rows->rows[rows->n_rows - 1] >= n)
        return TAP_FAIL(err, TAP_EINVAL,
                        "patch(image) gives no states to generated tokens, which the "
                        "other picture's run does not have");
    return TAP_OK;
}

static tap_status want(void *owner, const float **values, uint64_t *key,
                       const tap_picture_rows *rows, tap_error *err)
{
    tap_pictures *p = owner;
    request *r = NULL;
    size_t which = 0;
    TAP_TRY(find(&which, p, rows->path, err));
    TAP_TRY(check_layout(&p->list[which], rows, err));
    TAP_TRY(tap_grow(&p->requests, &p->request_capacity, p->n_requests + 1,
                     sizeof *p->requests, "a picture", err));
    TAP_TRY(tap_alloc(&r, 1, sizeof *r, "a picture", err));
    p->requests[p->n_requests++] = r;
    *r = (request){.picture = which,
                   .site = rows->site,
                   .stack = rows->stack,
                   .block = rows->block,
                   .d = rows->d};
    TAP_TRY(tap_alloc(&r->rows, (size_t)rows->n_rows, sizeof *r->rows,
                      "the states of a picture", err));
    TAP_TRY(tap_alloc(&r->values, (size_t)rows->n_rows,
                      (size_t)rows->d * sizeof *r->values, "the states of a picture",
                      err));
    r->n_rows = rows->n_rows;
    memcpy(r->rows, rows->rows, (size_t)rows->n_rows * sizeof *r->rows);
    *values = r->values;
    *key = p->list[which].groups.key | 1; /* never 0: it stands for the states */
    return TAP_OK;
}

tap_status tap_pictures_open(tap_pictures **out, const tap_model *model,
                             const char *prompt, tap_error *err)
{
    tap_pictures *p = NULL;
    TAP_TRY(tap_alloc(&p, 1, sizeof *p, "pictures", err));
    *p = (tap_pictures){
        .model = model, .prompt = prompt, .plans = {.owner = p, .want = want}};
    *out = p;
    return TAP_OK;
}

const tap_plan_pictures *tap_pictures_plans(const tap_pictures *pictures)
{
    return &pictures->plans;
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    tap_pictures *p = owner;
    for (size_t i = 0; i < p->n_requests; i++) {
        request *r = p->requests[i];
        if (r->picture != p->running || r->is_filled || r->site != state->site ||
            r->block != state->block || (r->block >= 0 && r->stack != state->stack))
            continue;
        if (state->d != r->d || r->rows[r->n_rows - 1] >= state->n_rows)
            return TAP_FAIL(err, TAP_EBUG, "%s of '%s' has %lld rows of %lld",
                            tap_site_about(r->site)->name, p->list[r->picture].path,
                            (long long)state->n_rows, (long long)state->d);
        for (int64_t k = 0; k < r->n_rows; k++)
            memcpy(r->values + k * r->d, state->values + r->rows[k] * r->d,
                   (size_t)r->d * sizeof *r->values);
        r->is_filled = true;
    }
    return TAP_OK;
}

static tap_status run(tap_pictures *p, const tap_kernels *kernels, int n_threads,
                      tap_error *err)
{
    tap_wanted wanted = {0};
    bool any = false;
    for (size_t i = 0; i < p->n_requests; i++) {
        const request *r = p->requests[i];
        if (r->picture != p->running || r->is_filled)
            continue;
        any = true;
        if (r->block < 0)
            wanted.once[r->site] = true;
        else
            tap_bits_set(wanted.blocks[r->stack][r->site], r->block);
    }
    if (!any)
        return TAP_OK;
    const tap_scene *scene = &p->list[p->running].scene;
    const tap_plan *clean = NULL;
    const tap_item item = {
        .pixels = &scene->pixels, .sequence = &scene->sequence, .plans = &clean};
    const tap_run_options options = {
        .kernels = kernels, .n_threads = n_threads, .all_rows = true};
    const tap_sink sink = {.owner = p, .wanted = &wanted, .put = put};
    return tap_run(NULL, p->model, &item, 1, 1, &options, &sink, err);
}

tap_status tap_pictures_fill(tap_pictures *pictures, const tap_kernels *kernels,
                             int n_threads, tap_error *err)
{
    tap_pictures *p = pictures;
    for (p->running = 0; p->running < p->n; p->running++)
        TAP_TRY(run(p, kernels, n_threads, err));
    for (size_t i = 0; i < p->n_requests; i++)
        p->requests[i]->is_filled = true; /* what is not met is not read either */
    return TAP_OK;
}

void tap_pictures_close(tap_pictures *pictures)
{
    if (!pictures)
        return;
    for (size_t i = 0; i < pictures->n_requests; i++) {
        tap_free(pictures->requests[i]->rows);
        tap_free(pictures->requests[i]->values);
        tap_free(pictures->requests[i]);
    }
    tap_free(pictures->requests);
    for (size_t i = 0; i < pictures->n; i++) {
        tap_groups_clear(&pictures->list[i].groups);
        tap_scene_clear(&pictures->list[i].scene);
        tap_free(pictures->list[i].path);
    }
    tap_free(pictures->list);
    tap_free(pictures);
}

/* tapetum answer: how probable is an answer, and does a cut change it? The answer is fed
 * to the model token by token behind the prompt (role: generated), so its first token
 * depends on the prompt's last position, each further one on those before it. */
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/subject.h"
#include "read/lens.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { MAX_ANSWERS = 64 };

/* One answer, as the sequence that holds the prompt and all its tokens but the last. */
typedef struct reply {
    const char *text;
    int32_t *ids; /* [n_ids] */
    int64_t n_ids;
    tap_scene scene; /* the subject's, with a sequence of its own */
    tap_groups groups;
    tap_plan **plans; /* [n_conditions] */
    int64_t *rows;    /* [n_ids] positions whose next token is the answer's */
} reply;

typedef struct asking {
    tap_subject subject;
    reply *replies;
    int64_t n_replies;
    tap_spelling *tokens; /* [n_tokens] distinct tokens of all answers */
    int64_t n_tokens;
    uint64_t *depths;
    tap_lens *lens;
} asking;

/* A sequence that ends in the answer's tokens but the last. */
static tap_status extend(reply *r, const tap_scene *scene, tap_error *err)
{
    const tap_sequence *from = &scene->sequence;
    tap_sequence *s = &r->scene.sequence;
    r->scene = *scene;
    s->n_tok = from->n_tok + r->n_ids - 1;
    s->ids = NULL;
    s->tokens = NULL;
    if (s->n_tok > scene->model->spec.lm.n_positions)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the prompt, its image and the answer need %lld positions, the "
                        "model has %lld",
                        (long long)s->n_tok,
                        (long long)scene->model->spec.lm.n_positions);
    const size_t n = (size_t)s->n_tok, n_prompt = (size_t)from->n_tok;
    TAP_TRY(tap_alloc(&s->ids, n, sizeof *s->ids, "an answer", err));
    TAP_TRY(tap_alloc(&s->tokens, n, sizeof *s->tokens, "an answer", err));
    TAP_TRY(tap_alloc(&r->rows, (size_t)r->n_ids, sizeof *r->rows, "an answer", err));
    memcpy(s->ids, from->ids, n_prompt * sizeof *s->ids);
    memcpy(s->tokens, from->tokens, n_prompt * sizeof *s->tokens);
    for (int64_t i = 0; i < r->n_ids; i++) {
        r->rows[i] = from->n_tok - 1 + i;
        if (i == 0)
            continue;
        s->ids[r->rows[i]] = r->ids[i - 1];
        s->tokens[r->rows[i]] = (tap_token){
            .role = TAP_ROLE_GEN, .tile = -1, .row = -1, .col = -1, .feature = -1};
    }
    return TAP_OK;
}

static tap_status compile(reply *r, const tap_subject *s, int n_threads, tap_error *err)
{
    tap_plan_sizes sizes;
    tap_reg reg = {{NULL, NULL}};
    bool needs_reg = false;
    tap_status status = TAP_OK;
    for (int64_t c = 0; c < s->n_conditions; c++) {
        tap_condition *condition = NULL;
        TAP_TRY(tap_condition_parse(&condition, s->texts[c], err));
        needs_reg |= tap_condition_names(condition, "reg");
        tap_condition_free(condition);
    }
    if (needs_reg)
        TAP_TRY(tap_reg_find(&reg, &r->scene, n_threads, err));
    const tap_group_input input = {.scene = &r->scene,
                                   .part = s->part,
                                   .object = s->object,
                                   .other_part = s->other_part,
                                   .threshold = 0.5,
                                   .reg = needs_reg ? &reg : NULL,
                                   .scorer = tap_intgrad_scorer(s->intgrad)};
    tap_spec_plan_sizes(&sizes, &s->model->spec);
    sizes.pictures = tap_pictures_plans(s->pictures);
    TAP_TRY_OUT(tap_group_compile(&r->groups, &input, err));
    TAP_TRY_OUT(tap_alloc(&r->plans, (size_t)s->n_conditions, sizeof(tap_plan *),
                          "plans", err));
    for (int64_t c = 0; c < s->n_conditions; c++) {
        const tap_plan_runs runs = {
            .names = s->texts, .plans = (const tap_plan *const *)r->plans, .n = c};
        tap_condition *condition = NULL;
        sizes.runs = &runs;
        TAP_TRY_OUT(tap_condition_parse(&condition, s->texts[c], err));
        status = tap_plan_compile(&r->plans[c], condition, &r->groups, &sizes, err);
        tap_condition_free(condition);
        if (status != TAP_OK)
            goto out;
    }
out:
    tap_reg_clear(&reg);
    return status;
}

static tap_status open_replies(asking *a, const tap_cli *cli, tap_error *err)
{
    size_t n = 0, n_tokens = 0, capacity = 0;
    const char *const *texts = tap_args_list(&n, cli->args, "answer");
    if (n == 0 || n > MAX_ANSWERS)
        return TAP_FAIL(err, TAP_EINVAL,
                        "%s; add --answer TEXT, as in --answer yes --answer no",
                        n ? "more than 64 answers" : "no answer to weigh");
    TAP_TRY(tap_alloc(&a->replies, n, sizeof *a->replies, "answers", err));
    for (size_t i = 0; i < n; i++) {
        reply *r = &a->replies[i];
        a->n_replies = (int64_t)i + 1;
        r->text = texts[i];
        const tap_status status =
            tap_reply_ids(&r->ids, &r->n_ids, &a->subject.scene, r->text, err);
        if (status != TAP_OK)
            return tap_wrap(err, status, "an answer");
        TAP_TRY(extend(r, &a->subject.scene, err));
        TAP_TRY(compile(r, &a->subject, cli->n_threads, err));
        for (int64_t t = 0; t < r->n_ids; t++) {
            size_t at = 0;
            while (at < n_tokens && *a->tokens[at].ids != r->ids[t])
                at++;
            if (at < n_tokens)
                continue;
            TAP_TRY(tap_grow(&a->tokens, &capacity, n_tokens + 1, sizeof *a->tokens,
                             "answers", err));
            a->tokens[n_tokens++] = (tap_spelling){&r->ids[t], 1};
        }
    }
    a->n_tokens = (int64_t)n_tokens;
    for (int64_t c = 0; c < a->subject.n_conditions; c++) {
        const tap_plan *plan = NULL;
        for (int64_t i = 0; tap_plan_is_clean(plan) && i < a->n_replies; i++)
            plan = a->replies[i].plans[c];
        tap_subject_note(&a->subject, cli, c, plan);
    }
    return tap_pictures_fill(a->subject.pictures, tap_cli_kernels(cli), cli->n_threads,
                             err);
}

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

/* Reads the last depth at the rows of every answer: the model's own logits. */
static tap_status run(asking *a, const tap_cli *cli, tap_error *err)
{
    const tap_subject *s = &a->subject;
    const tap_kernels *kernels = tap_cli_kernels(cli);
    const int n_threads = cli->n_threads > 0 ? cli->n_threads : omp_get_num_procs();
    const int n = s->model->spec.lm.stack.n_blocks;
    const int64_t *rows[MAX_ANSWERS];
    int64_t n_rows[MAX_ANSWERS];
    tap_item items[MAX_ANSWERS];
    for (int64_t i = 0; i < a->n_replies; i++) {
        const reply *r = &a->replies[i];
        rows[i] = r->rows;
        n_rows[i] = r->n_ids;
        items[i] = (tap_item){.pixels = &s->scene.pixels,
                              .sequence = &r->scene.sequence,
                              .plans = (const tap_plan *const *)r->plans,
                              .read = r->rows,
                              .n_read = r->n_ids};
    }
    TAP_TRY(tap_alloc(&a->depths, (size_t)tap_bits_words(n + 1), sizeof *a->depths,
                      "depths", err));
    tap_bits_set(a->depths, n);
    const tap_lens_spec spec = {.spellings = a->tokens,
                                .n_spellings = a->n_tokens,
                                .depths = a->depths,
                                .rows = rows,
                                .n_rows = n_rows};
    TAP_TRY(tap_lens_open(&a->lens, s->model, kernels, n_threads, &spec, a->n_replies,
                          s->n_conditions, err));
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, a->lens);
    const tap_run_options options = {
        .kernels = kernels, .n_threads = n_threads, .all_rows = true};
    const tap_sink sink = {.owner = a->lens, .wanted = &wanted, .put = put_state};
    TAP_TRY(tap_run(NULL, s->model, items, a->n_replies, s->n_conditions, &options,
                    &sink, err));
    tap_lens_flush(a->lens);
    return TAP_OK;
}

/* What became of one answer under one condition. */
typedef struct weight {
    double log_p, p_first, rank_first, perplexity;
} weight;

static double log_p_of(double *rank, const asking *a, int64_t i, int64_t c, int64_t t)
{
    int64_t column = 0;
    while (*a->tokens[column].ids != a->replies[i].ids[t])
        column++;
    *rank = (double)tap_lens_ranks(a->lens, i, c)[t * a->n_tokens + column];
    return (double)tap_lens_scores(a->lens, i, c)[t * a->n_tokens + column] -
           (double)tap_lens_log_sums(a->lens, i, c)[t];
}

static weight weigh(const asking *a, int64_t i, int64_t c)
{
    weight w = {0};
    const int64_t n = a->replies[i].n_ids;
    for (int64_t t = 0; t < n; t++) {
        double rank = 0.0;
        const double log_p = log_p_of(&rank, a, i, c, t);
        w.log_p += log_p;
        if (t == 0) {
            w.p_first = exp(log_p);
            w.rank_first = rank;
        }
    }
    w.perplexity = exp(-w.log_p / (double)n);
    return w;
}

static tap_status put_json(const asking *a, int64_t i, int64_t c, const weight *w,
                           double change, bool chosen, tap_error *err)
{
    const reply *r = &a->replies[i];
    json_t *ids = json_array(), *log_ps = json_array();
    for (int64_t t = 0; t < r->n_ids && ids && log_ps; t++) {
        double rank = 0.0;
        (void)json_array_append_new(ids, json_integer(r->ids[t]));
        (void)json_array_append_new(log_ps, json_real(log_p_of(&rank, a, i, c, t)));
    }
    return tap_cli_put_json(
        json_pack("{s:o, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:b}",
                  "condition", tap_cli_json_text(a->subject.texts[c]), "answer",
                  tap_cli_json_text(r->text), "token_ids", ids, "log_ps", log_ps,
                  "log_p", w->log_p, "p", exp(w->log_p), "p_first", w->p_first,
                  "rank_first", w->rank_first, "perplexity", w->perplexity,
                  "change_of_p_first", change, "chosen", chosen),
        err);
}

static tap_status put_all(const asking *a, const tap_cli *cli, tap_error *err)
{
    double first[MAX_ANSWERS];
    for (int64_t c = 0; c < a->subject.n_conditions; c++) {
        int64_t chosen = 0;
        weight weights[MAX_ANSWERS];
        for (int64_t i = 0; i < a->n_replies; i++) {
            weights[i] = weigh(a, i, c);
            if (c == 0)
                first[i] = weights[i].p_first;
            if (weights[i].log_p > weights[chosen].log_p)
                chosen = i;
        }
        if (!cli->json)
            printf("%scondition: %s\n%-20s %10s %10s %8s %10s %9s\n", c ? "\n" : "",
                   a->subject.texts[c][0] ? a->subject.texts[c] : "clean", "answer",
                   "p", "p first", "rank", "perplexity", "change");
        for (int64_t i = 0; i < a->n_replies; i++) {
            const weight *w = &weights[i];
            const double change = w->p_first / first[i] - 1.0;
            if (cli->json)
                TAP_TRY(put_json(a, i, c, w, change, i == chosen, err));
            else
                printf("%-20s %10.3g %10.3g %8.10g %10.4g %8.1f%%%s\n",
                       a->replies[i].text, exp(w->log_p), w->p_first, w->rank_first,
                       w->perplexity, 100.0 * change, i == chosen ? "  chosen" : "");
        }
    }
    return TAP_OK;
}

tap_status tap_cmd_answer(tap_cli *cli, tap_error *err)
{
    asking a = {0};
    tap_status status = tap_subject_open(&a.subject, cli, err);
    if (status != TAP_OK)
        return status;
    if (a.subject.model->spec.lm.stack.n_blocks == 0)
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EUNSUPPORTED,
                             "this model is an encoder alone and gives no answers"));
    TAP_TRY_OUT(open_replies(&a, cli, err));
    TAP_TRY_OUT(run(&a, cli, err));
    TAP_TRY_OUT(put_all(&a, cli, err));
out:
    tap_lens_close(a.lens);
    for (int64_t i = 0; i < a.n_replies; i++) {
        reply *r = &a.replies[i];
        for (int64_t c = 0; r->plans && c < a.subject.n_conditions; c++)
            tap_plan_free(r->plans[c]);
        tap_free(r->plans);
        tap_groups_clear(&r->groups);
        tap_free(r->scene.sequence.ids);
        tap_free(r->scene.sequence.tokens);
        tap_free(r->rows);
        tap_free(r->ids);
    }
    tap_free(a.replies);
    tap_free(a.tokens);
    tap_free(a.depths);
    tap_subject_clear(&a.subject);
    return status;
}

/* tapetum attention: what chosen queries read, block by block and head by head. */
#include "cli/commands.h"
#include "cli/subject.h"
#include "model/run.h"

#include <omp.h>
#include <string.h>

/* What is kept: the rows of the queries, one block at a time. */
typedef struct reading {
    const tap_cli *cli;
    const tap_subject *subject;
    tap_stack stack;
    const uint64_t *heads; /* NULL: all */
    int n_heads;
    const char *const *groups; /* [n_groups] to sum over */
    const uint64_t **members;
    size_t n_groups;
} reading;

/* Sums of the weights of one row over each group, and over the rest. */
static void put_sums(json_t *object, const reading *r, const float *weights,
                     int64_t n_k)
{
    json_t *sums = json_object();
    for (size_t g = 0; g < r->n_groups && sums; g++) {
        double sum = 0.0;
        for (int64_t t = 0; t < n_k; t++)
            sum += tap_bits_get(r->members[g], t) ? (double)weights[t] : 0.0;
        (void)json_object_set_new(sums, r->groups[g], json_real(sum));
    }
    (void)json_object_set_new(object, "sums", sums);
}

static tap_status put_json(const reading *r, const tap_state *state, int condition,
                           int head, int64_t row, const float *weights, int64_t n_k,
                           tap_error *err)
{
    json_t *list = json_array();
    for (int64_t t = 0; t < n_k && list; t++)
        if (json_array_append_new(list, json_real((double)weights[t])) != 0)
            return TAP_FAIL(err, TAP_ENOMEM, "no memory left for weights");
    json_t *object =
        json_pack("{s:o, s:s, s:i, s:i, s:I, s:o}", "condition",
                  tap_cli_json_text(r->subject->texts[condition]), "stack",
                  tap_stack_name(r->stack), "block", state->block, "head", head,
                  "query", (json_int_t)(state->first_row + row), "weights", list);
    if (object && r->n_groups)
        put_sums(object, r, weights, n_k);
    return tap_cli_put_json(object, err);
}

/* One line for people: the mean over heads and queries of the sums over groups. */
static void print_line(const reading *r, const tap_state *state, int condition,
                       int64_t n_k)
{
    int n = 0;
    printf("%9d %5d", condition, state->block);
    for (int h = 0; h < r->n_heads; h++)
        n += !r->heads || tap_bits_get(r->heads, h);
    for (size_t g = 0; g < r->n_groups; g++) {
        double sum = 0.0;
        for (int h = 0; h < r->n_heads; h++) {
            if (r->heads && !tap_bits_get(r->heads, h))
                continue;
            for (int64_t q = 0; q < state->n_rows; q++)
                for (int64_t t = 0; t < n_k; t++)
                    if (tap_bits_get(r->members[g], t))
                        sum += (double)state->values[(h * state->n_rows + q) * n_k + t];
        }
        printf(" %10.6f", sum / (double)(n * state->n_rows));
    }
    printf("  queries %lld to %lld\n", (long long)state->first_row,
           (long long)(state->first_row + state->n_rows - 1));
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    const reading *r = owner;
    const int64_t n_k = state->d / r->n_heads;
    for (int64_t c = 0; c < state->n_conditions; c++) {
        const int condition = state->conditions[c];
        if (!r->cli->json) {
            print_line(r, state, condition, n_k);
            continue;
        }
        for (int h = 0; h < r->n_heads; h++) {
            if (r->heads && !tap_bits_get(r->heads, h))
                continue;
            for (int64_t q = 0; q < state->n_rows; q++)
                TAP_TRY(put_json(r, state, condition, h, q,
                                 state->values + (h * state->n_rows + q) * n_k, n_k,
                                 err));
        }
    }
    return TAP_OK;
}

/* The groups whose weights are summed: --sum, or those that every image has. */
static tap_status find_groups(reading *r, uint64_t ***own, tap_error *err)
{
    static const char *const lm[] = {"bos", "prefix", "image", "question"};
    static const char *const vision[] = {"cls", "image"};
    const tap_group_set *set = &r->subject->groups.stacks[r->stack];
    size_t n = 0;
    r->groups = tap_args_list(&n, r->cli->args, "sum");
    r->n_groups = n;
    if (n == 0) {
        r->groups = r->stack == TAP_LM ? lm : vision;
        r->n_groups = r->stack == TAP_LM ? 4 : 2;
    }
    TAP_TRY(tap_alloc(own, r->n_groups, sizeof **own, "groups", err));
    TAP_TRY(tap_alloc(&r->members, r->n_groups, sizeof *r->members, "groups", err));
    for (size_t g = 0; g < r->n_groups; g++) {
        TAP_TRY(tap_alloc(&(*own)[g], (size_t)tap_bits_words(set->n_tok),
                          sizeof(uint64_t), "groups", err));
        TAP_TRY(tap_group_bits((*own)[g], r->groups[g], r->stack, &r->subject->groups,
                               err));
        r->members[g] = (*own)[g];
    }
    return TAP_OK;
}

static void print_heading(const reading *r)
{
    for (int64_t c = 0; c < r->subject->n_conditions; c++)
        printf("condition %lld: %s\n", (long long)c,
               r->subject->texts[c][0] ? r->subject->texts[c] : "clean");
    printf("mean weight over heads and queries\ncondition block");
    for (size_t g = 0; g < r->n_groups; g++)
        printf(" %10.10s", r->groups[g]);
    putchar('\n');
}

static tap_status run(reading *r, const uint64_t *queries, tap_error *err)
{
    const tap_subject *s = r->subject;
    const tap_spec *spec = &s->model->spec;
    const tap_stack_spec *stack =
        r->stack == TAP_VISION ? &spec->vision.stack : &spec->lm.stack;
    const int n_blocks =
        r->stack == TAP_VISION ? spec->vision.n_blocks_read : stack->n_blocks;
    uint64_t blocks[TAP_MAX_BLOCKS / 64] = {0}, heads[TAP_MAX_BLOCKS / 64] = {0};
    tap_wanted wanted = {0};
    r->n_heads = stack->n_heads;
    if (tap_args_text(r->cli->args, "blocks"))
        TAP_TRY(tap_cli_ranges(blocks, r->cli, "blocks", n_blocks, err));
    else
        memset(blocks, 0xff, sizeof blocks);
    if (tap_args_text(r->cli->args, "heads")) {
        TAP_TRY(tap_cli_ranges(heads, r->cli, "heads", stack->n_heads, err));
        r->heads = heads;
    }
    for (int b = 0; b < n_blocks; b++)
        if (tap_bits_get(blocks, b))
            tap_bits_set(wanted.blocks[r->stack][TAP_SITE_PATTERN], b);
    tap_item item = {.pixels = &s->scene.pixels,
                     .sequence = &s->scene.sequence,
                     .plans = (const tap_plan *const *)s->plans};
    item.map_rows[r->stack] = queries;
    const tap_run_options options = {.kernels = tap_cli_kernels(r->cli),
                                     .n_threads = r->cli->n_threads,
                                     .all_rows = true};
    const tap_sink sink = {.owner = r, .wanted = &wanted, .put = put};
    if (!r->cli->json)
        print_heading(r);
    const tap_status status =
        tap_run(NULL, s->model, &item, 1, s->n_conditions, &options, &sink, err);
    r->heads = NULL; /* they stand here */
    return status;
}

tap_status tap_cmd_attention(tap_cli *cli, tap_error *err)
{
    tap_subject s = {0};
    reading r = {.cli = cli,
                 .subject = &s,
                 .stack = tap_args_choice(cli->args, "stack") ? TAP_VISION : TAP_LM};
    uint64_t *queries = NULL, **own = NULL;
    tap_status status = tap_subject_open(&s, cli, err);
    if (status != TAP_OK)
        return status;
    tap_subject_notes(&s, cli);
    const tap_group_set *set = &s.groups.stacks[r.stack];
    const char *text = tap_args_text(cli->args, "queries");
    if (r.stack == TAP_LM)
        TAP_TRY_OUT(tap_model_demand_decoder(s.model, err));
    if (!text)
        text = r.stack == TAP_LM              ? "last"
               : s.model->spec.vision.has_cls ? "cls"
                                              : "image";
    TAP_TRY_OUT(tap_alloc(&queries, (size_t)tap_bits_words(set->n_tok), sizeof *queries,
                          "queries", err));
    TAP_TRY_OUT(tap_group_bits(queries, text, r.stack, &s.groups, err));
    if (tap_bits_count(queries, tap_bits_words(set->n_tok)) == 0)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EINVAL, "the queries '%s' are no token here", text));
    TAP_TRY_OUT(find_groups(&r, &own, err));
    TAP_TRY_OUT(run(&r, queries, err));
out:
    for (size_t g = 0; own && g < r.n_groups; g++)
        tap_free(own[g]);
    tap_free(own);
    tap_free(r.members);
    tap_free(queries);
    tap_subject_clear(&s);
    return status;
}

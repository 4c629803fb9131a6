/* Attention a second time, from the run's own q, k and v: additive masks, f64, loops in the
 * order of the formula. Where the kernels multiply in bf16, q, k and v are rounded here
 * too, and an output may be off by what rounding its weights can do. Nothing of the plans
 * takes part but their text, which is written out here once more as a rule of its own. */
#include "base/memory.h"
#include "read/check_own.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The conditions: what each adds to the score of an edge between two tokens. */
enum { CUT, ONE_HEAD, SCALED, N_RULES };

static const char *const texts[N_RULES] = {
    "vision: image <- image|cls; lm: image <- image",
    "vision.h[0]: image <- image|cls; lm.h[0]: image <- image",
    "vision: image <- image|cls scale 0.5; lm: image <- image scale 0.5"};

static double added(int rule, tap_stack stack, int head, const tap_token *q,
                    const tap_token *k, bool self)
{
    const bool image =
        q->role == TAP_ROLE_PATCH &&
        (k->role == TAP_ROLE_PATCH || (stack == TAP_VISION && k->role == TAP_ROLE_CLS));
    if (self || !image || (rule == ONE_HEAD && head != 0))
        return 0.0;
    return rule == SCALED ? log(0.5) : -(double)INFINITY;
}

enum { N_SAMPLES = 8 }; /* query rows of a stack */

/* q, k, v of the block in hand, of each condition. */
typedef struct copies {
    float *values[3];
    size_t n_bytes[3];
} copies;

typedef struct second {
    const tap_check_bench *bench;
    copies states[N_RULES];
    int64_t rows[TAP_N_STACKS][N_SAMPLES];
    int n_rows[TAP_N_STACKS];
    uint64_t *sampled[TAP_N_STACKS];
    double *weights; /* [n_tok] of one row */
    bool rounds;     /* the kernels' products are bf16 */
    double worst_sum, worst_on_cut, worst_weight, worst_z, sum_z2;
    int64_t n_weights, n_z;
} second;

static const tap_stack_spec *stack_of(const second *s, tap_stack stack)
{
    const tap_spec *spec = &s->bench->spec->model->spec;
    return stack == TAP_VISION ? &spec->vision.stack : &spec->lm.stack;
}

/* A factor of a product, as the kernels see it. */
static double factor(const second *s, float x)
{
    return (double)(s->rounds ? tap_from_bf16(tap_to_bf16(x)) : x);
}

/* weights [n_tok] of a row and head in f64. */
static void weigh(second *s, tap_stack stack, int rule, int64_t row, int head,
                  int64_t n_tok)
{
    const tap_stack_spec *spec = stack_of(s, stack);
    const int64_t d = spec->d_head, d_q = (int64_t)spec->n_heads * d,
                  d_kv = (int64_t)spec->n_kv_heads * d;
    const float *q = s->states[rule].values[0] + row * d_q + head * d;
    const float *k =
        s->states[rule].values[1] + head / (spec->n_heads / spec->n_kv_heads) * d;
    const tap_token *tokens = s->bench->groups.stacks[stack].tokens;
    const int64_t n_tile = stack == TAP_VISION
                               ? tap_vision_rows(&s->bench->spec->model->spec.vision)
                               : n_tok;
    double max = -INFINITY, sum = 0.0;
    for (int64_t t = 0; t < n_tok; t++) {
        const bool allowed = stack == TAP_LM ? t <= row : t / n_tile == row / n_tile;
        double score = 0.0;
        for (int64_t i = 0; allowed && i < d; i++)
            score += factor(s, q[i]) * factor(s, k[t * d_kv + i]);
        s->weights[t] =
            allowed ? score / sqrt((double)d) +
                          added(rule, stack, head, &tokens[row], &tokens[t], t == row)
                    : -(double)INFINITY;
        max = fmax(max, s->weights[t]);
    }
    for (int64_t t = 0; t < n_tok; t++) {
        s->weights[t] = exp(s->weights[t] - max);
        sum += s->weights[t];
    }
    for (int64_t t = 0; t < n_tok; t++)
        s->weights[t] /= sum;
}

/* pattern [n_heads][n_rows][n_k]: its sums, its cut edges, and each weight. */
static void check_pattern(second *s, const tap_state *state, int rule)
{
    const int n_heads = stack_of(s, state->stack)->n_heads;
    const int64_t n_k = state->d / n_heads;
    const tap_token *tokens = s->bench->groups.stacks[state->stack].tokens;
    for (int h = 0; h < n_heads; h++)
        for (int64_t r = 0; r < state->n_rows; r++) {
            const int64_t row = state->first_row + r;
            const float *w = state->values + (h * state->n_rows + r) * n_k;
            double sum = 0.0;
            weigh(s, state->stack, rule, row, h, n_k);
            for (int64_t t = 0; t < n_k; t++) {
                sum += (double)w[t];
                s->worst_weight =
                    fmax(s->worst_weight, fabs((double)w[t] - s->weights[t]));
                if (isinf(added(rule, state->stack, h, &tokens[row], &tokens[t],
                                t == row)))
                    s->worst_on_cut = fmax(s->worst_on_cut, fabs((double)w[t]));
            }
            s->worst_sum = fmax(s->worst_sum, fabs(sum - 1.0));
            s->n_weights += n_k;
        }
}

/* z of the sampled rows against the second implementation. */
static void check_z(second *s, const tap_state *state, int rule)
{
    const tap_stack_spec *spec = stack_of(s, state->stack);
    const int64_t d = spec->d_head, d_kv = (int64_t)spec->n_kv_heads * d;
    for (int i = 0; i < s->n_rows[state->stack]; i++)
        for (int h = 0; h < spec->n_heads; h++) {
            const int64_t row = s->rows[state->stack][i];
            const float *v =
                s->states[rule].values[2] + h / (spec->n_heads / spec->n_kv_heads) * d;
            weigh(s, state->stack, rule, row, h, state->n_rows);
            for (int64_t j = 0; j < d; j++) {
                double z = 0.0, size = 0.0;
                for (int64_t t = 0; t < state->n_rows; t++) {
                    const double part = s->weights[t] * factor(s, v[t * d_kv + j]);
                    z += part;
                    size += fabs(part);
                }
                double gap =
                    fabs((double)state->values[row * state->d + h * d + j] - z);
                if (s->rounds) /* each weight to 8 bits */
                    gap = isnan(gap) ? gap : fmax(0.0, gap - 0x1p-8 * size);
                s->worst_z = fmax(s->worst_z, isnan(gap) ? (double)INFINITY : gap);
                s->sum_z2 += z * z;
                s->n_z++;
            }
        }
}

static tap_status put(void *owner, const tap_state *state, tap_error *err)
{
    second *s = owner;
    const int which = state->site == TAP_SITE_Q   ? 0
                      : state->site == TAP_SITE_K ? 1
                      : state->site == TAP_SITE_V ? 2
                                                  : -1;
    for (int64_t c = 0; c < state->n_conditions; c++) {
        const int rule = state->conditions[c];
        if (which >= 0) {
            copies *to = &s->states[rule];
            const size_t n = (size_t)(state->n_rows * state->d) * sizeof(float);
            if (n > to->n_bytes[which]) {
                tap_free(to->values[which]);
                to->values[which] = NULL;
                to->n_bytes[which] = 0;
                TAP_TRY(tap_alloc(&to->values[which], n, 1, "a check", err));
                to->n_bytes[which] = n;
            }
            memcpy(to->values[which], state->values, n);
        } else if (state->site == TAP_SITE_PATTERN) {
            check_pattern(s, state, rule);
        } else {
            check_z(s, state, rule);
        }
    }
    return TAP_OK;
}

/* Edges that the rule of the condition cuts, and that the base mask allows, of one head. */
static void count_edges(int64_t *allowed, int64_t *cut, const tap_check_bench *bench,
                        tap_stack stack, int rule, int head)
{
    const tap_group_set *set = &bench->groups.stacks[stack];
    const int64_t n_tile = stack == TAP_VISION
                               ? tap_vision_rows(&bench->spec->model->spec.vision)
                               : set->n_tok;
    *allowed = *cut = 0;
    for (int64_t q = 0; q < set->n_tok; q++)
        for (int64_t k = 0; k < set->n_tok; k++) {
            if (stack == TAP_LM ? k > q : k / n_tile != q / n_tile)
                continue;
            ++*allowed;
            *cut += isinf(added(rule, stack, head, &set->tokens[q], &set->tokens[k],
                                k == q)) != 0;
        }
}

/* Heads whose receipt is not what the rule says. */
static int64_t check_receipts(int64_t *n, const tap_check_bench *bench,
                              const tap_receipts *receipts)
{
    int64_t wrong = 0;
    for (int rule = 0; rule < N_RULES; rule++)
        for (int stack = 0; stack < TAP_N_STACKS; stack++)
            for (int h = 0; h < receipts->n_heads[stack]; h++) {
                int64_t allowed = 0, cut = 0;
                if (h < 2) /* the others are as head 1 */
                    count_edges(&allowed, &cut, bench, (tap_stack)stack, rule, h);
                for (int b = 0; h < 2 && b < receipts->n_blocks[stack]; b++) {
                    const tap_head_receipt *r =
                        tap_receipts_block(receipts, 0, rule, (tap_stack)stack, b) + h;
                    wrong += r->allowed != allowed || r->cut != cut ||
                             r->used != allowed - cut || r->weight_on_cut > 0.0;
                    ++*n;
                }
            }
    return wrong;
}

/* ---- kernels that cannot ---- */

static tap_status put_nothing(void *owner, const tap_state *state, tap_error *err)
{
    (void)state;
    (void)err;
    ++*(int64_t *)owner;
    return TAP_OK;
}

/* Runs a condition of each mode on kernels that do not offer it: *taken counts those that
 * were computed all the same, *n all. */
static tap_status check_refusals(int *taken, int *n, tap_check_bench *bench,
                                 tap_error *err)
{
    static const struct {
        const char *text;
        unsigned mode;
    } cases[] = {{"vision: image <- image", TAP_ATTEND_CUT},
                 {"lm: image <- image", TAP_ATTEND_CUT},
                 {"lm: image <- image scale 0.5", TAP_ATTEND_SCALE},
                 {"lm: image <- image zero", TAP_ATTEND_ZERO},
                 {"lm: image <- image uniform", TAP_ATTEND_UNIFORM},
                 {"lm: image <- image freeze", TAP_ATTEND_FREEZE},
                 {NULL, TAP_ATTEND_MAPS}};

    const tap_check_spec *spec = bench->spec;
    *taken = *n = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_kernels plain = *spec->kernels;
        int64_t n_states = 0;
        tap_error refusal;
        tap_wanted wanted = {0};
        plain.attends &= ~cases[i].mode;
        tap_bits_set(wanted.blocks[TAP_VISION][cases[i].text ? TAP_SITE_RESID_POST
                                                             : TAP_SITE_PATTERN],
                     0);
        TAP_TRY(tap_check_compile(bench, &cases[i].text, 1, err));
        const tap_item item = {.pixels = &spec->scene->pixels,
                               .sequence = &spec->scene->sequence,
                               .plans = (const tap_plan *const *)bench->plans};
        const tap_run_options options = {.kernels = &plain,
                                         .n_threads = spec->n_threads};
        const tap_sink sink = {
            .owner = &n_states, .wanted = &wanted, .put = put_nothing};
        const tap_status status =
            tap_run(NULL, spec->model, &item, 1, 1, &options, &sink, &refusal);
        if (status != TAP_OK && status != TAP_EUNSUPPORTED)
            return TAP_FAIL(err, status, "%s", refusal.message);
        *taken += status == TAP_OK || n_states > 0;
        ++*n;
    }
    return TAP_OK;
}

static tap_status open_second(second *s, tap_check_bench *bench, tap_error *err)
{
    int64_t most = 1;
    s->bench = bench;
    s->rounds = strcmp(bench->spec->kernels->compute, "bf16") == 0;
    for (int stack = 0; stack < TAP_N_STACKS; stack++) {
        const int64_t n = bench->groups.stacks[stack].n_tok;
        most = n > most ? n : most;
        TAP_TRY(tap_alloc(&s->sampled[stack], (size_t)tap_bits_words(n),
                          sizeof(uint64_t), "a check", err));
        for (int i = 0; i < N_SAMPLES; i++) {
            const int64_t row = (2 * i + 1) * n / (2 * N_SAMPLES);
            if (tap_bits_get(s->sampled[stack], row))
                continue;
            tap_bits_set(s->sampled[stack], row);
            s->rows[stack][s->n_rows[stack]++] = row;
        }
    }
    TAP_TRY(tap_alloc(&s->weights, (size_t)most, sizeof *s->weights, "a check", err));
    return tap_check_compile(bench, texts, N_RULES, err);
}

tap_status tap_check_attention(tap_check_row *sums, tap_check_row *second_row,
                               tap_check_bench *bench, tap_error *err)
{
    static const tap_site sites[] = {TAP_SITE_Q, TAP_SITE_K, TAP_SITE_V, TAP_SITE_Z,
                                     TAP_SITE_PATTERN};
    const tap_check_spec *spec = bench->spec;
    const int n_blocks[] = {spec->model->spec.vision.n_blocks_read,
                            spec->model->spec.lm.stack.n_blocks};
    second s = {0};
    tap_receipts receipts = {0};
    tap_wanted wanted = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(open_second(&s, bench, err));
    for (int stack = 0; stack < TAP_N_STACKS; stack++)
        for (int b = 0; b < n_blocks[stack]; b++)
            for (int i = 0; i < 5; i++)
                tap_bits_set(wanted.blocks[stack][sites[i]], b);
    const tap_item item = {.pixels = &spec->scene->pixels,
                           .sequence = &spec->scene->sequence,
                           .plans = (const tap_plan *const *)bench->plans,
                           .map_rows = {s.sampled[TAP_VISION], s.sampled[TAP_LM]}};
    const tap_run_options options = {.kernels = spec->kernels,
                                     .n_threads = spec->n_threads,
                                     .all_rows = true,
                                     .share_nothing = true};
    const tap_sink sink = {.owner = &s, .wanted = &wanted, .put = put};
    TAP_TRY_OUT(
        tap_run(&receipts, spec->model, &item, 1, N_RULES, &options, &sink, err));

    int taken = 0, n_refusals = 0;
    TAP_TRY_OUT(check_refusals(&taken, &n_refusals, bench, err));
    int64_t n_receipts = 0;
    const int64_t wrong = check_receipts(&n_receipts, bench, &receipts);
    sums->largest = fmax(s.worst_sum, s.worst_on_cut);
    (void)snprintf(sums->compared, sizeof sums->compared,
                   "%lld weights of sampled rows within 1e-5, %lld receipts",
                   (long long)s.n_weights, (long long)n_receipts);
    tap_check_judge(
        sums,
        s.n_weights > 0 && s.worst_sum <= 1e-5 && s.worst_on_cut <= 0.0 && wrong == 0,
        "sums are off by %.2g, weight on cut edges %.2g, %lld receipts count "
        "other edges than the condition names",
        s.worst_sum, s.worst_on_cut, (long long)wrong);
    const double rms = sqrt(s.sum_z2 / (double)(s.n_z > 0 ? s.n_z : 1));
    second_row->largest = fmax(s.worst_weight, rms > 0.0 ? s.worst_z / rms : 0.0);
    (void)snprintf(
        second_row->compared, sizeof second_row->compared,
        "%lld weights, %lld outputs of sampled rows, within 1e-4 of the rms; "
        "%d refusals",
        (long long)s.n_weights, (long long)s.n_z, n_refusals);
    tap_check_judge(second_row, s.n_z > 0 && rms > 0.0 && second_row->largest <= 1e-4,
                    "weights differ by %.2g, outputs by %.2g of their rms",
                    s.worst_weight, rms > 0.0 ? s.worst_z / rms : 0.0);
    if (second_row->verdict == TAP_HOLDS)
        tap_check_judge(
            second_row, taken == 0,
            "%d of %d conditions ran on kernels that cannot do what they ask", taken,
            n_refusals);
out:
    for (int r = 0; r < N_RULES; r++)
        for (int i = 0; i < 3; i++)
            tap_free(s.states[r].values[i]);
    for (int stack = 0; stack < TAP_N_STACKS; stack++)
        tap_free(s.sampled[stack]);
    tap_free(s.weights);
    tap_receipts_clear(&receipts);
    return status;
}

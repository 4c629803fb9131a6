/* Which runs does a batch need beside those that were asked for, and in which order?
 *
 * `freeze` reads the attention of the clean run, patch(NAME) the states of another run of
 * the same image. Such a source becomes a lane of its own where the caller has none, and
 * stands before every lane that reads it: a block is computed in the order of the lanes,
 * so what is read has been computed, and only one block's worth of it is ever kept. */
#include "model/pass.h"

#include "base/planted.h"

#include <assert.h>
#include <string.h>

/* The lanes of one item in the making. */
typedef struct lanes {
    const tap_plan **plans;
    int32_t *conditions; /* the caller's; -1: nobody asked for it */
    size_t n, plan_capacity, condition_capacity;
} lanes;

static tap_status add(lanes *l, const tap_plan *plan, int32_t condition, tap_error *err)
{
    TAP_TRY(tap_grow(&l->plans, &l->plan_capacity, l->n + 1, sizeof(tap_plan *),
                     "a run", err));
    TAP_TRY(tap_grow(&l->conditions, &l->condition_capacity, l->n + 1,
                     sizeof *l->conditions, "a run", err));
    l->plans[l->n] = plan;
    l->conditions[l->n++] = condition;
    return TAP_OK;
}

static int64_t find(const tap_plan *const *plans, int64_t n, const tap_plan *plan)
{
    for (int64_t i = 0; i < n; i++)
        if (plans[i] == plan || tap_plan_equal(plans[i], plan))
            return i;
    return -1;
}

/* The k-th block plan of a plan, outside blocks first; NULL after the last. */
static const tap_block_plan *part(const tap_plan *plan, int k)
{
    if (k < TAP_N_STAGES)
        return &plan->once[k];
    k -= TAP_N_STAGES;
    for (int s = 0; s < TAP_N_STACKS; k -= plan->n_blocks[s++])
        if (k < plan->n_blocks[s])
            return &plan->blocks[s][k];
    return NULL;
}

/* Calls for every run that the plan reads, until one returns false. */
typedef bool (*on_need)(void *owner, const tap_plan *source);

static bool each_need(const tap_plan *plan, on_need put, void *owner)
{
    const tap_block_plan *b = NULL;
    for (int k = 0; plan && (b = part(plan, k)); k++) {
        if (b->edges && b->edges->frozen && !put(owner, NULL))
            return false;
        for (int i = 0; i < b->n_edits; i++)
            if (b->edits[i].from_run && !put(owner, b->edits[i].run))
                return false;
    }
    return true;
}

static bool stop(void *owner, const tap_plan *source)
{
    (void)owner;
    (void)source;
    return false;
}

typedef struct adder {
    lanes *lanes;
    bool needs_clean;
    tap_status status;
    tap_error *err;
} adder;

static bool add_source(void *owner, const tap_plan *source)
{
    adder *a = owner;
    a->needs_clean |= tap_plan_is_clean(source);
    if (find(a->lanes->plans, (int64_t)a->lanes->n, source) < 0)
        a->status = add(a->lanes, source, -1, a->err);
    return a->status == TAP_OK;
}

typedef struct waiting {
    const lanes *lanes;
    const bool *placed;
} waiting;

static bool is_placed(void *owner, const tap_plan *source)
{
    const waiting *w = owner;
    return w->placed[find(w->lanes->plans, (int64_t)w->lanes->n, source)];
}

/* order [n]: the clean run first where it is read, then every lane after its sources. */
static tap_status sort(int64_t *order, const lanes *l, bool needs_clean, tap_error *err)
{
    bool *placed = NULL;
    TAP_TRY(tap_alloc(&placed, l->n, sizeof *placed, "a run", err));
    waiting w = {l, placed};
    size_t n = 0;
    if (needs_clean) {
        order[n] = find(l->plans, (int64_t)l->n, NULL);
        placed[order[n++]] = true;
    }
    while (n < l->n) {
        const size_t before = n;
        for (size_t i = 0; i < l->n; i++)
            if (!placed[i] && each_need(l->plans[i], is_placed, &w)) {
                order[n++] = (int64_t)i;
                placed[i] = true;
            }
        assert(n > before); /* a plan reads plans that were compiled before it */
    }
    tap_free(placed);
    return TAP_OK;
}

static tap_status plan_item(lanes *out, bool *reads, const tap_job *job, int64_t item,
                            tap_error *err)
{
    lanes l = {0};
    int64_t *order = NULL;
    adder a = {.lanes = &l, .err = err};
    tap_status status = TAP_OK;
    for (int64_t c = 0; c < job->n_conditions; c++)
        TAP_TRY_OUT(add(&l, job->items[item].plans[c], (int32_t)c, err));
    for (size_t i = 0; i < l.n; i++) {
        *reads |= !each_need(l.plans[i], stop, NULL);
        (void)each_need(l.plans[i], add_source, &a);
        TAP_TRY_OUT(a.status);
    }
    TAP_TRY_OUT(tap_alloc(&order, l.n, sizeof *order, "a run", err));
    TAP_TRY_OUT(sort(order, &l, a.needs_clean, err));
    for (size_t i = 0; i < l.n; i++)
        TAP_TRY_OUT(add(out, l.plans[order[i]], l.conditions[order[i]], err));
out:
    tap_free(order);
    tap_free(l.plans);
    tap_free(l.conditions);
    return status;
}

/* All items get the same number of lanes: missing ones repeat the first, and are shared. */
static tap_status adopt(tap_job *job, const lanes *each, tap_error *err)
{
    size_t n = 0;
    for (int64_t i = 0; i < job->n_items; i++)
        n = each[i].n > n ? each[i].n : n;
    const size_t n_items = (size_t)job->n_items;
    const tap_plan **plans = NULL;
    TAP_TRY(tap_alloc(&job->own_items, n_items, sizeof *job->own_items, "a run", err));
    TAP_TRY(tap_alloc(&job->own_plans, n_items, n * sizeof(tap_plan *), "a run", err));
    TAP_TRY(tap_alloc(&job->condition_of, n_items, n * sizeof *job->condition_of,
                      "a run", err));
    plans = job->own_plans;
    for (int64_t i = 0; i < job->n_items; i++) {
        const tap_plan **row = plans + i * (int64_t)n;
        for (size_t c = 0; c < n; c++) {
            row[c] = each[i].plans[c < each[i].n ? c : 0];
            job->condition_of[i * (int64_t)n + (int64_t)c] =
                c < each[i].n ? each[i].conditions[c] : -1;
        }
        job->own_items[i] = job->items[i];
        job->own_items[i].plans = row;
    }
    job->items = job->own_items;
    job->n_conditions = (int64_t)n;
    return TAP_OK;
}

/* Decoder rows that edits read: up to the last one. */
static tap_status find_rows(tap_job *job, tap_error *err)
{
    TAP_TRY(tap_alloc(&job->least_rows, (size_t)job->n_items, sizeof *job->least_rows,
                      "a run", err));
    for (int64_t l = 0; l < job->n_items * job->n_conditions; l++) {
        const int64_t i = l / job->n_conditions;
        const tap_plan *plan = job->items[i].plans[l % job->n_conditions];
        const uint64_t *bits = plan ? plan->rows_read[TAP_LM] : NULL;
        int64_t t = bits ? job->items[i].sequence->n_tok : 0;
        while (t > job->least_rows[i] && !tap_bits_get(bits, t - 1))
            t--;
        job->least_rows[i] = t > job->least_rows[i] ? t : job->least_rows[i];
    }
    return TAP_OK;
}

tap_status tap_job_lanes(tap_job *job, tap_error *err)
{
    lanes *each = NULL;
    bool reads = false;
    tap_status status = TAP_OK;
    job->n_asked = job->n_conditions;
    TAP_TRY(tap_alloc(&each, (size_t)job->n_items, sizeof *each, "a run", err));
    for (int64_t i = 0; i < job->n_items; i++)
        TAP_TRY_OUT(plan_item(&each[i], &reads, job, i, err));
    if (reads)
        TAP_TRY_OUT(adopt(job, each, err));
    TAP_TRY_OUT(find_rows(job, err));
out:
    for (int64_t i = 0; i < job->n_items; i++) {
        tap_free(each[i].plans);
        tap_free(each[i].conditions);
    }
    tap_free(each);
    return status;
}

/* ---- kernels ---- */

tap_status tap_kernels_check(const tap_kernels *kernels, const tap_plan *plan,
                             unsigned needs, tap_error *err)
{
    static const char *const what[] = {"knockout", "scale",  "zero",
                                       "uniform",  "freeze", "scores and pattern"};
    const tap_block_plan *b = NULL;
    for (int k = 0; plan && (b = part(plan, k)); k++)
        needs |= tap_edges_need(b->edges);
    const unsigned lacks = needs & ~kernels->attends;
    if (lacks == 0 || TAP_PLANTED(TAP_BUG_KERNEL_UNASKED))
        return TAP_OK;
    int first = 0;
    while (!(lacks >> first & 1))
        first++;
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "the kernels '%s' cannot do '%s': their attention would run as if "
                    "nothing had been asked; run with others",
                    kernels->name, what[first]);
}

tap_status tap_job_check_kernels(const tap_job *job, tap_error *err)
{
    unsigned maps = 0;
    for (int s = 0; s < TAP_N_STACKS; s++)
        for (int b = 0; b < TAP_MAX_BLOCKS; b++)
            if (tap_sink_wants(job->sink, TAP_SITE_SCORES, (tap_stack)s, b) ||
                tap_sink_wants(job->sink, TAP_SITE_PATTERN, (tap_stack)s, b))
                maps = TAP_ATTEND_MAPS;
    for (int64_t i = 0; i < job->n_items; i++)
        for (int64_t c = 0; c < job->n_conditions; c++)
            TAP_TRY(tap_kernels_check(job->kernels, job->items[i].plans[c], maps, err));
    return TAP_OK;
}

void tap_job_lanes_clear(tap_job *job)
{
    tap_free(job->least_rows);
    tap_free(job->own_items);
    tap_free(job->own_plans);
    tap_free(job->condition_of);
}

int64_t tap_job_source(const tap_job *job, int64_t item, const tap_plan *plan)
{
    const int64_t at = find(job->items[item].plans, job->n_conditions, plan);
    assert(at >= 0);
    return item * job->n_conditions + at;
}

int64_t tap_job_asked(const tap_job *job, const tap_span *span)
{
    int64_t n = 0;
    for (int64_t i = 0; i < span->n_lanes; i++) {
        const int32_t condition = job->condition_of
                                      ? job->condition_of[span->lanes[i]]
                                      : (int32_t)(span->lanes[i] % job->n_conditions);
        if (condition >= 0)
            job->conditions[n++] = condition;
    }
    return n;
}

#include "model/decode_edits.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

typedef struct maker {
    tap_row_plan *out;
    int64_t n_prompt;
    int32_t condition;
    tap_error *err;
} maker;

/* Zeroed memory of the plan. */
static tap_status own(maker *m, void *out, size_t n, size_t bytes)
{
    tap_row_plan *p = m->out;
    void *memory = NULL;
    TAP_TRY(tap_grow(&p->owned, &p->capacity, p->n_owned + 1, sizeof *p->owned, "edits",
                     m->err));
    TAP_TRY(tap_alloc(&memory, n, bytes, "edits of generated tokens", m->err));
    p->owned[p->n_owned++] = memory;
    memcpy(out, &memory, sizeof memory);
    return TAP_OK;
}

static tap_status refuse(const maker *m, const tap_edit *e, int block, const char *why)
{
    char where[TAP_SITE_NAME_BYTES];
    const char *name = tap_site_about(e->site)->name;
    if (block < 0)
        (void)snprintf(where, sizeof where, "%s", name);
    else
        (void)snprintf(where, sizeof where, "lm.%d.%s", block, name);
    return TAP_FAIL(
        m->err, TAP_EUNSUPPORTED,
        "'%s' of generated tokens at %s: %s leave them out of the group with "
        "'-gen'",
        tap_edit_names[e->kind], where, why);
}

/* Whether the edit can work on rows that are made one after another. */
static tap_status check(const maker *m, const tap_edit *e, int block)
{
    if (e->kind == TAP_EDIT_PERMUTE)
        return refuse(m, e, block,
                      "a permutation needs all its rows at once, and these come one "
                      "after another;");
    if (e->from_run)
        return refuse(m, e, block,
                      "another run writes other words, so its rows are not theirs;");
    for (int64_t i = 0; i < e->n_from; i++)
        if (e->from[i] >= m->n_prompt)
            return refuse(m, e, block,
                          "it reads generated tokens, which are not there yet when the "
                          "first is edited; read the prompt, as in mean(image), or");
    return TAP_OK;
}

/* A copy of what stands in `from` with edits for generated rows alone. */
static tap_status make(maker *m, tap_block_plan *to, const tap_block_plan *from,
                       int block)
{
    tap_edit *edits = NULL;
    *to = *from;
    to->edits = NULL;
    to->n_edits = 0;
    if (from->n_edits == 0)
        return TAP_OK;
    TAP_TRY(own(m, &edits, (size_t)from->n_edits, sizeof *edits));
    to->edits = edits;
    for (int i = 0; i < from->n_edits; i++) {
        const tap_edit *e = &from->edits[i];
        int64_t lo = e->n_rows;
        while (lo > 0 && e->rows[lo - 1] >= m->n_prompt)
            lo--;
        if (lo == e->n_rows)
            continue;
        TAP_TRY(check(m, e, block));
        tap_edit *mine = &edits[to->n_edits++];
        m->out->edits = true;
        *mine = *e;
        if (e->n_from == 0)
            continue;
        float *values = NULL;
        TAP_TRY(
            own(m, &values, (size_t)(e->n_rows - lo), (size_t)e->d * sizeof *values));
        mine->kind = TAP_EDIT_PATCH;
        mine->rows = e->rows + lo;
        mine->n_rows = e->n_rows - lo;
        mine->n_from = 0;
        mine->values = values;
        TAP_TRY(tap_grow(&m->out->later, &m->out->later_capacity, m->out->n_later + 1,
                         sizeof *m->out->later, "edits", m->err));
        m->out->later[m->out->n_later++] = (tap_later_rows){.edit = e,
                                                            .condition = m->condition,
                                                            .block = block,
                                                            .lo = lo,
                                                            .values = values};
    }
    return TAP_OK;
}

tap_status tap_row_plan_open(tap_row_plan *out, const tap_plan *plan, int64_t n_prompt,
                             int32_t condition, tap_error *err)
{
    maker m = {.out = out, .n_prompt = n_prompt, .condition = condition, .err = err};
    tap_block_plan *blocks = NULL;
    const int n = plan->n_blocks[TAP_LM];
    *out = (tap_row_plan){.plan = *plan};
    TAP_TRY(own(&m, &blocks, (size_t)n, sizeof *blocks));
    out->plan.blocks[TAP_LM] = blocks;
    TAP_TRY(
        make(&m, &out->plan.once[TAP_STAGE_EMBED], &plan->once[TAP_STAGE_EMBED], -1));
    for (int b = 0; b < n; b++)
        TAP_TRY(make(&m, &blocks[b], &plan->blocks[TAP_LM][b], b));
    return TAP_OK;
}

void tap_row_plan_clear(tap_row_plan *plan)
{
    for (size_t i = 0; i < plan->n_owned; i++)
        tap_free(plan->owned[i]);
    tap_free(plan->owned);
    tap_free(plan->later);
    *plan = (tap_row_plan){0};
}

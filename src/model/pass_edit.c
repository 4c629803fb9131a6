/* Edits inside the forward pass: what is kept of one run for another, where edits act, and
 * what the receipt says of them.
 *
 * HOW IT WORKS. Before a block, everything that some lane of it will read of another lane
 * is listed: rows of a patched site, queries and keys of a clean run whose attention is
 * frozen. When the rows of such a source pass the site they are copied; lanes are ordered so
 * that readers come later (run_lanes.c). The list dies with the block. */
#include "model/pass.h"

#include <assert.h>
#include <string.h>

/* What a plan does in a block of a stack, or in a stage outside blocks (block -1). */
static const tap_block_plan *part_of(const tap_plan *plan, tap_stack stack, int block,
                                     tap_stage stage)
{
    if (!plan)
        return NULL;
    return block >= 0 ? &plan->blocks[stack][block] : &plan->once[stage];
}

static size_t rounded(size_t n_floats)
{
    return (n_floats + 15) / 16 * 16; /* as the arena aligns */
}

/* Lists what lanes read of other lanes in one block or stage. out NULL: counts only. */
static int64_t list_reads(tap_capture *out, size_t *n_floats, const tap_job *job,
                          tap_stack stack, int block, tap_stage stage)
{
    const tap_stack_spec *s = stack == TAP_VISION ? &job->model->spec.vision.stack
                                                  : &job->model->spec.lm.stack;
    int64_t n = 0;
    for (int64_t i = 0; i < job->n_items; i++) {
        bool frozen = false;
        for (int64_t c = 0; c < job->n_conditions; c++) {
            const tap_block_plan *b =
                part_of(job->items[i].plans[c], stack, block, stage);
            frozen |= b && b->edges && b->edges->frozen;
            for (int e = 0; b && e < b->n_edits; e++) {
                const tap_edit *edit = &b->edits[e];
                if (!edit->from_run)
                    continue;
                if (out)
                    out[n] = (tap_capture){.edit = edit,
                                           .lane = tap_job_source(job, i, edit->run),
                                           .item = i,
                                           .site = edit->site,
                                           .d = edit->d,
                                           .n_rows = edit->n_rows};
                *n_floats += rounded((size_t)(edit->n_rows * edit->d));
                n++;
            }
        }
        for (int k = 0; frozen && k < 2; k++) {
            const int64_t d = (int64_t)(k ? s->n_kv_heads : s->n_heads) * s->d_head;
            const int64_t n_rows = tap_job_rows(job, stack, i);
            if (out)
                out[n] = (tap_capture){.lane = tap_job_source(job, i, NULL),
                                       .item = i,
                                       .site = k ? TAP_SITE_K : TAP_SITE_Q,
                                       .d = d,
                                       .n_rows = n_rows};
            *n_floats += rounded((size_t)(n_rows * d));
            n++;
        }
    }
    return n;
}

size_t tap_job_read_bytes(const tap_job *job, tap_stack stack)
{
    size_t most = 0;
    const int n_stages = TAP_N_STAGES, n = job->depth[stack];
    for (int k = 0; k < n + n_stages; k++) {
        size_t n_floats = 0;
        const int64_t n_reads =
            list_reads(NULL, &n_floats, job, stack, k < n ? k : -1,
                       k < n ? TAP_STAGE_VISION : (tap_stage)(k - n));
        const size_t bytes =
            n_floats * sizeof(float) + rounded((size_t)n_reads * sizeof(tap_capture));
        most = bytes > most ? bytes : most;
    }
    return most;
}

int64_t tap_job_edit_floats(const tap_job *job, tap_stack stack)
{
    const tap_spec *spec = &job->model->spec;
    const tap_stack_spec *s =
        stack == TAP_VISION ? &spec->vision.stack : &spec->lm.stack;
    const int64_t d_patch = 3 * (int64_t)spec->vision.patch_px * spec->vision.patch_px;
    const int64_t widths[] = {s->d_model,
                              (int64_t)s->n_heads * s->d_head,
                              s->d_mlp,
                              stack == TAP_VISION ? d_patch : 0,
                              stack == TAP_VISION ? spec->d_projector_in : 0,
                              stack == TAP_VISION ? spec->d_projector_out : 0};
    int64_t n_rows = 1, d = 1;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        d = widths[i] > d ? widths[i] : d;
    for (int64_t i = 0; i < job->n_items; i++) {
        const int64_t rows = tap_job_rows(job, stack, i),
                      slots = job->items[i].sequence->layout.n_slots;
        n_rows = rows > n_rows ? rows : n_rows;
        n_rows = stack == TAP_VISION && slots > n_rows ? slots : n_rows;
    }
    return n_rows * d;
}

tap_status tap_pass_listen(tap_pass *pass, tap_stage stage, tap_error *err)
{
    tap_job *job = pass->job;
    size_t n_floats = 0;
    pass->captures = NULL;
    pass->n_captures =
        list_reads(NULL, &n_floats, job, pass->stack, pass->block, stage);
    if (pass->n_captures == 0)
        return TAP_OK;
    TAP_TRY(tap_arena_take(&pass->captures, &job->arena, (size_t)pass->n_captures,
                           sizeof *pass->captures, err));
    (void)list_reads(pass->captures, &n_floats, job, pass->stack, pass->block, stage);
    for (int64_t i = 0; i < pass->n_captures; i++) {
        tap_capture *c = &pass->captures[i];
        TAP_TRY(tap_arena_take(&c->values, &job->arena, (size_t)c->n_rows,
                               (size_t)c->d * sizeof *c->values, err));
    }
    return TAP_OK;
}

static bool has_lane(const tap_span *span, int64_t lane)
{
    for (int64_t i = 0; i < span->n_lanes; i++)
        if (span->lanes[i] == lane)
            return true;
    return false;
}

/* Rows of the sequence, from the span's first on, of which it holds all or some. */
static int64_t n_covered(const tap_pass *pass, const tap_span *span)
{
    return span->needs && span->needs->rows
               ? tap_job_rows(pass->job, pass->stack, span->item)
               : span->n_rows;
}

/* Copies the rows of a source that passes the site. */
static void keep(const tap_pass *pass, const tap_span *span, tap_site site,
                 const float *rows, int64_t d)
{
    for (int64_t i = 0; i < pass->n_captures; i++) {
        tap_capture *c = &pass->captures[i];
        if (c->site != site || c->item != span->item || c->is_kept ||
            !has_lane(span, c->lane))
            continue;
        assert(c->d == d);
        const int32_t *place_of = span->needs ? span->needs->place_of : NULL;
        const int64_t n_rows = n_covered(pass, span);
        for (int64_t r = 0; r < c->n_rows; r++) {
            const int64_t t = c->edit ? c->edit->rows[r] : r;
            const int64_t row = t >= n_rows ? -1 : place_of ? place_of[t] : t;
            if (row >= 0)
                memcpy(c->values + r * d, rows + row * d, (size_t)d * sizeof *rows);
        }
        c->is_kept = true;
    }
}

static tap_status find_kept(const float **values, const tap_pass *pass,
                            const tap_edit *edit, int64_t item, tap_site site,
                            tap_error *err)
{
    for (int64_t i = 0; i < pass->n_captures; i++) {
        const tap_capture *c = &pass->captures[i];
        if (c->edit == edit && c->item == item && c->site == site && c->is_kept) {
            *values = c->values;
            return TAP_OK;
        }
    }
    return TAP_FAIL(err, TAP_EBUG, "a run reads %s of another that is not computed yet",
                    tap_site_about(site)->name);
}

tap_status tap_pass_frozen(const float **q, const float **k, const tap_pass *pass,
                           int64_t item, tap_error *err)
{
    TAP_TRY(find_kept(q, pass, NULL, item, TAP_SITE_Q, err));
    return find_kept(k, pass, NULL, item, TAP_SITE_K, err);
}

static void note(const tap_pass *pass, const tap_span *span, const tap_block_receipt *r)
{
    tap_job *job = pass->job;
    const int64_t n = job->receipts ? tap_job_asked(job, span) : 0;
    for (int64_t i = 0; i < n; i++) {
        tap_block_receipt *sum = tap_receipts_of_states(
            job->receipts, span->item, job->conditions[i], pass->stack, pass->block);
        sum->states_edited += r->states_edited;
        sum->values_changed += r->values_changed;
        sum->largest_change = r->largest_change > sum->largest_change
                                  ? r->largest_change
                                  : sum->largest_change;
    }
}

/* Before a site is edited: what its edits will give to tokens that are not run yet. */
static void keep_later(const tap_pass *pass, const tap_span *span,
                       const tap_block_plan *plan, tap_site site, const float *rows,
                       int64_t d)
{
    tap_job *job = pass->job;
    for (int64_t k = 0; k < job->options->n_later; k++) {
        const tap_later_rows *l = &job->options->later[k];
        if (l->block != pass->block || l->edit->site != site)
            continue;
        for (int64_t c = 0, n = tap_job_asked(job, span); c < n; c++)
            for (int i = 0; job->conditions[c] == l->condition && i < plan->n_edits;
                 i++)
                if (plan->edits[i].hash == l->edit->hash)
                    tap_edit_later(l->values, rows, span->first_position,
                                   span->needs ? span->needs->place_of : NULL, d,
                                   l->edit, l->lo);
    }
}

tap_status tap_pass_edit(tap_pass *pass, const tap_span *span, tap_site site,
                         float *rows, int64_t d, tap_error *err)
{
    const tap_job *job = pass->job;
    const tap_plan *plan =
        job->items[span->item].plans[span->lanes[0] % job->n_conditions];
    const tap_block_plan *b =
        part_of(plan, pass->stack, pass->block, tap_site_stage(site));
    const float *patches[TAP_PLAN_EDITS] = {NULL};
    tap_block_receipt receipt = {0};
    bool any = false;
    for (int i = 0; b && i < b->n_edits; i++) {
        if (b->edits[i].site != site)
            continue;
        any = true;
        if (b->edits[i].from_run)
            TAP_TRY(find_kept(&patches[i], pass, &b->edits[i], span->item, site, err));
    }
    if (any) {
        keep_later(pass, span, b, site, rows, d);
        TAP_TRY(tap_edit_apply(rows, span->first_position, n_covered(pass, span),
                               span->needs ? span->needs->place_of : NULL, d, b->edits,
                               b->n_edits, site, patches, pass->made, &receipt, err));
        note(pass, span, &receipt);
        pass->states_edited += receipt.states_edited;
    }
    keep(pass, span, site, rows, d);
    return TAP_OK;
}

bool tap_plan_edits_before(const tap_block_plan *plan, tap_site site)
{
    for (int i = 0; plan && i < plan->n_edits; i++)
        if (plan->edits[i].site < site)
            return true;
    return false;
}

/* ---- proof ---- */

/* Rows that the edits of a block or stage must have written; n_rows were run. */
static int64_t due(const tap_block_plan *b, int64_t n_rows)
{
    int64_t n = 0;
    for (int i = 0; i < b->n_edits; i++)
        for (int64_t r = 0; r < b->edits[i].n_rows; r++)
            n += b->edits[i].rows[r] < n_rows;
    return n;
}

static tap_status check_place(const tap_job *job, int64_t item, int32_t condition,
                              tap_stack stack, int block, int64_t wanted,
                              tap_error *err)
{
    const tap_block_receipt *r =
        tap_receipts_states(job->receipts, item, condition, stack, block);
    if (r->states_edited == wanted)
        return TAP_OK;
    return TAP_FAIL(err, TAP_ENUMERIC,
                    "the receipt of %s block %d does not hold: %lld states were to be "
                    "edited, %lld were",
                    tap_stack_name(stack), block, (long long)wanted,
                    (long long)r->states_edited);
}

static tap_status check_lane(const tap_job *job, int64_t item, int64_t lane,
                             int32_t condition, int stages, tap_error *err)
{
    const tap_plan *plan = job->items[item].plans[lane];
    const bool seen = job->items[item].pixels != NULL;
    int64_t once[TAP_N_STACKS] = {0, 0};
    if (!plan)
        return TAP_OK;
    const int64_t n_lm = tap_job_rows(job, TAP_LM, item);
    if (stages >= 1 && seen)
        once[TAP_VISION] += due(&plan->once[TAP_STAGE_VISION], INT64_MAX);
    if (stages >= 2 && seen)
        once[TAP_VISION] += due(&plan->once[TAP_STAGE_PROJECTOR], INT64_MAX);
    if (stages >= 3)
        once[TAP_LM] = due(&plan->once[TAP_STAGE_EMBED], n_lm);
    for (int s = 0; s < TAP_N_STACKS; s++) {
        const int64_t n_rows = tap_job_rows(job, (tap_stack)s, item);
        TAP_TRY(check_place(job, item, condition, (tap_stack)s, -1, once[s], err));
        for (int b = 0; b < job->depth[s]; b++)
            TAP_TRY(check_place(job, item, condition, (tap_stack)s, b,
                                due(&plan->blocks[s][b], n_rows), err));
    }
    return TAP_OK;
}

tap_status tap_job_check_edits(const tap_job *job, int stages, tap_error *err)
{
    for (int64_t i = 0; job->edits && i < job->n_items; i++)
        for (int64_t c = 0; c < job->n_conditions; c++) {
            const int32_t condition = job->condition_of
                                          ? job->condition_of[i * job->n_conditions + c]
                                          : (int32_t)c;
            if (condition >= 0)
                TAP_TRY(check_lane(job, i, c, condition, stages, err));
        }
    return TAP_OK;
}

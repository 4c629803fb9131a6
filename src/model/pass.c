/* How the states of one stack move through its blocks: level by level, group by group.
 *
 * HOW IT WORKS. The tree says which states exist at each depth. A block is run for groups
 * of states that fit into the scratch of a pass. Norm, queries, keys and values depend on
 * the state that enters the block, so they are computed once per such state (an origin);
 * attention and everything after it once per state that leaves (a child). Rows are copied
 * from origin to child and updated in place. Each state holds the rows that are needed of
 * it (rows.c), close together: a child may hold fewer than its origin. */
#include "model/pass.h"

#include "base/file.h"
#include "base/planted.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The block's bookkeeping, sized for the largest level. */
typedef struct frame {
    tap_origin *origins;
    tap_span *spans;       /* of the group in hand */
    tap_span *query_spans; /* the same in q */
    int64_t *child_row;    /* [n_nodes + 1] rows of children in the states leaving */
    int64_t *origin_of;    /* [n_nodes] of a child */
    int64_t *query_rows;   /* [group_rows] rows of the group whose queries are needed */
    const tap_row_set **child_needs; /* [n_nodes] */
    tap_attend_args *args;
    tap_head_receipt *receipts; /* [n_nodes][n_heads] */
    float
        *copy; /* [group_rows][d] rows of origins that are not read in place, or NULL */
} frame;

bool tap_sink_wants(const tap_sink *sink, tap_site site, tap_stack stack, int block)
{
    if (block < 0)
        return sink->wanted->once[site];
    return (sink->wanted->blocks[stack][site][block / 64] >> (block % 64)) & 1;
}

int64_t tap_job_whole_floats(const tap_job *job, tap_stack stack)
{
    const tap_stack_spec *s = stack == TAP_VISION ? &job->model->spec.vision.stack
                                                  : &job->model->spec.lm.stack;
    const int64_t d_q = (int64_t)s->n_heads * s->d_head;

    const struct {
        tap_site site;
        int64_t d;
    } wide[] = {{TAP_SITE_Q, d_q}, {TAP_SITE_Z, d_q}, {TAP_SITE_MLP_ACT, s->d_mlp}};

    int64_t most = 0, d = s->d_model;
    for (int64_t i = 0; job->needs && i < job->n_items; i++)
        for (int64_t l = 0; l < job->n_conditions * (job->depth[stack] + 1); l++) {
            const tap_row_set *set = tap_job_lane_needs(
                job, stack, i * job->n_conditions + l / (job->depth[stack] + 1),
                (int)(l % (job->depth[stack] + 1)));
            const int64_t n = set->rows ? tap_job_rows(job, stack, i) : 0;
            most = n > most ? n : most;
        }
    for (int b = 0; b < job->depth[stack]; b++)
        for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
            if (wide[i].d > d && tap_sink_wants(job->sink, wide[i].site, stack, b))
                d = wide[i].d;
    return most * d;
}

tap_status tap_pass_spans(tap_span *out, const tap_pass *pass, int depth,
                          tap_error *err)
{
    const tap_level *level = &pass->tree->levels[depth];
    int64_t row = 0;
    for (int64_t i = 0; i < level->n_nodes; i++) {
        const tap_node *node = &level->nodes[i];
        const int64_t *lanes = level->lanes + node->first_lane;
        const tap_row_set *needs = NULL;
        TAP_TRY(tap_job_needs(&needs, pass->job, pass->stack, lanes, node->n_lanes,
                              depth, err));
        out[i] = (tap_span){.item = lanes[0] / pass->job->n_conditions,
                            .lanes = lanes,
                            .n_lanes = node->n_lanes,
                            .row = row,
                            .n_rows = needs->n,
                            .needs = needs};
        row += needs->n;
    }
    return TAP_OK;
}

/* What the first of some lanes does in a block of a stack; NULL: nothing. */
static const tap_block_plan *plan_of(const tap_job *job, tap_stack stack, int block,
                                     const int64_t *lanes)
{
    const tap_plan *plan =
        job->items[lanes[0] / job->n_conditions].plans[lanes[0] % job->n_conditions];
    return plan && block >= 0 ? &plan->blocks[stack][block] : NULL;
}

static const tap_block_plan *block_plan(const tap_pass *pass, const tap_span *span)
{
    return plan_of(pass->job, pass->stack, pass->block, span->lanes);
}

bool tap_job_edits(const tap_job *job)
{
    for (int64_t i = 0; i < job->n_items; i++)
        for (int64_t c = 0; c < job->n_conditions; c++) {
            const tap_plan *plan = job->items[i].plans[c];
            for (int s = 0; plan && s < TAP_N_STAGES; s++)
                if (plan->once[s].n_edits > 0)
                    return true;
            for (int s = 0; plan && s < TAP_N_STACKS; s++)
                for (int b = 0; b < plan->n_blocks[s]; b++)
                    if (plan->blocks[s][b].n_edits > 0)
                        return true;
        }
    return false;
}

void tap_pass_single(tap_pass *pass, const tap_span *span, int64_t n_rows)
{
    pass->single = *span;
    pass->single.row = 0;
    pass->single.n_rows = n_rows;
    pass->spans = &pass->single;
    pass->n_spans = 1;
    pass->n_rows = n_rows;
    pass->block = -1;
}

void tap_spread_rows(float *to, const tap_row_set *set, int64_t first, int64_t n,
                     const float *values, int64_t d)
{
    for (int64_t t = 0; t < n; t++, to += d) {
        const int32_t r = set->place_of[first + t];
        if (r >= 0)
            memcpy(to, values + r * d, (size_t)d * sizeof *to);
        for (int64_t i = 0; r < 0 && i < d; i++)
            to[i] = NAN;
    }
}

static tap_status put_span(const tap_pass *pass, const tap_span *span, tap_site site,
                           int block, const float *values, int64_t d, tap_error *err)
{
    tap_job *job = pass->job;
    const int64_t n = tap_job_asked(job, span);
    if (n == 0)
        return TAP_OK;
    tap_state state = {.site = site,
                       .stack = pass->stack,
                       .block = block,
                       .item = span->item,
                       .conditions = job->conditions,
                       .n_conditions = n,
                       .first_row = span->first_position,
                       .n_rows = span->n_rows,
                       .d = d,
                       .values = values};
    if (span->needs && span->needs->rows) {
        state.n_rows = tap_job_rows(job, pass->stack, span->item);
        state.values = pass->whole;
        tap_spread_rows(pass->whole, span->needs, 0, state.n_rows, values, d);
    }
    return job->sink->put(job->sink->owner, &state, err);
}

tap_status tap_pass_at(tap_pass *pass, tap_site site, float *values, int64_t d,
                       tap_error *err)
{
    const bool wanted = tap_sink_wants(pass->job->sink, site, pass->stack, pass->block);
    const bool queries = site == TAP_SITE_Q && pass->query_spans;
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const tap_span *span = queries ? &pass->query_spans[i] : &pass->spans[i];
        float *rows = values + span->row * d;
        if (pass->job->edits || pass->n_captures > 0)
            TAP_TRY(tap_pass_edit(pass, span, site, rows, d, err));
        if (wanted)
            TAP_TRY(put_span(pass, span, site, pass->block, rows, d, err));
    }
    return TAP_OK;
}

tap_status tap_pass_put_pixels(tap_pass *pass, const tap_span *span,
                               const float *values, tap_error *err)
{
    const tap_pixels *p = pass->job->items[span->item].pixels;
    tap_span whole = *span;
    whole.n_rows = p->n_tiles * 3;
    return put_span(pass, &whole, TAP_SITE_PIXELS, -1, values,
                    (int64_t)p->side_px * p->side_px, err);
}

static tap_status flush(const tap_pass *pass, int block, tap_error *err)
{
    const tap_sink *sink = pass->job->sink;
    for (int site = 0; sink->flush && site < TAP_N_SITES; site++)
        if (tap_sink_wants(sink, (tap_site)site, pass->stack, block))
            TAP_TRY(sink->flush(sink->owner, (tap_site)site, pass->stack, block, err));
    return TAP_OK;
}

/* Whether nobody needs an origin's queries and keys: none is looked at, and in each of its
 * children every row attends to one key alone. */
static bool is_unscored(const tap_job *job, tap_stack stack, const tap_origin *origin,
                        const tap_level *to, int block)
{
    static const tap_site shown[] = {TAP_SITE_Q, TAP_SITE_K, TAP_SITE_SCORES,
                                     TAP_SITE_PATTERN};
    if (job->edits || job->options->skip_nothing || TAP_PLANTED(TAP_BUG_MASK_IGNORED))
        return false;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (tap_sink_wants(job->sink, shown[i], stack, block))
            return false;
    for (int64_t c = 0; c < origin->n_children; c++) {
        const tap_node *node = &to->nodes[origin->first_child + c];
        const tap_block_plan *plan =
            plan_of(job, stack, block, to->lanes + node->first_lane);
        if (tap_job_scores(origin->queries, stack, plan ? plan->edges : NULL))
            return false;
    }
    return true;
}

tap_status tap_job_origins(tap_origin *out, int64_t *n, const tap_job *job,
                           tap_stack stack, const tap_tree *tree, int block,
                           tap_error *err)
{
    const tap_level *to = &tree->levels[block + 1];
    *n = 0;
    for (int64_t c = 0; c < to->n_nodes; c++) {
        const tap_node *node = &to->nodes[c];
        const int64_t *lanes = to->lanes + node->first_lane;
        const bool edited =
            tap_plan_edits_before(plan_of(job, stack, block, lanes), TAP_SITE_SCORES);
        tap_origin *last = *n > 0 ? &out[*n - 1] : NULL;
        if (last && !edited && !last->edited && node->parent == last->parent) {
            last->n_children++; /* lanes of neighbours stand side by side */
            last->n_lanes += node->n_lanes;
            continue;
        }
        out[(*n)++] = (tap_origin){.item = lanes[0] / job->n_conditions,
                                   .parent = node->parent,
                                   .first_child = c,
                                   .n_children = 1,
                                   .lanes = lanes,
                                   .n_lanes = node->n_lanes,
                                   .edited = edited};
    }
    for (int64_t i = 0; i < *n; i++) {
        TAP_TRY(tap_job_needs(&out[i].needs, job, stack, out[i].lanes, out[i].n_lanes,
                              block, err));
        TAP_TRY(tap_job_needs(&out[i].queries, job, stack, out[i].lanes, out[i].n_lanes,
                              block + 1, err));
        out[i].unscored = is_unscored(job, stack, &out[i], to, block);
    }
    return TAP_OK;
}

/* Where a row that is in the set stands in it. */
static int64_t row_in(const tap_row_set *set, int64_t place)
{
    return set->rows ? set->place_of[place] : place;
}

/* Rows `set` from those of a larger set `from` at x. */
static void copy_rows(float *to, const tap_row_set *set, const float *x,
                      const tap_row_set *from, int64_t d)
{
    if (set == from || !set->rows) { /* the first n of one are those of the other */
        memcpy(to, x, (size_t)(set->n * d) * sizeof *to);
        return;
    }
    for (int64_t r = 0; r < set->n; r++)
        memcpy(to + r * d, x + row_in(from, set->rows[r]) * d, (size_t)d * sizeof *to);
}

static tap_linear map_to(float *y, const tap_affine *w)
{
    return (tap_linear){y, w->weight.shape[0], &w->weight, tap_affine_bias(w)};
}

void tap_pass_project(tap_pass *pass, const tap_block_weights *w)
{
    const tap_kernels *k = pass->job->kernels;
    const int64_t d = pass->spec->d_model, n = pass->n_rows;
    const int64_t n_q = pass->query_rows ? pass->n_queries : n;
    tap_linear maps[3] = {map_to(pass->v, &w->v)};
    int n_maps = 1;
    if (pass->unscored) {
        memset(pass->q, 0, (size_t)(n_q * w->q.weight.shape[0]) * sizeof *pass->q);
        memset(pass->k, 0, (size_t)(n * w->k.weight.shape[0]) * sizeof *pass->k);
    } else {
        maps[n_maps++] = map_to(pass->k, &w->k);
        if (!pass->query_rows)
            maps[n_maps++] = map_to(pass->q, &w->q);
    }
    k->linears(maps, n_maps, pass->normed, d, n, &pass->job->work);
    if (pass->unscored || !pass->query_rows)
        return;
    for (int64_t i = 0; i < n_q; i++)
        memcpy(pass->out + i * d, pass->normed + pass->query_rows[i] * d,
               (size_t)d * sizeof *pass->out);
    const tap_linear queries = map_to(pass->q, &w->q);
    k->linears(&queries, 1, pass->out, d, n_q, &pass->job->work);
}

static void set_spans(tap_pass *pass, tap_span *spans, int64_t n)
{
    pass->spans = spans;
    pass->n_spans = n;
    pass->n_rows = n ? spans[n - 1].row + spans[n - 1].n_rows : 0;
}

/* Attention counts of a child belong to each of its lanes. */
static tap_status keep_receipts(const tap_pass *pass, const tap_span *span,
                                const tap_head_receipt *heads, tap_error *err)
{
    const tap_job *job = pass->job;
    const int n_heads = pass->spec->n_heads;
    for (int h = 0; h < n_heads; h++) {
        const tap_head_receipt *r = &heads[h];
        if (r->weight_on_cut > 0.0 || isnan(r->weight_on_cut) ||
            r->allowed != r->used + r->cut + r->zeroed)
            return TAP_FAIL(err, TAP_ENUMERIC,
                            "the receipt of %s block %d head %d does not hold: %lld "
                            "edges allowed, %lld used, %lld cut, %lld zeroed, weight "
                            "%g on cut edges",
                            pass->stack == TAP_VISION ? "vision" : "lm", pass->block, h,
                            (long long)r->allowed, (long long)r->used,
                            (long long)r->cut, (long long)r->zeroed, r->weight_on_cut);
    }
    const tap_block_plan *plan = block_plan(pass, span);
    const int64_t n = tap_job_asked(job, span);
    for (int64_t i = 0; i < n; i++) {
        const int64_t condition = job->conditions[i];
        const tap_head_receipt *place = tap_receipts_block(
            job->receipts, span->item, condition, pass->stack, pass->block);
        const size_t at = (size_t)(place - job->receipts->heads);
        memcpy(job->receipts->heads + at, heads, (size_t)n_heads * sizeof *heads);
        tap_receipts_of_states(job->receipts, span->item, condition, pass->stack,
                               pass->block)
            ->rows_kept_self = plan ? plan->rows_kept_self : 0;
    }
    return TAP_OK;
}

/* Scores and pattern of the rows that the sink wants, a run of neighbours at a time: the
 * same product once more, with the same bits. */
static tap_status put_maps(const tap_pass *pass, const tap_span *span,
                           const tap_attend_args *args, tap_error *err)
{
    const tap_job *job = pass->job;
    const uint64_t *wanted = job->items[span->item].map_rows[pass->stack];
    for (int64_t r = 0, n; r < args->n_q; r += n) {
        const int64_t row = args->rows ? args->rows[r] : args->first_q + r;
        n = 1;
        if (wanted && !tap_bits_get(wanted, row))
            continue;
        while (n < TAP_MAP_ROWS && r + n < args->n_q &&
               (!args->rows || args->rows[r + n] == row + n) &&
               (!wanted || tap_bits_get(wanted, row + n)))
            n++;
        tap_attend_args part = *args;
        part.n_q = n;
        part.q += r * args->stride_q;
        part.z += r * args->stride_z;
        if (args->q_clean)
            part.q_clean += r * args->stride_q;
        if (args->rows)
            part.rows += r;
        else
            part.first_q = row;
        part.receipt = NULL;
        part.scores = pass->scores;
        part.pattern = pass->pattern;
        job->kernels->attend(&part, 1, &job->work);
        const int64_t d = args->n_heads * args->n_k;
        tap_span rows = *span;
        rows.n_rows = n;
        rows.first_position = row;
        rows.needs = NULL;
        if (tap_sink_wants(job->sink, TAP_SITE_SCORES, pass->stack, pass->block))
            TAP_TRY(put_span(pass, &rows, TAP_SITE_SCORES, pass->block, pass->scores, d,
                             err));
        if (tap_sink_wants(job->sink, TAP_SITE_PATTERN, pass->stack, pass->block))
            TAP_TRY(put_span(pass, &rows, TAP_SITE_PATTERN, pass->block, pass->pattern,
                             d, err));
    }
    return TAP_OK;
}

/* Queries of a child that needs fewer than its origin has, moved to where their z will
 * stand: attention reads a query before it writes there. */
static const float *move_queries(const tap_pass *pass, const tap_span *span,
                                 const tap_origin *origin)
{
    const int64_t d = (int64_t)pass->spec->n_heads * pass->spec->d_head;
    const float *q = pass->q + origin->query * d;
    float *to = pass->z + span->row * d;
    if (span->needs == origin->queries)
        return q;
    for (int64_t r = 0; r < span->n_rows; r++)
        memcpy(to + r * d, q + row_in(origin->queries, tap_span_place(span, r)) * d,
               (size_t)d * sizeof *to);
    return to;
}

/* Attention of the children first .. first + n_spans, which are the spans in hand. */
static tap_status attend(tap_pass *pass, frame *f, int64_t first, tap_error *err)
{
    const tap_job *job = pass->job;
    const tap_stack_spec *s = pass->spec;
    const int64_t d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head;
    memset(f->receipts, 0, (size_t)(pass->n_spans * s->n_heads) * sizeof *f->receipts);
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const tap_span *span = &pass->spans[i];
        const tap_origin *origin = &f->origins[f->origin_of[first + i]];
        const tap_row_set *keys = origin->needs;
        const tap_block_plan *plan = block_plan(pass, span);
        f->args[i] = (tap_attend_args){
            .n_q = span->n_rows,
            .n_k = keys->rows ? tap_job_rows(job, pass->stack, span->item) : keys->n,
            .rows = span->needs->rows,
            .key_rows = keys->place_of,
            .n_heads = s->n_heads,
            .n_kv_heads = s->n_kv_heads,
            .d_head = s->d_head,
            .causal = pass->stack == TAP_LM,
            .segment = pass->stack == TAP_LM || keys->rows || span->needs->rows
                           ? 0
                           : tap_vision_rows(&job->model->spec.vision),
            .scale = (float)(1.0 / sqrt((double)s->d_head)),
            .q = move_queries(pass, span, origin),
            .k = pass->k + origin->row * d_kv,
            .v = pass->v + origin->row * d_kv,
            .stride_q = d_q,
            .stride_kv = d_kv,
            .edges = plan && !TAP_PLANTED(TAP_BUG_MASK_IGNORED) ? plan->edges : NULL,
            .z = pass->z + span->row * d_q,
            .stride_z = d_q,
            .receipt = TAP_PLANTED(TAP_BUG_RECEIPT_UNMEASURED)
                           ? NULL
                           : f->receipts + i * s->n_heads};
        if (plan && plan->edges && plan->edges->frozen)
            TAP_TRY(tap_pass_frozen(&f->args[i].q_clean, &f->args[i].k_clean, pass,
                                    span->item, err));
    }
    job->kernels->attend(f->args, pass->n_spans, &job->work);
    for (int64_t i = 0; i < pass->n_spans && (pass->scores || pass->pattern); i++)
        TAP_TRY(put_maps(pass, &pass->spans[i], &f->args[i], err));
    for (int64_t i = 0; i < pass->n_spans; i++)
        TAP_TRY(
            keep_receipts(pass, &pass->spans[i], f->receipts + i * s->n_heads, err));
    return TAP_OK;
}

/* Children first .. first + n of origins whose rows begin at x. */
static tap_status run_children(tap_pass *pass, frame *f, const tap_block_halves *halves,
                               const float *x, float *to_states, int64_t first,
                               int64_t n, tap_error *err)
{
    const tap_level *to = &pass->tree->levels[pass->block + 1];
    const int64_t d = pass->spec->d_model;
    float *rows = to_states + f->child_row[first] * d;
    for (int64_t i = 0; i < n; i++) {
        const tap_node *node = &to->nodes[first + i];
        const tap_origin *origin = &f->origins[f->origin_of[first + i]];
        const tap_row_set *needs = f->child_needs[first + i];
        f->spans[i] = (tap_span){.item = origin->item,
                                 .lanes = to->lanes + node->first_lane,
                                 .n_lanes = node->n_lanes,
                                 .row = f->child_row[first + i] - f->child_row[first],
                                 .n_rows = needs->n,
                                 .needs = needs};
        copy_rows(rows + f->spans[i].row * d, needs, x + origin->row * d, origin->needs,
                  d);
    }
    set_spans(pass, f->spans, n);
    TAP_TRY(attend(pass, f, first, err));
    TAP_TRY(halves->finish(pass, rows, err));
    return tap_pass_at(pass, TAP_SITE_RESID_POST, rows, d, err);
}

/* Which rows of the origins in hand are asked as queries, and where these will stand. */
static void find_queries(tap_pass *pass, frame *f, tap_origin *origins, int64_t n)
{
    bool all = true;
    pass->n_queries = 0;
    for (int64_t i = 0; i < n; i++) {
        tap_origin *o = &origins[i];
        all &= o->queries == o->needs;
        o->query = pass->n_queries;
        f->query_spans[i] = f->spans[i];
        f->query_spans[i].row = o->query;
        f->query_spans[i].n_rows = o->queries->n;
        f->query_spans[i].needs = o->queries;
        for (int64_t r = 0; r < o->queries->n; r++)
            f->query_rows[pass->n_queries++] =
                o->row + row_in(o->needs, tap_span_place(&f->query_spans[i], r));
    }
    pass->query_rows = all ? NULL : f->query_rows;
    pass->query_spans = all ? NULL : f->query_spans;
}

/* Whether an origin's rows are those of its parent, unchanged: then they are read there. */
static bool in_place(const tap_origin *origin, const tap_span *parents)
{
    return !origin->edited && origin->needs == parents[origin->parent].needs;
}

/* Origins first .. first + n, all of whose rows fit the scratch. */
static tap_status run_group(tap_pass *pass, frame *f, const tap_block_halves *halves,
                            const tap_span *parents, float *states, float *to_states,
                            int64_t first, int64_t n, tap_error *err)
{
    const int64_t d = pass->spec->d_model;
    tap_origin *origins = f->origins + first;
    const bool stay = in_place(origins, parents);
    float *x = stay ? states + parents[origins->parent].row * d : f->copy;
    for (int64_t i = 0, row = 0; i < n; i++) {
        tap_origin *o = &origins[i];
        const tap_span *parent = &parents[o->parent];
        o->row = row;
        f->spans[i] = (tap_span){.item = o->item,
                                 .lanes = o->lanes,
                                 .n_lanes = o->n_lanes,
                                 .row = row,
                                 .n_rows = o->needs->n,
                                 .needs = o->needs};
        if (!stay)
            copy_rows(x + row * d, o->needs, states + parent->row * d, parent->needs,
                      d);
        row += o->needs->n;
    }
    set_spans(pass, f->spans, n);
    pass->unscored = origins->unscored;
    find_queries(pass, f, origins, n);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_RESID_PRE, x, d, err));
    TAP_TRY(halves->project(pass, x, err));

    const int64_t begin = origins[0].first_child;
    const int64_t end = origins[n - 1].first_child + origins[n - 1].n_children;
    for (int64_t c = begin, m; c < end; c += m) {
        for (m = 1; c + m < end &&
                    f->child_row[c + m + 1] - f->child_row[c] <= pass->group_rows;)
            m++;
        TAP_TRY(run_children(pass, f, halves, x, to_states, c, m, err));
    }
    return TAP_OK;
}

/* Origins and children of the block in hand, and where the children's rows go. */
static tap_status plan_block(int64_t *n_origins, frame *f, const tap_pass *pass,
                             tap_error *err)
{
    const tap_level *to = &pass->tree->levels[pass->block + 1];
    TAP_TRY(tap_job_origins(f->origins, n_origins, pass->job, pass->stack, pass->tree,
                            pass->block, err));
    for (int64_t i = 0; i < *n_origins; i++)
        for (int64_t c = 0; c < f->origins[i].n_children; c++)
            f->origin_of[f->origins[i].first_child + c] = i;
    for (int64_t c = 0; c < to->n_nodes; c++) {
        const tap_node *node = &to->nodes[c];
        TAP_TRY(tap_job_needs(&f->child_needs[c], pass->job, pass->stack,
                              to->lanes + node->first_lane, node->n_lanes,
                              pass->block + 1, err));
        f->child_row[c + 1] = f->child_row[c] + f->child_needs[c]->n;
    }
    return TAP_OK;
}

static tap_status run_block(tap_pass *pass, frame *f, const tap_block_halves *halves,
                            const tap_span *parents, float *states, float *to_states,
                            tap_error *err)
{
    int64_t n = 0;
    TAP_TRY(plan_block(&n, f, pass, err));
    for (int64_t i = 0, m; i < n; i += m) {
        const tap_origin *o = &f->origins[i];
        const bool stay = in_place(o, parents);
        int64_t rows = o->needs->n;
        for (m = 1; i + m < n; m++) {
            const tap_origin *next = o + m;
            /* rows that are read in place must stand side by side */
            const bool apart =
                in_place(next, parents) != stay || next->unscored != o->unscored ||
                (stay && parents[next->parent].row != parents[o->parent].row + rows);
            if (apart || rows + next->needs->n > pass->group_rows)
                break;
            rows += next->needs->n;
        }
        TAP_TRY(run_group(pass, f, halves, parents, states, to_states, i, m, err));
    }
    pass->query_spans = NULL;
    pass->query_rows = NULL;
    return flush(pass, pass->block, err);
}

/* Asks for the weights of a block while the one before it is computed. */
static void fetch_block(const tap_pass *pass, int block)
{
    const tap_model *m = pass->job->model;
    if (block >= pass->tree->n_blocks)
        return;
    const tap_block_weights *w =
        pass->stack == TAP_VISION ? &m->vision_blocks[block] : &m->lm_blocks[block];
    const tap_affine *parts[] = {&w->q,    &w->k,  &w->v,   &w->o,
                                 &w->gate, &w->up, &w->down};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i]->weight.bytes)
            tap_file_advise(parts[i]->weight.bytes,
                            (size_t)tap_tensor_count(&parts[i]->weight) *
                                tap_dtype_bytes(parts[i]->weight.dtype),
                            true);
}

static tap_status alloc_frame(frame *f, const tap_pass *pass, bool edited,
                              tap_error *err)
{
    tap_arena *arena = &pass->job->arena;
    const size_t n = (size_t)pass->tree->n_lanes;
    TAP_TRY(tap_arena_take(&f->origins, arena, n, sizeof *f->origins, err));
    TAP_TRY(tap_arena_take(&f->spans, arena, n, sizeof *f->spans, err));
    TAP_TRY(tap_arena_take(&f->query_spans, arena, n, sizeof *f->query_spans, err));
    TAP_TRY(tap_arena_take(&f->child_row, arena, n + 1, sizeof *f->child_row, err));
    TAP_TRY(tap_arena_take(&f->origin_of, arena, n, sizeof *f->origin_of, err));
    TAP_TRY(tap_arena_take(&f->child_needs, arena, n, sizeof *f->child_needs, err));
    TAP_TRY(tap_arena_take(&f->query_rows, arena, (size_t)pass->group_rows,
                           sizeof *f->query_rows, err));
    TAP_TRY(tap_arena_take(&f->args, arena, n, sizeof *f->args, err));
    TAP_TRY(tap_arena_take(&f->receipts, arena, n * (size_t)pass->spec->n_heads,
                           sizeof *f->receipts, err));
    f->child_row[0] = 0;
    if (edited)
        TAP_TRY(tap_arena_take(&f->copy, arena, (size_t)pass->group_rows,
                               (size_t)pass->spec->d_model * sizeof *f->copy, err));
    return TAP_OK;
}

tap_status tap_pass_run(tap_pass *pass, const tap_block_halves *halves, float **states,
                        float **spare, tap_error *err)
{
    tap_job *job = pass->job;
    const size_t mark = tap_arena_mark(&job->arena);
    frame f = {0};
    tap_span *parents = NULL;
    TAP_TRY(tap_arena_take(&parents, &job->arena, (size_t)pass->tree->n_lanes,
                           sizeof *parents, err));
    TAP_TRY(alloc_frame(&f, pass, job->edits, err));
    for (pass->block = 0; pass->block < pass->tree->n_blocks; pass->block++) {
        TAP_TRY(tap_pass_spans(parents, pass, pass->block, err));
        fetch_block(pass, pass->block + 1);
        const size_t before = tap_arena_mark(&job->arena);
        TAP_TRY(tap_pass_listen(pass, TAP_STAGE_VISION, err));
        TAP_TRY(run_block(pass, &f, halves, parents, *states, *spare, err));
        pass->n_captures = 0;
        tap_arena_release(&job->arena, before);
        float *done = *states;
        *states = *spare;
        *spare = done;
    }
    /* the state that would enter the next block, when that is as deep as anyone reads */
    const int end = pass->tree->n_blocks;
    if (end < pass->spec->n_blocks &&
        tap_sink_wants(job->sink, TAP_SITE_RESID_PRE, pass->stack, end)) {
        const tap_level *level = &pass->tree->levels[end];
        TAP_TRY(tap_pass_spans(parents, pass, end, err));
        for (int64_t i = 0; i < level->n_nodes; i++)
            TAP_TRY(put_span(pass, &parents[i], TAP_SITE_RESID_PRE, end,
                             *states + parents[i].row * pass->spec->d_model,
                             pass->spec->d_model, err));
        if (job->sink->flush)
            TAP_TRY(job->sink->flush(job->sink->owner, TAP_SITE_RESID_PRE, pass->stack,
                                     end, err));
    }
    tap_arena_release(&job->arena, mark);
    return TAP_OK;
}

tap_status tap_pass_init(tap_pass *pass, tap_job *job, tap_stack stack,
                         const tap_tree *tree, tap_error *err)
{
    const tap_spec *spec = &job->model->spec;
    const tap_stack_spec *s =
        stack == TAP_VISION ? &spec->vision.stack : &spec->lm.stack;
    int64_t most = 1; /* rows of one state */
    for (int64_t i = 0; i < job->n_items; i++) {
        const int64_t rows = tap_job_rows(job, stack, i);
        most = rows > most ? rows : most;
    }
    const int64_t asked =
        job->options->group_rows > 0 ? job->options->group_rows : TAP_GROUP_ROWS;
    *pass = (tap_pass){.job = job,
                       .stack = stack,
                       .spec = s,
                       .tree = tree,
                       .group_rows = asked > most ? asked : most};
    const size_t n = (size_t)pass->group_rows;
    const size_t d_q = (size_t)(s->n_heads * s->d_head);
    const size_t d_kv = (size_t)(s->n_kv_heads * s->d_head);
    const size_t d = (size_t)s->d_model, d_mlp = (size_t)s->d_mlp;
    const bool lm = stack == TAP_LM;

    const struct {
        float **place;
        size_t width;
    } takes[] = {{&pass->normed, d},
                 {&pass->q, d_q},
                 {&pass->z, d_q},
                 {&pass->k, d_kv},
                 {&pass->v, d_kv},
                 {&pass->out, d},
                 {&pass->up, d_mlp},
                 {&pass->gate, lm ? d_mlp : 0},
                 {&pass->cos, lm ? (size_t)s->d_head / 2 : 0},
                 {&pass->sin, lm ? (size_t)s->d_head / 2 : 0}};

    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++)
        TAP_TRY(tap_arena_take(takes[i].place, &job->arena, n,
                               takes[i].width * sizeof(float), err));
    if (job->edits)
        TAP_TRY(tap_arena_take(&pass->made, &job->arena,
                               (size_t)tap_job_edit_floats(job, stack), sizeof(float),
                               err));
    bool scores = false, pattern = false;
    for (int b = 0; b < s->n_blocks; b++) {
        scores |= tap_sink_wants(job->sink, TAP_SITE_SCORES, stack, b);
        pattern |= tap_sink_wants(job->sink, TAP_SITE_PATTERN, stack, b);
    }
    const size_t map = (size_t)(TAP_MAP_ROWS * most * s->n_heads) * sizeof(float);
    if (scores)
        TAP_TRY(tap_arena_take(&pass->scores, &job->arena, 1, map, err));
    if (pattern)
        TAP_TRY(tap_arena_take(&pass->pattern, &job->arena, 1, map, err));
    const int64_t whole = tap_job_whole_floats(job, stack);
    if (whole > 0)
        TAP_TRY(tap_arena_take(&pass->whole, &job->arena, (size_t)whole, sizeof(float),
                               err));
    return TAP_OK;
}

/* How the states of one stack move through its blocks: level by level, group by group.
 *
 * HOW IT WORKS. The tree says which states exist at each depth. A block is run for groups
 * of states that fit into the scratch of a pass. Norm, queries, keys and values depend on
 * the state that enters the block, so they are computed once per such state (a source);
 * attention and everything after it once per state that leaves (a child). Rows are copied
 * from source to child and updated in place. In the decoder's last block only rows that
 * are read become children's rows: they stand close together until the block is done. */
#include "model/pass.h"

#include "base/file.h"
#include "base/planted.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* A state entering the block, with the children that share its queries and keys. */
typedef struct source {
    int64_t row, n_rows; /* in the states entering */
    int64_t first_child, n_children;
    bool edited; /* an edit before attention gives it rows of its own */
} source;

/* The block's bookkeeping, sized for the largest level. */
typedef struct frame {
    source *sources;
    tap_span *spans;      /* of the group in hand */
    int64_t *child_row;   /* [n_nodes + 1] rows of children in the states leaving */
    int64_t *child_from;  /* [n_nodes] row in the group's x */
    int64_t *child_query; /* [n_nodes] row in the group's q */
    int64_t *kept;        /* [group_rows] rows of the group's x that are read */
    tap_attend_args *args;
    tap_head_receipt *receipts; /* [n_nodes][n_heads] */
    float *copy;                /* [group_rows][d] rows of edited sources, or NULL */
} frame;

int64_t tap_job_rows(const tap_job *job, tap_stack stack, int64_t item)
{
    const tap_item *it = &job->items[item];
    if (stack == TAP_VISION) {
        const tap_vision_spec *v = &job->model->spec.vision;
        return it->pixels ? it->pixels->n_tiles * tap_vision_rows(v) : 0;
    }
    const tap_sequence *s = it->sequence;
    const int64_t least = job->least_rows ? job->least_rows[item] : 0;
    int64_t n =
        job->options->all_rows || s->n_image == 0 ? s->n_tok : s->last_image + 1;
    if (it->read && !job->options->skip_nothing) {
        assert(it->n_read > 0 && it->read[it->n_read - 1] < s->n_tok);
        n = it->read[it->n_read - 1] + 1;
    }
    return least > n ? least : n;
}

bool tap_sink_wants(const tap_sink *sink, tap_site site, tap_stack stack, int block)
{
    if (block < 0)
        return sink->wanted->once[site];
    return (sink->wanted->blocks[stack][site][block / 64] >> (block % 64)) & 1;
}

bool tap_job_keeps_some(const tap_job *job, tap_stack stack)
{
    static const tap_site whole[] = {TAP_SITE_RESID_PRE, TAP_SITE_ATTN_IN, TAP_SITE_K,
                                     TAP_SITE_V, TAP_SITE_RESID_POST};
    const int last = job->depth[stack] - 1;
    if (stack != TAP_LM || last < 0 || job->options->skip_nothing || job->edits)
        return false;
    for (int site = 0; site < TAP_N_SITES; site++) {
        bool works = false; /* with rows left out */
        for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
            works |= (int)whole[i] == site;
        if (!works && tap_sink_wants(job->sink, (tap_site)site, stack, last))
            return false;
    }
    for (int64_t i = 0; i < job->n_items; i++) {
        if (!job->items[i].read)
            return false;
        for (int64_t c = 0; c < job->n_conditions; c++) {
            const tap_plan *plan = job->items[i].plans[c];
            const tap_block_plan *block = plan ? &plan->blocks[stack][last] : NULL;
            if (block && block->edges && block->edges->frozen)
                return false;
        }
    }
    return true;
}

int64_t tap_pass_spans(tap_span *out, const tap_pass *pass, const tap_level *level)
{
    int64_t row = 0;
    for (int64_t i = 0; i < level->n_nodes; i++) {
        const tap_node *node = &level->nodes[i];
        const int64_t *lanes = level->lanes + node->first_lane;
        const int64_t item = lanes[0] / pass->job->n_conditions;
        const int64_t n_rows = tap_job_rows(pass->job, pass->stack, item);
        out[i] = (tap_span){.item = item,
                            .lanes = lanes,
                            .n_lanes = node->n_lanes,
                            .row = row,
                            .n_rows = n_rows};
        row += n_rows;
    }
    return row;
}

/* What happens to these rows in the block in hand; NULL: nothing. */
static const tap_block_plan *block_plan(const tap_pass *pass, const tap_span *span)
{
    const int64_t n = pass->job->n_conditions;
    const tap_plan *plan = pass->job->items[span->item].plans[span->lanes[0] % n];
    return plan && pass->block >= 0 ? &plan->blocks[pass->stack][pass->block] : NULL;
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

static tap_status put_span(const tap_pass *pass, const tap_span *span, tap_site site,
                           int block, const float *values, int64_t d, tap_error *err)
{
    tap_job *job = pass->job;
    const int64_t n = tap_job_asked(job, span);
    if (n == 0)
        return TAP_OK;
    const tap_state state = {.site = site,
                             .stack = pass->stack,
                             .block = block,
                             .item = span->item,
                             .conditions = job->conditions,
                             .n_conditions = n,
                             .first_row = span->first_position,
                             .n_rows = span->n_rows,
                             .d = d,
                             .values = values};
    return job->sink->put(job->sink->owner, &state, err);
}

tap_status tap_pass_at(tap_pass *pass, tap_site site, float *values, int64_t d,
                       tap_error *err)
{
    const bool wanted = tap_sink_wants(pass->job->sink, site, pass->stack, pass->block);
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const tap_span *span = &pass->spans[i];
        float *rows = values + span->row * d;
        if (pass->job->edits || pass->n_captures > 0)
            TAP_TRY(tap_pass_edit(pass, span, site, rows, d, err));
        if (wanted)
            TAP_TRY(put_span(pass, span, site, pass->block, rows, d, err));
    }
    return TAP_OK;
}

static tap_status flush(const tap_pass *pass, int block, tap_error *err)
{
    const tap_sink *sink = pass->job->sink;
    for (int site = 0; sink->flush && site < TAP_N_SITES; site++)
        if (tap_sink_wants(sink, (tap_site)site, pass->stack, block))
            TAP_TRY(sink->flush(sink->owner, (tap_site)site, pass->stack, block, err));
    return TAP_OK;
}

/* The sources of a block: children of one parent that are edited alike before attention. */
static int64_t find_sources(frame *f, const tap_pass *pass, const tap_span *parents)
{
    const tap_level *to = &pass->tree->levels[pass->block + 1];
    int64_t n = 0;
    for (int64_t c = 0; c < to->n_nodes; c++) {
        const tap_span *parent = &parents[to->nodes[c].parent];
        const tap_span child = {.item = parent->item,
                                .lanes = to->lanes + to->nodes[c].first_lane};
        const tap_block_plan *plan = block_plan(pass, &child);
        const bool edited = tap_plan_edits_before(plan, TAP_SITE_SCORES);
        f->child_row[c + 1] = f->child_row[c] + parent->n_rows;
        if (c > 0 && !edited && !f->sources[n - 1].edited &&
            to->nodes[c].parent == to->nodes[c - 1].parent) {
            f->sources[n - 1].n_children++;
            continue;
        }
        f->sources[n++] = (source){.row = parent->row,
                                   .n_rows = parent->n_rows,
                                   .first_child = c,
                                   .n_children = 1,
                                   .edited = edited};
    }
    return n;
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
        if (tap_sink_wants(job->sink, TAP_SITE_SCORES, pass->stack, pass->block))
            TAP_TRY(put_span(pass, &rows, TAP_SITE_SCORES, pass->block, pass->scores, d,
                             err));
        if (tap_sink_wants(job->sink, TAP_SITE_PATTERN, pass->stack, pass->block))
            TAP_TRY(put_span(pass, &rows, TAP_SITE_PATTERN, pass->block, pass->pattern,
                             d, err));
    }
    return TAP_OK;
}

/* Attention of the children in spans [pass->n_spans]; from[i] is the row of child i's
 * source in k and v, query[i] in q. */
static tap_status attend(tap_pass *pass, frame *f, const int64_t *from,
                         const int64_t *query, tap_error *err)
{
    const tap_job *job = pass->job;
    const tap_stack_spec *s = pass->spec;
    const int64_t d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head;
    memset(f->receipts, 0, (size_t)(pass->n_spans * s->n_heads) * sizeof *f->receipts);
    for (int64_t i = 0; i < pass->n_spans; i++) {
        const tap_span *span = &pass->spans[i];
        const tap_block_plan *plan = block_plan(pass, span);
        f->args[i] = (tap_attend_args){
            .n_q = span->n_rows,
            .n_k = tap_job_rows(job, pass->stack, span->item),
            .rows = pass->kept ? job->items[span->item].read : NULL,
            .n_heads = s->n_heads,
            .n_kv_heads = s->n_kv_heads,
            .d_head = s->d_head,
            .causal = pass->stack == TAP_LM,
            .segment =
                pass->stack == TAP_LM ? 0 : tap_vision_rows(&job->model->spec.vision),
            .scale = (float)(1.0 / sqrt((double)s->d_head)),
            .q = pass->q + query[i] * d_q,
            .k = pass->k + from[i] * d_kv,
            .v = pass->v + from[i] * d_kv,
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

/* Rows of a child from its source's rows at x: all, or those that are read. */
static void copy_rows(float *to, const float *x, const tap_pass *pass,
                      const tap_span *child)
{
    const size_t d = (size_t)pass->spec->d_model;
    if (!pass->kept)
        memcpy(to, x, (size_t)child->n_rows * d * sizeof *to);
    for (int64_t r = 0; pass->kept && r < child->n_rows; r++)
        memcpy(to + (size_t)r * d,
               x + (size_t)pass->job->items[child->item].read[r] * d, d * sizeof *to);
}

/* The children's rows that are read move to their places in whole states, from the last
 * to the first; rows that nobody reads become NaN. */
static void spread_rows(float *rows, const frame *f, tap_pass *pass, int64_t first)
{
    const int64_t d = pass->spec->d_model;
    for (int64_t i = pass->n_spans - 1; i >= 0; i--) {
        tap_span *span = &f->spans[i];
        const int64_t *read = pass->job->items[span->item].read;
        const int64_t row = f->child_row[first + i] - f->child_row[first];
        const int64_t n = f->child_row[first + i + 1] - f->child_row[first + i];
        int64_t r = span->n_rows;
        for (int64_t t = n - 1; t >= 0; t--) {
            float *to = rows + (row + t) * d;
            if (r > 0 && read[r - 1] == t)
                memmove(to, rows + (span->row + --r) * d, (size_t)d * sizeof *to);
            else
                for (int64_t k = 0; k < d && row + t >= span->row + r; k++)
                    to[k] = NAN;
        }
        span->row = row;
        span->n_rows = n;
    }
    set_spans(pass, f->spans, pass->n_spans);
}

/* Children first .. first + n of sources whose rows begin at x; from[c] says where. */
static tap_status run_children(tap_pass *pass, frame *f, const tap_block_halves *halves,
                               const float *x, float *to_states, int64_t first,
                               int64_t n, tap_error *err)
{
    const tap_level *to = &pass->tree->levels[pass->block + 1];
    const int64_t d = pass->spec->d_model;
    float *rows = to_states + f->child_row[first] * d;
    for (int64_t i = 0, row = 0; i < n; i++) {
        const tap_node *node = &to->nodes[first + i];
        const int64_t *lanes = to->lanes + node->first_lane;
        const int64_t item = lanes[0] / pass->job->n_conditions;
        const int64_t n_rows =
            pass->kept ? pass->job->items[item].n_read
                       : f->child_row[first + i + 1] - f->child_row[first + i];
        f->spans[i] = (tap_span){.item = item,
                                 .lanes = lanes,
                                 .n_lanes = node->n_lanes,
                                 .row = row,
                                 .n_rows = n_rows};
        copy_rows(rows + row * d, x + f->child_from[first + i] * d, pass, &f->spans[i]);
        row += n_rows;
    }
    set_spans(pass, f->spans, n);
    TAP_TRY(attend(pass, f, f->child_from + first, f->child_query + first, err));
    TAP_TRY(halves->finish(pass, rows, err));
    if (pass->kept)
        spread_rows(rows, f, pass, first);
    return tap_pass_at(pass, TAP_SITE_RESID_POST, rows, d, err);
}

/* Which rows of the sources in hand are read, and where their queries will stand. */
static void find_kept(tap_pass *pass, frame *f, int64_t first, int64_t n)
{
    pass->n_kept = 0;
    for (int64_t i = 0; i < n; i++) {
        const source *s = &f->sources[first + i];
        const tap_item *item = &pass->job->items[f->spans[i].item];
        for (int64_t c = 0; c < s->n_children; c++)
            f->child_query[s->first_child + c] = pass->n_kept;
        for (int64_t r = 0; r < item->n_read; r++)
            f->kept[pass->n_kept++] = f->spans[i].row + item->read[r];
    }
}

/* Sources first .. first + n, all of whose rows fit the scratch. */
static tap_status run_group(tap_pass *pass, frame *f, const tap_block_halves *halves,
                            float *states, float *to_states, int64_t first, int64_t n,
                            tap_error *err)
{
    const tap_level *to = &pass->tree->levels[pass->block + 1];
    const int64_t d = pass->spec->d_model;
    float *x = states + f->sources[first].row * d;
    bool copied = false;
    for (int64_t i = 0; i < n; i++)
        copied |= f->sources[first + i].edited;
    int64_t row = 0;
    for (int64_t i = 0; i < n; i++) {
        const source *s = &f->sources[first + i];
        const tap_node *node = &to->nodes[s->first_child];
        int64_t n_lanes = 0;
        for (int64_t c = 0; c < s->n_children; c++) {
            n_lanes += to->nodes[s->first_child + c].n_lanes;
            f->child_from[s->first_child + c] = f->child_query[s->first_child + c] =
                row;
        }
        f->spans[i] =
            (tap_span){.item = to->lanes[node->first_lane] / pass->job->n_conditions,
                       .lanes = to->lanes + node->first_lane,
                       .n_lanes = n_lanes,
                       .row = row,
                       .n_rows = s->n_rows};
        if (copied)
            memcpy(f->copy + row * d, states + s->row * d,
                   (size_t)(s->n_rows * d) * sizeof *states);
        row += s->n_rows;
    }
    if (copied)
        x = f->copy;
    set_spans(pass, f->spans, n);
    if (pass->kept)
        find_kept(pass, f, first, n);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_RESID_PRE, x, d, err));
    TAP_TRY(halves->project(pass, x, err));

    const int64_t begin = f->sources[first].first_child;
    const int64_t end =
        f->sources[first + n - 1].first_child + f->sources[first + n - 1].n_children;
    for (int64_t c = begin, m; c < end; c += m) {
        for (m = 1; c + m < end &&
                    f->child_row[c + m + 1] - f->child_row[c] <= pass->group_rows;)
            m++;
        TAP_TRY(run_children(pass, f, halves, x, to_states, c, m, err));
    }
    return TAP_OK;
}

static tap_status run_block(tap_pass *pass, frame *f, const tap_block_halves *halves,
                            const tap_span *parents, float *states, float *to_states,
                            tap_error *err)
{
    const int64_t n_sources = find_sources(f, pass, parents);
    for (int64_t i = 0, m; i < n_sources; i += m) {
        int64_t rows = f->sources[i].n_rows;
        for (m = 1; i + m < n_sources; m++) {
            const source *s = &f->sources[i + m];
            /* unedited sources are read in place, so they must stand side by side */
            const bool apart = s->edited != f->sources[i].edited ||
                               (!s->edited && s->row != f->sources[i].row + rows);
            if (apart || rows + s->n_rows > pass->group_rows)
                break;
            rows += s->n_rows;
        }
        TAP_TRY(run_group(pass, f, halves, states, to_states, i, m, err));
    }
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
    TAP_TRY(tap_arena_take(&f->sources, arena, n, sizeof *f->sources, err));
    TAP_TRY(tap_arena_take(&f->spans, arena, n, sizeof *f->spans, err));
    TAP_TRY(tap_arena_take(&f->child_row, arena, n + 1, sizeof *f->child_row, err));
    TAP_TRY(tap_arena_take(&f->child_from, arena, n, sizeof *f->child_from, err));
    TAP_TRY(tap_arena_take(&f->child_query, arena, n, sizeof *f->child_query, err));
    TAP_TRY(tap_arena_take(&f->kept, arena, (size_t)pass->group_rows, sizeof *f->kept,
                           err));
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
    const bool keeps = tap_job_keeps_some(job, pass->stack);
    for (pass->block = 0; pass->block < pass->tree->n_blocks; pass->block++) {
        (void)tap_pass_spans(parents, pass, &pass->tree->levels[pass->block]);
        fetch_block(pass, pass->block + 1);
        pass->kept = keeps && pass->block == pass->tree->n_blocks - 1 ? f.kept : NULL;
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
        (void)tap_pass_spans(parents, pass, level);
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
    return TAP_OK;
}

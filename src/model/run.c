/* The stages of a run in order: what each stack must compute, in what memory, for whom. */
#include "model/run.h"

#include "base/hash.h"
#include "model/perceiver.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

static int64_t receipt_heads(const tap_receipts *r)
{
    return (int64_t)r->n_blocks[TAP_VISION] * r->n_heads[TAP_VISION] +
           (int64_t)r->n_blocks[TAP_LM] * r->n_heads[TAP_LM];
}

const tap_head_receipt *tap_receipts_block(const tap_receipts *receipts, int64_t item,
                                           int64_t condition, tap_stack stack,
                                           int block)
{
    assert(block >= 0 && block < receipts->n_blocks[stack]);
    int64_t at = (item * receipts->n_conditions + condition) * receipt_heads(receipts);
    if (stack == TAP_LM)
        at += (int64_t)receipts->n_blocks[TAP_VISION] * receipts->n_heads[TAP_VISION];
    return receipts->heads + at + (int64_t)block * receipts->n_heads[stack];
}

tap_block_receipt *tap_receipts_of_states(tap_receipts *receipts, int64_t item,
                                          int64_t condition, tap_stack stack, int block)
{
    assert(block >= -1 && block < receipts->n_blocks[stack]);
    const int64_t n_vision = 1 + receipts->n_blocks[TAP_VISION];
    const int64_t n = n_vision + 1 + receipts->n_blocks[TAP_LM];
    return receipts->states + (item * receipts->n_conditions + condition) * n +
           (stack == TAP_LM ? n_vision : 0) + 1 + block;
}

const tap_block_receipt *tap_receipts_states(const tap_receipts *receipts, int64_t item,
                                             int64_t condition, tap_stack stack,
                                             int block)
{
    tap_receipts view = *receipts;
    return tap_receipts_of_states(&view, item, condition, stack, block);
}

void tap_receipts_clear(tap_receipts *receipts)
{
    tap_free(receipts->states);
    tap_free(receipts->heads);
    *receipts = (tap_receipts){0};
}

/* Blocks that must run so that every wanted site of the stack fires. */
static int blocks_needed(const tap_sink *sink, tap_stack stack, int n_blocks)
{
    int needed = 0;
    for (int b = 0; b <= n_blocks; b++)
        for (int site = 0; site < TAP_N_SITES && b < TAP_MAX_BLOCKS; site++) {
            if (!tap_sink_wants(sink, (tap_site)site, stack, b))
                continue;
            const int depth = site == TAP_SITE_RESID_PRE ? b : b + 1;
            needed = depth > needed ? depth : needed;
        }
    return needed < n_blocks ? needed : n_blocks;
}

static bool wants_any(const tap_sink *sink, const tap_site *sites, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sink->wanted->once[sites[i]])
            return true;
    return false;
}

/* Whether the state that enters a decoder block is wanted, and edited by some plan: then
 * the block is run, since its site is where that happens. */
static bool edits_entry(const tap_job *job, int block)
{
    if (!tap_sink_wants(job->sink, TAP_SITE_RESID_PRE, TAP_LM, block))
        return false;
    for (int64_t l = 0; job->edits && l < job->n_items * job->n_conditions; l++) {
        const tap_plan *plan =
            job->items[l / job->n_conditions].plans[l % job->n_conditions];
        if (plan &&
            tap_plan_edits_before(&plan->blocks[TAP_LM][block], TAP_SITE_ATTN_IN))
            return true;
    }
    return false;
}

/* How deep the sink's wishes reach: 0 nowhere, 1 vision, 2 projector, 3 decoder. */
static int stages_needed(tap_job *job)
{
    static const tap_site last[] = {TAP_SITE_FINAL_NORM, TAP_SITE_LOGITS};
    static const tap_site middle[] = {TAP_SITE_FEATURES, TAP_SITE_PROJECTOR_IN,
                                      TAP_SITE_PROJECTOR_OUT};
    static const tap_site first[] = {TAP_SITE_PIXELS, TAP_SITE_PATCH_EMBED,
                                     TAP_SITE_PRE_NORM};
    const tap_spec *spec = &job->model->spec;
    const int n_lm = spec->lm.stack.n_blocks, n_vision = spec->vision.n_blocks_read;
    job->depth[TAP_LM] =
        wants_any(job->sink, last, 2) ? n_lm : blocks_needed(job->sink, TAP_LM, n_lm);
    if (job->depth[TAP_LM] < n_lm && edits_entry(job, job->depth[TAP_LM]))
        job->depth[TAP_LM]++;
    bool lm = job->depth[TAP_LM] > 0 || wants_any(job->sink, last, 2) ||
              job->sink->wanted->once[TAP_SITE_EMBED] ||
              tap_sink_wants(job->sink, TAP_SITE_RESID_PRE, TAP_LM, 0);
    const bool projector = lm || wants_any(job->sink, middle, 3);
    job->depth[TAP_VISION] =
        projector ? n_vision : blocks_needed(job->sink, TAP_VISION, n_vision);
    if (lm)
        return 3;
    if (projector)
        return 2;
    return job->depth[TAP_VISION] > 0 || wants_any(job->sink, first, 3) ||
           tap_sink_wants(job->sink, TAP_SITE_RESID_PRE, TAP_VISION, 0);
}

/* Whether the edges change anything in the query rows that some lane of the item needs. */
static bool edges_matter(const tap_edges *edges, const tap_row_set *needs)
{
    if (!edges)
        return false;
    if (edges->log_scale || edges->zeroed || edges->uniform || edges->frozen)
        return true;
    const int64_t n_words = tap_bits_words(edges->n_tok);
    for (int c = 0; edges->cut && c < edges->n_classes; c++)
        for (int64_t r = 0; r < needs->n; r++) {
            const int64_t t = c * edges->n_tok + (needs->rows ? needs->rows[r] : r);
            if (tap_bits_count(edges->cut + t * n_words, n_words) > 0)
                return true;
        }
    return false;
}

/* Whether a lane reads, in a stack or in stages from .. to, a lane that is not the first of
 * its item. Then it gets a root of its own: nodes keep the order of their roots, and the
 * first lane stands in the first node of its item at every depth. */
static bool reads_later(const tap_job *job, int64_t lane, int stack, int from, int to)
{
    const int64_t item = lane / job->n_conditions;
    const tap_plan *plan = job->items[item].plans[lane % job->n_conditions];
    const int n_blocks = plan && stack >= 0 ? job->depth[stack] : 0;
    for (int k = 0; plan && k < n_blocks + to - from; k++) {
        const tap_block_plan *b =
            k < n_blocks ? &plan->blocks[stack][k] : &plan->once[from + k - n_blocks];
        for (int e = 0; e < b->n_edits; e++)
            if (b->edits[e].from_run &&
                tap_job_source(job, item, b->edits[e].run) != item * job->n_conditions)
                return true;
    }
    return false;
}

static uint64_t own_root(int64_t lane)
{
    return UINT64_C(1) << 63 | (uint64_t)lane;
}

static uint64_t once_hash(const tap_job *job, int64_t lane, tap_stage stage)
{
    const tap_plan *plan =
        job->items[lane / job->n_conditions].plans[lane % job->n_conditions];
    return plan ? plan->once[stage].hash : 0;
}

/* Between the stacks: level 1 holds the states that leave the projector, level 2 those that
 * enter the decoder. */
static tap_status grow_bridge(tap_tree **out, const tap_job *job,
                              const tap_level *features, tap_error *err)
{
    const int64_t n_lanes = job->n_items * job->n_conditions;
    uint64_t *roots = NULL, *hashes = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&roots, (size_t)n_lanes, sizeof *roots, "a tree", err));
    TAP_TRY_OUT(tap_alloc(&hashes, (size_t)n_lanes, 2 * sizeof *hashes, "a tree", err));
    for (int64_t l = 0; l < n_lanes; l++) {
        roots[l] = (uint64_t)features->node_of[l];
        if (reads_later(job, l, -1, TAP_STAGE_PROJECTOR, TAP_N_STAGES))
            roots[l] = own_root(l);
        hashes[2 * l] = once_hash(job, l, TAP_STAGE_PROJECTOR);
        hashes[2 * l + 1] = once_hash(job, l, TAP_STAGE_EMBED);
    }
    TAP_TRY_OUT(tap_tree_compile(out, n_lanes, roots, 2, hashes, err));
out:
    tap_free(roots);
    tap_free(hashes);
    return status;
}

/* What the blocks of a stack do to the lanes of an item: hashes [n_conditions][depth]. Edges
 * count where they touch a row that any lane needs, so lanes that share a state agree on
 * all of its rows. */
static tap_status hash_item(uint64_t *hashes, const tap_job *job, tap_stack stack,
                            int64_t item, tap_error *err)
{
    const int64_t n = job->n_conditions, first = item * n;
    const int depth = job->depth[stack];
    int64_t *lanes = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&lanes, (size_t)n, sizeof *lanes, "a tree", err));
    for (int64_t c = 0; c < n; c++)
        lanes[c] = first + c;
    for (int b = 0; b < depth; b++) {
        const tap_row_set *needs = NULL;
        TAP_TRY_OUT(tap_job_needs(&needs, job, stack, lanes, n, b + 1, err));
        for (int64_t c = 0; c < n; c++) {
            const tap_plan *plan = job->items[item].plans[c];
            const tap_block_plan *block = plan ? &plan->blocks[stack][b] : NULL;
            if (block && (block->n_edits > 0 || edges_matter(block->edges, needs)))
                hashes[c * depth + b] = block->hash;
        }
    }
out:
    tap_free(lanes);
    return status;
}

/* The tree of a stack over all lanes. roots [n_lanes]; depth blocks. */
static tap_status grow_tree(tap_tree **out, const tap_job *job, tap_stack stack,
                            uint64_t *roots, tap_error *err)
{
    const int64_t n_lanes = job->n_items * job->n_conditions;
    const int depth = job->depth[stack];
    uint64_t *hashes = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&hashes, (size_t)n_lanes, (size_t)depth * sizeof *hashes,
                      "a tree", err));
    for (int64_t l = 0; l < n_lanes; l++)
        if (job->options->share_nothing ||
            reads_later(job, l, (int)stack, TAP_STAGE_VISION,
                        stack == TAP_VISION ? TAP_STAGE_PROJECTOR : TAP_STAGE_VISION))
            roots[l] = own_root(l);
    for (int64_t i = 0; i < job->n_items; i++)
        TAP_TRY_OUT(
            hash_item(hashes + i * job->n_conditions * depth, job, stack, i, err));
    status = tap_tree_compile(out, n_lanes, roots, depth, hashes, err);
out:
    tap_free(hashes);
    return status;
}

/* *rows of the largest level. */
static tap_status most_rows(int64_t *rows, const tap_job *job, tap_stack stack,
                            const tap_tree *tree, tap_error *err)
{
    *rows = 0;
    for (int d = 0; d <= tree->n_blocks; d++) {
        const tap_level *level = &tree->levels[d];
        int64_t n = 0;
        for (int64_t i = 0; i < level->n_nodes; i++) {
            const tap_row_set *needs = NULL;
            TAP_TRY(tap_job_needs(&needs, job, stack,
                                  level->lanes + level->nodes[i].first_lane,
                                  level->nodes[i].n_lanes, d, err));
            n += needs->n;
        }
        *rows = n > *rows ? n : *rows;
    }
    return TAP_OK;
}

static void add_flop(tap_run_cost *cost, double flop, int64_t n_lanes)
{
    cost->flop += flop;
    cost->flop_unshared += flop * (double)n_lanes;
}

/* FLOPs of one row of a block in a stack, before and after attention has read its keys. */
typedef struct row_flop {
    double keys, query,
        rest; /* k and v; q; the output, the MLP and, by key, attention */
    double by_key;
} row_flop;

static row_flop flop_of(const tap_job *job, tap_stack stack)
{
    const tap_stack_spec *s = stack == TAP_VISION ? &job->model->spec.vision.stack
                                                  : &job->model->spec.lm.stack;
    const double d = s->d_model, d_q = (double)s->n_heads * s->d_head,
                 d_kv = (double)s->n_kv_heads * s->d_head;
    return (row_flop){.keys = 4.0 * d * d_kv,
                      .query = 2.0 * d * d_q,
                      .rest =
                          2.0 * d * (d_q + (stack == TAP_LM ? 3.0 : 2.0) * s->d_mlp),
                      .by_key = 4.0 * d_q};
}

/* Keys that a query row meets, on average. */
static double keys_seen(const tap_job *job, tap_stack stack, int64_t item)
{
    return stack == TAP_LM ? 0.5 * (double)tap_job_rows(job, stack, item)
                           : (double)tap_vision_rows(&job->model->spec.vision);
}

/* Products of a stack's blocks: of the states of its tree, and of every lane alone. */
static tap_status count_blocks(tap_run_cost *cost, const tap_job *job, tap_stack stack,
                               const tap_tree *tree, tap_error *err)
{
    const row_flop each = flop_of(job, stack);
    tap_origin *origins = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&origins, (size_t)tree->n_lanes, sizeof *origins, "a tree", err));
    for (int b = 0; b < tree->n_blocks; b++) {
        const tap_level *to = &tree->levels[b + 1];
        int64_t n = 0;
        TAP_TRY_OUT(tap_job_origins(origins, &n, job, stack, tree, b, err));
        for (int64_t i = 0; i < n; i++)
            cost->flop +=
                origins[i].unscored
                    ? 0.5 * (double)origins[i].needs->n * each.keys /* values */
                    : (double)origins[i].needs->n * each.keys +
                          (double)origins[i].queries->n * each.query;
        for (int64_t i = 0; i < to->n_nodes; i++) {
            const int64_t *lanes = to->lanes + to->nodes[i].first_lane;
            const tap_row_set *needs = NULL;
            TAP_TRY_OUT(tap_job_needs(&needs, job, stack, lanes, to->nodes[i].n_lanes,
                                      b + 1, err));
            const double seen = keys_seen(job, stack, lanes[0] / job->n_conditions);
            cost->flop += (double)needs->n * (each.rest + seen * each.by_key);
        }
        for (int64_t l = 0; l < tree->n_lanes; l++) {
            const double seen = keys_seen(job, stack, l / job->n_conditions);
            const double n_in = (double)tap_job_lane_needs(job, stack, l, b)->n,
                         n_out = (double)tap_job_lane_needs(job, stack, l, b + 1)->n;
            cost->flop_unshared += n_in * each.keys + n_out * (each.query + each.rest +
                                                               seen * each.by_key);
        }
    }
out:
    tap_free(origins);
    return status;
}

static void count_states(int64_t *n_states, const tap_job *job, tap_stack stack,
                         const tap_tree *tree)
{
    const tap_spec *spec = &job->model->spec;
    const int64_t n_depths =
        1 + (stack == TAP_LM ? spec->lm.stack.n_blocks : spec->vision.stack.n_blocks);
    memset(n_states, 0, (size_t)(job->n_items * n_depths) * sizeof *n_states);
    for (int depth = 0; depth <= tree->n_blocks; depth++) {
        const tap_level *level = &tree->levels[depth];
        for (int64_t n = 0; n < level->n_nodes; n++) {
            const int64_t lane = level->lanes[level->nodes[n].first_lane];
            n_states[lane / job->n_conditions * n_depths + depth]++;
        }
    }
}

static tap_status take_states(float **a, float **b, tap_job *job, int64_t rows,
                              int64_t d, tap_error *err)
{
    const size_t row_bytes = (size_t)d * sizeof(float);
    TAP_TRY(tap_arena_take(a, &job->arena, (size_t)rows, row_bytes, err));
    return tap_arena_take(b, &job->arena, (size_t)rows, row_bytes, err);
}

/* Vision encoder and projector: projected [nodes of out][n_slots][d_projector_out]. */
static tap_status run_vision(tap_job *job, const tap_tree *tree, const tap_level *out,
                             float *projected, tap_error *err)
{
    const tap_level *first = &tree->levels[0], *last = &tree->levels[tree->n_blocks];
    const int64_t d = job->model->spec.vision.stack.d_model;
    const size_t mark = tap_arena_mark(&job->arena);
    tap_pass pass;
    float *states = NULL, *spare = NULL;
    tap_span *spans = NULL;
    TAP_TRY(
        tap_arena_take(&spans, &job->arena, (size_t)tree->n_lanes, sizeof *spans, err));
    int64_t rows = 0;
    TAP_TRY(most_rows(&rows, job, TAP_VISION, tree, err));
    TAP_TRY(take_states(&states, &spare, job, rows, d, err));
    TAP_TRY(tap_pass_init(&pass, job, TAP_VISION, tree, err));
    TAP_TRY(tap_pass_spans(spans, &pass, 0, err));
    pass.block = -1;
    const size_t before = tap_arena_mark(&job->arena);
    TAP_TRY(tap_pass_listen(&pass, TAP_STAGE_VISION, err));
    for (int64_t i = 0; i < first->n_nodes; i++)
        if (spans[i].n_rows > 0)
            TAP_TRY(tap_vision_embed(&pass, states + spans[i].row * d, &spans[i], err));
    pass.n_captures = 0;
    tap_arena_release(&job->arena, before);
    TAP_TRY(tap_pass_run(&pass, &tap_vision_halves, &states, &spare, err));
    if (projected) {
        pass.block = -1;
        TAP_TRY(tap_pass_listen(&pass, TAP_STAGE_PROJECTOR, err));
        TAP_TRY(tap_pass_spans(spans, &pass, tree->n_blocks, err));
        for (int64_t i = 0; i < out->n_nodes; i++) {
            const tap_node *node = &out->nodes[i];
            const int64_t *lanes = out->lanes + node->first_lane;
            tap_span span = spans[last->node_of[lanes[0]]];
            span.lanes = lanes;
            span.n_lanes = node->n_lanes;
            if (span.n_rows == 0)
                continue;
            TAP_TRY(
                tap_projector_run(&pass, projected, states + span.row * d, &span, err));
            projected += job->items[span.item].sequence->layout.n_slots *
                         job->model->spec.d_projector_out;
        }
    }
    tap_arena_release(&job->arena, mark);
    return TAP_OK;
}

/* Where the projected rows of each node begin: out [n_nodes + 1]. */
static void feature_rows(int64_t *out, const tap_job *job, const tap_level *level)
{
    out[0] = 0;
    for (int64_t i = 0; i < level->n_nodes; i++) {
        const int64_t item =
            level->lanes[level->nodes[i].first_lane] / job->n_conditions;
        const tap_item *it = &job->items[item];
        out[i + 1] = out[i] + (it->pixels ? it->sequence->layout.n_slots : 0);
    }
}

static tap_status run_lm(tap_job *job, const tap_tree *tree, const tap_level *features,
                         const float *projected, const int64_t *feature_row,
                         tap_error *err)
{
    const tap_level *first = &tree->levels[0], *last = &tree->levels[tree->n_blocks];
    const int64_t d = job->model->spec.lm.stack.d_model;
    const size_t mark = tap_arena_mark(&job->arena);
    tap_pass pass;
    float *states = NULL, *spare = NULL;
    tap_span *spans = NULL;
    TAP_TRY(
        tap_arena_take(&spans, &job->arena, (size_t)tree->n_lanes, sizeof *spans, err));
    int64_t rows = 0;
    TAP_TRY(most_rows(&rows, job, TAP_LM, tree, err));
    TAP_TRY(take_states(&states, &spare, job, rows, d, err));
    TAP_TRY(tap_pass_init(&pass, job, TAP_LM, tree, err));
    TAP_TRY(tap_pass_spans(spans, &pass, 0, err));
    pass.block = -1;
    const size_t before = tap_arena_mark(&job->arena);
    TAP_TRY(tap_pass_listen(&pass, TAP_STAGE_EMBED, err));
    for (int64_t i = 0; i < first->n_nodes; i++) {
        const int64_t node = features->node_of[spans[i].lanes[0]];
        TAP_TRY(tap_lm_embed(&pass, states + spans[i].row * d,
                             projected + feature_row[node] * d, &spans[i], err));
    }
    pass.n_captures = 0;
    tap_arena_release(&job->arena, before);
    TAP_TRY(tap_pass_run(&pass, &tap_lm_halves, &states, &spare, err));
    TAP_TRY(tap_pass_spans(spans, &pass, tree->n_blocks, err));
    if (tree->n_blocks == job->model->spec.lm.stack.n_blocks)
        for (int64_t i = 0; i < last->n_nodes; i++)
            TAP_TRY(tap_lm_logits(&pass, states + spans[i].row * d, &spans[i], err));
    tap_arena_release(&job->arena, mark);
    return TAP_OK;
}

static tap_status flush_once(const tap_job *job, tap_error *err)
{
    for (int site = 0; job->sink->flush && site < TAP_N_SITES; site++)
        if (job->sink->wanted->once[site])
            TAP_TRY(
                job->sink->flush(job->sink->owner, (tap_site)site, TAP_LM, -1, err));
    return TAP_OK;
}

static bool wants_maps(const tap_sink *sink, tap_stack stack)
{
    for (size_t w = 0; w < TAP_MAX_BLOCKS / 64; w++)
        if (sink->wanted->blocks[stack][TAP_SITE_SCORES][w] ||
            sink->wanted->blocks[stack][TAP_SITE_PATTERN][w])
            return true;
    return false;
}

static int64_t longest(const tap_job *job, tap_stack stack)
{
    int64_t most = 1;
    for (int64_t i = 0; i < job->n_items; i++) {
        const int64_t rows = tap_job_rows(job, stack, i);
        most = rows > most ? rows : most;
    }
    return most;
}

static int64_t most_slots(const tap_job *job)
{
    int64_t most = 0;
    for (int64_t i = 0; i < job->n_items; i++) {
        const int64_t n = job->items[i].sequence->layout.n_slots;
        most = n > most ? n : most;
    }
    return most;
}

static int64_t most_text(const tap_job *job)
{
    int64_t most = 0;
    for (int64_t i = 0; i < job->n_items; i++) {
        const int64_t n = tap_perceiver_text(&job->model->spec, job->items[i].sequence);
        most = n > most ? n : most;
    }
    return most;
}

/* What a run will do, before it does anything. */
typedef struct outline {
    int stages;                     /* see stages_needed */
    tap_tree *vision, *bridge, *lm; /* bridge: see grow_bridge */
    const tap_level *features;      /* of the bridge: what leaves the projector */
    int64_t *feature_row;           /* [features' nodes + 1] */
    int64_t n_projected;
    size_t scratch_bytes;
    tap_run_cost cost;
} outline;

static void outline_clear(outline *o)
{
    tap_tree_free(o->vision);
    tap_tree_free(o->bridge);
    tap_tree_free(o->lm);
    tap_free(o->feature_row);
}

/* Products outside blocks: patches, projector, logits. */
static tap_status count_ends(tap_run_cost *cost, const tap_job *job, const outline *o,
                             tap_error *err)
{
    const tap_spec *spec = &job->model->spec;
    const tap_vision_spec *v = &spec->vision;
    const double d_lm = spec->lm.stack.d_model;
    const double d_patch = 3.0 * v->patch_px * v->patch_px;
    const tap_level *pictures = &o->vision->levels[0], *features = o->features,
                    *last = &o->lm->levels[o->lm->n_blocks];
    for (int64_t i = 0; o->stages >= 1 && i < pictures->n_nodes; i++) {
        const tap_node *node = &pictures->nodes[i];
        const int64_t item = pictures->lanes[node->first_lane] / job->n_conditions;
        add_flop(cost,
                 2.0 * (double)tap_job_rows(job, TAP_VISION, item) * d_patch *
                     v->stack.d_model,
                 node->n_lanes);
    }
    for (int64_t i = 0; o->stages >= 2 && i < features->n_nodes; i++) {
        const tap_node *node = &features->nodes[i];
        const int64_t *lanes = features->lanes + node->first_lane;
        const int64_t item = lanes[0] / job->n_conditions;
        const tap_sequence *sequence = job->items[item].sequence;
        const tap_row_set *patches = NULL;
        TAP_TRY(tap_job_needs(&patches, job, TAP_VISION, lanes, node->n_lanes,
                              o->vision->n_blocks, err));
        const int64_t n = patches->rows /* some patches, without the class token */
                              ? patches->n
                              : o->feature_row[i + 1] - o->feature_row[i];
        add_flop(cost, 2.0 * (double)n * d_lm * (spec->d_projector_in + d_lm),
                 node->n_lanes);
        const tap_perceiver_size size = {.n_features =
                                             tap_job_rows(job, TAP_VISION, item),
                                         .n_groups = sequence->layout.n_groups,
                                         .n_text = tap_perceiver_text(spec, sequence)};
        add_flop(cost, tap_perceiver_flop(spec, &size), node->n_lanes);
    }
    for (int64_t i = 0; job->sink->wanted->once[TAP_SITE_LOGITS] && i < last->n_nodes;
         i++) {
        const int64_t item = last->lanes[last->nodes[i].first_lane] / job->n_conditions;
        const double n =
            job->options->all_logits ? (double)tap_job_rows(job, TAP_LM, item) : 1.0;
        add_flop(cost, 2.0 * n * d_lm * (double)spec->lm.d_vocab,
                 last->nodes[i].n_lanes);
    }
    return TAP_OK;
}

static size_t edit_bytes(const tap_job *job, tap_stack stack)
{
    const tap_vision_spec *v = &job->model->spec.vision;
    size_t made =
        job->edits ? (size_t)tap_job_edit_floats(job, stack) * sizeof(float) : 0;
    if (job->edits && stack == TAP_VISION && job->sink->wanted->once[TAP_SITE_PIXELS])
        made += (size_t)longest(job, stack) / (size_t)tap_vision_rows(v) * 3 *
                (size_t)v->side_px * (size_t)v->side_px * sizeof(float);
    return made + tap_job_read_bytes(job, stack);
}

static tap_status make_outline(outline *o, tap_job *job, tap_error *err)
{
    TAP_TRY(tap_job_check_kernels(job, err));
    TAP_TRY(tap_job_lanes(job, err));
    const int64_t n_lanes = job->n_items * job->n_conditions;
    uint64_t *roots = NULL;
    tap_status status = TAP_OK;
    job->edits = tap_job_edits(job);
    o->stages = stages_needed(job);
    TAP_TRY(tap_job_find_needs(job, err));
    TAP_TRY(tap_alloc(&roots, (size_t)n_lanes, sizeof *roots, "a tree", err));
    for (int64_t l = 0; l < n_lanes; l++) {
        const uint64_t item = (uint64_t)(l / job->n_conditions),
                       hash = once_hash(job, l, TAP_STAGE_VISION);
        roots[l] = hash ? tap_hash(hash, &item, sizeof item) >> 1 : item;
    }
    TAP_TRY_OUT(grow_tree(&o->vision, job, TAP_VISION, roots, err));
    TAP_TRY_OUT(
        grow_bridge(&o->bridge, job, &o->vision->levels[o->vision->n_blocks], err));
    o->features = &o->bridge->levels[1];
    TAP_TRY_OUT(tap_alloc(&o->feature_row, (size_t)o->features->n_nodes + 1,
                          sizeof *o->feature_row, "a tree", err));
    feature_rows(o->feature_row, job, o->features);
    for (int64_t l = 0; l < n_lanes; l++)
        roots[l] = (uint64_t)o->bridge->levels[2].node_of[l];
    TAP_TRY_OUT(grow_tree(&o->lm, job, TAP_LM, roots, err));

    int64_t rows[TAP_N_STACKS] = {0};
    TAP_TRY_OUT(most_rows(&rows[TAP_VISION], job, TAP_VISION, o->vision, err));
    TAP_TRY_OUT(most_rows(&rows[TAP_LM], job, TAP_LM, o->lm, err));
    o->n_projected = o->stages < 2 ? 0 : o->feature_row[o->features->n_nodes];
    const tap_run_size size = {
        .n_lanes = n_lanes,
        .state_rows = {rows[TAP_VISION], rows[TAP_LM]},
        .n_tok = {longest(job, TAP_VISION), o->stages < 3 ? 1 : longest(job, TAP_LM)},
        .n_projected = o->n_projected,
        .n_slots = most_slots(job),
        .n_text = most_text(job),
        .maps = {wants_maps(job->sink, TAP_VISION), wants_maps(job->sink, TAP_LM)},
        .edits = job->edits,
        .whole_floats = {tap_job_whole_floats(job, TAP_VISION),
                         tap_job_whole_floats(job, TAP_LM)},
        .edit_bytes = {edit_bytes(job, TAP_VISION), edit_bytes(job, TAP_LM)}};
    o->scratch_bytes = tap_run_scratch(job->model, job->kernels, job->options,
                                       job->work.n_threads, &size);
    o->cost.bytes = tap_run_need(job->model, job->kernels, job->options,
                                 job->work.n_threads, &size);
    TAP_TRY_OUT(count_blocks(&o->cost, job, TAP_VISION, o->vision, err));
    TAP_TRY_OUT(count_blocks(&o->cost, job, TAP_LM, o->lm, err));
    TAP_TRY_OUT(count_ends(&o->cost, job, o, err));
out:
    tap_free(roots);
    return status;
}

/* Memory, then the stages. */
static tap_status run_stages(tap_job *job, const outline *o, tap_error *err)
{
    const size_t row_bytes = (size_t)job->model->spec.d_projector_out * sizeof(float);
    float *projected = NULL;
    tap_arena *kept = job->options->arena;
    TAP_TRY(tap_arena_renew(kept ? kept : &job->arena, o->cost.bytes,
                            "the states of a run", err));
    if (kept)
        job->arena = *kept;
    TAP_TRY(tap_arena_take(&job->work.scratch, &job->arena, o->scratch_bytes, 1, err));
    job->work.scratch_bytes = o->scratch_bytes;
    if (o->stages >= 2)
        TAP_TRY(tap_arena_take(&projected, &job->arena, (size_t)o->n_projected,
                               row_bytes, err));
    if (o->stages >= 1)
        TAP_TRY(run_vision(job, o->vision, o->features, projected, err));
    if (o->stages >= 3)
        TAP_TRY(run_lm(job, o->lm, o->features, projected, o->feature_row, err));
    TAP_TRY(flush_once(job, err));
    return tap_job_check_edits(job, o->stages, err);
}

static tap_status new_receipts(tap_receipts *out, const tap_job *job, tap_error *err)
{
    const tap_spec *spec = &job->model->spec;
    tap_receipts r = {.n_items = job->n_items,
                      .n_conditions = job->n_asked,
                      .n_blocks = {job->depth[TAP_VISION], job->depth[TAP_LM]},
                      .n_heads = {spec->vision.stack.n_heads, spec->lm.stack.n_heads}};
    TAP_TRY(tap_alloc(&r.heads,
                      (size_t)(r.n_items * r.n_conditions * receipt_heads(&r)),
                      sizeof *r.heads, "the receipts of a run", err));
    const tap_status status =
        tap_alloc(&r.states,
                  (size_t)(r.n_items * r.n_conditions) *
                      (size_t)(2 + r.n_blocks[TAP_VISION] + r.n_blocks[TAP_LM]),
                  sizeof *r.states, "the receipts of a run", err);
    if (status != TAP_OK) {
        tap_receipts_clear(&r);
        return status;
    }
    *out = r;
    return TAP_OK;
}

static tap_job new_job(const tap_model *model, const tap_item *items, int64_t n_items,
                       int64_t n_conditions, const tap_run_options *options,
                       const tap_sink *sink)
{
    assert(n_items > 0 && n_conditions > 0);
    return (tap_job){.model = model,
                     .kernels = options->kernels ? options->kernels : tap_kernels_cpu(),
                     .work = {.n_threads = options->n_threads > 0
                                               ? options->n_threads
                                               : omp_get_num_procs()},
                     .items = items,
                     .n_items = n_items,
                     .n_conditions = n_conditions,
                     .options = options,
                     .sink = sink};
}

tap_status tap_run_cost_of(tap_run_cost *out, int64_t *n_states, const tap_model *model,
                           const tap_item *items, int64_t n_items, int64_t n_conditions,
                           const tap_run_options *options, const tap_sink *sink,
                           tap_error *err)
{
    tap_job job = new_job(model, items, n_items, n_conditions, options, sink);
    outline o = {0};
    const tap_status status = make_outline(&o, &job, err);
    if (status == TAP_OK && n_states)
        count_states(n_states, &job, o.stages < 3 ? TAP_VISION : TAP_LM,
                     o.stages < 3 ? o.vision : o.lm);
    if (status == TAP_OK)
        *out = o.cost;
    outline_clear(&o);
    tap_job_needs_clear(&job);
    tap_job_lanes_clear(&job);
    return status;
}

tap_status tap_run(tap_receipts *receipts, const tap_model *model,
                   const tap_item *items, int64_t n_items, int64_t n_conditions,
                   const tap_run_options *options, const tap_sink *sink, tap_error *err)
{
    tap_receipts taken = {0};
    outline o = {0};
    tap_job job = new_job(model, items, n_items, n_conditions, options, sink);
    job.receipts = &taken;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(make_outline(&o, &job, err));
    TAP_TRY_OUT(tap_alloc(&job.conditions, (size_t)job.n_conditions,
                          sizeof *job.conditions, "a run", err));
    TAP_TRY_OUT(new_receipts(&taken, &job, err));
    taken.flop_done = o.cost.flop;
    taken.flop_unshared = o.cost.flop_unshared;
    TAP_TRY_OUT(run_stages(&job, &o, err));
out:
    outline_clear(&o);
    tap_free(job.conditions);
    tap_job_needs_clear(&job);
    tap_job_lanes_clear(&job);
    if (!options->arena)
        tap_arena_clear(&job.arena);
    if (status == TAP_OK && receipts)
        *receipts = taken;
    else
        tap_receipts_clear(&taken);
    return status;
}

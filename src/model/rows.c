/* Which rows of which states must be computed?
 *
 * HOW IT WORKS. Edges are known before a stack runs, so the question is answered backwards.
 * After the last block a lane needs the rows that are read. A row that leaves a block needs
 * itself on entry, and every row that one of its heads may attend to: those that the causal
 * mask allows, less those whose edge is cut in every head. What edits write and read, and
 * what other runs take from this one, is needed too. Most lanes need one of a few sets, so
 * equal sets of an item are kept once.
 *
 * The decoder is asked first: of the encoder it reads the patches of the rows that it
 * embeds. So what can be out of reach there, where nobody looks into the encoder, are
 * patches behind the last that is read and the class token, from the block on after which
 * nothing attends to them. */
#include "model/pass.h"

#include <assert.h>
#include <string.h>

/* A set that was seen, of one item. */
typedef struct entry {
    tap_row_set set; /* first: what is handed out is a pointer to it */
    uint64_t *bits;
    int64_t *rows; /* of the set; NULL where it needs none */
    int32_t *place_of;
    struct entry *next;
} entry;

struct tap_needs {
    entry **sets[TAP_N_STACKS];             /* [n_items] */
    const tap_row_set **lane[TAP_N_STACKS]; /* [n_lanes][depth + 1] */
};

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

/* ---- sets ---- */

static const uint64_t *bits_of(const tap_row_set *set)
{
    return ((const entry *)set)->bits;
}

/* bits [words of the item's rows]: the entry with these rows, made if it is new. */
static tap_status intern(const tap_row_set **out, const tap_job *job, tap_stack stack,
                         int64_t item, const uint64_t *bits, tap_error *err)
{
    const int64_t n_rows = tap_job_rows(job, stack, item);
    const int64_t n_words = tap_bits_words(n_rows);
    entry **first = &job->needs->sets[stack][item], *e = *first;
    while (e && memcmp(e->bits, bits, (size_t)n_words * sizeof *bits) != 0)
        e = e->next;
    if (e) {
        *out = &e->set;
        return TAP_OK;
    }
    const int64_t n = tap_bits_count(bits, n_words);
    int64_t *rows = NULL;
    int32_t *place_of = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&e, 1, sizeof *e, "rows", err));
    TAP_TRY_OUT(tap_alloc(&e->bits, (size_t)n_words, sizeof *bits, "rows", err));
    TAP_TRY_OUT(tap_alloc(&rows, (size_t)n, sizeof *rows, "rows", err));
    TAP_TRY_OUT(tap_alloc(&place_of, (size_t)n_rows, sizeof *place_of, "rows", err));
    memcpy(e->bits, bits, (size_t)n_words * sizeof *bits);
    e->set.n = n;
    for (int64_t t = 0, i = 0; t < n_rows; t++) {
        const bool in = tap_bits_get(bits, t);
        place_of[t] = in ? (int32_t)i : -1;
        if (in)
            rows[i++] = t;
    }
    /* not simply the first n; in the encoder the first n have keys behind them */
    if (n > 0 && (rows[n - 1] >= n || (stack == TAP_VISION && n < n_rows))) {
        e->set.rows = e->rows = rows;
        e->set.place_of = e->place_of = place_of;
        rows = NULL;
        place_of = NULL;
    }
    e->next = *first;
    *first = e;
    *out = &e->set;
out:
    tap_free(rows);
    tap_free(place_of);
    if (status != TAP_OK && e) {
        tap_free(e->bits);
        tap_free(e);
    }
    return status;
}

void tap_job_needs_clear(tap_job *job)
{
    tap_needs *needs = job->needs;
    if (!needs)
        return;
    for (int s = 0; s < TAP_N_STACKS; s++) {
        for (int64_t i = 0; needs->sets[s] && i < job->n_items; i++)
            for (entry *e = needs->sets[s][i], *next; e; e = next) {
                next = e->next;
                tap_free(e->rows);
                tap_free(e->place_of);
                tap_free(e->bits);
                tap_free(e);
            }
        tap_free(needs->sets[s]);
        tap_free(needs->lane[s]);
    }
    tap_free(needs);
    job->needs = NULL;
}

const tap_row_set *tap_job_lane_needs(const tap_job *job, tap_stack stack, int64_t lane,
                                      int depth)
{
    return job->needs->lane[stack][lane * (job->depth[stack] + 1) + depth];
}

tap_status tap_job_needs(const tap_row_set **out, const tap_job *job, tap_stack stack,
                         const int64_t *lanes, int64_t n_lanes, int depth,
                         tap_error *err)
{
    const int64_t item = lanes[0] / job->n_conditions;
    const int64_t n_words = tap_bits_words(tap_job_rows(job, stack, item));
    const tap_row_set *set = tap_job_lane_needs(job, stack, lanes[0], depth);
    uint64_t *bits = NULL;
    tap_status status = TAP_OK;
    for (int64_t l = 1; l < n_lanes; l++) {
        const tap_row_set *other = tap_job_lane_needs(job, stack, lanes[l], depth);
        if (other == set)
            continue;
        if (!bits) {
            TAP_TRY(tap_alloc(&bits, (size_t)n_words, sizeof *bits, "rows", err));
            memcpy(bits, bits_of(set), (size_t)n_words * sizeof *bits);
        }
        for (int64_t i = 0; i < n_words; i++)
            bits[i] |= bits_of(other)[i];
    }
    if (bits)
        status = intern(&set, job, stack, item, bits, err);
    tap_free(bits);
    if (status == TAP_OK)
        *out = set;
    return status;
}

/* ---- what a lane needs ---- */

/* Bits of a state of one item. */
typedef struct rows_needed {
    tap_stack stack;
    uint64_t *bits;
    int64_t n_rows, n_words;
    uint64_t *read; /* what is read of an item after the last block */
} rows_needed;

static void add_first(rows_needed *r, int64_t n)
{
    for (int64_t i = 0; i < n / 64; i++)
        r->bits[i] = ~UINT64_C(0);
    if (n % 64)
        r->bits[n / 64] |= (UINT64_C(1) << n % 64) - 1;
}

static void add_rows(rows_needed *r, const int32_t *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (rows[i] < r->n_rows)
            tap_bits_set(r->bits, rows[i]);
}

/* The keys that the base mask allows to query row t, of those in word i of a bit set. */
static uint64_t allowed(tap_stack stack, int64_t t, int64_t n_tok, int64_t i)
{
    const int64_t end = (stack == TAP_LM ? t + 1 : n_tok) - i * 64;
    return end >= 64 ? ~UINT64_C(0) : end <= 0 ? 0 : (UINT64_C(1) << end) - 1;
}

/* Rows that may be attended to by those in r join them. scratch [n_words]. */
static void add_keys(rows_needed *r, uint64_t *scratch, const tap_edges *edges)
{
    int64_t end = r->n_rows;
    while (end > 0 && !tap_bits_get(r->bits, end - 1))
        end--;
    if (!edges || !edges->cut) {
        add_first(r, r->stack == TAP_LM ? end : r->n_rows);
        return;
    }
    const int64_t n_words = tap_bits_words(edges->n_tok);
    memset(scratch, 0, (size_t)r->n_words * sizeof *scratch);
    for (int64_t t = 0; t < end; t++)
        for (int c = 0; tap_bits_get(r->bits, t) && c < edges->n_classes; c++) {
            const uint64_t *cut = edges->cut + (c * edges->n_tok + t) * n_words;
            for (int64_t i = 0; i < r->n_words; i++)
                scratch[i] |= ~cut[i] & allowed(r->stack, t, r->n_rows, i);
        }
    for (int64_t i = 0; i < r->n_words; i++)
        r->bits[i] |= scratch[i];
}

bool tap_job_scores(const tap_row_set *queries, tap_stack stack, const tap_edges *edges)
{
    if (!edges || !edges->cut || edges->zeroed || edges->frozen || edges->log_scale)
        return true;
    const int64_t n_words = tap_bits_words(edges->n_tok);
    for (int64_t q = 0; q < queries->n; q++) {
        const int64_t t = queries->rows ? queries->rows[q] : q;
        for (int c = 0; c < edges->n_classes; c++) {
            const uint64_t *cut = edges->cut + (c * edges->n_tok + t) * n_words;
            int64_t n_keys = 0;
            for (int64_t i = 0; i < n_words; i++)
                n_keys +=
                    __builtin_popcountll(~cut[i] & allowed(stack, t, edges->n_tok, i));
            if (n_keys > 1)
                return true;
        }
    }
    return false;
}

static const tap_block_plan *plan_part(const tap_job *job, tap_stack stack,
                                       int64_t lane, int block)
{
    const tap_plan *plan =
        job->items[lane / job->n_conditions].plans[lane % job->n_conditions];
    if (!plan)
        return NULL;
    return block >= 0 ? &plan->blocks[stack][block] : &plan->once[TAP_STAGE_EMBED];
}

/* What edits in a block (-1: where the decoder begins) write and read, and what other runs
 * of the item take from this one there. */
static void add_edits(rows_needed *r, const tap_job *job, int64_t lane, int block)
{
    const int64_t item = lane / job->n_conditions, first = item * job->n_conditions;
    for (int64_t l = first; job->edits && l < first + job->n_conditions; l++) {
        const tap_block_plan *b = plan_part(job, r->stack, l, block);
        for (int e = 0; b && e < b->n_edits; e++) {
            const tap_edit *edit = &b->edits[e];
            if (l == lane ||
                (edit->from_run && tap_job_source(job, item, edit->run) == lane))
                add_rows(r, edit->rows, edit->n_rows);
            if (l == lane)
                add_rows(r, edit->from, edit->n_from);
        }
    }
}

/* Whether a lane's attention in a block is taken from, or given to, a clean run: whole. */
static bool is_frozen(const tap_job *job, tap_stack stack, int64_t lane, int block)
{
    const int64_t item = lane / job->n_conditions, first = item * job->n_conditions;
    for (int64_t l = first; l < first + job->n_conditions; l++) {
        const tap_block_plan *b = plan_part(job, stack, l, block);
        if (b && b->edges && b->edges->frozen &&
            (l == lane || tap_job_source(job, item, NULL) == lane))
            return true;
    }
    return false;
}

/* Sites of a block that the sink gets whole: those that the rows of keys (`entering`), or
 * those of queries, pass. */
static bool wants_whole(const tap_job *job, tap_stack stack, int block, bool entering)
{
    for (int site = 0; site < TAP_N_SITES; site++) {
        const bool keys =
            site == TAP_SITE_ATTN_IN || site == TAP_SITE_K || site == TAP_SITE_V;
        if (site != TAP_SITE_RESID_PRE && site != TAP_SITE_RESID_POST &&
            keys == entering && tap_sink_wants(job->sink, (tap_site)site, stack, block))
            return true;
    }
    return false;
}

/* Whether a plan edits something before the decoder. */
static bool edits_encoder(const tap_plan *plan)
{
    bool edits = false;
    for (int s = 0; plan && s < TAP_STAGE_EMBED; s++)
        edits |= plan->once[s].n_edits > 0;
    for (int b = 0; plan && b < plan->n_blocks[TAP_VISION]; b++)
        edits |= plan->blocks[TAP_VISION][b].n_edits > 0;
    return edits;
}

/* Whether all rows of an item's encoder are computed, whatever they can reach: somebody
 * looks at them or changes them; features are not patches one by one; or there are several
 * tiles, which attention cannot take with rows missing. */
static bool keeps_encoder(const tap_job *job, int64_t item)
{
    static const tap_site after[] = {TAP_SITE_FEATURES, TAP_SITE_PROJECTOR_IN,
                                     TAP_SITE_PROJECTOR_OUT};
    const tap_spec *spec = &job->model->spec;
    const tap_item *it = &job->items[item];
    bool touched = job->options->skip_nothing;
    for (size_t i = 0; i < sizeof after / sizeof *after; i++)
        touched |= job->sink->wanted->once[after[i]];
    for (int b = 0; b <= job->depth[TAP_VISION]; b++)
        for (int site = 0; site < TAP_N_SITES; site++)
            touched |= tap_sink_wants(job->sink, (tap_site)site, TAP_VISION, b);
    for (int64_t c = 0; c < job->n_conditions; c++)
        touched |= edits_encoder(it->plans[c]);
    return touched || spec->vision.keeps_cls || spec->perceiver.n_latents > 0 ||
           spec->merge > 1 || spec->gathers_first || !it->sequence->layout.is_plain ||
           !it->pixels || it->pixels->n_tiles > 1;
}

/* The patches that the decoder embeds in any lane of an item: of all, so that what a lane's
 * receipts count does not depend on which lanes share a state. */
static void add_patches(rows_needed *r, const tap_job *job, int64_t item)
{
    const tap_sequence *sequence = job->items[item].sequence;
    const int64_t first = item * job->n_conditions;
    for (int64_t l = first; l < first + job->n_conditions; l++) {
        const tap_row_set *embedded = tap_job_lane_needs(job, TAP_LM, l, 0);
        for (int64_t i = 0; i < embedded->n; i++) {
            const int64_t t = embedded->rows ? embedded->rows[i] : i;
            const int64_t feature = sequence->tokens[t].feature;
            if (feature >= 0)
                tap_bits_set(r->bits, feature + job->model->spec.vision.has_cls);
        }
    }
}

/* After the last block. */
static void add_read(rows_needed *r, const tap_job *job, int64_t item)
{
    const tap_item *it = &job->items[item];
    const bool logits = tap_sink_wants(job->sink, TAP_SITE_LOGITS, TAP_LM, -1);
    if (r->stack == TAP_VISION) {
        if (keeps_encoder(job, item))
            add_first(r, r->n_rows);
        else
            add_patches(r, job, item);
        return;
    }
    if (!it->read || job->options->skip_nothing ||
        (logits && job->options->all_logits)) {
        add_first(r, r->n_rows);
        return;
    }
    for (int64_t i = 0; i < it->n_read; i++)
        tap_bits_set(r->bits, it->read[i]);
    if (logits)
        tap_bits_set(r->bits, r->n_rows - 1);
}

static tap_status trace_lane(const tap_job *job, int64_t lane, rows_needed *r,
                             uint64_t *scratch, tap_error *err)
{
    const int64_t item = lane / job->n_conditions;
    const int depth = job->depth[r->stack];
    const tap_row_set **sets = job->needs->lane[r->stack] + lane * (depth + 1);
    memcpy(r->bits, r->read, (size_t)r->n_words * sizeof *r->bits);
    for (int b = depth - 1; b >= 0; b--) {
        const tap_block_plan *plan = plan_part(job, r->stack, lane, b);
        if (wants_whole(job, r->stack, b, false) || is_frozen(job, r->stack, lane, b))
            add_first(r, r->n_rows);
        add_edits(r, job, lane, b);
        TAP_TRY(intern(&sets[b + 1], job, r->stack, item, r->bits, err));
        add_keys(r, scratch, plan ? plan->edges : NULL);
        if (wants_whole(job, r->stack, b, true))
            add_first(r, r->n_rows);
    }
    /* the encoder embeds all its rows at once */
    if (r->stack == TAP_VISION || job->sink->wanted->once[TAP_SITE_EMBED])
        add_first(r, r->n_rows);
    else
        add_edits(r, job, lane, -1);
    return intern(&sets[0], job, r->stack, item, r->bits, err);
}

/* Of all lanes in one stack. scratch, r->bits and r->read hold the longest sequence. */
static tap_status trace(const tap_job *job, rows_needed *r, uint64_t *scratch,
                        tap_error *err)
{
    const int64_t n_lanes = job->n_items * job->n_conditions;
    tap_needs *needs = job->needs;
    TAP_TRY(tap_alloc(&needs->sets[r->stack], (size_t)job->n_items,
                      sizeof **needs->sets, "rows", err));
    TAP_TRY(tap_alloc(&needs->lane[r->stack], (size_t)n_lanes,
                      (size_t)(job->depth[r->stack] + 1) * sizeof **needs->lane, "rows",
                      err));
    for (int64_t l = 0; l < n_lanes; l++) {
        const int64_t item = l / job->n_conditions;
        r->n_rows = tap_job_rows(job, r->stack, item);
        r->n_words = tap_bits_words(r->n_rows);
        if (l % job->n_conditions == 0) { /* the same of all its lanes */
            memset(r->bits, 0, (size_t)r->n_words * sizeof *r->bits);
            add_read(r, job, item);
            memcpy(r->read, r->bits, (size_t)r->n_words * sizeof *r->read);
        }
        TAP_TRY(trace_lane(job, l, r, scratch, err));
    }
    return TAP_OK;
}

tap_status tap_job_find_needs(tap_job *job, tap_error *err)
{
    int64_t most = 1;
    for (int64_t i = 0; i < job->n_items; i++)
        for (int s = 0; s < TAP_N_STACKS; s++) {
            const int64_t n = tap_job_rows(job, (tap_stack)s, i);
            most = n > most ? n : most;
        }
    rows_needed r = {0};
    uint64_t *scratch = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&job->needs, 1, sizeof *job->needs, "rows", err));
    TAP_TRY_OUT(
        tap_alloc(&r.bits, (size_t)tap_bits_words(most), sizeof *r.bits, "rows", err));
    TAP_TRY_OUT(
        tap_alloc(&r.read, (size_t)tap_bits_words(most), sizeof *r.read, "rows", err));
    TAP_TRY_OUT(tap_alloc(&scratch, (size_t)tap_bits_words(most), sizeof *scratch,
                          "rows", err));
    r.stack = TAP_LM;
    TAP_TRY_OUT(trace(job, &r, scratch, err));
    r.stack = TAP_VISION;
    TAP_TRY_OUT(trace(job, &r, scratch, err));
out:
    tap_free(r.bits);
    tap_free(r.read);
    tap_free(scratch);
    return status;
}

/* Pictures and words of some images through the model together, states into lenses. */
#include "lab/control.h"
#include "lab/sweep_own.h"

#include <omp.h>

enum { USEFUL_ROWS = 4096 }; /* more at once would not be faster */

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    tap_sweep_batch *b = owner;
    tap_lens *const lenses[] = {b->lens, b->words};
    if (b->source)
        return tap_source_put(b->source, lenses, b->words ? 2 : 1, state, err);
    TAP_TRY(tap_lens_put(b->lens, state, err));
    return b->words ? tap_lens_put(b->words, state, err) : TAP_OK;
}

bool tap_sweep_locates(const tap_sweep *sweep)
{
    const bool *locate = sweep->experiment->readout.locate;
    return locate[TAP_LOCATE_AUC] || locate[TAP_LOCATE_GAP];
}

int64_t tap_sweep_n_candidates(const tap_sweep *sweep, const tap_sweep_item *item)
{
    return item->candidates ? item->candidates->n : sweep->words->shape[0];
}

void tap_sweep_batch_free(tap_sweep_batch *b)
{
    if (!b)
        return;
    tap_lens_close(b->lens);
    tap_lens_close(b->words);
    tap_source_close(b->source);
    tap_receipts_clear(&b->receipts);
    for (int64_t i = 0; i < b->n; i++)
        tap_sweep_image_clear(&b->images[i]);
    tap_free(b);
}

void tap_sweep_list_runs(tap_sweep_batch *b, int64_t first)
{
    for (int64_t i = first; i < b->n; i++) {
        const tap_sweep_image *image = &b->images[i];
        if (image->n_scored > 0 && image->n_plans > b->n_plans)
            b->n_plans = image->n_plans;
        for (int s = 0; s < TAP_N_SOURCES; s++) {
            const bool runs = image->n_scored > 0 &&
                              (s == TAP_SOURCE_PHOTO || image->sources[s].present);
            b->run_of[i][s] = runs ? b->n_runs : -1;
            if (runs)
                b->runs[b->n_runs++] = (tap_sweep_run){i, (tap_sweep_source)s};
        }
    }
}

/* What the model is given in one run. Of the photo every image token is read where something
 * is measured over all of them. */
static tap_item item_of(const tap_sweep_image *image, tap_sweep_source source, bool all)
{
    const tap_scene *scene = &image->scene;
    const tap_sweep_rows *rows = tap_sweep_rows_of(image, source);
    const bool whole = all && source == TAP_SOURCE_PHOTO;
    return (tap_item){
        .pixels = source == TAP_SOURCE_PHOTO   ? &scene->pixels
                  : source == TAP_SOURCE_WORDS ? NULL
                                               : &image->sources[source].pixels,
        .sequence = source == TAP_SOURCE_WORDS ? &image->sources[source].sequence
                                               : &scene->sequence,
        .read = whole ? scene->image_rows : rows->tokens,
        .n_read = whole ? scene->sequence.n_image : rows->n};
}

/* Plan p of an image as a run goes by it. Spare lanes share plan 0's states; words have no
 * encoder, so they are read where the encoder is left alone. */
static const tap_plan *plan_of(const tap_sweep_image *image, tap_sweep_source source,
                               int64_t p)
{
    const tap_plan *plan = image->plans[p < image->n_plans ? p : 0];
    return source == TAP_SOURCE_WORDS && !tap_sweep_plan_is_lm_only(plan) ? NULL : plan;
}

/* What the model and the lenses are told about a batch, run by run. */
typedef struct batch_input {
    tap_item *items;        /* [n_runs] */
    const tap_plan **plans; /* [n_runs][n_plans] */
    /* [n_runs] rows to rank, all that are read, the items' own */
    const int64_t **rows, **read, **own;
    int64_t *n_rows, *n_located, *n_read, *n_own, *n_states;
    tap_lens_spec ranks, words;
    tap_source_spec source;
    bool watches; /* the lenses watch the run themselves */
    tap_wanted wanted;
    tap_run_options options;
} batch_input;

static void input_clear(batch_input *in)
{
    tap_free(in->items);
    tap_free(in->plans);
    tap_free(in->rows);
    tap_free(in->read);
    tap_free(in->own);
    tap_free(in->n_rows);
    tap_free(in->n_located);
    tap_free(in->n_read);
    tap_free(in->n_own);
    tap_free(in->n_states);
}

static tap_status alloc_input(batch_input *in, size_t n_runs, size_t n_plans,
                              size_t n_depths, tap_error *err)
{
    const char *what = "a batch";
    TAP_TRY(tap_alloc(&in->items, n_runs, sizeof *in->items, what, err));
    TAP_TRY(tap_alloc(&in->plans, n_runs * n_plans, sizeof *in->plans, what, err));
    TAP_TRY(tap_alloc(&in->rows, n_runs, sizeof *in->rows, what, err));
    TAP_TRY(tap_alloc(&in->read, n_runs, sizeof *in->read, what, err));
    TAP_TRY(tap_alloc(&in->own, n_runs, sizeof *in->own, what, err));
    TAP_TRY(tap_alloc(&in->n_rows, n_runs, sizeof *in->n_rows, what, err));
    TAP_TRY(tap_alloc(&in->n_located, n_runs, sizeof *in->n_located, what, err));
    TAP_TRY(tap_alloc(&in->n_read, n_runs, sizeof *in->n_read, what, err));
    TAP_TRY(tap_alloc(&in->n_own, n_runs, sizeof *in->n_own, what, err));
    return tap_alloc(&in->n_states, n_runs, n_depths * sizeof *in->n_states, what, err);
}

/* What both lenses share. */
static tap_lens_spec lens_of(const tap_sweep *sweep, bool watches)
{
    return (tap_lens_spec){.words = sweep->words == &sweep->model->head ? NULL
                                                                        : sweep->words,
                           .word_scale = sweep->word_scale,
                           .n_states = watches ? 0 : sweep->n_states,
                           .no_norm = sweep->experiment->readout.no_norm};
}

/* In the vocabulary: ranks of the rows, and logits of all image tokens where these are
 * compared. In closed sets logits are all it takes. */
static void fill_lenses(batch_input *in, const tap_sweep *sweep)
{
    const bool closed = sweep->sets.n > 0, all = tap_sweep_locates(sweep);
    in->words = in->ranks = lens_of(sweep, in->watches);
    in->ranks.depths = sweep->depth_bits;
    if (sweep->labels.policy == TAP_MULTI_SEQUENCE) {
        in->ranks.spellings = sweep->labels.spellings;
        in->ranks.n_spellings = (int64_t)sweep->labels.n_spellings;
    } else {
        in->ranks.labels = sweep->labels.ids;
        in->ranks.n_labels = (int64_t)sweep->labels.n_ids;
    }
    if (!closed) {
        in->ranks.rows = in->rows;
        in->ranks.n_rows = in->n_rows;
    }
    if (closed || all) {
        in->ranks.logit_rows = in->read;
        in->ranks.n_logit_rows = closed ? in->n_read : in->n_located;
    }
    in->ranks.logit_sums = !closed && sweep->experiment->readout.locate[TAP_LOCATE_GAP];
    in->words.n_top = sweep->experiment->readout.top_words;
    in->words.depths = sweep->top_bits;
    in->words.rows = in->own;
    in->words.n_rows = in->n_own;
}

static int64_t n_states_of(const tap_sweep *sweep)
{
    const tap_spec *spec = &sweep->model->spec;
    return 1 + (sweep->experiment->readout.state == TAP_READOUT_HEAD
                    ? spec->vision.stack.n_blocks
                    : spec->lm.stack.n_blocks);
}

static tap_status fill_input(batch_input *in, const tap_sweep_batch *b,
                             const tap_sweep *sweep, tap_error *err)
{
    const tap_experiment *e = sweep->experiment;
    const bool all = tap_sweep_locates(sweep);
    TAP_TRY(alloc_input(in, (size_t)b->n_runs, (size_t)b->n_plans,
                        (size_t)n_states_of(sweep), err));
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_source source = b->runs[i].source;
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        const bool photo = source == TAP_SOURCE_PHOTO;
        for (int64_t p = 0; p < b->n_plans; p++)
            in->plans[i * b->n_plans + p] = plan_of(image, source, p);
        in->items[i] = item_of(image, source, all);
        in->items[i].plans = in->plans + i * b->n_plans;
        in->read[i] = in->items[i].read;
        in->n_read[i] = in->items[i].n_read;
        in->rows[i] = tap_sweep_rows_of(image, source)->tokens;
        in->n_rows[i] = tap_sweep_rows_of(image, source)->n;
        in->own[i] = image->own_rows.tokens;
        in->n_own[i] = photo ? image->own_rows.n : 0;
        in->n_located[i] = photo ? in->n_read[i] : 0;
    }
    in->watches = e->readout.state == TAP_READOUT_RESID && !sweep->translator;
    in->source = (tap_source_spec){.readout = e->readout.state,
                                   .model = sweep->model,
                                   .kernels = sweep->options.kernels,
                                   .n_threads = sweep->options.n_threads,
                                   .translator = sweep->translator,
                                   .states = sweep->depth_bits,
                                   .items = in->items,
                                   .n_items = b->n_runs,
                                   .rows = in->read,
                                   .n_rows = in->n_read};
    fill_lenses(in, sweep);
    in->options = (tap_run_options){.kernels = sweep->options.kernels,
                                    .n_threads = sweep->options.n_threads,
                                    .skip_nothing = sweep->options.skip_nothing,
                                    .share_nothing = sweep->options.share_nothing};
    if (in->watches)
        tap_lens_want_of(&in->wanted, sweep->model, &in->ranks);
    else
        tap_source_want(&in->wanted, &in->source);
    return TAP_OK;
}

tap_status tap_sweep_batch_run(tap_sweep_batch *b, tap_sweep *sweep, tap_error *err)
{
    const tap_sweep_options *o = &sweep->options;
    const double start = omp_get_wtime();
    batch_input in = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(fill_input(&in, b, sweep, err));
    TAP_TRY_OUT(tap_lens_open(&b->lens, sweep->model, o->kernels, o->n_threads,
                              &in.ranks, b->n_runs, b->n_plans, err));
    if (in.words.n_top > 0)
        TAP_TRY_OUT(tap_lens_open(&b->words, sweep->model, o->kernels, o->n_threads,
                                  &in.words, b->n_runs, b->n_plans, err));
    if (!in.watches)
        TAP_TRY_OUT(tap_source_open(&b->source, &in.source, err));
    const tap_sink sink = {.owner = b, .wanted = &in.wanted, .put = put_state};
    in.options.arena = &sweep->arena;
    TAP_TRY_OUT(tap_run(&b->receipts, sweep->model, in.items, b->n_runs, b->n_plans,
                        &in.options, &sink, err));
    tap_lens_flush(b->lens);
    if (b->words) {
        tap_lens_flush(b->words);
        sweep->counts.flop_lens += tap_lens_flop(b->words);
    }
    sweep->counts.flop_done += b->receipts.flop_done;
    sweep->counts.flop_unshared += b->receipts.flop_unshared;
    sweep->counts.flop_lens += tap_lens_flop(b->lens);
    if (b->source)
        sweep->counts.flop_lens += tap_source_flop(b->source);
    sweep->counts.seconds += omp_get_wtime() - start;
out:
    input_clear(&in);
    /* the lenses borrowed these arrays for their sizes; their results stay readable */
    return status;
}

/* Pictures as the model sees them: they wait in memory with the batch. */
static size_t picture_bytes(const tap_sweep_batch *b, int64_t run)
{
    const tap_sweep_image *image = &b->images[b->runs[run].image];
    const tap_pixels *p = &image->scene.pixels;
    return (size_t)p->n_tiles * 3 * (size_t)p->side_px * (size_t)p->side_px *
           sizeof(float);
}

tap_status tap_sweep_batch_cost(tap_sweep_cost *out, const tap_sweep *sweep,
                                const tap_sweep_batch *b, tap_error *err)
{
    const tap_sweep_options *o = &sweep->options;
    const int64_t n_states = n_states_of(sweep);
    batch_input in = {0};
    tap_run_cost run;
    tap_sweep_cost cost = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(fill_input(&in, b, sweep, err));
    const tap_sink sink = {.wanted = &in.wanted};
    TAP_TRY_OUT(tap_run_cost_of(&run, in.n_states, sweep->model, in.items, b->n_runs,
                                b->n_plans, &in.options, &sink, err));
    cost.bytes = run.bytes + tap_lens_bytes(sweep->model, o->kernels, o->n_threads,
                                            &in.ranks, b->n_runs, b->n_plans);
    if (in.words.n_top > 0)
        cost.bytes += tap_lens_bytes(sweep->model, o->kernels, o->n_threads, &in.words,
                                     b->n_runs, b->n_plans);
    if (!in.watches)
        cost.bytes += tap_source_bytes(&in.source);
    cost.flop = run.flop;
    cost.flop_unshared = run.flop_unshared;
    for (int64_t i = 0; i < b->n_runs; i++) {
        const double ranks = tap_lens_flop_of(sweep->model, &in.ranks, i),
                     words = tap_lens_flop_of(sweep->model, &in.words, i),
                     made = in.watches ? 0.0 : tap_source_flop_of(&in.source, i);
        for (int64_t d = 0; d < sweep->n_states; d++) {
            const double n = (double)in.n_states[i * n_states + d];
            if (tap_bits_get(sweep->depth_bits, d))
                cost.flop_lens += n * (ranks + made);
            if (in.words.n_top > 0 && tap_bits_get(sweep->top_bits, d))
                cost.flop_lens += n * words;
        }
        cost.bytes += picture_bytes(b, i);
    }
    *out = cost;
out:
    input_clear(&in);
    return status;
}

tap_status tap_sweep_batch_fits(bool *fits, const tap_sweep *sweep,
                                const tap_sweep_batch *b, tap_error *err)
{
    int64_t n_rows = 0;
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        n_rows += image->n_plans * (image->scene.sequence.last_image + 1);
    }
    *fits = b->n < TAP_SWEEP_BATCH;
    if (!*fits || b->n_runs == 0)
        return TAP_OK;
    if (sweep->options.batch_images > 0) {
        *fits = b->n < sweep->options.batch_images;
        return TAP_OK;
    }
    tap_sweep_cost cost;
    TAP_TRY(tap_sweep_batch_cost(&cost, sweep, b, err));
    /* the next image may need as much again as those in hand */
    *fits = n_rows < USEFUL_ROWS && 2 * cost.bytes <= sweep->options.memory_bytes;
    return TAP_OK;
}

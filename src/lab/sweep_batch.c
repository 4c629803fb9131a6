/* Pictures and words of some images through the model together, states into lenses. */
#include "lab/control.h"
#include "lab/sweep_own.h"

#include <omp.h>

enum { USEFUL_ROWS = 4096 }; /* more at once would not be faster */

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    tap_sweep_batch *b = owner;
    TAP_TRY(tap_lens_put(b->lens, state, err));
    return b->words ? tap_lens_put(b->words, state, err) : TAP_OK;
}

void tap_sweep_batch_free(tap_sweep_batch *b)
{
    if (!b)
        return;
    tap_lens_close(b->lens);
    tap_lens_close(b->words);
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

/* What the model is given in one run. */
static tap_item item_of(const tap_sweep_image *image, tap_sweep_source source)
{
    const tap_scene *scene = &image->scene;
    return (tap_item){
        .pixels = source == TAP_SOURCE_PHOTO   ? &scene->pixels
                  : source == TAP_SOURCE_WORDS ? NULL
                                               : &image->sources[source].pixels,
        .sequence = source == TAP_SOURCE_WORDS ? &image->sources[source].sequence
                                               : &scene->sequence,
        .read = source == TAP_SOURCE_PHOTO ? scene->image_rows : image->own_rows.tokens,
        .n_read =
            source == TAP_SOURCE_PHOTO ? scene->sequence.n_image : image->own_rows.n};
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
    tap_item *items;                    /* [n_runs] */
    const tap_plan **plans;             /* [n_runs][n_plans] */
    const int64_t **rows, **all, **own; /* [n_runs] */
    int64_t *n_rows, *n_all, *n_own, *n_states;
    tap_lens_spec ranks, words;
    tap_wanted wanted;
    tap_run_options options;
} batch_input;

static void input_clear(batch_input *in)
{
    tap_free(in->items);
    tap_free(in->plans);
    tap_free(in->rows);
    tap_free(in->all);
    tap_free(in->own);
    tap_free(in->n_rows);
    tap_free(in->n_all);
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
    TAP_TRY(tap_alloc(&in->all, n_runs, sizeof *in->all, what, err));
    TAP_TRY(tap_alloc(&in->own, n_runs, sizeof *in->own, what, err));
    TAP_TRY(tap_alloc(&in->n_rows, n_runs, sizeof *in->n_rows, what, err));
    TAP_TRY(tap_alloc(&in->n_all, n_runs, sizeof *in->n_all, what, err));
    TAP_TRY(tap_alloc(&in->n_own, n_runs, sizeof *in->n_own, what, err));
    return tap_alloc(&in->n_states, n_runs, n_depths * sizeof *in->n_states, what, err);
}

static tap_status fill_input(batch_input *in, const tap_sweep_batch *b,
                             const tap_sweep *sweep, tap_error *err)
{
    const tap_experiment *e = sweep->experiment;
    TAP_TRY(alloc_input(in, (size_t)b->n_runs, (size_t)b->n_plans,
                        (size_t)sweep->model->spec.lm.stack.n_blocks + 1, err));
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_source source = b->runs[i].source;
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        const bool photo = source == TAP_SOURCE_PHOTO;
        for (int64_t p = 0; p < b->n_plans; p++)
            in->plans[i * b->n_plans + p] = plan_of(image, source, p);
        in->items[i] = item_of(image, source);
        in->items[i].plans = in->plans + i * b->n_plans;
        in->rows[i] = tap_sweep_rows_of(image, source)->tokens;
        in->n_rows[i] = tap_sweep_rows_of(image, source)->n;
        in->all[i] = image->scene.image_rows;
        in->own[i] = image->own_rows.tokens;
        in->n_own[i] = photo ? image->own_rows.n : 0;
        in->n_all[i] = photo ? image->scene.sequence.n_image : 0;
    }
    in->ranks = (tap_lens_spec){.labels = sweep->labels.ids,
                                .n_labels = (int64_t)sweep->labels.n_ids,
                                .depths = sweep->depth_bits,
                                .no_norm = e->readout.no_norm,
                                .rows = in->rows,
                                .n_rows = in->n_rows,
                                .logit_rows = in->all,
                                .n_logit_rows = in->n_all};
    in->words = (tap_lens_spec){.n_top = e->readout.top_words,
                                .depths = sweep->top_bits,
                                .no_norm = e->readout.no_norm,
                                .rows = in->own,
                                .n_rows = in->n_own};
    in->options = (tap_run_options){.kernels = sweep->options.kernels,
                                    .n_threads = sweep->options.n_threads,
                                    .skip_nothing = sweep->options.skip_nothing,
                                    .share_nothing = sweep->options.share_nothing};
    tap_lens_want_of(&in->wanted, sweep->model, &in->ranks);
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
    const tap_sink sink = {.owner = b, .wanted = &in.wanted, .put = put_state};
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
    const int64_t n_depths = sweep->model->spec.lm.stack.n_blocks + 1;
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
    cost.flop = run.flop;
    cost.flop_unshared = run.flop_unshared;
    for (int64_t i = 0; i < b->n_runs; i++) {
        for (int64_t d = 0; d < n_depths; d++) {
            const double n = (double)in.n_states[i * n_depths + d];
            if (tap_bits_get(sweep->depth_bits, d))
                cost.flop_lens += n * tap_lens_flop_of(sweep->model, in.n_rows[i]);
            if (in.words.n_top > 0 && tap_bits_get(sweep->top_bits, d))
                cost.flop_lens += n * tap_lens_flop_of(sweep->model, in.n_own[i]);
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

/* Pictures and words of some images through the model together, states into lenses. */
#include "lab/control.h"
#include "lab/sweep_own.h"

enum { USEFUL_ROWS = 4096 };

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

/* What the lens is told about a batch, run by run. */
typedef struct batch_rows {
    const int64_t **rows, **all, **own; /* [n_runs] */
    int64_t *n_rows, *n_all, *n_own;
} batch_rows;

static tap_status alloc_rows(batch_rows *r, size_t n_runs, tap_error *err)
{
    TAP_TRY(tap_alloc(&r->rows, n_runs, sizeof *r->rows, "a batch", err));
    TAP_TRY(tap_alloc(&r->all, n_runs, sizeof *r->all, "a batch", err));
    TAP_TRY(tap_alloc(&r->own, n_runs, sizeof *r->own, "a batch", err));
    TAP_TRY(tap_alloc(&r->n_rows, n_runs, sizeof *r->n_rows, "a batch", err));
    TAP_TRY(tap_alloc(&r->n_all, n_runs, sizeof *r->n_all, "a batch", err));
    return tap_alloc(&r->n_own, n_runs, sizeof *r->n_own, "a batch", err);
}

static void free_rows(batch_rows *r)
{
    tap_free(r->rows);
    tap_free(r->all);
    tap_free(r->own);
    tap_free(r->n_rows);
    tap_free(r->n_all);
    tap_free(r->n_own);
}

static tap_status open_lenses(tap_sweep_batch *b, const tap_sweep *sweep,
                              const batch_rows *r, tap_error *err)
{
    const tap_sweep_options *o = &sweep->options;
    const tap_experiment *e = sweep->experiment;
    const tap_lens_spec ranks = {.labels = sweep->labels.ids,
                                 .n_labels = (int64_t)sweep->labels.n_ids,
                                 .depths = sweep->depth_bits,
                                 .no_norm = e->readout.no_norm,
                                 .rows = r->rows,
                                 .n_rows = r->n_rows,
                                 .logit_rows = r->all,
                                 .n_logit_rows = r->n_all};
    TAP_TRY(tap_lens_open(&b->lens, sweep->model, o->kernels, o->n_threads, &ranks,
                          b->n_runs, b->n_plans, err));
    const tap_lens_spec words = {.n_top = e->readout.top_words,
                                 .depths = sweep->top_bits,
                                 .no_norm = e->readout.no_norm,
                                 .rows = r->own,
                                 .n_rows = r->n_own};
    if (e->readout.top_words == 0)
        return TAP_OK;
    return tap_lens_open(&b->words, sweep->model, o->kernels, o->n_threads, &words,
                         b->n_runs, b->n_plans, err);
}

tap_status tap_sweep_batch_run(tap_sweep_batch *b, tap_sweep *sweep, tap_error *err)
{
    const size_t n_runs = (size_t)b->n_runs;
    tap_item *items = NULL;
    batch_rows r = {0};
    const tap_plan **plans = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&items, n_runs, sizeof *items, "a batch", err));
    TAP_TRY_OUT(alloc_rows(&r, n_runs, err));
    TAP_TRY_OUT(
        tap_alloc(&plans, n_runs * (size_t)b->n_plans, sizeof *plans, "a batch", err));
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_source source = b->runs[i].source;
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        for (int64_t p = 0; p < b->n_plans; p++)
            plans[i * b->n_plans + p] = plan_of(image, source, p);
        items[i] = item_of(image, source);
        items[i].plans = plans + i * b->n_plans;
        r.rows[i] = tap_sweep_rows_of(image, source)->tokens;
        r.n_rows[i] = tap_sweep_rows_of(image, source)->n;
        r.all[i] = image->scene.image_rows;
        r.own[i] = image->own_rows.tokens;
        r.n_own[i] = source == TAP_SOURCE_PHOTO ? image->own_rows.n : 0;
        r.n_all[i] = source == TAP_SOURCE_PHOTO ? image->scene.sequence.n_image : 0;
    }
    TAP_TRY_OUT(open_lenses(b, sweep, &r, err));
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, b->lens);
    const tap_sink sink = {.owner = b, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.kernels = sweep->options.kernels,
                                     .n_threads = sweep->options.n_threads,
                                     .skip_nothing = sweep->options.skip_nothing,
                                     .share_nothing = sweep->options.share_nothing};
    TAP_TRY_OUT(tap_run(&b->receipts, sweep->model, items, b->n_runs, b->n_plans,
                        &options, &sink, err));
    tap_lens_flush(b->lens);
    if (b->words) {
        tap_lens_flush(b->words);
        sweep->counts.flop_lens += tap_lens_flop(b->words);
    }
    sweep->counts.flop_done += b->receipts.flop_done;
    sweep->counts.flop_unshared += b->receipts.flop_unshared;
    sweep->counts.flop_lens += tap_lens_flop(b->lens);
out:
    tap_free(items);
    free_rows(&r);
    tap_free(plans);
    /* the lenses borrowed these arrays for their sizes; their results stay readable */
    return status;
}

size_t tap_sweep_batch_bytes(const tap_sweep *sweep, const tap_sweep_batch *b)
{
    int64_t n_tiles = 1, n_tok = 1, n_floats = 0;
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        const tap_sequence *s = &image->scene.sequence;
        const bool photo = b->runs[i].source == TAP_SOURCE_PHOTO;
        const int64_t tiles = image->scene.geometry.n_tiles;
        n_tok = s->last_image + 1 > n_tok ? s->last_image + 1 : n_tok;
        n_tiles = tiles > n_tiles ? tiles : n_tiles;
        n_floats += b->n_plans * (int64_t)sweep->n_depths *
                    (tap_sweep_rows_of(image, b->runs[i].source)->n +
                     (photo ? s->n_image : 0)) *
                    (int64_t)sweep->labels.n_ids;
        if (photo)
            n_floats += b->n_plans * image->own_rows.n * 2 *
                        sweep->experiment->readout.top_words * (int64_t)sweep->n_depths;
    }
    const tap_run_options options = {.kernels = sweep->options.kernels,
                                     .n_threads = sweep->options.n_threads};
    return tap_run_bytes(sweep->model, b->n_runs * b->n_plans, b->n_runs * b->n_plans,
                         n_tiles, n_tok, &options) +
           (size_t)n_floats * sizeof(float);
}

bool tap_sweep_batch_is_full(const tap_sweep *sweep, const tap_sweep_batch *b)
{
    int64_t n_rows = 0;
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        n_rows += image->n_plans * (image->scene.sequence.last_image + 1);
    }
    if (sweep->options.batch_images > 0)
        return b->n >= sweep->options.batch_images || b->n == TAP_SWEEP_BATCH;
    /* twice the bytes would be the next image's turn */
    return b->n == TAP_SWEEP_BATCH || n_rows >= USEFUL_ROWS ||
           2 * tap_sweep_batch_bytes(sweep, b) > sweep->options.memory_bytes;
}

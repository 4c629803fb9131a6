/* The sweep: images in batches through the model, ranks into scores, scores into the
 * database. One image is one transaction. */
#include "lab/sweep.h"

#include "base/file.h"
#include "image/outline.h"
#include "lab/control.h"
#include "lab/probe.h"
#include "lab/store.h"
#include "lab/sweep_image.h"
#include "read/lens.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BATCH = 64, USEFUL_ROWS = 4096, MAX_FACTS = 256 };

struct tap_sweep {
    tap_experiment *experiment;
    tap_sweep_options options;
    tap_model *model;
    tap_dataset *dataset;
    tap_store *store;
    tap_survey survey;
    tap_labels labels;
    tap_condition **conditions; /* [n_conditions] */
    char **texts;               /* canonical */
    int64_t n_conditions;
    uint64_t *depth_bits;
    int32_t *depths;
    size_t n_depths;
    int64_t next; /* image to look at next */
    tap_sweep_counts counts;
};

/* ---- opening ---- */

static tap_status parse_conditions(tap_sweep *sweep, tap_error *err)
{
    const tap_experiment *e = sweep->experiment;
    const size_t n = e->n_conditions;
    TAP_TRY(
        tap_alloc(&sweep->conditions, n, sizeof(tap_condition *), "conditions", err));
    TAP_TRY(tap_alloc(&sweep->texts, n, sizeof(char *), "conditions", err));
    sweep->n_conditions = (int64_t)n;
    for (size_t c = 0; c < n; c++) {
        const tap_condition_spec *spec = &e->conditions[c];
        const tap_status status =
            tap_condition_parse(&sweep->conditions[c], spec->text, err);
        if (status != TAP_OK)
            return tap_wrap(err, status, "condition '%s' (line %lld of '%s')",
                            spec->name, (long long)spec->line, e->path);
        TAP_TRY(tap_condition_print(&sweep->texts[c], sweep->conditions[c], err));
    }
    return TAP_OK;
}

static tap_status read_depths(tap_sweep *sweep, tap_error *err)
{
    const int n_blocks = sweep->model->spec.lm.stack.n_blocks;
    TAP_TRY(tap_alloc(&sweep->depth_bits, (size_t)tap_bits_words(n_blocks + 1),
                      sizeof(uint64_t), "depths", err));
    TAP_TRY(tap_alloc(&sweep->depths, (size_t)n_blocks + 1, sizeof(int32_t), "depths",
                      err));
    TAP_TRY(tap_experiment_depths(sweep->depth_bits, sweep->experiment, n_blocks, err));
    for (int d = 0; d <= n_blocks; d++)
        if (tap_bits_get(sweep->depth_bits, d))
            sweep->depths[sweep->n_depths++] = d;
    return TAP_OK;
}

/* Facts that the sweep adds to those of the experiment. */
typedef struct fact_texts {
    char n_candidates[24], threads[24], shard[48], size[160];
} fact_texts;

static size_t own_facts(tap_fact *facts, fact_texts *texts, const tap_sweep *sweep)
{
    const tap_spec *spec = &sweep->model->spec;
    const tap_preprocess_spec *p = &spec->preprocess;
    (void)snprintf(texts->n_candidates, sizeof texts->n_candidates, "%lld",
                   (long long)spec->lm.d_vocab);
    (void)snprintf(texts->threads, sizeof texts->threads, "%d",
                   sweep->options.n_threads);
    (void)snprintf(texts->shard, sizeof texts->shard, "%d/%d", sweep->options.shard,
                   sweep->options.n_shards);
    (void)snprintf(
        texts->size, sizeof texts->size,
        "%s %d px, patches of %d px, filter %d, pass order %d, rescale %.17g",
        p->fit == TAP_FIT_CROP  ? "crop to"
        : p->fit == TAP_FIT_PAD ? "pad to"
                                : "squash to",
        p->side_px, p->patch_px, (int)p->filter, (int)p->order, p->rescale);
    const tap_fact own[] = {
        {"readout.n_candidates", texts->n_candidates, true},
        {"model.family", spec->family, true},
        {"model.hash", tap_weights_hash(sweep->model->weights), true},
        {"model.preprocess", texts->size, true},
        {"model.compute", sweep->options.kernels->compute, true},
        {"run.version", tap_version(), false},
        {"run.kernels", sweep->options.kernels->name, false},
        {"run.threads", texts->threads, false},
        {"run.shard", texts->shard, false},
        {"run.command", sweep->options.command_line ? sweep->options.command_line : "",
         false}};
    memcpy(facts, own, sizeof own);
    return sizeof own / sizeof *own;
}

static tap_status open_store(tap_sweep *sweep, const char *path, tap_error *err)
{
    const tap_fact *given = NULL;
    size_t n_given = 0;
    TAP_TRY(tap_experiment_facts(&given, &n_given, sweep->experiment, err));
    tap_fact facts[MAX_FACTS + 16];
    fact_texts texts = {0};
    if (n_given > MAX_FACTS)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the experiment '%s' states more than %d facts",
                        sweep->experiment->path, MAX_FACTS);
    memcpy(facts, given, n_given * sizeof *facts);
    const size_t n_facts = n_given + own_facts(facts + n_given, &texts, sweep);
    tap_store_condition conditions[TAP_MAX_CONDITIONS];
    assert(sweep->n_conditions <= TAP_MAX_CONDITIONS);
    for (int64_t c = 0; c < sweep->n_conditions; c++)
        conditions[c] = (tap_store_condition){
            .name = sweep->experiment->conditions[c].name,
            .text = sweep->texts[c],
            .hash = tap_hash(0, sweep->texts[c], strlen(sweep->texts[c]))};
    const tap_store_spec spec = {.facts = facts,
                                 .n_facts = n_facts,
                                 .conditions = conditions,
                                 .n_conditions = (size_t)sweep->n_conditions,
                                 .depths = sweep->depths,
                                 .n_depths = sweep->n_depths};
    return tap_store_open(&sweep->store, path, &spec, err);
}

static bool is_mine(const tap_sweep *sweep, int64_t image)
{
    return image % sweep->options.n_shards == sweep->options.shard;
}

static tap_status count_done(tap_sweep *sweep, tap_error *err)
{
    for (int64_t i = 0; i < tap_dataset_count(sweep->dataset); i++) {
        bool done = false;
        if (!is_mine(sweep, i))
            continue;
        TAP_TRY(tap_store_find_image(&done, sweep->store, i,
                                     tap_dataset_name(sweep->dataset, i), err));
        sweep->counts.n_images++;
        sweep->counts.n_done += done;
    }
    return TAP_OK;
}

/* What an experiment file may say and this version does not do is refused, not skipped. */
static tap_status check_supported(const tap_experiment *e, tap_error *err)
{
    const char *what = NULL;
    if (!e->model)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the experiment '%s' names no model; add 'model: DIRECTORY'",
                        e->path);
    if (e->labels.multi_token != TAP_MULTI_SKIP)
        what = "labels.multi_token other than skip";
    else if (strcmp(e->labels.synonyms, "default") != 0 &&
             strcmp(e->labels.synonyms, "none") != 0)
        what = "a table of synonyms";
    else if (e->labels.n_common > 0)
        what = "labels common to several models";
    else if (e->readout.candidates != TAP_CANDIDATES_VOCABULARY)
        what = "readout.candidates other than vocabulary";
    if (what)
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "the experiment '%s' asks for %s, which this version does not do", e->path,
            what);
    return TAP_OK;
}

/* Everything but the database. */
static tap_status open_parts(tap_sweep **out, tap_experiment *experiment,
                             const tap_sweep_options *options, tap_error *err)
{
    tap_sweep *sweep = NULL;
    tap_status status = tap_alloc(&sweep, 1, sizeof *sweep, "a sweep", err);
    if (status != TAP_OK)
        return status;
    sweep->experiment = experiment;
    sweep->options = *options;
    if (!sweep->options.kernels)
        sweep->options.kernels = tap_kernels_cpu();
    if (sweep->options.n_threads <= 0)
        sweep->options.n_threads = omp_get_num_procs();
    if (sweep->options.n_shards <= 0)
        sweep->options.n_shards = 1;
    if (sweep->options.memory_bytes == 0)
        sweep->options.memory_bytes = (size_t)2 << 30;
    TAP_TRY_OUT(check_supported(experiment, err));
    TAP_TRY_OUT(parse_conditions(sweep, err));
    TAP_TRY_OUT(tap_dataset_open(&sweep->dataset, &experiment->data, NULL, err));
    TAP_TRY_OUT(tap_model_open(&sweep->model, experiment->model, err));
    if (tap_sweep_needs_survey(experiment))
        TAP_TRY_OUT(tap_survey_read(&sweep->survey, sweep->dataset, err));
    sweep->labels.tokenizer = sweep->model->tokenizer;
    sweep->labels.forms = experiment->labels.forms;
    TAP_TRY_OUT(read_depths(sweep, err));
out:
    if (status == TAP_OK)
        *out = sweep;
    else
        tap_sweep_close(sweep);
    return status;
}

tap_status tap_sweep_open(tap_sweep **out, tap_experiment *experiment,
                          const char *database_path, const tap_sweep_options *options,
                          tap_error *err)
{
    tap_sweep *sweep = NULL;
    tap_status status = open_parts(&sweep, experiment, options, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(open_store(sweep, database_path, err));
    TAP_TRY_OUT(count_done(sweep, err));
out:
    if (status == TAP_OK)
        *out = sweep;
    else
        tap_sweep_close(sweep);
    return status;
}

void tap_sweep_close(tap_sweep *sweep)
{
    if (!sweep)
        return;
    tap_store_close(sweep->store);
    for (int64_t c = 0; c < sweep->n_conditions; c++) {
        tap_condition_free(sweep->conditions[c]);
        tap_free(sweep->texts[c]);
    }
    tap_free(sweep->conditions);
    tap_free(sweep->texts);
    tap_free(sweep->depth_bits);
    tap_free(sweep->depths);
    tap_labels_clear(&sweep->labels);
    tap_survey_clear(&sweep->survey);
    tap_dataset_close(sweep->dataset);
    tap_model_close(sweep->model);
    tap_free(sweep);
}

const tap_sweep_counts *tap_sweep_progress(const tap_sweep *sweep)
{
    return &sweep->counts;
}

tap_status tap_sweep_finish(tap_sweep *sweep, tap_error *err)
{
    return tap_store_finish(sweep->store, err);
}

/* ---- running a batch ---- */

/* One pass of a picture (or of words) through the model under an image's plans. */
typedef struct batch_run {
    int64_t image; /* index in the batch */
    tap_sweep_source source;
} batch_run;

/* Images that go through the model together, and their lens. */
typedef struct batch {
    tap_sweep_image images[MAX_BATCH];
    int64_t n;
    batch_run runs[MAX_BATCH * TAP_N_SOURCES]; /* [n_runs] */
    int64_t n_runs, n_plans;                   /* plans of the image that has most */
    int64_t run_of[MAX_BATCH][TAP_N_SOURCES];  /* index in runs; -1: none */
    tap_lens *lens;
    tap_receipts receipts;
} batch;

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

/* Lists what must go through the model for the images from `first` on. */
static void list_runs(batch *b, int64_t first)
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
                b->runs[b->n_runs++] = (batch_run){i, (tap_sweep_source)s};
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
    const int64_t **rows, **all; /* [n_runs] */
    int64_t *n_rows, *n_all;
} batch_rows;

static tap_status run_batch(batch *b, tap_sweep *sweep, tap_error *err)
{
    const size_t n_runs = (size_t)b->n_runs;
    tap_item *items = NULL;
    batch_rows r = {0};
    const tap_plan **plans = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&items, n_runs, sizeof *items, "a batch", err));
    TAP_TRY_OUT(tap_alloc(&r.rows, n_runs, sizeof *r.rows, "a batch", err));
    TAP_TRY_OUT(tap_alloc(&r.all, n_runs, sizeof *r.all, "a batch", err));
    TAP_TRY_OUT(tap_alloc(&r.n_rows, n_runs, sizeof *r.n_rows, "a batch", err));
    TAP_TRY_OUT(tap_alloc(&r.n_all, n_runs, sizeof *r.n_all, "a batch", err));
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
        r.n_all[i] = source == TAP_SOURCE_PHOTO ? image->scene.sequence.n_image : 0;
    }
    const tap_lens_spec spec = {.labels = sweep->labels.ids,
                                .n_labels = (int64_t)sweep->labels.n_ids,
                                .depths = sweep->depth_bits,
                                .no_norm = sweep->experiment->readout.no_norm,
                                .rows = r.rows,
                                .n_rows = r.n_rows,
                                .logit_rows = r.all,
                                .n_logit_rows = r.n_all};
    TAP_TRY_OUT(tap_lens_open(&b->lens, sweep->model, sweep->options.kernels,
                              sweep->options.n_threads, &spec, b->n_runs, b->n_plans,
                              err));
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, b->lens);
    const tap_sink sink = {.owner = b->lens, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.kernels = sweep->options.kernels,
                                     .n_threads = sweep->options.n_threads,
                                     .skip_nothing = sweep->options.skip_nothing,
                                     .share_nothing = sweep->options.share_nothing};
    TAP_TRY_OUT(tap_run(&b->receipts, sweep->model, items, b->n_runs, b->n_plans,
                        &options, &sink, err));
    tap_lens_flush(b->lens);
    sweep->counts.flop_done += b->receipts.flop_done;
    sweep->counts.flop_unshared += b->receipts.flop_unshared;
    sweep->counts.flop_lens += tap_lens_flop(b->lens);
out:
    tap_free(items);
    tap_free(r.rows);
    tap_free(r.all);
    tap_free(r.n_rows);
    tap_free(r.n_all);
    tap_free(plans);
    /* the lens borrowed these arrays for its sizes; its results stay readable */
    return status;
}

/* ---- scores ---- */

/* ranks [n_depths][n_sets] of the sets of an item under a condition; NaN where it is not
 * read. */
static void rank_sets(double *ranks, const tap_sweep *sweep, const batch *b,
                      int64_t index, const tap_sweep_item *item, int64_t c)
{
    const tap_sweep_image *image = &b->images[index];
    const int64_t n_labels = (int64_t)sweep->labels.n_ids;
    const int64_t variant = item->variants[c];
    for (size_t s = 0; s < item->n_sets; s++) {
        const tap_sweep_set *set = &item->sets[s];
        const tap_sweep_rows *rows = tap_sweep_rows_of(image, set->source);
        const bool is_read =
            !set->excluded && (set->source != TAP_SOURCE_WORDS ||
                               tap_sweep_plan_is_lm_only(image->plans[variant]));
        for (size_t d = 0; d < sweep->n_depths; d++)
            ranks[d * item->n_sets + s] = (double)NAN;
        if (!is_read)
            continue;
        const tap_label *label = &sweep->labels.labels[set->label];
        const float *values =
            tap_lens_ranks(b->lens, b->run_of[index][set->source], variant);
        for (size_t d = 0; d < sweep->n_depths; d++)
            ranks[d * item->n_sets + s] = tap_probe_best(
                values + (int64_t)d * rows->n * n_labels, n_labels, label->columns,
                label->n_columns, set->patches, set->n_patches, rows->row_of);
    }
}

/* What the random sets say of a best rank: their mean rank, mean log2 rank, and the share
 * of them that is worse, ties half. */
static void put_null(tap_store_score *row, const tap_sweep_item *item,
                     const double *ranks)
{
    double n = 0.0, sum = 0.0, logs = 0.0, worse = 0.0;
    for (size_t s = 0; s < item->n_sets; s++) {
        if (item->sets[s].control != TAP_CONTROL_RANDOM_PATCHES || isnan(ranks[s]))
            continue;
        const double best = row->score.best_rank;
        n += 1.0;
        sum += ranks[s];
        logs += log2(ranks[s]);
        worse += ranks[s] > best ? 1.0 : ranks[s] == best ? 0.5 : 0.0;
    }
    row->null_best_rank = n > 0.0 ? sum / n : (double)NAN;
    row->null_log2_rank = n > 0.0 ? logs / n : (double)NAN;
    row->null_percentile = n > 0.0 ? worse / n : (double)NAN;
}

static tap_status put_controls(tap_sweep *sweep, const tap_sweep_item *item,
                               int64_t ordinal, int64_t c, size_t depth,
                               const double *ranks, tap_error *err)
{
    for (size_t s = 0; s < item->n_sets; s++) {
        const tap_store_control row = {.condition = (int32_t)c,
                                       .depth = sweep->depths[depth],
                                       .control = item->sets[s].control,
                                       .seed = item->sets[s].seed,
                                       .best_rank = ranks[s]};
        if (!isnan(ranks[s]))
            TAP_TRY(tap_store_put_control(sweep->store, ordinal, &row, err));
    }
    return TAP_OK;
}

static tap_status put_sets(tap_sweep *sweep, const tap_sweep_item *item,
                           int64_t ordinal, tap_error *err)
{
    for (size_t s = 0; s < item->n_sets; s++) {
        const tap_sweep_set *set = &item->sets[s];
        const tap_store_control_set row = {
            .control = set->control,
            .seed = set->seed,
            .patches = set->patches,
            .n_patches = set->n_patches,
            .label = set->excluded ? NULL : sweep->labels.labels[set->label].word,
            .other = set->other,
            .excluded = set->excluded};
        TAP_TRY(tap_store_put_control_set(sweep->store, ordinal, &row, err));
    }
    return TAP_OK;
}

static tap_status score_item(tap_sweep *sweep, const batch *b, int64_t index,
                             const tap_sweep_item *item, int64_t ordinal, int64_t c,
                             tap_error *err)
{
    const tap_sweep_image *image = &b->images[index];
    const int64_t run_index = b->run_of[index][TAP_SOURCE_PHOTO];
    const tap_label *label = &sweep->labels.labels[item->label];
    const int64_t n_labels = (int64_t)sweep->labels.n_ids;
    const int64_t n_image = image->scene.sequence.n_image;
    const int64_t variant = item->variants[c];
    const float *ranks = tap_lens_ranks(b->lens, run_index, variant);
    const float *logits = tap_lens_logits(b->lens, run_index, variant);
    float *patch_ranks = NULL;
    double *set_ranks = NULL;
    int64_t *places = NULL, *images = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&patch_ranks, sweep->n_depths * (size_t)item->n_patches,
                          sizeof *patch_ranks, "scores", err));
    TAP_TRY_OUT(
        tap_alloc(&places, (size_t)item->n_patches, sizeof *places, "scores", err));
    TAP_TRY_OUT(
        tap_alloc(&images, (size_t)item->n_patches, sizeof *images, "scores", err));
    TAP_TRY_OUT(tap_alloc(&set_ranks, sweep->n_depths * item->n_sets, sizeof *set_ranks,
                          "scores", err));
    rank_sets(set_ranks, sweep, b, index, item, c);
    for (int64_t p = 0; p < item->n_patches; p++) {
        images[p] = item->patches[p];
        places[p] = image->rows.row_of[item->patches[p]];
    }
    for (size_t d = 0; d < sweep->n_depths; d++) {
        const tap_probe_input input = {
            .ranks = ranks + (int64_t)d * image->rows.n * n_labels,
            .logits = logits + (int64_t)d * n_image * n_labels,
            .n_labels = n_labels,
            .n_image = n_image,
            .forms = label->columns,
            .n_forms = label->n_columns,
            .rows = places,
            .images = images,
            .n_patches = item->n_patches};
        tap_store_score row = {.condition = (int32_t)c, .depth = sweep->depths[d]};
        TAP_TRY_OUT(tap_probe_run(
            &row.score, patch_ranks + (int64_t)d * item->n_patches, &input, err));
        put_null(&row, item, set_ranks + d * item->n_sets);
        TAP_TRY_OUT(tap_store_put_score(sweep->store, ordinal, &row, err));
        TAP_TRY_OUT(put_controls(sweep, item, ordinal, c, d,
                                 set_ranks + d * item->n_sets, err));
    }
    TAP_TRY_OUT(tap_store_put_ranks(sweep->store, ordinal, (int32_t)c, patch_ranks,
                                    item->n_patches, err));
out:
    tap_free(patch_ranks);
    tap_free(set_ranks);
    tap_free(places);
    tap_free(images);
    return status;
}

static tap_status put_forms(tap_sweep *sweep, const tap_label *label, tap_error *err)
{
    for (int64_t f = 0; f < label->n_forms; f++)
        TAP_TRY(tap_store_put_form(sweep->store, label->word, label->forms[f].name,
                                   label->forms[f].token_id, label->forms[f].n_tokens,
                                   err));
    return TAP_OK;
}

/* The receipts of each condition, taken from the image's first scored item. */
static tap_status put_receipts(tap_sweep *sweep, const batch *b, int64_t index,
                               tap_error *err)
{
    const tap_sweep_image *image = &b->images[index];
    const int64_t run_index = b->run_of[index][TAP_SOURCE_PHOTO];
    const tap_receipts *r = &b->receipts;
    const tap_sweep_item *first = image->items;
    while (first->excluded)
        first++;
    for (int64_t c = 0; c < sweep->n_conditions; c++)
        for (int s = 0; s < TAP_N_STACKS; s++)
            if (r->n_blocks[s] > 0)
                TAP_TRY(tap_store_put_receipt(sweep->store, (int32_t)c, (tap_stack)s,
                                              tap_receipts_block(r, run_index,
                                                                 first->variants[c],
                                                                 (tap_stack)s, 0),
                                              r->n_blocks[s], r->n_heads[s], err));
    return TAP_OK;
}

static tap_status put_thumbnail(tap_sweep *sweep, const tap_image *thumbnail,
                                tap_error *err)
{
    enum { QUALITY = 85 };

    tap_buffer jpeg = {0};
    tap_status status = tap_image_encode(&jpeg, thumbnail, QUALITY, err);
    const tap_store_thumbnail row = {.width_px = thumbnail->width,
                                     .height_px = thumbnail->height,
                                     .jpeg = jpeg.text,
                                     .n_bytes = jpeg.n_bytes};
    if (status == TAP_OK)
        status = tap_store_put_thumbnail(sweep->store, &row, err);
    tap_buffer_clear(&jpeg);
    return status;
}

/* Where the image tokens are, and what the photo looks like. */
static tap_status put_places(tap_sweep *sweep, const tap_sweep_image *image,
                             tap_error *err)
{
    const tap_scene *scene = &image->scene;
    if (image->thumbnail.rgb)
        TAP_TRY(put_thumbnail(sweep, &image->thumbnail, err));
    for (int64_t i = 0; i < scene->sequence.n_image; i++) {
        const tap_token *token = &scene->sequence.tokens[scene->image_rows[i]];
        const tap_box box = tap_scene_box(scene, i);
        const tap_store_patch row = {.tile = token->tile,
                                     .row = token->row,
                                     .col = token->col,
                                     .x0 = box.x0,
                                     .y0 = box.y0,
                                     .x1 = box.x1,
                                     .y1 = box.y1};
        TAP_TRY(tap_store_put_patch(sweep->store, i, &row, err));
    }
    return TAP_OK;
}

static tap_status put_item(tap_sweep *sweep, const tap_sweep_item *item,
                           int64_t ordinal, tap_error *err)
{
    tap_outline outline = {0};
    if (item->part->mask.inside)
        TAP_TRY(tap_outline_trace(&outline, &item->part->mask, err));
    const tap_store_item row = {.ordinal = ordinal,
                                .object_id = item->object_id,
                                .object = item->object,
                                .part = item->part->name,
                                .label = item->part->label,
                                .area_px = item->part->area_px,
                                .patches = item->patches,
                                .coverage = item->coverage,
                                .n_patches = item->n_patches,
                                .raster_frac = item->raster_frac,
                                .outline = outline.numbers,
                                .n_outline = outline.n_numbers,
                                .excluded = item->excluded};
    const tap_status status = tap_store_put_item(sweep->store, &row, err);
    tap_outline_clear(&outline);
    return status;
}

static tap_status put_image(tap_sweep *sweep, const batch *b, int64_t index,
                            tap_error *err)
{
    const tap_sweep_image *image = &b->images[index];
    const tap_geometry *g = &image->scene.geometry;
    const tap_store_image row = {.id = image->id,
                                 .name = tap_dataset_name(sweep->dataset, image->id),
                                 .width_px = image->scene.width_px,
                                 .height_px = image->scene.height_px,
                                 .sha256 = image->sha256[0] ? image->sha256 : NULL,
                                 .n_tiles = g->n_tiles,
                                 .n_rows = g->n_rows,
                                 .n_cols = g->n_cols,
                                 .excluded = image->excluded};
    TAP_TRY(tap_store_begin(sweep->store, &row, err));
    TAP_TRY(put_places(sweep, image, err));
    for (int64_t i = 0; i < image->n_items; i++) {
        const tap_sweep_item *item = &image->items[i];
        if (item->label >= 0)
            TAP_TRY(put_forms(sweep, &sweep->labels.labels[item->label], err));
        TAP_TRY(put_item(sweep, item, i, err));
        TAP_TRY(put_sets(sweep, item, i, err));
        sweep->counts.n_items++;
        sweep->counts.n_excluded += item->excluded != NULL;
        sweep->counts.n_scored += item->excluded == NULL;
        for (int64_t c = 0; c < sweep->n_conditions && !item->excluded; c++)
            TAP_TRY(score_item(sweep, b, index, item, i, c, err));
    }
    if (image->n_scored > 0)
        TAP_TRY(put_receipts(sweep, b, index, err));
    TAP_TRY(tap_store_commit(sweep->store, err));
    sweep->counts.n_done++;
    return TAP_OK;
}

/* ---- stepping ---- */

/* Bytes of states, ranks and logits of the batch. */
static size_t batch_bytes(const tap_sweep *sweep, const batch *b)
{
    int64_t n_tok = 1, n_floats = 0;
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        const tap_sequence *s = &image->scene.sequence;
        const bool photo = b->runs[i].source == TAP_SOURCE_PHOTO;
        n_tok = s->last_image + 1 > n_tok ? s->last_image + 1 : n_tok;
        n_floats += b->n_plans * (int64_t)sweep->n_depths *
                    (tap_sweep_rows_of(image, b->runs[i].source)->n +
                     (photo ? s->n_image : 0)) *
                    (int64_t)sweep->labels.n_ids;
    }
    const tap_run_options options = {.kernels = sweep->options.kernels,
                                     .n_threads = sweep->options.n_threads};
    return tap_run_bytes(sweep->model, b->n_runs * b->n_plans, b->n_runs * b->n_plans,
                         n_tok, &options) +
           (size_t)n_floats * sizeof(float);
}

static bool batch_is_full(const tap_sweep *sweep, const batch *b)
{
    int64_t n_rows = 0;
    for (int64_t i = 0; i < b->n_runs; i++) {
        const tap_sweep_image *image = &b->images[b->runs[i].image];
        n_rows += image->n_plans * (image->scene.sequence.last_image + 1);
    }
    if (sweep->options.batch_images > 0)
        return b->n >= sweep->options.batch_images || b->n == MAX_BATCH;
    /* twice the bytes would be the next image's turn */
    return b->n == MAX_BATCH || n_rows >= USEFUL_ROWS ||
           2 * batch_bytes(sweep, b) > sweep->options.memory_bytes;
}

static tap_status fill_batch(batch *b, tap_sweep *sweep, tap_error *err)
{
    const tap_sweep_setup setup = {
        .experiment = sweep->experiment,
        .model = sweep->model,
        .dataset = sweep->dataset,
        .labels = &sweep->labels,
        .conditions = sweep->conditions,
        .n_conditions = sweep->n_conditions,
        .survey = tap_sweep_needs_survey(sweep->experiment) ? &sweep->survey : NULL};
    const int64_t n_images = tap_dataset_count(sweep->dataset);
    for (; sweep->next < n_images && (b->n == 0 || !batch_is_full(sweep, b));
         sweep->next++) {
        bool done = false;
        if (!is_mine(sweep, sweep->next))
            continue;
        TAP_TRY(tap_store_find_image(&done, sweep->store, sweep->next,
                                     tap_dataset_name(sweep->dataset, sweep->next),
                                     err));
        if (done)
            continue;
        TAP_TRY(tap_sweep_prepare(&b->images[b->n], &setup, sweep->next, err));
        b->n++;
        list_runs(b, b->n - 1);
    }
    const size_t bytes = b->n_runs > 0 ? batch_bytes(sweep, b) : 0;
    if (bytes > sweep->options.memory_bytes)
        return TAP_FAIL(err, TAP_ENOMEM,
                        "one image with its conditions needs %.1f GiB for states, more "
                        "than the %.1f GiB allowed; give a larger --memory or fewer "
                        "conditions",
                        (double)bytes / 0x1p30,
                        (double)sweep->options.memory_bytes / 0x1p30);
    if (bytes > sweep->counts.state_bytes)
        sweep->counts.state_bytes = bytes;
    return TAP_OK;
}

tap_status tap_sweep_step(bool *more, tap_sweep *sweep, tap_error *err)
{
    batch *b = NULL;
    tap_status status = tap_alloc(&b, 1, sizeof *b, "a batch", err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(fill_batch(b, sweep, err));
    if (b->n_runs > 0)
        TAP_TRY_OUT(run_batch(b, sweep, err));
    for (int64_t i = 0; i < b->n; i++) {
        const tap_status put = put_image(sweep, b, i, err);
        if (put != TAP_OK) {
            tap_store_rollback(sweep->store);
            TAP_TRY_OUT(put);
        }
    }
    *more = sweep->next < tap_dataset_count(sweep->dataset);
out:
    tap_lens_close(b->lens);
    tap_receipts_clear(&b->receipts);
    for (int64_t i = 0; i < b->n; i++)
        tap_sweep_image_clear(&b->images[i]);
    tap_free(b);
    return status;
}

/* ---- without computing ---- */

/* FLOPs of the products of one image under n_plans runs, nothing shared. */
static double image_flop(const tap_sweep *sweep, const tap_sweep_image *image)
{
    const tap_spec *spec = &sweep->model->spec;
    const tap_stack_spec *v = &spec->vision.stack, *l = &spec->lm.stack;
    const double n_v = (double)tap_scene_n_patches(&image->scene) +
                       image->scene.geometry.n_tiles * spec->vision.has_cls;
    const double n_l = (double)image->scene.sequence.last_image + 1.0;
    const double d_v = v->d_model, d_l = l->d_model;
    const double q_l = (double)l->n_heads * l->d_head,
                 kv_l = (double)l->n_kv_heads * l->d_head;
    const double vision = spec->vision.n_blocks_read * n_v *
                          (d_v * (4.0 * d_v + 2.0 * v->d_mlp) + 2.0 * n_v * d_v);
    const double projector = n_v * d_l * (spec->d_projector_in + d_l);
    const double lm = l->n_blocks * n_l *
                      (d_l * (2.0 * q_l + 2.0 * kv_l + 3.0 * l->d_mlp) + n_l * q_l);
    const double lens = (double)sweep->n_depths * (double)image->rows.n * d_l *
                        (double)spec->lm.d_vocab;
    return 2.0 * (double)image->n_plans * (vision + projector + lm + lens);
}

tap_status tap_sweep_dry_run(tap_sweep_counts *out, tap_experiment *experiment,
                             const tap_sweep_options *options, tap_error *err)
{
    tap_sweep *sweep = NULL;
    batch *b = NULL;
    TAP_TRY(open_parts(&sweep, experiment, options, err));
    tap_status status = tap_alloc(&b, 1, sizeof *b, "a batch", err);
    if (status != TAP_OK)
        goto out;
    const tap_sweep_setup setup = {
        .experiment = experiment,
        .model = sweep->model,
        .dataset = sweep->dataset,
        .labels = &sweep->labels,
        .conditions = sweep->conditions,
        .n_conditions = sweep->n_conditions,
        .survey = tap_sweep_needs_survey(sweep->experiment) ? &sweep->survey : NULL};
    tap_sweep_counts *counts = &sweep->counts;
    for (int64_t i = 0; i < tap_dataset_count(sweep->dataset); i++) {
        if (!is_mine(sweep, i))
            continue;
        TAP_TRY_OUT(tap_sweep_prepare(&b->images[0], &setup, i, err));
        tap_sweep_image *image = &b->images[0];
        b->n = 1;
        list_runs(b, 0);
        counts->n_images++;
        counts->n_items += image->n_items;
        counts->n_scored += image->n_scored;
        counts->n_excluded += image->n_items - image->n_scored;
        if (image->n_scored > 0) {
            const size_t bytes = batch_bytes(sweep, b);
            counts->n_plans += b->n_runs * image->n_plans;
            counts->flop_done += (double)b->n_runs * image_flop(sweep, image);
            counts->state_bytes =
                bytes > counts->state_bytes ? bytes : counts->state_bytes;
        }
        tap_sweep_image_clear(image);
        b->n = b->n_runs = b->n_plans = 0;
    }
    *out = *counts;
out:
    tap_free(b);
    tap_sweep_close(sweep);
    return status;
}

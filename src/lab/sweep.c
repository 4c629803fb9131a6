/* The sweep: images in batches through the model, ranks into scores, scores into the
 * database. One image is one transaction. */
#include "lab/sweep.h"

#include "base/file.h"
#include "lab/sweep_own.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FACTS = 256 };

/* ---- opening ---- */

static tap_status parse_conditions(tap_sweep *sweep, tap_error *err)
{
    const tap_experiment *e = sweep->experiment;
    const size_t n = e->n_conditions;
    TAP_TRY(
        tap_alloc(&sweep->conditions, n, sizeof(tap_condition *), "conditions", err));
    TAP_TRY(tap_alloc(&sweep->texts, n, sizeof(char *), "conditions", err));
    sweep->n_conditions = (int64_t)n;
    const bool head = e->readout.state == TAP_READOUT_HEAD;
    for (size_t c = 0; c < n; c++) {
        const tap_condition_spec *spec = &e->conditions[c];
        const tap_status status =
            tap_condition_parse(&sweep->conditions[c], spec->text, err);
        if (status != TAP_OK)
            return tap_wrap(err, status, "condition '%s' (line %lld of '%s')",
                            spec->name, (long long)spec->line, e->path);
        if (head && !tap_condition_is_of_encoder(sweep->conditions[c]))
            return TAP_FAIL(err, TAP_EINVAL,
                            "condition '%s' (line %lld of '%s') acts behind the "
                            "encoder, which is all that 'state: head' reads: it would "
                            "change nothing; take it out, or read another state",
                            spec->name, (long long)spec->line, e->path);
        TAP_TRY(tap_condition_print(&sweep->texts[c], sweep->conditions[c], err));
    }
    return TAP_OK;
}

/* What states are compared with, and how they are brought there. */
static tap_status open_readout(tap_sweep *sweep, tap_error *err)
{
    const tap_model *m = sweep->model;
    const tap_experiment *e = sweep->experiment;
    const bool embed = e->readout.matrix == TAP_MATRIX_EMBED;
    sweep->n_states = tap_source_n_states(m, e->readout.state);
    sweep->words = embed ? &m->embed : &m->head;
    if (e->readout.translator)
        TAP_TRY(tap_translator_open(&sweep->translator, e->readout.translator,
                                    m->spec.lm.stack.d_model, m->spec.lm.stack.n_blocks,
                                    err));
    if (!embed)
        return TAP_OK;
    float *row = NULL;
    TAP_TRY(tap_alloc(&sweep->word_scale, (size_t)m->embed.shape[0],
                      sizeof *sweep->word_scale, "word norms", err));
    TAP_TRY(tap_alloc(&row, (size_t)m->embed.shape[1], sizeof *row, "word norms", err));
    tap_vocab_inverse_norms(sweep->word_scale, &m->embed, row);
    tap_free(row);
    return TAP_OK;
}

static tap_status read_depths(tap_sweep *sweep, tap_error *err)
{
    const int n = sweep->n_states;
    TAP_TRY(tap_alloc(&sweep->depth_bits, (size_t)tap_bits_words(n), sizeof(uint64_t),
                      "depths", err));
    TAP_TRY(tap_alloc(&sweep->depths, (size_t)n, sizeof(int32_t), "depths", err));
    TAP_TRY(tap_experiment_depths(sweep->depth_bits, sweep->experiment, n, err));
    TAP_TRY(tap_alloc(&sweep->top_bits, (size_t)tap_bits_words(n), sizeof(uint64_t),
                      "depths", err));
    TAP_TRY(tap_experiment_top_depths(sweep->top_bits, sweep->experiment, n, err));
    for (int d = 0; d < n; d++) {
        const bool is_read = tap_bits_get(sweep->depth_bits, d);
        if (is_read)
            sweep->depths[sweep->n_depths++] = d;
        else /* words are kept where scores are */
            tap_bits_drop(sweep->top_bits, d);
    }
    return TAP_OK;
}

/* Facts that the sweep adds to those of the experiment. */
typedef struct fact_texts {
    char n_candidates[24], n_images[24], threads[24], shard[48], size[160];
    char
        candidates[TAP_SHA256_TEXT_BYTES]; /* hash of all names that are ranked among */
} fact_texts;

static size_t own_facts(tap_fact *facts, fact_texts *texts, const tap_sweep *sweep)
{
    const tap_spec *spec = &sweep->model->spec;
    const tap_preprocess_spec *p = &spec->preprocess;
    (void)snprintf(texts->n_candidates, sizeof texts->n_candidates, "%lld",
                   (long long)sweep->counts.n_candidates);
    (void)snprintf(texts->n_images, sizeof texts->n_images, "%lld",
                   (long long)tap_dataset_count(sweep->dataset));
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
        {"readout.candidate_names", sweep->sets.sha256, true},
        {"model.family", spec->family, true},
        {"model.hash", tap_weights_hash(sweep->model->weights), true},
        {"model.preprocess", texts->size, true},
        {"model.compute", sweep->options.kernels->compute, true},
        {"run.version", tap_version(), false},
        {"run.kernels", sweep->options.kernels->name, false},
        {"run.images", texts->n_images, false},
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
                                 .n_depths = sweep->n_depths,
                                 .candidates = sweep->sets.names,
                                 .n_candidates = sweep->sets.n_names};
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

static tap_status check_model(const tap_experiment *e, tap_error *err)
{
    if (!e->model)
        return TAP_FAIL(err, TAP_EINVAL,
                        "the experiment '%s' names no model; add 'model: DIRECTORY'",
                        e->path);
    return TAP_OK;
}

static tap_sweep_setup setup_of(tap_sweep *sweep)
{
    return (tap_sweep_setup){
        .experiment = sweep->experiment,
        .model = sweep->model,
        .dataset = sweep->dataset,
        .labels = &sweep->labels,
        .conditions = sweep->conditions,
        .n_conditions = sweep->n_conditions,
        .kernels = sweep->options.kernels,
        .n_threads = sweep->options.n_threads,
        .survey = tap_sweep_needs_survey(sweep->experiment) ? &sweep->survey : NULL,
        .sets = &sweep->sets};
}

/* Deals the labels of all items that will be scored, of every shard, out anew. */
static tap_status permute_labels(tap_sweep *sweep, tap_error *err)
{
    tap_survey *survey = &sweep->survey;
    tap_sweep_setup setup = setup_of(sweep);
    setup.items_only = true;
    for (int64_t i = 0; i < survey->n_images; i++) {
        tap_sweep_image image;
        TAP_TRY(tap_sweep_prepare(&image, &setup, i, err));
        assert(image.n_items == survey->first[i + 1] - survey->first[i]);
        for (int64_t k = 0; k < image.n_items; k++)
            survey->items[survey->first[i] + k].is_scored = !image.items[k].excluded;
        tap_sweep_image_clear(&image);
    }
    return tap_survey_permute(survey, &sweep->labels, err);
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
        sweep->options.memory_bytes = tap_memory_installed() / 4;
    TAP_TRY_OUT(check_model(experiment, err));
    TAP_TRY_OUT(parse_conditions(sweep, err));
    TAP_TRY_OUT(
        tap_dataset_open(&sweep->dataset, &experiment->data, options->reading, err));
    TAP_TRY_OUT(tap_model_open(&sweep->model, experiment->model, err));
    TAP_TRY_OUT(tap_model_demand_decoder(sweep->model, err));
    TAP_TRY_OUT(tap_model_demand_places(
        sweep->model, "an experiment, which reads words at the patches of parts,",
        err));
    if (tap_sweep_needs_survey(experiment))
        TAP_TRY_OUT(tap_survey_read(&sweep->survey, sweep->dataset, err));
    sweep->counts.memory_bytes = sweep->options.memory_bytes;
    sweep->counts.weight_bytes = (size_t)tap_weights_bytes(sweep->model->weights) +
                                 tap_model_copied_bytes(sweep->model);
    TAP_TRY_OUT(tap_labels_open(&sweep->labels, sweep->model->tokenizer,
                                &experiment->labels, err));
    TAP_TRY_OUT(tap_candidate_sets_make(&sweep->sets, &sweep->labels, &sweep->survey,
                                        experiment->readout.candidates, err));
    if (experiment->controls[TAP_CONTROL_PERMUTED_LABELS] ||
        experiment->controls[TAP_CONTROL_PERMUTED_LABELS_GLOBAL])
        TAP_TRY_OUT(permute_labels(sweep, err));
    TAP_TRY_OUT(open_readout(sweep, err));
    TAP_TRY_OUT(read_depths(sweep, err));
    sweep->counts.n_depths = (int64_t)sweep->n_depths;
    sweep->counts.n_candidates =
        sweep->sets.n ? sweep->sets.most : sweep->words->shape[0];
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
    tap_arena_clear(&sweep->arena);
    for (int64_t c = 0; c < sweep->n_conditions; c++) {
        tap_condition_free(sweep->conditions[c]);
        tap_free(sweep->texts[c]);
    }
    tap_free(sweep->conditions);
    tap_free(sweep->texts);
    tap_free(sweep->depth_bits);
    tap_free(sweep->top_bits);
    tap_free(sweep->depths);
    tap_free(sweep->word_scale);
    tap_translator_close(sweep->translator);
    tap_candidate_sets_clear(&sweep->sets);
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

/* ---- stepping ---- */

/* One image with its conditions is more than the memory allowed. */
static tap_status fail_memory(const tap_sweep *sweep, const tap_sweep_batch *b,
                              size_t need, tap_error *err)
{
    return TAP_FAIL(
        err, TAP_ENOMEM,
        "image '%s' with its conditions needs %.3g MiB beside the mapped "
        "weights, more than the %.3g MiB allowed; give a larger --memory or "
        "fewer conditions",
        tap_dataset_name(sweep->dataset, b->images[b->n - 1].id), (double)need / 0x1p20,
        (double)sweep->options.memory_bytes / 0x1p20);
}

static tap_status fill_batch(tap_sweep_batch *b, tap_sweep *sweep, tap_error *err)
{
    const tap_sweep_setup setup = setup_of(sweep);
    const int64_t n_images = tap_dataset_count(sweep->dataset);
    bool fits = true;
    for (; sweep->next < n_images && fits; sweep->next++) {
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
        tap_sweep_list_runs(b, b->n - 1);
        TAP_TRY(tap_sweep_batch_fits(&fits, sweep, b, err));
    }
    if (b->n_runs == 0)
        return TAP_OK;
    tap_sweep_cost cost;
    TAP_TRY(tap_sweep_batch_cost(&cost, sweep, b, err));
    if (cost.bytes > sweep->options.memory_bytes)
        return fail_memory(sweep, b, cost.bytes, err);
    if (cost.bytes > sweep->counts.state_bytes)
        sweep->counts.state_bytes = cost.bytes;
    return TAP_OK;
}

tap_status tap_sweep_step(bool *more, tap_sweep *sweep, tap_error *err)
{
    tap_sweep_batch *b = NULL;
    tap_status status = tap_alloc(&b, 1, sizeof *b, "a batch", err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(fill_batch(b, sweep, err));
    if (b->n_runs > 0)
        TAP_TRY_OUT(tap_sweep_batch_run(b, sweep, err));
    for (int64_t i = 0; i < b->n; i++) {
        const tap_status put = tap_sweep_put_image(sweep, b, i, err);
        if (put != TAP_OK) {
            tap_store_rollback(sweep->store);
            TAP_TRY_OUT(put);
        }
    }
    *more = sweep->next < tap_dataset_count(sweep->dataset);
out:
    tap_sweep_batch_free(b);
    return status;
}

/* ---- without computing ---- */

tap_status tap_sweep_dry_run(tap_sweep_counts *out, tap_experiment *experiment,
                             const tap_sweep_options *options, tap_error *err)
{
    tap_sweep *sweep = NULL;
    tap_sweep_batch *b = NULL;
    TAP_TRY(open_parts(&sweep, experiment, options, err));
    tap_status status = tap_alloc(&b, 1, sizeof *b, "a batch", err);
    if (status != TAP_OK)
        goto out;
    tap_sweep_setup setup = setup_of(sweep);
    setup.plan_only = true;
    tap_sweep_counts *counts = &sweep->counts;
    for (int64_t i = 0; i < tap_dataset_count(sweep->dataset); i++) {
        if (!is_mine(sweep, i))
            continue;
        TAP_TRY_OUT(tap_sweep_prepare(&b->images[0], &setup, i, err));
        tap_sweep_image *image = &b->images[0];
        b->n = 1;
        tap_sweep_list_runs(b, 0);
        counts->n_images++;
        counts->n_items += image->n_items;
        counts->n_scored += image->n_scored;
        counts->n_excluded += image->n_items - image->n_scored;
        if (image->n_scored > 0) {
            tap_sweep_cost cost;
            TAP_TRY_OUT(tap_sweep_batch_cost(&cost, sweep, b, err));
            if (cost.bytes > sweep->options.memory_bytes)
                TAP_TRY_OUT(fail_memory(sweep, b, cost.bytes, err));
            counts->n_plans += b->n_runs * image->n_plans;
            counts->flop_done += cost.flop;
            counts->flop_unshared += cost.flop_unshared;
            counts->flop_lens += cost.flop_lens;
            if (cost.bytes > counts->state_bytes)
                counts->state_bytes = cost.bytes;
        }
        tap_sweep_image_clear(image);
        b->n = b->n_runs = b->n_plans = 0;
    }
    *out = *counts;
out:
    tap_sweep_batch_free(b);
    tap_sweep_close(sweep);
    return status;
}

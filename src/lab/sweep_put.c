/* Ranks of a batch become scores, scores become rows. One image is one transaction. */
#include "lab/probe.h"
#include "lab/sweep_own.h"

#include <math.h>

/* What scoring an item takes: one list of patches long. */
typedef struct bench {
    float *ranks;           /* [n_image] of the patches of a set */
    float *logits, *log_ps; /* [n_image]; NULL: not measured */
    float *scores;          /* [names of the largest set] */
    float *patch_ranks;     /* [n_depths][n_patches] */
    double *set_ranks;      /* [n_sets] */
} bench;

static void bench_clear(bench *b)
{
    tap_free(b->ranks);
    tap_free(b->logits);
    tap_free(b->log_ps);
    tap_free(b->scores);
    tap_free(b->patch_ranks);
    tap_free(b->set_ranks);
}

static tap_status bench_open(bench *out, const tap_sweep *sweep,
                             const tap_sweep_image *image, const tap_sweep_item *item,
                             tap_error *err)
{
    const bool *locate = sweep->experiment->readout.locate;
    const size_t n = (size_t)image->scene.sequence.n_image;
    const char *what = "scores";
    bench b = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&b.ranks, n, sizeof *b.ranks, what, err));
    if (locate[TAP_LOCATE_AUC])
        TAP_TRY_OUT(tap_alloc(&b.logits, n, sizeof *b.logits, what, err));
    if (locate[TAP_LOCATE_GAP])
        TAP_TRY_OUT(tap_alloc(&b.log_ps, n, sizeof *b.log_ps, what, err));
    TAP_TRY_OUT(
        tap_alloc(&b.scores, (size_t)sweep->sets.most, sizeof *b.scores, what, err));
    TAP_TRY_OUT(tap_alloc(&b.patch_ranks, sweep->n_depths * (size_t)item->n_patches,
                          sizeof *b.patch_ranks, what, err));
    TAP_TRY_OUT(tap_alloc(&b.set_ranks, item->n_sets, sizeof *b.set_ranks, what, err));
out:
    if (status == TAP_OK)
        *out = b;
    else
        bench_clear(&b);
    return status;
}

/* b->set_ranks: the best rank of each set of an item; NaN where it is not read. */
static void rank_sets(bench *b, const tap_sweep_view *item_view)
{
    const tap_sweep_item *item = item_view->item;
    const tap_sweep_image *image = &item_view->batch->images[item_view->index];
    for (size_t s = 0; s < item->n_sets; s++) {
        const tap_sweep_set *set = &item->sets[s];
        b->set_ranks[s] = (double)NAN;
        if (set->excluded ||
            (set->source == TAP_SOURCE_WORDS &&
             !tap_sweep_plan_is_lm_only(image->plans[item_view->variant])))
            continue;
        tap_sweep_view view = *item_view;
        view.source = set->source;
        tap_sweep_rank(b->ranks, &view, set->label, set->patches, set->n_patches,
                       b->scores);
        float best = b->ranks[0];
        for (int64_t p = 1; p < set->n_patches; p++)
            best = b->ranks[p] < best ? b->ranks[p] : best;
        b->set_ranks[s] = (double)best;
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

static tap_status score_item(tap_sweep *sweep, const tap_sweep_batch *b, int64_t index,
                             const tap_sweep_item *item, int64_t ordinal, int64_t c,
                             tap_error *err)
{
    const tap_sweep_image *image = &b->images[index];
    bench w = {0};
    tap_status status = TAP_OK;
    TAP_TRY(bench_open(&w, sweep, image, item, err));
    for (size_t d = 0; d < sweep->n_depths; d++) {
        const tap_sweep_view view = {.sweep = sweep,
                                     .batch = b,
                                     .index = index,
                                     .item = item,
                                     .source = TAP_SOURCE_PHOTO,
                                     .variant = item->variants[c],
                                     .depth = d};
        float *ranks = w.patch_ranks + (int64_t)d * item->n_patches;
        tap_sweep_rank(ranks, &view, item->label, item->patches, item->n_patches,
                       w.scores);
        if (w.logits || w.log_ps)
            tap_sweep_locate(w.logits, w.log_ps, &view, w.scores);
        rank_sets(&w, &view);
        const tap_probe_input input = {.ranks = ranks,
                                       .patches = item->patches,
                                       .n_patches = item->n_patches,
                                       .n_image = image->scene.sequence.n_image,
                                       .logits = w.logits,
                                       .log_ps = w.log_ps};
        tap_store_score row = {.condition = (int32_t)c, .depth = sweep->depths[d]};
        TAP_TRY_OUT(tap_probe_run(&row.score, &input, err));
        put_null(&row, item, w.set_ranks);
        TAP_TRY_OUT(tap_store_put_score(sweep->store, ordinal, &row, err));
        TAP_TRY_OUT(put_controls(sweep, item, ordinal, c, d, w.set_ranks, err));
    }
    TAP_TRY_OUT(tap_store_put_ranks(sweep->store, ordinal, (int32_t)c, w.patch_ranks,
                                    item->n_patches, err));
out:
    bench_clear(&w);
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
static tap_status put_receipts(tap_sweep *sweep, const tap_sweep_batch *b,
                               int64_t index, tap_error *err)
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
                TAP_TRY(tap_store_put_receipt(
                    sweep->store, (int32_t)c, (tap_stack)s,
                    tap_receipts_block(r, run_index, first->variants[c], (tap_stack)s,
                                       0),
                    tap_receipts_states(r, run_index, first->variants[c], (tap_stack)s,
                                        -1),
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
    const tap_store_item row = {
        .ordinal = ordinal,
        .object_id = item->object_id,
        .object = item->object,
        .part = item->part->name,
        .label = item->part->label,
        .area_px = item->part->area_px,
        .patches = item->patches,
        .coverage = item->coverage,
        .n_patches = item->n_patches,
        .raster_frac = item->raster_frac,
        .n_candidates = item->excluded ? 0 : tap_sweep_n_candidates(sweep, item),
        .outline = item->outline.numbers,
        .n_outline = item->outline.n_numbers,
        .excluded = item->excluded};
    return tap_store_put_item(sweep->store, &row, err);
}

/* The top words of one row of the lens. */
static tap_status put_row_words(tap_sweep *sweep, int64_t ordinal, int64_t c, int depth,
                                int32_t patch, const int32_t *ids, const float *logits,
                                float log_sum, tap_error *err)
{
    for (int64_t k = 0; k < sweep->experiment->readout.top_words && ids[k] >= 0; k++) {
        size_t n_bytes = 0;
        const char *piece =
            tap_tokenizer_piece(sweep->model->tokenizer, ids[k], &n_bytes);
        char *text = NULL;
        TAP_TRY(tap_text_copy(&text, piece ? piece : "", piece ? n_bytes : 0, err));
        const tap_store_word word = {.patch = patch,
                                     .place = (int32_t)k + 1,
                                     .token_id = ids[k],
                                     .text = text,
                                     .logit = (double)logits[k],
                                     .probability =
                                         exp((double)logits[k] - (double)log_sum)};
        const tap_status status =
            tap_store_put_word(sweep->store, ordinal, (int32_t)c, depth, &word, err);
        tap_free(text);
        TAP_TRY(status);
    }
    return TAP_OK;
}

static tap_status put_words(tap_sweep *sweep, const tap_sweep_batch *b, int64_t index,
                            const tap_sweep_item *item, int64_t ordinal, int64_t c,
                            tap_error *err)
{
    const tap_sweep_rows *rows = &b->images[index].own_rows;
    const int64_t run_index = b->run_of[index][TAP_SOURCE_PHOTO];
    const int64_t n_top = sweep->experiment->readout.top_words;
    if (!b->words)
        return TAP_OK;
    const float *logits = NULL;
    const int32_t *ids = tap_lens_top(&logits, b->words, run_index, item->variants[c]);
    const float *sums = tap_lens_log_sums(b->words, run_index, item->variants[c]);
    for (int d = 0; d < tap_lens_n_depths(b->words); d++)
        for (int64_t p = 0; p < item->n_patches; p++) {
            const int64_t row = d * rows->n + rows->row_of[item->patches[p]];
            TAP_TRY(put_row_words(sweep, ordinal, c, tap_lens_depth(b->words, d),
                                  item->patches[p], ids + row * n_top,
                                  logits + row * n_top, sums[row], err));
        }
    return TAP_OK;
}

tap_status tap_sweep_put_image(tap_sweep *sweep, const tap_sweep_batch *b,
                               int64_t index, tap_error *err)
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
        for (int64_t c = 0; c < sweep->n_conditions && !item->excluded; c++) {
            TAP_TRY(score_item(sweep, b, index, item, i, c, err));
            TAP_TRY(put_words(sweep, b, index, item, i, c, err));
        }
    }
    if (image->n_scored > 0)
        TAP_TRY(put_receipts(sweep, b, index, err));
    TAP_TRY(tap_store_commit(sweep->store, err));
    sweep->counts.n_done++;
    return TAP_OK;
}

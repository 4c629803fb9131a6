/* What the lens found, as ranks and scores of labels by their best forms. In the vocabulary
 * ranks come from the lens; in a closed set they are counted here, from the scores of its
 * names. */
#include "lab/sweep_own.h"

#include <assert.h>
#include <math.h>

/* Where the lens keeps what it found of an image token. */
typedef struct cells {
    const float *ranks, *logits, *log_sums; /* [rows][n_columns], ..., [rows] */
    const tap_sweep_rows *rows;             /* those of ranks */
    bool all; /* logits and log_sums are of all image tokens, not of rows */
} cells;

static cells cells_of(const tap_sweep_view *v)
{
    const tap_sweep *s = v->sweep;
    const tap_sweep_image *image = &v->batch->images[v->index];
    const int64_t run = v->batch->run_of[v->index][v->source];
    const int64_t n_columns = tap_labels_n_columns(&s->labels);
    cells c = {.rows = tap_sweep_rows_of(image, v->source),
               .all = v->source == TAP_SOURCE_PHOTO && tap_sweep_locates(s)};
    const int64_t n_logits = c.all ? image->scene.sequence.n_image : c.rows->n;
    const int64_t d = (int64_t)v->depth;
    const tap_lens *lens = v->batch->lens;
    if (s->sets.n == 0)
        c.ranks = tap_lens_ranks(lens, run, v->variant) + d * c.rows->n * n_columns;
    if (c.all || s->sets.n > 0)
        c.logits = tap_lens_logits(lens, run, v->variant) + d * n_logits * n_columns;
    if (c.all && s->sets.n == 0 && s->experiment->readout.locate[TAP_LOCATE_GAP])
        c.log_sums = tap_lens_logit_sums(lens, run, v->variant) + d * n_logits;
    return c;
}

static int64_t logit_row(const cells *c, int32_t patch)
{
    const int64_t row = c->all ? patch : c->rows->row_of[patch];
    assert(row >= 0);
    return row;
}

/* The largest logit of a label's forms in a row of them. */
static float best_logit(const float *row, const tap_label *label)
{
    float best = -INFINITY;
    for (int64_t f = 0; f < label->n_columns; f++)
        best = row[label->columns[f]] > best ? row[label->columns[f]] : best;
    return best;
}

static float best_rank(const float *row, const tap_label *label)
{
    float best = row[label->columns[0]];
    for (int64_t f = 1; f < label->n_columns; f++)
        best = row[label->columns[f]] < best ? row[label->columns[f]] : best;
    return best;
}

/* scores [n] of the names of the item's set at a row; *at: the place of the label. A label
 * that is not in the set takes the place of the item's own. */
static int64_t score_set(float *scores, int64_t *at, const tap_sweep_view *v,
                         int64_t label, const float *row)
{
    const tap_candidate_set *set = v->item->candidates;
    *at = -1;
    for (int64_t i = 0; i < set->n; i++) {
        scores[i] = best_logit(row, &v->sweep->labels.labels[set->labels[i]]);
        if (set->labels[i] == label)
            *at = i;
    }
    for (int64_t i = 0; i < set->n && *at < 0; i++)
        if (set->labels[i] == v->item->label) {
            scores[i] = best_logit(row, &v->sweep->labels.labels[label]);
            *at = i;
        }
    assert(*at >= 0);
    return set->n;
}

static float log_sum_of(const float *scores, int64_t n)
{
    double most = -INFINITY, sum = 0.0;
    assert(n > 0);
    for (int64_t i = 0; i < n; i++)
        most = (double)scores[i] > most ? (double)scores[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)scores[i] - most);
    return (float)(most + log(sum));
}

void tap_sweep_rank(float *ranks, const tap_sweep_view *view, int64_t label,
                    const int32_t *patches, int64_t n_patches, float *scratch)
{
    const cells c = cells_of(view);
    const int64_t n_columns = tap_labels_n_columns(&view->sweep->labels);
    for (int64_t p = 0; p < n_patches; p++) {
        if (c.ranks) {
            const int64_t row = c.rows->row_of[patches[p]];
            assert(row >= 0);
            ranks[p] = best_rank(c.ranks + row * n_columns,
                                 &view->sweep->labels.labels[label]);
            continue;
        }
        int64_t at = 0;
        const int64_t n = score_set(scratch, &at, view, label,
                                    c.logits + logit_row(&c, patches[p]) * n_columns);
        ranks[p] = tap_rank_of(scratch, n, at);
    }
}

void tap_sweep_locate(float *logits, float *log_ps, const tap_sweep_view *view,
                      float *scratch)
{
    const cells c = cells_of(view);
    const int64_t n_columns = tap_labels_n_columns(&view->sweep->labels);
    const tap_sweep_image *image = &view->batch->images[view->index];
    const tap_label *label = &view->sweep->labels.labels[view->item->label];
    for (int64_t i = 0; i < image->scene.sequence.n_image; i++) {
        const float *row = c.logits + i * n_columns;
        const float z = best_logit(row, label);
        if (logits)
            logits[i] = z;
        if (!log_ps)
            continue;
        int64_t at = 0;
        const float log_sum =
            c.log_sums ? c.log_sums[i]
                       : log_sum_of(scratch, score_set(scratch, &at, view,
                                                       view->item->label, row));
        log_ps[i] = z - log_sum;
    }
}

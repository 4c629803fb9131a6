/* Applying edits: all of a site read first, then all write. A state and column belongs to
 * one edit at most, so new numbers wait at their own place in the scratch. */
#include "hook/edit.h"

#include "base/philox.h"
#include "hook/plan_own.h"

#include <math.h>
#include <string.h>

float tap_edit_normal(uint64_t key, uint32_t place, int64_t row, int64_t column)
{
    const uint32_t counter[4] = {(uint32_t)row, (uint32_t)(column / 2), place,
                                 TAP_DRAW_NOISE};
    uint32_t words[4];
    tap_philox(words, counter, key);
    const double u = ((double)words[0] + 1.0) / 4294967296.0; /* (0, 1] */
    const double angle = 2.0 * acos(-1.0) * (double)words[1] / 4294967296.0;
    const double radius = sqrt(-2.0 * log(u));
    return (float)(radius * (column % 2 ? sin(angle) : cos(angle)));
}

/* What an edit works on. */
typedef struct desk {
    const tap_edit *edit;
    const float *values;     /* [..][d] as they were */
    const float *patch;      /* [edit->n_rows][d], or NULL */
    float *made;             /* [..][d] */
    const int32_t *place_of; /* [n_rows] where a row is; NULL: each at its own place */
    int64_t first, n_rows,
        d;          /* rows first .. first + n_rows of the sequence are here */
    int64_t lo, hi; /* edited rows that are here: edit->rows[lo .. hi) */
} desk;

/* Where row `row` of the sequence begins in values and made. */
static int64_t at_row(const desk *k, int64_t row)
{
    return (k->place_of ? k->place_of[row - k->first] : row - k->first) * k->d;
}

static int64_t n_spans(const tap_edit *e)
{
    return e->spans ? e->n_spans : 1;
}

/* Columns begin .. end of span i. */
static void span_of(int64_t *begin, int64_t *end, const desk *k, int64_t i)
{
    *begin = k->edit->spans ? k->edit->spans[2 * i] : 0;
    *end = k->edit->spans ? k->edit->spans[2 * i + 1] : k->d;
}

/* <h, u> / <u, u> over the edit's columns; 0 where `positive` spares the row. */
static double project(const desk *k, const float *row)
{
    const float *u = k->edit->vector;
    double dot = 0.0, length = 0.0;
    for (int64_t s = 0, begin, end; s < n_spans(k->edit); s++) {
        span_of(&begin, &end, k, s);
        for (int64_t c = begin; c < end; c++) {
            dot += (double)row[c] * (double)u[c];
            length += (double)u[c] * (double)u[c];
        }
    }
    if (length <= 0.0 || (k->edit->positive && dot <= 0.0))
        return 0.0;
    return dot / length;
}

/* Columns begin .. end of the mean of the rows read. */
static void mean_of(float *out, const desk *k, int64_t begin, int64_t end)
{
    const tap_edit *e = k->edit;
    for (int64_t c = begin; c < end; c++) {
        double sum = 0.0;
        for (int64_t i = 0; i < e->n_from; i++)
            sum += (double)k->values[at_row(k, e->from[i]) + c];
        out[c] = (float)(sum / (double)e->n_from);
    }
}

/* The same for every edited row: made once, in the first. */
static void make_mean(const desk *k, int64_t begin, int64_t end)
{
    const tap_edit *e = k->edit;
    float *first = k->made + at_row(k, e->rows[k->lo]);
    mean_of(first, k, begin, end);
    for (int64_t i = k->lo + 1; i < k->hi; i++)
        memcpy(k->made + at_row(k, e->rows[i]) + begin, first + begin,
               (size_t)(end - begin) * sizeof *first);
}

void tap_edit_later(float *out, const float *values, int64_t first,
                    const int32_t *place_of, int64_t d, const tap_edit *edit,
                    int64_t lo)
{
    const desk k = {.edit = edit,
                    .values = values,
                    .place_of = place_of,
                    .first = first,
                    .d = d,
                    .lo = lo};
    for (int64_t i = lo; i < edit->n_rows; i++, out += d)
        if (edit->kind == TAP_EDIT_MEAN)
            mean_of(out, &k, 0, d);
        else
            memcpy(out, values + at_row(&k, edit->from[i]), (size_t)d * sizeof *out);
}

/* Columns begin .. end of edited row i, whose projection is known. */
static void make_row(const desk *k, int64_t i, int64_t begin, int64_t end,
                     double projection)
{
    const tap_edit *e = k->edit;
    const int64_t at = at_row(k, e->rows[i]);
    const float *row = k->values + at, *from = row;
    float *out = k->made + at;
    switch (e->kind) {
    case TAP_EDIT_ZERO:
        for (int64_t c = begin; c < end; c++)
            out[c] = 0.0F;
        return;
    case TAP_EDIT_NOISE:
        for (int64_t c = begin; c < end; c++)
            out[c] = (float)((e->instead ? 0.0 : (double)row[c]) +
                             e->weight * (double)tap_edit_normal(e->key, e->place,
                                                                 e->rows[i], c));
        return;
    case TAP_EDIT_STEER:
        for (int64_t c = begin; c < end; c++)
            out[c] = (float)((double)row[c] + e->weight * (double)e->vector[c]);
        return;
    case TAP_EDIT_PROJECT_OUT:
        for (int64_t c = begin; c < end; c++)
            out[c] =
                (float)((double)row[c] - e->weight * projection * (double)e->vector[c]);
        return;
    case TAP_EDIT_SCRAMBLE:
        for (int64_t c = begin; c < end; c++)
            out[c] = e->columns[c] < 0 ? -row[~e->columns[c]] : row[e->columns[c]];
        return;
    case TAP_EDIT_PERMUTE:
    case TAP_EDIT_COPY:
        from = k->values + at_row(k, e->from[i]);
        break;
    case TAP_EDIT_PATCH:
        from = k->patch + i * k->d;
        break;
    case TAP_EDIT_NONE:
    case TAP_EDIT_MEAN:
        break;
    }
    memcpy(out + begin, from + begin, (size_t)(end - begin) * sizeof *out);
}

static void make(const desk *k)
{
    const tap_edit *e = k->edit;
    for (int64_t i = k->lo; i < k->hi; i++) {
        const float *row = k->values + at_row(k, e->rows[i]);
        const double projection =
            e->kind == TAP_EDIT_PROJECT_OUT ? project(k, row) : 0.0;
        for (int64_t s = 0, begin, end; s < n_spans(e); s++) {
            span_of(&begin, &end, k, s);
            if (e->kind != TAP_EDIT_MEAN)
                make_row(k, i, begin, end, projection);
            else if (i == k->lo)
                make_mean(k, begin, end);
        }
    }
}

/* Puts the new numbers in place and counts what changed. */
static void write(float *values, const desk *k, tap_block_receipt *receipt)
{
    const tap_edit *e = k->edit;
    for (int64_t i = k->lo; i < k->hi; i++)
        for (int64_t s = 0, begin, end; s < n_spans(e); s++) {
            span_of(&begin, &end, k, s);
            const int64_t at = at_row(k, e->rows[i]);
            float *row = values + at;
            const float *now = k->made + at;
            for (int64_t c = begin; c < end; c++) {
                const double change = fabs((double)now[c] - (double)row[c]);
                receipt->values_changed += memcmp(&now[c], &row[c], sizeof *row) != 0;
                if (change > receipt->largest_change)
                    receipt->largest_change = change;
                row[c] = now[c];
            }
        }
    receipt->states_edited += k->hi - k->lo;
}

static bool is_here(const desk *k, int64_t row)
{
    return row >= k->first && row < k->first + k->n_rows &&
           (!k->place_of || k->place_of[row - k->first] >= 0);
}

static tap_status begin(desk *k, tap_error *err)
{
    const tap_edit *e = k->edit;
    const int64_t end = k->first + k->n_rows;
    while (k->lo < e->n_rows && e->rows[k->lo] < k->first)
        k->lo++;
    for (k->hi = k->lo; k->hi < e->n_rows && e->rows[k->hi] < end;)
        k->hi++;
    for (int64_t i = k->lo; i < k->hi; i++)
        if (!is_here(k, e->rows[i]))
            return TAP_FAIL(err, TAP_EBUG, "row %d is edited, but not run", e->rows[i]);
    if (k->d != e->d)
        return TAP_FAIL(err, TAP_EBUG, "an edit of %lld columns met %lld",
                        (long long)e->d, (long long)k->d);
    const bool by_row = e->kind == TAP_EDIT_PERMUTE || e->kind == TAP_EDIT_COPY;
    const int64_t from = by_row ? k->lo : 0, to = by_row          ? k->hi
                                                  : k->hi > k->lo ? e->n_from
                                                                  : 0;
    for (int64_t i = from; i < to; i++)
        if (!is_here(k, e->from[i]))
            return TAP_FAIL(
                err, TAP_ENUMERIC,
                "the edit '%s' at %s reads row %d, which is not among rows %lld to "
                "%lld that are run",
                tap_edit_names[e->kind], tap_site_about(e->site)->name, e->from[i],
                (long long)k->first, (long long)end - 1);
    if (e->kind == TAP_EDIT_PATCH && k->hi > k->lo && !k->patch)
        return TAP_FAIL(err, TAP_EBUG, "a patch without states");
    return TAP_OK;
}

tap_status tap_edit_apply(float *values, int64_t first, int64_t n_rows,
                          const int32_t *place_of, int64_t d, const tap_edit *edits,
                          int n_edits, tap_site site, const float *const *patches,
                          float *scratch, tap_block_receipt *receipt, tap_error *err)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n_edits; i++) {
            desk k = {.edit = &edits[i],
                      .values = values,
                      .patch = patches && patches[i] ? patches[i] : edits[i].values,
                      .made = scratch,
                      .place_of = place_of,
                      .first = first,
                      .n_rows = n_rows,
                      .d = d};
            if (edits[i].site != site)
                continue;
            TAP_TRY(begin(&k, err));
            if (pass == 0)
                make(&k);
            else
                write(values, &k, receipt);
        }
    return TAP_OK;
}

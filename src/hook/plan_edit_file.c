/* Vectors and traces that a condition names: opened, checked against the model, copied into
 * the plan, all before anything is computed. */
#include "base/suggest.h"
#include "hook/plan_edit.h"

#include <math.h>
#include <stdio.h>

static tap_status open_file(tap_editor *e)
{
    return e->file ? TAP_OK
                   : tap_safetensors_open(&e->file, tap_edit_text(e), e->c->err);
}

/* n numbers of a tensor from `first` on, finite. */
static tap_status read_values(float *out, const tap_editor *e, const tap_tensor *t,
                              const char *name, int64_t first, int64_t n)
{
    tap_widen(out, t, first, n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            return TAP_FAIL(e->c->err, TAP_EFORMAT,
                            "'%s': tensor '%s' holds a number that is not finite",
                            tap_edit_text(e), name);
    return TAP_OK;
}

static bool is_float(const tap_tensor *t)
{
    return t->dtype == TAP_F32 || t->dtype == TAP_F16 || t->dtype == TAP_BF16;
}

tap_status tap_edit_read_vector(tap_edit *edit, tap_editor *e, int block)
{
    float *vector = NULL;
    TAP_TRY(open_file(e));
    const int64_t n = tap_safetensors_count(e->file);
    if (n != 1)
        return tap_plan_refuse(e->c, e->atom, e->atom->column,
                               "'%s' holds %lld tensors; %s needs a file with one "
                               "vector",
                               tap_edit_text(e), (long long)n,
                               tap_edit_names[edit->kind]);
    const tap_tensor *t = tap_safetensors_tensor(e->file, 0);
    const int n_blocks = block >= 0 ? e->c->sizes->n_blocks[e->atom->stack] : 1;
    const bool one = t->n_dims == 1 && t->shape[0] == edit->d;
    const bool each = t->n_dims == 2 && t->shape[1] == edit->d &&
                      (t->shape[0] == n_blocks || t->shape[0] == 1);
    if (!is_float(t) || (!one && !each))
        return tap_plan_refuse(
            e->c, e->atom, e->atom->column,
            "'%s' must hold a vector of %lld numbers (or one for each "
            "of %d blocks), but its tensor '%s' is %s with %d axes of "
            "%lld x %lld",
            tap_edit_text(e), (long long)edit->d, n_blocks,
            tap_safetensors_name(e->file, 0), tap_safetensors_dtype(e->file, 0),
            t->n_dims, (long long)(t->n_dims > 0 ? t->shape[0] : 0),
            (long long)(t->n_dims > 1 ? t->shape[1] : 1));
    TAP_TRY(tap_plan_own(e->c, &vector, (size_t)edit->d, sizeof *vector));
    TAP_TRY(read_values(vector, e, t, tap_safetensors_name(e->file, 0),
                        one || t->shape[0] == 1 ? 0 : block * edit->d, edit->d));
    edit->vector = vector;
    if (edit->kind != TAP_EDIT_PROJECT_OUT)
        return TAP_OK;
    double length = 0.0;
    for (int64_t i = 0; i < edit->d; i++)
        length += (double)vector[i] * (double)vector[i];
    return length > 0.0 ? TAP_OK
                        : tap_plan_refuse(e->c, e->atom, e->atom->column,
                                          "'%s' holds zeros: nothing can be projected "
                                          "out along them",
                                          tap_edit_text(e));
}

/* The tensor of a site in a trace: under its name, as a depth, or of the first condition. */
static int64_t find_trace(const tap_editor *e, const char *name, int block)
{
    char other[2 * TAP_SITE_NAME_BYTES];
    int64_t at = tap_safetensors_find(e->file, name);
    if (at < 0 && e->atom->site == TAP_SITE_RESID_PRE) {
        (void)snprintf(other, sizeof other, "%s.depth.%d",
                       tap_stack_name(e->atom->stack), block);
        at = tap_safetensors_find(e->file, other);
    }
    if (at < 0) {
        (void)snprintf(other, sizeof other, "0/%s", name);
        at = tap_safetensors_find(e->file, other);
    }
    return at;
}

static tap_status refuse_trace(const tap_editor *e, const char *name)
{
    const char *known[256];
    size_t n = 0;
    for (int64_t i = 0; i < tap_safetensors_count(e->file) && n < 256; i++)
        known[n++] = tap_safetensors_name(e->file, i);
    const char *near = tap_suggest(name, known, n);
    return tap_plan_refuse(
        e->c, e->atom, e->atom->column,
        "'%s' does not hold the states of '%s'%s%s%s; write them with "
        "'tapetum trace --sites %s --positions all'",
        tap_edit_text(e), name, near ? "; the nearest it has is '" : "",
        near ? near : "", near ? "'" : "", name);
}

/* Rows of the site: how many a whole trace has, and how many are image rows. */
static void count_rows(int64_t *all, int64_t *image, const tap_editor *e)
{
    *all = *image = 0;
    for (int64_t t = 0; t < e->set->n_tok; t++) {
        const int32_t row =
            e->set->tokens[t].role == TAP_ROLE_GEN ? -1 : tap_edit_row(e, t);
        *all = row >= *all ? row + 1 : *all;
        *image += row >= 0 && e->set->tokens[t].role == TAP_ROLE_PATCH;
    }
}

/* Which row of an image-only trace a token has; -1: none. */
static int64_t image_row(const tap_editor *e, int64_t token)
{
    int64_t row = 0;
    if (e->set->tokens[token].role != TAP_ROLE_PATCH)
        return -1;
    for (int64_t t = 0; t < token; t++)
        row += e->set->tokens[t].role == TAP_ROLE_PATCH;
    return row;
}

tap_status tap_edit_read_trace(tap_edit *edit, tap_editor *e,
                               const tap_row_place *places, int block)
{
    char name[TAP_SITE_NAME_BYTES];
    float *values = NULL;
    int64_t all = 0, image = 0;
    TAP_TRY(open_file(e));
    tap_edit_site(name, e->atom, block);
    const int64_t at = find_trace(e, name, block);
    if (at < 0)
        return refuse_trace(e, name);
    const tap_tensor *t = tap_safetensors_tensor(e->file, at);
    count_rows(&all, &image, e);
    const bool whole = t->n_dims == 2 && t->shape[0] == all;
    if (!is_float(t) || t->n_dims != 2 || t->shape[1] != edit->d ||
        (!whole && t->shape[0] != image))
        return tap_plan_refuse(
            e->c, e->atom, e->atom->column,
            "'%s': '%s' is [%lld][%lld], but this image and model have "
            "[%lld][%lld] (or [%lld] image rows)",
            tap_edit_text(e), name, (long long)t->shape[0],
            (long long)(t->n_dims > 1 ? t->shape[1] : 1), (long long)all,
            (long long)edit->d, (long long)image);
    TAP_TRY(tap_plan_own(e->c, &values, (size_t)edit->n_rows,
                         (size_t)edit->d * sizeof *values));
    for (int64_t i = 0; i < edit->n_rows; i++) {
        if (e->set->tokens[places[i].token].role == TAP_ROLE_GEN)
            return tap_plan_refuse(e->c, e->atom, e->atom->column,
                                   "'%s' has no states of generated tokens; leave them "
                                   "out of the group with '-gen'",
                                   tap_edit_text(e));
        const int64_t row = whole ? places[i].row : image_row(e, places[i].token);
        if (row < 0)
            return tap_plan_refuse(
                e->c, e->atom, e->atom->column,
                "'%s' holds image rows only, and the group has other "
                "tokens; trace with --positions all",
                tap_edit_text(e));
        TAP_TRY(read_values(values + i * edit->d, e, t, name, row * edit->d, edit->d));
    }
    edit->values = values;
    return TAP_OK;
}

void tap_edit_close_file(tap_editor *e)
{
    tap_safetensors_close(e->file);
    e->file = NULL;
}

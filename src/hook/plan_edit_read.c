/* What an edit reads: which row each edited row takes its numbers from, and which columns. */
#include "base/philox.h"
#include "hook/plan_edit.h"

#include <stdlib.h>

typedef struct drawn {
    uint64_t draw;
    int32_t row;
} drawn;

static int by_draw(const void *a, const void *b)
{
    const drawn *x = a, *y = b;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* from = the edited rows in the order of their random numbers. */
static tap_status permute(int32_t *from, const tap_editor *e,
                          const tap_row_place *places, int64_t n)
{
    const uint64_t key = (uint64_t)e->atom->seed ^ e->c->groups->key;
    drawn *all = NULL;
    TAP_TRY(tap_alloc(&all, (size_t)n, sizeof *all, "a permutation", e->c->err));
    for (int64_t i = 0; i < n; i++) {
        const uint32_t counter[4] = {(uint32_t)places[i].token, 0, 0, TAP_DRAW_PERMUTE};
        uint32_t words[4];
        tap_philox(words, counter, key);
        all[i] = (drawn){(uint64_t)words[0] << 32 | words[1], places[i].row};
    }
    qsort(all, (size_t)n, sizeof *all, by_draw);
    for (int64_t i = 0; i < n; i++)
        from[i] = all[i].row;
    tap_free(all);
    return TAP_OK;
}

/* columns[c] = the column that c takes, or ~ of it with the other sign: the edit's columns in
 * the order of their random numbers. Of the seed and the site alone, not of the picture. */
tap_status tap_edit_scramble(tap_edit *edit, const tap_editor *e)
{
    int32_t *columns = NULL;
    drawn *all = NULL;
    int64_t n = 0;
    TAP_TRY(tap_plan_own(e->c, &columns, (size_t)edit->d, sizeof *columns));
    TAP_TRY(tap_alloc(&all, (size_t)edit->d, sizeof *all, "a permutation", e->c->err));
    for (int64_t s = 0; s < (edit->spans ? edit->n_spans : 1); s++) {
        const int64_t end = edit->spans ? edit->spans[2 * s + 1] : edit->d;
        for (int64_t c = edit->spans ? edit->spans[2 * s] : 0; c < end; c++) {
            const uint32_t counter[4] = {(uint32_t)c, 0, edit->place,
                                         TAP_DRAW_SCRAMBLE};
            uint32_t words[4];
            tap_philox(words, counter, (uint64_t)e->atom->seed);
            columns[c] = (int32_t)(words[2] >> 31);
            all[n++] = (drawn){(uint64_t)words[0] << 32 | words[1], (int32_t)c};
        }
    }
    qsort(all, (size_t)n, sizeof *all, by_draw);
    n = 0;
    for (int64_t s = 0; s < (edit->spans ? edit->n_spans : 1); s++) {
        const int64_t end = edit->spans ? edit->spans[2 * s + 1] : edit->d;
        for (int64_t c = edit->spans ? edit->spans[2 * s] : 0; c < end; c++, n++)
            columns[c] = columns[c] ? ~all[n].row : all[n].row;
    }
    tap_free(all);
    edit->columns = columns;
    return TAP_OK;
}

/* Squared distance on the grid; -1 where there is none. */
static int64_t squared(const tap_token *a, const tap_token *b)
{
    if (tap_token_distance(a, b) < 0)
        return -1;
    const int64_t dy = a->row - b->row, dx = a->col - b->col;
    return dy * dy + dx * dx;
}

/* Equal numbers: first from first. Else the nearest on the grid; where there is no grid,
 * in turn. */
static void copy_from(int32_t *from, const tap_editor *e, const tap_row_place *to,
                      int64_t n, const tap_row_place *source, int64_t n_source)
{
    for (int64_t i = 0; i < n; i++) {
        from[i] = source[i % n_source].row;
        int64_t least = -1;
        for (int64_t j = 0; n != n_source && j < n_source; j++) {
            const int64_t d =
                squared(&e->set->tokens[to[i].token], &e->set->tokens[source[j].token]);
            if (d >= 0 && (least < 0 || d < least)) {
                least = d;
                from[i] = source[j].row;
            }
        }
    }
}

static tap_status mean_from(tap_edit *edit, const tap_editor *e)
{
    uint64_t *members = e->a->keys;
    tap_row_place *places = NULL;
    int32_t *from = NULL;
    if (!members) {
        TAP_TRY(tap_plan_own(e->c, &members, (size_t)tap_bits_words(e->set->n_tok),
                             sizeof *members));
        for (int64_t t = 0; t < e->set->n_tok; t++)
            if (e->set->tokens[t].role == TAP_ROLE_PATCH)
                tap_bits_set(members, t);
    }
    TAP_TRY(tap_edit_places(&places, &edit->n_from, e, members));
    if (edit->n_from == 0)
        return tap_plan_refuse(e->c, e->atom, e->atom->column,
                               "the mean is over no token: the group is empty here");
    TAP_TRY(tap_plan_own(e->c, &from, (size_t)edit->n_from, sizeof *from));
    for (int64_t i = 0; i < edit->n_from; i++)
        from[i] = places[i].row;
    edit->from = from;
    return TAP_OK;
}

tap_status tap_edit_rows_read(tap_edit *edit, const tap_editor *e,
                              const tap_row_place *places)
{
    int32_t *from = NULL;
    if (edit->kind == TAP_EDIT_MEAN)
        return mean_from(edit, e);
    if (edit->kind != TAP_EDIT_PERMUTE && edit->kind != TAP_EDIT_COPY)
        return TAP_OK;
    TAP_TRY(tap_plan_own(e->c, &from, (size_t)edit->n_rows, sizeof *from));
    edit->from = from;
    edit->n_from = edit->n_rows;
    if (edit->kind == TAP_EDIT_PERMUTE)
        return permute(from, e, places, edit->n_rows);
    tap_row_place *source = NULL;
    int64_t n_source = 0;
    TAP_TRY(tap_edit_places(&source, &n_source, e, e->a->keys));
    if (n_source == 0)
        return tap_plan_refuse(e->c, e->atom, e->atom->column,
                               "there is nothing to copy: the group is empty here");
    copy_from(from, e, places, edit->n_rows, source, n_source);
    return TAP_OK;
}

/* Keeps in mind which token rows an edit reads. */
tap_status tap_edit_note_reads(const tap_editor *e, const tap_edit *edit)
{
    uint64_t **bits = &e->c->out->plan.rows_read[e->atom->stack];
    const bool tokens = !e->atom->projector && e->atom->site != TAP_SITE_FEATURES &&
                        e->atom->site != TAP_SITE_PIXELS;
    if (!tokens || edit->n_from == 0)
        return TAP_OK;
    if (!*bits)
        TAP_TRY(tap_plan_own(e->c, bits, (size_t)tap_bits_words(e->set->n_tok),
                             sizeof **bits));
    for (int64_t i = 0; i < edit->n_from; i++)
        tap_bits_set(*bits, edit->from[i]);
    return TAP_OK;
}

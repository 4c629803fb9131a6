#include "lab/candidate.h"

#include <stdlib.h>
#include <string.h>

static tap_status find_set(tap_candidate_set **out, tap_candidate_sets *s,
                           const char *object, size_t n_kinds, tap_error *err)
{
    for (size_t i = 0; i < s->n; i++)
        if (!object || strcmp(s->sets[i].object, object) == 0) {
            *out = &s->sets[i];
            return TAP_OK;
        }
    TAP_TRY(
        tap_grow(&s->sets, &s->capacity, s->n + 1, sizeof *s->sets, "candidates", err));
    tap_candidate_set set = {.object = object};
    TAP_TRY(tap_alloc(&set.labels, n_kinds, sizeof *set.labels, "candidates", err));
    s->sets[s->n] = set;
    *out = &s->sets[s->n++];
    return TAP_OK;
}

static void add_label(tap_candidate_set *set, int64_t label)
{
    for (int64_t i = 0; i < set->n; i++)
        if (set->labels[i] == label)
            return;
    set->labels[set->n++] = label;
}

static int compare_names(const void *a, const void *b)
{
    const tap_store_candidate *x = a, *y = b;
    const int order = strcmp(x->object, y->object);
    return order ? order : strcmp(x->label, y->label);
}

/* The names in order, and their hash. */
static tap_status close_names(tap_candidate_sets *s, tap_error *err)
{
    tap_buffer text = {0};
    tap_status status = TAP_OK;
    qsort(s->names, s->n_names, sizeof *s->names, compare_names);
    for (size_t i = 0; i < s->n_names && status == TAP_OK; i++)
        status = tap_buffer_print(&text, err, "%s\t%s\n", s->names[i].object,
                                  s->names[i].label);
    if (status == TAP_OK)
        status =
            tap_sha256(s->sha256, text.n_bytes ? text.text : "", text.n_bytes, err);
    tap_buffer_clear(&text);
    return status;
}

tap_status tap_candidate_sets_make(tap_candidate_sets *out, tap_labels *labels,
                                   const tap_survey *survey, tap_candidates which,
                                   tap_error *err)
{
    tap_candidate_sets s = {0};
    bool *is_open = NULL; /* [n_kinds] */
    const size_t n = survey->n_kinds;
    tap_status status = TAP_OK;
    *out = s;
    if (which == TAP_CANDIDATES_VOCABULARY)
        return TAP_OK;
    TAP_TRY_OUT(tap_alloc(&is_open, n, sizeof *is_open, "candidates", err));
    TAP_TRY_OUT(tap_alloc(&s.names, n, sizeof *s.names, "candidates", err));
    for (size_t i = 0; i < survey->n_items; i++)
        is_open[survey->items[i].kind] |= survey->items[i].is_open;
    for (size_t k = 0; k < n; k++) {
        const tap_survey_kind *kind = &survey->kinds[k];
        tap_candidate_set *set = NULL;
        int64_t label = 0;
        if (!is_open[k])
            continue;
        TAP_TRY_OUT(tap_labels_find(&label, labels, kind->label, err));
        if (labels->labels[label].n_columns == 0)
            continue;
        TAP_TRY_OUT(find_set(
            &set, &s, which == TAP_CANDIDATES_PARTS ? NULL : kind->object, n, err));
        add_label(set, label);
        s.names[s.n_names++] = (tap_store_candidate){kind->object, kind->label};
        s.most = set->n > s.most ? set->n : s.most;
    }
    TAP_TRY_OUT(close_names(&s, err));
out:
    tap_free(is_open);
    if (status == TAP_OK)
        *out = s;
    else
        tap_candidate_sets_clear(&s);
    return status;
}

void tap_candidate_sets_clear(tap_candidate_sets *sets)
{
    for (size_t i = 0; i < sets->n; i++)
        tap_free(sets->sets[i].labels);
    tap_free(sets->sets);
    tap_free(sets->names);
    *sets = (tap_candidate_sets){0};
}

const tap_candidate_set *tap_candidate_sets_find(const tap_candidate_sets *sets,
                                                 const char *object)
{
    for (size_t i = 0; i < sets->n; i++)
        if (!sets->sets[i].object || strcmp(sets->sets[i].object, object) == 0)
            return &sets->sets[i];
    return NULL;
}

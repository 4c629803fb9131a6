#include "lab/survey.h"

#include "base/memory.h"
#include "base/philox.h"

#include <string.h>

/* Permutations draw from a stream of their own. */
static const uint64_t PERMUTE_KEY = UINT64_C(0x7065726d75746521); /* "permute!" */

void tap_survey_clear(tap_survey *survey)
{
    for (size_t k = 0; k < survey->n_kinds; k++) {
        tap_free(survey->kinds[k].object);
        tap_free(survey->kinds[k].label);
    }
    tap_free(survey->kinds);
    tap_free(survey->items);
    tap_free(survey->first);
    *survey = (tap_survey){0};
}

static tap_status find_kind(int32_t *out, tap_survey *s, const char *object,
                            const char *label, tap_error *err)
{
    int32_t class = s->n_classes;
    for (size_t k = 0; k < s->n_kinds; k++) {
        if (strcmp(s->kinds[k].object, object) != 0)
            continue;
        class = s->kinds[k].class;
        if (strcmp(s->kinds[k].label, label) == 0) {
            *out = (int32_t)k;
            return TAP_OK;
        }
    }
    TAP_TRY(tap_grow(&s->kinds, &s->kind_capacity, s->n_kinds + 1, sizeof *s->kinds,
                     "a survey", err));
    tap_survey_kind kind = {.class = class};
    TAP_TRY(tap_text_copy(&kind.object, object, strlen(object), err));
    const tap_status status = tap_text_copy(&kind.label, label, strlen(label), err);
    if (status != TAP_OK) {
        tap_free(kind.object);
        return status;
    }
    *out = (int32_t)s->n_kinds;
    s->kinds[s->n_kinds++] = kind;
    s->n_classes += class == s->n_classes;
    return TAP_OK;
}

static tap_status add_items(tap_survey *s, const tap_items *items, bool has_photo,
                            tap_error *err)
{
    TAP_TRY(tap_grow(&s->items, &s->item_capacity, s->n_items + items->n_parts,
                     sizeof *s->items, "a survey", err));
    for (size_t p = 0; p < items->n_parts; p++) {
        const tap_part *part = &items->parts[p];
        tap_survey_item item = {.is_open = has_photo && !part->excluded,
                                .given = {-1, -1}};
        TAP_TRY(find_kind(&item.kind, s, items->objects[part->object].name, part->label,
                          err));
        s->items[s->n_items++] = item;
    }
    return TAP_OK;
}

tap_status tap_survey_read(tap_survey *out, const tap_dataset *dataset, tap_error *err)
{
    tap_survey s = {.n_images = tap_dataset_count(dataset)};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(
        tap_alloc(&s.first, (size_t)s.n_images + 1, sizeof *s.first, "a survey", err));
    for (int64_t i = 0; i < s.n_images; i++) {
        tap_items items = {0};
        status = tap_dataset_read(&items, dataset, i, err);
        if (status == TAP_OK)
            status = add_items(&s, &items, tap_dataset_photo(dataset, i) != NULL, err);
        else if (status != TAP_ENOMEM)
            status = TAP_OK; /* its items are excluded when its turn comes */
        tap_items_clear(&items);
        if (status != TAP_OK)
            goto out;
        s.first[i + 1] = (int64_t)s.n_items;
    }
out:
    if (status == TAP_OK)
        *out = s;
    else
        tap_survey_clear(&s);
    return status;
}

/* ---- permuted labels ---- */

/* to[k] gets the label of from[k]; -1 where it is its own. Both [n]: the same items. */
static void permute(tap_survey *s, const int32_t *label, const int64_t *from,
                    int64_t *to, int64_t n, int which, tap_random *random)
{
    int32_t stuck = -1; /* the one label that more than half of the items may have */
    for (int64_t k = n - 1; k > 0; k--) {
        const int64_t j = tap_random_next(random, (uint32_t)k + 1), swap = to[k];
        to[k] = to[j];
        to[j] = swap;
    }
    for (int64_t k = 0; k < n; k++) {
        const int32_t own = label[to[k]];
        if (label[from[k]] != own || own == stuck)
            continue;
        int64_t j = tap_random_next(random, (uint32_t)n), left = n;
        for (; left > 0 && (label[from[j]] == own || label[to[j]] == own); left--)
            j = j + 1 < n ? j + 1 : 0;
        if (left > 0) {
            const int64_t swap = to[k];
            to[k] = to[j];
            to[j] = swap;
        } else {
            stuck = own;
        }
    }
    for (int64_t k = 0; k < n; k++)
        s->items[to[k]].given[which] =
            label[from[k]] == label[to[k]] ? -1 : label[from[k]];
}

tap_status tap_survey_permute(tap_survey *survey, tap_labels *labels, tap_error *err)
{
    tap_survey *s = survey;
    int32_t *label = NULL, *of_kind = NULL; /* index in labels; -1: cannot be scored */
    int64_t *from = NULL, *to = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&label, s->n_items, sizeof *label, "a permutation", err));
    TAP_TRY_OUT(tap_alloc(&of_kind, s->n_kinds, sizeof *of_kind, "a permutation", err));
    TAP_TRY_OUT(tap_alloc(&from, s->n_items, sizeof *from, "a permutation", err));
    TAP_TRY_OUT(tap_alloc(&to, s->n_items, sizeof *to, "a permutation", err));
    for (size_t k = 0; k < s->n_kinds; k++) {
        int64_t index = 0;
        TAP_TRY_OUT(tap_labels_find(&index, labels, s->kinds[k].label, err));
        of_kind[k] = labels->labels[index].excluded ? -1 : (int32_t)index;
    }
    for (size_t i = 0; i < s->n_items; i++)
        label[i] = s->items[i].is_scored ? of_kind[s->items[i].kind] : -1;
    for (int32_t c = 0; c <= s->n_classes; c++) { /* the last: all of them */
        const bool global = c == s->n_classes;
        tap_random random = {.key = PERMUTE_KEY, .purpose = {(uint32_t)c, global}};
        int64_t n = 0;
        for (size_t i = 0; i < s->n_items; i++)
            if (label[i] >= 0 && (global || s->kinds[s->items[i].kind].class == c))
                from[n] = to[n] = (int64_t)i, n++;
        permute(s, label, from, to, n, global, &random);
    }
out:
    tap_free(label);
    tap_free(of_kind);
    tap_free(from);
    tap_free(to);
    return status;
}

/* ---- another picture ---- */

static bool share_class(const tap_survey *s, int64_t a, int64_t b)
{
    for (int64_t i = s->first[a]; i < s->first[a + 1]; i++)
        for (int64_t k = s->first[b]; k < s->first[b + 1]; k++)
            if (s->kinds[s->items[i].kind].class == s->kinds[s->items[k].kind].class)
                return true;
    return false;
}

int64_t tap_survey_mismatch(const tap_survey *survey, const tap_dataset *dataset,
                            int64_t i)
{
    for (int64_t step = 1; step < survey->n_images; step++) {
        const int64_t other = (i + step) % survey->n_images;
        if (tap_dataset_photo(dataset, other) && !share_class(survey, i, other))
            return other;
    }
    return -1;
}

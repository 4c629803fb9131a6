#include "lab/survey.h"

#include "base/memory.h"
#include "tensor/bits.h"

#include <string.h>

void tap_survey_clear(tap_survey *survey)
{
    for (size_t k = 0; k < survey->n_kinds; k++) {
        tap_free(survey->kinds[k].object);
        tap_free(survey->kinds[k].label);
    }
    for (int64_t i = 0; survey->kinds_of && i < survey->n_images; i++)
        tap_free(survey->kinds_of[i]);
    tap_free(survey->kinds);
    tap_free(survey->kinds_of);
    tap_free(survey->n_words);
    *survey = (tap_survey){0};
}

static tap_status find_kind(size_t *out, tap_survey *s, const char *object,
                            const char *label, tap_error *err)
{
    for (size_t k = 0; k < s->n_kinds; k++)
        if (strcmp(s->kinds[k].label, label) == 0 &&
            strcmp(s->kinds[k].object, object) == 0) {
            *out = k;
            return TAP_OK;
        }
    TAP_TRY(tap_grow(&s->kinds, &s->capacity, s->n_kinds + 1, sizeof *s->kinds,
                     "a survey", err));
    tap_survey_kind kind = {0};
    TAP_TRY(tap_text_copy(&kind.object, object, strlen(object), err));
    const tap_status status = tap_text_copy(&kind.label, label, strlen(label), err);
    if (status != TAP_OK) {
        tap_free(kind.object);
        return status;
    }
    *out = s->n_kinds;
    s->kinds[s->n_kinds++] = kind;
    return TAP_OK;
}

static tap_status add_image(tap_survey *s, int64_t i, const tap_items *items,
                            tap_error *err)
{
    size_t capacity = 0;
    for (size_t p = 0; p < items->n_parts; p++) {
        const tap_part *part = &items->parts[p];
        size_t kind = 0;
        TAP_TRY(
            find_kind(&kind, s, items->objects[part->object].name, part->label, err));
        TAP_TRY(tap_grow(&s->kinds_of[i], &capacity, kind / 64 + 1, sizeof(uint64_t),
                         "a survey", err));
        s->n_words[i] = capacity;
        tap_bits_set(s->kinds_of[i], (int64_t)kind);
        s->kinds[kind].n_items += part->excluded == NULL;
    }
    return TAP_OK;
}

tap_status tap_survey_read(tap_survey *out, const tap_dataset *dataset, tap_error *err)
{
    tap_survey s = {.n_images = tap_dataset_count(dataset)};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&s.kinds_of, (size_t)s.n_images, sizeof *s.kinds_of,
                          "a survey", err));
    TAP_TRY_OUT(
        tap_alloc(&s.n_words, (size_t)s.n_images, sizeof *s.n_words, "a survey", err));
    for (int64_t i = 0; i < s.n_images; i++) {
        tap_items items = {0};
        status = tap_dataset_read(&items, dataset, i, err);
        if (status == TAP_OK)
            status = add_image(&s, i, &items, err);
        else if (status != TAP_ENOMEM)
            status = TAP_OK; /* its items are excluded when its turn comes */
        tap_items_clear(&items);
        if (status != TAP_OK)
            goto out;
    }
out:
    if (status == TAP_OK)
        *out = s;
    else
        tap_survey_clear(&s);
    return status;
}

static bool has_kind(const tap_survey *s, int64_t i, size_t kind)
{
    return kind / 64 < s->n_words[i] && tap_bits_get(s->kinds_of[i], (int64_t)kind);
}

static bool share_class(const tap_survey *s, int64_t a, int64_t b)
{
    for (size_t k = 0; k < s->n_kinds; k++)
        for (size_t m = 0; has_kind(s, a, k) && m < s->n_kinds; m++)
            if (has_kind(s, b, m) &&
                strcmp(s->kinds[k].object, s->kinds[m].object) == 0)
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

#include "lab/control.h"

#include <assert.h>
#include <string.h>

/* What choosing the sets of one item reads and writes. */
typedef struct chooser {
    const tap_sweep_setup *setup;
    tap_sweep_image *image;
    tap_sweep_item *item;
    int64_t ordinal;
    const float *covers;
    int64_t n_image;        /* row length of covers */
    const uint8_t *is_free; /* [n_image] no part of the item's name covers it */
    int32_t *scratch;       /* [n_image] */
} chooser;

static tap_random draws_of(const chooser *c, tap_control control, int32_t seed)
{
    return tap_control_random(c->image, c->ordinal, control, seed);
}

/* Appends a set; patches are copied. */
static tap_status put_set(tap_sweep_set **out, chooser *c, tap_control control,
                          int32_t seed, const int32_t *patches, int64_t n_patches,
                          tap_error *err)
{
    tap_sweep_item *item = c->item;
    TAP_TRY(tap_grow(&item->sets, &item->set_capacity, item->n_sets + 1,
                     sizeof *item->sets, "controls", err));
    tap_sweep_set set = {.control = control,
                         .seed = seed,
                         .n_patches = n_patches,
                         .label = item->label,
                         .source = TAP_SOURCE_PHOTO};
    TAP_TRY(tap_alloc(&set.patches, (size_t)n_patches, sizeof *set.patches, "controls",
                      err));
    memcpy(set.patches, patches, (size_t)n_patches * sizeof *patches);
    item->sets[item->n_sets] = set;
    *out = &item->sets[item->n_sets++];
    return TAP_OK;
}

/* Appends the reason why there is no set. */
static tap_status put_none(chooser *c, tap_control control, const char *reason,
                           tap_error *err)
{
    tap_sweep_item *item = c->item;
    TAP_TRY(tap_grow(&item->sets, &item->set_capacity, item->n_sets + 1,
                     sizeof *item->sets, "controls", err));
    tap_sweep_set set = {.control = control, .label = -1};
    TAP_TRY(tap_text_copy(&set.excluded, reason, strlen(reason), err));
    item->sets[item->n_sets++] = set;
    return TAP_OK;
}

/* The item's own patches, read for another label or in another picture. */
static tap_status put_own(tap_sweep_set **out, chooser *c, tap_control control,
                          tap_error *err)
{
    return put_set(out, c, control, 0, c->item->patches, c->item->n_patches, err);
}

/* ---- other patches ---- */

static tap_status put_random(chooser *c, tap_error *err)
{
    const tap_sweep_item *item = c->item;
    int64_t n_free = 0;
    for (int64_t i = 0; i < c->n_image; i++)
        n_free += c->is_free[i];
    if (n_free < item->n_patches)
        return put_none(c, TAP_CONTROL_RANDOM_PATCHES,
                        "too few patches without a part of this name", err);
    for (int32_t seed = 0; seed < TAP_N_RANDOM_SETS; seed++) {
        tap_random d = draws_of(c, TAP_CONTROL_RANDOM_PATCHES, seed);
        int64_t n = 0;
        for (int64_t i = 0; i < c->n_image; i++)
            if (c->is_free[i])
                c->scratch[n++] = (int32_t)i;
        tap_control_choose(c->scratch, n, item->n_patches, &d);
        tap_sweep_set *set = NULL;
        TAP_TRY(put_set(&set, c, TAP_CONTROL_RANDOM_PATCHES, seed, c->scratch,
                        item->n_patches, err));
    }
    return TAP_OK;
}

static const tap_token *token_of(const chooser *c, int32_t place)
{
    const tap_scene *scene = &c->image->scene;
    return &scene->sequence.tokens[scene->image_rows[place]];
}

/* Rows and columns that hold the decoder's grids of both views. */
static int most(const int n[2])
{
    return n[0] > n[1] ? n[0] : n[1];
}

/* Whether all patches of the item, moved by (rows, cols), are free; writes them. grid
 * [view][n_rows][n_cols] image token at a place, -1: none. */
static bool move(int32_t *out, const chooser *c, const int32_t *grid, int rows,
                 int cols)
{
    const tap_layout *l = &c->image->scene.sequence.layout;
    const int n_rows = most(l->n_rows), n_cols = most(l->n_cols);
    for (int64_t p = 0; p < c->item->n_patches; p++) {
        const tap_token *t = token_of(c, c->item->patches[p]);
        const int row = t->row + rows, col = t->col + cols;
        if (row < 0 || col < 0 || row >= n_rows || col >= n_cols)
            return false;
        const int32_t place = grid[((int64_t)t->thumb * n_rows + row) * n_cols + col];
        if (place < 0 || !c->is_free[place])
            return false;
        out[p] = place;
    }
    return true;
}

/* One of all moves that fit, each as likely as the others. */
static tap_status put_shifted(chooser *c, tap_error *err)
{
    const tap_layout *l = &c->image->scene.sequence.layout;
    const int n_rows = most(l->n_rows), n_cols = most(l->n_cols);
    int32_t *grid = NULL;
    const int64_t n_places = 2 * (int64_t)n_rows * n_cols;
    TAP_TRY(tap_alloc(&grid, (size_t)n_places, sizeof *grid, "controls", err));
    for (int64_t i = 0; i < n_places; i++)
        grid[i] = -1;
    for (int64_t i = 0; i < c->n_image; i++) {
        const tap_token *t = token_of(c, (int32_t)i);
        grid[((int64_t)t->thumb * n_rows + t->row) * n_cols + t->col] = (int32_t)i;
    }
    uint32_t n_fit = 0, chosen = 0;
    tap_status status = TAP_OK;
    for (int pass = 0; pass < 2 && status == TAP_OK; pass++) {
        uint32_t at = 0;
        for (int rows = 1 - n_rows; rows < n_rows; rows++)
            for (int cols = 1 - n_cols; cols < n_cols && status == TAP_OK; cols++) {
                if (!move(c->scratch, c, grid, rows, cols))
                    continue;
                if (pass == 1 && at == chosen) {
                    tap_sweep_set *set = NULL;
                    status = put_set(&set, c, TAP_CONTROL_SHIFTED_MASK, 0, c->scratch,
                                     c->item->n_patches, err);
                    if (status == TAP_OK)
                        status = tap_text_format(&set->other, err, "%+d rows %+d cols",
                                                 rows, cols);
                }
                at++;
            }
        n_fit = pass == 0 ? at : n_fit;
        if (n_fit == 0) {
            status =
                put_none(c, TAP_CONTROL_SHIFTED_MASK,
                         "no place of this shape is free of parts of this name", err);
            break;
        }
        tap_random d = draws_of(c, TAP_CONTROL_SHIFTED_MASK, 0);
        chosen = tap_random_next(&d, n_fit);
    }
    tap_free(grid);
    return status;
}

static tap_status put_other_part(chooser *c, tap_error *err)
{
    const tap_sweep_other *other = &c->item->other;
    if (other->part < 0)
        return put_none(c, TAP_CONTROL_OTHER_PART, TAP_NO_OTHER_PART, err);
    tap_sweep_set *set = NULL;
    TAP_TRY(put_set(&set, c, TAP_CONTROL_OTHER_PART, 0, other->patches[TAP_LM],
                    other->n_patches[TAP_LM], err));
    const char *name = c->image->annotation.parts[other->part].name;
    return tap_text_copy(&set->other, name, strlen(name), err);
}

/* ---- other words ---- */

static tap_status put_object_name(chooser *c, tap_error *err)
{
    int64_t label = 0;
    tap_labels *labels = c->setup->labels;
    const char *word = c->image->annotation.objects[c->item->part->object].label;
    TAP_TRY(tap_labels_find(&label, labels, word, err));
    if (labels->labels[label].n_columns == 0)
        return put_none(c, TAP_CONTROL_OBJECT_NAME,
                        "every form of the object's name needs several tokens", err);
    tap_sweep_set *set = NULL;
    TAP_TRY(put_own(&set, c, TAP_CONTROL_OBJECT_NAME, err));
    set->label = label;
    return TAP_OK;
}

/* The label that a permutation of all items of the object class, or of the data, gives. */
static tap_status put_permuted(chooser *c, bool global, tap_error *err)
{
    const tap_survey *survey = c->setup->survey;
    const tap_control control =
        global ? TAP_CONTROL_PERMUTED_LABELS_GLOBAL : TAP_CONTROL_PERMUTED_LABELS;
    assert(survey);
    const int32_t given =
        survey->items[survey->first[c->image->id] + c->ordinal].given[global];
    if (given < 0)
        return put_none(c, control,
                        global ? "too few items of the data have another label"
                               : "too few items of the class have another label",
                        err);
    tap_sweep_set *set = NULL;
    TAP_TRY(put_own(&set, c, control, err));
    set->label = given;
    return TAP_OK;
}

/* ---- other pictures ---- */

static tap_status put_source(chooser *c, tap_control control, tap_sweep_source source,
                             const char *other, const char *absent, tap_error *err)
{
    tap_sweep_set *set = NULL;
    if (!c->image->sources[source].present)
        return put_none(c, control, absent, err);
    TAP_TRY(put_own(&set, c, control, err));
    set->source = source;
    return other ? tap_text_copy(&set->other, other, strlen(other), err) : TAP_OK;
}

static tap_status put_item_sets(chooser *c, const char *mismatch, tap_error *err)
{
    const bool *wanted = c->setup->experiment->controls;
    if (wanted[TAP_CONTROL_SHIFTED_MASK])
        TAP_TRY(put_shifted(c, err));
    if (wanted[TAP_CONTROL_OTHER_PART])
        TAP_TRY(put_other_part(c, err));
    if (wanted[TAP_CONTROL_RANDOM_PATCHES])
        TAP_TRY(put_random(c, err));
    if (wanted[TAP_CONTROL_BLANK_IMAGE])
        TAP_TRY(put_source(c, TAP_CONTROL_BLANK_IMAGE, TAP_SOURCE_BLANK, NULL,
                           "no blank picture", err));
    if (wanted[TAP_CONTROL_MISMATCHED_IMAGE])
        TAP_TRY(
            put_source(c, TAP_CONTROL_MISMATCHED_IMAGE, TAP_SOURCE_OTHER, mismatch,
                       "no other photo with the same token places and none of these "
                       "object classes",
                       err));
    if (wanted[TAP_CONTROL_PERMUTED_LABELS])
        TAP_TRY(put_permuted(c, false, err));
    if (wanted[TAP_CONTROL_PERMUTED_LABELS_GLOBAL])
        TAP_TRY(put_permuted(c, true, err));
    if (wanted[TAP_CONTROL_OBJECT_NAME])
        TAP_TRY(put_object_name(c, err));
    if (wanted[TAP_CONTROL_WORDS])
        TAP_TRY(put_source(c, TAP_CONTROL_WORDS, TAP_SOURCE_WORDS, NULL,
                           "no words for image tokens", err));
    return TAP_OK;
}

/* is_free[i] = no part with this label, scored or not, covers patch i at all. */
tap_status tap_controls_prepare(tap_sweep_image *image, const tap_sweep_setup *setup,
                                const float *covers, int64_t n_image, tap_error *err)
{
    bool any = false;
    for (int k = 0; k < TAP_N_CONTROLS; k++)
        any |= setup->experiment->controls[k];
    if (!any || image->n_scored == 0)
        return TAP_OK;
    TAP_TRY(tap_control_sources(image, setup, covers, n_image, err));
    uint8_t *is_free = NULL;
    chooser c = {.setup = setup,
                 .image = image,
                 .covers = covers,
                 .n_image = image->scene.sequence.n_image};
    const int64_t mismatch =
        setup->survey ? tap_survey_mismatch(setup->survey, setup->dataset, image->id)
                      : -1;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&is_free, (size_t)c.n_image, 1, "controls", err));
    TAP_TRY_OUT(
        tap_alloc(&c.scratch, (size_t)c.n_image, sizeof *c.scratch, "controls", err));
    c.is_free = is_free;
    for (int64_t i = 0; i < image->n_items; i++) {
        if (image->items[i].excluded)
            continue;
        c.item = &image->items[i];
        c.ordinal = i;
        tap_control_free(is_free, &image->annotation, c.item->part->label, covers,
                         c.n_image);
        TAP_TRY_OUT(put_item_sets(
            &c, mismatch < 0 ? NULL : tap_dataset_name(setup->dataset, mismatch), err));
    }
out:
    tap_free(is_free);
    tap_free(c.scratch);
    return status;
}

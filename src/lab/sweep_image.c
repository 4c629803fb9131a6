#include "lab/sweep_image.h"

#include "base/hash.h"
#include "lab/control.h"
#include "read/group.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void clear_sets(tap_sweep_item *item)
{
    for (size_t s = 0; s < item->n_sets; s++) {
        tap_free(item->sets[s].patches);
        tap_free(item->sets[s].other);
        tap_free(item->sets[s].excluded);
    }
    tap_free(item->sets);
}

void tap_sweep_image_clear(tap_sweep_image *image)
{
    for (int s = 0; s < TAP_N_SOURCES; s++) {
        tap_pixels_clear(&image->sources[s].pixels);
        tap_sequence_clear(&image->sources[s].sequence);
    }
    for (int64_t i = 0; i < image->n_items; i++) {
        clear_sets(&image->items[i]);
        tap_outline_clear(&image->items[i].outline);
        tap_free(image->items[i].excluded);
        tap_free(image->items[i].patches);
        tap_free(image->items[i].coverage);
        tap_free(image->items[i].variants);
        for (int k = 0; k < TAP_N_STACKS; k++)
            tap_free(image->items[i].other.patches[k]);
    }
    for (int64_t p = 0; p < image->n_plans; p++)
        tap_plan_free(image->plans[p]);
    tap_pictures_close(image->pictures);
    tap_free(image->items);
    tap_free(image->plans);
    tap_free(image->rows.tokens);
    tap_free(image->rows.row_of);
    tap_free(image->own_rows.tokens);
    tap_free(image->own_rows.row_of);
    tap_free(image->excluded);
    tap_image_clear(&image->thumbnail);
    tap_items_clear(&image->annotation);
    tap_scene_clear(&image->scene);
    *image = (tap_sweep_image){0};
}

/* A failure that belongs to this image's files, not to the experiment. */
static bool is_files_fault(tap_status status)
{
    return status == TAP_EIO || status == TAP_EFORMAT || status == TAP_EINVAL ||
           status == TAP_EUNSUPPORTED;
}

bool tap_sweep_needs_survey(const tap_experiment *experiment)
{
    return experiment->controls[TAP_CONTROL_PERMUTED_LABELS] ||
           experiment->controls[TAP_CONTROL_PERMUTED_LABELS_GLOBAL] ||
           experiment->controls[TAP_CONTROL_MISMATCHED_IMAGE] ||
           experiment->readout.candidates != TAP_CANDIDATES_VOCABULARY;
}

const tap_sweep_rows *tap_sweep_rows_of(const tap_sweep_image *image,
                                        tap_sweep_source source)
{
    return source == TAP_SOURCE_PHOTO ? &image->rows : &image->own_rows;
}

static tap_status exclude_image(tap_sweep_image *image, const char *reason,
                                tap_error *err)
{
    return tap_text_copy(&image->excluded, reason, strlen(reason), err);
}

/* The photo made smaller; a small one stays as it is. */
static tap_status make_thumbnail(tap_image *out, const tap_image *photo,
                                 int64_t side_px, tap_error *err)
{
    const int64_t longest = photo->width > photo->height ? photo->width : photo->height;
    const double scale = longest > side_px ? (double)side_px / (double)longest : 1.0;
    const int64_t width = (int64_t)((double)photo->width * scale + 0.5);
    const int64_t height = (int64_t)((double)photo->height * scale + 0.5);
    return tap_image_resize(out, photo, width > 0 ? width : 1, height > 0 ? height : 1,
                            TAP_BILINEAR, TAP_ORDER_PILLOW_12, err);
}

/* NULL: the model's own. */
static const char *prompt_of(const tap_sweep_setup *setup)
{
    const char *prompt = setup->experiment->prompt;
    return strcmp(prompt, "default") == 0 ? NULL : prompt;
}

static tap_status open_photo(tap_sweep_image *image, const tap_sweep_setup *setup,
                             const char *path, tap_error *err)
{
    const char *prompt = prompt_of(setup);
    const int64_t side_px = setup->experiment->readout.thumbnail_px;
    if (setup->items_only)
        return tap_scene_place(&image->scene, setup->model, image->annotation.width_px,
                               image->annotation.height_px, prompt, err);
    tap_image photo = {0};
    TAP_TRY(tap_image_read_as(&photo, path, setup->model->spec.preprocess.alpha, err));
    tap_status status =
        tap_scene_make(&image->scene, setup->model, &photo, prompt, err);
    if (status == TAP_OK && side_px > 0)
        status = make_thumbnail(&image->thumbnail, &photo, side_px, err);
    if (status == TAP_OK)
        status = tap_sha256_file(image->sha256, path, err);
    tap_image_clear(&photo);
    return status;
}

/* Reads photo and annotation; a fault of either excludes the image. */
static tap_status open_image(tap_sweep_image *image, const tap_sweep_setup *setup,
                             tap_error *err)
{
    const char *photo = tap_dataset_photo(setup->dataset, image->id);
    tap_error fault;
    tap_status status =
        tap_dataset_read(&image->annotation, setup->dataset, image->id, &fault);
    if (status != TAP_OK && !is_files_fault(status))
        return TAP_FAIL(err, status, "%s", fault.message);
    if (status != TAP_OK)
        return exclude_image(image, fault.message, err);
    if (!photo)
        return exclude_image(image, "no photo", err);
    status = open_photo(image, setup, photo, &fault);
    if (status == TAP_OK)
        return TAP_OK;
    if (!is_files_fault(status))
        return TAP_FAIL(err, status, "%s", fault.message);
    return exclude_image(image, fault.message, err);
}

/* ---- items ---- */

static tap_status find_label(tap_sweep_item *item, const tap_sweep_setup *setup,
                             tap_error *err)
{
    TAP_TRY(tap_labels_find(&item->label, setup->labels, item->part->label, err));
    const tap_label *label = &setup->labels->labels[item->label];
    if (!item->excluded && label->excluded)
        return tap_text_copy(&item->excluded, label->excluded, strlen(label->excluded),
                             err);
    if (item->excluded ||
        setup->experiment->readout.candidates == TAP_CANDIDATES_VOCABULARY)
        return TAP_OK;
    item->candidates = tap_candidate_sets_find(setup->sets, item->object);
    if (!item->candidates || item->candidates->n < 2)
        return tap_text_format(&item->excluded, err,
                               "its set of candidates has no other name that this "
                               "model can score");
    return TAP_OK;
}

/* The image tokens of a part, by the rule of the experiment; none: excluded with the reason.
 * cover [n_image]. */
static tap_status find_patches(tap_sweep_item *item, const tap_sweep_image *image,
                               const tap_sweep_setup *setup, const float *cover,
                               tap_error *err)
{
    const int64_t n = image->scene.sequence.n_image;
    const double tau = setup->experiment->patches.threshold;
    int64_t best = 0, n_patches = 0;
    for (int64_t i = 0; i < n; i++) {
        best = cover[i] > cover[best] ? i : best;
        n_patches += cover[i] > 0.0F && (double)cover[i] >= tau;
    }
    if (cover[best] <= 0.0F)
        return tap_text_format(
            &item->excluded, err,
            "the part lies outside what the model sees of the photo");
    const bool fall_back = n_patches == 0;
    if (fall_back && setup->experiment->patches.fallback == TAP_FALLBACK_SKIP)
        return tap_text_format(&item->excluded, err,
                               "no patch is covered by at least %.3g", tau);
    item->n_patches = fall_back ? 1 : n_patches;
    TAP_TRY(tap_alloc(&item->patches, (size_t)item->n_patches, sizeof *item->patches,
                      "patches", err));
    TAP_TRY(tap_alloc(&item->coverage, (size_t)item->n_patches, sizeof *item->coverage,
                      "patches", err));
    double places = 0.0;
    for (int64_t i = 0, k = 0; i < n; i++)
        if (fall_back ? i == best : cover[i] > 0.0F && (double)cover[i] >= tau) {
            item->patches[k] = (int32_t)i;
            item->coverage[k++] = cover[i];
            places += (double)i + 0.5;
        }
    item->raster_frac = places / ((double)item->n_patches * (double)n);
    return TAP_OK;
}

/* ---- plans ---- */

bool tap_sweep_plan_is_lm_only(const tap_plan *plan)
{
    for (int b = 0; b < plan->n_blocks[TAP_VISION]; b++)
        if (plan->blocks[TAP_VISION][b].hash != 0)
            return false;
    return plan->once[TAP_STAGE_VISION].hash == 0 &&
           plan->once[TAP_STAGE_PROJECTOR].hash == 0;
}

/* Keeps the plan, or drops it when the image has its equal; *variant says which it is. */
static tap_status keep_plan(int64_t *variant, tap_sweep_image *image, size_t *capacity,
                            tap_plan *plan, tap_error *err)
{
    for (int64_t p = 0; p < image->n_plans; p++)
        if (tap_plan_equal(image->plans[p], plan)) {
            tap_plan_free(plan);
            *variant = p;
            return TAP_OK;
        }
    const tap_status status =
        tap_grow(&image->plans, capacity, (size_t)image->n_plans + 1,
                 sizeof(tap_plan *), "plans", err);
    if (status != TAP_OK) {
        tap_plan_free(plan);
        return status;
    }
    *variant = image->n_plans;
    image->plans[image->n_plans++] = plan;
    return TAP_OK;
}

/* patch(NAME) finds a condition that stands before this one in the experiment. */
static tap_status compile_plans(tap_sweep_image *image, tap_sweep_item *item,
                                size_t *capacity, const tap_sweep_setup *setup,
                                const tap_groups *groups, tap_error *err)
{
    const size_t n = (size_t)setup->n_conditions;
    const char **names = NULL;
    const tap_plan **plans = NULL;
    tap_plan_sizes sizes;
    tap_status status = TAP_OK;
    tap_spec_plan_sizes(&sizes, &setup->model->spec);
    sizes.beside = setup->experiment->path;
    sizes.pictures = tap_pictures_plans(image->pictures);
    TAP_TRY_OUT(tap_alloc(&names, n, sizeof *names, "plans", err));
    TAP_TRY_OUT(tap_alloc(&plans, n, sizeof *plans, "plans", err));
    TAP_TRY_OUT(tap_alloc(&item->variants, n, sizeof *item->variants, "plans", err));
    for (int64_t c = 0; c < setup->n_conditions; c++) {
        const tap_plan_runs runs = {.names = names, .plans = plans, .n = c};
        tap_plan *plan = NULL;
        sizes.runs = &runs;
        status = tap_plan_compile(&plan, setup->conditions[c], groups, &sizes, err);
        if (status != TAP_OK) {
            status =
                tap_wrap(err, status, "condition '%s', image '%s', part '%s'",
                         setup->experiment->conditions[c].name,
                         tap_dataset_name(setup->dataset, image->id), item->part->name);
            goto out;
        }
        TAP_TRY_OUT(keep_plan(&item->variants[c], image, capacity, plan, err));
        names[c] = setup->experiment->conditions[c].name;
        plans[c] = image->plans[item->variants[c]];
    }
out:
    tap_free(names);
    tap_free(plans);
    return status;
}

/* Coverages of an image: parts, then objects, each computed once, on the encoder's grid and
 * on the decoder's. */
typedef struct covers {
    float *values; /* [n][n_patches] */
    float *tokens; /* [n][n_image] */
    int64_t n_patches, n_image;
} covers;

static void clear_covers(covers *c)
{
    tap_free(c->values);
    tap_free(c->tokens);
    *c = (covers){0};
}

/* Row i: one mask, if there is one (an excluded part may have none). */
static tap_status cover_one(covers *c, size_t i, const tap_mask *mask,
                            const tap_scene *scene, tap_error *err)
{
    if (!mask->inside)
        return TAP_OK;
    float *values = c->values + (int64_t)i * c->n_patches;
    TAP_TRY(tap_mask_cover(values, mask, &scene->geometry, err));
    tap_scene_cover(c->tokens + (int64_t)i * c->n_image, scene, values);
    return TAP_OK;
}

static tap_status cover_all(covers *out, const tap_sweep_image *image, tap_error *err)
{
    const tap_items *a = &image->annotation;
    const size_t n = a->n_parts + a->n_objects;
    covers c = {.n_patches = tap_scene_n_patches(&image->scene),
                .n_image = image->scene.sequence.n_image};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&c.values, n, (size_t)c.n_patches * sizeof *c.values,
                          "coverage", err));
    TAP_TRY_OUT(
        tap_alloc(&c.tokens, n, (size_t)c.n_image * sizeof *c.tokens, "coverage", err));
    for (size_t p = 0; p < a->n_parts; p++)
        TAP_TRY_OUT(cover_one(&c, p, &a->parts[p].mask, &image->scene, err));
    for (size_t o = 0; o < a->n_objects; o++)
        TAP_TRY_OUT(
            cover_one(&c, a->n_parts + o, &a->objects[o].mask, &image->scene, err));
out:
    if (status == TAP_OK)
        *out = c;
    else
        clear_covers(&c);
    return status;
}

/* Which of the groups that not every image has conditions name; index of the first
 * condition, -1: none. */
static int64_t first_naming(const tap_sweep_setup *setup, const char *group)
{
    for (int64_t c = 0; c < setup->n_conditions; c++)
        if (tap_condition_names(setup->conditions[c], group))
            return c;
    return -1;
}

/* The patches of another part; an item without one is excluded if a condition names it, so
 * that all conditions have the same items. */
static tap_status find_other(tap_sweep_item *item, const tap_sweep_image *image,
                             const tap_sweep_setup *setup, const covers *c,
                             int64_t naming, tap_error *err)
{
    const float *const values[] = {c->values, c->tokens};
    const int64_t n[] = {c->n_patches, c->n_image};
    if (naming < 0 && !setup->experiment->controls[TAP_CONTROL_OTHER_PART])
        return TAP_OK;
    TAP_TRY(tap_control_other_part(item, image, setup, values, n, err));
    if (naming < 0 || item->other.part >= 0)
        return TAP_OK;
    return tap_text_format(
        &item->excluded, err, "condition '%s' names other_part and %s",
        setup->experiment->conditions[naming].name, TAP_NO_OTHER_PART);
}

/* Which items are scored, with their plans. */
static tap_status prepare_items(tap_sweep_image *image, const tap_sweep_setup *setup,
                                const covers *c, const tap_reg *reg, tap_error *err)
{
    const tap_items *a = &image->annotation;
    const int64_t naming = first_naming(setup, "other_part");
    size_t capacity = 0;
    for (int64_t i = 0; i < image->n_items; i++) {
        tap_sweep_item *item = &image->items[i];
        const float *part = c->values + i * c->n_patches;
        const float *object =
            c->values + ((int64_t)a->n_parts + item->part->object) * c->n_patches;
        if (!item->excluded)
            TAP_TRY(find_patches(item, image, setup, c->tokens + i * c->n_image, err));
        if (!item->excluded)
            TAP_TRY(find_other(item, image, setup, c, naming, err));
        image->n_scored += !item->excluded;
        if (item->excluded || setup->items_only)
            continue;
        tap_groups groups = {0};
        const tap_group_input input = {
            .part = part,
            .object = object,
            .other_places = {item->other.patches[TAP_VISION],
                             item->other.patches[TAP_LM]},
            .n_other_places = {item->other.n_patches[TAP_VISION],
                               item->other.n_patches[TAP_LM]},
            .threshold = setup->experiment->patches.threshold,
            .scene = &image->scene,
            .reg = reg};
        TAP_TRY(tap_group_compile(&groups, &input, err));
        const tap_status status =
            compile_plans(image, item, &capacity, setup, &groups, err);
        tap_groups_clear(&groups);
        TAP_TRY(status);
    }
    return TAP_OK;
}

/* Image tokens that some scored item reads, and with `sets` those of its controls. */
static tap_status collect_rows(tap_sweep_rows *out, const tap_sweep_image *image,
                               bool sets, tap_error *err)
{
    const tap_scene *scene = &image->scene;
    const int64_t n = scene->sequence.n_image;
    TAP_TRY(tap_alloc(&out->row_of, (size_t)n, sizeof *out->row_of, "rows", err));
    TAP_TRY(tap_alloc(&out->tokens, (size_t)n, sizeof *out->tokens, "rows", err));
    for (int64_t i = 0; i < n; i++)
        out->row_of[i] = -1;
    for (int64_t i = 0; i < image->n_items; i++) {
        const tap_sweep_item *item = &image->items[i];
        if (item->excluded)
            continue;
        for (int64_t p = 0; p < item->n_patches; p++)
            out->row_of[item->patches[p]] = 0;
        for (size_t s = 0; sets && s < item->n_sets; s++)
            for (int64_t p = 0; p < item->sets[s].n_patches; p++)
                out->row_of[item->sets[s].patches[p]] = 0;
    }
    for (int64_t i = 0; i < n; i++)
        if (out->row_of[i] == 0) {
            out->row_of[i] = out->n;
            out->tokens[out->n++] = scene->image_rows[i];
        }
    return TAP_OK;
}

static tap_status begin_items(tap_sweep_image *image, const tap_sweep_setup *setup,
                              tap_error *err)
{
    const tap_items *a = &image->annotation;
    TAP_TRY(tap_alloc(&image->items, a->n_parts, sizeof *image->items, "items", err));
    for (size_t p = 0; p < a->n_parts; p++) {
        tap_sweep_item *item = &image->items[p];
        const tap_part *part = &a->parts[p];
        image->n_items = (int64_t)p + 1;
        item->part = part;
        item->raster_frac = (double)NAN;
        item->other.part = -1;
        item->object = a->objects[part->object].name;
        item->object_id = a->objects[part->object].id;
        const char *reason = image->excluded ? image->excluded : part->excluded;
        if (reason)
            TAP_TRY(tap_text_copy(&item->excluded, reason, strlen(reason), err));
        TAP_TRY(find_label(item, setup, err));
    }
    return TAP_OK;
}

/* Keeps the outlines of the masks and lets go of these: a batch may hold many images. */
static tap_status drop_masks(tap_sweep_image *image, tap_error *err)
{
    tap_items *a = &image->annotation;
    for (size_t p = 0; p < a->n_parts; p++) {
        if (a->parts[p].mask.inside)
            TAP_TRY(
                tap_outline_trace(&image->items[p].outline, &a->parts[p].mask, err));
        tap_mask_clear(&a->parts[p].mask);
    }
    for (size_t o = 0; o < a->n_objects; o++)
        tap_mask_clear(&a->objects[o].mask);
    return TAP_OK;
}

tap_status tap_sweep_prepare(tap_sweep_image *out, const tap_sweep_setup *setup,
                             int64_t i, tap_error *err)
{
    tap_sweep_image image = {.id = i};
    covers c = {0};
    tap_reg reg = {{NULL, NULL}};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(open_image(&image, setup, err));
    const tap_items *a = &image.annotation;
    if (!image.excluded && a->n_parts > 0 &&
        (a->width_px != image.scene.width_px || a->height_px != image.scene.height_px))
        TAP_TRY_OUT(tap_text_format(
            &image.excluded, err,
            "masks of %lld x %lld px on a photo of %lld x %lld px",
            (long long)a->width_px, (long long)a->height_px,
            (long long)image.scene.width_px, (long long)image.scene.height_px));
    TAP_TRY_OUT(begin_items(&image, setup, err));
    if (!image.excluded) {
        TAP_TRY_OUT(cover_all(&c, &image, err));
        const bool needs_reg = !setup->items_only && first_naming(setup, "reg") >= 0;
        if (needs_reg)
            TAP_TRY_OUT(tap_reg_find(&reg, &image.scene, 0, err));
        TAP_TRY_OUT(
            tap_pictures_open(&image.pictures, setup->model, prompt_of(setup), err));
        TAP_TRY_OUT(prepare_items(&image, setup, &c, needs_reg ? &reg : NULL, err));
        if (setup->items_only)
            goto out;
        if (!setup->plan_only)
            TAP_TRY_OUT(tap_pictures_fill(image.pictures, setup->kernels,
                                          setup->n_threads, err));
        TAP_TRY_OUT(tap_controls_prepare(&image, setup, c.tokens, c.n_image, err));
        TAP_TRY_OUT(collect_rows(&image.rows, &image, true, err));
        TAP_TRY_OUT(collect_rows(&image.own_rows, &image, false, err));
    }
    TAP_TRY_OUT(drop_masks(&image, err));
out:
    tap_reg_clear(&reg);
    clear_covers(&c);
    if (status == TAP_OK)
        *out = image;
    else
        tap_sweep_image_clear(&image);
    return status;
}

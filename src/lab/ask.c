/* The library's short way in: one image, some words, some conditions. */
#include "lab/label.h"
#include "lab/sweep.h"
#include "read/group.h"
#include "read/lens.h"
#include "read/pictures.h"

#include <omp.h>
#include <string.h>

struct tap_answer {
    tap_scene scene;
    tap_groups groups;
    tap_labels labels;
    tap_plan **plans; /* [n_conditions] */
    tap_pictures *pictures;
    size_t n_conditions, n_labels;
    size_t *label_of; /* [n_labels] index in labels */
    tap_lens *lens;
    float *ranks; /* [n_conditions][n_depths][n_labels][n_patches] best form */
};

static tap_status read_cover(float **cover, const tap_scene *scene, const char *path,
                             tap_error *err)
{
    tap_mask mask = {0};
    if (!path)
        return TAP_OK;
    TAP_TRY(tap_mask_read(&mask, path, err));
    tap_status status = tap_alloc(cover, (size_t)tap_scene_n_patches(scene),
                                  sizeof **cover, "coverage", err);
    if (status == TAP_OK)
        status = tap_mask_cover(*cover, &mask, &scene->geometry, err);
    tap_mask_clear(&mask);
    return status == TAP_OK ? TAP_OK : tap_wrap(err, status, "mask '%s'", path);
}

static tap_status find_groups(tap_answer *a, const tap_question *q, bool needs_reg,
                              tap_error *err)
{
    float *part = NULL, *object = NULL;
    tap_reg reg = {{NULL, NULL}};
    tap_status status = read_cover(&part, &a->scene, q->part_mask, err);
    if (status == TAP_OK)
        status = read_cover(&object, &a->scene, q->object_mask, err);
    if (status == TAP_OK && needs_reg)
        status = tap_reg_find(&reg, &a->scene, q->n_threads, err);
    const tap_group_input input = {.scene = &a->scene,
                                   .part = part,
                                   .object = object,
                                   .threshold = 0.5,
                                   .reg = needs_reg ? &reg : NULL};
    if (status == TAP_OK)
        status = tap_group_compile(&a->groups, &input, err);
    tap_reg_clear(&reg);
    tap_free(part);
    tap_free(object);
    return status;
}

/* Reads every condition before anything else is read. */
static tap_status check_conditions(bool *needs_reg, const tap_question *q,
                                   tap_error *err)
{
    for (size_t c = 0; c < q->n_conditions; c++) {
        tap_condition *condition = NULL;
        TAP_TRY(tap_condition_parse(&condition, q->conditions[c], err));
        *needs_reg |= tap_condition_names(condition, "reg");
        tap_condition_free(condition);
    }
    return TAP_OK;
}

static tap_status compile_plans(tap_answer *a, const tap_model *model,
                                const tap_question *q, const char *const *texts,
                                tap_error *err)
{
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, &model->spec);
    TAP_TRY(tap_pictures_open(&a->pictures, model, q->prompt, err));
    sizes.pictures = tap_pictures_plans(a->pictures);
    TAP_TRY(tap_alloc(&a->plans, a->n_conditions, sizeof(tap_plan *), "plans", err));
    for (size_t c = 0; c < a->n_conditions; c++) {
        const tap_plan_runs runs = {.names = texts,
                                    .plans = (const tap_plan *const *)a->plans,
                                    .n = (int64_t)c};
        tap_condition *condition = NULL;
        sizes.runs = &runs;
        TAP_TRY(tap_condition_parse(&condition, texts[c], err));
        const tap_status status =
            tap_plan_compile(&a->plans[c], condition, &a->groups, &sizes, err);
        tap_condition_free(condition);
        TAP_TRY(status);
    }
    return tap_pictures_fill(a->pictures, NULL, q->n_threads, err);
}

static tap_status find_labels(tap_answer *a, const tap_model *model,
                              const tap_question *q, tap_error *err)
{
    const tap_label_spec spec = TAP_LABELS_AS_NAMED;
    TAP_TRY(tap_labels_open(&a->labels, model->tokenizer, &spec, err));
    a->n_labels = q->n_labels;
    TAP_TRY(tap_alloc(&a->label_of, q->n_labels, sizeof *a->label_of, "labels", err));
    for (size_t l = 0; l < q->n_labels; l++) {
        int64_t index = 0;
        TAP_TRY(tap_labels_find(&index, &a->labels, q->labels[l], err));
        if (a->labels.labels[index].excluded)
            return TAP_FAIL(err, TAP_EINVAL,
                            "%s of this model, so it has no rank; choose "
                            "another word",
                            a->labels.labels[index].excluded);
        a->label_of[l] = (size_t)index;
    }
    return TAP_OK;
}

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

/* The best form of each label, patch by patch. */
static tap_status reduce(tap_answer *a, tap_error *err)
{
    const int n_depths = tap_lens_n_depths(a->lens);
    const int64_t n = a->scene.sequence.n_image, n_ids = (int64_t)a->labels.n_ids;
    TAP_TRY(tap_alloc(&a->ranks, a->n_conditions * (size_t)n_depths * a->n_labels,
                      (size_t)n * sizeof *a->ranks, "ranks", err));
    float *out = a->ranks;
    for (size_t c = 0; c < a->n_conditions; c++)
        for (int d = 0; d < n_depths; d++)
            for (size_t l = 0; l < a->n_labels; l++) {
                const tap_label *label = &a->labels.labels[a->label_of[l]];
                const float *ranks =
                    tap_lens_ranks(a->lens, 0, (int64_t)c) + (int64_t)d * n * n_ids;
                for (int64_t i = 0; i < n; i++, out++) {
                    *out = ranks[i * n_ids + label->columns[0]];
                    for (int64_t f = 1; f < label->n_columns; f++) {
                        const float rank = ranks[i * n_ids + label->columns[f]];
                        *out = rank < *out ? rank : *out;
                    }
                }
            }
    return TAP_OK;
}

static tap_status run_lens(tap_answer *a, const tap_model *model, int n_threads,
                           tap_error *err)
{
    uint64_t depths[TAP_MAX_BLOCKS / 64 + 1];
    memset(depths, 0xff, sizeof depths);
    const int64_t *rows = a->scene.image_rows, n_rows = a->scene.sequence.n_image;
    const tap_lens_spec spec = {.labels = a->labels.ids,
                                .n_labels = (int64_t)a->labels.n_ids,
                                .depths = depths,
                                .rows = &rows,
                                .n_rows = &n_rows};
    const tap_kernels *kernels = tap_kernels_cpu();
    TAP_TRY(tap_lens_open(&a->lens, model, kernels, n_threads, &spec, 1,
                          (int64_t)a->n_conditions, err));
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, a->lens);
    const tap_item item = {.pixels = &a->scene.pixels,
                           .sequence = &a->scene.sequence,
                           .plans = (const tap_plan *const *)a->plans,
                           .read = rows,
                           .n_read = n_rows};
    const tap_sink sink = {.owner = a->lens, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.kernels = kernels, .n_threads = n_threads};
    TAP_TRY(
        tap_run(NULL, model, &item, 1, (int64_t)a->n_conditions, &options, &sink, err));
    tap_lens_flush(a->lens);
    return reduce(a, err);
}

tap_status tap_ask(tap_answer **out, const tap_model *model,
                   const tap_question *question, tap_error *err)
{
    static const char *const clean[] = {""};
    const tap_question *q = question;
    if (q->struct_size < sizeof *q || !q->image || q->n_labels == 0)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a question needs TAP_QUESTION_INIT, an image and a label");
    tap_answer *a = NULL;
    tap_status status = tap_alloc(&a, 1, sizeof *a, "an answer", err);
    if (status != TAP_OK)
        return status;
    bool needs_reg = false;
    a->n_conditions = q->n_conditions > 0 ? q->n_conditions : 1;
    TAP_TRY_OUT(check_conditions(&needs_reg, q, err));
    TAP_TRY_OUT(tap_model_demand_decoder(model, err));
    if (q->part_mask)
        TAP_TRY_OUT(tap_model_demand_places(
            model, "an answer about a part, which its mask would single out,", err));
    TAP_TRY_OUT(tap_scene_open(&a->scene, model, q->image, q->prompt, err));
    TAP_TRY_OUT(find_labels(a, model, q, err));
    TAP_TRY_OUT(find_groups(a, q, needs_reg, err));
    TAP_TRY_OUT(
        compile_plans(a, model, q, q->n_conditions > 0 ? q->conditions : clean, err));
    TAP_TRY_OUT(
        run_lens(a, model, q->n_threads > 0 ? q->n_threads : omp_get_num_procs(), err));
out:
    if (status == TAP_OK)
        *out = a;
    else
        tap_answer_free(a);
    return status;
}

void tap_answer_free(tap_answer *answer)
{
    if (!answer)
        return;
    tap_lens_close(answer->lens);
    for (size_t c = 0; answer->plans && c < answer->n_conditions; c++)
        tap_plan_free(answer->plans[c]);
    tap_free(answer->plans);
    tap_pictures_close(answer->pictures);
    tap_free(answer->ranks);
    tap_free(answer->label_of);
    tap_labels_clear(&answer->labels);
    tap_groups_clear(&answer->groups);
    tap_scene_clear(&answer->scene);
    tap_free(answer);
}

int64_t tap_answer_n_patches(const tap_answer *answer)
{
    return answer->scene.sequence.n_image;
}

int tap_answer_n_depths(const tap_answer *answer)
{
    return tap_lens_n_depths(answer->lens);
}

const float *tap_answer_ranks(const tap_answer *answer, size_t condition, int depth,
                              size_t label)
{
    const size_t at =
        (condition * (size_t)tap_lens_n_depths(answer->lens) + (size_t)depth) *
            answer->n_labels +
        label;
    return answer->ranks + at * (size_t)answer->scene.sequence.n_image;
}

bool tap_answer_in_part(const tap_answer *answer, int64_t patch)
{
    const uint64_t *part = tap_groups_find(&answer->groups, TAP_LM, "part");
    return part && tap_bits_get(part, answer->scene.image_rows[patch]);
}

tap_status tap_experiment_run(const char *experiment_path, const char *database_path,
                              int n_threads, size_t memory_bytes,
                              const volatile bool *stop, tap_error *err)
{
    tap_experiment experiment = {0};
    tap_sweep *sweep = NULL;
    const tap_sweep_options options = {.n_threads = n_threads,
                                       .memory_bytes = memory_bytes};
    TAP_TRY(tap_experiment_read(&experiment, experiment_path, err));
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_sweep_open(&sweep, &experiment, database_path, &options, err));
    const tap_sweep_counts *counts = tap_sweep_progress(sweep);
    bool more = counts->n_done < counts->n_images;
    while (more && !(stop && *stop))
        TAP_TRY_OUT(tap_sweep_step(&more, sweep, err));
    TAP_TRY_OUT(tap_sweep_finish(sweep, err));
    if (more)
        status = TAP_FAIL(err, TAP_ESTOPPED, "stopped after %lld of %lld images",
                          (long long)counts->n_done, (long long)counts->n_images);
out:
    tap_sweep_close(sweep);
    tap_experiment_clear(&experiment);
    return status;
}

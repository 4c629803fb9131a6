#include "read/scene.h"

#include "base/memory.h"

/* The sequence of a scene whose geometry is known. */
static tap_status place_tokens(tap_scene *scene, const char *prompt, tap_error *err)
{
    const tap_model *model = scene->model;
    tap_sequence *s = &scene->sequence;
    TAP_TRY(tap_prompt_compile(s, &model->spec, model->tokenizer, prompt,
                               &scene->geometry, err));
    TAP_TRY(tap_alloc(&scene->image_rows, (size_t)s->n_image, sizeof *scene->image_rows,
                      "a scene", err));
    for (int64_t t = 0, n = 0; t < s->n_tok; t++)
        if (s->tokens[t].role == TAP_ROLE_PATCH)
            scene->image_rows[n++] = t;
    return TAP_OK;
}

tap_status tap_scene_make(tap_scene *out, const tap_model *model,
                          const tap_image *image, const char *prompt, tap_error *err)
{
    tap_scene scene = {
        .model = model, .width_px = image->width, .height_px = image->height};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_preprocess_run(&scene.pixels, &scene.geometry, image,
                                   &model->spec.preprocess, err));
    TAP_TRY_OUT(place_tokens(&scene, prompt, err));
out:
    if (status == TAP_OK)
        *out = scene;
    else
        tap_scene_clear(&scene);
    return status;
}

tap_status tap_scene_place(tap_scene *out, const tap_model *model, int64_t width_px,
                           int64_t height_px, const char *prompt, tap_error *err)
{
    tap_scene scene = {.model = model, .width_px = width_px, .height_px = height_px};
    TAP_TRY(tap_preprocess_geometry(&scene.geometry, width_px, height_px,
                                    &model->spec.preprocess, err));
    const tap_status status = place_tokens(&scene, prompt, err);
    if (status == TAP_OK)
        *out = scene;
    else
        tap_scene_clear(&scene);
    return status;
}

tap_status tap_scene_open(tap_scene *out, const tap_model *model,
                          const char *image_path, const char *prompt, tap_error *err)
{
    tap_image image = {0};
    TAP_TRY(tap_image_read_as(&image, image_path, model->spec.preprocess.alpha, err));
    const tap_status status = tap_scene_make(out, model, &image, prompt, err);
    tap_image_clear(&image);
    return status;
}

tap_status tap_scene_text(tap_scene *out, const tap_model *model, const char *prompt,
                          tap_error *err)
{
    tap_scene scene = {.model = model};
    TAP_TRY(tap_sequence_text(&scene.sequence, &model->spec, model->tokenizer, prompt,
                              err));
    *out = scene;
    return TAP_OK;
}

void tap_scene_clear(tap_scene *scene)
{
    tap_pixels_clear(&scene->pixels);
    tap_sequence_clear(&scene->sequence);
    tap_free(scene->image_rows);
    *scene = (tap_scene){0};
}

int64_t tap_scene_n_patches(const tap_scene *scene)
{
    const tap_geometry *g = &scene->geometry;
    return (int64_t)g->n_tiles * g->n_rows * g->n_cols;
}

void tap_scene_cover(float *out, const tap_scene *scene, const float *patches)
{
    const tap_sequence *s = &scene->sequence;
    for (int64_t i = 0; i < s->n_image; i++) {
        const int32_t slot = s->tokens[scene->image_rows[i]].feature;
        out[i] = tap_slot_cover(&s->layout.slots[slot], &scene->geometry, patches);
    }
}

tap_box tap_scene_box(const tap_scene *scene, int64_t i)
{
    const tap_sequence *s = &scene->sequence;
    tap_box box = {0};
    (void)tap_layout_box(&box,
                         &s->layout.slots[s->tokens[scene->image_rows[i]].feature],
                         &scene->geometry);
    return box;
}

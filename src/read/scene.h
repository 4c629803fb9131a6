/* One photograph made ready for a model: pixels, geometry and token sequence. */
#ifndef TAP_READ_SCENE_H
#define TAP_READ_SCENE_H

#include "image/mask.h"
#include "model/model.h"
#include "model/prompt.h"

typedef struct tap_scene {
    const tap_model *model; /* borrowed */
    int64_t width_px, height_px;
    tap_pixels pixels;
    tap_geometry geometry;
    tap_sequence sequence;
    int64_t
        *image_rows; /* [sequence.n_image] sequence positions that stand for patches */
} tap_scene;

/* Reads the image, preprocesses it as the model asks, compiles the prompt (NULL: the
 * family's default). tap_scene_clear releases it.
 * Errors: TAP_EIO, TAP_EFORMAT of the image; TAP_EINVAL of the prompt. */
TAP_NODISCARD tap_status tap_scene_open(tap_scene *out, const tap_model *model,
                                        const char *image_path, const char *prompt,
                                        tap_error *err);
/* The same from a decoded image, which stays the caller's. */
TAP_NODISCARD tap_status tap_scene_make(tap_scene *out, const tap_model *model,
                                        const tap_image *image, const char *prompt,
                                        tap_error *err);
/* The same of a photograph of that size, without its pixels. */
TAP_NODISCARD tap_status tap_scene_place(tap_scene *out, const tap_model *model,
                                         int64_t width_px, int64_t height_px,
                                         const char *prompt, tap_error *err);
/* A prompt without a picture: no pixels, no patches. */
TAP_NODISCARD tap_status tap_scene_text(tap_scene *out, const tap_model *model,
                                        const char *prompt, tap_error *err);
void tap_scene_clear(tap_scene *scene);

/* Patches of the vision grid: n_tiles * n_rows * n_cols. */
int64_t tap_scene_n_patches(const tap_scene *scene);

/* out [sequence.n_image]: the share of each image token that a mask covers, from that of the
 * patches [tap_scene_n_patches] as tap_mask_cover gives them. The two grids differ where a
 * model merges, shrinks or cuts off. */
void tap_scene_cover(float *out, const tap_scene *scene, const float *patches);

/* The box of image token i, 0 <= i < sequence.n_image, in source pixels: the union of the
 * patches that it stands for, cut to the photograph; empty where they show padding alone. */
tap_box tap_scene_box(const tap_scene *scene, int64_t i);

#endif

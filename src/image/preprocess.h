/* From a decoded image to the pixels a model sees, in every byte as the model's own code
 * does it, and the geometry of what was done. */
#ifndef TAP_IMAGE_PREPROCESS_H
#define TAP_IMAGE_PREPROCESS_H

#include "image/image.h"

typedef enum tap_fit {
    TAP_FIT_CROP,   /* shortest edge to side, then centre crop (CLIPImageProcessor) */
    TAP_FIT_PAD,    /* pad to a square with pad_rgb, then resize (original LLaVA-1.5) */
    TAP_FIT_SQUASH, /* resize to side x side, aspect ratio not kept */
    TAP_FIT_LETTERBOX, /* the same pad on both sides, then as CROP (Prismatic) */
    /* Several tiles of one image, and the whole image squashed into one (the thumbnail): */
    TAP_FIT_ANYRES, /* the best of the pinpoints, black around it (LLaVA-NeXT) */
    TAP_FIT_SPLIT,  /* longest edge, then sides that tiles divide (Idefics3) */
    TAP_FIT_HD,     /* as many tiles as n_crops allows, white below (Phi-3-vision) */
    TAP_N_FITS
} tap_fit;

typedef enum tap_filter { TAP_BILINEAR, TAP_BICUBIC, TAP_LANCZOS } tap_filter;

/* Which of the two resize passes comes first, as Pillow does it (specs: the same bytes). */
typedef enum tap_resize_order {
    TAP_ORDER_PILLOW_13, /* vertical first if h - oh > 0 and h - oh > 2 (w - ow) */
    TAP_ORDER_PILLOW_12  /* horizontal always first (up to Pillow 12.1.1) */
} tap_resize_order;

enum { TAP_MAX_TILES = 64, TAP_MAX_PINPOINTS = 64 };

typedef struct tap_preprocess_spec {
    int side_px, patch_px;
    tap_fit fit;
    bool
        rounds_crop; /* the crop begins at the nearest pixel, half to even (torchvision),
                         not at the one below */
    int n_pinpoints;
    int pinpoints[TAP_MAX_PINPOINTS][2]; /* height, width in px: multiples of side_px */
    tap_alpha alpha;                     /* of the picture that is handed in */
    int longest_px; /* SPLIT: the longest edge is brought to it first; 0: not */
    bool splits;    /* SPLIT: into tiles; else squashed into one */
    int n_crops;    /* HD */
    tap_filter filter;
    tap_resize_order order;
    int pad_rgb[3];
    double rescale; /* 0.00392156862745098 */
    double mean[3], std[3];
} tap_preprocess_spec;

/* One axis of the exact map from source to tile pixels, continuous coordinates with 0 at
 * the outer corner: tile = (source * mul + add) / den, den > 0. */
typedef struct tap_axis_map {
    int64_t mul, add, den;
} tap_axis_map;

/* One tile: what the vision encoder sees at once. valid_* is the part of the tile that
 * shows the image (the rest is padding), in tile pixels, exact as rationals over den. */
typedef struct tap_tile {
    tap_axis_map x, y;
} tap_tile;

/* What was done to an image, for masks and for the position map. */
typedef struct tap_geometry {
    int64_t source_width, source_height; /* px */
    int side_px, patch_px;
    int n_tiles, n_rows, n_cols; /* patch grid of each tile */
    int first_tile;              /* of the mosaic, whose tiles follow row by row */
    int tile_rows, tile_cols;    /* of the mosaic */
    int thumb;                   /* the tile that shows the image squashed; -1: none */
    tap_tile tiles[TAP_MAX_TILES];
} tap_geometry;

typedef struct tap_pixels {
    int n_tiles, side_px;
    float *values; /* [n_tiles][3][side][side], normalised; tap_pixels_clear frees it */
} tap_pixels;

TAP_NODISCARD tap_status tap_preprocess_run(tap_pixels *pixels, tap_geometry *geometry,
                                            const tap_image *image,
                                            const tap_preprocess_spec *spec,
                                            tap_error *err);
/* The geometry alone, for an image of that size. */
TAP_NODISCARD tap_status tap_preprocess_geometry(tap_geometry *geometry, int64_t width,
                                                 int64_t height,
                                                 const tap_preprocess_spec *spec,
                                                 tap_error *err);
void tap_pixels_clear(tap_pixels *pixels);

/* Resize as Pillow's Image.resize does, every byte. out is freshly allocated. */
TAP_NODISCARD tap_status tap_image_resize(tap_image *out, const tap_image *image,
                                          int64_t width, int64_t height,
                                          tap_filter filter, tap_resize_order order,
                                          tap_error *err);

#endif

/* Random LLaVA-1.5 checkpoints at real widths, and a picture: nothing is downloaded.
 *
 *   7b     CLIP ViT-L/14-336, projector, 4 decoder blocks of 4096, 32 064 words, bf16
 *   13b    the same with decoder blocks of 5120 (MLP 13 824, 40 heads)
 *   small  CLIP ViT-B/16-224, 30 decoder blocks of 576 (MLP 1536, 9 heads, 3 for keys)
 *   tiny   ViT of 4 blocks of 128, 8 decoder blocks of 256, 2048 words: memory over many
 *          images
 *
 *   build/release/bench/make_model 7b DIRECTORY
 *
 * DIRECTORY must exist; 7b takes 2.8 GB and about a minute. */
#include <stdio.h>
#include <string.h>

#include "../tests/support/tiny_model.h"
#include "base/memory.h"
#include "image/image.h"

static tap_status describe(tiny_model *out, const char *kind, tap_error *err)
{
    tiny_model m = tiny_model_default();
    m.dtype = TAP_BF16;
    m.d_vocab = 32064;
    m.vision_n_blocks = 24;
    m.vision_d_model = 1024;
    m.vision_n_heads = 16;
    m.vision_d_mlp = 4096;
    m.side_px = 336;
    m.patch_px = 14;
    m.lm_n_blocks = 4;
    m.lm_d_head = 128;
    if (strcmp(kind, "7b") == 0) {
        m.lm_d_model = 4096;
        m.lm_n_heads = m.lm_n_kv_heads = 32;
        m.lm_d_mlp = 11008;
    } else if (strcmp(kind, "13b") == 0) {
        m.lm_d_model = 5120;
        m.lm_n_heads = m.lm_n_kv_heads = 40;
        m.lm_d_mlp = 13824;
    } else if (strcmp(kind, "small") == 0) {
        m.vision_n_blocks = 12;
        m.vision_d_model = 768;
        m.vision_n_heads = 12;
        m.vision_d_mlp = 3072;
        m.side_px = 224;
        m.patch_px = 16;
        m.lm_n_blocks = 30;
        m.lm_d_model = 576;
        m.lm_n_heads = 9;
        m.lm_n_kv_heads = 3;
        m.lm_d_head = 64;
        m.lm_d_mlp = 1536;
    } else if (strcmp(kind, "tiny") == 0) {
        m.d_vocab = 2048;
        m.vision_n_blocks = 4;
        m.vision_d_model = 128;
        m.vision_n_heads = 4;
        m.vision_d_mlp = 256;
        m.side_px = 224;
        m.patch_px = 16;
        m.lm_n_blocks = 8;
        m.lm_d_model = 256;
        m.lm_n_heads = m.lm_n_kv_heads = 4;
        m.lm_d_head = 64;
        m.lm_d_mlp = 512;
    } else {
        return TAP_FAIL(err, TAP_EINVAL, "'%s' is not one of 7b, 13b, small, tiny",
                        kind);
    }
    *out = m;
    return TAP_OK;
}

/* Soft waves and noise, 500 x 400 px. */
static tap_status draw_photo(const char *directory, tap_error *err)
{
    enum { WIDTH = 500, HEIGHT = 400 };

    char path[512];
    tap_image image = {.width = WIDTH, .height = HEIGHT};
    TAP_TRY(tap_alloc(&image.rgb, (size_t)WIDTH * HEIGHT, 3, "a picture", err));
    uint32_t noise = 1;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++) {
                noise = noise * 1664525U + 1013904223U;
                image.rgb[(y * WIDTH + x) * 3 + c] =
                    (uint8_t)((x * (c + 1) / 3 + y * (3 - c) / 2) % 192 +
                              (int)(noise >> 26));
            }
    (void)snprintf(path, sizeof path, "%s/photo.png", directory);
    const tap_status status = tap_image_write(&image, path, err);
    tap_image_clear(&image);
    return status;
}

int main(int argc, char **argv)
{
    tap_error err;
    tiny_model model;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: make_model 7b|13b|small|tiny DIRECTORY\n");
        return 2;
    }
    if (describe(&model, argv[1], &err) || tiny_model_write(argv[2], &model, &err) ||
        draw_photo(argv[2], &err)) {
        (void)fprintf(stderr, "make_model: %s\n", err.message);
        return 1;
    }
    return 0;
}

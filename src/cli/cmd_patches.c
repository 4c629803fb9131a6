/* tapetum patches: which patches a mask covers, as numbers and as a picture. */
#include "cli/commands.h"
#include "image/overlay.h"
#include "model/spec.h"

#include <math.h>
#include <string.h>

static tap_status put_json(const tap_geometry *g, const float *cover, tap_error *err)
{
    const int64_t n = (int64_t)g->n_tiles * g->n_rows * g->n_cols;
    json_t *list = json_array();
    for (int64_t i = 0; i < n && list; i++)
        if (json_array_append_new(list, json_real((double)cover[i])) != 0)
            return TAP_FAIL(err, TAP_ENOMEM, "no memory left for coverage");
    return tap_cli_put_json(json_pack("{s:i, s:i, s:i, s:o}", "n_tiles", g->n_tiles,
                                      "n_rows", g->n_rows, "n_cols", g->n_cols,
                                      "coverage", list),
                            err);
}

/* A digit a patch: tenths covered, '.' for nothing, '#' for all. */
static void put_grid(const tap_geometry *g, const float *cover)
{
    int64_t n = 0;
    for (int t = 0; t < g->n_tiles; t++) {
        for (int r = 0; r < g->n_rows; r++) {
            for (int c = 0; c < g->n_cols; c++) {
                const float share = cover[((int64_t)t * g->n_rows + r) * g->n_cols + c];
                const int tenth = (int)floor(10.0 * (double)share);
                putchar(share <= 0.0F ? '.' : tenth >= 10 ? '#' : '0' + tenth);
                n += share >= 0.5F;
            }
            putchar('\n');
        }
        putchar('\n');
    }
    printf("%lld of %d patches are covered by at least half (digits are tenths)\n",
           (long long)n, g->n_tiles * g->n_rows * g->n_cols);
}

tap_status tap_cmd_patches(tap_cli *cli, tap_error *err)
{
    const char *photo = tap_args_argument(cli->args, 1);
    const char *out = tap_args_text(cli->args, "output");
    size_t n_masks = 0;
    const char *const *masks = tap_args_list(&n_masks, cli->args, "mask");
    char *path = NULL;
    tap_spec spec;
    tap_image image = {0}, picture = {0};
    tap_mask mask = {0};
    tap_geometry g;
    float *cover = NULL;
    if (n_masks != 1)
        return TAP_FAIL(err, TAP_EINVAL,
                        "expected one mask, found %zu; add --mask M.png, an 8-bit PNG "
                        "that is not 0 inside",
                        n_masks);
    const char *mask_path =
        strncmp(masks[0], "part=", 5) == 0 ? masks[0] + 5 : masks[0];
    tap_status status = tap_cli_model(&path, cli, 0, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_spec_read(&spec, path, err));
    TAP_TRY_OUT(tap_image_read(&image, photo, err));
    TAP_TRY_OUT(
        tap_preprocess_geometry(&g, image.width, image.height, &spec.preprocess, err));
    TAP_TRY_OUT(tap_mask_read(&mask, mask_path, err));
    TAP_TRY_OUT(tap_alloc(&cover, (size_t)(g.n_tiles * g.n_rows * g.n_cols),
                          sizeof *cover, "coverage", err));
    status = tap_mask_cover(cover, &mask, &g, err);
    if (status != TAP_OK) {
        status = tap_wrap(err, status, "mask '%s'", mask_path);
        goto out;
    }
    if (out) {
        TAP_TRY_OUT(
            tap_overlay_run(&picture, &image, &g, cover, &spec.preprocess, err));
        TAP_TRY_OUT(tap_image_write(&picture, out, err));
    }
    if (cli->json)
        TAP_TRY_OUT(put_json(&g, cover, err));
    else
        put_grid(&g, cover);
out:
    tap_free(cover);
    tap_image_clear(&image);
    tap_image_clear(&picture);
    tap_mask_clear(&mask);
    tap_free(path);
    return status;
}

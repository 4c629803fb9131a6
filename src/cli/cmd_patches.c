/* tapetum patches: which patches a mask covers, on the encoder's grid and on the decoder's,
 * as numbers and as a picture. */
#include "cli/commands.h"
#include "cli/heat.h"
#include "image/overlay.h"
#include "model/layout.h"

#include <math.h>
#include <string.h>

/* What the picture and the numbers are made of. */
typedef struct found {
    tap_geometry g;
    tap_layout layout;
    float *cover;   /* [n_tiles][n_rows][n_cols] */
    float *slots;   /* [n_slots] */
    int64_t *owner; /* [n_tiles][n_rows][n_cols] slot that stands for the patch, -1 */
    float *shared;  /* the same shape: coverage of that slot */
} found;

static int64_t n_patches(const tap_geometry *g)
{
    return (int64_t)g->n_tiles * g->n_rows * g->n_cols;
}

/* The first slot that stands for a patch owns it: of a shrunk map, the one above left. */
static tap_status find_owners(found *f, tap_error *err)
{
    const int64_t n = n_patches(&f->g);
    TAP_TRY(tap_alloc(&f->owner, (size_t)n, sizeof *f->owner, "coverage", err));
    TAP_TRY(tap_alloc(&f->shared, (size_t)n, sizeof *f->shared, "coverage", err));
    for (int64_t i = 0; i < n; i++)
        f->owner[i] = -1;
    for (int64_t s = 0; s < f->layout.n_slots; s++) {
        const tap_slot *slot = &f->layout.slots[s];
        for (int r = 0; r < slot->n_rows; r++)
            for (int c = 0; c < slot->n_cols; c++) {
                const int64_t i = tap_layout_patch(
                    &f->g, slot->thumb, slot->first_row + r, slot->first_col + c);
                if (f->owner[i] >= 0)
                    continue;
                f->owner[i] = s;
                f->shared[i] = f->slots[s];
            }
    }
    return TAP_OK;
}

static json_t *numbers(const float *values, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n && list; i++)
        if (json_array_append_new(list, json_real((double)values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static const char *kind_of(const tap_slot *slot)
{
    return slot->row < 0 && slot->role == TAP_ROLE_PATCH ? "latent"
           : slot->role == TAP_ROLE_PATCH                ? "patch"
           : slot->role == TAP_ROLE_ROW_END              ? "row_end"
           : slot->role == TAP_ROLE_SEPARATOR            ? "separator"
           : slot->role == TAP_ROLE_CLS                  ? "cls"
                                                         : "none";
}

/* The decoder's image tokens in order; places and boxes are null where there are none. */
static json_t *tokens_json(const found *f)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < f->layout.n_slots && list; i++) {
        const tap_slot *slot = &f->layout.slots[i];
        tap_box box;
        json_t *where = tap_layout_box(&box, slot, &f->g)
                            ? json_pack("[f, f, f, f]", box.x0, box.y0, box.x1, box.y1)
                            : json_null();
        const bool placed = slot->role == TAP_ROLE_PATCH && slot->row >= 0;
        json_t *token = json_pack("{s:s, s:b, s:o?, s:o?, s:o?, s:f, s:o}", "kind",
                                  kind_of(slot), "thumb", slot->thumb, "tile",
                                  slot->tile >= 0 ? json_integer(slot->tile) : NULL,
                                  "row", placed ? json_integer(slot->row) : NULL, "col",
                                  placed ? json_integer(slot->col) : NULL, "coverage",
                                  (double)f->slots[i], "box", where);
        if (json_array_append_new(list, token) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static tap_status put_json(const found *f, tap_error *err)
{
    const tap_geometry *g = &f->g;
    const tap_layout *l = &f->layout;
    json_t *cover = numbers(f->cover, n_patches(g)), *tokens = tokens_json(f);
    json_t *views = json_pack("[{s:s, s:i, s:i}, {s:s, s:i, s:i}]", "view", "mosaic",
                              "n_rows", l->n_rows[0], "n_cols", l->n_cols[0], "view",
                              "thumb", "n_rows", l->n_rows[1], "n_cols", l->n_cols[1]);
    if (!cover || !tokens || !views) {
        json_decref(cover);
        json_decref(tokens);
        json_decref(views);
        return TAP_FAIL(err, TAP_ENOMEM, "no memory left for coverage");
    }
    return tap_cli_put_json(
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:{s:I, s:o, s:o}}",
                  "n_tiles", g->n_tiles, "n_rows", g->n_rows, "n_cols", g->n_cols,
                  "first_tile", g->first_tile, "tile_rows", g->tile_rows, "tile_cols",
                  g->tile_cols, "thumb", g->thumb, "coverage", cover, "decoder",
                  "n_tokens", (json_int_t)l->n_slots, "grids", views, "tokens", tokens),
        err);
}

/* Shades of the patches' shares, for eyes. */
static tap_status put_shades(const tap_cli *cli, const found *f, int t, tap_error *err)
{
    const int64_t n = (int64_t)f->g.n_rows * f->g.n_cols;
    double *shares = NULL;
    TAP_TRY(tap_alloc(&shares, (size_t)n, sizeof *shares, "shares", err));
    for (int64_t i = 0; i < n; i++)
        shares[i] = (double)f->cover[t * n + i];
    const tap_heat_map map = {.title = "share covered", .shares = shares};
    tap_heat_print(cli, &map, 1, f->g.n_rows, f->g.n_cols);
    tap_free(shares);
    return TAP_OK;
}

/* A digit a patch: tenths covered, '.' for nothing, '#' for all. */
static void put_digits(const found *f, int t)
{
    const tap_geometry *g = &f->g;
    for (int r = 0; r < g->n_rows; r++) {
        for (int c = 0; c < g->n_cols; c++) {
            const float share = f->cover[((int64_t)t * g->n_rows + r) * g->n_cols + c];
            const int tenth = (int)floor(10.0 * (double)share);
            putchar(share <= 0.0F ? '.' : tenth >= 10 ? '#' : '0' + tenth);
        }
        putchar('\n');
    }
    putchar('\n');
}

static tap_status put_grid(const tap_cli *cli, const found *f, tap_error *err)
{
    const bool shades = tap_heat_wanted(cli);
    const tap_geometry *g = &f->g;
    int64_t n = 0, n_tokens = 0, n_patch_tokens = 0;
    for (int t = 0; t < g->n_tiles; t++) {
        if (t == g->thumb)
            printf("tile %d: the whole image\n", t);
        else if (g->n_tiles > 1)
            printf("tile %d: row %d, column %d\n", t,
                   (t - g->first_tile) / g->tile_cols,
                   (t - g->first_tile) % g->tile_cols);
        if (shades)
            TAP_TRY(put_shades(cli, f, t, err));
        else
            put_digits(f, t);
    }
    for (int64_t i = 0; i < n_patches(g); i++)
        n += f->cover[i] >= 0.5F;
    for (int64_t i = 0; i < f->layout.n_slots; i++) {
        const bool patch = f->layout.slots[i].n_rows > 0;
        n_patch_tokens += patch;
        n_tokens += patch && f->slots[i] >= 0.5F;
    }
    printf("%lld of %lld patches are covered by at least half%s\n", (long long)n,
           (long long)n_patches(g), shades ? "" : " (digits are tenths)");
    if (f->layout.n_groups > 0)
        printf("the decoder's %lld image tokens are learned queries of %lld groups of "
               "patches: none stands for a patch\n",
               (long long)f->layout.n_slots, (long long)f->layout.n_groups);
    else if (!f->layout.is_plain || f->layout.n_slots != n_patches(g))
        printf("%lld of %lld decoder tokens that stand for patches are, of %lld image "
               "tokens in all\n",
               (long long)n_tokens, (long long)n_patch_tokens,
               (long long)f->layout.n_slots);
    return TAP_OK;
}

static tap_status put_picture(const found *f, const char *path, const tap_image *image,
                              const tap_preprocess_spec *spec, tap_error *err)
{
    const tap_overlay_layer layers[] = {{f->cover, NULL}, {f->shared, f->owner}};
    const bool same = f->layout.n_groups > 0 || /* one grid alone has patches */
                      (f->layout.is_plain && f->layout.n_slots == n_patches(&f->g));
    tap_image picture = {0};
    TAP_TRY(tap_overlay_run(&picture, image, &f->g, layers, same ? 1 : 2, spec, err));
    const tap_status status = tap_image_write(&picture, path, err);
    tap_image_clear(&picture);
    return status;
}

/* Coverage of the mask in both grids. */
static tap_status cover_all(found *f, const tap_spec *spec, const tap_image *image,
                            const char *mask_path, tap_error *err)
{
    tap_mask mask = {0};
    TAP_TRY(tap_preprocess_geometry(&f->g, image->width, image->height,
                                    &spec->preprocess, err));
    TAP_TRY(tap_layout_compile(&f->layout, spec, &f->g, err));
    TAP_TRY(tap_alloc(&f->cover, (size_t)n_patches(&f->g), sizeof *f->cover, "coverage",
                      err));
    TAP_TRY(tap_alloc(&f->slots, (size_t)f->layout.n_slots, sizeof *f->slots,
                      "coverage", err));
    TAP_TRY(tap_mask_read(&mask, mask_path, err));
    const tap_status status = tap_mask_cover(f->cover, &mask, &f->g, err);
    tap_mask_clear(&mask);
    if (status != TAP_OK)
        return tap_wrap(err, status, "mask '%s'", mask_path);
    tap_layout_cover(f->slots, &f->layout, &f->g, f->cover);
    return find_owners(f, err);
}

tap_status tap_cmd_patches(tap_cli *cli, tap_error *err)
{
    const char *photo = tap_args_argument(cli->args, 1);
    const char *out = tap_args_text(cli->args, "output");
    size_t n_masks = 0;
    const char *const *masks = tap_args_list(&n_masks, cli->args, "mask");
    char *path = NULL;
    tap_spec spec;
    tap_image image = {0};
    found f = {0};
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
    TAP_TRY_OUT(cover_all(&f, &spec, &image, mask_path, err));
    if (out)
        TAP_TRY_OUT(put_picture(&f, out, &image, &spec.preprocess, err));
    if (cli->json)
        TAP_TRY_OUT(put_json(&f, err));
    else
        status = put_grid(cli, &f, err);
out:
    tap_layout_clear(&f.layout);
    tap_free(f.cover);
    tap_free(f.slots);
    tap_free(f.owner);
    tap_free(f.shared);
    tap_image_clear(&image);
    tap_free(path);
    return status;
}

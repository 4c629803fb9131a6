/* The vision encoder: a pre-norm ViT as CLIP has it.
 *
 * Source: Radford et al. 2021, and the CLIP classes of Hugging Face transformers. The
 * feature that a language model reads is the state after n_blocks_read blocks. */
#include "model/pass.h"

#include <string.h>

/* Pixels of one tile as rows of patches: out [n_rows n_cols][3 patch patch], channel, then
 * row, then column inside the patch: the order of the convolution's weight. */
static void cut_patches(float *out, const float *pixels, int side, int patch)
{
    const int n = side / patch;
    for (int r = 0; r < n; r++)
        for (int c = 0; c < n; c++)
            for (int channel = 0; channel < 3; channel++)
                for (int y = 0; y < patch; y++) {
                    const float *from =
                        pixels + ((int64_t)channel * side + r * patch + y) * side +
                        c * patch;
                    memcpy(out, from, (size_t)patch * sizeof *out);
                    out += patch;
                }
}

/* The other way; what lies beside the last whole patch stays. */
static void join_patches(float *out, const float *patches, int side, int patch)
{
    const int n = side / patch;
    for (int r = 0; r < n; r++)
        for (int c = 0; c < n; c++)
            for (int channel = 0; channel < 3; channel++)
                for (int y = 0; y < patch; y++) {
                    memcpy(out + ((int64_t)channel * side + r * patch + y) * side +
                               c * patch,
                           patches, (size_t)patch * sizeof *out);
                    patches += patch;
                }
}

/* The site vision.pixels: edits see patches [n][3 patch patch], the sink whole tiles. */
static tap_status at_pixels(tap_pass *pass, float *patches, int64_t n_patches,
                            const tap_span *span, tap_error *err)
{
    tap_job *job = pass->job;
    const tap_vision_spec *v = &job->model->spec.vision;
    const tap_pixels *pixels = job->items[span->item].pixels;
    const int64_t d_patch = 3 * (int64_t)v->patch_px * v->patch_px,
                  tile = 3 * (int64_t)v->side_px * v->side_px;
    const size_t mark = tap_arena_mark(&job->arena);
    const float *values = pixels->values;
    float *edited = NULL;
    tap_pass_single(pass, span, pixels->n_tiles * n_patches);
    if (job->edits || pass->n_captures > 0)
        TAP_TRY(
            tap_pass_edit(pass, &pass->single, TAP_SITE_PIXELS, patches, d_patch, err));
    if (!job->sink->wanted->once[TAP_SITE_PIXELS])
        return TAP_OK;
    if (job->edits) {
        TAP_TRY(tap_arena_take(&edited, &job->arena, (size_t)pixels->n_tiles,
                               (size_t)tile * sizeof *edited, err));
        memcpy(edited, values, (size_t)(pixels->n_tiles * tile) * sizeof *edited);
        for (int t = 0; t < pixels->n_tiles; t++)
            join_patches(edited + t * tile, patches + t * n_patches * d_patch,
                         v->side_px, v->patch_px);
        values = edited;
    }
    const tap_status status = tap_pass_put_pixels(pass, span, values, err);
    tap_arena_release(&job->arena, mark);
    return status;
}

tap_status tap_vision_embed(tap_pass *pass, float *out, const tap_span *span,
                            tap_error *err)
{
    tap_job *job = pass->job;
    const tap_model *m = job->model;
    const tap_vision_spec *v = &m->spec.vision;
    const tap_kernels *k = job->kernels;
    const tap_pixels *pixels = job->items[span->item].pixels;
    const int64_t d = v->stack.d_model,
                  n_patches = tap_vision_side(v) * tap_vision_side(v);
    const int64_t n_tile = tap_vision_rows(v);
    const int64_t d_patch = 3 * (int64_t)v->patch_px * v->patch_px;
    const size_t mark = tap_arena_mark(&job->arena);
    float *patches = NULL, *place = NULL;
    TAP_TRY(tap_arena_take(&patches, &job->arena, (size_t)(pixels->n_tiles * n_patches),
                           (size_t)d_patch * sizeof *patches, err));
    TAP_TRY(tap_arena_take(&place, &job->arena, (size_t)d, sizeof *place, err));
    tap_tensor conv = m->patch_embed.weight; /* [d][3][patch][patch] as [d][d_patch] */
    conv.n_dims = 2;
    conv.shape[1] = d_patch;

    for (int t = 0; t < pixels->n_tiles; t++)
        cut_patches(patches + t * n_patches * d_patch,
                    pixels->values + t * 3 * (int64_t)v->side_px * v->side_px,
                    v->side_px, v->patch_px);
    TAP_TRY(at_pixels(pass, patches, n_patches, span, err));
    tap_pass_single(pass, span, span->n_rows);
    for (int t = 0; t < pixels->n_tiles; t++) {
        float *tile = out + t * n_tile * d;
        float *first = tile + v->has_cls * d;
        k->linear(first, d, patches + t * n_patches * d_patch, d_patch, n_patches,
                  &conv, v->has_patch_bias ? &m->patch_embed.bias : NULL, &job->work);
        if (v->has_cls)
            tap_widen(tile, &m->class_embed, 0, d);
    }
    tap_arena_release(&job->arena, mark);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_PATCH_EMBED, out, d, err));
    for (int64_t r = 0; r < span->n_rows; r++) {
        tap_widen(place, &m->pos_embed, r % n_tile * d, d);
        for (int64_t i = 0; i < d; i++)
            out[r * d + i] += place[i];
    }
    if (v->has_pre_norm)
        k->layer_norm(out, out, span->n_rows, d, &m->pre_norm.weight, &m->pre_norm.bias,
                      v->stack.norm_eps, &job->work);
    return tap_pass_at(pass, TAP_SITE_PRE_NORM, out, d, err);
}

static tap_status vision_project(tap_pass *p, const float *x, tap_error *err)
{
    const tap_kernels *k = p->job->kernels;
    const tap_workspace *work = &p->job->work;
    const tap_block_weights *w = &p->job->model->vision_blocks[p->block];
    const int64_t n = p->n_rows, d = p->spec->d_model;

    k->layer_norm(p->normed, x, n, d, &w->attn_norm.weight, &w->attn_norm.bias,
                  p->spec->norm_eps, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_ATTN_IN, p->normed, d, err));
    tap_pass_project(p, w);
    TAP_TRY(tap_pass_at(p, TAP_SITE_Q, p->q, d, err));
    TAP_TRY(tap_pass_at(p, TAP_SITE_K, p->k, d, err));
    return tap_pass_at(p, TAP_SITE_V, p->v, d, err);
}

static tap_status vision_finish(tap_pass *p, float *x, tap_error *err)
{
    const tap_kernels *k = p->job->kernels;
    const tap_workspace *work = &p->job->work;
    const tap_block_weights *w = &p->job->model->vision_blocks[p->block];
    const int64_t n = p->n_rows, d = p->spec->d_model, d_mlp = p->spec->d_mlp;

    TAP_TRY(tap_pass_at(p, TAP_SITE_Z, p->z, d, err));
    k->linear(p->out, d, p->z, d, n, &w->o.weight, tap_affine_bias(&w->o), work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_ATTN_OUT, p->out, d, err));
    k->add(x, p->out, n * d, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_RESID_MID, x, d, err));

    k->layer_norm(p->normed, x, n, d, &w->mlp_norm.weight, &w->mlp_norm.bias,
                  p->spec->norm_eps, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_MLP_IN, p->normed, d, err));
    k->linear(p->up, d_mlp, p->normed, d, n, &w->up.weight, tap_affine_bias(&w->up),
              work);
    k->activate(p->up, n * d_mlp, p->spec->act, work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_MLP_ACT, p->up, d_mlp, err));
    k->linear(p->out, d, p->up, d_mlp, n, &w->down.weight, tap_affine_bias(&w->down),
              work);
    TAP_TRY(tap_pass_at(p, TAP_SITE_MLP_OUT, p->out, d, err));
    k->add(x, p->out, n * d, work);
    return TAP_OK;
}

const tap_block_halves tap_vision_halves = {vision_project, vision_finish};

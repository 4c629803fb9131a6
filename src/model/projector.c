/* From vision features to rows that the decoder reads: two linear maps with an activation
 * between them, row by row. No tokens meet here. */
#include "model/pass.h"

#include <string.h>

tap_status tap_projector_run(tap_pass *pass, float *out, const float *state,
                             const tap_span *span, int64_t *n_feat, tap_error *err)
{
    tap_job *job = pass->job;
    const tap_model *m = job->model;
    const tap_spec *spec = &m->spec;
    const tap_vision_spec *v = &spec->vision;
    const tap_kernels *k = job->kernels;
    const int64_t d = v->stack.d_model, d_in = spec->d_projector_in,
                  d_lm = spec->lm.stack.d_model;
    const int64_t side = v->side_px / v->patch_px, n_tile = v->has_cls + side * side;
    const int64_t skip = v->has_cls && !v->keeps_cls ? 1 : 0;
    const int64_t n_tiles = span->n_rows / n_tile, n_keep = n_tile - skip;
    const int64_t n = n_tiles * n_keep;
    const size_t mark = tap_arena_mark(&job->arena);
    float *features = NULL, *hidden = NULL;
    TAP_TRY(tap_arena_take(&features, &job->arena, (size_t)n,
                           (size_t)d_in * sizeof *features, err));
    TAP_TRY(tap_arena_take(&hidden, &job->arena, (size_t)n,
                           (size_t)d_lm * sizeof *hidden, err));
    for (int64_t t = 0; t < n_tiles; t++)
        memcpy(features + t * n_keep * d, state + (t * n_tile + skip) * d,
               (size_t)(n_keep * d) * sizeof *features);
    if (v->has_post_norm)
        k->layer_norm(features, features, n, d, &m->post_norm.weight,
                      &m->post_norm.bias, v->stack.norm_eps, &job->work);

    tap_pass_single(pass, span, n); /* a row is a feature now, not a vision token */
    const tap_tensor *bias_1 = spec->projector_bias ? &m->projector_1.bias : NULL;
    const tap_tensor *bias_2 = spec->projector_bias ? &m->projector_2.bias : NULL;
    TAP_TRY(tap_pass_at(pass, TAP_SITE_FEATURES, features, d, err));
    TAP_TRY(tap_pass_at(pass, TAP_SITE_PROJECTOR_IN, features, d_in, err));
    k->linear(hidden, d_lm, features, d_in, n, &m->projector_1.weight, bias_1,
              &job->work);
    k->activate(hidden, n * d_lm, spec->projector_act, &job->work);
    k->linear(out, d_lm, hidden, d_lm, n, &m->projector_2.weight, bias_2, &job->work);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_PROJECTOR_OUT, out, d_lm, err));
    tap_arena_release(&job->arena, mark);
    *n_feat = n;
    return TAP_OK;
}

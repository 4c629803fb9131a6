/* From vision features to the rows that the decoder reads.
 *
 * HOW IT WORKS. Features of all tiles (class tokens gone) are merged merge x merge, or read
 * by a perceiver's latents, mapped into the decoder's space, and put into the order of the
 * layout, with learned vectors between them; where the family gathers first, those vectors
 * are mapped too. No tokens meet here, but in the perceiver. */
#include "model/perceiver.h"

#include <string.h>

/* out [n_merged][merge merge d]: of each square of features its four (nine ...) rows one
 * after the other, row by row. */
static void merge_squares(float *out, const float *features, int64_t n_tiles,
                          int64_t side, int64_t d, int merge)
{
    for (int64_t t = 0; t < n_tiles; t++)
        for (int64_t r = 0; r < side / merge; r++)
            for (int64_t c = 0; c < side / merge; c++)
                for (int y = 0; y < merge; y++) {
                    const int64_t at = (t * side + r * merge + y) * side + c * merge;
                    memcpy(out, features + at * d, (size_t)(merge * d) * sizeof *out);
                    out += merge * d;
                }
}

/* out [n_slots][d]: rows of `in` in the order of the slots, learned vectors among them. */
static void gather(float *out, const float *in, const tap_layout *layout, int64_t d,
                   const tap_model *m)
{
    for (int64_t i = 0; i < layout->n_slots; i++, out += d) {
        const tap_slot *slot = &layout->slots[i];
        if (slot->from[0] < 0) {
            tap_widen(out,
                      slot->from[0] == TAP_FROM_NEWLINE ? &m->newline : &m->separator,
                      0, d);
            continue;
        }
        const float *corner[4];
        for (int k = 0; k < 4; k++) { /* a corner that is not there is another again */
            const int32_t beside =
                slot->from[k & 2] < 0 ? slot->from[k & 1] : slot->from[k & 2];
            corner[k] = in + (slot->from[k] < 0 ? beside : slot->from[k]) * d;
        }
        if (slot->from[1] < 0 && slot->from[2] < 0) {
            memcpy(out, corner[0], (size_t)d * sizeof *out);
            continue;
        }
        const float x = slot->lean_x, y = slot->lean_y;
        for (int64_t j = 0; j < d; j++) {
            const float above = (1.0F - x) * corner[0][j] + x * corner[1][j];
            const float below = (1.0F - x) * corner[2][j] + x * corner[3][j];
            out[j] = (1.0F - y) * above + y * below;
        }
    }
}

/* out [n][d_projector_out] from in [n][d_projector_in]: linear maps, an activation between
 * them; hidden [n][d_projector_out] is scratch. */
static void run_maps(tap_pass *pass, float *out, const float *in, float *hidden,
                     int64_t n)
{
    const tap_job *job = pass->job;
    const tap_spec *spec = &job->model->spec;
    const tap_kernels *k = job->kernels;
    const int64_t d = spec->d_projector_out;
    int64_t d_in = spec->d_projector_in;
    if (spec->n_projector_maps == 0)
        memcpy(out, in, (size_t)(n * d) * sizeof *out);
    for (int i = 0; i < spec->n_projector_maps; i++) {
        const tap_affine *map = &job->model->projector[i];
        float *to = (spec->n_projector_maps - i) % 2 ? out : hidden;
        k->linear(to, d, in, d_in, n, &map->weight,
                  spec->projector_bias ? &map->bias : NULL, &job->work);
        if (i + 1 < spec->n_projector_maps)
            k->activate(to, n * d, spec->projector_act, &job->work);
        in = to;
        d_in = d;
    }
}

/* features [n][d] of all tiles, normed; of one tile those whose patches were computed. */
static tap_status take_features(float **out, tap_pass *pass, const float *state,
                                const tap_span *span, int64_t *n, tap_error *err)
{
    tap_job *job = pass->job;
    const tap_model *m = job->model;
    const tap_vision_spec *v = &m->spec.vision;
    const int64_t d = v->stack.d_model,
                  n_tiles = job->items[span->item].pixels->n_tiles,
                  n_tile = span->n_rows / n_tiles;
    const bool some = span->needs && span->needs->rows; /* then no class token */
    const int64_t n_keep = some ? n_tile : tap_vision_features(v);
    *n = n_tiles * n_keep;
    TAP_TRY(
        tap_arena_take(out, &job->arena, (size_t)*n, (size_t)d * sizeof **out, err));
    for (int64_t t = 0; t < n_tiles; t++)
        memcpy(*out + t * n_keep * d, state + (t * n_tile + n_tile - n_keep) * d,
               (size_t)(n_keep * d) * sizeof **out);
    if (v->has_post_norm)
        job->kernels->layer_norm(*out, *out, *n, d, &m->post_norm.weight,
                                 &m->post_norm.bias, v->stack.norm_eps, &job->work);
    return TAP_OK;
}

tap_status tap_projector_run(tap_pass *pass, float *out, const float *state,
                             const tap_span *span, tap_error *err)
{
    tap_job *job = pass->job;
    const tap_spec *spec = &job->model->spec;
    const tap_sequence *sequence = job->items[span->item].sequence;
    const tap_layout *layout = &sequence->layout;
    const int64_t d = spec->vision.stack.d_model, d_in = spec->d_projector_in,
                  d_out = spec->d_projector_out;
    const size_t row_in = (size_t)d_in * sizeof *out,
                 row_out = (size_t)d_out * sizeof *out;
    const size_t mark = tap_arena_mark(&job->arena);
    float *in = NULL, *merged = NULL, *gathered = NULL, *hidden = NULL, *mapped = out;
    float *latents = NULL;
    int64_t n = 0;
    tap_span features = *span; /* rows are features from here on, not vision tokens */
    features.needs = NULL;
    TAP_TRY(take_features(&in, pass, state, span, &n, err));
    const bool partial = layout->is_plain && n < layout->n_slots;
    tap_pass_single(pass, &features, n);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_FEATURES, in, d, err));
    if (spec->merge > 1) {
        const int64_t side = tap_vision_side(&spec->vision);
        TAP_TRY(tap_arena_take(&merged, &job->arena, (size_t)layout->n_merged, row_in,
                               err));
        merge_squares(merged, in, n / (side * side), side, d, spec->merge);
        in = merged;
        n = layout->n_merged;
    }
    if (spec->perceiver.n_latents > 0) {
        TAP_TRY(tap_arena_take(&latents, &job->arena, (size_t)layout->n_merged, row_in,
                               err));
        TAP_TRY(tap_perceiver_run(pass, latents, in, n, sequence, err));
        in = latents;
        n = layout->n_merged;
    }
    if (spec->gathers_first) {
        TAP_TRY(tap_arena_take(&gathered, &job->arena, (size_t)layout->n_slots, row_in,
                               err));
        gather(gathered, in, layout, d_in, job->model);
        in = gathered;
        n = layout->n_slots;
    } else if (!layout->is_plain || partial) {
        TAP_TRY(tap_arena_take(&mapped, &job->arena, (size_t)n, row_out, err));
    }
    TAP_TRY(tap_arena_take(&hidden, &job->arena, (size_t)n, row_out, err));
    tap_pass_single(pass, &features, n);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_PROJECTOR_IN, in, d_in, err));
    run_maps(pass, mapped, in, hidden, n);
    TAP_TRY(tap_pass_at(pass, TAP_SITE_PROJECTOR_OUT, mapped, d_out, err));
    if (partial)
        tap_spread_rows(out, span->needs, spec->vision.has_cls, layout->n_slots, mapped,
                        d_out);
    else if (mapped != out)
        gather(out, mapped, layout, d_out, job->model);
    tap_arena_release(&job->arena, mark);
    return TAP_OK;
}

#include "read/trace.h"

#include "base/memory.h"
#include "format/safetensors.h"

#include <assert.h>
#include <stdio.h>

/* Token rows of one stack that are kept, in order. */
typedef struct row_list {
    int64_t *rows;
    int64_t n_rows, n_tok;
} row_list;

enum { ROWS_VISION, ROWS_LM, ROWS_FEATURES, ROWS_PROJECTED, N_ROW_LISTS };

struct tap_trace {
    tap_trace_spec spec;
    row_list lists[N_ROW_LISTS];
    tap_safetensors_out *out;
};

static int list_of(tap_site site, tap_stack stack)
{
    if (site == TAP_SITE_FEATURES)
        return ROWS_FEATURES;
    if (site == TAP_SITE_PROJECTOR_IN || site == TAP_SITE_PROJECTOR_OUT)
        return ROWS_PROJECTED;
    return stack == TAP_VISION ? ROWS_VISION : ROWS_LM;
}

static tap_status fill_lists(tap_trace *trace, tap_error *err)
{
    const tap_trace_spec *s = &trace->spec;
    const tap_vision_spec *v = &s->model->spec.vision;
    const tap_layout *layout = &s->sequence->layout;
    const int64_t n_tile = tap_vision_rows(v), n_features = tap_vision_features(v);
    const int64_t keeps = v->has_cls && v->keeps_cls;
    const bool slots = s->model->spec.gathers_first;
    const int64_t n_tok[N_ROW_LISTS] = {s->n_tiles * n_tile, s->sequence->n_tok,
                                        s->n_tiles * n_features,
                                        slots ? layout->n_slots : layout->n_merged};
    for (int l = 0; l < N_ROW_LISTS; l++) {
        row_list *list = &trace->lists[l];
        list->n_tok = n_tok[l];
        TAP_TRY(tap_alloc(&list->rows, (size_t)n_tok[l], sizeof *list->rows, "a trace",
                          err));
        for (int64_t t = 0; t < n_tok[l]; t++) {
            bool keep = s->positions == TAP_POSITIONS_ALL;
            if (s->positions == TAP_POSITIONS_LAST)
                keep = t == n_tok[l] - 1;
            else if (s->positions == TAP_POSITIONS_IMAGE)
                keep = l == ROWS_LM ? s->sequence->tokens[t].role == TAP_ROLE_PATCH
                       : l == ROWS_VISION ? t % n_tile >= v->has_cls
                       : l == ROWS_PROJECTED && slots
                           ? layout->slots[t].role == TAP_ROLE_PATCH
                           : !keeps || t % n_features > 0;
            if (keep)
                list->rows[list->n_rows++] = t;
        }
    }
    return TAP_OK;
}

static int64_t width_of(const tap_trace *trace, const tap_place *place)
{
    const tap_spec *spec = &trace->spec.model->spec;
    const tap_stack_spec *s =
        place->stack == TAP_VISION ? &spec->vision.stack : &spec->lm.stack;
    if (place->site == TAP_SITE_Q || place->site == TAP_SITE_Z)
        return (int64_t)s->n_heads * s->d_head;
    if (place->site == TAP_SITE_K || place->site == TAP_SITE_V)
        return (int64_t)s->n_kv_heads * s->d_head;
    if (place->site == TAP_SITE_MLP_ACT)
        return s->d_mlp;
    if (place->site == TAP_SITE_PROJECTOR_IN)
        return spec->d_projector_in;
    if (place->site == TAP_SITE_PROJECTOR_OUT)
        return spec->d_projector_out;
    if (place->site == TAP_SITE_LOGITS)
        return spec->lm.d_vocab;
    return s->d_model;
}

static bool is_map(tap_site site)
{
    return site == TAP_SITE_SCORES || site == TAP_SITE_PATTERN;
}

static tap_tensor shape_of(const tap_trace *trace, const tap_place *place)
{
    const tap_spec *spec = &trace->spec.model->spec;
    const row_list *list = &trace->lists[list_of(place->site, place->stack)];
    tap_tensor t = {.dtype = TAP_F32};
    if (place->site == TAP_SITE_PIXELS) {
        t.n_dims = 4;
        t.shape[0] = trace->spec.n_tiles;
        t.shape[1] = 3;
        t.shape[2] = t.shape[3] = spec->vision.side_px;
    } else if (is_map(place->site)) {
        t.n_dims = 3;
        t.shape[0] = place->stack == TAP_VISION ? spec->vision.stack.n_heads
                                                : spec->lm.stack.n_heads;
        t.shape[1] = list->n_rows;
        t.shape[2] = list->n_tok;
    } else {
        t.n_dims = 2;
        t.shape[0] = list->n_rows;
        t.shape[1] = width_of(trace, place);
    }
    return t;
}

static tap_status create(tap_trace *trace, const char *path, tap_error *err)
{
    enum { PREFIX_BYTES = 12 };

    const tap_trace_spec *s = &trace->spec;
    const int64_t n = s->n_places * s->n_conditions;
    char(*texts)[TAP_SITE_NAME_BYTES + PREFIX_BYTES] = NULL;
    const char **names = NULL;
    tap_tensor *tensors = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&texts, (size_t)n, sizeof *texts, "a trace", err));
    TAP_TRY_OUT(tap_alloc(&names, (size_t)n, sizeof *names, "a trace", err));
    TAP_TRY_OUT(tap_alloc(&tensors, (size_t)n, sizeof *tensors, "a trace", err));
    for (int64_t i = 0; i < n; i++) {
        const tap_place *place = &s->places[i % s->n_places];
        if (s->n_conditions == 1)
            (void)snprintf(texts[i], sizeof *texts, "%s", place->name);
        else
            (void)snprintf(texts[i], sizeof *texts, "%d/%s", (int)(i / s->n_places),
                           place->name);
        names[i] = texts[i];
        tensors[i] = shape_of(trace, place);
    }
    TAP_TRY_OUT(tap_safetensors_create(&trace->out, path, n, names, tensors,
                                       s->n_metadata, s->keys, s->values, err));
out:
    tap_free(texts);
    tap_free(names);
    tap_free(tensors);
    return status;
}

tap_status tap_trace_open(tap_trace **out, const char *path, const tap_trace_spec *spec,
                          tap_error *err)
{
    tap_trace *trace = NULL;
    tap_status status = tap_alloc(&trace, 1, sizeof *trace, "a trace", err);
    if (status != TAP_OK)
        return status;
    trace->spec = *spec;
    for (int64_t i = 0; i < spec->n_places; i++)
        if (spec->places[i].site == TAP_SITE_POST_NORM &&
            !spec->model->spec.vision.has_post_norm)
            TAP_TRY_OUT(
                TAP_FAIL(err, TAP_EINVAL,
                         "cannot trace '%s': the vision feature of this model is "
                         "read before that norm",
                         spec->places[i].name));
    TAP_TRY_OUT(fill_lists(trace, err));
    TAP_TRY_OUT(create(trace, path, err));
out:
    if (status == TAP_OK)
        *out = trace;
    else
        tap_trace_close(trace);
    return status;
}

void tap_trace_want(tap_wanted *wanted, tap_run_options *options,
                    const tap_trace *trace)
{
    const tap_trace_spec *s = &trace->spec;
    for (int64_t i = 0; i < s->n_places; i++) {
        const tap_place *place = &s->places[i];
        if (place->block < 0)
            wanted->once[place->site] = true;
        else
            tap_bits_set(wanted->blocks[place->stack][place->site], place->block);
    }
    for (int64_t i = 0; i < s->n_places; i++)
        options->all_rows |= is_map(s->places[i].site); /* keys are all tokens */
    options->all_rows |= s->positions != TAP_POSITIONS_IMAGE;
    options->all_logits |= s->positions != TAP_POSITIONS_LAST;
}

/* Rows of the list that the state holds, from row first_row on, as elements of tensor i:
 * row r of the list stands at offset + r * d. */
static tap_status put_rows(tap_trace *trace, int64_t tensor, const row_list *list,
                           const tap_state *state, const float *values, int64_t offset,
                           int64_t d, tap_error *err)
{
    const int64_t begin = state->first_row, end = begin + state->n_rows;
    for (int64_t i = 0; i < list->n_rows;) {
        int64_t n = 1; /* neighbours are written in one piece */
        if (list->rows[i] < begin || list->rows[i] >= end) {
            i++;
            continue;
        }
        while (i + n < list->n_rows && list->rows[i + n] == list->rows[i] + n &&
               list->rows[i + n] < end)
            n++;
        TAP_TRY(tap_safetensors_put(trace->out, tensor, offset + i * d,
                                    values + (list->rows[i] - begin) * d, n * d, err));
        i += n;
    }
    return TAP_OK;
}

static tap_status put_tensor(tap_trace *trace, int64_t tensor, const tap_place *place,
                             const tap_state *state, tap_error *err)
{
    const row_list *list = &trace->lists[list_of(place->site, place->stack)];
    if (place->site == TAP_SITE_PIXELS)
        return tap_safetensors_put(trace->out, tensor, 0, state->values,
                                   state->n_rows * state->d, err);
    if (!is_map(place->site))
        return put_rows(trace, tensor, list, state, state->values, 0, state->d, err);
    const int64_t n_tok = state->n_rows, n_heads = state->d / n_tok;
    assert(n_tok == list->n_tok);
    for (int64_t h = 0; h < n_heads; h++)
        TAP_TRY(put_rows(trace, tensor, list, state, state->values + h * n_tok * n_tok,
                         h * list->n_rows * n_tok, n_tok, err));
    return TAP_OK;
}

tap_status tap_trace_put(tap_trace *trace, const tap_state *state, tap_error *err)
{
    const tap_trace_spec *s = &trace->spec;
    for (int64_t i = 0; i < s->n_places; i++) {
        const tap_place *place = &s->places[i];
        if (place->site != state->site || place->block != state->block ||
            (place->block >= 0 && place->stack != state->stack))
            continue;
        for (int64_t c = 0; c < state->n_conditions; c++)
            TAP_TRY(put_tensor(trace, state->conditions[c] * s->n_places + i, place,
                               state, err));
    }
    return TAP_OK;
}

tap_status tap_trace_commit(tap_trace *trace, tap_error *err)
{
    return tap_safetensors_commit(trace->out, err);
}

void tap_trace_close(tap_trace *trace)
{
    if (!trace)
        return;
    tap_safetensors_out_close(trace->out);
    for (int l = 0; l < N_ROW_LISTS; l++)
        tap_free(trace->lists[l].rows);
    tap_free(trace);
}

#include "read/trace.h"

#include "base/file.h"
#include "base/memory.h"
#include "format/npy.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Token rows of one stack that are kept, in order. */
typedef struct row_list {
    int64_t *rows;
    int64_t n_rows, n_tok;
} row_list;

enum { ROWS_VISION, ROWS_LM, ROWS_FEATURES, ROWS_PROJECTED, N_ROW_LISTS };

struct tap_trace {
    tap_trace_spec spec;
    row_list lists[N_ROW_LISTS];
    uint64_t *kept[TAP_N_STACKS]; /* the lists of the two stacks as bit sets */
    float *packed;                /* rows of one state, chosen heads alone; or NULL */
    char *path, *stream_path; /* the file, and the safetensors file that is written */
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

/* Whether row t of a list stands for a token of the chosen sets. */
static bool in_rows(const tap_trace_spec *s, int list, int64_t t)
{
    const tap_vision_spec *v = &s->model->spec.vision;
    const int64_t skip = v->has_cls && !v->keeps_cls, n = tap_vision_features(v);
    if (list == ROWS_LM)
        return s->rows[TAP_LM] && tap_bits_get(s->rows[TAP_LM], t);
    if (list == ROWS_VISION)
        return s->rows[TAP_VISION] && tap_bits_get(s->rows[TAP_VISION], t);
    if (list == ROWS_FEATURES) /* the token that the feature is the state of */
        return s->rows[TAP_VISION] &&
               tap_bits_get(s->rows[TAP_VISION], t / n * (n + skip) + skip + t % n);
    for (int64_t i = 0; s->rows[TAP_LM] && i < s->sequence->n_tok; i++)
        if (s->sequence->tokens[i].feature == t)
            return tap_bits_get(s->rows[TAP_LM], i);
    return false;
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
            if (s->rows[TAP_LM] || s->rows[TAP_VISION])
                keep = in_rows(s, l, t);
            else if (s->positions == TAP_POSITIONS_LAST)
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
    static const int list_of_stack[TAP_N_STACKS] = {ROWS_VISION, ROWS_LM};
    for (int stack = 0; stack < TAP_N_STACKS; stack++) {
        const row_list *list = &trace->lists[list_of_stack[stack]];
        TAP_TRY(tap_alloc(&trace->kept[stack], (size_t)tap_bits_words(list->n_tok),
                          sizeof(uint64_t), "a trace", err));
        for (int64_t i = 0; i < list->n_rows; i++)
            tap_bits_set(trace->kept[stack], list->rows[i]);
    }
    return TAP_OK;
}

static const tap_stack_spec *stack_of(const tap_trace *trace, tap_stack stack)
{
    const tap_spec *spec = &trace->spec.model->spec;
    return stack == TAP_VISION ? &spec->vision.stack : &spec->lm.stack;
}

static bool is_map(tap_site site)
{
    return site == TAP_SITE_SCORES || site == TAP_SITE_PATTERN;
}

static bool is_shared(tap_site site) /* one key and value serves a group of heads */
{
    return site == TAP_SITE_K || site == TAP_SITE_V;
}

static bool has_heads(tap_site site)
{
    return is_map(site) || is_shared(site) || site == TAP_SITE_Q || site == TAP_SITE_Z;
}

/* The heads of a site that are kept, in order, into out; returns how many. */
static int kept_heads(int out[TAP_MAX_HEADS], const tap_trace *trace,
                      const tap_place *place)
{
    const tap_stack_spec *s = stack_of(trace, place->stack);
    const int per_group = s->n_heads / s->n_kv_heads;
    int n = 0;
    for (int h = 0; h < s->n_heads && h < TAP_MAX_HEADS; h++) {
        const int head = is_shared(place->site) ? h / per_group : h;
        if ((!trace->spec.heads || tap_bits_get(trace->spec.heads, h)) &&
            (n == 0 || out[n - 1] != head))
            out[n++] = head;
    }
    return n;
}

static tap_status check_heads(const tap_trace *trace, const tap_place *place,
                              tap_error *err)
{
    const tap_stack_spec *s = stack_of(trace, place->stack);
    for (int h = s->n_heads; trace->spec.heads && h < TAP_MAX_HEADS; h++)
        if (tap_bits_get(trace->spec.heads, h))
            return TAP_FAIL(
                err, TAP_EINVAL,
                "there is no head %d for '%s'; the %s stack has %d, 0 to %d", h,
                place->name, tap_stack_name(place->stack), s->n_heads, s->n_heads - 1);
    return TAP_OK;
}

static int64_t width_of(const tap_trace *trace, const tap_place *place)
{
    const tap_spec *spec = &trace->spec.model->spec;
    const tap_stack_spec *s = stack_of(trace, place->stack);
    int heads[TAP_MAX_HEADS];
    if (has_heads(place->site))
        return (int64_t)kept_heads(heads, trace, place) * s->d_head;
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
        int heads[TAP_MAX_HEADS];
        t.shape[0] = kept_heads(heads, trace, place);
        t.shape[1] = list->n_rows;
        t.shape[2] = list->n_tok;
    } else {
        t.n_dims = 2;
        t.shape[0] = list->n_rows;
        t.shape[1] = width_of(trace, place);
    }
    return t;
}

static tap_status create(tap_trace *trace, tap_error *err)
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
    TAP_TRY_OUT(tap_safetensors_create(&trace->out, trace->stream_path, n, names,
                                       tensors, s->n_metadata, s->keys, s->values,
                                       err));
out:
    tap_free(texts);
    tap_free(names);
    tap_free(tensors);
    return status;
}

/* Room for the kept heads of one state. */
static tap_status alloc_packed(tap_trace *trace, tap_error *err)
{
    const tap_trace_spec *s = &trace->spec;
    int64_t most = 0;
    for (int64_t i = 0; i < s->n_places && s->heads; i++) {
        const tap_place *place = &s->places[i];
        const int64_t n = trace->lists[list_of(place->site, place->stack)].n_rows *
                          width_of(trace, place);
        if (has_heads(place->site) && !is_map(place->site) && n > most)
            most = n;
    }
    return most ? tap_alloc(&trace->packed, (size_t)most, sizeof *trace->packed,
                            "a trace", err)
                : TAP_OK;
}

tap_status tap_trace_open(tap_trace **out, const char *path, const tap_trace_spec *spec,
                          tap_error *err)
{
    tap_trace *trace = NULL;
    tap_status status = tap_alloc(&trace, 1, sizeof *trace, "a trace", err);
    if (status != TAP_OK)
        return status;
    trace->spec = *spec;
    if (spec->format == TAP_TRACE_NPY && spec->n_places * spec->n_conditions != 1)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EINVAL,
                     "an .npy file holds one array, and this trace has %lld; ask "
                     "for npz",
                     (long long)(spec->n_places * spec->n_conditions)));
    for (int64_t i = 0; i < spec->n_places; i++)
        if (has_heads(spec->places[i].site))
            TAP_TRY_OUT(check_heads(trace, &spec->places[i], err));
    for (int64_t i = 0; i < spec->n_places; i++)
        if (spec->places[i].site == TAP_SITE_POST_NORM &&
            !spec->model->spec.vision.has_post_norm)
            TAP_TRY_OUT(
                TAP_FAIL(err, TAP_EINVAL,
                         "cannot trace '%s': the vision feature of this model is "
                         "read before that norm",
                         spec->places[i].name));
    TAP_TRY_OUT(fill_lists(trace, err));
    TAP_TRY_OUT(alloc_packed(trace, err));
    TAP_TRY_OUT(tap_text_copy(&trace->path, path, strlen(path), err));
    TAP_TRY_OUT(tap_text_format(&trace->stream_path, err, "%s%s", path,
                                spec->format == TAP_TRACE_SAFETENSORS ? "" : ".part"));
    TAP_TRY_OUT(create(trace, err));
out:
    if (status == TAP_OK)
        *out = trace;
    else
        tap_trace_close(trace);
    return status;
}

void tap_trace_want(tap_wanted *wanted, tap_run_options *options, tap_item *item,
                    const tap_trace *trace)
{
    const tap_trace_spec *s = &trace->spec;
    const row_list *lm = &trace->lists[ROWS_LM];
    bool whole = false; /* keys of a map, and logits, are of all tokens */
    for (int64_t i = 0; i < s->n_places; i++) {
        const tap_place *place = &s->places[i];
        if (place->block < 0)
            wanted->once[place->site] = true;
        else
            tap_bits_set(wanted->blocks[place->stack][place->site], place->block);
        whole |= is_map(place->site) || place->site == TAP_SITE_LOGITS;
        options->all_rows |= is_map(place->site);
    }
    const bool rows = s->rows[TAP_LM] || s->rows[TAP_VISION];
    options->all_rows |= s->positions != TAP_POSITIONS_IMAGE || rows;
    options->all_logits |= s->positions != TAP_POSITIONS_LAST || rows;
    for (int stack = 0; stack < TAP_N_STACKS; stack++)
        item->map_rows[stack] = trace->kept[stack];
    if (!whole && lm->n_rows > 0) {
        item->read = lm->rows;
        item->n_read = lm->n_rows;
    }
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

/* The columns of chosen heads, row by row of the list, in one piece. */
static tap_status put_heads(tap_trace *trace, int64_t tensor, const tap_place *place,
                            const row_list *list, const tap_state *state,
                            tap_error *err)
{
    const int64_t d_head = stack_of(trace, place->stack)->d_head;
    int heads[TAP_MAX_HEADS];
    const int n_heads = kept_heads(heads, trace, place);
    float *to = trace->packed;
    for (int64_t i = 0; i < list->n_rows; i++) {
        assert(list->rows[i] < state->n_rows);
        for (int h = 0; h < n_heads; h++, to += d_head)
            memcpy(to, state->values + list->rows[i] * state->d + heads[h] * d_head,
                   (size_t)d_head * sizeof *to);
    }
    return tap_safetensors_put(trace->out, tensor, 0, trace->packed, to - trace->packed,
                               err);
}

static tap_status put_tensor(tap_trace *trace, int64_t tensor, const tap_place *place,
                             const tap_state *state, tap_error *err)
{
    const row_list *list = &trace->lists[list_of(place->site, place->stack)];
    if (place->site == TAP_SITE_PIXELS)
        return tap_safetensors_put(trace->out, tensor, 0, state->values,
                                   state->n_rows * state->d, err);
    if (trace->packed && has_heads(place->site) && !is_map(place->site))
        return put_heads(trace, tensor, place, list, state, err);
    if (!is_map(place->site))
        return put_rows(trace, tensor, list, state, state->values, 0, state->d, err);
    int heads[TAP_MAX_HEADS];
    const int n_heads = kept_heads(heads, trace, place);
    const int64_t n_k = list->n_tok;
    assert(state->d == stack_of(trace, place->stack)->n_heads * n_k);
    for (int h = 0; h < n_heads; h++)
        TAP_TRY(put_rows(trace, tensor, list, state,
                         state->values + heads[h] * state->n_rows * n_k,
                         h * list->n_rows * n_k, n_k, err));
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

static int put_text(const char *text, size_t n, void *buffer)
{
    return tap_buffer_put(buffer, text, n, NULL) == TAP_OK ? 0 : -1;
}

/* The manifest as a JSON object. */
static tap_status manifest_text(tap_buffer *out, const tap_trace *trace, tap_error *err)
{
    json_t *object = json_object();
    for (int64_t i = 0; i < trace->spec.n_metadata && object; i++)
        (void)json_object_set_new(object, trace->spec.keys[i],
                                  json_string(trace->spec.values[i]));
    const int bad =
        object ? json_dump_callback(object, put_text, out, JSON_INDENT(1)) : -1;
    json_decref(object);
    return bad ? TAP_FAIL(err, TAP_ENOMEM, "no memory left for a manifest") : TAP_OK;
}

tap_status tap_trace_commit(tap_trace *trace, tap_error *err)
{
    tap_safetensors *file = NULL;
    tap_buffer manifest = {0};
    TAP_TRY(tap_safetensors_commit(trace->out, err));
    if (trace->spec.format == TAP_TRACE_SAFETENSORS)
        return TAP_OK;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_safetensors_open(&file, trace->stream_path, err));
    if (trace->spec.format == TAP_TRACE_NPY) {
        status = tap_npy_write(trace->path, file, 0, err);
    } else {
        TAP_TRY_OUT(manifest_text(&manifest, trace, err));
        status = tap_npz_write(trace->path, file, manifest.text, err);
    }
out:
    tap_safetensors_close(file);
    tap_file_remove(trace->stream_path);
    tap_buffer_clear(&manifest);
    return status;
}

void tap_trace_close(tap_trace *trace)
{
    if (!trace)
        return;
    tap_safetensors_out_close(trace->out);
    for (int l = 0; l < N_ROW_LISTS; l++)
        tap_free(trace->lists[l].rows);
    for (int stack = 0; stack < TAP_N_STACKS; stack++)
        tap_free(trace->kept[stack]);
    tap_free(trace->packed);
    tap_free(trace->path);
    tap_free(trace->stream_path);
    tap_free(trace);
}

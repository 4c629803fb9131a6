/* Where each weight belongs: the tensors of a checkpoint, bound to their places and checked
 * against the sizes that the configuration states. */
#include "model/model.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 96 };

/* Binds `name`, of shape [a] (b = 0) or [a][b]. */
static tap_status bind(tap_tensor *out, const tap_weights *weights, const char *name,
                       int64_t a, int64_t b, tap_error *err)
{
    const int64_t shape[2] = {a, b};
    return tap_weights_get(out, weights, name, b ? 2 : 1, shape, err);
}

/* Binds prefix.weight, and prefix.bias of length a where has_bias. */
static tap_status bind_affine(tap_affine *out, const tap_weights *weights,
                              const char *prefix, int64_t a, int64_t b, bool has_bias,
                              tap_error *err)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.weight", prefix);
    TAP_TRY(bind(&out->weight, weights, name, a, b, err));
    if (!has_bias)
        return TAP_OK;
    (void)snprintf(name, sizeof name, "%s.bias", prefix);
    return bind(&out->bias, weights, name, a, 0, err);
}

/* Rows first .. first + n of a tensor whose dimensions after the first are whole. */
static tap_tensor rows_of(const tap_tensor *whole, int64_t first, int64_t n)
{
    tap_tensor part = *whole;
    part.shape[0] = n;
    const size_t row_bytes = (size_t)(tap_tensor_count(whole) / whole->shape[0]) *
                             tap_dtype_bytes(whole->dtype);
    part.bytes = (const unsigned char *)whole->bytes + (size_t)first * row_bytes;
    return part;
}

/* Binds several maps that the file holds as one: rows of the first, then of the next. */
static tap_status bind_fused(tap_affine *const *places, const int64_t *n_out, int n,
                             const tap_weights *weights, const char *prefix,
                             int64_t n_in, bool has_bias, tap_error *err)
{
    tap_affine whole = {0};
    int64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += n_out[i];
    TAP_TRY(bind_affine(&whole, weights, prefix, sum, n_in, has_bias, err));
    for (int64_t i = 0, first = 0; i < n; first += n_out[i++]) {
        places[i]->weight = rows_of(&whole.weight, first, n_out[i]);
        if (has_bias)
            places[i]->bias = rows_of(&whole.bias, first, n_out[i]);
    }
    return TAP_OK;
}

/* The tensor, whose shape in the file may have ones before the expected dimensions. */
static tap_status bind_squeezed(tap_tensor *out, const tap_weights *weights,
                                const char *name, int64_t a, int64_t b, tap_error *err)
{
    const tap_tensor *found = tap_weights_find(weights, name);
    const int n_dims = b ? 2 : 1;
    int64_t shape[TAP_MAX_DIMS];
    int n_ones = 0;
    while (found && n_ones < found->n_dims - n_dims && found->shape[n_ones] == 1)
        n_ones++;
    for (int i = 0; i < n_ones; i++)
        shape[i] = 1;
    shape[n_ones] = a;
    if (b)
        shape[n_ones + 1] = b;
    TAP_TRY(tap_weights_get(out, weights, name, n_ones + n_dims, shape, err));
    out->n_dims = n_dims;
    out->shape[0] = a;
    out->shape[1] = b;
    return TAP_OK;
}

/* What the two stacks' blocks differ in. */
typedef struct block_shape {
    const char *stack;
    bool norm_bias, qkv_bias, linear_bias, gated;
} block_shape;

static tap_status bind_block(tap_block_weights *block, const tap_weights *weights,
                             const tap_stack_spec *s, const block_shape *shape, int b,
                             tap_error *err)
{
    const int64_t d = s->d_model, d_q = (int64_t)s->n_heads * s->d_head,
                  d_kv = (int64_t)s->n_kv_heads * s->d_head, d_mlp = s->d_mlp;

    const struct {
        tap_affine *place;
        const char *name;
        int64_t n_out, n_in;
        bool bias;
    } places[] = {
        {&block->attn_norm, "attn_norm", d, 0, shape->norm_bias},
        {&block->q, "q", d_q, d, shape->qkv_bias},
        {&block->k, "k", d_kv, d, shape->qkv_bias},
        {&block->v, "v", d_kv, d, shape->qkv_bias},
        {&block->o, "o", d, d_q, shape->linear_bias},
        {&block->mlp_norm, "mlp_norm", d, 0, shape->norm_bias},
        {&block->up, "up", d_mlp, d, shape->linear_bias},
        {&block->down, "down", d, d_mlp, shape->linear_bias},
        {&block->gate, "gate", d_mlp, d, false},
    };

    char prefix[NAME_BYTES], fused[NAME_BYTES];
    (void)snprintf(prefix, sizeof prefix, "%s.%d.qkv.weight", shape->stack, b);
    (void)snprintf(fused, sizeof fused, "%s.%d.gate_up.weight", shape->stack, b);
    const bool has_qkv = tap_weights_find(weights, prefix) != NULL;
    const bool has_gate_up = tap_weights_find(weights, fused) != NULL;
    if (has_qkv) {
        (void)snprintf(prefix, sizeof prefix, "%s.%d.qkv", shape->stack, b);
        tap_affine *const parts[] = {&block->q, &block->k, &block->v};
        const int64_t n_out[] = {d_q, d_kv, d_kv};
        TAP_TRY(bind_fused(parts, n_out, 3, weights, prefix, d, shape->qkv_bias, err));
    }
    if (has_gate_up) {
        (void)snprintf(fused, sizeof fused, "%s.%d.gate_up", shape->stack, b);
        tap_affine *const parts[] = {&block->gate, &block->up};
        const int64_t n_out[] = {d_mlp, d_mlp};
        TAP_TRY(bind_fused(parts, n_out, 2, weights, fused, d, false, err));
    }
    const size_t n = sizeof places / sizeof *places - (shape->gated ? 0 : 1);
    for (size_t i = 0; i < n; i++) {
        if (places[i].place->weight.bytes)
            continue; /* part of a fused one */
        (void)snprintf(prefix, sizeof prefix, "%s.%d.%s", shape->stack, b,
                       places[i].name);
        TAP_TRY(bind_affine(places[i].place, weights, prefix, places[i].n_out,
                            places[i].n_in, places[i].bias, err));
    }
    return TAP_OK;
}

static tap_status bind_vision(tap_model *model, tap_error *err)
{
    const tap_vision_spec *v = &model->spec.vision;
    const tap_weights *weights = model->weights;
    const int64_t d = v->stack.d_model, side = tap_vision_side(v);
    const int64_t conv[4] = {d, 3, v->patch_px, v->patch_px};
    TAP_TRY(tap_weights_get(&model->patch_embed.weight, weights,
                            "vision.patch_embed.weight", 4, conv, err));
    if (v->has_patch_bias)
        TAP_TRY(bind(&model->patch_embed.bias, weights, "vision.patch_embed.bias", d, 0,
                     err));
    if (v->has_cls)
        TAP_TRY(bind_squeezed(&model->class_embed, weights, "vision.class_embed", d, 0,
                              err));
    TAP_TRY(bind_squeezed(&model->pos_embed, weights, "vision.pos_embed",
                          side * side + v->has_cls, d, err));
    if (v->has_pre_norm)
        TAP_TRY(
            bind_affine(&model->pre_norm, weights, "vision.pre_norm", d, 0, true, err));
    if (v->has_post_norm)
        TAP_TRY(bind_affine(&model->post_norm, weights, "vision.post_norm", d, 0, true,
                            err));
    TAP_TRY(tap_alloc(&model->vision_blocks, (size_t)v->n_blocks_read,
                      sizeof *model->vision_blocks, "a table of weights", err));
    const block_shape shape = {"vision", true, true, true, false};
    for (int b = 0; b < v->n_blocks_read; b++)
        TAP_TRY(
            bind_block(&model->vision_blocks[b], weights, &v->stack, &shape, b, err));
    return TAP_OK;
}

/* A map stored [d_in][d_out], as x W is written, becomes [d_out][d_in]. */
static tap_status turn(tap_model *model, int64_t d_out, int64_t d_in, tap_error *err)
{
    tap_tensor whole;
    float *row = NULL;
    TAP_TRY(bind(&whole, model->weights, "projector.1.transposed", d_in, d_out, err));
    TAP_TRY(tap_alloc(&model->turned, (size_t)d_out, (size_t)d_in * sizeof(float),
                      "a projection", err));
    model->copied_bytes += (size_t)(d_out * d_in) * sizeof(float);
    TAP_TRY(tap_alloc(&row, (size_t)d_out, sizeof *row, "a projection", err));
    for (int64_t i = 0; i < d_in; i++) {
        tap_widen(row, &whole, i * d_out, d_out);
        for (int64_t o = 0; o < d_out; o++)
            model->turned[o * d_in + i] = row[o];
    }
    tap_free(row);
    model->projector[0].weight = (tap_tensor){
        .bytes = model->turned, .dtype = TAP_F32, .n_dims = 2, .shape = {d_out, d_in}};
    return TAP_OK;
}

static tap_status bind_projector(tap_model *model, tap_error *err)
{
    const tap_spec *spec = &model->spec;
    const tap_weights *weights = model->weights;
    const int64_t d = spec->d_projector_out, d_in = spec->d_projector_in;
    const int64_t d_vector = spec->gathers_first ? d_in : d;
    const bool turned = tap_weights_find(weights, "projector.1.transposed") != NULL;
    if (turned && spec->n_projector_maps == 1)
        return turn(model, d, d_in, err);
    for (int i = 0; i < spec->n_projector_maps; i++) {
        char prefix[NAME_BYTES];
        (void)snprintf(prefix, sizeof prefix, "projector.%d", i + 1);
        TAP_TRY(bind_affine(&model->projector[i], weights, prefix, d, i ? d : d_in,
                            spec->projector_bias, err));
    }
    if (spec->has_newline)
        TAP_TRY(bind_squeezed(&model->newline, weights, "projector.newline", d_vector,
                              0, err));
    if (spec->has_separator)
        TAP_TRY(bind_squeezed(&model->separator, weights, "projector.separator",
                              d_vector, 0, err));
    return TAP_OK;
}

static tap_status bind_perceiver(tap_model *model, tap_error *err)
{
    const tap_perceiver_spec *s = &model->spec.perceiver;
    const int64_t d = model->spec.vision.stack.d_model, d_mlp = s->d_mlp,
                  d_q = (int64_t)s->n_heads * s->d_head;
    if (s->n_latents == 0)
        return TAP_OK;
    TAP_TRY(bind(&model->latents, model->weights, "perceiver.latents", s->n_latents, d,
                 err));
    TAP_TRY(bind_affine(&model->perceiver_norm, model->weights, "perceiver.norm", d, 0,
                        true, err));
    if (s->n_text > 0) {
        TAP_TRY(bind_affine(&model->text_maps[0], model->weights, "perceiver.text.1", d,
                            model->spec.lm.stack.d_model, true, err));
        TAP_TRY(bind_affine(&model->text_maps[1], model->weights, "perceiver.text.2", d,
                            d, true, err));
    }
    TAP_TRY(tap_alloc(&model->perceiver, (size_t)s->n_blocks, sizeof *model->perceiver,
                      "a table of weights", err));
    for (int b = 0; b < s->n_blocks; b++) {
        tap_perceiver_weights *w = &model->perceiver[b];

        const struct {
            tap_affine *place;
            const char *name;
            int64_t n_out, n_in;
        } places[] = {
            {&w->norm_media, "norm_media", d, 0},
            {&w->norm_latents, "norm_latents", d, 0},
            {&w->q, "q", d_q, d},
            {&w->kv, "kv", 2 * d_q, d},
            {&w->o, "o", d, d_q},
            {&w->norm, "mlp_norm", d, 0},
            {&w->up, "up", d_mlp, d},
            {&w->down, "down", d, d_mlp},
        };

        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            char name[NAME_BYTES];
            (void)snprintf(name, sizeof name, "perceiver.%d.%s", b, places[i].name);
            TAP_TRY(bind_affine(places[i].place, model->weights, name, places[i].n_out,
                                places[i].n_in, places[i].n_in == 0, err));
        }
    }
    return TAP_OK;
}

/* Binds `name`, [d_vocab][d] or (d = 0) [d_vocab]; where the last words have a table of
 * their own, `more`, the two are copied into one. */
static tap_status bind_words(tap_tensor *out, tap_model *model, void **joined,
                             const char *name, const char *more, int64_t d,
                             tap_error *err)
{
    const tap_lm_spec *lm = &model->spec.lm;
    tap_tensor first, last;
    if (lm->n_more_words == 0)
        return bind(out, model->weights, name, lm->d_vocab, d, err);
    TAP_TRY(bind(&first, model->weights, name, lm->n_table_rows, d, err));
    TAP_TRY(bind(&last, model->weights, more, lm->n_more_words, d, err));
    if (first.dtype != last.dtype)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "tensors '%s' and '%s' are of different types, expected the "
                        "same, for they are tables of one vocabulary",
                        name, more);
    const size_t row = (size_t)(d ? d : 1) * tap_dtype_bytes(first.dtype),
                 n_last = (size_t)lm->n_more_words,
                 n_first = (size_t)lm->d_vocab - n_last;
    TAP_TRY(tap_alloc(joined, n_first + n_last, row, "a vocabulary", err));
    model->copied_bytes += (n_first + n_last) * row;
    memcpy(*joined, first.bytes, n_first * row);
    memcpy((unsigned char *)*joined + n_first * row, last.bytes, n_last * row);
    *out = first;
    out->bytes = *joined;
    out->shape[0] = lm->d_vocab;
    return TAP_OK;
}

static tap_status bind_lm(tap_model *model, tap_error *err)
{
    const tap_spec *spec = &model->spec;
    const tap_lm_spec *lm = &spec->lm;
    const tap_weights *weights = model->weights;
    const int64_t d = lm->stack.d_model;
    void **joined = model->joined;
    TAP_TRY(bind_words(&model->embed, model, &joined[0], "lm.embed.weight",
                       "lm.more_embed.weight", d, err));
    TAP_TRY(
        bind_affine(&model->final_norm, weights, "lm.final_norm", d, 0, false, err));
    if (lm->tied_head ||
        (lm->head_may_be_tied && !tap_weights_find(weights, "lm.head.weight")))
        model->head = model->embed;
    else
        TAP_TRY(bind_words(&model->head, model, &joined[1], "lm.head.weight",
                           "lm.more_head.weight", d, err));
    if (lm->has_head_bias)
        TAP_TRY(bind_words(&model->head_bias, model, &joined[2], "lm.head.bias",
                           "lm.more_head.bias", 0, err));
    TAP_TRY(tap_alloc(&model->lm_blocks, (size_t)lm->stack.n_blocks,
                      sizeof *model->lm_blocks, "a table of weights", err));
    const block_shape shape = {"lm", false, lm->has_qkv_bias, false, true};
    for (int b = 0; b < lm->stack.n_blocks; b++)
        TAP_TRY(bind_block(&model->lm_blocks[b], weights, &lm->stack, &shape, b, err));
    return TAP_OK;
}

size_t tap_model_copied_bytes(const tap_model *model)
{
    return model->copied_bytes;
}

tap_status tap_model_add_words(tap_tokenizer *tokenizer, const tap_spec *spec,
                               tap_error *err)
{
    const tap_lm_spec *lm = &spec->lm;
    for (int64_t i = 0; i < lm->n_more_words; i++)
        TAP_TRY(tap_tokenizer_add(tokenizer, spec->more_words[i],
                                  lm->d_vocab - lm->n_more_words + i, err));
    return TAP_OK;
}

tap_status tap_model_open(tap_model **out, const char *directory, tap_error *err)
{
    tap_model *model = NULL;
    tap_status status = tap_alloc(&model, 1, sizeof *model, "a model", err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_spec_read(&model->spec, directory, err));
    TAP_TRY_OUT(tap_weights_open(&model->weights, directory, model->spec.names,
                                 model->spec.n_names, err));
    TAP_TRY_OUT(bind_vision(model, err));
    TAP_TRY_OUT(bind_projector(model, err));
    TAP_TRY_OUT(bind_perceiver(model, err));
    if (model->spec.lm.stack.n_blocks == 0)
        goto out;
    TAP_TRY_OUT(bind_lm(model, err));
    TAP_TRY_OUT(tap_tokenizer_open(&model->tokenizer, directory, err));
    TAP_TRY_OUT(tap_model_add_words(model->tokenizer, &model->spec, err));
    if (tap_tokenizer_size(model->tokenizer) > model->spec.lm.d_vocab)
        status = TAP_FAIL(err, TAP_EFORMAT,
                          "the tokenizer has ids up to %d but the embedding table has "
                          "%lld rows; they belong to different checkpoints",
                          tap_tokenizer_size(model->tokenizer) - 1,
                          (long long)model->spec.lm.d_vocab);
out:
    if (status == TAP_OK) {
        *out = model;
        return TAP_OK;
    }
    tap_model_close(model);
    if (err && strncmp(err->message, "cannot open model", 17) == 0)
        return status; /* said already */
    return tap_wrap(err, status, "cannot open model '%s'", directory);
}

tap_status tap_model_demand_decoder(const tap_model *model, tap_error *err)
{
    if (model->spec.lm.stack.n_blocks > 0)
        return TAP_OK;
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "the model (family %s) is a vision encoder without a decoder, so "
                    "it has no words to ask for; inspect, patches and trace read it",
                    model->spec.family);
}

tap_status tap_model_demand_places(const tap_model *model, const char *what,
                                   tap_error *err)
{
    if (model->spec.perceiver.n_latents == 0)
        return TAP_OK;
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "the image tokens of the decoder (family %s) are %d learned "
                    "queries that read whole groups of patches, so none stands for a "
                    "patch and %s cannot be had; its encoder keeps patches: masks and "
                    "cuts of the vision stack, trace and attention read it",
                    model->spec.family, model->spec.perceiver.n_latents, what);
}

void tap_model_close(tap_model *model)
{
    if (!model)
        return;
    tap_tokenizer_close(model->tokenizer);
    tap_weights_close(model->weights);
    tap_free(model->turned);
    for (size_t i = 0; i < sizeof model->joined / sizeof *model->joined; i++)
        tap_free(model->joined[i]);
    tap_free(model->perceiver);
    tap_free(model->vision_blocks);
    tap_free(model->lm_blocks);
    tap_free(model);
}

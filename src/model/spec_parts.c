#include "model/spec_parts.h"

#include <string.h>

/* No model comes near these; they keep every product inside 64 bits. */
enum {
    MAX_WIDTH = 1000000,
    MAX_BLOCKS = 1000,
    MAX_SIDE_PX = 16384,
    MAX_VOCAB = 1 << 24,
    MAX_POSITIONS = 1 << 30
};

tap_status tap_spec_read_size(int *out, const tap_json_at *at, const char *key,
                              int64_t absent, int low, int high, tap_error *err)
{
    int64_t number = 0;
    TAP_TRY(tap_json_int(&number, at, key, absent, low, high, err));
    *out = (int)number;
    return TAP_OK;
}

tap_status tap_spec_read_act(tap_act *out, const tap_json_at *at, const char *key,
                             const char *absent, tap_error *err)
{
    static const struct {
        const char *word;
        tap_act act;
    } acts[] = {
        {"quick_gelu", TAP_ACT_QUICK_GELU},
        {"gelu", TAP_ACT_GELU_ERF},
        {"gelu_pytorch_tanh", TAP_ACT_GELU_TANH},
        {"gelu_new", TAP_ACT_GELU_TANH},
        {"gelu_fast", TAP_ACT_GELU_TANH},
        {"silu", TAP_ACT_SILU},
        {"swish", TAP_ACT_SILU},
    };

    const char *word = NULL;
    TAP_TRY(tap_json_text(&word, at, key, absent, err));
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(word, acts[i].word) == 0) {
            *out = acts[i].act;
            return TAP_OK;
        }
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot use '%s': the activation '%s%s' is '%.40s', expected "
                    "quick_gelu, gelu, gelu_pytorch_tanh or silu",
                    at->path, at->place, key, word);
}

/* A side given as one number or as a list of two equal ones. */
static tap_status read_square(int *out, const tap_json_at *at, const char *key,
                              int64_t absent, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    if (!json_is_array(value))
        return tap_spec_read_size(out, at, key, absent, 1, MAX_SIDE_PX, err);
    double sides[2];
    TAP_TRY(tap_json_reals(sides, at, key, 2, NULL, err));
    const int side = sides[0] >= 1 && sides[0] <= MAX_SIDE_PX ? (int)sides[0] : 0;
    if (side == 0 || sides[0] != side || sides[1] != side)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': '%s%s' is %g by %g pixels, expected a square",
                        at->path, at->place, key, sides[0], sides[1]);
    *out = side;
    return TAP_OK;
}

static tap_status fail_division(const tap_json_at *at, const char *whole, int64_t n,
                                const char *part, int64_t d, tap_error *err)
{
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot read '%s': '%s%s' is %lld, which '%s' %lld does not divide",
                    at->path, at->place, whole, (long long)n, part, (long long)d);
}

/* Heads divide, and all of them together stay a sensible width. */
static tap_status check_heads(const tap_stack_spec *s, const tap_json_at *at,
                              tap_error *err)
{
    if (s->n_heads % s->n_kv_heads != 0)
        return fail_division(at, "num_attention_heads", s->n_heads,
                             "num_key_value_heads", s->n_kv_heads, err);
    if ((int64_t)s->n_heads * s->d_head > MAX_WIDTH)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%snum_attention_heads' %d times 'head_dim' "
                        "%d is above %d",
                        at->path, at->place, s->n_heads, s->d_head, MAX_WIDTH);
    return TAP_OK;
}

tap_status tap_spec_read_clip(tap_vision_spec *out, const tap_json_at *at,
                              tap_error *err)
{
    const bool is_large = at->object == NULL;
    tap_vision_spec v = {.has_cls = true, .has_pre_norm = true};
    tap_stack_spec *s = &v.stack;
    TAP_TRY(tap_spec_read_size(&s->d_model, at, "hidden_size", is_large ? 1024 : 768, 1,
                               MAX_WIDTH, err));
    TAP_TRY(tap_spec_read_size(&s->d_mlp, at, "intermediate_size",
                               is_large ? 4096 : 3072, 1, MAX_WIDTH, err));
    TAP_TRY(tap_spec_read_size(&s->n_blocks, at, "num_hidden_layers",
                               is_large ? 24 : 12, 1, MAX_BLOCKS, err));
    TAP_TRY(tap_spec_read_size(&s->n_heads, at, "num_attention_heads",
                               is_large ? 16 : 12, 1, MAX_WIDTH, err));
    if (s->d_model % s->n_heads != 0)
        return fail_division(at, "hidden_size", s->d_model, "num_attention_heads",
                             s->n_heads, err);
    s->n_kv_heads = s->n_heads;
    s->d_head = s->d_model / s->n_heads;
    TAP_TRY(tap_json_real(&s->norm_eps, at, "layer_norm_eps", 1e-5, 0, 1, err));
    TAP_TRY(tap_spec_read_act(&s->act, at, "hidden_act", "quick_gelu", err));
    TAP_TRY(read_square(&v.side_px, at, "image_size", is_large ? 336 : 224, err));
    TAP_TRY(read_square(&v.patch_px, at, "patch_size", is_large ? 14 : 32, err));
    if (v.side_px % v.patch_px != 0)
        return fail_division(at, "image_size", v.side_px, "patch_size", v.patch_px,
                             err);
    int n_channels = 0;
    TAP_TRY(tap_spec_read_size(&n_channels, at, "num_channels", 3, 3, 3, err));
    *out = v;
    return TAP_OK;
}

/* theta, and that the angles are not scaled: "rope_parameters" (transformers 5), or
 * "rope_theta" beside "rope_scaling", which wins where both stand. */
static tap_status read_rope(double *theta, const tap_json_at *at, tap_error *err)
{
    tap_json_at rope, scaling;
    TAP_TRY(tap_json_object(&rope, at, "rope_parameters", at->place, err));
    TAP_TRY(tap_json_object(&scaling, at, "rope_scaling", at->place, err));
    if (scaling.object)
        rope = scaling;
    const char *older = NULL, *type = NULL;
    TAP_TRY(tap_json_text(&older, &rope, "type", "default", err));
    TAP_TRY(tap_json_text(&type, &rope, "rope_type", older, err));
    if (strcmp(type, "default") != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': rotary scaling '%.40s' under '%s%s' is not "
                        "read for this family, expected none or 'default'",
                        at->path, type, at->place,
                        scaling.object ? "rope_scaling" : "rope_parameters");
    double share = 1, outer = 0;
    TAP_TRY(tap_json_real(&share, at, "partial_rotary_factor", 1, 0, 1, err));
    TAP_TRY(tap_json_real(&share, &rope, "partial_rotary_factor", share, 0, 1, err));
    if (share < 1)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': '%spartial_rotary_factor' is %g, expected 1 "
                        "for this family",
                        at->path, at->place, share);
    TAP_TRY(tap_json_real(&outer, at, "rope_theta", 10000, 1, 1e12, err));
    return tap_json_real(theta, &rope, "rope_theta", outer, 1, 1e12, err);
}

/* Options of LlamaConfig that would add tensors to a block. */
static tap_status refuse_biases(const tap_json_at *at, tap_error *err)
{
    static const char *const keys[] = {"attention_bias", "mlp_bias"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool has = false;
        TAP_TRY(tap_json_bool(&has, at, keys[i], false, err));
        if (has)
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "cannot use '%s': '%s%s' is true, expected false for this "
                            "family",
                            at->path, at->place, keys[i]);
    }
    return TAP_OK;
}

/* An id, or the first of a list of ids; -1 if there is none. */
static tap_status read_id(int32_t *out, const tap_json_at *at, const char *key,
                          int64_t absent, int64_t d_vocab, tap_error *err)
{
    const json_t *value = tap_json_find(at, key);
    json_t *single = NULL;
    tap_json_at inner = *at;
    if (json_is_array(value) && json_array_size(value) > 0) {
        single = json_pack("{s:O}", key, json_array_get(value, 0));
        inner.object = single;
    }
    int64_t id = 0;
    const tap_status status = tap_json_int(
        &id, &inner, key, absent < d_vocab ? absent : -1, -1, d_vocab - 1, err);
    json_decref(single);
    TAP_TRY(status);
    *out = (int32_t)id;
    return TAP_OK;
}

tap_status tap_spec_read_llama(tap_lm_spec *out, const tap_json_at *at, tap_error *err)
{
    tap_lm_spec lm = {0};
    tap_stack_spec *s = &lm.stack;
    TAP_TRY(
        tap_spec_read_size(&s->d_model, at, "hidden_size", 4096, 1, MAX_WIDTH, err));
    TAP_TRY(tap_spec_read_size(&s->d_mlp, at, "intermediate_size", 11008, 1, MAX_WIDTH,
                               err));
    TAP_TRY(tap_spec_read_size(&s->n_blocks, at, "num_hidden_layers", 32, 1, MAX_BLOCKS,
                               err));
    TAP_TRY(tap_spec_read_size(&s->n_heads, at, "num_attention_heads", 32, 1, MAX_WIDTH,
                               err));
    TAP_TRY(tap_spec_read_size(&s->n_kv_heads, at, "num_key_value_heads", s->n_heads, 1,
                               MAX_WIDTH, err));
    if (!tap_json_find(at, "head_dim") && s->d_model % s->n_heads != 0)
        return fail_division(at, "hidden_size", s->d_model, "num_attention_heads",
                             s->n_heads, err);
    TAP_TRY(tap_spec_read_size(&s->d_head, at, "head_dim", s->d_model / s->n_heads, 1,
                               MAX_WIDTH, err));
    if (s->d_head % 2 != 0)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%shead_dim' is %d, "
                        "rotation needs an even one",
                        at->path, at->place, s->d_head);
    TAP_TRY(check_heads(s, at, err));
    TAP_TRY(tap_json_real(&s->norm_eps, at, "rms_norm_eps", 1e-6, 0, 1, err));
    TAP_TRY(tap_spec_read_act(&s->act, at, "hidden_act", "silu", err));
    TAP_TRY(tap_json_int(&lm.d_vocab, at, "vocab_size", 32000, 1, MAX_VOCAB, err));
    TAP_TRY(tap_json_int(&lm.n_positions, at, "max_position_embeddings", 2048, 1,
                         MAX_POSITIONS, err));
    TAP_TRY(read_rope(&lm.rope_theta, at, err));
    TAP_TRY(refuse_biases(at, err));
    TAP_TRY(tap_json_bool(&lm.tied_head, at, "tie_word_embeddings", false, err));
    TAP_TRY(read_id(&lm.bos_id, at, "bos_token_id", 1, lm.d_vocab, err));
    TAP_TRY(read_id(&lm.eos_id, at, "eos_token_id", 2, lm.d_vocab, err));
    *out = lm;
    return TAP_OK;
}

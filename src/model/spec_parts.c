#include "model/spec_parts.h"

#include <math.h>
#include <string.h>

/* No model comes near these; they keep every product inside 64 bits. */
enum {
    MAX_WIDTH = 1000000,
    MAX_BLOCKS = 1000,
    MAX_SIDE_PX = 16384,
    MAX_GRID = 1024,
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

tap_status tap_spec_demand_word(const tap_json_at *at, const char *key,
                                const char *known, tap_error *err)
{
    const char *word = NULL;
    TAP_TRY(tap_json_text(&word, at, key, known, err));
    if (strcmp(word, known) != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': '%s%s' is '%.40s', expected '%s'", at->path,
                        at->place, key, word, known);
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

tap_status tap_spec_read_square(int *out, const tap_json_at *at, const char *key,
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

tap_status tap_spec_check_grid(const tap_vision_spec *v, const tap_json_at *at,
                               tap_error *err)
{
    if (tap_vision_side(v) <= MAX_GRID)
        return TAP_OK;
    return TAP_FAIL(err, TAP_EFORMAT,
                    "cannot read '%s': patches of %d pixels would make a grid of %lld "
                    "a side, expected at most %d",
                    at->path, v->patch_px, (long long)tap_vision_side(v), MAX_GRID);
}

/* What keys that are absent mean, by the class of the tower. */
typedef struct tower_class {
    const char *model_type;
    int d_model, d_mlp, n_blocks, n_heads, side_px, patch_px;
    double norm_eps;
    const char *act;
    bool has_cls, has_pre_norm, has_patch_bias;
} tower_class;

static const tower_class towers[] = {
    {"clip_vision_model", 768, 3072, 12, 12, 224, 32, 1e-5, "quick_gelu", true, true,
     false},
    {"siglip_vision_model", 768, 3072, 12, 12, 224, 16, 1e-6, "gelu_pytorch_tanh",
     false, false, true},
    {"idefics3_vision", 1152, 3072, 12, 16, 224, 32, 1e-6, "gelu_pytorch_tanh", false,
     false, true},
    {"smolvlm_vision", 1152, 3072, 12, 16, 224, 32, 1e-6, "gelu_pytorch_tanh", false,
     false, true},
};

/* ViT-L/14 at 336 px, where a config has no vision_config at all. */
static const tower_class clip_large = {
    "clip_vision_model", 1024, 4096, 24,   16, 336, 14, 1e-5,
    "quick_gelu",        true, true, false};

static tap_status find_tower(const tower_class **out, const tap_json_at *at,
                             const char *absent, tap_error *err)
{
    const char *type = NULL;
    TAP_TRY(tap_json_text(&type, at, "model_type", absent, err));
    if (!at->object && strcmp(type, clip_large.model_type) == 0) {
        *out = &clip_large;
        return TAP_OK;
    }
    for (size_t i = 0; i < sizeof towers / sizeof towers[0]; i++)
        if (strcmp(type, towers[i].model_type) == 0) {
            *out = &towers[i];
            return TAP_OK;
        }
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot use '%s': '%smodel_type' is '%.40s', expected "
                    "clip_vision_model, siglip_vision_model, idefics3_vision or "
                    "smolvlm_vision",
                    at->path, at->place, type);
}

tap_status tap_spec_read_tower(tap_vision_spec *out, const tap_json_at *at,
                               const char *absent, tap_error *err)
{
    const tower_class *c = NULL;
    TAP_TRY(find_tower(&c, at, absent, err));
    tap_vision_spec v = {.has_cls = c->has_cls,
                         .has_pre_norm = c->has_pre_norm,
                         .has_patch_bias = c->has_patch_bias};
    tap_stack_spec *s = &v.stack;
    TAP_TRY(tap_spec_read_size(&s->d_model, at, "hidden_size", c->d_model, 1, MAX_WIDTH,
                               err));
    TAP_TRY(tap_spec_read_size(&s->d_mlp, at, "intermediate_size", c->d_mlp, 1,
                               MAX_WIDTH, err));
    TAP_TRY(tap_spec_read_size(&s->n_blocks, at, "num_hidden_layers", c->n_blocks, 1,
                               MAX_BLOCKS, err));
    TAP_TRY(tap_spec_read_size(&s->n_heads, at, "num_attention_heads", c->n_heads, 1,
                               MAX_WIDTH, err));
    if (s->d_model % s->n_heads != 0)
        return fail_division(at, "hidden_size", s->d_model, "num_attention_heads",
                             s->n_heads, err);
    s->n_kv_heads = s->n_heads;
    s->d_head = s->d_model / s->n_heads;
    TAP_TRY(tap_json_real(&s->norm_eps, at, "layer_norm_eps", c->norm_eps, 0, 1, err));
    TAP_TRY(tap_spec_read_act(&s->act, at, "hidden_act", c->act, err));
    TAP_TRY(tap_spec_read_square(&v.side_px, at, "image_size", c->side_px, err));
    TAP_TRY(tap_spec_read_square(&v.patch_px, at, "patch_size", c->patch_px, err));
    if (v.side_px < v.patch_px)
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%simage_size' %d is below 'patch_size' %d",
                        at->path, at->place, v.side_px, v.patch_px);
    TAP_TRY(tap_spec_check_grid(&v, at, err));
    int n_channels = 0;
    TAP_TRY(tap_spec_read_size(&n_channels, at, "num_channels", 3, 3, 3, err));
    *out = v;
    return TAP_OK;
}

/* One list of factors, one for each pair of a head. */
static tap_status read_factors(float *out, const tap_json_at *at, const char *key,
                               int n, tap_error *err)
{
    double factors[TAP_MAX_ROPE_PAIRS];
    if (!tap_json_find(at, key))
        return TAP_FAIL(err, TAP_EFORMAT,
                        "cannot read '%s': '%s%s' is absent, expected %d factors of "
                        "rotary scaling",
                        at->path, at->place, key, n);
    TAP_TRY(tap_json_reals(factors, at, key, (size_t)n, NULL, err));
    for (int i = 0; i < n; i++) {
        out[i] = (float)factors[i];
        if (!(factors[i] >= 1e-6 && factors[i] <= 1e6))
            return TAP_FAIL(err, TAP_EFORMAT,
                            "cannot read '%s': factor %d of '%s%s' is %g, expected a "
                            "number above 0",
                            at->path, i, at->place, key, factors[i]);
    }
    return TAP_OK;
}

static tap_status fail_heads(const tap_lm_spec *lm, const tap_json_at *at,
                             tap_error *err)
{
    return TAP_FAIL(
        err, TAP_EUNSUPPORTED,
        "cannot use '%s': scaled rotation of heads %d wide, expected at most "
        "%d",
        at->path, lm->stack.d_head, 2 * TAP_MAX_ROPE_PAIRS);
}

/* "su", later called "longrope": a list of factors for short texts and one for long ones.
 * at: the decoder's own object, rope: the one with the factors. */
static tap_status read_long_rope(tap_lm_spec *lm, const tap_json_at *at,
                                 const tap_json_at *rope, tap_error *err)
{
    tap_rope_spec *r = &lm->rope;
    const int n = lm->stack.d_head / 2;
    if (n > TAP_MAX_ROPE_PAIRS)
        return fail_heads(lm, at, err);
    int64_t inner = 0;
    TAP_TRY(tap_json_int(&inner, rope, "original_max_position_embeddings", 4096, 1,
                         MAX_POSITIONS, err));
    TAP_TRY(tap_json_int(&r->n_short_positions, at, "original_max_position_embeddings",
                         inner, 1, MAX_POSITIONS, err));
    TAP_TRY(read_factors(r->short_factors, rope, "short_factor", n, err));
    TAP_TRY(read_factors(r->long_factors, rope, "long_factor", n, err));
    r->n_factors = n;
    const double ratio = (double)lm->n_positions / (double)r->n_short_positions;
    const double gain =
        ratio > 1 ? sqrt(1 + log(ratio) / log((double)r->n_short_positions)) : 1;
    double given = 0;
    TAP_TRY(tap_json_real(&given, rope, "attention_factor", gain, 1e-3, 1e3, err));
    r->gain = (float)given;
    return TAP_OK;
}

/* "llama3": pairs that turn round less than low_freq_factor times in a text of the original
 * length turn `factor` times slower, those above high_freq_factor as ever; between the two
 * both are mixed. The divisors are the same for all lengths. */
static tap_status read_llama3_rope(tap_lm_spec *lm, const tap_json_at *rope,
                                   double theta, tap_error *err)
{
    static const double turn = 6.283185307179586;
    tap_rope_spec *r = &lm->rope;
    const int n = lm->stack.d_head / 2;
    double factor = 0, low = 0, high = 0, length = 0;
    if (n > TAP_MAX_ROPE_PAIRS)
        return fail_heads(lm, rope, err);
    TAP_TRY(tap_json_real(&factor, rope, "factor", -1, 1, 1e6, err));
    TAP_TRY(tap_json_real(&low, rope, "low_freq_factor", -1, 1e-6, 1e6, err));
    TAP_TRY(tap_json_real(&high, rope, "high_freq_factor", -1, 1e-6, 1e6, err));
    TAP_TRY(tap_json_real(&length, rope, "original_max_position_embeddings", -1, 1,
                          MAX_POSITIONS, err));
    if (high <= low)
        return TAP_FAIL(
            err, TAP_EFORMAT,
            "cannot read '%s': 'high_freq_factor' %g of rotary scaling is not "
            "above 'low_freq_factor' %g",
            rope->path, high, low);
    for (int i = 0; i < n; i++) {
        const double turns = length / turn / pow(theta, (double)i / n);
        const double share = turns >= high  ? 1
                             : turns <= low ? 0
                                            : (turns - low) / (high - low);
        r->short_factors[i] = r->long_factors[i] =
            (float)(1 / ((1 - share) / factor + share));
    }
    r->n_factors = n;
    return TAP_OK;
}

/* theta and the scaling of angles: "rope_parameters" (transformers 5), or "rope_theta"
 * beside "rope_scaling", which wins where both stand. */
static tap_status read_rope(tap_lm_spec *lm, const tap_json_at *at, tap_error *err)
{
    tap_json_at rope, scaling;
    TAP_TRY(tap_json_object(&rope, at, "rope_parameters", at->place, err));
    TAP_TRY(tap_json_object(&scaling, at, "rope_scaling", at->place, err));
    if (scaling.object)
        rope = scaling;
    const char *older = NULL, *type = NULL;
    TAP_TRY(tap_json_text(&older, &rope, "type", "default", err));
    TAP_TRY(tap_json_text(&type, &rope, "rope_type", older, err));
    lm->rope.gain = 1;
    double share = 1, outer = 0;
    TAP_TRY(tap_json_real(&outer, at, "rope_theta", 10000, 1, 1e12, err));
    TAP_TRY(tap_json_real(&lm->rope.theta, &rope, "rope_theta", outer, 1, 1e12, err));
    if (strcmp(type, "su") == 0 || strcmp(type, "longrope") == 0)
        TAP_TRY(read_long_rope(lm, at, &rope, err));
    else if (strcmp(type, "llama3") == 0)
        TAP_TRY(read_llama3_rope(lm, &rope, lm->rope.theta, err));
    else if (strcmp(type, "default") != 0)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': rotary scaling '%.40s' under '%s%s' is not "
                        "known, expected none, 'default', 'llama3' or 'longrope'",
                        at->path, type, at->place,
                        scaling.object ? "rope_scaling" : "rope_parameters");
    TAP_TRY(tap_json_real(&share, at, "partial_rotary_factor", 1, 0, 1, err));
    TAP_TRY(tap_json_real(&share, &rope, "partial_rotary_factor", share, 0, 1, err));
    if (share < 1)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': '%spartial_rotary_factor' is %g, expected 1 "
                        "for this family",
                        at->path, at->place, share);
    return TAP_OK;
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

/* What keys that are absent mean, by the class of the decoder. */
typedef struct text_class {
    const char *model_type;
    int d_model, d_mlp, n_blocks, n_heads, n_kv_heads; /* kv 0: as many as heads */
    double norm_eps;
    int d_vocab, n_positions, window, bos_id, eos_id; /* window 0, id -1: none */
    bool has_qkv_bias;
} text_class;

static const text_class texts[] = {
    {"llama", 4096, 11008, 32, 32, 0, 1e-6, 32000, 2048, 0, 1, 2, false},
    {"mistral", 4096, 14336, 32, 32, 8, 1e-6, 32000, 131072, 4096, 1, 2, false},
    {"qwen2", 4096, 22016, 32, 32, 32, 1e-6, 151936, 32768, 0, -1, -1, true},
    {"phi3", 3072, 8192, 32, 32, 0, 1e-5, 32064, 4096, 0, 1, 32000, false},
    {"phi3_v", 3072, 8192, 32, 32, 0, 1e-5, 32064, 4096, 0, 1, 32000, false},
};

static tap_status find_text(const text_class **out, const tap_json_at *at,
                            const char *absent, tap_error *err)
{
    const char *type = NULL;
    TAP_TRY(tap_json_text(&type, at, "model_type", absent, err));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(type, texts[i].model_type) == 0) {
            *out = &texts[i];
            return TAP_OK;
        }
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot use '%s': '%smodel_type' is '%.40s', expected a decoder of "
                    "class llama, mistral, qwen2 or phi3",
                    at->path, at->place, type);
}

/* A window that null switches off; Qwen2 has a switch of its own. */
static tap_status read_window(int64_t *out, const tap_json_at *at, const text_class *c,
                              tap_error *err)
{
    bool used = true;
    TAP_TRY(tap_json_bool(&used, at, "use_sliding_window", !c->has_qkv_bias, err));
    const bool is_null =
        at->object && json_is_null(json_object_get(at->object, "sliding_window"));
    const int64_t absent = c->window && !is_null ? c->window : MAX_POSITIONS;
    TAP_TRY(tap_json_int(out, at, "sliding_window", absent, 1, MAX_POSITIONS, err));
    if (!used)
        *out = MAX_POSITIONS;
    return TAP_OK;
}

tap_status tap_spec_read_text(tap_lm_spec *out, const tap_json_at *at,
                              const char *absent, tap_error *err)
{
    const text_class *c = NULL;
    tap_lm_spec lm = {0};
    tap_stack_spec *s = &lm.stack;
    TAP_TRY(find_text(&c, at, absent, err));
    lm.has_qkv_bias = c->has_qkv_bias;
    TAP_TRY(tap_spec_read_size(&s->d_model, at, "hidden_size", c->d_model, 1, MAX_WIDTH,
                               err));
    TAP_TRY(tap_spec_read_size(&s->d_mlp, at, "intermediate_size", c->d_mlp, 1,
                               MAX_WIDTH, err));
    TAP_TRY(tap_spec_read_size(&s->n_blocks, at, "num_hidden_layers", c->n_blocks, 1,
                               MAX_BLOCKS, err));
    TAP_TRY(tap_spec_read_size(&s->n_heads, at, "num_attention_heads", c->n_heads, 1,
                               MAX_WIDTH, err));
    TAP_TRY(tap_spec_read_size(&s->n_kv_heads, at, "num_key_value_heads",
                               c->n_kv_heads ? c->n_kv_heads : s->n_heads, 1, MAX_WIDTH,
                               err));
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
    TAP_TRY(tap_json_real(&s->norm_eps, at, "rms_norm_eps", c->norm_eps, 0, 1, err));
    TAP_TRY(tap_spec_read_act(&s->act, at, "hidden_act", "silu", err));
    TAP_TRY(tap_json_int(&lm.d_vocab, at, "vocab_size", c->d_vocab, 1, MAX_VOCAB, err));
    TAP_TRY(tap_json_int(&lm.n_positions, at, "max_position_embeddings", c->n_positions,
                         1, MAX_POSITIONS, err));
    TAP_TRY(read_window(&lm.window, at, c, err));
    TAP_TRY(read_rope(&lm, at, err));
    TAP_TRY(refuse_biases(at, err));
    TAP_TRY(tap_json_bool(&lm.tied_head, at, "tie_word_embeddings", false, err));
    TAP_TRY(read_id(&lm.bos_id, at, "bos_token_id", c->bos_id, lm.d_vocab, err));
    TAP_TRY(read_id(&lm.eos_id, at, "eos_token_id", c->eos_id, lm.d_vocab, err));
    *out = lm;
    return TAP_OK;
}

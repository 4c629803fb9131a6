#include "tiny_model.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "format/safetensors.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

tiny_model tiny_model_default(void)
{
    return (tiny_model){
        .vision_n_blocks = 3,
        .vision_d_model = 32,
        .vision_n_heads = 4,
        .vision_d_mlp = 64,
        .side_px = 32,
        .patch_px = 8,
        .lm_n_blocks = 2,
        .lm_d_model = 32,
        .lm_n_heads = 4,
        .lm_n_kv_heads = 2,
        .lm_d_head = 8,
        .lm_d_mlp = 64,
        .dtype = TAP_F32,
        .names = TINY_NAMES_OLD,
        .n_shards = 1,
        .seed = 1,
        .lm_norm_eps = 1e-5,
    };
}

/* ---- tensors ---- */

enum { NAME_BYTES = 128 };

typedef struct part {
    char raw[NAME_BYTES], canonical[NAME_BYTES]; /* canonical seeds the values */
    tap_tensor tensor;                           /* no bytes yet */
    double mean, deviation;
} part;

typedef struct part_list {
    part *parts;
    size_t n, capacity;
    tap_dtype dtype;
} part_list;

/* Sizes end at the first 0. */
static tap_status add(part_list *list, const char *raw_front, const char *raw_end,
                      const char *canonical, const int sizes[4], double mean,
                      double deviation, tap_error *err)
{
    TAP_TRY(tap_grow(&list->parts, &list->capacity, list->n + 1, sizeof *list->parts,
                     "a tiny model", err));
    part *p = &list->parts[list->n++];
    (void)snprintf(p->raw, NAME_BYTES, "%s%s", raw_front, raw_end);
    (void)snprintf(p->canonical, NAME_BYTES, "%s", canonical);
    p->tensor.dtype = list->dtype;
    for (int d = 0; d < 4 && sizes[d] > 0; d++)
        p->tensor.shape[p->tensor.n_dims++] = sizes[d];
    p->mean = mean;
    p->deviation = deviation;
    return TAP_OK;
}

/* weight [n_out][n_in] with gain / sqrt(n_in), and a bias on request */
static tap_status add_linear(part_list *list, const char *raw, const char *canonical,
                             int n_out, int n_in, double gain, bool has_bias,
                             tap_error *err)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.weight", canonical);
    TAP_TRY(add(list, raw, ".weight", name, (const int[4]){n_out, n_in}, 0,
                gain / sqrt(n_in), err));
    (void)snprintf(name, sizeof name, "%s.bias", canonical);
    if (has_bias)
        TAP_TRY(add(list, raw, ".bias", name, (const int[4]){n_out}, 0, 0.1, err));
    return TAP_OK;
}

static tap_status add_norm(part_list *list, const char *raw, const char *canonical,
                           int d, bool has_bias, tap_error *err)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.weight", canonical);
    TAP_TRY(add(list, raw, ".weight", name, (const int[4]){d}, 1, 0.1, err));
    (void)snprintf(name, sizeof name, "%s.bias", canonical);
    if (has_bias)
        TAP_TRY(add(list, raw, ".bias", name, (const int[4]){d}, 0, 0.1, err));
    return TAP_OK;
}

typedef struct line {
    const char *raw, *canonical;
    int n_out, n_in; /* n_in 0: a norm */
    double gain;
} line;

static tap_status add_block(part_list *list, const char *front, const char *stack,
                            int block, const line *lines, size_t n_lines, bool has_bias,
                            tap_error *err)
{
    for (size_t i = 0; i < n_lines; i++) {
        const line *l = &lines[i];
        char raw[NAME_BYTES], canonical[NAME_BYTES];
        (void)snprintf(raw, sizeof raw, "%slayers.%d.%s", front, block, l->raw);
        (void)snprintf(canonical, sizeof canonical, "%s.%d.%s", stack, block,
                       l->canonical);
        if (l->n_in)
            TAP_TRY(add_linear(list, raw, canonical, l->n_out, l->n_in, l->gain,
                               has_bias, err));
        else
            TAP_TRY(add_norm(list, raw, canonical, l->n_out, has_bias, err));
    }
    return TAP_OK;
}

static tap_status add_vision(part_list *list, const tiny_model *o, tap_error *err)
{
    const char *front = o->names == TINY_NAMES_OLD ? "vision_tower.vision_model."
                        : o->names == TINY_NAMES_NEW
                            ? "model.vision_tower.vision_model."
                            : "vision_tower.";
    const int d = o->vision_d_model, grid = o->side_px / o->patch_px;
    const int n_in = 3 * o->patch_px * o->patch_px;
    TAP_TRY(add(list, front, "embeddings.class_embedding", "vision.class_embed",
                (const int[4]){d}, 0, 1, err));
    TAP_TRY(add(
        list, front, "embeddings.patch_embedding.weight", "vision.patch_embed.weight",
        (const int[4]){d, 3, o->patch_px, o->patch_px}, 0, 1 / sqrt(n_in), err));
    TAP_TRY(add(list, front, "embeddings.position_embedding.weight", "vision.pos_embed",
                (const int[4]){grid * grid + 1, d}, 0, 0.5, err));
    if (o->names == TINY_NAMES_OLD) {
        TAP_TRY(add(list, front, "embeddings.position_ids", "",
                    (const int[4]){1, grid * grid + 1}, 0, 0, err));
        list->parts[list->n - 1].tensor.dtype = TAP_I64;
    }
    char raw[NAME_BYTES];
    (void)snprintf(raw, sizeof raw, "%spre_layrnorm", front);
    TAP_TRY(add_norm(list, raw, "vision.pre_norm", d, true, err));
    const line lines[] = {
        {"layer_norm1", "attn_norm", d, 0, 0},
        {"self_attn.q_proj", "q", d, d, 1.5},
        {"self_attn.k_proj", "k", d, d, 1.5},
        {"self_attn.v_proj", "v", d, d, 0.7},
        {"self_attn.out_proj", "o", d, d, 0.7},
        {"layer_norm2", "mlp_norm", d, 0, 0},
        {"mlp.fc1", "up", o->vision_d_mlp, d, 0.7},
        {"mlp.fc2", "down", d, o->vision_d_mlp, 0.7},
    };
    char blocks[NAME_BYTES];
    (void)snprintf(blocks, sizeof blocks, "%sencoder.", front);
    for (int b = 0; b < o->vision_n_blocks; b++)
        TAP_TRY(add_block(list, blocks, "vision", b, lines,
                          sizeof lines / sizeof lines[0], true, err));
    (void)snprintf(raw, sizeof raw, "%spost_layernorm", front);
    return add_norm(list, raw, "vision.post_norm", d, true, err);
}

static tap_status add_projector(part_list *list, const tiny_model *o, tap_error *err)
{
    const char *front = o->names == TINY_NAMES_NEW ? "model.multi_modal_projector."
                                                   : "multi_modal_projector.";
    char raw[NAME_BYTES];
    (void)snprintf(raw, sizeof raw, "%slinear_1", front);
    TAP_TRY(add_linear(list, raw, "projector.1", o->lm_d_model, o->vision_d_model, 1,
                       true, err));
    (void)snprintf(raw, sizeof raw, "%slinear_2", front);
    return add_linear(list, raw, "projector.2", o->lm_d_model, o->lm_d_model, 1, true,
                      err);
}

static tap_status add_lm(part_list *list, const tiny_model *o, int d_vocab,
                         tap_error *err)
{
    const bool is_new = o->names == TINY_NAMES_NEW;
    const char *front = is_new ? "model.language_model." : "language_model.model.";
    const int d = o->lm_d_model, d_q = o->lm_n_heads * o->lm_d_head;
    const int d_kv = o->lm_n_kv_heads * o->lm_d_head;
    TAP_TRY(add(list, front, "embed_tokens.weight", "lm.embed.weight",
                (const int[4]){d_vocab, d}, 0, 1, err));
    const line lines[] = {
        {"input_layernorm", "attn_norm", d, 0, 0},
        {"self_attn.q_proj", "q", d_q, d, 1.5},
        {"self_attn.k_proj", "k", d_kv, d, 1.5},
        {"self_attn.v_proj", "v", d_kv, d, 0.7},
        {"self_attn.o_proj", "o", d, d_q, 0.7},
        {"post_attention_layernorm", "mlp_norm", d, 0, 0},
        {"mlp.gate_proj", "gate", o->lm_d_mlp, d, 1},
        {"mlp.up_proj", "up", o->lm_d_mlp, d, 1},
        {"mlp.down_proj", "down", d, o->lm_d_mlp, 1},
    };
    for (int b = 0; b < o->lm_n_blocks; b++)
        TAP_TRY(add_block(list, front, "lm", b, lines, sizeof lines / sizeof lines[0],
                          false, err));
    char raw[NAME_BYTES];
    (void)snprintf(raw, sizeof raw, "%snorm", front);
    TAP_TRY(add_norm(list, raw, "lm.final_norm", d, false, err));
    if (o->tied_head)
        return TAP_OK;
    return add_linear(list, is_new ? "lm_head" : "language_model.lm_head", "lm.head",
                      d_vocab, d, 1, false, err);
}

/* ---- values ---- */

/* Sum of four 16-bit uniforms of one counter-based word: mean 0, deviation 1, exact in
 * double, so the same on every machine. */
static double normal(uint64_t seed, uint64_t i)
{
    uint64_t x = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    const double sum = (double)(x & 0xffff) + (double)(x >> 16 & 0xffff) +
                       (double)(x >> 32 & 0xffff) + (double)(x >> 48);
    return (sum / 65536 - 2) * 1.7320508075688772;
}

static void fill(void *out, const part *p, int64_t n, uint64_t seed)
{
    const uint64_t own = tap_hash(seed, p->canonical, strlen(p->canonical));
    for (int64_t i = 0; i < n; i++) {
        const float value = (float)(p->mean + p->deviation * normal(own, (uint64_t)i));
        const uint16_t half = p->tensor.dtype == TAP_F16    ? tap_to_f16(value)
                              : p->tensor.dtype == TAP_BF16 ? tap_to_bf16(value)
                                                            : 0;
        if (p->tensor.dtype == TAP_F32)
            memcpy((float *)out + i, &value, sizeof value);
        else if (p->tensor.dtype == TAP_I64)
            memcpy((int64_t *)out + i, &i, sizeof i);
        else
            memcpy((uint16_t *)out + i, &half, sizeof half);
    }
}

static tap_status write_shard(const char *path, const part *parts, size_t n,
                              uint64_t seed, tap_error *err)
{
    const char **names = NULL;
    tap_tensor *tensors = NULL;
    void *values = NULL;
    tap_safetensors_out *file = NULL;
    tap_status status = TAP_OK;
    int64_t largest = 0;
    TAP_TRY_OUT(tap_alloc(&names, n, sizeof *names, "names", err));
    TAP_TRY_OUT(tap_alloc(&tensors, n, sizeof *tensors, "tensors", err));
    for (size_t i = 0; i < n; i++) {
        names[i] = parts[i].raw;
        tensors[i] = parts[i].tensor;
        const int64_t count = tap_tensor_count(&tensors[i]);
        largest = count > largest ? count : largest;
    }
    TAP_TRY_OUT(tap_alloc(&values, (size_t)largest, 8, "values", err));
    TAP_TRY_OUT(tap_safetensors_create(&file, path, (int64_t)n, names, tensors, 1,
                                       (const char *const[]){"format"},
                                       (const char *const[]){"pt"}, err));
    for (size_t i = 0; i < n; i++) {
        const int64_t count = tap_tensor_count(&tensors[i]);
        fill(values, &parts[i], count, seed);
        TAP_TRY_OUT(tap_safetensors_put(file, (int64_t)i, 0, values, count, err));
    }
    TAP_TRY_OUT(tap_safetensors_commit(file, err));
out:
    tap_safetensors_out_close(file);
    tap_free(values);
    tap_free(tensors);
    tap_free(names);
    return status;
}

/* ---- files ---- */

static tap_status write_text(const char *directory, const char *name,
                             const tap_buffer *text, tap_error *err)
{
    char *path = NULL;
    tap_file_out *file = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_path_join(&path, directory, name, err));
    TAP_TRY_OUT(tap_file_create(&file, path, err));
    TAP_TRY_OUT(tap_file_put(file, text->text, text->n_bytes, err));
    TAP_TRY_OUT(tap_file_commit(file, err));
out:
    tap_file_close(file);
    tap_free(path);
    return status;
}

static tap_status write_weights(const char *directory, const tiny_model *o,
                                const part_list *list, tap_error *err)
{
    tap_buffer index = {0};
    tap_status status = TAP_OK;
    const size_t n_shards = (size_t)o->n_shards;
    TAP_TRY_OUT(tap_buffer_print(&index, err, "{\"metadata\": {}, \"weight_map\": {"));
    for (size_t s = 0; s < n_shards; s++) {
        char name[64] = "model.safetensors";
        if (n_shards > 1)
            (void)snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", s + 1,
                           n_shards);
        const size_t first = list->n * s / n_shards, end = list->n * (s + 1) / n_shards;
        char *path = NULL;
        TAP_TRY_OUT(tap_path_join(&path, directory, name, err));
        status = write_shard(path, list->parts + first, end - first, o->seed, err);
        tap_free(path);
        for (size_t i = first; status == TAP_OK && i < end; i++)
            status = tap_buffer_print(&index, err, "%s\n\"%s\": \"%s\"", i ? "," : "",
                                      list->parts[i].raw, name);
        if (status != TAP_OK)
            goto out;
    }
    TAP_TRY_OUT(tap_buffer_print(&index, err, "}}\n"));
    if (n_shards > 1)
        TAP_TRY_OUT(write_text(directory, "model.safetensors.index.json", &index, err));
out:
    tap_buffer_clear(&index);
    return status;
}

static int vocab_rows(const tiny_model *o, int n_ids)
{
    assert(o->d_vocab == 0 || o->d_vocab >= n_ids);
    return o->d_vocab ? o->d_vocab : (n_ids + 63) / 64 * 64;
}

static tap_status print_text_config(tap_buffer *text, const tiny_model *o, int d_vocab,
                                    tap_error *err)
{
    TAP_TRY(tap_buffer_print(
        text, err,
        "  \"text_config\": {\"model_type\": \"llama\", \"hidden_size\": %d,\n"
        "    \"intermediate_size\": %d, \"num_hidden_layers\": %d,\n"
        "    \"num_attention_heads\": %d, \"num_key_value_heads\": %d,\n"
        "    \"rms_norm_eps\": %g, \"max_position_embeddings\": 4096,\n",
        o->lm_d_model, o->lm_d_mlp, o->lm_n_blocks, o->lm_n_heads, o->lm_n_kv_heads,
        o->lm_norm_eps));
    if (o->lm_d_head * o->lm_n_heads != o->lm_d_model)
        TAP_TRY(tap_buffer_print(text, err, "    \"head_dim\": %d,\n", o->lm_d_head));
    TAP_TRY(tap_buffer_print(text, err, "    %s,\n",
                             o->v5_config ? "\"rope_parameters\": {\"rope_theta\": "
                                            "10000.0, \"rope_type\": \"default\"}"
                                          : "\"rope_theta\": 10000.0, "
                                            "\"rope_scaling\": null"));
    return tap_buffer_print(text, err,
                            "    \"tie_word_embeddings\": %s, \"vocab_size\": %d},\n",
                            o->tied_head ? "true" : "false", d_vocab);
}

static tap_status write_config(const char *directory, const tiny_model *o, int n_ids,
                               tap_error *err)
{
    static const char *const dtypes[] = {
        [TAP_F32] = "float32", [TAP_F16] = "float16", [TAP_BF16] = "bfloat16"};
    tap_buffer text = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_buffer_print(
        &text, err,
        "{\n  \"architectures\": [\"LlavaForConditionalGeneration\"],\n"
        "  \"model_type\": \"llava\", \"image_token_index\": %d, \"ignore_index\": "
        "-100,\n  \"projector_hidden_act\": \"gelu\", \"%s\": \"%s\",\n"
        "  \"vision_feature_layer\": -2, \"vision_feature_select_strategy\": "
        "\"default\",\n  \"tie_word_embeddings\": %s,\n",
        n_ids - 1, o->v5_config ? "dtype" : "torch_dtype", dtypes[o->dtype],
        o->tied_head ? "true" : "false"));
    TAP_TRY_OUT(print_text_config(&text, o, vocab_rows(o, n_ids), err));
    TAP_TRY_OUT(tap_buffer_print(
        &text, err,
        "  \"vision_config\": {\"model_type\": \"clip_vision_model\", \"hidden_size\": "
        "%d,\n    \"intermediate_size\": %d, \"num_hidden_layers\": %d,\n"
        "    \"num_attention_heads\": %d, \"patch_size\": %d, \"image_size\": %d}\n}\n",
        o->vision_d_model, o->vision_d_mlp, o->vision_n_blocks, o->vision_n_heads,
        o->patch_px, o->side_px));
    TAP_TRY_OUT(write_text(directory, "config.json", &text, err));
out:
    tap_buffer_clear(&text);
    return status;
}

static tap_status write_processor(const char *directory, const tiny_model *o,
                                  tap_error *err)
{
    tap_buffer text = {0};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_buffer_print(
        &text, err,
        "%s{\"image_processor_type\": \"%s\", \"do_convert_rgb\": true,\n"
        " \"do_resize\": true, \"size\": {\"shortest_edge\": %d}, \"resample\": 3,\n"
        " \"do_center_crop\": true, \"crop_size\": {\"height\": %d, \"width\": %d},\n"
        " %s\"do_rescale\": true, \"rescale_factor\": 0.00392156862745098,\n"
        " \"do_normalize\": true, \"image_mean\": [0.48145466, 0.4578275, "
        "0.40821073],\n"
        " \"image_std\": [0.26862954, 0.26130258, 0.27577711]}%s\n",
        o->v5_config ? "{\"image_processor\": " : "",
        o->pad ? "LlavaImageProcessor" : "CLIPImageProcessor", o->side_px, o->side_px,
        o->side_px, o->pad ? "\"do_pad\": true, " : "",
        o->v5_config ? ", \"patch_size\": 8, \"processor_class\": \"LlavaProcessor\"}"
                     : ""));
    TAP_TRY_OUT(write_text(
        directory, o->v5_config ? "processor_config.json" : "preprocessor_config.json",
        &text, err));
out:
    tap_buffer_clear(&text);
    return status;
}

static tap_status write_small_files(int *n_ids, const char *directory,
                                    const tiny_model *o, tap_error *err)
{
    char *path = NULL;
    TAP_TRY(tap_path_join(&path, directory, "tokenizer.json", err));
    const tap_status status = tiny_tokenizer_write(n_ids, path, err);
    tap_free(path);
    TAP_TRY(status);
    TAP_TRY(write_config(directory, o, *n_ids, err));
    return write_processor(directory, o, err);
}

tap_status tiny_model_write_configs(const char *directory, const tiny_model *o,
                                    tap_error *err)
{
    int n_ids = 0;
    return write_small_files(&n_ids, directory, o, err);
}

tap_status tiny_model_write(const char *directory, const tiny_model *o, tap_error *err)
{
    int n_ids = 0;
    TAP_TRY(write_small_files(&n_ids, directory, o, err));
    part_list list = {.dtype = o->dtype};
    tap_status status = TAP_OK;
    TAP_TRY_OUT(add_vision(&list, o, err));
    TAP_TRY_OUT(add_projector(&list, o, err));
    TAP_TRY_OUT(add_lm(&list, o, vocab_rows(o, n_ids), err));
    TAP_TRY_OUT(write_weights(directory, o, &list, err));
out:
    tap_free(list.parts);
    return status;
}

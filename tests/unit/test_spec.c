/* Configuration files of LLaVA-1.5, old and new, become numbers; a wrong number becomes a
 * sentence with its file and key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/scratch.h"
#include "../support/tiny_model.h"
#include "format/json.h"
#include "model/spec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* As the hub's llava-1.5-7b-hf has it. */
static const char hub_config[] =
    "{\"architectures\": [\"LlavaForConditionalGeneration\"], \"ignore_index\": -100,"
    " \"image_token_index\": 32000, \"model_type\": \"llava\", \"pad_token_id\": 32001,"
    " \"projector_hidden_act\": \"gelu\", \"text_config\": {"
    "   \"_name_or_path\": \"lmsys/vicuna-7b-v1.5\","
    "   \"architectures\": [\"LlamaForCausalLM\"], \"max_position_embeddings\": 4096,"
    "   \"model_type\": \"llama\", \"rms_norm_eps\": 1e-05, \"torch_dtype\": \"float16\","
    "   \"vocab_size\": 32064},"
    " \"tie_word_embeddings\": false, \"torch_dtype\": \"float16\","
    " \"vision_config\": {\"hidden_size\": 1024, \"image_size\": 336,"
    "   \"intermediate_size\": 4096, \"model_type\": \"clip_vision_model\","
    "   \"num_attention_heads\": 16, \"num_hidden_layers\": 24, \"patch_size\": 14,"
    "   \"projection_dim\": 768, \"vocab_size\": 32000},"
    " \"vision_feature_layer\": -2, \"vision_feature_select_strategy\": \"default\"}";

static const char hub_processor[] =
    "{\"crop_size\": {\"height\": 336, \"width\": 336}, \"do_center_crop\": true,"
    " \"do_convert_rgb\": true, \"do_normalize\": true, \"do_rescale\": true,"
    " \"do_resize\": true, \"image_mean\": [0.48145466, 0.4578275, 0.40821073],"
    " \"image_processor_type\": \"CLIPImageProcessor\","
    " \"image_std\": [0.26862954, 0.26130258, 0.27577711], \"resample\": 3,"
    " \"rescale_factor\": 0.00392156862745098, \"size\": {\"shortest_edge\": 336}}";

static json_t *patched(const char *base, const char *patch)
{
    json_t *root = json_loads(base, 0, NULL);
    json_t *more = json_loads(patch, 0, NULL);
    assert_non_null(root);
    assert_non_null(more);
    assert_int_equal(json_object_update_recursive(root, more), 0);
    json_decref(more);
    return root;
}

/* The hub's files with the keys of the patches replaced; null takes a key away. */
static tap_status parse(tap_spec *out, const char *config_patch,
                        const char *processor_patch, tap_error *err)
{
    json_t *config = patched(hub_config, config_patch);
    json_t *processor = patched(hub_processor, processor_patch);
    tap_buffer texts[2] = {{0}, {0}};
    assert_int_equal(tap_json_print(&texts[0], config, err), TAP_OK);
    assert_int_equal(tap_json_print(&texts[1], processor, err), TAP_OK);
    const tap_status status = tap_spec_parse(out, texts[0].text, texts[0].n_bytes,
                                             texts[1].text, texts[1].n_bytes, err);
    tap_buffer_clear(&texts[0]);
    tap_buffer_clear(&texts[1]);
    json_decref(config);
    json_decref(processor);
    return status;
}

static tap_spec good(const char *config_patch, const char *processor_patch)
{
    tap_spec spec = {0};
    tap_error err = {0};
    const tap_status status = parse(&spec, config_patch, processor_patch, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, TAP_OK);
    return spec;
}

static void the_7b_of_the_hub_is_read(void **state)
{
    (void)state;
    const tap_spec s = good("{}", "{}");
    assert_string_equal(s.family, "llava-1.5");
    assert_string_equal(s.prompt,
                        "USER: <image>\nWhat is shown in this image? ASSISTANT:");
    assert_int_equal(s.vision.stack.n_blocks, 24);
    assert_int_equal(s.vision.n_blocks_read, 23);
    assert_int_equal(s.vision.stack.d_model, 1024);
    assert_int_equal(s.vision.stack.n_heads, 16);
    assert_int_equal(s.vision.stack.n_kv_heads, 16);
    assert_int_equal(s.vision.stack.d_head, 64);
    assert_int_equal(s.vision.stack.d_mlp, 4096);
    assert_true(s.vision.stack.norm_eps == 1e-5);
    assert_int_equal(s.vision.stack.act, TAP_ACT_QUICK_GELU);
    assert_int_equal(s.vision.side_px, 336);
    assert_int_equal(s.vision.patch_px, 14);
    assert_true(s.vision.has_cls && s.vision.has_pre_norm && !s.vision.has_post_norm);
    assert_false(s.vision.has_patch_bias || s.vision.keeps_cls);
    assert_int_equal(s.projector_act, TAP_ACT_GELU_ERF);
    assert_true(s.projector_bias);
    assert_int_equal(s.d_projector_in, 1024);
    assert_int_equal(s.lm.stack.n_blocks, 32);
    assert_int_equal(s.lm.stack.d_model, 4096);
    assert_int_equal(s.lm.stack.n_heads, 32);
    assert_int_equal(s.lm.stack.n_kv_heads, 32);
    assert_int_equal(s.lm.stack.d_head, 128);
    assert_int_equal(s.lm.stack.d_mlp, 11008);
    assert_int_equal(s.lm.stack.act, TAP_ACT_SILU);
    assert_true(s.lm.stack.norm_eps == 1e-5);
    assert_int_equal(s.lm.d_vocab, 32064);
    assert_int_equal(s.lm.n_positions, 4096);
    assert_true(s.lm.rope.theta == 10000);
    assert_false(s.lm.tied_head || s.lm.has_qkv_bias);
    assert_int_equal(s.lm.bos_id, 1);
    assert_int_equal(s.lm.eos_id, 2);
    assert_int_equal(s.image_token_id, 32000);
    assert_int_equal(s.preprocess.fit, TAP_FIT_CROP);
    assert_int_equal(s.preprocess.filter, TAP_BICUBIC);
    assert_int_equal(s.preprocess.order, TAP_ORDER_PILLOW_13);
    assert_int_equal(s.preprocess.side_px, 336);
    assert_int_equal(s.preprocess.patch_px, 14);
    assert_true(s.preprocess.rescale == 0.00392156862745098);
    assert_true(s.preprocess.mean[1] == 0.4578275);
    assert_true(s.preprocess.std[2] == 0.27577711);
}

static void the_13b_and_other_spellings_are_read(void **state)
{
    (void)state;
    tap_spec s =
        good("{\"text_config\": {\"hidden_size\": 5120, \"intermediate_size\": 13824,"
             " \"num_hidden_layers\": 40, \"num_attention_heads\": 40,"
             " \"num_key_value_heads\": null, \"rope_scaling\": null,"
             " \"rope_theta\": 5000.0}}",
             "{}");
    assert_int_equal(s.lm.stack.d_model, 5120);
    assert_int_equal(s.lm.stack.n_kv_heads, 40);
    assert_int_equal(s.lm.stack.d_head, 128);
    assert_true(s.lm.rope.theta == 5000);
    /* transformers 5 */
    s = good("{\"image_token_index\": null, \"image_token_id\": 7, \"dtype\": "
             "\"bfloat16\", \"text_config\": {\"rope_parameters\": {\"rope_theta\": "
             "500000, \"rope_type\": \"default\"}, \"head_dim\": 64,"
             " \"num_key_value_heads\": 8, \"eos_token_id\": [9, 10]}}",
             "{}");
    assert_int_equal(s.image_token_id, 7);
    assert_true(s.lm.rope.theta == 500000);
    assert_int_equal(s.lm.stack.d_head, 64);
    assert_int_equal(s.lm.stack.n_kv_heads, 8);
    assert_int_equal(s.lm.eos_id, 9);
    s = good("{\"image_token_index\": null}", "{}");
    assert_int_equal(s.image_token_id, 32000);
    s = good("{\"projector_hidden_act\": \"gelu_pytorch_tanh\", "
             "\"multimodal_projector_bias\": false}",
             "{}");
    assert_int_equal(s.projector_act, TAP_ACT_GELU_TANH);
    assert_false(s.projector_bias);
    assert_true(good("{\"tie_word_embeddings\": true}", "{}").lm.tied_head);
    assert_true(
        good("{\"text_config\": {\"tie_word_embeddings\": true}}", "{}").lm.tied_head);
    s = good("{\"vision_config\": {\"image_size\": [336, 336]}}", "{}");
    assert_int_equal(s.vision.side_px, 336);
}

static void absent_parts_mean_the_defaults_of_their_class(void **state)
{
    (void)state;
    /* No vision_config: the tower LlavaConfig makes; empty: that of CLIPVisionConfig. */
    tap_spec s = good("{\"vision_config\": null}", "{}");
    assert_int_equal(s.vision.stack.n_blocks, 24);
    assert_int_equal(s.vision.side_px, 336);
    const char *empty =
        "{\"model_type\": \"llava\", \"vision_config\": {}, \"text_config\": "
        "{\"vocab_size\": 32064}}";
    const char *processor = "{}";
    tap_error err = {0};
    assert_int_equal(
        tap_spec_parse(&s, empty, strlen(empty), processor, strlen(processor), &err),
        TAP_OK);
    assert_int_equal(s.vision.stack.n_blocks, 12);
    assert_int_equal(s.vision.n_blocks_read, 11);
    assert_int_equal(s.vision.stack.d_model, 768);
    assert_int_equal(s.vision.side_px, 224);
    assert_int_equal(s.vision.patch_px, 32);
    assert_int_equal(s.lm.n_positions, 2048);
    assert_true(s.lm.stack.norm_eps == 1e-6);
    assert_int_equal(s.preprocess.side_px, 224);
    assert_int_equal(s.preprocess.fit, TAP_FIT_CROP);
    assert_true(s.preprocess.mean[0] == 0.48145466);
}

static void the_feature_depth_counts_blocks(void **state)
{
    (void)state;

    static const struct {
        const char *layer;
        int n_blocks_read;
    } cases[] = {{"-1", 24}, {"-2", 23}, {"-25", 0},  {"0", 0},
                 {"11", 11}, {"24", 24}, {"[-2]", 23}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char patch[64];
        (void)snprintf(patch, sizeof patch, "{\"vision_feature_layer\": %s}",
                       cases[i].layer);
        assert_int_equal(good(patch, "{}").vision.n_blocks_read,
                         cases[i].n_blocks_read);
    }
    assert_true(
        good("{\"vision_feature_select_strategy\": \"full\"}", "{}").vision.keeps_cls);
}

static void image_settings_become_one_of_three_fits(void **state)
{
    (void)state;
    tap_spec s = good("{}", "{\"image_processor_type\": \"LlavaImageProcessorFast\", "
                            "\"do_pad\": true, \"do_center_crop\": false}");
    assert_int_equal(s.preprocess.fit, TAP_FIT_PAD);
    assert_int_equal(s.preprocess.pad_rgb[0], 122);
    assert_int_equal(s.preprocess.pad_rgb[1], 116);
    assert_int_equal(s.preprocess.pad_rgb[2], 104);
    s = good("{}", "{\"size\": {\"height\": 336, \"width\": 336, \"shortest_edge\": "
                   "null}}");
    assert_int_equal(s.preprocess.fit, TAP_FIT_SQUASH);
    s = good("{}", "{\"size\": 336, \"crop_size\": 336, \"image_processor_type\": null,"
                   " \"feature_extractor_type\": \"CLIPFeatureExtractor\"}");
    assert_int_equal(s.preprocess.fit, TAP_FIT_CROP);
    assert_int_equal(good("{}", "{\"resample\": 1}").preprocess.filter, TAP_LANCZOS);
    assert_int_equal(good("{}", "{\"resample\": 2}").preprocess.filter, TAP_BILINEAR);
    s = good("{}", "{\"do_normalize\": false, \"do_rescale\": false}");
    assert_true(s.preprocess.rescale == 1 && s.preprocess.mean[0] == 0 &&
                s.preprocess.std[0] == 1);
    assert_int_equal(s.preprocess.pad_rgb[0], 122);
    /* Nested, as transformers 5 writes it. */
    char nested[1024];
    (void)snprintf(nested, sizeof nested,
                   "{\"image_processor\": %s, \"patch_size\": 14}", hub_processor);
    tap_error err = {0};
    assert_int_equal(tap_spec_parse(&s, hub_config, strlen(hub_config), nested,
                                    strlen(nested), &err),
                     TAP_OK);
    assert_int_equal(s.preprocess.side_px, 336);
}

/* xGen-MM: a config of its own, whose absent keys mean SigLIP so400m and 6 blocks. */
#define XGEN_TEXT                                                                      \
    "\"text_config\": {\"model_type\": \"phi3\", \"initial_tokenizer_len\": 32012}"

static tap_status parse_xgen_of(tap_spec *out, const char *type, const char *more,
                                const char *processor, tap_error *err)
{
    char config[512];
    (void)snprintf(config, sizeof config, "{\"model_type\": \"%s\"%s}", type, more);
    return tap_spec_parse(out, config, strlen(config), processor, strlen(processor),
                          err);
}

static tap_status parse_xgen(tap_spec *out, const char *more, const char *processor,
                             tap_error *err)
{
    return parse_xgen_of(out, "xgenmm", more, processor, err);
}

static void xgen_mm_of_the_hub_is_read(void **state)
{
    (void)state;
    static const char processor[] =
        "{\"image_processor_type\": \"Blip3ImageProcessor\", \"size\": [384, 384]}";
    static const char base[] = "{\"image_processor_type\": \"Blip3ImageProcessor\", "
                               "\"size\": [384, 384], \"grids\": null}";
    tap_spec s;
    tap_error err = {0};
    assert_int_equal(parse_xgen(&s, ", " XGEN_TEXT, processor, &err), TAP_OK);
    assert_string_equal(s.family, "xgen-mm");
    assert_int_equal(s.vision.stack.n_blocks, 27);
    assert_int_equal(s.vision.n_blocks_read, 27);
    assert_int_equal(s.vision.stack.d_head, 72);
    assert_true(s.vision.has_post_norm && s.vision.has_patch_bias && !s.vision.has_cls);
    assert_int_equal(s.perceiver.n_latents, 128);
    assert_int_equal(s.perceiver.n_blocks, 6);
    assert_int_equal(s.perceiver.n_heads * s.perceiver.d_head, 1536);
    assert_int_equal(s.perceiver.d_mlp, 4608);
    assert_int_equal(s.lm.d_vocab, 32015);
    assert_int_equal(s.lm.n_table_rows, 32064);
    assert_int_equal(s.image_token_id, 32012);
    assert_string_equal(s.more_words[2], "<|endofchunk|>");
    assert_int_equal(s.preprocess.fit, TAP_FIT_ANYRES);
    assert_int_equal(s.preprocess.n_pinpoints, 5);
    assert_int_equal(s.preprocess.pinpoints[0][0], 768); /* height of [384, 768] */
    assert_int_equal(s.preprocess.pinpoints[3][1], 1152);
    assert_int_equal(parse_xgen(&s, ", " XGEN_TEXT, base, &err), TAP_OK);
    assert_int_equal(s.preprocess.fit, TAP_FIT_SQUASH);

    static const struct {
        const char *config, *processor, *message;
    } wrong[] = {
        {"", processor,
         "cannot read 'config.json': 'text_config.initial_tokenizer_len' is missing, "
         "expected a whole number from 1 to 32064"},
        {", \"vision_encoder_config\": {\"model_name\": \"ViT-H-14-378-quickgelu\"}, " XGEN_TEXT,
         processor,
         "cannot use 'config.json': 'vision_encoder_config.model_name' is "
         "'ViT-H-14-378-quickgelu', expected 'google/siglip-so400m-patch14-384'"},
        {", \"vision_encoder_config\": {\"image_aspect_ratio\": \"pad\"}, " XGEN_TEXT,
         processor,
         "cannot use 'config.json': 'vision_encoder_config' asks for 'pad' with "
         "'anyres_patch_sampling', expected 'anyres' with it"},
        {", \"vision_tokenizer_config\": {\"vis_feature_dim\": 1024}, " XGEN_TEXT,
         processor,
         "cannot read 'config.json': 'vision_tokenizer_config.vis_feature_dim' is 1024, "
         "and the tower's features are 1152 wide"},
        {", " XGEN_TEXT,
         "{\"image_processor_type\": \"Blip3ImageProcessor\", \"size\": [384, 384], "
         "\"grids\": [[384, 700]]}",
         "cannot use 'preprocessor_config.json': entry 0 of 'grids' is not a pair of "
         "multiples of the tile's 384 pixels"},
        {", " XGEN_TEXT,
         "{\"image_processor_type\": \"Blip3ImageProcessor\", \"size\": [384, 384], "
         "\"resize_mode\": \"longest\"}",
         "cannot use 'preprocessor_config.json': 'resize_mode' is 'longest', expected "
         "'squash'"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_true(parse_xgen(&s, wrong[i].config, wrong[i].processor, &err) !=
                    TAP_OK);
        assert_string_equal(err.message, wrong[i].message);
    }
}

/* Version 1: OpenCLIP's ViT-H at 378 px, CLIP's values, five sizes whatever a file says, latents
 * that read 256 tokens; a picture in one tile where the config says "pad". */
static void xgen_mm_version_1_of_the_hub_is_read(void **state)
{
    (void)state;
#define PROCESSOR "{\"image_processor_type\": \"Blip3ImageProcessor\""
    tap_spec s;
    tap_error err = {0};
    assert_int_equal(parse_xgen_of(&s, "blip_3", ", " XGEN_TEXT,
                                   PROCESSOR ", \"grids\": null, \"image_mean\": null}",
                                   &err),
                     TAP_OK);
    assert_string_equal(s.family, "xgen-mm");
    const tap_stack_spec *v = &s.vision.stack;
    assert_int_equal(v->n_blocks, 32);
    assert_int_equal(v->d_model, 1280);
    assert_int_equal(v->n_heads * v->d_head, 1280);
    assert_int_equal(v->d_mlp, 5120);
    assert_int_equal(v->act, TAP_ACT_QUICK_GELU);
    assert_int_equal(tap_vision_rows(&s.vision), 730);
    assert_true(s.vision.has_pre_norm && s.vision.has_post_norm && s.vision.has_cls);
    assert_true(!s.vision.has_patch_bias && !s.vision.keeps_cls);
    assert_int_equal(s.perceiver.n_text, 256);
    assert_true(s.perceiver.sees_padding);
    assert_int_equal(s.perceiver.d_mlp, 5120);
    assert_int_equal(s.preprocess.fit, TAP_FIT_ANYRES);
    assert_int_equal(s.preprocess.side_px, 378);
    assert_int_equal(s.preprocess.n_pinpoints, 5);
    assert_int_equal(s.preprocess.pinpoints[0][0], 756);
    assert_true(fabs(s.preprocess.mean[0] - 0.48145466) < 1e-12);
    assert_true(fabs(s.preprocess.std[2] - 0.27577711) < 1e-12);
    assert_int_equal(
        parse_xgen_of(
            &s, "blip_3",
            ", \"vision_encoder_config\": {\"image_aspect_ratio\": \"pad\", "
            "\"anyres_patch_sampling\": false, \"force_image_size\": 364}, " XGEN_TEXT,
            PROCESSOR ", \"size\": [364, 364], \"image_mean\": "
                      "[0.5, 0.5, 0.5]}",
            &err),
        TAP_OK);
    assert_int_equal(s.preprocess.fit, TAP_FIT_SQUASH);
    assert_int_equal(tap_vision_rows(&s.vision), 677);
    assert_true(fabs(s.preprocess.mean[0] - 0.5) < 1e-12);

    static const struct {
        const char *encoder, *tokenizer, *message;
    } wrong[] = {
        {"\"model_name\": \"ViT-L-14\"", "",
         "cannot use 'config.json': 'vision_encoder_config.model_name' is 'ViT-L-14', "
         "expected 'ViT-H-14-378-quickgelu'"},
        {"\"anyres_patch_sampling\": false", "",
         "cannot use 'config.json': 'vision_encoder_config' asks for 'anyres' without "
         "'anyres_patch_sampling', expected 'anyres' with it or 'pad' without"},
        {"\"image_aspect_ratio\": \"pad\"", "",
         "cannot use 'config.json': 'vision_encoder_config' asks for 'pad' with "
         "'anyres_patch_sampling', expected 'anyres' with it or 'pad' without"},
        {"\"force_image_size\": 13", "",
         "cannot read 'config.json': 'vision_encoder_config.force_image_size' is 13, "
         "expected a whole number from 14 to 16384"},
        {"", "\"repeat_latents\": true",
         "cannot use 'config.json': 'vision_tokenizer_config.repeat_latents' is true, "
         "expected false"},
        {"\"vision_config\": {\"timm_model_name\": \"x\"}", "",
         "cannot use 'config.json': 'vision_encoder_config.vision_config.timm_model_name' "
         "asks for another kind of tower; expected OpenCLIP's own vision transformer"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char more[400];
        (void)snprintf(
            more, sizeof more,
            ", \"vision_encoder_config\": {%s}, \"vision_tokenizer_config\": "
            "{%s}, " XGEN_TEXT,
            wrong[i].encoder, wrong[i].tokenizer);
        assert_true(parse_xgen_of(&s, "blip_3", more, PROCESSOR "}", &err) != TAP_OK);
        assert_string_equal(err.message, wrong[i].message);
    }
#undef PROCESSOR
}

/* Llama-3.1's own numbers: the first pairs turn as ever, the last eight times as slow. */
static void llama_3_scaling_is_read(void **state)
{
    (void)state;
    const tap_spec s = good(
        "{\"text_config\": {\"rope_theta\": 500000, \"rope_scaling\": {\"rope_type\": "
        "\"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
        "\"original_max_position_embeddings\": 8192}}}",
        "{}");
    assert_int_equal(s.lm.rope.n_factors, 64);
    assert_true(s.lm.rope.short_factors[0] == 1 && s.lm.rope.long_factors[28] == 1);
    assert_true(s.lm.rope.short_factors[63] == 8 && s.lm.rope.short_factors[35] == 8);
    /* pair 30: 8192 / (2 pi 500000^(30/64)) = 2.7785 turns */
    const double share = (2.7785 - 1) / 3;
    assert_true(fabs((double)s.lm.rope.short_factors[30] -
                     1 / ((1 - share) / 8 + share)) < 1e-3);
}

typedef struct refusal {
    const char *config, *processor;
    tap_status status;
    const char *message;
} refusal;

static const refusal refusals[] = {
    {"{\"model_type\": \"qwen2_vl\"}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': no family has the model_type found, 'qwen2_vl'; "
     "families: llava-1.5, llava-next, llava-onevision, idefics3, phi-3-vision, "
     "xgen-mm, prismatic, clip, open_clip, siglip"},
    {"{\"model_type\": null}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': it names no 'model_type', so it is not known whose it is; "
     "families: llava-1.5, llava-next, llava-onevision, idefics3, phi-3-vision, xgen-mm, "
     "prismatic, clip, open_clip, siglip"},
    {"{\"model_type\": \"llava_llama\", \"mm_vision_tower\": \"x\"}", "{}",
     TAP_EUNSUPPORTED,
     "cannot use 'config.json': this is the original LLaVA layout ('mm_vision_tower'); "
     "use the converted checkpoint, whose config has 'vision_config' and 'text_config'"},
    {"{\"mm_vision_tower\": \"openai/clip-vit-large-patch14-336\"}", "{}",
     TAP_EUNSUPPORTED,
     "cannot use 'config.json': this is the original LLaVA layout ('mm_vision_tower'); "
     "use the converted checkpoint, whose config has 'vision_config' and 'text_config'"},
    {"{\"text_config\": [1]}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config' is a list of 1, expected an object"},
    {"{\"text_config\": {\"model_type\": \"gemma\"}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'text_config.model_type' is 'gemma', expected a "
     "decoder of class llama, mistral, qwen2 or phi3"},
    {"{\"vision_config\": {\"model_type\": \"siglip_vision_model\"}}", "{}",
     TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'vision_feature_select_strategy' is 'default', which "
     "drops the first patch of a tower without a class token; expected 'full'"},
    {"{\"vision_config\": {\"model_type\": \"dinov2\"}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'vision_config.model_type' is 'dinov2', expected "
     "clip_vision_model, siglip_vision_model, idefics3_vision or smolvlm_vision"},
    {"{\"vision_config\": {\"hidden_size\": 0}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_config.hidden_size' is 0, expected a whole "
     "number from 1 to 1000000"},
    {"{\"vision_config\": {\"num_attention_heads\": 1}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': heads of the encoder are 1024 wide, at most 512 can be "
     "run"},
    {"{\"text_config\": {\"head_dim\": 514}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': heads of the decoder are 514 wide, at most 512 can be "
     "run"},
    {"{\"vision_config\": {\"num_attention_heads\": 7}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_config.hidden_size' is 1024, which "
     "'num_attention_heads' 7 does not divide"},
    {"{\"vision_config\": {\"patch_size\": 16, \"image_size\": 15}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_config.image_size' 15 is below 'patch_size' "
     "16"},
    {"{\"vision_config\": {\"image_size\": [336, 224]}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'vision_config.image_size' is 336 by 224 pixels, "
     "expected a square"},
    {"{\"vision_config\": {\"image_size\": [1e300, 1e300]}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'vision_config.image_size' is 1e+300 by 1e+300 pixels, "
     "expected a square"},
    {"{\"vision_config\": {\"num_channels\": 1}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_config.num_channels' is 1, expected a whole "
     "number from 3 to 3"},
    {"{\"vision_config\": {\"hidden_act\": \"relu\"}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': the activation 'vision_config.hidden_act' is 'relu', "
     "expected quick_gelu, gelu, gelu_pytorch_tanh or silu"},
    {"{\"vision_config\": {\"layer_norm_eps\": -1}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_config.layer_norm_eps' is -1, expected a number "
     "from 0 to 1"},
    {"{\"vision_feature_layer\": [-2, -5]}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'vision_feature_layer' joins 2 states of the tower, "
     "expected one"},
    {"{\"vision_feature_layer\": 25}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_feature_layer' is 25, expected a whole number "
     "from -25 to 24"},
    {"{\"vision_feature_layer\": \"last\"}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_feature_layer' is \"last\", expected a whole "
     "number from -25 to 24"},
    {"{\"vision_feature_select_strategy\": \"cls\"}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'vision_feature_select_strategy' is 'cls', expected "
     "'default' or 'full'"},
    {"{\"text_config\": {\"num_hidden_layers\": 1001}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config.num_hidden_layers' is 1001, expected a "
     "whole number from 1 to 1000"},
    {"{\"text_config\": {\"num_attention_heads\": 33}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config.hidden_size' is 4096, which "
     "'num_attention_heads' 33 does not divide"},
    {"{\"text_config\": {\"num_key_value_heads\": 5}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config.num_attention_heads' is 32, which "
     "'num_key_value_heads' 5 does not divide"},
    {"{\"text_config\": {\"head_dim\": 7}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config.head_dim' is 7, rotation needs an even "
     "one"},
    {"{\"text_config\": {\"head_dim\": 1000000}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config.num_attention_heads' 32 times 'head_dim' "
     "1000000 is above 1000000"},
    {"{\"text_config\": {\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}}",
     "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': rotary scaling 'linear' under 'text_config.rope_scaling' "
     "is not known, expected none, 'default', 'llama3' or 'longrope'"},
    {"{\"text_config\": {\"rope_parameters\": {\"rope_type\": \"yarn\"}}}", "{}",
     TAP_EUNSUPPORTED,
     "cannot use 'config.json': rotary scaling 'yarn' under "
     "'text_config.rope_parameters' is not known, expected none, 'default', 'llama3' or "
     "'longrope'"},
    {"{\"text_config\": {\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
     "\"low_freq_factor\": 4, \"high_freq_factor\": 4, "
     "\"original_max_position_embeddings\": 8192}}}",
     "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'high_freq_factor' 4 of rotary scaling is not above "
     "'low_freq_factor' 4"},
    {"{\"text_config\": {\"partial_rotary_factor\": 0.5}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'text_config.partial_rotary_factor' is 0.5, expected 1 "
     "for this family"},
    {"{\"text_config\": {\"attention_bias\": true}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'text_config.attention_bias' is true, expected false for "
     "this family"},
    {"{\"text_config\": {\"mlp_bias\": true}}", "{}", TAP_EUNSUPPORTED,
     "cannot use 'config.json': 'text_config.mlp_bias' is true, expected false for this "
     "family"},
    {"{\"text_config\": {\"eos_token_id\": [40000]}}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'text_config.eos_token_id' is 40000, expected a whole "
     "number from -1 to 32063"},
    {"{\"image_token_index\": 32064}", "{}", TAP_EFORMAT,
     "cannot read 'config.json': 'image_token_index' is 32064, expected a whole number "
     "from 0 to 32063"},
    {"{}", "{\"image_processor_type\": \"ViTImageProcessor\"}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': the image processor is "
     "'ViTImageProcessor', expected that of CLIP, SigLIP, Llava, LlavaNext, "
     "LlavaOnevision, Idefics3, SmolVLM, Phi3V or Blip3"},
    {"{}", "{\"image_processor_type\": \"LlavaNextImageProcessor\"}", TAP_EFORMAT,
     "cannot use 'preprocessor_config.json': its image processor belongs to another "
     "family than config.json"},
    {"{}", "{\"do_pad\": true}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': 'do_pad' is true for a CLIPImageProcessor; "
     "only LlavaImageProcessor pads to a square"},
    {"{}", "{\"do_resize\": false}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': 'do_resize' is false, expected true"},
    {"{}", "{\"size\": {\"longest_edge\": 600}}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': 'size' limits the longest edge too, "
     "expected \"shortest_edge\" alone"},
    {"{}", "{\"size\": {\"shortest_edge\": null, \"height\": 336}}", TAP_EFORMAT,
     "cannot read 'preprocessor_config.json': 'size.width' is missing, expected a whole "
     "number from 1 to 16384"},
    {"{}", "{\"crop_size\": {\"width\": 224}}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': 'crop_size' is 224 wide and 336 high, "
     "expected a square"},
    {"{}", "{\"size\": {\"shortest_edge\": 400}}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': it resizes to 400 pixels and crops to 336, "
     "expected the same"},
    {"{}", "{\"do_center_crop\": false}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': it neither crops nor pads, so images would "
     "not be square"},
    {"{}", "{\"size\": 224, \"crop_size\": 224}", TAP_EFORMAT,
     "cannot use 'preprocessor_config.json': it makes images of 224 pixels, config.json "
     "expects an 'image_size' of 336; the files belong to different models"},
    {"{}", "{\"resample\": 0}", TAP_EUNSUPPORTED,
     "cannot use 'preprocessor_config.json': 'resample' is 0, expected 1 (Lanczos), 2 "
     "(bilinear) or 3 (bicubic)"},
    {"{}", "{\"image_mean\": [0.5, 0.5]}", TAP_EFORMAT,
     "cannot read 'preprocessor_config.json': 'image_mean' is a list of 2, expected a "
     "list of 3 numbers"},
    {"{}", "{\"image_std\": [0.5, 0, 0.5]}", TAP_EFORMAT,
     "cannot read 'preprocessor_config.json': channel 1 has the mean 0.457827 and the "
     "deviation 0, expected a deviation above 0"},
    {"{}", "{\"image_processor\": 3}", TAP_EFORMAT,
     "cannot read 'preprocessor_config.json': 'image_processor' is 3, expected an "
     "object"},
};

static void wrong_numbers_are_refused_with_file_and_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        tap_spec spec = {.family = "kept"};
        tap_error err = {0};
        const tap_status status =
            parse(&spec, refusals[i].config, refusals[i].processor, &err);
        assert_string_equal(err.message, refusals[i].message);
        assert_int_equal(status, refusals[i].status);
        assert_string_equal(spec.family, "kept");
    }
}

/* ---- directories ---- */

static void a_directory_is_read_old_and_new(void **state)
{
    (void)state;
    for (int v5 = 0; v5 < 2; v5++) {
        char directory[SCRATCH_BYTES];
        scratch_open(directory);
        tiny_model options = tiny_model_default();
        options.v5_config = v5;
        options.pad = true;
        options.tied_head = v5;
        options.lm_d_head = 16;
        tap_spec spec;
        tap_error err = {0};
        assert_int_equal(tiny_model_write_configs(directory, &options, &err), TAP_OK);
        assert_int_equal(tap_spec_read(&spec, directory, &err), TAP_OK);
        assert_int_equal(spec.lm.stack.d_head, 16);
        assert_int_equal(spec.lm.stack.n_kv_heads, 2);
        assert_int_equal(spec.lm.tied_head, v5);
        assert_int_equal(spec.vision.side_px, 32);
        assert_int_equal(spec.preprocess.fit, TAP_FIT_PAD);
        scratch_close(directory);
    }
}

static void expect_unread(const char *directory, tap_status status, const char *front,
                          const char *end)
{
    tap_spec spec;
    tap_error err = {0};
    char message[TAP_ERROR_MESSAGE_BYTES];
    (void)snprintf(message, sizeof message, "%s%s%s", front, directory, end);
    assert_int_equal(tap_spec_read(&spec, directory, &err), status);
    assert_string_equal(err.message, message);
}

static void directories_without_their_files_are_refused(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES];
    scratch_open(directory);
    expect_unread(
        directory, TAP_EIO, "cannot open model '",
        "': it holds no config.json that says what the model is (OpenCLIP: "
        "open_clip_config.json); families: llava-1.5, llava-next, "
        "llava-onevision, idefics3, phi-3-vision, xgen-mm, prismatic, clip, open_clip, "
        "siglip");
    scratch_write_text(directory, "config.json", hub_config);
    expect_unread(
        directory, TAP_EIO, "cannot open model '",
        "': it holds no preprocessor_config.json and no processor_config.json "
        "with an \"image_processor\"");
    scratch_write_text(directory, "processor_config.json", "{\"patch_size\": 14}");
    expect_unread(
        directory, TAP_EIO, "cannot open model '",
        "': it holds no preprocessor_config.json and no processor_config.json "
        "with an \"image_processor\"");
    /* The nested settings win over a preprocessor_config.json, as in transformers. */
    char nested[1024];
    (void)snprintf(nested, sizeof nested, "{\"image_processor\": %s}", hub_processor);
    scratch_write_text(directory, "preprocessor_config.json", "{\"size\": 300}");
    scratch_write_text(directory, "processor_config.json", nested);
    tap_spec spec;
    tap_error err;
    assert_int_equal(tap_spec_read(&spec, directory, &err), TAP_OK);
    scratch_write_text(directory, "processor_config.json", "{\"patch_size\": 14}");
    expect_unread(directory, TAP_EUNSUPPORTED, "cannot use '",
                  "/preprocessor_config.json': it resizes to 300 pixels and crops to "
                  "224, expected the same");
    scratch_close(directory);
    expect_unread("/nowhere", TAP_EIO, "cannot open model '",
                  "': it is not a directory with a config.json");
}

/* The five checkpoints of LLaVA-NeXT by their vocabularies and types. */
static void questions_follow_the_decoder(void **state)
{
    (void)state;

    static const struct {
        const char *text, *chat;
        int image_id;
    } cases[] = {
        {"\"vocab_size\": 32064", "llava_v1", 32000},
        {"\"vocab_size\": 32064, \"model_type\": \"mistral\"", "mistral", 32000},
        {"\"vocab_size\": 128320", "llava-llama-3", 128256},
        {"\"vocab_size\": 64064", "yi", 64000}};

    static const char processor[] =
        "{\"image_processor_type\": \"LlavaNextImageProcessor\","
        " \"image_grid_pinpoints\": [[336, 672], [672, 336]]}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[400];
        (void)snprintf(config, sizeof config,
                       "{\"model_type\": \"llava_next\", \"image_token_index\": %d,"
                       " \"image_grid_pinpoints\": [[336, 672], [672, 336]],"
                       " \"text_config\": {%s}}",
                       cases[i].image_id, cases[i].text);
        const tap_spec s = good(config, processor);
        assert_string_equal(s.chat, cases[i].chat);
        assert_non_null(strstr(s.prompt, "<image>\nWhat is shown in this image?"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_follow_the_decoder),
        cmocka_unit_test(the_7b_of_the_hub_is_read),
        cmocka_unit_test(xgen_mm_of_the_hub_is_read),
        cmocka_unit_test(xgen_mm_version_1_of_the_hub_is_read),
        cmocka_unit_test(llama_3_scaling_is_read),
        cmocka_unit_test(the_13b_and_other_spellings_are_read),
        cmocka_unit_test(absent_parts_mean_the_defaults_of_their_class),
        cmocka_unit_test(the_feature_depth_counts_blocks),
        cmocka_unit_test(image_settings_become_one_of_three_fits),
        cmocka_unit_test(wrong_numbers_are_refused_with_file_and_key),
        cmocka_unit_test(a_directory_is_read_old_and_new),
        cmocka_unit_test(directories_without_their_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

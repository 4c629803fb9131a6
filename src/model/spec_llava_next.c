/* LLaVA-NeXT (LLaVA-1.6): LLaVA-1.5's parts over several tiles of one image. */
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_LLAVA
};

/* clang-format on */

/* The words a question is put in follow the decoder: its type, or the tokenizer that the
 * size of its vocabulary gives away (Llama-3 and Yi; all four are rounded up to 64 rows). */
static tap_status choose_chat(tap_spec *out, const tap_spec_files *files,
                              tap_error *err)
{
    tap_json_at text;
    const char *type = NULL;
    TAP_TRY(tap_json_object(&text, &files->config, "text_config", "text_config.", err));
    TAP_TRY(tap_json_text(&type, &text, "model_type", "llama", err));
    const int64_t n = out->lm.d_vocab;
    const char *chat = strcmp(type, "mistral") == 0 ? "mistral"
                       : strcmp(type, "qwen2") == 0 ? "qwen2"
                       : n >= 128256 && n <= 128512 ? "llava-llama-3"
                       : n >= 64000 && n <= 64256   ? "yi"
                                                    : "llava_v1";
    (void)snprintf(out->chat, sizeof out->chat, "%s", chat);
    return TAP_OK;
}

static tap_status read_llava_next(tap_spec *out, const tap_spec_files *files,
                                  tap_error *err)
{
    static const tap_llava_defaults defaults = {-2, "default", 32000,
                                                "clip_vision_model", "llama"};
    TAP_TRY(tap_spec_read_llava(out, files, &defaults, err));
    if (out->vision.has_cls && out->vision.keeps_cls)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'vision_feature_select_strategy' is 'full', "
                        "and class tokens have no place in a mosaic; expected "
                        "'default'",
                        files->config.path);
    out->lay_out = tap_layout_anyres;
    out->has_newline = true;
    TAP_TRY(choose_chat(out, files, err));
    TAP_TRY(tap_spec_read_image(&out->preprocess, &files->processor,
                                "LlavaNextImageProcessor", &out->vision, err));
    return tap_spec_read_pinpoints(&out->preprocess, files, err);
}

const tap_family tap_family_llava_next = {
    .name = "llava-next",
    .model_types = {"llava_next"},
    .chat = "llava_v1",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_llava_next,
};

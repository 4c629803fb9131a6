/* LLaVA-OneVision: a SigLIP tower over several tiles, their map shrunk where it is large, and
 * a Qwen2 decoder. */
#include "model/layout.h"
#include "model/spec_names.h"
#include "model/spec_parts.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const tap_name_rule names[] = {
    TAP_NAMES_LLAVA
};

/* clang-format on */

/* The N of "anyres_max_N". */
static tap_status read_most(int *out, const tap_json_at *config, tap_error *err)
{
    static const char front[] = "anyres_max_";
    const char *word = NULL;
    TAP_TRY(tap_json_text(&word, config, "vision_aspect_ratio", "anyres_max_9", err));
    const char *digits = word + sizeof front - 1;
    const size_t n =
        strncmp(word, front, sizeof front - 1) == 0 ? strspn(digits, "0123456789") : 0;
    if (n == 0 || n > 4 || digits[n] != '\0' || digits[0] == '0')
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'vision_aspect_ratio' is '%.40s', expected "
                        "'anyres_max_' and a number",
                        config->path, word);
    *out = (int)strtoll(digits, NULL, 10);
    return TAP_OK;
}

static tap_status read_onevision(tap_spec *out, const tap_spec_files *files,
                                 tap_error *err)
{
    static const tap_llava_defaults defaults = {-1, "full", 151646,
                                                "siglip_vision_model", "qwen2"};
    TAP_TRY(tap_spec_read_llava(out, files, &defaults, err));
    if (out->vision.has_cls && out->vision.keeps_cls)
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': 'vision_feature_select_strategy' keeps class "
                        "tokens, which have no place in a mosaic",
                        files->config.path);
    out->lay_out = tap_layout_anyres;
    out->has_newline = true;
    TAP_TRY(read_most(&out->most_tile_areas, &files->config, err));
    TAP_TRY(tap_spec_read_image(&out->preprocess, &files->processor,
                                "LlavaOnevisionImageProcessor", &out->vision, err));
    return tap_spec_read_pinpoints(&out->preprocess, files, err);
}

const tap_family tap_family_llava_onevision = {
    .name = "llava-onevision",
    .model_types = {"llava_onevision"},
    .chat = "llava-onevision",
    .names = names,
    .n_names = sizeof names / sizeof names[0],
    .read = read_onevision,
};

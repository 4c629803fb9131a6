/* The parts that families share: how a tower, a decoder and an image processor are read
 * from their JSON objects. Everything here checks numbers before anybody uses them. */
#ifndef TAP_MODEL_SPEC_PARTS_H
#define TAP_MODEL_SPEC_PARTS_H

#include "format/json.h"
#include "model/spec.h"

/* What a family's reader gets: config.json, and the object with the image processor's
 * settings. */
typedef struct tap_spec_files {
    tap_json_at config, processor;
} tap_spec_files;

/* One family. read fills everything but family, prompt and names. */
typedef struct tap_family {
    const char *name;       /* "llava-1.5" */
    const char *model_type; /* in config.json */
    const char *prompt;     /* the default, "<image>" once */
    const tap_name_rule *names;
    size_t n_names;
    tap_status (*read)(tap_spec *out, const tap_spec_files *files, tap_error *err);
} tap_family;

extern const tap_family tap_family_llava;

/* A tower of class CLIPVisionModel. at->object NULL: the sizes of ViT-L/14 at 336 px, as
 * in LLaVA's own class; keys absent from an object mean the defaults of CLIPVisionConfig.
 * Leaves n_blocks_read and keeps_cls alone. */
TAP_NODISCARD tap_status tap_spec_read_clip(tap_vision_spec *out, const tap_json_at *at,
                                            tap_error *err);

/* A decoder of class LlamaForCausalLM; absent keys mean the defaults of LlamaConfig.
 * Rotary scaling other than "default" is TAP_EUNSUPPORTED. */
TAP_NODISCARD tap_status tap_spec_read_llama(tap_lm_spec *out, const tap_json_at *at,
                                             tap_error *err);

/* Settings of CLIPImageProcessor or LlavaImageProcessor, which must produce the side that
 * the tower expects. */
TAP_NODISCARD tap_status tap_spec_read_image(tap_preprocess_spec *out,
                                             const tap_json_at *at,
                                             const tap_vision_spec *vision,
                                             tap_error *err);

/* An activation by the name that transformers gives it. */
TAP_NODISCARD tap_status tap_spec_read_act(tap_act *out, const tap_json_at *at,
                                           const char *key, const char *absent,
                                           tap_error *err);

/* A whole number that fits an int, as tap_json_int. */
TAP_NODISCARD tap_status tap_spec_read_size(int *out, const tap_json_at *at,
                                            const char *key, int64_t absent, int low,
                                            int high, tap_error *err);

#endif

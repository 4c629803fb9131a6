/* The parts that families share: how a tower, a decoder and an image processor are read
 * from their JSON objects. Everything here checks numbers before anybody uses them. */
#ifndef TAP_MODEL_SPEC_PARTS_H
#define TAP_MODEL_SPEC_PARTS_H

#include "format/json.h"
#include "model/spec.h"

/* What a family's reader gets: config.json, and the object with the image processor's
 * settings (NULL only where the family recognises its own config: it has no such file). */
typedef struct tap_spec_files {
    tap_json_at config, processor;
} tap_spec_files;

/* One family. read fills everything but family, prompt and names; it may choose another
 * chat template than the family's. */
typedef struct tap_family {
    const char *name;           /* "llava-1.5" */
    const char *model_types[2]; /* in config.json; NULL where there is none */
    bool (*recognises)(const tap_json_at *config); /* a config without model_type */
    const char *chat; /* template of its questions (template.h) */
    const tap_name_rule *names;
    size_t n_names;
    tap_status (*read)(tap_spec *out, const tap_spec_files *files, tap_error *err);
} tap_family;

extern const tap_family tap_family_llava, tap_family_llava_next,
    tap_family_llava_onevision, tap_family_idefics3, tap_family_phi3,
    tap_family_prismatic, tap_family_clip, tap_family_open_clip, tap_family_siglip,
    tap_family_xgen;

/* A tower by its model_type (`absent` where the config does not say). at->object NULL: the
 * sizes of ViT-L/14 at 336 px, as in LLaVA's own class; keys absent from an object mean the
 * defaults of its class. Leaves n_blocks_read, keeps_cls and has_post_norm alone. */
TAP_NODISCARD tap_status tap_spec_read_tower(tap_vision_spec *out,
                                             const tap_json_at *at, const char *absent,
                                             tap_error *err);

/* OpenCLIP's own tower by the keys of its vision_cfg; absent ones mean its defaults. Leaves
 * alone what tap_spec_read_tower does. Towers of other kinds are TAP_EUNSUPPORTED. */
TAP_NODISCARD tap_status tap_spec_read_open_tower(tap_vision_spec *out,
                                                  const tap_json_at *at,
                                                  bool quick_gelu, tap_error *err);

/* Patches of a tile can be counted in 32 bits, all tiles together. */
TAP_NODISCARD tap_status tap_spec_check_grid(const tap_vision_spec *vision,
                                             const tap_json_at *at, tap_error *err);

/* A decoder by its model_type: llama, mistral, qwen2, phi3; absent keys mean the defaults of
 * its class. Rotary scaling other than "default" and "longrope" is TAP_EUNSUPPORTED. */
TAP_NODISCARD tap_status tap_spec_read_text(tap_lm_spec *out, const tap_json_at *at,
                                            const char *absent, tap_error *err);

/* What LLaVA's descendants share: tower, feature depth, two maps, decoder, image token.
 * Leaves the preprocessing and lay_out to the family. */
typedef struct tap_llava_defaults {
    int feature_layer;  /* entry of the tower's states, negative from the end */
    const char *select; /* "default" or "full" */
    int64_t image_token_id;
    const char *tower, *text; /* model_type where absent */
} tap_llava_defaults;

TAP_NODISCARD tap_status tap_spec_read_llava(tap_spec *out, const tap_spec_files *files,
                                             const tap_llava_defaults *defaults,
                                             tap_error *err);

/* Settings of an image processor (class `absent` where they do not say), which must produce
 * the side that the tower expects. */
TAP_NODISCARD tap_status tap_spec_read_image(tap_preprocess_spec *out,
                                             const tap_json_at *at, const char *absent,
                                             const tap_vision_spec *vision,
                                             tap_error *err);

/* The processor's fit lies in [low, high], else it belongs to another family. */
TAP_NODISCARD tap_status tap_spec_demand_fit(const tap_preprocess_spec *preprocess,
                                             tap_fit low, tap_fit high,
                                             const tap_json_at *at, tap_error *err);

/* image_grid_pinpoints: [height, width] in px, multiples of the side; the same in both
 * files if both have them. */
TAP_NODISCARD tap_status tap_spec_read_pinpoints(tap_preprocess_spec *out,
                                                 const tap_spec_files *files,
                                                 tap_error *err);

/* The same sizes under another key, which may stand as [width, height]. */
TAP_NODISCARD tap_status tap_spec_read_sizes(tap_preprocess_spec *out,
                                             const tap_json_at *at, const char *key,
                                             bool width_first, tap_error *err);

/* A side given as one number or as a list of two equal ones. */
TAP_NODISCARD tap_status tap_spec_read_square(int *out, const tap_json_at *at,
                                              const char *key, int64_t absent,
                                              tap_error *err);

/* An activation by the name that transformers gives it. */
TAP_NODISCARD tap_status tap_spec_read_act(tap_act *out, const tap_json_at *at,
                                           const char *key, const char *absent,
                                           tap_error *err);

/* A whole number that fits an int, as tap_json_int. */
TAP_NODISCARD tap_status tap_spec_read_size(int *out, const tap_json_at *at,
                                            const char *key, int64_t absent, int low,
                                            int high, tap_error *err);

/* A word that must be the one that is known (which also stands for an absent one): another is
 * TAP_EUNSUPPORTED, named with its place. */
TAP_NODISCARD tap_status tap_spec_demand_word(const tap_json_at *at, const char *key,
                                              const char *known, tap_error *err);

#endif

/* What a model is, as numbers: sizes and conventions read from its configuration files.
 *
 * A family fills one tap_spec; nothing to the right of this room asks which family it is.
 * What differs between families beyond numbers is a function that the family puts here
 * (lay_out, expand) or a choice from a table (fit, prompt_kind). */
#ifndef TAP_MODEL_SPEC_H
#define TAP_MODEL_SPEC_H

#include "format/weights.h"
#include "hook/plan.h"
#include "image/preprocess.h"
#include "tensor/kernels.h"

typedef struct tap_stack_spec {
    int n_blocks; /* blocks stored in the checkpoint; 0: the model has no such stack */
    int d_model, n_heads, n_kv_heads, d_head, d_mlp;
    double norm_eps;
    tap_act act;
} tap_stack_spec;

typedef struct tap_vision_spec {
    tap_stack_spec stack;
    int side_px,
        patch_px;       /* grid = side / patch, square; pixels left over are unused */
    bool has_cls;       /* row 0 of each tile is CLS */
    bool has_pre_norm;  /* CLIP: a norm after the position table */
    bool has_post_norm; /* applied to the feature state */
    bool has_patch_bias;
    int n_blocks_read; /* the feature is depth n_blocks_read: LLaVA-1.5 stores 24, reads 23 */
    bool keeps_cls; /* feature select strategy "full": CLS is a feature row too */
} tap_vision_spec;

enum { TAP_MAX_ROPE_PAIRS = 256 };

/* Angles: position / (factor[i] theta^(2i/d)); cos and sin are multiplied by `gain`. */
typedef struct tap_rope_spec {
    double theta;
    int n_factors;             /* 0: all factors are 1; else d_head / 2 */
    int64_t n_short_positions; /* longer sequences take the long factors */
    float short_factors[TAP_MAX_ROPE_PAIRS], long_factors[TAP_MAX_ROPE_PAIRS];
    float gain;
} tap_rope_spec;

typedef struct tap_lm_spec {
    tap_stack_spec stack;
    int64_t d_vocab;
    tap_rope_spec rope;
    int64_t n_positions; /* most tokens of a sequence */
    int64_t window; /* keys that a query may look back on; longer texts are refused */
    int64_t n_more_words; /* the last words of the vocabulary have tables of their own,
                             lm.more_embed and lm.more_head; 0: one table for all */
    int64_t n_table_rows; /* then, rows of lm.embed and lm.head in the file */
    bool has_head_bias;   /* a number is added to each word's logit */
    bool tied_head;
    bool head_may_be_tied; /* tied if the file holds no head */
    bool has_qkv_bias;     /* Qwen2 */
    int32_t bos_id, eos_id;
} tap_lm_spec;

/* The longest text of the decoder. */
static inline int64_t tap_lm_longest(const tap_lm_spec *lm)
{
    return lm->n_positions < lm->window ? lm->n_positions : lm->window;
}

/* Learned queries that read the features of a group of patches: `n_latents` rows of the
 * projector's output for each group, whatever it shows. They stand for no patch. */
typedef struct tap_perceiver_spec {
    int n_latents; /* 0: no perceiver */
    int n_blocks, n_heads, d_head, d_mlp;
    int n_text; /* so many first tokens of the prompt, the image as one, go through the
                   blocks beside the latents of each group: what the image tokens are
                   depends on the question; 0: none */
    bool sees_padding; /* features of padding are keys too */
} tap_perceiver_spec;

/* How image rows come into the text. */
typedef enum tap_prompt_kind {
    TAP_PROMPT_TOKEN,    /* the image token stands in the vocabulary and is repeated */
    TAP_PROMPT_CHUNKS,   /* text before and after is tokenised on its own, BOS each */
    TAP_PROMPT_AFTER_BOS /* rows follow the first token; the text does not mention them */
} tap_prompt_kind;

typedef struct tap_spec tap_spec;
typedef struct tap_layout tap_layout; /* model/layout.h */

struct tap_spec {
    char family[32]; /* "llava-1.5" */
    tap_vision_spec vision;
    int merge;           /* merge x merge features become one row of the projector */
    bool gathers_first;  /* newlines and separators are rows of the projector's input */
    bool has_newline;    /* a learned vector: projector.newline */
    bool has_separator;  /* a learned vector: projector.separator */
    int most_tile_areas; /* anyres_max_N: larger maps are shrunk; 0: never */
    tap_perceiver_spec perceiver;
    int n_projector_maps; /* linear, an activation between them */
    tap_act projector_act;
    bool projector_bias;
    int d_projector_in;  /* vision d_model times merge^2 */
    int d_projector_out; /* decoder d_model; of a bare encoder: the joint space */
    tap_lm_spec lm;
    int32_t image_token_id;
    tap_preprocess_spec preprocess;
    tap_prompt_kind prompt_kind;
    /* Words that the model's own code adds to its tokenizer, the last of the vocabulary:
     * [lm.n_more_words]. */
    const char *const *more_words;
    char image_text[32]; /* how the image token is spelled; "<image>" in most */
    char edge_text[32];  /* token at both ends of an image's block of text, or "" */
    char chat[32];       /* chat template of this checkpoint's questions (template.h) */
    char prompt[1024];   /* the default question in it; holds "<image>" once */
    /* The rows that an image gives the decoder, in order (layout.h). */
    tap_status (*lay_out)(tap_layout *out, const tap_spec *spec,
                          const tap_geometry *geometry, tap_error *err);
    /* The text that stands for an image, holding the image token once per row; NULL: the
     * image token alone. */
    tap_status (*expand)(char **out, const tap_spec *spec, const tap_layout *layout,
                         const tap_geometry *geometry, tap_error *err);
    const tap_name_rule *names; /* raw tensor names to canonical ones */
    size_t n_names;
};

/* Patches along a side of a tile; rows of one tile in the vision stack. */
static inline int64_t tap_vision_side(const tap_vision_spec *vision)
{
    return vision->side_px / vision->patch_px;
}

static inline int64_t tap_vision_rows(const tap_vision_spec *vision)
{
    return vision->has_cls + tap_vision_side(vision) * tap_vision_side(vision);
}

/* Rows of one tile that are features: CLS only where the family keeps it. */
static inline int64_t tap_vision_features(const tap_vision_spec *vision)
{
    return tap_vision_rows(vision) - (vision->has_cls && !vision->keeps_cls);
}

/* Reads config.json and preprocessor_config.json (or processor_config.json) of a model
 * directory. Every number is checked against limits before use. TAP_EUNSUPPORTED names
 * what was found and which families exist. */
TAP_NODISCARD tap_status tap_spec_read(tap_spec *out, const char *directory,
                                       tap_error *err);

/* The sizes that a condition's plan is compiled against. */
void tap_spec_plan_sizes(tap_plan_sizes *out, const tap_spec *spec);

/* The same from the texts of the two files, for tests and fuzzing. */
TAP_NODISCARD tap_status tap_spec_parse(tap_spec *out, const char *config,
                                        size_t n_config, const char *processor,
                                        size_t n_processor, tap_error *err);

#endif

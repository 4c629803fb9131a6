/* A model: its numbers, its weights by place, its tokenizer. Immutable once open, shared by
 * any number of runs and threads. */
#ifndef TAP_MODEL_MODEL_H
#define TAP_MODEL_MODEL_H

#include "format/tokenizer.h"
#include "model/spec.h"

/* A linear map or a norm: bias.bytes is NULL where there is none. */
typedef struct tap_affine {
    tap_tensor weight, bias;
} tap_affine;

/* NULL where there is none, as the kernels take it. */
static inline const tap_tensor *tap_affine_bias(const tap_affine *affine)
{
    return affine->bias.bytes ? &affine->bias : NULL;
}

/* One transformer block of either stack. */
typedef struct tap_block_weights {
    tap_affine attn_norm;  /* [d_model] */
    tap_affine q, k, v, o; /* [n_heads d_head][d_model], o transposed in shape */
    tap_affine mlp_norm;   /* [d_model] */
    tap_affine gate;       /* [d_mlp][d_model], decoder only */
    tap_affine up;         /* [d_mlp][d_model] */
    tap_affine down;       /* [d_model][d_mlp] */
} tap_block_weights;

/* One block of a perceiver. */
typedef struct tap_perceiver_weights {
    tap_affine norm_media, norm_latents; /* [d] */
    tap_affine q;                        /* [n_heads d_head][d] */
    tap_affine kv;                       /* [2 n_heads d_head][d]: keys, then values */
    tap_affine o;                        /* [d][n_heads d_head] */
    tap_affine norm, up, down;           /* [d], [d_mlp][d], [d][d_mlp] */
} tap_perceiver_weights;

enum { TAP_MAX_MAPS = 2 };

struct tap_model {
    tap_spec spec;
    tap_weights *weights;
    tap_tokenizer *tokenizer;           /* NULL without a decoder */
    tap_tensor class_embed;             /* [d] or no bytes */
    tap_affine patch_embed;             /* [d][3][patch][patch] */
    tap_tensor pos_embed;               /* [cls + patches][d] */
    tap_affine pre_norm, post_norm;     /* [d] */
    tap_block_weights *vision_blocks;   /* [n_blocks_read] */
    tap_affine projector[TAP_MAX_MAPS]; /* [d_out][d_in], then [d_out][d_out] */
    tap_tensor latents;                 /* [n_latents][d] */
    tap_perceiver_weights *perceiver;   /* [n_blocks] */
    tap_affine perceiver_norm;          /* [d] */
    tap_affine text_maps[2];            /* of tokens to latents: [d][d_lm], [d][d] */
    float *turned; /* projector[0], where the file has it [d_in][d_out] */
    tap_tensor newline, separator; /* [d_out], or [d_in] where gathered first */
    tap_tensor embed;              /* [d_vocab][d_lm] */
    tap_block_weights *lm_blocks;  /* [n_blocks] */
    tap_affine final_norm;         /* [d_lm] */
    tap_tensor head;               /* [d_vocab][d_lm]; embed when tied */
    tap_tensor head_bias;          /* [d_vocab] or no bytes */
    void *joined[3];     /* embed, head and head_bias where two tables are one */
    size_t copied_bytes; /* of turned and joined */
};

/* TAP_EUNSUPPORTED if the model is an encoder alone: it has no words. */
TAP_NODISCARD tap_status tap_model_demand_decoder(const tap_model *model,
                                                  tap_error *err);

/* TAP_EUNSUPPORTED if the decoder's image tokens stand for no patch (a perceiver made
 * them), so that `what` ("the ranks at a part's patches") has no meaning. */
TAP_NODISCARD tap_status tap_model_demand_places(const tap_model *model,
                                                 const char *what, tap_error *err);

/* Bytes beside the mapped weights: tables that are kept as copies because the file holds
 * them in two pieces or turned. */
size_t tap_model_copied_bytes(const tap_model *model);

/* Adds the words that the model's own code adds to its tokenizer. */
TAP_NODISCARD tap_status tap_model_add_words(tap_tokenizer *tokenizer,
                                             const tap_spec *spec, tap_error *err);

/* tap_model_open and tap_model_close are public: tapetum.h. */

#endif

/* What are the places in a run called?
 *
 * One table makes the enum, the names users type, the documentation and the self-test. A
 * name is STACK.BLOCK.SITE inside blocks and STACK.SITE outside. A block does work
 * (0 ... n - 1), a depth is a state (0 ... n): lm.depth.D is another name for lm.D.resid_pre,
 * and for lm.(n-1).resid_post when D = n.
 *
 * This room knows names and shapes, not models: block counts are told to the parser. */
#ifndef TAP_HOOK_SITE_H
#define TAP_HOOK_SITE_H

#include "hook/groups.h"

/* What may be done at a site beside reading it. */
typedef enum tap_site_use {
    TAP_SITE_READ, /* read only */
    TAP_SITE_EDIT, /* rows are tokens: state edits */
    TAP_SITE_HEADS /* the same, and columns are heads */
} tap_site_use;

/* X(enum word, name, in vision, in lm, per block, use, shape, meaning), in the order in
 * which a run meets them. Names with a dot belong to no block. */
#define TAP_SITES(X)                                                                   \
    X(PIXELS, "vision.pixels", 1, 0, 0, EDIT, "[n_tiles][3][side][side]",              \
      "normalised pixels that the vision encoder sees; the rows of an edit are "       \
      "patches, [n_patches][3][patch][patch]")                                         \
    X(PATCH_EMBED, "vision.patch_embed", 1, 0, 0, EDIT, "[n_tok][d_model]",            \
      "patch embeddings (CLS first), before positions are added")                      \
    X(PRE_NORM, "vision.pre_norm", 1, 0, 0, EDIT, "[n_tok][d_model]",                  \
      "after positions and, where the model has it, the norm before block 0")          \
    X(EMBED, "lm.embed", 0, 1, 0, EDIT, "[n_tok][d_model]",                            \
      "token embeddings, image rows from the projector")                               \
    X(RESID_PRE, "resid_pre", 1, 1, 1, EDIT, "[n_tok][d_model]",                       \
      "residual stream that enters the block: depth b")                                \
    X(ATTN_IN, "attn_in", 1, 1, 1, EDIT, "[n_tok][d_model]",                           \
      "input of attention, after norm and gain")                                       \
    X(Q, "q", 1, 1, 1, HEADS, "[n_tok][n_heads * d_head]", "queries, after rotation")  \
    X(K, "k", 1, 1, 1, HEADS, "[n_tok][n_kv_heads * d_head]", "keys, after rotation")  \
    X(V, "v", 1, 1, 1, HEADS, "[n_tok][n_kv_heads * d_head]", "values")                \
    X(SCORES, "scores", 1, 1, 1, READ, "[n_heads][n_tok][n_tok]",                      \
      "scaled scores before softmax and before cuts; -inf where the model itself "     \
      "allows no edge")                                                                \
    X(PATTERN, "pattern", 1, 1, 1, READ, "[n_heads][n_tok][n_tok]",                    \
      "attention weights as used, cuts included")                                      \
    X(Z, "z", 1, 1, 1, HEADS, "[n_tok][n_heads * d_head]",                             \
      "output of each head, before the output matrix")                                 \
    X(ATTN_OUT, "attn_out", 1, 1, 1, EDIT, "[n_tok][d_model]",                         \
      "output of attention, as added to the residual stream")                          \
    X(RESID_MID, "resid_mid", 1, 1, 1, EDIT, "[n_tok][d_model]",                       \
      "residual stream between attention and MLP")                                     \
    X(MLP_IN, "mlp_in", 1, 1, 1, EDIT, "[n_tok][d_model]",                             \
      "input of the MLP, after norm and gain")                                         \
    X(MLP_ACT, "mlp_act", 1, 1, 1, EDIT, "[n_tok][d_mlp]",                             \
      "hidden units of the MLP, before its output matrix")                             \
    X(MLP_OUT, "mlp_out", 1, 1, 1, EDIT, "[n_tok][d_model]",                           \
      "output of the MLP, as added to the residual stream")                            \
    X(RESID_POST, "resid_post", 1, 1, 1, EDIT, "[n_tok][d_model]",                     \
      "residual stream that leaves the block: depth b + 1")                            \
    X(POST_NORM, "vision.post_norm", 1, 0, 0, READ, "[n_tok][d_model]",                \
      "norm after the last vision block, where the model has it")                      \
    X(FEATURES, "vision.features", 1, 0, 0, EDIT, "[n_feat][d_model]",                 \
      "rows of the state that the language model reads")                               \
    X(PROJECTOR_IN, "projector.in", 1, 0, 0, EDIT, "[n_feat][d_projector_in]",         \
      "input of the projector, after merging of patches")                              \
    X(PROJECTOR_OUT, "projector.out", 1, 0, 0, EDIT, "[n_feat][d_lm]",                 \
      "output of the projector")                                                       \
    X(FINAL_NORM, "lm.final_norm", 0, 1, 0, READ, "[n_tok][d_model]",                  \
      "last state after the final norm")                                               \
    X(LOGITS, "lm.logits", 0, 1, 0, READ, "[n_rows][d_vocab]",                         \
      "final norm times the output matrix; the last row unless more are asked for")

typedef enum tap_site {

#define X(word, name, vision, lm, per_block, use, shape, meaning) TAP_SITE_##word,
    TAP_SITES(X)
#undef X
        TAP_N_SITES
} tap_site;

typedef struct tap_site_info {
    const char *name; /* "resid_pre", "vision.pixels" */
    bool in[TAP_N_STACKS];
    bool per_block;
    tap_site_use use;
    const char *shape, *meaning;
} tap_site_info;

/* Never NULL; static. */
const tap_site_info *tap_site_about(tap_site site);

/* "vision", "lm". */
const char *tap_stack_name(tap_stack stack);

enum { TAP_SITE_NAME_BYTES = 48 };

/* One place, under the name it was asked for. */
typedef struct tap_place {
    tap_site site;
    tap_stack stack;                /* TAP_VISION for the projector's sites too */
    int block;                      /* -1 outside blocks */
    char name[TAP_SITE_NAME_BYTES]; /* "lm.10.resid_post", "lm.depth.11", "lm.embed" */
} tap_place;

/* Parses a comma-separated list of names; BLOCK and D may be a number, a range 4-11, 4-,
 * -11, `last`, or `*` for all. Places come in the order asked for, each name once.
 * n_blocks [TAP_N_STACKS]. *places is released with tap_free.
 *
 * Errors: TAP_EINVAL with the word, its column and the nearest valid word; a block that
 *         does not exist with the number of blocks.
 * Memory: O(places).  Threads: safe.  Checked: test_site.c. */
TAP_NODISCARD tap_status tap_site_parse(tap_place **places, int64_t *n_places,
                                        const char *text, const int *n_blocks,
                                        tap_error *err);

/* The site that `word` names for a state edit inside blocks or outside ("resid_pre", "z",
 * "embed", "out" of the projector); false if there is none. `projector` selects the
 * projector's own sites, else those of the stack. */
bool tap_site_find(tap_site *site, tap_stack stack, bool projector, const char *word);

/* The valid word nearest to `word` among those tap_site_find knows; NULL if none is near. */
const char *tap_site_nearest(tap_stack stack, bool projector, const char *word);

#endif

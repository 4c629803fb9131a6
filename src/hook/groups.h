/* Named sets of tokens, on the vision grid and on the decoder's sequence.
 *
 * This room only knows tokens as places: a role, a tile, a row and a column. Who fills the
 * sets (masks, text) is decided further right, in read/group. */
#ifndef TAP_HOOK_GROUPS_H
#define TAP_HOOK_GROUPS_H

#include "base/error.h"
#include "tensor/bits.h"

typedef enum tap_stack { TAP_VISION, TAP_LM, TAP_N_STACKS } tap_stack;

typedef enum tap_role {
    TAP_ROLE_CLS,
    TAP_ROLE_BOS,
    TAP_ROLE_PREFIX, /* template text before the image, BOS apart */
    TAP_ROLE_PATCH, /* stands for one or several patches, or (row -1) was made of all that
                         its group shows: the group `image` */
    TAP_ROLE_ROW_END, /* newline token after a row of patches */
    TAP_ROLE_SEPARATOR,
    TAP_ROLE_PAD,
    TAP_ROLE_QUESTION, /* text after the image */
    TAP_ROLE_GEN       /* generated */
} tap_role;

typedef struct tap_token {
    tap_role role;
    int tile, row, col; /* place on the grid; -1 where there is none */
    bool thumb;         /* belongs to the thumbnail (whole-image) tile */
    int32_t feature; /* lm: row of projector output; vision: patch index; -1 if none */
} tap_token;

/* The sets of one stack: [n_tok] tokens in order, and named bit sets over them. */
typedef struct tap_group_set {
    int64_t n_tok;
    int64_t segment; /* tokens that attend to one another (a tile); 0: all of them */
    const tap_token *tokens; /* borrowed */
    int n_names;
    const char **names;  /* [n_names] */
    uint64_t **members;  /* [n_names][n_words] */
    const char **pieces; /* [n_tok] text of each token for span("..."), NULL entries:
                            not text; NULL: the stack has no text */
} tap_group_set;

/* Who says how much the next word depends on each image token, for intgrad(n,"word"):
 * read/intgrad. *scores [n_tok] of the decoder stay the owner's. */
typedef struct tap_group_scorer {
    void *owner;
    tap_status (*score)(void *owner, const double **scores, const char *word,
                        tap_error *err);
} tap_group_scorer;

enum { TAP_ROW_MIXED = -2 };

typedef struct tap_groups {
    tap_group_set stacks[TAP_N_STACKS];
    uint64_t key; /* of the image: one seed draws other tokens in other images */
    /* the row of the projector that each decoder token is: [n_tok of TAP_LM]; -1: none,
     * TAP_ROW_MIXED: made of several rows; NULL: that of its feature */
    int32_t *projector_rows;
    int64_t n_projector_rows;       /* rows that enter and leave the projector */
    const tap_group_scorer *scorer; /* borrowed; NULL: no intgrad here */
} tap_groups;

#endif

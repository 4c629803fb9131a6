/* Condition text becomes, per stack and block, the edges to cut and the states to edit.
 *
 * Text is parsed without knowing any model (tap_condition); compiled against the sizes of a
 * model and the groups of one image (tap_plan) before any arithmetic. The grammar stands in
 * docs/conditions.md. */
#ifndef TAP_HOOK_PLAN_H
#define TAP_HOOK_PLAN_H

#include "hook/edit.h"
#include "hook/groups.h"
#include "tensor/kernels.h"

typedef struct tap_condition tap_condition; /* parsed text */
typedef struct tap_plan tap_plan;

/* Parses condition text ("" is the clean condition), named conditions expanded. The message
 * of an error names the word, its place (1-based column) and the nearest valid word. */
TAP_NODISCARD tap_status tap_condition_parse(tap_condition **out, const char *text,
                                             tap_error *err);
void tap_condition_free(tap_condition *condition);
/* *text = the canonical spelling (tap_free): parses to the same condition again. */
TAP_NODISCARD tap_status tap_condition_print(char **text,
                                             const tap_condition *condition,
                                             tap_error *err);
/* bits [n_words] = the members of a group expression alone, "part|last", over the tokens of
 * a stack; zero on entry. Errors as of a condition with that text. */
TAP_NODISCARD tap_status tap_group_bits(uint64_t *bits, const char *text,
                                        tap_stack stack, const tap_groups *groups,
                                        tap_error *err);

/* Whether the condition takes states from another picture: patch(image "PATH"). */
bool tap_condition_has_picture(const tap_condition *condition);
/* Whether the condition names this group anywhere: "reg" needs a clean run first. */
bool tap_condition_names(const tap_condition *condition, const char *group);
/* Whether every atom acts inside the vision encoder. */
bool tap_condition_is_of_encoder(const tap_condition *condition);

/* Conditions of the same batch and image that patch(NAME) may take states from. NAME is a
 * name of the list; "clean" is always known. Borrowed; plans must outlive the new plan. */
typedef struct tap_plan_runs {
    const char *const *names;     /* [n] */
    const tap_plan *const *plans; /* [n] */
    int64_t n;
} tap_plan_runs;

/* Rows of a place that a plan takes from another picture's run. */
typedef struct tap_picture_rows {
    const char *path; /* of the picture */
    tap_site site;
    tap_stack stack;
    int block;           /* -1 outside blocks */
    const int32_t *rows; /* [n_rows] rows of the site, ascending */
    int64_t n_rows, d;
    const tap_groups *groups; /* of the picture that the plan is for */
} tap_picture_rows;

/* Who has the states of other pictures, for patch(image "PATH"): read/pictures. Asked while
 * a plan is compiled; *values [n_rows][d] stays the owner's and is filled before the plan
 * is run, *key says which pixels they come from.
 * Errors: TAP_EINVAL where the two pictures' tokens stand differently. */
typedef struct tap_plan_pictures {
    void *owner;
    tap_status (*want)(void *owner, const float **values, uint64_t *key,
                       const tap_picture_rows *rows, tap_error *err);
} tap_plan_pictures;

/* What a plan is compiled against; tap_spec_plan_sizes (model/spec.h) fills it. */
typedef struct tap_plan_sizes {
    int n_blocks[TAP_N_STACKS]; /* blocks that exist (vision: also those not read) */
    int n_heads[TAP_N_STACKS], n_kv_heads[TAP_N_STACKS];
    int d_model[TAP_N_STACKS], d_head[TAP_N_STACKS], d_mlp[TAP_N_STACKS];
    int d_projector_in, d_projector_out;
    int d_patch; /* pixels of a patch, in three channels */
    bool causal[TAP_N_STACKS];
    bool keeps_cls;            /* CLS is a row of vision.features */
    const tap_plan_runs *runs; /* NULL: none */
    const char
        *beside; /* files that conditions name are relative to this file's folder;
                           NULL: to the working directory */
    const tap_plan_pictures *pictures; /* NULL: patch(image "PATH") is refused */
} tap_plan_sizes;

typedef struct tap_block_plan {
    uint64_t hash; /* 0: nothing happens in this block; equal effect = equal hash */
    const tap_edges *edges; /* NULL: none */
    const tap_edit *edits;  /* [n_edits] */
    int n_edits;
    int64_t rows_kept_self; /* query rows that `empty self` left with themselves */
} tap_block_plan;

enum { TAP_PLAN_EDITS = 256 }; /* most edits of one block */

/* Sites outside blocks, by the stage in which they are met. */
typedef enum tap_stage {
    TAP_STAGE_VISION,    /* vision.pixels, vision.patch_embed, vision.pre_norm */
    TAP_STAGE_PROJECTOR, /* vision.features, projector.in, projector.out */
    TAP_STAGE_EMBED,     /* lm.embed */
    TAP_N_STAGES
} tap_stage;

/* The stage of a site outside blocks. */
tap_stage tap_site_stage(tap_site site);

struct tap_plan {
    tap_block_plan *blocks[TAP_N_STACKS]; /* [n_blocks] each */
    int n_blocks[TAP_N_STACKS];
    tap_block_plan once[TAP_N_STAGES]; /* edits only */
    uint64_t
        *rows_read[TAP_N_STACKS]; /* token rows that edits read, as bits; NULL: none */
    bool uses_reg;                /* `reg` was found by a clean run of this image */
};

/* Compiles for one image. Checks every block, head, group and site, files and their sizes,
 * that no token takes two edits at a site and that no query row is left without a key
 * unless the condition declares what then happens.
 * Errors: TAP_EINVAL with the text, the column and the word; TAP_EIO, TAP_EFORMAT of the
 *         files of steer, project_out and patch. */
TAP_NODISCARD tap_status tap_plan_compile(tap_plan **out,
                                          const tap_condition *condition,
                                          const tap_groups *groups,
                                          const tap_plan_sizes *sizes, tap_error *err);
void tap_plan_free(tap_plan *plan);

/* Equal effect everywhere. NULL is the clean plan. */
bool tap_plan_equal(const tap_plan *a, const tap_plan *b);
/* Whether nothing is changed anywhere. */
bool tap_plan_is_clean(const tap_plan *plan);

#endif

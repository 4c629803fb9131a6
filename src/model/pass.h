/* One stack on its way through a run: the room that vision.c, projector.c and lm.c share.
 *
 * A pass holds the states at one depth and works through a block group by group. Spans say
 * which rows of the current buffers belong to which image and conditions; tap_pass_at is
 * the place where a site is edited and handed to the sink. */
#ifndef TAP_MODEL_PASS_H
#define TAP_MODEL_PASS_H

#include "base/memory.h"
#include "hook/tree.h"
#include "model/run.h"

/* Rows of a sequence that are computed, the others are not. */
typedef struct tap_row_set {
    int64_t n;
    const int64_t *rows; /* [n] places in the sequence, ascending; NULL: the first n */
    const int32_t *place_of; /* [tap_job_rows] index in rows, -1: none; NULL as rows */
} tap_row_set;

/* Rows first .. first + n of a sequence, from values that hold those of the set: to [n][d].
 * Rows that were not computed are NaN, so they cannot be read by mistake. The set is not
 * all rows. */
void tap_spread_rows(float *to, const tap_row_set *set, int64_t first, int64_t n,
                     const float *values, int64_t d);

/* Rows of one state in the current buffer. */
typedef struct tap_span {
    int64_t item;
    const int64_t *lanes; /* [n_lanes]: lane = item * n_conditions + condition */
    int64_t n_lanes;
    int64_t row, n_rows;    /* in the current buffer */
    int64_t first_position; /* place of the first row in the sequence; without a set */
    const tap_row_set *needs; /* which rows these are; NULL: one after the other */
} tap_span;

/* The place in the sequence of row r of a span. */
static inline int64_t tap_span_place(const tap_span *span, int64_t r)
{
    return span->needs && span->needs->rows ? span->needs->rows[r]
                                            : span->first_position + r;
}

enum { TAP_GROUP_ROWS = 2048 }; /* default: rows that go through a block at once */

typedef struct tap_needs tap_needs; /* rows.c */

/* What all passes of a run share. */
typedef struct tap_job {
    const tap_model *model;
    const tap_kernels *kernels;
    tap_workspace work;
    tap_arena arena;
    const tap_item *items;
    int64_t n_items, n_conditions;
    const tap_run_options *options;
    const tap_sink *sink;
    tap_receipts *receipts;  /* may be NULL */
    int depth[TAP_N_STACKS]; /* blocks to run */
    bool edits;              /* some plan edits states */
    tap_needs *needs;        /* which rows are computed; NULL: all */
    int64_t n_asked; /* conditions of the caller; more lanes are run beside them */
    int32_t *condition_of; /* [n_items][n_conditions] the caller's condition of a lane,
                                -1: none; NULL: lane = condition */
    int64_t *least_rows;   /* [n_items] decoder rows up to the last that edits read, or
                            NULL */
    tap_item *own_items;   /* [n_items] when lanes were added or sorted */
    const tap_plan **own_plans; /* [n_items][n_conditions] */
    int32_t *conditions;        /* [n_conditions] scratch for tap_state */
    double flop_done;
} tap_job;

/* Rows that a lane reads of another: a patched site, or q and k of the clean run. */
typedef struct tap_capture {
    const tap_edit *edit; /* whose rows; NULL: all, for frozen attention */
    int64_t lane, item;   /* whose states */
    tap_site site;
    int64_t d, n_rows;
    float *values; /* [n_rows][d] */
    bool is_kept;
} tap_capture;

typedef struct tap_pass {
    tap_job *job;
    tap_stack stack;
    const tap_stack_spec *spec;
    const tap_tree *tree;
    int block;
    int64_t group_rows;
    /* rows of the group in hand, one after the other */
    const tap_span *spans;
    int64_t n_spans, n_rows;
    tap_span single; /* see tap_pass_single */
    /* when fewer rows leave the block than enter it: those whose queries are needed */
    const tap_span *query_spans; /* [n_spans] their rows in q; NULL: all rows */
    const int64_t *query_rows;   /* [n_queries] rows of the group */
    int64_t n_queries;
    bool unscored;    /* of the group in hand: see tap_origin */
    float *cos, *sin; /* [group_rows][d_head / 2], decoder only */
    /* scratch, each [group_rows][...] */
    float *normed;           /* d_model */
    float *q, *z;            /* n_heads d_head */
    float *k, *v;            /* n_kv_heads d_head */
    float *out;              /* d_model: attention's and the MLP's output */
    float *up, *gate;        /* d_mlp; gate for the decoder only */
    float *scores, *pattern; /* [n_heads][TAP_MAP_ROWS][n_tok] when wanted */
    float *made;             /* [rows of a state][widest site]: edits in the making */
    float *whole; /* [rows of a state][widest site wanted] rows in their places, for the
                     sink; NULL when all rows are computed */
    tap_capture *captures; /* [n_captures] of the block or stage in hand */
    int64_t n_captures;
    int64_t states_edited; /* rows that edits wrote so far */
} tap_pass;

/* The two halves of a block; each stack has its own pair.
 * project: x [n_rows][d] = resid_pre of the group -> q, k, v of the pass; q of the
 *          query_rows alone where there are such; q = k = 0 where no scores are needed.
 * finish:  z of the pass, x [n_rows][d] = resid_pre on entry, resid_post on return; that
 *          site is fired by tap_pass_run. */
typedef struct tap_block_halves {
    tap_status (*project)(tap_pass *pass, const float *x, tap_error *err);
    tap_status (*finish)(tap_pass *pass, float *x, tap_error *err);
} tap_block_halves;

/* Rows of one state of an item in a stack. */
int64_t tap_job_rows(const tap_job *job, tap_stack stack, int64_t item);

/* rows.c: which rows of each lane's state at each depth must be computed, so that every row
 * that is read has the bits it would have if all were. */
TAP_NODISCARD tap_status tap_job_find_needs(tap_job *job, tap_error *err);
void tap_job_needs_clear(tap_job *job);
const tap_row_set *tap_job_lane_needs(const tap_job *job, tap_stack stack, int64_t lane,
                                      int depth);
/* *out = what some lanes of one item need together. */
TAP_NODISCARD tap_status tap_job_needs(const tap_row_set **out, const tap_job *job,
                                       tap_stack stack, const int64_t *lanes,
                                       int64_t n_lanes, int depth, tap_error *err);

/* Whether scores decide anything for these query rows: false where each of them may attend
 * to one key in every head, and nothing else is asked. */
bool tap_job_scores(const tap_row_set *queries, tap_stack stack,
                    const tap_edges *edges);

/* A state entering a block, with the children that share its queries and keys. */
typedef struct tap_origin {
    int64_t item, parent; /* node one depth up */
    int64_t first_child, n_children;
    const int64_t *lanes; /* [n_lanes] of all its children */
    int64_t n_lanes;
    const tap_row_set *needs, *queries; /* rows that enter, rows that leave */
    bool edited;        /* an edit before attention gives it rows of its own */
    bool unscored;      /* its queries and keys decide nothing: they are left out */
    int64_t row, query; /* where its rows, and those of q, begin in the group in hand */
} tap_origin;

/* The origins in a block: children of one parent that are edited alike before attention.
 * out [n_lanes of the tree]. */
TAP_NODISCARD tap_status tap_job_origins(tap_origin *out, int64_t *n,
                                         const tap_job *job, tap_stack stack,
                                         const tap_tree *tree, int block,
                                         tap_error *err);
/* Numbers of pass->whole; 0: all rows are computed. */
int64_t tap_job_whole_floats(const tap_job *job, tap_stack stack);

/* A site: applies the edits of the spans' plans to values [n_rows][d], then hands each
 * span's rows to the sink if it wants them. values is written to only by edits. */
TAP_NODISCARD tap_status tap_pass_at(tap_pass *pass, tap_site site, float *values,
                                     int64_t d, tap_error *err);

/* Hands vision.pixels of a span's item to the sink: values [n_tiles][3][side][side]. */
TAP_NODISCARD tap_status tap_pass_put_pixels(tap_pass *pass, const tap_span *span,
                                             const float *values, tap_error *err);

/* Runs all blocks. *states holds level 0 (nodes in order, rows contiguous) in a buffer for
 * the largest level, *spare is another; on return *states holds the last level. */
TAP_NODISCARD tap_status tap_pass_run(tap_pass *pass, const tap_block_halves *halves,
                                      float **states, float **spare, tap_error *err);

/* q, k and v of the group's normed rows: q of those that are asked as queries; q = k = 0
 * where no scores are needed. pass->out is scratch. */
void tap_pass_project(tap_pass *pass, const tap_block_weights *w);

/* Scratch of a pass from the job's arena. */
TAP_NODISCARD tap_status tap_pass_init(tap_pass *pass, tap_job *job, tap_stack stack,
                                       const tap_tree *tree, tap_error *err);

/* Spans of all nodes at a depth, rows one after the other. out [n_nodes]. */
TAP_NODISCARD tap_status tap_pass_spans(tap_span *out, const tap_pass *pass, int depth,
                                        tap_error *err);

/* Makes one span, its rows at the start of the buffer, the group in hand, outside blocks. */
void tap_pass_single(tap_pass *pass, const tap_span *span, int64_t n_rows);

/* Whether any plan of the job edits states. */
bool tap_job_edits(const tap_job *job);

/* run_lanes.c: adds lanes that others read and sorts them before their readers; sets
 * n_asked, and condition_of where it is needed. */
TAP_NODISCARD tap_status tap_job_lanes(tap_job *job, tap_error *err);
void tap_job_lanes_clear(tap_job *job);
/* Whether the kernels can do what the plans and the sink ask of attention.
 * Errors: TAP_EUNSUPPORTED with the table, and the mode that it lacks. */
TAP_NODISCARD tap_status tap_job_check_kernels(const tap_job *job, tap_error *err);
/* The same of one plan (NULL: clean) and more needs. */
TAP_NODISCARD tap_status tap_kernels_check(const tap_kernels *kernels,
                                           const tap_plan *plan, unsigned needs,
                                           tap_error *err);
/* The lane of an item that runs this plan (NULL: clean). */
int64_t tap_job_source(const tap_job *job, int64_t item, const tap_plan *plan);
/* job->conditions = the caller's conditions among the lanes of a span; their number. */
int64_t tap_job_asked(const tap_job *job, const tap_span *span);

/* pass_edit.c. Bytes kept of other lanes in any block of a stack. */
size_t tap_job_read_bytes(const tap_job *job, tap_stack stack);
/* Numbers of pass->made. */
int64_t tap_job_edit_floats(const tap_job *job, tap_stack stack);
/* Lists what the block in hand (or, outside blocks, the stage) reads of other lanes; from
 * the arena, to be released after it. */
TAP_NODISCARD tap_status tap_pass_listen(tap_pass *pass, tap_stage stage,
                                         tap_error *err);
/* Edits the rows of a span at a site, and keeps what others will read. */
TAP_NODISCARD tap_status tap_pass_edit(tap_pass *pass, const tap_span *span,
                                       tap_site site, float *rows, int64_t d,
                                       tap_error *err);
/* Queries and keys of an item's clean run in the block in hand. */
TAP_NODISCARD tap_status tap_pass_frozen(const float **q, const float **k,
                                         const tap_pass *pass, int64_t item,
                                         tap_error *err);
/* Whether a plan edits a site that is met before this one. */
bool tap_plan_edits_before(const tap_block_plan *plan, tap_site site);
/* Every edit of every plan wrote the rows it was to write. */
TAP_NODISCARD tap_status tap_job_check_edits(const tap_job *job, int stages,
                                             tap_error *err);
/* The place of a receipt, writable. */
tap_block_receipt *tap_receipts_of_states(tap_receipts *receipts, int64_t item,
                                          int64_t condition, tap_stack stack,
                                          int block);

bool tap_sink_wants(const tap_sink *sink, tap_site site, tap_stack stack, int block);

/* What decides how much memory a run takes. */
typedef struct tap_run_size {
    int64_t n_lanes;
    int64_t state_rows[TAP_N_STACKS]; /* of all states at the widest depth */
    int64_t n_tok[TAP_N_STACKS];      /* of the longest sequence */
    int64_t n_projected;              /* projector rows of all vision states */
    int64_t n_slots;                  /* of the largest layout */
    int64_t n_text;          /* tokens that a perceiver's latents see, at most */
    bool maps[TAP_N_STACKS]; /* scores or pattern are wanted */
    bool edits;
    int64_t whole_floats[TAP_N_STACKS];
    size_t
        edit_bytes[TAP_N_STACKS]; /* edits in the making, states read of other lanes */
} tap_run_size;

/* Bytes of the arena of such a run, and of the kernels' scratch inside it. */
size_t tap_run_need(const tap_model *model, const tap_kernels *kernels,
                    const tap_run_options *options, int n_threads,
                    const tap_run_size *size);
size_t tap_run_scratch(const tap_model *model, const tap_kernels *kernels,
                       const tap_run_options *options, int n_threads,
                       const tap_run_size *size);

/* The stages, in their own files.
 * vision_embed: out [cls + patches][d] of one image, depth 0.
 * projector:    out [n_slots of the layout][d_projector_out] from the feature state.
 * lm_embed:     out [n_tok][d_lm], image rows from `projected`. */
extern const tap_block_halves tap_vision_halves, tap_lm_halves;
TAP_NODISCARD tap_status tap_vision_embed(tap_pass *pass, float *out,
                                          const tap_span *span, tap_error *err);
TAP_NODISCARD tap_status tap_projector_run(tap_pass *pass, float *out,
                                           const float *state, const tap_span *span,
                                           tap_error *err);
TAP_NODISCARD tap_status tap_lm_embed(tap_pass *pass, float *out,
                                      const float *projected, const tap_span *span,
                                      tap_error *err);
TAP_NODISCARD tap_status tap_lm_logits(tap_pass *pass, const float *state,
                                       const tap_span *span, tap_error *err);
/* cos and sin rows of the pass for some spans, by the position of each row. */
void tap_lm_rope(tap_pass *pass, const tap_span *spans);

#endif

/* The operations of the forward pass, as one table.
 *
 * tap_kernels_ref is what each operation means: plain loops in the order of the formula.
 * It is built twice, for float and for double (kernels_ref_f64.h), so that drift can be
 * told from bugs. tap_kernels_cpu is the same table, fast; tap_kernels_open chooses the
 * instruction set at run time. All sums run in an order that depends on the inner
 * dimension alone, so a row has the same bits whatever rows stand beside it, for any
 * number of threads.
 *
 * Shapes stand beside each argument; all activations are f32, row-major and contiguous
 * unless a stride is named. Kernels never allocate and never fail: shapes are checked by
 * the callers when a model is opened and asserted here. */
#ifndef TAP_TENSOR_KERNELS_H
#define TAP_TENSOR_KERNELS_H

#include "tensor/bits.h"
#include "tensor/tensor.h"

#ifdef __FAST_MATH__
#    error "tapetum must not be built with fast-math: cut edges rely on infinities"
#endif

enum { TAP_MAX_HEAD = 512 }; /* numbers of a head: what attend has room for */

/* Where a kernel works: threads and scratch memory. One user at a time. */
typedef struct tap_workspace {
    int n_threads;
    void *scratch; /* at least the bytes that scratch_bytes() of the table asks for */
    size_t scratch_bytes;
} tap_workspace;

typedef enum tap_act {
    TAP_ACT_QUICK_GELU, /* x / (1 + exp(-1.702 x)) */
    TAP_ACT_GELU_ERF,   /* x/2 (1 + erf(x / sqrt 2)) */
    TAP_ACT_GELU_TANH,  /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    TAP_ACT_SILU        /* x / (1 + exp(-x)) */
} tap_act;

/* Which edges of one block are changed, for one sequence of n_tok tokens. Heads that are
 * changed alike share a class. All sets hold only edges that the base mask allows. Rows
 * (queries) that keep no key must have been declared (n_words = tap_bits_words(n_tok)):
 * such a row yields z = 0. NULL pointers mean "none". */
typedef struct tap_edges {
    int64_t n_tok;
    int n_classes;
    const uint8_t *class_of_head; /* [n_heads], < n_classes */
    const uint64_t *cut;          /* [n_classes][n_tok][n_words]: score -> -inf */
    const float *log_scale;       /* [n_classes][n_tok][n_tok], added to the score */
    const uint64_t *zeroed;       /* [n_classes][n_tok][n_words]: weight -> 0 after
                                     softmax, the rest is not renormalised */
    const uint64_t *uniform;      /* [n_classes][n_words] query rows whose allowed keys
                                     all get the same weight */
    const uint64_t *frozen; /* [n_classes][n_tok][n_words]: weight of the clean run */
} tap_edges;

/* ORDER IN A ROW. Scores are scaled by log_scale (or levelled by uniform), cut, and made
 * weights by softmax over the keys that are left. Then frozen edges get the weight they
 * have in the clean run: softmax of scale <q_clean, k_clean> over all keys that the base
 * mask allows. The other edges of that row keep the weights they have; nothing is
 * renormalised, so such a row need not sum to 1. Then zeroed edges get 0. A cut edge stays
 * cut whatever else names it; a zeroed edge is zeroed even if frozen. */

/* What attention did, per head; counts add up over calls. Measured in the loop that uses
 * the weights. allowed = used + cut + zeroed, asserted after every run. */
typedef struct tap_head_receipt {
    int64_t allowed;      /* edges the base mask allows for the rows computed */
    int64_t cut;          /* edges with score -inf */
    int64_t zeroed;       /* edges whose weight was set to 0 after softmax */
    int64_t used;         /* edges that took part */
    int64_t scaled;       /* used edges whose score was scaled */
    int64_t frozen;       /* used edges whose weight came from the clean run */
    int64_t rows_emptied; /* query rows with no key left: z = 0 */
    double weight_on_cut; /* sum of |weight| found on cut and zeroed edges: 0 */
} tap_head_receipt;

static inline void tap_head_receipt_add(tap_head_receipt *sum,
                                        const tap_head_receipt *r)
{
    sum->allowed += r->allowed;
    sum->cut += r->cut;
    sum->zeroed += r->zeroed;
    sum->used += r->used;
    sum->scaled += r->scaled;
    sum->frozen += r->frozen;
    sum->rows_emptied += r->rows_emptied;
    sum->weight_on_cut += r->weight_on_cut;
}

/* One attention problem: one sequence, all heads.
 *   z[t,h,:] = sum_s w[t,h,s] v[s,h/g,:],  w = softmax over allowed s of scale <q, k>
 * Rows first_q .. first_q + n_q - 1 of a sequence of n_k tokens are computed, or those
 * that `rows` names. */
typedef struct tap_attend_args {
    int64_t n_q, first_q, n_k;
    const int64_t *rows; /* NULL, or [n_q] places in the sequence, ascending;
                            then first_q and segment are 0 */
    int n_heads, n_kv_heads, d_head;
    bool causal;     /* key s allowed for query t when s <= t */
    int64_t segment; /* tokens of one segment: keys of another are not allowed (tiles of
                        an image); 0: the sequence is one segment */
    float scale;     /* d_head^-1/2 */
    /* NULL: key s is row s of k and v; else [n_k] which row it is, or -1: it has none, and
     * every query that may read it has cut it. Then nothing is frozen. */
    const int32_t *key_rows;
    const float *q; /* [n_q][stride_q], head h at h * d_head */
    const float *k; /* [n_k][stride_kv], kv head h / g at (h / g) * d_head */
    const float *v; /* [n_k][stride_kv] */
    int64_t stride_q, stride_kv;
    const float *q_clean, *k_clean; /* as q and k; only when edges->frozen */
    const tap_edges *edges;         /* NULL: nothing is changed */
    float *z;                       /* [n_q][stride_z]; may be q, with its stride */
    int64_t stride_z;
    tap_head_receipt *receipt; /* [n_heads], added to; may be NULL */
    float *scores;             /* NULL, or [n_heads][n_q][n_k]: scaled, before cuts; not
                                  allowed by the base mask = -inf */
    float *pattern;            /* NULL, or [n_heads][n_q][n_k]: weights as used */
} tap_attend_args;

/* The first key of the segment that token t lies in, and one past its last. */
static inline int64_t tap_segment_begin(int64_t segment, int64_t t)
{
    return segment > 0 ? t / segment * segment : 0;
}

static inline int64_t tap_segment_end(int64_t segment, int64_t t, int64_t n)
{
    const int64_t end = tap_segment_begin(segment, t) + segment;
    return segment > 0 && end < n ? end : n;
}

/* The place in the sequence of query row i. */
static inline int64_t tap_attend_row(const tap_attend_args *a, int64_t i)
{
    return a->rows ? a->rows[i] : a->first_q + i;
}

/* The row of k and v of key s; -1: none. */
static inline int64_t tap_attend_key(const tap_attend_args *a, int64_t s)
{
    return a->key_rows ? a->key_rows[s] : s;
}

/* What an attend can do to edges. A table says what its own can; a run whose conditions need
 * more is refused before anything is computed. */
enum {
    TAP_ATTEND_CUT = 1,
    TAP_ATTEND_SCALE = 2,
    TAP_ATTEND_ZERO = 4,
    TAP_ATTEND_UNIFORM = 8,
    TAP_ATTEND_FREEZE = 16,
    TAP_ATTEND_MAPS = 32, /* hands out scores and pattern */
    TAP_ATTEND_ALL = 63
};

/* What attend must be able to do for these edges; NULL: nothing. */
static inline unsigned tap_edges_need(const tap_edges *edges)
{
    if (!edges)
        return 0;
    return (edges->cut ? TAP_ATTEND_CUT : 0U) |
           (edges->log_scale ? TAP_ATTEND_SCALE : 0U) |
           (edges->zeroed ? TAP_ATTEND_ZERO : 0U) |
           (edges->uniform ? TAP_ATTEND_UNIFORM : 0U) |
           (edges->frozen ? TAP_ATTEND_FREEZE : 0U);
}

/* One of several linear maps that read the same rows: see linears. */
typedef struct tap_linear {
    float *y; /* [n_rows][stride_y] */
    int64_t stride_y;
    const tap_tensor *w, *bias; /* bias may be NULL */
} tap_linear;

typedef struct tap_kernels {
    const char *name;    /* "reference", "avx2", "avx512" ... for the manifest */
    const char *compute; /* arithmetic of the products: "f32" or "bf16" */
    unsigned attends;    /* TAP_ATTEND_... of this table's attend; 0: plain attention */

    /* y[r,o] = sum_i x[r,i] w[o,i] + bias[o]. w is [n_out][n_in] in F32, F16, BF16 as
     * stored; rows stride_x, stride_y apart. bias may be NULL. y must not alias x. */
    void (*linear)(float *y, int64_t stride_y, const float *x, int64_t stride_x,
                   int64_t n_rows, const tap_tensor *w, const tap_tensor *bias,
                   const tap_workspace *work);

    /* linear() of n maps of equal inner dimension and one x: the same bits, but rows are
     * packed once and threads share the work of all. */
    void (*linears)(const tap_linear *maps, int n, const float *x, int64_t stride_x,
                    int64_t n_rows, const tap_workspace *work);

    /* y = (x - mean) / sqrt(var + eps) * gain + bias per row of d; biased variance, sums
     * in f64. y may be x. */
    void (*layer_norm)(float *y, const float *x, int64_t n_rows, int64_t d,
                       const tap_tensor *gain, const tap_tensor *bias, double eps,
                       const tap_workspace *work);
    /* y = x / sqrt(mean(x^2) + eps) * gain. y may be x. */
    void (*rms_norm)(float *y, const float *x, int64_t n_rows, int64_t d,
                     const tap_tensor *gain, double eps, const tap_workspace *work);

    /* x = act(x), n values */
    void (*activate)(float *x, int64_t n, tap_act act, const tap_workspace *work);
    /* gate = act(gate) * up, n values */
    void (*gate)(float *gate, const float *up, int64_t n, tap_act act,
                 const tap_workspace *work);
    /* y += x, n values */
    void (*add)(float *y, const float *x, int64_t n, const tap_workspace *work);

    /* Half-rotation RoPE in place: for row r and each of n_heads heads,
     * (a, b) = (x[i], x[i + d/2]) -> (a cos - b sin, b cos + a sin), i < d_head / 2,
     * with cos and sin [n_rows][d_head / 2] of that row's position. */
    void (*rope)(float *x, int64_t stride_x, int64_t n_rows, int n_heads, int d_head,
                 const float *cos, const float *sin, const tap_workspace *work);

    /* n independent attention problems of equal heads; threads own (problem, head) pairs.
     * Cut and forbidden keys weigh exactly 0, so with finite values a row does not depend
     * on them in any bit. A row whose scores are not numbers yields none. */
    void (*attend)(const tap_attend_args *args, int64_t n, const tap_workspace *work);

    /* Ranks of labels in the vocabulary, without a logits array.
     *   rank[r,l] = 1 + #{v : z_v > z_y} + 0.5 #{v != y : z_v = z_y},  z = w x_r
     * x [n_rows][d] (normed states), w [n_vocab][d], labels [n_labels] word ids,
     * ranks and, unless NULL, label_logits [n_rows][n_labels]. candidates: NULL for the
     * whole vocabulary, else a bit set [n_vocab], 0 past its end; labels must be members,
     * and only members are read. The logit of a word has the same bits here as from
     * linear(). A label whose logit is not a number ranks last; another word's never
     * beats or ties. */
    void (*rank)(float *ranks, float *label_logits, const float *x, int64_t n_rows,
                 const tap_tensor *w, const int32_t *labels, int64_t n_labels,
                 const uint64_t *candidates, const tap_workspace *work);

    /* Scratch bytes that any call above needs, for rows up to n_rows, inner dimensions up
     * to d_max, sequences up to n_tok, labels up to n_labels and n_threads threads. */
    size_t (*scratch_bytes)(int64_t n_rows, int64_t d_max, int64_t n_tok,
                            int64_t n_labels, int n_threads);
} tap_kernels;

extern const tap_kernels tap_kernels_ref;
/* The fastest table this processor can run. Missing entries are the reference's. */
const tap_kernels *tap_kernels_cpu(void);

/* The same with linear, rank and the two products of attend in bf16: both sides are rounded
 * to bf16, products are summed in f32, everything else is f32. The same bits for any rows, neighbours and threads hold
 * within this table, not between it and the others. NULL where the processor has no such
 * products: then the f32 table is the faster one, and the manifest should name it. */
const tap_kernels *tap_kernels_bf16(void);

#endif

/* Attention, tile by tile of query rows: the kernel in which tokens meet.
 *
 * HOW IT WORKS. Segments are problems of their own. Keys and values of a head are packed
 * once per segment. For each tile of query rows the
 * scores of that tile alone are held: product, cuts, softmax, product. Keys after a causal
 * tile are neither scored nor read; their weights would be exactly 0 and add nothing. A
 * tile whose rows keep one key each is copied.
 *
 * SAME BITS. A weight depends on its row alone; sums over keys run in the order of
 * gemm.h. So a row does not depend on the tile it sits in nor on what follows it. */
#include "tensor/attend.h"

#include "base/planted.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { TILE_ROWS = 48 }; /* a multiple of every micro-kernel's rows */

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

/* A head's scratch. */
typedef struct bench {
    const tap_gemm_isa *gemm;
    const tap_loops *loops;
    float *keys;   /* [panels of keys][slots of d_head][nr] */
    float *values; /* [panels of d_head][slots of n_k][nr] */
    float *clean_keys;
    float *rows;   /* packed query rows, then packed weights */
    float *scores; /* [TILE_ROWS][n_k] */
    float *clean;  /* [TILE_ROWS][n_k] weights of the clean run */
} bench;

static int64_t key_floats(int64_t n_tok, int64_t d_head)
{
    return round_up(n_tok, TAP_GEMM_MAX_WORDS) * d_head;
}

static int64_t value_floats(int64_t n_tok, int64_t d_head)
{
    return n_tok * round_up(d_head, TAP_GEMM_MAX_WORDS);
}

/* Also what pack_keys gathers: MAX_WORDS rows of d_head. */
static int64_t row_floats(int64_t n_tok, int64_t d_head)
{
    return round_up(TILE_ROWS, TAP_GEMM_MAX_ROWS) * (n_tok > d_head ? n_tok : d_head);
}

size_t tap_attend_floats(int64_t n_tok, int64_t d_head)
{
    return (size_t)(2 * key_floats(n_tok, d_head) + value_floats(n_tok, d_head) +
                    row_floats(n_tok, d_head) + 2 * TILE_ROWS * n_tok);
}

static bench lay_out(const tap_gemm_isa *gemm, const tap_loops *loops, float *scratch,
                     int64_t n_tok, int64_t d_head)
{
    bench b = {.gemm = gemm, .loops = loops};
    b.keys = scratch;
    b.clean_keys = b.keys + key_floats(n_tok, d_head);
    b.values = b.clean_keys + key_floats(n_tok, d_head);
    b.rows = b.values + value_floats(n_tok, d_head);
    b.scores = b.rows + row_floats(n_tok, d_head);
    b.clean = b.scores + TILE_ROWS * n_tok;
    return b;
}

/* Gathered rows go through b->rows. */
static void pack_keys(float *keys, const bench *b, const float *k,
                      const tap_attend_args *a)
{
    const int nr = b->gemm->n_words;
    const int64_t panel = tap_gemm_slots(b->gemm, a->d_head) * nr;
    const size_t row_bytes = (size_t)a->d_head * sizeof *k;
    for (int64_t s = 0; s < a->n_k; s += nr, keys += panel) {
        const int n = (int)(a->n_k - s < nr ? a->n_k - s : nr);
        const float *from = k + s * a->stride_kv;
        int64_t stride = a->stride_kv;
        for (int i = 0; a->key_rows && i < n; i++) {
            const int64_t row = a->key_rows[s + i];
            if (row >= 0)
                memcpy(b->rows + i * a->d_head, k + row * a->stride_kv, row_bytes);
            else
                memset(b->rows + i * a->d_head, 0, row_bytes);
        }
        if (a->key_rows) {
            from = b->rows;
            stride = a->d_head;
        }
        b->gemm->pack_words(keys, from, TAP_F32, stride * (int64_t)sizeof *k, n,
                            a->d_head);
    }
}

/* values[key][j] is already the layout of a packed panel, but for its width. */
static void pack_values(const bench *b, const float *v, const tap_attend_args *a)
{
    const tap_gemm_isa *g = b->gemm;
    const int64_t panel = tap_gemm_slots(g, a->n_k) * g->n_words;
    float *to = b->values;
    for (int64_t s = 0; s < a->n_k; s += g->terms, to += g->n_words)
        for (int64_t j = 0; j < a->d_head; j += g->n_words) {
            const float *x[TAP_GEMM_MAX_TERMS] = {0};
            for (int t = 0; t < g->terms && s + t < a->n_k; t++) {
                const int64_t row = tap_attend_key(a, s + t);
                x[t] = row < 0 ? NULL : v + row * a->stride_kv + j;
            }
            g->pack_slot(
                to + j / g->n_words * panel, g->n_words, x,
                (int)(a->d_head - j < g->n_words ? a->d_head - j : g->n_words));
        }
}

/* scores[r][s] = scale <q_r, k_s>; where somebody looks, what a causal mask forbids is
 * -inf. */
static void score(float *scores, const bench *b, const float *q, const float *keys,
                  const tap_attend_args *a, int64_t first, int64_t n_rows,
                  int64_t n_seen)
{
    const tap_gemm_isa *g = b->gemm;
    const int64_t n_slots = tap_gemm_slots(g, a->d_head), panel = n_slots * g->n_rows;
    tap_gemm_pack_rows(g, b->rows, panel, q, a->stride_q, n_rows, a->d_head);
    tap_gemm_macro(g, scores, a->n_k, b->rows, panel, n_rows, keys,
                   n_slots * g->n_words, n_seen, n_slots, false, NULL);
    for (int64_t r = 0; r < n_rows; r++) {
        float *row = scores + r * a->n_k;
        const int64_t end = a->causal ? tap_attend_row(a, first + r) + 1 : a->n_k;
        b->loops->scale(row, a->scale, end);
        for (int64_t s = end; a->scores && s < a->n_k; s++)
            row[s] = -INFINITY;
    }
}

/* One query row on its way from scores to weights. */
typedef struct row {
    const tap_attend_args *a; /* of the segment */
    int64_t t, base; /* place in the sequence; where the segment begins in it */
    int64_t end;     /* keys of the segment that the base mask allows */
    int edge_class;
} row;

static const uint64_t *bits_of(const uint64_t *set, const row *r)
{
    const tap_edges *e = r->a->edges;
    return set ? set + (r->edge_class * e->n_tok + r->t) * tap_bits_words(e->n_tok)
               : NULL;
}

/* Word i of a set as the segment's row sees it: only its keys, at their places in the
 * whole sequence. */
static uint64_t word_of(const uint64_t *bits, const row *r, int64_t i)
{
    const int64_t low = r->base - i * 64, high = r->base + r->end - i * 64;
    uint64_t word = bits[i];
    if (low > 0)
        word &= ~UINT64_C(0) << low;
    if (high < 64)
        word &= (UINT64_C(1) << high) - 1;
    return word;
}

/* For each set bit among the row's keys: fill[s] = value; returns how many. */
static int64_t fill_bits(float *fill, const uint64_t *bits, const row *r, float value)
{
    int64_t n = 0;
    for (int64_t i = r->base / 64; bits && i < tap_bits_words(r->base + r->end); i++)
        for (uint64_t left = word_of(bits, r, i); left; left &= left - 1) {
            fill[i * 64 + __builtin_ctzll(left) - r->base] = value;
            n++;
        }
    return n;
}

/* What is changed before the softmax. Returns the edges that take part. */
static int64_t change_scores(float *w, const row *r, tap_head_receipt *count)
{
    const tap_edges *e = r->a->edges;
    count->allowed += r->end;
    if (!e)
        return r->end;
    if (e->uniform &&
        tap_bits_get(e->uniform + r->edge_class * tap_bits_words(e->n_tok), r->t)) {
        for (int64_t s = 0; s < r->end; s++)
            w[s] = 0.0F;
    } else if (e->log_scale) {
        const float *log_scale =
            e->log_scale + (r->edge_class * e->n_tok + r->t) * e->n_tok + r->base;
        const uint64_t *cut = bits_of(e->cut, r);
        for (int64_t s = 0; s < r->end; s++) {
            w[s] += TAP_PLANTED(TAP_BUG_SCALE_AFTER) ? 0.0F : log_scale[s];
            count->scaled +=
                log_scale[s] != 0.0F && !(cut && tap_bits_get(cut, r->base + s));
        }
    }
    const int64_t n_cut = fill_bits(w, bits_of(e->cut, r), r, -INFINITY);
    count->cut += n_cut;
    return r->end - n_cut;
}

/* What is changed after it. Returns how many edges were zeroed. */
static int64_t change_weights(float *w, const float *clean, const row *r,
                              tap_head_receipt *count)
{
    const tap_edges *e = r->a->edges;
    const uint64_t *cut = bits_of(e->cut, r), *zeroed = bits_of(e->zeroed, r);
    const uint64_t *frozen = bits_of(e->frozen, r);
    int64_t n_zeroed = 0;
    for (int64_t s = 0; (zeroed || frozen) && s < r->end; s++) {
        if (cut && tap_bits_get(cut, r->base + s))
            continue;
        if (zeroed && tap_bits_get(zeroed, r->base + s)) {
            w[s] = 0.0F;
            n_zeroed++;
        } else if (frozen && tap_bits_get(frozen, r->base + s)) {
            w[s] = clean[s];
            count->frozen++;
        }
    }
    count->zeroed += n_zeroed;
    return n_zeroed;
}

/* Weight left on edges that must carry none, read from the weights as used. */
static double weight_on(const float *w, const uint64_t *bits, const row *r)
{
    double sum = 0.0;
    for (int64_t i = r->base / 64; bits && i < tap_bits_words(r->base + r->end); i++)
        for (uint64_t left = word_of(bits, r, i); left; left &= left - 1)
            sum += fabs((double)w[i * 64 + __builtin_ctzll(left) - r->base]);
    return sum;
}

/* A row of the segment that begins at base. */
static row row_of(const tap_attend_args *a, int64_t base, int head, int64_t q)
{
    const int64_t t = tap_attend_row(a, q);
    return (row){.a = a,
                 .t = base + t,
                 .base = base,
                 .end = a->causal ? t + 1 : a->n_k,
                 .edge_class = a->edges ? a->edges->class_of_head[head] : 0};
}

static void weigh(const bench *b, const tap_attend_args *a, int64_t base, int head,
                  int64_t first, int64_t n_rows, tap_head_receipt *count)
{
    const tap_edges *e = a->edges;
    for (int64_t q = 0; q < n_rows; q++) {
        float *w = b->scores + q * a->n_k, *clean = b->clean + q * a->n_k;
        const row r = row_of(a, base, head, first + q);
        int64_t n_used = change_scores(w, &r, count);
        count->rows_emptied += n_used == 0;
        if (n_used > 0)
            b->loops->softmax(w, r.end);
        else
            memset(w, 0, (size_t)r.end * sizeof *w);
        for (int64_t s = 0;
             TAP_PLANTED(TAP_BUG_SCALE_AFTER) && e && e->log_scale && s < r.end; s++)
            w[s] *= expf(
                e->log_scale[(r.edge_class * e->n_tok + r.t) * e->n_tok + base + s]);
        memset(w + r.end, 0, (size_t)(a->n_k - r.end) * sizeof *w);
        if (e) {
            if (e->frozen)
                b->loops->softmax(clean, r.end);
            n_used -= change_weights(w, clean, &r, count);
            count->weight_on_cut += weight_on(w, bits_of(e->cut, &r), &r);
            count->weight_on_cut += weight_on(w, bits_of(e->zeroed, &r), &r);
        }
        count->used += n_used;
    }
}

/* z = weights times values over the keys below n_seen. */
static void mix(const bench *b, const tap_attend_args *a, float *z, int64_t n_rows,
                int64_t n_seen)
{
    const tap_gemm_isa *g = b->gemm;
    const int64_t n_slots = tap_gemm_slots(g, n_seen), panel = n_slots * g->n_rows;
    tap_gemm_pack_rows(g, b->rows, panel, b->scores, a->n_k, n_rows, n_seen);
    tap_gemm_macro(g, z, a->stride_z, b->rows, panel, n_rows, b->values,
                   tap_gemm_slots(g, a->n_k) * g->n_words, a->d_head, n_slots, false,
                   NULL);
}

/* Whether nothing but a cut is asked of this head: no maps, no changed weights. */
static bool only_cut(const tap_attend_args *a)
{
    const tap_edges *e = a->edges;
    return e && e->cut && !e->zeroed && !e->frozen && !e->log_scale && !a->scores &&
           !a->pattern;
}

/* The only key of the segment that a query row reads; -1 if it reads none or several. */
static int64_t only_key(const row *r)
{
    const uint64_t *cut = bits_of(r->a->edges->cut, r);
    const int64_t last = r->base + r->end;
    int64_t key = -1;
    for (int64_t i = r->base / 64; i < tap_bits_words(last); i++) {
        const int64_t low = r->base - i * 64, high = last - i * 64;
        uint64_t kept = ~cut[i];
        if (low > 0)
            kept &= ~UINT64_C(0) << low;
        if (high < 64)
            kept &= (UINT64_C(1) << high) - 1;
        if (kept == 0)
            continue;
        if (key >= 0 || (kept & (kept - 1)) != 0)
            return -1;
        key = i * 64 + __builtin_ctzll(kept) - r->base;
    }
    return key;
}

/* A tile whose rows read one key each needs no scores: the weight is 1 and z = v. Returns
 * false, with nothing done, for any other tile. */
static bool copy_isolated(float *z, const bench *b, const float *v,
                          const tap_attend_args *a, int64_t base, int head,
                          int64_t first, int64_t n_rows, tap_head_receipt *count)
{
    int64_t keys[TILE_ROWS];
    tap_head_receipt sum = {0};
    for (int64_t q = 0; q < n_rows; q++) {
        const row r = row_of(a, base, head, first + q);
        keys[q] = only_key(&r);
        if (keys[q] < 0)
            return false;
        sum.allowed += r.end;
        sum.cut += r.end - 1;
        sum.used++;
    }
    for (int64_t q = 0; q < n_rows; q++)
        b->gemm->pass(z + q * a->stride_z,
                      v + tap_attend_key(a, keys[q]) * a->stride_kv, a->d_head);
    tap_head_receipt_add(count, &sum);
    return true;
}

/* The tile's rows of a map [n_heads][n_q][n_k] of the whole problem; `other` where keys lie
 * outside the segment. */
static void put_map(float *map, const float *rows, const tap_attend_args *whole,
                    const tap_attend_args *a, int64_t base, int head, int64_t first,
                    int64_t n_rows, float other)
{
    for (int64_t q = 0; map && q < n_rows; q++) {
        const int64_t at = base + a->first_q + first + q - whole->first_q;
        float *to = map + ((int64_t)head * whole->n_q + at) * whole->n_k;
        for (int64_t s = 0; s < whole->n_k; s++)
            if (s < base || s >= base + a->n_k)
                to[s] = other;
        memcpy(to + base, rows + q * a->n_k, (size_t)a->n_k * sizeof *to);
    }
}

/* One segment: a is the problem of its tokens alone, counted from base on. */
static void attend_segment(const bench *b, const tap_attend_args *whole,
                           const tap_attend_args *a, int64_t base, int head,
                           tap_head_receipt *count)
{
    const int64_t at = (int64_t)head * a->d_head;
    const int64_t kv = (int64_t)(head / (a->n_heads / a->n_kv_heads)) * a->d_head;
    const bool frozen = a->edges && a->edges->frozen;
    const bool isolated = only_cut(a);
    bool packed = false;
    for (int64_t first = 0; first < a->n_q; first += TILE_ROWS) {
        const int64_t n = a->n_q - first < TILE_ROWS ? a->n_q - first : TILE_ROWS;
        const int64_t last = tap_attend_row(a, first + n - 1) + 1;
        const int64_t n_seen = a->causal && last < a->n_k ? last : a->n_k;
        float *z = a->z + first * a->stride_z + at;
        if (isolated && copy_isolated(z, b, a->v + kv, a, base, head, first, n, count))
            continue;
        if (!packed) {
            pack_keys(b->keys, b, a->k + kv, a);
            pack_values(b, a->v + kv, a);
            if (frozen)
                pack_keys(b->clean_keys, b, a->k_clean + kv, a);
            packed = true;
        }
        score(b->scores, b, a->q + first * a->stride_q + at, b->keys, a, first, n,
              n_seen);
        put_map(a->scores, b->scores, whole, a, base, head, first, n, -INFINITY);
        if (frozen)
            score(b->clean, b, a->q_clean + first * a->stride_q + at, b->clean_keys, a,
                  first, n, n_seen);
        weigh(b, a, base, head, first, n, count);
        put_map(a->pattern, b->scores, whole, a, base, head, first, n, 0.0F);
        mix(b, a, z, n, n_seen);
    }
}

void tap_attend_head(const tap_gemm_isa *gemm, const tap_loops *loops,
                     const tap_attend_args *a, int head, float *scratch)
{
    _Static_assert((int)TAP_MAX_HEAD <= (int)TAP_GEMM_DEPTH,
                   "keys are packed in one block");
    const int64_t end_q = a->first_q + a->n_q;
    assert(a->d_head <= TAP_MAX_HEAD);
    assert(!a->rows || (a->first_q == 0 && a->segment == 0));
    assert(!a->key_rows || (a->segment == 0 && !(a->edges && a->edges->frozen)));
    tap_head_receipt count = {0};
    for (int64_t q = a->first_q, next; q < end_q; q = next) {
        const int64_t base = tap_segment_begin(a->segment, q);
        const int64_t end = tap_segment_end(a->segment, q, a->n_k);
        next = end < end_q && a->segment > 0 ? end : end_q;
        tap_attend_args part = *a;
        const int64_t skip_q = q - a->first_q;
        part.first_q = q - base;
        part.n_q = next - q;
        part.n_k = end - base;
        part.q += skip_q * a->stride_q;
        part.z += skip_q * a->stride_z;
        part.k += base * a->stride_kv;
        part.v += base * a->stride_kv;
        if (a->edges && a->edges->frozen) {
            part.q_clean += skip_q * a->stride_q;
            part.k_clean += base * a->stride_kv;
        }
        const bench b = lay_out(gemm, loops, scratch, part.n_k, part.d_head);
        attend_segment(&b, a, &part, base, head, &count);
    }
    if (a->receipt)
        tap_head_receipt_add(&a->receipt[head], &count);
}

/* Attention: against the reference in f32 and f64 with every kind of change, over odd
 * shapes; a row has the same bits in any tile, with any neighbours, on any set. What holds
 * of bits is tried in both arithmetics. */
#include "inputs.h"

static const tap_kernels *fast; /* in hand */
static float near = 1e-5F;      /* how far its z may be from the reference's */

/* One problem and everything it points to. */
typedef struct problem {
    int64_t n_tok;
    int n_heads, n_kv_heads, d_head;
    float *q, *k, *v, *z, *scores, *pattern, *log_scale, *q_clean, *k_clean;
    tap_head_receipt *receipts;
    uint8_t *class_of_head;
    uint64_t *cut, *zeroed, *frozen, *uniform;
    int64_t n_words;
    tap_edges edges;
    tap_attend_args args;
} problem;

static uint64_t *row_of(const problem *p, uint64_t *set, int class, int64_t t)
{
    return set + (class * p->n_tok + t) * p->n_words;
}

/* Edges of two classes drawn at random; row 70 loses every key, row 90 is levelled. */
static void draw_edges(problem *p, bool causal)
{
    uint64_t seed = 77;
    for (int c = 0; c < 2; c++)
        for (int64_t t = 0; t < p->n_tok; t++)
            for (int64_t s = 0; s < (causal ? t + 1 : p->n_tok); s++) {
                const float dice = noise(&seed);
                if ((dice < -0.6F && (s != t || t % 50 == 49)) || (c == 0 && t == 70))
                    tap_bits_set(row_of(p, p->cut, c, t), s);
                else if (dice > 0.8F)
                    tap_bits_set(row_of(p, p->zeroed, c, t), s);
                else if (dice > 0.6F)
                    tap_bits_set(row_of(p, p->frozen, c, t), s);
                else if (dice > 0.4F)
                    p->log_scale[(c * p->n_tok + t) * p->n_tok + s] = -1.5F;
            }
    if (p->n_tok > 90)
        tap_bits_set(p->uniform, 90);
    if (p->n_tok > 3) { /* what is named twice: cut stays cut, zeroed stays zeroed */
        uint64_t *const twice[3][2] = {
            {p->frozen, p->zeroed}, {p->cut, p->zeroed}, {p->cut, p->frozen}};
        for (int64_t t = 1; t < 4; t++)
            for (int i = 0; i < 2; i++)
                tap_bits_set(row_of(p, twice[t - 1][i], 1, t), t - 1);
    }
}

static problem *make_problem(int64_t n_tok, int n_heads, int n_kv_heads, int d_head,
                             bool causal, bool changed)
{
    problem *p = take(1, sizeof *p);
    const int64_t d_q = n_heads * d_head, d_kv = n_kv_heads * d_head;
    const size_t n_rows = 2 * (size_t)n_tok, n_maps = (size_t)(n_heads * n_tok * n_tok);
    p->n_tok = n_tok;
    p->n_words = tap_bits_words(n_tok);
    p->q = noise_floats(n_tok * d_q, 1);
    p->k = noise_floats(n_tok * d_kv, 2);
    p->v = noise_floats(n_tok * d_kv, 3);
    p->q_clean = noise_floats(n_tok * d_q, 4);
    p->k_clean = noise_floats(n_tok * d_kv, 5);
    p->z = take((size_t)(n_tok * d_q), sizeof *p->z);
    p->scores = take(n_maps, sizeof *p->scores);
    p->pattern = take(n_maps, sizeof *p->pattern);
    p->log_scale = take(n_rows, (size_t)n_tok * sizeof *p->log_scale);
    p->receipts = take((size_t)n_heads, sizeof *p->receipts);
    p->class_of_head = take((size_t)n_heads, 1);
    p->cut = take(n_rows, (size_t)p->n_words * sizeof *p->cut);
    p->zeroed = take(n_rows, (size_t)p->n_words * sizeof *p->zeroed);
    p->frozen = take(n_rows, (size_t)p->n_words * sizeof *p->frozen);
    p->uniform = take(2, (size_t)p->n_words * sizeof *p->uniform);
    for (int64_t i = 0; i < n_tok * d_q; i++)
        p->q[i] *= 6.0F; /* far from uniform attention */
    for (int h = 0; h < n_heads; h++)
        p->class_of_head[h] = h & 1;
    draw_edges(p, causal);
    p->edges = (tap_edges){.n_tok = n_tok,
                           .n_classes = 2,
                           .class_of_head = p->class_of_head,
                           .cut = p->cut,
                           .log_scale = p->log_scale,
                           .zeroed = p->zeroed,
                           .uniform = p->uniform,
                           .frozen = p->frozen};
    p->args = (tap_attend_args){.n_q = n_tok,
                                .n_k = n_tok,
                                .n_heads = n_heads,
                                .n_kv_heads = n_kv_heads,
                                .d_head = d_head,
                                .causal = causal,
                                .scale = 1.0F / sqrtf((float)d_head),
                                .q = p->q,
                                .k = p->k,
                                .v = p->v,
                                .stride_q = d_q,
                                .stride_kv = d_kv,
                                .q_clean = p->q_clean,
                                .k_clean = p->k_clean,
                                .edges = changed ? &p->edges : NULL,
                                .z = p->z,
                                .stride_z = d_q,
                                .receipt = p->receipts,
                                .scores = p->scores,
                                .pattern = p->pattern};
    return p;
}

static void free_problem(problem *p)
{
    void *all[] = {p->q,        p->k,       p->v,      p->z,       p->scores,
                   p->pattern,  p->q_clean, p->cut,    p->zeroed,  p->log_scale,
                   p->receipts, p->k_clean, p->frozen, p->uniform, p->class_of_head};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tap_free(all[i]);
    tap_free(p);
}

static void run(const tap_kernels *k, int n_threads, problem *p)
{
    tap_workspace work = workspace(k, n_threads, 1, p->args.d_head, p->n_tok, 0);
    memset(p->receipts, 0, (size_t)p->args.n_heads * sizeof *p->receipts);
    k->attend(&p->args, 1, &work);
    tap_free(work.scratch);
}

/* scores and pattern of the reference, kept while a fast table overwrites them. */
static void check(problem *p)
{
    const int64_t n_z = p->n_tok * p->args.stride_z;
    const int64_t n_maps = p->args.n_heads * p->n_tok * p->n_tok;
    const size_t z_bytes = (size_t)n_z * sizeof *p->z;
    const size_t map_bytes = (size_t)n_maps * sizeof *p->scores;
    const size_t receipt_bytes = (size_t)p->args.n_heads * sizeof *p->receipts;
    double *exact = take((size_t)n_z, sizeof *exact);
    float *ref = take(z_bytes, 1), *first = take(z_bytes, 1);
    float *scores = take(map_bytes, 1), *pattern = take(map_bytes, 1);
    tap_head_receipt *want = take(receipt_bytes, 1);
    tap_workspace small = {.scratch = take((size_t)p->n_tok, 2 * sizeof(double))};
    tap_kernels_ref_f64.attend(exact, &p->args, &small);
    run(&tap_kernels_ref, 1, p);
    memcpy(ref, p->z, z_bytes);
    memcpy(scores, p->scores, map_bytes);
    memcpy(pattern, p->pattern, map_bytes);
    memcpy(want, p->receipts, receipt_bytes);
    for (int h = 0; h < p->args.n_heads; h++) {
        assert_true(want[h].allowed == want[h].used + want[h].cut + want[h].zeroed);
        assert_true(want[h].weight_on_cut <= 0.0);
    }
    const tap_kernels *k;
    for (int isa = 0; (k = tap_kernels_nth(isa)); isa++)
        for (int threads = 1; threads <= (isa == 0 ? 3 : 1); threads++) {
            memset(p->z, 0x7f, z_bytes);
            run(k, threads, p);
            assert_like_reference(p->z, ref, exact, n_z);
            assert_memory_equal(p->receipts, want, receipt_bytes);
            assert_memory_equal(p->scores, scores, map_bytes); /* one block: all bits */
            for (int64_t i = 0; i < n_maps; i++)
                assert_true(fabsf(p->pattern[i] - pattern[i]) <= 4e-6F);
            if (isa == 0 && threads == 1)
                memcpy(first, p->z, z_bytes);
            assert_memory_equal(p->z, first, z_bytes);
        }
    tap_free(exact);
    tap_free(ref);
    tap_free(first);
    tap_free(scores);
    tap_free(pattern);
    tap_free(want);
    tap_free(small.scratch);
}

static void every_change_agrees_with_the_reference(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        problem *p = make_problem(131, 4, 2, 10, variant & 1, variant & 2);
        check(p);
        if (variant & 2) {
            assert_int_equal(p->receipts[0].rows_emptied, 1);
            assert_true(p->receipts[0].scaled > 0 && p->receipts[0].frozen > 0);
            assert_true(p->receipts[0].zeroed > 0 && p->receipts[0].cut > 0);
        }
        free_problem(p);
    }
}

static void odd_shapes_agree_with_the_reference(void **state)
{
    (void)state;
    static const int shapes[][4] = {/* tokens, heads, heads of keys, width */
                                    {1, 1, 1, 1},    {2, 3, 1, 5},   {33, 2, 2, 64},
                                    {47, 1, 1, 80},  {48, 4, 1, 16}, {49, 2, 1, 33},
                                    {97, 1, 1, 128}, {96, 2, 2, 31}, {800, 1, 1, 7}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i];
        problem *p = make_problem(s[0], s[1], s[2], s[3], i % 2, i % 3 == 0);
        check(p);
        free_problem(p);
    }
}

/* Makes segments of a problem: edges between them leave every set. */
static void split(problem *p, int64_t segment)
{
    p->args.segment = segment;
    for (int c = 0; c < 2; c++)
        for (int64_t t = 0; t < p->n_tok; t++)
            for (int64_t s = 0; s < p->n_tok; s++) {
                if (s / segment == t / segment)
                    continue;
                tap_bits_drop(row_of(p, p->cut, c, t), s);
                tap_bits_drop(row_of(p, p->zeroed, c, t), s);
                tap_bits_drop(row_of(p, p->frozen, c, t), s);
                p->log_scale[(c * p->n_tok + t) * p->n_tok + s] = 0.0F;
            }
}

static void segments_do_not_meet(void **state)
{
    (void)state;
    static const int64_t segments[] = {1, 37, 64, 65, 130, 131, 500};
    for (size_t i = 0; i < sizeof segments / sizeof *segments; i++)
        for (int changed = 0; changed < 2; changed++) {
            problem *p = make_problem(131, 4, 2, 10, false, changed);
            split(p, segments[i]);
            check(p);
            for (int h = 0; h < 4 && segments[i] < 131; h++)
                for (int64_t t = 0; t < 131; t++)
                    for (int64_t s = 0; s < 131; s++)
                        if (s / segments[i] != t / segments[i]) {
                            const float w = p->pattern[(h * 131 + t) * 131 + s];
                            assert_true(w <= 0.0F && w >= 0.0F);
                        }
            free_problem(p);
        }
}

/* A segment has the bits that it has alone, whatever stands before and after it. */
static void a_segment_does_not_know_the_others(void **state)
{
    (void)state;
    problem *p = make_problem(150, 4, 2, 10, false, false);
    p->args.scores = p->args.pattern = NULL;
    p->args.segment = 50;
    const size_t bytes = (size_t)(150 * p->args.stride_z) * sizeof *p->z;
    float *whole = take(bytes, 1);
    run(fast, 2, p);
    memcpy(whole, p->z, bytes);
    p->args.segment = 0;
    p->args.n_q = p->args.n_k = 50;
    for (int64_t t = 0; t < 150; t += 50) {
        p->args.q = p->q + t * p->args.stride_q;
        p->args.k = p->k + t * p->args.stride_kv;
        p->args.v = p->v + t * p->args.stride_kv;
        run(fast, 1, p);
        assert_memory_equal(p->z, whole + t * p->args.stride_z, bytes / 3);
    }
    tap_free(whole);
    free_problem(p);
}

static void weights_sum_to_one_and_cut_edges_carry_none(void **state)
{
    (void)state;
    problem *p = make_problem(131, 4, 2, 10, true, true);
    p->edges.zeroed = p->edges.frozen = NULL;
    run(fast, 2, p);
    for (int h = 0; h < 4; h++)
        for (int64_t t = 0; t < p->n_tok; t++) {
            double sum = 0.0;
            const float *w = p->pattern + (h * p->n_tok + t) * p->n_tok;
            int64_t n_kept = 0;
            for (int64_t s = 0; s < p->n_tok; s++) {
                const bool off = s > t || tap_bits_get(row_of(p, p->cut, h & 1, t), s);
                const float nothing = 0.0F;
                if (off)
                    assert_memory_equal(&w[s], &nothing, sizeof nothing);
                n_kept += !off;
                sum += (double)w[s];
            }
            assert_true(fabs(sum - (n_kept ? 1.0 : 0.0)) < 1e-6);
            for (int64_t s = 0; t == 90 && h % 2 == 0 && s <= t; s++)
                if (!tap_bits_get(row_of(p, p->cut, 0, t), s))
                    assert_true(fabsf(w[s] * (float)n_kept - 1.0F) < 1e-6F);
        }
    free_problem(p);
}

/* Every row asked for alone, with the keys after it gone, equals the row of the whole. */
static void a_row_does_not_know_its_tile_nor_what_follows(void **state)
{
    (void)state;
    problem *p = make_problem(131, 4, 2, 10, true, true);
    const size_t bytes = (size_t)(p->n_tok * p->args.stride_z) * sizeof *p->z;
    float *whole = take(bytes, 1);
    run(fast, 2, p);
    memcpy(whole, p->z, bytes);
    p->args.scores = p->args.pattern = NULL;
    for (int64_t n = 1; n <= 50; n += 49)
        for (int64_t t = 0; t + n <= p->n_tok; t++) {
            p->args.first_q = t;
            p->args.n_q = n;
            p->args.n_k = t + n;
            p->args.q = p->q + t * p->args.stride_q;
            p->args.q_clean = p->q_clean + t * p->args.stride_q;
            run(fast, 1, p);
            assert_memory_equal(p->z, whole + t * p->args.stride_z,
                                (size_t)(n * p->args.stride_z) * sizeof *p->z);
        }
    tap_free(whole);
    free_problem(p);
}

/* Every third row alone, by its place, equals the row of the whole, on every table. */
static void rows_named_by_place_equal_those_of_the_whole(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        problem *p = make_problem(131, 4, 2, 10, causal, true);
        const int64_t stride = p->args.stride_z, d_q = p->args.stride_q;
        const size_t bytes = (size_t)(p->n_tok * stride) * sizeof *p->z;
        float *whole = take(bytes, 1), *q = take((size_t)(p->n_tok * d_q), sizeof *q);
        float *clean = take((size_t)(p->n_tok * d_q), sizeof *q);
        int64_t rows[131], n = 0;
        run(fast, 2, p);
        memcpy(whole, p->z, bytes);
        p->args.scores = p->args.pattern = NULL;
        for (int64_t t = 1; t < p->n_tok; t += 3) {
            memcpy(q + n * d_q, p->q + t * d_q, (size_t)d_q * sizeof *q);
            memcpy(clean + n * d_q, p->q_clean + t * d_q, (size_t)d_q * sizeof *q);
            rows[n++] = t;
        }
        p->args.q = q;
        p->args.q_clean = clean;
        p->args.rows = rows;
        p->args.n_q = n;
        run(fast, 3, p);
        for (int64_t i = 0; i < n; i++)
            assert_memory_equal(p->z + i * stride, whole + rows[i] * stride,
                                (size_t)stride * sizeof *p->z);
        run(&tap_kernels_ref, 1, p);
        for (int64_t i = 0; i < n * stride; i++)
            assert_true(fabsf(p->z[i] - whole[rows[i / stride] * stride + i % stride]) <
                        near);
        tap_free(clean);
        tap_free(q);
        tap_free(whole);
        free_problem(p);
    }
}

/* Keys that every query asked has cut may have no rows at all; z may be written over q. */
static void keys_that_nobody_reads_need_no_rows(void **state)
{
    (void)state;

    enum { N = 1131 }; /* more than one block of keys, two to a slot or not */

    problem *p = make_problem(N, 4, 2, 10, true, true);
    const int64_t d_q = p->args.stride_q, d_kv = p->args.stride_kv;
    const size_t bytes = (size_t)(N * d_q) * sizeof *p->z;
    float *whole = take(bytes, 1), *z = take(bytes, 1);
    float *k = take((size_t)(N * d_kv), sizeof *k),
          *v = take((size_t)(N * d_kv), sizeof *v);
    int64_t rows[N], n = 0;
    int32_t key_rows[N];
    p->edges.frozen = NULL;
    for (int64_t t = 0; t < N; t++) {
        key_rows[t] = t % 5 == 1 || t == 1100 ? (int32_t)n : -1;
        if (key_rows[t] < 0)
            continue;
        memcpy(k + n * d_kv, p->k + t * d_kv, (size_t)d_kv * sizeof *k);
        memcpy(v + n * d_kv, p->v + t * d_kv, (size_t)d_kv * sizeof *v);
        rows[n++] = t;
    }
    for (int c = 0; c < 2; c++)
        for (int64_t t = 0; t < N; t++)
            for (int64_t s = 0; s <= t; s++)
                if (key_rows[s] < 0 || (c == 1 && t > 350 && s != t)) {
                    tap_bits_set(row_of(p, p->cut, c, t), s);
                    tap_bits_drop(row_of(p, p->zeroed, c, t), s);
                }
    p->args.scores = p->args.pattern = NULL;
    run(fast, 2, p);
    memcpy(whole, p->z, bytes);
    p->args.k = k;
    p->args.v = v;
    p->args.key_rows = key_rows;
    p->args.rows = rows;
    p->args.n_q = n;
    p->args.q = p->args.z = z;
    const tap_kernels *tables[] = {fast, &tap_kernels_ref};
    for (int i = 0; i < 2; i++) {
        for (int64_t r = 0; r < n; r++)
            memcpy(z + r * d_q, p->q + rows[r] * d_q, (size_t)d_q * sizeof *z);
        run(tables[i], 2, p);
        for (int64_t j = 0; j < n * d_q; j++) {
            const float want = whole[rows[j / d_q] * d_q + j % d_q];
            assert_true(fabsf(z[j] - want) < (i ? near : 0x1p-149F));
        }
    }
    tap_free(whole);
    tap_free(z);
    tap_free(k);
    tap_free(v);
    free_problem(p);
}

/* Rows that read one key each: copied, with the bits and the receipt of the long way. */
static void isolated_rows_are_their_value(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        problem *p = make_problem(150, 4, 2, 10, causal, true);
        p->edges.zeroed = p->edges.frozen = p->edges.uniform = NULL;
        p->edges.log_scale = NULL;
        const int64_t n = p->n_tok;
        memset(p->cut, 0, 2 * (size_t)(n * p->n_words) * sizeof *p->cut);
        for (int64_t t = 1; t < n; t++) /* in class 0 all but the first row */
            for (int64_t s = 0; s < (causal ? t + 1 : n); s++)
                if (s != (t == 60 ? 5 : t))
                    tap_bits_set(row_of(p, p->cut, 0, t), s);
        p->v[100 * p->args.stride_kv] = -0.0F;
        tap_head_receipt want[4];
        const size_t bytes = (size_t)(n * p->args.stride_z) * sizeof *p->z;
        float *long_way = take(bytes, 1);
        run(fast, 2, p); /* maps are asked for */
        memcpy(long_way, p->z, bytes);
        memcpy(want, p->receipts, sizeof want);
        p->args.scores = p->args.pattern = NULL;
        memset(p->z, 0x7f, bytes);
        run(fast, 2, p);
        assert_memory_equal(p->z, long_way, bytes);
        assert_memory_equal(p->receipts, want, sizeof want);
        p->edges.log_scale = p->log_scale; /* what is scaled is counted */
        run(fast, 2, p);
        assert_true(p->receipts[0].scaled > 0);
        assert_int_equal(want[0].used, (causal ? 1 : n) + n - 1);
        for (int i = 0; i < 10; i++) {
            const float v = p->v[5 * p->args.stride_kv + i],
                        want_z = fast == tap_kernels_bf16()
                                     ? tap_from_bf16(tap_to_bf16(v))
                                     : v;
            assert_true(p->z[60 * p->args.stride_z + i] >= want_z &&
                        p->z[60 * p->args.stride_z + i] <= want_z);
        }
        tap_free(long_way);
        free_problem(p);
    }
}

/* A query that is not a number makes its own row not a number, and no other; a row without
 * a key is 0 all the same. */
static void what_is_not_a_number_is_not_hidden(void **state)
{
    (void)state;
    problem *p = make_problem(131, 2, 2, 10, true, true);
    p->edges.zeroed = p->edges.frozen = p->edges.uniform = NULL;
    for (int i = 0; i < 20; i++)
        p->q[20 * p->args.stride_q + i] = p->q[70 * p->args.stride_q + i] = NAN;
    tap_head_receipt want[2];
    run(&tap_kernels_ref, 1, p);
    memcpy(want, p->receipts, sizeof want);
    const tap_kernels *k = &tap_kernels_ref;
    for (int isa = -1; (k = isa < 0 ? &tap_kernels_ref : tap_kernels_nth(isa)); isa++) {
        run(k, 1, p);
        assert_memory_equal(p->receipts, want, sizeof want);
        for (int64_t t = 0; t < p->n_tok; t++) {
            const float *z = p->z + t * p->args.stride_z;
            assert_int_equal(isnan(z[0]) != 0, t == 20);
            assert_int_equal(isnan(z[10]) != 0, t == 20 || t == 70);
            if (t == 70)
                assert_true(z[0] <= 0.0F && z[0] >= 0.0F);
        }
    }
    free_problem(p);
}

/* Several problems in one call are the problems one by one. */
static void problems_stand_beside_each_other(void **state)
{
    (void)state;
    problem *a = make_problem(131, 4, 2, 10, true, true);
    problem *b = make_problem(60, 4, 2, 10, true, false);
    const size_t a_bytes = (size_t)(131 * a->args.stride_z) * sizeof *a->z;
    const size_t b_bytes = (size_t)(60 * b->args.stride_z) * sizeof *b->z;
    float *a_alone = take(a_bytes, 1), *b_alone = take(b_bytes, 1);
    const tap_kernels *k = fast;
    run(k, 1, a);
    run(k, 1, b);
    memcpy(a_alone, a->z, a_bytes);
    memcpy(b_alone, b->z, b_bytes);
    memset(a->z, 0, a_bytes);
    memset(b->z, 0, b_bytes);
    tap_workspace work = workspace(k, 3, 1, 10, 131, 0);
    const tap_attend_args both[] = {a->args, b->args};
    k->attend(both, 2, &work);
    assert_memory_equal(a->z, a_alone, a_bytes);
    assert_memory_equal(b->z, b_alone, b_bytes);
    for (int h = 0; h < 4; h++) /* counts add up over calls */
        assert_int_equal(b->receipts[h].allowed, 2 * 60 * 61 / 2);
    tap_free(work.scratch);
    tap_free(a_alone);
    tap_free(b_alone);
    free_problem(a);
    free_problem(b);
}

/* In bf16: what f32 makes of rounded queries, keys and values, but for the rounding of the
 * weights, by 2^-8 of each. */
static void products_are_those_of_rounded_numbers(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        problem *p = make_problem(131, 4, 2, 33, causal, true);
        const int64_t n = p->n_tok * p->args.stride_z;
        float *z = take((size_t)n, sizeof *z);
        run(fast, 2, p);
        memcpy(z, p->z, (size_t)n * sizeof *z);
        float *const inputs[] = {p->q, p->k, p->v, p->q_clean, p->k_clean};
        const int64_t widths[] = {p->args.stride_q, p->args.stride_kv,
                                  p->args.stride_kv, p->args.stride_q,
                                  p->args.stride_kv};
        for (int i = 0; i < 5; i++)
            for (int64_t j = 0; j < p->n_tok * widths[i]; j++)
                inputs[i][j] = tap_from_bf16(tap_to_bf16(inputs[i][j]));
        run(&tap_kernels_ref, 1, p);
        for (int64_t i = 0; i < n; i++) /* |v| < 1, and frozen weights may sum to 2 */
            assert_true(fabsf(z[i] - p->z[i]) <= 2.0F * 0x1p-8F + 1e-5F);
        tap_free(z);
        free_problem(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_agrees_with_the_reference),
        cmocka_unit_test(odd_shapes_agree_with_the_reference),
        cmocka_unit_test(segments_do_not_meet),
        cmocka_unit_test(what_is_not_a_number_is_not_hidden),
    };
    const struct CMUnitTest bits[] = {
        cmocka_unit_test(a_segment_does_not_know_the_others),
        cmocka_unit_test(weights_sum_to_one_and_cut_edges_carry_none),
        cmocka_unit_test(a_row_does_not_know_its_tile_nor_what_follows),
        cmocka_unit_test(rows_named_by_place_equal_those_of_the_whole),
        cmocka_unit_test(keys_that_nobody_reads_need_no_rows),
        cmocka_unit_test(isolated_rows_are_their_value),
        cmocka_unit_test(problems_stand_beside_each_other),
    };
    const struct CMUnitTest rounded[] = {
        cmocka_unit_test(products_are_those_of_rounded_numbers),
    };
    fast = tap_kernels_cpu();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("bits in f32", bits, NULL, NULL);
    fast = tap_kernels_bf16();
    if (!fast) {
        print_message("this processor has no products in bf16\n");
        return failed;
    }
    near = 0x1p-6F; /* of |v| < 1: q, k, v and weights are rounded */
    failed += cmocka_run_group_tests_name("bits in bf16", bits, NULL, NULL);
    return failed + cmocka_run_group_tests_name("bf16", rounded, NULL, NULL);
}

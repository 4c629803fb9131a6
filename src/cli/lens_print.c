/* What `tapetum lens` prints: ranks of each label, and the words that come out on top. */
#include "cli/lens_query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of one condition and state: what the lens has for the rows of all patches. */
typedef struct view {
    const tap_lens_query *q;
    int64_t condition, n_rows, width; /* columns of ranks and scores */
    int state;
    const float *ranks, *scores, *log_sums, *top_logits; /* [n_rows][...] */
    const int32_t *top_ids;
} view;

static view look(const tap_lens_query *q, int64_t c, int state)
{
    int64_t width = 0;
    for (int64_t i = 0; i < q->spellings.n; i++)
        width = q->columns[i] >= width ? q->columns[i] + 1 : width;
    view v = {.q = q,
              .condition = c,
              .n_rows = q->subject.scene.sequence.n_image,
              .width = width,
              .state = state};
    const int64_t first = state * v.n_rows;
    v.ranks = tap_lens_ranks(q->lens, 0, c) + first * width;
    v.scores = tap_lens_scores(q->lens, 0, c) + first * width;
    v.log_sums = tap_lens_log_sums(q->lens, 0, c) + first;
    v.top_ids = tap_lens_top(&v.top_logits, q->lens, 0, c) + first * q->n_top;
    v.top_logits += first * q->n_top;
    return v;
}

/* out [n_rows] = rank of a form of a label (form -1: the best of its forms). */
static void open_ranks(float *out, const view *v, int32_t label, int32_t form)
{
    const tap_label_spellings *s = &v->q->spellings;
    for (int64_t r = 0; r < v->n_rows; r++) {
        float best = INFINITY;
        for (int64_t i = 0; i < s->n; i++) {
            if (s->label[i] != label || (form >= 0 && s->form[i] != form))
                continue;
            const float rank = v->ranks[r * v->width + v->q->columns[i]];
            best = rank < best ? rank : best;
        }
        out[r] = best;
    }
}

/* out [n_rows] = rank of a label among all candidate words, each by its best spelling. */
static tap_status closed_ranks(float *out, const view *v, int32_t label, tap_error *err)
{
    const tap_label_spellings *s = &v->q->spellings;
    const size_t n = v->q->labels.n_labels;
    float *scores = NULL, *ranks = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_alloc(&scores, n, sizeof *scores, "scores", err));
    TAP_TRY_OUT(tap_alloc(&ranks, n, sizeof *ranks, "scores", err));
    for (int64_t r = 0; r < v->n_rows; r++) {
        for (size_t l = 0; l < n; l++)
            scores[l] = -INFINITY;
        for (int64_t i = 0; i < s->n; i++) {
            const float score = v->scores[r * v->width + v->q->columns[i]];
            if (score > scores[s->label[i]])
                scores[s->label[i]] = score;
        }
        tap_rank_among(ranks, scores, (int64_t)n);
        out[r] = ranks[label];
    }
out:
    tap_free(scores);
    tap_free(ranks);
    return status;
}

tap_status tap_lens_query_ranks(float *out, const tap_lens_query *query,
                                int64_t condition, int state, int32_t label,
                                tap_error *err)
{
    const view v = look(query, condition, state);
    if (query->closed)
        return closed_ranks(out, &v, label, err);
    open_ranks(out, &v, label, -1);
    return TAP_OK;
}

/* Whether image token i belongs to the part mask. */
static bool in_part(const tap_subject *s, const uint64_t *part, int64_t i)
{
    return part && tap_bits_get(part, s->scene.image_rows[i]);
}

/* {"condition", "readout", "depth" or "block"} */
static json_t *head_of(const view *v)
{
    const tap_lens_query *q = v->q;
    return json_pack("{s:o, s:s, s:i}", "condition",
                     tap_cli_json_text(q->subject.texts[v->condition]), "readout",
                     q->readout_name, q->state_name, tap_lens_depth(q->lens, v->state));
}

static tap_status put_ranks(const view *v, const float *ranks, int32_t label,
                            int32_t form, tap_error *err)
{
    const tap_subject *s = &v->q->subject;
    const tap_label *about = &v->q->labels.labels[label];
    const uint64_t *part = tap_groups_find(&s->groups, TAP_LM, "part");
    double best = 0.0;
    json_t *list = json_array(), *object = head_of(v), *token = json_null();
    for (int64_t i = 0; i < v->n_rows && list; i++) {
        const double rank = (double)ranks[i];
        if (json_array_append_new(list, json_real(rank)) != 0)
            return TAP_FAIL(err, TAP_ENOMEM, "no memory left for ranks");
        if (in_part(s, part, i) && (best <= 0.0 || rank < best))
            best = rank;
    }
    if (form >= 0 && about->forms[form].token_id >= 0)
        token = json_integer(about->forms[form].token_id);
    json_t *rest = json_pack(
        "{s:o, s:s, s:o, s:o}", "label", tap_cli_json_text(about->word), "form",
        form < 0 ? "best" : about->forms[form].name, "token_id", token, "ranks", list);
    if (rest && form < 0)
        (void)json_object_set_new(rest, "n_candidates",
                                  json_integer((json_int_t)v->q->labels.n_labels));
    if (rest && part)
        (void)json_object_set_new(rest, "best",
                                  best > 0.0 ? json_real(best) : json_null());
    if (object && (!rest || json_object_update(object, rest) != 0)) {
        json_decref(object);
        object = NULL;
    }
    json_decref(rest);
    return tap_cli_put_json(object, err);
}

/* ---- words on top ---- */

/* The text of a word, with its leading space; tap_free it. */
static tap_status word_text(char **out, const tap_lens_query *q, int32_t id,
                            tap_error *err)
{
    size_t n = 0;
    const char *piece = tap_tokenizer_piece(q->subject.model->tokenizer, id, &n);
    static const char *const marks[] = {"\xe2\x96\x81", "\xc4\xa0"};
    if (!piece)
        return tap_text_copy(out, "", 0, err);
    for (size_t m = 0; m < 2; m++) {
        const size_t k = strlen(marks[m]);
        if (n > k && memcmp(piece, marks[m], k) == 0)
            return tap_text_format(out, err, " %.*s", (int)(n - k), piece + k);
    }
    return tap_text_copy(out, piece, n, err);
}

static double p_of(const view *v, int64_t r, int64_t k)
{
    return exp((double)v->top_logits[r * v->q->n_top + k] - (double)v->log_sums[r]);
}

static tap_status put_top(const view *v, tap_error *err)
{
    json_t *patches = json_array(), *object = head_of(v);
    tap_status status = TAP_OK;
    for (int64_t r = 0; r < v->n_rows && patches; r++) {
        json_t *words = json_array();
        for (int64_t k = 0; k < v->q->n_top && words; k++) {
            const int32_t id = v->top_ids[r * v->q->n_top + k];
            char *text = NULL;
            if (id < 0)
                break;
            TAP_TRY_OUT(word_text(&text, v->q, id, err));
            (void)json_array_append_new(
                words, json_pack("{s:i, s:o, s:f, s:f}", "token_id", (int)id, "word",
                                 tap_cli_json_text(text), "logit",
                                 (double)v->top_logits[r * v->q->n_top + k], "p",
                                 p_of(v, r, k)));
            tap_free(text);
        }
        (void)json_array_append_new(patches, words);
    }
    if (object)
        (void)json_object_set_new(object, "top", patches);
    return tap_cli_put_json(object, err);
out:
    json_decref(object);
    json_decref(patches);
    return status;
}

/* "  patch  17   0.31 tail   0.12 dog ..." for each patch of the part, or of the image. */
static tap_status print_top(const view *v, tap_error *err)
{
    const tap_subject *s = &v->q->subject;
    const uint64_t *part = tap_groups_find(&s->groups, TAP_LM, "part");
    printf("%s %d\n", v->q->state_name, tap_lens_depth(v->q->lens, v->state));
    for (int64_t r = 0; r < v->n_rows; r++) {
        if (part && !in_part(s, part, r))
            continue;
        const tap_token *t = &s->scene.sequence.tokens[s->scene.image_rows[r]];
        printf("  row %2d col %2d ", t->row, t->col);
        for (int64_t k = 0; k < v->q->n_top; k++) {
            const int32_t id = v->top_ids[r * v->q->n_top + k];
            char *text = NULL;
            if (id < 0)
                break;
            TAP_TRY(word_text(&text, v->q, id, err));
            printf(" %5.3f %-10s", p_of(v, r, k), text[0] == ' ' ? text + 1 : text);
            tap_free(text);
        }
        putchar('\n');
    }
    return TAP_OK;
}

/* ---- for people ---- */

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* One line: the best and the median rank over the part, or over all patches. */
static void print_line(const view *v, const tap_cli *cli, float *ranks, int32_t label)
{
    const tap_subject *s = &v->q->subject;
    const uint64_t *part = tap_groups_find(&s->groups, TAP_LM, "part");
    int64_t n = 0;
    for (int64_t i = 0; i < v->n_rows; i++)
        if (!part || in_part(s, part, i))
            ranks[n++] = ranks[i];
    if (n == 0)
        return;
    qsort(ranks, (size_t)n, sizeof *ranks, by_value);
    char bar[64];
    tap_lens_query_bar(bar, v->q, cli, (double)ranks[0]);
    printf("%-14s %5d %10.10g %10.10g%s%s\n", v->q->labels.labels[label].word,
           tap_lens_depth(v->q->lens, v->state), (double)ranks[0], (double)ranks[n / 2],
           *bar ? "  " : "", bar);
}

static void print_heading(const tap_lens_query *q, int64_t c)
{
    const tap_subject *s = &q->subject;
    printf("%scondition: %s\n", c ? "\n" : "", s->texts[c][0] ? s->texts[c] : "clean");
    if (strcmp(q->readout_name, "resid") != 0)
        printf("readout: %s\n", q->readout_name);
    if (q->n_asked)
        printf("rank of a word among %lld, over %s (1 is best)\n%-14s %5s %10s %10s\n",
               q->closed ? (long long)q->labels.n_labels
                         : (long long)s->model->spec.lm.d_vocab,
               s->scene.sequence.layout.n_groups > 0
                   ? "all image tokens, which stand for "
                     "no patch,"
               : s->part ? "the part's patches"
                         : "all patches",
               "label", q->state_name, "best", "median");
}

static tap_status put_label(const view *v, const tap_cli *cli, float *ranks, int32_t l,
                            tap_error *err)
{
    const tap_lens_query *q = v->q;
    const bool json = cli->json;
    if (q->closed)
        TAP_TRY(closed_ranks(ranks, v, l, err));
    if (q->closed && json)
        return put_ranks(v, ranks, l, -1, err);
    for (int32_t f = 0; json && f < q->labels.labels[l].n_forms; f++) {
        open_ranks(ranks, v, l, f);
        if (isfinite(ranks[0])) /* this form is ranked */
            TAP_TRY(put_ranks(v, ranks, l, f, err));
    }
    if (json)
        return TAP_OK;
    if (!q->closed)
        open_ranks(ranks, v, l, -1);
    print_line(v, cli, ranks, l);
    return TAP_OK;
}

tap_status tap_lens_query_print(const tap_lens_query *query, const tap_cli *cli,
                                tap_error *err)
{
    const tap_lens_query *q = query;
    const int n = tap_lens_n_depths(q->lens);
    float *ranks = NULL;
    TAP_TRY(tap_alloc(&ranks, (size_t)q->subject.scene.sequence.n_image, sizeof *ranks,
                      "ranks", err));
    tap_status status = TAP_OK;
    for (int64_t c = 0; c < q->subject.n_conditions; c++) {
        if (!cli->json)
            print_heading(q, c);
        for (int32_t l = 0; l < (int32_t)q->n_asked; l++)
            for (int state = 0; state < n; state++) {
                const view v = look(q, c, state);
                TAP_TRY_OUT(put_label(&v, cli, ranks, l, err));
            }
        if (!cli->json)
            TAP_TRY_OUT(tap_lens_query_maps(q, cli, c, err));
        for (int state = 0; q->n_top && state < n; state++) {
            const view v = look(q, c, state);
            TAP_TRY_OUT(cli->json ? put_top(&v, err) : print_top(&v, err));
        }
    }
out:
    tap_free(ranks);
    return status;
}

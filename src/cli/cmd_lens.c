/* tapetum lens: ranks of words at every patch and depth of one image. */
#include "cli/commands.h"
#include "cli/subject.h"
#include "lab/label.h"
#include "read/lens.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_lens_put(owner, state, err);
}

static tap_status find_labels(tap_labels *labels, const tap_cli *cli, tap_error *err)
{
    size_t n = 0;
    const char *const *words = tap_args_list(&n, cli->args, "label");
    if (n == 0)
        return TAP_FAIL(err, TAP_EINVAL,
                        "no label to look for; add --label WORD, as in --label tail");
    for (size_t i = 0; i < n; i++) {
        int64_t index = 0;
        TAP_TRY(tap_labels_find(&index, labels, words[i], err));
        if (labels->labels[index].n_columns == 0)
            return TAP_FAIL(err, TAP_EINVAL,
                            "every form of the label '%s' needs several tokens of this "
                            "model, so it has no rank; choose another word",
                            words[i]);
    }
    return TAP_OK;
}

/* Whether image token i belongs to the part mask. */
static bool in_part(const tap_subject *s, const uint64_t *part, int64_t i)
{
    return part && tap_bits_get(part, s->scene.image_rows[i]);
}

static tap_status put_json(const tap_subject *s, const tap_labels *labels,
                           const tap_lens *lens, int64_t c, int d, int64_t l, int64_t f,
                           tap_error *err)
{
    const tap_label *label = &labels->labels[l];
    const int64_t n = s->scene.sequence.n_image, n_labels = (int64_t)labels->n_ids;
    const float *ranks = tap_lens_ranks(lens, 0, c) + (int64_t)d * n * n_labels;
    const uint64_t *part = tap_groups_find(&s->groups, TAP_LM, "part");
    double best = 0.0;
    json_t *list = json_array();
    for (int64_t i = 0; i < n && list; i++) {
        const double rank = (double)ranks[i * n_labels + label->forms[f].column];
        if (json_array_append_new(list, json_real(rank)) != 0)
            return TAP_FAIL(err, TAP_ENOMEM, "no memory left for ranks");
        if (in_part(s, part, i) && (best <= 0.0 || rank < best))
            best = rank;
    }
    json_t *object =
        json_pack("{s:o, s:i, s:o, s:s, s:i, s:o}", "condition",
                  tap_cli_json_text(s->texts[c]), "depth", tap_lens_depth(lens, d),
                  "label", tap_cli_json_text(label->word), "form", label->forms[f].name,
                  "token_id", (int)label->forms[f].token_id, "ranks", list);
    if (object && s->part)
        (void)json_object_set_new(object, "best",
                                  best > 0.0 ? json_real(best) : json_null());
    return tap_cli_put_json(object, err);
}

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* One line: the best and the median rank over the part, or over all patches. */
static tap_status put_line(const tap_subject *s, const tap_labels *labels,
                           const tap_lens *lens, int64_t c, int d, int64_t l,
                           tap_error *err)
{
    const tap_label *label = &labels->labels[l];
    const int64_t n = s->scene.sequence.n_image, n_labels = (int64_t)labels->n_ids;
    const float *ranks = tap_lens_ranks(lens, 0, c) + (int64_t)d * n * n_labels;
    const uint64_t *part = tap_groups_find(&s->groups, TAP_LM, "part");
    float *values = NULL;
    TAP_TRY(tap_alloc(&values, (size_t)n, sizeof *values, "ranks", err));
    int64_t n_values = 0;
    for (int64_t i = 0; i < n; i++) {
        if (part && !in_part(s, part, i))
            continue;
        float best = ranks[i * n_labels + label->columns[0]];
        for (int64_t f = 1; f < label->n_columns; f++) {
            const float rank = ranks[i * n_labels + label->columns[f]];
            best = rank < best ? rank : best;
        }
        values[n_values++] = best;
    }
    if (n_values > 0) {
        qsort(values, (size_t)n_values, sizeof *values, by_value);
        printf("%-14s %5d %10.10g %10.10g\n", label->word, tap_lens_depth(lens, d),
               (double)values[0], (double)values[n_values / 2]);
    }
    tap_free(values);
    return TAP_OK;
}

static tap_status put_all(const tap_cli *cli, const tap_subject *s,
                          const tap_labels *labels, const tap_lens *lens,
                          tap_error *err)
{
    for (int64_t c = 0; c < s->n_conditions; c++) {
        if (!cli->json)
            printf("%scondition: %s\nrank of a word among %lld, over %s (1 is best)\n"
                   "%-14s %5s %10s %10s\n",
                   c ? "\n" : "", s->texts[c][0] ? s->texts[c] : "clean",
                   (long long)s->model->spec.lm.d_vocab,
                   s->part ? "the part's patches" : "all patches", "label", "depth",
                   "best", "median");
        for (int64_t l = 0; l < (int64_t)labels->n_labels; l++)
            for (int d = 0; d < tap_lens_n_depths(lens); d++) {
                if (!cli->json)
                    TAP_TRY(put_line(s, labels, lens, c, d, l, err));
                for (int64_t f = 0; cli->json && f < labels->labels[l].n_forms; f++)
                    if (labels->labels[l].forms[f].token_id >= 0)
                        TAP_TRY(put_json(s, labels, lens, c, d, l, f, err));
            }
    }
    return TAP_OK;
}

tap_status tap_cmd_lens(tap_cli *cli, tap_error *err)
{
    tap_subject s = {0};
    tap_labels labels = {.forms = TAP_FORM_SPACE | TAP_FORM_CASE | TAP_FORM_PLURAL};
    tap_lens *lens = NULL;
    uint64_t *depths = NULL;
    const tap_kernels *kernels = tap_cli_kernels(cli);
    const int n_threads = cli->n_threads > 0 ? cli->n_threads : omp_get_num_procs();
    tap_status status = tap_subject_open(&s, cli, err);
    if (status != TAP_OK)
        return status;
    labels.tokenizer = s.model->tokenizer;
    TAP_TRY_OUT(find_labels(&labels, cli, err));
    const int n_depths = s.model->spec.lm.stack.n_blocks + 1;
    TAP_TRY_OUT(tap_alloc(&depths, (size_t)tap_bits_words(n_depths), sizeof *depths,
                          "depths", err));
    for (int d = 0; d < n_depths; d++)
        tap_bits_set(depths, d);
    const int64_t *rows = s.scene.image_rows, n_rows = s.scene.sequence.n_image;
    const tap_lens_spec spec = {.labels = labels.ids,
                                .n_labels = (int64_t)labels.n_ids,
                                .depths = depths,
                                .rows = &rows,
                                .n_rows = &n_rows};
    TAP_TRY_OUT(tap_lens_open(&lens, s.model, kernels, n_threads, &spec, 1,
                              s.n_conditions, err));
    tap_wanted wanted = {0};
    tap_lens_want(&wanted, lens);
    const tap_item item = {.pixels = &s.scene.pixels,
                           .sequence = &s.scene.sequence,
                           .plans = (const tap_plan *const *)s.plans,
                           .read = rows,
                           .n_read = n_rows};
    const tap_sink sink = {.owner = lens, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.kernels = kernels, .n_threads = n_threads};
    TAP_TRY_OUT(tap_run(NULL, s.model, &item, 1, s.n_conditions, &options, &sink, err));
    tap_lens_flush(lens);
    TAP_TRY_OUT(put_all(cli, &s, &labels, lens, err));
out:
    tap_lens_close(lens);
    tap_labels_clear(&labels);
    tap_free(depths);
    tap_subject_clear(&s);
    return status;
}

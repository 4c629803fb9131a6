/* tapetum lens: ranks of words at every patch and depth of one image. */
#include "cli/commands.h"
#include "cli/lens_query.h"

#include <omp.h>
#include <string.h>

/* What the run needs beside the query. */
typedef struct reading {
    float *word_scale;
    tap_translator *translator;
    tap_source *source; /* NULL: the lens watches the run itself */
    tap_lens *lens;
    const int64_t *rows; /* all image tokens */
    int64_t n_rows;
} reading;

/* ORDER in the options' tables */
enum { READ_RESID, READ_HEAD, READ_VALUE, READ_KEY, READ_EMBED };

static tap_status find_label(tap_lens_query *q, const char *word,
                             tap_multi_token policy, const char *option, tap_error *err)
{
    int64_t index = 0;
    TAP_TRY(tap_labels_find(&index, &q->labels, word, err));
    if (policy == TAP_MULTI_SKIP && q->labels.labels[index].n_columns == 0)
        return TAP_FAIL(err, TAP_EINVAL,
                        "every form of the %s '%s' needs several tokens of this model, "
                        "so it has no rank; choose another word, or say with "
                        "--multi-token how its pieces count",
                        option, word);
    return TAP_OK;
}

/* Labels, then the words of --candidates that are not among them. */
static tap_status find_words(tap_lens_query *q, const tap_cli *cli,
                             tap_multi_token policy, tap_error *err)
{
    size_t n = 0;
    const char *const *words = tap_args_list(&n, cli->args, "label");
    const char *list = tap_args_text(cli->args, "candidates");
    if (n == 0 && !list && q->n_top == 0)
        return TAP_FAIL(
            err, TAP_EINVAL,
            "no label to look for; add --label WORD, as in --label tail, or "
            "--top K");
    for (size_t i = 0; i < n; i++)
        TAP_TRY(find_label(q, words[i], policy, "label", err));
    q->n_asked = q->labels.n_labels;
    q->closed = list != NULL;
    while (list && *list) {
        char word[64];
        const size_t n_bytes = strcspn(list, ",");
        if (n_bytes == 0 || n_bytes >= sizeof word)
            return TAP_FAIL(err, TAP_EINVAL,
                            "option '--candidates' expects words of at most 63 bytes "
                            "with commas between them, found '%.80s'",
                            list);
        memcpy(word, list, n_bytes);
        word[n_bytes] = '\0';
        TAP_TRY(find_label(q, word, policy, "candidate", err));
        list += n_bytes + (list[n_bytes] == ',');
    }
    if (q->closed && q->n_asked == 0)
        q->n_asked = q->labels.n_labels; /* no label named: all of them */
    return TAP_OK;
}

static bool same_ids(const tap_spelling *a, const tap_spelling *b)
{
    return a->n_ids == b->n_ids &&
           memcmp(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids) == 0;
}

/* What the lens ranks, and where each spelling stands in it. One id each and nothing else
 * asked for: the ranking kernel. Closed set: the logits of all pieces. */
static tap_status choose_words(tap_lens_query *q, tap_lens_spec *spec,
                               tap_multi_token policy, tap_error *err)
{
    TAP_TRY(tap_labels_spell(&q->spellings, &q->labels, policy, err));
    const tap_label_spellings *s = &q->spellings;
    TAP_TRY(tap_alloc(&q->columns, (size_t)s->n, sizeof *q->columns, "labels", err));
    if (policy == TAP_MULTI_SKIP && q->n_top == 0 && !spec->words && !q->closed) {
        spec->labels = q->labels.ids;
        spec->n_labels = (int64_t)q->labels.n_ids;
        for (int64_t i = 0; i < s->n; i++)
            q->columns[i] = q->labels.labels[s->label[i]].forms[s->form[i]].column;
        return TAP_OK;
    }
    /* each distinct spelling once; they move to the front in place */
    int32_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        int32_t at = 0;
        while (at < n && !same_ids(&s->spellings[at], &s->spellings[i]))
            at++;
        if (at == n)
            s->spellings[n++] = s->spellings[i];
        q->columns[i] = at;
    }
    spec->spellings = s->spellings;
    spec->n_spellings = n;
    return TAP_OK;
}

static tap_status choose_matrix(tap_lens_spec *spec, reading *r, const tap_model *model,
                                const tap_cli *cli, tap_error *err)
{
    const bool embed = tap_args_choice(cli->args, "readout") == READ_EMBED;
    const int norm = tap_args_choice(cli->args, "norm");
    spec->no_norm = norm < 0 ? embed : norm == 1;
    if (!embed)
        return TAP_OK;
    float *row = NULL;
    TAP_TRY(tap_alloc(&r->word_scale, (size_t)model->spec.lm.d_vocab,
                      sizeof *r->word_scale, "word norms", err));
    TAP_TRY(tap_alloc(&row, (size_t)model->spec.lm.stack.d_model, sizeof *row,
                      "word norms", err));
    tap_vocab_inverse_norms(r->word_scale, &model->embed, row);
    tap_free(row);
    spec->words = &model->embed;
    spec->word_scale = r->word_scale;
    return TAP_OK;
}

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    const reading *r = owner;
    return r->source ? tap_source_put(r->source, &r->lens, 1, state, err)
                     : tap_lens_put(r->lens, state, err);
}

static tap_status run(tap_lens_query *q, reading *r, tap_lens_spec *spec,
                      const tap_cli *cli, tap_error *err)
{
    const tap_subject *s = &q->subject;
    const tap_kernels *kernels = tap_cli_kernels(cli);
    const int n_threads = cli->n_threads > 0 ? cli->n_threads : omp_get_num_procs();
    r->rows = s->scene.image_rows;
    r->n_rows = s->scene.sequence.n_image;
    const tap_item item = {.pixels = &s->scene.pixels,
                           .sequence = &s->scene.sequence,
                           .plans = (const tap_plan *const *)s->plans,
                           .read = r->rows,
                           .n_read = r->n_rows};
    const bool watches = q->readout == TAP_READOUT_RESID && !r->translator;
    spec->rows = &r->rows;
    spec->n_rows = &r->n_rows;
    spec->n_states = watches ? 0 : tap_source_n_states(s->model, q->readout);
    TAP_TRY(tap_lens_open(&q->lens, s->model, kernels, n_threads, spec, 1,
                          s->n_conditions, err));
    r->lens = q->lens;
    tap_wanted wanted = {0};
    if (watches) {
        tap_lens_want(&wanted, q->lens);
    } else {
        const tap_source_spec source = {.readout = q->readout,
                                        .model = s->model,
                                        .kernels = kernels,
                                        .n_threads = n_threads,
                                        .translator = r->translator,
                                        .items = &item,
                                        .n_items = 1,
                                        .rows = &r->rows,
                                        .n_rows = &r->n_rows};
        TAP_TRY(tap_source_open(&r->source, &source, err));
        tap_source_want(&wanted, &source);
    }
    const tap_sink sink = {.owner = r, .wanted = &wanted, .put = put_state};
    const tap_run_options options = {.kernels = kernels, .n_threads = n_threads};
    TAP_TRY(tap_run(NULL, s->model, &item, 1, s->n_conditions, &options, &sink, err));
    tap_lens_flush(q->lens);
    return TAP_OK;
}

tap_status tap_cmd_lens(tap_cli *cli, tap_error *err)
{
    static const tap_readout readouts[] = {TAP_READOUT_RESID, TAP_READOUT_HEAD,
                                           TAP_READOUT_VALUE, TAP_READOUT_KEY,
                                           TAP_READOUT_RESID};
    static const char *const names[] = {"resid", "head", "value", "key", "embed"};
    const int readout = tap_args_choice(cli->args, "readout");
    const tap_multi_token policy =
        (tap_multi_token)tap_args_choice(cli->args, "multi-token");
    const char *translator = tap_args_text(cli->args, "translator");
    const char *out = tap_args_text(cli->args, "output");
    const bool per_block = readout == READ_VALUE || readout == READ_KEY;
    const tap_label_spec as_named = TAP_LABELS_AS_NAMED;
    tap_lens_query q = {.n_top = tap_args_int(cli->args, "top"),
                        .readout = readouts[readout],
                        .readout_name = names[readout],
                        .state_name = per_block ? "block" : "depth"};
    reading r = {0};
    tap_lens_spec spec = {.n_top = q.n_top};
    if (translator && readout != READ_RESID)
        return TAP_FAIL(err, TAP_EINVAL,
                        "a translator maps states of the decoder's depths; it does not "
                        "go with --readout %s",
                        names[readout]);
    tap_status status = tap_subject_open(&q.subject, cli, err);
    if (status != TAP_OK)
        return status;
    tap_subject_notes(&q.subject, cli);
    const tap_model *model = q.subject.model;
    TAP_TRY_OUT(tap_model_demand_decoder(model, err));
    TAP_TRY_OUT(tap_labels_open(&q.labels, model->tokenizer, &as_named, err));
    TAP_TRY_OUT(find_words(&q, cli, policy, err));
    if (out) {
        TAP_TRY_OUT(tap_lens_output_check(out, q.n_asked, err));
        TAP_TRY_OUT(
            tap_model_demand_places(model, "a picture of words at patches", err));
    }
    TAP_TRY_OUT(choose_matrix(&spec, &r, model, cli, err));
    TAP_TRY_OUT(choose_words(&q, &spec, policy, err));
    if (translator)
        TAP_TRY_OUT(tap_translator_open(&r.translator, translator,
                                        model->spec.lm.stack.d_model,
                                        model->spec.lm.stack.n_blocks, err));
    TAP_TRY_OUT(run(&q, &r, &spec, cli, err));
    TAP_TRY_OUT(out ? tap_lens_query_write(&q, cli, out, err)
                    : tap_lens_query_print(&q, cli, err));
out:
    tap_source_close(r.source);
    tap_translator_close(r.translator);
    tap_free(r.word_scale);
    tap_lens_close(q.lens);
    tap_free(q.columns);
    tap_label_spellings_clear(&q.spellings);
    tap_labels_clear(&q.labels);
    tap_subject_clear(&q.subject);
    return status;
}

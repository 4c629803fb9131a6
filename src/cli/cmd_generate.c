/* tapetum generate: an answer to a question about an image, clean or under conditions. */
#include "cli/commands.h"
#include "cli/subject.h"
#include "model/generate.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static tap_status print_text(void *owner, const char *text, size_t n_bytes,
                             tap_error *err)
{
    (void)owner;
    if (fwrite(text, 1, n_bytes, stdout) != n_bytes || fflush(stdout) != 0)
        return TAP_FAIL(err, TAP_EIO, "cannot write to standard output");
    return TAP_OK;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static tap_status put_json(const tap_subject *s, int64_t c, int64_t n_prompt,
                           const tap_answer *a, const tap_head_receipt *cuts,
                           tap_error *err)
{
    json_t *ids = json_array();
    for (size_t i = 0; ids && i < a->n_ids; i++)
        (void)json_array_append_new(ids, json_integer(a->ids[i]));
    return tap_cli_put_json(
        json_pack("{s:o, s:I, s:o, s:o, s:s, s:{s:I, s:I, s:I}}", "condition",
                  tap_cli_json_text(s->texts[c]), "n_prompt", (json_int_t)n_prompt,
                  "text", json_stringn(a->text, a->n_bytes), "ids", ids, "end",
                  a->stopped ? "stop" : "limit", "edges", "allowed",
                  (json_int_t)cuts->allowed, "cut", (json_int_t)cuts->cut, "zeroed",
                  (json_int_t)cuts->zeroed),
        err);
}

static tap_status answer(const tap_cli *cli, const tap_subject *s, int64_t c,
                         int64_t n_prompt, tap_decoder *decoder,
                         const tap_generate_options *options, tap_error *err)
{
    tap_answer a = {0};
    const double start = now();
    if (!cli->json && s->n_conditions > 1)
        printf("%scondition: %s\n", c ? "\n" : "",
               s->texts[c][0] ? s->texts[c] : "clean");
    TAP_TRY(tap_generate(&a, decoder, s->model->tokenizer, s->model->spec.lm.d_vocab,
                         options, err));
    const tap_head_receipt cuts = tap_decoder_receipt(decoder);
    tap_status status = TAP_OK;
    if (cli->json)
        status = put_json(s, c, n_prompt, &a, &cuts, err);
    else
        putchar('\n');
    tap_cli_detail(cli, "answer of %zu tokens in %.2f s; %lld of its %lld edges cut",
                   a.n_ids, now() - start, (long long)(cuts.cut + cuts.zeroed),
                   (long long)cuts.allowed);
    tap_answer_clear(&a);
    return status;
}

static tap_status answer_all(const tap_cli *cli, const tap_subject *s, int64_t n_prompt,
                             const tap_generate_options *options, tap_error *err)
{
    const tap_run_options run = {.kernels = tap_cli_kernels(cli),
                                 .n_threads = cli->n_threads};
    const tap_item item = {.pixels =
                               s->scene.pixels.n_tiles > 0 ? &s->scene.pixels : NULL,
                           .sequence = &s->scene.sequence,
                           .plans = (const tap_plan *const *)s->plans};
    const size_t n = (size_t)s->n_conditions;
    const double start = now();
    tap_decoder **decoders = NULL;
    TAP_TRY(tap_alloc(&decoders, n, sizeof(tap_decoder *), "answers", err));
    tap_status status =
        tap_decoder_open(decoders, s->model, &item, s->n_conditions, &run, err);
    tap_cli_detail(cli,
                   "prompt of %lld tokens in %.2f s; %zu bytes for keys and values",
                   (long long)n_prompt, now() - start,
                   n * tap_decoder_bytes(s->model, item.sequence->n_tok, &run));
    for (size_t c = 0; status == TAP_OK && c < n; c++)
        status = answer(cli, s, (int64_t)c, n_prompt, decoders[c], options, err);
    for (size_t c = 0; c < n; c++)
        tap_decoder_close(decoders[c]);
    tap_free(decoders);
    return status;
}

static tap_status list_templates(const tap_cli *cli, tap_error *err)
{
    for (const tap_template *t = tap_templates; t->name; t++) {
        char *text = NULL;
        TAP_TRY(tap_template_put(&text, t, "{text}", true, err));
        tap_status status = TAP_OK;
        if (cli->json)
            status = tap_cli_put_json(
                json_pack("{s:s, s:s}", "template", t->name, "text", text), err);
        else
            printf("%s\n    %s\n", t->name, text);
        tap_free(text);
        TAP_TRY(status);
    }
    return TAP_OK;
}

tap_status tap_cmd_generate(tap_cli *cli, tap_error *err)
{
    const char *name = tap_args_text(cli->args, "template");
    const tap_template *chat = NULL;
    tap_subject s = {0};
    int32_t *stops = NULL;
    int64_t n_new = tap_args_int(cli->args, "max-tokens");
    if (name && strcmp(name, "list") == 0)
        return list_templates(cli, err);
    if (name)
        TAP_TRY(tap_template_get(&chat, name, err));
    tap_generate_options options = {
        .sampling = {.temperature = tap_args_real(cli->args, "temperature"),
                     .top_k = tap_args_int(cli->args, "top-k"),
                     .top_p = tap_args_real(cli->args, "top-p"),
                     .seed = (uint64_t)tap_args_int(cli->args, "seed")},
        .put = cli->json ? NULL : print_text};
    tap_status status = tap_subject_ask(&s, &n_new, cli, chat, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_model_demand_decoder(s.model, err));
    tap_subject_notes(&s, cli);
    if (n_new < 1)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EINVAL,
                     "the prompt fills all %lld positions of the model; shorten "
                     "it",
                     (long long)tap_lm_longest(&s.model->spec.lm)));
    options.max_tokens = n_new;
    if (!chat)
        TAP_TRY_OUT(tap_template_get(&chat, s.model->spec.chat, err));
    TAP_TRY_OUT(tap_stops_read(&stops, &options.n_stops, s.path, &s.model->spec, chat,
                               s.model->tokenizer, err));
    options.stops = stops;
    status = answer_all(cli, &s, s.scene.sequence.n_tok - n_new, &options, err);
out:
    tap_free(stops);
    tap_subject_clear(&s);
    return status;
}

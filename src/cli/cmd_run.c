/* tapetum run: the sweep of an experiment file into results.db; resumes by itself. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/reading.h"
#include "hook/plan.h"
#include "lab/sweep.h"
#include "model/rate.h"

#include <stdlib.h>
#include <string.h>

/* "i/n" with 0 <= i < n. */
static tap_status parse_shard(int *shard, int *n_shards, const char *text,
                              tap_error *err)
{
    char *end = NULL;
    if (!text)
        return TAP_OK;
    const unsigned long i = strtoul(text, &end, 10);
    const unsigned long n = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
    if (*end != '\0' || n < 1 || n > 100000 || i >= n || text[0] == '-')
        return TAP_FAIL(err, TAP_EINVAL,
                        "--shard '%s' is not i/n with 0 <= i < n, as in 0/4", text);
    *shard = (int)i;
    *n_shards = (int)n;
    return TAP_OK;
}

static tap_status put_summary(const tap_cli *cli, const tap_sweep_counts *c,
                              const char *path, tap_error *err)
{
    if (cli->json)
        return tap_cli_put_json(
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "database", path,
                      "images", (json_int_t)c->n_images, "done", (json_int_t)c->n_done,
                      "items", (json_int_t)c->n_items, "scored",
                      (json_int_t)c->n_scored, "excluded", (json_int_t)c->n_excluded,
                      "gflop", (c->flop_done + c->flop_lens) * 1e-9, "gflop_unshared",
                      (c->flop_unshared + c->flop_lens) * 1e-9, "seconds", c->seconds),
            err);
    tap_cli_note(cli,
                 "%lld of %lld images done; %lld items scored, %lld excluded in this "
                 "run",
                 (long long)c->n_done, (long long)c->n_images, (long long)c->n_scored,
                 (long long)c->n_excluded);
    if (c->seconds > 0)
        tap_cli_note(
            cli,
            "%.1f GFLOP in %.1f s (%.0f GFLOP/s): %.1f in the model, %.1f in the "
            "lens; %.1f saved by sharing",
            (c->flop_done + c->flop_lens) * 1e-9, c->seconds,
            (c->flop_done + c->flop_lens) * 1e-9 / c->seconds, c->flop_done * 1e-9,
            c->flop_lens * 1e-9, (c->flop_unshared - c->flop_done) * 1e-9);
    return TAP_OK;
}

static tap_status run_all(tap_cli *cli, tap_sweep *sweep, tap_error *err)
{
    const tap_sweep_counts *counts = tap_sweep_progress(sweep);
    tap_progress progress;
    tap_progress_init(&progress, cli, "images", counts->n_images, counts->n_done);
    tap_status status = TAP_OK;
    bool more = counts->n_done < counts->n_images;
    while (more && status == TAP_OK && !tap_stop_requested()) {
        status = tap_sweep_step(&more, sweep, err);
        progress.flop = counts->flop_done + counts->flop_lens;
        progress.flop_saved = counts->flop_unshared - counts->flop_done;
        tap_progress_put(&progress, counts->n_done);
    }
    tap_progress_clear(&progress);
    if (status != TAP_OK)
        return status;
    TAP_TRY(tap_sweep_finish(sweep, err));
    if (more)
        return TAP_FAIL(err, TAP_ESTOPPED,
                        "stopped after %lld of %lld images; the same command goes on "
                        "from there",
                        (long long)counts->n_done, (long long)counts->n_images);
    return TAP_OK;
}

/* *flop_per_s of the experiment's model here: about a second of its own products. */
static tap_status measure(double *flop_per_s, const tap_experiment *experiment,
                          const tap_sweep_options *options, tap_error *err)
{
    tap_model *model = NULL;
    TAP_TRY(tap_model_open(&model, experiment->model, err));
    const tap_status status =
        tap_model_rate(flop_per_s, model, options->kernels, options->n_threads, err);
    tap_model_close(model);
    return status;
}

/* What is read, and what ranks are among. */
static void print_readout(const tap_experiment *e, const tap_sweep_counts *c)
{
    static const char *const states[] = {
        [TAP_READOUT_RESID] = "the decoder's residual stream",
        [TAP_READOUT_HEAD] = "the encoder's states through the projector",
        [TAP_READOUT_VALUE] = "values of the decoder's blocks",
        [TAP_READOUT_KEY] = "keys of the decoder's blocks"};
    static const char *const sets[] = {
        [TAP_CANDIDATES_VOCABULARY] = "words of the vocabulary",
        [TAP_CANDIDATES_PARTS] = "part names of the data",
        [TAP_CANDIDATES_OWN_PARTS] = "part names of the same object class at most"};
    const bool auc = e->readout.locate[TAP_LOCATE_AUC],
               gap = e->readout.locate[TAP_LOCATE_GAP];
    printf("read: %s, %lld %s (%s)%s, %s norm, in the basis of the %s\n"
           "ranks: among %lld %s; labels of several tokens: %s%s%s\n",
           states[e->readout.state], (long long)c->n_depths,
           e->readout.state == TAP_READOUT_VALUE || e->readout.state == TAP_READOUT_KEY
               ? "blocks"
               : "depths",
           e->readout.depths, e->readout.translator ? ", through a tuned lens" : "",
           e->readout.no_norm ? "no" : "final",
           e->readout.matrix == TAP_MATRIX_EMBED ? "input embeddings" : "output matrix",
           (long long)c->n_candidates, sets[e->readout.candidates],
           tap_multi_token_name(e->labels.multi_token),
           auc || gap ? "; located at every image token: " : "",
           auc && gap ? "auc, gap"
           : auc      ? "auc"
           : gap      ? "gap"
                      : "");
}

static tap_status dry_run(const tap_cli *cli, tap_experiment *experiment,
                          const tap_sweep_options *options, tap_error *err)
{
    tap_sweep_counts c;
    TAP_TRY(tap_sweep_dry_run(&c, experiment, options, err));
    const double flop = c.flop_done + c.flop_lens;
    const double unshared = c.flop_unshared + c.flop_lens;
    double rate = 0.0;
    char time[32];
    TAP_TRY(measure(&rate, experiment, options, err));
    tap_progress_time(time, flop / rate);
    if (cli->json)
        return tap_cli_put_json(
            json_pack(
                "{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:s, "
                "s:s, s:s, s:s, s:I, s:I, s:b, s:b}",
                "images", (json_int_t)c.n_images, "items", (json_int_t)c.n_items,
                "scored", (json_int_t)c.n_scored, "excluded", (json_int_t)c.n_excluded,
                "runs", (json_int_t)c.n_plans, "gflop", flop * 1e-9, "gflop_unshared",
                unshared * 1e-9, "state_bytes", (json_int_t)c.state_bytes,
                "memory_bytes", (json_int_t)c.memory_bytes, "weight_bytes",
                (json_int_t)c.weight_bytes, "gflop_per_s", rate * 1e-9, "seconds",
                flop / rate, "state", tap_state_name(experiment->readout.state),
                "matrix",
                experiment->readout.matrix == TAP_MATRIX_EMBED ? "embed" : "output",
                "candidates", tap_candidates_name(experiment->readout.candidates),
                "multi_token", tap_multi_token_name(experiment->labels.multi_token),
                "n_candidates", (json_int_t)c.n_candidates, "n_depths",
                (json_int_t)c.n_depths, "auc",
                (int)experiment->readout.locate[TAP_LOCATE_AUC], "gap",
                (int)experiment->readout.locate[TAP_LOCATE_GAP]),
            err);
    printf(
        "%lld images, %lld items: %lld scored, %lld excluded\n"
        "%zu conditions make %lld different runs of an image: %.1f GFLOP, %.1f without "
        "sharing\n"
        "memory: %.1f MiB for the largest image beside %.1f MiB of mapped weights; "
        "batches take up to %.1f MiB\n"
        "time: about %s at the %.3g GFLOP/s that the products of one block reach here; "
        "reading photographs comes on top\n",
        (long long)c.n_images, (long long)c.n_items, (long long)c.n_scored,
        (long long)c.n_excluded, experiment->n_conditions, (long long)c.n_plans,
        flop * 1e-9, unshared * 1e-9, (double)c.state_bytes / 0x1p20,
        (double)c.weight_bytes / 0x1p20, (double)c.memory_bytes / 0x1p20, time,
        rate * 1e-9);
    print_readout(experiment, &c);
    for (size_t i = 0; i < experiment->n_conditions; i++) {
        tap_condition *condition = NULL;
        TAP_TRY(tap_condition_parse(&condition, experiment->conditions[i].text, err));
        printf(
            "  %-16s %s\n%s", experiment->conditions[i].name,
            experiment->conditions[i].text,
            tap_condition_names(condition, "reg")
                ? "                   reg: high-norm tokens of a clean run of each image\n"
                : "");
        tap_condition_free(condition);
    }
    return TAP_OK;
}

tap_status tap_cmd_run(tap_cli *cli, tap_error *err)
{
    const char *path = tap_args_argument(cli->args, 0);
    const char *database = tap_args_text(cli->args, "output");
    tap_experiment experiment = {0};
    tap_sweep *sweep = NULL;
    tap_sweep_options options = {.kernels = tap_cli_kernels(cli),
                                 .n_threads = cli->n_threads,
                                 .memory_bytes =
                                     tap_args_given(cli->args, "memory")
                                         ? (size_t)tap_args_int(cli->args, "memory")
                                         : 0,
                                 .skip_nothing = tap_args_flag(cli->args, "no-skip"),
                                 .share_nothing = tap_args_flag(cli->args, "no-share"),
                                 .command_line = cli->command_line};
    tap_meter meter;
    const tap_dataset_progress reading = tap_meter_begin(&meter, cli);
    options.reading = &reading;
    const bool dry = tap_args_flag(cli->args, "dry-run");
    if (!database && !dry)
        return TAP_FAIL(err, TAP_EINVAL,
                        "no database named; add -o results.db for the results");
    tap_status status = tap_experiment_read(&experiment, path, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(parse_shard(&options.shard, &options.n_shards,
                            tap_args_text(cli->args, "shard"), err));
    if (dry) {
        status = dry_run(cli, &experiment, &options, err);
        goto out;
    }
    tap_stop_listen();
    status = tap_sweep_open(&sweep, &experiment, database, &options, err);
    tap_meter_end(&meter);
    if (status != TAP_OK)
        goto out;
    TAP_TRY_OUT(run_all(cli, sweep, err));
    TAP_TRY_OUT(put_summary(cli, tap_sweep_progress(sweep), database, err));
out:
    tap_meter_end(&meter);
    tap_sweep_close(sweep);
    tap_experiment_clear(&experiment);
    return status;
}

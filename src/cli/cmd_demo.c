/* tapetum demo: the whole experiment on embedded models and pictures. */
#include "base/file.h"
#include "cli/cmd_stats.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "lab/stats_words.h"
#include "lab/sweep.h"
#include "report/report.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TAP_DATA_DIR
#    define TAP_DATA_DIR "/usr/local/share/tapetum"
#endif

enum { N_SUBJECTS = 2 };

static const char EXPERIMENT[] =
    "# Who does the seeing? The 2x2 on the embedded model; written by 'tapetum demo'.\n"
    "schema: 1\n"
    "model: %s\n"
    "data:\n"
    "  format: masks\n"
    "  images: %s/scenes\n"
    "  annotations: %s/scenes/items.tsv\n"
    "  parts: {min_area_px: 12}\n"
    "conditions:\n"
    "  clean: \"\"\n"
    "  encoder_off: \"vision: image <- image|cls\"\n"
    "  decoder_off: \"lm: image <- image\"\n"
    "  both_off: [encoder_off, decoder_off]\n"
    "  # a share of the decoder's edges between image tokens, with the encoder intact and cut\n"
    "  quarter: \"lm: image <- image fraction 0.25 seed 1\"\n"
    "  half: \"lm: image <- image fraction 0.5 seed 1\"\n"
    "  most: \"lm: image <- image fraction 0.75 seed 1\"\n"
    "  encoder_off_quarter: [encoder_off, quarter]\n"
    "  encoder_off_half: [encoder_off, half]\n"
    "  encoder_off_most: [encoder_off, most]\n"
    "design: {clean: clean, encoder_off: encoder_off, decoder_off: decoder_off, both_off: "
    "both_off}\n"
    "doses:\n"
    "  encoder intact:\n"
    "    - {dose: 0, condition: clean}\n"
    "    - {dose: 0.25, condition: quarter}\n"
    "    - {dose: 0.5, condition: half}\n"
    "    - {dose: 0.75, condition: most}\n"
    "    - {dose: 1, condition: decoder_off}\n"
    "  encoder off:\n"
    "    - {dose: 0, condition: encoder_off}\n"
    "    - {dose: 0.25, condition: encoder_off_quarter}\n"
    "    - {dose: 0.5, condition: encoder_off_half}\n"
    "    - {dose: 0.75, condition: encoder_off_most}\n"
    "    - {dose: 1, condition: both_off}\n"
    "controls: [shifted_mask, other_part, random_patches, blank_image, mismatched_image, "
    "permuted_labels, permuted_labels_global, object_name, words]\n"
    "stats: {metrics: [log_rank, mrr, \"hit@1\", \"hit@10\"], bootstrap: 2000, seed: 1}\n";

/* *out = the folder of embedded files: --data, share/organism of a source tree, or where
 * 'make install' put them. */
static tap_status find_data(char **out, const tap_cli *cli, tap_error *err)
{
    char beside[4096] = "";
    const ssize_t n = readlink("/proc/self/exe", beside, sizeof beside - 64);
    char *bin = n > 0 ? strstr(beside, "/bin/tapetum") : NULL;
    if (bin)
        (void)snprintf(bin, 64, "/share/tapetum/organism");
    const char *const places[] = {tap_args_text(cli->args, "data"), "share/organism",
                                  bin ? beside : NULL, TAP_DATA_DIR "/organism"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *table = NULL;
        if (!places[i])
            continue;
        TAP_TRY(tap_path_join(&table, places[i], "scenes/items.tsv", err));
        const bool found = tap_file_exists(table);
        tap_free(table);
        if (!found)
            continue;
        char here[4096]; /* paths in an experiment file count from the file */
        if (!getcwd(here, sizeof here))
            return TAP_FAIL(err, TAP_EIO, "cannot tell the current folder: %s",
                            strerror(errno));
        return tap_path_join(out, here, places[i], err);
    }
    return TAP_FAIL(
        err, TAP_EIO,
        "the embedded pictures are not found; run it in the source tree, or "
        "name their folder with --data DIR");
}

static tap_status write_text(const char *path, const char *text, tap_error *err)
{
    tap_file_out *file = NULL;
    TAP_TRY(tap_file_create(&file, path, err));
    tap_status status = tap_file_put(file, text, strlen(text), err);
    if (status == TAP_OK)
        status = tap_file_commit(file, err);
    tap_file_close(file);
    return status;
}

/* The experiment of one model: experiment file, sweep, table. *recovery = R in S, macro, at
 * the depth that leaves the last block. */
static tap_status run_model(tap_estimate *recovery, tap_cli *cli, const char *data,
                            const char *name, const char *out, tap_error *err)
{
    char *model = NULL, *yaml = NULL, *database = NULL, *text = NULL, *note_path = NULL;
    char *note = NULL;
    size_t n_note = 0;
    tap_experiment experiment = {0};
    tap_sweep *sweep = NULL;
    tap_store *store = NULL;
    tap_stats *stats = NULL;
    tap_status status = TAP_OK;
    TAP_TRY_OUT(tap_text_format(&model, err, "%s/%s", data, name));
    TAP_TRY_OUT(tap_text_format(&yaml, err, "%s/%s.yaml", out, name));
    TAP_TRY_OUT(tap_text_format(&database, err, "%s/%s.db", out, name));
    TAP_TRY_OUT(tap_text_format(&text, err, EXPERIMENT, model, data, data));
    TAP_TRY_OUT(write_text(yaml, text, err));
    TAP_TRY_OUT(tap_experiment_read(&experiment, yaml, err));
    const tap_sweep_options options = {.n_threads = cli->n_threads,
                                       .command_line = cli->command_line};
    TAP_TRY_OUT(tap_sweep_open(&sweep, &experiment, database, &options, err));
    const tap_sweep_counts *counts = tap_sweep_progress(sweep);
    tap_progress progress;
    tap_progress_init(&progress, cli, "images", counts->n_images, counts->n_done);
    bool more = counts->n_done < counts->n_images;
    while (more && status == TAP_OK && !tap_stop_requested()) {
        status = tap_sweep_step(&more, sweep, err);
        tap_progress_put(&progress, counts->n_done);
    }
    tap_progress_clear(&progress);
    if (status == TAP_OK && more)
        status = TAP_FAIL(err, TAP_ESTOPPED,
                          "stopped; the same command goes on where it was");
    TAP_TRY_OUT(status);
    TAP_TRY_OUT(tap_sweep_finish(sweep, err));
    TAP_TRY_OUT(tap_store_open_read(&store, database, err));
    const tap_stats_options stats_options = {
        .n_threads = cli->n_threads, .n_resamples = -1, .seed = -1};
    TAP_TRY_OUT(tap_stats_run(&stats, store, &stats_options, err));
    printf("\n==== %s ====\n", name);
    TAP_TRY_OUT(tap_text_format(&note_path, err, "%s/MODEL.txt", model));
    if (tap_file_exists(note_path)) {
        TAP_TRY_OUT(tap_file_read(&note, &n_note, note_path, 1 << 16, err));
        printf("%s", note);
    }
    TAP_TRY_OUT(tap_stats_put_text(stats, err));
    *recovery = *tap_stats_quantity(stats, TAP_MACRO,
                                    tap_stats_find_metric(stats, TAP_METRIC_LOG_RANK),
                                    stats->data.n_depths - 1, TAP_Q_R);
    printf("\nwritten: %s and %s; more with 'tapetum stats %s', 'tapetum export %s "
           "score'\n",
           yaml, database, database, database);
out:
    tap_stats_free(stats);
    tap_store_close(store);
    tap_sweep_close(sweep);
    tap_experiment_clear(&experiment);
    tap_free(note);
    tap_free(note_path);
    tap_free(text);
    tap_free(database);
    tap_free(yaml);
    tap_free(model);
    return status;
}

/* One page: report.html beside the databases. */
static tap_status put_report(const tap_cli *cli, const char *const *names,
                             const char *out, tap_error *err)
{
    tap_store *stores[N_SUBJECTS] = {NULL};
    char *path = NULL;
    const tap_report_options options = {.images = TAP_IMAGES_FULL,
                                        .n_threads = cli->n_threads,
                                        .command_line = cli->command_line};
    tap_status status = TAP_OK;
    for (int i = 0; i < N_SUBJECTS; i++) {
        TAP_TRY_OUT(tap_text_format(&path, err, "%s/%s.db", out, names[i]));
        TAP_TRY_OUT(tap_store_open_read(&stores[i], path, err));
        tap_free(path);
        path = NULL;
    }
    TAP_TRY_OUT(tap_text_format(&path, err, "%s/report.html", out));
    TAP_TRY_OUT(tap_report_write(path, (const tap_store *const *)stores, N_SUBJECTS,
                                 &options, err));
    printf("\nlook at it: %s\n", path);
out:
    for (int i = 0; i < N_SUBJECTS; i++)
        tap_store_close(stores[i]);
    tap_free(path);
    return status;
}

/* What the pair is for: two decoders that differ in the text they read first, over one
 * vision tower, must come out apart. Says whether they did. */
static tap_status put_verdict(const char *const *names, const tap_estimate *r,
                              tap_error *err)
{
    tap_buffer said = {0};
    printf("\n==== which decoder compensates? ====\n");
    for (int i = 0; i < N_SUBJECTS; i++)
        printf("R of '%s' at the last depth: %.2f [%.2f, %.2f]\n", names[i], r[i].value,
               r[i].low, r[i].high);
    const tap_status status = tap_stats_compare_words(&said, names, r, N_SUBJECTS, err);
    if (status == TAP_OK)
        printf("%sBoth see through the same encoder.\n", said.text ? said.text : "");
    tap_buffer_clear(&said);
    return status;
}

tap_status tap_cmd_demo(tap_cli *cli, tap_error *err)
{
    static const char *const subjects[N_SUBJECTS] = {"compensating",
                                                     "non-compensating"};
    tap_estimate recovery[N_SUBJECTS];
    const char *out = tap_args_text(cli->args, "output");
    char *data = NULL;
    tap_status status = find_data(&data, cli, err);
    if (status != TAP_OK)
        return status;
    tap_stop_listen();
    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        TAP_TRY_OUT(TAP_FAIL(err, TAP_EIO, "cannot make the folder '%s': %s", out,
                             strerror(errno)));
    for (int i = 0; i < N_SUBJECTS; i++)
        TAP_TRY_OUT(run_model(&recovery[i], cli, data, subjects[i], out, err));
    TAP_TRY_OUT(put_verdict(subjects, recovery, err));
    status = put_report(cli, subjects, out, err);
out:
    tap_free(data);
    return status;
}

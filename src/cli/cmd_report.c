/* tapetum report and figure: results.db as a page, and its figures as files for papers. */
#include "cli/commands.h"
#include "report/figures.h"
#include "report/report.h"

#include <string.h>

tap_status tap_cmd_report(tap_cli *cli, tap_error *err)
{
    const char *path = tap_args_text(cli->args, "output");
    const size_t n = tap_args_count(cli->args);
    const tap_report_options options = {
        .images = (tap_images)tap_args_choice(cli->args, "images"),
        .n_threads = cli->n_threads,
        .command_line = cli->command_line};
    tap_store **stores = NULL;
    tap_status status = TAP_OK;
    TAP_TRY(tap_alloc(&stores, n, sizeof *stores, "a report", err));
    for (size_t i = 0; i < n; i++)
        TAP_TRY_OUT(
            tap_store_open_read(&stores[i], tap_args_argument(cli->args, i), err));
    TAP_TRY_OUT(
        tap_report_write(path, (const tap_store *const *)stores, n, &options, err));
    if (strcmp(path, "-") != 0)
        tap_cli_note(cli, "%s: open it in a browser; it loads nothing else", path);
out:
    for (size_t i = 0; i < n; i++)
        tap_store_close(stores[i]);
    tap_free(stores);
    return status;
}

static bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && strcmp(path + n - m, end) == 0;
}

static tap_status picture_of(tap_picture *out, const char *path, tap_error *err)
{
    if (!path)
        return TAP_FAIL(err, TAP_EINVAL,
                        "no file named; add -o FILE.svg, FILE.pdf or FILE.png");
    if (ends_in(path, ".svg"))
        *out = TAP_PICTURE_SVG;
    else if (ends_in(path, ".pdf"))
        *out = TAP_PICTURE_PDF;
    else if (ends_in(path, ".png"))
        *out = TAP_PICTURE_PNG;
    else
        return TAP_FAIL(
            err, TAP_EINVAL,
            "'%s' does not say which picture is wanted; let it end in .svg, "
            ".pdf or .png",
            path);
    return TAP_OK;
}

/* The view that the options ask for. */
static tap_status view_of(tap_figure_view *view, const tap_cli *cli,
                          const tap_study *study, tap_error *err)
{
    static const double px_per_mm = 96.0 / 25.4;
    *view = tap_figure_view_of(study);
    view->width_px = tap_args_real(cli->args, "width") * px_per_mm;
    view->average = tap_args_choice(cli->args, "average") == 1 ? TAP_MICRO : TAP_MACRO;
    const char *metric = tap_args_text(cli->args, "metric");
    if (metric) {
        view->metric = -1;
        for (int32_t m = 0; m < study->stats->n_metrics; m++)
            if (strcmp(tap_metric_name(study->stats->metrics[m]), metric) == 0)
                view->metric = m;
        if (view->metric < 0)
            return TAP_FAIL(
                err, TAP_EINVAL,
                "'%s' holds no metric '%s'; the experiment names them under "
                "stats: metrics",
                tap_store_path(study->store), metric);
    }
    if (tap_args_given(cli->args, "depth")) {
        const int64_t depth = tap_args_int(cli->args, "depth");
        view->depth = -1;
        for (int32_t d = 0; d < study->data->n_depths; d++)
            if (study->data->depths[d] == depth)
                view->depth = d;
        if (view->depth < 0)
            return TAP_FAIL(
                err, TAP_EINVAL,
                "'%s' was not read at depth %lld; its depths go from %d to %d",
                tap_store_path(study->store), (long long)depth, study->data->depths[0],
                study->data->depths[study->data->n_depths - 1]);
    }
    return TAP_OK;
}

tap_status tap_cmd_figure(tap_cli *cli, tap_error *err)
{
    const char *path = tap_args_text(cli->args, "output");
    const tap_figure_kind *kind = NULL;
    const char *missing = NULL;
    tap_picture picture = TAP_PICTURE_SVG;
    tap_store *store = NULL;
    tap_study *study = NULL;
    tap_figure figure = {0};
    tap_figure_view view;
    TAP_TRY(tap_figure_find(&kind, tap_args_argument(cli->args, 1), err));
    TAP_TRY(picture_of(&picture, path, err));
    tap_status status =
        tap_store_open_read(&store, tap_args_argument(cli->args, 0), err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_study_open(&study, store, cli->n_threads, err));
    TAP_TRY_OUT(view_of(&view, cli, study, err));
    TAP_TRY_OUT(kind->build(&figure, &missing, study, &view, err));
    if (missing) {
        status = TAP_FAIL(err, TAP_EINVAL, "'%s': %s", tap_store_path(store), missing);
        goto out;
    }
    TAP_TRY_OUT(
        tap_figure_write(&figure, path, picture, tap_args_real(cli->args, "dpi"), err));
out:
    tap_figure_clear(&figure);
    tap_study_free(study);
    tap_store_close(store);
    return status;
}

/* How far is it? One line on stderr, redrawn on a terminal; elsewhere a line per 30 s. */
#include "cli/progress.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

static const double redraw_s = 0.1, line_s = 30;

static double now_s(void)
{
    struct timespec at = {0};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

void tap_progress_init(tap_progress *progress, const tap_cli *cli, const char *unit,
                       int64_t total, int64_t done)
{
    const int choice = tap_args_choice(cli->args, "progress");
    const bool terminal = isatty(STDERR_FILENO);
    *progress =
        (tap_progress){.unit = unit,
                       .total = total,
                       .first = done,
                       .started_s = now_s(),
                       .terminal = terminal,
                       .on = choice == 1 || (choice == 0 && cli->verbosity >= 0)};
    progress->last_s = progress->started_s;
}

void tap_progress_time(char text[32], double s)
{
    const int64_t t = (int64_t)(s + 0.5);
    if (t >= 3600)
        snprintf(text, 32, "%" PRId64 " h %02d min", t / 3600, (int)(t % 3600 / 60));
    else if (t >= 60)
        snprintf(text, 32, "%d min %02d s", (int)(t / 60), (int)(t % 60));
    else
        snprintf(text, 32, "%d s", (int)t);
}

void tap_progress_flop(char text[32], double flop)
{
    static const char *const units[] = {"MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"};
    size_t i = 0;
    for (flop *= 1e-6; flop >= 999.5 && i < sizeof units / sizeof *units - 1; i++)
        flop *= 1e-3;
    snprintf(text, 32, "%.3g %s", flop, units[i]);
}

/* Work done, planned and spared, and the rate of it. */
static void put_work(const tap_progress *progress, int64_t fresh, double now)
{
    char done[32], planned[32], saved[32];
    const double share = (double)(progress->total - progress->first) / (double)fresh;
    tap_progress_flop(done, progress->flop);
    tap_progress_flop(planned, progress->flop * share);
    tap_progress_flop(saved, progress->flop_saved);
    fprintf(stderr, ", %s of about %s, %s saved by sharing, %.3g GFLOP/s", done,
            planned, saved, progress->flop * 1e-9 / (now - progress->started_s + 1e-9));
}

void tap_progress_put(tap_progress *progress, int64_t done)
{
    const double now = now_s();
    const double pause = progress->terminal ? redraw_s : line_s;
    if (!progress->on || (now - progress->last_s < pause && done < progress->total))
        return;
    const int64_t fresh = done - progress->first;
    if (!progress->terminal && now - progress->started_s < line_s)
        return;
    progress->last_s = now;
    char left[32] = "?";
    const double each = fresh > 0 ? (now - progress->started_s) / (double)fresh : 0;
    if (fresh > 0)
        tap_progress_time(left, each * (double)(progress->total - done));
    fprintf(stderr, "%s%" PRId64 " of %" PRId64 " %s", progress->terminal ? "\r" : "",
            done, progress->total, progress->unit);
    if (fresh > 0)
        fprintf(stderr, ", %.3g %s/min", 60 / (each > 0 ? each : 1e-9), progress->unit);
    if (fresh > 0 && progress->flop > 0)
        put_work(progress, fresh, now);
    if (fresh > 0)
        fprintf(stderr, ", %s left", left);
    fputs(progress->terminal ? "\033[K" : "\n", stderr);
    fflush(stderr);
    progress->drawn = progress->terminal;
}

void tap_progress_clear(tap_progress *progress)
{
    if (progress->drawn)
        fputs("\n", stderr);
    progress->drawn = false;
}

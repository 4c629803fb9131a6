/* tapetum check: the invariants of docs/method.md on this very model and image. */
#include "cli/commands.h"
#include "read/arithmetic.h"
#include "read/check.h"

#include <math.h>
#include <omp.h>

static const char *const verdicts[] = {"holds", "FAILS",
                                       "not here"}; /* ORDER verdicts */
static const char *const json_verdicts[] = {"holds", "fails", "not_here"};

static void say(void *owner, const char *what)
{
    tap_cli_detail(owner, "%s", what);
}

static tap_status put_row(const tap_cli *cli, const tap_check_row *row, int i,
                          tap_error *err)
{
    const bool fails = row->verdict == TAP_FAILS;
    if (cli->json)
        return tap_cli_put_json(
            json_pack("{s:i, s:s, s:s, s:o, s:o, s:s, s:o}", "invariant", i + 1, "name",
                      row->name, "claim", row->invariant, "compared",
                      tap_cli_json_text(row->compared), "largest",
                      isfinite(row->largest) ? json_real(row->largest) : json_null(),
                      "verdict", json_verdicts[row->verdict], "why",
                      row->why[0] ? tap_cli_json_text(row->why) : json_null()),
            err);
    printf("%2d  %s%-8s%s  %-9.2g %s\n", i + 1, cli->color && fails ? "\x1b[31m" : "",
           verdicts[row->verdict], cli->color && fails ? "\x1b[0m" : "", row->largest,
           row->invariant);
    if (row->verdict != TAP_NOT_HERE)
        printf("        %s\n", row->compared);
    if (row->why[0])
        printf("        %s\n", row->why);
    return TAP_OK;
}

static json_t *effects_json(const tap_effects *e)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:o, s:o}", "s11", e->s11, "s01", e->s01,
                     "s10", e->s10, "s00", e->s00, "r",
                     isfinite(e->r) ? json_real(e->r) : json_null(), "ci",
                     isfinite(e->ci) ? json_real(e->ci) : json_null());
}

/* What the other arithmetic does to ranks and to what is made of them, by depth. */
static tap_status put_arithmetic(const tap_cli *cli, const tap_check_spec *spec,
                                 tap_error *err)
{
    tap_arithmetic x;
    const char *name = spec->kernels->compute;
    TAP_TRY(tap_arithmetic_compare(&x, spec->scene, tap_kernels_cpu(), spec->kernels,
                                   spec->n_threads, NULL, 0, err));
    tap_status status = TAP_OK;
    if (!cli->json)
        printf("\n%s against f32: ranks of %lld words at %lld image tokens, four "
               "conditions\n"
               "depth   equal  |log2 shift|: median  95 %%     S clean f32  %-4s   "
               "R f32   %-4s   CI f32   %s\n",
               name, (long long)x.n_words, (long long)x.n_rows, name, name, name);
    for (int d = 0; d < x.n_depths && status == TAP_OK; d++) {
        const tap_rank_shift *s = &x.shifts[d];
        const tap_effects *e = &x.effects[2 * d];
        if (cli->json)
            status = tap_cli_put_json(
                json_pack("{s:s, s:i, s:f, s:f, s:f, s:o, s:o}", "arithmetic", name,
                          "depth", d, "equal", s->equal, "shift_median", s->median,
                          "shift_95", s->centile95, "f32", effects_json(&e[0]), name,
                          effects_json(&e[1])),
                err);
        else
            printf(
                "%5d %6.1f%%  %20.4f  %.4f  %10.4f  %.4f  %6.3f %6.3f  %6.3f %6.3f\n",
                d, 100.0 * s->equal, s->median, s->centile95, e[0].s11, e[1].s11,
                e[0].r, e[1].r, e[0].ci, e[1].ci);
    }
    tap_arithmetic_clear(&x);
    return status;
}

static tap_status open_scene(tap_scene *scene, const tap_cli *cli,
                             const tap_model *model, tap_error *err)
{
    const char *prompt = tap_args_text(cli->args, "prompt");
    const char *path = tap_args_argument(cli->args, 1);
    tap_image drawn = {0};
    if (path)
        return tap_scene_open(scene, model, path, prompt, err);
    TAP_TRY(tap_check_image(&drawn, 500, 375, err));
    const tap_status status = tap_scene_make(scene, model, &drawn, prompt, err);
    tap_image_clear(&drawn);
    return status;
}

tap_status tap_cmd_check(tap_cli *cli, tap_error *err)
{
    char *path = NULL;
    tap_model *model = NULL;
    tap_scene scene = {0};
    tap_check_row rows[TAP_N_INVARIANTS];
    tap_status status = tap_cli_model(&path, cli, 0, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_model_open(&model, path, err));
    if (model->spec.lm.stack.n_blocks == 0)
        TAP_TRY_OUT(
            TAP_FAIL(err, TAP_EUNSUPPORTED,
                     "'%s' is an encoder alone; the promises are about an encoder "
                     "with a decoder",
                     path));
    TAP_TRY_OUT(open_scene(&scene, cli, model, err));
    const tap_check_spec spec = {.model = model,
                                 .scene = &scene,
                                 .kernels = tap_cli_kernels(cli),
                                 .n_threads = cli->n_threads > 0 ? cli->n_threads
                                                                 : omp_get_num_procs(),
                                 .progress = say,
                                 .owner = cli};
    TAP_TRY_OUT(tap_check_run(rows, &spec, err));
    if (!cli->json)
        printf("    verdict   largest   promise\n");
    for (int i = 0; i < TAP_N_INVARIANTS; i++) {
        cli->not_held |= rows[i].verdict == TAP_FAILS;
        TAP_TRY_OUT(put_row(cli, &rows[i], i, err));
    }
    if (spec.kernels != tap_kernels_cpu())
        TAP_TRY_OUT(put_arithmetic(cli, &spec, err));
out:
    tap_scene_clear(&scene);
    tap_model_close(model);
    tap_free(path);
    return status;
}

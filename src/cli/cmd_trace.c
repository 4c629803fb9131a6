/* tapetum trace: states under their site names, into a safetensors file. */
#include "base/file.h"
#include "base/hash.h"
#include "cli/commands.h"
#include "cli/subject.h"
#include "format/npy.h"
#include "read/trace.h"

#include <string.h>

enum { MAX_METADATA = 80 };

static tap_status put_state(void *owner, const tap_state *state, tap_error *err)
{
    return tap_trace_put(owner, state, err);
}

/* The manifest of the file's header. */
static int64_t describe(const char **keys, const char **values, const tap_cli *cli,
                        const tap_subject *s, const tap_kernels *kernels,
                        char (*names)[24], const char *sha256)
{
    int64_t n = 0;
    const char *const fixed[][2] = {{"tapetum", tap_version()},
                                    {"command", cli->command_line},
                                    {"model.family", s->model->spec.family},
                                    {"model.hash", tap_weights_hash(s->model->weights)},
                                    {"image.sha256", sha256},
                                    {"compute", kernels->compute},
                                    {"kernels", kernels->name}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        keys[n] = fixed[i][0];
        values[n++] = fixed[i][1];
    }
    for (int64_t c = 0; c < s->n_conditions && n < MAX_METADATA; c++) {
        (void)snprintf(names[c], sizeof *names, "condition.%d", (int)c);
        keys[n] = names[c];
        values[n++] = s->canonical[c];
    }
    return n;
}

/* --format, or what the file's name ends in. */
static tap_trace_format format_of(const tap_cli *cli, const char *out)
{
    static const char *const ends[] = {".safetensors", ".npy",
                                       ".npz"}; /* ORDER formats */
    const int chosen = tap_args_choice(cli->args, "format");
    const size_t n = strlen(out);
    for (int f = TAP_TRACE_NPY; chosen < 0 && f <= TAP_TRACE_NPZ; f++) {
        const size_t m = strlen(ends[f]);
        if (n > m && strcmp(out + n - m, ends[f]) == 0)
            return (tap_trace_format)f;
    }
    return chosen < 0 ? TAP_TRACE_SAFETENSORS : (tap_trace_format)chosen;
}

/* Puts the one tensor of a safetensors file into the format asked for, and removes it. */
static tap_status convert(const char *stream_path, const char *out,
                          tap_trace_format format, tap_error *err)
{
    tap_safetensors *file = NULL;
    tap_status status = TAP_OK;
    if (format == TAP_TRACE_SAFETENSORS)
        return TAP_OK;
    TAP_TRY_OUT(tap_safetensors_open(&file, stream_path, err));
    status = format == TAP_TRACE_NPY ? tap_npy_write(out, file, 0, err)
                                     : tap_npz_write(out, file, NULL, err);
out:
    tap_safetensors_close(file);
    tap_file_remove(stream_path);
    return status;
}

/* A directory with only the configuration files is enough for vision.pixels. */
static tap_status trace_pixels(const tap_cli *cli, const char *out, tap_error *err)
{
    char *path = NULL;
    tap_spec spec;
    tap_image image = {0};
    tap_pixels pixels = {0};
    tap_geometry geometry;
    char sha256[TAP_SHA256_TEXT_BYTES];
    const char *photo = tap_args_argument(cli->args, 1);
    const tap_trace_format format = format_of(cli, out);
    char *stream_path = NULL;
    tap_safetensors_out *file = NULL;
    tap_status status = tap_cli_model(&path, cli, 0, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_text_format(&stream_path, err, "%s%s", out,
                                format == TAP_TRACE_SAFETENSORS ? "" : ".part"));
    TAP_TRY_OUT(tap_spec_read(&spec, path, err));
    TAP_TRY_OUT(tap_image_read_as(&image, photo, spec.preprocess.alpha, err));
    TAP_TRY_OUT(tap_sha256_file(sha256, photo, err));
    TAP_TRY_OUT(tap_preprocess_run(&pixels, &geometry, &image, &spec.preprocess, err));
    const tap_tensor shape = {
        .dtype = TAP_F32,
        .n_dims = 4,
        .shape = {pixels.n_tiles, 3, pixels.side_px, pixels.side_px}};
    const char *name = "vision.pixels";
    const char *const keys[] = {"tapetum", "command", "model.family", "image.sha256"};
    const char *const values[] = {tap_version(), cli->command_line, spec.family,
                                  sha256};
    TAP_TRY_OUT(tap_safetensors_create(&file, stream_path, 1, &name, &shape, 4, keys,
                                       values, err));
    TAP_TRY_OUT(
        tap_safetensors_put(file, 0, 0, pixels.values, tap_tensor_count(&shape), err));
    TAP_TRY_OUT(tap_safetensors_commit(file, err));
    TAP_TRY_OUT(convert(stream_path, out, format, err));
out:
    tap_safetensors_out_close(file);
    tap_free(stream_path);
    tap_pixels_clear(&pixels);
    tap_image_clear(&image);
    tap_free(path);
    return status;
}

/* The tokens of --rows in each stack that has such a group. */
static tap_status find_rows(uint64_t *(*rows)[TAP_N_STACKS], tap_trace_spec *spec,
                            const tap_cli *cli, const tap_subject *s, tap_error *err)
{
    const char *text = tap_args_text(cli->args, "rows");
    tap_error failure = {0};
    int n_found = 0;
    for (int stack = 0; text && stack < TAP_N_STACKS; stack++) {
        const tap_group_set *set = &s->groups.stacks[stack];
        TAP_TRY(tap_alloc(&(*rows)[stack], (size_t)tap_bits_words(set->n_tok),
                          sizeof(uint64_t), "rows", err));
        if (tap_group_bits((*rows)[stack], text, (tap_stack)stack, &s->groups,
                           &failure) == TAP_OK)
            n_found++;
        else
            memset((*rows)[stack], 0,
                   (size_t)tap_bits_words(set->n_tok) * sizeof(uint64_t));
        spec->rows[stack] = (*rows)[stack];
    }
    return text && n_found == 0 ? TAP_FAIL(err, failure.status, "%s", failure.message)
                                : TAP_OK;
}

static tap_status trace_states(const tap_cli *cli, const char *sites, const char *out,
                               tap_error *err)
{
    static const tap_positions positions[] = {TAP_POSITIONS_IMAGE, TAP_POSITIONS_ALL,
                                              TAP_POSITIONS_LAST};
    tap_subject s = {0};
    tap_trace *trace = NULL;
    tap_place *places = NULL;
    uint64_t *rows[TAP_N_STACKS] = {NULL, NULL};
    char(*names)[24] = NULL;
    char sha256[TAP_SHA256_TEXT_BYTES];
    const char *keys[MAX_METADATA], *values[MAX_METADATA];
    uint64_t heads[TAP_MAX_HEADS / 64] = {0};
    const tap_kernels *kernels = tap_cli_kernels(cli);
    tap_status status = tap_subject_open(&s, cli, err);
    if (status != TAP_OK)
        return status;
    tap_subject_notes(&s, cli);
    const int n_blocks[TAP_N_STACKS] = {s.model->spec.vision.n_blocks_read,
                                        s.model->spec.lm.stack.n_blocks};
    tap_trace_spec spec = {.model = s.model,
                           .n_conditions = s.n_conditions,
                           .positions =
                               positions[tap_args_choice(cli->args, "positions")],
                           .format = format_of(cli, out),
                           .sequence = &s.scene.sequence,
                           .n_tiles = s.scene.pixels.n_tiles,
                           .keys = keys,
                           .values = values};
    TAP_TRY_OUT(find_rows(&rows, &spec, cli, &s, err));
    TAP_TRY_OUT(tap_site_parse(&places, &spec.n_places, sites, n_blocks, err));
    spec.places = places;
    if (tap_args_text(cli->args, "heads")) {
        TAP_TRY_OUT(tap_cli_ranges(heads, cli, "heads", TAP_MAX_HEADS, err));
        spec.heads = heads;
    }
    TAP_TRY_OUT(tap_sha256_file(sha256, tap_args_argument(cli->args, 1), err));
    TAP_TRY_OUT(tap_alloc(&names, (size_t)s.n_conditions, sizeof *names, "names", err));
    spec.n_metadata = describe(keys, values, cli, &s, kernels, names, sha256);
    TAP_TRY_OUT(tap_trace_open(&trace, out, &spec, err));
    tap_wanted wanted = {0};
    tap_run_options options = {.kernels = kernels, .n_threads = cli->n_threads};
    tap_item item = {.pixels = &s.scene.pixels,
                     .sequence = &s.scene.sequence,
                     .plans = (const tap_plan *const *)s.plans};
    tap_trace_want(&wanted, &options, &item, trace);
    const tap_sink sink = {.owner = trace, .wanted = &wanted, .put = put_state};
    TAP_TRY_OUT(tap_run(NULL, s.model, &item, 1, s.n_conditions, &options, &sink, err));
    TAP_TRY_OUT(tap_trace_commit(trace, err));
out:
    tap_trace_close(trace);
    tap_free(rows[TAP_VISION]);
    tap_free(rows[TAP_LM]);
    tap_free(places);
    tap_free(names);
    tap_subject_clear(&s);
    return status;
}

tap_status tap_cmd_trace(tap_cli *cli, tap_error *err)
{
    const char *sites = tap_args_text(cli->args, "sites");
    const char *out = tap_args_text(cli->args, "output");
    if (!sites)
        return TAP_FAIL(err, TAP_EINVAL,
                        "no sites named; add --sites LIST, as in --sites 'lm.depth.*'");
    if (!out)
        return TAP_FAIL(err, TAP_EINVAL, "no file named; add -o out.safetensors");
    size_t n_conditions = 0;
    (void)tap_args_list(&n_conditions, cli->args, "condition");
    return n_conditions == 0 && strcmp(sites, "vision.pixels") == 0
               ? trace_pixels(cli, out, err)
               : trace_states(cli, sites, out, err);
}

/* tapetum inspect: family, sizes, sites, memory and identity of a model. */
#include "cli/commands.h"
#include "hook/site.h"
#include "model/generate.h"
#include "model/run.h"

static tap_status put_sites(const tap_cli *cli, tap_error *err)
{
    for (int i = 0; i < TAP_N_SITES; i++) {
        const tap_site_info *about = tap_site_about((tap_site)i);
        for (int s = 0; s < TAP_N_STACKS; s++) {
            if (!about->in[s])
                continue;
            char name[TAP_SITE_NAME_BYTES];
            if (about->per_block)
                (void)snprintf(name, sizeof name, "%s.B.%s",
                               tap_stack_name((tap_stack)s), about->name);
            else
                (void)snprintf(name, sizeof name, "%s", about->name);
            if (cli->json)
                TAP_TRY(
                    tap_cli_put_json(json_pack("{s:s, s:s, s:s}", "site", name, "shape",
                                               about->shape, "meaning", about->meaning),
                                     err));
            else
                printf("%-20s %-28s %s\n", name, about->shape, about->meaning);
        }
    }
    return TAP_OK;
}

static json_t *stack_json(const tap_stack_spec *s)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:f}", "n_blocks", s->n_blocks,
                     "d_model", s->d_model, "n_heads", s->n_heads, "n_kv_heads",
                     s->n_kv_heads, "d_head", s->d_head, "d_mlp", s->d_mlp, "norm_eps",
                     s->norm_eps);
}

static void put_stack(const char *name, const tap_stack_spec *s)
{
    printf("%s: %d blocks, d_model %d, %d heads of %d", name, s->n_blocks, s->d_model,
           s->n_heads, s->d_head);
    if (s->n_kv_heads != s->n_heads)
        printf(" (%d key and value heads)", s->n_kv_heads);
    printf(", d_mlp %d\n", s->d_mlp);
}

/* What a photograph of ordinary size becomes. */
typedef struct sample {
    int n_tiles;
    int64_t n_slots;
} sample;

enum { SAMPLE_WIDTH = 640, SAMPLE_HEIGHT = 480 };

static tap_status take_sample(sample *out, const tap_spec *spec, tap_error *err)
{
    tap_geometry g;
    tap_layout layout;
    TAP_TRY(tap_preprocess_geometry(&g, SAMPLE_WIDTH, SAMPLE_HEIGHT, &spec->preprocess,
                                    err));
    TAP_TRY(tap_layout_compile(&layout, spec, &g, err));
    *out = (sample){g.n_tiles, layout.n_slots};
    tap_layout_clear(&layout);
    return TAP_OK;
}

static json_t *stops_json(const int32_t *stops, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        (void)json_array_append_new(list, json_integer(stops[i]));
    return list;
}

static void put_stops(const tap_model *model, const int32_t *stops, size_t n)
{
    printf("        template %s, answers stop at", model->spec.chat);
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes = 0;
        const char *piece = tap_tokenizer_piece(model->tokenizer, stops[i], &n_bytes);
        printf("%s %d (%s)", i ? "," : "", stops[i], piece ? piece : "no piece");
    }
    printf(n ? "\n" : " the limit only\n");
}

tap_status tap_cmd_inspect(tap_cli *cli, tap_error *err)
{
    if (tap_args_flag(cli->args, "sites"))
        return put_sites(cli, err);
    char *path = NULL;
    tap_model *model = NULL;
    int32_t *stops = NULL;
    size_t n_stops = 0;
    if (tap_args_count(cli->args) == 0)
        return TAP_FAIL(err, TAP_EINVAL, "no model named; give its directory");
    tap_status status = tap_cli_model(&path, cli, 0, err);
    if (status != TAP_OK)
        return status;
    TAP_TRY_OUT(tap_model_open(&model, path, err));
    const tap_spec *spec = &model->spec;
    const tap_template *chat = NULL;
    TAP_TRY_OUT(tap_template_get(&chat, spec->chat, err));
    if (spec->lm.stack.n_blocks > 0)
        TAP_TRY_OUT(
            tap_stops_read(&stops, &n_stops, path, spec, chat, model->tokenizer, err));
    const tap_vision_spec *v = &spec->vision;
    const int side = v->side_px / v->patch_px;
    sample photo;
    TAP_TRY_OUT(take_sample(&photo, spec, err));
    const tap_run_options options = {.n_threads = cli->n_threads};
    const size_t bytes =
        tap_run_bytes(model, 2, 4, photo.n_tiles, photo.n_slots + 32, &options);
    const int64_t weight_bytes = tap_weights_bytes(model->weights);
    const size_t copied = tap_model_copied_bytes(model);
    if (cli->json) {
        TAP_TRY_OUT(tap_cli_put_json(
            json_pack(
                "{s:s, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:s, s:s, "
                "s:{s:i, s:i, s:i, s:I}, s:i, s:i, s:s, s:o}",
                "family", spec->family, "vision", stack_json(&v->stack), "lm",
                stack_json(&spec->lm.stack), "vision_blocks_read", v->n_blocks_read,
                "side_px", v->side_px, "patch_px", v->patch_px, "n_rows", side,
                "n_cols", side, "d_vocab", (json_int_t)spec->lm.d_vocab, "weight_bytes",
                (json_int_t)weight_bytes, "copied_bytes", (json_int_t)copied,
                "state_bytes_4_conditions", (json_int_t)bytes, "hash",
                tap_weights_hash(model->weights), "prompt", spec->prompt, "photo",
                "width", SAMPLE_WIDTH, "height", SAMPLE_HEIGHT, "n_tiles",
                photo.n_tiles, "n_image_tokens", (json_int_t)photo.n_slots, "n_latents",
                spec->perceiver.n_latents, "n_latent_text", spec->perceiver.n_text,
                "template", spec->chat, "stops", stops_json(stops, n_stops)),
            err));
        goto out;
    }
    printf("%s: family %s\n", path, spec->family);
    put_stack("vision", &v->stack);
    printf(
        "        %d x %d px, patches of %d px: %d x %d; state after block %d is read, "
        "class token %s\n",
        v->side_px, v->side_px, v->patch_px, side, side, v->n_blocks_read - 1,
        !v->has_cls    ? "absent"
        : v->keeps_cls ? "kept"
                       : "dropped");
    printf(
        "        a photograph of %d x %d px becomes %d tile%s and %lld image tokens\n",
        SAMPLE_WIDTH, SAMPLE_HEIGHT, photo.n_tiles, photo.n_tiles == 1 ? "" : "s",
        (long long)photo.n_slots);
    if (spec->perceiver.n_latents > 0)
        printf(
            "        %d learned queries read each group of %d patches (%d blocks, %d "
            "heads of %d): image tokens of the\n        decoder stand for no patch; "
            "masks, parts and patches belong to the vision stack\n",
            spec->perceiver.n_latents, side * side, spec->perceiver.n_blocks,
            spec->perceiver.n_heads, spec->perceiver.d_head);
    if (spec->perceiver.n_text > 0)
        printf("        they read the first %d tokens of the prompt too: the question "
               "decides what image tokens are,\n        and no condition cuts that\n",
               spec->perceiver.n_text);
    if (spec->lm.stack.n_blocks == 0) {
        printf("lm:     none, an encoder alone\n");
    } else {
        put_stack("lm", &spec->lm.stack);
        printf("        %lld words, rope theta %g%s, head %s\n",
               (long long)spec->lm.d_vocab, spec->lm.rope.theta,
               spec->lm.rope.n_factors ? " with short and long factors" : "",
               spec->lm.tied_head ? "tied to the embedding" : "untied");
        printf("prompt: %s\n", spec->prompt);
        put_stops(model, stops, n_stops);
    }
    printf("memory: %.2f GiB of weights stay mapped, ", (double)weight_bytes / 0x1p30);
    if (copied > 0)
        printf("%.2f GiB of tables are copied, ", (double)copied / 0x1p30);
    printf("%.2f GiB for one image under four conditions\n", (double)bytes / 0x1p30);
    printf("hash:   %s\n", tap_weights_hash(model->weights));
out:
    tap_model_close(model);
    tap_free(stops);
    tap_free(path);
    return status;
}

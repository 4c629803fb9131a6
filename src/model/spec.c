#include "model/spec.h"

#include "base/file.h"
#include "model/spec_parts.h"
#include "model/template.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 24 };

/* Adding a family means adding a line here. */
static const tap_family *const families[] = {
    &tap_family_llava,     &tap_family_llava_next, &tap_family_llava_onevision,
    &tap_family_idefics3,  &tap_family_phi3,       &tap_family_xgen,
    &tap_family_prismatic, &tap_family_clip,       &tap_family_open_clip,
    &tap_family_siglip,
};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

enum { LIST_BYTES = 256 };

static void list_families(char list[LIST_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        n += (size_t)snprintf(list + n, LIST_BYTES - n, "%s%s", i ? ", " : "",
                              families[i]->name);
        assert(n < LIST_BYTES);
    }
}

static tap_status find_family(const tap_family **out, const tap_json_at *config,
                              tap_error *err)
{
    const char *type = NULL;
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (families[i]->recognises && families[i]->recognises(config)) {
            *out = families[i];
            return TAP_OK;
        }
    if (tap_json_find(config, "mm_vision_tower"))
        return TAP_FAIL(
            err, TAP_EUNSUPPORTED,
            "cannot use '%s': this is the original LLaVA layout "
            "('mm_vision_tower'); use the converted checkpoint, whose config "
            "has 'vision_config' and 'text_config'",
            config->path);
    char list[LIST_BYTES];
    list_families(list);
    TAP_TRY(tap_json_text(&type, config, "model_type", "", err));
    if (!type[0])
        return TAP_FAIL(err, TAP_EUNSUPPORTED,
                        "cannot use '%s': it names no 'model_type', so it is not known "
                        "whose it is; families: %s",
                        config->path, list);
    for (size_t i = 0; i < N_FAMILIES; i++) {
        for (int k = 0; k < 2; k++) {
            const char *own = families[i]->model_types[k];
            if (own && strcmp(type, own) == 0) {
                *out = families[i];
                return TAP_OK;
            }
        }
    }
    return TAP_FAIL(err, TAP_EUNSUPPORTED,
                    "cannot use '%s': no family has the model_type found, '%.60s'; "
                    "families: %s",
                    config->path, type, list);
}

static tap_status put_prompt(tap_spec *spec, tap_error *err)
{
    const tap_template *chat = NULL;
    char *text = NULL;
    TAP_TRY(tap_template_get(&chat, spec->chat, err));
    TAP_TRY(tap_template_put(&text, chat, "What is shown in this image?", true, err));
    assert(strlen(text) < sizeof spec->prompt);
    (void)snprintf(spec->prompt, sizeof spec->prompt, "%s", text);
    tap_free(text);
    return TAP_OK;
}

/* Whether attention has room for the heads, whatever the family. */
static tap_status check_heads(const tap_spec *spec, const char *path, tap_error *err)
{
    const int wide[] = {spec->vision.stack.d_head, spec->lm.stack.d_head};
    for (int s = 0; s < TAP_N_STACKS; s++)
        if (wide[s] > TAP_MAX_HEAD)
            return TAP_FAIL(err, TAP_EUNSUPPORTED,
                            "cannot use '%s': heads of the %s are %d wide, at most %d "
                            "can be run",
                            path, s == TAP_VISION ? "encoder" : "decoder", wide[s],
                            TAP_MAX_HEAD);
    return TAP_OK;
}

/* `processor` is a whole file: settings nested under "image_processor" (transformers 5),
 * or the settings themselves. */
static tap_status read_spec(tap_spec *out, const json_t *config,
                            const char *config_path, const json_t *processor,
                            const char *processor_path, tap_error *err)
{
    tap_spec_files files = {
        .config = {.object = config, .path = config_path, .place = ""},
        .processor = {.object = processor, .path = processor_path, .place = ""},
    };
    if (tap_json_find(&files.processor, "image_processor"))
        TAP_TRY(tap_json_object(&files.processor, &files.processor, "image_processor",
                                "image_processor.", err));
    const tap_family *family = NULL;
    TAP_TRY(find_family(&family, &files.config, err));
    if (!processor && !family->recognises)
        return TAP_FAIL(err, TAP_EIO,
                        "cannot open model '%s': it holds no preprocessor_config.json "
                        "and no processor_config.json with an \"image_processor\"",
                        processor_path);
    tap_spec spec = {.names = family->names,
                     .n_names = family->n_names,
                     .merge = 1,
                     .image_text = "<image>"};
    assert(strlen(family->name) < sizeof spec.family);
    assert(strlen(family->chat) < sizeof spec.chat);
    (void)snprintf(spec.family, sizeof spec.family, "%s", family->name);
    (void)snprintf(spec.chat, sizeof spec.chat, "%s", family->chat);
    TAP_TRY(family->read(&spec, &files, err));
    TAP_TRY(check_heads(&spec, config_path, err));
    TAP_TRY(put_prompt(&spec, err));
    assert(spec.lay_out && spec.d_projector_out > 0);
    *out = spec;
    return TAP_OK;
}

tap_status tap_spec_parse(tap_spec *out, const char *config, size_t n_config,
                          const char *processor, size_t n_processor, tap_error *err)
{
    json_t *roots[2] = {NULL, NULL};
    tap_status status = tap_json_parse(&roots[0], config, n_config, "config.json", err);
    if (status == TAP_OK)
        status = tap_json_parse(&roots[1], processor, n_processor,
                                "preprocessor_config.json", err);
    if (status == TAP_OK)
        status = read_spec(out, roots[0], "config.json", roots[1],
                           "preprocessor_config.json", err);
    json_decref(roots[0]);
    json_decref(roots[1]);
    return status;
}

/* The file with the image processor's settings: processor_config.json if it holds them,
 * else preprocessor_config.json; the order in which transformers looks. *root is NULL if
 * there is neither, and *path the directory. */
static tap_status read_processor(json_t **root, char **path, const char *directory,
                                 tap_error *err)
{
    TAP_TRY(tap_path_join(path, directory, "processor_config.json", err));
    if (tap_file_exists(*path)) {
        TAP_TRY(tap_json_read(root, *path, MAX_CONFIG_BYTES, err));
        if (json_is_object(json_object_get(*root, "image_processor")))
            return TAP_OK;
        json_decref(*root);
        *root = NULL;
    }
    tap_free(*path);
    *path = NULL;
    TAP_TRY(tap_path_join(path, directory, "preprocessor_config.json", err));
    if (!tap_file_exists(*path)) {
        tap_free(*path);
        *path = NULL;
        return tap_text_copy(path, directory, strlen(directory), err);
    }
    return tap_json_read(root, *path, MAX_CONFIG_BYTES, err);
}

/* config.json, or what OpenCLIP calls its own. */
static tap_status find_config(char **path, const char *directory, tap_error *err)
{
    static const char *const names[] = {"config.json", "open_clip_config.json"};
    char list[LIST_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        TAP_TRY(tap_path_join(path, directory, names[i], err));
        if (tap_file_exists(*path))
            return TAP_OK;
        tap_free(*path);
        *path = NULL;
    }
    list_families(list);
    return TAP_FAIL(err, TAP_EIO,
                    "cannot open model '%s': it holds no config.json that says what "
                    "the model is (OpenCLIP: open_clip_config.json); families: %s",
                    directory, list);
}

tap_status tap_spec_read(tap_spec *out, const char *directory, tap_error *err)
{
    char *config_path = NULL, *processor_path = NULL;
    json_t *config = NULL, *processor = NULL;
    tap_status status = TAP_OK;
    if (!tap_file_is_directory(directory))
        return TAP_FAIL(err, TAP_EIO,
                        "cannot open model '%s': it is not a directory with a "
                        "config.json",
                        directory);
    TAP_TRY_OUT(find_config(&config_path, directory, err));
    TAP_TRY_OUT(tap_json_read(&config, config_path, MAX_CONFIG_BYTES, err));
    TAP_TRY_OUT(read_processor(&processor, &processor_path, directory, err));
    TAP_TRY_OUT(read_spec(out, config, config_path, processor, processor_path, err));
out:
    json_decref(config);
    json_decref(processor);
    tap_free(config_path);
    tap_free(processor_path);
    return status;
}

void tap_spec_plan_sizes(tap_plan_sizes *out, const tap_spec *spec)
{
    const tap_stack_spec *stacks[] = {&spec->vision.stack, &spec->lm.stack};
    *out =
        (tap_plan_sizes){.d_projector_in = spec->d_projector_in,
                         .d_projector_out = spec->d_projector_out,
                         .d_patch = 3 * spec->vision.patch_px * spec->vision.patch_px,
                         .causal = {false, true},
                         .keeps_cls = spec->vision.keeps_cls};
    for (int s = 0; s < TAP_N_STACKS; s++) {
        out->n_blocks[s] = stacks[s]->n_blocks;
        out->n_heads[s] = stacks[s]->n_heads;
        out->n_kv_heads[s] = stacks[s]->n_kv_heads;
        out->d_model[s] = stacks[s]->d_model;
        out->d_head[s] = stacks[s]->d_head;
        out->d_mlp[s] = stacks[s]->d_mlp;
    }
}

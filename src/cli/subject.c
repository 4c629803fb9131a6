#include "cli/subject.h"

#include <string.h>

/* NAME=PATH, or a bare path for the part. */
static tap_status read_mask(tap_subject *s, const char *text, tap_error *err)
{
    static const char *const names[] = {"part", "object", "other_part"};
    float **places[] = {&s->part, &s->object, &s->other_part};
    const char *path = text;
    int which = 0;
    for (int i = 0; i < 3; i++) {
        const size_t n = strlen(names[i]);
        if (strncmp(text, names[i], n) == 0 && text[n] == '=') {
            which = i;
            path = text + n + 1;
        }
    }
    const size_t n_word = strspn(path, "abcdefghijklmnopqrstuvwxyz_");
    tap_mask mask = {0};
    tap_status status = tap_mask_read(&mask, path, err);
    if (status == TAP_EIO && path == text && path[n_word] == '=')
        return TAP_FAIL(
            err, TAP_EINVAL,
            "a mask is called part, object or other_part, not '%.*s'; write "
            "--mask part=%s",
            (int)n_word, text, text + n_word + 1);
    if (status != TAP_OK)
        return status;
    tap_free(*places[which]); /* the last one of a name counts */
    *places[which] = NULL;
    const size_t n = (size_t)tap_scene_n_patches(&s->scene);
    float *cover = NULL;
    TAP_TRY_OUT(tap_alloc(&cover, n, sizeof *cover, "coverage", err));
    status = tap_mask_cover(cover, &mask, &s->scene.geometry, err);
    if (status != TAP_OK)
        status = tap_wrap(err, status, "mask '%s'", path);
    *places[which] = cover;
out:
    tap_mask_clear(&mask);
    return status;
}

void tap_subject_note(const tap_subject *s, const tap_cli *cli, int64_t condition,
                      const tap_plan *plan)
{
    if (s->canonical[condition][0] && tap_plan_is_clean(plan))
        tap_cli_note(
            cli,
            "note: the condition '%s' changes nothing here: a group of it holds "
            "no tokens, it names no edge that the model has, or its scale is 1",
            s->texts[condition]);
}

void tap_subject_notes(const tap_subject *subject, const tap_cli *cli)
{
    for (int64_t c = 0; c < subject->n_conditions; c++)
        tap_subject_note(subject, cli, c, subject->plans[c]);
}

/* The plans; pictures that conditions name are run as soon as all are compiled. */
static tap_status compile_all(tap_subject *s, const tap_cli *cli, tap_error *err)
{
    const tap_spec *spec = &s->model->spec;
    tap_plan_sizes sizes;
    tap_spec_plan_sizes(&sizes, spec);
    TAP_TRY(tap_pictures_open(&s->pictures, s->model, s->prompt, err));
    sizes.pictures = tap_pictures_plans(s->pictures);
    const size_t n = (size_t)s->n_conditions;
    TAP_TRY(tap_alloc(&s->plans, n, sizeof(tap_plan *), "plans", err));
    TAP_TRY(tap_alloc(&s->canonical, n, sizeof(char *), "plans", err));
    for (size_t c = 0; c < n; c++) {
        /* patch(NAME) finds a condition typed before this one under the name typed */
        const tap_plan_runs runs = {.names = s->texts,
                                    .plans = (const tap_plan *const *)s->plans,
                                    .n = (int64_t)c};
        tap_condition *condition = NULL;
        sizes.runs = &runs;
        TAP_TRY(tap_condition_parse(&condition, s->texts[c], err));
        tap_status status = tap_condition_print(&s->canonical[c], condition, err);
        if (status == TAP_OK)
            status = tap_plan_compile(&s->plans[c], condition, &s->groups, &sizes, err);
        tap_condition_free(condition);
        TAP_TRY(status);
    }
    return tap_pictures_fill(s->pictures, tap_cli_kernels(cli), cli->n_threads, err);
}

/* The prompt as it goes to the tokenizer (tap_free it); NULL: the model's own. A question
 * without "<image>" is put into the template, by default the model's. */
static tap_status make_prompt(char **out, const tap_cli *cli, const tap_template *chat,
                              const char *own, bool with_image, tap_error *err)
{
    const char *text = tap_args_text(cli->args, "prompt");
    if (!text && (chat || !with_image))
        return TAP_FAIL(
            err, TAP_EINVAL,
            "no question; add --prompt TEXT, as in --prompt 'What is this?'");
    if (!text)
        return TAP_OK;
    if (!chat && with_image && !strstr(text, "<image>"))
        TAP_TRY(tap_template_get(&chat, own, err));
    if (chat)
        return tap_template_put(out, chat, text, with_image, err);
    return tap_text_copy(out, text, strlen(text), err);
}

static tap_status open_scene(tap_subject *s, int64_t *n_new, const tap_cli *cli,
                             const tap_template *chat, tap_error *err)
{
    const char *image = tap_args_argument(cli->args, 1);
    TAP_TRY(
        make_prompt(&s->prompt, cli, chat, s->model->spec.chat, image != NULL, err));
    TAP_TRY(image ? tap_scene_open(&s->scene, s->model, image, s->prompt, err)
                  : tap_scene_text(&s->scene, s->model, s->prompt, err));
    const int64_t room = tap_lm_longest(&s->model->spec.lm) - s->scene.sequence.n_tok;
    *n_new = *n_new < room ? *n_new : room;
    return *n_new > 0 ? tap_sequence_extend(&s->scene.sequence, *n_new, err) : TAP_OK;
}

tap_status tap_subject_open(tap_subject *out, const tap_cli *cli, tap_error *err)
{
    int64_t none = 0;
    return tap_subject_ask(out, &none, cli, NULL, err);
}

tap_status tap_subject_ask(tap_subject *out, int64_t *n_new, const tap_cli *cli,
                           const tap_template *chat, tap_error *err)
{
    static const char *const clean[] = {""};
    tap_subject s = {0};
    tap_reg reg = {{NULL, NULL}};
    bool needs_reg = false;
    size_t n_masks = 0, n_conditions = 0;
    tap_status status = TAP_OK;
    const char *const *masks = tap_args_list(&n_masks, cli->args, "mask");
    s.texts = tap_args_list(&n_conditions, cli->args, "condition");
    if (n_conditions == 0) {
        s.texts = clean;
        n_conditions = 1;
    }
    TAP_TRY_OUT(tap_cli_model(&s.path, cli, 0, err));
    for (size_t c = 0; c < n_conditions; c++) { /* before anything is read */
        tap_condition *condition = NULL;
        TAP_TRY_OUT(tap_condition_parse(&condition, s.texts[c], err));
        needs_reg |= tap_condition_names(condition, "reg");
        tap_condition_free(condition);
    }
    TAP_TRY_OUT(tap_model_open(&s.model, s.path, err));
    TAP_TRY_OUT(open_scene(&s, n_new, cli, chat, err));
    for (size_t m = 0; m < n_masks; m++)
        TAP_TRY_OUT(read_mask(&s, masks[m], err));
    if (needs_reg)
        TAP_TRY_OUT(tap_reg_find(&reg, &s.scene, cli->n_threads, err));
    TAP_TRY_OUT(tap_intgrad_open(&s.intgrad, &s.scene, tap_cli_kernels(cli),
                                 cli->n_threads, err));
    const tap_group_input input = {.scene = &s.scene,
                                   .part = s.part,
                                   .object = s.object,
                                   .other_part = s.other_part,
                                   .threshold = 0.5,
                                   .reg = needs_reg ? &reg : NULL,
                                   .scorer = tap_intgrad_scorer(s.intgrad)};
    TAP_TRY_OUT(tap_group_compile(&s.groups, &input, err));
    s.n_conditions = (int64_t)n_conditions;
    TAP_TRY_OUT(compile_all(&s, cli, err));
out:
    tap_reg_clear(&reg);
    if (status == TAP_OK)
        *out = s;
    else
        tap_subject_clear(&s);
    return status;
}

void tap_subject_clear(tap_subject *subject)
{
    for (int64_t c = 0; c < subject->n_conditions; c++) {
        if (subject->plans)
            tap_plan_free(subject->plans[c]);
        if (subject->canonical)
            tap_free(subject->canonical[c]);
    }
    tap_free(subject->plans);
    tap_pictures_close(subject->pictures);
    tap_intgrad_close(subject->intgrad);
    tap_free(subject->prompt);
    tap_free(subject->canonical);
    tap_groups_clear(&subject->groups);
    tap_free(subject->part);
    tap_free(subject->object);
    tap_free(subject->other_part);
    tap_scene_clear(&subject->scene);
    tap_model_close(subject->model);
    tap_free(subject->path);
    *subject = (tap_subject){0};
}

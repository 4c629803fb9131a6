/* Condition text: parsed, printed and parsed again, and compiled for a small picture. Files
 * that it names are not opened. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "hook/condition.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { N_VISION = 10, N_LM = 14 };

/* CLS and 3 x 3 patches; BOS, a word, 9 patches, two words, a generated token. */
static void make_tokens(tap_token *vision, tap_token *lm)
{
    for (int t = 0; t < N_VISION; t++)
        vision[t] = (tap_token){.role = t ? TAP_ROLE_PATCH : TAP_ROLE_CLS,
                                .row = t ? (t - 1) / 3 : -1,
                                .col = t ? (t - 1) % 3 : -1,
                                .feature = t - 1};
    for (int t = 0; t < N_LM; t++) {
        lm[t] = (tap_token){.role = t == 0          ? TAP_ROLE_BOS
                                    : t == 1        ? TAP_ROLE_PREFIX
                                    : t == N_LM - 1 ? TAP_ROLE_GEN
                                                    : TAP_ROLE_QUESTION,
                            .tile = -1,
                            .row = -1,
                            .col = -1,
                            .feature = -1};
        if (t >= 2 && t < 11)
            lm[t] = vision[t - 1];
    }
}

/* As read/intgrad and read/pictures would answer, without a model. */
static tap_status score(void *owner, const double **scores, const char *word,
                        tap_error *err)
{
    static const double all[N_LM] = {[2] = 1, 3, 2, 9, 4, 4, 8, 7, 5};
    (void)owner;
    *scores = all;
    return word[0] ? TAP_OK : TAP_FAIL(err, TAP_EINVAL, "no word");
}

static tap_status want(void *owner, const float **values, uint64_t *key,
                       const tap_picture_rows *rows, tap_error *err)
{
    static const float all[1];
    (void)owner;
    *values = all;
    *key = 1;
    return rows->path[0] ? TAP_OK : TAP_FAIL(err, TAP_EINVAL, "no path");
}

static void compile(const tap_condition *condition)
{
    static const tap_group_scorer scorer = {.score = score};
    static const tap_plan_pictures pictures = {.want = want};
    static const char *names[] = {"all",    "image",    "cls",    "bos",
                                  "prefix", "question", "last",   "gen",
                                  "part",   "row_last", "outside"};
    static uint64_t sets[2][11] = {
        {0x3ff, 0x3fe, 1, 0, 0, 0, 0, 0, 0x062, 0x380, 0x39c},
        {0x3fff, 0x7fc, 0, 1, 2, 0x1800, 0x1000, 0x2000, 0x0c4, 0x700, 0x738}};
    static const char *pieces[N_LM] = {NULL, "USER:", [11] = "What", [12] = " is it?"};
    static tap_token vision[N_VISION], lm[N_LM];
    uint64_t *members[2][11];
    make_tokens(vision, lm);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 11; i++)
            members[s][i] = &sets[s][i];
    const tap_groups groups = {.stacks = {{.n_tok = N_VISION,
                                           .tokens = vision,
                                           .n_names = 11,
                                           .names = names,
                                           .members = members[0]},
                                          {.n_tok = N_LM,
                                           .tokens = lm,
                                           .n_names = 11,
                                           .names = names,
                                           .members = members[1],
                                           .pieces = pieces}},
                               .scorer = &scorer};
    const tap_plan_sizes sizes = {.n_blocks = {3, 4},
                                  .n_heads = {2, 4},
                                  .n_kv_heads = {2, 2},
                                  .d_model = {4, 8},
                                  .d_head = {2, 2},
                                  .d_mlp = {8, 8},
                                  .d_projector_in = 4,
                                  .d_projector_out = 8,
                                  .d_patch = 12,
                                  .pictures = &pictures,
                                  .causal = {false, true}};
    tap_plan *plan = NULL;
    tap_error err;
    for (size_t a = 0; a < condition->n_atoms; a++) {
        const tap_atom *atom = &condition->atoms[a];
        if (atom->edit == TAP_EDIT_STEER || atom->edit == TAP_EDIT_PROJECT_OUT ||
            (atom->edit == TAP_EDIT_PATCH && atom->from_file))
            return;
    }
    if (tap_plan_compile(&plan, condition, &groups, &sizes, &err) == TAP_OK)
        tap_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char text[4096], *printed = NULL, *again = NULL;
    tap_condition *condition = NULL;
    tap_error err;
    if (n >= sizeof text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = '\0';
    if (tap_condition_parse(&condition, text, &err) != TAP_OK)
        return 0;
    if (tap_condition_print(&printed, condition, &err) != TAP_OK)
        abort();
    compile(condition);
    tap_condition_free(condition);
    if (tap_condition_parse(&condition, printed, &err) != TAP_OK ||
        tap_condition_print(&again, condition, &err) != TAP_OK ||
        strcmp(printed, again) != 0)
        abort();
    tap_condition_free(condition);
    tap_free(printed);
    tap_free(again);
    return 0;
}

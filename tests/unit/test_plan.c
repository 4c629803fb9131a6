/* What a plan refuses, word for word, before a weight is read; and which tokens the groups
 * of a picture hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../support/rig.h"
#include "base/memory.h"
#include "format/safetensors.h"

static rig r;

/* A safetensors file of one f32 tensor in the rig's folder. */
static void write_file(const char *name, const char *tensor, int64_t rows, int64_t d,
                       float value)
{
    char path[128];
    tap_error err;
    tap_safetensors_out *out = NULL;
    const tap_tensor shape = {.dtype = TAP_F32,
                              .n_dims = rows > 0 ? 2 : 1,
                              .shape = {rows > 0 ? rows : d, rows > 0 ? d : 0}};
    const int64_t n = (rows > 0 ? rows : 1) * d;
    float *values = NULL;
    assert_int_equal(tap_alloc(&values, (size_t)n, sizeof *values, "a test", &err),
                     TAP_OK);
    for (int64_t i = 0; i < n; i++)
        values[i] = value;
    (void)snprintf(path, sizeof path, "%s/%s", r.directory, name);
    assert_int_equal(
        tap_safetensors_create(&out, path, 1, &tensor, &shape, 0, NULL, NULL, &err),
        TAP_OK);
    assert_int_equal(tap_safetensors_put(out, 0, 0, values, n, &err), TAP_OK);
    assert_int_equal(tap_safetensors_commit(out, &err), TAP_OK);
    tap_safetensors_out_close(out);
    tap_free(values);
}

static int open_rig(void **state)
{
    (void)state;
    tiny_model options = tiny_model_default();
    rig_open(&r, &options);
    rig_add_scene(&r, 1, -1);
    write_file("u.safetensors", "u", 0, 32, 0.5F);
    write_file("each.safetensors", "u", 2, 32, 0.5F);
    write_file("short.safetensors", "u", 0, 31, 0.5F);
    write_file("zero.safetensors", "u", 0, 32, 0.0F);
    write_file("trace.safetensors", "lm.1.resid_post", 16, 32, 0.5F);
    write_file("rows.safetensors", "lm.1.resid_post", 9, 32, 0.5F);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&r);
    return 0;
}

/* text and message may hold one "%s": the rig's folder. */
static const char *const refusals[][2] = {
    {"lm[2]: image <- image",
     "condition 'lm[2]: image <- image', column 4: there is no block 2; the lm stack has 2, "
     "0 to 1"},
    {"vision[1-3]: image <- image",
     "condition 'vision[1-3]: image <- image', column 8: there is no block 3; the vision "
     "stack has 3, 0 to 2"},
    {"lm[window(7,3)]: image <- image",
     "condition 'lm[window(7,3)]: image <- image', column 4: the window is centred on block "
     "7; the lm stack has 2, 0 to 1"},
    {"lm.h[4]: image <- image",
     "condition 'lm.h[4]: image <- image', column 6: there is no head 4; the lm stack has "
     "4, 0 to 3"},
    {"lm: image <- cls",
     "condition 'lm: image <- cls', column 14: the lm stack has no group 'cls'; "
     "it belongs to vision"},
    {"vision: question <- image",
     "condition 'vision: question <- image', column 9: the vision stack has no group "
     "'question'; it belongs to lm"},
    {"lm: other_part <- image",
     "condition 'lm: other_part <- image', column 5: the group 'other_part' needs a mask of "
     "the other part; add one"},
    {"lm: reg <- image",
     "condition 'lm: reg <- image', column 5: the lm stack has no group 'reg'"},
    {"lm: random(17,1) <- image",
     "condition 'lm: random(17,1) <- image', column 5: random needs 17 image tokens, but "
     "there are 16"},
    {"lm: random(image-part,1) <- image",
     "condition 'lm: random(image-part,1) <- image', column 5: random needs 13 image "
     "tokens, but there are 3 outside the group"},
    {"vision: tile(1) <- image",
     "condition 'vision: tile(1) <- image', column 9: there is no tile 1; this image has 1, "
     "from 0"},
    {"lm: span(\"zebra\") <- image",
     "condition 'lm: span(\"zebra\") <- image', column 5: span(\"zebra\"): the prompt does "
     "not hold this text"},
    {"vision: span(\"the\") <- image",
     "condition 'vision: span(\"the\") <- image', column 9: span(\"the\"): the vision stack "
     "has no text"},
    {"lm: gen <- image phase decode",
     "condition 'lm: gen <- image phase decode', column 1: 'phase decode' acts on generated "
     "tokens, and nothing is generated here; use it with 'generate'"},
    {"lm[1]: zero part; lm[0-]: mean object",
     "condition 'lm[1]: zero part; lm[0-]: mean object', column 19: 'mean' and the 'zero' "
     "of column 1 both change row 9 of lm.1.resid_pre; a state takes one edit"},
    {"lm[1].h[1]: zero part at k",
     "condition 'lm[1].h[1]: zero part at k', column 6: query heads 0 to 1 share one key, "
     "so an edit acts on all of them; write .h[0-1]"},
    {"lm[1].h[2]: zero part at v",
     "condition 'lm[1].h[2]: zero part at v', column 6: query heads 2 to 3 share one value, "
     "so an edit acts on all of them; write .h[2-3]"},
    {"lm: mean(part&outside) image",
     "condition 'lm: mean(part&outside) image', column 1: the mean is over no token: the "
     "group is empty here"},
    {"lm: copy(part&outside) image",
     "condition 'lm: copy(part&outside) image', column 1: there is nothing to copy: the "
     "group is empty here"},
    {"lm[1]: patch(claen) part",
     "condition 'lm[1]: patch(claen) part', column 1: patch(claen): no condition before "
     "this one is called so; 'clean' always is, and a trace file stands in quotes"},
    {"lm[1]: steer(%s/none.safetensors,1) part",
     "cannot open '%s/none.safetensors': No such file or directory"},
    {"lm[1]: steer(%s/short.safetensors,1) part",
     "condition 'lm[1]: steer(%s/short.safetensors,1) part', column 1: "
     "'%s/short.safetensors' must hold a vector of 32 numbers (or one for each of 2 "
     "blocks), but its tensor 'u' is F32 with 1 axes of 31 x 1"},
    {"lm: steer(%s/each.safetensors,1) part",
     "condition 'lm: steer(%s/each.safetensors,1) part', column 1: '%s/each.safetensors' "
     "must hold a vector of 32 numbers (or one for each of 1 blocks), but its tensor 'u' is "
     "F32 with 2 axes of 2 x 32"},
    {"lm[1]: project_out(%s/zero.safetensors,1) part",
     "condition 'lm[1]: project_out(%s/zero.safetensors,1) part', column 1: "
     "'%s/zero.safetensors' holds zeros: nothing can be projected out along them"},
    {"lm[1]: patch(%s/u.safetensors) part at mlp_out",
     "condition 'lm[1]: patch(%s/u.safetensors) part at mlp_out', column 1: "
     "'%s/u.safetensors' does not hold the states of 'lm.1.mlp_out'; write them with "
     "'tapetum trace --sites lm.1.mlp_out --positions all'"},
    {"lm[1]: patch(%s/rows.safetensors) part at resid_post",
     "condition 'lm[1]: patch(%s/rows.safetensors) part at resid_post', column 1: "
     "'%s/rows.safetensors': 'lm.1.resid_post' is [9][32], but this image and model have "
     "[N][32] (or [16] image rows)"},
    {"lm[1]: patch(%s/trace.safetensors) part|prefix at resid_post",
     "condition 'lm[1]: patch(%s/trace.safetensors) part|prefix at resid_post', column 1: "
     "'%s/trace.safetensors' holds image rows only, and the group has other tokens; trace "
     "with --positions all"}};

/* %s and [N] of a line above. */
static void fill(char *out, size_t size, const char *text)
{
    char rows[16];
    size_t n = 0;
    (void)snprintf(rows, sizeof rows, "[%d]", (int)r.scenes[0].sequence.n_tok);
    while (*text && n + 1 < size) {
        const char *word = strncmp(text, "%s", 2) == 0    ? r.directory
                           : strncmp(text, "[N]", 3) == 0 ? rows
                                                          : NULL;
        if (!word) {
            out[n++] = *text++;
            continue;
        }
        n += (size_t)snprintf(out + n, size - n, "%s", word);
        text += *text == '%' ? 2 : 3;
    }
    out[n < size ? n : size - 1] = '\0';
}

static void what_cannot_be_done_is_refused_by_name(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char text[512], message[TAP_ERROR_MESSAGE_BYTES];
        tap_error err = {0};
        fill(text, sizeof text, refusals[i][0]);
        fill(message, sizeof message, refusals[i][1]);
        if (rig_try_plan(&r, 0, text, &err) == TAP_OK ||
            strcmp(err.message, message) != 0) {
            print_error("found    %s\nexpected %s\n", err.message, message);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* The tokens of a group that is cut from the class token (vision) or read by the last token
 * (lm), as patches: read from the plan. */
static uint64_t patches_of(const char *group, bool lm)
{
    char text[256];
    (void)snprintf(text, sizeof text, lm ? "lm: last <- (%s)" : "vision: cls <- (%s)",
                   group);
    tap_plan *plan = rig_plan(&r, 0, text);
    const tap_stack s = lm ? TAP_LM : TAP_VISION;
    const tap_group_set *set = &r.groups[0].stacks[s];
    const tap_edges *e = plan->blocks[s][0].edges;
    uint64_t out = 0;
    const int64_t q = lm ? set->n_tok - 1 : 0;
    for (int64_t t = 0; e && t < set->n_tok; t++)
        if (set->tokens[t].role == TAP_ROLE_PATCH &&
            tap_bits_get(e->cut + q * tap_bits_words(set->n_tok), t))
            out |= UINT64_C(1) << set->tokens[t].feature;
    tap_plan_free(plan);
    return out;
}

static uint64_t bits(const char *list)
{
    uint64_t out = 0;
    int patch = 0, n = 0;
    for (; sscanf(list, "%d%n", &patch, &n) == 1; list += n)
        out |= UINT64_C(1) << patch;
    return out;
}

/* The grid is 4 x 4; the part is 5 6 9, the object 4 to 10. */
static void groups_hold_the_patches_they_name(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"part", "5 6 9"},
        {"object-part", "4 7 8 10"},
        {"outside&~object", "0 1 2 3 11 12 13 14 15"},
        {"ring(1)", "0 1 2 3 4 7 8 10 11 12 13 14"},
        {"ring(2)", "0 1 2 3 4 7 8 10 11 12 13 14 15"},
        {"dilate(part&~object,1)", ""},
        {"erode(object,1)", ""},
        {"erode(dilate(part,1),1)", "0 1 2 3 4 5 6 7 8 9 12 13"},
        {"shift(1,0)", "6 7 10"},
        {"shift(2,-1)", "3 7"},
        {"shift(object,0,1)", "8 9 10 11 12 13 14"},
        {"row_last", "12 13 14 15"},
        {"tile(0)", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"},
        {"~~part|background&~background", "5 6 9"}};
    for (int lm = 0; lm < 2; lm++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const uint64_t found = patches_of(cases[i][0], lm),
                           want = bits(cases[i][1]);
            if (found != want)
                print_error("%s %s: %llx, not %llx\n", lm ? "lm" : "vision",
                            cases[i][0], (unsigned long long)found,
                            (unsigned long long)want);
            assert_true(found == want);
        }
    /* chance: the same patches in both stacks, of the right number, others for other seeds */
    const uint64_t some = patches_of("random(5,1)", false);
    assert_int_equal(__builtin_popcountll(some), 5);
    assert_true(some == patches_of("random(5,1)", true));
    assert_true(some != patches_of("random(5,2)", false));
    assert_true((patches_of("random(part,3)", false) & bits("5 6 9")) == 0);
    assert_int_equal(__builtin_popcountll(patches_of("random(part,3)", true)), 3);
}

static void one_seed_draws_other_patches_in_other_pictures(void **state)
{
    (void)state;
    const uint64_t key = r.groups[0].key;
    const uint64_t here = patches_of("random(5,1)", false);
    r.groups[0].key = key + 1;
    const uint64_t there = patches_of("random(5,1)", false);
    r.groups[0].key = key;
    assert_true(here != there);
}

static tap_status put_nothing(void *owner, const tap_state *state, tap_error *err)
{
    (void)owner;
    (void)state;
    (void)err;
    return TAP_OK;
}

/* Parsing, compiling and running when the n-th allocation fails, for every n. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    char text[512];
    fill(
        text, sizeof text,
        "lm[1]: part <- dilate(object,1)|random(2,1) fraction 0.5 seed 1; lm[0]: part <- "
        "span(\"is\") scale 0.5; vision: image <- image freeze; lm[1]: copy(outside) part "
        "at mlp_out; vision[0]: steer(%s/u.safetensors,1) part; lm[1]: patch(clean) outside; "
        "lm[0]: patch(%s/trace.safetensors) part at z; lm: mean part; projector: zero part");
    tap_error err;
    const tap_status known = rig_try_plan(&r, 0, text, &err);
    assert_int_equal(known,
                     TAP_EINVAL); /* the trace holds another site: an error late on */
    char *late = strstr(text, "; lm[0]: patch");
    memmove(late, strstr(late + 1, "; lm: mean"),
            strlen(strstr(late + 1, "; lm: mean")) + 1);
    int n = 1;
    for (;; n++) {
        (void)tap_memory_fail_at(n);
        const tap_status status = rig_try_plan(&r, 0, text, &err);
        (void)tap_memory_fail_at(0);
        if (status == TAP_OK)
            break;
        if (status != TAP_ENOMEM)
            print_error("%s\n", err.message);
        assert_int_equal(status, TAP_ENOMEM);
    }
    assert_true(n > 40);
    tap_plan *plan = rig_plan(&r, 0, text);
    static tap_wanted wanted;
    wanted.once[TAP_SITE_LOGITS] = true;
    const tap_item item = {.pixels = &r.scenes[0].pixels,
                           .sequence = &r.scenes[0].sequence,
                           .plans = (const tap_plan *const *)&plan};
    const tap_sink sink = {.wanted = &wanted, .put = put_nothing};
    const tap_run_options options = {.n_threads = 1};
    for (n = 1;; n++) {
        (void)tap_memory_fail_at(n);
        const tap_status status =
            tap_run(NULL, r.model, &item, 1, 1, &options, &sink, &err);
        (void)tap_memory_fail_at(0);
        if (status == TAP_OK)
            break;
        assert_int_equal(status, TAP_ENOMEM);
    }
    assert_true(n > 10);
    tap_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_done_is_refused_by_name),
        cmocka_unit_test(groups_hold_the_patches_they_name),
        cmocka_unit_test(one_seed_draws_other_patches_in_other_pictures),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}

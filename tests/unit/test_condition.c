/* Condition text: canonical spelling, round trips of random text, messages word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "hook/condition.h"

static char *canonical(const char *text)
{
    tap_condition *condition = NULL;
    tap_error err;
    char *out = NULL;
    const tap_status status = tap_condition_parse(&condition, text, &err);
    if (status != TAP_OK)
        print_error("%s\n", err.message);
    assert_int_equal(status, TAP_OK);
    assert_int_equal(tap_condition_print(&out, condition, &err), TAP_OK);
    tap_condition_free(condition);
    return out;
}

static void spellings_of_one_condition_print_alike(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"  ;  ", NULL},
        {"vision:image<-image|cls", "vision: image <- image|cls"},
        {"lm [8 - 15] .h [0,2-3] : part <- (image - part) knockout",
         "lm[8-15].h[0,2-3]: part <- image-part"},
        {"lm: part <- image-(part-cls)", "lm: part <- image-(part-cls)"},
        {"lm: part <- (image-part)-cls", "lm: part <- image-part-cls"},
        {"lm: part <- (image|part)&~(cls|bos)", "lm: part <- (image|part)&~(cls|bos)"},
        {"lm[-3,last,7-]: all <- bos scale 0.25",
         "lm[0-3,last,7-]: all <- bos scale 0.25"},
        {"lm[window(20,9)]: last <- image drop self empty self",
         "lm[window(20,9)]: last <- image drop self empty self"},
        {"vision[prefix(3)]: image <- cls scale 0", "vision[prefix(3)]: image <- cls"},
        {"enc.all_self+cls_drop; lm: image <- image zero",
         "vision: image <- image|cls; lm: image <- image zero"},
        {"clean", ""},
        {"lm: ring( 2 ) <- dilate(part|object,1)-erode(object , 3)",
         "lm: ring(2) <- dilate(part|object,1)-erode(object,3)"},
        {"vision: shift(-1,+2) <- shift(object, 0, -3)",
         "vision: shift(-1,2) <- shift(object,0,-3)"},
        {"lm: random(5,7) <- random(part & image, 2147483647)",
         "lm: random(5,7) <- random(part&image,2147483647)"},
        {"lm: span( \"say \\\"a\\\\b\\\" \" ) <- tile(0)",
         "lm: span(\"say \\\"a\\\\b\\\" \") <- tile(0)"},
        {"lm: gen|row_last|reg <- thumb|pad|row_end freeze phase decode",
         "lm: gen|row_last|reg <- thumb|pad|row_end freeze phase decode"},
        {"lm: part <- all empty zero beyond 3 fraction 0.5 seed 9 drop self scale 0.5",
         "lm: part <- all scale 0.5 drop self fraction 0.5 seed 9 beyond 3 empty zero"},
        {"lm: mean part", "lm: mean part"},
        {"lm:mean (part|object)&image at embed",
         "lm: mean (part|object)&image at embed"},
        {"lm[2]: mean(outside) part at mlp_out",
         "lm[2]: mean(outside) part at mlp_out"},
        {"lm[2].h[0-1] : zero image", "lm[2].h[0-1]: zero image"},
        {"vision: noise( 0.5 , 3 ) image", "vision: noise(0.5,3) image"},
        {"lm: permute(4) image; lm[1]: copy(part) ring(1)",
         "lm: permute(4) image; lm[1]: copy(part) ring(1)"},
        {"lm[1]: steer(a b.safetensors, -2.5) part; lm[2]: steer(\"u\",1) part",
         "lm[1]: steer(\"a b.safetensors\",-2.5) part; lm[2]: steer(\"u\",1) part"},
        {"lm[1]: project_out(dir/u, 1.5, positive) image at resid_post",
         "lm[1]: project_out(\"dir/u\",1.5,positive) image at resid_post"},
        {"lm[1]: patch( clean ) part; lm[2]: patch(dir/t.safetensors) part",
         "lm[1]: patch(clean) part; lm[2]: patch(\"dir/t.safetensors\") part"},
        {"lm[1]: patch(enc.local(2)) part", "lm[1]: patch(enc.local(2)) part"},
        {"lm[1]: patch( image \"a, b.png\" ) part; lm[2]: patch(image) part",
         "lm[1]: patch(image \"a, b.png\") part; lm[2]: patch(image) part"},
        {"salazar.patch.I(image \"a,b);.png\",0-)",
         "lm[0-]: patch(image \"a,b);.png\") image"},
        {"vision: noise(1,2 ,instead) part at pixels; lm: noise(1,2,added) part",
         "vision: noise(1,2,instead) part at pixels; lm: noise(1,2) part"},
        {"lm[1].h[0]: scramble(7) part", "lm[1].h[0]: scramble(7) part"},
        {"lm: zero intgrad( 5 , \"Yes\" )-part", "lm: zero intgrad(5,\"Yes\")-part"},
        {"projector: zero part at in; projector: noise(1,2) outside",
         "projector: zero part at in; projector: noise(1,2) outside"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i][1])
            continue;
        char *text = canonical(cases[i][0]);
        assert_string_equal(text, cases[i][1]);
        char *again = canonical(text);
        assert_string_equal(again, text);
        tap_free(again);
        tap_free(text);
    }
}

static uint64_t seed = 3;

static int die(int n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((seed >> 33) % (uint64_t)n);
}

static tap_status put_group(tap_buffer *out, int depth, tap_error *err)
{
    static const char *const marks[] = {"|", "&", "-"};
    static const char *const leaves[] = {
        "ring(2)",        "shift(-1,3)",    "random(4,11)",    "tile(1)",
        "span(\"a, )\")", "dilate(part,1)", "erode(object,1)", "random(part|cls,3)"};
    if (depth == 0 && die(3) == 0)
        return tap_buffer_print(out, err, "%s", leaves[die(8)]);
    if (depth > 0 && die(6) == 0) {
        static const char *const functions[] = {"ring", "dilate", "erode", "random"};
        TAP_TRY(tap_buffer_print(out, err, "%s(", functions[die(4)]));
        TAP_TRY(put_group(out, depth - 1, err));
        return tap_buffer_print(out, err, ",%d)", die(9));
    }
    if (depth == 0 || die(3) == 0)
        return tap_buffer_print(out, err, "%s",
                                tap_group_names[die((int)tap_n_group_names)]);
    if (die(4) == 0) {
        TAP_TRY(tap_buffer_print(out, err, "~("));
    } else {
        TAP_TRY(tap_buffer_print(out, err, "("));
        TAP_TRY(put_group(out, depth - 1, err));
        TAP_TRY(tap_buffer_print(out, err, "%s", marks[die(3)]));
    }
    TAP_TRY(put_group(out, depth - 1, err));
    return tap_buffer_print(out, err, ")");
}

static tap_status put_atom(tap_buffer *out, tap_error *err)
{
    static const char *const ranges[] = {
        "", "[3]", "[1-4,6]", "[last]", "[window(4,3)]", "[suffix(2)]", "[2-]"};
    static const char *const modes[] = {"",
                                        " scale 0.1",
                                        " zero",
                                        " uniform",
                                        " drop self empty zero",
                                        " freeze",
                                        " beyond 2",
                                        " phase both",
                                        " fraction 0.3 seed 5 phase prefill",
                                        " knockout"};
    static const char *const edits[] = {"mean",
                                        "zero",
                                        "noise(0.25,8)",
                                        "permute(2)",
                                        "copy(part-~cls)",
                                        "mean(part)",
                                        "steer(\"a b\",-0.1)",
                                        "project_out(x/y,2,positive)",
                                        "patch(clean)",
                                        "scramble(5)",
                                        "noise(1,2,instead)",
                                        "patch(image \"p\")",
                                        "patch(\"a\\\"b\")"};
    static const char *const sites[] = {"", " at resid_post", " at z", " at k",
                                        " at mlp_act"};
    if (die(3) == 0) {
        TAP_TRY(tap_buffer_print(out, err, "%s%s: %s ", die(2) ? "vision" : "lm",
                                 ranges[die(7)], edits[die(13)]));
        TAP_TRY(put_group(out, 3, err));
        return tap_buffer_print(out, err, "%s", sites[die(5)]);
    }
    TAP_TRY(tap_buffer_print(out, err, "%s%s%s: ", die(2) ? "vision" : "lm",
                             ranges[die(7)], die(3) ? "" : ".h[0,2]"));
    TAP_TRY(put_group(out, 4, err));
    TAP_TRY(tap_buffer_print(out, err, " <- "));
    TAP_TRY(put_group(out, 4, err));
    return tap_buffer_print(out, err, "%s", modes[die(10)]);
}

static void random_conditions_survive_printing_and_parsing(void **state)
{
    (void)state;
    tap_error err;
    for (int round = 0; round < 5000; round++) {
        tap_buffer text = {0};
        const int n = 1 + die(3);
        for (int a = 0; a < n; a++) {
            if (a)
                assert_int_equal(tap_buffer_print(&text, &err, "; "), TAP_OK);
            assert_int_equal(put_atom(&text, &err), TAP_OK);
        }
        char *once = canonical(text.text), *twice = canonical(once);
        assert_string_equal(once, twice);
        tap_free(once);
        tap_free(twice);
        tap_buffer_clear(&text);
    }
}

static void wrong_text_is_named_with_its_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"lm: image <- imge",
         "condition 'lm: image <- imge', column 14: unknown group 'imge'; did you mean "
         "'image'?"},
        {"lmm: image <- image",
         "condition 'lmm: image <- image', column 1: unknown condition 'lmm'; did you "
         "mean 'lm'?"},
        {"enc.all_self+cls_dorp",
         "condition 'enc.all_self+cls_dorp', column 1: unknown condition "
         "'enc.all_self+cls_dorp'; did you mean 'enc.all_self+cls_drop'?"},
        {"lm image <- image",
         "condition 'lm image <- image', column 4: expected ':', '[' or '.h[' after the "
         "stack, found 'image'"},
        {"lm: image -> image",
         "condition 'lm: image -> image', column 11: expected '<-': queries <- keys, "
         "found '-'"},
        {"lm: image <- image; enc.local",
         "condition 'lm: image <- image; enc.local', column 30: expected the arguments of "
         "'enc.local(r)', found the end"},
        {"lm: zero image at pixels",
         "condition 'lm: zero image at pixels', column 19: 'pixels' is a site of the "
         "encoder, 'vision'"},
        {"lm: image", "condition 'lm: image', column 10: expected '<-', found the end"},
        {"lm: (image <- image",
         "condition 'lm: (image <- image', column 12: expected ')', found '<'"},
        {"lm[]: image <- image",
         "condition 'lm[]: image <- image', column 4: expected a whole number, found ']'"},
        {"lm[5-3]: image <- image",
         "condition 'lm[5-3]: image <- image', column 7: expected a range that rises, "
         "found ']'"},
        {"lm: image <- image scale -1",
         "condition 'lm: image <- image scale -1', column 26: expected a factor of 0 or "
         "more, found '-'"},
        {"lm: image <- image dorp self",
         "condition 'lm: image <- image dorp self', column 20: unknown word 'dorp'; did "
         "you mean 'drop'?"},
        {"lm: image <- image drop all",
         "condition 'lm: image <- image drop all', column 25: expected 'self' after "
         "'drop', found 'all'"},
        {"lm: image <- image freze",
         "condition 'lm: image <- image freze', column 20: unknown word 'freze'; did you "
         "mean 'freeze'?"},
        {"lm: image <- image zero uniform",
         "condition 'lm: image <- image zero uniform', column 25: expected one mode, found "
         "'uniform'"},
        {"lm: image <- image beyond 1 beyond 2",
         "condition 'lm: image <- image beyond 1 beyond 2', column 29: expected each word "
         "once, found 'beyond'"},
        {"lm: image <- image uniform beyond 1",
         "condition 'lm: image <- image uniform beyond 1', column 36: expected neither "
         "'beyond' nor 'fraction' with 'uniform', which levels whole rows, found the end"},
        {"lm: image <- image fraction 2 seed 1",
         "condition 'lm: image <- image fraction 2 seed 1', column 29: expected a share "
         "from 0 to 1, found '2'"},
        {"lm: image <- image fraction 0.5 sed 1",
         "condition 'lm: image <- image fraction 0.5 sed 1', column 33: unknown word "
         "'sed'; did you mean 'seed'?"},
        {"lm: image <- image phase prefil",
         "condition 'lm: image <- image phase prefil', column 26: unknown word 'prefil'; "
         "did you mean 'prefill'?"},
        {"lm: image <- image empty slef",
         "condition 'lm: image <- image empty slef', column 26: unknown word 'slef'; did "
         "you mean 'self'?"},
        {"lm: image <- image drop sefl",
         "condition 'lm: image <- image drop sefl', column 25: unknown word 'sefl'; did "
         "you mean 'self'?"},
        {"lm[lats]: image <- image",
         "condition 'lm[lats]: image <- image', column 4: unknown word 'lats'; did you "
         "mean 'last'?"},
        {"lm[windw(3,2)]: image <- image",
         "condition 'lm[windw(3,2)]: image <- image', column 4: unknown word 'windw'; did "
         "you mean 'window'?"},
        {"viison: image <- image",
         "condition 'viison: image <- image', column 1: unknown condition 'viison'; did "
         "you mean 'vision'?"},
        {"lm: dilat(part,1) <- image",
         "condition 'lm: dilat(part,1) <- image', column 5: unknown group 'dilat'; did you "
         "mean 'dilate'?"},
        {"lm: dilate(part) <- image",
         "condition 'lm: dilate(part) <- image', column 16: expected ',', found ')'"},
        {"lm: ring(x,1) <- image",
         "condition 'lm: ring(x,1) <- image', column 10: unknown group 'x'"},
        {"lm: ring <- image",
         "condition 'lm: ring <- image', column 10: expected '(', found '<'"},
        {"lm: random(3) <- image",
         "condition 'lm: random(3) <- image', column 13: expected ',', found ')'"},
        {"lm: random(3,99999999999) <- image",
         "condition 'lm: random(3,99999999999) <- image', column 14: expected a seed of at "
         "most 2147483647, found '99999999999'"},
        {"lm: span(cat) <- image",
         "condition 'lm: span(cat) <- image', column 10: expected '\"', found 'cat'"},
        {"lm: span(\"cat) <- image",
         "condition 'lm: span(\"cat) <- image', column 24: expected '\"', found the end"},
        {"lm: meann part",
         "condition 'lm: meann part', column 5: unknown edit 'meann'; did you mean "
         "'mean'?"},
        {"lm: noise(1) part",
         "condition 'lm: noise(1) part', column 12: expected ',', found ')'"},
        {"lm[1]: patch(image photo.png) part",
         "condition 'lm[1]: patch(image photo.png) part', column 20: expected the file "
         "of a picture in quotes, found 'photo'"},
        {"vision: noise(1,2,insted) part",
         "condition 'vision: noise(1,2,insted) part', column 19: unknown word 'insted'; "
         "did you mean 'instead'?"},
        {"lm[1]: scrambel(2) part",
         "condition 'lm[1]: scrambel(2) part', column 8: unknown edit 'scrambel'; did "
         "you mean 'scramble'?"},
        {"lm: noise(-1,2) part",
         "condition 'lm: noise(-1,2) part', column 11: expected a standard deviation, "
         "found '-'"},
        {"lm: zero part at resid_pots",
         "condition 'lm: zero part at resid_pots', column 18: unknown site 'resid_pots'; "
         "did you mean 'resid_post'?"},
        {"lm: zero part at pattern",
         "condition 'lm: zero part at pattern', column 18: expected a site whose states "
         "can be edited, found 'pattern'"},
        {"lm[1]: zero part at embed",
         "condition 'lm[1]: zero part at embed', column 21: expected a site inside blocks, "
         "since the atom names blocks, found 'embed'"},
        {"lm[1].h[0]: zero part at resid_mid",
         "condition 'lm[1].h[0]: zero part at resid_mid', column 26: expected q, k, v or "
         "z: elsewhere columns are not heads, found 'resid_mid'"},
        {"lm[1]: steer(u.safetensors) part",
         "condition 'lm[1]: steer(u.safetensors) part', column 27: expected ',', found "
         "')'"},
        {"lm[1]: project_out(u,1,postive) part",
         "condition 'lm[1]: project_out(u,1,postive) part', column 24: unknown word "
         "'postive'; did you mean 'positive'?"},
        {"lm[1]: patch() part",
         "condition 'lm[1]: patch() part', column 14: expected a trace file, the name of a "
         "condition, or image \"FILE\", found ')'"},
        {"projector: part <- image",
         "condition 'projector: part <- image', column 12: expected an edit, since no "
         "tokens meet in the projector, found 'part'"},
        {"projector[1]: zero part",
         "condition 'projector[1]: zero part', column 10: expected ':', since the "
         "projector has no blocks and no heads, found '['"},
        {"projector: zero part at ou",
         "condition 'projector: zero part at ou', column 25: unknown site 'ou'; did you "
         "mean 'out'?"},
        {"lm: image <- image lm: image <- image",
         "condition 'lm: image <- image lm: image <- image', column 20: unknown word "
         "'lm'"}};
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tap_condition *condition = NULL;
        tap_error err;
        assert_true(tap_condition_parse(&condition, cases[i][0], &err) != TAP_OK);
        assert_null(condition);
        if (strcmp(err.message, cases[i][1]) != 0) {
            print_error("found    %s\nexpected %s\n", err.message, cases[i][1]);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void refused(const char *text, const char *message_end)
{
    tap_condition *condition = NULL;
    tap_error err;
    assert_int_equal(tap_condition_parse(&condition, text, &err), TAP_EINVAL);
    const size_t n = strlen(err.message), m = strlen(message_end);
    if (n < m || strcmp(err.message + n - m, message_end) != 0)
        print_error("%s\n", err.message);
    assert_true(n >= m && strcmp(err.message + n - m, message_end) == 0);
}

/* Text from elsewhere is bounded before it is believed. */
static void what_is_too_much_is_refused(void **state)
{
    (void)state;
    tap_buffer text = {0};
    tap_error err;
    assert_int_equal(tap_buffer_print(&text, &err, "lm: "), TAP_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(tap_buffer_print(&text, &err, "~("), TAP_OK);
    refused(text.text, "column 69: expected fewer nested groups, found '~'");
    tap_buffer_clear(&text);

    assert_int_equal(tap_buffer_print(&text, &err, "lm: part"), TAP_OK);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(tap_buffer_print(&text, &err, "|part"), TAP_OK);
    refused(text.text, "expected at most 4096 groups, found '|'");
    tap_buffer_clear(&text);

    assert_int_equal(tap_buffer_print(&text, &err, "lm[0"), TAP_OK);
    for (int i = 0; i < 64; i++)
        assert_int_equal(tap_buffer_print(&text, &err, ",1"), TAP_OK);
    assert_int_equal(tap_buffer_print(&text, &err, "]: part <- image"), TAP_OK);
    refused(text.text, "expected at most 64 ranges, found '1'");
    tap_buffer_clear(&text);

    for (int i = 0; i < 70000; i++)
        assert_int_equal(tap_buffer_put(&text, " ", 1, &err), TAP_OK);
    refused(text.text, "a condition of more than 65536 bytes is not read");
    tap_buffer_clear(&text);
    refused("lm[1000001]: part <- image",
            "column 4: expected a number of at most 1000000, found '1000001'");
}

static void every_named_condition_parses(void **state)
{
    (void)state;
    size_t n = 0;
    const tap_preset *presets = tap_presets(&n);
    assert_true(n >= 20);
    for (size_t i = 0; i < n; i++) {
        if (!presets[i].text || strchr(presets[i].name, '(')) /* test_preset.c */
            continue;
        char *by_name = canonical(presets[i].name),
             *by_text = canonical(presets[i].text);
        assert_string_equal(by_name, by_text);
        tap_free(by_name);
        tap_free(by_text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_of_one_condition_print_alike),
        cmocka_unit_test(random_conditions_survive_printing_and_parsing),
        cmocka_unit_test(wrong_text_is_named_with_its_place),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(every_named_condition_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

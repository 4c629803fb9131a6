/* The experiment file: every key, every default, every message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../support/scratch.h"
#include "lab/experiment.h"

#define FULL                                                                           \
    "schema: 1\n"                                                                      \
    "model: models/llava\n"                                                            \
    "prompt: default\n"                                                                \
    "data:\n"                                                                          \
    "  format: pascal-part\n"                                                          \
    "  images: JPEGImages\n"                                                           \
    "  annotations: /a/Annotations_Part\n"                                             \
    "  parts: {names: default, merge: [sides, counters], min_area_px: 64}\n"           \
    "  sample: {images: 500, seed: 1}\n"                                               \
    "labels: {forms: [space, case, plural], synonyms: default, multi_token: skip}\n"   \
    "patches: {threshold: 0.5, fallback: argmax}\n"                                    \
    "conditions:\n"                                                                    \
    "  clean: \"\"\n"                                                                  \
    "  encoder_off: \"vision: image <- image|cls\"\n"                                  \
    "  decoder_off: \"lm: image <- image\"\n"                                          \
    "  both_off: [encoder_off, decoder_off]\n"                                         \
    "design: {clean: clean, encoder_off: encoder_off, decoder_off: decoder_off, "      \
    "both_off: both_off}\n"                                                            \
    "controls: [shifted_mask, other_part, random_patches, blank_image, "               \
    "permuted_labels]\n"                                                               \
    "readout: {depths: all, norm: final, candidates: vocabulary}\n"                    \
    "stats: {metrics: [log_rank, mrr, \"hit@1\", \"hit@10\"], bootstrap: 10000, "      \
    "seed: 1}\n"

#define DATA  "data: {format: paco, images: i, annotations: a.json}\n"
#define CLEAN "conditions: {clean: \"\"}\n"

static tap_status parse(tap_experiment *e, const char *text, tap_error *err)
{
    return tap_experiment_parse(e, text, strlen(text), "dir/exp.yaml", err);
}

static void test_full(void **state)
{
    (void)state;
    tap_experiment e = {0};
    tap_error err = {0};
    assert_int_equal(parse(&e, FULL, &err), TAP_OK);
    assert_string_equal(e.model, "dir/models/llava");
    assert_string_equal(e.prompt, "default");
    assert_string_equal(e.data.format, "pascal-part");
    assert_string_equal(e.data.images, "dir/JPEGImages");
    assert_string_equal(e.data.annotations, "/a/Annotations_Part");
    assert_string_equal(e.data.names, "default");
    assert_int_equal(e.data.n_merge, 2);
    assert_string_equal(e.data.merge[1], "counters");
    assert_int_equal(e.data.min_area_px, 64);
    assert_int_equal(e.data.sample_images, 500);
    assert_int_equal(e.data.sample_seed, 1);
    assert_int_equal(e.data.line, 5);
    assert_int_equal(e.labels.forms, TAP_FORM_SPACE | TAP_FORM_CASE | TAP_FORM_PLURAL);
    assert_string_equal(e.labels.synonyms, "default");
    assert_int_equal(e.labels.multi_token, TAP_MULTI_SKIP);
    assert_true(e.patches.threshold == 0.5);
    assert_int_equal(e.patches.fallback, TAP_FALLBACK_ARGMAX);
    assert_int_equal(e.n_conditions, 4);
    assert_string_equal(e.conditions[0].name, "clean");
    assert_string_equal(e.conditions[0].text, "");
    assert_string_equal(e.conditions[3].text,
                        "vision: image <- image|cls; lm: image <- image");
    assert_int_equal(e.conditions[3].line, 16);
    assert_true(e.has_design);
    for (int c = 0; c < TAP_N_CELLS; c++)
        assert_int_equal(e.design[c], c);
    assert_true(e.controls[TAP_CONTROL_BLANK_IMAGE]);
    assert_false(e.controls[TAP_CONTROL_WORDS]);
    assert_string_equal(e.readout.depths, "all");
    assert_false(e.readout.no_norm);
    assert_true(e.stats.metrics[TAP_METRIC_HIT10]);
    assert_false(e.stats.metrics[TAP_METRIC_HIT5]);
    assert_int_equal(e.stats.bootstrap, 10000);
    assert_int_equal(strlen(e.identity), 64);
    tap_experiment_clear(&e);
}

static void test_defaults(void **state)
{
    (void)state;
    tap_experiment e = {0};
    assert_int_equal(parse(&e, DATA CLEAN, NULL), TAP_OK);
    assert_null(e.model);
    assert_int_equal(e.data.sample_images, 0);
    assert_int_equal(e.data.n_merge, 0);
    assert_int_equal(e.data.min_area_px, 0);
    assert_true(e.patches.threshold == 0.5);
    assert_false(e.has_design);
    assert_int_equal(e.design[TAP_S11], -1);
    assert_int_equal(e.stats.bootstrap, 10000);
    assert_true(e.stats.metrics[TAP_METRIC_MRR]);
    assert_int_equal(e.stats.depth, TAP_DEPTH_LAST);
    for (int c = 0; c < TAP_N_CONTROLS; c++)
        assert_false(e.controls[c]);
    tap_experiment_clear(&e);
}

/* An identity that comments, order of keys, quotes, paths and statistics do not touch. */
static void test_identity(void **state)
{
    (void)state;
    static const char *const SAME[] = {
        "# a comment\n" CLEAN "data:\n  images: \"./i\"\n  annotations: b\n"
        "  format: 'paco'\n",
        DATA "stats: {bootstrap: 10, seed: 4}\nmodel: m\n" CLEAN,
        DATA "conditions: {\"clean\": ''}\npatches: {threshold: 0.50}\n",
        DATA CLEAN "readout: {depths: all}\n",
        DATA CLEAN "readout: {state: resid, matrix: output, norm: final, candidates: "
                   "vocabulary, locate: []}\n",
    };
    static const char *const OTHER[] = {
        DATA "conditions: {clean: \"\", x: \"lm: image <- image\"}\n",
        DATA CLEAN "patches: {threshold: 0.25}\n",
        DATA CLEAN "readout: {depths: last}\n",
        DATA CLEAN "prompt: \"<image> what\"\n",
        DATA CLEAN "labels: {forms: [space]}\n",
        DATA CLEAN "controls: [words]\n",
        DATA CLEAN "readout: {state: value}\n",
        DATA CLEAN "readout: {matrix: embed, norm: final}\n",
        DATA CLEAN "readout: {norm: none}\n",
        DATA CLEAN "readout: {candidates: own_parts}\n",
        DATA CLEAN "readout: {locate: [gap]}\n",
        "data: {format: paco, images: i, annotations: a, sample: {images: 3}}\n" CLEAN,
    };
    tap_experiment e = {0}, other = {0};
    assert_int_equal(parse(&e, DATA CLEAN, NULL), TAP_OK);
    for (size_t i = 0; i < sizeof SAME / sizeof SAME[0]; i++) {
        tap_error err = {0};
        if (parse(&other, SAME[i], &err) != TAP_OK)
            fail_msg("%s", err.message);
        assert_string_equal(e.identity, other.identity);
        tap_experiment_clear(&other);
    }
    for (size_t i = 0; i < sizeof OTHER / sizeof OTHER[0]; i++) {
        assert_int_equal(parse(&other, OTHER[i], NULL), TAP_OK);
        assert_string_not_equal(e.identity, other.identity);
        tap_experiment_clear(&other);
    }
    tap_experiment_clear(&e);
}

static void test_conditions(void **state)
{
    (void)state;
    tap_experiment e = {0};
    tap_error err = {0};
    assert_int_equal(parse(&e,
                           DATA
                           "conditions:\n  all: [mid, \"lm:  b\\n  <- a \", clean]\n"
                           "  mid: [low]\n  low: \" vision: x <- y ;\"\n  clean: \"\"\n"
                           "  shipped: [enc.part_cut, \"\"]\n"
                           "  quoted: 'lm: span(\"a ;  b\")<-a;lm:c <- d'\n",
                           &err),
                     TAP_OK);
    assert_string_equal(e.conditions[0].text, "vision: x <- y; lm: b <- a");
    assert_string_equal(e.conditions[3].text, "");
    assert_string_equal(e.conditions[4].text, "enc.part_cut");
    assert_string_equal(e.conditions[5].text, "lm: span(\"a ;  b\")<-a; lm:c <- d");
    tap_experiment_clear(&e);
}

static void test_depths(void **state)
{
    (void)state;

    static const struct {
        const char *text, *canonical;
        uint64_t bits; /* of a decoder of 8 blocks; 0: refused */
    } CASES[] = {
        {"all", "all", 0x1ff},
        {"last", "last", 0x100},
        {"3", "3", 0x8},
        {"[8, 0, 2-4, 3-5]", "0,2-5,8", 0x13d},
        {"[last, 0, 1]", "0-1,last", 0x103},
        {"[0, all]", "all", 0x1ff},
        {"9", "9", 0},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, DATA CLEAN "readout: {depths: %s}\n",
                       CASES[i].text);
        tap_experiment e = {0};
        tap_error err = {0};
        assert_int_equal(parse(&e, text, &err), TAP_OK);
        assert_string_equal(e.readout.depths, CASES[i].canonical);
        uint64_t bits = 0;
        const tap_status status = tap_experiment_depths(&bits, &e, 9, &err);
        assert_int_equal(status, CASES[i].bits ? TAP_OK : TAP_EINVAL);
        assert_true(bits == CASES[i].bits);
        if (status != TAP_OK)
            assert_string_equal(err.message,
                                "'dir/exp.yaml': 'readout.depths' asks for depth 9, "
                                "and the decoder of this model has depths 0 to 8");
        tap_experiment_clear(&e);
    }
}

static void test_readout(void **state)
{
    (void)state;
    tap_experiment e = {0};
    assert_int_equal(parse(&e, DATA CLEAN, NULL), TAP_OK);
    assert_int_equal(e.readout.state, TAP_READOUT_RESID);
    assert_int_equal(e.readout.matrix, TAP_MATRIX_OUTPUT);
    assert_int_equal(e.readout.candidates, TAP_CANDIDATES_VOCABULARY);
    assert_false(e.readout.locate[TAP_LOCATE_AUC] || e.readout.locate[TAP_LOCATE_GAP]);
    assert_null(e.readout.translator);
    tap_experiment_clear(&e);
    assert_int_equal(parse(&e,
                           DATA CLEAN
                           "readout: {state: key, matrix: embed, candidates: "
                           "parts, locate: [gap, auc]}\n",
                           NULL),
                     TAP_OK);
    assert_int_equal(e.readout.state, TAP_READOUT_KEY);
    assert_int_equal(e.readout.matrix, TAP_MATRIX_EMBED);
    assert_true(e.readout.no_norm); /* cosines, unless the file says otherwise */
    assert_int_equal(e.readout.candidates, TAP_CANDIDATES_PARTS);
    assert_true(e.readout.locate[TAP_LOCATE_AUC] && e.readout.locate[TAP_LOCATE_GAP]);
    tap_experiment_clear(&e);
    assert_int_equal(
        parse(&e, DATA CLEAN "readout: {matrix: embed, norm: final}\n", NULL), TAP_OK);
    assert_false(e.readout.no_norm);
    tap_experiment_clear(&e);
}

static void test_doses(void **state)
{
    (void)state;
    tap_experiment e = {0};
    assert_int_equal(parse(&e,
                           DATA "conditions: {clean: \"\", half: \"lm: a <- b\"}\n"
                                "doses:\n  lm:\n    - {dose: 0, condition: clean}\n"
                                "    - {dose: 0.25, condition: half}\n",
                           NULL),
                     TAP_OK);
    assert_int_equal(e.n_doses, 1);
    assert_string_equal(e.doses[0].name, "lm");
    assert_int_equal(e.doses[0].n_points, 2);
    assert_true(e.doses[0].points[1].dose == 0.25);
    assert_int_equal(e.doses[0].points[1].condition, 1);
    tap_experiment_clear(&e);
}

static void test_gguf_pair(void **state)
{
    (void)state;
    tap_experiment e = {0};
    assert_int_equal(parse(&e, "model: a.gguf+/m/b.gguf\n" DATA CLEAN, NULL), TAP_OK);
    assert_string_equal(e.model, "dir/a.gguf+/m/b.gguf");
    tap_experiment_clear(&e);
}

static const tap_fact *find_fact(const tap_fact *facts, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(facts[i].key, key) == 0)
            return &facts[i];
    fail_msg("no fact %s", key);
    return NULL;
}

static void test_facts(void **state)
{
    (void)state;
    tap_experiment e = {0};
    assert_int_equal(parse(&e, FULL, NULL), TAP_OK);
    const tap_fact *facts = NULL;
    size_t n = 0;
    assert_int_equal(tap_experiment_facts(&facts, &n, &e, NULL), TAP_OK);
    assert_string_equal(find_fact(facts, n, "data.parts.merge")->value,
                        "sides,counters");
    assert_string_equal(find_fact(facts, n, "patches.threshold")->value, "0.5");
    assert_string_equal(find_fact(facts, n, "conditions.both_off")->value,
                        "vision: image <- image|cls; lm: image <- image");
    assert_true(find_fact(facts, n, "conditions.both_off")->identity);
    assert_string_equal(find_fact(facts, n, "design.encoder_off")->value,
                        "encoder_off");
    assert_false(find_fact(facts, n, "stats.bootstrap")->identity);
    assert_string_equal(find_fact(facts, n, "experiment.identity")->value, e.identity);
    tap_experiment_clear(&e);
}

static void test_files(void **state)
{
    (void)state;
    char directory[SCRATCH_BYTES], path[SCRATCH_PATH_BYTES];
    scratch_open(directory);
    scratch_write_text(directory, "names.tsv", "lear\tear\n");
    scratch_write_text(directory, "spec.yaml",
                       "format: pascal-part\nimages: i\nannotations: a\n"
                       "parts: {names: names.tsv, min_area_px: 3}\n");
    scratch_path(path, directory, "spec.yaml");
    tap_experiment e = {0};
    tap_error err = {0};
    assert_int_equal(tap_experiment_read_data(&e, path, &err), TAP_OK);
    assert_int_equal(e.data.min_area_px, 3);
    assert_non_null(strstr(e.data.names, "/names.tsv"));
    tap_experiment_clear(&e);

    /* names count by content, not by path */
    char identity[2][TAP_SHA256_TEXT_BYTES];
    scratch_write_text(directory, "exp.yaml",
                       "data: {format: cihp, images: i, annotations: a, parts: {names: "
                       "names.tsv}}\n" CLEAN);
    scratch_path(path, directory, "exp.yaml");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tap_experiment_read(&e, path, &err), TAP_OK);
        memcpy(identity[i], e.identity, sizeof identity[i]);
        tap_experiment_clear(&e);
        scratch_write_text(directory, "names.tsv", "lear\tleft ear\n");
    }
    assert_string_not_equal(identity[0], identity[1]);
    assert_int_equal(tap_experiment_read_data(&e, path, &err), TAP_OK);
    assert_string_equal(e.data.format, "cihp");
    tap_experiment_clear(&e);
    scratch_path(path, directory, "none.yaml");
    assert_int_equal(tap_experiment_read(&e, path, &err), TAP_EIO);
    scratch_close(directory);
}

static const struct {
    const char *text, *message;
} REFUSED[] = {
    {"", "'dir/exp.yaml' is not an experiment: expected keys and values at its top, "
         "found nothing"},
    {"- a\n",
     "'dir/exp.yaml' is not an experiment: expected keys and values at its top, "
     "found something else"},
    {"a: [\n", "'dir/exp.yaml' line 2 is not YAML: did not find expected node content"},
    {"schema: 1\n---\nschema: 1\n",
     "'dir/exp.yaml' holds more than one document; one file is one experiment, so leave "
     "the '---' out"},
    {"schema: 1\n--- [\n",
     "'dir/exp.yaml' line 3 is not YAML: did not find expected node content"},
    {"schema: 1\nschema: 1\n",
     "'dir/exp.yaml' line 2: the key 'schema' stands here for the second time; leave one "
     "of the two out"},
    {"[a]: 1\n",
     "'dir/exp.yaml' line 1: a key must be text, found a list or a mapping"},
    {"schema: 2\n",
     "'dir/exp.yaml' line 1: 'schema' is 2, and this tapetum reads schema "
     "1; a newer one may read it"},
    {"\npatchs: 1\n",
     "'dir/exp.yaml' line 2: unknown key 'patchs' in the experiment; did "
     "you mean 'patches'?"},
    {"data: {format: paco, imags: x}\n",
     "'dir/exp.yaml' line 1: unknown key 'imags' in data; did you mean 'images'?"},
    {"data: {format: paco, folder: x}\n",
     "'dir/exp.yaml' line 1: unknown key 'folder' in data; known are format, images, "
     "annotations, parts, sample"},
    {DATA CLEAN "readout: {state: heads}\n",
     "'dir/exp.yaml' line 3: 'readout.state' has the unknown value 'heads'; did you mean 'head'?"},
    {DATA CLEAN "readout: {locate: [gap, auk]}\n",
     "'dir/exp.yaml' line 3: 'readout.locate' has the unknown value 'auk'; did you mean 'auc'?"},
    {DATA CLEAN "readout: {state: value, translator: t.safetensors}\n",
     "'dir/exp.yaml' line 3: 'readout.translator' maps states of the decoder's depths; "
     "it does not go with 'state: value'"},
    {DATA CLEAN "readout: {matrix: embed, translator: t.safetensors}\n",
     "'dir/exp.yaml' line 3: 'readout.translator' leads to the basis of the output "
     "matrix; it does not go with 'matrix: embed'"},
    {DATA CLEAN "readout: {translator: none.safetensors}\n",
     "'dir/exp.yaml' line 3: 'readout.translator' names the file "
     "'dir/none.safetensors', which does not exist"},
    {DATA CLEAN "controls: [words]\nreadout: {state: head}\n",
     "'dir/exp.yaml' line 4: 'readout.state' is 'head', which reads the encoder, and the "
     "control 'words' puts words in its place; take the control out"},
    {CLEAN,
     "'dir/exp.yaml': 'data.format' is missing; known formats are pascal-part, "
     "panoptic-parts, paco, partimagenet, coco-parts, ade20k-parts, cihp, masks"},
    {"data: {format: pacco}\n",
     "'dir/exp.yaml' line 1: 'data.format' has the unknown value 'pacco'; did you mean "
     "'paco'?"},
    {"data: {format: voc2012}\n",
     "'dir/exp.yaml' line 1: 'data.format' has the unknown value 'voc2012'; known are "
     "pascal-part, panoptic-parts, paco, partimagenet, coco-parts, ade20k-parts, cihp, "
     "masks"},
    {"data: {format: paco}\n", "'dir/exp.yaml': 'data.images' is missing"},
    {"data: {format: paco, images: \"\"}\n",
     "'dir/exp.yaml' line 1: 'data.images' is an empty path"},
    {"data: {format: paco, images: [a]}\n",
     "'dir/exp.yaml' line 1: 'data.images' must be a single text, found a list"},
    {"data: {format: paco, images: \"a\\x01\"}\n",
     "'dir/exp.yaml' line 1: 'data.images' holds the control character 0x01"},
    {"data: 3\n",
     "'dir/exp.yaml' line 1: 'data' must hold keys and values, found a single value"},
    {"data: {format: paco, images: i, annotations: a, sample: {images: 0}}\n",
     "'dir/exp.yaml' line 1: 'sample.images' must be a whole number from 1 to 1000000000, "
     "found '0'"},
    {"data: {format: paco, images: i, annotations: a, parts: {min_area_px: 1.5}}\n",
     "'dir/exp.yaml' line 1: 'parts.min_area_px' must be a whole number from 0 to "
     "1000000000, found '1.5'"},
    {"data: {format: paco, images: i, annotations: a, parts: {names: defaults}}\n",
     "'dir/exp.yaml' line 1: 'parts.names' is neither a file nor a known word: "
     "'defaults'; did you mean 'default'?"},
    {"data: {format: paco, images: i, annotations: a, parts: {names: x/n.tsv}}\n",
     "'dir/exp.yaml' line 1: 'parts.names' names the file 'dir/x/n.tsv', which does not "
     "exist"},
    {DATA, "'dir/exp.yaml': 'conditions' must hold at least one condition as 'name: "
           "text', for example 'clean: \"\"'"},
    {DATA "conditions: {clean: }\n",
     "'dir/exp.yaml' line 2: 'conditions' has no text for 'clean'; write \"\" for the "
     "clean condition"},
    {DATA "conditions: {\"a b\": x}\n",
     "'dir/exp.yaml' line 2: 'conditions' has the name 'a b'; names have 1 to 64 bytes "
     "without spaces, quotes, colons, commas and semicolons"},
    {DATA "conditions: {encoder: \"a: b\", both: [encodr]}\n",
     "'dir/exp.yaml' line 2: 'both' uses the condition 'encodr', which is not in this "
     "file; did you mean 'encoder'?"},
    {DATA "conditions: {encoder: \"a: b\", both: [zzz]}\n",
     "'dir/exp.yaml' line 2: 'both' is neither the name of a condition in this file nor "
     "condition text: 'zzz'; text looks like 'vision: image <- image|cls'"},
    {DATA "conditions:\n  a: [b]\n  b: [a]\n",
     "'dir/exp.yaml' line 4: 'b' leads back to itself through 'a'; write out one of the "
     "texts"},
    {DATA "conditions: {clean: \"\", a: \"x: y\"}\ndesign: {clean: clean}\n",
     "'dir/exp.yaml' line 3: 'design' needs the condition 'encoder_off' for its cell "
     "'encoder_off', which is not in 'conditions'"},
    {DATA "conditions: {clean: \"\", a: \"x: y\"}\ndesign: {clean: cleen}\n",
     "'dir/exp.yaml' line 3: 'design' needs the condition 'cleen' for its cell 'clean', "
     "which is not in 'conditions'; did you mean 'clean'?"},
    {DATA "conditions: {clean: \"\", a: \"x: y\", b: \"\"}\ndesign: {clean: clean, "
          "encoder_off: a, decoder_off: a, both_off: b}\n",
     "'dir/exp.yaml' line 3: 'design' uses the condition 'a' for two cells; the four "
     "cells are four conditions"},
    {DATA CLEAN "doses: {x: []}\n",
     "'dir/exp.yaml' line 3: 'x' needs 2 to 256 points, found 0"},
    {DATA CLEAN "doses: [x]\n",
     "'dir/exp.yaml' line 3: 'doses' must hold curves as 'name: [{dose: 0, condition: "
     "clean}, ...]'"},
    {DATA CLEAN "doses: {x: [{dose: 1, condition: clean}, {condition: clean}]}\n",
     "'dir/exp.yaml' line 3: 'x' has a point without 'dose'"},
    {DATA CLEAN "doses: {x: [{dose: 1, condition: clean}, {dose: 2}]}\n",
     "'dir/exp.yaml' line 3: 'x' has a point without 'condition'"},
    {DATA CLEAN "doses: {x: [{dose: 1, condition: clean}, {dose: 1, condition: "
                "clean}]}\n",
     "'dir/exp.yaml' line 3: 'x' must have rising doses, found 1 after 1"},
    {DATA CLEAN "doses: {x: [{dose: 1, condition: clean}, {dose: 2, condition: cl}]}\n",
     "'dir/exp.yaml' line 3: 'condition' has the unknown value 'cl'; known are clean"},
    {DATA CLEAN "patches: {threshold: 1.5}\n",
     "'dir/exp.yaml' line 3: 'patches.threshold' must be a number from 0 to 1, found "
     "'1.5'"},
    {DATA CLEAN "patches: {threshold: 1e-3}\n",
     "'dir/exp.yaml' line 3: 'patches.threshold' must be a number from 0 to 1, found "
     "'1e-3'"},
    {DATA CLEAN "controls: [shifted_masks]\n",
     "'dir/exp.yaml' line 3: 'controls' has the unknown value 'shifted_masks'; did you "
     "mean 'shifted_mask'?"},
    {DATA CLEAN "readout: {depths: 11-4}\n",
     "'dir/exp.yaml' line 3: 'readout.depths' must be 'all', 'last', a depth like 12, a "
     "range like 4-11, or a list of them, found '11-4'"},
    {DATA CLEAN "stats: {metrics: [\"hit@2\"]}\n",
     "'dir/exp.yaml' line 3: 'stats.metrics' has the unknown value 'hit@2'; did you mean "
     "'hit@1'?"},
    {DATA CLEAN "stats: {bootstrap: 1000001}\n",
     "'dir/exp.yaml' line 3: 'stats.bootstrap' must be a whole number from 0 to 1000000, "
     "found '1000001'"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        tap_experiment e = {0};
        tap_error err = {0};
        assert_int_equal(parse(&e, REFUSED[i].text, &err), TAP_EFORMAT);
        assert_string_equal(err.message, REFUSED[i].message);
        assert_null(e.owned);
    }
}

/* Limits: each one is met by a file that is made too large here. */
static void test_limits(void **state)
{
    (void)state;
    static char text[1 << 17];

    static const struct {
        const char *front, *item, *back;
        int n;
        const char *message;
    } CASES[] = {
        {DATA CLEAN "readout: {depths: [", "1,", "]}\n", 65,
         "'dir/exp.yaml' line 3: 'readout.depths' is a list of 65, at most 64 are read"},
        {"data: {format: paco, images: i, annotations: a, parts: {merge: [", "x,",
         "]}}\n", 1025,
         "'dir/exp.yaml' line 1: 'parts.merge' is a list of 1025, at most 1024 are read"},
        {DATA "conditions: {a: [", "\"x: y\",", "]}\n", 5000,
         "'dir/exp.yaml' line 2: 'a' is longer than 16384 bytes"},
        {"model: \"", "x", "\"\n", 4097,
         "'dir/exp.yaml' line 1: 'model' is a text of 4097 bytes, at most 4096 are read"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "%s", CASES[i].front);
        for (int k = 0; k < CASES[i].n; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", CASES[i].item);
        (void)snprintf(text + n, sizeof text - n, "%s", CASES[i].back);
        tap_experiment e = {0};
        tap_error err = {0};
        assert_int_equal(parse(&e, text, &err), TAP_EFORMAT);
        assert_string_equal(err.message, CASES[i].message);
    }
    for (int keys = 257; keys <= 1025; keys += 768) {
        size_t n = (size_t)snprintf(text, sizeof text, DATA "conditions:\n");
        for (int k = 0; k < keys; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "  c%d: \"\"\n", k);
        tap_error err = {0};
        tap_experiment e = {0};
        assert_int_equal(parse(&e, text, &err), TAP_EFORMAT);
        assert_string_equal(
            err.message,
            keys == 257
                ? "'dir/exp.yaml' line 3: 'conditions' has 257 conditions, at "
                  "most 256 are run"
                : "'dir/exp.yaml' line 3: a mapping has 1025 keys, at most 1024 "
                  "are read");
    }
}

static void test_memory(void **state)
{
    (void)state;
    tap_experiment e = {0};
    tap_error err = {0};
    int64_t n = 1;
    for (;; n++) {
        (void)tap_memory_fail_at(n);
        const tap_status status = parse(&e, FULL, &err);
        (void)tap_memory_fail_at(0);
        if (status == TAP_OK)
            break;
        assert_int_equal(status, TAP_ENOMEM);
        assert_null(e.owned);
    }
    assert_true(n > 50);
    tap_experiment_clear(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),     cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_depths),   cmocka_unit_test(test_doses),
        cmocka_unit_test(test_readout),  cmocka_unit_test(test_gguf_pair),
        cmocka_unit_test(test_facts),    cmocka_unit_test(test_files),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("experiment", tests, NULL, NULL);
}

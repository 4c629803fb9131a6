/* What can be typed? Every command with its arguments and options, on one page. Parsing,
 * help, man page and completions are made from these tables. */
#include "cli/commands.h"

#include <stddef.h>

/* ---- help ---- */

static const tap_command help = {
    .name = "help",
    .summary = "print this help, that of a command, the man page or a completion",
    .examples = {"what 'lens' does and takes", "tapetum help lens",
                 "completion for the shell in use",
                 "source <(tapetum help --completion bash)"},
    .args = (const tap_arg[]){{"COMMAND", true, false, "a command"}, {0}},
    .opts = (const tap_opt[]){{"man", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                               "the man page, as roff"},
                              {"completion", 0, TAP_OPT_CHOICE, "bash|zsh|fish", NULL,
                               0, 0, "a shell's completion script"},
                              {0}},
    .run = tap_cmd_help,
};

/* ---- tokenize ---- */

static const tap_command tokenize = {
    .name = "tokenize",
    .summary = "text to token ids and back, a JSON object a line",
    .examples = {"ids of one text",
                 "echo '{\"text\": \"a cat\"}' | tapetum tokenize MODEL --json",
                 "without the begin token",
                 "tapetum tokenize tokenizer.json --json --no-special < texts.jsonl"},
    .args = (const tap_arg[]){{"MODEL", false, false,
                               "model directory, tokenizer.json or tokenizer.model"},
                              {0}},
    .opts =
        (const tap_opt[]){{"no-special", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                           "do not add begin and end tokens, nor print them"},
                          {"decode", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                           "the other way: {\"ids\": ...} to {\"text\": ...} lines"},
                          {0}},
    .run = tap_cmd_tokenize,
};

/* ---- options that several commands have ---- */

#define END                                                                            \
    {                                                                                  \
        0                                                                              \
    }
#define OPT_OUTPUT(what)                                                               \
    {                                                                                  \
        "output", 'o', TAP_OPT_TEXT, "FILE", NULL, 0, 0, what                          \
    }
#define OPT_MASK                                                                       \
    {                                                                                  \
        "mask", 0, TAP_OPT_LIST, "[NAME=]M.png", NULL, 0, 0,                           \
            "8-bit PNG, not 0 inside; NAME is part (default), object, other_part"      \
    }
#define OPT_CONDITION                                                                  \
    {                                                                                  \
        "condition", 0, TAP_OPT_LIST, "TEXT", NULL, 0, 0,                              \
            "what to cut, e.g. 'vision: image <- image|cls'; empty is clean"           \
    }
#define OPT_PROMPT                                                                     \
    {                                                                                  \
        "prompt", 0, TAP_OPT_TEXT, "TEXT", NULL, 0, 0,                                 \
            "a question, or text with <image> once; has a default"                     \
    }
#define OPT_COMPUTE                                                                    \
    {                                                                                  \
        "compute", 0, TAP_OPT_CHOICE, "f32|bf16", "f32", 0, 0,                         \
            "arithmetic of the matrix products; bf16 is faster, ranks shift"           \
    }

static const tap_arg model_and_image[] = {{"MODEL", false, false, "model directory"},
                                          {"IMAGE", false, false, "JPEG or PNG"},
                                          END};

/* ---- run ---- */

static const tap_command run = {
    .name = "run",
    .summary = "run an experiment into results.db; goes on where it stopped",
    .examples = {"the whole experiment", "tapetum run experiment.yaml -o results.db",
                 "a quarter of it on one of four machines",
                 "tapetum run experiment.yaml -o part0.db --shard 0/4"},
    .args = (const tap_arg[]){{"EXPERIMENT", false, false, "YAML file"}, END},
    .opts =
        (const tap_opt[]){
            OPT_OUTPUT("the database; an existing one is resumed"),
            {"shard", 0, TAP_OPT_TEXT, "i/n", NULL, 0, 0,
             "only images i, i + n, i + 2n ...; join with merge"},
            {"memory", 0, TAP_OPT_BYTES, "BYTES", NULL, 1 << 20, 0,
             "beside the mapped weights; a quarter of the RAM by default"},
            OPT_COMPUTE,
            {"dry-run", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
             "check everything; print plan, cost and memory"},
            {"no-share", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
             "compute every condition on its own, to compare"},
            {"no-skip", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
             "compute rows nobody reads, too, to compare"},
            END},
    .notes =
        "The first interrupt finishes the images in hand and saves them; the second "
        "stops at once. The same command then goes on and gives the same rows. The keys "
        "of an experiment: docs/experiment.md.",
    .run = tap_cmd_run,
};

/* ---- demo ---- */

static const tap_command demo = {
    .name = "demo",
    .summary = "the whole experiment on the embedded model and pictures",
    .examples = {"see what the tool does", "tapetum demo", "keep its files elsewhere",
                 "tapetum demo -o my-demo"},
    .opts = (const tap_opt[]){{"output", 'o', TAP_OPT_TEXT, "DIR", "tapetum-demo", 0, 0,
                               "folder for experiment files and databases"},
                              {"data", 0, TAP_OPT_TEXT, "DIR", NULL, 0, 0,
                               "folder of the embedded models and pictures"},
                              END},
    .run = tap_cmd_demo,
};

/* ---- lens ---- */

static const tap_command lens = {
    .name = "lens",
    .summary = "ranks of words at every patch and depth of one image",
    .examples = {"where is the tail?",
                 "tapetum lens MODEL cat.jpg --label tail --mask tail.png",
                 "which five words does each patch say under a cut, for programs?",
                 "tapetum lens MODEL cat.jpg --top 5 --condition '' "
                 "--condition 'lm: image <- image' --json"},
    .args = model_and_image,
    .opts =
        (const tap_opt[]){
            {"label", 0, TAP_OPT_LIST, "WORD", NULL, 0, 0,
             "word to rank; may be given again"},
            {"top", 0, TAP_OPT_INT, "K", "0", 0, 1000,
             "also the K words with the largest logits, with p"},
            {"candidates", 0, TAP_OPT_TEXT, "WORD,...", NULL, 0, 0,
             "rank among these words alone, each by its best form"},
            {"multi-token", 0, TAP_OPT_CHOICE, "skip|first_piece|best_piece|sequence",
             "skip", 0, 0, "how forms of several tokens count"},
            {"readout", 0, TAP_OPT_CHOICE, "resid|head|value|key|embed", "resid", 0, 0,
             "what is read; see the man page"},
            {"norm", 0, TAP_OPT_CHOICE, "final|none", NULL, 0, 0,
             "norm before the lens; final, but none for embed"},
            {"translator", 0, TAP_OPT_TEXT, "FILE", NULL, 0, 0,
             "a tuned lens: D.weight and D.bias, safetensors"},
            OPT_OUTPUT("a page (.html) or a picture (.png, .svg, .pdf) instead"),
            OPT_MASK,
            OPT_CONDITION,
            OPT_PROMPT,
            OPT_COMPUTE,
            END},
    .run = tap_cmd_lens,
};

/* ---- trace ---- */

static const tap_command trace = {
    .name = "trace",
    .summary = "states of a run under their site names, as safetensors or for NumPy",
    .examples = {"every depth of the decoder",
                 "tapetum trace MODEL cat.jpg --sites 'lm.depth.*' -o out.safetensors",
                 "one head's attention from the last token under a cut, for NumPy",
                 "tapetum trace MODEL cat.jpg --sites lm.3-4.pattern --positions last "
                 "--heads 7 --condition 'lm[3]: image <- image' -o out.npz"},
    .args = model_and_image,
    .opts =
        (const tap_opt[]){{"sites", 0, TAP_OPT_TEXT, "LIST", NULL, 0, 0,
                           "names, comma-separated; see inspect --sites"},
                          {"positions", 0, TAP_OPT_CHOICE, "image|all|last", "image", 0,
                           0, "rows to keep: patches, every token, the last"},
                          {"rows", 0, TAP_OPT_TEXT, "GROUP", NULL, 0, 0,
                           "tokens to keep instead, e.g. 'part|last'"},
                          {"heads", 0, TAP_OPT_TEXT, "LIST", NULL, 0, 0,
                           "heads to keep of q, k, v, z, scores, pattern: 0,2,5-7"},
                          {"format", 0, TAP_OPT_CHOICE, "safetensors|npy|npz", NULL, 0,
                           0, "of the file; by default what its name ends in"},
                          OPT_CONDITION,
                          OPT_MASK,
                          OPT_PROMPT,
                          OPT_COMPUTE,
                          OPT_OUTPUT("the file to write"),
                          END},
    .run = tap_cmd_trace,
};

/* ---- attention ---- */

static const tap_command attention = {
    .name = "attention",
    .summary = "what chosen tokens read: attention weights by block, head and group",
    .examples =
        {"how much does the last token look at the part?",
         "tapetum attention MODEL cat.jpg --sum part --sum outside --mask tail.png",
         "every weight of one head under a cut, for programs",
         "tapetum attention MODEL cat.jpg --queries question --blocks 10-14 "
         "--heads 7 --condition 'lm[10]: question <- image' --json"},
    .args = model_and_image,
    .opts =
        (const tap_opt[]){
            {"queries", 0, TAP_OPT_TEXT, "GROUP", NULL, 0, 0,
             "tokens that read; the last one (vision: cls, or the image without one) by "
             "default"},
            {"sum", 0, TAP_OPT_LIST, "GROUP", NULL, 0, 0,
             "sum the weights over this group; may be given again"},
            {"stack", 0, TAP_OPT_CHOICE, "lm|vision", "lm", 0, 0, "decoder or encoder"},
            {"blocks", 0, TAP_OPT_TEXT, "LIST", NULL, 0, 0, "0,2,5-7; all by default"},
            {"heads", 0, TAP_OPT_TEXT, "LIST", NULL, 0, 0, "0,2,5-7; all by default"},
            OPT_CONDITION,
            OPT_MASK,
            OPT_PROMPT,
            OPT_COMPUTE,
            END},
    .notes =
        "No whole map is held: rows come a few at a time, whatever the model's size.",
    .run = tap_cmd_attention,
};

/* ---- answer ---- */

static const tap_command answer = {
    .name = "answer",
    .summary = "how probable answers are, and how a cut changes that",
    .examples = {"which word fits, and does the answer need the image?",
                 "tapetum answer MODEL cat.jpg --prompt '<image> It is a' --answer cat "
                 "--answer dog --condition '' --condition 'lm: last <- image'",
                 "a named condition, for programs",
                 "tapetum answer MODEL cat.jpg --answer 'a cat' --condition "
                 "'zhang.image_to_question(10)' --json"},
    .args = model_and_image,
    .opts = (const tap_opt[]){{"answer", 0, TAP_OPT_LIST, "TEXT", NULL, 0, 0,
                               "what the model might say next; may be given again"},
                              OPT_CONDITION,
                              OPT_MASK,
                              OPT_PROMPT,
                              OPT_COMPUTE,
                              END},
    .notes =
        "p is that of all tokens of the answer, one after the other; perplexity "
        "exp(-log p / tokens). The change is that of the first token's p against the "
        "first condition.",
    .run = tap_cmd_answer,
};

/* ---- check ---- */

static const tap_command check = {
    .name = "check",
    .summary = "do the promises hold on this model? Ten invariants, computed",
    .examples = {"on a picture that is drawn for it", "tapetum check MODEL",
                 "on one of yours, for programs", "tapetum check MODEL cat.jpg --json"},
    .args =
        (const tap_arg[]){{"MODEL", false, false, "model directory"},
                          {"IMAGE", true, false, "JPEG or PNG; one is drawn if absent"},
                          END},
    .opts = (const tap_opt[]){OPT_PROMPT, OPT_COMPUTE, END},
    .notes =
        "Exit status 3 if one does not hold. With --compute bf16 the shift of ranks, S, R "
        "and CI against f32 follows, by depth. It takes about twenty forward passes; "
        "docs/method.md states the invariants.",
    .run = tap_cmd_check,
};

/* ---- patches ---- */

static const tap_command patches = {
    .name = "patches",
    .summary = "share of each patch that a mask covers, as the model sees the image",
    .examples = {"look at it", "tapetum patches MODEL cat.jpg --mask tail.png",
                 "as a picture and as numbers",
                 "tapetum patches MODEL cat.jpg --mask tail.png -o overlay.png --json"},
    .args = model_and_image,
    .opts =
        (const tap_opt[]){OPT_MASK, OPT_OUTPUT("a PNG picture of the patches"), END},
    .run = tap_cmd_patches,
};

/* ---- items ---- */

static const tap_command items = {
    .name = "items",
    .summary = "every part of a data set, excluded ones with the reason",
    .examples = {"for people", "tapetum items experiment.yaml", "for programs",
                 "tapetum items data.yaml --json"},
    .args =
        (const tap_arg[]){{"SPEC", false, false,
                           "experiment, or a file with the keys of data: at its top"},
                          END},
    .run = tap_cmd_items,
};

/* ---- labels ---- */

static const tap_command labels = {
    .name = "labels",
    .summary =
        "the words of a data set as tokens: which a model can score, which not and why",
    .examples = {"what a model cannot score, to publish beside its results",
                 "tapetum labels experiment.yaml --excluded",
                 "what three models can all score",
                 "tapetum labels data.yaml --model A --model B --model C --json"},
    .args =
        (const tap_arg[]){{"SPEC", false, false,
                           "experiment, or a file with the keys of data: at its top"},
                          END},
    .opts = (const tap_opt[]){{"model", 0, TAP_OPT_LIST, "MODEL", NULL, 0, 0,
                               "model directory or tokenizer file; the experiment's by "
                               "default"},
                              {"excluded", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                               "only labels that cannot be scored"},
                              END},
    .notes =
        "Forms, synonyms and the policy for several tokens are those of the experiment; "
        "with a data file, the defaults. With several models each label gets one more "
        "line for 'all': give the same models as labels.common_labels to run the "
        "experiment on what all can score.",
    .run = tap_cmd_labels,
};

/* ---- inspect ---- */

static const tap_command inspect = {
    .name = "inspect",
    .summary = "family, sizes, memory and identity of a model, or the names of sites",
    .examples = {"what is in this directory?", "tapetum inspect MODEL",
                 "what can be traced?", "tapetum inspect --sites"},
    .args = (const tap_arg[]){{"MODEL", true, false, "model directory"}, END},
    .opts = (const tap_opt[]){{"sites", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                               "the places in a run and their shapes"},
                              END},
    .run = tap_cmd_inspect,
};

/* ---- conditions ---- */

static const tap_command conditions = {
    .name = "conditions",
    .summary = "the conditions that have a name, with text, question and source",
    .examples = {"all of them", "tapetum conditions", "for programs",
                 "tapetum conditions --json"},
    .opts = (const tap_opt[]){{"markdown", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                               "as the tables of docs/conditions.md"},
                              END},
    .run = tap_cmd_conditions,
};

/* ---- stats ---- */

static const tap_command stats = {
    .name = "stats",
    .summary = "the 2x2 at every depth: scores, R, CI and I with intervals",
    .examples = {"tables", "tapetum stats results.db", "for programs",
                 "tapetum stats results.db --json"},
    .args = (const tap_arg[]){{"DATABASE", false, false, "results.db of run"}, END},
    .opts = (const tap_opt[]){{"receipts", 0, TAP_OPT_FLAG, NULL, NULL, 0, 0,
                               "what was cut, block by block and head by head"},
                              {"resamples", 0, TAP_OPT_INT, "N", NULL, 0, 1000000,
                               "bootstrap resamples instead of the experiment's"},
                              END},
    .run = tap_cmd_stats,
};

/* ---- generate ---- */

static const tap_command generate = {
    .name = "generate",
    .summary = "an answer to a question about an image, also under a cut",
    .examples = {"ask", "tapetum generate MODEL cat.jpg --prompt 'What is this?'",
                 "what is left when no token reads the image",
                 "tapetum generate MODEL cat.jpg --prompt 'What is this?' "
                 "--condition '' --condition 'lm: gen|question <- image'"},
    .args = (const tap_arg[]){{"MODEL", false, false, "model directory"},
                              {"IMAGE", true, false, "JPEG or PNG; none: text alone"},
                              END},
    .opts = (const tap_opt[]){{"prompt", 0, TAP_OPT_TEXT, "TEXT", NULL, 0, 0,
                               "a question, or text with <image> once; has a default"},
                              {"template", 0, TAP_OPT_TEXT, "NAME", NULL, 0, 0,
                               "chat template of the question; 'list' prints all"},
                              {"max-tokens", 'n', TAP_OPT_INT, "N", "64", 1, 1 << 20,
                               "end an answer after so many tokens"},
                              {"temperature", 0, TAP_OPT_REAL, "T", "0", 0, 100,
                               "draw from softmax(logits / T); 0 takes the largest"},
                              {"top-k", 0, TAP_OPT_INT, "K", "0", 0, 1 << 20,
                               "draw among the K largest; 0 is all"},
                              {"top-p", 0, TAP_OPT_REAL, "P", "1", 0, 1,
                               "draw among the fewest that hold the share P"},
                              {"seed", 0, TAP_OPT_INT, "N", "0", 0, 9007199254740992.0,
                               "of the draws: the same seed gives the same answer"},
                              OPT_MASK,
                              OPT_CONDITION,
                              OPT_COMPUTE,
                              END},
    .notes =
        "An answer ends at a stop token of generation_config.json (or config.json), at "
        "the token that ends a turn in the chat template, at --max-tokens, or when the model has no position left. Keys and values of all "
        "rows are kept: 8 bytes for each block, position and key width; -v says how "
        "much.\n"
        "A condition acts on the prompt and on the answer. 'phase prefill' leaves the "
        "answer alone, 'phase decode' the prompt; 'gen' are the tokens of the answer.",
    .run = tap_cmd_generate,
};

/* ---- report ---- */

static const tap_command report = {
    .name = "report",
    .summary = "one page of HTML that answers the question, down to single patches",
    .examples = {"a page to look at", "tapetum report results.db -o report.html",
                 "two subjects side by side, no photographs",
                 "tapetum report a.db b.db -o report.html --images none"},
    .args = (const tap_arg[]){{"DATABASE", false, true, "results.db of run"}, END},
    .opts = (const tap_opt[]){{"output", 'o', TAP_OPT_TEXT, "FILE", "report.html", 0, 0,
                               "the page"},
                              {"images", 0, TAP_OPT_CHOICE, "none|thumb|full", "thumb",
                               0, 0, "photographs in it: none, small, or as stored"},
                              END},
    .notes =
        "The page is one file that loads nothing: it opens from disk, prints, and shows "
        "its figures without scripts. Its numbers are those of 'tapetum stats'.",
    .run = tap_cmd_report,
};

/* ---- figure ---- */

static const tap_command figure = {
    .name = "figure",
    .summary = "a figure of the report as SVG, PDF or PNG for papers",
    .examples = {"scores by depth, two columns wide",
                 "tapetum figure results.db depth -o depth.pdf",
                 "the 2x2 at depth 12, one column wide",
                 "tapetum figure results.db cells --depth 12 --width 85 -o cells.svg"},
    .args =
        (const tap_arg[]){{"DATABASE", false, false, "results.db of run"},
                          {"NAME", false, false,
                           "cells, depth, recovery, effects, doses, parts or controls"},
                          END},
    .opts =
        (const tap_opt[]){
            OPT_OUTPUT("the file; its ending chooses svg, pdf or png"),
            {"width", 0, TAP_OPT_REAL, "MM", "170", 40, 1000,
             "width in millimetres; letters keep their size"},
            {"depth", 0, TAP_OPT_INT, "N", NULL, 0, 100000,
             "depth shown; the experiment's own by default"},
            {"metric", 0, TAP_OPT_TEXT, "NAME", NULL, 0, 0,
             "a metric of the experiment; log_rank by default"},
            {"average", 0, TAP_OPT_CHOICE, "macro|micro", "macro", 0, 0,
             "over categories, or over parts"},
            {"dpi", 0, TAP_OPT_REAL, "DPI", "300", 30, 2400, "dots an inch of a PNG"},
            END},
    .run = tap_cmd_figure,
};

/* ---- export ---- */

static const tap_command export = {
    .name = "export",
    .summary = "a table or view of results.db as CSV or JSON Lines",
    .examples = {"scores for a spreadsheet",
                 "tapetum export results.db score -o score.csv", "items for a program",
                 "tapetum export results.db item --format jsonl"},
    .args = (const tap_arg[]){{"DATABASE", false, false, "results.db of run"},
                              {"TABLE", false, false, "a table of docs/schema.md"},
                              END},
    .opts = (const tap_opt[]){{"format", 0, TAP_OPT_CHOICE, "csv|jsonl", "csv", 0, 0,
                               "how rows are written"},
                              OPT_OUTPUT("the file; standard output by default"),
                              END},
    .run = tap_cmd_export,
};

/* ---- merge ---- */

static const tap_command merge = {
    .name = "merge",
    .summary = "join the databases of shards; refuses those of another experiment",
    .examples = {"four shards",
                 "tapetum merge -o all.db part0.db part1.db part2.db "
                 "part3.db",
                 "then", "tapetum stats all.db"},
    .args = (const tap_arg[]){{"SHARD", false, true, "databases of run --shard"}, END},
    .opts = (const tap_opt[]){OPT_OUTPUT("the new database"), END},
    .run = tap_cmd_merge,
};

const tap_command *const tap_commands[] = {
    &demo,     &run,    &merge,   &stats,      &report,   &figure,    &export,
    &items,    &labels, &patches, &lens,       &trace,    &attention, &answer,
    &generate, &check,  &inspect, &conditions, &tokenize, &help,      NULL};

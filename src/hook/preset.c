/* The conditions that have a name. One table: what `tapetum conditions` prints, what the
 * parser expands and what docs/conditions.md lists. Parameters are written $1 ... $4. */
#include "hook/preset.h"

#include <stdio.h>
#include <string.h>

#define OPI                                                                            \
    "object-part identification, arXiv 2506.05439; definitions in docs/method.md"
#define GEVA   "Geva et al. 2023, arXiv 2304.14767"
#define NEO    "Neo et al. 2025, arXiv 2410.07149"
#define ZHANG  "Zhang et al. 2025, arXiv 2411.18620"
#define KADURI "Kaduri et al. 2025, arXiv 2411.17491"
#define SCHAUM                                                                         \
    "Schauml\xc3\xb6"                                                                  \
    "ffel et al. 2026, arXiv 2605.19792"
#define SALAZAR "Salazar et al. 2026, arXiv 2607.03358"
#define LIU     "Liu et al. 2025, arXiv 2510.04819"
#define JIANG   "Jiang et al. 2025, arXiv 2410.02762"
#define FU      "Fu et al. 2025, arXiv 2506.08008"

/* The four levels of isolation in each stack, by what stays visible beside the image. */
#define ENC_PART_CUT_KEEP "vision: part <- outside"
#define ENC_PART_CUT_DROP "vision: part <- outside|cls"
#define ENC_TWO_WAY_KEEP  "vision: part <- outside; vision: outside <- part"
#define ENC_TWO_WAY_DROP                                                               \
    "vision: part <- outside|cls; vision: outside <- part; vision: cls <- part"
#define ENC_PART_SELF_KEEP "vision: part <- image"
#define ENC_PART_SELF_DROP "vision: part <- image|cls"
#define ENC_ALL_SELF_KEEP  "vision: image <- image"
#define ENC_ALL_SELF_DROP  "vision: image <- image|cls"
#define LM_PART_CUT_KEEP   "lm: part <- outside"
#define LM_PART_CUT_DROP   "lm: part <- outside|prefix"
#define LM_TWO_WAY_KEEP    "lm: part <- outside; lm: outside <- part"
#define LM_TWO_WAY_DROP    "lm: part <- outside|prefix; lm: outside <- part"
#define LM_PART_SELF_KEEP  "lm: part <- image"
#define LM_PART_SELF_DROP  "lm: part <- image|prefix"
#define LM_ALL_SELF_KEEP   "lm: image <- image"
#define LM_ALL_SELF_DROP   "lm: image <- image|prefix"

#define ALONE(stack, level, policy, text, question)                                    \
    {                                                                                  \
        stack "." level "+" policy, text, question, OPI, NULL                          \
    }
#define PAIR(level, LEVEL, question)                                                   \
    {"both." level "+cls_keep+prefix_keep", ENC_##LEVEL##_KEEP "; " LM_##LEVEL##_KEEP, \
     question, OPI, NULL},                                                             \
        {"both." level "+cls_keep+prefix_drop",                                        \
         ENC_##LEVEL##_KEEP "; " LM_##LEVEL##_DROP,                                    \
         "the same, without the text before the image", OPI, NULL},                    \
        {"both." level "+cls_drop+prefix_keep",                                        \
         ENC_##LEVEL##_DROP "; " LM_##LEVEL##_KEEP,                                    \
         "the same, without the class token", OPI, NULL},                              \
    {                                                                                  \
        "both." level "+cls_drop+prefix_drop",                                         \
            ENC_##LEVEL##_DROP "; " LM_##LEVEL##_DROP,                                 \
            "the same, without the class token and the text before the image", OPI,    \
            NULL                                                                       \
    }

/* An intervention on edges into `query`, everywhere, from a block on, and in all blocks but
 * a band. */
#define KADURI_THREE(name, query, question)                                            \
    {"kaduri." name, "lm: " query " <- image", question, KADURI, NULL},                \
        {"kaduri." name ".from(l)", "lm[$1-]: " query " <- image",                     \
         "the same from block l on", KADURI, NULL},                                    \
    {                                                                                  \
        "kaduri." name ".only_between(a,b)", "lm[-$1,$2-]: " query " <- image",        \
            "the same in blocks up to a and from b on: only those between may look",   \
            KADURI, NULL                                                               \
    }

static const tap_preset presets[] = {
    {"clean", "", "what does the model see, unchanged?", OPI, NULL},

    ALONE("enc", "part_cut", "cls_keep", ENC_PART_CUT_KEEP,
          "does the part need the other patches inside the encoder?"),
    ALONE("enc", "part_cut", "cls_drop", ENC_PART_CUT_DROP,
          "the same, without the relay through the class token"),
    ALONE("enc", "two_way_cut", "cls_keep", ENC_TWO_WAY_KEEP,
          "part and surroundings apart: nothing leaks into neighbours either"),
    ALONE("enc", "two_way_cut", "cls_drop", ENC_TWO_WAY_DROP,
          "the same, without the relay through the class token"),
    ALONE("enc", "part_self", "cls_keep", ENC_PART_SELF_KEEP,
          "each patch of the part on its own in the encoder"),
    ALONE("enc", "part_self", "cls_drop", ENC_PART_SELF_DROP,
          "the same, without the class token"),
    ALONE("enc", "all_self", "cls_keep", ENC_ALL_SELF_KEEP,
          "every patch on its own; the class token still sees all and is seen"),
    ALONE("enc", "all_self", "cls_drop", ENC_ALL_SELF_DROP,
          "every patch on its own: an encoder without context"),
    ALONE("lm", "part_cut", "prefix_keep", LM_PART_CUT_KEEP,
          "does the part need the other patches inside the decoder?"),
    ALONE("lm", "part_cut", "prefix_drop", LM_PART_CUT_DROP,
          "the same, without the text before the image"),
    ALONE("lm", "two_way_cut", "prefix_keep", LM_TWO_WAY_KEEP,
          "part and surroundings apart in the decoder"),
    ALONE("lm", "two_way_cut", "prefix_drop", LM_TWO_WAY_DROP,
          "the same, without the text before the image"),
    ALONE("lm", "part_self", "prefix_keep", LM_PART_SELF_KEEP,
          "each patch of the part on its own in the decoder"),
    ALONE("lm", "part_self", "prefix_drop", LM_PART_SELF_DROP,
          "the same, without the text before the image"),
    ALONE("lm", "all_self", "prefix_keep", LM_ALL_SELF_KEEP,
          "every patch on its own: a decoder without visual context"),
    ALONE("lm", "all_self", "prefix_drop", LM_ALL_SELF_DROP,
          "the same, without the text before the image (the begin token stays)"),
    PAIR("part_cut", PART_CUT, "the part without its surroundings throughout"),
    PAIR("two_way_cut", TWO_WAY, "part and surroundings apart throughout"),
    PAIR("part_self", PART_SELF, "each patch of the part on its own throughout"),
    PAIR("all_self", ALL_SELF,
         "every patch on its own throughout: the floor of its own pixels, if the class "
         "token is dropped"),
    {"enc.object_only", "vision: part <- background|cls",
     "does the rest of the object suffice in the encoder?", OPI, NULL},
    {"enc.background_only", "vision: part <- object-part",
     "does the background suffice in the encoder?", OPI, NULL},
    {"lm.object_only", "lm: part <- background",
     "does the rest of the object suffice in the decoder?", OPI, NULL},
    {"lm.background_only", "lm: part <- object-part",
     "does the background suffice in the decoder?", OPI, NULL},

    {"enc.local(r)", "vision: image <- image|cls beyond $1",
     "how far must a patch look in the encoder? r patches, the class token cut", OPI,
     NULL},
    {"lm.local(r)", "lm: image <- image beyond $1",
     "how far must a patch look in the decoder?", OPI, NULL},
    {"enc.fraction(p,seed)", "vision: image <- image|cls fraction $1 seed $2",
     "a random share p of the encoder's edges cut: how much is enough?", OPI, NULL},
    {"lm.fraction(p,seed)", "lm: image <- image fraction $1 seed $2",
     "a random share p of the decoder's edges cut", OPI, NULL},
    {"enc.scale(x)", "vision: image <- image|cls scale $1",
     "the encoder's context turned down: 1 is clean, 0 is the cut", OPI, NULL},
    {"lm.scale(x)", "lm: image <- image scale $1", "the decoder's context turned down",
     OPI, NULL},
    {"enc.prefix(k)", "vision[prefix($1)]: image <- image|cls",
     "no context in the first k blocks of the encoder", OPI, NULL},
    {"lm.prefix(k)", "lm[prefix($1)]: image <- image",
     "no context in the first k blocks of the decoder", OPI, NULL},
    {"enc.suffix(k)", "vision[suffix($1)]: image <- image|cls",
     "no context in the last k blocks of the encoder (those not read count too)", OPI,
     NULL},
    {"lm.suffix(k)", "lm[suffix($1)]: image <- image",
     "no context in the last k blocks of the decoder", OPI, NULL},
    {"enc.window(l,W)", "vision[window($1,$2)]: image <- image|cls",
     "no context in W blocks around block l of the encoder", OPI, NULL},
    {"lm.window(l,W)", "lm[window($1,$2)]: image <- image",
     "no context in W blocks around block l of the decoder", OPI, NULL},

    {"ctl.random_queries(n,seed)", "lm: random($1,$2) <- image",
     "n random patches isolated in the decoder instead of the part's", OPI, NULL},
    {"ctl.enc.random_queries(n,seed)", "vision: random($1,$2) <- image|cls",
     "n random patches isolated in the encoder instead of the part's", OPI, NULL},
    {"ctl.random_keys(n,seed)", "lm: part <- random($1,$2)",
     "the part cut from n random patches in the decoder", OPI, NULL},
    {"ctl.enc.random_keys(n,seed)", "vision: part <- random($1,$2)",
     "the part cut from n random patches in the encoder", OPI, NULL},
    {"ctl.no_sinks", "vision: image <- cls|reg; lm: all <- bos|reg",
     "do high-norm tokens and the begin token carry what the cuts leave open?", OPI,
     NULL},
    {"ctl.tail_layer_noop", "vision[last]: image <- image|cls",
     "must change nothing where the model reads an earlier block of the encoder", OPI,
     NULL},
    {"ctl.text_rows_noop", "lm: question <- image",
     "must change no image token: the decoder is causal", OPI, NULL},
    {"ctl.shifted_mask", NULL, "is it the place or the shape?", OPI,
     "an experiment with controls: [shifted_mask]"},
    {"ctl.other_part", NULL, "is it this part or any part of the object?", OPI,
     "an experiment with controls: [other_part]"},
    {"ctl.blank_image", NULL, "what does the word's frequency alone give?", OPI,
     "an experiment with controls: [blank_image]"},
    {"ctl.mismatched_image", NULL, "what does another picture give?", OPI,
     "an experiment with controls: [mismatched_image]"},
    {"ctl.permuted_labels", NULL, "what does a wrong word give?", OPI,
     "an experiment with controls: [permuted_labels]"},
    {"ctl.random_projector(seed)",
     "projector: scramble($1) image at in; projector: scramble($1) image at out",
     "what does the lens see through a random projector of the same scale? Input columns "
     "and output rows of its maps are shuffled, with random signs",
     OPI, NULL},
    {"ctl.words", NULL,
     "what does a decoder cut cost where there is no context to lose?", OPI,
     "an experiment with controls: [words]"},

    {"geva.subject_to_last(l,\"text\")", "lm[window($1,9)]: last <- span($2)",
     "in which blocks does the last token read the subject?", GEVA, NULL},
    {"geva.nonsubject_to_last(l,\"text\")",
     "lm[window($1,9)]: last <- all-span($2)-last",
     "in which blocks does it read everything else?", GEVA, NULL},
    {"geva.last_to_last(l)", "lm[window($1,9)]: last <- last drop self",
     "in which blocks does it read itself?", GEVA, NULL},

    {"neo.object_to_last(r,blocks)", "lm[$2]: last <- dilate(object,$1)",
     "does the last token take the object from its patches and r rings around them? "
     "Bands of the paper: 0-9, 5-14, 11-20, 15-24, 21-31, 0-",
     NEO, NULL},
    {"neo.nonobject_to_last(blocks)", "lm[$1]: last <- image-dilate(object,1)",
     "does it take the object from anywhere else?", NEO, NULL},
    {"neo.object1_to_lastrow(blocks)",
     "lm[$1]: row_last-dilate(object,1) <- dilate(object,1)",
     "does the last row of patches gather the object?", NEO, NULL},
    {"neo.image_to_lastrow(blocks)", "lm[$1]: row_last <- image-row_last",
     "does the last row of patches gather the image?", NEO, NULL},
    {"neo.ablate.object(r)", "lm: mean dilate(object,$1)",
     "is the object still named when its tokens and r rings become the mean token?",
     NEO, NULL},
    {"neo.ablate.object.zero(r)", "lm: zero dilate(object,$1)", "the same with zeros",
     NEO, NULL},
    {"neo.ablate.register", "lm: mean reg", "do high-norm tokens hold the object?", NEO,
     NULL},
    {"neo.ablate.register.zero", "lm: zero reg", "the same with zeros", NEO, NULL},
    {"neo.ablate.random(n,seed)", "lm: mean random($1,$2)",
     "as many random tokens instead", NEO, NULL},
    {"neo.ablate.random.zero(n,seed)", "lm: zero random($1,$2)", "the same with zeros",
     NEO, NULL},
    {"neo.ablate.intgrad(n,\"word\")", "lm: mean intgrad($1,$2)",
     "the n image tokens that the answer's first word depends on most, by integrated "
     "gradients",
     NEO, NULL},
    {"neo.ablate.intgrad.zero(n,\"word\")", "lm: zero intgrad($1,$2)",
     "the same with zeros", NEO, NULL},
    {"neo.pixel_noise.object(sd,seed)", "vision: noise($1,$2,instead) object at pixels",
     "the object's patches painted over with noise: is it still named? Uniform noise as in "
     "the paper has sd 1.07 in normalised pixels",
     NEO, NULL},

    {"zhang.question_to_last(l)", "lm[window($1,9)]: last <- question",
     "where does the question reach the answer?", ZHANG, NULL},
    {"zhang.image_to_last(l)", "lm[window($1,9)]: last <- image",
     "where does the image reach the answer directly?", ZHANG, NULL},
    {"zhang.last_to_last(l)", "lm[window($1,9)]: last <- last drop self",
     "where does the last token need itself?", ZHANG, NULL},
    {"zhang.image_to_question(l)", "lm[window($1,9)]: question <- image",
     "where does the image enter the question?", ZHANG, NULL},
    {"zhang.object_to_question(l)", "lm[window($1,9)]: question <- object",
     "where do the patches of the object asked about enter it?", ZHANG, NULL},
    {"zhang.rest_to_question(l)", "lm[window($1,9)]: question <- background",
     "where do the other patches enter it?", ZHANG, NULL},
    {"zhang.option_to_last(l,\"text\")", "lm[window($1,9)]: last <- span($2)",
     "where does an answer option reach the answer?", ZHANG, NULL},
    {"zhang.padding_to_question(l)", "lm[window($1,9)]: question <- pad",
     "do padding tokens carry anything?", ZHANG, NULL},
    {"zhang.thumbnail_to_question(l)", "lm[window($1,9)]: question <- image&thumb",
     "does the thumbnail carry it?", ZHANG, NULL},
    {"zhang.crops_to_question(l)", "lm[window($1,9)]: question <- image-thumb",
     "do the high-resolution crops carry it?", ZHANG, NULL},

    KADURI_THREE("image_to_gen", "gen",
                 "may generated tokens look at the image while they are written?"),
    KADURI_THREE("image_to_query", "question", "may the query look at the image?"),
    KADURI_THREE("image_to_both", "question|gen", "may either look at the image?"),

    {"schaumloeffel.ablate.object(r)", "lm: mean dilate(object,$1)",
     "can the object be placed without its tokens and r rings around them?", SCHAUM,
     NULL},
    {"schaumloeffel.ablate.object_inner", "lm: mean erode(object,1)",
     "the same with its rim left in place", SCHAUM, NULL},
    {"schaumloeffel.grow.object(r)", "lm: copy(object) ring(object,$1)",
     "does the box grow when the object's tokens are copied outward?", SCHAUM, NULL},
    {"schaumloeffel.shuffle.all(seed)", "lm: permute($1) image",
     "does the order of image tokens matter?", SCHAUM, NULL},
    {"schaumloeffel.shuffle.object(seed)", "lm: permute($1) object",
     "does it matter inside the object?", SCHAUM, NULL},
    {"schaumloeffel.ablate.view.global", "lm: mean image&thumb",
     "is the thumbnail needed?", SCHAUM, NULL},
    {"schaumloeffel.ablate.view.local", "lm: mean image-thumb", "are the crops needed?",
     SCHAUM, NULL},
    {"schaumloeffel.object_to_all(blocks)", "lm[$1]: all <- object",
     "in which blocks is the object read by anyone?", SCHAUM, NULL},
    {"schaumloeffel.patch.head(run,b,h)", "lm[$2].h[$3]: patch($1) question at z",
     "which heads carry the object into the text? run: a trace of the other picture",
     SCHAUM, NULL},
    {"schaumloeffel.ablate.head(b,h)", "lm[$1].h[$2]: zero all at z",
     "what goes when this head is removed? Joined by ';' for the top n", SCHAUM, NULL},

    {"salazar.I_to_last", "lm: last <- image", "is the direct way needed?", SALAZAR,
     NULL},
    {"salazar.I_to_T", "lm: question-last <- image", "is the way through text needed?",
     SALAZAR, NULL},
    {"salazar.T_to_last", "lm: last <- question", "is the text's last step needed?",
     SALAZAR, NULL},
    {"salazar.patch.I(run,blocks)", "lm[$2]: patch($1) image",
     "are image states of another run used? One block, or 0- for all", SALAZAR, NULL},
    {"salazar.patch.T(run,blocks)", "lm[$2]: patch($1) question-last",
     "are text states of another run used?", SALAZAR, NULL},
    {"salazar.patch.last(run,blocks)", "lm[$2]: patch($1) last",
     "is the last state of another run used?", SALAZAR, NULL},
    {"salazar.corrupt+patch.T(run)", "lm[0-]: patch($1) question",
     "do text states suffice? IMAGE is noise, black or white; run: a trace of the real "
     "picture",
     SALAZAR, NULL},

    {"liu.read.value", NULL, "what do image values say in the vocabulary?", LIU,
     "tapetum lens --readout value (as vectors: tapetum trace --sites 'lm.*.v')"},
    {"liu.read.key", NULL, "what do image keys say in the vocabulary?", LIU,
     "tapetum lens --readout key (as vectors: tapetum trace --sites 'lm.*.k')"},
    {"liu.block.static_keys(blocks)", "lm[$1]: question <- other_part",
     "do keys that hardly vary across images carry artefacts? Their patches, found in "
     "traces of lm.*.k, are the mask other_part",
     LIU, NULL},
    {"liu.prefix.text", NULL, "does text before the image help?", LIU,
     "--prompt 'TEXT <image> ...' of lens, trace, answer and generate"},

    {"jiang.lens.nonorm_top50", NULL, "which objects does a patch name?", JIANG,
     "tapetum lens --norm none --top 50"},
    {"jiang.edit.project_out(file,b,w)", "lm[$2]: project_out($1,$3,positive) image",
     "is a hallucinated object gone without its direction?", JIANG, NULL},

    {"fu.read.stage.encoder", NULL, "what can be read before the decoder?", FU,
     "tapetum lens --readout head, or tapetum trace --sites 'vision.*.resid_post'"},
    {"fu.read.stage.projector", NULL, "what can be read after the projector?", FU,
     "depth 0 of tapetum lens, or tapetum trace --sites projector.out"},
    {"fu.read.stage.lm", NULL, "what can be read inside the decoder?", FU,
     "tapetum lens, or tapetum trace --sites 'lm.depth.*'"},
    {"fu.ctl.blank_image", NULL, "what does the answer owe to the text alone?", FU,
     "an experiment with controls: [blank_image]"},
};

const tap_preset *tap_presets(size_t *n)
{
    *n = sizeof presets / sizeof *presets;
    return presets;
}

/* Whether the text names a group, as a whole word. */
static bool names(const char *text, const char *word)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    const size_t n = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if ((at == text || !(strchr(letters, at[-1]) || at[-1] == '[')) &&
            (at[n] == '\0' || !strchr(letters, at[n])))
            return true;
    return false;
}

void tap_preset_needs(char out[TAP_PRESET_NEEDS_BYTES], const tap_preset *preset)
{
    static const struct {
        const char *word, *need;
    } table[] = {{"part", "a mask of the part"},
                 {"outside", "a mask of the part"},
                 {"object", "a mask of the object"},
                 {"background", "a mask of the object"},
                 {"other_part", "a mask other_part"},
                 {"thumb", "a model with a thumbnail"},
                 {"pad", "a model with padding tokens"},
                 {"gen", "generated tokens (generate, answer)"},
                 {"question", "text rows (answer, generate, trace)"},
                 {"last", "text rows (answer, generate, trace)"},
                 {"span", "text rows (answer, generate, trace)"},
                 {"patch",
                  "another run: a trace file, image \"PICTURE\", or a condition "
                  "of the batch"},
                 {"project_out", "a direction in a safetensors file"},
                 {"reg", "a clean run first"},
                 {"intgrad", "50 runs of the decoder and back first (not in an "
                             "experiment)"}};

    size_t n = 0;
    out[0] = '\0';
    if (!preset->text) {
        (void)snprintf(out, TAP_PRESET_NEEDS_BYTES, "%s", preset->how);
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (names(preset->text, table[i].word) && !strstr(out, table[i].need) &&
            n < TAP_PRESET_NEEDS_BYTES)
            n += (size_t)snprintf(out + n, TAP_PRESET_NEEDS_BYTES - n, "%s%s",
                                  n ? "; " : "", table[i].need);
}

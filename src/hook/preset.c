/* The conditions that have a name: the core of the object-part experiment. */
#include "hook/condition.h"

#define OPI                                                                            \
    "object-part identification, arXiv 2506.05439; definitions in docs/method.md"

static const tap_preset presets[] = {
    {"clean", "", "what does the model see, unchanged?", OPI},
    {"enc.part_cut+cls_keep", "vision: part <- outside",
     "does the part need the other patches inside the encoder?", OPI},
    {"enc.part_cut+cls_drop", "vision: part <- outside|cls",
     "the same, without the relay through the class token", OPI},
    {"enc.two_way_cut+cls_keep", "vision: part <- outside; vision: outside <- part",
     "part and surroundings apart: nothing leaks into neighbours either", OPI},
    {"enc.two_way_cut+cls_drop",
     "vision: part <- outside|cls; vision: outside <- part; vision: cls <- part",
     "the same, without the relay through the class token", OPI},
    {"enc.part_self+cls_keep", "vision: part <- image",
     "each patch of the part on its own in the encoder", OPI},
    {"enc.part_self+cls_drop", "vision: part <- image|cls",
     "the same, without the class token", OPI},
    {"enc.all_self+cls_keep", "vision: image <- image",
     "every patch on its own; the class token still sees all and is seen", OPI},
    {"enc.all_self+cls_drop", "vision: image <- image|cls",
     "every patch on its own: an encoder without context", OPI},
    {"lm.part_cut+prefix_keep", "lm: part <- outside",
     "does the part need the other patches inside the decoder?", OPI},
    {"lm.part_cut+prefix_drop", "lm: part <- outside|prefix",
     "the same, without the text before the image", OPI},
    {"lm.two_way_cut+prefix_keep", "lm: part <- outside; lm: outside <- part",
     "part and surroundings apart in the decoder", OPI},
    {"lm.two_way_cut+prefix_drop", "lm: part <- outside|prefix; lm: outside <- part",
     "the same, without the text before the image", OPI},
    {"lm.part_self+prefix_keep", "lm: part <- image",
     "each patch of the part on its own in the decoder", OPI},
    {"lm.part_self+prefix_drop", "lm: part <- image|prefix",
     "the same, without the text before the image", OPI},
    {"lm.all_self+prefix_keep", "lm: image <- image",
     "every patch on its own: a decoder without visual context", OPI},
    {"lm.all_self+prefix_drop", "lm: image <- image|prefix",
     "the same, without the text before the image (the begin token stays)", OPI},
    {"both.all_self+cls_drop+prefix_keep",
     "vision: image <- image|cls; lm: image <- image",
     "every patch on its own throughout: the floor of its own pixels", OPI},
    {"both.part_cut+cls_drop+prefix_keep",
     "vision: part <- outside|cls; lm: part <- outside",
     "the part without its surroundings throughout", OPI},
    {"enc.object_only", "vision: part <- background|cls",
     "does the rest of the object suffice in the encoder?", OPI},
    {"enc.background_only", "vision: part <- object-part",
     "does the background suffice in the encoder?", OPI},
    {"lm.object_only", "lm: part <- background",
     "does the rest of the object suffice in the decoder?", OPI},
    {"lm.background_only", "lm: part <- object-part",
     "does the background suffice in the decoder?", OPI},
    {"ctl.text_rows_noop", "lm: question <- image",
     "must change no image token: the decoder is causal", OPI},
};

const tap_preset *tap_presets(size_t *n)
{
    *n = sizeof presets / sizeof *presets;
    return presets;
}

/* How is a question put to this chat model? One turn in the words that it was trained on.
 *
 * The begin token is left to the tokenizer. "<image>" marks the image's place. */
#ifndef TAP_MODEL_TEMPLATE_H
#define TAP_MODEL_TEMPLATE_H

#include "base/memory.h"

typedef struct tap_template {
    const char *name;     /* "vicuna_v1" */
    const char *pattern;  /* "{image}" and "{text}" once each */
    const char *image;    /* what {image} becomes; "" without an image ... */
    const char *no_image; /* ... or this, where the template differs; NULL: "" */
    const char *end;      /* token that ends the answer; NULL: the end of the text */
} tap_template;

/* All of them, ending with a name NULL. */
extern const tap_template tap_templates[];

/* The template of that name. TAP_EINVAL names the nearest. */
TAP_NODISCARD tap_status tap_template_get(const tap_template **out, const char *name,
                                          tap_error *err);

/* *out = the prompt for one question (tap_free it). with_image: "<image>" stands where the
 * template puts it, unless the question holds it. */
TAP_NODISCARD tap_status tap_template_put(char **out, const tap_template *t,
                                          const char *question, bool with_image,
                                          tap_error *err);

#endif

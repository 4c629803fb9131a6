/* Conditions that have a name, with what each asks and where it comes from. */
#ifndef TAP_HOOK_PRESET_H
#define TAP_HOOK_PRESET_H

#include "base/error.h"

/* "enc.local(r)" has one parameter, written $1 in its text. A name without text is not a
 * condition: `how` says what runs it. */
typedef struct tap_preset {
    const char *name, *text, *question, *source, *how;
} tap_preset;

const tap_preset *tap_presets(size_t *n);

enum { TAP_PRESET_NEEDS_BYTES = 256 };

/* What it takes beside a model and an image, from the words of its text: "" for nothing. */
void tap_preset_needs(char out[TAP_PRESET_NEEDS_BYTES], const tap_preset *preset);

#endif

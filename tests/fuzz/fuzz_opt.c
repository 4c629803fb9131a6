/* Command lines: words on lines, the first names the command. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { MAX_WORDS = 64 };

    char text[4096];
    const char *words[MAX_WORDS];
    const tap_command *command = NULL;
    tap_args *args = NULL;
    tap_error err = {0};
    int n_words = 0;
    if (n >= sizeof text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = '\0';
    for (char *at = text; n_words < MAX_WORDS;) {
        words[n_words++] = at;
        at += strcspn(at, "\n");
        if (!*at)
            break;
        *at++ = '\0';
    }
    if (tap_command_get(&command, words[0], &err) != TAP_OK)
        return 0;
    if (tap_args_parse(&args, command, n_words - 1, words + 1, &err) == TAP_OK)
        tap_args_free(args);
    else if (err.status != TAP_EINVAL || !err.message[0])
        abort(); /* what is wrong is said, and is the user's */
    return 0;
}

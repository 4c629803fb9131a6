/* A tokenizer file: opened and used, or refused with a message. */
#ifndef TAP_FUZZ_TOKENIZER_H
#define TAP_FUZZ_TOKENIZER_H

#include "input.h"

#include "base/memory.h"
#include "format/tokenizer.h"

/* A text there and back. */
static inline void fuzz_encode(const tap_tokenizer *t, const char *text, size_t n)
{
    tap_error err;
    int32_t *ids = NULL;
    size_t n_ids = 0, n_back = 0;
    char *back = NULL;
    if (tap_tokenizer_encode(&ids, &n_ids, t, text, n, true, &err) != TAP_OK)
        return;
    if (tap_tokenizer_decode(&back, &n_back, t, ids, n_ids, false, &err) == TAP_OK)
        tap_free(back);
    tap_free(ids);
}

static inline int fuzz_tokenizer(const char *suffix, const uint8_t *bytes, size_t n)
{
    char path[FUZZ_PATH_BYTES];
    tap_error err;
    tap_tokenizer *t = NULL;
    fuzz_file(path, suffix, bytes, n);
    if (tap_tokenizer_open(&t, path, &err) == TAP_OK) {
        static const char text[] = " a tail<s> ab\xc3\xa9"
                                   "Ab's 12 <image>\xe2\x96\x81 b";
        fuzz_encode(t, text, sizeof text - 1);
        tap_tokenizer_close(t);
    }
    (void)unlink(path);
    return 0;
}

#endif

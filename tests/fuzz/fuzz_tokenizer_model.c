/* tokenizer.model: opened and used, or refused with a message. */
#define _DEFAULT_SOURCE 1 /* mkstemps */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "format/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[] = "/tmp/tapetum-fuzz-XXXXXX.model";
    tap_error err;
    const int fd = mkstemps(path, (int)strlen(".model"));
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    (void)close(fd);
    tap_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    if (tap_tokenizer_open(&t, path, &err) == TAP_OK) {
        static const char text[] = " a tail<s> ab\xc3\xa9"
                                   "Ab's 12 <image>\xe2\x96\x81 b";
        char *back = NULL;
        size_t n_back = 0;
        if (tap_tokenizer_encode(&ids, &n_ids, t, text, sizeof text - 1, true, &err) ==
            TAP_OK) {
            if (tap_tokenizer_decode(&back, &n_back, t, ids, n_ids, false, &err) ==
                TAP_OK)
                tap_free(back);
            tap_free(ids);
        }
        tap_tokenizer_close(t);
    }
    (void)unlink(path);
    return 0;
}

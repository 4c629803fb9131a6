/* An input as a file, for targets whose reader takes a path. Included first: it asks for
 * mkstemps. */
#ifndef TAP_FUZZ_INPUT_H
#define TAP_FUZZ_INPUT_H

#define _DEFAULT_SOURCE 1
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { FUZZ_PATH_BYTES = 64 };

/* Makes a file of these bytes whose name ends in suffix; the caller unlinks it. */
static inline void fuzz_file(char path[FUZZ_PATH_BYTES], const char *suffix,
                             const uint8_t *bytes, size_t n)
{
    (void)snprintf(path, FUZZ_PATH_BYTES, "/tmp/tapetum-fuzz-XXXXXX%s", suffix);
    const int fd = mkstemps(path, (int)strlen(suffix));
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    (void)close(fd);
}

#endif

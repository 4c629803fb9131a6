/* Pascal-Part annotations: read, or refused with a message. */
#define _DEFAULT_SOURCE 1 /* mkstemps */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "lab/dataset_pascal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[] = "/tmp/tapetum-fuzz-XXXXXX.mat";
    tap_error err;
    const int fd = mkstemps(path, (int)strlen(".mat"));
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    (void)close(fd);
    tap_items items = {0};
    (void)(tap_pascal_read(&items, path, &err) == TAP_OK);
    tap_items_clear(&items);
    (void)unlink(path);
    return 0;
}

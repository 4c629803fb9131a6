/* A directory for one test: made empty, removed with all it holds. */
#ifndef TAP_TESTS_SCRATCH_H
#define TAP_TESTS_SCRATCH_H

#include <stddef.h>

enum { SCRATCH_BYTES = 64, SCRATCH_PATH_BYTES = 256 };

/* Makes it under /tmp; aborts when that fails. */
void scratch_open(char directory[SCRATCH_BYTES]);
void scratch_close(const char *directory);

/* path = directory/name */
void scratch_path(char path[SCRATCH_PATH_BYTES], const char *directory,
                  const char *name);
/* Writes a file of exactly these bytes; aborts when that fails. */
void scratch_write(const char *directory, const char *name, const void *bytes,
                   size_t n_bytes);
/* The same for text. */
void scratch_write_text(const char *directory, const char *name, const char *text);
/* Entries of the directory, "." and ".." apart: 0 proves that nothing was left behind. */
int scratch_count(const char *directory);

#endif

/* Which known word was meant: nearest-word suggestions for every message that refuses one. */
#ifndef TAP_BASE_SUGGEST_H
#define TAP_BASE_SUGGEST_H

#include <stddef.h>

/* The known word with the smallest edit distance (insert, delete, replace, swap of
 * neighbours) to `word`, the first of equals; NULL if none is within a third of the longer
 * word's length, at least 1. Words above 63 bytes are not compared. */
const char *tap_suggest(const char *word, const char *const *known, size_t n_known);

#endif

#include "base/suggest.h"

#include <string.h>

enum { WORD_BYTES = 64 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, three rolling rows. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t rows[3][WORD_BYTES];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= n_b; j++)
        last[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        now[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            now[j] = smaller(smaller(last[j], now[j - 1]) + 1,
                             last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[n_b];
}

const char *tap_suggest(const char *word, const char *const *known, size_t n_known)
{
    const size_t n_word = strlen(word);
    const char *best = NULL;
    size_t best_distance = WORD_BYTES;
    for (size_t k = 0; k < n_known; k++) {
        const size_t n = strlen(known[k]);
        if (n_word >= WORD_BYTES || n >= WORD_BYTES)
            continue;
        const size_t longer = n > n_word ? n : n_word;
        const size_t allowed = longer / 3 > 1 ? longer / 3 : 1;
        const size_t d = distance(word, n_word, known[k], n);
        if (d <= allowed && d < best_distance) {
            best = known[k];
            best_distance = d;
        }
    }
    return best;
}

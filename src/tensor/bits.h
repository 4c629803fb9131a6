/* Sets of tokens and of edges as bits: bit i of a set is bit i % 64 of word i / 64. */
#ifndef TAP_TENSOR_BITS_H
#define TAP_TENSOR_BITS_H

#include <stdbool.h>
#include <stdint.h>

static inline int64_t tap_bits_words(int64_t n)
{
    return (n + 63) / 64;
}

static inline bool tap_bits_get(const uint64_t *words, int64_t i)
{
    return (words[i / 64] >> (i % 64)) & 1;
}

static inline void tap_bits_set(uint64_t *words, int64_t i)
{
    words[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void tap_bits_drop(uint64_t *words, int64_t i)
{
    words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

static inline int64_t tap_bits_count(const uint64_t *words, int64_t n_words)
{
    int64_t n = 0;
    for (int64_t i = 0; i < n_words; i++)
        n += __builtin_popcountll(words[i]);
    return n;
}

#endif

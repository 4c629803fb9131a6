/* Random numbers by position: the same number for the same (key, counter), whatever was
 * asked before and by which thread. */
#ifndef TAP_BASE_PHILOX_H
#define TAP_BASE_PHILOX_H

#include <stdint.h>

/* Philox4x32 with 10 rounds: four random words from a counter and a key. A caller gives
 * each word of the counter a meaning (which draw, which resample, which purpose) and never
 * uses a counter for two purposes under one key.
 *
 * Threads: safe.
 * Source:  Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
 * Checked: test_philox.c, against the authors' known answers. */
void tap_philox(uint32_t out[4], const uint32_t counter[4], uint64_t key);

/* A whole number in [0, n) from one word; n >= 1. The bias is below n / 2^32. */
static inline uint32_t tap_random_below(uint32_t word, uint32_t n)
{
    return (uint32_t)((uint64_t)word * n >> 32);
}

/* Numbers of one purpose, drawn one after the other: counters {n_drawn / 4, purpose}. */
typedef struct tap_random {
    uint64_t key;
    uint32_t purpose[3];
    uint32_t n_drawn;
    uint32_t words[4];
} tap_random;

/* The next whole number in [0, n). */
static inline uint32_t tap_random_next(tap_random *r, uint32_t n)
{
    if (r->n_drawn % 4 == 0) {
        const uint32_t counter[4] = {r->n_drawn / 4, r->purpose[0], r->purpose[1],
                                     r->purpose[2]};
        tap_philox(r->words, counter, r->key);
    }
    return tap_random_below(r->words[r->n_drawn++ % 4], n);
}

#endif

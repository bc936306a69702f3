/*
 * chance.h - random numbers that the same seed gives again, on any machine (xorshift64*).
 */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdint.h>

/* Where the sequence is; the seed, which is not 0. */
static uint64_t state;

/* A number below `n`. */
static inline uint64_t below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545f4914f6cdd1d >> 16) % n;
}

#endif

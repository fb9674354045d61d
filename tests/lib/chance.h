/*
 * chance - random bytes and numbers that come again with the same seed.
 *
 * chance_seed() takes SEALPOST_SEED, else the clock, and prints it: a red run can be repeated.
 */
#ifndef TESTS_CHANCE_H
#define TESTS_CHANCE_H
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/bytes.h"

struct chance {
    uint64_t state;
};

static inline uint64_t chance_seed(const char *test)
{
    const char *given = getenv("SEALPOST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given ? strtoull(given, NULL, 0)
                 : (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    printf("%s: SEALPOST_SEED=%" PRIu64 "\n", test, seed);
    return seed;
}

/* splitmix64 */
static inline uint64_t chance_next(struct chance *chance)
{
    uint64_t z = chance->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 … below - 1 */
static inline size_t chance_below(struct chance *chance, size_t below)
{
    return (size_t)(chance_next(chance) % below);
}

static inline void chance_bytes(struct chance *chance, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = chance_next(chance);

        memcpy(out + i, &v, len - i < 8 ? len - i : 8);
    }
}

#endif

/*
 * limit - token buckets: so many a second, with a burst; one alone, or one per key or address.
 *
 * Time     milliseconds of the elapsed clock, as an argument.
 */
#ifndef EDGE_LIMIT_H
#define EDGE_LIMIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/edge/table.h"

struct bucket {
    uint64_t per_s, burst;
    uint64_t milli; /* thousandths of a token */
    uint64_t at_ms;
};

/* Full at first. */
void bucket_init(struct bucket *bucket, uint64_t per_s, uint64_t burst, uint64_t now_ms);
/* Takes one token if there is one. */
bool bucket_take(struct bucket *bucket, uint64_t now_ms);

/*
 * Buckets by name (an address, a key), at most `most` of them: full ones are forgotten, and with
 * `most` in use a new name shares one bucket with all others that found no room.
 */
struct buckets {
    struct table table;
    struct bucket shared;
    uint64_t per_s, burst;
    size_t most;
    uint64_t swept_ms;
};

#define BUCKET_NAME_LEN 48

void buckets_init(struct buckets *buckets, uint64_t per_s, uint64_t burst, size_t most,
                  uint64_t now_ms);
void buckets_wipe(struct buckets *buckets);
bool buckets_take(struct buckets *buckets, const void *name, size_t name_len, uint64_t now_ms);

#endif

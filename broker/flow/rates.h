/*
 * rates - token buckets for (kind, a, b): at most `burst` at once, refilled over time.
 *
 * A charge is provisional until rates_keep(); rates_refund() gives back what was charged since.
 * A bucket that is full again is forgotten.
 */
#ifndef BROKER_RATES_H
#define BROKER_RATES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rate_kind {
    RATE_FRAMES,       /* a: sender */
    RATE_REQUEST_PAIR, /* a: who asks, b: whom: tries per hour */
    RATE_OPK_PAIR,     /* a: requester, b: target */
    RATE_OPK,          /* a: requester */
    RATE_PREKEYS       /* a: agent */
};

struct rate_limit {
    uint64_t burst;
    uint64_t count, per_ms; /* `count` come back every `per_ms` */
};

struct rate_bucket {
    enum rate_kind kind;
    int64_t a, b;
    uint64_t tokens;     /* in parts of 1 / per_ms */
    uint64_t at_ms;      /* elapsed, up to which it is filled */
    uint64_t full_at_ms; /* forgotten from then on */
    bool used;
};

struct rates {
    struct rate_bucket *buckets; /* open addressing */
    size_t count, cap;
    struct rate_charge {
        enum rate_kind kind;
        int64_t a, b;
        uint64_t tokens;
    } * charges;
    size_t charge_count, charge_cap;
};

void rates_free(struct rates *rates);

/* Takes one.  False: nothing taken, and *after_ms says when there will be one. */
bool rate_take(struct rates *rates, enum rate_kind kind, int64_t a, int64_t b,
               const struct rate_limit *limit, uint64_t elapsed_ms, uint64_t *after_ms);

void rates_keep(struct rates *rates);
void rates_refund(struct rates *rates);

#endif

#include "broker/flow/rates.h"

#include <stdlib.h>

#include "shared/base/bytes.h"

enum { RATES_FIRST = 64 };

static uint64_t rate_hash(enum rate_kind kind, int64_t a, int64_t b)
{
    uint64_t h = (uint64_t)a * 0x9e3779b97f4a7c15u ^ (uint64_t)b * 0xc2b2ae3d27d4eb4fu
                 ^ (uint64_t)kind * 0x165667b19e3779f9u;

    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15u >> 16;
}

void rates_free(struct rates *rates)
{
    free(rates->buckets);
    free(rates->charges);
    *rates = (struct rates){ 0 };
}

/* Where it is, or the free place where it belongs. */
static struct rate_bucket *rate_place(const struct rates *rates, enum rate_kind kind, int64_t a,
                                      int64_t b)
{
    for (size_t i = rate_hash(kind, a, b);; i++) {
        struct rate_bucket *bucket = &rates->buckets[i & (rates->cap - 1)];

        if (!bucket->used || (bucket->kind == kind && bucket->a == a && bucket->b == b))
            return bucket;
    }
}

/* A larger table, or the same size without those that are full again. */
static void rates_rebuild(struct rates *rates, uint64_t elapsed_ms)
{
    struct rates old = *rates;
    size_t alive = 0;

    for (size_t i = 0; i < old.cap; i++)
        alive += old.buckets[i].used && old.buckets[i].full_at_ms > elapsed_ms;
    while (rates->cap < RATES_FIRST || rates->cap < 4 * alive)
        rates->cap = rates->cap ? 2 * rates->cap : RATES_FIRST;
    rates->buckets = mem_zeroed(rates->cap, sizeof *rates->buckets);
    rates->count = alive;
    for (size_t i = 0; i < old.cap; i++) {
        const struct rate_bucket *from = &old.buckets[i];

        if (from->used && from->full_at_ms > elapsed_ms)
            *rate_place(rates, from->kind, from->a, from->b) = *from;
    }
    free(old.buckets);
}

static struct rate_bucket *rate_bucket(struct rates *rates, enum rate_kind kind, int64_t a,
                                       int64_t b, const struct rate_limit *limit,
                                       uint64_t elapsed_ms)
{
    struct rate_bucket *bucket;

    if (2 * rates->count >= rates->cap)
        rates_rebuild(rates, elapsed_ms);
    bucket = rate_place(rates, kind, a, b);
    if (!bucket->used) {
        *bucket = (struct rate_bucket){ .kind = kind, .a = a, .b = b, .used = true };
        bucket->tokens = limit->burst * limit->per_ms;
        bucket->at_ms = elapsed_ms;
        rates->count++;
    }
    return bucket;
}

static void rate_fill(struct rate_bucket *bucket, const struct rate_limit *limit,
                      uint64_t elapsed_ms)
{
    uint64_t full = limit->burst * limit->per_ms;
    uint64_t passed = elapsed_ms - bucket->at_ms;

    bucket->at_ms = elapsed_ms;
    /* Not the product: it might not fit after a long time. */
    if (bucket->tokens >= full || passed >= (full - bucket->tokens) / limit->count + 1)
        bucket->tokens = full;
    else
        bucket->tokens += passed * limit->count;
}

bool rate_take(struct rates *rates, enum rate_kind kind, int64_t a, int64_t b,
               const struct rate_limit *limit, uint64_t elapsed_ms, uint64_t *after_ms)
{
    struct rate_bucket *bucket = rate_bucket(rates, kind, a, b, limit, elapsed_ms);
    uint64_t full = limit->burst * limit->per_ms;

    rate_fill(bucket, limit, elapsed_ms);
    if (bucket->tokens < limit->per_ms) {
        *after_ms = (limit->per_ms - bucket->tokens + limit->count - 1) / limit->count;
        return false;
    }
    bucket->tokens -= limit->per_ms;
    bucket->full_at_ms = elapsed_ms + (full - bucket->tokens) / limit->count + 1;
    if (rates->charge_count == rates->charge_cap) {
        rates->charge_cap = rates->charge_cap ? 2 * rates->charge_cap : 256;
        rates->charges = mem_resize(rates->charges, rates->charge_cap * sizeof *rates->charges);
    }
    rates->charges[rates->charge_count++] = (struct rate_charge){ kind, a, b, limit->per_ms };
    return true;
}

void rates_keep(struct rates *rates)
{
    rates->charge_count = 0;
}

void rates_refund(struct rates *rates)
{
    while (rates->charge_count) {
        const struct rate_charge *charge = &rates->charges[--rates->charge_count];

        rate_place(rates, charge->kind, charge->a, charge->b)->tokens += charge->tokens;
    }
}

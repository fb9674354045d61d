#include "broker/edge/limit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/bytes.h"

void bucket_init(struct bucket *bucket, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
    *bucket = (struct bucket){ per_s, burst, burst * 1000, now_ms };
}

static void refill(struct bucket *bucket, uint64_t now_ms)
{
    uint64_t passed = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;
    uint64_t full = bucket->burst * 1000;

    bucket->at_ms = now_ms;
    /* per_s tokens a second are per_s thousandths a millisecond */
    if (passed > full || bucket->milli + passed * bucket->per_s > full)
        bucket->milli = full;
    else
        bucket->milli += passed * bucket->per_s;
}

bool bucket_take(struct bucket *bucket, uint64_t now_ms)
{
    refill(bucket, now_ms);
    if (bucket->milli < 1000)
        return false;
    bucket->milli -= 1000;
    return true;
}

struct named {
    uint8_t name[BUCKET_NAME_LEN];
    struct bucket bucket;
};

void buckets_init(struct buckets *buckets, uint64_t per_s, uint64_t burst, size_t most,
                  uint64_t now_ms)
{
    *buckets = (struct buckets){ .per_s = per_s, .burst = burst, .most = most, .swept_ms = now_ms };
    table_init(&buckets->table, offsetof(struct named, name), BUCKET_NAME_LEN);
    bucket_init(&buckets->shared, per_s, burst, now_ms);
}

void buckets_wipe(struct buckets *buckets)
{
    struct named *each;

    for (size_t i = 0; (each = table_next(&buckets->table, &i));)
        free(each);
    table_wipe(&buckets->table);
}

/* A full bucket is like none. */
static void sweep(struct buckets *buckets, uint64_t now_ms)
{
    struct named *each;
    void **full = mem_zeroed(buckets->table.count + 1, sizeof *full);
    size_t count = 0;

    for (size_t i = 0; (each = table_next(&buckets->table, &i));) {
        refill(&each->bucket, now_ms);
        if (each->bucket.milli == each->bucket.burst * 1000)
            full[count++] = each;
    }
    for (size_t i = 0; i < count; i++) {
        table_remove(&buckets->table, full[i]);
        free(full[i]);
    }
    free(full);
    buckets->swept_ms = now_ms;
}

bool buckets_take(struct buckets *buckets, const void *name, size_t name_len, uint64_t now_ms)
{
    uint8_t key[BUCKET_NAME_LEN] = { 0 };
    struct named *named;

    memcpy(key, name, name_len < sizeof key ? name_len : sizeof key);
    named = table_find(&buckets->table, key);
    if (!named) {
        if (buckets->table.count >= buckets->most && now_ms >= buckets->swept_ms + 1000)
            sweep(buckets, now_ms);
        if (buckets->table.count >= buckets->most)
            return bucket_take(&buckets->shared, now_ms);
        named = mem_zeroed(1, sizeof *named);
        memcpy(named->name, key, sizeof key);
        bucket_init(&named->bucket, buckets->per_s, buckets->burst, now_ms);
        table_insert(&buckets->table, named);
    }
    return bucket_take(&named->bucket, now_ms);
}

/* What happens to blobs behind the requests: hashes, and the end of what is over. */
#include <sodium.h>
#include <stdlib.h>

#include "broker/flow/blob.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

enum { HASHES_MOST = 64, SLICE_CHUNKS = 64, REMOVED_A_STEP = 16, BAD_KEPT_MS = 3600000 };

/* How far the hash of one blob has come. */
struct running_hash {
    int64_t blob_id;
    uint64_t done; /* chunks in it */
    uint64_t used; /* order of use: the one longest unused makes room */
    crypto_generichash_state state;
};

struct blob_work {
    struct running_hash hashes[HASHES_MOST];
    size_t count;
    uint64_t used;
    uint64_t rollbacks; /* of the store: an older number, and nothing here is to be believed */
    uint64_t due_ms;    /* elapsed */
};

static struct blob_work *work_of(struct flow *flow)
{
    uint64_t rollbacks = store_rollbacks(flow->store);

    if (!flow->blob_work)
        flow->blob_work = mem_zeroed(1, sizeof *flow->blob_work);
    if (flow->blob_work->rollbacks != rollbacks) {
        flow->blob_work->count = 0;
        flow->blob_work->rollbacks = rollbacks;
    }
    return flow->blob_work;
}

void blobs_free(struct flow *flow)
{
    free(flow->blob_work);
    flow->blob_work = NULL;
}

void blobs_sweep_soon(struct flow *flow)
{
    work_of(flow)->due_ms = 0;
}

uint64_t blobs_due_ms(const struct flow *flow)
{
    return flow->blob_work ? flow->blob_work->due_ms : 0;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static struct running_hash *hash_find(struct blob_work *work, int64_t blob_id)
{
    for (size_t i = 0; i < work->count; i++)
        if (work->hashes[i].blob_id == blob_id) {
            work->hashes[i].used = ++work->used;
            return &work->hashes[i];
        }
    return NULL;
}

static struct running_hash *hash_begin(struct blob_work *work, int64_t blob_id)
{
    struct running_hash *hash = &work->hashes[0];

    if (work->count < HASHES_MOST) {
        hash = &work->hashes[work->count++];
    } else {
        for (size_t i = 1; i < work->count; i++)
            if (work->hashes[i].used < hash->used)
                hash = &work->hashes[i];
    }
    *hash = (struct running_hash){ .blob_id = blob_id, .used = ++work->used };
    crypto_generichash_init(&hash->state, NULL, 0, 32);
    return hash;
}

static void hash_drop(struct blob_work *work, struct running_hash *hash)
{
    *hash = work->hashes[--work->count];
}

void blob_hash_feed(struct flow *flow, const struct blob_row *blob, struct bytes chunk)
{
    struct blob_work *work = work_of(flow);
    struct running_hash *hash = hash_find(work, blob->blob_id);

    if (!hash && blob->have == 0)
        hash = hash_begin(work, blob->blob_id);
    if (!hash || hash->done != blob->have)
        return;
    crypto_generichash_update(&hash->state, chunk.at, chunk.len);
    hash->done++;
}

enum err blob_hash_look(struct flow *flow, struct blob_row *blob)
{
    struct blob_work *work = work_of(flow);
    struct running_hash *hash = hash_find(work, blob->blob_id);
    uint8_t digest[32];

    if (!hash || hash->done != blob->chunks) {
        work->due_ms = 0;
        return ERR_OK;
    }
    crypto_generichash_final(&hash->state, digest, sizeof digest);
    hash_drop(work, hash);
    blob->checked = memcmp(digest, blob->hash, sizeof digest) == 0;
    if (!blob->checked) {
        log_event(LOG_WARN, "blob_refused", "blob=%lld", (long long)blob->blob_id);
        blob->gets_left = 0;
        blob->expires_ms = flow->now_ms + BAD_KEPT_MS;
    }
    CRASH_POINT("blob.complete");
    return store_blob_set(flow->store, blob);
}

static bool feed_slice(void *ctx, uint64_t index, struct bytes chunk)
{
    struct running_hash *hash = ctx;

    if (index != hash->done)
        return false;
    crypto_generichash_update(&hash->state, chunk.at, chunk.len);
    hash->done++;
    return true;
}

/* The next slice of a blob that is all there.  *did: there was one. */
static enum err hash_step(struct flow *flow, bool *did)
{
    struct blob_work *work = work_of(flow);
    struct running_hash *hash;
    struct blob_row blob;
    uint64_t before;
    enum err e = store_blob_unchecked(flow->store, 0, &blob);

    *did = e == ERR_OK;
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    hash = hash_find(work, blob.blob_id);
    if (!hash)
        hash = hash_begin(work, blob.blob_id);
    before = hash->done;
    e = store_chunks(flow->store, blob.blob_id, hash->done, SLICE_CHUNKS, feed_slice, hash);
    if (e == ERR_CORRUPT || (e == ERR_OK && hash->done == before && hash->done < blob.chunks)) {
        log_event(LOG_ERROR, "blob_damaged", "blob=%lld", (long long)blob.blob_id);
        hash_drop(work, hash);
        blob.gets_left = 0;
        blob.expires_ms = flow->now_ms + BAD_KEPT_MS;
        return store_blob_set(flow->store, &blob);
    }
    if (e == ERR_OK && hash->done == blob.chunks)
        e = blob_hash_look(flow, &blob);
    return e;
}

/* ---- the end --------------------------------------------------------------------------------- */

static enum err remove_step(struct flow *flow, bool *did)
{
    struct blob_row blob;
    bool more;
    enum err e = ERR_NOT_FOUND;

    if (store_clock_sound(flow->store, flow->now_ms, flow->elapsed_ms))
        e = store_blob_ended(flow->store, flow->now_ms, &blob);
    *did = e == ERR_OK;
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return store_blob_remove(flow->store, &blob, REMOVED_A_STEP, &more);
}

enum err blobs_step(struct flow *flow)
{
    struct blob_work *work = work_of(flow);
    bool did = false;
    enum err e = hash_step(flow, &did);

    if (e == ERR_OK && !did)
        e = remove_step(flow, &did);
    work->due_ms = did ? 0 : flow->elapsed_ms + LIMIT_SWEEP_MS;
    return e;
}

/* BLOB_PUT, BLOB_CHUNK, BLOB_GET, BLOB_DEL (docs/protocol.md 6.7). */
#include "broker/flow/blob.h"

#include "broker/store/directory.h"
#include "broker/store/usage.h"
#include "shared/base/crash.h"
#include "shared/base/log.h"
#include "shared/base/sha256.h"
#include "shared/wire/limit.h"

enum { READ_OUT_MS = 3600000, CHUNK_LEAST = 18 /* one byte of content */ };

/* No gets left, and not checked: its hash was wrong. */
static bool is_bad(const struct blob_row *blob)
{
    return !blob->checked && blob->gets_left == 0;
}

static bool has_ended(struct flow *flow, const struct blob_row *blob)
{
    const struct agent_row *owner = store_agent(flow->store, blob->owner_id);

    return blob->expires_ms <= flow->now_ms || !owner || owner->state == AGENT_REVOKED;
}

static enum err answer_state(struct reply *reply, const struct blob_row *blob)
{
    MESSAGE_SET(reply_message(reply), index, blob->have);
    MESSAGE_SET(reply_message(reply), flags, blob->checked ? BLOB_COMPLETE : 0);
    return ERR_OK;
}

/* ---- BLOB_PUT -------------------------------------------------------------------------------- */

static bool sizes_fit(uint64_t size, uint64_t chunks)
{
    return chunks > 0 && chunks <= UINT32_MAX && size > (chunks - 1) * LIMIT_BLOB_CHUNK
           && size <= chunks * LIMIT_BLOB_CHUNK
           && size - (chunks - 1) * LIMIT_BLOB_CHUNK >= CHUNK_LEAST;
}

static enum err put_again(struct flow *flow, const struct request *request, struct reply *reply,
                          const struct blob_row *blob)
{
    const struct message *m = &request->message;

    if (has_ended(flow, blob) || blob->owner_id != request->by.id || blob->bytes != m->size
        || blob->chunks != m->count || memcmp(blob->hash, m->hash, 32) != 0)
        return ERR_BLOB_CONFLICT;
    return is_bad(blob) ? ERR_CORRUPT : answer_state(reply, blob);
}

static enum err put_check(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    struct usage_row usage;
    enum err e;

    if (!sizes_fit(m->size, m->count) || m->ttl_ms == 0 || (MESSAGE_HAS(m, max) && m->max == 0))
        return ERR_SCHEMA;
    if (m->size > flow->settings.blob_size_max)
        return ERR_TOO_LARGE;
    if ((e = space_check(reply)) != ERR_OK)
        return e;
    e = store_usage_get(flow->store, request->by.id, &usage);
    if (e == ERR_OK && usage.blob_bytes + m->size > flow->settings.blob_agent_bytes)
        e = ERR_QUOTA;
    return e;
}

enum err blob_put_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    struct blob_row blob;
    uint64_t life;
    enum err e = store_blob_find(flow->store, m->id, &blob);

    if (e == ERR_OK)
        return put_again(flow, request, reply, &blob);
    if (e != ERR_NOT_FOUND)
        return e;
    if ((e = put_check(flow, request, reply)) != ERR_OK)
        return e;
    life = m->ttl_ms < flow->settings.blob_ttl_ms ? m->ttl_ms : flow->settings.blob_ttl_ms;
    blob
        = (struct blob_row){ .owner_id = request->by.id,
                             .bytes = m->size,
                             .chunks = m->count,
                             .gets_left = MESSAGE_HAS(m, max) ? (int64_t)m->max : BLOB_GETS_ENDLESS,
                             .created_ms = flow->now_ms,
                             .expires_ms = flow->now_ms + life };
    memcpy(blob.id, m->id, sizeof blob.id);
    memcpy(blob.hash, m->hash, sizeof blob.hash);
    e = store_blob_add(flow->store, &blob);
    return e == ERR_OK ? answer_state(reply, &blob) : e;
}

/* ---- BLOB_CHUNK ------------------------------------------------------------------------------ */

static uint64_t length_of(const struct blob_row *blob, uint64_t index)
{
    return index + 1 < blob->chunks ? LIMIT_BLOB_CHUNK
                                    : blob->bytes - (blob->chunks - 1) * LIMIT_BLOB_CHUNK;
}

/* What came before must be what comes now; what is new must fit.  Nothing is written. */
static enum err chunks_check(struct flow *flow, const struct request *request,
                             const struct blob_row *blob)
{
    uint64_t index = request->message.index;

    if (index > blob->chunks || request->part_count > blob->chunks - index)
        return ERR_SCHEMA;
    for (size_t i = 0; i < request->part_count; i++, index++) {
        uint8_t was[32], is[32];
        enum err e;

        if (request->parts[i].len != length_of(blob, index))
            return ERR_SCHEMA;
        if (index >= blob->have)
            continue;
        if ((e = store_chunk_digest(flow->store, blob->blob_id, index, was)) != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
        sha256(is, request->parts[i]);
        if (memcmp(was, is, sizeof is) != 0)
            return ERR_BLOB_CONFLICT;
    }
    return ERR_OK;
}

enum err blob_chunk_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    struct blob_row blob;
    enum err e = store_blob_find(flow->store, m->id, &blob);

    if (e == ERR_OK && (has_ended(flow, &blob) || blob.owner_id != request->by.id))
        e = ERR_NOT_FOUND;
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_BLOB_NOT_FOUND : e;
    if (is_bad(&blob))
        return ERR_CORRUPT;
    if (request->part_count == 0)
        return ERR_SCHEMA;
    if (m->index > blob.have) {
        MESSAGE_SET(refuse_message(reply), index, blob.have);
        return ERR_SEQ_GAP;
    }
    if ((e = chunks_check(flow, request, &blob)) != ERR_OK)
        return e;
    if (m->index + request->part_count > blob.have && (e = space_check(reply)) != ERR_OK)
        return e;
    for (size_t i = (size_t)(blob.have - m->index); e == ERR_OK && i < request->part_count; i++) {
        blob_hash_feed(flow, &blob, request->parts[i]);
        e = store_chunk_add(flow->store, &blob, request->parts[i]);
        CRASH_POINT("blob.chunk");
    }
    if (e == ERR_OK && blob.have == blob.chunks && !blob.checked)
        e = blob_hash_look(flow, &blob);
    return e == ERR_OK ? answer_state(reply, &blob) : e;
}

/* ---- BLOB_GET -------------------------------------------------------------------------------- */

struct serving {
    struct reply *reply;
    uint64_t last;
};

static bool serve(void *ctx, uint64_t index, struct bytes chunk)
{
    struct serving *serving = ctx;

    reply_part(serving->reply, chunk);
    serving->last = index;
    return true;
}

/* Its last chunk has been read once more. */
static enum err count_get(struct flow *flow, struct blob_row *blob)
{
    if (blob->gets_left == BLOB_GETS_ENDLESS || blob->gets_left == 0)
        return ERR_OK;
    blob->gets_left--;
    if (blob->gets_left == 0 && blob->expires_ms > flow->now_ms + READ_OUT_MS)
        blob->expires_ms = flow->now_ms + READ_OUT_MS;
    return store_blob_set(flow->store, blob);
}

enum err blob_get_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    uint64_t most = m->count < LIMIT_BLOB_PARTS ? m->count : LIMIT_BLOB_PARTS;
    struct serving serving = { .reply = reply };
    struct blob_row blob;
    enum err e = store_blob_find(flow->store, m->id, &blob);

    if (e == ERR_OK && (has_ended(flow, &blob) || !blob.checked))
        e = ERR_NOT_FOUND;
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_BLOB_NOT_FOUND : e;
    if (m->index >= blob.chunks || most == 0)
        return ERR_SCHEMA;
    reply->out = outgoing_new(OUT_MESSAGE, request->by.conn);
    e = store_chunks(flow->store, blob.blob_id, m->index, most, serve, &serving);
    if (e == ERR_CORRUPT)
        log_event(LOG_ERROR, "blob_damaged", "blob=%lld", (long long)blob.blob_id);
    if (e == ERR_OK && serving.last + 1 == blob.chunks)
        e = count_get(flow, &blob);
    if (e != ERR_OK)
        return e;
    MESSAGE_SET(reply_message(reply), size, blob.bytes);
    MESSAGE_SET(reply_message(reply), count, blob.chunks);
    return ERR_OK;
}

/* ---- BLOB_DEL -------------------------------------------------------------------------------- */

enum err blob_del_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct blob_row blob;
    enum err e = store_blob_find(flow->store, request->message.id, &blob);

    (void)reply;
    if (e == ERR_NOT_FOUND || (e == ERR_OK && has_ended(flow, &blob)))
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    if (blob.owner_id != request->by.id)
        return ERR_FORBIDDEN;
    blob.expires_ms = flow->now_ms;
    e = store_blob_set(flow->store, &blob);
    if (e == ERR_OK)
        blobs_sweep_soon(flow);
    return e;
}

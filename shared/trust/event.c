#include "shared/trust/event.h"

#include <sodium.h>

#include "shared/trust/init0.h"
#include "shared/trust/label.h"

#define OPENED_BODY_MIN (INIT0_SIZE + 32)

/* Every event: its scope, and how long its body is. */
static const struct event_kind {
    uint8_t type, scope;
    uint16_t body_min, body_max;
    const char *name;
} kinds[] = {
    { EVENT_OPENED, SCOPE_SESSION, OPENED_BODY_MIN, EVENT_BODY_MAX, "OPENED" },
    { EVENT_ACCEPTED, SCOPE_SESSION, 32, 32, "ACCEPTED" },
    { EVENT_REJECTED, SCOPE_SESSION, 1, 1, "REJECTED" },
    { EVENT_ROTATED, SCOPE_SESSION, 16, 16, "ROTATED" },
    { EVENT_CLOSED, SCOPE_SESSION, CLOSED_BODY_SIZE, CLOSED_BODY_SIZE, "CLOSED" },
    { EVENT_EXPIRED, SCOPE_SESSION, 1, 1, "EXPIRED" },
    { EVENT_GROUP_CREATED, SCOPE_GROUP, 5, 5, "CREATED" },
    { EVENT_GROUP_INVITED, SCOPE_GROUP, 9, 9, "INVITED" },
    { EVENT_GROUP_JOINED, SCOPE_GROUP, 32, 32, "JOINED" },
    { EVENT_GROUP_REMOVED, SCOPE_GROUP, 1, 1, "REMOVED" },
    { EVENT_GROUP_EPOCH, SCOPE_GROUP, 69, 69, "EPOCH" },
    { EVENT_GROUP_ROLE, SCOPE_GROUP, 1, 1, "ROLE" },
    { EVENT_GROUP_CLOSED, SCOPE_GROUP, 1, 1, "CLOSED" },
};

static const struct event_kind *kind_of(uint8_t type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

const char *event_type_name(uint8_t type)
{
    const struct event_kind *kind = kind_of(type);

    return kind ? kind->name : "UNKNOWN";
}

void event_encode(uint8_t out[static EVENT_SIZE], const struct event *event)
{
    uint8_t *at = put_label(out, LABEL_EVENT);

    at = put_u8(at, event->scope);
    at = put_raw(at, event->id, 16);
    at = put_u64(at, event->seq);
    at = put_raw(at, event->prev, 32);
    at = put_u8(at, event->type);
    at = put_raw(at, event->actor, 32);
    at = put_raw(at, event->target, 32);
    at = put_u64(at, event->ts_ms);
    put_raw(at, event->body_hash, 32);
}

enum err event_parse(struct bytes preimage, struct event *out)
{
    struct bytes head = label(LABEL_EVENT);
    const uint8_t *at = preimage.at;
    const struct event_kind *kind;

    if (preimage.len != EVENT_SIZE || memcmp(at, head.at, head.len) != 0)
        return ERR_SCHEMA;
    at += head.len;
    out->scope = at[0];
    memcpy(out->id, at + 1, 16);
    out->seq = get_u64(at + 17);
    memcpy(out->prev, at + 25, 32);
    out->type = at[57];
    memcpy(out->actor, at + 58, 32);
    memcpy(out->target, at + 90, 32);
    out->ts_ms = get_u64(at + 122);
    memcpy(out->body_hash, at + 130, 32);
    kind = kind_of(out->type);
    return kind && kind->scope == out->scope ? ERR_OK : ERR_SCHEMA;
}

void event_digest(uint8_t out[static 32], struct bytes preimage)
{
    sha256(out, preimage);
}

void event_body_hash(uint8_t out[static 32], struct bytes body)
{
    label_hash(out, LABEL_BODY, body);
}

enum err event_body_check(const struct event *event, struct bytes body)
{
    const struct event_kind *kind = kind_of(event->type);
    uint8_t hash[32];

    if (!kind || body.len < kind->body_min || body.len > kind->body_max)
        return ERR_SCHEMA;
    event_body_hash(hash, body);
    return memcmp(hash, event->body_hash, 32) == 0 ? ERR_OK : ERR_SCHEMA;
}

enum err event_verify(struct bytes preimage, const uint8_t sig[static 64],
                      const uint8_t actor_key[static 32])
{
    if (crypto_sign_verify_detached(sig, preimage.at, preimage.len, actor_key) != 0)
        return ERR_AUTH;
    return ERR_OK;
}

void opened_body_encode(struct buf *out, struct bytes init0, const uint8_t frame_digest[static 32])
{
    buf_append(out, init0.at, init0.len);
    buf_append(out, frame_digest, 32);
}

enum err opened_body_parse(struct bytes body, struct opened_body *out)
{
    if (body.len < OPENED_BODY_MIN || body.len > EVENT_BODY_MAX)
        return ERR_SCHEMA;
    out->init0 = bytes_of(body.at, body.len - 32);
    out->frame_digest = body.at + body.len - 32;
    return ERR_OK;
}

void closed_body_encode(uint8_t out[static CLOSED_BODY_SIZE], const struct closed_body *closed)
{
    put_u64(put_u8(out, closed->reason), closed->final_seq);
}

enum err closed_body_parse(struct bytes body, struct closed_body *out)
{
    if (body.len != CLOSED_BODY_SIZE)
        return ERR_SCHEMA;
    out->reason = body.at[0];
    out->final_seq = get_u64(body.at + 1);
    return ERR_OK;
}

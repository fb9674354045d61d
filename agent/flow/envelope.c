#include "agent/flow/envelope.h"

#include "shared/wire/bound.h"
#include "shared/wire/pack.h"
#include "shared/wire/take.h"

enum envelope_key {
    KEY_KIND = 1,
    KEY_MSG_ID,
    KEY_TS,
    KEY_SCHEMA_VERSION,
    KEY_CONTENT_TYPE,
    KEY_BODY,
    KEY_IDEMPOTENCY,
    KEY_TRACE_ID,
    KEY_REPLY_TO,
    KEY_BLOBS,
    KEY_PEER_ACK,
    KEY_LOG,
    KEY_WAKE,
    KEY_SCHEMA_RANGE,
    KEY_GROUP_HEADS
};

#define ALWAYS_THERE (1u << KEY_KIND | 1u << KEY_MSG_ID | 1u << KEY_TS | 1u << KEY_SCHEMA_VERSION)

static const char *const kind_names[] = {
    "message",      "intro",         "accept",    "rotate",          "group_key",
    "group_invite", "group_key_req", "heartbeat", "group_rekey_req",
};

const char *envelope_kind_name(uint8_t kind)
{
    return kind < sizeof kind_names / sizeof kind_names[0] ? kind_names[kind] : "unknown";
}

static size_t envelope_count(const struct envelope *e)
{
    return 4u + (e->content_type.at != NULL) + (e->body.at != NULL)
           + (e->idempotency_key.at != NULL) + (e->trace_id != NULL) + (e->reply_to != NULL)
           + (e->blobs.at != NULL) + e->has_peer_ack + e->has_log + e->has_wake
           + e->has_schema_range + (e->group_heads.at != NULL);
}

static void put_bin(struct buf *out, enum envelope_key key, const uint8_t *at, size_t len)
{
    if (!at)
        return;
    pack_uint(out, key);
    pack_bin(out, bytes_of(at, len));
}

static void put_str(struct buf *out, enum envelope_key key, struct bytes text)
{
    if (!text.at)
        return;
    pack_uint(out, key);
    pack_str(out, text);
}

static void put_uint(struct buf *out, enum envelope_key key, uint64_t v)
{
    pack_uint(out, key);
    pack_uint(out, v);
}

static void put_packed(struct buf *out, enum envelope_key key, struct bytes packed)
{
    if (!packed.at)
        return;
    pack_uint(out, key);
    pack_packed(out, packed);
}

/* Keys 11 to 14: numbers, truth and the short arrays of them. */
static void put_small(struct buf *out, const struct envelope *e)
{
    if (e->has_peer_ack)
        put_uint(out, KEY_PEER_ACK, e->peer_ack);
    if (e->has_log) {
        pack_uint(out, KEY_LOG);
        pack_array(out, 2);
        pack_uint(out, e->log_index);
        pack_bin(out, bytes_of(e->log_head, 32));
    }
    if (e->has_wake) {
        pack_uint(out, KEY_WAKE);
        pack_bool(out, e->wake);
    }
    if (e->has_schema_range) {
        pack_uint(out, KEY_SCHEMA_RANGE);
        pack_array(out, 2);
        pack_uint(out, e->schema_min);
        pack_uint(out, e->schema_max);
    }
}

void envelope_encode(struct buf *out, const struct envelope *envelope)
{
    pack_map(out, envelope_count(envelope));
    put_uint(out, KEY_KIND, envelope->kind);
    put_bin(out, KEY_MSG_ID, envelope->msg_id, 16);
    put_uint(out, KEY_TS, envelope->ts_ms);
    put_uint(out, KEY_SCHEMA_VERSION, envelope->schema_version);
    put_str(out, KEY_CONTENT_TYPE, envelope->content_type);
    put_bin(out, KEY_BODY, envelope->body.at, envelope->body.len);
    put_str(out, KEY_IDEMPOTENCY, envelope->idempotency_key);
    put_bin(out, KEY_TRACE_ID, envelope->trace_id, 16);
    put_bin(out, KEY_REPLY_TO, envelope->reply_to, 16);
    put_packed(out, KEY_BLOBS, envelope->blobs);
    put_small(out, envelope);
    put_packed(out, KEY_GROUP_HEADS, envelope->group_heads);
}

/* An array of any length, as it is packed. */
static struct bytes take_packed_array(struct take *take)
{
    if (take_peek(take) != TAKE_ARRAY)
        take_fail(take, ERR_SCHEMA);
    return take_value(take);
}

static void take_log(struct take *take, struct envelope *out)
{
    take_array_of(take, 2);
    out->log_index = take_uint(take, INT64_MAX);
    out->log_head = take_fixed(take, 32);
    out->has_log = true;
}

static void take_schema_range(struct take *take, struct envelope *out)
{
    take_array_of(take, 2);
    out->schema_min = (uint16_t)take_uint(take, UINT16_MAX);
    out->schema_max = (uint16_t)take_uint(take, UINT16_MAX);
    out->has_schema_range = true;
}

static void take_field(struct take *take, uint64_t key, struct envelope *out)
{
    switch (key) {
    case KEY_KIND:
        out->kind = (uint8_t)take_uint(take, ENVELOPE_GROUP_REKEY_REQ);
        break;
    case KEY_MSG_ID:
        out->msg_id = take_fixed(take, 16);
        break;
    case KEY_TS:
        out->ts_ms = take_uint(take, INT64_MAX);
        break;
    case KEY_SCHEMA_VERSION:
        out->schema_version = (uint16_t)take_uint(take, UINT16_MAX);
        break;
    case KEY_CONTENT_TYPE:
        out->content_type = take_str(take, ENVELOPE_CONTENT_TYPE_MAX);
        break;
    case KEY_BODY:
        out->body = take_bin(take, ENVELOPE_BODY_MAX);
        break;
    case KEY_IDEMPOTENCY:
        out->idempotency_key = take_str(take, ENVELOPE_IDEMPOTENCY_MAX);
        break;
    case KEY_TRACE_ID:
        out->trace_id = take_fixed(take, 16);
        break;
    case KEY_REPLY_TO:
        out->reply_to = take_fixed(take, 16);
        break;
    case KEY_BLOBS:
        out->blobs = take_packed_array(take);
        break;
    case KEY_PEER_ACK:
        out->peer_ack = take_uint(take, INT64_MAX);
        out->has_peer_ack = true;
        break;
    case KEY_LOG:
        take_log(take, out);
        break;
    case KEY_WAKE:
        out->wake = take_bool(take);
        out->has_wake = true;
        break;
    case KEY_SCHEMA_RANGE:
        take_schema_range(take, out);
        break;
    case KEY_GROUP_HEADS:
        out->group_heads = take_packed_array(take);
        break;
    default:
        take_skip(take); /* a newer agent's, or the application's */
    }
}

enum err envelope_decode(struct bytes plain, struct envelope *out)
{
    struct take take = take_of(plain);
    uint32_t seen = 0;

    *out = (struct envelope){ 0 };
    if (bound_check(plain, BOUND_MESSAGE) != ERR_OK)
        return ERR_SCHEMA;
    for (size_t pairs = take_map(&take); pairs > 0; pairs--) {
        uint64_t key = take_uint(&take, UINT64_MAX);

        if (key < 32)
            seen |= 1u << key;
        take_field(&take, key, out);
    }
    if ((seen & ALWAYS_THERE) != ALWAYS_THERE)
        take_fail(&take, ERR_SCHEMA);
    return take_end(&take);
}

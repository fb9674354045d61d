/*
 * envelope - the MessagePack map inside the seal: what the program says and what agents tell each
 * other (docs/protocol.md 6.6).
 *
 * Memory   decoded views are borrowed from the plaintext.
 * Errors   ERR_SCHEMA.  Unknown keys are ignored.
 */
#ifndef FLOW_ENVELOPE_H
#define FLOW_ENVELOPE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

enum envelope_kind {
    ENVELOPE_USER,
    ENVELOPE_INTRO,
    ENVELOPE_ACCEPT,
    ENVELOPE_ROTATE,
    ENVELOPE_GROUP_KEY,
    ENVELOPE_GROUP_INVITE,
    ENVELOPE_GROUP_KEY_REQ,
    ENVELOPE_HEARTBEAT,
    ENVELOPE_GROUP_REKEY_REQ
};

#define ENVELOPE_BODY_MAX         61440
#define ENVELOPE_CONTENT_TYPE_MAX 256
#define ENVELOPE_IDEMPOTENCY_MAX  64
#define ENVELOPE_SCHEMA_VERSION   1

/* Pointers that are NULL, views with `at` NULL and has_… that are false: the key is absent. */
struct envelope {
    uint8_t kind;                 /* 1: enum envelope_kind */
    const uint8_t *msg_id;        /* 2: 16 bytes */
    uint64_t ts_ms;               /* 3 */
    uint16_t schema_version;      /* 4 */
    struct bytes content_type;    /* 5 */
    struct bytes body;            /* 6 */
    struct bytes idempotency_key; /* 7 */
    const uint8_t *trace_id;      /* 8: 16 bytes */
    const uint8_t *reply_to;      /* 9: 16 bytes, msg_id of the message answered */
    struct bytes blobs;           /* 10: the packed array */
    bool has_peer_ack;
    uint64_t peer_ack; /* 11 */
    bool has_log;
    uint64_t log_index;      /* 12 */
    const uint8_t *log_head; /* 12: 32 bytes */
    bool has_wake, wake;     /* 13 */
    bool has_schema_range;
    uint16_t schema_min, schema_max; /* 14 */
    struct bytes group_heads;        /* 15: the packed array */
};

/* kind, msg_id, ts_ms and schema_version are always written. */
void envelope_encode(struct buf *out, const struct envelope *envelope);

enum err envelope_decode(struct bytes plain, struct envelope *out);

/* "message", "intro" …; "unknown". */
const char *envelope_kind_name(uint8_t kind);

#endif

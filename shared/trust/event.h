/*
 * event - signed, hash-chained steps in the life of a session or a group (3.3), and the rules of a
 * session's chain.  A group's rules will stand beside them; its layouts are parsed already.
 */
#ifndef TRUST_EVENT_H
#define TRUST_EVENT_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define EVENT_SIZE     174
#define EVENT_BODY_MAX 1330 /* INIT0 with ML-KEM, and a digest */

enum event_scope { SCOPE_SESSION = 1, SCOPE_GROUP = 2 };

enum event_type {
    EVENT_OPENED = 1,
    EVENT_ACCEPTED,
    EVENT_REJECTED,
    EVENT_ROTATED,
    EVENT_CLOSED,
    EVENT_EXPIRED,
    EVENT_GROUP_CREATED = 16,
    EVENT_GROUP_INVITED,
    EVENT_GROUP_JOINED,
    EVENT_GROUP_REMOVED,
    EVENT_GROUP_EPOCH,
    EVENT_GROUP_ROLE,
    EVENT_GROUP_CLOSED
};

enum rejected_reason { REJECTED_BY_PERSON = 1, REJECTED_BY_POLICY, REJECTED_CANNOT };
enum closed_reason {
    CLOSED_DONE,
    CLOSED_IDLE,
    CLOSED_PEER_REVOKED,
    CLOSED_STATE_LOST,
    CLOSED_KEY_CHANGED,
    CLOSED_BROKEN
};
enum expired_reason { EXPIRED_TIME, EXPIRED_REVOKED };

struct event {
    uint8_t scope; /* enum event_scope */
    uint8_t id[16];
    uint64_t seq;
    uint8_t prev[32];
    uint8_t type; /* enum event_type */
    uint8_t actor[32], target[32];
    uint64_t ts_ms;
    uint8_t body_hash[32];
};

/* "OPENED"; "UNKNOWN" for a type that does not exist. */
const char *event_type_name(uint8_t type);

void event_encode(uint8_t out[static EVENT_SIZE], const struct event *event);

/* Layout, a type that exists in its scope.  ERR_SCHEMA. */
enum err event_parse(struct bytes preimage, struct event *out);

void event_digest(uint8_t out[static 32], struct bytes preimage);
void event_body_hash(uint8_t out[static 32], struct bytes body);

/* Body against body_hash, and its length against the type.  ERR_SCHEMA. */
enum err event_body_check(const struct event *event, struct bytes body);

/* ERR_AUTH. */
enum err event_verify(struct bytes preimage, const uint8_t sig[static 64],
                      const uint8_t actor_key[static 32]);

/* Bodies with more than one field.  Views are borrowed; ERR_SCHEMA. */
struct opened_body {
    struct bytes init0;
    const uint8_t *frame_digest; /* 32 bytes: A's frame 1 */
};
void opened_body_encode(struct buf *out, struct bytes init0, const uint8_t frame_digest[static 32]);
enum err opened_body_parse(struct bytes body, struct opened_body *out);

#define CLOSED_BODY_SIZE 9
struct closed_body {
    uint8_t reason;
    uint64_t final_seq; /* last sender_seq that the actor used */
};
void closed_body_encode(uint8_t out[static CLOSED_BODY_SIZE], const struct closed_body *closed);
enum err closed_body_parse(struct bytes body, struct closed_body *out);

/* An event as it travels. */
struct signed_event {
    struct bytes preimage;
    const uint8_t *sig; /* 64 bytes */
    struct bytes body;
};

/* A session as its chain tells it.  The numbers are the broker's states. */
enum chain_state {
    CHAIN_NONE,
    CHAIN_REQUESTED,
    CHAIN_ACTIVE,
    CHAIN_CLOSED,
    CHAIN_REJECTED,
    CHAIN_EXPIRED,
    CHAIN_ROTATED,
    CHAIN_STATE_COUNT
};

/* Plain data: copy it to try something.  {0} with `sid` set is the beginning. */
struct session_chain {
    uint8_t sid[16];
    enum chain_state state;
    uint64_t next_seq;
    uint8_t head[32]; /* digest of the last event; zeroes */
    uint8_t aid_a[32], aid_b[32];
};

/* The state after an event of this type; CHAIN_NONE: not possible now. */
enum chain_state chain_next(enum chain_state state, uint8_t type);

/* May this event come next?  Everything but the signature, in this order: layout and body
 * (ERR_SCHEMA), number and prev (ERR_CONFLICT), state (ERR_STATE), parties (ERR_FORBIDDEN).  */
enum err session_chain_check(const struct session_chain *chain, const struct signed_event *event,
                             const uint8_t root_id[static 32], struct event *out);

/* session_chain_check(), then the signature under the actor's key (ERR_AUTH; EXPIRED: the root
 * key), then the chain is one longer.  After an error it is what it was. */
enum err session_chain_append(struct session_chain *chain, const struct signed_event *event,
                              const uint8_t root_id[static 32], const uint8_t actor_key[static 32],
                              struct event *out);

#endif

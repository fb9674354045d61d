/*
 * dead - dead letters, both ways: given up, kept for a while with the reason.
 */
#ifndef AGENT_STORE_DEAD_H
#define AGENT_STORE_DEAD_H
#include "agent/store/outbox.h"

/* 1 … 8 are the broker's (trust/notice.h). */
enum dead_reason {
    DEAD_EXPIRED = 1,
    DEAD_REFUSED,
    DEAD_UNDECRYPTABLE,
    DEAD_REVOKED,
    DEAD_SESSION_ENDED,
    DEAD_DAMAGED,
    DEAD_PURGED,
    DEAD_READER_REMOVED,
    DEAD_KEY_CHANGED = 20,
    DEAD_STATE_LOST,
    DEAD_GAVE_UP,
    DEAD_DROPPED,
    DEAD_REJECTED,
    DEAD_BLOCKED,
    DEAD_UNKNOWN_AGENT
};

struct profile_dead {
    int64_t dead_id, peer_id, group_id, scope_id;
    uint64_t at_ms, seq, created_ms, accepted_ms;
    enum dead_reason reason;
    uint8_t msg_id[16], digest[32];
    bool has_digest;
};

/* Moves an outgoing message here; of control messages nothing is left but the number. */
void profile_dead_letter(struct agent_store *store, const struct profile_out *row,
                         enum dead_reason reason, const char *detail, uint64_t now_ms);
/* A frame that did not open. */
void profile_dead_incoming(struct agent_store *store, int64_t peer_id, int64_t scope_id,
                           uint64_t seq, const uint8_t digest[static 32], struct bytes frame,
                           const char *detail, uint64_t now_ms);
/* How many of those in the scope since `since_ms`. */
uint64_t profile_dead_unopened(struct agent_store *store, int64_t scope_id, uint64_t since_ms);

/* Outgoing ones. */
bool profile_dead_find(struct agent_store *store, const uint8_t msg_id[static 16],
                       struct profile_dead *out);
bool profile_dead_at(struct agent_store *store, int64_t scope_id, uint64_t seq,
                     struct profile_dead *out);
bool profile_dead_message(struct agent_store *store, int64_t dead_id, struct buf *out);
void profile_dead_remove(struct agent_store *store, int64_t dead_id);
uint64_t profile_dead_count(struct agent_store *store);
bool profile_dead_next_id(struct agent_store *store, const uint8_t low[static 16],
                          const uint8_t high[static 16], uint8_t id[static 16]);
void profile_dead_forget(struct agent_store *store, uint64_t before_ms);

#endif

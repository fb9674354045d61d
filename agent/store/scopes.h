/*
 * scopes - what numbers frames (a session or a group) and its chain of signed events.
 */
#ifndef AGENT_STORE_SCOPES_H
#define AGENT_STORE_SCOPES_H
#include "agent/store/store.h"
#include "shared/trust/event.h"

struct profile_scope {
    int64_t scope_id;
    uint8_t id[16];
    uint64_t next_seq;      /* of my next frame */
    uint64_t receipted_seq; /* mine up to here are settled */
    uint64_t next_event;
    uint8_t head[32];
    bool adopts; /* a group joined again: the broker's count is taken over */
};

bool profile_scope_get(struct agent_store *store, int64_t scope_id, struct profile_scope *out);
bool profile_scope_find(struct agent_store *store, const uint8_t id[static 16],
                        struct profile_scope *out);
int64_t profile_scope_add(struct agent_store *store, const uint8_t id[static 16]);
/* Gives the number to a frame; another next_seq than `seq` fails the transaction. */
void profile_scope_take_seq(struct agent_store *store, int64_t scope_id, uint64_t seq);
void profile_scope_receipted(struct agent_store *store, int64_t scope_id, uint64_t seq);
/* The next SYNC's `stored` of this group is taken over; it is: my next frame has stored + 1. */
void profile_scope_adopt_later(struct agent_store *store, int64_t scope_id);
void profile_scope_adopt(struct agent_store *store, int64_t scope_id, uint64_t stored);

struct profile_event {
    uint64_t seq;
    uint8_t preimage[EVENT_SIZE], sig[64], digest[32];
    uint8_t body[EVENT_BODY_MAX];
    size_t body_len;
    bool stored; /* the broker has it */
};

/* Behind the others; moves the scope's head. */
void profile_event_add(struct agent_store *store, int64_t scope_id,
                       const struct profile_event *event);
/* Events from `seq` on, at most `max`. */
size_t profile_events(struct agent_store *store, int64_t scope_id, uint64_t seq,
                      struct profile_event *out, size_t max);
/* The broker has all below `seq`; or has none from `seq` on. */
void profile_events_stored(struct agent_store *store, int64_t scope_id, uint64_t seq);
void profile_events_unstored(struct agent_store *store, int64_t scope_id, uint64_t seq);
/* Forgets those from `seq` on; `head` is the digest of the one before. */
void profile_events_drop(struct agent_store *store, int64_t scope_id, uint64_t seq);
/* The broker has all below this number. */
uint64_t profile_events_confirmed(struct agent_store *store, int64_t scope_id);
/* Sessions with events that the broker has not confirmed; above `after`, at most `max`. */
size_t profile_events_waiting(struct agent_store *store, int64_t after, int64_t *scopes,
                              size_t max);

#endif

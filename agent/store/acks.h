/*
 * acks - what of my mailbox is settled here and not yet confirmed by the broker, in its order; the
 * cursor that it has confirmed; and how far I have settled each group's channel.
 */
#ifndef AGENT_STORE_ACKS_H
#define AGENT_STORE_ACKS_H
#include "agent/store/store.h"

struct profile_ack {
    uint64_t position;
    int64_t scope_id, peer_id; /* 0: none */
    uint64_t seq;
    uint8_t digest[32]; /* of the frame, or of the item */
    uint8_t status;     /* 0 silent: the cursor receipt covers it; else as in a receipt */
};

void profile_ack_add(struct agent_store *store, const struct profile_ack *ack);
bool profile_ack_get(struct agent_store *store, uint64_t position, struct profile_ack *out);
/* Where the broker has a frame that it has not heard confirmed; 0: nowhere. */
uint64_t profile_ack_position(struct agent_store *store, int64_t scope_id, int64_t peer_id,
                              uint64_t seq);
/* Positions above `after` and up to `most`, ascending. */
size_t profile_acks(struct agent_store *store, uint64_t after, uint64_t most,
                    struct profile_ack *out, size_t max);
/* Forgets positions from `from` to `to`, both included. */
void profile_acks_remove(struct agent_store *store, uint64_t from, uint64_t to);
void profile_acks_clear(struct agent_store *store);

/* The highest position that is settled here and not confirmed; 0: none. */
uint64_t profile_ack_last(struct agent_store *store);

bool profile_cursor_known(struct agent_store *store);
/* Of my mailbox; 0 if none is known. */
uint64_t profile_cursor(struct agent_store *store);
void profile_cursor_set(struct agent_store *store, uint64_t position);

/* A group's channel is read again from the broker's cursor, so nothing is kept of its items. */
struct profile_channel {
    uint64_t settled; /* position up to which everything is settled here */
    uint32_t epoch;   /* newest one that was read from it */
};
/* False: nothing of it is known. */
bool profile_channel_get(struct agent_store *store, int64_t group_id, struct profile_channel *out);
void profile_channel_put(struct agent_store *store, int64_t group_id,
                         const struct profile_channel *channel);
void profile_channel_remove(struct agent_store *store, int64_t group_id);

#endif

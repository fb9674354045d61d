/*
 * outbox - my messages: queued, sealed, accepted by the broker, delivered.
 *
 * A message is kept sealed beside its frame; resending is always the stored frame, byte for byte.
 * Memory   struct profile_out carries no buffers; message and frame are asked for apart.
 */
#ifndef AGENT_STORE_OUTBOX_H
#define AGENT_STORE_OUTBOX_H
#include "agent/store/store.h"

enum out_stage { OUTBOX_QUEUED = 1, OUTBOX_SEALED, OUTBOX_ACCEPTED, OUTBOX_DELIVERED };

struct profile_out {
    int64_t outbox_id;
    int64_t peer_id, group_id; /* to whom: one of them is 0 */
    int64_t scope_id;          /* 0: queued */
    uint64_t seq;              /* 0: queued */
    uint8_t msg_id[16], thread[16];
    enum out_stage state;
    uint8_t kind; /* of the envelope */
    uint64_t bytes;
    uint8_t digest[32];
    uint64_t created_ms, sealed_ms, accepted_ms, delivered_ms, expires_ms; /* 0: not yet */
    uint64_t tries, retry_ms, damaged;
    bool live; /* asks for a live session, or belongs to one */
    /* to a group: */
    uint32_t epoch;      /* sealed under; 0: not yet */
    uint64_t recipients; /* other members of that epoch */
};

/* Queues: state, number and times but created and expires are ignored; with a scope it goes there
 * or nowhere.  Returns the number. */
int64_t profile_out_add(struct agent_store *store, const struct profile_out *row,
                        struct bytes message);
void profile_out_seal(struct agent_store *store, int64_t outbox_id, int64_t scope_id, uint64_t seq,
                      struct bytes frame, const uint8_t digest[static 32], uint64_t now_ms);
/* Number, scope, digest, epoch, recipients and sealed_ms are the row's own.  A row that is sealed
 * already keeps its number: the same message under a newer epoch. */
void profile_out_seal_group(struct agent_store *store, const struct profile_out *row,
                            struct bytes frame);
/* A dead letter that was delivered after all. */
int64_t profile_out_add_delivered(struct agent_store *store, const struct profile_out *row,
                                  struct bytes message);

bool profile_out_get(struct agent_store *store, int64_t outbox_id, struct profile_out *out);
bool profile_out_find(struct agent_store *store, const uint8_t msg_id[static 16],
                      struct profile_out *out);
bool profile_out_at(struct agent_store *store, int64_t scope_id, uint64_t seq,
                    struct profile_out *out);
/* The envelope, opened; the caller wipes.  False: it is gone. */
bool profile_out_message(struct agent_store *store, int64_t outbox_id, struct buf *out);
bool profile_out_frame(struct agent_store *store, int64_t outbox_id, struct buf *out);

/* Sealed and not accepted, the first with a number of at least `seq`. */
bool profile_out_next_sealed(struct agent_store *store, int64_t scope_id, uint64_t seq,
                             struct profile_out *out);
/* Not settled (sealed or accepted), likewise. */
bool profile_out_next_unsettled(struct agent_store *store, int64_t scope_id, uint64_t seq,
                                struct profile_out *out);
/* Queued for the peer, the first above `after`: mail; what asks for a live session; what goes into
 * this session or nowhere. */
bool profile_out_next_queued(struct agent_store *store, int64_t peer_id, int64_t after,
                             struct profile_out *out);
bool profile_out_next_live(struct agent_store *store, int64_t peer_id, int64_t after,
                           struct profile_out *out);
bool profile_out_next_bound(struct agent_store *store, int64_t scope_id, int64_t after,
                            struct profile_out *out);
/* Queued for the group, likewise. */
bool profile_out_next_of_group(struct agent_store *store, int64_t group_id, int64_t after,
                               struct profile_out *out);
/* The group above `after` with something queued; 0: none. */
int64_t profile_out_queued_group(struct agent_store *store, int64_t after);
/* Smallest number that is sealed and not accepted; 0: none. */
uint64_t profile_out_lowest_sealed(struct agent_store *store, int64_t scope_id);
/* Peers with something queued that has no session yet, above `after`. */
size_t profile_out_queued_peers(struct agent_store *store, int64_t after, int64_t *peers,
                                size_t max);
/* Is something older for this peer sealed in another session and not yet accepted? */
bool profile_out_overtakes(struct agent_store *store, int64_t peer_id, int64_t scope_id,
                           int64_t outbox_id);
/* Queued and over at `now_ms`. */
bool profile_out_next_expired(struct agent_store *store, uint64_t now_ms, struct profile_out *out);
/* Messages and introductions, not delivered yet, above `after`. */
bool profile_out_next_open(struct agent_store *store, int64_t after, struct profile_out *out);
/* When the newest of my frames in the scope was sealed; 0 if none is known. */
uint64_t profile_out_last_sealed_ms(struct agent_store *store, int64_t scope_id);

/* Under this number, not under another one that it got since. */
void profile_out_accepted(struct agent_store *store, int64_t scope_id, uint64_t seq,
                          int64_t outbox_id, uint64_t now_ms);
/* After SYNC: what the broker has and has not. */
void profile_out_accepted_to(struct agent_store *store, int64_t scope_id, uint64_t seq,
                             uint64_t now_ms);
void profile_out_unaccepted_from(struct agent_store *store, int64_t scope_id, uint64_t seq);
/* All but frames of requests that were stored: SYNC tells about those. */
void profile_out_unaccepted_all(struct agent_store *store);
/* Signed for: the frame goes, of control messages the envelope too. */
void profile_out_delivered(struct agent_store *store, int64_t outbox_id, uint64_t now_ms);
/* Groups: accepted before `before_ms`, so a broker that is put back will not lack them any more.
 * False: none. */
bool profile_out_age(struct agent_store *store, uint64_t before_ms, uint64_t now_ms);
/* I am not in the group any more: what was accepted is settled. */
void profile_out_left(struct agent_store *store, int64_t scope_id, uint64_t now_ms);
/* Numbers above `seq` are given out again: rows that had them have a number without a scope. */
void profile_out_detach(struct agent_store *store, int64_t scope_id, uint64_t seq);
/* Without number and frame again, to be sealed anew (in a live session: there); counts a damaged
 * frame if `damaged`. */
void profile_out_queue_again(struct agent_store *store, int64_t outbox_id, bool damaged);
void profile_out_tried(struct agent_store *store, int64_t outbox_id, uint64_t retry_ms);
void profile_out_remove(struct agent_store *store, int64_t outbox_id);
/* Delivered ones older than `before_ms`. */
void profile_out_forget(struct agent_store *store, uint64_t before_ms);

struct profile_out_counts {
    uint64_t queued, stored; /* messages: not accepted, accepted */
    uint64_t open;           /* both, but of groups those not accepted alone */
    uint64_t oldest_ms;
};
void profile_out_counts(struct agent_store *store, struct profile_out_counts *out);
uint64_t profile_out_count_of(struct agent_store *store, int64_t peer_id);

/* The smallest id from `low` to `high`, both included. */
bool profile_out_next_id(struct agent_store *store, const uint8_t low[static 16],
                         const uint8_t high[static 16], uint8_t id[static 16]);
/* Messages of a thread in order, above `after`. */
bool profile_out_next_in_thread(struct agent_store *store, const uint8_t thread[static 16],
                                int64_t after, struct profile_out *out);

#endif

/*
 * chains - one sending chain per group, epoch and member, and the frames that wait for one.
 * Secret   what profile_chain_get() appends; the caller wipes it.
 */
#ifndef AGENT_STORE_CHAINS_H
#define AGENT_STORE_CHAINS_H
#include "agent/store/store.h"

struct profile_chain {
    int64_t chain_id, group_id, peer_id; /* peer_id 0: mine */
    uint32_t epoch;
    uint32_t skipped; /* keys in it for late frames */
    uint64_t version;
    uint64_t delete_ms; /* 0: not yet */
};

/* A new chain; chain_id is given. */
void profile_chain_add(struct agent_store *store, struct profile_chain *chain, struct bytes state);
bool profile_chain_find(struct agent_store *store, int64_t group_id, uint32_t epoch,
                        int64_t peer_id, struct profile_chain *out);
bool profile_chain_get(struct agent_store *store, const struct profile_chain *chain,
                       struct buf *state);
/* The next version of its state. */
void profile_chain_put(struct agent_store *store, struct profile_chain *chain, struct bytes state);
bool profile_chain_any(struct agent_store *store, int64_t group_id, uint32_t epoch);
/* Skipped keys of all the group's chains. */
uint64_t profile_chains_skipped(struct agent_store *store, int64_t group_id);
/* Of the group, the first with skipped keys above `after`. */
bool profile_chain_next_skipped(struct agent_store *store, int64_t group_id, int64_t after,
                                struct profile_chain *out);
/* Chains of epochs before this one end then; with `whole_too` those without skipped keys at once.
 */
void profile_chains_end(struct agent_store *store, int64_t group_id, uint32_t before_epoch,
                        bool whole_too, uint64_t at_ms);
void profile_chain_remove(struct agent_store *store, int64_t chain_id);
/* All of the group; those that are over.  Keys are shredded. */
void profile_chains_remove(struct agent_store *store, int64_t group_id);
void profile_chains_sweep(struct agent_store *store, uint64_t now_ms);

struct profile_held {
    int64_t held_id, group_id, peer_id;
    uint64_t seq;
    uint32_t epoch;
    uint8_t digest[32];
    uint64_t stored_ms, received_ms;
};
void profile_held_add(struct agent_store *store, const struct profile_held *held,
                      struct bytes frame);
uint64_t profile_held_count(struct agent_store *store, int64_t group_id);
/* Of the epoch (0: of any), above `after`, in order of arrival. */
bool profile_held_next(struct agent_store *store, int64_t group_id, uint32_t epoch, int64_t after,
                       struct profile_held *out);
/* Of this member under this number. */
bool profile_held_at(struct agent_store *store, int64_t group_id, int64_t peer_id, uint64_t seq,
                     struct profile_held *out);
bool profile_held_frame(struct agent_store *store, int64_t held_id, struct buf *out);
void profile_held_remove(struct agent_store *store, int64_t held_id);
void profile_helds_remove(struct agent_store *store, int64_t group_id);
/* Received before then: forgotten; how many. */
uint64_t profile_helds_forget(struct agent_store *store, uint64_t before_ms);

/* Who has signed for a group message; once. */
void profile_signed_add(struct agent_store *store, int64_t outbox_id, int64_t peer_id,
                        uint64_t at_ms);
uint64_t profile_signed_count(struct agent_store *store, int64_t outbox_id);
uint64_t profile_signed_at(struct agent_store *store, int64_t outbox_id, int64_t peer_id);
/* The peer behind `after`; 0: none. */
int64_t profile_signed_next(struct agent_store *store, int64_t outbox_id, int64_t after);

#endif

/*
 * sessions - pairwise ratchets, the keys they keep for late frames, and what was received in them.
 *
 * Secret   what profile_session_load() gives: the caller wipes ratchet and skipped.
 */
#ifndef AGENT_STORE_SESSIONS_H
#define AGENT_STORE_SESSIONS_H
#include "agent/crypto/ratchet.h"
#include "agent/store/store.h"

enum session_stage {
    SESSION_ASKED = 1,
    SESSION_WAS_ASKED,
    SESSION_ACTIVE,
    SESSION_CLOSED,
    SESSION_REJECTED,
    SESSION_EXPIRED,
    SESSION_ROTATED,
    SESSION_BROKEN
};

struct profile_session {
    int64_t session_id, peer_id;
    uint8_t id[16];
    enum session_stage state;
    uint8_t mode, suite;
    uint64_t opened_ms, due_ms, heard_ms;
    int64_t version;
    uint32_t skipped;
    bool keyed; /* its ratchet is there */
};

bool profile_session_get(struct agent_store *store, int64_t session_id,
                         struct profile_session *out);
/* The scope is there already.  `ratchet` NULL: a session that ended before it began. */
void profile_session_add(struct agent_store *store, const struct profile_session *session,
                         const struct ratchet *ratchet);

/* Opens the ratchet and the skipped keys (empty if there are none). */
bool profile_session_load(struct agent_store *store, const struct profile_session *session,
                          struct ratchet *ratchet, struct skipped *skipped);
/* Writes the next version; skipped (may be NULL) only if it says that it has changed.  Another
 * version in the file fails the transaction. */
void profile_session_save(struct agent_store *store, struct profile_session *session,
                          const struct ratchet *ratchet, struct skipped *skipped);

void profile_session_heard(struct agent_store *store, int64_t session_id, uint64_t now_ms);
void profile_session_move(struct agent_store *store, int64_t session_id, enum session_stage state,
                          uint64_t due_ms);
/* A final state, or BROKEN: all its keys are wiped. */
void profile_session_end(struct agent_store *store, int64_t session_id, enum session_stage state);

/* Of those for mail: the active one with the smallest id; one that we asked for. */
bool profile_session_active(struct agent_store *store, int64_t peer_id,
                            struct profile_session *out);
bool profile_session_asked(struct agent_store *store, int64_t peer_id, struct profile_session *out);
/* Asked, was asked, active: above `after` in order of number. */
bool profile_session_next_live(struct agent_store *store, int64_t after,
                               struct profile_session *out);
/* Any. */
bool profile_session_next(struct agent_store *store, int64_t after, struct profile_session *out);
bool profile_session_next_of(struct agent_store *store, int64_t peer_id, int64_t after,
                             struct profile_session *out);
/* Rotated, and its keys are kept for frames that are late: above `after`. */
bool profile_session_next_draining(struct agent_store *store, int64_t after,
                                   struct profile_session *out);
/* Asked or was asked and over since `now_ms`. */
bool profile_session_overdue(struct agent_store *store, uint64_t now_ms,
                             struct profile_session *out);
uint64_t profile_sessions_count(struct agent_store *store);
/* Ended, older than `before_ms`, and nothing refers to it any more: forgets session, events, scope.
 */
void profile_sessions_forget(struct agent_store *store, uint64_t before_ms);

struct profile_received {
    uint64_t seq; /* highest; 0: nothing yet */
    uint8_t digest[32];
    struct buf missing; /* numbers below seq that never came, u64 each, ascending */
};

/* Resets `out` first; buffers stay the caller's. */
void profile_received_get(struct agent_store *store, int64_t scope_id, int64_t peer_id,
                          struct profile_received *out);
void profile_received_put(struct agent_store *store, int64_t scope_id, int64_t peer_id,
                          const struct profile_received *received);
/* Of all peers in the scope. */
void profile_received_remove(struct agent_store *store, int64_t scope_id);

#endif

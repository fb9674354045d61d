/*
 * scopes - sessions (later groups, too): who numbers frames and chains events; and the events.
 *
 * Rows that were looked at lately are kept in memory.
 */
#ifndef STORE_SCOPES_H
#define STORE_SCOPES_H
#include "broker/store/store.h"
#include "shared/trust/event.h"

enum session_state {
    SESSION_REQUESTED = 1,
    SESSION_ACTIVE,
    SESSION_CLOSED,
    SESSION_REJECTED,
    SESSION_EXPIRED,
    SESSION_ROTATED
};

struct session_row {
    int64_t session_id; /* = scope_id */
    uint8_t id[16];
    uint64_t next_event;
    uint8_t head[32];   /* digest of the last event; zeroes */
    int64_t a_id, b_id; /* who asked, who was asked */
    enum session_state state;
    uint8_t mode, suite;
    uint64_t opened_ms, idle_ms, ends_ms, due_ms;
    uint64_t ended_ms; /* 0: not yet */
    int reason;        /* of the end; -1: none */
};

/* ERR_NOT_FOUND: no such scope, or it is no session. */
enum err store_session_find(struct store *store, const uint8_t id[static 16],
                            struct session_row *out);
enum err store_session_get(struct store *store, int64_t session_id, struct session_row *out);

/* A new session in state 1, without events yet, and a sender row for each party; session_id,
 * next_event and head are given by the store. */
enum err store_session_add(struct store *store, struct session_row *session);

/* Next state.  `reason` -1: none; `ended_ms` 0: it lives. */
enum err store_session_move(struct store *store, int64_t session_id, enum session_state state,
                            uint64_t due_ms, uint64_t ended_ms, int reason);
/* Restored: the deadline of a session that goes on. */
enum err store_session_due_set(struct store *store, int64_t session_id, uint64_t due_ms);

/* Sessions of state 1 and 2 whose due_ms has come, at most `max`, earliest first.  Count in `out`.
 */
enum err store_session_due(struct store *store, uint64_t now_ms, int64_t *ids, size_t max,
                           size_t *out);

/* Sessions of an agent, as either party and in any state, numbers above `after`, ascending, at most
 * `max`. */
enum err store_session_of_agent(struct store *store, int64_t agent_id, int64_t after, int64_t *ids,
                                size_t max, size_t *out);

/* Between two agents, in either direction. */
struct pair_facts {
    uint64_t alive;      /* states 1 and 2 */
    uint64_t unanswered; /* state 1, asked by `a` */
    uint64_t active;     /* state 2 */
};
enum err store_pair_facts(struct store *store, int64_t a_id, int64_t b_id, struct pair_facts *out);

/* Ended before `before_ms`, no frame of it waits: scope, session, events, senders go.  *id is the
 * removed one.  ERR_NOT_FOUND: nothing to do. */
enum err store_session_sweep(struct store *store, uint64_t before_ms, int64_t *id);

/* ---- events -----------------------------------------------------------------------------------
 */

struct event_row {
    uint64_t seq;
    uint8_t type;
    int64_t actor_id, target_id; /* 0: the controller; nobody */
    uint64_t at_ms;
    uint8_t preimage[EVENT_SIZE];
    uint8_t sig[64];
    uint8_t digest[32];
    size_t body_len;
    uint8_t body[EVENT_BODY_MAX];
};

/* Compare and swap: `event->seq` must be the scope's next number and `prev` its head. ERR_CONFLICT.
 */
enum err store_event_append(struct store *store, int64_t scope_id, const uint8_t prev[static 32],
                            const struct event_row *event);

enum err store_event_get(struct store *store, int64_t scope_id, uint64_t seq,
                         struct event_row *out);

/* From `seq` on, at most `max`.  Borrowed for the call; false ends the walk.  May not write. */
typedef bool store_event_visit(void *ctx, const struct event_row *event);
enum err store_event_list(struct store *store, int64_t scope_id, uint64_t seq, uint64_t max,
                          store_event_visit *row, void *ctx);

#endif

/*
 * flow_internal - what the files of broker/flow share: the flow itself, the turn, the answer under
 *                 way.  Nobody outside this folder includes it.
 *
 * Two kinds of state.  What the store holds changes in the turn's transaction.  What memory holds
 * (credit, in flight, shares, rates) changes after the commit, or is put back when it fails.
 */
#ifndef BROKER_FLOW_INTERNAL_H
#define BROKER_FLOW_INTERNAL_H
#include "broker/flow/flow.h"
#include "broker/flow/peers.h"
#include "broker/flow/rates.h"
#include "broker/flow/shares.h"
#include "broker/flow/verbs.h"

/* Memory that lives until the turn ends. */
struct arena {
    struct arena_chunk *chunks;
    size_t used;
};

void *arena_take(struct arena *arena, size_t len);
void arena_clear(struct arena *arena);
void arena_free(struct arena *arena);

struct outgoing_queue {
    struct outgoing *first, **end;
};

/* In flight ends when the turn that acknowledged it is committed. */
struct settled {
    struct peer *peer;
    int64_t stream_id;
    uint64_t position;
};

/* The transaction under way.  Dropped as a whole when it cannot be committed. */
struct turn {
    struct arena arena;
    struct outgoing_queue out;
    struct list_maker **lists;
    size_t list_count, list_cap;
    struct settled *settled;
    size_t settled_count, settled_cap;
    struct peer *woken; /* chain through peer.next_woken: something is new for them */
};

/* Counted since the last minute was written. */
struct flow_counters {
    uint64_t frames_in, bytes_in, frames_out, bytes_out, expired, refused, commits, commit_us_max;
};

struct flow {
    struct store *store;
    struct controller *controller;
    struct flow_ports ports;
    struct flow_settings settings;
    uint64_t now_ms, elapsed_ms; /* taken when a turn or tick begins */
    bool accepting;              /* false: the disk is full, or nearly */
    struct turn turn;
    struct peers peers;
    struct rates rates;
    struct shares shares;
    struct flow_counters counters;
    struct key_end *key_ends; /* keys that leave the key set later */
    struct sweep_state *sweep;
    uint64_t parked_until_ms; /* the earliest end of a waiting FETCH, or earlier */
    uint64_t space_asked_ms;  /* when the disk was last looked at */
    struct list_maker items;  /* of the DELIVER or FETCH that is being made */
};

/* One request's answer; see verbs.h. */
struct reply {
    struct flow *flow;
    const struct request *request;
    struct message message;      /* the answer */
    struct message refusal;      /* fields that an ERROR adds */
    struct outgoing *out;        /* the answer's parts gather in it */
    struct outgoing_queue kicks; /* leave behind the answer */
    bool parked;                 /* no answer now: a FETCH that waits */
};

/* The time of this turn. */
static inline uint64_t flow_now(const struct flow *flow)
{
    return flow->now_ms;
}

/* ---- for handlers, beside verbs.h -------------------------------------------------------------
 */

/* Operator's commands: one JSON object in request->command.  They answer with reply_operator(). */
verb_handler control_handle;

/* Lines of JSON for the connection that asked; `last`: nothing more comes. */
void reply_operator(struct reply *reply, struct bytes lines, bool last);
/* OUT_STOP, or OUT_RELOAD (the edge answers the connection itself). */
void reply_order(struct reply *reply, enum outgoing_kind order);

/* A hint to every greeted connection, or to one agent's, if it has one. */
void reply_notify_all(struct reply *reply, const struct message *notify);
void reply_notify_agent(struct reply *reply, int64_t agent_id, const struct message *notify);

/* `key` leaves the key set after `in_ms` (the old transport key after CARD). */
void key_ends_later(struct flow *flow, const uint8_t key[static 32], uint64_t in_ms);

/* Something was stored in this agent's mailbox: it gets DELIVER after the commit. */
void turn_wake(struct flow *flow, int64_t agent_id);

/* ERR_DISK with after_ms if new frames cannot be taken now, else ERR_OK. */
enum err space_check(struct flow *flow, struct reply *reply);

/* ---- between flow.c and turn.c ----------------------------------------------------------------
 */

void outgoing_put(struct outgoing_queue *queue, struct outgoing *out);
void outgoing_join(struct outgoing_queue *queue, struct outgoing_queue *more);
void outgoing_drop(struct outgoing_queue *queue);

/* A broker-made or answering message, encoded. */
struct outgoing *outgoing_message(uint64_t conn, const struct message *message);

/* Checks who asks and what, runs the handler, queues the answer.  Anything but ERR_OK is the
 * store's. */
enum err request_run(struct flow *flow, struct request *request);

enum err turn_begin(struct flow *flow);
/* Commits, applies what memory owes, hands out. */
enum err turn_commit(struct flow *flow);
/* As if nothing of it had been asked. */
void turn_rollback(struct flow *flow);

#endif

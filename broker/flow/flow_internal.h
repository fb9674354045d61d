/*
 * flow_internal - what the files of broker/flow share: the flow itself, the turn, the answer under
 *                 way.  Nobody outside this folder includes it.
 *
 * Two kinds of state.  What the store holds changes in the turn's transaction.  What memory holds
 * (in flight, rates) changes after the commit, or is put back when it fails.
 */
#ifndef BROKER_FLOW_INTERNAL_H
#define BROKER_FLOW_INTERNAL_H
#include "broker/flow/flow.h"
#include "broker/flow/peers.h"
#include "broker/flow/rates.h"
#include "broker/flow/verbs.h"
#include "broker/store/streams.h"

/* Most lists that one answer, refusals included, is made of. */
enum { REPLY_LISTS = 8 };

/* Memory that lives until the turn ends. */
struct arena {
    struct arena_chunk *chunks;
};

void *arena_take(struct arena *arena, size_t len);
void arena_clear(struct arena *arena);
void arena_free(struct arena *arena);

struct outgoing_queue {
    struct outgoing *first, *last;
};

/* What was in flight up to `position` no longer is, once the turn that acknowledged it is
 * committed.  `left`: all of it, the agent does not read the stream any more. */
struct acked {
    struct peer *peer;
    int64_t stream_id;
    uint64_t position;
    bool left;
};

/* Counted since the last minute was written. */
struct flow_counters {
    uint64_t frames_in, bytes_in, frames_out, bytes_out, expired, refused, commits;
};

/* The transaction under way.  Dropped as a whole when it cannot be committed. */
struct turn {
    struct arena arena;
    struct outgoing_queue out;
    struct list_maker *lists; /* REPLY_LISTS of them, of the request under way */
    size_t list_count;
    struct acked *acked;
    size_t acked_count, acked_cap;
    struct flow_counters counted;
};

struct flow {
    struct store *store;
    struct controller *controller;
    struct flow_ports ports;
    struct flow_settings settings;
    uint64_t now_ms, elapsed_ms; /* taken when a turn or tick begins */
    struct turn turn;
    struct peers peers;
    struct groups *groups; /* groups.c: those that were looked at */
    struct peer *woken;    /* chain through next_woken: mail or credit is new for them */
    struct shelf *shelf;   /* rows of channels */
    struct group *woken_groups, *trim_groups; /* chains through next_woken, next_trim: channel.h */
    struct rates rates;
    struct flow_counters counters, totals; /* of this minute; since the start */
    uint64_t started_ms;                   /* elapsed */
    uint64_t queued_bytes;                 /* of all peers: may be queued in their sockets */
    struct key_end *key_ends;              /* keys that leave the key set later */
    struct sweep *sweep;
    struct settlement settlement; /* of the ACK under way */
    struct list_maker items;      /* of the DELIVER or FETCH that is being made */
    uint64_t parked_until_ms;     /* elapsed: no waiting FETCH ends earlier */
    uint64_t space_look_ms;       /* elapsed: from then on the disk is looked at again */
    uint64_t busy_ms;             /* elapsed: the last turn */
    bool is_tidy;                 /* the store had nothing to tidy up since */
    struct ending *endings;       /* what revoked agents leave behind: revoke.h */
    uint64_t endings_ms;          /* elapsed: they are not looked at earlier */
    struct blob_work *blob_work; /* blob_work.c */
    bool log_hint_owed;           /* it moved again since */
    uint64_t log_hint_ms;         /* elapsed: when NOTIFY last said that the log moved; 0: never */
};

/* One request's answer; see verbs.h. */
struct reply {
    struct flow *flow;
    const struct request *request;
    struct message message;              /* the answer */
    struct message refusal;              /* fields that an ERROR adds */
    struct outgoing *out;                /* the answer's parts gather in it */
    struct outgoing_queue before, kicks; /* leave before it and behind it */
    bool parked;                         /* no answer now: a FETCH that waits */
};

/* ---- for handlers, beside verbs.h ------------------------------------------------------------ */

/* Operator's commands: one JSON object in request->command.  They answer with reply_operator(). */
verb_handler control_handle;
/* The store failed for a command alone. */
void control_refuse(struct reply *reply, enum err e);
/* Controller and store follow flow->settings. */
void control_configure(struct flow *flow);

/* Lines of JSON for the connection that asked; `last`: nothing more comes. */
void reply_operator(struct reply *reply, struct bytes lines, bool last);
/* OUT_STOP, or OUT_RELOAD (the edge answers the connection itself). */
void reply_order(struct reply *reply, enum outgoing_kind order);

/* A hint to every greeted connection, or to one agent's, if it has one. */
void reply_notify_all(struct reply *reply, const struct message *notify);
void reply_notify_agent(struct reply *reply, int64_t agent_id, const struct message *notify);

/* A transport key that CARD has replaced may be used so long. */
#define OLD_KEY_MS UINT64_C(600000)

/* `key` leaves the key set after `in_ms` (the old transport key after CARD). */
void key_ends_later(struct flow *flow, const uint8_t key[static 32], uint64_t in_ms);

/* Takes one from a rate.  ERR_RATE with after_ms. */
enum err rate_check(struct reply *reply, enum rate_kind kind, int64_t a, int64_t b,
                    const struct rate_limit *limit);

/* ERR_DISK with after_ms if nothing that adds can be taken now. */
enum err space_check(struct reply *reply);

/* ---- mail -------------------------------------------------------------------------------------
 */

/* Something is new in this agent's mailbox: DELIVER after the commit, if it has credit. */
void wake_agent(struct flow *flow, int64_t agent_id);
void wake_peer(struct flow *flow, struct peer *peer);
/* Makes the DELIVERs and FETCH answers of everybody who was woken, in a turn of its own. */
enum err deliver_woken(struct flow *flow);

/* A broker-made item (receipt, event, notice) into a mailbox; wakes its owner.  Does nothing for
 * an agent that is revoked. */
enum err mailbox_put_control(struct flow *flow, int64_t agent_id, enum item_kind kind,
                             int64_t scope_id, int64_t sender_id, struct bytes bytes);

/* A stored frame will not be delivered: tombstone, fact for people, notice to its sender.  `row`
 * may be damaged (reason 6). */
enum err frame_give_up(struct flow *flow, const struct frame_row *row, int reason);

/* Gives up what waits in a mailbox, at most `max` frames; *more: call again. */
enum err mailbox_give_up(struct flow *flow, int64_t agent_id, int reason, uint64_t max, bool *more);

/* The controller ends a session: EXPIRED, signed, an item for both.  ERR_STATE: it has ended. */
enum err session_expire(struct flow *flow, int64_t session_id, uint8_t reason);

/* ---- between flow.c, turn.c, tick.c -----------------------------------------------------------
 */

void outgoing_put(struct outgoing_queue *queue, struct outgoing *out);
void outgoing_join(struct outgoing_queue *queue, struct outgoing_queue *more);
void outgoing_drop(struct outgoing_queue *queue);

/* A broker-made or answering message, encoded. */
struct outgoing *outgoing_message(uint64_t conn, const struct message *message);

/* Takes the time from the ports. */
void flow_look_at_clock(struct flow *flow);
/* Tells the store how much disk there is, if it is time to. */
void flow_look_at_disk(struct flow *flow, size_t bytes);

/* Checks who asks and what, runs the handler, queues the answer.  Anything but ERR_OK is the
 * store's. */
enum err request_run(struct flow *flow, const struct request *request);
/* What an ERROR, or a status, says when nothing better is known; 0: nothing. */
uint64_t error_after_ms(enum err e);
/* An ERROR, without running anything. */
void request_refuse(struct flow *flow, const struct request *request, enum err e);

enum err turn_begin(struct flow *flow);
/* Commits, applies what memory owes, hands out.  On error it is rolled back. */
enum err turn_commit(struct flow *flow);
/* As if nothing of it had been asked. */
void turn_rollback(struct flow *flow);
/* Hands out what needs no turn. */
void turn_hand_out(struct flow *flow);
/* What memory owes to the turn when it is committed. */
void turn_note_acked(struct flow *flow, struct peer *peer, int64_t stream_id, uint64_t position);
void turn_note_left(struct flow *flow, struct peer *peer, int64_t stream_id);
/* Ends what turn_begin() began, with what was found meanwhile. */
enum err turn_end(struct flow *flow, enum err e);

/* kinds of NOTIFY */
enum notify_kind {
    NOTIFY_PROBE,
    NOTIFY_LOG_MOVED,
    NOTIFY_REVOKED,
    NOTIFY_PREKEYS_LOW,
    NOTIFY_SPK_ENDS,
    NOTIFY_GOING_DOWN,
    NOTIFY_MAILBOX_FULL
};

void key_ends_free(struct flow *flow);
struct sweep *sweep_new(void);
void sweep_free(struct sweep **sweep);

#endif

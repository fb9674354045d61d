/*
 * peers - what the broker remembers in memory of the agents that have spoken since it started:
 *         lease, greeted connection, credit, what is in flight, a waiting FETCH.
 *
 * Found by agent or by connection without looking at anybody else.
 * Owns     the peers; they live until the flow is closed.
 */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H
#include "broker/flow/flow.h"
#include "broker/flow/verbs.h"

/* Delivered and not acknowledged, oldest first: a ring. */
struct flight {
    struct flight_item {
        uint64_t position, bytes;
        uint64_t nth; /* of all that was handed out to this peer */
    } * items;
    size_t first, count, cap; /* cap: a power of two */
};

/* A stream that the agent reads. */
struct reading {
    int64_t stream_id;
    int64_t group_id;   /* whose channel it is; 0: the mailbox */
    uint64_t cursor;    /* known since HELLO */
    uint64_t delivered; /* handed out up to here, never below cursor */
    bool more;          /* something may lie above `delivered` */
    struct flight flight;
};

/* A FETCH that found nothing and waits. */
struct parked {
    bool waits;
    uint64_t conn;
    uint32_t rid;
    uint64_t until_ms; /* elapsed */
    int64_t stream_id; /* 0: whichever has something */
    uint64_t after, max, max_bytes;
};

struct peer {
    int64_t agent_id;

    bool has_lease;
    uint8_t instance[16];
    uint64_t conn;     /* greeted; 0: none */
    uint64_t heard_ms; /* elapsed: when it last said something */
    uint64_t
        probed_ms;    /* elapsed: when it was last asked whether it lives; 0: not since it spoke */
    uint64_t seen_ms; /* Unix time, as written to the store */
    bool has_left;    /* since then */

    uint64_t credit, credit_bytes;
    struct reading mailbox;
    struct reading *channels; /* since HELLO; moves when one is added */
    size_t channel_count, channel_cap;
    size_t channel_turn; /* whose turn it is */
    /* In flight, of all streams, and of the channels among them. */
    uint64_t flight_count, flight_bytes, channel_items, channel_bytes;
    /* Of the bytes in flight, what may still be queued in its socket: what was delivered behind
     * number `proven`.  See flight_prove(). */
    uint64_t queued_bytes, sent, proven, handed;

    struct parked parked;
    struct peer *next_parked;

    bool is_woken;
    struct peer *next_woken;
};

struct peers {
    struct peer **by_agent, **by_conn; /* open addressing; caps are powers of two */
    size_t agent_count, agent_cap, conn_count, conn_cap;
    struct peer *parked; /* chain of those with a waiting FETCH */
};

void peers_free(struct peers *peers);

/* Makes it where it is missing.  NULL: no such agent. */
struct peer *peer_get(struct flow *flow, int64_t agent_id);
/* NULL: has not spoken yet. */
struct peer *peer_find(const struct flow *flow, int64_t agent_id);
struct peer *peer_of_conn(const struct flow *flow, uint64_t conn);

/* Greeted and not silent. */
bool peer_online(const struct flow *flow, int64_t agent_id);
size_t peers_online(const struct flow *flow);
/* Calls `each` for every greeted peer, or for every one that has spoken since the start; it may end
 * the greeting of the one it is given. */
void peers_each(struct flow *flow, void (*each)(struct peer *peer, void *ctx), void *ctx);
void peers_known_each(struct flow *flow, void (*each)(struct peer *peer, void *ctx), void *ctx);

/*
 * May this instance have the lease?  No: refused with ERR_LOCK_CONTENTION and after_ms, and the
 * connection that holds it is asked whether it lives.  Changes nothing else.
 */
enum err lease_check(struct flow *flow, const struct request *request,
                     const uint8_t instance[static 16], struct reply *reply);

/*
 * HELLO was good: this connection is the agent's greeted one, nothing is in flight any more, credit
 * is 0.  Call it last: it holds although the turn may fail, which only makes the agent say HELLO
 * again.
 */
enum err peer_greet(struct flow *flow, const struct request *request,
                    const uint8_t instance[static 16]);

/* The connection is not greeted any more.  `lease_too`: another instance may have it at once. */
void peer_leave(struct flow *flow, struct peer *peer, bool lease_too);

/* A FETCH waits no longer, whether or not it was answered. */
void peer_unpark(struct flow *flow, struct peer *peer);

/* A stream among those it reads; NULL: it does not, or nobody has looked since its HELLO. */
struct reading *peer_reading(struct peer *peer, int64_t stream_id);
/* A channel that it reads from now on; other readings move. */
struct reading *peer_reading_add(struct peer *peer, int64_t stream_id, int64_t group_id,
                                 uint64_t cursor);
/* It reads it no longer: nothing of it is in flight. */
void peer_reading_drop(struct flow *flow, struct peer *peer, int64_t stream_id);
/* Something may lie above what was delivered, in one of its streams. */
bool peer_has_more(const struct peer *peer);

void flight_add(struct flow *flow, struct peer *peer, struct reading *reading, uint64_t position,
                uint64_t bytes);
/* Everything up to `position` of this stream has landed. */
void flight_land(struct flow *flow, struct peer *peer, struct reading *reading, uint64_t position);

/*
 * Once a minute: what was handed out before the last call has arrived.  An agent that hears nothing
 * for 45 s ends its connection, and answers to its PINGs stand behind what was delivered earlier;
 * so one that still speaks has read that far.
 */
void flight_prove(struct flow *flow, struct peer *peer);

#endif

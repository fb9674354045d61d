/*
 * peers - what the broker remembers in memory of the agents that have spoken since it started:
 * lease, greeted connection, credit, what is in flight, a waiting FETCH.
 *
 * Found by agent or by connection without looking at anybody else.
 * Owns     the peers; they live until the flow is closed.
 */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H
#include "broker/flow/flow.h"
#include "broker/flow/verbs.h"

/* Delivered and not acknowledged, of one stream, oldest first: a ring. */
struct flight {
    struct flight_item {
        uint64_t position;
        uint32_t bytes;
    } * items;
    size_t first, count, cap; /* cap: a power of two */
};

/* A stream that a peer reads. */
struct reading {
    int64_t stream_id;
    uint8_t stream[16]; /* on the wire; zeroes: its mailbox */
    uint64_t cursor;    /* settled up to here */
    uint64_t delivered; /* handed out up to here, at least cursor */
    uint64_t last;      /* newest position known to be there; what lies above delivered waits */
    struct flight flight;
};

/* A FETCH that found nothing and waits. */
struct parked {
    bool waits;
    uint32_t rid;
    uint64_t until_ms; /* elapsed */
    uint64_t after, max, max_bytes;
};

struct peer {
    int64_t agent_id;
    bool known, revoked; /* known: the facts below were read from the store */
    bool has_mailbox;
    struct reading mailbox;
    uint8_t aid[32];

    bool has_lease;
    uint8_t instance[16];
    uint64_t conn;      /* greeted; 0: none */
    uint64_t heard_ms;  /* elapsed: when it last said something */
    uint64_t probed_ms; /* elapsed: when it was last asked whether it lives */
    uint64_t seen_ms;   /* Unix time written to the store */

    uint64_t credit, credit_bytes;
    uint64_t flight_items, flight_bytes;
    struct parked parked;

    bool is_woken;
    struct peer *next_woken;
    struct peer *next_parked;
};

struct peers {
    struct peer **by_agent, **by_conn; /* open addressing, powers of two */
    size_t agent_count, agent_cap, conn_count, conn_cap;
    struct peer *parked; /* chain of those with a waiting FETCH */
};

void peers_free(struct peers *peers);

/* Makes it where it is missing.  Reads the agent's facts from the store at the first time, and
 * after peer_forget().  ERR_NOT_FOUND: no such agent. */
enum err peer_get(struct flow *flow, int64_t agent_id, struct peer **out);
/* NULL: has not spoken yet. */
struct peer *peer_find(struct flow *flow, int64_t agent_id);
struct peer *peer_of_conn(struct flow *flow, uint64_t conn);
/* Facts in the store have changed (revoked, quota): read them again. */
void peer_forget(struct flow *flow, int64_t agent_id);
void peers_forget_all(struct flow *flow);

/* Greeted and not silent. */
bool peer_online(struct flow *flow, int64_t agent_id);
/* How many are greeted. */
size_t peers_online(const struct flow *flow);
/* Calls `each` for every greeted peer. */
void peers_each(struct flow *flow, void (*each)(struct peer *peer, void *ctx), void *ctx);

/*
 * May this instance have the lease?  No: refused with ERR_LOCK_CONTENTION and after_ms, and the
 * connection that holds it is asked whether it lives.  Changes nothing else.
 */
enum err lease_check(struct flow *flow, const struct request *request,
                     const uint8_t instance[static 16], struct reply *reply);

/* HELLO was good: the connection is greeted, nothing is in flight any more, credit is 0. */
enum err peer_greet(struct flow *flow, const struct request *request,
                    const uint8_t instance[static 16]);

/* The connection is not greeted any more.  `lease_too`: another instance may have it at once. */
void peer_leave(struct flow *flow, struct peer *peer, bool lease_too);

#endif

/*
 * flow - what happens to a request.  The heart of the broker, without sockets, threads or clocks.
 *
 * A turn takes requests, runs their handlers inside one transaction of the store, commits, and only
 * then hands out what came of them.  Whoever drives it (the store actor, or a test's world)
 * supplies time, chance and a way out.
 *
 * Owns     the store's transaction, credit, what is in flight, leases, rates: all for one thread.
 * Thread   the one that calls it; never two.
 * Errors   of a request: an ERROR answer to its connection.  Of the store: flow_turn() returns it,
 *          nothing of the turn was stored and nothing left.
 */
#ifndef BROKER_FLOW_H
#define BROKER_FLOW_H
#include "broker/flow/ports.h"
#include "shared/wire/message.h"

struct flow;
struct store;
struct controller;

/* Settings of cli 4.2 that the flow obeys; times in ms, sizes in bytes. */
struct flow_settings {
    char broker_name[65];
    char public_address[264]; /* HOST:PORT for invites; empty: none */
    char endpoints[1024];     /* as bound, one space between; for `status` */
    uint8_t curve_pk[32];     /* of the listener; for invites */
    char default_circle[65];
    uint64_t invite_ttl_ms, certificate_ttl_ms;
    uint64_t queue_frames, queue_bytes, pair_frames, pair_bytes;
    uint64_t requests, request_bytes; /* held per recipient */
    uint64_t requests_open;           /* unanswered, of one sender */
    uint64_t send_per_s, send_burst, prekeys_per_h;
    uint64_t group_members; /* largest group */
    uint64_t frame_ttl_max_ms;
    uint64_t blob_size_max, blob_agent_bytes, blob_ttl_ms;
    uint64_t store_max_bytes, disk_floor_bytes, wal_alarm_bytes;
};

void flow_settings_default(struct flow_settings *out);

/* Borrows all four until flow_close().  Announces every known key through ports->key_add. */
enum err flow_open(struct flow **out, struct store *store, struct controller *controller,
                   const struct flow_ports *ports, const struct flow_settings *settings);
void flow_close(struct flow **flow);

/* New settings from the next turn on, also for the controller and the store. */
void flow_configure(struct flow *flow, const struct flow_settings *settings);

/* Who asks.  Filled in by the edge from its key table, which flow's ports keep. */
enum requester_kind { BY_AGENT, BY_INVITE, BY_OPERATOR };

struct requester {
    enum requester_kind kind;
    uint64_t conn;            /* number of the connection, never used twice */
    int64_t id;               /* agent_id or invite_id */
    uint8_t key[32];          /* CURVE key */
    uint8_t aid[32];          /* agents */
    uint8_t identity_key[32]; /* agents: checks receipts */
};

/*
 * One request.  `message` and `parts` borrow from memory behind `memory`, which request_free()
 * gives back through `release`.
 */
struct request {
    struct request *next; /* for the queue of whoever holds it */
    struct requester by;
    struct message message;
    size_t part_count;
    struct bytes parts[63];
    size_t bytes;         /* of all parts, for bounds */
    bool checked;         /* request_precheck() has run */
    enum err verdict;     /* its result */
    struct bytes command; /* BY_OPERATOR: one JSON object */
    void *memory;
    void (*release)(void *memory);
};

void request_free(struct request **request);

/*
 * Work that needs no store: frame layouts and digests are left to the handlers, signatures of
 * receipts are checked here.  Any thread.  Flow calls it itself for requests that are not checked.
 */
void request_precheck(struct request *request);

/*
 * Runs `requests` (count of them, in order) in one transaction, commits, then hands answers, key
 * changes and kicks to the ports in the order they arose.  Frees the requests.  When the store
 * fails the turn is rolled back and its requests run again one by one.  ERR_STORE: the store is
 * unusable, the process must end.
 */
enum err flow_turn(struct flow *flow, struct request **requests, size_t count);

/* Timers: expiry, waiting FETCHes, sessions due, minutes, deliveries that the link refused. */
enum err flow_tick(struct flow *flow);

/* When flow_tick() wants to be called next, on the elapsed clock; UINT64_MAX: never. */
uint64_t flow_next_tick_ms(const struct flow *flow);

/* A connection is gone; or what was handed out for it could not leave (it will be asked for again).
 */
void flow_disconnected(struct flow *flow, uint64_t conn);

/* Tells every greeted connection that the broker goes down (NOTIFY 5). */
void flow_say_goodbye(struct flow *flow, uint32_t after_ms);

#endif

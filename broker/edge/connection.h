/*
 * connection - who is connected: a number for each pair of routing id and key.
 *
 * Routing ids never leave this module but to libzmq: not in answers, not in logs.
 *
 * Thread   the loop's.
 */
#ifndef EDGE_CONNECTION_H
#define EDGE_CONNECTION_H
#include <stdatomic.h>

#include "broker/edge/gate.h"
#include "broker/flow/ports.h"

#define ROUTING_ID_LEN 16

/* How many requests of one connection the store actor has not done with; outlives the connection.
 */
struct open_requests {
    atomic_uint count, users;
};

void open_requests_leave(struct open_requests *open);

struct connection {
    uint8_t routing_id[ROUTING_ID_LEN];
    uint64_t number;
    uint8_t key[CURVE_KEY_LEN];
    bool is_invite;
    int fd;           /* as libzmq names it; -1: not known */
    uint64_t fd_life; /* of the guard: fd numbers are used again */
    uint64_t heard_ms;
    struct open_requests *open;              /* shared with the requests themselves */
    uint64_t strike_ms[3];                   /* the last three, oldest first */
    struct outgoing *backlog, **backlog_end; /* what libzmq did not take yet; owned */
    size_t backlog_count;
    uint64_t backlog_ms;     /* since when */
    bool revoked;            /* its agent is: whatever it says is answered so */
    uint64_t kick_ms;        /* it is ended then; 0: it stays */
    const char *kick_reason; /* a literal */
    struct connection *next; /* of a walk's list */
};

struct connections {
    struct table by_routing, by_number;
    uint64_t last_number;
    struct gate *gate; /* borrowed: counts per key */
};

void connections_init(struct connections *all, struct gate *gate);
void connections_wipe(struct connections *all);
size_t connections_count(const struct connections *all);

/* NULL: nobody, or (by routing id) not with this key. */
struct connection *connection_find(const struct connections *all, uint64_t number);
struct connection *connection_by_routing(const struct connections *all,
                                         const uint8_t id[static ROUTING_ID_LEN]);
struct connection *connection_add(struct connections *all, const uint8_t id[static ROUTING_ID_LEN],
                                  const struct gate_key *key, uint64_t now_ms);
/* Frees it with its backlog. */
void connection_remove(struct connections *all, struct connection *connection);

/* Notes a malformed message; true at the third within a minute. */
bool connection_strike(struct connection *connection, uint64_t now_ms);

/* All that were silent for `silence_ms`, or whose fd is `fd` in that life: taken out of the table,
 * chained by `next`, to be given to connection_free(). */
struct connection *connections_take_silent(struct connections *all, uint64_t now_ms,
                                           uint64_t silence_ms);
struct connection *connections_take_fd(struct connections *all, int fd, uint64_t fd_life);
void connection_free(struct connection **connection);

#endif

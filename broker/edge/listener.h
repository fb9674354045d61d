/*
 * listener - the ROUTER socket: parts in, bounded, decoded, handed on; messages out.
 *
 * Nothing here knows what a message means.  Who sent it comes from the User-Id of the body part,
 * looked up again for every message.
 *
 * Thread   the loop's.
 */
#ifndef EDGE_LISTENER_H
#define EDGE_LISTENER_H
#include "broker/edge/arrivals.h"
#include "broker/edge/connection.h"
#include "broker/edge/guard.h"

struct listener_counts {
    uint64_t messages, bytes, dropped, malformed, busy; /* in */
    uint64_t sent, refused_sends;                       /* out */
};

struct listener {
    void *router, *monitor; /* owned */
    struct gate *gate;      /* owned by the loop, as the next */
    struct guard *guard;
    struct connections connections;
    struct arrivals *arrivals;
    struct listener_counts counts;
    size_t backlogged, kicks; /* connections with a backlog; that are to be ended */
    const uint8_t *test_key;  /* of the self-test; NULL: none */
    bool test_seen;
};

/* Makes the socket; bind with listener_bind().  The gate must be bound before. */
enum err listener_open(struct listener *out, const uint8_t secret_key[static CURVE_KEY_LEN],
                       int handshake_ms, struct gate *gate, struct guard *guard,
                       struct arrivals *arrivals);
void listener_close(struct listener *listener, int linger_ms);

/* "tcp://…"; `bound` gets the address with its port.  ERR_UNSUPPORTED: errno says why. */
enum err listener_bind(struct listener *listener, const char *endpoint, char *bound, size_t size);

/* Takes in at most a batch; true: there may be more. */
bool listener_read(struct listener *listener, uint64_t now_ms);

/* Accepted and ended connections. */
void listener_monitor(struct listener *listener, uint64_t now_ms);

/* Sends, or keeps it for a while when the peer's queue is full.  Takes it. */
void listener_send(struct listener *listener, struct outgoing *out, uint64_t now_ms);
/* Tries again what is kept; gives up on those that are stuck. */
void listener_retry(struct listener *listener, uint64_t now_ms);

/* Every second: connections that have been silent too long. */
void listener_forget_silent(struct listener *listener, uint64_t now_ms);

/* Ends a connection's TCP a moment later, so that what was sent before leaves; nothing more is
 * taken from it.  What it was is forgotten when the monitor says so. */
void listener_kick(struct listener *listener, uint64_t number, const char *reason, uint64_t now_ms);
/* Its agent is revoked: every connection of the key ends so, and is told why if it still speaks. */
void listener_revoke(struct listener *listener, const uint8_t key[static CURVE_KEY_LEN],
                     uint64_t now_ms);
/* Ends those whose moment has come. */
void listener_end_kicked(struct listener *listener, uint64_t now_ms);

#endif

/*
 * peer - a client that may do what an agent never would: any key, any routing id, any bytes.
 */
#ifndef HOSTILE_PEER_H
#define HOSTILE_PEER_H
#include "bench/load/client.h"

struct peer {
    void *socket, *monitor;
};

enum peer_end { PEER_READY, PEER_UNKNOWN, PEER_NOT_NOW, PEER_SILENCE };

/* Connects with a routing id of its own choice (len bytes). */
void peer_open(struct peer *peer, const struct client *broker, const struct curve_keys *keys,
               const void *routing_id, size_t len);
/* With a random one of 16 bytes. */
void peer_connect(struct peer *peer, const struct client *broker, const struct curve_keys *keys);
void peer_close(struct peer *peer);

/* How the handshake ends, within `wait_ms`. */
enum peer_end peer_handshake(struct peer *peer, int wait_ms);
/* Did the connection end within `wait_ms`? */
bool peer_lost(struct peer *peer, int wait_ms);

void peer_say(struct peer *peer, const void *head, size_t len, bool more);
void peer_message(struct peer *peer, const struct message *message);

/* The next answer's code (0: no error), or -1: none came in time.  `out` may be NULL. */
int peer_hear(struct peer *peer, int wait_ms, struct incoming *out);

#endif

/*
 * listener_internal - what the three files of the listener share: connections that come and go
 *                     (listener.c), messages in (receive.c), messages out (transmit.c).
 */
#ifndef EDGE_LISTENER_INTERNAL_H
#define EDGE_LISTENER_INTERNAL_H
#include "broker/edge/listener.h"

/* The pair (routing id, key), on this TCP connection; a new one if anything of it is new. */
struct connection *listener_connection(struct listener *listener, const uint8_t *id,
                                       const struct gate_key *key, int fd, uint64_t now_ms);

/* It is gone, and the flow hears of it.  Frees it. */
void listener_forget(struct listener *listener, struct connection *connection, const char *reason);

#endif

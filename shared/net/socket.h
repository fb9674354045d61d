/*
 * socket - ZeroMQ sockets with our options, each set raw and read back.
 *
 * A setter that silently does nothing must not pass: with an option missing, CURVE stays open.
 *
 * Thread   a socket belongs to the thread that uses it.
 * Errors   ERR_UNSUPPORTED: an option did not take, or the address cannot be used; the socket is
 * closed.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H
#include <stdbool.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/net/curve.h"

#define NET_ZAP_DOMAIN     "a2a"
#define NET_ROUTING_ID_LEN 16

/*
 * First call of every program that uses ZeroMQ: no signal handler of the library's, its log to
 * stderr, no ZSYS_* variable.
 */
void net_start(void);

/* The process's one context, made with the first socket; end it only when all sockets are closed.
 */
void *net_context(void);
void net_end(void);

enum err socket_option(void *socket, int option, int want, bool readable);

/* ROUTER of the broker; not bound yet.  Bind only after the gate listens. */
enum err socket_listener(void **out, const uint8_t secret_key[static CURVE_KEY_LEN],
                         int handshake_ms);

/*
 * DEALER of an agent; not connected yet.  It never connects again by itself: one socket is one
 * connection, with a routing id of its own.
 */
enum err socket_link(void **out, const uint8_t server_key[static CURVE_KEY_LEN],
                     const struct curve_keys *mine,
                     const uint8_t routing_id[static NET_ROUTING_ID_LEN]);

/* What a socket's I/O thread tells about its connections. */
enum net_event {
    NET_NOTHING,      /* nothing more for now */
    NET_ACCEPTED,     /* listener: fd */
    NET_CONNECTED,    /* link: TCP is there, the handshake begins */
    NET_READY,        /* handshake done */
    NET_REFUSED,      /* link: the gate said no; value 400 = key not known */
    NET_NO_HANDSHAKE, /* another broker's key, or 300 and no answer */
    NET_CLOSED,       /* link: connect refused or given up */
    NET_LOST          /* the connection has ended: fd */
};

/* A PAIR socket that hears of `socket`; `name` is unique in the process.  Same thread as the
 * socket. */
enum err monitor_open(void **out, void *socket, const char *name);

/* Takes the next event without waiting. */
enum net_event monitor_next(void *monitor, int *value);

/* Accepts NULL; sets it to NULL.  A monitored socket's monitor is closed first. */
void monitor_close(void **monitor, void *socket);
void socket_close(void **socket);

#endif

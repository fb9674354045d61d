#include "broker/edge/listener_internal.h"

#include <stdlib.h>
#include <zmq.h>

#include "shared/base/log.h"
#include "shared/net/socket.h"
#include "shared/wire/limit.h"

#define KICK_AFTER_MS 200

enum err listener_open(struct listener *out, const uint8_t secret_key[static CURVE_KEY_LEN],
                       int handshake_ms, struct gate *gate, struct guard *guard,
                       struct arrivals *arrivals)
{
    enum err e;

    *out = (struct listener){ .gate = gate, .guard = guard, .arrivals = arrivals };
    connections_init(&out->connections, gate);
    e = socket_listener(&out->router, secret_key, handshake_ms);
    if (e == ERR_OK)
        e = monitor_open(&out->monitor, out->router, "listener");
    return e;
}

void listener_close(struct listener *listener, int linger_ms)
{
    if (listener->router) {
        zmq_setsockopt(listener->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        monitor_close(&listener->monitor, listener->router);
    }
    socket_close(&listener->router);
    if (listener->connections.by_number.slot)
        connections_wipe(&listener->connections);
}

enum err listener_bind(struct listener *listener, const char *endpoint, char *bound, size_t size)
{
    int ipv6 = strchr(endpoint, '[') != NULL; /* else addresses of IPv4 look like ::ffff:… */

    if (zmq_setsockopt(listener->router, ZMQ_IPV6, &ipv6, sizeof ipv6) != 0
        || zmq_bind(listener->router, endpoint) != 0
        || zmq_getsockopt(listener->router, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
        return ERR_UNSUPPORTED;
    return ERR_OK;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void tell_gone(struct listener *listener, uint64_t number)
{
    arrivals_push(listener->arrivals, arrival_note(ARRIVAL_GONE, number));
}

static void say_goodbye_to(struct listener *listener, const struct connection *connection,
                           const char *reason)
{
    log_event(LOG_DEBUG, "disconnected", "conn=%llu reason=%s",
              (unsigned long long)connection->number, reason);
    listener->backlogged -= connection->backlog != NULL;
    listener->kicks -= connection->kick_ms != 0;
    tell_gone(listener, connection->number);
}

static void forget_chain(struct listener *listener, struct connection *chain, const char *reason)
{
    while (chain) {
        struct connection *connection = chain;

        chain = connection->next;
        say_goodbye_to(listener, connection, reason);
        connection_free(&connection);
    }
}

void listener_forget(struct listener *listener, struct connection *connection, const char *reason)
{
    say_goodbye_to(listener, connection, reason);
    connection_remove(&listener->connections, connection);
}

void listener_monitor(struct listener *listener, uint64_t now_ms)
{
    enum net_event event;
    uint64_t life;
    int fd;

    while ((event = monitor_next(listener->monitor, &fd)) != NET_NOTHING) {
        if (event == NET_ACCEPTED) {
            guard_accepted(listener->guard, fd, now_ms);
        } else if (event == NET_LOST) {
            life = guard_lost(listener->guard, fd);
            if (life)
                forget_chain(listener, connections_take_fd(&listener->connections, fd, life),
                             "lost");
        }
    }
}

void listener_forget_silent(struct listener *listener, uint64_t now_ms)
{
    forget_chain(listener,
                 connections_take_silent(&listener->connections, now_ms, LIMIT_SILENCE_MS),
                 "silent");
}

void listener_kick(struct listener *listener, uint64_t number, const char *reason, uint64_t now_ms)
{
    struct connection *connection = connection_find(&listener->connections, number);

    if (!connection || connection->kick_ms)
        return;
    connection->kick_ms = now_ms + KICK_AFTER_MS;
    connection->kick_reason = reason;
    listener->kicks++;
}

void listener_revoke(struct listener *listener, const uint8_t key[static CURVE_KEY_LEN],
                     uint64_t now_ms)
{
    struct connection *each;

    for (size_t i = 0; (each = table_next(&listener->connections.by_number, &i));) {
        if (memcmp(each->key, key, CURVE_KEY_LEN) != 0)
            continue;
        each->revoked = true;
        listener_kick(listener, each->number, "revoked", now_ms);
    }
}

void listener_end_kicked(struct listener *listener, uint64_t now_ms)
{
    struct connection *each;

    for (size_t i = 0;
         listener->kicks && (each = table_next(&listener->connections.by_number, &i));) {
        if (!each->kick_ms || now_ms < each->kick_ms)
            continue;
        log_event(LOG_WARN, "kicked", "conn=%llu reason=%s", (unsigned long long)each->number,
                  each->kick_reason);
        guard_kick(listener->guard, each->fd, each->fd_life);
        each->kick_ms = now_ms + 60000; /* the monitor will tell; if it does not, again */
    }
}

struct connection *listener_connection(struct listener *listener, const uint8_t *id,
                                       const struct gate_key *key, int fd, uint64_t now_ms)
{
    struct connection *connection = connection_by_routing(&listener->connections, id);
    uint64_t life = guard_life(listener->guard, fd);

    if (connection && memcmp(connection->key, key->key, CURVE_KEY_LEN) != 0) {
        log_event(LOG_WARN, "strike", "conn=%llu reason=routing_id_of_another",
                  (unsigned long long)connection->number);
        listener_forget(listener, connection, "replaced");
        connection = NULL;
    } else if (connection && (connection->fd != fd || connection->fd_life != life)) {
        listener_forget(listener, connection,
                        "reconnected"); /* what was in flight is lost: HELLO again */
        connection = NULL;
    }
    if (!connection) {
        connection = connection_add(&listener->connections, id, key, now_ms);
        connection->fd = fd;
        connection->fd_life = life;
        log_event(LOG_DEBUG, "connected", "conn=%llu key=%s",
                  (unsigned long long)connection->number, log_id(key->key));
    }
    connection->heard_ms = now_ms;
    return connection;
}

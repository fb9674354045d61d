#include "shared/net/socket.h"

#include <czmq.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { ZAP_ENFORCE_DOMAIN = 93 }; /* in the library, not in Debian's header */

#define PART_ENCRYPTED_MAX 131072

extern char **environ;

void net_start(void)
{
    /* Whoever may set our environment must not set the socket defaults. */
    for (size_t i = 0; environ && environ[i];) {
        char name[64];
        size_t len = strcspn(environ[i], "=");

        if (strncmp(environ[i], "ZSYS_", 5) == 0 && len < sizeof name) {
            memcpy(name, environ[i], len);
            name[len] = 0;
            unsetenv(name); /* moves the rest down */
        } else {
            i++;
        }
    }
    zsys_handler_set(NULL);
    zsys_set_logstream(stderr);
}

/* Not CZMQ's context: that one ends in an exit handler, which waits for ever for a socket left
 * open. */
static void *context;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;

static void context_make(void)
{
    context = zmq_ctx_new();
    if (!context)
        abort();
}

void *net_context(void)
{
    pthread_once(&context_once, context_make);
    return context;
}

void net_end(void)
{
    if (context)
        zmq_ctx_term(context);
    context = NULL;
}

enum err socket_option(void *socket, int option, int want, bool readable)
{
    int got = ~want;
    size_t len = sizeof got;

    if (zmq_setsockopt(socket, option, &want, sizeof want) != 0)
        return ERR_UNSUPPORTED;
    if (readable && (zmq_getsockopt(socket, option, &got, &len) != 0 || got != want))
        return ERR_UNSUPPORTED;
    return ERR_OK;
}

struct option_row {
    int option, value;
    bool readable;
};

static enum err options_set(void *socket, const struct option_row *row, size_t count)
{
    int64_t largest = PART_ENCRYPTED_MAX, got = 0;
    size_t len = sizeof got;
    enum err e = ERR_OK;

    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = socket_option(socket, row[i].option, row[i].value, row[i].readable);
    if (e == ERR_OK
        && (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) != 0
            || zmq_getsockopt(socket, ZMQ_MAXMSGSIZE, &got, &len) != 0 || got != largest))
        e = ERR_UNSUPPORTED;
    return e;
}

static enum err domain_set(void *socket)
{
    char domain[16] = "";
    size_t len = sizeof domain;

    /* with an empty domain CURVE stays open */
    if (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, NET_ZAP_DOMAIN, strlen(NET_ZAP_DOMAIN)) != 0
        || zmq_getsockopt(socket, ZMQ_ZAP_DOMAIN, domain, &len) != 0
        || strcmp(domain, NET_ZAP_DOMAIN) != 0)
        return ERR_UNSUPPORTED;
    return ERR_OK;
}

enum err socket_listener(void **out, const uint8_t secret_key[static CURVE_KEY_LEN],
                         int handshake_ms)
{
    const struct option_row options[] = {
        { ZMQ_CURVE_SERVER, 1, true },
        { ZAP_ENFORCE_DOMAIN, 1, true },
        { ZMQ_ROUTER_HANDOVER, 1, false },
        { ZMQ_ROUTER_MANDATORY, 1, false },
        { ZMQ_SNDTIMEO, 0, true },
        { ZMQ_LINGER, 0, true },
        { ZMQ_SNDHWM, 32, true },
        { ZMQ_RCVHWM, 4, true },
        { ZMQ_HANDSHAKE_IVL, handshake_ms, true },
        { ZMQ_BACKLOG, 256, true },
        { ZMQ_HEARTBEAT_IVL, 15000, true },
        { ZMQ_HEARTBEAT_TIMEOUT, 45000, true },
        { ZMQ_TCP_KEEPALIVE, 1, true },
        { ZMQ_TCP_KEEPALIVE_IDLE, 60, true },
    };
    void *socket = zmq_socket(net_context(), ZMQ_ROUTER);
    enum err e = socket ? domain_set(socket) : ERR_UNSUPPORTED;

    if (e == ERR_OK && zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, CURVE_KEY_LEN) != 0)
        e = ERR_UNSUPPORTED;
    if (e == ERR_OK)
        e = options_set(socket, options, sizeof options / sizeof options[0]);
    if (e != ERR_OK)
        socket_close(&socket);
    else
        *out = socket;
    return e;
}

enum err socket_link(void **out, const uint8_t server_key[static CURVE_KEY_LEN],
                     const struct curve_keys *mine,
                     const uint8_t routing_id[static NET_ROUTING_ID_LEN])
{
    /* No heartbeat option: it aborts a connecting socket whose queue is full. */
    static const struct option_row options[] = {
        { ZMQ_SNDTIMEO, 0, true },
        { ZMQ_LINGER, 0, true },
        { ZMQ_IMMEDIATE, 1, true },
        { ZMQ_RECONNECT_IVL, -1, true },
        { ZMQ_TCP_KEEPALIVE, 1, true },
        { ZMQ_TCP_KEEPALIVE_IDLE, 60, true },
        { ZMQ_HANDSHAKE_IVL, 10000, true },
        { ZMQ_IPV6, 1, true },
        { ZMQ_CONNECT_TIMEOUT, 10000, true },
    };
    void *socket = zmq_socket(net_context(), ZMQ_DEALER);
    enum err e = socket ? ERR_OK : ERR_UNSUPPORTED;

    if (e == ERR_OK
        && (zmq_setsockopt(socket, ZMQ_ROUTING_ID, routing_id, NET_ROUTING_ID_LEN) != 0
            || zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, CURVE_KEY_LEN) != 0
            || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, mine->public_key, CURVE_KEY_LEN) != 0
            || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, mine->secret_key, CURVE_KEY_LEN) != 0))
        e = ERR_UNSUPPORTED;
    if (e == ERR_OK)
        e = options_set(socket, options, sizeof options / sizeof options[0]);
    if (e != ERR_OK)
        socket_close(&socket);
    else
        *out = socket;
    return e;
}

enum err monitor_open(void **out, void *socket, const char *name)
{
    const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED
                       | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED
                       | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
                       | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    char address[96];
    void *pair;

    snprintf(address, sizeof address, "inproc://monitor.%s", name);
    if (zmq_socket_monitor(socket, address, events) != 0)
        return ERR_UNSUPPORTED;
    pair = zmq_socket(net_context(), ZMQ_PAIR);
    if (!pair)
        return ERR_UNSUPPORTED;
    if (socket_option(pair, ZMQ_LINGER, 0, true) != ERR_OK
        || socket_option(pair, ZMQ_RCVHWM, 0, true) != ERR_OK || zmq_connect(pair, address) != 0) {
        socket_close(&pair);
        return ERR_UNSUPPORTED;
    }
    *out = pair;
    return ERR_OK;
}

static enum net_event event_of(unsigned event)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        return NET_ACCEPTED;
    case ZMQ_EVENT_CONNECTED:
        return NET_CONNECTED;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        return NET_READY;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return NET_REFUSED;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return NET_NO_HANDSHAKE;
    case ZMQ_EVENT_CLOSED:
        return NET_CLOSED;
    case ZMQ_EVENT_DISCONNECTED:
        return NET_LOST;
    default:
        return NET_NOTHING;
    }
}

/* Two parts: event (u16) and value (u32) in the machine's order, then the address. */
enum net_event monitor_next(void *monitor, int *value)
{
    for (;;) {
        uint8_t head[6], rest[256];
        uint16_t event;
        uint32_t number;
        enum net_event known;
        int more = 1;
        size_t len = sizeof more;
        int n = zmq_recv(monitor, head, sizeof head, ZMQ_DONTWAIT);

        if (n < 0)
            return NET_NOTHING;
        while (zmq_getsockopt(monitor, ZMQ_RCVMORE, &more, &len) == 0 && more)
            if (zmq_recv(monitor, rest, sizeof rest, ZMQ_DONTWAIT) < 0)
                break;
        if (n != (int)sizeof head)
            continue;
        memcpy(&event, head, sizeof event);
        memcpy(&number, head + 2, sizeof number);
        known = event_of(event);
        *value = (int)number;
        if (known != NET_NOTHING)
            return known;
    }
}

void socket_close(void **socket)
{
    if (!*socket)
        return;
    zmq_close(*socket);
    *socket = NULL;
}

void monitor_close(void **monitor, void *socket)
{
    if (!*monitor)
        return;
    zmq_socket_monitor(socket, NULL, 0);
    socket_close(monitor);
}

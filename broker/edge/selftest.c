#include "broker/edge/selftest.h"

#include <sodium.h>
#include <stdio.h>
#include <zmq.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/net/socket.h"

#define PATIENCE_MS 5000

struct probe {
    struct curve_keys keys;
    void *link, *monitor;
    bool refused, ready;
};

/* The address that reaches a wildcard from here. */
static void reachable(char *out, size_t size, const char *endpoint)
{
    const char *port = strrchr(endpoint, ':');

    if (port && strncmp(endpoint, "tcp://0.0.0.0:", 14) == 0)
        snprintf(out, size, "tcp://127.0.0.1%s", port);
    else if (port && strncmp(endpoint, "tcp://[::]:", 11) == 0)
        snprintf(out, size, "tcp://[::1]%s", port);
    else
        snprintf(out, size, "%s", endpoint);
}

static enum err probe_open(struct probe *probe, const char *endpoint, const uint8_t *server_key,
                           const char *name)
{
    uint8_t id[NET_ROUTING_ID_LEN];
    char address[280];
    enum err e;

    *probe = (struct probe){ 0 };
    curve_make(&probe->keys);
    randombytes_buf(id, sizeof id);
    reachable(address, sizeof address, endpoint);
    e = socket_link(&probe->link, server_key, &probe->keys, id);
    if (e == ERR_OK)
        e = monitor_open(&probe->monitor, probe->link, name);
    if (e == ERR_OK && zmq_connect(probe->link, address) != 0)
        e = ERR_UNSUPPORTED;
    return e;
}

static void probe_close(struct probe *probe)
{
    if (probe->link)
        monitor_close(&probe->monitor, probe->link);
    socket_close(&probe->link);
    curve_wipe(&probe->keys);
}

/* One round of everything that the loop would do, and of the probe. */
static void serve(struct listener *listener, struct probe *probe)
{
    zmq_pollitem_t items[] = { { gate_socket(listener->gate), 0, ZMQ_POLLIN, 0 },
                               { listener->router, 0, ZMQ_POLLIN, 0 },
                               { probe->monitor, 0, ZMQ_POLLIN, 0 } };
    uint64_t now_ms;
    enum net_event event;
    int value;

    zmq_poll(items, 3, 50);
    now_ms = clock_elapsed_ms();
    gate_serve(listener->gate, connections_count(&listener->connections), now_ms);
    while (listener_read(listener, now_ms))
        continue;
    while ((event = monitor_next(probe->monitor, &value)) != NET_NOTHING) {
        probe->refused |= event == NET_REFUSED && value == GATE_UNKNOWN;
        probe->ready |= event == NET_READY;
    }
}

static bool stranger_is_refused(struct listener *listener, const char *endpoint,
                                const uint8_t *server_key)
{
    uint64_t until_ms = clock_elapsed_ms() + PATIENCE_MS;
    struct probe probe;
    bool refused = false;

    if (probe_open(&probe, endpoint, server_key, "stranger") == ERR_OK) {
        while (!probe.refused && !probe.ready && clock_elapsed_ms() < until_ms)
            serve(listener, &probe);
        refused = probe.refused && !probe.ready;
    }
    probe_close(&probe);
    return refused;
}

static bool friend_is_admitted(struct listener *listener, const char *endpoint,
                               const uint8_t *server_key)
{
    uint64_t until_ms = clock_elapsed_ms() + PATIENCE_MS;
    struct requester who = { .kind = BY_INVITE };
    struct probe probe;
    enum err e = probe_open(&probe, endpoint, server_key, "friend");
    bool seen, sent = false;

    memcpy(who.key, probe.keys.public_key, sizeof who.key);
    gate_add(listener->gate, &who);
    listener->test_key = who.key;
    listener->test_seen = false;
    while (e == ERR_OK && !listener->test_seen && clock_elapsed_ms() < until_ms) {
        serve(listener, &probe);
        if (probe.ready && !sent)
            sent = zmq_send(probe.link, "?", 1, ZMQ_DONTWAIT) == 1;
    }
    seen = listener->test_seen;
    listener->test_key = NULL;
    gate_drop(listener->gate, who.key);
    probe_close(&probe);
    return seen;
}

enum err selftest_run(struct listener *listener, const char *endpoint,
                      const uint8_t server_key[static CURVE_KEY_LEN])
{
    bool refused;

    gate_quiet(listener->gate, true);
    refused = stranger_is_refused(listener, endpoint, server_key);
    gate_quiet(listener->gate, false);
    if (!refused) {
        log_event(LOG_ERROR, "self_test_failed", "reason=stranger_not_refused");
        return ERR_AUTH;
    }
    if (!friend_is_admitted(listener, endpoint, server_key)) {
        log_event(LOG_ERROR, "self_test_failed", "reason=known_key_not_admitted");
        return ERR_AUTH;
    }
    return ERR_OK;
}

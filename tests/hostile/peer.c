#include "tests/hostile/peer.h"

#include <sodium.h>
#include <stdio.h>

#include "shared/base/clock.h"

void peer_open(struct peer *peer, const struct client *broker, const struct curve_keys *keys,
               const void *routing_id, size_t len)
{
    static unsigned count;
    uint8_t id[NET_ROUTING_ID_LEN];
    char name[32];

    randombytes_buf(id, sizeof id);
    snprintf(name, sizeof name, "peer%u", count++);
    *peer = (struct peer){ NULL, NULL };
    if (socket_link(&peer->socket, broker->broker_key, keys, id) != ERR_OK
        || zmq_setsockopt(peer->socket, ZMQ_ROUTING_ID, routing_id ? routing_id : id,
                          routing_id ? len : sizeof id)
               != 0
        || monitor_open(&peer->monitor, peer->socket, name) != ERR_OK
        || zmq_connect(peer->socket, broker->endpoint) != 0)
        load_fail("no socket: %s", zmq_strerror(zmq_errno()));
}

void peer_connect(struct peer *peer, const struct client *broker, const struct curve_keys *keys)
{
    peer_open(peer, broker, keys, NULL, 0);
}

void peer_close(struct peer *peer)
{
    if (peer->socket)
        monitor_close(&peer->monitor, peer->socket);
    socket_close(&peer->socket);
}

static enum net_event next_event(struct peer *peer, uint64_t until_ms, int *value)
{
    enum net_event event;

    while ((event = monitor_next(peer->monitor, value)) == NET_NOTHING) {
        uint64_t now = clock_elapsed_ms();
        zmq_pollitem_t item = { peer->monitor, 0, ZMQ_POLLIN, 0 };

        if (now >= until_ms)
            break;
        zmq_poll(&item, 1, (long)(until_ms - now));
    }
    return event;
}

enum peer_end peer_handshake(struct peer *peer, int wait_ms)
{
    uint64_t until_ms = clock_elapsed_ms() + (uint64_t)wait_ms;
    enum net_event event;
    int value = 0;

    while ((event = next_event(peer, until_ms, &value)) != NET_NOTHING) {
        if (event == NET_READY)
            return PEER_READY;
        if (event == NET_REFUSED)
            return value == 400 ? PEER_UNKNOWN : PEER_NOT_NOW;
        if (event == NET_NO_HANDSHAKE || event == NET_LOST || event == NET_CLOSED)
            return PEER_NOT_NOW;
    }
    return PEER_SILENCE;
}

bool peer_lost(struct peer *peer, int wait_ms)
{
    uint64_t until_ms = clock_elapsed_ms() + (uint64_t)wait_ms;
    enum net_event event;
    int value = 0;

    while ((event = next_event(peer, until_ms, &value)) != NET_NOTHING)
        if (event == NET_LOST)
            return true;
    return false;
}

void peer_say(struct peer *peer, const void *head, size_t len, bool more)
{
    for (int tries = 0;
         zmq_send(peer->socket, head, len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0; tries++) {
        zmq_pollitem_t item = { peer->socket, 0, ZMQ_POLLOUT, 0 };

        if (tries == 10 || zmq_poll(&item, 1, 5000) <= 0)
            load_fail("cannot send: %s", zmq_strerror(zmq_errno()));
    }
}

void peer_message(struct peer *peer, const struct message *message)
{
    struct buf head = { 0 };

    message_encode(message, &head);
    peer_say(peer, head.at, head.len, false);
    buf_free(&head);
}

static bool receive(struct peer *peer, struct incoming *in)
{
    int more = 1;
    size_t size = sizeof more;

    in->parts = 0;
    while (more) {
        zmq_msg_init(&in->part[in->parts]);
        if (zmq_msg_recv(&in->part[in->parts], peer->socket, ZMQ_DONTWAIT) < 0)
            return false;
        in->parts++;
        zmq_getsockopt(peer->socket, ZMQ_RCVMORE, &more, &size);
    }
    if (message_decode(&in->message, incoming_part(in, 0), in->parts - 1, FROM_BROKER) != ERR_OK)
        load_fail("the broker said something malformed");
    return true;
}

/* Hints are not answers. */
int peer_hear(struct peer *peer, int wait_ms, struct incoming *out)
{
    struct incoming own = { .parts = 0 }, *in = out ? out : &own;
    int code;

    do {
        zmq_pollitem_t item = { peer->socket, 0, ZMQ_POLLIN, 0 };

        incoming_close(in);
        if (zmq_poll(&item, 1, wait_ms) <= 0 || !receive(peer, in))
            return -1;
    } while (in->message.verb == VERB_NOTIFY);
    code = in->message.verb == VERB_ERROR ? (int)in->message.code : 0;
    if (!out)
        incoming_close(&own);
    return code;
}

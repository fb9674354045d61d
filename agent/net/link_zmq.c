#include "agent/net/link_zmq.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/clock.h"
#include "shared/net/socket.h"
#include "shared/wire/limit.h"

#define HANDSHAKE_MS 5000
#define BATCH        256 /* messages taken before the loop looks at anything else */

struct link_zmq {
    void *socket, *monitor; /* owned; NULL: none */
    uint64_t generation;    /* of the socket; an agent may replace it while it is told something */
    uint64_t give_up_ms;    /* the handshake must be done by then; UINT64_MAX: it is */
    bool failed;            /* no socket could be made; to be told at the next dispatch */
    bool attached;          /* TCP was there */
    bool ready;             /* handshake done */
};

struct link_zmq *link_zmq_new(void)
{
    struct link_zmq *link = mem_zeroed(1, sizeof *link);

    link->give_up_ms = UINT64_MAX;
    return link;
}

void link_zmq_free(struct link_zmq **link)
{
    if (!*link)
        return;
    link_zmq_disconnect(*link);
    free(*link);
    *link = NULL;
}

static enum err attach(struct link_zmq *link, const char *endpoint,
                       const uint8_t broker_key[static 32], const struct curve_keys *mine)
{
    uint8_t routing_id[NET_ROUTING_ID_LEN];
    static _Atomic unsigned made;
    char name[48];
    enum err e;

    /* libzmq makes ids of its own that begin with a zero byte: stay clear of them */
    do
        randombytes_buf(routing_id, sizeof routing_id);
    while (routing_id[0] == 0);
    e = socket_link(&link->socket, broker_key, mine, routing_id);
    if (e != ERR_OK)
        return e;
    snprintf(name, sizeof name, "link-%u", ++made);
    e = monitor_open(&link->monitor, link->socket, name);
    if (e == ERR_OK && zmq_connect(link->socket, endpoint) != 0)
        e = ERR_UNSUPPORTED;
    return e;
}

void link_zmq_connect(struct link_zmq *link, const char *endpoint,
                      const uint8_t broker_key[static 32], const uint8_t public_key[static 32],
                      const uint8_t secret_key[static 32])
{
    struct curve_keys mine;

    link_zmq_disconnect(link);
    memcpy(mine.public_key, public_key, sizeof mine.public_key);
    memcpy(mine.secret_key, secret_key, sizeof mine.secret_key);
    link->failed = attach(link, endpoint, broker_key, &mine) != ERR_OK;
    link->give_up_ms = clock_elapsed_ms() + HANDSHAKE_MS;
    curve_wipe(&mine);
}

void link_zmq_disconnect(struct link_zmq *link)
{
    monitor_close(&link->monitor, link->socket);
    socket_close(&link->socket);
    link->generation++;
    link->give_up_ms = UINT64_MAX;
    link->failed = link->attached = link->ready = false;
}

static enum err send_part(void *socket, struct bytes part, bool more)
{
    int n;

    do
        n = zmq_send(socket, part.at, part.len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? ERR_BUSY : ERR_IO;
    return ERR_OK;
}

enum err link_zmq_send(struct link_zmq *link, struct bytes head, const struct bytes *parts,
                       size_t count)
{
    enum err e;

    if (!link->socket || !link->ready)
        return ERR_BUSY;
    /* a larger part would end the connection without a word */
    if (head.len > LIMIT_PART_MAX)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > LIMIT_PART_MAX)
            return ERR_TOO_LARGE;
    /* only the first part can find the pipe full: the others belong to it */
    e = send_part(link->socket, head, count > 0);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = send_part(link->socket, parts[i], i + 1 < count);
    return e;
}

size_t link_zmq_items(const struct link_zmq *link, zmq_pollitem_t items[static LINK_ZMQ_ITEMS])
{
    size_t n = 0;

    if (link->socket)
        items[n++] = (zmq_pollitem_t){ .socket = link->socket, .events = ZMQ_POLLIN };
    if (link->monitor)
        items[n++] = (zmq_pollitem_t){ .socket = link->monitor, .events = ZMQ_POLLIN };
    return n;
}

uint64_t link_zmq_deadline_ms(const struct link_zmq *link)
{
    return link->failed ? 0 : link->give_up_ms;
}

static void lose(struct link_zmq *link, struct agent *agent, enum link_loss why)
{
    link_zmq_disconnect(link);
    agent_disconnected(agent, why);
}

/* One event of the monitor; false: there is none. */
static bool dispatch_event(struct link_zmq *link, struct agent *agent)
{
    int value = 0;

    switch (monitor_next(link->monitor, &value)) {
    case NET_NOTHING:
        return false;
    case NET_ACCEPTED:
        break;
    case NET_CONNECTED:
        link->attached = true;
        break;
    case NET_READY:
        link->ready = true;
        link->give_up_ms = UINT64_MAX;
        agent_connected(agent);
        break;
    case NET_REFUSED:
        lose(link, agent, value == 400 ? LINK_KEY_REFUSED : LINK_WRONG_BROKER);
        break;
    case NET_NO_HANDSHAKE:
        lose(link, agent, LINK_WRONG_BROKER);
        break;
    case NET_CLOSED:
        lose(link, agent, link->attached ? LINK_LOST : LINK_REFUSED);
        break;
    case NET_LOST:
        /* a peer that leaves in the middle of the handshake has not said who it is */
        lose(link, agent, link->ready ? LINK_LOST : LINK_WRONG_BROKER);
        break;
    }
    return true;
}

struct inbound {
    zmq_msg_t part[WIRE_PARTS_MAX];
    size_t count;
    bool too_many;
};

static void inbound_free(struct inbound *in)
{
    for (size_t i = 0; i < in->count; i++)
        zmq_msg_close(&in->part[i]);
}

/* All parts of the next message; false: there is none. */
static bool inbound_take(void *socket, struct inbound *in)
{
    bool more = true;

    in->count = 0;
    in->too_many = false;
    while (more) {
        zmq_msg_t spare, *part = in->count < WIRE_PARTS_MAX ? &in->part[in->count] : &spare;

        zmq_msg_init(part);
        if (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(part);
            if (errno == EINTR)
                continue;
            inbound_free(in);
            return false;
        }
        more = zmq_msg_more(part);
        if (part == &spare) {
            in->too_many = true;
            zmq_msg_close(part);
        } else {
            in->count++;
        }
    }
    return true;
}

static void hand_over(struct inbound *in, struct agent *agent)
{
    struct bytes parts[WIRE_PARTS_MAX];

    for (size_t i = 0; i < in->count; i++)
        parts[i] = bytes_of(zmq_msg_data(&in->part[i]), zmq_msg_size(&in->part[i]));
    /* no broker of ours says so much: as if it had not come */
    if (!in->too_many)
        agent_received(agent, parts[0], parts + 1, in->count - 1);
}

bool link_zmq_dispatch(struct link_zmq *link, struct agent *agent)
{
    uint64_t generation;
    struct inbound in;

    if (link->failed || clock_elapsed_ms() >= link->give_up_ms) {
        lose(link, agent, link->failed ? LINK_REFUSED : LINK_TIMEOUT);
        return true;
    }
    generation = link->generation;
    /* what came before the end of a connection is taken before the end is told */
    for (int i = 0; link->socket && link->ready && i < BATCH; i++) {
        if (!inbound_take(link->socket, &in))
            break;
        hand_over(&in, agent);
        inbound_free(&in);
        if (link->generation != generation || i + 1 == BATCH)
            return true;
    }
    while (link->monitor && link->generation == generation)
        if (!dispatch_event(link, agent))
            return false;
    return true;
}

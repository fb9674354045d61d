#include <assert.h>
#include <stdlib.h>

#include "broker/flow/flow_internal.h"
#include "broker/flow/journal.h"
#include "broker/store/directory.h"
#include "shared/wire/limit.h"

enum {
    PEERS_FIRST = 64,
    FLIGHT_FIRST = 32,
    PROBE_MS = 250 /* how soon a connection that is gone turns out to be */
};

static size_t spread(uint64_t number)
{
    return (size_t)(number * 0x9e3779b97f4a7c15u >> 20);
}

/* ---- two tables of the same peers ------------------------------------------------------------ */

static struct peer **agent_place(const struct peers *peers, int64_t agent_id)
{
    for (size_t i = spread((uint64_t)agent_id);; i++) {
        struct peer **place = &peers->by_agent[i & (peers->agent_cap - 1)];

        if (!*place || (*place)->agent_id == agent_id)
            return place;
    }
}

static void agents_grow(struct peers *peers)
{
    struct peers old = *peers;

    peers->agent_cap = old.agent_cap ? 2 * old.agent_cap : PEERS_FIRST;
    peers->by_agent = mem_zeroed(peers->agent_cap, sizeof(struct peer *));
    for (size_t i = 0; i < old.agent_cap; i++)
        if (old.by_agent[i])
            *agent_place(peers, old.by_agent[i]->agent_id) = old.by_agent[i];
    free(old.by_agent);
}

static size_t conn_place(const struct peers *peers, uint64_t conn)
{
    size_t i = spread(conn);

    while (peers->by_conn[i & (peers->conn_cap - 1)]
           && peers->by_conn[i & (peers->conn_cap - 1)]->conn != conn)
        i++;
    return i & (peers->conn_cap - 1);
}

static void conns_grow(struct peers *peers)
{
    struct peers old = *peers;

    peers->conn_cap = old.conn_cap ? 2 * old.conn_cap : PEERS_FIRST;
    peers->by_conn = mem_zeroed(peers->conn_cap, sizeof(struct peer *));
    for (size_t i = 0; i < old.conn_cap; i++)
        if (old.by_conn[i])
            peers->by_conn[conn_place(peers, old.by_conn[i]->conn)] = old.by_conn[i];
    free(old.by_conn);
}

static void conn_add(struct peers *peers, struct peer *peer)
{
    if (2 * (peers->conn_count + 1) > peers->conn_cap)
        conns_grow(peers);
    peers->by_conn[conn_place(peers, peer->conn)] = peer;
    peers->conn_count++;
}

/* Closes the gap: whoever was pushed on by the one that leaves moves back. */
static void conn_remove(struct peers *peers, uint64_t conn)
{
    size_t mask = peers->conn_cap - 1;
    size_t gap = conn_place(peers, conn);

    assert(peers->by_conn[gap]);
    peers->by_conn[gap] = NULL;
    peers->conn_count--;
    for (size_t i = (gap + 1) & mask; peers->by_conn[i]; i = (i + 1) & mask) {
        struct peer *moved = peers->by_conn[i];

        peers->by_conn[i] = NULL;
        peers->by_conn[conn_place(peers, moved->conn)] = moved;
    }
}

struct peer *peer_find(const struct flow *flow, int64_t agent_id)
{
    return flow->peers.agent_cap ? *agent_place(&flow->peers, agent_id) : NULL;
}

struct peer *peer_of_conn(const struct flow *flow, uint64_t conn)
{
    return flow->peers.conn_cap ? flow->peers.by_conn[conn_place(&flow->peers, conn)] : NULL;
}

struct peer *peer_get(struct flow *flow, int64_t agent_id)
{
    struct peers *peers = &flow->peers;
    const struct agent_row *agent;
    struct peer *peer = peer_find(flow, agent_id);

    if (peer)
        return peer;
    agent = store_agent(flow->store, agent_id);
    if (!agent)
        return NULL;
    if (2 * (peers->agent_count + 1) > peers->agent_cap)
        agents_grow(peers);
    peer = mem_zeroed(1, sizeof *peer);
    peer->agent_id = agent_id;
    peer->mailbox.stream_id = agent->mailbox;
    *agent_place(peers, agent_id) = peer;
    peers->agent_count++;
    return peer;
}

static void readings_free(struct peer *peer)
{
    for (size_t i = 0; i < peer->channel_count; i++)
        free(peer->channels[i].flight.items);
    free(peer->channels);
    peer->channels = NULL;
    peer->channel_count = peer->channel_cap = peer->channel_turn = 0;
}

void peers_free(struct peers *peers)
{
    for (size_t i = 0; i < peers->agent_cap; i++)
        if (peers->by_agent[i]) {
            readings_free(peers->by_agent[i]);
            free(peers->by_agent[i]->mailbox.flight.items);
            free(peers->by_agent[i]);
        }
    free(peers->by_agent);
    free(peers->by_conn);
    *peers = (struct peers){ 0 };
}

static bool peer_silent(const struct flow *flow, const struct peer *peer)
{
    return flow->elapsed_ms - peer->heard_ms >= LIMIT_SILENCE_MS;
}

bool peer_online(const struct flow *flow, int64_t agent_id)
{
    const struct peer *peer = peer_find(flow, agent_id);

    return peer && peer->conn && !peer_silent(flow, peer);
}

size_t peers_online(const struct flow *flow)
{
    return flow->peers.conn_count;
}

void peers_known_each(struct flow *flow, void (*each)(struct peer *peer, void *ctx), void *ctx)
{
    /* By agent: that table does not move when a greeting ends. */
    for (size_t i = 0; i < flow->peers.agent_cap; i++)
        if (flow->peers.by_agent[i])
            each(flow->peers.by_agent[i], ctx);
}

void peers_each(struct flow *flow, void (*each)(struct peer *peer, void *ctx), void *ctx)
{
    for (size_t i = 0; i < flow->peers.agent_cap; i++)
        if (flow->peers.by_agent[i] && flow->peers.by_agent[i]->conn)
            each(flow->peers.by_agent[i], ctx);
}

/* ---- streams that it reads ------------------------------------------------------------------- */

struct reading *peer_reading(struct peer *peer, int64_t stream_id)
{
    if (peer->mailbox.stream_id == stream_id)
        return &peer->mailbox;
    for (size_t i = 0; i < peer->channel_count; i++)
        if (peer->channels[i].stream_id == stream_id)
            return &peer->channels[i];
    return NULL;
}

struct reading *peer_reading_add(struct peer *peer, int64_t stream_id, int64_t group_id,
                                 uint64_t cursor)
{
    struct reading *reading;

    if (peer->channel_count == peer->channel_cap) {
        peer->channel_cap = peer->channel_cap ? 2 * peer->channel_cap : 4;
        peer->channels = mem_resize(peer->channels, peer->channel_cap * sizeof *peer->channels);
    }
    reading = &peer->channels[peer->channel_count++];
    *reading = (struct reading){ .stream_id = stream_id,
                                 .group_id = group_id,
                                 .cursor = cursor,
                                 .delivered = cursor,
                                 .more = true };
    return reading;
}

void peer_reading_drop(struct flow *flow, struct peer *peer, int64_t stream_id)
{
    struct reading *reading = peer_reading(peer, stream_id);

    if (!reading || reading == &peer->mailbox)
        return;
    flight_land(flow, peer, reading, UINT64_MAX);
    free(reading->flight.items);
    *reading = peer->channels[--peer->channel_count];
}

bool peer_has_more(const struct peer *peer)
{
    bool more = peer->mailbox.more;

    for (size_t i = 0; i < peer->channel_count && !more; i++)
        more = peer->channels[i].more;
    return more;
}

/* ---- what is in flight ----------------------------------------------------------------------- */

static struct flight_item *flight_at(const struct flight *flight, size_t i)
{
    return &flight->items[(flight->first + i) & (flight->cap - 1)];
}

static void flight_grow(struct flight *flight)
{
    size_t cap = flight->cap ? 2 * flight->cap : FLIGHT_FIRST;
    struct flight_item *items = mem_alloc(cap * sizeof *items);

    for (size_t i = 0; i < flight->count; i++)
        items[i] = *flight_at(flight, i);
    free(flight->items);
    *flight = (struct flight){ items, 0, flight->count, cap };
}

void flight_add(struct flow *flow, struct peer *peer, struct reading *reading, uint64_t position,
                uint64_t bytes)
{
    struct flight *flight = &reading->flight;

    if (flight->count == flight->cap)
        flight_grow(flight);
    *flight_at(flight, flight->count++) = (struct flight_item){ position, bytes, ++peer->sent };
    peer->flight_count++;
    peer->flight_bytes += bytes;
    if (reading->group_id) {
        peer->channel_items++;
        peer->channel_bytes += bytes;
    }
    peer->queued_bytes += bytes;
    flow->queued_bytes += bytes;
    reading->delivered = position;
}

static void unqueue(struct flow *flow, struct peer *peer, uint64_t bytes)
{
    peer->queued_bytes -= bytes;
    flow->queued_bytes -= bytes;
}

static void prove(struct flow *flow, struct peer *peer, const struct flight *flight)
{
    for (size_t i = 0; i < flight->count; i++) {
        const struct flight_item *item = flight_at(flight, i);

        if (item->nth > peer->handed)
            break;
        if (item->nth > peer->proven)
            unqueue(flow, peer, item->bytes);
    }
}

void flight_prove(struct flow *flow, struct peer *peer)
{
    prove(flow, peer, &peer->mailbox.flight);
    for (size_t i = 0; i < peer->channel_count; i++)
        prove(flow, peer, &peer->channels[i].flight);
    peer->proven = peer->handed;
    peer->handed = peer->sent;
}

void flight_land(struct flow *flow, struct peer *peer, struct reading *reading, uint64_t position)
{
    struct flight *flight = &reading->flight;

    while (flight->count && flight_at(flight, 0)->position <= position) {
        const struct flight_item *item = flight_at(flight, 0);

        peer->flight_count--;
        peer->flight_bytes -= item->bytes;
        if (reading->group_id) {
            peer->channel_items--;
            peer->channel_bytes -= item->bytes;
        }
        if (item->nth > peer->proven)
            unqueue(flow, peer, item->bytes);
        flight->first = (flight->first + 1) & (flight->cap - 1);
        flight->count--;
    }
    if (position > reading->cursor)
        reading->cursor = position;
    if (reading->delivered < reading->cursor)
        reading->delivered = reading->cursor;
}

/* ---- lease and greeting ---------------------------------------------------------------------- */

enum err lease_check(struct flow *flow, const struct request *request,
                     const uint8_t instance[static 16], struct reply *reply)
{
    struct message probe = { .verb = VERB_NOTIFY };
    struct peer *peer = peer_get(flow, request->by.id);
    uint64_t rest_ms;

    if (!peer)
        return ERR_AUTH;
    if (!peer->has_lease || memcmp(peer->instance, instance, 16) == 0 || peer_silent(flow, peer))
        return ERR_OK;
    rest_ms = LIMIT_LEASE_MS - (flow->elapsed_ms - peer->heard_ms);
    /* Where nobody is any more, handing out fails, flow_disconnected() says so, and the next HELLO
     * is welcome.  So ask once, and let the newcomer come again soon. */
    if (peer->conn && peer->probed_ms == 0) {
        MESSAGE_SET(&probe, kind, NOTIFY_PROBE);
        reply_notify(reply, peer->conn, &probe);
        peer->probed_ms = flow->elapsed_ms ? flow->elapsed_ms : 1;
        rest_ms = rest_ms < PROBE_MS ? rest_ms : PROBE_MS;
    }
    return refuse_after(reply, ERR_LOCK_CONTENTION, rest_ms);
}

static bool read_stream(void *ctx, const struct stream_row *stream, const struct cursor_row *cursor)
{
    struct peer *peer = ctx;

    if (stream->kind == STREAM_CHANNEL)
        peer_reading_add(peer, stream->stream_id, stream->group_id, cursor->position);
    else
        peer->mailbox.cursor = peer->mailbox.delivered = cursor->position;
    return true;
}

enum err peer_greet(struct flow *flow, const struct request *request,
                    const uint8_t instance[static 16])
{
    struct peer *peer = peer_get(flow, request->by.id);
    struct cursor_row cursor;
    enum err e;

    if (!peer)
        return ERR_AUTH;
    e = store_cursor_get(flow->store, peer->mailbox.stream_id, peer->agent_id, &cursor);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
    peer_leave(flow, peer, true);
    e = store_reader_streams(flow->store, peer->agent_id, read_stream, peer);
    if (e != ERR_OK)
        return e;
    peer->has_lease = true;
    memcpy(peer->instance, instance, 16);
    peer->conn = request->by.conn;
    peer->heard_ms = flow->elapsed_ms;
    peer->probed_ms = 0;
    peer->credit = peer->credit_bytes = 0;
    peer->sent = peer->proven = peer->handed = 0;
    peer->mailbox.more = true;
    conn_add(&flow->peers, peer);
    return ERR_OK;
}

void peer_leave(struct flow *flow, struct peer *peer, bool lease_too)
{
    if (peer->conn) {
        conn_remove(&flow->peers, peer->conn);
        peer->conn = 0;
        peer->has_left = true;
    }
    unqueue(flow, peer, peer->queued_bytes);
    peer->mailbox.flight.first = peer->mailbox.flight.count = 0;
    peer->mailbox.delivered = peer->mailbox.cursor;
    readings_free(peer);
    peer->flight_count = peer->flight_bytes = 0;
    peer->channel_items = peer->channel_bytes = 0;
    if (lease_too)
        peer->has_lease = false;
    peer_unpark(flow, peer);
}

void peer_unpark(struct flow *flow, struct peer *peer)
{
    struct peer **at = &flow->peers.parked;

    if (!peer->parked.waits)
        return;
    while (*at != peer)
        at = &(*at)->next_parked;
    *at = peer->next_parked;
    peer->parked.waits = false;
}

void flow_disconnected(struct flow *flow, uint64_t conn)
{
    struct peer *peer = peer_of_conn(flow, conn);

    if (!peer)
        return;
    journal_gone(flow, peer);
    peer_leave(flow, peer, true);
}

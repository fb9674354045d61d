#include "broker/flow/channel.h"
#include "broker/flow/fetch.h"
#include "broker/flow/pick.h"
#include "broker/store/store.h"
#include "shared/base/crash.h"
#include "shared/wire/limit.h"

enum {
    QUEUED_BYTES_MOST = 128 << 20, /* in the sockets of all */
    QUEUED_BYTES_SURE = 1 << 20    /* for each, whatever others hold */
};

void wake_peer(struct flow *flow, struct peer *peer)
{
    if (peer->is_woken)
        return;
    peer->is_woken = true;
    peer->next_woken = flow->woken;
    flow->woken = peer;
}

void wake_agent(struct flow *flow, int64_t agent_id)
{
    struct peer *peer = peer_find(flow, agent_id);

    if (!peer || !peer->conn)
        return;
    peer->mailbox.more = true;
    wake_peer(flow, peer);
}

static uint64_t rest_of(uint64_t most, uint64_t used)
{
    return most > used ? most - used : 0;
}

/* What all sockets together may hold.  Nobody's slowness takes the last 1 MiB from another. */
static uint64_t socket_bytes(const struct flow *flow, const struct peer *peer)
{
    uint64_t common = rest_of(QUEUED_BYTES_MOST, flow->queued_bytes);
    uint64_t sure = rest_of(QUEUED_BYTES_SURE, peer->queued_bytes);

    return common < sure ? sure : common;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What may be delivered now. */
struct room {
    uint64_t items, bytes;
    bool first_may_exceed; /* nothing is in flight: one item, whatever its size */
};

static struct room mailbox_room(const struct flow *flow, const struct peer *peer)
{
    return (struct room){ .items = rest_of(peer->credit, peer->flight_count),
                          .bytes = least(rest_of(peer->credit_bytes, peer->flight_bytes),
                                         socket_bytes(flow, peer)),
                          .first_may_exceed = peer->flight_count == 0 };
}

/* Channels leave a quarter to the mailbox, so that keys and events pass a busy one. */
static struct room channel_room(const struct flow *flow, const struct peer *peer)
{
    uint64_t kept
        = peer->credit / 4 > LIMIT_CREDIT_MAILBOX ? peer->credit / 4 : LIMIT_CREDIT_MAILBOX;
    struct room room = mailbox_room(flow, peer);

    room.items = least(room.items, rest_of(rest_of(peer->credit, kept), peer->channel_items));
    room.bytes = least(room.bytes,
                       rest_of(peer->credit_bytes - peer->credit_bytes / 4, peer->channel_bytes));
    return room;
}

static bool is_room(const struct room *room)
{
    return room->items > 0 && (room->first_may_exceed || room->bytes > 0);
}

/* The stream that is next, and the room for it: the mailbox first, then the channels in turn.
 * NULL: there is nothing, or no room. */
static struct reading *next_reading(const struct flow *flow, struct peer *peer, struct room *room)
{
    if (!peer->conn || flow->elapsed_ms - peer->heard_ms >= LIMIT_SILENCE_MS)
        return NULL;
    *room = mailbox_room(flow, peer);
    if (peer->mailbox.more && is_room(room))
        return &peer->mailbox;
    *room = channel_room(flow, peer);
    for (size_t i = 0; i < peer->channel_count && is_room(room); i++) {
        size_t at = (peer->channel_turn + i) % peer->channel_count;

        if (peer->channels[at].more) {
            peer->channel_turn = at + 1;
            return &peer->channels[at];
        }
    }
    return NULL;
}

static bool has_room(const struct flow *flow, struct peer *peer)
{
    size_t turn = peer->channel_turn;
    struct room room;
    bool has = next_reading(flow, peer, &room);

    peer->channel_turn = turn;
    return has;
}

/* One DELIVER of this stream with as many items as fit; *did: there was one. */
static enum err deliver_stream(struct flow *flow, struct peer *peer, struct reading *reading,
                               const struct room *room, bool *did)
{
    struct message deliver = { .verb = VERB_DELIVER };
    struct outgoing *out = outgoing_new(OUT_MESSAGE, peer->conn);
    struct pick pick = { .max = room->items,
                         .max_bytes = room->bytes,
                         .first_may_exceed = room->first_may_exceed };
    enum err e = pick_stream(flow, peer->agent_id, reading, &pick);

    pick.after = reading->delivered;
    if (e == ERR_OK)
        e = pick_items(flow, &pick, out);
    *did = e == ERR_OK && pick.count > 0;
    if (e == ERR_OK)
        reading->more = !pick.exhausted;
    if (!*did) {
        outgoing_free(&out);
        return e;
    }
    CRASH_POINT("deliver.selected");
    for (size_t i = 0; i < pick.count; i++)
        flight_add(flow, peer, reading, pick.items[i].position, pick.items[i].bytes);
    MESSAGE_SET(&deliver, stream, pick.stream);
    MESSAGE_SET(&deliver, items, list_of(&flow->items));
    message_encode(&deliver, &out->head);
    outgoing_put(&flow->turn.out, out);
    return ERR_OK;
}

/* One DELIVER, if there is something and room; *did: there was. */
static enum err deliver_one(struct flow *flow, struct peer *peer, bool *did)
{
    struct reading *reading;
    struct room room;
    enum err e = ERR_OK;

    *did = false;
    /* What is next in a stream may be too large for the room: then another channel has its turn. */
    for (size_t tries = peer->channel_count + 2; e == ERR_OK && !*did && tries; tries--) {
        int64_t stream_id;

        reading = next_reading(flow, peer, &room);
        if (!reading)
            break;
        stream_id = reading->stream_id;

        e = deliver_stream(flow, peer, reading, &room, did);
        if (e == ERR_NOT_MEMBER) { /* nobody has said so, but it may not read this any more */
            peer_reading_drop(flow, peer, stream_id);
            e = ERR_OK;
        }
    }
    return e;
}

/* One DELIVER for each in turn, until nobody has both mail and credit. */
static enum err deliver_all(struct flow *flow, struct peer *woken)
{
    enum err e = ERR_OK;

    while (woken && e == ERR_OK) {
        struct peer *again = NULL;

        while (woken && e == ERR_OK) {
            struct peer *peer = woken;
            bool did = false;

            woken = peer->next_woken;
            if (peer->parked.waits)
                e = fetch_answer_parked(flow, peer, false);
            if (e == ERR_OK)
                e = deliver_one(flow, peer, &did);
            if (did && has_room(flow, peer)) {
                peer->next_woken = again;
                again = peer;
            }
        }
        woken = again;
    }
    return e;
}

/* What is marked as in flight did not leave: those agents start over with HELLO. */
static void deliver_undo(struct flow *flow)
{
    for (const struct outgoing *out = flow->turn.out.first; out; out = out->next) {
        struct peer *peer = peer_of_conn(flow, out->conn);

        if (out->kind == OUT_MESSAGE && peer)
            peer_leave(flow, peer, true);
    }
}

/* Those who were woken and can be given something. */
static struct peer *take_woken(struct flow *flow)
{
    struct peer *peer = flow->woken, *ready = NULL;

    flow->woken = NULL;
    while (peer) {
        struct peer *next = peer->next_woken;

        peer->is_woken = false;
        if (peer->parked.waits || has_room(flow, peer)) {
            peer->next_woken = ready;
            ready = peer;
        }
        peer = next;
    }
    return ready;
}

enum err deliver_woken(struct flow *flow)
{
    enum err e = channels_wake(flow);
    struct peer *ready = take_woken(flow);

    if (!ready || e != ERR_OK)
        return e;
    e = turn_begin(flow);
    if (e == ERR_OK)
        e = deliver_all(flow, ready);
    if (e == ERR_OK) {
        CRASH_POINT("deliver.handed");
    } else {
        deliver_undo(flow);
    }
    e = turn_end(flow, e);
    if (e == ERR_OK
        && (flow->woken || flow->woken_groups)) /* a repair has put notices into other mailboxes */
        return deliver_woken(flow);
    return e;
}

#include "broker/flow/flow_internal.h"
#include "broker/flow/fetch.h"
#include "broker/flow/pick.h"
#include "broker/store/store.h"
#include "shared/base/crash.h"
#include "shared/wire/limit.h"

enum {
    QUEUED_BYTES_MOST = 128 << 20, /* in the sockets of all */
    QUEUED_BYTES_SURE = 1 << 20    /* for each, whatever others hold */
};

static const uint8_t own_mailbox[16];

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
    peer->more = true;
    wake_peer(flow, peer);
}

static uint64_t rest_of(uint64_t most, uint64_t used)
{
    return most > used ? most - used : 0;
}

/* Bytes that may be delivered now: its credit, and what all sockets together may hold.  Nobody's
 * slowness takes the last 1 MiB from another. */
static uint64_t room_bytes(const struct flow *flow, const struct peer *peer)
{
    uint64_t own = rest_of(peer->credit_bytes, peer->flight_bytes);
    uint64_t common = rest_of(QUEUED_BYTES_MOST, flow->queued_bytes);
    uint64_t sure = rest_of(QUEUED_BYTES_SURE, peer->queued_bytes);

    if (common < sure)
        common = sure;
    return own < common ? own : common;
}

static bool has_room(const struct flow *flow, const struct peer *peer)
{
    return peer->conn && peer->more && peer->flight.count < peer->credit
           && (peer->flight.count == 0 || room_bytes(flow, peer) > 0)
           && flow->elapsed_ms - peer->heard_ms < LIMIT_SILENCE_MS;
}

/* One DELIVER with as many items as fit; *did: there was one. */
static enum err deliver_one(struct flow *flow, struct peer *peer, bool *did)
{
    struct message deliver = { .verb = VERB_DELIVER };
    struct outgoing *out = outgoing_new(OUT_MESSAGE, peer->conn);
    struct pick pick;
    enum err e;

    pick.stream_id = peer->mailbox;
    pick.after = peer->delivered;
    pick.max = peer->credit - peer->flight.count;
    pick.max_bytes = room_bytes(flow, peer);
    pick.first_may_exceed = peer->flight.count == 0;
    e = pick_items(flow, &pick, out);
    *did = e == ERR_OK && pick.count > 0;
    if (e == ERR_OK)
        peer->more = !pick.exhausted;
    if (!*did) {
        outgoing_free(&out);
        return e;
    }
    CRASH_POINT("deliver.selected");
    for (size_t i = 0; i < pick.count; i++)
        flight_add(flow, peer, pick.items[i].position, pick.items[i].bytes);
    MESSAGE_SET(&deliver, stream, own_mailbox);
    MESSAGE_SET(&deliver, items, list_of(&flow->items));
    message_encode(&deliver, &out->head);
    outgoing_put(&flow->turn.out, out);
    return ERR_OK;
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
            if (e == ERR_OK && has_room(flow, peer))
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
    struct peer *ready = take_woken(flow);
    enum err e;

    if (!ready)
        return ERR_OK;
    e = turn_begin(flow);
    if (e == ERR_OK)
        e = deliver_all(flow, ready);
    if (e == ERR_OK) {
        CRASH_POINT("deliver.handed");
    } else {
        deliver_undo(flow);
    }
    e = turn_end(flow, e);
    if (e == ERR_OK && flow->woken) /* a repair has put notices into other mailboxes */
        return deliver_woken(flow);
    return e;
}

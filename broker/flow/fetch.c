#include "broker/flow/fetch.h"

#include "broker/flow/channel.h"
#include "broker/flow/pick.h"
#include "shared/wire/limit.h"

static const uint8_t own_mailbox[16];

/* The items of one stream: the answer's body and parts; *found: it has items. */
static enum err fetch_stream(struct flow *flow, const struct peer *peer,
                             const struct reading *reading, const struct parked *asked,
                             struct message *message, struct outgoing *out, bool *found)
{
    struct pick pick
        = { .max = asked->max, .max_bytes = asked->max_bytes, .first_may_exceed = true };
    enum err e = pick_stream(flow, peer->agent_id, reading, &pick);

    pick.after = asked->after > reading->cursor ? asked->after : reading->cursor;
    if (e == ERR_OK)
        e = pick_items(flow, &pick, out);
    if (e != ERR_OK)
        return e;
    *found = pick.count > 0;
    if (*found || asked->stream_id)
        MESSAGE_SET(message, stream, pick.stream);
    MESSAGE_SET(message, items, list_of(&flow->items));
    return ERR_OK;
}

/* The stream that was asked for, or the first one with something, the mailbox first.  A channel
 * that it reads no longer has nothing for it. */
static enum err fetch_fill(struct flow *flow, struct peer *peer, const struct parked *asked,
                           struct message *message, struct outgoing *out, bool *found)
{
    enum err e = ERR_OK;

    *found = false;
    list_clear(&flow->items);
    MESSAGE_SET(message, stream, own_mailbox);
    MESSAGE_SET(message, items, list_of(&flow->items));
    if (!asked->stream_id || asked->stream_id == peer->mailbox.stream_id)
        e = fetch_stream(flow, peer, &peer->mailbox, asked, message, out, found);
    for (size_t i = 0; i < peer->channel_count && e == ERR_OK && !*found; i++) {
        if (asked->stream_id && asked->stream_id != peer->channels[i].stream_id)
            continue;
        e = fetch_stream(flow, peer, &peer->channels[i], asked, message, out, found);
        if (e == ERR_NOT_MEMBER)
            e = ERR_OK;
    }
    return e;
}

/* Which stream is asked for; 0: any. */
static enum err fetch_which(struct flow *flow, const struct message *asked, struct peer *peer,
                            int64_t *stream_id)
{
    struct group *group;
    struct reading *reading;
    enum err e;

    *stream_id = 0;
    if (!MESSAGE_HAS(asked, stream))
        return ERR_OK;
    *stream_id = peer->mailbox.stream_id;
    if (memcmp(asked->stream, own_mailbox, 16) == 0)
        return ERR_OK;
    e = channel_reading(flow, peer, asked->stream, &group, &reading);
    if (e == ERR_OK)
        *stream_id = reading->stream_id;
    return e;
}

static void park(struct flow *flow, struct peer *peer, const struct parked *asked)
{
    peer->parked = *asked;
    peer->parked.waits = true;
    peer->next_parked = flow->peers.parked;
    flow->peers.parked = peer;
    if (asked->until_ms < flow->parked_until_ms)
        flow->parked_until_ms = asked->until_ms;
}

/* An ACK of the same turn moves the cursor before memory knows of it: then items that are settled
 * are simply not there any more. */
enum err fetch_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *asked = &request->message;
    struct peer *peer = peer_of_conn(flow, request->by.conn);
    uint64_t wait_ms = MESSAGE_HAS(asked, wait_ms) ? asked->wait_ms : 0;
    struct parked wanted = { .conn = request->by.conn,
                             .rid = asked->rid,
                             .after = MESSAGE_HAS(asked, after) ? asked->after : 0,
                             .max = asked->max,
                             .max_bytes = asked->max_bytes };
    bool found;
    enum err e = fetch_which(flow, asked, peer, &wanted.stream_id);

    if (e != ERR_OK)
        return e;
    if (peer->parked.waits)
        return ERR_BUSY;
    reply->out = outgoing_new(OUT_MESSAGE, request->by.conn);
    e = fetch_fill(flow, peer, &wanted, &reply->message, reply->out, &found);
    if (e != ERR_OK || found || wait_ms == 0)
        return e;
    outgoing_free(&reply->out);
    reply->parked = true;
    wanted.until_ms
        = flow->elapsed_ms + (wait_ms < LIMIT_FETCH_WAIT_MS ? wait_ms : LIMIT_FETCH_WAIT_MS);
    park(flow, peer, &wanted);
    return ERR_OK;
}

enum err fetch_answer_parked(struct flow *flow, struct peer *peer, bool now)
{
    struct message message = { .verb = VERB_FETCH, .reply = true, .rid = peer->parked.rid };
    struct outgoing *out = outgoing_new(OUT_MESSAGE, peer->parked.conn);
    bool found;
    enum err e = fetch_fill(flow, peer, &peer->parked, &message, out, &found);

    if (e != ERR_OK || (!found && !now)) {
        outgoing_free(&out);
        return e;
    }
    message_encode(&message, &out->head);
    outgoing_put(&flow->turn.out, out);
    peer_unpark(flow, peer);
    return ERR_OK;
}

enum err fetch_end_overdue(struct flow *flow)
{
    struct peer *peer = flow->peers.parked;
    enum err e = ERR_OK;

    if (flow->parked_until_ms > flow->elapsed_ms)
        return ERR_OK;
    flow->parked_until_ms = UINT64_MAX;
    while (peer && e == ERR_OK) {
        struct peer *next = peer->next_parked;

        if (peer->parked.until_ms <= flow->elapsed_ms)
            e = fetch_answer_parked(flow, peer, true);
        else if (peer->parked.until_ms < flow->parked_until_ms)
            flow->parked_until_ms = peer->parked.until_ms;
        peer = next;
    }
    return e;
}

#include "broker/flow/channel.h"
#include "broker/flow/cover.h"
#include "broker/flow/shelf.h"
#include "broker/store/store.h"
#include "shared/base/crash.h"
#include "shared/wire/limit.h"

static const uint8_t own_mailbox[16];

/* An ACK and the stream that it is about. */
struct acking {
    struct flow *flow;
    const struct request *request;
    struct peer *peer;
    int64_t stream_id;
    struct group *group; /* whose channel; NULL: the mailbox */
    struct cursor_row cursor;
    struct covers covers;
    /* while its rows are passed */
    uint64_t rows, frames, bytes, last;
    enum err err;
};

static bool settle_row(void *ctx, const struct frame_row *row)
{
    struct acking *acking = ctx;

    if (acking->rows++ == LIMIT_ACK_ITEMS)
        acking->err = ERR_RECEIPT;
    else
        acking->err = covers_add(&acking->covers, row);
    if (acking->err != ERR_OK)
        return false;
    if (!acking->group)
        settlement_add(&acking->flow->settlement, row);
    acking->frames += row->kind < ITEM_RECEIPT;
    acking->bytes += row->len;
    acking->last = row->position;
    return true;
}

/* The one pass over what is acknowledged. */
static enum err ack_pass(struct acking *acking)
{
    struct flow *flow = acking->flow;
    uint64_t upto = acking->request->message.position;
    enum err e;

    settlement_clear(&flow->settlement);
    if (acking->group)
        e = shelf_list(flow, acking->stream_id, acking->cursor.position, upto, LIMIT_ACK_ITEMS + 1,
                       settle_row, acking);
    else
        e = store_frame_list(flow->store, acking->stream_id, acking->cursor.position, upto,
                             LIMIT_ACK_ITEMS + 1, settle_row, acking);
    return e == ERR_OK ? acking->err : e;
}

/* Every item up to the position is covered exactly once, and the position is an item. */
static enum err ack_verify(struct acking *acking)
{
    const struct request *request = acking->request;
    enum err e;

    if (request->verdict != ERR_OK)
        return ERR_RECEIPT;
    e = covers_open(&acking->covers, acking->flow, &request->by, acking->group,
                    &request->message.receipts);
    if (e != ERR_OK)
        return e == ERR_SCHEMA ? ERR_RECEIPT : e;
    e = ack_pass(acking);
    if (e != ERR_OK)
        return e;
    return acking->last == request->message.position ? covers_close(&acking->covers) : ERR_RECEIPT;
}

/* Senders get the recipient's word as an item; the proof stays here. */
static enum err receipts_put(struct flow *flow, const struct request *request,
                             const struct covers *covers)
{
    for (size_t i = 0; i < covers->count; i++) {
        const struct cover *cover = &covers->at[i];
        uint8_t bytes[RECEIPT_SIZE + 64];
        enum err e;

        if (cover == covers->cursor)
            continue;
        memcpy(bytes, cover->preimage, RECEIPT_SIZE);
        memcpy(bytes + RECEIPT_SIZE, cover->sig, 64);
        e = mailbox_put_control(flow, cover->sender_id, ITEM_RECEIPT, cover->scope_id,
                                request->by.id, bytes_of(bytes, sizeof bytes));
        if (e != ERR_OK)
            return e;
        CRASH_POINT("ack.receipt_stored");
    }
    return ERR_OK;
}

static enum err cursor_put(const struct acking *acking)
{
    const struct cover *cover = acking->covers.cursor;
    uint8_t bytes[RECEIPT_SIZE + 64];
    struct bytes proof = { 0 };

    if (cover) {
        memcpy(bytes, cover->preimage, RECEIPT_SIZE);
        memcpy(bytes + RECEIPT_SIZE, cover->sig, 64);
        proof = bytes_of(bytes, sizeof bytes);
    }
    return store_cursor_move(acking->flow->store, acking->stream_id, acking->peer->agent_id,
                             acking->request->message.position, acking->flow->now_ms, proof);
}

/* A mailbox's rows go; a channel's go when its other readers are past them, too. */
static enum err ack_proceed(struct acking *acking)
{
    struct flow *flow = acking->flow;
    uint64_t position = acking->request->message.position;
    struct group *group = acking->group;
    enum err e = ERR_OK;

    if (!group)
        e = store_settle(flow->store, acking->stream_id, position, &flow->settlement);
    if (e == ERR_OK)
        e = cursor_put(acking);
    if (e == ERR_OK)
        e = receipts_put(flow, acking->request, &acking->covers);
    if (e != ERR_OK)
        return e;
    if (group && (group->low == 0 || acking->cursor.position <= group->low))
        channel_moved(flow, group);
    flow->turn.counted.frames_out += acking->frames;
    flow->turn.counted.bytes_out += acking->bytes;
    turn_note_acked(flow, acking->peer, acking->stream_id, position);
    return ERR_OK;
}

static enum err ack_answer(struct reply *reply, uint64_t position)
{
    MESSAGE_SET(reply_message(reply), position, position);
    return ERR_OK;
}

/* Which stream, and how far its reader has come.  ERR_NOT_MEMBER. */
static enum err ack_find(struct acking *acking)
{
    const struct message *asked = &acking->request->message;
    enum err e = ERR_OK;

    acking->group = NULL;
    acking->stream_id = acking->peer->mailbox.stream_id;
    if (memcmp(asked->stream, own_mailbox, 16) != 0) {
        e = group_find(acking->flow, asked->stream, &acking->group);
        if (e == ERR_OK)
            acking->stream_id = acking->group->row.stream_id;
    }
    if (e == ERR_OK)
        e = store_cursor_get(acking->flow->store, acking->stream_id, acking->peer->agent_id,
                             &acking->cursor);
    return e == ERR_NOT_FOUND ? ERR_NOT_MEMBER : e;
}

/* The cases of docs/protocol.md 6.5, from the top. */
enum err ack_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *asked = &request->message;
    struct acking acking;
    enum err e;

    acking.flow = flow;
    acking.request = request;
    acking.peer = peer_of_conn(flow, request->by.conn);
    acking.rows = acking.frames = acking.bytes = acking.last = 0;
    acking.err = ERR_OK;
    e = ack_find(&acking);
    if (e != ERR_OK)
        return e;
    if (asked->position <= acking.cursor.position)
        return ack_answer(reply, acking.cursor.position);
    if (asked->after != acking.cursor.position) {
        MESSAGE_SET(refuse_message(reply), position, acking.cursor.position);
        return ERR_CONFLICT;
    }
    e = ack_verify(&acking);
    if (e != ERR_OK)
        return e;
    CRASH_POINT("ack.verified");
    e = ack_proceed(&acking);
    return e == ERR_OK ? ack_answer(reply, asked->position) : e;
}

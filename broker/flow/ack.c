#include "broker/flow/cover.h"
#include "broker/store/store.h"
#include "shared/base/crash.h"
#include "shared/wire/limit.h"

static const uint8_t own_mailbox[16];

/* The one pass over what is being settled. */
struct settling {
    struct covers *covers;
    struct settlement *settlement;
    uint64_t last;
    enum err err;
};

static bool settle_row(void *ctx, const struct frame_row *row)
{
    struct settling *settling = ctx;

    if (settling->settlement->rows == LIMIT_ACK_ITEMS)
        settling->err = ERR_RECEIPT;
    else
        settling->err = covers_add(settling->covers, row);
    if (settling->err != ERR_OK)
        return false;
    settlement_add(settling->settlement, row);
    settling->last = row->position;
    return true;
}

/* Every item up to the position is covered exactly once, and the position is an item. */
static enum err ack_verify(struct flow *flow, const struct request *request,
                           const struct peer *peer, uint64_t cursor, struct covers *covers)
{
    const struct message *asked = &request->message;
    struct settling settling = { .covers = covers, .settlement = &flow->settlement };
    enum err e;

    if (request->verdict != ERR_OK)
        return ERR_RECEIPT;
    e = covers_open(covers, flow, &request->by, &asked->receipts);
    if (e != ERR_OK)
        return e == ERR_SCHEMA ? ERR_RECEIPT : e;
    settlement_clear(&flow->settlement);
    e = store_frame_list(flow->store, peer->mailbox, cursor, asked->position, LIMIT_ACK_ITEMS + 1,
                         settle_row, &settling);
    if (e != ERR_OK)
        return e;
    if (settling.err != ERR_OK)
        return settling.err;
    return settling.last == asked->position ? covers_close(covers) : ERR_RECEIPT;
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

static enum err cursor_put(struct flow *flow, const struct peer *peer, uint64_t position,
                           const struct cover *cover)
{
    uint8_t bytes[RECEIPT_SIZE + 64];
    struct bytes proof = { 0 };

    if (cover) {
        memcpy(bytes, cover->preimage, RECEIPT_SIZE);
        memcpy(bytes + RECEIPT_SIZE, cover->sig, 64);
        proof = bytes_of(bytes, sizeof bytes);
    }
    return store_cursor_move(flow->store, peer->mailbox, peer->agent_id, position, flow->now_ms,
                             proof);
}

static void note_acked(struct flow *flow, struct peer *peer, uint64_t position)
{
    struct turn *turn = &flow->turn;

    if (turn->acked_count == turn->acked_cap) {
        turn->acked_cap = turn->acked_cap ? 2 * turn->acked_cap : 64;
        turn->acked = mem_resize(turn->acked, turn->acked_cap * sizeof *turn->acked);
    }
    turn->acked[turn->acked_count++] = (struct acked){ peer, position };
}

static enum err ack_proceed(struct flow *flow, const struct request *request, struct peer *peer,
                            const struct covers *covers)
{
    const struct settlement *settlement = &flow->settlement;
    uint64_t position = request->message.position;
    enum err e = store_settle(flow->store, peer->mailbox, position, settlement);

    if (e == ERR_OK)
        e = cursor_put(flow, peer, position, covers->cursor);
    if (e == ERR_OK)
        e = receipts_put(flow, request, covers);
    if (e != ERR_OK)
        return e;
    flow->turn.counted.frames_out += settlement->rows - settlement->control;
    flow->turn.counted.bytes_out += settlement->bytes;
    note_acked(flow, peer, position);
    return ERR_OK;
}

static enum err ack_answer(struct reply *reply, uint64_t position)
{
    MESSAGE_SET(reply_message(reply), position, position);
    return ERR_OK;
}

/* The cases of docs/protocol.md 6.5, from the top. */
enum err ack_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *asked = &request->message;
    struct peer *peer = peer_of_conn(flow, request->by.conn);
    struct cursor_row cursor;
    struct covers covers;
    enum err e;

    if (memcmp(asked->stream, own_mailbox, 16) != 0)
        return ERR_NOT_MEMBER;
    e = store_cursor_get(flow->store, peer->mailbox, peer->agent_id, &cursor);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_NOT_MEMBER : e;
    if (asked->position <= cursor.position)
        return ack_answer(reply, cursor.position);
    if (asked->after != cursor.position) {
        MESSAGE_SET(refuse_message(reply), position, cursor.position);
        return ERR_CONFLICT;
    }
    e = ack_verify(flow, request, peer, cursor.position, &covers);
    if (e != ERR_OK)
        return e;
    CRASH_POINT("ack.verified");
    e = ack_proceed(flow, request, peer, &covers);
    return e == ERR_OK ? ack_answer(reply, asked->position) : e;
}

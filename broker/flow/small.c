/* The verbs that need a line or two: CREDIT, PING, BYE. */
#include "broker/flow/flow_internal.h"
#include "broker/store/invites.h"
#include "shared/wire/limit.h"

static uint64_t at_most(uint64_t v, uint64_t most)
{
    return v < most ? v : most;
}

enum err credit_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct peer *peer = peer_of_conn(flow, request->by.conn);

    (void)reply;
    peer->credit = at_most(request->message.credit, LIMIT_CREDIT_MAX);
    peer->credit_bytes = at_most(request->message.credit_bytes, LIMIT_CREDIT_BYTES_MAX);
    peer->mailbox.more = true;
    wake_peer(flow, peer);
    return ERR_OK;
}

/* Whoever holds an invite may ask for which name it was made: the invite's text does not say. */
enum err ping_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct invite_row invite;
    enum err e;

    MESSAGE_SET(reply_message(reply), ts, flow->now_ms);
    if (request->by.kind != BY_INVITE)
        return ERR_OK;
    e = store_invite_get(flow->store, request->by.id, &invite);
    if (e == ERR_OK && invite.name[0])
        MESSAGE_SET(reply_message(reply), name, reply_keep(reply, bytes_of_text(invite.name)));
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err bye_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct peer *peer = peer_of_conn(flow, request->by.conn);

    (void)reply;
    if (peer)
        peer_leave(flow, peer, true);
    return ERR_OK;
}

#include <assert.h>

#include "broker/flow/flow_internal.h"
#include "broker/store/store.h"

enum { PARTS_MAX = sizeof((struct outgoing *)0)->part_len / sizeof(uint32_t) };

struct message *reply_message(struct reply *reply)
{
    return &reply->message;
}

struct message *refuse_message(struct reply *reply)
{
    return &reply->refusal;
}

uint8_t *reply_memory(struct reply *reply, size_t len)
{
    return arena_take(&reply->flow->turn.arena, len);
}

struct bytes reply_keep(struct reply *reply, struct bytes from)
{
    uint8_t *at = reply_memory(reply, from.len);

    if (from.len)
        memcpy(at, from.at, from.len);
    return bytes_of(at, from.len);
}

/* The maker's memory is kept over turns. */
struct list_maker *reply_list(struct reply *reply)
{
    struct turn *turn = &reply->flow->turn;
    struct list_maker *list;

    /* A handler makes few lists; they must not move while it holds one. */
    if (!turn->lists)
        turn->lists = mem_zeroed(REPLY_LISTS, sizeof *turn->lists);
    assert(turn->list_count < REPLY_LISTS);
    list = &turn->lists[turn->list_count++];
    list_clear(list);
    return list;
}

void reply_part(struct reply *reply, struct bytes part)
{
    struct outgoing *out = reply->out;

    if (out->part_count == PARTS_MAX)
        return;
    outgoing_add(out, part);
}

enum err refuse_after(struct reply *reply, enum err e, uint64_t after_ms)
{
    MESSAGE_SET(&reply->refusal, after_ms, after_ms < UINT32_MAX ? after_ms : UINT32_MAX);
    return e;
}

void reply_key_add(struct reply *reply, const uint8_t key[static 32], bool is_invite, int64_t id,
                   const uint8_t *aid, const uint8_t *identity_key)
{
    struct outgoing *out = outgoing_new(OUT_KEY_ADD, 0);

    memcpy(out->key, key, 32);
    out->is_invite = is_invite;
    out->id = id;
    if (aid)
        memcpy(out->aid, aid, 32);
    if (identity_key)
        memcpy(out->identity_key, identity_key, 32);
    outgoing_put(&reply->before, out);
}

void reply_key_drop(struct reply *reply, const uint8_t key[static 32])
{
    struct outgoing *out = outgoing_new(OUT_KEY_DROP, 0);

    memcpy(out->key, key, 32);
    outgoing_put(&reply->before, out);
}

void reply_key_revoke(struct reply *reply, const uint8_t key[static 32])
{
    struct outgoing *out = outgoing_new(OUT_KEY_DROP, 0);

    memcpy(out->key, key, 32);
    out->revoked = true;
    outgoing_put(&reply->kicks, out);
}

void reply_kick(struct reply *reply, uint64_t conn)
{
    outgoing_put(&reply->kicks, outgoing_new(OUT_KICK, conn));
}

void reply_notify(struct reply *reply, uint64_t conn, const struct message *notify)
{
    outgoing_put(&reply->before, outgoing_message(conn, notify));
}

struct notify_call {
    struct reply *reply;
    const struct message *notify;
};

static void notify_one(struct peer *peer, void *ctx)
{
    const struct notify_call *call = ctx;

    reply_notify(call->reply, peer->conn, call->notify);
}

void reply_notify_all(struct reply *reply, const struct message *notify)
{
    struct notify_call call = { reply, notify };

    peers_each(reply->flow, notify_one, &call);
}

void reply_notify_agent(struct reply *reply, int64_t agent_id, const struct message *notify)
{
    const struct peer *peer = peer_find(reply->flow, agent_id);

    if (peer && peer->conn)
        reply_notify(reply, peer->conn, notify);
}

void reply_operator(struct reply *reply, struct bytes lines, bool last)
{
    struct outgoing *out = outgoing_new(OUT_OPERATOR, reply->request->by.conn);

    buf_append(&out->head, lines.at, lines.len);
    out->last = last;
    outgoing_put(&reply->before, out);
}

void reply_order(struct reply *reply, enum outgoing_kind order)
{
    outgoing_put(&reply->kicks, outgoing_new(order, reply->request->by.conn));
}

enum err rate_check(struct reply *reply, enum rate_kind kind, int64_t a, int64_t b,
                    const struct rate_limit *limit)
{
    uint64_t after_ms;

    if (rate_take(&reply->flow->rates, kind, a, b, limit, reply->flow->elapsed_ms, &after_ms))
        return ERR_OK;
    return refuse_after(reply, ERR_RATE, after_ms);
}

enum err space_check(struct reply *reply)
{
    return store_accepting(reply->flow->store) ? ERR_OK : ERR_DISK;
}

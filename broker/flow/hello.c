/*
 * hello - an agent greets: lease, certificate, where its streams stand, what it has to obey.
 */
#include "broker/controller/controller.h"
#include "broker/flow/directory.h"
#include "broker/flow/hints.h"
#include "broker/store/groups.h"
#include "broker/store/log.h"
#include "shared/wire/limit.h"

#define PROTOCOL     1
#define STREAMS_MOST (1 + LIMIT_GROUPS_MAX) /* of one answer */

static enum err hello_check(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    uint64_t apart = m->ts > flow->now_ms ? m->ts - flow->now_ms : flow->now_ms - m->ts;

    if (m->min > PROTOCOL || m->version < PROTOCOL) {
        MESSAGE_SET(refuse_message(reply), min, PROTOCOL);
        MESSAGE_SET(refuse_message(reply), version, PROTOCOL);
        return ERR_VERSION;
    }
    if (apart > LIMIT_FRESH_MS) {
        MESSAGE_SET(refuse_message(reply), ts, flow->now_ms);
        return ERR_STALE_TS;
    }
    return lease_check(flow, request, m->instance, reply);
}

static void add_limits(struct flow *flow, struct reply *reply)
{
    const struct flow_settings *s = &flow->settings;
    const struct {
        enum wire_limit number;
        uint64_t value;
    } limits[] = {
        { WIRE_LIMIT_REQUEST_BYTES, s->request_bytes },
        { WIRE_LIMIT_REQUESTS, s->requests },
        { WIRE_LIMIT_REQUESTS_OPEN, s->requests_open },
        { WIRE_LIMIT_FRAME_LIFE, s->frame_ttl_max_ms },
        { WIRE_LIMIT_GROUP_LIFE,
          s->frame_ttl_max_ms < LIMIT_GROUP_LIFE_MS ? s->frame_ttl_max_ms : LIMIT_GROUP_LIFE_MS },
        { WIRE_LIMIT_UNANSWERED, LIMIT_UNANSWERED },
        { WIRE_LIMIT_UNANSWERED_BYTES, LIMIT_UNANSWERED_BYTES },
        { WIRE_LIMIT_RATE, s->send_per_s },
        { WIRE_LIMIT_BURST, s->send_burst },
        { WIRE_LIMIT_PAIR_FRAMES, s->pair_frames },
        { WIRE_LIMIT_PAIR_BYTES, s->pair_bytes },
        { WIRE_LIMIT_QUEUE_FRAMES, s->queue_frames },
        { WIRE_LIMIT_QUEUE_BYTES, s->queue_bytes },
        { WIRE_LIMIT_CREDIT, LIMIT_CREDIT_MAX },
        { WIRE_LIMIT_CREDIT_BYTES, LIMIT_CREDIT_BYTES_MAX },
        { WIRE_LIMIT_MEMBERS, s->group_members },
        { WIRE_LIMIT_BLOB, s->blob_size_max },
        { WIRE_LIMIT_BLOB_AGENT, s->blob_agent_bytes },
        { WIRE_LIMIT_BLOB_LIFE, s->blob_ttl_ms },
    };
    struct list_maker *list = reply_list(reply);

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        list_add_limit(list, limits[i].number, limits[i].value);
    MESSAGE_SET(reply_message(reply), limits, list_of(list));
}

struct adding {
    struct flow *flow;
    struct list_maker *list;
    size_t count;
    enum err err;
};

/* What lies behind the cursor is not counted: no more than this. */
static uint64_t waiting_most(const struct stream_row *stream, const struct cursor_row *cursor)
{
    uint64_t apart
        = stream->last_position > cursor->position ? stream->last_position - cursor->position : 0;

    return stream->frames < apart ? stream->frames : apart;
}

static bool add_stream(void *ctx, const struct stream_row *stream, const struct cursor_row *cursor)
{
    static const uint8_t mailbox[16];
    struct adding *adding = ctx;
    struct wire_stream item
        = { mailbox, cursor->position, stream->last_position, waiting_most(stream, cursor) };
    struct group_row group;

    if (stream->kind == STREAM_CHANNEL) {
        adding->err = store_group_get(adding->flow->store, stream->group_id, &group);
        item.stream = group.id;
    }
    if (adding->err == ERR_OK && adding->count++ < STREAMS_MOST)
        list_add_stream(adding->list, &item);
    return adding->err == ERR_OK;
}

static enum err add_streams(struct flow *flow, int64_t agent_id, struct reply *reply)
{
    struct adding adding = { .flow = flow, .list = reply_list(reply) };
    enum err e = store_reader_streams(flow->store, agent_id, add_stream, &adding);

    MESSAGE_SET(reply_message(reply), streams, list_of(adding.list));
    return e == ERR_OK ? adding.err : e;
}

enum err add_credential(struct flow *flow, int64_t agent_id, uint64_t least_ms, struct reply *reply)
{
    struct buf packed = { 0 };
    enum err e = controller_credential(flow->controller, agent_id, flow->now_ms, least_ms, &packed);

    if (e == ERR_OK)
        MESSAGE_SET(reply_message(reply), credential, reply_keep(reply, buf_bytes(&packed)));
    buf_free(&packed);
    return e;
}

enum err add_server_card(struct flow *flow, struct reply *reply)
{
    struct wire_signed card;
    const uint8_t *sig;
    enum err e = controller_server_card(flow->controller, flow->now_ms, &card.bytes, &sig);

    if (e == ERR_OK) {
        card.bytes = reply_keep(reply, card.bytes);
        card.sig = reply_keep(reply, bytes_of(sig, 64)).at;
        MESSAGE_SET(reply_message(reply), server_card, card);
    }
    return e;
}

void add_log_head(struct flow *flow, struct reply *reply)
{
    struct log_head head;

    store_log_head(flow->store, &head);
    MESSAGE_SET(reply_message(reply), index, head.next ? head.next - 1 : 0);
    MESSAGE_SET(reply_message(reply), head, reply_keep(reply, bytes_of(head.digest, 32)).at);
}

enum err old_keys_each(struct flow *flow, const struct agent_row *agent, struct reply *reply,
                       old_key_act *act)
{
    struct card_row card;
    enum err e = store_card_get(flow->store, agent->agent_id, 0, &card);

    while (e == ERR_OK && card.gen > 1 && card.stored_ms + OLD_KEY_MS >= flow->now_ms) {
        e = store_card_before(flow->store, agent->agent_id, card.gen, &card);
        if (e == ERR_OK && !store_agent_by_transport(flow->store, card.transport_key))
            act(reply, card.transport_key);
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Its own key works: the invite's is not needed any more, nor is the transport key before this. */
static enum err drop_old_keys(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct agent_row *agent = store_agent(flow->store, request->by.id);
    uint8_t key[32];
    enum err e;

    if (!agent || memcmp(agent->transport_key, request->by.key, 32) != 0)
        return ERR_OK; /* still with the old key */
    e = controller_enrol_done(flow->controller, agent->agent_id, flow->now_ms, key);
    if (e == ERR_OK)
        reply_key_drop(reply, key);
    else if (e != ERR_NOT_FOUND)
        return e;
    return agent->card_gen == 1 ? ERR_OK : old_keys_each(flow, agent, reply, reply_key_drop);
}

enum err hello_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct message *m = reply_message(reply);
    enum err e = hello_check(flow, request, reply);

    if (e != ERR_OK || (e = drop_old_keys(flow, request, reply)) != ERR_OK
        || (e = add_credential(flow, request->by.id, LIMIT_CERT_RENEW_MS, reply)) != ERR_OK
        || (e = add_server_card(flow, reply)) != ERR_OK
        || (e = add_streams(flow, request->by.id, reply)) != ERR_OK
        || (e = store_agent_seen(flow->store, request->by.id, flow->now_ms)) != ERR_OK
        || (e = say_prekeys(flow, request, reply)) != ERR_OK)
        return e;
    add_limits(flow, reply);
    add_log_head(flow, reply);
    MESSAGE_SET(m, ts, flow->now_ms);
    MESSAGE_SET(m, version, PROTOCOL);
    MESSAGE_SET(m, name, bytes_of_text(flow->settings.broker_name));
    MESSAGE_SET(m, incarnation, store_incarnation(flow->store));
    return peer_greet(flow, request, request->message.instance);
}

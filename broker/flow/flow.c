#include <stdlib.h>

#include "broker/flow/blob.h"
#include "broker/flow/channel.h"
#include "broker/flow/flow_internal.h"
#include "broker/flow/groups.h"
#include "broker/flow/journal.h"
#include "broker/flow/revoke.h"
#include "broker/flow/shelf.h"
#include "broker/store/directory.h"
#include "broker/store/invites.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

/* Everything that can be asked of the broker, in the order a conversation uses it.  Who may ask it
 * and how large it may be stands in schema/verbs.def. */
static const struct {
    enum verb verb;
    verb_handler *handle;
} handlers[] = {
    { VERB_ENROL, enrol_handle },       { VERB_HELLO, hello_handle },
    { VERB_CARD, card_handle },         { VERB_LOG, log_handle },
    { VERB_PREKEYS, prekeys_handle },   { VERB_SYNC, sync_handle },
    { VERB_LEAVE, leave_handle },       { VERB_CREDIT, credit_handle },
    { VERB_LOOKUP, lookup_handle },     { VERB_REQUEST, request_handle },
    { VERB_EVENT, event_handle },       { VERB_EVENTS, events_handle },
    { VERB_SEND, send_handle },         { VERB_FETCH, fetch_handle },
    { VERB_ACK, ack_handle },           { VERB_PING, ping_handle },
    { VERB_BLOB_PUT, blob_put_handle }, { VERB_BLOB_CHUNK, blob_chunk_handle },
    { VERB_BLOB_GET, blob_get_handle }, { VERB_BLOB_DEL, blob_del_handle },
    { VERB_BYE, bye_handle },
};

static verb_handler *handler_of(enum verb verb)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (handlers[i].verb == verb)
            return handlers[i].handle;
    return NULL;
}

/* What an ERROR says when nothing better is known. */
uint64_t error_after_ms(enum err e)
{
    static const struct {
        enum err e;
        uint64_t ms;
    } waits[] = {
        { ERR_PENDING_APPROVAL, 30000 },
        { ERR_RATE, 1000 },
        { ERR_QUOTA_SENDER, 30000 },
        { ERR_QUOTA_MAILBOX, 60000 },
        { ERR_QUOTA, 60000 },
        { ERR_DISK, 30000 },
        { ERR_BUSY, 1000 },
        { ERR_INTERNAL, 1000 },
    };

    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
        if (waits[i].e == e)
            return waits[i].ms;
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

void flow_settings_default(struct flow_settings *out)
{
    const uint64_t mib = 1024 * 1024, hour_ms = 3600 * 1000;

    *out = (struct flow_settings){ .invite_ttl_ms = hour_ms,
                                   .certificate_ttl_ms = 24 * hour_ms,
                                   .queue_frames = 10000,
                                   .queue_bytes = 256 * mib,
                                   .pair_frames = 1000,
                                   .pair_bytes = 64 * mib,
                                   .requests = 100,
                                   .request_bytes = 4 * mib,
                                   .requests_open = LIMIT_REQUESTS_OPEN,
                                   .send_per_s = 50,
                                   .send_burst = 500,
                                   .prekeys_per_h = 30,
                                   .group_members = LIMIT_GROUP_MEMBERS,
                                   .frame_ttl_max_ms = LIMIT_FRAME_LIFE_MS,
                                   .blob_size_max = LIMIT_BLOB_MAX,
                                   .blob_agent_bytes = LIMIT_BLOB_AGENT,
                                   .blob_ttl_ms = LIMIT_BLOB_LIFE_MS,
                                   .store_max_bytes = 4096 * mib,
                                   .disk_floor_bytes = 256 * mib,
                                   .wal_alarm_bytes = 64 * mib };
    memcpy(out->broker_name, "sealpost", sizeof "sealpost");
    memcpy(out->default_circle, "default", sizeof "default");
}

static void announce_key(struct flow *flow, const uint8_t key[static 32], bool is_invite,
                         int64_t id, const struct agent_row *agent)
{
    struct outgoing *out = outgoing_new(OUT_KEY_ADD, 0);

    memcpy(out->key, key, 32);
    out->is_invite = is_invite;
    out->id = id;
    if (agent) {
        memcpy(out->aid, agent->aid, 32);
        memcpy(out->identity_key, agent->identity_key, 32);
    }
    outgoing_put(&flow->turn.out, out);
}

static bool announce_invite(void *ctx, const struct invite_row *invite)
{
    struct flow *flow = ctx;

    if (store_invite_admits(invite, flow->now_ms))
        announce_key(flow, invite->key, true, invite->invite_id, NULL);
    return true;
}

/* An agent that has not heard the answer to its CARD still comes with its key before that. */
static enum err announce_old_key(struct flow *flow, const struct agent_row *agent)
{
    struct card_row card;
    uint64_t ends_ms;
    enum err e = store_card_get(flow->store, agent->agent_id, 0, &card);

    if (e != ERR_OK)
        return e;
    ends_ms = card.stored_ms + OLD_KEY_MS;
    if (ends_ms <= flow->now_ms)
        return ERR_OK;
    e = store_card_before(flow->store, agent->agent_id, agent->card_gen, &card);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (!store_agent_by_transport(flow->store, card.transport_key)) {
        announce_key(flow, card.transport_key, false, agent->agent_id, agent);
        key_ends_later(flow, card.transport_key, ends_ms - flow->now_ms);
    }
    return ERR_OK;
}

static enum err announce_keys(struct flow *flow)
{
    enum err e = ERR_OK;

    for (size_t i = 0; e == ERR_OK && i < store_agent_count(flow->store); i++) {
        const struct agent_row *agent = store_agent_at(flow->store, i);

        if (agent->state != AGENT_ACTIVE)
            continue;
        announce_key(flow, agent->transport_key, false, agent->agent_id, agent);
        if (agent->card_gen > 1)
            e = announce_old_key(flow, agent);
    }
    if (e == ERR_OK)
        e = store_invite_list(flow->store, false, flow->now_ms, announce_invite, flow);
    if (e == ERR_OK)
        turn_hand_out(flow);
    return e;
}

enum err flow_open(struct flow **out, struct store *store, struct controller *controller,
                   const struct flow_ports *ports, const struct flow_settings *settings)
{
    struct flow *flow = mem_zeroed(1, sizeof *flow);
    enum err e;

    flow->store = store;
    flow->controller = controller;
    flow->ports = *ports;
    flow->settings = *settings;
    flow->sweep = sweep_new();
    flow->parked_until_ms = UINT64_MAX;
    flow_look_at_clock(flow);
    flow->started_ms = flow->elapsed_ms;
    store_space(store, ports->disk_free(ports->ctx));
    e = announce_keys(flow);
    if (e == ERR_OK)
        e = revoke_resume(flow);
    if (e == ERR_OK)
        e = groups_trim_resume(flow);
    if (e != ERR_OK) {
        flow_close(&flow);
        return e;
    }
    *out = flow;
    return ERR_OK;
}

void flow_close(struct flow **closing)
{
    struct flow *flow = *closing;

    if (!flow)
        return;
    outgoing_drop(&flow->turn.out);
    arena_free(&flow->turn.arena);
    for (size_t i = 0; flow->turn.lists && i < REPLY_LISTS; i++)
        list_free(&flow->turn.lists[i]);
    free(flow->turn.lists);
    free(flow->turn.acked);
    settlement_free(&flow->settlement);
    list_free(&flow->items);
    peers_free(&flow->peers);
    rates_free(&flow->rates);
    key_ends_free(flow);
    revoke_free(flow);
    groups_free(flow);
    shelf_free(flow);
    blobs_free(flow);
    sweep_free(&flow->sweep);
    free(flow);
    *closing = NULL;
}

void flow_configure(struct flow *flow, const struct flow_settings *settings)
{
    flow->settings = *settings;
    flow->space_look_ms = 0; /* another floor may hold now */
    control_configure(flow);
}

/* ---- one request ----------------------------------------------------------------------------- */

static enum err requester_check(struct flow *flow, const struct request *request,
                                const struct verb_rule *rule, struct reply *reply)
{
    const struct requester *by = &request->by;
    const struct agent_row *agent;
    struct peer *peer;

    if (by->kind == BY_INVITE)
        return rule->who == WHO_INVITED || rule->who == WHO_ANYONE ? ERR_OK : ERR_AUTH;
    agent = store_agent(flow->store, by->id);
    if (!agent)
        return ERR_AUTH;
    if (agent->state == AGENT_REVOKED) {
        reply_kick(reply, by->conn);
        return ERR_CERT_REVOKED;
    }
    if (rule->who == WHO_INVITED)
        return ERR_AUTH;
    peer = peer_of_conn(flow, by->conn);
    if (peer && peer->agent_id == by->id) {
        /* Silence ends a greeting, also one that nobody has noticed yet. */
        if (flow->elapsed_ms - peer->heard_ms >= LIMIT_SILENCE_MS)
            peer_leave(flow, peer, true);
        else
            peer->heard_ms = flow->elapsed_ms;
        peer->probed_ms = 0;
    }
    if (rule->who == WHO_GREETED && (!peer || peer->agent_id != by->id || peer->conn != by->conn))
        return ERR_HELLO;
    return ERR_OK;
}

static enum err handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct verb_rule *rule = verb_rule(request->message.verb);
    verb_handler *handler;
    enum err e;

    if (request->by.kind == BY_OPERATOR)
        return control_handle(flow, request, reply);
    handler = rule ? handler_of(rule->verb) : NULL;
    if (!handler)
        return ERR_SCHEMA;
    e = requester_check(flow, request, rule, reply);
    return e == ERR_OK ? handler(flow, request, reply) : e;
}

static void reply_begin(struct reply *reply, struct flow *flow, const struct request *request)
{
    *reply = (struct reply){ .flow = flow,
                             .request = request,
                             .message = message_reply(&request->message) };
    flow->turn.list_count = 0;
}

/* Body of an ERROR: code and text from the table, and what the handler added. */
static void refusal_finish(struct reply *reply, enum err e)
{
    struct message error = message_error(&reply->request->message, e);

    reply->refusal.verb = error.verb;
    reply->refusal.reply = error.reply;
    reply->refusal.rid = error.rid;
    reply->refusal.code = error.code;
    reply->refusal.text = error.text;
    reply->refusal.has |= error.has;
    if (error_after_ms(e) && !MESSAGE_HAS(&reply->refusal, after_ms))
        MESSAGE_SET(&reply->refusal, after_ms, error_after_ms(e));
    if (e == ERR_STALE_TS && !MESSAGE_HAS(&reply->refusal, ts))
        MESSAGE_SET(&reply->refusal, ts, reply->flow->now_ms);
}

/* Queues the answer with what leaves before it and behind it. */
static void reply_finish(struct reply *reply, enum err e)
{
    struct flow *flow = reply->flow;

    outgoing_join(&flow->turn.out, &reply->before);
    if (e != ERR_OK) {
        refusal_finish(reply, e);
        flow->turn.counted.refused++;
        outgoing_free(&reply->out);
        outgoing_put(&flow->turn.out, outgoing_message(reply->request->by.conn, &reply->refusal));
    } else if (reply->request->by.kind != BY_OPERATOR && !reply->parked) {
        if (!reply->out)
            reply->out = outgoing_new(OUT_MESSAGE, reply->request->by.conn);
        message_encode(&reply->message, &reply->out->head);
        outgoing_put(&flow->turn.out, reply->out);
        reply->out = NULL;
    }
    outgoing_join(&flow->turn.out, &reply->kicks);
}

enum err request_run(struct flow *flow, const struct request *request)
{
    struct reply reply;
    enum err e;

    reply_begin(&reply, flow, request);
    e = handle(flow, request, &reply);
    if (e != ERR_OK && !err_on_wire(e)) {
        outgoing_free(&reply.out);
        outgoing_drop(&reply.before);
        outgoing_drop(&reply.kicks);
        return e;
    }
    journal_request(flow, request, e);
    reply_finish(&reply, e);
    return ERR_OK;
}

void request_refuse(struct flow *flow, const struct request *request, enum err e)
{
    struct reply reply;

    reply_begin(&reply, flow, request);
    if (request->by.kind == BY_OPERATOR) {
        control_refuse(&reply, e);
        reply_finish(&reply, ERR_OK);
    } else {
        reply_finish(&reply, e);
    }
}

void request_free(struct request **request)
{
    if (*request && (*request)->release)
        (*request)->release((*request)->memory);
    *request = NULL;
}

/* ---- without a request ----------------------------------------------------------------------- */

struct goodbye {
    struct flow *flow;
    struct message message;
};

static void say_goodbye(struct peer *peer, void *ctx)
{
    struct goodbye *goodbye = ctx;

    outgoing_put(&goodbye->flow->turn.out, outgoing_message(peer->conn, &goodbye->message));
}

void flow_say_goodbye(struct flow *flow, uint32_t after_ms)
{
    struct goodbye goodbye = { flow, { .verb = VERB_NOTIFY } };

    MESSAGE_SET(&goodbye.message, kind, NOTIFY_GOING_DOWN);
    MESSAGE_SET(&goodbye.message, after_ms, after_ms);
    peers_each(flow, say_goodbye, &goodbye);
    turn_hand_out(flow);
}

/*
 * enrol - a stranger with an invite's key becomes an agent (docs/protocol.md 2.3).
 */
#include "broker/controller/controller.h"
#include "broker/flow/directory.h"
#include "broker/flow/hints.h"
#include "broker/store/directory.h"
#include "shared/wire/limit.h"

#define PROTOCOL    1
#define PENDING_MS  30000

static enum err refuse(struct flow *flow, struct reply *reply, enum err e)
{
    if (e == ERR_STALE_TS)
        MESSAGE_SET(refuse_message(reply), ts, flow->now_ms);
    if (e == ERR_VERSION) {
        MESSAGE_SET(refuse_message(reply), min, PROTOCOL);
        MESSAGE_SET(refuse_message(reply), version, PROTOCOL);
    }
    return e == ERR_PENDING_APPROVAL ? refuse_after(reply, e, PENDING_MS) : e;
}

static enum err answer(struct flow *flow, const struct enrolment *enrolment, struct reply *reply)
{
    const struct agent_row *agent = store_agent(flow->store, enrolment->agent_id);
    enum err e;

    if (!agent)
        return ERR_INTERNAL;
    if ((e = add_credential(flow, agent->agent_id, LIMIT_CERT_REISSUE_MS, reply)) != ERR_OK
        || (e = add_server_card(flow, reply)) != ERR_OK)
        return e;
    add_log_head(flow, reply);
    MESSAGE_SET(reply_message(reply), root, controller_ck(flow->controller));
    if (enrolment->outcome == ENROL_NEW) {
        reply_key_add(reply, agent->transport_key, false, agent->agent_id, agent->aid,
                      agent->identity_key);
        say_log_moved(flow, reply);
    }
    return ERR_OK;
}

enum err enrol_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    struct enrolment *enrolment = (void *)reply_memory(reply, sizeof *enrolment);
    enum err e;

    e = controller_enrol_check(flow->controller, request->by.id, m->card.bytes, m->card.sig, m->sig,
                               m->ts, flow->now_ms, enrolment);
    if (e == ERR_OK && enrolment->outcome != ENROL_AGAIN)
        e = space_check(reply);
    if (e == ERR_OK)
        e = controller_enrol_proceed(flow->controller, enrolment, flow->now_ms);
    return e == ERR_OK ? answer(flow, enrolment, reply) : refuse(flow, reply, e);
}

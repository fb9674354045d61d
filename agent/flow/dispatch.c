#include "agent/flow/dispatch.h"

#include <stdlib.h>

#include "agent/flow/chain.h"
#include "agent/flow/contact.h"
#include "agent/flow/identity.h"
#include "agent/flow/incoming.h"
#include "agent/flow/leave.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/receipts.h"
#include "agent/flow/replenish.h"
#include "agent/flow/session.h"
#include "agent/flow/sync.h"
#include "agent/flow/watch.h"
#include "shared/base/log.h"

enum notify_kind {
    NOTIFY_PROBE,
    NOTIFY_LOG,
    NOTIFY_REVOKED,
    NOTIFY_PREKEYS,
    NOTIFY_SPK,
    NOTIFY_DOWN,
    NOTIFY_MAILBOX
};

/* A hint, never trusted, may be lost. */
static void notified(struct agent *agent, const struct message *message)
{
    if (message->kind > NOTIFY_MAILBOX)
        return;
    switch ((enum notify_kind)message->kind) {
    case NOTIFY_LOG:
        agent->log_wanted = true;
        break;
    case NOTIFY_REVOKED:
        agent->hello_wanted = true; /* the answer to that tells */
        break;
    case NOTIFY_PREKEYS:
        agent_prekeys_low(agent, MESSAGE_HAS(message, count) ? message->count : 0);
        break;
    case NOTIFY_SPK:
        agent->prekeys_wanted = true;
        break;
    case NOTIFY_DOWN:
        agent_link_event(agent, LINK_WAIT);
        agent_link_wait(agent, MESSAGE_HAS(message, after_ms) ? message->after_ms : 1000);
        break;
    case NOTIFY_PROBE:
    case NOTIFY_MAILBOX:
        break;
    }
}

static struct agent_asked *take_asked(struct agent_conn *link, uint32_t rid)
{
    struct agent_asked **at = &link->asked, *found;

    while (*at && (*at)->rid != rid)
        at = &(*at)->next;
    found = *at;
    if (found)
        *at = found->next;
    return found;
}

static void note_times(struct agent *agent, const struct agent_asked *asked,
                       const struct message *message, enum err code)
{
    struct agent_conn *link = &agent->link;

    link->reached = true;
    if (MESSAGE_HAS(message, ts)) {
        link->skew_ms = (int64_t)message->ts - (int64_t)agent_now(agent);
        link->skew_known = true;
        link->told_ms = message->ts;
        link->told_at_ms = agent_elapsed(agent);
    }
    if (asked->verb == VERB_PING || asked->verb == VERB_HELLO) {
        link->rtt_ms = agent_elapsed(agent) - asked->sent_ms;
        link->rtt_known = true;
        link->pongs += asked->verb == VERB_PING;
    }
    link->retry_after_ms = code != ERR_OK && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0;
}

static void hand_over(struct agent *agent, const struct agent_asked *asked, enum err code,
                      const struct message *message)
{
    switch (asked->verb) {
    case VERB_HELLO:
        agent_hello_answer(agent, code, message);
        break;
    case VERB_ENROL:
        agent_enrol_answer(agent, code, message);
        break;
    case VERB_CARD:
        agent_card_answer(agent, code, message);
        break;
    case VERB_LOOKUP:
        agent_contact_answer(agent, asked, code, message);
        break;
    case VERB_PREKEYS:
        agent_prekeys_answer(agent, asked, code, message);
        break;
    case VERB_LOG:
        agent_log_answer(agent, code, message);
        break;
    case VERB_REQUEST:
        agent_request_answer(agent, asked, code, message);
        break;
    case VERB_EVENT:
        agent_event_answer(agent, asked, code, message);
        break;
    case VERB_EVENTS:
        agent_events_answer(agent, asked, code, message);
        break;
    case VERB_SEND:
        agent_send_answer(agent, asked, code, message);
        break;
    case VERB_ACK:
        agent_ack_answer(agent, asked, code, message);
        break;
    case VERB_SYNC:
        agent_sync_answer(agent, asked, code, message);
        break;
    case VERB_BYE:
        agent_link_event(agent, LINK_STOP);
        break;
    case VERB_LEAVE:
        agent_leave_answer(agent, code, message);
        break;
    case VERB_FETCH:
    case VERB_CREDIT:
    case VERB_BLOB_PUT:
    case VERB_BLOB_CHUNK:
    case VERB_BLOB_GET:
    case VERB_BLOB_DEL:
    case VERB_DELIVER:
    case VERB_NOTIFY:
    case VERB_PING:
    case VERB_ERROR:
        break;
    }
}

static bool is_about_another(enum verb verb)
{
    return verb == VERB_LOOKUP || verb == VERB_REQUEST || verb == VERB_ENROL;
}

static void answered(struct agent *agent, struct agent_asked *asked, const struct message *message)
{
    enum err code = message->verb == VERB_ERROR ? (enum err)message->code : ERR_OK;

    log_event(LOG_DEBUG, "answer", "me=%s verb=%s rid=%u error=%s", agent->me.row.name,
              verb_name(asked->verb), (unsigned)asked->rid, err_name(code));
    note_times(agent, asked, message, code);
    if (code == ERR_OK && message->verb != asked->verb)
        code = ERR_SCHEMA;
    hand_over(agent, asked, code, message);
    if (code == ERR_HELLO && asked->verb != VERB_HELLO) {
        agent->hello_wanted = true;
    } else if (code == ERR_CERT_REVOKED && !is_about_another(asked->verb)) {
        agent->me.revoked = true;
        agent_link_refuse(agent, code);
    }
}

void agent_dispatch(struct agent *agent, struct bytes head, const struct bytes *parts, size_t count)
{
    struct message message;
    struct agent_asked *asked;

    if (message_decode(&message, head, count, FROM_BROKER) != ERR_OK) {
        log_event(LOG_WARN, "link.malformed", "bytes=%zu", head.len);
        return;
    }
    agent->link.heard_ms = agent_elapsed(agent);
    agent->link.pinged = false;
    if (message.verb == VERB_DELIVER) {
        log_event(LOG_DEBUG, "delivered", "me=%s items=%u", agent->me.row.name,
                  (unsigned)message.items.count);
        agent_deliver(agent, head, &message, parts, count);
    } else if (message.verb == VERB_NOTIFY) {
        notified(agent, &message);
    } else if ((asked = take_asked(&agent->link, message.rid)) != NULL) {
        answered(agent, asked, &message);
        free(asked->frames);
        free(asked);
    }
}

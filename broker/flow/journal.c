#include "broker/flow/journal.h"

#include "broker/store/directory.h"
#include "shared/base/log.h"

static const char *name_of(struct flow *flow, int64_t agent_id)
{
    const struct agent_row *agent = store_agent(flow->store, agent_id);

    return agent ? agent->name : "-";
}

/* The name of a card that asks to be let in; what it says is not checked. */
static const char *name_in_card(const struct request *request)
{
    struct card card;

    return MESSAGE_HAS(&request->message, card)
                   && card_parse(request->message.card.bytes, &card) == ERR_OK
               ? log_value(card.name)
               : "-";
}

static void joining(const struct request *request, enum err e)
{
    const char *key = log_id(request->by.key);

    if (e == ERR_OK)
        log_event(LOG_INFO, "enrolled", "agent=%s key=%s", name_in_card(request), key);
    else if (e == ERR_PENDING_APPROVAL)
        log_event(LOG_INFO, "enrol_pending", "agent=%s key=%s", name_in_card(request), key);
    else
        log_event(LOG_WARN, "enrol_refused", "agent=%s key=%s code=%s", name_in_card(request), key,
                  err_name(e));
}

/* What an operator should hear of, and what only a search is interested in. */
static void refused(struct flow *flow, const struct request *request, enum err e)
{
    const char *agent = request->by.kind == BY_AGENT ? name_of(flow, request->by.id) : "-";
    const char *verb = verb_name(request->message.verb);

    if (e == ERR_QUOTA || e == ERR_QUOTA_SENDER || e == ERR_QUOTA_MAILBOX)
        log_event(LOG_WARN, "quota_reached", "agent=%s verb=%s code=%s", agent, verb, err_name(e));
    else if (e == ERR_SEQ_CONFLICT)
        log_event(LOG_WARN, "seq_conflict", "agent=%s", agent);
    else if (e == ERR_RECEIPT)
        log_event(LOG_WARN, "receipt_bad", "agent=%s", agent);
    else if (log_wants(LOG_DEBUG))
        log_event(LOG_DEBUG, "refused", "agent=%s verb=%s code=%s", agent, verb, err_name(e));
}

void journal_request(struct flow *flow, const struct request *request, enum err e)
{
    if (request->by.kind == BY_OPERATOR)
        return;
    if (request->message.verb == VERB_ENROL)
        joining(request, e);
    else if (e != ERR_OK)
        refused(flow, request, e);
    else if (request->message.verb == VERB_HELLO)
        log_event(LOG_INFO, "connected", "agent=%s conn=%llu", name_of(flow, request->by.id),
                  (unsigned long long)request->by.conn);
    else if (request->message.verb == VERB_CARD)
        log_event(LOG_INFO, "card_changed", "agent=%s", name_of(flow, request->by.id));
}

void journal_frame(struct flow *flow, const struct request *request, enum err e)
{
    refused(flow, request, e);
}

void journal_gone(struct flow *flow, const struct peer *peer)
{
    log_event(LOG_INFO, "disconnected", "agent=%s conn=%llu", name_of(flow, peer->agent_id),
              (unsigned long long)peer->conn);
}

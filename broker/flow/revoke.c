#include "broker/flow/revoke.h"

#include <stdlib.h>

#include "broker/controller/controller.h"
#include "broker/flow/directory.h"
#include "broker/flow/groups.h"
#include "broker/flow/hints.h"
#include "broker/flow/session.h"
#include "broker/store/log.h"
#include "broker/store/prekeys.h"
#include "broker/store/senders.h"
#include "shared/base/log.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"

enum { SESSIONS_A_STEP = 64 };

/* What a revoked agent leaves, and how far it has been ended. */
struct ending {
    struct ending *next;
    int64_t agent_id;
    bool left;          /* by itself: what it had closed before goes on to be delivered */
    bool waits;         /* a session may not end yet */
    bool done;          /* in a turn that may still fail */
    uint64_t rollbacks; /* of the store: afterwards everything is looked at again */
    int64_t group_id;   /* groups up to here are done with */
    int64_t session_id; /* sessions up to here are done with */
    uint64_t seq;       /* of the next one, its frames up to here are */
};

/* ---- at once --------------------------------------------------------------------------------- */

/* Its transport keys, also those that CARD has replaced lately, and that of its invite. */
static enum err drop_keys(struct flow *flow, const struct agent_row *agent, struct reply *reply)
{
    uint8_t key[32];
    enum err e = old_keys_each(flow, agent, reply, reply_key_revoke);

    if (e != ERR_OK)
        return e;
    reply_key_revoke(reply, agent->transport_key);
    e = controller_enrol_done(flow->controller, agent->agent_id, flow->now_ms, key);
    if (e == ERR_OK)
        reply_key_revoke(reply, key);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Deliveries stop although the turn may fail: then it just says HELLO again. */
static void end_connection(struct flow *flow, int64_t agent_id, struct reply *reply)
{
    struct message told = { .verb = VERB_NOTIFY };
    struct peer *peer = peer_find(flow, agent_id);

    if (!peer || !peer->conn)
        return;
    if (peer->conn != reply->request->by.conn) {
        MESSAGE_SET(&told, kind, NOTIFY_REVOKED);
        reply_notify(reply, peer->conn, &told);
    }
    reply_kick(reply, peer->conn);
    peer_leave(flow, peer, true);
}

static void ending_add(struct flow *flow, int64_t agent_id, bool left)
{
    struct ending *ending = mem_zeroed(1, sizeof *ending);

    ending->agent_id = agent_id;
    ending->left = left;
    ending->rollbacks = store_rollbacks(flow->store);
    ending->next = flow->endings;
    flow->endings = ending;
    flow->endings_ms = 0;
}

enum err revoke_agent(struct flow *flow, struct reply *reply, int64_t agent_id, uint8_t reason,
                      const char *who, const char *note)
{
    const struct revocation revocation = { .reason = reason, .invalid_since_ms = flow->now_ms };
    const struct agent_row *agent = store_agent(flow->store, agent_id);
    enum err e
        = controller_revoke(flow->controller, agent_id, &revocation, flow->now_ms, who, note);

    if (e == ERR_OK)
        e = drop_keys(flow, agent, reply);
    if (e == ERR_OK)
        e = store_opk_drop_all(flow->store, agent_id);
    if (e != ERR_OK)
        return e;
    log_event(LOG_INFO, "revoked", "agent=%s reason=%s", agent->name, revocation_word(reason));
    end_connection(flow, agent_id, reply);
    say_log_moved(flow, reply);
    ending_add(flow, agent_id, reason == REVOKED_LEFT);
    return revoke_step(flow);
}

enum err leave_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct agent_row *agent = store_agent(flow->store, request->by.id);
    enum err e = controller_leave_check(flow->controller, request->by.id, request->message.ts,
                                        request->message.sig, flow->now_ms);

    return e == ERR_OK ? revoke_agent(flow, reply, agent->agent_id, REVOKED_LEFT, agent->name, "")
                       : e;
}

/* ---- in steps -------------------------------------------------------------------------------- */

static bool is_alive(const struct session_row *session)
{
    return session->state == SESSION_REQUESTED || session->state == SESSION_ACTIVE;
}

/* How many rows a step may still look at; `more`: they did not suffice. */
struct budget {
    uint64_t rows;
    bool more;
};

/* Mail from it that nobody has acknowledged. */
static enum err end_mail_from(struct flow *flow, struct ending *ending, int64_t session_id,
                              struct budget *budget)
{
    struct sender_row sender;
    struct frame_row row;
    enum err e = store_sender_get(flow->store, session_id, ending->agent_id, &sender);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (ending->seq < sender.settled_seq)
        ending->seq = sender.settled_seq;
    for (; ending->seq < sender.stored_seq; ending->seq++) {
        if (budget->rows == 0) {
            budget->more = true;
            return ERR_OK;
        }
        budget->rows--;
        e = store_frame_find(flow->store, session_id, ending->agent_id, ending->seq + 1, &row);
        if (e == ERR_OK && row.reason == 0)
            e = frame_give_up(flow, &row, NOTICE_SESSION_ENDED);
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            return e;
    }
    return ERR_OK;
}

static enum err end_session(struct flow *flow, struct ending *ending, int64_t session_id,
                            struct budget *budget)
{
    struct session_row session;
    enum err e = store_session_get(flow->store, session_id, &session);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (is_alive(&session) || !ending->left)
        e = end_mail_from(flow, ending, session_id, budget);
    if (e != ERR_OK || budget->more || !is_alive(&session))
        return e;
    if (sessions_may_end(flow))
        return session_expire(flow, session_id, EXPIRED_REVOKED);
    ending->waits = true;
    return ERR_OK;
}

static enum err end_sessions(struct flow *flow, struct ending *ending, struct budget *budget)
{
    int64_t ids[SESSIONS_A_STEP];
    size_t count;
    enum err e = store_session_of_agent(flow->store, ending->agent_id, ending->session_id, ids,
                                        SESSIONS_A_STEP, &count);

    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count; i++) {
        e = end_session(flow, ending, ids[i], budget);
        if (e != ERR_OK || budget->more)
            return e;
        ending->session_id = ids[i];
        ending->seq = 0;
    }
    budget->more = count == SESSIONS_A_STEP;
    return ERR_OK;
}

/* Groups at once, as REMOVED would; then mail to it: its senders hear that the recipient is gone,
 * not that a session ended. */
static enum err end_some(struct flow *flow, struct ending *ending, bool *more)
{
    struct budget budget = { .rows = LIMIT_SWEEP_ROWS };
    enum err e = group_agent_revoked(flow, ending->agent_id, &ending->group_id, &budget.more);

    if (e == ERR_OK && !budget.more)
        e = mailbox_give_up(flow, ending->agent_id, NOTICE_RECIPIENT_REVOKED, budget.rows,
                            &budget.more);
    if (e == ERR_OK && !budget.more)
        e = end_sessions(flow, ending, &budget);
    *more = budget.more;
    return e;
}

static void look_again(struct flow *flow, struct ending *ending)
{
    ending->rollbacks = store_rollbacks(flow->store);
    ending->group_id = 0;
    ending->session_id = 0;
    ending->seq = 0;
    ending->waits = ending->done = false;
}

static void forget_first(struct flow *flow)
{
    struct ending *first = flow->endings;

    flow->endings = first->next;
    free(first);
}

/* Sessions that may not end yet are looked at again after everybody else's. */
static void put_last(struct flow *flow)
{
    struct ending *first = flow->endings, **at = &flow->endings;

    *at = first->next;
    while (*at)
        at = &(*at)->next;
    first->next = NULL;
    *at = first;
    if (flow->endings->waits)
        flow->endings_ms = flow->elapsed_ms + LIMIT_SWEEP_MS;
}

enum err revoke_step(struct flow *flow)
{
    const struct agent_row *agent;
    struct ending *ending;
    bool more = false;
    enum err e = ERR_OK;

    flow->endings_ms = 0;
    while ((ending = flow->endings) && ending->done
           && ending->rollbacks == store_rollbacks(flow->store))
        forget_first(flow); /* committed */
    if (!ending)
        return ERR_OK;
    if (ending->waits || ending->rollbacks != store_rollbacks(flow->store))
        look_again(flow, ending);
    agent = store_agent(flow->store, ending->agent_id);
    if (agent && agent->state == AGENT_REVOKED) /* else that turn failed */
        e = end_some(flow, ending, &more);
    if (e != ERR_OK || more)
        return e;
    if (ending->waits)
        put_last(flow);
    else
        ending->done = true;
    return ERR_OK;
}

uint64_t revoke_due_ms(const struct flow *flow)
{
    return flow->endings ? flow->endings_ms : UINT64_MAX;
}

void revoke_free(struct flow *flow)
{
    while (flow->endings) {
        struct ending *ending = flow->endings;

        flow->endings = ending->next;
        free(ending);
    }
}

/* ---- after a start --------------------------------------------------------------------------- */

static bool resume_one(void *ctx, uint64_t index, struct bytes packed,
                       const uint8_t digest[static 32])
{
    struct flow *flow = ctx;
    struct log_entry entry;
    struct revocation revocation;
    const struct agent_row *agent;

    (void)index;
    (void)digest;
    if (log_entry_parse(packed, &entry) != ERR_OK || entry.type != ENTRY_REVOKE
        || revocation_parse(entry.extra, &revocation) != ERR_OK)
        return true;
    agent = store_agent_by_aid(flow->store, entry.aid);
    if (agent && agent->state == AGENT_REVOKED)
        ending_add(flow, agent->agent_id, revocation.reason == REVOKED_LEFT);
    return true;
}

enum err revoke_resume(struct flow *flow)
{
    bool any = false;

    for (size_t i = 0; !any && i < store_agent_count(flow->store); i++)
        any = store_agent_at(flow->store, i)->state == AGENT_REVOKED;
    return any ? store_log_list(flow->store, 0, INT64_MAX, resume_one, flow) : ERR_OK;
}

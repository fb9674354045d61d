#include "agent/flow/leave.h"

#include "agent/crypto/sign.h"
#include "agent/flow/link.h"
#include "agent/flow/session.h"
#include "agent/store/dead.h"
#include "agent/store/outbox.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/trust/enrol.h"
#include "shared/wire/limit.h"

#define EVENTS_MS 10000 /* the ends of sessions are waited for so long, once the broker is there   \
                         */

enum { NOT_LEAVING, LEAVING, LEFT };
static const char leaves[] = "leaves";

void agent_leave_load(struct agent *agent)
{
    uint64_t stage = NOT_LEAVING;

    profile_number_get(agent->store, leaves, &stage);
    agent->leaving = stage == LEAVING;
    agent->me.revoked = agent->me.revoked || stage == LEFT;
    agent->leave_by_ms = UINT64_MAX;
}

static void end_sessions(struct agent *agent)
{
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        agent_session_close(agent, &session, SESSION_CLOSED, CLOSED_DONE);
    }
}

static void end_queue(struct agent *agent)
{
    int64_t peer_id;

    while (profile_out_queued_peers(agent->store, 0, &peer_id, 1) == 1) {
        struct profile_out row;
        while (profile_out_next_queued(agent->store, peer_id, 0, &row)
               || profile_out_next_live(agent->store, peer_id, 0, &row))
            profile_dead_letter(agent->store, &row, DEAD_SESSION_ENDED, "", agent_now(agent));
    }
}

enum err agent_leave_broker(struct agent *agent)
{
    enum err e;

    if (agent->frozen)
        return ERR_ROLLBACK;
    if (agent->me.revoked)
        return ERR_OK;
    if (!agent->me.row.enrolled)
        return ERR_STATE;
    agent_enter(agent);
    profile_number_set(agent->store, leaves, LEAVING, "1: LEAVE is to be said; 2: it was");
    agent->leaving = true;
    end_sessions(agent);
    end_queue(agent);
    agent->look_events = agent->changed = true;
    e = agent_leave(agent);
    agent_store_tidy(agent->store, true);
    return e;
}

static bool events_wait(struct agent *agent)
{
    int64_t scope;
    uint64_t now = agent_elapsed(agent);

    if (agent->leave_by_ms == UINT64_MAX)
        agent->leave_by_ms = now + EVENTS_MS;
    return now < agent->leave_by_ms
           && (agent_is_asked(agent, VERB_EVENT, 0)
               || profile_events_waiting(agent->store, 0, &scope, 1) > 0);
}

void agent_leave_ask(struct agent *agent)
{
    struct message message = agent_message(VERB_LEAVE);
    uint8_t preimage[LEAVE_PREIMAGE_SIZE], sig[64];
    uint64_t now = agent_now(agent);

    /* The broker signs off the card that it knows. */
    if (!agent->leaving || agent->card_asked || agent_is_asked(agent, VERB_LEAVE, 0)
        || agent_elapsed(agent) < agent->leave_wait_ms || events_wait(agent))
        return;
    leave_preimage(preimage, agent->me.row.root_id, agent->me.card_hash, now);
    sign(sig, agent->me.ik_secret, bytes_of(preimage, sizeof preimage));
    MESSAGE_SET(&message, ts, now);
    MESSAGE_SET(&message, sig, sig);
    agent_ask(agent, &message, NULL, 0);
}

void agent_leave_answer(struct agent *agent, enum err code, const struct message *message)
{
    uint64_t wait = message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0;

    if (code == ERR_OK || code == ERR_CERT_REVOKED) {
        log_event(LOG_INFO, "left", "name=%s", agent->me.row.name);
        profile_number_set(agent->store, leaves, LEFT, "1: LEAVE is to be said; 2: it was");
        agent->leaving = false;
        agent->me.revoked = true;
        agent_link_refuse(agent, ERR_CERT_REVOKED);
        agent->changed = true;
        return;
    }
    log_event(LOG_WARN, "leave.refused", "error=%s", err_name(code));
    agent->leave_wait_ms = agent_elapsed(agent) + (wait ? wait : agent_backoff(agent, 3));
}

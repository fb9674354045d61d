#include "agent/flow/session.h"

#include "agent/flow/chain.h"
#include "agent/flow/freeze.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/rotate.h"
#include "agent/store/alarms.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/trust/init0.h"
#include "shared/trust/receipt.h"
#include "shared/wire/limit.h"

#define REJECTED_MAX 3

/* What becomes of frames that are not settled when their session ends. */
enum fate { FATE_DEAD, FATE_AGAIN };

void agent_look_later(struct agent *agent, unsigned failures, uint64_t after_ms)
{
    uint64_t wait
        = after_ms ? after_ms + agent_jitter(agent, 1000) : agent_backoff(agent, failures);
    uint64_t due = agent_elapsed(agent) + wait;

    if (agent->look_ms == UINT64_MAX || due < agent->look_ms)
        agent->look_ms = due;
}

/* Rows that the broker never accepted go back to the queue; accepted ones as `accepted` says.  What
 * was said in a live session goes nowhere else. */
static void settle_rows(struct agent *agent, const struct profile_session *session,
                        enum fate accepted, enum dead_reason reason)
{
    bool alone = session->mode == MODE_LIVE && session->state != SESSION_ASKED;
    struct profile_out row;
    uint64_t seq = 1, now = agent_now(agent);

    while (profile_out_next_unsettled(agent->store, session->session_id, seq, &row)) {
        seq = row.seq + 1;
        if (agent_outgoing_is_bound(row.kind))
            profile_out_remove(agent->store, row.outbox_id);
        else if (row.kind > ENVELOPE_INTRO)
            profile_out_queue_again(agent->store, row.outbox_id, false);
        else if (!alone && (row.state == OUTBOX_SEALED || accepted == FATE_AGAIN))
            profile_out_queue_again(agent->store, row.outbox_id, false);
        else
            profile_dead_letter(agent->store, &row, reason, "", now);
    }
    while (profile_out_next_bound(agent->store, session->session_id, 0, &row)) {
        if (row.kind > ENVELOPE_INTRO)
            profile_out_remove(agent->store, row.outbox_id);
        else
            profile_dead_letter(agent->store, &row, reason, "", now);
    }
    agent->look_queue = true;
    agent->look_requests = agent->look_requests || agent->request_waits;
    agent->changed = true;
}

/* What was held of it was never shown, and its sender sends it again or not. */
static void drop_held(struct agent *agent, const struct profile_session *session)
{
    struct profile_in row;

    while (profile_in_held(agent->store, session->session_id, &row))
        profile_in_remove(agent->store, row.inbox_id);
}

static void end(struct agent *agent, const struct profile_session *session,
                enum session_stage stage, enum fate accepted, enum dead_reason reason)
{
    static const char *const names[] = { "",         "asked",   "was asked", "active", "closed",
                                         "rejected", "expired", "rotated",   "broken" };

    log_event(LOG_INFO, "session.end", "session=%s from=\"%s\" to=%s", log_id(session->id),
              names[session->state], names[stage]);
    agent_sender_drop(agent, session->session_id);
    settle_rows(agent, session, accepted, reason);
    drop_held(agent, session);
    agent_rotation_forget(agent, session->session_id);
    profile_session_end(agent->store, session->session_id, stage);
}

void agent_session_replaced(struct agent *agent, const struct profile_session *session)
{
    uint64_t drained = agent_elapsed(agent) + LIMIT_DRAIN_MS;

    log_event(LOG_INFO, "session.replaced", "session=%s", log_id(session->id));
    agent_sender_drop(agent, session->session_id);
    settle_rows(agent, session, FATE_AGAIN, DEAD_SESSION_ENDED);
    agent_rotation_forget(agent, session->session_id);
    profile_session_move(agent->store, session->session_id, SESSION_ROTATED,
                         agent_now(agent) + LIMIT_DRAIN_MS);
    if (drained < agent->sweep_ms)
        agent->sweep_ms = drained;
}

/* Nobody waits for what is later than this. */
static void end_drained(struct agent *agent)
{
    struct profile_session session;
    uint64_t now = agent_now(agent);
    int64_t after = 0;

    while (profile_session_next_draining(agent->store, after, &session)) {
        after = session.session_id;
        if (now >= session.due_ms || session.due_ms > now + LIMIT_DRAIN_MS)
            profile_session_end(agent->store, session.session_id, SESSION_ROTATED);
        else if (agent_elapsed(agent) + (session.due_ms - now) < agent->sweep_ms)
            agent->sweep_ms = agent_elapsed(agent) + (session.due_ms - now);
    }
}

uint64_t agent_session_life_ms(uint8_t mode)
{
    return mode == MODE_LIVE ? LIMIT_SESSION_LIFE_LIVE_MS : LIMIT_SESSION_LIFE_MS;
}

uint64_t agent_session_idle_ms(uint8_t mode)
{
    return mode == MODE_LIVE ? LIMIT_SESSION_IDLE_LIVE_MS : LIMIT_SESSION_IDLE_MS;
}

/* The last number that the broker has: frames behind it are nowhere but here, and end with the
 * keys. */
static uint64_t final_seq(struct agent *agent, const struct profile_scope *scope)
{
    struct profile_out row;

    if (profile_out_next_sealed(agent->store, scope->scope_id, 1, &row))
        return row.seq - 1;
    return scope->next_seq - 1;
}

/* Signed end.  A request that was never stored needs none; asked by others: REJECTED. */
static void append_end(struct agent *agent, const struct profile_session *session,
                       enum closed_reason reason)
{
    struct closed_body closed = { .reason = (uint8_t)reason };
    uint8_t body[CLOSED_BODY_SIZE];
    uint8_t rejected = REJECTED_BY_POLICY;
    struct profile_scope scope;
    struct profile_peer peer;
    struct session_chain chain;

    if (!profile_peer_get(agent->store, session->peer_id, &peer)
        || !profile_scope_get(agent->store, session->session_id, &scope)
        || !agent_chain_load(agent, session->session_id, &chain))
        return;
    if (chain.state == CHAIN_REQUESTED && memcmp(chain.aid_b, agent->me.row.id, 32) == 0) {
        agent_chain_append(agent, session, EVENT_REJECTED, peer.id, bytes_of(&rejected, 1));
    } else if (chain.state == CHAIN_REQUESTED || chain.state == CHAIN_ACTIVE) {
        closed.final_seq = final_seq(agent, &scope);
        closed_body_encode(body, &closed);
        agent_chain_append(agent, session, EVENT_CLOSED, peer.id, bytes_of(body, sizeof body));
    }
}

void agent_session_close(struct agent *agent, const struct profile_session *session,
                         enum session_stage stage, enum closed_reason reason)
{
    bool again = reason == CLOSED_STATE_LOST || reason == CLOSED_BROKEN;

    append_end(agent, session, reason);
    end(agent, session, stage, again ? FATE_AGAIN : FATE_DEAD,
        reason == CLOSED_PEER_REVOKED
            ? DEAD_REVOKED
            : (reason == CLOSED_KEY_CHANGED ? DEAD_KEY_CHANGED : DEAD_SESSION_ENDED));
}

void agent_session_reject(struct agent *agent, const struct profile_session *session,
                          enum rejected_reason reason)
{
    uint8_t body = (uint8_t)reason;
    struct profile_peer peer;

    if (!profile_peer_get(agent->store, session->peer_id, &peer))
        return;
    agent_chain_append(agent, session, EVENT_REJECTED, peer.id, bytes_of(&body, 1));
    end(agent, session, SESSION_REJECTED, FATE_DEAD, DEAD_REJECTED);
}

void agent_session_silence(struct agent *agent, const struct profile_session *session)
{
    end(agent, session, session->state == SESSION_WAS_ASKED ? SESSION_REJECTED : SESSION_CLOSED,
        FATE_DEAD, DEAD_BLOCKED);
}

void agent_session_told(struct agent *agent, const struct profile_session *session)
{
    append_end(agent, session, CLOSED_DONE);
}

void agent_session_lost(struct agent *agent, const struct profile_session *session)
{
    if (session->state <= SESSION_ACTIVE || session->state == SESSION_BROKEN)
        end(agent, session, SESSION_CLOSED, FATE_AGAIN, DEAD_STATE_LOST);
}

void agent_session_rolled_back(struct agent *agent, const struct profile_session *session)
{
    if (session->state > SESSION_ACTIVE)
        return;
    agent_freeze(agent, session->peer_id, session->session_id,
                 "the broker knows more than this profile");
    agent_session_close(agent, session, SESSION_BROKEN, CLOSED_STATE_LOST);
}

void agent_session_forked(struct agent *agent, const struct profile_session *session)
{
    if (session->state > SESSION_ACTIVE)
        return;
    log_event(LOG_WARN, "session.forked", "session=%s", log_id(session->id));
    agent_session_close(agent, session, SESSION_BROKEN, CLOSED_STATE_LOST);
}

void agent_session_adopted(struct agent *agent, const struct profile_session *session)
{
    struct session_chain chain;

    if (!agent_chain_load(agent, session->session_id, &chain))
        return;
    if (chain.state == CHAIN_ACTIVE)
        append_end(agent, session, CLOSED_STATE_LOST);
    else
        profile_session_move(agent->store, session->session_id, SESSION_CLOSED, session->due_ms);
}

/* ------------------------------------------------------------------ events that came */

static void accepted_by_peer(struct agent *agent, const struct profile_session *session,
                             const struct profile_peer *peer)
{
    struct profile_out row;
    uint64_t now = agent_now(agent);

    profile_session_move(agent->store, session->session_id, SESSION_ACTIVE,
                         session->opened_ms + agent_session_life_ms(session->mode));
    if (profile_out_at(agent->store, session->session_id, 1, &row))
        profile_out_delivered(agent->store, row.outbox_id, now);
    agent_outgoing_settled(agent, session->session_id);
    if (peer->pin == PIN_NONE)
        profile_peer_pin(agent->store, peer, PIN_FIRST_USE, "accepted our request", now);
    profile_peer_policy(agent->store, peer->peer_id, POLICY_ACCEPTED);
    agent_rotation_done(agent, session, peer);
    agent_sender_synced(agent, session->session_id, 1);
    agent_outgoing_seal_session(agent, session);
}

/* The closer said how far it had come: what is missing of that was kept from us. */
static void check_final(struct agent *agent, const struct profile_session *session,
                        uint64_t final_seq)
{
    struct profile_received received = { 0 };

    profile_received_get(agent->store, session->session_id, session->peer_id, &received);
    if (final_seq > received.seq)
        profile_alarm_add(agent->store, "gap", session->peer_id, session->session_id,
                          "closed with messages missing", agent_now(agent));
    buf_free(&received.missing);
}

static void closed(struct agent *agent, const struct profile_session *session,
                   const struct event *event, struct bytes body)
{
    struct closed_body said;
    bool mine = memcmp(event->actor, agent->me.row.id, 32) == 0;
    bool again;

    if (closed_body_parse(body, &said) != ERR_OK)
        return;
    if (!mine && session->state == SESSION_ACTIVE)
        check_final(agent, session, said.final_seq);
    again = said.reason == CLOSED_STATE_LOST || said.reason == CLOSED_BROKEN
            || session->state == SESSION_ASKED;
    end(agent, session, SESSION_CLOSED, again ? FATE_AGAIN : FATE_DEAD, DEAD_SESSION_ENDED);
}

/* Refused by a person or by policy it is final.  "Cannot" means that keys did not fit, for one side
 * has been put back: with a fresh bundle it works, or the third time it is final, too. */
static void rejected(struct agent *agent, const struct profile_session *session, struct bytes body)
{
    struct profile_out row;

    if (session->state == SESSION_ASKED && body.len == 1 && body.at[0] == REJECTED_CANNOT
        && profile_out_at(agent->store, session->session_id, 1, &row) && row.kind <= ENVELOPE_INTRO
        && row.damaged + 1 < REJECTED_MAX)
        profile_out_queue_again(agent->store, row.outbox_id, true);
    end(agent, session, SESSION_REJECTED, FATE_DEAD, DEAD_REJECTED);
}

/* The table of docs/protocol.md 8.2, for what others say. */
static void apply(struct agent *agent, const struct profile_session *session,
                  const struct profile_peer *peer, const struct event *event, struct bytes body)
{
    bool ended = session->state >= SESSION_CLOSED;

    switch ((enum event_type)event->type) {
    case EVENT_ACCEPTED:
        if (session->state == SESSION_ASKED)
            accepted_by_peer(agent, session, peer);
        else if (session->state == SESSION_WAS_ASKED)
            agent_session_rolled_back(agent, session); /* I said it, and do not remember */
        else if (session->state == SESSION_BROKEN)
            append_end(agent, session, CLOSED_STATE_LOST);
        break;
    case EVENT_REJECTED:
        if (!ended)
            rejected(agent, session, body);
        break;
    case EVENT_ROTATED:
        if (!ended)
            end(agent, session, SESSION_ROTATED, FATE_AGAIN, DEAD_SESSION_ENDED);
        break;
    case EVENT_CLOSED:
        if (!ended)
            closed(agent, session, event, body);
        break;
    case EVENT_EXPIRED:
        if (!ended)
            end(agent, session, SESSION_EXPIRED,
                session->state == SESSION_ASKED ? FATE_AGAIN : FATE_DEAD, DEAD_SESSION_ENDED);
        break;
    case EVENT_OPENED:
    case EVENT_GROUP_CREATED:
    case EVENT_GROUP_INVITED:
    case EVENT_GROUP_JOINED:
    case EVENT_GROUP_REMOVED:
    case EVENT_GROUP_EPOCH:
    case EVENT_GROUP_ROLE:
    case EVENT_GROUP_CLOSED:
        break;
    }
    if (ended && session->state == SESSION_BROKEN && event->type != EVENT_ACCEPTED)
        profile_session_move(agent->store, session->session_id, SESSION_CLOSED, session->due_ms);
}

void agent_session_event(struct agent *agent, const struct profile_session *session,
                         const struct signed_event *event)
{
    struct profile_peer peer;
    struct event taken;
    enum err e;

    if (!profile_peer_get(agent->store, session->peer_id, &peer))
        return;
    e = agent_chain_take(agent, session, &peer, event, &taken);
    if (e == ERR_OK) {
        log_event(LOG_INFO, "session.event", "session=%s type=%s", log_id(session->id),
                  event_type_name(taken.type));
        if (taken.type != EVENT_OPENED)
            apply(agent, session, &peer, &taken, event->body);
        agent->changed = true;
    } else if (e == ERR_GAP) {
        agent_chain_ask(agent, session);
    } else if (e != ERR_DUPLICATE) {
        log_event(LOG_WARN, "session.event_refused", "session=%s error=%s", log_id(session->id),
                  err_name(e));
    }
}

/* A clock that has jumped ends nothing: the broker's, as told in this process and carried on by the
 * elapsed one, must say the same. */
static bool clock_agrees(const struct agent *agent)
{
    const struct agent_conn *link = &agent->link;
    uint64_t now = agent_now(agent), theirs;

    if (!link->skew_known)
        return false;
    theirs = link->told_ms + (agent_elapsed(agent) - link->told_at_ms);
    return now > theirs ? now - theirs <= LIMIT_FRESH_MS : theirs - now <= LIMIT_FRESH_MS;
}

static uint64_t last_word_ms(struct agent *agent, const struct profile_session *session)
{
    uint64_t sealed = profile_out_last_sealed_ms(agent->store, session->session_id);
    uint64_t last = session->heard_ms > session->opened_ms ? session->heard_ms : session->opened_ms;

    return sealed > last ? sealed : last;
}

/* Active ones whose time is over, though no word of the broker's came: their keys go all the same.
 */
static void end_old(struct agent *agent, uint64_t now)
{
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (session.state != SESSION_ACTIVE)
            continue;
        if (now > session.due_ms + LIMIT_FRESH_MS)
            end(agent, &session, SESSION_EXPIRED, FATE_DEAD, DEAD_SESSION_ENDED);
        else if (session.mode == MODE_LIVE
                 && now > last_word_ms(agent, &session) + LIMIT_SESSION_IDLE_LIVE_MS
                              + LIMIT_FRESH_MS)
            agent_session_close(agent, &session, SESSION_CLOSED, CLOSED_IDLE);
    }
}

void agent_sessions_overdue(struct agent *agent)
{
    struct profile_session session;
    uint64_t now = agent_now(agent);

    end_drained(agent);
    /* The broker's EXPIRED may still be on its way: 300 s. */
    while (now > LIMIT_FRESH_MS
           && profile_session_overdue(agent->store, now - LIMIT_FRESH_MS, &session))
        end(agent, &session, SESSION_EXPIRED, FATE_AGAIN, DEAD_EXPIRED);
    if (clock_agrees(agent))
        end_old(agent, now);
}

/* Sessions, as programs see them and end them. */
#include "agent/flow/chain.h"
#include "agent/flow/incoming.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/receipts.h"
#include "agent/flow/session.h"
#include "agent/flow/views.h"
#include "agent/store/dead.h"
#include "agent/store/scopes.h"
#include "shared/trust/init0.h"

/* ------------------------------------------------------------------ one session */

static const char *closed_word(uint8_t reason)
{
    static const char *const words[] = { [CLOSED_DONE] = "closed",
                                         [CLOSED_IDLE] = "idle",
                                         [CLOSED_PEER_REVOKED] = "revoked",
                                         [CLOSED_STATE_LOST] = "state_lost",
                                         [CLOSED_KEY_CHANGED] = "key_changed",
                                         [CLOSED_BROKEN] = "undecryptable" };

    return reason < sizeof words / sizeof words[0] ? words[reason] : "closed";
}

static const char *rejected_word(uint8_t reason)
{
    switch (reason) {
    case REJECTED_BY_POLICY:
        return "policy";
    case REJECTED_CANNOT:
        return "cannot";
    default:
        return "rejected";
    }
}

/* Why it ended, as the last signed event says; for lack of one, as its state says. */
static const char *end_reason(struct agent *agent, const struct profile_session *session)
{
    struct profile_scope scope;
    struct profile_event last;
    struct event event;

    if (session->state <= SESSION_ACTIVE)
        return NULL;
    if (profile_scope_get(agent->store, session->session_id, &scope) && scope.next_event > 0
        && profile_events(agent->store, session->session_id, scope.next_event - 1, &last, 1) == 1
        && event_parse(bytes_of(last.preimage, EVENT_SIZE), &event) == ERR_OK
        && last.body_len > 0) {
        if (event.type == EVENT_CLOSED)
            return closed_word(last.body[0]);
        if (event.type == EVENT_REJECTED)
            return rejected_word(last.body[0]);
        if (event.type == EVENT_EXPIRED)
            return last.body[0] == EXPIRED_REVOKED ? "revoked" : "expired";
        if (event.type == EVENT_ROTATED)
            return "rotated";
    }
    if (session->state == SESSION_EXPIRED)
        return "expired";
    return session->state == SESSION_REJECTED ? "blocked" : "state_lost";
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void describe(struct agent *agent, const struct profile_session *session,
                     char name[static NAME_MAX_LEN + 1], struct session_info *out)
{
    static const enum session_phase phases[]
        = { [SESSION_ASKED] = PHASE_ASKED,       [SESSION_WAS_ASKED] = PHASE_WAS_ASKED,
            [SESSION_ACTIVE] = PHASE_ACTIVE,     [SESSION_CLOSED] = PHASE_CLOSED,
            [SESSION_REJECTED] = PHASE_REJECTED, [SESSION_EXPIRED] = PHASE_EXPIRED,
            [SESSION_ROTATED] = PHASE_ROTATED,   [SESSION_BROKEN] = PHASE_BROKEN };
    struct profile_received received = { 0 };
    struct profile_scope scope = { 0 };
    struct profile_peer peer = { 0 };

    profile_scope_get(agent->store, session->session_id, &scope);
    profile_peer_get(agent->store, session->peer_id, &peer);
    profile_received_get(agent->store, session->session_id, session->peer_id, &received);
    *out = (struct session_info){ .phase = phases[session->state],
                                  .live = session->mode == MODE_LIVE,
                                  .suite = session->suite,
                                  .sent_seq = scope.next_seq > 0 ? scope.next_seq - 1 : 0,
                                  .received_seq = received.seq,
                                  .skipped_keys = session->skipped,
                                  .opened_ms = session->opened_ms,
                                  .expires_ms = session->due_ms,
                                  .reason = end_reason(agent, session) };
    out->last_ms
        = later(session->heard_ms, profile_out_last_sealed_ms(agent->store, session->session_id));
    memcpy(out->id, session->id, 16);
    memcpy(out->aid, peer.id, 32);
    memcpy(name, peer.name, sizeof peer.name);
    out->peer = bytes_of_text(name);
    buf_free(&received.missing);
}

/* ------------------------------------------------------------------ looking */

enum err agent_sessions_each(struct agent *agent, const uint8_t *aid, bool all,
                             void (*each)(void *ctx, const struct session_info *session), void *ctx)
{
    struct profile_session session;
    char name[NAME_MAX_LEN + 1];
    int64_t after = 0, peer_id = 0;
    struct profile_peer peer;

    if (aid) {
        if (!profile_peer_find(agent->store, aid, &peer))
            return agent_store_failure(agent->store);
        peer_id = peer.peer_id;
    }
    while (profile_session_next(agent->store, after, &session)) {
        struct session_info info;
        after = session.session_id;
        if ((peer_id && session.peer_id != peer_id)
            || (!all && session.state > SESSION_ACTIVE && session.state != SESSION_BROKEN))
            continue;
        describe(agent, &session, name, &info);
        each(ctx, &info);
    }
    return agent_store_failure(agent->store);
}

static bool find(struct agent *agent, const uint8_t sid[static 16], struct profile_session *session)
{
    struct profile_scope scope;

    return profile_scope_find(agent->store, sid, &scope)
           && profile_session_get(agent->store, scope.scope_id, session);
}

enum err agent_session_get(struct agent *agent, const uint8_t sid[static 16],
                           struct session_info *out)
{
    struct agent_views *views = agent_views_of(agent);
    struct profile_session session;

    if (!find(agent, sid, &session))
        return ERR_NOT_FOUND;
    describe(agent, &session, views->session_peer, out);
    return agent_store_failure(agent->store);
}

enum err agent_session_of(struct agent *agent, const uint8_t id[static 16],
                          struct session_info *out)
{
    struct agent_views *views = agent_views_of(agent);
    struct profile_session session;
    struct profile_out sent;
    struct profile_dead dead;
    struct profile_in in;
    int64_t scope_id = 0;

    if (find(agent, id, &session))
        return agent_session_get(agent, id, out);
    if (profile_out_find(agent->store, id, &sent))
        scope_id = sent.scope_id;
    else if (profile_dead_find(agent->store, id, &dead))
        scope_id = dead.scope_id;
    else if (profile_in_find(agent->store, id, &in))
        scope_id = in.scope_id;
    if (scope_id == 0 || !profile_session_get(agent->store, scope_id, &session))
        return ERR_NOT_FOUND;
    describe(agent, &session, views->session_peer, out);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ closing */

static bool is_open(const struct profile_session *session)
{
    return session->state <= SESSION_ACTIVE || session->state == SESSION_BROKEN;
}

/* Is something of mine not final there? */
static bool has_unsettled(struct agent *agent, const struct profile_session *session)
{
    struct profile_out row;
    uint64_t seq = 1;

    while (profile_out_next_unsettled(agent->store, session->session_id, seq, &row)) {
        if (row.kind == ENVELOPE_USER)
            return true;
        seq = row.seq + 1;
    }
    return profile_out_next_bound(agent->store, session->session_id, 0, &row)
           && row.kind == ENVELOPE_USER;
}

static void drop_queue(struct agent *agent, int64_t peer_id)
{
    struct profile_out row;

    while (profile_out_next_queued(agent->store, peer_id, 0, &row)
           || profile_out_next_live(agent->store, peer_id, 0, &row))
        profile_dead_letter(agent->store, &row, DEAD_SESSION_ENDED, "", agent_now(agent));
}

/* A request that is taken back is not made again with the next session. */
static void take_back(struct agent *agent, const struct profile_session *session)
{
    struct profile_out row;
    bool asked = profile_out_at(agent->store, session->session_id, 1, &row);

    agent_session_close(agent, session, SESSION_CLOSED, CLOSED_DONE);
    if (asked && profile_out_get(agent->store, row.outbox_id, &row) && row.state == OUTBOX_QUEUED)
        profile_dead_letter(agent->store, &row, DEAD_SESSION_ENDED, "", agent_now(agent));
}

/* From now on its word of old does not count: it asks again.  A live session says nothing on that.
 */
static bool close_one(struct agent *agent, const struct profile_session *session)
{
    if (session->state == SESSION_WAS_ASKED)
        agent_session_reject(agent, session, REJECTED_BY_PERSON);
    else if (session->state == SESSION_ASKED)
        take_back(agent, session);
    else
        agent_session_close(agent, session, SESSION_CLOSED, CLOSED_DONE);
    return session->mode == MODE_MAILBOX;
}

static enum err close_all(struct agent *agent, const struct profile_peer *peer, const uint8_t *sid,
                          bool even_undelivered)
{
    struct profile_session session;
    bool any = false, mail = false;
    int64_t after = 0;

    if (!even_undelivered && !sid && profile_out_count_of(agent->store, peer->peer_id) > 0)
        return ERR_STATE;
    while (profile_session_next_of(agent->store, peer->peer_id, after, &session)) {
        after = session.session_id;
        if (!is_open(&session) || (sid && memcmp(sid, session.id, 16) != 0))
            continue;
        if (!even_undelivered && has_unsettled(agent, &session))
            return ERR_STATE;
        any = true;
        mail = close_one(agent, &session) || mail;
    }
    if (!any)
        return ERR_NOT_FOUND;
    if (!sid)
        drop_queue(agent, peer->peer_id);
    if (mail && peer->policy == POLICY_ACCEPTED)
        profile_peer_policy(agent->store, peer->peer_id, POLICY_ASK);
    return ERR_OK;
}

enum err agent_close(struct agent *agent, const uint8_t aid[static 32], const uint8_t *sid,
                     bool even_undelivered)
{
    struct profile_peer peer;
    enum err e;

    agent_enter(agent);
    agent_acks_hurry(agent); /* the peer takes what it has no receipt for as lost with the session */
    e = profile_peer_find(agent->store, aid, &peer) ? close_all(agent, &peer, sid, even_undelivered)
                                                    : ERR_NOT_FOUND;
    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    agent->changed = true;
    e = agent_leave(agent);
    agent_store_tidy(agent->store, true);
    return e;
}

/* Contact, as programs ask for it and answer it: request, requests, accept, reject. */
#include "agent/flow/chain.h"
#include "agent/flow/contact.h"
#include "agent/flow/group.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/rotate.h"
#include "agent/flow/session.h"
#include "agent/flow/verify.h"
#include "agent/flow/views.h"
#include "agent/store/log.h"
#include "agent/store/dead.h"
#include "agent/store/inbox.h"
#include "shared/trust/init0.h"
#include "shared/wire/limit.h"

/* ------------------------------------------------------------------ requests that wait */

/* Still to be answered by me? */
static bool is_held(const struct agent *agent, const struct profile_session *session)
{
    return session->state == SESSION_WAS_ASKED && session->due_ms > agent_now(agent);
}

/* That a session gets new keys is nothing that a person asked for. */
static bool is_waiting(struct agent *agent, const struct profile_session *session)
{
    uint8_t prev[16];

    return is_held(agent, session)
           || (session->state == SESSION_ASKED && session->due_ms > agent_now(agent)
               && !agent_session_prev(agent, session->session_id, prev));
}

/* What was said with it; false: nothing of it is here. */
static bool read_words(struct agent *agent, const struct profile_session *session,
                       struct buf *plain, struct request_info *out)
{
    struct profile_in in;
    struct profile_out sent;
    struct envelope envelope;
    bool found;

    out->media_type = out->body = bytes_of("", 0);
    if (out->incoming) {
        found = profile_in_held(agent->store, session->session_id, &in)
                && profile_in_message(agent->store, in.inbox_id, plain);
        out->made_ms = found ? in.stored_ms : session->opened_ms;
    } else {
        found = profile_out_at(agent->store, session->session_id, 1, &sent)
                && profile_out_message(agent->store, sent.outbox_id, plain);
        out->made_ms = session->opened_ms;
    }
    if (!found || envelope_decode(buf_bytes(plain), &envelope) != ERR_OK)
        return false;
    out->media_type = envelope.content_type.at ? envelope.content_type : bytes_of("", 0);
    out->body = envelope.body.at ? envelope.body : bytes_of("", 0);
    return true;
}

enum err agent_requests_each(struct agent *agent,
                             void (*each)(void *ctx, const struct request_info *request), void *ctx)
{
    struct profile_session session;
    struct buf plain = { 0 };
    int64_t after = 0;

    while (profile_session_next_live(agent->store, after, &session)) {
        struct request_info info = { .incoming = session.state == SESSION_WAS_ASKED,
                                     .live = session.mode == MODE_LIVE,
                                     .expires_ms = session.due_ms };
        struct directory_entry entry = { 0 };
        struct profile_peer peer;
        after = session.session_id;
        if (!is_waiting(agent, &session) || !profile_peer_get(agent->store, session.peer_id, &peer))
            continue;
        memcpy(info.session, session.id, 16);
        memcpy(info.aid, peer.id, 32);
        info.peer = bytes_of_text(peer.name);
        info.trust = agent_trust_of(&peer);
        profile_directory_get(agent->store, peer.id, &entry);
        info.circles = bytes_of_text(entry.circles);
        buf_wipe(&plain);
        read_words(agent, &session, &plain, &info);
        /* Whoever invites asks for contact as well: that is one question. */
        if (info.incoming && !info.live && info.body.len == 0
            && agent_group_invites_me(agent, peer.id))
            continue;
        each(ctx, &info);
    }
    agent_group_requests_each(agent, each, ctx);
    buf_wipe(&plain);
    buf_free(&plain);
    return agent_store_failure(agent->store);
}

/* ------------------------------------------------------------------ answers */

static enum err leave(struct agent *agent, enum err e)
{
    enum err left;

    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    agent->changed = true;
    left = agent_leave(agent);
    return left;
}

/* Whoever was blocked is what he was before; what was kept from him is told. */
static void unblock(struct agent *agent, struct profile_peer *peer)
{
    struct profile_session session;
    int64_t after = 0;

    profile_peer_pin(agent->store, peer, profile_peer_pin_before(agent->store, peer->peer_id),
                     "accepted by us", agent_now(agent));
    while (profile_session_next_of(agent->store, peer->peer_id, after, &session)) {
        after = session.session_id;
        if (session.state > SESSION_ACTIVE)
            agent_session_told(agent, &session);
    }
    profile_peer_get(agent->store, peer->peer_id, peer);
}

static void accept_held(struct agent *agent, const struct profile_peer *peer, bool *answered,
                        uint8_t sid[static 16])
{
    struct profile_session session;
    bool live = false;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, peer->peer_id, after, &session)) {
        after = session.session_id;
        if (!is_held(agent, &session))
            continue;
        agent_session_accept(agent, &session, peer);
        if (!*answered || (session.mode == MODE_LIVE && !live))
            memcpy(sid, session.id, 16);
        *answered = true;
        live = live || session.mode == MODE_LIVE;
    }
}

enum err agent_accept(struct agent *agent, const uint8_t aid[static 32], bool *answered,
                      uint8_t sid[static 16])
{
    struct profile_peer peer;
    enum err e = ERR_OK;

    *answered = false;
    memset(sid, 0, 16);
    if (agent->frozen)
        return ERR_ROLLBACK;
    agent_enter(agent);
    if (memcmp(aid, agent->me.row.id, 32) == 0)
        e = ERR_FORBIDDEN;
    else if (!agent_contact_row(agent, aid, &peer))
        e = ERR_UNKNOWN_AGENT;
    if (e == ERR_OK && peer.pin == PIN_BLOCKED)
        unblock(agent, &peer);
    if (e == ERR_OK && (peer.revoked_ms || profile_log_revoked(agent->store, aid)))
        e = ERR_CERT_REVOKED;
    if (e == ERR_OK
        && (peer.pin == PIN_CHANGED || profile_peer_has_pin(agent->store, peer.name, PIN_CHANGED)))
        e = ERR_KEY_CHANGED;
    if (e == ERR_OK && !agent_is_trusted(agent, &peer))
        e = ERR_NOT_VERIFIED;
    if (e == ERR_OK) {
        accept_held(agent, &peer, answered, sid);
        profile_peer_policy(agent->store, peer.peer_id, POLICY_ACCEPTED);
        agent_groups_judge(agent);
    }
    return leave(agent, e);
}

/* Nothing more goes either way, and nobody is told. */
static void block(struct agent *agent, const struct profile_peer *peer)
{
    struct profile_session session;
    struct profile_out row;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, peer->peer_id, after, &session)) {
        after = session.session_id;
        if (session.state == SESSION_ASKED)
            agent_session_close(agent, &session, SESSION_CLOSED, CLOSED_DONE);
        else if (session.state <= SESSION_ACTIVE || session.state == SESSION_BROKEN)
            agent_session_silence(agent, &session);
    }
    while (profile_out_next_queued(agent->store, peer->peer_id, 0, &row)
           || profile_out_next_live(agent->store, peer->peer_id, 0, &row))
        profile_dead_letter(agent->store, &row, DEAD_BLOCKED, "", agent_now(agent));
    profile_peer_pin(agent->store, peer, PIN_BLOCKED, "blocked by us", agent_now(agent));
    profile_peer_policy(agent->store, peer->peer_id, POLICY_ASK);
}

static void reject_held(struct agent *agent, const struct profile_peer *peer, bool *answered,
                        uint8_t sid[static 16])
{
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, peer->peer_id, after, &session)) {
        after = session.session_id;
        if (!is_held(agent, &session))
            continue;
        agent_session_reject(agent, &session, REJECTED_BY_PERSON);
        if (!*answered)
            memcpy(sid, session.id, 16);
        *answered = true;
    }
}

/* The first request that is held of the peer, before it is answered. */
static bool find_held(struct agent *agent, const struct profile_peer *peer, uint8_t sid[static 16])
{
    struct profile_session session;
    int64_t after = 0;

    while (profile_session_next_of(agent->store, peer->peer_id, after, &session)) {
        after = session.session_id;
        if (is_held(agent, &session)) {
            memcpy(sid, session.id, 16);
            return true;
        }
    }
    return false;
}

enum err agent_reject(struct agent *agent, const uint8_t aid[static 32], bool block_too,
                      bool *answered, uint8_t sid[static 16])
{
    struct profile_peer peer;
    enum err e = ERR_OK;

    *answered = false;
    memset(sid, 0, 16);
    agent_enter(agent);
    if (memcmp(aid, agent->me.row.id, 32) == 0) {
        e = ERR_FORBIDDEN;
    } else if (!agent_contact_row(agent, aid, &peer)) {
        e = ERR_UNKNOWN_AGENT;
    } else if (block_too) {
        *answered = find_held(agent, &peer, sid);
        block(agent, &peer);
    } else {
        reject_held(agent, &peer, answered, sid);
        e = *answered ? ERR_OK : ERR_NOT_FOUND;
    }
    return leave(agent, e);
}

/* ------------------------------------------------------------------ asking */

/* There is nothing to say, and what was asked for is there or under way. */
static bool is_asked_already(struct agent *agent, const struct profile_peer *peer,
                             uint8_t id[static 16])
{
    struct profile_session session;
    struct profile_out row;

    if (profile_session_active(agent->store, peer->peer_id, &session)
        || profile_session_asked(agent->store, peer->peer_id, &session)) {
        memcpy(id, session.id, 16);
        return true;
    }
    if (!profile_out_next_queued(agent->store, peer->peer_id, 0, &row))
        return false;
    memcpy(id, row.msg_id, 16);
    return true;
}

enum err agent_request(struct agent *agent, const struct contact_request *request,
                       uint8_t id[static 16])
{
    struct profile_peer peer;
    enum err e;

    agent_enter(agent);
    e = agent_outgoing_allowed(agent, request->to, request->body.len, &peer);
    if (e != ERR_OK)
        return leave(agent, e);
    if (!request->live && request->body.len == 0 && is_asked_already(agent, &peer, id)) {
        agent->look_queue = true;
        return leave(agent, ERR_OK);
    }
    if (request->id)
        memcpy(id, request->id, 16);
    else
        agent_random(agent, id, 16);
    agent_outgoing_introduce(agent, &peer, request->body, request->live, id);
    if (!request->live)
        agent_outgoing_seal_queue(agent, peer.peer_id);
    agent->look_queue = true;
    return leave(agent, ERR_OK);
}

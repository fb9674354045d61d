#include "agent/flow/rotate.h"

#include <stdio.h>

#include "agent/flow/chain.h"
#include "agent/flow/consent.h"
#include "agent/flow/contact.h"
#include "agent/flow/freeze.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/replenish.h"
#include "agent/flow/session.h"
#include "agent/flow/verify.h"
#include "agent/flow/views.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/trust/init0.h"
#include "shared/wire/limit.h"
#include "shared/wire/take.h"

#define OTHER_SIDE_MS     86400000 /* who was asked waits a day for the one who opened */
#define OTHER_SIDE_FRAMES 1000
#define AGAIN_MS          3600000
#define UNUSED_FRAMES     2 /* request and acceptance */

/* ------------------------------------------------------------------ facts kept by session */

#define KEY_SIZE 40

/* rotate.N: we want another in its place.  replaced_by.N: the peer said which one it shall be. */
static void key_of(char out[static KEY_SIZE], const char *what, int64_t session_id)
{
    snprintf(out, KEY_SIZE, "%s.%lld", what, (long long)session_id);
}

static void wish(struct agent *agent, int64_t session_id)
{
    char key[KEY_SIZE];

    key_of(key, "rotate", session_id);
    profile_number_set(agent->store, key, 1, "this session is to be replaced by a new one");
    agent->look_rotations = true;
}

static bool is_wished(struct agent *agent, int64_t session_id)
{
    char key[KEY_SIZE];
    uint64_t wanted = 0;

    key_of(key, "rotate", session_id);
    return profile_number_get(agent->store, key, &wanted) && wanted;
}

void agent_rotation_forget(struct agent *agent, int64_t session_id)
{
    char key[KEY_SIZE];

    key_of(key, "rotate", session_id);
    profile_fact_remove(agent->store, key);
    key_of(key, "replaced_by", session_id);
    profile_fact_remove(agent->store, key);
}

/* ------------------------------------------------------------------ old and new */

static bool is_used(const struct profile_session *session)
{
    return session->state == SESSION_ACTIVE && session->mode == MODE_MAILBOX;
}

bool agent_session_prev(struct agent *agent, int64_t session_id, uint8_t prev[static 16])
{
    struct profile_event opened;
    struct opened_body body;
    struct init0 init;

    if (profile_events(agent->store, session_id, 0, &opened, 1) != 1
        || opened_body_parse(bytes_of(opened.body, opened.body_len), &body) != ERR_OK
        || init0_parse(body.init0, &init) != ERR_OK || !(init.flags & INIT0_ROTATE))
        return false;
    memcpy(prev, init.prev_sid, 16);
    return true;
}

/* The session that `made` replaces, with the same peer. */
static bool find_old(struct agent *agent, const struct profile_session *made,
                     struct profile_session *old)
{
    struct profile_scope scope;
    uint8_t prev[16];

    return agent_session_prev(agent, made->session_id, prev)
           && profile_scope_find(agent->store, prev, &scope)
           && profile_session_get(agent->store, scope.scope_id, old)
           && old->peer_id == made->peer_id;
}

/* The newest that was to replace this one, in whatever state. */
static bool find_new(struct agent *agent, const struct profile_session *old,
                     struct profile_session *made)
{
    struct profile_session session;
    uint8_t prev[16];
    int64_t after = old->session_id;
    bool found = false;

    while (profile_session_next_of(agent->store, old->peer_id, after, &session)) {
        after = session.session_id;
        if (agent_session_prev(agent, after, prev) && memcmp(prev, old->id, 16) == 0) {
            *made = session;
            found = true;
        }
    }
    return found;
}

static bool is_under_way(struct agent *agent, const struct profile_session *old)
{
    struct profile_session made;

    return find_new(agent, old, &made) && made.state == SESSION_ASKED;
}

/* ------------------------------------------------------------------ the side that wants it */

bool agent_rotation_wanted(struct agent *agent, int64_t session_id, struct profile_session *out)
{
    return profile_session_get(agent->store, session_id, out) && is_used(out)
           && is_wished(agent, session_id) && !is_under_way(agent, out);
}

void agent_rotations_prepare(struct agent *agent)
{
    struct profile_session session, wanted;
    int64_t after = 0;

    if (!agent->look_rotations || !agent->synced || agent->frozen)
        return;
    agent->look_rotations = false;
    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (is_used(&session) && agent_rotation_wanted(agent, after, &wanted))
            agent_opening_rotate(agent, &wanted);
    }
}

static bool i_opened(struct agent *agent, int64_t session_id)
{
    struct session_chain chain;

    return agent_chain_load(agent, session_id, &chain)
           && memcmp(chain.aid_a, agent->me.row.id, 32) == 0;
}

static uint64_t frames_of(struct agent *agent, const struct profile_session *session)
{
    struct profile_received received = { 0 };
    struct profile_scope scope;
    uint64_t frames = 0;

    if (profile_scope_get(agent->store, session->session_id, &scope))
        frames = scope.next_seq - 1;
    profile_received_get(agent->store, session->session_id, session->peer_id, &received);
    frames += received.seq;
    buf_free(&received.missing);
    return frames;
}

/* Two who both count begin one after the other.  A session that nobody uses is left to end. */
static bool is_due(struct agent *agent, const struct profile_session *session)
{
    uint64_t now = agent_now(agent), frames = frames_of(agent, session);
    uint64_t age_ms = LIMIT_ROTATE_MS, most = LIMIT_ROTATE_FRAMES;
    struct profile_session made;

    if (!i_opened(agent, session->session_id)) {
        age_ms += OTHER_SIDE_MS;
        most += OTHER_SIDE_FRAMES;
    }
    if (frames <= UNUSED_FRAMES || (now < session->opened_ms + age_ms && frames < most))
        return false;
    return !find_new(agent, session, &made)
           || (made.state != SESSION_ASKED && now >= made.opened_ms + AGAIN_MS);
}

void agent_rotations_due(struct agent *agent)
{
    struct profile_session session;
    int64_t after = 0;

    if (agent->frozen || agent->leaving)
        return;
    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (is_used(&session) && !is_wished(agent, after) && is_due(agent, &session))
            wish(agent, after);
    }
}

bool agent_rotation_say(struct agent *agent, const struct profile_session *old,
                        const struct profile_peer *peer, const struct profile_session *made)
{
    struct profile_out row;

    agent_rotation_forget(agent, old->session_id);
    if (!agent_outgoing_rotate(agent, old, peer, made->id, made->id, made->due_ms, &row))
        return false;
    log_event(LOG_INFO, "session.rotate", "session=%s peer=%s", log_id(old->id),
              log_value(peer->name));
    agent_outgoing_seal_session(agent, old);
    return true;
}

bool agent_rotation_unsaid(struct agent *agent, const struct profile_session *made)
{
    struct profile_out row;

    return profile_out_find(agent->store, made->id, &row) && row.kind == ENVELOPE_ROTATE
           && row.state < OUTBOX_ACCEPTED;
}

void agent_rotation_done(struct agent *agent, const struct profile_session *made,
                         const struct profile_peer *peer)
{
    struct session_chain chain;
    struct profile_session old;

    if (!find_old(agent, made, &old) || !is_used(&old)
        || !agent_chain_load(agent, old.session_id, &chain) || chain.state != CHAIN_ACTIVE)
        return;
    agent_chain_append(agent, &old, EVENT_ROTATED, peer->id, bytes_of(made->id, 16));
    agent_session_replaced(agent, &old);
}

void agent_rotation_failed(struct agent *agent, const struct profile_session *made, enum err why,
                           bool again)
{
    struct profile_session old;

    if (!again || !find_old(agent, made, &old) || !is_used(&old))
        return;
    wish(agent, old.session_id);
    agent_opening_wait(agent, old.peer_id, false, old.session_id, why, 0);
}

/* ------------------------------------------------------------------ the other side */

void agent_rotation_said(struct agent *agent, const struct profile_session *session,
                         struct bytes body)
{
    struct take take = take_of(body);
    struct profile_session asked;
    struct profile_scope scope;
    struct profile_peer peer;
    const uint8_t *sid;
    char key[KEY_SIZE];

    take_array_of(&take, 1);
    sid = take_fixed(&take, 16);
    if (take_end(&take) != ERR_OK || session->mode != MODE_MAILBOX)
        return;
    key_of(key, "replaced_by", session->session_id);
    profile_blob_set(agent->store, key, bytes_of(sid, 16),
                     "the peer said inside: this session takes its place");
    /* The request was faster. */
    if (profile_scope_find(agent->store, sid, &scope)
        && profile_session_get(agent->store, scope.scope_id, &asked)
        && asked.state == SESSION_WAS_ASKED && asked.due_ms > agent_now(agent)
        && profile_peer_get(agent->store, asked.peer_id, &peer)
        && agent_consent(agent, &peer, &asked) == CONSENT_GIVE)
        agent_session_accept(agent, &asked, &peer);
}

bool agent_rotation_agreed(struct agent *agent, const struct profile_session *asked)
{
    struct profile_session old;
    struct buf said = { 0 };
    char key[KEY_SIZE];
    bool agreed = false;

    if (asked->mode == MODE_MAILBOX && find_old(agent, asked, &old) && is_used(&old)) {
        key_of(key, "replaced_by", old.session_id);
        agreed = profile_blob_get(agent->store, key, &said)
                 && bytes_equal(buf_bytes(&said), bytes_of(asked->id, 16));
    }
    buf_free(&said);
    return agreed;
}

/* ------------------------------------------------------------------ what programs ask for */

static enum err leave(struct agent *agent, enum err e)
{
    if (e != ERR_OK) {
        agent_store_rollback(agent->store);
        return e;
    }
    agent->changed = true;
    return agent_leave(agent);
}

static enum err wish_for(struct agent *agent, const struct profile_session *session)
{
    struct profile_peer peer;
    enum err e = ERR_UNKNOWN_AGENT;

    if (profile_peer_get(agent->store, session->peer_id, &peer))
        e = agent_may_write(agent, &peer);
    if (e == ERR_OK && !is_under_way(agent, session))
        wish(agent, session->session_id);
    return e;
}

enum err agent_rotate(struct agent *agent, const uint8_t aid[static 32], uint8_t sid[static 16])
{
    struct profile_session session;
    struct profile_peer peer;
    enum err e = ERR_NOT_FOUND;

    if (agent->frozen)
        return ERR_ROLLBACK;
    agent_enter(agent);
    if (profile_peer_find(agent->store, aid, &peer)
        && profile_session_active(agent->store, peer.peer_id, &session))
        e = wish_for(agent, &session);
    if (e == ERR_OK)
        memcpy(sid, session.id, 16);
    return leave(agent, e);
}

enum err agent_session_successor(struct agent *agent, const uint8_t sid[static 16],
                                 struct session_info *out)
{
    struct profile_session old, made;
    struct profile_scope scope;

    if (!profile_scope_find(agent->store, sid, &scope)
        || !profile_session_get(agent->store, scope.scope_id, &old)
        || !find_new(agent, &old, &made))
        return ERR_NOT_FOUND;
    return agent_session_get(agent, made.id, out);
}

/* Asks the peer of a session that was lost for a new one, if nothing else is about to. */
static void ask_anew(struct agent *agent, const struct profile_session *lost)
{
    struct profile_session session;
    struct profile_peer peer;
    struct profile_out row;
    uint8_t id[16];

    if (lost->mode != MODE_MAILBOX || !profile_peer_get(agent->store, lost->peer_id, &peer)
        || agent_may_write(agent, &peer) != ERR_OK
        || profile_session_active(agent->store, peer.peer_id, &session)
        || profile_session_asked(agent->store, peer.peer_id, &session)
        || profile_out_next_queued(agent->store, peer.peer_id, 0, &row))
        return;
    agent_random(agent, id, sizeof id);
    agent_outgoing_introduce(agent, &peer, bytes_of("", 0), false, id);
}

/* All that an old profile has is old: its sessions end, signed, and new ones are asked for; nobody
 * has its prekeys any more. */
static void begin_anew(struct agent *agent)
{
    struct profile_session session;
    int64_t after = 0;

    agent_thaw(agent);
    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (session.state != SESSION_WAS_ASKED)
            agent_session_close(agent, &session, SESSION_BROKEN, CLOSED_STATE_LOST);
    }
    after = 0;
    while (profile_session_next(agent->store, after, &session)) {
        after = session.session_id;
        if (session.state == SESSION_BROKEN)
            ask_anew(agent, &session);
    }
    agent_prekeys_renew(agent);
    agent->look_events = agent->look_queue = true;
}

enum err agent_rotate_all(struct agent *agent)
{
    struct profile_session session;
    int64_t after = 0;

    agent_enter(agent);
    if (agent->frozen) {
        begin_anew(agent);
        return leave(agent, ERR_OK);
    }
    while (profile_session_next_live(agent->store, after, &session)) {
        after = session.session_id;
        if (is_used(&session))
            wish_for(agent, &session);
    }
    return leave(agent, ERR_OK);
}

/*
 * rotate, leave - new keys, and the end of this agent (docs: cli 3.1, 3.5).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NETWORK_MS 5000
#define LEAVE_MS   15000

/* ------------------------------------------------------------------ rotate
 * Parameters   peer, or keys, or all.   Items   `session`; with keys `agent_self` */

struct rotating {
    bool asked;
    uint8_t (*sid)[16]; /* owned: the sessions that are replaced */
    size_t count;
};

static void note_old(struct rotating *rotating, const uint8_t sid[static 16])
{
    rotating->sid = mem_resize(rotating->sid, (rotating->count + 1) * sizeof *rotating->sid);
    memcpy(rotating->sid[rotating->count++], sid, 16);
}

static void note_active(void *ctx, const struct session_info *session)
{
    if (session->phase == PHASE_ACTIVE && !session->live)
        note_old(ctx, session->id);
}

static void give_open(void *ctx, const struct session_info *session)
{
    call_item(ctx, object_session(session));
}

/* Has every one its successor? */
static bool all_replaced(struct call *call, const struct rotating *rotating)
{
    for (size_t i = 0; i < rotating->count; i++) {
        struct session_info session;
        if (agent_session_get(call->agent, rotating->sid[i], &session) == ERR_OK
            && session.phase == PHASE_ACTIVE)
            return false;
    }
    return true;
}

/* The new session, or the one that goes on until the peer has agreed. */
static void give_replaced(struct call *call, const struct rotating *rotating)
{
    for (size_t i = 0; i < rotating->count; i++) {
        struct session_info old, made;
        if (agent_session_get(call->agent, rotating->sid[i], &old) != ERR_OK)
            continue;
        if (old.phase == PHASE_ACTIVE) {
            call_note(call, "%.*s has not agreed yet; until then the session goes on",
                      (int)old.peer.len, (const char *)old.peer.at);
            call_item(call, object_session(&old));
        } else if (agent_session_successor(call->agent, rotating->sid[i], &made) == ERR_OK) {
            call_item(call, object_session(&made));
        } else {
            call_item(call, object_session(&old));
        }
    }
}

static void ask_one(struct call *call, struct rotating *rotating, const char *peer,
                    const uint8_t aid[static 32])
{
    uint8_t sid[16];
    enum err e = agent_rotate(call->agent, aid, sid);

    if (e == ERR_OK)
        note_old(rotating, sid);
    else if (e == ERR_NOT_FOUND)
        call_fail_with(call, 6, "no_session", "sealpost sessions",
                       "there is no active session with %.64s", peer);
    else
        call_fail_peer(call, e, peer);
}

static void ask_all(struct call *call, struct rotating *rotating)
{
    enum err e = agent_sessions_each(call->agent, NULL, false, note_active, rotating);

    if (e == ERR_OK)
        e = agent_rotate_all(call->agent);
    if (e != ERR_OK)
        call_fail_err(call, e, "sessions");
}

static void rotate_keys(struct call *call)
{
    struct agent_self self;
    enum err e = agent_rotate_keys(call->agent);

    if (e == ERR_OK)
        e = agent_self_get(call->agent, &self);
    if (e == ERR_STATE)
        call_fail_with(call, 4, "pending_approval", "sealpost status",
                       "this agent has not been enrolled yet");
    else if (e != ERR_OK)
        call_fail_err(call, e, "keys");
    else
        call_item(call, object_agent_self(&self, call->host->profile, call->host->dir));
}

/* False: the broker is waited for, or the call has failed. */
static bool may_ask(struct call *call, uint64_t until)
{
    enum reach reach = call_reach(call, until);
    struct failure failure;
    struct agent_link link;

    if (reach == REACH_WAITING)
        return false;
    if (reach == REACH_THERE || call->offline)
        return true;
    agent_link_get(call->agent, &link);
    if (link.state == STATE_REFUSED && !(link.refusal == ERR_ROLLBACK && call_flag(call, "all"))
        && call_link_refused(call, &failure)) {
        call_fail(call, &failure);
        return false;
    }
    if (link.state != STATE_REFUSED) {
        call_link_failure(call, &failure);
        call_note(call, "%s; it goes out by itself", failure.message);
    }
    return true;
}

static void rotate_step(struct call *call)
{
    struct rotating *rotating = call->state;
    uint64_t until = call_deadline(call, NETWORK_MS);
    const char *peer = call_text(call, "peer");
    uint8_t aid[32];

    if (!rotating->asked) {
        if (!may_ask(call, until) || (peer && !call_find_peer(call, peer, until, aid)))
            return;
        rotating->asked = true;
        if (peer)
            ask_one(call, rotating, peer, aid);
        else if (call_flag(call, "keys"))
            rotate_keys(call);
        else
            ask_all(call, rotating);
        if (call_flag(call, "keys"))
            call_end(call, 0);
        if (call->ended)
            return;
    }
    if (call_reach(call, until) != REACH_NOT
        && (call_reach(call, until) == REACH_WAITING || !all_replaced(call, rotating))
        && call->now_ms < until) {
        call->wake_ms = until;
        return;
    }
    if (rotating->count)
        give_replaced(call, rotating);
    else
        agent_sessions_each(call->agent, NULL, false, give_open, call);
    call_end(call, 0);
}

static void rotate_stop(struct call *call)
{
    struct rotating *rotating = call->state;

    free(rotating->sid);
}

const struct call_verb call_rotate = { .name = "rotate",
                                       .online = true,
                                       .state_len = sizeof(struct rotating),
                                       .step = rotate_step,
                                       .stop = rotate_stop };

/* ------------------------------------------------------------------ leave
 * Parameters   yes? (messages that are not final are given up).   Items   `left` */

struct leaving {
    bool said;
};

static bool may_leave(struct call *call)
{
    struct agent_counts counts;
    enum err e = agent_counts_get(call->agent, &counts);

    if (e != ERR_OK) {
        call_fail_err(call, e, "outbox");
        return false;
    }
    if (counts.queued + counts.stored == 0 || call_flag(call, "yes"))
        return true;
    call_fail_with(
        call, 4, "undelivered", "sealpost outbox; or, to give them up: sealpost leave --yes",
        "%llu messages are not delivered", (unsigned long long)(counts.queued + counts.stored));
    return false;
}

static void leave_step(struct call *call)
{
    struct leaving *leaving = call->state;
    uint64_t until = call_deadline(call, LEAVE_MS);
    struct failure failure;
    struct agent_self self;
    enum reach reach;
    enum err e = agent_self_get(call->agent, &self);

    if (e == ERR_OK && self.state == SELF_REVOKED) {
        call_item(call, object_left(&self, false));
        call_end(call, 0);
        return;
    }
    reach = call_reach(call, until);
    if (e == ERR_OK && !leaving->said && reach == REACH_THERE) {
        if (!may_leave(call))
            return;
        e = agent_leave_broker(call->agent);
        leaving->said = true;
        reach = REACH_WAITING;
    }
    if (e != ERR_OK) {
        call_fail_err(call, e, "leave");
    } else if (reach == REACH_NOT) {
        call_link_failure(call, &failure);
        call_fail(call, &failure);
    }
    call->wake_ms = until;
}

const struct call_verb call_leave
    = { .name = "leave", .online = true, .state_len = sizeof(struct leaving), .step = leave_step };

/*
 * sessions, close - what is agreed with whom (docs: cli 3.5).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NETWORK_MS 5000

static void give_session(void *ctx, const struct session_info *session)
{
    call_item(ctx, object_session(session));
}

/* Has the broker told what there is?  From this disk alone is worth a note. */
static bool is_caught_up(struct call *call, uint64_t until)
{
    enum reach reach = call_reach(call, until);
    struct failure failure;

    if (reach == REACH_NOT && !call->offline) {
        call_link_failure(call, &failure);
        call_note(call, "%s", failure.message);
    }
    return reach != REACH_WAITING;
}

/* ------------------------------------------------------------------ sessions
 * Parameters   peer?, all?.   Items   `session` */

static void sessions_step(struct call *call)
{
    uint64_t until = call_deadline(call, NETWORK_MS);
    const char *peer = call_text(call, "peer");
    uint8_t aid[32];
    enum err e;

    if (!is_caught_up(call, until) || (peer && !call_find_peer(call, peer, until, aid)))
        return;
    e = agent_sessions_each(call->agent, peer ? aid : NULL, call_flag(call, "all"), give_session,
                            call);
    if (e != ERR_OK)
        call_fail_err(call, e, "sessions");
    call_end(call, 0);
}

const struct call_verb call_sessions
    = { .name = "sessions", .online = true, .step = sessions_step };

/* ------------------------------------------------------------------ close
 * Parameters   peer or all, yes? (messages that are not final become dead letters).
 * Items        `session` */

/* What was open, to show what became of it. */
struct open_session {
    uint8_t id[16], aid[32];
    char peer[NAME_MAX_LEN + 1];
};

struct open_sessions {
    struct open_session *at; /* owned */
    size_t count;
};

static void note_open(void *ctx, const struct session_info *session)
{
    struct open_sessions *open = ctx;
    struct open_session *one;

    open->at = mem_resize(open->at, (open->count + 1) * sizeof *open->at);
    one = &open->at[open->count++];
    memcpy(one->id, session->id, sizeof one->id);
    memcpy(one->aid, session->aid, sizeof one->aid);
    snprintf(one->peer, sizeof one->peer, "%.*s", (int)session->peer.len,
             (const char *)session->peer.at);
}

static void close_failure(struct call *call, enum err e, const char *peer, struct failure *out)
{
    char hint[160];

    if (e == ERR_STATE) {
        snprintf(hint, sizeof hint,
                 "sealpost outbox; or, to give them up: sealpost close %.64s --yes", peer);
        failure_set(out, 4, "undelivered", hint, "messages to %.64s are not delivered", peer);
    } else if (e == ERR_NOT_FOUND) {
        failure_set(out, 6, "no_session", "sealpost sessions", "there is no session with %.64s",
                    peer);
    } else {
        call_peer_failure(call, e, peer, out);
        return;
    }
    snprintf(out->peer, sizeof out->peer, "%.64s", peer);
}

static void give_closed(struct call *call, const struct open_session *open)
{
    struct session_info session;

    if (agent_session_get(call->agent, open->id, &session) == ERR_OK
        && session.phase > PHASE_ACTIVE)
        call_item(call, object_session(&session));
}

static void close_peer(struct call *call, const char *peer, const uint8_t aid[static 32])
{
    struct open_sessions open = { 0 };
    struct failure failure;
    enum err e = agent_sessions_each(call->agent, aid, false, note_open, &open);

    if (e == ERR_OK)
        e = agent_close(call->agent, aid, NULL, call_flag(call, "yes"));
    for (size_t i = 0; e == ERR_OK && i < open.count; i++)
        give_closed(call, &open.at[i]);
    free(open.at);
    if (e != ERR_OK) {
        close_failure(call, e, peer, &failure);
        call_fail(call, &failure);
    }
}

/* Every session is tried; the first failure is the one that counts. */
static void close_all(struct call *call)
{
    struct open_sessions open = { 0 };
    struct failure first = { 0 }, failure;
    enum err e = agent_sessions_each(call->agent, NULL, false, note_open, &open);

    if (e != ERR_OK)
        call_fail_err(call, e, "sessions");
    for (size_t i = 0; !call->ended && i < open.count; i++) {
        e = agent_close(call->agent, open.at[i].aid, open.at[i].id, call_flag(call, "yes"));
        if (e == ERR_OK) {
            give_closed(call, &open.at[i]);
            continue;
        }
        close_failure(call, e, open.at[i].peer, &failure);
        if (first.exit == 0)
            first = failure;
        else
            call_note(call, "%s", failure.message);
    }
    free(open.at);
    if (first.exit)
        call_fail(call, &first);
}

static void close_step(struct call *call)
{
    uint64_t until = call_deadline(call, NETWORK_MS);
    const char *peer = call_text(call, "peer");
    uint8_t aid[32];

    if (!is_caught_up(call, until))
        return;
    if (call_flag(call, "all"))
        close_all(call);
    else if (call_find_peer(call, peer ? peer : "", until, aid))
        close_peer(call, peer, aid);
    else
        return;
    call_end(call, 0);
}

const struct call_verb call_close = { .name = "close", .online = true, .step = close_step };

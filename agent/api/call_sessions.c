/*
 * sessions, close - what is agreed with whom (docs: cli 3.5).
 */
#include <stdio.h>
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
 * Parameters   peer, yes? (messages that are not final become dead letters).   Items   `session` */

#define CLOSED_MAX 64

/* Ids of what is open, to show what became of it. */
struct open_sessions {
    uint8_t id[CLOSED_MAX][16];
    size_t count;
};

static void note_open(void *ctx, const struct session_info *session)
{
    struct open_sessions *open = ctx;

    if (open->count < CLOSED_MAX)
        memcpy(open->id[open->count++], session->id, sizeof session->id);
}

static void give_closed(struct call *call, const struct open_sessions *open)
{
    struct session_info session;

    for (size_t i = 0; i < open->count; i++)
        if (agent_session_get(call->agent, open->id[i], &session) == ERR_OK)
            call_item(call, object_session(&session));
}

static void close_failed(struct call *call, enum err e, const char *peer)
{
    struct failure failure;
    char hint[128];

    if (e == ERR_STATE) {
        snprintf(hint, sizeof hint, "sealpost outbox; or: sealpost close %.64s --yes", peer);
        failure_set(&failure, 4, "undelivered", hint, "messages to %.64s are not delivered", peer);
    } else if (e == ERR_NOT_FOUND) {
        failure_set(&failure, 6, "no_session", "sealpost sessions",
                    "there is no session with %.64s", peer);
    } else {
        call_fail_peer(call, e, peer);
        return;
    }
    snprintf(failure.peer, sizeof failure.peer, "%.64s", peer);
    call_fail(call, &failure);
}

static void close_step(struct call *call)
{
    uint64_t until = call_deadline(call, NETWORK_MS);
    const char *peer = call_text(call, "peer");
    struct open_sessions open = { .count = 0 };
    uint8_t aid[32];
    enum err e;

    if (!is_caught_up(call, until) || !call_find_peer(call, peer ? peer : "", until, aid))
        return;
    e = agent_sessions_each(call->agent, aid, false, note_open, &open);
    if (e == ERR_OK)
        e = agent_close(call->agent, aid, NULL, call_flag(call, "yes"));
    if (e == ERR_OK)
        give_closed(call, &open);
    else
        close_failed(call, e, peer);
    call_end(call, 0);
}

const struct call_verb call_close = { .name = "close", .online = true, .step = close_step };

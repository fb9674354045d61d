/*
 * request, requests, accept, reject - who may write (docs: cli 3.4).
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/api/call_group.h"
#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define NETWORK_MS       5000
#define WAIT_ACCEPTED_MS 60000

/* ------------------------------------------------------------------ request
 * Parameters   peer, id, body_b64?, live?, wait?.   Items   one `session` */

struct asking {
    uint8_t to[32], id[16]; /* id: of the introduction */
    bool found, asked;
};

static const char *asked_peer(const struct call *call)
{
    const char *peer = call_text(call, "peer");

    return peer ? peer : "";
}

static void fail_about(struct call *call, struct failure *failure)
{
    snprintf(failure->peer, sizeof failure->peer, "%.64s", asked_peer(call));
    call_fail(call, failure);
}

static uint64_t asking_deadline(const struct call *call)
{
    return call_deadline(call, call_flag(call, "wait") ? WAIT_ACCEPTED_MS : NETWORK_MS);
}

static bool body_decode(struct call *call, struct buf *body)
{
    const char *b64 = call_text(call, "body_b64");
    size_t len = b64 ? strlen(b64) : 0, got = 0;
    uint8_t *to = buf_extend(body, len / 4 * 3 + 3);
    bool ok = !b64
              || sodium_base642bin(to, len / 4 * 3 + 3, b64, len, NULL, &got, NULL,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING)
                     == 0;

    body->len = got;
    return ok;
}

/* An owner that ended in the middle may have asked already. */
static bool was_asked(struct call *call, const uint8_t id[static 16])
{
    struct session_info session;
    struct outgoing_info out;

    return agent_session_of(call->agent, id, &session) == ERR_OK
           || agent_outgoing_get(call->agent, id, &out) == ERR_OK;
}

static void ask(struct call *call, struct asking *a)
{
    const char *hex = call_text(call, "id");
    uint8_t id[16];
    struct contact_request request = { .live = call_flag(call, "live"), .id = id };
    struct buf body = { 0 };
    enum err e;

    memcpy(request.to, a->to, sizeof request.to);
    if (!hex || hex_decode(id, sizeof id, hex, strlen(hex)) != ERR_OK || !body_decode(call, &body)) {
        call_fail_err(call, ERR_INTERNAL, "request");
    } else if (was_asked(call, id)) {
        memcpy(a->id, id, sizeof id);
        a->asked = true;
    } else {
        request.body = buf_bytes(&body);
        e = agent_request(call->agent, &request, a->id);
        a->asked = e == ERR_OK;
        if (e == ERR_TOO_LARGE)
            call_fail_with(call, 4, "too_large", NULL, "%zu B, limit 61440 B", body.len);
        else if (e != ERR_OK)
            call_fail_peer(call, e, asked_peer(call));
    }
    buf_wipe(&body);
}

/* The session is there: with --wait its answer counts. */
static void judge_session(struct call *call, const struct session_info *session)
{
    struct failure failure;
    char within[SHORT_TEXT_SIZE];

    if (session->phase == PHASE_ACTIVE
        || (session->phase == PHASE_ASKED && !call_flag(call, "wait"))) {
        call_item(call, object_session(session));
        call_end(call, 0);
    } else if (session->phase > PHASE_ACTIVE) {
        call_item(call, object_session(session));
        failure_set(&failure, session->phase == PHASE_EXPIRED ? 5 : 4,
                    session->phase == PHASE_EXPIRED ? "expired" : "rejected", NULL,
                    "%.64s did not accept: %s", asked_peer(call),
                    session->reason ? session->reason : object_phase(session->phase));
        fail_about(call, &failure);
    } else if (call->now_ms >= asking_deadline(call)) {
        call_item(call, object_session(session));
        duration_text(within, call->now_ms - call->started_ms);
        failure_set(&failure, 5, "timeout", "sealpost requests",
                    "%.64s has not accepted within %s; the request stays", asked_peer(call),
                    within);
        fail_about(call, &failure);
    } else {
        call->wake_ms = asking_deadline(call);
    }
}

struct earlier {
    bool found;
    uint8_t sid[16];
};

static void note_earlier(void *ctx, const struct session_info *session)
{
    struct earlier *earlier = ctx;

    if (session->live || session->phase != PHASE_ASKED)
        return;
    earlier->found = true;
    memcpy(earlier->sid, session->id, 16);
}

/* The peer was asked before, and this text goes behind its answer.  False: nothing of it. */
static bool judge_earlier(struct call *call, const struct asking *a)
{
    struct earlier earlier = { .found = false };
    struct session_info session;

    if (agent_sessions_each(call->agent, a->to, false, note_earlier, &earlier) != ERR_OK
        || !earlier.found || agent_session_get(call->agent, earlier.sid, &session) != ERR_OK)
        return false;
    judge_session(call, &session);
    if (call->ended)
        call_note(call, "this text goes out when %s has accepted", asked_peer(call));
    return true;
}

/* Nothing has reached the broker yet. */
static void judge_queued(struct call *call, const struct asking *a)
{
    struct outgoing_info out;
    struct failure failure;
    bool known = agent_outgoing_get(call->agent, a->id, &out) == ERR_OK;

    if (known && (out.state == OUT_REFUSED || out.state == OUT_EXPIRED)) {
        failure_set(&failure, out.state == OUT_EXPIRED ? 5 : 4,
                    out.state == OUT_EXPIRED ? "expired" : "refused", NULL,
                    "%.64s was not asked: %s", asked_peer(call),
                    out.reason ? out.reason : "refused");
        fail_about(call, &failure);
    } else if (known && failure_is_temporary(out.wire)) {
        failure_of_err(&failure, out.wire, "broker");
        failure.retry_ms = (int64_t)out.retry_after_ms;
        fail_about(call, &failure);
    } else if (known && (out.wire == ERR_CERT_INVALID || out.wire == ERR_CERT_EXPIRED)) {
        failure_of_err(&failure, out.wire, asked_peer(call));
        fail_about(call, &failure);
    } else if (known && out.waits_for == WAITS_FOR_CONSENT && judge_earlier(call, a)) {
        return;
    } else if (call->offline) {
        call_note(call, "the request goes out with the next sealpost command that reaches the"
                        " broker");
        call_end(call, 0);
    } else if (call_reach(call, asking_deadline(call)) == REACH_NOT
               || call->now_ms >= asking_deadline(call)) {
        call_link_failure(call, &failure);
        call_note(call, "the request stays queued, and goes out by itself");
        fail_about(call, &failure);
    } else {
        call->wake_ms = asking_deadline(call);
    }
}

static void request_step(struct call *call)
{
    struct asking *a = call->state;
    struct session_info session;

    if (!a->found)
        a->found = call_find_peer(call, asked_peer(call), asking_deadline(call), a->to);
    if (!a->found)
        return;
    if (!a->asked)
        ask(call, a);
    if (!a->asked || call->ended)
        return;
    if (agent_session_of(call->agent, a->id, &session) == ERR_OK)
        judge_session(call, &session);
    else
        judge_queued(call, a);
}

const struct call_verb call_request = {
    .name = "request", .online = true, .state_len = sizeof(struct asking), .step = request_step
};

/* ------------------------------------------------------------------ requests
 * Parameters   peer?.   Items   `request` */

struct filter {
    struct call *call;
    const uint8_t *aid; /* NULL: anybody */
    const uint8_t *gid; /* NULL: not only this group's invitation */
};

static void give_request(void *ctx, const struct request_info *request)
{
    const struct filter *filter = ctx;

    bool one = filter->aid || filter->gid;

    if (filter->aid && (request->group || memcmp(filter->aid, request->aid, 32) != 0))
        return;
    if (filter->gid && (!request->group || memcmp(filter->gid, request->session, 16) != 0))
        return;
    call_item(filter->call, object_request(request, one));
}

/* What could not be asked is worth a note when the answer comes from this disk alone. */
static void note_unreached(struct call *call, enum reach reach)
{
    struct failure failure;

    if (reach != REACH_NOT || call->offline)
        return;
    call_link_failure(call, &failure);
    call_note(call, "%s", failure.message);
}

static void requests_step(struct call *call)
{
    uint64_t until = call_deadline(call, NETWORK_MS);
    const char *peer = call_text(call, "peer");
    struct filter filter = { .call = call };
    enum reach reach = call_reach(call, until);
    uint8_t aid[32], gid[16];
    enum err e;

    if (reach == REACH_WAITING)
        return;
    if (peer && peer[0] == '+') {
        if (!call_find_group(call, peer + 1, until, gid))
            return;
        filter.gid = gid;
    } else if (peer) {
        if (!call_find_peer(call, peer, until, aid))
            return;
        filter.aid = aid;
    }
    note_unreached(call, reach);
    e = agent_requests_each(call->agent, give_request, &filter);
    if (e != ERR_OK)
        call_fail_err(call, e, "requests");
    call_end(call, 0);
}

const struct call_verb call_requests
    = { .name = "requests", .online = true, .step = requests_step };

/* ------------------------------------------------------------------ accept, reject
 * Parameters   peer, block?.   Items   `session`, if a request was answered */

static void give_session(struct call *call, const uint8_t sid[static 16])
{
    struct session_info session;

    if (agent_session_get(call->agent, sid, &session) == ERR_OK)
        call_item(call, object_session(&session));
}

/* The broker, or this profile, must be put right first: nothing goes out by itself.  False: no. */
static bool note_refused(struct call *call)
{
    struct failure failure;

    if (call->offline || !call_link_refused(call, &failure))
        return false;
    call_note(call, "%s; the answer waits for that%s%s", failure.message,
              *failure.hint ? "; next: " : "", failure.hint);
    return true;
}

/* Whom the answer is for; what he asked may still lie at the broker.  False: not yet, or failed. */
static bool find_asker(struct call *call, uint8_t aid[static 32])
{
    uint64_t until = call_deadline(call, NETWORK_MS);
    enum reach reach = call_reach(call, until);

    if (reach == REACH_WAITING || !call_find_peer(call, asked_peer(call), until, aid))
        return false;
    if (reach == REACH_NOT && !call->offline && !note_refused(call))
        call_note(call, "the broker was not reached; the answer goes out by itself");
    return true;
}

/* Parameters   peer (+GROUP), as?.   Items   `group` */
struct joining {
    uint8_t gid[16];
    bool answered;
};

static void give_group(struct call *call, const uint8_t gid[static 16])
{
    struct group_info group;

    if (agent_group_get(call->agent, gid, &group) == ERR_OK)
        call_item(call, object_group(&group));
}

static void answer_failure(struct call *call, enum err e, const char *name)
{
    const char *as = call_text(call, "as");

    if (e == ERR_NOT_FOUND)
        call_fail_with(call, 6, "no_request", "sealpost requests",
                       "no invitation into +%.64s waits", name);
    else if (e == ERR_EXISTS)
        call_fail_with(call, 4, "group_exists", "sealpost group",
                       "there is a group +%.64s here already", as ? as : name);
    else if (e == ERR_EXPIRED)
        call_fail_with(call, 5, "expired", "ask its inviter for another one",
                       "the invitation into +%.64s is over", name);
    else
        call_fail_group(call, e, name);
}

/* Joins, or declines; the broker's word is waited for. */
static void answer_group(struct call *call, const char *name, bool join)
{
    struct joining *j = call->state;
    uint64_t until = call_deadline(call, NETWORK_MS);
    enum reach reach = call_reach(call, until);
    struct failure failure;
    struct group_info group;
    enum err e = ERR_OK;

    if (!j->answered) {
        if (reach == REACH_WAITING || !call_find_group(call, name, until, j->gid))
            return;
        e = join ? agent_group_join(call->agent, j->gid, call_text(call, "as"))
                 : agent_group_decline(call->agent, j->gid);
        j->answered = e == ERR_OK;
    }
    if (e == ERR_OK)
        e = agent_group_get(call->agent, j->gid, &group);
    if (e == ERR_OK && group.pending == 0)
        e = group.refusal;
    if (e != ERR_OK) {
        answer_failure(call, e, name);
    } else if (group.pending == 0) {
        give_group(call, j->gid);
        call_end(call, 0);
    } else if (call->offline || reach == REACH_NOT || call->now_ms >= until) {
        give_group(call, j->gid);
        if (!note_refused(call)) {
            if (!call->offline) {
                call_link_failure(call, &failure);
                call_note(call, "%s", failure.message);
            }
            call_note(call, "the answer goes out by itself");
        }
        call_end(call, 0);
    } else {
        call->wake_ms = until;
    }
}

static void accept_step(struct call *call)
{
    const char *peer = asked_peer(call);
    struct peer_names names;
    uint8_t aid[32], sid[16];
    bool answered;
    enum err e;

    if (peer[0] == '+') {
        answer_group(call, peer + 1, true);
        return;
    }
    if (!find_asker(call, aid))
        return;
    if (agent_peer_names(call->agent, peer, &names) == ERR_OK && names.replaced)
        e = ERR_KEY_CHANGED;
    else
        e = agent_accept(call->agent, aid, &answered, sid);
    if (e != ERR_OK) {
        call_fail_peer(call, e, peer);
    } else if (answered) {
        give_session(call, sid);
    } else {
        call_note(call, "no request of %s is held; the next one will be accepted", peer);
    }
    call_end(call, 0);
}

const struct call_verb call_accept = {
    .name = "accept", .online = true, .state_len = sizeof(struct joining), .step = accept_step
};

static void reject_step(struct call *call)
{
    const char *peer = asked_peer(call);
    bool block = call_flag(call, "block"), answered;
    uint8_t aid[32], sid[16];
    struct failure failure;
    enum err e;

    if (peer[0] == '+') {
        answer_group(call, peer + 1, false);
        return;
    }
    if (!find_asker(call, aid))
        return;
    e = agent_reject(call->agent, aid, block, &answered, sid);
    if (e == ERR_NOT_FOUND) {
        failure_set(&failure, 6, "no_request", "sealpost requests", "no request of %.64s is held",
                    peer);
        fail_about(call, &failure);
    } else if (e != ERR_OK) {
        call_fail_peer(call, e, peer);
    } else if (answered) {
        give_session(call, sid);
    }
    if (e == ERR_OK && block)
        call_note(call, "%s is blocked, and is not told; sealpost accept %s ends it", peer, peer);
    call_end(call, 0);
}

const struct call_verb call_reject = {
    .name = "reject", .online = true, .state_len = sizeof(struct joining), .step = reject_step
};

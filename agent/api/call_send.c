/*
 * send - commit a message, then wait for the word that was asked for (docs: cli 3.2, 3.3).
 *
 * Parameters   to | answer_to (id of the message answered: its sender is meant), id (the command's
 * own, so that a hand-over between commit and answer doubles nothing), body_b64, media_type,
 *              reply_to?, wait? (queued stored delivered replied), and what a hand-over brings:
 *              given (the answer was printed)
 * Items        one `outgoing`; with replied the answer, a `message` to be taken
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/call_group.h"
#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define WAIT_WORD_MS      5000 /* without --wait */
#define WAIT_STORED_MS    30000
#define WAIT_DELIVERED_MS 60000
#define WAIT_REPLIED_MS   600000

struct sending {
    enum { WAIT_ANY, WAIT_QUEUED, WAIT_STORED, WAIT_DELIVERED, WAIT_REPLIED } wait;
    uint8_t id[16], to[32], group[16], reply_to[16];
    bool to_group; /* `group` is meant, not `to`; name begins with "+" */
    bool has_reply_to, committed, found;
    struct buf body; /* owned */
    char name[80];   /* as the user wrote it, or of the sender answered */
};

static void name_set(struct sending *s, struct bytes name)
{
    snprintf(s->name, sizeof s->name, "%.*s", (int)name.len, (const char *)name.at);
}

static bool body_take(struct call *call, struct sending *s)
{
    const char *b64 = call_text(call, "body_b64");
    size_t len = b64 ? strlen(b64) : 0, got = 0;
    uint8_t *to = buf_extend(&s->body, len / 4 * 3 + 3);

    if (!b64
        || sodium_base642bin(to, len / 4 * 3 + 3, b64, len, NULL, &got, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING)
               != 0)
        return false;
    s->body.len = got;
    return true;
}

static void group_set(struct sending *s, const uint8_t gid[static 16], struct bytes name)
{
    memcpy(s->group, gid, sizeof s->group);
    s->to_group = true;
    snprintf(s->name, sizeof s->name, "+%.*s", (int)name.len, (const char *)name.at);
}

/* `reply`: back to where the message came from; of an own message: to whom it went. */
static bool place_of_message(struct call *call, struct sending *s, const char *prefix)
{
    struct incoming_info in;
    struct outgoing_info out;
    bool incoming;

    if (!call_find_message(call, prefix, s->reply_to, &incoming))
        return false;
    s->has_reply_to = s->found = true;
    if (incoming && agent_incoming_get(call->agent, s->reply_to, &in) == ERR_OK) {
        memcpy(s->to, in.from_aid, sizeof s->to);
        name_set(s, in.from);
        if (in.has_group)
            group_set(s, in.group, in.group_name);
    } else if (!incoming && agent_outgoing_get(call->agent, s->reply_to, &out) == ERR_OK) {
        memcpy(s->to, out.to_aid, sizeof s->to);
        name_set(s, out.to);
        if (out.has_group)
            group_set(s, out.group, out.to);
    } else {
        call_fail_err(call, ERR_NOT_FOUND, prefix);
        return false;
    }
    return true;
}

static void send_start(struct call *call)
{
    struct sending *s = call->state;
    const char *wait = call_text(call, "wait"), *id = call_text(call, "id");
    const char *to = call_text(call, "to"), *answer_to = call_text(call, "answer_to");
    const char *reply_to = call_text(call, "reply_to");
    bool incoming;

    s->wait = !wait                          ? WAIT_ANY
              : strcmp(wait, "queued") == 0  ? WAIT_QUEUED
              : strcmp(wait, "stored") == 0  ? WAIT_STORED
              : strcmp(wait, "replied") == 0 ? WAIT_REPLIED
                                             : WAIT_DELIVERED;
    if (s->wait == WAIT_QUEUED)
        call->offline = true;
    if (!id || hex_decode(s->id, sizeof s->id, id, strlen(id)) != ERR_OK || (!to && !answer_to)
        || !body_take(call, s)) {
        call_fail_err(call, ERR_INTERNAL, "send");
        return;
    }
    if (call_number(call, "given", 0) > 0) {
        call_end(call, 0); /* an earlier owner has seen to everything */
        return;
    }
    if (answer_to) {
        place_of_message(call, s, answer_to);
        return;
    }
    name_set(s, bytes_of_text(to));
    s->to_group = to[0] == '+';
    if (call_is_self(call, to)) {
        call_fail_with(call, 2, "self", NULL, "\"%.64s\" is this agent itself", to);
        return;
    }
    if (reply_to)
        s->has_reply_to = call_find_message(call, reply_to, s->reply_to, &incoming);
}

static uint64_t word_deadline(const struct call *call, const struct sending *s)
{
    return call_deadline(call, s->wait == WAIT_STORED      ? WAIT_STORED_MS
                               : s->wait == WAIT_DELIVERED ? WAIT_DELIVERED_MS
                               : s->wait == WAIT_REPLIED   ? WAIT_REPLIED_MS
                                                           : WAIT_WORD_MS);
}

/* ------------------------------------------------------------------ before the commit */

/* May this agent speak at all?  False: the call has failed or waits. */
static bool may_speak(struct call *call, struct sending *s)
{
    struct failure failure;
    struct agent_self self;
    enum err e = agent_self_get(call->agent, &self);

    if (e != ERR_OK) {
        call_fail_err(call, e, "profile");
        return false;
    }
    if (self.state == SELF_ACTIVE)
        return true;
    if (self.state == SELF_REVOKED) {
        call_fail_err(call, ERR_CERT_REVOKED, "this agent");
        return false;
    }
    switch (call_reach(call, word_deadline(call, s))) {
    case REACH_WAITING:
        return false;
    case REACH_THERE:
        return true;
    case REACH_NOT:
        break;
    }
    if (!call_link_refused(call, &failure))
        failure_of_err(&failure, ERR_PENDING_APPROVAL, "this agent");
    call_fail(call, &failure);
    return false;
}

/* Who is meant?  Pins and the log of this disk first; then what the broker's log says now. */
static bool resolve(struct call *call, struct sending *s)
{
    struct failure failure;
    enum err e;

    if (s->found)
        return true;
    if (s->to_group)
        return s->found = call_find_group(call, s->name + 1, word_deadline(call, s), s->group);
    e = agent_peer_find(call->agent, s->name, s->to);
    if (e == ERR_OK)
        return s->found = true;
    if (e == ERR_MALFORMED)
        call_fail_with(call, 2, "bad_value", "sealpost peers",
                       "\"%.64s\" is neither a name nor id:FINGERPRINT", s->name);
    else if (e != ERR_UNKNOWN_AGENT)
        call_fail_peer(call, e, s->name);
    if (call->ended)
        return false;
    switch (call_reach(call, word_deadline(call, s))) {
    case REACH_WAITING:
        break;
    case REACH_THERE:
        call_fail_unknown_agent(call, s->name);
        break;
    case REACH_NOT:
        if (call->offline) {
            call_fail_unknown_agent(call, s->name);
        } else {
            call_link_failure(call, &failure);
            snprintf(failure.peer, sizeof failure.peer, "%s", s->name);
            call_fail(call, &failure);
        }
        break;
    }
    return false;
}

static void commit(struct call *call, struct sending *s)
{
    const char *media_type = call_text(call, "media_type");
    struct send_request request = {
        .body = buf_bytes(&s->body),
        .media_type = bytes_of_text(media_type ? media_type : "application/octet-stream"),
        .has_reply_to = s->has_reply_to,
        .has_id = true,
    };
    char hex[33];
    enum err e;

    memcpy(request.to, s->to, sizeof request.to);
    request.group = s->to_group ? s->group : NULL;
    memcpy(request.reply_to, s->reply_to, sizeof request.reply_to);
    memcpy(request.id, s->id, sizeof request.id);
    e = agent_send(call->agent, &request, s->id);
    if (e == ERR_TOO_LARGE)
        call_fail_with(call, 4, "too_large", NULL, "%zu B, limit 61440 B", s->body.len);
    else if (e == ERR_QUOTA || (e != ERR_OK && !s->to_group))
        call_fail_peer(call, e, s->name);
    else if (e != ERR_OK)
        call_fail_group(call, e, s->name + 1);
    if (e != ERR_OK)
        return;
    s->committed = true;
    buf_wipe(&s->body);
    hex_encode(hex, s->id, sizeof s->id);
    call_detail(call, "%s queued", hex);
}

/* ------------------------------------------------------------------ after it */

static bool shares_word(struct bytes a, struct bytes b)
{
    for (size_t i = 0; i < a.len;) {
        const uint8_t *end = memchr(a.at + i, ' ', a.len - i);
        size_t len = end ? (size_t)(end - a.at) - i : a.len - i;

        for (size_t k = 0; len && k + len <= b.len; k++)
            if (memcmp(a.at + i, b.at + k, len) == 0 && (k == 0 || b.at[k - 1] == ' ')
                && (k + len == b.len || b.at[k + len] == ' '))
                return true;
        i += len + 1;
    }
    return false;
}

/* Whoever shares a circle with us answers by itself, as a rule: not worth a note. */
static bool shares_circle(struct call *call, const uint8_t aid[static 32])
{
    char circles[8 * (NAME_MAX_LEN + 1)];
    struct agent_self self;
    struct peer_info peer;

    if (agent_self_get(call->agent, &self) != ERR_OK || self.circles.len >= sizeof circles)
        return false;
    memcpy(circles, self.circles.at, self.circles.len);
    return agent_peer_get(call->agent, aid, &peer) == ERR_OK
           && shares_word(bytes_of(circles, self.circles.len), peer.circles);
}

static void note_consent(struct call *call, const struct sending *s,
                         const struct outgoing_info *info)
{
    char id[9];

    if (info->waits_for != WAITS_FOR_CONSENT)
        return;
    if (info->state == OUT_STORED && shares_circle(call, s->to))
        return;
    hex_encode(id, s->id, 2);
    call_note(call, "%s has not accepted contact yet: sealpost trace %s", s->name, id);
}

/* The object, whatever follows. */
static void give(struct call *call, const struct outgoing_info *info)
{
    call_item(call, object_outgoing(info, OBJECT_PLAIN));
}

static void fail_about(struct call *call, struct sending *s, struct failure *failure)
{
    hex_encode(failure->id, s->id, sizeof s->id);
    snprintf(failure->peer, sizeof failure->peer, "%s", s->name);
    call_fail(call, failure);
}

static void end_refused(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    const char *reason = info->reason ? info->reason : "refused";
    char hint[48], hex[9];
    bool own_code = strcmp(reason, "rejected") == 0 || strcmp(reason, "blocked") == 0;
    struct failure failure;

    give(call, info);
    hex_encode(hex, s->id, 4);
    snprintf(hint, sizeof hint, "sealpost trace %s", hex);
    if (info->state == OUT_EXPIRED) {
        char when[TIME_TEXT_SIZE];

        time_text(when, info->expires_ms);
        failure_set(&failure, 5, "expired", hint, "%s did not take it before %s", s->name, when);
        failure.wire = err_name(ERR_EXPIRED);
    } else {
        failure_set(&failure, 4, own_code ? reason : "refused", hint, "%s did not get it: %s",
                    s->name, reason);
        if (info->wire != ERR_OK)
            failure.wire = err_name(info->wire);
    }
    fail_about(call, s, &failure);
}

/* The broker said: not now.  It goes on by itself; who waited for more hears the reason. */
static void end_for_now(struct call *call, struct sending *s, const struct outgoing_info *info,
                        bool fails)
{
    const char *text = err_text(info->wire);
    char retry[SHORT_TEXT_SIZE], what[160];
    struct failure failure;

    duration_text(retry, info->retry_after_ms);
    snprintf(what, sizeof what, "%s%s; retries by itself%s%s",
             strncmp(text, "broker", 6) == 0 ? "" : "broker: ", text,
             info->retry_after_ms ? " after " : "", info->retry_after_ms ? retry : "");
    give(call, info);
    if (!fails) {
        call_note(call, "%s", what);
        call_end(call, 0);
        return;
    }
    failure_of_err(&failure, info->wire, "broker");
    snprintf(failure.message, sizeof failure.message, "%s", what);
    failure.retry_ms = (int64_t)info->retry_after_ms;
    fail_about(call, s, &failure);
}

static void end_queued(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    struct agent_self self;
    struct bytes address = bytes_of_text("the broker");

    give(call, info);
    note_consent(call, s, info);
    if (!call->offline && info->waits_for != WAITS_FOR_CONSENT) {
        if (agent_self_get(call->agent, &self) == ERR_OK)
            address = object_address(self.endpoint);
        call_note(
            call,
            call->reached
                ? "%.*s has not taken it yet; it goes out by itself"
                : "%.*s does not answer; goes out with the next sealpost command that reaches it",
            (int)address.len, (const char *)address.at);
    }
    call_end(call, 0);
}

static void end_timeout(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    const char *want = s->wait == WAIT_DELIVERED ? "delivered not reached"
                       : s->wait == WAIT_REPLIED ? "no answer"
                                                 : "stored not reached";
    char hint[64], hex[33], within[SHORT_TEXT_SIZE];
    struct failure failure;

    if (failure_is_temporary(info->wire) && info->state == OUT_QUEUED) {
        end_for_now(call, s, info, true);
        return;
    }
    give(call, info);
    note_consent(call, s, info);
    hex_encode(hex, s->id, sizeof s->id);
    snprintf(hint, sizeof hint, "sealpost trace %.8s", hex);
    duration_text(within, call->now_ms - call->started_ms);
    if (call->reached)
        failure_set(&failure, 5, "timeout", hint, "%s within %s; the message stays %s", want,
                    within, object_out_state(info->state));
    else
        call_link_failure(call, &failure);
    fail_about(call, s, &failure);
}

static int rank(enum outgoing_state state)
{
    return state == OUT_DELIVERED ? 2 : state == OUT_STORED ? 1 : 0;
}

/* RATE and BUSY are over in a moment, a full quota is not. */
static bool is_long(enum err e)
{
    return failure_is_temporary(e) && e != ERR_RATE && e != ERR_BUSY;
}

/* The answer may lie at the broker: it is heard first. */
static bool waits_for_somebody(const struct outgoing_info *info)
{
    return info->waits_for == WAITS_FOR_CONSENT || info->waits_for == WAITS_FOR_APPROVAL;
}

/* What the broker presents as the recipient is not to be believed: nothing was sealed. */
static bool not_believed(const struct outgoing_info *info)
{
    return info->state == OUT_QUEUED && !info->has_session
           && (info->wire == ERR_CERT_INVALID || info->wire == ERR_CERT_EXPIRED);
}

static void end_not_believed(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    struct failure failure;

    give(call, info);
    failure_of_err(&failure, info->wire, s->name);
    snprintf(failure.message, sizeof failure.message,
             info->wire == ERR_CERT_EXPIRED
                 ? "certificate of \"%.64s\" expired and no newer one can be had; the message "
                   "stays queued"
                 : "credential of \"%.64s\" does not verify; the message stays queued",
             s->name);
    fail_about(call, s, &failure);
}

static void wait_any(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    struct failure failure;
    struct agent_link link;

    agent_link_get(call->agent, &link);
    if (rank(info->state) >= 1) {
        give(call, info);
        note_consent(call, s, info);
        call_end(call, 0);
    } else if (!call->offline && call_link_refused(call, &failure)) {
        give(call, info);
        fail_about(call, s, &failure);
    } else if (not_believed(info)) {
        end_not_believed(call, s, info);
    } else if (call->offline
               || (waits_for_somebody(info)
                   && call_reach(call, word_deadline(call, s)) != REACH_WAITING)) {
        end_queued(call, s, info);
    } else if (is_long(info->wire)) {
        end_for_now(call, s, info, false);
    } else if (call->now_ms >= call->wake_ms || link.failures >= 2) {
        if (failure_is_temporary(info->wire))
            end_for_now(call, s, info, false);
        else
            end_queued(call, s, info);
    }
}

/* ------------------------------------------------------------------ the answer */

/* Somebody else may have taken it meanwhile: it is the answer all the same. */
struct answer_search {
    struct call *call;
    const struct sending *s;
    json_t *outgoing; /* borrowed: goes before the answer */
    bool found;
};

static void find_done(void *ctx, const struct outgoing_info *out, const struct incoming_info *in)
{
    struct answer_search *search = ctx;

    (void)out;
    if (search->found || !in || (in->state != IN_DONE && in->state != IN_FAILED)
        || !in->has_reply_to || memcmp(in->reply_to, search->s->id, 16) != 0
        || (search->s->to_group ? !in->has_group || memcmp(in->group, search->s->group, 16) != 0
                                : memcmp(in->from_aid, search->s->to, 32) != 0))
        return;
    search->found = true;
    call_item(search->call, json_incref(search->outgoing));
    call_item(search->call, object_incoming(in, OBJECT_BODY));
}

/* Takes the first unread one. */
static bool take_answer(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    const struct incoming_filter filter = { .unread = true,
                                            .from = (const uint8_t(*)[32])s->to,
                                            .from_count = !s->to_group,
                                            .groups = (const uint8_t(*)[16])s->group,
                                            .group_count = s->to_group,
                                            .reply_to = s->id };
    struct incoming_info answer;
    size_t skip_count;
    const uint8_t(*skip)[16] = call->host->hands(call->host, &skip_count);
    enum err e = agent_take(call->agent, &filter, skip, skip_count, &answer);

    if (e == ERR_NOT_FOUND)
        return false;
    if (e != ERR_OK) {
        call_fail_err(call, e, "inbox");
        return true;
    }
    give(call, info);
    call_item_to_take(call, object_incoming(&answer, OBJECT_BODY), answer.id);
    return true;
}

static bool give_answer(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    struct answer_search search = { .call = call, .s = s };
    json_t *outgoing = object_outgoing(info, OBJECT_PLAIN);
    uint8_t thread[16];

    memcpy(thread, info->thread, sizeof thread);
    if (take_answer(call, s, info)) {
        json_decref(outgoing);
        return true;
    }
    search.outgoing = outgoing;
    agent_thread_each(call->agent, thread, find_done, &search);
    json_decref(outgoing);
    if (search.found)
        call_end(call, 0);
    return search.found;
}

static void send_took(struct call *call, const uint8_t id[static 16])
{
    enum err e = agent_settle(call->agent, id, IN_DONE);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        call_fail_err(call, e, "inbox");
    call_hand_drop(call, id);
    call_end(call, 0);
}

/* ------------------------------------------------------------------ with --wait */

static void wait_state(struct call *call, struct sending *s, const struct outgoing_info *info)
{
    struct failure failure;

    if (s->wait != WAIT_REPLIED && rank(info->state) >= (s->wait == WAIT_DELIVERED ? 2 : 1)) {
        give(call, info);
        note_consent(call, s, info);
        call_end(call, 0);
    } else if (not_believed(info)) {
        end_not_believed(call, s, info);
    } else if (call->offline || call->now_ms >= call->wake_ms) {
        end_timeout(call, s, info);
    } else if (call_link_refused(call, &failure)) {
        give(call, info);
        fail_about(call, s, &failure);
    }
}

static void send_step(struct call *call)
{
    struct sending *s = call->state;
    struct outgoing_info info;
    enum err e;

    if (call->awaits_took)
        return;
    if (!s->committed && agent_outgoing_get(call->agent, s->id, &info) == ERR_OK) {
        /* an earlier owner has committed it and ended before it could say so */
        memcpy(s->to, info.to_aid, sizeof s->to);
        if (info.has_group)
            group_set(s, info.group, info.to);
        s->committed = true;
    }
    if (!s->committed && may_speak(call, s) && resolve(call, s))
        commit(call, s);
    if (!s->committed)
        return;
    e = agent_outgoing_get(call->agent, s->id, &info);
    if (e != ERR_OK) {
        call_fail_err(call, e, "outbox");
        return;
    }
    call->wake_ms = word_deadline(call, s);
    if (info.state == OUT_REFUSED || info.state == OUT_EXPIRED || info.state == OUT_DROPPED)
        end_refused(call, s, &info);
    else if (s->wait == WAIT_ANY || s->wait == WAIT_QUEUED)
        wait_any(call, s, &info);
    else if (s->wait != WAIT_REPLIED)
        wait_state(call, s, &info);
    else if (!give_answer(call, s, &info)
             && agent_outgoing_get(call->agent, s->id, &info) == ERR_OK)
        wait_state(call, s, &info); /* described anew: looking for the answer has used its place */
}

static void send_stop(struct call *call)
{
    struct sending *s = call->state;

    buf_wipe(&s->body);
}

const struct call_verb call_send = {
    .name = "send",
    .online = true,
    .state_len = sizeof(struct sending),
    .start = send_start,
    .step = send_step,
    .took = send_took,
    .stop = send_stop,
};

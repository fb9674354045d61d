#include "agent/api/talk.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"

#define BODY_MAX_LEN 61440
#define LATE_MS      1500 /* a receipt that was signed before the peer's end may come behind it */
#define IDLE_TEXT    "nobody said anything for 30 minutes"

/* ------------------------------------------------------------------ what was sent */

static bool is_final(enum outgoing_state state)
{
    return state != OUT_QUEUED && state != OUT_STORED;
}

static void note_sent(struct talk *talk, const uint8_t id[static 16], enum outgoing_state told)
{
    if (talk->sent_count == talk->sent_room) {
        talk->sent_room = talk->sent_room * 2 + 8;
        talk->sent = mem_resize(talk->sent, talk->sent_room * sizeof *talk->sent);
    }
    talk->sent[talk->sent_count] = (struct talk_sent){ .told = told };
    memcpy(talk->sent[talk->sent_count++].id, id, 16);
}

void talk_resume(struct talk *talk, json_t *sent)
{
    const char *hex;
    json_t *state;

    json_object_foreach(sent, hex, state)
    {
        uint8_t id[16];

        if (hex_decode(id, sizeof id, hex, strlen(hex)) == ERR_OK)
            note_sent(talk, id, strcmp(call_word(state), "stored") == 0 ? OUT_STORED : OUT_QUEUED);
    }
}

static void tell(struct call *call, struct talk_sent *sent, const struct outgoing_info *info,
                 enum outgoing_state state)
{
    uint64_t at = state == OUT_STORED      ? info->stored_ms
                  : state == OUT_DELIVERED ? info->delivered_ms
                                           : info->ended_ms;

    call_item(call, object_receipt(sent->id, info->to, state, at ? at : call->host->now_ms()));
    sent->told = state;
}

/* How far has it come?  Every word once, and none left out.  True: it is final. */
static bool follow(struct call *call, struct talk *talk, struct talk_sent *sent)
{
    struct outgoing_info info;

    if (agent_outgoing_get(call->agent, sent->id, &info) != ERR_OK)
        return true; /* delivered, and nothing of it is kept */
    if (sent->told == OUT_QUEUED && (info.state == OUT_STORED || info.state == OUT_DELIVERED))
        tell(call, sent, &info, OUT_STORED);
    if (info.state == OUT_REFUSED && talk->over_ms > call->now_ms)
        return false;
    if (is_final(info.state)) {
        tell(call, sent, &info, info.state);
        talk->lost += info.state != OUT_DELIVERED;
    }
    return is_final(info.state);
}

static void follow_all(struct call *call, struct talk *talk)
{
    size_t kept = 0;

    for (size_t i = 0; i < talk->sent_count; i++)
        if (!follow(call, talk, &talk->sent[i]))
            talk->sent[kept++] = talk->sent[i];
    talk->sent_count = kept;
}

/* ------------------------------------------------------------------ saying */

static bool body_of(const json_t *line, struct buf *out)
{
    const char *b64 = call_word(json_object_get(line, "body_b64"));
    size_t len = strlen(b64), got = 0;
    uint8_t *to = buf_extend(out, len / 4 * 3 + 3);

    out->len = 0;
    if (sodium_base642bin(to, len / 4 * 3 + 3, b64, len, NULL, &got, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING)
        != 0)
        return false;
    out->len = got;
    return true;
}

static void send_body(struct call *call, struct talk *talk, const uint8_t id[static 16],
                      struct bytes body)
{
    struct send_request request = {
        .body = body,
        .media_type = bytes_of_text(utf8_valid(body) ? "text/plain" : "application/octet-stream"),
        .has_id = true,
        .session = talk->sid,
    };
    struct failure failure;
    uint8_t used[16];
    enum err e;

    memcpy(request.to, talk->aid, sizeof request.to);
    memcpy(request.id, id, sizeof request.id);
    e = body.len > BODY_MAX_LEN ? ERR_TOO_LARGE : agent_send(call->agent, &request, used);
    if (e == ERR_OK) {
        note_sent(talk, id, OUT_QUEUED);
        return;
    }
    talk->lost++;
    if (e == ERR_STATE || e == ERR_SESSION_NOT_FOUND)
        return; /* the session is over: the next look at it tells so */
    failure_of_err(&failure, e, "not sent");
    call_note(call, "%s", failure.message);
}

void talk_say(struct call *call, struct talk *talk, json_t *line)
{
    struct buf body = { 0 };
    uint8_t id[16];
    const char *hex = call_word(json_object_get(line, "id"));

    if (hex_decode(id, sizeof id, hex, strlen(hex)) == ERR_OK && body_of(line, &body) && body.len)
        send_body(call, talk, id, buf_bytes(&body));
    buf_wipe(&body);
}

void talk_finish(struct call *call, struct talk *talk, uint64_t within_ms)
{
    if (!talk->ending || call->now_ms + within_ms < talk->end_by_ms)
        talk->end_by_ms = call->now_ms + within_ms;
    talk->ending = true;
}

/* ------------------------------------------------------------------ hearing */

/* The next message of this session, if there is one. */
static bool give_next(struct call *call, struct talk *talk)
{
    const struct incoming_filter filter = { .unread = true, .session = talk->sid };
    struct incoming_info info;
    size_t skip_count;
    const uint8_t(*skip)[16] = call->host->hands(call->host, &skip_count);
    enum err e = agent_take(call->agent, &filter, skip, skip_count, &info);

    if (e == ERR_OK)
        call_item_to_take(call, object_incoming(&info, OBJECT_BODY), info.id);
    else if (e != ERR_NOT_FOUND)
        call_fail_err(call, e, "inbox");
    return e != ERR_NOT_FOUND;
}

void talk_took(struct call *call, const uint8_t id[static 16])
{
    enum err e = agent_settle(call->agent, id, IN_DONE);

    if (e != ERR_OK && e != ERR_NOT_FOUND)
        call_fail_err(call, e, "inbox");
    call_hand_drop(call, id);
}

/* ------------------------------------------------------------------ the end */

static void end(struct call *call, struct talk *talk, const struct session_info *session)
{
    const char *reason = session->reason ? session->reason : "closed";
    struct failure failure = { 0 };

    call_item(call, object_session(session));
    if (strcmp(reason, "idle") == 0
        || (session->phase == PHASE_EXPIRED && strcmp(reason, "revoked") != 0))
        failure_set(&failure, 5, "expired", NULL, "the session is over: %s",
                    strcmp(reason, "idle") == 0 ? IDLE_TEXT : reason);
    else if (strcmp(reason, "closed") != 0)
        failure_set(&failure, 4, "session_ended", "sealpost status", "the session is over: %s",
                    reason);
    else if (talk->lost)
        failure_set(&failure, 4, "undelivered", "sealpost send",
                    talk->lost == 1 ? "%llu message was not delivered"
                                    : "%llu messages were not delivered",
                    (unsigned long long)talk->lost);
    if (failure.exit)
        call_fail(call, &failure);
    else
        call_end(call, 0);
}

/* With `-v`, one note a loss. */
static void tell_link(struct call *call, struct talk *talk)
{
    struct agent_link link;
    bool down;

    agent_link_get(call->agent, &link);
    down = link.state == STATE_DOWN || link.state == STATE_REFUSED;
    if (down && !talk->down)
        call_note(call, "connection lost; trying again");
    talk->down = down;
}

/* The broker has said no, for good: nothing will go either way any more. */
static bool is_refused(struct call *call)
{
    struct failure failure;

    if (!call_link_refused(call, &failure) || failure.exit == 3)
        return false;
    call_fail(call, &failure);
    return true;
}

static void close_session(struct call *call, struct talk *talk)
{
    enum err e = agent_close(call->agent, talk->aid, talk->sid, true);

    talk->closed_here = true;
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        call_fail_err(call, e, "session");
}

/* Is the session over?  What was said is then waited for a moment. */
static bool is_over(struct call *call, struct talk *talk, struct session_info *session)
{
    enum err e = agent_session_get(call->agent, talk->sid, session);

    if (e != ERR_OK)
        call_fail_err(call, e, "session");
    if (call->ended || session->phase <= PHASE_ACTIVE)
        return false;
    if (!talk->over_ms)
        talk->over_ms = call->now_ms + (talk->closed_here ? 0 : LATE_MS);
    return true;
}

enum talk_end talk_step(struct call *call, struct talk *talk)
{
    struct session_info session;
    bool over = is_over(call, talk, &session);

    follow_all(call, talk);
    if (call->awaits_took || (!call->ended && give_next(call, talk)))
        return call->ended ? TALK_OVER : TALK_GOES_ON;
    if (!over && !talk->ending && is_refused(call))
        return TALK_OVER;
    tell_link(call, talk);
    if (talk->ending && !over && (talk->sent_count == 0 || call->now_ms >= talk->end_by_ms)) {
        close_session(call, talk);
        over = is_over(call, talk, &session);
        follow_all(call, talk);
    } else if (talk->ending && !over) {
        call->wake_ms = talk->end_by_ms;
    }
    if (over && (talk->sent_count == 0 || call->now_ms >= talk->over_ms))
        end(call, talk, &session);
    else if (over)
        call->wake_ms = talk->over_ms;
    return call->ended ? TALK_OVER : TALK_GOES_ON;
}

void talk_free(struct talk *talk)
{
    free(talk->sent);
    *talk = (struct talk){ 0 };
}

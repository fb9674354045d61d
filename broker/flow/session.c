#include "broker/flow/session.h"

#include "broker/controller/controller.h"
#include "broker/store/directory.h"
#include "broker/store/senders.h"
#include "broker/store/usage.h"
#include "shared/trust/init0.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"

#define DAY_MS UINT64_C(86400000)

uint64_t session_life_ms(uint8_t mode)
{
    return mode == MODE_LIVE ? LIMIT_SESSION_LIFE_LIVE_MS : LIMIT_SESSION_LIFE_MS;
}

bool sessions_may_end(const struct flow *flow)
{
    uint64_t restored_ms = store_incarnation_ms(flow->store);

    return restored_ms == 0 || flow->now_ms >= restored_ms + DAY_MS;
}

static int64_t agent_of(struct flow *flow, const uint8_t aid[static 32])
{
    const struct agent_row *agent = store_agent_by_aid(flow->store, aid);

    return agent ? agent->agent_id : 0;
}

enum err session_append(struct flow *flow, struct session_row *session,
                        const struct signed_event *event, const struct event *parsed)
{
    struct event_row row = { .seq = parsed->seq,
                             .type = parsed->type,
                             .actor_id = agent_of(flow, parsed->actor),
                             .target_id = agent_of(flow, parsed->target),
                             .at_ms = parsed->ts_ms,
                             .body_len = event->body.len };
    enum err e;

    memcpy(row.preimage, event->preimage.at, sizeof row.preimage);
    memcpy(row.sig, event->sig, sizeof row.sig);
    if (event->body.len)
        memcpy(row.body, event->body.at, event->body.len);
    event_digest(row.digest, event->preimage);
    e = store_event_append(flow->store, session->session_id, parsed->prev, &row);
    if (e == ERR_OK) {
        session->next_event = row.seq + 1;
        memcpy(session->head, row.digest, sizeof session->head);
    }
    return e;
}

/* The asker has gone, or the time is over, before the request was read. */
static enum err request_give_up(struct flow *flow, const struct session_row *session)
{
    struct frame_row row;
    enum err e = store_frame_find(flow->store, session->session_id, session->a_id, 1, &row);

    if (e == ERR_OK && row.reason == 0)
        return frame_give_up(flow, &row, NOTICE_SESSION_ENDED);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* What counted as an open request no longer does. */
static enum err request_answered(struct flow *flow, const struct session_row *session)
{
    struct sender_row sender;
    enum err e = store_sender_get(flow->store, session->session_id, session->a_id, &sender);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return store_request_ended(flow->store, session->a_id, session->b_id, sender.total_bytes);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

enum err session_move(struct flow *flow, struct session_row *session, enum session_state state,
                      int reason)
{
    enum session_state before = session->state;
    enum err e = ERR_OK;

    session->state = state;
    if (state == SESSION_ACTIVE) {
        session->due_ms = sooner(session->ends_ms, flow->now_ms + session->idle_ms);
    } else {
        session->ended_ms = flow->now_ms;
        session->reason = reason;
    }
    if (before == SESSION_REQUESTED) {
        e = request_answered(flow, session);
        if (e == ERR_OK && (state == SESSION_CLOSED || state == SESSION_EXPIRED))
            e = request_give_up(flow, session);
    }
    if (e != ERR_OK)
        return e;
    return store_session_move(flow->store, session->session_id, state, session->due_ms,
                              session->ended_ms, session->reason);
}

enum err session_tell(struct flow *flow, const struct session_row *session, int64_t agent_id,
                      const struct signed_event *event, int64_t actor_id)
{
    uint8_t bytes[EVENT_SIZE + 64 + EVENT_BODY_MAX], *at = bytes;

    at = put_raw(at, event->preimage.at, EVENT_SIZE);
    at = put_raw(at, event->sig, 64);
    if (event->body.len)
        at = put_raw(at, event->body.at, event->body.len);
    return mailbox_put_control(flow, agent_id, ITEM_EVENT, session->session_id, actor_id,
                               bytes_of(bytes, (size_t)(at - bytes)));
}

/* ---- the controller's own event -------------------------------------------------------------- */

static enum err expired_make(struct flow *flow, const struct session_row *session, uint8_t reason,
                             struct event *event, uint8_t preimage[static EVENT_SIZE],
                             uint8_t sig[static 64])
{
    *event = (struct event){ .scope = SCOPE_SESSION,
                             .seq = session->next_event,
                             .type = EVENT_EXPIRED,
                             .ts_ms = flow->now_ms };
    memcpy(event->id, session->id, sizeof event->id);
    memcpy(event->prev, session->head, sizeof event->prev);
    memcpy(event->actor, controller_root_id(flow->controller), sizeof event->actor);
    event_body_hash(event->body_hash, bytes_of(&reason, 1));
    event_encode(preimage, event);
    return controller_sign_expired(flow->controller, preimage, sig);
}

enum err session_expire(struct flow *flow, int64_t session_id, uint8_t reason)
{
    uint8_t preimage[EVENT_SIZE] = { 0 }, sig[64] = { 0 };
    struct signed_event signed_event
        = { bytes_of(preimage, sizeof preimage), sig, bytes_of(&reason, 1) };
    struct session_row session;
    struct event event;
    enum err e = store_session_get(flow->store, session_id, &session);

    if (e != ERR_OK)
        return e;
    if (session.state != SESSION_REQUESTED && session.state != SESSION_ACTIVE)
        return ERR_STATE;
    e = expired_make(flow, &session, reason, &event, preimage, sig);
    if (e == ERR_OK)
        e = session_append(flow, &session, &signed_event, &event);
    if (e == ERR_OK)
        e = session_move(flow, &session, SESSION_EXPIRED, reason);
    if (e == ERR_OK)
        e = session_tell(flow, &session, session.a_id, &signed_event, 0);
    if (e == ERR_OK)
        e = session_tell(flow, &session, session.b_id, &signed_event, 0);
    return e;
}

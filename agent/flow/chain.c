#include "agent/flow/chain.h"

#include "agent/crypto/sign.h"
#include "agent/flow/contact.h"
#include "agent/flow/group.h"
#include "agent/flow/incoming.h"
#include "agent/flow/link.h"
#include "agent/flow/outgoing.h"
#include "agent/flow/session.h"
#include "agent/flow/sync.h"
#include "agent/store/alarms.h"
#include "agent/store/outbox.h"
#include "agent/store/scopes.h"
#include "shared/base/log.h"
#include "shared/trust/init0.h"
#include "shared/wire/limit.h"

#define EVENTS_KEPT    16 /* a session has five at most */
#define EVENTS_AT_ONCE 16
#define ENDS_TRIED     8

/* As far as it goes below number `until`. */
static bool load_below(struct agent *agent, int64_t scope_id, uint64_t until,
                       struct session_chain *chain)
{
    struct profile_event events[EVENTS_KEPT];
    struct profile_scope scope;
    size_t count;

    *chain = (struct session_chain){ 0 };
    if (!profile_scope_get(agent->store, scope_id, &scope))
        return false;
    memcpy(chain->sid, scope.id, 16);
    count = profile_events(agent->store, scope_id, 0, events, EVENTS_KEPT);
    for (size_t i = 0; i < count && events[i].seq < until; i++) {
        struct event event;
        if (event_parse(bytes_of(events[i].preimage, EVENT_SIZE), &event) != ERR_OK)
            return false;
        if (i == 0) {
            memcpy(chain->aid_a, event.actor, 32);
            memcpy(chain->aid_b, event.target, 32);
        }
        chain->state = chain_next(chain->state, event.type);
        chain->next_seq = event.seq + 1;
        memcpy(chain->head, events[i].digest, 32);
    }
    return true;
}

bool agent_chain_load(struct agent *agent, int64_t scope_id, struct session_chain *chain)
{
    return load_below(agent, scope_id, UINT64_MAX, chain);
}

static void keep_event(struct agent *agent, int64_t scope_id, const struct signed_event *event,
                       uint64_t seq, bool stored)
{
    struct profile_event row = { .seq = seq, .body_len = event->body.len, .stored = stored };

    memcpy(row.preimage, event->preimage.at, EVENT_SIZE);
    memcpy(row.sig, event->sig, 64);
    if (event->body.len)
        memcpy(row.body, event->body.at, event->body.len);
    event_digest(row.digest, event->preimage);
    profile_event_add(agent->store, scope_id, &row);
}

void agent_chain_append(struct agent *agent, const struct profile_session *session,
                        enum event_type type, const uint8_t target[static 32], struct bytes body)
{
    struct event event = { .scope = SCOPE_SESSION, .type = type, .ts_ms = agent_now(agent) };
    struct profile_scope scope;
    uint8_t preimage[EVENT_SIZE], sig[64];
    struct signed_event made = { bytes_of(preimage, EVENT_SIZE), sig, body };

    if (!profile_scope_get(agent->store, session->session_id, &scope))
        return;
    memcpy(event.id, scope.id, 16);
    event.seq = scope.next_event;
    memcpy(event.prev, scope.head, 32);
    memcpy(event.actor, agent->me.row.id, 32);
    memcpy(event.target, target, 32);
    event_body_hash(event.body_hash, body);
    event_encode(preimage, &event);
    sign(sig, agent->me.ik_secret, bytes_of(preimage, EVENT_SIZE));
    keep_event(agent, session->session_id, &made, event.seq, type == EVENT_OPENED);
    agent->look_events = agent->look_events || type != EVENT_OPENED;
}

static bool is_mine(const struct agent *agent, const struct event *event)
{
    return memcmp(event->actor, agent->me.row.id, 32) == 0;
}

static const uint8_t *key_of(struct agent *agent, const struct profile_peer *peer,
                             const struct event *event)
{
    if (event->type == EVENT_EXPIRED)
        return agent->me.row.root_key;
    if (is_mine(agent, event))
        return agent->me.ik_public;
    return peer->identity_key;
}

bool agent_chain_waits(struct agent *agent, int64_t scope_id)
{
    int64_t first;

    return profile_events_waiting(agent->store, scope_id - 1, &first, 1) == 1 && first == scope_id;
}

/* The broker has all below `next`; if that is all there is, what waited for it goes on. */
static void events_accepted(struct agent *agent, const struct profile_session *session,
                            uint64_t next)
{
    struct agent_sender *sender = agent_sender_of(agent, session->session_id);
    struct profile_out row;

    profile_events_stored(agent->store, session->session_id, next);
    if (agent_chain_waits(agent, session->session_id))
        return;
    if (session->state == SESSION_BROKEN)
        profile_session_move(agent->store, session->session_id, SESSION_CLOSED, session->due_ms);
    if (session->state != SESSION_ACTIVE)
        return;
    if (profile_out_at(agent->store, session->session_id, 1, &row) && row.state == OUTBOX_SEALED)
        profile_out_accepted(agent->store, row.scope_id, row.seq, row.outbox_id, agent_now(agent));
    if (!sender || sender->acc == 0)
        agent_sender_synced(agent, session->session_id, 1);
    else
        sender->held = sender->idle = false;
    agent_outgoing_seal_session(agent, session);
}

enum err agent_chain_take(struct agent *agent, const struct profile_session *session,
                          const struct profile_peer *peer, const struct signed_event *event,
                          struct event *out)
{
    struct session_chain chain;
    struct profile_event known;
    uint64_t until = UINT64_MAX;
    uint8_t digest[32];
    enum err e;

    if (event_parse(event->preimage, out) != ERR_OK)
        return ERR_SCHEMA;
    event_digest(digest, event->preimage);
    if (profile_events(agent->store, session->session_id, out->seq, &known, 1) == 1
        && known.seq == out->seq) {
        if (memcmp(known.digest, digest, 32) == 0) {
            events_accepted(agent, session, out->seq + 1); /* the peer may have given it again */
            return ERR_DUPLICATE;
        }
        if (known.stored)
            return ERR_CONFLICT;
        until = out->seq;
    }
    if (!load_below(agent, session->session_id, until, &chain))
        return ERR_STATE;
    if (out->seq > chain.next_seq)
        return ERR_GAP;
    e = session_chain_append(&chain, event, agent->me.row.root_id, key_of(agent, peer, out), out);
    if (e != ERR_OK)
        return e;
    if (until != UINT64_MAX) /* somebody was faster: what I wanted to say there is void */
        profile_events_drop(agent->store, session->session_id, until);
    keep_event(agent, session->session_id, event, out->seq, true);
    return ERR_OK;
}

/* ------------------------------------------------------------------ EVENT */

/* My ACCEPTED goes with my frame 1.  False: it is due and the frame is gone. */
static bool accept_frame(struct agent *agent, int64_t scope_id, const struct profile_event *events,
                         size_t count, struct buf *frame)
{
    for (size_t i = 0; i < count; i++) {
        struct event event;
        struct profile_out row;
        if (event_parse(bytes_of(events[i].preimage, EVENT_SIZE), &event) != ERR_OK
            || event.type != EVENT_ACCEPTED || !is_mine(agent, &event))
            continue;
        return profile_out_at(agent->store, scope_id, 1, &row)
               && profile_out_frame(agent->store, row.outbox_id, frame);
    }
    return true;
}

static bool send_events_of(struct agent *agent, int64_t scope_id)
{
    struct message message = agent_message(VERB_EVENT);
    struct profile_event events[EVENTS_KEPT];
    struct profile_session session;
    struct list_maker list = { 0 };
    struct buf frame = { 0 };
    struct agent_asked *asked = NULL;
    size_t count = profile_events(agent->store, scope_id, 0, events, EVENTS_KEPT), first = 0;

    while (first < count && events[first].stored)
        first++;
    for (size_t i = first; i < count && i < first + EVENTS_AT_ONCE; i++)
        list_add_event(&list, &(struct wire_event){ events[i].preimage, events[i].sig,
                                                    bytes_of(events[i].body, events[i].body_len) });
    if (list.count > 0 && accept_frame(agent, scope_id, events + first, list.count, &frame)) {
        struct bytes part = buf_bytes(&frame);
        MESSAGE_SET(&message, events, list_of(&list));
        asked = agent_ask(agent, &message, &part, frame.len ? 1 : 0);
        if (asked)
            asked->scope_id = scope_id;
    } else if (list.count > 0 && profile_session_get(agent->store, scope_id, &session)) {
        /* The peer has signed for my frame 1: only the answer was lost.  What does the broker have?
         */
        asked = agent_chain_ask(agent, &session);
    }
    list_free(&list);
    buf_free(&frame);
    return asked != NULL;
}

void agent_events_send(struct agent *agent)
{
    int64_t scopes[32], after = 0;
    size_t count;

    if (!agent->look_events)
        return;
    agent->look_events = false;
    while ((count = profile_events_waiting(agent->store, after, scopes, 32)) > 0) {
        for (size_t i = 0; i < count; i++) {
            after = scopes[i];
            if (!agent_is_asked(agent, VERB_EVENT, scopes[i]))
                send_events_of(agent, scopes[i]);
        }
    }
    if (agent->link.busy)
        agent->look_events = true;
}

/* Takes what the broker has and we did not. */
static void take_events(struct agent *agent, const struct profile_session *session,
                        const struct wire_list *events)
{
    struct list_reader reader = list_read(events);
    struct wire_event event;

    while (list_event(&reader, &event)) {
        struct profile_session now;
        struct signed_event taken = { bytes_of(event.preimage, EVENT_SIZE), event.sig, event.body };
        if (profile_session_get(agent->store, session->session_id, &now))
            agent_session_event(agent, &now, &taken);
    }
}

/* What the broker has where I wanted to say something.  If that changes nothing here, it is not of
 * this chain, and to ask at once again would change nothing either. */
static void conflicted(struct agent *agent, const struct profile_session *session,
                       const struct wire_list *events)
{
    uint64_t before = profile_events_confirmed(agent->store, session->session_id);

    take_events(agent, session, events);
    if (profile_events_confirmed(agent->store, session->session_id) > before)
        agent->look_events = true;
    else
        agent_look_later(agent, ++agent->event_failures, 0);
}

static bool has_ended(const struct profile_session *session)
{
    return session->state > SESSION_ACTIVE && session->state != SESSION_BROKEN;
}

void agent_event_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                        const struct message *message)
{
    struct profile_session session;

    if (agent_group_of(agent, asked->scope_id)) {
        agent_group_event_answer(agent, asked, code, message);
        return;
    }
    if (!profile_session_get(agent->store, asked->scope_id, &session))
        return;
    if (code == ERR_OK) {
        agent->event_failures = 0;
        events_accepted(agent, &session, message->seq);
        return;
    }
    log_event(LOG_INFO, "event.refused", "session=%s error=%s", log_id(session.id), err_name(code));
    if (code == ERR_CONFLICT && MESSAGE_HAS(message, events) && message->events.count > 0) {
        conflicted(agent, &session, &message->events);
    } else if (code == ERR_SESSION_NOT_FOUND) {
        profile_events_stored(agent->store, asked->scope_id, INT64_MAX);
        agent_session_lost(agent, &session);
    } else if (err_retry(code) == RETRY_SAME || code == ERR_HELLO) {
        agent_look_later(agent, ++agent->event_failures,
                         message && MESSAGE_HAS(message, after_ms) ? message->after_ms : 0);
    } else if (code == ERR_STATE && has_ended(&session)) {
        /* The session that replaced it may come back to a broker that was put back; else its end is
         * of no interest to anybody. */
        if (agent->event_failures < ENDS_TRIED)
            agent_look_later(agent, ++agent->event_failures, 0);
        else
            profile_events_stored(agent->store, asked->scope_id, INT64_MAX);
    } else {
        /* Not possible (any more): what does the broker have? */
        profile_events_stored(agent->store, asked->scope_id, INT64_MAX);
        agent_chain_ask(agent, &session);
    }
}

/* ------------------------------------------------------------------ EVENTS */

static struct agent_asked *ask_events(struct agent *agent, const uint8_t sid[static 16],
                                      uint64_t seq)
{
    struct message message = agent_message(VERB_EVENTS);
    struct agent_asked *asked;

    MESSAGE_SET(&message, id, sid);
    MESSAGE_SET(&message, seq, seq);
    MESSAGE_SET(&message, max, EVENTS_KEPT);
    asked = agent_ask(agent, &message, NULL, 0);
    if (asked)
        memcpy(asked->scope, sid, 16);
    return asked;
}

struct agent_asked *agent_chain_ask(struct agent *agent, const struct profile_session *session)
{
    struct profile_scope scope;
    struct agent_asked *asked;

    if (!profile_scope_get(agent->store, session->session_id, &scope))
        return NULL;
    asked = ask_events(agent, scope.id, scope.next_event);
    if (asked)
        asked->scope_id = session->session_id;
    return asked;
}

void agent_chain_adopt(struct agent *agent, const uint8_t sid[static 16],
                       const uint8_t peer[static 32])
{
    struct agent_presence *presence;
    struct agent_asked *asked;
    struct profile_peer known;

    if (!profile_peer_find(agent->store, peer, &known) || !known.known) {
        /* Who is it?  The answer leads back here. */
        agent_presence_ask(agent, peer);
        presence = agent_presence_of(agent, peer);
        presence->adopts = true;
        memcpy(presence->sid, sid, 16);
        return;
    }
    for (asked = agent->link.asked; asked; asked = asked->next)
        if (asked->verb == VERB_EVENTS && memcmp(asked->scope, sid, 16) == 0)
            return;
    asked = ask_events(agent, sid, 0);
    if (asked)
        memcpy(asked->aid, peer, 32);
}

static bool can_append(struct agent *agent, int64_t scope_id, uint64_t seq)
{
    struct profile_event events[EVENTS_KEPT];
    struct buf frame = { 0 };
    size_t count = profile_events(agent->store, scope_id, seq, events, EVENTS_KEPT);
    bool can = accept_frame(agent, scope_id, events, count, &frame);

    buf_free(&frame);
    return can;
}

/* The broker was put back and lacks the end of the chain: it is given again.  A chain that goes
 * another way is no chain of ours. */
static void compare_heads(struct agent *agent, const struct profile_session *session,
                          const struct message *message)
{
    struct profile_scope scope;
    struct profile_event last;
    struct agent_sender *sender = agent_sender_of(agent, session->session_id);

    if (!profile_scope_get(agent->store, session->session_id, &scope)
        || message->seq > scope.next_event || message->seq == 0)
        return;
    if (profile_events(agent->store, scope.scope_id, message->seq - 1, &last, 1) != 1
        || memcmp(last.digest, message->head, 32) != 0) {
        agent_session_forked(agent, session);
        return;
    }
    if (message->seq < scope.next_event) {
        profile_events_stored(agent->store, scope.scope_id, message->seq);
        profile_events_unstored(agent->store, scope.scope_id, message->seq);
        /* Without my frame 1 only the peer can give my ACCEPTED again. */
        if (can_append(agent, scope.scope_id, message->seq))
            agent->look_events = true;
        else if (has_ended(session))
            profile_events_stored(agent->store, scope.scope_id, INT64_MAX);
        else
            agent_look_later(agent, ++agent->event_failures, 0);
        if (sender)
            sender->held = true;
    } else if (agent_chain_waits(agent, scope.scope_id)) {
        events_accepted(agent, session, message->seq);
    }
}

static bool is_end(const struct profile_event *row, uint64_t now)
{
    struct event event;

    return event_parse(bytes_of(row->preimage, EVENT_SIZE), &event) == ERR_OK
           && (event.type == EVENT_CLOSED || event.type == EVENT_REJECTED
               || event.type == EVENT_ROTATED)
           && now < event.ts_ms + LIMIT_KEEP_MS;
}

void agent_chain_doubt_ends(struct agent *agent)
{
    struct profile_session session;
    uint64_t now = agent_now(agent);
    int64_t after = 0;

    while (profile_session_next(agent->store, after, &session)) {
        struct profile_scope scope;
        struct profile_event last;
        after = session.session_id;
        if (session.state > SESSION_ACTIVE && profile_scope_get(agent->store, after, &scope)
            && scope.next_event > 1
            && profile_events(agent->store, after, scope.next_event - 1, &last, 1) == 1
            && is_end(&last, now))
            profile_events_unstored(agent->store, after, last.seq);
    }
    agent->look_events = true;
}

/* Is this how a session of that name between the peer and me began? */
static bool founds(struct agent *agent, const uint8_t sid[static 16],
                   const struct profile_peer *peer, const struct wire_event *event)
{
    struct signed_event taken = { bytes_of(event->preimage, EVENT_SIZE), event->sig, event->body };
    struct session_chain chain = { 0 };
    const uint8_t *me = agent->me.row.id;
    struct event opened;

    memcpy(chain.sid, sid, 16);
    return event_parse(taken.preimage, &opened) == ERR_OK
           && session_chain_append(&chain, &taken, agent->me.row.root_id,
                                   key_of(agent, peer, &opened), &opened)
                  == ERR_OK
           && memcmp(chain.aid_a, is_mine(agent, &opened) ? me : peer->id, 32) == 0
           && memcmp(chain.aid_b, is_mine(agent, &opened) ? peer->id : me, 32) == 0;
}

static void adopt(struct agent *agent, const struct agent_asked *asked,
                  const struct message *message)
{
    struct list_reader reader = list_read(&message->events);
    struct profile_session session = { .state = SESSION_BROKEN, .mode = MODE_MAILBOX };
    struct profile_scope scope;
    struct profile_peer peer;
    struct wire_event event;
    struct opened_body opened;
    struct init0 init;

    if (!profile_peer_find(agent->store, asked->aid, &peer) || !peer.known
        || profile_scope_find(agent->store, asked->scope, &scope) || !list_event(&reader, &event)
        || !founds(agent, asked->scope, &peer, &event)
        || opened_body_parse(event.body, &opened) != ERR_OK
        || init0_parse(opened.init0, &init) != ERR_OK)
        return;
    session.session_id = profile_scope_add(agent->store, asked->scope);
    session.peer_id = peer.peer_id;
    session.suite = init.suite;
    session.opened_ms = session.due_ms = init.ts_ms;
    profile_session_add(agent->store, &session, NULL);
    take_events(agent, &session, &message->events);
    agent_session_adopted(agent, &session);
}

void agent_events_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                         const struct message *message)
{
    struct profile_session session;

    if (asked->scope_id == 0) {
        if (code == ERR_OK)
            adopt(agent, asked, message);
        return;
    }
    if (agent_group_of(agent, asked->scope_id)) {
        agent_group_events_answer(agent, asked, code, message);
        return;
    }
    if (asked->number && (err_retry(code) == RETRY_SAME || code == ERR_HELLO)) {
        /* Not compared, so nothing may be sealed: as with SYNC, it is begun again. */
        if (code != ERR_HELLO)
            agent_link_event(agent, LINK_GONE);
        return;
    }
    if (profile_session_get(agent->store, asked->scope_id, &session)) {
        if (code == ERR_OK) {
            take_events(agent, &session, &message->events);
            if (profile_session_get(agent->store, asked->scope_id, &session))
                compare_heads(agent, &session, message);
        } else if (code == ERR_SESSION_NOT_FOUND) {
            agent_session_lost(agent, &session);
        }
    }
    agent_incoming_resume(agent);
    if (asked->number)
        agent_sync_compared(agent);
}

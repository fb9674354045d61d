#include "broker/controller/controller.h"
#include "broker/flow/accept.h"
#include "broker/flow/event_list.h"
#include "broker/flow/groups.h"
#include "broker/flow/session.h"
#include "broker/store/senders.h"
#include "shared/wire/limit.h"

enum { EVENTS_MOST = 16 };

/* An EVENT, as far as it has been understood. */
struct appending {
    struct flow *flow;
    const struct request *request;
    struct reply *reply;
    struct signed_event said[EVENTS_MOST];
    struct event parsed[EVENTS_MOST];
    size_t count, first_new; /* those before it are stored already */
    struct session_row session;
    struct frame_view frame;
    uint8_t digest[FRAME_DIGEST_SIZE];
    bool has_frame;
    enum err frame_verdict;
};

/* One scope, numbers without a gap, bodies that fit. */
static enum err appending_parse(struct appending *ap)
{
    const struct message *message = &ap->request->message;
    struct list_reader reader = list_read(&message->events);
    bool accepted = false;
    struct wire_event wire;

    if (message->events.count == 0 || message->events.count > EVENTS_MOST)
        return ERR_SCHEMA;
    while (list_event(&reader, &wire)) {
        struct event *event = &ap->parsed[ap->count];

        ap->said[ap->count]
            = (struct signed_event){ bytes_of(wire.preimage, EVENT_SIZE), wire.sig, wire.body };
        if (event_parse(ap->said[ap->count].preimage, event) != ERR_OK
            || event_body_check(event, wire.body) != ERR_OK)
            return ERR_SCHEMA;
        if (event->scope != ap->parsed[0].scope || memcmp(event->id, ap->parsed[0].id, 16) != 0
            || event->seq != ap->parsed[0].seq + ap->count)
            return ERR_SCHEMA;
        accepted = accepted || (event->scope == SCOPE_SESSION && event->type == EVENT_ACCEPTED);
        ap->count++;
    }
    if (reader.err != ERR_OK || ap->request->part_count > (accepted ? 1 : 0))
        return ERR_SCHEMA;
    return ERR_OK;
}

/* Each under its actor's key; whoever brings it. */
static enum err appending_verify(struct appending *ap)
{
    const uint8_t *root_id = controller_root_id(ap->flow->controller);

    if (ap->request->verdict != ERR_OK) /* those of the one who brings them */
        return ERR_AUTH;
    for (size_t i = 0; i < ap->count; i++) {
        const struct event *event = &ap->parsed[i];
        const struct agent_row *actor;
        const uint8_t *key;

        if (memcmp(event->actor, ap->request->by.aid, 32) == 0)
            continue;
        actor = store_agent_by_aid(ap->flow->store, event->actor);
        if (actor)
            key = actor->identity_key;
        else if (memcmp(event->actor, root_id, 32) == 0)
            key = controller_ck(ap->flow->controller);
        else
            return ERR_AUTH;
        if (event_verify(ap->said[i].preimage, ap->said[i].sig, key) != ERR_OK)
            return ERR_AUTH;
    }
    return ERR_OK;
}

static enum err appending_find(struct appending *ap)
{
    int64_t by = ap->request->by.id;
    enum err e;

    e = store_session_find(ap->flow->store, ap->parsed[0].id, &ap->session);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_SESSION_NOT_FOUND : e;
    return ap->session.a_id == by || ap->session.b_id == by ? ERR_OK : ERR_SESSION_NOT_FOUND;
}

/* What is there from number `seq` on, so that the one who was slower can take it over. */
static enum err refuse_conflict(struct appending *ap, uint64_t seq)
{
    struct message *refusal = refuse_message(ap->reply);
    struct list_maker *list = reply_list(ap->reply);
    enum err e = event_list_add(ap->flow, ap->session.session_id, seq, UINT64_MAX, list);

    if (e != ERR_OK)
        return e;
    MESSAGE_SET(refusal, seq, ap->session.next_event);
    MESSAGE_SET(refusal, head, reply_keep(ap->reply, bytes_of(ap->session.head, 32)).at);
    MESSAGE_SET(refusal, events, list_of(list));
    return ERR_CONFLICT;
}

/* Skips what is stored already; then compare and swap. */
static enum err appending_compare(struct appending *ap)
{
    struct event_row row;

    for (; ap->first_new < ap->count; ap->first_new++) {
        const struct event *event = &ap->parsed[ap->first_new];
        enum err e;

        if (event->seq >= ap->session.next_event)
            break;
        e = store_event_get(ap->flow->store, ap->session.session_id, event->seq, &row);
        if (e != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
        if (memcmp(row.preimage, ap->said[ap->first_new].preimage.at, EVENT_SIZE) != 0)
            return refuse_conflict(ap, event->seq);
    }
    if (ap->first_new < ap->count) {
        const struct event *event = &ap->parsed[ap->first_new];

        if (event->seq != ap->session.next_event || memcmp(event->prev, ap->session.head, 32) != 0)
            return refuse_conflict(ap, event->seq);
    }
    return ERR_OK;
}

static bool ends_something(uint8_t type)
{
    return type == EVENT_ROTATED || type == EVENT_CLOSED || type == EVENT_REJECTED;
}

static enum err appending_rate(struct appending *ap)
{
    bool adds = false;

    for (size_t i = ap->first_new; i < ap->count; i++) {
        enum err e = accept_rate(ap->reply, ap->request->by.id);

        if (e != ERR_OK)
            return e;
        adds = adds || !ends_something(ap->parsed[i].type);
    }
    return adds ? space_check(ap->reply) : ERR_OK;
}

static struct session_chain chain_of(struct appending *ap)
{
    const struct session_row *session = &ap->session;
    struct session_chain chain
        = { .state = (enum chain_state)session->state, .next_seq = session->next_event };

    memcpy(chain.sid, session->id, sizeof chain.sid);
    memcpy(chain.head, session->head, sizeof chain.head);
    memcpy(chain.aid_a, store_agent(ap->flow->store, session->a_id)->aid, sizeof chain.aid_a);
    memcpy(chain.aid_b, store_agent(ap->flow->store, session->b_id)->aid, sizeof chain.aid_b);
    return chain;
}

/* ROTATED: the new session is another one, and between the same two. */
static enum err rotated_check(struct appending *ap, struct bytes body)
{
    struct session_row next;
    enum err e = store_session_find(ap->flow->store, body.at, &next);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STATE : e;
    if (next.state != SESSION_ACTIVE || next.session_id == ap->session.session_id
        || !((next.a_id == ap->session.a_id && next.b_id == ap->session.b_id)
             || (next.a_id == ap->session.b_id && next.b_id == ap->session.a_id)))
        return ERR_STATE;
    return ERR_OK;
}

/* The rules of docs/protocol.md 8.2, for all of them before any is appended. */
static enum err appending_rules(struct appending *ap)
{
    const uint8_t *root_id = controller_root_id(ap->flow->controller);
    struct session_chain chain = chain_of(ap);
    struct event ignored;
    enum err e;

    for (size_t i = ap->first_new; i < ap->count; i++) {
        e = session_chain_check(&chain, &ap->said[i], root_id, &ignored);
        if (e != ERR_OK)
            return e;
        if (ap->parsed[i].ts_ms > ap->flow->now_ms + LIMIT_FRESH_MS)
            return ERR_STALE_TS;
        if (ap->parsed[i].type == EVENT_ROTATED
            && (e = rotated_check(ap, ap->said[i].body)) != ERR_OK)
            return e;
        chain.state = chain_next(chain.state, ap->parsed[i].type);
        chain.next_seq++;
        event_digest(chain.head, ap->said[i].preimage);
    }
    return ERR_OK;
}

/* ---- the frame of ACCEPTED ------------------------------------------------------------------- */

static struct incoming incoming_of(struct appending *ap)
{
    return (struct incoming){ .session = &ap->session,
                              .sender_id = ap->session.b_id,
                              .recipient = store_agent(ap->flow->store, ap->session.a_id),
                              .frame = &ap->frame,
                              .digest = ap->digest };
}

/* B's frame 1 is B's to bring; A, who brings its ACCEPTED back, has opened it already. */
static enum err frame_check(struct appending *ap, const struct signed_event *accepted)
{
    const struct agent_row *a = store_agent(ap->flow->store, ap->session.a_id);
    const struct agent_row *b = store_agent(ap->flow->store, ap->session.b_id);
    struct incoming incoming = incoming_of(ap);
    struct sender_row sender;
    enum err e;

    if (ap->request->by.id != ap->session.b_id)
        return ap->request->part_count ? ERR_SCHEMA : ERR_OK;
    if (ap->request->part_count != 1)
        return ERR_SCHEMA;
    if ((e = frame_parse_whole(ap->request->parts[0], &ap->frame)) != ERR_OK)
        return e;
    if (ap->frame.kind != FRAME_ACCEPT || ap->frame.suite != ap->session.suite
        || frame_expect(&ap->frame, ap->session.id, b->aid, a->aid) != ERR_OK)
        return ERR_SCHEMA;
    frame_digest(&ap->frame, ap->digest);
    if (memcmp(ap->digest, accepted->body.at, FRAME_DIGEST_SIZE) != 0)
        return ERR_DIGEST_MISMATCH;
    e = store_sender_get(ap->flow->store, ap->session.session_id, ap->session.b_id, &sender);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
    if (sender.stored_seq > 0) /* its owner has moved the number on after a restore */
        return ERR_OK;
    ap->frame_verdict = accept_check(ap->flow, &incoming);
    if (ap->frame_verdict != ERR_OK && ap->frame_verdict != ERR_TOMBSTONE)
        return ap->frame_verdict;
    ap->has_frame = true;
    return ERR_OK;
}

static enum err appending_frame(struct appending *ap)
{
    for (size_t i = ap->first_new; i < ap->count; i++)
        if (ap->parsed[i].type == EVENT_ACCEPTED)
            return frame_check(ap, &ap->said[i]);
    return ERR_OK;
}

static enum err frame_proceed(struct appending *ap, const struct signed_event *accepted)
{
    struct incoming incoming = incoming_of(ap);

    if (ap->has_frame)
        return accept_store(ap->flow, &incoming, ap->frame_verdict);
    return store_sender_settle_to(ap->flow->store, ap->session.session_id, ap->session.b_id, 1,
                                  accepted->body.at);
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum err append_one(struct appending *ap, size_t i)
{
    const struct event *event = &ap->parsed[i];
    const struct signed_event *said = &ap->said[i];
    enum chain_state next = chain_next((enum chain_state)ap->session.state, event->type);
    const struct agent_row *actor = store_agent_by_aid(ap->flow->store, event->actor);
    int64_t other = ap->request->by.id == ap->session.a_id ? ap->session.b_id : ap->session.a_id;
    int reason
        = event->type == EVENT_ACCEPTED || event->type == EVENT_ROTATED ? -1 : said->body.at[0];
    enum err e = session_append(ap->flow, &ap->session, said, event);

    if (e == ERR_OK)
        e = session_move(ap->flow, &ap->session, (enum session_state)next, reason);
    if (e == ERR_OK)
        e = session_tell(ap->flow, &ap->session, other, said, actor ? actor->agent_id : 0);
    if (e == ERR_OK && event->type == EVENT_ACCEPTED)
        e = frame_proceed(ap, said);
    return e;
}

/* The order of docs/protocol.md 6.8. */
enum err event_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct appending ap = { .flow = flow, .request = request, .reply = reply };
    struct message *message = reply_message(reply);
    enum err e;

    if ((e = appending_parse(&ap)) != ERR_OK || (e = appending_verify(&ap)) != ERR_OK)
        return e;
    if (ap.parsed[0].scope == SCOPE_GROUP)
        return group_append(flow, request, reply,
                            &(struct group_append){ ap.said, ap.parsed, ap.count });
    if ((e = appending_find(&ap)) != ERR_OK || (e = appending_compare(&ap)) != ERR_OK
        || (e = appending_rate(&ap)) != ERR_OK || (e = appending_rules(&ap)) != ERR_OK
        || (e = appending_frame(&ap)) != ERR_OK)
        return e;
    for (size_t i = ap.first_new; e == ERR_OK && i < ap.count; i++)
        e = append_one(&ap, i);
    if (e != ERR_OK)
        return e;
    MESSAGE_SET(message, seq, ap.session.next_event);
    MESSAGE_SET(message, head, reply_keep(reply, bytes_of(ap.session.head, 32)).at);
    return ERR_OK;
}

#include "broker/flow/accept.h"
#include "broker/flow/groups.h"
#include "broker/flow/hints.h"
#include "broker/flow/session.h"
#include "broker/store/prekeys.h"
#include "broker/store/usage.h"
#include "shared/trust/init0.h"
#include "shared/wire/limit.h"

/* A REQUEST, as far as it has been understood. */
struct asking {
    struct flow *flow;
    const struct request *request;
    struct reply *reply;
    struct signed_event opened;
    struct event event;
    struct opened_body body;
    struct init0 init;
    struct frame_view frame;
    uint8_t digest[FRAME_DIGEST_SIZE];
    const struct agent_row *a, *b;
};

/* The one event: layout, signature, who says it. */
static enum err asking_event(struct asking *ask)
{
    static const uint8_t zeroes[32];
    const struct message *message = &ask->request->message;
    struct list_reader reader = list_read(&message->events);
    struct wire_event wire;
    enum err e;

    if (message->events.count != 1 || !list_event(&reader, &wire) || ask->request->part_count != 1)
        return ERR_SCHEMA;
    ask->opened = (struct signed_event){ bytes_of(wire.preimage, EVENT_SIZE), wire.sig, wire.body };
    if ((e = event_parse(ask->opened.preimage, &ask->event)) != ERR_OK)
        return ERR_SCHEMA;
    if (ask->event.type != EVENT_OPENED || ask->event.scope != SCOPE_SESSION || ask->event.seq != 0
        || memcmp(ask->event.prev, zeroes, 32) != 0)
        return ERR_SCHEMA;
    if (event_body_check(&ask->event, wire.body) != ERR_OK)
        return ERR_SCHEMA;
    /* A foreign actor's signature was not looked at, and need not be. */
    if (memcmp(ask->event.actor, ask->request->by.aid, 32) != 0)
        return ERR_AUTH;
    return ask->request->verdict == ERR_OK ? ERR_OK : ERR_AUTH;
}

/* INIT0 says the same as the event around it. */
static enum err asking_init(struct asking *ask)
{
    uint8_t sid[16];

    if (opened_body_parse(ask->opened.body, &ask->body) != ERR_OK
        || init0_parse(ask->body.init0, &ask->init) != ERR_OK)
        return ERR_SCHEMA;
    if (memcmp(ask->init.aid_a, ask->request->by.aid, 32) != 0)
        return ERR_AUTH;
    init0_sid(sid, ask->body.init0);
    if (memcmp(sid, ask->event.id, 16) != 0 || memcmp(ask->init.aid_b, ask->event.target, 32) != 0)
        return ERR_SCHEMA;
    return ERR_OK;
}

static enum err asking_frame(struct asking *ask)
{
    enum err e = frame_parse_whole(ask->request->parts[0], &ask->frame);

    if (e != ERR_OK)
        return e;
    if (ask->frame.kind != FRAME_REQUEST || ask->frame.suite != ask->init.suite
        || ask->frame.expires_ms != ask->init.req_exp_ms
        || frame_expect(&ask->frame, ask->event.id, ask->init.aid_a, ask->init.aid_b) != ERR_OK)
        return ERR_SCHEMA;
    frame_digest(&ask->frame, ask->digest);
    return memcmp(ask->digest, ask->body.frame_digest, 32) == 0 ? ERR_OK : ERR_DIGEST_MISMATCH;
}

/* ERR_DUPLICATE: the very same.  The event names the frame, so comparing it compares both. */
static enum err asking_known(struct asking *ask)
{
    struct session_row session;
    struct event_row first;
    uint8_t digest[FRAME_DIGEST_SIZE];
    struct frame_view frame;
    enum err e = store_session_find(ask->flow->store, ask->event.id, &session);

    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = store_event_get(ask->flow->store, session.session_id, 0, &first);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_CONFLICT : e;
    if (memcmp(first.preimage, ask->opened.preimage.at, EVENT_SIZE) != 0
        || frame_parse_whole(ask->request->parts[0], &frame) != ERR_OK)
        return ERR_CONFLICT;
    frame_digest(&frame, digest);
    return memcmp(digest, ask->body.frame_digest, 32) == 0 ? ERR_DUPLICATE : ERR_CONFLICT;
}

/* Is `hash` one of b's cards that still count? */
static enum err card_of_b(struct asking *ask, uint32_t *suites)
{
    struct card_row row;
    struct card card;
    int64_t owner;
    enum err e;

    *suites = ask->b->suites;
    if (memcmp(ask->init.card_hash_b, ask->b->card_hash, 32) == 0)
        return ERR_OK;
    e = store_card_by_hash(ask->flow->store, ask->init.card_hash_b, &owner, &row);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STATE : e;
    if (owner != ask->b->agent_id || card_parse(bytes_of(row.card, row.len), &card) != ERR_OK)
        return ERR_STATE;
    *suites = card.suites;
    return ERR_OK;
}

static enum err asking_parties(struct asking *ask)
{
    uint32_t bit = suite_bit(ask->init.suite), suites;
    enum err e;

    ask->a = store_agent(ask->flow->store, ask->request->by.id);
    ask->b = store_agent_by_aid(ask->flow->store, ask->init.aid_b);
    if (!ask->b)
        return ERR_UNKNOWN_AGENT;
    if (ask->b->state == AGENT_REVOKED)
        return ERR_CERT_REVOKED;
    if ((e = init0_fresh(&ask->init, ask->flow->now_ms)) != ERR_OK)
        return e;
    if (memcmp(ask->init.card_hash_a, ask->a->card_hash, 32) != 0)
        return ERR_STATE;
    if ((e = card_of_b(ask, &suites)) != ERR_OK)
        return e;
    /* Suites with ML-KEM are of the second stage. */
    if (!(ask->a->suites & suites & bit) || ask->init.suite > SUITE_AES)
        return ERR_STATE;
    return ERR_OK;
}

static enum err asking_rotates(struct asking *ask)
{
    struct session_row old;
    enum err e;

    if (!(ask->init.flags & INIT0_ROTATE))
        return ERR_OK;
    e = store_session_find(ask->flow->store, ask->init.prev_sid, &old);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STATE : e;
    if (old.state != SESSION_ACTIVE
        || !((old.a_id == ask->a->agent_id && old.b_id == ask->b->agent_id)
             || (old.b_id == ask->a->agent_id && old.a_id == ask->b->agent_id)))
        return ERR_STATE;
    return ERR_OK;
}

static enum err asking_prekey(struct asking *ask)
{
    enum err e;

    if (!(ask->init.flags & INIT0_OPK_USED))
        return ERR_OK;
    e = store_opk_usable(ask->flow->store, ask->b->agent_id, ask->init.opk_id, ask->a->agent_id,
                         ask->flow->now_ms);
    return e == ERR_NOT_FOUND ? ERR_NO_PREKEYS : e;
}

static enum err asking_quota(struct asking *ask)
{
    const struct flow_settings *settings = &ask->flow->settings;
    struct usage_row of_a;
    struct held of_b;
    struct pair_facts pair;
    enum err e = store_usage_get(ask->flow->store, ask->a->agent_id, &of_a);

    if (e == ERR_OK)
        e = held_count(ask->flow, ask->b->agent_id, &of_b);
    if (e == ERR_OK)
        e = store_pair_facts(ask->flow->store, ask->a->agent_id, ask->b->agent_id, &pair);
    if (e != ERR_OK)
        return e;
    if (of_a.requests_out >= settings->requests_open || pair.unanswered >= LIMIT_REQUESTS_PAIR
        || pair.alive >= LIMIT_SESSIONS_PAIR)
        return ERR_QUOTA;
    if (of_b.count >= settings->requests
        || of_b.bytes + ask->frame.all.len > settings->request_bytes)
        return ERR_QUOTA_MAILBOX;
    return ERR_OK;
}

static enum err asking_rate(struct asking *ask)
{
    const struct rate_limit tries
        = { LIMIT_REQUEST_TRIES_PER_H, LIMIT_REQUEST_TRIES_PER_H, 3600 * 1000 };
    enum err e = accept_rate(ask->reply, ask->a->agent_id);

    if (e != ERR_OK)
        return e;
    return rate_check(ask->reply, RATE_REQUEST_PAIR, ask->a->agent_id, ask->b->agent_id, &tries);
}

static enum err asking_store(struct asking *ask, enum err verdict)
{
    struct session_row session = { .a_id = ask->a->agent_id,
                                   .b_id = ask->b->agent_id,
                                   .state = SESSION_REQUESTED,
                                   .mode = ask->init.mode,
                                   .suite = ask->init.suite,
                                   .opened_ms = ask->flow->now_ms,
                                   .idle_ms = (uint64_t)ask->init.idle_s * 1000,
                                   .ends_ms = ask->flow->now_ms + session_life_ms(ask->init.mode),
                                   .due_ms = ask->init.req_exp_ms,
                                   .reason = -1 };
    struct incoming incoming = { .session = &session,
                                 .sender_id = ask->a->agent_id,
                                 .recipient = ask->b,
                                 .frame = &ask->frame,
                                 .digest = ask->digest };
    enum err e;

    memcpy(session.id, ask->event.id, sizeof session.id);
    e = store_session_add(ask->flow->store, &session);
    if (e == ERR_OK)
        e = session_append(ask->flow, &session, &ask->opened, &ask->event);
    if (e == ERR_OK)
        e = accept_store(ask->flow, &incoming, verdict);
    if (e == ERR_OK)
        e = store_request_opened(ask->flow->store, session.a_id, session.b_id, ask->frame.all.len);
    if (e != ERR_OK || !(ask->init.flags & INIT0_OPK_USED))
        return e;
    e = store_opk_use(ask->flow->store, ask->b->agent_id, ask->init.opk_id, ask->flow->now_ms);
    return e == ERR_OK ? say_prekey_taken(ask->flow, ask->b->agent_id, ask->reply) : e;
}

static enum err asking_answer(struct asking *ask, enum err status)
{
    struct list_maker *list = reply_list(ask->reply);

    list_add_status(list, (uint64_t)status);
    MESSAGE_SET(reply_message(ask->reply), status, list_of(list));
    return ERR_OK;
}

/* The order of docs/protocol.md 6.8. */
enum err request_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    struct asking ask = { .flow = flow, .request = request, .reply = reply };
    struct incoming incoming = { .sender_id = request->by.id };
    enum err e, verdict;

    if ((e = asking_event(&ask)) != ERR_OK || (e = asking_init(&ask)) != ERR_OK)
        return e;
    e = asking_known(&ask);
    if (e == ERR_DUPLICATE)
        return asking_answer(&ask, ERR_DUPLICATE);
    if (e != ERR_OK || (e = asking_frame(&ask)) != ERR_OK || (e = asking_parties(&ask)) != ERR_OK
        || (e = asking_rotates(&ask)) != ERR_OK || (e = asking_prekey(&ask)) != ERR_OK
        || (e = asking_quota(&ask)) != ERR_OK || (e = asking_rate(&ask)) != ERR_OK)
        return e;
    incoming.recipient = ask.b;
    incoming.frame = &ask.frame;
    incoming.digest = ask.digest;
    verdict = accept_check(flow, &incoming);
    if (verdict != ERR_OK && verdict != ERR_TOMBSTONE)
        return verdict;
    e = asking_store(&ask, verdict);
    return e == ERR_OK ? asking_answer(&ask, ERR_OK) : e;
}

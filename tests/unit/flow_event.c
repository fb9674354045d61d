/* layers: testlib */
/*
 * EVENT and EVENTS: every cell of docs/protocol.md 8.2, compare-and-swap, tails brought back after
 * a restore, and sessions that end with time.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/usage.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS UINT64_C(86400000)

static struct fake_broker broker;
static struct fake_party ann, bob, cat;
static struct fake_session session;
static struct buf frame;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_join(&broker, &cat, "cat");
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
    buf_free(&frame);
}

TestSuite(event, .init = open_all, .fini = close_all);

static enum session_state state_now(void)
{
    struct session_row row;

    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    return row.state;
}

static void request_open(uint64_t number)
{
    struct fake_event opened;

    buf_clear(&frame);
    fake_session_make(&session, &ann.agent, &bob.agent, number, broker.now_ms, NULL, &frame,
                      &opened);
    cr_assert_eq(fake_request(&broker, &ann, &opened, buf_bytes(&frame)).e, ERR_OK);
}

static enum err say(const struct fake_party *by, const struct fake_event *event,
                    struct bytes with_frame)
{
    return fake_event_say(&broker, by, event, 1, with_frame).e;
}

static void sign_as_root(struct fake_event *event)
{
    event_body_hash(event->event.body_hash, bytes_of(event->body, event->body_len));
    event_encode(event->preimage, &event->event);
    signer_expired(broker.signer, event->preimage, event->sig);
}

/* An event of this type that would be the next one, by `actor` (NULL: the controller). */
static void next_event(enum event_type type, const struct fake_agent *actor,
                       const uint8_t other_sid[16], struct fake_event *out)
{
    struct closed_body closed = { CLOSED_DONE, 1 };
    struct fake_session copy = session;
    uint8_t body[32] = { 0 };
    size_t len = 1;

    copy.chain.state = CHAIN_NONE; /* never follows: the test decides what stands */
    if (type == EVENT_ACCEPTED) {
        buf_clear(&frame);
        fake_frame(&frame, FRAME_ACCEPT, session.chain.sid, &bob.agent, &ann.agent, 1,
                   broker.now_ms + DAY_MS, BUCKET_MIN);
        fake_digest(buf_bytes(&frame), body);
        len = 32;
    } else if (type == EVENT_ROTATED) {
        memcpy(body, other_sid, 16);
        len = 16;
    } else if (type == EVENT_CLOSED) {
        closed_body_encode(body, &closed);
        len = CLOSED_BODY_SIZE;
    } else if (type == EVENT_REJECTED) {
        body[0] = REJECTED_BY_PERSON;
    }
    fake_event_make(&copy, actor ? actor : &ann.agent, type, bytes_of(body, len), broker.now_ms,
                    out);
    if (!actor) {
        memcpy(out->event.actor, controller_root_id(broker.controller), 32);
        memset(out->event.target, 0, 32);
        sign_as_root(out);
    }
}

/* The session in each of its six states.  `next_event` continues from there. */
static void bring_to(enum session_state state, uint64_t number, const uint8_t other_sid[16])
{
    static const enum event_type last[] = { [SESSION_CLOSED] = EVENT_CLOSED,
                                            [SESSION_REJECTED] = EVENT_REJECTED,
                                            [SESSION_EXPIRED] = EVENT_EXPIRED,
                                            [SESSION_ROTATED] = EVENT_ROTATED };
    const struct fake_agent *actor = state == SESSION_EXPIRED    ? NULL
                                     : state == SESSION_REJECTED ? &bob.agent
                                                                 : &ann.agent;
    struct fake_event event;

    if (state == SESSION_REQUESTED || state == SESSION_REJECTED) {
        request_open(number);
    } else {
        fake_session_open(&broker, &session, &ann, &bob, number);
    }
    if (state <= SESSION_ACTIVE)
        return;
    next_event(last[state], actor, other_sid, &event);
    cr_assert_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_OK, "state %d", (int)state);
    session.chain.next_seq++;
    event_digest(session.chain.head, bytes_of(event.preimage, EVENT_SIZE));
    cr_assert_eq(state_now(), state);
}

/* What each type leads to; 0: not possible.  Written down again here, from the page. */
static const enum session_state leads_to[SESSION_ROTATED + 1][EVENT_EXPIRED + 1] = {
    [SESSION_REQUESTED] = { [EVENT_ACCEPTED] = SESSION_ACTIVE,
                            [EVENT_REJECTED] = SESSION_REJECTED,
                            [EVENT_CLOSED] = SESSION_CLOSED,
                            [EVENT_EXPIRED] = SESSION_EXPIRED },
    [SESSION_ACTIVE] = { [EVENT_ROTATED] = SESSION_ROTATED,
                         [EVENT_CLOSED] = SESSION_CLOSED,
                         [EVENT_EXPIRED] = SESSION_EXPIRED },
};

/* T61: every (state, event) cell. */
Test(event, T61_every_cell)
{
    struct fake_session other;
    uint64_t number = 10;

    broker.settings.send_burst = 100000;
    flow_configure(broker.flow, &broker.settings);
    fake_session_open(&broker, &other, &ann, &bob, 1);
    for (enum session_state state = SESSION_REQUESTED; state <= SESSION_ROTATED; state++)
        for (enum event_type type = EVENT_OPENED; type <= EVENT_EXPIRED; type++) {
            const struct fake_party *by
                = type == EVENT_ACCEPTED || type == EVENT_REJECTED ? &bob : &ann;
            enum session_state next = leads_to[state][type];
            struct fake_event event;
            enum err want = next ? ERR_OK : ERR_STATE, e;

            /* The hour's tries and the pair's sessions are used up otherwise. */
            broker.elapsed_ms += 3600 * 1000;
            fake_hello(&broker, &ann);
            fake_hello(&broker, &bob);
            bring_to(state, number++, other.chain.sid);
            if (type == EVENT_OPENED) {
                struct fake_session copy = session;

                copy.chain.state = CHAIN_NONE;
                fake_event_make(&copy, &ann.agent, EVENT_OPENED,
                                bytes_of(session.body, session.body_len), broker.now_ms, &event);
            } else {
                next_event(type, type == EVENT_EXPIRED ? NULL : &by->agent, other.chain.sid,
                           &event);
            }
            e = say(by, &event, type == EVENT_ACCEPTED ? buf_bytes(&frame) : bytes_of(NULL, 0));
            cr_expect_eq(e, want, "state %d event %d: %s", (int)state, (int)type, err_name(e));
            cr_expect_eq(state_now(), next ? next : state, "state %d event %d", (int)state,
                         (int)type);
            /* Out of the way of the next cell. */
            if (state_now() <= SESSION_ACTIVE) {
                struct session_row row;

                cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
                session.chain.next_seq = row.next_event;
                memcpy(session.chain.head, row.head, 32);
                next_event(EVENT_EXPIRED, NULL, NULL, &event);
                cr_assert_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_OK);
            }
            fake_ack_all(&broker, &ann);
            fake_ack_all(&broker, &bob);
        }
}

/* Who may take which step. */
Test(event, T61_wrong_actor)
{
    static const struct {
        const char *name;
        enum event_type type;
        int actor; /* 0 ann, 1 bob, 2 cat */
        enum err want;
    } cases[] = {
        { "A accepts its own request", EVENT_ACCEPTED, 0, ERR_FORBIDDEN },
        { "A rejects its own request", EVENT_REJECTED, 0, ERR_FORBIDDEN },
        { "B closes before it has answered", EVENT_CLOSED, 1, ERR_FORBIDDEN },
        { "A signs EXPIRED", EVENT_EXPIRED, 0, ERR_FORBIDDEN },
        { "a stranger's CLOSED, brought by A", EVENT_CLOSED, 2, ERR_FORBIDDEN },
    };
    const struct fake_agent *agents[] = { &ann.agent, &bob.agent, &cat.agent };

    request_open(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_event event;
        bool with = cases[i].type == EVENT_ACCEPTED && cases[i].actor == 1;

        next_event(cases[i].type, agents[cases[i].actor], NULL, &event);
        cr_expect_eq(say(&ann, &event, with ? buf_bytes(&frame) : bytes_of(NULL, 0)), cases[i].want,
                     "%s", cases[i].name);
        cr_expect_eq(state_now(), SESSION_REQUESTED, "%s", cases[i].name);
    }
}

Test(event, not_a_party)
{
    struct fake_event event;
    uint8_t unknown[16] = { 9 };

    fake_session_open(&broker, &session, &ann, &bob, 1);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &event);
    cr_expect_eq(say(&cat, &event, bytes_of(NULL, 0)), ERR_SESSION_NOT_FOUND, "not yours");
    memcpy(event.event.id, unknown, 16);
    fake_event_sign(&event, &ann.agent);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_SESSION_NOT_FOUND, "not there");
    cr_expect_eq(state_now(), SESSION_ACTIVE);
}

Test(event, layout_and_signature)
{
    struct fake_event event, good;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &good);
    event = good;
    event.sig[1] ^= 1;
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_AUTH, "own signature");
    cr_expect_eq(say(&bob, &event, bytes_of(NULL, 0)), ERR_AUTH, "brought by the other");
    event = good;
    event.body[1] ^= 1;
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_SCHEMA, "body");
    event = good;
    event.event.type = 7;
    fake_event_sign(&event, &ann.agent);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_SCHEMA, "type");
    event = good;
    event.event.ts_ms = broker.now_ms + LIMIT_FRESH_MS + 1;
    fake_event_sign(&event, &ann.agent);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_STALE_TS, "ts");
    event = good;
    memset(event.event.actor, 7, 32);
    fake_event_sign(&event, &ann.agent);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_AUTH, "actor nobody knows");
    buf_clear(&frame);
    fake_frame(&frame, FRAME_ACCEPT, session.chain.sid, &ann.agent, &bob.agent, 1,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    cr_expect_eq(say(&ann, &good, buf_bytes(&frame)), ERR_SCHEMA, "a frame with CLOSED");
    cr_expect_eq(say(&ann, &good, bytes_of(NULL, 0)), ERR_OK);
}

/* Groups come later; their formats are known. */
Test(event, groups_are_refused)
{
    struct fake_event event = {
        .event
        = { .scope = SCOPE_GROUP, .id = { 5 }, .type = EVENT_GROUP_CLOSED, .ts_ms = broker.now_ms }
    };

    event.body_len = 1;
    memcpy(event.event.actor, ann.agent.aid, 32);
    fake_event_sign(&event, &ann.agent);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_NOT_MEMBER);
}

/* ---- compare and swap ------------------------------------------------------------------------ */

Test(event, the_same_bytes_are_a_success_and_others_a_conflict)
{
    struct fake_event closed, other;
    struct answer answer;
    struct list_reader reader;
    struct wire_event stored;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &closed);
    next_event(EVENT_CLOSED, &bob.agent, NULL, &other);
    cr_expect_eq(say(&ann, &closed, bytes_of(NULL, 0)), ERR_OK);
    answer = fake_event_say(&broker, &ann, &closed, 1, bytes_of(NULL, 0));
    cr_expect_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.seq, 3);

    answer = fake_event_say(&broker, &bob, &other, 1, bytes_of(NULL, 0));
    cr_assert_eq(answer.e, ERR_CONFLICT);
    cr_expect_eq(answer.message.seq, 3);
    cr_expect(MESSAGE_HAS(&answer.message, head));
    reader = list_read(&answer.message.events);
    cr_assert(list_event(&reader, &stored));
    cr_expect_arr_eq(stored.preimage, closed.preimage, EVENT_SIZE);
    cr_expect_not(list_event(&reader, &stored));
}

Test(event, number_and_prev_must_fit)
{
    struct fake_event event;
    struct answer answer;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &event);
    event.event.seq++;
    fake_event_sign(&event, &ann.agent);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_CONFLICT, "number too high");
    next_event(EVENT_CLOSED, &ann.agent, NULL, &event);
    event.event.prev[3] ^= 1;
    fake_event_sign(&event, &ann.agent);
    answer = fake_event_say(&broker, &ann, &event, 1, bytes_of(NULL, 0));
    cr_expect_eq(answer.e, ERR_CONFLICT, "prev");
    cr_expect_eq(answer.message.seq, 2, "what stands is said");
    cr_expect_arr_eq(answer.message.head, session.chain.head, 32);
    cr_expect_eq(state_now(), SESSION_ACTIVE);
}

/* Two at once, in one turn: one wins, the other hears who. */
Test(event, of_two_one_wins)
{
    struct message message = { .verb = VERB_EVENT };
    struct fake_event events[2];
    const struct fake_party *by[2] = { &ann, &bob };
    uint32_t rids[2];

    fake_session_open(&broker, &session, &ann, &bob, 1);
    for (size_t i = 0; i < 2; i++) {
        struct list_maker list = { 0 };
        struct wire_event wire;

        next_event(EVENT_CLOSED, &by[i]->agent, NULL, &events[i]);
        wire = fake_event_wire(&events[i]);
        list_add_event(&list, &wire);
        MESSAGE_SET(&message, events, list_of(&list));
        rids[i] = fake_queue(&broker, &by[i]->by, &message, NULL, 0);
        list_free(&list);
    }
    cr_assert_eq(fake_run(&broker), ERR_OK);
    cr_expect_eq(fake_answer(&broker, ann.by.conn, rids[0]).e, ERR_OK);
    cr_expect_eq(fake_answer(&broker, bob.by.conn, rids[1]).e, ERR_CONFLICT);
}

/* ---- ACCEPTED and its frame ------------------------------------------------------------------ */

Test(event, accepted_brings_its_frame_behind_it)
{
    struct fake_event accepted;
    struct fake_item items[256];

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &accepted);
    cr_expect_eq(say(&bob, &accepted, buf_bytes(&frame)), ERR_OK);
    cr_assert_eq(fake_fetch(&broker, &ann, items), 2);
    cr_expect_eq(items[0].kind, ITEM_EVENT);
    cr_expect_arr_eq(items[0].bytes.at, accepted.preimage, EVENT_SIZE);
    cr_expect_eq(items[1].kind, ITEM_ACCEPT);
    cr_expect(bytes_equal(items[1].bytes, buf_bytes(&frame)));
    cr_expect_eq(say(&bob, &accepted, buf_bytes(&frame)), ERR_OK, "again");
    cr_expect_eq(fake_fetch(&broker, &ann, items), 2, "again: no second item");
}

Test(event, accepted_needs_the_frame_it_names)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t xor ;
        enum err want;
    } cases[] = {
        { "kind", 1, FRAME_ACCEPT ^ FRAME_DATA, ERR_SCHEMA },
        { "suite of another session", 2, SUITE_CHACHA ^ SUITE_AES, ERR_SCHEMA },
        { "scope", 4, 1, ERR_SCHEMA },
        { "number", 91, 3, ERR_SCHEMA },
        { "content", 300, 1, ERR_DIGEST_MISMATCH },
    };
    struct fake_event accepted;

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &accepted);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        frame.at[cases[i].at] ^= cases[i].xor ;
        cr_expect_eq(say(&bob, &accepted, buf_bytes(&frame)), cases[i].want, "%s", cases[i].name);
        frame.at[cases[i].at] ^= cases[i].xor ;
    }
    cr_expect_eq(say(&bob, &accepted, bytes_of(NULL, 0)), ERR_SCHEMA, "no frame");
    cr_expect_eq(state_now(), SESSION_REQUESTED);
}

Test(event, rotated_needs_the_new_session)
{
    struct fake_session other;
    struct fake_event event;
    uint8_t unknown[16] = { 1 };

    fake_session_open(&broker, &other, &ann, &cat, 1);
    fake_session_open(&broker, &session, &ann, &bob, 2);
    next_event(EVENT_ROTATED, &ann.agent, unknown, &event);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_STATE, "no such session");
    next_event(EVENT_ROTATED, &ann.agent, other.chain.sid, &event);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_STATE, "with somebody else");
    next_event(EVENT_ROTATED, &ann.agent, session.chain.sid, &event);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_STATE, "itself");
    fake_session_open(&broker, &other, &bob, &ann, 3);
    next_event(EVENT_ROTATED, &ann.agent, other.chain.sid, &event);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_OK);
}

/* Under a full disk only what ends something passes (T66). */
/* What was stored before it is delivered and answered; numbers are known as before. */
Test(event, a_rotated_session_gives_what_it_holds)
{
    struct fake_session next;
    struct fake_event event;
    struct fake_item items[256];
    size_t count;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    fake_session_open(&broker, &next, &ann, &bob, 2);
    cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    next_event(EVENT_ROTATED, &ann.agent, next.chain.sid, &event);
    cr_assert_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_OK);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_STATE, "goes into the next one");
    cr_expect_eq(fake_send_next(&broker, &session, &bob), ERR_STATE);
    cr_expect_eq(fake_send_next(&broker, &next, &bob), ERR_OK);
    fake_broker_pass(&broker, 60000);
    fake_hello(&broker, &ann);
    fake_hello(&broker, &bob);
    count = fake_fetch(&broker, &bob, items);
    cr_assert_eq(count, 2);
    cr_expect_eq(items[0].kind, ITEM_DATA);
    cr_expect_eq(items[0].reason, 0);
    cr_expect_eq(items[1].kind, ITEM_EVENT);
    cr_expect_eq(fake_ack_all(&broker, &bob), 2);
    count = fake_fetch(&broker, &ann, items);
    cr_assert_eq(count, 2, "bob's frame of the next, and the receipt of the old");
    cr_expect_eq(items[1].kind, ITEM_RECEIPT);
    cr_expect_eq(state_now(), SESSION_ROTATED);
}

Test(event, disk_full)
{
    struct fake_event event;
    uint8_t reason = REJECTED_BY_PERSON;

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &event);
    broker.disk_free = 1000;
    broker.elapsed_ms += 1000;
    cr_expect_eq(say(&bob, &event, buf_bytes(&frame)), ERR_DISK);
    fake_event_make(&session, &bob.agent, EVENT_REJECTED, bytes_of(&reason, 1), broker.now_ms,
                    &event);
    cr_expect_eq(say(&bob, &event, bytes_of(NULL, 0)), ERR_OK);
}

/* T66: events cost what frames cost. */
Test(event, rate)
{
    struct fake_event event;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    broker.settings.send_burst = 1;
    broker.settings.send_per_s = 1;
    flow_configure(broker.flow, &broker.settings);
    fake_broker_pass(&broker, 2000);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &event);
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_RATE);
    broker.elapsed_ms += 1000;
    cr_expect_eq(say(&ann, &event, bytes_of(NULL, 0)), ERR_OK);
}

/* ---- tails that a restored broker has lost (T62) --------------------------------------------- */

Test(event, T62_the_other_party_brings_back_ACCEPTED_without_its_frame)
{
    struct fake_event accepted;
    struct session_row row;
    struct sender_row sender;
    struct fake_item items[256];
    uint8_t digest[32];

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &accepted);
    fake_digest(buf_bytes(&frame), digest);
    cr_expect_eq(say(&ann, &accepted, buf_bytes(&frame)), ERR_SCHEMA, "A has no frame of B's");
    cr_expect_eq(say(&ann, &accepted, bytes_of(NULL, 0)), ERR_OK);
    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    cr_expect_eq(row.state, SESSION_ACTIVE);
    cr_assert_eq(store_sender_get(broker.store, row.session_id, bob.by.id, &sender), ERR_OK);
    cr_expect_eq(sender.stored_seq, 1);
    cr_expect_arr_eq(sender.digest, digest, 32);
    cr_expect_eq(fake_fetch(&broker, &bob, items), 2, "B hears of it");
    cr_expect_eq(items[1].kind, ITEM_EVENT);
    cr_expect_eq(say(&bob, &accepted, buf_bytes(&frame)), ERR_OK, "B repeats it");
    session.next_b = 2;
    cr_expect_eq(fake_send_next(&broker, &session, &bob), ERR_OK);
}

Test(event, T62_a_tail_of_several_at_once)
{
    struct fake_event events[2];

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &events[0]);
    session.chain.next_seq++;
    event_digest(session.chain.head, bytes_of(events[0].preimage, EVENT_SIZE));
    next_event(EVENT_CLOSED, &bob.agent, NULL, &events[1]);
    cr_expect_eq(fake_event_say(&broker, &ann, events, 2, bytes_of(NULL, 0)).e, ERR_OK);
    cr_expect_eq(state_now(), SESSION_CLOSED);
    cr_expect_eq(fake_event_say(&broker, &ann, events, 2, bytes_of(NULL, 0)).e, ERR_OK, "again");
    events[1].event.prev[0] ^= 1;
    fake_event_sign(&events[1], &bob.agent);
    cr_expect_eq(fake_event_say(&broker, &ann, events, 2, bytes_of(NULL, 0)).e, ERR_CONFLICT);
}

/* What the other party brings back is believed for its actor's signature alone. */
Test(event, T62_a_forged_or_foreign_tail_is_refused)
{
    struct fake_event accepted, forged;

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &accepted);
    for (size_t bit = 0; bit < 8 * 64; bit += 37) {
        forged = accepted;
        forged.sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_eq(say(&ann, &forged, bytes_of(NULL, 0)), ERR_AUTH, "signature, bit %zu", bit);
    }
    forged = accepted;
    fake_event_sign(&forged, &ann.agent);
    cr_expect_eq(say(&ann, &forged, bytes_of(NULL, 0)), ERR_AUTH, "signed by who brings it");
    forged = accepted;
    forged.event.ts_ms++;
    fake_event_sign(&forged, &bob.agent);
    memcpy(forged.sig, accepted.sig, 64);
    cr_expect_eq(say(&ann, &forged, bytes_of(NULL, 0)), ERR_AUTH, "changed");
    cr_expect_eq(say(&cat, &accepted, bytes_of(NULL, 0)), ERR_SESSION_NOT_FOUND, "a stranger");
    next_event(EVENT_ACCEPTED, &ann.agent, NULL, &forged);
    cr_expect_eq(say(&ann, &forged, bytes_of(NULL, 0)), ERR_FORBIDDEN, "not hers to say");
    cr_expect_eq(state_now(), SESSION_REQUESTED, "nothing has changed");
    cr_expect_eq(say(&ann, &accepted, bytes_of(NULL, 0)), ERR_OK, "as bob signed it");
}

/* Nothing is appended when a later one cannot be. */
Test(event, all_or_nothing)
{
    struct fake_event events[2];

    request_open(1);
    next_event(EVENT_ACCEPTED, &bob.agent, NULL, &events[0]);
    session.chain.next_seq++;
    event_digest(session.chain.head, bytes_of(events[0].preimage, EVENT_SIZE));
    next_event(EVENT_REJECTED, &bob.agent, NULL, &events[1]);
    cr_expect_eq(fake_event_say(&broker, &bob, events, 2, buf_bytes(&frame)).e, ERR_STATE);
    cr_expect_eq(state_now(), SESSION_REQUESTED);
}

/* ---- EVENTS ---------------------------------------------------------------------------------- */

static struct answer events_of(const struct fake_party *by, const uint8_t id[16], uint64_t seq,
                               uint64_t max)
{
    struct message message = { .verb = VERB_EVENTS };

    MESSAGE_SET(&message, id, id);
    MESSAGE_SET(&message, seq, seq);
    MESSAGE_SET(&message, max, max);
    return fake_say(&broker, &by->by, &message, NULL, 0);
}

Test(event, events_lists_the_chain)
{
    static const uint8_t unknown[16] = { 3 };
    struct answer answer;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    answer = events_of(&bob, session.chain.sid, 0, 128);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.events.count, 2);
    cr_expect_eq(answer.message.seq, 2);
    cr_expect_arr_eq(answer.message.head, session.chain.head, 32);
    cr_expect_eq(events_of(&ann, session.chain.sid, 1, 128).message.events.count, 1);
    cr_expect_eq(events_of(&ann, session.chain.sid, 0, 1).message.events.count, 1);
    cr_expect_eq(events_of(&ann, session.chain.sid, 9, 9).message.events.count, 0);
    cr_expect_eq(events_of(&cat, session.chain.sid, 0, 9).e, ERR_SESSION_NOT_FOUND);
    cr_expect_eq(events_of(&cat, unknown, 0, 9).e, ERR_SESSION_NOT_FOUND);
}

/* ---- ends that time brings ------------------------------------------------------------------- */

static struct fake_item expired_item(const struct fake_party *party)
{
    struct fake_item items[256];
    size_t count = fake_fetch(&broker, party, items);

    for (size_t i = 0; i < count; i++) {
        struct event event;

        if (items[i].kind == ITEM_EVENT
            && event_parse(bytes_of(items[i].bytes.at, EVENT_SIZE), &event) == ERR_OK
            && event.type == EVENT_EXPIRED)
            return items[i];
    }
    return (struct fake_item){ .position = 0 };
}

/* The controller's word verifies, and both hear it. */
static void expect_expired(void)
{
    const struct fake_party *both[] = { &ann, &bob };

    cr_expect_eq(state_now(), SESSION_EXPIRED);
    for (size_t i = 0; i < 2; i++) {
        struct fake_item item;
        struct event event;

        fake_hello(&broker, both[i]);
        item = expired_item(both[i]);
        cr_assert(item.position);
        cr_assert_eq(event_parse(bytes_of(item.bytes.at, EVENT_SIZE), &event), ERR_OK);
        cr_expect_eq(event.type, EVENT_EXPIRED);
        cr_expect_eq(event_verify(bytes_of(item.bytes.at, EVENT_SIZE), item.bytes.at + EVENT_SIZE,
                                  controller_ck(broker.controller)),
                     ERR_OK);
    }
}

Test(event, a_request_that_nobody_answers_ends)
{
    struct fake_item items[256];
    struct usage_row usage;

    request_open(1);
    fake_broker_pass(&broker, session.init.req_exp_ms - broker.now_ms + 31000);
    expect_expired();
    cr_assert_eq(store_usage_get(broker.store, bob.by.id, &usage), ERR_OK);
    cr_expect_eq(usage.requests_in, 0);
    /* B finds a tombstone, A a notice: both beside EXPIRED. */
    cr_assert_eq(fake_fetch(&broker, &bob, items), 2);
    cr_expect_eq(items[0].kind, ITEM_REQUEST);
    cr_expect_neq(items[0].reason, 0);
    cr_assert_eq(fake_fetch(&broker, &ann, items), 2);
    cr_expect_eq(fake_ack_all(&broker, &bob), 2);
}

Test(event, a_request_that_is_withdrawn_is_not_read)
{
    struct fake_event closed;
    struct fake_item items[256];

    request_open(1);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &closed);
    cr_expect_eq(say(&ann, &closed, bytes_of(NULL, 0)), ERR_OK);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 2);
    cr_expect_eq(items[0].reason, NOTICE_SESSION_ENDED);
    cr_expect_eq(items[1].kind, ITEM_EVENT);
    cr_assert_eq(fake_fetch(&broker, &ann, items), 1);
    cr_expect_eq(items[0].kind, ITEM_NOTICE);
}

/* Silence of both ends a session; a frame puts that off. */
Test(event, an_idle_session_ends)
{
    uint64_t idle_ms;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    idle_ms = (uint64_t)session.init.idle_s * 1000;
    fake_broker_pass(&broker, idle_ms - DAY_MS);
    fake_hello(&broker, &ann);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    fake_broker_pass(&broker, 2 * DAY_MS);
    cr_expect_eq(state_now(), SESSION_ACTIVE);
    fake_broker_pass(&broker, idle_ms - DAY_MS);
    expect_expired();
}

static void lives_for_long(struct init0 *init)
{
    init->idle_s = INIT0_IDLE_MAX_S;
}

Test(event, a_session_ends_at_its_hard_end)
{
    struct fake_event event;

    buf_clear(&frame);
    fake_session_make(&session, &ann.agent, &bob.agent, 1, broker.now_ms, lives_for_long, &frame,
                      &event);
    cr_assert_eq(fake_request(&broker, &ann, &event, buf_bytes(&frame)).e, ERR_OK);
    buf_clear(&frame);
    fake_accept_make(&session, broker.now_ms, &frame, &event);
    cr_assert_eq(say(&bob, &event, buf_bytes(&frame)), ERR_OK);
    for (int day = 0; day < 29; day++) {
        fake_broker_pass(&broker, DAY_MS);
        fake_hello(&broker, &ann);
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "day %d", day);
    }
    cr_expect_eq(state_now(), SESSION_ACTIVE);
    fake_broker_pass(&broker, DAY_MS + 31000);
    expect_expired();
}

static void live(struct init0 *init)
{
    init->mode = MODE_LIVE;
    init->req_exp_ms = init->ts_ms + LIMIT_FRESH_MS;
    init->idle_s = 1800;
}

static void live_open(void)
{
    struct fake_event event;

    buf_clear(&frame);
    fake_session_make(&session, &ann.agent, &bob.agent, 1, broker.now_ms, live, &frame, &event);
    cr_assert_eq(fake_request(&broker, &ann, &event, buf_bytes(&frame)).e, ERR_OK);
    buf_clear(&frame);
    fake_accept_make(&session, broker.now_ms, &frame, &event);
    cr_assert_eq(say(&bob, &event, buf_bytes(&frame)), ERR_OK);
}

/* Half an hour of silence ends a live one. */
Test(event, a_live_session_ends_when_it_is_idle)
{
    live_open();
    fake_broker_pass(&broker, 1799000);
    fake_hello(&broker, &bob);
    cr_expect_eq(state_now(), SESSION_ACTIVE);
    cr_expect_eq(fake_send_next(&broker, &session, &bob), ERR_OK);
    fake_broker_pass(&broker, 1799000);
    cr_expect_eq(state_now(), SESSION_ACTIVE);
    fake_broker_pass(&broker, 32000);
    expect_expired();
}

/* However much is said in it, a day is its end. */
Test(event, a_live_session_ends_after_a_day)
{
    live_open();
    for (int i = 0; i < 57; i++) { /* every 25 minutes */
        fake_broker_pass(&broker, 1500000);
        fake_hello(&broker, &ann);
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK, "%d", i);
    }
    cr_expect_eq(state_now(), SESSION_ACTIVE);
    fake_broker_pass(&broker, DAY_MS - 57 * UINT64_C(1500000) + 31000);
    expect_expired();
}

/* A live request that nobody answers is over after five minutes. */
Test(event, a_live_request_ends)
{
    struct fake_event event;

    buf_clear(&frame);
    fake_session_make(&session, &ann.agent, &bob.agent, 1, broker.now_ms, live, &frame, &event);
    cr_assert_eq(fake_request(&broker, &ann, &event, buf_bytes(&frame)).e, ERR_OK);
    fake_broker_pass(&broker, LIMIT_FRESH_MS - 1000);
    cr_expect_eq(state_now(), SESSION_REQUESTED);
    fake_broker_pass(&broker, 32000);
    expect_expired();
}

/* 38 days later nothing is left of it. */
Test(event, ended_sessions_are_forgotten)
{
    struct session_row row;
    struct fake_event closed;

    fake_session_open(&broker, &session, &ann, &bob, 1);
    next_event(EVENT_CLOSED, &ann.agent, NULL, &closed);
    cr_expect_eq(say(&ann, &closed, bytes_of(NULL, 0)), ERR_OK);
    fake_ack_all(&broker, &bob);
    fake_broker_pass(&broker, LIMIT_KEEP_MS - DAY_MS);
    cr_expect_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    fake_broker_pass(&broker, 2 * DAY_MS);
    cr_expect_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_NOT_FOUND);
}

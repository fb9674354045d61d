/* layers: testlib */
/*
 * REQUEST: the checks of docs/protocol.md 6.8 in their order, what it stores, how it is delivered.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/prekeys.h"
#include "broker/store/scopes.h"
#include "broker/store/usage.h"
#include "shared/trust/credential.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS UINT64_C(86400000)

static struct fake_broker broker;
static struct fake_party ann, bob;
static struct fake_session session;
static struct fake_event opened;
static struct buf frame;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
    buf_free(&frame);
}

TestSuite(request, .init = open_all, .fini = close_all);

static void make(uint64_t number, void (*change)(struct init0 *init))
{
    buf_clear(&frame);
    fake_session_make(&session, &ann.agent, &bob.agent, number, broker.now_ms, change, &frame,
                      &opened);
}

static enum err ask(void)
{
    struct answer answer = fake_request(&broker, &ann, &opened, buf_bytes(&frame));

    return answer.e == ERR_OK ? fake_status(&answer, 0) : answer.e;
}

static bool nothing_held(void)
{
    struct usage_row usage;
    struct fake_item items[256];

    cr_assert_eq(store_usage_get(broker.store, bob.by.id, &usage), ERR_OK);
    return usage.requests_in == 0 && usage.request_bytes == 0
           && fake_fetch(&broker, &bob, items) == 0;
}

/* ---- INIT0 ----------------------------------------------------------------------------------- */

static void stale(struct init0 *init)
{
    init->ts_ms += 301 * 1000;
    init->req_exp_ms += 301 * 1000;
}
static void over(struct init0 *init)
{
    init->ts_ms -= DAY_MS;
    init->req_exp_ms = init->ts_ms + 1000;
}
static void too_long(struct init0 *init)
{
    init->req_exp_ms = init->ts_ms + 7 * DAY_MS + 1;
}
static void live_at(struct init0 *init, int64_t apart_ms)
{
    init->mode = MODE_LIVE;
    init->ts_ms += (uint64_t)apart_ms;
    init->req_exp_ms = init->ts_ms + LIMIT_FRESH_MS;
    init->idle_s = 1800;
}
static void live_early(struct init0 *init)
{
    live_at(init, 300001);
}
static void live_late(struct init0 *init)
{
    live_at(init, -300001);
}
static void live_just_in_time(struct init0 *init)
{
    live_at(init, -300000);
}
static void live_too_long(struct init0 *init)
{
    live_at(init, 0);
    init->req_exp_ms++;
}
static void other_card_a(struct init0 *init)
{
    init->card_hash_a[0] ^= 1;
}
static void other_card_b(struct init0 *init)
{
    init->card_hash_b[0] ^= 1;
}
static void my_own_card_as_b(struct init0 *init)
{
    memcpy(init->card_hash_b, init->card_hash_a, 32);
}
static void unknown_b(struct init0 *init)
{
    init->aid_b[0] ^= 1;
}
static void foreign_a(struct init0 *init)
{
    init->aid_a[0] ^= 1;
}
static void suite_of_stage_2(struct init0 *init)
{
    static const uint8_t ct[1088];

    init->suite = SUITE_CHACHA_MLKEM;
    init->pq_ct = bytes_of(ct, sizeof ct);
}
static void rotates_nothing(struct init0 *init)
{
    init->flags = INIT0_ROTATE;
    init->prev_sid[0] = 1;
}
static void no_such_opk(struct init0 *init)
{
    init->flags = INIT0_OPK_USED;
    init->opk_id = 99;
}
static void opk_3(struct init0 *init)
{
    init->flags = INIT0_OPK_USED;
    init->opk_id = 3;
}

Test(request, init0)
{
    static const struct {
        const char *name;
        void (*change)(struct init0 *init);
        enum err want;
    } cases[] = {
        { "ts ahead", stale, ERR_STALE_TS },
        { "over", over, ERR_EXPIRED },
        { "longer than seven days", too_long, ERR_STALE_TS },
        { "live, ts ahead", live_early, ERR_STALE_TS },
        { "live, too late", live_late, ERR_STALE_TS },
        { "live, waits too long", live_too_long, ERR_STALE_TS },
        { "not A's current card", other_card_a, ERR_STATE },
        { "not a card of B", other_card_b, ERR_STATE },
        { "A's card in the place of B's", my_own_card_as_b, ERR_STATE },
        { "rotates a session that is not there", rotates_nothing, ERR_STATE },
        { "one-time prekey that is gone", no_such_opk, ERR_NO_PREKEYS },
        { "good", NULL, ERR_OK },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make(i, cases[i].change);
        cr_expect_eq(ask(), cases[i].want, "%s", cases[i].name);
        cr_expect(cases[i].want == ERR_OK || nothing_held(), "%s", cases[i].name);
    }
}

/* These change who the frame and the event are about, too. */
Test(request, a_live_one_just_in_time)
{
    struct session_row row;

    make(1, live_just_in_time);
    cr_expect_eq(ask(), ERR_OK);
    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    cr_expect_eq(row.mode, MODE_LIVE);
    cr_expect_eq(row.due_ms, broker.now_ms);
    cr_expect_eq(row.idle_ms, 1800000);
    cr_expect_eq(row.ends_ms, broker.now_ms + DAY_MS);
}

/* ---- instead of a session that is there ------------------------------------------------------ */

static uint8_t old_sid[16];

static void rotates_the_old_one(struct init0 *init)
{
    init->flags |= INIT0_ROTATE;
    memcpy(init->prev_sid, old_sid, sizeof old_sid);
}

/* prev_sid: a session of the same two, alive and accepted. */
Test(request, rotates)
{
    struct closed_body closed = { .reason = CLOSED_DONE };
    uint8_t body[CLOSED_BODY_SIZE];
    struct fake_session old, with_cat;
    struct fake_party cat;
    struct fake_event event;

    fake_join(&broker, &cat, "cat");
    fake_session_open(&broker, &with_cat, &ann, &cat, 1);
    memcpy(old_sid, with_cat.chain.sid, sizeof old_sid);
    make(2, rotates_the_old_one);
    cr_expect_eq(ask(), ERR_STATE, "with somebody else");

    make(3, NULL);
    cr_expect_eq(ask(), ERR_OK);
    memcpy(old_sid, session.chain.sid, sizeof old_sid);
    make(4, rotates_the_old_one);
    cr_expect_eq(ask(), ERR_STATE, "not accepted yet");

    fake_session_open(&broker, &old, &bob, &ann, 5);
    memcpy(old_sid, old.chain.sid, sizeof old_sid);
    make(6, rotates_the_old_one);
    cr_expect_eq(ask(), ERR_OK, "in either direction");

    closed_body_encode(body, &closed);
    fake_event_make(&old, &bob.agent, EVENT_CLOSED, bytes_of(body, sizeof body), broker.now_ms,
                    &event);
    cr_assert_eq(fake_event_say(&broker, &bob, &event, 1, bytes_of(NULL, 0)).e, ERR_OK);
    make(7, rotates_the_old_one);
    cr_expect_eq(ask(), ERR_STATE, "over");
}

Test(request, parties)
{
    struct fake_agent nobody;

    fake_agent_make(&nobody, "nobody", 1, broker.now_ms);
    buf_clear(&frame);
    fake_session_make(&session, &ann.agent, &nobody, 1, broker.now_ms, NULL, &frame, &opened);
    cr_expect_eq(ask(), ERR_UNKNOWN_AGENT, "nobody enrolled");

    make(2, unknown_b);
    cr_expect_eq(ask(), ERR_SCHEMA, "target is not aid_B");
    make(3, foreign_a);
    cr_expect_eq(ask(), ERR_AUTH, "aid_A is not the connection");

    buf_clear(&frame);
    fake_session_make(&session, &bob.agent, &ann.agent, 4, broker.now_ms, NULL, &frame, &opened);
    cr_expect_eq(ask(), ERR_AUTH, "somebody else's request");

    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(store_agent_revoke(broker.store, bob.by.id, broker.now_ms), ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    make(5, NULL);
    cr_expect_eq(ask(), ERR_CERT_REVOKED, "target revoked");
}

Test(request, suites)
{
    struct buf packed = { 0 };
    uint8_t body[EVENT_BODY_MAX];
    struct fake_event event;

    /* Nobody's card has the second stage; the frame's layout is the same. */
    make(1, NULL);
    session.init.suite = SUITE_CHACHA_MLKEM;
    suite_of_stage_2(&session.init);
    init0_encode(&packed, &session.init);
    init0_sid(session.chain.sid, buf_bytes(&packed));
    buf_clear(&frame);
    fake_frame(&frame, FRAME_REQUEST, session.chain.sid, &ann.agent, &bob.agent, 1,
               session.init.req_exp_ms, BUCKET_MIN);
    frame.at[2] = SUITE_CHACHA_MLKEM;
    memcpy(body, packed.at, packed.len);
    fake_digest(buf_bytes(&frame), body + packed.len);
    session.chain.state = CHAIN_NONE;
    session.chain.next_seq = 0;
    memset(session.chain.head, 0, 32);
    fake_event_make(&session, &ann.agent, EVENT_OPENED, bytes_of(body, packed.len + 32),
                    broker.now_ms, &event);
    opened = event;
    cr_expect_eq(ask(), ERR_STATE);
    buf_free(&packed);
}

/* ---- the event ------------------------------------------------------------------------------- */

static void event_signature(void)
{
    opened.sig[5] ^= 1;
}
static void event_body(void)
{
    opened.body[70] ^= 1;
}
static void event_seq(void)
{
    opened.event.seq = 1;
    fake_event_sign(&opened, &ann.agent);
}
static void event_prev(void)
{
    opened.event.prev[0] = 1;
    fake_event_sign(&opened, &ann.agent);
}
static void event_type(void)
{
    opened.event.type = EVENT_CLOSED;
    fake_event_sign(&opened, &ann.agent);
}
static void event_group(void)
{
    opened.event.scope = SCOPE_GROUP;
    opened.event.type = EVENT_GROUP_CREATED;
    fake_event_sign(&opened, &ann.agent);
}
static void event_id(void)
{
    opened.event.id[0] ^= 1;
    fake_event_sign(&opened, &ann.agent);
}
static void event_target(void)
{
    opened.event.target[0] ^= 1;
    fake_event_sign(&opened, &ann.agent);
}
static void event_actor(void)
{
    memcpy(opened.event.actor, bob.agent.aid, 32);
    fake_event_sign(&opened, &bob.agent);
}
static void event_names_other_frame(void)
{
    opened.body[opened.body_len - 1] ^= 1;
    fake_event_sign(&opened, &ann.agent);
}
static void frame_kind(void)
{
    frame.at[1] = FRAME_DATA;
}
static void frame_seq(void)
{
    frame.at[91] = 2;
}
static void frame_scope(void)
{
    frame.at[4] ^= 1;
}
static void frame_sender(void)
{
    memcpy(frame.at + 20, bob.agent.aid, 32);
}
static void frame_suite(void)
{
    frame.at[2] = SUITE_AES;
}
static void frame_expiry(void)
{
    frame.at[99] ^= 1;
}
static void frame_content(void)
{
    frame.at[frame.len - 1] ^= 1;
}
static void frame_is_a_stub(void)
{
    struct buf stub = { 0 };

    fake_stub(&stub, buf_bytes(&frame));
    buf_clear(&frame);
    buf_append(&frame, stub.at, stub.len);
    buf_free(&stub);
}

Test(request, event_and_frame)
{
    static const struct {
        const char *name;
        void (*spoil)(void);
        enum err want;
    } cases[] = {
        { "signature", event_signature, ERR_AUTH },
        { "body changed", event_body, ERR_SCHEMA },
        { "event number", event_seq, ERR_SCHEMA },
        { "prev", event_prev, ERR_SCHEMA },
        { "type", event_type, ERR_SCHEMA },
        { "scope", event_group, ERR_SCHEMA },
        { "id is not INIT0's", event_id, ERR_SCHEMA },
        { "target", event_target, ERR_SCHEMA },
        { "actor", event_actor, ERR_AUTH },
        { "event names another frame", event_names_other_frame, ERR_DIGEST_MISMATCH },
        { "frame of kind data", frame_kind, ERR_SCHEMA },
        { "frame number 2", frame_seq, ERR_SCHEMA },
        { "frame of another session", frame_scope, ERR_SCHEMA },
        { "frame of another sender", frame_sender, ERR_SCHEMA },
        { "frame of another suite", frame_suite, ERR_SCHEMA },
        { "frame lives longer", frame_expiry, ERR_SCHEMA },
        { "other content", frame_content, ERR_DIGEST_MISMATCH },
        { "stub", frame_is_a_stub, ERR_SCHEMA },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make(i, NULL);
        cases[i].spoil();
        cr_expect_eq(ask(), cases[i].want, "%s", cases[i].name);
        cr_expect(nothing_held(), "%s", cases[i].name);
    }
}

Test(request, needs_one_event_and_one_frame)
{
    struct message message = { .verb = VERB_REQUEST };
    struct list_maker list = { 0 };
    struct wire_event wire;
    struct bytes part;

    make(1, NULL);
    part = buf_bytes(&frame);
    MESSAGE_SET(&message, events, list_of(&list));
    cr_expect_eq(fake_say(&broker, &ann.by, &message, &part, 1).e, ERR_SCHEMA, "no event");
    wire = fake_event_wire(&opened);
    list_add_event(&list, &wire);
    MESSAGE_SET(&message, events, list_of(&list));
    cr_expect_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, ERR_SCHEMA, "no frame");
    list_add_event(&list, &wire);
    MESSAGE_SET(&message, events, list_of(&list));
    cr_expect_eq(fake_say(&broker, &ann.by, &message, &part, 1).e, ERR_SCHEMA, "two events");
    list_free(&list);
}

/* ---- repeating, counting --------------------------------------------------------------------- */

Test(request, the_stored_bytes_again_are_a_success)
{
    make(1, NULL);
    cr_expect_eq(ask(), ERR_OK);
    cr_expect_eq(ask(), ERR_DUPLICATE);
    fake_connect(&broker, &ann);
    fake_hello(&broker, &ann);
    cr_expect_eq(ask(), ERR_DUPLICATE, "on a new connection");
    frame_content();
    cr_expect_eq(ask(), ERR_CONFLICT, "another frame");
    frame_content();
    opened.event.ts_ms++;
    fake_event_sign(&opened, &ann.agent);
    cr_expect_eq(ask(), ERR_CONFLICT, "another event");
}

Test(request, limits)
{
    uint64_t number = 1;
    struct answer answer;

    for (; number <= LIMIT_REQUESTS_PAIR; number++) {
        make(number, NULL);
        cr_expect_eq(ask(), ERR_OK, "number %d", (int)number);
    }
    make(number, NULL);
    answer = fake_request(&broker, &ann, &opened, buf_bytes(&frame));
    cr_expect_eq(answer.e, ERR_QUOTA, "three of a pair");
    cr_expect_eq(answer.message.after_ms, 60000);
}

Test(request, what_is_held_for_one_is_limited)
{
    broker.settings.requests = 1;
    flow_configure(broker.flow, &broker.settings);
    make(1, NULL);
    cr_expect_eq(ask(), ERR_OK);
    make(2, NULL);
    cr_expect_eq(ask(), ERR_QUOTA_MAILBOX, "by number");
    broker.settings.requests = 100;
    broker.settings.request_bytes = 2 * FRAME_MIN - 1;
    flow_configure(broker.flow, &broker.settings);
    cr_expect_eq(ask(), ERR_QUOTA_MAILBOX, "by bytes");
    broker.settings.request_bytes = 2 * FRAME_MIN;
    broker.settings.requests_open = 1;
    flow_configure(broker.flow, &broker.settings);
    cr_expect_eq(ask(), ERR_QUOTA, "open ones of the sender");
    broker.settings.requests_open = 2;
    flow_configure(broker.flow, &broker.settings);
    cr_expect_eq(ask(), ERR_OK);
}

Test(request, an_answer_ends_what_is_held)
{
    struct fake_event event;
    struct usage_row usage;
    uint8_t reason = REJECTED_BY_PERSON;

    make(1, NULL);
    cr_expect_eq(ask(), ERR_OK);
    cr_assert_eq(store_usage_get(broker.store, bob.by.id, &usage), ERR_OK);
    cr_expect_eq(usage.requests_in, 1);
    cr_expect_eq(usage.request_bytes, frame.len);
    fake_event_make(&session, &bob.agent, EVENT_REJECTED, bytes_of(&reason, 1), broker.now_ms,
                    &event);
    cr_expect_eq(fake_event_say(&broker, &bob, &event, 1, bytes_of(NULL, 0)).e, ERR_OK);
    cr_assert_eq(store_usage_get(broker.store, bob.by.id, &usage), ERR_OK);
    cr_expect_eq(usage.requests_in, 0);
    cr_expect_eq(usage.request_bytes, 0);
    cr_assert_eq(store_usage_get(broker.store, ann.by.id, &usage), ERR_OK);
    cr_expect_eq(usage.requests_out, 0);
}

/* Five an hour to the same agent, whatever becomes of them. */
Test(request, tries_are_rated)
{
    uint8_t reason = REJECTED_BY_POLICY;

    for (uint64_t number = 1; number <= 6; number++) {
        struct fake_event event;

        make(number, NULL);
        cr_expect_eq(ask(), number <= 5 ? ERR_OK : ERR_RATE, "number %d", (int)number);
        fake_event_make(&session, &bob.agent, EVENT_REJECTED, bytes_of(&reason, 1), broker.now_ms,
                        &event);
        fake_event_say(&broker, &bob, &event, 1, bytes_of(NULL, 0));
    }
}

Test(request, uses_up_the_one_time_prekey)
{
    uint64_t count;

    make(1, opk_3);
    cr_expect_eq(ask(), ERR_OK);
    cr_assert_eq(store_opk_count(broker.store, bob.by.id, &count), ERR_OK);
    cr_expect_eq(count, 9);
    make(2, opk_3);
    cr_expect_eq(ask(), ERR_NO_PREKEYS);
}

/* Told when they run low, and when there is none left. */
Test(request, tells_when_prekeys_run_out)
{
    struct answer told;
    uint8_t key[32] = { 0 };
    uint64_t count = 0;

    cr_assert_eq(store_begin(broker.store), ERR_OK);
    for (uint32_t id = 11; id <= LIMIT_OPK_LOW; id++)
        cr_assert_eq(store_opk_add(broker.store, bob.by.id, id, key), ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    make(1, opk_3);
    cr_expect_eq(ask(), ERR_OK);
    told = fake_next(&broker, bob.by.conn, VERB_NOTIFY);
    cr_assert_eq(told.e, ERR_OK);
    cr_expect_eq(told.message.kind, 3);
    cr_expect_eq(told.message.count, LIMIT_OPK_LOW - 1);
    cr_assert_eq(store_opk_count(broker.store, bob.by.id, &count), ERR_OK);
    cr_expect_eq(count, LIMIT_OPK_LOW - 1);
}

/* ---- how it is delivered --------------------------------------------------------------------- */

static struct wire_item fetched(struct answer *answer)
{
    struct message message = { .verb = VERB_FETCH };
    struct list_reader reader;
    struct wire_item item = { .position = 0 };

    MESSAGE_SET(&message, max, 1);
    MESSAGE_SET(&message, max_bytes, 1 << 20);
    *answer = fake_say(&broker, &bob.by, &message, NULL, 0);
    reader = list_read(&answer->message.items);
    cr_assert(list_item(&reader, &item));
    return item;
}

Test(request, the_item_has_all_that_the_reader_needs)
{
    struct credential credential;
    struct answer answer;
    struct wire_item item;

    make(1, NULL);
    cr_expect_eq(ask(), ERR_OK);
    item = fetched(&answer);
    cr_assert_eq(item.shape, ITEM_BYTES_REQUEST);
    cr_expect_eq(item.kind, ITEM_REQUEST);
    cr_expect_arr_eq(item.opened.preimage, opened.preimage, EVENT_SIZE);
    cr_expect_arr_eq(item.opened.sig, opened.sig, 64);
    cr_expect(bytes_equal(item.opened.body, bytes_of(opened.body, opened.body_len)));
    cr_expect_eq(item.old_card.len, 0);
    cr_expect(bytes_equal(answer.parts[0], buf_bytes(&frame)));
    cr_assert_eq(credential_parse(item.credential, &credential), ERR_OK);
    cr_expect_arr_eq(credential.aid, ann.agent.aid, 32);
    cr_expect_eq(credential_authentic(&credential, controller_ck(broker.controller)), ERR_OK);
}

/* The sender has a new card since: the reader gets both. */
Test(request, the_item_brings_the_card_that_INIT0_names)
{
    struct message message = { .verb = VERB_CARD };
    struct credential credential;
    struct fake_agent before = ann.agent;
    struct answer answer;
    struct wire_signed card;
    struct wire_item item;

    make(1, NULL);
    cr_expect_eq(ask(), ERR_OK);
    fake_agent_rekey(&ann.agent, broker.now_ms);
    card = (struct wire_signed){ bytes_of(ann.agent.card, ann.agent.card_len), ann.agent.card_sig };
    MESSAGE_SET(&message, card, card);
    cr_assert_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, ERR_OK);
    item = fetched(&answer);
    cr_assert_eq(item.shape, ITEM_BYTES_REQUEST);
    cr_assert_eq(credential_parse(item.credential, &credential), ERR_OK);
    cr_expect_arr_eq(credential.card_hash, ann.agent.card_hash, 32);
    cr_assert_eq(item.old_card.len, before.card_len + 64);
    cr_expect_arr_eq(item.old_card.at, before.card, before.card_len);
    cr_expect_arr_eq(item.old_card.at + before.card_len, before.card_sig, 64);
}

/* T30: what a revoked agent asked reaches nobody. */
Test(request, T30_of_a_revoked_agent_is_not_delivered)
{
    struct answer answer;
    struct wire_item item;

    make(1, NULL);
    cr_expect_eq(ask(), ERR_OK);
    cr_assert_eq(store_begin(broker.store), ERR_OK);
    cr_assert_eq(store_agent_revoke(broker.store, ann.by.id, broker.now_ms), ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    item = fetched(&answer);
    cr_expect_eq(item.shape, ITEM_TOMBSTONE);
    cr_expect_eq(answer.part_count, 0);
}

/* layers: testlib */
/*
 * What time does to mail: expiry with tombstone, fact and notice (T44), and the end of what nobody
 * has read; SYNC, which tells a sender where its numbers stand.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>

#include "broker/store/audit.h"
#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/senders.h"
#include "broker/store/streams.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static struct fake_broker broker;
static struct fake_party ann, bob, cat;
static struct fake_session session;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_join(&broker, &cat, "cat");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
}

TestSuite(sweep, .init = open_all, .fini = close_all);
TestSuite(sync, .init = open_all, .fini = close_all);

/* Ann's next frame, which lives so long. */
static void send_for(uint64_t life_ms)
{
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;

    fake_frame(&frame, FRAME_DATA, session.chain.sid, &ann.agent, &bob.agent, session.next_a++,
               broker.now_ms + life_ms, BUCKET_MIN);
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &ann, &part, 1);
    cr_assert_eq(fake_status(&answer, 0), ERR_OK);
    buf_free(&frame);
}

static void pass(uint64_t ms)
{
    fake_broker_pass(&broker, ms);
    fake_hello(&broker, &ann);
    fake_hello(&broker, &bob);
    fake_hello(&broker, &cat);
}

static struct stream_row mailbox_of(const struct fake_party *party)
{
    struct stream_row stream;

    cr_assert_eq(store_mailbox(broker.store, party->by.id, &stream), ERR_OK);
    return stream;
}

static bool count_row(void *ctx, int columns, const char *const *names, const char *const *values)
{
    (void)columns;
    (void)names;
    (void)values;
    ++*(size_t *)ctx;
    return true;
}

/* What people find in v_dead with this reason. */
static size_t dead_count(const char *reason)
{
    size_t count = 0;

    cr_assert_eq(
        store_view(broker.store, "v_dead", "reason", reason, NULL, 1000, count_row, &count),
        ERR_OK);
    return count;
}

/* T44: its number stays, both hear of it, numbers go on. */
Test(sweep, T44_an_unread_frame_expires)
{
    struct fake_item items[256];
    struct notice notice;

    send_for(HOUR_MS);
    send_for(DAY_MS);
    pass(HOUR_MS + LIMIT_SWEEP_MS);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 2);
    cr_expect_eq(items[0].reason, NOTICE_EXPIRED);
    cr_expect_eq(items[0].seq, 2);
    cr_expect_eq(items[1].reason, 0);
    cr_expect_eq(mailbox_of(&bob).bytes, FRAME_MIN);
    cr_expect_eq(mailbox_of(&bob).frames, 2);
    cr_expect_eq(dead_count("expired"), 1);

    cr_assert_eq(fake_fetch(&broker, &ann, items), 1);
    cr_assert_eq(notice_parse(items[0].bytes, &notice), ERR_OK);
    cr_expect_eq(notice.reason, NOTICE_EXPIRED);
    cr_expect_eq(notice.seq, 2);
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(fake_ack_all(&broker, &bob), 3, "status 4 for the tombstone, 1 for the others");
    cr_expect_eq(fake_ack_all(&broker, &ann), 3, "the notice and two receipts");
}

Test(sweep, T37_nothing_expires_early)
{
    struct fake_item items[256];

    send_for(HOUR_MS);
    pass(HOUR_MS - 1000);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 1);
    cr_expect_eq(items[0].reason, 0);
}

/* The reader is online and gets the notice-less truth: the tombstone at its position. */
Test(sweep, many_in_bounded_steps)
{
    struct fake_item items[256];

    broker.settings.send_burst = 1000;
    flow_configure(broker.flow, &broker.settings);
    pass(60000);
    for (int i = 0; i < 600; i++)
        send_for(HOUR_MS);
    pass(HOUR_MS + LIMIT_SWEEP_MS);
    cr_expect_eq(mailbox_of(&bob).bytes, 0);
    cr_expect_eq(mailbox_of(&bob).frames, 600);
    cr_expect_eq(mailbox_of(&ann).control, 600);
    fake_fetch(&broker, &bob, items);
    cr_expect_eq(items[255].reason, NOTICE_EXPIRED);
    cr_expect_eq(fake_ack_all(&broker, &bob), 600);
}

/* 38 days after, tombstones and the broker's own items just go. */
Test(sweep, what_nobody_reads_is_removed)
{
    struct session_row row;
    struct sender_row sender;

    send_for(HOUR_MS);
    pass(2 * HOUR_MS);
    cr_expect_eq(mailbox_of(&bob).frames, 1);
    cr_expect_eq(mailbox_of(&ann).frames, 1);
    /* The session itself ends meanwhile, with an item for each. */
    pass(LIMIT_KEEP_MS - HOUR_MS + LIMIT_SWEEP_MS);
    cr_expect_eq(mailbox_of(&bob).frames - mailbox_of(&bob).control, 0);
    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    cr_assert_eq(store_sender_get(broker.store, row.session_id, ann.by.id, &sender), ERR_OK);
    cr_expect_eq(sender.settled_seq, 2);
    pass(LIMIT_KEEP_MS);
    cr_expect_eq(mailbox_of(&bob).frames, 0);
    cr_expect_eq(mailbox_of(&ann).frames, 0);
    cr_expect_eq(dead_count("expired"), 0);
}

/* The broker clock: a wall clock that jumps ends nothing until somebody says it is right. */
Test(sweep, T37_pauses_while_the_clock_is_unsound)
{
    struct fake_item items[256];

    send_for(DAY_MS);
    broker.now_ms += 400 * DAY_MS;
    fake_broker_pass(&broker, 2 * LIMIT_SWEEP_MS);
    broker.now_ms -= 400 * DAY_MS;
    pass(LIMIT_SWEEP_MS);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 1);
    cr_expect_eq(items[0].kind, ITEM_DATA);
    cr_expect_eq(items[0].reason, 0);
}

static bool first_number(void *ctx, int columns, const char *const *names,
                         const char *const *values)
{
    (void)names;
    snprintf(ctx, 64, "%s %s", values[1], columns > 3 && values[3] ? values[3] : "");
    return true;
}

Test(sweep, every_minute_leaves_a_line)
{
    char text[64] = "";

    send_for(DAY_MS);
    send_for(DAY_MS);
    fake_ack_all(&broker, &bob);
    pass(61000);
    cr_assert_eq(store_view(broker.store, "v_rates", NULL, NULL, NULL, 10, first_number, text),
                 ERR_OK);
    cr_expect_neq(text[0], 0);
}

/* ---- SYNC ------------------------------------------------------------------------------------ */

static struct answer sync_with(const struct fake_party *by, const uint8_t scope[16], uint64_t last,
                               const uint8_t digest[32], const struct receipt *advance)
{
    struct message message = { .verb = VERB_SYNC };
    struct list_maker scopes = { 0 }, receipts = { 0 };
    struct wire_scope said = { .scope = scope, .seq = last, .digest = digest };
    struct fake_receipt made;
    struct wire_receipt wire = { made.preimage, made.sig };
    struct answer answer;

    list_add_scope_asked(&scopes, &said);
    MESSAGE_SET(&message, scopes, list_of(&scopes));
    if (advance) {
        fake_receipt_sign(&made, &by->agent, *advance);
        list_add_receipt(&receipts, &wire);
        MESSAGE_SET(&message, receipts, list_of(&receipts));
    }
    answer = fake_say(&broker, &by->by, &message, NULL, 0);
    list_free(&scopes);
    list_free(&receipts);
    return answer;
}

static struct wire_scope said_about(const struct answer *answer)
{
    struct list_reader reader = list_read(&answer->message.scopes);
    struct wire_scope scope = { .state = 99 };

    cr_assert_eq(answer->e, ERR_OK);
    cr_assert(list_scope_answered(&reader, &scope));
    return scope;
}

Test(sync, states)
{
    static const uint8_t unknown_scope[16] = { 8 }, zeroes[32], other[32] = { 1 };
    uint8_t digest[32];
    struct session_row row;
    struct sender_row sender;

    send_for(DAY_MS);
    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    cr_assert_eq(store_sender_get(broker.store, row.session_id, ann.by.id, &sender), ERR_OK);
    memcpy(digest, sender.digest, 32);
    {
        const struct {
            const char *name;
            const struct fake_party *by;
            const uint8_t *scope;
            uint64_t last;
            const uint8_t *digest;
            uint64_t state, stored;
        } cases[] = {
            { "in step", &ann, session.chain.sid, 2, digest, 0, 2 },
            { "digest unknown to the agent", &ann, session.chain.sid, 2, zeroes, 0, 2 },
            { "behind", &ann, session.chain.sid, 3, other, 1, 2 },
            { "same number, other digest", &ann, session.chain.sid, 2, other, 2, 2 },
            { "broker knows more", &ann, session.chain.sid, 1, other, 2, 2 },
            { "the other party has its own number", &bob, session.chain.sid, 1, zeroes, 0, 1 },
            { "not a party", &cat, session.chain.sid, 1, digest, 3, 0 },
            { "nobody's", &ann, unknown_scope, 1, digest, 3, 0 },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct answer answer
                = sync_with(cases[i].by, cases[i].scope, cases[i].last, cases[i].digest, NULL);
            struct wire_scope scope = said_about(&answer);

            cr_expect_eq(scope.state, cases[i].state, "%s", cases[i].name);
            cr_expect_eq(scope.seq, cases[i].stored, "%s", cases[i].name);
        }
    }
}

static struct receipt advance_to(const struct fake_party *by, uint64_t from, uint64_t to)
{
    struct receipt receipt = { .status = RECEIPT_ADVANCE, .from = from, .to = to, .ts_ms = 1 };

    memcpy(receipt.scope, session.chain.sid, 16);
    memcpy(receipt.sender, by->agent.aid, 32);
    return receipt;
}

static uint64_t stored_now(void)
{
    static const uint8_t zeroes[32];
    struct answer answer = sync_with(&ann, session.chain.sid, 1, zeroes, NULL);

    return said_about(&answer).seq;
}

/* After a restore the sender says which of its numbers are settled. */
Test(sync, advance)
{
    static const uint8_t zeroes[32];
    struct receipt receipt = advance_to(&ann, 2, 40);
    struct answer answer = sync_with(&ann, session.chain.sid, 40, zeroes, &receipt);
    struct wire_scope scope = said_about(&answer);

    cr_expect_eq(scope.state, 0);
    cr_expect_eq(scope.seq, 40);
    cr_expect_eq(sync_with(&ann, session.chain.sid, 40, zeroes, &receipt).e, ERR_OK, "again");
    cr_expect_eq(stored_now(), 40);
    session.next_a = 41;
    cr_expect_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
    cr_expect_eq(fake_ack_all(&broker, &bob), 1);
}

/* T40: only the sender's own signature moves its number, and only from where it stands. */
Test(sync, advance_is_refused)
{
    static const uint8_t zeroes[32];
    static const struct {
        const char *name;
        int change;
        enum err want;
    } cases[] = {
        { "from is not stored + 1", 1, ERR_CONFLICT },
        { "a delivery receipt", 2, ERR_RECEIPT },
        { "another sender", 3, ERR_RECEIPT },
        { "another session", 4, ERR_RECEIPT },
        { "a digest", 5, ERR_RECEIPT },
        { "positions instead of numbers", 6, ERR_RECEIPT },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct receipt receipt = advance_to(&ann, 2, 5);

        if (cases[i].change == 1)
            receipt.from = 3;
        if (cases[i].change == 2)
            receipt.status = RECEIPT_DELIVERED;
        if (cases[i].change == 3)
            memcpy(receipt.sender, bob.agent.aid, 32);
        if (cases[i].change == 4)
            receipt.scope[0] ^= 1;
        if (cases[i].change == 5)
            receipt.range_digest[0] = 1;
        if (cases[i].change == 6) {
            memset(receipt.scope, 0, 16);
            memset(receipt.sender, 0, 32);
        }
        cr_expect_eq(sync_with(&ann, session.chain.sid, 5, zeroes, &receipt).e, cases[i].want, "%s",
                     cases[i].name);
        cr_expect_eq(stored_now(), 1, "%s", cases[i].name);
    }
}

Test(sync, T40_advance_needs_the_identity_key)
{
    static const uint8_t zeroes[32];
    struct fake_party thief = ann;
    struct receipt receipt = advance_to(&ann, 2, 5);

    /* The connection is ann's, the signature is not. */
    memcpy(thief.agent.ik_secret, cat.agent.ik_secret, sizeof thief.agent.ik_secret);
    cr_expect_eq(sync_with(&thief, session.chain.sid, 5, zeroes, &receipt).e, ERR_RECEIPT);
    cr_expect_eq(stored_now(), 1);
}

/* Two statements about one scope, or a list that breaks off: nothing is written. */
Test(sync, all_or_nothing)
{
    struct message message = { .verb = VERB_SYNC };
    struct list_maker receipts = { 0 }, scopes = { 0 };
    struct receipt receipt[2] = { advance_to(&ann, 2, 5), advance_to(&ann, 6, 9) };
    struct fake_receipt made[2];

    for (size_t i = 0; i < 2; i++) {
        struct wire_receipt wire = { made[i].preimage, made[i].sig };

        fake_receipt_sign(&made[i], &ann.agent, receipt[i]);
        list_add_receipt(&receipts, &wire);
    }
    MESSAGE_SET(&message, scopes, list_of(&scopes));
    MESSAGE_SET(&message, receipts, list_of(&receipts));
    cr_expect_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, ERR_RECEIPT);
    cr_expect_eq(stored_now(), 1);

    receipts.count = 1;
    receipts.raw.len /= 2;
    list_add_status(&scopes, 7); /* no scope at all */
    MESSAGE_SET(&message, scopes, list_of(&scopes));
    MESSAGE_SET(&message, receipts, list_of(&receipts));
    cr_expect_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, ERR_SCHEMA);
    cr_expect_eq(stored_now(), 1);
    list_free(&receipts);
    list_free(&scopes);
}

/* NOTIFY 4, every hour, to whoever stays: nobody can write to it otherwise. */
Test(sweep, tells_those_who_stay_that_their_signed_prekey_ends)
{
    struct message ping = { .verb = VERB_PING };
    size_t told = 0;

    pass(24 * DAY_MS);
    while (fake_came(&broker, OUT_MESSAGE, bob.by.conn))
        continue;
    MESSAGE_SET(&ping, ts, broker.now_ms);
    for (int i = 0; i < 95; i++) { /* a bit more than an hour */
        struct answer answer;

        fake_broker_pass(&broker, 40000);
        cr_assert_eq(fake_say(&broker, &bob.by, &ping, NULL, 0).e, ERR_OK);
        answer = fake_next(&broker, bob.by.conn, VERB_NOTIFY);
        told += answer.e == ERR_OK && answer.message.kind == 4;
    }
    cr_expect_eq(told, 1);
}

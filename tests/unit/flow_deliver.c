/* layers: testlib */
/*
 * DELIVER, CREDIT, FETCH: what is in flight, redelivery, bounds of a message, waiting.
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/store/directory.h"
#include "broker/store/scopes.h"
#include "broker/store/streams.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS UINT64_C(86400000)
#define MANY   (UINT64_C(4) << 20)

static struct fake_broker broker;
static struct fake_party ann, bob;
static struct fake_session session;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    broker.settings.send_burst = 100000;
    flow_configure(broker.flow, &broker.settings);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
}

TestSuite(deliver, .init = open_all, .fini = close_all);

static void send_many(int number)
{
    for (int i = 0; i < number; i++)
        cr_assert_eq(fake_send_next(&broker, &session, &ann), ERR_OK);
}

static void send_sized(size_t size)
{
    struct buf frame = { 0 };
    struct bytes part;
    struct answer answer;

    fake_frame(&frame, FRAME_DATA, session.chain.sid, &ann.agent, &bob.agent, session.next_a++,
               broker.now_ms + DAY_MS, size);
    part = buf_bytes(&frame);
    answer = fake_send(&broker, &ann, &part, 1);
    cr_assert_eq(fake_status(&answer, 0), ERR_OK);
    buf_free(&frame);
}

/* All DELIVERs that came for bob; the items of all of them. */
static size_t delivered(struct fake_item *items, size_t *messages)
{
    size_t count = 0;
    struct answer answer;

    *messages = 0;
    while ((answer = fake_next(&broker, bob.by.conn, VERB_DELIVER)).e == ERR_OK) {
        cr_assert_leq(answer.part_count, LIMIT_ITEMS_FULL);
        count += fake_items_of(&answer.message, answer.parts, items + count, 2048 - count);
        ++*messages;
    }
    return count;
}

static size_t delivered_count(void)
{
    static struct fake_item items[2048];
    size_t messages;

    return delivered(items, &messages);
}

static enum err ack_items(const struct fake_item *items, size_t count)
{
    struct list_maker list = { 0 };
    enum err e;

    fake_receipts_of(&bob.agent, items, count, broker.now_ms, &list);
    e = fake_ack_with(&broker, &bob, fake_cursor(&broker, &bob), items[count - 1].position, &list)
            .e;
    list_free(&list);
    return e;
}

Test(deliver, nothing_without_credit)
{
    send_many(3);
    cr_expect_eq(delivered_count(), 0);
    fake_credit(&broker, &bob, 0, MANY);
    cr_expect_eq(delivered_count(), 0);
    fake_credit(&broker, &bob, 256, MANY);
    cr_expect_eq(delivered_count(), 3);
}

Test(deliver, what_arrives_leaves_in_the_same_turn)
{
    fake_credit(&broker, &bob, 256, MANY);
    send_many(1);
    cr_expect_eq(delivered_count(), 1);
    send_many(1);
    cr_expect_eq(delivered_count(), 1, "and not again");
}

/* ACCEPTED first: it has waited longer. */
Test(deliver, one_message_for_all_that_arrived_in_a_turn)
{
    struct message message = { .verb = VERB_SEND };
    struct buf frame = { 0 };
    static struct fake_item items[2048];
    size_t messages;

    fake_credit(&broker, &bob, 256, MANY);
    for (int i = 0; i < 40; i++) {
        struct bytes part;

        buf_clear(&frame);
        fake_frame(&frame, FRAME_DATA, session.chain.sid, &ann.agent, &bob.agent, session.next_a++,
                   broker.now_ms + DAY_MS, BUCKET_MIN);
        part = buf_bytes(&frame);
        fake_queue(&broker, &ann.by, &message, &part, 1);
    }
    cr_assert_eq(fake_run(&broker), ERR_OK);
    cr_expect_eq(broker.first->conn, ann.by.conn);
    cr_expect_eq(delivered(items, &messages), 40);
    cr_expect_eq(messages, 1);
    buf_free(&frame);
}

/* In flight is what was delivered and not acknowledged; credit bounds it. */
Test(deliver, T58_credit_bounds_what_is_in_flight)
{
    static struct fake_item items[2048];
    size_t messages;

    fake_credit(&broker, &bob, 10, MANY);
    send_many(25);
    cr_expect_eq(delivered(items, &messages), 10);
    send_many(1);
    cr_expect_eq(delivered_count(), 0);
    cr_expect_eq(ack_items(items, 4), ERR_OK);
    cr_expect_eq(delivered(items + 10, &messages), 4);
    cr_expect_eq(ack_items(items + 4, 10), ERR_OK);
    cr_expect_eq(delivered_count(), 10);
}

/* Absolute: saying it again gives nothing twice, and less may be said, too. */
Test(deliver, credit_is_absolute)
{
    static struct fake_item items[2048];
    size_t messages;

    send_many(20);
    fake_credit(&broker, &bob, 5, MANY);
    fake_credit(&broker, &bob, 5, MANY);
    cr_expect_eq(delivered(items, &messages), 5);
    fake_credit(&broker, &bob, 8, MANY);
    cr_expect_eq(delivered(items + 5, &messages), 3);
    fake_credit(&broker, &bob, 2, MANY);
    cr_expect_eq(ack_items(items, 5), ERR_OK);
    cr_expect_eq(delivered_count(), 0, "three are in flight, two allowed");
    cr_expect_eq(ack_items(items + 5, 3), ERR_OK);
    cr_expect_eq(delivered_count(), 2);
}

Test(deliver, credit_in_bytes)
{
    static struct fake_item items[2048];
    size_t messages;

    send_many(6);
    fake_credit(&broker, &bob, 100, 3 * FRAME_MIN);
    cr_expect_eq(delivered(items, &messages), 3);
    cr_expect_eq(ack_items(items, 1), ERR_OK);
    cr_expect_eq(delivered_count(), 1);
}

/* With nothing in flight one item may be larger than the credit, else it would never come. */
Test(deliver, one_item_may_exceed_the_credit)
{
    static struct fake_item items[2048];
    size_t messages;

    send_sized(BUCKET_MAX);
    send_sized(BUCKET_MAX);
    fake_credit(&broker, &bob, 100, 1000);
    cr_expect_eq(delivered(items, &messages), 1);
    cr_expect_eq(ack_items(items, 1), ERR_OK);
    cr_expect_eq(delivered_count(), 1);
}

Test(deliver, credit_is_clamped)
{
    broker.settings.pair_frames = 2000;
    flow_configure(broker.flow, &broker.settings);
    send_many(1100);
    fake_credit(&broker, &bob, UINT32_MAX, UINT32_MAX);
    cr_expect_eq(delivered_count(), LIMIT_CREDIT_MAX);
}

/* 63 items with bytes, 4 MiB: more than that is more than one message. */
Test(deliver, bounds_of_one_message)
{
    static struct fake_item items[2048];
    size_t messages;

    send_many(130);
    fake_credit(&broker, &bob, 1000, LIMIT_CREDIT_BYTES_MAX);
    cr_expect_eq(delivered(items, &messages), 130);
    cr_expect_eq(messages, 3);
    cr_expect_eq(ack_items(items, 130), ERR_OK);
    fake_ack_all(&broker, &ann);
    fake_forget(&broker);
    for (int i = 0; i < 70; i++)
        send_sized(BUCKET_MAX);
    fake_forget(&broker);
    fake_hello(&broker, &bob);
    fake_credit(&broker, &bob, 1000, LIMIT_CREDIT_BYTES_MAX);
    {
        struct answer answer = fake_next(&broker, bob.by.conn, VERB_DELIVER);
        size_t bytes = 0;

        for (size_t i = 0; i < answer.part_count; i++)
            bytes += answer.parts[i].len;
        cr_expect_leq(bytes, LIMIT_MESSAGE_MAX - 65536);
        cr_expect_gt(bytes, LIMIT_MESSAGE_MAX - 65536 - FRAME_MAX);
    }
}

/* Tombstones have no part: 256 of them fit. */
Test(deliver, many_tombstones_in_one_message)
{
    static struct fake_item items[2048];
    struct buf frame = { 0 };
    size_t messages;

    for (int i = 0; i < 300; i++) {
        struct bytes part;

        buf_clear(&frame);
        fake_frame(&frame, FRAME_DATA, session.chain.sid, &ann.agent, &bob.agent, session.next_a++,
                   1000, BUCKET_MIN);
        part = buf_bytes(&frame);
        fake_send(&broker, &ann, &part, 1);
    }
    fake_credit(&broker, &bob, 1000, MANY);
    cr_expect_eq(delivered(items, &messages), 300);
    cr_expect_eq(messages, 2);
    cr_expect_eq(ack_items(items, 300), ERR_OK);
    buf_free(&frame);
}

/* Requests carry credentials in part 0: it stays within 64 KiB. */
Test(deliver, many_requests)
{
    static struct fake_party strangers[20];
    static struct fake_item items[2048];
    size_t messages;

    for (size_t i = 0; i < 20; i++) {
        char name[16];
        struct fake_session asked;
        struct fake_event opened;
        struct buf frame = { 0 };

        snprintf(name, sizeof name, "s%zu", i);
        fake_join(&broker, &strangers[i], name);
        fake_session_make(&asked, &strangers[i].agent, &bob.agent, 1, broker.now_ms, NULL, &frame,
                          &opened);
        cr_assert_eq(fake_request(&broker, &strangers[i], &opened, buf_bytes(&frame)).e, ERR_OK);
        buf_free(&frame);
    }
    fake_credit(&broker, &bob, 1000, MANY);
    cr_expect_eq(delivered(items, &messages), 20);
    cr_expect_eq(messages, 2);
    cr_expect_eq(ack_items(items, 20), ERR_OK);
}

/* ---- redelivery ------------------------------------------------------------------------------ */

Test(deliver, only_HELLO_delivers_again)
{
    static struct fake_item items[2048];
    size_t messages;

    fake_credit(&broker, &bob, 100, MANY);
    send_many(5);
    cr_expect_eq(delivered(items, &messages), 5);
    cr_expect_eq(ack_items(items, 2), ERR_OK);
    fake_credit(&broker, &bob, 100, MANY);
    cr_expect_eq(delivered_count(), 0);
    cr_expect_eq(fake_hello(&broker, &bob).e, ERR_OK);
    send_many(1);
    cr_expect_eq(delivered_count(), 0, "credit is 0 after HELLO");
    fake_credit(&broker, &bob, 100, MANY);
    cr_expect_eq(delivered(items, &messages), 4);
    cr_expect_eq(items[0].seq, 4, "from the cursor on");
}

Test(deliver, a_new_connection_takes_over)
{
    uint64_t old = bob.by.conn;
    struct message ping = { .verb = VERB_EVENTS };

    fake_credit(&broker, &bob, 100, MANY);
    send_many(1);
    cr_expect_eq(delivered_count(), 1);
    fake_connect(&broker, &bob);
    cr_expect_eq(fake_hello(&broker, &bob).e, ERR_OK);
    fake_credit(&broker, &bob, 100, MANY);
    cr_expect_eq(delivered_count(), 1);
    send_many(1);
    cr_expect_eq(delivered_count(), 1);
    bob.by.conn = old;
    cr_expect_eq(delivered_count(), 0, "the old one gets nothing");
    MESSAGE_SET(&ping, id, session.chain.sid);
    MESSAGE_SET(&ping, seq, 0);
    MESSAGE_SET(&ping, max, 1);
    cr_expect_eq(fake_say(&broker, &bob.by, &ping, NULL, 0).e, ERR_HELLO);
}

Test(deliver, a_lost_connection_gets_nothing)
{
    fake_credit(&broker, &bob, 100, MANY);
    flow_disconnected(broker.flow, bob.by.conn);
    send_many(1);
    cr_expect_eq(delivered_count(), 0);
    cr_expect_eq(fake_credit(&broker, &bob, 100, MANY).e, ERR_HELLO);
}

/* T60: 45 s of silence end a greeting. */
Test(deliver, a_silent_connection_gets_nothing)
{
    fake_credit(&broker, &bob, 100, MANY);
    broker.elapsed_ms += LIMIT_SILENCE_MS;
    fake_hello(&broker, &ann);
    send_many(1);
    cr_expect_eq(delivered_count(), 0);
    cr_expect_eq(fake_credit(&broker, &bob, 100, MANY).e, ERR_HELLO);
}

/* T58: readers that never say ACK do not keep others from theirs. */
Test(deliver, T58_a_stuck_reader_is_alone)
{
    static struct fake_party readers[8];
    static struct fake_session sessions[8];

    fake_credit(&broker, &bob, 2, MANY);
    send_many(10);
    cr_expect_eq(delivered_count(), 2);
    for (size_t i = 0; i < 8; i++) {
        char name[16];

        snprintf(name, sizeof name, "r%zu", i);
        fake_join(&broker, &readers[i], name);
        fake_session_open(&broker, &sessions[i], &ann, &readers[i], i);
        fake_credit(&broker, &readers[i], 100, MANY);
        cr_expect_eq(fake_send_next(&broker, &sessions[i], &ann), ERR_OK);
        cr_expect_eq(fake_next(&broker, readers[i].by.conn, VERB_DELIVER).e, ERR_OK);
    }
}

/* 16 MiB for each of nine readers that are connected and take nothing out of their sockets. */
enum { STUCK = 9, LARGE_ITEMS = 280 };
static struct fake_party stuck[STUCK];

static void send_large(struct fake_session *to, const struct fake_party *reader)
{
    struct buf frames[40] = { { 0 } };
    struct bytes parts[40];

    for (int round = 0; round < LARGE_ITEMS / 40; round++) {
        for (size_t i = 0; i < 40; i++) {
            buf_clear(&frames[i]);
            fake_frame(&frames[i], FRAME_DATA, to->chain.sid, &ann.agent, &reader->agent,
                       to->next_a++, broker.now_ms + DAY_MS, BUCKET_MAX);
            parts[i] = buf_bytes(&frames[i]);
        }
        cr_assert_eq(fake_send(&broker, &ann, parts, 40).e, ERR_OK);
        fake_forget(&broker);
    }
    for (size_t i = 0; i < 40; i++)
        buf_free(&frames[i]);
}

static void still_there(void)
{
    struct message ping = { .verb = VERB_PING };

    MESSAGE_SET(&ping, ts, 0);
    for (size_t i = 0; i < STUCK; i++)
        cr_assert_eq(fake_say(&broker, &stuck[i].by, &ping, NULL, 0).e, ERR_OK);
    cr_assert_eq(fake_say(&broker, &bob.by, &ping, NULL, 0).e, ERR_OK);
    fake_forget(&broker);
}

/* T58: with the common bound reached everybody still gets 1 MiB; and who still speaks after a while
 * has read, so what it has not acknowledged does not count any more. */
Test(deliver, T58_sockets_of_all_are_bounded)
{
    static struct fake_session sessions[STUCK];
    static struct fake_item items[2048];
    size_t messages, count;

    broker.settings.pair_bytes = broker.settings.queue_bytes = UINT64_C(1) << 30;
    flow_configure(broker.flow, &broker.settings);
    for (size_t i = 0; i < STUCK; i++) {
        char name[16];

        snprintf(name, sizeof name, "r%zu", i);
        fake_join(&broker, &stuck[i], name);
        fake_session_open(&broker, &sessions[i], &ann, &stuck[i], i);
        fake_credit(&broker, &stuck[i], 1024, LIMIT_CREDIT_BYTES_MAX);
        send_large(&sessions[i], &stuck[i]);
    }
    send_large(&session, &bob);
    fake_credit(&broker, &bob, 1024, LIMIT_CREDIT_BYTES_MAX);
    count = delivered(items, &messages);
    cr_expect_eq(count, (1 << 20) / FRAME_MAX, "1 MiB and no more");

    for (int i = 0; i < 6; i++) {
        fake_broker_pass(&broker, 30000);
        count += delivered(items, &messages);
        still_there();
    }
    cr_expect_eq(count, LIMIT_CREDIT_BYTES_MAX / FRAME_MAX, "all of its credit");
}

/* ---- FETCH ----------------------------------------------------------------------------------- */

static struct message fetch_of(uint64_t max, uint64_t max_bytes)
{
    struct message message = { .verb = VERB_FETCH };

    MESSAGE_SET(&message, max, max);
    MESSAGE_SET(&message, max_bytes, max_bytes);
    return message;
}

static size_t fetched(struct message *message)
{
    struct fake_item items[256];
    struct answer answer = fake_say(&broker, &bob.by, message, NULL, 0);

    cr_assert_eq(answer.e, ERR_OK);
    return fake_items_of(&answer.message, answer.parts, items, 256);
}

Test(deliver, fetch_reads_only)
{
    struct message message = fetch_of(100, MANY);

    send_many(5);
    cr_expect_eq(fetched(&message), 5);
    cr_expect_eq(fetched(&message), 5, "again");
    message = fetch_of(2, MANY);
    cr_expect_eq(fetched(&message), 2, "max");
    message = fetch_of(100, 2 * FRAME_MIN);
    cr_expect_eq(fetched(&message), 2, "max_bytes");
    message = fetch_of(100, 1);
    cr_expect_eq(fetched(&message), 1, "one comes in any case");
    message = fetch_of(0, MANY);
    cr_expect_eq(fetched(&message), 0, "none asked");
    fake_credit(&broker, &bob, 100, MANY);
    cr_expect_eq(delivered_count(), 5, "no credit was used");
}

Test(deliver, fetch_after)
{
    struct fake_item items[256];
    struct message message = fetch_of(100, MANY);
    static const uint8_t other[16] = { 4 };

    send_many(5);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 5);
    MESSAGE_SET(&message, after, items[2].position);
    cr_expect_eq(fetched(&message), 2);
    cr_expect_eq(ack_items(items, 4), ERR_OK);
    MESSAGE_SET(&message, after, items[0].position);
    cr_expect_eq(fetched(&message), 1, "smaller than the cursor counts as the cursor");
    MESSAGE_SET(&message, stream, other);
    cr_expect_eq(fake_say(&broker, &bob.by, &message, NULL, 0).e, ERR_NOT_MEMBER);
}

Test(deliver, fetch_waits_for_the_first_item)
{
    struct message message = fetch_of(100, MANY);
    struct fake_item items[256];
    struct answer answer;
    uint32_t rid;

    MESSAGE_SET(&message, wait_ms, 30000);
    rid = fake_queue(&broker, &bob.by, &message, NULL, 0);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    cr_expect_eq(fake_answer(&broker, bob.by.conn, rid).e, ERR_NOT_FOUND);
    cr_expect_eq(fake_say(&broker, &bob.by, &message, NULL, 0).e, ERR_BUSY, "one at a time");
    send_many(1);
    answer = fake_answer(&broker, bob.by.conn, rid);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(fake_items_of(&answer.message, answer.parts, items, 256), 1);
    cr_expect_eq(delivered_count(), 0);
}

Test(deliver, fetch_waits_no_longer_than_asked)
{
    struct message message = fetch_of(100, MANY);
    struct answer answer;
    uint32_t rid;

    MESSAGE_SET(&message, wait_ms, 30000);
    rid = fake_queue(&broker, &bob.by, &message, NULL, 0);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    fake_broker_pass(&broker, 29999);
    cr_expect_eq(fake_answer(&broker, bob.by.conn, rid).e, ERR_NOT_FOUND);
    fake_broker_pass(&broker, 1);
    answer = fake_answer(&broker, bob.by.conn, rid);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.items.count, 0);
}

/* However long it wants to wait, a minute is the most. */
Test(deliver, fetch_waits_a_minute_at_most)
{
    struct message message = fetch_of(100, MANY), ping = { .verb = VERB_PING };
    uint32_t rid;

    MESSAGE_SET(&message, wait_ms, 3600000);
    MESSAGE_SET(&ping, ts, 0);
    rid = fake_queue(&broker, &bob.by, &message, NULL, 0);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    fake_broker_pass(&broker, 30000);
    cr_expect_eq(fake_say(&broker, &bob.by, &ping, NULL, 0).e, ERR_OK);
    fake_broker_pass(&broker, 29999);
    cr_expect_eq(fake_answer(&broker, bob.by.conn, rid).e, ERR_NOT_FOUND);
    fake_broker_pass(&broker, 1);
    cr_expect_eq(fake_answer(&broker, bob.by.conn, rid).e, ERR_OK);
}

/* Who has gone is not answered. */
Test(deliver, fetch_of_a_lost_connection_is_forgotten)
{
    struct message message = fetch_of(100, MANY);

    MESSAGE_SET(&message, wait_ms, 30000);
    fake_queue(&broker, &bob.by, &message, NULL, 0);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    flow_disconnected(broker.flow, bob.by.conn);
    send_many(1);
    fake_broker_pass(&broker, 40000);
    cr_expect_not(fake_came(&broker, OUT_MESSAGE, bob.by.conn));
}

/* ---- damaged rows (T59) ---------------------------------------------------------------------- */

/* Changes the file behind the store's back. */
static void spoil(const char *sql)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/broker.db", broker.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void open_on_disk(void)
{
    fake_broker_open(&broker, true);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

/* The bytes are gone, the number is not: tombstone in its place, notice to the sender. */
Test(damaged, T59_a_row_is_never_delivered, .init = open_on_disk, .fini = close_all)
{
    static struct fake_item items[2048];
    struct fake_item got[256];
    struct notice notice;
    size_t messages;

    send_many(3);
    spoil("UPDATE frame SET frame = zeroblob(486) WHERE sender_seq = 3");
    fake_credit(&broker, &bob, 100, MANY);
    cr_assert_eq(delivered(items, &messages), 3);
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(items[i].seq, 2 + i);
    cr_expect_eq(items[0].reason, 0);
    cr_expect_eq(items[1].reason, NOTICE_DAMAGED);
    cr_expect_eq(items[2].reason, 0, "healthy ones are not touched");
    cr_assert_eq(fake_fetch(&broker, &ann, got), 1);
    cr_assert_eq(got[0].kind, ITEM_NOTICE);
    cr_assert_eq(notice_parse(got[0].bytes, &notice), ERR_OK);
    cr_expect_eq(notice.reason, NOTICE_DAMAGED);
    cr_expect_eq(notice.seq, 3);
    cr_expect_arr_eq(notice.scope, session.chain.sid, 16);
    cr_expect_arr_eq(notice.sender, ann.agent.aid, 32);
    cr_expect_arr_eq(notice.recipient, bob.agent.aid, 32);
    cr_expect_eq(ack_items(items, 3), ERR_OK);
}

Test(damaged, the_first_of_all, .init = open_on_disk, .fini = close_all)
{
    struct fake_item got[256];

    send_many(2);
    spoil("UPDATE frame SET frame = zeroblob(486) WHERE sender_seq = 2");
    cr_assert_eq(fake_fetch(&broker, &bob, got), 2);
    cr_expect_eq(got[0].reason, NOTICE_DAMAGED);
    cr_expect_eq(got[1].reason, 0);
}

/* The broker's own items have no number that must be kept: such a row just goes. */
Test(damaged, a_receipt, .init = open_on_disk, .fini = close_all)
{
    struct fake_item got[256];

    send_many(1);
    cr_expect_eq(fake_ack_all(&broker, &bob), 1);
    send_many(1);
    spoil("UPDATE frame SET frame = zeroblob(212) WHERE kind = 16");
    cr_expect_eq(fake_fetch(&broker, &ann, got), 0);
    cr_expect_eq(fake_fetch(&broker, &bob, got), 1);
}
